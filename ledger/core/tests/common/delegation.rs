//! Delegates, and what they ask for.

use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{Act, DelegationAct, DelegationTerms, Recovery, Scope};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::scheme::KeyId;

use super::acts::{PAYLOAD, Person, case, define, parties, rate_terms};

/// As short as a recovery may wait where members decided nothing else.
pub const DELAY_MS: u64 = 86_400_000;
pub const OPEN_MS: u64 = 2 * DELAY_MS;

/// The key that is to be the credential of a recovered account.
pub fn new_key() -> SigningKey {
    SigningKey::from_seed(&[0xdd; 32])
}

pub fn delegation_terms(needed: u8, delegates: &[Person]) -> DelegationTerms {
    DelegationTerms {
        scope: Scope::BOTH,
        delay_ms: DELAY_MS,
        open_ms: OPEN_MS,
        needed,
        delegates: parties(delegates),
        vetoers: Vec::new(),
        judges: None,
        policy: [0x66; 32],
        windows: rate_terms().windows,
    }
}

pub fn appoint(owner: Person, version: u32, terms: DelegationTerms) -> Act {
    Act::Delegation(DelegationAct::Appoint(define(owner, version, terms)))
}

pub fn recovery(owner: Person) -> Recovery {
    Recovery { rule: owner.rule(), public_key: new_key().public_key(), login: [0x11; 32] }
}

pub fn operate(owner: Person, key_id: KeyId, amount: u128) -> Act {
    Act::Delegation(DelegationAct::Operate { rule: owner.rule(), key_id, commitment: PAYLOAD, amount })
}

/// One act of each kind.
pub fn samples() -> Vec<Act> {
    let (owner, id): (_, Hash) = (Person(0x41), [0x0c; 32]);
    let terms = DelegationTerms {
        vetoers: vec![KeyId([0x0a; 32]), KeyId([0x0b; 32])],
        judges: Some(Person(0x44).rule()),
        ..delegation_terms(1, &[Person(0x42), Person(0x43)])
    };
    let acts = [
        DelegationAct::Appoint(define(owner, 1, terms)),
        DelegationAct::Revoke { rule: owner.rule(), version: 2 },
        DelegationAct::OpenRecovery { recovery: recovery(owner), proof: [0x7f; 64] },
        DelegationAct::VetoRecovery(case(id)),
        DelegationAct::CancelRecovery(case(id)),
        DelegationAct::ExecuteRecovery { recovery: recovery(owner), case: id, judged: Some([0x0e; 32]) },
    ];
    let operate = operate(owner, KeyId([0x0f; 32]), 1 << 70);
    acts.into_iter().map(Act::Delegation).chain([operate]).collect()
}
