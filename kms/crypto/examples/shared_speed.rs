//! What a shared key costs: `cargo run --release -p keyward-crypto --example shared_speed`.
//!
//! The user and 2 of 3 keepers, each party's computing on one core: making the key, and then one signature's parts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "an example that measures")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use keyward_crypto::SigningKey;
use keyward_crypto::shared::{
    Boot, Generation, Holder, KeyName, KeyShare, Roster, SharedKey, SharedScheme, Signing, SigningPlan, Tweak,
};
use keyward_crypto::vault::BoxKey;
use keyward_domain::scheme::Scheme;

const SIGNATURES: u32 = 100;
const KEEPERS: [u8; 2] = [1, 3];

struct Party {
    place: u8,
    key: BoxKey,
    signer: SigningKey,
}

impl Party {
    fn new(place: u8) -> Self {
        let signer = SigningKey::generate(Scheme::Ed25519).unwrap();
        Self { place, key: BoxKey::generate().unwrap(), signer }
    }

    fn holder(&self) -> Holder {
        let signing_key = self.signer.public_key().as_bytes().try_into().unwrap();
        Holder { id: [self.place; 32], signing_key, sealing_key: self.key.public() }
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

fn roster(parties: &[Party]) -> Roster {
    let keepers = parties[1..].iter().map(Party::holder).collect();
    Roster::new(parties[0].holder(), keepers, 2).unwrap()
}

fn generated(scheme: SharedScheme, parties: &[Party]) -> (SharedKey, Vec<KeyShare>) {
    let name = KeyName { chain_id: [1; 32], key: [2; 32] };
    let generation = Generation::new(name, scheme, roster(parties), 1);
    let open = |party: &Party| generation.open(party.place, |message| party.sign(message)).unwrap();
    let (openers, openings): (Vec<_>, Vec<_>) = parties.iter().map(open).unzip();
    let openings: Vec<_> = openings.iter().map(|message| message.encode()).collect();
    let openings = generation.openings(&openings).unwrap();
    let deal = |(opener, party): (keyward_crypto::shared::Opener, &Party)| {
        opener.deal(&openings, &party.key, |message| party.sign(message)).unwrap()
    };
    let (mut dealers, dealings): (Vec<_>, Vec<_>) = openers.into_iter().zip(parties).map(deal).unzip();
    let dealings: Vec<_> = dealings.iter().map(|message| message.encode()).collect();
    let agree = |(dealer, party): (&mut keyward_crypto::shared::Dealer, &Party)| {
        dealer.agree(&openings, &dealings, |message| party.sign(message)).unwrap().encode()
    };
    let agreements: Vec<_> =
        if scheme.answers() { dealers.iter_mut().zip(parties).map(agree).collect() } else { Vec::new() };
    let finish = |(mut dealer, party): (keyward_crypto::shared::Dealer, &Party)| {
        dealer.finish(&openings, &dealings, &agreements, &party.key).unwrap()
    };
    let dealt: Vec<_> = dealers.into_iter().zip(parties).map(finish).collect();
    let confirm = |(dealt, party): (&keyward_crypto::shared::Dealt, &Party)| {
        dealt.confirmation(|message| party.sign(message)).encode()
    };
    let confirmations: Vec<_> = dealt.iter().zip(parties).map(confirm).collect();
    let key = dealt[0].key().clone();
    (key, dealt.into_iter().map(|dealt| dealt.confirmed(&confirmations).unwrap().0).collect())
}

fn measure(scheme: SharedScheme) {
    let parties: Vec<_> = (0..=3).map(Party::new).collect();
    let boot = Boot::begin().unwrap();
    let mut making = Duration::ZERO;
    let (key, shares) = timed(&mut making, || generated(scheme, &parties));
    let mut by_party = [Duration::ZERO; 4];
    let mut relay = Duration::ZERO;
    for attempt in 1..=SIGNATURES {
        let plan = SigningPlan {
            intent: [3; 32],
            attempt,
            keepers: KEEPERS.to_vec(),
            message: vec![4; 32],
            tweak: Tweak::None,
        };
        let signers = [0, usize::from(KEEPERS[0]), usize::from(KEEPERS[1])];
        let (mut nonces, mut messages) = (Vec::new(), Vec::new());
        for place in signers {
            let party = &parties[place];
            let (kept, message) = timed(&mut by_party[place], || {
                let signing = Signing::new(key.clone(), roster(&parties), plan.clone()).unwrap();
                signing.commit(&shares[place], &boot, |message| party.sign(message)).unwrap()
            });
            nonces.push(kept);
            messages.push(message.encode());
        }
        let signing = Signing::new(key.clone(), roster(&parties), plan).unwrap();
        let (mut answers, mut answered) = (Vec::new(), Vec::new());
        for (place, kept) in signers.into_iter().zip(nonces) {
            let party = &parties[place];
            answered.push(timed(&mut by_party[place], || match scheme.answers() {
                false => kept,
                true => {
                    let (package, sign) =
                        (signing.package(&messages).unwrap(), |bytes: &[u8]| party.sign(bytes));
                    let (kept, answer) =
                        kept.answer(&shares[place], &boot, &package, &party.key, sign).unwrap();
                    answers.push(answer.encode());
                    kept
                }
            }));
        }
        let mut signed = Vec::new();
        for (place, kept) in signers.into_iter().zip(answered) {
            let party = &parties[place];
            let message = timed(&mut by_party[place], || {
                let (package, sign) = (signing.package(&messages).unwrap(), |bytes: &[u8]| party.sign(bytes));
                kept.sign(&shares[place], &boot, &package, &answers, &party.key, sign).unwrap()
            });
            signed.push(message.encode());
        }
        timed(&mut relay, || signing.package(&messages).unwrap().signature(&signed).unwrap());
    }
    println!("{}: the user and 2 of 3 keepers", scheme.scheme());
    println!("  making the key, all four:     {making:?}");
    println!("  a signature, user's part:     {:?}", by_party[0] / SIGNATURES);
    println!("  a signature, a keeper's part: {:?}", by_party[1] / SIGNATURES);
    println!("  a signature, put together:    {:?}", relay / SIGNATURES);
    let all = by_party.iter().sum::<Duration>() + relay;
    println!("  on one core, everything:      {:.0} signatures/s", f64::from(SIGNATURES) / all.as_secs_f64());
}

fn main() {
    SharedScheme::ALL.into_iter().for_each(measure);
}
