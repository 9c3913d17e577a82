//! A key's life in the story: a new version, an old one scheduled for destruction, and kept after all.

use keyward_domain::Code;

use super::story::Story;
use crate::commands::verify::{invalid, verify};
use crate::failure::{Failure, Result};
use crate::service::failed;

const ALIAS: &str = "app-secp256k1";
const OLD: &str = "app-secp256k1@1";
/// Long enough that nothing is destroyed before it is taken back.
const WAIT_MS: u64 = 3_600_000;

impl Story<'_> {
    pub(super) async fn rotate(&mut self) -> Result<()> {
        self.step(
            "The app's key is rotated: the alias means the new version, and the old one signs no more.",
        );
        let rotated = self.app.rotate_app_key(ALIAS).await.map_err(failed("cannot rotate the app's key"))?;
        self.entry(&rotated.receipt)?;
        self.say(format!("{ALIAS} is version {} now", rotated.key.version));
        match self.app.sign_message(OLD, self.message).await {
            Err(error) if error.code() == Some(Code::KeySuperseded.name()) => {
                self.say(format!("{OLD} is refused: {}", Code::KeySuperseded));
            }
            Err(error) => return Err(failed("the old version is refused otherwise than it should")(error)),
            Ok(_) => {
                return Err(Failure::refused("the old version signed", "look at the service's log"));
            }
        }
        let scheduled = self.app.schedule_destruction(OLD, WAIT_MS).await;
        self.entry(&scheduled.map_err(failed("cannot schedule the destruction"))?.receipt)?;
        self.say(format!("{OLD} is scheduled for destruction in an hour"));
        let kept = self.app.cancel_destruction(OLD).await;
        let kept = kept.map_err(failed("cannot cancel the destruction"))?;
        self.entry(&kept.receipt)?;
        self.say(format!("{OLD} is kept after all: it is {} again", kept.key.state));
        Ok(())
    }

    /// Verifies the receipt of a change offline.
    fn entry(&self, receipt: &[u8]) -> Result<()> {
        verify(&self.trust, receipt, None).map(drop).map_err(|error| invalid(&error))
    }
}
