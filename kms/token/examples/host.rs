//! The smallest host of a PKCS#11 module: a child process that a `Module` of its parent talks to.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(module) = std::env::args_os().next_back() else { return ExitCode::FAILURE };
    match keyward_token::serve_host(Path::new(&module)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("host: {error}");
            ExitCode::FAILURE
        }
    }
}
