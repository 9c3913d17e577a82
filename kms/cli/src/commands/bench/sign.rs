//! `keyward bench sign`: an app's hosted key signs, unary, in batches and over streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::channel::mpsc;
use keyward_client::Client;
use keyward_domain::payload::BATCH_LEN_MAX;
use keyward_domain::scheme::{PublicKey, Scheme};
use keyward_ledger_verify::verify_receipt;
use keyward_proto::custody::sign_request::Payload;
use keyward_proto::custody::sign_stream_response::Result as Answer;
use keyward_proto::custody::{SignBatchRequest, SignRequest, SignResponse, SignStreamResponse};
use tokio::task::JoinSet;
use tonic::codegen::Bytes;

use super::load::{self, Measured, Plan, Recorder};
use super::report::{Part, Report};
use super::shared::Shared;
use super::site::Site;
use super::{Load, bare};
use crate::commands::Context;
use crate::commands::key::parse_scheme;
use crate::commands::shared::is_experimental;
use crate::failure::{Failure, Result};
use crate::files;
use crate::local::state::Wanted;
use crate::service::{As, connect, failed};

/// The length of the messages that are signed.
pub(super) const MESSAGE_BYTES: usize = 100;
const HOSTED: &str = "hosted";
const SHARED: &str = "shared";
/// A ledger needs four validators to bear the fault of one.
const VALIDATORS_MIN: usize = 4;
/// Shared signatures under way at once where nothing else is asked for.
const SHARED_CONCURRENCY: usize = 48;
/// The same where holders send one another some hundred thousand bytes: a service keeps few of one account's.
const LONG_CONCURRENCY: usize = 3;
const BARE: &str = "one signature and one verification";
/// How long one client asks alone.
const ALONE: Plan = Plan { warm_up: Duration::from_millis(500), seconds: Duration::from_secs(3) };

#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    #[command(flatten)]
    pub(super) load: Load,
    /// What is signed with: ecdsa-secp256k1, bip340, ecdsa-p256 or ed25519 [default: ecdsa-secp256k1, of shared keys ed25519].
    #[arg(long)]
    scheme: Option<String>,
    /// Where the private key is: `hosted` with the service, or `shared`, whole nowhere.
    #[arg(long, default_value = HOSTED, value_parser = [HOSTED, SHARED])]
    mode: String,
    /// Of a shared key: how many keepers there are. A Keyward of our own is founded with as many validators, four at least.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=16))]
    keepers: u8,
    /// Of a shared key: how many of them sign with the person.
    #[arg(long, value_name = "T", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=16))]
    threshold: u8,
    /// How many custody servers over one database a Keyward of our own has [default: 1].
    #[arg(long, value_name = "N")]
    servers: Option<usize>,
    /// Their database, `postgres://..` [default: an SQLite file].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Measures this way of asking alone [default: unary, and the others beside it].
    #[arg(long, value_enum)]
    interface: Option<Interface>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Interface {
    /// One request, one signature.
    Unary,
    /// Many requests in one call.
    Batch,
    /// Requests and signatures over streams.
    Stream,
}

impl Interface {
    const ALL: [Self; 3] = [Self::Unary, Self::Stream, Self::Batch];

    const fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Batch => "batch",
            Self::Stream => "stream",
        }
    }

    /// Requests under way at once where nothing else is asked for.
    const fn concurrency(self) -> usize {
        match self {
            Self::Unary => 64,
            Self::Batch | Self::Stream => 768,
        }
    }
}

impl Sign {
    pub(super) fn wanted(&self) -> Wanted {
        let validators = (self.mode == SHARED).then(|| usize::from(self.keepers).max(VALIDATORS_MIN));
        Wanted { validators, servers: self.servers, database: self.database.clone() }
    }

    pub(super) async fn measure(self, context: &Context, site: &Site) -> Result<Report> {
        if self.mode == SHARED {
            return Box::pin(self.shared()?.measure(context, site)).await;
        }
        let scheme = parse_scheme(self.scheme.as_deref().unwrap_or("ecdsa-secp256k1"))?;
        let bare_us = bare::signature(scheme).await?;
        let bench = Bench::open(site, scheme, self.load.connections(4)).await?;
        let wanted = self.interface.map_or_else(|| Interface::ALL.to_vec(), |one| vec![one]);
        let alone = {
            let _waiting = context.output.wait_for("one client alone");
            bench.run(site, ALONE, Interface::Unary, 1, 1).await?
        };
        let mut parts = Vec::new();
        for interface in wanted {
            parts.push(self.part(context, site, &bench, interface).await?);
        }
        let others = parts.split_off(1);
        let main = parts.pop().ok_or_else(|| Failure::usage("nothing is measured", "choose an interface"))?;
        Ok(Report {
            what: format!(
                "sign {MESSAGE_BYTES}-byte messages with a hosted {scheme} key through {} server(s), each with its \
                 final receipt",
                bench.servers
            ),
            main,
            others,
            bare_us,
            bare_what: BARE,
            engine_per_s: None,
            alone_p50_ms: alone.p50_ms,
            local: site.is_local(),
        })
    }

    fn shared(&self) -> Result<Shared> {
        if self.threshold > self.keepers {
            let what = format!("{} of {} keepers cannot be", self.threshold, self.keepers);
            return Err(Failure::usage(what, "give a `--threshold` that is not above `--keepers`"));
        }
        let scheme = parse_scheme(self.scheme.as_deref().unwrap_or("ed25519"))?;
        let at_once = if is_experimental(scheme) { LONG_CONCURRENCY } else { SHARED_CONCURRENCY };
        Ok(Shared {
            scheme,
            threshold: self.threshold,
            keepers: self.keepers,
            connections: self.load.connections(4),
            concurrency: self.load.concurrency(at_once),
            plan: Plan { warm_up: self.load.warm_up(), seconds: self.load.seconds() },
        })
    }

    async fn part(
        &self,
        context: &Context,
        site: &Site,
        bench: &Bench,
        interface: Interface,
    ) -> Result<Part> {
        let concurrency = self.load.concurrency(interface.concurrency());
        let batch = self.load.batch(64).min(BATCH_LEN_MAX);
        let plan = Plan { warm_up: self.load.warm_up(), seconds: self.load.seconds() };
        let words = format!("{}: {concurrency} at once for {} s", interface.name(), plan.seconds.as_secs());
        let _waiting = context.output.wait_for(words);
        let measured = bench.run(site, plan, interface, concurrency, batch).await?;
        Ok(Part { interface: interface.name(), concurrency, measured })
    }
}

/// What every worker needs.
struct Bench {
    clients: Vec<Client>,
    servers: usize,
    job: Job,
}

#[derive(Clone)]
struct Job(Arc<Inner>);

struct Inner {
    key: String,
    public_key: PublicKey,
    trust: Vec<u8>,
    /// Stands in messages and marks, so that those of no two runs are the same.
    run: [u8; 8],
    count: AtomicU64,
}

impl Bench {
    async fn open(site: &Site, scheme: Scheme, connections: usize) -> Result<Self> {
        let profile = site.profile("app")?;
        let servers: Vec<_> =
            std::iter::once(&profile.file.service).chain(&profile.file.more_services).cloned().collect();
        let mut clients = Vec::with_capacity(connections.max(servers.len()));
        for service in servers.iter().cycle().take(connections.max(servers.len())) {
            // Each server has its share of the connections: none stands in for another.
            let mut profile = profile.clone();
            (profile.file.service, profile.file.more_services) = (service.clone(), Vec::new());
            clients.push(connect(&profile, As::Certificate).await?.client);
        }
        let first = clients.first().ok_or_else(|| Failure::usage("no connections", "ask for one"))?;
        let mut run = [0; 8];
        getrandom::fill(&mut run).map_err(|error| {
            Failure::refused("the system gives no random bytes", "try again").because(&error)
        })?;
        let alias = format!("bench-{}", hex::encode(run));
        let made = first.create_app_key(&alias, scheme).await.map_err(failed("cannot make the key"))?;
        let public_key = PublicKey::parse(scheme, &made.key.public_key).map_err(|error| {
            Failure::refused("the service's public key is malformed", "tell us about this").because(&error)
        })?;
        let trust = files::read(&profile.path(&profile.file.trust))?;
        let inner = Inner { key: alias, public_key, trust, run, count: AtomicU64::new(0) };
        Ok(Self { clients, servers: servers.len(), job: Job(Arc::new(inner)) })
    }

    async fn run(
        &self,
        site: &Site,
        plan: Plan,
        interface: Interface,
        concurrency: usize,
        batch: usize,
    ) -> Result<Measured> {
        let recorder = Arc::new(Recorder::default());
        let mut workers = JoinSet::new();
        let count = match interface {
            Interface::Unary => concurrency,
            Interface::Batch => concurrency.div_ceil(batch),
            Interface::Stream => self.clients.len().min(concurrency),
        };
        for (place, client) in (0..count).zip(self.clients.iter().cycle()) {
            let (client, job, recorder) = (client.clone(), self.job.clone(), Arc::clone(&recorder));
            // What is left over by even shares goes to the first ones.
            let share = concurrency / count + usize::from(place < concurrency % count);
            match interface {
                Interface::Unary => workers.spawn(unary(client, job, recorder)),
                Interface::Batch => workers.spawn(batches(client, job, recorder, share)),
                Interface::Stream => workers.spawn(stream(client, job, recorder, share)),
            };
        }
        load::run(site, plan, recorder, workers).await
    }
}

async fn unary(client: Client, job: Job, recorder: Arc<Recorder>) {
    let mut rpc = client.signing();
    while !recorder.over() {
        let (number, started) = (job.next(), Instant::now());
        match rpc.sign(client.request(job.request(number, 0))).await {
            Ok(answer) => {
                recorder.done(started, 1);
                job.check(&recorder, number, &answer.into_inner());
            }
            Err(status) => recorder.failed(status).await,
        }
    }
}

async fn batches(client: Client, job: Job, recorder: Arc<Recorder>, share: usize) {
    let mut rpc = client.signing();
    while !recorder.over() {
        let numbers: Vec<_> = (0..share).map(|_| job.next()).collect();
        let requests = numbers.iter().map(|number| job.request(*number, 0)).collect();
        let started = Instant::now();
        match rpc.sign_batch(client.request(SignBatchRequest { requests })).await {
            Ok(answer) => {
                let responses = answer.into_inner().responses;
                if responses.len() != numbers.len() {
                    recorder.broken("a batch has fewer answers than requests");
                }
                for (number, response) in numbers.into_iter().zip(responses) {
                    job.take(&recorder, number, started, response).await;
                }
            }
            Err(status) => recorder.failed(status).await,
        }
    }
}

/// Keeps a share of requests under way on one stream; when it breaks, on the next.
async fn stream(client: Client, job: Job, recorder: Arc<Recorder>, share: usize) {
    while !recorder.over() {
        if let Err(status) = one_stream(&client, &job, &recorder, share).await {
            recorder.failed(status).await;
        }
    }
}

async fn one_stream(
    client: &Client,
    job: &Job,
    recorder: &Recorder,
    share: usize,
) -> std::result::Result<(), tonic::Status> {
    let (send, requests) = mpsc::unbounded();
    let mut slots = Vec::with_capacity(share);
    for tag in 0..share {
        slots.push(ask(&send, job, tag));
    }
    // A stream has no deadline: it lives as long as it is used.
    let mut answers = client.signing().sign_stream(tonic::Request::new(requests)).await?.into_inner();
    let mut under_way = share;
    while under_way > 0 {
        let Some(response) = answers.message().await? else { return Ok(()) };
        let tag = usize::try_from(response.tag).unwrap_or(usize::MAX);
        let Some(slot) = slots.get_mut(tag) else {
            recorder.broken("a stream answers what was not asked");
            return Ok(());
        };
        let (number, started) = *slot;
        if recorder.over() {
            under_way -= 1;
        } else {
            *slot = ask(&send, job, tag);
        }
        job.take(recorder, number, started, response).await;
    }
    Ok(())
}

fn ask(send: &mpsc::UnboundedSender<SignRequest>, job: &Job, tag: usize) -> (u64, Instant) {
    let number = job.next();
    // If the stream has ended, its reader learns it.
    let _ended = send.unbounded_send(job.request(number, tag as u64));
    (number, Instant::now())
}

impl Job {
    fn next(&self) -> u64 {
        self.0.count.fetch_add(1, Ordering::Relaxed)
    }

    fn message(&self, number: u64) -> Vec<u8> {
        let mut message = [&self.0.run[..], &number.to_be_bytes()].concat();
        message.resize(MESSAGE_BYTES, 0);
        message
    }

    fn request(&self, number: u64, tag: u64) -> SignRequest {
        SignRequest {
            key: self.0.key.clone(),
            payload: Some(Payload::Message(self.message(number).into())),
            idempotency_key: Bytes::from([&self.0.run[..], &number.to_be_bytes()].concat()),
            tag,
            ..Default::default()
        }
    }

    async fn take(&self, recorder: &Recorder, number: u64, started: Instant, response: SignStreamResponse) {
        match response.result {
            Some(Answer::Signed(signed)) => {
                recorder.done(started, 1);
                self.check(recorder, number, &signed);
            }
            Some(Answer::Refusal(refusal)) => {
                recorder.failed(format!("{}: {}", refusal.code, refusal.message)).await;
            }
            None => recorder.broken("an answer is empty"),
        }
    }

    /// Every answer carries signature and receipt; a sample of them is verified.
    fn check(&self, recorder: &Recorder, number: u64, signed: &SignResponse) {
        if signed.signature.is_empty() || signed.receipt.is_empty() {
            return recorder.broken("a signature or its receipt is missing");
        }
        if recorder.verify_next() {
            match self.verify(number, signed) {
                Ok(()) => recorder.verified(),
                Err(why) => recorder.broken(why),
            }
        }
    }

    fn verify(&self, number: u64, signed: &SignResponse) -> std::result::Result<(), String> {
        let verdict = verify_receipt(&self.0.trust, &signed.receipt, Some(&self.message(number)))
            .map_err(|failure| format!("a receipt does not hold: {failure}"))?;
        let same = verdict.public_key.as_ref() == Some(&self.0.public_key)
            && verdict.signature.as_deref() == Some(&signed.signature[..]);
        if same && verdict.accepted { Ok(()) } else { Err("a receipt is of another signature".to_owned()) }
    }
}
