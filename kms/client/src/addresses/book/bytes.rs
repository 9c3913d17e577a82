//! An address book's bytes: what lies sealed in the file of an own root.

use keyward_crypto::SecretBytes;
use keyward_crypto::unlinkable::PuncturedViewing;
use keyward_ledger_core::codec::{DecodeError, Reader};
use keyward_ledger_core::unlinkable::PAYMENT_BYTES;
use zeroize::Zeroizing;

use super::{AddressSource, Begun, Book, EpochBook, Found, Spent};
use crate::addresses::AddressesError;

const VERSION: u8 = 1;
const WHAT: &str = "address book";
/// Bounds of what is read, far above what a file of 1 MiB holds.
const LIST_MAX: usize = 1 << 20;
const VIEWING_BYTES_MAX: usize = 1 << 16;
/// The body of an intent has a detail of at most 1,073 bytes.
const BODY_BYTES_MAX: usize = 2_048;
/// A receipt grows with every change of the validators.
const RECEIPT_BYTES_MAX: usize = 1 << 19;

impl Book {
    /// The bytes that are sealed.
    ///
    /// `version u8 (1) || u32 length || punctured viewing || count u32 || epoch* || count u32 || payment*`, epochs ascending.
    pub fn encode(&self) -> SecretBytes {
        let viewing = self.viewing.encode();
        let room = |book: &EpochBook| 32 + book.spent.iter().map(Spent::room).sum::<usize>();
        let payments = (PAYMENT_BYTES + 16) * self.payments.len();
        let room = 32 + viewing.len() + self.epochs.values().map(room).sum::<usize>() + payments;
        // One allocation: growing would leave copies that nobody wipes.
        let mut out = Zeroizing::new(Vec::with_capacity(room));
        out.push(VERSION);
        out.extend_from_slice(&count(viewing.len()));
        viewing.expose(|bytes| out.extend_from_slice(bytes));
        out.extend_from_slice(&count(self.epochs.len()));
        for (epoch, book) in &self.epochs {
            out.extend_from_slice(&epoch.to_be_bytes());
            book.write(&mut out);
        }
        out.extend_from_slice(&count(self.payments.len()));
        for found in &self.payments {
            out.extend_from_slice(&found.epoch.to_be_bytes());
            out.extend_from_slice(&found.payment);
            out.extend_from_slice(&found.leaf_index.to_be_bytes());
            out.push(u8::from(found.spent) | (u8::from(found.confirmed) << 1));
        }
        out.into()
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, AddressesError> {
        let mut reader = Reader::new(bytes);
        reader.version(WHAT, VERSION)?;
        let viewing = PuncturedViewing::decode(reader.bytes("viewing", VIEWING_BYTES_MAX)?)?;
        let epochs =
            reader.list("epochs", LIST_MAX, |reader| Ok((reader.u32("epoch")?, EpochBook::read(reader)?)))?;
        if !epochs.is_sorted_by(|(one, _), (other, _)| one < other) {
            return Err(DecodeError::Invalid { what: "epochs", why: "are not ascending" }.into());
        }
        let payments = reader.list("payments", LIST_MAX, |reader| {
            let (epoch, payment) = (reader.u32("epoch")?, reader.array("payment")?);
            let (leaf_index, state) = (reader.u64("leaf index")?, reader.u8("payment's state")?);
            if state > 3 {
                return Err(DecodeError::UnknownCode { what: "payment's state", code: u64::from(state) });
            }
            Ok(Found { epoch, payment, leaf_index, spent: state & 1 == 1, confirmed: state & 2 == 2 })
        })?;
        reader.finish(WHAT)?;
        Ok(Self { viewing, epochs: epochs.into_iter().collect(), payments })
    }
}

impl EpochBook {
    /// `next u32 || (0 u8 | 1 u8 || leaf index u64) || count u32 || spent*`.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.next.to_be_bytes());
        option(out, self.closed, |out, leaf| out.extend_from_slice(&leaf.to_be_bytes()));
        out.extend_from_slice(&count(self.spent.len()));
        self.spent.iter().for_each(|spent| spent.write(out));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            next: reader.u32("next index")?,
            closed: reader.option_with("closed", |reader| reader.u64("leaf index"))?,
            spent: reader.list("spent", LIST_MAX, Spent::read)?,
        })
    }
}

impl Spent {
    fn room(&self) -> usize {
        128 + self.begun.as_ref().map_or(0, |begun| begun.body.len() + begun.receipt.len() + 128)
    }

    /// `source || (0 u8 | 1 u8 || leaf index u64 || leaf hash[32]) || (0 u8 | 1 u8 || u32 length || body || opening[32] ||
    /// proof[64] || u32 length || receipt)`, `source = epoch u32 || (0 u8 || index u32 | 1 u8 || payment[50])`.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.source.epoch().to_be_bytes());
        match &self.source {
            AddressSource::Index { index, .. } => {
                out.push(0);
                out.extend_from_slice(&index.to_be_bytes());
            }
            AddressSource::Payment { payment, .. } => {
                out.push(1);
                out.extend_from_slice(payment);
            }
        }
        option(out, self.leaf, |out, (index, hash)| {
            out.extend_from_slice(&index.to_be_bytes());
            out.extend_from_slice(&hash);
        });
        option(out, self.begun.as_ref(), |out, begun| {
            out.extend_from_slice(&count(begun.body.len()));
            out.extend_from_slice(&begun.body);
            out.extend_from_slice(&begun.opening);
            out.extend_from_slice(&begun.proof);
            out.extend_from_slice(&count(begun.receipt.len()));
            out.extend_from_slice(&begun.receipt);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = reader.u32("epoch")?;
        let source = match reader.u8("source")? {
            0 => AddressSource::Index { epoch, index: reader.u32("index")? },
            1 => AddressSource::Payment { epoch, payment: reader.array("payment")? },
            code => return Err(DecodeError::UnknownCode { what: "source", code: u64::from(code) }),
        };
        let leaf = reader
            .option_with("leaf", |reader| Ok((reader.u64("leaf index")?, reader.array("leaf hash")?)))?;
        let begun = reader.option_with("begun", |reader| {
            Ok(Begun {
                body: reader.bytes("body", BODY_BYTES_MAX)?.to_vec(),
                opening: reader.array("opening")?,
                proof: reader.array("proof")?,
                receipt: reader.bytes("receipt", RECEIPT_BYTES_MAX)?.to_vec(),
            })
        })?;
        Ok(Self { source, leaf, begun })
    }
}

fn option<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(out, value);
    }
}

/// INVARIANT: what is kept in memory here has far less than 2^32 items.
fn count(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}
