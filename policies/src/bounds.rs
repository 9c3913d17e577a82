//! How large a tenant's text may be, looked at before it is parsed: deep nesting would cost the parser its stack, and long
//! texts would cost every decision its time.

/// The longest text of a tenant's set, in bytes.
pub const TEXT_LEN_MAX: usize = 64 << 10;
/// The most policies of a tenant's set.
pub const POLICIES_MAX: usize = 256;
/// The deepest nesting of brackets.
const NESTING_MAX: usize = 24;
/// The most words and signs of one policy, not counting strings and commas.
const WORDS_MAX: usize = 400;
/// The most strings of one policy.
const STRINGS_MAX: usize = 1024;

/// What is too large.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoundsError {
    /// Longer than 64 KiB.
    #[error("{0} bytes are more than {TEXT_LEN_MAX}")]
    Text(usize),
    /// More policies than fit.
    #[error("it has more than {POLICIES_MAX} policies")]
    Policies,
    /// A policy that is nested too deeply.
    #[error("policy {0} is nested deeper than {NESTING_MAX} brackets")]
    Nesting(usize),
    /// A policy with too many words.
    #[error("policy {0} has more than {WORDS_MAX} words and signs: make several of it")]
    Words(usize),
    /// A policy with too many strings.
    #[error("policy {0} has more than {STRINGS_MAX} strings: make several of it")]
    Strings(usize),
}

/// Refuses what is too large; says nothing about whether it is Cedar.
pub(crate) fn check(text: &str) -> Result<(), BoundsError> {
    if text.len() > TEXT_LEN_MAX {
        return Err(BoundsError::Text(text.len()));
    }
    let (mut policy, mut depth, mut words, mut strings) = (1, 0_usize, 0, 0);
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'/' if after.first() == Some(&b'/') => line_end(after),
            b'"' => {
                strings += 1;
                string_end(after)
            }
            b';' => {
                policy += 1;
                (depth, words, strings) = (0, 0, 0);
                after
            }
            b',' => after,
            byte if byte.is_ascii_whitespace() => after,
            byte if is_word(*byte) => {
                words += 1;
                let length = after.iter().take_while(|byte| is_word(**byte)).count();
                after.get(length..).unwrap_or_default()
            }
            byte => {
                words += 1;
                match byte {
                    b'(' | b'[' | b'{' => depth += 1,
                    b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                after
            }
        };
        if depth > NESTING_MAX {
            return Err(BoundsError::Nesting(policy));
        } else if words > WORDS_MAX {
            return Err(BoundsError::Words(policy));
        } else if strings > STRINGS_MAX {
            return Err(BoundsError::Strings(policy));
        } else if policy > POLICIES_MAX + 1 {
            return Err(BoundsError::Policies);
        }
    }
    Ok(())
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn line_end(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    text.get(end..).unwrap_or_default()
}

/// What follows the string that has begun.
fn string_end(mut text: &[u8]) -> &[u8] {
    while let Some((first, after)) = text.split_first() {
        text = match first {
            b'"' => return after,
            b'\\' => after.get(1..).unwrap_or_default(),
            _ => after,
        };
    }
    text
}
