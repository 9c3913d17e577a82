//! Paying to a fresh address of somebody, and finding it.

use std::error::Error as _;

use keyward_client::addresses::{AddressesError, Which};
use keyward_crypto::unlinkable::{AddressRoot, MetaAddress};
use keyward_ledger_verify::verify_receipt;
use keyward_proto::custody::{
    AnnouncedPayment, AnnouncedResponse, MetaAddressResponse, ScanPaymentsResponse,
};

use crate::addresses::world::{CLARA, Lies, World, code, order};

const ALL: std::ops::RangeInclusive<u32> = 0..=u32::MAX;

#[tokio::test]
async fn what_is_paid_to_an_own_meta_address_is_found_and_used_once() {
    let (world, anna, device) = World::own().await;
    let clara = world.client(CLARA).await;
    let meta = anna.own_meta_address(&device.root()).await.unwrap();
    assert_eq!((meta.epoch, world.called("meta")), (world.epoch(), 0));
    let mut paid = Vec::new();
    for _ in 0..3 {
        paid.push(clara.pay_in_epochs_of(&meta.meta_address, meta.epoch_ms).await.unwrap());
    }
    // Somebody else's among them.
    let stranger = AddressRoot::generate().unwrap();
    let spending = stranger.spending_leaf(meta.epoch).unwrap().point();
    let foreign = MetaAddress::new(&stranger.viewing_leaf(meta.epoch), spending).unwrap();
    clara.pay_to_meta_address(&foreign.encode().unwrap()).await.unwrap();
    assert_eq!(meta.epoch_ms, world.epoch_ms);
    let longer = clara.pay_in_epochs_of(&meta.meta_address, 2 * meta.epoch_ms).await;
    assert_eq!(code(longer), "ADDRESS_EPOCH");

    let keep = paid.iter().map(|one| one.address).collect::<Vec<_>>();
    let scan = anna.scan_own_payments(&device.root(), ALL, 0, &[], &keep).await.unwrap();
    assert_eq!((scan.looked_at, scan.unkept), (4, 0));
    let found = scan.found;
    assert_eq!(found.len(), 3, "a stranger's does not look like one's own");
    for one in &paid {
        assert!(found.iter().any(|(address, found)| {
            *address == one.address && (found.payment, found.leaf_index) == (one.payment, one.done.leaf_index)
        }));
    }
    anna.scan_own_payments(&device.root(), ALL, 0, &[], &[]).await.unwrap();
    assert_eq!(device.book().payments().len(), found.len(), "each is kept once");

    // It is used in a later epoch, whose records have it.
    world.pass(world.epoch_ms + 10_000);
    let given = Which::Given(paid[0].address);
    let signed = anna.sign_own_address(&device.root(), &order(), given).await.unwrap();
    assert_eq!((signed.address, signed.epoch), (paid[0].address, meta.epoch + 1));
    assert_eq!(code(anna.sign_own_address(&device.root(), &order(), given).await), "ADDRESS_USED");
    assert_eq!(device.book().unspent_through(meta.epoch), 2);
    assert_eq!(device.book().unconfirmed_through(meta.epoch), 0);
    device.root().doubt_payment(&paid[1].address).unwrap();
    assert_eq!(device.book().unspent_through(meta.epoch), 1);
    world.pass(world.epoch_ms + 10_000);
    let closed = anna.close_address_epoch(&device.root(), meta.epoch + 1).await.unwrap();
    assert_eq!(closed.records, 1);
    assert_eq!(code(anna.sign_own_address(&device.root(), &order(), given).await), "ADDRESS_USED");
}

#[tokio::test]
async fn a_hosted_root_is_paid_to_and_scanned_by_the_service() {
    let (world, boris) = World::hosted().await;
    let clara = world.client(CLARA).await;
    let meta = boris.meta_address().await.unwrap();
    let paid = clara.pay_to_meta_address(&meta.meta_address).await.unwrap();
    let receipt = std::slice::from_ref(&paid.done.receipt);
    let scan = boris.scan_payments(ALL, 0, receipt).await.unwrap();
    assert_eq!((scan.found.len(), scan.found[0].address, scan.looked_at), (1, paid.address, 1));
    assert_eq!(scan.next_leaf_index, None);
    let trust = world.chain.lock().unwrap().trust_file();
    assert_eq!(verify_receipt(&trust, &paid.done.receipt, None).unwrap().entry_kind, "announce-payment");
    // Addresses of indices are not what was looked for.
    let given = boris.next_addresses(1).await.unwrap();
    let (epoch, public_key) = (world.epoch(), given[0].address.to_vec());
    world.lie(Lies {
        scan: Some(Box::new(move |_, said| {
            let mut found = said.found;
            found[0].public_key = public_key.clone().into();
            let index = keyward_proto::custody::address_source::Source::Index(0);
            found[0].source = Some(keyward_proto::custody::AddressSource { epoch, source: Some(index) });
            ScanPaymentsResponse { found, ..said }
        })),
        ..Lies::default()
    });
    assert_eq!(code(boris.scan_payments(ALL, 0, &[]).await), "ADDRESSES_SUBSTITUTED");
    // Looked at page by page, nothing is missed; a page that does not go on is refused, and so is a list without what is proven.
    world.lie(Lies::default());
    let mut all = vec![paid.address];
    for _ in 0..4 {
        all.push(clara.pay_to_meta_address(&meta.meta_address).await.unwrap().address);
    }
    let (mut found, mut next, mut looked_at) = (Vec::new(), Some(0), 0);
    while let Some(from) = next {
        let scan = boris.scan_payments(ALL, from, receipt).await.unwrap();
        assert!(scan.looked_at <= 2);
        looked_at += scan.looked_at;
        found.extend(scan.found.into_iter().map(|one| one.address));
        next = scan.next_leaf_index;
    }
    assert_eq!((found, looked_at), (all, 5));
    world.lie(Lies {
        scan: Some(Box::new(|_, said| ScanPaymentsResponse { next_leaf_index: 3, ..said })),
        announced: Some(Box::new(|_, mut said| {
            said.payments.remove(0);
            said
        })),
        ..Lies::default()
    });
    assert_eq!(code(boris.scan_payments(ALL, 3, &[]).await), "ADDRESSES_SUBSTITUTED");
    assert_eq!(code(boris.scan_payments(ALL, 0, receipt).await), "ANNOUNCEMENT_WITHHELD");
}

#[tokio::test]
async fn a_meta_address_of_another_epoch_or_of_none_is_refused() {
    let (world, boris) = World::hosted().await;
    let old = boris.meta_address().await.unwrap();
    world.pass(world.epoch_ms + 10_000);
    let told = old.meta_address.clone();
    let lies: [Box<dyn Fn(MetaAddressResponse) -> MetaAddressResponse + Send>; 3] = [
        Box::new(move |said| MetaAddressResponse { meta_address: told.clone().into(), ..said }),
        Box::new(|said| MetaAddressResponse { ends_unix_ms: said.ends_unix_ms + 1, ..said }),
        Box::new(|said| MetaAddressResponse { meta_address: said.meta_address.slice(1..), ..said }),
    ];
    for lie in lies {
        world.lie(Lies { meta: Some(Box::new(move |_, said| lie(said))), ..Lies::default() });
        assert!(boris.meta_address().await.is_err());
    }
    // The ledger takes no announcement for an epoch that is over.
    let clara = world.client(CLARA).await;
    assert_eq!(code(clara.pay_to_meta_address(&old.meta_address).await), "ADDRESS_EPOCH");
    assert_eq!(code(clara.pay_to_meta_address(&old.meta_address[1..]).await), "ADDRESS_MALFORMED");
}

#[tokio::test]
async fn an_announcement_that_is_changed_on_its_way_is_not_one_to_pay_by() {
    let (world, anna, device) = World::own().await;
    let clara = world.client(CLARA).await;
    let meta = anna.own_meta_address(&device.root()).await.unwrap();
    world.lie(Lies {
        announce: Some(Box::new(|_, mut payment: [u8; 50]| {
            payment[34] ^= 1;
            payment
        })),
        ..Lies::default()
    });
    assert_eq!(code(clara.pay_to_meta_address(&meta.meta_address).await), "ADDRESSES_SUBSTITUTED");
}

type Twist = fn(Vec<AnnouncedPayment>) -> Vec<AnnouncedPayment>;

#[tokio::test]
async fn announcements_that_are_withheld_or_changed_are_found_out_by_their_receipts() {
    let (world, anna, device) = World::own().await;
    let clara = world.client(CLARA).await;
    let meta = anna.own_meta_address(&device.root()).await.unwrap();
    let one = clara.pay_to_meta_address(&meta.meta_address).await.unwrap();
    clara.pay_to_meta_address(&meta.meta_address).await.unwrap();
    let receipts = [one.done.receipt.clone()];
    anna.scan_own_payments(&device.root(), ALL, 0, &receipts, &[]).await.unwrap();
    let lies: [(&str, Twist); 6] = [
        ("ANNOUNCEMENT_WITHHELD", |all| all[1..].to_vec()),
        ("ANNOUNCEMENT_WITHHELD", |_| Vec::new()),
        ("ANNOUNCEMENT_OTHER", |mut all| {
            all[0].payment = all[1].payment.clone();
            all
        }),
        ("ANNOUNCEMENT_OTHER", |mut all| {
            all[0].epoch -= 1;
            all
        }),
        ("ANNOUNCEMENT_OTHER", |all| vec![all[1].clone(), all[0].clone()]),
        ("ANNOUNCEMENT_OTHER", |mut all| {
            all[0].payment = all[0].payment.slice(1..);
            all
        }),
    ];
    for (at, (expected, lie)) in lies.into_iter().enumerate() {
        let told = move |said: AnnouncedResponse| AnnouncedResponse { payments: lie(said.payments), ..said };
        world.lie(Lies { announced: Some(Box::new(move |_, said| told(said))), ..Lies::default() });
        let refused = anna.scan_own_payments(&device.root(), ALL, 0, &receipts, &[]).await.unwrap_err();
        assert_eq!(refused.code(), Some(expected), "{at}");
        // What is no announcement at all is told with what is wrong with it.
        assert_eq!(refused.source().is_some(), at >= 5, "{at}");
    }
    assert_eq!(device.book().payments().len(), 2, "nothing of a lie is kept");
    // Pages that never end, and receipts of something else.
    world.lie(Lies {
        announced: Some(Box::new(|_, _| AnnouncedResponse { payments: Vec::new(), next_leaf_index: 5 })),
        ..Lies::default()
    });
    let refused = anna.scan_own_payments(&device.root(), ALL, 0, &[], &[]).await.unwrap_err();
    assert!(matches!(refused, AddressesError::Substituted { .. }), "{refused}");
    world.lie(Lies::default());
    let signed = anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap();
    let other = [signed.signature.receipt];
    assert_eq!(
        code(anna.scan_own_payments(&device.root(), ALL, 0, &other, &[]).await),
        "ADDRESSES_SUBSTITUTED"
    );
}

#[tokio::test]
async fn more_announcements_than_one_look_takes_are_looked_at_one_look_after_the_other() {
    let (world, anna, device) = World::own().await;
    let clara = world.client(CLARA).await;
    let meta = anna.own_meta_address(&device.root()).await.unwrap();
    let mut paid = vec![clara.pay_to_meta_address(&meta.meta_address).await.unwrap()];
    // A look ends after 64 pages, which here have two each. What is no point is nobody's, and hides nothing.
    for number in 0..200 {
        world.announce(meta.epoch, [number; 50]);
        if number == 128 {
            paid.push(clara.pay_to_meta_address(&meta.meta_address).await.unwrap());
        }
    }
    paid.push(clara.pay_to_meta_address(&meta.meta_address).await.unwrap());
    let receipts: Vec<_> = paid.iter().map(|one| one.done.receipt.clone()).collect();
    let places: Vec<_> = paid.iter().map(|one| one.done.leaf_index).collect();
    assert_eq!(anna.announced_at(&receipts).unwrap(), places);
    let (mut found, mut looks, mut next) = (Vec::new(), Vec::new(), Some(0));
    while let Some(from) = next {
        let scan = anna.scan_own_payments(&device.root(), ALL, from, &receipts, &[]).await.unwrap();
        looks.push(scan.looked_at);
        found.extend(scan.found.into_iter().map(|(address, found)| (address, found.confirmed)));
        next = scan.next_leaf_index;
    }
    assert_eq!(looks, [128, 75]);
    assert_eq!(found, paid.iter().map(|one| (one.address, true)).collect::<Vec<_>>());
    // A list that ends early withholds: the receipt of what is behind its end tells.
    world.lie(Lies {
        announced: Some(Box::new(|_, said| AnnouncedResponse { next_leaf_index: 0, ..said })),
        ..Lies::default()
    });
    let early = |receipts: Vec<Vec<u8>>| {
        let (anna, device) = (&anna, &device);
        async move { anna.scan_own_payments(&device.root(), ALL, 0, &receipts, &[]).await }
    };
    assert_eq!(code(early(receipts[1..].to_vec()).await), "ANNOUNCEMENT_WITHHELD");
    assert_eq!(early(receipts[..1].to_vec()).await.unwrap().looked_at, 2, "without one nothing does");
}
