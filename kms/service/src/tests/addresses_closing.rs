//! The end of epochs: closed once by whom- and howsoever, complete, and never too early.

use std::sync::atomic::Ordering;

use keyward_crypto::unlinkable::{AddressRoot, Closing, EpochAddresses, closing_tag, open_closing};
use keyward_domain::{Code, detail::records_root};
use keyward_ledger_core::{
    entry::{CloseEpoch, Custody as Root, Entry},
    hash::Hash,
};
use zeroize::Zeroizing;

use super::{
    accounts::closing,
    addresses::{EPOCH_MS, Holder},
    ledger::Beside,
    world::{Mood, World, code},
};
use crate::{custody::Custody, ports::Ledger};

/// From the world's beginning to where epoch 0 has elapsed for everybody.
const ELAPSED_MS: u64 = EPOCH_MS - 1_000_000 + 10_000;

fn closings(holder: &Holder) -> Vec<CloseEpoch> {
    let close = |(entry, outcome): (Entry, keyward_ledger_core::outcome::Outcome)| match entry {
        Entry::CloseEpoch(close) if outcome.is_accepted() => Some(close),
        _ => None,
    };
    holder.world.ledger.log().into_iter().filter_map(close).collect()
}

/// Leaf hashes of accepted uses, in the log's order.
async fn leaves(holder: &Holder) -> Vec<Hash> {
    let mut leaves = Vec::new();
    for (index, (entry, outcome)) in holder.world.ledger.log().iter().enumerate() {
        if matches!(entry, Entry::UseAddress(_)) && outcome.is_accepted() {
            leaves
                .push(Ledger::record(holder.world.ledger.as_ref(), index as u64).await.unwrap().leaf_hash());
        }
    }
    leaves
}

async fn opened(holder: &Holder, close: &CloseEpoch) -> Closing {
    let leaf = holder.cover(close.epoch).await.leaf(close.epoch).unwrap();
    assert_eq!(close.tag, closing_tag(&leaf).unwrap());
    open_closing(&leaf, &close.public_fields(), &close.closing).unwrap()
}

async fn close(custody: &Custody) {
    custody.close_elapsed_epochs().await.unwrap();
}

#[tokio::test]
async fn an_epoch_with_activity_is_closed_once_with_all_of_its_records() {
    let holder = Holder::hosted().await;
    close(holder.custody()).await;
    holder.next(2).await;
    holder.sign(None, b"one").await.unwrap();
    let named = holder.next(1).await[0];
    holder.sign(Some(named), b"two").await.unwrap();
    close(holder.custody()).await;
    assert_eq!(closings(&holder), [], "it is under way");
    holder.world.pass_ms(ELAPSED_MS);
    close(holder.custody()).await;
    let [closed] = &closings(&holder)[..] else { panic!() };
    assert_eq!((closed.epoch, closed.epoch_ms), (0, EPOCH_MS));
    let says = opened(&holder, closed).await;
    assert_eq!((says.addresses, says.records), (4, 2));
    assert_eq!(says.root, records_root(leaves(&holder).await));
    // With the leaf it gives every address.
    let leaf = holder.cover(0).await.leaf(0).unwrap();
    assert_eq!(EpochAddresses::new(leaf, says.spending).address(3).unwrap(), named);

    // Again, by another server and after a restart: nothing more. Later epochs without activity are none.
    let other = holder.world.beside().await;
    holder.world.pass_ms(3 * EPOCH_MS);
    for custody in [holder.custody(), &other] {
        close(custody).await;
    }
    let shown = holder.custody().show_addresses(&holder.who.caller).await.unwrap().epochs;
    let [epoch] = &shown[..] else { panic!() };
    assert_eq!((epoch.epoch, epoch.given, epoch.records, epoch.sealed.is_some()), (0, 4, 2, false));
    let leaf = epoch.closed_leaf.unwrap();
    assert!(matches!(holder.world.ledger.log()[leaf as usize].0, Entry::CloseEpoch(_)));
    let Holder { world, who } = holder;
    let holder = Holder { world: world.restart().await, who };
    close(holder.custody()).await;
    assert_eq!(closings(&holder).len(), 1);
}

#[tokio::test]
async fn what_nobody_heard_of_is_looked_for_before_an_epoch_is_closed() {
    let holder = Holder::hosted().await;
    holder.sign(None, b"heard").await.unwrap();
    for mood in [Mood::Deaf, Mood::ReadOnly] {
        holder.world.ledger.set(mood);
        assert_eq!(code(holder.sign(None, b"lost").await), Code::LedgerUnavailable);
    }
    holder.world.ledger.set(Mood::Good);
    let Holder { world, who } = holder;
    let holder = Holder { world: world.restart().await, who };
    holder.world.pass_ms(ELAPSED_MS);
    // Without the ledger's word nothing is closed.
    holder.world.ledger.set(Mood::Gone);
    assert!(holder.custody().close_elapsed_epochs().await.is_err());
    holder.world.ledger.set(Mood::Good);
    close(holder.custody()).await;
    let says = opened(&holder, &closings(&holder)[0]).await;
    assert_eq!(
        (says.addresses, says.records),
        (3, 2),
        "the one that was recorded counts, the other does not"
    );
    assert_eq!(says.root, records_root(leaves(&holder).await));
    let states: Vec<_> = holder.list().await.iter().map(|one| (one.state, one.row.leaf.is_some())).collect();
    assert_eq!(states, [("expired", false), ("used", true), ("used", true)]);
}

#[tokio::test]
async fn a_closing_whose_answer_is_lost_is_found_and_two_servers_make_one() {
    let holder = Holder::hosted().await;
    holder.sign(None, b"m").await.unwrap();
    holder.world.pass_ms(ELAPSED_MS);
    holder.world.ledger.set(Mood::Deaf);
    assert!(holder.custody().close_elapsed_epochs().await.is_err());
    holder.world.ledger.set(Mood::Good);
    assert_eq!(closings(&holder).len(), 1);
    let other = holder.world.beside().await;
    let (one, two) = tokio::join!(holder.custody().close_elapsed_epochs(), other.close_elapsed_epochs());
    one.and(two).unwrap();
    assert_eq!(closings(&holder).len(), 1);
    let epochs = holder.custody().show_addresses(&holder.who.caller).await.unwrap().epochs;
    assert!(epochs[0].closed_leaf.is_some());

    // Both at once, from the beginning.
    holder.sign(None, b"m").await.unwrap();
    holder.world.pass_ms(2 * EPOCH_MS);
    let (one, two) = tokio::join!(holder.custody().close_elapsed_epochs(), other.close_elapsed_epochs());
    assert!(one.is_ok() || two.is_ok());
    for custody in [holder.custody(), &other] {
        close(custody).await;
    }
    let closed = closings(&holder);
    assert_eq!(closed.iter().map(|close| close.epoch).collect::<Vec<_>>(), [0, 1]);
    assert_ne!(closed[0].tag, closed[1].tag);
}

#[tokio::test]
async fn a_clock_that_is_ahead_closes_nothing_and_from_the_closing_on_nothing_is_used() {
    let holder = Holder::hosted().await;
    let given = holder.next(1).await[0];
    holder.world.pass_ms(ELAPSED_MS);
    holder.world.ledger.ahead_ms.store(-1, Ordering::Relaxed);
    let early = holder.custody().close_elapsed_epochs().await;
    assert_eq!(code(early), Code::EpochUnderWay);
    let epoch = holder.custody().store.address_epoch(holder.who.account(), 0).await.unwrap().unwrap();
    assert_eq!(epoch.closing, None, "nothing was counted yet");
    holder.world.ledger.ahead_ms.store(0, Ordering::Relaxed);
    close(holder.custody()).await;
    // Another server's clock is far behind: its entry would come to a ledger that has the epoch closed.
    let slow = holder.world.beside().await;
    holder.world.clock.0.fetch_sub(ELAPSED_MS, Ordering::Relaxed);
    assert_eq!(code(holder.sign_at(&slow, Some(given), b"m", b"").await), Code::EpochClosed);
    assert_eq!(code(holder.sign_at(&slow, None, b"m", b"").await), Code::EpochClosed);
    assert_eq!(code(slow.next_addresses(&holder.who.caller, 1, &[]).await), Code::EpochClosed);
    assert_eq!(holder.uses().len(), 0);
}

#[tokio::test]
async fn an_account_that_is_closed_leaves_no_epoch_open() {
    let holder = Holder::hosted().await;
    holder.sign(None, b"m").await.unwrap();
    let leaf = holder.cover(0).await.leaf(0).unwrap();
    let entry = closing(&holder.world, "alice").await;
    holder.custody().close_account(&holder.who.caller, &entry, &[]).await.unwrap();
    let store = &holder.custody().store;
    assert_eq!(store.addresses(holder.who.account(), u64::MAX, 9).await.unwrap().len(), 1);
    holder.world.pass_ms(ELAPSED_MS);
    close(holder.custody()).await;
    let [closed] = &closings(&holder)[..] else { panic!() };
    let says = open_closing(&leaf, &closed.public_fields(), &closed.closing).unwrap();
    assert_eq!((says.addresses, says.records), (1, 1));
    assert_eq!(store.addresses(holder.who.account(), u64::MAX, 9).await.unwrap(), [], "whose it was is gone");
    let epoch = store.address_epoch(holder.who.account(), 0).await.unwrap().unwrap();
    assert_eq!(epoch.sealed, None);
}

#[tokio::test]
async fn what_a_server_that_ended_did_not_close_another_one_closes() {
    let holder = Holder::hosted().await;
    holder.sign(None, b"m").await.unwrap();
    holder.world.pass_ms(ELAPSED_MS);
    let other = holder.world.beside().await;
    holder.world.ledger.set(Mood::ReadOnly);
    assert_eq!(code(holder.custody().close_elapsed_epochs().await), Code::LedgerUnavailable);
    holder.world.ledger.set(Mood::Good);
    assert_eq!(code(other.close_elapsed_epochs().await), Code::ServiceBusy, "the first one has it in hand");
    holder.custody().store.close().await.unwrap();
    close(&other).await;
    let [closed] = &closings(&holder)[..] else { panic!() };
    let root = other.viewing_cover(holder.account(), 0..=0).await.unwrap();
    let says = open_closing(&root.leaf(0).unwrap(), &closed.public_fields(), &closed.closing).unwrap();
    assert_eq!((says.addresses, says.records), (1, 1));
}

#[tokio::test]
async fn a_closing_that_does_not_come_is_told_after_an_hour() {
    let holder = Holder::hosted().await;
    holder.sign(None, b"m").await.unwrap();
    holder.world.pass_ms(ELAPSED_MS);
    holder.world.ledger.set(Mood::ReadOnly);
    for late in [0, 1] {
        assert_eq!(code(holder.custody().close_elapsed_epochs().await), Code::LedgerUnavailable);
        assert_eq!(holder.custody().late_epochs().await.unwrap(), late);
        holder.world.pass_ms(3_600_000);
    }
    holder.world.ledger.set(Mood::Good);
    assert!(!holder.custody().close_elapsed_epochs().await.unwrap(), "one is no full look");
    assert_eq!(holder.custody().late_epochs().await.unwrap(), 0);
}

#[tokio::test]
async fn somebody_who_copies_a_tag_keeps_no_epoch_open() {
    let holder = Holder::hosted().await;
    holder.sign(None, b"m").await.unwrap();
    holder.world.pass_ms(ELAPSED_MS);
    let tag = closing_tag(&holder.cover(0).await.leaf(0).unwrap()).unwrap();
    let copied = CloseEpoch { tag, epoch_ms: EPOCH_MS, epoch: 0, closing: vec![9; 305] };
    let thief = Beside(holder.world.ledger.clone());
    assert!(thief.commit(Entry::CloseEpoch(copied)).await.unwrap().outcome().is_accepted());
    close(holder.custody()).await;
    let says = opened(&holder, &closings(&holder)[1]).await;
    assert_eq!((says.addresses, says.records), (1, 1));
}

#[tokio::test]
async fn an_epoch_before_the_choice_is_not_closed() {
    let world = World::new().await;
    world.pass_ms(3 * EPOCH_MS);
    let holder = Holder::of(world, Root::Own).await;
    let root = AddressRoot::generate().unwrap();
    for (epoch, expected) in [(2, Code::AddressEpoch), (3, Code::EpochUnderWay)] {
        let leaf = root.viewing_leaf(epoch).expose(|leaf| Zeroizing::new(*leaf));
        let point = root.spending_leaf(epoch).unwrap().point().encode().unwrap();
        let closed = holder.custody().close_own_epoch(&holder.who.caller, epoch, leaf, &point).await;
        assert_eq!(code(closed), expected);
    }
    assert_eq!(closings(&holder), []);
}
