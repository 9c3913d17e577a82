//! Whose word an attempt needs beside the password: what can be met, and what would lock the person out.

use keyward_ledger_core::entry::{Mode, Party};
use thiserror::Error;

use super::error::VaultError;
use super::proof::View;
use super::signers::{Signer, Unable};
use crate::client::Client;
use crate::petition::party_words;

/// The ledger takes so many signatures at most under one entry.
const NEEDED_MAX: usize = 16;
/// The ledger takes so many parties at most in one rule.
const PARTIES_MAX: usize = 24;

/// Whose word an attempt needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Factors {
    /// Nobody's: any service of the ledger can use guesses up, and so deny the vault, though never open it.
    Nobody,
    /// The account's own, which its password gives back on any device.
    Own,
    /// So many of these.
    Of {
        /// How many.
        needed: u8,
        /// Who: credentials of accounts, and keys in a token or on somebody's own side.
        parties: Vec<Party>,
    },
}

/// Why these factors are refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FactorsError {
    /// Nobody is named, or too many.
    #[error("{parties} cannot be named: 1 to {PARTIES_MAX} can")]
    Parties {
        /// How many are named.
        parties: usize,
    },
    /// So many of them cannot sign.
    #[error("{needed} of {parties} cannot sign an attempt: 1 to all of them can, and {NEEDED_MAX} at most")]
    Needed {
        /// How many are to be needed.
        needed: u8,
        /// How many are named.
        parties: usize,
    },
    /// One stands there twice.
    #[error("{} is named twice", party_words(*.0))]
    Twice(Party),
    /// One can never sign, or cannot now.
    #[error("{} cannot sign: {unable}", party_words(*.party))]
    Unable {
        /// Who.
        party: Party,
        /// Why.
        unable: Unable,
    },
    /// Without the person's own keys, which are lost with the device or lie in the vault, there are too few.
    #[error("{needed} are needed, and {left} are left where the keys on your own devices are lost")]
    LostWithDevice {
        /// How many are to be needed.
        needed: u8,
        /// How many do not depend on a device of the person.
        left: usize,
    },
}

impl Factors {
    /// How many, of whom, as the ledger takes it; whether they can sign is not looked at.
    pub(super) fn terms(&self, account: [u8; 32]) -> Result<(u8, Vec<Party>), FactorsError> {
        let (needed, mut parties) = match self {
            Self::Nobody => return Ok((0, Vec::new())),
            Self::Own => return Ok((1, vec![Party::Credential(account)])),
            Self::Of { needed, parties } => (*needed, parties.clone()),
        };
        parties.sort_unstable();
        if let Some((twice, _)) = parties.iter().zip(parties.iter().skip(1)).find(|(one, next)| one == next) {
            return Err(FactorsError::Twice(*twice));
        }
        if parties.is_empty() || parties.len() > PARTIES_MAX {
            return Err(FactorsError::Parties { parties: parties.len() });
        }
        if needed == 0 || usize::from(needed) > parties.len().min(NEEDED_MAX) {
            return Err(FactorsError::Needed { needed, parties: parties.len() });
        }
        Ok((needed, parties))
    }
}

/// Refuses who cannot sign, and too few without what a lost device takes along.
pub(super) fn can_be_met(
    account: [u8; 32],
    needed: u8,
    parties: &[Party],
    signers: &[Signer],
) -> Result<(), FactorsError> {
    for (party, signer) in parties.iter().zip(signers) {
        if let Some(unable) = signer.unable() {
            return Err(FactorsError::Unable { party: *party, unable });
        }
    }
    let stays = |signer: &&Signer| match signer {
        Signer::Key { state, .. } => state.mode != Mode::Own || state.account != account,
        _ => true,
    };
    let left = signers.iter().filter(stays).count();
    if left < usize::from(needed) {
        return Err(FactorsError::LostWithDevice { needed, left });
    }
    Ok(())
}

/// One that a vault's attempts may need, and whether it can sign now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    /// Who.
    pub party: Party,
    /// How the ledger has it.
    pub signer: Signer,
}

impl Client {
    /// Those whom a vault's terms name, with how they stand now.
    pub async fn vault_factors(&self, status: &super::VaultStatus) -> Result<Vec<Factor>, VaultError> {
        let view: View = self.view()?;
        let parties = &status.sealing.terms.askers;
        let signers = self.signers(&view, parties).await?.list;
        Ok(parties.iter().zip(signers).map(|(party, signer)| Factor { party: *party, signer }).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_ledger_core::scheme::{KeyId, Scheme};
    use keyward_ledger_core::state::layout::{KeyState, KeyStatus};

    use super::*;

    const ANNA: [u8; 32] = [1; 32];
    const OWN: Party = Party::Credential(ANNA);
    const BORIS: Party = Party::Credential([2; 32]);
    const CREDENTIAL: Signer = Signer::Account { open: true, credential: Some([9; 32]) };

    fn of(needed: u8, parties: &[Party]) -> Result<(u8, Vec<Party>), FactorsError> {
        Factors::Of { needed, parties: parties.to_vec() }.terms(ANNA)
    }

    fn key(account: [u8; 32], mode: Mode, status: KeyStatus) -> Signer {
        let state = KeyState { account, mode, scheme: Scheme::Ed25519, status, height: 1, version: 1 };
        Signer::Key { state, open: true }
    }

    #[test]
    fn what_could_never_be_met_is_refused_by_name() {
        assert_eq!(of(2, &[BORIS, OWN]).unwrap(), (2, vec![OWN, BORIS]), "in the ledger's order");
        assert_eq!(of(0, &[OWN]), Err(FactorsError::Needed { needed: 0, parties: 1 }));
        assert_eq!(of(3, &[OWN, BORIS]), Err(FactorsError::Needed { needed: 3, parties: 2 }));
        assert_eq!(of(1, &[BORIS, OWN, BORIS]), Err(FactorsError::Twice(BORIS)));
        assert_eq!(of(1, &[]), Err(FactorsError::Parties { parties: 0 }));
        let many: Vec<_> = (1..=25).map(|number| Party::Key(KeyId([number; 32]))).collect();
        assert_eq!(of(1, &many), Err(FactorsError::Parties { parties: 25 }));
        // The ledger takes sixteen signatures under an entry.
        assert_eq!(of(17, &many[..20]), Err(FactorsError::Needed { needed: 17, parties: 20 }));
        assert!(of(16, &many[..20]).is_ok());
    }

    #[test]
    fn who_cannot_sign_is_refused_with_the_reason() {
        let token = Party::Key(KeyId([7; 32]));
        let unable = |signer| can_be_met(ANNA, 1, &[token], &[signer]).unwrap_err();
        for (signer, why) in [
            (Signer::Unknown, Unable::Unbound),
            (Signer::Hidden, Unable::Hidden),
            (key(ANNA, Mode::Hosted, KeyStatus::Active), Unable::Hosted),
            (key(ANNA, Mode::Shared, KeyStatus::Active), Unable::Shared),
            (key(ANNA, Mode::Linked, KeyStatus::Frozen), Unable::Frozen),
            (Signer::Account { open: false, credential: Some([1; 32]) }, Unable::Closed),
            (Signer::Account { open: true, credential: None }, Unable::Unknown),
        ] {
            assert_eq!(unable(signer), FactorsError::Unable { party: token, unable: why });
        }
        can_be_met(ANNA, 1, &[token], &[key(ANNA, Mode::Linked, KeyStatus::Active)]).unwrap();
    }

    #[test]
    fn keys_on_the_persons_own_devices_do_not_count_where_the_device_is_lost() {
        let (mine, hers) = (Party::Key(KeyId([7; 32])), Party::Key(KeyId([8; 32])));
        let own = key(ANNA, Mode::Own, KeyStatus::Active);
        let others = key([2; 32], Mode::Own, KeyStatus::Active);
        let lost = can_be_met(ANNA, 2, &[OWN, mine], &[CREDENTIAL, own]).unwrap_err();
        assert_eq!(lost, FactorsError::LostWithDevice { needed: 2, left: 1 });
        can_be_met(ANNA, 1, &[OWN, mine], &[CREDENTIAL, own]).unwrap();
        can_be_met(ANNA, 2, &[OWN, hers], &[CREDENTIAL, others]).unwrap();
    }
}
