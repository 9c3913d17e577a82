//! Who breaks off or lies is left for the next, and nobody is asked more often than is said.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use keyward_ledger_core::outcome::{Outcome, Refusal};
use keyward_proto::ledger as proto;
use tokio_stream::StreamExt as _;
use tonic::Status;

use crate::{
    ClientError,
    world::{Answers, Says, World, answers},
};

/// Sends the blocks, with a lie in the one of a height, and then ends.
struct Sends {
    blocks: Vec<proto::Block>,
    asked: Arc<AtomicUsize>,
}

impl Says for Sends {
    fn follow(&self, from: u64) -> Result<Answers<proto::Block>, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let skip = usize::try_from(from).unwrap() - 1;
        Ok(answers(self.blocks.iter().skip(skip).cloned().collect(), false))
    }
}

fn sends(blocks: Vec<proto::Block>, asked: &Arc<AtomicUsize>) -> Arc<dyn Says> {
    Arc::new(Sends { blocks, asked: asked.clone() })
}

#[tokio::test]
async fn validators_that_have_nothing_more_are_asked_as_often_as_is_said() {
    let (world, asked) = (World::of(2), Arc::default());
    let blocks: Vec<_> = (1..=2).map(|height| world.block(height)).collect();
    let client = world.client((0..4).map(|_| sends(blocks.clone(), &asked)).collect()).await;
    let mut followed = Box::pin(client.follow(1).await.unwrap());
    for _ in 0..2 {
        followed.next().await.unwrap().unwrap();
    }
    let last = followed.next().await;
    assert!(matches!(last, Some(Err(ClientError::Unreachable { .. }))), "{last:?}");
    assert!(followed.next().await.is_none());
    // The first one that answered, and three rounds of four: the last of its tries ends the stream.
    assert_eq!(asked.load(Ordering::Relaxed), 12);
}

#[tokio::test]
async fn a_block_that_is_not_the_certified_one_is_asked_of_the_next_validator() {
    let (world, asked) = (World::of(2), Arc::default());
    let honest: Vec<_> = (1..=2).map(|height| world.block(height)).collect();
    type Lie = fn(&World, &mut proto::Block);
    let lies: [Lie; 4] = [
        |_, block| block.outcomes[0] = Outcome::refused(Refusal::Expired).encode().into(),
        |world, block| block.block = world.block(1).block,
        |world, block| block.anchor = Some(world.block(1).anchor.unwrap()),
        |world, block| block.range_proof = world.block(1).range_proof,
    ];
    for lie in lies {
        let mut lying = honest.clone();
        lie(&world, lying.last_mut().unwrap());
        let client = world.client(vec![sends(lying, &asked), sends(honest.clone(), &asked)]).await;
        let mut served = Box::pin(client.served(1).await.unwrap());
        for block in &honest {
            let sent = served.next().await.unwrap().unwrap();
            assert_eq!((&sent.block[..], sent.first_leaf), (&block.block[..], block.first_leaf));
            let outcomes: Vec<_> = sent.outcomes.iter().map(Outcome::encode).collect();
            assert_eq!(outcomes, block.outcomes);
        }
    }
}
