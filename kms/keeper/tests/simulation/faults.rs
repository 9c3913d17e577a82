//! What happens to the machines, chosen by the seed, while somebody looks all along.

use std::{sync::Arc, time::Duration};

use keyward_ledger_simulation::World;

use super::{
    checker::Broken,
    town::{Between, SIZE, Town, lock},
    vaults::VAULTS,
};

/// How often everything is held against everything, in milliseconds of virtual time.
const LOOK_MS: u64 = 250;
/// Looks until what is waited for must have come: half a minute.
const LOOKS_MAX: u64 = 120;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A machine is killed and starts again.
    Kill,
    /// Up to half of the machines are cut off from the rest.
    Cut,
    /// Messages are late, and some are lost.
    Slow,
    /// A machine is killed that has evaluated for a recovery and has not released; it comes back with its shares, or with
    /// older ones.
    Between { older: bool },
    /// The shares of a keeper that keeps the rules are damaged.
    Shares(Damage),
    /// The whole disk of the frail machine is damaged.
    Disk(Damage),
}

/// What becomes of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// Everything is gone.
    Wiped,
    /// Everything is as it was before the shares were sealed or dealt anew.
    RolledBack,
}

/// The world under faults.
pub(crate) struct Faults {
    pub(crate) town: Arc<Town>,
    pub(crate) world: World,
    /// The machine whose disk may be damaged: it counts as the one dishonest validator, for its votes may be gone.
    pub(crate) frail: usize,
}

impl Faults {
    /// Lets time pass and looks meanwhile.
    pub(crate) async fn watch(&self, ms: u64) -> Result<(), Broken> {
        for _ in 0..ms.div_ceil(LOOK_MS) {
            self.world.wait(Duration::from_millis(LOOK_MS)).await;
            self.town.look().await?;
        }
        Ok(())
    }

    pub(crate) async fn suffer(&mut self, fault: Fault) -> Result<(), Broken> {
        let calm = 500 + self.world.dice.below(1500);
        self.watch(calm).await?;
        self.town.tell(&format!("{fault:?}"));
        match fault {
            Fault::Kill => {
                let node = self.world.dice.below(SIZE as u64) as usize;
                self.crash(node).await;
                self.some_seconds().await?;
                self.start(node).await;
                self.town.count("kills");
                Ok(())
            }
            Fault::Cut => self.cut().await,
            Fault::Slow => self.slow().await,
            Fault::Between { older } => self.between(older).await,
            Fault::Shares(damage) => self.damage_shares(damage).await,
            Fault::Disk(damage) => self.damage_disk(damage).await,
        }
    }

    async fn some_seconds(&mut self) -> Result<(), Broken> {
        let pause = 500 + self.world.dice.below(3000);
        self.watch(pause).await
    }

    async fn crash(&mut self, node: usize) {
        self.town.tell(&format!("{node} falls"));
        self.town.nodes[node].crash(&mut self.world).await;
    }

    async fn start(&mut self, node: usize) {
        self.town.start(&mut self.world, node).await;
        self.town.tell(&format!("{node} starts"));
    }

    fn honest(&mut self) -> usize {
        let honest: Vec<_> = (0..SIZE).filter(|node| self.town.plan.is_honest(*node)).collect();
        self.world.dice.one(&honest)
    }

    /// Cuts one or two of four off, keepers and validators alike; callers reach both sides.
    async fn cut(&mut self) -> Result<(), Broken> {
        let (first, count) = (self.honest(), 1 + self.world.dice.below(2) as usize);
        let island: Vec<_> = (0..count).map(|step| (first + step) % SIZE).collect();
        self.town.part(&island);
        self.world.part(&island).await;
        self.watch(2_000).await?;
        self.some_seconds().await?;
        self.town.part(&[]);
        self.world.heal().await;
        self.town.count("cuts");
        Ok(())
    }

    async fn slow(&mut self) -> Result<(), Broken> {
        let latency = Duration::from_millis(20 + self.world.dice.below(100));
        let lost_percent = 2 + self.world.dice.below(10);
        self.world.degrade(latency, latency / 2, lost_percent).await;
        self.watch(2_000).await?;
        self.world.heal().await;
        self.town.count("slow times");
        Ok(())
    }

    async fn between(&mut self, older: bool) -> Result<(), Broken> {
        let copies: Vec<_> = self.town.nodes.iter().map(super::node::Node::copy_shares).collect();
        *lock(&self.town.between) = Between::Awaited;
        let mut reached = None;
        for _ in 0..LOOKS_MAX {
            self.watch(LOOK_MS).await?;
            if let Between::Reached(node) = *lock(&self.town.between) {
                reached = Some(node);
                break;
            }
        }
        if let Some(node) = reached {
            self.crash(node).await;
            if older {
                self.town.nodes[node].put_shares(&copies[node]);
                self.town.count("old shares between evaluation and release");
            }
            self.watch(500).await?;
            self.start(node).await;
            self.watch(500).await?;
            self.town.count("kills between evaluation and release");
        }
        *lock(&self.town.between) = Between::Passed;
        Ok(())
    }

    async fn damage_shares(&mut self, damage: Damage) -> Result<(), Broken> {
        let node = self.honest();
        match damage {
            Damage::Wiped => {
                self.crash(node).await;
                self.town.nodes[node].lose_shares();
                self.town.count("wiped shares");
            }
            Damage::RolledBack => {
                let copy = self.town.nodes[node].copy_shares();
                let moved = self.until_shares_moved().await?;
                self.crash(node).await;
                self.town.nodes[node].put_shares(&copy);
                if moved {
                    self.town.count("rolled-back shares");
                }
            }
        }
        self.some_seconds().await?;
        self.start(node).await;
        self.some_seconds().await
    }

    async fn damage_disk(&mut self, damage: Damage) -> Result<(), Broken> {
        let node = self.frail;
        match damage {
            Damage::Wiped => {
                self.crash(node).await;
                self.town.nodes[node].lose_everything(&mut self.world);
                self.town.count("wiped disks");
            }
            Damage::RolledBack => {
                self.crash(node).await;
                let copy = self.town.nodes[node].copy_everything();
                self.start(node).await;
                let moved = self.until_shares_moved().await?;
                self.crash(node).await;
                self.town.nodes[node].put_everything(&copy, &mut self.world);
                if moved {
                    self.town.count("rolled-back disks");
                }
            }
        }
        self.some_seconds().await?;
        self.start(node).await;
        self.some_seconds().await
    }

    /// Waits until the first vault was sealed or its shares dealt anew; whether it was.
    async fn until_shares_moved(&mut self) -> Result<bool, Broken> {
        let before = self.town.vault(&VAULTS[0]).await.map(|state| state.shares);
        for _ in 0..LOOKS_MAX {
            self.watch(LOOK_MS).await?;
            let now = self.town.vault(&VAULTS[0]).await.map(|state| state.shares);
            if now.is_some() && now != before {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
