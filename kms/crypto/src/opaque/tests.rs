use super::*;

const WEAK: Stretch = Stretch::WeakForTests;

fn password(text: &str) -> SecretBytes {
    SecretBytes::from(text.to_owned())
}

fn register(server: &OpaqueServer, user: &[u8], text: &str) -> (Vec<u8>, SecretBytes) {
    let (client, request) = ClientRegistration::start(&password(text)).unwrap();
    let response = server.register(user, &request).unwrap();
    let done = client.finish(&password(text), &response, WEAK).unwrap();
    (OpaqueServer::record(&done.upload).unwrap(), done.export_key)
}

struct Attempt {
    client: ClientLogin,
    server: ServerLogin,
    response: Vec<u8>,
}

fn attempt(server: &OpaqueServer, user: &[u8], record: Option<&[u8]>, text: &str) -> Attempt {
    let (client, request) = ClientLogin::start(&password(text)).unwrap();
    let (server, response) = server.login(user, record, &request).unwrap();
    Attempt { client, server, response }
}

fn same(one: &SecretBytes, two: &SecretBytes) -> bool {
    one.expose(|bytes| two.matches(bytes))
}

#[test]
fn right_password_gives_both_sides_one_session_key_and_the_export_key_again() {
    let server = OpaqueServer::generate().unwrap();
    let (record, export_key) = register(&server, b"anna", "correct horse");
    let Attempt { client, server: waiting, response } =
        attempt(&server, b"anna", Some(&record), "correct horse");
    let done = client.finish(&password("correct horse"), &response, WEAK).unwrap();
    let session_key = waiting.finish(&done.finalization).unwrap();
    assert!(same(&session_key, &done.session_key) && session_key.len() == 64);
    assert!(same(&export_key, &done.export_key));
    let (one, two) =
        (account_credential(&export_key).unwrap(), account_credential(&done.export_key).unwrap());
    assert_eq!(one.public_key(), two.public_key());
}

#[test]
fn wrong_password_other_user_and_other_server_are_refused_alike() {
    let server = OpaqueServer::generate().unwrap();
    let (record, _) = register(&server, b"anna", "right");
    let other = OpaqueServer::generate().unwrap();
    for (server, user, text) in
        [(&server, b"anna", "wrong"), (&server, b"bert", "right"), (&other, b"anna", "right")]
    {
        let Attempt { client, response, .. } = attempt(server, user, Some(&record), text);
        let refused = client.finish(&password(text), &response, WEAK).unwrap_err();
        assert!(matches!(refused, OpaqueError::WrongPassword(_)));
        assert_eq!(refused.to_string(), "user name or password is wrong");
    }
}

#[test]
fn unknown_user_looks_like_a_wrong_password() {
    let server = OpaqueServer::generate().unwrap();
    let (record, _) = register(&server, b"anna", "right");
    let known = attempt(&server, b"anna", Some(&record), "wrong");
    let unknown = attempt(&server, b"nobody", None, "wrong");
    assert_eq!(known.response.len(), unknown.response.len());
    for Attempt { client, server, response } in [known, unknown] {
        let refused = client.finish(&password("wrong"), &response, WEAK).unwrap_err();
        assert!(matches!(refused, OpaqueError::WrongPassword(_)));
        // A client that guesses the last message is refused in the same words, too.
        assert!(matches!(server.finish(&[7; 64]), Err(OpaqueError::WrongPassword(_))));
    }
}

#[test]
fn every_changed_byte_of_a_login_response_is_refused() {
    let server = OpaqueServer::generate().unwrap();
    let (record, _) = register(&server, b"anna", "right");
    let length = attempt(&server, b"anna", Some(&record), "right").response.len();
    for at in 0..length {
        let Attempt { client, mut response, .. } = attempt(&server, b"anna", Some(&record), "right");
        response[at] ^= 1;
        assert!(client.finish(&password("right"), &response, WEAK).is_err(), "byte {at}");
    }
}

#[test]
fn changed_finalization_is_refused() {
    let server = OpaqueServer::generate().unwrap();
    let (record, _) = register(&server, b"anna", "right");
    for at in [0, 31, 63] {
        let Attempt { client, server, response } = attempt(&server, b"anna", Some(&record), "right");
        let mut done = client.finish(&password("right"), &response, WEAK).unwrap();
        done.finalization[at] ^= 1;
        assert!(matches!(server.finish(&done.finalization), Err(OpaqueError::WrongPassword(_))));
    }
}

#[test]
fn messages_of_a_wrong_length_are_malformed() {
    let server = OpaqueServer::generate().unwrap();
    let (record, _) = register(&server, b"anna", "right");
    for len in [0, 1, 31, 33, 64, 500] {
        let bytes = vec![1; len];
        assert!(matches!(server.register(b"anna", &bytes), Err(OpaqueError::Malformed { .. })), "{len}");
        assert!(matches!(OpaqueServer::record(&bytes), Err(OpaqueError::Malformed { .. })), "{len}");
        assert!(matches!(server.login(b"anna", Some(&record), &bytes), Err(OpaqueError::Malformed { .. })));
        assert!(matches!(OpaqueServer::from_bytes(&bytes), Err(OpaqueError::Malformed { .. })));
        let (client, _) = ClientLogin::start(&password("right")).unwrap();
        assert!(client.finish(&password("right"), &bytes, WEAK).is_err());
        let (client, _) = ClientRegistration::start(&password("right")).unwrap();
        assert!(client.finish(&password("right"), &bytes, WEAK).is_err());
        if len != 64 {
            let waiting = attempt(&server, b"anna", Some(&record), "right").server;
            assert!(matches!(waiting.finish(&bytes), Err(OpaqueError::Malformed { .. })));
        }
    }
}

#[test]
fn server_setup_comes_back_from_its_sealed_bytes() {
    let server = OpaqueServer::generate().unwrap();
    let (record, export_key) = register(&server, b"anna", "right");
    let again = server.to_secret().expose(OpaqueServer::from_bytes).unwrap();
    let Attempt { client, response, .. } = attempt(&again, b"anna", Some(&record), "right");
    assert!(same(&client.finish(&password("right"), &response, WEAK).unwrap().export_key, &export_key));
}

#[test]
fn stretching_changes_the_result_and_the_standard_one_works() {
    let server = OpaqueServer::generate().unwrap();
    let (client, request) = ClientRegistration::start(&password("right")).unwrap();
    let response = server.register(b"anna", &request).unwrap();
    let done = client.finish(&password("right"), &response, Stretch::Standard).unwrap();
    let record = OpaqueServer::record(&done.upload).unwrap();
    let weak = attempt(&server, b"anna", Some(&record), "right");
    assert!(weak.client.finish(&password("right"), &weak.response, WEAK).is_err());
    let full = attempt(&server, b"anna", Some(&record), "right");
    full.client.finish(&password("right"), &full.response, Stretch::Standard).unwrap();
}

#[test]
fn credential_has_the_golden_public_key() {
    let key = account_credential(&SecretBytes::new(vec![0x42; 64])).unwrap();
    assert_eq!(
        hex::encode(key.public_key().as_bytes()),
        "09ec68c57ce4a29ab3c87215fcf244536c9319788bf18fb901dc6802d9ababca"
    );
    assert!(matches!(
        account_credential(&SecretBytes::new(vec![1; 63])),
        Err(OpaqueError::ExportKey { len: 63 })
    ));
}

#[test]
fn states_print_redacted() {
    let server = OpaqueServer::generate().unwrap();
    let (record, _) = register(&server, b"anna", "right");
    let Attempt { client, server: waiting, .. } = attempt(&server, b"anna", Some(&record), "right");
    for text in [format!("{server:?}"), format!("{client:?}"), format!("{waiting:?}")] {
        assert!(text.ends_with("(redacted)"));
    }
}

#[test]
fn messages_have_the_lengths_of_the_specification() {
    let server = OpaqueServer::generate().unwrap();
    let (client, request) = ClientRegistration::start(&password("right")).unwrap();
    let response = server.register(b"anna", &request).unwrap();
    let done = client.finish(&password("right"), &response, WEAK).unwrap();
    let record = OpaqueServer::record(&done.upload).unwrap();
    assert_eq!([request.len(), response.len(), done.upload.len(), record.len()], [32, 64, 192, 192]);
    let (client, request) = ClientLogin::start(&password("right")).unwrap();
    let (_, response) = server.login(b"anna", Some(&record), &request).unwrap();
    let done = client.finish(&password("right"), &response, WEAK).unwrap();
    assert_eq!([request.len(), response.len(), done.finalization.len()], [96, 320, 64]);
    assert_eq!([server.to_secret().len(), done.export_key.len(), done.session_key.len()], [128, 64, 64]);
}
