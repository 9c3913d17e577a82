//! Addresses that are given out, and which there are.

use std::collections::BTreeSet;

use keyward_client::addresses::{AddressOrder, AddressSource, AddressState, Which};
use keyward_crypto::unlinkable::EpochAddresses;
use keyward_proto::custody::{ListAddressesResponse, ListedAddress, NextAddressesResponse};

use crate::addresses::world::{Lies, World, code, order};

#[tokio::test]
async fn own_addresses_are_derived_here_and_asked_of_nobody() {
    let (world, anna, device) = World::own().await;
    let root = device.root();
    let given = anna.next_own_addresses(&root, 3).await.unwrap();
    let more = anna.next_own_addresses(&root, 0).await.unwrap();
    let distinct: BTreeSet<_> = given.iter().chain(&more).map(|one| one.address).collect();
    assert_eq!((given.len(), more.len(), distinct.len()), (3, 1, 4));
    assert_eq!(world.called("next"), 0);
    assert_eq!(code(anna.next_addresses(1).await), "ADDRESSES_OWN");
    let epoch = world.epoch();
    assert_eq!(more[0].source, AddressSource::Index { epoch, index: 3 });
    // The next epoch begins anew, and what was not used is expired.
    world.pass(world.epoch_ms + 10_000);
    let later = anna.next_own_addresses(&root, 1).await.unwrap();
    assert_eq!(later[0].source, AddressSource::Index { epoch: epoch + 1, index: 0 });
    let known = anna.recover_own_addresses(&root, 0..=u32::MAX).await.unwrap();
    let states: Vec<_> = known.iter().map(|one| one.state).collect();
    assert_eq!(states, [[AddressState::Expired; 4].as_slice(), &[AddressState::Fresh]].concat());
}

#[tokio::test]
async fn an_older_copy_of_the_root_gives_out_nothing_that_was_seen() {
    let (world, anna, device) = World::own().await;
    let before = device.book().encode();
    let mut used = Vec::new();
    for _ in 0..2 {
        used.push(anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap());
    }
    // The file is put back from a copy: what the service lists comes again, derived from the root, with its records.
    let owner = (keyward_crypto::SecretKind::AddressRoot, crate::addresses::world::ANNA);
    device
        .keys
        .put_secret(owner, &before, &crate::addresses::world::login(crate::addresses::world::ANNA).export_key)
        .unwrap();
    let epochs = world.epoch()..=world.epoch();
    let known = anna.recover_own_addresses(&device.root(), epochs.clone()).await.unwrap();
    let found: Vec<_> = known.iter().map(|one| (one.address, one.leaf_index, one.state)).collect();
    let expected: Vec<_> =
        used.iter().map(|one| (one.address, Some(one.leaf_index), AddressState::Used)).collect();
    assert_eq!(found, expected);
    let next = anna.next_own_addresses(&device.root(), 1).await.unwrap();
    assert_eq!(next[0].source, AddressSource::Index { epoch: *epochs.start(), index: 2 });
}

#[tokio::test]
async fn an_older_copy_of_the_root_heals_itself_and_no_address_signs_twice() {
    let (world, anna, device) = World::own().await;
    let (before, epoch) = (device.book().encode(), world.epoch());
    for _ in 0..2 {
        anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap();
    }
    let owner = (keyward_crypto::SecretKind::AddressRoot, crate::addresses::world::ANNA);
    device
        .keys
        .put_secret(owner, &before, &crate::addresses::world::login(crate::addresses::world::ANNA).export_key)
        .unwrap();
    let other = AddressOrder::message(&b"pay 1 to boris"[..]).unwrap();
    let signed = anna.sign_own_address(&device.root(), &other, Which::Fresh).await.unwrap();
    assert_eq!(signed.source, AddressSource::Index { epoch, index: 2 });
    assert_eq!(world.called("signed"), 3, "each address has signed one payload");
    // The records of which the copy knows nothing are no fault of the service.
    world.pass(world.epoch_ms + 10_000);
    let closed = anna.close_address_epoch(&device.root(), epoch).await.unwrap();
    assert_eq!((closed.records, closed.unseen), (3, 2));
}

#[tokio::test]
async fn what_was_dealt_is_listed_no_more_and_keeps_nothing_else_from_it() {
    let (world, anna, device) = World::own().await;
    let (root, epoch) = (device.root(), world.epoch());
    let used = anna.sign_own_address(&root, &order(), Which::Fresh).await.unwrap();
    world.pass(world.epoch_ms + 10_000);
    anna.close_address_epoch(&root, epoch).await.unwrap();
    root.forget_through(epoch).unwrap();
    let next = anna.next_own_addresses(&root, 1).await.unwrap();
    assert_eq!(anna.recover_own_addresses(&root, 0..=u32::MAX).await.unwrap(), next);
    let again = anna.sign_own_address(&root, &order(), Which::Given(used.address)).await;
    assert_eq!(code(again), "ADDRESS_UNKNOWN");
    assert_eq!(code(anna.close_address_epoch(&root, epoch).await), "ADDRESS_EPOCH_ERASED");
}

type Twist = fn(ListedAddress) -> ListedAddress;

#[tokio::test]
async fn an_address_that_is_not_derived_or_has_another_record_is_refused() {
    let (world, anna, device) = World::own().await;
    anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap();
    let all = 0..=u32::MAX;
    let lies: [(&str, Twist); 3] = [
        ("ADDRESS_UNDERIVED", |one| ListedAddress { public_key: [2; 33].to_vec().into(), ..one }),
        ("ADDRESSES_SUBSTITUTED", |one| ListedAddress { leaf_index: one.leaf_index + 1, ..one }),
        ("ADDRESSES_SUBSTITUTED", |one| ListedAddress { state: "lent".into(), ..one }),
    ];
    for (expected, lie) in lies {
        let before = device.book().encode().expose(|bytes| bytes.to_vec());
        world.lie(Lies {
            list: Some(Box::new(move |_, said| ListAddressesResponse {
                addresses: said.addresses.into_iter().map(lie).collect(),
            })),
            ..Lies::default()
        });
        assert_eq!(code(anna.recover_own_addresses(&device.root(), all.clone()).await), expected);
        assert!(device.book().encode().matches(&before), "nothing is noted of a lie");
    }
}

#[tokio::test]
async fn an_index_far_above_all_that_was_given_out_is_refused_though_rightly_derived() {
    let (world, anna, device) = World::own().await;
    anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap();
    // A service that was shown the epoch's leaf derives it as well.
    let (epoch, index) = (world.epoch(), u32::MAX - 1);
    let viewing = device.book().viewing;
    let (view, spending) =
        (viewing.viewing_leaf(epoch).unwrap(), viewing.spending_leaf(epoch).unwrap().point());
    let far = EpochAddresses::new(view, spending).address(index).unwrap();
    world.lie(Lies {
        list: Some(Box::new(move |_, mut said| {
            if let Some(one) = said.addresses.first_mut() {
                one.public_key = far.to_vec().into();
                let source = Some(keyward_proto::custody::address_source::Source::Index(index));
                one.source = Some(keyward_proto::custody::AddressSource { epoch, source });
            }
            said
        })),
        ..Lies::default()
    });
    let refused = anna.recover_own_addresses(&device.root(), epoch..=epoch).await;
    assert_eq!(code(refused), "ADDRESSES_SUBSTITUTED");
    assert_eq!(device.book().epochs()[&epoch].next, 1, "the epoch goes on");
}

#[tokio::test]
async fn a_hosted_root_gives_so_many_distinct_fresh_addresses_of_the_present_epoch() {
    let (world, boris) = World::hosted().await;
    assert_eq!(boris.next_addresses(5).await.unwrap().len(), 5);
    let lies: [fn(Vec<ListedAddress>) -> Vec<ListedAddress>; 5] = [
        |given| given[1..].to_vec(),
        |given| vec![given[0].clone(), given[0].clone()],
        |given| given.into_iter().map(|one| ListedAddress { state: "used".into(), ..one }).collect(),
        |mut given| {
            given[0].source.as_mut().unwrap().epoch -= 1;
            given
        },
        |given| given.into_iter().map(|one| ListedAddress { source: None, ..one }).collect(),
    ];
    for lie in lies {
        world.lie(Lies {
            next: Some(Box::new(move |_, said| NextAddressesResponse { addresses: lie(said.addresses) })),
            ..Lies::default()
        });
        assert_eq!(code(boris.next_addresses(2).await), "ADDRESSES_SUBSTITUTED");
    }
}

#[tokio::test]
async fn hosted_addresses_come_page_by_page_in_their_order() {
    let (world, boris) = World::hosted().await;
    boris.next_addresses(9).await.unwrap();
    let page = boris.list_addresses(4, 0).await.unwrap();
    let next = boris.list_addresses(4, page[3].created_ms.unwrap()).await.unwrap();
    assert!(page.len() == 4 && next[0].created_ms < page[3].created_ms);
    assert_eq!(boris.recover_addresses(0..=u32::MAX).await.unwrap().len(), 9);
    assert!(boris.recover_addresses(0..=3).await.unwrap().is_empty());
    // A page that comes again would never end.
    let first = ListAddressesResponse {
        addresses: {
            let all = boris.list_addresses(4, 0).await.unwrap();
            all.iter()
                .map(|one| ListedAddress {
                    public_key: one.address.to_vec().into(),
                    source: Some(keyward_proto::custody::AddressSource {
                        epoch: one.source.epoch(),
                        source: Some(keyward_proto::custody::address_source::Source::Index(0)),
                    }),
                    state: "fresh".into(),
                    leaf_index: 0,
                    created_unix_ms: one.created_ms.unwrap(),
                })
                .collect()
        },
    };
    world.lie(Lies { list: Some(Box::new(move |_, _| first.clone())), ..Lies::default() });
    assert_eq!(code(boris.recover_addresses(0..=u32::MAX).await), "ADDRESSES_SUBSTITUTED");
}
