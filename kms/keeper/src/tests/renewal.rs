//! New shares in time, and lost ones back: by the keepers of the vault alone, whoever carries their words.

use keyward_crypto::vault::Vault;
use keyward_ledger_core::state::keeper::{KeeperState, keeper_key};

use super::{
    chain::{CHAIN, Sight},
    code, recover,
    ring::{join, ring},
    world::{KEEPERS, SECRET, VAULT, Wish, World, id_of, signing, vault_name},
};
use crate::{
    REFRESH_INTERVAL, Said,
    word::{Lost, What, Word},
};

const DAY_MS: u64 = super::DAY_MS;

/// Has a keeper look after the usual vault.
async fn look(world: &World, number: u8) {
    world.keeper(number).0.noticed.insert(&vault_name());
    world.keeper(number).round().await.unwrap();
}

async fn look_all(world: &World) {
    for number in 1..=KEEPERS {
        look(world, number).await;
    }
}

/// The vault with its present shares, as a client finds it on the ledger.
async fn now(world: &World) -> Vault {
    world.keeper(1).vault_now(&world.vault(VAULT).unwrap()).await.unwrap()
}

fn share_version(world: &World) -> u32 {
    world.vault(VAULT).unwrap().share_version
}

fn interval_ms() -> u64 {
    u64::try_from(REFRESH_INTERVAL.as_millis()).unwrap()
}

/// Words about the usual vault.
fn word(world: &World, chosen: &[u8], what: What) -> Word {
    let vault = world.vault(VAULT).unwrap();
    Word { vault: vault_name(), shares: vault.shares, chosen: chosen.to_vec(), what }
}

fn said(world: &World, [from, to]: [u8; 2], word: &Word) -> Said {
    let now_ms = world.chain().now_ms;
    Said::new(&signing(from), &CHAIN, [&id_of(from), &id_of(to)], now_ms, word.encode())
}

#[tokio::test]
async fn shares_are_dealt_anew_in_time_and_open_the_same_vault() {
    let world = World::new();
    let first = world.seal(1, "correct horse").await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms() - 1);
    look_all(&world).await;
    assert_eq!(share_version(&world), 1, "not yet");
    world.pass(1);
    let old = world.attempt(&first, "correct horse");
    look(&world, 1).await;
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
    look_all(&world).await;
    assert_eq!(share_version(&world), 3);
    assert_eq!(recover(&world, &now(&world).await, "correct horse", &[2, 4, 5]).await, SECRET);
}

#[tokio::test]
async fn no_keeper_has_shares_dealt_before_their_time() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let deal = word(&world, &[1, 2, 3], What::Deal);
    let heard = world.keeper(2).confer(&said(&world, [1, 2], &deal)).await;
    assert_eq!(code(heard), "VAULT_WORD_REFUSED", "who has joined nobody deals nothing");
    let _ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms() / 2 - 1);
    assert_eq!(code(world.keeper(2).confer(&said(&world, [1, 2], &deal)).await), "VAULT_WORD_REFUSED");
    world.pass(1);
    let first = world.keeper(2).confer(&said(&world, [1, 2], &deal)).await.unwrap();
    assert_eq!(world.keeper(2).confer(&said(&world, [1, 2], &deal)).await.unwrap(), first, "asked again");
    let others = word(&world, &[1, 3, 4], What::Deal);
    assert!(world.keeper(2).confer(&said(&world, [1, 2], &others)).await.is_err(), "it is no dealer");
}

#[tokio::test]
async fn only_keepers_of_the_vault_are_heard_and_only_now() {
    let world = World::new();
    let wish = Wish { vault: VAULT, version: 1, password: "a", keepers: &[1, 2, 3, 4], threshold: 3 };
    world.seal_drafted(&world.draft_as(&wish)).await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms());
    let deal = word(&world, &[1, 2, 3], What::Deal);
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
    let key = keeper_key(&id_of(1));
    let mut left = KeeperState::decode(&world.state(&key).unwrap()).unwrap();
    left.present = false;
    world.set_state(key, left.encode());
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
        world.see(1, Sight::Mute);
        look(&world, 1).await;
        assert_eq!(share_version(&world), 1, "every keeper has acknowledged, and the ledger has not heard");
        assert!((1..=KEEPERS).all(|number| world.files(number) == 2));
        world.pass(3 * DAY_MS);
        for number in 2..=KEEPERS {
            if restarts {
                world.restart(number);
                join(&world, &ring, number);
            }
        }
        // The others' turns come later than three days.
        for number in 1..=KEEPERS {
            world.see(number, Sight::Mute);
            look(&world, number).await;
        }
        assert!((1..=KEEPERS).all(|number| world.files(number) >= 2), "both are held");
        (1..=KEEPERS).for_each(|number| world.see(number, Sight::Clear));
        look(&world, 1).await;
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
    look(&world, 1).await;
    assert_eq!(share_version(&world), 1);
    ring.down.lock().unwrap().clear();
    *ring.spoils.lock().unwrap() = true;
    look(&world, 1).await;
    assert_eq!(share_version(&world), 1);
    assert_eq!(recover(&world, &vault, "correct horse", &[1, 2, 5]).await, SECRET);
    *ring.spoils.lock().unwrap() = false;
    look(&world, 1).await;
    assert_eq!(share_version(&world), 2);
    assert_eq!(recover(&world, &now(&world).await, "correct horse", &[1, 2, 5]).await, SECRET);
}

#[tokio::test]
async fn another_keeper_begins_when_the_first_one_does_not() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    world.pass(interval_ms());
    for number in 2..=KEEPERS {
        look(&world, number).await;
    }
    assert_eq!(share_version(&world), 1, "the first keeper's turn");
    world.pass(3 * 60 * 60 * 1_000);
    look(&world, 3).await;
    assert_eq!(share_version(&world), 1);
    look(&world, 2).await;
    assert_eq!(share_version(&world), 2);
}

#[tokio::test]
async fn a_lost_share_comes_back_from_the_others() {
    let mut world = World::new();
    world.seal(1, "correct horse").await;
    let ring = ring(&world, REFRESH_INTERVAL);
    look_all(&world).await;
    for version in [1, 2] {
        std::fs::remove_dir_all(world.folder_of(1)).unwrap();
        world.restart(1);
        join(&world, &ring, 1);
        // The first one that could help does not.
        ring.down.lock().unwrap().insert(2);
        let lost = world.keeper(1).drill(&vault_name(), &[1; 32]).await;
        assert_eq!(code(lost), "VAULT_SHARE_MISSING");
        world.keeper(1).round().await.unwrap();
        ring.down.lock().unwrap().clear();
        world.keeper(1).drill(&vault_name(), &[1; 32]).await.unwrap();
        let vault = now(&world).await;
        assert_eq!(vault.shares().share_version, version);
        assert_eq!(recover(&world, &vault, "correct horse", &[1, 2, 3]).await, SECRET);
        world.pass(interval_ms());
        look(&world, 1).await;
        look_all(&world).await;
        assert_eq!(share_version(&world), version + 1);
    }
}

#[tokio::test]
async fn too_few_or_spoilt_helpers_repair_nothing() {
    let mut world = World::new();
    world.seal(1, "correct horse").await;
    let ring = ring(&world, REFRESH_INTERVAL);
    look_all(&world).await;
    std::fs::remove_dir_all(world.folder_of(1)).unwrap();
    world.restart(1);
    join(&world, &ring, 1);
    ring.down.lock().unwrap().extend([2, 3]);
    look(&world, 1).await;
    assert_eq!(world.files(1), 0);
    ring.down.lock().unwrap().clear();
    *ring.spoils.lock().unwrap() = true;
    look(&world, 1).await;
    assert_eq!(world.files(1), 0);
    *ring.spoils.lock().unwrap() = false;
    look(&world, 1).await;
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
