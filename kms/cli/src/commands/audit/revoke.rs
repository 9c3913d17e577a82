//! `keyward audit revoke`.

use keyward_ledger_core::hash::sha256;
use serde_json::json;

use super::{Context, Keep, failed, parse_grant, tell};
use crate::commands::approve::speak::Speaker;
use crate::commands::reason::Reason;
use crate::failure::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Revoke {
    /// The grant, 64 hex digits.
    grant: String,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    speaker: Speaker,
    #[command(flatten)]
    keep: Keep,
}

impl Revoke {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let id = parse_grant(&self.grant)?;
        self.keep.apart_from(self.reason.file().into_iter().chain(&self.speaker.word.password_file))?;
        let reason = sha256(&[self.reason.text()?.as_bytes()]);
        let speaking = self.speaker.open(context).await?;
        let cannot = failed("cannot revoke the grant");
        let shown = speaking.client.show_grant(&id).await.map_err(&cannot)?;
        let done = speaking.client.revoke_grant(speaking.voice()?, &shown, reason).await.map_err(cannot)?;
        let words = format!(
            "grant {} is revoked: it opens nothing more; what was opened before cannot be taken back",
            hex::encode(id)
        );
        let json = json!({ "grant": hex::encode(id), "reason": hex::encode(reason) });
        tell(context, &words, &done, &self.keep, &json)
    }
}
