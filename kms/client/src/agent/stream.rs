//! The stream to the service: opened from the desk, opened again for as long as the desk is open.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use keyward_proto::custody::agents_client::AgentsClient;
use keyward_proto::custody::{AgentWelcome, FromAgent, ToAgent, to_agent};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

use super::desk::{Desk, PROTOCOL_VERSION};
use super::event::Event;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::proxy::Proxy;

/// How often the tokens are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the service may take to answer the first message.
const WELCOME_DEADLINE: Duration = Duration::from_secs(10);
/// The pause after a broken stream: doubled each time from the first to the longest, with up to half of it taken off.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_LONGEST: Duration = Duration::from_secs(20);
/// A stream that held so long starts the pauses anew.
const HELD: Duration = Duration::from_secs(30);
/// Answers that may wait for the network.
const OUTGOING_MAX: usize = 64;
/// A message of 1 MiB, its receipt, and some more.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Why an agent ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The service refuses us for good.
    #[error("the service does not take this agent")]
    Refused(#[source] ClientError),
    /// The service speaks for another ledger than the trust file.
    #[error("the service speaks for ledger `{found}`, the trust file for `{expected}`: nothing is signed")]
    OtherLedger {
        /// The chain id of the trust file.
        expected: String,
        /// The chain id of the service.
        found: String,
    },
    /// The service speaks another version.
    #[error("the service speaks version {found} of the agent's protocol, this agent {PROTOCOL_VERSION}")]
    OtherVersion {
        /// The service's.
        found: u32,
    },
}

/// The way to the service.
#[derive(Debug)]
pub struct Way {
    /// Where it is, and who we are to it.
    pub connection: Connection,
    /// Other servers of the same service, asked in turn.
    pub more: Vec<Connection>,
    /// The proxy to go through, if any.
    pub proxy: Option<Proxy>,
}

enum Ended {
    /// Worth another try.
    Lost(ClientError),
    For(AgentError),
}

/// Serves requests until `stop`, through every loss of the connection and of a token.
pub async fn attend(desk: Arc<Desk>, way: Way, stop: impl Future<Output = ()>) -> Result<(), AgentError> {
    let mut stop = std::pin::pin!(stop);
    let watching = watch(desk.clone());
    let mut watching = std::pin::pin!(watching);
    let mut pause = PAUSE_FIRST;
    desk.look().await;
    let mut servers = std::iter::once(&way.connection).chain(&way.more).cycle();
    loop {
        let connection = servers.next().unwrap_or(&way.connection);
        let began = Instant::now();
        let ended = tokio::select! {
            () = &mut stop => return Ok(()),
            () = &mut watching => return Ok(()),
            ended = one_stream(&desk, connection, way.proxy.as_ref()) => ended,
        };
        desk.answer_to(None);
        let error = match ended {
            Ended::For(error) => return Err(error),
            Ended::Lost(error) => error,
        };
        if began.elapsed() > HELD {
            pause = PAUSE_FIRST;
        }
        let now = shortened(pause);
        let again_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        desk.tell(&Event::Lost { why: causes(&error), again_ms });
        pause = pause.saturating_mul(2).min(PAUSE_LONGEST);
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = &mut watching => return Ok(()),
            () = sleep(now) => {}
        }
    }
}

/// Never ends.
async fn watch(desk: Arc<Desk>) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        desk.look().await;
    }
}

async fn one_stream(desk: &Arc<Desk>, connection: &Connection, proxy: Option<&Proxy>) -> Ended {
    match open(desk, connection, proxy).await {
        Ok((client, mut incoming)) => loop {
            match incoming.message().await {
                Ok(Some(message)) => desk.receive(message),
                Ok(None) => return Ended::Lost(ClientError::Answer { what: "the service ended the stream" }),
                Err(status) => return judged(client.refusal(status)),
            }
        },
        Err(ended) => ended,
    }
}

async fn open(
    desk: &Arc<Desk>,
    connection: &Connection,
    proxy: Option<&Proxy>,
) -> Result<(Client, Streaming<ToAgent>), Ended> {
    let client = Client::connect_through(connection, proxy).await.map_err(judged)?;
    let (outgoing, messages) = mpsc::channel::<FromAgent>(OUTGOING_MAX);
    // The channel is fresh: there is room.
    let _room = outgoing.try_send(desk.hello());
    let mut agents = AgentsClient::new(client.channel())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let opening = async {
        let request = Request::new(ReceiverStream::new(messages));
        let mut incoming = agents.attend(request).await?.into_inner();
        let first = incoming.message().await?;
        Ok((incoming, first))
    };
    let opened = timeout(WELCOME_DEADLINE, opening).await;
    let opened =
        opened.map_err(|_elapsed| Ended::Lost(ClientError::Answer { what: "no welcome in time" }))?;
    let (incoming, first) = opened.map_err(|status: tonic::Status| judged(client.refusal(status)))?;
    let Some(to_agent::What::Welcome(welcome)) = first.and_then(|first| first.what) else {
        return Err(Ended::Lost(ClientError::Answer { what: "the stream does not begin with a welcome" }));
    };
    check_welcome(desk, &welcome).map_err(Ended::For)?;
    desk.answer_to(Some(outgoing));
    desk.say_tokens().await;
    let service = connection.address.clone();
    desk.tell(&Event::Connected { service, agent: welcome.agent });
    Ok((client, incoming))
}

fn check_welcome(desk: &Desk, welcome: &AgentWelcome) -> Result<(), AgentError> {
    if welcome.version != PROTOCOL_VERSION {
        return Err(AgentError::OtherVersion { found: welcome.version });
    }
    if welcome.chain_id.as_ref() != desk.chain_id() {
        let (expected, found) = (hex::encode(desk.chain_id()), hex::encode(&welcome.chain_id));
        return Err(AgentError::OtherLedger { expected, found });
    }
    Ok(())
}

/// Codes that somebody has to put right first, or that end this agent for another one.
const FOR_GOOD: [&str; 7] = [
    "AGENT_REPLACED",
    "AGENT_UNKNOWN",
    "AGENT_PROTOCOL",
    "NOT_ALLOWED",
    "CLIENT_CERTIFICATE_REQUIRED",
    "CLIENT_CERTIFICATE_INVALID",
    "METHOD_UNKNOWN",
];

fn judged(error: ClientError) -> Ended {
    let for_good = match &error {
        ClientError::Refused(refusal) => FOR_GOOD.contains(&refusal.code_name.as_str()),
        ClientError::Connection { .. }
        | ClientError::CertificateRefused { .. }
        | ClientError::ServerUnknown { .. } => true,
        _ => false,
    };
    if for_good { Ended::For(AgentError::Refused(error)) } else { Ended::Lost(error) }
}

/// A pause with up to half of it taken off, so that many agents do not come back at one moment.
fn shortened(pause: Duration) -> Duration {
    let mut byte = [0; 1];
    // Without randomness the pause is whole.
    let _filled = getrandom::fill(&mut byte);
    pause.saturating_sub(pause.mul_f64(f64::from(byte.first().copied().unwrap_or_default()) / 512.0))
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
