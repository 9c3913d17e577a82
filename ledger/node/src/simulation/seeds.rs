//! A fixed set of seeds, some fresh ones, and what must hold in each.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use keyward_ledger_core::block::Regime;
use keyward_ledger_simulation::Dice;

use super::{
    SIZE,
    adversary::Character,
    cluster,
    faults::{Damage, Fault, Happened},
    history::Broken,
};

/// The seed modulo their number decides who the dishonest node is, so that consecutive seeds have one of each.
const CHARACTERS: [Character; 9] = [
    Character::Honest,
    Character::WrongClock,
    Character::EquivocatingLeader,
    Character::OverheardEquivocator,
    Character::SilentLeader,
    Character::LiarAboutState,
    Character::Replayer,
    Character::StaleVoter,
    Character::Mute,
];
/// The seed modulo their number decides what happens to the frail node's disk.
const DAMAGES: [Damage; 4] = [Damage::Derived, Damage::Flipped, Damage::Wiped, Damage::RolledBack];
/// Faults of one run.
const ROUNDS: usize = 5;
const FIXED: u64 = CHARACTERS.len() as u64;
const FRESH: u64 = 2;
const FRESH_SOAK: u64 = 400;
/// Batches and reads that clients must have had answered.
const BATCHES_MIN: usize = 30;
const READS_MIN: usize = 10;
const HOUR_MS: i64 = 3_600_000;

/// What one seed came to, for comparing two runs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    happened: Happened,
    deeds: u64,
    height: usize,
    acknowledged: usize,
    read: usize,
    conflicts: u64,
    accused: usize,
    trace: String,
}

/// What a seed decides before anything runs.
struct Plan {
    regime: Regime,
    character: Character,
    /// Who has that character, and the disk that is damaged.
    frail: usize,
    skews_ms: Vec<i64>,
    faults: Vec<Fault>,
}

impl Plan {
    fn new(seed: u64) -> Self {
        let character = CHARACTERS[(seed % CHARACTERS.len() as u64) as usize];
        let damage = Fault::Damage(DAMAGES[(seed % DAMAGES.len() as u64) as usize]);
        let mut dice = Dice::new(!seed);
        let regime = if dice.once_in(2) { Regime::Fast } else { Regime::Strict };
        let frail = dice.below(SIZE as u64) as usize;
        let mut skews_ms: Vec<i64> = (0..SIZE).map(|_| dice.below(3000) as i64 - 1500).collect();
        if character == Character::WrongClock {
            skews_ms[frail] = if dice.once_in(2) { HOUR_MS } else { -HOUR_MS };
        }
        let mut faults =
            vec![Fault::Kill, Fault::PowerCut, Fault::Blackout, Fault::Cut, Fault::Slow, Fault::Tangle];
        for place in (1..faults.len()).rev() {
            faults.swap(place, dice.below(place as u64 + 1) as usize);
        }
        faults.truncate(ROUNDS - 1);
        faults.insert(dice.below(ROUNDS as u64) as usize, damage);
        Self { regime, character, frail, skews_ms, faults }
    }
}

fn run(seed: u64, rounds: usize) -> Told {
    let began = Instant::now();
    let Plan { regime, character, frail, skews_ms, faults } = Plan::new(seed);
    let ran = cluster(seed, regime, async |mut cluster, _folder| {
        for (node, skew_ms) in skews_ms.into_iter().enumerate() {
            let character = if node == frail { character } else { Character::Honest };
            cluster.play(node, character, skew_ms);
        }
        cluster.start_all().await;
        cluster.start_clients();
        let happened = cluster.suffer(frail, &faults[..rounds]).await;
        let deeds = if character == Character::Honest { 0 } else { cluster.see_it_act(frail).await };
        cluster.see_clients_served(BATCHES_MIN, READS_MIN).await;
        let (set, chain_id) = (cluster.set.clone(), cluster.chain_id());
        let frail = cluster.members[frail].key();
        let outcome = cluster.finish().await?;
        outcome.check(&set, &chain_id)?;
        let seen = &outcome.seen;
        // Whose votes were lost with its disk may contradict itself.
        assert!(seen.accused.iter().all(|key| *key == frail), "somebody honest is accused");
        Ok::<_, Broken>(Told {
            happened,
            deeds,
            height: outcome.kept.iter().map(|kept| kept.blocks.len()).max().unwrap_or(0),
            acknowledged: seen.acknowledged.len(),
            read: seen.got.len(),
            conflicts: seen.conflicts,
            accused: seen.accused.len(),
            trace: String::new(),
        })
    });
    let told = ran.value.unwrap_or_else(|broken| panic!("{broken}"));
    println!("seed {seed}: {character:?}, {regime:?}, {told:?}, {} ms", began.elapsed().as_millis());
    assert!(told.deeds > 0 || character == Character::Honest, "{character:?} did nothing");
    assert!(told.acknowledged >= BATCHES_MIN && told.read >= READS_MIN, "something was asked and answered");
    Told { trace: ran.trace, ..told }
}

/// Runs a seed; a failure says how to repeat it.
fn run_or_tell(seed: u64) -> Told {
    catch_unwind(AssertUnwindSafe(|| run(seed, ROUNDS))).unwrap_or_else(|panic| {
        println!(
            "seed {seed} failed; repeat it with:\n  KEYWARD_SIMULATION_SEED={seed} cargo test --release -p keyward-ledger-node --lib simulation::seeds::nothing -- --nocapture"
        );
        std::panic::resume_unwind(panic)
    })
}

/// A seed that was given; a mistyped one must not pass for none.
fn number(name: &str) -> Option<u64> {
    std::env::var_os(name).map(|given| parsed(name, &given.to_string_lossy()))
}

fn parsed(name: &str, given: &str) -> u64 {
    given
        .parse()
        .unwrap_or_else(|error| panic!("{name} is `{given}`, not a number from 0 to 2^64 - 1: {error}"))
}

#[test]
fn a_mistyped_seed_is_no_seed() {
    assert_eq!(parsed("SEED", "18446744073709551615"), u64::MAX);
    for given in ["", "7 ", "0x7", "18446744073709551616", "-1", "seven"] {
        assert!(catch_unwind(|| parsed("SEED", given)).is_err(), "`{given}`");
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_no_two_blocks_stand_at_one_height_whatever_happens() {
    if let Some(seed) = number("KEYWARD_SIMULATION_SEED") {
        run_or_tell(seed);
        return;
    }
    let mut counts = BTreeMap::new();
    for told in (0..FIXED).map(run_or_tell) {
        for (fault, count) in told.happened.counts().into_iter().chain([("conflicts", told.conflicts)]) {
            *counts.entry(fault).or_insert(0) += count;
        }
    }
    println!("fixed seeds: {counts:?}");
    assert!(counts.values().all(|count| *count > 0), "each fault was among them: {counts:?}");

    let first = number("KEYWARD_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let fresh = if std::env::var_os("KEYWARD_SOAK").is_some() { FRESH_SOAK } else { FRESH };
    println!("KEYWARD_SEED={first}");
    let mut dice = Dice::new(first);
    for _ in 0..fresh {
        run_or_tell(dice.next());
    }
}

#[test]
fn one_seed_is_one_execution() {
    let seed = number("KEYWARD_SIMULATION_SEED").unwrap_or(2);
    let first = run(seed, 2);
    assert_eq!(first, run(seed, 2));
    assert_ne!(first.trace, run(seed.wrapping_add(FIXED), 1).trace, "another seed is another execution");
}
