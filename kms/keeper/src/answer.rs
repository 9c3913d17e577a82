//! Answering a recovery: only what a final record grants, only to the key that it names.

use keyward_crypto::vault::{ELEMENT_BYTES, Grant, ShareSet, element_hash};
use keyward_ledger_core::{
    contracts::attempts::GRANT_LIVE_MS,
    entry::{VaultAct, VaultAttempt},
    hash::Hash,
};

use crate::{
    error::KeeperError,
    facts::vault_act,
    keeper::Keeper,
    ledger::{Final, LedgerError},
    place::Place,
};

/// An attempt that the ledger accepted.
struct Attempted {
    attempt: VaultAttempt,
    id: Hash,
    time_ms: u64,
}

impl Keeper {
    /// Evaluates the blinded element of a granted attempt, given by the place of its record in the log. The answer is
    /// sealed to the attempt's reply key. The same attempt is answered as often as it is asked: it fixes one element.
    pub async fn evaluate(
        &self,
        leaf_index: u64,
        element: &[u8; ELEMENT_BYTES],
    ) -> Result<Vec<u8>, KeeperError> {
        let attempted = self.attempted(leaf_index).await?;
        // Another element costs its sender two look-ups and us no work.
        if element_hash(element) != attempted.attempt.element {
            return Err(keyward_crypto::vault::KeeperError::OtherElement.into());
        }
        let (grant, place) = self.granted(leaf_index, &attempted).await?;
        let (question, element) = ((grant.attempt, *element), *element);
        if let Some(answer) = self.0.answered.find(&question) {
            return Ok(answer);
        }
        let answer = self.with_share(place, move |held, signing| {
            Ok(held.share.evaluate(&grant, &element, |message| signing.sign(message))?)
        });
        let answer = answer.await?;
        self.0.answered.remember(question, &answer);
        Ok(answer)
    }

    /// Gives the share of the mask and the ciphertext to an attempt that the ledger has recorded as a success: by the
    /// places of the attempt's record and of the one that opened the vault.
    pub async fn release(&self, leaf_index: u64, opened_leaf: u64) -> Result<Vec<u8>, KeeperError> {
        let attempted = self.attempted(leaf_index).await?;
        let opened = self.0.ledger.record(opened_leaf).await?;
        let proof = match vault_act(&opened.entry) {
            Some(VaultAct::Open { attempt, signature })
                if opened.outcome.is_accepted()
                    && opened_leaf > leaf_index
                    && attempt == attempted.attempt =>
            {
                signature
            }
            _ => return Err(KeeperError::NotOpened { leaf_index: opened_leaf }),
        };
        let (grant, place) = self.granted(leaf_index, &attempted).await?;
        let question = (grant.attempt, opened_leaf_question(opened_leaf));
        if let Some(answer) = self.0.released.find(&question) {
            return Ok(answer);
        }
        let answer = self.with_share(place, move |held, signing| {
            Ok(held.share.release(&grant, &proof, |message| signing.sign(message))?)
        });
        let answer = answer.await?;
        self.0.released.remember(question, &answer);
        Ok(answer)
    }

    /// What an accepted attempt grants now, and the place of the share that answers for it.
    async fn granted(&self, leaf_index: u64, attempted: &Attempted) -> Result<(Grant, Place), KeeperError> {
        let refused = |why| KeeperError::NotGranted { leaf_index, why };
        let Attempted { attempt, id, time_ms } = attempted;
        let (vault, now_ms) = self.live(&attempt.vault).await?;
        if now_ms < *time_ms {
            // State from before the attempt cannot say what became of its vault.
            return Err(LedgerError::Behind { age_ms: time_ms.saturating_sub(now_ms) }.into());
        }
        let vault = vault.ok_or_else(|| refused("there is no such vault"))?;
        if (vault.version, vault.share_version) != (attempt.version, attempt.share_version) {
            return Err(KeeperError::Stale);
        }
        if now_ms > time_ms.saturating_add(GRANT_LIVE_MS) {
            return Err(refused("its time is over"));
        }
        let shares = ShareSet {
            chain_id: self.0.ledger.chain_id(),
            account: attempt.vault.owner,
            vault: attempt.vault.name,
            version: attempt.version,
            share_version: attempt.share_version,
            shares_hash: vault.shares,
        };
        let (element_hash, reply_key) = (attempt.element, attempt.reply_key);
        Ok((Grant { shares, attempt: *id, element_hash, reply_key }, Place::now(&vault)))
    }

    /// The accepted attempt of a record.
    async fn attempted(&self, leaf_index: u64) -> Result<Attempted, KeeperError> {
        let refused = |why| KeeperError::NotGranted { leaf_index, why };
        let Final { entry, outcome, time_ms } = self.0.ledger.record(leaf_index).await?;
        let Some(VaultAct::Attempt(attempt)) = vault_act(&entry) else {
            return Err(refused("it is another kind of record"));
        };
        if !outcome.is_accepted() {
            return Err(refused("the ledger refused it"));
        }
        let id = outcome.data.as_slice().try_into().map_err(|_other| refused("it names no attempt"))?;
        Ok(Attempted { attempt, id, time_ms })
    }
}

/// The place of a success, as what a release is remembered by.
fn opened_leaf_question(leaf_index: u64) -> Hash {
    let mut question = [0; 32];
    question.iter_mut().zip(leaf_index.to_be_bytes()).for_each(|(byte, from)| *byte = from);
    question
}
