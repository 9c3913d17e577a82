//! What can be asked of `keyward`: one file per command.

mod account;
mod address;
mod approve;
mod association;
mod audit;
mod bench;
mod certificate;
mod completions;
mod config;
mod database;
mod delegate;
mod demo;
mod genesis;
mod kek;
pub(crate) mod key;
pub(crate) mod ledger;
mod member;
mod node;
pub(crate) mod own;
mod policy;
mod reason;
mod recorded;
mod risk;
mod serve;
mod shared;
mod sign;
mod status;
mod token;
mod up;
mod vault;
mod verify;

use crate::failure::Result;
use crate::output::{Format, Output};
use crate::profile::Profile;

/// Keyward: keys for people and firms, with every act on a ledger.
///
/// Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 nobody answered.
#[derive(Debug, clap::Parser)]
#[command(name = "keyward", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Arguments {
    /// The profile to call with: its name, its folder or its file.
    #[arg(long, global = true, env = "KEYWARD_PROFILE", value_name = "NAME|PATH")]
    pub(crate) profile: Option<String>,
    /// How to print answers.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The whole story on one machine, each step shown, every receipt verified offline.
    Demo(demo::Demo),
    /// Starts validators, service and software token on this machine, until Ctrl-C.
    Up(up::Up),
    /// Founds a ledger by several organisations: key, join, assemble, check.
    Genesis(genesis::Ceremony),
    /// Certificates of nodes, services and callers: keys and requests for your authority.
    Certificate(certificate::Certificate),
    /// Runs one validator.
    Node(node::Node),
    /// Runs one custody service.
    Serve(serve::Serve),
    /// Tokens attached to the service.
    Token(token::Token),
    /// A person's account.
    Account(account::Account),
    /// Delegates, who take an account back that was lost.
    Delegate(delegate::Delegate),
    /// Approvals: who must approve what, asking for it, and giving it.
    Approve(approve::Approve),
    /// Unlinkable addresses: one account, many one-time addresses that do not point to each other.
    Address(address::Address),
    /// Associations: addresses of several parties and chains that belong together.
    Association(association::Association),
    /// Audits: terms, grants, and what they open.
    Audit(audit::Audit),
    /// Keys: create, list, show, rotate, freeze, destroy, label, lend.
    Key(key::Key),
    /// The keys that seal what the service keeps: rotate, status, remove.
    Kek(kek::Kek),
    /// Vaults: keys that come back with a password when every device is lost.
    Vault(vault::Vault),
    /// Policies of the tenant: check, show, explain, try, publish.
    Policy(policy::Policy),
    /// Rules of risk of the tenant: show, replay, publish.
    Risk(risk::Risk),
    /// Signs a file with a key of the service, or with a one-time address.
    Sign(sign::Sign),
    /// Verifies a receipt, without any network.
    Verify(verify::Verify),
    /// What the custody service says of itself: ledger, token, intents without a signature.
    Status(status::Status),
    /// Reads the ledger.
    Ledger(ledger::Ledger),
    /// Measures.
    Bench(bench::Bench),
    /// Configuration files of node and service.
    Config(config::Config),
    /// Prints completions for a shell.
    Completions(completions::Completions),
}

/// What every command is run with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) profile: Option<String>,
}

impl Context {
    /// The chosen profile.
    pub(crate) fn profile(&self) -> Result<Profile> {
        Profile::find(self.profile.as_deref())
    }
}

impl Command {
    /// How much is logged where `KEYWARD_LOG` does not say.
    pub(crate) const fn default_log(&self) -> &'static str {
        match self {
            Self::Node(_) | Self::Serve(_) => "info",
            _ => "off",
        }
    }

    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Demo(command) => Box::pin(command.run(context)).await,
            Self::Up(command) => Box::pin(command.run(context)).await,
            Self::Genesis(command) => command.run(context),
            Self::Certificate(command) => command.run(context),
            Self::Node(command) => Box::pin(command.run()).await,
            Self::Serve(command) => Box::pin(command.run()).await,
            Self::Token(command) => Box::pin(command.run(context)).await,
            Self::Account(command) => Box::pin(command.run(context)).await,
            Self::Delegate(command) => Box::pin(command.run(context)).await,
            Self::Approve(command) => Box::pin(command.run(context)).await,
            Self::Address(command) => Box::pin(command.run(context)).await,
            Self::Association(command) => Box::pin(command.run(context)).await,
            Self::Audit(command) => Box::pin(command.run(context)).await,
            Self::Key(command) => Box::pin(command.run(context)).await,
            Self::Kek(command) => Box::pin(command.run(context)).await,
            Self::Vault(command) => Box::pin(command.run(context)).await,
            Self::Policy(command) => Box::pin(command.run(context)).await,
            Self::Risk(command) => Box::pin(command.run(context)).await,
            Self::Sign(command) => Box::pin(command.run(context)).await,
            Self::Verify(command) => command.run(context),
            Self::Status(command) => Box::pin(command.run(context)).await,
            Self::Ledger(command) => Box::pin(command.run(context)).await,
            Self::Bench(command) => Box::pin(command.run(context)).await,
            Self::Config(command) => command.run(context),
            Self::Completions(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_make_sense() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_reason_is_said_or_in_a_file_and_not_both() {
        let takes = |line: &str| Arguments::command().try_get_matches_from(line.split_whitespace()).is_ok();
        for command in ["audit revoke G", "association dispute A", "account profile show --user bob"] {
            assert!(takes(&format!("keyward {command} --reason why")), "{command}");
            assert!(takes(&format!("keyward {command} --reason-file -")), "{command}");
            assert!(!takes(&format!("keyward {command} --reason why --reason-file why")), "{command}");
        }
        assert!(takes("keyward account profile show") && !takes("keyward account profile show --user bob"));
        assert!(takes("keyward association settle A --verdict-file why"));
        assert!(!takes("keyward association settle A --verdict why --verdict-file why"));
    }

    /// Words in ticks after `keyward`, as far as they name commands.
    fn unknown(remedy: &str) -> Option<String> {
        for line in remedy.split('`').filter_map(|part| part.strip_prefix("keyward ")) {
            let mut command = Arguments::command();
            for word in line.split_whitespace() {
                if !command.has_subcommands() {
                    break;
                }
                command = match command.find_subcommand(word) {
                    Some(found) => found.clone(),
                    None => return Some(line.to_owned()),
                };
            }
        }
        None
    }

    #[test]
    fn every_remedy_names_commands_that_there_are() {
        for code in keyward_domain::Code::ALL {
            assert_eq!(unknown(code.remedy()), None, "{}", code.name());
        }
        assert_eq!(unknown("look at `keyward member list`"), Some("member list".to_owned()));
    }

    #[test]
    fn every_command_and_option_is_explained() {
        fn check(command: &clap::Command) {
            let path = command.get_name().to_owned();
            assert!(command.is_hide_set() || command.get_about().is_some(), "`{path}` has no help");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "`{path} {}` has no help", argument.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }
}
