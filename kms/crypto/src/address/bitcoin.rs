//! Bitcoin's segwit addresses: P2WPKH (BIP 141, BIP 173) and P2TR without scripts (BIP 341, BIP 86, BIP 350).

use std::fmt;

use bech32::{Hrp, hrp, segwit};
use k256::elliptic_curve::PrimeField as _;
use k256::{ProjectivePoint, Scalar, schnorr};
use keyward_domain::scheme::{PublicKey, Scheme};
use ripemd::Ripemd160;
use sha2::{Digest as _, Sha256};

/// Which of Bitcoin's chains an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Addresses that begin with `bc1`.
    Mainnet,
    /// Addresses of every test network, which begin with `tb1`.
    Testnet,
}

impl Network {
    /// The name in commands and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Testnet => "testnet",
        }
    }

    /// The network of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Mainnet, Self::Testnet].into_iter().find(|network| network.name() == name)
    }

    pub(super) const fn prefix(self) -> Hrp {
        match self {
            Self::Mainnet => hrp::BC,
            Self::Testnet => hrp::TB,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The P2WPKH address of an `ecdsa-secp256k1` key; other schemes have none.
pub fn p2wpkh_address(key: &PublicKey, network: Network) -> Option<String> {
    if key.scheme() != Scheme::EcdsaSecp256k1 {
        return None;
    }
    let program = Ripemd160::digest(Sha256::digest(key.as_bytes()));
    segwit::encode_v0(network.prefix(), &program).ok()
}

/// The P2TR address whose internal key is a `bip340` key, without a script path; other schemes have none.
///
/// The output key is `P + H_TapTweak(P) G` (BIP 341), so a spender signs under the tweaked private key.
pub fn p2tr_address(key: &PublicKey, network: Network) -> Option<String> {
    segwit::encode_v1(network.prefix(), &output_key(key)?).ok()
}

/// BIP 341, `taproot_tweak_pubkey` with an empty `h`.
fn output_key(key: &PublicKey) -> Option<[u8; 32]> {
    if key.scheme() != Scheme::Bip340 {
        return None;
    }
    let internal = schnorr::VerifyingKey::from_slice(key.as_bytes()).ok()?;
    let label = Sha256::digest(b"TapTweak");
    let mut hasher = Sha256::new();
    for part in [label.as_slice(), label.as_slice(), key.as_bytes()] {
        hasher.update(part);
    }
    let tweak = Option::<Scalar>::from(Scalar::from_repr(hasher.finalize()))?;
    // A parsed x-only key is the point with an even y.
    let tweaked = ProjectivePoint::from(*internal.as_affine()) + ProjectivePoint::GENERATOR * tweak;
    let point = k256::PublicKey::from_affine(tweaked.to_affine()).ok()?;
    schnorr::VerifyingKey::try_from(even(point)).ok().map(|key| key.to_bytes().into())
}

/// The point with the same x and an even y.
fn even(point: k256::PublicKey) -> k256::PublicKey {
    use k256::elliptic_curve::point::AffineCoordinates as _;
    if bool::from(point.as_affine().y_is_odd()) {
        k256::PublicKey::from_affine((-point.to_projective()).to_affine()).unwrap_or(point)
    } else {
        point
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scheme: Scheme, hex: &str) -> PublicKey {
        PublicKey::parse(scheme, &hex::decode(hex).unwrap()).unwrap()
    }

    #[test]
    fn p2wpkh_addresses_are_those_of_bip_84_and_bip_173() {
        for (public, network, address) in [
            (
                "0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c",
                Network::Mainnet,
                "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
            ),
            (
                "03e775fd51f0dfb8cd865d9ff1cca2a158cf651fe997fdc9fee9c1d3b5e995ea77",
                Network::Mainnet,
                "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g",
            ),
            (
                "03025324888e429ab8e3dbaf1f7802648b9cd01e9b418485c5fa4c1b9b5700e1a6",
                Network::Mainnet,
                "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el",
            ),
            (
                "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
                Network::Mainnet,
                "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            ),
            (
                "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
                Network::Testnet,
                "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
            ),
        ] {
            assert_eq!(p2wpkh_address(&key(Scheme::EcdsaSecp256k1, public), network).unwrap(), address);
        }
    }

    #[test]
    fn p2tr_addresses_are_those_of_bip_86_and_bip_341() {
        for (internal, output, address) in [
            (
                "cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115",
                "a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c",
                "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
            ),
            (
                "83dfe85a3151d2517290da461fe2815591ef69f2b18a2ce63f01697a8b313145",
                "a82f29944d65b86ae6b5e5cc75e294ead6c59391a1edc5e016e3498c67fc7bbb",
                "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh",
            ),
            (
                "399f1b2f4393f29a18c937859c5dd8a77350103157eb880f02e8c08214277cef",
                "882d74e5d0572d5a816cef0041a96b6c1de832f6f9676d9605c44d5e9a97d3dc",
                "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7",
            ),
            (
                "d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d",
                "53a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343",
                "bc1p2wsldez5mud2yam29q22wgfh9439spgduvct83k3pm50fcxa5dps59h4z5",
            ),
        ] {
            let key = key(Scheme::Bip340, internal);
            assert_eq!(hex::encode(output_key(&key).unwrap()), output);
            assert_eq!(p2tr_address(&key, Network::Mainnet).unwrap(), address);
            assert!(p2tr_address(&key, Network::Testnet).unwrap().starts_with("tb1p"));
        }
    }

    #[test]
    fn p2tr_programs_are_encoded_as_bip_350_says() {
        let program =
            hex::decode("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798").unwrap();
        let golden = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0";
        assert_eq!(segwit::encode_v1(hrp::BC, &program).unwrap(), golden);
    }

    #[test]
    fn keys_of_other_schemes_have_no_such_address() {
        let point = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        let (ecdsa, x_only) = (key(Scheme::EcdsaSecp256k1, point), key(Scheme::Bip340, &point[2..]));
        assert!(p2tr_address(&ecdsa, Network::Mainnet).is_none());
        assert!(p2wpkh_address(&x_only, Network::Mainnet).is_none());
    }
}
