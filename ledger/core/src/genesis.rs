//! The genesis document: what a ledger starts from, and what names it.

mod keepers;

use thiserror::Error;

use crate::block::{Block, Header, Regime, SignedHeader, body_hash};
use crate::certificate::{SetError, VALIDATORS_MAX, ValidatorSet};
use crate::codec::{DecodeError, Reader, Writer};
use crate::ed25519::{Ed25519Error, VerifyingKey};
use crate::execute::BLOCK_ENTRIES_MAX;
use crate::hash::{Hash, Tag, ZERO};
use crate::keeper::Keeper;
use crate::log;
use crate::state::keeper::KEEPERS_MAX;
use crate::state::{Tree, layout};

/// The version of genesis documents that name no keeper.
pub const GENESIS_VERSION: u8 = 1;
/// The version of those that name keepers.
pub const GENESIS_VERSION_WITH_KEEPERS: u8 = 2;
/// The longest name of a ledger.
pub const NAME_BYTES_MAX: usize = 64;
/// The most submitters.
pub const SUBMITTERS_MAX: usize = 1024;
/// The epoch length where nothing else is wanted.
pub const EPOCH_LENGTH_DEFAULT: u64 = 256;

/// What a submitter is to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// A custody service: everything.
    Service = 1,
    /// A keeper: notes, attempts at vaults, and what it says of its shares.
    Keeper = 2,
    /// An operator: notes, freezing and thawing keys.
    Operator = 3,
    /// A validator that submits with its own key, as long as it is one: notes, and what carries its author's
    /// signature. Nobody is given this role.
    Member = 4,
}

impl Role {
    /// The code that stands in genesis and state.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The role of a code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Service),
            2 => Some(Self::Keeper),
            3 => Some(Self::Operator),
            4 => Some(Self::Member),
            _ => None,
        }
    }

    /// `service`, `keeper`, `operator` or `member`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Keeper => "keeper",
            Self::Operator => "operator",
            Self::Member => "member",
        }
    }
}

/// Who may submit batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitter {
    /// The Ed25519 public key.
    pub key: [u8; 32],
    /// What it may submit.
    pub role: Role,
    /// How many of its entries one block may carry, at least 1.
    pub block_entries_max: u32,
}

impl Submitter {
    /// A submitter that may fill whole blocks.
    pub const fn new(key: [u8; 32], role: Role) -> Self {
        Self { key, role, block_entries_max: BLOCK_ENTRIES_MAX }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.raw(&self.key).u8(self.role.code()).u32(self.block_entries_max);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let key = reader.array("submitter")?;
        let role = reader.u8("role")?;
        let role =
            Role::from_code(role).ok_or(DecodeError::UnknownCode { what: "role", code: u64::from(role) })?;
        Ok(Self { key, role, block_entries_max: reader.u32("block entries")? })
    }
}

/// A genesis document whose rules were not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisDocument {
    /// The ledger's name: 1 to 64 of `a-z`, `0-9`, `-`.
    pub name: String,
    /// The time of genesis, in milliseconds since 1970.
    pub time_ms: u64,
    /// The validators' Ed25519 public keys, strictly ascending.
    pub validators: Vec<[u8; 32]>,
    /// The submitters, by strictly ascending key.
    pub submitters: Vec<Submitter>,
    /// The keepers of vault shares, by strictly ascending id; each submits under its key.
    pub keepers: Vec<Keeper>,
    /// Blocks of an epoch, at least 2.
    pub epoch_length: u64,
    /// How the ledger agrees at first.
    pub regime: Regime,
    /// How far a live proposal's time may lie from a voter's clock, in milliseconds.
    pub clock_bound_ms: u64,
}

/// Why a document cannot be a genesis.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// The bytes are malformed.
    #[error("the genesis document is malformed")]
    Malformed(#[from] DecodeError),
    /// The name breaks its rule.
    #[error("the name `{name}` is not 1 to {max} of a-z, 0-9 and -", max = NAME_BYTES_MAX)]
    Name {
        /// The name.
        name: String,
    },
    /// The validators are no set.
    #[error("the validators are refused")]
    Validators(#[from] SetError),
    /// Too many submitters.
    #[error("{count} submitters are too many, at most {max} are allowed", max = SUBMITTERS_MAX)]
    Submitters {
        /// How many there are.
        count: usize,
    },
    /// The submitters do not ascend strictly.
    #[error("submitter {index} does not follow the one before it")]
    SubmitterOrder {
        /// The place in the list.
        index: usize,
    },
    /// A submitter's key is refused.
    #[error("the key of submitter {index} is refused")]
    SubmitterKey {
        /// The place in the list.
        index: usize,
        /// Why.
        #[source]
        cause: Ed25519Error,
    },
    /// A submitter has the role that validators have by themselves.
    #[error("submitter {index} has the role `member`, which is not given")]
    SubmitterRole {
        /// The place in the list.
        index: usize,
    },
    /// Too many keepers.
    #[error("{count} keepers are too many, at most {max} are allowed", max = KEEPERS_MAX)]
    Keepers {
        /// How many there are.
        count: usize,
    },
    /// The keepers' ids do not ascend strictly.
    #[error("keeper {index} does not follow the one before it")]
    KeeperOrder {
        /// The place in the list.
        index: usize,
    },
    /// A keeper's name or address breaks its rule.
    #[error("the {what} of keeper {index} is refused")]
    KeeperText {
        /// The place in the list.
        index: usize,
        /// The field.
        what: &'static str,
    },
    /// A keeper's key is refused.
    #[error("the key of keeper {index} is refused")]
    KeeperKey {
        /// The place in the list.
        index: usize,
        /// Why.
        #[source]
        cause: Ed25519Error,
    },
    /// A keeper's key has another use already.
    #[error("the key of keeper {index} is a validator's, a submitter's or another keeper's")]
    KeeperKeyTaken {
        /// The place in the list.
        index: usize,
    },
    /// A number lies outside its range.
    #[error("`{what}` is {value}, at least {min} is needed")]
    TooSmall {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The least value.
        min: u64,
    },
}

/// A checked genesis document with the hashes and the block made from it.
#[derive(Clone, Debug)]
pub struct Genesis {
    document: GenesisDocument,
    set: ValidatorSet,
    rest_hash: Hash,
    chain_id: Hash,
}

/// What a receipt shows of genesis, so that the chain id proves the validator set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisProof {
    /// The ledger's name.
    pub name: String,
    /// The first validators.
    pub set: ValidatorSet,
    /// The hash of everything else.
    pub rest_hash: Hash,
}

impl GenesisProof {
    /// The chain id that these parts make.
    pub fn chain_id(&self) -> Hash {
        chain_id(&self.name, self.set.hash(), &self.rest_hash)
    }

    /// Appends `name || set || rest hash`.
    pub fn write(&self, out: &mut Writer) {
        out.bytes(self.name.as_bytes()).raw(&self.set.encode()).raw(&self.rest_hash);
    }

    /// Reads from the front.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name = read_name(reader)?;
        Ok(Self { name, set: ValidatorSet::read(reader)?, rest_hash: reader.array("rest hash")? })
    }
}

/// Whether a name is 1 to 64 of `a-z`, `0-9`, `-`.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn read_name(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    match std::str::from_utf8(reader.bytes("name", NAME_BYTES_MAX)?) {
        Ok(name) if is_name(name) => Ok(name.to_owned()),
        _ => Err(DecodeError::Invalid { what: "name", why: "is not made of a-z, 0-9 and -" }),
    }
}

fn chain_id(name: &str, set_hash: &Hash, rest_hash: &Hash) -> Hash {
    let len = u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes();
    Tag::Genesis.hash(&[&len, name.as_bytes(), set_hash, rest_hash])
}

impl Genesis {
    /// Checks a document.
    pub fn new(document: GenesisDocument) -> Result<Self, GenesisError> {
        if !is_name(&document.name) {
            return Err(GenesisError::Name { name: document.name });
        }
        at_least("epoch length", document.epoch_length, 2)?;
        at_least("clock bound", document.clock_bound_ms, 1)?;
        check_submitters(&document.submitters)?;
        let set = ValidatorSet::new(&document.validators)?;
        keepers::check(&document, &set)?;
        let rest_hash = Tag::GenesisRest.hash(&[&encode_rest(&document)]);
        let chain_id = chain_id(&document.name, set.hash(), &rest_hash);
        Ok(Self { document, set, rest_hash, chain_id })
    }

    /// The bytes: `version || name || validators || rest`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256);
        let version = keepers::version(&self.document.keepers);
        out.u8(version).bytes(self.document.name.as_bytes()).raw(&self.set.encode());
        out.raw(&encode_rest(&self.document));
        out.finish()
    }

    /// Decodes and checks a document.
    pub fn decode(bytes: &[u8]) -> Result<Self, GenesisError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("genesis version")?;
        if !(GENESIS_VERSION..=GENESIS_VERSION_WITH_KEEPERS).contains(&version) {
            let code = u64::from(version);
            return Err(DecodeError::UnknownCode { what: "genesis version", code }.into());
        }
        let name = read_name(&mut reader)?;
        let validators = reader.list("validators", VALIDATORS_MAX, |reader| reader.array("validator"))?;
        let document = GenesisDocument {
            name,
            validators,
            time_ms: reader.u64("time")?,
            epoch_length: reader.u64("epoch length")?,
            regime: Regime::read(&mut reader)?,
            clock_bound_ms: reader.u64("clock bound")?,
            submitters: reader.list("submitters", SUBMITTERS_MAX, Submitter::read)?,
            keepers: keepers::read(version, &mut reader)?,
        };
        reader.finish("genesis")?;
        Self::new(document)
    }

    /// The document.
    pub const fn document(&self) -> &GenesisDocument {
        &self.document
    }

    /// The ledger's name.
    pub fn name(&self) -> &str {
        &self.document.name
    }

    /// The genesis hash, which names the ledger everywhere.
    pub const fn chain_id(&self) -> &Hash {
        &self.chain_id
    }

    /// The first validators.
    pub const fn set(&self) -> &ValidatorSet {
        &self.set
    }

    /// What receipts show of genesis.
    pub fn proof(&self) -> GenesisProof {
        GenesisProof { name: self.document.name.clone(), set: self.set.clone(), rest_hash: self.rest_hash }
    }

    /// The block at height 0: no proposer, no signature, no body.
    pub fn block(&self) -> Block {
        let none: [Hash; 0] = [];
        let header = Header {
            chain_id: self.chain_id,
            height: 0,
            epoch: 0,
            parent: ZERO,
            time_ms: self.document.time_ms,
            proposer: ZERO,
            regime: self.document.regime,
            body_hash: body_hash(none.iter()),
            log_size: 0,
            log_root: log::empty_root(),
            state_root: self.state().root(),
            set_hash: *self.set.hash(),
            next_set_hash: *self.set.hash(),
        };
        Block::assemble(SignedHeader { header, signature: [0; 64] }, Vec::new())
    }

    /// The state at height 0.
    pub fn state(&self) -> Tree {
        let mut state = Tree::default();
        let parameters = layout::Parameters {
            epoch_length: self.document.epoch_length,
            regime: self.document.regime,
            clock_bound_ms: self.document.clock_bound_ms,
        };
        state.insert(&layout::parameters_key(), &parameters.encode());
        state.insert(&layout::validators_key(), &self.set.encode());
        for submitter in &self.document.submitters {
            let entry = layout::SubmitterState::new(submitter);
            state.insert(&layout::submitter_key(&submitter.key), &entry.encode());
        }
        keepers::seat(&self.document.keepers, &mut state);
        state
    }
}

fn at_least(what: &'static str, value: u64, min: u64) -> Result<(), GenesisError> {
    if value < min { Err(GenesisError::TooSmall { what, value, min }) } else { Ok(()) }
}

fn check_submitters(submitters: &[Submitter]) -> Result<(), GenesisError> {
    if submitters.len() > SUBMITTERS_MAX {
        return Err(GenesisError::Submitters { count: submitters.len() });
    }
    for (index, (before, after)) in submitters.iter().zip(submitters.iter().skip(1)).enumerate() {
        if before.key >= after.key {
            return Err(GenesisError::SubmitterOrder { index: index + 1 });
        }
    }
    for (index, submitter) in submitters.iter().enumerate() {
        VerifyingKey::parse(&submitter.key).map_err(|cause| GenesisError::SubmitterKey { index, cause })?;
        at_least("block entries", u64::from(submitter.block_entries_max), 1)?;
        if submitter.role == Role::Member {
            return Err(GenesisError::SubmitterRole { index });
        }
    }
    Ok(())
}

fn encode_rest(document: &GenesisDocument) -> Vec<u8> {
    let mut out = Writer::with_capacity(64 + 37 * document.submitters.len());
    out.u64(document.time_ms).u64(document.epoch_length).u8(document.regime.code());
    out.u64(document.clock_bound_ms).count(document.submitters.len());
    for submitter in &document.submitters {
        submitter.write(&mut out);
    }
    keepers::write(&document.keepers, &mut out);
    out.finish()
}
