//! The supervisor: validators and service as child processes, with everything in one folder.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::child::{Child, Ended, Ready};
use super::configure::url;
use super::layout::{Layout, numbered};
use super::prepare;
use super::state::{State, Wanted, check_folder, load_or_prepare, lock};
use super::token::{run_prepare, sample_keys};
use crate::failure::{Failure, Result};
use crate::files;
use crate::lock::Lock;
use crate::output::Output;

/// Validators where no number is given: one may fail.
pub(crate) const VALIDATORS_DEFAULT: usize = 4;
/// How long a child may take to be ready.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How often children are looked after.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// How often one child is started again before it is left alone.
const RESTARTS_MAX: u32 = 5;
/// How long a validator whose disk takes no writes is left alone before it is tried again.
const DISK_PAUSE: Duration = Duration::from_secs(5);
/// How long a child runs until its earlier ends no longer count.
const HEALTHY: Duration = Duration::from_secs(60);

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
    pub(super) state: State,
    pub(super) output: Output,
    nodes: Vec<Slot>,
    services: Vec<Slot>,
    /// Held while we run: two supervisors in one folder would write over each other.
    _lock: Lock,
}

/// A place for a child.
#[derive(Default)]
struct Slot {
    child: Option<Child>,
    restarts: u32,
    /// When it was started last.
    since: Option<Instant>,
    /// When it is started again after its disk took no writes.
    after_disk: Option<Instant>,
}

impl Cluster {
    /// Opens a folder, made now or before, and settles ports.
    pub(crate) fn open(root: &Path, wanted: Wanted, output: Output) -> Result<Self> {
        let layout = Layout::new(root).map_err(|error| {
            Failure::usage(format!("`{}` is no path", root.display()), "give another `--dir`").because(&error)
        })?;
        check_folder(&layout)?;
        files::make_folder(layout.root())?;
        let lock = lock(&layout)?;
        let state = load_or_prepare(&layout, wanted, output)?;
        let nodes = state.nodes.iter().map(|_| Slot::default()).collect();
        let services = (0..=state.more_service_ports.len()).map(|_| Slot::default()).collect();
        let extra = Extra::default();
        Ok(Self { layout, extra, state, output, nodes, services, _lock: lock })
    }

    /// How many validators there are.
    pub(crate) fn validators(&self) -> usize {
        self.state.nodes.len()
    }

    /// How many servers there are over one database.
    pub(crate) fn servers(&self) -> usize {
        self.services.len()
    }

    pub(super) fn service_port(&self, index: usize) -> Option<u16> {
        match index.checked_sub(2) {
            None => self.state.service_port,
            Some(later) => self.state.more_service_ports.get(later).copied(),
        }
    }

    /// Every server, as callers name it.
    pub(crate) fn service_urls(&self) -> Vec<String> {
        (1..=self.servers()).map(|index| url(self.service_port(index))).collect()
    }

    /// The first server, as callers name it.
    pub(crate) fn service_url(&self) -> String {
        url(self.state.service_port)
    }

    /// The nodes, as callers name them.
    pub(crate) fn node_urls(&self) -> Vec<String> {
        self.state.nodes.iter().map(|node| url(node.rpc_port)).collect()
    }

    /// Starts everything and waits until it is ready.
    pub(crate) async fn start(&mut self) -> Result<Ready> {
        self.configure()?;
        self.prepare_token(&["secp256k1", "p256", "ed25519", "rsa-2048"]).await?;
        {
            let _waiting = self.output.wait_for(format!("{} validators start", self.validators()));
            self.start_nodes().await?;
        }
        let _waiting = self.output.wait_for("the custody service starts");
        self.start_service().await
    }

    /// Ends everything in order: the service first, then the validators.
    pub(crate) async fn stop(&mut self) {
        let mut forced = Vec::new();
        for slots in [&mut self.services, &mut self.nodes] {
            let children = slots.iter_mut().filter_map(|slot| slot.child.take());
            let ends: Vec<_> = children
                .map(|child| tokio::spawn(async move { (child.name.clone(), child.stop().await) }))
                .collect();
            for end in ends {
                if let Ok((name, true)) = end.await {
                    forced.push(name);
                }
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

    /// Starts all validators and waits until they are ready.
    pub(crate) async fn start_nodes(&mut self) -> Result<()> {
        for index in 1..=self.validators() {
            self.spawn_node(index)?;
        }
        for index in 1..=self.validators() {
            self.node_ready(index).await?;
        }
        Ok(())
    }

    /// Starts a validator again and waits until it is ready.
    pub(crate) async fn start_node(&mut self, index: usize) -> Result<()> {
        self.spawn_node(index)?;
        self.node_ready(index).await?;
        if let Some(slot) = self.slot(index) {
            slot.after_disk = None;
        }
        Ok(())
    }

    /// Starts every server, and waits until they are ready; what the first one said.
    pub(crate) async fn start_service(&mut self) -> Result<Ready> {
        let mut ready = self.start_server(1).await?;
        for index in 2..=self.servers() {
            let more = self.start_server(index).await?;
            ready.unreleased = ready.unreleased.saturating_add(more.unreleased);
        }
        Ok(ready)
    }

    async fn start_server(&mut self, index: usize) -> Result<Ready> {
        let config = self.layout.service_config(index);
        let name = numbered("service", index);
        let arguments =
            [OsStr::new("serve"), OsStr::new("--supervised"), OsStr::new("--config"), config.as_os_str()];
        let child = Child::start(&name, &arguments, &self.variables(), &self.layout.log(&name))?;
        let slot = index.checked_sub(1).and_then(|place| self.services.get_mut(place));
        let slot = slot.ok_or_else(|| Failure::refused(format!("there is no {name}"), "choose another"))?;
        // Ours from now on, ready or not: one that ends before is noticed and started again.
        slot.started(child).ready(READY_DEADLINE).await
    }

    /// The process of a validator, while it runs.
    pub(crate) fn node_id(&self, index: usize) -> Option<u32> {
        self.nodes.get(index.checked_sub(1)?)?.child.as_ref()?.id()
    }

    /// Looks after the children until somebody wants an end; starts those again that died.
    pub(crate) async fn watch(&mut self) -> Result<()> {
        let mut end = std::pin::pin!(crate::signals::end());
        loop {
            // An end is heard while something is being started again, too.
            let look = async {
                tokio::time::sleep(WATCH_INTERVAL).await;
                self.look_after().await;
            };
            tokio::select! {
                () = &mut end => return Ok(()),
                () = look => {}
            }
        }
    }

    async fn look_after(&mut self) {
        for index in 1..=self.validators() {
            let (died, output) = (self.slot(index).and_then(Slot::died), self.output);
            let starts = match died {
                Some(ended) if ended.by_disk => {
                    self.wait_for_disk(index, &ended.how);
                    false
                }
                Some(ended) => restarts(&output, &format!("node-{index}"), &ended.how, self.slot(index)),
                None => self.slot(index).is_some_and(|slot| slot.disk_pause_is_over()),
            };
            if starts && let Err(failure) = self.start_node(index).await {
                if self.slot(index).is_some_and(|slot| slot.after_disk.is_some()) {
                    continue;
                }
                self.output.note(format!("  node-{index} does not start: {failure}"));
            }
        }
        for index in 1..=self.servers() {
            let name = numbered("service", index);
            let output = self.output;
            let slot = index.checked_sub(1).and_then(|place| self.services.get_mut(place));
            if let Some(slot) = slot
                && let Some(ended) = slot.died()
                && restarts(&output, &name, &ended.how, Some(slot))
                && let Err(failure) = self.start_server(index).await
            {
                self.output.note(format!("  {name} does not start: {failure}"));
            }
        }
    }

    /// A full disk is nobody's fault for ever: the validator is tried again and again, and said so once.
    fn wait_for_disk(&mut self, index: usize, how: &str) {
        let Some(slot) = self.slot(index) else { return };
        let again = slot.after_disk.replace(Instant::now() + DISK_PAUSE).is_some();
        if !again {
            let then = "its disk is full or takes no writes; free space: it is tried again";
            self.output.note(format!("  node-{index} ended ({how}); {then}"));
        }
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
            slot.started(child);
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
}

/// Whether a child that ended, not by its disk, is started again; what came before a long healthy time does not count.
fn restarts(output: &Output, name: &str, how: &str, slot: Option<&mut Slot>) -> bool {
    let Some(slot) = slot else { return false };
    slot.after_disk = None;
    if slot.since.take().is_some_and(|since| since.elapsed() >= HEALTHY) {
        slot.restarts = 0;
    }
    slot.restarts = slot.restarts.saturating_add(1);
    let again = slot.restarts <= RESTARTS_MAX;
    let then = if again { "it is started again" } else { "it was started often enough: read its log" };
    output.note(format!("  {name} ended ({how}); {then}"));
    again
}

impl Slot {
    fn started(&mut self, child: Child) -> &mut Child {
        self.since = Some(Instant::now());
        self.child.insert(child)
    }

    /// How the child ended, if it did since it was last looked at.
    fn died(&mut self) -> Option<Ended> {
        let ended = self.child.as_mut()?.has_ended()?;
        self.child = None;
        Some(ended)
    }

    fn disk_pause_is_over(&self) -> bool {
        self.child.is_none() && self.after_disk.is_some_and(|at| at <= Instant::now())
    }
}
