//! Linking a key that lives in a token: the token proves possession, the private key never leaves it.

use std::sync::Arc;

use keyward_crypto::service_secret_aad;
use keyward_domain::{
    AccountId, Alias, Code, Mode, challenge,
    scheme::{self, KeyId, Scheme},
};
use keyward_policies::Verb;
use keyward_store::{Custody as Place, Id, KeyState, Pin};
use zeroize::Zeroizing;

use crate::{
    agents::Proving,
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    keybook::KnownKey,
    keys::{Binding, Proven, scheme_named},
    once::{Once, request_hash},
    ports::{FoundKey, ToSign},
};

/// Which key, under which alias.
pub(crate) struct Link<'a> {
    pub(crate) token: &'a str,
    pub(crate) key_label: &'a str,
    pub(crate) id: &'a [u8],
    pub(crate) scheme: &'a str,
    pub(crate) alias: &'a str,
    /// The agent that the token is attached to; empty: attached to the service.
    pub(crate) agent: &'a str,
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
        let fields: [&[u8]; 6] = [
            link.token.as_bytes(),
            link.key_label.as_bytes(),
            link.id,
            alias.as_str().as_bytes(),
            &[scheme.code()],
            link.agent.as_bytes(),
        ];
        let name = match self.once(caller, link.mark, request_hash("token.link", &fields)).await? {
            Once::Done(receipt) => return Ok((self.done_key(account, &alias).await?, receipt)),
            Once::Fresh(name) => name,
        };
        let proven = async {
            self.check_alias(account, &alias).await?;
            self.prove_key(caller, account, scheme, link, None).await
        };
        match proven.await {
            Ok(key) => self.bind(Binding { account, alias, key, name, previous: None }).await,
            Err(failure) => {
                self.give_back(name).await;
                Err(failure)
            }
        }
    }

    /// Has a token prove that it holds the key that is to be bound, or to take the place of `previous`.
    pub(crate) async fn prove_key(
        &self,
        caller: &Caller,
        account: AccountId,
        scheme: Scheme,
        link: Link<'_>,
        previous: Option<Id>,
    ) -> Result<Proven, Failure> {
        let at = if link.agent.is_empty() {
            self.attached(&link).await?
        } else {
            self.authorise_desk(caller, Verb::AgentLink, link.agent)?;
            self.at_desk(&link)?
        };
        let attached = link.agent.is_empty().then(|| at.serial.clone());
        let proven = self.prove_at(caller, account, scheme, link, previous, at).await;
        if proven.is_err()
            && let Some(serial) = attached
        {
            self.tokens.release(serial).await;
        }
        proven
    }

    async fn prove_at(
        &self,
        caller: &Caller,
        account: AccountId,
        scheme: Scheme,
        link: Link<'_>,
        previous: Option<Id>,
        at: At,
    ) -> Result<Proven, Failure> {
        let fits = at.found.public_keys.iter().find(|key| key.scheme() == scheme).cloned();
        let public_key = fits.ok_or_else(|| {
            let kind = &at.found.kind;
            Failure::new(
                Code::SchemeMismatch,
                format!("a `{kind}` key of this token does not sign `{scheme}`"),
            )
        })?;
        match self.store.key(public_key.id().0).await? {
            None => {}
            Some(row) if row.state == KeyState::Destroyed => {
                return Err(Failure::new(Code::KeyDestroyed, "the key was bound before, and destroyed"));
            }
            Some(_) => return Err(Failure::new(Code::KeyAlreadyBound, "the key is bound already")),
        }
        let nonce = random()?;
        let not_after = self.ledger.height().saturating_add(challenge::LIFETIME_BLOCKS);
        let rotated = previous.map(KeyId);
        let message =
            self.possession_message(account, Mode::Linked, &public_key, &nonce, not_after, rotated.as_ref());
        let At { label, serial, found } = at;
        let proof = if link.agent.is_empty() {
            let what = ToSign::Message(message.clone());
            self.tokens.sign(serial.clone(), found.id.clone(), scheme, what).await?
        } else {
            let (alias, public_key) = (link.alias, &public_key);
            let proving = Proving { caller, account, alias, public_key, nonce, not_after, previous };
            self.prove_through_agent(link.agent, proving).await?
        };
        scheme::verify(&public_key, &message, &proof).map_err(|error| {
            Failure::because(Code::SignatureInvalid, "the token's proof does not verify", error)
        })?;
        let (agent, pin) = if link.agent.is_empty() {
            let sealed = self.kek.seal(pin_aad(&serial), link.pin).await?;
            (None, Some(Pin { serial: serial.clone(), label: label.clone(), sealed }))
        } else {
            (Some(link.agent.to_owned()), None)
        };
        let place = Place::Linked { label, serial, id: found.id, agent };
        Ok(Proven { public_key, place, claims: found.claims, nonce, not_after, proof, consent: None, pin })
    }

    /// The key in a token that is attached to the service, logged in to.
    async fn attached(&self, link: &Link<'_>) -> Result<At, Failure> {
        let (label, serial) = self.tokens.find_token(link.token.to_owned()).await?;
        self.tokens.login(serial.clone(), link.pin.clone()).await?;
        match self.tokens.find_key(serial.clone(), link.key_label.to_owned(), link.id.to_vec()).await {
            Ok(found) => Ok(At { label, serial, found }),
            Err(failure) => {
                self.tokens.release(serial).await;
                Err(failure)
            }
        }
    }

    /// The key in a token at an agent's desk; its PIN stays there.
    fn at_desk(&self, link: &Link<'_>) -> Result<At, Failure> {
        let agent = link.agent;
        if !link.pin.is_empty() {
            let message = "the PIN of a token at a desk is for its agent alone";
            return Err(Failure::new(Code::InvalidArgument, message));
        }
        let tokens = self.agents.tokens(agent).ok_or_else(|| {
            let message = format!("the agent `{agent}` holds no stream to this server");
            Failure::new(Code::AgentUnavailable, message)
        })?;
        let named: Vec<_> =
            tokens.iter().filter(|token| token.serial == link.token || token.label == link.token).collect();
        let token = match named.as_slice() {
            [token] => token,
            [] => {
                let message = format!("no token `{}` at the agent `{agent}`", link.token);
                return Err(Failure::new(Code::TokenMissing, message));
            }
            _ => return Err(Failure::new(Code::TokenAmbiguous, "two tokens of the agent have that name")),
        };
        let fits = |key: &&FoundKey| {
            (link.key_label.is_empty() || key.label == link.key_label)
                && (link.id.is_empty() || key.id == link.id)
        };
        let keys: Vec<_> = token.keys.iter().filter(fits).collect();
        let found = match keys.as_slice() {
            [found] => (*found).clone(),
            [] => return Err(Failure::new(Code::TokenKeyMissing, "the token holds no such key")),
            _ => return Err(Failure::new(Code::TokenKeyAmbiguous, "two keys of the token match")),
        };
        Ok(At { label: token.label.clone(), serial: token.serial.clone(), found })
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

/// A key, and where it is.
struct At {
    label: String,
    serial: String,
    found: FoundKey,
}
