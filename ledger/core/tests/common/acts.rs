//! People with credentials, and what they sign.

use keyward_ledger_core::contracts::authored::authored_message;
use keyward_ledger_core::contracts::registry::{credential_challenge, possession_challenge};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{
    Act, ApprovalTerms, Attempt, AttemptsTerms, Author, Authored, BindCredential, BindKey, Case, Define,
    Entry, Group, Mode, Party, PublishPolicy, RateTerms, RuleName, TimelockTerms, Window, kind, tenant_id,
};
use keyward_ledger_core::hash::{Hash, sha256};
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::state::layout::{CredentialState, credential_key};

use super::{Keys, World};

pub const PAYLOAD: Hash = [0x9a; 32];

/// Somebody with an account; the number makes account and credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person(pub u8);

impl Person {
    pub fn account(self) -> Hash {
        [self.0; 32]
    }

    pub fn key(self) -> SigningKey {
        SigningKey::from_seed(&[self.0; 32])
    }

    pub fn party(self) -> Party {
        Party::Credential(self.account())
    }

    pub fn rule(self) -> RuleName {
        RuleName { owner: self.account(), name: [7; 32] }
    }
}

pub fn parties(people: &[Person]) -> Vec<Party> {
    people.iter().map(|person| person.party()).collect()
}

/// The key whose signature proves a success.
pub fn success_key() -> SigningKey {
    SigningKey::from_seed(&[0xee; 32])
}

pub fn attempts_terms() -> AttemptsTerms {
    AttemptsTerms {
        limit: 3,
        lifetime: 5,
        cool_down_ms: 1_000,
        refill_ms: 60_000,
        success_key: success_key().public_key(),
        needed: 0,
        askers: Vec::new(),
    }
}

pub fn attempt(version: u32, number: u8) -> Attempt {
    Attempt { version, element: [number; 32], reply_key: [0x44; 32] }
}

pub fn rate_terms() -> RateTerms {
    let window = |length_ms, count_max, amount_max| Window { length_ms, count_max, amount_max };
    RateTerms { windows: vec![window(60_000, 3, 100), window(600_000, 10, 250)], chargers: Vec::new() }
}

pub fn approval_terms(groups: &[(u8, &[Person])]) -> ApprovalTerms {
    let group = |(needed, members): &(u8, &[Person])| Group {
        role: "officer".into(),
        needed: *needed,
        members: parties(members),
    };
    ApprovalTerms { live_ms_max: 600_000, groups: groups.iter().map(group).collect() }
}

pub fn timelock_terms(needed: u8, openers: &[Person], vetoers: &[Person]) -> TimelockTerms {
    TimelockTerms {
        delay_ms: 60_000,
        open_ms: 120_000,
        needed,
        openers: parties(openers),
        vetoers: parties(vetoers),
        judges: None,
    }
}

pub fn define<T>(owner: Person, version: u32, terms: T) -> Define<T> {
    Define { rule: owner.rule(), version, terms }
}

/// Closes a person's account.
pub fn close(person: Person) -> Act {
    Act::CloseAccount { account: person.account() }
}

pub fn case(id: Hash) -> Case {
    Case { id, payload: PAYLOAD }
}

/// A policy set of the tenant `bank`, decided from then on by the owner's approval rule.
pub fn publish(version: u32, case: Option<Hash>) -> Act {
    let rule = Person(0x41).rule().id(kind::DEFINE_APPROVAL);
    Act::PublishPolicy(PublishPolicy {
        tenant: tenant_id("bank"),
        version,
        set: [version as u8; 32],
        rule,
        case,
    })
}

/// The same of rules of risk.
pub fn publish_risk(version: u32, case: Option<Hash>) -> Act {
    let Act::PublishPolicy(publish) = publish(version, case) else { unreachable!() };
    Act::PublishRisk(publish)
}

/// One act of each kind.
pub fn samples() -> Vec<Act> {
    let owner = Person(0x41);
    let (rule, attempt, case) = (owner.rule(), attempt(1, 5), case([0x0c; 32]));
    let attempts = AttemptsTerms { needed: 1, askers: parties(&[owner]), ..attempts_terms() };
    let mut timelock = timelock_terms(1, &[owner], &[Person(0x42), Person(0x43)]);
    timelock.judges = Some([0x0d; 32]);
    let mut acts = vec![
        close(owner),
        Act::DefineAttempts(define(owner, 1, attempts)),
        Act::GrantAttempt { rule, attempt },
        Act::ProveAttempt { rule, attempt, signature: [0x79; 64] },
        Act::DefineRate(define(owner, 2, rate_terms())),
        Act::ChargeRate { rule, amount: 1 << 70, what: PAYLOAD },
        Act::DefineApproval(define(owner, 3, approval_terms(&[(1, &[owner]), (2, &[owner, Person(0x42)])]))),
        Act::OpenApproval { rule, payload: PAYLOAD, live_ms: 60_000 },
        Act::Approve { case, group: 1 },
        Act::RefuseApproval(case),
        Act::WithdrawApproval(case),
        Act::UseApproval(case),
        Act::DefineTimelock(define(owner, 4, timelock)),
        Act::OpenTimelock { rule, payload: PAYLOAD },
        Act::VetoTimelock(case),
        Act::CancelTimelock(case),
        Act::ExecuteTimelock { case, judged: Some([0x0e; 32]) },
    ];
    acts.extend(super::vault::samples());
    acts.extend(super::delegation::samples());
    acts.extend([publish(1, None), publish_risk(1, None)]);
    acts.extend(super::association::samples());
    acts.extend(super::shared::samples());
    acts.extend(super::addresses::samples());
    acts
}

/// A credential and a linked key.
pub fn sample_authors() -> Vec<Author> {
    let author = |party, public_key: Vec<u8>| Author {
        party,
        nonce: [9; 32],
        not_after: 100,
        public_key,
        signature: vec![0x7a; 64],
    };
    let key = super::signer::Secp256k1.public_key();
    let token = author(Party::Key(key.id()), key.as_bytes().to_vec());
    vec![author(Person(0x41).party(), Vec::new()), token]
}

impl World {
    /// Opens a person's account and binds the credential.
    pub fn enroll(&mut self, person: Person) {
        let (account, key, not_after) = (person.account(), person.key(), self.ledger.height() + 9);
        let (chain_id, public_key) = (self.chain_id(), key.public_key());
        let challenge = credential_challenge(&chain_id, &account, 1, &public_key, &[1; 32], not_after);
        let bind = BindCredential {
            account,
            version: 1,
            public_key,
            nonce: [1; 32],
            not_after,
            proof: key.sign(&challenge),
            holder_signature: None,
        };
        let entries = [Entry::OpenAccount { account }, Entry::BindCredential(bind)];
        assert_eq!(self.names(&entries), ["ACCEPTED", "ACCEPTED"]);
    }

    /// Puts another credential in the place of one that a person has.
    pub fn replace_credential(&mut self, person: Person, present: &SigningKey, next: &SigningKey) {
        let (account, public_key, nonce) = (person.account(), next.public_key(), [2; 32]);
        let value = self.ledger.state().get(&credential_key(&account)).unwrap();
        let version = CredentialState::decode(value).unwrap().version + 1;
        let not_after = self.ledger.height() + 9;
        let challenge =
            credential_challenge(&self.chain_id(), &account, version, &public_key, &nonce, not_after);
        let holder_signature = Some(present.sign(&challenge));
        let proof = next.sign(&challenge);
        let bind = BindCredential { account, version, public_key, nonce, not_after, proof, holder_signature };
        assert_eq!(self.names(&[Entry::BindCredential(bind)]), ["ACCEPTED"]);
    }

    pub fn enroll_all(&mut self, people: &[Person]) {
        people.iter().for_each(|person| self.enroll(*person));
    }

    /// A linked key for a person's account.
    pub fn link(&mut self, person: Person, keys: &dyn Keys, mode: Mode) -> Party {
        let (key, not_after) = (keys.public_key(), self.ledger.height() + 9);
        let (account, nonce) = (person.account(), [3; 32]);
        let challenge = possession_challenge(&self.chain_id(), &account, mode, &key, &nonce, not_after);
        let (scheme, public_key) = (key.scheme(), key.as_bytes().to_vec());
        let proof = keys.sign(&challenge);
        let bind = BindKey { account, mode, scheme, public_key, nonce, not_after, proof };
        assert_eq!(self.names(&[Entry::BindKey(bind)]), ["ACCEPTED"]);
        Party::Key(key.id())
    }

    /// An author whose signature `sign` makes over the message.
    pub fn author(&mut self, act: &Act, party: Party, sign: &dyn Fn(&[u8]) -> Vec<u8>) -> Author {
        self.nonces += 1;
        let (nonce, not_after) = (sha256(&[&self.nonces.to_be_bytes()]), self.ledger.height() + 50);
        let (chain_id, payload) = (self.chain_id(), act.payload());
        let message = authored_message(&chain_id, act.kind(), &payload, party, &nonce, not_after);
        Author { party, nonce, not_after, public_key: Vec::new(), signature: sign(&message) }
    }

    pub fn signed_by(&mut self, act: Act, people: &[Person]) -> Entry {
        let sign = |person: Person| move |message: &[u8]| person.key().sign(message).to_vec();
        let mut authors: Vec<_> =
            people.iter().map(|person| self.author(&act, person.party(), &sign(*person))).collect();
        authors.sort_by_key(|author| author.party);
        Entry::Authored(Authored { act, authors })
    }

    /// Submits an act in a block of its own.
    pub fn act(&mut self, act: Act, people: &[Person]) -> Outcome {
        let entry = self.signed_by(act, people);
        self.submit(&[entry]).remove(0)
    }

    pub fn answer(&mut self, act: Act, people: &[Person]) -> &'static str {
        self.act(act, people).name()
    }

    /// Submits an act that must be accepted, and gives the id in its outcome.
    pub fn made(&mut self, act: Act, people: &[Person]) -> Hash {
        let outcome = self.act(act, people);
        assert_eq!(outcome.name(), "ACCEPTED");
        outcome.data.try_into().unwrap()
    }

    /// Lets time pass in one empty block.
    pub fn wait(&mut self, ms: u64) {
        let step_ms = std::mem::replace(&mut self.step_ms, ms);
        self.block(&[]);
        self.step_ms = step_ms;
    }

    /// The state without what every batch changes.
    pub fn business(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let window = |key: &[u8]| key.starts_with(b"batch/") || key.starts_with(b"submitter/");
        let entries = self.ledger.state().iter().filter(|(key, _)| !window(key));
        entries.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    /// How many entries of the state have the prefix.
    pub fn count(&self, prefix: &[u8]) -> usize {
        self.ledger.state().iter().filter(|(key, _)| key.starts_with(prefix)).count()
    }
}
