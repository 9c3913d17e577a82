//! The mailbox: what a case is about, sealed, until the case ends.

use keyward_crypto::{KeyEncryptionKey, SealError, open, seal};
use keyward_domain::{AccountId, Code, approval::About};
use keyward_ledger_core::hash::sha256;
use keyward_store::{Approval, ApprovalRoom, Change, Id, StoreError};
use zeroize::Zeroizing;

use crate::{caller::Caller, custody::Custody, failure::Failure, note::labelled};

const LABEL: &str = "keyward/approval-mail/v1";
/// Cases of one account at once, and the bytes that they take.
pub(crate) const ROOM: ApprovalRoom = ApprovalRoom { cases: 64, bytes: 8 << 20 };
/// How long what a case was about is kept after its end: clocks differ, and a signature may be under way.
const KEPT_MS: u64 = 10 * 60 * 1000;

/// What a row is called.
pub(crate) fn row_id(entry: &[u8]) -> Id {
    sha256(&[entry])
}

/// What one envelope takes of it; an envelope holds 64 KiB.
const PIECE_BYTES: usize = 60 << 10;

/// The pieces one after the other, each `u32 length || envelope`; place and count are bound into each.
fn sealed(key: &dyn KeyEncryptionKey, (id, account): (&Id, &Id), plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let pieces: Vec<&[u8]> = plain.chunks(PIECE_BYTES).collect();
    let mut out = Vec::with_capacity(plain.len() + 64 * pieces.len());
    for (place, piece) in pieces.iter().enumerate() {
        let envelope = seal(key, &aad(id, account, (place, pieces.len())), piece)?;
        // INVARIANT: an envelope is shorter than 2^32 bytes.
        out.extend_from_slice(&u32::try_from(envelope.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&envelope);
    }
    Ok(out)
}

fn opened(
    key: &dyn KeyEncryptionKey,
    (id, account): (&Id, &Id),
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let malformed = || SealError::Malformed { len: sealed.len() };
    let (mut pieces, mut rest) = (Vec::new(), sealed);
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (envelope, after) = after.split_at_checked(length).ok_or(malformed())?;
        pieces.push(envelope);
        rest = after;
    }
    if !rest.is_empty() {
        return Err(malformed());
    }
    // As long as all of it from the start: what grows leaves copies behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    for (place, envelope) in pieces.iter().enumerate() {
        let piece = open(key, &aad(id, account, (place, pieces.len())), envelope)?;
        piece.expose(|bytes| plain.extend_from_slice(bytes));
    }
    Ok(plain)
}

fn aad(id: &Id, account: &Id, (place, of): (usize, usize)) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
    labelled(LABEL, &[id, account, &number(place), &number(of)]).to_vec()
}

impl Custody {
    /// What keeps it; it stays only if the account has room.
    pub(super) async fn posted(
        &self,
        caller: &Caller,
        account: AccountId,
        entry: &[u8],
        (about, readers, live_ms, used): (&About, Vec<Id>, u64, Option<Vec<u8>>),
    ) -> Result<Vec<Change>, Failure> {
        let id = row_id(entry);
        if self.store.approval(id).await?.is_some() {
            return Err(Failure::new(Code::AuthorReplayed, "the same entry was handed in before"));
        }
        let sealed = sealed(&self.mail_key, (&id, &account.0), &about.encode()).map_err(Failure::internal)?;
        let created_ms = self.clock.now_ms();
        let row = Approval {
            id,
            account: account.0,
            principal: caller.principal.to_string(),
            case: None,
            sealed,
            used,
            created_ms,
            ends_ms: created_ms.saturating_add(live_ms),
        };
        Ok(vec![Change::NeedOpenAccount(account.0), Change::PutApproval { row, readers, room: ROOM }])
    }

    /// What a case is about, if it is kept here.
    pub(super) fn opened_mail(&self, row: &Approval) -> Result<About, Failure> {
        let plain =
            opened(&self.mail_key, (&row.id, &row.account), &row.sealed).map_err(Failure::internal)?;
        About::decode(&plain).map_err(Failure::internal)
    }

    /// Erases what a case was about that has ended. What fails here is done when the case's time is over.
    pub(crate) async fn erase_mail(&self, case: &Id) {
        if let Err(error) = self.store.apply(vec![Change::EndApproval(*case)]).await {
            tracing::info!(%error, "what a case was about is erased later");
        }
    }

    /// Erases what cases were about whose time is over.
    pub(crate) async fn erase_ended_mail(&self) -> Result<(), StoreError> {
        let before_ms = self.clock.now_ms().saturating_sub(KEPT_MS);
        self.store.apply(vec![Change::EndApprovals { before_ms }]).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use keyward_crypto::MemoryKek;

    #[test]
    fn what_is_long_is_opened_whole_or_not_at_all() {
        let key = MemoryKek::generate().unwrap();
        let (id, account): (Id, Id) = ([1; 32], [2; 32]);
        for length in [1, PIECE_BYTES, PIECE_BYTES + 1, 1 << 20] {
            let plain: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let kept = sealed(&key, (&id, &account), &plain).unwrap();
            assert_eq!(*opened(&key, (&id, &account), &kept).unwrap(), plain);
            assert!(opened(&key, (&account, &id), &kept).is_err(), "of another case");
            assert!(opened(&key, (&id, &account), &[&kept[..], &[0; 3]].concat()).is_err());
            assert!(opened(&key, (&id, &account), &kept[..kept.len() - 1]).is_err());
        }
        let plain = vec![7; 2 * PIECE_BYTES];
        let kept = sealed(&key, (&id, &account), &plain).unwrap();
        let (one, two) = kept.split_at(kept.len() / 2);
        assert!(opened(&key, (&id, &account), one).is_err(), "a piece is missing");
        assert!(opened(&key, (&id, &account), &[two, one].concat()).is_err(), "in another order");
    }
}
