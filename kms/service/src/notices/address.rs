//! Addresses that mail goes to: plain ones, which no line or header can be smuggled through.

/// The longest address, in bytes (RFC 5321).
const ADDRESS_BYTES_MAX: usize = 254;
/// What the part before the `@` may hold beside letters and digits.
const LOCAL: &[u8] = b".!#$%&'*+/=?^_`{|}~-";

/// Whether mail can go there: `local@domain` in ASCII, unquoted.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let local_is =
        !local.is_empty() && local.bytes().all(|b| b.is_ascii_alphanumeric() || LOCAL.contains(&b));
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= ADDRESS_BYTES_MAX && local_is && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_plain_address_passes() {
        for good in ["a@b", "alice.b+c@mail.example.org", "x_y@localhost"] {
            assert!(is_address(good), "{good}");
        }
        let long = format!("{}@b", "a".repeat(253));
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b..c",
            "a@-b",
            "a b@c",
            "a@b\r\nRCPT TO:<x@y>",
            "<a@b>",
            "\"a\"@b",
            "a@b>",
            "ä@b",
            "a@b@c d",
            &long,
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
