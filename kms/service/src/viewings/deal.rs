//! Dealing: what is public is kept here, each keeper gets the share that is sealed to it.

use bytes::Bytes;
use keyward_crypto::viewing::Dealing;
use keyward_domain::{AccountId, Code};
use keyward_store::{Change, Id, ViewingDealing};

use super::{malformed, not_own};
use crate::{caller::Caller, custody::Custody, failure::Failure, ports::ToKeeper, vaults::floods::Flood};

/// A share, sealed.
const SHARE_BYTES_MAX: usize = 1 << 10;
/// Dealings of one account that begin with one epoch and are not recorded.
const WAITING_MAX: usize = 8;
/// Dealings that are looked through, of one epoch first.
const LOOK_MAX: u32 = 64;
/// How far ahead the end of one may lie: as far as keepers take it.
const EXPIRES_MAX_MS: u64 = 12 * 60 * 60 * 1_000;
/// How long one waits here: longer than it may be recorded.
const WAITING_MS: u64 = 2 * EXPIRES_MAX_MS;

/// What an account deals.
#[derive(Clone, Debug)]
pub(crate) struct Deal {
    pub(crate) dealing: Bytes,
    /// For each keeper of the dealing, in its order.
    pub(crate) shares: Vec<(Id, Bytes)>,
    /// The account's own, which keepers check.
    pub(crate) signature: [u8; 64],
}

impl Custody {
    /// Keeps a dealing and passes its shares on; returns what each keeper answered, nothing for one that did not. Where nobody
    /// acknowledged, the first refusal.
    pub(crate) async fn deal_viewing(&self, caller: &Caller, deal: Deal) -> Result<Vec<Bytes>, Failure> {
        let _permit = self.permit()?;
        let account = self.dealing_account(caller)?;
        let dealing = Dealing::decode(&deal.dealing).map_err(|error| {
            Failure::because(Code::ViewingRequestMalformed, "the dealing does not decode", error)
        })?;
        if dealing.chain_id != self.ledger.chain_id() {
            return Err(malformed("the dealing is for another ledger"));
        }
        if dealing.account != account.0 {
            return Err(not_own());
        }
        let fits = |(_, share): &(Id, Bytes)| (1..=SHARE_BYTES_MAX).contains(&share.len());
        if !deal.shares.iter().all(fits) || !deal.shares.iter().map(|(keeper, _)| keeper).eq(&dealing.keepers)
        {
            return Err(malformed("there is one share for each keeper of the dealing, in its order"));
        }
        let now_ms = self.clock.now_ms();
        if dealing.expires_ms > now_ms.saturating_add(EXPIRES_MAX_MS) {
            let message = "the dealing may be recorded for longer than keepers hold its shares";
            return Err(Failure::new(Code::AuthorSignatureExpired, message));
        }
        let _asked = self.asking.enter(account.0)?;
        self.floods.charge(account.0, Flood::Dealing, now_ms)?;
        self.keep_dealing(account, &dealing, &deal.dealing).await?;
        let Deal { dealing: bytes, shares, signature } = deal;
        let asked = shares.into_iter().map(|(keeper, share)| {
            (keeper, ToKeeper::DepositViewing { dealing: bytes.clone(), share, signature })
        });
        let (mut given, mut refused) = (Vec::new(), None);
        for answer in self.ask_all(asked.collect()).await {
            given.push(answer.unwrap_or_else(|failure| {
                _ = refused.get_or_insert(failure);
                Bytes::new()
            }));
        }
        match refused {
            Some(failure) if given.iter().all(Bytes::is_empty) => Err(failure),
            _ => Ok(given),
        }
    }

    /// Keeps what is public of a dealing that may be recorded; of one that is, it is kept.
    async fn keep_dealing(
        &self,
        account: AccountId,
        dealing: &Dealing,
        bytes: &Bytes,
    ) -> Result<(), Failure> {
        let (first, last, hash, kept_ms) = (dealing.first, dealing.last, dealing.hash(), self.clock.now_ms());
        let known = self.store.dealings(account.0, first, u32::MAX, LOOK_MAX).await?;
        let alike: Vec<_> = known.iter().filter(|row| row.first == first).collect();
        if alike.iter().any(|row| row.hash == hash) {
            return Ok(());
        }
        let next = self.next_dealt(&account.0).await?;
        if next != Some(first) {
            let next = next.map_or_else(|| "none".to_owned(), |next| next.to_string());
            let message =
                format!("the dealing begins with epoch {first}, and the next to be dealt is {next}");
            return Err(Failure::new(Code::DealingGap, message));
        }
        let before_ms = kept_ms.saturating_sub(WAITING_MS);
        if alike.iter().filter(|row| row.kept_ms >= before_ms).count() >= WAITING_MAX {
            let message = format!("`{WAITING_MAX}` dealings of these epochs wait already");
            return Err(Failure::new(Code::ViewingLimited, message));
        }
        let row = ViewingDealing { account: account.0, first, last, hash, dealing: bytes.to_vec(), kept_ms };
        let forget = Change::ForgetDealings { account: account.0, first, before_ms };
        Ok(self
            .store
            .apply(vec![Change::NeedOpenAccount(account.0), forget, Change::KeepDealing(row)])
            .await?)
    }
}
