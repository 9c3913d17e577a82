//! Slot events: a token was pulled, put in, made anew or made at all by another process.

use std::time::Duration;

use cryptoki_sys::CK_SLOT_ID;

use super::Module;
use crate::error::{Refusal, Result};

/// How often a blocked call looks at the slots. Nothing is sent between processes, so looking is what there is.
const GLANCE: Duration = Duration::from_millis(20);

impl Module {
    /// `C_WaitForSlotEvent`: the slot of an event since `C_Initialize` or since it was reported.
    ///
    /// # Errors
    /// [`Refusal::NoEvent`] if there is none and the caller does not wait; [`Refusal::NotInitialized`] if the
    /// library is finalised meanwhile.
    pub fn wait_for_slot_event(&self, blocks: bool) -> Result<CK_SLOT_ID> {
        loop {
            if let Some(slot) = self.take_event()? {
                return Ok(slot);
            }
            if !blocks {
                return Err(Refusal::NoEvent.into());
            }
            if self.closing.wait(GLANCE) {
                return Err(Refusal::NotInitialized.into());
            }
        }
    }

    pub(super) fn take_event(&self) -> Result<Option<CK_SLOT_ID>> {
        self.look()?;
        let mut state = self.state();
        for slot in 0..super::SLOTS {
            // A token that cannot be read says so to whoever uses it.
            let _ = state.refresh(slot);
        }
        let place = state.bays.iter_mut().position(|bay| std::mem::take(&mut bay.event));
        Ok(place.map(|place| place as CK_SLOT_ID))
    }
}
