//! Rotation: a new version takes over under the same alias. The version before verifies what it signed, and never
//! signs again.

use std::sync::Arc;

use keyward_domain::{AccountId, Alias, Code, Mode};
use keyward_policies::Verb;
use keyward_store::{Custody as Place, IdempotencyKey as Name, KeyState};
use zeroize::Zeroizing;

use super::{
    Binding,
    import::{Import, check_mode, public_key_of},
};
use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    keybook::KnownKey,
    once::{Once, request_hash},
    tokens::link::{Link, pin_aad},
};

/// Where the next version comes from.
pub(crate) enum To<'a> {
    /// New key material, made here.
    Made,
    /// A named key of a token.
    Token(Link<'a>),
    /// A key that its holder made.
    Imported(Import<'a>),
}

impl To<'_> {
    fn fields(&self) -> Vec<&[u8]> {
        match self {
            Self::Made => vec![b"made"],
            Self::Token(link) => {
                vec![b"token", link.token.as_bytes(), link.key_label.as_bytes(), link.id]
            }
            Self::Imported(import) => [&[&b"import"[..]][..], &import.fields()].concat(),
        }
    }
}

impl Custody {
    /// Rotates a key; returns the new version with the receipt.
    pub(crate) async fn rotate_key(
        &self,
        caller: &Caller,
        name: &str,
        to: To<'_>,
        mark: &[u8],
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let _permit = self.permit()?;
        let key = self.named_key_now(caller, name).await?;
        self.authorise_key(caller, Verb::KeyRotate, &key)?;
        // The name as it was given: an alias means another key after the rotation.
        let fields = [&[name.as_bytes()][..], &to.fields()].concat();
        let ticket = match self.once(caller, mark, request_hash("key.rotate", &fields)).await? {
            Once::Done(receipt) => {
                let alias = Alias::parse(&key.row.alias).map_err(Failure::of)?;
                return Ok((self.done_key(key.account(), &alias).await?, receipt));
            }
            Once::Fresh(ticket) => ticket,
        };
        let next = async {
            self.check_rotation(caller, &key).await?;
            self.next_version(caller, &key, to, ticket.clone()).await
        };
        match next.await {
            Ok(binding) => self.bind(binding).await,
            Err(failure) => {
                self.give_back(ticket).await;
                Err(failure)
            }
        }
    }

    async fn check_rotation(&self, caller: &Caller, key: &KnownKey) -> Result<(), Failure> {
        key.state()?.supersede(self.clock.now_ms()).map_err(Failure::of)?;
        // The alias signs again with its new version: that is for those who may let the key sign again.
        if key.row.state == KeyState::Frozen && self.authorise_key(caller, Verb::KeyUnfreeze, key).is_err() {
            return Err(Failure::new(Code::KeyFrozen, "the key is frozen"));
        }
        let keys = self.check_room(key.account()).await?;
        let pending =
            |other: &keyward_store::Key| other.alias == key.row.alias && other.state == KeyState::Pending;
        if keys.iter().any(pending) {
            return Err(Failure::new(Code::KeyPending, "a newer version is being bound"));
        }
        Ok(())
    }

    /// The next version, proven and kept as the one before is.
    async fn next_version(
        &self,
        caller: &Caller,
        key: &Arc<KnownKey>,
        to: To<'_>,
        name: Option<Name>,
    ) -> Result<Binding, Failure> {
        let (account, scheme) = (key.account(), key.public_key.scheme());
        let alias = Alias::parse(&key.row.alias).map_err(Failure::of)?;
        let previous = Some(key.clone());
        match (to, &key.row.custody) {
            (To::Made, Place::Hosted { .. }) if !key.person => {
                let key = self.make(scheme, account, Some(key)).await?;
                Ok(Binding { account, alias, key, name, previous })
            }
            (To::Token(link), Place::Linked { .. }) => {
                self.authorise_account(caller, Verb::TokenLink, account)?;
                let link = self.with_pin(key, Link { alias: &key.row.alias, ..link }).await?;
                let key = self.prove_key(caller, account, scheme, link, Some(key.row.key_id)).await?;
                Ok(Binding { account, alias, key, name, previous })
            }
            // A key of mode `self` does not become the service's; a hosted one may come to its person.
            (To::Imported(import), Place::Hosted { .. } | Place::Own)
                if key.person && (key.row.custody != Place::Own || import.mode == Mode::Own) =>
            {
                check_mode(&import)?;
                self.authorise_account(caller, Verb::KeyImport, account)?;
                self.imported(account, alias, &import, name, key).await
            }
            _ => Err(not_so(key)),
        }
    }

    /// Without a PIN, another key of the same token is meant, whose PIN is kept.
    async fn with_pin<'a>(&self, key: &KnownKey, link: Link<'a>) -> Result<Link<'a>, Failure> {
        if !link.pin.is_empty() || !link.agent.is_empty() {
            return Ok(link);
        }
        let (label, serial) = self.tokens.find_token(link.token.to_owned()).await?;
        let same =
            matches!(&key.row.custody, Place::Linked { serial: own, agent: None, .. } if *own == serial);
        let pins = self.store.pins().await?;
        let Some(pin) = pins.into_iter().find(|pin| same && pin.serial == serial) else {
            return Err(Failure::new(Code::InvalidArgument, format!("give the PIN of token `{label}`")));
        };
        let pin = self.kek.open(pin_aad(&serial), pin.sealed).await?;
        Ok(Link { pin: pin.expose(|bytes| Zeroizing::new(bytes.to_vec())), ..link })
    }

    async fn imported(
        &self,
        account: AccountId,
        alias: Alias,
        import: &Import<'_>,
        name: Option<Name>,
        previous: &Arc<KnownKey>,
    ) -> Result<Binding, Failure> {
        let public_key = public_key_of(previous.public_key.scheme(), import.public_key)?;
        let place = self.take_in(account, &public_key, import, Some(previous)).await?;
        let key = import.proven(public_key, place);
        Ok(Binding { account, alias, key, name, previous: Some(previous.clone()) })
    }
}

/// What a key of this kind is rotated to.
fn not_so(key: &KnownKey) -> Failure {
    let how = match key.row.custody {
        Place::Linked { .. } => "a linked key is rotated to another key of a token: name it",
        Place::Own => "a key of mode `self` is rotated to another one of that mode",
        Place::Shared { .. } => {
            "a shared key stays itself: have its shares renewed (`keyward key shared renew`), or make another one"
        }
        _ if key.person => "a person's key is rotated to one that the person's side makes",
        _ => "an app's hosted key is rotated inside the service: name no other key",
    };
    Failure::new(Code::InvalidArgument, how)
}
