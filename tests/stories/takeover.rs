//! The service's host whole in an attacker's hands, and a shared key whole in nobody's.
//!
//! Stolen: the submitter key, certificates, database, the token and its PIN. Not stolen: any key of a user, an approver or a
//! keeper. First the whole private key, which this story puts together from everybody's shares, is looked for on every
//! disk and in the memory of everybody who takes part in a signature, the person's own program among them.

mod forged;
mod keepers;
mod memory;
mod thief;
mod victims;
mod whole;

use self::{thief::Thief, victims::Victims};
use crate::support::keyward::Keyward;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_taken_over_fabricates_nothing_and_the_whole_key_is_nowhere() {
    let keyward = Keyward::start();
    let victims = Victims::with_keys(&keyward).await;
    let device = whole::is_nowhere(&keyward, &victims).await;
    let thief = Thief::in_the_house(&keyward, &victims).await;
    let before = victims.proven(&thief.ledger).await;
    let refused = forged::everything(&thief, &victims).await;
    keepers::sign_nothing(&keyward, &thief, &victims, &device, refused).await;
    assert_eq!(victims.proven(&thief.ledger).await, before, "something has changed");
}
