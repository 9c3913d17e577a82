//! How many places one caller of a keeper takes.

use std::collections::HashSet;

use keyward_proto::custody::{DepositShareRequest, keepers_server::Keepers as _};
use tonic::Request;

use super::world::{Sealed, World, signed_deposit};
use crate::{
    Face,
    callers::{Caller, Callers, Taken},
};

#[test]
fn a_caller_takes_its_own_part_of_the_places_and_no_other_callers() {
    let callers = Callers::new(2);
    let certificate = |der: &[u8]| Caller(der.to_vec());
    let [one, other] = [certificate(b"one"), certificate(b"other")];
    assert_eq!([1, 2].map(|sealing| callers.take(&one, [sealing; 32])), [Taken::New; 2]);
    assert_eq!(callers.take(&one, [3; 32]), Taken::Full { waiting: 2 });
    assert_eq!(callers.take(&one, [2; 32]), Taken::Before, "what waits is handed in again");
    assert_eq!(callers.take(&other, [3; 32]), Taken::New);
    callers.give_back(&one, &[1; 32]);
    assert_eq!(callers.take(&one, [4; 32]), Taken::New);
    // What waits no more takes no place; what was kept while that was looked up does.
    callers.tidy_up(&HashSet::from([[4; 32]]));
    callers.kept(&one, [2; 32]);
    assert_eq!(callers.take(&one, [5; 32]), Taken::Full { waiting: 2 });
    callers.tidy_up(&HashSet::new());
    assert_eq!([5, 6].map(|sealing| callers.take(&one, [sealing; 32])), [Taken::New; 2]);
}

#[tokio::test]
async fn a_caller_with_its_part_of_the_places_waits_until_some_are_over_and_refusals_take_none() {
    let world = World::new();
    let face = Face::with(world.keeper(1).clone(), 2);
    let deposit = async |sealed: &Sealed, signature: &[u8]| {
        let (sealing, share) = (sealed.sealing.encode().into(), sealed.shares[0].clone().into());
        let request = DepositShareRequest { sealing, share, signature: signature.to_vec().into() };
        face.deposit(Request::new(request))
            .await
            .map_err(|status| status.metadata().get("keyward-code").unwrap().to_str().unwrap().to_owned())
    };
    let signed = async |sealed: &Sealed| deposit(sealed, &signed_deposit(&sealed.sealing)).await;
    let drafts = [(); 3].map(|()| world.draft(1, "correct horse"));
    for draft in &drafts {
        assert_eq!(deposit(draft, &[0; 64]).await.unwrap_err(), "VAULT_DEPOSIT_UNSIGNED");
    }
    signed(&drafts[0]).await.unwrap();
    signed(&drafts[1]).await.unwrap();
    assert_eq!(signed(&drafts[2]).await.unwrap_err(), "SERVICE_BUSY");
    signed(&drafts[0]).await.unwrap();
    assert_eq!(world.files(1), 2);
    // Nobody sealed them: after a day they are gone, and their places are free.
    world.pass(crate::PENDING_MS + 1);
    world.keeper(1).round().await.unwrap();
    signed(&world.draft(1, "correct horse")).await.unwrap();
}
