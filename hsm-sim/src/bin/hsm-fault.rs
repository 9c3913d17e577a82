//! `hsm-fault`: makes the software token fail on purpose, by way of the control file and of the token's own file.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use hsm_sim::Role;
use hsm_sim::faults::{Control, ControlError};

const USAGE: &str = "\
usage: hsm-fault [--dir DIR] VERB...

  DIR is the token store; without it, HSM_SIM_DIR or the user's data folder.

  pull SLOT [WHEN]              the token is out; with WHEN, it is pulled inside that call
  plug SLOT                     it is back
  error SLOT CODE [WHEN]        a call answers CODE: CKR_DEVICE_ERROR, ..., or 0x30
  lose SLOT [WHEN]              every session on the token is closed inside a call
  garble SLOT [WHEN]            a call's output is changed
  crash SLOT [WHEN]             the process aborts inside a call
  latency SLOT MS [on CALLS]    calls take longer
  buggy SLOT                    an error leaves the operation active
  lock SLOT user|officer        the PIN is locked, as after five wrong ones
  unlock SLOT user|officer      its count of wrong ones is 0 again
  damage SLOT                   a bit of the token's file is flipped; a whole copy is kept
  repair SLOT                   the whole copy is put back
  show                          the rules that stand
  clear [SLOT]                  every rule goes, or those of one slot

  WHEN is [on CALLS] [at N] [times K|always] [after]: at the Nth call of CALLS (1), K times from there on (1),
  and with `after` the work is done and only the answer is lost. CALLS is a function's name, `use` (those that use
  or make keys and objects, what is meant if nothing is said) or `any`.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(why)) => {
            eprintln!("hsm-fault: {why}\n{USAGE}");
            ExitCode::from(2)
        }
        Err(Failure::Store(error)) => {
            let mut line = format!("hsm-fault: {error}");
            let mut cause = error.source();
            while let Some(next) = cause {
                line.push_str(&format!(": {next}"));
                cause = next.source();
            }
            eprintln!("{line}");
            ExitCode::FAILURE
        }
    }
}

enum Failure {
    Usage(String),
    Store(Box<dyn Error>),
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Rule(rule) => Self::Usage(rule.to_string()),
            error => Self::Store(error.into()),
        }
    }
}

fn run(words: &[&str]) -> Result<(), Failure> {
    let (control, verb) = match words {
        ["--dir", folder, verb @ ..] => (Control::at(Path::new(folder)), verb),
        verb => (Control::from_environment().map_err(|error| Failure::Store(error.into()))?, verb),
    };
    match verb {
        [] | ["-h" | "--help" | "help", ..] => {
            print!("{USAGE}");
            return Ok(());
        }
        ["plug", slot] => control.plug(number(slot)?)?,
        ["clear"] => control.clear(None)?,
        ["clear", slot] => control.clear(Some(number(slot)?))?,
        ["lock", slot, role] => control.lock(number(slot)?, whose(role)?)?,
        ["unlock", slot, role] => control.unlock(number(slot)?, whose(role)?)?,
        ["damage", slot] => control.damage(number(slot)?)?,
        ["repair", slot] => control.repair(number(slot)?)?,
        ["show"] => control.rules()?.iter().for_each(|rule| println!("{rule}")),
        ["plug" | "lock" | "unlock" | "damage" | "repair" | "show" | "clear", ..] => {
            return Err(Failure::Usage(format!("`{}` is not complete, or too long", verb.join(" "))));
        }
        rule => control.add(&rule.join(" "))?,
    }
    Ok(())
}

fn number(word: &str) -> Result<u64, Failure> {
    let slot = word.parse().ok().filter(|slot| *slot < hsm_sim::SLOTS);
    slot.ok_or_else(|| Failure::Usage(format!("`{word}` is not a slot")))
}

fn whose(word: &str) -> Result<Role, Failure> {
    match word {
        "user" => Ok(Role::User),
        "officer" => Ok(Role::Officer),
        _ => Err(Failure::Usage(format!("`{word}` is neither `user` nor `officer`"))),
    }
}
