//! Keepers over real TLS: what is sent is what arrives, and how a broken one is told from one that refuses.

use bytes::Bytes;
use keyward_ledger_client::Identity;
use keyward_proto::custody::{
    ConferRequest, ConferResponse, DepositShareRequest, DepositShareResponse, DrillShareRequest,
    DrillShareResponse, EvaluateAttemptRequest, EvaluateAttemptResponse, ReleaseShareRequest,
    ReleaseShareResponse,
    keepers_server::{Keepers as Service, KeepersServer},
};
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use tonic::{
    Code, Request, Response, Status,
    metadata::MetadataValue,
    transport::{Certificate, Identity as TlsIdentity, Server, ServerTlsConfig, server::TcpIncoming},
};
use zeroize::Zeroizing;

use super::network::Authority;
use crate::{
    adapters::keepers::Channels,
    ports::{KeeperError, Keepers as _, ToKeeper},
    run,
    vaults::relay::ANSWER_BYTES_MAX,
};

/// Says back what came; releases as many bytes as the number asks for.
struct Echo;

#[tonic::async_trait]
impl Service for Echo {
    async fn deposit(
        &self,
        request: Request<DepositShareRequest>,
    ) -> Result<Response<DepositShareResponse>, Status> {
        let certified = request.peer_certs().is_some();
        let DepositShareRequest { sealing, share, signature } = request.into_inner();
        let acknowledgement = [&[u8::from(certified)][..], &sealing, &share, &signature].concat().into();
        Ok(Response::new(DepositShareResponse { acknowledgement }))
    }
    async fn evaluate(
        &self,
        request: Request<EvaluateAttemptRequest>,
    ) -> Result<Response<EvaluateAttemptResponse>, Status> {
        let EvaluateAttemptRequest { leaf_index, element } = request.into_inner();
        let mut refused = Status::new(Code::PermissionDenied, "not yours");
        let code = if leaf_index == 0 { "VAULT_NOT_GRANTED" } else { "" };
        if leaf_index == 1 {
            let answer = [&leaf_index.to_be_bytes()[..], &element].concat().into();
            return Ok(Response::new(EvaluateAttemptResponse { answer }));
        }
        refused.metadata_mut().insert("keyward-code", MetadataValue::from_static(code));
        Err(refused)
    }
    async fn release(
        &self,
        request: Request<ReleaseShareRequest>,
    ) -> Result<Response<ReleaseShareResponse>, Status> {
        let len = request.into_inner().opened_leaf_index as usize;
        Ok(Response::new(ReleaseShareResponse { answer: vec![9; len].into() }))
    }
    async fn confer(&self, _: Request<ConferRequest>) -> Result<Response<ConferResponse>, Status> {
        Err(Status::new(Code::Unimplemented, "between keepers alone"))
    }
    async fn drill(&self, _: Request<DrillShareRequest>) -> Result<Response<DrillShareResponse>, Status> {
        Err(Status::new(Code::Unavailable, "somewhere between"))
    }
}

/// A keeper's address, and channels of a service that it lets in.
async fn serve() -> (String, Channels) {
    run::install_tls_provider();
    let authority = Authority::new();
    let name = SanType::DnsName("localhost".try_into().unwrap());
    let (certificate, key) = authority.issue(vec![name], ExtendedKeyUsagePurpose::ServerAuth);
    let tls = ServerTlsConfig::new()
        .identity(TlsIdentity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(&authority.pem));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = Server::builder().tls_config(tls).unwrap();
    let incoming = TcpIncoming::from(listener);
    let served = server.add_service(KeepersServer::new(Echo)).serve_with_incoming(incoming);
    tokio::spawn(async move { served.await.unwrap() });
    let (certificate_pem, key) = authority.issue(Vec::new(), ExtendedKeyUsagePurpose::ClientAuth);
    let identity = Identity { ca_pem: authority.pem.clone(), certificate_pem, key_pem: Zeroizing::new(key) };
    (format!("https://localhost:{port}"), Channels::new(identity, None))
}

#[tokio::test]
async fn bytes_pass_unchanged_under_the_services_own_certificate() {
    let (address, channels) = serve().await;
    let deposit = ToKeeper::Deposit {
        sealing: Bytes::from_static(b"sealing"),
        share: Bytes::from_static(b"share"),
        signature: [5; 64],
    };
    let answer = channels.ask(address.clone(), deposit).await.unwrap();
    assert_eq!(answer, [b"\x01sealingshare", &[5; 64][..]].concat());
    let evaluate = ToKeeper::Evaluate { leaf_index: 1, element: [6; 32] };
    let answer = channels.ask(address.clone(), evaluate).await.unwrap();
    assert_eq!(answer, [&1_u64.to_be_bytes()[..], &[6; 32]].concat());
    let most = ANSWER_BYTES_MAX as u64;
    let release = ToKeeper::Release { leaf_index: 1, opened_leaf_index: most };
    assert_eq!(channels.ask(address, release).await.unwrap().len(), ANSWER_BYTES_MAX);
}

#[tokio::test]
async fn a_refusal_is_told_from_silence_and_from_garbage() {
    let (address, channels) = serve().await;
    let ask = async |what| channels.ask(address.clone(), what).await.unwrap_err();
    let element = [6; 32];
    match ask(ToKeeper::Evaluate { leaf_index: 0, element }).await {
        KeeperError::Refused { code, message } => {
            assert_eq!((code.as_str(), message.as_str()), ("VAULT_NOT_GRANTED", "not yours"));
        }
        other => panic!("{other:?}"),
    }
    let long = ToKeeper::Release { leaf_index: 1, opened_leaf_index: 2 * ANSWER_BYTES_MAX as u64 };
    assert!(matches!(ask(long).await, KeeperError::Malformed { .. }));
    let drill = || ToKeeper::Drill { account: [1; 32], vault: [2; 32], nonce: [3; 32] };
    assert!(matches!(ask(drill()).await, KeeperError::Silent { .. }));
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for address in [format!("https://localhost:{gone}"), address.replace("https", "http"), "x".into()] {
        let silent = channels.ask(address.clone(), drill()).await;
        assert!(matches!(silent, Err(KeeperError::Silent { .. })), "{address}: {silent:?}");
    }
}

#[tokio::test]
async fn a_stranger_at_the_keepers_address_is_not_asked() {
    let (address, _) = serve().await;
    let (_, channels) = serve().await;
    let what = ToKeeper::Evaluate { leaf_index: 1, element: [6; 32] };
    let refused = channels.ask(address, what).await;
    assert!(
        matches!(refused, Err(KeeperError::Silent { .. } | KeeperError::Malformed { .. })),
        "{refused:?}"
    );
}
