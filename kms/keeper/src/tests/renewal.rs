//! New shares in time, and lost ones back: by the keepers of the vault alone, whoever carries their words.

use keyward_crypto::vault::{Dealing, Vault};
use keyward_domain::Coded as _;
use keyward_ledger_core::hash::Hash;

use super::{
    chain::{CHAIN, Sight},
    code, recover,
    ring::{Lie, Ring, join, ring},
    world::{KEEPERS, OTHER_VAULT, SECRET, VAULT, Wish, World, files, id_of, named, signing, vault_name},
};
use crate::{
    EXPIRES_MAX_MS, KeeperError, REFRESH_INTERVAL, Said,
    chest::Share as _,
    confer::refresh,
    held::{Bond, Held},
    place::Place,
    renew::handed,
    renewed::PROMISE_MS,
    word::{Handed, Lost, Reply, What, Word},
};

const DAY_MS: u64 = super::DAY_MS;
const TURN_MS: u64 = 10 * 60 * 1_000;

/// Has a keeper look after its vaults.
pub(super) async fn look(world: &World, number: u8) {
    try_look(world, number).await.unwrap();
}

async fn try_look(world: &World, number: u8) -> Result<(), KeeperError> {
    [VAULT, OTHER_VAULT].iter().for_each(|vault| {
        world.keeper(number).0.noticed.insert(&named(*vault));
    });
    world.keeper(number).round().await
}

async fn look_all(world: &World) {
    for number in 1..=world.keepers.len() {
        look(world, u8::try_from(number).unwrap()).await;
    }
}

/// Lets time pass until it is the turn of the holder at a place, of so many who stay.
pub(super) fn await_turn(world: &World, place: u8, of: u64) {
    while world.chain().now_ms / TURN_MS % of != u64::from(place) - 1 {
        world.pass(TURN_MS);
    }
}

/// Has the keeper at a place of so many begin what is to be begun.
async fn look_in_turn(world: &World, place: u8, of: u64) {
    await_turn(world, place, of);
    look(world, place).await;
}

/// The vault with its present shares, as a client finds it on the ledger.
pub(super) async fn now(world: &World) -> Vault {
    world.keeper(1).vault_now(&world.vault(VAULT).unwrap()).await.unwrap()
}

pub(super) fn share_version(world: &World) -> u32 {
    world.vault(VAULT).unwrap().share_version
}

fn interval_ms() -> u64 {
    u64::try_from(REFRESH_INTERVAL.as_millis()).unwrap()
}

/// Words about the usual vault.
pub(super) fn word(world: &World, chosen: &[u8], what: What) -> Word {
    let vault = world.vault(VAULT).unwrap();
    Word { vault: vault_name(), shares: vault.shares, chosen: chosen.to_vec(), what }
}

pub(super) fn ids(numbers: &[u8]) -> Vec<Hash> {
    numbers.iter().map(|number| id_of(*number)).collect()
}

pub(super) fn deal_to(numbers: &[u8]) -> What {
    What::Deal { to: ids(numbers) }
}

pub(super) fn said(world: &World, [from, to]: [u8; 2], word: &Word) -> Said {
    let now_ms = world.chain().now_ms;
    Said::new(&signing(from), &CHAIN, [&id_of(from), &id_of(to)], now_ms, word.encode())
}

/// A renewal among all five that a keeper leads by hand: what the ledger is to be told, and everybody's promises.
async fn promised(world: &World, from: u8, dealers: &[u8]) -> What {
    let to = ids(&[1, 2, 3, 4, 5]);
    let say = async |number: u8, what: What| {
        world.keeper(number).confer(&said(world, [from, number], &word(world, dealers, what))).await.unwrap()
    };
    let mut dealings = Vec::new();
    for dealer in dealers {
        dealings.push(Dealing::decode(&say(*dealer, What::Deal { to: to.clone() }).await).unwrap());
    }
    let renewal =
        world.keeper(from).renewal(&world.vault(VAULT).unwrap(), &to, dealers.to_vec()).await.unwrap();
    let handouts = dealings.iter().map(|dealing| dealing.handout.clone()).collect();
    let expires_ms = world.chain().now_ms + PROMISE_MS;
    let refresh = refresh(&vault_name(), &renewal.agree(handouts).unwrap(), expires_ms).encode();
    let mut promises = Vec::new();
    for number in 1..=KEEPERS {
        let handed = handed(&dealings, usize::from(number) - 1);
        let reply = say(number, What::Take { to: to.clone(), expires_ms, handed }).await;
        let Some(Reply::Done(promise)) = Reply::decode(&reply) else { panic!("{reply:?}") };
        promises.push(promise.try_into().unwrap());
    }
    What::Acknowledge { refresh, promises }
}

#[tokio::test]
async fn shares_are_dealt_anew_in_time_and_open_the_same_vault() {
    let world = World::new();
    let first = world.seal(1, "correct horse").await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms() - 6 * TURN_MS);
    for place in 1..=KEEPERS {
        look_in_turn(&world, place, 5).await;
    }
    assert_eq!(share_version(&world), 1, "not yet");
    world.pass(6 * TURN_MS);
    let old = world.attempt(&first, "correct horse");
    look_in_turn(&world, 1, 5).await;
    assert_eq!(share_version(&world), 2);
    let refused = world.keeper(1).evaluate(old.leaf, &old.request.element).await;
    assert_eq!(code(refused), "VAULT_VERSION_STALE");
    look_all(&world).await;
    for number in 1..=KEEPERS {
        assert_eq!(world.files(number), 1, "the share before is erased");
        assert_eq!(world.holder(VAULT, number).erased, 0, "of a version that is held nothing is said");
    }
    assert_eq!(share_version(&world), 2, "once");
    let second = now(&world).await;
    for keepers in [[1, 2, 3], [3, 4, 5], [1, 3, 5]] {
        assert_eq!(recover(&world, &second, "correct horse", &keepers).await, SECRET);
    }
    world.pass(interval_ms());
    look_in_turn(&world, 4, 5).await;
    assert_eq!(share_version(&world), 3);
    assert_eq!(recover(&world, &now(&world).await, "correct horse", &[2, 4, 5]).await, SECRET);
}

#[tokio::test]
async fn no_keeper_has_shares_dealt_before_their_time() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let deal = word(&world, &[1, 2, 3], deal_to(&[1, 2, 3, 4, 5]));
    let heard = world.keeper(2).confer(&said(&world, [1, 2], &deal)).await;
    assert_eq!(code(heard), "VAULT_WORD_REFUSED", "who has joined nobody deals nothing");
    let _ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms() / 2 - 1);
    assert_eq!(code(world.keeper(2).confer(&said(&world, [1, 2], &deal)).await), "VAULT_WORD_REFUSED");
    world.pass(1);
    let first = world.keeper(2).confer(&said(&world, [1, 2], &deal)).await.unwrap();
    assert_eq!(world.keeper(2).confer(&said(&world, [1, 2], &deal)).await.unwrap(), first, "asked again");
    assert_eq!(world.keeper(2).confer(&said(&world, [3, 2], &deal)).await.unwrap(), first, "by another");
    let others = word(&world, &[1, 3, 4], deal_to(&[1, 2, 3, 4, 5]));
    assert!(world.keeper(2).confer(&said(&world, [1, 2], &others)).await.is_err(), "it is no dealer");
}

#[tokio::test]
async fn only_keepers_of_the_vault_are_heard_and_only_now() {
    let world = World::new();
    let wish = Wish { vault: VAULT, version: 1, password: "a", keepers: &[1, 2, 3, 4], threshold: 3 };
    world.seal_drafted(&world.draft_as(&wish)).await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms());
    let deal = word(&world, &[1, 2, 3], deal_to(&[1, 2, 3, 4]));
    let right = said(&world, [1, 2], &deal);
    let mut wrong = vec![said(&world, [1, 3], &deal), said(&world, [5, 2], &deal)];
    wrong.push(Said { from: id_of(3), ..right.clone() });
    wrong.push(Said { from: [9; 32], ..right.clone() });
    wrong.push(Said { time_ms: right.time_ms + 1, ..right.clone() });
    wrong.push(Said { signature: [0; 64], ..right.clone() });
    let late = Said::new(&signing(1), &CHAIN, [&id_of(1), &id_of(2)], right.time_ms - 60_001, deal.encode());
    wrong.push(late);
    let elsewhere = Said::new(&signing(1), &[1; 32], [&id_of(1), &id_of(2)], right.time_ms, deal.encode());
    wrong.push(elsewhere);
    for (place, wrong) in wrong.iter().enumerate() {
        assert_eq!(code(world.keeper(2).confer(wrong).await), "VAULT_WORD_REFUSED", "{place}");
    }
    let torn =
        Said::new(&signing(1), &CHAIN, [&id_of(1), &id_of(2)], right.time_ms, deal.encode()[1..].to_vec());
    assert_eq!(code(world.keeper(2).confer(&torn).await), "VAULT_REQUEST_MALFORMED");
    let old = Word { shares: [1; 32], ..deal.clone() };
    assert_eq!(code(world.keeper(2).confer(&said(&world, [1, 2], &old)).await), "VAULT_VERSION_STALE");
    world.keeper(2).confer(&right).await.unwrap();
    // One that has left is not heard any more.
    world.set_present(1, false);
    assert_eq!(code(world.keeper(2).confer(&right).await), "VAULT_WORD_REFUSED");
}

#[tokio::test]
async fn a_renewal_that_is_held_back_for_days_costs_nobody_its_share() {
    for restarts in [false, true] {
        let mut world = World::new();
        world.seal(1, "correct horse").await;
        let ring = ring(&world, REFRESH_INTERVAL);
        look_all(&world).await;
        world.pass(interval_ms());
        await_turn(&world, 1, 5);
        world.see(1, Sight::Mute);
        assert_eq!(code(try_look(&world, 1).await), "LEDGER_UNAVAILABLE");
        assert_eq!(share_version(&world), 1, "every keeper has acknowledged, and the ledger has not heard");
        assert!((1..=KEEPERS).all(|number| world.files(number) == 2));
        world.pass(3 * DAY_MS);
        for number in 2..=KEEPERS {
            if restarts {
                world.restart(number);
                join(&world, &ring, number);
            }
        }
        for number in 1..=KEEPERS {
            world.see(number, Sight::Mute);
            await_turn(&world, number, 5);
            assert_eq!(code(try_look(&world, number).await), "LEDGER_UNAVAILABLE");
        }
        assert!((1..=KEEPERS).all(|number| world.files(number) >= 2), "both are held");
        world.pass(2 * DAY_MS);
        (1..=KEEPERS).for_each(|number| world.see(number, Sight::Clear));
        look_in_turn(&world, 1, 5).await;
        assert_eq!(share_version(&world), 2);
        look_all(&world).await;
        assert!((1..=KEEPERS).all(|number| world.files(number) == 1));
        assert_eq!(recover(&world, &now(&world).await, "correct horse", &[1, 2, 5]).await, SECRET);
    }
}

#[tokio::test]
async fn a_silent_keeper_or_a_liar_on_the_way_stops_a_renewal_and_nothing_else() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    let ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms());
    ring.down.lock().unwrap().insert(5);
    look_in_turn(&world, 1, 5).await;
    assert_eq!(share_version(&world), 1);
    assert_eq!(world.files(4), 2, "one promised share");
    assert_eq!(world.keeper(1).trouble(), None, "not for long");
    world.pass(17 * TURN_MS);
    look_all(&world).await;
    look_in_turn(&world, 1, 5).await;
    let trouble = world.keeper(1).trouble().unwrap();
    assert!(trouble.contains("`keeper-5` does not do its part"), "{trouble}");
    world.pass(PROMISE_MS + 1);
    look(&world, 4).await;
    assert_eq!(world.files(4), 1, "what was promised and never acknowledged goes");
    ring.down.lock().unwrap().clear();
    *ring.spoils.lock().unwrap() = true;
    look_in_turn(&world, 1, 5).await;
    assert_eq!(share_version(&world), 1);
    assert_eq!(recover(&world, &vault, "correct horse", &[1, 2, 5]).await, SECRET);
    *ring.spoils.lock().unwrap() = false;
    world.pass(TURN_MS);
    look_in_turn(&world, 1, 5).await;
    assert_eq!(share_version(&world), 2);
    assert_eq!(world.keeper(1).trouble(), None);
    assert_eq!(recover(&world, &now(&world).await, "correct horse", &[1, 2, 5]).await, SECRET);
}

#[tokio::test]
async fn another_keeper_begins_when_the_first_one_does_not() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms());
    await_turn(&world, 1, 5);
    for number in 2..=KEEPERS {
        look(&world, number).await;
    }
    assert_eq!(share_version(&world), 1, "the first keeper's turn");
    world.pass(TURN_MS);
    look(&world, 3).await;
    assert_eq!(share_version(&world), 1);
    look(&world, 2).await;
    assert_eq!(share_version(&world), 2);
}

#[tokio::test]
async fn a_dealer_that_lies_is_left_out_and_the_shares_are_dealt_by_others() {
    for lie in [Lie::Columns, Lie::Pieces] {
        let world = World::new();
        world.seal(1, "correct horse").await;
        let ring = ring(&world, REFRESH_INTERVAL);
        world.pass(interval_ms());
        ring.lies.lock().unwrap().insert(2, lie);
        look_in_turn(&world, 1, 5).await;
        assert_eq!(share_version(&world), 2, "{lie:?}");
        assert_eq!(recover(&world, &now(&world).await, "correct horse", &[1, 2, 5]).await, SECRET);
    }
}

#[tokio::test]
async fn who_promises_and_keeps_silent_binds_the_others_once() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms());
    ring.lies.lock().unwrap().insert(4, Lie::GoesSilent);
    for _ in 0..6 {
        look_in_turn(&world, 1, 5).await;
        world.pass(TURN_MS);
    }
    assert_eq!(share_version(&world), 1);
    assert!(world.files(2) <= 3, "one acknowledged, one promised: {}", world.files(2));
    ring.lies.lock().unwrap().clear();
    look_in_turn(&world, 1, 5).await;
    assert_eq!(share_version(&world), 2);
}

#[tokio::test]
async fn a_vault_with_a_silent_keeper_keeps_no_other_waiting() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let wish = Wish { vault: OTHER_VAULT, version: 1, password: "a", keepers: &[1, 2, 3, 4], threshold: 2 };
    world.seal_drafted(&world.draft_as(&wish)).await;
    let ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms());
    ring.down.lock().unwrap().insert(5);
    // Both are to be begun by the first keeper.
    while !(world.chain().now_ms / TURN_MS).is_multiple_of(20) {
        world.pass(TURN_MS);
    }
    look(&world, 1).await;
    assert_eq!(share_version(&world), 1);
    assert_eq!(world.vault(OTHER_VAULT).unwrap().share_version, 2);
    assert_eq!(ring.asked.lock().unwrap()[&5], 1, "who kept silent is not waited for twice");
    // In the next turn it is tried again, and not before.
    look(&world, 1).await;
    assert_eq!(ring.asked.lock().unwrap()[&5], 1);
}

#[tokio::test]
async fn a_share_that_cannot_be_read_keeps_no_other_from_coming_back() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    look_all(&world).await;
    let unreadable = files(&world.folder_of(1));
    let wish = Wish { vault: OTHER_VAULT, version: 1, password: "a", keepers: &[1, 2, 3, 4], threshold: 2 };
    world.seal_drafted(&world.draft_as(&wish)).await;
    look_all(&world).await;
    for path in files(&world.folder_of(1)) {
        std::fs::remove_file(&path).unwrap();
        if unreadable.contains(&path) {
            std::fs::create_dir(&path).unwrap();
        }
    }
    let _said = try_look(&world, 1).await;
    world.keeper(1).drill(&named(OTHER_VAULT), &[1; 32]).await.unwrap();
    world.keeper(1).drill(&vault_name(), &[1; 32]).await.unwrap_err();
}

#[tokio::test]
async fn a_lost_share_comes_back_by_itself() {
    let mut world = World::new();
    world.seal(1, "correct horse").await;
    let ring = ring(&world, REFRESH_INTERVAL);
    look_all(&world).await;
    for version in [1, 2] {
        std::fs::remove_dir_all(world.folder_of(1)).unwrap();
        world.restart(1);
        join(&world, &ring, 1);
        // The first one that could help does not. Nobody has asked for the share either.
        ring.down.lock().unwrap().insert(2);
        world.keeper(1).round().await.unwrap();
        ring.down.lock().unwrap().clear();
        world.keeper(1).drill(&vault_name(), &[1; 32]).await.unwrap();
        let vault = now(&world).await;
        assert_eq!(vault.shares().share_version, version);
        assert_eq!(recover(&world, &vault, "correct horse", &[1, 2, 3]).await, SECRET);
        world.pass(interval_ms());
        look_in_turn(&world, 1, 5).await;
        look_all(&world).await;
        assert_eq!(share_version(&world), version + 1);
    }
}

#[tokio::test]
async fn a_keeper_with_an_old_disk_gets_what_it_missed_and_erases_what_was_replaced() {
    let mut world = World::new();
    world.seal(1, "correct horse").await;
    let ring = ring(&world, REFRESH_INTERVAL);
    look_all(&world).await;
    let copy = world.folder_of(100);
    world.copy(&world.folder_of(3), &copy);
    world.pass(interval_ms());
    look_in_turn(&world, 2, 5).await;
    look_all(&world).await;
    world.copy(&copy, &world.folder_of(3));
    world.restart(3);
    join(&world, &ring, 3);
    assert_eq!(code(world.keeper(3).drill(&vault_name(), &[1; 32]).await), "VAULT_SHARE_MISSING");
    world.keeper(3).round().await.unwrap();
    world.keeper(3).round().await.unwrap();
    assert_eq!(world.files(3), 1);
    assert_eq!(recover(&world, &now(&world).await, "correct horse", &[1, 3, 4]).await, SECRET);
}

#[tokio::test]
async fn helpers_that_lie_are_worked_around() {
    let lies = [Lie::Columns, Lie::Pieces, Lie::Sum, Lie::Complains(3), Lie::Complains(9), Lie::GoesSilent];
    for lie in lies {
        let mut world = World::new();
        world.seal(1, "correct horse").await;
        let ring = ring(&world, REFRESH_INTERVAL);
        look_all(&world).await;
        std::fs::remove_dir_all(world.folder_of(1)).unwrap();
        world.restart(1);
        join(&world, &ring, 1);
        ring.lies.lock().unwrap().insert(2, lie);
        world.keeper(1).round().await.unwrap();
        assert_eq!(world.files(1), 1, "{lie:?}");
        assert_eq!(recover(&world, &now(&world).await, "correct horse", &[1, 4, 5]).await, SECRET);
    }
}

#[tokio::test]
async fn too_few_or_spoilt_helpers_repair_nothing_and_it_is_tried_again() {
    let mut world = World::new();
    world.seal(1, "correct horse").await;
    let ring = ring(&world, REFRESH_INTERVAL);
    look_all(&world).await;
    std::fs::remove_dir_all(world.folder_of(1)).unwrap();
    world.restart(1);
    join(&world, &ring, 1);
    ring.down.lock().unwrap().extend([2, 3]);
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 0);
    world.see(1, Sight::Away);
    assert_eq!(code(world.keeper(1).round().await), "LEDGER_UNAVAILABLE");
    world.see(1, Sight::Clear);
    ring.down.lock().unwrap().clear();
    *ring.spoils.lock().unwrap() = true;
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 0);
    *ring.spoils.lock().unwrap() = false;
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 1);
}

#[tokio::test]
async fn nobody_asks_for_the_share_of_another() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    let lost = Lost { index: 1, nonce: [7; 32] };
    let split = word(&world, &[2, 3, 5], What::Split { lost, request: [0; 64] });
    assert_eq!(code(world.keeper(2).confer(&said(&world, [4, 2], &split)).await), "VAULT_WORD_REFUSED");
    let refused = world.keeper(2).confer(&said(&world, [1, 2], &split)).await;
    assert_eq!(code(refused), "VAULT_SHARE_REFUSED", "it has not signed for it");
}

#[tokio::test]
async fn a_keeper_that_begins_again_and_again_has_one_promise_of_each() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    look_all(&world).await;
    world.pass(interval_ms());
    for dealers in [[1, 2, 3], [1, 2, 5], [2, 3, 5], [1, 3, 5]] {
        promised(&world, 4, &dealers).await;
        assert_eq!(world.files(2), 2, "{dealers:?}");
    }
    promised(&world, 3, &[1, 2, 3]).await;
    assert_eq!(world.files(2), 3, "another keeper has its own");
    look_in_turn(&world, 1, 5).await;
    look_all(&world).await;
    assert_eq!((share_version(&world), world.files(2)), (2, 1));
}

#[tokio::test]
async fn nothing_is_acknowledged_before_everybody_has_promised_the_same() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms());
    let right = promised(&world, 4, &[1, 2, 3]).await;
    let What::Acknowledge { refresh, promises } = right.clone() else { unreachable!() };
    let hear = async |refresh: &[u8], promises: &[[u8; 64]]| {
        let what = What::Acknowledge { refresh: refresh.to_vec(), promises: promises.to_vec() };
        world.keeper(2).confer(&said(&world, [4, 2], &word(&world, &[1, 2, 3], what))).await
    };
    let mut forged = promises.clone();
    forged[4] = forged[3];
    assert_eq!(code(hear(&refresh, &forged).await), "VAULT_WORD_REFUSED");
    assert_eq!(code(hear(&refresh, &promises[..4]).await), "VAULT_REQUEST_MALFORMED");
    assert_eq!(code(hear(&refresh[1..], &promises).await), "VAULT_REQUEST_MALFORMED");
    // A refresh that nobody has seen.
    let mut other = refresh.clone();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(code(hear(&other, &promises).await), "VAULT_WORD_REFUSED");
    let first = hear(&refresh, &promises).await.unwrap();
    assert_eq!(hear(&refresh, &promises).await.unwrap(), first, "asked again");
    // Bound: it stays until the ledger takes it no more for long, and over a restart.
    world.pass(DAY_MS);
    let keeper = world.open_keeper(2, &world.folder_of(2));
    keeper.round().await.unwrap();
    assert_eq!(world.files(2), 2);
    assert_eq!(code(hear(&refresh, &promises).await), "AUTHOR_SIGNATURE_EXPIRED");
    world.pass(1);
    keeper.round().await.unwrap();
    assert_eq!(world.files(2), 1);
}

#[tokio::test]
async fn nothing_is_promised_for_longer_than_it_is_kept() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms());
    let (now_ms, to) = (world.chain().now_ms, ids(&[1, 2, 3, 4, 5]));
    for expires_ms in [0, now_ms - 1, now_ms + EXPIRES_MAX_MS + 1, u64::MAX] {
        let handed = Handed { handouts: Vec::new(), pieces: Vec::new() };
        let take = word(&world, &[1, 2, 3], What::Take { to: to.clone(), expires_ms, handed });
        let refused = world.keeper(2).confer(&said(&world, [1, 2], &take)).await;
        assert_eq!(code(refused), "AUTHOR_SIGNATURE_EXPIRED", "{expires_ms}");
    }
}

#[tokio::test]
async fn a_keeper_that_finishes_nothing_binds_the_others_four_times_a_day() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms());
    let bind = async |from: u8, dealers: &[u8]| {
        let acknowledge = promised(&world, from, dealers).await;
        world.keeper(2).confer(&said(&world, [from, 2], &word(&world, dealers, acknowledge))).await
    };
    for dealers in [[1, 2, 3], [1, 2, 5], [2, 3, 5], [1, 3, 5]] {
        bind(4, &dealers).await.unwrap();
    }
    assert_eq!(code(bind(4, &[1, 2, 4]).await), "SERVICE_BUSY");
    bind(3, &[1, 2, 4]).await.unwrap();
    world.pass(DAY_MS);
    bind(4, &[2, 3, 4]).await.unwrap();
}

#[tokio::test]
async fn a_dealer_that_starts_again_and_deals_otherwise_is_blamed_by_nobody_and_breaks_nothing() {
    let mut world = World::new();
    world.seal(1, "correct horse").await;
    let ring: std::sync::Arc<Ring> = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms());
    let dealers = [1, 2, 3];
    let before = promised(&world, 4, &dealers).await;
    world.restart(2);
    join(&world, &ring, 2);
    let after = promised(&world, 4, &dealers).await;
    assert_ne!(before, after, "it has forgotten what it dealt");
    // Nobody holds a share of the first any more.
    let late = world.keeper(1).confer(&said(&world, [4, 1], &word(&world, &dealers, before))).await;
    assert!(matches!(late, Err(KeeperError::NoShare)), "{late:?}");
    look_in_turn(&world, 4, 5).await;
    assert_eq!(share_version(&world), 2);
    assert_eq!(recover(&world, &now(&world).await, "correct horse", &[1, 2, 5]).await, SECRET);
}

#[tokio::test]
async fn one_keeper_takes_no_turns_of_others() {
    let world = World::new();
    let turns = &world.keeper(1).0.turns;
    let taken: Vec<_> = (0..4).map(|_| turns.word(&id_of(2)).unwrap()).collect();
    assert_eq!(turns.word(&id_of(2)).unwrap_err().code().name(), "SERVICE_BUSY");
    turns.word(&id_of(3)).unwrap();
    drop(turns.costly().unwrap());
    drop(taken);
    turns.word(&id_of(2)).unwrap();
}

#[tokio::test]
async fn a_share_is_kept_as_ever_and_one_of_a_renewal_with_its_bond() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let place = Place::now(&world.vault(VAULT).unwrap());
    let held = world.keeper(1).0.shares.load(&place).unwrap().unwrap();
    let bytes = held.encode();
    assert_eq!((bytes[0], held.bond), (1, Bond::Sealed), "the bytes of folders of before");
    for bond in [Bond::Promised { to: 3 }, Bond::Acknowledged { to: 16 }] {
        let share = Held::decode(&bytes).unwrap().share;
        let encoded = Held { place, kept_ms: 7, bond, share }.encode();
        let read = Held::decode(&encoded).unwrap();
        assert_eq!((encoded[0], read.bond, read.kept_ms, read.place), (2, bond, 7, place));
        let mut other = encoded.to_vec();
        other[9] = 3;
        assert!(Held::decode(&other).is_none(), "no such bond");
        assert!(Held::decode(&encoded[..10]).is_none());
    }
}
