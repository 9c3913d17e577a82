//! What a grant finds on a real ledger: exactly the accounts and epochs that it opens, and every detail that lies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::town::common::acts::{Person, approval_terms, define};
use crate::town::common::mutate::Random;
use crate::town::{self, Town};
use keyward_audit::{
    AddressCheck, AuditError, Completeness, Dealt, Delivery, GrantFile, GrantStep, Lie, Opening, Receipts,
    Relinked, Relinker, RunSource, Unopened,
};
use keyward_crypto::unlinkable::ViewingCover;
use keyward_crypto::viewing::Dealing;
use keyward_domain::detail::Source;
use keyward_ledger_core::block::Block;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{Act, Case, Custody, Entry, Release};
use keyward_ledger_core::scheme::Scheme;
use keyward_ledger_verify::verify_receipt;

mod refused;

fn town(accounts: u8) -> Town {
    let mut town = Town::new(accounts, Random::seeded("relink"));
    town.publish();
    town.world.wait(town::EPOCH_MS);
    town
}

fn places(found: &Relinked) -> Vec<u64> {
    found.transactions.iter().map(|one| one.place.leaf_index).collect()
}

/// Two accounts over three epochs, everything in order; the first epoch, and where each account's uses lie.
struct Story {
    town: Town,
    first: u32,
}

fn story() -> Story {
    let mut town = town(2);
    let first = town.epoch() + 1;
    for epoch in first..first + 3 {
        town.go(epoch, 5_000);
        for owner in [0, 1, 0] {
            let (_, intent) = town.use_one(owner);
            town.release(intent);
        }
    }
    town.elapse(first + 2);
    for (owner, epoch) in
        [(0, first), (1, first), (1, first + 1), (0, first + 1), (0, first + 2), (1, first + 2)]
    {
        town.close(owner, epoch);
    }
    Story { town, first }
}

#[test]
fn a_grant_finds_its_accounts_and_epochs_and_nothing_else() {
    let Story { mut town, first } = story();
    let mut file = town.granted(&[0], first, first + 1);
    town.open(&mut file, 0, first, first + 1);
    let found = town.relinked(file);
    let own: Vec<_> =
        [first, first + 1].iter().flat_map(|epoch| town.owners[0].uses[epoch].clone()).collect();
    assert_eq!(places(&found), own);
    assert!(found.is_complete() && found.is_whole() && found.lying() == 0);
    for one in &found.transactions {
        let detail = one.detail.as_ref().unwrap();
        assert_eq!((detail.account, &*detail.app), (town.owners[0].account(), "till"));
        assert_eq!(one.address, AddressCheck::Derived);
        assert!(one.release.unwrap().place.leaf_index > one.place.leaf_index);
        assert_eq!(one.place.leaf_hash, town.world.records[one.place.leaf_index as usize].id());
    }
    let epochs: Vec<_> =
        found.epochs.iter().map(|one| (one.of.epoch, one.found, one.completeness.name())).collect();
    assert_eq!(epochs, [(first, 2, "complete"), (first + 1, 2, "complete")]);
    assert_eq!((found.runs[0].active, found.runs[0].source), (2, RunSource::Hosted));
    assert_eq!(found.accounts.len(), 1);
}

#[test]
fn the_acts_of_the_grant_stand_in_the_logs_order_with_their_authors() {
    let Story { mut town, first } = story();
    let mut file = town.granted(&[0], first, first);
    town.open(&mut file, 0, first, first);
    town.revoke(&file);
    let other = town.granted(&[1], first, first);
    drop(other);
    let found = town.relinked(file);
    let steps: Vec<_> = found
        .acts
        .iter()
        .map(|act| match act.what {
            GrantStep::Requested => "requested",
            GrantStep::CaseOpened { case } => {
                assert_eq!(case, found.granted.case);
                "asked"
            }
            GrantStep::Approved { .. } => "approved",
            GrantStep::Issued { .. } => "issued",
            GrantStep::Opened(_) => "opened",
            GrantStep::Delivered { .. } => "delivered",
            GrantStep::Used { .. } => "used",
            GrantStep::Revoked { .. } => "revoked",
        })
        .collect();
    let expected = ["requested", "asked", "approved", "approved", "issued", "opened", "delivered", "revoked"];
    assert_eq!(steps, expected);
    let authors: Vec<_> = found.acts.iter().map(|act| act.author).collect();
    let [auditor, one, other] =
        [town::AUDITOR, town::OFFICERS[0], town::OFFICERS[1]].map(|who| Some(who.party()));
    assert_eq!(authors, [auditor, auditor, one, other, auditor, auditor, None, auditor]);
    assert!(found.acts.is_sorted_by_key(|act| act.place.leaf_index));
}

#[test]
fn what_is_said_in_other_cases_or_taken_back_approves_nothing() {
    let mut town = town(2);
    let epoch = town.epoch();
    let file = town.granted_amid(&[0], (epoch, epoch), |town, case| {
        // The second account's own rule, by which the first one alone approves the same grant.
        let [approver, asker] = [0, 1].map(|owner| town.owners[owner].person);
        let terms = approval_terms(&[(1, &[approver])]);
        town.acted(Act::DefineApproval(define(asker, 1, terms)), &[asker]);
        let ask = Act::OpenApproval { rule: asker.rule(), payload: case.payload, live_ms: 600_000 };
        let other = Case { id: town.world.made(ask, &[asker]), ..case };
        town.acted(Act::Approve { case: other, group: 0 }, &[approver]);
        let officer = [town::OFFICERS[0]];
        town.acted(Act::Approve { case, group: 0 }, &officer);
        town.acted(Act::WithdrawApproval(case), &officer);
    });
    let found = town.relinked(file);
    let approved = found.acts.iter().filter(|act| matches!(act.what, GrantStep::Approved { .. }));
    let authors: Vec<_> = approved.map(|act| act.author.unwrap()).collect();
    assert_eq!(authors, town::OFFICERS.map(|officer| officer.party()));
    let asked = found.acts.iter().filter(|act| matches!(act.what, GrantStep::CaseOpened { .. }));
    assert_eq!(asked.count(), 1);
}

#[test]
fn receipts_of_everything_found_verify_with_the_trust_file_alone() {
    let Story { mut town, first } = story();
    let mut file = town.granted(&[0, 1], first, first + 2);
    town.open(&mut file, 0, first, first + 2);
    town.open(&mut file, 1, first, first + 2);
    let found = town.relinked(file);
    let (wanted, mut got) = (found.places(), Vec::new());
    let receipts = Receipts::new(&town.world.genesis, Vec::new());
    for block in town.export() {
        for (at, receipt) in receipts.of(&block, |at| wanted.contains(&at)).unwrap() {
            let verdict = verify_receipt(&town.trust(), &receipt, None).unwrap();
            assert!(verdict.accepted && verdict.leaf_index == at);
            got.push(at);
        }
        let decoded = Block::decode(&block.block).unwrap();
        for (at, record) in keyward_ledger_verify::records(&decoded, &block) {
            assert_eq!(record, town.world.records[at as usize]);
        }
    }
    assert_eq!(got, wanted);
    // Uses, releases, closings, choices, the grant's acts, openings with their deliveries.
    assert_eq!(wanted.len(), 9 + 9 + 6 + 2 + 5 + 4);
}

#[test]
fn payments_in_scope_are_found_and_used_in_later_epochs() {
    let mut town = town(2);
    let first = town.epoch() + 1;
    town.go(first, 1_000);
    let (to_us, at) = town.pay(0);
    let (_, _) = town.pay(1);
    town.go(first + 1, 1_000);
    let draft = town.draft_from(0, Source::Payment { epoch: first, payment: to_us });
    let entry = town.seal(0, draft);
    let used = town.record(vec![(0, entry)])[0];
    town.elapse(first + 1);
    for epoch in [first, first + 1] {
        town.close(0, epoch);
    }
    let mut file = town.granted(&[0], first, first + 1);
    let mut narrow = town.granted(&[0], first, first + 1);
    town.open(&mut file, 0, first, first + 1);
    town.open(&mut narrow, 0, first + 1, first + 1);
    let found = town.relinked(file);
    assert_eq!(found.payments.len(), 1);
    let payment = &found.payments[0];
    assert_eq!((payment.place.leaf_index, payment.of.epoch, payment.used_by), (at, first, Some(used)));
    assert_eq!(found.transactions[0].address, AddressCheck::Derived);
    assert!(found.is_complete());
    // Whose grant does not open the epoch of the payment learns that the address cannot be checked, and no lie.
    let found = town.relinked(narrow);
    assert_eq!((places(&found), found.payments.len(), found.lying()), (vec![used], 0, 0));
    assert_eq!(found.transactions[0].address, AddressCheck::OutsideScope { epoch: first });
}

#[test]
fn a_payment_is_used_whichever_parity_the_use_names() {
    let mut town = town(1);
    let epoch = town.epoch() + 1;
    town.go(epoch, 1_000);
    let (payment, _) = town.pay(0);
    let mut draft = town.draft_from(0, Source::Payment { epoch, payment });
    // BIP340 knows the address by its x.
    draft.used.scheme = Scheme::Bip340;
    draft.used.public_key[0] ^= 1;
    let entry = town.seal(0, draft);
    let used = town.record(vec![(0, entry)])[0];
    town.elapse(epoch);
    town.close(0, epoch);
    let mut file = town.granted(&[0], epoch, epoch);
    town.open(&mut file, 0, epoch, epoch);
    let found = town.relinked(file);
    assert_eq!(found.transactions[0].address, AddressCheck::Derived);
    assert_eq!(found.payments[0].used_by, Some(used));
}

#[test]
fn each_detail_that_lies_is_named_and_the_others_stay_true() {
    let mut town = town(2);
    let epoch = town.epoch() + 1;
    town.go(epoch, 1_000);
    let mut entries = Vec::new();
    let mut lie = |town: &mut Town, change: &dyn Fn(&mut Town, &mut town::Draft)| {
        let mut draft = town.draft(0);
        change(town, &mut draft);
        let entry = town.seal(0, draft);
        entries.push((0, entry));
    };
    lie(&mut town, &|_, _| {});
    lie(&mut town, &|_, draft| draft.detail.account = [2; 32]);
    lie(&mut town, &|_, draft| draft.detail.payload_hash = [9; 32]);
    lie(&mut town, &|_, draft| draft.raw = Some(b"nothing of that kind".to_vec()));
    // Sealed for our epoch, with an address that is another's.
    let stranger = town.draft(1);
    let mut draft = town.draft(0);
    draft.used.public_key = stranger.used.public_key;
    let Source::Index(index) = stranger.detail.source else { unreachable!() };
    let Entry::UseAddress(used) = town.seal(0, draft) else { unreachable!() };
    let (view, spending) =
        (town.owners[1].root.viewing_leaf(epoch), town.owners[1].root.spending_leaf(epoch).unwrap());
    let key = spending.key(&view, index, used.scheme).unwrap();
    entries.push((0, town.signed(used, &key)));
    // Its public fields were changed after it was sealed.
    let draft = town.draft(0);
    let Entry::UseAddress(mut used) = town.seal(0, draft) else { unreachable!() };
    used.commitment = [7; 32];
    let index = town.owners[0].next_index(epoch) - 1;
    let (view, spending) =
        (town.owners[0].root.viewing_leaf(epoch), town.owners[0].root.spending_leaf(epoch).unwrap());
    let key = spending.key(&view, index, used.scheme).unwrap();
    entries.push((0, town.signed(used, &key)));
    town.record(entries);
    // That last one is nobody's: anybody could have written it. The closing does not count it.
    town.owners[0].uses.get_mut(&epoch).unwrap().pop();
    town.elapse(epoch);
    town.close(0, epoch);
    let mut file = town.granted(&[0], epoch, epoch);
    town.open(&mut file, 0, epoch, epoch);
    let found = town.relinked(file);
    let lies: Vec<_> = found.transactions.iter().map(|one| one.lies.clone()).collect();
    assert_eq!(lies[0], []);
    assert_eq!(lies[1], [Lie::OtherAccount { named: [2; 32] }]);
    assert_eq!(lies[2], [Lie::Commitment]);
    assert!(matches!(&*lies[3], [Lie::Unreadable { .. }]), "{:?}", lies[3]);
    assert_eq!(lies[4], [Lie::Address]);
    assert_eq!((lies.len(), found.claims), (5, 1));
    assert_eq!((found.lying(), found.epochs[0].lying), (4, 4));
    assert_eq!(found.epochs[0].completeness, Completeness::Complete);
    assert!(!found.is_complete());
}

#[test]
fn a_use_in_epochs_of_another_length_is_told() {
    let mut town = town(1);
    let epoch = town.epoch() + 1;
    town.go(epoch, 1_000);
    let mut draft = town.draft(0);
    town.use_one(0);
    // The same number, hours later, by epochs that are a millisecond longer.
    draft.used.epoch_ms += 1;
    let then = u64::from(epoch) * draft.used.epoch_ms;
    town.world.wait(then - town.world.ledger.time_ms());
    let entry = town.seal(0, draft);
    town.record(vec![(0, entry)]);
    town.close(0, epoch);
    let mut file = town.granted(&[0], epoch, epoch);
    town.open(&mut file, 0, epoch, epoch);
    let found = town.relinked(file);
    assert_eq!(found.transactions[0].lies, []);
    assert_eq!(found.transactions[1].lies, [Lie::EpochLength { chosen_ms: town::EPOCH_MS }]);
}

#[test]
fn an_epoch_that_is_not_what_its_closing_says_is_told() {
    let mut town = town(4);
    let epoch = town.epoch() + 1;
    town.go(epoch, 1_000);
    for owner in [0, 0, 1, 2, 3] {
        town.use_one(owner);
    }
    town.elapse(epoch);
    // One fewer; another root; one that does not open; none at all.
    let fewer = keyward_crypto::unlinkable::Closing { records: 1, ..town.closing(0, epoch) };
    let other = keyward_crypto::unlinkable::Closing { root: [1; 32], ..town.closing(1, epoch) };
    let mut broken = town.closing_entry(2, epoch, &town.closing(2, epoch));
    broken.closing[100] ^= 1;
    let entries = [(0, fewer), (1, other)].map(|(owner, closing)| town.closing_entry(owner, epoch, &closing));
    town.record(entries.map(|entry| (0, Entry::CloseEpoch(entry))).to_vec());
    town.record(vec![(2, Entry::CloseEpoch(broken))]);
    let mut file = town.granted(&[], epoch, epoch);
    for owner in 0..4 {
        town.open(&mut file, owner, epoch, epoch);
    }
    let found = town.relinked(file);
    let names: Vec<_> = found.epochs.iter().map(|one| one.completeness.name()).collect();
    assert_eq!(names, ["count-differs", "records-differ", "closing-unreadable", "not-closed"]);
    assert!(!found.is_complete());
    assert_eq!(found.transactions[3].address, AddressCheck::NotClosed);
    assert_eq!(found.lying(), 0, "what is not known is no lie");
}

#[test]
fn the_first_closing_that_opens_counts_whoever_wrote_under_its_tag_before() {
    let mut town = town(1);
    let epoch = town.epoch() + 1;
    town.go(epoch, 1_000);
    let (_, at) = town.pay(0);
    town.use_one(0);
    town.elapse(epoch);
    let mut broken = town.closing_entry(0, epoch, &town.closing(0, epoch));
    broken.closing[100] ^= 1;
    let other = SigningKey::from_seed(&[22; 32]);
    town.record_as(&other, vec![(0, Entry::CloseEpoch(broken))]);
    let closed = town.close(0, epoch);
    let mut file = town.granted(&[0], epoch, epoch);
    town.open(&mut file, 0, epoch, epoch);
    let found = town.relinked(file);
    let finding = &found.epochs[0];
    assert_eq!((&finding.completeness, finding.unreadable), (&Completeness::Complete, 1));
    assert_eq!(finding.closing.unwrap().leaf_index, closed);
    assert_eq!(found.payments.iter().map(|payment| payment.place.leaf_index).collect::<Vec<_>>(), [at]);
}

/// A service that took the first 33 bytes of a detail, its version and commitment, from a record that anybody can read.
fn claim(town: &mut Town, record: u64, other: &SigningKey) -> Entry {
    let entry = Entry::decode(&town.world.records[record as usize].entry).unwrap();
    let Entry::UseAddress(theirs) = entry else { unreachable!() };
    let mut draft = town.draft(1);
    let key = town.key_of(1, &draft);
    (draft.used.id, draft.used.executor) = (theirs.id, other.public_key());
    draft.used.detail = theirs.detail.iter().take(33).copied().collect();
    draft.used.detail.resize(theirs.detail.len(), 0x5a);
    town.signed(draft.used, &key)
}

#[test]
fn what_another_service_makes_of_a_record_spoils_neither_completeness_nor_release() {
    let mut town = town(2);
    let other = SigningKey::from_seed(&[22; 32]);
    let epoch = town.epoch() + 1;
    town.go(epoch, 1_000);
    let not_after = |town: &Town, at: u64| {
        let Ok(Entry::UseAddress(used)) = Entry::decode(&town.world.records[at as usize].entry) else {
            unreachable!()
        };
        used.not_after
    };
    let (released, released_id) = town.use_one(0);
    let at = town.release(released_id);
    let (silent, silent_id) = town.use_one(0);
    // The ids are free again: the other service takes both, and says of both that they were released.
    while town.world.ledger.height() <= not_after(&town, silent) {
        town.world.block(&[]);
    }
    assert_eq!(town.epoch(), epoch);
    let entries = [released, silent].map(|record| (1, claim(&mut town, record, &other)));
    town.record_as(&other, entries.to_vec());
    for intent_id in [released_id, silent_id] {
        let release = Release { intent_id, signature_hash: [0xee; 32] };
        town.record_as(&other, vec![(1, Entry::Release(release))]);
    }
    town.elapse(epoch);
    town.close(0, epoch);
    let mut file = town.granted(&[0], epoch, epoch);
    town.open(&mut file, 0, epoch, epoch);
    let found = town.relinked(file);
    assert_eq!((places(&found), found.claims, found.lying()), (vec![released, silent], 2, 0));
    assert!(found.is_complete());
    let releases: Vec<_> =
        found.transactions.iter().map(|one| one.release.map(|release| release.place.leaf_index)).collect();
    assert_eq!(releases, [Some(at), None]);
}

#[test]
fn a_cover_of_other_keys_finds_nothing_and_is_not_called_complete() {
    let Story { mut town, first } = story();
    let mut file = town.granted(&[0], first, first);
    let cover =
        ViewingCover::of(&keyward_crypto::unlinkable::AddressRoot::generate().unwrap(), first..=first);
    town.open_with(&mut file, 0, first, first, cover);
    let found = town.relinked(file);
    assert!(found.transactions.is_empty() && found.epochs.is_empty());
    assert_eq!(found.runs[0].active, 0);
    assert!(!found.is_complete());
    // No more than of a grant file with no opening.
    let file = town.granted(&[0], first, first);
    let found = town.relinked(file);
    assert!(!found.is_complete() && !found.is_whole());
}

#[test]
fn what_of_the_period_was_not_opened_is_told_by_account() {
    let Story { mut town, first } = story();
    let [one, other] = [0, 1].map(|owner| town.owners[owner].account());
    let all = |account| Unopened { account, whole: Some(3), missing: 3 };
    // An account that the grant names; one that it does not, and that chose under its tenant.
    for accounts in [&[0, 1][..], &[]] {
        let mut file = town.granted(accounts, first, first + 2);
        town.open(&mut file, 0, first, first + 2);
        let found = town.relinked(file);
        assert_eq!((&*found.unopened, found.accounts.len()), (&[all(other)][..], 1));
        assert!(found.is_complete() && !found.is_whole());
    }
    // Epochs between.
    let mut file = town.granted(&[0], first, first + 2);
    town.open(&mut file, 0, first, first);
    town.open(&mut file, 0, first + 2, first + 2);
    let found = town.relinked(file);
    assert_eq!(found.unopened, [Unopened { account: one, whole: Some(3), missing: 1 }]);
    assert!(found.is_complete() && !found.is_whole());
    // Who does not begin with the log does not know whom a tenant has.
    let mut file = town.granted(&[], first, first + 2);
    town.open(&mut file, 0, first, first + 2);
    let from = town.owners[0].uses[&first][0];
    let found = town.relinked_from(file, from);
    assert_eq!(found.unopened, [Unopened { account: one, whole: None, missing: 0 }]);
    assert!(!found.is_whole());
    // What had not elapsed could not be opened.
    let next = town.epoch() + 5;
    let mut file = town.granted(&[0], first, next);
    let last = town.epoch() - 1;
    town.open(&mut file, 0, first, last);
    assert!(town.relinked(file).is_whole());
}

#[test]
fn epochs_of_an_own_root_are_found_through_the_dealing_that_the_ledger_has() {
    let mut town = town(1);
    let person = Person(9);
    town.world.enroll(person);
    town.choose(person, Custody::Own);
    town.world.admit_keepers(&town::KEEPERS);
    let first = town.world.chosen(person).unwrap().first;
    let epoch = town.epoch() + 1;
    town.go(epoch, 1_000);
    let (used, _) = town.use_one(1);
    town.elapse(epoch);
    town.close(1, epoch);
    let expires_ms = town.world.next_ms() + 60 * 60 * 1_000;
    let cover = || ViewingCover::of(&town.owners[1].root, first..=epoch);
    let [dealing, other] = [(); 2].map(|()| town.dealing(1, first, epoch, expires_ms));
    let dealt = |dealing: &Dealing, cover| vec![Dealt { dealing: dealing.encode(), cover }];
    let (recorded, unrecorded) = (dealt(&dealing, cover()), dealt(&other, cover()));
    let at = town.deal(1, &dealing, (first, epoch), expires_ms);
    for (dealt, expected) in [(recorded, Ok(at)), (unrecorded, Err(RunSource::KeepersUnrecorded))] {
        let mut file = town.granted(&[1], first, epoch);
        town.open_own(&mut file, 1, first, epoch, dealt);
        let found = town.relinked(file);
        match (found.runs[0].source, expected) {
            (RunSource::Keepers(place), Ok(at)) => assert_eq!(place.leaf_index, at),
            (source, expected) => assert_eq!(Err(source), expected),
        }
        assert!(found.is_complete());
        assert_eq!(found.is_whole(), matches!(found.runs[0].source, RunSource::Keepers(_)));
        assert_eq!(places(&found), vec![used]);
        assert_eq!(found.accounts[0].custody, Custody::Own);
    }
    // In two openings, of which neither lies within the other, the dealing is one run.
    town.elapse(epoch + 1);
    let mut file = town.granted(&[1], first - 1, epoch + 1);
    for (from, to) in [(first - 1, epoch), (first, epoch + 1)] {
        let cover = ViewingCover::of(&town.owners[1].root, first..=epoch);
        town.open_own(&mut file, 1, from, to, dealt(&dealing, cover));
    }
    assert_eq!(file.openings.len(), 2);
    let found = town.relinked(file);
    let runs: Vec<_> = found.runs.iter().map(|run| (run.first, run.last)).collect();
    assert_eq!((runs, places(&found)), (vec![(first, epoch)], vec![used]));
}

#[test]
fn of_openings_that_overlap_the_newest_counts() {
    let Story { mut town, first } = story();
    let other = keyward_crypto::unlinkable::AddressRoot::generate().unwrap();
    let of_others = |first, last| ViewingCover::of(&other, first..=last);
    // What came first was of other keys; then, with other bounds on both sides, of the account's.
    let mut file = town.granted(&[0], first, first + 2);
    town.open_with(&mut file, 0, first, first + 1, of_others(first, first + 1));
    town.open(&mut file, 0, first + 1, first + 2);
    let found = town.relinked(file);
    let epochs: Vec<_> = found.epochs.iter().map(|one| one.of.epoch).collect();
    assert_eq!(epochs, [first + 1, first + 2]);
    assert!(found.is_complete());
}

#[test]
fn records_that_begin_late_or_have_gaps_are_told() {
    let Story { mut town, first } = story();
    let mut file = town.granted(&[0], first, first);
    town.open(&mut file, 0, first, first);
    let bytes = file.encode();
    let again = || bytes.expose(GrantFile::decode).unwrap();
    let second = town.owners[0].uses[&first][1];
    let found = town.relinked_from(again(), second);
    assert_eq!(found.epochs[0].completeness, Completeness::BeganBefore);
    assert_eq!((found.looked.unwrap().first_leaf, found.transactions.len()), (second, 1));
    let mut relinker = Relinker::new(again(), &town.trust()).unwrap();
    relinker.feed(5, &town.world.records[5]).unwrap();
    for wrong in [5, 7, 0] {
        let refused = relinker.feed(wrong, &town.world.records[7]).unwrap_err();
        assert_eq!(refused.code(), "LOG_GAP");
    }
    // Another record where the grant file's receipt has one.
    let issued = relinker.granted().issued.leaf_index;
    let mut relinker = Relinker::new(again(), &town.trust()).unwrap();
    let refused = relinker.feed(issued, &town.world.records[issued as usize - 1]).unwrap_err();
    assert!(matches!(refused, AuditError::OtherRecord { .. }));
}
