//! Blocks with what proves them, for whoever checks them from end to end.

use keyward_ledger_core::{
    block::SignedHeader, certificate::Certificate, export::ProvenBlock, outcome::Outcome, receipt::SetLink,
    state::layout,
};
use keyward_proto::ledger as proto;
use tokio_stream::Stream;

use crate::{
    Client, ClientError, ProofError, following,
    proof::{hashes, malformed},
};

impl Client {
    /// The newest height that a validator can prove now, and the changes of the validator set up to it, verified.
    pub async fn proven_tip(&self) -> Result<(u64, Vec<SetLink>), ClientError> {
        let height = self.state(&layout::parameters_key()).await?.height;
        Ok((height, self.0.checker.links()))
    }

    /// Blocks from a height on, from 1, with what proves them. Each is certified and its records are in the log; that they
    /// follow each other and are what execution gives, `keyward_ledger_verify::History` checks. They come without a gap
    /// and without a repeat, from whichever validator sends them; the stream ends with an error when none sends the next
    /// one.
    pub async fn served(
        &self,
        from_height: u64,
    ) -> Result<impl Stream<Item = Result<ProvenBlock, ClientError>> + use<>, ClientError> {
        following::blocks(self, from_height, |client, height, answer| {
            let anchor = client.0.checker.anchor(answer.anchor.clone())?;
            client.proven_block(answer.clone(), height, &anchor)?;
            as_served(answer)
        })
        .await
    }
}

fn as_served(answer: proto::Block) -> Result<ProvenBlock, ProofError> {
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
