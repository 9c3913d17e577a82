//! Taking an account back: `keyward delegate recover`, `sign`, `cancel` and `execute`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use keyward_client::Password;
use keyward_client::delegation::Request;
use keyward_domain::UserName;
use serde_json::json;

use super::word::Word;
use super::{Context, Keep, Name, parse_account, parse_id, read, tell, write};
use crate::commands::token::ask;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::local::prepare::read_pin;
use crate::output::aside;
use crate::service::{As, connect, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Recover {
    /// The account's user name.
    user_name: String,
    #[command(flatten)]
    name: Name,
    /// The account's id, if you know it: nothing is made for another one that the service may have under the name.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// A file of mode 0600 that holds the new password; without it, the password is asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Where the request is written.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
}

impl Recover {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        files::distinct([&self.request].into_iter().chain(&self.password_file).map(PathBuf::as_path))?;
        let user = UserName::parse(&self.user_name)
            .map_err(|error| Failure::of_coded("cannot use the user name", &error))?;
        let account = self.account.as_deref().map(parse_account).transpose()?;
        let (name, password) = (self.name.id()?, self.new_password()?);
        let client = connect(&context.profile()?, As::Certificate).await?.client;
        let waiting = context.output.wait_for("the new password is stretched");
        let request = client.begin_recovery(user.as_str(), &password, &name, account).await;
        let request = request.map_err(failed("cannot begin the recovery"))?;
        drop(waiting);
        let next = format!(
            "nothing is changed yet. Give the file to the delegates, and read the fingerprint out to each of them by voice: they sign \
             (`keyward delegate sign {0}`), and one sends it (`keyward delegate send {0}`). Once it was executed, log in as `{user}` with the \
             new password",
            self.request.display()
        );
        write(context, &request, &self.request, &next)
    }

    fn new_password(&self) -> Result<Password> {
        let text = match &self.password_file {
            Some(path) => read_pin(path)?,
            None => {
                let text = ask("new password: ")?;
                if *ask("new password again: ")? != *text {
                    return Err(Failure::usage("the passwords differ", "type the same password twice"));
                }
                text
            }
        };
        Password::new(text.to_string()).map_err(failed("cannot use the password"))
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Sign {
    /// The request; your signature is added to this file.
    request: PathBuf,
    /// The fingerprint as its maker read it out to you by voice; without it, it is asked for. A stranger's request looks the
    /// same as your friend's.
    #[arg(long, value_name = "DIGITS")]
    fingerprint: Option<String>,
    /// Of a request to sign for somebody: writes the message here, to be read first, and signs nothing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fingerprint", "password_file"])]
    message: Option<PathBuf>,
    #[command(flatten)]
    word: Word,
}

impl Sign {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        files::distinct(
            [&self.request]
                .into_iter()
                .chain(&self.message)
                .chain(&self.word.password_file)
                .map(PathBuf::as_path),
        )?;
        let mut request = read(&self.request)?;
        aside(&format!("you are asked to {}", request.describe()));
        if let Some(path) = &self.message {
            return show_message(context, &request, path);
        }
        let heard = self.heard()?;
        let (client, login) = self.word.login(context).await?;
        let signed = client.sign_request(&login, &mut request, &heard).await;
        signed.map_err(failed("cannot sign the request"))?;
        let next = format!(
            "pass it on to the next delegate, or hand it in once enough have signed: `keyward delegate send {}`",
            self.request.display()
        );
        write(context, &request, &self.request, &next)
    }

    fn heard(&self) -> Result<String> {
        if let Some(heard) = &self.fingerprint {
            return Ok(heard.clone());
        }
        let missing = || {
            Failure::usage(
                "nobody has said which request is meant",
                "call the person who made it, and give the fingerprint that they read out with `--fingerprint`",
            )
        };
        if !std::io::stdin().is_terminal() {
            return Err(missing());
        }
        aside("call the person who made the request, and type the fingerprint that they read out:");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(|error| missing().because(&error))?;
        Ok(line)
    }
}

fn show_message(context: &Context, request: &Request, path: &Path) -> Result<()> {
    let message = request.message().ok_or_else(|| {
        Failure::refused(
            "the request holds no message",
            "ask its maker what it is for: it names a digest, or is about a recovery",
        )
    })?;
    files::write(path, message, Access::Secret)?;
    let words = format!("the message is in `{}`; nothing is signed yet", path.display());
    context
        .output
        .answer(words, &json!({ "message": path.display().to_string(), "asks": request.describe() }));
    Ok(())
}

pub(super) async fn cancel(context: &Context, opened: &Path, request: &Path) -> Result<()> {
    files::distinct([opened, request])?;
    let client = connect(&context.profile()?, As::Whoever).await?.client;
    let made = client.request_cancel(&read(opened)?).await.map_err(failed("cannot take it back"))?;
    let next = format!(
        "as many delegates sign it as it takes to open a recovery (`keyward delegate sign {0}`), and one sends it (`keyward delegate send {0}`)",
        request.display()
    );
    write(context, &made, request, &next)
}

#[derive(Debug, clap::Args)]
pub(super) struct Execute {
    /// The request that the recovery was opened with.
    request: PathBuf,
    /// The approval case by which the judges decided, if the recovery was disputed (`keyward approve ask --dispute ACCOUNT`).
    #[arg(long, value_name = "CASE ID")]
    judged: Option<String>,
    #[command(flatten)]
    word: Word,
    #[command(flatten)]
    keep: Keep,
}

impl Execute {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let paths = self.keep.receipt.iter().chain(&self.word.password_file).chain([&self.request]);
        files::distinct(paths.map(PathBuf::as_path))?;
        let judged = self
            .judged
            .as_ref()
            .map(|id| parse_id(id, "copy it from `keyward approve ask --dispute ACCOUNT`"))
            .transpose()?;
        let request = read(&self.request)?;
        let (client, login) = self.word.login(context).await?;
        let done = client.execute_recovery(&login, &request, judged).await;
        let done = done.map_err(failed("cannot execute the recovery"))?;
        let account = request.account().map(hex::encode);
        let words = format!(
            "account {} has its new credential on the ledger; within moments the service binds the new login and ends every older session\n\
             its holder logs in with the new password (`keyward account login`; if it is refused at first, once more a minute later), looks at `keyward delegate list`, and seals vaults anew. \
             Hosted keys sign again. A key of mode `self` does not come back with the account: it lies where the old password sealed it, and \
             only a vault of mode `vault`, whose own password is known, opens without that",
            account.as_deref().unwrap_or_default()
        );
        tell(context, &words, &done, &self.keep, &json!({ "account": account }))
    }
}
