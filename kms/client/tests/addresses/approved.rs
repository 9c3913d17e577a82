//! What others must approve, signed with an own address: the case is held against the ledger, and the detail against the case.

use std::sync::Arc;

use keyward_client::Client;
use keyward_client::addresses::{AddressOrder, Which};
use keyward_client::approvals::Voice;
use keyward_crypto::unlinkable::open_detail;
use keyward_domain::approval::AddressSigning;
use keyward_domain::detail::{ApprovedBy, Detail};
use keyward_domain::scheme::{Scheme, verify};
use keyward_ledger_core::entry::UseAddress;
use keyward_ledger_core::hash::{Hash, sha256};
use keyward_ledger_verify::verify_receipt;
use keyward_proto::custody::{BeginAddressResponse, RecordAddressResponse, SignAddressResponse};

use crate::addresses::desk::{LIVE_MS, rule};
use crate::addresses::world::{BORIS, Device, Lies, MESSAGE, World, code, login, order};

/// Anna has asked for what she means to sign, and Boris has approved it.
async fn approved() -> (Arc<World>, Client, Device, Hash) {
    let (world, anna, device) = World::own().await;
    world.define_rule();
    let case = another(&world, &anna).await;
    (world, anna, device, case)
}

async fn another(world: &Arc<World>, anna: &Client) -> Hash {
    let (_, shown) = anna.ask_address_approval(&order(), &rule(), LIVE_MS).await.unwrap();
    let boris = world.client(BORIS).await;
    let seen = boris.approval_case(&shown.case.id).await.unwrap();
    boris.give_approval(Voice::Account(&login(BORIS)), &seen, None).await.unwrap();
    shown.case.id
}

fn with(case: Hash) -> AddressOrder {
    order().approved(case)
}

/// Nothing was begun, given out or used up.
fn check_untouched(world: &World, device: &Device, case: &Hash) {
    assert_eq!((world.called("begun"), world.is_used(case)), (0, false));
    assert!(device.book().epochs().is_empty(), "no address is given out");
}

#[tokio::test]
async fn an_own_address_signs_what_others_approved_and_its_detail_says_so() {
    let (world, anna, device, case) = approved().await;
    let signed = anna.sign_own_address(&device.root(), &with(case), Which::Fresh).await.unwrap();
    verify(&signed.signature.public_key, MESSAGE, &signed.signature.signature).unwrap();
    assert!(signed.released && world.is_used(&case));
    let trust = world.chain.lock().unwrap().trust_file();
    verify_receipt(&trust, &signed.signature.receipt, Some(MESSAGE)).unwrap();
    let used = UseAddress::from_body(&world.begun.lock().unwrap()[0].body, [0; 64]).unwrap();
    let view = device.book().viewing.viewing_leaf(used.epoch).unwrap();
    let detail = open_detail(&view, &used.id, &used.public_fields(), &used.detail).unwrap();
    let detail = detail.expose(Detail::decode).unwrap();
    let salt = world.mail.lock().unwrap()[&case].salt;
    assert_eq!(detail.approved, Some(ApprovedBy { case, salt }));
    // The service keeps no more what a case was about that has its signature.
    world.mail.lock().unwrap().clear();
    let again = anna.sign_own_address(&device.root(), &with(case), Which::Fresh).await;
    assert_eq!(code(again), "CASE_USED");
    assert_eq!(world.called("begun"), 1);
    // An address that was given out before is as good.
    let given = anna.next_own_addresses(&device.root(), 1).await.unwrap().remove(0);
    let case = another(&world, &anna).await;
    let which = Which::Given(given.address);
    let signed = anna.sign_own_address(&device.root(), &with(case), which).await.unwrap();
    assert_eq!(signed.address, given.address);
}

#[tokio::test]
async fn a_case_that_is_about_something_else_takes_no_address() {
    let (world, anna, device, case) = approved().await;
    let sign = async |order: AddressOrder| {
        code(anna.sign_own_address(&device.root(), &order.approved(case), Which::Fresh).await)
    };
    let other = AddressOrder::message(&b"pay everything to boris"[..]).unwrap();
    assert_eq!(sign(other).await, "APPROVAL_PAYLOAD_OTHER");
    assert_eq!(sign(order().bip340()).await, "APPROVAL_PAYLOAD_OTHER");
    assert_eq!(sign(AddressOrder::digest(&sha256(&[MESSAGE])).unwrap()).await, "APPROVAL_PAYLOAD_OTHER");
    let unknown = anna.sign_own_address(&device.root(), &order().approved([7; 32]), Which::Fresh).await;
    assert_eq!(code(unknown), "CASE_UNKNOWN");
    check_untouched(&world, &device, &case);
    // Somebody else's case.
    let mut others = world.mail.lock().unwrap()[&case].clone();
    others.account = BORIS;
    let (case, _) = world.open_case(others);
    let order = with(case);
    let stolen = anna.sign_own_address(&device.root(), &order, Which::Fresh).await;
    assert_eq!(code(stolen), "APPROVAL_PAYLOAD_OTHER");
    check_untouched(&world, &device, &case);
}

#[tokio::test]
async fn a_service_that_lies_about_what_a_case_is_about_is_found_out() {
    let (world, anna, device, case) = approved().await;
    type Lie = fn(AddressSigning) -> AddressSigning;
    let lies: [(&str, Lie); 4] = [
        ("APPROVAL_SUBSTITUTED", |asked| AddressSigning { salt: [7; 32], ..asked }),
        ("APPROVAL_SUBSTITUTED", |asked| AddressSigning { account: [7; 32], ..asked }),
        ("APPROVAL_SUBSTITUTED", |asked| AddressSigning { scheme: Scheme::Bip340, ..asked }),
        ("APPROVAL_SUBSTITUTED", |asked| AddressSigning { payload_hash: [7; 32], ..asked }),
    ];
    for (expected, lie) in lies {
        let asked = Box::new(move |_: &World, asked: Option<AddressSigning>| asked.map(lie));
        world.lie(Lies { asked: Some(asked), ..Lies::default() });
        let refused = anna.sign_own_address(&device.root(), &with(case), Which::Fresh).await;
        assert_eq!(code(refused), expected);
    }
    // It was taken back, or the service says so.
    world.lie(Lies { asked: Some(Box::new(|_, _| None)), ..Lies::default() });
    let refused = anna.sign_own_address(&device.root(), &with(case), Which::Fresh).await;
    assert_eq!(code(refused), "CASE_CLOSED");
    check_untouched(&world, &device, &case);
    world.lie(Lies::default());
    world.pass(LIVE_MS + 1);
    let over = anna.sign_own_address(&device.root(), &with(case), Which::Fresh).await;
    assert_eq!(code(over), "CASE_UNKNOWN");
    check_untouched(&world, &device, &case);
}

#[tokio::test]
async fn an_intent_by_another_case_or_salt_or_by_none_is_not_vouched_for() {
    let lies: [fn(ApprovedBy) -> Option<ApprovedBy>; 3] = [
        |by| Some(ApprovedBy { salt: [7; 32], ..by }),
        |by| Some(ApprovedBy { case: [7; 32], ..by }),
        |_| None,
    ];
    for lie in lies {
        let (world, anna, device, case) = approved().await;
        let detail =
            move |_: &World, detail: Detail| Detail { approved: detail.approved.and_then(lie), ..detail };
        world.lie(Lies { detail: Some(Box::new(detail)), ..Lies::default() });
        let error = anna.sign_own_address(&device.root(), &with(case), Which::Fresh).await.unwrap_err();
        assert_eq!(error.code(), Some("ADDRESS_DETAIL_OTHER"), "{error}");
        assert!(error.to_string().contains("approvals"), "{error}");
        assert_eq!((world.called("recorded"), world.is_used(&case)), (0, false));
    }
}

#[tokio::test]
async fn what_is_not_complete_is_refused_by_the_service_and_nothing_is_used_up() {
    let (world, anna, device) = World::own().await;
    world.define_rule();
    let (_, shown) = anna.ask_address_approval(&order(), &rule(), LIVE_MS).await.unwrap();
    let refused = anna.sign_own_address(&device.root(), &with(shown.case.id), Which::Fresh).await;
    assert_eq!(code(refused), "APPROVALS_MISSING");
    assert!(!world.is_used(&shown.case.id));
}

#[tokio::test]
async fn a_command_that_stopped_goes_on_with_the_address_that_it_began_with() {
    let (world, anna, device, case) = approved().await;
    let epoch = world.epoch();
    // Recorded, and the answer is lost; then the signature's answer is.
    world.lie(Lies { recorded: Some(Box::new(|_, _| RecordAddressResponse::default())), ..Lies::default() });
    anna.sign_own_address(&device.root(), &with(case), Which::Fresh).await.unwrap_err();
    assert!(world.is_used(&case));
    world.lie(Lies { signed: Some(Box::new(|_, _| SignAddressResponse::default())), ..Lies::default() });
    anna.sign_own_address(&device.root(), &with(case), Which::Fresh).await.unwrap_err();
    assert_eq!(device.book().epochs()[&epoch].recorded(), 1);
    // The service was started again, and has erased what the case was about.
    world.lie(Lies::default());
    world.begun.lock().unwrap().clear();
    world.mail.lock().unwrap().clear();
    let signed = anna.sign_own_address(&device.root(), &with(case), Which::Fresh).await.unwrap();
    assert_eq!((signed.released, world.called("begun")), (false, 1));
    verify(&signed.signature.public_key, MESSAGE, &signed.signature.signature).unwrap();
    assert_eq!(device.book().epochs()[&epoch].next, 1, "no other address was given out");
}

#[tokio::test]
async fn a_service_that_has_forgotten_what_was_begun_takes_another_address() {
    let (world, anna, device, case) = approved().await;
    let forgets = |world: &World, said: BeginAddressResponse| {
        world.begun.lock().unwrap().clear();
        said
    };
    world.lie(Lies { begun: Some(Box::new(forgets)), ..Lies::default() });
    let lost = anna.sign_own_address(&device.root(), &with(case), Which::Fresh).await;
    assert_eq!(code(lost), "SIGNING_UNKNOWN");
    world.lie(Lies::default());
    let signed = anna.sign_own_address(&device.root(), &with(case), Which::Fresh).await.unwrap();
    assert!(signed.released && world.is_used(&case));
    let book = device.book();
    let epoch = &book.epochs()[&world.epoch()];
    assert_eq!(
        (epoch.next, epoch.recorded(), epoch.uncertain()),
        (2, 1, 1),
        "the first one is not used again"
    );
}

#[tokio::test]
async fn a_use_that_was_begun_with_a_case_is_not_signed_for_another_payload() {
    let (world, anna, device, case) = approved().await;
    world.lie(Lies { recorded: Some(Box::new(|_, _| RecordAddressResponse::default())), ..Lies::default() });
    anna.sign_own_address(&device.root(), &with(case), Which::Fresh).await.unwrap_err();
    world.lie(Lies::default());
    let other = AddressOrder::message(&b"pay everything to boris"[..]).unwrap().approved(case);
    let refused = anna.sign_own_address(&device.root(), &other, Which::Fresh).await;
    assert_eq!(code(refused), "APPROVAL_PAYLOAD_OTHER");
    assert_eq!(world.called("begun"), 1);
}
