//! One contract for every adapter. PKCS#11 takes its settings from the process's environment and keeps its
//! state per process, so each clause runs in a process of its own, in a folder of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

pub mod clauses;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyward_token::{HostProgram, Module, Pin, TokenName};

const CHILD: &str = "KEYWARD_TOKEN_CONTRACT_DIR";
pub const LABEL: &str = "contract";
pub const SO_PIN: &str = "87654321";
pub const PIN: &str = "12345678";

/// A PKCS#11 implementation under test.
pub struct Adapter {
    pub name: &'static str,
    /// Where the module is, or why there is none; `None` skips, as the caller asked for.
    pub module: fn() -> Option<PathBuf>,
    /// Prepares the folder and names the environment that points at it.
    pub environment: fn(&Path) -> Vec<(&'static str, PathBuf)>,
    /// Whether the PIN locks after some wrong ones.
    pub locks: bool,
    /// Whether it offers BIP340.
    pub bip340: bool,
    /// Whether it offers SM2.
    pub sm2: bool,
    /// Whether the module is loaded in a child process.
    pub hosted: bool,
}

/// A token of the adapter, initialised and logged in to.
pub struct Fixture {
    pub adapter: &'static Adapter,
    pub folder: PathBuf,
    pub path: PathBuf,
    pub module: Module,
    pub token: TokenName,
}

/// Runs a clause in a process of its own: this executable again, with the environment set.
pub fn in_own_process(adapter: &'static Adapter, test: &str, clause: fn(&Fixture)) {
    let Some(path) = (adapter.module)() else { return };
    if let Some(folder) = env::var_os(CHILD) {
        return clause(&fixture(adapter, path, PathBuf::from(folder)));
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder.path())
        .envs((adapter.environment)(folder.path()))
        .output()
        .unwrap();
    let ran = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(
        output.status.success() && ran,
        "{} breaks `{test}`:\n{}\n{}",
        adapter.name,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn fixture(adapter: &'static Adapter, path: PathBuf, folder: PathBuf) -> Fixture {
    let module = open(adapter, &path);
    let token = module.init_token(pin(SO_PIN), pin(PIN), LABEL).wait().unwrap();
    assert_eq!(token.label, LABEL);
    let token = TokenName::new(LABEL);
    module.login(&token, pin(PIN)).wait().unwrap();
    Fixture { adapter, folder, path, module, token }
}

/// A module of the adapter.
pub fn open(adapter: &Adapter, path: &Path) -> Module {
    if adapter.hosted { Module::open_in_child(path, host()).unwrap() } else { Module::open(path).unwrap() }
}

/// The program that becomes a child: an example of this crate, which lies beside the tests.
pub fn host() -> HostProgram {
    let program = env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/host");
    assert!(program.is_file(), "`{}` was not built", program.display());
    HostProgram::new(program, Vec::new())
}

pub fn pin(text: &str) -> Pin {
    Pin::new(text.to_owned()).unwrap()
}

/// The contract: each clause becomes a test whose name is its promise.
#[macro_export]
macro_rules! contract_for {
    ($adapter:expr, $($clause:ident),+ $(,)?) => {
        $(
            #[test]
            fn $clause() {
                let module = module_path!().split_once("::").map_or("", |(_, module)| module);
                let test = format!("{module}::{}", stringify!($clause));
                $crate::contract::in_own_process(&$adapter, &test, $crate::contract::clauses::$clause);
            }
        )+
    };
    ($adapter:expr) => {
        $crate::contract_for!(
            $adapter,
            token_is_named_by_label_and_serial_and_made_once,
            missing_token_error_names_what_is_there,
            every_kind_signs_so_that_the_ledgers_rule_accepts,
            digest_is_refused_where_the_message_is_signed,
            scheme_of_another_kind_is_refused,
            made_keys_claim_that_they_cannot_leave,
            key_of_one_label_is_made_once,
            two_keys_that_match_are_refused_by_naming_both,
            destroyed_key_is_missing_and_not_signed_with,
            sealed_secret_opens_with_its_name_only,
            key_encryption_key_cannot_be_read_or_wrapped,
            removed_key_encryption_key_opens_nothing_and_takes_no_other_with_it,
            wrong_pin_is_tried_once_and_harms_no_login,
            pins_are_not_guessed_beside_a_login_that_stands,
            wrong_pins_lock_where_the_token_locks,
            nothing_is_signed_without_a_login,
            library_ended_by_another_is_begun_again,
            removed_token_is_missing_and_works_when_it_is_back,
            job_past_its_deadline_is_answered_timeout,
            concurrent_signatures_all_verify,
            random_bytes_differ,
            log_out_forgets_the_pin,
            logins_harm_no_signature_under_way,
        );
    };
}
