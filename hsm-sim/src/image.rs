//! The token file: `SPEC.md` gives it byte by byte. Bytes in, fields out; no files, no secrets opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use cryptoki_sys as sys;
use sha2::{Digest, Sha256};

use crate::attribute::Attributes;
use crate::codec::{Reader, put_bytes, put_count};
use crate::error::Damage;
use crate::object::Object;
use crate::seal::{Costs, Wrap};

const MAGIC: &[u8; 16] = b"hsm-sim token\r\n\x1a";
/// The version that is written; the one before it is read.
pub(crate) const VERSION: u16 = 2;
const VERSION_FIRST: u16 = 1;
/// The most objects in each half, public and private.
pub(crate) const OBJECTS_MAX: usize = 16_384;
/// The longest sealed part.
pub(crate) const SEALED_BYTES_MAX: usize = 1 << 28;

/// Objects by their number within the token.
pub(crate) type Objects = BTreeMap<u64, Arc<Object>>;

/// A token file's fields. Private objects stay sealed.
#[derive(Debug)]
pub(crate) struct Image {
    /// Of the file that it came from. It stays until objects are written, which are sealed with it.
    pub(crate) version: u16,
    /// Grows by one with every write.
    pub(crate) generation: u64,
    /// Random, new with every initialisation of the token.
    pub(crate) incarnation: [u8; 16],
    /// 16 hexadecimal digits; made once per slot file, kept when the token is initialised anew.
    pub(crate) serial: [u8; 16],
    /// Padded with blanks.
    pub(crate) label: [u8; 32],
    pub(crate) officer: Wrap,
    pub(crate) user: Option<Wrap>,
    /// The number that the next object gets; numbers are never used twice.
    pub(crate) next_object: u64,
    pub(crate) public: Objects,
    /// Empty until the first private object, then `nonce || ciphertext || tag`.
    pub(crate) sealed: Vec<u8>,
}

impl Image {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.incarnation);
        out.extend_from_slice(&self.serial);
        out.extend_from_slice(&self.label);
        encode_wrap(&mut out, &self.officer);
        out.push(u8::from(self.user.is_some()));
        self.user.iter().for_each(|wrap| encode_wrap(&mut out, wrap));
        out.extend_from_slice(&self.next_object.to_be_bytes());
        encode_objects(&mut out, &self.public);
        put_bytes(&mut out, &self.sealed);
        let checksum = Sha256::digest(&out);
        out.extend_from_slice(&checksum);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let (body, checksum) = bytes.split_last_chunk::<32>().ok_or(Damage::CutOff)?;
        let mut reader = Reader::new(body);
        if reader.array::<16>()? != *MAGIC {
            return Err(Damage::Magic);
        }
        let version = reader.u16()?;
        if !(VERSION_FIRST..=VERSION).contains(&version) {
            return Err(Damage::Version(version));
        }
        if Sha256::digest(body).as_slice() != checksum {
            return Err(Damage::Checksum);
        }
        let image = Self {
            version,
            generation: reader.u64()?,
            incarnation: reader.array()?,
            serial: reader.array()?,
            label: reader.array()?,
            officer: decode_wrap(&mut reader)?,
            user: match reader.u8()? {
                0 => None,
                1 => Some(decode_wrap(&mut reader)?),
                _ => return Err(Damage::Field("user present")),
            },
            next_object: reader.u64()?,
            public: decode_objects(&mut reader)?,
            sealed: reader.bytes(SEALED_BYTES_MAX, "sealed length")?.to_vec(),
        };
        reader.end()?;
        Ok(image)
    }

    /// Gives objects of version 1 what every object has in version 2. A unique id that is made from the number
    /// is the same in every process until the object is written.
    pub(crate) fn upgrade(&self, objects: &mut Objects) {
        if self.version > VERSION_FIRST {
            return;
        }
        for (number, object) in objects {
            let hash = Sha256::new()
                .chain_update(b"hsm-sim/unique-id/v1")
                .chain_update(self.incarnation)
                .chain_update(number.to_be_bytes())
                .finalize();
            let mut attributes = object.attributes().duplicate();
            attributes.set_bytes(sys::CKA_UNIQUE_ID, &unique_id(hash.first_chunk().unwrap_or(&[0; 16])));
            if attributes.get(sys::CKA_KEY_TYPE).is_some() {
                attributes.default_bytes(sys::CKA_ALLOWED_MECHANISMS, &[]);
            }
            *object = Arc::new(Object::new(attributes));
        }
    }

    /// What the sealed part is bound to: the token, and every public object.
    pub(crate) fn context(&self) -> Vec<u8> {
        let mut out = format!("hsm-sim/objects/v{}", self.version).into_bytes();
        out.extend_from_slice(&self.incarnation);
        out.extend_from_slice(&self.serial);
        out.extend_from_slice(&self.label);
        out.extend_from_slice(&self.next_object.to_be_bytes());
        encode_objects(&mut out, &self.public);
        out
    }
}

/// `CKA_UNIQUE_ID`: 32 hexadecimal digits.
pub(crate) fn unique_id(bytes: &[u8; 16]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// `count u32, { number u64, attributes }...` in ascending order of number.
pub(crate) fn encode_objects(out: &mut Vec<u8>, objects: &Objects) {
    put_count(out, objects.len());
    for (number, object) in objects {
        out.extend_from_slice(&number.to_be_bytes());
        object.attributes().encode(out);
    }
}

pub(crate) fn decode_objects(reader: &mut Reader<'_>) -> Result<Objects, Damage> {
    let mut objects = Objects::new();
    for _ in 0..reader.count(OBJECTS_MAX, "object count")? {
        let number = reader.u64()?;
        if objects.last_key_value().is_some_and(|(last, _)| *last >= number) {
            return Err(Damage::Field("object order"));
        }
        objects.insert(number, Arc::new(Object::new(Attributes::decode(reader)?)));
    }
    Ok(objects)
}

fn encode_wrap(out: &mut Vec<u8>, wrap: &Wrap) {
    out.push(wrap.failures);
    for cost in [wrap.costs.memory_kib, wrap.costs.passes, wrap.costs.lanes] {
        out.extend_from_slice(&cost.to_be_bytes());
    }
    out.extend_from_slice(&wrap.salt);
    out.extend_from_slice(&wrap.nonce);
    out.extend_from_slice(&wrap.sealed);
}

fn decode_wrap(reader: &mut Reader<'_>) -> Result<Wrap, Damage> {
    Ok(Wrap {
        failures: reader.u8()?,
        costs: Costs { memory_kib: reader.u32()?, passes: reader.u32()?, lanes: reader.u32()? }.check()?,
        salt: reader.array()?,
        nonce: reader.array()?,
        sealed: reader.array()?,
    })
}
