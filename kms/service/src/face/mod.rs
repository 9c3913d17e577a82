//! The gRPC face: messages in, messages out; what a verb does is decided elsewhere.

mod accounts;
mod addresses;
mod admin;
mod agents;
mod approvals;
mod associations;
mod audit;
mod convert;
mod delegation;
mod edge;
mod keys;
mod policies;
mod risk;
mod shared;
mod shown;
mod signing;
mod status;
mod tokens;
mod vaults;
mod viewings;

use std::{sync::Arc, time::Duration};

use keyward_domain::Code;
use keyward_proto::custody::{
    accounts_server::AccountsServer, addresses_server::AddressesServer, admin_server::AdminServer,
    agents_server::AgentsServer, approvals_server::ApprovalsServer, associations_server::AssociationsServer,
    audit_server::AuditServer, delegation_server::DelegationServer, keys_server::KeysServer,
    policies_server::PoliciesServer, recovery_server::RecoveryServer, risk_server::RiskServer,
    shared_server::SharedServer, signing_server::SigningServer, tokens_server::TokensServer,
    vaults_server::VaultsServer, viewings_server::ViewingsServer,
};
use tokio::{task::JoinHandle, time::timeout};
use tonic::{Request, Response, Status, service::Routes};

pub(crate) use self::edge::{Coded, coded};
use self::{shown::Identities, status::Question};
use crate::{caller::Caller, custody::Custody, failure::Failure, shared::relay::ASKED_BYTES_MAX};

/// The largest message that is taken: a full batch of large messages comes in several.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// The largest message of an agent: answers are short.
const AGENT_BYTES_MAX: usize = 1 << 20;

/// The largest message about a delegation or an approval: an entry, and the longest message that is signed.
const ACT_BYTES_MAX: usize = 2 << 20;

/// The largest message about a vault: a sealing and a share.
const VAULT_BYTES_MAX: usize = 128 << 10;

/// The largest message about a shared key: a request to a keeper, and what is around it.
const SHARED_BYTES_MAX: usize = ASKED_BYTES_MAX + (64 << 10);

/// How much before its deadline a caller is told that it passes, so that the answer still arrives.
const AHEAD: Duration = Duration::from_millis(10);

/// The refusal of calls that need a client certificate and come without.
pub(crate) fn certificate_required() -> Status {
    let message = "this call needs a client certificate";
    Question::new("reflection").refuse(&Failure::new(Code::ClientCertificateRequired, message))
}

/// What every face shares.
#[derive(Clone)]
pub(crate) struct Face {
    custody: Arc<Custody>,
    identities: Arc<Identities>,
    stream_in_flight: usize,
}

impl Face {
    pub(crate) fn new(custody: Arc<Custody>, stream_in_flight: usize) -> Self {
        Self { custody, identities: Arc::default(), stream_in_flight }
    }

    /// Every service of the custody package.
    pub(crate) fn routes(&self, routes: Routes) -> Routes {
        routes
            .add_service(AccountsServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(KeysServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(SigningServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(TokensServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(AddressesServer::new(self.clone()).max_decoding_message_size(ACT_BYTES_MAX))
            .add_service(AdminServer::new(self.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(AgentsServer::new(self.clone()).max_decoding_message_size(AGENT_BYTES_MAX))
            .add_service(ApprovalsServer::new(self.clone()).max_decoding_message_size(ACT_BYTES_MAX))
            .add_service(DelegationServer::new(self.clone()).max_decoding_message_size(ACT_BYTES_MAX))
            .add_service(AssociationsServer::new(self.clone()).max_decoding_message_size(VAULT_BYTES_MAX))
            .add_service(AuditServer::new(self.clone()).max_decoding_message_size(VAULT_BYTES_MAX))
            .add_service(RecoveryServer::new(self.clone()).max_decoding_message_size(VAULT_BYTES_MAX))
            .add_service(PoliciesServer::new(self.clone()).max_decoding_message_size(VAULT_BYTES_MAX))
            .add_service(RiskServer::new(self.clone()).max_decoding_message_size(VAULT_BYTES_MAX))
            .add_service(VaultsServer::new(self.clone()).max_decoding_message_size(VAULT_BYTES_MAX))
            .add_service(ViewingsServer::new(self.clone()).max_decoding_message_size(VAULT_BYTES_MAX))
            .add_service(SharedServer::new(self.clone()).max_decoding_message_size(SHARED_BYTES_MAX))
    }

    /// Answers a call of an authenticated caller. The work runs to its end even if the client leaves: what was
    /// begun on the ledger is finished here.
    async fn answer<Q, A, F>(
        &self,
        verb: &'static str,
        request: Request<Q>,
        work: impl FnOnce(Arc<Custody>, Caller, Q) -> F + Send + 'static,
    ) -> Result<Response<A>, Status>
    where
        Q: Send + 'static,
        A: Send + 'static,
        F: Future<Output = Result<A, Failure>> + Send + 'static,
    {
        let question = Question::new(verb);
        let shown = self.identities.shown(&request, self.custody.clock.now_ms());
        let deadline_ms = shown.as_ref().ok().and_then(|shown| shown.deadline_ms);
        let (custody, message) = (self.custody.clone(), request.into_inner());
        let task = tokio::spawn(async move {
            let caller = custody.authenticate(&shown?).await?;
            work(custody, caller, message).await
        });
        question.end(self.wait(task, deadline_ms).await)
    }

    /// The task's answer, or that the caller's time is over while the task goes on.
    async fn wait<A>(
        &self,
        task: JoinHandle<Result<A, Failure>>,
        deadline_ms: Option<u64>,
    ) -> Result<A, Failure> {
        let answered = match deadline_ms {
            None => task.await,
            Some(deadline_ms) => {
                let left_ms = deadline_ms.saturating_sub(self.custody.clock.now_ms());
                let left = Duration::from_millis(left_ms).saturating_sub(AHEAD);
                timeout(left, task).await.map_err(|_elapsed| {
                    Failure::new(
                        Code::DeadlineExceeded,
                        "the deadline passed; what was begun runs to its end",
                    )
                })?
            }
        };
        answered.unwrap_or_else(|error| Err(Failure::internal(error)))
    }

    /// Answers a call that needs no certificate.
    async fn answer_anybody<A, F>(&self, verb: &'static str, work: F) -> Result<Response<A>, Status>
    where
        A: Send + 'static,
        F: Future<Output = Result<A, Failure>> + Send + 'static,
    {
        let question = Question::new(verb);
        let permit = self.custody.permit();
        let task = tokio::spawn(async move {
            let _permit = permit?;
            work.await
        });
        question.end(task.await.unwrap_or_else(|error| Err(Failure::internal(error))))
    }
}
