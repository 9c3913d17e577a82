//! Member files: what each key signed, and what a changed file is worth.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use super::*;

fn place() -> (String, SocketAddr, String) {
    ("bank-a".into(), "10.0.0.1:7000".parse().unwrap(), "https://a.example:7443".into())
}

fn keys() -> [ed25519::SigningKey; 3] {
    [1, 2, 3].map(|seed| ed25519::SigningKey::from_seed(&[seed; 32]))
}

/// As it comes back from a file.
fn written(file: &MemberFile) -> Result<MemberFile> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.member");
    file.write(&path).unwrap();
    MemberFile::load(&path)
}

#[test]
fn a_founders_file_brings_its_keeper_as_both_keys_signed_it() {
    let [node, keeper, stranger] = keys();
    let file = MemberFile::sign_founding(&node, place(), &[], Some((&keeper, [8; 32]))).unwrap();
    let file = written(&file).unwrap();
    let founder = file.founding().unwrap();
    let found = founder.keeper.unwrap();
    assert_eq!((found.name.as_str(), found.key, found.hpke_key), ("bank-a", keeper.public_key(), [8; 32]));
    assert_eq!((found.validator, found.rpc.as_str()), (Some(node.public_key()), "https://a.example:7443"));

    let refused = |change: &dyn Fn(&mut KeeperLine)| {
        let mut changed = file.clone();
        change(changed.keeper.as_mut().unwrap());
        written(&changed).unwrap().founding().unwrap_err().message()
    };
    assert!(refused(&|line| line.hpke_key = hex::encode([9; 32])).contains("not signed by its own key"));
    assert!(refused(&|line| line.proof = line.node_proof.clone()).contains("not signed by its own key"));
    // Somebody else's keeper, which signs for itself.
    let message = file.keeper_of(node.public_key(), stranger.public_key(), [8; 32]).message(&ZERO);
    let foreign = |line: &mut KeeperLine| {
        line.key = hex::encode(stranger.public_key());
        line.proof = hex::encode(stranger.sign(&message));
    };
    assert!(refused(&foreign).contains("not signed by the node's key"));
}

#[test]
fn a_founders_file_without_a_keeper_is_the_one_of_before() {
    let [node, keeper, _] = keys();
    let bare = MemberFile::sign_founding(&node, place(), &[], None).unwrap();
    assert_eq!(
        (bare.format.as_str(), written(&bare).unwrap().founding().unwrap().keeper),
        (FOUNDING_FORMAT, None)
    );
    let kept = MemberFile::sign_founding(&node, place(), &[], Some((&keeper, [8; 32]))).unwrap();
    for lie in [
        MemberFile { keeper: None, ..kept.clone() },
        MemberFile { format: FOUNDING_FORMAT.into(), ..kept.clone() },
        MemberFile { format: KEEPER_FORMAT.into(), ..bare },
    ] {
        assert!(written(&lie).unwrap().founding().is_err());
    }
    assert!(written(&MemberFile { format: "keyward-member-4".into(), ..kept }).is_err());
}
