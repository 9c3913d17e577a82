//! Who owns the vaults: seals them, again and again, forgets the device, guesses wrong now and then, recovers, and ends one.

use std::sync::Arc;

use keyward_crypto::vault::{Grant, Proven, Recovery};
use keyward_domain::vault_deposit_message;
use keyward_ledger_core::{
    contracts::registry::credential_challenge,
    entry::{BindCredential, Entry, RuleName, VaultAct, VaultAttempt},
    hash::Hash,
    state::vault::VaultState,
};
use keyward_ledger_simulation::Dice;

use super::{
    checker::Combined,
    inline::Inline,
    town::{Asked, Between, SIZE, Town, lock},
    vaults::{ACCOUNT, PASSWORD, SECRET, VAULTS, draft, owner, password, public, signed, unsigned},
};

/// Things done until the second vault is ended.
const ENDS_AFTER: u64 = 9;
/// How long a recovery stands between evaluations and releases at most, in tenths of a second.
const STANDS_MAX: u64 = 300;

pub(crate) struct Person {
    pub(crate) town: Arc<Town>,
    pub(crate) dice: Dice,
    pub(crate) nonce: u64,
}

/// A recovery that got its evaluations.
struct Evaluated {
    state: VaultState,
    attempt: VaultAttempt,
    leaf: u64,
    helped: Vec<usize>,
    proven: Proven,
}

impl Person {
    /// Opens the account, and seals both vaults.
    pub(crate) async fn settle(&mut self) {
        let key = owner().public_key();
        let (nonce, not_after) = (self.nonce(), self.town.height() + 4_000);
        let challenge = credential_challenge(&self.town.chain_id, &ACCOUNT, 1, &key, &nonce, not_after);
        let bind = BindCredential {
            account: ACCOUNT,
            version: 1,
            public_key: key,
            nonce,
            not_after,
            proof: owner().sign(&challenge),
            holder_signature: None,
        };
        for entry in [Entry::OpenAccount { account: ACCOUNT }, Entry::BindCredential(bind)] {
            let (_, outcome) = self.town.record(&self.town.services[0], &entry, 0).await.expect("a ledger");
            assert!(outcome.is_accepted(), "{}", outcome.name());
        }
        for vault in VAULTS {
            while !self.seal(vault).await {
                self.town.wait(300).await;
            }
        }
    }

    /// Goes on until it is aborted.
    pub(crate) async fn live(mut self) {
        for step in 0.. {
            let pause = 200 + self.dice.below(1_200);
            self.town.wait(pause).await;
            match self.dice.below(8) {
                _ if step == ENDS_AFTER => self.destroy(VAULTS[1]).await,
                0 => drop(self.seal(VAULTS[0]).await),
                2 => drop(self.recover("wrong horse").await),
                _ => drop(self.recover(PASSWORD).await),
            }
        }
    }

    fn nonce(&mut self) -> Hash {
        self.nonce += 1;
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&self.nonce.to_be_bytes());
        nonce
    }

    fn somebody(&mut self) -> usize {
        self.dice.below(SIZE as u64) as usize
    }

    /// All machines, in an order of its own.
    fn everybody(&mut self) -> Vec<usize> {
        let mut order: Vec<_> = (0..SIZE).collect();
        for place in (1..SIZE).rev() {
            order.swap(place, self.dice.below(place as u64 + 1) as usize);
        }
        order
    }

    /// Seals a vault's next version with the same password; every keeper must take its share.
    async fn seal(&mut self, vault: RuleName) -> bool {
        let town = self.town.clone();
        let version = town.vault(&vault).await.map_or(1, |state| state.version + 1);
        let drafted = draft(&town, vault, version);
        let signature = owner().sign(&vault_deposit_message(&town.chain_id, &drafted.sealing.hash()));
        let mut acknowledgements = Vec::new();
        for (node, share) in town.nodes.iter().zip(&drafted.shares) {
            let (sealing, share) = (drafted.sealing.encode(), share.clone());
            let taken = node.ask(&town, |live| {
                Inline::new(async move { live.keeper.deposit(&sealing, &share, &signature).await })
            });
            match taken.await {
                Some(Ok(acknowledgement)) => acknowledgements.push(acknowledgement),
                other => {
                    let why = other.map(|refused| refused.unwrap_err().to_string());
                    town.tell(&format!("seal {version}: keeper {} {why:?}", node.index));
                    return false;
                }
            }
        }
        let act = VaultAct::Seal { sealing: Box::new(drafted.sealing), acknowledgements };
        let entry = signed(&town, act, self.nonce());
        let via = self.somebody();
        let Some((leaf, outcome)) = town.record(&town.services[0], &entry, via).await else { return false };
        town.tell(&format!("seal {version} at {leaf}: {}", outcome.name()));
        if outcome.is_accepted() {
            town.count("sealed");
        }
        outcome.is_accepted()
    }

    async fn destroy(&mut self, vault: RuleName) {
        let town = self.town.clone();
        let Some(version) = town.vault(&vault).await.map(|state| state.version) else { return };
        let entry = signed(&town, VaultAct::Destroy { vault, version }, self.nonce());
        let via = self.somebody();
        let Some((_, outcome)) = town.record(&town.services[0], &entry, via).await else { return };
        town.tell(&format!("destroy: {}", outcome.name()));
        town.count("destroyed");
    }

    /// Tries to recover the first vault; whether it was opened.
    pub(crate) async fn recover(&mut self, text: &str) -> Option<()> {
        let town = self.town.clone();
        let Evaluated { state, attempt, leaf, helped, mut proven } = self.evaluated(text).await?;
        let signature = proven.proof().unwrap();
        self.stand(&helped).await;
        let via = self.somebody();
        let open = unsigned(VaultAct::Open { attempt, signature });
        let (opened, outcome) = town.record(&town.services[0], &open, via).await?;
        town.tell(&format!("open {leaf} at {opened}: {}", outcome.name()));
        if !outcome.is_accepted() {
            return None;
        }
        for node in self.everybody() {
            if proven.is_enough() {
                break;
            }
            if let Some(Ok(answer)) = town.nodes[node].release(&town, leaf, opened).await {
                let index = town.index_of(&state, node)?;
                proven.release(index, &answer).expect("what a keeper releases holds");
            }
        }
        if !proven.is_enough() {
            town.tell(&format!("{leaf}: too few released"));
            return None;
        }
        let keys = proven.open(None).expect("the contents open");
        assert!(keys[0].secret.expose(|secret| secret == SECRET), "another secret came back");
        town.tell(&format!("{leaf} came back"));
        town.count("recovered");
        Some(())
    }

    /// Spends an attempt and gathers evaluations.
    async fn evaluated(&mut self, text: &str) -> Option<Evaluated> {
        let town = self.town.clone();
        let state = town.vault(&VAULTS[0]).await?;
        let vault = public(&town, &state).await?;
        let (recovery, request) = Recovery::begin(vault.clone(), &password(text)).unwrap();
        let attempt = VaultAttempt {
            vault: state.vault,
            version: state.version,
            share_version: state.share_version,
            element: request.element_hash,
            reply_key: request.reply_key,
        };
        let (asks, via) = (unsigned(VaultAct::Attempt(attempt)), self.somebody());
        let (leaf, outcome) = town.record(&town.services[0], &asks, via).await?;
        town.tell(&format!("attempt at {leaf}: {}", outcome.name()));
        if !outcome.is_accepted() {
            return None;
        }
        let id = outcome.data.as_slice().try_into().unwrap();
        let reply_key = request.reply_key;
        let grant =
            Grant { shares: vault.shares(), attempt: id, element_hash: request.element_hash, reply_key };
        let mut evaluating = recovery.granted(&grant).unwrap();
        let (asked, mut helped) = (Asked { attempt, leaf, element: request.element }, Vec::new());
        for node in self.everybody() {
            if evaluating.is_enough() {
                break;
            }
            if let Some(Ok(answer)) = town.nodes[node].evaluate(&town, asked, grant.clone()).await {
                let index = town.index_of(&state, node)?;
                evaluating.answer(index, &answer).expect("what a keeper answers holds");
                helped.push(node);
            }
        }
        if !evaluating.is_enough() {
            town.tell(&format!("{leaf}: too few evaluated"));
            return None;
        }
        let (vault, element) = (state.vault.name, request.element);
        town.seen().combined.push(Combined { vault, element, leaf: Some(leaf) });
        let derived = evaluating.derive();
        assert_eq!(derived.is_ok(), text == PASSWORD, "the password is {text}");
        Some(Evaluated { state, attempt, leaf, helped, proven: derived.ok()? })
    }

    /// Stands between evaluations and releases, if somebody wants something to happen there.
    async fn stand(&mut self, helped: &[usize]) {
        let honest = helped.iter().copied().find(|node| self.town.plan.is_honest(*node));
        if let Some(node) = honest
            && *lock(&self.town.between) == Between::Awaited
        {
            *lock(&self.town.between) = Between::Reached(node);
            for _ in 0..STANDS_MAX {
                if *lock(&self.town.between) == Between::Passed {
                    return;
                }
                self.town.wait(100).await;
            }
        }
    }
}
