//! The one table of stable error codes: name, canonical status, whether to retry, what to do next.
//!
//! Names are promised to callers; they never change meaning. What a key's existence would tell a stranger is not
//! told: whoever may not even list a key gets `KEY_UNKNOWN` for it, exactly as for one that does not exist, and
//! `NOT_ALLOWED` is for principals who may see the key but not do this with it.

use std::fmt;

/// Canonical gRPC statuses, by their numbers; the gRPC face mirrors them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Canonical {
    /// The request is wrong whatever the state.
    InvalidArgument = 3,
    /// Not done in time.
    DeadlineExceeded = 4,
    /// What is named does not exist.
    NotFound = 5,
    /// What is to be made exists.
    AlreadyExists = 6,
    /// The caller is known and may not.
    PermissionDenied = 7,
    /// A limit is reached.
    ResourceExhausted = 8,
    /// The state does not allow it.
    FailedPrecondition = 9,
    /// A conflict with something under way.
    Aborted = 10,
    /// No such method.
    Unimplemented = 12,
    /// A broken invariant.
    Internal = 13,
    /// Not now.
    Unavailable = 14,
    /// Data that should verify does not.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

impl Canonical {
    /// The number on the wire.
    pub const fn number(self) -> i32 {
        self as i32
    }
}

/// An error that has a stable code.
pub trait Coded {
    /// The code.
    fn code(&self) -> Code;
}

macro_rules! codes {
    ($($variant:ident $name:literal $status:ident $retry:ident $remedy:literal;)*) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $name, "`: ", $remedy, ".")] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that callers match on.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The canonical status it travels with.
            pub const fn canonical(self) -> Canonical {
                match self { $(Self::$variant => Canonical::$status,)* }
            }

            /// Whether the same request may succeed later, unchanged.
            pub const fn retry(self) -> bool {
                match self { $(Self::$variant => codes!(@$retry),)* }
            }

            /// What to do next: lower case, no full stop.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
    (@retry) => { true };
    (@stop) => { false };
}

codes! {
    // tokens
    PinWrong "PIN_WRONG" PermissionDenied stop "give the right PIN: the token locks it after a few wrong ones, and we never try again by ourselves";
    PinLocked "PIN_LOCKED" FailedPrecondition stop "unlock the PIN with the security officer's PIN, with the token maker's tool";
    TokenModuleMissing "TOKEN_MODULE_MISSING" FailedPrecondition stop "give the PKCS#11 module's path with `--module` or `KEYWARD_TOKEN_MODULE`, or build the bundled one with `cargo build --release`";
    TokenMissing "TOKEN_MISSING" NotFound stop "attach the token, and look at `keyward token list` for its label and serial";
    TokenAmbiguous "TOKEN_AMBIGUOUS" FailedPrecondition stop "name the token by its serial number";
    TokenUnavailable "TOKEN_UNAVAILABLE" Unavailable retry "attach the token again; the service reopens it by itself";
    TokenKeyMissing "TOKEN_KEY_MISSING" NotFound stop "look at `keyward token list` for the keys of the token";
    TokenKeyAmbiguous "TOKEN_KEY_AMBIGUOUS" FailedPrecondition stop "name the key by its id (`--id`), because its label is not unique";
    // token agents
    AgentUnavailable "AGENT_UNAVAILABLE" Unavailable retry "see that `keyward token agent` runs at the desk and reaches the service; nothing was signed";
    AgentUnknown "AGENT_UNKNOWN" NotFound stop "name an agent that stands in the service's configuration";
    AgentRefused "AGENT_REFUSED" FailedPrecondition stop "ask at the desk: the agent's rules or a person there refused";
    AgentOutcomeUnknown "AGENT_OUTCOME_UNKNOWN" Aborted retry "ask again as a new request: the desk was interrupted with this one, and never signs it again";
    AgentReplaced "AGENT_REPLACED" Aborted stop "run one agent under each name: another one has taken this one's place";
    AgentProtocol "AGENT_PROTOCOL" InvalidArgument stop "use an agent of this service's version";
    RequestExpired "REQUEST_EXPIRED" Aborted retry "ask again, and have somebody at the desk: nobody answered in time, and nothing was handed out";
    // vaults
    VaultRequestMalformed "VAULT_REQUEST_MALFORMED" InvalidArgument stop "use a client of this version";
    VaultVersionStale "VAULT_VERSION_STALE" Aborted stop "look at `keyward vault status`: the vault was sealed again, or its shares were dealt anew; begin again";
    VaultDestroyed "VAULT_DESTROYED" FailedPrecondition stop "seal another vault: this one has ended";
    VaultKeeperUnknown "VAULT_KEEPER_UNKNOWN" FailedPrecondition stop "look at `keyward ledger state keepers` for those who keep shares now, and seal to them";
    VaultDepositUnsigned "VAULT_DEPOSIT_UNSIGNED" PermissionDenied stop "log in again and seal again: a keeper takes shares of an open account alone, signed for with its present credential";
    VaultShareRefused "VAULT_SHARE_REFUSED" InvalidArgument stop "seal again: the share does not fit what the sealing says of it";
    VaultWordRefused "VAULT_WORD_REFUSED" PermissionDenied stop "nothing: only keepers of the vault confer about it, and only when it is time";
    VaultShareMissing "VAULT_SHARE_MISSING" NotFound stop "ask another keeper: this one holds no share of the vault";
    VaultNotGranted "VAULT_NOT_GRANTED" PermissionDenied stop "ask the ledger for an attempt first; a keeper answers only one that is final and granted";
    VaultNotOpened "VAULT_NOT_OPENED" PermissionDenied stop "prove the attempt to the ledger first; a keeper releases only for one that succeeded";
    KeeperUnavailable "KEEPER_UNAVAILABLE" Unavailable retry "try again, or go on with the other keepers: as many as the vault's threshold are enough";
    VaultElementOther "VAULT_ELEMENT_OTHER" PermissionDenied stop "send the element that the attempt was asked for: another one is another guess";
    VaultUnknown "VAULT_UNKNOWN" NotFound stop "look at the vault's name: no such vault of this account was sealed";
    VaultInvalid "VAULT_INVALID" InvalidArgument stop "use a client of this version: a number or list of the sealing is out of its bounds";
    VaultAcknowledgementInvalid "VAULT_ACKNOWLEDGEMENT_INVALID" InvalidArgument stop "begin again: a keeper has not acknowledged exactly this sealing";
    VaultLimited "VAULT_LIMITED" ResourceExhausted retry "wait: the account has asked too often in a short time";
    VaultsMax "VAULTS_MAX" ResourceExhausted stop "destroy a vault first: the account has as many as it may";
    // closed address epochs that keepers open
    ViewingRequestMalformed "VIEWING_REQUEST_MALFORMED" InvalidArgument stop "use a client of this version";
    ViewingDepositUnsigned "VIEWING_DEPOSIT_UNSIGNED" PermissionDenied stop "log in again and deal again: a keeper takes shares of an open account alone, signed for with its present credential";
    ViewingKeeperUnknown "VIEWING_KEEPER_UNKNOWN" FailedPrecondition stop "look at `keyward ledger state keepers` for those who keep shares now, and deal to them";
    ViewingShareRefused "VIEWING_SHARE_REFUSED" InvalidArgument stop "deal again: the share does not fit what the dealing says of it";
    ViewingShareMissing "VIEWING_SHARE_MISSING" NotFound stop "ask another keeper: this one holds no share of these epochs";
    ViewingNotOpened "VIEWING_NOT_OPENED" PermissionDenied stop "record the opening first; a keeper answers only one that is final, accepted and covers the whole dealing";
    ViewingNotDealt "VIEWING_NOT_DEALT" FailedPrecondition stop "open epochs that hold whole runs which the account has dealt; what it has not dealt nobody can open";
    ViewingSpan "VIEWING_SPAN" InvalidArgument stop "open fewer epochs at once, a month at most";
    ViewingLimited "VIEWING_LIMITED" ResourceExhausted retry "wait: the account has asked too often in a short time";
    AttemptsCooling "ATTEMPTS_COOLING" ResourceExhausted retry "wait until the time that the refusal names: the vault's terms ask for it between attempts";
    AttemptsSpent "ATTEMPTS_SPENT" ResourceExhausted stop "wait until an attempt comes back, where the vault's terms say so";
    AttemptsLocked "ATTEMPTS_LOCKED" FailedPrecondition stop "seal the vault anew from a device that has its contents: every attempt of its lifetime is spent";
    AttemptUnknown "ATTEMPT_UNKNOWN" FailedPrecondition stop "ask for an attempt again: this one was never granted, or is over";
    AttemptProven "ATTEMPT_PROVEN" FailedPrecondition stop "go on to the keepers: the ledger has this attempt's success already";
    SuccessInvalid "SUCCESS_INVALID" InvalidArgument stop "ask for another attempt: the password was wrong, or a keeper's answer";
    AuthorsMissing "AUTHORS_MISSING" PermissionDenied stop "add the signatures that it asks for: the account's own, or those that a vault's terms name";
    AuthorNotNamed "AUTHOR_NOT_NAMED" PermissionDenied stop "sign with the account itself, or with those whom a vault's terms name, and nobody else";
    AuthorUnknown "AUTHOR_UNKNOWN" PermissionDenied stop "sign with a credential or key that the ledger knows";
    AuthorReplayed "AUTHOR_REPLAYED" AlreadyExists stop "sign again: this signature was taken before";
    AuthorSignatureInvalid "AUTHOR_SIGNATURE_INVALID" InvalidArgument stop "sign again, on this ledger and for exactly this entry";
    AuthorSignatureExpired "AUTHOR_SIGNATURE_EXPIRED" FailedPrecondition stop "sign again: the signature's last height has passed, or lies too far ahead";
    KeeperAnswer "KEEPER_ANSWER_INVALID" DataLoss stop "go on with the other keepers: this one answers what no honest keeper does";
    OneTimeCodeRequired "ONE_TIME_CODE_REQUIRED" Unauthenticated stop "give the code that your authenticator shows now";
    OneTimeCodeWrong "ONE_TIME_CODE_WRONG" Unauthenticated stop "give the next code of your authenticator: one counts once, about its time";
    OneTimeCodeLimited "ONE_TIME_CODE_LIMITED" ResourceExhausted retry "wait for the cool-down after ten wrong codes";
    OneTimeCodeUnknown "ONE_TIME_CODE_UNKNOWN" FailedPrecondition stop "set one-time codes up first, and confirm them with a first one";
    // delegates
    DelegationRequestMalformed "DELEGATION_REQUEST_MALFORMED" InvalidArgument stop "use a client of this version";
    DelegationNotInForce "DELEGATION_NOT_IN_FORCE" FailedPrecondition stop "look at `keyward delegate list`: no such delegation is in force, or it does not reach so far";
    RecoveryOpen "RECOVERY_OPEN" FailedPrecondition stop "wait until the recovery of the account has ended, or veto it (`keyward delegate veto`)";
    DelegationLimit "DELEGATION_LIMIT" ResourceExhausted stop "revoke a delegation first: the account has as many as it may";
    RecoveryLoginOther "RECOVERY_LOGIN_OTHER" InvalidArgument stop "send the request as it was made: its login is not the one that the delegates signed";
    DelegationPolicyUnknown "DELEGATION_POLICY_UNKNOWN" FailedPrecondition stop "have the owner appoint anew under a policy set of this service (`keyward delegate policies`): the terms name another one";
    ActCommitmentOther "ACT_COMMITMENT_OTHER" InvalidArgument stop "send the message and the r for which the act was signed";
    ActDone "ACT_DONE" AlreadyExists stop "ask under the idempotency key of the request that has the signature: an act has one";
    ActUnsigned "ACT_UNSIGNED" FailedPrecondition stop "sign another act: this one was recorded and charged, and will get no signature";
    DelegationNames "DELEGATION_NAMES" ResourceExhausted stop "use a name that the account gave a delegation before: it has given as many as it may";
    RateExceeded "RATE_EXCEEDED" ResourceExhausted stop "wait until the limits of the delegation, or of the service's addresses, have room, or act for less";
    ContactHeld "CONTACT_HELD" FailedPrecondition stop "wait for `email-before-until` of the profile: mail goes to the former address too until then";
    RuleVersion "RULE_VERSION" Aborted stop "look at it again and sign anew: another change of the rule, or of the account's delegates, came first";
    RuleInvalid "RULE_INVALID" InvalidArgument stop "look at the terms: a number or list is out of its bounds, or, of a delegation, the delay is below the ledger's shortest or the judges have a part in it";
    RuleUnknown "RULE_UNKNOWN" FailedPrecondition stop "have the rule defined first (`keyward approve rule define`; of a limit of addresses, `keyward address limit define`)";
    TimelockBusy "TIMELOCK_BUSY" FailedPrecondition stop "wait until the recovery that is open has ended";
    TimelockEarly "TIMELOCK_EARLY" FailedPrecondition stop "wait for the time that `keyward delegate list` shows";
    TimelockDisputed "TIMELOCK_DISPUTED" FailedPrecondition stop "ask the judges: the recovery was vetoed again, and they decide";
    CaseUnknown "CASE_UNKNOWN" NotFound stop "look at `keyward approve list`, or of a recovery at `keyward delegate list`: no such case is open, or its time is over";
    CaseClosed "CASE_CLOSED" FailedPrecondition stop "begin anew: approvals of this case were refused or withdrawn; of a recovery, it was vetoed, cancelled or displaced by an older delegation's";
    CasePayload "CASE_PAYLOAD" InvalidArgument stop "send exactly what the case is about; of a recovery, the request that it was opened with";
    CaseUsed "CASE_USED" FailedPrecondition stop "nothing is to be done for this case: what it was about has been done, once; ask for approvals anew for anything else";
    ApprovalsMissing "APPROVALS_MISSING" FailedPrecondition stop "collect the approvals first: `keyward approve show` says whose are missing; of a disputed recovery, its judges'";
    // approvals
    ApprovalRequestMalformed "APPROVAL_REQUEST_MALFORMED" InvalidArgument stop "use a client of this version";
    ApprovalPayloadOther "APPROVAL_PAYLOAD_OTHER" InvalidArgument stop "send exactly what the case is about: key, payload and opening are others than those it was opened for";
    ApprovalUnknown "APPROVAL_UNKNOWN" NotFound stop "look at `keyward approve list`: no case of this id is open in which you have a part";
    ApproverIsInitiator "APPROVER_IS_INITIATOR" PermissionDenied stop "have somebody else approve: nobody approves what they asked for or have done, under any account";
    ApprovalGiven "APPROVAL_GIVEN" AlreadyExists stop "nothing is to be done: this account, or its person under another one, has approved before";
    ApprovalNotGiven "APPROVAL_NOT_GIVEN" FailedPrecondition stop "nothing is to be done: the account has not approved";
    ApprovalDone "APPROVAL_DONE" AlreadyExists stop "ask under the idempotency key of the request that has the signature: a case pays for one";
    ApprovalUnsigned "APPROVAL_UNSIGNED" FailedPrecondition stop "ask for approvals anew: those of this case are used up, and will get no signature";
    ApprovalsMax "APPROVALS_MAX" ResourceExhausted stop "withdraw a case first, or wait until one ends: the account has as many cases or bytes as it may";
    // policies
    PolicyUnreadable "POLICY_UNREADABLE" InvalidArgument stop "mend the text where it says, and run `keyward policy check` on it";
    PolicyInvalid "POLICY_INVALID" InvalidArgument stop "mend the policies that it names, and run `keyward policy check` on the text";
    PolicySchema "POLICY_SCHEMA" Internal stop "use a build whose policies are whole";
    PolicyTooLarge "POLICY_TOO_LARGE" InvalidArgument stop "write fewer or shorter policies: at most 256 of them, in 64 KiB";
    PolicyLockOut "POLICY_LOCK_OUT" InvalidArgument stop "name the actions that a policy forbids or permits, so that officers can still publish another set";
    PolicyVersion "POLICY_VERSION" Aborted stop "look at the version in force (`keyward policy show`, of rules of risk `keyward risk show`), and publish the next one";
    PolicyUnknown "POLICY_UNKNOWN" NotFound stop "look at those that are known here (`keyward policy versions`, of rules of risk `keyward risk versions`)";
    PolicyTenantOther "POLICY_TENANT_OTHER" PermissionDenied stop "publish for the tenant of the service that you ask";
    PolicyTextOther "POLICY_TEXT_OTHER" InvalidArgument stop "sign the publication of exactly the text that you send";
    PolicyRequestMalformed "POLICY_REQUEST_MALFORMED" InvalidArgument stop "use a client of this version, and requests as policies/README.md describes them";
    // audit grants
    AuditRequestMalformed "AUDIT_REQUEST_MALFORMED" InvalidArgument stop "use a client of this version";
    AuditTenantOther "AUDIT_TENANT_OTHER" PermissionDenied stop "ask the service of the tenant whose accounts or terms it is about";
    AuditPurposeOther "AUDIT_PURPOSE_OTHER" InvalidArgument stop "send the purpose that the grant has the hash of: 1 to 4,096 bytes";
    AuditUnpublished "AUDIT_UNPUBLISHED" FailedPrecondition stop "have a security officer publish the tenant's terms for audits first (`keyward audit terms publish`)";
    GrantExists "GRANT_EXISTS" AlreadyExists stop "ask under another id: they are random, and count once";
    GrantTooWide "GRANT_TOO_WIDE" InvalidArgument stop "look at `keyward audit terms show`, and ask for fewer accounts, a shorter period or an earlier end";
    GrantState "GRANT_STATE" FailedPrecondition stop "look at `keyward audit show` for where the grant stands: it waits to be issued (`keyward audit issue`), is in force, or was revoked";
    GrantUnknown "GRANT_UNKNOWN" NotFound stop "look at `keyward audit list` for the grants that you asked for or may revoke";
    GrantExpired "GRANT_EXPIRED" FailedPrecondition stop "ask for another grant (`keyward audit request`): this one has ended";
    GrantScope "GRANT_SCOPE" PermissionDenied stop "open accounts and whole epochs that the grant names (`keyward audit show`)";
    AuditLimited "AUDIT_LIMITED" ResourceExhausted retry "wait: the account has asked or opened too much in a short time; the same command goes on where it ended";
    GrantKeyInvalid "GRANT_KEY_INVALID" FailedPrecondition stop "ask for another grant, with a client of this version: nothing can be sealed to the key of this one";
    // associations
    AssociationRequestMalformed "ASSOCIATION_REQUEST_MALFORMED" InvalidArgument stop "use a client of this version";
    AssociationExists "ASSOCIATION_EXISTS" AlreadyExists stop "choose another id: they are random";
    AssociationUnknown "ASSOCIATION_UNKNOWN" NotFound stop "ask a member for the association's id";
    AssociationVersion "ASSOCIATION_VERSION" Aborted stop "look at `keyward association show` and begin again: another change came first, so proofs and signatures for this version are worth nothing now";
    AssociationInvalid "ASSOCIATION_INVALID" InvalidArgument stop "change something, and name one to 32 members";
    AssociationDisputed "ASSOCIATION_DISPUTED" FailedPrecondition stop "settle the dispute first (`keyward association settle`)";
    AssociationUndisputed "ASSOCIATION_UNDISPUTED" FailedPrecondition stop "look at `keyward association show`: no such dispute is open";
    DisputeHeard "DISPUTE_HEARD" FailedPrecondition stop "nothing is to be done: the account was heard of this version, and is heard again of the next";
    MemberUnknown "MEMBER_UNKNOWN" NotFound stop "look at `keyward association show` for the addresses that stand in it";
    MemberConsentMissing "MEMBER_CONSENT_MISSING" PermissionDenied stop "have the account of each new member sign (`keyward association consent`)";
    AddressTaken "ADDRESS_TAKEN" AlreadyExists stop "have the address leave the association that it stands in first (`keyward association leave`)";
    AddressInvalid "ADDRESS_INVALID" InvalidArgument stop "write the address as its chain does";
    AddressUnproven "ADDRESS_UNPROVEN" InvalidArgument stop "have the address sign the text that `keyward association text` shows for exactly this association, version and account";
    // what is to be signed
    PayloadMissing "PAYLOAD_MISSING" InvalidArgument stop "give a message or a digest";
    DigestLength "DIGEST_LENGTH" InvalidArgument stop "give the 32 bytes of a SHA-256 digest, or the message itself";
    DigestNotAllowed "DIGEST_NOT_ALLOWED" InvalidArgument stop "give the message itself: this scheme does not sign digests";
    MessageTooLarge "MESSAGE_TOO_LARGE" InvalidArgument stop "hash the message and give its SHA-256 digest; send fewer requests at once where many are long";
    BatchTooLarge "BATCH_TOO_LARGE" InvalidArgument stop "send at most 256 requests in one batch";
    PayloadReserved "PAYLOAD_RESERVED" InvalidArgument stop "sign something else: delegates and addresses do not sign Keyward's own messages";
    PayloadFormatUnknown "PAYLOAD_FORMAT_UNKNOWN" InvalidArgument stop "choose one of opaque, ethereum, bitcoin-psbt, pain.001";
    PayloadUnread "PAYLOAD_UNREAD" InvalidArgument stop "correct the payload, or have it signed as an opaque one where policy allows that: it is not read as its format says";
    PayloadOther "PAYLOAD_OTHER" InvalidArgument stop "show exactly what is signed: the payload's hash or digests are not those of the intent";
    // what policies say of a signature
    PolicyDenied "POLICY_DENIED" PermissionDenied stop "ask a security officer about the policies that the refusal names (`keyward policy show`, `explain`); where they refuse what is opaque, say the payload's format (`keyward sign --format`)";
    RiskRulesUnknown "RISK_RULES_UNKNOWN" Unavailable retry "have a security officer publish rules of risk that this version reads, or start the service that keeps their text";
    ApprovalRequired "APPROVAL_REQUIRED" FailedPrecondition stop "ask for approval of exactly this payload under the rules that the refusal names (`keyward approve ask`), and sign with the case";
    // what an account's own history says of a request
    RiskRefused "RISK_REFUSED" PermissionDenied stop "ask a security officer about the reasons that the refusal names (`keyward risk show`)";
    RiskUnreadable "RISK_UNREADABLE" InvalidArgument stop "mend the text where it says, and run `keyward risk check` on it";
    RiskInvalid "RISK_INVALID" InvalidArgument stop "mend the field that it names, and run `keyward risk check` on the text";
    RiskTooLarge "RISK_TOO_LARGE" InvalidArgument stop "write a shorter rule set: at most 16 KiB";
    // unlinkable addresses
    AddressesChosen "ADDRESSES_CHOSEN" AlreadyExists stop "look at `keyward address show`: the account has chosen addresses, for good";
    AddressesUnknown "ADDRESSES_UNKNOWN" FailedPrecondition stop "choose addresses for the account first (`keyward address choose`)";
    AddressesHosted "ADDRESSES_HOSTED" FailedPrecondition stop "use `keyward address` without a root of your own: the account's root is hosted";
    AddressesOwn "ADDRESSES_OWN" FailedPrecondition stop "use the device that has the root: the account's root is its person's own, and the service does not have it";
    AddressRequestMalformed "ADDRESS_REQUEST_MALFORMED" InvalidArgument stop "use a client of this version";
    AddressUnknown "ADDRESS_UNKNOWN" NotFound stop "look at `keyward address list`: the account has no such address";
    AddressUsed "ADDRESS_USED" FailedPrecondition stop "use another address: each signs once, and this one did or may have";
    AddressEpoch "ADDRESS_EPOCH" FailedPrecondition stop "use an address of the epoch under way (`keyward address new`), and see that the clock is right";
    AddressIntentStale "ADDRESS_INTENT_STALE" Aborted stop "sign again: the ledger went on meanwhile to where intents have another end, and nothing was recorded";
    AddressOther "ADDRESS_OTHER" InvalidArgument stop "use the root that the account chose: address, viewing leaf and spending point do not fit each other, or not those of before in this epoch";
    AddressApproval "ADDRESS_APPROVAL" FailedPrecondition stop "ask for approval under the rules that the refusal names (`keyward approve ask --address`), and sign with the case (`keyward sign --address new --approval CASE`)";
    AddressLimitHosted "ADDRESS_LIMIT_HOSTED" FailedPrecondition stop "use a hosted root: this service limits how often addresses sign, and could not count those of a root of your own";
    AddressesMax "ADDRESSES_MAX" ResourceExhausted stop "use addresses that were given out before, or wait for the next epoch: so many may be unused at once";
    EpochUnderWay "EPOCH_UNDER_WAY" FailedPrecondition retry "wait until the epoch has elapsed, ten seconds after its end";
    EpochClosed "EPOCH_CLOSED" FailedPrecondition stop "use an address of the epoch under way: this epoch was closed";
    DealingGap "DEALING_GAP" FailedPrecondition stop "deal the epochs that follow the last ones dealt, a day of them at most";
    // shared keys
    KeyShared "KEY_SHARED" FailedPrecondition stop "sign with `keyward sign` on the device that has the share: its holder and the key's keepers sign together, and nobody else does";
    KeyNotShared "KEY_NOT_SHARED" FailedPrecondition stop "use the call of the key's own mode: this key is not shared with keepers";
    SharedRequestMalformed "SHARED_REQUEST_MALFORMED" InvalidArgument stop "use a client of this version";
    SharedKeyOther "SHARED_KEY_OTHER" InvalidArgument stop "hand in the key that its keepers confirmed: its hash, public key or holders are not those of the entry";
    SharedExecutorOther "SHARED_EXECUTOR_OTHER" Aborted stop "look the key up at this server and sign the intent anew: it names another server";
    SharedPolicyOther "SHARED_POLICY_OTHER" Aborted stop "look the key up and sign the intent anew: another policy set is in force than it names";
    SharedDeviceRefused "SHARED_DEVICE_REFUSED" InvalidArgument stop "look the key up and begin the next attempt with the device in force: its message is not one of this attempt";
    SharedAttemptStale "SHARED_ATTEMPT_STALE" FailedPrecondition stop "begin the next attempt: this one has ended, or was begun with other messages";
    SharedLimited "SHARED_LIMITED" ResourceExhausted retry "wait: the account has asked too often in a short time";
    SharedInvalid "SHARED_INVALID" InvalidArgument stop "choose ed25519, bip340 or (experimental) ecdsa-secp256k1, 2 to 16 keepers (of ecdsa-secp256k1 at most 5) and as many as sign of them, and a lock of at most 366 days";
    SharedNameBound "SHARED_NAME_BOUND" AlreadyExists stop "use the key that was bound under this name, or make one under another name";
    SharedRunUnknown "SHARED_RUN_UNKNOWN" FailedPrecondition stop "begin to make the key again: its making ended, or was never opened";
    SharedAttempt "SHARED_ATTEMPT" Aborted stop "begin to make the key again: another attempt came first";
    SharedKeeperUnknown "SHARED_KEEPER_UNKNOWN" FailedPrecondition stop "look at `keyward ledger state keepers` for those who are keepers now, and choose among them";
    SharedAcknowledgement "SHARED_ACKNOWLEDGEMENT_INVALID" InvalidArgument stop "begin again: a keeper has not acknowledged exactly this key";
    SharedVersionStale "SHARED_VERSION_STALE" Aborted stop "look the key up and begin again: its shares were dealt anew";
    SharedSigners "SHARED_SIGNERS" InvalidArgument stop "name exactly as many keepers of the key as it takes";
    SharedTweak "SHARED_TWEAK" InvalidArgument stop "sign without a tweak: keys of this scheme take none";
    SharedHoldersChanged "SHARED_HOLDERS_CHANGED" InvalidArgument stop "renew the shares to change their holders";
    SharedDeviceOther "SHARED_DEVICE_OTHER" FailedPrecondition stop "look the key up and renew with the device in force";
    SharedDeviceWaits "SHARED_DEVICE_WAITS" FailedPrecondition stop "wait until the device that waits is in force, or cancel it with the one that is";
    SharedDeviceNone "SHARED_DEVICE_NONE" FailedPrecondition stop "nothing is to be done: no other device waits";
    SharedVetoInvalid "SHARED_VETO_INVALID" PermissionDenied stop "sign with the device in force, against the device that waits";
    // what keepers say of shared keys
    SharedKeyUnknown "SHARED_KEY_UNKNOWN" NotFound stop "look at `keyward key list`: the ledger has no such shared key";
    SharedShareMissing "SHARED_SHARE_MISSING" FailedPrecondition stop "sign with other keepers, and have the share repaired (`keyward key shared repair`)";
    SharedShareHeld "SHARED_SHARE_HELD" FailedPrecondition stop "nothing: the keeper has its share";
    SharedRunOther "SHARED_RUN_OTHER" FailedPrecondition stop "begin another attempt: the ledger has no such generation open, or one with another plan or other openings";
    SharedIntentRefused "SHARED_INTENT_REFUSED" PermissionDenied stop "sign another intent: a keeper signs under one alone that is final, accepted, alive, and says exactly this";
    SharedApprovalMissing "SHARED_APPROVAL_MISSING" PermissionDenied stop "collect the approvals first (`keyward approve ask`), and name the case in the intent";
    SharedMessageRefused "SHARED_MESSAGE_REFUSED" InvalidArgument stop "begin the next attempt: a holder's message is missing, or not one of this attempt; nobody is to blame for it yet";
    SharedHolderLied "SHARED_HOLDER_LIED" FailedPrecondition stop "begin the next attempt without the holder that the refusal names: what it signed does not hold";
    SharedExperimental "SHARED_EXPERIMENTAL" FailedPrecondition stop "make a new key (`keyward key create --mode shared`) and move what the old one holds: shares of experimental keys are not dealt anew, repaired or moved to other holders";
    SharedBanned "SHARED_BANNED" FailedPrecondition stop "sign with other keepers: a holder of this attempt lied to another one before, and what it could learn by lying again is the key; if none are left, make a new key";
    // keys
    KeyUnknown "KEY_UNKNOWN" NotFound stop "look at `keyward key list` for the keys you may use";
    KeyPending "KEY_PENDING" FailedPrecondition retry "wait until the key's binding is final on the ledger";
    KeyFrozen "KEY_FROZEN" FailedPrecondition stop "ask a security officer to unfreeze the key";
    KeyNotFrozen "KEY_NOT_FROZEN" FailedPrecondition stop "nothing is to be done: the key signs";
    KeyScheduled "KEY_SCHEDULED" FailedPrecondition stop "cancel its destruction first (`keyward key cancel-destroy`), or use another key";
    KeyNotScheduled "KEY_NOT_SCHEDULED" FailedPrecondition stop "schedule its destruction first (`keyward key destroy`)";
    KeyDestroyed "KEY_DESTROYED" FailedPrecondition stop "use another key: a destroyed one stays destroyed; what it signed still verifies";
    KeySuperseded "KEY_SUPERSEDED" FailedPrecondition stop "name the alias without a version: only the newest version signs and is rotated";
    KeyVersion "KEY_VERSION" FailedPrecondition stop "rotate with a new key of the same scheme, in the same account";
    DestructionWait "DESTRUCTION_WAIT" InvalidArgument stop "choose a waiting period between the service's shortest one and 366 days";
    DestructionEarly "DESTRUCTION_EARLY" FailedPrecondition stop "wait for the time that `keyward key show` names: nothing destroys a key sooner";
    LabelInvalid "LABEL_INVALID" InvalidArgument stop "choose 1 to 63 of a-z, 0-9, `.`, `_`, `-`, `/` as a label's key and at most 255 bytes of printable text as its value";
    KeyAlreadyBound "KEY_ALREADY_BOUND" AlreadyExists stop "use the key under the account that it is bound to, or make another key";
    AliasTaken "ALIAS_TAKEN" AlreadyExists stop "choose another alias";
    AliasInvalid "ALIAS_INVALID" InvalidArgument stop "choose 1 to 64 letters, digits, dots, dashes or underscores";
    PublicKeyInvalid "PUBLIC_KEY_INVALID" InvalidArgument stop "give the public key in its scheme's canonical form";
    SealedKeyInvalid "SEALED_KEY_INVALID" InvalidArgument stop "seal the private key to the service's sealing key, bound to the challenge, and try again";
    SchemeUnknown "SCHEME_UNKNOWN" InvalidArgument stop "choose one of ecdsa-secp256k1, bip340, ecdsa-p256, ed25519, rsa-pss, rsa-pkcs1, sm2";
    SchemeMismatch "SCHEME_MISMATCH" FailedPrecondition stop "choose a scheme that fits the kind of the key";
    SchemeNotHosted "SCHEME_NOT_HOSTED" InvalidArgument stop "keep RSA keys in a token and link them";
    KeyIsSelf "KEY_IS_SELF" FailedPrecondition stop "sign on the person's side: the key's private part is nowhere else";
    KeyNotSelf "KEY_NOT_SELF" FailedPrecondition stop "have the service sign: the key's private part is not on the person's side";
    SigningUnknown "SIGNING_UNKNOWN" NotFound stop "begin again under the same idempotency key: this signing ended, or was never begun here by you";
    SigningDone "SIGNING_DONE" AlreadyExists stop "nothing is to be done: an intent releases one signature, and this one has released another";
    OwnSignatureInvalid "OWN_SIGNATURE_INVALID" InvalidArgument stop "sign exactly what was begun, with the key that was named";
    NotAuthorised "NOT_AUTHORISED" FailedPrecondition stop "look at the key's standing authorisations";
    // who asks
    ClientCertificateRequired "CLIENT_CERTIFICATE_REQUIRED" Unauthenticated stop "choose a profile with a client certificate (`--profile` or `KEYWARD_PROFILE`)";
    ClientCertificateInvalid "CLIENT_CERTIFICATE_INVALID" Unauthenticated stop "use a certificate with one SAN URI `keyward://<role>/<name>` from the service's own authority";
    SessionRequired "SESSION_REQUIRED" Unauthenticated stop "log in first (`keyward account login`)";
    SessionExpired "SESSION_EXPIRED" Unauthenticated stop "log in again (`keyward account login`)";
    SessionUnknown "SESSION_UNKNOWN" Unauthenticated stop "log in again (`keyward account login`), with the profile that you use the session with";
    NotAllowed "NOT_ALLOWED" PermissionDenied stop "ask with a profile whose role may do this, or ask the key's holder to authorise you";
    // challenges and proofs
    ChallengeExpired "CHALLENGE_EXPIRED" FailedPrecondition stop "start again: a new challenge is made";
    ChallengeReplayed "CHALLENGE_REPLAYED" FailedPrecondition stop "start again: a challenge counts once, for the account that asked for it";
    ProofInvalid "PROOF_INVALID" InvalidArgument stop "sign the challenge with the private key of the public key that is to be bound";
    // malformed bytes
    RequestMalformed "REQUEST_MALFORMED" InvalidArgument stop "encode the request as the published .proto files say";
    MethodUnknown "METHOD_UNKNOWN" Unimplemented stop "use the .proto files of this service's version";
    InvalidArgument "INVALID_ARGUMENT" InvalidArgument stop "correct the request";
    EntryMalformed "ENTRY_MALFORMED" InvalidArgument stop "encode the entry as the ledger's SPEC.md says";
    BatchMalformed "BATCH_MALFORMED" InvalidArgument stop "encode the batch as the ledger's SPEC.md says";
    ReceiptMalformed "RECEIPT_MALFORMED" InvalidArgument stop "fetch the receipt again: these bytes are not one";
    ReceiptInvalid "RECEIPT_INVALID" InvalidArgument stop "do not rely on what this receipt claims";
    // the ledger
    LedgerUnavailable "LEDGER_UNAVAILABLE" Unavailable retry "try again once enough validators run (`keyward ledger status`); nothing was signed";
    LedgerUnverified "LEDGER_UNVERIFIED" DataLoss stop "compare the trust file with the ledger's operators: a node gave an answer that does not verify";
    LedgerRefused "LEDGER_REFUSED" FailedPrecondition stop "read the refusal's own code, and correct what it names";
    IntentExpired "INTENT_EXPIRED" Aborted retry "ask again: the intent was not released in time, and nothing was signed";
    RecordUnknown "RECORD_UNKNOWN" NotFound stop "look at `keyward ledger status` for the size of the log";
    // accounts and login
    LoginFailed "LOGIN_FAILED" Unauthenticated stop "check user name and password: the service cannot tell which is wrong";
    LoginLimited "LOGIN_LIMITED" ResourceExhausted retry "wait for the cool-down after ten failed logins";
    LoginExpired "LOGIN_EXPIRED" FailedPrecondition stop "start the login again";
    RegistrationExpired "REGISTRATION_EXPIRED" FailedPrecondition stop "start the registration again";
    UserNameInvalid "USER_NAME_INVALID" InvalidArgument stop "choose 1 to 64 of a-z, 0-9, dot, dash or underscore";
    AccountExists "ACCOUNT_EXISTS" AlreadyExists stop "choose another user name, or log in";
    AccountUnknown "ACCOUNT_UNKNOWN" NotFound stop "register first (`keyward account register`)";
    AccountPending "ACCOUNT_PENDING" FailedPrecondition retry "wait until the account is final on the ledger";
    AccountClosed "ACCOUNT_CLOSED" FailedPrecondition stop "register another account: a closed one stays closed";
    // the request as such
    ProfileInvalid "PROFILE_INVALID" InvalidArgument stop "give 1 to 16 fields with short names and values, and a reason where another's are read";
    ProfileUnknown "PROFILE_UNKNOWN" NotFound stop "the person may set fields first (`keyward account profile set`)";
    ProfileErased "PROFILE_ERASED" FailedPrecondition stop "nothing is to be done: erased fields do not come back";
    // keys that seal keys
    KekInUse "KEK_IN_USE" FailedPrecondition stop "wait until `keyward kek status` says that nothing is left under an older key, and a minute longer";
    KekUnknown "KEK_UNKNOWN" NotFound stop "look at `keyward kek status` for the numbers that the token has";
    // forms of public keys
    FormatUnknown "FORMAT_UNKNOWN" InvalidArgument stop "choose one of spki-pem, spki-der, jwk, openssh, address-ethereum, address-p2wpkh, address-p2tr";
    FormatNotOfScheme "FORMAT_NOT_OF_SCHEME" FailedPrecondition stop "choose a form that keys of this scheme have";
    NetworkUnknown "NETWORK_UNKNOWN" InvalidArgument stop "choose mainnet or testnet";
    // once
    IdempotencyConflict "IDEMPOTENCY_CONFLICT" AlreadyExists stop "use a fresh idempotency key for another request";
    IdempotencyPending "IDEMPOTENCY_PENDING" Aborted retry "wait: the first request with this idempotency key is still under way";
    TooMany "TOO_MANY" ResourceExhausted stop "remove some first: a limit of this account is reached";
    StoreUnavailable "STORE_UNAVAILABLE" Unavailable retry "try again, under the same idempotency key, once the database answers";
    StorageFull "STORAGE_FULL" ResourceExhausted retry "free space on the database's disk, then try again under the same idempotency key";
    ServiceBusy "SERVICE_BUSY" ResourceExhausted retry "try again in a moment";
    DeadlineExceeded "DEADLINE_EXCEEDED" DeadlineExceeded retry "try again; an idempotency key makes sure that it is done once";
    SignatureInvalid "SIGNATURE_INVALID" Internal stop "have the token or the sealed key checked: it made a signature that does not verify, which was not handed out";
    Internal "INTERNAL" Internal stop "tell the operator the request id";
}

impl Code {
    /// The code of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// The code that callers see for the name of a ledger outcome (`KEY_FROZEN`, ..).
    ///
    /// Names that a caller caused keep their meaning; refusals that only our own service can cause are `INTERNAL`;
    /// an unknown name is `LEDGER_REFUSED`. `EXPIRED` is an intent's: where a binding's proof expired, callers say
    /// `CHALLENGE_EXPIRED` themselves.
    pub fn of_ledger(outcome: &str) -> Self {
        match outcome {
            "EXPIRED" => Self::IntentExpired,
            "ALREADY_RELEASED" | "INTENT_REPLAYED" | "INTENT_UNKNOWN" | "NOT_EXECUTOR" => Self::Internal,
            "ENTRY_KIND_UNKNOWN" | "ROLE_NOT_ALLOWED" | "EXPIRY_TOO_FAR" | "CREDENTIAL_VERSION" => {
                Self::Internal
            }
            "HOLDER_SIGNATURE_INVALID" => Self::ProofInvalid,
            name => Self::from_name(name).unwrap_or(Self::LedgerRefused),
        }
    }
}

impl Code {
    /// How long to wait before the same request is tried again, in milliseconds; nothing where that is no use.
    pub const fn retry_after_ms(self) -> Option<u32> {
        if !self.retry() {
            return None;
        }
        Some(match self {
            // As long as requests under way take.
            Self::ServiceBusy | Self::IdempotencyPending | Self::IntentExpired => 100,
            Self::LoginLimited | Self::OneTimeCodeLimited => 60_000,
            _ => 1000,
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.name()), Some(*code));
            assert!(code.name().bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{code}");
        }
    }

    #[test]
    fn every_remedy_is_one_plain_sentence() {
        for code in Code::ALL {
            let remedy = code.remedy();
            assert!(remedy.starts_with(|c: char| c.is_ascii_lowercase()), "{code}");
            assert!(!remedy.ends_with('.') && !remedy.contains('\n'), "{code}");
        }
    }

    #[test]
    fn unavailable_always_says_retry() {
        for code in Code::ALL.iter().filter(|code| code.canonical() == Canonical::Unavailable) {
            assert!(code.retry(), "{code}");
        }
    }

    #[test]
    fn what_may_be_tried_again_says_when() {
        for code in Code::ALL {
            assert_eq!(code.retry_after_ms().is_some(), code.retry(), "{code}");
        }
    }

    #[test]
    fn ledger_outcomes_reach_callers_under_codes_they_know() {
        assert_eq!(Code::of_ledger("KEY_FROZEN"), Code::KeyFrozen);
        assert_eq!(Code::of_ledger("KEY_ALREADY_BOUND"), Code::KeyAlreadyBound);
        assert_eq!(Code::of_ledger("ACCOUNT_CLOSED"), Code::AccountClosed);
        assert_eq!(Code::of_ledger("ENTRY_MALFORMED"), Code::EntryMalformed);
        assert_eq!(Code::of_ledger("NOT_EXECUTOR"), Code::Internal);
        assert_eq!(Code::of_ledger("SOMETHING_NEW"), Code::LedgerRefused);
    }

    #[test]
    fn every_refusal_of_the_services_entries_is_known_here() {
        // From 64 on they are about entries that no verb of the service hands in (members, regimes, contracts), up to addresses
        // and audits.
        let handed_in =
            |refusal: &&keyward_ledger_core::outcome::Refusal| !(64..208).contains(&refusal.code());
        for refusal in keyward_ledger_core::outcome::Refusal::ALL.iter().filter(handed_in) {
            assert_ne!(Code::of_ledger(refusal.name()), Code::LedgerRefused, "{}", refusal.name());
        }
    }
}
