//! A recovery that waits: the guess is made and blinded, and others may have to sign before it is handed in.
//!
//! What is secret of it (the blinded password, the key that answers are sealed to) stays in this value and goes with it.

use std::collections::BTreeMap;

use keyward_crypto::vault::{AttemptRequest, Recovery};
use keyward_domain::VaultName;
use keyward_ledger_core::contracts::authored::AUTHORED_BLOCKS_MAX;
use keyward_ledger_core::entry::{Act, Author, Party, VaultAct, VaultAttempt};

use super::consent::ConsentError;
use super::entry::computing;
use super::error::VaultError;
use super::proof::View;
use super::recover::Course;
use super::recovered::{RecoverError, RecoverFailure};
use super::status::{VaultStatus, asks_account};
use super::{Progress, VaultStep};
use crate::client::Client;
use crate::password::Password;
use crate::person::Login;
use crate::petition::Petition;

/// An attempt that is not handed in yet.
pub struct Asked {
    pub(super) name: VaultName,
    pub(super) status: VaultStatus,
    pub(super) fixed: VaultAttempt,
    /// Gone once the ledger has granted it.
    pub(super) recovery: Option<(Recovery, AttemptRequest)>,
    petition: Petition,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asked({}, {} consents)", self.petition.fingerprint(), self.petition.authors().len())
    }
}

impl Asked {
    /// What those sign whose word is needed, with the words that were taken so far; the account's own is added when the attempt
    /// is handed in. Public.
    pub const fn petition(&self) -> &Petition {
        &self.petition
    }

    /// The vault.
    pub const fn status(&self) -> &VaultStatus {
        &self.status
    }

    /// How many more have to sign, the account itself not counted.
    pub fn missing(&self) -> u8 {
        let given = u8::try_from(self.petition.authors().len()).unwrap_or(u8::MAX);
        others_needed(&self.status).saturating_sub(given)
    }

    /// Whether somebody else has signed: then time has passed since the vault was looked at.
    pub(super) fn waited(&self) -> bool {
        !self.petition.authors().is_empty()
    }

    /// Refuses words that cannot count, before the ledger is asked about those who gave them.
    fn refuse_stranger(&self, petition: &Petition) -> Result<(), ConsentError> {
        if petition.chain_id() != self.petition.chain_id() {
            return Err(ConsentError::OtherLedger);
        }
        if !petition.asks_the_same(&self.petition) {
            return Err(ConsentError::OtherAttempt);
        }
        if petition.authors().is_empty() {
            return Err(ConsentError::Unsigned);
        }
        let terms = &self.status.sealing.terms;
        let unnamed = petition.authors().iter().find(|author| !terms.askers.contains(&author.party));
        unnamed.map_or(Ok(()), |author| Err(ConsentError::NotNamed(author.party)))
    }

    /// The words that are not there yet, if there is room for them, and those that count for longer than the ones that are.
    fn fresh(&self, petition: &Petition) -> Result<Vec<Author>, ConsentError> {
        let own = Party::Credential(self.status.sealing.vault.owner);
        let there = |party: Party| self.petition.authors().iter().find(|author| author.party == party);
        let fresh: Vec<_> = petition
            .authors()
            .iter()
            .filter(|author| author.party != own)
            .filter(|author| there(author.party).is_none_or(|there| there.not_after < author.not_after))
            .cloned()
            .collect();
        let mut more = fresh.iter().filter(|author| there(author.party).is_none());
        match (more.nth(usize::from(self.missing())), fresh.first(), petition.authors().first()) {
            (Some(surplus), _, _) => Err(ConsentError::Surplus(surplus.party)),
            (None, None, Some(given)) => Err(ConsentError::Given(given.party)),
            _ => Ok(fresh),
        }
    }
}

/// How many have to sign beside the account itself.
pub(super) fn others_needed(status: &VaultStatus) -> u8 {
    status.sealing.terms.needed.saturating_sub(u8::from(asks_account(&status.sealing)))
}

impl Client {
    /// Begins a recovery: words of others are added with [`Client::take_consent`], and then it goes on with
    /// [`Client::recover_asked`]. Nothing is handed in and nothing spent. Refused at once if others have to sign and `others`
    /// says that they cannot be asked.
    pub async fn ask_vault(
        &self,
        login: &Login,
        name: &VaultName,
        password: &Password,
        others: bool,
        progress: Progress<'_>,
    ) -> Result<Asked, RecoverFailure> {
        let mut course = Course::default();
        match self.beginning(login, name, password, others, progress, &mut course).await {
            Ok(asked) => Ok(asked),
            Err(error) => Err(self.broken_off(name, error, course).await),
        }
    }

    async fn beginning(
        &self,
        login: &Login,
        name: &VaultName,
        password: &Password,
        others: bool,
        progress: Progress<'_>,
        course: &mut Course,
    ) -> Result<Asked, RecoverError> {
        let view = self.view()?;
        progress(VaultStep::Proving);
        let status = self.status_since(&view, name, 0).await?.ok_or(VaultError::Unknown)?;
        course.height = status.height;
        may_attempt(&view, &status, login)?;
        let needed = others_needed(&status);
        if needed > 0 && !others {
            return Err(RecoverError::FactorsMissing { needed });
        }
        progress(VaultStep::Stretching);
        let (vault, secret) = (status.vault().clone(), password.shared());
        let (recovery, request) = computing(move || Recovery::begin(vault, &secret)).await??;
        let facts = status.vault().facts();
        let fixed = VaultAttempt {
            vault: status.sealing.vault,
            version: facts.version,
            share_version: facts.share_version,
            element: request.element_hash,
            reply_key: request.reply_key,
        };
        let petition = Petition::new(view.chain_id(), Act::Vault(VaultAct::Attempt(fixed)));
        Ok(Asked { name: name.clone(), status, fixed, recovery: Some((recovery, request)), petition })
    }

    /// Takes the words that a petition came back with, all or none of them. Gives who gave them.
    pub async fn take_consent(
        &self,
        asked: &mut Asked,
        petition: &Petition,
    ) -> Result<Vec<Party>, ConsentError> {
        asked.refuse_stranger(petition)?;
        let fresh = asked.fresh(petition)?;
        let parties: Vec<_> = fresh.iter().map(|author| author.party).collect();
        let signers = self.signers(&self.view()?, &parties).await?;
        let height = signers.height;
        let known: BTreeMap<_, _> = parties.iter().copied().zip(signers.list).collect();
        for author in &fresh {
            let Author { party, not_after, .. } = *author;
            let Some(signer) = known.get(&party) else { return Err(ConsentError::NotNamed(party)) };
            if let Some(unable) = signer.unable() {
                return Err(ConsentError::Unable { party, unable });
            }
            if not_after <= height || not_after - height > AUTHORED_BLOCKS_MAX {
                return Err(ConsentError::Expired { party, not_after, height });
            }
            let blank = crate::petition::Blank { party, nonce: author.nonce, not_after };
            if !signer.has_signed(author, &asked.petition.message(&blank)) {
                return Err(ConsentError::SignatureInvalid(party));
            }
        }
        for author in fresh {
            asked.petition.forget(author.party);
            asked.petition.add(author)?;
        }
        Ok(parties)
    }
}

/// Refuses what the ledger would refuse whatever the time, before anything is computed.
fn may_attempt(view: &View, status: &VaultStatus, login: &Login) -> Result<(), RecoverError> {
    if login.session.account != view.account {
        return Err(VaultError::OtherAccount.into());
    }
    if status.destroyed {
        return Err(VaultError::Destroyed.into());
    }
    if status.attempts.lifetime_left == 0 {
        return Err(RecoverError::Locked);
    }
    if status.attempts.next_ms.is_none() {
        return Err(RecoverError::Exhausted);
    }
    Ok(())
}
