//! The supervisor: validators and service as child processes, with everything in one folder.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::{Child, Ready};
use super::configure::url;
use super::layout::Layout;
use super::prepare;
use super::state::{State, check_folder, load_or_prepare, lock};
use super::token::{run_prepare, sample_keys};
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::Output;

/// Validators where no number is given: one may fail.
pub(crate) const VALIDATORS_DEFAULT: usize = 4;
/// How long a child may take to be ready.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How often children are looked after.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// How often one child is started again before it is left alone.
const RESTARTS_MAX: u32 = 5;

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
}

impl Slot {
    /// How the child ended, if it did since it was last looked at.
    fn died(&mut self) -> Option<String> {
        let how = self.child.as_mut()?.has_ended()?;
        self.child = None;
        Some(how)
    }
}
