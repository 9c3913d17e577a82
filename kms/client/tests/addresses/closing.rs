//! The end of an own epoch: what the closing says is held against what this side knows.

use std::sync::Arc;

use keyward_client::Client;
use keyward_client::addresses::{AddressOrder, Which};
use keyward_crypto::unlinkable::{AddressRoot, Closing};
use keyward_proto::custody::{CloseAddressEpochResponse, RecordAddressResponse};
use zeroize::Zeroizing;

use crate::addresses::world::{Device, Lies, World, code, order};

/// Anna has signed twice in an epoch that is over now.
async fn over() -> (Arc<World>, Client, Device, u32) {
    let (world, anna, device) = World::own().await;
    let epoch = world.epoch();
    for _ in 0..2 {
        anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap();
    }
    world.pass(world.epoch_ms + 10_000);
    (world, anna, device, epoch)
}

#[tokio::test]
async fn an_epoch_that_is_over_is_closed_once_with_all_its_records() {
    let (world, anna, device) = World::own().await;
    let (root, epoch) = (device.root(), world.epoch());
    anna.sign_own_address(&root, &order(), Which::Fresh).await.unwrap();
    assert!(anna.address_epochs_to_close(&root).await.unwrap().is_empty());
    assert_eq!(code(anna.close_address_epoch(&root, epoch).await), "EPOCH_UNDER_WAY");
    world.pass(world.epoch_ms + 10_000);
    assert_eq!(anna.address_epochs_to_close(&root).await.unwrap(), [epoch]);
    let closed = anna.close_address_epoch(&root, epoch).await.unwrap();
    assert_eq!((closed.records, closed.unseen), (1, 0));
    assert_eq!(device.book().epochs()[&epoch].closed, Some(closed.done.leaf_index));
    assert!(anna.address_epochs_to_close(&root).await.unwrap().is_empty());
}

type Twist = fn(Closing) -> Closing;

#[tokio::test]
async fn a_closing_that_omits_invents_or_renames_is_refused_by_name() {
    let lies: [(&str, Twist); 6] = [
        ("EPOCH_CLOSING_SHORT", |said| Closing { records: 1, ..said }),
        ("EPOCH_CLOSING_SHORT", |said| Closing { records: 0, addresses: 0, root: [0; 32], ..said }),
        ("EPOCH_CLOSING_OTHER", |said| Closing { records: 3, addresses: 3, ..said }),
        ("EPOCH_CLOSING_OTHER", |said| Closing { root: [7; 32], ..said }),
        ("EPOCH_CLOSING_OTHER", |said| Closing { addresses: 1, ..said }),
        ("EPOCH_CLOSING_OTHER", |said| {
            let stranger = AddressRoot::from_bytes(Zeroizing::new([7; 32]));
            let spending = stranger.spending_leaf(said.spending.epoch()).unwrap().point();
            Closing { spending, ..said }
        }),
    ];
    for (expected, lie) in lies {
        let (world, anna, device, epoch) = over().await;
        world.lie(Lies { closing: Some(Box::new(move |_, said| lie(said))), ..Lies::default() });
        assert_eq!(code(anna.close_address_epoch(&device.root(), epoch).await), expected);
        assert_eq!(device.book().epochs()[&epoch].recorded(), 2, "what is known stays known");
    }
}

#[tokio::test]
async fn the_receipt_of_another_closing_or_of_none_is_refused() {
    let (world, anna, device, epoch) = over().await;
    anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap();
    let closed = anna.close_address_epoch(&device.root(), epoch).await.unwrap();
    world.pass(world.epoch_ms + 10_000);
    let receipt = closed.done.receipt;
    world.lie(Lies {
        closed: Some(Box::new(move |_, _| CloseAddressEpochResponse { receipt: receipt.clone().into() })),
        ..Lies::default()
    });
    assert_eq!(code(anna.close_address_epoch(&device.root(), epoch + 1).await), "ADDRESSES_SUBSTITUTED");
    world
        .lie(Lies { closed: Some(Box::new(|_, _| CloseAddressEpochResponse::default())), ..Lies::default() });
    assert_ne!(code(anna.close_address_epoch(&device.root(), epoch + 1).await), "ADDRESSES_SUBSTITUTED");
}

#[tokio::test]
async fn a_record_whose_answer_was_lost_is_asked_for_before_the_epoch_is_closed() {
    let (world, anna, device) = World::own().await;
    let (root, epoch) = (device.root(), world.epoch());
    anna.sign_own_address(&root, &order(), Which::Fresh).await.unwrap();
    world.lie(Lies { recorded: Some(Box::new(|_, _| RecordAddressResponse::default())), ..Lies::default() });
    let lost = AddressOrder::message(&b"lost"[..]).unwrap();
    anna.sign_own_address(&root, &lost, Which::Fresh).await.unwrap_err();
    world.pass(world.epoch_ms + 10_000);
    world.lie(Lies::default());
    let closed = anna.close_address_epoch(&root, epoch).await.unwrap();
    assert_eq!((closed.records, closed.unseen), (2, 0));
    // Its signature can still be had.
    assert_eq!(device.book().epochs()[&epoch].spent.len(), 1);
}

#[tokio::test]
async fn a_record_that_the_service_denies_may_stand_in_the_closing() {
    let (world, anna, device) = World::own().await;
    let (root, epoch) = (device.root(), world.epoch());
    world.lie(Lies { recorded: Some(Box::new(|_, _| RecordAddressResponse::default())), ..Lies::default() });
    anna.sign_own_address(&root, &order(), Which::Fresh).await.unwrap_err();
    world.pass(world.epoch_ms + 10_000);
    // It forgets the intent, and counts its record.
    let counted = |said: Closing| Closing { records: 1, addresses: 1, ..said };
    world.begun.lock().unwrap().clear();
    world.lie(Lies { closing: Some(Box::new(move |_, said| counted(said))), ..Lies::default() });
    let closed = anna.close_address_epoch(&root, epoch).await.unwrap();
    assert_eq!((closed.records, closed.unseen), (1, 1), "and that is said");
}

#[tokio::test]
async fn a_use_that_the_service_denies_and_the_closing_omits_is_said_and_kept() {
    let (world, anna, device) = World::own().await;
    let (root, epoch) = (device.root(), world.epoch());
    world.lie(Lies { recorded: Some(Box::new(|_, _| RecordAddressResponse::default())), ..Lies::default() });
    anna.sign_own_address(&root, &order(), Which::Fresh).await.unwrap_err();
    world.pass(world.epoch_ms + 10_000);
    // It has recorded the use, denies it, and leaves it out.
    world.begun.lock().unwrap().clear();
    world.lie(Lies::default());
    let closed = anna.close_address_epoch(&root, epoch).await.unwrap();
    assert_eq!((closed.records, closed.unseen, closed.denied), (0, 0, 1));
    assert!(device.book().epochs()[&epoch].spent[0].begun.is_some(), "the proof that was given is kept");
}
