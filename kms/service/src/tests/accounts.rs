//! Persons: register, log in, import, sign within a session, lend a key, close.

use keyward_crypto::{
    ClientLogin, ClientRegistration, ImportBinding, SecretBytes, SigningKey, Stretch, account_credential,
    seal_to_service,
};
use keyward_domain::{Code, Fingerprint, scheme::Scheme};
use keyward_ledger_core::contracts::authored::authored_message;
use keyward_ledger_core::contracts::registry::{credential_challenge, possession_challenge};
use keyward_ledger_core::entry::{Act, Author, Authored, Entry, Mode, Party};
use keyward_store::Change;

use super::world::{CHAIN, Mood, World, check, code, shown, unsaid};
use crate::{
    accounts::register::Finish,
    caller::Caller,
    failure::Failure,
    guard::Input,
    keys::{
        import::{Import, Prepared},
        list::Search,
    },
    ports::{Final as _, Ledger as _},
};

const APP: &str = "keyward://app/wallet";

pub(super) fn password(text: &str) -> SecretBytes {
    SecretBytes::from(text.to_owned())
}

pub(super) async fn prepare_registration(world: &World, user: &str) -> Result<Finish, Failure> {
    let secret = password("correct horse");
    let (client, request) = ClientRegistration::start(&secret).unwrap();
    let started = world.custody.register_start(user, &request).await?;
    let done = client.finish(&secret, &started.response, Stretch::WeakForTests).unwrap();
    let credential = account_credential(&done.export_key).unwrap();
    let public: [u8; 32] = credential.public_key().as_bytes().try_into().unwrap();
    let message =
        credential_challenge(&CHAIN, &started.account, 1, &public, &started.nonce, started.not_after);
    let proof = credential.sign_message(&message).unwrap().try_into().unwrap();
    Ok(Finish { id: started.id, upload: done.upload, credential: public, proof })
}

pub(super) async fn register(world: &World, user: &str) -> Result<[u8; 32], Failure> {
    let finish = prepare_registration(world, user).await?;
    Ok(world.custody.register_finish(finish).await?.0)
}

pub(super) async fn log_in(
    world: &World,
    user: &str,
    secret: &str,
    certificate: Option<Fingerprint>,
) -> Result<[u8; 32], Failure> {
    let secret = password(secret);
    let (client, request) = ClientLogin::start(&secret).unwrap();
    let (id, response) = world.custody.login_start(user, &request).await?;
    let finalization = match client.finish(&secret, &response, Stretch::WeakForTests) {
        Ok(done) => done.finalization,
        // A client that does not know the password can only guess.
        Err(_) => vec![0; 64],
    };
    Ok(world.custody.login_finish(id, &finalization, certificate).await?.token)
}

/// The token of a fresh session.
pub(super) async fn session(world: &World, user: &str) -> [u8; 32] {
    log_in(world, user, "correct horse", None).await.unwrap()
}

/// The person's own key, as their side has it after a login.
pub(super) async fn credential(world: &World, user: &str) -> SigningKey {
    let secret = password("correct horse");
    let (client, request) = ClientLogin::start(&secret).unwrap();
    let (_, response) = world.custody.login_start(user, &request).await.unwrap();
    account_credential(&client.finish(&secret, &response, Stretch::WeakForTests).unwrap().export_key).unwrap()
}

/// The entry with which a person closes the account.
pub(super) async fn closing(world: &World, user: &str) -> Vec<u8> {
    let row = world.custody.store.account_by_name("user", user).await.unwrap().unwrap();
    let act = Act::CloseAccount { account: row.account };
    let (party, not_after) = (Party::Credential(row.account), world.ledger.height() + 100);
    let nonce = crate::custody::random().unwrap();
    let message = authored_message(&CHAIN, act.kind(), &act.payload(), party, &nonce, not_after);
    let signature = credential(world, user).await.sign_message(&message).unwrap();
    let author = Author { party, nonce, not_after, public_key: Vec::new(), signature };
    Entry::Authored(Authored { act, authors: vec![author] }).encode()
}

async fn alice(world: &World) -> Caller {
    person(world, "alice").await
}

/// A person within a session; registered when there is no such account yet.
pub(super) async fn person(world: &World, user: &str) -> Caller {
    if world.custody.store.account_by_name("user", user).await.unwrap().is_none() {
        register(world, user).await.unwrap();
    }
    let token = log_in(world, user, "correct horse", None).await.unwrap();
    world.custody.authenticate(&shown(APP, Some(token))).await.unwrap()
}

pub(super) struct Made {
    key: SigningKey,
    proof: Vec<u8>,
    sealed: Vec<u8>,
    prepared: Prepared,
}

pub(super) async fn make(world: &World, caller: &Caller, scheme: Scheme) -> Made {
    let prepared = world.custody.prepare_import(caller, scheme.name()).await.unwrap();
    let key = SigningKey::generate(scheme).unwrap();
    let message = possession_challenge(
        &CHAIN,
        &prepared.account.0,
        Mode::Hosted,
        key.public_key(),
        &prepared.nonce,
        prepared.not_after,
    );
    let proof = key.sign_message(&message).unwrap();
    let binding = ImportBinding {
        chain_id: &CHAIN,
        account: &prepared.account.0,
        nonce: &prepared.nonce,
        public_key: key.public_key(),
    };
    let sealed = key.expose(|secret| seal_to_service(&prepared.sealing_key, &binding, secret)).unwrap();
    Made { key, proof, sealed, prepared }
}

pub(super) fn import<'a>(made: &'a Made, alias: &'a str) -> Import<'a> {
    Import {
        alias,
        scheme: made.key.scheme().name(),
        public_key: made.key.public_key().as_bytes(),
        nonce: made.prepared.nonce,
        not_after: made.prepared.not_after,
        proof: &made.proof,
        mode: Mode::Hosted,
        sealed: &made.sealed,
        consent: &[],
        mark: &[],
    }
}

#[tokio::test]
async fn a_registration_counts_once_and_a_name_too() {
    let world = World::new().await;
    let finish = prepare_registration(&world, "Alice").await.unwrap();
    let again = Finish { upload: finish.upload.clone(), ..finish };
    let forged = Finish { proof: [1; 64], ..prepare_registration(&world, "bob").await.unwrap() };
    let late = prepare_registration(&world, "carol").await.unwrap();
    let (account, receipt) = world.custody.register_finish(finish).await.unwrap();
    assert!(!receipt.is_empty());
    assert_eq!(code(world.custody.register_finish(again).await), Code::ChallengeReplayed);
    assert_eq!(code(world.custody.register_finish(forged).await), Code::ProofInvalid);
    assert_eq!(code(register(&world, "alice").await), Code::AccountExists);
    assert_eq!(code(register(&world, "no spaces").await), Code::UserNameInvalid);
    world.pass_ms(10 * 60 * 1000);
    assert_eq!(code(world.custody.register_finish(late).await), Code::RegistrationExpired);
    let row = world.custody.store.account_by_name("user", "alice").await.unwrap().unwrap();
    assert_eq!(row.account, account);
    assert!(world.custody.store.account_by_name("user", "bob").await.unwrap().is_none());
}

#[tokio::test]
async fn a_registration_that_was_recorded_unheard_is_finished_later() {
    let world = World::new().await;
    let finish = prepare_registration(&world, "alice").await.unwrap();
    world.ledger.set(Mood::Deaf);
    assert_eq!(code(world.custody.register_finish(finish).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    let world = world.restart().await;
    assert_eq!(code(log_in(&world, "alice", "correct horse", None).await), Code::LoginFailed, "not open yet");
    world.custody.settle_acts().await.unwrap();
    log_in(&world, "alice", "correct horse", None).await.unwrap();
}

/// The blinded element of a login's request, and what the service made of it: both begin their messages.
const ELEMENT_BYTES: usize = 32;

#[tokio::test]
async fn a_registration_evaluates_nothing_that_a_login_would() {
    let world = World::new().await;
    // Before the name is taken, by whoever guesses at what will be registered.
    let (_, request) = ClientLogin::start(&password("correct horse")).unwrap();
    let element = &request[..ELEMENT_BYTES];
    let early = world.custody.register_start("alice", element).await.unwrap().response;
    let alice = alice(&world).await;
    let login = world.custody.login_start("alice", &request).await.unwrap().1;
    let again = world.custody.login_start("alice", &request).await.unwrap().1;
    assert_eq!(login[..ELEMENT_BYTES], again[..ELEMENT_BYTES], "one function for one registration");
    let late = world.custody.register_start("alice", element).await.unwrap().response;
    let change = world.custody.password_start(&alice, element).await.unwrap().started.response;
    for other in [early, late, change] {
        assert_ne!(login[..ELEMENT_BYTES], other[..ELEMENT_BYTES]);
    }
}

#[tokio::test]
async fn a_record_of_an_earlier_version_logs_in_under_the_user_name() {
    let world = World::new().await;
    let account = register(&world, "alice").await.unwrap();
    let secret = password("correct horse");
    let (client, request) = ClientRegistration::start(&secret).unwrap();
    let response = world.custody.opaque.register(b"alice", &request).unwrap();
    let done = client.finish(&secret, &response, Stretch::WeakForTests).unwrap();
    let opaque_record = keyward_crypto::OpaqueServer::record(&done.upload).unwrap();
    let before = keyward_store::Change::SetPassword { account, opaque_record, credential: [1; 32] };
    world.custody.store.apply(vec![before]).await.unwrap();
    log_in(&world, "alice", "correct horse", None).await.unwrap();
    assert_eq!(code(log_in(&world, "alice", "wrong", None).await), Code::LoginFailed);
}

#[tokio::test]
async fn wrong_passwords_and_unknown_names_look_alike_and_are_limited() {
    let world = World::new().await;
    register(&world, "alice").await.unwrap();
    for user in ["alice", "nobody"] {
        for _ in 0..10 {
            assert_eq!(code(log_in(&world, user, "wrong", None).await), Code::LoginFailed, "{user}");
        }
        assert_eq!(code(log_in(&world, user, "correct horse", None).await), Code::LoginLimited, "{user}");
    }
    // Neither a restart nor a second server tells them apart.
    let world = world.restart().await;
    let other = world.beside().await;
    for user in ["alice", "nobody"] {
        assert_eq!(code(log_in(&world, user, "correct horse", None).await), Code::LoginLimited, "{user}");
        let (_, request) = ClientLogin::start(&password("wrong")).unwrap();
        assert_eq!(code(other.login_start(user, &request).await), Code::LoginLimited, "{user}");
    }
    world.pass_ms(15 * 60 * 1000);
    assert_eq!(code(log_in(&world, "nobody", "wrong", None).await), Code::LoginFailed);
    log_in(&world, "alice", "correct horse", None).await.unwrap();
    assert_eq!(code(world.custody.login_finish([7; 16], &[0; 64], None).await.map(drop)), Code::LoginExpired);
}

#[tokio::test]
async fn a_session_belongs_to_its_certificate_and_ends() {
    let world = World::new().await;
    register(&world, "alice").await.unwrap();
    let own = shown(APP, None).certificate.unwrap().1;
    let bound = log_in(&world, "alice", "correct horse", Some(own)).await.unwrap();
    let open = log_in(&world, "alice", "correct horse", None).await.unwrap();
    let show = |uri: &'static str, token| {
        let custody = world.custody.clone();
        async move { custody.authenticate(&shown(uri, Some(token))).await.map(drop) }
    };
    show(APP, bound).await.unwrap();
    assert_eq!(code(show("keyward://app/thief", bound).await), Code::SessionUnknown);
    show("keyward://app/first", open).await.unwrap();
    show("keyward://app/first", open).await.unwrap();
    assert_eq!(code(show(APP, open).await), Code::SessionUnknown, "bound to the one it was first shown with");
    assert_eq!(code(show(APP, [3; 32]).await), Code::SessionExpired);
    world.pass_ms(30 * 60 * 1000);
    assert_eq!(code(show(APP, bound).await), Code::SessionExpired);
}

#[tokio::test]
async fn a_person_imports_a_key_and_signs_within_the_session() {
    let world = World::new().await;
    let alice = alice(&world).await;
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::EcdsaP256, Scheme::Ed25519] {
        let made = make(&world, &alice, scheme).await;
        let (key, _) = world.custody.import_key(&alice, &import(&made, scheme.name())).await.unwrap();
        assert_eq!(&key.public_key, made.key.public_key());
        check(&world.sign(&alice, scheme.name(), b"m").await.unwrap(), b"m");
        assert_eq!(
            code(world.custody.import_key(&alice, &import(&made, "again")).await),
            Code::ChallengeReplayed
        );
    }
    let (row, keys) = world.custody.show_account(&alice).await.unwrap();
    assert_eq!((row.name.as_str(), keys), ("alice", 4));
    let app = world.caller(APP).await;
    assert_eq!(code(world.custody.show_account(&app).await), Code::SessionRequired);
    let officer = world.caller("keyward://officer/olga").await;
    assert_eq!(code(world.custody.prepare_import(&officer, "ed25519").await), Code::SessionRequired);
    assert_eq!(code(world.sign(&app, "ed25519", b"m").await), Code::KeyUnknown);
    assert_eq!(code(world.custody.prepare_import(&alice, "rsa-pss").await), Code::SchemeNotHosted);
    assert_eq!(code(world.custody.prepare_import(&alice, "dsa").await), Code::SchemeUnknown);
}

#[tokio::test]
async fn an_app_hands_in_a_key_of_its_own_and_signs_with_it() {
    let world = World::new().await;
    let app = world.custody.authenticate(&shown("keyward://app/treasury", None)).await.unwrap();
    assert!(app.account.is_none(), "the first key opens the account");
    let made = make(&world, &app, Scheme::EcdsaSecp256k1).await;
    let (key, receipt) = world.custody.import_key(&app, &import(&made, "moved-in")).await.unwrap();
    assert_eq!((&key.public_key, receipt.is_empty()), (made.key.public_key(), false));
    assert!(!key.person);
    let app = world.app().await;
    check(&world.sign(&app, "moved-in", b"m").await.unwrap(), b"m");
    let other = world.caller("keyward://app/other").await;
    let stolen = make(&world, &app, Scheme::Ed25519).await;
    assert_eq!(
        code(world.custody.import_key(&other, &import(&stolen, "stolen")).await),
        Code::ChallengeReplayed
    );
    assert_eq!(code(world.sign(&other, "moved-in", b"m").await), Code::KeyUnknown);
    let operator = world.caller("keyward://operator/oscar").await;
    assert_eq!(code(world.custody.prepare_import(&operator, "ed25519").await), Code::SessionRequired);
}

#[tokio::test]
async fn a_bad_import_changes_nothing() {
    let world = World::new().await;
    let alice = alice(&world).await;
    register(&world, "bob").await.unwrap();
    let token = log_in(&world, "bob", "correct horse", None).await.unwrap();
    let bob = world.custody.authenticate(&shown("keyward://app/bobs", Some(token))).await.unwrap();
    let made = make(&world, &alice, Scheme::Ed25519).await;
    let tried = |change: fn(&mut Import<'_>), expected: Code| {
        let (world, alice) = (&world, &alice);
        async move {
            let made = make(world, alice, Scheme::Ed25519).await;
            let mut bad = import(&made, "bad");
            change(&mut bad);
            assert_eq!(code(world.custody.import_key(alice, &bad).await), expected);
        }
    };
    tried(|bad| bad.proof = &[1; 64], Code::ProofInvalid).await;
    tried(|bad| bad.not_after += 1, Code::ProofInvalid).await;
    tried(|bad| bad.sealed = &[1; 80], Code::SealedKeyInvalid).await;
    tried(|bad| bad.public_key = &[0xff; 32], Code::PublicKeyInvalid).await;
    tried(|bad| bad.public_key = &[1; 3], Code::PublicKeyInvalid).await;
    tried(|bad| bad.nonce = [0; 32], Code::ChallengeReplayed).await;
    tried(|bad| bad.alias = "no/alias", Code::AliasInvalid).await;
    assert_eq!(code(world.custody.import_key(&bob, &import(&made, "stolen")).await), Code::ChallengeReplayed);
    let late = make(&world, &alice, Scheme::Ed25519).await;
    world.pass_ms(10 * 60 * 1000);
    assert_eq!(code(world.custody.import_key(&alice, &import(&late, "late")).await), Code::ChallengeExpired);
    assert!(world.custody.list_keys(&alice, &Search::default()).await.unwrap().keys.is_empty());
}

#[tokio::test]
async fn a_lent_key_signs_until_it_is_revoked() {
    let world = World::new().await;
    let alice = alice(&world).await;
    let made = make(&world, &alice, Scheme::Ed25519).await;
    let (key, _) = world.custody.import_key(&alice, &import(&made, "mine")).await.unwrap();
    let id: String = key.row.key_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let app = world.caller("keyward://app/payroll").await;
    assert_eq!(code(world.sign(&app, &id, b"m").await), Code::KeyUnknown);
    assert_eq!(code(world.custody.authorise_app(&app, &id, "payroll", &[]).await), Code::KeyUnknown);
    assert_eq!(code(world.custody.revoke_app(&alice, "mine", "payroll", &[]).await), Code::NotAuthorised);
    let receipt = world.custody.authorise_app(&alice, "mine", "payroll", b"lend").await.unwrap();
    assert_eq!(world.custody.authorise_app(&alice, "mine", "payroll", b"lend").await.unwrap(), receipt);
    check(&world.sign(&app, &id, b"m").await.unwrap(), b"m");
    // What would be the owner's word, on the ledger or to an association, is not lent.
    for word in [&b"\x0ckeyward/x/v1"[..], b"Keyward association v1: x"] {
        assert_eq!(code(world.sign(&app, &id, word).await), Code::PayloadReserved);
        check(&world.sign(&alice, &id, word).await.unwrap(), word);
    }
    let other = world.caller("keyward://app/other").await;
    assert_eq!(code(world.sign(&other, &id, b"m").await), Code::KeyUnknown);
    let operator = world.caller("keyward://operator/payroll").await;
    assert_ne!(code(world.sign(&operator, &id, b"m").await), Code::Internal, "apps only");

    let beside = world.beside().await;
    let message = Input::Message(b"m");
    beside.sign(&app, &id, (&message, unsaid()), &[]).await.unwrap();

    // A revocation counts at once, here and at another server, even when its record has to wait.
    world.ledger.set(Mood::Gone);
    assert_eq!(code(world.custody.revoke_app(&alice, "mine", "payroll", &[]).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    assert_eq!(code(world.sign(&app, &id, b"m").await), Code::KeyUnknown);
    assert_eq!(code(beside.sign(&app, &id, (&message, unsaid()), &[]).await), Code::KeyUnknown);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);

    // An authorisation that was not heard to be recorded is taken back.
    world.ledger.set(Mood::Deaf);
    assert_eq!(
        code(world.custody.authorise_app(&alice, "mine", "payroll", &[]).await),
        Code::LedgerUnavailable
    );
    world.ledger.set(Mood::Good);
    world.custody.settle_acts().await.unwrap();
    assert_eq!(code(world.sign(&app, &id, b"m").await), Code::KeyUnknown);
}

#[tokio::test]
async fn a_closed_account_is_closed_for_good() {
    let world = World::new().await;
    register(&world, "alice").await.unwrap();
    let token = log_in(&world, "alice", "correct horse", None).await.unwrap();
    let alice = world.custody.authenticate(&shown(APP, Some(token))).await.unwrap();
    let made = make(&world, &alice, Scheme::Ed25519).await;
    world.custody.import_key(&alice, &import(&made, "mine")).await.unwrap();
    let beside = world.beside().await;
    beside.authenticate(&shown(APP, Some(token))).await.unwrap();
    let entry = closing(&world, "alice").await;
    world.custody.close_account(&alice, &entry, b"bye").await.unwrap();
    world.pass_ms(3_000);
    assert_eq!(
        code(beside.authenticate(&shown(APP, Some(token))).await),
        Code::SessionExpired,
        "elsewhere too"
    );
    assert_eq!(code(world.custody.authenticate(&shown(APP, Some(token))).await), Code::SessionExpired);
    assert_eq!(code(world.sign(&alice, "mine", b"m").await), Code::AccountClosed, "the ledger refuses");
    assert_eq!(code(log_in(&world, "alice", "correct horse", None).await), Code::LoginFailed);
    assert_eq!(code(register(&world, "alice").await), Code::AccountExists);
}

#[tokio::test]
async fn a_session_without_the_credential_closes_nothing() {
    let world = World::new().await;
    let (alice, _) = (person(&world, "alice").await, person(&world, "bob").await);
    let mine = closing(&world, "alice").await;
    let bobs = closing(&world, "bob").await;
    let old = Entry::CloseAccount { account: alice.account.unwrap().0 }.encode();
    for entry in [&b""[..], &mine[..mine.len() - 1], &bobs, &old, &[mine.as_slice(), &[0; 4096]].concat()] {
        assert_eq!(code(world.custody.close_account(&alice, entry, &[]).await), Code::EntryMalformed);
    }
    let Entry::Authored(authored) = Entry::decode(&mine).unwrap() else { panic!() };
    let mut forged = authored.clone();
    forged.authors[0].signature[0] ^= 1;
    let unsigned = Authored { authors: Vec::new(), ..authored };
    for (authored, refused) in
        [(forged, Code::AuthorSignatureInvalid), (unsigned, Code::of_ledger("AUTHORS_MISSING"))]
    {
        let entry = Entry::Authored(authored).encode();
        assert_eq!(code(world.custody.close_account(&alice, &entry, b"mark").await), refused);
    }
    assert_eq!(world.custody.show_account(&alice).await.unwrap().0.state.word(), "open");
    // The mark is free again.
    world.custody.close_account(&alice, &mine, b"mark").await.unwrap();
}

#[tokio::test]
async fn what_the_ledger_refuses_to_close_stays_open_here_after_a_crash() {
    let world = World::new().await;
    let alice = person(&world, "alice").await;
    let entry = closing(&world, "alice").await;
    world.ledger.set(Mood::Gone);
    assert_eq!(code(world.custody.close_account(&alice, &entry, &[]).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    // Its signature does not count any more when it is handed in again.
    world.ledger.height.fetch_add(200, std::sync::atomic::Ordering::Relaxed);
    let world = world.restart().await;
    world.custody.store.take_over().await.unwrap();
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    let row = world.custody.store.account_by_name("user", "alice").await.unwrap().unwrap();
    assert_eq!(row.state.word(), "open");
}

#[tokio::test]
async fn what_an_old_state_shows_neither_opens_nor_closes_an_account() {
    let world = World::new().await;
    let alice = person(&world, "alice").await;
    let entry = closing(&world, "alice").await;
    let bob = prepare_registration(&world, "bob").await.unwrap();
    world.ledger.set(Mood::Deaf);
    assert_eq!(code(world.custody.close_account(&alice, &entry, &[]).await), Code::LedgerUnavailable);
    // Of this one the account is recorded, and not yet its credential.
    assert_eq!(code(world.custody.register_finish(bob).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Old);
    let world = world.restart().await;
    world.custody.store.take_over().await.unwrap();
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    let state = async |user| {
        let row = world.custody.store.account_by_name("user", user).await.unwrap();
        row.unwrap().state.word()
    };
    assert_eq!([state("alice").await, state("bob").await], ["closed", "open"]);
}

#[tokio::test]
async fn an_account_that_another_service_closed_is_closed_here_once_its_person_asks() {
    let world = World::new().await;
    let alice = person(&world, "alice").await;
    let (first, second) = (closing(&world, "alice").await, closing(&world, "alice").await);
    assert!(world.ledger.record(Entry::decode(&first).unwrap()).outcome().is_accepted());
    assert_eq!(code(world.custody.close_account(&alice, &second, &[]).await), Code::AccountClosed);
    let row = world.custody.store.account_by_name("user", "alice").await.unwrap().unwrap();
    assert_eq!(row.state.word(), "closed");
    assert_eq!(code(log_in(&world, "alice", "correct horse", None).await), Code::LoginFailed);
}

#[tokio::test]
async fn a_login_that_began_under_another_password_or_before_the_end_opens_no_session() {
    for ends in [false, true] {
        let world = World::new().await;
        let account = register(&world, "alice").await.unwrap();
        let secret = password("correct horse");
        let (client, request) = ClientLogin::start(&secret).unwrap();
        let (id, response) = world.custody.login_start("alice", &request).await.unwrap();
        let finalization = client.finish(&secret, &response, Stretch::WeakForTests).unwrap().finalization;
        let meanwhile = if ends {
            world.custody.closing_beside_addresses(account)
        } else {
            let credential = [7; 32];
            let other = Change::SetPassword { account, opaque_record: vec![1; 224], credential };
            vec![other, Change::EndSessions(account)]
        };
        world.custody.store.apply(meanwhile).await.unwrap();
        let overtaken = world.custody.login_finish(id, &finalization, None).await;
        assert_eq!(code(overtaken.map(drop)), Code::LoginFailed);
    }
}

#[tokio::test]
async fn of_too_many_challenges_and_sessions_the_oldest_go() {
    let world = World::new().await;
    let person = alice(&world).await;
    let mut nonces = Vec::new();
    for _ in 0..=keyward_domain::challenge::OPEN_MAX {
        world.pass_ms(1);
        nonces.push(world.custody.prepare_import(&person, "ed25519").await.unwrap().nonce);
    }
    let now_ms = crate::ports::Clock::now_ms(world.clock.as_ref());
    let store = &world.custody.store;
    assert_eq!(store.take_challenge(nonces[0], now_ms).await.unwrap(), keyward_store::Taken::Unknown);
    assert_ne!(store.take_challenge(nonces[1], now_ms).await.unwrap(), keyward_store::Taken::Unknown);

    let mut tokens = Vec::new();
    for _ in 0..=keyward_domain::session::LIVE_MAX {
        world.pass_ms(1);
        let token = log_in(&world, "alice", "correct horse", None).await.unwrap();
        // Shown once, so that it is in memory too.
        world.custody.authenticate(&shown(APP, Some(token))).await.unwrap();
        tokens.push(token);
    }
    let refused = world.custody.authenticate(&shown(APP, Some(tokens[0]))).await;
    assert_eq!(code(refused), Code::SessionExpired);
    for token in &tokens[1..] {
        world.custody.authenticate(&shown(APP, Some(*token))).await.unwrap();
    }
}
