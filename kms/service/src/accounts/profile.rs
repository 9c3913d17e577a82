//! Profiles: contact and identity fields of persons, each account's under a data key of its own.
//!
//! A fresh data key with each write, sealed under the key-encryption key; the fields are sealed under it. Every write,
//! read and erasure is a note on the ledger, a read before its answer leaves. Erasing destroys the data key. Fields
//! never reach a log. Body of the note: `u8 len || "keyward/profile-note/v1" || verb u8 (1 written, 2 read, 3 erased)
//! || nonce[32] || commitment[32]`, with
//! `blinding = SHA-256(u8 len || "keyward/profile-blinding/v1" || account salt[32] || nonce)` and `commitment =
//! SHA-256(u8 len || "keyward/profile-note/v1" || blinding || verb u8 || account[32] || u16 len || actor || reason)`.

use keyward_crypto::{MemoryKek, open, profile_aad, profile_key_aad, seal};
use keyward_domain::{
    AccountId, Code, UserName,
    profile::{Fields, Reason},
};
use keyward_ledger_core::{entry::Entry, outcome::Refusal};
use keyward_policies::Verb;
use keyward_store::{Account, AccountState, Act, ActKind, Change, Profile};
use zeroize::Zeroizing;

use super::PERSON;
use crate::{
    acts::{Plan, Settled},
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    guard::refused,
    note::{committed, labelled},
    notices::contact::Contact,
    once::{Once, request_hash},
};

const NOTE_LABEL: &str = "keyward/profile-note/v1";
const BLINDING_LABEL: &str = "keyward/profile-blinding/v1";
/// What persons give as the reason for reading their own.
const OWN: &str = "own profile";
/// Who reads an address to tell its owner of something, and why.
const THE_SERVICE: &str = "service";
const FOR_A_NOTICE: &str = "a notice to the owner";

/// What was done to a profile, as its note says.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Done {
    Written = 1,
    Read = 2,
    Erased = 3,
}

/// A profile that was read, with the proof that this was recorded.
#[derive(Debug)]
pub(crate) struct ReadProfile {
    pub(crate) fields: Fields,
    pub(crate) receipt: Vec<u8>,
    /// Opens the note's commitment.
    pub(crate) blinding: [u8; 32],
}

impl Custody {
    /// Replaces the person's own profile; returns the receipt.
    pub(crate) async fn set_profile(
        &self,
        caller: &Caller,
        fields: &Fields,
        mark: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let _permit = self.permit()?;
        let account = self.profile_account(caller, "", Verb::AccountProfileWrite).await?;
        let plain = Zeroizing::new(fields.encode());
        let hash = request_hash("account.profile.write", &[&account.account, &plain]);
        let name = match self.once(caller, mark, hash).await? {
            Once::Done(receipt) => return Ok(receipt),
            Once::Fresh(name) => name,
        };
        let sealed = async {
            let row = self.store.profile(account.account).await?;
            if row.as_ref().is_some_and(|row| row.erased_ms.is_some()) {
                return Err(erased());
            }
            let (plain, told) = self.kept_fields(&account.account, row.as_ref(), fields, plain).await?;
            Ok((self.seal_profile(account.account, &plain).await?, told))
        };
        let (profile, told) = match sealed.await {
            Ok(sealed) => sealed,
            Err(failure) => {
                self.give_back(name).await;
                return Err(failure);
            }
        };
        let (note, _) = profile_note(Done::Written, &account, &caller.name(), OWN)?;
        let plan = Plan {
            kind: ActKind::Profile,
            subject: account.account,
            entries: vec![note],
            before: Vec::new(),
            // What is written while its account is closed would stay for ever.
            accepted: [Change::NeedOpenAccount(account.account), Change::PutProfile(profile)]
                .into_iter()
                .chain(told)
                .collect(),
            refused: Vec::new(),
            name,
            app: String::new(),
        };
        self.perform(plan).await
    }

    /// A profile: the caller's own, or with a reason another person's. The read is final on the ledger before this
    /// answers.
    pub(crate) async fn show_profile(
        &self,
        caller: &Caller,
        user: &str,
        reason: &str,
    ) -> Result<ReadProfile, Failure> {
        let _permit = self.permit()?;
        caller.in_time(self.clock.now_ms())?;
        let account = self.profile_account(caller, user, Verb::AccountProfileRead).await?;
        let own = caller.account == Some(AccountId(account.account));
        let reason = if own && reason.is_empty() { OWN } else { reason };
        let reason = Reason::parse(reason).map_err(Failure::of)?;
        let row = self.live_profile(account.account).await?;
        let (note, blinding) = profile_note(Done::Read, &account, &caller.name(), reason.as_str())?;
        let record = self.ledger.commit(note).await?;
        if !record.outcome().is_accepted() {
            return Err(refused(record.outcome().name()));
        }
        let fields = self.open_profile(&row).await?;
        Ok(ReadProfile { fields, receipt: record.receipt(None), blinding })
    }

    /// Erases a profile for good, by destroying its data key; returns the receipt.
    pub(crate) async fn erase_profile(
        &self,
        caller: &Caller,
        user: &str,
        mark: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let _permit = self.permit()?;
        let account = self.profile_account(caller, user, Verb::AccountProfileErase).await?;
        let hash = request_hash("account.profile.erase", &[&account.account]);
        let name = match self.once(caller, mark, hash).await? {
            Once::Done(receipt) => return Ok(receipt),
            Once::Fresh(name) => name,
        };
        let told = match self.told_of_erasure(account.account).await {
            Ok(told) => told,
            Err(failure) => {
                self.give_back(name).await;
                return Err(failure);
            }
        };
        let (note, _) = profile_note(Done::Erased, &account, &caller.name(), "")?;
        let plan = Plan {
            kind: ActKind::Profile,
            subject: account.account,
            entries: vec![note],
            // It is gone from here on, whatever becomes of its record; the record is tried until it stands.
            before: std::iter::once(self.erasure(account.account)).chain(told).collect(),
            accepted: Vec::new(),
            refused: Vec::new(),
            name,
            app: ERASED.to_owned(),
        };
        self.perform(plan).await
    }

    /// The change that erases a profile now, if there is one.
    pub(crate) fn erasure(&self, account: [u8; 32]) -> Change {
        Change::EraseProfile { account, at_ms: self.clock.now_ms() }
    }

    /// The account that is meant: the person's own, or by its user name. Who may not is not told whether it exists.
    async fn profile_account(&self, caller: &Caller, user: &str, verb: Verb) -> Result<Account, Failure> {
        let unknown = || Failure::new(Code::AccountUnknown, "no such account that you may do this with");
        let row = if user.is_empty() {
            self.store.account(caller.person()?.account.0).await?
        } else {
            let user = UserName::parse(user).map_err(Failure::of)?;
            self.store.account_by_name(PERSON, user.as_str()).await?
        };
        let row = row.filter(|row| row.state == AccountState::Open).ok_or_else(unknown)?;
        match self.authorise_account(caller, verb, AccountId(row.account)) {
            Err(_) if !user.is_empty() => Err(unknown()),
            decided => decided.map(|()| row),
        }
    }

    /// The fields as they are kept, encoded, and what tells the owner if its mail goes elsewhere.
    async fn kept_fields(
        &self,
        account: &[u8; 32],
        row: Option<&Profile>,
        fields: &Fields,
        plain: Zeroizing<Vec<u8>>,
    ) -> Result<(Zeroizing<Vec<u8>>, Vec<Change>), Failure> {
        if !self.tells_by_mail() {
            return Ok((plain, Vec::new()));
        }
        let before = match row {
            Some(row) => Some(self.open_profile(row).await?),
            None => None,
        };
        let (fields, told) = self.with_contact(account, before.as_ref(), fields).await?;
        Ok((Zeroizing::new(fields.encode()), told))
    }

    /// What tells the owner, a last time, that no mail comes any more. Refused where there is no live profile, and while a
    /// recovery is open.
    async fn told_of_erasure(&self, account: [u8; 32]) -> Result<Vec<Change>, Failure> {
        let row = self.live_profile(account).await?;
        if !self.tells_by_mail() {
            return Ok(Vec::new());
        }
        self.refuse_in_recovery(&account).await?;
        let now_ms = self.clock.now_ms();
        let contact = Contact::of(&self.open_profile(&row).await?, now_ms);
        self.tell_of_contact(&account, contact, now_ms)
    }

    /// Where an owner's mail goes, for the service's own notices. Like any other reading it stands on the ledger.
    pub(crate) async fn contact(&self, account: &[u8; 32]) -> Result<Contact, Failure> {
        let row = self.store.profile(*account).await?.filter(|row| row.erased_ms.is_none());
        let (Some(row), Some(account)) = (row, self.store.account(*account).await?) else {
            return Ok(Contact::default());
        };
        let (note, _) = profile_note(Done::Read, &account, THE_SERVICE, FOR_A_NOTICE)?;
        let record = self.ledger.commit(note).await?;
        if !record.outcome().is_accepted() {
            return Err(refused(record.outcome().name()));
        }
        Ok(Contact::of(&self.open_profile(&row).await?, self.clock.now_ms()))
    }

    async fn live_profile(&self, account: [u8; 32]) -> Result<Profile, Failure> {
        match self.store.profile(account).await? {
            None => Err(Failure::new(Code::ProfileUnknown, "the account has no profile")),
            Some(row) if row.erased_ms.is_some() => Err(erased()),
            Some(row) => Ok(row),
        }
    }

    async fn seal_profile(&self, account: [u8; 32], plain: &[u8]) -> Result<Profile, Failure> {
        let key = MemoryKek::generate().map_err(Failure::internal)?;
        let body = seal(&key, &profile_aad(&account), plain).map_err(Failure::internal)?;
        let secret = key.expose(|bytes| Zeroizing::new(bytes.to_vec()));
        let sealed_key = self.kek.seal(profile_key_aad(&account), secret).await?;
        let kek = self.kek_of(&sealed_key)?;
        Ok(Profile { account, sealed_key, kek, body, erased_ms: None })
    }

    async fn open_profile(&self, row: &Profile) -> Result<Fields, Failure> {
        let secret = self.kek.open(profile_key_aad(&row.account), row.sealed_key.clone()).await?;
        let key = secret.expose(|bytes| <&[u8; 32]>::try_from(bytes).map(MemoryKek::new));
        let key = key.map_err(Failure::internal)?.map_err(Failure::internal)?;
        let plain = open(&key, &profile_aad(&row.account), &row.body).map_err(Failure::internal)?;
        plain.expose(Fields::decode).map_err(Failure::of)
    }

    /// Settles a note that a crash or an outage left. A write that was not finished stays undone.
    pub(crate) async fn settle_profile(
        &self,
        act: &Act,
        entries: Vec<Entry>,
        detail: &str,
    ) -> Result<Settled, Failure> {
        if detail != ERASED {
            return Ok(Settled::undone(Vec::new()));
        }
        let receipt = self.commit_again(act, entries, Refusal::EntryMalformed).await?;
        Ok(Settled { changes: Vec::new(), receipt })
    }
}

/// What stands in the act of an erasure.
const ERASED: &str = "erased";

fn erased() -> Failure {
    Failure::new(Code::ProfileErased, "the profile was erased")
}

/// The note, and what opens its commitment.
fn profile_note(
    done: Done,
    account: &Account,
    actor: &str,
    reason: &str,
) -> Result<(Entry, [u8; 32]), Failure> {
    let nonce: [u8; 32] = random()?;
    let blinding = labelled(BLINDING_LABEL, &[&account.salt, &nonce]);
    // INVARIANT: names of callers are far below 65,536 bytes.
    let len = u16::try_from(actor.len()).unwrap_or(u16::MAX).to_be_bytes();
    let opened = [&account.account[..], &len, actor.as_bytes(), reason.as_bytes()];
    Ok((committed(NOTE_LABEL, done as u8, &nonce, &blinding, &opened), blinding))
}
