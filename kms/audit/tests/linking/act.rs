//! One act as a service composes it, and what is wrong with it on purpose.

use k256::Scalar;
use k256::elliptic_curve::ops::Reduce as _;
use keyward_crypto::SigningKey;
use keyward_domain::detail::Source;
use keyward_ledger_core::contracts::intent::INTENT_BLOCKS_MAX;
use keyward_ledger_core::entry::{Custody, Entry, UseAddress};
use keyward_ledger_core::hash::{Hash, sha256};
use keyward_ledger_core::scheme::Scheme;

use super::game::{Flaw, Setup};
use crate::town::{Draft, Town, not_after};

/// Releases are held back so long, up to twice that.
const HELD_MS: u64 = 10_000;
/// How fine it is told how long a device takes.
const ANSWER_STEP_MS: u64 = 600;

/// A scalar that everybody can compute.
pub fn public_scalar(parts: &[&[u8]]) -> Scalar {
    let (low, high) = (sha256(&[b"low", &parts.concat()]), sha256(&[b"high", &parts.concat()]));
    let wide: [u8; 64] = [low, high].concat().try_into().unwrap();
    let wide: k256::WideBytes = wide.into();
    Scalar::reduce(&wide)
}

/// What a flawed derivation adds for an index.
pub fn public_tweak(epoch: u32, index: u32) -> Scalar {
    public_scalar(&[b"tweak", &epoch.to_be_bytes(), &index.to_be_bytes()])
}

impl Setup {
    /// How many blocks before the next one a use was begun: own roots' devices stretch a passphrase and sign.
    pub fn began(self, town: &mut Town, owner: usize, number: usize) -> u64 {
        let told = matches!(self.flaw, Flaw::ExactEnds | Flaw::EndsFromBegin);
        let habit = if self.devices_differ || told { owner as u64 } else { 0 };
        match town.owners[owner].custody {
            Custody::Hosted => town.random.below(2) as u64,
            // In an epoch before it could not have been begun.
            Custody::Own => (5 + habit + town.random.below(6) as u64).min(number as u64),
        }
    }

    /// How long after a use its release is handed in, in milliseconds: services sign at once, own roots' devices answer first, and what
    /// was answered is held back (`kms/service`, `releases.rs`).
    pub fn released_after_ms(self, town: &mut Town, owner: usize) -> u64 {
        let habit = if self.devices_differ { owner as u64 / 6 } else { 0 };
        let answered = match town.owners[owner].custody {
            Custody::Hosted => town.random.below(2) as u64,
            Custody::Own => 1 + habit + town.random.below(4) as u64,
        };
        let answered_ms = answered * ANSWER_STEP_MS;
        if self.flaw == Flaw::ReleasesAtOnce {
            return answered_ms;
        }
        let hold_ms = |town: &mut Town| HELD_MS + town.random.below(HELD_MS as usize) as u64;
        match hold_ms(town) {
            held_ms if held_ms > answered_ms => held_ms,
            _ => answered_ms + hold_ms(town),
        }
    }

    /// The use of a draft by a server, begun so many blocks ago.
    pub fn act(
        self,
        town: &mut Town,
        (owner, mut draft): (usize, Draft),
        (server, began): ([u8; 32], u64),
        rule: Option<Hash>,
    ) -> UseAddress {
        draft.used.executor = server;
        // What an own root's device began before the ends went on, it begins again.
        let height = town.world.ledger.height();
        draft.used.not_after = match self.flaw {
            Flaw::ExactEnds => height - began + INTENT_BLOCKS_MAX,
            Flaw::EndsFromBegin => not_after(height - began),
            _ => not_after(height),
        };
        if let (Some(rule), Some(window_ms)) = (rule, self.window_ms) {
            let mut limit = town.handle(owner, rule, window_ms);
            if self.flaw == Flaw::EternalHandle {
                limit.handle = town.owners[owner].root.handle(window_ms, 0);
            }
            draft.used.limit = Some(limit);
        }
        let flawed = match (self.flaw, draft.detail.source) {
            (Flaw::TweakWithoutLeaf, Source::Index(index)) => {
                let account = town.owners[owner].account();
                let epoch = draft.used.epoch;
                let secret = public_scalar(&[b"nobody knows this", &account, &epoch.to_be_bytes()])
                    + public_tweak(epoch, index);
                Some(SigningKey::from_secret(Scheme::EcdsaSecp256k1, &secret.to_bytes()).unwrap())
            }
            _ => None,
        };
        if let Some(key) = &flawed {
            draft.used.public_key = key.public_key().as_bytes().try_into().unwrap();
        }
        let Entry::UseAddress(mut used) = town.seal(owner, draft.clone()) else { unreachable!() };
        let clear = self.flaw == Flaw::ClearPadding && owner.is_multiple_of(2);
        if clear {
            let length = used.detail.len();
            used.detail[length - 64..].fill(0);
        }
        if flawed.is_none() && !clear {
            return used;
        }
        let key = flawed.unwrap_or_else(|| town.key_of(owner, &draft));
        let Entry::UseAddress(used) = town.signed(used, &key) else { unreachable!() };
        used
    }
}
