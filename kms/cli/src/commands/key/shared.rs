//! `keyward key shared`: who holds a shared key, and what happens to its shares.

use std::path::PathBuf;

use keyward_client::shared::{RenewOrder, SharedStatus};
use keyward_client::vault::KeeperChoice;
use serde_json::{Value, json};

use super::{Context, answer::moment, parse_key};
use crate::commands::own::{PasswordFrom, Unlocked, account_of, unlock};
use crate::commands::shared::{EXPERIMENTAL, Steps, is_experimental};
use crate::failure::Result;
use crate::files::{self, Access};
use crate::service::{Service, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Shared {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// What the ledger proves of a shared key: its keepers, how many of them sign, the device that speaks for you.
    Show(Named),
    /// Deals the shares anew, to other keepers or with another threshold. The key and its address stay; a vault's copy of your
    /// share is worthless afterwards.
    Renew(Renew),
    /// Gives a keeper back the share that it lost.
    Repair(Repair),
    /// Has this device speak for you in the place of the one that did, after the key's lock. The share must be here, from a vault.
    ReplaceDevice(Change),
    /// Stops another device that is about to speak for you: on the device that does.
    CancelDevice(Change),
}

#[derive(Debug, clap::Args)]
struct Named {
    /// Alias, or key id in hex.
    key: String,
}

#[derive(Debug, clap::Args)]
struct Renew {
    #[command(flatten)]
    named: Named,
    /// How many keepers sign with you from now on; without it, as many as before.
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u8).range(2..=16))]
    threshold: Option<u8>,
    /// How many keepers, drawn at random, or which ones, as `a,b,c`; without it, those of before.
    #[arg(long, value_name = "N|NAMES")]
    keepers: Option<String>,
    #[command(flatten)]
    password: PasswordFrom,
    /// Writes the receipt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Repair {
    #[command(flatten)]
    named: Named,
    /// The keeper's name.
    #[arg(long, value_name = "NAME")]
    keeper: String,
    #[command(flatten)]
    password: PasswordFrom,
}

#[derive(Debug, clap::Args)]
struct Change {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    password: PasswordFrom,
    /// Writes the receipt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl Shared {
    pub(super) async fn run(self, context: &Context, service: &Service) -> Result<()> {
        match self.verb {
            Verb::Show(named) => {
                let key = parse_key(&named.key)?;
                let client = match service.person {
                    true => service.client.clone(),
                    false => service.client.clone().with_account(account_of(&service.client, &key).await?),
                };
                let status = client.shared_status(&key).await;
                let status = status.map_err(failed("cannot show the key"))?;
                context.output.answer(words(&status), &to_json(&status));
                Ok(())
            }
            Verb::Renew(renew) => renew.run(context, service).await,
            Verb::Repair(repair) => repair.run(context, service).await,
            Verb::ReplaceDevice(change) => change.replace(context, service).await,
            Verb::CancelDevice(change) => change.cancel(context, service).await,
        }
    }
}

async fn enter(context: &Context, service: &Service, password: &PasswordFrom) -> Result<Unlocked> {
    unlock(context.output, &context.profile()?, &service.client, password).await
}

fn kept(receipt: &[u8], file: Option<&PathBuf>) -> Result<String> {
    let Some(path) = file else { return Ok(String::new()) };
    files::write(path, receipt, Access::Public)?;
    Ok(format!("\n  receipt     {}", path.display()))
}

/// So many keepers, or these.
pub(super) fn keepers(text: &str) -> KeeperChoice {
    match text.parse() {
        Ok(count) => KeeperChoice::Any(count),
        Err(_) => KeeperChoice::Named(text.split(',').map(|name| name.trim().to_owned()).collect()),
    }
}

impl Renew {
    async fn run(self, context: &Context, service: &Service) -> Result<()> {
        files::distinct(self.receipt.iter().map(PathBuf::as_path).chain(self.password.paths()))?;
        let key = parse_key(&self.named.key)?;
        let own = enter(context, service, &self.password).await?;
        let order = RenewOrder { threshold: self.threshold, keepers: self.keepers.as_deref().map(keepers) };
        let steps = Steps::new(context.output);
        let show = |step| steps.show(step);
        let cannot = failed("cannot deal the shares anew");
        let receipt = own.client.renew_shared_key(&key, &order, &own.login, &own.device, &show).await;
        drop(steps);
        let receipt = receipt.map_err(&cannot)?;
        let status = own.client.shared_status(&key).await.map_err(cannot)?;
        let kept = kept(&receipt, self.receipt.as_ref())?;
        let words = format!(
            "the shares of `{key}` were dealt anew\n{}{kept}\nseal the vault that has your share anew (`keyward vault seal --anew`)",
            words(&status)
        );
        let mut json = to_json(&status);
        if let Value::Object(map) = &mut json {
            map.insert("receipt".into(), json!(hex::encode(&receipt)));
        }
        context.output.answer(words, &json);
        Ok(())
    }
}

impl Repair {
    async fn run(self, context: &Context, service: &Service) -> Result<()> {
        let key = parse_key(&self.named.key)?;
        let own = enter(context, service, &self.password).await?;
        let steps = Steps::new(context.output);
        let show = |step| steps.show(step);
        let repaired = own.client.repair_shared_key(&key, &self.keeper, &own.login, &own.device, &show).await;
        drop(steps);
        repaired.map_err(failed("cannot give the keeper its share back"))?;
        let words = format!("keeper `{}` has its share of `{key}` again", self.keeper);
        context.output.answer(words, &json!({ "key": key, "keeper": self.keeper }));
        Ok(())
    }
}

impl Change {
    async fn replace(self, context: &Context, service: &Service) -> Result<()> {
        files::distinct(self.receipt.iter().map(PathBuf::as_path).chain(self.password.paths()))?;
        let key = parse_key(&self.named.key)?;
        let own = enter(context, service, &self.password).await?;
        let changed = own.client.replace_shared_device(&key, &own.login, &own.device).await;
        let changed = changed.map_err(failed("cannot have this device speak for you"))?;
        let kept = kept(&changed.receipt, self.receipt.as_ref())?;
        let words = match changed.opens_ms {
            Some(opens_ms) => format!(
                "this device speaks for `{key}` from {} on, unless the present one stops it (`keyward key shared cancel-device`){kept}",
                moment(opens_ms)
            ),
            None => format!("this device speaks for `{key}` now{kept}"),
        };
        let json = json!({
            "key": key, "opens_unix_ms": changed.opens_ms, "receipt": hex::encode(&changed.receipt),
        });
        context.output.answer(words, &json);
        Ok(())
    }

    async fn cancel(self, context: &Context, service: &Service) -> Result<()> {
        files::distinct(self.receipt.iter().map(PathBuf::as_path).chain(self.password.paths()))?;
        let key = parse_key(&self.named.key)?;
        let own = enter(context, service, &self.password).await?;
        let receipt = own.client.cancel_shared_device(&key, &own.login, &own.device).await;
        let receipt = receipt.map_err(failed("cannot stop the other device"))?;
        let kept = kept(&receipt, self.receipt.as_ref())?;
        let words = format!(
            "the other device will not speak for `{key}`: whoever put it there has your login; change the password{kept}"
        );
        context.output.answer(words, &json!({ "key": key, "receipt": hex::encode(&receipt) }));
        Ok(())
    }
}

/// `2 of 3`, as lists show it.
pub(super) fn shares(status: &SharedStatus) -> String {
    format!("{} of {}", status.threshold(), status.keepers.len())
}

fn words(status: &SharedStatus) -> String {
    let state = &status.state;
    let keepers: Vec<_> = status.keepers.iter().map(|keeper| keeper.name.as_str()).collect();
    let waits = state.waiting_device(status.time_ms).map(|waiting| {
        format!("{} from {} on", hex::encode(waiting.device.signing_key), moment(waiting.opens_ms))
    });
    let lines = [
        ("key id", Some(status.key_id.to_string())),
        ("scheme", Some(state.scheme.name().to_owned())),
        ("protocol", is_experimental(state.scheme).then(|| EXPERIMENTAL.to_owned())),
        ("signs", Some(format!("you and {} keepers", shares(status)))),
        ("keepers", Some(keepers.join(", "))),
        ("shares", Some(format!("version {}", state.share_version))),
        ("device", Some(hex::encode(status.device().signing_key))),
        ("next device", waits),
        ("lock", Some(format!("{} hours", state.lock_ms / 3_600_000))),
        ("approvals", state.approval_rule.map(|rule| format!("rule {}", hex::encode(rule)))),
        ("policies", state.policy_tenant.map(|tenant| format!("of tenant {}", hex::encode(tenant)))),
    ];
    let shown = lines.iter().filter_map(|(name, value)| Some(format!("  {name:<11} {}", value.as_ref()?)));
    shown.collect::<Vec<_>>().join("\n")
}

fn to_json(status: &SharedStatus) -> Value {
    let state = &status.state;
    let waiting = state.waiting_device(status.time_ms).map(|waiting| {
        json!({
            "signing_key": hex::encode(waiting.device.signing_key), "opens_unix_ms": waiting.opens_ms,
        })
    });
    json!({
        "key_id": status.key_id.to_string(), "scheme": state.scheme.name(), "threshold": status.threshold(),
        "experimental": is_experimental(state.scheme),
        "keepers": status.keepers.iter().map(|keeper| keeper.name.clone()).collect::<Vec<_>>(),
        "share_version": state.share_version, "key_hash": hex::encode(state.key_hash),
        "device": hex::encode(status.device().signing_key), "next_device": waiting, "lock_ms": state.lock_ms,
        "approval_rule": state.approval_rule.map(hex::encode), "policy_tenant": state.policy_tenant.map(hex::encode),
        "height": status.height, "time_unix_ms": status.time_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepers_are_a_number_or_names() {
        assert_eq!(keepers("3"), KeeperChoice::Any(3));
        let named = KeeperChoice::Named(vec!["a".into(), "b".into()]);
        assert_eq!(keepers("a, b"), named);
    }
}
