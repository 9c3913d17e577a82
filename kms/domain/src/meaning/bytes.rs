//! The one encoding of a meaning, which its hash is over.

use super::{Amount, Call, Meaning, Transfer};

const VERSION: u8 = 1;

impl Meaning {
    /// `version u8 (1) || form u8 || network || count u16 || (amount || to)* || count u16 || (to? || selector?)* || amount? ||
    /// count u16 || digest[32]*`; a text is `u16 length || UTF-8`, an amount `value u128 || decimals u8 || unit`, what may be
    /// missing `0 u8` or `1 u8 || it`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.form as u8];
        optional(&mut out, self.network.as_deref(), text);
        count(&mut out, self.transfers.len());
        for Transfer { amount, to } in &self.transfers {
            amount_bytes(&mut out, amount);
            text(&mut out, to);
        }
        count(&mut out, self.calls.len());
        for Call { to, selector } in &self.calls {
            optional(&mut out, to.as_deref(), text);
            optional(&mut out, selector.as_ref(), |out, selector| out.extend_from_slice(selector));
        }
        optional(&mut out, self.fee.as_ref(), amount_bytes);
        count(&mut out, self.digests.len());
        self.digests.iter().for_each(|digest| out.extend_from_slice(digest));
        out
    }
}

fn count(out: &mut Vec<u8>, count: usize) {
    // INVARIANT: readers refuse more than TRANSFERS_MAX of anything.
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    // INVARIANT: readers refuse longer texts than TEXT_LEN_MAX, which fits.
    count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn amount_bytes(out: &mut Vec<u8>, amount: &Amount) {
    out.extend_from_slice(&amount.value.to_be_bytes());
    out.push(amount.decimals);
    text(out, &amount.unit);
}

fn optional<T: ?Sized>(out: &mut Vec<u8>, value: Option<&T>, write: impl FnOnce(&mut Vec<u8>, &T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(out, value);
    }
}
