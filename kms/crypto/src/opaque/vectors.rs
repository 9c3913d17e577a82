//! The published vectors of RFC 9807 for the group, hash and key exchange of this room, from the library that it uses.
//! They have no stretching and a context of their own, so the suite is the tests'; all else is that of [`super::Suite`].

use opaque_ke::ksf::Identity;
use opaque_ke::rand::{CryptoRng, RngCore};
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialFinalization, CredentialRequest, CredentialResponse,
    Identifiers, RegistrationRequest, RegistrationResponse, RegistrationUpload, Ristretto255, ServerLogin,
    ServerLoginParameters, ServerRegistration, ServerSetup, TripleDh,
};

use crate::vectors::{Part, parts};

const VECTORS: &str = include_str!("../../tests/vectors/rfc9807.txt");

struct Published;

impl CipherSuite for Published {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_10::Sha512>;
    type Ksf = Identity;
}

/// Hands the vectors' values out in the order in which the library asks; more than that is a failure.
struct Script(Vec<Vec<u8>>);

impl Script {
    fn new<const N: usize>(values: [Vec<u8>; N]) -> Self {
        Self(values.into_iter().rev().collect())
    }
}

impl RngCore for Script {
    fn next_u32(&mut self) -> u32 {
        panic!("bytes only")
    }

    fn next_u64(&mut self) -> u64 {
        panic!("bytes only")
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        let next = self.0.pop().unwrap();
        // A blind is drawn as 64 bytes and reduced; the vectors give it reduced.
        bytes.fill(0);
        bytes[..next.len()].copy_from_slice(&next);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), opaque_ke::rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Script {}

fn setup(part: &Part<'_>, dummy: &str) -> ServerSetup<Published> {
    let bytes = [part.bytes("oprf_seed"), part.bytes("server_private_key"), part.bytes(dummy)].concat();
    ServerSetup::deserialize(&bytes).unwrap()
}

struct Names {
    client: Option<Vec<u8>>,
    server: Option<Vec<u8>>,
    context: Vec<u8>,
}

impl Names {
    fn of(part: &Part<'_>) -> Self {
        let named = |name| part.optional(name).map(|text| hex::decode(text).unwrap());
        Self {
            client: named("client_identity"),
            server: named("server_identity"),
            context: part.bytes("context"),
        }
    }

    fn identifiers(&self) -> Identifiers<'_> {
        Identifiers { client: self.client.as_deref(), server: self.server.as_deref() }
    }

    fn server(&self) -> ServerLoginParameters<'_, '_> {
        ServerLoginParameters { context: Some(&self.context), identifiers: self.identifiers() }
    }
}

/// Registration and login of one vector, each message held against the published one.
fn run(part: &Part<'_>) {
    let (names, server) = (Names::of(part), setup(part, "server_public_key"));
    let (password, user) = (part.bytes("password"), part.bytes("credential_identifier"));
    let mut random = Script::new([part.bytes("blind_registration")]);
    let registration = ClientRegistration::<Published>::start(&mut random, &password).unwrap();
    let request = registration.message.serialize();
    assert_eq!(request[..], part.bytes("registration_request"));
    let request = RegistrationRequest::deserialize(&request).unwrap();
    let response = ServerRegistration::start(&server, request, &user).unwrap().message.serialize();
    assert_eq!(response[..], part.bytes("registration_response"));
    let finished = registration
        .state
        .finish(
            &mut Script::new([part.bytes("envelope_nonce")]),
            &password,
            RegistrationResponse::deserialize(&response).unwrap(),
            ClientRegistrationFinishParameters { identifiers: names.identifiers(), ..Default::default() },
        )
        .unwrap();
    let upload = finished.message.serialize();
    assert_eq!(upload[..], part.bytes("registration_upload"));
    assert_eq!(finished.export_key[..], part.bytes("export_key"));

    let script = ["blind_login", "client_keyshare_seed", "client_nonce"].map(|name| part.bytes(name));
    let login = ClientLogin::<Published>::start(&mut Script::new(script), &password).unwrap();
    assert_eq!(login.message.serialize()[..], part.bytes("KE1"));
    let record = ServerRegistration::finish(RegistrationUpload::deserialize(&upload).unwrap());
    let [nonce, seed, server_nonce] =
        ["masking_nonce", "server_keyshare_seed", "server_nonce"].map(|name| part.bytes(name));
    // The library draws the masking key of a fake record in any case; with a real one it goes unused.
    let mut random = Script::new([vec![9; 64], nonce, seed, server_nonce]);
    let request = CredentialRequest::deserialize(&part.bytes("KE1")).unwrap();
    let waiting =
        ServerLogin::start(&mut random, &server, Some(record), request, &user, names.server()).unwrap();
    assert_eq!(waiting.message.serialize()[..], part.bytes("KE2"));
    let parameters = ClientLoginFinishParameters {
        context: Some(&names.context),
        identifiers: names.identifiers(),
        ..Default::default()
    };
    let response = CredentialResponse::deserialize(&part.bytes("KE2")).unwrap();
    let done = login.state.finish(&mut Script::new([]), &password, response, parameters).unwrap();
    assert_eq!(done.message.serialize()[..], part.bytes("KE3"));
    assert_eq!(done.export_key[..], part.bytes("export_key"));
    assert_eq!(done.session_key[..], part.bytes("session_key"));
    let finalization = CredentialFinalization::deserialize(&part.bytes("KE3")).unwrap();
    let session = waiting.state.finish(finalization, names.server()).unwrap();
    assert_eq!(session.session_key[..], part.bytes("session_key"));
}

#[test]
fn registration_and_login_give_the_published_vectors() {
    let parts = parts(VECTORS);
    let real: Vec<_> = parts.iter().filter(|part| part.kind == "real").collect();
    assert_eq!(real.len(), 2);
    real.into_iter().for_each(run);
}

#[test]
fn unknown_user_is_answered_as_the_published_vector_says() {
    let parts = parts(VECTORS);
    let fake: Vec<_> = parts.iter().filter(|part| part.kind == "fake").collect();
    assert_eq!(fake.len(), 1);
    let (names, server) = (Names::of(fake[0]), setup(fake[0], "client_public_key"));
    let script = ["masking_key", "masking_nonce", "server_keyshare_seed", "server_nonce"];
    let mut random = Script::new(script.map(|name| fake[0].bytes(name)));
    let request = CredentialRequest::<Published>::deserialize(&fake[0].bytes("KE1")).unwrap();
    let user = fake[0].bytes("credential_identifier");
    let answered = ServerLogin::start(&mut random, &server, None, request, &user, names.server()).unwrap();
    assert_eq!(answered.message.serialize()[..], fake[0].bytes("KE2"));
}
