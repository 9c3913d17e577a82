//! `keyward key rotate`, `destroy`, `cancel-destroy` and `label`.

use std::path::PathBuf;

use keyward_client::RotateTo;
use keyward_domain::{Labels, Mode, label};
use zeroize::Zeroizing;

use super::answer::{answer_change, answer_next, moment};
use super::{Context, parse_key};
use crate::commands::own::{PasswordFrom, not_for_apps, unlock, warn_only_here};
use crate::failure::{Failure, Result};
use crate::files;
use crate::local::prepare::read_pin;
use crate::service::{Service, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Rotate {
    /// Alias, or key id in hex.
    key: String,
    /// For a linked key: the token with the key that takes over, by label or serial.
    #[arg(long)]
    token: Option<String>,
    /// The label of that key in the token.
    #[arg(long, default_value = "", requires = "token")]
    label: String,
    /// Its id (CKA_ID) in hex, where labels are not unique.
    #[arg(long, value_name = "HEX", default_value = "", requires = "token")]
    id: String,
    /// The token agent that the token is attached to.
    #[arg(long, value_name = "NAME", requires = "token", conflicts_with = "pin_file")]
    agent: Option<String>,
    /// A file of mode 0600 that holds the PIN of another token than the present version's.
    #[arg(long, value_name = "FILE", requires = "token")]
    pin_file: Option<PathBuf>,
    /// For a person's hosted key: the next version is one of mode `self`.
    #[arg(long, value_parser = ["self"], conflicts_with = "token")]
    mode: Option<String>,
    #[command(flatten)]
    password: PasswordFrom,
    /// Writes the receipt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl Rotate {
    pub(super) async fn run(self, context: &Context, service: &Service) -> Result<()> {
        let named = self.receipt.iter().chain(&self.pin_file).map(PathBuf::as_path);
        files::distinct(named.chain(self.password.paths()))?;
        let key = parse_key(&self.key)?;
        let client = &service.client;
        let rotated = match self.to()? {
            Some(to) => client.rotate_to_token(&key, to).await,
            None if self.is_own(service, &key).await? => {
                let own = unlock(context.output, &context.profile()?, client, &self.password).await?;
                own.client.rotate_own_key(&key, &own.device, &own.login.export_key).await
            }
            None if service.person => client.rotate_person_key(&key).await,
            None => client.rotate_app_key(&key).await,
        };
        let rotated = rotated.map_err(failed("cannot rotate the key"))?;
        if rotated.key.mode == Mode::Own.name() {
            warn_only_here(&rotated.key.alias);
        }
        let version = rotated.key.version;
        let next = format!(
            "`{}` means version {version} from now on; version {} verifies what it signed. Apps that were \
             authorised for it are to be authorised again",
            rotated.key.alias,
            version.saturating_sub(1),
        );
        answer_next(context, &format!("rotated to version {version}"), &rotated, self.receipt, &next)
    }

    /// Whether the next version is one of mode `self`: the present one is, or it is wanted.
    async fn is_own(&self, service: &Service, key: &str) -> Result<bool> {
        match (&self.mode, service.person) {
            (None, false) => return Ok(false),
            (Some(_), false) => return Err(not_for_apps()),
            (Some(_), true) => return Ok(true),
            (None, true) => {}
        }
        let key = service.client.show_key(key).await.map_err(failed("cannot rotate the key"))?;
        Ok(key.mode == Mode::Own.name())
    }

    fn to(&self) -> Result<Option<RotateTo>> {
        let Some(token) = self.token.clone() else { return Ok(None) };
        let id = hex::decode(&self.id).map_err(|error| {
            Failure::usage(format!("`{}` is not hex", self.id), "see `keyward token list` for ids")
                .because(&error)
        })?;
        if self.label.is_empty() && id.is_empty() {
            return Err(Failure::usage("no key of the token is named", "give `--label` or `--id`"));
        }
        let pin = match &self.pin_file {
            Some(path) => Zeroizing::new(read_pin(path)?.as_bytes().to_vec()),
            None => Zeroizing::default(),
        };
        let agent = self.agent.clone().unwrap_or_default();
        Ok(Some(RotateTo { token, key_label: self.label.clone(), id, agent, pin }))
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Destroy {
    /// Alias, alias@version, or key id in hex.
    key: String,
    /// How long to wait: a number with s, m, h or d, as `30d`; without it, the service's shortest time.
    #[arg(long, value_name = "TIME", value_parser = parse_wait)]
    wait: Option<u64>,
    /// Not offered: a key is destroyed at the end of its waiting period, never at once.
    #[arg(long, hide = true)]
    now: bool,
    /// Writes the receipt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl Destroy {
    pub(super) async fn run(self, context: &Context, service: &Service) -> Result<()> {
        let key = parse_key(&self.key)?;
        if self.now {
            let code = keyward_domain::Code::DestructionEarly;
            return Err(Failure::refused("a key is not destroyed at once", "").coded(code));
        }
        let scheduled = service.client.schedule_destruction(&key, self.wait.unwrap_or(0)).await;
        let scheduled = scheduled.map_err(failed("cannot schedule the key's destruction"))?;
        let when = moment(scheduled.key.destroy_after_unix_ms);
        let token = match scheduled.key.mode.as_str() {
            "linked" => {
                "; the token keeps its private key, which only the token's own tool removes, and is never bound again"
            }
            "self" => "; the file on your device stays: it would sign nothing any more that anybody records",
            _ => "",
        };
        let next = format!(
            "it signs nothing from now on and is destroyed after {when}{token}. Until then \
             `keyward key cancel-destroy` takes it back"
        );
        answer_next(context, "scheduled for destruction", &scheduled, self.receipt, &next)
    }
}

pub(super) async fn cancel(
    context: &Context,
    service: &Service,
    key: &str,
    receipt: Option<PathBuf>,
) -> Result<()> {
    let kept = service.client.cancel_destruction(&parse_key(key)?).await;
    let kept = kept.map_err(failed("cannot cancel the destruction"))?;
    if kept.key.state == "superseded" {
        return answer_change(context, "kept", &kept, receipt);
    }
    let next = "it is frozen: a security officer lets it sign again with `keyward key unfreeze`";
    answer_next(context, "kept", &kept, receipt, next)
}

#[derive(Debug, clap::Args)]
pub(super) struct Label {
    /// Alias, alias@version, or key id in hex.
    key: String,
    /// Sets a label.
    #[arg(long, value_name = "KEY=VALUE", required_unless_present = "remove")]
    set: Vec<String>,
    /// Removes a label.
    #[arg(long, value_name = "KEY")]
    remove: Vec<String>,
    /// Writes the receipt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl Label {
    pub(super) async fn run(self, context: &Context, service: &Service) -> Result<()> {
        let set = self.set.iter().map(|text| parse_label(text)).collect::<Result<Labels>>()?;
        let labelled = service.client.set_labels(&parse_key(&self.key)?, &set, &self.remove).await;
        let labelled = labelled.map_err(failed("cannot label the key"))?;
        answer_change(context, "labelled", &labelled, self.receipt)
    }
}

/// A label as people write it.
pub(super) fn parse_label(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').ok_or_else(|| {
        Failure::usage(format!("`{text}` is not a label"), "write it as KEY=VALUE")
            .coded(keyward_domain::Code::LabelInvalid)
    })?;
    label::check_label(key, value).map_err(|error| Failure::of_coded("cannot use the label", &error))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// `90s`, `30m`, `12h` or `30d`, in milliseconds; at least one.
pub(crate) fn parse_wait(text: &str) -> std::result::Result<u64, String> {
    let wrong = || format!("`{text}` is not a time: write a number and s, m, h or d");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms: u64 = match text.get(digits.len()..) {
        Some("s") => 1_000,
        Some("m") => 60_000,
        Some("h") => 3_600_000,
        Some("d") => 86_400_000,
        _ => return Err(wrong()),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = digits.parse().map_err(|_too_long| wrong())?;
    match number.checked_mul(unit_ms) {
        Some(0) | None => Err(wrong()),
        Some(wait_ms) => Ok(wait_ms),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn waiting_periods_have_a_number_and_a_unit() {
        for (text, wait_ms) in
            [("1s", 1_000), ("90m", 5_400_000), ("12h", 43_200_000), ("30d", 2_592_000_000)]
        {
            assert_eq!(parse_wait(text).unwrap(), wait_ms, "{text}");
        }
        for text in
            ["", "d", "7", "0d", "-1d", "+1d", "1.5d", "1 d", "1w", "1D", "d1", "18446744073709551615d"]
        {
            assert!(parse_wait(text).is_err(), "{text}");
        }
    }

    #[test]
    fn labels_are_written_with_an_equals_sign() {
        assert_eq!(parse_label("team=a=b").unwrap(), ("team".into(), "a=b".into()));
        for text in ["team", "=x", "Team=x", "team=\n"] {
            assert!(parse_label(text).is_err(), "{text:?}");
        }
    }
}
