//! A hosted key of the calling app, made in the service with proof of possession by the new key.

use std::sync::Arc;

use keyward_crypto::{SigningKey, SigningKeyError};
use keyward_domain::{AccountId, Alias, Code, Mode, challenge, scheme::Scheme};
use keyward_policies::Verb;

use super::{Binding, Proven, scheme_named};
use crate::{
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    hosted::FIRST_VERSION,
    keybook::KnownKey,
    once::{Once, request_hash},
};

impl Custody {
    /// Makes the key; returns it with the receipt of its binding.
    pub(crate) async fn create_key(
        &self,
        caller: &Caller,
        alias: &str,
        scheme: &str,
        mark: &[u8],
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let _permit = self.permit()?;
        let (alias, scheme) = (Alias::parse(alias).map_err(Failure::of)?, scheme_named(scheme)?);
        let (caller, account) = &self.with_account(caller, Verb::KeyCreate).await?;
        let account = *account;
        self.authorise_account(caller, Verb::KeyCreate, account)?;
        let hash = request_hash("key.create", &[alias.as_str().as_bytes(), &[scheme.code()]]);
        let name = match self.once(caller, mark, hash).await? {
            Once::Done(receipt) => return Ok((self.done_key(account, &alias).await?, receipt)),
            Once::Fresh(name) => name,
        };
        let made = async {
            self.check_alias(account, &alias).await?;
            self.make(scheme, account, None).await
        };
        match made.await {
            Ok(key) => self.bind(Binding { account, alias, key, name, previous: None }).await,
            Err(failure) => {
                self.give_back(name).await;
                Err(failure)
            }
        }
    }

    /// New key material with its proof: for a new alias, or to take over from `previous`.
    pub(super) async fn make(
        &self,
        scheme: Scheme,
        account: AccountId,
        previous: Option<&KnownKey>,
    ) -> Result<Proven, Failure> {
        let key = SigningKey::generate(scheme).map_err(not_made)?;
        let nonce = random()?;
        let not_after = self.ledger.height().saturating_add(challenge::LIFETIME_BLOCKS);
        let public_key = key.public_key().clone();
        let replaced = previous.map(|previous| previous.public_key.id());
        let message =
            self.possession_message(account, Mode::Hosted, &public_key, &nonce, not_after, replaced.as_ref());
        let proof = key.sign_message(&message).map_err(Failure::internal)?;
        let version = previous.map_or(FIRST_VERSION, |previous| previous.row.version.saturating_add(1));
        let place = self.seal_key(&key, account, version).await?;
        Ok(Proven {
            public_key,
            place,
            claims: Vec::new(),
            nonce,
            not_after,
            proof,
            consent: None,
            pin: None,
        })
    }
}

fn not_made(error: SigningKeyError) -> Failure {
    match error {
        SigningKeyError::SchemeNotHosted { scheme } => {
            Failure::because(Code::SchemeNotHosted, format!("`{scheme}` keys are not hosted"), error)
        }
        other => Failure::internal(other),
    }
}
