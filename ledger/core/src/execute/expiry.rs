//! Which state entries end when. Made from the state alone, so a restored ledger has the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::DecodeError;
use crate::state::Tree;
use crate::state::layout::{self, End};

type Keys = Arc<Vec<Arc<[u8]>>>;
type Moments = Arc<BTreeMap<u64, Keys>>;

/// Keys by the last moment at which they live. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Expiry {
    by_height: Moments,
    by_time_ms: Moments,
}

impl Expiry {
    pub(super) fn of(state: &Tree) -> Result<Self, DecodeError> {
        let mut expiry = Self::default();
        for (key, value) in state.iter() {
            if let Some(end) = layout::end_of(key, value)? {
                expiry.add(key, end);
            }
        }
        Ok(expiry)
    }

    pub(super) fn add(&mut self, key: &[u8], end: End) {
        let (moments, moment) = match end {
            End::Height(height) => (&mut self.by_height, height),
            End::TimeMs(time_ms) => (&mut self.by_time_ms, time_ms),
        };
        Arc::make_mut(Arc::make_mut(moments).entry(moment).or_default()).push(key.into());
    }

    /// Removes what does not live in a block of this height and time any more.
    pub(super) fn prune(&mut self, height: u64, time_ms: u64, state: &mut Tree) {
        for key in past(&mut self.by_height, height).chain(past(&mut self.by_time_ms, time_ms)) {
            // A later end may have been written since: the value says.
            let end = state.get(&key).and_then(|value| layout::end_of(&key, value).ok().flatten());
            if end.is_some_and(|end| end.is_before(height, time_ms)) {
                state.remove(&key);
            }
        }
    }
}

/// Takes the keys of all moments before `now`.
fn past(moments: &mut Moments, now: u64) -> impl Iterator<Item = Arc<[u8]>> + use<> {
    let is_due = moments.first_key_value().is_some_and(|(moment, _)| *moment < now);
    let due = is_due.then(|| {
        let moments = Arc::make_mut(moments);
        let living = moments.split_off(&now);
        std::mem::replace(moments, living)
    });
    due.into_iter().flat_map(BTreeMap::into_values).flat_map(|keys| keys.iter().cloned().collect::<Vec<_>>())
}
