//! Blocks as a validator serves them, for whoever checks them from end to end: nothing here is verified but the links.

use keyward_ledger_core::{
    block::SignedHeader, certificate::Certificate, export::ProvenBlock, outcome::Outcome, receipt::SetLink,
    state::layout,
};
use keyward_proto::ledger::{self as proto, FollowRequest};
use tokio_stream::{Stream, StreamExt as _};

use crate::{
    Client, ClientError, ProofError,
    proof::{hashes, malformed},
    read::refused,
};

impl Client {
    /// The newest height that a validator can prove now, and the changes of the validator set up to it, verified.
    pub async fn proven_tip(&self) -> Result<(u64, Vec<SetLink>), ClientError> {
        let height = self.state(&layout::parameters_key()).await?.height;
        Ok((height, self.0.checker.links()))
    }

    /// Blocks from a height on, from 1, with what is said to prove them. Not verified: `keyward_ledger_verify::History`
    /// does that. Ends with an error when the validator hangs up.
    pub async fn served(
        &self,
        from_height: u64,
    ) -> Result<impl Stream<Item = Result<ProvenBlock, ClientError>> + use<>, ClientError> {
        let request = FollowRequest { from_height: from_height.max(1) };
        let stream = self.ask(|mut rpc| async move { rpc.follow(request).await }, Ok).await?;
        Ok(stream.map(|answer| {
            let answer = answer.map_err(|status| refused(&status))?;
            proven_block(answer).map_err(ClientError::from)
        }))
    }
}

fn proven_block(answer: proto::Block) -> Result<ProvenBlock, ProofError> {
    let anchor = answer.anchor.ok_or(ProofError::Missing { part: "anchor" })?;
    let outcome = |bytes: &bytes::Bytes| Outcome::decode(bytes).map_err(malformed("outcome"));
    let header = |bytes: &bytes::Bytes| SignedHeader::decode(bytes).map_err(malformed("descendants"));
    Ok(ProvenBlock {
        block: answer.block.to_vec(),
        first_leaf: answer.first_leaf,
        outcomes: answer.outcomes.iter().map(outcome).collect::<Result<_, _>>()?,
        range_proof: hashes("range proof", &answer.range_proof)?,
        descendants: answer.descendants.iter().map(header).collect::<Result<_, _>>()?,
        certificate: Certificate::decode(&anchor.certificate).map_err(malformed("certificate"))?,
    })
}
