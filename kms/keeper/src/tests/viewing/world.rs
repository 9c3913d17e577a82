//! An account with its own address root, and an auditor with a grant.

use keyward_crypto::{
    unlinkable::{AddressRoot, GrantKey, PuncturedViewing, ViewingCover},
    vault::VaultKeeper,
    viewing::{Dealing, DealingPlan, Gathering, Opening, deal},
};
use keyward_domain::viewing_deposit_message;
use keyward_ledger_core::{
    ed25519::SigningKey,
    entry::{
        Act, AddressAct, AuditAct, AuditTerms, Authored, ChooseAddresses, Custody, DealViewing, Entry, Grant,
        OpenGrant, RevokeGrant,
    },
    genesis::Role,
    hash::Hash,
    outcome::Outcome,
    state::{
        audit::{AuditGrantState, AuditGrantStatus, AuditState, audit_grant_key, audit_key},
        layout::{AccountState, CredentialState, account_key, credential_key},
    },
    unlinkable::DealtRun,
};

use super::super::{
    chain::CHAIN,
    world::{ACCOUNT, SERVICE, THRESHOLD, World, id_of, owner, sealing_key, signing},
};
use crate::ViewingError;

pub(super) const TENANT: Hash = [0x7e; 32];
pub(super) const AUDITOR: Hash = [0x42; 32];
pub(super) const GRANT: Hash = [0x60; 32];
pub(super) const EPOCH_MS: u64 = 1_000;
/// The first epoch that was under way for somebody when the account chose.
pub(super) const FIRST: u32 = 990;
/// For how long a dealing may be recorded.
pub(super) const IN_TIME_MS: u64 = 60 * 60 * 1_000;
/// How long the grant lives.
pub(super) const LIVE_MS: u64 = 90 * 24 * 60 * 60 * 1_000;

/// How long what a closed account did is kept.
pub(super) const KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

pub(super) fn auditor() -> SigningKey {
    SigningKey::from_seed(&[0x42; 32])
}

/// What a person's side keeps; the same each time.
pub(super) fn root() -> PuncturedViewing {
    PuncturedViewing::from_root(&AddressRoot::from_bytes(zeroize::Zeroizing::new([0x77; 32])))
}

pub(super) fn cover(first: u32, last: u32) -> ViewingCover {
    root().cover(first..=last).unwrap()
}

/// A dealing and the share for each of its keepers, by their numbers.
pub(super) struct Dealt {
    pub(super) dealing: Dealing,
    pub(super) shares: Vec<(u8, Vec<u8>)>,
}

impl Dealt {
    pub(super) fn run(&self) -> DealtRun {
        let Dealing { account, first, last, expires_ms, .. } = self.dealing;
        DealtRun { account, first, last, dealing_hash: self.dealing.hash(), expires_ms }
    }

    pub(super) fn share(&self, number: u8) -> &[u8] {
        &self.shares.iter().find(|(of, _)| *of == number).unwrap().1
    }

    pub(super) fn signed(&self) -> [u8; 64] {
        owner().sign(&viewing_deposit_message(&CHAIN, &self.dealing.hash()))
    }
}

/// Keepers as the ledger has them, by ascending id, with their numbers.
fn by_id(numbers: &[u8]) -> Vec<(u8, VaultKeeper)> {
    let keeper = |number: &u8| {
        let (sealing_key, signing_key) = (sealing_key(*number).public(), signing(*number).public_key());
        (*number, VaultKeeper { id: id_of(*number), sealing_key, signing_key })
    };
    let mut keepers: Vec<_> = numbers.iter().map(keeper).collect();
    keepers.sort_by_key(|(_, keeper)| keeper.id);
    keepers
}

impl World {
    /// A world whose account has chosen addresses with its own root, and in which the first ten epochs are over.
    pub(super) fn with_addresses() -> Self {
        let world = Self::new();
        assert!(world.choose(ACCOUNT, Custody::Own).is_accepted());
        world.pass(10 * EPOCH_MS);
        let credential = CredentialState { version: 1, public_key: auditor().public_key() };
        world.set_state(account_key(&AUDITOR), AccountState { open: true, height: 1 }.encode());
        world.set_state(credential_key(&AUDITOR), credential.encode());
        world.publish(KEPT_MS);
        world
    }

    /// Has audit terms stand that keep what a closed account did for so long.
    pub(super) fn publish(&self, kept_ms: u64) {
        let terms = AuditTerms { accounts_max: 9, span_ms_max: LIVE_MS, live_ms_max: LIVE_MS, kept_ms };
        let published = AuditState { version: 1, terms, rule: [9; 32], leaf: 3 };
        self.set_state(audit_key(&TENANT), published.encode());
    }

    /// Closes the account by its own word; when that was.
    pub(super) fn close(&self) -> u64 {
        let (_, outcome) = self.record_act(Act::CloseAccount { account: ACCOUNT }, true);
        assert_eq!(outcome.name(), "ACCEPTED");
        self.chain().now_ms
    }

    /// A round, which looks at every share of so few.
    pub(super) async fn tend(&self, number: u8) {
        self.keeper(number).round().await.unwrap();
    }

    pub(super) fn choose(&self, account: Hash, custody: Custody) -> Outcome {
        let choose = ChooseAddresses { account, tenant: TENANT, custody, epoch_ms: EPOCH_MS };
        self.record_act(Act::Addresses(AddressAct::Choose(choose)), true).1
    }

    pub(super) fn deal(&self, first: u32, last: u32) -> Dealt {
        self.deal_to(ACCOUNT, (first, last), &[1, 2, 3, 4, 5])
    }

    pub(super) fn deal_to(&self, account: Hash, run: (u32, u32), numbers: &[u8]) -> Dealt {
        let expires_ms = self.chain().now_ms + IN_TIME_MS;
        Self::deal_until(account, run, expires_ms, numbers)
    }

    pub(super) fn deal_until(
        account: Hash,
        (first, last): (u32, u32),
        expires_ms: u64,
        numbers: &[u8],
    ) -> Dealt {
        let (numbers, keepers): (Vec<_>, _) = by_id(numbers).into_iter().unzip();
        let plan = DealingPlan { chain_id: CHAIN, account, expires_ms, threshold: THRESHOLD, keepers };
        let (dealing, shares) = deal(&plan, &cover(first, last)).unwrap();
        Dealt { dealing, shares: numbers.into_iter().zip(shares).collect() }
    }

    /// Hands one keeper its share.
    pub(super) async fn give(&self, number: u8, dealt: &Dealt) -> Result<[u8; 64], ViewingError> {
        let bytes = dealt.dealing.encode();
        self.keeper(number).deposit_viewing(&bytes, dealt.share(number), &dealt.signed()).await
    }

    /// Hands all keepers their shares; their acknowledgements by ascending id.
    pub(super) async fn give_all(&self, dealt: &Dealt) -> Vec<(Hash, [u8; 64])> {
        let mut acknowledgements = Vec::new();
        for (number, _) in &dealt.shares {
            acknowledgements.push((id_of(*number), self.give(*number, dealt).await.unwrap()));
        }
        acknowledgements
    }

    pub(super) fn record_dealt(
        &self,
        dealt: &Dealt,
        acknowledgements: Vec<(Hash, [u8; 64])>,
    ) -> (u64, Outcome) {
        let deal = DealViewing { run: dealt.run(), threshold: THRESHOLD, acknowledgements };
        self.record_act(Act::Addresses(AddressAct::Deal(deal)), true)
    }

    /// Deals epochs to all five keepers, and has that recorded.
    pub(super) async fn dealt(&self, first: u32, last: u32) -> Dealt {
        let dealt = self.deal(first, last);
        let acknowledgements = self.give_all(&dealt).await;
        assert_eq!(self.record_dealt(&dealt, acknowledgements).1.name(), "ACCEPTED");
        dealt
    }

    /// Has a grant stand as issued to the auditor, for these epochs of the account.
    pub(super) fn issue(&self, first: u32, last: u32) -> GrantKey {
        let key = GrantKey::generate().unwrap();
        let at = |epoch: u32| u64::from(epoch) * EPOCH_MS;
        let grant = Grant {
            id: GRANT,
            tenant: TENANT,
            grantee_key: key.public(),
            purpose_hash: Grant::purpose_hash_of("a case"),
            from_ms: at(first),
            until_ms: at(last + 1),
            expires_ms: self.chain().now_ms + LIVE_MS,
            accounts: vec![ACCOUNT],
        };
        let state = AuditGrantState {
            status: AuditGrantStatus::Issued,
            grantee: AUDITOR,
            terms_version: 1,
            requested_leaf: 1,
            issued_leaf: 2,
            revoked_ms: 0,
            grant,
        };
        self.set_state(audit_grant_key(&GRANT), state.encode());
        key
    }

    /// What the auditor signs.
    pub(super) fn audit(&self, act: AuditAct) -> (u64, Outcome) {
        let act = Act::Audit(act);
        let authors = vec![self.author_as((AUDITOR, &auditor()), &act)];
        let entry = Entry::Authored(Authored { act, authors });
        self.chain().record(&SERVICE, Role::Service, &entry)
    }

    pub(super) fn open(&self, first: u32, last: u32) -> (u64, Outcome) {
        self.audit(AuditAct::Open(OpenGrant { grant: GRANT, account: ACCOUNT, first, last }))
    }

    /// An opening that the ledger took.
    pub(super) fn opened(&self, first: u32, last: u32) -> u64 {
        let (leaf, outcome) = self.open(first, last);
        assert_eq!(outcome.name(), "ACCEPTED");
        leaf
    }

    pub(super) fn revoke(&self) {
        let revoke = RevokeGrant { grant: GRANT, reason: [1; 32] };
        assert!(self.audit(AuditAct::Revoke(revoke)).1.is_accepted());
    }

    /// The grantee's side of an opening.
    pub(super) fn gathering(&self, dealt: &Dealt, key: &GrantKey, leaf_index: u64) -> Gathering {
        let numbers: Vec<_> = dealt.shares.iter().map(|(number, _)| *number).collect();
        let keepers = by_id(&numbers).into_iter().map(|(_, keeper)| keeper).collect();
        Gathering::new(dealt.dealing.clone(), keepers, opening(dealt, key, leaf_index)).unwrap()
    }
}

pub(super) fn opening(dealt: &Dealt, key: &GrantKey, leaf_index: u64) -> Opening {
    let (dealing, grantee_key) = (dealt.dealing.hash(), key.public());
    Opening { chain_id: CHAIN, grant_id: GRANT, leaf_index, dealing, grantee_key }
}
