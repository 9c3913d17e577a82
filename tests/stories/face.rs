//! The ledger's face: who may read what, what became of a batch, following without gaps, and bounds.

use std::time::Duration;

use bytes_of::{Raw, RawCodec};
use keyward_ledger_client::{Client, ClientError, Committer, LEAVES_MAX, Progress};
use keyward_ledger_core::{
    batch::{Batch, SignedBatch},
    block::Block,
    entry::Entry,
    state::layout,
};
use keyward_proto::ledger::{
    FollowRequest, GetBlockRequest, GetGenesisRequest, GetRecordRequest, GetStateRequest, OutcomeRequest,
    ReadRequest, StatusRequest, get_record_request::By, ledger_client::LedgerClient,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::support::{
    Random,
    cluster::{Cluster, submitter},
    keyward::PATIENCE,
    line::Line,
    until,
};

#[path = "support/bytes_of.rs"]
mod bytes_of;

type Rpc = LedgerClient<Channel>;

fn note(text: &str) -> Entry {
    Entry::Note(text.as_bytes().to_vec())
}

fn batch(client: &Client, n: u8, sequence: u64, not_after: u64, text: &str) -> SignedBatch {
    let entries = vec![note(text).encode(), note("and another").encode()];
    Batch { chain_id: client.chain_id(), sequence, not_after, entries }.sign(&submitter(n)).unwrap()
}

async fn channel(cluster: &Cluster, node: usize, principal: &str) -> Channel {
    let (certificate, key) = cluster.authority.client(principal);
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&cluster.authority.pem))
        .identity(Identity::from_pem(certificate, key.as_str()));
    let endpoint = Endpoint::from_shared(cluster.rpc_address(node)).unwrap().tls_config(tls).unwrap();
    endpoint.connect().await.unwrap()
}

fn code(status: &Status) -> &str {
    status.metadata().get("keyward-code").map_or("", |code| code.to_str().unwrap())
}

/// What each kind of read answers: `None` when it is served, else the code.
async fn reads(rpc: &mut Rpc) -> Vec<(&'static str, Option<String>)> {
    fn said<T>(answer: Result<T, Status>) -> Option<String> {
        answer.err().map(|status| code(&status).to_owned())
    }
    let state = |key: Vec<u8>| GetStateRequest { key: key.into() };
    let id = keyward_ledger_core::scheme::KeyId([1; 32]);
    vec![
        ("genesis", said(rpc.get_genesis(GetGenesisRequest {}).await)),
        ("status", said(rpc.status(StatusRequest {}).await)),
        ("parameters", said(rpc.get_state(state(layout::parameters_key())).await)),
        ("validators", said(rpc.get_state(state(layout::validators_key())).await)),
        ("submitter", said(rpc.get_state(state(layout::submitter_key(&[1; 32]))).await)),
        ("key", said(rpc.get_state(state(layout::key_key(&id))).await)),
        ("account", said(rpc.get_state(state(layout::account_key(&[1; 32]))).await)),
        ("credential", said(rpc.get_state(state(layout::credential_key(&[1; 32]))).await)),
        ("intent", said(rpc.get_state(state(layout::intent_key(&[1; 32]))).await)),
        ("batch", said(rpc.get_state(state(layout::batch_key(&[1; 32], 1))).await)),
        ("strange state", said(rpc.get_state(state(b"what comes later".to_vec())).await)),
        ("block", said(rpc.get_block(GetBlockRequest { height: 1 }).await)),
        ("record", said(rpc.get_record(GetRecordRequest { by: Some(By::LeafIndex(0)) }).await)),
        ("follow", said(rpc.follow(FollowRequest { from_height: 1 }).await)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_reads_what_it_may_and_refused_reads_are_typed_and_counted() {
    let cluster = Cluster::start(256).await;
    let service = cluster.client(&[0]).await;
    let committer = Committer::start(service, submitter(0)).await.unwrap();
    committer.commit(&note("something to read")).await.unwrap();
    let public = ["genesis", "status", "parameters", "validators", "submitter"];
    let custody = ["account", "credential", "intent", "batch", "strange state"];
    let records = ["block", "record", "follow"];
    let roles: [(&str, &[&[&str]]); 9] = [
        ("keyward://node/node-1", &[&public, &["key"], &custody, &records]),
        ("keyward://service/custody", &[&public, &["key"], &custody, &records]),
        ("keyward://auditor/ada", &[&public, &["key"], &custody, &records]),
        ("keyward://officer/olga", &[&public, &["key"], &custody]),
        ("keyward://operator/oscar", &[&public, &["key"]]),
        ("keyward://agent/desk", &[&public, &["key"]]),
        ("keyward://app/shop", &[&public, &["key"]]),
        ("keyward://king/arthur", &[&public]),
        ("https://elsewhere/auditor", &[&public]),
    ];
    for (principal, served) in roles {
        let mut rpc = Rpc::new(channel(&cluster, 0, principal).await);
        let served: Vec<_> = served.iter().copied().flatten().copied().collect();
        for (what, refused) in reads(&mut rpc).await {
            let expected = (!served.contains(&what)).then(|| "READ_NOT_ALLOWED".to_owned());
            assert_eq!(refused, expected, "{principal} reads {what}");
        }
    }
    let status = |principal: &'static str| {
        let cluster = &cluster;
        async move {
            let mut rpc = Rpc::new(channel(cluster, 0, principal).await);
            rpc.status(StatusRequest {}).await.unwrap().into_inner().operation
        }
    };
    for stranger in ["keyward://app/shop", "keyward://service/custody", "keyward://king/arthur"] {
        assert!(status(stranger).await.is_none(), "{stranger}");
    }
    for reader in ["keyward://operator/oscar", "keyward://auditor/ada", "keyward://node/node-1"] {
        let counts = status(reader).await.unwrap().refused_reads;
        let count = |role: &str, class: &str| {
            counts
                .iter()
                .find(|read| (&*read.role, &*read.class) == (role, class))
                .map_or(0, |read| read.count)
        };
        assert_eq!((count("app", "custody"), count("app", "records")), (5, 3));
        assert_eq!((count("nobody", "standing"), count("nobody", "custody")), (2, 10));
        assert_eq!((count("officer", "records"), count("officer", "custody")), (3, 0));
        assert_eq!(counts.iter().map(|read| read.count).sum::<u64>(), 3 + 3 * 8 + 2 * 9);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_values_read_at_once_are_of_one_height_and_need_every_right() {
    let cluster = Cluster::start(256).await;
    let client = cluster.client(&[0]).await;
    let committer = Committer::start(client.clone(), submitter(0)).await.unwrap();
    let recorded = committer.commit(&note("something to read")).await.unwrap();
    let (public, custody) = (layout::parameters_key(), layout::account_key(&[1; 32]));
    let keys = [public.clone(), custody.clone()];
    let read = client.read(&[u64::MAX, recorded.leaf_index], &keys).await.unwrap();
    assert!(read.records[0].is_none(), "the log does not reach so far");
    assert_eq!(read.records[1].as_ref().unwrap().record(), recorded.record());
    assert_eq!((read.values[0].is_some(), read.values[1].is_some()), (true, false));
    assert!(read.height >= recorded.height);

    let (few, many) = (vec![0], vec![0; LEAVES_MAX + 1]);
    type Asked<'a> = (&'a str, &'a [u64], &'a [&'a Vec<u8>], &'a str);
    let asked: [Asked<'_>; 7] = [
        ("keyward://app/shop", &[], &[&public], ""),
        ("keyward://app/shop", &[], &[&public, &custody], "READ_NOT_ALLOWED"),
        ("keyward://app/shop", &few, &[&public], "READ_NOT_ALLOWED"),
        ("keyward://officer/olga", &[], &[&custody, &public], ""),
        ("keyward://officer/olga", &few, &[&custody], "READ_NOT_ALLOWED"),
        ("keyward://auditor/ada", &few, &[&custody], ""),
        ("keyward://auditor/ada", &many, &[], "REQUEST_MALFORMED"),
    ];
    for (principal, leaf_indices, keys, expected) in asked {
        let mut rpc = Rpc::new(channel(&cluster, 0, principal).await);
        let keys = keys.iter().map(|key| (*key).clone().into()).collect();
        let answer = rpc.read(ReadRequest { leaf_indices: leaf_indices.to_vec(), keys }).await;
        assert_eq!(answer.as_ref().err().map_or("", code), expected, "{principal}: {answer:?}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_handed_in_without_waiting_is_found_by_its_digest_at_every_validator() {
    let mut cluster = Cluster::start(256).await;
    let client = cluster.client(&[0]).await;
    let first = batch(&client, 0, 1, 4000, "first");
    assert!(matches!(client.outcome(&first).await.unwrap(), Progress::Unknown));
    let handed_in = client.hand_in(&first).await.unwrap();
    assert!(matches!(handed_in, Progress::Pending), "{handed_in:?}");
    let mut watched = Box::pin(client.watch(&first).await.unwrap());
    let mut last = None;
    while let Some(progress) = watched.next().await {
        assert!(last.is_none(), "the stream ends when the batch is settled");
        match progress.unwrap() {
            Progress::Final(records) => last = Some(records),
            Progress::Pending => {}
            other => panic!("{other:?}"),
        }
    }
    let records = last.unwrap();
    assert_eq!(records.len(), 2);
    // Again: nothing new is recorded, and the answer is the original one, from everybody, after a restart too.
    cluster.stop_node(2).await;
    cluster.start_node(2).await;
    for node in 0..4 {
        let client = cluster.client(&[node]).await;
        let mut found = Vec::new();
        until("the validator to have it final", async || {
            matches!(client.outcome(&first).await, Ok(Progress::Final(_)))
        })
        .await;
        for progress in [client.outcome(&first).await, client.hand_in(&first).await] {
            let Ok(Progress::Final(records)) = progress else { panic!("{progress:?}") };
            found.extend(records.iter().map(|recorded| (recorded.leaf_index, recorded.record().clone())));
        }
        let expected: Vec<_> =
            records.iter().map(|found| (found.leaf_index, found.record().clone())).collect();
        assert_eq!(found, [&expected[..], &expected[..]].concat());
        assert_eq!(client.status().await.unwrap().log_size, 2);
    }
    let other = batch(&client, 0, 1, 4000, "another under the same sequence");
    for refused in [client.outcome(&other).await, client.hand_in(&other).await] {
        assert!(
            matches!(&refused, Err(ClientError::Refused { code, .. }) if code == "SEQUENCE_CONFLICT"),
            "{refused:?}"
        );
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_last_height_passed_is_proven_expired_to_who_watches_and_who_asks() {
    let cluster = Cluster::start(256).await;
    let client = cluster.client(&[0]).await;
    let height = client.status().await.unwrap().height;
    // Never handed in: it expires unseen.
    let unseen = batch(&client, 1, 1, height + 5, "unseen");
    let mut watched = Box::pin(client.watch(&unseen).await.unwrap());
    let first = watched.next().await.unwrap().unwrap();
    assert!(matches!(first, Progress::Unknown | Progress::Expired { proven: true }), "{first:?}");
    if !first.is_settled() {
        let last = watched.next().await.unwrap().unwrap();
        assert!(matches!(last, Progress::Expired { proven: true }), "{last:?}");
    }
    assert!(watched.next().await.is_none());
    assert!(matches!(client.outcome(&unseen).await.unwrap(), Progress::Expired { proven: true }));
    let late = client.hand_in(&unseen).await;
    assert!(matches!(&late, Err(ClientError::Refused { code, .. }) if code == "BATCH_EXPIRED"), "{late:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_followed_from_the_first_without_gaps_while_they_come_in_and_over_restarts() {
    let mut cluster = Cluster::start(16).await;
    let client = cluster.client(&[0, 1, 2]).await;
    let reader = cluster.client(&[3]).await;
    let committer = Committer::start(client, submitter(0)).await.unwrap();
    let mut random = Random::of("following over restarts");
    let (mut next, mut notes) = (1, Vec::new());
    let mut blocks = Box::pin(reader.follow(next).await.unwrap());
    for round in 0..3 {
        for n in 0..10 + random.below(10) {
            committer.commit(&note(&format!("round {round}, note {n}"))).await.unwrap();
        }
        // Reads on for a while, then the validator goes down in the middle of the stream.
        let stop_at = next + random.below(12);
        while next <= stop_at {
            let block = blocks.next().await.unwrap().unwrap();
            assert_eq!(block.block.header().height, next, "no gap and nothing twice");
            notes.extend(block.records.iter().map(|recorded| recorded.record().entry.clone()));
            next += 1;
        }
        cluster.stop_node(3).await;
        committer.commit(&note(&format!("round {round}, while it is away"))).await.unwrap();
        cluster.start_node(3).await;
    }
    let last = committer.commit(&note("the last")).await.unwrap();
    while next <= last.height {
        let block = blocks.next().await.unwrap().unwrap();
        assert_eq!(block.block.header().height, next);
        notes.extend(block.records.iter().map(|recorded| recorded.record().entry.clone()));
        next += 1;
    }
    let mut expected = Vec::new();
    for leaf in 0..=last.leaf_index {
        expected.push(reader.record(leaf).await.unwrap().record().entry.clone());
    }
    assert_eq!(notes, expected, "every record once, in the order of the log");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_opens_a_stream_and_says_nothing_is_left_for_another() {
    let cluster = Cluster::start(64).await;
    let committer = Committer::start(cluster.client(&[1, 2]).await, submitter(0)).await.unwrap();
    committer.commit(&note("first")).await.unwrap();
    let line = Line::to(cluster.rpc_socket(0)).await;
    let nodes = vec![line.address(), cluster.rpc_address(1)];
    let deadline = Duration::from_secs(2);
    let client = cluster.client_at("keyward://auditor/ada", nodes, deadline).await;
    let mut followed = Box::pin(client.follow(1).await.unwrap());
    let mut served = Box::pin(client.served(1).await.unwrap());
    let mut next = 1;
    let mut read_on = async |height: u64| {
        while next <= height {
            let block = followed.next().await.unwrap().unwrap().block;
            assert_eq!(block.header().height, next, "no gap and nothing twice");
            let raw = served.next().await.unwrap().unwrap().block;
            assert_eq!(Block::decode(&raw).unwrap().digest(), block.digest());
            next += 1;
        }
    };
    read_on(client.status().await.unwrap().height).await;
    line.hold();
    let last = committer.commit(&note("while the line is held")).await.unwrap().height;
    read_on(last).await;
    // Nobody is left: the streams end, and say so.
    cluster.stop().await;
    let (followed, served) = tokio::join!(last_of(followed), last_of(served));
    for last in [followed, served] {
        assert!(matches!(last, Some(Err(ClientError::Unreachable { .. }))), "{last:?}");
    }
}

/// What a stream ends with.
async fn last_of<T>(stream: impl Stream<Item = Result<T, ClientError>>) -> Option<Result<(), ClientError>> {
    stream.fold(None, |_, item| Some(item.map(drop))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_opens_so_many_streams_and_no_more_and_others_are_served_meanwhile() {
    let cluster = Cluster::start(256).await;
    let client = cluster.client(&[0]).await;
    let rpc = Rpc::new(channel(&cluster, 0, "keyward://auditor/ada").await);
    // A height that does not come: the streams stay open.
    let follow = || FollowRequest { from_height: 1 << 40 };
    let mut open = Vec::new();
    for _ in 0..keyward_ledger_node::FOLLOWS_PER_CONNECTION_MAX {
        open.push(rpc.clone().follow(follow()).await.unwrap());
    }
    let refused = rpc.clone().follow(follow()).await.unwrap_err();
    assert_eq!((refused.code(), code(&refused)), (Code::ResourceExhausted, "STREAMS_FULL"));
    let batch = batch(&client, 0, 1, u64::MAX, "never handed in");
    let watch = || OutcomeRequest {
        batch_digest: batch.digest().to_vec().into(),
        submitter: batch.submitter().to_vec().into(),
        sequence: 1,
        not_after: u64::MAX,
    };
    let mut watches = Vec::new();
    for _ in 0..keyward_ledger_node::WATCHES_PER_CONNECTION_MAX {
        watches.push(rpc.clone().watch_batch(watch()).await.unwrap());
    }
    let refused = rpc.clone().watch_batch(watch()).await.unwrap_err();
    assert_eq!(code(&refused), "STREAMS_FULL");

    assert!(client.block(1).await.is_ok(), "other calls go on");
    let mut others = Box::pin(cluster.client(&[0]).await.follow(1).await.unwrap());
    assert!(others.next().await.unwrap().is_ok(), "other connections have their own bound");
    open.pop();
    until("the place of a stream that ended to be free", async || rpc.clone().follow(follow()).await.is_ok())
        .await;
    cluster.stop().await;
}

const METHODS: [&str; 9] = [
    "/keyward.ledger.v1.Ledger/Submit",
    "/keyward.ledger.v1.Ledger/Outcome",
    "/keyward.ledger.v1.Ledger/WatchBatch",
    "/keyward.ledger.v1.Ledger/GetRecord",
    "/keyward.ledger.v1.Ledger/GetBlock",
    "/keyward.ledger.v1.Ledger/Follow",
    "/keyward.ledger.v1.Ledger/GetState",
    "/keyward.ledger.v1.Ledger/Status",
    "/keyward.ledger.v1.Ledger/GetGenesis",
];

#[tokio::test(flavor = "multi_thread")]
async fn long_cut_and_random_requests_at_every_call_are_answered_or_refused_by_name() {
    let cluster = Cluster::start(256).await;
    let client = cluster.client(&[0]).await;
    client.submit(&batch(&client, 0, 1, 4000, "before")).await.unwrap();
    let grpc =
        Grpc::new(channel(&cluster, 0, "keyward://auditor/ada").await).max_encoding_message_size(16 << 20);
    let send = async |patience: Duration, path: &'static str, bytes: Vec<u8>| {
        let mut grpc = grpc.clone();
        grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static(path);
        let call = grpc.unary(Request::new(Raw(bytes)), path, RawCodec);
        tokio::time::timeout(patience, call).await
    };
    let known = [
        "BATCH_MALFORMED",
        "REQUEST_MALFORMED",
        "REQUEST_TOO_LONG",
        "RECORD_UNKNOWN",
        "HEIGHT_UNKNOWN",
        "STREAMS_FULL",
    ];
    for path in METHODS {
        let long = send(PATIENCE, path, vec![0; 3 << 20]).await.expect("answered").unwrap_err();
        assert_eq!((long.code(), code(&long)), (Code::OutOfRange, "REQUEST_TOO_LONG"), "{path}");
        // A field that promises more than there is; a wire type that does not exist.
        for bytes in [vec![0x0a, 0xff], vec![0x0a, 0x05, 1, 2], vec![0x0f], vec![0xff; 11]] {
            let refused = send(PATIENCE, path, bytes.clone()).await.expect("answered").unwrap_err();
            assert_eq!(code(&refused), "REQUEST_MALFORMED", "{path} {bytes:?}: {refused:?}");
        }
    }
    let unknown = send(PATIENCE, "/keyward.ledger.v1.Ledger/Forge", Vec::new()).await.unwrap().unwrap_err();
    assert_eq!((unknown.code(), code(&unknown)), (Code::Unimplemented, "METHOD_UNKNOWN"));
    let mut random = Random::of("random requests");
    for round in 0..60 {
        for path in METHODS {
            let length = random.below(80);
            let bytes: Vec<_> = (0..length).map(|_| random.below(256) as u8).collect();
            // A stream that found nothing wrong stays open.
            if let Ok(Err(refused)) = send(Duration::from_millis(300), path, bytes.clone()).await {
                assert!(known.contains(&code(&refused)), "{path} {round} {bytes:?}: {refused:?}");
            }
        }
    }
    // Nothing came of it.
    assert_eq!(client.status().await.unwrap().log_size, 2);
    client.submit(&batch(&client, 0, 2, 4000, "after")).await.unwrap();
    cluster.stop().await;
}
