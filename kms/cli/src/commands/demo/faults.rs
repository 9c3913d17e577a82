//! What goes wrong in the story: a changed byte, validators that die.

use std::time::{Duration, Instant};

use super::story::Story;
use crate::commands::verify::verify;
use crate::failure::{Failure, Result};
use crate::local::cluster::Cluster;
use crate::service::failed;

/// How long the restarted ledger may take to sign again.
const RECOVERY_DEADLINE: Duration = Duration::from_secs(60);
/// Within this an unavailable ledger is said to be so.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(15);

impl Story<'_> {
    pub(super) fn change_a_byte(&mut self) -> Result<()> {
        self.step("One byte is changed: verification names what no longer holds.");
        let Some(row) = self.rows.first() else { return Ok(()) };
        let receipt = &row.signed.receipt;
        let end_of_signature = receipt.len().saturating_sub(1);
        let changes = [
            (
                "the message",
                receipt.clone(),
                flipped(self.message, self.message.len() / 2),
                self.trust.clone(),
            ),
            ("the receipt's record", flipped(receipt, 20), self.message.to_vec(), self.trust.clone()),
            ("its signature", flipped(receipt, end_of_signature), self.message.to_vec(), self.trust.clone()),
            (
                "the trust file",
                receipt.clone(),
                self.message.to_vec(),
                flipped(&self.trust, self.trust.len() - 3),
            ),
        ];
        for (what, receipt, message, trust) in changes {
            match verify(&trust, &receipt, Some(&message)) {
                Ok(_) => {
                    let what = format!("{what} was changed and still verifies");
                    return Err(Failure::refused(what, "tell us: this must not be"));
                }
                Err(error) => self.say(format!("{what:<21} -> [{}] {error}", error.code())),
            }
        }
        Ok(())
    }

    pub(super) async fn lose_one(&mut self, cluster: &mut Cluster) -> Result<()> {
        let pid = cluster.node_id(4).unwrap_or_default();
        self.step(&format!("node-4 (process {pid}) is killed with SIGKILL; signing goes on."));
        cluster.kill_node(4).await?;
        self.sign_again("with three of four validators").await
    }

    pub(super) async fn sign_again(&mut self, when: &str) -> Result<()> {
        let Some(actor) = self.actors().into_iter().next() else { return Ok(()) };
        let start = Instant::now();
        let mut tries = 1;
        let signed = loop {
            match self.sign(&actor).await {
                Ok(signed) => break signed,
                Err(error) if error.retryable() && start.elapsed() < RECOVERY_DEADLINE => tries += 1,
                Err(error) => return Err(failed("cannot sign")(error)),
            }
        };
        self.check(&signed.receipt, self.message)?;
        let again = if tries > 1 { format!(", at attempt {tries}") } else { String::new() };
        self.say(format!("signed {when}, receipt valid: {} ms{again}", start.elapsed().as_millis()));
        Ok(())
    }

    pub(super) async fn lose_two(&mut self, cluster: &mut Cluster) -> Result<()> {
        let pid = cluster.node_id(3).unwrap_or_default();
        self.step(&format!("node-3 (process {pid}) is killed too: no quorum, so nothing may be signed."));
        cluster.kill_node(3).await?;
        let Some(actor) = self.actors().into_iter().next() else { return Ok(()) };
        let start = Instant::now();
        let refused = tokio::time::timeout(REFUSAL_DEADLINE, self.sign(&actor)).await;
        let seconds = start.elapsed().as_secs_f32();
        match refused {
            Ok(Err(error)) if error.unreachable() && error.retryable() => {
                let code = error.code().unwrap_or("no code").to_owned();
                self.say(format!("refused as unavailable after {seconds:.1} s [{code}]: {error}"));
                let status =
                    self.operator.status().await.map_err(failed("cannot see the service's status"))?;
                let count = status.unreleased.len();
                self.say(format!("nothing was signed; intents handed in and not released: {count}"));
                Ok(())
            }
            Ok(Err(error)) => {
                Err(failed("the ledger has no quorum, and signing is not refused as unavailable")(error))
            }
            Ok(Ok(_)) => {
                Err(Failure::refused("a signature left without a quorum", "tell us: this must not be"))
            }
            Err(_elapsed) => Err(Failure::refused(
                format!("signing is not refused within {} s", REFUSAL_DEADLINE.as_secs()),
                "read the service's log",
            )),
        }
    }

    pub(super) async fn recover(&mut self, cluster: &mut Cluster) -> Result<()> {
        self.step("node-3 and node-4 start again on what their disks hold, catch up, and signing goes on.");
        cluster.start_node(3).await?;
        cluster.start_node(4).await?;
        self.sign_again("after the restart").await
    }
}

/// The bytes with one bit changed.
fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    if let Some(byte) = changed.get_mut(at) {
        *byte ^= 1;
    }
    changed
}
