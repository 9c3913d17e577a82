//! Listing the attached tokens and their keys.

use keyward_policies::Verb;

use crate::{caller::Caller, custody::Custody, failure::Failure, ports::Attached};

/// A token, and for each of its keys the ledger's name if it is linked.
pub(crate) struct Listed {
    /// The agent that it is attached to; none: to the service.
    pub(crate) agent: Option<String>,
    pub(crate) token: Attached,
    pub(crate) names: Vec<Option<[u8; 32]>>,
}

impl Custody {
    /// The attached tokens: of the service, then of the agents whose streams this server holds.
    pub(crate) async fn list_tokens(&self, caller: &Caller) -> Result<Vec<Listed>, Failure> {
        self.authorise_tenant(caller, Verb::TokenList)?;
        let linked = self.store.linked_keys().await?;
        let named = |public: &keyward_domain::scheme::PublicKey| {
            let id = public.id().0;
            linked.iter().any(|row| row.key_id == id).then_some(id)
        };
        let own = self.tokens.list().await?.into_iter().map(|token| (None, token));
        let at_desks = self.agents.all_tokens().into_iter().map(|(agent, token)| (Some(agent), token));
        let listed = own.chain(at_desks).map(|(agent, token)| {
            let names = token.keys.iter().map(|key| key.public_keys.iter().find_map(named)).collect();
            Listed { agent, token, names }
        });
        Ok(listed.collect())
    }
}
