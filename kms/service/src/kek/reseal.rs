//! Bringing what is under an older key-encryption key under the current one, beside requests, a few at a time.
//!
//! Each row is exchanged only if it still holds what was opened, so several servers may do this at once, and one that
//! is killed leaves each row under one key or the other.

use std::num::NonZeroU32;

use keyward_crypto::{code_secret_aad, hosted_key_aad, profile_key_aad, service_secret_aad};
use keyward_domain::scheme::KeyId;
use keyward_store::{AddressAccount, Change, Custody as Place, Key, OneTimeCode, Pin, Profile, StoreError};
use zeroize::Zeroizing;

use super::{load, rotate::RETIRE_AFTER_MS};
use crate::{
    addresses::root::data_key_aad, custody::Custody, failure::Failure, secrets, tokens::link::pin_aad,
};

/// Rows of each kind in one pass.
const PASS_MAX: u32 = 64;
/// How long after a rotation it is looked for what came under an older key meanwhile.
const STRAGGLERS_MS: u64 = 2 * RETIRE_AFTER_MS;
/// What the status counts up to.
const COUNTED_MAX: u32 = 1000;

/// What is not under the current key; keys and profiles are counted up to a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) keys: usize,
    pub(crate) profiles: usize,
    pub(crate) pins: usize,
    /// Of the service, of one-time codes, and of addresses.
    pub(crate) secrets: usize,
}

impl Left {
    pub(crate) const fn any(self) -> bool {
        self.keys + self.profiles + self.pins + self.secrets > 0
    }
}

/// A sealed thing and how to put its new envelope in its place.
struct Item {
    what: String,
    aad: Vec<u8>,
    sealed: Vec<u8>,
    exchange: Box<dyn FnOnce(Vec<u8>) -> Change + Send>,
}

impl Custody {
    /// One pass of a rotation that is under way; ends it when nothing is left. It goes on for a while after that: another
    /// server may have sealed under the older key before it read of the new one.
    pub(crate) async fn tend_kek(&self) -> Result<(), Failure> {
        let (state, row) = load(self.store.as_ref(), self.kek.as_ref()).await?;
        self.kek.adopt(state.number);
        let Some(row) = row else { return Ok(()) };
        if state.resealed && self.clock.now_ms() >= state.since_ms.saturating_add(STRAGGLERS_MS) {
            return Ok(());
        }
        let mut stuck = 0;
        for item in self.under_older(state.number, PASS_MAX).await? {
            let what = item.what.clone();
            if let Err(failure) = self.reseal(state.number, item).await {
                stuck += 1;
                tracing::error!(what, %failure, "cannot be brought under the new key-encryption key");
            }
        }
        if stuck == 0 && !state.resealed && !self.left_under_older(state.number).await?.any() {
            self.end_rotation(state, row).await?;
        }
        Ok(())
    }

    /// How much is under an older key.
    pub(super) async fn left_under_older(&self, number: NonZeroU32) -> Result<Left, Failure> {
        let label = self.kek.label(number);
        let mut left = Left {
            keys: self.store.keys_not_under(&label, COUNTED_MAX).await?.len(),
            profiles: self.store.profiles_not_under(&label, COUNTED_MAX).await?.len(),
            secrets: self.store.one_time_codes_not_under(&label, COUNTED_MAX).await?.len()
                + self.store.address_accounts_not_under(&label, COUNTED_MAX).await?.len(),
            ..Left::default()
        };
        for pin in self.store.pins().await? {
            left.pins += usize::from(self.kek_of(&pin.sealed)? != label);
        }
        for name in secrets::NAMES {
            let sealed = self.store.secret(name).await?;
            left.secrets +=
                usize::from(sealed.is_some_and(|sealed| self.kek_of(&sealed).ok() != Some(label.clone())));
        }
        Ok(left)
    }

    async fn under_older(&self, number: NonZeroU32, max: u32) -> Result<Vec<Item>, Failure> {
        let label = self.kek.label(number);
        let mut items = Vec::new();
        for name in secrets::NAMES {
            if let Some(sealed) = self.store.secret(name).await?
                && self.kek_of(&sealed)? != label
            {
                items.push(secret(name, sealed));
            }
        }
        for row in self.store.pins().await? {
            if self.kek_of(&row.sealed)? != label {
                items.push(pin(row));
            }
        }
        for row in self.store.profiles_not_under(&label, max).await? {
            items.push(profile(row, label.clone()));
        }
        for row in self.store.one_time_codes_not_under(&label, max).await? {
            items.push(code(row, label.clone()));
        }
        for row in self.store.address_accounts_not_under(&label, max).await? {
            items.push(addresses(row, label.clone()));
        }
        for row in self.store.keys_not_under(&label, max).await? {
            items.extend(key(row, label.clone()));
        }
        Ok(items)
    }

    async fn reseal(&self, number: NonZeroU32, item: Item) -> Result<(), Failure> {
        let Item { aad, sealed, exchange, .. } = item;
        let secret = self.kek.open(aad.clone(), sealed).await?;
        let plain = secret.expose(|bytes| Zeroizing::new(bytes.to_vec()));
        // The old envelope is the only one: the new one that takes its place is known to open.
        let fresh = self.kek.seal_under(number, aad, plain).await?;
        match self.store.apply(vec![exchange(fresh)]).await {
            // Another server was faster, or the row is gone.
            Ok(()) | Err(StoreError::Missing { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn secret(name: &'static str, sealed: Vec<u8>) -> Item {
    let from = sealed.clone();
    let exchange = Box::new(move |to| Change::ReplaceSecret { name, from, to });
    Item { what: name.to_owned(), aad: service_secret_aad(name), sealed, exchange }
}

fn pin(row: Pin) -> Item {
    let Pin { serial, label, sealed } = row;
    let (aad, from, what) = (pin_aad(&serial), sealed.clone(), format!("pin of {label}"));
    let exchange = Box::new(move |to| Change::ReplacePin { serial, label, from, to });
    Item { what, aad, sealed, exchange }
}

fn profile(row: Profile, kek: String) -> Item {
    let Profile { account, sealed_key: sealed, .. } = row;
    let from_sealed = sealed.clone();
    let exchange = Box::new(move |to_sealed| Change::ResealProfile { account, from_sealed, to_sealed, kek });
    Item { what: "profile".to_owned(), aad: profile_key_aad(&account), sealed, exchange }
}

fn code(row: OneTimeCode, kek: String) -> Item {
    let OneTimeCode { account, state, sealed, .. } = row;
    let from_sealed = sealed.clone();
    let exchange =
        Box::new(move |to_sealed| Change::ResealCode { account, state, from_sealed, to_sealed, kek });
    Item { what: "one-time code".to_owned(), aad: code_secret_aad(&account), sealed, exchange }
}

fn addresses(row: AddressAccount, kek: String) -> Item {
    let AddressAccount { account, sealed_key: sealed, .. } = row;
    let from_sealed = sealed.clone();
    let exchange =
        Box::new(move |to_sealed| Change::ResealAddresses { account, from_sealed, to_sealed, kek });
    Item { what: "addresses".to_owned(), aad: data_key_aad(&account), sealed, exchange }
}

fn key(row: Key, kek: String) -> Option<Item> {
    let Key { key_id, account, version, custody: Place::Hosted { sealed, .. }, .. } = row else {
        return None;
    };
    let from_sealed = sealed.clone();
    let exchange = Box::new(move |to_sealed| Change::Reseal { key_id, from_sealed, to_sealed, kek });
    let aad = hosted_key_aad(&KeyId(key_id), &account, version);
    Some(Item { what: format!("key {}", KeyId(key_id)), aad, sealed, exchange })
}
