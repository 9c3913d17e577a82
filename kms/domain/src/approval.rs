//! What an approval case is about, in full: the hash that stands on the ledger follows from it and from nothing else.
//!
//! Who asks, who carries it and who approves all compute it here. So nobody approves by a summary of somebody else's.

use std::fmt;

use keyward_ledger_core::codec::{DecodeError, Reader, Writer};
use keyward_ledger_core::contracts::timelock::dispute_payload;
use keyward_ledger_core::entry::{AuditTerms, Case, GRANT_ACCOUNTS_MAX, Grant, PublishAudit, PublishPolicy};
use keyward_ledger_core::hash::commitment;
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::shared::approval_payload;
use sha2::{Digest as _, Sha256};

use crate::audit::{PURPOSE_LEN_MAX, grant_words, is_purpose_of, terms_words};
pub use crate::blind::AddressSigning;
use crate::disclosure::{DisclosureError, disclosed};
use crate::meaning::{Form, Meaning, PAYLOAD_LEN_MAX};
use crate::name::NameError;
pub use crate::publication::{Publication, Published};

const NAME_LABEL: &[u8] = b"\x1dkeyward/approval-rule-name/v1";
/// The longest name of a format.
const FORMAT_LEN_MAX: usize = 32;
const SIGNING: u8 = 1;
const DISPUTE: u8 = 2;
const POLICY_PUBLICATION: u8 = 3;
const RISK_PUBLICATION: u8 = 4;
const GRANT: u8 = 5;
const AUDIT_TERMS: u8 = 6;
const ADDRESS: u8 = 7;
/// The longest encoding of a grant.
const GRANT_LEN_MAX: usize = 4 * 32 + 3 * 8 + 4 + 32 * GRANT_ACCOUNTS_MAX;
const POLICY_TEXT_LABEL: &[u8] = b"\x18keyward/tenant-policy/v1";
/// The longest text of a policy set, in bytes.
pub const POLICY_TEXT_LEN_MAX: usize = 64 << 10;

/// The hash that a publication on the ledger has of a policy set's text: `SHA-256(u8 24 || "keyward/tenant-policy/v1" || text)`.
pub fn policy_text_hash(text: &str) -> [u8; 32] {
    Sha256::new().chain_update(POLICY_TEXT_LABEL).chain_update(text).finalize().into()
}

/// What an account calls one of its approval rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApprovalRuleName(String);

impl ApprovalRuleName {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 64;

    /// 1 to 64 of `[a-z0-9._-]`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if crate::name::is_plain(text, Self::LEN_MAX) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::ApprovalRule(text.chars().take(80).collect()))
        }
    }

    /// The name on the ledger: `SHA-256(u8 29 || "keyward/approval-rule-name/v1" || name)`.
    pub fn id(&self) -> [u8; 32] {
        Sha256::new().chain_update(NAME_LABEL).chain_update(&self.0).finalize().into()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// That a key signs a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// The key.
    pub key_id: KeyId,
    /// What is signed, in full; at most 1 MiB.
    pub payload: Vec<u8>,
    /// How it is to be read; empty: as it is.
    pub format: String,
    /// What the commitment hides: SHA-256 of an opaque payload, or a digest that its signers sign.
    pub payload_hash: [u8; 32],
    /// Opens the commitment; random.
    pub opening: [u8; 32],
}

impl Signing {
    /// The commitment of the intent that may follow.
    pub fn commitment(&self) -> [u8; 32] {
        commitment(&self.opening, &self.payload_hash)
    }
}

/// What approvers are asked. Prints redacted: it holds payloads, and why somebody is suspected.
#[derive(Clone, PartialEq, Eq)]
pub enum About {
    /// That a key signs a payload.
    Signing(Signing),
    /// That a disputed recovery goes on: its case.
    Dispute(Case),
    /// That a tenant's policies or rules of risk are published.
    Publication(Publication),
    /// That a grant is issued.
    Grant {
        /// The grant.
        grant: Grant,
        /// Why it is asked for: what the grant has the hash of.
        purpose: String,
    },
    /// That a tenant's terms for audits are published; their case is no part of it.
    AuditTerms(PublishAudit),
    /// That an account signs a payload with an address.
    Address(AddressSigning),
}

impl fmt::Debug for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("About(redacted)")
    }
}

impl About {
    /// What the case's payload is: the hash that approvals are for.
    pub fn payload(&self) -> [u8; 32] {
        match self {
            Self::Signing(signing) => approval_payload(&signing.key_id, &signing.commitment()),
            Self::Dispute(case) => dispute_payload(case),
            Self::Publication(Publication { of, publish, .. }) => of.payload(publish),
            Self::Grant { grant, .. } => grant.payload(),
            Self::AuditTerms(publish) => publish.publication(),
            Self::Address(asked) => asked.blinded().payload(),
        }
    }

    /// What the payload that is to be signed says; refused where payload, format and hash, or a text and its hash, do not belong
    /// together.
    pub fn meaning(&self) -> Result<Option<Meaning>, DisclosureError> {
        match self {
            Self::Signing(Signing { payload, format, payload_hash, .. }) => {
                disclosed(format, payload, payload_hash).map(Some)
            }
            Self::Address(AddressSigning { payload, format, payload_hash, .. }) => {
                disclosed(format, payload, payload_hash).map(Some)
            }
            Self::Dispute(_) | Self::AuditTerms(_) => Ok(None),
            Self::Publication(Publication { of, publish, text }) => {
                let fits = text.len() <= of.text_len_max() && of.text_hash(text) == publish.set;
                if fits { Ok(None) } else { Err(DisclosureError::Other) }
            }
            Self::Grant { grant, purpose } => {
                if is_purpose_of(grant, purpose) {
                    Ok(None)
                } else {
                    Err(DisclosureError::Other)
                }
            }
        }
    }

    /// All of it in words for people, one line each; of an opaque payload its length and, where it is text, the text's
    /// beginning.
    pub fn words(&self) -> Result<Vec<String>, DisclosureError> {
        let meaning = self.meaning()?;
        Ok(match (self, meaning) {
            (Self::Signing(signing), Some(meaning)) if meaning.form == Form::Opaque => {
                let head = format!("key {} signs", signing.key_id);
                opaque_words(&head, &signing.payload, &signing.payload_hash)
            }
            (Self::Address(asked), Some(meaning)) if meaning.form == Form::Opaque => {
                opaque_words(&asked.head(&meaning), &asked.payload, &asked.payload_hash)
            }
            (Self::Address(asked), meaning) => {
                let head = meaning.as_ref().map(|meaning| asked.head(meaning));
                head.into_iter().chain(meaning.iter().flat_map(Meaning::words)).collect()
            }
            (Self::Signing(signing), meaning) => {
                let form = meaning.as_ref().map_or(Form::Opaque, |meaning| meaning.form);
                let head = format!("key {} signs this {form} payload:", signing.key_id);
                std::iter::once(head).chain(meaning.iter().flat_map(Meaning::words)).collect()
            }
            (Self::Dispute(case), _) => {
                vec![format!("the disputed recovery {} goes on", hex(&case.id))]
            }
            (Self::Publication(publication), _) => publication_words(publication),
            (Self::Grant { grant, purpose }, _) => grant_words(grant, purpose),
            (Self::AuditTerms(publish), _) => terms_words(publish),
        })
    }

    /// The encoding: `u8 1 || key id[32] || payload hash[32] || opening[32] || bytes(32) format || bytes(1 MiB) payload`, or
    /// `u8 2 || case id[32] || payload[32]`, or
    /// `u8 3 || tenant[32] || version u32 || set hash[32] || rule id[32] || bytes(64 KiB) text`; of rules of risk the same after `u8 4`; or
    /// `u8 5 || bytes grant || bytes(4096) purpose`, or
    /// `u8 6 || tenant[32] || version u32 || accounts_max u16 || span_ms_max u64 || live_ms_max u64 || kept_ms u64 || rule id[32]`, or
    /// `u8 7 || account[32] || salt[32] || u8 scheme || payload hash[32] || bytes(32) format || bytes(1 MiB) payload`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256);
        match self {
            Self::Signing(Signing { key_id, payload, format, payload_hash, opening }) => {
                out.u8(SIGNING).raw(&key_id.0).raw(payload_hash).raw(opening);
                out.bytes(format.as_bytes()).bytes(payload);
            }
            Self::Dispute(Case { id, payload }) => {
                out.u8(DISPUTE).raw(id).raw(payload);
            }
            Self::Publication(Publication { of, publish, text }) => {
                let code = match of {
                    Published::Policy => POLICY_PUBLICATION,
                    Published::Risk => RISK_PUBLICATION,
                };
                out.u8(code).raw(&publish.tenant).u32(publish.version).raw(&publish.set);
                out.raw(&publish.rule).bytes(text.as_bytes());
            }
            Self::Grant { grant, purpose } => {
                out.u8(GRANT).bytes(&grant.encode()).bytes(purpose.as_bytes());
            }
            Self::AuditTerms(PublishAudit { tenant, version, terms, rule, .. }) => {
                out.u8(AUDIT_TERMS).raw(tenant).u32(*version).u16(terms.accounts_max);
                out.u64(terms.span_ms_max).u64(terms.live_ms_max).u64(terms.kept_ms).raw(rule);
            }
            Self::Address(asked) => asked.write(out.u8(ADDRESS)),
        }
        out.finish()
    }

    /// Decodes exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let about = match reader.u8("about")? {
            SIGNING => {
                let key_id = KeyId(reader.array("key id")?);
                let payload_hash = reader.array("payload hash")?;
                let opening = reader.array("opening")?;
                let format = std::str::from_utf8(reader.bytes("format", FORMAT_LEN_MAX)?)
                    .or(Err(DecodeError::Invalid { what: "format", why: "is not UTF-8" }))?
                    .to_owned();
                let payload = reader.bytes("payload", PAYLOAD_LEN_MAX)?.to_vec();
                Self::Signing(Signing { key_id, payload, format, payload_hash, opening })
            }
            DISPUTE => {
                Self::Dispute(Case { id: reader.array("case id")?, payload: reader.array("payload")? })
            }
            code @ (POLICY_PUBLICATION | RISK_PUBLICATION) => {
                let of = if code == RISK_PUBLICATION { Published::Risk } else { Published::Policy };
                let (tenant, version) = (reader.array("tenant")?, reader.u32("policy version")?);
                let (set, rule) = (reader.array("set hash")?, reader.array("rule")?);
                let publish = PublishPolicy { tenant, version, set, rule, case: None };
                let text = std::str::from_utf8(reader.bytes("policies", of.text_len_max())?)
                    .or(Err(DecodeError::Invalid { what: "policies", why: "are not UTF-8" }))?
                    .to_owned();
                Self::Publication(Publication { of, publish, text })
            }
            GRANT => {
                let grant = Grant::decode(reader.bytes("grant", GRANT_LEN_MAX)?)?;
                let purpose = std::str::from_utf8(reader.bytes("purpose", PURPOSE_LEN_MAX)?)
                    .or(Err(DecodeError::Invalid { what: "purpose", why: "is not UTF-8" }))?
                    .to_owned();
                Self::Grant { grant, purpose }
            }
            AUDIT_TERMS => {
                let (tenant, version) = (reader.array("tenant")?, reader.u32("terms version")?);
                let terms = AuditTerms {
                    accounts_max: reader.u16("most accounts")?,
                    span_ms_max: reader.u64("longest period")?,
                    live_ms_max: reader.u64("longest life")?,
                    kept_ms: reader.u64("how long closed accounts are kept")?,
                };
                Self::AuditTerms(PublishAudit {
                    tenant,
                    version,
                    terms,
                    rule: reader.array("rule")?,
                    case: None,
                })
            }
            ADDRESS => Self::Address(AddressSigning::read(&mut reader)?),
            code => return Err(DecodeError::UnknownCode { what: "about", code: u64::from(code) }),
        };
        reader.finish("about")?;
        Ok(about)
    }
}

/// The most of a text that is shown in one line.
const SHOWN_MAX: usize = 200;

fn opaque_words(head: &str, payload: &[u8], payload_hash: &[u8; 32]) -> Vec<String> {
    let mut lines = vec![format!("{head} what nobody here can read: {} bytes", payload.len())];
    let text = std::str::from_utf8(payload).ok();
    if payload == payload_hash {
        lines.push("all that is shown is the digest itself".to_owned());
    } else if let Some(text) = text.filter(|text| !text.chars().any(|c| c.is_control() && c != '\n')) {
        let shown: String = text.chars().take(SHOWN_MAX).collect();
        let more = if shown.len() < text.len() { " (and more)" } else { "" };
        lines.push(format!("as text: {:?}{more}", shown));
    }
    lines.push(format!("digest {}", hex(payload_hash)));
    lines
}

/// All of the text: nobody approves policies by their hash alone.
fn publication_words(publication: &Publication) -> Vec<String> {
    let Publication { of, publish, text } = publication;
    let mut lines = vec![
        format!("tenant {} goes by version {} of its {}:", hex(&publish.tenant), publish.version, of.words()),
        format!("set {}; the next version is approved under rule {}", hex(&publish.set), hex(&publish.rule)),
    ];
    lines.extend(text.lines().map(|line| format!("| {}", plain(line))));
    lines
}

/// A line in which nothing writes over what is shown, or looks like something else.
pub(crate) fn plain(line: &str) -> String {
    let shown = |c: char| {
        if c == ' ' || c.is_ascii_graphic() { c.to_string() } else { c.escape_unicode().to_string() }
    };
    line.chars().map(shown).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        // INVARIANT: writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests;
