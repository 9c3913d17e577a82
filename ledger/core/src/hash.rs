//! SHA-256, and the one table of tags that keeps the uses of it apart.

use sha2::{Digest as _, Sha256};

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// 32 zero bytes: the parent of genesis, the empty subtree of the state.
pub const ZERO: Hash = [0; 32];

/// What a hash is about. A tagged hash is `SHA-256(u8 len(label) || label || data)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The name of an account on the ledger.
    Account,
    /// What a member signs of a state that it holds.
    Agreement,
    /// What approvers approve of a signature.
    ApprovalIntent,
    /// What a validator signs to approve a change.
    ApproveChange,
    /// The id of a granted attempt.
    Attempt,
    /// What an attempt is bound to.
    AttemptRequest,
    /// What approvers decide of audit terms.
    AuditPublication,
    /// What a submitter signs of a batch.
    Batch,
    /// A batch with its signature, as pools and block bodies know it.
    BatchId,
    /// What approvers approve of something that is not told.
    BlindCase,
    /// What a blind case is used up by.
    BlindLock,
    /// A block's digest.
    Block,
    /// A block's body.
    Body,
    /// The id of a case.
    Case,
    /// A proposed change of members or rules.
    Change,
    /// The checksum of a trust file's checkpoint.
    Checkpoint,
    /// A hidden payload hash in an intent.
    Commitment,
    /// What a member or a submitter signs of what went wrong.
    Complaint,
    /// What approvers decide of a disputed act.
    Dispute,
    /// The chain id.
    Genesis,
    /// What a genesis document holds beside name and validators.
    GenesisRest,
    /// What approvers approve of an audit.
    Grant,
    /// What a grant says of its purpose.
    GrantPurpose,
    /// A key id.
    Key,
    /// What a keeper's key signs to join.
    Keeper,
    /// A keeper's id.
    KeeperId,
    /// What a node's key signs to join.
    Member,
    /// What a founding node signs of those who submit for it.
    MemberSubmitters,
    /// What authors sign of an act.
    Payload,
    /// What approvers decide of a policy set.
    PolicyPublication,
    /// What a proposer signs of a header.
    Proposal,
    /// What a recovery binds to an account.
    Recovery,
    /// Vault shares dealt anew.
    Refresh,
    /// What approvers decide of rules of risk.
    RiskPublication,
    /// What a new key signs to take a node's place.
    RotateMember,
    /// The id of a rule.
    Rule,
    /// What is public of a sealed vault.
    Sealing,
    /// A validator set.
    Set,
    /// What a keeper signs of a share of a key that fits.
    SharedAcknowledgement,
    /// The shares of a key as they are recorded.
    SharedRecord,
    /// What a device signs against another one.
    SharedVeto,
    /// A signature in a release.
    Signature,
    /// A state key's path in the tree.
    StateKey,
    /// A state value.
    StateValue,
    /// A tenant's name on the ledger.
    Tenant,
    /// What a keeper signs of a share that fits.
    VaultAcknowledgement,
    /// What a keeper signs that gives its share away.
    VaultConsent,
    /// What an attempt at a vault is bound to.
    VaultRequest,
}

impl Tag {
    /// Every tag.
    pub const ALL: [Self; 48] = [
        Self::Account,
        Self::Agreement,
        Self::ApprovalIntent,
        Self::ApproveChange,
        Self::Attempt,
        Self::AttemptRequest,
        Self::AuditPublication,
        Self::Batch,
        Self::BatchId,
        Self::BlindCase,
        Self::BlindLock,
        Self::Block,
        Self::Body,
        Self::Case,
        Self::Change,
        Self::Checkpoint,
        Self::Commitment,
        Self::Complaint,
        Self::Dispute,
        Self::Genesis,
        Self::GenesisRest,
        Self::Grant,
        Self::GrantPurpose,
        Self::Key,
        Self::Keeper,
        Self::KeeperId,
        Self::Member,
        Self::MemberSubmitters,
        Self::Payload,
        Self::PolicyPublication,
        Self::Proposal,
        Self::Recovery,
        Self::Refresh,
        Self::RiskPublication,
        Self::RotateMember,
        Self::Rule,
        Self::Sealing,
        Self::Set,
        Self::SharedAcknowledgement,
        Self::SharedRecord,
        Self::SharedVeto,
        Self::Signature,
        Self::StateKey,
        Self::StateValue,
        Self::Tenant,
        Self::VaultAcknowledgement,
        Self::VaultConsent,
        Self::VaultRequest,
    ];

    /// The label that is hashed.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Account => "keyward/account/v1",
            Self::Agreement => "keyward/agreement/v1",
            Self::ApprovalIntent => "keyward/approval-intent/v1",
            Self::ApproveChange => "keyward/approve-change/v1",
            Self::Attempt => "keyward/attempt/v1",
            Self::AttemptRequest => "keyward/attempt-request/v1",
            Self::AuditPublication => "keyward/audit-publication/v1",
            Self::Batch => "keyward/batch/v1",
            Self::BatchId => "keyward/batch-id/v1",
            Self::BlindCase => "keyward/blind-case/v1",
            Self::BlindLock => "keyward/blind-lock/v1",
            Self::Block => "keyward/block/v1",
            Self::Body => "keyward/body/v1",
            Self::Case => "keyward/case/v1",
            Self::Change => "keyward/change/v1",
            Self::Checkpoint => "keyward/checkpoint/v1",
            Self::Commitment => "keyward/commitment/v1",
            Self::Complaint => "keyward/complaint/v1",
            Self::Dispute => "keyward/dispute/v1",
            Self::Genesis => "keyward/genesis/v1",
            Self::GenesisRest => "keyward/genesis-rest/v1",
            Self::Grant => "keyward/grant/v1",
            Self::GrantPurpose => "keyward/grant-purpose/v1",
            Self::Key => "keyward/key/v1",
            Self::Keeper => "keyward/keeper/v1",
            Self::KeeperId => "keyward/keeper-id/v1",
            Self::Member => "keyward/member/v1",
            Self::MemberSubmitters => "keyward/member-submitters/v1",
            Self::Payload => "keyward/payload/v1",
            Self::PolicyPublication => "keyward/policy-publication/v1",
            Self::Proposal => "keyward/proposal/v1",
            Self::Recovery => "keyward/recovery/v1",
            Self::Refresh => "keyward/refresh/v1",
            Self::RiskPublication => "keyward/risk-publication/v1",
            Self::RotateMember => "keyward/rotate-member/v1",
            Self::Rule => "keyward/rule/v1",
            Self::Sealing => "keyward/sealing/v1",
            Self::Set => "keyward/set/v1",
            Self::SharedAcknowledgement => "keyward/shared-acknowledgement/v1",
            Self::SharedRecord => "keyward/shared-record/v1",
            Self::SharedVeto => "keyward/shared-veto/v1",
            Self::Signature => "keyward/signature/v1",
            Self::StateKey => "keyward/state-key/v1",
            Self::StateValue => "keyward/state-value/v1",
            Self::Tenant => "keyward/tenant/v1",
            Self::VaultAcknowledgement => "keyward/vault-acknowledgement/v1",
            Self::VaultConsent => "keyward/vault-consent/v1",
            Self::VaultRequest => "keyward/vault-request/v1",
        }
    }

    /// The tagged hash of the parts, one after the other.
    pub fn hash(self, parts: &[&[u8]]) -> Hash {
        let mut hasher = self.hasher();
        for part in parts {
            hasher.update(part);
        }
        hasher.finish()
    }

    /// A hasher that has taken this tag already.
    pub fn hasher(self) -> Hasher {
        let label = self.label().as_bytes();
        let mut hasher = Hasher(Sha256::new());
        // INVARIANT: labels are shorter than 256 bytes (a test holds it).
        hasher.update(&[u8::try_from(label.len()).unwrap_or(u8::MAX)]);
        hasher.update(label);
        hasher
    }
}

/// SHA-256 in steps.
#[derive(Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A hasher without a tag.
    pub fn plain() -> Self {
        Self(Sha256::new())
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of everything taken.
    pub fn finish(self) -> Hash {
        self.0.finalize().into()
    }
}

/// Plain SHA-256 of the parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// What an intent says of the payload: `r` hides it, so that nobody matches it with a public chain.
pub fn commitment(r: &Hash, payload_hash: &Hash) -> Hash {
    Tag::Commitment.hash(&[r, payload_hash])
}

/// What a release says of the signature.
pub fn signature_hash(signature: &[u8]) -> Hash {
    Tag::Signature.hash(&[signature])
}

/// The ledger's name of an account, from the service's salt and `tenant/user`.
pub fn account_commitment(salt: &Hash, name: &str) -> Hash {
    Tag::Account.hash(&[salt, name.as_bytes()])
}
