//! The attached tokens, across all configured modules.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, RwLock},
};

use keyward_domain::{Code, scheme::Scheme};
use keyward_token::{Module, Payload, Pin, TokenError, TokenInfo, TokenKey, TokenName};
use zeroize::Zeroizing;

use crate::{
    failure::Failure,
    ports::{Attached, FoundKey, Later, ToSign, Tokens},
};

/// The modules, and where each token was seen last.
pub(crate) struct Modules {
    modules: Vec<Module>,
    places: RwLock<HashMap<String, usize>>,
    /// How many need each token, by serial, to be logged in.
    needed: Mutex<HashMap<String, usize>>,
}

impl Modules {
    pub(crate) fn new(modules: Vec<Module>) -> Self {
        Self { modules, places: RwLock::default(), needed: Mutex::default() }
    }

    /// The module that holds a token, with what the token says of itself. Two of that name are refused. A module that
    /// does not answer hides no token from whoever names it by its serial; a label might be there a second time.
    pub(crate) async fn locate(&self, name: &str) -> Result<(Module, TokenInfo), TokenError> {
        let (mut found, mut present, mut silent) = (Vec::new(), Vec::new(), None);
        for (index, module) in self.modules.iter().enumerate() {
            let tokens = match module.tokens().await {
                Ok(tokens) => tokens,
                Err(error) => {
                    silent = Some(error);
                    continue;
                }
            };
            for info in tokens.into_iter().filter(|info| info.initialised) {
                present.push(format!("{} ({})", info.label, info.serial));
                if info.serial == name || info.label == name {
                    found.push((index, module, info));
                }
            }
        }
        // A serial number is the token's own; labels may be shared.
        if let Some(exact) = found.iter().position(|(_, _, info)| info.serial == name) {
            found = vec![found.swap_remove(exact)];
        } else if let Some(error) = silent {
            return Err(error);
        }
        let shown = |info: &TokenInfo| format!("{} ({})", info.label, info.serial);
        let wanted = TokenName::new(name);
        match found.as_slice() {
            [] => Err(TokenError::TokenMissing { wanted, present }),
            [(index, module, info)] => {
                let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
                places.insert(info.serial.clone(), *index);
                Ok(((*module).clone(), info.clone()))
            }
            [(_, _, first), (_, _, second), ..] => {
                Err(TokenError::TokenAmbiguous { wanted, first: shown(first), second: shown(second) })
            }
        }
    }

    /// Notes that somebody needs a token to be logged in; says how many do.
    fn need(&self, serial: &str, change: impl Fn(usize) -> usize) -> usize {
        let mut needed = self.needed.lock().unwrap_or_else(PoisonError::into_inner);
        let count = needed.entry(serial.to_owned()).or_default();
        *count = change(*count);
        *count
    }

    /// Keeps a token logged in for as long as the service runs.
    pub(crate) fn keep(&self, serial: &str) {
        self.need(serial, |count| count + 1);
    }

    async fn module_of(&self, serial: &str) -> Result<Module, TokenError> {
        let known = self.places.read().unwrap_or_else(PoisonError::into_inner).get(serial).copied();
        match known.and_then(|index| self.modules.get(index)) {
            Some(module) => Ok(module.clone()),
            None => Ok(self.locate(serial).await?.0),
        }
    }
}

impl Tokens for Modules {
    fn list(&self) -> Later<'_, Result<Vec<Attached>, Failure>> {
        Box::pin(async move {
            let mut all = Vec::new();
            let mut silent = None;
            for module in &self.modules {
                match attached_to(module).await {
                    Ok(tokens) => all.extend(tokens),
                    Err(error) => {
                        tracing::warn!(module = %module.path().display(), %error, "a module does not list its tokens");
                        silent = Some(error);
                    }
                }
            }
            // The tokens of the other modules are there all the same.
            match silent {
                Some(error) if all.is_empty() => Err(failure(error)),
                _ => Ok(all),
            }
        })
    }

    fn find_token(&self, name: String) -> Later<'_, Result<(String, String), Failure>> {
        Box::pin(async move {
            let (_, info) = self.locate(&name).await.map_err(failure)?;
            Ok((info.label, info.serial))
        })
    }

    fn login(&self, serial: String, pin: Zeroizing<Vec<u8>>) -> Later<'_, Result<(), Failure>> {
        Box::pin(async move {
            let pin = Pin::from_bytes(&pin).map_err(failure)?;
            let module = self.module_of(&serial).await.map_err(failure)?;
            self.need(&serial, |count| count + 1);
            let logged_in = module.login(&TokenName::new(&serial), pin).await;
            if logged_in.is_err() {
                self.need(&serial, |count| count.saturating_sub(1));
            }
            logged_in.map_err(failure)
        })
    }

    fn release(&self, serial: String) -> Later<'_, ()> {
        Box::pin(async move {
            if self.need(&serial, |count| count.saturating_sub(1)) > 0 {
                return;
            }
            let logged_out = match self.module_of(&serial).await {
                Ok(module) => module.logout(&TokenName::new(&serial)).await,
                Err(error) => Err(error),
            };
            if let Err(error) = logged_out {
                tracing::warn!(serial, %error, "a token that nobody needs could not be logged out");
            }
        })
    }

    fn find_key(&self, serial: String, label: String, id: Vec<u8>) -> Later<'_, Result<FoundKey, Failure>> {
        Box::pin(async move {
            let module = self.module_of(&serial).await.map_err(failure)?;
            module.find_key(&TokenName::new(serial), &label, &id).await.map(found).map_err(failure)
        })
    }

    fn sign(
        &self,
        serial: String,
        id: Vec<u8>,
        scheme: Scheme,
        what: ToSign,
    ) -> Later<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async move {
            let module = self.module_of(&serial).await.map_err(failure)?;
            let payload = match what {
                ToSign::Message(message) => Payload::Message(message),
                ToSign::Digest(digest) => Payload::Digest(digest),
            };
            module.sign(&TokenName::new(serial), &id, scheme, payload).await.map_err(failure)
        })
    }
}

async fn attached_to(module: &Module) -> Result<Vec<Attached>, TokenError> {
    let mut all = Vec::new();
    for info in module.tokens().await?.into_iter().filter(|info| info.initialised) {
        match module.keys(&TokenName::new(&info.serial)).await {
            Ok(keys) => all.push(attached(module, info, keys)),
            // Taken out, or damaged: the others are still there.
            Err(error) => tracing::warn!(token = info.label, %error, "a token does not list its keys"),
        }
    }
    Ok(all)
}

fn attached(module: &Module, info: TokenInfo, keys: Vec<TokenKey>) -> Attached {
    Attached {
        label: info.label,
        serial: info.serial,
        manufacturer: info.manufacturer,
        model: info.model,
        module: module.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        logged_in: info.logged_in,
        keys: keys.into_iter().map(found).collect(),
    }
}

fn found(key: TokenKey) -> FoundKey {
    FoundKey {
        label: key.label,
        id: key.id,
        kind: key.kind.to_string(),
        public_keys: key.public_keys,
        claims: key.claims.names(),
    }
}

/// A token's error, as callers see it.
pub(crate) fn failure(error: TokenError) -> Failure {
    let code = match &error {
        TokenError::PinWrong { .. } | TokenError::PinRefusedBefore { .. } => Code::PinWrong,
        TokenError::PinLocked { .. } | TokenError::PinGuessed { .. } => Code::PinLocked,
        TokenError::PinMalformed { .. } | TokenError::PinEncoding { .. } | TokenError::PinForm { .. } => {
            Code::InvalidArgument
        }
        TokenError::ModuleMissing { .. } => Code::TokenModuleMissing,
        TokenError::TokenMissing { .. } => Code::TokenMissing,
        TokenError::TokenAmbiguous { .. } => Code::TokenAmbiguous,
        TokenError::KeyMissing { .. } => Code::TokenKeyMissing,
        TokenError::KeyAmbiguous { .. } => Code::TokenKeyAmbiguous,
        TokenError::SchemeNotOffered { .. } | TokenError::SchemeNotOfKey { .. } => Code::SchemeMismatch,
        TokenError::DigestNotSigned { .. } => Code::DigestNotAllowed,
        TokenError::Busy { .. } => Code::ServiceBusy,
        TokenError::Timeout { .. }
        | TokenError::Stopped { .. }
        | TokenError::Device { .. }
        | TokenError::HostEnded { .. }
        | TokenError::PinHeldBack { .. }
        | TokenError::NotLoggedIn { .. }
        | TokenError::PinNotSet { .. }
        | TokenError::ModuleUnusable { .. } => Code::TokenUnavailable,
        _ => Code::Internal,
    };
    match code {
        Code::Internal => Failure::internal(error),
        _ => Failure::because(code, error.to_string(), error),
    }
}
