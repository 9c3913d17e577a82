//! Straight to the keepers, with the service's certificate and all that the service ever saw: no part of a signature. Not even
//! for a signing that clara's device has begun, when the ledger has no intent of hers that allows it.

use keyward_crypto::SharePart;
use keyward_crypto::shared::{
    Boot, Holder, KeyShare, Renewal, Repair, Roster, SharedKey, Signing, SigningPlan, Tweak,
};
use keyward_ledger_client::channel;
use keyward_ledger_core::{
    keeper::keeper_id,
    state::{
        keeper::{KeeperState, keeper_key},
        shared::SharedKeyState,
    },
};
use keyward_proto::custody::{
    self as proto, CoSignRequest, CommitRequest, Disclosure, RedealKeyRequest, Round, ShowShareRequest,
    SplitShareRequest, co_signers_client::CoSignersClient,
};
use tonic::{Response, Status, transport::Channel};

use super::{thief::Thief, victims::Victims};
use crate::support::keyward::Keyward;

const MESSAGE: &[u8] = b"all of it to the thief";
/// The steps of `kms/crypto/SPEC.md`.
const COMMITMENT: u8 = 4;
const REDEALING: u8 = 6;
const REQUEST: u8 = 7;
const SPLIT: u8 = 8;

type CoSigners = CoSignersClient<Channel>;

/// A key as the thief knows it.
struct Known {
    state: SharedKeyState,
    key: SharedKey,
    roster: Roster,
    /// Those who signed with clara before.
    signers: Vec<u8>,
}

/// Whatever the keepers are told, they give nothing. `refused` is the place of an intent that the ledger has not taken.
pub async fn sign_nothing(
    keyward: &Keyward,
    thief: &Thief,
    victims: &Victims<'_>,
    device: &SharePart,
    refused: u64,
) {
    let mut all: Vec<(u8, CoSigners)> = Vec::new();
    let state = victims.shared(&thief.ledger).await;
    for (number, address) in (1..).zip(keyward.nodes()) {
        let id = keeper_id(&format!("keeper-{number}"));
        let place = state.circle.keepers.iter().position(|keeper| *keeper == id);
        let channel = channel(&address, &thief.identity(), None).unwrap();
        all.extend(place.map(|place| (u8::try_from(place + 1).unwrap(), CoSignersClient::new(channel))));
    }
    assert_eq!(all.len(), 3, "three of the keepers hold a share");
    // What is public is told: the ways are open.
    let request = ShowShareRequest { key_id: victims.key_id.0.to_vec().into() };
    let shown = all[0].1.show_share(request).await.unwrap().into_inner();
    let key = SharedKey::decode(&shown.key).unwrap();
    let roster = roster(thief, &state).await;
    let known = Known { state, key, roster, signers: victims.signed.1.signers.clone() };
    for (place, keeper) in &mut all {
        let codes = [
            commits(thief, victims, &known, keeper).await,
            deals(thief, victims, &known, keeper).await,
            splits(thief, victims, &known, keeper, *place).await,
        ];
        let message = "SHARED_MESSAGE_REFUSED";
        let commits = if known.signers.contains(place) { message } else { "SHARED_SHARE_MISSING" };
        assert_eq!(codes, [commits, message, message], "keeper {place}");
    }
    // What clara's device has begun, and the service kept back: an intent that the ledger refused, and one that is over.
    let (_, over, leaf) = &victims.signed;
    for (intent, leaf) in [(thief.fresh(), refused), (over.id, *leaf)] {
        let request = begun(victims, &known, device, &mut all, (intent, leaf)).await;
        for (place, keeper) in &mut all {
            let code = refusal(keeper.co_sign(request.clone()).await);
            // Its signature is released; or the release was lost with the service, and the payload is another.
            let allowed = match (known.signers.contains(place), intent == over.id) {
                (false, _) => ["SHARED_ATTEMPT_STALE", "SHARED_SHARE_MISSING"],
                (true, false) => ["SHARED_INTENT_REFUSED"; 2],
                (true, true) => ["SHARED_INTENT_REFUSED", "PAYLOAD_OTHER"],
            };
            assert!(allowed.contains(&code.as_str()), "keeper {place}: {code}, not {allowed:?}");
        }
    }
}

/// A signing that clara's device has truly begun, up to the commitments of its keepers; and what the thief asks of them then.
async fn begun(
    victims: &Victims<'_>,
    known: &Known,
    device: &SharePart,
    all: &mut [(u8, CoSigners)],
    (intent, leaf_index): ([u8; 32], u64),
) -> CoSignRequest {
    let share = device.shares.last().unwrap();
    let share = share.bytes.expose(|bytes| KeyShare::from_secret(bytes, &known.key)).unwrap();
    let sign = |message: &[u8]| device.signing.sign_message(message).unwrap().try_into().unwrap();
    let (_nonces, message) = signing(known, intent).commit(&share, &Boot::begin().unwrap(), sign).unwrap();
    let plan = plan(victims, known, &intent);
    let mut messages = vec![message.encode().into()];
    for (_, keeper) in all.iter_mut().filter(|(place, _)| known.signers.contains(place)) {
        let request = CommitRequest { plan: Some(plan.clone()), device: message.encode().into() };
        messages.push(keeper.commit(request).await.unwrap().into_inner().message);
    }
    let payload =
        Disclosure { payload: MESSAGE.to_vec().into(), format: String::new(), opening: vec![7; 32].into() };
    CoSignRequest {
        plan: Some(plan),
        leaf_index,
        payload: Some(payload),
        messages,
        policy: Vec::new().into(),
    }
}

/// Who holds the key, from the ledger.
async fn roster(thief: &Thief, state: &SharedKeyState) -> Roster {
    let device = state.device;
    let user =
        Holder { id: state.name.owner, signing_key: device.signing_key, sealing_key: device.sealing_key };
    let mut keepers = Vec::new();
    for id in &state.circle.keepers {
        let value = thief.ledger.state(&keeper_key(id)).await.unwrap().value.unwrap();
        let keeper = KeeperState::decode(&value).unwrap().keeper;
        keepers.push(Holder { id: *id, signing_key: keeper.key, sealing_key: keeper.hpke_key });
    }
    Roster::new(user, keepers, state.circle.threshold).unwrap()
}

/// A message in clara's name, as `kms/crypto/SPEC.md` has it, with the thief's signature.
fn forged(thief: &Thief, step: u8, run: &[u8; 32], from: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let unsigned = [&[1, step][..], run, &[from], &length, body].concat();
    let label = b"keyward/shared-message/v1";
    let signed = [&[u8::try_from(label.len()).unwrap()][..], label, &unsigned].concat();
    [unsigned, thief.keys[0].sign_message(&signed).unwrap()].concat()
}

/// Commitments of two identifiers to nonces: the base point, which is a point.
fn commitments() -> Vec<u8> {
    let mut base = [0x66; 32];
    base[0] = 0x58;
    [&[7; 32][..], &base.repeat(4)].concat()
}

fn plan(victims: &Victims<'_>, known: &Known, intent: &[u8; 32]) -> proto::SigningPlan {
    proto::SigningPlan {
        key_id: victims.key_id.0.to_vec().into(),
        intent: intent.to_vec().into(),
        attempt: 7,
        tweak: vec![0].into(),
        signers: known.signers.iter().copied().map(u32::from).collect(),
        message: MESSAGE.to_vec().into(),
    }
}

fn signing(known: &Known, intent: [u8; 32]) -> Signing {
    let (keepers, message) = (known.signers.clone(), MESSAGE.to_vec());
    let plan = SigningPlan { intent, attempt: 7, keepers, message, tweak: Tweak::None };
    Signing::new(known.key.clone(), known.roster.clone(), plan).unwrap()
}

/// Nonces, for a run that clara's device has not begun.
async fn commits(thief: &Thief, victims: &Victims<'_>, known: &Known, keeper: &mut CoSigners) -> String {
    let intent = thief.fresh();
    let device = forged(thief, COMMITMENT, signing(known, intent).id(), 0, &commitments()).into();
    refusal(keeper.commit(CommitRequest { plan: Some(plan(victims, known, &intent)), device }).await)
}

/// The shares, dealt to whom the thief likes.
async fn deals(thief: &Thief, victims: &Victims<'_>, known: &Known, keeper: &mut CoSigners) -> String {
    let roster = || known.roster.clone();
    let renewal = Renewal::new(known.key.clone(), roster(), roster(), &known.signers, 7).unwrap();
    let holders = proto::SharedHolders {
        threshold: u32::from(known.state.circle.threshold),
        device_signing_key: known.state.device.signing_key.to_vec().into(),
        device_sealing_key: known.state.device.sealing_key.to_vec().into(),
        keepers: known.state.circle.keepers.iter().map(|id| id.to_vec().into()).collect(),
    };
    let plan = proto::RenewalPlan {
        key_id: victims.key_id.0.to_vec().into(),
        holders: Some(holders),
        dealers: known.signers.iter().copied().map(u32::from).collect(),
        attempt: 7,
    };
    let device = forged(thief, REDEALING, renewal.id(), 0, &[7; 64]).into();
    refusal(keeper.redeal_key(RedealKeyRequest { plan: Some(plan), device }).await)
}

/// A share, as that of a keeper which has lost it.
async fn splits(
    thief: &Thief,
    victims: &Victims<'_>,
    known: &Known,
    keeper: &mut CoSigners,
    place: u8,
) -> String {
    let lost = if place == 3 { 1 } else { 3 };
    let helpers: Vec<u8> = (1..=3).filter(|helper| *helper != lost).collect();
    let repair = Repair::new(known.key.clone(), known.roster.clone(), lost, &helpers, 7).unwrap();
    let plan = proto::RepairPlan {
        key_id: victims.key_id.0.to_vec().into(),
        lost: u32::from(lost),
        helpers: helpers.into_iter().map(u32::from).collect(),
        attempt: 7,
    };
    let request = forged(thief, REQUEST, repair.id(), lost, &[]).into();
    let device = forged(thief, SPLIT, repair.id(), 0, &[7; 64]).into();
    refusal(keeper.split_share(SplitShareRequest { plan: Some(plan), request, device }).await)
}

/// The stable code; no keeper answers with a message.
fn refusal(answer: Result<Response<Round>, Status>) -> String {
    let status = answer.expect_err("a keeper has given something");
    let code = status.metadata().get("keyward-code").unwrap_or_else(|| panic!("{status:?}"));
    code.to_str().unwrap().to_owned()
}
