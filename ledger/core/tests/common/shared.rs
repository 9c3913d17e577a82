//! Shared keys: how they are opened and bound, and what keepers and devices sign of them.

use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{
    Act, Author, Authored, Entry, Mode, Party, Renewal, RuleName, SharedAct, SharedBinding, SharedIntent,
    SharedOpening, SharedRenewal, Tweak,
};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::shared::{Circle, Device, acknowledge, shared_rule, veto_message};
use keyward_ledger_core::state::shared::{SharedKeyState, SharedNameState, shared_key_key, shared_run_key};

use super::acts::{PAYLOAD, Person};
use super::vault::{id_of, keeper_key};
use super::{Keys, World, signer};

pub const HOUR_MS: u64 = 3_600_000;
/// How long another device waits.
pub const LOCK_MS: u64 = 48 * HOUR_MS;

pub fn device_key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[0xd0 + number; 32])
}

pub fn device(number: u8) -> Device {
    Device { signing_key: device_key(number).public_key(), sealing_key: [0xe0 + number; 32] }
}

pub fn name_of(owner: Person) -> RuleName {
    RuleName { owner: owner.account(), name: [0x5b; 32] }
}

pub fn circle(keepers: &[u8], threshold: u8) -> Circle {
    Circle { threshold, keepers: keepers.iter().map(|number| id_of(*number)).collect() }
}

pub fn opening(owner: Person, attempt: u32, keepers: &[u8], expires_ms: u64) -> SharedOpening {
    SharedOpening {
        name: name_of(owner),
        scheme: signer::Ed25519.public_key().scheme(),
        circle: circle(keepers, 2),
        attempt,
        lock_ms: LOCK_MS,
        device: device(1),
        expires_ms,
        speakers: vec![owner.party()],
        openings: (0..=keepers.len()).map(|place| [0x60 + u8::try_from(place).unwrap(); 32]).collect(),
    }
}

/// A key made in an attempt; nobody has acknowledged it yet.
pub fn binding(owner: Person, attempt: u32, keys: &dyn Keys) -> SharedBinding {
    let key = keys.public_key();
    SharedBinding {
        name: name_of(owner),
        attempt,
        scheme: key.scheme(),
        public_key: key.as_bytes().to_vec(),
        key_hash: [0x71; 32],
        approval_rule: None,
        policy_tenant: Some([0x72; 32]),
        acknowledgements: Vec::new(),
    }
}

pub fn intent(id: u8, executor: [u8; 32], not_after: u64) -> SharedIntent {
    SharedIntent {
        id: [id; 32],
        key_id: signer::Ed25519.public_key().id(),
        share_version: 1,
        executor,
        commitment: PAYLOAD,
        tweak: Tweak::Plain,
        signers: vec![1, 3],
        policy: [0x66; 32],
        not_after,
        case: None,
    }
}

pub fn renewal(share_version: u32, renewal: Renewal, circle: Circle, expires_ms: u64) -> SharedRenewal {
    SharedRenewal {
        key_id: signer::Ed25519.public_key().id(),
        share_version,
        renewal,
        circle,
        device: device(1),
        key_hash: [0x73; 32],
        expires_ms,
        acknowledgements: Vec::new(),
    }
}

pub fn replace(number: u8) -> Act {
    let key_id = signer::Ed25519.public_key().id();
    Act::Shared(SharedAct::ReplaceDevice { key_id, device: device(number) })
}

/// Intents as [`samples`] has none.
pub fn other_intents() -> Vec<Act> {
    let tweaked = SharedIntent { tweak: Tweak::KeyPath, ..intent(0x11, [0x76; 32], 100) };
    let plain = intent(0x12, [0x76; 32], 100);
    [tweaked, plain].map(|intent| Act::Shared(SharedAct::Intent(Box::new(intent)))).into()
}

/// One act of each kind, with every part there.
pub fn samples() -> Vec<Act> {
    let owner = Person(0x41);
    let token = Party::Key(signer::Secp256k1.public_key().id());
    let opening =
        SharedOpening { speakers: vec![owner.party(), token], ..opening(owner, 2, &[1, 2, 3], 1 << 41) };
    let binding = SharedBinding {
        approval_rule: Some([0x74; 32]),
        acknowledgements: vec![[0x7b; 64]; 3],
        ..binding(owner, 2, &signer::Ed25519)
    };
    let intent = SharedIntent {
        tweak: Tweak::Root([0x75; 32]),
        case: Some([0x0c; 32]),
        ..intent(0x11, [0x76; 32], 100)
    };
    let renewal = SharedRenewal {
        acknowledgements: vec![[0x7b; 64]; 2],
        ..renewal(2, Renewal::Renew, circle(&[4, 1], 2), 1 << 41)
    };
    let key_id = signer::Ed25519.public_key().id();
    [
        SharedAct::Open(Box::new(opening)),
        SharedAct::Bind(Box::new(binding)),
        SharedAct::Intent(Box::new(intent)),
        SharedAct::Renew(Box::new(renewal)),
        SharedAct::ReplaceDevice { key_id, device: device(2) },
        SharedAct::CancelDevice { key_id, signature: [0x7c; 64] },
    ]
    .map(Act::Shared)
    .into()
}

/// The signatures of keepers of these numbers over a record hash, by their places.
pub fn acknowledgements(chain_id: &Hash, record: &Hash, keepers: &[u8]) -> Vec<[u8; 64]> {
    let signed = (1..).zip(keepers);
    signed.map(|(place, number)| acknowledge(&keeper_key(*number), chain_id, record, place)).collect()
}

impl World {
    pub fn soon(&self) -> u64 {
        self.ledger.time_ms() + HOUR_MS
    }

    pub fn open_shared(&self, attempt: u32, keepers: &[u8]) -> SharedOpening {
        opening(Person(0x41), attempt, keepers, self.soon())
    }

    /// A binding, acknowledged by keepers of these numbers.
    pub fn bind_shared(&self, binding: SharedBinding, keepers: &[u8]) -> Act {
        let record = binding.record_hash(&circle(keepers, 2));
        let acknowledgements = acknowledgements(&self.chain_id(), &record, keepers);
        Act::Shared(SharedAct::Bind(Box::new(SharedBinding { acknowledgements, ..binding })))
    }

    /// A renewal, acknowledged by keepers of these numbers.
    pub fn renew_shared(&self, renewal: SharedRenewal, keepers: &[u8]) -> Act {
        let acknowledgements = acknowledgements(&self.chain_id(), &renewal.record_hash(), keepers);
        Act::Shared(SharedAct::Renew(Box::new(SharedRenewal { acknowledgements, ..renewal })))
    }

    /// The word of a device against another one.
    pub fn cancel_device(&self, by: u8, waiting: u8) -> Act {
        let key_id = signer::Ed25519.public_key().id();
        let message = veto_message(&self.chain_id(), &key_id, &device(waiting).signing_key);
        Act::Shared(SharedAct::CancelDevice { key_id, signature: device_key(by).sign(&message) })
    }

    pub fn claim_shared(&self, id: u8) -> SharedIntent {
        intent(id, self.service.public_key(), self.ledger.height() + 50)
    }

    /// An act with a key as its one author.
    pub fn signed_by_key(&mut self, act: Act, keys: &dyn Keys) -> Entry {
        let key = keys.public_key();
        let author = self.author(&act, Party::Key(key.id()), &|message| keys.sign(message));
        let authors = vec![Author { public_key: key.as_bytes().to_vec(), ..author }];
        Entry::Authored(Authored { act, authors })
    }

    pub fn shared_key(&self, key_id: &KeyId) -> Option<SharedKeyState> {
        let value = self.ledger.state().get(&shared_key_key(key_id))?;
        Some(SharedKeyState::decode(value).unwrap())
    }

    pub fn shared_name(&self, name: &RuleName) -> Option<SharedNameState> {
        let value = self.ledger.state().get(&shared_run_key(&shared_rule(name)))?;
        Some(SharedNameState::decode(value).unwrap())
    }

    /// Links a token key to a person's account.
    pub fn linked(&mut self, person: Person) -> Party {
        self.link(person, &signer::Secp256k1, Mode::Linked)
    }
}
