//! What a service records beside uses: releases, closings, payments announced, and cases that name nobody, each when it would.
//!
//! When that is depends on what kind of root an account has, and on coins; on the account itself only where its setup says so.

use std::collections::HashMap;

use keyward_domain::blind::Blinded;
use keyward_domain::detail::{ApprovedBy, Source};
use keyward_ledger_core::entry::{Act, Case, Custody, Entry, OpenBlindCase, Release, UseBlindCase, kind};
use keyward_ledger_core::hash::{Hash, signature_hash};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::unlinkable::EDGE_MS;

use super::game::Planned;
use crate::town::common::acts::{approval_terms, define};
use crate::town::{Draft, EPOCH_MS, OFFICERS, Town};

/// A third of all accounts have their roots themselves.
const OWN_EVERY: usize = 3;
/// Blocks that a case takes at most, from its opening to the use.
pub const CASE_BLOCKS: usize = 12;
/// Services look so often for epochs that are over.
const LOOK_MS: usize = 2_000;
/// Until when an own root's device has closed its epoch.
const OWN_CLOSING_MS: usize = 20_000;
const LIVE_MS: u64 = 60_000;

pub fn custody(owner: usize) -> Custody {
    if owner.is_multiple_of(OWN_EVERY) { Custody::Own } else { Custody::Hosted }
}

/// An entry on its way to one of the two servers.
pub struct Sent {
    /// Of whom it is.
    pub owner: usize,
    pub server: usize,
    pub arrived_ms: u64,
    pub entry: Entry,
}

/// From which height on it is handed in.
struct Due<T> {
    height: u64,
    of: T,
}

/// A release that is held back.
struct Held {
    until_ms: u64,
    sent: Sent,
}

/// A use that others are to approve.
struct Asked {
    draft: Draft,
    salt: Hash,
    planned: Planned,
    case: Option<Case>,
}

/// What comes next of it.
enum Step {
    Approve(Asked),
    UseUp(Asked),
    Sign(Asked),
}

struct Closing {
    owner: usize,
    epoch: u32,
    due_ms: u64,
}

#[derive(Default)]
pub struct Beside {
    rule: Hash,
    releases: Vec<Held>,
    closings: Vec<Closing>,
    steps: Vec<Due<Step>>,
    /// Cases whose opening is being recorded, by what is approved.
    opened: HashMap<Hash, Asked>,
    /// Payments that nobody has spent.
    paid: HashMap<usize, Vec<Source>>,
    announced: HashMap<[u8; 50], usize>,
}

/// Those whose time has come.
fn take<T>(waiting: &mut Vec<Due<T>>, height: u64) -> Vec<T> {
    waiting.extract_if(.., |item| item.height <= height).map(|item| item.of).collect()
}

fn blinded<'a>(draft: &'a Draft, salt: &'a Hash) -> Blinded<'a> {
    let detail = &draft.detail;
    Blinded {
        salt,
        account: &detail.account,
        scheme: draft.used.scheme,
        payload_hash: &detail.payload_hash,
        format: &detail.format,
    }
}

impl Beside {
    pub fn new(town: &mut Town) -> Self {
        let terms = approval_terms(&[(1, &OFFICERS)]);
        town.acted(Act::DefineApproval(define(OFFICERS[1], 1, terms)), &[OFFICERS[1]]);
        Self { rule: OFFICERS[1].rule().id(kind::DEFINE_APPROVAL), ..Self::default() }
    }

    pub fn holds_releases(&self) -> bool {
        !self.releases.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.releases.is_empty() && self.closings.is_empty() && self.steps.is_empty()
    }

    /// An address that somebody paid to, now and then; else the next one of the epoch.
    pub fn draft(&mut self, town: &mut Town, owner: usize) -> Draft {
        let paid = self.paid.get_mut(&owner).filter(|_| town.random.below(4) == 0).and_then(Vec::pop);
        match paid {
            Some(source) => town.draft_from(owner, source),
            None => town.draft(owner),
        }
    }

    /// Asks others for an act, in the next block.
    pub fn ask(&mut self, town: &mut Town, planned: Planned) -> Sent {
        let (draft, salt) = (self.draft(town, planned.owner), town.hash());
        let open: OpenBlindCase = blinded(&draft, &salt).open(self.rule, LIVE_MS);
        let sent = self.sent(town, planned.owner, Entry::OpenBlindCase(open));
        self.opened.insert(open.payload(), Asked { draft, salt, planned, case: None });
        sent
    }

    fn sent(&self, town: &mut Town, owner: usize, entry: Entry) -> Sent {
        let (server, arrived_ms) = (town.random.below(2), town.random.below(300) as u64);
        Sent { owner, server, arrived_ms, entry }
    }

    /// What is due in the next block, and acts that were approved, with what they say.
    pub fn due(&mut self, town: &mut Town) -> (Vec<Sent>, Vec<(Planned, Draft)>) {
        let height = town.world.ledger.height() + 1;
        let now_ms = town.world.ledger.time_ms() + town.world.step_ms;
        let over = self.releases.extract_if(.., |release| release.until_ms <= now_ms);
        let mut sent: Vec<_> = over.map(|release| release.sent).collect();
        let mut signed = Vec::new();
        for step in take(&mut self.steps, height) {
            match step {
                Step::Approve(asked) => {
                    let case = asked.case.unwrap();
                    let entry = town.world.signed_by(Act::Approve { case, group: 0 }, &[OFFICERS[0]]);
                    sent.push(self.sent(town, asked.planned.owner, entry));
                    let height = height + 1 + town.random.below(2) as u64;
                    self.steps.push(Due { height, of: Step::UseUp(asked) });
                }
                Step::UseUp(asked) => {
                    let case: UseBlindCase =
                        blinded(&asked.draft, &asked.salt).use_up(asked.case.unwrap().id);
                    sent.push(self.sent(town, asked.planned.owner, Entry::UseBlindCase(case)));
                    let height = height + 1 + town.random.below(2) as u64;
                    self.steps.push(Due { height, of: Step::Sign(asked) });
                }
                Step::Sign(Asked { mut draft, salt, planned, case }) => {
                    draft.detail.approved = case.map(|case| ApprovedBy { case: case.id, salt });
                    signed.push((planned, draft));
                }
            }
        }
        for closing in self.closings.extract_if(.., |closing| closing.due_ms <= now_ms).collect::<Vec<_>>() {
            let Closing { owner, epoch, .. } = closing;
            let close = town.closing_entry(owner, epoch, &town.closing(owner, epoch));
            sent.push(self.sent(town, owner, Entry::CloseEpoch(close)));
        }
        (sent, signed)
    }

    /// Payments to accounts by people of whom the adversary is none.
    pub fn announce(&mut self, town: &mut Town) -> Vec<Sent> {
        let count = town.random.below(3);
        let mut sent = Vec::new();
        for _ in 0..count {
            let owner = town.random.below(town.owners.len());
            let announce = town.announcement(owner);
            self.announced.insert(announce.payment, owner);
            sent.push(self.sent(town, owner, Entry::AnnouncePayment(announce)));
        }
        sent
    }

    /// What follows a record.
    pub fn follow(&mut self, town: &mut Town, record: &Record) {
        let height = record.height + 1;
        match Entry::decode(&record.entry).unwrap() {
            Entry::OpenBlindCase(open) => {
                let mut asked = self.opened.remove(&open.payload()).unwrap();
                let id = record.outcome.data.clone().try_into().unwrap();
                asked.case = Some(Case { id, payload: open.payload() });
                let height = height + town.random.below(3) as u64;
                self.steps.push(Due { height, of: Step::Approve(asked) });
            }
            Entry::AnnouncePayment(announce) => {
                let owner = self.announced.remove(&announce.payment).unwrap();
                let source = Source::Payment { epoch: announce.epoch, payment: announce.payment };
                self.paid.entry(owner).or_default().push(source);
            }
            _ => {}
        }
    }

    /// The release of a use that was just recorded, so much later, by the server that recorded it.
    pub fn release(
        &mut self,
        town: &mut Town,
        (later_ms, arrived_ms): (u64, Option<u64>),
        (owner, server, intent_id): (usize, usize, Hash),
    ) {
        let signature_hash = signature_hash(&town.hash());
        let entry = Entry::Release(Release { intent_id, signature_hash });
        let arrived_ms = arrived_ms.unwrap_or(town.random.below(300) as u64);
        let until_ms = town.world.ledger.time_ms() + later_ms;
        self.releases.push(Held { until_ms, sent: Sent { owner, server, arrived_ms, entry } });
    }

    /// An epoch is over: those who were active in it close it, hosted roots all at once, own ones when their devices come by.
    pub fn end_epoch(&mut self, town: &mut Town, epoch: u32) {
        let over_ms = u64::from(epoch + 1) * EPOCH_MS + EDGE_MS;
        let look_ms = town.random.below(LOOK_MS) as u64;
        for owner in 0..town.owners.len() {
            if !town.owners[owner].uses.contains_key(&epoch) {
                continue;
            }
            let late_ms = match town.owners[owner].custody {
                Custody::Hosted => look_ms,
                Custody::Own => town.random.below(OWN_CLOSING_MS) as u64,
            };
            self.closings.push(Closing { owner, epoch, due_ms: over_ms + late_ms });
        }
    }
}
