//! Handing a batch in until it is final: to one validator, and to the next when it does not answer soon.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use keyward_ledger_core::batch::SignedBatch;
use keyward_proto::ledger::{SubmitRequest, SubmitResponse};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tonic::Status;

use crate::{
    Client, CommitError, ProofError, Recorded, describe,
    error::{code_of, may_ask_another},
    proof,
};

/// After how long without an answer the next validator is asked as well. The first answer that verifies wins;
/// the ledger records a batch once, whoever hands it in.
pub(crate) const HEDGE: Duration = Duration::from_millis(900);

impl Client {
    /// Hands a batch in, waits for finality and verifies the proof of each of its records, in order.
    pub async fn submit(&self, batch: &SignedBatch) -> Result<Vec<Recorded>, CommitError> {
        let deadline = Instant::now() + self.0.deadline;
        let mut calls: JoinSet<(usize, Result<SubmitResponse, Status>)> = JoinSet::new();
        let mut order: Vec<usize> = self.nodes().map(|(index, _)| index).collect();
        order.reverse();
        let mut failure = Failures::default();
        loop {
            if let Some(index) = order.pop() {
                self.call(&mut calls, index, batch);
            } else if calls.is_empty() {
                // Every validator failed at once: ask them all again after a breath, until time is up.
                if Instant::now() + HEDGE >= deadline {
                    break;
                }
                tokio::time::sleep(HEDGE / 3).await;
                order = self.nodes().map(|(index, _)| index).collect();
                continue;
            }
            let until = if order.is_empty() { deadline } else { deadline.min(Instant::now() + HEDGE) };
            match timeout_at(until, calls.join_next()).await {
                Ok(Some(Ok((index, answer)))) => match self.accept(batch, answer) {
                    Ok(records) => {
                        self.prefer(index);
                        return Ok(records);
                    }
                    Err(reason) => {
                        failure.add(self, index, reason);
                        if failure.refused(self.liars_max()).is_some() {
                            break;
                        }
                    }
                },
                Ok(Some(Err(_)) | None) => {}
                Err(_elapsed) if Instant::now() >= deadline => break,
                Err(_elapsed) => {}
            }
        }
        Err(failure.into_error(self.liars_max(), batch.not_after()))
    }

    fn call(
        &self,
        calls: &mut JoinSet<(usize, Result<SubmitResponse, Status>)>,
        index: usize,
        batch: &SignedBatch,
    ) {
        let Some(node) = self.0.nodes.get(index) else { return };
        let mut rpc = node.rpc.clone();
        let request = SubmitRequest { batch: Bytes::copy_from_slice(batch.bytes()), wait: true };
        calls.spawn(async move { (index, rpc.submit(request).await.map(tonic::Response::into_inner)) });
    }

    fn accept(
        &self,
        batch: &SignedBatch,
        answer: Result<SubmitResponse, Status>,
    ) -> Result<Vec<Recorded>, Reason> {
        let answer = answer.map_err(Reason::Status)?;
        let fin = answer.r#final.ok_or(Reason::Proof(ProofError::Missing { part: "final" }))?;
        let (header, proven) = proof::batch_records(&self.0.checker, batch, fin).map_err(Reason::Proof)?;
        self.saw(&header);
        Ok(proven.into_iter().map(|proven| Recorded::new(proven, Arc::clone(&header))).collect())
    }
}

enum Reason {
    Status(Status),
    Proof(ProofError),
}

/// What went wrong so far. A refusal carries no proof, so one validator's word does not end a submission.
#[derive(Default)]
struct Failures {
    last: String,
    refusals: Vec<(usize, String, String)>,
    unproven: Option<ProofError>,
}

impl Failures {
    fn add(&mut self, client: &Client, index: usize, reason: Reason) {
        match reason {
            Reason::Status(status) if may_ask_another(&status) => {
                self.last = client.0.nodes.get(index).map(|node| describe(node, &status)).unwrap_or_default();
            }
            Reason::Status(status) => {
                self.refusals.retain(|(other, ..)| *other != index);
                self.refusals.push((index, code_of(&status), status.message().to_owned()));
            }
            Reason::Proof(error) => {
                tracing::warn!(%error, index, "a validator's answer does not verify");
                self.unproven = Some(error);
            }
        }
    }

    /// What more validators refuse with one code than may lie.
    fn refused(&self, liars_max: usize) -> Option<(String, String)> {
        let agree = |code: &String| self.refusals.iter().filter(|(_, other, _)| other == code).count();
        let refusal = self.refusals.iter().find(|(_, code, _)| agree(code) > liars_max);
        refusal.map(|(_, code, message)| (code.clone(), message.clone()))
    }

    fn into_error(self, liars_max: usize, may_become_final_until: u64) -> CommitError {
        if let Some((code, message)) = self.refused(liars_max) {
            return CommitError::Refused { code, message };
        }
        if let Some(source) = self.unproven {
            return CommitError::Unproven { source };
        }
        let single = self
            .refusals
            .last()
            .map(|(_, code, message)| format!("a validator refuses with `{code}`, others do not: {message}"));
        let reasons = [single, Some(self.last)].into_iter().flatten().find(|reason| !reason.is_empty());
        let reason = reasons.unwrap_or_else(|| "no answer in time".into());
        CommitError::Unavailable { may_become_final_until, reason }
    }
}
