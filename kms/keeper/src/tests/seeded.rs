//! A random life of two vaults, from a seed: keepers that collude, crash, are cut off and come back with old disks,
//! recoveries that race, repeat and guess wrong. What must hold whatever happens: `checker.rs`.
//!
//! The seed is printed; `KEYWARD_SEED=... cargo test -p keyward-keeper seeded` has that life again. `KEYWARD_SOAK=1`
//! makes lives long and many.

mod careless;
mod checker;
mod life;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use careless::Careless;
use life::Life;

/// Steps of a life in an ordinary run.
const STEPS: usize = 150;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn is_soak() -> bool {
    std::env::var("KEYWARD_SOAK").is_ok_and(|value| value == "1")
}

#[tokio::test]
async fn distinct_elements_never_exceed_attempts_nor_attempts_their_limit() {
    let fresh = RandomState::new().build_hasher().finish();
    let (lives, steps) = if is_soak() { (64, 10 * STEPS) } else { (1, STEPS) };
    let seeds = match number("KEYWARD_SEED") {
        Some(seed) => vec![seed],
        None => [1, 2, 3].into_iter().chain((0..lives).map(|life| fresh.wrapping_add(life))).collect(),
    };
    let mut evaluated = 0;
    for seed in seeds {
        println!("KEYWARD_SEED={seed}");
        let mut life = Life::new(seed, None);
        let lived = async {
            life.run(steps).await?;
            life.end().await
        };
        if let Err(broken) = lived.await {
            panic!("KEYWARD_SEED={seed}: {broken}\n{}", life.story.join("\n"));
        }
        evaluated += life.checker.evaluated();
    }
    assert!(evaluated > 0, "nothing was ever evaluated: the lives show nothing");
}

#[tokio::test]
async fn one_seed_is_one_life() {
    let mut stories = Vec::new();
    for _ in 0..2 {
        let mut life = Life::new(7, None);
        life.run(60).await.unwrap();
        stories.push(life.story);
    }
    assert_eq!(stories[0], stories[1]);
}

#[tokio::test]
async fn a_keeper_without_its_rules_is_found_out() {
    for (rule, expected) in [
        (Careless::Elements, "an element of no granted attempt"),
        (Careless::Grants, "an element of no granted attempt"),
        (Careless::Versions, "is answered under version"),
        (Careless::TheEnd, "is answered although it was destroyed"),
    ] {
        let mut broken = None;
        for seed in 1..=20 {
            broken = Life::new(seed, Some(rule)).run(2 * STEPS).await.err();
            if broken.is_some() {
                break;
            }
        }
        let broken = broken.unwrap_or_else(|| panic!("{rule:?} is not found out"));
        assert!(broken.contains(expected), "{rule:?}: {broken}");
    }
}
