//! The supervisor: validators and service as child processes, with everything in one folder.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::child::{Child, Ready};
use super::layout::{Layout, PROFILES};
use super::ports::{Chooser, Chosen, local};
use super::prepare;
use crate::config::TlsFiles;
use crate::config::node::{NodeConfig, PeerConfig};
use crate::config::serve::{LedgerFile, ServeConfig, TokenFile};
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::Output;

/// Validators where no number is given: one may fail.
pub(crate) const VALIDATORS_DEFAULT: usize = 4;
/// The most validators on one machine.
pub(crate) const VALIDATORS_MAX: usize = 16;
/// How long a child may take to be ready.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How often children are looked after.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// How often one child is started again before it is left alone.
const RESTARTS_MAX: u32 = 5;
const FORMAT: u32 = 1;

/// The supervisor's own file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    format: u32,
    service_port: Option<u16>,
    nodes: Vec<NodeState>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeState {
    /// The validator's public key in hex.
    key: String,
    peer_port: Option<u16>,
    rpc_port: Option<u16>,
}

/// What a demo attaches beside the bundled token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    /// PKCS#11 modules after the bundled one.
    pub(crate) modules: Vec<PathBuf>,
    /// Variables of the service's environment.
    pub(crate) variables: Vec<(&'static str, PathBuf)>,
}

/// A local Keyward.
pub(crate) struct Cluster {
    pub(crate) layout: Layout,
    pub(crate) extra: Extra,
    state: State,
    output: Output,
    nodes: Vec<Slot>,
    service: Slot,
    /// Held while we run: two supervisors in one folder would write over each other.
    _lock: File,
}

/// A place for a child.
#[derive(Default)]
struct Slot {
    child: Option<Child>,
    restarts: u32,
}

impl Cluster {
    /// Opens a folder, made now or before, and settles ports.
    pub(crate) fn open(root: &Path, validators: Option<usize>, output: Output) -> Result<Self> {
        let layout = Layout::new(root).map_err(|error| {
            Failure::usage(format!("`{}` is no path", root.display()), "give another `--dir`").because(&error)
        })?;
        check_folder(&layout)?;
        files::make_folder(layout.root())?;
        let lock = lock(&layout)?;
        let state = load_or_prepare(&layout, validators, output)?;
        let nodes = state.nodes.iter().map(|_| Slot::default()).collect();
        let extra = Extra::default();
        Ok(Self { layout, extra, state, output, nodes, service: Slot::default(), _lock: lock })
    }

    /// How many validators there are.
    pub(crate) fn validators(&self) -> usize {
        self.state.nodes.len()
    }

    /// The service, as callers name it.
    pub(crate) fn service_url(&self) -> String {
        url(self.state.service_port)
    }

    /// The nodes, as callers name them.
    pub(crate) fn node_urls(&self) -> Vec<String> {
        self.state.nodes.iter().map(|node| url(node.rpc_port)).collect()
    }

    /// Starts everything and waits until it is ready.
    pub(crate) async fn start(&mut self) -> Result<Ready> {
        self.settle_ports()?;
        self.write_configuration()?;
        self.prepare_token(&["secp256k1", "p256", "ed25519", "rsa-2048"]).await?;
        {
            let _waiting = self.output.wait_for(format!("{} validators start", self.validators()));
            for index in 1..=self.validators() {
                self.spawn_node(index)?;
            }
            for index in 1..=self.validators() {
                self.node_ready(index).await?;
            }
        }
        let _waiting = self.output.wait_for("the custody service starts");
        self.start_service().await
    }

    /// Ends everything in order: the service first, then the validators.
    pub(crate) async fn stop(&mut self) {
        let mut forced = Vec::new();
        if let Some(child) = self.service.child.take() {
            let name = child.name.clone();
            if child.stop().await {
                forced.push(name);
            }
        }
        let nodes: Vec<_> = self.nodes.iter_mut().filter_map(|slot| slot.child.take()).collect();
        let ends: Vec<_> = nodes
            .into_iter()
            .map(|child| tokio::spawn(async move { (child.name.clone(), child.stop().await) }))
            .collect();
        for end in ends {
            if let Ok((name, true)) = end.await {
                forced.push(name);
            }
        }
        for name in forced {
            self.output
                .note(format!("  {name} did not end in time and was killed; it recovers at the next start"));
        }
    }

    /// SIGKILL for a validator, as a crash would be.
    pub(crate) async fn kill_node(&mut self, index: usize) -> Result<()> {
        let failed = |error: std::io::Error| {
            Failure::refused(format!("cannot kill node-{index}"), "end the processes yourself")
                .because(&error)
        };
        if let Some(mut child) = self.slot(index).and_then(|slot| slot.child.take()) {
            child.kill().await.map_err(failed)?;
        }
        Ok(())
    }

    /// Starts a validator again and waits until it is ready.
    pub(crate) async fn start_node(&mut self, index: usize) -> Result<()> {
        self.spawn_node(index)?;
        self.node_ready(index).await.map(|_ready| ())
    }

    /// Starts the service and waits until it is ready.
    pub(crate) async fn start_service(&mut self) -> Result<Ready> {
        let config = self.layout.service_config();
        let arguments =
            [OsStr::new("serve"), OsStr::new("--supervised"), OsStr::new("--config"), config.as_os_str()];
        let mut child = Child::start("service", &arguments, &self.variables(), &self.layout.log("service"))?;
        let ready = child.ready(READY_DEADLINE).await?;
        self.service.child = Some(child);
        Ok(ready)
    }

    /// The process of a validator, while it runs.
    pub(crate) fn node_id(&self, index: usize) -> Option<u32> {
        self.nodes.get(index.checked_sub(1)?)?.child.as_ref()?.id()
    }

    /// Looks after the children until somebody wants an end; starts those again that died.
    pub(crate) async fn watch(&mut self) -> Result<()> {
        let mut end = std::pin::pin!(crate::signals::end());
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                () = tokio::time::sleep(WATCH_INTERVAL) => self.look_after().await,
            }
        }
    }

    async fn look_after(&mut self) {
        for index in 1..=self.validators() {
            let died = self.slot(index).and_then(Slot::died);
            if let Some(how) = died
                && self.may_restart(&format!("node-{index}"), &how, index)
                && let Err(failure) = self.start_node(index).await
            {
                self.output.note(format!("  node-{index} does not start: {failure}"));
            }
        }
        if let Some(how) = self.service.died()
            && self.may_restart("service", &how, 0)
            && let Err(failure) = self.start_service().await
        {
            self.output.note(format!("  the service does not start: {failure}"));
        }
    }

    fn may_restart(&mut self, name: &str, how: &str, index: usize) -> bool {
        let slot = if index == 0 { Some(&mut self.service) } else { self.slot(index) };
        let Some(slot) = slot else { return false };
        slot.restarts = slot.restarts.saturating_add(1);
        let again = slot.restarts <= RESTARTS_MAX;
        let then = if again { "it is started again" } else { "it was started often enough: read its log" };
        self.output.note(format!("  {name} ended ({how}); {then}"));
        again
    }

    fn slot(&mut self, index: usize) -> Option<&mut Slot> {
        self.nodes.get_mut(index.checked_sub(1)?)
    }

    fn spawn_node(&mut self, index: usize) -> Result<()> {
        let config = self.layout.node_config(index);
        let arguments =
            [OsStr::new("node"), OsStr::new("--supervised"), OsStr::new("--config"), config.as_os_str()];
        let name = format!("node-{index}");
        let child = Child::start(&name, &arguments, &[], &self.layout.log(&name))?;
        if let Some(slot) = self.slot(index) {
            slot.child = Some(child);
        }
        Ok(())
    }

    async fn node_ready(&mut self, index: usize) -> Result<Ready> {
        let child = self.slot(index).and_then(|slot| slot.child.as_mut());
        let child =
            child.ok_or_else(|| Failure::refused(format!("node-{index} does not run"), "start it first"))?;
        child.ready(READY_DEADLINE).await
    }

    fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        let token = ("HSM_SIM_DIR", self.layout.token());
        std::iter::once(token).chain(self.extra.variables.iter().cloned()).collect()
    }

    /// Makes the bundled token, once, with sample keys; a child does it, because modules read the environment.
    async fn prepare_token(&self, kinds: &[&str]) -> Result<()> {
        files::make_folder(&self.layout.token())?;
        let arguments = sample_keys(kinds);
        let pin = self.layout.token_pin();
        run_prepare(prepare::TOKEN_LABEL, None, &pin, &arguments, &self.variables(), &self.layout).await
    }

    /// Keeps ports that are free; chooses again, with a notice, where somebody else listens.
    fn settle_ports(&mut self) -> Result<()> {
        let mut chooser = Chooser::default();
        let output = self.output;
        let mut settle = |name: String, port: &mut Option<u16>| -> Result<()> {
            let Chosen { port: chosen, instead_of } = chooser.choose(*port)?;
            if let Some(busy) = instead_of {
                output.note(format!("  port {busy} is taken: {name} listens on {chosen} now"));
            }
            *port = Some(chosen);
            Ok(())
        };
        settle("the service".into(), &mut self.state.service_port)?;
        for (index, node) in self.state.nodes.iter_mut().enumerate() {
            settle(format!("node-{} for validators", index + 1), &mut node.peer_port)?;
            settle(format!("node-{} for callers", index + 1), &mut node.rpc_port)?;
        }
        prepare::write_toml(&self.layout.state(), &self.state)
    }

    fn write_configuration(&self) -> Result<()> {
        let peers = self.state.nodes.iter().map(|node| PeerConfig {
            key: node.key.clone(),
            address: local(node.peer_port.unwrap_or_default()),
        });
        let peers: Vec<_> = peers.collect();
        for (index, node) in self.state.nodes.iter().enumerate() {
            let config = node_config(node, &peers);
            prepare::write_toml(&self.layout.node_config(index + 1), &config)?;
        }
        prepare::write_toml(&self.layout.service_config(), &self.serve_config()?)?;
        for role in PROFILES {
            prepare::write_profile(&self.layout, role, &self.service_url(), &self.node_urls())?;
        }
        Ok(())
    }

    fn serve_config(&self) -> Result<ServeConfig> {
        // Without others the bundled module is looked for at each start, beside the program that then runs.
        let modules = match self.extra.modules.as_slice() {
            [] => Vec::new(),
            others => {
                let bundled = crate::config::serve::bundled_module(None)?;
                std::iter::once(bundled).chain(others.iter().cloned()).collect()
            }
        };
        Ok(ServeConfig {
            tenant: "default".into(),
            listen: local(self.state.service_port.unwrap_or_default()),
            database: "keyward.sqlite".into(),
            operator_secret: "../operator.secret".into(),
            tls: tls_files(),
            ledger: LedgerFile {
                nodes: self.node_urls(),
                trust: "../trust".into(),
                submitter_key: "../submitters/service.key".into(),
                deadline_ms: 5000,
            },
            token: TokenFile {
                modules,
                kek_token: prepare::TOKEN_LABEL.into(),
                kek_label: "keyward-kek".into(),
                pin: "token.pin".into(),
            },
        })
    }
}

impl Slot {
    /// How the child ended, if it did since it was last looked at.
    fn died(&mut self) -> Option<String> {
        let how = self.child.as_mut()?.has_ended()?;
        self.child = None;
        Some(how)
    }
}

fn node_config(node: &NodeState, peers: &[PeerConfig]) -> NodeConfig {
    NodeConfig {
        data_dir: "data".into(),
        genesis: "../genesis".into(),
        operator_secret: "../operator.secret".into(),
        validator_key: "validator.key".into(),
        peer_listen: local(node.peer_port.unwrap_or_default()),
        rpc_listen: local(node.rpc_port.unwrap_or_default()),
        idle_block_interval_ms: 500,
        block_interval_min_ms: 5,
        tls: tls_files(),
        peers: peers.to_vec(),
    }
}

fn tls_files() -> TlsFiles {
    TlsFiles { ca: "../ca/ca.pem".into(), certificate: "certificate.pem".into(), key: "tls.key".into() }
}

fn url(port: Option<u16>) -> String {
    format!("https://{}", local(port.unwrap_or_default()))
}

/// `kind:label` for each kind.
fn sample_keys(kinds: &[&str]) -> Vec<String> {
    kinds.iter().map(|kind| format!("{kind}:sample-{kind}")).collect()
}

/// Prepares a token in a child process; what is there already stays as it is.
pub(crate) async fn run_prepare(
    label: &str,
    module: Option<&Path>,
    pin_file: &Path,
    keys: &[String],
    variables: &[(&'static str, PathBuf)],
    layout: &Layout,
) -> Result<()> {
    let mut arguments: Vec<&OsStr> =
        ["token", "prepare", "--label", label, "--pin-file"].into_iter().map(OsStr::new).collect();
    arguments.push(pin_file.as_os_str());
    if let Some(module) = module {
        arguments.extend([OsStr::new("--module"), module.as_os_str()]);
    }
    for key in keys {
        arguments.extend([OsStr::new("--key"), OsStr::new(key)]);
    }
    let log = layout.log("token");
    let mut child = Child::start("the token", &arguments, variables, &log)?;
    let ended = child.ended().await;
    if ended.as_ref().is_ok_and(std::process::ExitStatus::success) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&files::read(&log)?).trim().to_owned();
    let last = said.rsplit("keyward: ").next().unwrap_or_default().replace('\n', " /");
    Err(Failure::refused(
        format!("cannot prepare the token `{label}`: {last}"),
        format!("read `{}`", log.display()),
    ))
}

/// Only an empty folder, or one that we made, is written to.
fn check_folder(layout: &Layout) -> Result<()> {
    let empty = std::fs::read_dir(layout.root()).map_or(true, |mut entries| entries.next().is_none());
    if empty || layout.readme().is_file() || layout.lock().is_file() {
        return Ok(());
    }
    let what = format!("`{}` is a folder of something else", layout.root().display());
    Err(Failure::usage(what, "give an empty folder with `--dir`"))
}

fn lock(layout: &Layout) -> Result<File> {
    let failed = |error: &std::io::Error| {
        Failure::refused(format!("cannot lock `{}`", layout.root().display()), "check its permissions")
            .because(error)
    };
    let file =
        File::options().create(true).append(true).open(layout.lock()).map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(failed(&error)),
        Err(TryLockError::WouldBlock) => Err(Failure::refused(
            format!("a Keyward runs in `{}` already", layout.root().display()),
            "use it, end it with Ctrl-C, or give another `--dir`",
        )),
    }
}

fn load_or_prepare(layout: &Layout, validators: Option<usize>, output: Output) -> Result<State> {
    if layout.state().is_file() {
        return load(layout, validators);
    }
    let validators = validators.unwrap_or(VALIDATORS_DEFAULT);
    if !(1..=VALIDATORS_MAX).contains(&validators) {
        return Err(Failure::usage(format!("`{validators}` validators do not fit"), "choose 1 to 16"));
    }
    output.note(format!("  a new Keyward is made in `{}`", layout.root().display()));
    let keys = prepare::prepare(layout, validators)?;
    let node = |key: [u8; 32]| NodeState { key: hex::encode(key), peer_port: None, rpc_port: None };
    let state = State { format: FORMAT, service_port: None, nodes: keys.into_iter().map(node).collect() };
    prepare::write_toml(&layout.state(), &state)?;
    Ok(state)
}

fn load(layout: &Layout, validators: Option<usize>) -> Result<State> {
    let path = layout.state();
    let state: State = toml::from_str(&files::read_text(&path)?).map_err(|error| {
        Failure::refused(format!("`{}` is malformed", path.display()), "restore the file").because(&error)
    })?;
    if state.format != FORMAT {
        let what = format!("`{}` is of format `{}`, this is `{FORMAT}`", path.display(), state.format);
        return Err(Failure::refused(what, "use the version of keyward that made the folder"));
    }
    match validators {
        Some(wanted) if wanted != state.nodes.len() => Err(Failure::usage(
            format!(
                "the ledger in `{}` has {} validators, not {wanted}",
                layout.root().display(),
                state.nodes.len()
            ),
            "leave `--validators` away, or give another `--dir`",
        )),
        _ => Ok(state),
    }
}
