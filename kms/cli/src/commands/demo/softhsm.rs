//! SoftHSM2, where it is installed: another maker's token through the same code.

use std::path::{Path, PathBuf};

use crate::failure::Result;
use crate::files::{self, Access};
use crate::local::cluster::Cluster;
use crate::local::token::run_prepare;
use crate::sealed::{NON_PRODUCTION, random32};

/// Where distributions put it.
const PLACES: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];
/// The label of its token.
pub(super) const LABEL: &str = "softhsm-demo";
/// The label of its key.
pub(super) const KEY_LABEL: &str = "bank-p256";

/// Makes a SoftHSM2 token with a key in the demo's folder and attaches it; the answer is its PIN file.
pub(super) async fn attach(cluster: &mut Cluster) -> Result<Option<PathBuf>> {
    let Some(module) = PLACES.iter().map(Path::new).find(|place| place.is_file()) else { return Ok(None) };
    let folder = cluster.layout.root().join("softhsm");
    let (store, settings, pin) = (folder.join("tokens"), folder.join("softhsm2.conf"), folder.join("pin"));
    files::make_folder(&store)?;
    let text = format!(
        "{NON_PRODUCTION}directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        store.display()
    );
    files::write(&settings, text.as_bytes(), Access::Public)?;
    let random = hex::encode(random32()?.iter().copied().take(8).collect::<Vec<_>>());
    let labelled = zeroize::Zeroizing::new(format!("{NON_PRODUCTION}{random}\n"));
    files::write(&pin, labelled.as_bytes(), Access::Secret)?;
    let variables = [("SOFTHSM2_CONF", settings)];
    let keys = [format!("p256:{KEY_LABEL}")];
    run_prepare(LABEL, Some(module), &pin, &keys, &variables, &cluster.layout).await?;
    cluster.extra.modules.push(module.to_path_buf());
    cluster.extra.variables.extend(variables);
    Ok(Some(pin))
}
