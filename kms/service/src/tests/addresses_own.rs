//! Addresses of a root that is its person's own: what is shown is held together, and each step that comes twice, late or wrong.

use std::borrow::Borrow;

use keyward_crypto::unlinkable::{AddressRoot, EpochAddresses, closing_tag, open_closing, open_detail};
use keyward_domain::{
    Code,
    detail::{Detail, Source},
    scheme::{Scheme, verify_digest},
};
use keyward_ledger_core::{
    entry::{Custody as Root, Entry, UseAddress},
    hash::commitment,
    unlinkable::use_address_message,
};
use keyward_store::{AddressOrigin, IntentState, NewAddress};
use zeroize::Zeroizing;

use super::{
    addresses::{EPOCH_MS, Holder, ask, sha256},
    delegation::Somebody,
    risk::{NOTHING, put_in_force},
    world::{CHAIN, Mood, World, code},
};
use crate::{
    addresses::BeginAddress,
    failure::Failure,
    guard::{Input, SignedAddress},
};

pub(super) struct Own {
    pub(super) holder: Holder,
    pub(super) root: AddressRoot,
}

impl Borrow<Holder> for Own {
    fn borrow(&self) -> &Holder {
        &self.holder
    }
}

/// What the person's side has of a use that was begun.
pub(super) struct Begun {
    pub(super) used: UseAddress,
    pub(super) opening: [u8; 32],
    pub(super) index: u32,
}

impl Own {
    pub(super) async fn new() -> Self {
        let holder = Holder::of(World::new().await, Root::Own).await;
        Self { holder, root: AddressRoot::generate().unwrap() }
    }

    fn leaf(&self, epoch: u32) -> Zeroizing<[u8; 32]> {
        self.root.viewing_leaf(epoch).expose(|leaf| Zeroizing::new(*leaf))
    }

    fn point(&self, epoch: u32) -> Vec<u8> {
        self.root.spending_leaf(epoch).unwrap().point().encode().unwrap()
    }

    fn address(&self, epoch: u32, index: u32) -> NewAddress {
        let point = self.root.spending_leaf(epoch).unwrap().point();
        let all = EpochAddresses::new(self.root.viewing_leaf(epoch), point);
        NewAddress { public_key: all.address(index).unwrap(), epoch, origin: AddressOrigin::Index(index) }
    }

    pub(super) fn wanted<'a>(&self, index: u32, message: &'a [u8]) -> BeginAddress<&'a [u8]> {
        BeginAddress {
            epoch: 0,
            leaf: self.leaf(0),
            spending: self.point(0),
            address: self.address(0, index),
            scheme: String::new(),
            input: Input::Message(message),
            format: String::new(),
            mark: Vec::new(),
            case: None,
        }
    }

    pub(super) async fn begin_as(&self, wanted: BeginAddress<&[u8]>) -> Result<Begun, Failure> {
        let AddressOrigin::Index(index) = wanted.address.origin else { panic!() };
        let begun = self.holder.custody().begin_with_address(&self.holder.who.caller, wanted).await?;
        let used = UseAddress::from_body(&begun.intent, [0; 64]).unwrap();
        Ok(Begun { used, opening: begun.opening, index })
    }

    async fn begin(&self, index: u32) -> Result<Begun, Failure> {
        self.begin_as(self.wanted(index, b"pay")).await
    }

    pub(super) fn sign(&self, begun: &Begun, digest: &[u8; 32]) -> [u8; 64] {
        let key = self.root.spending_leaf(begun.used.epoch).unwrap();
        let key = key.key(&self.root.viewing_leaf(begun.used.epoch), begun.index, begun.used.scheme).unwrap();
        key.sign_digest(digest).unwrap().try_into().unwrap()
    }

    pub(super) fn proof(&self, begun: &Begun) -> [u8; 64] {
        self.sign(begun, &sha256(&use_address_message(&CHAIN, &begun.used.body())))
    }

    pub(super) async fn record(&self, begun: &Begun, proof: [u8; 64]) -> Result<Vec<u8>, Failure> {
        self.holder.custody().record_address(&self.holder.who.caller, &begun.used.id, proof).await
    }

    pub(super) async fn finish(&self, begun: &Begun, signature: &[u8]) -> Result<SignedAddress, Failure> {
        self.holder.custody().finish_address(&self.holder.who.caller, &begun.used.id, signature).await
    }

    async fn use_one(&self, index: u32) -> SignedAddress {
        let begun = self.begin(index).await.unwrap();
        self.record(&begun, self.proof(&begun)).await.unwrap();
        self.finish(&begun, &self.sign(&begun, &sha256(b"pay"))).await.unwrap()
    }

    async fn close(&self, epoch: u32, leaf: Zeroizing<[u8; 32]>, point: &[u8]) -> Result<Vec<u8>, Failure> {
        self.holder.custody().close_own_epoch(&self.holder.who.caller, epoch, leaf, point).await
    }
}

#[tokio::test]
async fn the_address_proves_its_intent_and_signs_when_it_is_final() {
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340] {
        let own = Own::new().await;
        let begun = own
            .begin_as(BeginAddress { scheme: scheme.name().into(), ..own.wanted(7, b"pay") })
            .await
            .unwrap();
        assert_eq!(own.holder.uses().len(), 0, "the ledger is told with the proof");
        assert_eq!(begun.used.commitment, commitment(&begun.opening, &sha256(b"pay")));
        let signature = own.sign(&begun, &sha256(b"pay"));
        assert_eq!(
            code(own.finish(&begun, &signature).await),
            Code::SigningUnknown,
            "not before it is final"
        );
        let receipt = own.record(&begun, own.proof(&begun)).await.unwrap();
        assert_eq!(own.record(&begun, own.proof(&begun)).await.unwrap(), receipt);
        assert_eq!(own.holder.world.signatures(), 0);
        let signed = own.finish(&begun, &signature).await.unwrap();
        let key = begun.used.key().unwrap();
        verify_digest(&key, &sha256(b"pay"), &signed.signature).unwrap();
        assert_eq!(own.finish(&begun, &signature).await.unwrap(), signed);
        assert_eq!(own.record(&begun, own.proof(&begun)).await.unwrap(), receipt);
        let mut other = signature;
        other[9] ^= 1;
        assert_eq!(code(own.finish(&begun, &other).await), Code::SigningDone);
        assert_eq!(own.holder.released().await, 1);

        let [used] = &own.holder.uses()[..] else { panic!() };
        let open = |leaf| open_detail(&leaf, &used.id, &used.public_fields(), &used.detail);
        let detail = open(own.root.viewing_leaf(0)).unwrap().expose(Detail::decode).unwrap();
        assert_eq!((detail.account, detail.source), (own.holder.who.account(), Source::Index(7)));
        assert!(open(own.root.viewing_leaf(1)).is_err());
        let database = own.holder.world.database();
        for secret in [own.leaf(0).to_vec(), own.root.expose(|root| root.to_vec())] {
            assert!(!database.windows(32).any(|part| part == secret), "its hash alone is kept");
        }
    }
}

#[tokio::test]
async fn what_is_shown_must_fit_together_and_to_what_was_shown_before() {
    let own = Own::new().await;
    let thief = AddressRoot::generate().unwrap();
    let stolen = thief.viewing_leaf(0).expose(|leaf| Zeroizing::new(*leaf));
    let good = || own.wanted(0, b"pay");
    let wrong = [
        ("another's leaf", BeginAddress { leaf: stolen.clone(), ..good() }, Code::AddressOther),
        ("the leaf of another epoch", BeginAddress { leaf: own.leaf(1), ..good() }, Code::AddressOther),
        ("the point of another epoch", BeginAddress { spending: own.point(1), ..good() }, Code::AddressOther),
        ("no point", BeginAddress { spending: vec![1; 38], ..good() }, Code::AddressOther),
        (
            "another index",
            BeginAddress {
                address: NewAddress { origin: AddressOrigin::Index(1), ..own.address(0, 0) },
                ..good()
            },
            Code::AddressOther,
        ),
        (
            "no address",
            BeginAddress { address: NewAddress { public_key: [5; 33], ..own.address(0, 0) }, ..good() },
            Code::AddressOther,
        ),
        ("an epoch that is over or to come", BeginAddress { epoch: 9, ..good() }, Code::AddressEpoch),
        ("another scheme", BeginAddress { scheme: "ed25519".into(), ..good() }, Code::SchemeUnknown),
        (
            "Keyward's own message",
            BeginAddress { input: Input::Message(b"\x0ckeyward/x/v1"), ..good() },
            Code::PayloadReserved,
        ),
    ];
    for (what, wanted, refused) in wrong {
        assert_eq!(code(own.begin_as(wanted).await), refused, "{what}");
    }
    let early = BeginAddress { epoch: 0, address: own.address(1, 0), spending: own.point(1), ..good() };
    assert_eq!(code(own.begin_as(early).await), Code::AddressOther);

    own.begin(0).await.unwrap();
    // Another root whose parts fit each other: details of one epoch would be sealed for two.
    let other = Own { root: thief, holder: own.holder };
    assert_eq!(code(other.begin(1).await), Code::AddressOther);
    assert_eq!(other.holder.uses().len(), 0);
    let own = Own { root: own.root, holder: other.holder };
    own.begin(1).await.unwrap();
}

#[tokio::test]
async fn proofs_and_signatures_are_the_addresss_own() {
    let own = Own::new().await;
    let (begun, another) = (own.begin(0).await.unwrap(), own.begin(1).await.unwrap());
    assert_eq!(code(own.record(&begun, own.proof(&another)).await), Code::ProofInvalid);
    assert_eq!(code(own.record(&begun, [0; 64]).await), Code::ProofInvalid);
    own.record(&begun, own.proof(&begun)).await.unwrap();
    for wrong in [own.sign(&begun, &sha256(b"pay more")), own.sign(&another, &sha256(b"pay"))] {
        assert_eq!(code(own.finish(&begun, &wrong).await), Code::OwnSignatureInvalid);
    }
    assert_eq!(code(own.finish(&begun, &[1, 2]).await), Code::OwnSignatureInvalid);
    // Another account's is unknown.
    let eve = Somebody::new(&own.holder.world, "eve").await;
    let (custody, signature) = (own.holder.custody(), own.sign(&begun, &sha256(b"pay")));
    let stolen = custody.record_address(&eve.caller, &another.used.id, own.proof(&another)).await;
    assert_eq!(code(stolen), Code::SigningUnknown);
    let stolen = custody.finish_address(&eve.caller, &begun.used.id, &signature).await;
    assert_eq!(code(stolen), Code::SigningUnknown);
    own.finish(&begun, &signature).await.unwrap();
    assert_eq!(code(own.begin(0).await), Code::AddressUsed);
}

#[tokio::test]
async fn a_request_that_is_begun_again_is_the_same_intent() {
    let own = Own::new().await;
    let begin = async |index: u32, message: &'static [u8]| {
        own.begin_as(BeginAddress { mark: b"mark".to_vec(), ..own.wanted(index, message) }).await
    };
    let begun = begin(0, b"pay").await.unwrap();
    let again = begin(0, b"pay").await.unwrap();
    assert_eq!((&begun.used, begun.opening), (&again.used, again.opening));
    assert_eq!(code(begin(0, b"pay more").await), Code::IdempotencyConflict);
    own.record(&begun, own.proof(&begun)).await.unwrap();
    own.finish(&begun, &own.sign(&begun, &sha256(b"pay"))).await.unwrap();
    assert_eq!(begin(0, b"pay").await.unwrap().used, begun.used);
    own.holder.world.pass_ms(20_000);
    own.holder.custody().end_begun().await;
    assert_eq!(code(begin(0, b"pay").await), Code::SigningDone);
    assert_eq!(own.holder.uses().len(), 1);
}

#[tokio::test]
async fn what_nobody_proves_in_time_is_free_again_and_what_nobody_signs_is_not() {
    let own = Own::new().await;
    let (begun, recorded) = (own.begin(0).await.unwrap(), own.begin(1).await.unwrap());
    own.record(&recorded, own.proof(&recorded)).await.unwrap();
    own.holder.world.pass_ms(120_000);
    assert_eq!(code(own.record(&begun, own.proof(&begun)).await), Code::SigningUnknown);
    own.holder.custody().end_begun().await;
    let signature = own.sign(&recorded, &sha256(b"pay"));
    assert_eq!(code(own.finish(&recorded, &signature).await), Code::SigningUnknown);
    let state =
        async |begun: &Begun| own.holder.custody().store.intent(begun.used.id).await.unwrap().unwrap().state;
    assert_eq!(state(&begun).await, IntentState::Abandoned);
    assert_eq!(state(&recorded).await, IntentState::Final);
    own.use_one(0).await;
    assert_eq!(code(own.begin(1).await), Code::AddressUsed);
}

#[tokio::test]
async fn a_record_whose_answer_is_lost_is_found_by_the_same_proof() {
    let own = Own::new().await;
    for (index, mood) in [(0, Mood::Deaf), (1, Mood::Gone)] {
        let begun = own.begin(index).await.unwrap();
        own.holder.world.ledger.set(mood);
        assert_eq!(code(own.record(&begun, own.proof(&begun)).await), Code::LedgerUnavailable);
        own.holder.world.ledger.set(Mood::Good);
        own.record(&begun, own.proof(&begun)).await.unwrap();
        own.finish(&begun, &own.sign(&begun, &sha256(b"pay"))).await.unwrap();
    }
    assert_eq!((own.holder.uses().len(), own.holder.released().await), (2, 2));
    // What the ledger refuses for good is over, and its address, which the refusal names, is given up.
    let begun = own.begin(2).await.unwrap();
    own.holder.world.ledger.ahead_ms.store(2 * EPOCH_MS as i64, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(code(own.record(&begun, own.proof(&begun)).await), Code::AddressEpoch);
    assert_eq!(code(own.record(&begun, own.proof(&begun)).await), Code::SigningUnknown);
    own.holder.world.ledger.ahead_ms.store(0, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(code(own.begin(2).await), Code::AddressUsed);
    own.use_one(3).await;
}

#[tokio::test]
async fn the_person_closes_an_epoch_with_what_its_uses_were_sealed_for() {
    let own = Own::new().await;
    own.use_one(0).await;
    own.use_one(5).await;
    assert_eq!(code(own.close(0, own.leaf(0), &own.point(0)).await), Code::EpochUnderWay);
    own.holder.custody().close_elapsed_epochs().await.unwrap();
    own.holder.world.pass_ms(EPOCH_MS);
    assert_eq!(code(own.close(0, own.leaf(1), &own.point(0)).await), Code::AddressOther);
    assert_eq!(code(own.close(0, own.leaf(0), &own.point(1)).await), Code::AddressOther);
    let thief = AddressRoot::generate().unwrap().spending_leaf(0).unwrap().point().encode().unwrap();
    assert_eq!(code(own.close(0, own.leaf(0), &thief).await), Code::AddressOther);
    let receipt = own.close(0, own.leaf(0), &own.point(0)).await.unwrap();
    assert_eq!(own.close(0, own.leaf(0), &own.point(0)).await.unwrap(), receipt);
    let closings: Vec<_> = own
        .holder
        .world
        .ledger
        .log()
        .into_iter()
        .filter_map(|(entry, _)| if let Entry::CloseEpoch(close) = entry { Some(close) } else { None })
        .collect();
    let [closed] = &closings[..] else { panic!() };
    let leaf = own.root.viewing_leaf(0);
    assert_eq!(closed.tag, closing_tag(&leaf).unwrap());
    let says = open_closing(&leaf, &closed.public_fields(), &closed.closing).unwrap();
    assert_eq!((says.addresses, says.records), (2, 2));
    // An epoch of which nothing is known here may be closed too.
    own.holder.world.pass_ms(EPOCH_MS);
    own.close(1, own.leaf(1), &own.point(1)).await.unwrap();
}

#[tokio::test]
async fn no_validator_is_asked_about_the_account_while_its_addresses_are_used_and_closed() {
    let own = Own::new().await;
    let hosted = Holder::of(World::new().await, Root::Hosted).await;
    let about = |holder: &Holder| holder.world.ledger.questions_with(&holder.who.account());
    own.holder.custody().show_addresses(&own.holder.who.caller).await.unwrap();
    assert_eq!(about(&own.holder).len(), 1, "this asks, at no use's time");
    own.use_one(0).await;
    own.holder.world.pass_ms(EPOCH_MS);
    own.holder.world.pass_ms(EPOCH_MS);
    own.close(0, own.leaf(0), &own.point(0)).await.unwrap();
    assert_eq!(about(&own.holder), [[0; 0]; 0]);
    hosted.sign(None, b"pay").await.unwrap();
    assert_eq!(about(&hosted), [[0; 0]; 0]);
}

#[tokio::test]
async fn each_kind_of_root_has_its_own_calls() {
    let own = Own::new().await;
    let (custody, caller) = (own.holder.custody(), &own.holder.who.caller);
    assert_eq!(code(own.holder.sign(None, b"m").await), Code::AddressesOwn);
    assert_eq!(code(custody.next_addresses(caller, 1, &[]).await), Code::AddressesOwn);
    assert_eq!(code(custody.meta_address(caller).await), Code::AddressesOwn);
    assert_eq!(code(custody.scan_payments(caller, (0, 0), 0).await), Code::AddressesOwn);
    assert_eq!(code(custody.viewing_cover(own.holder.account(), 0..=0).await), Code::AddressesOwn);
    put_in_force(&own.holder.world, 1, NOTHING).await;
    assert_eq!(code(own.begin(0).await), Code::RiskRefused);
    let hosted = Own { holder: Holder::hosted().await, root: own.root };
    assert_eq!(code(hosted.begin(0).await), Code::AddressesHosted);
    assert_eq!(code(hosted.close(0, hosted.leaf(0), &hosted.point(0)).await), Code::AddressesHosted);
    // Where uses are counted, nobody could hold a handle against a root of one's own.
    let limited =
        Own { holder: Holder::of(World::limited([7; 32]).await, Root::Own).await, root: hosted.root };
    assert_eq!(code(limited.begin(0).await), Code::AddressLimitHosted);
    let message = Input::Message(&b"m"[..]);
    let refused =
        limited.holder.custody().sign_with_address(&limited.holder.who.caller, ask(None, message, b"")).await;
    assert_eq!(code(refused), Code::AddressesOwn);
}

#[tokio::test]
async fn one_account_begins_so_many_uses_at_once() {
    let own = Own::new().await;
    for index in 0..32 {
        own.begin(index).await.unwrap();
    }
    assert_eq!(code(own.begin(32).await), Code::ServiceBusy);
    own.holder.world.pass_ms(120_000);
    own.holder.custody().end_begun().await;
    own.begin(32).await.unwrap();
}
