//! Own uses that are found in the ledger's records: with an older copy of the root, and whatever the service lists.

use std::sync::Arc;

use keyward_client::Client;
use keyward_client::addresses::{AddressSource, AddressState, KnownAddress, Which};
use keyward_crypto::unlinkable::{
    Closing, EpochAddresses, PuncturedViewing, SpendingLeaf, ViewingLeaf, seal_detail,
};
use keyward_crypto::{SecretBytes, SecretKind, SigningKey};
use keyward_domain::detail::{Detail, Source};
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::entry::{Entry, UseAddress};
use keyward_ledger_core::hash::commitment;
use keyward_ledger_core::receipt::Receipt;
use keyward_ledger_core::record::Record;
use keyward_ledger_core::unlinkable::use_address_message;
use keyward_proto::custody::ListAddressesResponse;

use crate::addresses::world::{ANNA, CLARA, Device, Lies, World, code, login, order};
use crate::toy::SERVICE;

const ALL: std::ops::RangeInclusive<u32> = 0..=u32::MAX;

/// Puts the file of a root back as it was.
fn put_back(device: &Device, copy: &SecretBytes) {
    let owner = (SecretKind::AddressRoot, ANNA);
    device.keys.put_secret(owner, copy, &login(ANNA).export_key).unwrap();
}

/// The service forgets whatever was used.
fn lists_nothing(world: &World) {
    world.lie(Lies {
        list: Some(Box::new(|_, _| ListAddressesResponse { addresses: Vec::new() })),
        ..Lies::default()
    });
}

/// The whole log, as an export has it.
fn records(world: &World) -> Vec<(u64, Record)> {
    let chain = world.chain.lock().unwrap();
    let places = (0..).take_while(|leaf| chain.entry(*leaf).is_some());
    let record = |leaf| Record::decode(&Receipt::decode(&chain.receipt(leaf)).unwrap().record).unwrap();
    places.map(|leaf| (leaf, record(leaf))).collect()
}

async fn recovered(world: &World, anna: &Client, device: &Device) -> Vec<KnownAddress> {
    let mut uses = anna.recorded_uses(&device.root(), ALL).await.unwrap();
    for (leaf_index, record) in records(world) {
        uses.feed(leaf_index, &record).unwrap();
    }
    assert_eq!(format!("{uses:?}"), "RecordedUses(redacted)");
    uses.keep(&device.root()).unwrap()
}

fn used(known: &[KnownAddress]) -> Vec<(AddressSource, Option<u64>)> {
    let used = known.iter().filter(|one| one.state == AddressState::Used);
    used.map(|one| (one.source, one.leaf_index)).collect()
}

#[tokio::test]
async fn an_older_copy_finds_every_use_though_the_service_lists_none_and_is_not_asked() {
    let (world, anna, device) = World::own().await;
    let (root, before, epoch) = (device.root(), device.book().encode(), world.epoch());
    let mut signed = Vec::new();
    for unused in [0, 0, 40] {
        if unused > 0 {
            anna.next_own_addresses(&root, unused).await.unwrap();
        }
        signed.push(anna.sign_own_address(&root, &order(), Which::Fresh).await.unwrap());
    }
    put_back(&device, &before);
    lists_nothing(&world);
    assert!(anna.recover_own_addresses(&root, ALL).await.unwrap().is_empty(), "what it withholds");
    let asked = world.called("list");
    let known = recovered(&world, &anna, &device).await;
    assert_eq!(world.called("list"), asked);
    let expected: Vec<_> = signed.iter().map(|one| (one.source, Some(one.leaf_index))).collect();
    assert_eq!(used(&known), expected);
    assert_eq!(known.len(), 43, "what was given out in between is fresh");
    assert!(signed.iter().all(|one| known.iter().any(|known| known.address == one.address)));
    // Each once more, and nothing changes.
    assert_eq!(recovered(&world, &anna, &device).await, known);
    let next = anna.sign_own_address(&root, &order(), Which::Fresh).await.unwrap();
    assert_eq!(next.source, AddressSource::Index { epoch, index: 43 });
    let again = anna.sign_own_address(&root, &order(), Which::Given(signed[1].address)).await;
    assert_eq!(code(again), "ADDRESS_USED");
    // The closing is held against what was found.
    world.pass(world.epoch_ms + 10_000);
    let closed = anna.close_address_epoch(&root, epoch).await.unwrap();
    assert_eq!((closed.records, closed.unseen), (4, 0));
}

#[tokio::test]
async fn a_closing_that_leaves_out_what_was_found_is_short() {
    let (world, anna, device) = World::own().await;
    let (root, before, epoch) = (device.root(), device.book().encode(), world.epoch());
    for _ in 0..2 {
        anna.sign_own_address(&root, &order(), Which::Fresh).await.unwrap();
    }
    put_back(&device, &before);
    recovered(&world, &anna, &device).await;
    world.pass(world.epoch_ms + 10_000);
    world.lie(Lies {
        closing: Some(Box::new(|_, closing| Closing { records: 1, ..closing })),
        ..Lies::default()
    });
    assert_eq!(code(anna.close_address_epoch(&root, epoch).await), "EPOCH_CLOSING_SHORT");
}

#[tokio::test]
async fn what_was_paid_and_used_is_found_by_its_record() {
    let (world, anna, device) = World::own().await;
    let (root, oldest) = (device.root(), device.book().encode());
    let meta = anna.own_meta_address(&root).await.unwrap();
    let clara = world.client(CLARA).await;
    let paid = clara.pay_to_meta_address(&meta.meta_address).await.unwrap();
    anna.scan_own_payments(&root, ALL, 0, &[], &[paid.address]).await.unwrap();
    let scanned = device.book().encode();
    world.pass(world.epoch_ms + 10_000);
    let which = Which::Given(paid.address);
    let signed = anna.sign_own_address(&root, &order(), which).await.unwrap();
    lists_nothing(&world);
    for copy in [&scanned, &oldest] {
        put_back(&device, copy);
        let known = recovered(&world, &anna, &device).await;
        assert_eq!(used(&known), [(signed.source, Some(signed.leaf_index))]);
        assert_eq!(known[0].address, paid.address);
        assert_eq!(device.book().unspent_through(meta.epoch), 0);
    }
    put_back(&device, &scanned);
    recovered(&world, &anna, &device).await;
    let begun = world.called("begin");
    assert_eq!(code(anna.sign_own_address(&root, &order(), which).await), "ADDRESS_USED");
    assert_eq!(world.called("begin"), begun, "nobody is asked");
}

#[tokio::test]
async fn only_open_epochs_are_looked_at_and_only_in_the_range() {
    let (world, anna, device) = World::own().await;
    let (root, before, first) = (device.root(), device.book().encode(), world.epoch());
    for _ in 0..3 {
        anna.sign_own_address(&root, &order(), Which::Fresh).await.unwrap();
        world.pass(world.epoch_ms);
    }
    put_back(&device, &before);
    root.forget_through(first).unwrap();
    let mut uses = anna.recorded_uses(&root, 0..=first + 1).await.unwrap();
    for (leaf_index, record) in records(&world) {
        uses.feed(leaf_index, &record).unwrap();
    }
    let known = uses.keep(&root).unwrap();
    let epochs: Vec<_> = known.iter().map(|one| one.source.epoch()).collect();
    assert_eq!(epochs, [first + 1]);
    assert!(!device.book().epochs().contains_key(&(first + 2)));
    let boris = world.client(crate::toy::BORIS).await;
    assert_eq!(code(boris.recorded_uses(&root, ALL).await), "ADDRESSES_UNKNOWN");
}

/// Somebody who was shown the leaf of Anna's epoch, as the service is; with her keys, where a test says so.
struct Forger {
    world: Arc<World>,
    viewing: PuncturedViewing,
    epoch: u32,
}

impl Forger {
    fn of(world: &Arc<World>, device: &Device) -> Self {
        Self { world: Arc::clone(world), viewing: device.book().viewing, epoch: world.epoch() }
    }

    fn view(&self) -> ViewingLeaf {
        self.viewing.viewing_leaf(self.epoch).unwrap()
    }

    fn spending(&self) -> SpendingLeaf {
        self.viewing.spending_leaf(self.epoch).unwrap()
    }

    /// Records a use with a detail for Anna's leaf, of an address of hers or of somebody's; says whether the ledger took it.
    fn record(&self, id: u8, said: u32, (of, by): ([u8; 33], &SigningKey), late: bool) -> bool {
        let (opening, payload_hash) = ([3; 32], [4; 32]);
        let mut chain = self.world.chain.lock().unwrap();
        let used = UseAddress {
            id: [id; 32],
            scheme: Scheme::EcdsaSecp256k1,
            public_key: of,
            epoch_ms: self.world.epoch_ms,
            epoch: self.epoch,
            executor: SERVICE,
            commitment: commitment(&opening, &payload_hash),
            not_after: if late { 1 } else { chain.height + 100 },
            limit: None,
            detail: Vec::new(),
            proof: [0; 64],
        };
        let detail = Detail {
            account: ANNA,
            source: Source::Index(said),
            payload_hash,
            opening,
            policy: [9; 32],
            approved: None,
            app: String::new(),
            format: String::new(),
            said: Vec::new(),
        };
        let detail = detail.encode().unwrap();
        let detail = seal_detail(&self.view(), &used.id, &used.public_fields(), &detail).unwrap();
        let used = UseAddress { detail, ..used };
        let proof = by.sign_message(&use_address_message(&chain.chain_id(), &used.body())).unwrap();
        let used = UseAddress { proof: proof.try_into().unwrap(), ..used };
        chain.record(&Entry::UseAddress(used).encode()).1.is_accepted()
    }

    fn own(&self, index: u32) -> [u8; 33] {
        EpochAddresses::new(self.view(), self.spending().point()).address(index).unwrap()
    }

    fn key(&self, index: u32) -> SigningKey {
        self.spending().key(&self.view(), index, Scheme::EcdsaSecp256k1).unwrap()
    }
}

#[tokio::test]
async fn whoever_has_the_leaf_alone_puts_no_index_out_of_use() {
    let (world, anna, device) = World::own().await;
    let forger = Forger::of(&world, &device);
    let stranger = SigningKey::from_secret(Scheme::EcdsaSecp256k1, &[5; 32]).unwrap();
    let strange: [u8; 33] = stranger.public_key().as_bytes().try_into().unwrap();
    // Somebody's address, said to be one of hers; and hers, for which only she can sign.
    assert!(forger.record(1, 1 << 20, (strange, &stranger), false));
    assert!(!forger.record(2, 1 << 20, (forger.own(1 << 20), &stranger), false));
    assert!(recovered(&world, &anna, &device).await.is_empty());
    let next = anna.next_own_addresses(&device.root(), 1).await.unwrap();
    assert_eq!(next[0].source, AddressSource::Index { epoch: world.epoch(), index: 0 });
}

#[tokio::test]
async fn an_index_whose_intent_was_refused_stands_in_the_log_and_is_not_given_out_again() {
    let (world, anna, device) = World::own().await;
    let (forger, epoch) = (Forger::of(&world, &device), world.epoch());
    assert!(!forger.record(1, 7, (forger.own(7), &forger.key(7)), true));
    let known = recovered(&world, &anna, &device).await;
    assert_eq!(used(&known), [(AddressSource::Index { epoch, index: 7 }, None)]);
    // Where the ledger has another one of it, that counts, whichever is read first.
    assert!(forger.record(2, 7, (forger.own(7), &forger.key(7)), false));
    assert!(!forger.record(3, 7, (forger.own(7), &forger.key(7)), true));
    let known = recovered(&world, &anna, &device).await;
    assert!(used(&known)[0].1.is_some(), "{:?}", used(&known));
    let next = anna.next_own_addresses(&device.root(), 1).await.unwrap();
    assert_eq!(next[0].source, AddressSource::Index { epoch, index: 8 });
}
