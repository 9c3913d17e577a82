//! Signing with addresses of a hosted root: the service derives, and what it answers must verify.

use keyward_client::addresses::{AddressOrder, Which};
use keyward_domain::scheme::{PublicKey, Scheme, verify};
use keyward_ledger_verify::verify_receipt;
use keyward_proto::custody::SignAddressResponse;

use crate::addresses::world::{Lies, MESSAGE, World, code, order};

#[tokio::test]
async fn a_fresh_address_signs_and_its_receipt_verifies_without_anybody() {
    let (world, boris) = World::hosted().await;
    let trust = world.chain.lock().unwrap().trust_file();
    for (order, scheme) in [(order(), Scheme::EcdsaSecp256k1), (order().bip340(), Scheme::Bip340)] {
        let signed = boris.sign_address(&order, Which::Fresh).await.unwrap();
        let signature = &signed.signature;
        verify(&signature.public_key, MESSAGE, &signature.signature).unwrap();
        assert_eq!(signature.public_key.scheme(), scheme);
        assert_eq!(signature.address.is_some(), scheme == Scheme::EcdsaSecp256k1);
        assert!(PublicKey::parse(Scheme::EcdsaSecp256k1, &signed.address).is_ok());
        let verdict = verify_receipt(&trust, &signature.receipt, Some(MESSAGE)).unwrap();
        assert_eq!((verdict.entry_kind, verdict.leaf_index), ("use-address", signed.leaf_index));
    }
}

#[tokio::test]
async fn an_address_signs_once_and_a_digest_as_well() {
    let (_world, boris) = World::hosted().await;
    let given = boris.next_addresses(1).await.unwrap()[0].address;
    let digest = AddressOrder::digest(&[7; 32]).unwrap();
    let signed = boris.sign_address(&digest, Which::Given(given)).await.unwrap();
    assert_eq!(signed.address, given);
    assert_eq!(code(boris.sign_address(&order(), Which::Given(given)).await), "ADDRESS_USED");
}

#[tokio::test]
async fn a_message_of_keywards_own_is_no_payload() {
    let (world, boris) = World::hosted().await;
    let message = b"\x19keyward/address-intent/v1 and so on".to_vec();
    let refused = boris.sign_address(&AddressOrder::message(message).unwrap(), Which::Fresh).await;
    assert!(refused.is_err());
    assert_eq!(world.called("signed"), 0);
}

type Twist = fn(SignAddressResponse) -> SignAddressResponse;

#[tokio::test]
async fn signatures_of_another_address_message_or_record_are_refused() {
    let (world, boris) = World::hosted().await;
    let other =
        boris.sign_address(&AddressOrder::message(&b"other"[..]).unwrap(), Which::Fresh).await.unwrap();
    let twists: [(&str, Twist); 4] = [
        ("ADDRESSES_SUBSTITUTED", |said| SignAddressResponse { source: None, ..said }),
        ("ADDRESSES_SUBSTITUTED", |said| SignAddressResponse { public_key: vec![2; 32].into(), ..said }),
        ("ADDRESSES_SUBSTITUTED", |mut said| {
            said.source.as_mut().unwrap().epoch -= 1;
            said
        }),
        ("ADDRESSES_UNPROVEN", |said| {
            let mut receipt = said.receipt.to_vec();
            let middle = receipt.len() / 2;
            receipt[middle] ^= 1;
            SignAddressResponse { receipt: receipt.into(), ..said }
        }),
    ];
    for (expected, twist) in twists {
        world.lie(Lies { signed: Some(Box::new(move |_, said| twist(said))), ..Lies::default() });
        assert_eq!(code(boris.sign_address(&order(), Which::Fresh).await), expected);
    }
    // A whole answer that was true of another order; alone, its receipt or its signature.
    let whole = SignAddressResponse {
        public_key: other.address.to_vec().into(),
        signature: other.signature.signature.clone().into(),
        receipt: other.signature.receipt.clone().into(),
        source: None,
    };
    let foreign: [fn(&SignAddressResponse, SignAddressResponse) -> SignAddressResponse; 3] = [
        |whole, said| SignAddressResponse { source: said.source, ..whole.clone() },
        |whole, said| SignAddressResponse { receipt: whole.receipt.clone(), ..said },
        |whole, said| SignAddressResponse { signature: whole.signature.clone(), ..said },
    ];
    for lie in foreign {
        let whole = whole.clone();
        world.lie(Lies { signed: Some(Box::new(move |_, said| lie(&whole, said))), ..Lies::default() });
        assert_eq!(code(boris.sign_address(&order(), Which::Fresh).await), "ADDRESSES_SUBSTITUTED");
    }
    world.lie(Lies::default());
    let given = boris.next_addresses(2).await.unwrap();
    let told = given[1].address.to_vec();
    world.lie(Lies {
        signed: Some(Box::new(move |_, said| SignAddressResponse {
            public_key: told.clone().into(),
            ..said
        })),
        ..Lies::default()
    });
    let refused = boris.sign_address(&order(), Which::Given(given[0].address)).await;
    assert_eq!(code(refused), "ADDRESSES_SUBSTITUTED");
}

#[tokio::test]
async fn nothing_is_believed_without_a_trust_file() {
    let (world, _) = World::hosted().await;
    let boris = world.untrusting(crate::addresses::world::BORIS).await;
    assert_eq!(code(boris.sign_address(&order(), Which::Fresh).await), "ADDRESSES_TRUST_MISSING");
    assert_eq!(world.called("signed"), 0);
}
