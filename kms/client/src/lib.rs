//! What runs on the user's side: connection, password login, keys of people, receipts checked before use.
//!
//! The service is believed as little as possible: challenges are rebuilt here rather than signed as handed
//! over, signatures are verified against their public key, and receipts against the trust file where one is
//! given. Profiles, files and printing are the command line's business.
//!
//! # Signing from an app
//!
//! An app has an mTLS identity and a key of its own. What it wants signed is an [`Order`]: the key, the bytes, and a
//! mark under which the service does it once, however often it is sent. So trying again is always safe.
//!
//! ```no_run
//! use std::time::Duration;
//! use keyward_client::{Client, ClientError, Connection, Order};
//!
//! # async fn app(connection: Connection, trust: Vec<u8>) -> Result<(), ClientError> {
//! // Receipts are verified against the trust file before an answer is believed.
//! let client = Client::connect(&connection).await?.with_trust(&trust)?;
//! let client = client.with_deadline(Duration::from_secs(10)).with_tries(4);
//!
//! // One. With a mark that the app keeps, this is signed once even if the app crashes and asks again.
//! let order = Order::message("payouts", b"pay 12.50 to alice".to_vec())?.marked(b"invoice-17")?;
//! let signature = client.sign(&order).await?;
//! println!("{} bytes, receipt of {} bytes", signature.signature.len(), signature.receipt.len());
//!
//! // Many in one call: each stands or falls alone.
//! let orders: Vec<_> = (0..100).map(|n| Order::message("payouts", format!("pay {n}"))).collect::<Result<_, _>>()?;
//! for (order, result) in orders.iter().zip(client.sign_batch(&orders).await?) {
//!     match result {
//!         Ok(signature) => println!("{:?}: {:?}", order.mark(), signature.public_key),
//!         Err(ClientError::Refused(refusal)) => println!("{}: {}", refusal.code_name, refusal.message),
//!         Err(other) => return Err(other),
//!     }
//! }
//!
//! // A stream: `send` waits while 64 orders have no answer yet, so neither side is flooded.
//! let (mut stream, mut answers) = client.sign_stream(64).await?;
//! let sending = tokio::spawn(async move {
//!     for n in 0..1000 {
//!         stream.send(Order::message("payouts", format!("pay {n}"))?).await?;
//!     }
//!     Ok::<_, ClientError>(())
//! });
//! while let Some(answered) = answers.next().await? {
//!     println!("{}: {}", answered.number, answered.result.is_ok());
//! }
//! # sending.abort();
//! # Ok(())
//! # }
//! ```
//!
//! `examples/sign.rs` is a whole program.

pub mod addresses;
pub mod agent;
pub mod approvals;
pub mod associations;
pub mod audit;
mod challenge;
mod change_password;
mod client;
mod close;
mod connection;
pub mod delegation;
mod device;
mod error;
mod evidence;
mod file_lock;
mod kek;
mod keys;
mod own;
mod password;
mod person;
mod petition;
mod policies;
mod profile;
mod proxy;
mod receipts;
mod risk;
pub mod shared;
mod sign;
mod tokens;
#[cfg(test)]
#[path = "../tests/toy/ledger.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what tests run over"
)]
mod toy_ledger;
mod tries;
pub mod vault;
mod word;

pub use change_password::PasswordChange;
pub use client::{CALL_DEADLINE, Client};
pub use close::ClosedAccount;
pub use connection::{Connection, Identity};
pub use device::{DeviceError, DeviceKeys, KeptPart, Prepared};
pub use error::{ClientError, Refusal};
pub use evidence::EvidenceError;
pub use keys::{KeySearch, KeyWithReceipt, RotateTo};
pub use password::{PASSWORD_BYTES_MAX, Password};
pub use person::{Login, Registered, Session};
pub use petition::{Blank, Petition, PetitionError, party_words};
pub use policies::{PoliciesError, ShownPolicy};
pub use profile::ReadProfile;
pub use proxy::{Proxy, ProxyError};
pub use risk::ShownRisk;
pub use sign::{Answered, Answers, MARK_BYTES_MAX, Order, Orders, Signature, WINDOW_MAX};
pub use tokens::Link;
