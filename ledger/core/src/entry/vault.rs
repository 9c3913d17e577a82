//! What is wanted of a vault.

use super::author::RuleName;
use super::kind;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::vault::{Refresh, Sealing, VAULT_KEEPERS_MAX};

/// An attempt at a vault and everything it is bound to: `account[32] || vault id[32] || version u32 || share version u32 ||
/// element[32] || reply_key[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultAttempt {
    /// The vault.
    pub vault: RuleName,
    /// The vault's version.
    pub version: u32,
    /// The version of the shares that are to answer.
    pub share_version: u32,
    /// The hash of the blinded element.
    pub element: Hash,
    /// The key that answers are sealed to.
    pub reply_key: [u8; 32],
}

/// What is wanted of a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultAct {
    /// Seals a vault, or seals it anew; the author is the account.
    Seal {
        /// What is sealed.
        sealing: Box<Sealing>,
        /// Each keeper's signature over
        /// [`acknowledgement_message`](crate::vault::acknowledgement_message), in the order of the shares.
        acknowledgements: Vec<[u8; 64]>,
    },
    /// Spends an attempt; authors are those whom the vault's terms name.
    Attempt(VaultAttempt),
    /// Shows that an attempt succeeded.
    Open {
        /// What was asked.
        attempt: VaultAttempt,
        /// The success key's signature over
        /// [`success_message`](crate::contracts::attempts::success_message).
        signature: [u8; 64],
    },
    /// Ends a vault; the author is the account, and nobody once the account is closed.
    Destroy {
        /// The vault.
        vault: RuleName,
        /// Its present version.
        version: u32,
    },
    /// A keeper has erased what it held of a vault, up to a version.
    Erase {
        /// The vault.
        vault: RuleName,
        /// The highest version that is erased; all below it are too.
        version: u32,
        /// The keeper's id; it must submit the entry itself.
        keeper: Hash,
    },
    /// Shares were dealt anew.
    Refresh {
        /// The new shares.
        refresh: Box<Refresh>,
        /// Each new holder's signature, as for a sealing.
        acknowledgements: Vec<[u8; 64]>,
        /// Of holders so far who hold no new share: the index that each had, ascending, and its signature over
        /// [`consent_message`](crate::vault::consent_message).
        consents: Vec<(u8, [u8; 64])>,
    },
}

impl VaultAct {
    /// The code of the entry's kind.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Seal { .. } => kind::SEAL_VAULT,
            Self::Attempt(_) => kind::ATTEMPT_VAULT,
            Self::Open { .. } => kind::OPEN_VAULT,
            Self::Destroy { .. } => kind::DESTROY_VAULT,
            Self::Erase { .. } => kind::ERASE_SHARES,
            Self::Refresh { .. } => kind::REFRESH_VAULT,
        }
    }

    /// The vault that it is about.
    pub const fn vault(&self) -> &RuleName {
        match self {
            Self::Seal { sealing, .. } => &sealing.vault,
            Self::Attempt(attempt) | Self::Open { attempt, .. } => &attempt.vault,
            Self::Destroy { vault, .. } | Self::Erase { vault, .. } => vault,
            Self::Refresh { refresh, .. } => &refresh.vault,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        match self {
            Self::Seal { sealing, acknowledgements } => {
                sealing.write(out);
                write_signatures(out, acknowledgements);
            }
            Self::Attempt(attempt) => attempt.write(out),
            Self::Open { attempt, signature } => {
                attempt.write(out);
                out.raw(signature);
            }
            Self::Destroy { vault, version } => {
                vault.write(out).u32(*version);
            }
            Self::Erase { vault, version, keeper } => {
                vault.write(out).u32(*version).raw(keeper);
            }
            Self::Refresh { refresh, acknowledgements, consents } => {
                refresh.write(out);
                write_signatures(out, acknowledgements);
                out.count(consents.len());
                for (index, signature) in consents {
                    out.u8(*index).raw(signature);
                }
            }
        }
    }

    /// Reads an act of a vault's kind.
    pub(super) fn read(kind: u16, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            kind::SEAL_VAULT => {
                let sealing = Box::new(Sealing::read(reader)?);
                let acknowledgements = read_signatures(reader, sealing.shares.keepers.len())?;
                Self::Seal { sealing, acknowledgements }
            }
            kind::ATTEMPT_VAULT => Self::Attempt(VaultAttempt::read(reader)?),
            kind::OPEN_VAULT => {
                Self::Open { attempt: VaultAttempt::read(reader)?, signature: reader.array("signature")? }
            }
            kind::DESTROY_VAULT => {
                Self::Destroy { vault: RuleName::read(reader)?, version: reader.u32("vault version")? }
            }
            kind::ERASE_SHARES => Self::Erase {
                vault: RuleName::read(reader)?,
                version: reader.u32("vault version")?,
                keeper: reader.array("keeper id")?,
            },
            kind::REFRESH_VAULT => {
                let refresh = Box::new(Refresh::read(reader)?);
                let acknowledgements = read_signatures(reader, refresh.shares.keepers.len())?;
                Self::Refresh { refresh, acknowledgements, consents: read_consents(reader)? }
            }
            code => return Err(DecodeError::UnknownCode { what: "entry kind", code: u64::from(code) }),
        })
    }
}

impl VaultAttempt {
    fn write(&self, out: &mut Writer) {
        self.vault.write(out).u32(self.version).u32(self.share_version);
        out.raw(&self.element).raw(&self.reply_key);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            vault: RuleName::read(reader)?,
            version: reader.u32("vault version")?,
            share_version: reader.u32("share version")?,
            element: reader.array("element")?,
            reply_key: reader.array("reply key")?,
        })
    }
}

fn write_signatures(out: &mut Writer, signatures: &[[u8; 64]]) {
    signatures.iter().for_each(|signature| {
        out.raw(signature);
    });
}

/// One signature for each keeper, without a count of their own.
fn read_signatures(reader: &mut Reader<'_>, count: usize) -> Result<Vec<[u8; 64]>, DecodeError> {
    (0..count).map(|_| reader.array("acknowledgement")).collect()
}

fn read_consents(reader: &mut Reader<'_>) -> Result<Vec<(u8, [u8; 64])>, DecodeError> {
    let consents = reader.list("consents", VAULT_KEEPERS_MAX, |reader| {
        Ok((reader.u8("share index")?, reader.array("consent")?))
    })?;
    if consents.iter().zip(consents.iter().skip(1)).any(|((before, _), (index, _))| before >= index) {
        return Err(DecodeError::Invalid { what: "consents", why: "are not strictly ascending" });
    }
    Ok(consents)
}
