//! Finding what waits for a veto, and writing down whom to tell.

use keyward_crypto::seal;
use keyward_domain::Code;
use keyward_ledger_core::state::layout::{TimelockCase, TimelockState, timelock_case_key, timelock_key};
use keyward_store::{Change, Id, Notice, NoticeChannel as Channel, NoticeKind as Kind, NoticeState};

use super::Notices;
use crate::{accounts::PERSON, custody::Custody, failure::Failure, hex::hex, note::labelled};

/// Accounts that are looked at each time: 100,000 are gone over in less than an hour.
const LOOKED_AT_ONCE: u32 = 64;
const ID_LABEL: &str = "keyward/notice/v1";
const ADDRESS_LABEL: &str = "keyward/notice-address/v1";

/// Something that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) kind: Kind,
    /// The case, or the rule.
    pub(super) subject: Id,
    /// The number of the change; 0 for cases, which have an id each.
    pub(super) number: u64,
    pub(super) since_ms: u64,
    pub(super) until_ms: u64,
}

impl Waits {
    /// The same for the same thing told the same way, by whatever server.
    pub(super) fn id(&self, account: &Id, channel: Channel) -> Id {
        let words = [self.kind.word(), channel.word()].join(" ");
        labelled(ID_LABEL, &[account, &self.subject, &self.number.to_be_bytes(), words.as_bytes()])
    }

    /// An address, for nobody but this notice.
    pub(super) fn seal(
        &self,
        notices: &Notices,
        account: &Id,
        channel: Channel,
        address: &str,
    ) -> Result<Vec<u8>, Failure> {
        let aad = address_aad(&self.id(account, channel));
        seal(&notices.key, &aad, address.as_bytes()).map_err(Failure::internal)
    }

    /// A newer change of the same delegation makes an older one that nobody took yet old news.
    fn replacing(&self, account: Id, channel: Channel) -> Change {
        Change::ReplaceNotices { account, subject: self.subject, channel, by: self.id(&account, channel) }
    }

    pub(super) fn row(&self, account: Id, channel: Channel, sealed: Option<Vec<u8>>, now_ms: u64) -> Notice {
        let Self { kind, subject, since_ms, until_ms, .. } = *self;
        // Without an address there is nothing to try; the operator sees it among those given up.
        let told = channel == Channel::Webhook || sealed.is_some();
        let state = if told { NoticeState::Waiting } else { NoticeState::GivenUp };
        let id = self.id(&account, channel);
        let (tries, created_ms, next_ms) = (0, now_ms, now_ms);
        Notice {
            id,
            account,
            kind,
            subject,
            channel,
            sealed,
            since_ms,
            until_ms,
            state,
            tries,
            created_ms,
            next_ms,
        }
    }
}

/// What an address is sealed for.
pub(super) fn address_aad(notice: &Id) -> Vec<u8> {
    labelled(ADDRESS_LABEL, &[notice]).to_vec()
}

impl Custody {
    /// Looks at the next accounts, in the order of their ids; returns where to go on.
    pub(crate) async fn look_at_accounts(&self, after: Id) -> Result<Id, Failure> {
        let accounts = self.store.accounts_after(PERSON, after, LOOKED_AT_ONCE).await?;
        for account in &accounts {
            match self.look_at(account).await {
                Ok(()) => {}
                // Without the ledger none of them can be looked at: the same ones again.
                Err(failure) if failure.code == Code::LedgerUnavailable => return Err(failure),
                Err(failure) => tracing::error!(account = hex(account), %failure, "an owner cannot be told"),
            }
        }
        let full = accounts.len() == LOOKED_AT_ONCE as usize;
        Ok(accounts.last().filter(|_| full).copied().unwrap_or_default())
    }

    /// Writes down whatever of an account waits and was not written down before.
    pub(crate) async fn look_at(&self, account: &Id) -> Result<(), Failure> {
        let Some(notices) = &self.notices else { return Ok(()) };
        for waits in self.waits(account).await? {
            self.put_down(notices, account, &waits).await?;
        }
        Ok(())
    }

    /// What of an account waits now.
    async fn waits(&self, account: &Id) -> Result<Vec<Waits>, Failure> {
        let (all, now_ms) = (self.delegations(account).await?, self.clock.now_ms());
        let open = self.open_case(&all, now_ms).await?;
        let mut waits = Vec::new();
        for rule in &all.rules {
            let Some(next) = self.delegation(rule).await?.and_then(|state| state.next) else { continue };
            let kind = if next.terms.is_some() { Kind::DelegatesAppointed } else { Kind::DelegatesRevoked };
            let until_ms = next.from_ms.max(all.hold_ms);
            // It holds already, though no entry has looked at it: nothing can stop it any more.
            if until_ms <= now_ms && open.is_none() {
                continue;
            }
            let (subject, number) = (*rule, next.version.into());
            waits.push(Waits { kind, subject, number, since_ms: now_ms.min(until_ms), until_ms });
        }
        if let Some((rule, case)) = open {
            waits.extend(self.recovery(&rule, &case).await?);
        }
        Ok(waits)
    }

    async fn recovery(&self, rule: &Id, case: &Id) -> Result<Option<Waits>, Failure> {
        let Some(value) = self.ledger.state(timelock_key(rule)).await? else { return Ok(None) };
        let delay_ms = TimelockState::decode(&value).map_err(Failure::internal)?.terms.delay_ms;
        let Some(value) = self.ledger.state(timelock_case_key(case)).await? else { return Ok(None) };
        let until_ms = TimelockCase::decode(&value).map_err(Failure::internal)?.opens_ms;
        let since_ms = until_ms.saturating_sub(delay_ms);
        Ok(Some(Waits { kind: Kind::RecoveryOpened, subject: *case, number: 0, since_ms, until_ms }))
    }

    async fn put_down(&self, notices: &Notices, account: &Id, waits: &Waits) -> Result<(), Failure> {
        let (mut changes, now_ms) = (Vec::new(), self.clock.now_ms());
        if notices.webhook.is_some() && self.is_unknown(waits, account, Channel::Webhook).await? {
            changes.push(Change::PutNotice(waits.row(*account, Channel::Webhook, None, now_ms)));
            changes.push(waits.replacing(*account, Channel::Webhook));
        }
        // Addresses are read once for each thing: every reading stands on the ledger.
        if notices.mail.is_some() && self.is_unknown(waits, account, Channel::Mail).await? {
            let contact = self.contact(account).await?;
            let before = contact.before.map(|before| (Channel::MailBefore, Some(before)));
            for (channel, address) in [(Channel::Mail, contact.now)].into_iter().chain(before) {
                let sealed = address.map(|address| waits.seal(notices, account, channel, &address));
                changes.push(Change::PutNotice(waits.row(*account, channel, sealed.transpose()?, now_ms)));
                changes.push(waits.replacing(*account, channel));
            }
        }
        if changes.is_empty() { Ok(()) } else { Ok(self.store.apply(changes).await?) }
    }

    async fn is_unknown(&self, waits: &Waits, account: &Id, channel: Channel) -> Result<bool, Failure> {
        Ok(self.store.notice(waits.id(account, channel)).await?.is_none())
    }
}
