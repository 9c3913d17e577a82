//! The `keyward` command line: wiring, commands, output. Decisions are made in the other rooms.

mod authority;
mod certificate;
mod commands;
mod config;
mod failure;
mod files;
mod keeper;
mod local;
mod lock;
mod moment;
mod output;
mod profile;
mod proxy;
mod sealed;
mod service;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::commands::{Arguments, Context};
use crate::failure::{Failure, Result};
use crate::output::{Format, Output};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output { format: arguments.output };
    match run(arguments, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if output.format == Format::Json {
                output::refusal(&failure.json().to_string());
            }
            output::aside(&format!("keyward: {failure}"));
            failure.exit_code()
        }
    }
}

fn run(arguments: Arguments, output: Output) -> Result<()> {
    start_log(arguments.command.default_log());
    // A second installation is refused and changes nothing.
    let _installed_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Failure::refused("cannot start threads", "free some memory, then try again").because(&error)
    })?;
    let context = Context { output, profile: arguments.profile };
    let done = runtime.block_on(arguments.command.run(&context));
    // A thread that waits for standard input would hold the process up for ever.
    runtime.shutdown_background();
    done
}

/// The log goes to standard error; `KEYWARD_LOG` says how much of it.
fn start_log(default: &str) {
    let filter = std::env::var("KEYWARD_LOG").unwrap_or_else(|_not_set| default.to_owned());
    let filter = EnvFilter::builder().parse_lossy(filter);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // A log whose disk is full must not bring down, nor halt half of, what would have logged.
    log.log_internal_errors(false).init();
}
