//! Owners are told: over real TLS, to a receiver and a mail server that write down what they hear.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use keyward_domain::{Code, profile::Fields};
use keyward_ledger_core::entry::{DelegationAct, Entry};
use keyward_store::{Notice, NoticeChannel as Channel, NoticeKind as Kind, NoticeState as State};
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use sha2::Sha256;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::{
    delegation::{
        DAY_MS, Somebody, appointment_of, hand_in, lost, opened, rule, signed, terms, trusting_in, with_rules,
    },
    network::Authority,
    world::{World, code},
};
use crate::{
    adapters::{Couriers, couriers},
    config::{MailConfig, MailTls, NoticesConfig, WebhookConfig},
    custody::Custody,
    delegation::entries::Kind as HandedIn,
    hex::hex,
    notices::By,
};

const KEY: [u8; 32] = [7; 32];
const HOUR_MS: u64 = 3_600_000;

/// What was heard, and what is answered; without an answer left, everything is taken.
#[derive(Clone, Default)]
struct Heard {
    said: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Heard {
    fn all(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    fn answer(&self, codes: &[u16]) {
        self.answers.lock().unwrap().extend(codes);
    }
}

/// A server for `localhost` whose certificate is from the authority.
fn acceptor(authority: &Authority) -> TlsAcceptor {
    let name = SanType::DnsName("localhost".try_into().unwrap());
    let (certificate, key) = authority.issue(vec![name], ExtendedKeyUsagePurpose::ServerAuth);
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

/// A program that takes webhooks.
async fn receiver(authority: &Authority) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/told?by=keyward", listener.local_addr().unwrap().port());
    let (heard, acceptor) = (Heard::default(), acceptor(authority));
    let hears = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who does not trust us hangs up.
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(take_request(stream, hears.clone()));
            }
        }
    });
    (url, heard)
}

async fn take_request(stream: impl AsyncRead + AsyncWrite + Unpin, heard: Heard) {
    let mut stream = BufReader::new(stream);
    let (mut text, mut len) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
        text.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.unwrap();
    text.push_str(&String::from_utf8(body).unwrap());
    let status = heard.answers.lock().unwrap().pop_front().unwrap_or(200);
    heard.said.lock().unwrap().push(text);
    let head = format!(
        "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let _gone = stream.write_all(head.as_bytes()).await;
    let _gone = stream.shutdown().await;
}

/// How a mail server begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Implicit,
    StartTls,
    /// STARTTLS is not offered: somebody in between took it out.
    Plain,
    /// More is said with the answer to STARTTLS: somebody in between put it in.
    Injected,
}

async fn mail_server(authority: &Authority, manner: Manner) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, acceptor) = (Heard::default(), acceptor(authority));
    let hears = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_mail(stream, acceptor.clone(), manner, hears.clone()));
        }
    });
    (port, heard)
}

async fn serve_mail(stream: TcpStream, acceptor: TlsAcceptor, manner: Manner, heard: Heard) {
    if manner == Manner::Implicit {
        if let Ok(stream) = acceptor.accept(stream).await {
            talk(BufReader::new(stream), "AUTH LOGIN PLAIN", true, &heard).await;
        }
        return;
    }
    let offer = if manner == Manner::Plain { "AUTH PLAIN" } else { "STARTTLS" };
    let Some(mut stream) = talk(BufReader::new(stream), offer, true, &heard).await else { return };
    let answer: &[u8] = if manner == Manner::Injected { b"220 go\r\n250 x\r\n" } else { b"220 go\r\n" };
    stream.write_all(answer).await.unwrap();
    if let Ok(stream) = acceptor.accept(stream.into_inner()).await {
        talk(BufReader::new(stream), "AUTH PLAIN", false, &heard).await;
    }
}

/// Speaks until it is asked for TLS; writes down every line, `tls` before those within.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    offer: &str,
    greet: bool,
    heard: &Heard,
) -> Option<BufReader<S>> {
    if greet {
        stream.write_all(b"220 here\r\n").await.unwrap();
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return None;
        }
        heard.said.lock().unwrap().push(line.trim_end().to_owned());
        let answer = match line.split_whitespace().next().unwrap_or_default() {
            "EHLO" => format!("250-here\r\n250-{offer}\r\n250 8BITMIME\r\n"),
            "STARTTLS" => return Some(stream),
            "AUTH" => "235 in\r\n".to_owned(),
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.unwrap();
                let mut text = String::new();
                while !text.ends_with("\r\n.\r\n") {
                    assert!(stream.read_line(&mut text).await.unwrap() > 0);
                }
                heard.said.lock().unwrap().push(text);
                let code = heard.answers.lock().unwrap().pop_front().unwrap_or(250);
                format!("{code} so\r\n")
            }
            _ => "250 ok\r\n".to_owned(),
        };
        let _gone = stream.write_all(answer.as_bytes()).await;
    }
}

fn webhook(url: &str, authority: &Authority) -> Couriers {
    let config = WebhookConfig {
        url: url.to_owned(),
        ca_pem: authority.pem.clone(),
        key: Zeroizing::new(KEY.to_vec()),
    };
    couriers(&NoticesConfig { webhook: Some(config), mail: None }).unwrap()
}

fn mail(port: u16, authority: &Authority, manner: Manner) -> Couriers {
    let config = MailConfig {
        host: "localhost".into(),
        port,
        tls: if manner == Manner::Implicit { MailTls::Implicit } else { MailTls::StartTls },
        ca_pem: authority.pem.clone(),
        from: "keyward@bank.example".into(),
        login: Some(("robot".into(), Zeroizing::new("hunter2".into()))),
    };
    couriers(&NoticesConfig { webhook: None, mail: Some(config) }).unwrap()
}

async fn telling(couriers: Couriers) -> World {
    with_rules(World::telling(couriers).await)
}

async fn set_email(world: &World, who: &Somebody, address: &str) -> Result<Vec<u8>, crate::failure::Failure> {
    let fields = Fields::parse([("email".to_owned(), address.to_owned())]).unwrap();
    world.custody.set_profile(&who.caller, &fields, &[]).await
}

/// All that is due, either way.
async fn deliver(custody: &Custody) -> usize {
    let requests = custody.deliver_notices(By::Webhook).await.unwrap();
    requests + custody.deliver_notices(By::Mail).await.unwrap()
}

async fn undelivered(world: &World) -> Vec<Notice> {
    world.custody.store.undelivered_notices(100).await.unwrap()
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = request.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
    line.unwrap().split_once(':').unwrap().1.trim()
}

/// The body, once its signature has verified.
fn verified(request: &str) -> &str {
    let body = request.split_once("\r\n\r\n").unwrap().1;
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    mac.update(format!("{}.{body}", header(request, "keyward-timestamp")).as_bytes());
    assert_eq!(header(request, "keyward-signature"), format!("v1={}", hex(&mac.finalize().into_bytes())));
    body
}

#[tokio::test]
async fn an_appointment_and_an_opened_recovery_are_posted_once_signed_and_without_names() {
    let authority = Authority::new();
    let (url, heard) = receiver(&authority).await;
    let (world, alice, bob) = trusting_in(telling(webhook(&url, &authority)).await).await;
    assert_eq!(deliver(&world.custody).await, 1);
    let lost = opened(&world, &bob).await;
    assert_eq!(deliver(&world.custody).await, 1);
    assert_eq!(deliver(&world.custody).await, 0);
    let heard = heard.all();
    assert_eq!(heard.len(), 2);
    assert!(heard[0].starts_with("POST /told?by=keyward HTTP/1.1\r\n"), "{}", heard[0]);
    let told = verified(&heard[0]);
    assert!(told.contains(r#""kind":"delegates-appointed""#), "{told}");
    let told = verified(&heard[1]);
    let expected = format!(
        r#"{{"id":"{}","account":"{}","kind":"recovery-opened","subject":"{}","since_unix_ms":{},"until_unix_ms":{}}}"#,
        header(&heard[1], "keyward-notice"),
        hex(&alice.account()),
        hex(&lost.case(&world).id),
        1_000_000 + DAY_MS,
        1_000_000 + 2 * DAY_MS,
    );
    assert_eq!(told, expected);
    assert!(heard.iter().all(|request| !request.contains("alice") && !request.contains("bob")));
}

#[tokio::test]
async fn a_failed_request_is_made_again_later_also_after_a_restart_and_never_after_success() {
    let authority = Authority::new();
    let (url, heard) = receiver(&authority).await;
    heard.answer(&[500, 302]);
    let (mut world, _, _) = trusting_in(telling(webhook(&url, &authority)).await).await;
    assert_eq!(deliver(&world.custody).await, 0);
    assert_eq!(deliver(&world.custody).await, 0, "not at once");
    assert_eq!(heard.all().len(), 1);
    world = world.restart().await;
    world.pass_ms(HOUR_MS);
    assert_eq!(deliver(&world.custody).await, 0, "a redirection is no success");
    assert_eq!(heard.all().len(), 2, "and nobody follows it");
    world.pass_ms(HOUR_MS);
    assert_eq!(deliver(&world.custody).await, 1);
    world = world.restart().await;
    world.pass_ms(HOUR_MS);
    world.custody.look_at_accounts([0; 32]).await.unwrap();
    assert_eq!(deliver(&world.custody).await, 0);
    let ids: Vec<_> =
        heard.all().iter().map(|request| header(request, "keyward-notice").to_owned()).collect();
    assert_eq!((ids.len(), &ids[0], &ids[1]), (3, &ids[1], &ids[2]), "one id for one thing");
}

#[tokio::test]
async fn a_try_that_nobody_heard_the_end_of_is_made_again() {
    let authority = Authority::new();
    let (url, heard) = receiver(&authority).await;
    let (mut world, _, _) = trusting_in(telling(webhook(&url, &authority)).await).await;
    let due = world.custody.store.due_notices(true, u64::MAX / 4, 9).await.unwrap().remove(0);
    let taken = keyward_store::Change::TakeNotice {
        id: due.id,
        from_ms: due.next_ms,
        next_ms: world.clock.0.load(std::sync::atomic::Ordering::Relaxed) + 180_000,
    };
    world.custody.store.apply(vec![taken]).await.unwrap();
    world = world.restart().await;
    assert_eq!(deliver(&world.custody).await, 0, "it may be under way");
    world.pass_ms(180_000);
    assert_eq!(deliver(&world.custody).await, 1);
    assert_eq!(heard.all().len(), 1);
}

#[tokio::test]
async fn a_certificate_of_another_authority_hears_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (url, heard) = receiver(&other).await;
    let (world, _, _) = trusting_in(telling(webhook(&url, &authority)).await).await;
    assert_eq!(deliver(&world.custody).await, 0);
    let (port, mails) = mail_server(&other, Manner::Implicit).await;
    let (letters, _, _) = trusting_in(telling(mail(port, &authority, Manner::Implicit)).await).await;
    assert_eq!(deliver(&letters.custody).await, 0);
    assert_eq!((heard.all().len(), mails.all().len()), (0, 0));
    let waits = undelivered(&world).await;
    assert_eq!((waits.len(), waits[0].state, waits[0].tries), (1, State::Waiting, 1));
}

#[tokio::test]
async fn two_servers_tell_once() {
    let authority = Authority::new();
    let (url, heard) = receiver(&authority).await;
    let (world, _, bob) = trusting_in(telling(webhook(&url, &authority)).await).await;
    deliver(&world.custody).await;
    opened(&world, &bob).await;
    let second = world.beside().await;
    second.look_at_accounts([0; 32]).await.unwrap();
    let (one, two) = tokio::join!(deliver(&world.custody), deliver(&second));
    assert_eq!(one + two, 1);
    assert_eq!(heard.all().len(), 2);
}

#[tokio::test]
async fn what_other_services_hand_in_is_found_account_by_account() {
    let authority = Authority::new();
    let (url, heard) = receiver(&authority).await;
    let (world, alice, bob) = trusting_in(telling(webhook(&url, &authority)).await).await;
    deliver(&world.custody).await;
    let lost = lost(&world, "alice", "staple").await.unwrap();
    let entry = Entry::decode(&signed(&world, lost.open(), &[&bob])).unwrap();
    world.ledger.record(entry);
    let revoke = DelegationAct::Revoke { rule: rule(bob.account()), version: 1 };
    assert_eq!(deliver(&world.custody).await, 0);
    assert_eq!(world.custody.look_at_accounts([0; 32]).await.unwrap(), [0; 32], "all of them were looked at");
    assert_eq!(deliver(&world.custody).await, 1);
    assert!(verified(&heard.all()[1]).contains(&hex(&alice.account())));
    // A revocation that does not stand waits for nothing.
    let entry = Entry::decode(&signed(&world, revoke, &[&bob])).unwrap();
    world.ledger.record(entry);
    world.custody.look_at_accounts([0; 32]).await.unwrap();
    assert_eq!(deliver(&world.custody).await, 0);
}

#[tokio::test]
async fn mail_goes_to_the_owner_within_tls_and_is_tried_again() {
    let authority = Authority::new();
    for manner in [Manner::StartTls, Manner::Implicit] {
        let (port, heard) = mail_server(&authority, manner).await;
        heard.answer(&[451]);
        let world = telling(mail(port, &authority, manner)).await;
        let alice = Somebody::new(&world, "alice").await;
        set_email(&world, &alice, "alice@home.example").await.unwrap();
        let (world, ..) = trusting_in(world).await;
        assert_eq!(deliver(&world.custody).await, 0);
        world.pass_ms(HOUR_MS);
        assert_eq!(deliver(&world.custody).await, 1);
        let said = heard.all();
        let begins = if manner == Manner::StartTls { vec!["EHLO bank.example", "STARTTLS"] } else { vec![] };
        let expected = [
            &begins[..],
            &[
                "EHLO bank.example",
                "AUTH PLAIN AHJvYm90AGh1bnRlcjI=",
                "MAIL FROM:<keyward@bank.example>",
                "RCPT TO:<alice@home.example>",
                "DATA",
            ],
        ]
        .concat();
        assert_eq!(said[..expected.len()], expected);
        let text = &said[expected.len()];
        assert!(text.contains("To: <alice@home.example>\r\n") && text.contains("Account `alice`."), "{text}");
        assert!(text.contains("+0000\r\nMessage-ID: <"), "{text}");
        assert!(text.is_ascii() && text.lines().all(|line| line.len() < 990));
        let row = undelivered(&world).await;
        assert_eq!(row, [], "its address is gone with it");
    }
}

#[tokio::test]
async fn without_tls_no_mail_is_handed_over() {
    let authority = Authority::new();
    for manner in [Manner::Plain, Manner::Injected] {
        let (port, heard) = mail_server(&authority, manner).await;
        let world = telling(mail(port, &authority, manner)).await;
        let alice = Somebody::new(&world, "alice").await;
        set_email(&world, &alice, "alice@home.example").await.unwrap();
        let (world, ..) = trusting_in(world).await;
        assert_eq!(deliver(&world.custody).await, 0);
        let said = heard.all();
        assert!(said.iter().all(|line| line.starts_with("EHLO") || line == "STARTTLS"), "{said:?}");
        assert_eq!(undelivered(&world).await[0].state, State::Waiting);
    }
}

#[tokio::test]
async fn an_owner_without_an_address_is_shown_to_operators_and_to_nobody_else() {
    let authority = Authority::new();
    let (port, heard) = mail_server(&authority, Manner::StartTls).await;
    let (world, alice, _) = trusting_in(telling(mail(port, &authority, Manner::StartTls)).await).await;
    let operator = world.caller("keyward://operator/ops").await;
    let shown = world.custody.undelivered_notices(&operator).await.unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!(
        (shown[0].account, shown[0].state, shown[0].channel),
        (alice.account(), State::GivenUp, Channel::Mail)
    );
    assert_eq!(code(world.custody.undelivered_notices(&alice.caller).await), Code::NotAllowed);
    assert_eq!(deliver(&world.custody).await, 0);
    assert_eq!(heard.all().len(), 0);
}

#[tokio::test]
async fn a_notice_is_given_up_long_after_it_took_effect() {
    let authority = Authority::new();
    let (url, heard) = receiver(&authority).await;
    heard.answer(&[500; 9]);
    let (world, ..) = trusting_in(telling(webhook(&url, &authority)).await).await;
    world.pass_ms(6 * DAY_MS);
    deliver(&world.custody).await;
    assert_eq!(undelivered(&world).await[0].state, State::Waiting);
    world.pass_ms(2 * DAY_MS);
    deliver(&world.custody).await;
    assert_eq!(undelivered(&world).await[0].state, State::GivenUp);
    world.pass_ms(DAY_MS);
    deliver(&world.custody).await;
    assert_eq!(heard.all().len(), 2);
}

#[tokio::test]
async fn another_address_is_told_to_both_and_held_and_none_is_set_during_a_recovery() {
    let authority = Authority::new();
    let (port, heard) = mail_server(&authority, Manner::StartTls).await;
    let world = telling(mail(port, &authority, Manner::StartTls)).await;
    let alice = Somebody::new(&world, "alice").await;
    set_email(&world, &alice, "old@home.example").await.unwrap();
    assert_eq!(undelivered(&world).await, [], "a first address is nothing to tell of");
    let (world, alice, bob) = trusting_in(world).await;
    deliver(&world.custody).await;
    let told = |heard: &Heard, word: &str| {
        heard.all().iter().filter(|line| line.starts_with("RCPT") && line.contains(word)).count()
    };
    assert_eq!((told(&heard, "old@"), told(&heard, "new@")), (1, 0));
    let alice = Somebody { caller: Somebody::new(&world, "alice").await.caller, ..alice };
    set_email(&world, &alice, "new@thief.example").await.unwrap();
    let kinds: Vec<_> = undelivered(&world).await.iter().map(|row| row.kind).collect();
    assert_eq!(kinds, [Kind::ContactChanged; 2]);
    assert_eq!(deliver(&world.custody).await, 2);
    assert_eq!((told(&heard, "old@"), told(&heard, "new@")), (2, 1));
    assert_eq!(code(set_email(&world, &alice, "other@thief.example").await), Code::ContactHeld);
    // Whatever waits now is told to both.
    opened(&world, &bob).await;
    assert_eq!(deliver(&world.custody).await, 2);
    assert_eq!((told(&heard, "old@"), told(&heard, "new@")), (3, 2));
    assert_eq!(code(set_email(&world, &alice, "old@home.example").await), Code::RecoveryOpen);
    assert_eq!(code(world.custody.erase_profile(&alice.caller, "", &[]).await), Code::RecoveryOpen);
}

#[tokio::test]
async fn who_erases_an_address_has_it_told_a_last_time() {
    let authority = Authority::new();
    let (port, heard) = mail_server(&authority, Manner::StartTls).await;
    let world = telling(mail(port, &authority, Manner::StartTls)).await;
    let alice = Somebody::new(&world, "alice").await;
    set_email(&world, &alice, "alice@home.example").await.unwrap();
    world.custody.erase_profile(&alice.caller, "", &[]).await.unwrap();
    assert_eq!(deliver(&world.custody).await, 1);
    assert!(heard.all().iter().any(|line| line.contains("RCPT TO:<alice@home.example>")));
    let revoke = DelegationAct::Revoke { rule: rule(alice.account()), version: 1 };
    let entry = signed(&world, revoke, &[&alice]);
    assert_eq!(
        code(hand_in(&world, &alice, HandedIn::Revoke, &entry, None).await),
        Code::DelegationNotInForce
    );
    assert_eq!(undelivered(&world).await, []);
}

#[tokio::test]
async fn a_change_that_holds_is_told_no_more_and_a_newer_one_takes_its_place() {
    let authority = Authority::new();
    let (url, heard) = receiver(&authority).await;
    let world = telling(webhook(&url, &authority)).await;
    let (alice, bob) = (Somebody::new(&world, "alice").await, Somebody::new(&world, "bob").await);
    for version in [1, 2] {
        let act = appointment_of(alice.account(), version, terms(&[&bob]));
        let entry = signed(&world, act, &[&alice]);
        hand_in(&world, &alice, HandedIn::Appoint, &entry, None).await.unwrap();
    }
    assert_eq!(deliver(&world.custody).await, 1);
    assert_eq!(undelivered(&world).await.iter().map(|row| row.state).collect::<Vec<_>>(), [State::GivenUp]);
    world.pass_ms(40 * DAY_MS);
    let now_ms = world.clock.0.load(std::sync::atomic::Ordering::Relaxed);
    world.custody.store.prune(now_ms, now_ms).await.unwrap();
    assert_eq!(undelivered(&world).await, [], "what was told is forgotten");
    world.custody.look_at_accounts([0; 32]).await.unwrap();
    assert_eq!((deliver(&world.custody).await, heard.all().len()), (0, 1));
}
