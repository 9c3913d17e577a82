//! A ledger with the real contracts, accounts with unlinkable addresses on it, and an auditor with a grant.
#![allow(dead_code, unreachable_pub)]

#[path = "../../../../ledger/core/tests/common/mod.rs"]
pub mod common;

use std::collections::HashMap;

use common::acts::{Person, approval_terms, define};
use common::mutate::Random;
use common::{World, certify, vault};
use keyward_audit::{Dealt, Delivery, GrantFile, Opening, Relinked, Relinker};
use keyward_crypto::SigningKey;
use keyward_crypto::unlinkable::{
    AddressRoot, Closing, MetaAddress, Payment, ViewingCover, closing_tag, seal_closing, seal_detail,
};
use keyward_crypto::vault::VaultKeeper;
use keyward_crypto::viewing::{Dealing, DealingPlan, deal};
use keyward_domain::detail::{Detail, Source, records_root};
use keyward_ledger_core::contracts::intent::INTENT_BLOCKS_MAX;
use keyward_ledger_core::ed25519;
use keyward_ledger_core::entry::{
    Act, AddressAct, AnnouncePayment, AuditAct, AuditTerms, Case, ChooseAddresses, CloseEpoch, Custody,
    DeliverGrant, Entry, Grant, HandleLimit, OpenGrant, PublishAudit, Release, RevokeGrant, UseAddress, kind,
    tenant_id,
};
use keyward_ledger_core::export::ProvenBlock;
use keyward_ledger_core::hash::{Hash, commitment, sha256, signature_hash};
use keyward_ledger_core::log::prove_range;
use keyward_ledger_core::scheme::Scheme;
use keyward_ledger_core::unlinkable::{DealtRun, EDGE_MS, use_address_message};
use zeroize::Zeroizing;

/// To whom own roots are dealt.
pub const KEEPERS: [u8; 3] = [1, 2, 3];
/// The length of an address epoch here.
pub const EPOCH_MS: u64 = 60_000;
/// The ends of intents stand so many blocks apart.
pub const END_STEP_BLOCKS: u64 = 1024;
pub const PURPOSE: &str = "case 4711: an unusual outflow";
pub const AUDITOR: Person = Person(0xd1);
pub const OFFICERS: [Person; 2] = [Person(0xe1), Person(0xe2)];

/// An account, and where its addresses come from.
pub struct Owner {
    pub person: Person,
    pub root: AddressRoot,
    pub custody: Custody,
    /// The next index of each epoch.
    next: HashMap<u32, u32>,
    /// The places in the log of its uses, by epoch.
    pub uses: HashMap<u32, Vec<u64>>,
}

/// What is about to be recorded, before it is sealed and signed.
#[derive(Clone)]
pub struct Draft {
    pub used: UseAddress,
    pub detail: Detail,
    /// What is sealed in the place of the detail.
    pub raw: Option<Vec<u8>>,
}

pub struct Town {
    pub world: World,
    pub owners: Vec<Owner>,
    pub random: Random,
}

/// Until which block an intent stands that a service begins at a height, as it rounds it (`kms/service`, `addresses/intent.rs`).
pub fn not_after(height: u64) -> u64 {
    let latest = height + INTENT_BLOCKS_MAX;
    latest - latest % END_STEP_BLOCKS
}

impl Owner {
    pub fn account(&self) -> Hash {
        self.person.account()
    }

    pub fn next_index(&mut self, epoch: u32) -> u32 {
        let next = self.next.entry(epoch).or_default();
        *next += 1;
        *next - 1
    }
}

impl Town {
    /// Accounts that chose unlinkable addresses, hosted, and an auditor with two officers who approve.
    pub fn new(accounts: u8, random: Random) -> Self {
        Self::of(accounts, |_| Custody::Hosted, random)
    }

    /// The same, where some have their roots themselves.
    pub fn of(accounts: u8, custody: impl Fn(usize) -> Custody, random: Random) -> Self {
        let mut town = Self { world: World::new(), owners: Vec::new(), random };
        let people: Vec<_> = (1..=accounts).map(Person).collect();
        town.world.enroll_all(&people);
        town.world.enroll_all(&[AUDITOR, OFFICERS[0], OFFICERS[1]]);
        for (owner, person) in people.into_iter().enumerate() {
            town.choose(person, custody(owner));
        }
        town
    }

    pub fn choose(&mut self, person: Person, custody: Custody) {
        let (account, tenant) = (person.account(), tenant_id("bank"));
        let choose = ChooseAddresses { account, tenant, custody, epoch_ms: EPOCH_MS };
        let act = Act::Addresses(AddressAct::Choose(choose));
        assert_eq!(self.world.answer(act, &[person]), "ACCEPTED");
        let root = AddressRoot::from_bytes(Zeroizing::new(self.hash()));
        self.owners.push(Owner { person, root, custody, next: HashMap::new(), uses: HashMap::new() });
    }

    pub fn hash(&mut self) -> Hash {
        self.random.bytes(32).try_into().unwrap()
    }

    pub fn epoch(&self) -> u32 {
        (self.world.ledger.time_ms() / EPOCH_MS) as u32
    }

    /// How much of this epoch is left.
    pub fn ends_ms(&self) -> u64 {
        EPOCH_MS - self.world.ledger.time_ms() % EPOCH_MS
    }

    /// Goes to a time within an epoch.
    pub fn go(&mut self, epoch: u32, offset_ms: u64) {
        let at = u64::from(epoch) * EPOCH_MS + offset_ms;
        let now = self.world.ledger.time_ms();
        assert!(at > now, "{at} is past at {now}");
        self.world.wait(at - now);
    }

    /// The use of an owner's next address in this epoch.
    pub fn draft(&mut self, owner: usize) -> Draft {
        let epoch = self.epoch();
        let index = self.owners[owner].next_index(epoch);
        self.draft_from(owner, Source::Index(index))
    }

    pub fn draft_from(&mut self, owner: usize, source: Source) -> Draft {
        let (epoch, opening, payload_hash) = (self.epoch(), self.hash(), self.hash());
        let service = self.world.service.public_key();
        let person = &self.owners[owner];
        let detail = Detail {
            account: person.account(),
            source,
            payload_hash,
            opening,
            policy: [0x66; 32],
            approved: None,
            app: "till".to_owned(),
            format: "ethereum".to_owned(),
            said: vec!["0.75 ETH to 0x3535353535353535353535353535353535353535".to_owned()],
        };
        let used = UseAddress {
            id: self.hash(),
            scheme: Scheme::EcdsaSecp256k1,
            public_key: [0; 33],
            epoch_ms: EPOCH_MS,
            epoch,
            executor: service,
            commitment: commitment(&opening, &payload_hash),
            not_after: self.world.ledger.height() + 50,
            limit: None,
            detail: Vec::new(),
            proof: [0; 64],
        };
        let mut draft = Draft { used, detail, raw: None };
        draft.used.public_key = self.key_of(owner, &draft).public_key().as_bytes().try_into().unwrap();
        draft
    }

    /// The key of the address that a draft is about.
    pub fn key_of(&self, owner: usize, draft: &Draft) -> SigningKey {
        let (root, Draft { used, detail, .. }) = (&self.owners[owner].root, draft);
        match detail.source {
            Source::Index(index) => {
                let view = root.viewing_leaf(used.epoch);
                root.spending_leaf(used.epoch).unwrap().key(&view, index, used.scheme).unwrap()
            }
            Source::Payment { epoch, payment } => {
                let spending = root.spending_leaf(epoch).unwrap();
                let payment = Payment::decode(&payment).unwrap();
                payment.key(&root.viewing_leaf(epoch), &spending, used.scheme).unwrap()
            }
        }
    }

    /// Seals the detail for an owner's epoch, and signs with the address of its source.
    pub fn seal(&self, owner: usize, draft: Draft) -> Entry {
        let key = self.key_of(owner, &draft);
        let Draft { mut used, detail, raw } = draft;
        let bytes = raw.unwrap_or_else(|| detail.encode().unwrap());
        let view = self.owners[owner].root.viewing_leaf(used.epoch);
        used.detail = seal_detail(&view, &used.id, &used.public_fields(), &bytes).unwrap();
        self.signed(used, &key)
    }

    pub fn signed(&self, mut used: UseAddress, key: &SigningKey) -> Entry {
        let message = use_address_message(&self.world.chain_id(), &used.body());
        used.proof = key.sign_message(&message).unwrap().try_into().unwrap();
        Entry::UseAddress(used)
    }

    /// Records entries of owners in one batch, and remembers what the ledger took.
    pub fn record(&mut self, entries: Vec<(usize, Entry)>) -> Vec<u64> {
        let service = ed25519::SigningKey::from_seed(&[21; 32]);
        self.record_as(&service, entries)
    }

    pub fn record_as(&mut self, submitter: &ed25519::SigningKey, entries: Vec<(usize, Entry)>) -> Vec<u64> {
        let first = self.world.records.len() as u64;
        let (owners, entries): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        let outcomes = self.world.submit_as(submitter, &entries);
        for ((at, (owner, entry)), outcome) in (first..).zip(owners.into_iter().zip(&entries)).zip(&outcomes)
        {
            assert_eq!(outcome.name(), "ACCEPTED");
            if let Entry::UseAddress(used) = entry {
                self.owners[owner].uses.entry(used.epoch).or_default().push(at);
            }
        }
        (first..self.world.records.len() as u64).collect()
    }

    /// Uses an owner's next address; gives its place in the log and the intent.
    pub fn use_one(&mut self, owner: usize) -> (u64, Hash) {
        let draft = self.draft(owner);
        let id = draft.used.id;
        let entry = self.seal(owner, draft);
        (self.record(vec![(owner, entry)])[0], id)
    }

    pub fn release(&mut self, intent_id: Hash) -> u64 {
        let release = Release { intent_id, signature_hash: signature_hash(&intent_id) };
        self.record(vec![(0, Entry::Release(release))])[0]
    }

    /// A closing of an owner's epoch over what the ledger took.
    pub fn closing(&self, owner: usize, epoch: u32) -> Closing {
        let owner = &self.owners[owner];
        let leaves = owner.uses.get(&epoch).into_iter().flatten();
        let leaves: Vec<_> = leaves.map(|at| self.world.records[*at as usize].id()).collect();
        Closing {
            spending: owner.root.spending_leaf(epoch).unwrap().point(),
            addresses: owner.next.get(&epoch).copied().unwrap_or_default(),
            records: leaves.len() as u32,
            root: records_root(leaves),
        }
    }

    pub fn closing_entry(&self, owner: usize, epoch: u32, closing: &Closing) -> CloseEpoch {
        let view = self.owners[owner].root.viewing_leaf(epoch);
        let mut close =
            CloseEpoch { tag: closing_tag(&view).unwrap(), epoch_ms: EPOCH_MS, epoch, closing: Vec::new() };
        close.closing = seal_closing(&view, &close.public_fields(), closing).unwrap();
        close
    }

    pub fn close(&mut self, owner: usize, epoch: u32) -> u64 {
        let close = self.closing_entry(owner, epoch, &self.closing(owner, epoch));
        self.record(vec![(owner, Entry::CloseEpoch(close))])[0]
    }

    /// A payment to an owner in this epoch, announced.
    pub fn pay(&mut self, owner: usize) -> ([u8; 50], u64) {
        let announce = self.announcement(owner);
        (announce.payment, self.record(vec![(owner, Entry::AnnouncePayment(announce))])[0])
    }

    /// The same before it is recorded.
    pub fn announcement(&self, owner: usize) -> AnnouncePayment {
        let epoch = self.epoch();
        let root = &self.owners[owner].root;
        let point = root.spending_leaf(epoch).unwrap().point();
        let (_, payment) = MetaAddress::new(&root.viewing_leaf(epoch), point).unwrap().pay().unwrap();
        let payment = payment.encode().unwrap().try_into().unwrap();
        AnnouncePayment { epoch_ms: EPOCH_MS, epoch, payment }
    }

    /// Waits until an epoch has elapsed for everybody.
    pub fn elapse(&mut self, epoch: u32) {
        let until = u64::from(epoch + 1) * EPOCH_MS + EDGE_MS;
        let now = self.world.ledger.time_ms();
        if until > now {
            self.world.wait(until - now);
        }
    }

    pub fn trust(&self) -> Vec<u8> {
        self.world.trust().encode().into_bytes()
    }

    pub fn receipt(&self, leaf_index: u64) -> Vec<u8> {
        let height = self.world.records[leaf_index as usize].height;
        self.world.receipt(leaf_index, height, None).encode()
    }

    pub fn acted(&mut self, act: Act, people: &[Person]) -> u64 {
        assert_eq!(self.world.answer(act, people), "ACCEPTED");
        self.world.records.len() as u64 - 1
    }

    /// The terms of the tenant: two officers approve.
    pub fn publish(&mut self) {
        let publisher = OFFICERS[0];
        let terms = approval_terms(&[(2, &OFFICERS)]);
        self.acted(Act::DefineApproval(define(publisher, 1, terms)), &[publisher]);
        let publish = PublishAudit {
            tenant: tenant_id("bank"),
            version: 1,
            terms: AuditTerms {
                accounts_max: u16::MAX,
                span_ms_max: 1 << 40,
                live_ms_max: 1 << 40,
                kept_ms: 1 << 40,
            },
            rule: publisher.rule().id(kind::DEFINE_APPROVAL),
            case: None,
        };
        self.acted(Act::Audit(AuditAct::Publish(publish)), &[publisher]);
    }

    /// A grant for some accounts (none: the whole tenant) over some epochs: asked for, approved, issued.
    pub fn granted(&mut self, accounts: &[usize], first: u32, last: u32) -> GrantFile {
        self.granted_amid(accounts, (first, last), |_, _| ())
    }

    /// The same; something happens once the case is open.
    pub fn granted_amid(
        &mut self,
        accounts: &[usize],
        (first, last): (u32, u32),
        amid: impl FnOnce(&mut Self, Case),
    ) -> GrantFile {
        let mut accounts: Vec<_> = accounts.iter().map(|owner| self.owners[*owner].account()).collect();
        accounts.sort_unstable();
        let grant = Grant {
            id: self.hash(),
            tenant: tenant_id("bank"),
            grantee_key: self.hash(),
            purpose_hash: Grant::purpose_hash_of(PURPOSE),
            from_ms: u64::from(first) * EPOCH_MS,
            until_ms: u64::from(last + 1) * EPOCH_MS,
            expires_ms: self.world.ledger.time_ms() + (1 << 36),
            accounts,
        };
        let payload = grant.payload();
        let requested = self.acted(Act::Audit(AuditAct::Request(grant.clone())), &[AUDITOR]);
        let ask = Act::OpenApproval { rule: OFFICERS[0].rule(), payload, live_ms: 600_000 };
        let case = Case { id: self.world.made(ask, &[AUDITOR]), payload };
        let asked = self.world.records.len() as u64 - 1;
        amid(self, case);
        let approvals = OFFICERS.map(|officer| self.acted(Act::Approve { case, group: 0 }, &[officer]));
        let issued = self.acted(Act::Audit(AuditAct::Issue { grant: grant.id, case: case.id }), &[AUDITOR]);
        GrantFile {
            chain_id: self.world.chain_id(),
            purpose: PURPOSE.to_owned(),
            request: self.receipt(requested),
            approvals: [asked, approvals[0], approvals[1]].map(|at| self.receipt(at)).to_vec(),
            issue: self.receipt(issued),
            openings: Vec::new(),
        }
    }

    pub fn grant_id(&self, file: &GrantFile) -> Hash {
        file.check(&self.trust()).unwrap().grant.id
    }

    /// Opens a run of epochs of an owner.
    pub fn open(&mut self, file: &mut GrantFile, owner: usize, first: u32, last: u32) {
        let cover = ViewingCover::of(&self.owners[owner].root, first..=last);
        self.open_with(file, owner, first, last, cover);
    }

    pub fn open_with(
        &mut self,
        file: &mut GrantFile,
        owner: usize,
        first: u32,
        last: u32,
        cover: ViewingCover,
    ) {
        let account = self.owners[owner].account();
        let opened = OpenGrant { grant: self.grant_id(file), account, first, last };
        let at = self.acted(Act::Audit(AuditAct::Open(opened)), &[AUDITOR]);
        let package_hash = sha256(&[b"sealed"]);
        let deliver = Entry::DeliverGrant(DeliverGrant { opened, package_hash });
        let delivered = self.record(vec![(owner, deliver)])[0];
        let delivery = Delivery::Hosted { delivered: self.receipt(delivered), cover };
        file.add(Opening { account, first, last, opened: self.receipt(at), delivery });
    }

    /// What an owner deals of a run of epochs to three keepers of whom two open it.
    pub fn dealing(&self, owner: usize, first: u32, last: u32, expires_ms: u64) -> Dealing {
        let keepers = vault::keepers(&KEEPERS).into_iter().map(|keeper| VaultKeeper {
            id: keeper.id(),
            sealing_key: keeper.hpke_key,
            signing_key: keeper.key,
        });
        let (chain_id, account) = (self.world.chain_id(), self.owners[owner].account());
        let plan = DealingPlan { chain_id, account, expires_ms, threshold: 2, keepers: keepers.collect() };
        let cover = ViewingCover::of(&self.owners[owner].root, first..=last);
        deal(&plan, &cover).unwrap().0
    }

    /// Opens a run of epochs of an own root, which it deals for that, after those that come before.
    pub fn open_dealt(&mut self, file: &mut GrantFile, owner: usize, first: u32, last: u32) {
        let expires_ms = self.world.next_ms() + 60 * 60 * 1_000;
        let chosen = self.world.chosen(self.owners[owner].person).unwrap().first;
        if chosen < first {
            let before = self.dealing(owner, chosen, first - 1, expires_ms);
            self.deal(owner, &before, (chosen, first - 1), expires_ms);
        }
        let dealing = self.dealing(owner, first, last, expires_ms);
        self.deal(owner, &dealing, (first, last), expires_ms);
        let cover = ViewingCover::of(&self.owners[owner].root, first..=last);
        self.open_own(file, owner, first, last, vec![Dealt { dealing: dealing.encode(), cover }]);
    }

    /// Records a dealing, which its keepers acknowledge; gives its place.
    pub fn deal(
        &mut self,
        owner: usize,
        dealing: &Dealing,
        (first, last): (u32, u32),
        expires_ms: u64,
    ) -> u64 {
        let person = self.owners[owner].person;
        let run =
            DealtRun { account: person.account(), first, last, dealing_hash: dealing.hash(), expires_ms };
        let act = self.world.dealt(run, 2, &KEEPERS);
        self.acted(act, &[person])
    }

    /// Opens a run of epochs of an owner with an own root, of which keepers opened these dealings.
    pub fn open_own(&mut self, file: &mut GrantFile, owner: usize, first: u32, last: u32, dealt: Vec<Dealt>) {
        let account = self.owners[owner].account();
        let opened = OpenGrant { grant: self.grant_id(file), account, first, last };
        let at = self.acted(Act::Audit(AuditAct::Open(opened)), &[AUDITOR]);
        file.add(Opening { account, first, last, opened: self.receipt(at), delivery: Delivery::Own(dealt) });
    }

    pub fn revoke(&mut self, file: &GrantFile) {
        let grant = self.grant_id(file);
        self.acted(Act::Audit(AuditAct::Revoke(RevokeGrant { grant, reason: [5; 32] })), &[AUDITOR]);
    }

    /// A limit with one window, that anybody's handle counts against.
    pub fn limit(&mut self, window_ms: u64) -> Hash {
        use keyward_ledger_core::entry::{RateTerms, Window};
        let window = Window { length_ms: window_ms, count_max: 1 << 40, amount_max: 0 };
        let terms = RateTerms { windows: vec![window], chargers: Vec::new() };
        self.acted(Act::DefineRate(define(OFFICERS[0], 1, terms)), &[OFFICERS[0]]);
        OFFICERS[0].rule().id(kind::DEFINE_RATE)
    }

    /// What an owner counts against in the window of now.
    pub fn handle(&self, owner: usize, rule: Hash, window_ms: u64) -> HandleLimit {
        let number = self.world.ledger.time_ms() / window_ms;
        HandleLimit { rule, handle: self.owners[owner].root.handle(window_ms, number) }
    }

    /// The ledger as it is exported, each block certified by itself.
    pub fn export(&self) -> Vec<ProvenBlock> {
        (1..=self.world.blocks.len()).map(|height| self.proven(height)).collect()
    }

    fn proven(&self, height: usize) -> ProvenBlock {
        let (block, executed) = &self.world.blocks[height - 1];
        let (first, count) = (executed.first_leaf(), executed.leaf_hashes.len() as u64);
        let size = block.header().log_size;
        ProvenBlock {
            block: block.encode(),
            first_leaf: first,
            outcomes: executed.batches.iter().flat_map(|batch| batch.outcomes.clone()).collect(),
            range_proof: match count {
                0 => Vec::new(),
                count => prove_range(&self.world.nodes, first..first + count, size).unwrap(),
            },
            descendants: Vec::new(),
            certificate: certify(&self.world.validators, &block.signed_header, 3),
        }
    }

    /// Everything that a grant finds in the whole ledger.
    pub fn relinked(&self, file: GrantFile) -> Relinked {
        self.relinked_from(file, 0)
    }

    pub fn relinked_from(&self, file: GrantFile, first: u64) -> Relinked {
        let mut relinker = Relinker::new(file, &self.trust()).unwrap();
        for (at, record) in (0..).zip(&self.world.records).skip(first as usize) {
            relinker.feed(at, record).unwrap();
        }
        relinker.relinked()
    }
}
