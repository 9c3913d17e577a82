//! The grantee's side of an opening by keepers: against a service and keepers that lie.

use std::error::Error as _;
use std::sync::Arc;

use keyward_client::Client;
use keyward_client::addresses::DealOrder;
use keyward_client::audit::{AuditError, Done, GrantKey, OpenGrant, Opened, PartFault, ViewingCover};
use keyward_crypto::viewing::{Opening, PartError};
use keyward_ledger_core::entry::{Act, AddressAct, Authored, Entry};
use keyward_ledger_core::state::keeper::keeper_key;
use keyward_proto::custody::{DealtViewing, KeeperViewing};

use crate::addresses::keepers::deals;
use crate::addresses::world::{ANNA, CLARA, HOUR_MS, World};

const GRANT: [u8; 32] = [6; 32];
const LEAF: u64 = 99;

/// What Anna dealt, as an honest service and honest keepers open it to Clara.
struct Shown {
    world: Arc<World>,
    clara: Client,
    key: GrantKey,
    opened: Opened,
    covers: Vec<ViewingCover>,
}

impl Shown {
    async fn two_days() -> Self {
        let (world, anna, device) = World::own_in_the_morning().await;
        world.pass(2 * 24 * HOUR_MS);
        let (root, key) = (device.root(), GrantKey::generate().unwrap());
        let whole = device.book();
        let (mut dealt, mut covers) = (Vec::new(), Vec::new());
        while let Some(run) =
            anna.deal_address_epochs(&device.login, &root, &DealOrder::default()).await.unwrap()
        {
            let leaf = run.done.leaf_index;
            dealt.push((leaf, run.first, run.last));
            covers.push(whole.viewing.cover(run.first..=run.last).unwrap());
        }
        let open = OpenGrant { grant: GRANT, account: ANNA, first: dealt[0].1, last: dealt[1].2 };
        let opened = Done { receipt: Vec::new(), leaf_index: LEAF, time_ms: 0 };
        let clara = world.client(CLARA).await;
        let mut shown = Self {
            world,
            clara,
            key,
            opened: Opened { open, opened, delivered: None, dealt: Vec::new() },
            covers,
        };
        for (leaf, first_epoch, last_epoch) in dealt {
            let one = shown.dealt(leaf, first_epoch, last_epoch);
            shown.opened.dealt.push(one);
        }
        shown
    }

    fn dealt(&self, leaf: u64, first_epoch: u32, last_epoch: u32) -> DealtViewing {
        let chain = self.world.chain.lock().unwrap();
        let hash = dealing_hash(chain.entry(leaf).unwrap().0);
        let dealing = self.world.kept.lock().unwrap()[&hash].clone();
        let opening = self.opening_on(chain.chain_id(), hash);
        let part = |keeper: &crate::addresses::keepers::Keeper| KeeperViewing {
            keeper_id: keeper.id().to_vec().into(),
            part: keeper.part(&opening).into(),
        };
        DealtViewing {
            first_epoch,
            last_epoch,
            dealing: dealing.into(),
            parts: self.world.keepers.iter().map(part).collect(),
            recorded: chain.receipt(leaf).into(),
            keepers: self.world.keepers.iter().map(|it| chain.proof(&keeper_key(&it.id())).into()).collect(),
        }
    }

    fn opening(&self, dealing: [u8; 32]) -> Opening {
        let chain_id = self.world.chain.lock().unwrap().chain_id();
        self.opening_on(chain_id, dealing)
    }

    fn opening_on(&self, chain_id: [u8; 32], dealing: [u8; 32]) -> Opening {
        Opening { chain_id, grant_id: GRANT, leaf_index: LEAF, dealing, grantee_key: self.key.public() }
    }

    fn hash(&self, place: usize) -> [u8; 32] {
        keyward_crypto::viewing::Dealing::decode(&self.opened.dealt[place].dealing).unwrap().hash()
    }

    fn code(&self) -> String {
        let error = self.clara.gathered(&self.key, &self.opened).unwrap_err();
        error.code().unwrap().to_owned()
    }
}

fn dealing_hash(entry: &[u8]) -> [u8; 32] {
    assert!(deals(entry));
    match Entry::decode(entry).unwrap() {
        Entry::Authored(Authored { act: Act::Addresses(AddressAct::Deal(deal)), .. }) => {
            deal.run.dealing_hash
        }
        other => panic!("{other:?}"),
    }
}

fn same(one: &ViewingCover, other: &ViewingCover) -> bool {
    one.encode().expose(|bytes| other.encode().matches(bytes))
}

#[tokio::test]
async fn what_keepers_give_opens_exactly_the_epochs_that_were_dealt() {
    let mut shown = Shown::two_days().await;
    let gathered = shown.clara.gathered(&shown.key, &shown.opened).unwrap();
    for (opened, cover) in gathered.iter().zip(&shown.covers) {
        assert!(same(&opened.cover, cover) && opened.faults.is_empty());
    }
    assert_eq!(gathered.len(), 2);
    // Two are away.
    shown.opened.dealt.iter_mut().for_each(|dealt| dealt.parts.truncate(3));
    assert_eq!(shown.clara.gathered(&shown.key, &shown.opened).unwrap().len(), 2);
    shown.opened.dealt[1].parts.truncate(2);
    let few = shown.clara.gathered(&shown.key, &shown.opened).unwrap_err();
    assert!(matches!(few, AuditError::TooFewParts { needed: 3, found: 2, .. }), "{few:?}");
    assert_eq!(shown.code(), "VIEWING_PARTS_TOO_FEW");
}

#[tokio::test]
async fn a_keeper_that_lies_is_named_and_the_others_are_enough() {
    let mut shown = Shown::two_days().await;
    let (opening, keepers) = (shown.opening(shown.hash(0)), &shown.world.keepers);
    shown.opened.dealt[0].parts[1].part = keepers[1].lie(&keepers[2], &opening).into();
    shown.opened.dealt[0].parts[3].part = vec![7; 100].into();
    let gathered = shown.clara.gathered(&shown.key, &shown.opened).unwrap();
    assert!(same(&gathered[0].cover, &shown.covers[0]));
    // Only a wrong part is the keeper's own lie.
    let lies = |fault: &PartFault| matches!(fault.cause, PartError::Wrong { .. });
    let faults: Vec<_> = gathered[0].faults.iter().map(|it| (it.keeper.clone(), lies(it))).collect();
    assert_eq!(faults, [(keepers[1].name.clone(), true), (keepers[3].name.clone(), false)]);
    // With one more that is away they are too few, and the liar is named all the same.
    shown.opened.dealt[0].parts.pop();
    let few = shown.clara.gathered(&shown.key, &shown.opened).unwrap_err();
    let AuditError::TooFewParts { faults, found: 2, .. } = &few else { panic!("{few:?}") };
    assert!(faults.iter().any(lies));
    assert!(few.to_string().contains(&keepers[1].name), "{few}");
}

#[tokio::test]
async fn a_part_for_another_opening_or_grantee_is_none() {
    let mut shown = Shown::two_days().await;
    let opening = shown.opening(shown.hash(0));
    let stranger = GrantKey::generate().unwrap();
    let others = [
        Opening { leaf_index: LEAF + 1, ..opening },
        Opening { grant_id: [7; 32], ..opening },
        Opening { grantee_key: stranger.public(), ..opening },
    ];
    for (place, other) in others.iter().enumerate() {
        shown.opened.dealt[0].parts[place].part = shown.world.keepers[place].part(other).into();
    }
    assert_eq!(shown.code(), "VIEWING_PARTS_TOO_FEW");
}

#[tokio::test]
async fn a_dealing_that_is_not_the_recorded_one_of_these_epochs_is_refused() {
    type Lie = fn(&mut Opened);
    let lies: [(&str, Lie); 11] = [
        ("AUDIT_SUBSTITUTED", |it| it.dealt.swap(0, 1)),
        ("AUDIT_SUBSTITUTED", |it| it.dealt[1] = it.dealt[0].clone()),
        ("AUDIT_SUBSTITUTED", |it| it.dealt[0].first_epoch += 1),
        ("AUDIT_SUBSTITUTED", |it| it.dealt[0].dealing = it.dealt[1].dealing.clone()),
        ("AUDIT_SUBSTITUTED", |it| it.dealt[0].dealing = it.dealt[0].dealing.slice(1..)),
        ("AUDIT_SUBSTITUTED", |it| it.open.first += 1),
        ("AUDIT_SUBSTITUTED", |it| it.open.last -= 1),
        ("AUDIT_SUBSTITUTED", |it| it.open.account = CLARA),
        ("AUDIT_SUBSTITUTED", |it| drop(it.dealt[0].keepers.pop())),
        ("AUDIT_SUBSTITUTED", |it| it.dealt[0].parts[0].keeper_id = vec![9; 32].into()),
        ("AUDIT_UNPROVEN", |it| it.dealt[0].keepers.swap(0, 1)),
    ];
    for (number, (expected, lie)) in lies.into_iter().enumerate() {
        let mut shown = Shown::two_days().await;
        lie(&mut shown.opened);
        assert_eq!(shown.code(), expected, "{number}");
    }
    let mut shown = Shown::two_days().await;
    shown.opened.dealt[0].dealing = vec![9].into();
    let unread = shown.clara.gathered(&shown.key, &shown.opened).unwrap_err();
    assert!(matches!(unread, AuditError::Dealing(_)) && unread.source().is_some(), "{unread}");
    let mut shown = Shown::two_days().await;
    shown.opened.dealt[0].recorded = shown.opened.dealt[1].recorded.clone();
    assert!(shown.clara.gathered(&shown.key, &shown.opened).is_err());
    let mut shown = Shown::two_days().await;
    let last = shown.opened.dealt[0].dealing.len() - 1;
    let mut changed = shown.opened.dealt[0].dealing.to_vec();
    changed[last] ^= 1;
    shown.opened.dealt[0].dealing = changed.into();
    assert!(shown.clara.gathered(&shown.key, &shown.opened).is_err());
}
