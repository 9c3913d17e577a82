//! `keyward bench vault`: sealing and recovering end to end, and what both sides compute for it.
//!
//! End to end is a person's own client against a running Keyward: every receipt and proof verified, one Argon2id with
//! the standard cost in each. What the user's side computes beside that Argon2id, and what a keeper computes for an
//! evaluation, is measured in this process by the CPU time of one thread.

mod alone;

use std::time::{Duration, Instant};

use keyward_client::vault::{Factors, KeeperChoice, SealOrder, VaultTerms};
use keyward_client::{Client, Login, Password};
use keyward_crypto::vault::{VaultMode, VaultStretch, VaultedKey};
use keyward_crypto::{SecretBytes, SigningKey};
use keyward_domain::VaultName;
use keyward_domain::scheme::Scheme;
use serde_json::{Value, json};

use alone::{Computed, computed};

use super::person::Person;
use super::site::Site;
use crate::commands::Context;
use crate::failure::{Failure, Result};
use crate::local::state::Wanted;

/// What the figures of both sides' computing are about.
const THRESHOLD: u8 = 3;
const VALIDATORS_MIN: usize = 4;
/// What the design promises.
const USER_MS_GOAL: f64 = 20.0;
const EVALUATIONS_GOAL: f64 = 2_000.0;
#[derive(Debug, clap::Args)]
pub(super) struct Vault {
    /// How often is sealed and recovered.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// How many keepers hold shares. A Keyward of our own is founded with as many validators, a keeper beside each.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(2..=16))]
    keepers: u8,
    /// How many of them open the vault.
    #[arg(long, value_name = "T", default_value_t = THRESHOLD, value_parser = clap::value_parser!(u8).range(2..=16))]
    threshold: u8,
    /// How long evaluations are counted.
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// The folder of a running `keyward up` to measure.
    #[arg(long, value_name = "DIR")]
    dir: Option<std::path::PathBuf>,
}

/// Times of whole operations, in milliseconds.
struct EndToEnd {
    keepers: usize,
    threshold: u8,
    seal: Vec<f64>,
    recover: Vec<f64>,
}

impl Vault {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        if self.threshold > self.keepers {
            let what = format!("{} of {} keepers cannot be", self.threshold, self.keepers);
            return Err(Failure::usage(what, "give a `--threshold` that is not above `--keepers`"));
        }
        // A ledger needs four validators to bear the fault of one.
        let validators = usize::from(self.keepers).max(VALIDATORS_MIN);
        let wanted = Wanted { validators: Some(validators), ..Wanted::default() };
        let mut site = Site::choose(context, self.dir.as_deref(), wanted)?;
        let measured = tokio::select! {
            measured = self.measure(context, &mut site) => Some(measured),
            () = crate::signals::end() => None,
        };
        site.close(measured.as_ref().is_none_or(Result::is_ok)).await;
        let broken_off = || Err(Failure::refused("the measurement was broken off", "run it again"));
        let (whole, computed) = measured.unwrap_or_else(broken_off)?;
        let json = json(&whole, &computed);
        context.output.answer(words(&whole, &computed), &json);
        Ok(())
    }

    async fn measure(&self, context: &Context, site: &mut Site) -> Result<(EndToEnd, Computed)> {
        site.start().await?;
        let whole = {
            let _waiting =
                context.output.wait_for(format!("{} vaults are sealed and recovered", self.rounds));
            self.end_to_end(site).await?
        };
        let _waiting = context.output.wait_for("both sides compute alone");
        let seconds = Duration::from_secs(self.seconds);
        let computed = tokio::task::spawn_blocking(move || computed(seconds)).await;
        let computed = computed.map_err(|error| broken(&error))??;
        Ok((whole, computed))
    }

    async fn end_to_end(&self, site: &Site) -> Result<EndToEnd> {
        let person = Owner::register(site).await?;
        let (keepers, threshold) = (usize::from(self.keepers), self.threshold);
        let known = person.client.keepers().await.map_err(|error| broken(&error))?.len();
        if known < keepers {
            let what = format!("the ledger has {known} keepers, and {keepers} are to hold shares");
            return Err(Failure::refused(what, "measure with fewer (`--keepers`, `--threshold`)"));
        }
        let mut whole = EndToEnd { keepers, threshold, seal: Vec::new(), recover: Vec::new() };
        for round in 0..self.rounds {
            let order = order(keepers, threshold, round > 0)?;
            let began = Instant::now();
            person.seal(order).await?;
            whole.seal.push(ms(began.elapsed()));
            let began = Instant::now();
            person.recover().await?;
            whole.recover.push(ms(began.elapsed()));
        }
        Ok(whole)
    }
}

/// Somebody of our own, with a vault.
struct Owner {
    client: Client,
    login: Login,
    password: Password,
    vault: VaultName,
}

impl Owner {
    async fn register(site: &Site) -> Result<Self> {
        let person = Person::register(site).await?;
        let (client, login) = person.log_in(site).await?;
        let vault = VaultName::parse(VaultName::DEFAULT);
        let vault = vault.map_err(|error| Failure::of_coded("the vault cannot be named", &error))?;
        Ok(Self { client, login, password: person.password, vault })
    }

    async fn seal(&self, order: SealOrder) -> Result<()> {
        let sealed = self.client.seal_vault(&self.login, &self.vault, &self.password, order, &|_| ()).await;
        sealed.map(drop).map_err(|error| broken(&error))
    }

    async fn recover(&self) -> Result<()> {
        let opened = self.client.recover_vault(&self.login, &self.vault, &self.password, "", &|_| ()).await;
        opened.map(drop).map_err(|error| broken(&error))
    }
}

fn order(keepers: usize, threshold: u8, anew: bool) -> Result<SealOrder> {
    Ok(SealOrder {
        keys: vec![key()?],
        keepers: KeeperChoice::Any(keepers),
        threshold,
        terms: VaultTerms { limit: 5, lifetime: 25, cool_down_ms: 0, refill_ms: 0, factors: Factors::Own },
        mode: VaultMode::Own,
        stretch: VaultStretch::STANDARD,
        anew,
    })
}

fn key() -> Result<VaultedKey> {
    let key = SigningKey::generate(Scheme::Ed25519).map_err(|error| broken(&error))?;
    let secret = SecretBytes::new(key.expose(|secret| secret.to_vec()));
    Ok(VaultedKey { id: *key.public_key().id().as_bytes(), public_key: key.public_key().clone(), secret })
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::refused("the vault cannot be measured", "see that keepers run, then try again").because(error)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The middle one of what was measured.
fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn json(whole: &EndToEnd, computed: &Computed) -> Value {
    let recover = median(&whole.recover);
    json!({
        "what": format!("vaults with {} of {} keepers", whole.threshold, whole.keepers),
        "rounds": whole.recover.len(),
        "seal_p50_ms": tenths(median(&whole.seal)),
        "recover_p50_ms": tenths(recover),
        "argon2id_ms": tenths(computed.argon2id_ms),
        "recover_over_argon2id": tenths(recover / computed.argon2id_ms.max(f64::EPSILON)),
        "user_seal_compute_ms": tenths(computed.seal_ms),
        "user_recover_compute_ms": tenths(computed.recover_ms),
        "user_recover_compute_ms_goal": USER_MS_GOAL,
        "user_recover_over_argon2id": (computed.recover_ms / computed.argon2id_ms.max(f64::EPSILON) * 1e3).round() / 1e3,
        "evaluations_per_s_of_a_core": computed.evaluations_per_s.round(),
        "evaluations_per_s_goal": EVALUATIONS_GOAL,
        "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    })
}

fn words(whole: &EndToEnd, computed: &Computed) -> String {
    format!(
        "{} vaults with {} of {} keepers, every proof verified\n  sealing     p50 {:.0} ms, of which the user's side computes \
         {:.1} ms\n  recovering  p50 {:.0} ms, of which {:.0} ms are one Argon2id and {:.1} ms all else that the user's side \
         computes (goal {USER_MS_GOAL:.0})\n  keepers     {:.0} evaluations/s on one core (goal {EVALUATIONS_GOAL:.0})",
        whole.recover.len(),
        whole.threshold,
        whole.keepers,
        median(&whole.seal),
        computed.seal_ms,
        median(&whole.recover),
        computed.argon2id_ms,
        computed.recover_ms,
        computed.evaluations_per_s,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[])), (2.0, 0.0));
    }
}
