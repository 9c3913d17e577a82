//! placeholder
use super::Context;
use crate::failure::Result;
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {}
impl Demo {
    pub(crate) async fn run(self, _c: &Context) -> Result<()> {
        Ok(())
    }
}
