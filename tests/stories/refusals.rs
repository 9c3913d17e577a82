//! Bad input through the network: each has its own typed refusal, and changes nothing.

use std::fs;

use keyward_ledger_core::{batch::Batch, ed25519::SigningKey, entry::Entry, hash::Hash};
use keyward_proto::ledger::{
    GetRecordRequest, StatusRequest, SubmitRequest, SubmitResponse, get_record_request::By,
    ledger_client::LedgerClient,
};
use tonic::{
    Code, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::support::{
    authority::Authority,
    cluster::{Cluster, submitter},
    keyward::{Keyward, shared},
    samples::samples,
};

type Rpc = LedgerClient<Channel>;

/// A raw channel, with or without a certificate.
async fn channel(
    address: &str,
    ca: &str,
    identity: Option<(&str, &str)>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    if let Some((certificate, key)) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Endpoint::from_shared(address.to_owned())?.tls_config(tls)?.connect().await
}

async fn raw(cluster: &Cluster, node: usize) -> Rpc {
    let (certificate, key) = cluster.authority.client("keyward://service/story");
    let channel =
        channel(&cluster.rpc_address(node), &cluster.authority.pem, Some((&certificate, &key))).await;
    Rpc::new(channel.unwrap())
}

async fn submit(rpc: &mut Rpc, batch: &[u8]) -> Result<SubmitResponse, Status> {
    let request = SubmitRequest { batch: batch.to_vec().into(), wait: true };
    rpc.submit(request).await.map(tonic::Response::into_inner)
}

fn refusal(result: Result<SubmitResponse, Status>) -> (Code, String) {
    let status = result.expect_err("it is refused");
    let code = status.metadata().get("keyward-code").map(|code| code.to_str().unwrap().to_owned());
    assert!(!status.message().is_empty());
    (status.code(), code.expect("every refusal has a stable code"))
}

fn batch(chain_id: Hash, sequence: u64, not_after: u64, text: &str, key: &SigningKey) -> Vec<u8> {
    let entries = vec![Entry::Note(text.as_bytes().to_vec()).encode()];
    Batch { chain_id, sequence, not_after, entries }.sign(key).unwrap().bytes().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_batches_of_every_length_get_their_own_refusal_and_change_nothing() {
    let cluster = Cluster::start(256).await;
    let mut rpc = raw(&cluster, 0).await;
    let chain = *cluster.genesis.chain_id();
    let good = batch(chain, 1, 4000, "good", &submitter(0));
    submit(&mut rpc, &good).await.unwrap();
    let height = rpc.status(StatusRequest {}).await.unwrap().into_inner().height;

    let next = batch(chain, 2, 4000, "next", &submitter(0));
    for length in 0..next.len() {
        let cut = refusal(submit(&mut rpc, &next[..length]).await);
        assert_eq!(cut, (Code::InvalidArgument, "BATCH_MALFORMED".into()), "{length} bytes");
    }
    let longer = refusal(submit(&mut rpc, &[&next[..], &[0]].concat()).await);
    assert_eq!(longer.1, "BATCH_MALFORMED");
    let huge = refusal(submit(&mut rpc, &vec![1; (1 << 20) + 1]).await);
    assert_eq!(huge.1, "BATCH_MALFORMED");
    let allowed = [
        "BATCH_MALFORMED",
        "BATCH_SIGNATURE_INVALID",
        "WRONG_CHAIN",
        "SUBMITTER_UNKNOWN",
        "SEQUENCE_TOO_FAR",
        "BATCH_EXPIRED",
        "BATCH_REFUSED",
    ];
    for index in 0..next.len() {
        let mut flipped = next.clone();
        flipped[index] ^= 1;
        let (_, code) = refusal(submit(&mut rpc, &flipped).await);
        assert!(allowed.contains(&&*code), "byte {index}: {code}");
    }

    let stranger = SigningKey::from_seed(&[9; 32]);
    let cases = [
        (batch([7; 32], 2, 4000, "chain", &submitter(0)), Code::InvalidArgument, "WRONG_CHAIN"),
        (batch(chain, 1, 4000, "stranger", &stranger), Code::PermissionDenied, "SUBMITTER_UNKNOWN"),
        (batch(chain, 1, 4000, "conflict", &submitter(0)), Code::AlreadyExists, "SEQUENCE_CONFLICT"),
        (batch(chain, 1 << 40, 4000, "far", &submitter(0)), Code::FailedPrecondition, "SEQUENCE_TOO_FAR"),
        (batch(chain, 2, height, "expired", &submitter(0)), Code::FailedPrecondition, "BATCH_EXPIRED"),
    ];
    for (bytes, status, code) in cases {
        assert_eq!(refusal(submit(&mut rpc, &bytes).await), (status, code.to_owned()));
    }
    let mut forged = next.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(
        refusal(submit(&mut rpc, &forged).await),
        (Code::Unauthenticated, "BATCH_SIGNATURE_INVALID".into())
    );

    let status = rpc.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.log_size, status.pool_batches), (1, 0), "nothing of it was recorded or pooled");
    submit(&mut rpc, &next).await.unwrap();
    assert_eq!(rpc.status(StatusRequest {}).await.unwrap().into_inner().log_size, 2);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_entry_is_recorded_as_refused_and_unknown_records_are_not_found() {
    let cluster = Cluster::start(256).await;
    let client = cluster.client(&[0, 1, 2, 3]).await;
    let chain = *cluster.genesis.chain_id();
    let entry = Entry::FreezeKey { key_id: keyward_ledger_core::scheme::KeyId([3; 32]) }.encode();
    let mut entries: Vec<_> = (0..entry.len()).map(|length| entry[..length].to_vec()).collect();
    entries.push([&entry[..], &[0]].concat());
    let count = entries.len();
    let signed = Batch { chain_id: chain, sequence: 1, not_after: 4000, entries }.sign(&submitter(0));
    match signed {
        Ok(signed) => {
            let recorded = client.submit(&signed).await.unwrap();
            assert_eq!(recorded.len(), count);
            for record in &recorded {
                assert!(!record.outcome.is_accepted());
                assert!(
                    ["ENTRY_MALFORMED", "ENTRY_KIND_UNKNOWN"].contains(&record.outcome.name()),
                    "{:?}",
                    record.outcome
                );
            }
        }
        Err(error) => panic!("a batch carries entries of any form: {error}"),
    }
    let mut rpc = raw(&cluster, 1).await;
    let by = |by| GetRecordRequest { by };
    let missing = rpc.get_record(by(Some(By::LeafIndex(1 << 40)))).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let nameless = rpc.get_record(by(None)).await.unwrap_err();
    assert_eq!(nameless.code(), Code::InvalidArgument);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_of_the_authority_the_handshake_ends_at_every_validator() {
    let keyward = tokio::task::spawn_blocking(shared).await.unwrap();
    let (ca, certificate, key) = keyward.identity("auditor");
    let (stranger, strangers_key) = Authority::new().client("keyward://auditor/local-auditor");
    for node in keyward.nodes() {
        for identity in [None, Some((&*stranger, strangers_key.as_str()))] {
            // The connection ends before anything is answered; closing can overtake the alert that says why.
            let Ok(channel) = channel(&node, &ca, identity).await else { continue };
            let status =
                Rpc::new(channel).status(StatusRequest {}).await.expect_err("strangers get no answer");
            assert!(status.metadata().get("keyward-code").is_none(), "no validator said this: {status:?}");
            let source = std::error::Error::source(&status).expect("the transport said it");
            assert!(source.is::<tonic::transport::Error>(), "{status:?}");
        }
        let channel = channel(&node, &ca, Some((&certificate, key.as_str()))).await.unwrap();
        Rpc::new(channel).status(StatusRequest {}).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_the_service_answers_nothing_but_registration_login_and_health() {
    let keyward = tokio::task::spawn_blocking(shared).await.unwrap();
    let (ca_pem, ..) = keyward.identity("app");
    let connection = keyward_client::Connection { address: keyward.service(), ca_pem, identity: None };
    let client = keyward_client::Client::connect(&connection).await.unwrap();
    let code = |error: keyward_client::ClientError| error.code().map(str::to_owned);
    let required = Some("CLIENT_CERTIFICATE_REQUIRED".to_owned());
    assert_eq!(code(client.sign_message("payroll", b"x").await.unwrap_err()), required);
    assert_eq!(code(client.list_keys().await.unwrap_err()), required);
    assert_eq!(code(client.show_key("payroll").await.unwrap_err()), required);
    assert_eq!(code(client.list_tokens().await.unwrap_err()), required);
    assert_eq!(code(client.status().await.unwrap_err()), required);
    assert_eq!(code(client.show_account().await.unwrap_err()), required);
}

#[test]
fn a_strangers_certificate_gets_no_answer_and_the_command_line_says_what_to_do_next() {
    let keyward = shared();
    let profile = strangers_profile(keyward);
    let message = keyward.write("for-strangers", "pay");
    for arguments in
        [&["sign", "--key", "payroll", &message][..], &["ledger", "status"], &["ledger", "get", "0"]]
    {
        let answer = keyward.run_with(&profile, arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(3), ""), "{answer:?}");
        assert!(answer.err.contains("next: "), "{answer:?}");
    }
}

/// A profile with a certificate that somebody else's authority issued.
fn strangers_profile(keyward: &Keyward) -> std::path::PathBuf {
    let folder = keyward.dir().join("profiles/stranger");
    fs::create_dir_all(&folder).unwrap();
    let (certificate, key) = Authority::new().client("keyward://app/local-app");
    fs::copy(keyward.profile("app").join("profile.toml"), folder.join("profile.toml")).unwrap();
    fs::write(folder.join("certificate.pem"), certificate).unwrap();
    fs::write(folder.join("key.pem"), key.as_bytes()).unwrap();
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(folder.join("key.pem"), owner_only).unwrap();
    folder
}

#[test]
fn bad_input_on_the_command_line_is_refused_by_name_and_changes_nothing() {
    let keyward = shared();
    keyward.json(&["key", "create", "--alias", "refusals", "--scheme", "ecdsa-p256"]);
    keyward.json(&["key", "create", "--alias", "refusals-frozen", "--scheme", "ed25519"]);
    keyward.json(&["key", "freeze", "refusals-frozen"]);
    let of_the_operator = samples().last().unwrap().public_key.id().to_string();
    let message = keyward.write("refusals.message", "pay");
    let short = keyward.write("refusals.digest", [7; 31]);
    let wrong_pin = keyward.write("refusals.pin", "not the pin\n");
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&wrong_pin, owner_only).unwrap();
    let link = ["token", "link", "--scheme", "ecdsa-p256", "--alias", "refusals-link", "--pin-file"];
    let pin = keyward.dir().join("token.pin").to_str().unwrap().to_owned();
    let none = ["--token", "no-such-token", "--label", "sample-p256"];
    let nothing = ["--token", "keyward-local", "--label", "no-such-key"];
    let sample = ["--token", "keyward-local", "--label", "sample-p256"];
    let cases: Vec<(&str, Vec<&str>, i32, &str)> = vec![
        ("app", vec!["sign", "--key", "refusals", "--digest", &short], 2, "DIGEST_LENGTH"),
        ("app", vec!["sign", "--key", "no-such-key", &message], 1, "KEY_UNKNOWN"),
        ("app", vec!["sign", "--key", &of_the_operator, &message], 1, "KEY_UNKNOWN"),
        ("app", vec!["sign", "--key", "refusals-frozen", &message], 1, "KEY_FROZEN"),
        ("app", vec!["key", "unfreeze", "refusals-frozen"], 1, "NOT_ALLOWED"),
        ("app", vec!["key", "create", "--alias", "refusals", "--scheme", "ed25519"], 1, "ALIAS_TAKEN"),
        ("operator", [&link[..], &[&pin], &sample[..]].concat(), 1, "KEY_ALREADY_BOUND"),
        ("app", vec!["key", "create", "--alias", "refusals-2", "--scheme", "morse"], 2, "SCHEME_UNKNOWN"),
        (
            "app",
            vec!["key", "create", "--alias", "refusals-2", "--scheme", "rsa-pss"],
            1,
            "SCHEME_NOT_HOSTED",
        ),
        ("operator", [&link[..], &[&wrong_pin], &sample[..]].concat(), 1, "PIN_WRONG"),
        ("operator", [&link[..], &[&pin], &none[..]].concat(), 1, "TOKEN_MISSING"),
        ("operator", [&link[..], &[&pin], &nothing[..]].concat(), 1, "TOKEN_KEY_MISSING"),
        ("auditor", vec!["ledger", "get", "4000000000"], 1, "RECORD_UNKNOWN"),
        ("app", vec!["ledger", "get", "0"], 1, "READ_NOT_ALLOWED"),
        ("app", vec!["ledger", "tail", "--from", "1"], 1, "READ_NOT_ALLOWED"),
    ];
    // Other stories make keys here at the same time.
    let keys = || ["app", "operator"].map(|role| named(keyward, role, "refusals"));
    let before = keys();
    for (role, arguments, exit, code) in cases {
        let answer = keyward.run_as(role, &arguments);
        assert_eq!((answer.code, answer.refusal().as_str()), (Some(exit), code), "{arguments:?}: {answer:?}");
        assert!(answer.err.contains("next: "), "{answer:?}");
    }
    assert_eq!(keys(), before);
}

/// What is listed of the keys whose aliases begin with `prefix`.
fn named(keyward: &Keyward, role: &str, prefix: &str) -> Vec<serde_json::Value> {
    let listed = keyward.json_as(role, &["key", "list"]);
    let is_named = |key: &&serde_json::Value| key["alias"].as_str().unwrap().starts_with(prefix);
    listed["keys"].as_array().unwrap().iter().filter(is_named).cloned().collect()
}
