//! A node that joins takes a snapshot, beside a peer that lies; one that lost its disk takes one and votes no more.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use keyward_ledger_core::block::Regime;
use keyward_ledger_simulation::Dice;

use super::{Cluster, SIZE, cluster_with, lock, member::machine};
use crate::{
    CODE_TRAILER, CatchUp, CatchUpFrom, Config,
    catch_up::{
        self, Line,
        tests::{Liar, Lie},
    },
};

/// The node that no genesis names.
const NEW: usize = SIZE;

/// A validator whose key comes first, so that it is asked first.
fn first(cluster: &Cluster) -> usize {
    (0..SIZE).min_by_key(|node| cluster.members[*node].key()).unwrap()
}

impl Cluster {
    async fn validators_reach(&self, height: u64) {
        while self.members[..SIZE]
            .iter()
            .filter(|member| member.live().is_some())
            .any(|m| m.height() < height)
        {
            self.world.wait(Duration::from_millis(500)).await;
        }
    }

    fn new_config(&self, node: usize, from: CatchUpFrom) -> Config {
        let member = &self.members[node];
        Config { catch_up: CatchUp { from, blocks_min: 1 }, ..member.config(member.dir.clone()) }
    }

    /// What a node does before it starts; whether it begins at a snapshot.
    async fn catch_up(&mut self, node: usize, from: CatchUpFrom) -> bool {
        let config = self.new_config(node, from);
        let (heard, speaks) = catch_up::line();
        let scout = self.world.scout(node, speaks).await;
        let timer = machine(&self.world.runtime(), 0).timer;
        let genesis = self.genesis.clone();
        let taken = catch_up::ask(&config, &genesis, Arc::new(scout), heard, timer, SIZE).await.unwrap();
        self.world.crash(node);
        self.world.wait(Duration::from_millis(20)).await;
        let began = match taken {
            Some((certified, snapshot)) => {
                catch_up::settle(&config, &genesis, &certified, &snapshot).unwrap();
                config.data_dir.join("floor").exists()
            }
            None => false,
        };
        catch_up::clean(&config.data_dir).unwrap();
        began
    }

    /// Puts a liar in the place of a validator: it offers what it held with bytes of the state exchanged.
    async fn lie(&mut self, node: usize, lie: Lie) {
        let member = self.members[node].clone();
        let peer = Liar::new(&member.live().unwrap().shared, &member.dir.join("snapshots"), lie);
        self.crash(node).await;
        let line = Arc::new(OnceLock::<Arc<dyn Line>>::new());
        let speaks = line.clone();
        let heard = Arc::new(move |from: [u8; 32], message| {
            if let (Some(line), Some(answer)) = (speaks.get(), peer.answer(&message)) {
                line.tell(&from, answer);
            }
        });
        let scout: Arc<dyn Line> = Arc::new(self.world.scout(node, heard).await);
        assert!(line.set(scout).is_ok());
    }

    /// Every block that two nodes hold is the same, with the same outcomes.
    fn agree(&self, one: usize, other: usize) -> u64 {
        let kept = [one, other].map(|node| self.members[node].kept().unwrap().blocks);
        let height =
            |of: &[(keyward_ledger_core::block::Block, _, u64)]| of.first().unwrap().0.header().height;
        let begins = kept.iter().map(|kept| height(kept)).max().unwrap();
        let above = kept.map(|kept| {
            let skipped = usize::try_from(begins - height(&kept)).unwrap();
            kept.into_iter()
                .skip(skipped)
                .map(|(block, outcomes, leaf)| (*block.digest(), outcomes.encode(), leaf))
                .collect::<Vec<_>>()
        });
        let common = above.iter().map(Vec::len).min().unwrap();
        assert_eq!(above[0][..common], above[1][..common]);
        begins + common as u64 - 1
    }
}

async fn code<T>(answer: impl Future<Output = Result<T, tonic::Status>>) -> String {
    let refused = answer.await.err().expect("a refusal");
    refused.metadata().get(CODE_TRAILER).unwrap().to_str().unwrap().to_owned()
}

fn joins(seed: u64) {
    println!("joining: seed {seed}");
    let mut dice = Dice::new(seed);
    let lie = dice.one(&[Lie::State, Lie::Length, Lie::Silence, Lie::Gone]);
    let run = cluster_with((SIZE, 1), seed, Regime::Fast, async |mut cluster, _| {
        cluster.members.iter().for_each(|member| *lock(&member.snapshot_blocks) = 24);
        for node in 0..SIZE {
            cluster.start(node).await;
        }
        cluster.start_clients();
        cluster.validators_reach(60).await;
        let liar = first(&cluster);
        cluster.lie(liar, lie).await;
        assert!(cluster.catch_up(NEW, CatchUpFrom::Auto).await, "the honest ones have one");
        cluster.start(NEW).await;
        let live = cluster.members[NEW].live().unwrap();
        let floor = live.shared.floor_height();
        assert!(floor >= 47 && (floor + 1).is_multiple_of(24), "{floor}");
        drop(live);
        while cluster.members[NEW].height() < floor + 30 {
            cluster.world.wait(Duration::from_millis(500)).await;
        }
        let honest = (liar + 1) % SIZE;
        assert!(cluster.agree(NEW, honest) >= floor + 29);
        // What it holds is proven; what lies below is refused by name.
        let face = cluster.members[NEW].live().unwrap().face;
        assert_eq!(code(face.block(floor)).await, "HEIGHT_BELOW_FLOOR");
        assert_eq!(code(face.block(1)).await, "HEIGHT_BELOW_FLOOR");
        assert_eq!(code(face.record(0)).await, "HEIGHT_BELOW_FLOOR");
        assert!(!face.block(floor + 1).await.unwrap().block.is_empty());
        let leaf = face.shared.floor_leaf();
        let size = face.shared.view().anchor.as_ref().unwrap().ledger.log().size();
        for leaf in leaf..size {
            let theirs =
                cluster.members[honest].live().unwrap().face.record(leaf).await.unwrap().record.unwrap();
            assert_eq!(face.record(leaf).await.unwrap().record.unwrap().leaf, theirs.leaf, "{leaf}");
        }
        assert!(size > leaf, "there are records to compare");
        drop(face);
        // It is killed, loses what is derived, and comes up again, beginning where it began.
        cluster.crash(NEW).await;
        for folder in ["index", "snapshots"].iter().take(dice.below(3) as usize) {
            std::fs::remove_dir_all(cluster.members[NEW].dir.join(folder)).unwrap();
        }
        cluster.world.wait(Duration::from_secs(2)).await;
        cluster.start(NEW).await;
        let height = cluster.members[honest].height() + 12;
        while cluster.members[NEW].height() < height {
            cluster.world.wait(Duration::from_millis(500)).await;
        }
        cluster.agree(NEW, honest);
        // The liar's disk is gone: with a snapshot it follows, and does not vote. Who offers may have begun at one.
        cluster.crash(liar).await;
        // What it had voted for before may become final a little later.
        let voted_to = cluster.members[honest].height() + 8;
        cluster.lose_everything(liar);
        let replays = !cluster.catch_up(liar, CatchUpFrom::Auto).await;
        assert!(replays, "a validator does not give its vote up unasked");
        assert!(cluster.catch_up(liar, CatchUpFrom::Snapshot).await);
        cluster.start(liar).await;
        assert!(lock(&cluster.record).observers.contains(&liar));
        let height = cluster.members[honest].height() + 24;
        while cluster.members[liar].height() < height {
            cluster.world.wait(Duration::from_millis(500)).await;
        }
        cluster.agree(liar, honest);
        let own = cluster.set.keys().position(|key| key == cluster.members[liar].key()).unwrap() as u32;
        let shared = cluster.members[honest].live().unwrap().shared;
        let floor = cluster.members[liar].live().unwrap().shared.floor_height();
        for height in floor.max(voted_to) + 1..=shared.view().ledger.height() {
            let Some(certificate) = shared.blocks.certificate(height).unwrap() else { continue };
            assert!(certificate.signers.iter().all(|(index, _)| *index != own), "it voted at {height}");
        }
        cluster.clients.drain(..).for_each(|client| client.abort());
        for node in 0..=NEW {
            cluster.crash(node).await;
        }
    });
    drop(run);
}

#[test]
fn a_new_node_begins_at_a_snapshot_beside_a_liar_and_a_wiped_validator_does_not_vote_with_one() {
    let seeds: Vec<u64> = match std::env::var("KEYWARD_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None if std::env::var_os("KEYWARD_SOAK").is_some() => (0..40).collect(),
        None => vec![1, 2, 3],
    };
    seeds.into_iter().for_each(joins);
}
