//! What keepers take, keep and let go of.

use keyward_domain::viewing_deposit_message;
use keyward_ledger_core::{
    ed25519,
    entry::{Act, AddressAct, Custody, DealViewing},
    state::{
        keeper::{KeeperState, keeper_key},
        layout::{AccountState, CredentialState, account_key, credential_key},
    },
    unlinkable::{DealtRun, EDGE_MS},
};
use keyward_proto::custody::{
    DepositViewingRequest, OpenViewingRequest, viewing_keepers_server::ViewingKeepers as _,
};
use tonic::{Request, Status};

use super::{
    super::{
        chain::{CHAIN, Sight},
        world::{ACCOUNT, World, files, id_of, owner, signing},
    },
    code,
    world::{AUDITOR, Dealt, EPOCH_MS, FIRST, IN_TIME_MS, auditor},
};
use crate::{EXPIRES_MAX_MS, ViewingFace};

#[tokio::test]
async fn an_acknowledgement_is_the_keepers_own_over_exactly_this_run_and_is_repeated() {
    let mut world = World::with_addresses();
    let dealt = world.deal(FIRST, FIRST + 4);
    let acknowledgements = world.give_all(&dealt).await;
    for (number, (id, signature)) in dealt.shares.iter().map(|(number, _)| *number).zip(&acknowledgements) {
        let message = dealt.run().acknowledgement_message(&CHAIN, id);
        ed25519::verify(&signing(number).public_key(), &message, signature).unwrap();
        assert_eq!(world.files(number), 1);
    }
    world.restart(1);
    assert_eq!(world.give_all(&dealt).await, acknowledgements, "also after a start");
    assert!(world.record_dealt(&dealt, acknowledgements.clone()).1.is_accepted());
    assert_eq!(world.give_all(&dealt).await, acknowledgements, "also once it is recorded");
    // A share that was lost is taken again as long as somebody has it.
    std::fs::remove_dir_all(world.folder_of(1)).unwrap();
    world.restart(1);
    world.set_present(5, false);
    world.give(1, &dealt).await.unwrap();
    assert_eq!(world.files(1), 1);
}

#[tokio::test]
async fn a_deposit_that_is_wrong_in_one_thing_is_refused_and_changes_nothing() {
    let world = World::with_addresses();
    let good = world.deal(FIRST, FIRST + 4);
    let deposit = async |dealt: &Dealt, share: &[u8], signed: &[u8; 64]| {
        code(world.keeper(1).deposit_viewing(&dealt.dealing.encode(), share, signed).await)
    };
    let bytes = good.dealing.encode();
    let malformed = world.keeper(1).deposit_viewing(&bytes[1..], good.share(1), &good.signed()).await;
    assert_eq!(code(malformed), "VIEWING_REQUEST_MALFORMED");
    assert_eq!(deposit(&good, good.share(2), &good.signed()).await, "VIEWING_SHARE_REFUSED");
    assert_eq!(deposit(&good, b"", &good.signed()).await, "VIEWING_SHARE_REFUSED");
    let again = world.deal(FIRST, FIRST + 4);
    assert_eq!(
        deposit(&good, again.share(1), &good.signed()).await,
        "VIEWING_SHARE_REFUSED",
        "another dealing's"
    );
    assert_eq!(deposit(&again, good.share(1), &good.signed()).await, "VIEWING_DEPOSIT_UNSIGNED");
    let message = viewing_deposit_message(&CHAIN, &good.dealing.hash());
    let foreign = auditor().sign(&message);
    assert_eq!(deposit(&good, good.share(1), &foreign).await, "VIEWING_DEPOSIT_UNSIGNED");
    let elsewhere = owner().sign(&viewing_deposit_message(&[1; 32], &good.dealing.hash()));
    assert_eq!(deposit(&good, good.share(1), &elsewhere).await, "VIEWING_DEPOSIT_UNSIGNED");
    for run in [(FIRST + 1, FIRST + 4), (FIRST - 1, FIRST + 4), (0, 0)] {
        assert_eq!(code(world.give(1, &world.deal(run.0, run.1)).await), "DEALING_GAP");
    }
    assert_eq!(code(world.give(1, &world.deal(FIRST, FIRST + 10)).await), "EPOCH_UNDER_WAY");
    let without = world.deal_to(ACCOUNT, (FIRST, FIRST), &[2, 3, 4]);
    let refused = deposit(&without, without.share(2), &without.signed()).await;
    assert_eq!(refused, "VIEWING_SHARE_REFUSED", "we are none of its keepers");
    assert_eq!(world.files(1), 0);
}

#[tokio::test]
async fn only_accounts_with_their_own_root_deal_and_each_for_itself() {
    let world = World::new();
    world.pass(100 * EPOCH_MS);
    let early = world.deal(FIRST, FIRST);
    assert_eq!(code(world.give(1, &early).await), "ADDRESSES_UNKNOWN");
    assert!(world.choose(ACCOUNT, Custody::Hosted).is_accepted());
    assert_eq!(code(world.give(1, &early).await), "ADDRESSES_UNKNOWN");
    let own = World::with_addresses();
    let foreign = own.deal_to(AUDITOR, (FIRST, FIRST), &[1, 2, 3]);
    let signed = auditor().sign(&viewing_deposit_message(&CHAIN, &foreign.dealing.hash()));
    let refused = own.keeper(1).deposit_viewing(&foreign.dealing.encode(), foreign.share(1), &signed).await;
    assert_eq!(code(refused), "ADDRESSES_UNKNOWN");
    let good = own.deal(FIRST, FIRST);
    let credential = CredentialState { version: 2, public_key: auditor().public_key() };
    own.set_state(credential_key(&ACCOUNT), credential.encode());
    assert_eq!(
        code(own.give(1, &good).await),
        "VIEWING_DEPOSIT_UNSIGNED",
        "it has another credential by now"
    );
    own.set_state(account_key(&ACCOUNT), AccountState { open: false, height: 2 }.encode());
    assert_eq!(code(own.give(1, &good).await), "VIEWING_DEPOSIT_UNSIGNED");
    assert_eq!([own.files(1), world.files(1)], [0, 0]);
}

#[tokio::test]
async fn keepers_of_a_dealing_are_those_of_the_ledger_and_ours_is_as_it_is_here() {
    let world = World::with_addresses();
    let dealt = world.deal(FIRST, FIRST);
    world.set_present(5, false);
    assert_eq!(code(world.give(1, &dealt).await), "VIEWING_KEEPER_UNKNOWN");
    world.set_present(5, true);
    let key = keeper_key(&id_of(1));
    let mut state = KeeperState::decode(&world.state(&key).unwrap()).unwrap();
    state.keeper.hpke_key = [7; 32];
    world.set_state(key, state.encode());
    assert_eq!(code(world.give(1, &dealt).await), "VIEWING_KEEPER_UNKNOWN");
    world.give(2, &dealt).await.unwrap();
    world.see(3, Sight::Away);
    assert_eq!(code(world.give(3, &dealt).await), "LEDGER_UNAVAILABLE");
    assert_eq!([1, 2, 3].map(|number| world.files(number)), [0, 1, 0]);
}

#[tokio::test]
async fn bytes_that_are_changed_on_their_way_are_refused_and_change_nothing() {
    let world = World::with_addresses();
    let dealt = world.deal(FIRST, FIRST + 1);
    let (bytes, share, signed) = (dealt.dealing.encode(), dealt.share(1), dealt.signed());
    let keeper = world.keeper(1);
    for place in (0..bytes.len()).step_by(5) {
        let mut other = bytes.clone();
        other[place] ^= 1;
        assert!(keeper.deposit_viewing(&other, share, &signed).await.is_err(), "byte {place}");
    }
    for place in (0..share.len()).step_by(3) {
        let mut other = share.to_vec();
        other[place] ^= 1;
        let refused = keeper.deposit_viewing(&bytes, &other, &signed).await;
        assert_eq!(code(refused), "VIEWING_SHARE_REFUSED", "byte {place}");
    }
    assert_eq!(world.files(1), 0);
    keeper.deposit_viewing(&bytes, share, &signed).await.unwrap();
}

#[tokio::test]
async fn a_share_that_nobody_records_goes_once_nobody_can_and_not_before_and_repeats_do_not_help_it() {
    let mut world = World::with_addresses();
    let dealt = world.deal(FIRST, FIRST);
    let acknowledgement = world.give(1, &dealt).await.unwrap();
    world.pass(IN_TIME_MS);
    assert_eq!(world.give(1, &dealt).await.unwrap(), acknowledgement, "it still may be recorded");
    world.restart(1);
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 1);
    world.pass(1);
    assert_eq!(code(world.give(1, &dealt).await), "AUTHOR_SIGNATURE_EXPIRED");
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 0);
}

#[tokio::test]
async fn no_share_is_taken_that_would_wait_for_longer_than_half_a_day_or_for_nothing() {
    let world = World::with_addresses();
    let now_ms = world.chain().now_ms;
    let give = async |expires_ms: u64| {
        let dealt = World::deal_until(ACCOUNT, (FIRST, FIRST), expires_ms, &[1, 2, 3, 4, 5]);
        world.give(1, &dealt).await
    };
    for expires_ms in [0, now_ms - 1, now_ms + EXPIRES_MAX_MS + 1, u64::MAX] {
        assert_eq!(code(give(expires_ms).await), "AUTHOR_SIGNATURE_EXPIRED", "{expires_ms}");
    }
    assert_eq!(world.files(1), 0);
    for expires_ms in [now_ms, now_ms + EXPIRES_MAX_MS] {
        give(expires_ms).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_held_back_is_recorded_while_all_hold_it_or_not_at_all() {
    for late_ms in [0, 1] {
        let mut world = World::with_addresses();
        let dealt = world.deal(FIRST, FIRST);
        let acknowledgements = world.give_all(&dealt).await;
        world.pass(IN_TIME_MS + late_ms);
        // Rounds and restarts before the record, whoever is quicker.
        for number in [1, 2] {
            world.restart(number);
            world.keeper(number).round().await.unwrap();
        }
        // Another end than was acknowledged is none.
        let longer = DealtRun { expires_ms: u64::MAX, ..dealt.run() };
        let forged = DealViewing { run: longer, threshold: 3, acknowledgements: acknowledgements.clone() };
        let refused = world.record_act(Act::Addresses(AddressAct::Deal(forged)), true).1;
        assert_eq!(refused.name(), "VAULT_ACKNOWLEDGEMENT_INVALID");
        let recorded = world.record_dealt(&dealt, acknowledgements).1;
        assert_eq!(recorded.is_accepted(), late_ms == 0, "{recorded:?}");
        for number in 1..=5 {
            world.keeper(number).round().await.unwrap();
        }
        let held = [1, 2, 3, 4, 5].map(|number| world.files(number));
        assert_eq!(held, [1 - late_ms as usize; 5]);
        if late_ms == 1 {
            assert_eq!(recorded.name(), "EXPIRED");
            world.dealt(FIRST, FIRST).await;
            continue;
        }
        let key = world.issue(FIRST, FIRST);
        let leaf = world.opened(FIRST, FIRST);
        let mut gathering = world.gathering(&dealt, &key, leaf);
        for number in [2, 3, 5] {
            let part = world.keeper(number).open_viewing(leaf, FIRST).await.unwrap();
            gathering.part(&key, &id_of(number), &part).unwrap();
        }
        gathering.cover().unwrap();
    }
}

#[tokio::test]
async fn a_keeper_that_is_cut_off_erases_nothing_that_may_have_been_recorded_since() {
    let world = World::with_addresses();
    let dealt = world.deal(FIRST, FIRST);
    let acknowledgements = world.give_all(&dealt).await;
    let before = world.chain().clone();
    world.see(1, Sight::Past(Box::new(before)));
    assert!(world.record_dealt(&dealt, acknowledgements).1.is_accepted());
    world.pass(2 * IN_TIME_MS);
    drop(world.keeper(1).round().await);
    assert_eq!(world.files(1), 1);
    world.see(1, Sight::Clear);
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 1);
}

#[tokio::test]
async fn of_two_dealings_of_one_run_the_recorded_one_stays_for_good() {
    let mut world = World::with_addresses();
    let (one, other) = (world.deal(FIRST, FIRST + 1), world.deal(FIRST, FIRST + 3));
    world.give_all(&one).await;
    let acknowledgements = world.give_all(&other).await;
    assert_eq!(world.files(1), 2);
    assert!(world.record_dealt(&other, acknowledgements).1.is_accepted());
    assert_eq!(code(world.give(2, &one).await), "DEALING_GAP");
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 1);
    world.pass(2 * IN_TIME_MS);
    world.restart(1);
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 1);
    // The next run follows on it.
    world.dealt(FIRST + 4, FIRST + 9).await;
    assert_eq!(world.files(1), 2);
}

#[tokio::test]
async fn a_damaged_share_that_waits_is_replaced_or_goes_and_holds_no_other_up() {
    let world = World::with_addresses();
    let dealt = world.deal(FIRST, FIRST);
    let acknowledgements = world.give_all(&dealt).await;
    let file = files(&world.folder_of(1)).remove(0);
    let whole = std::fs::read(&file).unwrap();
    for len in [0, 1, whole.len() - 1] {
        std::fs::write(&file, &whole[..len]).unwrap();
        world.give(1, &dealt).await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap().len(), whole.len());
    }
    std::fs::write(&file, b"").unwrap();
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 0, "nobody can use what does not open");
    world.give(1, &dealt).await.unwrap();
    assert!(world.record_dealt(&dealt, acknowledgements).1.is_accepted());
    world.keeper(1).round().await.unwrap();
    let file = files(&world.folder_of(1)).remove(0);
    std::fs::write(&file, b"").unwrap();
    world.give(1, &dealt).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap().len(), whole.len(), "in its place");
    assert_eq!(world.files(1), 1);
}

#[tokio::test]
async fn a_flood_of_one_account_takes_its_own_places_and_room_comes_back() {
    let world = World::with_addresses();
    for _ in 0..8 {
        world.give(1, &world.deal(FIRST, FIRST)).await.unwrap();
    }
    let late = world.deal(FIRST, FIRST + 1);
    assert_eq!(code(world.give(1, &late).await), "SERVICE_BUSY");
    assert_eq!(world.files(1), 8);
    world.pass(IN_TIME_MS + 1);
    world.keeper(1).round().await.unwrap();
    world.give(1, &world.deal(FIRST, FIRST + 1)).await.unwrap();
    assert_eq!(world.files(1), 1);
}

#[tokio::test]
async fn runs_of_many_days_are_dealt_one_after_the_other_and_wait_for_no_round() {
    let world = World::with_addresses();
    for epoch in FIRST..FIRST + 9 {
        world.dealt(epoch, epoch).await;
    }
    assert_eq!(world.files(1), 9);
}

fn told(status: &Status) -> &str {
    status.metadata().get("keyward-code").unwrap().to_str().unwrap()
}

#[tokio::test]
async fn over_the_network_refusals_carry_codes_and_a_caller_has_its_places() {
    let world = World::with_addresses();
    world.pass(EDGE_MS);
    let face = ViewingFace::with(world.keeper(1).clone(), 2);
    let deposit = async |dealt: &Dealt, signature: &[u8]| {
        let (dealing, share) = (dealt.dealing.encode().into(), dealt.share(1).to_vec().into());
        let request = DepositViewingRequest { dealing, share, signature: signature.to_vec().into() };
        face.deposit(Request::new(request)).await.map(|answer| answer.into_inner().acknowledgement)
    };
    let dealt = [(); 3].map(|()| world.deal(FIRST, FIRST));
    assert_eq!(told(&deposit(&dealt[0], &[0; 63]).await.unwrap_err()), "VIEWING_REQUEST_MALFORMED");
    for unsigned in &dealt {
        assert_eq!(told(&deposit(unsigned, &[0; 64]).await.unwrap_err()), "VIEWING_DEPOSIT_UNSIGNED");
    }
    assert_eq!(deposit(&dealt[0], &dealt[0].signed()).await.unwrap().len(), 64);
    deposit(&dealt[1], &dealt[1].signed()).await.unwrap();
    let full = deposit(&dealt[2], &dealt[2].signed()).await.unwrap_err();
    assert_eq!(
        (told(&full), full.metadata().get("keyward-retry").unwrap().to_str().unwrap()),
        ("SERVICE_BUSY", "true")
    );
    deposit(&dealt[0], &dealt[0].signed()).await.unwrap();
    let open = OpenViewingRequest { opened_leaf_index: 99, first_epoch: FIRST };
    let refused = face.open(Request::new(open)).await.unwrap_err();
    assert_eq!((refused.code(), told(&refused)), (tonic::Code::PermissionDenied, "VIEWING_NOT_OPENED"));
}

#[tokio::test]
async fn of_an_account_that_the_ledger_does_not_know_nothing_is_erased() {
    let world = World::with_addresses();
    world.dealt(FIRST, FIRST).await;
    world.keeper(1).round().await.unwrap();
    world.chain().state.remove(&account_key(&ACCOUNT));
    for _ in 0..=u8::MAX {
        world.keeper(1).round().await.unwrap();
    }
    assert_eq!(world.files(1), 1, "it sees another ledger");
}
