//! Modules in a child process, so that a library that crashes, hangs or corrupts memory takes nothing else with it.

mod child;
mod frame;
mod keeper;
mod parent;
mod pins;
mod wire;

pub use child::serve_host;
pub(crate) use parent::Host;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::module::{DEADLINE, LANES};

/// The program that becomes the child: it must call [`serve_host`] with the module's path, which stands after the
/// arguments given here.
#[derive(Clone, Debug)]
pub struct HostProgram {
    /// What is started.
    pub program: PathBuf,
    /// What stands before the module's path.
    pub arguments: Vec<OsString>,
    /// What is added to the environment that it inherits.
    pub environment: Vec<(OsString, OsString)>,
    /// How long one call into the module may last before the child is ended; a job that was given longer has that.
    pub patience: Duration,
    /// How many threads use the module, where it allows more than one.
    pub threads: usize,
}

impl HostProgram {
    /// With the usual patience, [`DEADLINE`], and number of threads, [`LANES`].
    pub fn new(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { program, arguments, environment: Vec::new(), patience: DEADLINE, threads: LANES }
    }
}
