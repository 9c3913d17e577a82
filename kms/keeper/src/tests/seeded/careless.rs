//! A keeper that breaks one rule, and keeps the others: the checker has to see it.

use std::collections::BTreeMap;

use keyward_crypto::vault::{AttemptRequest, Grant, KeeperShare, element_hash};
use keyward_ledger_core::{hash::Hash, outcome::Outcome};

use super::super::world::{Sealed, World, id_of, sealing_key, signing};

/// The rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Careless {
    /// Any element is evaluated for a granted attempt.
    Elements,
    /// Attempts that the ledger refused are answered.
    Grants,
    /// Attempts of an older version are answered.
    Versions,
    /// Attempts at a destroyed vault are answered.
    TheEnd,
}

/// The shares of a keeper that holds them in its hand.
#[derive(Default)]
pub(super) struct Hand(BTreeMap<Hash, KeeperShare>);

impl Hand {
    /// Takes the share of a keeper.
    pub(super) fn take(&mut self, number: u8, sealed: &Sealed) {
        let place = sealed.keepers.iter().position(|keeper| *keeper == number).unwrap();
        let share =
            KeeperShare::open(&sealed.vault(), &id_of(number), &sealing_key(number), &sealed.shares[place]);
        self.0.insert(sealed.sealing.hash(), share.unwrap());
    }

    /// Evaluates what an honest keeper would, and what the broken rule would keep it from.
    pub(super) fn evaluate(
        &self,
        number: u8,
        rule: Careless,
        world: &World,
        asked: (&Grant, &Outcome),
        request: &AttemptRequest,
    ) -> bool {
        let (grant, outcome) = asked;
        let vault = world.vault(grant.shares.vault).unwrap();
        let allowed = (element_hash(&request.element) == grant.element_hash || rule == Careless::Elements)
            && (outcome.is_accepted() || rule == Careless::Grants)
            && (vault.version == grant.shares.version || rule == Careless::Versions)
            && (!vault.destroyed || rule == Careless::TheEnd);
        let Some(share) = self.0.get(&grant.shares.shares_hash).filter(|_| allowed) else { return false };
        let grant = Grant { element_hash: element_hash(&request.element), ..grant.clone() };
        share.evaluate(&grant, &request.element, |message| signing(number).sign(message)).is_ok()
    }
}
