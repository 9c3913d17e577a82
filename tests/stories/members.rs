//! Organisations that join, leave and change keys while the ledger is used.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use keyward_ledger_client::{Client, Committer, Recorded};
use keyward_ledger_core::{
    change::{Change, Member, approval_message, change_id, rotation_message},
    ed25519::SigningKey,
    entry::{ApproveChange, Entry, ProposeChange},
    receipt::Receipt,
    state::member::{ChangeState, ChangeStatus, change_key},
};
use keyward_ledger_verify::verify_receipt;
use tokio::task::JoinHandle;

use crate::support::{
    cluster::{Cluster, submitter},
    until,
};

/// Notes without a pause, each with its receipt, until stopped. Every one must become final.
pub struct Notes {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Recorded>>,
}

impl Notes {
    pub async fn start(client: Client) -> Self {
        Self::of(client, submitter(0)).await
    }

    pub async fn of(client: Client, submitter: SigningKey) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let committer = Committer::start(client, submitter).await.unwrap();
        let task = tokio::spawn(async move {
            let mut all = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let note = Entry::Note(format!("note {}", all.len()).into_bytes());
                all.push(committer.commit(&note).await.expect("load never stops"));
            }
            all
        });
        Self { stop, task }
    }

    pub async fn stop(self) -> Vec<Recorded> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// Those that decide: one proposes, the others approve, somebody carries it to the ledger.
pub struct Council {
    pub client: Client,
    pub committer: Committer,
}

impl Council {
    pub async fn new(cluster: &Cluster, nodes: &[usize]) -> Self {
        let client = cluster.client(nodes).await;
        let committer = Committer::start(client.clone(), submitter(3)).await.unwrap();
        Self { client, committer }
    }

    pub async fn commit(&self, entry: &Entry) {
        let recorded = self.committer.commit(entry).await.unwrap();
        assert_eq!(recorded.outcome.name(), "ACCEPTED", "{entry:?}");
    }

    /// Decided by these nodes; the answer comes when it is in force.
    pub async fn decide(&self, cluster: &Cluster, by: &[usize], change: &Change) {
        let chain_id = self.client.chain_id();
        let proposer = cluster.key(by[0]);
        let (bytes, key) = (change.encode(), proposer.public_key());
        let not_after = self.client.status().await.unwrap().height + 100_000;
        let id = change_id(&chain_id, &key, not_after, &bytes);
        let signature = proposer.sign(&id);
        self.commit(&Entry::ProposeChange(ProposeChange {
            change: bytes,
            not_after,
            proposer: key,
            signature,
        }))
        .await;
        for n in &by[1..] {
            let key = cluster.key(*n);
            let signature = key.sign(&approval_message(&chain_id, &id));
            let approve = ApproveChange { change_id: id, validator: key.public_key(), signature };
            self.commit(&Entry::ApproveChange(approve)).await;
        }
        until("the change to take effect", async || {
            let found = self.client.state(&change_key(&id)).await.unwrap();
            let state = ChangeState::decode(&found.value.expect("it was proposed")).unwrap();
            assert_ne!(state.status, ChangeStatus::Dropped);
            state.status == ChangeStatus::Effective
        })
        .await;
    }
}

pub fn admission(cluster: &Cluster, n: usize, name: &str) -> Change {
    let key = cluster.key(n);
    let member = Member {
        key: key.public_key(),
        name: name.into(),
        peer: cluster.peer_address(n),
        rpc: cluster.rpc_address(n),
    };
    let proof = key.sign(&member.message(cluster.genesis.chain_id()));
    Change::Admit { member, proof }
}

/// Waits until a block was proposed by a key.
async fn leads(client: &Client, key: [u8; 32]) {
    let next = AtomicU64::new(client.status().await.unwrap().height);
    until("the node to lead", async || {
        while let Ok(block) = client.block(next.load(Ordering::Relaxed)).await {
            if block.block.header().proposer == key {
                return true;
            }
            next.fetch_add(1, Ordering::Relaxed);
        }
        false
    })
    .await;
}

fn links_of(recorded: &Recorded) -> usize {
    Receipt::decode(&recorded.receipt(None)).unwrap().certified.links.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_organisation_joins_and_the_first_leaves_while_load_runs() {
    let mut cluster = Cluster::start(16).await;
    let notes = Notes::start(cluster.client(&[1, 2, 3]).await).await;
    let council = Council::new(&cluster, &[2, 3, 1]).await;
    // The fifth knows three of the founders; nobody knows it, and nobody's configuration is touched.
    let fifth = cluster.add_node([9; 32], &[1, 2, 3]);
    let key = cluster.key(fifth).public_key();
    council.decide(&cluster, &[0, 1, 2], &admission(&cluster, fifth, "fifth-bank")).await;
    cluster.start_node(fifth).await;
    let observer = cluster.client(&[fifth]).await;
    until("the fifth to catch up as an observer", async || {
        let (there, here) = (council.client.status().await.unwrap().height, observer.status().await);
        here.is_ok_and(|here| here.height + 8 >= there)
    })
    .await;
    council.decide(&cluster, &[1, 2, 3], &Change::Promote { key }).await;
    leads(&council.client, key).await;
    council.decide(&cluster, &[1, 2, 3, fifth], &Change::Remove { key: cluster.key(0).public_key() }).await;
    cluster.stop_node(0).await;
    until("the first to be out of the set", async || {
        let status = observer.status().await.unwrap();
        status.validators.len() == 4
            && !status.validators.iter().any(|key| **key == cluster.key(0).public_key())
    })
    .await;
    let notes = notes.stop().await;
    println!("{} notes", notes.len());
    // Without the fifth three of the four would have no quorum.
    cluster.stop_node(1).await;
    let late = Council::new(&cluster, &[fifth, 2, 3]).await;
    late.commit(&Entry::Note(b"three of the new four".to_vec())).await;
    // Everything since genesis verifies under the one line that everybody had from the start.
    let trust = cluster.trust().encode();
    for recorded in &notes {
        verify_receipt(trust.as_bytes(), &recorded.receipt(None), None).unwrap();
    }
    let (before, after) = (notes.first().unwrap(), notes.last().unwrap());
    assert_eq!((links_of(before), links_of(after)), (0, 2));
    // The old record read now, from the newcomer, who was not there.
    let again = cluster.client(&[fifth]).await.record(before.leaf_index).await.unwrap();
    assert_eq!(again.record(), before.record());
    verify_receipt(trust.as_bytes(), &again.receipt(None), None).unwrap();
    let old_block = cluster.client(&[fifth]).await.block(before.height).await.unwrap();
    assert_eq!(old_block.block.header().height, before.height);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_its_vote_journal_follows_until_its_key_is_rotated() {
    let mut cluster = Cluster::start(16).await;
    let council = Council::new(&cluster, &[0, 1, 2]).await;
    let notes = Notes::start(cluster.client(&[0, 1, 2]).await).await;
    council.decide(&cluster, &[0, 1, 2], &admission(&cluster, 3, "fourth-bank")).await;
    cluster.stop_node(3).await;
    std::fs::remove_dir_all(cluster.node_dir(3).join("engine")).unwrap();
    cluster.start_node(3).await;
    let observer = cluster.client(&[3]).await;
    let height = council.client.status().await.unwrap().height;
    until("it to follow as an observer", async || {
        observer.status().await.is_ok_and(|status| status.height > height + 20)
    })
    .await;
    let (old, new) = (cluster.key(3).public_key(), [77; 32]);
    let new_key = SigningKey::from_seed(&new);
    let message = rotation_message(cluster.genesis.chain_id(), &old, &new_key.public_key());
    let change = Change::Rotate { old, new: new_key.public_key(), proof: new_key.sign(&message) };
    council.decide(&cluster, &[0, 1, 2], &change).await;
    cluster.stop_node(3).await;
    cluster.replace_key(3, new);
    cluster.start_node(3).await;
    leads(&council.client, new_key.public_key()).await;
    let notes = notes.stop().await;
    let trust = cluster.trust().encode();
    for recorded in &notes {
        verify_receipt(trust.as_bytes(), &recorded.receipt(None), None).unwrap();
    }
    assert_eq!(links_of(notes.last().unwrap()), 1);
    cluster.stop().await;
}
