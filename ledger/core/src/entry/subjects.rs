//! What an entry is about: the 32-byte names under which its record is looked up.

use super::{
    Act, AddressAct, AssociationAct, AuditAct, Authored, DelegationAct, Entry, Intent, OpenGrant, Party,
    RotateKey, RuleName, SharedAct, VaultAct, kind,
};
use crate::address::Address;
use crate::hash::Hash;
use crate::scheme::{PublicKey, Scheme};

/// Grows by one whenever an entry names something else than before, so that what was looked up is noted again.
pub const SUBJECTS_VERSION: u8 = 4;

impl Entry {
    /// The accounts, keys, credentials, intents, rules, cases, changes and members that the entry names; SPEC.md
    /// "Look-up". Not part of what the ledger agrees on: nothing that is executed depends on it.
    pub fn subjects(&self) -> Vec<Hash> {
        match self {
            Self::Note(_) => Vec::new(),
            Self::OpenAccount { account } | Self::CloseAccount { account } => vec![*account],
            Self::BindCredential(bind) => vec![bind.account, bind.public_key],
            Self::BindKey(bind) => with_key(vec![bind.account], bind.scheme, &bind.public_key),
            Self::RotateKey(RotateKey { previous, bind, .. }) => {
                with_key(vec![bind.account, previous.0], bind.scheme, &bind.public_key)
            }
            Self::FreezeKey { key_id }
            | Self::UnfreezeKey { key_id }
            | Self::ScheduleDestroyKey { key_id, .. }
            | Self::CancelDestroyKey { key_id }
            | Self::DestroyKey { key_id } => vec![key_id.0],
            Self::Intent(Intent { id, key_id, .. }) => vec![*id, key_id.0],
            Self::Release(release) => vec![release.intent_id],
            // Nothing of the limit: who looks a handle up would see which addresses are of one account.
            Self::UseAddress(used) => {
                [used.id].into_iter().chain(used.key_id().map(|key_id| key_id.0)).collect()
            }
            Self::CloseEpoch(close) => vec![close.tag],
            Self::AnnouncePayment(_) => Vec::new(),
            Self::OpenBlindCase(open) => vec![open.rule, open.payload()],
            Self::UseBlindCase(used) => vec![used.case, used.payload()],
            Self::DeliverGrant(deliver) => opened(&deliver.opened),
            Self::UseGrant(used) => vec![used.grant],
            Self::Authored(authored) => authored.subjects(),
            Self::ProposeChange(propose) => vec![propose.proposer],
            Self::ApproveChange(approve) => vec![approve.change_id, approve.validator],
            Self::Evidence(evidence) => vec![evidence.validator],
            Self::Complaint(complaint) => vec![complaint.author],
            Self::Agreement(agreement) => vec![agreement.member],
        }
    }
}

fn with_key(mut subjects: Vec<Hash>, scheme: Scheme, public_key: &[u8]) -> Vec<Hash> {
    subjects.extend(PublicKey::parse(scheme, public_key).ok().map(|key| key.id().0));
    subjects
}

const fn party(party: &Party) -> Hash {
    match party {
        Party::Credential(account) => *account,
        Party::Key(key_id) => key_id.0,
    }
}

impl Authored {
    fn subjects(&self) -> Vec<Hash> {
        let authors = self.authors.iter().map(|author| party(&author.party));
        self.act.subjects().into_iter().chain(authors).collect()
    }
}

impl Act {
    /// A rule by its owner, its name and its id; a case by its id; what is to be done by its hash.
    fn subjects(&self) -> Vec<Hash> {
        let rule = |rule: &RuleName, kind| vec![rule.owner, rule.name, rule.id(kind)];
        match self {
            Self::CloseAccount { account } => vec![*account],
            Self::DefineAttempts(define) => rule(&define.rule, kind::DEFINE_ATTEMPTS),
            Self::DefineRate(define) => rule(&define.rule, kind::DEFINE_RATE),
            Self::DefineApproval(define) => rule(&define.rule, kind::DEFINE_APPROVAL),
            Self::DefineTimelock(define) => rule(&define.rule, kind::DEFINE_TIMELOCK),
            Self::GrantAttempt { rule: name, .. } | Self::ProveAttempt { rule: name, .. } => {
                rule(name, kind::DEFINE_ATTEMPTS)
            }
            Self::ChargeRate { rule: name, what, .. } => {
                [rule(name, kind::DEFINE_RATE), vec![*what]].concat()
            }
            Self::OpenApproval { rule: name, payload, .. } => {
                [rule(name, kind::DEFINE_APPROVAL), vec![*payload]].concat()
            }
            Self::OpenTimelock { rule: name, payload } => {
                [rule(name, kind::DEFINE_TIMELOCK), vec![*payload]].concat()
            }
            Self::Approve { case, .. }
            | Self::RefuseApproval(case)
            | Self::WithdrawApproval(case)
            | Self::UseApproval(case)
            | Self::VetoTimelock(case)
            | Self::CancelTimelock(case) => vec![case.id, case.payload],
            Self::ExecuteTimelock { case, judged } => {
                [case.id, case.payload].into_iter().chain(*judged).collect()
            }
            Self::Vault(act) => vault(act),
            Self::Delegation(act) => delegation(act),
            Self::Shared(act) => shared(act),
            Self::PublishPolicy(publish) | Self::PublishRisk(publish) => {
                [publish.tenant, publish.set, publish.rule].into_iter().chain(publish.case).collect()
            }
            Self::Association(act) => association(act),
            Self::Addresses(act) => addresses(act),
            Self::Audit(act) => audit(act),
        }
    }
}

/// A vault as a rule is named; an attempt by its request, and keepers by their ids.
fn vault(act: &VaultAct) -> Vec<Hash> {
    let name = act.vault();
    let mut subjects = vec![name.owner, name.name, name.id(kind::SEAL_VAULT)];
    match act {
        VaultAct::Seal { sealing, .. } => subjects.extend(&sealing.shares.keepers),
        VaultAct::Refresh { refresh, .. } => subjects.extend(&refresh.shares.keepers),
        VaultAct::Attempt(attempt) | VaultAct::Open { attempt, .. } => {
            subjects.push(crate::contracts::vault::request(attempt).hash);
        }
        VaultAct::Erase { keeper, .. } => subjects.push(*keeper),
        VaultAct::Destroy { .. } => {}
    }
    subjects
}

/// A delegation as a rule is named; recoveries by their case and new key, acts by key and commitment.
fn delegation(act: &DelegationAct) -> Vec<Hash> {
    let named = |rule: &RuleName, more: &[Hash]| {
        [&[rule.owner, rule.name, rule.id(kind::APPOINT_DELEGATES)], more].concat()
    };
    match act {
        DelegationAct::Appoint(define) => {
            let delegates = define.terms.delegates.iter().map(party);
            let vetoers = define.terms.vetoers.iter().map(|key_id| key_id.0);
            named(&define.rule, &delegates.chain(vetoers).collect::<Vec<_>>())
        }
        DelegationAct::Revoke { rule, .. } => named(rule, &[]),
        DelegationAct::OpenRecovery { recovery, .. } => named(&recovery.rule, &[recovery.public_key]),
        DelegationAct::VetoRecovery(case) | DelegationAct::CancelRecovery(case) => {
            vec![case.id, case.payload]
        }
        DelegationAct::ExecuteRecovery { recovery, case, judged } => {
            let judged = judged.iter().copied();
            [recovery.public_key, *case].into_iter().chain(judged).chain(named(&recovery.rule, &[])).collect()
        }
        DelegationAct::Operate { rule, key_id, commitment, .. } => named(rule, &[key_id.0, *commitment]),
    }
}

/// A shared key by its name, as a rule is named, and by its key id; keepers by their ids, devices by their signing key.
fn shared(act: &SharedAct) -> Vec<Hash> {
    let named = |rule: &RuleName| vec![rule.owner, rule.name, rule.id(kind::OPEN_SHARED_KEY)];
    match act {
        SharedAct::Open(opening) => {
            let mut subjects = named(&opening.name);
            subjects.extend(&opening.circle.keepers);
            subjects.extend(opening.speakers.iter().map(party));
            subjects.push(opening.device.signing_key);
            subjects
        }
        SharedAct::Bind(binding) => {
            let key = with_key(named(&binding.name), binding.scheme, &binding.public_key);
            key.into_iter().chain(binding.approval_rule).chain(binding.policy_tenant).collect()
        }
        SharedAct::Intent(intent) => [intent.id, intent.key_id.0].into_iter().chain(intent.case).collect(),
        SharedAct::Renew(renewal) => {
            let mut subjects = vec![renewal.key_id.0, renewal.device.signing_key];
            subjects.extend(&renewal.circle.keepers);
            subjects
        }
        SharedAct::ReplaceDevice { key_id, device } => vec![key_id.0, device.signing_key],
        SharedAct::CancelDevice { key_id, .. } => vec![key_id.0],
    }
}

/// An association by its id; members by their accounts, and by key ids where they are keys of this ledger.
fn association(act: &AssociationAct) -> Vec<Hash> {
    let key = |address: &Address| address.key_id().map(|key_id| key_id.0);
    let added = act.added().iter().flat_map(|member| [Some(member.account), key(&member.address)]);
    let gone: Vec<_> = match act {
        AssociationAct::Update { removed, .. } => removed.iter().map(key).collect(),
        AssociationAct::Leave { address, .. } => vec![key(address)],
        _ => Vec::new(),
    };
    [Some(*act.association())].into_iter().chain(added).chain(gone).flatten().collect()
}

/// Addresses by account and tenant; a dealing by its hash and the keepers' ids.
fn addresses(act: &AddressAct) -> Vec<Hash> {
    match act {
        AddressAct::Choose(choose) => vec![choose.account, choose.tenant],
        AddressAct::Deal(deal) => {
            let keepers = deal.acknowledgements.iter().map(|(keeper, _)| *keeper);
            [deal.run.account, deal.run.dealing_hash].into_iter().chain(keepers).collect()
        }
    }
}

/// A grant by its id; a request by its tenant and accounts too.
fn audit(act: &AuditAct) -> Vec<Hash> {
    match act {
        AuditAct::Publish(publish) => {
            [publish.tenant, publish.rule].into_iter().chain(publish.case).collect()
        }
        AuditAct::Request(grant) => {
            [grant.id, grant.tenant].into_iter().chain(grant.accounts.iter().copied()).collect()
        }
        AuditAct::Issue { grant, case } => vec![*grant, *case],
        AuditAct::Open(open) => opened(open),
        AuditAct::Revoke(revoke) => vec![revoke.grant],
    }
}

fn opened(open: &OpenGrant) -> Vec<Hash> {
    vec![open.grant, open.account]
}
