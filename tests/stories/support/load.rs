//! Signing under load, and what must hold afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use keyward_client::{Client, ClientError};
use keyward_ledger_core::{
    entry::Entry,
    hash::{Hash, signature_hash},
    receipt::Receipt,
};
use keyward_ledger_verify::verify_receipt;
use keyward_proto::custody::{
    SignBatchRequest, SignRequest, sign_request::Payload, sign_stream_response::Result as Signed,
};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;

use super::{keyward::Keyward, until};

const WORKERS: usize = 4;
const BATCH: u64 = 8;

/// A signature that the service acknowledged.
#[derive(Clone)]
pub struct Acknowledged {
    pub message: Vec<u8>,
    pub signature: Vec<u8>,
    pub receipt: Vec<u8>,
}

/// What the load has met so far.
#[derive(Default)]
pub struct Met {
    pub signed: Vec<Acknowledged>,
    /// Refusals by their code; a broken connection counts as `UNREACHABLE`.
    pub refused: BTreeMap<String, usize>,
}

/// Workers that sign batches without a pause, through everything that happens, until stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    met: Arc<Mutex<Met>>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins to sign with a key of the app.
    pub async fn start(keyward: &Keyward, key: &str) -> Self {
        let (stop, met) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Met>>::default());
        let mut workers = Vec::new();
        for worker in 0..WORKERS {
            let client = keyward.client("app").await;
            let (stop, met, key) = (stop.clone(), met.clone(), key.to_owned());
            workers.push(tokio::spawn(async move {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    sign_batch(&client, &key, &format!("worker {worker} round {round}"), &met).await;
                    round += 1;
                }
            }));
        }
        Self { stop, met, workers }
    }

    /// How many signatures were acknowledged so far.
    pub fn signed(&self) -> usize {
        self.met.lock().unwrap().signed.len()
    }

    /// Waits until so many more signatures are acknowledged.
    pub async fn signs(&self, more: usize) {
        let goal = self.signed() + more;
        until("signing to go on", async || self.signed() >= goal).await;
    }

    /// Ends the workers.
    pub async fn stop(self) -> Met {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.unwrap();
        }
        std::mem::take(&mut self.met.lock().unwrap())
    }
}

async fn sign_batch(client: &Client, key: &str, text: &str, met: &Mutex<Met>) {
    let messages: Vec<_> = (0..BATCH).map(|tag| format!("{text} request {tag}").into_bytes()).collect();
    let requests = messages.iter().zip(0..).map(|(message, tag)| SignRequest {
        key: key.to_owned(),
        payload: Some(Payload::Message(message.clone().into())),
        tag,
        ..Default::default()
    });
    let request = client.request(SignBatchRequest { requests: requests.collect() });
    let answer = client.signing().sign_batch(request).await.map_err(|status| client.refusal(status));
    let mut refused = Vec::new();
    match answer {
        Ok(answer) => {
            for response in answer.into_inner().responses {
                match response.result.unwrap() {
                    Signed::Signed(signed) => met.lock().unwrap().signed.push(Acknowledged {
                        message: messages[usize::try_from(response.tag).unwrap()].clone(),
                        signature: signed.signature.to_vec(),
                        receipt: signed.receipt.to_vec(),
                    }),
                    Signed::Refusal(refusal) => {
                        assert!(refusal.retry, "under load only what may be retried: {refusal:?}");
                        refused.push(refusal.code);
                    }
                }
            }
        }
        Err(error) => {
            assert!(error.retryable(), "under load only what may be retried: {error:?}");
            refused.push(match error {
                ClientError::Refused(refusal) => refusal.code_name,
                _ => "UNREACHABLE".to_owned(),
            });
        }
    }
    let paused = !refused.is_empty();
    for code in refused {
        *met.lock().unwrap().refused.entry(code).or_default() += 1;
    }
    if paused {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every record of the ledger by its leaf index, as one validator proves it; at least `size` of them.
pub async fn records(keyward: &Keyward, node: &str, size: u64) -> BTreeMap<u64, Vec<u8>> {
    let client = keyward.ledger(&[node.to_owned()]).await;
    let mut records = BTreeMap::new();
    let mut blocks = Box::pin(client.follow(1).await.unwrap());
    while (records.len() as u64) < size {
        let block = tokio::time::timeout(Duration::from_secs(180), blocks.next()).await;
        let block = block.expect("the validator holds every record").unwrap().unwrap();
        for recorded in block.records {
            records.insert(recorded.leaf_index, recorded.record().encode());
        }
    }
    records
}

/// Every acknowledged receipt verifies offline, and every validator proves its record under the same leaf index.
pub async fn nothing_is_lost(keyward: &Keyward, signed: &[Acknowledged]) {
    let trust = std::fs::read(keyward.trust()).unwrap();
    let mut expected = BTreeMap::new();
    for Acknowledged { message, signature, receipt } in signed {
        let verdict = verify_receipt(&trust, receipt, Some(message)).unwrap();
        assert!(verdict.accepted);
        assert_eq!(verdict.signature.as_ref(), Some(signature));
        let record = Receipt::decode(receipt).unwrap().record;
        assert!(expected.insert(verdict.leaf_index, record).is_none(), "one record for one signature");
    }
    let size = expected.keys().next_back().map_or(0, |last| last + 1);
    for node in keyward.nodes() {
        let found = records(keyward, &node, size).await;
        for (leaf_index, record) in &expected {
            assert_eq!(found.get(leaf_index), Some(record), "record {leaf_index} on {node}");
        }
    }
}

/// Accepted intents and releases of the whole ledger, as one validator proves them.
pub struct Claims {
    pub intents: BTreeSet<Hash>,
    /// Signature hash by intent.
    pub releases: BTreeMap<Hash, Hash>,
}

impl Claims {
    pub async fn read(keyward: &Keyward) -> Self {
        let client = keyward.ledger(&keyward.nodes()).await;
        // A validator that is behind says less.
        let sizes = client.statuses().await.into_iter().filter_map(|(_, status)| Some(status.ok()?.log_size));
        let size = sizes.max().expect("a validator answers");
        let (mut intents, mut releases) = (BTreeSet::new(), BTreeMap::new());
        for leaf in records(keyward, &keyward.nodes()[0], size).await.into_values() {
            let record = keyward_ledger_core::record::Record::decode(&leaf).unwrap();
            match Entry::decode(&record.entry) {
                Ok(Entry::Intent(intent)) if record.outcome.is_accepted() => {
                    assert!(intents.insert(intent.id));
                }
                Ok(Entry::Release(release)) if record.outcome.is_accepted() => {
                    assert!(intents.contains(&release.intent_id), "a release follows its intent");
                    assert!(releases.insert(release.intent_id, release.signature_hash).is_none());
                }
                _ => {}
            }
        }
        Self { intents, releases }
    }

    /// Whether the release of a signature is recorded.
    pub fn hold(&self, signed: &[Acknowledged]) -> bool {
        let released: BTreeSet<_> = self.releases.values().copied().collect();
        signed.iter().all(|signed| released.contains(&signature_hash(&signed.signature)))
    }
}
