//! Associations: addresses on several chains, and what their holders sign.

use k256::ecdsa::SigningKey as Secp256k1;
use keyward_ledger_core::address::{Address, AddressFormat, bitcoin_digest, ethereum_digest, proof_text};
use keyward_ledger_core::entry::{Act, AssociationAct, AssociationTerms, Member, Quorum};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::scheme::KeyId;
use ripemd::Ripemd160;
use sha2::Sha256;
use sha3::{Digest as _, Keccak256};

use super::acts::{Person, parties};
use super::{Keys as _, signer};

pub const GROUP: Hash = [0xa5; 32];

/// The holder of an address on another chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Ethereum(u8),
    /// Kind 0 P2PKH, 1 P2WPKH, on the test network.
    Bitcoin(u8, u8),
    Ed25519,
    Sm2,
}

fn secp256k1(seed: u8) -> Secp256k1 {
    Secp256k1::from_slice(&[seed; 32]).unwrap()
}

fn recoverable(seed: u8, digest: &Hash) -> (Vec<u8>, u8) {
    let (signature, id) = secp256k1(seed).sign_prehash_recoverable(digest);
    (signature.to_bytes().to_vec(), id.to_byte())
}

impl Holder {
    pub fn address(self) -> Address {
        let point =
            |seed, compressed| secp256k1(seed).verifying_key().to_sec1_point(compressed).as_bytes().to_vec();
        let (format, bytes) = match self {
            Self::Ethereum(seed) => {
                (AddressFormat::Ethereum, Keccak256::digest(&point(seed, false)[1..])[12..].to_vec())
            }
            Self::Bitcoin(seed, kind) => {
                let hash = Ripemd160::digest(Sha256::digest(point(seed, true)));
                (AddressFormat::Bitcoin, [&[1, kind][..], &hash].concat())
            }
            Self::Ed25519 => (AddressFormat::Ed25519, signer::Ed25519.public_key().as_bytes().to_vec()),
            Self::Sm2 => (AddressFormat::Sm2, signer::Sm2.public_key().as_bytes().to_vec()),
        };
        Address { format, bytes }
    }

    pub fn sign(self, text: &str) -> Vec<u8> {
        match self {
            Self::Ethereum(seed) => {
                let (signature, number) = recoverable(seed, &ethereum_digest(text));
                [signature.as_slice(), &[27 + number]].concat()
            }
            Self::Bitcoin(seed, kind) => {
                let (signature, number) = recoverable(seed, &bitcoin_digest(text));
                [&[31 + 8 * kind + number], signature.as_slice()].concat()
            }
            Self::Ed25519 => signer::Ed25519.sign(text.as_bytes()),
            Self::Sm2 => signer::Sm2.sign(text.as_bytes()),
        }
    }

    /// A member of the group in a version, with its proof.
    pub fn member(self, chain_id: &Hash, group: &Hash, version: u32, person: Person) -> Member {
        let (account, address) = (person.account(), self.address());
        let text = proof_text(chain_id, group, version, &account, &address);
        Member { account, address, proof: self.sign(&text) }
    }
}

/// A key of this ledger.
pub fn key_member(person: Person, key_id: KeyId) -> Member {
    Member { account: person.account(), address: Address::key(&key_id), proof: Vec::new() }
}

pub fn quorum(needed: u8, people: &[Person]) -> Quorum {
    Quorum { needed, parties: parties(people) }
}

pub fn terms(change: (u8, &[Person]), settle: (u8, &[Person])) -> AssociationTerms {
    AssociationTerms { change: quorum(change.0, change.1), settle: quorum(settle.0, settle.1) }
}

pub fn open(association: Hash, terms: AssociationTerms, mut members: Vec<Member>) -> Act {
    members.sort_by(|one, other| one.address.cmp(&other.address));
    Act::Association(AssociationAct::Open { association, terms, members })
}

pub fn update(
    version: u32,
    terms: Option<AssociationTerms>,
    removed: &[Address],
    mut added: Vec<Member>,
) -> Act {
    let mut removed = removed.to_vec();
    removed.sort();
    added.sort_by(|one, other| one.address.cmp(&other.address));
    Act::Association(AssociationAct::Update { association: GROUP, version, terms, removed, added })
}

pub fn leave(version: u32, address: Address) -> Act {
    Act::Association(AssociationAct::Leave { association: GROUP, version, address })
}

pub fn dispute(version: u32) -> Act {
    Act::Association(AssociationAct::Dispute { association: GROUP, version, reason: [0x5e; 32] })
}

pub fn settle(dispute: u32) -> Act {
    Act::Association(AssociationAct::Settle { association: GROUP, dispute, verdict: [0x5f; 32] })
}

/// One act of each kind.
pub fn samples() -> Vec<Act> {
    let [owner, alice] = [0x41, 0x42].map(Person);
    let terms = terms((1, &[owner, alice]), (2, &[owner, alice]));
    let foreign = Holder::Ed25519.member(&[1; 32], &GROUP, 2, alice);
    let removed = [Holder::Ethereum(7).address(), Holder::Bitcoin(7, 1).address()];
    vec![
        open(GROUP, terms.clone(), vec![key_member(owner, KeyId([0x0f; 32])), foreign.clone()]),
        update(2, Some(terms), &removed, vec![foreign]),
        leave(3, Holder::Sm2.address()),
        dispute(3),
        settle(1),
    ]
}
