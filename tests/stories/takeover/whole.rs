//! The whole private key, put together here from everybody's shares, is nowhere else.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, PipeReader, Read as _, Write as _, pipe},
    path::Path,
    process::{Child, Stdio},
};

use curve25519_dalek_4::{edwards::EdwardsPoint, scalar::Scalar};
use keyward_crypto::{MemoryKek, SharePart, keeper_share_aad, open};
use keyward_ledger_core::{keeper::keeper_id, state::shared::SharedKeyState};

use super::{memory, victims::Victims};
use crate::{
    attack::{
        loot::{files, operator_key, unsealed},
        search::Needles,
    },
    support::keyward::{Keyward, runs, wait_until},
};

/// Looks on all disks, and in the memory of validators with their keepers, of the service, and of clara's program, which
/// has just signed. Gives clara's part, as her device has it.
pub async fn is_nowhere(keyward: &Keyward, victims: &Victims<'_>) -> SharePart {
    let (mut clara, mut said) = held(keyward, victims);
    let ledger = keyward.ledger(&keyward.nodes()).await;
    let state = victims.shared(&ledger).await;
    let device = own_part(keyward, victims, &state).await;
    let mut values = device.shares.last().unwrap().bytes.expose(values_of);
    assert_eq!(values.len(), 2, "clara's values");
    // A keeper may be a moment behind.
    wait_until("a value of each keeper", || {
        for node in keyward.children().keys().filter(|name| name.starts_with("node-")) {
            values.extend(kept_values(keyward, node, &state));
        }
        values.len() >= 2 + 3
    });
    assert_eq!(values.len(), 2 + 3, "clara's two values and one of each keeper");
    let whole = interpolated(&values.into_iter().take(state.circle.keepers.len() + 1).collect());
    let point = EdwardsPoint::mul_base(&whole).compress();
    assert_eq!(hex::encode(point.as_bytes()), victims.public_key, "it is the key");

    let mut needles = Needles::default();
    needles.add("the whole key", whole.as_bytes());
    let (found, looked) = needles.below(&keyward.dir());
    assert!(found.is_empty() && looked > 1 << 20, "{found:?} in {looked} bytes");
    needles.prove(&keyward.trust());

    let mut everybody = keyward.children();
    everybody.insert("clara".to_owned(), clara.id());
    assert_eq!(everybody.len(), 4 + 1 + 1, "{everybody:?}");
    for (name, process) in everybody {
        match memory::search(process, &needles) {
            Ok((found, looked)) => {
                assert!(found.is_empty() && looked > 1 << 20, "{name}: {found:?} in {looked} bytes");
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                assert!(!memory::may_look(), "{name}: {error}");
                println!("{name} lets nobody look into its memory but root that may trace processes");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    // Here it is: the search finds what there is.
    let (found, _) = memory::search(std::process::id(), &needles).unwrap();
    assert!(found.iter().any(|what| what.contains("the whole key")), "a planted needle is overlooked");
    assert!(runs(clara.id()), "clara's program has ended too early");
    said.read_to_end(&mut Vec::new()).unwrap();
    assert!(clara.wait().unwrap().success());
    device
}

/// Clara's program with a signature in its hands, stopped where it would print it: nobody has read what came before.
fn held(keyward: &Keyward, victims: &Victims<'_>) -> (Child, PipeReader) {
    let (said, mut full) = pipe().unwrap();
    rustix::io::ioctl_fionbio(&full, true).unwrap();
    while full.write(&[b'.'; 4096]).is_ok() {}
    while full.write(b".").is_ok() {}
    rustix::io::ioctl_fionbio(&full, false).unwrap();
    let receipt = keyward.work("held.receipt");
    let clara = victims.signing(Stdio::from(full), receipt.to_str().unwrap());
    wait_until("clara's signature", || receipt.is_file());
    (clara, said)
}

/// Clara's part, opened with her password.
async fn own_part(keyward: &Keyward, victims: &Victims<'_>, state: &SharedKeyState) -> SharePart {
    let login = victims.login(keyward).await;
    let client = keyward.client("app").await;
    let client = client.with_session(&login.session.token).unwrap().with_account(login.session.account);
    let device = client.device_keys(&victims.clara.profile.join("keys")).unwrap();
    device.load_part(&state.name.name, &login.export_key).unwrap().1
}

/// The value of a keeper's share, if it holds one.
fn kept_values(keyward: &Keyward, node: &str, state: &SharedKeyState) -> BTreeMap<u16, Scalar> {
    let operator = operator_key(&keyward.dir());
    let folder = keyward.dir().join(node);
    let sealed =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let storage = sealed.filter_map(|path| unsealed(&operator, &path));
    let storage = storage.into_iter().find(|(named, _)| named.starts_with("keeper-storage-key")).unwrap();
    let storage = MemoryKek::new(&storage.1.try_into().unwrap()).unwrap();
    let keeper = keeper_id(&node.replace("node-", "keeper-"));
    let ending = format!(".{}.{}", state.share_version, hex::encode(state.key_hash));
    let kept = files(&folder.join("data/keeper/shared"));
    let kept = kept.iter().filter(|path| path.to_str().unwrap().ends_with(&ending));
    kept.flat_map(|path| kept_value(&storage, &keeper, &state.key_hash, path)).collect()
}

/// Opens a kept share: `1 || until_ms u64 || run[32] || u32 length || confirmation || u32 length || key || share`.
fn kept_value(storage: &MemoryKek, keeper: &[u8; 32], hash: &[u8; 32], path: &Path) -> BTreeMap<u16, Scalar> {
    let opened = open(storage, &keeper_share_aad(keeper, hash), &fs::read(path).unwrap()).unwrap();
    opened.expose(|bytes| {
        let mut rest = &bytes[1 + 8 + 32..];
        for _ in ["confirmation", "key"] {
            let (length, behind) = rest.split_first_chunk().unwrap();
            rest = &behind[usize::try_from(u32::from_be_bytes(*length)).unwrap()..];
        }
        values_of(rest)
    })
}

/// `1 || stamp[32] || place u8 || count u8 || value[32]*`; the user's identifiers begin at 257.
fn values_of(share: &[u8]) -> BTreeMap<u16, Scalar> {
    let (place, values) = (share[33], share[35..].chunks_exact(32));
    assert_eq!((share[0], usize::from(share[34])), (1, values.len()));
    let first = if place == 0 { 257 } else { u16::from(place) };
    let scalar = |value: &[u8]| {
        Option::<Scalar>::from(Scalar::from_canonical_bytes(value.try_into().unwrap())).unwrap()
    };
    (first..).zip(values.map(scalar)).collect()
}

/// The polynomial's value at 0.
fn interpolated(values: &BTreeMap<u16, Scalar>) -> Scalar {
    let weight = |own: u16| -> Scalar {
        let others = values.keys().filter(|&&other| other != own).map(|&other| Scalar::from(other));
        others.map(|other| other * (other - Scalar::from(own)).invert()).product()
    };
    values.iter().map(|(&number, value)| value * weight(number)).sum()
}
