//! `keyward completions SHELL`.

use clap::CommandFactory as _;

use super::Arguments;
use crate::failure::Result;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell to print completions for.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completions {
    #[expect(clippy::unnecessary_wraps, reason = "commands answer alike")]
    pub(crate) fn run(self) -> Result<()> {
        // Made first: `generate` panics where it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "keyward", &mut script);
        output::line(String::from_utf8_lossy(&script).trim_end());
        Ok(())
    }
}
