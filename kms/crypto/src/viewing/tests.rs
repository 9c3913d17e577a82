//! Vectors of the second implementation (`tests/vectors/grants.py`), properties, attacks, and every refusal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use keyward_domain::scheme::Scheme;

use super::dealing::deal_with;
use super::*;
use crate::hpke_box::BoxKey;
use crate::seeded::Seeded;
use crate::signing::SigningKey;
use crate::unlinkable::{AddressRoot, GrantKey, ViewingCover};
use crate::vault::VaultKeeper;

mod attack;
mod refusals;
mod vectors;

struct Keeper {
    id: [u8; 32],
    key: BoxKey,
    signer: SigningKey,
}

impl Keeper {
    fn new(id: u8, random: &mut Seeded) -> Self {
        let signer = SigningKey::from_secret(Scheme::Ed25519, &random.bytes()).unwrap();
        Self { id: [id; 32], key: BoxKey::random(random).unwrap(), signer }
    }

    fn named(&self) -> VaultKeeper {
        let signing_key = self.signer.public_key().as_bytes().try_into().unwrap();
        VaultKeeper { id: self.id, sealing_key: self.key.public(), signing_key }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signer.sign_message(message).unwrap().try_into().unwrap()
    }
}

/// An account that has dealt the epochs 100 to 123, its keepers with their shares, and a grantee.
struct World {
    random: Seeded,
    keepers: Vec<Keeper>,
    cover: ViewingCover,
    dealing: Dealing,
    sealed: Vec<Vec<u8>>,
    shares: Vec<ViewingShare>,
    grantee: GrantKey,
    opening: Opening,
}

impl World {
    fn dealt(mut random: Seeded, threshold: u8, count: u8) -> Self {
        let keepers: Vec<_> = (1..=count).map(|id| Keeper::new(id, &mut random)).collect();
        let root = AddressRoot::from_bytes(zeroize::Zeroizing::new(random.bytes()));
        let cover = ViewingCover::of(&root, 100..=123);
        let plan = plan(&keepers, threshold);
        let (dealing, sealed) = deal_with(&plan, &cover, &mut random).unwrap();
        let open = |(keeper, sealed): (&Keeper, &Vec<u8>)| {
            ViewingShare::open(&dealing, &keeper.id, &keeper.key, sealed).unwrap()
        };
        let shares = keepers.iter().zip(&sealed).map(open).collect();
        let grantee = GrantKey::generate().unwrap();
        let opening = Opening {
            chain_id: plan.chain_id,
            grant_id: random.bytes(),
            leaf_index: 77,
            dealing: dealing.hash(),
            grantee_key: grantee.public(),
        };
        Self { random, keepers, cover, dealing, sealed, shares, grantee, opening }
    }

    fn named(&self) -> Vec<VaultKeeper> {
        self.keepers.iter().map(Keeper::named).collect()
    }

    fn part(&mut self, index: u8) -> Vec<u8> {
        let opening = self.opening;
        self.part_for(index, &opening)
    }

    fn part_for(&mut self, index: u8, opening: &Opening) -> Vec<u8> {
        let place = usize::from(index) - 1;
        let keeper = &self.keepers[place];
        self.shares[place].answer_with(opening, |message| keeper.sign(message), &mut self.random).unwrap()
    }

    fn gathering(&self) -> Gathering {
        Gathering::new(self.dealing.clone(), self.named(), self.opening).unwrap()
    }

    fn is_dealt(&self, found: &ViewingCover) -> bool {
        self.cover.encode().expose(|bytes| found.encode().matches(bytes))
    }
}

fn plan(keepers: &[Keeper], threshold: u8) -> DealingPlan {
    let keepers = keepers.iter().map(Keeper::named).collect();
    DealingPlan { chain_id: [1; 32], account: [2; 32], expires_ms: 1_000, threshold, keepers }
}

#[test]
fn any_threshold_of_keepers_opens_what_was_dealt() {
    let mut random = Seeded::printed();
    for (threshold, count) in [(2, 2), (2, 3), (3, 5), (16, 16)] {
        let mut world = World::dealt(random.fork(), threshold, count);
        for _ in 0..3 {
            let mut gathering = world.gathering();
            for (given, index) in (1..).zip(random.choose_in_any_order(threshold, count)) {
                assert!(matches!(gathering.cover(), Err(GatheringError::TooFew { .. })));
                let part = world.part(index);
                let id = world.keepers[usize::from(index) - 1].id;
                assert_eq!(gathering.part(&world.grantee, &id, &part).unwrap(), given == threshold);
            }
            assert!(world.is_dealt(&gathering.cover().unwrap()));
        }
    }
}

#[test]
fn more_parts_than_needed_open_the_same() {
    let mut world = World::dealt(Seeded::printed(), 2, 4);
    let mut gathering = world.gathering();
    for index in [4, 2, 3] {
        let (part, id) = (world.part(index), world.keepers[usize::from(index) - 1].id);
        gathering.part(&world.grantee, &id, &part).unwrap();
    }
    assert!(world.is_dealt(&gathering.cover().unwrap()));
}

#[test]
fn two_dealings_of_one_cover_have_nothing_in_common() {
    let mut world = World::dealt(Seeded::printed(), 2, 3);
    let plan = plan(&world.keepers, 2);
    let (again, _) = deal_with(&plan, &world.cover, &mut world.random).unwrap();
    assert_ne!(again.hash(), world.dealing.hash());
    assert!(again.commitments.iter().all(|one| !world.dealing.commitments.contains(one)));
    assert_ne!(again.sealed, world.dealing.sealed);
}

#[test]
fn a_share_is_kept_and_comes_back() {
    let world = World::dealt(Seeded::printed(), 2, 3);
    for (share, index) in world.shares.iter().zip(1..) {
        let kept = share.to_secret();
        let back = kept.expose(ViewingShare::from_secret).unwrap();
        back.check(&world.dealing).unwrap();
        assert!(back.to_secret().expose(|bytes| kept.matches(bytes)));
        assert_eq!((back.dealing(), back.account()), (&world.dealing.hash(), &[2; 32]));
        assert_eq!((back.first(), back.last(), back.index()), (100, 123, index));
        let bytes = kept.expose(<[u8]>::to_vec);
        for end in 0..bytes.len() {
            assert!(ViewingShare::from_secret(&bytes[..end]).is_err());
        }
        assert!(ViewingShare::from_secret(&[&bytes[..], &[0]].concat()).is_err());
        // A changed one is no share, or not that of the dealing any more.
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let is_refused = ViewingShare::from_secret(&changed).map_or(true, |share| {
                let moved = share.account() != &[2; 32] || share.first() != 100 || share.last() != 123;
                moved || share.check(&world.dealing).is_err()
            });
            assert!(is_refused || (33..65).contains(&at), "{at}");
        }
    }
}

#[test]
fn secrets_do_not_print() {
    let world = World::dealt(Seeded::printed(), 2, 2);
    let gathering = world.gathering();
    let shown = format!("{:?} {gathering:?}", world.shares[0]);
    assert_eq!(shown, "ViewingShare(100..=123, redacted) Gathering(redacted)");
}
