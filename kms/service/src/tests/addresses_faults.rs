//! Addresses where something fails: nothing is signed before the ledger says so, and nothing is used twice, over servers, outages and
//! crashes.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use keyward_domain::Code;
use keyward_ledger_core::{
    entry::{Custody as Root, Entry, RateTerms, Window},
    state::layout::{AccountState as LedgerAccount, RateState, Spent, account_key, rate_key},
};
use keyward_store::{AddressOrigin, AddressState};

use super::{
    accounts::closing,
    addresses::{EPOCH_MS, Holder, ask, check, choose_own, uses_of},
    delegation::Somebody,
    ledger::Beside,
    risk::{NOTHING, put_in_force},
    world::{Mood, World, code},
};
use crate::{addresses::SignAddress, guard::Input, ports::Ledger as _};

#[tokio::test]
async fn nothing_is_signed_before_the_intent_is_final_and_an_uncertain_index_is_never_used_again() {
    let holder = Holder::hosted().await;
    let given = holder.next(1).await[0];
    for (mood, recorded) in [(Mood::ReadOnly, 0), (Mood::Deaf, 1)] {
        holder.world.ledger.set(mood);
        assert_eq!(code(holder.sign(None, b"lost").await), Code::LedgerUnavailable);
        assert_eq!(holder.uses().len(), recorded, "{mood:?}");
    }
    holder.world.ledger.set(Mood::ReadOnly);
    assert_eq!(code(holder.sign(Some(given), b"lost").await), Code::LedgerUnavailable);
    holder.world.ledger.set(Mood::Good);
    assert_eq!(holder.queued().await, 0, "no signature was made");
    assert_eq!(holder.custody().unreleased.list().len(), 3);
    // Whether it was used is not known: so it is.
    assert_eq!(code(holder.sign(Some(given), b"again").await), Code::AddressUsed);
    let fresh = holder.sign(None, b"m").await.unwrap();
    assert_eq!(fresh.address.origin, AddressOrigin::Index(3));
    // So also after a crash.
    let Holder { world, who } = holder;
    let holder = Holder { world: world.restart().await, who };
    assert_eq!(code(holder.sign(Some(given), b"again").await), Code::AddressUsed);
    assert_eq!(holder.sign(None, b"m").await.unwrap().address.origin, AddressOrigin::Index(4));
}

#[tokio::test]
async fn a_signature_whose_intent_is_on_the_ledger_is_made_when_it_is_asked_for_again() {
    let holder = Holder::hosted().await;
    let given = holder.next(1).await[0];
    holder.world.ledger.set(Mood::Deaf);
    assert_eq!(code(holder.sign(Some(given), b"pay").await), Code::LedgerUnavailable);
    holder.world.ledger.set(Mood::Good);
    let Holder { world, who } = holder;
    let holder = Holder { world: world.restart().await, who };
    // Another payload, another scheme, or another server: that would be another intent.
    assert_eq!(code(holder.sign(Some(given), b"pay more").await), Code::AddressUsed);
    let (scheme, message) = ("bip340".to_owned(), Input::Message(b"pay"));
    let by_another = SignAddress { scheme, ..ask(Some(given), message, b"") };
    let refused = holder.custody().sign_with_address(&holder.who.caller, by_another).await;
    assert_eq!(code(refused), Code::AddressUsed);
    let other = holder.world.beside().await;
    assert_eq!(code(holder.sign_at(&other, Some(given), b"pay", b"").await), Code::AddressUsed);
    let signed = holder.sign_at(holder.custody(), Some(given), b"pay", b"mark").await.unwrap();
    check(&signed, b"pay");
    assert_eq!(holder.sign_at(holder.custody(), Some(given), b"pay", b"mark").await.unwrap(), signed);
    assert_eq!(code(holder.sign(Some(given), b"pay").await), Code::AddressUsed, "once");
    assert_eq!((holder.uses().len(), holder.released().await), (1, 1));
    assert!(holder.list().await[0].row.leaf.is_some());
}

#[tokio::test]
async fn a_try_that_failed_may_be_made_again_under_its_mark() {
    let holder = Holder::hosted().await;
    holder.world.ledger.set(Mood::Gone);
    let tried = holder.sign_at(holder.custody(), None, b"m", b"mark").await;
    assert_eq!(code(tried), Code::LedgerUnavailable);
    holder.world.ledger.set(Mood::Good);
    let signed = holder.sign_at(holder.custody(), None, b"m", b"mark").await.unwrap();
    check(&signed, b"m");
    assert_eq!(holder.sign_at(holder.custody(), None, b"m", b"mark").await.unwrap(), signed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_give_out_no_index_twice_and_use_no_address_twice() {
    let holder = Holder::hosted().await;
    let other = holder.world.beside().await;
    let (mut seen, mut signed) = (BTreeSet::new(), 0);
    for round in 0..8_u8 {
        let message = [round];
        let given = holder.next(1).await[0];
        let (one, two, mine, theirs, more) = tokio::join!(
            holder.sign_at(holder.custody(), None, &message, b""),
            holder.sign_at(&other, None, &message, b""),
            holder.sign_at(holder.custody(), Some(given), &message, b""),
            holder.sign_at(&other, Some(given), &message, b""),
            other.next_addresses(&holder.who.caller, 3, &[]),
        );
        for fresh in [one.unwrap(), two.unwrap()] {
            assert!(seen.insert(fresh.address.public_key));
        }
        for one in more.unwrap() {
            assert!(seen.insert(one.row.new.public_key));
        }
        let (won, lost) = if mine.is_ok() { (mine, theirs) } else { (theirs, mine) };
        assert!(seen.insert(won.unwrap().address.public_key));
        assert_eq!(code(lost), Code::AddressUsed);
        signed += 3;
    }
    assert_eq!(uses_of(holder.world.ledger.log()).len(), signed);
    let refused = holder.world.ledger.log().iter().filter(|(_, outcome)| !outcome.is_accepted()).count();
    assert_eq!(refused, 0, "the loser never came to the ledger");
    // One mark that two servers see is one signature.
    let (one, two) = tokio::join!(
        holder.sign_at(holder.custody(), None, b"m", b"mark"),
        holder.sign_at(&other, None, b"m", b"mark"),
    );
    assert!(one.is_ok() || two.is_ok());
    assert_eq!(holder.uses().len(), signed + 1);
}

#[tokio::test]
async fn at_an_epochs_edge_clocks_may_disagree_by_ten_seconds() {
    let holder = Holder::hosted().await;
    let given = holder.next(3).await;
    // The service's clock lags behind the ledger's, and the other way round.
    holder.world.pass_ms(EPOCH_MS - 1_000_000 - 5_000);
    holder.world.ledger.ahead_ms.store(9_000, Ordering::Relaxed);
    check(&holder.sign(Some(given[0]), b"m").await.unwrap(), b"m");
    assert_eq!(holder.sign(None, b"m").await.unwrap().address.epoch, 0);
    holder.world.pass_ms(5_000);
    holder.world.ledger.ahead_ms.store(-9_000, Ordering::Relaxed);
    assert_eq!(holder.sign(None, b"m").await.unwrap().address.epoch, 1, "it begins by our own clock");
    check(&holder.sign(Some(given[1]), b"m").await.unwrap(), b"m");
    holder.world.pass_ms(9_999);
    check(&holder.sign(Some(given[2]), b"m").await.unwrap(), b"m");
    holder.world.pass_ms(1);
    assert_eq!(code(holder.sign(Some(given[2]), b"m").await), Code::AddressUsed);
    let late = holder.list().await.into_iter().filter(|one| one.state == "expired").count();
    assert_eq!(late, 0, "all three were used");

    // Further apart than that the ledger refuses and nothing is signed. The refusal names the address for all to see: it is given up.
    let given = holder.next(1).await[0];
    holder.world.ledger.ahead_ms.store(i64::try_from(EPOCH_MS).unwrap() + 10_000, Ordering::Relaxed);
    let (uses, queued) = (holder.uses().len(), holder.queued().await);
    assert_eq!(code(holder.sign(Some(given), b"m").await), Code::AddressEpoch);
    assert_eq!((holder.uses().len(), queued), (uses, 5));
    holder.world.ledger.ahead_ms.store(0, Ordering::Relaxed);
    assert_eq!(code(holder.sign(Some(given), b"m").await), Code::AddressUsed);
    holder.world.pass_ms(EPOCH_MS + 10_000);
    let given = holder.next(1).await[0];
    holder.world.pass_ms(EPOCH_MS + 10_000);
    assert_eq!(code(holder.sign(Some(given), b"m").await), Code::AddressEpoch, "refused here");
}

pub(super) const RULE: [u8; 32] = [7; 32];

pub(super) fn rate(world: &World, windows: &[u64], count_max: u64) {
    let windows: Vec<_> =
        windows.iter().map(|length_ms| Window { length_ms: *length_ms, count_max, amount_max: 0 }).collect();
    let spent = windows.iter().map(|_| Spent { index: 0, count: 0, amount: 0 }).collect();
    let state = RateState { version: 1, terms: RateTerms { windows, chargers: Vec::new() }, spent };
    world.ledger.set_state(rate_key(&RULE), state.encode());
}

#[tokio::test]
async fn a_configured_rule_counts_uses_under_a_handle_for_each_window() {
    let holder = Holder::of(World::limited(RULE).await, Root::Hosted).await;
    assert_eq!(code(holder.sign(None, b"m").await), Code::RuleUnknown);
    rate(&holder.world, &[60_000, 120_000], 2);
    assert_eq!(code(holder.sign(None, b"m").await), Code::RuleInvalid);
    rate(&holder.world, &[60_000], 2);
    for _ in 0..2 {
        check(&holder.sign(None, b"m").await.unwrap(), b"m");
    }
    let given = holder.next(1).await[0];
    let log = holder.world.ledger.log().len();
    assert_eq!(code(holder.sign(Some(given), b"m").await), Code::RateExceeded);
    // Another server does not count anew.
    let other = holder.world.beside().await;
    assert_eq!(code(holder.sign_at(&other, None, b"m", b"").await), Code::RateExceeded);
    // It is known before: no refused record gives an address away, however often somebody asks.
    assert_eq!((holder.list().await[0].state, holder.world.ledger.log().len()), ("fresh", log));
    // A rule that lets more through counts at once.
    rate(&holder.world, &[60_000], 3);
    check(&holder.sign(None, b"m").await.unwrap(), b"m");
    assert_eq!(code(holder.sign(Some(given), b"m").await), Code::RateExceeded);
    holder.world.pass_ms(60_000);
    check(&holder.sign(Some(given), b"m").await.unwrap(), b"m");
    let handles: BTreeSet<_> = holder.uses().iter().map(|used| used.limit.unwrap().handle).collect();
    assert_eq!((holder.uses().len(), handles.len()), (4, 2), "another handle in each window");
    assert!(holder.uses().iter().all(|used| used.limit.unwrap().rule == RULE));
}

#[tokio::test]
async fn a_choice_that_was_interrupted_is_settled_either_way() {
    for (mood, stands) in [(Mood::Deaf, true), (Mood::Gone, true), (Mood::Gone, false)] {
        let world = World::new().await;
        let who = Somebody::new(&world, "alice").await;
        let holder = Holder { world, who };
        holder.world.ledger.set(mood);
        let choice = holder.choice(Root::Hosted);
        let tried = holder.custody().choose_addresses(&holder.who.caller, &choice, &[]).await;
        assert_eq!(code(tried), Code::LedgerUnavailable);
        assert_eq!(code(holder.sign(None, b"m").await), Code::AddressesUnknown, "not before it stands");
        holder.world.ledger.set(Mood::Good);
        let Holder { world, who } = holder;
        let holder = Holder { world: world.restart().await, who };
        holder.custody().store.take_over().await.unwrap();
        let account = holder.who.account();
        if !stands {
            // Closed meanwhile, by another service.
            let closed = LedgerAccount { open: false, height: 11 };
            holder.world.ledger.set_state(account_key(&account), closed.encode());
        }
        assert_eq!(holder.custody().settle_acts().await.unwrap(), 0);
        assert_eq!(holder.sign(None, b"m").await.is_ok(), stands, "{mood:?}");
        let kept = holder.custody().store.address_account(account).await.unwrap();
        assert_eq!(kept.is_some(), stands, "no root stays of a choice that was lost");
        let choices = |entry: &Entry| matches!(entry, Entry::Authored(_));
        assert_eq!(holder.world.ledger.count(choices), usize::from(stands));
    }
}

#[tokio::test]
async fn a_new_key_encryption_key_takes_roots_along() {
    let holder = Holder::hosted().await;
    let before = holder.custody().store.address_account(holder.who.account()).await.unwrap().unwrap();
    let operator = holder.world.caller("keyward://officer/olga").await;
    let bob = Somebody::new(&holder.world, "bob").await;
    choose_own(&holder, &bob).await;
    holder.custody().rotate_kek(&operator, &[]).await.unwrap();
    for _ in 0..3 {
        holder.custody().tend_kek().await.unwrap();
    }
    let after = holder.custody().store.address_account(holder.who.account()).await.unwrap().unwrap();
    let left = holder.custody().store.address_accounts_not_under(&after.kek, 9).await.unwrap();
    assert_eq!(left, [], "none waits, not the one of the person's own root");
    assert_ne!((&before.kek, &before.sealed_key), (&after.kek, &after.sealed_key));
    holder.custody().roots.forget(&holder.who.account());
    check(&holder.sign(None, b"m").await.unwrap(), b"m");
}

#[tokio::test]
async fn an_account_that_another_service_closed_signs_no_more() {
    let holder = Holder::hosted().await;
    let given = holder.next(1).await[0];
    let elsewhere = Beside(holder.world.ledger.clone());
    // More of them than one page holds.
    for name in ["bob", "carol", "dave", "erin", "alice"] {
        assert!(holder.sign(None, b"m").await.is_ok(), "nobody else's closing counts");
        if name != "alice" {
            Somebody::new(&holder.world, name).await;
        }
        let entry = Entry::decode(&closing(&holder.world, name).await).unwrap();
        assert!(elsewhere.commit(entry).await.unwrap().outcome().is_accepted());
    }
    assert_eq!(code(holder.sign(Some(given), b"m").await), Code::AccountClosed);
    assert_eq!(holder.uses().len(), 5);
    let row = holder.custody().store.address_account(holder.who.account()).await.unwrap().unwrap();
    assert_eq!(row.state, AddressState::Kept, "what signs is gone here too");
    assert!(holder.custody().roots.find(&holder.who.account(), holder.world.ledger.time_ms()).is_none());
    assert_eq!(code(holder.sign(Some(given), b"m").await), Code::AddressesUnknown);
}

#[tokio::test]
async fn so_many_addresses_of_an_epoch_may_be_unused() {
    let holder = Holder::hosted().await;
    for _ in 0..4 {
        holder.next(256).await;
    }
    let more = || holder.custody().next_addresses(&holder.who.caller, 1, &[]);
    assert_eq!(code(more().await), Code::AddressesMax);
    let used = holder.list().await[0].row.new.public_key;
    check(&holder.sign(Some(used), b"m").await.unwrap(), b"m");
    more().await.unwrap();
    assert_eq!(code(more().await), Code::AddressesMax);
    // What is refused before it is used takes no place.
    let used = holder.list().await[0].row.new.public_key;
    check(&holder.sign(Some(used), b"m").await.unwrap(), b"m");
    put_in_force(&holder.world, 1, NOTHING).await;
    for _ in 0..3 {
        assert_eq!(code(holder.sign(None, b"m").await), Code::RiskRefused);
    }
    more().await.unwrap();
}
