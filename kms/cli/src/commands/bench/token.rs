//! `keyward bench token`: the token room beside the bare `cryptoki` loop, on the same token with as many threads.
//!
//! Four ways, each measured right after its own bare loop: the module in this process and in one of its own, each on
//! the token as it is and on one that takes 5 ms longer for each use of a key. PKCS#11 modules read the environment,
//! so the measuring is done by a child of this command, in a temporary folder with a software token of its own.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keyward_domain::scheme::Scheme;
use keyward_token::{Module, ModuleSource, Payload, Pin, TokenName, sign_bare};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::cpu;
use super::site::Folder;
use crate::commands::Context;
use crate::config::serve::{bundled_module, module_source};
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::local::prepare::read_pin;
use crate::output::table;

/// The environment variable that names the bundled token's folder.
const STORE: &str = "HSM_SIM_DIR";
const LABEL: &str = "bench";
const KEY: &str = "bench-key";
const LATENCY_MS: u32 = 5;
/// Requests under way for each thread of the room, so that none waits for the next request.
const WAITING: usize = 4;

#[derive(Debug, clap::Args)]
pub(super) struct Token {
    /// How long each way is measured.
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Threads of the room, and of the bare loop.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// What is signed with: ecdsa-secp256k1, ecdsa-p256 or ed25519.
    #[arg(long, default_value = "ecdsa-secp256k1")]
    scheme: String,
    /// The folder of the software token that the parent of this process made.
    #[arg(long, value_name = "DIR", hide = true)]
    inside: Option<PathBuf>,
}

/// One way, and its bare loop.
struct Way {
    name: &'static str,
    isolated: bool,
    latency_ms: u32,
}

const WAYS: [Way; 4] = [
    Way { name: "in_process", isolated: false, latency_ms: 0 },
    Way { name: "in_process_5_ms", isolated: false, latency_ms: LATENCY_MS },
    Way { name: "isolated", isolated: true, latency_ms: 0 },
    Way { name: "isolated_5_ms", isolated: true, latency_ms: LATENCY_MS },
];

/// What one loop reached.
struct Rate {
    operations: usize,
    seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
}

impl Token {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        match &self.inside {
            None => self.outside().await,
            Some(folder) => {
                let folder = folder.clone();
                let _waiting = context.output.wait_for("four ways, each beside its bare loop");
                let report = self.measure(&folder).await?;
                context.output.answer(words(&report), &report);
                Ok(())
            }
        }
    }

    /// Makes the token, then measures in a child that has it in its environment.
    async fn outside(&self) -> Result<()> {
        let failed = |error: std::io::Error| {
            Failure::refused("cannot measure the token", "free some disk space").because(&error)
        };
        let folder = Folder::make()?;
        let program = std::env::current_exe().map_err(failed)?;
        let pin_file = folder.0.join("pin");
        files::write(&pin_file, b"bench-pin-1", Access::Secret)?;
        let kind = match self.scheme()? {
            Scheme::EcdsaP256 => "p256",
            Scheme::Ed25519 => "ed25519",
            _ => "secp256k1",
        };
        let key = format!("{kind}:{KEY}");
        let run = |arguments: Vec<OsString>| {
            let status = tokio::process::Command::new(&program)
                .args(arguments)
                .env(STORE, &folder.0)
                .kill_on_drop(true)
                .status();
            async move {
                match status.await.map_err(failed)? {
                    status if status.success() => Ok(()),
                    status => Err(Failure::refused(format!("a part of the measurement ended: {status}"), "")),
                }
            }
        };
        let mut prepare: Vec<OsString> =
            ["token", "prepare", "--label", LABEL, "--key", &key, "--pin-file"].map(OsString::from).to_vec();
        prepare.push(pin_file.into());
        run(prepare).await?;
        let mut inside: Vec<OsString> = std::env::args_os().skip(1).collect();
        inside.extend([OsString::from("--inside"), OsString::from(&folder.0)]);
        run(inside).await
    }

    fn scheme(&self) -> Result<Scheme> {
        let scheme = crate::commands::key::parse_scheme(&self.scheme)?;
        match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 | Scheme::Ed25519 => Ok(scheme),
            other => Err(Failure::usage(format!("`{other}` is not measured"), "choose ed25519 or an ECDSA")),
        }
    }

    async fn measure(&self, folder: &std::path::Path) -> Result<Value> {
        let scheme = self.scheme()?;
        let text = read_pin(&folder.join("pin"))?;
        let (path, token) = (bundled_module(None)?, TokenName::new(LABEL));
        let id = {
            let module = Module::open(&path).map_err(|error| failed(&error))?;
            module.login(&token, pin(&text)?).await.map_err(|error| failed(&error))?;
            let key = module.find_key(&token, KEY, &[]).await;
            key.map_err(|error| failed(&error))?.id
        };
        let mut report = Map::new();
        let mut others = Map::new();
        for way in WAYS {
            latency(folder, way.latency_ms)?;
            let (bare, room) = self.beside(&way, scheme, &path, &token, &text, &id).await?;
            let fields = self.fields(&way, scheme, &bare, &room);
            if report.is_empty() {
                report = fields;
            } else {
                others.insert(way.name.to_owned(), Value::Object(fields));
            }
        }
        report.insert("others".into(), Value::Object(others));
        Ok(Value::Object(report))
    }

    /// Half of the bare loop, the room, the other half: what else the machine does counts for both.
    async fn beside(
        &self,
        way: &Way,
        scheme: Scheme,
        path: &std::path::Path,
        token: &TokenName,
        text: &Zeroizing<String>,
        id: &[u8],
    ) -> Result<(Rate, Rate)> {
        let threads = usize::from(self.threads);
        let half = Duration::from_secs(self.seconds) / 2;
        let bare = || {
            let (path, token, id) = (path.to_owned(), token.clone(), id.to_vec());
            let pin = pin(text);
            async move {
                let pin = pin?;
                let began = cpu::usage(&[]).load;
                let work = move || sign_bare(&path, &token, &pin, &id, scheme, threads, half);
                let took = tokio::task::spawn_blocking(work).await.map_err(|error| failed(&error))?;
                Ok::<_, Failure>((
                    took.map_err(|error| failed(&error))?,
                    cpu::usage(&[]).load.saturating_sub(began),
                ))
            }
        };
        let (mut took, mut spent) = bare().await?;
        let source = module_source(path.to_owned(), Some(way.isolated))?;
        let room = room(&source, threads, token, pin(text)?, id, scheme, half * 2).await?;
        let (more, again) = bare().await?;
        took.extend(more);
        spent += again;
        Ok((Rate::of(took, (half * 2).as_secs_f64(), spent), room))
    }

    fn fields(&self, way: &Way, scheme: Scheme, bare: &Rate, room: &Rate) -> Map<String, Value> {
        let fields = json!({
            "what": format!("signatures of a token, {scheme}, {} ms latency, {}", way.latency_ms,
                if way.isolated { "the module in a process of its own" } else { "the module in this process" }),
            "operations": room.operations,
            "operations_per_s": tenths(room.per_s()),
            "bare_operations_per_s": tenths(bare.per_s()),
            "share_of_bare": (room.per_s() / bare.per_s() * 1000.0).round() / 1000.0,
            "p50_ms": hundredths(room.p50_ms),
            "p99_ms": hundredths(room.p99_ms),
            "bare_p50_ms": hundredths(bare.p50_ms),
            "cpu_us_per_operation": if way.isolated { Value::Null } else { tenths(room.cpu_us) },
            "bare_us_per_operation": tenths(bare.cpu_us),
            "bare_what": "the same call of `cryptoki` in a loop of as many threads, in CPU time",
            "threads": self.threads,
            "concurrency": usize::from(self.threads) * WAITING,
            "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "seconds": tenths(room.seconds),
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

/// The room under load: so many requests wait at any time that every thread has one.
async fn room(
    source: &ModuleSource,
    threads: usize,
    token: &TokenName,
    pin: Pin,
    id: &[u8],
    scheme: Scheme,
    lasts: Duration,
) -> Result<Rate> {
    let module = match &source.host {
        None => Module::open_with(&source.path, threads),
        Some(program) => {
            let mut program = program.clone();
            program.threads = threads;
            Module::open_in_child(&source.path, program)
        }
    };
    let module = module.map_err(|error| failed(&error))?;
    module.login(token, pin).await.map_err(|error| failed(&error))?;
    let over = Arc::new(AtomicBool::new(false));
    let (began, spent) = (Instant::now(), cpu::usage(&[]).load);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..threads * WAITING {
        let (module, token, id, over) = (module.clone(), token.clone(), id.to_vec(), over.clone());
        tasks.spawn(async move {
            let mut took = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let payload = if scheme == Scheme::Ed25519 {
                    Payload::Message(vec![7; 32])
                } else {
                    Payload::Digest([7; 32])
                };
                module.sign(&token, &id, scheme, payload).await?;
                took.push(asked.elapsed());
            }
            Ok::<_, keyward_token::TokenError>(took)
        });
    }
    tokio::time::sleep(lasts).await;
    over.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    while let Some(took) = tasks.join_next().await {
        all.extend(took.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?);
    }
    Ok(Rate::of(all, began.elapsed().as_secs_f64(), cpu::usage(&[]).load.saturating_sub(spent)))
}

impl Rate {
    fn of(mut took: Vec<Duration>, seconds: f64, spent: Duration) -> Self {
        took.sort_unstable();
        let at = |percent: usize| {
            let place = (took.len() * percent / 100).min(took.len().saturating_sub(1));
            took.get(place).map_or(0.0, |took| took.as_secs_f64() * 1e3)
        };
        let cpu_us = spent.as_secs_f64() * 1e6 / took.len().max(1) as f64;
        Self { operations: took.len(), seconds, p50_ms: at(50), p99_ms: at(99), cpu_us }
    }

    fn per_s(&self) -> f64 {
        self.operations as f64 / self.seconds.max(f64::EPSILON)
    }
}

/// Has the software token take longer for each use of a key (hsm-sim/SPEC.md, faults).
fn latency(folder: &std::path::Path, ms: u32) -> Result<()> {
    let (file, draft) = (folder.join("faults"), folder.join("faults.new"));
    let failed = |error: std::io::Error| {
        Failure::refused("cannot slow the token down", "free some disk space").because(&error)
    };
    if ms > 0 {
        std::fs::write(&draft, format!("hsm-sim faults 1\nlatency 0 {ms} on C_Sign\n")).map_err(failed)?;
        return std::fs::rename(draft, file).map_err(failed);
    }
    if file.exists() { std::fs::remove_file(file).map_err(failed) } else { Ok(()) }
}

fn pin(text: &Zeroizing<String>) -> Result<Pin> {
    Pin::from_bytes(text.as_bytes()).map_err(|error| failed(&error))
}

fn words(report: &Value) -> String {
    let head = ["way", "room per s", "bare per s", "share", "p50 ms", "p99 ms", "CPU us", "bare CPU us"];
    let names = ["operations_per_s", "bare_operations_per_s", "share_of_bare", "p50_ms", "p99_ms"];
    let names = names.into_iter().chain(["cpu_us_per_operation", "bare_us_per_operation"]);
    let row = |name: &str, way: &Value| {
        let shown = |field: &str| match way.get(field) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(value) => value.to_string(),
        };
        std::iter::once(name.to_owned()).chain(names.clone().map(shown)).collect::<Vec<_>>()
    };
    let others = report.get("others").and_then(Value::as_object);
    let rows: Vec<_> = std::iter::once(row("in_process", report))
        .chain(others.into_iter().flatten().map(|(name, way)| row(name, way)))
        .collect();
    table(&head, &rows)
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::refused("the token cannot be measured", "try again on an idle machine").because(error)
}

fn tenths(number: f64) -> Value {
    json!((number * 10.0).round() / 10.0)
}

fn hundredths(number: f64) -> Value {
    json!((number * 100.0).round() / 100.0)
}
