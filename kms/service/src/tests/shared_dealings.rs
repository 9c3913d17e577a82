//! Shares that are dealt anew: by keepers alone, without the service, and by all holders, through it.

use bytes::Bytes;
use keyward_crypto::shared::{Dealt, Message, Refresh, Renewal as Run, Roster, SharedKey, SharedScheme};
use keyward_domain::{Code, scheme::verify};
use keyward_ledger_core::{
    entry::{Entry, Renewal, SharedAct, SharedIntent, SharedRenewal},
    shared::{Circle, acknowledge},
};
use keyward_store::Custody as Place;

use super::{
    co_signers::Part,
    delegation::Somebody,
    keepers::{Manner, keeper_id, keeper_signing_key},
    treasury::{KEEPERS, Treasury, circle, device_of, say, unsigned},
    world::{CHAIN, Mood, code},
};
use crate::shared::entries::HandIn;

/// The record of shares dealt anew, with every new holder's word.
fn record(treasury: &Treasury, renewal: Renewal, numbers: &[u8], key: &SharedKey) -> SharedAct {
    let keepers = numbers.iter().map(|number| keeper_id(*number)).collect();
    let mut wanted = SharedRenewal {
        key_id: treasury.key_id,
        share_version: key.share_version(),
        renewal,
        circle: Circle { threshold: 2, keepers },
        device: device_of(&treasury.device),
        key_hash: key.hash(),
        expires_ms: 1_000_000 + 60_000,
        acknowledgements: Vec::new(),
    };
    let hash = wanted.record_hash();
    let signed = (1..).zip(numbers);
    wanted.acknowledgements = signed
        .map(|(place, number)| acknowledge(&keeper_signing_key(*number), &CHAIN, &hash, place))
        .collect();
    SharedAct::Renew(Box::new(wanted))
}

fn said(part: &Part, message: impl FnOnce(&Part) -> Message) -> (Message, Vec<u8>) {
    let message = message(part);
    let bytes = message.encode();
    (message, bytes)
}

/// The keepers deal among themselves, and the ledger records it without this service.
fn refresh(treasury: &mut Treasury) {
    let run = Refresh::new(treasury.key.clone(), treasury.roster.clone(), &[1, 2], 1).unwrap();
    let dealt = [1, 2].map(|number| {
        treasury.keeper(number, |room| {
            said(&room.part, |part| run.deal(number, |bytes| part.signer().sign(bytes)).unwrap())
        })
    });
    let messages: Vec<_> = dealt.iter().map(|(_, bytes)| bytes.clone()).collect();
    let agreed = run.agree(&messages).unwrap();
    for number in KEEPERS {
        let own = dealt.iter().map(|(message, _)| message).find(|message| message.from() == number);
        treasury.keeper(number, |room| {
            let share = room.part.dealt.as_ref().unwrap().share();
            room.part.dealt = Some(agreed.receive(share, own, &room.part.sealing).unwrap());
        });
    }
    let key = treasury.keeper(1, |room| room.part.dealt.as_ref().unwrap().key().clone());
    let act = record(treasury, Renewal::Refresh, &KEEPERS, &key);
    let recorded = treasury.world.ledger.record(Entry::decode(&unsigned(act)).unwrap());
    assert!(crate::ports::Final::outcome(&recorded).is_accepted());
    treasury.key = key;
}

async fn row(treasury: &Treasury) -> Vec<u8> {
    let row = treasury.world.custody.store.key(treasury.key_id.0).await.unwrap().unwrap();
    let Place::Shared { shared_key } = row.custody else { panic!() };
    shared_key
}

#[tokio::test]
async fn a_refresh_of_the_keepers_is_found_out_and_a_keeper_is_believed_for_the_ledgers_hash_alone() {
    let mut treasury = Treasury::new(SharedScheme::Ed25519).await;
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"")).await.unwrap();
    let stale = treasury.attempt(b"pay", &[1, 2], b"");
    let before = row(&treasury).await;
    refresh(&mut treasury);
    // What was signed for shares before them: the ledger says so, and the next look too.
    assert_eq!(code(treasury.begin(&stale).await), Code::SharedVersionStale);
    // One keeper is away, one shows something else.
    treasury.world.keepers.set(1, Manner::Away);
    let former = SharedKey::decode(&before).unwrap();
    assert_ne!(former.hash(), treasury.key.hash());
    let done = treasury.sign(treasury.attempt(b"pay", &[2, 3], b"")).await.unwrap();
    verify(&done.output_key, b"pay", &done.signed.signature).unwrap();
    assert_eq!(row(&treasury).await, treasury.key.encode());
    let r = [4; 32];
    let intent = SharedIntent { share_version: 1, ..treasury.intent(b"pay", &r, &[2, 3]) };
    assert_eq!(
        code(treasury.begin(&treasury.attempt_at(intent, (b"pay", r), b"")).await),
        Code::SharedVersionStale
    );
}

#[tokio::test]
async fn where_no_keeper_shows_the_key_nothing_is_signed() {
    let mut treasury = Treasury::new(SharedScheme::Ed25519).await;
    refresh(&mut treasury);
    for number in KEEPERS {
        treasury.world.keepers.set(number, Manner::Away);
    }
    let attempt = treasury.attempt(b"pay", &[1, 2], b"");
    assert_eq!(code(treasury.begin(&attempt).await), Code::KeeperUnavailable);
    assert_eq!(treasury.intents(), 0);
}

/// The device and keepers 1 and 2 deal to the device and keepers 2 and 3. Nothing is kept yet.
fn renew(treasury: &Treasury) -> (SharedKey, Roster, Vec<Dealt>) {
    let owner = treasury.alice.account();
    let keepers = [2, 3].map(|number| treasury.keeper(number, |room| room.part.holder(keeper_id(number))));
    let to = Roster::new(treasury.device.holder(owner), keepers.into(), 2).unwrap();
    let run = Run::new(treasury.key.clone(), treasury.roster.clone(), to.clone(), &[1, 2], 7).unwrap();
    let deal = |part: &Part| {
        let share = part.dealt.as_ref().unwrap().share();
        said(part, |part| run.deal(share, |bytes| part.signer().sign(bytes)).unwrap())
    };
    let dealt = [
        deal(&treasury.device),
        treasury.keeper(1, |room| deal(&room.part)),
        treasury.keeper(2, |room| deal(&room.part)),
    ];
    let messages: Vec<_> = dealt.iter().map(|(_, bytes)| bytes.clone()).collect();
    let agreed = run.agree(&messages).unwrap();
    let parts = vec![
        agreed.receive(0, Some(&dealt[0].0), &treasury.device.sealing).unwrap(),
        treasury.keeper(2, |room| agreed.receive(1, Some(&dealt[2].0), &room.part.sealing).unwrap()),
        treasury.keeper(3, |room| agreed.receive(2, None, &room.part.sealing).unwrap()),
    ];
    (parts[0].key().clone(), to, parts)
}

/// Everybody keeps what the renewal gave.
fn keep(treasury: &mut Treasury, key: SharedKey, to: Roster, parts: Vec<Dealt>) {
    let mut parts = parts.into_iter();
    treasury.device.dealt = parts.next();
    for (number, dealt) in [2, 3].into_iter().zip(parts) {
        treasury.keeper(number, |room| {
            room.part.dealt = Some(dealt);
            room.roster = Some(to.clone());
        });
    }
    (treasury.key, treasury.roster) = (key, to);
}

#[tokio::test]
async fn a_renewal_is_handed_in_with_the_key_to_come_and_its_holders_sign() {
    let mut treasury = Treasury::new(SharedScheme::Bip340).await;
    let (key, to, parts) = renew(&treasury);
    let entry = say(&treasury.world, &treasury.alice, record(&treasury, Renewal::Renew, &[2, 3], &key));
    let shared_key = key.encode();
    let (caller, custody) = (treasury.alice.caller.clone(), treasury.world.custody.clone());
    let bob = Somebody::new(&treasury.world, "bob").await;
    let what = HandIn { entry: &entry, shared_key: &shared_key, mark: b"renew" };
    assert_eq!(code(custody.change_shared(&bob.caller, what).await), Code::KeyUnknown);
    let former = HandIn { shared_key: &treasury.key.encode(), ..what };
    assert_eq!(code(custody.change_shared(&caller, former).await), Code::SharedKeyOther);
    let done = custody.change_shared(&caller, what).await.unwrap();
    assert_eq!(custody.change_shared(&caller, what).await.unwrap(), done, "once under its mark");
    assert_eq!(row(&treasury).await, shared_key);
    keep(&mut treasury, key, to, parts);
    let digest = super::treasury::DIGEST;
    treasury.sign(treasury.attempt(&digest, &[1, 2], b"")).await.unwrap();
    assert_ne!(circle().keepers.len(), usize::from(treasury.key.holders().keepers()));
}

#[tokio::test]
async fn a_renewal_that_was_recorded_unheard_is_settled() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let (key, to, parts) = renew(&treasury);
    let entry = say(&treasury.world, &treasury.alice, record(&treasury, Renewal::Renew, &[2, 3], &key));
    let (shared_key, before) = (Bytes::from(key.encode()), row(&treasury).await);
    let what = HandIn { entry: &entry, shared_key: &shared_key, mark: b"renew" };
    treasury.world.ledger.set(Mood::Deaf);
    let unheard = treasury.world.custody.change_shared(&treasury.alice.caller, what).await;
    assert_eq!(code(unheard), Code::LedgerUnavailable);
    treasury.world.ledger.set(Mood::Good);
    assert_eq!(row(&treasury).await, before);
    let mut treasury = treasury.restart().await;
    assert_eq!(treasury.world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!(row(&treasury).await, shared_key);
    treasury.world.custody.change_shared(&treasury.alice.caller, what).await.unwrap();
    assert_eq!(treasury.world.ledger.count(|entry| entry.name() == "renew-shared-key"), 1);
    keep(&mut treasury, key, to, parts);
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"")).await.unwrap();
}
