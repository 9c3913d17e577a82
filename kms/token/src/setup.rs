//! Initialising a token: for the bundled one; a bank's tokens come initialised.

use cryptoki::session::UserType;

use crate::error::TokenError;
use crate::types::{LABEL_BYTES_MAX, Pin, TokenInfo, TokenName};
use crate::worker::{Worker, while_doing};

impl Worker<'_> {
    pub(crate) fn init_token(&self, so_pin: &Pin, pin: &Pin, label: &str) -> Result<TokenInfo, TokenError> {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX || label.trim() != label {
            return Err(TokenError::LabelMalformed { label: label.to_owned() });
        }
        let present = self.library.present(self)?;
        if present.iter().any(|(_, info)| info.token_initialized() && info.label() == label) {
            return Err(TokenError::TokenExists { label: label.to_owned() });
        }
        let free = present.into_iter().find(|(_, info)| !info.token_initialized());
        let Some((slot, _)) = free else { return Err(TokenError::NoFreeSlot {}) };
        let token = TokenName::new(label);
        let library = self.library.pkcs11().clone();
        library.init_token(slot, so_pin.auth(), label).map_err(while_doing(&token, "initialise itself"))?;
        let session = library.open_rw_session(slot).map_err(while_doing(&token, "open a session"))?;
        session
            .login(UserType::So, Some(so_pin.auth()))
            .map_err(while_doing(&token, "log its security officer in"))?;
        session.init_pin(pin.auth()).map_err(while_doing(&token, "set its user pin"))?;
        session.logout().map_err(while_doing(&token, "log its security officer out"))?;
        drop(session);
        let info = library.get_token_info(slot).map_err(while_doing(&token, "describe itself"))?;
        Ok(self.library.describe(&info))
    }
}
