//! `keyward key create`: where the private part lives is the mode.

use std::path::PathBuf;

use keyward_client::KeyWithReceipt;
use keyward_domain::scheme::Scheme;
use keyward_domain::{Alias, Mode};

use super::answer::answer_change;
use super::{Context, parse_scheme};
use crate::commands::own::{PasswordFrom, not_for_apps, unlock, warn_only_here};
use crate::failure::{Failure, Result};
use crate::files;
use crate::service::{Service, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// What to call it.
    #[arg(long)]
    alias: String,
    /// What it signs with: ecdsa-secp256k1, bip340, ecdsa-p256 or ed25519.
    #[arg(long)]
    scheme: String,
    /// Where its private part lives: `self` on this device alone, under the password (for a person, unless told
    /// otherwise), `hosted` sealed with the service (for an app, always).
    #[arg(long, value_parser = ["self", "hosted"])]
    mode: Option<String>,
    #[command(flatten)]
    password: PasswordFrom,
    /// Writes the receipt of its binding here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl Create {
    pub(super) async fn run(self, context: &Context, service: &Service) -> Result<()> {
        let cannot = "cannot make the key";
        let secret = &self.password.password_file;
        files::distinct(self.receipt.iter().chain(secret).map(PathBuf::as_path))?;
        let alias = Alias::parse(&self.alias).map_err(|error| Failure::of_coded(cannot, &error))?.to_string();
        let scheme = parse_scheme(&self.scheme)?;
        let mode = mode(self.mode.as_deref(), service.person)?;
        if mode == Mode::Own {
            let made = self.own(context, service, &alias, scheme).await?;
            answer_change(context, "made", &made, self.receipt)?;
            warn_only_here(&alias);
            return Ok(());
        }
        let made = match service.person {
            true => service.client.create_person_key(&alias, scheme).await,
            false => service.client.create_app_key(&alias, scheme).await,
        };
        answer_change(context, "made", &made.map_err(failed(cannot))?, self.receipt)
    }

    async fn own(
        &self,
        context: &Context,
        service: &Service,
        alias: &str,
        scheme: Scheme,
    ) -> Result<KeyWithReceipt> {
        let profile = context.profile()?;
        let own = unlock(context.output, &profile, &service.client, &self.password).await?;
        let made = own.client.create_own_key(alias, scheme, &own.device, &own.login.export_key).await;
        made.map_err(failed("cannot make the key"))
    }
}

/// The mode that is meant: a person's own, unless told otherwise.
fn mode(asked: Option<&str>, person: bool) -> Result<Mode> {
    match (asked.and_then(Mode::from_name), person) {
        (None | Some(Mode::Own), true) => Ok(Mode::Own),
        (Some(Mode::Own), false) => Err(not_for_apps()),
        (None | Some(Mode::Hosted | Mode::Linked), _) => Ok(Mode::Hosted),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn persons_keep_their_keys_unless_told_otherwise_and_apps_never_do() {
        assert_eq!(mode(None, true).unwrap(), Mode::Own);
        assert_eq!(mode(Some("self"), true).unwrap(), Mode::Own);
        assert_eq!(mode(Some("hosted"), true).unwrap(), Mode::Hosted);
        assert_eq!(mode(None, false).unwrap(), Mode::Hosted);
        assert_eq!(mode(Some("hosted"), false).unwrap(), Mode::Hosted);
        assert_eq!(mode(Some("self"), false).unwrap_err().exit, Exit::Usage);
    }
}
