//! `keyward bench`: what the parts reach on this machine.

use super::Context;
use crate::failure::{Failure, Result};

#[derive(Debug, clap::Args)]
pub(crate) struct Bench {}

impl Bench {
    #[expect(clippy::unused_async, reason = "commands answer alike")]
    pub(crate) async fn run(self, _context: &Context) -> Result<()> {
        Err(Failure::usage("nothing is measured yet", "wait for the next version"))
    }
}
