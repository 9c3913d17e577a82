//! What a vault costs: `cargo run --release -p keyward-crypto --example vault_speed`.
//!
//! The user's side of a recovery with 3 of 5 keepers is printed beside one Argon2id with the standard parameters, and
//! evaluations with proof, signature and sealing per second on one core.
#![allow(clippy::unwrap_used, reason = "an example that measures")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use keyward_crypto::vault::{
    BoxKey, Grant, KeeperShare, Recovery, Vault, VaultDraft, VaultKeeper, VaultPlan, VaultStretch, VaultedKey,
};
use keyward_crypto::{SecretBytes, SigningKey};
use keyward_domain::scheme::Scheme;

const ROUNDS: u32 = 5;
const EVALUATIONS: u32 = 3_000;

struct Keeper {
    id: [u8; 32],
    key: BoxKey,
    signer: SigningKey,
}

impl Keeper {
    fn new(id: u8) -> Self {
        let signer = SigningKey::generate(Scheme::Ed25519).unwrap();
        Self { id: [id; 32], key: BoxKey::generate().unwrap(), signer }
    }

    fn named(&self) -> VaultKeeper {
        let signing_key = self.signer.public_key().as_bytes().try_into().unwrap();
        VaultKeeper { id: self.id, sealing_key: self.key.public(), signing_key }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signer.sign_message(message).unwrap().try_into().unwrap()
    }
}

/// What this thread has computed so far, on Linux: other programs' work does not count. Elsewhere the wall's time.
fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    let computed = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let computed = computed.and_then(|text| text.split(' ').next()?.parse().ok());
    computed.map_or_else(|| START.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

fn timed<R>(total: &mut Duration, work: impl FnOnce() -> R) -> R {
    let start = now();
    let result = work();
    *total += now() - start;
    result
}

fn main() {
    let keepers: Vec<_> = (1..=5).map(Keeper::new).collect();
    let password = SecretBytes::from("correct horse battery staple".to_owned());
    let signer = SigningKey::generate(Scheme::Ed25519).unwrap();
    let secret = SecretBytes::new(signer.expose(|secret| secret.to_vec()));
    let key = VaultedKey { id: [1; 32], public_key: signer.public_key().clone(), secret };
    let (mut stretching, mut sealing) = (Duration::ZERO, Duration::ZERO);
    let stretch = VaultStretch::STANDARD;
    for _ in 0..ROUNDS {
        let params = argon2::Params::new(stretch.memory_kib, stretch.passes, stretch.lanes, None).unwrap();
        let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        timed(&mut stretching, || argon2.hash_password_into(b"password", &[7; 32], &mut [0; 32]).unwrap());
    }
    let plan = VaultPlan {
        chain_id: [1; 32],
        account: [2; 32],
        vault: [3; 32],
        version: 1,
        threshold: 3,
        keepers: keepers.iter().map(Keeper::named).collect(),
        stretch,
    };
    let (facts, sealed) = timed(&mut sealing, || {
        let draft = VaultDraft::new(plan, &password, &[key], None).unwrap();
        (draft.facts([4; 32]), draft.shares([4; 32]).unwrap())
    });
    let vault = Vault::check(facts.clone()).unwrap();
    let shares: Vec<_> = keepers
        .iter()
        .zip(&sealed)
        .map(|(keeper, sealed)| KeeperShare::open(&vault, &keeper.id, &keeper.key, sealed).unwrap())
        .collect();

    let (mut user, mut grants) = (Duration::ZERO, Vec::new());
    for _ in 0..ROUNDS {
        let (recovery, request) =
            timed(&mut user, || Recovery::begin(Vault::check(facts.clone()).unwrap(), &password).unwrap());
        let grant = Grant {
            shares: vault.shares(),
            attempt: [5; 32],
            element_hash: request.element_hash,
            reply_key: request.reply_key,
        };
        let mut evaluating = recovery.granted(&grant).unwrap();
        let pairs = keepers.iter().zip(&shares);
        for (keeper, share) in pairs.clone().take(3) {
            let answer = share.evaluate(&grant, &request.element, |message| keeper.sign(message)).unwrap();
            timed(&mut user, || evaluating.answer(share.index(), &answer).unwrap());
        }
        let (mut proven, proof) = timed(&mut user, || {
            let proven = evaluating.derive().unwrap();
            let proof = proven.proof().unwrap();
            (proven, proof)
        });
        for (keeper, share) in pairs.skip(2) {
            let release = share.release(&grant, &proof, |message| keeper.sign(message)).unwrap();
            timed(&mut user, || proven.release(share.index(), &release).unwrap());
        }
        timed(&mut user, || proven.open(None).unwrap());
        grants.push((grant, request));
    }

    let mut keeper = Duration::ZERO;
    if let (Some((grant, request)), Some(first), Some(share)) =
        (grants.first(), keepers.first(), shares.first())
    {
        timed(&mut keeper, || {
            for _ in 0..EVALUATIONS {
                share.evaluate(grant, &request.element, |message| first.sign(message)).unwrap();
            }
        });
    }
    let (stretching, user) = (stretching / ROUNDS, user / ROUNDS);
    println!("one Argon2id, 64 MiB, 3 passes:      {stretching:?}");
    println!("sealing to 5 keepers:                {sealing:?}");
    println!("user's side of a recovery, 3 of 5:   {user:?}");
    println!("  of that beside the Argon2id:       {:?}", user.saturating_sub(stretching));
    println!("evaluations per second on one core:  {:.0}", f64::from(EVALUATIONS) / keeper.as_secs_f64());
}
