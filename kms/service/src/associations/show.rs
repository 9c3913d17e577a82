//! Showing an association: what the ledger proves of it, and of each of its members.

use keyward_domain::{Code, scheme::KeyId};
use keyward_ledger_core::{
    entry::AUTHORS_MAX,
    state::{
        association::{AssociationState, MemberState, address_key, association_key},
        layout::{account_key, key_key},
    },
};
use keyward_policies::Verb;
use keyward_store::Id;

use crate::{caller::Caller, custody::Custody, failure::Failure, vaults::floods::Flood};

/// How often the association is asked for again until a height is reached at which the members were shown.
const AGAIN_MAX: usize = 4;

/// State receipts of an association.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) association: Vec<u8>,
    pub(crate) members: Vec<ShownMember>,
    /// Of the association again, after the members; empty without them.
    pub(crate) again: Vec<u8>,
    /// Of the keys that were asked for, in their order.
    pub(crate) keys: Vec<Vec<u8>>,
}

/// State receipts of one member.
#[derive(Debug)]
pub(crate) struct ShownMember {
    pub(crate) address: Vec<u8>,
    pub(crate) account: Vec<u8>,
    /// Empty for an address of another chain.
    pub(crate) key: Vec<u8>,
    height: u64,
}

impl Custody {
    /// An association for whoever knows its id, which is random; with its members if they are wanted.
    pub(crate) async fn show_association(
        &self,
        caller: &Caller,
        id: &Id,
        with_members: bool,
        keys: &[Id],
    ) -> Result<Shown, Failure> {
        let _permit = self.permit()?;
        let own = caller.own_account()?;
        self.authorise_account(caller, Verb::AssociationShow, own)?;
        self.floods.charge(own.0, Flood::Question, self.clock.now_ms())?;
        if keys.len() > AUTHORS_MAX {
            let what = format!("at most `{AUTHORS_MAX}` keys are shown, as many as sign one entry");
            return Err(Failure::new(Code::InvalidArgument, what));
        }
        let found = self.ledger.proven(association_key(id)).await?;
        let mut shown =
            Shown { association: found.receipt, members: Vec::new(), again: Vec::new(), keys: Vec::new() };
        for key in keys {
            self.floods.charge(own.0, Flood::Question, self.clock.now_ms())?;
            shown.keys.push(self.ledger.proven(key_key(&KeyId(*key))).await?.receipt);
        }
        let Some(value) = found.value.filter(|_| with_members) else { return Ok(shown) };
        let state = AssociationState::decode(&value).map_err(Failure::internal)?;
        for member in &state.members {
            self.floods.charge(own.0, Flood::Question, self.clock.now_ms())?;
            shown.members.push(self.show_member(member).await?);
        }
        let reached = shown.members.iter().map(|member| member.height).max().unwrap_or_default();
        for _ in 0..AGAIN_MAX {
            let again = self.ledger.proven(association_key(id)).await?;
            shown.again = again.receipt;
            if again.height >= reached {
                break;
            }
        }
        Ok(shown)
    }

    async fn show_member(&self, member: &MemberState) -> Result<ShownMember, Failure> {
        let address = self.ledger.proven(address_key(&member.address)).await?;
        let account = self.ledger.proven(account_key(&member.account)).await?;
        let mut height = address.height.max(account.height);
        let mut key = Vec::new();
        if let Some(key_id) = member.address.key_id() {
            let proven = self.ledger.proven(key_key(&key_id)).await?;
            height = height.max(proven.height);
            key = proven.receipt;
        }
        Ok(ShownMember { address: address.receipt, account: account.receipt, key, height })
    }
}
