//! An agent's messages, read with their bounds.

use keyward_domain::{
    Code,
    scheme::{PublicKey, Scheme},
};
use keyward_proto::custody::{
    AgentAnswer, AgentHello, AgentKey, AgentProve, AgentRefusal, AgentSign, AgentToken, AgentTokens,
    AgentWithdraw, ToAgent, agent_answer, to_agent,
};
use keyward_store::{AgentJob, Id, JobState};
use prost::Message as _;

use crate::{
    failure::Failure,
    ports::{Attached, FoundKey},
};

/// The version of the protocol.
pub(super) const VERSION: u32 = 1;
/// The kinds of requests in their rows.
pub(super) const SIGN: &str = "sign";
pub(super) const PROVE: &str = "prove";

const TOKENS_MAX: usize = 16;
const KEYS_MAX: usize = 64;
const SCHEMES_MAX: usize = 8;
const CLAIMS_MAX: usize = 16;
const TEXT_BYTES_MAX: usize = 128;
const MESSAGE_BYTES_MAX: usize = 512;
const SIGNATURE_BYTES_MAX: usize = 1024;

/// What an agent may say no with; anything else is taken for a plain refusal.
const REFUSALS: [Code; 15] = [
    Code::AgentRefused,
    Code::AgentUnavailable,
    Code::AgentOutcomeUnknown,
    Code::RequestExpired,
    Code::ReceiptInvalid,
    Code::ServiceBusy,
    Code::TokenMissing,
    Code::TokenUnavailable,
    Code::TokenKeyMissing,
    Code::TokenKeyAmbiguous,
    Code::PinWrong,
    Code::PinLocked,
    Code::SchemeMismatch,
    Code::DigestNotAllowed,
    Code::SignatureInvalid,
];

/// Something that is no message of an agent.
pub(super) fn protocol(what: impl std::fmt::Display) -> Failure {
    Failure::new(Code::AgentProtocol, format!("the agent's message is refused: {what}"))
}

pub(super) fn hello(hello: AgentHello) -> Result<Vec<Attached>, Failure> {
    if hello.version != VERSION {
        return Err(protocol(format!("version `{}`, not `{VERSION}`", hello.version)));
    }
    text("program", &hello.program)?;
    tokens(hello.tokens.unwrap_or_default())
}

pub(super) fn tokens(tokens: AgentTokens) -> Result<Vec<Attached>, Failure> {
    bound("tokens", tokens.tokens.len(), TOKENS_MAX)?;
    tokens.tokens.into_iter().map(token).collect()
}

fn token(token: AgentToken) -> Result<Attached, Failure> {
    for (what, value) in [
        ("label", &token.label),
        ("serial", &token.serial),
        ("manufacturer", &token.manufacturer),
        ("model", &token.model),
    ] {
        text(what, value)?;
    }
    bound("keys", token.keys.len(), KEYS_MAX)?;
    Ok(Attached {
        label: token.label,
        serial: token.serial,
        manufacturer: token.manufacturer,
        model: token.model,
        module: String::new(),
        logged_in: true,
        keys: token.keys.into_iter().map(key).collect::<Result<_, _>>()?,
    })
}

fn key(key: AgentKey) -> Result<FoundKey, Failure> {
    text("label", &key.label)?;
    text("kind", &key.kind)?;
    bound("id", key.id.len(), TEXT_BYTES_MAX)?;
    bound("public keys", key.public_keys.len(), SCHEMES_MAX)?;
    bound("claims", key.claims.len(), CLAIMS_MAX)?;
    for claim in &key.claims {
        text("claim", claim)?;
    }
    let public = |key: keyward_proto::custody::AgentPublicKey| {
        let scheme =
            Scheme::from_name(&key.scheme).ok_or_else(|| protocol("a scheme that does not exist"))?;
        PublicKey::parse(scheme, &key.public_key)
            .map_err(|error| Failure { cause: Some(error.into()), ..protocol("a public key that is none") })
    };
    Ok(FoundKey {
        label: key.label,
        id: key.id.to_vec(),
        kind: key.kind,
        public_keys: key.public_keys.into_iter().map(public).collect::<Result<_, _>>()?,
        claims: key.claims,
    })
}

/// An answer: the request, where it came to, and what is kept of it.
pub(super) fn answer(answer: AgentAnswer) -> Result<(Id, JobState, Vec<u8>), Failure> {
    let id = job(&answer.job)?;
    match answer.result {
        Some(agent_answer::Result::Signature(signature)) => {
            bound("signature", signature.len(), SIGNATURE_BYTES_MAX)?;
            Ok((id, JobState::Answered, signature.to_vec()))
        }
        Some(agent_answer::Result::Refusal(AgentRefusal { code, message })) => {
            text("code", &code)?;
            bound("message", message.len(), MESSAGE_BYTES_MAX)?;
            Ok((id, JobState::Refused, format!("{code}\n{message}").into_bytes()))
        }
        None => Err(protocol("an answer with neither signature nor refusal")),
    }
}

/// The id of a request.
pub(super) fn job(bytes: &[u8]) -> Result<Id, Failure> {
    bytes.try_into().ok().ok_or_else(|| protocol("a request's id has 32 bytes"))
}

/// A refusal as it was kept, as the app sees it.
pub(super) fn refusal(agent: &str, kept: &[u8]) -> Failure {
    let kept = String::from_utf8_lossy(kept);
    let (code, message) = kept.split_once('\n').unwrap_or(("", &kept));
    let code = Code::from_name(code).filter(|code| REFUSALS.contains(code)).unwrap_or(Code::AgentRefused);
    // An agent's words reach apps and logs: signs that could pose as something else are left away.
    let plain: String = message.chars().filter(|c| !c.is_control()).collect();
    Failure::new(code, format!("the agent `{agent}` did not sign: {plain}"))
}

/// A row as the message that the agent gets.
pub(super) fn request(row: &AgentJob) -> Result<ToAgent, Failure> {
    let what = match row.kind.as_str() {
        SIGN => to_agent::What::Sign(AgentSign::decode(row.body.as_slice()).map_err(Failure::internal)?),
        PROVE => to_agent::What::Prove(AgentProve::decode(row.body.as_slice()).map_err(Failure::internal)?),
        kind => return Err(Failure::internal(format!("a request of the kind `{kind}`"))),
    };
    Ok(ToAgent { what: Some(what) })
}

pub(super) fn withdraw(id: &Id, why: &str) -> ToAgent {
    let withdraw = AgentWithdraw { job: id.to_vec().into(), why: why.to_owned() };
    ToAgent { what: Some(to_agent::What::Withdraw(withdraw)) }
}

fn text(what: &str, value: &str) -> Result<(), Failure> {
    bound(what, value.len(), TEXT_BYTES_MAX)?;
    match value.chars().any(char::is_control) {
        true => Err(protocol(format!("`{what}` holds control characters"))),
        false => Ok(()),
    }
}

fn bound(what: &str, len: usize, max: usize) -> Result<(), Failure> {
    if len > max { Err(protocol(format!("`{what}` has `{len}`, at most `{max}`"))) } else { Ok(()) }
}
