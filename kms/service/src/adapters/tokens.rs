//! The attached tokens, across all configured modules.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
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
}

impl Modules {
    pub(crate) fn new(modules: Vec<Module>) -> Self {
        Self { modules, places: RwLock::default() }
    }

    /// The module that holds a token, with what the token says of itself. Two of that name are refused.
    pub(crate) async fn locate(&self, name: &str) -> Result<(Module, TokenInfo), TokenError> {
        let (mut found, mut present) = (Vec::new(), Vec::new());
        for (index, module) in self.modules.iter().enumerate() {
            for info in module.tokens().await?.into_iter().filter(|info| info.initialised) {
                present.push(format!("{} ({})", info.label, info.serial));
                if info.serial == name || info.label == name {
                    found.push((index, module, info));
                }
            }
        }
        // A serial number is the token's own; labels may be shared.
        if let Some(exact) = found.iter().position(|(_, _, info)| info.serial == name) {
            found = vec![found.swap_remove(exact)];
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
            for module in &self.modules {
                for info in module.tokens().await.map_err(failure)? {
                    if !info.initialised {
                        continue;
                    }
                    let keys = module.keys(&TokenName::new(&info.serial)).await.map_err(failure)?;
                    all.push(attached(module, info, keys));
                }
            }
            Ok(all)
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
            module.login(&TokenName::new(serial), pin).await.map_err(failure)
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
        TokenError::PinLocked { .. } => Code::PinLocked,
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
