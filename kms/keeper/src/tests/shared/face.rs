//! The same over the gRPC face: what callers read of refusals, and bounds of requests.

use keyward_proto::custody::{
    CommitRequest, DealKeyRequest, GenerationPlan, OpenKeyRequest, Round, SharedHolders, ShowShareRequest,
    SigningPlan, co_signers_server::CoSigners as _,
};
use tonic::{Request, Status};

use super::{
    super::world::{ACCOUNT, World, id_of},
    world::{Phone, Wish},
};
use crate::SharedFace;

fn plan(wish: &Wish, phone: &Phone) -> GenerationPlan {
    let device = phone.device();
    GenerationPlan {
        account: ACCOUNT.to_vec().into(),
        name: wish.name.to_vec().into(),
        scheme: wish.scheme.scheme().name().to_owned(),
        holders: Some(SharedHolders {
            threshold: wish.threshold.into(),
            device_signing_key: device.signing_key.to_vec().into(),
            device_sealing_key: device.sealing_key.to_vec().into(),
            keepers: wish.numbers.iter().map(|number| id_of(*number).to_vec().into()).collect(),
        }),
        attempt: wish.attempt,
    }
}

fn code(status: &Status) -> &str {
    status.metadata().get("keyward-code").unwrap().to_str().unwrap()
}

#[tokio::test]
async fn requests_are_read_strictly_and_refusals_carry_a_code() {
    let world = World::new();
    let face = SharedFace::of(world.keeper(1).clone());
    let (wish, phone) = (Wish::default(), Phone::new(0x21));
    let good = plan(&wish, &phone);
    let open = async |plan: GenerationPlan| {
        face.open_key(Request::new(OpenKeyRequest { plan: Some(plan) })).await.map(|round| round.into_inner())
    };
    let changes: [fn(&mut GenerationPlan); 7] = [
        |it| it.account = vec![0; 31].into(),
        |it| it.name = bytes::Bytes::new(),
        |it| it.scheme = "ecdsa-p256".into(),
        |it| it.holders = None,
        |it| it.holders.as_mut().unwrap().threshold = 1,
        |it| it.holders.as_mut().unwrap().keepers.truncate(1),
        |it| it.holders.as_mut().unwrap().keepers = vec![vec![1; 32].into(); 17],
    ];
    for change in changes {
        let mut bad = good.clone();
        change(&mut bad);
        let refused = open(bad).await.unwrap_err();
        assert_eq!(code(&refused), "SHARED_REQUEST_MALFORMED");
        assert_eq!(refused.metadata().get("keyward-retry").unwrap(), "false");
    }
    let Round { message, acknowledgement } = open(good.clone()).await.unwrap();
    assert!(!message.is_empty() && acknowledgement.is_empty());
    let messages = vec![message.slice(1..)];
    let deal = DealKeyRequest { plan: Some(good), messages };
    assert_eq!(code(&face.deal_key(Request::new(deal)).await.unwrap_err()), "SHARED_RUN_OTHER");
    let commit = CommitRequest { plan: Some(SigningPlan::default()), device: bytes::Bytes::new() };
    assert_eq!(code(&face.commit(Request::new(commit)).await.unwrap_err()), "SHARED_REQUEST_MALFORMED");
}

#[tokio::test]
async fn a_share_is_shown_by_what_is_public_of_it_and_a_liar_by_its_place() {
    let world = World::new();
    let made = world.make_key(&Wish::default()).await;
    let face = SharedFace::of(world.keeper(1).clone());
    let show = ShowShareRequest { key_id: made.key_id.0.to_vec().into() };
    let shown = face.show_share(Request::new(show)).await.unwrap().into_inner();
    assert_eq!((shown.share_version, &shown.key[..]), (1, &made.key.encode()[..]));
    assert_eq!(&shown.key_hash[..], &made.key.hash()[..]);
    let none = ShowShareRequest { key_id: vec![0; 32].into() };
    let refused = face.show_share(Request::new(none)).await.unwrap_err();
    assert_eq!((code(&refused), refused.metadata().get("keyward-holder")), ("SHARED_KEY_UNKNOWN", None));
    let elsewhere = SharedFace::of(world.keeper(4).clone());
    let show = ShowShareRequest { key_id: made.key_id.0.to_vec().into() };
    assert_eq!(code(&elsewhere.show_share(Request::new(show)).await.unwrap_err()), "SHARED_SHARE_MISSING");
}
