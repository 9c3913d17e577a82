//! The viewing leaves that a grant file opens, made as records ask for them.

use std::cmp::Reverse;
use std::collections::HashMap;

use keyward_crypto::unlinkable::{ViewingLeaf, closing_tag};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::receipt::Receipt;

use crate::grant_file::{GrantFile, Opening};

/// One account's leaf of an epoch.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) account: Hash,
    pub(crate) view: ViewingLeaf,
    /// What its closing is known by.
    pub(crate) tag: Option<Hash>,
}

/// All leaves; those of an epoch are made once, when its first record comes.
#[derive(Debug)]
pub(crate) struct Leaves {
    /// By account; of one account the newest, which is the one that was recorded last, first: runs may overlap.
    openings: Vec<Opening>,
    made: HashMap<u32, Vec<Leaf>>,
}

impl Leaves {
    /// Of a file whose receipts were checked.
    pub(crate) fn of(file: GrantFile) -> Self {
        let mut openings = file.openings;
        openings.sort_by_cached_key(|opening| {
            let opened = Receipt::decode(&opening.opened).map_or(0, |receipt| receipt.leaf_index);
            (opening.account, Reverse(opened))
        });
        Self { openings, made: HashMap::new() }
    }

    pub(crate) fn openings(&self) -> &[Opening] {
        &self.openings
    }

    /// The leaves of an epoch, one for each account that was opened there.
    pub(crate) fn at(&mut self, epoch: u32) -> &[Leaf] {
        let openings = &self.openings;
        self.made.entry(epoch).or_insert_with(|| leaves(openings, epoch))
    }

    /// A fresh copy of one leaf.
    pub(crate) fn copy(&self, account: &Hash, epoch: u32) -> Option<ViewingLeaf> {
        let own = self.openings.iter().filter(|opening| opening.account == *account);
        own.flat_map(Opening::covers).find_map(|cover| cover.leaf(epoch))
    }
}

fn leaves(openings: &[Opening], epoch: u32) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = Vec::new();
    for opening in openings.iter().filter(|opening| (opening.first..=opening.last).contains(&epoch)) {
        // The newest that has the epoch counts.
        if leaves.last().is_some_and(|leaf| leaf.account == opening.account) {
            continue;
        }
        if let Some(view) = opening.covers().find_map(|cover| cover.leaf(epoch)) {
            let tag = closing_tag(&view).ok();
            leaves.push(Leaf { account: opening.account, view, tag });
        }
    }
    leaves
}
