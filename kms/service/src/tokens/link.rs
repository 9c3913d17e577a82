//! Linking a key that lives in a token: the token proves possession, the private key never leaves it.

use std::sync::Arc;

use keyward_crypto::service_secret_aad;
use keyward_domain::{
    AccountId, Alias, Code, Mode, challenge,
    scheme::{self, PublicKey, Scheme},
};
use keyward_ledger_core::contracts::registry::possession_challenge;
use keyward_policies::Verb;
use keyward_store::{Custody as Place, Pin};
use zeroize::Zeroizing;

use crate::{
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    keybook::KnownKey,
    keys::{Binding, scheme_named},
    once::{Once, request_hash},
    ports::ToSign,
};

/// Which key, under which alias.
pub(crate) struct Link<'a> {
    pub(crate) token: &'a str,
    pub(crate) key_label: &'a str,
    pub(crate) id: &'a [u8],
    pub(crate) scheme: &'a str,
    pub(crate) alias: &'a str,
    pub(crate) pin: Zeroizing<Vec<u8>>,
    pub(crate) mark: &'a [u8],
}

/// The associated data of a token's sealed PIN.
pub(crate) fn pin_aad(serial: &str) -> Vec<u8> {
    service_secret_aad(&format!("pin/{serial}"))
}

impl Custody {
    /// Links the key to the caller's account; returns it with the receipt of its binding.
    pub(crate) async fn link_key(
        &self,
        caller: &Caller,
        link: Link<'_>,
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let _permit = self.permit()?;
        let (alias, scheme) = (Alias::parse(link.alias).map_err(Failure::of)?, scheme_named(link.scheme)?);
        let (caller, account) = &self.with_account(caller, Verb::TokenLink).await?;
        let account = *account;
        self.authorise_account(caller, Verb::TokenLink, account)?;
        let fields: [&[u8]; 5] = [
            link.token.as_bytes(),
            link.key_label.as_bytes(),
            link.id,
            alias.as_str().as_bytes(),
            &[scheme.code()],
        ];
        let name = match self.once(caller, link.mark, request_hash("token.link", &fields)).await? {
            Once::Done(receipt) => return Ok((self.done_key(account, &alias).await?, receipt)),
            Once::Fresh(name) => name,
        };
        let proven = async {
            self.check_alias(account, &alias).await?;
            self.prove(account, scheme, link).await
        };
        match proven.await {
            Ok(Proven { public_key, place, claims, nonce, not_after, proof, pin }) => {
                let pin = Some(pin);
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
                    pin,
                })
                .await
            }
            Err(failure) => {
                self.give_back(name).await;
                Err(failure)
            }
        }
    }

    async fn prove(&self, account: AccountId, scheme: Scheme, link: Link<'_>) -> Result<Proven, Failure> {
        let (label, serial) = self.tokens.find_token(link.token.to_owned()).await?;
        self.tokens.login(serial.clone(), link.pin.clone()).await?;
        let found = self.tokens.find_key(serial.clone(), link.key_label.to_owned(), link.id.to_vec()).await?;
        let fits = found.public_keys.iter().find(|key| key.scheme() == scheme).cloned();
        let public_key = fits.ok_or_else(|| {
            let kind = &found.kind;
            Failure::new(
                Code::SchemeMismatch,
                format!("a `{kind}` key of this token does not sign `{scheme}`"),
            )
        })?;
        if self.store.key(public_key.id().0).await?.is_some() {
            return Err(Failure::new(Code::KeyAlreadyBound, "the key is bound already"));
        }
        let nonce = random()?;
        let not_after = self.ledger.height().saturating_add(challenge::LIFETIME_BLOCKS);
        let (chain_id, mode) = (self.ledger.chain_id(), Mode::Linked);
        let message = possession_challenge(&chain_id, &account.0, mode, &public_key, &nonce, not_after);
        let what = ToSign::Message(message.clone());
        let proof = self.tokens.sign(serial.clone(), found.id.clone(), scheme, what).await?;
        scheme::verify(&public_key, &message, &proof).map_err(|error| {
            Failure::because(Code::SignatureInvalid, "the token's proof does not verify", error)
        })?;
        let sealed = self.kek.seal(pin_aad(&serial), link.pin).await?;
        let pin = Pin { serial: serial.clone(), label: label.clone(), sealed };
        let place = Place::Linked { label, serial, id: found.id };
        Ok(Proven { public_key, place, claims: found.claims, nonce, not_after, proof, pin })
    }

    /// After a start: logs in to the tokens of linked keys with their sealed PINs. Never tries a PIN twice.
    pub(crate) async fn log_in_to_tokens(&self) -> Result<(), Failure> {
        for Pin { serial, label, sealed } in self.store.pins().await? {
            let pin = self.kek.open(pin_aad(&serial), sealed).await?;
            let pin = pin.expose(|bytes| Zeroizing::new(bytes.to_vec()));
            if let Err(failure) = self.tokens.login(serial, pin).await {
                tracing::warn!(token = label, %failure, "a token of linked keys is not usable");
            }
        }
        Ok(())
    }
}

struct Proven {
    public_key: PublicKey,
    place: Place,
    claims: Vec<String>,
    nonce: [u8; 32],
    not_after: u64,
    proof: Vec<u8>,
    pin: Pin,
}
