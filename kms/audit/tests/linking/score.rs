//! How often an adversary was right, and how sure that is.

use std::collections::BTreeMap;

use crate::town::common::mutate::Random;

/// How far from zero an adversary that knows nothing may come, in standard deviations of a coin: one in four million does.
///
/// Where nothing about an act depends on its author, each guess is right by a coin of its own, which is thrown for nothing else. So this
/// bound is exact, however alike the guesses are.
const NOISE: f64 = 5.16;
/// The same in standard errors that are estimated from 24 groups (Student's t).
const NOISE_OF_GROUPS: f64 = 7.2;

/// Worlds that are played: one, or `KEYWARD_RUNS` of them with seeds that the first seed draws.
pub struct Sources {
    random: Random,
    left: usize,
}

impl Sources {
    pub fn of(test: &str) -> Self {
        let runs = std::env::var("KEYWARD_RUNS").ok().and_then(|text| text.parse().ok());
        Self { random: Random::seeded(test), left: runs.unwrap_or(1) }
    }
}

impl Iterator for Sources {
    type Item = Random;

    fn next(&mut self) -> Option<Random> {
        self.left = self.left.checked_sub(1)?;
        Some(self.random.fork())
    }
}

/// Guesses, and how many of them were right, in groups whose members may depend on each other: of one block, or one account, and one world.
#[derive(Clone, Debug, Default)]
pub struct Score {
    groups: BTreeMap<(usize, u64), (f64, f64)>,
    worlds: usize,
}

impl Score {
    pub fn add(&mut self, group: u64, right: bool) {
        let (n, wins) = self.groups.entry((0, group)).or_default();
        *n += 1.0;
        *wins += f64::from(u8::from(right));
    }

    /// Takes in the guesses of another world.
    pub fn join(&mut self, world: Self) {
        let number = self.worlds;
        self.groups.extend(world.groups.into_iter().map(|((_, key), group)| ((number, key), group)));
        self.worlds += 1;
    }

    fn n(&self) -> f64 {
        self.groups.values().map(|(n, _)| n).sum()
    }

    /// Twice the probability of being right, less one: 0 for a coin, 1 for who always knows.
    pub fn advantage(&self) -> f64 {
        let wins: f64 = self.groups.values().map(|(_, wins)| wins).sum();
        2.0 * wins / self.n() - 1.0
    }

    /// What hardly depends on each other: worlds, or where there is one, its groups.
    fn clusters(&self) -> Vec<(f64, f64)> {
        let mut clusters: BTreeMap<(usize, u64), (f64, f64)> = BTreeMap::new();
        for ((world, group), (n, wins)) in &self.groups {
            let cluster = clusters.entry((*world, if self.worlds > 1 { 0 } else { *group })).or_default();
            *cluster = (cluster.0 + n, cluster.1 + wins);
        }
        clusters.into_values().collect()
    }

    /// The standard error of the advantage, from how much clusters differ (Liang and Zeger's estimate for a mean).
    fn error(&self) -> f64 {
        let (clusters, rate) = (self.clusters(), f64::midpoint(self.advantage(), 1.0));
        let count = clusters.len() as f64;
        let squares: f64 = clusters.iter().map(|(n, wins)| (wins - rate * n).powi(2)).sum();
        2.0 * (squares * count / (count - 1.0)).sqrt() / self.n()
    }

    /// The 95 % interval, by Student's t.
    fn interval(&self) -> (f64, f64) {
        let half = student(self.clusters().len() as f64 - 1.0) * self.error();
        (self.advantage() - half, self.advantage() + half)
    }

    pub fn is_noise(&self) -> bool {
        self.advantage().abs() <= NOISE / self.n().sqrt()
    }

    /// The same where acts of one group look alike, as those of one account under one handle do.
    pub fn is_noise_of_groups(&self) -> bool {
        self.advantage().abs() <= NOISE_OF_GROUPS * self.error()
    }

    /// Prints what is published.
    pub fn told(&self, name: &str) -> &Self {
        let ((low, high), coin) = (self.interval(), 1.0 / self.n().sqrt());
        let (n, worlds, advantage, error) = (self.n(), self.worlds, self.advantage(), self.error());
        println!(
            "{name}: n = {n} in {worlds}, advantage {advantage:+.4}, 95 % interval {low:+.4} to {high:+.4}, \
             standard error {error:.4}, of a coin {coin:.4}"
        );
        self
    }
}

/// The 97.5 % quantile of Student's t, by the first terms of Cornish and Fisher's expansion.
fn student(freedom: f64) -> f64 {
    const Z: f64 = 1.959_964;
    let (third, fifth) = (Z.powi(3), Z.powi(5));
    Z + (third + Z) / (4.0 * freedom) + (5.0 * fifth + 16.0 * third + 3.0 * Z) / (96.0 * freedom * freedom)
}

#[test]
fn intervals_are_as_wide_as_their_clusters_differ() {
    // 2.042 and 2.262 in the tables.
    assert!((student(30.0) - 2.042).abs() < 0.001 && (student(9.0) - 2.262).abs() < 0.005);
    // Guesses that are all alike within a block say no more than one of each: 64 of 4 in a block err as 16 do.
    let mut alike = Score::default();
    let mut apart = Score::default();
    for guess in 0..64_u64 {
        alike.add(guess / 4, guess / 4 % 2 == 0);
        apart.add(guess, guess % 2 == 0);
    }
    assert_eq!((alike.advantage(), apart.advantage()), (0.0, 0.0));
    assert!((alike.error() - (1.0_f64 / 15.0).sqrt()).abs() < 1e-9, "{}", alike.error());
    assert!((apart.error() - (1.0_f64 / 63.0).sqrt()).abs() < 1e-9, "{}", apart.error());
    // Of several worlds each is a cluster.
    let mut worlds = Score::default();
    worlds.join(alike.clone());
    worlds.join(apart);
    assert_eq!((worlds.clusters().len(), worlds.n()), (2, 128.0));
    assert_eq!(worlds.error(), 0.0);
    assert!(!Score { groups: [((0, 0), (64.0, 55.0))].into(), worlds: 1 }.is_noise());
    assert!(alike.is_noise());
}
