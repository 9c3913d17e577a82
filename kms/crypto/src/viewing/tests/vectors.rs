//! What the other implementation dealt.

use super::super::*;
use crate::hpke_box::BoxKey;
use crate::unlinkable::GrantKey;
use crate::vault::VaultKeeper;
use crate::vectors::{Part, parts};

const VECTORS: &str = include_str!("../../../tests/vectors/grants.txt");

fn id(part: &Part<'_>, name: &str) -> [u8; 32] {
    part.bytes(name).try_into().unwrap()
}

#[test]
fn what_the_other_implementation_dealt_opens_here() {
    let parts = parts(VECTORS);
    assert_eq!(parts.len(), 3);
    for part in &parts {
        let dealing = Dealing::decode(&part.bytes("Dealing")).unwrap();
        assert_eq!(dealing.encode(), part.bytes("Dealing"));
        assert_eq!(dealing.hash(), id(part, "DealingHash"));
        let secrets = part.list("KeeperSecrets");
        let keys: Vec<_> = secrets.iter().map(|secret| BoxKey::from_secret(secret).unwrap()).collect();
        let signing = part.arrays("KeeperKeys").into_iter();
        let named = dealing.keepers.iter().zip(&keys).zip(signing);
        let named = named.map(|((id, key), signing_key)| VaultKeeper {
            id: *id,
            sealing_key: key.public(),
            signing_key,
        });
        let opening = Opening {
            chain_id: id(part, "ChainId"),
            grant_id: id(part, "Grant"),
            leaf_index: u64::from_be_bytes(part.bytes("LeafIndex").try_into().unwrap()),
            dealing: dealing.hash(),
            grantee_key: id(part, "GrantKey"),
        };
        let grantee = GrantKey::from_bytes(&part.bytes("GrantSecret")).unwrap();
        let mut gathering = Gathering::new(dealing.clone(), named.collect(), opening).unwrap();
        let sealed =
            part.list("SealedShares").into_iter().zip(part.list("KeptShares")).zip(part.list("Parts"));
        for ((keeper, key), ((share, kept), given)) in dealing.keepers.iter().zip(&keys).zip(sealed) {
            let share = ViewingShare::open(&dealing, keeper, key, &share).unwrap();
            assert!(share.to_secret().matches(&kept));
            gathering.part(&grantee, keeper, &given).unwrap();
        }
        assert!(gathering.cover().unwrap().encode().matches(&part.bytes("Cover")));
    }
}
