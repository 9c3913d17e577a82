//! Real engines over real TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[path = "support/cluster.rs"]
mod cluster_support;
mod support;

use cluster_support::Cluster;
use keyward_ledger_engine::{Event, LeaderTerm};
use std::time::Instant;
use support::verify_certificate;

fn four_nodes_finalize_one_chain(term: LeaderTerm) {
    let started = Instant::now();
    let cluster = Cluster::start(4, 20, term);
    cluster.wait(110);
    println!("{term:?}: height {} after {:?}", cluster.top(), started.elapsed());
    cluster.assert_one_chain();
    let validators = cluster.validators();
    for member in cluster.running() {
        let certificates = member.toy.certificates();
        assert!(certificates.len() > 50, "{} certificates", certificates.len());
        let chain = member.toy.finalized();
        for (height, certificate) in &certificates {
            assert!(verify_certificate(certificate, &validators), "certificate at {height}");
            assert_eq!(certificate.epoch, height / 20);
            assert!(chain.get(height).is_none_or(|digest| *digest == certificate.digest));
        }
        let epochs = member
            .toy
            .events()
            .into_iter()
            .filter(|event| matches!(event, Event::EpochStarted { voting: true, .. }));
        assert!(epochs.count() >= 5);
    }
}

#[test]
fn four_nodes_finalize_one_chain_with_rotating_leaders() {
    four_nodes_finalize_one_chain(LeaderTerm::Rotating);
}

#[test]
fn four_nodes_finalize_one_chain_with_a_stable_leader() {
    four_nodes_finalize_one_chain(LeaderTerm::Stable { views: 64 });
}
