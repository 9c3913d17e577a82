//! The rows, as plain data: every id is the ledger's own 32 bytes.

use std::{collections::BTreeMap, fmt};

/// A 32-byte name or hash.
pub type Id = [u8; 32];

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// The word that stands in the row.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The meaning of a word, if it has one.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

mod addresses;
mod approvals;
mod dealings;
mod grants;
mod jobs;
mod notices;
mod policies;
mod risk;

pub use addresses::{
    AddressAccount, AddressCustody, AddressEpoch, AddressOrigin, AddressRow, AddressSpan, AddressState,
    AddressUse, NewAddress,
};
pub use approvals::{Approval, ApprovalLine, ApprovalRoom, ApprovalRule};
pub use dealings::ViewingDealing;
pub use grants::GrantRow;
pub use jobs::{AgentJob, JobState};
pub use notices::{Notice, NoticeChannel, NoticeKind, NoticeState};
pub use policies::{PolicyRequests, PolicyVersion};
pub use risk::RiskHistory;

words! {
    /// Where an account stands.
    AccountState {
        /// Its opening is under way on the ledger.
        Pending = "pending",
        /// Open.
        Open = "open",
        /// Closed for good; its name stays taken.
        Closed = "closed",
    }
}

words! {
    /// Where a key stands.
    KeyState {
        /// Its binding is under way on the ledger.
        Pending = "pending",
        /// Usable.
        Active = "active",
        /// Bound, not usable.
        Frozen = "frozen",
        /// A newer version signs; this one still verifies.
        Superseded = "superseded",
        /// It is going to be destroyed.
        Scheduled = "scheduled",
        /// Gone for good; the row stays.
        Destroyed = "destroyed",
    }
}

words! {
    /// Where an intent stands.
    IntentState {
        /// Kept here; perhaps on the ledger, perhaps not.
        Submitted = "submitted",
        /// Final and accepted on the ledger; no signature left.
        Final = "final",
        /// A signature may have left; its release entry waits to be recorded.
        Signed = "signed",
        /// The release is final too.
        Released = "released",
        /// A signature left, but its release came to the ledger after the intent's last height.
        Late = "late",
        /// The ledger refused it.
        Refused = "refused",
        /// Given up: nothing will ever be signed for it.
        Abandoned = "abandoned",
    }
}

words! {
    /// What kind of change an act is.
    ActKind {
        /// OpenAccount.
        Open = "open",
        /// CloseAccount.
        Close = "close",
        /// BindKey.
        Bind = "bind",
        /// FreezeKey.
        Freeze = "freeze",
        /// UnfreezeKey.
        Unfreeze = "unfreeze",
        /// A note that authorises an app.
        Authorise = "authorise",
        /// A note that revokes an authorisation.
        Revoke = "revoke",
        /// ScheduleDestroyKey.
        Schedule = "schedule",
        /// CancelDestroyKey.
        Cancel = "cancel",
        /// DestroyKey.
        Destroy = "destroy",
        /// RotateKey.
        Rotate = "rotate",
        /// A note about a key's labels.
        Labels = "labels",
        /// A note about a new key-encryption key.
        Kek = "kek",
        /// A note about a profile: read, written, erased.
        Profile = "profile",
        /// An entry of a person about a vault.
        Vault = "vault",
        /// A note about an officer's end of somebody's one-time codes.
        Code = "code",
        /// An entry of a person about delegates.
        Delegation = "delegation",
        /// A recovery that was opened: its login waits.
        Recover = "recover",
        /// BindCredential of a later version: another password.
        Password = "password",
        /// The publication of a policy set.
        Policy = "policy",
        /// An entry of somebody about approvals.
        Approval = "approval",
        /// An entry of a holder about a shared key.
        Shared = "shared",
        /// An entry of somebody about audits.
        Audit = "audit",
        /// The choice of unlinkable addresses.
        Addresses = "addresses",
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name on the ledger.
    pub account: Id,
    /// What kind of principal holds it: `person`, `app`, and so on.
    pub kind: String,
    /// Its name among its kind.
    pub name: String,
    /// The salt of its name on the ledger.
    pub salt: Id,
    /// The OPAQUE registration record, for persons.
    pub opaque_record: Option<Vec<u8>>,
    /// The Ed25519 credential, for persons.
    pub credential: Option<Id>,
    /// Where it stands.
    pub state: AccountState,
    /// Logins tried since the last success.
    pub login_failures: u32,
    /// When the last login was tried.
    pub login_last_ms: u64,
    /// When it was made.
    pub created_ms: u64,
}

/// A registration between its start and its finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its single-use id.
    pub id: [u8; 16],
    /// The user name asked for.
    pub name: String,
    /// The account's name on the ledger.
    pub account: Id,
    /// The salt of that name.
    pub salt: Id,
    /// The nonce that the credential signs.
    pub nonce: Id,
    /// The ledger height after which the credential's proof is void.
    pub not_after: u64,
    /// When it expires.
    pub expires_ms: u64,
}

/// A session; the token itself is never here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The hash of the token.
    pub token_hash: Id,
    /// Whose session it is.
    pub account: Id,
    /// The SHA-256 fingerprint of the client certificate that logged in, if there was one.
    pub fingerprint: Option<Id>,
    /// When it ends.
    pub expires_ms: u64,
}

/// Where a key's private part is.
#[derive(Clone, PartialEq, Eq)]
pub enum Custody {
    /// Here, sealed under the key-encryption key.
    Hosted {
        /// The sealed private key.
        sealed: Vec<u8>,
        /// The key-encryption key that it is sealed under; empty for rows older than this column.
        kek: String,
    },
    /// In a token.
    Linked {
        /// The token's label.
        label: String,
        /// The token's serial number.
        serial: String,
        /// CKA_ID.
        id: Vec<u8>,
        /// The agent beside the token, if the token is not attached to the service.
        agent: Option<String>,
    },
    /// It was hosted, and is erased.
    Erased,
    /// On the person's side: never here.
    Own,
    /// Nowhere whole: its holder and keepers have shares of it.
    Shared {
        /// What is public of it, encoded.
        shared_key: Vec<u8>,
    },
}

impl fmt::Debug for Custody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosted { .. } => f.write_str("Hosted(redacted)"),
            Self::Linked { label, serial, .. } => write!(f, "Linked({label}, {serial})"),
            Self::Erased => f.write_str("Erased"),
            Self::Own => f.write_str("Own"),
            Self::Shared { .. } => f.write_str("Shared"),
        }
    }
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name on the ledger.
    pub key_id: Id,
    /// Whose it is.
    pub account: Id,
    /// Its alias; unique in the account together with the version.
    pub alias: String,
    /// The code of its scheme.
    pub scheme: u8,
    /// Its canonical public key.
    pub public_key: Vec<u8>,
    /// Where its private part is.
    pub custody: Custody,
    /// Where it stands.
    pub state: KeyState,
    /// Since when; for a scheduled key, when it may be destroyed.
    pub changed_ms: u64,
    /// Its version.
    pub version: u32,
    /// The key that superseded it.
    pub successor: Option<Id>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Grows with each change of the row, of its authorisations and of its account's state. The store counts:
    /// what an inserted row says is kept as it is, 1 for a new key.
    pub revision: u64,
    /// What the token says of it, unverified.
    pub claims: Vec<String>,
    /// When it was made.
    pub created_ms: u64,
}

/// Which keys are searched for; every part that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// Of one account.
    pub account: Option<Id>,
    /// In one state.
    pub state: Option<KeyState>,
    /// With a label of that name and value.
    pub label: Option<(String, String)>,
    /// With an alias that begins so.
    pub alias_prefix: Option<String>,
    /// Whose id comes after this one: the last of the page before.
    pub after: Option<Id>,
    /// This many at most.
    pub limit: u32,
}

/// A challenge of a key import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Its single-use nonce.
    pub nonce: Id,
    /// For whom it was made.
    pub account: Id,
    /// The code of the scheme it was made for.
    pub scheme: u8,
    /// The ledger height after which the proof is void.
    pub not_after: u64,
    /// When it expires.
    pub expires_ms: u64,
}

/// What came of taking a single-use row; it is gone in every case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// It was there and in time.
    Live(T),
    /// It was there, too late.
    Expired,
    /// It was never there, or was used before.
    Unknown,
}

/// A sealed PIN.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin {
    /// The token's serial number.
    pub serial: String,
    /// The token's label.
    pub label: String,
    /// The PIN, sealed under the key-encryption key.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({}, redacted)", self.label)
    }
}

/// The name of an idempotent request, and which try at it this is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Who asked.
    pub principal: String,
    /// The key chosen by the caller.
    pub key: Vec<u8>,
    /// Fresh random bytes of this try: who lost the claim to another try completes and forgets nothing.
    pub ticket: [u8; 16],
}

/// A request's claim to its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The key.
    pub name: IdempotencyKey,
    /// The hash of the request.
    pub request_hash: Id,
    /// The run of the service that claims; claims without a response of a run that ended are taken over.
    pub boot: [u8; 16],
    /// Now.
    pub now_ms: u64,
}

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The claim stands: do the work, then complete or forget it.
    New,
    /// The work was done before; this was the response.
    Done(Vec<u8>),
    /// The same request is being worked on right now.
    InProgress,
    /// The key belongs to another request.
    Conflict,
    /// Nothing was kept: what is known of the signing key is not what stands in its row.
    Stale,
}

/// An intent as it is kept before it is submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIntent {
    /// Its id on the ledger.
    pub id: Id,
    /// The key it uses.
    pub key_id: Id,
    /// The revision of the key's row that the decision was made on.
    pub key_revision: u64,
    /// Whose entry it will be on the ledger; only that submitter can record its release.
    pub submitter: Id,
    /// The blinding of its commitment.
    pub r: Id,
    /// SHA-256 of the message.
    pub payload_hash: Id,
    /// The hash of the policy set that allowed it.
    pub policy: Id,
    /// The last ledger height at which it can become final.
    pub not_after: u64,
    /// When.
    pub created_ms: u64,
}

/// An intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// What was kept at first.
    pub new: NewIntent,
    /// Where it stands.
    pub state: IntentState,
    /// Its record's place in the log, once known.
    pub leaf_index: Option<u64>,
    /// Its block's height, once known.
    pub height: Option<u64>,
    /// The tagged hash of the signature, once there is one.
    pub signature_hash: Option<Id>,
}

/// What is kept durably before a signature leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The intent.
    pub intent: Id,
    /// Its record's place in the log.
    pub leaf_index: u64,
    /// Its block's height.
    pub height: u64,
    /// The tagged hash of the signature.
    pub signature_hash: Id,
    /// From when on that may be recorded, in milliseconds since 1970; 0: at once.
    pub held_until_ms: u64,
    /// The request to complete, and its response.
    pub response: Option<(IdempotencyKey, Vec<u8>)>,
}

/// A signature hash that waits to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedRelease {
    /// The intent.
    pub intent: Id,
    /// The tagged hash of the signature.
    pub signature_hash: Id,
}

/// A change that is being recorded on the ledger and not yet settled here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Its random id.
    pub id: Id,
    /// What kind of change.
    pub kind: ActKind,
    /// The account or the key.
    pub subject: Id,
    /// What else is needed to settle it, in words of the service.
    pub detail: String,
    /// The ledger height after which the entry can no longer become final.
    pub until: u64,
    /// When.
    pub created_ms: u64,
    /// The run of the service that works on it.
    pub boot: [u8; 16],
    /// The request that it completes when it is settled.
    pub name: Option<IdempotencyKey>,
}

/// One run of the service over this database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Random bytes of this run.
    pub boot: [u8; 16],
    /// What operators call it.
    pub name: String,
    /// Its submitter key on the ledger; two servers never share one.
    pub submitter: Id,
}

/// Contact and identity fields of an account, sealed under a key of their own.
#[derive(Clone, PartialEq, Eq)]
pub struct Profile {
    /// The account.
    pub account: Id,
    /// The data key, sealed under the key-encryption key; empty once erased.
    pub sealed_key: Vec<u8>,
    /// The key-encryption key that the data key is sealed under.
    pub kek: String,
    /// The fields, sealed under the data key; empty once erased.
    pub body: Vec<u8>,
    /// When it was erased.
    pub erased_ms: Option<u64>,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Profile(redacted, erased: {})", self.erased_ms.is_some())
    }
}

words! {
    /// Where a vault stands, as far as this service brought it there.
    VaultState {
        /// Its first sealing is under way on the ledger.
        Pending = "pending",
        /// Sealed.
        Sealed = "sealed",
        /// Destroyed for good; the row stays.
        Ended = "ended",
    }
}

/// A vault that was sealed through this service: no share and no secret of it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vault {
    /// Whose it is.
    pub account: Id,
    /// The vault's id.
    pub vault: Id,
    /// Where it stands.
    pub state: VaultState,
    /// The place of the record that ended it, where it is known.
    pub ended_leaf: Option<u64>,
    /// When it was first sealed.
    pub created_ms: u64,
}

words! {
    /// Which secret of one-time codes.
    CodeState {
        /// Shown, and not confirmed by a first code.
        Fresh = "fresh",
        /// Its codes are asked for.
        Live = "live",
    }
}

/// The secret of an account's one-time codes.
#[derive(Clone, PartialEq, Eq)]
pub struct OneTimeCode {
    /// The account.
    pub account: Id,
    /// Which of its secrets.
    pub state: CodeState,
    /// The secret, sealed under the key-encryption key.
    pub sealed: Vec<u8>,
    /// The key-encryption key.
    pub kek: String,
    /// The newest step of which a code was accepted: neither it nor an older one is accepted again.
    pub last_step: u64,
    /// Wrong codes since the last right one.
    pub failures: u32,
    /// When the last code was shown.
    pub last_ms: u64,
}

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OneTimeCode(redacted, {}, failures: {})", self.state.word(), self.failures)
    }
}
