//! What a token offers: mechanisms, asked once per session.

use cryptoki::error::Error;
use cryptoki::mechanism::MechanismType;
use cryptoki::mechanism::vendor_defined::CKM_VENDOR_DEFINED;
use keyward_domain::scheme::Scheme;

use crate::worker::Open;

/// The bundled token's mechanism for BIP340 over a 32-byte digest; PKCS#11 has no standard one.
const BIP340: u64 = CKM_VENDOR_DEFINED | 0x4B57_0001;

/// The BIP340 mechanism.
pub(crate) fn bip340() -> Result<MechanismType, Error> {
    MechanismType::new_vendor_defined(BIP340)
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

    /// Whether the token can sign under a scheme.
    pub(crate) fn offers_scheme(&mut self, scheme: Scheme) -> bool {
        match scheme {
            Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => self.offers(MechanismType::ECDSA),
            Scheme::Bip340 => bip340().is_ok_and(|mechanism| self.offers(mechanism)),
            Scheme::Ed25519 => self.offers(MechanismType::EDDSA),
            Scheme::RsaPss => {
                self.offers(MechanismType::RSA_PKCS_PSS) || self.offers(MechanismType::SHA256_RSA_PKCS_PSS)
            }
            Scheme::Sm2 => false,
            Scheme::RsaPkcs1 => {
                self.offers(MechanismType::RSA_PKCS) || self.offers(MechanismType::SHA256_RSA_PKCS)
            }
        }
    }
}
