//! What is public of a vault: the bytes that its owner signs, and those that keepers acknowledge.
//!
//! Points and scalars are opaque here: keepers look into them and acknowledge, the contract `vault` checks the
//! acknowledgements. Ledger, keepers and clients share this one encoding.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ed25519;
use crate::entry::{AttemptsTerms, RuleName, Terms as _, kind};
use crate::hash::{Hash, Tag};

/// The most keepers of one vault: what still fits an entry with every acknowledgement.
pub const VAULT_KEEPERS_MAX: usize = 16;
/// The least threshold: of one, each keeper would be a whole.
pub const THRESHOLD_MIN: u8 = 2;
/// The least memory of the stretching, in KiB (19 MiB).
pub const MEMORY_KIB_MIN: u32 = 19 * 1024;
/// The most memory of the stretching, in KiB (2 GiB): what a sealing may cost those who open it.
pub const MEMORY_KIB_MAX: u32 = 2 * 1024 * 1024;
/// The least passes of the stretching.
pub const PASSES_MIN: u32 = 2;
/// The most passes of the stretching.
pub const PASSES_MAX: u32 = 64;
/// The most lanes of the stretching.
pub const LANES_MAX: u32 = 16;

/// Sealings and refreshes without an end.
const ENDLESS_VERSION: u8 = 1;
/// Those that say up to when they may be recorded.
const SEALING_VERSION: u8 = 2;

/// Who has made the key that lies in a vault, and what opens it beside the keepers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum VaultMode {
    /// Made on the user's side: the service's OPAQUE export key is needed too.
    Own = 1,
    /// Password and keepers are enough.
    Vault = 2,
}

impl VaultMode {
    /// The code that stands in sealings.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// `self` or `vault`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "self",
            Self::Vault => "vault",
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("vault mode")? {
            1 => Ok(Self::Own),
            2 => Ok(Self::Vault),
            code => Err(DecodeError::UnknownCode { what: "vault mode", code: u64::from(code) }),
        }
    }
}

/// How the password is stretched (Argon2id, RFC 9106): `memory_kib u32 || passes u32 || lanes u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretching {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Stretching {
    fn is_sound(&self) -> bool {
        (MEMORY_KIB_MIN..=MEMORY_KIB_MAX).contains(&self.memory_kib)
            && (PASSES_MIN..=PASSES_MAX).contains(&self.passes)
            && (1..=LANES_MAX).contains(&self.lanes)
    }
}

/// Who holds shares, and what they are held against: `threshold u8 || list(16) of keeper id[32] ||` as many points `||` as
/// many points again as the threshold says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    /// The keepers' ids, each once; a share's index is its place here, from 1.
    pub keepers: Vec<Hash>,
    /// Feldman commitments to the evaluation key k, the constant term first; as many as shares are needed. ristretto255,
    /// opaque here.
    pub evaluation: Vec<[u8; 32]>,
    /// Pedersen commitments to the mask m, the constant term first; as many as shares are needed.
    pub mask: Vec<[u8; 32]>,
}

impl Shares {
    /// How many shares are needed.
    pub fn threshold(&self) -> u8 {
        // INVARIANT: more than VAULT_KEEPERS_MAX commitments are refused before anybody relies on the number.
        u8::try_from(self.evaluation.len()).unwrap_or(u8::MAX)
    }

    /// The commitments to the secrets themselves, which stay when shares are dealt anew.
    pub fn constants(&self) -> Option<[[u8; 32]; 2]> {
        Some([*self.evaluation.first()?, *self.mask.first()?])
    }

    /// Whether the lists fit each other: 2 <= threshold <= keepers <= 16, each keeper once.
    pub fn is_sound(&self) -> bool {
        let distinct = self.keepers.iter().collect::<std::collections::BTreeSet<_>>().len();
        self.evaluation.len() == self.mask.len()
            && self.threshold() >= THRESHOLD_MIN
            && usize::from(self.threshold()) <= self.keepers.len()
            && self.keepers.len() <= VAULT_KEEPERS_MAX
            && distinct == self.keepers.len()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u8(self.threshold()).count(self.keepers.len());
        for item in self.keepers.iter().chain(&self.evaluation).chain(&self.mask) {
            out.raw(item);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let threshold = usize::from(reader.u8("threshold")?);
        if threshold > VAULT_KEEPERS_MAX {
            return Err(DecodeError::TooLong { what: "threshold", len: threshold, max: VAULT_KEEPERS_MAX });
        }
        let keepers = reader.list("keepers", VAULT_KEEPERS_MAX, |reader| reader.array("keeper id"))?;
        let mut points = || (0..threshold).map(|_| reader.array("commitment")).collect::<Result<_, _>>();
        Ok(Self { keepers, evaluation: points()?, mask: points()? })
    }
}

/// What is public of a sealed vault: `2 u8 || expires_ms u64 || account[32] || vault id[32] || version u32 || mode u8 ||
/// shares || stretching || attempts terms || ciphertext hash[32]`. In version 1 `expires_ms` is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// The block time up to which it may be recorded, in milliseconds since 1970: keepers do not hold its shares for ever.
    /// None in version 1, which keepers acknowledge no more.
    pub expires_ms: Option<u64>,
    /// The account, and the vault's id of 32 random bytes.
    pub vault: RuleName,
    /// 1, then one more each time the vault is sealed anew.
    pub version: u32,
    /// What opens it.
    pub mode: VaultMode,
    /// Who holds shares.
    pub shares: Shares,
    /// How the password is stretched.
    pub stretching: Stretching,
    /// How many attempts there are, who must ask for one, and the key A whose signature proves that one succeeded.
    pub terms: AttemptsTerms,
    /// SHA-256 of the ciphertext that every keeper holds.
    pub ciphertext_hash: Hash,
}

impl Sealing {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(2048);
        self.write(&mut out);
        out.finish()
    }

    /// Decodes exactly one sealing.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let sealing = Self::read(&mut reader)?;
        reader.finish("sealing")?;
        Ok(sealing)
    }

    /// What keepers acknowledge, and what names these shares: `tagged("keyward/sealing/v1", sealing)`.
    pub fn hash(&self) -> Hash {
        Tag::Sealing.hash(&[&self.encode()])
    }

    /// Whether every number and list is within its bounds.
    pub fn is_sound(&self) -> bool {
        self.shares.is_sound() && self.stretching.is_sound() && self.terms.is_sound()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        let Stretching { memory_kib, passes, lanes } = self.stretching;
        self.vault.write(write_life(out, self.expires_ms)).u32(self.version).u8(self.mode.code());
        self.shares.write(out);
        out.u32(memory_kib).u32(passes).u32(lanes);
        self.terms.write(out);
        out.raw(&self.ciphertext_hash);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            expires_ms: read_life(reader, "sealing version")?,
            vault: RuleName::read(reader)?,
            version: reader.u32("vault version")?,
            mode: VaultMode::read(reader)?,
            shares: Shares::read(reader)?,
            stretching: Stretching {
                memory_kib: reader.u32("memory")?,
                passes: reader.u32("passes")?,
                lanes: reader.u32("lanes")?,
            },
            terms: AttemptsTerms::read(reader)?,
            ciphertext_hash: reader.array("ciphertext hash")?,
        })
    }
}

/// Shares dealt anew for the same secrets: `2 u8 || expires_ms u64 || account[32] || vault id[32] || version u32 || share
/// version u32 || shares`. In version 1 `expires_ms` is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// As for a sealing.
    pub expires_ms: Option<u64>,
    /// The vault.
    pub vault: RuleName,
    /// The vault's version, which stays.
    pub version: u32,
    /// One more than that of the shares before.
    pub share_version: u32,
    /// Who holds shares from now on. The constant terms are those before.
    pub shares: Shares,
}

impl Refresh {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(2048);
        self.write(&mut out);
        out.finish()
    }

    /// Decodes exactly one refresh.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let refresh = Self::read(&mut reader)?;
        reader.finish("refresh")?;
        Ok(refresh)
    }

    /// What keepers acknowledge, and what names these shares: `tagged("keyward/refresh/v1", refresh)`.
    pub fn hash(&self) -> Hash {
        Tag::Refresh.hash(&[&self.encode()])
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        self.vault.write(write_life(out, self.expires_ms)).u32(self.version).u32(self.share_version);
        self.shares.write(out);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            expires_ms: read_life(reader, "refresh version")?,
            vault: RuleName::read(reader)?,
            version: reader.u32("vault version")?,
            share_version: reader.u32("share version")?,
            shares: Shares::read(reader)?,
        })
    }
}

/// `1 u8`, or `2 u8 || expires_ms u64`.
fn write_life(out: &mut Writer, expires_ms: Option<u64>) -> &mut Writer {
    match expires_ms {
        None => out.u8(ENDLESS_VERSION),
        Some(expires_ms) => out.u8(SEALING_VERSION).u64(expires_ms),
    }
}

fn read_life(reader: &mut Reader<'_>, what: &'static str) -> Result<Option<u64>, DecodeError> {
    match reader.u8(what)? {
        ENDLESS_VERSION => Ok(None),
        SEALING_VERSION => reader.u64("expiry").map(Some),
        code => Err(DecodeError::UnknownCode { what, code: u64::from(code) }),
    }
}

/// The id of a vault in the state: that of a rule of the kind `seal-vault`.
pub fn vault_rule(vault: &RuleName) -> Hash {
    vault.id(kind::SEAL_VAULT)
}

/// What a keeper signs once its share fits the commitments, by the hash of a sealing or refresh:
/// `tagged("keyward/vault-acknowledgement/v1", chain id || hash || index u8)`, the index counting from 1.
pub fn acknowledgement_message(chain_id: &Hash, hash: &Hash, index: u8) -> Hash {
    Tag::VaultAcknowledgement.hash(&[chain_id, hash, &[index]])
}

/// What a keeper signs that gives its share away and is not among the new holders:
/// `tagged("keyward/vault-consent/v1", chain id || refresh hash || index u8)`, the index that it had so far.
pub fn consent_message(chain_id: &Hash, hash: &Hash, index: u8) -> Hash {
    Tag::VaultConsent.hash(&[chain_id, hash, &[index]])
}

/// A keeper's acknowledgement of its share.
pub fn acknowledge(key: &ed25519::SigningKey, chain_id: &Hash, hash: &Hash, index: u8) -> [u8; 64] {
    key.sign(&acknowledgement_message(chain_id, hash, index))
}
