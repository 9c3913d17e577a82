//! Dealings of closed address epochs, with keepers that lie, stall and send anything: what reaches them, what is recorded, and what
//! an opening shows.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use keyward_crypto::{
    unlinkable::{AddressRoot, PuncturedViewing},
    vault::{BoxKey, VaultKeeper},
    viewing::{Dealing, DealingPlan, deal},
};
use keyward_domain::{AccountId, Code};
use keyward_ledger_core::{
    entry::{Act, AddressAct, ChooseAddresses, Custody as RootCustody, DealViewing, Entry},
    hash::Hash,
    state::addresses::{AddressesState, addresses_key},
    unlinkable::DealtRun,
};
use keyward_proto::custody::DealtViewing;
use zeroize::Zeroizing;

use super::{
    keepers::{Manner, keeper, keeper_id, keeper_signing_key},
    vaults::Owner,
    world::{CHAIN, Mood, World, code},
};
use crate::{
    config::Limits,
    failure::Failure,
    ports::{Final as _, ToKeeper},
    vaults::floods::Flood,
    viewings::Deal,
};

const EPOCH_MS: u64 = 1_000;
const HOUR_MS: u64 = 60 * 60 * 1_000;
const KEEPERS: [u8; 3] = [1, 2, 3];

/// An account with its own address root, and what it has dealt.
struct Dealer {
    owner: Owner,
    first: u32,
    /// Until when what it deals may be recorded.
    ends_ms: u64,
}

/// A dealing as it is handed in.
struct Drafted {
    dealing: Dealing,
    deal: Deal,
}

/// The numbers of keepers by ascending id.
fn by_id(numbers: &[u8]) -> Vec<u8> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by_key(|number| keeper_id(*number));
    sorted
}

fn drafted(account: Hash, chain_id: Hash, (first, last): (u32, u32), expires_ms: u64) -> Drafted {
    let keeper = |number: u8| VaultKeeper {
        id: keeper_id(number),
        sealing_key: BoxKey::from_secret(&[number; 32]).unwrap().public(),
        signing_key: keeper_signing_key(number).public_key(),
    };
    let keepers = by_id(&KEEPERS).into_iter().map(keeper).collect();
    let viewing = PuncturedViewing::from_root(&AddressRoot::from_bytes(Zeroizing::new([9; 32])));
    let plan = DealingPlan { chain_id, account, expires_ms, threshold: 2, keepers };
    let (dealing, shares) = deal(&plan, &viewing.cover(first..=last).unwrap()).unwrap();
    let shares = dealing.keepers.iter().copied().zip(shares.into_iter().map(Bytes::from)).collect();
    let deal = Deal { dealing: dealing.encode().into(), shares, signature: [8; 64] };
    Drafted { dealing, deal }
}

impl Drafted {
    fn run(&self) -> DealtRun {
        let Dealing { account, first, last, expires_ms, .. } = self.dealing;
        DealtRun { account, first, last, dealing_hash: self.dealing.hash(), expires_ms }
    }
}

impl Dealer {
    async fn new(world: &World, user: &str, custody: RootCustody) -> Self {
        let owner = Owner::new(world, user).await;
        let choose =
            ChooseAddresses { account: owner.account(), tenant: [7; 32], custody, epoch_ms: EPOCH_MS };
        let entry = owner.signed_act(world, Act::Addresses(AddressAct::Choose(choose)));
        assert!(world.ledger.record(Entry::decode(&entry).unwrap()).outcome().is_accepted());
        let state = world.ledger.value(&addresses_key(&owner.account())).unwrap();
        let first = AddressesState::decode(&state).unwrap().first;
        // The first hundred epochs are over.
        world.clock.0.fetch_add(200 * EPOCH_MS, Ordering::Relaxed);
        Self { owner, first, ends_ms: world.ledger.time_ms() + HOUR_MS }
    }

    fn draft(&self, first: u32, last: u32) -> Drafted {
        drafted(self.owner.account(), CHAIN, (self.first + first, self.first + last), self.ends_ms)
    }

    async fn deal(&self, world: &World, drafted: &Drafted) -> Result<Vec<Bytes>, Failure> {
        world.custody.deal_viewing(&self.owner.caller, drafted.deal.clone()).await
    }

    fn entry(&self, world: &World, drafted: &Drafted) -> Vec<u8> {
        let run = drafted.run();
        let acknowledged = |number: u8| {
            let id = keeper_id(number);
            (id, run.acknowledge(&keeper_signing_key(number), &CHAIN, &id))
        };
        let acknowledgements = by_id(&KEEPERS).into_iter().map(acknowledged).collect();
        let deal = DealViewing { run, threshold: 2, acknowledgements };
        self.owner.signed_act(world, Act::Addresses(AddressAct::Deal(deal)))
    }

    async fn record(&self, world: &World, entry: &[u8]) -> Result<u64, Failure> {
        Ok(world.custody.record_dealing(&self.owner.caller, entry).await?.leaf_index)
    }

    /// Deals a run and has it recorded.
    async fn dealt(&self, world: &World, first: u32, last: u32) -> Drafted {
        let drafted = self.draft(first, last);
        self.deal(world, &drafted).await.unwrap();
        self.record(world, &self.entry(world, &drafted)).await.unwrap();
        drafted
    }

    async fn open(&self, world: &World, first: u32, last: u32) -> Result<Vec<DealtViewing>, Failure> {
        let account = AccountId(self.owner.account());
        world.custody.open_dealt(77, account, self.first + first, self.first + last).await
    }
}

async fn world() -> (World, Dealer) {
    with(Limits { keeper_wait: Duration::from_millis(200), ..Limits::default() }).await
}

async fn with(limits: Limits) -> (World, Dealer) {
    let world = World::with(limits).await;
    world.admit_keepers(&KEEPERS);
    let dealer = Dealer::new(&world, "alice", RootCustody::Own).await;
    (world, dealer)
}

/// Who gave parts, by number.
fn given(dealt: &DealtViewing) -> Vec<u8> {
    let number = |id: &[u8]| KEEPERS.into_iter().find(|number| keeper_id(*number)[..] == *id).unwrap();
    let mut numbers: Vec<_> = dealt.parts.iter().map(|part| number(&part.keeper_id)).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn each_keeper_gets_its_share_unchanged_and_answers_come_in_their_order() {
    let (world, dealer) = world().await;
    let drafted = dealer.draft(0, 9);
    assert_eq!(dealer.deal(&world, &drafted).await.unwrap(), vec![vec![7; 64]; 3]);
    let mut asked = world.keepers.asked();
    asked.sort_by(|(one, _), (other, _)| one.cmp(other));
    let share = |number: u8| {
        let place = drafted.dealing.keepers.iter().position(|id| *id == keeper_id(number)).unwrap();
        let (dealing, share) = (drafted.deal.dealing.clone(), drafted.deal.shares[place].1.clone());
        (keeper(number).rpc, ToKeeper::DepositViewing { dealing, share, signature: [8; 64] })
    };
    assert_eq!(asked, KEEPERS.map(share));
    world.keepers.set(2, Manner::Away);
    world.keepers.set(3, Manner::Says(vec![1; 65]));
    let answers = dealer.deal(&world, &drafted).await.unwrap();
    let came: Vec<_> = drafted.dealing.keepers.iter().zip(&answers).collect();
    assert!(came.iter().all(|(id, answer)| answer.is_empty() == (**id != keeper_id(1))));
    for number in KEEPERS {
        world.keepers.set(number, Manner::Refuses("DEALING_GAP", "it is dealt".into()));
    }
    assert_eq!(code(dealer.deal(&world, &drafted).await), Code::DealingGap, "nobody took it");
    for number in KEEPERS {
        world.keepers.set(number, Manner::Refuses("SESSION_EXPIRED", "log out".into()));
    }
    assert_eq!(code(dealer.deal(&world, &drafted).await), Code::KeeperAnswer, "not a keeper's to say");
}

#[tokio::test]
async fn nothing_but_the_next_epochs_of_the_callers_own_root_is_passed_on() {
    let (world, dealer) = world().await;
    let bob = Dealer::new(&world, "bob", RootCustody::Hosted).await;
    let (custody, account) = (&world.custody, dealer.owner.account());
    let good = dealer.draft(0, 9);
    let theirs = custody.deal_viewing(&bob.owner.caller, good.deal.clone()).await;
    assert_eq!(code(theirs), Code::NotAllowed);
    assert_eq!(code(bob.deal(&world, &bob.draft(0, 1)).await), Code::AddressesUnknown, "it is hosted");
    assert_eq!(code(dealer.deal(&world, &dealer.draft(1, 9)).await), Code::DealingGap);
    let elsewhere = drafted(account, [1; 32], (dealer.first, dealer.first), dealer.ends_ms);
    assert_eq!(code(dealer.deal(&world, &elsewhere).await), Code::ViewingRequestMalformed);
    let (run, far_ms) = ((dealer.first, dealer.first), world.ledger.time_ms() + 13 * HOUR_MS);
    let long = drafted(account, CHAIN, run, far_ms);
    assert_eq!(code(dealer.deal(&world, &long).await), Code::AuthorSignatureExpired);
    let changes: [fn(&mut Deal); 6] = [
        |it| it.dealing = it.dealing.slice(1..),
        |it| it.dealing = [&it.dealing[..], &[0]].concat().into(),
        |it| drop(it.shares.pop()),
        |it| it.shares.swap(0, 1),
        |it| it.shares[0].1 = Bytes::new(),
        |it| it.shares[0].1 = vec![0; 1_025].into(),
    ];
    for change in changes {
        let mut wrong = good.deal.clone();
        change(&mut wrong);
        let refused = custody.deal_viewing(&dealer.owner.caller, wrong).await;
        assert_eq!(code(refused), Code::ViewingRequestMalformed);
    }
    let app = world.caller("keyward://app/wallet").await;
    assert_eq!(code(custody.deal_viewing(&app, good.deal.clone()).await), Code::NotAllowed);
    world.ledger.set(Mood::Gone);
    assert_eq!(code(dealer.deal(&world, &good).await), Code::LedgerUnavailable);
    assert_eq!(world.keepers.asked(), [], "no keeper was asked");
    assert_eq!(world.custody.store.dealings(account, 0, u32::MAX, 9).await.unwrap(), []);
}

#[tokio::test]
async fn dealings_that_wait_and_questions_are_bounded() {
    let (world, dealer) = world().await;
    let drafts: Vec<_> = (0..9).map(|_| dealer.draft(0, 9)).collect();
    for draft in &drafts[..8] {
        dealer.deal(&world, draft).await.unwrap();
    }
    assert_eq!(code(dealer.deal(&world, &drafts[8]).await), Code::ViewingLimited);
    dealer.deal(&world, &drafts[0]).await.unwrap();
    // After a day those are of no use to anybody.
    world.clock.0.fetch_add(24 * HOUR_MS + 1, Ordering::Relaxed);
    dealer.deal(&world, &drafts[8]).await.unwrap();
    let rows = world.custody.store.dealings(dealer.owner.account(), 0, u32::MAX, 99).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.hash).collect::<Vec<_>>(), [drafts[8].dealing.hash()]);
    let (burst, _) = Flood::Dealing.bound();
    for _ in 1..burst {
        dealer.deal(&world, &drafts[8]).await.unwrap();
    }
    let limited = dealer.deal(&world, &drafts[8]).await.unwrap_err();
    assert_eq!(limited.code, Code::ViewingLimited);
    assert!(limited.wait_ms.is_some());
}

#[tokio::test]
async fn a_dealing_is_recorded_once_and_only_if_its_bytes_are_here() {
    let (world, dealer) = world().await;
    let (drafted, other) = (dealer.draft(0, 4), dealer.draft(0, 9));
    let entry = dealer.entry(&world, &drafted);
    let early = dealer.record(&world, &entry).await;
    assert_eq!(code(early), Code::ViewingRequestMalformed, "nobody could ever open it");
    assert_eq!(world.ledger.count(|entry| matches!(entry, Entry::Authored(_))), 1, "the choice alone");
    dealer.deal(&world, &drafted).await.unwrap();
    dealer.deal(&world, &other).await.unwrap();
    let leaf = dealer.record(&world, &entry).await.unwrap();
    assert_eq!(dealer.record(&world, &entry).await.unwrap(), leaf, "asked again it is the same record");
    assert_eq!(code(dealer.record(&world, &dealer.entry(&world, &other)).await), Code::DealingGap);
    let bob = Dealer::new(&world, "bob", RootCustody::Own).await;
    assert_eq!(code(bob.record(&world, &entry).await), Code::NotAllowed);
    let closing = bob.owner.closing(&world);
    assert_eq!(code(bob.record(&world, &closing).await), Code::ViewingRequestMalformed);
    assert_eq!(code(bob.record(&world, b"no entry").await), Code::EntryMalformed);
    // Held back past its end the ledger takes it no more, also where keepers acknowledged it.
    let late = Dealer { owner: bob.owner, ends_ms: world.ledger.time_ms() - 1, ..bob };
    let held_back = late.draft(0, 4);
    late.deal(&world, &held_back).await.unwrap();
    let entry = late.entry(&world, &held_back);
    assert_eq!(code(late.record(&world, &entry).await), Code::AuthorSignatureExpired);
    // Recorded, and the answer lost: it is found again.
    let next = dealer.draft(5, 9);
    dealer.deal(&world, &next).await.unwrap();
    let entry = dealer.entry(&world, &next);
    world.ledger.set(Mood::Deaf);
    assert_eq!(code(dealer.record(&world, &entry).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    dealer.record(&world, &entry).await.unwrap();
}

#[tokio::test]
async fn an_opening_shows_recorded_dealings_that_lie_wholly_in_it_with_what_keepers_gave() {
    let (world, dealer) = world().await;
    assert_eq!(code(dealer.open(&world, 0, 99).await), Code::ViewingNotDealt);
    let unrecorded = dealer.draft(0, 2);
    dealer.deal(&world, &unrecorded).await.unwrap();
    assert_eq!(
        code(dealer.open(&world, 0, 99).await),
        Code::ViewingNotDealt,
        "keepers have it, the ledger not"
    );
    let one = dealer.dealt(&world, 0, 4).await;
    let two = dealer.dealt(&world, 5, 9).await;
    for (first, last) in [(1, 4), (0, 3), (6, 8), (10, 99)] {
        assert_eq!(code(dealer.open(&world, first, last).await), Code::ViewingNotDealt, "{first}..={last}");
    }
    let opened = dealer.open(&world, 0, 99).await.unwrap();
    for (shown, dealt) in opened.iter().zip([&one, &two]) {
        assert_eq!(shown.dealing, dealt.dealing.encode());
        assert_eq!((shown.first_epoch, shown.last_epoch), (dealt.dealing.first, dealt.dealing.last));
        assert_eq!((given(shown), shown.keepers.len(), shown.recorded.is_empty()), (vec![1, 2, 3], 3, false));
        assert!(shown.parts.iter().all(|part| part.part == b"answer"[..]));
    }
    assert_eq!(opened.len(), 2);
    assert_eq!(dealer.open(&world, 0, 8).await.unwrap().len(), 1);
    let first = one.dealing.first;
    let asked = (keeper(1).rpc, ToKeeper::OpenViewing { leaf_index: 77, first });
    assert!(world.keepers.asked().contains(&asked));
}

#[tokio::test]
async fn keepers_that_fail_are_left_out_and_those_that_left_are_asked() {
    let (world, dealer) = world().await;
    dealer.dealt(&world, 0, 4).await;
    dealer.dealt(&world, 5, 9).await;
    world.set_keeper(3, false);
    for manner in [
        Manner::Away,
        Manner::Garbles,
        Manner::Says(Vec::new()),
        Manner::Says(vec![0; 1_025]),
        Manner::Refuses("VIEWING_SHARE_MISSING", "my disk".into()),
        // It has not seen the opening, and never does.
        Manner::Refuses("VIEWING_NOT_OPENED", "which?".into()),
    ] {
        world.keepers.set(1, manner.clone());
        let opened = dealer.open(&world, 0, 9).await.unwrap();
        let all: Vec<_> = opened.iter().map(given).collect();
        assert_eq!(all, [vec![2, 3], vec![2, 3]], "{manner:?}");
    }
    for number in KEEPERS {
        world.keepers.set(number, Manner::Away);
    }
    let opened = dealer.open(&world, 0, 9).await.unwrap();
    assert!(opened.iter().all(|dealt| dealt.parts.is_empty()), "the grantee sees that nobody gave anything");
    world.ledger.set(Mood::Gone);
    assert_eq!(code(dealer.open(&world, 0, 9).await), Code::LedgerUnavailable);
}

#[tokio::test]
async fn a_silent_keeper_is_waited_for_once_in_an_opening_of_many_dealings() {
    let (world, dealer) = with(Limits { keeper_wait: Duration::from_millis(20), ..Limits::default() }).await;
    for first in 0..9 {
        dealer.dealt(&world, first, first).await;
    }
    world.keepers.set(1, Manner::Silent);
    let opened = dealer.open(&world, 0, 9).await.unwrap();
    assert!(opened.len() == 9 && opened.iter().all(|dealt| given(dealt) == [2, 3]));
    // Those that were asked for together.
    assert!(world.keepers.waiting.load(Ordering::Relaxed) <= 4);
}

#[tokio::test]
async fn an_opening_of_more_than_a_month_is_refused_before_it_is_recorded() {
    let (world, dealer) = world().await;
    for first in 0..32 {
        dealer.dealt(&world, first, first).await;
    }
    let account = AccountId(dealer.owner.account());
    let check =
        async |last| world.custody.own_may_be_opened(account, dealer.first, dealer.first + last).await;
    assert_eq!(code(check(31).await), Code::ViewingSpan);
    check(30).await.unwrap();
    assert_eq!(dealer.open(&world, 0, 30).await.unwrap().len(), 31);
}

#[tokio::test]
async fn dealings_go_with_their_account() {
    let (world, dealer) = world().await;
    dealer.dealt(&world, 0, 4).await;
    dealer.owner.close(&world, b"").await.unwrap();
    assert_eq!(code(dealer.open(&world, 0, 9).await), Code::ViewingNotDealt);
    let refused = dealer.deal(&world, &dealer.draft(5, 9)).await;
    assert!(refused.is_err());
}
