//! Payments to addresses that only payer and receiver recognise: announced by the one, found and spent by the other.

use std::{sync::atomic::Ordering, time::Duration};

use keyward_crypto::unlinkable::{AddressRoot, MetaAddress, open_detail};
use keyward_domain::{
    Code,
    detail::{Detail, Source},
};
use keyward_ledger_core::entry::{AnnouncePayment, Custody as Root, Entry};
use keyward_store::{AddressOrigin, NewAddress};
use zeroize::Zeroizing;

use super::{
    addresses::{EPOCH_MS, Holder, check, choose_own},
    delegation::Somebody,
    world::{World, code},
};

use crate::{addresses::BeginAddress, guard::Input, ports::Ledger as _};

/// An announcement of a payment to somebody else.
fn foreign() -> [u8; 50] {
    let root = AddressRoot::generate().unwrap();
    let point = root.spending_leaf(0).unwrap().point();
    let (_, payment) = MetaAddress::new(&root.viewing_leaf(0), point).unwrap().pay().unwrap();
    payment.encode().unwrap().try_into().unwrap()
}

#[tokio::test]
async fn a_payment_is_announced_found_and_spent_in_a_later_epoch() {
    let holder = Holder::hosted().await;
    let payer = Somebody::new(&holder.world, "bob").await;
    let custody = holder.custody();
    let (meta, ends_ms) = custody.meta_address(&holder.who.caller).await.unwrap();
    assert_eq!(ends_ms, EPOCH_MS);
    let meta = MetaAddress::decode(&meta).unwrap();
    let (paid, payment) = meta.pay().unwrap();
    let payment: [u8; 50] = payment.encode().unwrap().try_into().unwrap();
    for _ in 0..5 {
        custody.announce_payment(&payer.caller, (0, 0), foreign(), &[]).await.unwrap();
    }
    let receipt = custody.announce_payment(&payer.caller, (0, 0), payment, b"mark").await.unwrap();
    assert_eq!(custody.announce_payment(&payer.caller, (0, 0), payment, b"mark").await.unwrap(), receipt);
    let announced = |entry: &Entry| matches!(entry, Entry::AnnouncePayment(_));
    assert_eq!(holder.world.ledger.count(announced), 6);
    // Twice on the ledger, it is one payment.
    custody.announce_payment(&payer.caller, (0, 0), payment, &[]).await.unwrap();

    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let (page, next) = custody.announced_payments(&payer.caller, (0, 0), from).await.unwrap();
        all.extend(page);
        if next == 0 {
            break;
        }
        from = next;
    }
    assert_eq!(all.len(), 7);
    assert!(all.is_sorted_by_key(|one| one.leaf_index));
    assert_eq!(custody.announced_payments(&payer.caller, (1, 5), 0).await.unwrap().0, []);

    let scan = custody.scan_payments(&holder.who.caller, (0, 0), 0).await.unwrap();
    assert_eq!((scan.looked_at, scan.next_leaf), (7, None));
    let found: Vec<_> = scan.found.iter().map(|one| one.row.new.public_key).collect();
    assert_eq!(found, [paid], "once, and nothing that was paid to others");
    let listed = holder.list().await;
    let row = listed.iter().find(|one| one.row.new.public_key == paid).unwrap();
    assert_eq!((row.row.new.origin, row.state), (AddressOrigin::Payment(payment), "fresh"));

    holder.world.pass_ms(2 * EPOCH_MS);
    // Refused or given up, it may be spent later: there is no other address for it.
    holder.world.ledger.ahead_ms.store(3 * EPOCH_MS as i64, Ordering::Relaxed);
    assert_eq!(code(holder.sign(Some(paid), b"spend").await), Code::AddressEpoch);
    holder.world.ledger.ahead_ms.store(0, Ordering::Relaxed);
    let signed = holder.sign(Some(paid), b"spend").await.unwrap();
    check(&signed, b"spend");
    let used = holder.uses().pop().unwrap();
    assert_eq!((used.public_key, used.epoch), (paid, 2), "it is used in the epoch under way");
    let leaf = holder.cover(2).await.leaf(2).unwrap();
    let detail = open_detail(&leaf, &used.id, &used.public_fields(), &used.detail).unwrap();
    assert_eq!(detail.expose(Detail::decode).unwrap().source, Source::Payment { epoch: 0, payment });
    assert_eq!(code(holder.sign(Some(paid), b"again").await), Code::AddressUsed);
    // Found again it stays used.
    custody.scan_payments(&holder.who.caller, (0, 1), 0).await.unwrap();
    assert_eq!(code(holder.sign(Some(paid), b"again").await), Code::AddressUsed);
    // Who was paid in an epoch closes it.
    custody.close_elapsed_epochs().await.unwrap();
    assert_eq!(holder.world.ledger.count(|entry| matches!(entry, Entry::CloseEpoch(_))), 1);
}

#[tokio::test]
async fn more_announcements_than_a_call_looks_at_are_looked_at_by_the_next() {
    let holder = Holder::hosted().await;
    let (custody, caller) = (holder.custody(), &holder.who.caller);
    let (meta, _) = custody.meta_address(caller).await.unwrap();
    let (paid, payment) = MetaAddress::decode(&meta).unwrap().pay().unwrap();
    let payment: [u8; 50] = payment.encode().unwrap().try_into().unwrap();
    // A call looks at 64 pages of 4 here. What is no point is nobody's. The same payment is announced before and behind the edge.
    for number in 0..400 {
        let payment = if matches!(number, 3 | 255 | 256 | 399) { payment } else { [number as u8; 50] };
        let announce = AnnouncePayment { epoch_ms: EPOCH_MS, epoch: 0, payment };
        holder.world.ledger.commit(Entry::AnnouncePayment(announce)).await.unwrap();
    }
    let (mut looks, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next {
        let scan = custody.scan_payments(caller, (0, 0), from).await.unwrap();
        let found: Vec<_> = scan.found.iter().map(|one| one.row.new.public_key).collect();
        assert_eq!(found, [paid]);
        looks.push(scan.looked_at);
        next = scan.next_leaf;
    }
    assert_eq!(looks, [256, 144], "each is looked at once");
    assert_eq!(holder.list().await.len(), 1);
}

#[tokio::test]
async fn what_is_no_payment_or_of_another_time_is_not_announced() {
    let holder = Holder::of(World::new().await, Root::Hosted).await;
    let (custody, caller) = (holder.custody(), &holder.who.caller);
    let mut broken = foreign();
    broken[1] = 9;
    assert_eq!(code(custody.announce_payment(caller, (0, 0), broken, &[]).await), Code::AddressOther);
    assert_eq!(code(custody.announce_payment(caller, (0, 1), foreign(), &[]).await), Code::AddressEpoch);
    for epochs in [(1, 0), (0, 256), (0, u32::MAX)] {
        let page = custody.announced_payments(caller, epochs, 0).await;
        assert_eq!(code(page), Code::AddressRequestMalformed);
        assert_eq!(code(custody.scan_payments(caller, epochs, 0).await), Code::AddressRequestMalformed);
    }
    assert_eq!(holder.world.ledger.count(|entry| matches!(entry, Entry::AnnouncePayment(_))), 0);
}

#[tokio::test]
async fn nobody_freezes_what_was_paid_to_another() {
    let holder = Holder::hosted().await;
    let bob = Somebody::new(&holder.world, "bob").await;
    choose_own(&holder, &bob).await;
    let custody = holder.custody();
    let (meta, _) = custody.meta_address(&holder.who.caller).await.unwrap();
    let (paid, payment) = MetaAddress::decode(&meta).unwrap().pay().unwrap();
    let payment: [u8; 50] = payment.encode().unwrap().try_into().unwrap();
    custody.announce_payment(&bob.caller, (0, 0), payment, &[]).await.unwrap();
    holder.world.pass_ms(EPOCH_MS);
    // The payer knows the address; of an earlier epoch nothing of it can be checked without its key.
    let root = AddressRoot::generate().unwrap();
    let begin = || {
        let asked = BeginAddress {
            epoch: 1,
            leaf: root.viewing_leaf(1).expose(|leaf| Zeroizing::new(*leaf)),
            spending: root.spending_leaf(0).unwrap().point().encode().unwrap(),
            address: NewAddress { public_key: paid, epoch: 0, origin: AddressOrigin::Payment(payment) },
            scheme: String::new(),
            input: Input::Message(b"mine"),
            format: String::new(),
            mark: Vec::new(),
            case: None,
        };
        custody.begin_with_address(&bob.caller, asked)
    };
    begin().await.unwrap();
    holder.world.pass_ms(120_000);
    custody.end_begun().await;
    assert!(custody.list_addresses(&bob.caller, 0, 0).await.unwrap().is_empty(), "nothing of it stays");
    begin().await.unwrap();
    let found = custody.scan_payments(&holder.who.caller, (0, 0), 0).await.unwrap().found;
    assert_eq!((found[0].row.account, found[0].state), (holder.who.account(), "fresh"));
    check(&holder.sign(Some(paid), b"spend").await.unwrap(), b"spend");
}

#[tokio::test]
async fn who_chose_before_epochs_had_another_length_is_paid_and_finds_it() {
    let holder = Holder::hosted().await;
    let bob = Somebody::new(&holder.world, "bob").await;
    let eve = Somebody::new(&holder.world, "eve").await;
    choose_own(&holder, &bob).await;
    let Holder { mut world, who } = holder;
    world.addresses.epoch = Duration::from_millis(2 * EPOCH_MS);
    let holder = Holder { world: world.restart().await, who };
    holder.world.pass_ms(3 * EPOCH_MS);
    let custody = holder.custody();
    let (meta, _) = custody.meta_address(&holder.who.caller).await.unwrap();
    let meta = MetaAddress::decode(&meta).unwrap();
    assert_eq!(meta.epoch(), 3);
    let (paid, payment) = meta.pay().unwrap();
    let payment: [u8; 50] = payment.encode().unwrap().try_into().unwrap();
    // Of the length that is configured now, and of none that there is.
    for epoch_ms in [0, 2 * EPOCH_MS, 1, u64::MAX] {
        let refused = custody.announce_payment(&eve.caller, (epoch_ms, 3), payment, &[]).await;
        assert_eq!(code(refused), Code::AddressEpoch, "{epoch_ms}");
    }
    custody.announce_payment(&eve.caller, (EPOCH_MS, 3), payment, b"mark").await.unwrap();
    let other = custody.announce_payment(&eve.caller, (0, 1), payment, b"mark").await;
    assert_eq!(code(other), Code::IdempotencyConflict, "the length is part of the request");
    custody.announce_payment(&eve.caller, (0, 1), foreign(), &[]).await.unwrap();
    let found = custody.scan_payments(&holder.who.caller, (3, 3), 0).await.unwrap().found;
    assert_eq!(found[0].row.new.public_key, paid);
    // Own roots look through what they are shown, in epochs of their own length; who chose nothing sees the configured one.
    let announced = async |who: &Somebody, epoch| {
        let shown = custody.announced_payments(&who.caller, (epoch, epoch), 0).await.unwrap().0;
        shown.iter().map(|one| one.payment == payment).collect::<Vec<_>>()
    };
    assert_eq!(announced(&bob, 3).await, [true]);
    assert!(announced(&bob, 1).await.is_empty());
    assert_eq!((announced(&eve, 3).await, announced(&eve, 1).await), (vec![], vec![false]));
}
