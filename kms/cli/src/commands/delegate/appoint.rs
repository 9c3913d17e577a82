//! `keyward delegate appoint` and `revoke`: whom the account trusts, with what, after which delay.

use std::path::PathBuf;

use keyward_client::Client;
use keyward_client::delegation::{DelegationTerms, KeyId, Party, RuleName, Scope, Window};
use serde_json::{Value, json};

use super::word::Word;
use super::{Context, Keep, Name, failed, parse_account, parse_id, show, tell};
use crate::commands::key::life::parse_wait;
use crate::failure::{Failure, Result};
use crate::files;
use crate::service::{As, connect};

#[derive(Debug, clap::Args)]
pub(super) struct Appoint {
    #[command(flatten)]
    name: Name,
    /// A delegate's account, 64 hex digits as `keyward account show` prints them on the delegate's side; once for each. User
    /// names are not taken: the service alone would say whose they are.
    #[arg(long = "delegate", required = true, value_name = "ACCOUNT")]
    delegates: Vec<String>,
    /// How many of them it takes.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=24))]
    needed: u8,
    /// What they may do: take the account back, use its keys within limits, or both. Within limits they have any hosted or linked
    /// key of the account sign any message but Keyward's own words (an approval, a veto), which a linked key's holder gives alone.
    #[arg(long, default_value = "recover", value_name = "recover|operate|both", value_parser = ["recover", "operate", "both"])]
    scope: String,
    /// How long a recovery waits, during which the account can veto it; changes of these terms wait as long.
    #[arg(long, default_value = "7d", value_parser = parse_wait, value_name = "TIME")]
    delay: u64,
    /// How long it may be executed from then on.
    #[arg(long, default_value = "14d", value_parser = parse_wait, value_name = "TIME")]
    open: u64,
    /// For those who use keys, up to four times: in each window of TIME at most COUNT acts, and AMOUNT in all (`any` for no
    /// bound), as `1d 20 5000`. The amount of an act is what the delegates declare: nobody reads it out of the message.
    #[arg(long = "limit", num_args = 3, value_names = ["TIME", "COUNT", "AMOUNT"])]
    limits: Vec<String>,
    /// For those who use keys: the hash of the policy set under which they do; without it, the newest that `keyward delegate
    /// policies` shows.
    #[arg(long, value_name = "HASH")]
    policy: Option<String>,
    /// A key of the account that may veto as its password may, by the key id that was printed when it was made; up to four.
    /// Aliases are not taken: the service alone would say which key they mean.
    #[arg(long = "veto-key", value_name = "KEY ID")]
    veto_keys: Vec<String>,
    /// Who decides from the second veto on: the account of an approval rule and its name's id, 64 hex digits each, as `keyward
    /// approve rule define` prints them.
    #[arg(long, num_args = 2, value_names = ["ACCOUNT", "RULE"])]
    judges: Option<Vec<String>>,
    #[command(flatten)]
    word: Word,
    #[command(flatten)]
    keep: Keep,
}

impl Appoint {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        files::distinct(self.keep.receipt.iter().chain(&self.word.password_file).map(PathBuf::as_path))?;
        let (name, mut terms) = (self.name.id()?, self.terms()?);
        let (client, login) = self.word.login(context).await?;
        if terms.delegates.contains(&Party::Credential(login.session.account)) {
            return Err(Failure::usage(
                "your own account is among the delegates",
                "name others: who has lost the account cannot speak for it",
            ));
        }
        if terms.scope.includes(Scope::OPERATE) && self.policy.is_none() {
            terms.policy = newest_policy(&client).await?;
        }
        let done = client.appoint_delegates(&login, &name, terms).await;
        let done = done.map_err(failed("cannot appoint"))?;
        let (words, json) = after(&client, &name).await;
        tell(
            context,
            &format!("the delegates are named; it holds after the delay\n{words}"),
            &done,
            &self.keep,
            &json,
        )
    }

    fn terms(&self) -> Result<DelegationTerms> {
        let scope = match self.scope.as_str() {
            "operate" => Scope::OPERATE,
            "both" => Scope::BOTH,
            _ => Scope::RECOVER,
        };
        let acts = scope.includes(Scope::OPERATE);
        let mut delegates = self
            .delegates
            .iter()
            .map(|account| parse_account(account).map(Party::Credential))
            .collect::<Result<Vec<_>>>()?;
        distinct(&mut delegates, "a delegate")?;
        if usize::from(self.needed) > delegates.len() {
            let what = format!("{} delegates are needed, and {} are named", self.needed, delegates.len());
            return Err(Failure::usage(what, "name more of them, or lower `--needed`"));
        }
        let windows = self.windows()?;
        if acts == windows.is_empty() || (!acts && self.policy.is_some()) {
            let next = "give `--limit TIME COUNT AMOUNT` with `--scope operate` or `both`, and neither limits nor `--policy` without";
            return Err(Failure::usage("limits and policy belong to delegates who use keys", next));
        }
        let hash = |hash: &String| parse_id(hash, "see `keyward delegate policies`");
        let mut vetoers = self.veto_keys.iter().map(|id| key_id(id)).collect::<Result<Vec<_>>>()?;
        distinct(&mut vetoers, "a key")?;
        let judges = match self.judges.as_deref() {
            Some([owner, name]) => {
                let name = parse_id(name, "give the name under which the judges' rule was defined")?;
                Some(RuleName { owner: parse_account(owner)?, name })
            }
            _ => None,
        };
        let policy = self.policy.as_ref().map(hash).transpose()?.unwrap_or_default();
        let (delay_ms, open_ms, needed) = (self.delay, self.open, self.needed);
        Ok(DelegationTerms { scope, delay_ms, open_ms, needed, delegates, vetoers, judges, policy, windows })
    }

    fn windows(&self) -> Result<Vec<Window>> {
        let mut windows = Vec::new();
        for limit in self.limits.chunks(3) {
            let [length, count, amount] = limit else { continue };
            let length_ms =
                parse_wait(length).map_err(|why| Failure::usage(why, "as in `--limit 1d 20 5000`"))?;
            let number = |text: &str| text.parse::<u128>().ok();
            let amount_max = if amount == "any" { Some(u128::MAX) } else { number(amount) };
            let (Some(count_max), Some(amount_max)) = (count.parse().ok(), amount_max) else {
                let what = format!("`{count} {amount}` are no count and amount");
                return Err(Failure::usage(
                    what,
                    "give whole numbers, as `--limit 1d 20 5000`, or `any` for the amount",
                ));
            };
            windows.push(Window { length_ms, count_max, amount_max });
        }
        windows.sort_by_key(|window| window.length_ms);
        Ok(windows)
    }
}

pub(super) fn key_id(text: &str) -> Result<KeyId> {
    parse_id(
        text,
        "give the key id that was printed when the key was made, 64 hex digits; an alias is not taken here",
    )
    .map(KeyId)
}

fn distinct<T: Ord>(all: &mut [T], what: &str) -> Result<()> {
    all.sort();
    if all.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(Failure::usage(format!("{what} is named twice"), "name each once"));
    }
    Ok(())
}

async fn newest_policy(client: &Client) -> Result<[u8; 32]> {
    let all = client.delegate_policies().await.map_err(failed("cannot read the policies"))?;
    let none = || Failure::refused("the service has no policy set for delegates", "ask its operator for one");
    Ok(all.last().ok_or_else(none)?.hash)
}

pub(super) async fn revoke(context: &Context, name: &Name, word: &Word, keep: &Keep) -> Result<()> {
    files::distinct(keep.receipt.iter().chain(&word.password_file).map(PathBuf::as_path))?;
    let name = name.id()?;
    let (client, login) = word.login(context).await?;
    let done = client.revoke_delegates(&login, &name).await.map_err(failed("cannot revoke"))?;
    let (words, json) = after(&client, &name).await;
    let words = format!(
        "revoked: the delegates use no key from now on; those who may take the account back may until it ends\n{words}"
    );
    tell(context, &words, &done, keep, &json)
}

/// How the delegation stands now. The entry is final: not to see what became of it is no failure.
async fn after(client: &Client, name: &[u8; 32]) -> (String, Value) {
    match client.delegations(None).await {
        Ok(trust) => match trust.named(name) {
            Some(found) => {
                (show::block(&trust, found), json!({ "delegation": show::to_json(&trust, found) }))
            }
            None => ("nothing of it is left".to_owned(), json!({ "delegation": null })),
        },
        Err(_unseen) => ("see `keyward delegate list`".to_owned(), json!({})),
    }
}

pub(super) async fn policies(context: &Context) -> Result<()> {
    let client = connect(&context.profile()?, As::Whoever).await?.client;
    let all = client.delegate_policies().await.map_err(failed("cannot read the policies"))?;
    let words: Vec<_> = all
        .iter()
        .map(|set| {
            let files: Vec<_> = set.files.iter().map(|(name, text)| format!("// {name}\n{text}")).collect();
            format!("policy set {}\n{}", hex::encode(set.hash), files.join("\n"))
        })
        .collect();
    let json: Vec<_> = all
        .iter()
        .map(|set| {
            let file = |(name, text): &(String, String)| json!({ "name": name, "text": text });
            json!({ "hash": hex::encode(set.hash), "schema": set.schema, "files": set.files.iter().map(file).collect::<Vec<_>>() })
        })
        .collect();
    context.output.answer(words.join("\n\n"), &json!({ "policies": json }));
    Ok(())
}
