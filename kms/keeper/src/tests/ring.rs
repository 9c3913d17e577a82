//! The way between the keepers of a world, which may be cut or spoilt.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::world::{KEEPERS, World, address_of};
use crate::{Circle, CircleError, Heard, Keeper, Said};

/// The way between keepers.
#[derive(Default)]
pub(super) struct Ring {
    keepers: Mutex<Vec<(String, Keeper)>>,
    pub(super) down: Mutex<BTreeSet<u8>>,
    /// Whether whoever carries answers changes them.
    pub(super) spoils: Mutex<bool>,
    interval: Duration,
}

impl Circle for Ring {
    fn say<'a>(&'a self, address: &'a str, said: Said) -> Heard<'a> {
        Box::pin(async move {
            let silent = |source| CircleError { address: address.to_owned(), source };
            let down = self.down.lock().unwrap().iter().any(|number| address_of(*number) == address);
            let keepers = self.keepers.lock().unwrap().clone();
            let found = keepers.into_iter().rev().find(|(known, _)| known == address && !down);
            let (_, keeper) = found.ok_or_else(|| silent("no way".into()))?;
            let mut answer = keeper.confer(&said).await.map_err(|error| silent(error.into()))?;
            if *self.spoils.lock().unwrap() {
                let middle = answer.len() / 2;
                answer[middle] ^= 1;
            }
            Ok(answer)
        })
    }
}

/// Has a keeper join the ring, once more after a restart.
pub(super) fn join(world: &World, ring: &Arc<Ring>, number: u8) {
    let keeper = world.keeper(number).clone();
    keeper.join(ring.clone(), ring.interval);
    ring.keepers.lock().unwrap().push((address_of(number), keeper));
}

/// All keepers of a world in a ring, who deal anew as often as it says.
pub(super) fn ring(world: &World, interval: Duration) -> Arc<Ring> {
    let ring = Arc::new(Ring { interval, ..Ring::default() });
    (1..=KEEPERS).for_each(|number| join(world, &ring, number));
    ring
}
