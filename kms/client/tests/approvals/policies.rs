//! Which policies are in force is believed from the ledger alone, and what an officer signs is what they were shown.

use keyward_client::approvals::{Publication, Voice};
use keyward_client::{PoliciesError, ShownPolicy};
use keyward_domain::approval::policy_text_hash;
use keyward_ledger_core::entry::{kind, tenant_id};
use keyward_ledger_core::state::policy::policy_key;
use keyward_proto::custody::{PublishPolicyResponse, ShowPolicyResponse};

use crate::approvals::world::{ANNA, DORA, Lies, World, login, rule, terms};

const TEXT: &str = "// nothing is narrowed";

async fn shown(world: &World) -> Result<ShownPolicy, PoliciesError> {
    world.client(ANNA).await.show_policy(0).await
}

async fn publication(world: &World) -> Publication {
    let dora = world.client(DORA).await;
    dora.define_approval_rule(&login(DORA), &rule().name, terms(1)).await.unwrap();
    let before = shown(world).await.unwrap();
    assert_eq!((before.version, before.proven, before.text), (0, true, None));
    let before = shown(world).await.unwrap();
    assert_eq!(before.next(TEXT, None), None, "the first version names the rule for the next");
    before.next(TEXT, Some(rule().id(kind::DEFINE_APPROVAL))).unwrap()
}

async fn publish(world: &World, publication: &Publication) -> Result<u32, PoliciesError> {
    let anna = world.client(ANNA).await;
    anna.publish_policy(Voice::Account(&login(ANNA)), publication, None).await.map(|(_, version)| version)
}

fn lying(lie: impl Fn(&World, ShowPolicyResponse) -> ShowPolicyResponse + Send + 'static) -> Lies {
    Lies { policy: Some(Box::new(lie)), ..Lies::default() }
}

#[tokio::test]
async fn a_set_is_published_and_proven_to_be_in_force() {
    let world = World::start().await;
    let publication = publication(&world).await;
    assert_eq!(publish(&world, &publication).await.unwrap(), 1);
    let shown = shown(&world).await.unwrap();
    assert_eq!((shown.version, shown.text.as_deref(), shown.proven), (1, Some(TEXT), true));
    assert_eq!((shown.tenant, shown.hash), (tenant_id("bank"), Some(policy_text_hash(TEXT))));
    let next = shown.next("// another", None).unwrap();
    assert_eq!((next.publish.version, next.publish.rule), (2, rule().id(kind::DEFINE_APPROVAL)));
    // The ledger asks for the approval of others.
    let refused = publish(&world, &next).await.unwrap_err();
    assert_eq!(refused.code(), Some("APPROVALS_MISSING"));
    let untrusting = world.untrusting(ANNA).await.show_policy(0).await.unwrap();
    assert!(!untrusting.proven && untrusting.rule.is_none(), "without a trust file nothing is proven");
}

#[tokio::test]
async fn another_set_than_the_one_in_force_is_not_shown() {
    let world = World::start().await;
    let publication = publication(&world).await;
    let old = world.snapshot();
    publish(&world, &publication).await.unwrap();
    let other = "// permits everything";
    let lies: [(Lies, &str); 5] = [
        (lying(move |_, shown| ShowPolicyResponse { text: other.into(), ..shown }), "POLICY_SUBSTITUTED"),
        (
            lying(move |_, shown| ShowPolicyResponse {
                text: other.into(),
                hash: policy_text_hash(other).to_vec().into(),
                ..shown
            }),
            "POLICY_SUBSTITUTED",
        ),
        (lying(|_, shown| ShowPolicyResponse { version: 2, ..shown }), "POLICY_SUBSTITUTED"),
        (
            lying(|world, shown| {
                let state = world.snapshot().proof(&policy_key(&tenant_id("other"))).into();
                ShowPolicyResponse {
                    state,
                    version: 0,
                    hash: Vec::new().into(),
                    text: String::new(),
                    ..shown
                }
            }),
            "POLICY_UNPROVEN",
        ),
        (
            lying(|_, shown| {
                let mut state = shown.state.to_vec();
                *state.last_mut().unwrap() ^= 1;
                ShowPolicyResponse { state: state.into(), ..shown }
            }),
            "POLICY_UNPROVEN",
        ),
    ];
    for (number, (lie, code)) in lies.into_iter().enumerate() {
        world.lie(lie);
        assert_eq!(shown(&world).await.unwrap_err().code(), Some(code), "{number}");
    }
    // What stood a moment ago is proven too: how old a proof may be bounds that, and the ledger refuses the version.
    let state = old.proof(&policy_key(&tenant_id("bank")));
    world.lie(lying(move |_, shown| ShowPolicyResponse {
        state: state.clone().into(),
        version: 0,
        hash: Vec::new().into(),
        text: String::new(),
        ..shown
    }));
    let before = shown(&world).await.unwrap();
    let again = before.next("// another", Some(rule().id(kind::DEFINE_APPROVAL))).unwrap();
    world.lie(Lies::default());
    assert!(publish(&world, &again).await.is_err());
}

#[tokio::test]
async fn a_publication_counts_by_its_own_receipt_alone() {
    let world = World::start().await;
    let publication = publication(&world).await;
    let first = world.snapshot().receipt(0);
    let published = move |lie: fn(&[u8], PublishPolicyResponse) -> PublishPolicyResponse| {
        let first = first.clone();
        Lies { published: Some(Box::new(move |_, answer| lie(&first, answer))), ..Lies::default() }
    };
    world.lie(published(|first, _| PublishPolicyResponse {
        receipt: first.to_vec().into(),
        leaf_index: 0,
        version: 1,
    }));
    let error = publish(&world, &publication).await.unwrap_err();
    assert_eq!(error.code(), Some("APPROVAL_SUBSTITUTED"), "{error}");
}
