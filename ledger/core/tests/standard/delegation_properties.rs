//! `delegation` whatever is signed in whatever order: what never happens, told from the accepted entries alone.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use crate::common::delegation::{DELAY_MS, delegation_terms, new_key, recovery};
use keyward_ledger_core::entry::{ApprovalTerms, DelegationAct, DelegationTerms, Recovery, RuleName, Scope};
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::state::delegation::{Delegations, delegations_key};
use keyward_ledger_core::state::layout::{TimelockCase, TimelockCaseStatus, timelock_case_key};

use super::delegation::{credential, id};
use super::*;

const RUNS: u64 = 100;
const BLOCKS: usize = 45;
/// How many delegates of each rule it takes.
const NEEDED: usize = 2;

/// Numbers from a seed (splitmix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

/// An entry that was accepted.
struct Done {
    at_ms: u64,
    entry: Entry,
    made: Option<Hash>,
    /// The key that signed wherever the owner's credential did.
    owner_key: [u8; 32],
}

impl Done {
    fn act(&self) -> Option<&DelegationAct> {
        let Entry::Authored(Authored { act: Act::Delegation(act), .. }) = &self.entry else { return None };
        Some(act)
    }

    fn authors(&self) -> Vec<Party> {
        let Entry::Authored(authored) = &self.entry else { return Vec::new() };
        authored.authors.iter().map(|author| author.party).collect()
    }

    /// What was appointed under a rule.
    fn appointed(&self, rule: &RuleName) -> Option<&DelegationTerms> {
        let Some(DelegationAct::Appoint(define)) = self.act() else { return None };
        (define.rule == *rule).then_some(&define.terms)
    }

    fn executed(&self) -> Option<(Hash, Option<Hash>)> {
        let Some(DelegationAct::ExecuteRecovery { case, judged, .. }) = self.act() else { return None };
        Some((*case, *judged))
    }

    fn opened(&self) -> Option<(Hash, RuleName)> {
        let Some(DelegationAct::OpenRecovery { recovery, .. }) = self.act() else { return None };
        Some((self.made.unwrap(), recovery.rule))
    }

    fn closed(&self) -> Option<Hash> {
        match &self.entry {
            Entry::Authored(Authored { act: Act::CloseAccount { account }, .. })
            | Entry::CloseAccount { account } => Some(*account),
            _ => None,
        }
    }

    fn vetoed(&self) -> Option<Hash> {
        let Some(DelegationAct::VetoRecovery(case)) = self.act() else { return None };
        Some(case.id)
    }
}

struct Play {
    dice: Dice,
    world: World,
    /// The owner's token that its terms may name, and a key that the service bound to its account.
    named: Party,
    bound: Party,
    /// Another delegate's token, named beside its credential.
    token: Party,
    /// The key that delegates use.
    key: KeyId,
    log: Vec<Done>,
}

fn name(rule: u64) -> RuleName {
    RuleName { name: [u8::try_from(rule).unwrap() + 1; 32], ..OWNER.rule() }
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut world = world();
        world.enroll_all(&[JUDGE, STRANGER]);
        let judges =
            ApprovalTerms { live_ms_max: 9 * DELAY_MS, ..approval_terms(&[(1, &[OWNER, ALICE, JUDGE])]) };
        assert_eq!(world.answer(Act::DefineApproval(define(JUDGE, 1, judges)), &[JUDGE]), "ACCEPTED");
        let named = world.link(OWNER, &signer::Secp256k1, Mode::Linked);
        let bound = world.link(OWNER, &signer::Ed25519, Mode::Own);
        let token = world.link(CAROL, &signer::P256, Mode::Linked);
        let key = id(world.link(OWNER, &signer::Bip340, Mode::Hosted));
        Self { dice: Dice(seed), world, named, bound, token, key, log: Vec::new() }
    }

    fn delegates(&self, rule: &RuleName) -> Vec<Party> {
        if *rule == name(0) {
            return parties(&[ALICE, BOB, CAROL]);
        }
        vec![BOB.party(), CAROL.party(), self.token]
    }

    fn account(&self, party: Party) -> Hash {
        match party {
            Party::Credential(account) => account,
            token if token == self.token => CAROL.account(),
            Party::Key(_) => OWNER.account(),
        }
    }

    fn executions(&self) -> usize {
        self.log.iter().filter(|done| done.executed().is_some()).count()
    }

    /// Up to three parties, or mostly those who could do it.
    fn speakers(&mut self, from: &[Party], count: usize) -> Vec<Party> {
        let all = [OWNER, ALICE, BOB, CAROL, STRANGER, JUDGE].map(Person::party);
        let all = [&all[..], &[self.token, self.named, self.bound][..]].concat();
        let (from, count) = if self.dice.below(5) == 0 {
            (&all[..], usize::try_from(1 + self.dice.below(3)).unwrap())
        } else {
            (from, count)
        };
        let mut some: Vec<_> = (0..count).map(|_| self.dice.pick(from)).collect();
        some.sort_unstable();
        some.dedup();
        some
    }

    /// An act signed by parties, now and then with the owner's credential of another time. Gives the key that was it.
    fn signed(&mut self, act: Act, speakers: &[Party]) -> (Entry, [u8; 32]) {
        let other = self.dice.below(8) == 0;
        let owner = if other == (self.executions() > 0) { OWNER.key() } else { new_key() };
        let mut authors = Vec::new();
        for party in speakers {
            let (named, token) = (self.named, self.token);
            let keys: &dyn common::Keys = match *party {
                party if party == named => &signer::Secp256k1,
                party if party == token => &signer::P256,
                _ => &signer::Ed25519,
            };
            let mut author = self.world.author(&act, *party, &|message| match party {
                Party::Key(_) => keys.sign(message),
                Party::Credential(account) if *account == OWNER.account() => owner.sign(message).to_vec(),
                Party::Credential(account) => SigningKey::from_seed(account).sign(message).to_vec(),
            });
            if matches!(party, Party::Key(_)) {
                author.public_key = keys.public_key().as_bytes().to_vec();
            }
            authors.push(author);
        }
        (Entry::Authored(Authored { act, authors }), owner.public_key())
    }

    fn terms(&mut self, rule: &RuleName) -> DelegationTerms {
        let scope = self.dice.pick(&[Scope::RECOVER, Scope::OPERATE, Scope::BOTH, Scope::BOTH, Scope::BOTH]);
        let mut terms = DelegationTerms {
            scope,
            delay_ms: DELAY_MS * (1 + self.dice.below(2)),
            open_ms: 4 * DELAY_MS,
            delegates: self.delegates(rule),
            judges: (self.dice.below(4) > 0).then_some(JUDGE.rule()),
            ..delegation_terms(u8::try_from(NEEDED).unwrap(), &[])
        };
        if self.dice.below(2) == 0 {
            terms.vetoers.push(id(self.named));
        }
        if scope == Scope::RECOVER {
            terms.windows.clear();
        }
        terms
    }

    fn drafted(&mut self) -> (Entry, [u8; 32]) {
        let rule = name(self.dice.below(2));
        let state = self.world.ledger.state();
        let all = state.get(&delegations_key(&OWNER.account())).map(|all| Delegations::decode(all).unwrap());
        let version = all.map_or(0, |all| all.changes) + u32::from(self.dice.below(10) > 0);
        let delegates = self.delegates(&rule);
        let cases: Vec<_> = self.log.iter().filter_map(Done::opened).collect();
        // Mostly what a dispute needs, and a thief that goes on vetoing: else hardly any case gets so far.
        if let Some(last) = cases.last().copied() {
            let vetoed = self.log.iter().any(|done| done.vetoed().is_some());
            let verb = match self.status(&last.0) {
                Some(TimelockCaseStatus::Disputed) if self.dice.below(3) > 0 => 18 + self.dice.below(8),
                Some(TimelockCaseStatus::Waiting) if vetoed && self.dice.below(3) == 0 => 14,
                _ => 0,
            };
            if verb > 0 {
                return self.about(verb, last);
            }
        }
        let verb = self.dice.below(26);
        let (act, speakers) = match (verb, cases.last().copied()) {
            (0..=3, _) => {
                let terms = self.terms(&rule);
                let define = Define { rule, version, terms };
                (DelegationAct::Appoint(define), self.speakers(&[OWNER.party()], 1))
            }
            (4, _) => (DelegationAct::Revoke { rule, version }, self.speakers(&[OWNER.party()], 1)),
            (5..=8, _) => {
                let key_id = self.key;
                let act = DelegationAct::Operate { rule, key_id, commitment: PAYLOAD, amount: 1 };
                (act, self.speakers(&delegates, NEEDED))
            }
            (25, _) if self.dice.below(6) == 0 => {
                let person = self.dice.pick(&[OWNER, OWNER, ALICE, BOB, CAROL]);
                if self.dice.below(4) == 0 {
                    return (Entry::CloseAccount { account: person.account() }, [0; 32]);
                }
                let speakers = self.speakers(&[person.party()], 1);
                return self.signed(close(person), &speakers);
            }
            (14.., Some(last)) => {
                let chosen = if verb.is_multiple_of(5) { self.dice.pick(&cases) } else { last };
                return self.about(verb, chosen);
            }
            _ => {
                let recovery = Recovery { rule, ..recovery(OWNER) };
                let proof = new_key().sign(&recovery.payload(&self.world.chain_id()));
                (DelegationAct::OpenRecovery { recovery, proof }, self.speakers(&delegates, NEEDED))
            }
        };
        self.signed(Act::Delegation(act), &speakers)
    }

    fn status(&self, case: &Hash) -> Option<TimelockCaseStatus> {
        let value = self.world.ledger.state().get(&timelock_case_key(case));
        value.map(|value| TimelockCase::decode(value).unwrap().status)
    }

    /// Something about a recovery that was opened.
    fn about(&mut self, verb: u64, (case, rule): (Hash, RuleName)) -> (Entry, [u8; 32]) {
        let recovery = Recovery { rule, ..recovery(OWNER) };
        let about = Case { id: case, payload: recovery.payload(&self.world.chain_id()) };
        let payload = dispute_payload(&about);
        let judged = self.log.iter().rev().find_map(|done| match &done.entry {
            Entry::Authored(Authored { act: Act::OpenApproval { payload: of, .. }, .. })
                if *of == payload =>
            {
                done.made
            }
            _ => None,
        });
        let delegates = self.delegates(&rule);
        let (act, speakers) = match (verb, judged) {
            (14..=16, _) => {
                let who = self.speakers(&[OWNER.party(), OWNER.party(), self.named, self.bound], 1);
                (Act::Delegation(DelegationAct::VetoRecovery(about)), who)
            }
            (17, _) => {
                (Act::Delegation(DelegationAct::CancelRecovery(about)), self.speakers(&delegates, NEEDED))
            }
            (18..=19, None) => {
                let live_ms = 8 * DELAY_MS;
                let ask = Act::OpenApproval { rule: JUDGE.rule(), payload, live_ms };
                (ask, self.speakers(&[BOB.party()], 1))
            }
            (18..=20, Some(id)) => {
                let judges = [OWNER, ALICE, JUDGE, JUDGE].map(Person::party);
                (Act::Approve { case: Case { id, payload }, group: 0 }, self.speakers(&judges, 1))
            }
            _ => {
                let judged = judged.filter(|_| self.dice.below(4) > 0);
                let act = DelegationAct::ExecuteRecovery { recovery, case, judged };
                (Act::Delegation(act), self.speakers(&delegates, 1))
            }
        };
        self.signed(act, &speakers)
    }

    fn block(&mut self) {
        let count = 1 + self.dice.below(3);
        let drafts: Vec<_> = (0..count).map(|_| self.drafted()).collect();
        self.world.step_ms = self.dice.pick(&[0, 1_000, DELAY_MS / 2, DELAY_MS, DELAY_MS, 2 * DELAY_MS]);
        let entries: Vec<_> = drafts.iter().map(|(entry, _)| entry.clone()).collect();
        let outcomes = self.world.submit(&entries);
        let at_ms = self.world.ledger.time_ms();
        for ((entry, owner_key), outcome) in drafts.into_iter().zip(outcomes) {
            if outcome.is_accepted() {
                let made = outcome.data.try_into().ok();
                let done = Done { at_ms, entry, made, owner_key };
                self.check(&done);
                self.log.push(done);
            }
        }
        let present = credential(&self.world);
        assert_eq!(present.version as usize, 1 + self.executions(), "only a recovery changed the credential");
    }

    /// Appointments under the rule that may hold at a time: they waited, and no recovery was executed meanwhile.
    fn held(&self, rule: RuleName, at_ms: u64) -> impl Iterator<Item = (usize, &DelegationTerms)> {
        let appointed = self.log.iter().enumerate();
        let appointed =
            appointed.filter_map(move |(place, done)| Some((place, done, done.appointed(&rule)?)));
        let held = appointed.filter(move |(place, done, terms)| {
            let from_ms = done.at_ms + terms.delay_ms;
            let dropped = |later: &Done| later.executed().is_some() && later.at_ms < from_ms;
            from_ms <= at_ms && !self.log[*place..].iter().any(dropped)
        });
        held.map(|(place, _, terms)| (place, terms))
    }

    /// That it took enough of the delegates, and nobody else.
    fn check_delegates(&self, new: &Done, rule: &RuleName) {
        let delegates = self.delegates(rule);
        assert!(new.authors().iter().all(|author| delegates.contains(author)), "somebody else signed");
        let mut accounts: Vec<_> = new.authors().into_iter().map(|author| self.account(author)).collect();
        accounts.sort_unstable();
        accounts.dedup();
        assert!(accounts.len() >= NEEDED, "too few delegates");
    }

    fn opening(&self, case: &Hash) -> (&Done, RuleName) {
        let found = self.log.iter().find(|done| done.opened().is_some_and(|(id, _)| id == *case)).unwrap();
        (found, found.opened().unwrap().1)
    }

    fn is_closed(&self, account: &Hash) -> bool {
        self.log.iter().any(|done| done.closed() == Some(*account))
    }

    /// What holds of every entry that is accepted.
    fn check(&self, new: &Done) {
        for author in new.authors() {
            assert!(!self.is_closed(&self.account(author)), "an account spoke after its end");
            if author == OWNER.party() {
                let present = if self.executions() > 0 { new_key() } else { OWNER.key() };
                assert_eq!(new.owner_key, present.public_key(), "a lost credential spoke");
            }
        }
        if let Some(account) = new.closed() {
            assert_eq!(new.authors(), [Party::Credential(account)], "somebody else closed an account");
        }
        let ended = self.is_closed(&OWNER.account());
        match new.act() {
            Some(DelegationAct::OpenRecovery { recovery, .. }) => {
                assert!(!ended, "a closed account is recovered");
                self.check_delegates(new, &recovery.rule);
                let mut held = self.held(recovery.rule, new.at_ms);
                assert!(held.any(|(_, terms)| terms.scope.includes(Scope::RECOVER)), "nothing was in force");
            }
            Some(DelegationAct::VetoRecovery(case)) => self.check_veto(new, &case.id),
            Some(DelegationAct::CancelRecovery(case)) => self.check_delegates(new, &self.opening(&case.id).1),
            Some(DelegationAct::ExecuteRecovery { case, judged, .. }) => {
                assert!(!ended, "a closed account is recovered");
                self.check_execution(new, case, judged.as_ref());
            }
            Some(DelegationAct::Operate { rule, .. }) => {
                assert!(!ended, "somebody acts for a closed account");
                self.check_delegates(new, rule);
                let revoked = self.log.iter().rposition(
                    |done| matches!(done.act(), Some(DelegationAct::Revoke { rule: of, .. }) if of == rule),
                );
                let mut held = self.held(*rule, new.at_ms);
                let acts = |terms: &DelegationTerms| terms.scope.includes(Scope::OPERATE);
                let anew = |place: usize| revoked.is_none_or(|revoked| place > revoked);
                assert!(held.any(|(place, terms)| anew(place) && acts(terms)), "who was revoked acts");
            }
            _ => {}
        }
    }

    fn check_veto(&self, new: &Done, case: &Hash) {
        let (opened, rule) = self.opening(case);
        let [author] = new.authors()[..] else { panic!("one stops a recovery") };
        let names = |key: &KeyId| self.held(rule, opened.at_ms).any(|(_, terms)| terms.vetoers.contains(key));
        match author {
            Party::Credential(account) => assert_eq!(account, OWNER.account(), "somebody else vetoed"),
            Party::Key(key) => assert!(names(&key), "a key vetoed that the owner did not name"),
        }
    }

    fn check_execution(&self, new: &Done, case: &Hash, judged: Option<&Hash>) {
        let (opened, rule) = self.opening(case);
        let [author] = new.authors()[..] else { panic!("one executes a recovery") };
        assert!(self.delegates(&rule).contains(&author), "somebody else executed");
        let delay_ms = self.held(rule, opened.at_ms).map(|(_, terms)| terms.delay_ms).min().unwrap();
        assert!(new.at_ms >= opened.at_ms + delay_ms, "executed before its delay");
        let mut vetoes = 0;
        for done in &self.log {
            if let Some((id, _)) = done.executed() {
                assert_ne!(id, *case, "executed twice");
                vetoes = if self.opening(&id).1 == rule { 0 } else { vetoes };
            }
            let cancelled = matches!(done.act(), Some(DelegationAct::CancelRecovery(of)) if of.id == *case);
            assert!(!cancelled, "executed after it was taken back");
            vetoes += usize::from(done.vetoed().is_some_and(|id| self.opening(&id).1 == rule));
        }
        if self.log.iter().any(|done| done.vetoed() == Some(*case)) {
            assert!(vetoes >= 2, "executed after a first veto");
            let judged = *judged.expect("executed after a veto without judges");
            let parties: Vec<_> =
                self.delegates(&rule).into_iter().map(|party| self.account(party)).collect();
            let independent = |done: &Done| {
                let Entry::Authored(authored) = &done.entry else { return false };
                let Act::Approve { case, .. } = &authored.act else { return false };
                let judge = self.account(done.authors()[0]);
                case.id == judged && judge != OWNER.account() && !parties.contains(&judge)
            };
            assert!(self.log.iter().any(independent), "executed without an independent judge");
        }
    }
}

#[test]
fn what_never_happens_does_not_happen_in_whatever_order_things_are_signed() {
    let seed = std::env::var("KEYWARD_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("KEYWARD_SEED={seed}");
    let (mut kinds, mut judged, mut by_key) = (BTreeMap::<u16, usize>::new(), 0, 0);
    for run in 0..RUNS {
        let mut play = Play::new(seed.wrapping_add(run));
        (0..BLOCKS).for_each(|_| play.block());
        for done in &play.log {
            *kinds.entry(done.entry.kind()).or_default() += 1;
            judged += usize::from(done.executed().is_some_and(|(_, judged)| judged.is_some()));
            by_key += usize::from(done.vetoed().is_some() && done.authors() == [play.named]);
        }
    }
    println!("accepted of each kind: {kinds:?}; {judged} judged, {by_key} vetoed by a key");
    // The properties are worth something only if all of it happened.
    assert!((128..=134).chain([27]).all(|kind| kinds.contains_key(&kind)), "{kinds:?}");
    assert!(judged > 0 && by_key > 0, "{kinds:?}");
}
