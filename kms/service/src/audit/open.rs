//! Opening: first the record that says so, then the record of what is delivered, then the package.

use bytes::Bytes;
use keyward_crypto::unlinkable::{Delivery as To, seal_delivery};
use keyward_domain::{AccountId, Code};
use keyward_ledger_core::{
    entry::{Custody as Rooted, DeliverGrant, Entry, OpenGrant},
    hash::sha256,
    state::{
        addresses::{AddressesState, addresses_key},
        audit::AuditGrantState,
    },
};
use keyward_proto::custody::DealtViewing;

use super::{
    act_of, check_in_force,
    hand_in::{HandIn, Kind},
    malformed,
};
use crate::{
    approvals::refusal,
    caller::Caller,
    custody::Custody,
    failure::Failure,
    handed_in,
    vaults::{entries::HandedIn, floods::Flood},
};

/// What an opening gives.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) opened: HandedIn,
    pub(crate) delivery: Delivery,
}

/// How it comes.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Of a hosted account: the receipt of deliver-grant, and the package that it has the hash of.
    Hosted { delivered: Vec<u8>, package: Bytes },
    /// Of an account with its own root: what keepers opened.
    Own(Vec<DealtViewing>),
}

impl Custody {
    /// Opens a run of closed epochs of one account. Once begun it runs to its end: run it in a task of its own. Asked again under
    /// the same mark, it opens nothing more, and delivers again while the grant stands.
    pub(crate) async fn open_grant(
        &self,
        caller: &Caller,
        entry: &[u8],
        mark: &[u8],
    ) -> Result<Opened, Failure> {
        let what = HandIn { kind: Kind::Open, entry, purpose: "", mark };
        let opened = self.hand_in_audit(caller, what).await?;
        let _permit = self.permit()?;
        let entry = handed_in::read(entry, Code::AuditRequestMalformed)?;
        let Some((keyward_ledger_core::entry::AuditAct::Open(open), _)) = act_of(&entry) else {
            return Err(malformed("the entry opens no grant"));
        };
        // A repeat finds its record, and may come long after.
        let found = self.grant_of(&open.grant, caller.person()?.account).await?;
        check_in_force(&found, self.clock.now_ms())?;
        let delivery = match self.rooted(&open.account).await? {
            Rooted::Hosted => self.deliver(caller, &found, open).await?,
            Rooted::Own => {
                self.floods.charge(caller.person()?.account.0, Flood::Opening, self.clock.now_ms())?;
                let account = AccountId(open.account);
                Delivery::Own(self.open_dealt(opened.leaf_index, account, open.first, open.last).await?)
            }
        };
        Ok(Opened { opened, delivery })
    }

    /// Refuses what the ledger would refuse, before it stands there as refused. Times are the ledger's to judge.
    pub(super) async fn check_open(
        &self,
        caller: &Caller,
        account: AccountId,
        open: &OpenGrant,
    ) -> Result<(), Failure> {
        let found = self.grant_of(&open.grant, account).await?;
        check_in_force(&found, self.clock.now_ms())?;
        let named = found.grant.is_whole_tenant() || found.grant.accounts.contains(&open.account);
        if !named || open.first > open.last {
            return Err(Failure::new(
                Code::GrantScope,
                "the grant does not name the account and these epochs",
            ));
        }
        self.check_issued(caller, &found).await?;
        match self.rooted(&open.account).await? {
            Rooted::Hosted => Ok(()),
            Rooted::Own => self.own_may_be_opened(AccountId(open.account), open.first, open.last).await,
        }
    }

    /// Where the account's address root lies.
    async fn rooted(&self, account: &[u8; 32]) -> Result<Rooted, Failure> {
        let value = self.ledger.state(addresses_key(account)).await?;
        let none = || Failure::new(Code::AddressesUnknown, "the account has chosen no unlinkable addresses");
        Ok(AddressesState::decode(&value.ok_or_else(none)?).map_err(Failure::internal)?.custody)
    }

    /// Seals what opens the run, and lets it leave once its record is final and accepted.
    async fn deliver(
        &self,
        caller: &Caller,
        found: &AuditGrantState,
        open: &OpenGrant,
    ) -> Result<Delivery, Failure> {
        self.floods.charge(caller.person()?.account.0, Flood::Opening, self.clock.now_ms())?;
        let cover = self.viewing_cover(AccountId(open.account), open.first..=open.last).await?;
        let to = To {
            chain_id: self.ledger.chain_id(),
            grant: open.grant,
            account: open.account,
            first: open.first,
            last: open.last,
        };
        let package = seal_delivery(&to, &found.grant.grantee_key, &cover).map_err(|error| {
            Failure::because(Code::GrantKeyInvalid, "nothing can be sealed to the grant's key", error)
        })?;
        let deliver = DeliverGrant { opened: *open, package_hash: sha256(&[&package]) };
        let record = self.ledger.commit(Entry::DeliverGrant(deliver)).await?;
        if !record.outcome().is_accepted() {
            return Err(refusal(record.as_ref()));
        }
        Ok(Delivery::Hosted { delivered: record.receipt(None), package: package.into() })
    }
}
