//! The boxed [`Application`] behind commonware's application trait.
use crate::{
    Ancestors, Application, Block, ProposeContext,
    block::{BlockCodec, Sealed},
    strict::StrictScheme,
};
use commonware_consensus::{Epochable as _, marshal::ancestry::Ancestry, simplex::types::Context};
use commonware_cryptography::{Digested, ed25519::PublicKey, sha256::Digest};
use commonware_runtime::Clock;
use futures::StreamExt as _;
use std::{sync::Arc, time::Duration};
use tracing::error;

/// One node's application, cloned for every request.
#[derive(Clone)]
pub(crate) struct Bridge {
    pub(crate) application: Arc<dyn Application>,
    pub(crate) codec: BlockCodec,
    pub(crate) time_out: Duration,
}

impl Bridge {
    fn context(&self, context: &Context<Digest, PublicKey>) -> ProposeContext {
        ProposeContext {
            epoch: context.epoch().get(),
            view: context.round.view().get(),
            parent_view: context.parent.0.get(),
            leader: key_bytes(&context.leader),
            time_out: self.time_out,
        }
    }
}

pub(crate) fn key_bytes(key: &PublicKey) -> [u8; 32] {
    let bytes: &[u8] = key.as_ref();
    // INVARIANT: an Ed25519 public key has 32 bytes.
    bytes.try_into().unwrap_or([0; 32])
}

fn ancestors(stream: impl Ancestry<Sealed>) -> Ancestors {
    Ancestors::new(stream.map(|block| block.inner().0.clone()))
}

impl<E: Clock + Send + 'static> commonware_consensus::Application<E> for Bridge {
    type SigningScheme = StrictScheme;
    type Context = Context<Digest, PublicKey>;
    type Block = Sealed;
    type Input = ();

    async fn propose(
        &mut self,
        (_, context): (E, Self::Context),
        mut ancestry: impl Ancestry<Sealed>,
        (): (),
    ) -> Option<Digested<Sealed>> {
        let parent = ancestry.next().await?.inner().0.clone();
        let (height, digest) = (parent.height.checked_add(1)?, parent.digest);
        let context = self.context(&context);
        let bytes = self.application.propose(context, parent, ancestors(ancestry)).await?;
        let block = Block::parse(&*self.codec.0, bytes);
        let block = block.filter(|block| block.height == height && block.parent == digest);
        if block.is_none() {
            error!(height, "the application proposed bytes that are not a child of the parent");
        }
        block.map(Sealed::digested)
    }

    async fn verify(
        &mut self,
        (_, context): (E, Self::Context),
        mut ancestry: impl Ancestry<Sealed>,
    ) -> bool {
        let Some(block) = ancestry.next().await else { return false };
        let Some(parent) = ancestry.next().await else { return false };
        let context = self.context(&context);
        let (parent, block) = (parent.inner().0.clone(), block.inner().0.clone());
        self.application.verify(context, parent, block, ancestors(ancestry)).await
    }
}
