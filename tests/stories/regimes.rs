//! How the ledger agrees while a validator cheats.

use std::time::Duration;

use keyward_ledger_client::{Client, CommitError, Committer};
use keyward_ledger_core::{
    block::Regime,
    certificate::finalize_message,
    entry::{ComplaintKind, Entry, Evidence, SignedVote},
    receipt::Receipt,
    state::regime::{Reason, RegimeState, regime_key},
};
use keyward_ledger_verify::verify_receipt;

use crate::{
    members::{Council, Notes},
    support::{
        cluster::{Cluster, submitter},
        deaf, until,
    },
};

/// What the ledger says, with proof, of the last switch.
async fn last_switch(client: &Client) -> Option<RegimeState> {
    let state = client.state(&regime_key()).await.unwrap();
    state.value.map(|value| RegimeState::decode(&value).unwrap())
}

async fn becomes(client: &Client, regime: Regime) -> RegimeState {
    until("the regime to change", async || {
        last_switch(client).await.is_some_and(|switch| switch.regime == regime)
    })
    .await;
    last_switch(client).await.unwrap()
}

/// The leader of a block signs a second finalize vote in the view of its certificate. The first one is real: it
/// stands in the certificate.
fn second_vote(cluster: &Cluster, receipt: &Receipt) -> (usize, Evidence) {
    let certified = &receipt.certified;
    let (header, certificate) = (&certified.signed_header.header, &certified.certificate);
    let chain_id = cluster.genesis.chain_id();
    let signed = certificate.signers.iter();
    let leads = |index: &usize| cluster.key(*index).public_key() == header.proposer;
    let index = signed.clone().map(|signer| signer.index as usize).find(leads);
    let index = index.unwrap_or(certificate.signers[0].index as usize);
    let key = cluster.key(index);
    let signature = signed.clone().find(|signer| signer.index as usize == index).unwrap().signature;
    let first = SignedVote { message: certificate.message(chain_id), signature };
    let message =
        finalize_message(chain_id, certificate.epoch, certificate.view, certificate.parent_view, &[0xee; 32]);
    let second = SignedVote { signature: key.sign(&message), message };
    (index, Evidence { validator: key.public_key(), votes: [first, second] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_signs_two_votes_ends_the_fast_regime_and_agreement_brings_it_back_under_load() {
    let mut cluster = Cluster::start(96).await;
    let notes = Notes::start(cluster.client(&[0, 1, 2, 3]).await).await;
    let council = Council::new(&cluster, &[0, 1, 2, 3]).await;
    assert_eq!(last_switch(&council.client).await, None, "fast since genesis");
    let recorded = council.committer.commit(&Entry::Note(b"before".to_vec())).await.unwrap();
    let receipt = Receipt::decode(&recorded.receipt(None)).unwrap();
    let (cheat, evidence) = second_vote(&cluster, &receipt);
    let proof = council.committer.commit(&Entry::Evidence(evidence)).await.unwrap();
    assert_eq!(proof.outcome.name(), "ACCEPTED");
    let strict = becomes(&council.client, Regime::Strict).await;
    assert_eq!(strict.trigger.reason, Reason::Equivocation);
    assert_eq!(strict.trigger.subject, cluster.key(cheat).public_key());
    assert_eq!(strict.trigger.leaf_index, proof.leaf_index, "the record that brought it about");
    // The cheat is started again from its folder, as its organisation would, and agrees like everybody else.
    cluster.stop_node(cheat).await;
    cluster.start_node(cheat).await;
    let first = strict.height + 1;
    until("some blocks of the strict regime", async || {
        council.client.status().await.is_ok_and(|status| status.height > first + 24)
    })
    .await;
    let mut leaders = std::collections::BTreeSet::new();
    for height in first..first + 24 {
        let block = council.client.block(height).await.unwrap().block;
        assert_eq!(block.header().regime, Regime::Strict);
        leaders.insert(block.header().proposer);
    }
    assert!(!leaders.contains(&cluster.key(cheat).public_key()), "a suspect does not lead");
    assert_eq!(leaders.len(), 3, "all others do");
    let fast = becomes(&council.client, Regime::Fast).await;
    assert_eq!(fast.trigger.reason, Reason::Agreement);
    assert!(fast.first_epoch >= strict.first_epoch + 2, "two clean epochs at least");
    let committed = council.committer.commit(&Entry::Note(b"fast again".to_vec())).await.unwrap();
    assert!(committed.outcome.is_accepted());
    let notes = notes.stop().await;
    let trust = cluster.trust().encode();
    let mut regimes = Vec::new();
    for recorded in &notes {
        let receipt = recorded.receipt(None);
        verify_receipt(trust.as_bytes(), &receipt, None).unwrap();
        regimes.push(Receipt::decode(&receipt).unwrap().certified.signed_header.header.regime);
    }
    regimes.dedup();
    assert_eq!(regimes, [Regime::Fast, Regime::Strict, Regime::Fast], "{} notes", notes.len());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn submitters_that_no_validator_hears_complain_by_themselves_and_end_the_fast_regime() {
    let cluster = Cluster::start(32).await;
    let notes = Notes::start(cluster.client(&[0, 1, 2, 3]).await).await;
    let council = Council::new(&cluster, &[0, 1, 2, 3]).await;
    let mut faces = Vec::new();
    for node in 0..4 {
        faces.push(deaf::face_of(&cluster, node).await);
    }
    let mut unheard = Vec::new();
    for n in [1, 2] {
        let patience = Duration::from_secs(3);
        let client = cluster.client_at("keyward://service/story", faces.clone(), patience).await;
        let committer = Committer::start(client, submitter(n)).await.unwrap();
        let error = committer.commit(&Entry::Note(b"is anybody there?".to_vec())).await.unwrap_err();
        assert!(matches!(error.root(), CommitError::Unavailable { .. }), "{error}");
        unheard.push(committer);
    }
    let strict = becomes(&council.client, Regime::Strict).await;
    assert_eq!(strict.trigger.reason, Reason::Unheard);
    let record = council.client.record(strict.trigger.leaf_index).await.unwrap();
    assert!(record.outcome.is_accepted());
    let Ok(Entry::Complaint(complaint)) = Entry::decode(&record.record().entry) else { panic!() };
    assert_eq!((complaint.kind, complaint.number), (ComplaintKind::Unheard, 1));
    assert!(unheard.iter().any(|committer| *committer.submitter() == complaint.author));
    assert!(notes.stop().await.len() > 16, "whoever is heard was heard all the time");
    cluster.stop().await;
}
