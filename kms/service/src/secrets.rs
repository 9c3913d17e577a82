//! The service's own secrets: made once, sealed under the key-encryption key, opened at each start.

use keyward_crypto::{ImportSealingKey, OpaqueServer, SecretBytes, service_secret_aad};
use keyward_store::{Change, Store};
use zeroize::Zeroizing;

use crate::{failure::Failure, ports::Kek};

const OPAQUE: &str = "opaque-setup";
const SEALING: &str = "import-sealing-key";

/// The OPAQUE server setup.
pub(crate) async fn opaque(store: &dyn Store, kek: &dyn Kek) -> Result<OpaqueServer, Failure> {
    let fresh = || {
        let server = OpaqueServer::generate().map_err(Failure::internal)?;
        Ok(server.to_secret().expose(|bytes| Zeroizing::new(bytes.to_vec())))
    };
    let secret = open_or_make(store, kek, OPAQUE, fresh).await?;
    secret.expose(OpaqueServer::from_bytes).map_err(Failure::internal)
}

/// The key that clients seal imported keys to.
pub(crate) async fn sealing(store: &dyn Store, kek: &dyn Kek) -> Result<ImportSealingKey, Failure> {
    let fresh = || {
        let key = ImportSealingKey::generate().map_err(Failure::internal)?;
        Ok(key.expose(|bytes| Zeroizing::new(bytes.to_vec())))
    };
    let secret = open_or_make(store, kek, SEALING, fresh).await?;
    secret.expose(ImportSealingKey::from_secret).map_err(Failure::internal)
}

async fn open_or_make(
    store: &dyn Store,
    kek: &dyn Kek,
    name: &'static str,
    fresh: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, Failure>,
) -> Result<SecretBytes, Failure> {
    let aad = service_secret_aad(name);
    if store.secret(name).await?.is_none() {
        let sealed = kek.seal(aad.clone(), fresh()?).await?;
        store.apply(vec![Change::PutSecret(name, sealed)]).await?;
    }
    // What stands is what was kept first, by whomever.
    let sealed =
        store.secret(name).await?.ok_or_else(|| Failure::internal("a secret that was kept is gone"))?;
    kek.open(aad, sealed).await
}
