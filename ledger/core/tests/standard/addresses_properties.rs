//! `addresses` and `audit` whatever is signed in whatever order, by two services in the same blocks: what never happens, told from
//! the accepted entries alone.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;

use keyward_ledger_core::contracts::audit::LOG_AFTER_MS;
use keyward_ledger_core::entry::{
    AddressAct, AuditAct, CloseEpoch, Custody, DeliverGrant, Grant, HandleLimit, OpenGrant, RevokeGrant,
    UseAddress, UseGrant, kind, kind_name,
};
use keyward_ledger_core::unlinkable::{DealtRun, EDGE_MS};

use super::addresses::seeded;
use super::delegation_properties::Dice;
use super::*;
use crate::common::addresses::{
    AddressKey, EPOCH_MS, SCHEMES, audit, choose, closing, grant, open_grant, publish_audit, run, terms,
};

const RUNS: u64 = 30;
const BLOCKS: usize = 60;
const REGULATOR: Person = Person(0x46);
const LIMIT: u64 = 2;

/// A grant as its entries tell it.
#[derive(Default)]
struct Asked {
    grant: Option<Grant>,
    issued: bool,
    revoked: Option<u64>,
}

#[derive(Default)]
struct Told {
    used: BTreeSet<[u8; 32]>,
    /// Uses under a handle in each window of block time.
    counted: BTreeMap<(Hash, u64), u64>,
    closed: BTreeSet<(Hash, [u8; 32])>,
    dealt: BTreeMap<Hash, u32>,
    grants: BTreeMap<Hash, Asked>,
    /// What each case is about, who asked, and who has approved.
    cases: BTreeMap<Hash, (Hash, Hash, BTreeSet<Hash>)>,
    spent: BTreeSet<Hash>,
    left: BTreeMap<Hash, u64>,
}

struct Play {
    dice: Dice,
    world: World,
    rule: Hash,
    first: u32,
    told: Told,
    latest: Option<(Hash, Hash)>,
    accepted: BTreeMap<u16, usize>,
    refused: BTreeSet<&'static str>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut world = ruled(&[(2, &[ALICE, BOB])]);
        world.enroll(REGULATOR);
        world.admit_keepers(&[1, 2]);
        let windows = vec![Window { length_ms: 2 * EPOCH_MS, count_max: LIMIT, amount_max: 0 }];
        let rate = RateTerms { windows, chargers: Vec::new() };
        let setup = [
            (Act::DefineRate(define(OWNER, 1, rate)), OWNER),
            (audit(AuditAct::Publish(publish_audit(1, None))), OWNER),
            (choose(ALICE, Custody::Own), ALICE),
            (choose(BOB, Custody::Hosted), BOB),
            (choose(CAROL, Custody::Own), CAROL),
        ];
        for (act, person) in setup {
            assert_eq!(world.answer(act, &[person]), "ACCEPTED");
        }
        let (rule, first) = (OWNER.rule().id(kind::DEFINE_RATE), world.chosen(ALICE).unwrap().first);
        let (dice, told) = (Dice(seed), Told::default());
        let (accepted, refused) = (BTreeMap::new(), BTreeSet::new());
        Self { dice, world, rule, first, told, latest: None, accepted, refused }
    }

    fn number(&mut self, end: u64) -> u8 {
        u8::try_from(self.dice.below(end)).unwrap()
    }

    /// An epoch near that of the next block.
    fn near(&mut self) -> u32 {
        self.world.epoch() + u32::from(self.number(4)) - 2
    }

    fn used(&mut self, executor: [u8; 32]) -> Entry {
        let key = AddressKey(1 + self.number(40), self.dice.below(2) == 0);
        let (id, scheme) = (self.number(200), self.dice.pick(&SCHEMES));
        let limited = self.dice.below(2) == 0;
        let limit = limited.then(|| HandleLimit { rule: self.rule, handle: [self.number(2); 32] });
        let epoch = if self.dice.below(4) == 0 { self.near() } else { self.world.epoch() };
        let used = UseAddress { epoch, executor, limit, ..self.world.use_address(id, key, scheme) };
        let by = if self.dice.below(8) == 0 { AddressKey(99, false) } else { key };
        self.world.proven(by, used)
    }

    fn dealing(&mut self) -> Entry {
        let person = self.dice.pick(&[ALICE, ALICE, ALICE, CAROL, BOB]);
        let next = self.told.dealt.get(&person.account()).map_or(self.first, |last| last + 1);
        let from = next + u32::from(self.number(6) / 5);
        let to = from + u32::from(self.number(3)) - u32::from(self.number(6) / 5);
        let dealt = run(person, from, to);
        let soon_ms = self.world.next_ms() + self.dice.below(2 * EPOCH_MS) - EPOCH_MS;
        let expires_ms = if self.dice.below(4) == 0 { soon_ms } else { dealt.expires_ms };
        let act = self.world.dealt(DealtRun { expires_ms, ..dealt }, 2, &[1, 2]);
        let by = if self.dice.below(8) == 0 { OWNER } else { person };
        self.world.signed_by(act, &[by])
    }

    fn request(&mut self) -> Act {
        let people: Vec<_> = [ALICE, BOB, CAROL].into_iter().filter(|_| self.dice.below(2) == 0).collect();
        let from_ms = u64::from(self.world.epoch()) * EPOCH_MS - self.dice.below(20 * EPOCH_MS);
        let (until_ms, now) = (from_ms + self.dice.below(24 * EPOCH_MS), self.world.next_ms());
        let expires_ms = now + self.dice.below(40 * EPOCH_MS);
        audit(AuditAct::Request(grant(self.number(12), &people, from_ms, until_ms, expires_ms)))
    }

    /// The id of a grant that was asked for, of some other now and then.
    fn known(&mut self) -> u8 {
        let known: Vec<_> = self.told.grants.keys().map(|id| id[0]).collect();
        if known.is_empty() || self.dice.below(10) == 0 { self.number(12) } else { self.dice.pick(&known) }
    }

    fn run_of_grant(&mut self) -> OpenGrant {
        let id = self.known();
        let of = self.told.grants.get(&[id; 32]).and_then(|asked| asked.grant.as_ref());
        let from_ms = of.map_or(0, |grant| grant.from_ms);
        let first = u32::try_from(from_ms.div_ceil(EPOCH_MS)).unwrap() + u32::from(self.number(3));
        let last = first + u32::from(self.number(3)) - u32::from(self.number(9) / 8);
        open_grant(id, self.dice.pick(&[ALICE, BOB, CAROL]), first, last)
    }

    /// What people sign about audits, and who.
    fn audited(&mut self) -> Entry {
        let regulator = if self.dice.below(8) == 0 { ALICE } else { REGULATOR };
        let (act, by) = match self.dice.below(16) {
            0 | 1 => (self.request(), regulator),
            2 => {
                let id = self.known();
                let of = self.told.grants.get(&[id; 32]).and_then(|asked| asked.grant.as_ref());
                let payload = of.map_or(PAYLOAD, Grant::payload);
                (Act::OpenApproval { rule: OWNER.rule(), payload, live_ms: 600_000 }, regulator)
            }
            3..=7 => {
                let (id, payload) = self.latest.unwrap_or_default();
                (Act::Approve { case: Case { id, payload }, group: 0 }, self.dice.pick(&[ALICE, BOB]))
            }
            8 | 9 => {
                let (case, payload) = self.latest.unwrap_or_default();
                let is_it = |asked: &Asked| asked.grant.as_ref().is_some_and(|of| of.payload() == payload);
                let of = self.told.grants.iter().find(|(_, asked)| is_it(asked)).map(|(id, _)| *id);
                let grant = of.filter(|_| self.dice.below(8) > 0).unwrap_or([self.known(); 32]);
                (audit(AuditAct::Issue { grant, case }), regulator)
            }
            10..=14 => (audit(AuditAct::Open(self.run_of_grant())), regulator),
            _ => {
                let revoke = RevokeGrant { grant: [self.known(); 32], reason: [1; 32] };
                let by = self
                    .dice
                    .pick(&[REGULATOR, ALICE, CAROL, OWNER, CAROL, OWNER, CAROL, OWNER, CAROL, OWNER]);
                (audit(AuditAct::Revoke(revoke)), by)
            }
        };
        self.world.signed_by(act, &[by])
    }

    fn drafted(&mut self, executor: [u8; 32]) -> Entry {
        match self.dice.below(16) {
            0..=4 => self.used(executor),
            5 => {
                let epoch = self.near() - u32::from(self.number(2));
                Entry::CloseEpoch(CloseEpoch { epoch, ..closing(self.number(30), 0) })
            }
            6 => self.dealing(),
            7 => Entry::DeliverGrant(DeliverGrant { opened: self.run_of_grant(), package_hash: [3; 32] }),
            8 => Entry::UseGrant(UseGrant { grant: [self.known(); 32], what: [2; 32], count: 1 }),
            9 if self.dice.below(12) == 0 => self.world.signed_by(close(CAROL), &[CAROL]),
            _ => self.audited(),
        }
    }

    /// A block of both services.
    fn block(&mut self) {
        self.world.step_ms = self.dice.below(EPOCH_MS);
        let services = [seeded(21), seeded(22)];
        let mut batches = Vec::new();
        let mut entries: Vec<(Entry, [u8; 32])> = Vec::new();
        for service in services {
            let drafted: Vec<_> = (0..3).map(|_| self.drafted(service.public_key())).collect();
            batches.push(self.world.batch(&service, &drafted));
            entries.extend(drafted.into_iter().map(|entry| (entry, service.public_key())));
        }
        let outcomes = self.world.block(&batches).batches.iter().flat_map(|batch| batch.outcomes.clone());
        for ((entry, submitter), outcome) in entries.iter().zip(outcomes.collect::<Vec<_>>()) {
            if outcome.is_accepted() {
                *self.accepted.entry(entry.kind()).or_default() += 1;
                let made = (!outcome.data.is_empty()).then(|| id_of(&outcome).unwrap());
                self.check(entry, submitter, made);
            } else {
                self.refused.insert(outcome.name());
            }
        }
        let used = self.world.count(b"address/used/");
        assert_eq!(
            (used, self.world.count(b"address/closed/")),
            (self.told.used.len(), self.told.closed.len())
        );
    }

    /// What holds of everything that was accepted.
    fn check(&mut self, entry: &Entry, submitter: &[u8; 32], made: Option<Hash>) {
        let now = self.world.ledger.time_ms();
        match entry {
            Entry::UseAddress(used) => {
                assert!(self.told.used.insert(used.x()), "an address is used once");
                let begin = u64::from(used.epoch) * EPOCH_MS;
                assert!(
                    begin <= now + EDGE_MS && now < begin + EPOCH_MS + EDGE_MS,
                    "{} at {now}",
                    used.epoch
                );
                let Some(limit) = used.limit else { return };
                let count = self.told.counted.entry((limit.handle, now / (2 * EPOCH_MS))).or_default();
                *count += 1;
                assert!(*count <= LIMIT, "a handle counts in its window");
            }
            Entry::CloseEpoch(close) => {
                assert!(
                    self.told.closed.insert((close.tag, *submitter)),
                    "a tag closes once for each service"
                );
                assert!(
                    now >= u64::from(close.epoch + 1) * EPOCH_MS + EDGE_MS,
                    "only what has elapsed is closed"
                );
            }
            Entry::DeliverGrant(deliver) => self.opened(&deliver.opened, now),
            Entry::UseGrant(used) => {
                let asked = &self.told.grants[&used.grant];
                let ends = asked.revoked.unwrap_or(u64::MAX).min(asked.grant.as_ref().unwrap().expires_ms);
                assert!(asked.issued && now < ends + LOG_AFTER_MS);
            }
            Entry::Authored(authored) => self.acted(&authored.act, &authored.authors, made, now),
            other => panic!("{other:?}"),
        }
    }

    fn acted(&mut self, act: &Act, authors: &[Author], made: Option<Hash>, now: u64) {
        let [Author { party: Party::Credential(by), .. }] = authors else { panic!() };
        match act {
            Act::CloseAccount { account } => drop(self.told.left.insert(*account, now)),
            Act::Addresses(AddressAct::Deal(dealing)) => {
                let DealtRun { account, first, last, expires_ms, .. } = dealing.run;
                assert_eq!((account, account == BOB.account()), (*by, false), "own roots by their own word");
                let next = self.told.dealt.get(&account).map_or(self.first, |last| last + 1);
                assert!(first == next && first <= last, "no gap, and nothing twice");
                assert!(now >= u64::from(last + 1) * EPOCH_MS + EDGE_MS);
                assert!(now <= expires_ms, "keepers hold it yet");
                self.told.dealt.insert(account, last);
            }
            Act::OpenApproval { payload, .. } => {
                self.latest = made.map(|id| (id, *payload));
                self.told.cases.insert(made.unwrap(), (*payload, *by, BTreeSet::new()));
            }
            Act::Approve { case, .. } => {
                let (_, asker, approvals) = self.told.cases.get_mut(&case.id).unwrap();
                assert!(*asker != *by && approvals.insert(*by));
            }
            Act::Audit(act) => self.audit_acted(act, by, now),
            other => panic!("{other:?}"),
        }
    }

    fn audit_acted(&mut self, act: &AuditAct, by: &Hash, now: u64) {
        match act {
            AuditAct::Request(grant) => {
                assert!(grant.from_ms < grant.until_ms && now < grant.expires_ms);
                assert!((1..=2).contains(&grant.accounts.len()), "never more than the terms let it");
                let asked = Asked { grant: Some(grant.clone()), ..Asked::default() };
                assert!(self.told.grants.insert(grant.id, asked).is_none(), "an id is asked for once");
            }
            AuditAct::Issue { grant, case } => {
                let asked = self.told.grants.get_mut(grant).unwrap();
                let of = asked.grant.as_ref().unwrap();
                assert!(!asked.issued && asked.revoked.is_none() && now < of.expires_ms);
                let (payload, asker, approvals) = &self.told.cases[case];
                assert_eq!((*payload, asker), (of.payload(), by), "exactly this was approved");
                assert!(approvals.iter().filter(|approver| approver != &by).count() >= 2, "by two others");
                assert!(self.told.spent.insert(*case), "a case is used once");
                asked.issued = true;
            }
            AuditAct::Open(open) => self.opened(open, now),
            AuditAct::Revoke(revoke) => {
                assert!([REGULATOR, ALICE, BOB].iter().any(|person| person.account() == *by));
                let asked = self.told.grants.get_mut(&revoke.grant).unwrap();
                assert!(asked.revoked.replace(now).is_none(), "a grant is revoked once");
            }
            AuditAct::Publish(_) => panic!("nobody asks for other terms"),
        }
    }

    fn in_force(&self, id: &Hash, now: u64) {
        let asked = &self.told.grants[id];
        assert!(asked.issued && asked.revoked.is_none() && now < asked.grant.as_ref().unwrap().expires_ms);
    }

    fn opened(&self, open: &OpenGrant, now: u64) {
        self.in_force(&open.grant, now);
        let grant = self.told.grants[&open.grant].grant.as_ref().unwrap();
        assert!(grant.accounts.contains(&open.account));
        if let Some(closed_ms) = self.told.left.get(&open.account) {
            assert!(u64::from(open.last) * EPOCH_MS <= closed_ms + EDGE_MS, "nothing after it was closed");
            assert!(now < closed_ms + terms().kept_ms, "nothing when it is kept no more");
        }
        let end = u64::from(open.last + 1) * EPOCH_MS;
        assert!(open.first <= open.last && grant.from_ms <= u64::from(open.first) * EPOCH_MS);
        assert!(
            end <= grant.until_ms && end + EDGE_MS <= now,
            "whole epochs of the period that have elapsed"
        );
    }
}

#[test]
fn addresses_are_used_once_and_grants_reach_no_further_whatever_is_signed() {
    let seed = std::env::var("KEYWARD_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("KEYWARD_SEED={seed}");
    let (mut accepted, mut refused) = (BTreeMap::<u16, usize>::new(), BTreeSet::new());
    for run in 0..RUNS {
        let mut play = Play::new(seed.wrapping_add(run));
        (0..BLOCKS).for_each(|_| play.block());
        play.accepted.iter().for_each(|(kind, count)| *accepted.entry(*kind).or_default() += count);
        refused.extend(play.refused);
    }
    let named: Vec<_> = accepted.iter().map(|(kind, count)| (kind_name(*kind), count)).collect();
    println!("accepted of each kind: {named:?}; refused with {refused:?}");
    // The properties are worth something only if all of it happened.
    let kinds = [193, 194, 196, 209, 210, 211, 212, 213, 214];
    assert!(kinds.iter().all(|kind| accepted.contains_key(kind)), "{named:?}");
    let happened = [
        "ADDRESS_USED",
        "ADDRESS_EPOCH",
        "RATE_EXCEEDED",
        "EPOCH_CLOSED",
        "DEALING_GAP",
        "EPOCH_UNDER_WAY",
        "GRANT_EXISTS",
        "GRANT_TOO_WIDE",
        "GRANT_STATE",
        "GRANT_EXPIRED",
        "GRANT_SCOPE",
        "APPROVALS_MISSING",
    ];
    assert!(happened.iter().all(|name| refused.contains(name)), "{refused:?}");
}
