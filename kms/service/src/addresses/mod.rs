//! Unlinkable addresses: one account, many addresses that each sign once and do not point to each other.
//!
//! INVARIANT: no index is given out twice, no address is begun by two intents, and nothing is given out or used in an epoch from
//! the moment on at which its closing is kept: the database decides, whatever this server has in mind. What signs stays the
//! guard's (`guard/address`): no signature without a final, accepted intent.
//!
//! A hosted root is sealed under a data key of its account, and goes with the account; what opens its epochs is kept as long as audit terms
//! say (`kept`). What closes an epoch is kept beside, sealed under
//! a key of the service, until the epoch is closed: so an account that was closed leaves no epoch open. Of a root that is its
//! person's own nothing is kept but hashes of what was shown, and the addresses that were used.

mod announce;
mod approved;
pub(crate) mod choose;
pub(crate) mod close;
mod closings;
mod followed;
mod granted;
pub(crate) mod intent;
mod kept;
mod limit;
mod list;
mod next;
mod own;
mod own_approved;
mod own_book;
pub(crate) mod payload;
mod resume;
pub(crate) mod root;
mod scan;
mod sign;

use std::sync::Arc;

use keyward_crypto::unlinkable::{AddressError, AddressRoot};
use keyward_domain::{AccountId, Code, Mode, scheme::Scheme};
use keyward_ledger_core::unlinkable::AddressEpoch;
use keyward_policies::{Resource, Verb, Verdict};
use keyward_store::{AddressAccount, AddressCustody, AddressOrigin, AddressState, Id, NewAddress};

pub(crate) use announce::Announced;
pub(crate) use approved::AskAddress;
pub(crate) use closings::Closings;
pub(crate) use kept::Round;
pub(crate) use limit::{Limit, check_limit_terms};
pub(crate) use list::Listed;
pub(crate) use own::BeginAddress;
pub(crate) use own_book::BegunAddresses;
pub(crate) use scan::Scanned;
pub(crate) use sign::SignAddress;

use crate::{
    authorise::not_allowed,
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::{Permission, Said, denied, needs},
};

/// Addresses of one request, and of one page.
pub(crate) const ADDRESSES_MAX: u32 = 256;

impl Custody {
    /// The caller's own account, if it may do this with its addresses.
    fn address_account(&self, caller: &Caller, verb: Verb) -> Result<AccountId, Failure> {
        let account = caller.own_account()?;
        self.authorise_account(caller, verb, account)?;
        caller.in_time(self.clock.now_ms())?;
        Ok(account)
    }

    /// What the account has chosen.
    async fn chosen_addresses(&self, account: AccountId) -> Result<AddressAccount, Failure> {
        let row = self.store.address_account(account.0).await?;
        row.filter(|row| row.state == AddressState::Chosen)
            .ok_or_else(|| Failure::new(Code::AddressesUnknown, "the account has chosen no addresses here"))
    }

    /// The same with its root, which is hosted.
    async fn hosted_addresses(
        &self,
        account: AccountId,
    ) -> Result<(AddressAccount, Arc<AddressRoot>), Failure> {
        let row = self.chosen_addresses(account).await?;
        let root = self.address_root(&row).await?;
        Ok((row, root))
    }

    /// The same where the root is the person's own.
    async fn own_addresses(&self, account: AccountId) -> Result<AddressAccount, Failure> {
        let row = self.chosen_addresses(account).await?;
        match row.custody {
            AddressCustody::Own => Ok(row),
            AddressCustody::Hosted => {
                Err(Failure::new(Code::AddressesHosted, "the account's root is hosted: the service signs"))
            }
        }
    }

    /// The epoch of an account that is under way by our clock.
    fn address_epoch_now(&self, row: &AddressAccount) -> Result<u32, Failure> {
        let epoch = AddressEpoch::at(row.epoch_ms, self.clock.now_ms());
        epoch.map(|epoch| epoch.number).ok_or_else(|| Failure::internal("no address epoch reaches so far"))
    }

    /// Refuses an epoch that is not under way for somebody whose clock is a little off.
    fn refuse_other_epochs(&self, row: &AddressAccount, epoch: u32) -> Result<(), Failure> {
        if AddressEpoch::new(row.epoch_ms, epoch).is_under_way(self.clock.now_ms()) {
            return Ok(());
        }
        Err(Failure::new(Code::AddressEpoch, format!("the address epoch `{epoch}` is not under way")))
    }

    /// Refuses for an account that is closed. The ledger cannot see whose a use of an address is, and another service may have closed the
    /// account: so its closings are read before an intent leaves, and before a signature does.
    pub(crate) async fn require_open_on_ledger(&self, account: AccountId) -> Result<(), Failure> {
        if !self.closings.tell_of(self.ledger.as_ref(), &account.0).await? {
            return Ok(());
        }
        self.follow_closing(account.0).await?;
        Err(Failure::new(Code::AccountClosed, "the account is closed"))
    }

    /// What the policies say of a signature by an address of the account; the hash of what decided. It is asked as one of a key
    /// that is named by the account, so that nothing here remembers which address it was.
    async fn decide_address(
        &self,
        caller: &Caller,
        account: AccountId,
        mode: Mode,
        said: &Said,
    ) -> Result<Id, Failure> {
        match self.try_decide_address(caller, account, mode, said) {
            Err(_) if self.policies.now().is_closed() => {
                // No refusal is from memory.
                self.look_at_policies().await?;
                self.try_decide_address(caller, account, mode, said)
            }
            decided => decided,
        }
    }

    fn try_decide_address(
        &self,
        caller: &Caller,
        account: AccountId,
        mode: Mode,
        said: &Said,
    ) -> Result<Id, Failure> {
        let person = caller.person.is_some();
        let (tenant, authorised) = (self.tenant.as_str(), false);
        let key = Resource::Key { tenant, id: account.0, account, mode, person, authorised };
        let (verdict, hash) = self.verdict_on(caller, key, said, Permission::Own)?;
        match &verdict {
            Verdict::Allow { .. } => Ok(hash),
            // One that names nobody: any other would tell whose the address is.
            Verdict::NeedsApproval { rules, policies } => {
                Err(Failure { code: Code::AddressApproval, ..needs(rules, policies) })
            }
            Verdict::Deny { reasons } if verdict.is_denied_above_the_floor() => Err(denied(reasons)),
            Verdict::Deny { .. } => Err(not_allowed(caller, Verb::KeySign)),
        }
    }
}

/// The scheme of a name; addresses sign in two.
pub(crate) fn scheme_of(name: &str) -> Result<Scheme, Failure> {
    match name {
        "" => Ok(Scheme::EcdsaSecp256k1),
        name => Scheme::from_name(name)
            .filter(|scheme| matches!(scheme, Scheme::EcdsaSecp256k1 | Scheme::Bip340))
            .ok_or_else(|| Failure::new(Code::SchemeUnknown, "addresses sign by ecdsa-secp256k1 or bip340")),
    }
}

/// What cannot be done with bytes that the caller showed.
fn other(error: AddressError) -> Failure {
    match error {
        AddressError::Randomness(_) | AddressError::NoKey => Failure::internal(error),
        error => Failure::because(Code::AddressOther, error.to_string(), error),
    }
}

/// `public key[33] || epoch u32 || (1 u8 || index u32 | 2 u8 || payment[50])`.
pub(crate) fn encode_address(address: &NewAddress) -> Vec<u8> {
    let mut out = [&address.public_key[..], &address.epoch.to_be_bytes()].concat();
    match address.origin {
        AddressOrigin::Index(index) => {
            out.push(1);
            out.extend(index.to_be_bytes());
        }
        AddressOrigin::Payment(payment) => {
            out.push(2);
            out.extend(payment);
        }
    }
    out
}

/// Reads what [`encode_address`] wrote, and what follows it.
pub(crate) fn decode_address(bytes: &[u8]) -> Option<(NewAddress, &[u8])> {
    let (public_key, rest) = bytes.split_first_chunk()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let (kind, rest) = rest.split_first()?;
    let (origin, rest) = match kind {
        1 => {
            let (index, rest) = rest.split_first_chunk()?;
            (AddressOrigin::Index(u32::from_be_bytes(*index)), rest)
        }
        2 => {
            let (payment, rest) = rest.split_first_chunk()?;
            (AddressOrigin::Payment(*payment), rest)
        }
        _ => return None,
    };
    Some((NewAddress { public_key: *public_key, epoch: u32::from_be_bytes(*epoch), origin }, rest))
}
