//! `keyward approve rule`: who must approve.

use std::path::PathBuf;

use keyward_client::approvals::{ApprovalTerms, Group, Party, Rule as Proven};
use keyward_domain::scheme::KeyId;
use serde_json::{Value, json};

use super::speak::Speaker;
use super::{Context, Keep, NamedRule, failed, name_id, parse_id, tell};
use crate::commands::delegate::word::Word;
use crate::commands::key::life::parse_wait;
use crate::failure::{Failure, Result};
use crate::files;
use crate::service::{As, connect};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Rule {
    /// Defines a rule of your account, or its next version: cases that are open under the one before are worth nothing then.
    Define(Define),
    /// Lists the rules that your account has defined.
    List,
    /// Shows a rule as the ledger proves it.
    Show(NamedRule),
}

#[derive(Debug, clap::Args)]
pub(super) struct Define {
    /// What you call the rule: 1 to 64 of a-z, 0-9, dot, dash or underscore.
    #[arg(long, value_name = "NAME")]
    rule: String,
    /// Approvers who stand for each other, up to four times; every group must give its approvals: a role in words, how many of
    /// them, and who, by comma: accounts by their ids (64 hex digits), linked keys as `key:ID`. User names are not taken: the
    /// service alone would say whose they are.
    #[arg(long = "group", required = true, num_args = 3, value_names = ["ROLE", "NEEDED", "MEMBERS"])]
    groups: Vec<String>,
    /// The longest that a case lives.
    #[arg(long, default_value = "1d", value_parser = parse_wait, value_name = "TIME")]
    live: u64,
    #[command(flatten)]
    word: Word,
    #[command(flatten)]
    keep: Keep,
}

impl Rule {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Define(define) => define.run(context).await,
            Self::List => list(context).await,
            Self::Show(named) => show(context, &named).await,
        }
    }
}

impl Define {
    async fn run(self, context: &Context) -> Result<()> {
        files::distinct(self.keep.receipt.iter().chain(&self.word.password_file).map(PathBuf::as_path))?;
        let (name, terms) = (name_id(&self.rule)?, self.terms()?);
        let (client, login) = self.word.login(context).await?;
        let done = client.define_approval_rule(&login, &name, terms).await;
        let done = done.map_err(failed("cannot define the rule"))?;
        let owner = hex::encode(login.session.account);
        let words = format!(
            "the rule `{}` is defined\n  account  {owner}\n  name id  {}\n  others name it with both: `keyward approve ask --rule NAME --of ACCOUNT`, and \
             `keyward delegate appoint --judges ACCOUNT NAME_ID` for judges",
            self.rule,
            hex::encode(name),
        );
        let json = json!({ "owner": owner, "name_id": hex::encode(name), "rule": self.rule });
        tell(context, &words, &done, &self.keep, &json)
    }

    fn terms(&self) -> Result<ApprovalTerms> {
        let groups = self.groups.chunks(3).map(group).collect::<Result<_>>()?;
        Ok(ApprovalTerms { live_ms_max: self.live, groups })
    }
}

fn group(parts: &[String]) -> Result<Group> {
    let wrong = |what: String| Failure::usage(what, "as in `--group treasurers 2 ACCOUNT,ACCOUNT,key:ID`");
    let [role, needed, members] = parts else { return Err(wrong("a group has three parts".into())) };
    let count: Option<u8> = needed.parse().ok().filter(|needed| *needed > 0);
    let count = count.ok_or_else(|| wrong(format!("`{needed}` is no number of approvals from 1 on")))?;
    let mut members = members.split(',').map(member).collect::<Result<Vec<_>>>()?;
    members.sort();
    if members.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(wrong("a member is named twice".into()));
    }
    if usize::from(count) > members.len() {
        return Err(wrong(format!("{count} approvals are needed, and {} members are named", members.len())));
    }
    Ok(Group { role: role.clone(), needed: count, members })
}

fn member(text: &str) -> Result<Party> {
    match text.strip_prefix("key:") {
        Some(id) => {
            Ok(Party::Key(KeyId(parse_id(id, "give the key id that was printed when the key was made")?)))
        }
        None => Ok(Party::Credential(parse_id(
            text,
            "have its holder run `keyward account show`, and read the id out to you; user names are not taken here",
        )?)),
    }
}

async fn list(context: &Context) -> Result<()> {
    let client = connect(&context.profile()?, As::Whoever).await?.client;
    let rules = client.approval_rules().await.map_err(failed("cannot list rules"))?;
    let words: Vec<_> = rules.iter().map(words).collect();
    let none = || "no rule was defined here (`keyward approve rule define`)".to_owned();
    let said = if words.is_empty() { none() } else { words.join("\n") };
    context.output.answer(said, &json!({ "rules": rules.iter().map(to_json).collect::<Vec<_>>() }));
    Ok(())
}

async fn show(context: &Context, named: &NamedRule) -> Result<()> {
    let (client, own) = Speaker::reader(context).await?;
    let rule = client.approval_rule(&named.name(own)?).await.map_err(failed("cannot show the rule"))?;
    context.output.answer(words(&rule), &to_json(&rule));
    Ok(())
}

/// A rule in lines.
pub(super) fn words(rule: &Proven) -> String {
    let mut lines = vec![format!("rule {}, version {}", hex::encode(rule.id), rule.state.version)];
    if let Some(name) = &rule.name {
        lines.push(format!("  account  {}", hex::encode(name.owner)));
        lines.push(format!("  name id  {}", hex::encode(name.name)));
    }
    lines.push(format!("  cases live {} s at most", rule.state.terms.live_ms_max / 1000));
    for (number, group) in rule.state.terms.groups.iter().enumerate() {
        let needed = group.needed;
        lines.push(format!("  group {number}, {:?}: {needed} of {}", group.role, group.members.len()));
        lines.extend(group.members.iter().map(|member| format!("    {}", party_words(member))));
    }
    lines.join("\n")
}

pub(super) fn party_words(party: &Party) -> String {
    match party {
        Party::Credential(account) => format!("account {}", hex::encode(account)),
        Party::Key(key_id) => format!("key {key_id}"),
    }
}

pub(super) fn to_json(rule: &Proven) -> Value {
    let groups = rule.state.terms.groups.iter().map(|group| {
        let members: Vec<_> = group.members.iter().map(party_words).collect();
        json!({ "role": group.role, "needed": group.needed, "members": members })
    });
    json!({
        "rule": hex::encode(rule.id), "owner": rule.name.map(|name| hex::encode(name.owner)),
        "name_id": rule.name.map(|name| hex::encode(name.name)), "version": rule.state.version,
        "live_ms_max": rule.state.terms.live_ms_max, "cases": rule.state.cases,
        "groups": groups.collect::<Vec<_>>(), "height": rule.height,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::failure::Exit;

    fn parts(role: &str, needed: &str, members: &str) -> Vec<String> {
        vec![role.into(), needed.into(), members.into()]
    }

    #[test]
    fn a_group_names_accounts_and_keys_by_their_ids_alone() {
        let (one, two) = ("02".repeat(32), "01".repeat(32));
        let made = group(&parts("treasurers", "2", &format!("{one},{two},key:{one}"))).unwrap();
        assert_eq!((made.needed, made.members.len()), (2, 3));
        assert_eq!(made.members[0], Party::Credential([1; 32]), "ascending");
        for bad in [
            parts("treasurers", "0", &one),
            parts("treasurers", "2", &one),
            parts("treasurers", "many", &one),
            parts("treasurers", "1", &format!("{one},{one}")),
            parts("treasurers", "1", "bob"),
            parts("treasurers", "1", ""),
            parts("treasurers", "1", "key:alias"),
        ] {
            assert_eq!(group(&bad).unwrap_err().exit, Exit::Usage, "{bad:?}");
        }
    }
}
