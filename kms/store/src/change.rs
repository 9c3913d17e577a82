//! The steps of an atomic change, as plain data.

use std::collections::BTreeMap;

use crate::{
    Account, AccountState, Act, AddressAccount, AgentJob, Approval, ApprovalRoom, ApprovalRule, Challenge,
    CodeState, GrantRow, Id, IdempotencyKey, IntentState, JobState, Key, KeyState, NewAddress, Notice,
    NoticeChannel, NoticeState, OneTimeCode, Pin, PolicyRequests, PolicyVersion, Profile, Registration,
    RiskHistory, Session, ViewingDealing,
};

/// One step of an atomic change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new account; refused as [`crate::StoreError::AccountExists`] when the name is taken.
    InsertAccount(Account),
    /// From one state to another.
    SetAccountState(Id, AccountState, AccountState),
    /// Another password: what a login is held against, and the credential that comes with it. Refused as
    /// [`crate::StoreError::Missing`] unless the account is open.
    SetPassword {
        /// The account.
        account: Id,
        /// The OPAQUE registration record.
        opaque_record: Vec<u8>,
        /// The Ed25519 credential.
        credential: Id,
    },
    /// Changes nothing; refused as [`crate::StoreError::Missing`] unless the account is open until this is kept.
    NeedOpenAccount(Id),
    /// Changes nothing; refused as [`crate::StoreError::Missing`] unless the account is open and its logins are held against
    /// this record until this is kept.
    NeedLogin {
        /// The account.
        account: Id,
        /// The OPAQUE registration record.
        opaque_record: Vec<u8>,
    },
    /// Forgets an account that never opened.
    RemovePendingAccount(Id),
    /// What is known of tried logins.
    SetLogins {
        /// The account.
        account: Id,
        /// What must be known of them; refused as [`crate::StoreError::Missing`] otherwise.
        from: Option<(u32, u64)>,
        /// Tried since the last success.
        failures: u32,
        /// When the last was tried.
        last_ms: u64,
    },
    /// What is known of tried logins of a name that nobody has; refused as [`crate::StoreError::Missing`] when
    /// something else than `from` is known.
    SetUnknownName {
        /// The hash of the name.
        name: Id,
        /// What must be known of them; none: nothing.
        from: Option<(u32, u64)>,
        /// Tried.
        failures: u32,
        /// When the last was tried.
        last_ms: u64,
        /// When it may be forgotten.
        expires_ms: u64,
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
    /// Ends the oldest sessions of an account until `most` are left; the newest one stays in any case.
    KeepSessions {
        /// The account.
        account: Id,
        /// The hash of the newest one's token.
        newest: Id,
        /// How many may be left, at least one.
        most: usize,
    },
    /// A new key; refused when the key or its alias is there.
    InsertKey(Key),
    /// From one state to another.
    SetKeyState {
        /// The key.
        key_id: Id,
        /// The state it must be in.
        from: KeyState,
        /// The state it comes to.
        to: KeyState,
        /// Since when; for `Scheduled`, when it may be destroyed.
        changed_ms: u64,
        /// The key that supersedes it; none leaves the row's own.
        successor: Option<Id>,
    },
    /// Removes the sealed private part of a destroyed key.
    EraseKey(Id),
    /// Replaces a key's labels, if they still are those named.
    SetLabels {
        /// The key.
        key_id: Id,
        /// All of its labels until now.
        from: BTreeMap<String, String>,
        /// All of its labels from now on.
        to: BTreeMap<String, String>,
    },
    /// Puts a hosted key under another key-encryption key, if the row still holds what was opened.
    Reseal {
        /// The key.
        key_id: Id,
        /// What the row must hold.
        from_sealed: Vec<u8>,
        /// What it holds from now on.
        to_sealed: Vec<u8>,
        /// The key-encryption key of the new envelope.
        kek: String,
    },
    /// Puts what is public of a shared key in the place of what was, if the row still holds that.
    ReplaceShared {
        /// The key.
        key_id: Id,
        /// What the row must hold.
        from: Vec<u8>,
        /// What it holds from now on.
        to: Vec<u8>,
    },
    /// Forgets a key that was never bound.
    RemovePendingKey(Id),
    /// Keeps a token's PIN, sealed.
    PutPin(Pin),
    /// Forgets the PINs of tokens that no key needs any more.
    ForgetIdlePins,
    /// Keeps a challenge.
    PutChallenge(Challenge),
    /// Removes the oldest challenges of an account until `most` are left; the newest one stays in any case.
    KeepChallenges {
        /// The account.
        account: Id,
        /// The newest one's nonce.
        newest: Id,
        /// How many may be left, at least one.
        most: usize,
    },
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
    /// Exchanges a sealed secret for another, if it still is the one named.
    ReplaceSecret {
        /// Its name.
        name: &'static str,
        /// What must stand there.
        from: Vec<u8>,
        /// What stands there from now on.
        to: Vec<u8>,
    },
    /// Exchanges a sealed PIN for another, if it still is the one named.
    ReplacePin {
        /// The token's serial number.
        serial: String,
        /// The token's label.
        label: String,
        /// What must stand there.
        from: Vec<u8>,
        /// What stands there from now on.
        to: Vec<u8>,
    },
    /// Keeps a profile, over the one before; refused as [`crate::StoreError::Missing`] once it is erased.
    PutProfile(Profile),
    /// Puts a profile's data key under another key-encryption key, if it still is the one named.
    ResealProfile {
        /// The account.
        account: Id,
        /// What the row must hold.
        from_sealed: Vec<u8>,
        /// What it holds from now on.
        to_sealed: Vec<u8>,
        /// The key-encryption key of the new envelope.
        kek: String,
    },
    /// Removes a profile's data key and body for good; the row stays. Fine when there is none, or was.
    EraseProfile {
        /// The account.
        account: Id,
        /// When.
        at_ms: u64,
    },
    /// A job for an agent.
    PutAgentJob(AgentJob),
    /// Where an agent's job came to: `Taken` from waiting; `Answered` and `Refused` from waiting or taken, before
    /// it expires; `Expired` from either. Refused as [`crate::StoreError::Missing`] otherwise. Its body is erased when it ends.
    AnswerAgentJob {
        /// The job.
        id: Id,
        /// Its new state.
        state: JobState,
        /// The answer, where there is one.
        answer: Option<Vec<u8>>,
        /// Now.
        now_ms: u64,
    },
    /// A vault that is about to be sealed; changes nothing when it is known.
    RememberVault {
        /// Whose it is.
        account: Id,
        /// The vault's id.
        vault: Id,
        /// When.
        created_ms: u64,
    },
    /// A vault that was sealed; fine when it was before.
    SealVault {
        /// Whose it is.
        account: Id,
        /// The vault's id.
        vault: Id,
        /// When, if it is not known yet.
        created_ms: u64,
    },
    /// Forgets a vault that never was sealed.
    ForgetPendingVault {
        /// Whose it was to be.
        account: Id,
        /// The vault's id.
        vault: Id,
    },
    /// A vault that has ended on the ledger; its row stays.
    EndVault {
        /// Whose it was.
        account: Id,
        /// The vault's id.
        vault: Id,
        /// The place of the record that ended it, where it is known.
        leaf_index: Option<u64>,
    },
    /// Keeps the secret of one-time codes, over the one in the same state.
    PutCode(OneTimeCode),
    /// What is known of shown codes; refused as [`crate::StoreError::Missing`] unless the row is still as named.
    ChargeCode {
        /// The row as it was read.
        from: OneTimeCode,
        /// The newest step of which a code was accepted.
        last_step: u64,
        /// Wrong codes since the last right one.
        failures: u32,
        /// When the last was shown.
        last_ms: u64,
    },
    /// Changes nothing; refused as [`crate::StoreError::Missing`] if the account has a live secret. Comes after
    /// [`Self::NeedOpenAccount`], which holds off others until this is kept.
    NeedNoLiveCode(Id),
    /// The fresh secret of an account counts from here on; the live one must be removed first.
    ConfirmCode(Id),
    /// Forgets a secret of one-time codes; fine when there is none.
    RemoveCode(Id, CodeState),
    /// Puts a secret of one-time codes under another key-encryption key, if it still is the one named.
    ResealCode {
        /// The account.
        account: Id,
        /// Which of its secrets.
        state: CodeState,
        /// What the row must hold.
        from_sealed: Vec<u8>,
        /// What it holds from now on.
        to_sealed: Vec<u8>,
        /// The key-encryption key of the new envelope.
        kek: String,
    },
    /// Something that an owner is to be told; changes nothing if it is known.
    PutNotice(Notice),
    /// Takes a notice for a try; refused as [`crate::StoreError::Missing`] unless it waits for exactly that time.
    TakeNotice {
        /// The notice.
        id: Id,
        /// When it was to be tried.
        from_ms: u64,
        /// When it is to be tried again, should nothing be heard of this try.
        next_ms: u64,
    },
    /// A try failed.
    RetryNotice {
        /// The notice.
        id: Id,
        /// When it is to be tried again.
        next_ms: u64,
    },
    /// Gives up what waits of the changes of a delegation, told the same way, but for one.
    ReplaceNotices {
        /// Whose delegation it is.
        account: Id,
        /// The delegation's rule.
        subject: Id,
        /// How it is told.
        channel: NoticeChannel,
        /// The one that stays.
        by: Id,
    },
    /// A notice is delivered or given up; its address goes.
    EndNotice {
        /// The notice.
        id: Id,
        /// Either.
        state: NoticeState,
    },
    /// Keeps the text of a policy set by its hash; changes nothing when it is there.
    KeepPolicyText {
        /// Of the text.
        hash: Id,
        /// Cedar.
        text: String,
        /// Now.
        kept_ms: u64,
    },
    /// Forgets a text that no version names.
    ForgetPolicyText(Id),
    /// A version of the tenant's set is in force, or was.
    PutPolicyVersion(PolicyVersion),
    /// Keeps requests that were decided lately.
    KeepPolicyRequests(PolicyRequests),
    /// Forgets all but the newest of them, and those before a time.
    PrunePolicyRequests {
        /// How many rows stay.
        rows: u64,
        /// Unix milliseconds.
        before_ms: u64,
    },
    /// What is known of an account's habits; refused as [`crate::StoreError::Missing`] unless the revision before is as named and
    /// the account is open.
    PutRiskHistory(RiskHistory),
    /// Erases it.
    EraseRiskHistory(Id),
    /// A version of the tenant's rules of risk is in force, or was. Their texts are kept as those of policy sets.
    PutRiskVersion(PolicyVersion),
    /// Keeps requests that were judged lately.
    KeepRiskRequests(PolicyRequests),
    /// Forgets all but the newest of them, and those before a time.
    PruneRiskRequests {
        /// How many rows stay.
        rows: u64,
        /// Unix milliseconds.
        before_ms: u64,
    },
    /// What a case is about, for those who may read it; refused as [`crate::StoreError::Missing`] when it is known, or the
    /// account has no room for it. Comes after [`Self::NeedOpenAccount`], which holds off others until this is kept.
    PutApproval {
        /// The row.
        row: Approval,
        /// The accounts of its approvers.
        readers: Vec<Id>,
        /// How much the account may have.
        room: ApprovalRoom,
    },
    /// The case stands on the ledger.
    OpenApproval {
        /// The row.
        id: Id,
        /// The case.
        case: Id,
        /// When it ends.
        ends_ms: u64,
    },
    /// The entry that is to use a case up, or none any more; changes nothing unless the one before is known.
    SetApprovalUse {
        /// The case.
        case: Id,
        /// What stands there.
        from: Option<Vec<u8>>,
        /// What stands there from now on.
        to: Option<Vec<u8>>,
    },
    /// Erases what a case was about.
    RemoveApproval(Id),
    /// The same by its case on the ledger.
    EndApproval(Id),
    /// Who asked has taken a case back here: what it was about is erased, and the row stays to its end to say so.
    WithdrawApproval(Id),
    /// Erases what the cases of an account were about.
    RemoveApprovalsOf(Id),
    /// Erases what cases were about that have ended before, however.
    EndApprovals {
        /// Unix milliseconds.
        before_ms: u64,
    },
    /// A grant that is asked for; refused as [`crate::StoreError::Missing`] when its id is known.
    PutGrant(GrantRow),
    /// Forgets one that did not come to stand.
    ForgetGrant(Id),
    /// Remembers that a grant's approvers were looked at; changes nothing when that is known.
    LookedAtGrant(Id),
    /// Remembers a rule's names; changes nothing when it is known.
    PutApprovalRule(ApprovalRule),
    /// An account is about to choose addresses; refused as [`crate::StoreError::Missing`] when it did before.
    PutAddressAccount(AddressAccount),
    /// The choice stands on the ledger; fine when that was known.
    SetAddressesChosen(Id),
    /// Forgets a choice that the ledger refused.
    RemovePendingAddresses(Id),
    /// Removes the root of a closed account for good, as [`Self::EraseAddresses`] does, and keeps what opens its epochs; changes
    /// nothing unless the account has chosen addresses.
    KeepViewing {
        /// The account.
        account: Id,
        /// A data key of its own, sealed under the key-encryption key; empty if the root is the person's own.
        sealed_key: Vec<u8>,
        /// The key-encryption key.
        kek: String,
        /// What opens its epochs, sealed under the data key.
        sealed: Vec<u8>,
    },
    /// Removes the root of a closed account for good, or what was kept of it, and what tells whose its addresses were; of epochs of a
    /// hosted root that are not closed yet that stays until they are.
    EraseAddresses(Id),
    /// Puts the data key of an account's root under another key-encryption key, if it still is the one named.
    ResealAddresses {
        /// The account.
        account: Id,
        /// What the row must hold.
        from_sealed: Vec<u8>,
        /// What it holds from now on.
        to_sealed: Vec<u8>,
        /// The key-encryption key of the new envelope.
        kek: String,
    },
    /// Addresses that were given out or found; those that are known stay as they are. Refused as
    /// [`crate::StoreError::Missing`] unless the account has chosen addresses and is open.
    PutAddresses {
        /// Whose they are.
        account: Id,
        /// The addresses.
        rows: Vec<NewAddress>,
        /// Now.
        now_ms: u64,
    },
    /// The ledger accepted the intent that uses an address.
    AddressUsed {
        /// Whose it is.
        account: Id,
        /// The address.
        public_key: [u8; 33],
        /// The intent.
        intent: Id,
        /// The place of its record.
        leaf_index: u64,
        /// The record's leaf hash.
        leaf_hash: Id,
    },
    /// The intent that was to use an address never will; changes nothing if the ledger accepted it.
    FreeAddress {
        /// Whose it is.
        account: Id,
        /// The address.
        public_key: [u8; 33],
        /// The intent.
        intent: Id,
    },
    /// Forgets an address whose intent was never handed in; changes nothing if the ledger accepted it.
    ForgetAddress {
        /// Whose it was.
        account: Id,
        /// The address.
        public_key: [u8; 33],
        /// The intent.
        intent: Id,
    },
    /// The entry that closes an epoch; refused as [`crate::StoreError::Missing`] when there is one. Nothing is given out or used
    /// in the epoch from here on.
    KeepAddressClosing {
        /// Whose epoch it is.
        account: Id,
        /// The epoch.
        epoch: u32,
        /// The entry, and what the service says of it.
        entry: Vec<u8>,
    },
    /// The entry that closes an epoch stands on the ledger: what was kept for it goes.
    CloseAddressEpoch {
        /// Whose epoch it is.
        account: Id,
        /// The epoch.
        epoch: u32,
        /// The place of the record.
        leaf_index: u64,
    },
    /// Keeps what is public of a dealing of closed address epochs; one that is known stays as it is.
    KeepDealing(ViewingDealing),
    /// Forgets dealings that begin with an epoch and were handed in before a moment.
    ForgetDealings {
        /// Whose epochs.
        account: Id,
        /// The first epoch.
        first: u32,
        /// The moment.
        before_ms: u64,
    },
    /// Forgets all dealings of an account.
    ForgetDealingsOf(Id),
}
