//! Keys that a user and keepers share, against the real contracts: made, used, dealt anew, given back; and every refusal.

mod ecdsa;
mod face;
mod freshness;
mod generation;
mod refresh;
mod refusals;
mod renewal;
mod signing;
mod world;

use keyward_domain::Coded as _;
use keyward_ledger_core::ed25519::SigningKey;

use crate::SharedError;

fn code<T: std::fmt::Debug>(result: Result<T, SharedError>) -> &'static str {
    result.unwrap_err().code().name()
}

/// A message of a holder that has changed its last byte, and signed that.
fn forged(message: &[u8], holder: &SigningKey) -> Vec<u8> {
    const LABEL: &[u8] = b"\x19keyward/shared-message/v1";
    let mut said = message[..message.len() - 64].to_vec();
    *said.last_mut().unwrap() ^= 1;
    let signature = holder.sign(&[LABEL, &said].concat());
    [said, signature.to_vec()].concat()
}
