//! Closing an account: its credential signs, and the receipt must be of exactly what it signed.

use keyward_ledger_core::entry::{Act, Authored, Entry, Party};
use keyward_proto::custody::{CloseAccountRequest, PrepareCloseRequest};

use crate::client::{Client, idempotency_key};
use crate::error::ClientError;
use crate::person::Login;
use crate::petition::Blank;

/// How many blocks the signature counts: whoever holds it back can close the account that long, and no longer.
const CLOSE_BLOCKS: u64 = 512;

/// An account that is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedAccount {
    /// The receipt of its closing.
    pub receipt: Vec<u8>,
    /// Whether the service has yet to seal what audits may open of the account's addresses, and goes on by itself: its own word.
    pub keeping_waits: bool,
}

impl Client {
    /// Closes the login's account for good. The client is in a session of the account and knows a trust
    /// file: what is signed is for that ledger.
    pub async fn close_account(&self, login: &Login) -> Result<ClosedAccount, ClientError> {
        let account = login.session.account;
        if self.account.is_some_and(|own| own != account) {
            return Err(ClientError::OtherAccount);
        }
        let trusted = self.trusted.as_ref().ok_or(ClientError::TrustMissing)?;
        let prepared = self.accounts().prepare_close(self.request(PrepareCloseRequest {})).await;
        let present = trusted.credential(&account, &self.answer(prepared)?.credential)?;
        if present.state.is_none_or(|state| state.public_key != *login.credential.public_key().as_bytes()) {
            return Err(ClientError::ChangePending);
        }
        let not_after = present.height.saturating_add(CLOSE_BLOCKS);
        let entry = signed(login, &trusted.chain_id(), not_after)?;
        let message =
            CloseAccountRequest { idempotency_key: idempotency_key()?, entry: entry.encode().into() };
        let closed = self.answer(self.accounts().close(self.request(message)).await)?;
        match self.verdict(&closed.receipt, None)?.and_then(|verdict| verdict.entry) {
            Some(recorded) if recorded == entry => {
                let (receipt, keeping_waits) = (closed.receipt.to_vec(), closed.keeping_waits);
                Ok(ClosedAccount { receipt, keeping_waits })
            }
            _ => Err(ClientError::ReceiptMismatch {
                what: "it closes another account, or was signed elsewhere",
            }),
        }
    }
}

/// The entry, in the account's own name.
fn signed(login: &Login, chain_id: &[u8; 32], not_after: u64) -> Result<Entry, ClientError> {
    let account = login.session.account;
    let (act, party) = (Act::CloseAccount { account }, Party::Credential(account));
    let blank = Blank::new(party, not_after).map_err(ClientError::Randomness)?;
    let author = blank.sign(chain_id, &act, &login.credential).map_err(ClientError::Sign)?;
    Ok(Entry::Authored(Authored { act, authors: vec![author] }))
}
