//! Each check fires: against clusters with more dishonest nodes than they may have, and against altered records.

use std::{sync::Arc, time::Duration};

use keyward_ledger_core::{
    block::Regime, certificate::ValidatorSet, execute::BlockOutcomes, hash::Hash, outcome::Outcome as Answer,
};

use keyward_ledger_engine::EngineError;
use keyward_ledger_simulation::Split;

use super::{
    Outcome, SIZE,
    adversary::Character,
    cluster, cluster_of, disk,
    history::{self, Broken},
    member::lock,
};

const SEED: u64 = 99;
/// Two of seven that lie together.
const LIARS: [usize; 2] = [1, 4];

fn liar(node: usize) -> bool {
    LIARS.contains(&node)
}

#[test]
fn two_of_four_that_vote_twice_make_two_histories_and_it_is_found() {
    let broken = cluster(SEED, Regime::Strict, async |mut cluster, _| {
        for node in [0, 1] {
            cluster.play(node, Character::EquivocatingLeader, 0);
        }
        cluster.split = Some(Split { second: vec![3], overhears: None, neither: vec![0, 1] });
        // The honest two do not hear each other.
        cluster.world.link_where(|a, b| a < 2 || b < 2).await;
        cluster.start_all().await;
        cluster.start_clients();
        cluster.world.wait(Duration::from_secs(15)).await;
        let (set, chain_id) = (cluster.set.clone(), cluster.chain_id());
        let kept: Vec<_> = cluster.honest().iter().filter_map(|member| member.kept().ok()).collect();
        for node in 0..SIZE {
            cluster.crash(node).await;
        }
        let seen = std::mem::take(&mut *lock(&cluster.record));
        let found = history::check(&seen, &kept, &set, &chain_id);
        let without = history::Seen { certificates: Vec::new(), ..seen };
        (found.unwrap_err(), history::check(&without, &kept, &set, &chain_id).unwrap_err())
    });
    let (found, without) = broken.value;
    assert!(matches!(found, Broken::TwoCertificates { .. }), "{found}");
    assert!(matches!(without, Broken::Forked { .. }), "{without}");
}

#[test]
fn two_nodes_that_forget_their_votes_make_a_second_history_and_it_is_found() {
    let broken = cluster(SEED, Regime::Strict, async |mut cluster, _| {
        // Node 3 sees nothing of the first history.
        cluster.world.part(&[3]).await;
        cluster.start_all().await;
        cluster.start_clients();
        cluster.world.wait(Duration::from_secs(8)).await;
        // Two of four lose everything: one more than the ledger bears. Node 2 sees nothing of the second one.
        for node in [0, 1] {
            cluster.crash(node).await;
            cluster.lose_everything(node);
        }
        cluster.world.part(&[2]).await;
        for node in [0, 1] {
            cluster.start(node).await;
        }
        cluster.world.wait(Duration::from_secs(12)).await;
        let (set, chain_id) = (cluster.set.clone(), cluster.chain_id());
        let kept: Vec<_> = cluster.honest().iter().filter_map(|member| member.kept().ok()).collect();
        for node in 0..SIZE {
            cluster.crash(node).await;
        }
        let seen = std::mem::take(&mut *lock(&cluster.record));
        assert!(!seen.acknowledged.is_empty());
        let second: Vec<_> = kept.iter().filter(|kept| kept.node != 2).cloned().collect();
        let found = history::check(&seen, &kept, &set, &chain_id);
        let certificates = Vec::new();
        let without = history::Seen { certificates, finalized: Vec::new(), ..seen };
        let lost = history::check(&without, &second, &set, &chain_id);
        (found.unwrap_err(), lost.unwrap_err())
    });
    let (found, lost) = broken.value;
    assert!(matches!(found, Broken::TwoCertificates { .. }), "{found}");
    assert!(matches!(lost, Broken::Lost { .. } | Broken::OutcomesDiffer { .. }), "{lost}");
}

#[test]
fn three_liars_about_state_make_the_honest_node_stop_and_it_is_found() {
    let broken = cluster(SEED, Regime::Strict, async |mut cluster, _| {
        for node in 0..3 {
            cluster.play(node, Character::LiarAboutState, 0);
        }
        cluster.start_all().await;
        cluster.start_clients();
        cluster.world.wait(Duration::from_secs(10)).await;
        let (set, chain_id) = (cluster.set.clone(), cluster.chain_id());
        let kept: Vec<_> = cluster.honest().iter().filter_map(|member| member.kept().ok()).collect();
        for node in 0..SIZE {
            cluster.crash(node).await;
        }
        let seen = std::mem::take(&mut *lock(&cluster.record));
        history::check(&seen, &kept, &set, &chain_id).unwrap_err()
    });
    assert_eq!(broken.value, Broken::NodeFell { node: 3 });
}

#[test]
fn a_cluster_without_a_quorum_does_not_go_on_and_it_is_found() {
    let broken = cluster(SEED, Regime::Fast, async |mut cluster, _| {
        for node in [0, 1] {
            cluster.play(node, Character::Mute, 0);
        }
        cluster.start_all().await;
        cluster.start_clients();
        cluster.world.wait(Duration::from_secs(5)).await;
        cluster.finish().await.err()
    });
    assert!(matches!(broken.value, Some(Broken::NoProgress { .. })));
}

/// A short healthy run.
fn healthy() -> (Outcome, Arc<ValidatorSet>, Hash) {
    let run = cluster(SEED, Regime::Fast, async |mut cluster, _| {
        cluster.start_all().await;
        cluster.start_clients();
        cluster.world.wait(Duration::from_secs(10)).await;
        let (set, chain_id) = (cluster.set.clone(), cluster.chain_id());
        (cluster.finish().await.unwrap(), set, chain_id)
    });
    run.value
}

#[test]
fn every_altered_record_is_found() {
    let (good, set, chain_id) = healthy();
    good.check(&set, &chain_id).unwrap();
    let broken = |alter: &dyn Fn(&mut Outcome)| {
        let mut altered = good.clone();
        alter(&mut altered);
        altered.check(&set, &chain_id).expect_err("the alteration is found")
    };
    // Nodes may be some blocks apart.
    let last = good.kept.iter().map(|kept| kept.blocks.len()).min().unwrap() - 1;
    let busy = good.kept[0].blocks.iter().position(|(_, outcomes, _)| outcomes.count() > 0).unwrap();

    let found = broken(&|altered| altered.seen.certificates[3].1.signers.truncate(2));
    assert!(matches!(found, Broken::CertificateInvalid { .. }), "{found}");
    let found = broken(&|altered| {
        let height = altered.seen.certificates[0].0;
        altered.seen.certificates.last_mut().unwrap().0 = height;
    });
    assert!(matches!(found, Broken::TwoCertificates { .. }), "{found}");
    let found = broken(&|altered| altered.seen.finalized[5].2[0] ^= 1);
    assert!(matches!(found, Broken::Forked { .. }), "{found}");
    let found = broken(&|altered| altered.seen.unproven.push("a proof that does not hold".into()));
    assert!(matches!(found, Broken::Unproven { .. }), "{found}");
    let found = broken(&|altered| {
        altered.kept[1].blocks.remove(busy);
    });
    assert!(matches!(found, Broken::Forked { .. }), "{found}");
    let found = broken(&|altered| altered.kept[1].blocks.truncate(busy));
    assert!(matches!(found, Broken::Lost { node: 1, .. }), "{found}");
    let refusal = |outcomes: &BlockOutcomes| {
        let mut bytes = outcomes.encode();
        bytes[5] ^= 1;
        BlockOutcomes::decode(&bytes)
    };
    let found = broken(&|altered| {
        let outcomes = &mut altered.kept[2].blocks[busy].1;
        *outcomes = refusal(outcomes).unwrap_or_default();
    });
    assert!(matches!(found, Broken::OutcomesDiffer { .. }), "{found}");
    let found = broken(&|altered| {
        altered.seen.acknowledged.clear();
        for kept in &mut altered.kept {
            let outcomes = &mut kept.blocks[busy].1;
            *outcomes = refusal(outcomes).unwrap_or_default();
        }
    });
    assert!(matches!(found, Broken::OutcomeWrong { .. }), "{found}");
    let found = broken(&|altered| {
        let index = altered.seen.acknowledged.len() / 2;
        altered.seen.acknowledged[index].outcomes[0] =
            Answer::refused(keyward_ledger_core::outcome::Refusal::KeyFrozen);
    });
    assert!(matches!(found, Broken::OutcomesDiffer { .. }), "{found}");
    let found = broken(&|altered| {
        altered.seen.acknowledged.clear();
        altered.seen.got.clear();
        for kept in &mut altered.kept {
            let again = kept.blocks[busy].0.batches.clone();
            kept.blocks[last].0.batches.extend(again);
        }
    });
    assert!(matches!(found, Broken::SequenceTwice { .. }), "{found}");
    let found = broken(&|altered| {
        // The first answer counts as asked for after the last one came.
        let latest = altered.seen.acknowledged.iter().map(|known| known.answered).max().unwrap();
        altered.seen.acknowledged[0].invoked = latest + Duration::from_millis(1);
    });
    assert!(matches!(found, Broken::OutOfOrder { .. }), "{found}");
    let found = broken(&|altered| {
        // The first read counts as asked for after the last answer came, and gives what it gave.
        let latest = altered.seen.acknowledged.iter().map(|known| known.answered).max().unwrap();
        altered.seen.got[0].invoked = latest + Duration::from_millis(1);
    });
    assert!(matches!(found, Broken::OutOfOrder { .. }), "{found}");
    let found = broken(&|altered| {
        let got = altered.seen.got.last_mut().unwrap();
        got.value = if got.value.is_some() { None } else { Some(vec![1]) };
    });
    assert!(matches!(found, Broken::ReadWrong { .. }), "{found}");
}

#[test]
fn a_disk_that_is_lost_whole_on_one_node_costs_nothing() {
    let run = cluster(SEED + 1, Regime::Strict, async |mut cluster, _| {
        cluster.start_all().await;
        cluster.start_clients();
        for node in [2, 2, 2] {
            cluster.world.wait(Duration::from_secs(4)).await;
            cluster.crash(node).await;
            cluster.lose_everything(node);
            cluster.start(node).await;
        }
        let (set, chain_id) = (cluster.set.clone(), cluster.chain_id());
        let outcome = cluster.finish().await?;
        outcome.check(&set, &chain_id)
    });
    run.value.unwrap();
}

#[test]
fn two_of_seven_that_lie_together_change_nothing() {
    use Character::{EquivocatingLeader, LiarAboutState, Replayer, StaleVoter};
    let pairs = [
        [EquivocatingLeader, EquivocatingLeader],
        [EquivocatingLeader, LiarAboutState],
        [LiarAboutState, LiarAboutState],
        [Replayer, StaleVoter],
    ];
    for (seed, pair) in (0..).zip(pairs) {
        let run = cluster_of(7, SEED + seed, Regime::Strict, async |mut cluster, _| {
            for (node, character) in LIARS.into_iter().zip(pair) {
                cluster.play(node, character, 0);
            }
            if pair == [EquivocatingLeader; 2] {
                // Both tell the same three one thing and the other two another.
                cluster.split = Some(Split { second: vec![5, 6], overhears: None, neither: LIARS.to_vec() });
            }
            cluster.start_all().await;
            cluster.start_clients();
            cluster.world.wait(Duration::from_secs(6)).await;
            for node in LIARS {
                assert!(cluster.see_it_act(node).await > 0, "{pair:?}: {node} did nothing");
            }
            if pair == [EquivocatingLeader; 2] {
                // Now the two parts do not hear each other either.
                cluster.world.link_where(|a, b| liar(a) || liar(b) || (a > 4) == (b > 4)).await;
                cluster.world.wait(Duration::from_secs(6)).await;
            }
            let (set, chain_id) = (cluster.set.clone(), cluster.chain_id());
            let outcome = cluster.finish().await?;
            assert_eq!(outcome.kept.len(), 5);
            assert!(outcome.seen.acknowledged.len() > 10);
            outcome.check(&set, &chain_id)
        });
        run.value.unwrap_or_else(|broken| panic!("{pair:?}: {broken}"));
    }
}

#[test]
fn a_disk_that_is_rolled_back_does_not_vote_again_and_catches_up_as_an_observer() {
    let run = cluster(SEED + 2, Regime::Fast, async |mut cluster, folder| {
        cluster.start_all().await;
        cluster.start_clients();
        cluster.world.wait(Duration::from_secs(3)).await;
        let member = cluster.members[1].clone();
        cluster.crash(1).await;
        disk::copy(&member.dir, &folder.join("before"));
        cluster.start(1).await;
        cluster.world.wait(Duration::from_secs(6)).await;
        cluster.crash(1).await;
        // Blocks of before, and of the votes nothing.
        cluster.lose_everything(1);
        disk::copy(&folder.join("before"), &member.dir);
        let refused = member.start(&mut cluster.world).await;
        assert!(matches!(refused, Err(EngineError::VoteJournalLost { .. })), "{refused:?}");
        cluster.crash(1).await;
        cluster.start(1).await;
        let (set, chain_id) = (cluster.set.clone(), cluster.chain_id());
        let outcome = cluster.finish().await?;
        assert!(outcome.seen.observers.contains(&1));
        assert_eq!(outcome.kept.len(), SIZE, "the observer holds everything too");
        outcome.check(&set, &chain_id)
    });
    run.value.unwrap();
}
