//! Closed address epochs of accounts whose root lies on their own side: what is sealed to keepers is passed on, what is public of
//! a dealing is kept, and what keepers open is handed to the grantee. Nothing of it is readable here.

mod deal;
mod open;
mod record;

use bytes::Bytes;
use futures::future::join_all;
use keyward_domain::{AccountId, Code};
use keyward_ledger_core::{
    entry::Custody as RootCustody,
    state::{
        addresses::{AddressesState, DealtState, addresses_key, dealt_key},
        keeper::{KeeperState, keeper_key},
    },
};
use keyward_policies::Verb;
use keyward_store::Id;
use tokio::time::timeout;

pub(crate) use deal::Deal;

use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    ports::ToKeeper,
    vaults::relay::{heard, no_answer, silent},
};

/// The longest part of a keeper, sealed.
const PART_BYTES_MAX: usize = 1 << 10;
/// An acknowledgement: an Ed25519 signature.
const ACKNOWLEDGEMENT_BYTES: usize = 64;
/// What a keeper may refuse with; it does not speak for the service.
const KEEPER_CODES: [Code; 15] = [
    Code::ViewingRequestMalformed,
    Code::ViewingDepositUnsigned,
    Code::ViewingKeeperUnknown,
    Code::ViewingShareRefused,
    Code::ViewingShareMissing,
    Code::ViewingNotOpened,
    Code::AddressesUnknown,
    Code::EpochUnderWay,
    Code::AuthorSignatureExpired,
    Code::DealingGap,
    Code::GrantState,
    Code::GrantExpired,
    Code::AccountClosed,
    Code::ServiceBusy,
    Code::LedgerUnavailable,
];

impl Custody {
    /// The caller's account, whose epochs it may deal.
    fn dealing_account(&self, caller: &Caller) -> Result<AccountId, Failure> {
        let account = caller.own_account()?;
        self.authorise_account(caller, Verb::AddressUse, account)?;
        caller.in_time(self.clock.now_ms())?;
        Ok(account)
    }

    /// The recorded dealing that begins with an epoch.
    async fn recorded_dealing(&self, account: &Id, first: u32) -> Result<Option<DealtState>, Failure> {
        let value = self.ledger.state(dealt_key(account, first)).await?;
        value.map(|value| DealtState::decode(&value).map_err(Failure::internal)).transpose()
    }

    /// The first epoch that an account with an own root has not dealt.
    async fn next_dealt(&self, account: &Id) -> Result<Option<u32>, Failure> {
        let value = self.ledger.state(addresses_key(account)).await?;
        let chosen =
            value.map(|value| AddressesState::decode(&value).map_err(Failure::internal)).transpose()?;
        let own = chosen.filter(|chosen| chosen.custody == RootCustody::Own);
        let own = own.ok_or_else(|| {
            Failure::new(Code::AddressesUnknown, "the account has no address root of its own")
        })?;
        Ok(own.next_dealt())
    }

    /// Asks keepers, all at once, each for its own; one that has left is asked too unless it is to take something.
    async fn ask_all(&self, asked: Vec<(Id, ToKeeper)>) -> Vec<Result<Bytes, Failure>> {
        join_all(asked.into_iter().map(|(keeper, what)| self.ask_about_viewing(keeper, what))).await
    }

    async fn ask_about_viewing(&self, keeper: Id, what: ToKeeper) -> Result<Bytes, Failure> {
        let takes = matches!(what, ToKeeper::DepositViewing { .. });
        let known = self.ledger.state(keeper_key(&keeper)).await?;
        let known = known.map(|value| KeeperState::decode(&value).map_err(Failure::internal)).transpose()?;
        let unknown = || Failure::new(Code::ViewingKeeperUnknown, "the ledger knows no such keeper");
        let known = known.filter(|known| known.present || !takes).ok_or_else(unknown)?;
        let answer = match timeout(self.keeper_wait, self.keepers.ask(known.keeper.rpc, what)).await {
            Ok(answer) => answer.map_err(|error| heard(error, &KEEPER_CODES))?,
            Err(elapsed) => return Err(silent(elapsed)),
        };
        let fits = if takes {
            answer.len() == ACKNOWLEDGEMENT_BYTES
        } else {
            (1..=PART_BYTES_MAX).contains(&answer.len())
        };
        if fits { Ok(answer) } else { Err(no_answer(answer.len())) }
    }
}

fn malformed(why: impl Into<String>) -> Failure {
    Failure::new(Code::ViewingRequestMalformed, why)
}

fn not_own() -> Failure {
    Failure::new(Code::NotAllowed, "the epochs are not those of the caller's own account")
}
