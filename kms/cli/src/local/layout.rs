//! Where everything lies inside the folder of `up`.

use std::path::{Path, PathBuf};

use crate::config::keeper::KeeperKey;

/// The folder of `up` where none is given.
pub(crate) const UP_FOLDER: &str = "keyward-local";
/// The folder of `demo` where none is given.
pub(crate) const DEMO_FOLDER: &str = "keyward-demo";
/// The profiles, one for each role that people and programs have here.
pub(crate) const PROFILES: [&str; 5] = ["app", "operator", "officer", "auditor", "agent"];

/// The folder; every path of it is absolute.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// A layout below a folder that need not exist yet.
    pub(crate) fn new(root: &Path) -> std::io::Result<Self> {
        Ok(Self { root: std::path::absolute(root)? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The supervisor's own file: how many validators, which ports.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("keyward.toml")
    }

    /// Held by the supervisor while it runs.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn readme(&self) -> PathBuf {
        self.root.join("README")
    }

    pub(crate) fn operator_secret(&self) -> PathBuf {
        self.root.join("operator.secret")
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.root.join("ca/ca.pem")
    }

    pub(crate) fn genesis(&self) -> PathBuf {
        self.root.join("genesis")
    }

    pub(crate) fn trust(&self) -> PathBuf {
        self.root.join("trust")
    }

    /// The folder of node `index`, counted from 1.
    pub(crate) fn node(&self, index: usize) -> PathBuf {
        self.root.join(format!("node-{index}"))
    }

    /// What node `index` stores, counted from 1.
    pub(crate) fn node_data(&self, index: usize) -> PathBuf {
        self.node(index).join("data")
    }

    /// A validator's sealed key for checkpoints of the log.
    pub(crate) fn checkpoint_key(&self, index: usize) -> PathBuf {
        self.node(index).join("checkpoint.key")
    }

    /// One of the sealed keys of the keeper beside node `index`.
    pub(crate) fn keeper_key(&self, index: usize, key: KeeperKey) -> PathBuf {
        self.node(index).join(key.file())
    }

    pub(crate) fn node_config(&self, index: usize) -> PathBuf {
        self.node(index).join("node.toml")
    }

    pub(crate) fn service(&self) -> PathBuf {
        self.root.join("service")
    }

    /// The configuration of server `index`, counted from 1; all of them lie in one folder.
    pub(crate) fn service_config(&self, index: usize) -> PathBuf {
        self.service().join(numbered("serve", index) + ".toml")
    }

    pub(crate) fn submitter(&self, name: &str) -> PathBuf {
        self.root.join(format!("submitters/{name}.key"))
    }

    /// The sealed submitter key of server `index`.
    pub(crate) fn server_submitter(&self, index: usize) -> PathBuf {
        self.submitter(&numbered("service", index))
    }

    /// The store of the bundled token.
    pub(crate) fn token(&self) -> PathBuf {
        self.root.join("token")
    }

    /// What a person types as PIN when trying the bundled token.
    pub(crate) fn token_pin(&self) -> PathBuf {
        self.root.join("token.pin")
    }

    pub(crate) fn profile(&self, role: &str) -> PathBuf {
        self.root.join(format!("profiles/local-{role}"))
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.root.join(format!("logs/{name}.log"))
    }
}

/// A name for the first, and a numbered one for those after it.
pub(crate) fn numbered(name: &str, index: usize) -> String {
    if index <= 1 { name.to_owned() } else { format!("{name}-{index}") }
}
