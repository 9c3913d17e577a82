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
/// HKDF `info` of what an app's device has in the place of an export key, from the app's own key.
pub const APP_EXPORT_KEY: &str = "keyward/app-export-key/v1";

/// Associated data of an account's data key at rest.
pub const PROFILE_KEY: &str = "keyward/profile-key/v1";
/// Associated data of an account's contact and identity fields, under that data key.
pub const PROFILE: &str = "keyward/profile/v1";

/// HKDF `info` of the key that a person's device seals keys under, from the OPAQUE export key.
pub const DEVICE_KEY: &str = "keyward/device-key/v1";
/// Associated data of a key on a person's device.
pub const DEVICE_FILE: &str = "keyward/device-file/v1";
/// Associated data of a part in a shared key on a person's device.
pub const DEVICE_SHARE: &str = "keyward/device-share/v1";
/// Associated data of what else a person's device keeps.
pub const DEVICE_SECRET: &str = "keyward/device-secret/v1";

/// Salt of a vault password's stretching.
pub const VAULT_SALT: &str = "keyward/vault-salt/v1";
/// HKDF `info` of a vault's root, from the output of the oblivious function.
pub const VAULT_ROOT: &str = "keyward/vault-root/v1";
/// HKDF `info` of the seed of a vault's proof key, from its root.
pub const VAULT_PROOF_KEY: &str = "keyward/vault-proof-key/v1";
/// HKDF `info` of a vault's data key, from root, mask and export key.
pub const VAULT_DATA_KEY: &str = "keyward/vault-data-key/v1";
/// Associated data of a vault's contents.
pub const VAULT_CONTENTS: &str = "keyward/vault-contents/v1";
/// The second base of the commitments to a vault's mask.
pub const VAULT_MASK_BASE: &str = "keyward/vault-mask-base/v1";
/// HPKE `info` of a share on its way to a keeper.
pub const VAULT_SHARE: &str = "keyward/vault-share/v1";
/// Hash of a blinded element.
pub const VAULT_ELEMENT: &str = "keyward/vault-element/v1";
/// HPKE `info` of a keeper's evaluation on its way to the user.
pub const VAULT_ANSWER: &str = "keyward/vault-answer/v1";
/// What a keeper signs with an evaluation.
pub const VAULT_EVALUATION: &str = "keyward/vault-evaluation/v1";
/// HPKE `info` of a keeper's part of the mask on its way to the user.
pub const VAULT_RELEASE: &str = "keyward/vault-release/v1";
/// What a keeper signs with its part of the mask.
pub const VAULT_RELEASED: &str = "keyward/vault-released/v1";
/// The element of a drill, from its nonce.
pub const VAULT_DRILL_ELEMENT: &str = "keyward/vault-drill-element/v1";
/// What a keeper signs with the answer to a drill.
pub const VAULT_DRILL: &str = "keyward/vault-drill/v1";
/// Hash that names a renewal of a vault's shares.
pub const VAULT_RENEWAL: &str = "keyward/vault-renewal/v1";
/// Hash that names a repair of a keeper's share.
pub const VAULT_REPAIR: &str = "keyward/vault-repair/v1";
/// What a keeper signs to have its share repaired.
pub const VAULT_REPAIR_REQUEST: &str = "keyward/vault-repair-request/v1";
/// What a keeper signs with its commitments and pieces in a renewal or repair.
pub const VAULT_HANDOUT: &str = "keyward/vault-handout/v1";
/// HPKE `info` of a piece from keeper to keeper.
pub const VAULT_PIECE: &str = "keyward/vault-piece/v1";
/// What a helper signs with its sum at the end of a repair.
pub const VAULT_REPAIR_SUM: &str = "keyward/vault-repair-sum/v1";
/// Associated data of a keeper's share at rest.
pub const KEEPER_SHARE: &str = "keyward/keeper-share/v1";

/// Associated data of an account's secret of one-time codes at rest.
pub const ONE_TIME_CODE: &str = "keyward/one-time-code/v1";

/// Hash of what is public of a shared key.
pub const SHARED_KEY: &str = "keyward/shared-key/v1";
/// Hash of what a holder's share belongs to.
pub const SHARED_SHARE: &str = "keyward/shared-share/v1";
/// Hash that names a run of a protocol between the holders of a shared key.
pub const SHARED_RUN: &str = "keyward/shared-run/v1";
/// What a holder signs with each message of a run.
pub const SHARED_MESSAGE: &str = "keyward/shared-message/v1";
/// Hash of the messages that a later step stands on.
pub const SHARED_TRANSCRIPT: &str = "keyward/shared-transcript/v1";
/// HPKE `info` of a piece from holder to holder.
pub const SHARED_PIECE: &str = "keyward/shared-piece/v1";

/// HMAC input: the root of an account's viewing tree, from its address root.
pub const ADDRESS_VIEWING: &str = "keyward/address-viewing/v1";
/// HMAC input: the root of an account's spending tree, from its address root.
pub const ADDRESS_SPENDING: &str = "keyward/address-spending/v1";
/// HMAC input: the key of an account's handles for limits, from its address root.
pub const ADDRESS_HANDLE: &str = "keyward/address-handle/v1";
/// HKDF `info` of an address epoch's spending scalar, from its spending leaf.
pub const ADDRESS_SPENDING_SCALAR: &str = "keyward/address-spending-scalar/v1";
/// HKDF `info` of what is added to the spending key for an address, from its epoch's viewing leaf.
pub const ADDRESS_TWEAK: &str = "keyward/address-tweak/v1";
/// HKDF `info` of a detail's key and its commitment, and associated data of the detail.
pub const ADDRESS_DETAIL: &str = "keyward/address-detail/v1";
/// HKDF `info` of the scalar with which an epoch's payments are found, from its viewing leaf.
pub const ADDRESS_META: &str = "keyward/address-meta/v1";
/// HKDF `info` of a payer's ephemeral scalar, from fresh randomness.
pub const ADDRESS_PAYMENT: &str = "keyward/address-payment/v1";
/// Hash of what payer and receiver share.
pub const ADDRESS_SHARED: &str = "keyward/address-shared/v1";
/// HKDF `info` of a payment's view tag, from what is shared.
pub const ADDRESS_TAG: &str = "keyward/address-tag/v1";
/// HKDF `info` of what is added to the spending key for a payment, from what is shared.
pub const ADDRESS_PAID: &str = "keyward/address-paid/v1";
/// HKDF `info` of the tag of an address epoch's closing, from its viewing leaf.
pub const ADDRESS_CLOSED: &str = "keyward/address-closed/v1";
/// HKDF `info` of a closing's key and its commitment, and associated data of the closing.
pub const ADDRESS_CLOSING: &str = "keyward/address-closing/v1";

/// HPKE `info` of a viewing cover on its way to a grantee.
pub const GRANT_DELIVERY: &str = "keyward/grant-delivery/v1";
/// HKDF `info` of the key, and its commitment, that seals a dealt viewing cover, and associated data of the cover.
pub const VIEWING_KEY: &str = "keyward/viewing-key/v1";
/// Hash that names a dealing of closed epochs.
pub const VIEWING_DEALING: &str = "keyward/viewing-dealing/v1";
/// HPKE `info` of a viewing share on its way to a keeper.
pub const VIEWING_SHARE: &str = "keyward/viewing-share/v1";
/// HPKE `info` of a keeper's viewing share on its way to a grantee.
pub const VIEWING_PART: &str = "keyward/viewing-part/v1";
/// What a keeper signs with its viewing share for a grantee.
pub const VIEWING_GIVEN: &str = "keyward/viewing-given/v1";

/// The whole table.
pub const ALL: [&str; 59] = [
    HOSTED_KEY,
    SERVICE_SECRET,
    IMPORT,
    OPAQUE_CONTEXT,
    ACCOUNT_CREDENTIAL,
    APP_EXPORT_KEY,
    PROFILE_KEY,
    PROFILE,
    DEVICE_KEY,
    DEVICE_FILE,
    DEVICE_SHARE,
    DEVICE_SECRET,
    VAULT_SALT,
    VAULT_ROOT,
    VAULT_PROOF_KEY,
    VAULT_DATA_KEY,
    VAULT_CONTENTS,
    VAULT_MASK_BASE,
    VAULT_SHARE,
    VAULT_ELEMENT,
    VAULT_ANSWER,
    VAULT_EVALUATION,
    VAULT_RELEASE,
    VAULT_RELEASED,
    VAULT_DRILL_ELEMENT,
    VAULT_DRILL,
    VAULT_RENEWAL,
    VAULT_REPAIR,
    VAULT_REPAIR_REQUEST,
    VAULT_HANDOUT,
    VAULT_PIECE,
    VAULT_REPAIR_SUM,
    KEEPER_SHARE,
    ONE_TIME_CODE,
    SHARED_KEY,
    SHARED_SHARE,
    SHARED_RUN,
    SHARED_MESSAGE,
    SHARED_TRANSCRIPT,
    SHARED_PIECE,
    ADDRESS_VIEWING,
    ADDRESS_SPENDING,
    ADDRESS_HANDLE,
    ADDRESS_SPENDING_SCALAR,
    ADDRESS_TWEAK,
    ADDRESS_DETAIL,
    ADDRESS_META,
    ADDRESS_PAYMENT,
    ADDRESS_SHARED,
    ADDRESS_TAG,
    ADDRESS_PAID,
    ADDRESS_CLOSED,
    ADDRESS_CLOSING,
    GRANT_DELIVERY,
    VIEWING_KEY,
    VIEWING_DEALING,
    VIEWING_SHARE,
    VIEWING_PART,
    VIEWING_GIVEN,
];

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
            "keyward/app-export-key/v1",
            "keyward/profile-key/v1",
            "keyward/profile/v1",
            "keyward/device-key/v1",
            "keyward/device-file/v1",
            "keyward/device-share/v1",
            "keyward/device-secret/v1",
            "keyward/vault-salt/v1",
            "keyward/vault-root/v1",
            "keyward/vault-proof-key/v1",
            "keyward/vault-data-key/v1",
            "keyward/vault-contents/v1",
            "keyward/vault-mask-base/v1",
            "keyward/vault-share/v1",
            "keyward/vault-element/v1",
            "keyward/vault-answer/v1",
            "keyward/vault-evaluation/v1",
            "keyward/vault-release/v1",
            "keyward/vault-released/v1",
            "keyward/vault-drill-element/v1",
            "keyward/vault-drill/v1",
            "keyward/vault-renewal/v1",
            "keyward/vault-repair/v1",
            "keyward/vault-repair-request/v1",
            "keyward/vault-handout/v1",
            "keyward/vault-piece/v1",
            "keyward/vault-repair-sum/v1",
            "keyward/keeper-share/v1",
            "keyward/one-time-code/v1",
            "keyward/shared-key/v1",
            "keyward/shared-share/v1",
            "keyward/shared-run/v1",
            "keyward/shared-message/v1",
            "keyward/shared-transcript/v1",
            "keyward/shared-piece/v1",
            "keyward/address-viewing/v1",
            "keyward/address-spending/v1",
            "keyward/address-handle/v1",
            "keyward/address-spending-scalar/v1",
            "keyward/address-tweak/v1",
            "keyward/address-detail/v1",
            "keyward/address-meta/v1",
            "keyward/address-payment/v1",
            "keyward/address-shared/v1",
            "keyward/address-tag/v1",
            "keyward/address-paid/v1",
            "keyward/address-closed/v1",
            "keyward/address-closing/v1",
            "keyward/grant-delivery/v1",
            "keyward/viewing-key/v1",
            "keyward/viewing-dealing/v1",
            "keyward/viewing-share/v1",
            "keyward/viewing-part/v1",
            "keyward/viewing-given/v1",
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
