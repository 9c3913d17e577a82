//! Whoever has the service's host: what lies there is open to them, and the service itself is silent.

use std::sync::atomic::{AtomicU64, Ordering};

use keyward_crypto::SigningKey;
use keyward_ledger_client::{Client, Committer, Config, DEADLINE, Identity};
use keyward_ledger_core::{
    contracts::{authored::authored_message, registry::possession_challenge},
    ed25519,
    entry::{Act, Author, BindKey, Entry, Mode, Party},
    hash::Hash,
    scheme::Scheme,
    trust::Trust,
};
use zeroize::Zeroizing;

use super::victims::Victims;
use crate::{
    attack::loot::{copy, operator_key, unsealed},
    support::keyward::Keyward,
};

pub struct Thief {
    identity: [String; 3],
    pub ledger: Client,
    pub submitter: [u8; 32],
    committer: Committer,
    /// Keys of the thief's making: one is bound to clara's account, one to bob's, as any service may.
    pub keys: [SigningKey; 2],
    numbers: AtomicU64,
}

impl Thief {
    pub async fn in_the_house(keyward: &Keyward, victims: &Victims<'_>) -> Self {
        let host = keyward.work("host");
        for name in
            ["service", "operator.secret", "submitters", "genesis", "trust", "ca", "token", "token.pin"]
        {
            copy(&keyward.dir().join(name), &host.join(name));
        }
        // One process at a time speaks with the submitter key: the service is ended for good.
        keyward.hold();
        keyward.kill("service");
        let operator = operator_key(&host);
        let opened = |name: &str| unsealed(&operator, &host.join(name)).unwrap();
        let (purpose, seed) = opened("submitters/service.key");
        assert!(purpose.starts_with("submitter-key"), "{purpose}");
        let key = ed25519::SigningKey::from_seed(&seed.try_into().unwrap());
        let (purpose, key_pem) = opened("service/tls.key");
        assert!(purpose.starts_with("tls-key"), "{purpose}");
        let read = |name: &str| std::fs::read_to_string(host.join(name)).unwrap();
        let identity =
            [read("ca/ca.pem"), read("service/certificate.pem"), String::from_utf8(key_pem).unwrap()];
        let config = Config {
            nodes: keyward.nodes(),
            identity: identity_of(&identity),
            trust: Trust::decode(&std::fs::read(host.join("trust")).unwrap()).unwrap(),
            deadline: DEADLINE,
            dial: None,
        };
        let ledger = Client::connect(config).await.unwrap();
        let submitter = key.public_key();
        let committer = Committer::start(ledger.clone(), key).await.unwrap();
        let keys = [(); 2].map(|()| SigningKey::generate(Scheme::Ed25519).unwrap());
        let thief = Self { identity, ledger, submitter, committer, keys, numbers: AtomicU64::new(1) };
        for (key, account) in thief.keys.iter().zip(victims.accounts) {
            thief.bind(key, account).await;
        }
        thief
    }

    /// The service, to whoever asks for a certificate.
    pub fn identity(&self) -> Identity {
        identity_of(&self.identity)
    }

    /// 32 bytes that nobody has used.
    pub fn fresh(&self) -> Hash {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0x7e; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes
    }

    /// The last height that is worth naming.
    pub fn not_after(&self) -> u64 {
        self.ledger.height() + 1_000
    }

    /// What the ledger says to an entry, and where it stands.
    pub async fn hand_in(&self, entry: &Entry) -> (&'static str, u64) {
        let recorded = self.committer.commit(entry).await.unwrap();
        (recorded.outcome.name(), recorded.leaf_index)
    }

    /// A service binds what it likes: a key of the thief's own, in somebody's account.
    async fn bind(&self, key: &SigningKey, account: Hash) {
        let (nonce, not_after) = (self.fresh(), self.not_after());
        let public = key.public_key();
        let chain_id = self.ledger.chain_id();
        let message = possession_challenge(&chain_id, &account, Mode::Linked, public, &nonce, not_after);
        let bind = BindKey {
            account,
            mode: Mode::Linked,
            scheme: Scheme::Ed25519,
            public_key: public.as_bytes().to_vec(),
            nonce,
            not_after,
            proof: key.sign_message(&message).unwrap(),
        };
        assert_eq!(self.hand_in(&Entry::BindKey(bind)).await.0, "ACCEPTED");
    }

    /// The thief's signature under an act, in the name of a party.
    pub fn author(&self, act: &Act, party: Party, key: &SigningKey) -> Author {
        let (nonce, not_after, chain_id) = (self.fresh(), self.not_after(), self.ledger.chain_id());
        let message = authored_message(&chain_id, act.kind(), &act.payload(), party, &nonce, not_after);
        let public_key = match party {
            Party::Credential(_) => Vec::new(),
            Party::Key(_) => key.public_key().as_bytes().to_vec(),
        };
        Author { party, nonce, not_after, public_key, signature: key.sign_message(&message).unwrap() }
    }
}

fn identity_of([ca_pem, certificate_pem, key_pem]: &[String; 3]) -> Identity {
    let key_pem = Zeroizing::new(key_pem.clone());
    Identity { ca_pem: ca_pem.clone(), certificate_pem: certificate_pem.clone(), key_pem }
}
