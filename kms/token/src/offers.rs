//! What a token offers: mechanisms, asked once per session; and the ones that only makers of tokens define.

use cryptoki::error::Error;
use cryptoki::mechanism::vendor_defined::{CKM_VENDOR_DEFINED, VendorDefinedMechanism};
use cryptoki::mechanism::{Mechanism, MechanismType};
use keyward_domain::scheme::Scheme;

use crate::session::Open;

/// The bundled token's mechanism for BIP340 over a 32-byte digest; PKCS#11 has no standard one.
const BIP340: u64 = CKM_VENDOR_DEFINED | 0x4B57_0001;

/// A maker's mechanisms for SM2, which PKCS#11 does not standardise.
struct Sm2Mechanisms {
    /// Makes a pair: `CKK_EC` with the curve's object identifier in `CKA_EC_PARAMS`.
    generate: u64,
    /// Signs a message: SM3 of the usual id's hash and the message in the token; 64 bytes `r || s`. Without a
    /// parameter the id is `1234567812345678`.
    sign_message: u64,
}

/// Every maker whose numbers are known. A token is asked for each of them; what it does not list is not used.
const SM2: &[Sm2Mechanisms] = &[
    // The bundled token (hsm-sim/SPEC.md).
    Sm2Mechanisms {
        generate: CKM_VENDOR_DEFINED | 0x4B57_0010,
        sign_message: CKM_VENDOR_DEFINED | 0x4B57_0012,
    },
];

/// The BIP340 mechanism.
pub(crate) fn bip340() -> Result<MechanismType, Error> {
    MechanismType::new_vendor_defined(BIP340)
}

/// The mechanisms that make SM2 keys.
pub(crate) fn sm2_recipes() -> impl Iterator<Item = Mechanism<'static>> {
    let vendor = SM2.iter().filter_map(|maker| MechanismType::new_vendor_defined(maker.generate).ok());
    vendor.map(|vendor| Mechanism::VendorDefined(VendorDefinedMechanism::new::<()>(vendor, None)))
}

impl Open {
    /// Whether the token offers a mechanism.
    pub(crate) fn offers(&mut self, mechanism: MechanismType) -> bool {
        if let Some((_, offered)) = self.offers.iter().find(|(known, _)| *known == mechanism) {
            return *offered;
        }
        let offered = self.library.get_mechanism_info(self.slot, mechanism).is_ok();
        self.offers.push((mechanism, offered));
        offered
    }

    /// The mechanism that signs messages with SM2, if the token has one that is known.
    pub(crate) fn sm2_mechanism(&mut self) -> Option<MechanismType> {
        let known = SM2.iter().filter_map(|maker| MechanismType::new_vendor_defined(maker.sign_message).ok());
        known.into_iter().find(|mechanism| self.offers(*mechanism))
    }

    /// Whether the token can sign under a scheme.
    pub(crate) fn offers_scheme(&mut self, scheme: Scheme) -> bool {
        match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => self.offers(MechanismType::ECDSA),
            Scheme::Bip340 => bip340().is_ok_and(|mechanism| self.offers(mechanism)),
            Scheme::Ed25519 => self.offers(MechanismType::EDDSA),
            Scheme::Sm2 => self.sm2_mechanism().is_some(),
            Scheme::RsaPss => {
                self.offers(MechanismType::RSA_PKCS_PSS) || self.offers(MechanismType::SHA256_RSA_PKCS_PSS)
            }
            Scheme::RsaPkcs1 => {
                self.offers(MechanismType::RSA_PKCS) || self.offers(MechanismType::SHA256_RSA_PKCS)
            }
        }
    }
}
