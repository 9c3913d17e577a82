//! `keyward association create`, `update` and `text`: what belongs to an association, as options say it.

use keyward_client::associations::{
    AddressFormat, AssociationAct, AssociationTerms, Member, Quorum, parse_proof, proof_text,
};
use keyward_ledger_core::entry::Party;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::trust::Trust;
use serde_json::json;

use super::{Context, Sign, address, parse_account, parse_id, standing};
use crate::failure::{Failure, Result};
use crate::files;

/// Members that come.
#[derive(Debug, clap::Args)]
struct Come {
    /// A member that comes: the account that answers for it, and the address as `key:`, `ethereum:`, `bitcoin:`, `ed25519:` or
    /// `sm2:` and the address itself; once for each.
    #[arg(long = "member", num_args = 2, value_names = ["ACCOUNT", "ADDRESS"])]
    members: Vec<String>,
    /// What an address of another chain signed (`keyward association text`): the address, and the signature as its wallet
    /// writes it.
    #[arg(long = "proof", num_args = 2, value_names = ["ADDRESS", "SIGNATURE"])]
    proofs: Vec<String>,
}

impl Come {
    fn members(&self) -> Result<Vec<Member>> {
        let proofs = pairs(&self.proofs).map(|(of, proof)| Ok((address(of)?, proof)));
        let proofs = proofs.collect::<Result<Vec<_>>>()?;
        let mut members = Vec::new();
        for (account, text) in pairs(&self.members) {
            let (account, address) = (parse_account(account)?, address(text)?);
            let proof = match proofs.iter().find(|(of, _)| *of == address) {
                Some((_, proof)) => parse_proof(&address, proof).map_err(|error| {
                    Failure::usage("cannot use the proof", "copy it as the wallet wrote it").because(&error)
                })?,
                None if address.format == AddressFormat::Key => Vec::new(),
                None => {
                    let next =
                        "have it sign what `keyward association text` prints, and give that with `--proof`";
                    return Err(Failure::usage(format!("`{text}` has no proof"), next));
                }
            };
            members.push(Member { account, address, proof });
        }
        if let Some((lonely, _)) = proofs.iter().find(|(of, _)| !members.iter().any(|one| one.address == *of))
        {
            let what = format!("there is a proof for `{}` and no such member", super::words::address(lonely));
            return Err(Failure::usage(what, "name the member with `--member`, or leave the proof out"));
        }
        members.sort_by(|one, other| one.address.cmp(&other.address));
        if members.windows(2).any(|pair| matches!(pair, [one, other] if one.address == other.address)) {
            return Err(Failure::usage("a member stands twice", "name each address once"));
        }
        Ok(members)
    }
}

fn pairs(texts: &[String]) -> impl Iterator<Item = (&str, &str)> {
    texts.chunks_exact(2).filter_map(|pair| match pair {
        [one, other] => Some((one.as_str(), other.as_str())),
        _ => None,
    })
}

/// By whom an association is changed, and disputes of it are settled.
#[derive(Debug, clap::Args)]
struct Rule {
    /// Who signs changes: an account, or `key:` and the id of a key in a token or on its holder's side; once for each.
    #[arg(long = "party", value_name = "ACCOUNT|key:ID")]
    parties: Vec<String>,
    /// How many different accounts among them it takes.
    #[arg(long, value_name = "N", requires = "parties")]
    needed: Option<u8>,
    /// Who settles disputes, if not those who sign changes; once for each.
    #[arg(long = "settler", value_name = "ACCOUNT|key:ID", requires = "parties")]
    settlers: Vec<String>,
    /// How many different accounts it takes to settle a dispute; without it, as many as for a change.
    #[arg(long, value_name = "N", requires = "parties")]
    settle_needed: Option<u8>,
}

impl Rule {
    fn terms(&self) -> Result<Option<AssociationTerms>> {
        if self.parties.is_empty() {
            return Ok(None);
        }
        let parties = self::parties(&self.parties)?;
        let settlers =
            if self.settlers.is_empty() { parties.clone() } else { self::parties(&self.settlers)? };
        let needed = self.needed.unwrap_or(1);
        let change = Quorum { needed, parties };
        let settle = Quorum { needed: self.settle_needed.unwrap_or(needed), parties: settlers };
        for quorum in [&change, &settle] {
            if quorum.needed == 0 || usize::from(quorum.needed) > quorum.parties.len() {
                let what = format!("{} of {} parties cannot sign", quorum.needed, quorum.parties.len());
                return Err(Failure::usage(what, "ask for at least one, and for no more than there are"));
            }
        }
        Ok(Some(AssociationTerms { change, settle }))
    }
}

fn parties(texts: &[String]) -> Result<Vec<Party>> {
    let party = |text: &String| match text.strip_prefix("key:") {
        None => parse_account(text).map(Party::Credential),
        Some(id) => KeyId::parse(id).map(Party::Key).ok_or_else(|| {
            Failure::usage(format!("`{id}` is no key id"), "copy the key id from `keyward key show`")
        }),
    };
    let mut parties = texts.iter().map(party).collect::<Result<Vec<_>>>()?;
    parties.sort_unstable();
    parties.dedup();
    Ok(parties)
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The id that `keyward association text --new` printed, for which addresses of other chains have signed; without it, a
    /// fresh one.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    come: Come,
    #[command(flatten)]
    rule: Rule,
    #[command(flatten)]
    sign: Sign,
}

impl Create {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let association = match &self.id {
            Some(id) => parse_id(id)?,
            None => fresh_id()?,
        };
        let members = self.come.members()?;
        let terms = self.rule.terms()?.ok_or_else(|| {
            Failure::usage("nobody could change the association", "name who signs changes with `--party`")
        })?;
        let own = self.sign.enter(context).await?;
        let act = AssociationAct::Open { association, terms, members };
        let petition = own.client.association_petition(act).map_err(super::failed("cannot make it"))?;
        self.sign.sign(context, &own, petition, None).await
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Update {
    /// The association's id, 64 hex digits.
    association: String,
    /// The version that this is to be; without it, the next one. Proofs of other chains are for exactly one.
    #[arg(long, value_name = "N")]
    as_version: Option<u32>,
    #[command(flatten)]
    come: Come,
    /// An address that goes; once for each.
    #[arg(long = "remove", value_name = "ADDRESS")]
    removed: Vec<String>,
    #[command(flatten)]
    rule: Rule,
    #[command(flatten)]
    sign: Sign,
}

impl Update {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let association = parse_id(&self.association)?;
        let (added, terms) = (self.come.members()?, self.rule.terms()?);
        let mut removed = self.removed.iter().map(|text| address(text)).collect::<Result<Vec<_>>>()?;
        removed.sort();
        removed.dedup();
        if added.is_empty() && removed.is_empty() && terms.is_none() {
            let next = "say who comes (`--member`), who goes (`--remove`) or who signs changes (`--party`)";
            return Err(Failure::usage("nothing would change", next));
        }
        let own = self.sign.enter(context).await?;
        let (stands, _) = standing(&own.client, &association).await?;
        let next = stands.version.saturating_add(1);
        let version = self.as_version.unwrap_or(next);
        if version != next {
            let what = format!("the next version is {next}, not {version}: another change came first");
            let remedy = "have addresses of other chains sign anew for that version, and begin again";
            return Err(Failure {
                code: Some("ASSOCIATION_VERSION".into()),
                ..Failure::refused(what, remedy)
            });
        }
        let act = AssociationAct::Update { association, version, terms, removed, added };
        let petition = own.client.association_petition(act).map_err(super::failed("cannot make it"))?;
        self.sign.sign(context, &own, petition, Some(&stands)).await
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Text {
    /// The address that signs.
    address: String,
    /// The account that answers for it.
    #[arg(long, value_name = "ACCOUNT")]
    account: String,
    /// The association's id; without it and with `--new`, a fresh one for an association that is to be opened.
    #[arg(long, value_name = "ID", required_unless_present = "new")]
    association: Option<String>,
    /// For an association that is to be opened.
    #[arg(long, conflicts_with = "as_version")]
    new: bool,
    /// The version in which the address comes: the present one plus 1, as `keyward association show` has it; without it, 1.
    #[arg(long, value_name = "N", default_value_t = 1)]
    as_version: u32,
}

impl Text {
    /// Without any network: the ledger is that of the profile's trust file.
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let (of, account) = (address(&self.address)?, parse_account(&self.account)?);
        if of.format == AddressFormat::Key {
            let next = "name it with `--member`: a key of this ledger needs no proof beside its binding";
            return Err(Failure::usage("a key of this ledger signs no text", next));
        }
        let association = match &self.association {
            Some(id) => parse_id(id)?,
            None => fresh_id()?,
        };
        let text = proof_text(&ledger(context)?, &association, self.as_version, &account, &of);
        let how = match of.format {
            AddressFormat::Ethereum => "sign it as a personal message (`personal_sign`)",
            AddressFormat::Bitcoin => "sign it as a message with the address's key (`signmessage`)",
            _ => "sign its bytes, without a line's end",
        };
        let id = hex::encode(association);
        let words = format!("association  {id}, version {}\n{how}:\n{text}", self.as_version);
        let json = json!({ "association": id, "version": self.as_version, "text": text });
        context.output.answer(words, &json);
        Ok(())
    }
}

fn ledger(context: &Context) -> Result<Hash> {
    let profile = context.profile()?;
    let trust = files::read(&profile.path(&profile.file.trust))?;
    let trust = Trust::decode(&trust).map_err(|error| {
        Failure::refused("cannot read the trust file", "ask the ledger's operators for it again")
            .because(&error)
    })?;
    Ok(trust.chain_id)
}

fn fresh_id() -> Result<Hash> {
    let mut id = [0; 32];
    getrandom::fill(&mut id).map_err(|error| {
        Failure::refused("no randomness from the operating system", "try again").because(&error)
    })?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::failure::Exit;

    const ETHER: &str = "ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    fn account(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn come(members: &[&str], proofs: &[&str]) -> Come {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Come { members: owned(members), proofs: owned(proofs) }
    }

    #[test]
    fn members_come_with_their_proofs_in_the_order_of_the_ledger() {
        let (one, key) = (account('1'), format!("key:{}", account('5')));
        let signature = format!("0x{}1b", "11".repeat(64));
        let members = come(&[&one, ETHER, &one, &key], &[ETHER, &signature]).members().unwrap();
        assert_eq!(members[0].address.format, AddressFormat::Key);
        assert_eq!((members[0].proof.len(), members[1].proof.len()), (0, 65));
    }

    #[test]
    fn a_member_without_proof_or_a_proof_without_member_is_wrong_usage() {
        let (one, signature) = (account('1'), format!("0x{}1b", "11".repeat(64)));
        let cases = [
            come(&[&one, ETHER], &[]),
            come(&[], &[ETHER, &signature]),
            come(&[&one, ETHER, &one, ETHER], &[ETHER, &signature]),
            come(&["alice", ETHER], &[ETHER, &signature]),
            come(&[&one, "ether"], &[]),
            come(&[&one, ETHER], &[ETHER, "0x11"]),
        ];
        for case in cases {
            assert_eq!(case.members().unwrap_err().exit, Exit::Usage, "{case:?}");
        }
    }

    #[test]
    fn rules_take_accounts_and_keys_and_no_more_than_there_are() {
        let rule = |parties: &[String], needed, settle_needed| Rule {
            parties: parties.to_vec(),
            needed,
            settlers: Vec::new(),
            settle_needed,
        };
        assert!(rule(&[], None, None).terms().unwrap().is_none());
        let key = format!("key:{}", account('5'));
        let terms = rule(&[key, account('1'), account('1')], Some(2), None).terms().unwrap().unwrap();
        assert_eq!((terms.change.needed, terms.change.parties.len()), (2, 2));
        assert_eq!(terms.settle, terms.change);
        for broken in [
            rule(&[account('1')], Some(2), None),
            rule(&[account('1')], Some(0), None),
            rule(&[account('1')], None, Some(2)),
            rule(&["alice".to_owned()], None, None),
            rule(&["key:12".to_owned()], None, None),
        ] {
            assert_eq!(broken.terms().unwrap_err().exit, Exit::Usage);
        }
    }
}
