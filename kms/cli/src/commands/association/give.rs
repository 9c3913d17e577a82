//! `keyward association consent`: one's signature under what somebody else made, after the digits were compared.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use keyward_client::associations::AssociationError;
use keyward_client::{Petition, party_words};
use keyward_ledger_core::entry::Act;

use super::voice::Speaker;
use super::{Context, failed, pass_on, words};
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::aside;

#[derive(Debug, clap::Args)]
pub(super) struct Consent {
    /// The request; your signature is added to this file, or handed in with it if it is the last one.
    request: PathBuf,
    /// The twenty digits that its maker read out to you by voice; without it, they are asked for. A stranger's request looks
    /// the same.
    #[arg(long, value_name = "DIGITS")]
    fingerprint: Option<String>,
    /// Writes the receipt here, if it is handed in.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    speaker: Speaker,
}

impl Consent {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let paths = self.receipt.iter().chain([&self.request]).map(PathBuf::as_path);
        files::distinct(paths.chain(self.speaker.paths()))?;
        let cannot = failed("cannot read the request");
        let mut petition =
            Petition::parse(&files::read_text(&self.request)?).map_err(|error| cannot(error.into()))?;
        let Act::Association(act) = petition.act() else {
            return Err(cannot(AssociationError::Request { why: "it is about no association" }));
        };
        let association = *act.association();
        let signed: Vec<_> = petition.authors().iter().map(|author| party_words(author.party)).collect();
        context.output.note(format!(
            "you are asked to {}\n  signed by    {}",
            words::act(petition.act()),
            if signed.is_empty() { "nobody yet".to_owned() } else { signed.join(", ") },
        ));
        compare(self.fingerprint.as_deref(), &petition.fingerprint())?;
        let own = self.speaker.open(context).await?;
        let stands =
            own.client.show_association(&association).await.map_err(failed("cannot read the association"))?;
        own.sign(context, &mut petition).await?;
        let (request, receipt) = (Some(self.request.as_path()), self.receipt.as_deref());
        pass_on(context, &own.client, &petition, stands.state.as_ref(), request, receipt).await
    }
}

/// Who only has the file may be deceived by a stranger's; who has heard the digits is not.
fn compare(heard: Option<&str>, wanted: &str) -> Result<()> {
    let heard = match heard {
        Some(digits) => digits.to_owned(),
        None => ask()?,
    };
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    if plain(&heard) == plain(wanted) {
        Ok(())
    } else {
        Err(failed("cannot sign it")(AssociationError::Fingerprint))
    }
}

fn ask() -> Result<String> {
    let next = "give the digits that the person who made the request reads out with `--fingerprint`";
    let missing = || Failure::usage("nobody has compared the request's digits", next);
    if !std::io::stdin().is_terminal() {
        return Err(missing());
    }
    aside("ask the person who made the request, by voice, for its twenty digits, and type them:");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| missing().because(&error))?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn digits_are_compared_however_they_were_written_down() {
        let wanted = "12ab-34cd-56ef-7890-abcd";
        for heard in [wanted, "12AB 34CD 56EF 7890 ABCD\n", "12ab34cd56ef7890abcd"] {
            compare(Some(heard), wanted).unwrap();
        }
        for heard in ["", "12ab-34cd-56ef-7890-abce", "12ab-34cd-56ef-7890"] {
            let failure = compare(Some(heard), wanted).unwrap_err();
            assert_eq!(failure.code.as_deref(), Some("ASSOCIATION_FINGERPRINT_OTHER"));
        }
    }
}
