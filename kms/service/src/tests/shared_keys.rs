//! Making, binding, showing, changing and ending shared keys.

use keyward_crypto::shared::SharedScheme;
use keyward_domain::{Code, Mode};
use keyward_ledger_core::{
    entry::{Entry, Renewal, SharedAct, SharedBinding, SharedRenewal},
    shared::{shared_rule, veto_message},
    state::{
        keeper::keeper_key,
        layout::key_key,
        shared::{shared_key_key, shared_run_key},
    },
};
use keyward_proto::custody::{
    GenerationPlan, OpenKeyRequest, RepairPlan, ShowShareRequest, SplitShareRequest,
};
use keyward_store::{Custody as Place, KeyState};

use super::{
    co_signers::Part,
    delegation::Somebody,
    keepers::{Manner, keeper_id},
    ledger::state_receipt,
    treasury::{LOCK_MS, Made, Treasury, acknowledged, circle, device_of, say, unsigned},
    world::{CHAIN, Mood, SUBMITTER, World, code},
};
use crate::{
    caller::Caller,
    failure::Failure,
    keys::{list::Search, rotate::To},
    ports::{CoSigned, ToCoSigner},
    shared::{bind::Bind, entries::HandIn, show::Which},
    vaults::{entries::HandedIn, floods::Flood},
};

async fn change(
    world: &World,
    caller: &Caller,
    entry: &[u8],
    shared_key: &[u8],
) -> Result<HandedIn, Failure> {
    world.custody.change_shared(caller, HandIn { entry, shared_key, mark: b"" }).await
}

#[tokio::test]
async fn a_shared_key_is_listed_shown_frozen_and_destroyed_as_others_are() {
    let treasury = Treasury::new(SharedScheme::Bip340).await;
    let Treasury { world, alice, key_id, .. } = &treasury;
    let caller = &alice.caller;
    let page = world.custody.list_keys(caller, &Search::default()).await.unwrap();
    assert_eq!(
        page.keys.iter().map(|key| (key.mode(), key.row.alias.as_str())).collect::<Vec<_>>(),
        [(Mode::Shared, "treasury")]
    );
    let shown = world.custody.show_key(caller, "treasury").await.unwrap();
    assert_eq!((shown.row.key_id, shown.row.state), (key_id.0, KeyState::Active));
    world.custody.freeze_key(caller, "treasury", &[]).await.unwrap();
    let officer = world.caller("keyward://officer/olga").await;
    world.custody.unfreeze_key(&officer, &key_id.to_string(), &[]).await.unwrap();
    let wait_ms = world.custody.destruction_wait_min_ms;
    world.custody.schedule_destruction(caller, "treasury", wait_ms, &[]).await.unwrap();
    assert_eq!(code(treasury.begin(&treasury.attempt(&[1; 32], &[1, 2], b"")).await), Code::KeyScheduled);
    world.pass_ms(wait_ms + 1);
    world.custody.destroy_due_keys().await.unwrap();
    let row = world.custody.store.key(key_id.0).await.unwrap().unwrap();
    assert_eq!(row.state, KeyState::Destroyed);
    assert!(matches!(row.custody, Place::Shared { .. }), "nothing of it was secret");
}

#[tokio::test]
async fn what_is_for_other_modes_is_refused_by_name() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let Treasury { world, alice, .. } = &treasury;
    let caller = &alice.caller;
    assert_eq!(code(world.sign(caller, "treasury", b"pay").await), Code::KeyShared);
    let said = super::world::unsaid().clone();
    let input = crate::guard::Input::Message(b"pay");
    assert_eq!(code(world.custody.begin_sign(caller, "treasury", (input, said), &[]).await), Code::KeyShared);
    assert_eq!(code(world.custody.authorise_app(caller, "treasury", "wallet", &[]).await), Code::KeyShared);
    assert_eq!(
        code(world.custody.rotate_key(caller, "treasury", To::Made, &[]).await),
        Code::InvalidArgument
    );
    assert!(Code::KeyShared.remedy().contains("keyward sign"), "it says what to do next");
    // And the other way round.
    let made = super::accounts::make(world, caller, keyward_domain::scheme::Scheme::Ed25519).await;
    world.custody.import_key(caller, &super::accounts::import(&made, "hosted")).await.unwrap();
    let shown = world.custody.show_shared(caller, Which::Key("hosted")).await;
    assert_eq!(code(shown), Code::KeyNotShared);
    assert_eq!(treasury.queued().await, 0);
}

#[tokio::test]
async fn a_binding_that_is_not_the_key_that_was_made_is_refused_and_nothing_is_listed() {
    let made = Made::new(SharedScheme::Ed25519).await;
    let other = Made::new(SharedScheme::Ed25519).await;
    let custody = &made.world.custody;
    let (entry, shared_key) = (made.entry(), made.key.encode());
    let bind = async |entry: &[u8], shared_key: &[u8], alias: &str| {
        custody.bind_shared(&made.alice.caller, Bind { entry, shared_key, alias, mark: b"" }).await
    };
    assert_eq!(code(bind(&entry, &other.key.encode(), "a").await), Code::SharedKeyOther);
    assert_eq!(code(bind(&entry, b"junk", "a").await), Code::SharedKeyOther);
    assert_eq!(code(bind(&entry, &[0; 9000], "a").await), Code::SharedRequestMalformed);
    assert_eq!(code(bind(&entry, &shared_key, "no alias!").await), Code::AliasInvalid);
    assert_eq!(code(bind(b"junk", &shared_key, "a").await), Code::EntryMalformed);
    let mut stolen = made.binding.clone();
    stolen.public_key = other.binding.public_key.clone();
    acknowledged(&mut stolen);
    let stolen = say(&made.world, &made.alice, SharedAct::Bind(Box::new(stolen)));
    assert_eq!(code(bind(&stolen, &shared_key, "a").await), Code::SharedKeyOther);
    let mut unheard = made.binding.clone();
    unheard.acknowledgements[1] = [7; 64];
    let unheard = say(&made.world, &made.alice, SharedAct::Bind(Box::new(unheard)));
    assert_eq!(code(bind(&unheard, &shared_key, "a").await), Code::SharedAcknowledgement);
    let bob = Somebody::new(&made.world, "bob").await;
    let what = Bind { entry: &entry, shared_key: &shared_key, alias: "a", mark: b"" };
    assert_eq!(code(custody.bind_shared(&bob.caller, what).await), Code::NotAllowed);
    let app = made.world.caller("keyward://app/wallet").await;
    assert_eq!(code(custody.bind_shared(&app, what).await), Code::NotAllowed);
    assert_eq!(custody.store.keys(made.alice.account()).await.unwrap(), []);
    let name = made.binding.name;
    let treasury = made.bind().await;
    let another = SharedAct::Bind(Box::new(SharedBinding { name, ..other.binding }));
    let (entry, shared_key) = (say(&treasury.world, &treasury.alice, another), other.key.encode());
    let again = Bind { entry: &entry, shared_key: &shared_key, alias: "treasury", mark: b"" };
    assert_eq!(
        code(treasury.world.custody.bind_shared(&treasury.alice.caller, again).await),
        Code::AliasTaken
    );
}

#[tokio::test]
async fn a_binding_that_was_recorded_unheard_is_settled_and_answered_under_its_mark() {
    let made = Made::new(SharedScheme::Ed25519).await;
    let (entry, shared_key) = (made.entry(), made.key.encode());
    let bind = Bind { entry: &entry, shared_key: &shared_key, alias: "treasury", mark: b"bind" };
    made.world.ledger.set(Mood::Deaf);
    let unheard = made.world.custody.bind_shared(&made.alice.caller, bind).await;
    assert_eq!(code(unheard), Code::LedgerUnavailable);
    made.world.ledger.set(Mood::Good);
    let world = made.world.restart().await;
    let alice = Somebody::new(&world, "alice").await;
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    let (key, receipt) = world.custody.bind_shared(&alice.caller, bind).await.unwrap();
    assert_eq!((key.row.state, receipt.is_empty()), (KeyState::Active, false));
    assert_eq!(world.ledger.count(|entry| entry.name() == "bind-shared-key"), 1);
}

#[tokio::test]
async fn what_is_shown_are_the_ledgers_own_proofs() {
    let made = Made::new(SharedScheme::Ed25519).await;
    let name = made.binding.name;
    let state = |world: &World, key: Vec<u8>| state_receipt(&key, world.ledger.value(&key).as_deref());
    let run = shared_run_key(&shared_rule(&name));
    let open = made.world.custody.show_shared(&made.alice.caller, Which::Name(name.name)).await.unwrap();
    assert_eq!((open.run, open.shared_key.is_empty()), (state(&made.world, run.clone()), true));
    let nothing = made.world.custody.show_shared(&made.alice.caller, Which::Name([1; 32])).await.unwrap();
    assert!(nothing.key.is_none() && nothing.bound.is_empty() && !nothing.run.is_empty());
    let treasury = made.bind().await;
    let Treasury { world, alice, key, key_id, .. } = &treasury;
    for which in [Which::Key("treasury"), Which::Name(name.name)] {
        let shown = world.custody.show_shared(&alice.caller, which).await.unwrap();
        assert_eq!(shown.shared_key, key.encode());
        assert_eq!(shown.key.unwrap().row.key_id, key_id.0);
        assert_eq!(shown.run, state(world, run.clone()));
        assert_eq!(shown.bound, state(world, key_key(key_id)));
        assert_eq!(shown.shared, state(world, shared_key_key(key_id)));
        let keepers: Vec<_> = [1, 2, 3].map(|number| state(world, keeper_key(&keeper_id(number)))).into();
        assert_eq!(shown.keepers, keepers);
        assert_eq!((shown.executor, shown.policy), (SUBMITTER, world.custody.policies.floor().hash()));
    }
    let bob = Somebody::new(world, "bob").await;
    let id = key_id.to_string();
    assert_eq!(code(world.custody.show_shared(&bob.caller, Which::Key(&id)).await), Code::KeyUnknown);
    world.ledger.set(Mood::Gone);
    let gone = world.custody.show_shared(&alice.caller, Which::Key("treasury")).await;
    assert_eq!(code(gone), Code::LedgerUnavailable);
}

#[tokio::test]
async fn another_device_waits_and_the_one_in_force_keeps_it_away_without_a_session() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let Treasury { world, alice, key_id, device, .. } = &treasury;
    let thief = Part::new([0x7f; 32]);
    let replace = SharedAct::ReplaceDevice { key_id: *key_id, device: device_of(&thief) };
    let bob = Somebody::new(world, "bob").await;
    let entry = say(world, &bob, replace.clone());
    assert_eq!(code(change(world, &bob.caller, &entry, b"").await), Code::KeyUnknown);
    let entry = say(world, alice, replace);
    change(world, &alice.caller, &entry, b"").await.unwrap();
    // The one in force signs on meanwhile.
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"")).await.unwrap();
    let veto = |signature| unsigned(SharedAct::CancelDevice { key_id: *key_id, signature });
    let message = veto_message(&CHAIN, key_id, &device_of(&thief).signing_key);
    let anybody = world.caller("keyward://app/wallet").await;
    let log = world.ledger.log().len();
    for wrong in [thief.signer().sign(&message), device.signer().sign(b"something else")] {
        assert_eq!(code(change(world, &anybody, &veto(wrong), b"").await), Code::SharedVetoInvalid);
    }
    assert_eq!(world.ledger.log().len(), log, "a wrong veto costs the ledger nothing");
    change(world, &anybody, &veto(device.signer().sign(&message)), b"").await.unwrap();
    let done = change(world, &anybody, &veto(device.signer().sign(&message)), b"").await;
    assert_eq!(code(done), Code::SharedDeviceNone);
    world.pass_ms(LOCK_MS + 1);
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"")).await.unwrap();
}

#[tokio::test]
async fn after_its_lock_the_other_device_signs_and_the_former_one_does_not() {
    let mut treasury = Treasury::new(SharedScheme::Ed25519).await;
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"")).await.unwrap();
    let mut next = Part::new([0x7f; 32]);
    let replace = SharedAct::ReplaceDevice { key_id: treasury.key_id, device: device_of(&next) };
    let entry = say(&treasury.world, &treasury.alice, replace);
    change(&treasury.world, &treasury.alice.caller, &entry, b"").await.unwrap();
    treasury.world.pass_ms(LOCK_MS + 1);
    assert_eq!(
        code(treasury.begin(&treasury.attempt(b"pay", &[1, 2], b"")).await),
        Code::SharedDeviceRefused
    );
    next.dealt = treasury.device.dealt.take();
    let keepers = [1, 2, 3].map(|number| treasury.keeper(number, |room| room.part.holder(keeper_id(number))));
    let owner = treasury.alice.account();
    treasury.roster = keyward_crypto::shared::Roster::new(next.holder(owner), keepers.into(), 2).unwrap();
    treasury.device = next;
    for number in [1, 2, 3] {
        treasury.keeper(number, |room| room.roster = Some(treasury.roster.clone()));
    }
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"")).await.unwrap();
}

#[tokio::test]
async fn changes_that_are_not_the_holders_are_refused() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let Treasury { world, alice, key, key_id, device, .. } = &treasury;
    let renewal = |renewal, key_hash, share_version| {
        let acknowledgements = vec![[1; 64]; 3];
        let (device, expires_ms) = (device_of(device), 1_000_000 + 60_000);
        SharedAct::Renew(Box::new(SharedRenewal {
            key_id: *key_id,
            share_version,
            renewal,
            circle: circle(),
            device,
            key_hash,
            expires_ms,
            acknowledgements,
        }))
    };
    let refresh = unsigned(renewal(Renewal::Refresh, key.hash(), 2));
    assert_eq!(
        code(change(world, &alice.caller, &refresh, &key.encode()).await),
        Code::SharedRequestMalformed,
        "keepers hand in their own"
    );
    let cases = [
        (renewal(Renewal::Renew, [9; 32], 2), key.encode(), Code::SharedKeyOther),
        (renewal(Renewal::Renew, key.hash(), 2), key.encode(), Code::SharedKeyOther),
        (renewal(Renewal::Renew, key.hash(), 1), b"junk".to_vec(), Code::SharedKeyOther),
        (renewal(Renewal::Renew, key.hash(), 1), key.encode(), Code::SharedVersionStale),
    ];
    for (act, shared_key, expected) in cases {
        let entry = say(world, alice, act);
        assert_eq!(code(change(world, &alice.caller, &entry, &shared_key).await), expected);
    }
    let entry = say(world, alice, SharedAct::ReplaceDevice { key_id: *key_id, device: device_of(device) });
    assert_eq!(code(change(world, &alice.caller, &entry, &key.encode()).await), Code::SharedRequestMalformed);
    assert_eq!(code(change(world, &alice.caller, &entry, b"").await), Code::SharedInvalid);
    let note = Entry::Note(vec![1, 2, 3]).encode();
    assert_eq!(code(change(world, &alice.caller, &note, b"").await), Code::SharedRequestMalformed);
    treasury.sign(treasury.attempt(b"pay", &[1, 2], b"")).await.unwrap();
}

#[tokio::test]
async fn the_relay_passes_on_what_is_about_the_callers_own_keys_alone() {
    let treasury = Treasury::new(SharedScheme::Ed25519).await;
    let Treasury { world, alice, key_id, .. } = &treasury;
    let bob = Somebody::new(world, "bob").await;
    let ask =
        async |caller: &Caller, keeper, what| world.custody.ask_about_shared(caller, keeper, what).await;
    let open = |account: [u8; 32]| {
        let plan = GenerationPlan { account: account.to_vec().into(), ..GenerationPlan::default() };
        ToCoSigner::OpenKey(OpenKeyRequest { plan: Some(plan) })
    };
    let split = |key_id: Vec<u8>| {
        let plan = RepairPlan { key_id: key_id.into(), ..RepairPlan::default() };
        ToCoSigner::SplitShare(SplitShareRequest { plan: Some(plan), ..SplitShareRequest::default() })
    };
    let show = ToCoSigner::ShowShare(ShowShareRequest { key_id: key_id.0.to_vec().into() });
    let one = keeper_id(1);
    assert_eq!(code(ask(&alice.caller, one, open(bob.account())).await), Code::NotAllowed);
    assert_eq!(code(ask(&bob.caller, one, show.clone()).await), Code::KeyUnknown);
    assert_eq!(code(ask(&bob.caller, one, split(key_id.0.to_vec())).await), Code::KeyUnknown);
    assert_eq!(code(ask(&alice.caller, one, split(vec![1; 31])).await), Code::SharedRequestMalformed);
    let empty = ToCoSigner::OpenKey(OpenKeyRequest { plan: None });
    assert_eq!(code(ask(&alice.caller, one, empty).await), Code::SharedRequestMalformed);
    let commit = ToCoSigner::Commit(keyward_proto::custody::CommitRequest::default());
    assert_eq!(code(ask(&alice.caller, one, commit).await), Code::SharedRequestMalformed);
    assert_eq!(code(ask(&alice.caller, [9; 32], show.clone()).await), Code::SharedKeeperUnknown);
    let app = world.caller("keyward://app/wallet").await;
    assert_eq!(code(ask(&app, one, show.clone()).await), Code::KeyUnknown, "it is another account's");
    let officer = world.caller("keyward://officer/olga").await;
    assert_eq!(code(ask(&officer, one, show.clone()).await), Code::NotAllowed);
    assert!(treasury.keeper(1, |room| room.asked.is_empty()), "none of it reached a keeper");
    let CoSigned::Share(share) = ask(&alice.caller, one, show.clone()).await.unwrap() else { panic!() };
    assert_eq!((share.share_version, share.key_hash.to_vec()), (1, treasury.key.hash().to_vec()));
    let CoSigned::Round(round) = ask(&alice.caller, one, open(alice.account())).await.unwrap() else {
        panic!()
    };
    assert_eq!(round.message, "round");
    world.keepers.set(2, Manner::Refuses("SHARED_RUN_OTHER", "no such run".into()));
    assert_eq!(code(ask(&alice.caller, keeper_id(2), open(alice.account())).await), Code::SharedRunOther);
    world.keepers.set(2, Manner::Refuses("SESSION_EXPIRED", "in the service's name".into()));
    assert_eq!(code(ask(&alice.caller, keeper_id(2), open(alice.account())).await), Code::KeeperAnswer);
    let until_limited = async |what: ToCoSigner| {
        let mut asked = 0;
        loop {
            match ask(&alice.caller, one, what.clone()).await {
                Ok(_) => asked += 1,
                Err(failure) => break (asked, failure.code),
            }
        }
    };
    // Places for keys that are begun are few; what else is asked goes on.
    for (what, flood) in [(open(alice.account()), Flood::SharedOpening), (show, Flood::SharedQuestion)] {
        let (asked, limited) = until_limited(what).await;
        assert_eq!(limited, Code::SharedLimited);
        assert!((1..flood.bound().0).contains(&asked), "{asked}");
    }
}
