//! Somebody of our own, to measure what persons do.

use keyward_client::{Client, Login, Password};

use super::site::Site;
use crate::failure::Result;
use crate::sealed::random32;
use crate::service::{As, connect, failed};

const CANNOT: &str = "the person cannot be made";

/// An account with a password.
pub(super) struct Person {
    user: String,
    pub(super) password: Password,
}

impl Person {
    pub(super) async fn register(site: &Site) -> Result<Self> {
        let random = random32()?;
        let mark = hex::encode(random.iter().copied().take(8).collect::<Vec<_>>());
        let (user, password) = (format!("bench-{mark}"), Password::new(hex::encode(&random[..])));
        let password = password.map_err(failed(CANNOT))?;
        let client = connect(&site.profile("app")?, As::Certificate).await?.client;
        client.register(&user, &password).await.map_err(failed(CANNOT))?;
        Ok(Self { user, password })
    }

    /// A login of its own, and a client on a connection of its own in its session.
    pub(super) async fn log_in(&self, site: &Site) -> Result<(Client, Login)> {
        let client = connect(&site.profile("app")?, As::Certificate).await?.client;
        let login = client.login(&self.user, &self.password).await.map_err(failed(CANNOT))?;
        let client = client.with_session(&login.session.token).map_err(failed(CANNOT))?;
        Ok((client.with_account(login.session.account), login))
    }
}
