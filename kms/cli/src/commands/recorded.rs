//! What commands that hand entries in have in common: ids as they are typed, where a receipt goes, and how an end is told.

use std::path::PathBuf;

use keyward_client::delegation::Done;
use keyward_ledger_core::codec::parse_hex32;
use serde_json::{Value, json};

use super::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};

/// Where the receipt goes.
#[derive(Debug, clap::Args)]
pub(super) struct Keep {
    /// Writes the receipt here.
    #[arg(long, value_name = "FILE")]
    pub(super) receipt: Option<PathBuf>,
}

impl Keep {
    /// Refuses a receipt in the place of a file that is read.
    pub(super) fn apart_from<'a>(&'a self, read: impl IntoIterator<Item = &'a PathBuf>) -> Result<()> {
        files::distinct(self.receipt.iter().chain(read).map(PathBuf::as_path))
    }
}

/// Tells that an entry is final, and what follows from it.
pub(super) fn tell(context: &Context, words: &str, done: &Done, keep: &Keep, more: &Value) -> Result<()> {
    if let Some(path) = &keep.receipt {
        files::write(path, &done.receipt, Access::Public)?;
    }
    let mut json = json!({
        "leaf_index": done.leaf_index, "time_unix_ms": done.time_ms, "receipt": hex::encode(&done.receipt),
    });
    if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
        json.extend(more.clone());
    }
    let kept = keep.receipt.as_ref().map(|path| format!("\n  receipt  {}", path.display()));
    context.output.answer(format!("{words}{}", kept.unwrap_or_default()), &json);
    Ok(())
}

/// An id; `next` says where it is had from.
pub(super) fn parse_id(text: &str, next: &str) -> Result<[u8; 32]> {
    parse_hex32(text).ok_or_else(|| Failure::usage(format!("`{text}` is not 64 lower-case hex digits"), next))
}

/// An account by its id. A user name is none: the service could say another account for it.
pub(super) fn parse_account(text: &str) -> Result<[u8; 32]> {
    parse_hex32(text).ok_or_else(|| {
        Failure::usage(
            format!("`{text}` is not an account's id, 64 lower-case hex digits"),
            "have its holder run `keyward account show`, and read the id out to you; user names are not taken here, because the \
             service alone would say whose they are",
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn an_account_is_never_taken_by_its_user_name() {
        let failure = parse_account("bob").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message().contains("`bob`") && failure.next.contains("account show"), "{failure}");
        assert_eq!(parse_account(&"ab".repeat(32)).unwrap(), [0xab; 32]);
    }
}
