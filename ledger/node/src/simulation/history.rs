//! What a simulation saw, and what must hold of it whatever the faults were.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use keyward_ledger_core::{
    batch::SignedBatch,
    block::Block,
    certificate::{Certificate, ValidatorSet},
    entry::Entry,
    execute::BlockOutcomes,
    hash::Hash,
    outcome::Outcome,
    state::layout::{AccountState, SEQUENCE_WINDOW, account_key},
};

/// A batch that a client was told is final, with proof.
#[derive(Clone)]
pub(super) struct Acknowledged {
    pub(super) invoked: Duration,
    pub(super) answered: Duration,
    pub(super) batch: SignedBatch,
    pub(super) height: u64,
    pub(super) first_leaf: u64,
    pub(super) outcomes: Vec<Outcome>,
}

/// An account that a client read, with proof, at a certified height.
#[derive(Clone)]
pub(super) struct Got {
    pub(super) invoked: Duration,
    pub(super) answered: Duration,
    pub(super) account: Hash,
    pub(super) height: u64,
    pub(super) value: Option<Vec<u8>>,
}

/// What an honest node thought of a proposal.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) judge: usize,
    pub(super) epoch: u64,
    pub(super) view: u64,
    pub(super) leader: [u8; 32],
    pub(super) digest: Hash,
    pub(super) accepted: bool,
}

/// Everything that was seen from outside the nodes while they ran.
#[derive(Clone, Default)]
pub(super) struct Seen {
    /// Certificates by the height at which a node took them.
    pub(super) certificates: Vec<(u64, Certificate)>,
    /// Blocks that a node took as final: node, height, digest.
    pub(super) finalized: Vec<(usize, u64, Hash)>,
    pub(super) acknowledged: Vec<Acknowledged>,
    pub(super) got: Vec<Got>,
    /// Answers of nodes whose proofs do not verify.
    pub(super) unproven: Vec<String>,
    /// Nodes whose evidence of equivocation became known: who was accused.
    pub(super) accused: BTreeSet<[u8; 32]>,
    /// Nodes that stopped because they no longer agreed.
    pub(super) fallen: BTreeSet<usize>,
    pub(super) judged: Vec<Judged>,
    /// Turns to lead that a node let pass: node, epoch and view.
    pub(super) withheld: Vec<(usize, (u64, u64))>,
    /// Views that a quorum skipped: epoch and view.
    pub(super) skipped: BTreeSet<(u64, u64)>,
    /// Nodes that followed without voting, because their votes were lost.
    pub(super) observers: BTreeSet<usize>,
    /// Batches that were refused because another one had their sequence.
    pub(super) conflicts: u64,
}

/// One honest node's ledger at the end: each block above genesis with its outcomes and first leaf.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) node: usize,
    pub(super) blocks: Vec<(Block, BlockOutcomes, u64)>,
}

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    TwoCertificates { height: u64 },
    CertificateInvalid { height: u64 },
    Forked { height: u64 },
    NodeFell { node: usize },
    Missing { node: usize, height: u64 },
    Unproven { reason: String },
    Lost { node: usize, height: u64 },
    OutcomesDiffer { height: u64 },
    OutcomeWrong { height: u64, index: usize },
    SequenceTwice { sequence: u64 },
    OutOfWindow { sequence: u64 },
    Expired { height: u64 },
    OutOfOrder { earlier: Place, later: Place },
    ReadWrong { height: u64 },
    NoProgress { height: u64 },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Holds everything against the honest nodes' ledgers.
pub(super) fn check(seen: &Seen, kept: &[Kept], set: &ValidatorSet, chain_id: &Hash) -> Result<(), Broken> {
    let honest: BTreeSet<usize> = kept.iter().map(|kept| kept.node).collect();
    one_certified_block_each_height(seen, set, chain_id)?;
    honest_nodes_took_the_same_blocks(seen, &honest)?;
    if let Some(node) = seen.fallen.intersection(&honest).next() {
        return Err(Broken::NodeFell { node: *node });
    }
    if let Some(reason) = seen.unproven.first() {
        return Err(Broken::Unproven { reason: reason.clone() });
    }
    let Some(longest) = kept.iter().max_by_key(|kept| kept.blocks.len()) else { return Ok(()) };
    for kept in kept {
        same_blocks_and_outcomes(kept, longest)?;
        acknowledged_stand(seen, kept)?;
    }
    sequences_are_honoured(longest)?;
    let states = outcomes_follow_from_the_order(longest)?;
    order_is_that_of_real_time(seen)?;
    reads_are_of_that_order(seen, &states)
}

fn one_certified_block_each_height(seen: &Seen, set: &ValidatorSet, chain_id: &Hash) -> Result<(), Broken> {
    let mut digests = BTreeMap::new();
    for (height, certificate) in &seen.certificates {
        if set.verify(chain_id, certificate).is_err() {
            return Err(Broken::CertificateInvalid { height: *height });
        }
        if *digests.entry(height).or_insert(certificate.block_digest) != certificate.block_digest {
            return Err(Broken::TwoCertificates { height: *height });
        }
    }
    Ok(())
}

fn honest_nodes_took_the_same_blocks(seen: &Seen, honest: &BTreeSet<usize>) -> Result<(), Broken> {
    let mut digests = BTreeMap::new();
    for (_, height, digest) in seen.finalized.iter().filter(|(node, ..)| honest.contains(node)) {
        if digests.entry(height).or_insert(digest) != &digest {
            return Err(Broken::Forked { height: *height });
        }
    }
    Ok(())
}

fn same_blocks_and_outcomes(kept: &Kept, longest: &Kept) -> Result<(), Broken> {
    for ((block, outcomes, leaf), (other, others, others_leaf)) in kept.blocks.iter().zip(&longest.blocks) {
        let height = other.header().height;
        if block.digest() != other.digest() {
            return Err(Broken::Forked { height });
        }
        if outcomes.encode() != others.encode() || leaf != others_leaf {
            return Err(Broken::OutcomesDiffer { height });
        }
    }
    Ok(())
}

fn acknowledged_stand(seen: &Seen, kept: &Kept) -> Result<(), Broken> {
    for acknowledged in &seen.acknowledged {
        let lost = || Broken::Lost { node: kept.node, height: acknowledged.height };
        let place = acknowledged.height.checked_sub(1).ok_or_else(lost)?;
        let (block, outcomes, first_leaf) = kept.blocks.get(place as usize).ok_or_else(lost)?;
        let mut leaf = *first_leaf;
        let mut batches = block.batches.iter();
        let found = batches.find(|batch| {
            let here = batch.digest() == acknowledged.batch.digest();
            leaf += if here { 0 } else { batch.entry_count() as u64 };
            here
        });
        if found.is_none() || leaf != acknowledged.first_leaf {
            return Err(lost());
        }
        let start = (leaf - first_leaf) as u32;
        for (index, outcome) in (start..).zip(&acknowledged.outcomes) {
            if outcomes.outcome(index).as_ref() != Some(outcome) {
                return Err(Broken::OutcomesDiffer { height: acknowledged.height });
            }
        }
    }
    Ok(())
}

fn sequences_are_honoured(kept: &Kept) -> Result<(), Broken> {
    let mut used: BTreeMap<[u8; 32], BTreeSet<u64>> = BTreeMap::new();
    for (block, ..) in &kept.blocks {
        for batch in &block.batches {
            let used = used.entry(*batch.submitter()).or_default();
            let sequence = batch.sequence();
            let highest = used.last().copied().unwrap_or(0);
            if !used.insert(sequence) {
                return Err(Broken::SequenceTwice { sequence });
            }
            if sequence > highest + SEQUENCE_WINDOW || sequence + SEQUENCE_WINDOW <= highest {
                return Err(Broken::OutOfWindow { sequence });
            }
            if batch.not_after() < block.header().height {
                return Err(Broken::Expired { height: block.header().height });
            }
        }
    }
    Ok(())
}

/// An account in the model: since which height it is open or closed.
type Accounts = BTreeMap<Hash, AccountState>;

/// Executes the order of the ledger in a model that shares no code with the contracts. Gives the accounts after
/// each height.
fn outcomes_follow_from_the_order(kept: &Kept) -> Result<Vec<Accounts>, Broken> {
    let mut accounts = Accounts::new();
    let mut after = vec![accounts.clone()];
    for (block, outcomes, _) in &kept.blocks {
        let height = block.header().height;
        let entries = block.batches.iter().flat_map(|batch| batch.entries());
        for (index, entry) in entries.enumerate() {
            let expected = match Entry::decode(entry) {
                Ok(Entry::OpenAccount { account }) => match accounts.get(&account) {
                    None => {
                        accounts.insert(account, AccountState { open: true, height });
                        "ACCEPTED"
                    }
                    Some(_) => "ACCOUNT_EXISTS",
                },
                Ok(Entry::CloseAccount { account }) => match accounts.get(&account).map(|state| state.open) {
                    Some(true) => {
                        accounts.insert(account, AccountState { open: false, height });
                        "ACCEPTED"
                    }
                    Some(false) => "ACCOUNT_CLOSED",
                    None => "ACCOUNT_UNKNOWN",
                },
                Ok(Entry::Note(_)) => "ACCEPTED",
                // What validators tell the ledger: the model knows nothing of it.
                _ => continue,
            };
            if outcomes.outcome(index as u32).map(|outcome| outcome.name()) != Some(expected) {
                return Err(Broken::OutcomeWrong { height, index });
            }
        }
        after.push(accounts.clone());
    }
    Ok(after)
}

/// Where something stands in the order of the log: height and leaf; a read stands behind all leaves of its height.
type Place = (u64, u64);

/// What was answered before something else was asked for stands before it, submissions and reads alike: together
/// with [`reads_are_of_that_order`] this makes the history linearizable, in the order of the log.
fn order_is_that_of_real_time(seen: &Seen) -> Result<(), Broken> {
    let submitted = seen
        .acknowledged
        .iter()
        .map(|known| (known.invoked, known.answered, (known.height, known.first_leaf)));
    let read = seen.got.iter().map(|got| (got.invoked, got.answered, (got.height, u64::MAX)));
    let mut by_invocation: Vec<(Duration, Duration, Place)> = submitted.chain(read).collect();
    let mut by_answer = by_invocation.clone();
    by_invocation.sort_by_key(|(invoked, ..)| *invoked);
    by_answer.sort_by_key(|(_, answered, _)| *answered);
    let (mut answered, mut highest) = (by_answer.into_iter().peekable(), None);
    for (invoked, _, later) in by_invocation {
        while let Some((.., earlier)) = answered.next_if(|(_, answered, _)| *answered < invoked) {
            highest = highest.max(Some(earlier));
        }
        // Two reads of one height may stand in either order.
        if let Some(earlier) =
            highest.filter(|earlier| *earlier >= later && (*earlier > later || later.1 != u64::MAX))
        {
            return Err(Broken::OutOfOrder { earlier, later });
        }
    }
    Ok(())
}

fn reads_are_of_that_order(seen: &Seen, states: &[Accounts]) -> Result<(), Broken> {
    for got in &seen.got {
        let state = states.get(got.height as usize).ok_or(Broken::ReadWrong { height: got.height })?;
        let expected = state.get(&got.account).map(AccountState::encode);
        if got.value != expected {
            return Err(Broken::ReadWrong { height: got.height });
        }
    }
    Ok(())
}

/// The state key of an account.
pub(super) fn key_of(account: &Hash) -> Vec<u8> {
    account_key(account)
}
