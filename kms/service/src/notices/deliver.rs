//! Delivering: each row that is due is taken for a try, handed to its courier, and written down as what became of it.

use futures::{StreamExt as _, stream};
use keyward_crypto::open;
use keyward_store::{Change, Notice, NoticeChannel as Channel, NoticeState, StoreError};

use super::{Notices, look::address_aad, words};
use crate::{
    custody::Custody,
    failure::{Failure, chain},
    hex::hex,
    ports::Letter,
};

/// Notices that are tried at once, and in one go.
const AT_ONCE: usize = 8;
const IN_ONE_GO: u32 = 64;
/// After which time a try of which nothing was heard is made again, in milliseconds: longer than any courier takes.
const TAKEN_MS: u64 = 180_000;
/// The pause after the first failure; it doubles up to the longest, in milliseconds.
const PAUSE_MS: u64 = 10_000;
const PAUSE_MS_MAX: u64 = 3_600_000;
const DOUBLED_MAX: u32 = 16;
/// How long after the thing took effect it is still told, in milliseconds.
const AFTERWARDS_MS: u64 = 7 * 24 * 3_600_000;

/// Each way has a task of its own: one that answers slowly does not keep the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Webhook,
    Mail,
}

impl Custody {
    /// Tries what is due, requests or mail; returns how many were delivered.
    pub(crate) async fn deliver_notices(&self, by: By) -> Result<usize, Failure> {
        let Some(notices) = &self.notices else { return Ok(0) };
        let due = self.store.due_notices(by == By::Webhook, self.clock.now_ms(), IN_ONE_GO).await?;
        let tries = due.into_iter().map(|notice| self.try_to_deliver(notices, notice));
        let mut under_way = stream::iter(tries).buffer_unordered(AT_ONCE);
        let mut delivered = 0;
        while let Some(tried) = under_way.next().await {
            match tried {
                Ok(told) => delivered += usize::from(told),
                // One that cannot be told does not keep the others.
                Err(failure) => tracing::error!(%failure, "a notice was not tried"),
            }
        }
        Ok(delivered)
    }

    async fn try_to_deliver(&self, notices: &Notices, notice: Notice) -> Result<bool, Failure> {
        let (id, from_ms) = (notice.id, notice.next_ms);
        let next_ms = self.clock.now_ms().saturating_add(TAKEN_MS);
        match self.store.apply(vec![Change::TakeNotice { id, from_ms, next_ms }]).await {
            Ok(()) => {}
            // Another server was faster.
            Err(StoreError::Missing { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let courier = match notice.channel {
            Channel::Webhook => &notices.webhook,
            Channel::Mail | Channel::MailBefore => &notices.mail,
        };
        let (about, kind, channel) = (hex(&id), notice.kind.word(), notice.channel.word());
        let told = match courier {
            Some(courier) => match self.letter(notices, &notice).await {
                Ok(letter) => courier.deliver(letter).await.map_err(|error| chain(&error)),
                Err(failure) => Err(failure.to_string()),
            },
            None => Err("this way of telling is not configured any more".to_owned()),
        };
        let change = match &told {
            Ok(()) => {
                tracing::info!(notice = about, kind, channel, "an owner was told");
                Change::EndNotice { id, state: NoticeState::Delivered }
            }
            Err(error) => {
                tracing::warn!(
                    notice = about,
                    kind,
                    channel,
                    tries = notice.tries + 1,
                    error,
                    "an owner was not told"
                );
                self.after_failure(&notice)
            }
        };
        self.store.apply(vec![change]).await?;
        Ok(told.is_ok())
    }

    fn after_failure(&self, notice: &Notice) -> Change {
        let (id, now_ms) = (notice.id, self.clock.now_ms());
        if now_ms > notice.until_ms.max(notice.created_ms).saturating_add(AFTERWARDS_MS) {
            return Change::EndNotice { id, state: NoticeState::GivenUp };
        }
        let pause_ms = PAUSE_MS.checked_shl(notice.tries.min(DOUBLED_MAX)).unwrap_or(PAUSE_MS_MAX);
        Change::RetryNotice { id, next_ms: now_ms.saturating_add(pause_ms.min(PAUSE_MS_MAX)) }
    }

    async fn letter(&self, notices: &Notices, notice: &Notice) -> Result<Letter, Failure> {
        let (id, now_ms) = (notice.id, self.clock.now_ms());
        let Some(sealed) = notice.sealed.as_ref().filter(|_| notice.channel != Channel::Webhook) else {
            return Ok(Letter { id, now_ms, to: String::new(), subject: "", body: words::json(notice) });
        };
        let to = open(&notices.key, &address_aad(&id), sealed).map_err(Failure::internal)?;
        let to = to.expose(|bytes| String::from_utf8(bytes.to_vec())).map_err(Failure::internal)?;
        let user = self.store.account(notice.account).await?.map(|row| row.name).unwrap_or_default();
        let (subject, body) = words::mail(notice, &user);
        Ok(Letter { id, now_ms, to, subject, body })
    }
}
