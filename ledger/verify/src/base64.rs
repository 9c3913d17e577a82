//! Base64 of RFC 4648, section 4, with padding: one encoding for each value.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, at| word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for place in 0..4 {
            let digit = (word >> (18 - 6 * place) & 63) as usize;
            let used = place <= chunk.len();
            text.push(if used { char::from(ALPHABET.get(digit).copied().unwrap_or(b'=')) } else { '=' });
        }
    }
    text
}

/// The bytes of exactly what [`encode`] writes.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut word, mut bits) = (0_u32, 0);
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        word = word << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(word >> bits & 0xff).ok()?);
        }
    }
    (encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    /// RFC 4648, section 10.
    #[test]
    fn the_vectors_of_the_rfc_hold_and_nothing_else_decodes() {
        let pairs = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, text) in pairs.into_iter().enumerate() {
            let bytes = b"foobar".get(..length).unwrap();
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).unwrap(), bytes);
        }
        for wrong in ["Zg", "Zg=", "Zh==", "Zm9v=", "Zm 9", "Zm-_", "====", "Z"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
