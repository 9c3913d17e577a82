//! Who speaks in an entry that carries authority, and the names of what is spoken about.

use super::SIGNATURE_BYTES_MAX;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Hash, Tag};
use crate::scheme::{KeyId, PublicKey};

/// The most authors of one entry.
pub const AUTHORS_MAX: usize = 16;

/// Somebody who can be named: `u8 kind || [32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// 1: the present credential of an account.
    Credential(Hash),
    /// 2: a key in its holder's token (mode `linked`) or on its side (`self`), active.
    Key(KeyId),
}

impl Party {
    /// Appends the encoding.
    pub fn write(self, out: &mut Writer) {
        match self {
            Self::Credential(account) => out.u8(1).raw(&account),
            Self::Key(key_id) => out.u8(2).raw(&key_id.0),
        };
    }

    /// Reads an encoding from the front.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("party")? {
            1 => Ok(Self::Credential(reader.array("account")?)),
            2 => Ok(Self::Key(KeyId(reader.array("key id")?))),
            code => Err(DecodeError::UnknownCode { what: "party", code: u64::from(code) }),
        }
    }

    /// Appends a list.
    pub fn write_list(parties: &[Self], out: &mut Writer) {
        out.count(parties.len());
        parties.iter().for_each(|party| party.write(out));
    }

    /// Reads a strictly ascending list.
    pub fn read_list(
        reader: &mut Reader<'_>,
        what: &'static str,
        max: usize,
    ) -> Result<Vec<Self>, DecodeError> {
        let parties = reader.list(what, max, Self::read)?;
        ascending(parties.iter(), what)?;
        Ok(parties)
    }
}

/// One author's consent to exactly one act: `party || nonce[32] || not_after u64`, for a key `bytes(1040) public key`,
/// then `bytes(1024) signature`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Who speaks.
    pub party: Party,
    /// Fresh random bytes.
    pub nonce: Hash,
    /// The last height at which the signature counts.
    pub not_after: u64,
    /// The key itself, of which the state knows the id only; empty for a credential.
    pub public_key: Vec<u8>,
    /// Over [`authored_message`](crate::contracts::authored::authored_message), under the party's own scheme.
    pub signature: Vec<u8>,
}

impl Author {
    fn write(&self, out: &mut Writer) {
        self.party.write(out);
        out.raw(&self.nonce).u64(self.not_after);
        if matches!(self.party, Party::Key(_)) {
            out.bytes(&self.public_key);
        }
        out.bytes(&self.signature);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let party = Party::read(reader)?;
        Ok(Self {
            party,
            nonce: reader.array("nonce")?,
            not_after: reader.u64("not after")?,
            public_key: match party {
                Party::Credential(_) => Vec::new(),
                Party::Key(_) => reader.bytes("public key", PublicKey::BYTES_MAX)?.to_vec(),
            },
            signature: reader.bytes("signature", SIGNATURE_BYTES_MAX)?.to_vec(),
        })
    }

    pub(super) fn write_list(authors: &[Self], out: &mut Writer) {
        out.count(authors.len());
        authors.iter().for_each(|author| author.write(out));
    }

    /// Reads authors, strictly ascending by party: nobody speaks twice.
    pub(super) fn read_list(reader: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        let authors = reader.list("authors", AUTHORS_MAX, Self::read)?;
        ascending(authors.iter().map(|author| &author.party), "authors")?;
        Ok(authors)
    }
}

fn ascending<'a>(
    parties: impl Iterator<Item = &'a Party> + Clone,
    what: &'static str,
) -> Result<(), DecodeError> {
    if parties.clone().zip(parties.skip(1)).all(|(before, party)| before < party) {
        Ok(())
    } else {
        Err(DecodeError::Invalid { what, why: "are not strictly ascending" })
    }
}

/// The name of a rule: the account that makes it, and a name of its choice. Nobody else can take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleName {
    /// The account that defines the rule.
    pub owner: Hash,
    /// Free to choose.
    pub name: Hash,
}

impl RuleName {
    /// The rule's id under the entry kind that defines it, so that rules of different kinds never meet:
    /// `tagged("keyward/rule/v1", kind u16 || owner || name)`.
    pub fn id(&self, kind: u16) -> Hash {
        Tag::Rule.hash(&[&kind.to_be_bytes(), &self.owner, &self.name])
    }

    pub(crate) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.raw(&self.owner).raw(&self.name)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { owner: reader.array("owner")?, name: reader.array("rule name")? })
    }
}
