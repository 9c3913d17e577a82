//! A fixed set of seeds, some fresh ones, and what must hold in each.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use keyward_ledger_core::{
    block::Regime,
    entry::RuleName,
    state::{
        layout::{AttemptsState, attempts_key},
        vault::{HolderState, holder_key},
    },
    vault::vault_rule,
};
use keyward_ledger_simulation::{Dice, Task, World};

use super::{
    checker::Broken,
    faults::{Damage, Fault, Faults},
    inline::Inline,
    node::id,
    person::Person,
    thief::Thief,
    town::{Plan, SIZE, Town, town},
    vaults::{LIFETIME, PASSWORD, VAULTS},
};

/// The seed modulo their number decides which disk is damaged, and how.
const DAMAGES: [Fault; 4] = [
    Fault::Shares(Damage::RolledBack),
    Fault::Disk(Damage::RolledBack),
    Fault::Shares(Damage::Wiped),
    Fault::Disk(Damage::Wiped),
];
const FIXED: u64 = DAMAGES.len() as u64;
const FRESH: u64 = 1;
const FRESH_SOAK: u64 = 200;
/// Wrong words before the right one: more than any run has attempts.
const WRONG_WORDS: u64 = 100_000;
/// Virtual seconds in which everybody must be in step again once everything is whole, and in which a vault opens.
const RECOVERY_MAX_S: u64 = 90;
/// What must have happened somewhere in the fixed seeds.
const MUST_HAPPEN: [&str; 25] = [
    "kills",
    "cuts",
    "slow times",
    "kills between evaluation and release",
    "old shares between evaluation and release",
    "wiped shares",
    "rolled-back shares",
    "wiped disks",
    "rolled-back disks",
    "observers",
    "sealed",
    "dealt anew",
    "destroyed",
    "erased everywhere",
    "recovered",
    "thief's attempts",
    "thief's attempts refused",
    "thief's guesses that were answered",
    "races",
    "guesses without the ledger",
    "replays",
    "asked with a refused attempt",
    "asked for another element",
    "asked with an attempt for old shares",
    "forged successes",
];

/// What one seed came to, for comparing two runs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    evaluated: usize,
    released: usize,
    combined: usize,
    height: u64,
    deeds: BTreeMap<&'static str, u64>,
    story: Vec<String>,
}

/// What a seed decides before anything runs: the plan, the frail machine, and the faults.
fn planned(seed: u64) -> (Plan, usize, Vec<Fault>) {
    let mut dice = Dice::new(!seed);
    let regime = if dice.once_in(2) { Regime::Fast } else { Regime::Strict };
    // Those who collude are one fewer than the shares that are needed.
    let threshold = 2 + (seed / FIXED + seed % 2) as u8 % 2;
    let mut machines: Vec<_> = (0..SIZE).collect();
    for place in (1..SIZE).rev() {
        machines.swap(place, dice.below(place as u64 + 1) as usize);
    }
    let colluders = machines[..usize::from(threshold) - 1].iter().copied().collect();
    let skews_ms = [(); SIZE].map(|()| dice.below(1_200) as i64 - 600);
    let plan = Plan { regime, threshold, colluders, careless: None, skews_ms };
    let between = Fault::Between { older: seed % FIXED >= 2 };
    let mut faults = vec![Fault::Kill, Fault::Cut, Fault::Slow, between];
    faults.remove(dice.below(3) as usize);
    faults.push(DAMAGES[(seed % FIXED) as usize]);
    for place in (1..faults.len()).rev() {
        faults.swap(place, dice.below(place as u64 + 1) as usize);
    }
    // The last one keeps the rules as a keeper.
    (plan, machines[SIZE - 1], faults)
}

/// Starts everybody, seals the vaults and lets person and thief loose.
pub(crate) async fn begin(town: &Arc<Town>, world: &mut World, wrong: u64) -> (Person, [Task; 2]) {
    for node in 0..SIZE {
        town.start(world, node).await;
    }
    let mut person = |nonce| Person { town: town.clone(), dice: Dice::new(world.dice.next()), nonce };
    let mut first = person(0);
    first.settle().await;
    let last = person(1 << 40);
    let thief = Thief::new(town.clone(), Dice::new(world.dice.next()), wrong);
    (last, [town.runtime.spawn(first.live()), town.runtime.spawn(thief.live())])
}

fn run(seed: u64, rounds: usize) -> Told {
    let began = Instant::now();
    let (plan, frail, faults) = planned(seed);
    let shown = format!("{} of {SIZE}, {:?}, {faults:?}", plan.threshold, plan.regime);
    let ran = town(seed, plan, async |town, world| {
        let ran = live(&town, world, frail, &faults[..rounds.min(faults.len())]).await;
        ran.map_err(|broken| (broken, town.seen().story.join("\n")))
    });
    let told = ran.unwrap_or_else(|(broken, story)| panic!("{story}\nseed {seed}: {broken}"));
    let Told { evaluated, released, combined, height, deeds, .. } = &told;
    let took_ms = began.elapsed().as_millis();
    let last_us = told.story.last().and_then(|line| line.split(' ').next()?.parse::<u64>().ok());
    let took_s = last_us.unwrap_or(0) / 1_000_000;
    println!(
        "seed {seed}: {shown}, {took_s} virtual s, height {height}, {evaluated} evaluated, {released} released, {combined} combined, {deeds:?}, {took_ms} ms"
    );
    assert!(*evaluated > 0 && *combined > 0, "nothing was evaluated: the run shows nothing");
    told
}

async fn live(town: &Arc<Town>, world: World, frail: usize, faults: &[Fault]) -> Result<Told, Broken> {
    let mut faulty = Faults { town: town.clone(), world, frail };
    let (mut person, tasks) = begin(town, &mut faulty.world, WRONG_WORDS).await;
    for fault in faults {
        faulty.suffer(*fault).await?;
    }
    faulty.watch(2_000).await?;
    let goal = town.height() + 6;
    for _ in 0..RECOVERY_MAX_S {
        if town.have_reached(goal) {
            break;
        }
        faulty.watch(1_000).await?;
    }
    assert!(town.have_reached(goal), "the ledger does not go on");
    tasks.iter().for_each(Task::abort);
    opens(&faulty, &mut person).await?;
    is_erased(&faulty, VAULTS[1]).await?;
    // What was answered last becomes final.
    for _ in 0..RECOVERY_MAX_S {
        if town.seen().is_whole() {
            break;
        }
        faulty.watch(500).await?;
    }
    assert!(town.seen().is_whole(), "something that was answered never became final");
    town.seen().check()?;
    for node in &town.nodes {
        node.crash(&mut faulty.world).await;
    }
    Ok(tell(town))
}

/// Nothing is lost: once everything is whole, the password opens the vault. Only a counter that the thief has locked for
/// good, as its terms say, keeps it shut.
async fn opens(faulty: &Faults, person: &mut Person) -> Result<(), Broken> {
    for _ in 0..RECOVERY_MAX_S / 2 {
        let counter = faulty.town.state(attempts_key(&vault_rule(&VAULTS[0]))).await;
        if counter.is_some_and(|value| AttemptsState::decode(&value).unwrap().granted >= LIFETIME) {
            faulty.town.count("locked");
            return Ok(());
        }
        if person.recover(PASSWORD).await.is_some() {
            return Ok(());
        }
        faulty.watch(2_000).await?;
    }
    panic!("the vault does not open any more");
}

/// What was ended is gone: no keeper that keeps the rules has a share of it, and the ledger has the word of each.
async fn is_erased(faulty: &Faults, vault: RuleName) -> Result<(), Broken> {
    let town = &faulty.town;
    if !town.vault(&vault).await.is_some_and(|state| state.destroyed) {
        return Ok(());
    }
    let honest: Vec<_> = town.nodes.iter().filter(|node| town.plan.is_honest(node.index)).collect();
    let mut left = Vec::new();
    for _ in 0..RECOVERY_MAX_S / 4 {
        left.clear();
        for node in &honest {
            // Whoever asks tells a keeper that a vault has ended; its round over all vaults would find it later.
            let asked = node.ask(town, |live| {
                Inline::new(async move { live.keeper.drill(&vault, &[1; 32]).await.is_ok() })
            });
            assert_ne!(asked.await, Some(true), "{} shows a share of what was ended", node.index);
            let holder = town.state(holder_key(&vault_rule(&vault), &id(node.index))).await;
            let holder = HolderState::decode(&holder.expect("it held a share")).unwrap();
            if holder.erased < holder.held || node.holds(&vault) {
                left.push(node.index);
            }
        }
        if left.is_empty() {
            town.count("erased everywhere");
            return Ok(());
        }
        faulty.watch(4_000).await?;
    }
    panic!("{left:?} still hold what was ended")
}

fn tell(town: &Town) -> Told {
    let mut seen = town.seen();
    let dealt = seen.dealt_anew();
    seen.deeds.insert("dealt anew", dealt);
    Told {
        evaluated: seen.evaluated.len(),
        released: seen.released.len(),
        combined: seen.combined.len(),
        height: seen.log_height,
        deeds: seen.deeds.clone(),
        story: std::mem::take(&mut seen.story),
    }
}

/// Runs a seed; a failure says how to repeat it.
fn run_or_tell(seed: u64) -> Told {
    catch_unwind(AssertUnwindSafe(|| run(seed, usize::MAX))).unwrap_or_else(|panic| {
        println!(
            "seed {seed} failed; repeat it with:\n  KEYWARD_SIMULATION_SEED={seed} cargo test --release -p keyward-keeper --lib simulation::seeds::elements -- --nocapture"
        );
        std::panic::resume_unwind(panic)
    })
}

/// A seed that was given; a mistyped one must not pass for none.
fn number(name: &str) -> Option<u64> {
    let given = std::env::var_os(name)?;
    let given = given.to_string_lossy();
    Some(given.parse().unwrap_or_else(|error| panic!("{name} is `{given}`, not a number: {error}")))
}

#[test]
fn elements_evaluated_never_exceed_attempts_granted_nor_these_the_limit_whatever_happens() {
    if let Some(seed) = number("KEYWARD_SIMULATION_SEED") {
        run_or_tell(seed);
        return;
    }
    let mut deeds = BTreeMap::new();
    for told in (0..FIXED).map(run_or_tell) {
        for (what, count) in told.deeds {
            *deeds.entry(what).or_insert(0) += count;
        }
    }
    let missing: Vec<_> = MUST_HAPPEN.iter().filter(|what| !deeds.contains_key(**what)).collect();
    assert!(missing.is_empty(), "{missing:?} never happened: {deeds:?}");
    assert!(deeds["dealt anew"] > 0, "{deeds:?}");

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
    let (first, second) = (run(0, 2), run(0, 2));
    let differs = first.story.iter().zip(&second.story).find(|(one, other)| one != other);
    assert_eq!(differs, None, "the runs part here");
    assert_eq!(first, second);
    assert_ne!(first.story, run(1, 0).story, "another seed is another execution");
}
