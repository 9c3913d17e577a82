//! Keepers that deal a key's shares anew among themselves.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use keyward_crypto::shared::Step;
use keyward_domain::Coded as _;

use super::{
    super::world::{World, address_of, id_of, signing},
    forged,
    world::{Made, Wish},
};
use crate::{Circle, CircleError, Heard, Keeper, KeeperError, Refused, Said, shared::RefreshWord};

const INTERVAL: Duration = Duration::from_secs(1_000);
const INTERVAL_MS: u64 = 1_000_000;
const MESSAGE: &[u8] = b"pay nobody";

/// The way between the keepers of a key; one of them may lie about what it deals.
struct Line {
    keepers: Mutex<Vec<(String, Keeper)>>,
    liar: Option<u8>,
}

impl Circle for Line {
    fn say<'a>(&'a self, address: &'a str, said: Said) -> Heard<'a> {
        Box::pin(async move {
            let found = self.keepers.lock().unwrap().iter().find(|(known, _)| known == address).cloned();
            let (_, keeper) = found.unwrap();
            let answer = keeper.confer(&said).await.map_err(|error| CircleError {
                address: address.to_owned(),
                source: Refused { code: error.code().name().into(), message: error.to_string() }.into(),
            })?;
            let deals = RefreshWord::decode(&said.word).unwrap().dealt.is_none();
            Ok(match self.liar {
                // The last piece, for keeper 3, does not open there.
                Some(liar) if deals && address_of(liar) == address => forged(&answer, &signing(liar)),
                _ => answer,
            })
        })
    }
}

fn join(world: &World, liar: Option<u8>) -> Arc<Line> {
    let keepers = [1, 2, 3].map(|number| (address_of(number), world.keeper(number).clone()));
    let line = Arc::new(Line { keepers: Mutex::new(keepers.to_vec()), liar });
    for number in [1, 2, 3] {
        world.keeper(number).join(line.clone(), INTERVAL);
    }
    line
}

/// Lets each keeper have a turn.
async fn turns(world: &World) {
    for _ in 0..3 {
        for number in [1, 2, 3] {
            world.keeper(number).round().await.unwrap();
        }
        world.pass(INTERVAL_MS / 100);
    }
}

/// What the user does when the shares were dealt anew: its own are the same.
async fn look_up(world: &World, made: &mut Made) {
    let keeper = world.keeper(1);
    let facts = keeper.shared_key(&made.key_id).await.unwrap();
    made.key = keeper.share_now(&facts).await.unwrap().key.clone();
    made.share.check(&made.key).unwrap();
    assert_eq!(world.shared_state(&made.key_id).key_hash, made.key.hash());
}

#[tokio::test]
async fn old_shares_are_dealt_anew_once_and_the_users_own_stays() {
    let world = World::new();
    let mut made = world.make_key(&Wish::default()).await;
    let old = world.folder_of(5).with_file_name("old");
    world.copy(&world.folder_of(2), &old);
    let _line = join(&world, None);
    turns(&world).await;
    assert_eq!(world.shared_state(&made.key_id).share_version, 1, "too young");
    world.pass(INTERVAL_MS);
    turns(&world).await;
    assert_eq!(world.shared_state(&made.key_id).share_version, 2);
    assert_eq!([1, 2, 3].map(|number| world.files(number)), [1; 3], "old shares are gone");
    look_up(&world, &mut made).await;
    for (intent, signers) in [(1, [1, 2]), (2, [2, 3])] {
        made.sign(&world, made.try_to(intent, 1, &signers, MESSAGE)).await.unwrap();
    }
    // A disk that is put back holds nothing of these shares.
    let mut world = world;
    let back = world.folder_of(2);
    world.copy(&old, &back);
    world.restart(2);
    let attempt = made.try_to(3, 1, &[1, 2], MESSAGE);
    let refused = world.keeper(2).commit(&super::world::caller(), &attempt.plan, &attempt.device).await;
    assert_eq!(super::code(refused), "SHARED_SHARE_MISSING");
    world.keeper(2).round().await.unwrap();
    assert_eq!(world.files(2), 0);
}

#[tokio::test]
async fn a_dealer_that_lies_is_left_out() {
    for liar in [1, 2] {
        let world = World::new();
        let mut made = world.make_key(&Wish::default()).await;
        let _line = join(&world, Some(liar));
        world.pass(INTERVAL_MS);
        turns(&world).await;
        // Whoever begins deals itself without a way; the others do not believe the liar.
        assert!(world.shared_state(&made.key_id).share_version >= 2);
        look_up(&world, &mut made).await;
        made.sign(&world, made.try_to(1, 1, &[1, 3], MESSAGE)).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_else_and_nobody_too_early_has_shares_dealt_anew() {
    let world = World::new();
    let made = world.make_key(&Wish::default()).await;
    let _line = join(&world, None);
    let word = RefreshWord {
        key_id: made.key_id,
        key_hash: made.key.hash(),
        dealers: vec![1, 2],
        attempt: 1,
        dealt: None,
    };
    let ask = async |from: u8, word: &RefreshWord| {
        let ids = [&id_of(from), &id_of(1)];
        let now_ms = world.chain().now_ms;
        let said = Said::new(&signing(from), &super::super::chain::CHAIN, ids, now_ms, word.encode());
        world.keeper(1).confer(&said).await
    };
    let code = |refused: Result<Vec<u8>, KeeperError>| refused.unwrap_err().code().name();
    assert_eq!(code(ask(2, &word).await), "VAULT_WORD_REFUSED", "too early");
    world.pass(INTERVAL_MS / 2);
    assert_eq!(code(ask(4, &word).await), "VAULT_WORD_REFUSED", "no keeper of the key");
    let stale = RefreshWord { key_hash: [1; 32], ..word.clone() };
    assert_eq!(code(ask(2, &stale).await), "SHARED_VERSION_STALE");
    let others = RefreshWord { dealers: vec![1, 2, 3], ..word.clone() };
    assert_eq!(code(ask(2, &others).await), "SHARED_MESSAGE_REFUSED", "not exactly the threshold");
    let shift = ask(2, &word).await.unwrap();
    assert_eq!(ask(3, &word).await.unwrap(), shift, "asked again");
    assert_eq!(keyward_crypto::shared::Message::decode(&shift).unwrap().step(), Step::Shift);
    let missing = RefreshWord { dealt: Some((world.chain().now_ms + 1, vec![shift])), ..word };
    assert_eq!(code(ask(2, &missing).await), "SHARED_MESSAGE_REFUSED");
    assert_eq!(world.files(1), 1);
}
