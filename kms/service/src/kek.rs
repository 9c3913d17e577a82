//! The key-encryption keys: which one seals, how the next one takes over, and when an old one may go.
//!
//! They are numbered from 1 and live in the token. The database holds one row that says which number is the
//! current one: an envelope under that very key, so that nobody without the token can write it. New envelopes name
//! the key they are under; those of the first version are under number 1. A rotation is recorded before it counts,
//! then every server seals under the new key as soon as it has read the row (each does so every two seconds, and
//! opens whatever number an envelope names); `reseal` brings what is older over. An old key is removed only when it
//! is asked for and nothing is under it.

mod note;
mod reseal;
mod rotate;

use std::num::NonZeroU32;

use keyward_crypto::{Envelope, service_secret_aad};
use keyward_ledger_core::codec::{DecodeError, Reader, Writer};
use keyward_store::{Change, Store};
use zeroize::Zeroizing;

use crate::{custody::Custody, failure::Failure, ports::Kek, secrets};

/// The first key-encryption key.
pub(crate) const FIRST: NonZeroU32 = NonZeroU32::MIN;
/// The row that says which key is the current one.
const STATE: &str = "kek-state";

/// What a key is called: the configured label, from the second key on with its number.
pub(crate) fn labelled(label: &str, number: NonZeroU32) -> String {
    if number == FIRST { label.to_owned() } else { format!("{label}/{number}") }
}

/// Where the rotation of key-encryption keys stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KekState {
    /// The key that seals.
    pub(crate) number: NonZeroU32,
    /// Since when.
    pub(crate) since_ms: u64,
    /// Whether nothing is under an older one, and that is recorded.
    pub(crate) resealed: bool,
}

impl KekState {
    /// Before the first rotation.
    const NEW: Self = Self { number: FIRST, since_ms: 0, resealed: true };

    fn encode(self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Writer::with_capacity(13);
        bytes.u32(self.number.get());
        bytes.u64(self.since_ms);
        bytes.u8(self.resealed.into());
        Zeroizing::new(bytes.finish())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = Reader::new(bytes);
        let mut read = || Ok((reader.u32("number")?, reader.u64("since")?, reader.u8("resealed")?));
        let (number, since_ms, resealed) = read().map_err(|error: DecodeError| Failure::internal(error))?;
        reader.finish("kek state").map_err(Failure::internal)?;
        let number =
            NonZeroU32::new(number).ok_or_else(|| Failure::internal("a kek state without a number"))?;
        Ok(Self { number, since_ms, resealed: resealed == 1 })
    }
}

/// The state and the bytes of its row, none before the first rotation. A row that was not written with the key that
/// it names is refused.
pub(crate) async fn load(store: &dyn Store, kek: &dyn Kek) -> Result<(KekState, Option<Vec<u8>>), Failure> {
    let Some(sealed) = store.secret(STATE).await? else { return Ok((KekState::NEW, None)) };
    let named = Envelope::decode(&sealed).map_err(Failure::internal)?.kek;
    let opened = kek.open(service_secret_aad(STATE), sealed.clone()).await?;
    let state = opened.expose(KekState::decode)?;
    if named != Some(state.number) {
        return Err(Failure::internal("the kek state is not under the key that it names"));
    }
    Ok((state, Some(sealed)))
}

/// At a start: finds the current key; the first one is made when nothing was ever sealed.
pub(crate) async fn start(store: &dyn Store, kek: &dyn Kek) -> Result<(), Failure> {
    let (state, _) = load(store, kek).await?;
    if state == KekState::NEW && !secrets::any(store).await? {
        kek.make(FIRST).await?;
    } else if !kek.exists(state.number).await? {
        let what = format!("the token has no key-encryption key `{}`", kek.label(state.number));
        return Err(Failure::new(keyward_domain::Code::TokenKeyMissing, what));
    }
    kek.adopt(state.number);
    Ok(())
}

impl Custody {
    /// Reads which key is the current one; from now on it seals here too.
    pub(crate) async fn follow_kek(&self) -> Result<KekState, Failure> {
        let (state, _) = load(self.store.as_ref(), self.kek.as_ref()).await?;
        self.kek.adopt(state.number);
        Ok(state)
    }

    /// The label of the key that an envelope is under, as rows name it.
    pub(crate) fn kek_of(&self, sealed: &[u8]) -> Result<String, Failure> {
        let named = Envelope::decode(sealed).map_err(Failure::internal)?.kek;
        Ok(self.kek.label(named.unwrap_or(FIRST)))
    }

    /// The change that puts another state in the place of the one that was read.
    async fn kek_state_change(&self, from: Option<Vec<u8>>, to: KekState) -> Result<Change, Failure> {
        let sealed = self.kek.seal_under(to.number, service_secret_aad(STATE), to.encode()).await?;
        Ok(match from {
            None => Change::PutSecret(STATE, sealed),
            Some(from) => Change::ReplaceSecret { name: STATE, from, to: sealed },
        })
    }
}
