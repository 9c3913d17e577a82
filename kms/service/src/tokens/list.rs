//! Listing the attached tokens and their keys.

use keyward_policies::Verb;

use crate::{caller::Caller, custody::Custody, failure::Failure, ports::Attached};

/// A token, and for each of its keys the ledger's name if it is linked.
pub(crate) type Listed = (Attached, Vec<Option<[u8; 32]>>);

impl Custody {
    /// The attached tokens.
    pub(crate) async fn list_tokens(&self, caller: &Caller) -> Result<Vec<Listed>, Failure> {
        self.authorise_tenant(caller, Verb::TokenList)?;
        let linked = self.store.linked_keys().await?;
        let named = |public: &keyward_domain::scheme::PublicKey| {
            let id = public.id().0;
            linked.iter().any(|row| row.key_id == id).then_some(id)
        };
        let tokens = self.tokens.list().await?;
        let with_names = tokens.into_iter().map(|token| {
            let names = token.keys.iter().map(|key| key.public_keys.iter().find_map(named)).collect();
            (token, names)
        });
        Ok(with_names.collect())
    }
}
