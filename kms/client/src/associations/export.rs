//! An association as a file for whoever is on another chain: who belongs to it in words, what each address signed, and the
//! ledger's proofs; verified without any network.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use base64ct::{Base64, Encoding as _};
use keyward_ledger_core::address::proof_text;
use keyward_ledger_core::codec::parse_hex32;
use keyward_ledger_core::state::association::MemberState;
use keyward_ledger_verify::chain_id;

use super::address::{address_words, proof_words};
use super::check::{Checked, Evidence, MemberEvidence, verify};
use super::error::AssociationError;

const FORMAT: &str = "keyward-association-1";
/// The longest file.
const FILE_BYTES_MAX: usize = 8 << 20;

/// The file, as JSON. What is written in words must be what the proofs say; [`Export::verify`] holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    format: String,
    /// The ledger's genesis hash.
    ledger: String,
    /// The association's id.
    association: String,
    /// Its version.
    version: u32,
    members: Vec<ExportedMember>,
    /// State receipts, in base64: of the association before and after its members.
    association_receipt: String,
    association_receipt_again: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportedMember {
    account: String,
    /// With its chain's name in front.
    address: String,
    /// The version in which it came.
    since: u32,
    /// What the address signed, and its signature as its chain's wallets write it; both empty for a key of the ledger.
    text: String,
    proof: String,
    address_receipt: String,
    account_receipt: String,
    key_receipt: String,
}

/// Why a file is no export, or does not say what it proves.
#[derive(Debug, Error)]
pub enum ExportError {
    /// It is not JSON of this form.
    #[error("it is no export of an association")]
    Malformed(#[source] serde_json::Error),
    /// It is of another version, too long, or holds what is no hash or receipt.
    #[error("it is no export of an association that this version reads: {what}")]
    Form {
        /// What is wrong.
        what: &'static str,
    },
    /// The words in it are not what the proofs say.
    #[error("what it says of {what} is not what its proofs say")]
    Words {
        /// Of what.
        what: String,
    },
    /// The proofs do not hold.
    #[error(transparent)]
    Association(#[from] AssociationError),
}

impl Export {
    /// Of what was checked. `trust` is the trust file that it was held against.
    pub fn new(
        trust: &[u8],
        association: &[u8; 32],
        checked: &Checked,
        evidence: &Evidence,
    ) -> Result<Self, AssociationError> {
        let chain =
            chain_id(trust).map_err(|source| AssociationError::Proof { what: "the trust file", source })?;
        let members = checked.state.members.iter().zip(&evidence.members);
        Ok(Self {
            format: FORMAT.to_owned(),
            ledger: hex::encode(chain),
            association: hex::encode(association),
            version: checked.state.version,
            members: members.map(|(member, proofs)| exported(&chain, association, member, proofs)).collect(),
            association_receipt: Base64::encode_string(&evidence.association),
            association_receipt_again: Base64::encode_string(&evidence.again),
        })
    }

    /// The file's bytes.
    pub fn to_json(&self) -> String {
        // INVARIANT: strings and numbers are JSON.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads a file. Nothing of it is held against anything yet.
    pub fn parse(text: &str) -> Result<Self, ExportError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(ExportError::Form { what: "it is too long" });
        }
        let export: Self = serde_json::from_str(text).map_err(ExportError::Malformed)?;
        if export.format == FORMAT { Ok(export) } else { Err(ExportError::Form { what: "another format" }) }
    }

    /// The association that it is about.
    pub fn association(&self) -> Result<[u8; 32], ExportError> {
        parse_hex32(&self.association).ok_or(ExportError::Form { what: "the id is no hash" })
    }

    /// Holds it against a trust file: the proofs, what each address signed, and that the words say the same. How old it is its
    /// reader judges: an old version proves nothing of what came later.
    pub fn verify(&self, trust: &[u8]) -> Result<Checked, ExportError> {
        let (association, evidence) = (self.association()?, self.evidence()?);
        let checked = verify(trust, &association, &evidence, None)?;
        let proven = Self::new(trust, &association, &checked, &evidence)?;
        for (said, proven) in self.members.iter().zip(&proven.members) {
            if said != proven {
                return Err(ExportError::Words { what: proven.address.clone() });
            }
        }
        if *self == proven {
            Ok(checked)
        } else {
            Err(ExportError::Words { what: "the association".to_owned() })
        }
    }

    fn evidence(&self) -> Result<Evidence, ExportError> {
        let read = |text: &str| {
            Base64::decode_vec(text)
                .map_err(|_not_base64| ExportError::Form { what: "a receipt is not base64" })
        };
        let members = self.members.iter().map(|member| {
            Ok(MemberEvidence {
                address: read(&member.address_receipt)?,
                account: read(&member.account_receipt)?,
                key: read(&member.key_receipt)?,
            })
        });
        Ok(Evidence {
            association: read(&self.association_receipt)?,
            members: members.collect::<Result<_, ExportError>>()?,
            again: read(&self.association_receipt_again)?,
        })
    }
}

fn exported(
    chain: &[u8; 32],
    association: &[u8; 32],
    member: &MemberState,
    proofs: &MemberEvidence,
) -> ExportedMember {
    let MemberState { account, address, since, proof } = member;
    let foreign = address.key_id().is_none();
    ExportedMember {
        account: hex::encode(account),
        address: address_words(address),
        since: *since,
        text: if foreign { proof_text(chain, association, *since, account, address) } else { String::new() },
        proof: proof_words(address, proof),
        address_receipt: Base64::encode_string(&proofs.address),
        account_receipt: Base64::encode_string(&proofs.account),
        key_receipt: Base64::encode_string(&proofs.key),
    }
}
