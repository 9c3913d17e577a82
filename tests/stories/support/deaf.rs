//! A validator's face that is deaf to batches: it says that it took one and does nothing with it, unless it is a complaint.
//! Everything else it passes on to the real one.

use std::{
    convert::Infallible,
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::Bytes;
use keyward_ledger_core::{
    batch::UnverifiedBatch,
    entry::{kind, kind_of},
};
use keyward_proto::ledger::{SubmitRequest, SubmitResponse, ledger_client::LedgerClient};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, UnaryService},
    transport::{
        Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
        server::TcpIncoming,
    },
};

use super::cluster::Cluster;

/// Where the deaf face of a validator answers.
pub async fn face_of(cluster: &Cluster, node: usize) -> String {
    let (certificate, key) = cluster.authority.client("keyward://service/story");
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&cluster.authority.pem))
        .identity(Identity::from_pem(certificate, key.as_str()));
    let endpoint = Endpoint::from_shared(cluster.rpc_address(node)).unwrap().tls_config(tls).unwrap();
    let face = Face { to: endpoint.connect().await.unwrap() };
    let (certificate, key) = cluster.authority.server();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key.as_str()));
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = incoming.local_addr().unwrap().port();
    let server = Server::builder().tls_config(tls).unwrap().add_service(face);
    tokio::spawn(server.serve_with_incoming(incoming));
    format!("https://127.0.0.1:{port}")
}

#[derive(Clone)]
struct Face {
    to: Channel,
}

impl NamedService for Face {
    const NAME: &'static str = "keyward.ledger.v1.Ledger";
}

impl Service<http::Request<Body>> for Face {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut to = self.to.clone();
        Box::pin(async move {
            if request.uri().path().ends_with("/Submit") {
                let codec = tonic_prost::ProstCodec::<SubmitResponse, SubmitRequest>::default();
                return Ok(Grpc::new(codec).unary(Submit(to), request).await);
            }
            let ready = poll_fn(|context| to.poll_ready(context)).await;
            let answer = match ready {
                Ok(()) => to.call(request).await,
                Err(error) => Err(error),
            };
            Ok(answer.unwrap_or_else(|error| Status::unavailable(error.to_string()).into_http()))
        })
    }
}

struct Submit(Channel);

impl UnaryService<SubmitRequest> for Submit {
    type Response = SubmitResponse;
    type Future = BoxFuture<Response<SubmitResponse>, Status>;

    fn call(&mut self, request: Request<SubmitRequest>) -> Self::Future {
        let to = self.0.clone();
        Box::pin(async move {
            let batch = UnverifiedBatch::decode(&request.get_ref().batch).unwrap().verify().unwrap();
            if batch.entries().any(|entry| kind_of(entry) == Some(kind::COMPLAINT)) {
                return LedgerClient::new(to).submit(request.into_inner()).await;
            }
            if request.get_ref().wait {
                std::future::pending::<()>().await;
            }
            let batch_digest = Bytes::copy_from_slice(batch.digest());
            Ok(Response::new(SubmitResponse { batch_digest, r#final: None }))
        })
    }
}
