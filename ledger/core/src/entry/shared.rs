//! What is wanted of a key that a user and keepers share.

use super::author::{Party, RuleName};
use super::{kind, read_scheme};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::scheme::{KeyId, PublicKey, Scheme};
use crate::shared::{self, Circle, Device, SHARED_KEEPERS_MAX, SPEAKERS_MAX};

/// The generation of a shared key: `account[32] || name[32] || scheme u8 || circle || attempt u32 || lock_ms u64 || device ||
/// expires_ms u64 || list(8) of party ||` one opening hash[32] of the user and of each keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedOpening {
    /// The account, and the key's name of 32 random bytes.
    pub name: RuleName,
    /// Ed25519, BIP340 or ECDSA on secp256k1.
    pub scheme: Scheme,
    /// Who is to hold shares beside the user.
    pub circle: Circle,
    /// 1, then one more each time under this name: names, with it, exactly one opening ever.
    pub attempt: u32,
    /// How long another device waits before it is in force.
    pub lock_ms: u64,
    /// What speaks for the user's share.
    pub device: Device,
    /// The last block time at which the key may be bound, in milliseconds since 1970.
    pub expires_ms: u64,
    /// Who speaks for the key from now on, and nobody else: parties of the account, strictly ascending. A key that
    /// somebody binds to the account later is none.
    pub speakers: Vec<Party>,
    /// What each holder opens with in the first step, the user first.
    pub openings: Vec<Hash>,
}

/// A key that was generated: `account[32] || name[32] || attempt u32 || scheme u8 || bytes(1040) public key || key hash[32] ||
/// (0 u8 | 1 u8 || approval rule id[32]) || (0 u8 | 1 u8 || policy tenant[32]) || list(16) of signature[64]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedBinding {
    /// The name under which it was opened.
    pub name: RuleName,
    /// The attempt that succeeded.
    pub attempt: u32,
    /// The scheme of the opening.
    pub scheme: Scheme,
    /// The public key's one encoding. The contract parses it, so that a bad one is refused by name.
    pub public_key: Vec<u8>,
    /// The hash of what is public of the shares.
    pub key_hash: Hash,
    /// The approval rule without which no intent names the key.
    pub approval_rule: Option<Hash>,
    /// The tenant whose policies keepers evaluate.
    pub policy_tenant: Option<Hash>,
    /// Each keeper's signature over [`acknowledgement_message`](crate::shared::acknowledgement_message), in the order of
    /// their places.
    pub acknowledgements: Vec<[u8; 64]>,
}

/// How the key signs: `0 u8`, `1 u8`, or `2 u8 || root[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tweak {
    /// 0: as it is.
    Plain,
    /// 1: as a taproot output key without scripts (BIP341); BIP340 only.
    KeyPath,
    /// 2: as a taproot output key with scripts under this Merkle root; BIP340 only.
    Root(Hash),
}

/// The right to use a shared key once: `intent id[32] || key id[32] || share version u32 || executor[32] || commitment[32] ||
/// tweak || list(16) of place u8 || policy[32] || not_after u64 || (0 u8 | 1 u8 || approval case id[32])`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedIntent {
    /// The intent's name, chosen at random.
    pub id: Hash,
    /// The key to use.
    pub key_id: KeyId,
    /// The version of the shares that sign.
    pub share_version: u32,
    /// The submitter that acts; it must submit the intent itself.
    pub executor: [u8; 32],
    /// [`commitment`](crate::hash::commitment) to the payload hash.
    pub commitment: Hash,
    /// How the key signs.
    pub tweak: Tweak,
    /// The keepers that sign, by their places, strictly ascending; exactly as many as it takes.
    pub signers: Vec<u8>,
    /// Hash of the policy set that decides.
    pub policy: Hash,
    /// The last height at which the claim lives.
    pub not_after: u64,
    /// The approval case that is used up; about [`approval_payload`](crate::shared::approval_payload).
    pub case: Option<Hash>,
}

/// What happens to the shares of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Renewal {
    /// The same holders get shares dealt anew.
    Refresh = 1,
    /// Other holders get them, or another number of them is needed.
    Renew = 2,
}

/// Shares dealt anew for the same key: `key id[32] || share version u32 || renewal u8 || circle || device || key hash[32] ||
/// expires_ms u64 ||` one signature[64] of each keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRenewal {
    /// The key, which stays.
    pub key_id: KeyId,
    /// One more than that of the shares before.
    pub share_version: u32,
    /// Whether holders change.
    pub renewal: Renewal,
    /// Who holds shares from now on.
    pub circle: Circle,
    /// The device in force, to which the user's new share was sealed.
    pub device: Device,
    /// The hash of what is public of the new shares.
    pub key_hash: Hash,
    /// The last block time at which it may be recorded, in milliseconds since 1970.
    pub expires_ms: u64,
    /// Each new holder's signature, as for a binding.
    pub acknowledgements: Vec<[u8; 64]>,
}

/// What is wanted of a shared key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedAct {
    /// Opens the generation of a key; the author is one of the key's speakers.
    Open(Box<SharedOpening>),
    /// Binds the key that was generated; the author is one of its speakers.
    Bind(Box<SharedBinding>),
    /// Claims the right to use the key; the author is one of its speakers.
    Intent(Box<SharedIntent>),
    /// Records shares dealt anew; a refresh has no author, a renewal one of the key's speakers.
    Renew(Box<SharedRenewal>),
    /// Puts another device in the place of the one in force, after the key's lock; the author is one of its speakers.
    ReplaceDevice {
        /// The key.
        key_id: KeyId,
        /// The other device.
        device: Device,
    },
    /// The device in force keeps another one from taking its place. No authors.
    CancelDevice {
        /// The key.
        key_id: KeyId,
        /// Its signature over [`veto_message`](crate::shared::veto_message).
        signature: [u8; 64],
    },
}

impl SharedBinding {
    /// What keepers acknowledge, and what names these shares: see [`crate::shared`]. `circle` is that of the opening.
    pub fn record_hash(&self, circle: &Circle) -> Hash {
        let mut body = Writer::with_capacity(256);
        self.write_body(&mut body);
        shared::record_hash(kind::BIND_SHARED_KEY, body.as_slice(), 1, circle)
    }

    /// The key's name on the ledger, if its public key is one of its scheme.
    pub fn key_id(&self) -> Option<KeyId> {
        PublicKey::parse(self.scheme, &self.public_key).ok().map(|key| key.id())
    }

    fn write_body(&self, out: &mut Writer) {
        self.name.write(out).u32(self.attempt).u8(self.scheme.code()).bytes(&self.public_key);
        out.raw(&self.key_hash).option(self.approval_rule.as_ref()).option(self.policy_tenant.as_ref());
    }

    fn write(&self, out: &mut Writer) {
        self.write_body(out);
        out.count(self.acknowledgements.len());
        write_signatures(out, &self.acknowledgements);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: RuleName::read(reader)?,
            attempt: reader.u32("attempt")?,
            scheme: read_scheme(reader)?,
            public_key: reader.bytes("public key", PublicKey::BYTES_MAX)?.to_vec(),
            key_hash: reader.array("key hash")?,
            approval_rule: reader.option("approval rule")?,
            policy_tenant: reader.option("policy tenant")?,
            acknowledgements: reader
                .list("acknowledgements", SHARED_KEEPERS_MAX, |reader| reader.array("acknowledgement"))?,
        })
    }
}

impl SharedOpening {
    fn write(&self, out: &mut Writer) {
        self.circle.write(self.name.write(out).u8(self.scheme.code()));
        self.device.write(out.u32(self.attempt).u64(self.lock_ms)).u64(self.expires_ms);
        Party::write_list(&self.speakers, out);
        self.openings.iter().for_each(|opening| {
            out.raw(opening);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (name, scheme, circle) = (RuleName::read(reader)?, read_scheme(reader)?, Circle::read(reader)?);
        let holders = circle.keepers.len() + 1;
        Ok(Self {
            name,
            scheme,
            circle,
            attempt: reader.u32("attempt")?,
            lock_ms: reader.u64("lock")?,
            device: Device::read(reader)?,
            expires_ms: reader.u64("expiry")?,
            speakers: Party::read_list(reader, "speakers", SPEAKERS_MAX)?,
            openings: (0..holders).map(|_| reader.array("opening")).collect::<Result<_, _>>()?,
        })
    }
}

impl Tweak {
    fn write(self, out: &mut Writer) -> &mut Writer {
        match self {
            Self::Plain => out.u8(0),
            Self::KeyPath => out.u8(1),
            Self::Root(root) => out.u8(2).raw(&root),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("tweak")? {
            0 => Ok(Self::Plain),
            1 => Ok(Self::KeyPath),
            2 => Ok(Self::Root(reader.array("tweak root")?)),
            code => Err(DecodeError::UnknownCode { what: "tweak", code: u64::from(code) }),
        }
    }
}

impl SharedIntent {
    fn write(&self, out: &mut Writer) {
        out.raw(&self.id).raw(&self.key_id.0).u32(self.share_version).raw(&self.executor);
        self.tweak.write(out.raw(&self.commitment)).count(self.signers.len()).raw(&self.signers);
        out.raw(&self.policy).u64(self.not_after).option(self.case.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: reader.array("intent id")?,
            key_id: KeyId(reader.array("key id")?),
            share_version: reader.u32("share version")?,
            executor: reader.array("executor")?,
            commitment: reader.array("commitment")?,
            tweak: Tweak::read(reader)?,
            signers: read_places(reader)?,
            policy: reader.array("policy")?,
            not_after: reader.u64("not after")?,
            case: reader.option("approval case")?,
        })
    }
}

fn read_places(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let places = reader.list("signers", SHARED_KEEPERS_MAX, |reader| reader.u8("signer"))?;
    if places.is_sorted_by(|before, place| before < place) {
        Ok(places)
    } else {
        Err(DecodeError::Invalid { what: "signers", why: "are not strictly ascending" })
    }
}

impl Renewal {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("renewal")? {
            1 => Ok(Self::Refresh),
            2 => Ok(Self::Renew),
            code => Err(DecodeError::UnknownCode { what: "renewal", code: u64::from(code) }),
        }
    }
}

impl SharedRenewal {
    /// What keepers acknowledge, and what names these shares: see [`crate::shared`].
    pub fn record_hash(&self) -> Hash {
        let mut body = Writer::with_capacity(1024);
        self.write_body(&mut body);
        shared::record_hash(kind::RENEW_SHARED_KEY, body.as_slice(), self.share_version, &self.circle)
    }

    fn write_body(&self, out: &mut Writer) {
        out.raw(&self.key_id.0).u32(self.share_version).u8(self.renewal as u8);
        self.device.write(self.circle.write(out)).raw(&self.key_hash).u64(self.expires_ms);
    }

    fn write(&self, out: &mut Writer) {
        self.write_body(out);
        write_signatures(out, &self.acknowledgements);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (key_id, share_version) = (KeyId(reader.array("key id")?), reader.u32("share version")?);
        let (renewal, circle) = (Renewal::read(reader)?, Circle::read(reader)?);
        let keepers = circle.keepers.len();
        Ok(Self {
            key_id,
            share_version,
            renewal,
            circle,
            device: Device::read(reader)?,
            key_hash: reader.array("key hash")?,
            expires_ms: reader.u64("expiry")?,
            acknowledgements: (0..keepers)
                .map(|_| reader.array("acknowledgement"))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn write_signatures(out: &mut Writer, signatures: &[[u8; 64]]) {
    signatures.iter().for_each(|signature| {
        out.raw(signature);
    });
}

impl SharedAct {
    /// The code of the entry's kind.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Open(_) => kind::OPEN_SHARED_KEY,
            Self::Bind(_) => kind::BIND_SHARED_KEY,
            Self::Intent(_) => kind::INTENT_SHARED,
            Self::Renew(_) => kind::RENEW_SHARED_KEY,
            Self::ReplaceDevice { .. } => kind::REPLACE_DEVICE,
            Self::CancelDevice { .. } => kind::CANCEL_DEVICE,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        match self {
            Self::Open(opening) => opening.write(out),
            Self::Bind(binding) => binding.write(out),
            Self::Intent(intent) => intent.write(out),
            Self::Renew(renewal) => renewal.write(out),
            Self::ReplaceDevice { key_id, device } => {
                device.write(out.raw(&key_id.0));
            }
            Self::CancelDevice { key_id, signature } => {
                out.raw(&key_id.0).raw(signature);
            }
        }
    }

    /// Reads an act of a shared key's kind.
    pub(super) fn read(kind: u16, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            kind::OPEN_SHARED_KEY => Self::Open(Box::new(SharedOpening::read(reader)?)),
            kind::BIND_SHARED_KEY => Self::Bind(Box::new(SharedBinding::read(reader)?)),
            kind::INTENT_SHARED => Self::Intent(Box::new(SharedIntent::read(reader)?)),
            kind::RENEW_SHARED_KEY => Self::Renew(Box::new(SharedRenewal::read(reader)?)),
            kind::REPLACE_DEVICE => {
                Self::ReplaceDevice { key_id: KeyId(reader.array("key id")?), device: Device::read(reader)? }
            }
            kind::CANCEL_DEVICE => Self::CancelDevice {
                key_id: KeyId(reader.array("key id")?),
                signature: reader.array("signature")?,
            },
            code => return Err(DecodeError::UnknownCode { what: "entry kind", code: u64::from(code) }),
        })
    }
}
