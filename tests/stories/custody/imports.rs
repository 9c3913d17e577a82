//! A person's key on its way in: the challenge counts once and in time, for its account and its key.

use keyward_crypto::{ImportBinding, SigningKey, seal_to_service};
use keyward_domain::{Code, Mode, possession_challenge, scheme::Scheme};
use keyward_proto::custody::{ImportKeyRequest, KeyWithReceipt, PrepareImportRequest, PrepareImportResponse};
use keyward_store::{Challenge, Change, Store as _};
use tonic::Status;

use super::world::{Person, World, accepted, inner};

fn array(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap()
}

async fn prepare(person: &Person, scheme: &str) -> Result<PrepareImportResponse, Status> {
    let message = PrepareImportRequest { scheme: scheme.to_owned() };
    inner(person.client.keys().prepare_import(person.client.request(message)).await)
}

/// The import that answers a challenge with a key.
fn answer(prepared: &PrepareImportResponse, alias: &str, key: &SigningKey) -> ImportKeyRequest {
    let public = key.public_key();
    let (chain, account, nonce) =
        (array(&prepared.chain_id), array(&prepared.account), array(&prepared.nonce));
    let message = possession_challenge(&chain, &account, Mode::Hosted, public, &nonce, prepared.not_after);
    let binding = ImportBinding { chain_id: &chain, account: &account, nonce: &nonce, public_key: public };
    let sealed = key.expose(|secret| seal_to_service(&prepared.sealing_key, &binding, secret)).unwrap();
    ImportKeyRequest {
        alias: alias.to_owned(),
        scheme: public.scheme().name().to_owned(),
        public_key: public.as_bytes().to_vec().into(),
        nonce: prepared.nonce.clone(),
        not_after: prepared.not_after,
        proof: key.sign_message(&message).unwrap().into(),
        sealed_private_key: sealed.into(),
        ..Default::default()
    }
}

async fn import(person: &Person, request: &ImportKeyRequest) -> Result<KeyWithReceipt, Status> {
    inner(person.client.keys().import(person.client.request(request.clone())).await)
}

fn fresh(scheme: Scheme) -> SigningKey {
    SigningKey::generate(scheme).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_counts_once_in_time_and_for_its_own_account() {
    let mut world = World::enter().await;
    let hanna = world.person("import-hanna").await;
    let igor = world.person("import-igor").await;
    let key = fresh(Scheme::EcdsaP256);
    let prepared = prepare(&hanna, "ecdsa-p256").await.unwrap();

    // Another's challenge: refused, and used up.
    let stolen = answer(&prepared, "stolen", &key);
    world.refused(Code::ChallengeReplayed, import(&igor, &stolen)).await;
    world.refused(Code::ChallengeReplayed, import(&hanna, &stolen)).await;

    world.news().await;
    let prepared = prepare(&hanna, "ecdsa-p256").await.unwrap();
    let good = answer(&prepared, "first", &key);
    import(&hanna, &good).await.unwrap();
    assert_eq!(world.news().await, accepted(&["bind-key"]));
    let again = ImportKeyRequest { alias: "again".into(), ..good };
    world.refused(Code::ChallengeReplayed, import(&hanna, &again)).await;
    let other = answer(&prepared, "other", &fresh(Scheme::EcdsaP256));
    world.refused(Code::ChallengeReplayed, import(&hanna, &other)).await;
    let invented = PrepareImportResponse { nonce: vec![7; 32].into(), ..prepared.clone() };
    let invented = answer(&invented, "invented", &fresh(Scheme::EcdsaP256));
    world.refused(Code::ChallengeReplayed, import(&hanna, &invented)).await;

    // Ten minutes and two thousand blocks pass for no test: what they would leave is put there.
    let height = world.height().await;
    for (nonce, not_after, expires_ms) in [([1; 32], height - 1, u64::MAX / 4), ([2; 32], height + 1000, 1)] {
        let row = Challenge {
            nonce,
            account: hanna.account,
            scheme: Scheme::EcdsaP256.code(),
            not_after,
            expires_ms,
        };
        world.database().await.apply(vec![Change::PutChallenge(row)]).await.unwrap();
        let old = PrepareImportResponse { nonce: nonce.to_vec().into(), not_after, ..prepared.clone() };
        let late = answer(&old, "late", &fresh(Scheme::EcdsaP256));
        world.refused(Code::ChallengeExpired, import(&hanna, &late)).await;
        world.refused(Code::ChallengeReplayed, import(&hanna, &late)).await;
    }
    assert_eq!(hanna.client.list_keys().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_counts_for_the_key_that_made_it() {
    let mut world = World::enter().await;
    let jana = world.person("import-jana").await;
    let schemes = [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::EcdsaP256, Scheme::Ed25519];
    for scheme in schemes {
        let (key, other) = (fresh(scheme), fresh(scheme));
        let prepared = prepare(&jana, scheme.name()).await.unwrap();
        let by_another = ImportKeyRequest {
            proof: answer(&prepared, "x", &other).proof,
            ..answer(&prepared, "proof", &key)
        };
        world.refused(Code::ProofInvalid, import(&jana, &by_another)).await;
        let prepared = prepare(&jana, scheme.name()).await.unwrap();
        let later =
            ImportKeyRequest { not_after: prepared.not_after + 1, ..answer(&prepared, "proof", &key) };
        world.refused(Code::ProofInvalid, import(&jana, &later)).await;
        let prepared = prepare(&jana, scheme.name()).await.unwrap();
        let sealed = answer(&prepared, "x", &other).sealed_private_key;
        let anothers = ImportKeyRequest { sealed_private_key: sealed, ..answer(&prepared, "proof", &key) };
        world.refused(Code::SealedKeyInvalid, import(&jana, &anothers)).await;
    }
    for len in [0, 1, 63, 64, 65, 72] {
        let prepared = prepare(&jana, "ed25519").await.unwrap();
        let request = answer(&prepared, "proof", &fresh(Scheme::Ed25519));
        let garbage = ImportKeyRequest { proof: vec![7; len].into(), ..request };
        world.refused(Code::ProofInvalid, import(&jana, &garbage)).await;
    }
    for len in [0, 1, 31, 32, 79, 80, 81, 500] {
        let prepared = prepare(&jana, "ed25519").await.unwrap();
        let request = answer(&prepared, "proof", &fresh(Scheme::Ed25519));
        let garbage = ImportKeyRequest { sealed_private_key: vec![7; len].into(), ..request };
        world.refused(Code::SealedKeyInvalid, import(&jana, &garbage)).await;
    }
    // A challenge made for one scheme is no challenge for another.
    let prepared = prepare(&jana, "ecdsa-secp256k1").await.unwrap();
    world
        .refused(Code::ProofInvalid, import(&jana, &answer(&prepared, "proof", &fresh(Scheme::Bip340))))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_is_bound_once_whoever_asks() {
    let mut world = World::enter().await;
    let kurt = world.person("import-kurt").await;
    let lena = world.person("import-lena").await;
    let key = fresh(Scheme::Bip340);
    let request = answer(&prepare(&kurt, "bip340").await.unwrap(), "bound", &key);
    import(&kurt, &request).await.unwrap();
    for (person, alias) in [(&kurt, "bound-again"), (&lena, "bound")] {
        let again = answer(&prepare(person, "bip340").await.unwrap(), alias, &key);
        world.refused(Code::KeyAlreadyBound, import(person, &again)).await;
    }
    let other = answer(&prepare(&kurt, "bip340").await.unwrap(), "bound", &fresh(Scheme::Bip340));
    world.refused(Code::AliasTaken, import(&kurt, &other)).await;
    kurt.client.sign_message("bound", b"his all the same").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_malformed_are_named() {
    let mut world = World::enter().await;
    let mona = world.person("import-mona").await;
    let prepared = prepare(&mona, "ed25519").await.unwrap();
    let good = answer(&prepared, "fields", &fresh(Scheme::Ed25519));
    for len in [0, 31, 33] {
        let request = ImportKeyRequest { nonce: vec![7; len].into(), ..good.clone() };
        let refusal = world.refused(Code::InvalidArgument, import(&mona, &request)).await;
        assert!(refusal.message.contains("`nonce`"), "{refusal:?}");
    }
    for bytes in [vec![], vec![7; 31], vec![7; 33], vec![0xff; 32]] {
        let request = ImportKeyRequest { public_key: bytes.into(), ..good.clone() };
        world.refused(Code::PublicKeyInvalid, import(&mona, &request)).await;
    }
    let request = ImportKeyRequest { alias: "a".repeat(65), ..good.clone() };
    world.refused(Code::AliasInvalid, import(&mona, &request)).await;
    let request = ImportKeyRequest { scheme: "morse".into(), ..good.clone() };
    world.refused(Code::SchemeUnknown, import(&mona, &request)).await;
    let request = ImportKeyRequest { idempotency_key: vec![7; 65].into(), ..good.clone() };
    world.refused(Code::InvalidArgument, import(&mona, &request)).await;
    world.refused(Code::SchemeUnknown, prepare(&mona, "morse")).await;
    world.refused(Code::SchemeNotHosted, prepare(&mona, "rsa-pss")).await;
    // None of this has used the challenge up.
    import(&mona, &good).await.unwrap();
}
