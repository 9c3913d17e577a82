//! What submitters ask of the ledger: `kind u16 || body`.

mod act;
mod addresses;
mod association;
mod audit;
mod author;
mod blind;
mod delegation;
pub mod kind;
mod policy;
mod shared;
mod statement;
mod subjects;
mod terms;
mod vault;

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::scheme::{KeyId, PublicKey, Scheme};

pub use act::{Act, Attempt, Authored, Case, Define};
pub use addresses::{
    AddressAct, AnnouncePayment, ChooseAddresses, CloseEpoch, Custody, DealViewing, HandleLimit, UseAddress,
};
pub(crate) use association::ascending;
pub use association::{
    ASSOCIATION_MEMBERS_MAX, AssociationAct, AssociationTerms, MEMBER_CHANGES_MAX, MEMBER_PROOF_BYTES_MAX,
    Member, Quorum,
};
pub use audit::{
    AuditAct, AuditTerms, DeliverGrant, GRANT_ACCOUNTS_MAX, GRANT_TENANT_ACCOUNTS, Grant, KEPT_MS_MAX,
    OpenGrant, PublishAudit, RevokeGrant, UseGrant,
};
pub use author::{AUTHORS_MAX, Author, Party, RuleName};
pub use blind::{OpenBlindCase, UseBlindCase, blind_lock, blind_payload};
pub use delegation::{DelegationAct, DelegationTerms, Recovery, Scope, VETO_KEYS_MAX};
pub use kind::{kind_from_name, kind_name, kind_of};
pub use policy::{PublishPolicy, tenant_id};
pub use shared::{Renewal, SharedAct, SharedBinding, SharedIntent, SharedOpening, SharedRenewal, Tweak};
pub use statement::{
    Agreement, ApproveChange, Complaint, ComplaintKind, Evidence, ProposeChange, SignedVote,
};
pub use subjects::SUBJECTS_VERSION;
pub use terms::{
    ATTEMPTS_MAX, ApprovalTerms, AttemptsTerms, GROUPS_MAX, Group, PARTIES_MAX, PERIOD_MAX_MS, PERIOD_MIN_MS,
    ROLE_BYTES_MAX, RateTerms, Terms, TimelockTerms, WINDOWS_MAX, Window,
};
pub use vault::{VaultAct, VaultAttempt};

/// The longest note.
pub const NOTE_BYTES_MAX: usize = 4096;
/// The longest entry: the kind and the longest note.
pub const ENTRY_BYTES_MAX: usize = 2 + NOTE_BYTES_MAX;
/// The longest signature in an entry (RSA with 8192 bits).
pub const SIGNATURE_BYTES_MAX: usize = 1024;

/// Where the private key of a bound key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// In the holder's token, for good.
    Linked = 1,
    /// With the custody service.
    Hosted = 2,
    /// On the person's side, and nowhere else.
    Own = 3,
    /// Nowhere whole: the user and keepers hold shares of it.
    Shared = 4,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Linked, Self::Hosted, Self::Own, Self::Shared];

    /// The code that stands in records.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The mode of a code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Linked),
            2 => Some(Self::Hosted),
            3 => Some(Self::Own),
            4 => Some(Self::Shared),
            _ => None,
        }
    }

    /// `linked`, `hosted`, `self` or `shared`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Hosted => "hosted",
            Self::Own => "self",
            Self::Shared => "shared",
        }
    }

    /// The mode of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A credential for an account: an Ed25519 key with which its holder speaks for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindCredential {
    /// The account.
    pub account: Hash,
    /// 1, then one more each time.
    pub version: u32,
    /// The new credential's Ed25519 public key.
    pub public_key: [u8; 32],
    /// Fresh random bytes.
    pub nonce: Hash,
    /// The last height at which the entry is accepted.
    pub not_after: u64,
    /// The new credential's signature over [`credential_challenge`](crate::contracts::registry::credential_challenge).
    pub proof: [u8; 64],
    /// The present credential's signature over the same challenge; none for version 1.
    pub holder_signature: Option<[u8; 64]>,
}

/// A key for an account, with proof of possession.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindKey {
    /// The account.
    pub account: Hash,
    /// Where the private key lives.
    pub mode: Mode,
    /// The scheme; `public_key` must parse under it.
    pub scheme: Scheme,
    /// The public key's one encoding. The contract parses it, so that a bad one is refused by name.
    pub public_key: Vec<u8>,
    /// Fresh random bytes.
    pub nonce: Hash,
    /// The last height at which the entry is accepted.
    pub not_after: u64,
    /// The key's signature over [`possession_challenge`](crate::contracts::registry::possession_challenge).
    pub proof: Vec<u8>,
}

/// A key as the next version of another one, which it supersedes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotateKey {
    /// The version before; of the same account.
    pub previous: KeyId,
    /// The new key. Its proof is over [`rotation_challenge`](crate::contracts::registry::rotation_challenge).
    pub bind: BindKey,
    /// The consent of the version before: needed from a key of mode `self`, which nobody else replaces.
    pub consent: Option<KeyConsent>,
}

/// What a key of mode `self` gives to be superseded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConsent {
    /// The key's public key, of which the state holds only the id.
    pub public_key: Vec<u8>,
    /// Its signature over the same [`rotation_challenge`](crate::contracts::registry::rotation_challenge).
    pub signature: Vec<u8>,
}

/// The right to use a key once, claimed by its executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The intent's name, chosen at random by the executor.
    pub id: Hash,
    /// The key to use.
    pub key_id: KeyId,
    /// The submitter that acts; it must submit the intent itself.
    pub executor: [u8; 32],
    /// [`commitment`](crate::hash::commitment) to the payload hash.
    pub commitment: Hash,
    /// Hash of the policy set that decided.
    pub policy: Hash,
    /// The last height at which the claim lives.
    pub not_after: u64,
}

/// What an intent released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The intent.
    pub intent_id: Hash,
    /// [`signature_hash`](crate::hash::signature_hash) of the signature.
    pub signature_hash: Hash,
}

/// An entry of a kind that this version knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Opaque bytes, recorded and nothing else.
    Note(Vec<u8>),
    /// Opens an account.
    OpenAccount {
        /// The account.
        account: Hash,
    },
    /// Closes an account without a credential for good; one that has a credential closes itself.
    CloseAccount {
        /// The account.
        account: Hash,
    },
    /// Binds a credential.
    BindCredential(BindCredential),
    /// Binds a key.
    BindKey(BindKey),
    /// Freezes a key.
    FreezeKey {
        /// The key.
        key_id: KeyId,
    },
    /// Thaws a frozen key.
    UnfreezeKey {
        /// The key.
        key_id: KeyId,
    },
    /// Sets the time after which a key may be destroyed: that of the block and `wait_ms`.
    ScheduleDestroyKey {
        /// The key.
        key_id: KeyId,
        /// The waiting period, in milliseconds.
        wait_ms: u64,
    },
    /// Takes a scheduled destruction back.
    CancelDestroyKey {
        /// The key.
        key_id: KeyId,
    },
    /// Destroys a scheduled key once its waiting period is over.
    DestroyKey {
        /// The key.
        key_id: KeyId,
    },
    /// Binds the next version of a key.
    RotateKey(RotateKey),
    /// Claims the right to use a key.
    Intent(Intent),
    /// Records what was released.
    Release(Release),
    /// Claims the right to use an address.
    UseAddress(UseAddress),
    /// Ends an account's address epoch.
    CloseEpoch(CloseEpoch),
    /// Lets a receiver find a payment.
    AnnouncePayment(AnnouncePayment),
    /// Asks for approvals in nobody's name.
    OpenBlindCase(OpenBlindCase),
    /// Uses such approvals up.
    UseBlindCase(UseBlindCase),
    /// Says what is about to be delivered under a grant.
    DeliverGrant(DeliverGrant),
    /// Says what was looked at under a grant.
    UseGrant(UseGrant),
    /// An act of a standard contract, with its authors.
    Authored(Authored),
    /// Proposes a change of members or rules.
    ProposeChange(ProposeChange),
    /// Approves one.
    ApproveChange(ApproveChange),
    /// Convicts a validator.
    Evidence(Evidence),
    /// Says what went wrong.
    Complaint(Complaint),
    /// Says which state a member has.
    Agreement(Agreement),
}

impl Entry {
    /// The code of the entry's kind.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Note(_) => kind::NOTE,
            Self::OpenAccount { .. } => kind::OPEN_ACCOUNT,
            Self::CloseAccount { .. } => kind::CLOSE_ACCOUNT,
            Self::BindCredential(_) => kind::BIND_CREDENTIAL,
            Self::BindKey(_) => kind::BIND_KEY,
            Self::FreezeKey { .. } => kind::FREEZE_KEY,
            Self::UnfreezeKey { .. } => kind::UNFREEZE_KEY,
            Self::ScheduleDestroyKey { .. } => kind::SCHEDULE_DESTROY_KEY,
            Self::CancelDestroyKey { .. } => kind::CANCEL_DESTROY_KEY,
            Self::DestroyKey { .. } => kind::DESTROY_KEY,
            Self::RotateKey(RotateKey { consent: None, .. }) => kind::ROTATE_KEY,
            Self::RotateKey(RotateKey { consent: Some(_), .. }) => kind::ROTATE_OWN_KEY,
            Self::Intent(_) => kind::INTENT,
            Self::Release(_) => kind::RELEASE,
            Self::UseAddress(_) => kind::USE_ADDRESS,
            Self::CloseEpoch(_) => kind::CLOSE_EPOCH,
            Self::AnnouncePayment(_) => kind::ANNOUNCE_PAYMENT,
            Self::OpenBlindCase(_) => kind::OPEN_BLIND_CASE,
            Self::UseBlindCase(_) => kind::USE_BLIND_CASE,
            Self::DeliverGrant(_) => kind::DELIVER_GRANT,
            Self::UseGrant(_) => kind::USE_GRANT,
            Self::Authored(authored) => authored.act.kind(),
            Self::ProposeChange(_) => kind::PROPOSE_CHANGE,
            Self::ApproveChange(_) => kind::APPROVE_CHANGE,
            Self::Evidence(_) => kind::EVIDENCE,
            Self::Complaint(_) => kind::COMPLAINT,
            Self::Agreement(_) => kind::AGREEMENT,
        }
    }

    /// The name of the entry's kind.
    pub const fn name(&self) -> &'static str {
        kind_name(self.kind())
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256);
        out.u16(self.kind());
        match self {
            Self::Note(bytes) => out.raw(bytes),
            Self::OpenAccount { account } | Self::CloseAccount { account } => out.raw(account),
            Self::BindCredential(bind) => write_credential(&mut out, bind),
            Self::BindKey(bind) => write_key(&mut out, bind),
            Self::FreezeKey { key_id }
            | Self::UnfreezeKey { key_id }
            | Self::CancelDestroyKey { key_id }
            | Self::DestroyKey { key_id } => out.raw(&key_id.0),
            Self::ScheduleDestroyKey { key_id, wait_ms } => out.raw(&key_id.0).u64(*wait_ms),
            Self::RotateKey(rotate) => write_rotation(&mut out, rotate),
            Self::Intent(intent) => write_intent(&mut out, intent),
            Self::Release(release) => out.raw(&release.intent_id).raw(&release.signature_hash),
            Self::UseAddress(used) => used.write(&mut out),
            Self::CloseEpoch(close) => close.write(&mut out),
            Self::AnnouncePayment(announce) => announce.write(&mut out),
            Self::OpenBlindCase(open) => open.write(&mut out),
            Self::UseBlindCase(used) => used.write(&mut out),
            Self::DeliverGrant(deliver) => deliver.write(&mut out),
            Self::UseGrant(used) => used.write(&mut out),
            Self::Authored(authored) => {
                authored.write(&mut out);
                &mut out
            }
            Self::ProposeChange(propose) => propose.write(&mut out),
            Self::ApproveChange(approve) => approve.write(&mut out),
            Self::Evidence(evidence) => evidence.write(&mut out),
            Self::Complaint(complaint) => complaint.write(&mut out),
            Self::Agreement(agreement) => agreement.write(&mut out),
        };
        out.finish()
    }

    /// Decodes exactly one entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(DecodeError::TooLong { what: "entry", len: bytes.len(), max: ENTRY_BYTES_MAX });
        }
        let mut reader = Reader::new(bytes);
        let entry = read_body(&mut reader)?;
        reader.finish("entry")?;
        Ok(entry)
    }
}

fn write_credential<'a>(out: &'a mut Writer, bind: &BindCredential) -> &'a mut Writer {
    out.raw(&bind.account).u32(bind.version).raw(&bind.public_key).raw(&bind.nonce).u64(bind.not_after);
    out.raw(&bind.proof);
    match &bind.holder_signature {
        None => out.u8(0),
        Some(signature) => out.u8(1).raw(signature),
    }
}

fn write_key<'a>(out: &'a mut Writer, bind: &BindKey) -> &'a mut Writer {
    out.raw(&bind.account).u8(bind.mode.code()).u8(bind.scheme.code()).bytes(&bind.public_key);
    out.raw(&bind.nonce).u64(bind.not_after).bytes(&bind.proof)
}

fn write_rotation<'a>(out: &'a mut Writer, rotate: &RotateKey) -> &'a mut Writer {
    write_key(out.raw(&rotate.previous.0), &rotate.bind);
    match &rotate.consent {
        None => out,
        Some(consent) => out.bytes(&consent.public_key).bytes(&consent.signature),
    }
}

fn write_intent<'a>(out: &'a mut Writer, intent: &Intent) -> &'a mut Writer {
    out.raw(&intent.id).raw(&intent.key_id.0).raw(&intent.executor).raw(&intent.commitment);
    out.raw(&intent.policy).u64(intent.not_after)
}

fn read_body(reader: &mut Reader<'_>) -> Result<Entry, DecodeError> {
    match reader.u16("entry kind")? {
        kind::NOTE => Ok(Entry::Note(reader.take("note", reader.rest().len())?.to_vec())),
        kind::OPEN_ACCOUNT => Ok(Entry::OpenAccount { account: reader.array("account")? }),
        kind::CLOSE_ACCOUNT => Ok(Entry::CloseAccount { account: reader.array("account")? }),
        kind::BIND_CREDENTIAL => read_credential(reader).map(Entry::BindCredential),
        kind::BIND_KEY => read_key(reader).map(Entry::BindKey),
        kind::FREEZE_KEY => Ok(Entry::FreezeKey { key_id: read_key_id(reader)? }),
        kind::UNFREEZE_KEY => Ok(Entry::UnfreezeKey { key_id: read_key_id(reader)? }),
        kind::SCHEDULE_DESTROY_KEY => {
            Ok(Entry::ScheduleDestroyKey { key_id: read_key_id(reader)?, wait_ms: reader.u64("wait")? })
        }
        kind::CANCEL_DESTROY_KEY => Ok(Entry::CancelDestroyKey { key_id: read_key_id(reader)? }),
        kind::DESTROY_KEY => Ok(Entry::DestroyKey { key_id: read_key_id(reader)? }),
        kind::ROTATE_KEY => {
            let (previous, bind) = (read_key_id(reader)?, read_key(reader)?);
            Ok(Entry::RotateKey(RotateKey { previous, bind, consent: None }))
        }
        kind::ROTATE_OWN_KEY => {
            let (previous, bind) = (read_key_id(reader)?, read_key(reader)?);
            let consent = read_consent(reader).map(Some)?;
            Ok(Entry::RotateKey(RotateKey { previous, bind, consent }))
        }
        kind::INTENT => read_intent(reader).map(Entry::Intent),
        kind::RELEASE => Ok(Entry::Release(Release {
            intent_id: reader.array("intent id")?,
            signature_hash: reader.array("signature hash")?,
        })),
        kind::USE_ADDRESS => UseAddress::read(reader).map(Entry::UseAddress),
        kind::CLOSE_EPOCH => CloseEpoch::read(reader).map(Entry::CloseEpoch),
        kind::ANNOUNCE_PAYMENT => AnnouncePayment::read(reader).map(Entry::AnnouncePayment),
        kind::OPEN_BLIND_CASE => OpenBlindCase::read(reader).map(Entry::OpenBlindCase),
        kind::USE_BLIND_CASE => UseBlindCase::read(reader).map(Entry::UseBlindCase),
        kind::DELIVER_GRANT => DeliverGrant::read(reader).map(Entry::DeliverGrant),
        kind::USE_GRANT => UseGrant::read(reader).map(Entry::UseGrant),
        kind::PROPOSE_CHANGE => ProposeChange::read(reader).map(Entry::ProposeChange),
        kind::APPROVE_CHANGE => ApproveChange::read(reader).map(Entry::ApproveChange),
        kind::EVIDENCE => Evidence::read(reader).map(Entry::Evidence),
        kind::COMPLAINT => Complaint::read(reader).map(Entry::Complaint),
        kind::AGREEMENT => Agreement::read(reader).map(Entry::Agreement),
        code => Authored::read(code, reader).map(Entry::Authored),
    }
}

fn read_credential(reader: &mut Reader<'_>) -> Result<BindCredential, DecodeError> {
    Ok(BindCredential {
        account: reader.array("account")?,
        version: reader.u32("credential version")?,
        public_key: reader.array("public key")?,
        nonce: reader.array("nonce")?,
        not_after: reader.u64("not after")?,
        proof: reader.array("proof")?,
        holder_signature: match reader.u8("holder signature")? {
            0 => None,
            1 => Some(reader.array("holder signature")?),
            code => {
                return Err(DecodeError::UnknownCode { what: "holder signature", code: u64::from(code) });
            }
        },
    })
}

fn read_key(reader: &mut Reader<'_>) -> Result<BindKey, DecodeError> {
    Ok(BindKey {
        account: reader.array("account")?,
        mode: read_mode(reader)?,
        scheme: read_scheme(reader)?,
        public_key: reader.bytes("public key", PublicKey::BYTES_MAX)?.to_vec(),
        nonce: reader.array("nonce")?,
        not_after: reader.u64("not after")?,
        proof: reader.bytes("proof", SIGNATURE_BYTES_MAX)?.to_vec(),
    })
}

fn read_consent(reader: &mut Reader<'_>) -> Result<KeyConsent, DecodeError> {
    Ok(KeyConsent {
        public_key: reader.bytes("public key", PublicKey::BYTES_MAX)?.to_vec(),
        signature: reader.bytes("consent", SIGNATURE_BYTES_MAX)?.to_vec(),
    })
}

fn read_key_id(reader: &mut Reader<'_>) -> Result<KeyId, DecodeError> {
    reader.array("key id").map(KeyId)
}

/// Reads a mode's code.
pub(crate) fn read_mode(reader: &mut Reader<'_>) -> Result<Mode, DecodeError> {
    let code = reader.u8("mode")?;
    Mode::from_code(code).ok_or(DecodeError::UnknownCode { what: "mode", code: u64::from(code) })
}

/// Reads a scheme's code.
pub(crate) fn read_scheme(reader: &mut Reader<'_>) -> Result<Scheme, DecodeError> {
    let code = reader.u8("scheme")?;
    Scheme::from_code(code).ok_or(DecodeError::UnknownCode { what: "scheme", code: u64::from(code) })
}

fn read_intent(reader: &mut Reader<'_>) -> Result<Intent, DecodeError> {
    Ok(Intent {
        id: reader.array("intent id")?,
        key_id: read_key_id(reader)?,
        executor: reader.array("executor")?,
        commitment: reader.array("commitment")?,
        policy: reader.array("policy")?,
        not_after: reader.u64("not after")?,
    })
}
