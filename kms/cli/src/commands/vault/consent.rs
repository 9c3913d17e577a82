//! `keyward vault consent`: one's word for somebody else's recovery, after the digits were compared with that person.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use keyward_client::vault::{ConsentError, VaultAttempt};
use keyward_client::{Petition, party_words};
use keyward_domain::Mode;
use serde_json::json;

use super::{Context, named};
use crate::commands::key::parse_key;
use crate::commands::own::{PasswordFrom, unlock};
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::output::aside;
use crate::service::{As, connect, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Consent {
    /// What `keyward vault recover --request` wrote, or what came back from somebody else who consented.
    request: PathBuf,
    /// Signs with this key, by alias or key id: one in a token, or one of mode `self` on this device. Without it, with the
    /// login of whoever is logged in.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The twenty digits that the person who recovers reads out; without it, they are asked for.
    #[arg(long, value_name = "DIGITS")]
    fingerprint: Option<String>,
    /// Writes the consent here, for the person who recovers; without it, it is printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Signs as the certificate's holder, even if somebody is logged in; with `--key`.
    #[arg(long, requires = "key")]
    as_certificate: bool,
    #[command(flatten)]
    password: PasswordFrom,
}

const CANNOT: &str = "cannot consent";

impl Consent {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let named = self.out.iter().chain([&self.request]).map(PathBuf::as_path);
        files::distinct(named.chain(self.password.paths()))?;
        let mut petition = read(&self.request)?;
        let attempt = *petition.attempt().ok_or_else(|| failed(CANNOT)(ConsentError::OtherAct))?;
        context.output.note(words(&petition, &attempt));
        self.compare(&petition.fingerprint())?;
        let before = petition.authors().to_vec();
        self.sign(context, &mut petition).await?;
        let author = petition.authors().iter().find(|author| !before.contains(author));
        let by = author.map(|author| party_words(author.party)).unwrap_or_default();
        let not_after = author.map_or(0, |author| author.not_after);
        let text = petition.to_text();
        let place = match &self.out {
            Some(path) => {
                files::write(path, text.as_bytes(), Access::Public)?;
                format!("it is in `{}`", path.display())
            }
            None => format!("it is this line:\n{}", text.trim_end()),
        };
        let human =
            format!("{by} consents, up to height {not_after}; give it to the person who recovers: {place}");
        let json = json!({
            "by": by, "fingerprint": petition.fingerprint(), "account": hex::encode(attempt.vault.owner),
            "not_after": not_after, "consent": text.trim_end(),
        });
        context.output.answer(human, &json);
        Ok(())
    }

    /// Who only has the file may be deceived by a stranger's; who has heard the digits is not.
    fn compare(&self, wanted: &str) -> Result<()> {
        let heard = match &self.fingerprint {
            Some(digits) => digits.clone(),
            None if std::io::stdin().is_terminal() => {
                aside(
                    "ask the person who recovers, by voice, for the twenty digits of the request, and type them:",
                );
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).map_err(|error| {
                    Failure::usage("the digits cannot be read", "give them with `--fingerprint`")
                        .because(&error)
                })?;
                line
            }
            None => {
                let next = "give the digits that the person who recovers reads out with `--fingerprint`";
                return Err(Failure::usage("nobody has compared the request's digits", next));
            }
        };
        let plain = |text: &str| -> String {
            text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
        };
        if plain(&heard) == plain(wanted) {
            return Ok(());
        }
        let failure = Failure::refused(
            "these are not the digits of this request: it may be a stranger's",
            "sign nothing, and ask the person who recovers for the request once more",
        );
        Err(named(failure, "CONSENT_OTHER_ATTEMPT"))
    }

    async fn sign(&self, context: &Context, petition: &mut Petition) -> Result<()> {
        let profile = context.profile()?;
        let Some(key) = &self.key else {
            let service = connect(&profile, As::Whoever).await?;
            if !service.person {
                let next = "log in first (`keyward account login`), or sign with a key (`--key`)";
                return Err(Failure::refused("nobody is logged in", next));
            }
            let own = unlock(context.output, &profile, &service.client, &self.password).await?;
            return own.client.consent(&own.login, petition).await.map_err(failed(CANNOT));
        };
        let key = parse_key(key)?;
        let service = connect(&profile, As::of(self.as_certificate)).await?;
        let shown = service.client.show_key(&key).await.map_err(failed(CANNOT))?;
        if Mode::from_name(&shown.mode) != Some(Mode::Own) {
            let waiting = context.output.wait_for("the token signs");
            let signed = service.client.consent_with_token(&key, petition).await;
            drop(waiting);
            return signed.map_err(failed(CANNOT));
        }
        let own = unlock(context.output, &profile, &service.client, &self.password).await?;
        let key =
            own.client.own_key(&key, &own.device, &own.login.export_key).await.map_err(failed(CANNOT))?;
        own.client.consent_with_own_key(&key, petition).await.map_err(failed(CANNOT))
    }
}

/// A petition from a file.
pub(super) fn read(path: &std::path::Path) -> Result<Petition> {
    Petition::parse(&files::read_text(path)?).map_err(|error| failed(CANNOT)(ConsentError::from(error)))
}

/// What is signed, as far as the request itself says it.
fn words(petition: &Petition, attempt: &VaultAttempt) -> String {
    let signed: Vec<_> = petition.authors().iter().map(|author| party_words(author.party)).collect();
    let signed = if signed.is_empty() { "nobody yet".to_owned() } else { signed.join(", ") };
    format!(
        "you are asked to sign one attempt at a vault: whoever made this request may then guess once at its password, and has \
         the keys in it if the guess is right\n  account      {}\n  vault id     {}, version {}\n  signed by    {signed}\n  \
         fingerprint  {}",
        hex::encode(attempt.vault.owner),
        hex::encode(attempt.vault.name),
        attempt.version,
        petition.fingerprint(),
    )
}
