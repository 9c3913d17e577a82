//! The founders of a ledger: what their member files name, and whether a genesis holds just that.

use std::path::PathBuf;

use keyward_ledger_core::genesis::{Genesis, Submitter};
use keyward_ledger_core::keeper::Keeper;

use crate::commands::member::{Founder, MemberFile};
use crate::failure::{Failure, Result};

/// What member files name, sorted as a genesis has it.
pub(super) struct Named {
    pub(super) files: Vec<MemberFile>,
    pub(super) validators: Vec<[u8; 32]>,
    pub(super) submitters: Vec<Submitter>,
    pub(super) keepers: Vec<Keeper>,
}

/// The validators, submitters and keepers that files name, each file checked.
pub(super) fn named(paths: &[PathBuf]) -> Result<Named> {
    let (mut files, mut validators, mut submitters) = (Vec::new(), Vec::new(), Vec::new());
    let mut keepers = Vec::new();
    for path in paths {
        let file = MemberFile::load(path)?;
        let Founder { member, submitters: own, keeper } = file.founding()?;
        validators.push(member.key);
        submitters.extend(own);
        keepers.extend(keeper);
        files.push(file);
    }
    validators.sort_unstable();
    submitters.sort_unstable_by_key(|submitter| submitter.key);
    keepers.sort_by_key(Keeper::id);
    Ok(Named { files, validators, submitters, keepers })
}

/// The member files that a genesis was made of: each founder's once, and nobody stands in it who stands in none.
pub(super) fn founded(genesis: &Genesis, members: &[PathBuf]) -> Result<Vec<MemberFile>> {
    let Named { files, validators, submitters, keepers } = named(members)?;
    let document = genesis.document();
    let refused =
        |what: String| Err(Failure::refused(what, "do not start with it; have it put together again"));
    if let Some([key, _]) = validators.array_windows().find(|[key, next]| key == next) {
        let what = format!("two of the files are of the validator {}", hex::encode(key));
        return Err(Failure::refused(what, "give the file of each founder once"));
    }
    let lacking = validators.iter().find(|key| !document.validators.contains(key));
    let lacking = lacking.or_else(|| {
        submitters.iter().find(|wanted| !document.submitters.contains(wanted)).map(|wanted| &wanted.key)
    });
    let lacking = lacking.or_else(|| {
        keepers.iter().find(|wanted| !document.keepers.contains(wanted)).map(|wanted| &wanted.key)
    });
    if let Some(key) = lacking {
        return refused(format!("{} does not stand in the genesis as its file says", hex::encode(key)));
    }
    let unknown: Vec<_> = document.validators.iter().filter(|key| !validators.contains(key)).collect();
    let added: Vec<_> = document.submitters.iter().filter(|wanted| !submitters.contains(wanted)).collect();
    let strange: Vec<_> = document.keepers.iter().filter(|wanted| !keepers.contains(wanted)).collect();
    let first = unknown.first().copied().or_else(|| added.first().map(|submitter| &submitter.key));
    let Some(first) = first.or_else(|| strange.first().map(|keeper| &keeper.key)) else {
        return Ok(files);
    };
    let what = format!(
        "{} of {} validators, {} of {} submitters and {} of {} keepers stand in none of these files, {} for one",
        unknown.len(),
        document.validators.len(),
        added.len(),
        document.submitters.len(),
        strange.len(),
        document.keepers.len(),
        hex::encode(first)
    );
    if unknown.is_empty() {
        return refused(what);
    }
    let next =
        "give the files of all founders, each as it was sent to you; if these are all, do not start with it";
    Err(Failure::refused(what, next))
}
