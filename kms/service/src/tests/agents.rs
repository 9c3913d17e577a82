//! Keys at a bank's desk: the agent answers, late, wrongly or not at all, and the service believes none of it.

use std::{sync::Arc, time::Duration};

use keyward_crypto::SigningKey;
use keyward_domain::{
    Code, Mode, possession_challenge,
    scheme::{PublicKey, Scheme, verify},
};
use keyward_policies::Verb;
use keyward_proto::custody::{
    AgentAnswer, AgentAsking, AgentHello, AgentKey, AgentPublicKey, AgentRefusal, AgentSign, AgentToken,
    AgentTokens, FromAgent, ToAgent, Word, agent_answer, agent_sign, from_agent::What as Up,
    to_agent::What as Down,
};
use prost::Message as _;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use zeroize::Zeroizing;

use super::world::{CHAIN, World, account, check, code, unsaid};
use crate::{
    agents::attend,
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::{Input, Signed},
    tokens::link::Link,
};

const OPERATOR: &str = "keyward://operator/ops";
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent that does what the test says.
pub(super) struct Peer {
    up: mpsc::Sender<Result<FromAgent, Status>>,
    down: mpsc::Receiver<Result<ToAgent, Status>>,
    stream: JoinHandle<Result<(), Failure>>,
}

impl Peer {
    /// A stream that begins with this.
    fn open(custody: &Arc<Custody>, agent: &str, first: Up) -> Self {
        let (up, incoming) = mpsc::channel(256);
        let (outgoing, down) = mpsc::channel(16);
        up.try_send(Ok(FromAgent { what: Some(first) })).unwrap();
        let stream = attend(custody.clone(), agent.to_owned(), ReceiverStream::new(incoming), outgoing);
        Self { up, down, stream: tokio::spawn(stream) }
    }

    /// A stream of an agent whose token holds this key; welcomed.
    pub(super) async fn with(custody: &Arc<Custody>, agent: &str, key: &PublicKey) -> Self {
        let mut peer = Self::open(custody, agent, hello(key));
        let Down::Welcome(welcome) = peer.next().await else { panic!("a welcome comes first") };
        assert_eq!(
            (welcome.version, welcome.agent.as_str(), welcome.chain_id.as_ref()),
            (1, agent, &CHAIN[..])
        );
        peer
    }

    async fn next(&mut self) -> Down {
        let next = timeout(PATIENCE, self.down.recv()).await.expect("in time");
        next.expect("the stream is open").unwrap().what.unwrap()
    }

    async fn sign(&mut self) -> AgentSign {
        match self.next().await {
            Down::Sign(sign) => sign,
            other => panic!("not a request to sign: {other:?}"),
        }
    }

    async fn send(&self, what: Up) {
        self.up.send(Ok(FromAgent { what: Some(what) })).await.unwrap();
    }

    async fn answer(&self, job: &[u8], signature: Vec<u8>) {
        let result = Some(agent_answer::Result::Signature(signature.into()));
        self.send(Up::Answer(AgentAnswer { job: job.to_vec().into(), result })).await;
    }

    /// How the service ended the stream.
    async fn ended(self) -> Result<(), Failure> {
        timeout(PATIENCE, self.stream).await.expect("in time").unwrap()
    }
}

fn hello(key: &PublicKey) -> Up {
    let public =
        AgentPublicKey { scheme: key.scheme().name().into(), public_key: key.as_bytes().to_vec().into() };
    let key = AgentKey {
        label: "signing".into(),
        id: vec![1].into(),
        kind: "p256".into(),
        public_keys: vec![public],
        claims: Vec::new(),
    };
    let token =
        AgentToken { label: "stick".into(), serial: "4711".into(), keys: vec![key], ..Default::default() };
    Up::Hello(AgentHello {
        version: 1,
        program: "test".into(),
        tokens: Some(AgentTokens { tokens: vec![token] }),
    })
}

fn link<'a>(agent: &'a str) -> Link<'a> {
    let pin = Zeroizing::new(Vec::new());
    let (token, key_label, scheme, alias) = ("stick", "signing", "ecdsa-p256", "desk-key");
    Link { token, key_label, id: &[], scheme, alias, agent, pin, mark: &[] }
}

/// Links the peer's key to the operator's account.
async fn linked(world: &World, peer: &mut Peer, key: &SigningKey) -> Caller {
    linked_by(world, peer, key, OPERATOR).await
}

pub(super) async fn linked_by(world: &World, peer: &mut Peer, key: &SigningKey, uri: &str) -> Caller {
    let operator = world.caller(uri).await;
    let (custody, caller) = (world.custody.clone(), operator.clone());
    let linking = tokio::spawn(async move { custody.link_key(&caller, link("desk")).await });
    let Down::Prove(prove) = peer.next().await else { panic!("a proof is asked for") };
    let account: [u8; 32] = prove.account.as_ref().try_into().unwrap();
    let nonce = prove.job.as_ref().try_into().unwrap();
    let challenge =
        possession_challenge(&CHAIN, &account, Mode::Linked, key.public_key(), &nonce, prove.not_after);
    peer.answer(&prove.job, key.sign_message(&challenge).unwrap()).await;
    let (known, _) = linking.await.unwrap().unwrap();
    assert_eq!((known.mode(), known.agent()), (Mode::Linked, Some("desk")));
    assert!(world.custody.store.pins().await.unwrap().is_empty(), "the PIN stays at the desk");
    operator
}

fn ask(
    custody: &Arc<Custody>,
    caller: &Caller,
    message: &'static [u8],
    mark: &'static [u8],
) -> JoinHandle<Result<Signed, Failure>> {
    let (custody, caller) = (custody.clone(), caller.clone());
    tokio::spawn(async move {
        custody.sign(&caller, "desk-key", (&Input::Message(message), unsaid()), mark).await
    })
}

pub(super) fn key() -> SigningKey {
    SigningKey::generate(Scheme::EcdsaP256).unwrap()
}

#[tokio::test]
async fn a_key_at_a_desk_is_linked_and_signs_there_what_the_ledger_has_recorded() {
    let (world, key) = (World::new().await, key());
    let mut peer = Peer::with(&world.custody, "desk", key.public_key()).await;
    let operator = linked(&world, &mut peer, &key).await;
    let asked = ask(&world.custody, &operator, b"pay", b"");
    let sign = peer.sign().await;
    assert_eq!(world.intents(), 1, "the intent stands before the desk is asked");
    assert!(!sign.receipt.is_empty());
    assert_eq!((sign.asker.as_str(), sign.scheme.as_str()), ("operator/ops", "ecdsa-p256"));
    assert_eq!(sign.payload, Some(agent_sign::Payload::Message(b"pay".to_vec().into())));
    peer.answer(&sign.job, key.sign_message(b"pay").unwrap()).await;
    check(&asked.await.unwrap().unwrap(), b"pay");
    let listed = world.custody.list_tokens(&operator).await.unwrap();
    let at_desk = listed.iter().find(|token| token.agent.as_deref() == Some("desk")).unwrap();
    assert_eq!((at_desk.token.serial.as_str(), at_desk.names.len()), ("4711", 1));
}

#[tokio::test]
async fn what_is_told_of_a_keys_word_reaches_the_desk_as_it_was_sent() {
    let (world, key) = (World::new().await, key());
    let mut peer = Peer::with(&world.custody, "desk", key.public_key()).await;
    let operator = linked(&world, &mut peer, &key).await;
    let told = Word { entry: vec![1, 2, 3].into(), about: None };
    let (custody, bytes) = (world.custody.clone(), told.encode_to_vec());
    let asked = tokio::spawn(async move {
        let said = unsaid().clone().telling(bytes).unwrap();
        custody.sign(&operator, "desk-key", (&Input::Message(b"word"), &said), b"").await
    });
    let sign = peer.sign().await;
    assert_eq!(sign.word, Some(told));
    peer.answer(&sign.job, key.sign_message(b"word").unwrap()).await;
    check(&asked.await.unwrap().unwrap(), b"word");
    let long = unsaid().clone().telling(vec![0; 2 << 20]);
    assert_eq!(code(long), Code::InvalidArgument);
}

#[tokio::test]
async fn a_closed_desk_and_a_silent_one_are_told_apart_and_a_late_answer_is_dropped() {
    let (world, key) = (World::new().await, key());
    let mut peer = Peer::with(&world.custody, "desk", key.public_key()).await;
    let mut operator = linked(&world, &mut peer, &key).await;
    operator.deadline_ms = Some(world.custody.clock.now_ms() + 10_000);
    let asked = ask(&world.custody, &operator, b"silent", b"");
    let sign = peer.sign().await;
    world.pass_ms(9_500);
    assert_eq!(code(asked.await.unwrap()), Code::RequestExpired);
    let Down::Withdraw(withdrawn) = peer.next().await else { panic!("it is taken back") };
    assert_eq!(withdrawn.job, sign.job);
    peer.answer(&sign.job, key.sign_message(b"silent").unwrap()).await;
    drop(peer.up);
    timeout(PATIENCE, peer.stream).await.unwrap().unwrap().unwrap();
    assert!(
        world.custody.store.queued_releases(super::world::SUBMITTER, (0, 0), 10).await.unwrap().is_empty()
    );

    operator.deadline_ms = Some(world.custody.clock.now_ms() + 10_000);
    let asked = ask(&world.custody, &operator, b"closed", b"");
    while world.intents() < 2 {
        tokio::task::yield_now().await;
    }
    world.pass_ms(9_500);
    assert_eq!(code(asked.await.unwrap()), Code::AgentUnavailable);
    operator.deadline_ms = Some(world.custody.clock.now_ms());
    assert_eq!(code(ask(&world.custody, &operator, b"no time", b"").await.unwrap()), Code::DeadlineExceeded);
    assert_eq!(world.intents(), 2);
}

#[tokio::test]
async fn what_a_desk_signs_after_its_intent_is_void_does_not_leave() {
    let (world, key) = (World::new().await, key());
    let mut peer = Peer::with(&world.custody, "desk", key.public_key()).await;
    let operator = linked(&world, &mut peer, &key).await;
    let asked = ask(&world.custody, &operator, b"slow", b"mark");
    let sign = peer.sign().await;
    world.ledger.height.fetch_add(4001, std::sync::atomic::Ordering::Relaxed);
    peer.answer(&sign.job, key.sign_message(b"slow").unwrap()).await;
    assert_eq!(code(asked.await.unwrap()), Code::RequestExpired);
    assert!(
        world.custody.store.queued_releases(super::world::SUBMITTER, (0, 0), 10).await.unwrap().is_empty()
    );
    world.custody.settle_unreleased().await.unwrap();
    assert_eq!(world.custody.unreleased.list(), [], "given up");
    let asked = ask(&world.custody, &operator, b"slow", b"mark");
    let sign = peer.sign().await;
    peer.answer(&sign.job, key.sign_message(b"slow").unwrap()).await;
    check(&asked.await.unwrap().unwrap(), b"slow");
}

#[tokio::test]
async fn a_hostile_agent_is_refused_by_name() {
    let (world, key) = (World::new().await, key());
    let mut peer = Peer::with(&world.custody, "desk", key.public_key()).await;
    let operator = linked(&world, &mut peer, &key).await;

    let asked = ask(&world.custody, &operator, b"pay 1", b"");
    let sign = peer.sign().await;
    peer.answer(&sign.job, key.sign_message(b"pay 1000").unwrap()).await;
    assert_eq!(code(asked.await.unwrap()), Code::SignatureInvalid, "another message was signed");

    let asked = ask(&world.custody, &operator, b"pay 2", b"");
    let sign = peer.sign().await;
    let refusal = AgentRefusal { code: "INTERNAL".into(), message: "\u{1b}[2Jno".into() };
    let result = Some(agent_answer::Result::Refusal(refusal));
    peer.send(Up::Answer(AgentAnswer { job: sign.job, result })).await;
    let failure = asked.await.unwrap().unwrap_err();
    assert_eq!(failure.code, Code::AgentRefused, "an agent cannot pose as the service");
    assert!(!failure.message.contains('\u{1b}'));

    let asked = ask(&world.custody, &operator, b"pay 3", b"");
    let sign = peer.sign().await;
    let thief =
        Peer::with(&world.custody, "other", SigningKey::generate(Scheme::EcdsaP256).unwrap().public_key())
            .await;
    thief.answer(&sign.job, key.sign_message(b"pay 3").unwrap()).await;
    assert_eq!(code(thief.ended().await), Code::NotAllowed, "another agent's request");
    peer.answer(&sign.job, key.sign_message(b"pay 3").unwrap()).await;
    check(&asked.await.unwrap().unwrap(), b"pay 3");

    let garbage: [Up; 5] = [
        Up::Answer(AgentAnswer { job: vec![1; 31].into(), result: None }),
        Up::Answer(AgentAnswer { job: vec![1; 32].into(), result: None }),
        Up::Answer(AgentAnswer {
            job: vec![1; 32].into(),
            result: Some(agent_answer::Result::Signature(vec![0; 4096].into())),
        }),
        Up::Tokens(AgentTokens { tokens: vec![AgentToken::default(); 17] }),
        hello(key.public_key()),
    ];
    for message in garbage {
        let peer = Peer::with(&world.custody, "other", key.public_key()).await;
        peer.send(message).await;
        assert_eq!(code(peer.ended().await), Code::AgentProtocol);
    }
    let Up::Hello(first) = hello(key.public_key()) else { panic!() };
    for first in [
        Up::Asking(AgentAsking::default()),
        Up::Hello(AgentHello { version: 2, ..first.clone() }),
        Up::Hello(AgentHello { program: "x".repeat(129), ..first }),
    ] {
        assert_eq!(code(Peer::open(&world.custody, "other", first).ended().await), Code::AgentProtocol);
    }

    let flood = Peer::with(&world.custody, "other", key.public_key()).await;
    // More than a machine that is slow gets back while it asks.
    for _ in 0..5_000 {
        let asking = Up::Asking(AgentAsking { job: vec![1; 32].into() });
        if flood.up.send(Ok(FromAgent { what: Some(asking) })).await.is_err() {
            break;
        }
    }
    assert_eq!(code(flood.ended().await), Code::TooMany);
}

#[tokio::test]
async fn a_newer_stream_wins_and_gets_what_waits() {
    let (world, key) = (World::new().await, key());
    let mut older = Peer::with(&world.custody, "desk", key.public_key()).await;
    let operator = linked(&world, &mut older, &key).await;
    let asked = ask(&world.custody, &operator, b"pay", b"");
    let first = older.sign().await;
    let mut newer = Peer::with(&world.custody, "desk", key.public_key()).await;
    assert_eq!(code(older.ended().await), Code::AgentReplaced);
    let again = newer.sign().await;
    assert_eq!(first.job, again.job);
    newer.answer(&again.job, key.sign_message(b"pay").unwrap()).await;
    check(&asked.await.unwrap().unwrap(), b"pay");
    assert_eq!(world.intents(), 1);
    assert!(world.custody.agents.tokens("desk").is_some(), "the older stream's end is not the newer one's");
}

#[tokio::test]
async fn a_request_sent_again_waits_for_the_same_answer() {
    let (world, key) = (World::new().await, key());
    let mut peer = Peer::with(&world.custody, "desk", key.public_key()).await;
    let operator = linked(&world, &mut peer, &key).await;
    let first = ask(&world.custody, &operator, b"pay", b"invoice-1");
    let sign = peer.sign().await;
    let second = ask(&world.custody, &operator, b"pay", b"invoice-1");
    assert_eq!(
        code(ask(&world.custody, &operator, b"other", b"invoice-1").await.unwrap()),
        Code::IdempotencyConflict
    );
    peer.answer(&sign.job, key.sign_message(b"pay").unwrap()).await;
    let (first, second) = (first.await.unwrap().unwrap(), second.await.unwrap().unwrap());
    assert_eq!((&first.signature, &first.receipt), (&second.signature, &second.receipt));
    let third = ask(&world.custody, &operator, b"pay", b"invoice-1").await.unwrap().unwrap();
    assert_eq!(third.signature, first.signature, "kept");
    assert_eq!(world.intents(), 1);
}

#[tokio::test]
async fn the_server_that_is_asked_need_not_hold_the_stream() {
    let (world, key) = (World::new().await, key());
    let mut peer = Peer::with(&world.custody, "desk", key.public_key()).await;
    let operator = linked(&world, &mut peer, &key).await;
    let beside = world.beside().await;
    let asked = ask(&beside, &operator, b"pay", b"");
    let sign = peer.sign().await;
    peer.answer(&sign.job, key.sign_message(b"pay").unwrap()).await;
    let signed = timeout(PATIENCE, asked).await.expect("in time").unwrap().unwrap();
    verify(key.public_key(), b"pay", &signed.signature).unwrap();
}

#[tokio::test]
async fn only_named_operators_link_through_an_agent_and_only_named_agents_hold_a_stream() {
    let (world, key) = (World::new().await, key());
    let operator = world.caller(OPERATOR).await;
    assert_eq!(
        code(world.custody.link_key(&operator, link("desk")).await),
        Code::AgentUnavailable,
        "no stream yet"
    );
    let _desk = Peer::with(&world.custody, "desk", key.public_key()).await;
    let _other = Peer::with(&world.custody, "other", key.public_key()).await;
    assert_eq!(code(world.custody.link_key(&operator, link("other")).await), Code::AgentUnknown);
    assert_eq!(code(world.custody.link_key(&operator, link("nowhere")).await), Code::AgentUnknown);
    let stranger = world.caller("keyward://operator/stranger").await;
    assert_eq!(code(world.custody.link_key(&stranger, link("desk")).await), Code::AgentUnknown);
    let with_pin = Link { pin: Zeroizing::new(b"1234".to_vec()), ..link("desk") };
    assert_eq!(code(world.custody.link_key(&operator, with_pin).await), Code::InvalidArgument);
    for wrong in [Link { token: "nothing", ..link("desk") }, Link { key_label: "nothing", ..link("desk") }] {
        let expected = if wrong.token == "nothing" { Code::TokenMissing } else { Code::TokenKeyMissing };
        assert_eq!(code(world.custody.link_key(&operator, wrong).await), expected);
    }
    for (uri, agent, allowed) in [
        ("keyward://agent/desk", "desk", true),
        ("keyward://agent/desk", "other", false),
        ("keyward://agent/ghost", "ghost", false),
        ("keyward://operator/desk", "desk", false),
        ("keyward://app/desk", "desk", false),
    ] {
        let caller = world.caller(uri).await;
        assert_eq!(
            world.custody.authorise_desk(&caller, Verb::TokenAgent, agent).is_ok(),
            allowed,
            "{uri} {agent}"
        );
    }
    assert!(world.custody.store.keys(account(&operator).0).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_closed_desk_holds_up_no_more_than_its_share() {
    let (world, key) = (World::new().await, key());
    let mut peer = Peer::with(&world.custody, "desk", key.public_key()).await;
    let operator = linked(&world, &mut peer, &key).await;
    drop(peer);
    let waiting: Vec<_> = (0..crate::agents::WAITING_FOR_ONE_MAX)
        .map(|_| ask(&world.custody, &operator, b"pay", b""))
        .collect();
    while world.intents() < crate::agents::WAITING_FOR_ONE_MAX {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(code(ask(&world.custody, &operator, b"one more", b"").await.unwrap()), Code::ServiceBusy);
    assert_eq!(world.intents(), crate::agents::WAITING_FOR_ONE_MAX, "and no intent was made for it");
    world.pass_ms(6 * 60 * 1000);
    for request in waiting {
        assert_eq!(code(request.await.unwrap()), Code::AgentUnavailable);
    }
}

#[tokio::test]
async fn what_a_killed_server_left_at_a_desk_is_not_signed_after_its_restart() {
    let (world, key) = (World::new().await, key());
    let mut peer = Peer::with(&world.custody, "desk", key.public_key()).await;
    let operator = linked(&world, &mut peer, &key).await;
    drop(peer);
    let asked = ask(&world.custody, &operator, b"left", b"");
    let id = loop {
        let waiting = world.custody.store.agent_jobs("desk", world.custody.clock.now_ms(), 10).await.unwrap();
        match waiting.first() {
            Some(row) => break row.id,
            None => tokio::task::yield_now().await,
        }
    };
    asked.abort();
    let world = world.restart().await;
    assert_eq!(world.custody.unreleased.list()[0].0.id, id);
    let mut peer = Peer::with(&world.custody, "desk", key.public_key()).await;
    let asked = ask(&world.custody, &operator, b"new", b"");
    let sign = peer.sign().await;
    assert_ne!(sign.job.as_ref(), id, "only what somebody waits for is sent");
    peer.answer(&sign.job, key.sign_message(b"new").unwrap()).await;
    check(&asked.await.unwrap().unwrap(), b"new");
}
