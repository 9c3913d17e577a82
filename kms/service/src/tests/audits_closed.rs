//! Accounts that are closed: what they did before stays open to audits as long as the terms say, and nothing of them signs.

use std::sync::atomic::Ordering;

use keyward_crypto::unlinkable::ViewingCover;
use keyward_domain::{AccountId, Code, approval::About};
use keyward_ledger_core::{
    entry::{
        Act, AddressAct, AuditAct, AuditTerms, Authored, Case, ChooseAddresses, Custody as Rooted, Entry,
        Grant, PublishAudit, tenant_id,
    },
    state::{
        addresses::{AddressesState, addresses_key},
        audit::{AuditState, audit_key},
    },
    unlinkable::EDGE_MS,
};
use keyward_store::{AddressAccount, AddressCustody, AddressState, Change, ViewingDealing};

use super::{
    approvals::{Desk, LIVE_MS, hand_in, rule},
    audits::{HOUR_MS, LIMITS, Office},
    delegation::Somebody,
    world::{Mood, code},
};
use crate::{approvals::entries::Kind, ports::Clock as _};

impl Office {
    pub(super) fn dora(&self) -> AccountId {
        AccountId(self.desk.dora.account())
    }

    pub(super) async fn close(&self, who: &Somebody) -> Result<(), crate::failure::Failure> {
        let entry = who.say(&self.desk.world, Act::CloseAccount { account: who.account() });
        self.desk.world.custody.close_account(&who.caller, &entry, &[]).await.map(drop)
    }

    fn closed_ms(&self, who: &Somebody) -> Option<u64> {
        let value = self.desk.world.ledger.value(&addresses_key(&who.account())).unwrap();
        AddressesState::decode(&value).unwrap().closed_ms
    }

    pub(super) async fn row(&self, who: &Somebody) -> AddressAccount {
        self.desk.world.custody.store.address_account(who.account()).await.unwrap().unwrap()
    }

    pub(super) async fn seen(&self, first: u32, last: u32) -> ViewingCover {
        self.desk.world.custody.viewing_cover(self.dora(), first..=last).await.unwrap()
    }

    /// Publishes terms that keep what closed accounts did for so long, approved by others.
    async fn keep_for(&self, version: u32, kept_ms: u64) {
        let next = PublishAudit { terms: AuditTerms { kept_ms, ..LIMITS }, ..self.terms(version) };
        let (about, Desk { world, bob, clara, dora, .. }) = (About::AuditTerms(next), &self.desk);
        let (rule, payload) = (rule(dora.account()), about.payload());
        let entry = dora.say(world, Act::OpenApproval { rule, payload, live_ms: LIVE_MS });
        let asked = hand_in(&world.custody, &dora.caller, Kind::Ask, &entry, Some(&about)).await.unwrap();
        let leaf = usize::try_from(asked.leaf_index).unwrap();
        let id = world.ledger.log()[leaf].1.data.clone().try_into().unwrap();
        for who in [bob, clara] {
            self.desk.give(who, Case { id, payload }).await.unwrap();
        }
        self.publish(PublishAudit { case: Some(id), ..next }).await.unwrap();
    }
}

pub(super) fn same(one: &ViewingCover, other: &ViewingCover) -> bool {
    one.encode().expose(|bytes| other.encode().matches(bytes))
}

#[tokio::test]
async fn who_closes_the_account_right_after_acting_is_seen_and_signs_nothing_more() {
    let office = Office::new().await;
    let grant = office.issued().await;
    let dora = &office.desk.dora;
    let before = office.seen(1, 3).await;
    let (sealed, world) = (office.row(dora).await, &office.desk.world);
    let root = world.custody.roots.find(&dora.account(), world.clock.now_ms()).unwrap();
    let root = root.expose(|bytes| bytes.to_vec());
    office.close(dora).await.unwrap();
    let kept = office.row(dora).await;
    assert_eq!(kept.state, AddressState::Kept);
    assert!(kept.sealed_key != sealed.sealed_key && kept.sealed_root != sealed.sealed_root);
    assert!(world.custody.roots.find(&dora.account(), world.clock.now_ms()).is_none());
    let database = world.database();
    for secret in [root, before.encode().expose(<[u8]>::to_vec)] {
        assert!(!database.windows(secret.len()).any(|part| part == secret));
    }
    let custody = &world.custody;
    assert!(office.close(dora).await.is_err());
    custody.follow_closing(dora.account()).await.unwrap();
    assert_eq!(custody.closing_addresses(dora.account()).await.unwrap(), []);
    assert_eq!(office.row(dora).await, kept, "a second closing erases nothing");
    assert_eq!(code(custody.next_addresses(&dora.caller, 1, &[]).await), Code::AddressesUnknown);
    assert_eq!(custody.accounts_with_addresses().await.unwrap(), [dora.account()]);
    // By the grant of before, and one asked for only now; at another server too.
    let opened = office.open(&grant, 1, 3).await.unwrap();
    assert!(same(&office.cover(&opened, office.opening(&grant, 1, 3)), &before));
    office.request(&office.grant()).await.unwrap();
    let (beside, open) = (world.beside().await, office.opening(&grant, 2, 3));
    let entry = office.desk.alice.say(world, Act::Audit(AuditAct::Open(open)));
    let opened = beside.open_grant(&office.auditor, &entry, &[]).await.unwrap();
    assert!(same(&office.cover(&opened, open), &before.within(2..=3).unwrap()));
    // The epoch in which it was closed, and none after.
    office.desk.world.pass_ms(3 * HOUR_MS);
    let last = u32::try_from(office.closed_ms(&office.desk.dora).unwrap() / HOUR_MS).unwrap();
    office.cover(&office.open(&grant, last, last).await.unwrap(), office.opening(&grant, last, last));
    assert_eq!(code(office.open(&grant, last, last + 1).await), Code::AccountClosed);
}

#[tokio::test]
async fn nobody_asks_for_what_came_after_an_account_was_closed() {
    let office = Office::new().await;
    office.close(&office.desk.dora).await.unwrap();
    let closed_ms = office.closed_ms(&office.desk.dora).unwrap();
    let from = |from_ms| Grant { from_ms, until_ms: from_ms + HOUR_MS, ..office.grant() };
    let after = from(closed_ms + EDGE_MS + 1);
    assert_eq!(code(office.request(&after).await), Code::AccountClosed);
    assert_eq!(office.desk.world.custody.store.grant(after.id).await.unwrap(), None);
    office.request(&from(closed_ms + EDGE_MS)).await.unwrap();
}

#[tokio::test]
async fn what_is_kept_of_a_closed_account_goes_when_its_time_is_over() {
    let office = Office::new().await;
    let grant = office.issued().await;
    let custody = office.desk.world.custody.clone();
    custody.erase_kept().await.unwrap();
    office.close(&office.desk.dora).await.unwrap();
    let over_ms = office.closed_ms(&office.desk.dora).unwrap() + LIMITS.kept_ms;
    let world = &office.desk.world;
    world.pass_ms(over_ms - 1 - world.ledger.time_ms());
    custody.erase_kept().await.unwrap();
    office.open(&grant, 1, 3).await.unwrap();
    world.pass_ms(1);
    assert_eq!(code(office.open(&grant, 1, 3).await), Code::AccountClosed);
    assert_eq!(custody.accounts_with_addresses().await.unwrap(), Vec::<[u8; 32]>::new());
    assert_eq!(office.row(&office.desk.dora).await.state, AddressState::Kept);
    // Without the ledger's word nothing is erased.
    world.ledger.set(Mood::Gone);
    custody.erase_kept().await.unwrap_err();
    world.ledger.set(Mood::Good);
    assert_eq!(office.row(&office.desk.dora).await.state, AddressState::Kept);
    custody.erase_kept().await.unwrap();
    let row = office.row(&office.desk.dora).await;
    assert_eq!((row.state, row.sealed_key, row.sealed_root), (AddressState::Erased, vec![], vec![]));
    assert_eq!(code(custody.viewing_cover(office.dora(), 1..=3).await), Code::AddressesUnknown);
}

#[tokio::test]
async fn terms_that_approvers_shorten_end_what_is_kept() {
    let office = Office::new().await;
    let grant = office.issued().await;
    office.close(&office.desk.dora).await.unwrap();
    let custody = office.desk.world.custody.clone();
    let alone = PublishAudit { terms: AuditTerms { kept_ms: 0, ..LIMITS }, ..office.terms(2) };
    assert_eq!(code(office.publish(alone).await), Code::ApprovalsMissing);
    custody.erase_kept().await.unwrap();
    office.open(&grant, 1, 3).await.unwrap();
    let (ledger, key) = (&office.desk.world.ledger, audit_key(&tenant_id("default")));
    let now = AuditState::decode(&ledger.value(&key).unwrap()).unwrap();
    let short = AuditState { terms: AuditTerms { kept_ms: 0, ..now.terms }, ..now };
    ledger.set_state(key, short.encode());
    assert_eq!(code(office.open(&grant, 1, 3).await), Code::AccountClosed);
    custody.erase_kept().await.unwrap();
    assert_eq!(office.row(&office.desk.dora).await.state, AddressState::Erased);
}

#[tokio::test]
async fn terms_that_keep_nothing_end_it_with_the_account() {
    let office = Office::new().await;
    office.keep_for(2, 0).await;
    office.close(&office.desk.dora).await.unwrap();
    office.desk.world.custody.erase_kept().await.unwrap();
    let row = office.row(&office.desk.dora).await;
    assert_eq!((row.state, row.sealed_key, row.sealed_root), (AddressState::Erased, vec![], vec![]));
}

#[tokio::test]
async fn terms_from_before_the_closing_erase_nothing() {
    let office = Office::new().await;
    let (world, key) = (&office.desk.world, audit_key(&tenant_id("default")));
    let terms = world.ledger.value(&key).unwrap();
    let now = AuditState::decode(&terms).unwrap();
    let short = AuditState { terms: AuditTerms { kept_ms: 0, ..now.terms }, ..now };
    world.ledger.set_state(key.clone(), short.encode());
    let before = world.ledger.remember(b"audit/");
    world.ledger.set_state(key, terms);
    world.ledger.height.fetch_add(1, Ordering::Relaxed);
    world.ledger.lag(Some(before));
    office.close(&office.desk.dora).await.unwrap();
    for lagging in [true, false] {
        world.custody.erase_kept().await.unwrap();
        assert_eq!(office.row(&office.desk.dora).await.state, AddressState::Kept, "{lagging}");
        world.ledger.lag(None);
    }
}

#[tokio::test]
async fn a_closing_whose_answer_was_lost_keeps_the_same() {
    let office = Office::new().await;
    let grant = office.issued().await;
    office.desk.world.ledger.set(Mood::Deaf);
    assert_eq!(code(office.close(&office.desk.dora).await), Code::LedgerUnavailable);
    office.desk.world.ledger.set(Mood::Good);
    assert_eq!(office.row(&office.desk.dora).await.state, AddressState::Chosen);
    // Another server may not have heard of it: the grant opens what it did all the same.
    office.open(&grant, 1, 3).await.unwrap();
    assert_eq!(office.desk.world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!(office.row(&office.desk.dora).await.state, AddressState::Kept);
    office.open(&grant, 1, 3).await.unwrap();
}

#[tokio::test]
async fn what_keepers_open_of_a_closed_account_is_kept_as_long() {
    let office = Office::new().await;
    let (bob, world) = (&office.desk.bob, &office.desk.world);
    let (account, tenant) = (bob.account(), tenant_id("default"));
    let wanted = ChooseAddresses { account, tenant, custody: Rooted::Own, epoch_ms: HOUR_MS };
    let entry = bob.say(world, Act::Addresses(AddressAct::Choose(wanted)));
    world.custody.choose_addresses(&bob.caller, &entry, &[]).await.unwrap();
    let store = world.custody.store.clone();
    let row = ViewingDealing { account, first: 0, last: 3, hash: [1; 32], dealing: vec![2], kept_ms: 3 };
    store.apply(vec![Change::KeepDealing(row.clone())]).await.unwrap();
    office.close(bob).await.unwrap();
    assert_eq!(store.dealings(account, 0, 9, 9).await.unwrap(), [row]);
    assert_eq!(code(world.custody.viewing_cover(AccountId(account), 0..=3).await), Code::AddressesOwn);
    world.pass_ms(LIMITS.kept_ms);
    world.custody.erase_kept().await.unwrap();
    assert_eq!(store.dealings(account, 0, 9, 9).await.unwrap(), []);
    assert_eq!(office.row(bob).await.state, AddressState::Erased);
}

#[tokio::test]
async fn addresses_chosen_while_the_account_is_being_closed_go_with_it() {
    let office = Office::new().await;
    let (bob, world) = (&office.desk.bob, &office.desk.world);
    let account = bob.account();
    let row = AddressAccount {
        account,
        custody: AddressCustody::Own,
        state: AddressState::Pending,
        ..office.row(&office.desk.dora).await
    };
    world.ledger.hold.store(true, Ordering::Relaxed);
    // By another server: the closing is on its way, and what it was to do here is decided.
    let chosen = async {
        let closes =
            |entry: &Entry| matches!(entry, Entry::Authored(Authored { act: Act::CloseAccount { .. }, .. }));
        while world.ledger.count(closes) == 0 {
            tokio::task::yield_now().await;
        }
        let changes = vec![Change::PutAddressAccount(row), Change::SetAddressesChosen(account)];
        world.custody.store.apply(changes).await.unwrap();
        world.ledger.let_go();
    };
    let (closed, ()) = tokio::join!(office.close(bob), chosen);
    closed.unwrap();
    let row = office.row(bob).await;
    assert_eq!((row.state, row.sealed_root), (AddressState::Kept, vec![]));
}
