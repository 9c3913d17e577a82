//! `keyward bench sign --mode shared`: a person and t of n keepers sign together.
//!
//! All of it runs: the person's side makes its share of each signature and verifies every receipt against the trust file,
//! keepers look the intent up on the ledger, the service puts the shares together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyward_client::shared::{SharedError, SharedOrder, SharedSignOrder, SharedSigner};
use keyward_client::vault::KeeperChoice;
use keyward_domain::scheme::Scheme;
use keyward_ledger_verify::verify_receipt;
use tokio::task::JoinSet;

use super::bare;
use super::load::{self, Measured, Plan, Recorder};
use super::person::Person;
use super::report::{Part, Report};
use super::sign::MESSAGE_BYTES;
use super::site::{Folder, Site};
use crate::commands::Context;
use crate::commands::shared::is_experimental;
use crate::failure::{Failure, Result};
use crate::files;
use crate::service::failed;

const BARE: &str = "one signature of a whole key and one verification";
/// How long one client asks alone.
const ALONE: Plan = Plan { warm_up: Duration::from_millis(500), seconds: Duration::from_secs(3) };
const CANNOT: &str = "shared keys cannot be measured";

/// What is measured, and how hard.
pub(super) struct Shared {
    pub(super) scheme: Scheme,
    pub(super) threshold: u8,
    pub(super) keepers: u8,
    pub(super) connections: usize,
    pub(super) concurrency: usize,
    pub(super) plan: Plan,
}

/// What every worker needs.
struct Job {
    trust: Vec<u8>,
    count: AtomicU64,
    run: [u8; 8],
}

impl Shared {
    pub(super) async fn measure(self, context: &Context, site: &Site) -> Result<Report> {
        let bare_us = bare::signature(self.scheme).await?;
        let (folder, job) = (Folder::make()?, Arc::new(Job::new(site)?));
        let signers = {
            let _waiting = context.output.wait_for("a person and their keepers make a key");
            self.signers(site, &folder).await?
        };
        let alone = {
            let _waiting = context.output.wait_for("one client alone");
            run(site, ALONE, &signers, &job, 1).await?
        };
        let words = format!("{} at once for {} s", self.concurrency, self.plan.seconds.as_secs());
        let waiting = context.output.wait_for(words);
        let measured = run(site, self.plan, &signers, &job, self.concurrency).await?;
        drop(waiting);
        Ok(Report {
            what: format!(
                "sign {MESSAGE_BYTES}-byte messages with a {} key that a person shares{} with {} keepers, {} of whom sign, \
                 each with its final receipt, verified",
                self.scheme,
                if is_experimental(self.scheme) { " by an experimental protocol" } else { "" },
                self.keepers,
                self.threshold
            ),
            main: Part { interface: "shared", concurrency: self.concurrency, measured },
            others: Vec::new(),
            bare_us,
            bare_what: BARE,
            engine_per_s: None,
            alone_p50_ms: alone.p50_ms,
            local: site.is_local(),
        })
    }

    /// One key, and its holder's side on as many connections as are wanted.
    async fn signers(&self, site: &Site, folder: &Folder) -> Result<Vec<Arc<SharedSigner>>> {
        let cannot = failed(CANNOT);
        let person = Person::register(site).await?;
        let (client, login) = person.log_in(site).await?;
        let device = client.device_keys(&folder.0).map_err(|error| cannot(error.into()))?;
        let order = SharedOrder {
            alias: "bench".to_owned(),
            scheme: self.scheme,
            experimental: true,
            threshold: self.threshold,
            keepers: KeeperChoice::Any(usize::from(self.keepers)),
            approval_rule: None,
            policy_tenant: None,
            lock_ms: 0,
        };
        client.create_shared_key(&order, &login, &device, &|_| ()).await.map_err(&cannot)?;
        let mut signers = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            let (client, login) = person.log_in(site).await?;
            let signer = client.shared_signer("bench", login, &device).await;
            signers.push(Arc::new(signer.map_err(&cannot)?));
        }
        Ok(signers)
    }
}

async fn run(
    site: &Site,
    plan: Plan,
    signers: &[Arc<SharedSigner>],
    job: &Arc<Job>,
    concurrency: usize,
) -> Result<Measured> {
    let recorder = Arc::new(Recorder::default());
    let mut workers = JoinSet::new();
    for signer in signers.iter().cycle().take(concurrency) {
        workers.spawn(work(Arc::clone(signer), Arc::clone(job), Arc::clone(&recorder)));
    }
    load::run(site, plan, recorder, workers).await
}

async fn work(signer: Arc<SharedSigner>, job: Arc<Job>, recorder: Arc<Recorder>) {
    while !recorder.over() {
        let (message, started) = (job.message(), Instant::now());
        match one(&signer, &message).await {
            Ok(receipt) => {
                recorder.done(started, 1);
                if recorder.verify_next() {
                    match verify_receipt(&job.trust, &receipt, Some(&message)) {
                        Ok(verdict) if verdict.accepted => recorder.verified(),
                        Ok(_) => recorder.broken("a receipt is of a refused intent"),
                        Err(error) => recorder.broken(error),
                    }
                }
            }
            Err(error) => recorder.failed(error).await,
        }
    }
}

/// One signature, which the person's side has verified with its receipt.
async fn one(signer: &SharedSigner, message: &[u8]) -> std::result::Result<Vec<u8>, SharedError> {
    let order = SharedSignOrder::message(signer.status().key.scheme(), message)?;
    Ok(signer.sign(&order).await?.receipt)
}

impl Job {
    fn new(site: &Site) -> Result<Self> {
        let profile = site.profile("app")?;
        let trust = files::read(&profile.path(&profile.file.trust))?;
        let mut run = [0; 8];
        getrandom::fill(&mut run).map_err(|error| {
            Failure::refused("the system gives no random bytes", "try again").because(&error)
        })?;
        Ok(Self { trust, count: AtomicU64::new(0), run })
    }

    fn message(&self) -> Vec<u8> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let mut message = [&self.run[..], &number.to_be_bytes()].concat();
        message.resize(MESSAGE_BYTES, 0);
        message
    }
}
