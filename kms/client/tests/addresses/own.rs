//! Signing with addresses of an own root: what the service makes is opened here before the address vouches for it.

use keyward_client::addresses::{AddressOrder, AddressSource, AddressesError, Which};
use keyward_crypto::unlinkable::{AddressRoot, ViewingLeaf};
use keyward_domain::detail::{ApprovedBy, Detail, Source};
use keyward_domain::scheme::{Scheme, verify};
use keyward_ledger_core::entry::{HandleLimit, UseAddress};
use keyward_ledger_verify::verify_receipt;
use keyward_proto::custody::{BeginAddressResponse, RecordAddressResponse, SignAddressResponse};
use zeroize::Zeroizing;

use crate::addresses::world::{CLARA, Lies, MESSAGE, World, code, order};

#[tokio::test]
async fn an_own_address_signs_once_and_its_receipt_verifies_without_anybody() {
    let (world, anna, device) = World::own().await;
    let trust = world.chain.lock().unwrap().trust_file();
    for order in [order(), order().bip340()] {
        let signed = anna.sign_own_address(&device.root(), &order, Which::Fresh).await.unwrap();
        verify(&signed.signature.public_key, MESSAGE, &signed.signature.signature).unwrap();
        assert_eq!(signed.signature.public_key.scheme(), order.scheme());
        let verdict = verify_receipt(&trust, &signed.signature.receipt, Some(MESSAGE)).unwrap();
        assert_eq!(verdict.leaf_index, signed.leaf_index);
        let again = anna.sign_own_address(&device.root(), &order, Which::Given(signed.address)).await;
        assert_eq!(code(again), "ADDRESS_USED");
    }
    assert_eq!(world.called("begun"), 2, "what was used is not even asked for");
    assert_eq!(
        code(anna.sign_own_address(&device.root(), &order(), Which::Given([2; 33])).await),
        "ADDRESS_UNKNOWN"
    );
}

#[tokio::test]
async fn an_address_of_an_epoch_that_is_over_signs_no_more() {
    let (world, anna, device) = World::own().await;
    let given = anna.next_own_addresses(&device.root(), 2).await.unwrap();
    // At the edge both epochs are under way.
    let left = world.epoch_ms - world.chain.lock().unwrap().time_ms % world.epoch_ms;
    world.pass(left + 1);
    anna.sign_own_address(&device.root(), &order(), Which::Given(given[0].address)).await.unwrap();
    world.pass(10_000);
    let late = anna.sign_own_address(&device.root(), &order(), Which::Given(given[1].address)).await;
    assert_eq!(code(late), "ADDRESS_EPOCH");
}

#[tokio::test]
async fn a_use_whose_end_went_by_is_begun_again_with_the_same_address() {
    let (world, anna, device) = World::own().await;
    world.lie(Lies { stale: 1, ..Lies::default() });
    let signed = anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap();
    assert!(matches!(signed.source, AddressSource::Index { index: 0, .. }));
    assert_eq!((world.called("begun"), world.called("recorded")), (2, 1));
    // Not for ever; and then it goes on where it stopped.
    let given = anna.next_own_addresses(&device.root(), 1).await.unwrap().remove(0);
    world.lie(Lies { stale: 2, ..Lies::default() });
    let which = Which::Given(given.address);
    let stale = anna.sign_own_address(&device.root(), &order(), which).await;
    assert_eq!(code(stale), "ADDRESS_INTENT_STALE");
    assert_eq!(anna.uncertain_uses(&device.root()).await.unwrap().len(), 1);
    world.lie(Lies { stale: 1, ..Lies::default() });
    // The service has forgotten it, as after each refusal: an address of an index is given up then.
    assert_eq!(code(anna.sign_own_address(&device.root(), &order(), which).await), "ADDRESS_USED");
    anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap();
}

type Twist<T> = fn(T) -> T;
type Told = Box<dyn Fn(RecordAddressResponse) -> RecordAddressResponse + Send>;

/// Of an own address that begins, something is refused by that name, and the address vouches for nothing.
async fn refused(lies: Lies, expected: &str) -> AddressesError {
    let (world, anna, device) = World::own().await;
    world.lie(lies);
    let error = anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap_err();
    assert_eq!(error.code(), Some(expected), "{error}");
    assert_eq!(world.called("recorded"), 0, "{error}");
    error
}

#[tokio::test]
async fn an_intent_that_differs_from_what_was_asked_is_not_vouched_for() {
    let lies: [(&str, Twist<UseAddress>); 8] = [
        ("another payload", |used| UseAddress { commitment: [7; 32], ..used }),
        ("another epoch", |used| UseAddress { epoch: used.epoch + 1, ..used }),
        ("another epoch", |used| UseAddress { epoch_ms: used.epoch_ms + 1, ..used }),
        ("another scheme", |used| UseAddress { scheme: Scheme::Bip340, ..used }),
        ("another address", |used| UseAddress { public_key: [2; 33], ..used }),
        ("another address", |mut used| {
            // The same x, and so the same address on the ledger.
            used.public_key[0] ^= 1;
            used
        }),
        ("a handle", |used| UseAddress {
            limit: Some(HandleLimit { rule: [7; 32], handle: [8; 32] }),
            ..used
        }),
        ("a handle", |used| UseAddress {
            limit: Some(HandleLimit { rule: [0; 32], handle: [0; 32] }),
            ..used
        }),
    ];
    for (words, lie) in lies {
        let error = refused(
            Lies { intent: Some(Box::new(move |_, used| lie(used))), ..Lies::default() },
            "ADDRESS_INTENT_OTHER",
        )
        .await;
        assert!(error.to_string().contains(words), "{error}");
    }
    let said: [fn(BeginAddressResponse) -> BeginAddressResponse; 3] = [
        |said| BeginAddressResponse { opening: vec![7; 32].into(), ..said },
        |said| BeginAddressResponse { intent: said.intent.slice(1..), ..said },
        |said| BeginAddressResponse { intent: [&said.intent[..], &[0]].concat().into(), ..said },
    ];
    for lie in said {
        let lies = Lies { begun: Some(Box::new(move |_, said| lie(said))), ..Lies::default() };
        refused(lies, "ADDRESS_INTENT_OTHER").await;
    }
}

#[tokio::test]
async fn a_detail_that_says_something_else_is_not_vouched_for() {
    let lies: [(&str, Twist<Detail>); 8] = [
        ("another account", |detail| Detail { account: [7; 32], ..detail }),
        ("another source", |detail| Detail { source: Source::Index(99), ..detail }),
        ("another source", |detail| Detail {
            source: Source::Payment { epoch: 1, payment: [1; 50] },
            ..detail
        }),
        ("another payload", |detail| Detail { payload_hash: [7; 32], ..detail }),
        ("another commitment", |detail| Detail { opening: [7; 32], ..detail }),
        ("approvals", |detail| Detail {
            approved: Some(ApprovedBy { case: [7; 32], salt: [8; 32] }),
            ..detail
        }),
        ("another format", |detail| Detail { format: "ethereum".into(), ..detail }),
        ("something else", |detail| Detail { said: vec!["pays 1 EUR to boris".into()], ..detail }),
    ];
    for (words, lie) in lies {
        let lies = Lies { detail: Some(Box::new(move |_, detail| lie(detail))), ..Lies::default() };
        let error = refused(lies, "ADDRESS_DETAIL_OTHER").await;
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_detail_for_another_leaf_is_not_vouched_for() {
    let lies: [fn(ViewingLeaf) -> ViewingLeaf; 2] = [
        // A stranger's leaf of this epoch, which would open it to the stranger; this account's bytes as another epoch's.
        |leaf| AddressRoot::from_bytes(Zeroizing::new([7; 32])).viewing_leaf(leaf.epoch()),
        |leaf| ViewingLeaf::from_bytes(leaf.epoch() + 1, leaf.expose(|bytes| Zeroizing::new(*bytes))),
    ];
    for lie in lies {
        let lies = Lies { leaf: Some(Box::new(move |_, leaf| lie(leaf))), ..Lies::default() };
        refused(lies, "ADDRESS_DETAIL_OTHER").await;
    }
}

#[tokio::test]
async fn no_payload_is_signed_without_the_receipt_of_its_very_intent() {
    let (world, anna, device) = World::own().await;
    let other = anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap();
    let receipt = other.signature.receipt.clone();
    let lies: [(&str, Told); 3] = [
        (
            "ADDRESSES_SUBSTITUTED",
            Box::new(move |_| RecordAddressResponse { receipt: receipt.clone().into() }),
        ),
        ("ADDRESSES_UNPROVEN", Box::new(|said| RecordAddressResponse { receipt: said.receipt.slice(1..) })),
        ("ADDRESSES_UNPROVEN", Box::new(|_| RecordAddressResponse::default())),
    ];
    let before = world.called("signed");
    for (expected, lie) in lies {
        world.lie(Lies { recorded: Some(Box::new(move |_, said| lie(said))), ..Lies::default() });
        assert_eq!(code(anna.sign_own_address(&device.root(), &order(), Which::Fresh).await), expected);
        assert_eq!(world.called("signed"), before, "no signature has left");
    }
}

#[tokio::test]
async fn a_use_that_stopped_half_way_goes_on_for_its_own_payload_alone() {
    let (world, anna, device) = World::own().await;
    let given = anna.next_own_addresses(&device.root(), 1).await.unwrap()[0].address;
    let epoch = world.epoch();
    // Recorded, and the answer is lost.
    world.lie(Lies { recorded: Some(Box::new(|_, _| RecordAddressResponse::default())), ..Lies::default() });
    anna.sign_own_address(&device.root(), &order(), Which::Given(given)).await.unwrap_err();
    assert_eq!(
        (device.book().epochs()[&epoch].uncertain(), device.book().epochs()[&epoch].recorded()),
        (1, 0)
    );
    world.lie(Lies::default());
    let other = AddressOrder::message(&b"pay everything to boris"[..]).unwrap();
    assert_eq!(
        code(anna.sign_own_address(&device.root(), &other, Which::Given(given)).await),
        "ADDRESS_USED"
    );
    assert_eq!(device.book().epochs()[&epoch].recorded(), 1, "the ledger has it");
    // The signature was made, and the answer is lost.
    world.lie(Lies { signed: Some(Box::new(|_, _| SignAddressResponse::default())), ..Lies::default() });
    anna.sign_own_address(&device.root(), &order(), Which::Given(given)).await.unwrap_err();
    world.lie(Lies::default());
    let signed = anna.sign_own_address(&device.root(), &order(), Which::Given(given)).await.unwrap();
    assert_eq!(signed.source, AddressSource::Index { epoch, index: 0 });
    assert_eq!(world.called("begun"), 1);
    assert_eq!(
        code(anna.sign_own_address(&device.root(), &order(), Which::Given(given)).await),
        "ADDRESS_USED"
    );
}

#[tokio::test]
async fn only_what_was_paid_is_begun_anew_when_the_ledger_never_had_it() {
    let (world, anna, device) = World::own().await;
    let root = device.root();
    let given = anna.next_own_addresses(&root, 1).await.unwrap()[0].address;
    let meta = anna.own_meta_address(&root).await.unwrap();
    let paid = world.client(CLARA).await.pay_to_meta_address(&meta.meta_address).await.unwrap().address;
    anna.scan_own_payments(&root, 0..=u32::MAX, 0, &[], &[]).await.unwrap();
    let other = AddressOrder::message(&b"pay 1 to boris"[..]).unwrap();
    for (address, is_paid) in [(given, false), (paid, true)] {
        // The service forgets what was begun: it was started again.
        world.lie(Lies {
            begun: Some(Box::new(|world, said| {
                world.begun.lock().unwrap().clear();
                said
            })),
            ..Lies::default()
        });
        let lost = anna.sign_own_address(&root, &order(), Which::Given(address)).await;
        assert_eq!(code(lost), "SIGNING_UNKNOWN");
        world.lie(Lies::default());
        let again = anna.sign_own_address(&root, &other, Which::Given(address)).await;
        match is_paid {
            true => drop(again.unwrap()),
            false => assert_eq!(code(again), "ADDRESS_USED", "its refused intent may stand in the log"),
        }
    }
    assert_eq!(device.book().epochs()[&world.epoch()].recorded(), 1);
}

#[tokio::test]
async fn what_was_recorded_is_signed_even_if_the_service_forgets_it() {
    let (world, anna, device) = World::own().await;
    let given = anna.next_own_addresses(&device.root(), 1).await.unwrap()[0].address;
    // Killed between the record and the signature: the command, and then the service.
    world.lie(Lies { signed: Some(Box::new(|_, _| SignAddressResponse::default())), ..Lies::default() });
    anna.sign_own_address(&device.root(), &order(), Which::Given(given)).await.unwrap_err();
    world.lie(Lies::default());
    world.begun.lock().unwrap().clear();
    let other = AddressOrder::message(&b"pay 1 to boris"[..]).unwrap();
    assert_eq!(
        code(anna.sign_own_address(&device.root(), &other, Which::Given(given)).await),
        "ADDRESS_USED"
    );
    let signed = anna.sign_own_address(&device.root(), &order(), Which::Given(given)).await.unwrap();
    assert!(!signed.released, "nobody has recorded its release, and that is said");
    let trust = world.chain.lock().unwrap().trust_file();
    let verdict = verify_receipt(&trust, &signed.signature.receipt, Some(MESSAGE)).unwrap();
    assert_eq!(verdict.signature, Some(signed.signature.signature));
    assert_eq!(world.called("begun"), 1);
}

#[tokio::test]
async fn without_its_root_an_own_account_signs_nothing_and_a_hosted_one_not_by_it() {
    let (world, anna, _device) = World::own().await;
    let empty = world.device();
    assert_eq!(
        code(anna.sign_own_address(&empty.root(), &order(), Which::Fresh).await),
        "ADDRESS_ROOT_MISSING"
    );
    assert_eq!(world.called("begun"), 0);
    let (world, boris) = World::hosted().await;
    let device = world.device();
    device.root().make().unwrap();
    assert_eq!(
        code(boris.sign_own_address(&device.root(), &order(), Which::Fresh).await),
        "ADDRESSES_HOSTED"
    );
}
