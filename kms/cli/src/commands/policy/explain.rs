//! `keyward policy explain`: what would be decided of a request, and why.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Context, read, show};
use crate::failure::Result;
use crate::files;
use crate::service::{As, connect, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// The request as JSON, as in a file of cases; or say it with the options below.
    #[arg(conflicts_with_all = ["kind", "account"])]
    request: Option<PathBuf>,
    /// Under this set, instead of the one in force.
    #[arg(long, value_name = "FILE")]
    under: Option<PathBuf>,
    /// Who signs: app, operator, user, or holder of a shared key.
    #[arg(long, value_name = "KIND", required_unless_present = "request")]
    kind: Option<String>,
    /// By which name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The account that signs and holds the key, 64 hex digits.
    #[arg(long, value_name = "ACCOUNT", required_unless_present = "request")]
    account: Option<String>,
    /// The key's mode: hosted, linked, self or shared.
    #[arg(long, default_value = "hosted", value_name = "MODE")]
    mode: String,
    /// The key's id, 64 hex digits.
    #[arg(long, value_name = "KEY ID")]
    key: Option<String>,
    /// How the payload is written; without it, it is opaque.
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// The currency: `gwei`, `sat`, a code, or a token's contract.
    #[arg(long, value_name = "UNIT", requires = "format")]
    currency: Option<String>,
    /// The amount, in the currency's minor unit.
    #[arg(long, value_name = "N", requires = "format")]
    amount: Option<i64>,
    /// Somebody to whom it goes; may be said again.
    #[arg(long, value_name = "DESTINATION", requires = "format")]
    to: Vec<String>,
    /// The hour, 0 to 23, UTC.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=23), value_name = "HOUR")]
    hour: u8,
    /// The weekday, 1 (Monday) to 7, UTC.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=7), value_name = "DAY")]
    weekday: u8,
    /// An approval rule under which it is approved, 64 hex digits; may be said again.
    #[arg(long, value_name = "RULE")]
    approved: Vec<String>,
}

impl Explain {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let request = match &self.request {
            Some(file) => String::from_utf8_lossy(&files::read(file)?).into_owned(),
            None => self.said().to_string(),
        };
        let under = self.under.as_deref().map(read).transpose()?;
        let client = connect(&context.profile()?, As::Certificate).await?.client;
        let verdict = client.explain_policy(&request, under.as_deref()).await;
        let verdict = verdict.map_err(failed("cannot explain"))?;
        let next = match verdict.decision.as_str() {
            "needs-approval" => "\n  ask for it with `keyward approve ask`, and sign with the approved case",
            _ => "",
        };
        context.output.answer(format!("{}{next}", show::verdict(Some(&verdict))), &show::to_json(&verdict));
        Ok(())
    }

    /// A signature, as the options say it.
    fn said(&self) -> Value {
        let account = self.account.clone().unwrap_or_default();
        let mut payload =
            json!({ "format": self.format.clone().unwrap_or_default(), "destinations": self.to });
        if let Value::Object(payload) = &mut payload {
            payload.extend(self.currency.clone().map(|unit| ("currency".to_owned(), unit.into())));
            payload.extend(self.amount.map(|amount| ("amount".to_owned(), amount.into())));
        }
        let mut signing = json!({ "hour": self.hour, "weekday": self.weekday, "approvals": self.approved });
        if let (Value::Object(signing), true) = (&mut signing, self.format.is_some()) {
            signing.insert("payload".to_owned(), payload);
        }
        let person = self.kind.as_deref() == Some("user");
        let resource = match self.mode.as_str() {
            "shared" => json!({ "shared": { "account": account, "id": self.key } }),
            mode => json!({ "key": { "account": account, "id": self.key, "mode": mode, "person": person } }),
        };
        let mut actor = json!({ "kind": self.kind, "account": account });
        if let (Value::Object(actor), Some(name)) = (&mut actor, &self.name) {
            actor.insert("name".to_owned(), name.clone().into());
        }
        json!({ "actor": actor, "verb": "key.sign", "resource": resource, "signing": signing })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use clap::Parser as _;
    use keyward_policies::PolicySet;
    use keyward_policies::cases::Asked;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        explain: Explain,
    }

    fn decided(line: &str) -> String {
        let explain = Line::try_parse_from(line.split_whitespace()).unwrap().explain;
        let rule = "ab".repeat(32);
        let text = format!(
            r#"@id("limit") @approval("{rule}") forbid (principal, action == Action::"key.sign", resource)
            when {{ context.opaque || context.amount > 100 }} unless {{ context.approvals.contains("{rule}") }};"#
        );
        let set = PolicySet::embedded().unwrap().with_tenant(&text).unwrap();
        let asked = Asked::from_json(&explain.said().to_string()).unwrap();
        asked.decide(&set).unwrap().name().to_owned()
    }

    #[test]
    fn what_the_options_say_is_what_is_decided() {
        let account = "01".repeat(32);
        let of = |kind: &str, rest: &str| decided(&format!("x --kind {kind} --account {account} {rest}"));
        assert_eq!(of("app", "--format pain.001 --currency EUR --amount 100 --to iban:X"), "allow");
        assert_eq!(of("app", "--format pain.001 --currency EUR --amount 101"), "needs-approval");
        assert_eq!(
            of("app", "--approved abababababababababababababababababababababababababababababababab"),
            "allow"
        );
        assert_eq!(of("app", ""), "needs-approval", "nothing is said of the payload");
        assert_eq!(of("user", "--format pain.001 --mode self"), "allow");
        assert_eq!(of("auditor", "--format pain.001"), "deny");
    }
}
