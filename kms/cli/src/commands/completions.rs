//! `keyward completions SHELL`.

use clap::CommandFactory as _;

use super::Arguments;
use crate::failure::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell to print completions for.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completions {
    #[expect(clippy::unnecessary_wraps, reason = "commands answer alike")]
    pub(crate) fn run(self) -> Result<()> {
        clap_complete::generate(self.shell, &mut Arguments::command(), "keyward", &mut std::io::stdout());
        Ok(())
    }
}
