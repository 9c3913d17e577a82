//! `keyward audit issue`: the approvals are used up, and the grant is in force.

use serde_json::json;

use super::{Context, Keep, failed, parse_grant, parse_id, tell};
use crate::commands::delegate::word::Word;
use crate::failure::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Issue {
    /// The grant, 64 hex digits.
    grant: String,
    /// The case in which others have approved it.
    #[arg(long, value_name = "CASE")]
    case: String,
    #[command(flatten)]
    word: Word,
    #[command(flatten)]
    keep: Keep,
}

impl Issue {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let id = parse_grant(&self.grant)?;
        self.keep.apart_from(&self.word.password_file)?;
        let case = parse_id(&self.case, "copy it from `keyward approve list`")?;
        let (client, login) = self.word.login(context).await?;
        let cannot = failed("cannot have the grant issued");
        let shown = client.show_grant(&id).await.map_err(&cannot)?;
        let done = client.issue_grant(&login, &shown, case).await.map_err(cannot)?;
        let id = hex::encode(id);
        let words = format!("grant {id} is in force: `keyward audit open {id} FOLDER`");
        tell(context, &words, &done, &self.keep, &json!({ "grant": id }))
    }
}
