//! Answering an opening: only one that is final and accepted, under a grant that is in force now, for a recorded dealing that it
//! covers wholly; sealed to the grantee whom the ledger names.

use keyward_crypto::viewing::Opening;
use keyward_ledger_core::{
    entry::{Act, AuditAct, Authored, Entry, OpenGrant},
    hash::Hash,
    state::{
        addresses::{AddressesState, DealtState, addresses_key, dealt_key},
        audit::{AuditGrantState, AuditGrantStatus, audit_grant_key},
    },
    unlinkable::AddressEpoch,
};

use super::{error::ViewingError, place::Place};
use crate::{
    keeper::Keeper,
    ledger::{Final, LedgerError, Look},
};

impl Keeper {
    /// Gives this keeper's part of the dealing that begins with an epoch, for the opening at a place of the log, sealed to the
    /// grantee's key. The same opening is answered as often as it is asked, while its grant is in force.
    pub async fn open_viewing(&self, leaf_index: u64, first: u32) -> Result<Vec<u8>, ViewingError> {
        let opened = self.opened_grant(leaf_index).await?;
        let (opening, place) = self.opened_now(leaf_index, &opened, first).await?;
        let question = (opening.dealing, question(leaf_index));
        if let Some(part) = self.0.viewing.given.find(&question) {
            return Ok(part);
        }
        let inner = self.0.clone();
        let part = self.work(move || {
            let kept = inner.viewing.store.load(&place)?.ok_or(ViewingError::NoShare)?;
            let part = kept.share.answer(&opening, |message| inner.signing.sign(message));
            part.map_err(ViewingError::Answer)
        });
        let part = part.await?;
        self.0.viewing.given.remember(question, &part);
        Ok(part)
    }

    /// The accepted opening of a record.
    async fn opened_grant(&self, leaf_index: u64) -> Result<OpenGrant, ViewingError> {
        let refused = |why| ViewingError::NotOpened { leaf_index, why };
        let Final { entry, outcome, .. } = self.0.ledger.record(leaf_index).await?;
        let opened = open_grant(&entry).ok_or_else(|| refused("it is another kind of record"))?;
        if outcome.is_accepted() { Ok(opened) } else { Err(refused("the ledger refused it")) }
    }

    /// What an opening lets us answer now, by state that is no older than its record.
    async fn opened_now(
        &self,
        leaf_index: u64,
        opened: &OpenGrant,
        first: u32,
    ) -> Result<(Opening, Place), ViewingError> {
        let refused = |why| ViewingError::NotOpened { leaf_index, why };
        let OpenGrant { grant, account, .. } = opened;
        let keys = vec![audit_grant_key(grant), dealt_key(account, first), addresses_key(account)];
        let look = self.look(leaf_index, keys).await?;
        // State from before the record cannot say what became of its grant.
        let Look { values, time_ms, .. } = look.ok_or(LedgerError::Behind { age_ms: 0 })?;
        let [granted, dealt, chosen] = values.as_slice() else {
            return Err(refused("its state is not known"));
        };
        let granted = granted.as_deref().map(AuditGrantState::decode).transpose()?;
        let granted = granted.filter(|granted| granted.status == AuditGrantStatus::Issued);
        let granted = granted.ok_or(ViewingError::Revoked)?.grant;
        if time_ms >= granted.expires_ms {
            return Err(ViewingError::Expired);
        }
        let dealt = dealt.as_deref().map(DealtState::decode).transpose()?;
        let dealt = dealt.ok_or_else(|| refused("no dealing begins with that epoch"))?;
        if first < opened.first || dealt.last > opened.last {
            return Err(refused("it does not cover the whole dealing"));
        }
        let chosen = chosen.as_deref().map(AddressesState::decode).transpose()?;
        let chosen = chosen.ok_or_else(|| refused("the account has chosen no addresses"))?;
        self.require_kept(&chosen, dealt.last, time_ms).await?;
        if !dealt.keepers.contains(&self.0.id) {
            return Err(ViewingError::NoShare);
        }
        let opening = Opening {
            chain_id: self.0.ledger.chain_id(),
            grant_id: *grant,
            leaf_index,
            dealing: dealt.dealing_hash,
            grantee_key: granted.grantee_key,
        };
        let place = Place { account: *account, first, last: dealt.last, hash: dealt.dealing_hash };
        Ok((opening, place))
    }

    /// Refuses what a closed account did not do any more, or what is not kept any more by its tenant's terms of now.
    async fn require_kept(
        &self,
        chosen: &AddressesState,
        last: u32,
        time_ms: u64,
    ) -> Result<(), ViewingError> {
        if chosen.closed_ms.is_none() {
            return Ok(());
        }
        let (terms, _) = self.terms_of(&chosen.tenant).await?;
        let begins_ms = AddressEpoch::new(chosen.epoch_ms, last).begins_ms();
        let can = terms.is_some_and(|terms| chosen.can_be_opened(begins_ms, &terms, time_ms));
        if can { Ok(()) } else { Err(ViewingError::Closed) }
    }
}

/// The opening of an entry, if it is one.
fn open_grant(entry: &[u8]) -> Option<OpenGrant> {
    match Entry::decode(entry).ok()? {
        Entry::Authored(Authored { act: Act::Audit(AuditAct::Open(opened)), .. }) => Some(opened),
        _ => None,
    }
}

/// The place of an opening, as what a part is remembered by.
fn question(leaf_index: u64) -> Hash {
    let mut question = [0; 32];
    question.iter_mut().zip(leaf_index.to_be_bytes()).for_each(|(byte, from)| *byte = from);
    question
}
