//! Roles apart and tenants apart, over every verb at once: who can do what at all is a table here, and nothing else.

use std::collections::BTreeSet;

use keyward_domain::Mode;

use super::account;
use crate::{Actor, ActorKind, Facts, PolicySet, Request, Resource, SharedSigning, SigningRequest, Verb};

/// Every verb that somebody of this kind may do in some circumstance: to what is their own, lent to them, or the tenant's.
const MATRIX: &[(ActorKind, &[&str])] = &[
    (
        ActorKind::App,
        &[
            "account.show",
            "address.choose",
            "address.show",
            "address.use",
            "association.change",
            "association.show",
            "key.cancel-destroy",
            "key.create",
            "key.freeze",
            "key.import",
            "key.label",
            "key.list",
            "key.rotate",
            "key.schedule-destroy",
            "key.show",
            "key.sign",
            "ledger.read",
            "shared.change",
            "shared.create",
            "token.list",
        ],
    ),
    (
        ActorKind::Operator,
        &[
            "account.show",
            "admin.status",
            "agent.link",
            "approval.ask",
            "approval.define",
            "approval.give",
            "approval.show",
            "association.change",
            "association.show",
            "audit.revoke",
            "audit.show",
            "kek.show",
            "key.authorize",
            "key.cancel-destroy",
            "key.freeze",
            "key.label",
            "key.list",
            "key.revoke",
            "key.rotate",
            "key.schedule-destroy",
            "key.search",
            "key.show",
            "key.sign",
            "ledger.read",
            "policy.show",
            "shared.change",
            "shared.create",
            "token.link",
            "token.list",
        ],
    ),
    (
        ActorKind::Officer,
        &[
            "account.profile.erase",
            "account.profile.read",
            "admin.status",
            "audit.publish",
            "kek.rotate",
            "kek.show",
            "key.cancel-destroy",
            "key.freeze",
            "key.label",
            "key.list",
            "key.rotate",
            "key.schedule-destroy",
            "key.search",
            "key.show",
            "key.unfreeze",
            "ledger.read",
            "policy.dry-run",
            "policy.publish",
            "policy.show",
            "vault.code.reset",
        ],
    ),
    (
        ActorKind::Auditor,
        &[
            "account.profile.read",
            "account.show",
            "admin.status",
            "audit.ask",
            "audit.open",
            "kek.show",
            "key.list",
            "key.search",
            "key.show",
            "ledger.read",
            "policy.dry-run",
            "policy.show",
            "token.list",
        ],
    ),
    (ActorKind::Agent, &["ledger.read", "token.agent"]),
    (
        ActorKind::User,
        &[
            "account.close",
            "account.password",
            "account.profile.erase",
            "account.profile.read",
            "account.profile.write",
            "account.show",
            "address.choose",
            "address.show",
            "address.use",
            "approval.ask",
            "approval.define",
            "approval.give",
            "approval.show",
            "association.change",
            "association.show",
            "audit.revoke",
            "audit.show",
            "delegation.act",
            "delegation.change",
            "delegation.show",
            "key.authorize",
            "key.cancel-destroy",
            "key.freeze",
            "key.import",
            "key.label",
            "key.list",
            "key.revoke",
            "key.rotate",
            "key.schedule-destroy",
            "key.show",
            "key.sign",
            "ledger.read",
            "recovery.ask",
            "recovery.veto",
            "shared.change",
            "shared.create",
            "vault.code",
            "vault.destroy",
            "vault.drill",
            "vault.recover",
            "vault.seal",
            "vault.show",
        ],
    ),
    (ActorKind::Holder, &["key.sign"]),
];
const OPERATORS: &[String] = &[];

fn decide(set: &PolicySet, actor: Actor<'_>, verb: Verb, resource: Resource<'_>) -> bool {
    if verb == Verb::KeySign {
        let facts = &Facts::opaque();
        if let (Resource::Shared { id: key_id, .. }, Some(account)) = (resource, actor.account) {
            let holder = actor.kind == ActorKind::Holder;
            let asked = SharedSigning { account, key_id, facts, time_ms: 0, approvals: &[] };
            return holder && set.decide_shared(&asked).is_allowed();
        }
        let request = SigningRequest { actor, key: resource, facts, time_ms: 0, approvals: &[] };
        return set.decide_signing(&request).is_allowed();
    }
    set.decide(&Request { actor, verb, resource }).is_ok_and(|decision| decision.allowed)
}

/// Whether somebody of this kind may do it in any of many circumstances.
fn ever(set: &PolicySet, kind: ActorKind, verb: Verb, own: &str, there: &str) -> bool {
    let named = [String::from("me")];
    let actor = Actor { tenant: own, kind, name: "me", account: Some(account('a')) };
    let mut resources = vec![Resource::Tenant { tenant: there }];
    for holder in ['a', 'b'] {
        let id = account(holder);
        resources.push(Resource::Account { tenant: there, id });
        if own == there {
            resources.push(Resource::Shared { id: [1; 32], account: id });
        }
        for mode in [Mode::Linked, Mode::Hosted, Mode::Own] {
            for (person, authorised) in [(false, false), (false, true), (true, false), (true, true)] {
                resources.push(Resource::Key {
                    tenant: there,
                    id: [1; 32],
                    account: id,
                    mode,
                    person,
                    authorised,
                });
            }
        }
    }
    for agent in ["me", "other"] {
        resources.push(Resource::Desk { tenant: there, agent, operators: &named });
        resources.push(Resource::Desk { tenant: there, agent, operators: OPERATORS });
    }
    resources.into_iter().any(|resource| decide(set, actor, verb, resource))
}

#[test]
fn each_role_can_do_what_its_row_says_and_nothing_else() {
    let set = PolicySet::embedded().unwrap();
    let rows: BTreeSet<_> = MATRIX.iter().map(|(kind, _)| kind.name()).collect();
    assert_eq!(rows.len(), ActorKind::ALL.len(), "a row for each kind");
    for (kind, verbs) in MATRIX {
        let may = Verb::ALL.iter().filter(|verb| ever(&set, *kind, **verb, "t", "t"));
        let may: BTreeSet<_> = may.map(|verb| verb.name()).collect();
        assert_eq!(may, verbs.iter().copied().collect(), "{kind:?}");
    }
}

#[test]
fn nobody_can_do_anything_in_another_tenant() {
    let set = PolicySet::embedded().unwrap();
    for kind in ActorKind::ALL {
        for verb in Verb::ALL {
            assert!(!ever(&set, kind, *verb, "t", "other"), "{kind:?} {verb}");
        }
    }
}

/// Who runs the service, who guards it and who looks at it are three: what changes something belongs to one of them alone.
#[test]
fn no_two_of_operator_officer_and_auditor_share_what_changes_keys_of_others_or_policies() {
    let set = PolicySet::embedded().unwrap();
    let others = [
        "key.unfreeze",
        "kek.rotate",
        "policy.publish",
        "audit.publish",
        "vault.code.reset",
        "account.profile.erase",
    ];
    for name in others {
        let verb = Verb::from_name(name).unwrap();
        for kind in [ActorKind::Operator, ActorKind::Auditor, ActorKind::App, ActorKind::Agent] {
            assert!(!ever(&set, kind, verb, "t", "t"), "{kind:?} {name}");
        }
        assert!(ever(&set, ActorKind::Officer, verb, "t", "t"), "{name}");
    }
    for kind in [ActorKind::Officer, ActorKind::Auditor] {
        assert!(!ever(&set, kind, Verb::KeySign, "t", "t"), "{kind:?} signs");
    }
    for kind in ActorKind::ALL.into_iter().filter(|kind| *kind != ActorKind::Auditor) {
        for verb in [Verb::AuditAsk, Verb::AuditOpen] {
            assert!(!ever(&set, kind, verb, "t", "t"), "{kind:?} {verb}");
        }
    }
}
