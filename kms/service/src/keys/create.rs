//! A hosted key of the calling app, made in the service with proof of possession by the new key.

use std::sync::Arc;

use keyward_crypto::{SigningKey, SigningKeyError};
use keyward_domain::{Alias, Code, Mode, challenge, scheme::Scheme};
use keyward_ledger_core::contracts::registry::possession_challenge;
use keyward_policies::Verb;
use keyward_store::Custody as Place;

use super::{Binding, scheme_named};
use crate::{
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
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
            self.make(scheme, account).await
        };
        match made.await {
            Ok(made) => {
                let Made { public_key, sealed, nonce, not_after, proof } = made;
                let place = Place::Hosted { sealed };
                let claims = Vec::new();
                self.bind(Binding {
                    account,
                    alias,
                    public_key,
                    place,
                    claims,
                    nonce,
                    not_after,
                    proof,
                    name,
                    pin: None,
                })
                .await
            }
            Err(failure) => {
                self.give_back(name).await;
                Err(failure)
            }
        }
    }

    async fn make(&self, scheme: Scheme, account: keyward_domain::AccountId) -> Result<Made, Failure> {
        let key = SigningKey::generate(scheme).map_err(not_made)?;
        let nonce = random()?;
        let not_after = self.ledger.height().saturating_add(challenge::LIFETIME_BLOCKS);
        let public_key = key.public_key().clone();
        let message = possession_challenge(
            &self.ledger.chain_id(),
            &account.0,
            Mode::Hosted,
            &public_key,
            &nonce,
            not_after,
        );
        let proof = key.sign_message(&message).map_err(Failure::internal)?;
        let sealed = self.seal_key(&key, account).await?;
        Ok(Made { public_key, sealed, nonce, not_after, proof })
    }
}

struct Made {
    public_key: keyward_domain::scheme::PublicKey,
    sealed: Vec<u8>,
    nonce: [u8; 32],
    not_after: u64,
    proof: Vec<u8>,
}

fn not_made(error: SigningKeyError) -> Failure {
    match error {
        SigningKeyError::SchemeNotHosted { scheme } => {
            Failure::because(Code::SchemeNotHosted, format!("`{scheme}` keys are not hosted"), error)
        }
        other => Failure::internal(other),
    }
}
