//! Keys of mode `self` against a service that is honest, and against ones that are not.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::service::{ACCOUNT, CHAIN, Service, Twist, answer_of, start};
use keyward_client::{Client, ClientError, DeviceError, DeviceKeys, Order};
use keyward_crypto::{SecretBytes, SigningKey};
use keyward_domain::Code;
use keyward_domain::scheme::Scheme;
use keyward_proto::custody::{SignResponse, ToSign};
use tempfile::TempDir;
use tonic::transport::Endpoint;

const SCHEMES: [Scheme; 4] = [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::EcdsaP256, Scheme::Ed25519];

fn export_key() -> SecretBytes {
    SecretBytes::new(vec![3; 64])
}

struct Bench {
    service: Arc<Service>,
    client: Client,
    device: DeviceKeys,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let (service, address) = start(Twist::Honest, None).await;
        let channel = Endpoint::from_shared(address.clone()).unwrap().connect().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let device = DeviceKeys::open(folder.path(), CHAIN, ACCOUNT).unwrap();
        Self { service, client: Client::over(channel, &address), device, _folder: folder }
    }

    fn will_begin(&self, start: ToSign) {
        self.service.starts.lock().unwrap().push_back(start);
    }

    fn will_answer(&self, answer: SignResponse) {
        self.service.answers.lock().unwrap().push_back(answer);
    }

    fn finished(&self) -> usize {
        self.service.finished.lock().unwrap().len()
    }
}

fn to_sign(key: &SigningKey) -> ToSign {
    let public = key.public_key();
    ToSign {
        intent: vec![4; 32].into(),
        r: vec![0x55; 32].into(),
        key_id: public.id().as_bytes().to_vec().into(),
        public_key: public.as_bytes().to_vec().into(),
        scheme: public.scheme().name().into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_key_is_kept_on_the_device_and_signs_here_under_each_scheme() {
    let bench = Bench::new().await;
    for scheme in SCHEMES {
        let made = bench.client.create_own_key("own", scheme, &bench.device, &export_key()).await.unwrap();
        let key = bench.client.own_key("own", &bench.device, &export_key()).await.unwrap();
        assert_eq!(made.key.public_key.as_ref(), key.public_key().as_bytes());
        bench.will_begin(to_sign(&key));
        let order = Order::message("own", b"pay".to_vec()).unwrap();
        let signed = bench.client.sign_own(&order, &key).await.unwrap();
        assert_eq!(signed.public_key, *key.public_key());
        let finished = bench.service.finished.lock().unwrap().pop().unwrap();
        assert_eq!(
            (finished.intent.as_ref(), finished.signature.as_ref()),
            (&[4; 32][..], &signed.signature[..])
        );
    }
    assert_eq!(bench.device.list().unwrap().len(), SCHEMES.len());
    assert!(bench.service.imported.lock().unwrap().is_empty(), "no private part was handed over");
}

#[tokio::test]
async fn a_key_stays_on_the_device_whatever_the_service_says_of_it() {
    let bench = Bench::new().await;
    for (count, code) in [(1, Code::AliasTaken), (2, Code::LedgerUnavailable)] {
        *bench.service.refuse.lock().unwrap() = Some(code);
        let made = bench.client.create_own_key("own", Scheme::Ed25519, &bench.device, &export_key()).await;
        assert_eq!(made.unwrap_err().code(), Some(code.name()));
        let kept = bench.device.list().unwrap();
        assert_eq!(kept.len(), count, "it may be bound all the same");
        for key in kept {
            bench.device.load(&key.id(), &export_key()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_rotation_carries_the_consent_of_the_version_before() {
    let bench = Bench::new().await;
    let Bench { client, device, .. } = &bench;
    client.create_own_key("own", Scheme::EcdsaP256, device, &export_key()).await.unwrap();
    let before = bench.service.own.lock().unwrap()[0].clone();
    let rotated = client.rotate_own_key("own", device, &export_key()).await.unwrap();
    assert_eq!(rotated.key.public_key.as_ref(), bench.service.own.lock().unwrap()[1].as_bytes());
    // Without a trust file nobody vouches for the rotation: the version before is not forgotten.
    assert!(device.holds(&before.id()).unwrap());
    let wrong = client.rotate_own_key("own", device, &SecretBytes::new(vec![9; 64])).await.unwrap_err();
    assert!(matches!(wrong, ClientError::Device(DeviceError::Closed { .. })), "{wrong}");
    assert_eq!(device.list().unwrap().len(), 2, "nothing was made under another password");
}

#[tokio::test]
async fn a_service_that_names_another_key_than_the_one_of_an_alias_is_found_out() {
    let bench = Bench::new().await;
    let Bench { client, device, .. } = &bench;
    client.create_own_key("own", Scheme::Ed25519, device, &export_key()).await.unwrap();
    client.own_key("own", device, &export_key()).await.unwrap();
    // From now on this service says that `own` is the other one.
    client.create_own_key("savings", Scheme::Ed25519, device, &export_key()).await.unwrap();
    let swapped = client.own_key("own", device, &export_key()).await.unwrap_err();
    assert!(matches!(swapped, ClientError::Device(DeviceError::Alias { .. })), "{swapped}");
    let swapped = client.rotate_own_key("own", device, &export_key()).await.unwrap_err();
    assert!(matches!(swapped, ClientError::Device(DeviceError::Alias { .. })), "{swapped}");
    assert_eq!(device.list().unwrap().len(), 2, "no next version was made");
}

#[tokio::test]
async fn what_is_not_on_this_device_does_not_sign() {
    let bench = Bench::new().await;
    bench.client.create_own_key("own", Scheme::Ed25519, &bench.device, &export_key()).await.unwrap();
    let id = bench.service.own.lock().unwrap()[0].id();
    bench.device.remove(&id).unwrap();
    let missing = bench.client.own_key("own", &bench.device, &export_key()).await.unwrap_err();
    assert!(matches!(missing, ClientError::Device(DeviceError::Missing { .. })), "{missing}");
    let nobody = bench.client.device_keys(std::path::Path::new("nowhere")).unwrap_err();
    assert!(matches!(nobody, ClientError::Device(DeviceError::Nobody)), "{nobody}");
}

#[tokio::test]
async fn a_message_that_would_count_as_the_holders_word_is_not_begun() {
    let bench = Bench::new().await;
    let key = SigningKey::generate(Scheme::Ed25519).unwrap();
    let order = Order::message("own", b"\x13keyward/authored/v1 and more".to_vec()).unwrap();
    let refused = bench.client.sign_own(&order, &key).await.unwrap_err();
    assert!(matches!(refused, ClientError::Reserved), "{refused}");
    assert!(bench.service.marks.lock().unwrap().is_empty());
}

#[tokio::test]
async fn another_signature_than_the_one_made_here_is_noticed() {
    let bench = Bench::new().await;
    let key = SigningKey::generate(Scheme::Bip340).unwrap();
    let order = Order::message("own", b"pay".to_vec()).unwrap();
    bench.will_begin(to_sign(&key));
    bench.will_answer(answer_of(key.public_key(), key.sign_message(b"pay").unwrap()));
    let other = bench.client.sign_own(&order, &key).await.unwrap_err();
    let what = "it is another signature than the one made here";
    assert!(matches!(other, ClientError::Answer { what: found } if found == what), "{other}");
    let stranger = SigningKey::generate(Scheme::Bip340).unwrap();
    bench.will_begin(to_sign(&key));
    bench.will_answer(answer_of(stranger.public_key(), stranger.sign_message(b"pay").unwrap()));
    let other = bench.client.sign_own(&order, &key).await.unwrap_err();
    assert!(matches!(other, ClientError::Answer { what: "another key has signed" }), "{other}");
}

/// The frozen receipts of `tests/vectors/receipts.json`.
fn frozen() -> (Vec<u8>, Vec<u8>, impl Fn(&str) -> Vec<u8>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/receipts.json");
    let all: BTreeMap<String, String> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (trust, message) = (all["trust"].clone().into_bytes(), hex::decode(&all["message"]).unwrap());
    (trust, message, move |name| hex::decode(&all[name]).unwrap())
}

/// A receipt before its release: the released part, whose length is given, is left out.
fn standing(receipt: &[u8], released: usize) -> Vec<u8> {
    [&receipt[..receipt.len() - released - 1], &[0]].concat()
}

/// Of a scheme with public keys of this length: scheme, key, r, payload hash and 64 bytes of signature.
const fn released(public_key: usize) -> usize {
    1 + 4 + public_key + 32 + 32 + 4 + 64
}

#[tokio::test]
async fn nothing_is_signed_for_an_intent_that_the_ledger_has_not_recorded_for_it() {
    let bench = Bench::new().await;
    let (trust, message, receipt) = frozen();
    let client = bench.client.clone().with_trust(&trust).unwrap();
    let key = SigningKey::from_secret(Scheme::Ed25519, &[31; 32]).unwrap();
    let good =
        ToSign { receipt: standing(&receipt("receipt ed25519"), released(32)).into(), ..to_sign(&key) };
    let of_another_key = standing(&receipt("receipt ecdsa-secp256k1"), released(33));
    let hostile: [(&str, ToSign); 9] = [
        ("another intent's id", ToSign { intent: vec![9; 32].into(), ..good.clone() }),
        ("another r", ToSign { r: vec![0x56; 32].into(), ..good.clone() }),
        ("another key's intent", ToSign { receipt: of_another_key.clone().into(), ..good.clone() }),
        (
            "another key's, honestly named",
            ToSign { receipt: of_another_key.into(), intent: vec![1; 32].into(), ..good.clone() },
        ),
        ("a release", ToSign { receipt: receipt("receipt ed25519").into(), ..good.clone() }),
        (
            "a refused intent",
            ToSign { receipt: receipt("receipt of a refused intent").into(), ..good.clone() },
        ),
        ("a note", ToSign { receipt: receipt("receipt of a note").into(), ..good.clone() }),
        ("no receipt", ToSign { receipt: Vec::new().into(), ..good.clone() }),
        ("another key id", ToSign { key_id: vec![9; 32].into(), ..good.clone() }),
    ];
    let order = Order::message("own", message.clone()).unwrap();
    for (name, start) in hostile {
        bench.will_begin(start);
        let refused = client.sign_own(&order, &key).await.unwrap_err();
        let refusals = matches!(
            refused,
            ClientError::Receipt(_) | ClientError::ReceiptMismatch { .. } | ClientError::Answer { .. }
        );
        assert!(refusals, "{name}: {refused}");
        assert_eq!(bench.finished(), 0, "{name}");
    }
    bench.will_begin(good.clone());
    let other = Order::message("own", b"pay everything to Mallory".to_vec()).unwrap();
    assert!(matches!(client.sign_own(&other, &key).await.unwrap_err(), ClientError::Receipt(_)));
    assert_eq!(bench.finished(), 0, "the intent is for another message");

    bench.will_begin(good);
    let made = key.sign_message(&message).unwrap();
    let answer = answer_of(key.public_key(), made.clone());
    bench.will_answer(SignResponse { receipt: receipt("receipt ed25519").into(), ..answer });
    let signed = client.sign_own(&order, &key).await.unwrap();
    assert_eq!((signed.signature, bench.finished()), (made, 1));
}
