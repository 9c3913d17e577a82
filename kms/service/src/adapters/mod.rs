//! The real ledger, keepers, tokens, key-encryption key, clock and couriers behind the ports.

pub(crate) mod keepers;
pub(crate) mod kek;
pub(crate) mod ledger;
pub(crate) mod smtp;
mod tls;
pub(crate) mod tokens;
pub(crate) mod webhook;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use self::{smtp::Mailer, webhook::Webhook};
use crate::{
    config::{NoticesConfig, NoticesError},
    ports::{Clock, Courier},
};

/// The machine's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The couriers of programs and of mail, as far as they are configured.
#[derive(Clone, Default)]
pub(crate) struct Couriers {
    pub(crate) webhook: Option<Arc<dyn Courier>>,
    pub(crate) mail: Option<Arc<dyn Courier>>,
}

/// Those of a configuration; none of them speaks to anybody yet.
pub(crate) fn couriers(config: &NoticesConfig) -> Result<Couriers, NoticesError> {
    let webhook = config.webhook.as_ref().map(Webhook::new).transpose()?;
    let mail = config.mail.as_ref().map(Mailer::new).transpose()?;
    Ok(Couriers {
        webhook: webhook.map(|webhook| Arc::new(webhook) as Arc<dyn Courier>),
        mail: mail.map(|mail| Arc::new(mail) as Arc<dyn Courier>),
    })
}
