//! Addresses of hosted roots: chosen for good, given out once, signing once, and each refusal.

use std::{collections::BTreeSet, sync::Arc};

use keyward_crypto::unlinkable::{ViewingCover, open_detail};
use keyward_domain::{
    AccountId, Code,
    detail::{Detail, Source},
    scheme::{PublicKey, Scheme, verify_digest},
};
use keyward_ledger_core::{
    entry::{Act, AddressAct, ChooseAddresses, Custody as Root, Entry, UseAddress, tenant_id},
    hash::{commitment, signature_hash},
    outcome::Outcome,
    state::addresses::addresses_key,
};
use keyward_store::{AddressOrigin, AddressState};
use sha2::{Digest as _, Sha256};

use super::{
    accounts::closing,
    delegation::Somebody,
    ledger::state_receipt,
    policies::{OPAQUE, limit, payment, put_in_force},
    risk::{NOTHING, put_in_force as put_risk_in_force},
    world::{SUBMITTER, World, code},
};
use crate::{
    addresses::{Listed, SignAddress},
    custody::Custody,
    failure::Failure,
    guard::{Input, SignedAddress},
    ports::Clock as _,
};

pub(super) const EPOCH_MS: u64 = 3_600_000;

/// A person with addresses.
pub(super) struct Holder {
    pub(super) world: World,
    pub(super) who: Somebody,
}

impl Holder {
    pub(super) async fn hosted() -> Self {
        Self::of(World::new().await, Root::Hosted).await
    }

    /// Records releases once none is held back any more; says how many.
    pub(super) async fn released(&self) -> usize {
        self.world.pass_ms(20_000);
        self.world.custody.record_releases().await.unwrap()
    }

    /// Releases that wait, held back or not.
    pub(super) async fn queued(&self) -> usize {
        let later_ms = self.world.clock.now_ms() + 20_000;
        self.world.custody.store.queued_releases(SUBMITTER, (later_ms, 0), 100).await.unwrap().len()
    }

    pub(super) async fn of(world: World, root: Root) -> Self {
        let who = Somebody::new(&world, "alice").await;
        let holder = Self { world, who };
        let choice = holder.choice(root);
        holder.world.custody.choose_addresses(&holder.who.caller, &choice, &[]).await.unwrap();
        holder
    }

    pub(super) fn custody(&self) -> &Arc<Custody> {
        &self.world.custody
    }

    pub(super) fn account(&self) -> AccountId {
        AccountId(self.who.account())
    }

    fn chosen(&self, root: Root) -> ChooseAddresses {
        let (account, tenant) = (self.who.account(), tenant_id("default"));
        ChooseAddresses { account, tenant, custody: root, epoch_ms: EPOCH_MS }
    }

    fn say(&self, wanted: ChooseAddresses) -> Vec<u8> {
        self.who.say(&self.world, Act::Addresses(AddressAct::Choose(wanted)))
    }

    pub(super) fn choice(&self, root: Root) -> Vec<u8> {
        self.say(self.chosen(root))
    }

    pub(super) async fn next(&self, count: u32) -> Vec<[u8; 33]> {
        let given = self.custody().next_addresses(&self.who.caller, count, &[]).await.unwrap();
        given.iter().map(|one| one.row.new.public_key).collect()
    }

    pub(super) async fn list(&self) -> Vec<Listed> {
        self.custody().list_addresses(&self.who.caller, 256, 0).await.unwrap()
    }

    pub(super) async fn sign(
        &self,
        public_key: Option<[u8; 33]>,
        message: &[u8],
    ) -> Result<SignedAddress, Failure> {
        self.sign_at(self.custody(), public_key, message, b"").await
    }

    pub(super) async fn sign_at(
        &self,
        custody: &Custody,
        public_key: Option<[u8; 33]>,
        message: &[u8],
        mark: &[u8],
    ) -> Result<SignedAddress, Failure> {
        custody.sign_with_address(&self.who.caller, ask(public_key, Input::Message(message), mark)).await
    }

    /// Accepted uses on the ledger.
    pub(super) fn uses(&self) -> Vec<UseAddress> {
        uses_of(self.world.ledger.log())
    }

    /// What opens one epoch.
    pub(super) async fn cover(&self, epoch: u32) -> ViewingCover {
        self.custody().viewing_cover(self.account(), epoch..=epoch).await.unwrap()
    }
}

/// Somebody else whose root is their own.
pub(super) async fn choose_own(holder: &Holder, who: &Somebody) {
    let (account, tenant) = (who.account(), tenant_id("default"));
    let wanted = ChooseAddresses { account, tenant, custody: Root::Own, epoch_ms: EPOCH_MS };
    let choice = who.say(&holder.world, Act::Addresses(AddressAct::Choose(wanted)));
    holder.custody().choose_addresses(&who.caller, &choice, &[]).await.unwrap();
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(super) fn uses_of(log: Vec<(Entry, Outcome)>) -> Vec<UseAddress> {
    let used = |(entry, outcome): (Entry, Outcome)| match entry {
        Entry::UseAddress(used) if outcome.is_accepted() => Some(used),
        _ => None,
    };
    log.into_iter().filter_map(used).collect()
}

pub(super) fn ask<B>(public_key: Option<[u8; 33]>, input: Input<B>, mark: &[u8]) -> SignAddress<B> {
    let (scheme, format, mark) = (String::new(), String::new(), mark.to_vec());
    SignAddress { public_key, scheme, input, format, mark, case: None }
}

/// Verifies by the address as an ECDSA key.
pub(super) fn check(signed: &SignedAddress, message: &[u8]) {
    let key = PublicKey::parse(Scheme::EcdsaSecp256k1, &signed.address.public_key).unwrap();
    verify_digest(&key, &sha256(message), &signed.signature).unwrap();
}

#[tokio::test]
async fn a_choice_stands_on_the_ledger_and_is_for_good() {
    let world = World::new().await;
    let (who, eve) = (Somebody::new(&world, "alice").await, Somebody::new(&world, "eve").await);
    let holder = Holder { world, who };
    let custody = holder.custody();
    let prepared = custody.prepare_addresses(&holder.who.caller).await.unwrap();
    assert_eq!((prepared.tenant, prepared.epoch_ms), (tenant_id("default"), EPOCH_MS));
    assert_eq!(code(holder.sign(None, b"m").await), Code::AddressesUnknown);
    let good = holder.chosen(Root::Hosted);
    let choose = async |entry: Vec<u8>| custody.choose_addresses(&holder.who.caller, &entry, b"choose").await;
    let malformed = [
        holder.say(ChooseAddresses { account: eve.account(), ..good }),
        holder.say(ChooseAddresses { tenant: tenant_id("other"), ..good }),
        holder.say(ChooseAddresses { epoch_ms: EPOCH_MS + 1, ..good }),
        Entry::OpenAccount { account: good.account }.encode(),
    ];
    for entry in malformed {
        assert_eq!(code(choose(entry).await), Code::AddressRequestMalformed);
    }
    assert_eq!(code(choose(vec![1, 2, 3]).await), Code::EntryMalformed);
    // Signed by somebody else, the ledger refuses it, and nothing of it stays.
    let stolen = eve.say(&holder.world, Act::Addresses(AddressAct::Choose(good)));
    assert_eq!(code(choose(stolen).await), Code::AuthorNotNamed);
    assert_eq!(custody.store.address_account(good.account).await.unwrap(), None);

    let entry = holder.say(good);
    let receipt = choose(entry.clone()).await.unwrap();
    assert_eq!(choose(entry).await.unwrap(), receipt, "under its mark");
    let again = custody.choose_addresses(&holder.who.caller, &holder.choice(Root::Own), &[]).await;
    assert_eq!(code(again), Code::AddressesChosen);
    let shown = custody.show_addresses(&holder.who.caller).await.unwrap();
    let key = addresses_key(&good.account);
    assert_eq!(shown.chosen, state_receipt(&key, holder.world.ledger.value(&key).as_deref()));
    assert_eq!(shown.epochs, []);
    assert_eq!(custody.accounts_with_addresses().await.unwrap(), [good.account]);
}

#[tokio::test]
async fn each_address_signs_once_and_its_detail_opens_under_its_leaf_alone() {
    let holder = Holder::hosted().await;
    let given = holder.next(3).await;
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 3);
    let named = holder.sign(Some(given[1]), b"pay 1").await.unwrap();
    check(&named, b"pay 1");
    assert_eq!((named.address.public_key, named.address.origin), (given[1], AddressOrigin::Index(1)));
    assert_eq!(code(holder.sign(Some(given[1]), b"pay 2").await), Code::AddressUsed);
    let fresh = holder.sign(None, b"pay 2").await.unwrap();
    check(&fresh, b"pay 2");
    assert_eq!(fresh.address.origin, AddressOrigin::Index(3), "none that was given out");
    assert_eq!(holder.released().await, 2);
    assert_eq!(holder.world.signatures(), 2);

    let states: Vec<_> = holder.list().await.iter().map(|one| (one.row.new.origin, one.state)).collect();
    let index = AddressOrigin::Index;
    assert_eq!(states, [(index(3), "used"), (index(2), "fresh"), (index(1), "used"), (index(0), "fresh")]);
    holder.world.pass_ms(EPOCH_MS + 10_000);
    let states: Vec<_> = holder.list().await.iter().map(|one| one.state).collect();
    assert_eq!(states, ["used", "expired", "used", "expired"]);

    let (cover, other) = (holder.cover(0).await, holder.cover(1).await);
    for (used, signed) in holder.uses().iter().zip([&named, &fresh]) {
        assert_eq!(used.detail.len(), 1_073);
        let open = |leaf| open_detail(&leaf, &used.id, &used.public_fields(), &used.detail);
        let detail = open(cover.leaf(0).unwrap()).unwrap().expose(Detail::decode).unwrap();
        assert_eq!(detail.account, holder.who.account());
        assert_eq!(commitment(&detail.opening, &detail.payload_hash), used.commitment);
        let AddressOrigin::Index(number) = signed.address.origin else { panic!() };
        assert_eq!((detail.source, detail.app.as_str()), (Source::Index(number), ""));
        assert!(open(other.leaf(1).unwrap()).is_err());
        // Neither account nor address of another stands beside it in the clear.
        let clear = used.public_fields();
        assert!(!clear.windows(32).any(|part| part == holder.who.account()));
    }
    let released: BTreeSet<_> = holder
        .world
        .ledger
        .log()
        .into_iter()
        .filter_map(|(entry, _)| match entry {
            Entry::Release(release) => Some(release.signature_hash),
            _ => None,
        })
        .collect();
    assert_eq!(released, [&named, &fresh].map(|signed| signature_hash(&signed.signature)).into());
}

#[tokio::test]
async fn an_address_signs_by_bip340_too_and_by_nothing_else() {
    let holder = Holder::hosted().await;
    let by = |scheme: &str| SignAddress { scheme: scheme.into(), ..ask(None, Input::Message(b"m"), b"") };
    let signed = holder.custody().sign_with_address(&holder.who.caller, by("bip340")).await.unwrap();
    let key = PublicKey::parse(Scheme::Bip340, &signed.address.public_key[1..]).unwrap();
    verify_digest(&key, &sha256(b"m"), &signed.signature).unwrap();
    for scheme in ["ed25519", "ecdsa-p256", "none"] {
        let refused = holder.custody().sign_with_address(&holder.who.caller, by(scheme)).await;
        assert_eq!(code(refused), Code::SchemeUnknown);
    }
}

#[tokio::test]
async fn with_a_format_the_payload_is_read_and_its_one_digest_signed() {
    let holder = Holder::hosted().await;
    let sign = |format: &str, input: Input<Vec<u8>>| {
        let asked = SignAddress { format: format.into(), ..ask(None, input, b"") };
        holder.custody().sign_with_address(&holder.who.caller, asked)
    };
    let message = payment(250);
    check(&sign("pain.001", Input::Message(message.clone())).await.unwrap(), &message);
    let used = holder.uses().pop().unwrap();
    let leaf = holder.cover(0).await.leaf(0).unwrap();
    let detail = open_detail(&leaf, &used.id, &used.public_fields(), &used.detail).unwrap();
    let detail = detail.expose(Detail::decode).unwrap();
    assert_eq!(detail.format, "pain.001");
    assert!(detail.said.iter().any(|line| line.contains("250") && line.contains("DE89370400440532013000")));
    let digest = sha256(&message).to_vec();
    check(&sign("", Input::Digest(digest.clone())).await.unwrap(), &message);
    for (format, input, wanted) in [
        ("pain.001", Input::Digest(digest.clone()), Code::PayloadMissing),
        ("pain.001", Input::Message(b"pay".to_vec()), Code::PayloadUnread),
        ("doc", Input::Message(message.clone()), Code::PayloadFormatUnknown),
        ("", Input::Digest(digest[1..].to_vec()), Code::DigestLength),
        ("", Input::Message(vec![0; (1 << 20) + 1]), Code::MessageTooLarge),
        ("", Input::Message(b"\x0ckeyward/x/v1".to_vec()), Code::PayloadReserved),
    ] {
        assert_eq!(code(sign(format, input).await), wanted);
    }
    assert_eq!(holder.uses().len(), 2);
}

#[tokio::test]
async fn the_same_request_has_one_answer_and_another_one_none() {
    let holder = Holder::hosted().await;
    let custody = holder.custody();
    let first = holder.sign_at(custody, None, b"pay", b"mark").await.unwrap();
    assert_eq!(holder.sign_at(custody, None, b"pay", b"mark").await.unwrap(), first);
    assert_eq!(code(holder.sign_at(custody, None, b"pay more", b"mark").await), Code::IdempotencyConflict);
    assert_eq!(holder.uses().len(), 1);
    let next = || custody.next_addresses(&holder.who.caller, 2, b"next");
    let keys = |given: Vec<Listed>| given.iter().map(|one| one.row.new.public_key).collect::<Vec<_>>();
    let given = keys(next().await.unwrap());
    holder.next(3).await;
    assert_eq!(keys(next().await.unwrap()), given);
    assert_eq!(code(custody.next_addresses(&holder.who.caller, 257, &[]).await), Code::InvalidArgument);
    assert_eq!(code(custody.list_addresses(&holder.who.caller, 257, 0).await), Code::InvalidArgument);
}

#[tokio::test]
async fn addresses_are_their_accounts_own() {
    let holder = Holder::hosted().await;
    let given = holder.next(1).await[0];
    let eve = Somebody::new(&holder.world, "eve").await;
    let custody = holder.custody();
    let as_eve = custody.sign_with_address(&eve.caller, ask(Some(given), Input::Message(b"m"), b"")).await;
    assert_eq!(code(as_eve), Code::AddressesUnknown);
    let (tenant, account) = (tenant_id("default"), eve.account());
    let wanted = ChooseAddresses { account, tenant, custody: Root::Hosted, epoch_ms: EPOCH_MS };
    let choice = eve.say(&holder.world, Act::Addresses(AddressAct::Choose(wanted)));
    custody.choose_addresses(&eve.caller, &choice, &[]).await.unwrap();
    let as_eve = custody.sign_with_address(&eve.caller, ask(Some(given), Input::Message(b"m"), b"")).await;
    assert_eq!(code(as_eve), Code::AddressUnknown, "another's address is unknown");
    assert!(custody.list_addresses(&eve.caller, 0, 0).await.unwrap().is_empty());
    // Of an account of their own, operators and officers sign with keys.
    for uri in ["keyward://operator/ops", "keyward://officer/olga", "keyward://auditor/ann"] {
        let other = holder.world.caller(uri).await;
        let refused = custody.list_addresses(&other, 0, 0).await;
        assert_eq!(code(refused), Code::NotAllowed, "{uri}");
    }
    let app = holder.world.app().await;
    let unchosen = custody.next_addresses(&app, 1, &[]).await;
    assert_eq!(code(unchosen), Code::AddressesUnknown, "an app may, for its own account");
    let mut all = custody.accounts_with_addresses().await.unwrap();
    all.sort_unstable();
    let mut both = [holder.who.account(), eve.account()];
    both.sort_unstable();
    assert_eq!(all, both);
}

#[tokio::test]
async fn what_narrows_keys_narrows_addresses_and_approvals_are_refused() {
    let holder = Holder::hosted().await;
    let given = holder.next(1).await[0];
    put_in_force(&holder.world, 1, OPAQUE).await;
    let sign = |format: &str, message: Vec<u8>| {
        let asked = SignAddress { format: format.into(), ..ask(Some(given), Input::Message(message), b"") };
        holder.custody().sign_with_address(&holder.who.caller, asked)
    };
    assert_eq!(code(sign("", b"m".to_vec()).await), Code::PolicyDenied);
    put_in_force(&holder.world, 2, &limit(&[7; 32])).await;
    assert_eq!(code(sign("pain.001", payment(1001)).await), Code::AddressApproval);
    assert_eq!((holder.uses().len(), holder.list().await[0].state), (0, "fresh"));
    check(&sign("pain.001", payment(1000)).await.unwrap(), &payment(1000));
}

#[tokio::test]
async fn what_is_refused_as_a_risk_uses_nothing() {
    let holder = Holder::hosted().await;
    let given = holder.next(1).await[0];
    put_risk_in_force(&holder.world, 1, NOTHING).await;
    assert_eq!(code(holder.sign(Some(given), b"m").await), Code::RiskRefused);
    assert_eq!((holder.uses().len(), holder.list().await[0].state), (0, "fresh"));
    put_risk_in_force(&holder.world, 2, &NOTHING.replace("enforce", "watch")).await;
    check(&holder.sign(Some(given), b"m").await.unwrap(), b"m");
}

#[tokio::test]
async fn closing_the_account_erases_the_root_and_no_root_was_ever_in_the_clear() {
    let holder = Holder::hosted().await;
    let given = holder.next(2).await;
    holder.sign(None, b"m").await.unwrap();
    let root = holder.custody().roots.find(&holder.who.account(), holder.world.clock.now_ms());
    let root = root.unwrap().expose(|bytes| bytes.to_vec());
    let leaf = holder.cover(0).await.leaf(0).unwrap().expose(|bytes| bytes.to_vec());
    let database = holder.world.database();
    for secret in [root, leaf] {
        assert!(!database.windows(32).any(|part| part == secret));
    }
    assert!(database.windows(33).any(|part| part == given[0]), "the address itself is found that way");

    let beside = holder.world.beside().await;
    holder.sign_at(&beside, None, b"m", b"").await.unwrap();
    let entry = closing(&holder.world, "alice").await;
    holder.custody().close_account(&holder.who.caller, &entry, &[]).await.unwrap();
    // There are no terms by which anybody could ever ask for what is left.
    holder.custody().erase_kept().await.unwrap();
    let row = holder.custody().store.address_account(holder.who.account()).await.unwrap().unwrap();
    assert_eq!((row.state, row.sealed_root, row.sealed_key), (AddressState::Erased, vec![], vec![]));
    for custody in [holder.custody(), &beside] {
        let refused = holder.sign_at(custody, Some(given[0]), b"m", b"").await;
        assert_eq!(code(refused), Code::AddressesUnknown);
        assert_eq!(code(custody.next_addresses(&holder.who.caller, 1, &[]).await), Code::AddressesUnknown);
        assert_eq!(code(custody.viewing_cover(holder.account(), 0..=0).await), Code::AddressesUnknown);
    }
    assert_eq!(holder.custody().accounts_with_addresses().await.unwrap(), Vec::<[u8; 32]>::new());
}
