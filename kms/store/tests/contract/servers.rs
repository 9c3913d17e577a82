//! Several servers over one database: two stores, as two processes would open them.

use std::time::{Duration, Instant};

use keyward_store::{
    Act, ActKind, Change, Claimed, Id, IntentState, KeyState, Server, Store, StoreError, Taken,
};

use super::{claim, id, intent, key, keys::set, open_account, signed};

fn server(name: &str, boot: u8, submitter: u8) -> Server {
    Server { boot: [boot; 16], name: name.into(), submitter: [submitter; 32] }
}

fn act(boot: u8) -> Act {
    Act {
        id: id(&format!("act of {boot}")),
        kind: ActKind::Freeze,
        subject: id("k"),
        detail: "x".into(),
        until: 9,
        created_ms: 1,
        boot: [boot; 16],
        name: None,
    }
}

/// Both stores are over one fresh database; `third` opens it once more.
pub(crate) async fn suite<S: Store + Clone + 'static>(a: S, b: S, third: impl AsyncFn() -> S) {
    super::signing_key(&a).await;
    races_have_one_winner(&a, &b).await;
    freezing_and_signing_do_not_cross(&a, &b).await;
    let c = third().await;
    the_living_are_left_alone_and_the_dead_inherited(a, b, c).await;
}

async fn races_have_one_winner<S: Store + Clone + 'static>(a: &S, b: &S) {
    for round in 0..40_u32 {
        let mark = format!("race {round}");
        let begin = |store: &S, boot: u8| {
            let (store, mark) = (store.clone(), mark.clone());
            tokio::spawn(async move {
                let name = format!("{mark}/{boot}");
                store.begin_intent(intent(&name), Some(claim(&mark, 1, boot))).await.unwrap()
            })
        };
        let entered = [server("a", 101, 101), server("b", 102, 102)];
        if round == 0 {
            a.enter(entered[0].clone()).await.unwrap();
            b.enter(entered[1].clone()).await.unwrap();
        }
        let (one, two) = tokio::join!(begin(a, 101), begin(b, 102));
        let mut both = [one.unwrap(), two.unwrap()];
        both.sort_by_key(|claimed| *claimed != Claimed::New);
        assert_eq!(both, [Claimed::New, Claimed::InProgress], "round {round}");
    }
    for round in 0..20_u8 {
        let nonce: Id = [round; 32];
        let row =
            keyward_store::Challenge { nonce, account: id("x"), scheme: 1, not_after: 9, expires_ms: 100 };
        a.apply(vec![Change::PutChallenge(row.clone())]).await.unwrap();
        let (one, two) = tokio::join!(a.take_challenge(nonce, 50), b.take_challenge(nonce, 50));
        let live = [one.unwrap(), two.unwrap()].into_iter().filter(|taken| *taken != Taken::Unknown).count();
        assert_eq!(live, 1, "round {round}");
    }
}

async fn freezing_and_signing_do_not_cross<S: Store>(a: &S, b: &S) {
    open_account(a, "crossing").await;
    let row = key("crossing", "k");
    a.apply(vec![Change::InsertKey(row.clone())]).await.unwrap();
    a.apply(vec![set(row.key_id, KeyState::Pending, KeyState::Active)]).await.unwrap();
    let known = b.key(row.key_id).await.unwrap().unwrap();
    a.apply(vec![set(row.key_id, KeyState::Active, KeyState::Frozen)]).await.unwrap();
    let mut decided = intent("after the freeze");
    decided.key_id = row.key_id;
    decided.key_revision = known.revision;
    assert_eq!(b.begin_intent(decided, None).await.unwrap(), Claimed::Stale);
}

async fn the_living_are_left_alone_and_the_dead_inherited<S: Store>(a: S, b: S, c: S) {
    let taken = c.enter(server("c", 103, 102)).await;
    assert!(matches!(&taken, Err(StoreError::SubmitterInUse { by }) if by == "b"), "{taken:?}");
    c.enter(server("c", 103, 103)).await.unwrap();
    a.apply(vec![Change::PutAct(act(101))]).await.unwrap();
    a.begin_intent(intent("a's own"), Some(claim("a's own", 1, 101))).await.unwrap();
    assert_eq!(b.take_over().await.unwrap(), 0);
    assert_eq!(b.claim(claim("a's own", 1, 102)).await.unwrap(), Claimed::InProgress);
    assert_eq!(b.acts([102; 16]).await.unwrap(), []);

    // A store that is dropped without closing is a process that was killed.
    drop(a);
    let mut came_over = 0;
    let until = Instant::now() + Duration::from_secs(60);
    while came_over == 0 && Instant::now() < until {
        came_over += b.take_over().await.unwrap();
        came_over += c.take_over().await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(came_over, 1, "one of the living has the act");
    let acts = [b.acts([102; 16]).await.unwrap(), c.acts([103; 16]).await.unwrap()].concat();
    assert_eq!(acts.len(), 1);
    assert_eq!(b.claim(claim("a's own", 1, 102)).await.unwrap(), Claimed::New);
    assert_eq!(b.servers().await.unwrap().len(), 2);

    // Its intents stay its own: only the same submitter can record their releases.
    assert_eq!(b.intent(id("a's own")).await.unwrap().unwrap().state, IntentState::Submitted);
    assert_eq!(b.open_intents([102; 32], 10).await.unwrap(), []);
    let late = b.finish_intent(signed("a's own", Some((claim("a's own", 1, 101).name, vec![])))).await;
    assert!(matches!(late, Err(StoreError::Missing { what: "claim" })), "{late:?}");
    b.close().await.unwrap();
    assert_eq!(c.servers().await.unwrap(), [server("c", 103, 103)], "who closes leaves");
    c.enter(server("c", 104, 103)).await.unwrap_err();
}
