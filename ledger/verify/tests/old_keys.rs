//! Whoever gets hold of every consensus key of earlier validator sets cannot make a verifier with a pinned
//! checkpoint accept another history, whatever links and blocks it signs with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common::{ACCOUNT, World, certified_by, mutate::Random, set_of, validators};
use keyward_ledger_core::block::Header;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::receipt::{Certified, Receipt, SetLink, StateReceipt};
use keyward_ledger_core::state::layout::account_key;
use keyward_ledger_core::trust::{Checkpoint, Trust};
use keyward_ledger_verify::{Anchor, Failure, StateQuery, verify_receipt, verify_state};

/// Where the checkpoint lies: the sets changed after 7 and after 15, so the third is in force.
const PINNED: u64 = 20;

struct Ledger {
    world: World,
    /// The sets of the true history, and one of the thief's own.
    sets: [Vec<SigningKey>; 4],
    links: Vec<SetLink>,
}

const THIEF: usize = 3;

impl Ledger {
    fn new() -> Self {
        let mut world = World::new();
        world.submit(&[Entry::Note(b"first".to_vec()), Entry::OpenAccount { account: ACCOUNT }]);
        let sets = [validators(1, 4), validators(61, 7), validators(81, 4), validators(41, 4)];
        let mut ledger = Self { world, sets, links: Vec::new() };
        ledger.links = vec![ledger.link(0, 7, 1), ledger.link(1, 15, 2)];
        ledger
    }

    fn header(&self, set: usize, height: u64) -> Header {
        let set_hash = *set_of(&self.sets[set]).hash();
        let last = self.world.blocks.last().unwrap().0.header().clone();
        let time_ms = last.time_ms + height;
        Header { height, epoch: height / 8, time_ms, set_hash, next_set_hash: set_hash, ..last }
    }

    /// A link from one set to another, signed by all of the first.
    fn link(&self, from: usize, height: u64, to: usize) -> SetLink {
        let set = set_of(&self.sets[to]);
        let header = Header { next_set_hash: *set.hash(), ..self.header(from, height) };
        let (signed_header, certificate) = certified_by(&self.sets[from], header);
        SetLink { signed_header, certificate, set }
    }

    fn certified(&self, links: Vec<SetLink>, by: usize, height: u64) -> Certified {
        let (signed_header, certificate) = certified_by(&self.sets[by], self.header(by, height));
        Certified { signed_header, certificate, genesis: self.world.genesis.proof(), links }
    }

    fn trust(&self) -> Vec<u8> {
        let (signed_header, _) = certified_by(&self.sets[2], self.header(2, PINNED));
        let set_hash = *set_of(&self.sets[2]).hash();
        let checkpoint = Some(Checkpoint { height: PINNED, digest: signed_header.digest(), set_hash });
        Trust { checkpoint, ..self.world.trust() }.encode().into_bytes()
    }

    fn receipt(&self, certified: Certified) -> Result<Anchor, Failure> {
        let receipt = Receipt { certified, ..self.world.receipt(0, 1, None) };
        verify_receipt(&self.trust(), &receipt.encode(), None).map(|verdict| verdict.anchor)
    }

    fn state(&self, certified: Certified) -> Result<Anchor, Failure> {
        let key = account_key(&ACCOUNT);
        let receipt =
            StateReceipt { key: key.clone(), proof: self.world.ledger.state().prove(&key), certified };
        let query = StateQuery { key: &key, min_height: 0, max_age: None };
        verify_state(&self.trust(), &receipt.encode(), &query).map(|verdict| verdict.anchor)
    }

    fn refuses(&self, certified: Certified, why: &str) {
        assert!(self.receipt(certified.clone()).is_err(), "a receipt: {why}");
        assert!(self.state(certified).is_err(), "a state receipt: {why}");
    }
}

#[test]
fn the_true_history_is_accepted_from_the_checkpoint_on() {
    let ledger = Ledger::new();
    for height in [PINNED, PINNED + 1, 400] {
        let certified = ledger.certified(ledger.links.clone(), 2, height);
        let anchor = Ok(Anchor::Checkpoint { height: PINNED });
        assert_eq!((ledger.receipt(certified.clone()), ledger.state(certified)), (anchor.clone(), anchor));
    }
}

#[test]
fn every_way_to_use_the_keys_of_earlier_sets_is_refused() {
    let ledger = Ledger::new();
    let [first, second] = [ledger.links[0].clone(), ledger.links[1].clone()];
    let later = PINNED + 5;
    ledger.refuses(ledger.certified(vec![], 0, 3), "a block of the first set, older than the checkpoint");
    ledger.refuses(ledger.certified(vec![], 0, later), "the first set goes on for ever");
    ledger.refuses(ledger.certified(vec![first.clone()], 1, later), "the second set goes on for ever");
    ledger.refuses(
        ledger.certified(vec![ledger.link(0, 7, THIEF)], THIEF, later),
        "to the thief's set at once",
    );
    ledger.refuses(
        ledger.certified(vec![first.clone(), ledger.link(1, 15, THIEF)], THIEF, later),
        "to the thief's set instead of the last one",
    );
    ledger.refuses(
        ledger.certified(vec![first.clone(), ledger.link(1, 23, THIEF)], THIEF, 30),
        "to the thief's set above the checkpoint, by a set that had left",
    );
    ledger.refuses(
        ledger.certified(vec![first.clone(), second.clone(), ledger.link(1, 23, THIEF)], THIEF, 30),
        "after the true links, by a set that had left",
    );
    ledger.refuses(
        ledger.certified(vec![first.clone(), ledger.link(1, 14, 2), ledger.link(1, 23, THIEF)], THIEF, 30),
        "to the true set on the way, then away from it",
    );
    ledger.refuses(
        ledger.certified(vec![first.clone(), second.clone()], 1, later),
        "the true links, a block of a set that had left",
    );
    // The thief has no key of the third set: it can claim a quorum only with signatures that are not theirs.
    let mut forged = ledger.certified(vec![first, second], 2, later);
    let thieves = ledger.certified(vec![], THIEF, later);
    for (signer, stolen) in forged.certificate.signers.iter_mut().zip(&thieves.certificate.signers) {
        signer.signature = stolen.signature;
    }
    ledger.refuses(forged, "signatures of the thief's keys under the names of the third set");
}

#[test]
fn no_chain_of_links_signed_with_stolen_keys_is_accepted() {
    let ledger = Ledger::new();
    let mut random = Random::seeded("chains of stolen links");
    for _ in 0..400 {
        let (mut links, mut set, mut height) = (Vec::new(), 0, 0);
        for _ in 0..random.below(5) {
            height += 1 + random.below(16) as u64;
            // Any set but the third can be spoken for.
            let from = [set, 0, 1, THIEF][random.below(4)];
            let from = if from == 2 { 1 } else { from };
            let to = random.below(4);
            links.push(match random.below(4) {
                0 => ledger.links[random.below(2)].clone(),
                _ => ledger.link(from, height, to),
            });
            set = to;
        }
        let by = [0, 1, THIEF][random.below(3)];
        let at = PINNED + random.below(60) as u64;
        ledger.refuses(ledger.certified(links, by, at), "a random chain");
    }
}
