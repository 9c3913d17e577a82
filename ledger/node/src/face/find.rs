//! Questions to the look-up: within bounds, in turn, and answered with proofs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use keyward_ledger_core::{log::prove_inclusion, question::Question};
use keyward_proto::ledger::{FindRequest, FindResponse, RecordProof};
use tonic::Status;

use super::{Face, failed, hashes, streams};
use crate::{
    lookup::{self, FOUND_MAX, FindError},
    refusal::Refusal,
    shared::{Anchor, Shared},
};

/// Records of an answer where the question names no bound.
const LIMIT: usize = 64;
/// How long a question waits until everything certified is noted.
const NOTED_WAIT: Duration = Duration::from_millis(500);
/// How long a question waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(3);

impl Face {
    pub(super) async fn find_records(
        &self,
        request: &FindRequest,
        connection: Option<SocketAddr>,
    ) -> Result<FindResponse, Status> {
        let (question, limit) = parse(request)?;
        let _slot = self.streams.take(streams::Kind::Find, connection)?;
        let anchor = self.anchor().await?;
        let mut progress = self.shared.lookup.progress();
        let noted = progress.wait_for(|covered| *covered >= anchor.height());
        let _or_not = self.shared.timer.within(NOTED_WAIT, noted).await.is_some();
        let found = match self.search(question, request.from_leaf, limit, &anchor).await? {
            // What is missing is brought back from the others; then once more.
            Err(FindError::Missing(height)) => {
                self.bytes(height).await?;
                self.search(question, request.from_leaf, limit, &anchor).await?
            }
            found => found,
        };
        found.map_err(|error| self.cannot(&error))
    }

    /// Looks once it is this question's turn, on a thread that may block.
    async fn search(
        &self,
        question: Question,
        from_leaf: u64,
        limit: usize,
        anchor: &Arc<Anchor>,
    ) -> Result<Result<FindResponse, FindError>, Status> {
        let turn = self.shared.lookup.places.clone().acquire_owned();
        let turn = self.shared.timer.within(TURN_WAIT, turn).await.and_then(Result::ok);
        let turn = turn.ok_or_else(|| {
            Refusal::LookUpBusy
                .status("too many questions are asked here; try again or ask another validator")
        })?;
        let (shared, anchor) = (self.shared.clone(), anchor.clone());
        let looking = move || {
            // The turn ends with the work, though whoever asked may have hung up long before.
            let _turn = turn;
            answer(&shared, &question, from_leaf, limit, &anchor)
        };
        tokio::task::spawn_blocking(looking).await.map_err(|error| failed(&error))
    }

    fn cannot(&self, error: &FindError) -> Status {
        if let FindError::Missing(_) = error {
            self.shared.scrub.ask();
        }
        failed(error)
    }
}

/// What is found, with its proofs. Blocks.
fn answer(
    shared: &Shared,
    question: &Question,
    from_leaf: u64,
    limit: usize,
    anchor: &Anchor,
) -> Result<FindResponse, FindError> {
    let page = lookup::find(shared, question, from_leaf, limit, anchor)?;
    let size = anchor.ledger.log().size();
    let proven = page.found.into_iter().map(|(leaf_index, record)| {
        let path = hashes(prove_inclusion(&shared.index, leaf_index, size)?);
        Ok(RecordProof { leaf_index, leaf: record.encode().into(), path })
    });
    Ok(FindResponse {
        records: proven.collect::<Result<_, FindError>>()?,
        anchor: Some(anchor.to_proto()),
        next_leaf: page.next_leaf,
        more: page.more,
        complete_to: page.complete_to,
    })
}

fn parse(request: &FindRequest) -> Result<(Question, usize), Status> {
    let malformed = |text: String| Refusal::RequestMalformed.status(text);
    let hash = |name: &str, bytes: &Option<bytes::Bytes>| {
        let bytes = bytes.as_deref().map(<[u8; 32]>::try_from).transpose();
        bytes.map_err(|error| malformed(format!("`{name}` has 32 bytes: {error}")))
    };
    let kind = request.kind.map(u16::try_from).transpose();
    let question = Question {
        id: hash("id", &request.id)?,
        submitter: hash("submitter", &request.submitter)?,
        kind: kind.map_err(|error| malformed(format!("`kind` has 16 bits: {error}")))?,
        subject: hash("subject", &request.subject)?,
        from_ms: request.from_ms,
        to_ms: request.to_ms,
    };
    if let (Some(from), Some(to)) = (question.from_ms, question.to_ms)
        && from >= to
    {
        return Err(malformed(format!("nothing is at {from} ms or later and before {to} ms")));
    }
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    match limit {
        0 => Ok((question, LIMIT)),
        1..=FOUND_MAX => Ok((question, limit)),
        _ => Err(malformed(format!("an answer has at most {FOUND_MAX} records"))),
    }
}
