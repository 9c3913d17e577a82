//! Giving one's word to somebody else's attempt: with an account's credential, a key in a token, or a key of this side.
//!
//! A consent counts for exactly one attempt, which only the process that made the petition can use: whoever gets hold of it
//! can spend that one guess, and learns nothing.

use keyward_crypto::SigningKey;
use keyward_domain::Mode;
use keyward_ledger_core::entry::{Act, Party, VaultAct, VaultAttempt};
use keyward_ledger_core::scheme::KeyId;
use thiserror::Error;

use super::entry::SIGNED_BLOCKS;
use super::error::VaultError;
use super::signers::Unable;
use crate::client::{Client, bytes32};
use crate::error::ClientError;
use crate::person::Login;
use crate::petition::{Petition, PetitionError, party_words};

/// Why a consent is not given or not taken. It costs no guess.
#[derive(Debug, Error)]
pub enum ConsentError {
    /// It is no petition, or could not be signed.
    #[error(transparent)]
    Petition(#[from] PetitionError),
    /// It is made for another ledger.
    #[error("it is for another ledger than the trust file names")]
    OtherLedger,
    /// It asks for something else than an attempt at a vault.
    #[error("it asks for something else than an attempt at a vault")]
    OtherAct,
    /// It is signed for another attempt than this one, or was altered.
    #[error("it is for another attempt than the one that waits here")]
    OtherAttempt,
    /// Nobody has signed it.
    #[error("it bears no signature")]
    Unsigned,
    /// The vault's terms do not name who signed.
    #[error("the vault's terms do not name {}", party_words(*.0))]
    NotNamed(Party),
    /// It is there already.
    #[error("the consent of {} is there already", party_words(*.0))]
    Given(Party),
    /// There are enough.
    #[error("enough have signed: that of {} is not needed", party_words(*.0))]
    Surplus(Party),
    /// It counts no more, or for longer than the ledger takes.
    #[error("the signature of {} counts up to height {not_after}, and the ledger is at {height}", party_words(*.party))]
    Expired {
        /// Whose.
        party: Party,
        /// Up to when it counts.
        not_after: u64,
        /// Where the ledger is.
        height: u64,
    },
    /// The party cannot sign now.
    #[error("{} cannot sign: {unable}", party_words(*.party))]
    Unable {
        /// Who.
        party: Party,
        /// Why.
        unable: Unable,
    },
    /// The signature is none of the party's, over this attempt.
    #[error("the signature is not that of {}, over this attempt", party_words(*.0))]
    SignatureInvalid(Party),
    /// What the service shows is not accepted.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl ConsentError {
    /// The stable code.
    pub fn code(&self) -> Option<&str> {
        Some(match self {
            Self::Petition(PetitionError::Malformed) => "CONSENT_MALFORMED",
            Self::Petition(PetitionError::SignedBefore(_)) | Self::Given(_) => "CONSENT_GIVEN",
            Self::Petition(_) => return None,
            Self::OtherLedger => "CONSENT_OTHER_LEDGER",
            Self::OtherAct | Self::OtherAttempt => "CONSENT_OTHER_ATTEMPT",
            Self::Unsigned => "CONSENT_UNSIGNED",
            Self::NotNamed(_) => "AUTHOR_NOT_NAMED",
            Self::Surplus(_) => "CONSENT_SURPLUS",
            Self::Expired { .. } => "AUTHOR_SIGNATURE_EXPIRED",
            Self::Unable { .. } => "AUTHOR_UNKNOWN",
            Self::SignatureInvalid(_) => "AUTHOR_SIGNATURE_INVALID",
            Self::Vault(error) => return error.code(),
        })
    }

    /// What to do next, where this side knows it.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Petition(PetitionError::Malformed) | Self::OtherLedger | Self::OtherAct => {
                "ask the person who recovers for the file that `keyward vault recover --request` wrote"
            }
            Self::OtherAttempt => "have the present request signed: each recovery has one of its own",
            Self::Unsigned => "have it signed first (`keyward vault consent`)",
            Self::NotNamed(_) => "have those sign that `keyward vault status` names",
            Self::Petition(PetitionError::SignedBefore(_)) | Self::Given(_) | Self::Surplus(_) => {
                "nothing more is needed of this one"
            }
            Self::Expired { .. } | Self::SignatureInvalid(_) => "have it signed again",
            Self::Unable { .. } => "have somebody else sign that the vault's terms name",
            Self::Petition(_) => "try again",
            Self::Vault(error) => return error.remedy(),
        })
    }

    /// Whether nobody could be reached.
    pub fn unreachable(&self) -> bool {
        matches!(self, Self::Vault(error) if error.unreachable())
    }
}

impl Petition {
    /// The attempt at a vault that it asks for, if it does.
    pub const fn attempt(&self) -> Option<&VaultAttempt> {
        match self.act() {
            Act::Vault(VaultAct::Attempt(attempt)) => Some(attempt),
            _ => None,
        }
    }
}

impl Client {
    /// Gives the login's word to an attempt. Before, the petition's fingerprint was compared with the person who asks.
    pub async fn consent(&self, login: &Login, petition: &mut Petition) -> Result<(), ConsentError> {
        let account = login.session.account;
        if self.account != Some(account) {
            return Err(VaultError::OtherAccount.into());
        }
        let not_after = self.may_consent(petition, Party::Credential(account)).await?;
        Ok(petition.sign_as_account(account, &login.credential, not_after)?)
    }

    /// Gives the word of a key that is on this side.
    pub async fn consent_with_own_key(
        &self,
        key: &SigningKey,
        petition: &mut Petition,
    ) -> Result<(), ConsentError> {
        let not_after = self.may_consent(petition, Party::Key(key.public_key().id())).await?;
        Ok(petition.sign_as_key(key, not_after)?)
    }

    /// Gives the word of a key in a token, by its alias or id: the service asks the token, which signs by its own rules, and
    /// its signature is recorded as any other.
    pub async fn consent_with_token(&self, key: &str, petition: &mut Petition) -> Result<(), ConsentError> {
        let client = |error: ClientError| ConsentError::Vault(error.into());
        let shown = self.show_key(key).await.map_err(client)?;
        let key_id = KeyId(bytes32("key id", &shown.key_id).map_err(client)?);
        let party = Party::Key(key_id);
        let unable = match Mode::from_name(&shown.mode) {
            Some(Mode::Hosted) => Some(Unable::Hosted),
            Some(Mode::Shared) => Some(Unable::Shared),
            Some(Mode::Linked | Mode::Own) | None => None,
        };
        if let Some(unable) = unable {
            return Err(ConsentError::Unable { party, unable });
        }
        let not_after = self.may_consent(petition, party).await?;
        let blank = petition.blank(party, not_after)?;
        let message = petition.message(&blank);
        let signed = self.sign_message(&key_id.to_string(), &message).await.map_err(client)?;
        if signed.public_key.id() != key_id {
            return Err(ConsentError::SignatureInvalid(party));
        }
        Ok(petition.add(blank.signed(signed.public_key.as_bytes().to_vec(), signed.signature))?)
    }

    /// Refuses what is no attempt on this ledger, and who cannot sign or has signed; what counts no more makes room. Gives the
    /// last height at which the word counts.
    async fn may_consent(&self, petition: &mut Petition, party: Party) -> Result<u64, ConsentError> {
        let view = self.outside()?;
        if *petition.chain_id() != view.chain_id() {
            return Err(ConsentError::OtherLedger);
        }
        if petition.attempt().is_none() {
            return Err(ConsentError::OtherAct);
        }
        let signers = self.signers(&view, &[party]).await?;
        if petition.authors().iter().any(|one| one.party == party && one.not_after > signers.height) {
            return Err(ConsentError::Given(party));
        }
        petition.forget(party);
        match signers.list.first().and_then(super::Signer::unable) {
            Some(unable) => Err(ConsentError::Unable { party, unable }),
            None => Ok(signers.height.saturating_add(SIGNED_BLOCKS)),
        }
    }
}
