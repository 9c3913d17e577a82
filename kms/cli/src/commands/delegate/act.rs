//! `keyward delegate act` and `send`: a signature with a key of the account that appointed us, and what delegates ask together.

use std::path::{Path, PathBuf};

use keyward_client::delegation::{Acted, Request, RuleName, ToSign};
use keyward_domain::payload::MESSAGE_LEN_MAX;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::appoint::key_id;
use super::word::Word;
use super::{Context, Keep, Name, failed, parse_account, read, show, tell, write};
use crate::commands::sign::{signature_file, to_json};
use crate::failure::Result;
use crate::files::{self, Access};
use crate::service::{As, connect};

#[derive(Debug, clap::Args)]
pub(super) struct Act {
    /// The account that appointed you, 64 hex digits.
    #[arg(long, value_name = "ACCOUNT")]
    of: String,
    #[command(flatten)]
    name: Name,
    /// The id of its key, as its holder's `keyward key show` prints it; a hosted or linked one.
    #[arg(long, value_name = "KEY ID")]
    key: String,
    /// What to sign. Of a file longer than 1 MiB the digest is signed.
    #[arg(long, value_name = "FILE")]
    message: PathBuf,
    /// How much it is for, in the unit that the limits count in.
    #[arg(long, default_value_t = 0, value_name = "N")]
    amount: u128,
    /// Where it takes several delegates: writes a request for them to sign and send here, with your signature, and sends nothing.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    #[command(flatten)]
    word: Word,
    #[command(flatten)]
    out: Out,
}

/// Where answers go.
#[derive(Debug, clap::Args)]
struct Out {
    /// Writes the signature here: DER for ECDSA (as openssl takes it), else its bytes.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Writes the signature's receipt here.
    #[arg(long, value_name = "FILE")]
    signature_receipt: Option<PathBuf>,
    #[command(flatten)]
    keep: Keep,
}

impl Out {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.signature.iter().chain(&self.signature_receipt).chain(&self.keep.receipt)
    }

    fn tell(&self, context: &Context, acted: &Acted) -> Result<()> {
        let signature = &acted.signature;
        if let Some(path) = &self.signature {
            files::write(path, signature_file(signature), Access::Public)?;
        }
        if let Some(path) = &self.signature_receipt {
            files::write(path, &signature.receipt, Access::Public)?;
        }
        let words = format!(
            "signed, and counted as record {}\n  scheme       {}\n  public key   {}\n  signature    {}",
            acted.done.leaf_index,
            signature.public_key.scheme(),
            hex::encode(signature.public_key.as_bytes()),
            hex::encode(&signature.signature),
        );
        let mut json = json!({});
        if let (Value::Object(json), Value::Object(mut signed)) = (&mut json, to_json(signature)) {
            let receipt = signed.remove("receipt");
            json.extend(signed);
            json.insert("signature_receipt".into(), receipt.unwrap_or_default());
        }
        tell(context, &words, &acted.done, &self.keep, &json)
    }
}

impl Act {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let named =
            self.out.files().chain(&self.request).chain(&self.word.password_file).chain([&self.message]);
        files::distinct(named.map(PathBuf::as_path))?;
        let rule = RuleName { owner: parse_account(&self.of)?, name: self.name.id()? };
        let (key, bytes) = (key_id(&self.key)?, files::read(&self.message)?);
        let what = match bytes.len() {
            0..=MESSAGE_LEN_MAX => ToSign::Message(&bytes),
            _ => ToSign::Digest(Sha256::digest(&bytes).into()),
        };
        let (client, login) = self.word.login(context).await?;
        let cannot = failed("cannot act");
        let mut request = client.request_act(rule, key, what, self.amount).map_err(&cannot)?;
        let fingerprint = request.fingerprint();
        client.sign_request(&login, &mut request, &fingerprint).await.map_err(&cannot)?;
        let Some(path) = &self.request else {
            let acted = client.send_act(&request).await.map_err(&cannot)?;
            return self.out.tell(context, &acted);
        };
        let next = format!(
            "give the file to the other delegates, and read the fingerprint out to each of them by voice: they sign (`keyward delegate sign \
             {0}`), and one sends it (`keyward delegate send {0}`)",
            path.display()
        );
        write(context, &request, path, &next)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct HandIn {
    /// The request.
    request: PathBuf,
    #[command(flatten)]
    out: Out,
}

impl HandIn {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        files::distinct(self.out.files().chain([&self.request]).map(PathBuf::as_path))?;
        let request = read(&self.request)?;
        let client = connect(&context.profile()?, As::Whoever).await?.client;
        if request.is_act() {
            let acted = client.send_act(&request).await.map_err(failed("cannot act"))?;
            return self.out.tell(context, &acted);
        }
        let done = client.send_request(&request).await.map_err(failed("cannot send it"))?;
        let (words, json) = match (request.recovery(), client.delegations(request.account()).await) {
            (None, _) => ("the recovery is taken back".to_owned(), json!({})),
            (Some(_), Ok(trust)) => opened(&request, &trust, &self.request),
            (Some(_), Err(_unseen)) => {
                ("the recovery is open; see `keyward delegate list --of ACCOUNT`".to_owned(), json!({}))
            }
        };
        tell(context, &words, &done, &self.out.keep, &json)
    }
}

fn opened(request: &Request, trust: &keyward_client::delegation::Trust, path: &Path) -> (String, Value) {
    let found = request.rule().and_then(|rule| trust.named(&rule.name));
    let Some(recovery) = found.and_then(|found| found.recovery) else {
        return ("the recovery is open".to_owned(), json!({}));
    };
    let words = format!(
        "the recovery is open; the account can veto it until somebody executes it\n  {}\nthen a delegate has it done: `keyward delegate execute {}`",
        show::recovery_words(&recovery),
        path.display()
    );
    (words, json!({ "recovery": show::recovery_json(&recovery) }))
}
