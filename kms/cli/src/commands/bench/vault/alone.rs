//! What both sides of a vault compute, in this process: no network, no ledger, the CPU time of one thread.

use std::time::Duration;

use keyward_crypto::vault::{
    BoxKey, DraftError, Grant, KeeperShare, Recovery, RecoveryError, Vault as Public, VaultDraft,
    VaultKeeper, VaultPlan, VaultStretch,
};
use keyward_crypto::{SecretBytes, SigningKey};
use keyward_domain::scheme::Scheme;

use super::super::cpu;
use super::{THRESHOLD, broken, key, ms};
use crate::failure::{Failure, Result};

const ROUNDS: u32 = 20;
/// Next to nothing, so that what is left is everything but the stretching.
const NO_STRETCH: VaultStretch = VaultStretch { memory_kib: 8, passes: 1, lanes: 1 };

/// CPU times of one thread.
pub(super) struct Computed {
    pub(super) argon2id_ms: f64,
    pub(super) seal_ms: f64,
    pub(super) recover_ms: f64,
    pub(super) evaluations_per_s: f64,
}

/// A keeper in this process.
struct Keeper {
    id: [u8; 32],
    key: BoxKey,
    signer: SigningKey,
}

impl Keeper {
    fn new(id: u8) -> Result<Self> {
        let signer = SigningKey::generate(Scheme::Ed25519).map_err(|error| broken(&error))?;
        Ok(Self { id: [id; 32], key: BoxKey::generate().map_err(|error| broken(&error))?, signer })
    }

    fn named(&self) -> VaultKeeper {
        let mut signing_key = [0; 32];
        signing_key.copy_from_slice(self.signer.public_key().as_bytes()); // an Ed25519 key has 32 bytes
        VaultKeeper { id: self.id, sealing_key: self.key.public(), signing_key }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.signer.sign_message(message).unwrap_or_default();
        signature.try_into().unwrap_or([0; 64]) // who verifies refuses what is none
    }
}

/// What both sides compute, without network, ledger or stretching.
pub(super) fn computed(seconds: Duration) -> Result<Computed> {
    let keepers = (1..=5).map(Keeper::new).collect::<Result<Vec<_>>>()?;
    let password = SecretBytes::from("correct horse battery staple".to_owned());
    let argon2id_ms = stretching(&password, &keepers)?;
    let (mut sealing, mut user) = (Duration::ZERO, Duration::ZERO);
    let plan = plan(&keepers, NO_STRETCH);
    let keys = [key()?];
    let (draft, sealed) = timed(&mut sealing, || {
        let draft = VaultDraft::new(plan, &password, &keys, None)?;
        let sealed = draft.shares([4; 32])?;
        Ok::<_, DraftError>((draft, sealed))
    })
    .map_err(|error| broken(&error))?;
    let vault = draft.vault([4; 32]).map_err(|error| broken(&error))?;
    let mut shares = Vec::new();
    for (keeper, sealed) in keepers.iter().zip(&sealed) {
        shares.push(
            KeeperShare::open(&vault, &keeper.id, &keeper.key, sealed).map_err(|error| broken(&error))?,
        );
    }
    for _ in 0..ROUNDS {
        user += recovered(&vault, &password, &keepers, &shares)?;
    }
    Ok(Computed {
        argon2id_ms,
        seal_ms: ms(sealing),
        recover_ms: ms(user) / f64::from(ROUNDS),
        evaluations_per_s: evaluations(&vault, &password, &keepers, &shares, seconds)?,
    })
}

fn plan(keepers: &[Keeper], stretch: VaultStretch) -> VaultPlan {
    VaultPlan {
        chain_id: [1; 32],
        account: [2; 32],
        vault: [3; 32],
        version: 1,
        threshold: THRESHOLD,
        keepers: keepers.iter().map(Keeper::named).collect(),
        stretch,
    }
}

/// One Argon2id with the standard cost: what a draft takes longer with it than without.
fn stretching(password: &SecretBytes, keepers: &[Keeper]) -> Result<f64> {
    let (mut with, mut without) = (Duration::ZERO, Duration::ZERO);
    let keys = [key()?];
    for (total, stretch) in [(&mut without, NO_STRETCH), (&mut with, VaultStretch::STANDARD)] {
        let plan = plan(keepers, stretch);
        timed(total, || VaultDraft::new(plan, password, &keys, None)).map_err(|error| broken(&error))?;
    }
    Ok(ms(with.saturating_sub(without)))
}

/// The user's side of one recovery.
fn recovered(
    vault: &Public,
    password: &SecretBytes,
    keepers: &[Keeper],
    shares: &[KeeperShare],
) -> Result<Duration> {
    let mut user = Duration::ZERO;
    // Checking what the ledger proves of the vault is part of it.
    let (recovery, request) = timed(&mut user, || {
        let vault = Public::check(vault.facts().clone()).map_err(|error| broken(&error))?;
        Recovery::begin(vault, password).map_err(|error| broken(&error))
    })?;
    let grant = Grant {
        shares: vault.shares(),
        attempt: [5; 32],
        element_hash: request.element_hash,
        reply_key: request.reply_key,
    };
    let mut evaluating = recovery.granted(&grant).map_err(|error| broken(&error))?;
    let pairs = keepers.iter().zip(shares);
    for (keeper, share) in pairs.clone().take(usize::from(THRESHOLD)) {
        let answer = share.evaluate(&grant, &request.element, |message| keeper.sign(message));
        let answer = answer.map_err(|error| broken(&error))?;
        timed(&mut user, || evaluating.answer(share.index(), &answer)).map_err(|error| broken(&error))?;
    }
    let (mut proven, proof) = timed(&mut user, || {
        let proven = evaluating.derive()?;
        let proof = proven.proof()?;
        Ok::<_, RecoveryError>((proven, proof))
    })
    .map_err(|error| broken(&error))?;
    for (keeper, share) in pairs.take(usize::from(THRESHOLD)) {
        let release = share.release(&grant, &proof, |message| keeper.sign(message));
        let release = release.map_err(|error| broken(&error))?;
        timed(&mut user, || proven.release(share.index(), &release)).map_err(|error| broken(&error))?;
    }
    timed(&mut user, || proven.open(None)).map_err(|error| broken(&error))?;
    Ok(user)
}

/// Evaluations with proof, signature and sealing, per second of one core.
fn evaluations(
    vault: &Public,
    password: &SecretBytes,
    keepers: &[Keeper],
    shares: &[KeeperShare],
    seconds: Duration,
) -> Result<f64> {
    let (Some(keeper), Some(share)) = (keepers.first(), shares.first()) else {
        return Err(Failure::refused("nobody evaluates", "tell us about this"));
    };
    let (_, request) = Recovery::begin(vault.clone(), password).map_err(|error| broken(&error))?;
    let (element_hash, reply_key) = (request.element_hash, request.reply_key);
    let grant = Grant { shares: vault.shares(), attempt: [5; 32], element_hash, reply_key };
    let (began, mut count) = (cpu::of_thread(), 0_u32);
    while cpu::of_thread().saturating_sub(began) < seconds {
        for _ in 0..50 {
            share
                .evaluate(&grant, &request.element, |message| keeper.sign(message))
                .map_err(|error| broken(&error))?;
        }
        count += 50;
    }
    Ok(f64::from(count) / cpu::of_thread().saturating_sub(began).as_secs_f64().max(f64::EPSILON))
}

fn timed<R>(total: &mut Duration, work: impl FnOnce() -> R) -> R {
    let began = cpu::of_thread();
    let result = work();
    *total += cpu::of_thread().saturating_sub(began);
    result
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn both_sides_are_measured_at_their_own_work() {
        let computed = computed(Duration::from_millis(20)).unwrap();
        assert!(computed.recover_ms > 0.0 && computed.evaluations_per_s > 0.0);
        // Argon2id over 64 MiB is no match for some curve operations.
        assert!(computed.argon2id_ms > 0.0);
    }
}
