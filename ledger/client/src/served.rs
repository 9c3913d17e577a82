//! Blocks as a validator serves them, for whoever checks them from end to end: nothing here is verified but the links.

use keyward_ledger_core::{
    block::{SIGNED_HEADER_BYTES, SignedHeader},
    certificate::Certificate,
    export::ProvenBlock,
    outcome::Outcome,
    receipt::SetLink,
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

    /// Blocks from a height on, from 1, with what is said to prove them. Not verified: `keyward_ledger_verify::History`
    /// does that. They come without a gap and without a repeat, from whichever validator sends them; the stream ends
    /// with an error when none sends the next one.
    pub async fn served(
        &self,
        from_height: u64,
    ) -> Result<impl Stream<Item = Result<ProvenBlock, ClientError>> + use<>, ClientError> {
        following::blocks(self, from_height, |_, height, answer| proven_block(answer, height)).await
    }
}

fn proven_block(answer: proto::Block, height: u64) -> Result<ProvenBlock, ProofError> {
    let own = answer.block.get(..SIGNED_HEADER_BYTES).ok_or(ProofError::Missing { part: "block" })?;
    if SignedHeader::decode(own).map_err(malformed("block"))?.header.height != height {
        return Err(ProofError::Other { part: "height" });
    }
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
