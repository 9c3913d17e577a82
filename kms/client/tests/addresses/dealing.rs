//! Closed own epochs are dealt: nothing is erased before the ledger and keepers have it, whatever stops in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keyward_client::Client;
use keyward_client::addresses::{DealError, DealOrder, DealtEpochs, Which, undealt_days};
use keyward_client::vault::KeeperChoice;
use keyward_ledger_core::state::keeper::{KeeperState, keeper_key};
use keyward_proto::custody::{AnnouncedResponse, AuditEntryResponse, DealViewingResponse};
use tonic::Status;

use crate::addresses::keepers::deals;
use crate::addresses::world::{ANNA, BORIS, CLARA, Device, HOUR_MS, Lies, World, login, order};

const DAY_MS: u64 = 24 * HOUR_MS;

/// Anna has her own root, and two days have passed.
async fn days() -> (Arc<World>, Client, Device) {
    let (world, anna, device) = World::own_in_the_morning().await;
    world.pass(2 * DAY_MS);
    (world, anna, device)
}

async fn deal(anna: &Client, device: &Device, order: &DealOrder) -> Result<Option<DealtEpochs>, DealError> {
    anna.deal_address_epochs(&device.login, &device.root(), order).await
}

fn code<T: std::fmt::Debug>(result: Result<T, DealError>) -> String {
    let error = result.unwrap_err();
    error.code().unwrap_or_else(|| panic!("no code: {error}")).to_owned()
}

/// How many dealings the ledger has.
fn recorded(world: &World) -> usize {
    let chain = world.chain.lock().unwrap();
    let entries = (0..).map_while(|leaf| chain.entry(leaf));
    entries.filter(|(entry, outcome)| outcome.is_accepted() && deals(entry)).count()
}

fn first(device: &Device) -> u32 {
    device.book().viewing.first()
}

/// The files of a dealing under way.
fn left(device: &Device) -> usize {
    let names = std::fs::read_dir(device.folder.path()).unwrap();
    names.filter(|name| name.as_ref().unwrap().path().extension().is_some_and(|it| it == "dealing")).count()
}

#[tokio::test]
async fn days_that_wait_are_counted_by_the_ledgers_time_until_they_are_dealt() {
    let (world, anna, device) = days().await;
    let mut waiting = Vec::new();
    loop {
        let chosen = anna.chosen_addresses().await.unwrap();
        waiting.push(undealt_days(&chosen.state, chosen.ledger_ms));
        if deal(&anna, &device, &DealOrder::default()).await.unwrap().is_none() {
            break;
        }
    }
    assert_eq!(waiting, [2, 1, 0]);
    world.pass(DAY_MS);
    let chosen = anna.chosen_addresses().await.unwrap();
    assert_eq!(undealt_days(&chosen.state, chosen.ledger_ms), 1);
}

#[tokio::test]
async fn whole_days_are_dealt_one_by_one_and_erased_with_their_record() {
    let (world, anna, device) = days().await;
    let any = DealOrder::default();
    let one = deal(&anna, &device, &any).await.unwrap().unwrap();
    assert_eq!((one.threshold, one.keepers.len()), (3, 5));
    assert_eq!((u64::from(one.last) + 1) * HOUR_MS % DAY_MS, 0, "up to the end of its day");
    assert_eq!((first(&device), recorded(&world), left(&device)), (one.last + 1, 1, 0));
    assert!(device.book().viewing.viewing_leaf(one.last).is_none());
    assert!(device.book().viewing.viewing_leaf(one.last + 1).is_some());
    let two = deal(&anna, &device, &any).await.unwrap().unwrap();
    assert_eq!((two.first, two.last), (one.last + 1, one.last + 24));
    assert!(deal(&anna, &device, &any).await.unwrap().is_none(), "the day under way stays");
    let through = DealOrder { through: Some(two.last + 1), ..any.clone() };
    let part = deal(&anna, &device, &through).await.unwrap().unwrap();
    assert_eq!((part.first, part.last), (two.last + 1, two.last + 1));
    assert!(deal(&anna, &device, &through).await.unwrap().is_none());
    let ahead = DealOrder { through: Some(world.epoch()), ..any };
    assert_eq!(code(deal(&anna, &device, &ahead).await), "EPOCH_UNDER_WAY");
    assert_eq!((recorded(&world), first(&device)), (3, part.last + 1));
}

#[tokio::test]
async fn nothing_is_erased_until_every_keeper_has_signed_and_the_same_dealing_is_gone_on_with() {
    let (world, anna, device) = days().await;
    let (any, whole) = (DealOrder::default(), first(&device));
    let lies: [fn(&World, DealViewingResponse) -> DealViewingResponse; 4] = [
        |_, said| DealViewingResponse { acknowledgements: said.acknowledgements[1..].to_vec() },
        |_, mut said| {
            said.acknowledgements.swap(0, 1);
            said
        },
        |_, mut said| {
            said.acknowledgements[4] = vec![0; 64].into();
            said
        },
        |_, mut said| {
            said.acknowledgements[2] = said.acknowledgements[2].slice(1..);
            said
        },
    ];
    for lie in lies {
        world.lie(Lies { acknowledged: Some(Box::new(lie)), ..Lies::default() });
        let refused = code(deal(&anna, &device, &any).await);
        assert!(
            ["VIEWING_NOT_ACKNOWLEDGED", "ADDRESSES_SUBSTITUTED"].contains(&refused.as_str()),
            "{refused}"
        );
    }
    world.lie(Lies { away: vec![3], ..Lies::default() });
    let refused = deal(&anna, &device, &any).await.unwrap_err();
    let DealError::NotAcknowledged { silent, willing, .. } = refused else { panic!("{refused:?}") };
    assert_eq!((silent, willing.len()), (vec![world.keepers[3].name.clone()], 4));
    assert_eq!((first(&device), recorded(&world), left(&device)), (whole, 0, 1));
    world.lie(Lies::default());
    deal(&anna, &device, &any).await.unwrap().unwrap();
    let mut dealings = world.dealings.lock().unwrap().clone();
    assert_eq!(dealings.len(), 6);
    dealings.dedup();
    assert_eq!((dealings.len(), recorded(&world)), (1, 1), "keepers were handed one dealing");
}

#[tokio::test]
async fn other_keepers_get_another_dealing() {
    let (world, anna, device) = days().await;
    world.lie(Lies { away: vec![3], ..Lies::default() });
    assert_eq!(code(deal(&anna, &device, &DealOrder::default()).await), "VIEWING_NOT_ACKNOWLEDGED");
    let names = [0, 1, 2, 4].map(|number: usize| world.keepers[number].name.clone());
    let others = DealOrder { keepers: Some(KeeperChoice::Named(names.to_vec())), ..DealOrder::default() };
    let dealt = deal(&anna, &device, &others).await.unwrap().unwrap();
    assert_eq!((dealt.threshold, dealt.keepers.len()), (3, 4));
    assert!(!dealt.keepers.contains(&world.keepers[3].id()));
    for (keepers, threshold) in [
        (KeeperChoice::Named(vec!["nobody".into(), names[0].clone()]), None),
        (KeeperChoice::Any(6), None),
        (KeeperChoice::Any(2), Some(3)),
        (KeeperChoice::Any(2), Some(1)),
    ] {
        let wrong = DealOrder { keepers: Some(keepers), threshold, ..DealOrder::default() };
        assert_eq!(code(deal(&anna, &device, &wrong).await), "VIEWING_KEEPERS");
    }
    // Who has left the ledger is dealt nothing.
    let gone = &world.keepers[0];
    let state = KeeperState { present: false, ..gone.state() };
    world.chain.lock().unwrap().state.insert(&keeper_key(&gone.id()), &state.encode());
    world.pass(1);
    world.lie(Lies::default());
    let dealt = deal(&anna, &device, &DealOrder::default()).await.unwrap().unwrap();
    assert!(dealt.keepers.len() == 4 && !dealt.keepers.contains(&gone.id()));
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_record_is_found_again_and_nothing_is_recorded_twice() {
    let (world, anna, device) = days().await;
    let (any, whole) = (DealOrder::default(), first(&device));
    let lost = |_: &World, _: Result<AuditEntryResponse, Status>| Err(Status::unavailable("lost"));
    world.lie(Lies { dealt: Some(Box::new(lost)), ..Lies::default() });
    assert!(deal(&anna, &device, &any).await.unwrap_err().unreachable());
    assert_eq!((first(&device), recorded(&world), left(&device)), (whole, 1, 1));
    world.lie(Lies::default());
    let dealt = deal(&anna, &device, &any).await.unwrap().unwrap();
    assert_eq!((first(&device), recorded(&world), left(&device)), (dealt.last + 1, 1, 0));
    assert_eq!(world.dealings.lock().unwrap().len(), 1, "keepers were asked once");
}

#[tokio::test]
async fn a_receipt_that_is_none_of_this_dealing_erases_nothing() {
    let (world, anna, device) = days().await;
    let (any, whole) = (DealOrder::default(), first(&device));
    let other = world.chain.lock().unwrap().receipt(0);
    let lies: [Vec<u8>; 2] = [other, Vec::new()];
    for receipt in lies {
        let answer = AuditEntryResponse { receipt: receipt.into(), leaf_index: 0 };
        let lie = move |_: &World, _: Result<AuditEntryResponse, Status>| Ok(answer.clone());
        world.lie(Lies { dealt: Some(Box::new(lie)), ..Lies::default() });
        let refused = code(deal(&anna, &device, &any).await);
        assert!(["ADDRESSES_SUBSTITUTED", "ADDRESSES_UNPROVEN"].contains(&refused.as_str()), "{refused}");
        assert_eq!((first(&device), left(&device)), (whole, 1));
    }
    world.lie(Lies::default());
    deal(&anna, &device, &any).await.unwrap().unwrap();
    assert_eq!(recorded(&world), 1);
}

#[tokio::test]
async fn a_dealing_that_the_ledger_refused_is_given_up_and_the_next_one_is_another() {
    let (world, anna, device) = days().await;
    let (any, whole) = (DealOrder::default(), first(&device));
    let refuse = |_: &World, _: Result<AuditEntryResponse, Status>| Err(crate::toy::refused("DEALING_GAP"));
    world.lie(Lies { dealt: Some(Box::new(refuse)), ..Lies::default() });
    assert_eq!(code(deal(&anna, &device, &any).await), "DEALING_GAP");
    assert_eq!((first(&device), left(&device)), (whole, 0));
    // It lied, and has recorded it: then that is the account's own word.
    world.lie(Lies::default());
    let dealt = deal(&anna, &device, &any).await.unwrap().unwrap();
    assert_eq!((recorded(&world), first(&device)), (2, dealt.last + 1));
}

#[tokio::test]
async fn a_device_that_lags_behind_the_ledger_erases_what_is_dealt() {
    let (world, anna, device) = days().await;
    let path = || {
        let mut names = std::fs::read_dir(device.folder.path()).unwrap().map(|name| name.unwrap().path());
        names.find(|path| path.extension().is_some_and(|it| it == "root")).unwrap()
    };
    let before = std::fs::read(path()).unwrap();
    let any = DealOrder::default();
    let one = deal(&anna, &device, &any).await.unwrap().unwrap();
    deal(&anna, &device, &any).await.unwrap().unwrap();
    // A stop before the erasure, and the note of it lost; or a copy of the device.
    std::fs::write(path(), before).unwrap();
    assert!(first(&device) <= one.first);
    assert!(deal(&anna, &device, &any).await.unwrap().is_none());
    assert_eq!((first(&device), recorded(&world)), (one.last + 25, 2));
}

#[tokio::test]
async fn what_somebody_held_back_past_its_end_is_dealt_anew_and_erased_with_that_record_alone() {
    let (world, anna, device) = days().await;
    let (any, whole) = (DealOrder::default(), first(&device));
    world.lie(Lies { swallows: true, ..Lies::default() });
    assert!(deal(&anna, &device, &any).await.unwrap_err().unreachable());
    world.pass(DAY_MS / 4 + 1);
    world.lie(Lies { away: vec![0], ..Lies::default() });
    // The ledger does not take it any more, and of another one a keeper has no share yet.
    assert_eq!(code(deal(&anna, &device, &any).await), "VIEWING_NOT_ACKNOWLEDGED");
    assert_eq!((first(&device), recorded(&world), left(&device)), (whole, 0, 1));
    world.lie(Lies::default());
    let dealt = deal(&anna, &device, &any).await.unwrap().unwrap();
    assert_eq!((first(&device), recorded(&world), left(&device)), (dealt.last + 1, 1, 0));
    let dealings = world.dealings.lock().unwrap().clone();
    assert!(dealings[0] != dealings[1] && dealings[1] == dealings[2] && dealings.len() == 3);
}

#[tokio::test]
async fn what_was_held_back_until_its_end_is_recorded_and_keepers_are_not_asked_again() {
    let (world, anna, device) = days().await;
    world.lie(Lies { swallows: true, ..Lies::default() });
    assert!(deal(&anna, &device, &DealOrder::default()).await.unwrap_err().unreachable());
    world.pass(DAY_MS / 4 - 60_000);
    world.lie(Lies { away: vec![0, 1, 2, 3, 4], ..Lies::default() });
    let dealt = deal(&anna, &device, &DealOrder::default()).await.unwrap().unwrap();
    assert_eq!((first(&device), recorded(&world), left(&device)), (dealt.last + 1, 1, 0));
    assert_eq!(world.dealings.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_nobody_could_close_or_use_afterwards_is_not_dealt() {
    let (world, anna, device) = World::own_in_the_morning().await;
    let epoch = world.epoch();
    anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap();
    let meta = anna.own_meta_address(&device.root()).await.unwrap();
    let clara = world.client(CLARA).await;
    let paid = clara.pay_to_meta_address(&meta.meta_address).await.unwrap();
    world.pass(2 * DAY_MS);
    let any = DealOrder::default();
    let refused = deal(&anna, &device, &any).await.unwrap_err();
    assert!(matches!(&refused, DealError::Unclosed { epochs } if epochs[..] == [epoch]), "{refused:?}");
    anna.close_address_epoch(&device.root(), epoch).await.unwrap();
    // Its payer's receipt says that it is one.
    let receipt = std::slice::from_ref(&paid.done.receipt);
    anna.scan_own_payments(&device.root(), epoch..=epoch, 0, receipt, &[]).await.unwrap();
    let refused = deal(&anna, &device, &any).await.unwrap_err();
    assert!(matches!(&refused, DealError::Unspent { count: 1, .. }), "{refused:?}");
    assert_eq!((world.dealings.lock().unwrap().len(), device.book().payments().len()), (0, 1));
    let abandon = DealOrder { abandon: true, ..any };
    let dealt = deal(&anna, &device, &abandon).await.unwrap().unwrap();
    assert!(dealt.first <= epoch && epoch <= dealt.last);
    assert_eq!((device.book().payments(), dealt.unconfirmed), (&[][..], 0));
    assert!(!device.book().epochs().contains_key(&epoch));
}

#[tokio::test]
async fn hosted_roots_and_other_devices_deal_nothing() {
    let (world, boris) = World::hosted().await;
    let (of_anna, of_boris) = (world.device(), world.device_of(BORIS));
    let any = DealOrder::default();
    let refused = boris.deal_address_epochs(&login(BORIS), &of_boris.root(), &any).await;
    assert_eq!(code(refused), "ADDRESSES_HOSTED");
    let refused = boris.deal_address_epochs(&login(BORIS), &of_anna.root(), &any).await;
    assert_eq!(code(refused), "VAULT_OTHER_ACCOUNT");
    let (world, anna, _) = days().await;
    let empty = world.device();
    let refused = anna.deal_address_epochs(&login(ANNA), &empty.root(), &any).await;
    assert_eq!(code(refused), "ADDRESS_ROOT_MISSING");
    assert_eq!(recorded(&world), 0);
}

#[tokio::test]
async fn what_only_looks_like_a_payment_keeps_no_epoch_from_being_dealt() {
    let (world, anna, device) = World::own_in_the_morning().await;
    let meta = anna.own_meta_address(&device.root()).await.unwrap();
    world.client(CLARA).await.pay_to_meta_address(&meta.meta_address).await.unwrap();
    world.pass(2 * DAY_MS);
    let dealt = deal(&anna, &device, &DealOrder::default()).await.unwrap().unwrap();
    assert_eq!(dealt.unconfirmed, 1, "and that is said");
    assert_eq!(device.book().payments(), []);
}

#[tokio::test]
async fn a_list_of_announcements_without_end_is_refused() {
    let (world, anna, device) = days().await;
    let (before, pages) = (first(&device), AtomicU64::new(1));
    let more = move || AnnouncedResponse {
        payments: Vec::new(),
        next_leaf_index: pages.fetch_add(1, Ordering::Relaxed),
    };
    world.lie(Lies { announced: Some(Box::new(move |_, _| more())), ..Lies::default() });
    assert_eq!(code(deal(&anna, &device, &DealOrder::default()).await), "ADDRESSES_SUBSTITUTED");
    assert_eq!((first(&device), recorded(&world)), (before, 0));
}
