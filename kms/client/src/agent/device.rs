//! The tokens at the desk: looked at, logged in to once, used; pulled out and put back at any moment.

use std::future::Future;
use std::pin::Pin as Pinned;
use std::sync::{Mutex, PoisonError};

use keyward_domain::Code;
use keyward_domain::scheme::{PublicKey, Scheme};
use keyward_token::{Module, Pin, TokenError, TokenInfo, TokenName};

use super::summary::{Payload, Word};

/// An answer under way.
pub type Later<'a, T> = Pinned<Box<dyn Future<Output = T> + Send + 'a>>;

/// A key in an attached token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    /// Its label.
    pub label: String,
    /// Its `CKA_ID`.
    pub id: Vec<u8>,
    /// Its kind, in words.
    pub kind: String,
    /// One for each scheme that the token signs with.
    pub public_keys: Vec<PublicKey>,
    /// What the token says of it.
    pub claims: Vec<String>,
}

/// An attached token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Who made it.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its signing keys.
    pub keys: Vec<HeldKey>,
}

/// What is there, and what should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The tokens that can be used.
    pub held: Vec<Held>,
    /// The tokens of this desk that cannot, by name, and why.
    pub missing: Vec<(String, String)>,
}

/// Why a token did not sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRefusal {
    /// The stable code.
    pub code: Code,
    /// In words.
    pub message: String,
}

/// The tokens of a desk.
pub trait Device: Send + Sync {
    /// What is attached now.
    fn look(&self) -> Later<'_, Look>;
    /// Signs with a key of an attached token; in bounded time.
    fn sign(
        &self,
        serial: String,
        id: Vec<u8>,
        scheme: Scheme,
        payload: Payload,
    ) -> Later<'_, Result<Vec<u8>, DeviceRefusal>>;
}

/// A PKCS#11 module and the tokens of it that belong to this desk.
#[derive(Debug)]
pub struct Tokens {
    module: Module,
    wanted: Mutex<Vec<Wanted>>,
}

#[derive(Debug)]
struct Wanted {
    /// As the clerk calls it: label or serial.
    name: String,
    /// Until it was used: a PIN is tried once.
    pin: Option<Pin>,
    /// Why it is not usable, for good.
    refused: Option<String>,
}

impl Tokens {
    /// Tokens that are not attached yet are logged in to when they are.
    pub fn new(module: Module, tokens: Vec<(String, Pin)>) -> Self {
        let wanted = tokens.into_iter().map(|(name, pin)| Wanted { name, pin: Some(pin), refused: None });
        Self { module, wanted: Mutex::new(wanted.collect()) }
    }

    fn wanted(&self) -> std::sync::MutexGuard<'_, Vec<Wanted>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look_at(&self, name: &str, present: &[TokenInfo]) -> Result<Held, String> {
        if let Some(why) =
            self.wanted().iter().find(|wanted| wanted.name == name).and_then(|w| w.refused.clone())
        {
            return Err(why);
        }
        let by_serial = present.iter().find(|info| info.serial == name);
        let mut by_label = present.iter().filter(|info| info.label == name);
        let info = match (by_serial, by_label.next(), by_label.next()) {
            (Some(info), _, _) | (None, Some(info), None) => info,
            (None, Some(_), Some(_)) => {
                return Err("two tokens have this label: name it by its serial".to_owned());
            }
            (None, None, _) => return Err("not attached".to_owned()),
        };
        let token = TokenName::new(&info.serial);
        self.log_in(name, &token).await?;
        let keys = self.module.keys(&token).await.map_err(|error| error.to_string())?;
        let keys = keys.into_iter().map(|key| HeldKey {
            label: key.label,
            id: key.id,
            kind: key.kind.to_string(),
            public_keys: key.public_keys,
            claims: key.claims.names(),
        });
        Ok(Held {
            label: info.label.clone(),
            serial: info.serial.clone(),
            manufacturer: info.manufacturer.clone(),
            model: info.model.clone(),
            keys: keys.collect(),
        })
    }

    /// Logs in the first time a token is seen; after that the module's own thread does, with the PIN it keeps.
    async fn log_in(&self, name: &str, token: &TokenName) -> Result<(), String> {
        let pin =
            self.wanted().iter_mut().find(|wanted| wanted.name == name).and_then(|wanted| wanted.pin.take());
        let Some(pin) = pin else { return Ok(()) };
        match self.module.login(token, pin).await {
            Ok(()) => Ok(()),
            Err(error) => {
                // Tried once, whatever came of it: a PIN that may be wrong is not tried again by itself.
                let why = format!("{error}; start the agent again to log in");
                if let Some(wanted) = self.wanted().iter_mut().find(|wanted| wanted.name == name) {
                    wanted.refused = Some(why.clone());
                }
                Err(why)
            }
        }
    }
}

impl Device for Tokens {
    fn look(&self) -> Later<'_, Look> {
        Box::pin(async move {
            let names: Vec<_> = self.wanted().iter().map(|wanted| wanted.name.clone()).collect();
            let present = match self.module.tokens().await {
                Ok(present) => present,
                Err(error) => {
                    let missing = names.into_iter().map(|name| (name, error.to_string())).collect();
                    return Look { held: Vec::new(), missing };
                }
            };
            let present: Vec<_> = present.into_iter().filter(|info| info.initialised).collect();
            let mut look = Look::default();
            for name in names {
                match self.look_at(&name, &present).await {
                    Ok(held) => look.held.push(held),
                    Err(why) => look.missing.push((name, why)),
                }
            }
            look
        })
    }

    fn sign(
        &self,
        serial: String,
        id: Vec<u8>,
        scheme: Scheme,
        payload: Payload,
    ) -> Later<'_, Result<Vec<u8>, DeviceRefusal>> {
        Box::pin(async move {
            let payload = match payload {
                Payload::Message(message) | Payload::Word(Word { message, .. }) => {
                    keyward_token::Payload::Message(message)
                }
                Payload::Digest(digest) => keyward_token::Payload::Digest(digest),
            };
            let signed = self.module.sign(&TokenName::new(serial), &id, scheme, payload).await;
            signed.map_err(|error| DeviceRefusal { code: code(&error), message: error.to_string() })
        })
    }
}

/// A token's error under the codes that callers know.
fn code(error: &TokenError) -> Code {
    match error {
        TokenError::TokenMissing { .. } => Code::TokenMissing,
        TokenError::KeyMissing { .. } => Code::TokenKeyMissing,
        TokenError::KeyAmbiguous { .. } => Code::TokenKeyAmbiguous,
        TokenError::PinWrong { .. } | TokenError::PinRefusedBefore { .. } => Code::PinWrong,
        TokenError::PinLocked { .. } => Code::PinLocked,
        TokenError::SchemeNotOffered { .. } | TokenError::SchemeNotOfKey { .. } => Code::SchemeMismatch,
        TokenError::DigestNotSigned { .. } => Code::DigestNotAllowed,
        TokenError::Busy { .. } => Code::ServiceBusy,
        _ => Code::TokenUnavailable,
    }
}
