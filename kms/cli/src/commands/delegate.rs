//! `keyward delegate`: whom an account trusts to take it back or to use its keys, taking it back, and acting for it.
//!
//! Whatever the service says of delegates is verified against the profile's trust file before it is believed.

mod act;
mod appoint;
mod recover;
mod show;
mod veto;
pub(super) mod word;

use std::path::{Path, PathBuf};

use keyward_client::delegation::{DelegationError, Request};
use keyward_domain::DelegationName;
use serde_json::json;

use self::word::Word;
use super::Context;
use super::recorded::{Keep, parse_account, parse_id, tell};
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::service::{failed, told};

#[derive(Debug, clap::Args)]
pub(crate) struct Delegate {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Names delegates who may take the account back or use its keys, or changes whom; it holds after a delay.
    Appoint(Box<appoint::Appoint>),
    /// Shows whom the account trusts, or what another account entrusts to yours.
    List {
        /// The other account, 64 hex digits.
        #[arg(long, value_name = "ACCOUNT")]
        of: Option<String>,
    },
    /// Ends a delegation: delegates act no more at once, and may take the account back until its delay is over.
    Revoke {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        word: Word,
        #[command(flatten)]
        keep: Keep,
    },
    /// Shows the policy sets under which delegates use keys at this service; terms name one by its hash.
    Policies,
    /// For who has lost everything: makes a new login, and a request for the delegates to sign.
    Recover(recover::Recover),
    /// Adds your signature to a request, whose fingerprint its maker has read out to you.
    Sign(recover::Sign),
    /// Hands in a request that enough delegates have signed. A recovery waits from then on; an act is done at once.
    Send(act::HandIn),
    /// Has a recovery done after its delay: the new login counts, and every session of the account ends.
    Execute(recover::Execute),
    /// Makes a request to take an opened recovery back, for the delegates to sign and send.
    Cancel {
        /// The request that the recovery was opened with.
        opened: PathBuf,
        /// Where the new request is written.
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
    },
    /// Stops a recovery of your own account, or with a key that it named for this.
    Veto(veto::Veto),
    /// Signs with a key of the account that appointed you, within its limits: the ledger counts it before it happens.
    Act(act::Act),
}

/// Which delegation.
#[derive(Debug, clap::Args)]
struct Name {
    /// What the account calls the delegation: 1 to 64 of a-z, 0-9, dot, dash or underscore.
    #[arg(long, default_value = DEFAULT_NAME, value_name = "NAME")]
    name: String,
    /// The id of that name as `keyward delegate list` shows it, where the name itself is not known.
    #[arg(long, value_name = "HEX", conflicts_with = "name")]
    name_id: Option<String>,
}

/// What a delegation is called where nobody says.
const DEFAULT_NAME: &str = "main";

impl Name {
    /// The name's id, which is all that the ledger knows.
    fn id(&self) -> Result<[u8; 32]> {
        if let Some(id) = &self.name_id {
            return parse_id(id, "copy it from `keyward delegate list`");
        }
        let name = DelegationName::parse(&self.name);
        Ok(name.map_err(|error| Failure::of_coded("cannot use the name", &error))?.id())
    }
}

impl Delegate {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::Appoint(appoint) => appoint.run(context).await,
            Verb::List { of } => show::list(context, of).await,
            Verb::Revoke { name, word, keep } => appoint::revoke(context, &name, &word, &keep).await,
            Verb::Policies => appoint::policies(context).await,
            Verb::Recover(recover) => recover.run(context).await,
            Verb::Sign(sign) => sign.run(context).await,
            Verb::Send(send) => send.run(context).await,
            Verb::Execute(execute) => execute.run(context).await,
            Verb::Cancel { opened, request } => recover::cancel(context, &opened, &request).await,
            Verb::Veto(veto) => veto.run(context).await,
            Verb::Act(act) => act.run(context).await,
        }
    }
}

/// Writes a request, and says what is to be done with it.
fn write(context: &Context, request: &Request, path: &Path, next: &str) -> Result<()> {
    files::write(path, request.to_text().as_bytes(), Access::Secret)?;
    let signed_by: Vec<_> = request.signed_by().iter().map(hex::encode).collect();
    let words = format!(
        "request `{}`: to {}\n  fingerprint  {}\n  signed by    {} of the delegates\n{next}",
        path.display(),
        request.describe(),
        request.fingerprint(),
        signed_by.len(),
    );
    let json = json!({
        "request": path.display().to_string(), "asks": request.describe(), "fingerprint": request.fingerprint(),
        "account": request.account().map(hex::encode), "signed_by": signed_by,
    });
    context.output.answer(words, &json);
    Ok(())
}

fn read(path: &Path) -> Result<Request> {
    let text = zeroize::Zeroizing::new(files::read(path)?);
    Request::parse(&String::from_utf8_lossy(&text)).map_err(failed("cannot read the request"))
}

told!(DelegationError, Self::Client(error) => error, next_for);

/// What to do next where a code, which other rooms know as well, means something of its own here.
fn next_for(code: &str) -> Option<&'static str> {
    Some(match code {
        "AUTHORS_MISSING" => {
            "have more of the delegates sign the request (`keyward delegate sign`), then send it again"
        }
        "AUTHOR_NOT_NAMED" => {
            "make a new request: somebody has signed this one whom the delegation does not name (`keyward delegate list --of ACCOUNT`)"
        }
        "AUTHOR_SIGNATURE_EXPIRED" => {
            "make a new request, and have it signed and sent soon: a signature counts for some hours"
        }
        "AUTHOR_REPLAYED" => {
            "nothing is to be done: it was handed in before (`keyward delegate list --of ACCOUNT`)"
        }
        "DELEGATION_NOT_IN_FORCE" => {
            "look at `keyward delegate list` (`--of ACCOUNT` as a delegate): no such delegation is in force, it does not reach so far, or it does not name you"
        }
        "APPROVALS_MISSING" => {
            "collect the judges' approvals first (`keyward approve ask --dispute ACCOUNT`, `approve show`)"
        }
        "CASE_UNKNOWN" => {
            "look at `keyward delegate list` (`--of ACCOUNT` as a delegate): no recovery is open there"
        }
        "CASE_CLOSED" => {
            "open another recovery: this one was vetoed, cancelled or displaced by an older delegation's"
        }
        "CASE_PAYLOAD" => "send the request that the recovery was opened with",
        "CASE_USED" => "nothing is to be done: the recovery was executed",
        "RULE_VERSION" => {
            "look at it again and sign anew: another change of the account's delegates came first"
        }
        "RULE_UNKNOWN" => "have the judges' approval rule defined first (`keyward approve rule define`)",
        "ACT_DONE" => {
            "have the delegate who sent it first send it again: an act has one signature, which they are given"
        }
        "NOT_ALLOWED" => "have one of those who have signed do it, logged in as themselves",
        "ACCOUNT_UNKNOWN" => {
            "check the user name: no open account has it, and a closed one does not come back"
        }
        "RULE_INVALID" => {
            "look at the terms: `--delay` may be below the ledger's shortest, a day unless its members decided otherwise; or a number is \
             out of its bounds, or the judges have a part in it"
        }
        "KEY_UNKNOWN" => {
            "have the account's holder read out the key's id (`keyward key show`): delegates use its own keys alone"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_client::EvidenceError;

    use super::*;

    #[test]
    fn what_a_case_needs_is_said_as_its_use_has_it() {
        let refused = |code| DelegationError::Evidence(EvidenceError::Refused { code, meaning: "no" });
        let recovery = failed("x")(refused("APPROVALS_MISSING"));
        assert!(recovery.next.contains("judges"), "{recovery}");
        assert_eq!(recovery.code.as_deref(), Some("APPROVALS_MISSING"));
        let executed = failed("x")(refused("CASE_USED"));
        assert!(executed.next.contains("recovery was executed"), "{executed}");
    }

    #[test]
    fn a_name_and_its_id_mean_the_same_delegation() {
        let named = Name { name: DEFAULT_NAME.into(), name_id: None };
        let id = named.id().unwrap();
        let by_id = Name { name: DEFAULT_NAME.into(), name_id: Some(hex::encode(id)) };
        assert_eq!(by_id.id().unwrap(), id);
        assert!(Name { name: "Main".into(), name_id: None }.id().is_err());
    }
}
