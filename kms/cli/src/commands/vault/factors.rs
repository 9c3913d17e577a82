//! Whose word an attempt needs: as it is given on the command line, and in words.

use keyward_client::vault::{Factor, Factors, Party, Sealing};
use keyward_domain::scheme::KeyId;
use keyward_ledger_core::codec::parse_hex32;
use serde_json::{Value, json};

use crate::failure::{Failure, Result};

/// Who must sign an attempt.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// Who has to sign each recovery, once for each: `own` (the account itself, whose password gives that back on any device),
    /// `account:ID` (another person's account), `key:ID` (a key in a token, or on somebody else's device); or `none` alone,
    /// and then any service of the ledger can use guesses up, though never open the vault.
    #[arg(long = "factor", value_name = "WHO", default_value = "own")]
    factors: Vec<String>,
    /// How many of them are enough; without it, all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    needed: Option<u8>,
}

impl Asked {
    /// What is asked for, for a vault of this account.
    pub(super) fn parse(&self, account: [u8; 32]) -> Result<Factors> {
        let words: Vec<_> = self.factors.iter().map(String::as_str).collect();
        match (words.as_slice(), self.needed) {
            (["none"], None) => return Ok(Factors::Nobody),
            (["own"], None | Some(1)) => return Ok(Factors::Own),
            (words, _) if words.contains(&"none") => {
                let next = "give `--factor none` alone, without `--needed`";
                return Err(Failure::usage("nobody cannot sign together with somebody", next));
            }
            _ => {}
        }
        let parties = words.into_iter().map(|word| party(word, account)).collect::<Result<Vec<_>>>()?;
        let all = u8::try_from(parties.len()).unwrap_or(u8::MAX);
        Ok(Factors::Of { needed: self.needed.unwrap_or(all), parties })
    }
}

fn party(word: &str, account: [u8; 32]) -> Result<Party> {
    let wrong = || {
        let next = "give `own`, `account:` or `key:` and 64 lower-case hex digits, or `none`";
        Failure::usage(format!("`{word}` names nobody who can sign"), next)
    };
    let (kind, id) = match word {
        "own" => return Ok(Party::Credential(account)),
        word => word.split_once(':').ok_or_else(wrong)?,
    };
    let id = parse_hex32(id).ok_or_else(wrong)?;
    match kind {
        "account" => Ok(Party::Credential(id)),
        "key" => Ok(Party::Key(KeyId(id))),
        _ => Err(wrong()),
    }
}

/// A party as a person of this account reads it.
pub(super) fn name(party: Party, account: [u8; 32]) -> String {
    match party {
        Party::Credential(own) if own == account => "your own login".to_owned(),
        Party::Credential(other) => format!("account {}", hex::encode(other)),
        Party::Key(key_id) => format!("key {key_id}"),
    }
}

/// Whose word an attempt at a vault needs.
pub(super) fn words(sealing: &Sealing, now: &[Factor]) -> String {
    let terms = &sealing.terms;
    let named = |party: &Party| {
        let unable = now.iter().find(|factor| factor.party == *party).and_then(|found| found.signer.unable());
        let name = name(*party, sealing.vault.owner);
        unable.map_or_else(|| name.clone(), |unable| format!("{name} (cannot sign now: {unable})"))
    };
    let names: Vec<_> = terms.askers.iter().map(named).collect();
    match names.as_slice() {
        [] => "nobody's signature: any service of the ledger can use guesses up".to_owned(),
        [one] => format!("the signature of {one}"),
        names => format!("{} of {} signatures: {}", terms.needed, names.len(), names.join(", ")),
    }
}

/// The same for programs.
pub(super) fn to_json(sealing: &Sealing, now: &[Factor]) -> Value {
    let one = |party: &Party| {
        let found = now.iter().find(|factor| factor.party == *party);
        let unable = found.and_then(|found| found.signer.unable()).map(|unable| unable.to_string());
        let (kind, id) = match party {
            Party::Credential(account) => ("account", hex::encode(account)),
            Party::Key(key_id) => ("key", key_id.to_string()),
        };
        json!({ "kind": kind, "id": id, "own": *party == Party::Credential(sealing.vault.owner),
                "can_sign": found.is_some() && unable.is_none(), "unable": unable })
    };
    let all: Vec<_> = sealing.terms.askers.iter().map(one).collect();
    json!({ "needed": sealing.terms.needed, "of": all })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const OWN: [u8; 32] = [1; 32];

    fn parse(words: &[&str], needed: Option<u8>) -> Result<Factors> {
        Asked { factors: words.iter().map(|word| (*word).to_owned()).collect(), needed }.parse(OWN)
    }

    #[test]
    fn those_who_sign_are_read_and_all_of_them_are_needed_unless_it_is_said() {
        let (account, key) = (format!("account:{}", "02".repeat(32)), format!("key:{}", "03".repeat(32)));
        assert_eq!(parse(&["own"], None).unwrap(), Factors::Own);
        assert_eq!(parse(&["none"], None).unwrap(), Factors::Nobody);
        let parties = vec![Party::Credential(OWN), Party::Credential([2; 32]), Party::Key(KeyId([3; 32]))];
        let words = ["own", account.as_str(), key.as_str()];
        assert_eq!(parse(&words, None).unwrap(), Factors::Of { needed: 3, parties: parties.clone() });
        assert_eq!(parse(&words, Some(2)).unwrap(), Factors::Of { needed: 2, parties });
    }

    #[test]
    fn what_names_nobody_is_wrong_usage() {
        let upper = format!("key:{}", "AB".repeat(32));
        for words in [&["none", "own"][..], &["me"], &["key:00"], &["token:x"], &[&upper]] {
            assert_eq!(parse(words, None).unwrap_err().exit, crate::failure::Exit::Usage, "{words:?}");
        }
        assert!(parse(&["none"], Some(1)).is_err());
    }
}
