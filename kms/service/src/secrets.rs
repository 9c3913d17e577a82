//! The service's own secrets: made once, sealed under the key-encryption key, opened at each start.

use keyward_crypto::{ImportSealingKey, MemoryKek, OpaqueServer, SecretBytes, service_secret_aad};
use keyward_store::{Change, Store};
use zeroize::Zeroizing;

use crate::{custody::random, failure::Failure, ports::Kek};

const OPAQUE: &str = "opaque-setup";
const SEALING: &str = "import-sealing-key";
const NOTES: &str = "note-blinding";
const NOTICES: &str = "notice-addresses";
const MAIL: &str = "approval-mail";
const RISK: &str = "risk-histories";
const EPOCHS: &str = "address-epochs";

/// Every secret that is sealed under the key-encryption key by name.
pub(crate) const NAMES: [&str; 7] = [OPAQUE, SEALING, NOTES, NOTICES, MAIL, RISK, EPOCHS];

/// Whether there is any yet.
pub(crate) async fn any(store: &dyn Store) -> Result<bool, Failure> {
    Ok(store.secret(OPAQUE).await?.is_some() || store.secret(SEALING).await?.is_some())
}

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

/// What blinds the commitments of notes that belong to no account, 32 bytes.
pub(crate) async fn notes(store: &dyn Store, kek: &dyn Kek) -> Result<SecretBytes, Failure> {
    let fresh = || Ok(Zeroizing::new(random::<32>()?.to_vec()));
    open_or_make(store, kek, NOTES, fresh).await
}

/// What addresses of notices are sealed under.
pub(crate) async fn notices(store: &dyn Store, kek: &dyn Kek) -> Result<MemoryKek, Failure> {
    key(store, kek, NOTICES).await
}

/// What cases of approvals are about is sealed under it.
pub(crate) async fn mail(store: &dyn Store, kek: &dyn Kek) -> Result<MemoryKek, Failure> {
    key(store, kek, MAIL).await
}

/// What is known of accounts' habits is sealed under it.
pub(crate) async fn risk(store: &dyn Store, kek: &dyn Kek) -> Result<MemoryKek, Failure> {
    key(store, kek, RISK).await
}

/// What closes epochs of addresses is sealed under it until they are closed.
pub(crate) async fn epochs(store: &dyn Store, kek: &dyn Kek) -> Result<MemoryKek, Failure> {
    key(store, kek, EPOCHS).await
}

async fn key(store: &dyn Store, kek: &dyn Kek, name: &'static str) -> Result<MemoryKek, Failure> {
    let fresh = || Ok(Zeroizing::new(random::<32>()?.to_vec()));
    let secret = open_or_make(store, kek, name, fresh).await?;
    let key = secret.expose(|bytes| <&[u8; 32]>::try_from(bytes).map(MemoryKek::new));
    key.map_err(Failure::internal)?.map_err(Failure::internal)
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
