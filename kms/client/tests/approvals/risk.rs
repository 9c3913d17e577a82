//! Which rules of risk are in force is believed from the ledger alone; policies and rules are never taken for each other.

use keyward_client::PoliciesError;
use keyward_client::approvals::Voice;
use keyward_domain::approval::policy_text_hash;
use keyward_domain::risk::rules_text_hash;
use keyward_ledger_core::entry::{kind, tenant_id};
use keyward_ledger_core::state::policy::{PolicyState, policy_key, risk_key};
use keyward_proto::custody::risk_server::Risk;
use keyward_proto::custody::*;
use tonic::Request;

use crate::approvals::face::Face;
use crate::approvals::world::{ANNA, DORA, Lies, World, login, rule, terms};
use crate::toy::{Answered, refused};

const TEXT: &str = "version = 1";

#[tonic::async_trait]
impl Risk for Face {
    async fn show(&self, _: Request<ShowRiskRequest>) -> Answered<ShowRiskResponse> {
        let tenant = tenant_id("bank");
        let mut response = {
            let chain = self.0.chain.lock().unwrap();
            let state = chain.state.get(&risk_key(&tenant)).map(|value| PolicyState::decode(value).unwrap());
            let texts = self.0.texts.lock().unwrap();
            ShowRiskResponse {
                tenant: tenant.to_vec().into(),
                version: state.map_or(0, |state| state.version),
                hash: state.map_or_else(Vec::new, |state| state.set.to_vec()).into(),
                text: state.and_then(|state| texts.get(&state.set).cloned()).unwrap_or_default(),
                state: chain.proof(&risk_key(&tenant)).into(),
            }
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().risk {
            response = lie(&self.0, response);
        }
        Ok(tonic::Response::new(response))
    }

    async fn publish(&self, request: Request<PublishRiskRequest>) -> Answered<PublishRiskResponse> {
        let PublishRiskRequest { text, entry, .. } = request.into_inner();
        let ApprovalEntryResponse { receipt, leaf_index } = self.record(&entry)?;
        self.0.texts.lock().unwrap().insert(rules_text_hash(&text), text);
        Ok(tonic::Response::new(PublishRiskResponse { receipt, leaf_index, version: 1 }))
    }

    async fn list(&self, _: Request<ListRiskRequest>) -> Answered<ListRiskResponse> {
        Err(refused("NOT_ALLOWED"))
    }

    async fn replay(&self, _: Request<ReplayRiskRequest>) -> Answered<ReplayRiskResponse> {
        Err(refused("NOT_ALLOWED"))
    }

    async fn account(&self, _: Request<RiskOfAccountRequest>) -> Answered<RiskOfAccountResponse> {
        Err(refused("NOT_ALLOWED"))
    }
}

async fn published(world: &World) -> Result<u32, PoliciesError> {
    let dora = world.client(DORA).await;
    dora.define_approval_rule(&login(DORA), &rule().name, terms(1)).await.unwrap();
    let anna = world.client(ANNA).await;
    let shown = anna.show_risk(0).await?;
    assert_eq!(shown.next(TEXT, None), None, "the first version names the rule for the next");
    let publication = shown.next(TEXT, Some(rule().id(kind::DEFINE_APPROVAL))).unwrap();
    anna.publish_risk(Voice::Account(&login(ANNA)), &publication, None).await.map(|(_, version)| version)
}

#[tokio::test]
async fn rules_are_published_and_proven_to_be_in_force_and_are_no_policies() {
    let world = World::start().await;
    assert_eq!(published(&world).await.unwrap(), 1);
    let anna = world.client(ANNA).await;
    let shown = anna.show_risk(0).await.unwrap();
    assert_eq!((shown.version, shown.text.as_deref(), shown.proven), (1, Some(TEXT), true));
    assert_eq!((shown.tenant, shown.hash), (tenant_id("bank"), Some(rules_text_hash(TEXT))));
    assert_eq!(anna.show_policy(0).await.unwrap().version, 0);
    let next = shown.next("version = 2", None).unwrap();
    let alone = anna.publish_risk(Voice::Account(&login(ANNA)), &next, None).await.unwrap_err();
    assert_eq!(alone.code(), Some("APPROVALS_MISSING"));
    let untrusting = world.untrusting(ANNA).await.show_risk(0).await.unwrap();
    assert!(!untrusting.proven && untrusting.rule.is_none(), "without a trust file nothing is proven");
}

#[tokio::test]
async fn other_rules_than_those_in_force_are_not_shown() {
    let world = World::start().await;
    published(&world).await.unwrap();
    let none = |state: Vec<u8>| ShowRiskResponse { state: state.into(), ..Default::default() };
    type Lie = Box<dyn Fn(&World, ShowRiskResponse) -> ShowRiskResponse + Send>;
    let lies: [(Lie, &str); 4] = [
        // Another text, alone and with its hash; as policies hash it too.
        (Box::new(|_, shown| ShowRiskResponse { text: "version = 9".into(), ..shown }), "POLICY_SUBSTITUTED"),
        (
            Box::new(|_, shown| ShowRiskResponse { hash: policy_text_hash(TEXT).to_vec().into(), ..shown }),
            "POLICY_SUBSTITUTED",
        ),
        (Box::new(|_, shown| ShowRiskResponse { version: 2, ..shown }), "POLICY_SUBSTITUTED"),
        // That there are none, proven by the tenant's policies, of which there are none.
        (
            Box::new(move |world, shown| {
                let state = world.snapshot().proof(&policy_key(&tenant_id("bank")));
                ShowRiskResponse { tenant: shown.tenant, ..none(state) }
            }),
            "POLICY_UNPROVEN",
        ),
    ];
    for (number, (lie, code)) in lies.into_iter().enumerate() {
        world.lie(Lies { risk: Some(lie), ..Lies::default() });
        let refused = world.client(ANNA).await.show_risk(0).await.unwrap_err();
        assert_eq!(refused.code(), Some(code), "{number}");
    }
}
