//! `keyward vault seal`: what goes in, who keeps it, how often it may be guessed at.

use std::path::PathBuf;

use keyward_client::vault::{KeeperChoice, SealError, SealOrder, Sealed, VaultTerms};
use keyward_crypto::vault::{VaultMode, VaultStretch};
use serde_json::json;

use super::enter::{Enter, Entered};
use super::{Context, Named, Steps, answer, factors, failed, keys, named};
use crate::commands::key::life::parse_wait;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};

/// How many keepers there are where nobody says.
const KEEPERS_DEFAULT: usize = 5;

#[derive(Debug, clap::Args)]
pub(super) struct Seal {
    #[command(flatten)]
    named: Named,
    /// What goes in, once for each: the alias or key id of a `self` key or of a shared key whose share is on this device, or
    /// SCHEME:FILE for a private key in a file of mode 0600. Without it, every `self` key and every share on this device.
    #[arg(long = "key", value_name = "KEY|SCHEME:FILE")]
    keys: Vec<String>,
    /// How many keepers, drawn at random, or which ones, as `a,b,c`. Without it, all of the ledger's up to five.
    #[arg(long, value_name = "N|NAMES")]
    keepers: Option<String>,
    /// How many of them open the vault together with the password, at least 2; without it, more than half.
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u8).range(2..=16))]
    threshold: Option<u8>,
    /// How many wrong guesses may follow each other.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// How long one must wait between two guesses, as `10s`; `0s` for not at all.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_period)]
    cool_down: u64,
    /// In what time a spent guess comes back, as `1d`; `0s` for never.
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = parse_period)]
    refill: u64,
    /// How many wrong guesses there may be in all before the vault is locked for good; a right one starts anew.
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    lifetime: u32,
    #[command(flatten)]
    asked: factors::Asked,
    /// What opens it. `self`: password, keepers, and the account's login, so that no set of keepers is enough; after a
    /// change of password seal anew. `vault`: password and keepers alone.
    #[arg(long, value_name = "self|vault", default_value = "self", value_parser = ["self", "vault"])]
    mode: String,
    /// Seals a vault anew that is there already; what lies in it and does not go in again is lost.
    #[arg(long)]
    anew: bool,
    #[command(flatten)]
    enter: Enter,
    /// Writes the receipt of the sealing here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

const CANNOT: &str = "cannot seal the vault";

impl Seal {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let paths = self.receipt.iter().chain(self.enter.files());
        files::distinct(paths.map(PathBuf::as_path))?;
        if self.lifetime < self.limit {
            let what = format!("{} guesses in all are fewer than {} in a row", self.lifetime, self.limit);
            return Err(Failure::usage(what, "give a `--lifetime` that is not below `--limit`"));
        }
        let name = self.named.parse()?;
        let entered = self.enter.run(context, true).await?;
        let order = self.order(&entered).await?;
        let steps = Steps::new(context.output);
        let show = |step| steps.show(step);
        let (login, password) = (&entered.login, &entered.password);
        let sealed = entered.client.seal_vault(login, &name, password, order, &show).await;
        drop(steps);
        let sealed = sealed.map_err(|error| self.refused(error))?;
        if let Some(path) = &self.receipt {
            files::write(path, &sealed.receipt, Access::Public)?;
        }
        self.answer(context, &sealed);
        Ok(())
    }

    async fn order(&self, entered: &Entered) -> Result<SealOrder> {
        let keys = keys::chosen(entered, &self.keys).await?;
        let keepers = self.keepers(entered).await?;
        let count = match &keepers {
            KeeperChoice::Any(count) => *count,
            KeeperChoice::Named(names) => names.len(),
        };
        let majority = u8::try_from(count / 2 + 1).unwrap_or(u8::MAX);
        Ok(SealOrder {
            keys,
            keepers,
            threshold: self.threshold.unwrap_or(majority),
            terms: VaultTerms {
                limit: self.limit,
                lifetime: self.lifetime,
                cool_down_ms: self.cool_down,
                refill_ms: self.refill,
                factors: self.asked.parse(entered.login.session.account)?,
            },
            mode: if self.mode == "self" { VaultMode::Own } else { VaultMode::Vault },
            stretch: VaultStretch::STANDARD,
            anew: self.anew,
        })
    }

    async fn keepers(&self, entered: &Entered) -> Result<KeeperChoice> {
        let Some(wanted) = &self.keepers else {
            let known = entered.client.keepers().await.map_err(failed(CANNOT))?;
            return Ok(KeeperChoice::Any(known.len().min(KEEPERS_DEFAULT)));
        };
        if let Ok(count) = wanted.parse() {
            return Ok(KeeperChoice::Any(count));
        }
        Ok(KeeperChoice::Named(wanted.split(',').map(|name| name.trim().to_owned()).collect()))
    }

    fn refused(&self, error: SealError) -> Failure {
        let error = match error {
            SealError::Vault(error) => return failed(CANNOT)(error),
            error => error,
        };
        let next: String = match &error {
            SealError::Exists { .. } => {
                "give `--anew` if it is to be sealed anew: what lies in it and does not go in again is lost; or another \
                 `--vault`"
                    .into()
            }
            SealError::KeeperUnknown { .. } => "look at `keyward ledger state keepers` for their names".into(),
            SealError::Keepers { .. } => "ask for fewer keepers, or a lower threshold".into(),
            SealError::Vault(_) | SealError::Terms => "correct the terms".into(),
            SealError::Factors(_) => {
                "name those with `--factor` who can sign whenever you have to recover, and no more of them with `--needed`".into()
            }
            SealError::KeyForeign { .. } => {
                "leave it out: somebody else has shown to the ledger that he has this key".into()
            }
            SealError::Draft(_) => "correct what is to be sealed".into(),
            SealError::NotAcknowledged { willing, threshold, .. } => fewer(willing, *threshold),
        };
        let code = match &error {
            SealError::Exists { .. } => "VAULT_EXISTS",
            SealError::KeeperUnknown { .. } => "VAULT_KEEPER_UNKNOWN",
            SealError::Keepers { .. } => "VAULT_KEEPERS_TOO_FEW",
            SealError::NotAcknowledged { .. } => "VAULT_NOT_ACKNOWLEDGED",
            SealError::Factors(_) => "VAULT_FACTORS_INVALID",
            SealError::KeyForeign { .. } => "VAULT_KEY_FOREIGN",
            _ => "VAULT_INVALID",
        };
        let mut refused = Failure::refused(CANNOT, next).because(&error);
        if let SealError::NotAcknowledged { faults, .. } = &error {
            refused.causes.extend(faults.iter().map(answer::fault_words));
        }
        named(refused, code)
    }

    fn answer(&self, context: &Context, sealed: &Sealed) {
        let names: Vec<_> = sealed.keepers.iter().map(|keeper| keeper.name.as_str()).collect();
        let threshold = sealed.sealing.shares.threshold();
        let login = if self.mode == "self" { ", your login" } else { "" };
        let words = format!(
            "vault `{}` is sealed, version {}\n  opens with  the password{login} and {threshold} of {} keepers: {}\n  \
             guesses     {} in a row, {} in all before it locks\n  asks for    {}\nlose nothing but the devices: name and password are all \
             that has to be remembered. `keyward vault check` shows any time that the keepers still hold it",
            self.named.vault,
            sealed.version,
            names.len(),
            names.join(", "),
            self.limit,
            self.lifetime,
            factors::words(&sealed.sealing, &[]),
        );
        let json = json!({
            "vault": self.named.vault, "vault_id": hex::encode(sealed.sealing.vault.name), "version": sealed.version,
            "mode": self.mode, "threshold": threshold, "keepers": names, "leaf_index": sealed.leaf_index,
            "factors": factors::to_json(&sealed.sealing, &[]),
            "sealing": hex::encode(sealed.sealing.hash()), "receipt": hex::encode(&sealed.receipt),
        });
        context.output.answer(words, &json);
    }
}

/// What can be done without those who did not answer.
fn fewer(willing: &[String], threshold: u8) -> String {
    if willing.len() < 2 {
        return "see that keepers run (`keyward ledger state keepers`), then try again; nothing was sealed"
            .into();
    }
    let needed = usize::from(threshold).min(willing.len());
    format!(
        "nothing was sealed; seal to those who answered (`--keepers {} --threshold {needed}`), or try again later",
        willing.join(",")
    )
}

/// A time as [`parse_wait`] takes it, or none at all.
fn parse_period(text: &str) -> std::result::Result<u64, String> {
    if text == "0s" { Ok(0) } else { parse_wait(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_keepers_are_offered_as_long_as_two_are_left() {
        let names = |count: usize| (1..=count).map(|n| format!("k{n}")).collect::<Vec<_>>();
        assert!(fewer(&names(4), 3).contains("--keepers k1,k2,k3,k4 --threshold 3"));
        assert!(fewer(&names(2), 3).contains("--threshold 2"));
        assert!(!fewer(&names(1), 2).contains("--keepers"));
    }

    #[test]
    fn a_period_may_be_none_at_all() {
        assert_eq!((parse_period("0s"), parse_period("90s")), (Ok(0), Ok(90_000)));
        assert!(parse_period("0d").is_err());
    }
}
