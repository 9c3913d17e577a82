//! A token agent against a service that lies: whatever the ledger does not prove, the token is not asked for.

#[path = "../../ledger/core/tests/common/mod.rs"]
pub mod common;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use common::{ACCOUNT, Keys, World, signer};
use keyward_client::Petition;
use keyward_client::agent::{
    Asked, Begin, Desk, Device, DeviceRefusal, Event, Held, HeldKey, Journal, Later, Look, Parts, Payload,
    Person, Rules, Verdict, Word,
};
use keyward_domain::{
    Code, Mode,
    approval::{About, Signing},
    possession_challenge,
};
use keyward_ledger_core::{
    entry::{Act, AssociationAct, Authored, Case, Entry, Party, RuleName, VaultAct, VaultAttempt},
    hash::sha256,
    scheme::{PublicKey, Scheme, verify},
};
use keyward_proto::custody::{
    self as proto, AgentAnswer, AgentProve, AgentSign, AgentWithdraw, ApprovalAbout, ApprovalOfSigning,
    FromAgent, ToAgent, agent_answer, agent_sign, approval_about, from_agent, to_agent,
};
use tokio::{sync::mpsc, time::timeout};

use crate::support::keyward::PATIENCE;

const R: [u8; 32] = [0x55; 32];
const MESSAGE: &[u8] = b"pay 100";
const SIGN_ALL: &str =
    "link = \"sign\"\n[[rule]]\nname = \"all\"\ndo = \"sign\"\nlimit = { count = 3, window_s = 60 }";

/// A token with one Ed25519 key.
#[derive(Default)]
struct Stick {
    out: AtomicBool,
    used: AtomicUsize,
}

impl Device for Stick {
    fn look(&self) -> Later<'_, Look> {
        Box::pin(async {
            if self.out.load(Ordering::Relaxed) {
                return Look { held: Vec::new(), missing: vec![("stick".into(), "not attached".into())] };
            }
            let key = HeldKey {
                label: "signing".into(),
                id: vec![1],
                kind: "ed25519".into(),
                public_keys: vec![key()],
                claims: Vec::new(),
            };
            let (label, serial) = ("stick".to_owned(), "1".to_owned());
            let held =
                Held { label, serial, manufacturer: String::new(), model: String::new(), keys: vec![key] };
            Look { held: vec![held], missing: Vec::new() }
        })
    }

    fn sign(
        &self,
        _: String,
        _: Vec<u8>,
        _: Scheme,
        payload: Payload,
    ) -> Later<'_, Result<Vec<u8>, DeviceRefusal>> {
        Box::pin(async move {
            self.used.fetch_add(1, Ordering::Relaxed);
            if self.out.load(Ordering::Relaxed) {
                return Err(DeviceRefusal { code: Code::TokenMissing, message: "pulled out".into() });
            }
            let (Payload::Message(message) | Payload::Word(Word { message, .. })) = payload else {
                panic!("ed25519 signs messages")
            };
            Ok(signer::Ed25519.sign(&message))
        })
    }
}

/// Answers what the test says; `None` never answers.
struct Clerk(Mutex<Option<Verdict>>);

impl Person for Clerk {
    fn ask<'a>(&'a self, asked: &'a Asked) -> Later<'a, Verdict> {
        assert!(
            ["pay 100", "link", "consent", "association", "approv"]
                .iter()
                .any(|word| asked.what.contains(word)),
            "{}",
            asked.what
        );
        let verdict = *self.0.lock().unwrap();
        Box::pin(async move {
            match verdict {
                Some(verdict) => verdict,
                None => std::future::pending().await,
            }
        })
    }
}

fn key() -> PublicKey {
    signer::Ed25519.public_key()
}

/// A ledger, and a desk that trusts it.
struct Bench {
    ledger: World,
    desk: Arc<Desk>,
    stick: Arc<Stick>,
    clerk: Arc<Clerk>,
    now_ms: Arc<AtomicU64>,
    events: Arc<Mutex<Vec<Event>>>,
    answers: mpsc::Receiver<FromAgent>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(rules: &str) -> Self {
        let mut ledger = World::new();
        let bind = Entry::BindKey(ledger.bind(&signer::Ed25519, [9; 32]));
        assert_eq!(ledger.names(&[Entry::OpenAccount { account: ACCOUNT }, bind]), ["ACCEPTED", "ACCEPTED"]);
        let folder = tempfile::tempdir().unwrap();
        let (stick, clerk) = (Arc::<Stick>::default(), Arc::new(Clerk(Mutex::new(Some(Verdict::Nobody)))));
        let now_ms = Arc::new(AtomicU64::new(ledger.ledger.time_ms() + 1000));
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let (desk, answers) = desk(&ledger, folder.path(), rules, &stick, &clerk, &now_ms, &events);
        Self { ledger, desk, stick, clerk, now_ms, events, answers, folder }
    }

    /// The agent is killed and started again; its journal stays.
    fn restart(self, rules: &str) -> Self {
        let Self { ledger, desk, stick, clerk, now_ms, events, answers, folder } = self;
        drop((desk, answers));
        let (desk, answers) = self::desk(&ledger, folder.path(), rules, &stick, &clerk, &now_ms, &events);
        Self { ledger, desk, stick, clerk, now_ms, events, answers, folder }
    }

    /// An honest request for a fresh intent.
    fn request(&mut self, id: u8, message: &[u8]) -> AgentSign {
        let intent = self.ledger.intent([id; 32], key().id(), message);
        self.ledger.submit(&[Entry::Intent(intent)]);
        let (leaf, height) = (self.ledger.records.len() as u64 - 1, self.ledger.ledger.height());
        AgentSign {
            job: vec![id; 32].into(),
            receipt: self.ledger.receipt(leaf, height, None).encode().into(),
            r: R.to_vec().into(),
            payload: Some(agent_sign::Payload::Message(message.to_vec().into())),
            key_id: key().id().as_bytes().to_vec().into(),
            scheme: "ed25519".into(),
            asker: "app/treasury".into(),
            expires_unix_ms: self.now_ms.load(Ordering::Relaxed) + 60_000,
            word: None,
        }
    }

    /// The same for the key's word, and what is told of it.
    fn request_word(&mut self, id: u8, of: &Act, told: &Act, about: Option<ApprovalAbout>) -> AgentSign {
        let petition = Petition::new(self.ledger.chain_id(), of.clone());
        let blank = petition.blank(Party::Key(key().id()), 100).unwrap();
        let entry = Entry::Authored(Authored { act: told.clone(), authors: Vec::new() }).encode().into();
        let message = petition.message(&blank);
        AgentSign { word: Some(proto::Word { entry, about }), ..self.request(id, &message) }
    }

    fn send(&self, what: to_agent::What) {
        self.desk.receive(ToAgent { what: Some(what) });
    }

    async fn answer(&mut self) -> AgentAnswer {
        loop {
            let message = timeout(PATIENCE, self.answers.recv()).await.expect("in time").unwrap();
            if let Some(from_agent::What::Answer(answer)) = message.what {
                return answer;
            }
        }
    }

    async fn sign(&mut self, sign: AgentSign) -> Result<Vec<u8>, (String, String)> {
        let job = sign.job.clone();
        self.send(to_agent::What::Sign(sign));
        let answer = self.answer().await;
        assert_eq!(answer.job, job);
        match answer.result.unwrap() {
            agent_answer::Result::Signature(signature) => Ok(signature.to_vec()),
            agent_answer::Result::Refusal(refusal) => Err((refusal.code, refusal.message)),
        }
    }

    /// The request is refused under this code, its words name that, and the token is not asked.
    async fn refused(&mut self, sign: AgentSign, code: &str, named: &str) {
        let used = self.stick.used.load(Ordering::Relaxed);
        let (found, message) = self.sign(sign).await.unwrap_err();
        assert_eq!(found, code, "{message}");
        assert!(message.contains(named), "`{message}` does not name {named}");
        assert_eq!(self.stick.used.load(Ordering::Relaxed), used, "the token was not asked");
    }
}

fn desk(
    ledger: &World,
    folder: &Path,
    rules: &str,
    stick: &Arc<Stick>,
    clerk: &Arc<Clerk>,
    now_ms: &Arc<AtomicU64>,
    events: &Arc<Mutex<Vec<Event>>>,
) -> (Arc<Desk>, mpsc::Receiver<FromAgent>) {
    let (clock, told) = (now_ms.clone(), events.clone());
    let parts = Parts {
        trust: ledger.trust().encode().into_bytes(),
        rules: Rules::parse(rules).unwrap(),
        journal: Journal::open(&folder.join("journal"), &ledger.chain_id()).unwrap(),
        device: stick.clone(),
        person: clerk.clone(),
        clock: Arc::new(move || clock.load(Ordering::Relaxed)),
        tell: Arc::new(move |event| told.lock().unwrap().push(event.clone())),
    };
    let desk = Desk::new(parts).unwrap();
    let (outgoing, answers) = mpsc::channel(64);
    desk.answer_to(Some(outgoing));
    (desk, answers)
}

#[tokio::test]
async fn what_the_ledger_vouches_for_is_signed_once_and_answered_alike_again() {
    let mut bench = Bench::new(SIGN_ALL);
    let request = bench.request(1, MESSAGE);
    let signature = bench.sign(request.clone()).await.unwrap();
    verify(&key(), MESSAGE, &signature).unwrap();
    assert_eq!(bench.sign(request.clone()).await.unwrap(), signature, "in the same run");
    let mut bench = bench.restart(SIGN_ALL);
    assert_eq!(bench.sign(request).await.unwrap(), signature, "and after a restart");
    assert_eq!(bench.stick.used.load(Ordering::Relaxed), 1, "the token was asked once");
    assert!(bench.events.lock().unwrap().iter().any(|event| event.name() == "signed"));
}

#[tokio::test]
async fn a_lying_service_is_refused_by_name_and_the_token_never_asked() {
    let mut bench = Bench::new(SIGN_ALL);
    let honest = bench.request(1, MESSAGE);
    let other = bench.request(2, b"pay 999");

    let forged = |place: usize| {
        let mut receipt = honest.receipt.to_vec();
        receipt[place] ^= 1;
        AgentSign { receipt: receipt.into(), ..honest.clone() }
    };
    // In the record: no longer in the log. Near the end, in the genesis or the signatures: not certified.
    bench.refused(forged(40), "RECEIPT_INVALID", "").await;
    for (number, place) in (2..).zip((60..honest.receipt.len()).step_by(97)) {
        let job = [&[number; 31][..], &[7]].concat();
        bench.refused(AgentSign { job: job.into(), ..forged(place) }, "RECEIPT_INVALID", "").await;
    }
    let payload = Some(agent_sign::Payload::Message(b"pay 100000".to_vec().into()));
    let lies = [
        (AgentSign { payload, job: vec![101; 32].into(), ..honest.clone() }, "COMMITMENT_MISMATCH"),
        (
            AgentSign { r: vec![1; 32].into(), job: vec![102; 32].into(), ..honest.clone() },
            "COMMITMENT_MISMATCH",
        ),
        (AgentSign { job: vec![103; 32].into(), ..honest.clone() }, "OTHER_INTENT"),
        (
            AgentSign { job: vec![104; 32].into(), receipt: other.receipt.clone(), ..honest.clone() },
            "COMMITMENT_MISMATCH",
        ),
        (
            AgentSign { job: vec![105; 32].into(), receipt: Vec::new().into(), ..honest.clone() },
            "RECEIPT_MALFORMED",
        ),
        (AgentSign { job: vec![106; 32].into(), payload: None, ..honest.clone() }, "REQUEST_MALFORMED"),
        (
            AgentSign {
                job: vec![107; 32].into(),
                payload: Some(agent_sign::Payload::Digest(sha256(&[MESSAGE]).to_vec().into())),
                ..honest.clone()
            },
            "DIGEST_NOT_ALLOWED",
        ),
    ];
    for (lie, name) in lies {
        bench.refused(lie, "RECEIPT_INVALID", name).await;
    }
    let other_key = AgentSign { key_id: vec![3; 32].into(), ..bench.request(3, MESSAGE) };
    bench.refused(other_key, "RECEIPT_INVALID", "OTHER_KEY").await;

    // A receipt of a signature, of another kind of entry, of an intent that the ledger refused.
    let released = World::released(&signer::Ed25519, MESSAGE);
    let (leaf, height) = (bench.ledger.records.len() as u64 - 1, bench.ledger.ledger.height());
    let used = bench.ledger.receipt(leaf, height, Some(released)).encode().into();
    bench
        .refused(
            AgentSign { job: vec![108; 32].into(), receipt: used, ..honest.clone() },
            "RECEIPT_INVALID",
            "INTENT_RELEASED",
        )
        .await;
    let bind = bench.ledger.receipt(1, height, None).encode().into();
    bench
        .refused(
            AgentSign { job: vec![109; 32].into(), receipt: bind, ..honest.clone() },
            "RECEIPT_INVALID",
            "NOT_AN_ACCEPTED_INTENT",
        )
        .await;
    let replayed = bench.request(3, MESSAGE);
    bench
        .refused(
            AgentSign { job: vec![110; 32].into(), ..replayed },
            "RECEIPT_INVALID",
            "NOT_AN_ACCEPTED_INTENT",
        )
        .await;

    // A message that would count as a proof of Keyward's own.
    let challenge =
        possession_challenge(&bench.ledger.chain_id(), &ACCOUNT, Mode::Linked, &key(), &[1; 32], 9);
    let reserved = bench.request(4, &challenge);
    bench.refused(reserved, "RECEIPT_INVALID", "PAYLOAD_RESERVED").await;

    // And the honest one is signed after all of this.
    let fresh = bench.request(5, MESSAGE);
    bench.sign(fresh).await.unwrap();
}

#[tokio::test]
async fn a_consent_to_somebodys_attempt_is_signed_when_a_person_says_so_and_by_no_rule_for_payloads() {
    let mut bench = Bench::new(SIGN_ALL);
    let vault = RuleName { owner: [1; 32], name: [2; 32] };
    let attempt = VaultAttempt { vault, version: 1, share_version: 1, element: [3; 32], reply_key: [4; 32] };
    let petition = Petition::new(bench.ledger.chain_id(), Act::Vault(VaultAct::Attempt(attempt)));
    let blank = petition.blank(Party::Key(key().id()), 100).unwrap();
    let message = petition.message(&blank);
    let asked = bench.request(1, &message);
    assert_eq!(bench.sign(asked).await.unwrap_err().0, "AGENT_REFUSED", "nobody is at the desk");
    assert_eq!(bench.stick.used.load(Ordering::Relaxed), 0);
    *bench.clerk.0.lock().unwrap() = Some(Verdict::Yes);
    let asked = bench.request(2, &message);
    let signature = bench.sign(asked).await.unwrap();
    verify(&key(), &message, &signature).unwrap();

    // On another ledger, or in another's name, it is no consent that a person could be shown.
    let elsewhere = Petition::new([0; 32], petition.act().clone());
    let others = petition.blank(Party::Credential(ACCOUNT), 100).unwrap();
    for (id, message) in [(3, elsewhere.message(&blank)), (4, petition.message(&others))] {
        let asked = bench.request(id, &message);
        bench.refused(asked, "RECEIPT_INVALID", "PAYLOAD_RESERVED").await;
    }
}

#[tokio::test]
async fn a_word_for_an_association_or_an_approval_is_shown_in_full_and_signed_by_no_rule_for_payloads() {
    let mut bench = Bench::new(SIGN_ALL);
    let dispute = |version| {
        Act::Association(AssociationAct::Dispute { association: [9; 32], version, reason: [8; 32] })
    };
    let (payload, opening) = (b"pay 12 EUR".to_vec(), [3; 32]);
    let hash = sha256(&[&payload]);
    let signing = Signing { key_id: key().id(), payload, format: String::new(), payload_hash: hash, opening };
    let case = Case { id: [7; 32], payload: About::Signing(signing.clone()).payload() };
    let approve = Act::Approve { case, group: 0 };
    let about = |payload: &[u8]| ApprovalAbout {
        about: Some(approval_about::About::Signing(ApprovalOfSigning {
            key_id: signing.key_id.as_bytes().to_vec().into(),
            payload: payload.to_vec().into(),
            format: String::new(),
            payload_hash: hash.to_vec().into(),
            opening: opening.to_vec().into(),
        })),
    };

    // Another act is told than is signed; an approval is not told in full, or with another payload.
    let untold = AgentSign { word: None, ..bench.request_word(1, &dispute(1), &dispute(1), None) };
    bench.refused(untold, "RECEIPT_INVALID", "PAYLOAD_RESERVED").await;
    let lies = [
        bench.request_word(2, &dispute(1), &dispute(2), None),
        bench.request_word(3, &approve, &Act::WithdrawApproval(case), None),
        bench.request_word(4, &approve, &approve, None),
        bench.request_word(5, &approve, &approve, Some(about(b"pay 1 EUR"))),
    ];
    for lie in lies {
        bench.refused(lie, "RECEIPT_INVALID", "WORD_OTHER").await;
    }
    // A rule that signs whatever payload comes does not give the key's word away.
    let asked = bench.request_word(6, &dispute(1), &dispute(1), None);
    assert_eq!(bench.sign(asked).await.unwrap_err().0, "AGENT_REFUSED", "nobody is at the desk");
    assert_eq!(bench.stick.used.load(Ordering::Relaxed), 0);
    *bench.clerk.0.lock().unwrap() = Some(Verdict::Yes);
    let asked = bench.request_word(7, &approve, &approve, Some(about(b"pay 12 EUR")));
    bench.sign(asked).await.unwrap();
    let shown: Vec<_> = bench.events.lock().unwrap().iter().map(Event::words).collect();
    let shown = shown.into_iter().filter(|words| words.starts_with("asking")).collect::<String>();
    for part in ["APPROVE case 0707", "pay 12 EUR", &hex::encode(case.payload), "dispute version 1"] {
        assert!(shown.contains(part), "{part} was not shown: {shown}");
    }

    // A rule may name the kind of word, and then gives that kind alone.
    *bench.clerk.0.lock().unwrap() = Some(Verdict::Nobody);
    let rule = "[[rule]]\nname = \"groups\"\ndo = \"sign\"\nkind = \"association\"\n\
                limit = { count = 5, window_s = 60 }\n";
    let mut bench = bench.restart(rule);
    let asked = bench.request_word(8, &dispute(1), &dispute(1), None);
    bench.sign(asked).await.unwrap();
    let asked = bench.request_word(9, &approve, &approve, Some(about(b"pay 12 EUR")));
    assert_eq!(bench.sign(asked).await.unwrap_err().0, "AGENT_REFUSED");
}

#[tokio::test]
async fn an_old_intent_is_never_signed_later() {
    let mut bench = Bench::new(SIGN_ALL);
    let request = bench.request(1, MESSAGE);
    bench.now_ms.fetch_add(11 * 60 * 1000, Ordering::Relaxed);
    let late = AgentSign { expires_unix_ms: u64::MAX, ..request.clone() };
    bench.refused(late, "RECEIPT_INVALID", "INTENT_TOO_OLD").await;
    let expired = AgentSign { job: vec![2; 32].into(), ..request };
    bench.refused(expired, "REQUEST_EXPIRED", "REQUEST_EXPIRED").await;
    let ahead = bench.request(3, MESSAGE);
    bench.now_ms.store(bench.ledger.ledger.time_ms() - 61_000, Ordering::Relaxed);
    bench.refused(ahead, "RECEIPT_INVALID", "CLOCK_BEHIND").await;
}

#[tokio::test]
async fn an_agent_that_died_with_an_intent_in_its_token_never_signs_it_again() {
    let mut bench = Bench::new(SIGN_ALL);
    let request = bench.request(1, MESSAGE);
    let time_ms = bench.ledger.ledger.time_ms();
    let Bench { ledger, desk, stick, clerk, now_ms, events, answers, folder } = bench;
    drop((desk, answers));
    // What a kill between the journal and the answer leaves.
    let mut journal = Journal::open(&folder.path().join("journal"), &ledger.chain_id()).unwrap();
    journal.begin(Begin { intent: [1; 32], time_ms, payload_bytes: 7, rule: [0; 8] }).unwrap();
    drop(journal);
    let (desk, answers) = self::desk(&ledger, folder.path(), SIGN_ALL, &stick, &clerk, &now_ms, &events);
    let mut bench = Bench { ledger, desk, stick, clerk, now_ms, events, answers, folder };
    bench.refused(request, "AGENT_OUTCOME_UNKNOWN", "never signed again").await;
    let fresh = bench.request(2, MESSAGE);
    bench.sign(fresh).await.unwrap();
}

#[tokio::test]
async fn a_token_that_is_pulled_out_is_named_and_goes_on_when_it_is_back() {
    let mut bench = Bench::new(SIGN_ALL);
    let first = bench.request(1, MESSAGE);
    bench.desk.look().await;
    bench.stick.out.store(true, Ordering::Relaxed);
    // The desk has not noticed yet: the token is asked, and fails. That intent is spent.
    assert_eq!(bench.sign(first.clone()).await.unwrap_err().0, "TOKEN_MISSING");
    bench.desk.look().await;
    let second = bench.request(2, MESSAGE);
    bench.refused(second, "TOKEN_MISSING", "not attached").await;
    bench.stick.out.store(false, Ordering::Relaxed);
    bench.desk.look().await;
    let mut bench = bench.restart(SIGN_ALL);
    bench.refused(first, "TOKEN_MISSING", "never will").await;
    let third = bench.request(3, MESSAGE);
    bench.sign(third).await.unwrap();
}

#[tokio::test]
async fn without_a_rule_a_person_decides_and_without_a_person_nothing_is_signed() {
    let mut bench = Bench::new("");
    let request = bench.request(1, MESSAGE);
    bench.refused(request, "AGENT_REFUSED", "nobody").await;
    *bench.clerk.0.lock().unwrap() = Some(Verdict::No);
    let request = bench.request(2, MESSAGE);
    bench.refused(request, "AGENT_REFUSED", "a person").await;
    *bench.clerk.0.lock().unwrap() = Some(Verdict::Yes);
    let request = bench.request(3, MESSAGE);
    bench.sign(request).await.unwrap();
    // Taken back while the question stands.
    *bench.clerk.0.lock().unwrap() = None;
    let request = bench.request(4, MESSAGE);
    bench.send(to_agent::What::Sign(request.clone()));
    let asking = |event: &Event| matches!(event, Event::Asking { job, .. } if *job == [4; 32]);
    let asked = async {
        while !bench.events.lock().unwrap().iter().any(asking) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, asked).await.expect("the person is asked");
    bench.send(to_agent::What::Withdraw(AgentWithdraw { job: request.job, why: "expired".into() }));
    let answer = bench.answer().await;
    assert!(
        matches!(answer.result, Some(agent_answer::Result::Refusal(refusal)) if refusal.code == "REQUEST_EXPIRED")
    );
    assert_eq!(bench.stick.used.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_limit_holds_across_a_restart() {
    let mut bench = Bench::new(SIGN_ALL);
    for id in 1..=2 {
        let request = bench.request(id, MESSAGE);
        bench.sign(request).await.unwrap();
    }
    let mut bench = bench.restart(SIGN_ALL);
    let request = bench.request(3, MESSAGE);
    bench.sign(request).await.unwrap();
    let request = bench.request(4, MESSAGE);
    bench.refused(request, "AGENT_REFUSED", "nobody").await;
}

#[tokio::test]
async fn a_proof_of_possession_is_of_this_desks_own_ledger_and_made_here() {
    let mut bench = Bench::new(SIGN_ALL);
    let prove = |nonce: u8, key: &[u8]| AgentProve {
        job: vec![nonce; 32].into(),
        account: ACCOUNT.to_vec().into(),
        public_key: key.to_vec().into(),
        scheme: "ed25519".into(),
        not_after: 77,
        asker: "operator/ops".into(),
        alias: "desk".into(),
        expires_unix_ms: u64::MAX,
        previous: Vec::new().into(),
    };
    bench.send(to_agent::What::Prove(prove(1, key().as_bytes())));
    let Some(agent_answer::Result::Signature(proof)) = bench.answer().await.result else {
        panic!("it proves")
    };
    let own = possession_challenge(&bench.ledger.chain_id(), &ACCOUNT, Mode::Linked, &key(), &[1; 32], 77);
    verify(&key(), &own, &proof).unwrap();
    let foreign = possession_challenge(&[1; 32], &ACCOUNT, Mode::Linked, &key(), &[1; 32], 77);
    assert!(verify(&key(), &foreign, &proof).is_err(), "another ledger's challenge cannot be had");
    for (bad, code) in [
        (prove(2, &[0; 31]), "AGENT_PROTOCOL"),
        (prove(3, &[9; 32]), "TOKEN_KEY_MISSING"),
        (AgentProve { account: vec![1].into(), ..prove(4, key().as_bytes()) }, "AGENT_PROTOCOL"),
    ] {
        bench.send(to_agent::What::Prove(bad));
        let Some(agent_answer::Result::Refusal(refusal)) = bench.answer().await.result else {
            panic!("refused")
        };
        assert_eq!(refusal.code, code);
    }
    let mut bench = bench.restart("link = \"refuse\"");
    bench.send(to_agent::What::Prove(prove(5, key().as_bytes())));
    let Some(agent_answer::Result::Refusal(refusal)) = bench.answer().await.result else { panic!("refused") };
    assert_eq!(refusal.code, "AGENT_REFUSED");
}
