//! `keyward approve ask`: opens a case about one exact thing.

use std::path::{Path, PathBuf};

use keyward_client::Client;
use keyward_client::addresses::AddressOrder;
use keyward_client::approvals::{About, Case, Signing};
use keyward_domain::meaning::{Form, Meaning};
use keyward_domain::payload::MESSAGE_LEN_MAX;
use keyward_domain::scheme::{KeyId, Scheme};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::speak::Speaker;
use super::{Context, Keep, NamedRule, failed, parse_id, tell};
use crate::commands::key::life::parse_wait;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::aside;
use crate::service::{As, connect};

#[derive(Debug, clap::Args)]
pub(super) struct Ask {
    #[command(flatten)]
    rule: NamedRule,
    /// The key that is to sign, by the key id that was printed when it was made; an alias is not taken: the service alone would
    /// say which key it means.
    #[arg(long, value_name = "KEY ID", required_unless_present_any = ["dispute", "address"])]
    key: Option<String>,
    /// Instead of a key: a fresh one-time address of your account is to sign. Nobody but you and the approvers learns who asks.
    #[arg(long, conflicts_with_all = ["key", "dispute", "digest", "token"])]
    address: bool,
    /// Of an address: the scheme of its signature.
    #[arg(long, requires = "address", default_value = "ecdsa-secp256k1", value_parser = ["ecdsa-secp256k1", "bip340"])]
    scheme: String,
    /// How the payload is to be read: ethereum, bitcoin-psbt or pain.001; without it, nobody reads more of it than its bytes.
    #[arg(long, value_name = "FORMAT", conflicts_with = "dispute")]
    format: Option<String>,
    /// Which of the payload's digests is to be signed, where it has several; 64 hex digits.
    #[arg(long, value_name = "HEX", conflicts_with = "dispute")]
    digest: Option<String>,
    /// Instead of a signature: that the disputed recovery of this account goes on. The rule is that of its judges.
    #[arg(long, value_name = "ACCOUNT", conflicts_with_all = ["key", "file", "address"])]
    dispute: Option<String>,
    /// How long the case lives; the rule says how long at most.
    #[arg(long, default_value = "1h", value_parser = parse_wait, value_name = "TIME")]
    live: u64,
    #[command(flatten)]
    speaker: Speaker,
    #[command(flatten)]
    keep: Keep,
    /// What is to be signed; at most 1 MiB.
    #[arg(required_unless_present = "dispute")]
    file: Option<PathBuf>,
}

impl Ask {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let named = self.keep.receipt.iter().chain(&self.speaker.word.password_file).chain(&self.file);
        files::distinct(named.map(PathBuf::as_path))?;
        if self.address {
            return self.by_address(context).await;
        }
        let signing = self.signing()?;
        let speaking = self.speaker.open(context).await?;
        let about = match signing {
            Some(signing) => About::Signing(signing),
            None => About::Dispute(self.disputed(&speaking.client).await?),
        };
        let words = about.words().map_err(|error| Failure::of_coded("cannot ask", &error))?;
        words.iter().for_each(|line| aside(&format!("asking: {line}")));
        let rule = self.rule.name(speaking.account())?;
        let asked = speaking.client.ask_approval(speaking.voice()?, &rule, &about, self.live).await;
        let (done, case) = asked.map_err(failed("cannot ask for approvals"))?;
        let (case, hash) = (hex::encode(case), hex::encode(about.payload()));
        let then = match (&self.key, &self.file) {
            (Some(key), Some(file)) => {
                format!("keyward sign --key {key} --approval {case} {}", file.display())
            }
            _ => format!("keyward delegate execute REQUEST --judged {case}"),
        };
        tell(
            context,
            &asked_words(&case, &hash, &then),
            &done,
            &self.keep,
            &json!({ "case": case, "hash": hash, "words": words }),
        )
    }

    /// The service asks, in nobody's name.
    async fn by_address(&self, context: &Context) -> Result<()> {
        let Some(file) = &self.file else {
            return Err(Failure::usage("nothing is named that is to be signed", "name the file"));
        };
        let profile = context.profile()?;
        let own = profile.session()?.map(|kept| kept.account()).transpose()?;
        let client = connect(&profile, As::Whoever).await?.client;
        let whole = "an address signs what approvers are shown in full: give at most 1 MiB";
        let order = self.order(read(file, whole)?)?;
        let rule = self.rule.name(own)?;
        let asked = client.ask_address_approval(&order, &rule, self.live).await;
        let (done, shown) = asked.map_err(failed("cannot ask for approvals"))?;
        shown.words.iter().for_each(|line| aside(&format!("asking: {line}")));
        let (case, hash) = (hex::encode(shown.case.id), hex::encode(shown.case.payload));
        let format = self.format.as_ref().map(|name| format!(" --format {name}")).unwrap_or_default();
        let scheme = if self.scheme == Scheme::Bip340.name() { " --scheme bip340" } else { "" };
        let then = format!("keyward sign --address new --approval {case}{scheme}{format} {}", file.display());
        let json = json!({ "case": case, "hash": hash, "words": shown.words });
        tell(context, &asked_words(&case, &hash, &then), &done, &self.keep, &json)
    }

    fn order(&self, payload: Vec<u8>) -> Result<AddressOrder> {
        let order = match &self.format {
            None => AddressOrder::message(payload),
            Some(name) => {
                let form = Form::from_name(name).ok_or_else(|| {
                    Failure::usage(format!("no payload is read as `{name}`"), "correct `--format`")
                })?;
                AddressOrder::payload(form, payload)
            }
        };
        let order = order.map_err(failed("cannot ask for approvals"))?;
        Ok(if self.scheme == Scheme::Bip340.name() { order.bip340() } else { order })
    }

    /// What is to be signed, in full, under a fresh opening.
    fn signing(&self) -> Result<Option<Signing>> {
        let (Some(key), Some(file)) = (&self.key, &self.file) else { return Ok(None) };
        let key_id = KeyId(parse_id(key, "give the key id that was printed when the key was made")?);
        let digest =
            "give the 32 bytes of its SHA-256 digest as the file, and the same digits with `--digest`";
        let payload = read(file, digest)?;
        let format = self.format.clone().unwrap_or_default();
        let said = self.digest.as_deref();
        let said = said.map(|digest| parse_id(digest, "give 64 hex digits")).transpose()?;
        let payload_hash = match said {
            Some(digest) => digest,
            None => payload_hash(&format, &payload)?,
        };
        let mut opening = [0; 32];
        getrandom::fill(&mut opening).map_err(|error| {
            Failure::refused("no randomness from the operating system", "try again").because(&error)
        })?;
        Ok(Some(Signing { key_id, payload, format, payload_hash, opening }))
    }

    /// The disputed recovery that is open, as the ledger proves it to who asks.
    async fn disputed(&self, client: &Client) -> Result<Case> {
        let of = self.dispute.as_deref().unwrap_or_default();
        let of = parse_id(of, "give the account's id: user names are not taken here")?;
        let trust = client.delegations(Some(of)).await;
        let trust = trust.map_err(|error| {
            Failure::refused("cannot look at the recovery", "see `keyward delegate list --of ACCOUNT`")
                .because(&error)
        })?;
        let live = trust.delegations.iter().filter_map(|one| one.recovery).find(|live| live.disputed);
        let none = || {
            Failure::refused(
                "no recovery of the account is disputed",
                "see `keyward delegate list --of ACCOUNT`",
            )
        };
        Ok(live.ok_or_else(none)?.case)
    }
}

fn asked_words(case: &str, hash: &str, then: &str) -> String {
    format!(
        "asked\n  case     {case}\n  hash     {hash}\n  each approver looks at it (`keyward approve show {case}`) and compares the hash with you; then `{then}`"
    )
}

/// A payload; and what to do where it is too long.
fn read(file: &Path, shorter: &str) -> Result<Vec<u8>> {
    let bytes = files::read(file)?;
    if bytes.len() > MESSAGE_LEN_MAX {
        return Err(Failure::usage("the file is longer than 1 MiB", shorter));
    }
    Ok(bytes)
}

/// What signers of the payload sign: its one digest, or what hashes to an opaque one.
fn payload_hash(format: &str, payload: &[u8]) -> Result<[u8; 32]> {
    let Some(form) = Form::from_name(format) else {
        // A name that is none is refused where the payload is read.
        return Ok(Sha256::digest(payload).into());
    };
    let meaning = Meaning::read(form, payload).map_err(|error| {
        Failure::usage("the payload does not read as said", "correct `--format`, or the file").because(&error)
    })?;
    match meaning.digests.as_slice() {
        [digest] => Ok(*digest),
        many => Err(Failure::usage(
            format!("signers of this payload sign {} digests", many.len()),
            "say with `--digest` which one this case is about: one case pays for one signature",
        )),
    }
}
