//! Alarms and the scrubber's work, as the status shows them.

use bytes::Bytes;
use keyward_proto::ledger as proto;

use crate::shared::Shared;

/// Alarms in one answer.
const ALARMS_SHOWN: usize = 32;

pub(super) fn scrub_status(shared: &Shared) -> proto::ScrubStatus {
    let status = shared.scrub.status();
    proto::ScrubStatus {
        runs: status.runs,
        running: status.running,
        height: status.height,
        bytes: status.bytes,
        found: status.found,
        unrepaired: status.unrepaired,
    }
}

pub(super) fn cold(shared: &Shared) -> Option<proto::ColdBlocks> {
    let share = shared.store.cold_share();
    (share.segments > 0).then_some(proto::ColdBlocks { segments: share.segments, bytes: share.bytes })
}

/// The newest alarms, newest first.
pub(super) fn alarms(shared: &Shared) -> Vec<proto::Alarm> {
    let alarms = shared.alarms.newest(ALARMS_SHOWN).into_iter();
    alarms
        .map(|alarm| proto::Alarm {
            number: alarm.number,
            code: alarm.code.name().to_owned(),
            height: alarm.height,
            node: alarm.node.map(|node| Bytes::copy_from_slice(&node)).unwrap_or_default(),
            text: alarm.text,
            first_ms: alarm.first_ms,
            last_ms: alarm.last_ms,
            count: alarm.count,
            repaired: alarm.repaired,
        })
        .collect()
}
