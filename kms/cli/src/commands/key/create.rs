//! `keyward key create`: where the private part lives is the mode.

use std::path::PathBuf;

use keyward_client::KeyWithReceipt;
use keyward_client::shared::{SharedError, SharedOrder};
use keyward_client::vault::KeeperChoice;
use keyward_domain::scheme::Scheme;
use keyward_domain::{Alias, Mode};
use keyward_ledger_core::entry::tenant_id;

use super::answer::answer_change;
use super::shared::keepers;
use super::{Context, parse_scheme};
use crate::commands::own::{PasswordFrom, not_for_apps, unlock, warn_only_here};
use crate::commands::shared::{Steps, is_experimental};
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::aside;
use crate::service::{Service, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// What to call it.
    #[arg(long)]
    alias: String,
    /// What it signs with: ecdsa-secp256k1, bip340, ecdsa-p256 or ed25519.
    #[arg(long)]
    scheme: String,
    /// Where its private part lives: `self` on this device alone, under the password (for a person, unless told
    /// otherwise), `hosted` sealed with the service (for an app, always), `shared` whole nowhere: this device and some of its
    /// keepers sign together (for a person; ed25519, bip340, or with `--experimental` ecdsa-secp256k1).
    #[arg(long, value_parser = ["self", "hosted", "shared"])]
    mode: Option<String>,
    #[command(flatten)]
    circle: Circle,
    #[command(flatten)]
    password: PasswordFrom,
    /// Writes the receipt of its binding here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

/// Of a shared key: who holds the other shares, and under which conditions they sign.
#[derive(Debug, clap::Args)]
struct Circle {
    /// Of a shared key: how many keepers sign with you, at least 2; without it, more than half.
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u8).range(2..=16))]
    threshold: Option<u8>,
    /// Of a shared key: how many keepers, drawn at random, or which ones, as `a,b,c`; without it, all of the ledger's up to three.
    #[arg(long, value_name = "N|NAMES")]
    keepers: Option<String>,
    /// Of a shared key: the approval rule, 64 hex digits, without whose approvals it signs nothing.
    #[arg(long, value_name = "RULE")]
    approval: Option<String>,
    /// Of a shared key: the tenant whose published policies its keepers evaluate.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Of a shared key: how long another device of yours waits before it speaks for the key.
    #[arg(long, value_name = "N", default_value_t = LOCK_HOURS, value_parser = clap::value_parser!(u64).range(0..=8784))]
    lock_hours: u64,
    /// Of a shared key of ecdsa-secp256k1: makes it although its protocol is experimental. No vault takes your share of it,
    /// and its shares are never dealt anew: with the device the key is lost.
    #[arg(long)]
    experimental: bool,
}

/// Two days: time to see that somebody else has the login.
const LOCK_HOURS: u64 = 48;
/// How many keepers there are where nobody says.
const KEEPERS_DEFAULT: usize = 3;

impl Create {
    pub(super) async fn run(self, context: &Context, service: &Service) -> Result<()> {
        let cannot = "cannot make the key";
        files::distinct(self.receipt.iter().map(PathBuf::as_path).chain(self.password.paths()))?;
        let alias = Alias::parse(&self.alias).map_err(|error| Failure::of_coded(cannot, &error))?.to_string();
        let scheme = parse_scheme(&self.scheme)?;
        let speaks = self.password.key_file.is_some();
        let mode = mode(self.mode.as_deref(), service.person, speaks)?;
        if mode != Mode::Shared {
            self.circle.refuse()?;
        }
        if mode == Mode::Shared {
            let made = self.shared(context, service, &alias, scheme).await?;
            answer_change(context, "made", &made, self.receipt)?;
            aside(&only_here(&alias, scheme));
            return Ok(());
        }
        if mode == Mode::Own {
            let made = self.own(context, service, &alias, scheme).await?;
            answer_change(context, "made", &made, self.receipt)?;
            warn_only_here(&alias);
            return Ok(());
        }
        let made = match service.person {
            true => service.client.create_person_key(&alias, scheme).await,
            false => service.client.create_app_key(&alias, scheme).await,
        };
        answer_change(context, "made", &made.map_err(failed(cannot))?, self.receipt)
    }

    async fn own(
        &self,
        context: &Context,
        service: &Service,
        alias: &str,
        scheme: Scheme,
    ) -> Result<KeyWithReceipt> {
        let profile = context.profile()?;
        let own = unlock(context.output, &profile, &service.client, &self.password).await?;
        let made = own.client.create_own_key(alias, scheme, &own.device, &own.login.export_key).await;
        made.map_err(failed("cannot make the key"))
    }
}

impl Create {
    async fn shared(
        &self,
        context: &Context,
        service: &Service,
        alias: &str,
        scheme: Scheme,
    ) -> Result<KeyWithReceipt> {
        let cannot = failed("cannot make the key");
        self.circle.must_know(scheme).map_err(&cannot)?;
        let profile = context.profile()?;
        let own = unlock(context.output, &profile, &service.client, &self.password).await?;
        let chosen = match &self.circle.keepers {
            Some(text) => keepers(text),
            None => {
                let known = own.client.keepers().await.map_err(|error| cannot(error.into()))?;
                KeeperChoice::Any(known.len().min(KEEPERS_DEFAULT))
            }
        };
        let order = self.circle.order(alias, scheme, chosen)?;
        let steps = Steps::new(context.output);
        let show = |step| steps.show(step);
        let made = own.client.create_shared_key(&order, &own.login, &own.device, &show).await;
        drop(steps);
        made.map_err(cannot)
    }
}

impl Circle {
    fn order(&self, alias: &str, scheme: Scheme, keepers: KeeperChoice) -> Result<SharedOrder> {
        let count = match &keepers {
            KeeperChoice::Any(count) => *count,
            KeeperChoice::Named(names) => names.len(),
        };
        let majority = u8::try_from(count / 2 + 1).unwrap_or(u8::MAX);
        Ok(SharedOrder {
            alias: alias.to_owned(),
            scheme,
            threshold: self.threshold.unwrap_or(majority.max(2)),
            keepers,
            approval_rule: self.approval.as_deref().map(rule).transpose()?,
            policy_tenant: self.tenant.as_deref().map(tenant_id),
            lock_ms: self.lock_hours * 3_600_000,
            experimental: self.experimental,
        })
    }

    /// Asks for the word that the scheme needs, before anybody is asked for a password.
    fn must_know(&self, scheme: Scheme) -> std::result::Result<(), SharedError> {
        if is_experimental(scheme) && !self.experimental {
            return Err(SharedError::Experimental { scheme: scheme.name() });
        }
        Ok(())
    }

    /// Nothing of this is for keys of other modes.
    fn refuse(&self) -> Result<()> {
        let given = self.threshold.is_some()
            || self.keepers.is_some()
            || self.approval.is_some()
            || self.tenant.is_some()
            || self.lock_hours != LOCK_HOURS
            || self.experimental;
        if !given {
            return Ok(());
        }
        let what = "`--threshold`, `--keepers`, `--approval`, `--tenant`, `--lock-hours` and `--experimental` are for \
                    shared keys";
        Err(Failure::usage(what, "give `--mode shared`, or leave them away"))
    }
}

fn rule(text: &str) -> Result<[u8; 32]> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        Failure::usage(
            format!("`{text}` is no approval rule"),
            "give the 64 hex digits that `keyward approve rule show` prints",
        )
    })
}

/// What a share on this device alone means for the key.
fn only_here(alias: &str, scheme: Scheme) -> String {
    if is_experimental(scheme) {
        return format!(
            "keyward: `{alias}` signs by an experimental protocol: nobody outside has reviewed its code. Your share is on this \
             device alone, no vault takes it, and with the device the key is lost: keep nothing under it that you cannot lose"
        );
    }
    format!(
        "keyward: your share of `{alias}` is on this device alone; `keyward vault seal` backs it up, and without that the key \
         signs nothing more once the device is lost"
    )
}

/// The mode that is meant: a person's own, unless told otherwise. An app shares keys in the name of the one that speaks for it.
fn mode(asked: Option<&str>, person: bool, speaks: bool) -> Result<Mode> {
    match (asked.and_then(Mode::from_name), person) {
        (Some(Mode::Shared), false) if speaks => Ok(Mode::Shared),
        (None | Some(Mode::Own), true) => Ok(Mode::Own),
        (Some(Mode::Shared), true) => Ok(Mode::Shared),
        (Some(Mode::Own | Mode::Shared), false) => Err(not_for_apps()),
        (None | Some(Mode::Hosted | Mode::Linked), _) => Ok(Mode::Hosted),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn persons_keep_their_keys_unless_told_otherwise_and_apps_never_do() {
        assert_eq!(mode(None, true, false).unwrap(), Mode::Own);
        assert_eq!(mode(Some("self"), true, false).unwrap(), Mode::Own);
        assert_eq!(mode(Some("hosted"), true, false).unwrap(), Mode::Hosted);
        assert_eq!(mode(None, false, false).unwrap(), Mode::Hosted);
        assert_eq!(mode(Some("hosted"), false, false).unwrap(), Mode::Hosted);
        assert_eq!(mode(Some("self"), false, false).unwrap_err().exit, Exit::Usage);
        assert_eq!(mode(Some("shared"), true, false).unwrap(), Mode::Shared);
        assert_eq!(mode(Some("shared"), false, false).unwrap_err().exit, Exit::Usage);
        assert_eq!(
            mode(Some("shared"), false, true).unwrap(),
            Mode::Shared,
            "in the name of an app's own key"
        );
        assert_eq!(mode(Some("self"), false, true).unwrap_err().exit, Exit::Usage);
    }

    fn circle() -> Circle {
        Circle {
            threshold: None,
            keepers: None,
            approval: None,
            tenant: None,
            lock_hours: LOCK_HOURS,
            experimental: false,
        }
    }

    #[test]
    fn a_shared_key_takes_more_than_half_of_its_keepers_and_at_least_two() {
        for (keepers, threshold) in [(2, 2), (3, 2), (4, 3), (5, 3)] {
            let order = circle().order("a", Scheme::Ed25519, KeeperChoice::Any(keepers)).unwrap();
            assert_eq!((order.threshold, order.lock_ms), (threshold, 48 * 3_600_000), "{keepers}");
        }
    }

    #[test]
    fn an_experimental_scheme_is_shared_by_those_alone_who_ask_for_it() {
        let known = Circle { experimental: true, ..circle() };
        for scheme in [Scheme::Ed25519, Scheme::Bip340, Scheme::EcdsaSecp256k1] {
            known.must_know(scheme).unwrap();
        }
        for scheme in [Scheme::Ed25519, Scheme::Bip340] {
            circle().must_know(scheme).unwrap();
            assert!(only_here("a", scheme).contains("vault seal"));
        }
        let error = circle().must_know(Scheme::EcdsaSecp256k1).unwrap_err();
        assert_eq!(error.code(), Some("SHARED_EXPERIMENTAL"));
        assert!(error.remedy().unwrap().contains("--experimental"));
        assert!(only_here("a", Scheme::EcdsaSecp256k1).contains("no vault takes it"));
        assert!(
            circle().order("a", Scheme::Bip340, KeeperChoice::Any(3)).is_ok_and(|order| !order.experimental)
        );
    }

    #[test]
    fn what_is_for_shared_keys_is_refused_for_others() {
        circle().refuse().unwrap();
        let given = [
            Circle { threshold: Some(2), ..circle() },
            Circle { keepers: Some("3".into()), ..circle() },
            Circle { approval: Some("00".repeat(32)), ..circle() },
            Circle { tenant: Some("bank".into()), ..circle() },
            Circle { lock_hours: 1, ..circle() },
            Circle { experimental: true, ..circle() },
        ];
        for circle in given {
            assert_eq!(circle.refuse().unwrap_err().exit, Exit::Usage, "{circle:?}");
        }
        assert_eq!(rule("beef").unwrap_err().exit, Exit::Usage);
    }
}
