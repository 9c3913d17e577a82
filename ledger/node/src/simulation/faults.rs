//! What happens to a cluster, chosen by its seed.

use std::time::Duration;

use super::{
    Cluster,
    adversary::Character,
    disk::{self, INDEX, SNAPSHOTS},
    member::lock,
};
use crate::alarms::Code;

/// How long an adversary may take until it did something that the others saw.
const PATIENCE: Duration = Duration::from_secs(90);
/// Blocks that a cut-off minority may still finish with what it had heard.
const UNDER_WAY_MAX: u64 = 2;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Somebody is killed and starts again.
    Kill,
    /// Somebody loses power, and what was not synced with it.
    PowerCut,
    /// Everybody loses power at once.
    Blackout,
    /// Up to half of the nodes are cut off from the rest.
    Cut,
    /// Messages are late, and some are lost.
    Slow,
    /// All of it at once: somebody is cut off, somebody is killed, and somebody else loses power before they are back.
    Tangle,
    /// The frail node's disk is damaged.
    Damage(Damage),
}

/// What becomes of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// What is derived from the blocks is gone.
    Derived,
    /// One bit of each segment is another.
    Flipped,
    /// Everything is gone.
    Wiped,
    /// Everything is as it was some seconds ago, and the votes are gone.
    RolledBack,
}

/// What happened, to be counted over many seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) kills: u64,
    pub(super) power_cuts: u64,
    pub(super) torn_writes: u64,
    pub(super) blackouts: u64,
    pub(super) cuts: u64,
    pub(super) slow: u64,
    pub(super) lost_messages: u64,
    pub(super) tangles: u64,
    pub(super) derived_lost: u64,
    pub(super) flipped: u64,
    pub(super) noticed: u64,
    pub(super) wiped: u64,
    pub(super) rolled_back: u64,
}

impl Happened {
    /// Each kind of fault with its count.
    pub(super) const fn counts(&self) -> [(&'static str, u64); 13] {
        [
            ("kills", self.kills),
            ("power cuts", self.power_cuts),
            ("torn writes", self.torn_writes),
            ("blackouts", self.blackouts),
            ("cuts", self.cuts),
            ("slow times", self.slow),
            ("lost messages", self.lost_messages),
            ("tangles", self.tangles),
            ("losses of derived files", self.derived_lost),
            ("flips", self.flipped),
            ("flips noticed", self.noticed),
            ("wiped disks", self.wiped),
            ("rolled-back disks", self.rolled_back),
        ]
    }
}

impl Cluster {
    /// Lets the clients work while faults come and go. The disk of `frail` alone may be damaged: it counts as
    /// dishonest then, for its votes may be gone. Any number may be down or cut off.
    pub(super) async fn suffer(&mut self, frail: usize, faults: &[Fault]) -> Happened {
        let mut happened = Happened::default();
        for fault in faults {
            let calm = 500 + self.world.dice.below(2000);
            self.world.wait(Duration::from_millis(calm)).await;
            let node = self.world.dice.below(self.members.len() as u64) as usize;
            match fault {
                Fault::Kill => {
                    happened.kills += 1;
                    self.crash(node).await;
                    self.some_seconds().await;
                    self.start(node).await;
                }
                Fault::PowerCut => {
                    happened.power_cuts += 1;
                    self.crash(node).await;
                    happened.torn_writes += u64::from(self.lose_unsynced(node));
                    self.some_seconds().await;
                    self.start(node).await;
                }
                Fault::Blackout => {
                    happened.blackouts += 1;
                    happened.torn_writes += self.blackout().await;
                }
                Fault::Cut => {
                    happened.cuts += 1;
                    self.cut(node).await;
                }
                Fault::Slow => {
                    happened.slow += 1;
                    happened.lost_messages += self.slow().await;
                }
                Fault::Tangle => {
                    happened.tangles += 1;
                    self.tangle(node, &mut happened).await;
                }
                Fault::Damage(damage) => self.damage(frail, *damage, &mut happened).await,
            }
        }
        happened
    }

    /// Lets time pass until a node did what its character is for; how often it did.
    pub(super) async fn see_it_act(&mut self, node: usize) -> u64 {
        let began = self.world.runtime().now();
        let member = self.members[node].clone();
        loop {
            let traffic = self.world.traffic(node);
            let deeds = member.character().deeds(&member, &lock(&self.record), traffic);
            if deeds > 0 || self.world.runtime().now() - began > PATIENCE {
                return deeds;
            }
            self.world.wait(Duration::from_millis(250)).await;
            // Who only follows does nothing. In an epoch in which it has not voted it may vote again.
            if lock(&self.record).observers.remove(&node) {
                self.some_seconds().await;
                self.crash(node).await;
                self.start(node).await;
            }
        }
    }

    /// Lets time pass until so many batches and reads were answered that checking them says something.
    pub(super) async fn see_clients_served(&self, batches: usize, reads: usize) {
        let began = self.world.runtime().now();
        while self.world.runtime().now() - began < PATIENCE {
            let served = {
                let seen = lock(&self.record);
                seen.acknowledged.len() >= batches && seen.got.len() >= reads
            };
            if served {
                return;
            }
            self.world.wait(Duration::from_millis(250)).await;
        }
    }

    async fn some_seconds(&mut self) {
        let pause = 500 + self.world.dice.below(4000);
        self.world.wait(Duration::from_millis(pause)).await;
    }

    /// Takes what was not synced, and leaves what was being written half written; whether there was something.
    fn lose_unsynced(&mut self, node: usize) -> bool {
        let member = &self.members[node];
        let dice = &mut self.world.dice;
        // The index is not synced between snapshots.
        disk::cut_files(&member.dir.join(INDEX), |below| dice.below(below));
        disk::cut_power(&member.dir, &member.durable);
        disk::tear(&member.dir, |below| dice.below(below))
    }

    async fn blackout(&mut self) -> u64 {
        for member in &self.members {
            member.fall(&mut self.world);
        }
        self.world.wait(Duration::from_millis(20)).await;
        let mut torn = 0;
        for node in 0..self.members.len() {
            torn += u64::from(self.lose_unsynced(node));
        }
        for node in 0..self.members.len() {
            self.start(node).await;
            let pause = self.world.dice.below(300);
            self.world.wait(Duration::from_millis(pause)).await;
        }
        torn
    }

    /// Cuts one or two of four off. They are no quorum, so they must stand still.
    async fn cut(&mut self, first: usize) {
        let size = self.members.len();
        let count = 1 + self.world.dice.below(2) as usize;
        let island: Vec<usize> = (0..count).map(|step| (first + step) % size).collect();
        self.world.part(&island).await;
        self.world.wait(Duration::from_millis(500)).await;
        let highest =
            |cluster: &Self| island.iter().map(|node| cluster.members[*node].height()).max().unwrap();
        let before = highest(self);
        self.world.wait(Duration::from_millis(1500)).await;
        self.some_seconds().await;
        let after = highest(self);
        assert!(after <= before + UNDER_WAY_MAX, "a minority went on from {before} to {after}");
        self.world.heal().await;
    }

    async fn tangle(&mut self, first: usize, happened: &mut Happened) {
        let size = self.members.len();
        let [cut_off, killed, unpowered] = [0, 1, 2].map(|step| (first + step) % size);
        self.world.part(&[cut_off]).await;
        self.crash(killed).await;
        self.some_seconds().await;
        self.crash(unpowered).await;
        happened.torn_writes += u64::from(self.lose_unsynced(unpowered));
        self.start(killed).await;
        if self.world.dice.once_in(2) {
            self.some_seconds().await;
        }
        self.world.heal().await;
        self.some_seconds().await;
        self.start(unpowered).await;
    }

    /// Slows the links down and has some messages lost; how many were.
    async fn slow(&mut self) -> u64 {
        let latency = Duration::from_millis(20 + self.world.dice.below(120));
        let lost_percent = 2 + self.world.dice.below(12);
        let (sent, heard) = self.messages();
        self.world.degrade(latency, latency / 2, lost_percent).await;
        self.some_seconds().await;
        let slowly = self.messages().0 - sent;
        self.world.heal().await;
        self.world.wait(Duration::from_millis(400)).await;
        let lost = (self.messages().0 - sent).saturating_sub(self.messages().1 - heard);
        // What was under way when it began hides some of the loss.
        let expected = slowly * lost_percent / 100;
        assert!(expected < 60 || lost > 0, "none of {slowly} messages lost, not {lost_percent}%");
        lost
    }

    /// Messages handed to the network, and come out of it.
    fn messages(&self) -> (u64, u64) {
        let traffic = (0..self.members.len()).map(|node| self.world.traffic(node));
        traffic.fold((0, 0), |(sent, heard), traffic| {
            (sent + traffic.sent + traffic.repeated, heard + traffic.heard)
        })
    }

    /// Damages a disk while its node is down.
    async fn damage(&mut self, node: usize, damage: Damage, happened: &mut Happened) {
        let member = self.members[node].clone();
        let twins =
            matches!(member.character(), Character::EquivocatingLeader | Character::OverheardEquivocator);
        self.crash(node).await;
        match damage {
            // Twins have two disks.
            _ if twins => {}
            Damage::Derived => {
                happened.derived_lost += 1;
                disk::lose(&member.dir.join(INDEX));
                disk::lose(&member.dir.join(SNAPSHOTS));
            }
            Damage::Flipped => {
                let dice = &mut self.world.dice;
                happened.flipped += disk::flip_bits(&member.dir, |below| dice.below(below));
            }
            Damage::Wiped => {
                happened.wiped += 1;
                self.lose_everything(node);
            }
            Damage::RolledBack => {
                happened.rolled_back += 1;
                let before = member.dir.with_extension("before");
                disk::copy(&member.dir, &before);
                self.start(node).await;
                self.some_seconds().await;
                self.crash(node).await;
                self.lose_everything(node);
                disk::copy(&before, &member.dir);
                disk::settle(&member.dir, &member.durable);
            }
        }
        self.some_seconds().await;
        self.start(node).await;
        if damage == Damage::Flipped && !twins {
            let alarms = member.live().unwrap().shared.alarms.newest(usize::MAX);
            happened.noticed += u64::from(alarms.iter().any(|alarm| alarm.code == Code::StoreDamaged));
        }
    }
}
