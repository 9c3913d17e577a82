//! Handing in what holders signed about a shared key: once under each idempotency key, and settled whatever stops between.
//!
//! The service signs nothing here and can change nothing: it decodes the entry to see that it is the call's own and the caller's.

use keyward_crypto::shared::SharedKey;
use keyward_domain::{AccountId, Code, scheme::KeyId};
use keyward_ledger_core::{
    ed25519,
    entry::{Entry, Renewal, RuleName, SharedAct, SharedRenewal},
    shared::{shared_rule, veto_message},
};
use keyward_policies::Verb;
use keyward_store::{Act as Row, ActKind, Change, Id, IdempotencyKey as Name};

use super::{encoded, malformed, read_entry};
use crate::{
    acts::{Plan, Settled, heights},
    caller::Caller,
    custody::Custody,
    failure::Failure,
    hex::{hex, unhex},
    once::{Once, request_hash},
    vaults::{
        entries::{HandedIn, kept},
        floods::Flood,
    },
};

/// What is public of a key with the most keepers has less.
pub(super) const SHARED_KEY_BYTES_MAX: usize = 8 << 10;

/// What somebody hands in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandIn<'a> {
    pub(crate) entry: &'a [u8],
    /// What is public of the key from now on, with a renewal.
    pub(crate) shared_key: &'a [u8],
    pub(crate) mark: &'a [u8],
}

/// An entry on its way.
struct Wanted {
    entry: Entry,
    /// The key, or the rule of its name.
    subject: Id,
    before: Vec<Change>,
    accepted: Vec<Change>,
    /// What settling needs of a renewal: the key to come, in hex.
    detail: String,
}

impl Custody {
    /// Hands in what opens the making of a key. Run it in a task of its own.
    pub(crate) async fn open_shared(
        &self,
        caller: &Caller,
        entry: &[u8],
        mark: &[u8],
    ) -> Result<HandedIn, Failure> {
        let _permit = self.permit()?;
        let account = self.shared_account(caller, Verb::SharedCreate)?;
        let (entry, act) = read_entry(entry)?;
        let SharedAct::Open(opening) = act else {
            return Err(malformed("the entry opens no shared key"));
        };
        let rule = own_name(&opening.name, account)?;
        let hash = request_hash("shared.open", &[&account.0, &entry.encode()]);
        let before = vec![Change::NeedOpenAccount(account.0)];
        let wanted = Wanted { entry, subject: rule, before, accepted: Vec::new(), detail: String::new() };
        let name = match self.once(caller, mark, hash).await? {
            Once::Done(bytes) => return HandedIn::of_kept(&bytes),
            Once::Fresh(name) => name,
        };
        let checked = async {
            self.floods.charge(account.0, Flood::SharedEntry, self.clock.now_ms())?;
            self.check_room(account).await.map(drop)
        };
        self.hand_in_shared(wanted, name, checked).await
    }

    /// Hands in a renewal, another device or a veto. Run it in a task of its own.
    pub(crate) async fn change_shared(&self, caller: &Caller, what: HandIn<'_>) -> Result<HandedIn, Failure> {
        let _permit = self.permit()?;
        let (entry, act) = read_entry(what.entry)?;
        let hash = request_hash("shared.change", &[what.entry, what.shared_key]);
        if !matches!(act, SharedAct::Renew(_)) && !what.shared_key.is_empty() {
            return Err(malformed("a key to come belongs to a renewal"));
        }
        let wanted = match &act {
            SharedAct::CancelDevice { key_id, signature } => {
                self.check_veto(caller, key_id, signature).await?;
                Wanted::plain(entry, key_id)
            }
            SharedAct::ReplaceDevice { key_id, .. } => {
                self.change_of(caller, key_id).await?;
                Wanted::plain(entry, key_id)
            }
            SharedAct::Renew(renewal) => self.renewal(caller, entry, renewal, what.shared_key).await?,
            SharedAct::Open(_) | SharedAct::Bind(_) | SharedAct::Intent(_) => {
                return Err(malformed("the entry changes no shared key"));
            }
        };
        let name = match self.once(caller, what.mark, hash).await? {
            Once::Done(bytes) => return HandedIn::of_kept(&bytes),
            Once::Fresh(name) => name,
        };
        let key_id = wanted.subject;
        let checked = async { self.floods.charge(key_id, Flood::SharedEntry, self.clock.now_ms()) };
        let done = self.hand_in_shared(wanted, name, checked).await;
        // Even a failure may have changed what is known.
        self.shared_book.forget(&key_id);
        self.keys.forget(&key_id);
        done
    }

    async fn hand_in_shared(
        &self,
        wanted: Wanted,
        name: Option<Name>,
        checked: impl Future<Output = Result<(), Failure>> + Send,
    ) -> Result<HandedIn, Failure> {
        if let Err(failure) = checked.await {
            self.give_back(name).await;
            return Err(failure);
        }
        let Wanted { entry, subject, before, accepted, detail } = wanted;
        let plan = Plan {
            kind: ActKind::Shared,
            subject,
            entries: vec![entry],
            before,
            accepted,
            refused: Vec::new(),
            name,
            app: detail,
        };
        HandedIn::of_kept(&self.perform(plan).await?)
    }

    /// A key of the caller's own account, which it may change.
    async fn change_of(
        &self,
        caller: &Caller,
        key_id: &KeyId,
    ) -> Result<std::sync::Arc<crate::keybook::KnownKey>, Failure> {
        let account = self.shared_account(caller, Verb::SharedChange)?;
        self.own_shared_key(caller, account, &key_id.0).await
    }

    /// A veto speaks for itself: whoever has the device in force may hand it in, so that somebody who took over the account
    /// cannot keep it away. One that the ledger would refuse costs it no record.
    async fn check_veto(&self, caller: &Caller, key_id: &KeyId, signature: &[u8; 64]) -> Result<(), Failure> {
        caller.in_time(self.clock.now_ms())?;
        let state = self.shared_state(&key_id.0).await?;
        let state =
            state.ok_or_else(|| Failure::new(Code::KeyUnknown, "the ledger has no such shared key"))?;
        let waiting = state.waiting_device(self.clock.now_ms());
        let waiting = waiting.ok_or_else(|| Failure::new(Code::SharedDeviceNone, "no other device waits"))?;
        let message = veto_message(&self.ledger.chain_id(), key_id, &waiting.device.signing_key);
        ed25519::verify(&state.device.signing_key, &message, signature).map_err(|error| {
            Failure::because(Code::SharedVetoInvalid, "the device in force has not signed this", error)
        })
    }

    async fn renewal(
        &self,
        caller: &Caller,
        entry: Entry,
        renewal: &SharedRenewal,
        shared_key: &[u8],
    ) -> Result<Wanted, Failure> {
        if renewal.renewal != Renewal::Renew {
            return Err(malformed("keepers hand in their own refresh"));
        }
        let key = self.change_of(caller, &renewal.key_id).await?;
        let public = public_part(shared_key, &renewal.key_hash)?;
        if public.share_version() != renewal.share_version {
            return Err(other("its share version is another one"));
        }
        let (from, to) = (encoded(&key)?.to_vec(), shared_key.to_vec());
        let detail = hex(&to);
        let exchange = Change::ReplaceShared { key_id: key.row.key_id, from, to };
        Ok(Wanted {
            entry,
            subject: key.row.key_id,
            before: vec![Change::NeedOpenAccount(key.row.account)],
            accepted: vec![exchange],
            detail,
        })
    }

    /// Settles an entry that a crash or an outage left: looked for, and never handed in again, because whoever signed it asks
    /// again. None while it may still come by itself.
    pub(crate) async fn settle_shared(
        &self,
        act: &Row,
        entries: &[Entry],
        detail: &str,
    ) -> Result<Option<Settled>, Failure> {
        let Some(entry) = entries.first() else { return Ok(Some(Settled::undone(Vec::new()))) };
        let found = self.ledger.accepted_within(heights(act), entry.clone()).await?;
        if found.is_none() && self.ledger.height() <= act.until {
            return Ok(None);
        }
        self.shared_book.forget(&act.subject);
        let changes = match found.is_some() && !detail.is_empty() {
            true => self.exchange_of(act.subject, detail).await?,
            false => Vec::new(),
        };
        Ok(Some(Settled { changes, receipt: found.map(|record| kept(record.as_ref())) }))
    }

    /// The exchange of a renewal that was recorded, unless the row has another since.
    async fn exchange_of(&self, key_id: Id, detail: &str) -> Result<Vec<Change>, Failure> {
        let to = unhex(detail).ok_or_else(|| Failure::internal("an act's shared key is not hex"))?;
        let row = self.store.key(key_id).await?;
        let state = self.shared_state(&key_id).await?;
        let stands = SharedKey::decode(&to).ok().map(|key| key.hash()) == state.map(|state| state.key_hash);
        match row.map(|row| row.custody) {
            Some(keyward_store::Custody::Shared { shared_key: from }) if stands && from != to => {
                Ok(vec![Change::ReplaceShared { key_id, from, to }])
            }
            _ => Ok(Vec::new()),
        }
    }
}

impl Wanted {
    fn plain(entry: Entry, key_id: &KeyId) -> Self {
        Self { entry, subject: key_id.0, before: Vec::new(), accepted: Vec::new(), detail: String::new() }
    }
}

/// The rule of a name, if it is one of the caller's own account.
pub(super) fn own_name(name: &RuleName, account: AccountId) -> Result<Id, Failure> {
    if name.owner == account.0 {
        return Ok(shared_rule(name));
    }
    Err(Failure::new(Code::NotAllowed, "the key is not made for the caller's own account"))
}

/// What is public of a key, if it has the hash that the entry names.
pub(super) fn public_part(bytes: &[u8], hash: &Id) -> Result<SharedKey, Failure> {
    if bytes.len() > SHARED_KEY_BYTES_MAX {
        return Err(malformed(format!("a shared key has at most `{SHARED_KEY_BYTES_MAX}` bytes")));
    }
    let key = SharedKey::decode(bytes)
        .map_err(|error| Failure::because(Code::SharedKeyOther, "the bytes are no shared key", error))?;
    if key.hash() == *hash { Ok(key) } else { Err(other("its hash is another one")) }
}

pub(super) fn other(why: &str) -> Failure {
    Failure::new(Code::SharedKeyOther, format!("the key is not the one of the entry: {why}"))
}
