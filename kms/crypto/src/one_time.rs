//! One-time codes: TOTP (RFC 6238) with SHA-1, six digits and steps of 30 seconds, which every authenticator knows.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{SealError, labels, secret::SecretBytes};

/// How long a step lasts, in seconds.
pub const CODE_STEP_S: u64 = 30;
/// Digits of a code.
pub const CODE_DIGITS: usize = 6;
/// Bytes of a secret: as many as SHA-1 gives.
pub const CODE_SECRET_BYTES: usize = 20;
/// How many steps an authenticator's clock may be off, either way.
const STEPS_OFF: u64 = 1;

/// A fresh secret.
pub fn fresh_code_secret() -> Result<SecretBytes, SealError> {
    let mut secret = Zeroizing::new(vec![0; CODE_SECRET_BYTES]);
    getrandom::fill(&mut secret).map_err(SealError::Randomness)?;
    Ok(secret.into())
}

/// Associated data of a secret of one-time codes at rest: `label || account[32] || version u32 (1)`.
pub fn code_secret_aad(account: &[u8; 32]) -> Vec<u8> {
    [&labels::tagged(labels::ONE_TIME_CODE)[..], account, &1_u32.to_be_bytes()].concat()
}

/// The step of which `code` is, if it is one of those about `now_ms` and after `last_step`. Takes as long for a wrong code as
/// for a right one.
pub fn step_of_code(secret: &[u8], code: &str, now_ms: u64, last_step: u64) -> Option<u64> {
    let now = now_ms / 1000 / CODE_STEP_S;
    let mut found = None;
    for step in now.saturating_sub(STEPS_OFF)..=now.saturating_add(STEPS_OFF) {
        let right = code_of_step(secret, step)?;
        let equal: bool = right.as_bytes().ct_eq(code.as_bytes()).into();
        if equal && step > last_step {
            found = Some(step);
        }
    }
    found
}

/// The code of a step, which is 30 seconds since 1970, as an authenticator shows it; none only for secrets that HMAC takes none
/// of.
pub fn code_of_step(secret: &[u8], step: u64) -> Option<Zeroizing<String>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).ok()?;
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash.last()? & 0x0f);
    let four: [u8; 4] = hash.get(offset..offset.checked_add(4)?)?.try_into().ok()?;
    let number = (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000;
    Some(Zeroizing::new(format!("{number:0width$}", width = CODE_DIGITS)))
}

/// What authenticators read (`otpauth://totp/..`), for a user name of `a-z`, `0-9`, `.`, `-`, `_`.
pub fn code_uri(secret: &[u8], user: &str) -> Zeroizing<String> {
    let secret = base32(secret);
    Zeroizing::new(format!("otpauth://totp/Keyward:{user}?secret={}&issuer=Keyward", *secret))
}

/// RFC 4648, without padding.
fn base32(bytes: &[u8]) -> Zeroizing<String> {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().saturating_mul(2)));
    let (mut held, mut bits) = (0_u32, 0_u32);
    let mut put = |value: u32| {
        // INVARIANT: five bits number one of 32 digits.
        text.push(DIGITS.get((value & 31) as usize).copied().map_or('=', char::from));
    };
    for byte in bytes {
        held = ((held << 8) | u32::from(*byte)) & 0xffff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            put(held >> bits);
        }
    }
    if bits > 0 {
        put(held << (5 - bits));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn the_codes_are_those_of_rfc_6238() {
        // Appendix B gives eight digits; six are the last six of them.
        for (seconds, eight) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000_u64, "65353130"),
        ] {
            assert_eq!(*code_of_step(SECRET, seconds / CODE_STEP_S).unwrap(), eight[2..], "{seconds}");
            assert_eq!(step_of_code(SECRET, &eight[2..], seconds * 1000, 0), Some(seconds / CODE_STEP_S));
        }
    }

    #[test]
    fn a_code_counts_about_its_time_and_not_after_it_was_taken() {
        let (step, now_ms) = (100, 100 * CODE_STEP_S * 1000);
        let code = code_of_step(SECRET, step).unwrap();
        for (off, found) in [(-2_i64, false), (-1, true), (0, true), (1, true), (2, false)] {
            let then_ms = now_ms.checked_add_signed(off * 30_000).unwrap();
            assert_eq!(step_of_code(SECRET, &code, then_ms, 0).is_some(), found, "{off}");
        }
        assert_eq!(step_of_code(SECRET, &code, now_ms, step - 1), Some(step));
        assert_eq!(step_of_code(SECRET, &code, now_ms, step), None, "taken before");
        for wrong in ["", "1", "0000000", &format!(" {}", *code), "12345x", &code[..5]] {
            assert_eq!(step_of_code(SECRET, wrong, now_ms, 0), None, "{wrong}");
        }
    }

    #[test]
    fn secrets_are_fresh_and_written_as_authenticators_read_them() {
        // RFC 4648, section 10.
        for (bytes, text) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(*base32(bytes.as_bytes()), text);
        }
        let (one, two) = (fresh_code_secret().unwrap(), fresh_code_secret().unwrap());
        one.expose(|one| {
            assert_eq!(one.len(), CODE_SECRET_BYTES);
            two.expose(|two| assert_ne!(one, two));
            let uri = code_uri(one, "alice");
            assert_eq!(*uri, format!("otpauth://totp/Keyward:alice?secret={}&issuer=Keyward", *base32(one)));
        });
    }

    #[test]
    fn a_sealed_secret_belongs_to_its_account() {
        assert_ne!(code_secret_aad(&[1; 32]), code_secret_aad(&[2; 32]));
    }
}
