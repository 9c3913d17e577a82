//! The story, step by step. Whatever does not go as told ends it with an error.

use std::path::{Path, PathBuf};
use std::time::Instant;

use keyward_client::{Client, ClientError, Signature};
use keyward_domain::scheme::Scheme;
use serde_json::Value;

use super::artefacts::{Kept, keep, openssl_arguments, run_openssl, shell};
use super::softhsm;
use crate::commands::verify::{invalid, verify};
use crate::failure::{Failure, Result};
use crate::files;
use crate::local::cluster::Cluster;
use crate::output::Output;
use crate::profile::{FILE, Profile};
use crate::service::{As, connect, failed};

/// One key of the story.
pub(super) struct Actor {
    pub(super) alias: &'static str,
    pub(super) scheme: Scheme,
    pub(super) holder: &'static str,
    pub(super) whose: Whose,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Person,
    App,
    /// Linked by the operator, lent to the app; named by its id.
    Bank,
}

/// A key that signed, and what it left.
pub(super) struct Row {
    pub(super) key: Actor,
    pub(super) signed: Signature,
    pub(super) kept: Kept,
    pub(super) millis: u128,
    /// What openssl says, where it is installed and knows the scheme.
    pub(super) openssl: Option<bool>,
}

pub(super) struct Story<'a> {
    pub(super) output: Output,
    pub(super) message_path: &'a Path,
    pub(super) message: &'a [u8],
    pub(super) folder: PathBuf,
    pub(super) trust: Vec<u8>,
    pub(super) trust_path: PathBuf,
    pub(super) app: Client,
    pub(super) person: Option<Client>,
    pub(super) operator: Client,
    /// Alias, scheme and key id of linked keys.
    pub(super) linked: Vec<(&'static str, Scheme, String)>,
    pub(super) rows: Vec<Row>,
    pub(super) step: u32,
}

/// Tells the story; the answer is its table and the same for programs.
pub(super) async fn tell(
    cluster: &mut Cluster,
    output: Output,
    message_path: &Path,
    message: &[u8],
) -> Result<(String, Value)> {
    let start = Instant::now();
    let softhsm_pin = softhsm::attach(cluster).await?;
    output.note("1. Four validators, a software token and a custody service start, each its own process.");
    cluster.start().await?;
    output.note(format!("   the service listens at {}", cluster.service_url()));
    let mut story = Story::open(cluster, output, message_path, message).await?;
    story.link_keys(cluster, softhsm_pin).await?;
    story.register(cluster).await?;
    story.sign_with_each().await?;
    story.change_a_byte()?;
    story.rotate().await?;
    story.lose_one(cluster).await?;
    story.lose_two(cluster).await?;
    story.recover(cluster).await?;
    Ok(story.end(cluster, start))
}

impl<'a> Story<'a> {
    pub(super) async fn open(
        cluster: &Cluster,
        output: Output,
        message_path: &'a Path,
        message: &'a [u8],
    ) -> Result<Self> {
        let profile = |role: &str| Profile::read(&cluster.layout.profile(role).join(FILE));
        let trust_path = cluster.layout.trust();
        Ok(Self {
            output,
            message_path,
            message,
            folder: message_path.parent().unwrap_or_else(|| Path::new("")).to_path_buf(),
            trust: files::read(&trust_path)?,
            trust_path,
            app: connect(&profile("app")?, As::Certificate).await?.client,
            person: None,
            operator: connect(&profile("operator")?, As::Certificate).await?.client,
            linked: Vec::new(),
            rows: Vec::new(),
            step: 1,
        })
    }

    pub(super) fn step(&mut self, text: &str) {
        self.step += 1;
        self.output.note(format!("\n{}. {text}", self.step));
    }

    pub(super) fn say(&self, text: impl AsRef<str>) {
        self.output.note(format!("   {}", text.as_ref()));
    }

    pub(super) async fn sign(&self, actor: &Actor) -> Result<Signature, ClientError> {
        let id = self.linked.iter().find(|(alias, ..)| *alias == actor.alias).map(|(.., id)| id.as_str());
        let (client, key) = match actor.whose {
            Whose::Bank => (&self.app, id.unwrap_or(actor.alias)),
            Whose::App => (&self.app, actor.alias),
            Whose::Person => (self.person.as_ref().unwrap_or(&self.app), actor.alias),
        };
        client.sign_message(key, self.message).await
    }

    pub(super) async fn sign_with_each(&mut self) -> Result<()> {
        let name = self.message_path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.step(&format!(
            "`{name}` ({} bytes) is signed with each key; each receipt is verified offline.",
            self.message.len()
        ));
        for actor in self.actors() {
            let start = Instant::now();
            let signed = self.sign(&actor).await.map_err(failed("cannot sign"))?;
            let millis = start.elapsed().as_millis();
            let verdict = self.check(&signed.receipt, self.message)?;
            let kept = keep(&self.folder, actor.alias, &signed)?;
            let openssl = self.ask_openssl(&actor, &kept)?;
            self.say(format!(
                "{:<15} {:<15} {millis:>4} ms, record {verdict}, receipt {} bytes: valid",
                actor.alias,
                actor.scheme.name(),
                signed.receipt.len()
            ));
            self.rows.push(Row { key: actor, signed, kept, millis, openssl });
        }
        Ok(())
    }

    /// Has openssl check the files as the reader would; that it refuses one ends the story.
    pub(super) fn ask_openssl(&self, actor: &Actor, kept: &Kept) -> Result<Option<bool>> {
        let Some(arguments) = openssl_arguments(actor.scheme, kept, self.message_path) else {
            return Ok(None);
        };
        let said = run_openssl(&arguments);
        if said == Some(false) {
            let what = format!("openssl does not accept the signature of `{}`", actor.alias);
            return Err(Failure::refused(what, shell("openssl", &arguments)));
        }
        Ok(said)
    }

    /// Verifies offline; the answer is the record's place.
    pub(super) fn check(&self, receipt: &[u8], message: &[u8]) -> Result<u64> {
        verify(&self.trust, receipt, Some(message))
            .map(|verdict| verdict.leaf_index)
            .map_err(|error| invalid(&error))
    }
}
