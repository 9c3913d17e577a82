//! Who approved a use, read from the log with what its detail says; and each way in which that is not true.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::town::common::acts::{Person, approval_terms, close, define};
use crate::town::common::mutate::Random;
use crate::town::common::signer::{Ed25519, Keys, Secp256k1};
use crate::town::{Draft, OFFICERS, Town};
use keyward_audit::{Relinked, Report};
use keyward_domain::blind::Blinded;
use keyward_domain::detail::ApprovedBy;
use keyward_ledger_core::entry::{
    Act, Author, Authored, BindKey, Case, Entry, KeyConsent, Mode, Party, RotateKey, kind,
};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_verify::{Depth, History};

/// Their first account is a member of the rule too.
const ASKER: usize = 0;
/// One more member of the rule.
const TELLER: Person = Person(0x7e);

struct Desk {
    town: Town,
    first: u32,
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

impl Desk {
    fn new() -> Self {
        let mut town = Town::new(2, Random::seeded("approvals"));
        town.publish();
        let first = town.epoch() + 1;
        town.go(first, 1_000);
        let rule = approval_terms(&[(1, &[Person(1), TELLER, OFFICERS[0], OFFICERS[1]])]);
        town.world.enroll_all(&[TELLER]);
        town.acted(Act::DefineApproval(define(Person(2), 1, rule)), &[Person(2)]);
        Self { town, first }
    }

    /// Asks for what a draft says.
    fn ask(&mut self, draft: &Draft, salt: Hash) -> Case {
        let rule = Person(2).rule().id(kind::DEFINE_APPROVAL);
        let open = blinded(draft, &salt).open(rule, 50_000);
        let outcome = self.town.world.submit(&[Entry::OpenBlindCase(open)]).remove(0);
        assert_eq!(outcome.name(), "ACCEPTED");
        Case { id: outcome.data.try_into().unwrap(), payload: open.payload() }
    }

    fn approve(&mut self, case: Case, who: Person) -> u64 {
        self.town.acted(Act::Approve { case, group: 0 }, &[who])
    }

    /// The rule anew: one key approves.
    fn rule_of_key(&mut self, key: &dyn Keys) {
        let mut rule = approval_terms(&[(1, &[])]);
        rule.groups[0].members = vec![Party::Key(key.public_key().id())];
        self.town.acted(Act::DefineApproval(define(Person(2), 2, rule)), &[Person(2)]);
    }

    /// Approves by a key of somebody's.
    fn approve_by(&mut self, case: Case, key: &dyn Keys) {
        let act = Act::Approve { case, group: 0 };
        let (public_key, sign) = (key.public_key(), |message: &[u8]| key.sign(message));
        let author = self.town.world.author(&act, Party::Key(public_key.id()), &sign);
        let author = Author { public_key: public_key.as_bytes().to_vec(), ..author };
        let entry = Entry::Authored(Authored { act, authors: vec![author] });
        assert_eq!(self.town.world.names(&[entry]), ["ACCEPTED"]);
    }

    /// The next version of a person's own key.
    fn rotate(&mut self, person: Person, previous: &dyn Keys, next: &dyn Keys) {
        let world = &mut self.town.world;
        let (old, key, not_after) = (previous.public_key(), next.public_key(), world.ledger.height() + 9);
        let (scheme, public_key) = (key.scheme(), key.as_bytes().to_vec());
        let (account, mode, nonce) = (person.account(), Mode::Own, [4; 32]);
        let bind = BindKey { account, mode, scheme, public_key, nonce, not_after, proof: Vec::new() };
        let message = world.rotation(&bind, old.id());
        let bind = BindKey { proof: next.sign(&message), ..bind };
        let consent = KeyConsent { public_key: old.as_bytes().to_vec(), signature: previous.sign(&message) };
        let entry = Entry::RotateKey(RotateKey { previous: old.id(), bind, consent: Some(consent) });
        assert_eq!(world.names(&[entry]), ["ACCEPTED"]);
    }

    fn use_up(&mut self, draft: &Draft, salt: Hash, case: Case) -> u64 {
        let entry = Entry::UseBlindCase(blinded(draft, &salt).use_up(case.id));
        self.town.record(vec![(ASKER, entry)])[0]
    }

    fn sign(&mut self, mut draft: Draft, case: Hash, salt: Hash) -> u64 {
        draft.detail.approved = Some(ApprovedBy { case, salt });
        let entry = self.town.seal(ASKER, draft);
        self.town.record(vec![(ASKER, entry)])[0]
    }

    /// A use that one key has approved, under a rule that names it alone.
    fn used_by_word_of(&mut self, key: &dyn Keys) {
        self.rule_of_key(key);
        let (draft, salt) = (self.town.draft(ASKER), [7; 32]);
        let case = self.ask(&draft, salt);
        self.approve_by(case, key);
        self.use_up(&draft, salt, case);
        self.sign(draft, case.id, salt);
    }

    fn relinked(mut self) -> (Town, Relinked) {
        let first = self.first;
        self.town.elapse(first);
        self.town.close(ASKER, first);
        let mut file = self.town.granted(&[ASKER], first, first);
        self.town.open(&mut file, ASKER, first, first);
        let found = self.town.relinked(file);
        (self.town, found)
    }
}

#[test]
fn a_report_names_the_approvals_of_each_transaction() {
    let mut desk = Desk::new();
    let (draft, salt) = (desk.town.draft(ASKER), [7; 32]);
    let case = desk.ask(&draft, salt);
    let taken_back = desk.approve(case, OFFICERS[0]);
    desk.town.acted(Act::WithdrawApproval(case), &[OFFICERS[0]]);
    let given = desk.approve(case, OFFICERS[1]);
    let used = desk.use_up(&draft, salt, case);
    let signed = desk.sign(draft, case.id, salt);
    desk.town.use_one(ASKER);
    let (town, found) = desk.relinked();
    assert!(found.is_complete(), "{:?}", found.transactions);
    let approval = found.transactions[0].approval.clone().unwrap();
    let seen = approval.found.clone().unwrap();
    let approvers: Vec<_> = seen.approvers.iter().map(|one| (one.account, one.place.leaf_index)).collect();
    assert_eq!(approvers, [(Some(OFFICERS[1].account()), given)]);
    assert_eq!((approval.case, seen.used.map(|place| place.leaf_index)), (case.id, Some(used)));
    assert!(found.transactions[1].approval.is_none());
    // Receipts are wanted of all of it.
    let places = found.places();
    assert!([given, used, signed].iter().all(|place| places.contains(place)));
    assert!(!places.contains(&taken_back));
    let mut history =
        History::new(&town.world.trust(), &town.world.genesis, &[], 1, Depth::Execution).unwrap();
    town.export().iter().for_each(|block| history.check(block).map(drop).unwrap());
    let history = history.finish().unwrap();
    let report = Report::new(&found, &history);
    let (officer, case, rule) =
        (hex::encode(OFFICERS[1].account()), hex::encode(case.id), hex::encode(seen.rule));
    let json = &report.json()["transactions"][0]["approval"];
    assert_eq!(json["case"], case.as_str());
    assert_eq!(json["approved_by"][0]["account"], officer.as_str());
    for text in [report.csv(), report.html()] {
        assert!(text.contains(&officer) && text.contains(&case) && text.contains(&rule));
    }
}

#[test]
fn what_is_not_true_of_an_approval_is_said_by_name() {
    let mut desk = Desk::new();
    let mut expected = Vec::new();
    let salt = [7; 32];
    // Approved by its own account: the ledger could not see that.
    let draft = desk.town.draft(ASKER);
    let case = desk.ask(&draft, salt);
    desk.approve(case, Person(1));
    desk.use_up(&draft, salt, case);
    desk.sign(draft, case.id, salt);
    expected.push(vec!["APPROVAL_OWN"]);
    // Of something else, by another salt, and a second time.
    let (draft, other) = (desk.town.draft(ASKER), desk.town.draft(ASKER));
    let case = desk.ask(&draft, salt);
    desk.approve(case, OFFICERS[0]);
    desk.use_up(&draft, salt, case);
    desk.sign(other, case.id, salt);
    expected.push(vec!["APPROVAL_OTHER"]);
    desk.sign(draft, case.id, salt);
    expected.push(vec!["APPROVAL_TWICE"]);
    let draft = desk.town.draft(ASKER);
    let case = desk.ask(&draft, salt);
    desk.approve(case, OFFICERS[0]);
    desk.use_up(&draft, salt, case);
    desk.sign(draft, case.id, [8; 32]);
    expected.push(vec!["APPROVAL_OTHER"]);
    // Never completed, or only afterwards.
    let draft = desk.town.draft(ASKER);
    let case = desk.ask(&draft, salt);
    desk.approve(case, OFFICERS[0]);
    desk.sign(draft.clone(), case.id, salt);
    desk.use_up(&draft, salt, case);
    expected.push(vec!["APPROVAL_INCOMPLETE"]);
    let draft = desk.town.draft(ASKER);
    desk.sign(draft, [9; 32], salt);
    expected.push(vec!["APPROVAL_UNKNOWN"]);
    let (_, found) = desk.relinked();
    let codes = |one: &keyward_audit::Transaction| one.lies.iter().map(|lie| lie.code()).collect::<Vec<_>>();
    assert_eq!(found.transactions.iter().map(codes).collect::<Vec<_>>(), expected);
    let words = found.transactions[0].lies[0].words();
    assert!(words.contains("approved by its own account"), "{words}");
}

/// The ledger does not count the word of an account that was closed before the case was used up.
#[test]
fn who_was_closed_before_is_not_named() {
    let mut desk = Desk::new();
    let (draft, salt) = (desk.town.draft(ASKER), [7; 32]);
    let case = desk.ask(&draft, salt);
    desk.approve(case, TELLER);
    let given = desk.approve(case, OFFICERS[0]);
    desk.town.acted(close(TELLER), &[TELLER]);
    desk.use_up(&draft, salt, case);
    desk.sign(draft, case.id, salt);
    let (_, found) = desk.relinked();
    assert_eq!(found.lying(), 0, "{:?}", found.transactions);
    let seen = found.transactions[0].approval.clone().unwrap().found.unwrap();
    let approvers: Vec<_> = seen.approvers.iter().map(|one| (one.account, one.place.leaf_index)).collect();
    assert_eq!(approvers, [(Some(OFFICERS[0].account()), given)]);
}

#[test]
fn keys_that_speak_for_an_account_are_known_as_theirs() {
    let mut desk = Desk::new();
    desk.town.world.link(TELLER, &Secp256k1, Mode::Linked);
    desk.used_by_word_of(&Secp256k1);
    let (_, found) = desk.relinked();
    assert_eq!(found.lying(), 0, "{:?}", found.transactions);
    let seen = found.transactions[0].approval.clone().unwrap().found.unwrap();
    assert_eq!(seen.approvers[0].account, Some(TELLER.account()));
}

/// Its own account's, as its binding says, or the rotation by which it came.
#[test]
fn an_own_key_that_was_rotated_approves_its_own_account_no_less() {
    let mut desk = Desk::new();
    let asker = Person(1);
    desk.town.world.link(asker, &Ed25519, Mode::Own);
    desk.rotate(asker, &Ed25519, &Secp256k1);
    desk.used_by_word_of(&Secp256k1);
    let (_, found) = desk.relinked();
    let codes: Vec<_> = found.transactions[0].lies.iter().map(|lie| lie.code()).collect();
    assert_eq!(codes, ["APPROVAL_OWN"]);
}
