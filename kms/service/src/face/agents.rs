//! `keyward.v1.Agents`: the stream of a token agent.

use std::pin::Pin;

use keyward_domain::{Code, Role};
use keyward_policies::Verb;
use keyward_proto::custody::{FromAgent, ToAgent, agents_server::Agents};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use super::{Face, status::Question};
use crate::{agents::attend, failure::Failure};

/// Messages to an agent that may wait for the network.
const OUTGOING_MAX: usize = 16;

type Requests = Pin<Box<dyn Stream<Item = Result<ToAgent, Status>> + Send>>;

#[tonic::async_trait]
impl Agents for Face {
    type AttendStream = Requests;

    async fn attend(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Requests>, Status> {
        let question = Question::new("token.agent");
        let custody = self.custody.clone();
        let shown = self.identities.shown(&request, custody.clock.now_ms());
        let allowed = async {
            let caller = custody.authenticate(&shown?).await?;
            if caller.principal.role() != Role::Agent {
                return Err(Failure::new(Code::NotAllowed, format!("`{}` is no agent", caller.principal)));
            }
            let agent = caller.principal.name().to_owned();
            custody.authorise_desk(&caller, Verb::TokenAgent, &agent)?;
            Ok(agent)
        };
        let agent = match allowed.await {
            Ok(agent) => agent,
            Err(failure) => return question.end(Err(failure)),
        };
        let (outgoing, requests) = mpsc::channel(OUTGOING_MAX);
        let end = outgoing.clone();
        tokio::spawn(async move {
            if let Err(failure) = attend(custody, agent, request.into_inner(), outgoing).await {
                let _gone = end.send(Err(Question::new("token.agent").refuse(&failure))).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(requests))))
    }
}
