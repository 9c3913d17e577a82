//! A custody service of toys: what every face of it needs, whatever it is asked and in whatever it lies.

pub(crate) mod keeper;
pub(crate) mod ledger;

use std::net::SocketAddr;

use keyward_client::{Client, Login, Session};
use keyward_crypto::{SecretBytes, SigningKey, Stretch};
use keyward_domain::Code;
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::entry::{Entry, Intent};
use keyward_ledger_core::hash::{Hash, sha256};
use keyward_ledger_core::receipt::{Receipt, Released};
use keyward_ledger_core::state::layout::{AccountState, CredentialState, account_key, credential_key};
use keyward_proto::custody::SignResponse;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, server::Router};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

pub(crate) use ledger::Chain;

pub(crate) const ANNA: Hash = [0x41; 32];
pub(crate) const BORIS: Hash = [0x42; 32];
pub(crate) const CLARA: Hash = [0x43; 32];
/// The submitter that the toy ledger knows as its service.
pub(crate) const SERVICE: Hash = [0x55; 32];

/// A change of what an honest service would say, by one that knows the whole world.
pub(crate) type Lie<W, T> = Option<Box<dyn Fn(&W, T) -> T + Send>>;
pub(crate) type Answered<T> = Result<Response<T>, Status>;

pub(crate) fn credential(account: &Hash) -> SigningKey {
    SigningKey::from_secret(Scheme::Ed25519, account).unwrap()
}

/// A login that succeeded.
pub(crate) fn login(account: Hash) -> Login {
    Login {
        session: Session { token: Zeroizing::new(account.to_vec()), expires_unix_ms: u64::MAX, account },
        credential: credential(&account),
        export_key: SecretBytes::new(vec![account[0]; 64]),
    }
}

/// Open accounts with their credentials.
pub(crate) fn open_accounts(chain: &mut Chain, accounts: &[Hash]) {
    for account in accounts {
        let public_key = credential(account).public_key().as_bytes().try_into().unwrap();
        let credential = CredentialState { version: 1, public_key }.encode();
        chain.state.insert(&account_key(account), &AccountState { open: true, height: 1 }.encode());
        chain.state.insert(&credential_key(account), &credential);
    }
}

pub(crate) fn listen() -> (TcpIncoming, String) {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = format!("http://{}", incoming.local_addr().unwrap());
    (incoming, address)
}

pub(crate) fn serve(router: Router, incoming: TcpIncoming) {
    tokio::spawn(router.serve_with_incoming(incoming));
}

/// An account's client in its session, which verifies nothing yet.
pub(crate) async fn client(address: &str, account: Hash) -> Client {
    let channel = Endpoint::from_shared(address.to_owned()).unwrap().connect().await.unwrap();
    let client = Client::over(channel, address).with_stretch(Stretch::WeakForTests);
    client.with_session(&account).unwrap().with_account(account)
}

pub(crate) fn refused(name: &str) -> Status {
    let mut status = Status::failed_precondition(format!("refused: {name}"));
    let code = Code::from_name(name).map_or("LEDGER_REFUSED", Code::name);
    status.metadata_mut().insert("keyward-code", code.parse().unwrap());
    status.metadata_mut().insert("keyward-retry", "false".parse().unwrap());
    status
}

/// Whose session it is: its token is the account.
pub(crate) fn account<T>(request: &Request<T>) -> Hash {
    let bearer = request.metadata().get("authorization").unwrap().to_str().unwrap();
    let token = bearer.strip_prefix("Bearer ").unwrap();
    let digit = |n: usize| u8::from_str_radix(&token[2 * n..2 * n + 2], 16).unwrap();
    std::array::from_fn(digit)
}

/// Records an entry: its receipt and place, or the refusal.
pub(crate) fn record(chain: &mut Chain, entry: &[u8]) -> Result<(Vec<u8>, u64), Status> {
    let (leaf_index, outcome) = chain.record(entry);
    if outcome.is_accepted() {
        Ok((chain.receipt(leaf_index), leaf_index))
    } else {
        Err(refused(outcome.name()))
    }
}

/// Records an intent, and releases a signature for it.
pub(crate) fn released(
    chain: &mut Chain,
    key: &SigningKey,
    intent: Intent,
    r: &Hash,
    message: &[u8],
) -> SignResponse {
    let (leaf, outcome) = chain.record(&Entry::Intent(intent).encode());
    assert_eq!(outcome.name(), "ACCEPTED");
    let signature = key.sign_message(message).unwrap();
    let mut receipt = Receipt::decode(&chain.receipt(leaf)).unwrap();
    let (public_key, payload_hash) = (key.public_key().clone(), sha256(&[message]));
    receipt.released = Some(Released { public_key, r: *r, payload_hash, signature: signature.clone() });
    SignResponse {
        signature: signature.into(),
        public_key: key.public_key().as_bytes().to_vec().into(),
        scheme: key.scheme().name().into(),
        receipt: receipt.encode().into(),
        key_id: key.public_key().id().as_bytes().to_vec().into(),
        ..Default::default()
    }
}
