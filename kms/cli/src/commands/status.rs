//! `keyward status`: what the custody service says of itself, for operators.

use keyward_proto::custody::Notice;
use serde_json::{Value, json};

use super::Context;
use super::key::moment;
use crate::failure::Result;
use crate::service::{As, connect, failed};

/// Unreleased intents and undelivered notices that are shown in words; `--output json` names all.
const SHOWN_MAX: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Status {}

impl Status {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let service = connect(&context.profile()?, As::Certificate).await?;
        let status = service.client.status().await.map_err(failed("cannot see the service's status"))?;
        let ready = |ready: bool| if ready { "ready" } else { "NOT READY" };
        let mut words = format!(
            "version {}; ledger {}, height {}; token {}\n  policy {}",
            status.version,
            ready(status.ledger_reachable),
            status.ledger_height,
            ready(status.token_ready),
            hex::encode(&status.policy),
        );
        words += &match status.unreleased.len() {
            0 => "\n  no intent is left without a signature".to_owned(),
            count => format!("\n  intents without a signature, none of which will get one: {count}"),
        };
        for intent in status.unreleased.iter().take(SHOWN_MAX) {
            let (id, key) = (hex::encode(&intent.intent_id), hex::encode(&intent.key_id));
            words += &format!("\n    {id}  key {key}  {}", intent.state);
        }
        let notices = service.client.undelivered_notices().await;
        let notices = notices.map_err(failed("cannot see which notices were not delivered"))?;
        words += &told(&notices);
        let unreleased: Vec<_> = status
            .unreleased
            .iter()
            .map(|intent| {
                json!({
                    "intent_id": hex::encode(&intent.intent_id), "key_id": hex::encode(&intent.key_id),
                    "created_unix_ms": intent.created_unix_ms, "state": intent.state,
                })
            })
            .collect();
        let json = json!({
            "version": status.version, "chain_id": hex::encode(&status.chain_id),
            "policy": hex::encode(&status.policy), "ledger_height": status.ledger_height,
            "ledger_reachable": status.ledger_reachable, "token_ready": status.token_ready,
            "trust": status.trust, "unreleased": unreleased,
            "notices": notices.iter().map(to_json).collect::<Vec<_>>(),
        });
        context.output.answer(words, &json);
        Ok(())
    }
}

/// Owners who were not told, and when that is tried again.
fn told(notices: &[Notice]) -> String {
    if notices.is_empty() {
        return "\n  every owner was told of what waits for a veto".to_owned();
    }
    let mut words = format!("\n  notices to owners that were not delivered: {}", notices.len());
    for notice in notices.iter().take(SHOWN_MAX) {
        let state = match notice.state.as_str() {
            "waiting" => format!("tried {} times, again at {}", notice.tries, moment(notice.next_unix_ms)),
            _ => format!("given up after {} times", notice.tries),
        };
        words += &format!(
            "\n    {} to account {} by {}, since {}: {state}",
            notice.kind,
            hex::encode(&notice.account),
            notice.channel,
            moment(notice.created_unix_ms),
        );
    }
    words
}

fn to_json(notice: &Notice) -> Value {
    json!({
        "id": hex::encode(&notice.id), "account": hex::encode(&notice.account), "kind": notice.kind,
        "channel": notice.channel, "state": notice.state, "tries": notice.tries,
        "created_unix_ms": notice.created_unix_ms, "next_unix_ms": notice.next_unix_ms,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn owners_who_were_not_told_are_named_with_the_next_try() {
        assert!(told(&[]).contains("every owner was told"));
        let waiting = Notice {
            id: vec![1; 32].into(),
            account: vec![0xab; 32].into(),
            kind: "recovery-opened".into(),
            channel: "mail".into(),
            state: "waiting".into(),
            tries: 3,
            created_unix_ms: 1_000,
            next_unix_ms: 61_000,
        };
        let given_up = Notice { state: "given-up".into(), channel: "webhook".into(), ..waiting.clone() };
        let json = to_json(&waiting);
        assert_eq!((&json["account"], &json["tries"]), (&"ab".repeat(32).into(), &3.into()));
        let words = told(&[waiting, given_up]);
        for part in
            ["not delivered: 2", &"ab".repeat(32), "recovery-opened", "by mail", "1970", "given up after 3"]
        {
            assert!(words.contains(part), "{part} is not said: {words}");
        }
        let many = vec![Notice::default(); 12];
        assert_eq!(told(&many).lines().count(), 2 + SHOWN_MAX);
    }
}
