//! Unlinkable addresses and audits: keys of addresses, what they and people sign, and what is asked for.

use keyward_ledger_core::entry::{
    Act, AddressAct, AnnouncePayment, AuditAct, AuditTerms, ChooseAddresses, CloseEpoch, Custody,
    DealViewing, DeliverGrant, Entry, Grant, HandleLimit, OpenBlindCase, OpenGrant, PublishAudit,
    RevokeGrant, UseAddress, UseBlindCase, UseGrant, blind_lock, kind, tenant_id,
};
use keyward_ledger_core::hash::{Hash, commitment, sha256};
use keyward_ledger_core::scheme::{PublicKey, Scheme};
use keyward_ledger_core::state::addresses::{AddressesState, addresses_key};
use keyward_ledger_core::state::audit::{AuditGrantState, audit_grant_key};
use keyward_ledger_core::unlinkable::{
    DealtRun, SEALED_CLOSING_BYTES, SEALED_DETAIL_BYTES, use_address_message,
};

use super::acts::Person;
use super::vault::{id_of, keeper_key};
use super::{Keys, World};

/// The length of an address epoch in these tests.
pub const EPOCH_MS: u64 = 60_000;
pub const SCHEMES: [Scheme; 2] = [Scheme::EcdsaSecp256k1, Scheme::Bip340];
pub const PURPOSE: &str = "transfers of the second quarter";

/// The key of an address; the second one of a pair has the opposite point, and so the same x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressKey(pub u8, pub bool);

impl AddressKey {
    fn secret(self) -> k256::NonZeroScalar {
        let scalar = k256::NonZeroScalar::try_from(&[self.0; 32][..]).unwrap();
        if self.1 { -scalar } else { scalar }
    }

    pub fn point(self) -> [u8; 33] {
        let key = k256::ecdsa::SigningKey::from(self.secret());
        key.verifying_key().to_sec1_point(true).as_bytes().try_into().unwrap()
    }

    pub fn sign(self, scheme: Scheme, message: &[u8]) -> [u8; 64] {
        use k256::ecdsa::signature::hazmat::PrehashSigner as _;
        let digest = sha256(&[message]);
        match scheme {
            Scheme::Bip340 => {
                let key = k256::schnorr::SigningKey::from(self.secret());
                key.sign_raw(&digest, &[0; 32]).unwrap().to_bytes()
            }
            _ => {
                let key = k256::ecdsa::SigningKey::from(self.secret());
                let signature: k256::ecdsa::Signature = key.sign_prehash(&digest).unwrap();
                signature.normalize_s().to_bytes().into()
            }
        }
    }
}

/// An address as a key of one scheme.
pub struct OfScheme(pub AddressKey, pub Scheme);

impl Keys for OfScheme {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_sec1(self.1, &self.0.point()).unwrap()
    }
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(self.1, message).to_vec()
    }
}

/// Sealed bytes that nobody opens.
pub fn detail() -> Vec<u8> {
    vec![0xde; SEALED_DETAIL_BYTES]
}

pub fn choose(person: Person, custody: Custody) -> Act {
    choosing(ChooseAddresses {
        account: person.account(),
        tenant: tenant_id("bank"),
        custody,
        epoch_ms: EPOCH_MS,
    })
}

pub fn choosing(choose: ChooseAddresses) -> Act {
    Act::Addresses(AddressAct::Choose(choose))
}

/// What uses the blind cases of these tests up.
pub const TOKEN: Hash = [0x70; 32];
/// What they are about.
pub const CONTENT: Hash = [0xc0; 32];

/// A blind case under the owner's approval rule.
pub fn blind(live_ms: u64) -> OpenBlindCase {
    let rule = Person(0x41).rule().id(kind::DEFINE_APPROVAL);
    OpenBlindCase { rule, lock: blind_lock(&TOKEN), content: CONTENT, live_ms }
}

/// A deal of these epochs, which may be recorded for longer than any test goes on.
pub fn run(person: Person, first: u32, last: u32) -> DealtRun {
    let expires_ms = 1 << 45;
    DealtRun { account: person.account(), first, last, dealing_hash: [0xda; 32], expires_ms }
}

pub fn closing(tag: u8, epoch: u32) -> CloseEpoch {
    CloseEpoch { tag: [tag; 32], epoch_ms: EPOCH_MS, epoch, closing: vec![0xce; SEALED_CLOSING_BYTES] }
}

pub fn terms() -> AuditTerms {
    AuditTerms {
        accounts_max: 2,
        span_ms_max: 100 * EPOCH_MS,
        live_ms_max: 50 * EPOCH_MS,
        kept_ms: 40 * EPOCH_MS,
    }
}

/// Audit terms of the tenant `bank`, decided from then on by the owner's approval rule.
pub fn publish_audit(version: u32, case: Option<Hash>) -> PublishAudit {
    let rule = Person(0x41).rule().id(kind::DEFINE_APPROVAL);
    PublishAudit { tenant: tenant_id("bank"), version, terms: terms(), rule, case }
}

pub fn audit(act: AuditAct) -> Act {
    Act::Audit(act)
}

/// A grant for these people's accounts, from one time on until another, for as long as the terms let it.
pub fn grant(id: u8, people: &[Person], from_ms: u64, until_ms: u64, expires_ms: u64) -> Grant {
    let mut accounts: Vec<_> = people.iter().map(|person| person.account()).collect();
    accounts.sort_unstable();
    let purpose_hash = Grant::purpose_hash_of(PURPOSE);
    let tenant = tenant_id("bank");
    Grant {
        id: [id; 32],
        tenant,
        grantee_key: [0x9e; 32],
        purpose_hash,
        from_ms,
        until_ms,
        expires_ms,
        accounts,
    }
}

pub fn open_grant(id: u8, person: Person, first: u32, last: u32) -> OpenGrant {
    OpenGrant { grant: [id; 32], account: person.account(), first, last }
}

/// One act of each kind.
pub fn samples() -> Vec<Act> {
    let owner = Person(0x41);
    let acknowledgements = vec![([1; 32], [0x7d; 64]), ([2; 32], [0x7e; 64])];
    let deal = DealViewing { run: run(owner, 3, 5), threshold: 2, acknowledgements };
    let asked = grant(7, &[owner, Person(0x42)], 60_000, 120_000, 180_000);
    vec![
        choose(owner, Custody::Own),
        Act::Addresses(AddressAct::Deal(deal)),
        audit(AuditAct::Publish(publish_audit(2, Some([0x0c; 32])))),
        audit(AuditAct::Request(asked)),
        audit(AuditAct::Issue { grant: [7; 32], case: [0x0c; 32] }),
        audit(AuditAct::Open(open_grant(7, owner, 3, 5))),
        audit(AuditAct::Revoke(RevokeGrant { grant: [7; 32], reason: [8; 32] })),
    ]
}

/// One entry of each kind that carries no authors, and with each part there and not there.
pub fn bare_samples(world: &World) -> Vec<(&'static str, Entry)> {
    let used = world.use_address(1, AddressKey(1, false), Scheme::EcdsaSecp256k1);
    let limit = Some(HandleLimit { rule: [5; 32], handle: [6; 32] });
    let limited = UseAddress { limit, ..world.use_address(2, AddressKey(2, false), Scheme::Bip340) };
    let opened = open_grant(7, Person(0x41), 3, 5);
    vec![
        ("use-address", world.proven(AddressKey(1, false), used)),
        ("use-address of bip340 with a limit", world.proven(AddressKey(2, false), limited)),
        ("close-epoch", Entry::CloseEpoch(closing(3, 4))),
        (
            "announce-payment",
            Entry::AnnouncePayment(AnnouncePayment { epoch_ms: EPOCH_MS, epoch: 4, payment: [5; 50] }),
        ),
        ("open-blind-case", Entry::OpenBlindCase(blind(60_000))),
        (
            "use-blind-case",
            Entry::UseBlindCase(UseBlindCase { case: [0x0c; 32], token: TOKEN, content: CONTENT }),
        ),
        ("deliver-grant", Entry::DeliverGrant(DeliverGrant { opened, package_hash: [9; 32] })),
        ("use-grant", Entry::UseGrant(UseGrant { grant: [7; 32], what: [8; 32], count: 9 })),
    ]
}

impl World {
    /// The time of the next block.
    pub fn next_ms(&self) -> u64 {
        self.ledger.time_ms() + self.step_ms
    }

    /// The address epoch of the next block.
    pub fn epoch(&self) -> u32 {
        u32::try_from(self.next_ms() / EPOCH_MS).unwrap()
    }

    /// Lets the next block have exactly this time.
    pub fn at(&mut self, time_ms: u64) {
        self.step_ms = time_ms.checked_sub(self.ledger.time_ms()).unwrap();
    }

    /// A use of an address by the service in the epoch of the next block, without a limit; not proven yet.
    pub fn use_address(&self, id: u8, key: AddressKey, scheme: Scheme) -> UseAddress {
        UseAddress {
            id: [id; 32],
            scheme,
            public_key: key.point(),
            epoch_ms: EPOCH_MS,
            epoch: self.epoch(),
            executor: self.service.public_key(),
            commitment: commitment(&[0x55; 32], &sha256(&[b"message"])),
            not_after: self.ledger.height() + 50,
            limit: None,
            detail: detail(),
            proof: [0; 64],
        }
    }

    /// The entry, with the key's proof.
    pub fn proven(&self, key: AddressKey, used: UseAddress) -> Entry {
        let message = use_address_message(&self.chain_id(), &used.body());
        Entry::UseAddress(UseAddress { proof: key.sign(used.scheme, &message), ..used })
    }

    /// A dealing, acknowledged by keepers of these numbers.
    pub fn dealt(&self, run: DealtRun, threshold: u8, keepers: &[u8]) -> Act {
        let chain_id = self.chain_id();
        let signed = |number: &u8| {
            let id = id_of(*number);
            (id, run.acknowledge(&keeper_key(*number), &chain_id, &id))
        };
        let mut acknowledgements: Vec<_> = keepers.iter().map(signed).collect();
        acknowledgements.sort_unstable();
        Act::Addresses(AddressAct::Deal(DealViewing { run, threshold, acknowledgements }))
    }

    /// What an account has chosen.
    pub fn chosen(&self, person: Person) -> Option<AddressesState> {
        let value = self.ledger.state().get(&addresses_key(&person.account()));
        value.map(|value| AddressesState::decode(value).unwrap())
    }

    /// A grant as it stands.
    pub fn granted(&self, id: u8) -> Option<AuditGrantState> {
        let value = self.ledger.state().get(&audit_grant_key(&[id; 32]));
        value.map(|value| AuditGrantState::decode(value).unwrap())
    }
}
