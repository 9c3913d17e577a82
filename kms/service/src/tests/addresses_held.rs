//! What a use tells of who makes it by when it is released and how long it stands: nothing, whether its root is hosted or a slow device's own.

use std::sync::atomic::Ordering;

use keyward_domain::Code;
use keyward_store::AddressOrigin;

use super::{
    addresses::{Holder, sha256},
    addresses_own::{Begun, Own},
    world::{World, code},
};

/// Releases that are recorded when so much more time has passed.
async fn recorded_after(world: &World, ms: u64) -> usize {
    world.pass_ms(ms);
    world.custody.record_releases().await.unwrap()
}

/// Records a use of an own root; its device is then `ms` on its way, and signs.
async fn signs_after(own: &Own, index: u32, ms: u64) -> Begun {
    let begun = own.begin_as(own.wanted(index, b"pay")).await.unwrap();
    own.record(&begun, own.proof(&begun)).await.unwrap();
    own.holder.world.pass_ms(ms);
    own.finish(&begun, &own.sign(&begun, &sha256(b"pay"))).await.unwrap();
    begun
}

#[tokio::test]
async fn releases_are_held_back_by_one_rule_from_when_the_use_is_final() {
    let hosted = Holder::hosted().await;
    for _ in 0..32 {
        hosted.sign(None, b"pay").await.unwrap();
    }
    assert_eq!(recorded_after(&hosted.world, 9_999).await, 0);
    let early = recorded_after(&hosted.world, 5_000).await;
    assert!((1..32).contains(&early), "{early} of 32 within the first half");
    assert_eq!(recorded_after(&hosted.world, 5_000).await, 32 - early);

    // However long a device takes, up to where the first are released.
    let own = Own::new().await;
    for index in 0..16 {
        signs_after(&own, index, 9_000).await;
        assert_eq!(recorded_after(&own.holder.world, 999).await, 0);
        assert_eq!(recorded_after(&own.holder.world, 10_001).await, 1);
    }
}

#[tokio::test]
async fn what_answers_later_than_that_is_held_back_anew() {
    let own = Own::new().await;
    signs_after(&own, 0, 60_000).await;
    assert_eq!(recorded_after(&own.holder.world, 9_999).await, 0, "when it answered is not told either");
    assert_eq!(recorded_after(&own.holder.world, 10_001).await, 1);
}

#[tokio::test]
async fn nothing_is_held_back_to_where_the_ledger_takes_it_no_more() {
    let own = Own::new().await;
    let begun = own.begin_as(own.wanted(0, b"pay")).await.unwrap();
    own.record(&begun, own.proof(&begun)).await.unwrap();
    let height = &own.holder.world.ledger.height;
    height.store(begun.used.not_after - 513, Ordering::Relaxed);
    own.finish(&begun, &own.sign(&begun, &sha256(b"pay"))).await.unwrap();
    assert_eq!(recorded_after(&own.holder.world, 0).await, 0);
    height.store(begun.used.not_after - 512, Ordering::Relaxed);
    assert_eq!(recorded_after(&own.holder.world, 0).await, 1);
}

#[tokio::test]
async fn what_is_held_back_survives_a_restart() {
    let holder = Holder::hosted().await;
    holder.sign(None, b"pay").await.unwrap();
    let Holder { world, who } = holder;
    let holder = Holder { world: world.restart().await, who };
    assert_eq!((holder.world.custody.record_releases().await.unwrap(), holder.queued().await), (0, 1));
    assert_eq!(holder.released().await, 1);
    assert_eq!(holder.queued().await, 0);
}

#[tokio::test]
async fn an_intent_whose_end_would_tell_when_it_was_begun_is_begun_again() {
    let own = Own::new().await;
    let height = &own.holder.world.ledger.height;
    height.store(1_023, Ordering::Relaxed);
    let begun = own.begin_as(own.wanted(5, b"pay")).await.unwrap();
    height.store(1_024, Ordering::Relaxed);
    let stale = own.record(&begun, own.proof(&begun)).await;
    assert_eq!(code(stale), Code::AddressIntentStale);
    assert_eq!(own.holder.uses().len(), 0, "nothing is handed in");
    assert_eq!(own.holder.list().await.len(), 0, "and nothing of it stays");
    assert_eq!(code(own.record(&begun, own.proof(&begun)).await), Code::SigningUnknown);

    let again = signs_after(&own, 5, 0).await;
    assert_eq!((begun.used.not_after, again.used.not_after), (4_096, 5_120));
    assert_ne!(again.used.id, begun.used.id);
    assert_eq!(own.holder.list().await[0].row.new.origin, AddressOrigin::Index(5));
    // What was handed in is not stale any more, however long its signature takes.
    let late = own.begin_as(own.wanted(6, b"pay")).await.unwrap();
    own.record(&late, own.proof(&late)).await.unwrap();
    height.store(2_048, Ordering::Relaxed);
    own.finish(&late, &own.sign(&late, &sha256(b"pay"))).await.unwrap();
}
