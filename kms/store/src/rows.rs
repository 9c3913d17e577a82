//! The rows, as plain data: every id is the ledger's own 32 bytes.

use std::fmt;

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
    },
    /// In a token.
    Linked {
        /// The token's label.
        label: String,
        /// The token's serial number.
        serial: String,
        /// CKA_ID.
        id: Vec<u8>,
    },
}

impl fmt::Debug for Custody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosted { .. } => f.write_str("Hosted(redacted)"),
            Self::Linked { label, serial, .. } => write!(f, "Linked({label}, {serial})"),
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
    /// Its alias, unique in the account.
    pub alias: String,
    /// The code of its scheme.
    pub scheme: u8,
    /// Its canonical public key.
    pub public_key: Vec<u8>,
    /// Where its private part is.
    pub custody: Custody,
    /// Where it stands.
    pub state: KeyState,
    /// Its version.
    pub version: u32,
    /// What the token says of it, unverified.
    pub claims: Vec<String>,
    /// When it was made.
    pub created_ms: u64,
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

/// The name of an idempotent request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Who asked.
    pub principal: String,
    /// The key chosen by the caller.
    pub key: Vec<u8>,
}

/// A request's claim to its idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The key.
    pub name: IdempotencyKey,
    /// The hash of the request.
    pub request_hash: Id,
    /// The run of the service that claims; claims of a dead run without a response are taken over.
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
}

/// An intent as it is kept before it is submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIntent {
    /// Its id on the ledger.
    pub id: Id,
    /// The key it uses.
    pub key_id: Id,
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
}

/// One step of an atomic change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new account; refused as [`crate::StoreError::AccountExists`] when the name is taken.
    InsertAccount(Account),
    /// From one state to another.
    SetAccountState(Id, AccountState, AccountState),
    /// Forgets an account that never opened.
    RemovePendingAccount(Id),
    /// What is known of tried logins.
    SetLogins {
        /// The account.
        account: Id,
        /// Tried since the last success.
        failures: u32,
        /// When the last was tried.
        last_ms: u64,
    },
    /// Keeps a registration under way.
    PutRegistration(Registration),
    /// A new session.
    PutSession(Session),
    /// Binds a session that was opened without a certificate to the one it is first shown with.
    BindSession {
        /// The hash of the token.
        token_hash: Id,
        /// The certificate's fingerprint.
        fingerprint: Id,
    },
    /// Ends every session of an account.
    EndSessions(Id),
    /// A new key; refused when the key or its alias is there.
    InsertKey(Key),
    /// From one state to another.
    SetKeyState(Id, KeyState, KeyState),
    /// Forgets a key that was never bound.
    RemovePendingKey(Id),
    /// Keeps a token's PIN, sealed.
    PutPin(Pin),
    /// Keeps a challenge.
    PutChallenge(Challenge),
    /// An app may use a key.
    PutAuthorisation {
        /// The key.
        key_id: Id,
        /// The app's name.
        app: String,
        /// When.
        created_ms: u64,
    },
    /// An app may no longer use a key; fine when it could not.
    RemoveAuthorisation {
        /// The key.
        key_id: Id,
        /// The app's name.
        app: String,
    },
    /// A change is under way.
    PutAct(Act),
    /// It is settled, one way or the other.
    RemoveAct(Id),
    /// The response of an idempotent request.
    Complete(IdempotencyKey, Vec<u8>),
    /// An idempotent request failed and may be tried again.
    Forget(IdempotencyKey),
    /// From the states named to another, with its place on the ledger when it is known.
    SetIntentState {
        /// The intent.
        intent: Id,
        /// Its new state: one without a signature.
        state: IntentState,
        /// Leaf index and height.
        place: Option<(u64, u64)>,
    },
    /// Releases that are final on the ledger.
    Released(Vec<Id>),
    /// Releases that came too late.
    Late(Vec<Id>),
    /// Keeps a secret, sealed, unless one of that name is there.
    PutSecret(&'static str, Vec<u8>),
}
