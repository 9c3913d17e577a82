//! `keyward approve give`, `refuse` and `withdraw`: a word about a case, after it was shown.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use keyward_client::approvals::{ApprovalError, Done, ShownCase, Voice, Withdrawn};
use keyward_client::{Client, Login};
use serde_json::json;

use super::{Context, Keep, failed, parse_id, show, tell};
use crate::commands::delegate::word::Word;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::aside;
use crate::service::{As, connect, waiting};

/// Who speaks: the person who is logged in, or a linked key.
#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Speaker {
    /// Speaks with this linked key of yours, by its alias or id, instead of your account: the token signs, attached to the
    /// service or at a token agent, which shows what it is.
    #[arg(long, value_name = "KEY", conflicts_with = "password_file")]
    pub(super) token: Option<String>,
    /// How long to wait for the token, in seconds: at a token agent's desk a person may have to read what is signed.
    #[arg(long, value_name = "SECONDS", requires = "token", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) wait: Option<u64>,
    #[command(flatten)]
    pub(in crate::commands) word: Word,
}

/// A client, and who speaks through it.
pub(in crate::commands) struct Speaking<'a> {
    pub(in crate::commands) client: Client,
    login: Option<Login>,
    token: Option<&'a str>,
}

impl Speaker {
    pub(in crate::commands) async fn open(&self, context: &Context) -> Result<Speaking<'_>> {
        if let Some(token) = self.token.as_deref() {
            let client = waiting(connect(&context.profile()?, As::Whoever).await?.client, self.wait);
            return Ok(Speaking { client, login: None, token: Some(token) });
        }
        let (client, login) = self.word.login(context).await?;
        Ok(Speaking { client, login: Some(login), token: None })
    }

    /// A client to read with, and the account of who is logged in.
    pub(super) async fn reader(context: &Context) -> Result<(Client, Option<[u8; 32]>)> {
        let profile = context.profile()?;
        let client = connect(&profile, As::Whoever).await?.client;
        let own = profile.session()?.map(|kept| kept.account()).transpose()?;
        Ok((client, own))
    }
}

impl Speaking<'_> {
    pub(in crate::commands) fn voice(&self) -> Result<Voice<'_>> {
        match (&self.login, self.token) {
            (Some(login), _) => Ok(Voice::Account(login)),
            (None, Some(token)) => Ok(Voice::Token(token)),
            (None, None) => {
                Err(Failure::refused("nobody is logged in", "log in first (`keyward account login`)"))
            }
        }
    }

    /// Whose rules are meant where nobody says.
    pub(super) fn account(&self) -> Option<[u8; 32]> {
        self.login.as_ref().map(|login| login.session.account)
    }
}

/// A word about a case.
#[derive(Debug, clap::Args)]
pub(super) struct Say {
    /// The case, 64 hex digits.
    case: String,
    #[command(flatten)]
    speaker: Speaker,
    #[command(flatten)]
    keep: Keep,
}

#[derive(Debug, clap::Args)]
pub(super) struct Give {
    #[command(flatten)]
    say: Say,
    /// For which group of the rule, from 0; without it, the first that names you and still lacks approvals.
    #[arg(long, value_name = "N")]
    group: Option<u8>,
    /// The hash that `keyward approve show` printed, all of it: you approve that, and nothing else. Without it, you are shown
    /// the case and asked.
    #[arg(long, value_name = "HEX")]
    hash: Option<String>,
}

impl Give {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let cannot = failed("cannot approve");
        let (opened, case) = self.say.open(context).await?;
        let shown = opened.client.approval_case(&case).await.map_err(&cannot)?;
        shown.check_open().map_err(&cannot)?;
        if shown.about.is_none() {
            return Err(cannot(ApprovalError::Unseen));
        }
        self.agreed(&shown)?;
        let done = opened.client.give_approval(opened.voice()?, &shown, self.group).await.map_err(&cannot)?;
        self.say.tell(context, "approved", &shown, &done)
    }

    /// The person has seen what the hash is of.
    fn agreed(&self, shown: &ShownCase) -> Result<()> {
        let hash = hex::encode(shown.case.payload);
        if let Some(said) = &self.hash {
            // A part of it would do for nobody: who asks chooses the opening, and could find two payloads that share a part.
            let is_it = *said == hash;
            let other = || {
                Failure::refused(
                    "the case is about another hash than you have said",
                    "look at it again (`keyward approve show`)",
                )
            };
            return if is_it {
                Ok(())
            } else {
                Err(Failure { code: Some("CASE_PAYLOAD".into()), ..other() })
            };
        }
        let unseen = || {
            Failure::usage(
                "nobody has said what is approved",
                "look at the case (`keyward approve show`), and give its hash with `--hash`",
            )
        };
        if !std::io::stdin().is_terminal() {
            return Err(unseen());
        }
        aside(&show::words(shown));
        aside("approve exactly this? type `yes`:");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(|error| unseen().because(&error))?;
        if line.trim() == "yes" {
            Ok(())
        } else {
            Err(Failure::refused(
                "nothing was approved",
                "refuse the case if it should not be (`keyward approve refuse`)",
            ))
        }
    }
}

impl Say {
    async fn open(&self, context: &Context) -> Result<(Speaking<'_>, [u8; 32])> {
        files::distinct(
            self.keep.receipt.iter().chain(&self.speaker.word.password_file).map(PathBuf::as_path),
        )?;
        let case = parse_id(&self.case, "copy it from `keyward approve list`")?;
        Ok((self.speaker.open(context).await?, case))
    }

    pub(super) async fn refuse(self, context: &Context) -> Result<()> {
        let cannot = failed("cannot refuse");
        let (opened, case) = self.open(context).await?;
        let shown = opened.client.approval_case(&case).await.map_err(&cannot)?;
        let done = opened.client.refuse_approval(opened.voice()?, &shown).await.map_err(&cannot)?;
        self.tell(context, "refused: the case is closed", &shown, &done)
    }

    pub(super) async fn withdraw(self, context: &Context) -> Result<()> {
        let cannot = failed("cannot withdraw");
        let (opened, case) = self.open(context).await?;
        let shown = opened.client.approval_case(&case).await.map_err(&cannot)?;
        let withdrawn = opened.client.withdraw_approval(opened.voice()?, &shown).await.map_err(&cannot)?;
        let done = match withdrawn {
            Withdrawn::Recorded(done) => done,
            Withdrawn::Here => {
                self.tell_here(context, &shown);
                return Ok(());
            }
        };
        // Who speaks with a key may be the initiator or an approver: the case says which.
        let now = opened.client.approval_case(&case).await;
        let closed = now.is_ok_and(|now| now.status != shown.status);
        let words = if closed { "withdrawn: the case is closed" } else { "your approval is taken back" };
        self.tell(context, words, &shown, &done)
    }

    /// Of what the ledger has no entry there is no receipt.
    fn tell_here(&self, context: &Context, shown: &ShownCase) {
        let (case, hash) = (hex::encode(shown.case.id), hex::encode(shown.case.payload));
        let kept = self
            .keep
            .receipt
            .as_ref()
            .map(|path| format!("\n  receipt  none: nothing was written to {}", path.display()));
        let said = format!(
            "withdrawn at the service: what the case was about is erased there, and nothing can be signed by it any more. The ledger has \
             no entry of this, because one would name who asked; there the case stays until its time is over\n  case     {case}\n  \
             hash     {hash}{}",
            kept.unwrap_or_default()
        );
        context.output.answer(said, &json!({ "case": case, "hash": hash, "recorded": false }));
    }

    fn tell(&self, context: &Context, words: &str, shown: &ShownCase, done: &Done) -> Result<()> {
        let (case, hash) = (hex::encode(shown.case.id), hex::encode(shown.case.payload));
        let said = format!("{words}\n  case     {case}\n  hash     {hash}");
        tell(context, &said, done, &self.keep, &json!({ "case": case, "hash": hash }))
    }
}
