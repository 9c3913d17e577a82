//! The way between the keepers of a world, which may be cut or spoilt, and whose keepers may lie.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use keyward_crypto::vault::{Dealing, Renewal, Repair};
use keyward_ledger_core::state::vault::VaultState;

use super::world::{KEEPERS, World, address_of, id_of, signing};
use crate::{
    Circle, CircleError, Heard, Keeper, Refused, Said,
    word::{Reply, What, Word},
};

/// How a keeper of the ring breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// It deals or splits another secret than its own, and signs that.
    Columns,
    /// It seals rubbish to each receiver, and signs that.
    Pieces,
    /// It says of the keeper at this index that it lies.
    Complains(u8),
    /// It deals, splits and promises, and then keeps silent.
    GoesSilent,
    /// It gives a sum of its own making.
    Sum,
}

/// The way between keepers.
#[derive(Default)]
pub(super) struct Ring {
    keepers: Mutex<Vec<(String, Keeper)>>,
    pub(super) down: Mutex<BTreeSet<u8>>,
    /// Whether whoever carries answers changes them.
    pub(super) spoils: Mutex<bool>,
    pub(super) lies: Mutex<BTreeMap<u8, Lie>>,
    /// Who was asked how often and answered.
    pub(super) asked: Mutex<BTreeMap<u8, usize>>,
    interval: Duration,
}

impl Circle for Ring {
    fn say<'a>(&'a self, address: &'a str, said: Said) -> Heard<'a> {
        Box::pin(async move {
            let failed = |source| CircleError { address: address.to_owned(), source };
            let number = (1..=9).find(|number| address_of(*number) == address).unwrap();
            *self.asked.lock().unwrap().entry(number).or_default() += 1;
            let down = self.down.lock().unwrap().contains(&number);
            let keepers = self.keepers.lock().unwrap().clone();
            let found = keepers.into_iter().rev().find(|(known, _)| known == address && !down);
            let (_, keeper) = found.ok_or_else(|| failed("no way".into()))?;
            let word = Word::decode(&said.word).unwrap();
            let lie = self.lies.lock().unwrap().get(&number).copied();
            let over = matches!(word.what, What::Acknowledge { .. } | What::Add { .. });
            if lie == Some(Lie::GoesSilent) && over {
                return Err(failed("silence".into()));
            }
            let answer = keeper.confer(&said).await.map_err(|error| {
                failed(Refused { code: "REFUSED".into(), message: error.to_string() }.into())
            });
            let mut answer = match lie {
                Some(lie) => told(&keeper, number, lie, &word, answer?).await,
                None => answer?,
            };
            if *self.spoils.lock().unwrap() {
                let middle = answer.len() / 2;
                answer[middle] ^= 1;
            }
            Ok(answer)
        })
    }
}

/// What a liar answers where it would have answered otherwise.
async fn told(keeper: &Keeper, number: u8, lie: Lie, word: &Word, answer: Vec<u8>) -> Vec<u8> {
    match (lie, &word.what) {
        (Lie::Columns | Lie::Pieces, What::Deal { .. } | What::Split { .. }) => {
            let run = run(keeper, word).await;
            let mut dealing = Dealing::decode(&answer).unwrap();
            if lie == Lie::Columns {
                dealing.handout.evaluation[0] = dealing.handout.evaluation[1];
            } else {
                for (piece, hash) in dealing.pieces.iter_mut().zip(&mut dealing.handout.pieces) {
                    *piece = vec![7; piece.len()];
                    *hash = sha256(piece);
                }
            }
            let body = dealing.handout.encode();
            let label = b"\x18keyward/vault-handout/v1";
            let statement = [&label[..], &run, &body[..body.len() - 64]].concat();
            dealing.handout.signature = signing(number).sign(&statement);
            dealing.encode()
        }
        (Lie::Complains(of), What::Take { .. } | What::Add { .. }) => Reply::Complaint(of).encode(),
        (Lie::Sum, What::Add { .. }) => {
            let mut answer = answer;
            answer.iter_mut().skip(100).for_each(|byte| *byte ^= 1);
            answer
        }
        _ => answer,
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    keyward_crypto::vault::ciphertext_hash(bytes)
}

/// The name of the run that a word belongs to.
async fn run(keeper: &Keeper, word: &Word) -> [u8; 32] {
    let vault: VaultState = keeper.vault(&word.vault).await.unwrap().0.unwrap();
    match &word.what {
        What::Deal { to } => {
            let renewal: Renewal = keeper.renewal(&vault, to, word.chosen.clone()).await.unwrap();
            *renewal.id()
        }
        What::Split { lost, .. } => {
            let vault = keeper.vault_now(&vault).await.unwrap();
            *Repair::new(vault, lost.index, word.chosen.clone(), lost.nonce).unwrap().id()
        }
        _ => unreachable!(),
    }
}

/// Has a keeper join the ring, once more after a restart.
pub(super) fn join(world: &World, ring: &Arc<Ring>, number: u8) {
    let keeper = world.keeper(number).clone();
    assert_eq!(*keeper.id(), id_of(number));
    keeper.join(ring.clone(), ring.interval);
    ring.keepers.lock().unwrap().push((address_of(number), keeper));
}

/// All keepers of a world in a ring, who deal anew as often as it says.
pub(super) fn ring(world: &World, interval: Duration) -> Arc<Ring> {
    let ring = Arc::new(Ring { interval, ..Ring::default() });
    (1..=KEEPERS).for_each(|number| join(world, &ring, number));
    ring
}
