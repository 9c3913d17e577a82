//! The desk itself: each request is checked, held against the rules, remembered, signed and answered; once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyward_domain::scheme::{self, KeyId, PublicKey, Scheme};
use keyward_domain::{Code, Mode, possession_challenge, rotation_challenge};
use keyward_ledger_verify::{Failure, chain_id};
use keyward_proto::custody::{
    AgentAnswer, AgentAsking, AgentHello, AgentKey, AgentProve, AgentPublicKey, AgentRefusal, AgentSign,
    AgentToken, AgentTokens, FromAgent, ToAgent, agent_answer, from_agent, to_agent,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Duration, timeout};

use super::check::{Checked, Known, array, check};
use super::device::{Device, Held, Later, Look};
use super::event::{Asked, Event, Verdict};
use super::journal::{Begin, IntentId, Journal, JournalError, Kept};
use super::rules::{Act, Decision, Question, Rules};
use super::summary::{Payload, Summary, Word, shown};

/// The version of the protocol.
pub const PROTOCOL_VERSION: u32 = 1;
/// Requests that are worked on or remembered in memory at once.
const JOBS_MAX: usize = 256;
/// Requests whose answers are remembered for another stream.
const ANSWERS_MS: u64 = 10 * 60 * 1000;
const REFUSAL_CHARS_MAX: usize = 200;

/// Somebody to ask.
pub trait Person: Send + Sync {
    /// Asks; when the answer is no longer waited for, the question is to disappear.
    fn ask<'a>(&'a self, asked: &'a Asked) -> Later<'a, Verdict>;
}

/// What a desk is made of.
pub struct Parts {
    /// The trust file: the anchor of everything that the service says.
    pub trust: Vec<u8>,
    /// The rules.
    pub rules: Rules,
    /// The memory.
    pub journal: Journal,
    /// The tokens.
    pub device: Arc<dyn Device>,
    /// Who is asked.
    pub person: Arc<dyn Person>,
    /// Unix milliseconds.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Who is told.
    pub tell: Arc<dyn Fn(&Event) + Send + Sync>,
}

/// A desk.
pub struct Desk {
    trust: Vec<u8>,
    chain_id: [u8; 32],
    rules: Arc<Rules>,
    journal: Arc<Mutex<Journal>>,
    device: Arc<dyn Device>,
    person: Arc<dyn Person>,
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    tell: Arc<dyn Fn(&Event) + Send + Sync>,
    look: Mutex<Look>,
    /// One question at a time.
    asking: tokio::sync::Mutex<()>,
    jobs: Mutex<HashMap<[u8; 32], Job>>,
    outgoing: Mutex<Option<mpsc::Sender<FromAgent>>>,
}

enum Job {
    /// Told when the service takes the request back.
    UnderWay(Arc<Notify>),
    /// For a service that asks again.
    Answered(AgentAnswer, u64),
}

/// Why a request gets no signature.
#[derive(Debug)]
struct Refusal {
    code: Code,
    message: String,
}

impl Refusal {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        let code =
            if matches!(error, JournalError::Full) { Code::ServiceBusy } else { Code::AgentUnavailable };
        Self::new(code, error.to_string())
    }
}

/// Whether an intent may be begun now.
enum Step {
    Go(Decision),
    Known(Kept),
    Ask(Decision),
    Refuse(Decision),
}

impl Desk {
    /// Puts a desk together; the trust file names its ledger.
    pub fn new(parts: Parts) -> Result<Arc<Self>, Failure> {
        let Parts { trust, rules, journal, device, person, clock, tell } = parts;
        Ok(Arc::new(Self {
            chain_id: chain_id(&trust)?,
            trust,
            rules: Arc::new(rules),
            journal: Arc::new(Mutex::new(journal)),
            device,
            person,
            clock,
            tell,
            look: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            jobs: Mutex::default(),
            outgoing: Mutex::default(),
        }))
    }

    /// The ledger of the trust file.
    pub const fn chain_id(&self) -> &[u8; 32] {
        &self.chain_id
    }

    pub(super) fn tell(&self, event: &Event) {
        (self.tell)(event);
    }

    /// From now on answers go here.
    pub fn answer_to(&self, outgoing: Option<mpsc::Sender<FromAgent>>) {
        *lock(&self.outgoing) = outgoing;
    }

    /// The first message of a stream.
    pub(super) fn hello(&self) -> FromAgent {
        let program = format!("keyward {}", env!("CARGO_PKG_VERSION"));
        let tokens = Some(tokens(&lock(&self.look).held));
        from(from_agent::What::Hello(AgentHello { version: PROTOCOL_VERSION, program, tokens }))
    }

    /// Looks at the tokens; tells clerk and service when something changed.
    pub async fn look(&self) -> Look {
        let look = self.device.look().await;
        let before = std::mem::replace(&mut *lock(&self.look), look.clone());
        if before == look {
            return look;
        }
        for (token, why) in look.missing.iter().filter(|missing| !before.missing.contains(missing)) {
            self.tell(&Event::Missing { token: token.clone(), why: why.clone() });
        }
        if before.held != look.held {
            let tokens = look.held.iter().map(|held| (held.label.clone(), held.keys.len())).collect();
            self.tell(&Event::Attached { tokens });
            self.say_tokens().await;
        }
        look
    }

    /// Says what is attached: again on each new stream, for it may have changed while that opened.
    pub(super) async fn say_tokens(&self) {
        let tokens = tokens(&lock(&self.look).held);
        self.send(from(from_agent::What::Tokens(tokens))).await;
    }

    async fn send(&self, message: FromAgent) {
        let outgoing = lock(&self.outgoing).clone();
        if let Some(outgoing) = outgoing {
            // A stream that broke: the answer is kept, and given when the service asks again.
            let _gone = outgoing.send(message).await;
        }
    }

    /// Takes a message of the service.
    pub fn receive(self: &Arc<Self>, message: ToAgent) {
        match message.what {
            Some(to_agent::What::Sign(sign)) => {
                let desk = self.clone();
                self.begin(
                    &sign.job.clone(),
                    move |withdrawn| async move { desk.sign(sign, withdrawn).await },
                );
            }
            Some(to_agent::What::Prove(prove)) => {
                let desk = self.clone();
                self.begin(
                    &prove.job.clone(),
                    move |withdrawn| async move { desk.prove(prove, withdrawn).await },
                );
            }
            Some(to_agent::What::Withdraw(withdraw)) => {
                let Ok(job) = array("job", &withdraw.job) else { return };
                if let Some(Job::UnderWay(withdrawn)) = lock(&self.jobs).get(&job) {
                    withdrawn.notify_one();
                    self.tell(&Event::Withdrawn { job, why: withdraw.why });
                }
            }
            // Of another version, or out of turn: it asks for nothing.
            Some(to_agent::What::Welcome(_)) | None => {}
        }
    }

    fn begin<F>(self: &Arc<Self>, job: &[u8], work: impl FnOnce(Arc<Notify>) -> F)
    where
        F: Future<Output = Result<Vec<u8>, Refusal>> + Send + 'static,
    {
        let Ok(id) = array::<32>("job", job) else {
            let message = "a request without an id of 32 bytes".to_owned();
            self.tell(&Event::Refused { job: job.to_vec(), code: Code::AgentProtocol.name(), message });
            return;
        };
        let now_ms = (self.clock)();
        let mut jobs = lock(&self.jobs);
        jobs.retain(|_, job| !matches!(job, Job::Answered(_, until_ms) if *until_ms <= now_ms));
        match jobs.get(&id) {
            Some(Job::UnderWay(_)) => return,
            Some(Job::Answered(answer, _)) => {
                let (desk, answer) = (self.clone(), answer.clone());
                tokio::spawn(async move {
                    desk.tell(&Event::Repeated { job: id });
                    desk.send(from(from_agent::What::Answer(answer))).await;
                });
                return;
            }
            None => {}
        }
        if jobs.len() >= JOBS_MAX {
            // Signatures stand in the journal too: the oldest answer makes room.
            let answered = jobs.iter().filter_map(|(id, job)| match job {
                Job::Answered(_, until_ms) => Some((*until_ms, *id)),
                Job::UnderWay(_) => None,
            });
            if let Some((_, oldest)) = answered.min() {
                jobs.remove(&oldest);
            }
        }
        if jobs.len() >= JOBS_MAX {
            drop(jobs);
            let refusal = Refusal::new(Code::ServiceBusy, "this desk works on too many requests");
            let (desk, answer) = (self.clone(), self.refused(&id, refusal));
            tokio::spawn(async move { desk.send(from(from_agent::What::Answer(answer))).await });
            return;
        }
        let withdrawn = Arc::new(Notify::new());
        jobs.insert(id, Job::UnderWay(withdrawn.clone()));
        drop(jobs);
        let (desk, work) = (self.clone(), work(withdrawn));
        tokio::spawn(async move {
            let answer = match work.await {
                Ok(signature) => signed(&id, signature),
                Err(refusal) => desk.refused(&id, refusal),
            };
            let until_ms = (desk.clock)().saturating_add(ANSWERS_MS);
            lock(&desk.jobs).insert(id, Job::Answered(answer.clone(), until_ms));
            desk.send(from(from_agent::What::Answer(answer))).await;
        });
    }

    fn refused(&self, job: &[u8; 32], refusal: Refusal) -> AgentAnswer {
        let Refusal { code, message } = refusal;
        let message = shown(&message, REFUSAL_CHARS_MAX);
        self.tell(&Event::Refused { job: job.to_vec(), code: code.name(), message: message.clone() });
        let refusal = AgentRefusal { code: code.name().to_owned(), message };
        AgentAnswer { job: job.to_vec().into(), result: Some(agent_answer::Result::Refusal(refusal)) }
    }

    async fn sign(&self, sign: AgentSign, withdrawn: Arc<Notify>) -> Result<Vec<u8>, Refusal> {
        let floor_ms = lock(&self.journal).floor_ms();
        let known = Known { trust: &self.trust, now_ms: (self.clock)(), floor_ms };
        let checked = check(&sign, known).map_err(|error| {
            let code =
                if error.name() == "REQUEST_EXPIRED" { Code::RequestExpired } else { Code::ReceiptInvalid };
            Refusal::new(code, format!("{}: {}", error.name(), causes(&error)))
        })?;
        let place = self.place(&checked.key_id, checked.scheme).await?;
        let summary = Summary::of(&checked.payload);
        let asker = shown(&sign.asker, 80);
        let decision = match self.decide(&checked, &sign.asker, &summary).await? {
            Step::Known(kept) => return self.known(&checked.intent, kept),
            Step::Go(decision) => decision,
            Step::Refuse(decision) => {
                return Err(Refusal::new(
                    Code::AgentRefused,
                    format!("the desk's rule `{}` refuses it", decision.rule),
                ));
            }
            Step::Ask(decision) => {
                let asked = Asked {
                    asker: asker.clone(),
                    key: place.label.clone(),
                    what: format!("{}, {} bytes: {}", summary.kind.name(), summary.bytes, summary.text),
                    sha256: summary.sha256,
                    bytes: summary.bytes,
                    expires_ms: checked.expires_ms,
                };
                self.ask(checked.intent, asked, &withdrawn).await?;
                self.note_begun(&checked, &decision).await?;
                decision
            }
        };
        let signature = self.use_token(&checked, &place).await?;
        let (job, key, rule) = (checked.intent, place.label, decision.rule);
        self.tell(&Event::Signed { job, key, asker, summary, rule });
        Ok(signature)
    }

    /// What the memory says of an intent, and else what the rules say; an automatic one is begun in the same step, so
    /// that two requests never share the last place of a limit.
    async fn decide(&self, checked: &Checked, asker: &str, summary: &Summary) -> Result<Step, Refusal> {
        let (rules, checked, asker, summary) =
            (self.rules.clone(), checked.clone(), asker.to_owned(), summary.clone());
        self.with_journal(move |journal| {
            if let Some(kept) = journal.find(&checked.intent) {
                return Ok(Step::Known(kept.clone()));
            }
            let Checked { key_id, payload, time_ms, .. } = &checked;
            let question = Question { asker: &asker, key_id, payload, summary: &summary };
            let decision =
                rules.decide(&question, |mark, window_ms| journal.spent(mark, *time_ms, window_ms));
            Ok(match decision.act {
                Act::Sign => {
                    journal.begin(begin(&checked, &decision))?;
                    Step::Go(decision)
                }
                Act::Ask => Step::Ask(decision),
                Act::Refuse => Step::Refuse(decision),
            })
        })
        .await
    }

    async fn note_begun(&self, checked: &Checked, decision: &Decision) -> Result<(), Refusal> {
        let begin = begin(checked, decision);
        self.with_journal(move |journal| journal.begin(begin)).await
    }

    fn known(&self, intent: &IntentId, kept: Kept) -> Result<Vec<u8>, Refusal> {
        match kept {
            Kept::Signed(signature) => {
                self.tell(&Event::Repeated { job: *intent });
                Ok(signature)
            }
            Kept::Failed(code) => {
                let code = Code::from_name(&code).unwrap_or(Code::AgentRefused);
                Err(Refusal::new(code, "the token did not sign this intent, and never will: ask anew"))
            }
            Kept::Begun => Err(Refusal::new(
                Code::AgentOutcomeUnknown,
                "the desk was interrupted while its token had this intent: it is never signed again",
            )),
        }
    }

    /// Asks a person, while the service waits.
    async fn ask(&self, job: [u8; 32], asked: Asked, withdrawn: &Notify) -> Result<(), Refusal> {
        let waits = Duration::from_millis(asked.expires_ms.saturating_sub((self.clock)()));
        let question = async {
            self.send(from(from_agent::What::Asking(AgentAsking { job: job.to_vec().into() }))).await;
            let _one_at_a_time = self.asking.lock().await;
            self.tell(&Event::Asking { job, asked: asked.clone() });
            self.person.ask(&asked).await
        };
        let verdict = tokio::select! {
            verdict = timeout(waits, question) => verdict,
            () = withdrawn.notified() => {
                return Err(Refusal::new(Code::RequestExpired, "the service took the request back"));
            }
        };
        match verdict {
            Ok(Verdict::Yes) if asked.expires_ms > (self.clock)() => Ok(()),
            Ok(Verdict::No) => Err(Refusal::new(Code::AgentRefused, "a person at the desk refused")),
            Ok(Verdict::Nobody) => Err(Refusal::new(
                Code::AgentRefused,
                "no rule allows it, and there is nobody at this desk to ask",
            )),
            Ok(Verdict::Yes) | Err(_) => Err(Refusal::new(Code::RequestExpired, "nobody answered in time")),
        }
    }

    async fn use_token(&self, checked: &Checked, place: &Place) -> Result<Vec<u8>, Refusal> {
        let intent = checked.intent;
        let made = self.made(place, checked.scheme, &checked.payload).await;
        match made {
            Ok(signature) => {
                let kept = signature.clone();
                // The intent stands as begun whatever happens here: a signature that could not be kept is still
                // given once, to whoever asked.
                if let Err(refusal) = self.with_journal(move |journal| journal.signed(&intent, &kept)).await {
                    let code = refusal.code.name();
                    self.tell(&Event::Refused { job: intent.to_vec(), code, message: refusal.message });
                }
                Ok(signature)
            }
            Err(refusal) => {
                let code = refusal.code.name();
                self.with_journal(move |journal| journal.failed(&intent, code)).await?;
                Err(refusal)
            }
        }
    }

    /// Lets the token sign, and believes it as little as the service will.
    async fn made(&self, place: &Place, scheme: Scheme, payload: &Payload) -> Result<Vec<u8>, Refusal> {
        let Place { serial, id, public_key, .. } = place;
        let signed = self.device.sign(serial.clone(), id.clone(), scheme, payload.clone()).await;
        let signature = signed.map_err(|refusal| Refusal::new(refusal.code, refusal.message))?;
        let verified = match payload {
            Payload::Message(message) | Payload::Word(Word { message, .. }) => {
                scheme::verify(public_key, message, &signature)
            }
            Payload::Digest(digest) => scheme::verify_digest(public_key, digest, &signature),
        };
        match verified {
            Ok(()) => Ok(signature),
            Err(error) => {
                let message = format!("the token's signature does not verify: {error}");
                Err(Refusal::new(Code::SignatureInvalid, message))
            }
        }
    }

    /// Proves possession of a key: the challenge is made here, of this desk's own ledger.
    async fn prove(&self, prove: AgentProve, withdrawn: Arc<Notify>) -> Result<Vec<u8>, Refusal> {
        let malformed =
            |error: super::check::CheckError| Refusal::new(Code::AgentProtocol, error.to_string());
        let nonce: [u8; 32] = array("job", &prove.job).map_err(malformed)?;
        let account = array("account", &prove.account).map_err(malformed)?;
        let scheme = Scheme::from_name(&prove.scheme);
        let public_key = scheme.and_then(|scheme| PublicKey::parse(scheme, &prove.public_key).ok());
        let public_key =
            public_key.ok_or_else(|| Refusal::new(Code::AgentProtocol, "the request names no public key"))?;
        let place = self.place(public_key.id().as_bytes(), public_key.scheme()).await?;
        let (chain, until) = (&self.chain_id, prove.not_after);
        let (challenge, purpose) = if prove.previous.is_empty() {
            let message = possession_challenge(chain, &account, Mode::Linked, &public_key, &nonce, until);
            (message, "link this key for good".to_owned())
        } else {
            let previous = KeyId(array("previous", &prove.previous).map_err(malformed)?);
            let message =
                rotation_challenge(chain, &account, Mode::Linked, &public_key, &nonce, until, &previous);
            (message, format!("let this key take the place of {}", hex::encode(previous.as_bytes())))
        };
        let asker = shown(&prove.asker, 80);
        match self.rules.link {
            Act::Sign => {}
            Act::Refuse => {
                return Err(Refusal::new(Code::AgentRefused, "the desk's rules refuse to link keys"));
            }
            Act::Ask => {
                let payload = Payload::Message(challenge.clone());
                let asked = Asked {
                    asker: asker.clone(),
                    key: place.label.clone(),
                    what: format!(
                        "{purpose}, in account {}, as `{}`",
                        hex::encode(account),
                        shown(&prove.alias, 64)
                    ),
                    sha256: payload.hash(),
                    bytes: payload.len(),
                    expires_ms: prove.expires_unix_ms,
                };
                self.ask(nonce, asked, &withdrawn).await?;
            }
        }
        let proof = self.made(&place, public_key.scheme(), &Payload::Message(challenge)).await?;
        self.tell(&Event::Proved { job: nonce, key: place.label, asker });
        Ok(proof)
    }

    /// The attached token that holds a key.
    async fn place(&self, key_id: &[u8; 32], scheme: Scheme) -> Result<Place, Refusal> {
        let find = |look: &Look| look.held.iter().find_map(|held| place_in(held, key_id, scheme));
        let seen = find(&lock(&self.look));
        if let Some(place) = seen {
            return Ok(place);
        }
        let look = self.look().await;
        find(&look).ok_or_else(|| match look.missing.first() {
            Some((token, why)) => Refusal::new(Code::TokenMissing, format!("token `{token}`: {why}")),
            None => Refusal::new(Code::TokenKeyMissing, "no token of this desk holds the key"),
        })
    }

    async fn with_journal<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Journal) -> Result<R, JournalError> + Send + 'static,
    ) -> Result<R, Refusal> {
        let journal = self.journal.clone();
        let done = tokio::task::spawn_blocking(move || work(&mut lock(&journal))).await;
        match done {
            Ok(result) => Ok(result?),
            Err(error) => {
                Err(Refusal::new(Code::AgentUnavailable, format!("the journal's task broke down: {error}")))
            }
        }
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Desk(ledger {})", hex::encode(self.chain_id))
    }
}

/// Where a key is.
#[derive(Clone, Debug)]
struct Place {
    label: String,
    serial: String,
    id: Vec<u8>,
    public_key: PublicKey,
}

fn place_in(held: &Held, key_id: &[u8; 32], scheme: Scheme) -> Option<Place> {
    held.keys.iter().find_map(|key| {
        let public_key =
            key.public_keys.iter().find(|key| key.scheme() == scheme && key.id().as_bytes() == key_id)?;
        let (label, serial) = (key.label.clone(), held.serial.clone());
        Some(Place { label, serial, id: key.id.clone(), public_key: public_key.clone() })
    })
}

fn begin(checked: &Checked, decision: &Decision) -> Begin {
    Begin {
        intent: checked.intent,
        time_ms: checked.time_ms,
        payload_bytes: u32::try_from(checked.payload.len()).unwrap_or(u32::MAX),
        rule: decision.mark,
    }
}

pub(super) const fn from(what: from_agent::What) -> FromAgent {
    FromAgent { what: Some(what) }
}

fn signed(job: &[u8; 32], signature: Vec<u8>) -> AgentAnswer {
    AgentAnswer { job: job.to_vec().into(), result: Some(agent_answer::Result::Signature(signature.into())) }
}

fn tokens(held: &[Held]) -> AgentTokens {
    let key = |key: &super::device::HeldKey| AgentKey {
        label: key.label.clone(),
        id: key.id.clone().into(),
        kind: key.kind.clone(),
        public_keys: key
            .public_keys
            .iter()
            .map(|public| AgentPublicKey {
                scheme: public.scheme().name().to_owned(),
                public_key: public.as_bytes().to_vec().into(),
            })
            .collect(),
        claims: key.claims.clone(),
    };
    let tokens = held.iter().map(|held| AgentToken {
        label: held.label.clone(),
        serial: held.serial.clone(),
        manufacturer: held.manufacturer.clone(),
        model: held.model.clone(),
        keys: held.keys.iter().map(key).collect(),
    });
    AgentTokens { tokens: tokens.collect() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
