//! Terms and grants are believed from the ledger alone, and what approvers read is what the grant says.

use keyward_client::approvals::Voice;
use keyward_client::audit::{AskedGrant, AuditGrantStatus, AuditTerms};
use keyward_ledger_core::entry::{kind, tenant_id};
use keyward_ledger_core::state::audit::{audit_grant_key, audit_key};
use keyward_proto::custody::{
    ApprovalAbout, ApprovalOfGrant, AuditEntryResponse, AuditTermsResponse, ShowApprovalResponse,
    ShowGrantResponse, approval_about,
};

use crate::audits::world::{ANNA, BORIS, CLARA, DORA, Lies, PURPOSE, World, login, rule};
use crate::toy::Chain;

fn terms(lie: impl Fn(&World, AuditTermsResponse) -> AuditTermsResponse + Send + 'static) -> Lies {
    Lies { terms: Some(Box::new(lie)), ..Lies::default() }
}

fn grant(lie: impl Fn(&World, ShowGrantResponse) -> ShowGrantResponse + Send + 'static) -> Lies {
    Lies { grant: Some(Box::new(lie)), ..Lies::default() }
}

#[tokio::test]
async fn a_grant_is_asked_for_approved_by_two_and_issued() {
    let world = World::published().await;
    let anna = world.client(ANNA).await;
    let shown = anna.show_audit_terms(None).await.unwrap();
    assert_eq!(shown.state.unwrap().rule, rule().id(kind::DEFINE_APPROVAL));
    assert_eq!(shown.rule.unwrap().terms.groups[0].needed, 2);
    let asked = world.request().await.unwrap();
    let shown = anna.show_grant(&asked.id).await.unwrap();
    assert_eq!((shown.state.status, shown.purpose.as_deref()), (AuditGrantStatus::Requested, Some(PURPOSE)));
    assert_eq!((&shown.state.grant, shown.state.grantee), (&asked, ANNA));
    let one = world.case(&asked, 1).await;
    assert_eq!(world.issue(&asked, one).await.unwrap_err().code(), Some("APPROVALS_MISSING"));
    let both = world.case(&asked, 2).await;
    world.issue(&asked, both).await.unwrap();
    let shown = anna.show_grant(&asked.id).await.unwrap();
    assert!(shown.is_in_force());
    assert_eq!(world.issue(&asked, both).await.unwrap_err().code(), Some("GRANT_STATE"));
    let listed = anna.list_grants().await.unwrap();
    assert_eq!((listed[0].id, listed[0].purpose.as_str()), (asked.id, PURPOSE));
    // Who approves ends it; nobody else but who asked.
    let dora = world.client(DORA).await;
    let refused = dora.revoke_grant(Voice::Account(&login(DORA)), &shown, [1; 32]).await.unwrap_err();
    assert_eq!(refused.code(), Some("AUTHOR_NOT_NAMED"));
    let clara = world.client(CLARA).await;
    clara.revoke_grant(Voice::Account(&login(CLARA)), &shown, [1; 32]).await.unwrap();
    let shown = anna.show_grant(&asked.id).await.unwrap();
    assert_eq!((shown.state.status, shown.is_in_force()), (AuditGrantStatus::Revoked, false));
}

#[tokio::test]
async fn nothing_is_asked_for_without_terms_and_no_further_than_they_reach() {
    let world = World::start().await;
    let anna = world.client(ANNA).await;
    let none = anna.show_audit_terms(None).await.unwrap();
    let limits = AuditTerms { accounts_max: 1, span_ms_max: 1, live_ms_max: 1, kept_ms: 0 };
    assert!(none.state.is_none() && none.next(limits, None).is_none());
    assert_eq!(world.request().await.unwrap_err().code(), Some("AUDIT_UNPUBLISHED"));
    let world = World::published().await;
    let anna = world.client(ANNA).await;
    let shown = anna.show_audit_terms(None).await.unwrap();
    assert_eq!(shown.next(limits, None).unwrap().version, 2);
    let good = world.asked();
    for wide in [
        AskedGrant { accounts: Vec::new(), ..good.clone() },
        AskedGrant { until_ms: good.from_ms + 60_001, ..good.clone() },
        AskedGrant { until_ms: good.from_ms, ..good.clone() },
        AskedGrant { expires_ms: world.begun_ms + 200_000, ..good.clone() },
        AskedGrant { expires_ms: world.begun_ms, ..good },
    ] {
        let refused = anna.request_grant(&login(ANNA), &world.device(), (&shown, wide.clone())).await;
        assert_eq!(refused.unwrap_err().code(), Some("GRANT_TOO_WIDE"), "{wide:?}");
    }
}

#[tokio::test]
async fn terms_and_grants_that_the_ledger_does_not_prove_are_not_shown() {
    let world = World::published().await;
    let asked = world.request().await.unwrap();
    let other = world.request().await.unwrap();
    let anna = world.client(ANNA).await;
    let foreign = Chain::new(9).proof(&audit_key(&tenant_id("bank")));
    for lie in [
        terms(move |_, shown| AuditTermsResponse { terms: foreign.clone().into(), ..shown }),
        terms(|_, shown| AuditTermsResponse { tenant: tenant_id("other").to_vec().into(), ..shown }),
        terms(|_, shown| AuditTermsResponse { rule: shown.terms.clone(), ..shown }),
    ] {
        world.lie(lie);
        assert_eq!(anna.show_audit_terms(None).await.unwrap_err().code(), Some("AUDIT_UNPROVEN"));
    }
    world.lie(terms(|world, _| {
        let tenant = tenant_id("other");
        let terms = world.chain.lock().unwrap().proof(&audit_key(&tenant)).into();
        AuditTermsResponse { tenant: tenant.to_vec().into(), terms, ..Default::default() }
    }));
    let elsewhere = anna.show_audit_terms(Some("bank")).await.unwrap_err();
    assert_eq!(elsewhere.code(), Some("AUDIT_SUBSTITUTED"), "{elsewhere}");
    let (id, another) = (asked.id, other.id);
    for (lie, code) in [
        (
            grant(move |world, shown| {
                let grant = world.chain.lock().unwrap().proof(&audit_grant_key(&another)).into();
                ShowGrantResponse { grant, ..shown }
            }),
            "AUDIT_UNPROVEN",
        ),
        (
            grant(|_, shown| ShowGrantResponse { purpose: "nothing to worry about".into(), ..shown }),
            "AUDIT_SUBSTITUTED",
        ),
    ] {
        world.lie(lie);
        assert_eq!(anna.show_grant(&id).await.unwrap_err().code(), Some(code));
    }
    world.lie(Lies::default());
    assert_eq!(anna.show_grant(&[9; 32]).await.unwrap_err().code(), Some("GRANT_UNKNOWN"));
}

#[tokio::test]
async fn an_entry_counts_by_its_own_receipt_alone() {
    let world = World::published().await;
    let first = world.chain.lock().unwrap().receipt(0);
    world.lie(Lies {
        recorded: Some(Box::new(move |_, _| AuditEntryResponse {
            receipt: first.clone().into(),
            leaf_index: 0,
        })),
        ..Lies::default()
    });
    let error = world.request().await.unwrap_err();
    assert_eq!(error.code(), Some("APPROVAL_SUBSTITUTED"), "{error}");
    world.lie(Lies {
        recorded: Some(Box::new(|_, answer| AuditEntryResponse { leaf_index: 99, ..answer })),
        ..Lies::default()
    });
    assert_eq!(world.request().await.unwrap_err().code(), Some("APPROVAL_SUBSTITUTED"));
}

#[tokio::test]
async fn approvers_read_the_grant_and_the_purpose_that_it_has_the_hash_of() {
    let world = World::published().await;
    let asked = world.request().await.unwrap();
    let case = world.case(&asked, 0).await;
    let boris = world.client(BORIS).await;
    let shown = boris.approval_case(&case).await.unwrap();
    let words = shown.words.join("\n");
    for part in [PURPOSE, &hex::encode(DORA)] {
        assert!(words.contains(part), "{part} is not said: {words}");
    }
    let (bytes, wider) = (asked.encode(), world.request().await.unwrap().encode());
    let about = move |grant: Vec<u8>, purpose: &str| {
        let of = ApprovalOfGrant { grant: grant.into(), purpose: purpose.to_owned() };
        ApprovalAbout { about: Some(approval_about::About::Grant(of)) }
    };
    for (lie, code) in [
        (about(bytes, "a friendlier purpose"), "PAYLOAD_OTHER"),
        (about(wider, PURPOSE), "APPROVAL_SUBSTITUTED"),
    ] {
        world.lie(Lies {
            case: Some(Box::new(move |_, shown| ShowApprovalResponse { about: Some(lie.clone()), ..shown })),
            ..Lies::default()
        });
        let error = boris.approval_case(&case).await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{error}");
    }
}

#[tokio::test]
async fn a_rule_has_the_names_that_its_id_follows_from() {
    let world = World::published().await;
    let anna = world.client(ANNA).await;
    assert_eq!(anna.approval_rule_name(&rule().id(kind::DEFINE_APPROVAL)).await.unwrap(), rule());
    let other = anna.approval_rule_name(&[7; 32]).await.unwrap_err();
    assert_eq!(other.code(), Some("APPROVAL_SUBSTITUTED"));
}

#[tokio::test]
async fn accounts_come_in_order_or_not_at_all() {
    let world = World::published().await;
    let asked = world.request().await.unwrap();
    let anna = world.client(ANNA).await;
    assert_eq!(anna.grant_accounts(&asked).await.unwrap(), [DORA], "a grant that names accounts asks nobody");
    let whole = keyward_client::audit::Grant { accounts: Vec::new(), ..asked };
    assert_eq!(anna.grant_accounts(&whole).await.unwrap_err().code(), Some("AUDIT_SUBSTITUTED"));
}
