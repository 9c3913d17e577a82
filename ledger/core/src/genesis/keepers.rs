//! The keepers that a ledger starts with: their rules, their bytes, and their place in the first state.

use super::{
    GENESIS_VERSION, GENESIS_VERSION_WITH_KEEPERS, GenesisDocument, GenesisError, Submitter, is_name,
};
use crate::certificate::ValidatorSet;
use crate::change::{RPC_ADDRESS_BYTES_MAX, is_visible};
use crate::codec::{DecodeError, Reader, Writer};
use crate::ed25519::VerifyingKey;
use crate::genesis::Role;
use crate::keeper::Keeper;
use crate::state::keeper::{KEEPERS_MAX, KeeperState, keeper_key, keepers_key};
use crate::state::member::write_list;
use crate::state::{Tree, layout};

/// The version of a document with these keepers.
pub(super) const fn version(keepers: &[Keeper]) -> u8 {
    if keepers.is_empty() { GENESIS_VERSION } else { GENESIS_VERSION_WITH_KEEPERS }
}

/// Appends `list(64) of keeper`, or nothing if there are none.
pub(super) fn write(keepers: &[Keeper], out: &mut Writer) {
    if keepers.is_empty() {
        return;
    }
    out.count(keepers.len());
    for keeper in keepers {
        keeper.write(out);
    }
}

/// Reads what [`write`] appends to a document of this version.
pub(super) fn read(version: u8, reader: &mut Reader<'_>) -> Result<Vec<Keeper>, DecodeError> {
    if version == GENESIS_VERSION {
        return Ok(Vec::new());
    }
    let keepers = reader.list("keepers", KEEPERS_MAX, Keeper::read)?;
    if keepers.is_empty() {
        return Err(DecodeError::Invalid { what: "keepers", why: "are none, which an older version says" });
    }
    Ok(keepers)
}

/// Refuses keepers that the ledger would not take in by entry.
pub(super) fn check(document: &GenesisDocument, validators: &ValidatorSet) -> Result<(), GenesisError> {
    let keepers = &document.keepers;
    if keepers.len() > KEEPERS_MAX {
        return Err(GenesisError::Keepers { count: keepers.len() });
    }
    let wrong = |[before, after]: &[Keeper; 2]| before.id() >= after.id();
    if let Some(place) = keepers.array_windows().position(wrong) {
        return Err(GenesisError::KeeperOrder { index: place + 1 });
    }
    for (index, keeper) in keepers.iter().enumerate() {
        if !is_name(&keeper.name) {
            return Err(GenesisError::KeeperText { index, what: "name" });
        }
        if !is_visible(&keeper.rpc) || keeper.rpc.len() > RPC_ADDRESS_BYTES_MAX {
            return Err(GenesisError::KeeperText { index, what: "rpc address" });
        }
        VerifyingKey::parse(&keeper.key).map_err(|cause| GenesisError::KeeperKey { index, cause })?;
        let taken = keepers.iter().take(index).any(|before| before.key == keeper.key)
            || document.submitters.iter().any(|submitter| submitter.key == keeper.key)
            || validators.member(&keeper.key).is_some();
        if taken {
            return Err(GenesisError::KeeperKeyTaken { index });
        }
    }
    Ok(())
}

/// Writes the list, each keeper, and each as the submitter that it is; nothing if there are none.
pub(super) fn seat(keepers: &[Keeper], state: &mut Tree) {
    if keepers.is_empty() {
        return;
    }
    let ids: Vec<_> = keepers.iter().map(Keeper::id).collect();
    state.insert(&keepers_key(), &write_list(&ids));
    for (id, keeper) in ids.iter().zip(keepers) {
        let submitter = layout::SubmitterState::new(&Submitter::new(keeper.key, Role::Keeper));
        state.insert(&layout::submitter_key(&keeper.key), &submitter.encode());
        let entry = KeeperState { present: true, height: 0, keeper: keeper.clone() };
        state.insert(&keeper_key(id), &entry.encode());
    }
}
