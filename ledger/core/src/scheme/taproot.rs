//! The key that a BIP340 key signs for under a tweak of BIP341.

use secp256k1::{Scalar, XOnlyPublicKey};

use super::{PublicKey, Scheme};
use crate::hash::{Hash, sha256};

/// The output key of an internal key: without scripts, or with those under a Merkle root. None for other schemes, and where
/// the sum is no key, which nobody can bring about.
pub fn taproot_output(internal: &PublicKey, root: Option<&Hash>) -> Option<PublicKey> {
    if internal.scheme() != Scheme::Bip340 {
        return None;
    }
    let key = XOnlyPublicKey::from_byte_array(internal.as_bytes().try_into().ok()?).ok()?;
    let tag = sha256(&[b"TapTweak"]);
    let root = root.map_or(&[][..], |root| root);
    let tweak = Scalar::from_be_bytes(sha256(&[&tag, &tag, internal.as_bytes(), root])).ok()?;
    let (output, _parity) = key.add_tweak(&tweak).ok()?;
    PublicKey::parse(Scheme::Bip340, &output.to_byte_array()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::codec::parse_hex32;

    fn key(digits: &str) -> PublicKey {
        PublicKey::parse(Scheme::Bip340, &parse_hex32(digits).unwrap()).unwrap()
    }

    /// BIP 341, wallet-test-vectors.json: "scriptPubKey", the first two.
    #[test]
    fn output_keys_are_those_of_the_vectors_of_bip_341() {
        let internal = key("d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d");
        let output = key("53a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343");
        assert_eq!(taproot_output(&internal, None), Some(output));
        let internal = key("187791b6f712a8ea41c8ecdd0ee77fab3e85263b37e1ec18a3651926b3a6cf27");
        let root = parse_hex32("5b75adecf53548f3ec6ad7d78383bf84cc57b55a3127c72b9a2481752dd88b21").unwrap();
        let output = key("147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3");
        assert_eq!(taproot_output(&internal, Some(&root)), Some(output));
    }

    #[test]
    fn other_schemes_have_no_output_key() {
        let key = PublicKey::parse(
            Scheme::Ed25519,
            &parse_hex32("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap(),
        );
        assert_eq!(taproot_output(&key.unwrap(), None), None);
    }
}
