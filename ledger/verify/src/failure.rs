//! What does not hold, by name.

use keyward_ledger_core::certificate::CertificateError;
use keyward_ledger_core::codec::DecodeError;
use keyward_ledger_core::ed25519::Ed25519Error;
use keyward_ledger_core::log::ProofError;
use keyward_ledger_core::scheme::SignatureError;
use keyward_ledger_core::state::StateProofError;
use keyward_ledger_core::trust::TrustError;
use thiserror::Error;

/// The first thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Failure {
    /// The trust file is malformed.
    #[error("the trust file is malformed")]
    Trust(#[from] TrustError),
    /// The receipt is malformed.
    #[error("the receipt is malformed")]
    Receipt(#[source] DecodeError),
    /// The record in the receipt is malformed.
    #[error("the record is malformed")]
    Record(#[source] DecodeError),
    /// The receipt is for a ledger of another name.
    #[error("the receipt is for the ledger `{found}`, the trust file names `{trusted}`")]
    OtherName {
        /// The name in the receipt.
        found: String,
        /// The name in the trust file.
        trusted: String,
    },
    /// The genesis in the receipt does not have the trusted hash.
    #[error("the genesis in the receipt is not the one that the trust file names")]
    OtherGenesis,
    /// A set link does not follow the one before it.
    #[error("set link {index} does not follow what is before it")]
    LinkOrder {
        /// The link's place.
        index: usize,
    },
    /// A set link changes nothing, or its set is not the one in its header.
    #[error("set link {index} does not lead to the set that its header names")]
    LinkSet {
        /// The link's place.
        index: usize,
    },
    /// The block of a set link is not certified.
    #[error("the block of set link {index} is not certified")]
    Link {
        /// The link's place.
        index: usize,
        /// Why.
        #[source]
        cause: CertificateFailure,
    },
    /// The block is not certified.
    #[error("the block is not certified")]
    Certificate(#[from] CertificateFailure),
    /// The certified block is older than the pinned one.
    #[error("block {height} is older than the checkpoint at {checkpoint}")]
    OlderThanCheckpoint {
        /// The block's height.
        height: u64,
        /// The checkpoint's height.
        checkpoint: u64,
    },
    /// The block at the checkpoint's height is another one.
    #[error("the block at the checkpoint's height {height} is not the pinned one")]
    OtherCheckpointBlock {
        /// The height.
        height: u64,
    },
    /// The validators at the checkpoint's height are others.
    #[error("the validators at the checkpoint's height {height} are not the pinned ones")]
    OtherCheckpointSet {
        /// The height.
        height: u64,
    },
    /// The record is not in the log.
    #[error("the record is not in the log of the certified block")]
    Inclusion(#[source] ProofError),
    /// The record's height or time does not fit the certified block.
    #[error("the record's `{field}` does not fit the certified block")]
    RecordPlace {
        /// The field.
        field: &'static str,
    },
    /// A signature came with a record that is no accepted intent.
    #[error("the receipt carries a signature, but its record is not an accepted intent: `{found}`")]
    NotAnAcceptedIntent {
        /// The kind of entry or the name of the outcome.
        found: String,
    },
    /// A receipt of a signature, where one of a bare intent is needed.
    #[error("the receipt carries a signature already: its intent was used")]
    AlreadyReleased,
    /// The intent was claimed for another executor than its submitter.
    #[error("the intent's executor is not its submitter")]
    OtherExecutor,
    /// The public key is not the one in the intent.
    #[error("the public key is not the one that the intent names")]
    OtherKey,
    /// The commitment in the intent does not open to the payload hash.
    #[error("the intent's commitment does not open to the payload hash")]
    Commitment,
    /// The message does not have the payload hash.
    #[error("the message does not have the payload hash in the receipt")]
    OtherMessage,
    /// The scheme signs the message itself, and none was given.
    #[error("the scheme signs the message itself: the message is needed to verify the signature")]
    MessageNeeded,
    /// A message was given for a receipt that carries no signature.
    #[error("the receipt carries no signature to hold the message against")]
    MessageWithoutSignature,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature(#[source] SignatureError),
    /// The state proof does not hold.
    #[error("the state proof does not hold")]
    State(#[from] StateProofError),
    /// The state proof is for another key.
    #[error("the state proof is for another key")]
    OtherStateKey,
    /// The state proof is older than asked for.
    #[error("the state is {age_ms} ms old, at most {max_age_ms} are allowed")]
    TooOld {
        /// Its age.
        age_ms: u64,
        /// The limit.
        max_age_ms: u64,
    },
    /// The state proof is for a lower block than asked for.
    #[error("the state is that of block {height}, at least {min_height} is needed")]
    TooLow {
        /// Its height.
        height: u64,
        /// The limit.
        min_height: u64,
    },
}

impl Failure {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Trust(_) => "TRUST_MALFORMED",
            Self::Receipt(_) => "RECEIPT_MALFORMED",
            Self::Record(_) => "RECORD_MALFORMED",
            Self::OtherName { .. } => "OTHER_LEDGER",
            Self::OtherGenesis => "OTHER_GENESIS",
            Self::LinkOrder { .. } | Self::LinkSet { .. } | Self::Link { .. } => "SET_LINK_INVALID",
            Self::Certificate(_) => "CERTIFICATE_INVALID",
            Self::OlderThanCheckpoint { .. } => "OLDER_THAN_CHECKPOINT",
            Self::OtherCheckpointBlock { .. } | Self::OtherCheckpointSet { .. } => "CHECKPOINT_MISMATCH",
            Self::Inclusion(_) => "INCLUSION_INVALID",
            Self::RecordPlace { .. } => "RECORD_PLACE",
            Self::NotAnAcceptedIntent { .. } => "NOT_AN_ACCEPTED_INTENT",
            Self::AlreadyReleased => "INTENT_RELEASED",
            Self::OtherExecutor => "OTHER_EXECUTOR",
            Self::OtherKey => "OTHER_KEY",
            Self::Commitment => "COMMITMENT_MISMATCH",
            Self::OtherMessage => "OTHER_MESSAGE",
            Self::MessageNeeded => "MESSAGE_NEEDED",
            Self::MessageWithoutSignature => "MESSAGE_WITHOUT_SIGNATURE",
            Self::Signature(_) => "SIGNATURE_INVALID",
            Self::State(_) => "STATE_PROOF_INVALID",
            Self::OtherStateKey => "OTHER_STATE_KEY",
            Self::TooOld { .. } => "STATE_TOO_OLD",
            Self::TooLow { .. } => "STATE_TOO_LOW",
        }
    }
}

/// Why a block is not certified.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateFailure {
    /// A block at height 0 is never certified.
    #[error("the genesis block carries no certificate")]
    Genesis,
    /// The block is for another ledger.
    #[error("the block is for another ledger")]
    OtherLedger,
    /// The block names validators that are not in force at its height.
    #[error("the block names other validators than those in force at its height")]
    OtherSet,
    /// The block's epoch does not fit the changes of the set.
    #[error("the block's epoch does not fit the changes of the validator set")]
    EpochOrder,
    /// The certificate is for another epoch.
    #[error("the certificate is for epoch {certificate}, the block for {header}")]
    Epoch {
        /// The certificate's epoch.
        certificate: u64,
        /// The header's epoch.
        header: u64,
    },
    /// The certificate is for another block.
    #[error("the certificate is for another block")]
    OtherBlock,
    /// The proposer is no validator.
    #[error("the proposer is not a validator")]
    Proposer,
    /// The proposer did not sign the block.
    #[error("the proposer's signature is refused")]
    ProposerSignature(#[source] Ed25519Error),
    /// The signatures are refused.
    #[error("the certificate is refused")]
    Signatures(#[from] CertificateError),
}
