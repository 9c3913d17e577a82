//! Acting for somebody: counted first, within limits, and the signature is the one that was paid for.

use keyward_client::ClientError;
use keyward_client::delegation::{DelegationError, Request, Scope, ToSign};
use keyward_domain::scheme::verify;
use keyward_ledger_core::entry::{Entry, Intent};
use keyward_ledger_core::hash::commitment;
use keyward_ledger_core::receipt::Receipt;
use keyward_proto::custody::ActResponse;

use crate::delegation::face;
use crate::delegation::world::{
    ANNA, BORIS, CLARA, Lies, World, hosted, key_id, login, main_name, rule, terms,
};

const MESSAGE: &[u8] = b"pay 12.50 to clara";

fn acting(lie: impl Fn(&World, ActResponse) -> ActResponse + Send + 'static) -> Lies {
    Lies { acted: Some(Box::new(lie)), ..Lies::default() }
}

/// A request that Boris makes and signs.
async fn asked(world: &World, amount: u128) -> Request {
    let boris = world.client(BORIS).await;
    let mut request = boris.request_act(rule(ANNA), key_id(&ANNA), ToSign::Message(MESSAGE), amount).unwrap();
    world.sign(BORIS, &mut request).await;
    request
}

#[tokio::test]
async fn a_delegate_signs_within_the_limits_and_above_them_nothing_is_signed() {
    let world = World::trusting(&[BORIS], 1).await;
    let boris = world.client(BORIS).await;
    for amount in [60, 40] {
        let acted = boris.send_act(&asked(&world, amount).await).await.unwrap();
        verify(hosted(&ANNA).public_key(), MESSAGE, &acted.signature.signature).unwrap();
    }
    let error = boris.send_act(&asked(&world, 1).await).await.unwrap_err();
    assert!(matches!(&error, DelegationError::Client(ClientError::Refused(_))), "{error}");
    boris.send_act(&asked(&world, 0).await).await.unwrap();
    boris.send_act(&asked(&world, 0).await).await.unwrap_err();
    // Revoked, he acts no more, though he may still take the account back.
    world.client(ANNA).await.revoke_delegates(&login(ANNA), &main_name()).await.unwrap();
    let error = boris.send_act(&asked(&world, 0).await).await.unwrap_err();
    assert_eq!(error.code(), Some("DELEGATION_NOT_IN_FORCE"));
}

#[tokio::test]
async fn it_takes_as_many_as_the_account_said_and_only_for_its_own_keys() {
    let world = World::trusting(&[BORIS, CLARA], 2).await;
    let clara = world.client(CLARA).await;
    let mut request = asked(&world, 5).await;
    assert_eq!(clara.send_act(&request).await.unwrap_err().code(), Some("AUTHORS_MISSING"));
    request = Request::parse(&request.to_text()).unwrap();
    world.sign(CLARA, &mut request).await;
    clara.send_act(&request).await.unwrap();
    // Boris's own key is none of Anna's.
    let mut other = clara.request_act(rule(ANNA), key_id(&BORIS), ToSign::Message(MESSAGE), 0).unwrap();
    for account in [BORIS, CLARA] {
        world.sign(account, &mut other).await;
    }
    assert_eq!(clara.send_act(&other).await.unwrap_err().code(), Some("KEY_UNKNOWN"));
    assert!(clara.send_request(&request).await.is_err(), "an act is no recovery");
}

#[tokio::test]
async fn a_delegate_neither_appoints_nor_raises_its_limit_nor_hands_it_on() {
    let world = World::trusting(&[BORIS], 1).await;
    let (boris, clara) = (world.client(BORIS).await, world.client(CLARA).await);
    let before = world.client(ANNA).await.delegations(None).await.unwrap();
    // His own appointment is one of his own account: it says nothing of Anna's.
    boris.appoint_delegates(&login(BORIS), &main_name(), terms(&[CLARA], 1)).await.unwrap();
    world.pass(crate::delegation::world::DELAY_MS);
    let mut chained = clara.request_act(rule(ANNA), key_id(&ANNA), ToSign::Message(MESSAGE), 0).unwrap();
    let heard = chained.fingerprint();
    clara.sign_request(&login(CLARA), &mut chained, &heard).await.unwrap_err();
    let mut chained = clara.request_act(rule(BORIS), key_id(&ANNA), ToSign::Message(MESSAGE), 0).unwrap();
    world.sign(CLARA, &mut chained).await;
    assert_eq!(clara.send_act(&chained).await.unwrap_err().code(), Some("KEY_UNKNOWN"));
    let after = world.client(ANNA).await.delegations(None).await.unwrap();
    assert_eq!((after.changes, &after.delegations[0].next), (before.changes, &before.delegations[0].next));
    // Scope recover alone signs nothing.
    let anna = world.client(ANNA).await;
    let recover = keyward_client::delegation::DelegationTerms {
        scope: Scope::RECOVER,
        windows: Vec::new(),
        ..terms(&[BORIS], 1)
    };
    anna.appoint_delegates(&login(ANNA), &main_name(), recover).await.unwrap();
    world.pass(crate::delegation::world::DELAY_MS);
    let error = boris.send_act(&asked(&world, 0).await).await.unwrap_err();
    assert_eq!(error.code(), Some("DELEGATION_NOT_IN_FORCE"));
}

#[tokio::test]
async fn a_signature_that_was_not_paid_for_by_this_act_is_refused() {
    let world = World::trusting(&[BORIS], 1).await;
    let boris = world.client(BORIS).await;
    let refused = async |lie: Lies, what: &str| {
        world.lie(lie);
        let error = boris.send_act(&asked(&world, 0).await).await.unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    };
    refused(acting(|_, answer| ActResponse { signed: None, ..answer }), "no signature").await;
    refused(
        acting(|world, answer| ActResponse { act_receipt: world.snapshot().receipt(0).into(), ..answer }),
        "the receipt of another entry",
    )
    .await;
    // An intent of the service's own, which opens to the same payload, and is not the act's.
    refused(
        acting(|world, mut answer| {
            let mut chain = world.chain.lock().unwrap();
            let r = [0x33; 32];
            let intent = Intent {
                id: [0x34; 32],
                key_id: key_id(&ANNA),
                executor: [0x55; 32],
                commitment: commitment(&r, &keyward_ledger_core::hash::sha256(&[MESSAGE])),
                policy: face::policy().hash,
                not_after: chain.height + 10,
            };
            answer.signed = Some(face::signed(&mut chain, intent, &r, MESSAGE));
            answer
        }),
        "a signature of another act",
    )
    .await;
}

#[tokio::test]
async fn a_signature_under_another_policy_set_than_the_account_named_is_refused() {
    let world = World::start().await;
    let anna = world.client(ANNA).await;
    let named = keyward_client::delegation::DelegationTerms { policy: [7; 32], ..terms(&[BORIS], 1) };
    anna.appoint_delegates(&login(ANNA), &main_name(), named).await.unwrap();
    world.pass(crate::delegation::world::DELAY_MS);
    let boris = world.client(BORIS).await;
    let error = boris.send_act(&asked(&world, 0).await).await.unwrap_err();
    assert!(error.to_string().contains("another policy set"), "{error}");
}

#[tokio::test]
async fn the_act_stands_on_the_ledger_before_its_intent_and_is_asked_again_under_its_own_mark() {
    let world = World::trusting(&[BORIS], 1).await;
    let boris = world.client(BORIS).await;
    let request = asked(&world, 1).await;
    let acted = boris.send_act(&request).await.unwrap();
    let intent = Receipt::decode(&acted.signature.receipt).unwrap().leaf_index;
    assert!(acted.done.leaf_index < intent);
    let chain = world.snapshot();
    let (entry, _) = chain.entry(acted.done.leaf_index).unwrap();
    assert!(matches!(Entry::decode(entry).unwrap(), Entry::Authored(_)));
    // A second time the toy service does not know the mark: the ledger refuses the repetition by its nonce.
    assert_eq!(boris.send_act(&request).await.unwrap_err().code(), Some("AUTHOR_REPLAYED"));
}
