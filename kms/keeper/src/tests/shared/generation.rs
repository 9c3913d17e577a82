//! Making a key: who may begin it, what the ledger must have said, and what a stop in between leaves.

use keyward_crypto::shared::{SharedScheme, USER};
use keyward_domain::Coded as _;
use keyward_ledger_core::{shared::shared_rule, state::shared::shared_run_key};

use super::{
    super::{
        chain::Sight,
        world::{ACCOUNT, World, id_of, signing},
    },
    code, forged,
    world::{MINUTE_MS, Phone, Wish, caller},
};
use crate::{callers::Caller, shared::plan::GenerationPlan};

#[tokio::test]
async fn a_key_is_made_by_everybody_and_every_share_is_on_disk_before_it_is_acknowledged() {
    for scheme in SharedScheme::ALL {
        let world = World::new();
        let made = world.make_key(&Wish { scheme, ..Wish::default() }).await;
        let state = world.shared_state(&made.key_id);
        assert_eq!((state.key_hash, state.share_version), (made.key.hash(), 1));
        for number in [1, 2, 3] {
            assert_eq!(world.files(number), 1);
            world.keeper(number).round().await.unwrap();
            assert_eq!(world.files(number), 1, "what is bound stays");
            // It opens for this keeper alone, and only after its own restart too.
            let again = world.open_keeper(number, &world.folder_of(number));
            let facts = again.shared_key(&made.key_id).await.unwrap();
            assert_eq!(again.share_now(&facts).await.unwrap().key, made.key);
            let other = world.open_keeper(number % 3 + 1, &world.folder_of(number));
            assert!(other.share_now(&facts).await.is_err(), "another keeper's file does not open");
        }
        assert_eq!([4, 5].map(|number| world.files(number)), [0, 0]);
    }
}

#[tokio::test]
async fn every_step_repeats_its_answer_and_the_last_one_also_after_a_stop() {
    let mut world = World::new();
    let (wish, phone) = (Wish::default(), Phone::new(0x21));
    let plan = wish.plan(&phone);
    let first = world.keeper(1).open_key(&caller(), &plan).await.unwrap();
    assert_eq!(world.keeper(1).open_key(&caller(), &plan).await.unwrap(), first);
    let run = world.deal_key(&wish, &phone).await;
    assert!(run.openings.contains(&first.message));
    let dealt = world.keeper(1).deal_key(&plan, run.openings.clone()).await.unwrap();
    assert!(run.dealings.contains(&dealt.message));
    assert_eq!(
        code(world.keeper(1).open_key(&caller(), &plan).await),
        "SHARED_ATTEMPT_STALE",
        "dealt already"
    );
    let kept = world.keeper(1).keep_key(&plan, run.all(), [None; 2]).await.unwrap();
    // Stopped after the share was kept: the answer is on disk.
    world.restart(1);
    assert_eq!(world.keeper(1).keep_key(&plan, run.all(), [None; 2]).await.unwrap(), kept);
    // Stopped before: the run is over for this keeper, and begins again under another attempt.
    world.restart(2);
    assert_eq!(code(world.keeper(2).keep_key(&plan, run.all(), [None; 2]).await), "SHARED_ATTEMPT_STALE");
    assert_eq!(code(world.keeper(2).deal_key(&plan, run.openings.clone()).await), "SHARED_ATTEMPT_STALE");
    assert_eq!(world.files(2), 0);
    world.deal_key(&Wish { attempt: 2, ..Wish::default() }, &phone).await;
}

#[tokio::test]
async fn an_acknowledgement_is_of_one_record_and_another_one_takes_no_key() {
    let world = World::new();
    let (wish, phone) = (Wish::default(), Phone::new(0x21));
    let mut run = world.deal_key(&wish, &phone).await;
    let plan = wish.plan(&phone);
    let mut acknowledgements = Vec::new();
    for keeper in world.keepers_of(&[1, 2, 3]) {
        let answer = keeper.keep_key(&plan, run.all(), [None, Some([7; 32])]).await.unwrap();
        acknowledgements.push(answer.acknowledgement.unwrap());
    }
    let dealt = run.finish(&phone);
    // Whoever passes it on leaves the policies out.
    let stripped = wish.binding(dealt.key(), acknowledgements.clone());
    assert_eq!(world.record_shared(stripped).1.name(), "SHARED_ACKNOWLEDGEMENT_INVALID");
    let whole = Wish { policy_tenant: Some([7; 32]), ..Wish::default() };
    assert_eq!(world.record_shared(whole.binding(dealt.key(), acknowledgements)).1.name(), "ACCEPTED");
}

#[tokio::test]
async fn nothing_is_dealt_before_the_ledger_has_exactly_these_openings() {
    let world = World::new();
    let (wish, phone) = (Wish::default(), Phone::new(0x21));
    let (plan, generation) = (wish.plan(&phone), wish.generation(&phone));
    let (_, own) = generation.open(USER, |bytes| phone.sign(bytes)).unwrap();
    let mut openings = vec![own.encode()];
    for keeper in world.keepers_of(&wish.numbers) {
        openings.push(keeper.open_key(&caller(), &plan).await.unwrap().message);
    }
    let keeper = world.keeper(1);
    assert_eq!(code(keeper.deal_key(&plan, openings.clone()).await), "SHARED_RUN_OTHER", "not recorded");
    let mut hashes: Vec<_> = generation.openings(&openings).unwrap().hashes().into_values().collect();
    hashes[0][0] ^= 1;
    world.record_shared(wish.opening(&world, &phone, hashes.clone()));
    assert_eq!(code(keeper.deal_key(&plan, openings.clone()).await), "SHARED_RUN_OTHER", "other openings");
    // A keeper that sees the ledger as it was knows of no run.
    let past = world.chain().clone();
    hashes[0][0] ^= 1;
    let second = Wish { attempt: 2, ..Wish::default() };
    assert_eq!(world.record_shared(second.opening(&world, &phone, hashes)).1.name(), "ACCEPTED");
    assert_eq!(code(keeper.deal_key(&plan, openings.clone()).await), "SHARED_RUN_OTHER", "another attempt");
    assert_eq!(code(keeper.open_key(&caller(), &plan).await), "SHARED_RUN_OTHER", "a later one is open");
    world.see(1, Sight::Past(Box::new(past)));
    assert_eq!(code(keeper.deal_key(&plan, openings.clone()).await), "SHARED_RUN_OTHER");
    world.see(1, Sight::Away);
    assert_eq!(code(keeper.deal_key(&plan, openings).await), "LEDGER_UNAVAILABLE");
}

#[tokio::test]
async fn a_holder_that_lies_is_named_and_its_lie_ends_no_run() {
    let world = World::new();
    let (wish, phone) = (Wish::default(), Phone::new(0x21));
    let run = world.deal_key(&wish, &phone).await;
    let plan = wish.plan(&phone);
    // The piece for keeper 3 is the last one of keeper 2's dealing: it does not open there.
    let mut dealings = run.dealings.clone();
    dealings[2] = forged(&run.dealings[2], &signing(2));
    let lied = [&run.openings[..], &dealings].concat();
    let refused = world.keeper(3).keep_key(&plan, lied, [None; 2]).await.unwrap_err();
    assert_eq!((refused.liar(), refused.code().name()), (Some(2), "SHARED_HOLDER_LIED"));
    // Both dealings together convict it.
    let both = [&run.all()[..], &dealings[2..3]].concat();
    let refused = world.keeper(1).keep_key(&plan, both, [None; 2]).await.unwrap_err();
    assert_eq!(refused.liar(), Some(2));
    assert_eq!(code::<()>(Err(refused)), "SHARED_HOLDER_LIED");
    // Junk, and what is missing, names nobody.
    for junk in [run.openings.clone(), [run.all(), vec![b"junk".to_vec()]].concat()] {
        let refused = world.keeper(1).keep_key(&plan, junk, [None; 2]).await.unwrap_err();
        assert_eq!(refused.liar(), None);
        assert_eq!(code::<()>(Err(refused)), "SHARED_MESSAGE_REFUSED");
    }
    for number in [1, 3] {
        assert_eq!(world.files(number), 0);
        world.keeper(number).keep_key(&plan, run.all(), [None; 2]).await.unwrap();
    }
}

#[tokio::test]
async fn a_run_that_nobody_binds_leaves_nothing() {
    let world = World::new();
    let (wish, phone) = (Wish::default(), Phone::new(0x21));
    let run = world.deal_key(&wish, &phone).await;
    let plan = wish.plan(&phone);
    for keeper in world.keepers_of(&[1, 2]) {
        keeper.keep_key(&plan, run.all(), [None; 2]).await.unwrap();
    }
    world.pass(60 * MINUTE_MS);
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 1, "the ledger may still bind it");
    world.pass(1);
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 0);
    assert_eq!(
        code(world.keeper(3).keep_key(&plan, run.all(), [None; 2]).await),
        "SHARED_RUN_OTHER",
        "expired"
    );
    // The disk of a keeper is put back: what came back goes again.
    world.copy(&world.folder_of(2), &world.folder_of(1));
    let mut world = world;
    world.restart(1);
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 0);
}

#[tokio::test]
async fn who_is_no_holder_or_is_not_what_the_ledger_says_opens_nothing() {
    let mut world = World::new();
    let (wish, phone) = (Wish::default(), Phone::new(0x21));
    let open = async |world: &World, number: u8, plan: &GenerationPlan| {
        code(world.keeper(number).open_key(&caller(), plan).await)
    };
    let plan = wish.plan(&phone);
    assert_eq!(open(&world, 4, &plan).await, "SHARED_SHARE_MISSING", "not among the holders");
    let mut stranger = plan.clone();
    stranger.name.owner = [9; 32];
    assert_eq!(open(&world, 1, &stranger).await, "ACCOUNT_CLOSED");
    let mut unknown = plan.clone();
    unknown.circle.keepers[2] = id_of(7);
    assert_eq!(open(&world, 1, &unknown).await, "SHARED_KEEPER_UNKNOWN");
    world.set_present(3, false);
    world.pass(1_000);
    assert_eq!(open(&world, 1, &plan).await, "SHARED_KEEPER_UNKNOWN", "it left");
    world.set_present(3, true);
    world.pass(1_000);
    let made = world.make_key(&wish).await;
    assert_eq!(open(&world, 1, &plan).await, "SHARED_RUN_OTHER", "the name is taken for good");
    assert!(world.state(&shared_run_key(&shared_rule(&wish.rule_name()))).is_some());
    world.restart(1);
    assert_eq!(made.key.holders().at(USER), Some(&ACCOUNT));
}

#[tokio::test]
async fn a_caller_takes_its_own_part_of_the_runs_and_no_other_callers() {
    use crate::shared::Runs;
    let runs = Runs::<u8>::default();
    let [one, other] = [b"one", b"two"].map(|name| Caller(name.to_vec()));
    let name = |number: u32| {
        let mut run = [0; 32];
        run[..4].copy_from_slice(&number.to_be_bytes());
        run
    };
    let most = crate::shared::RUNS_OF_CALLER_MAX as u32;
    for number in 0..most {
        assert!(runs.begin(&one, name(number), 1, [0, 10]).unwrap());
    }
    assert!(!runs.begin(&one, name(0), 2, [0, 10]).unwrap(), "under way");
    let refused = runs.begin(&one, name(most), 1, [10, 20]).unwrap_err();
    assert_eq!(code::<()>(Err(refused)), "SERVICE_BUSY");
    assert!(runs.begin(&other, name(most), 1, [10, 20]).unwrap());
    assert!(runs.begin(&one, name(most + 1), 1, [11, 20]).unwrap(), "the others are over");
    assert_eq!(runs.with(&name(0), |value| *value), None);
}
