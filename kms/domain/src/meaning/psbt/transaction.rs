//! Bitcoin's transactions, read strictly.

use sha2::{Digest as _, Sha256};

use super::malformed;
use crate::meaning::MeaningError;

/// What is left to read.
pub(in crate::meaning) struct Reader<'a>(pub(in crate::meaning) &'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MeaningError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*array)
    }

    /// A number in Bitcoin's compact form, the shortest one.
    fn compact(&mut self) -> Result<u64, MeaningError> {
        let [first] = self.array()?;
        let (number, least) = match first {
            0xfd => (u64::from(u16::from_le_bytes(self.array()?)), 0xfd),
            0xfe => (u64::from(u32::from_le_bytes(self.array()?)), 0x1_0000),
            0xff => (u64::from_le_bytes(self.array()?), 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        if number < least { Err(malformed("a length that is not the shortest")) } else { Ok(number) }
    }

    /// Bytes behind their length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], MeaningError> {
        let length = usize::try_from(self.compact()?).map_err(|_| malformed("it ends too early"))?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(malformed("it ends too early"))?;
        self.0 = rest;
        Ok(bytes)
    }
}

/// What an input spends, and how.
pub(in crate::meaning) struct Input<'a> {
    pub(super) transaction: [u8; 32],
    pub(super) output: u32,
    pub(super) script: &'a [u8],
    pub(super) sequence: u32,
}

/// An amount for a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::meaning) struct Output {
    pub(in crate::meaning) amount: u64,
    pub(in crate::meaning) script: Vec<u8>,
}

impl Output {
    fn read(reader: &mut Reader<'_>) -> Result<Self, MeaningError> {
        Ok(Self { amount: u64::from_le_bytes(reader.array()?), script: reader.bytes()?.to_vec() })
    }

    pub(super) fn read_whole(bytes: &[u8]) -> Result<Self, MeaningError> {
        let mut reader = Reader(bytes);
        let output = Self::read(&mut reader)?;
        if reader.0.is_empty() { Ok(output) } else { Err(malformed("something follows an output")) }
    }

    /// `OP_1 <32 bytes>`.
    pub(super) fn is_taproot(&self) -> bool {
        matches!(self.script[..], [0x51, 0x20, ..]) && self.script.len() == 34
    }

    /// `OP_0 <20 bytes>`: the hash of the one key.
    pub(super) fn key_hash(&self) -> Option<[u8; 20]> {
        self.script.strip_prefix(&[0x00, 0x14])?.try_into().ok()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        [&self.amount.to_le_bytes()[..], &compact(self.script.len()), &self.script].concat()
    }
}

/// A transaction without its witnesses.
pub(in crate::meaning) struct Transaction<'a> {
    pub(super) version: [u8; 4],
    pub(in crate::meaning) inputs: Vec<Input<'a>>,
    pub(in crate::meaning) outputs: Vec<Output>,
    pub(super) lock_time: [u8; 4],
}

impl<'a> Transaction<'a> {
    /// Reads exactly one, with witnesses only where they are allowed.
    pub(in crate::meaning) fn read_whole(bytes: &'a [u8], witnesses: bool) -> Result<Self, MeaningError> {
        let mut reader = Reader(bytes);
        let version = reader.array()?;
        let marked = witnesses && reader.0.starts_with(&[0, 1]);
        if marked {
            let _marker: [u8; 2] = reader.array()?;
        }
        let inputs = list(&mut reader, |reader| {
            Ok(Input {
                transaction: reader.array()?,
                output: u32::from_le_bytes(reader.array()?),
                script: reader.bytes()?,
                sequence: u32::from_le_bytes(reader.array()?),
            })
        })?;
        let outputs = list(&mut reader, Output::read)?;
        if marked {
            for _ in &inputs {
                list(&mut reader, Reader::bytes)?;
            }
        }
        let lock_time = reader.array()?;
        if !reader.0.is_empty() || inputs.is_empty() {
            return Err(malformed("no transaction, or something follows it"));
        }
        Ok(Self { version, inputs, outputs, lock_time })
    }

    /// Twice SHA-256 of it without witnesses.
    pub(super) fn id(&self) -> [u8; 32] {
        let mut bytes = self.version.to_vec();
        bytes.extend(compact(self.inputs.len()));
        for input in &self.inputs {
            bytes.extend(input.outpoint());
            bytes.extend(compact(input.script.len()));
            bytes.extend_from_slice(input.script);
            bytes.extend(input.sequence.to_le_bytes());
        }
        bytes.extend(compact(self.outputs.len()));
        self.outputs.iter().for_each(|output| bytes.extend(output.encode()));
        bytes.extend(self.lock_time);
        Sha256::digest(Sha256::digest(bytes)).into()
    }

    pub(super) fn output(&self, place: u32) -> Option<Output> {
        self.outputs.get(usize::try_from(place).ok()?).cloned()
    }
}

impl Input<'_> {
    /// `transaction[32] || output u32`.
    pub(super) fn outpoint(&self) -> Vec<u8> {
        [&self.transaction[..], &self.output.to_le_bytes()].concat()
    }
}

fn list<'a, T>(
    reader: &mut Reader<'a>,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, MeaningError>,
) -> Result<Vec<T>, MeaningError> {
    // as many as said, if they are there: nothing is reserved on the word of a length
    let count = reader.compact()?;
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(one(reader)?);
    }
    Ok(all)
}

fn compact(length: usize) -> Vec<u8> {
    // INVARIANT: what is written was read from at most 1 MiB.
    let number = u32::try_from(length).unwrap_or(u32::MAX);
    match (u8::try_from(number), u16::try_from(number)) {
        (Ok(small), _) if small < 0xfd => vec![small],
        (_, Ok(number)) => [&[0xfd][..], &number.to_le_bytes()].concat(),
        _ => [&[0xfe][..], &number.to_le_bytes()].concat(),
    }
}
