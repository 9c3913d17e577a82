//! Keepers, sealings, and what keepers sign of them.

use keyward_ledger_core::change::{Change, approval_message, change_id};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{
    Act, ApproveChange, Entry, ProposeChange, RuleName, VaultAct, VaultAttempt,
};
use keyward_ledger_core::execute::BLOCK_ENTRIES_MAX;
use keyward_ledger_core::genesis::{Genesis, GenesisDocument};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::keeper::{Keeper, keeper_id};
use keyward_ledger_core::vault::{Refresh, Sealing, Shares, Stretching, VaultMode, acknowledge};

use super::acts::{Person, attempts_terms};
use super::{EPOCH_LENGTH, World};

pub const VAULT_ID: Hash = [0x5a; 32];

pub fn keeper_key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[0xa0 + number; 32])
}

pub fn keeper(number: u8) -> Keeper {
    Keeper {
        name: format!("keeper-{number}"),
        key: keeper_key(number).public_key(),
        hpke_key: [0xb0 + number; 32],
        validator: None,
        rpc: format!("https://keeper-{number}.example:7600"),
    }
}

pub fn id_of(number: u8) -> Hash {
    keeper_id(&keeper(number).name)
}

/// Keepers as a genesis has them: by ascending id.
pub fn keepers(numbers: &[u8]) -> Vec<Keeper> {
    let mut keepers: Vec<_> = numbers.iter().map(|number| keeper(*number)).collect();
    keepers.sort_by_key(Keeper::id);
    keepers
}

/// The world's ledger, founded with three keepers, one of which stands beside a validator.
pub fn genesis_with_keepers(world: &World) -> Genesis {
    let mut keepers = keepers(&[1, 2, 3]);
    keepers[1].validator = Some(world.validators[0].public_key());
    Genesis::new(GenesisDocument { keepers, ..world.genesis.document().clone() }).unwrap()
}

pub fn vault_of(owner: Person) -> RuleName {
    RuleName { owner: owner.account(), name: VAULT_ID }
}

/// Shares for keepers by their numbers. `dealt` makes another dealing of the same secrets.
pub fn shares(keepers: &[u8], threshold: u8, dealt: u8) -> Shares {
    let points = |secret: u8| {
        (0..threshold).map(move |n| if n == 0 { [secret; 32] } else { [secret ^ n ^ (dealt << 4); 32] })
    };
    Shares {
        keepers: keepers.iter().map(|number| id_of(*number)).collect(),
        evaluation: points(0xc0).collect(),
        mask: points(0xd0).collect(),
    }
}

pub fn sealing(owner: Person, version: u32, keepers: &[u8], threshold: u8) -> Sealing {
    Sealing {
        expires_ms: None,
        vault: vault_of(owner),
        version,
        mode: VaultMode::Own,
        shares: shares(keepers, threshold, 0),
        stretching: Stretching { memory_kib: 65_536, passes: 3, lanes: 4 },
        terms: attempts_terms(),
        ciphertext_hash: [0xcc; 32],
    }
}

pub fn refresh(owner: Person, version: u32, share_version: u32, shares: Shares) -> Refresh {
    Refresh { expires_ms: None, vault: vault_of(owner), version, share_version, shares }
}

pub fn vault_attempt(owner: Person, version: u32, number: u8) -> VaultAttempt {
    VaultAttempt {
        vault: vault_of(owner),
        version,
        share_version: 1,
        element: [number; 32],
        reply_key: [0x44; 32],
    }
}

/// One act of each kind.
pub fn samples() -> Vec<Act> {
    let (owner, attempt) = (Person(0x41), vault_attempt(Person(0x41), 1, 5));
    let refresh = refresh(owner, 1, 2, shares(&[2, 4], 2, 1));
    [
        VaultAct::Seal {
            sealing: Box::new(sealing(owner, 1, &[1, 2, 3], 2)),
            acknowledgements: vec![[0x7b; 64]; 3],
        },
        VaultAct::Attempt(attempt),
        VaultAct::Open { attempt, signature: [0x7c; 64] },
        VaultAct::Destroy { vault: vault_of(owner), version: 1 },
        VaultAct::Erase { vault: vault_of(owner), version: 1, keeper: id_of(1) },
        VaultAct::Refresh {
            refresh: Box::new(refresh),
            acknowledgements: vec![[0x7b; 64]; 2],
            consents: vec![(1, [0x7d; 64]), (3, [0x7e; 64])],
        },
    ]
    .into_iter()
    .map(Act::Vault)
    .collect()
}

impl World {
    /// A keeper as its key asks for it.
    pub fn set_keeper(&self, keeper: Keeper, key: &SigningKey) -> Change {
        let proof = key.sign(&keeper.message(&self.chain_id()));
        Change::SetKeeper { keeper, block_entries_max: BLOCK_ENTRIES_MAX, proof }
    }

    /// Proposed by one validator each, approved by all others; the epoch ends. Gives the ids, and what was answered.
    pub fn decide(&mut self, changes: &[Change]) -> (Vec<Hash>, Vec<&'static str>) {
        let (chain_id, not_after) = (self.chain_id(), self.ledger.height() + 1000);
        let (mut ids, mut proposals, mut approvals) = (Vec::new(), Vec::new(), Vec::new());
        for (place, change) in changes.iter().enumerate() {
            let by = &self.validators[place % self.validators.len()];
            let (change, proposer) = (change.encode(), by.public_key());
            let id = change_id(&chain_id, &proposer, not_after, &change);
            proposals.push(Entry::ProposeChange(ProposeChange {
                change,
                not_after,
                proposer,
                signature: by.sign(&id),
            }));
            for other in self.validators.iter().filter(|other| other.public_key() != proposer) {
                let signature = other.sign(&approval_message(&chain_id, &id));
                let validator = other.public_key();
                approvals.push(Entry::ApproveChange(ApproveChange { change_id: id, validator, signature }));
            }
            ids.push(id);
        }
        let answers = self.names(&proposals);
        self.names(&approvals);
        self.end_epoch();
        (ids, answers)
    }

    /// Empty blocks up to the last of the epoch, at least one.
    pub fn end_epoch(&mut self) {
        loop {
            self.block(&[]);
            if (self.ledger.height() + 1).is_multiple_of(EPOCH_LENGTH) {
                break;
            }
        }
    }

    /// Makes these numbers keepers.
    pub fn admit_keepers(&mut self, numbers: &[u8]) {
        let ask = |number: &u8| self.set_keeper(keeper(*number), &keeper_key(*number));
        let changes: Vec<_> = numbers.iter().map(ask).collect();
        assert!(self.decide(&changes).1.iter().all(|answer| *answer == "ACCEPTED"));
    }

    /// A sealing, acknowledged by keepers of these numbers.
    pub fn sealed(&self, sealing: Sealing, keepers: &[u8]) -> Act {
        let (chain_id, hash) = (self.chain_id(), sealing.hash());
        let signed = (1..)
            .zip(keepers)
            .map(|(index, number)| acknowledge(&keeper_key(*number), &chain_id, &hash, index));
        let acknowledgements = signed.collect();
        Act::Vault(VaultAct::Seal { sealing: Box::new(sealing), acknowledgements })
    }
}
