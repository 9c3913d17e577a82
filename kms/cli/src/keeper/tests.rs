//! A validator with its keeper, in this process, as `keyward node` runs them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use keyward_keeper::{Circle as _, Refused, Said};
use keyward_ledger_client::{Config, DEADLINE, Identity};
use keyward_ledger_core::{genesis::Genesis, keeper};
use keyward_proto::custody::{DrillShareRequest, keepers_client::KeepersClient};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

use super::*;
use crate::certificate::principal_of;
use crate::config::keeper::make;
use crate::config::serve::read_trust;
use crate::files;
use crate::local::cluster::Cluster;
use crate::local::state::Wanted;
use crate::output::{Format, Output};
use crate::sealed::OperatorSecret;

/// The folder of `up` with one validator, made and configured, and nothing of it started.
struct Place {
    cluster: Cluster,
    file: PathBuf,
    config: NodeConfig,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let _installed_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let wanted = Wanted { validators: Some(1), ..Wanted::default() };
        let mut cluster = Cluster::open(folder.path(), wanted, Output { format: Format::Json }).unwrap();
        cluster.configure().unwrap();
        let file = cluster.layout.node_config(1);
        let config = NodeConfig::load(&file, &[]).unwrap();
        Self { cluster, file, config, _folder: folder }
    }

    fn key_file(&self, key: KeeperKey) -> PathBuf {
        self.cluster.layout.keeper_key(1, key)
    }

    /// Runs node and keeper while a story is told, and ends them in order.
    async fn run(&self, story: impl Future<Output = ()>) {
        let started = start_with(&self.config, &self.file, [50, 100].map(Duration::from_millis).into());
        let Started { beside, serves, keeping } = started;
        let (told, end) = oneshot::channel::<()>();
        let end = async move {
            end.await.unwrap();
            keeping.unwrap().end().await;
        };
        let ready = |address| serves.unwrap().send(address).unwrap();
        let node = keyward_ledger_node::run(self.config.open(&self.file).unwrap(), beside, end, ready);
        let story = async {
            tokio::time::timeout(Duration::from_secs(180), story).await.expect("the story takes too long");
            told.send(()).unwrap();
        };
        tokio::join!(async { node.await.unwrap() }, story);
    }

    fn identity(&self) -> Identity {
        let layout = &self.cluster.layout;
        let folder = layout.profile("operator");
        Identity {
            ca_pem: files::read_text(&layout.ca()).unwrap(),
            certificate_pem: files::read_text(&folder.join("certificate.pem")).unwrap(),
            key_pem: files::read_secret(&folder.join("key.pem")).unwrap(),
        }
    }

    fn keepers(&self) -> KeepersClient<Channel> {
        let Identity { ca_pem, certificate_pem, key_pem } = self.identity();
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca_pem))
            .identity(tonic::transport::Identity::from_pem(certificate_pem, key_pem.as_bytes()));
        let endpoint = Endpoint::from_shared(self.cluster.node_urls().remove(0)).unwrap();
        KeepersClient::new(endpoint.tls_config(tls).unwrap().connect_lazy())
    }

    async fn drill(&self, nonce: &[u8]) -> Status {
        let [account, vault] = [[1; 32], [2; 32]].map(|bytes| bytes.to_vec().into());
        let request = DrillShareRequest { account, vault, nonce: nonce.to_vec().into() };
        self.keepers().drill(request).await.unwrap_err()
    }

    /// The answer of the keeper itself, once it is there.
    async fn answer(&self, nonce: &[u8]) -> Status {
        loop {
            let status = self.drill(nonce).await;
            // Before the port is open, before the keeper is there, before a block is final.
            if status.code() != Code::Unavailable {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ledger(&self) -> Client {
        loop {
            let config = Config {
                nodes: self.cluster.node_urls(),
                identity: self.identity(),
                trust: read_trust(&self.cluster.layout.trust()).unwrap(),
                deadline: DEADLINE,
                dial: None,
            };
            if let Ok(client) = Client::connect(config).await {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the newest alarm of a code is as wanted.
    async fn alarm(
        &self,
        client: &Client,
        code: &str,
        wanted: impl Fn(&keyward_ledger_client::Alarm) -> bool,
    ) {
        loop {
            // On a busy machine an answer may come too late.
            let status = client.status().await.ok().and_then(|status| status.operation);
            let alarm = status.and_then(|status| status.alarms.into_iter().find(|alarm| alarm.code == code));
            if alarm.as_ref().is_some_and(&wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn code(status: &Status) -> &str {
    status.metadata().get("keyward-code").unwrap().to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_for_its_keeper_beside_its_ledger() {
    let place = Place::new();
    place
        .run(async {
            let unknown = place.answer(&[3; 32]).await;
            assert_eq!((unknown.code(), code(&unknown)), (Code::NotFound, "VAULT_SHARE_MISSING"));
            assert_eq!(code(&place.drill(&[3; 31]).await), "VAULT_REQUEST_MALFORMED");
            let client = place.ledger().await;
            assert_eq!(client.status().await.unwrap().operation.unwrap().alarms_open, 0);
            // The shares lie below the data folder, and the ledger has the keeper as it is here.
            assert!(place.config.keeper_folder(&place.file, place.config.keeper.as_ref().unwrap()).is_dir());
            let state = client.state(&keeper_key(&keeper_id("keeper-1"))).await.unwrap();
            let known = KeeperState::decode(&state.value.unwrap()).unwrap();
            let ours = check(&place.config, &place.file).unwrap().unwrap();
            assert_eq!(standing(Some(&known), &ours).map(|failure| failure.message()), None);
            assert_eq!(known.keeper.rpc, place.cluster.node_urls()[0]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_without_a_key_stops_no_validator_and_begins_once_the_key_is_back() {
    let place = Place::new();
    let file = place.key_file(KeeperKey::Storage);
    let away = file.with_extension("away");
    std::fs::rename(&file, &away).unwrap();
    assert!(check(&place.config, &place.file).is_err(), "`config check` says it before the start");
    place
        .run(async {
            let client = place.ledger().await;
            let name = "keeper-storage.key";
            place.alarm(&client, "KEEPER_FAILED", |alarm| !alarm.repaired && alarm.text.contains(name)).await;
            let status = place.drill(&[3; 32]).await;
            assert_eq!((status.code(), code(&status)), (Code::Unavailable, "KEEPER_UNAVAILABLE"));
            assert!(client.proven_tip().await.is_ok(), "the ledger goes on");
            std::fs::rename(&away, &file).unwrap();
            assert_eq!(code(&place.answer(&[3; 32]).await), "VAULT_SHARE_MISSING");
            place.alarm(&client, "KEEPER_FAILED", |alarm| alarm.repaired).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_the_ledger_does_not_have_answers_and_is_an_alarm() {
    let mut place = Place::new();
    place.config.keeper.as_mut().unwrap().name = "stranger".into();
    place
        .run(async {
            assert_eq!(code(&place.answer(&[3; 32]).await), "VAULT_SHARE_MISSING");
            let client = place.ledger().await;
            place
                .alarm(&client, "KEEPER_FAILED", |alarm| {
                    !alarm.repaired && alarm.text.contains("is no keeper on the ledger")
                })
                .await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_vanishes_while_the_keeper_runs_is_an_alarm_and_the_keeper_goes_on() {
    let place = Place::new();
    place
        .run(async {
            assert_eq!(code(&place.answer(&[3; 32]).await), "VAULT_SHARE_MISSING");
            let client = place.ledger().await;
            for key in KeeperKey::ALL {
                std::fs::remove_file(place.key_file(key)).unwrap();
                client.scrub().await.remove(0).1.unwrap();
                let lost = |alarm: &keyward_ledger_client::Alarm| alarm.text.contains(key.file());
                place.alarm(&client, "KEY_DAMAGED", lost).await;
            }
            assert_eq!(code(&place.drill(&[3; 32]).await), "VAULT_SHARE_MISSING");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_were_changed_here_wait_for_the_ledger_and_are_trouble_after_a_start() {
    let place = Place::new();
    let before = check(&place.config, &place.file).unwrap().unwrap();
    let file = place.key_file(KeeperKey::Signing);
    place
        .run(async {
            assert_eq!(code(&place.answer(&[3; 32]).await), "VAULT_SHARE_MISSING");
            let secret = OperatorSecret::load(&place.cluster.layout.operator_secret()).unwrap();
            let owner = principal_of(&place.file.with_file_name("certificate.pem")).unwrap();
            std::fs::remove_file(&file).unwrap();
            let path = |key| place.cluster.layout.keeper_key(1, key);
            let after = make(&secret, path, &owner, &[KeeperKey::Signing]).unwrap();
            assert_eq!((after.sealing, after.signing == before.signing), (before.sealing, false));
            // It goes on with the key that the ledger has.
            assert_eq!(code(&place.drill(&[3; 32]).await), "VAULT_SHARE_MISSING");
            let client = place.ledger().await;
            assert_eq!(client.status().await.unwrap().operation.unwrap().alarms_open, 0);
        })
        .await;
    place
        .run(async {
            let client = place.ledger().await;
            place
                .alarm(&client, "KEEPER_FAILED", |alarm| {
                    !alarm.repaired && alarm.text.contains("other keys on the ledger")
                })
                .await;
            assert_eq!(code(&place.drill(&[3; 32]).await), "KEEPER_UNAVAILABLE");
        })
        .await;
}

#[test]
fn a_folder_is_founded_with_a_keeper_beside_each_validator() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted { validators: Some(2), ..Wanted::default() };
    let mut cluster = Cluster::open(folder.path(), wanted, Output { format: Format::Json }).unwrap();
    cluster.configure().unwrap();
    let genesis = Genesis::decode(&files::read(&cluster.layout.genesis()).unwrap()).unwrap();
    let validators = genesis.document().validators.clone();
    let mut keepers = genesis.document().keepers.clone();
    keepers.sort_by(|one, other| one.name.cmp(&other.name));
    for (index, (keeper, url)) in keepers.iter().zip(cluster.node_urls()).enumerate() {
        let file = cluster.layout.node_config(index + 1);
        let config = NodeConfig::load(&file, &[]).unwrap();
        let ours = check(&config, &file).unwrap().unwrap();
        assert_eq!(config.keeper.unwrap().name, keeper.name);
        assert_eq!((keeper.key, keeper.hpke_key, &keeper.rpc), (ours.signing, ours.sealing, &url));
        assert!(validators.contains(&keeper.validator.unwrap()));
    }
    assert_eq!(keepers.len(), 2);
    // A folder of before there were keepers has no keys for them, and goes on without.
    for key in KeeperKey::ALL {
        std::fs::remove_file(cluster.layout.keeper_key(1, key)).unwrap();
    }
    cluster.configure().unwrap();
    for (index, keeps) in [(1, false), (2, true)] {
        let file = cluster.layout.node_config(index);
        let config = NodeConfig::load(&file, &[]).unwrap();
        assert_eq!((config.keeper.is_some(), config.open(&file).is_ok()), (keeps, true));
    }
}

#[test]
fn a_keeper_that_the_ledger_has_otherwise_or_not_at_all_is_trouble() {
    let ours = PublicKeys { signing: [1; 32], sealing: [2; 32] };
    let keeper = keeper::Keeper {
        name: "bank-a".into(),
        key: ours.signing,
        hpke_key: ours.sealing,
        validator: None,
        rpc: "https://a.example:7443".into(),
    };
    let known = KeeperState { present: true, height: 0, keeper };
    assert!(standing(Some(&known), &ours).is_none());
    let gone = KeeperState { present: false, ..known.clone() };
    for none in [None, Some(&gone)] {
        assert!(standing(none, &ours).unwrap().message().contains("no keeper on the ledger"));
    }
    for other in [PublicKeys { signing: [3; 32], ..ours }, PublicKeys { sealing: [3; 32], ..ours }] {
        assert!(standing(Some(&known), &other).unwrap().message().contains("other keys"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_keepers_are_reached_as_the_node_and_their_refusals_are_no_silence() {
    let place = Place::new();
    place
        .run(async {
            assert_eq!(code(&place.answer(&[3; 32]).await), "VAULT_SHARE_MISSING");
            let peers = Peers::new(own::identity(&place.config, &place.file).unwrap());
            let said = Said { from: [1; 32], time_ms: 0, word: vec![1], signature: [0; 64] };
            let address = place.cluster.node_urls().remove(0);
            let refused = peers.say(&address, said.clone()).await.unwrap_err();
            let known = refused.source.downcast_ref::<Refused>().unwrap();
            assert_eq!((known.code.as_str(), refused.is_refusal()), ("VAULT_REQUEST_MALFORMED", true));
            for nobody in [address.replacen("https", "http", 1), "https://127.0.0.1:1".into()] {
                assert!(!peers.say(&nobody, said.clone()).await.unwrap_err().is_refusal(), "{nobody}");
            }
        })
        .await;
}
