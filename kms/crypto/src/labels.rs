//! Every domain label of this crate, in one table: two uses of a secret never share one.

/// Associated data of a hosted key at rest.
pub const HOSTED_KEY: &str = "keyward/hosted-key/v1";
/// Associated data of a secret of the service itself at rest.
pub const SERVICE_SECRET: &str = "keyward/service-secret/v1";
/// HPKE `info` of a person's key on its way to the service.
pub const IMPORT: &str = "keyward/import/v1";
/// OPAQUE context string.
pub const OPAQUE_CONTEXT: &str = "keyward/opaque/v1";
/// HKDF `info` of an account's Ed25519 credential, from the OPAQUE export key.
pub const ACCOUNT_CREDENTIAL: &str = "keyward/account-credential/v1";

/// Associated data of an account's data key at rest.
pub const PROFILE_KEY: &str = "keyward/profile-key/v1";
/// Associated data of an account's contact and identity fields, under that data key.
pub const PROFILE: &str = "keyward/profile/v1";

/// The whole table.
pub const ALL: [&str; 7] =
    [HOSTED_KEY, SERVICE_SECRET, IMPORT, OPAQUE_CONTEXT, ACCOUNT_CREDENTIAL, PROFILE_KEY, PROFILE];

/// A label as it stands in bytes: `u8 length || label`.
pub(crate) fn tagged(label: &str) -> Vec<u8> {
    // INVARIANT: labels are constants of this table, far below 256 bytes; the test below holds that.
    let mut bytes = vec![u8::try_from(label.len()).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(label.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_golden_ones() {
        let golden = [
            "keyward/hosted-key/v1",
            "keyward/service-secret/v1",
            "keyward/import/v1",
            "keyward/opaque/v1",
            "keyward/account-credential/v1",
            "keyward/profile-key/v1",
            "keyward/profile/v1",
        ];
        assert_eq!(ALL, golden, "a label changed: that is a change of format");
    }

    #[test]
    fn labels_are_distinct_and_fit_their_length_byte() {
        for (at, label) in ALL.iter().enumerate() {
            assert!(!ALL[..at].contains(label));
            assert_eq!(usize::from(tagged(label)[0]), label.len());
        }
    }
}
