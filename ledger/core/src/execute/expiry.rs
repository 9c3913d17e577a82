//! Which state entries end when. Made from the state alone, so a restored ledger has the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::DecodeError;
use crate::state::{Tree, layout};

type Keys = Arc<Vec<Arc<[u8]>>>;

/// Keys by the last height at which they live. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Expiry {
    by_height: Arc<BTreeMap<u64, Keys>>,
}

impl Expiry {
    pub(super) fn of(state: &Tree) -> Result<Self, DecodeError> {
        let mut expiry = Self::default();
        for (key, value) in state.iter() {
            if let Some(last_height) = layout::last_height(key, value)? {
                expiry.add(key, last_height);
            }
        }
        Ok(expiry)
    }

    pub(super) fn add(&mut self, key: &[u8], last_height: u64) {
        let keys = Arc::make_mut(&mut self.by_height).entry(last_height).or_default();
        Arc::make_mut(keys).push(key.into());
    }

    /// Removes what does not live at `height` any more.
    pub(super) fn prune(&mut self, height: u64, state: &mut Tree) {
        if self.by_height.first_key_value().is_none_or(|(last_height, _)| *last_height >= height) {
            return;
        }
        let by_height = Arc::make_mut(&mut self.by_height);
        let living = by_height.split_off(&height);
        for keys in std::mem::replace(by_height, living).into_values() {
            for key in keys.iter() {
                state.remove(key);
            }
        }
    }
}
