//! The grant file: everything that somebody needs, beside a ledger export and a trust file, to look at what a grant opens.
//!
//! It holds viewing covers in the clear. What its receipts say is not looked at here: `GrantFile::check` does.

use keyward_crypto::SecretBytes;
use keyward_crypto::unlinkable::{AddressError, ViewingCover};
use keyward_ledger_core::codec::{DecodeError, Reader, Writer};
use keyward_ledger_core::hash::Hash;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// What a grant file begins with; the last byte is the version.
const MAGIC: &[u8; 8] = b"KWGRANT\x01";
const CHECK_LABEL: &[u8] = b"\x15keyward/grant-file/v1";
const CHECK_BYTES: usize = 32;
/// The longest grant file.
pub const GRANT_FILE_BYTES_MAX: usize = 64 << 20;
/// The most openings of one grant.
pub const OPENINGS_MAX: usize = 4096;
/// The most covers that keepers opened for one of them.
pub const COVERS_MAX: usize = 4096;
const APPROVALS_MAX: usize = 64;
const PURPOSE_BYTES_MAX: usize = 4096;
const RECEIPT_BYTES_MAX: usize = 4 << 20;
const DEALING_BYTES_MAX: usize = 64 << 10;
/// The longest opening that somebody adds: two receipts, or one and as many dealings as keepers open at once.
const OPENING_BYTES_MAX: usize = 12 << 20;
/// `version || first || last` and 62 nodes.
const COVER_BYTES_MAX: usize = 9 + 32 * 62;

/// A grant with all that was opened under it so far. Secret: whoever holds it sees what the grant opens.
#[derive(Debug)]
pub struct GrantFile {
    /// The ledger: its genesis hash.
    pub chain_id: Hash,
    /// What the grant is for, as approvers read it; the grant has its hash.
    pub purpose: String,
    /// The receipt of request-grant, whose record holds the grant itself.
    pub request: Vec<u8>,
    /// The receipts of open-approval and of each approval, by ascending leaf index; those that the holder was given.
    pub approvals: Vec<Vec<u8>>,
    /// The receipt of issue-grant.
    pub issue: Vec<u8>,
    /// What was opened; strictly ascending by account, first and last epoch.
    pub openings: Vec<Opening>,
}

/// A run of epochs of one account that was opened.
#[derive(Debug)]
pub struct Opening {
    /// The account.
    pub account: Hash,
    /// The first epoch.
    pub first: u32,
    /// The last epoch.
    pub last: u32,
    /// The receipt of open-grant.
    pub opened: Vec<u8>,
    /// How it came.
    pub delivery: Delivery,
}

/// How what was opened came to the grantee.
#[derive(Debug)]
pub enum Delivery {
    /// From the service that hosts the account's address root.
    Hosted {
        /// The receipt of deliver-grant.
        delivered: Vec<u8>,
        /// What opens exactly these epochs.
        cover: ViewingCover,
    },
    /// From keepers, who hold shares of what opens an own root's closed epochs: the dealings that lie in the run, ascending and
    /// apart, at least one. Epochs that were not dealt are in none.
    Own(Vec<Dealt>),
}

/// A dealing that keepers opened.
#[derive(Debug)]
pub struct Dealt {
    /// What is public of it; the ledger has its hash.
    pub dealing: Vec<u8>,
    /// What opens exactly its epochs.
    pub cover: ViewingCover,
}

/// Why bytes are not a grant file.
#[derive(Debug, Error)]
pub enum GrantFileError {
    /// Something else, or another version.
    #[error("this is no grant file of this version")]
    NotOne,
    /// The last bytes are not the hash of all before.
    #[error("the grant file was changed or cut off: its check does not fit")]
    Changed,
    /// Fields that do not read.
    #[error("the grant file is malformed")]
    Malformed(#[from] DecodeError),
    /// A cover that does not read.
    #[error("a viewing cover of the grant file is malformed")]
    Cover(#[source] AddressError),
    /// A cover of other epochs than those it stands for.
    #[error(
        "a viewing cover of the grant file is of the epochs {first} to {last}, which is not what it stands for"
    )]
    CoverEpochs {
        /// Its first epoch.
        first: u32,
        /// Its last epoch.
        last: u32,
    },
}

impl GrantFileError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotOne => "GRANT_FILE_VERSION",
            Self::Changed => "GRANT_FILE_CHANGED",
            Self::Malformed(_) | Self::Cover(_) | Self::CoverEpochs { .. } => "GRANT_FILE_MALFORMED",
        }
    }
}

impl GrantFile {
    /// The one encoding.
    pub fn encode(&self) -> SecretBytes {
        // One allocation: growing would leave copies that nobody wipes.
        let mut out = Writer::with_capacity(self.size());
        out.raw(MAGIC).raw(&self.chain_id).bytes(self.purpose.as_bytes()).bytes(&self.request);
        out.count(self.approvals.len());
        self.approvals.iter().for_each(|receipt| {
            out.bytes(receipt);
        });
        out.bytes(&self.issue).count(self.openings.len());
        self.openings.iter().for_each(|opening| opening.write(&mut out));
        let check = check(out.as_slice());
        out.raw(&check);
        SecretBytes::new(out.finish())
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, GrantFileError> {
        if !bytes.starts_with(MAGIC) {
            return Err(GrantFileError::NotOne);
        }
        let (body, found) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(GrantFileError::Changed)?;
        if !bool::from(check(body).ct_eq(found)) {
            return Err(GrantFileError::Changed);
        }
        let mut reader = Reader::new(body);
        reader.take("grant file", MAGIC.len())?;
        let chain_id = reader.array("chain id")?;
        let purpose = text(reader.bytes("purpose", PURPOSE_BYTES_MAX)?)?;
        let request = receipt(&mut reader, "request receipt")?;
        let approvals =
            reader.list("approvals", APPROVALS_MAX, |reader| receipt(reader, "approval receipt"))?;
        let issue = receipt(&mut reader, "issue receipt")?;
        let count = reader.count("openings", OPENINGS_MAX)?;
        let mut openings: Vec<Opening> = Vec::new();
        for _ in 0..count {
            let opening = Opening::read(&mut reader)?;
            if openings.last().is_some_and(|before| before.place() >= opening.place()) {
                return Err(not_ascending("openings").into());
            }
            openings.push(opening);
        }
        reader.finish("grant file")?;
        Ok(Self { chain_id, purpose, request, approvals, issue, openings })
    }

    /// Whether one more opening might be one too many for a file that reads back.
    pub fn is_full(&self) -> bool {
        self.openings.len() >= OPENINGS_MAX || self.size() > GRANT_FILE_BYTES_MAX - OPENING_BYTES_MAX
    }

    /// Adds what was opened, in its place; earlier openings of the same account that lie within it go.
    pub fn add(&mut self, opening: Opening) {
        self.openings.retain(|known| {
            known.account != opening.account || known.first < opening.first || known.last > opening.last
        });
        let at = self.openings.partition_point(|known| known.place() < opening.place());
        self.openings.insert(at, opening);
    }

    fn size(&self) -> usize {
        let receipts = self.approvals.iter().map(|receipt| 4 + receipt.len()).sum::<usize>();
        let openings = self.openings.iter().map(Opening::size_max).sum::<usize>();
        MAGIC.len()
            + 32
            + 24
            + self.purpose.len()
            + self.request.len()
            + self.issue.len()
            + receipts
            + openings
            + CHECK_BYTES
    }
}

impl Opening {
    /// What orders openings.
    const fn place(&self) -> (Hash, u32, u32) {
        (self.account, self.first, self.last)
    }

    /// The covers that came, with the epochs they open.
    pub fn covers(&self) -> impl Iterator<Item = &ViewingCover> {
        let (hosted, own) = match &self.delivery {
            Delivery::Hosted { cover, .. } => (Some(cover), &[][..]),
            Delivery::Own(dealt) => (None, dealt.as_slice()),
        };
        hosted.into_iter().chain(own.iter().map(|dealt| &dealt.cover))
    }

    fn size_max(&self) -> usize {
        let delivery = match &self.delivery {
            Delivery::Hosted { delivered, .. } => 8 + delivered.len() + COVER_BYTES_MAX,
            Delivery::Own(dealt) => {
                4 + dealt.iter().map(|dealt| 8 + dealt.dealing.len() + COVER_BYTES_MAX).sum::<usize>()
            }
        };
        32 + 8 + 4 + self.opened.len() + 1 + delivery
    }

    fn write(&self, out: &mut Writer) {
        out.raw(&self.account).u32(self.first).u32(self.last).bytes(&self.opened);
        match &self.delivery {
            Delivery::Hosted { delivered, cover } => {
                out.u8(1).bytes(delivered);
                write_cover(out, cover);
            }
            Delivery::Own(dealt) => {
                out.u8(2).count(dealt.len());
                for dealt in dealt {
                    out.bytes(&dealt.dealing);
                    write_cover(out, &dealt.cover);
                }
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, GrantFileError> {
        let (account, first, last) =
            (reader.array("account")?, reader.u32("first epoch")?, reader.u32("last epoch")?);
        if first > last {
            return Err(DecodeError::Invalid { what: "epochs", why: "end before they begin" }.into());
        }
        let opened = receipt(reader, "opening receipt")?;
        let delivery = match reader.u8("delivery")? {
            1 => {
                let delivered = receipt(reader, "delivery receipt")?;
                Delivery::Hosted { delivered, cover: read_cover(reader, |epochs| epochs == (first, last))? }
            }
            2 => Delivery::Own(read_dealt(reader, (first, last))?),
            code => return Err(DecodeError::UnknownCode { what: "delivery", code: u64::from(code) }.into()),
        };
        Ok(Self { account, first, last, opened, delivery })
    }
}

/// Dealings within a run, ascending and apart.
fn read_dealt(reader: &mut Reader<'_>, within: (u32, u32)) -> Result<Vec<Dealt>, GrantFileError> {
    let mut all: Vec<Dealt> = Vec::new();
    for _ in 0..reader.count("dealings", COVERS_MAX)? {
        let dealing = reader.bytes("dealing", DEALING_BYTES_MAX)?.to_vec();
        let after = all.last().map(|before| *before.cover.epochs().end());
        let fits = |(first, last): (u32, u32)| {
            first >= within.0 && last <= within.1 && after.is_none_or(|after| first > after)
        };
        all.push(Dealt { dealing, cover: read_cover(reader, fits)? });
    }
    // Keepers that hold nothing of a run open none.
    if all.is_empty() {
        return Err(DecodeError::Invalid { what: "dealings", why: "are none" }.into());
    }
    Ok(all)
}

fn write_cover(out: &mut Writer, cover: &ViewingCover) {
    cover.encode().expose(|bytes| {
        out.bytes(bytes);
    });
}

fn read_cover(
    reader: &mut Reader<'_>,
    fits: impl Fn((u32, u32)) -> bool,
) -> Result<ViewingCover, GrantFileError> {
    let bytes = reader.bytes("viewing cover", COVER_BYTES_MAX)?;
    let cover = ViewingCover::decode(bytes).map_err(GrantFileError::Cover)?;
    let (first, last) = (*cover.epochs().start(), *cover.epochs().end());
    if fits((first, last)) { Ok(cover) } else { Err(GrantFileError::CoverEpochs { first, last }) }
}

fn receipt(reader: &mut Reader<'_>, what: &'static str) -> Result<Vec<u8>, DecodeError> {
    reader.bytes(what, RECEIPT_BYTES_MAX).map(<[u8]>::to_vec)
}

fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    let text = std::str::from_utf8(bytes).ok();
    text.map(str::to_owned).ok_or(DecodeError::Invalid { what: "purpose", why: "is not UTF-8" })
}

const fn not_ascending(what: &'static str) -> DecodeError {
    DecodeError::Invalid { what, why: "are not strictly ascending" }
}

/// `SHA-256(u8 21 || "keyward/grant-file/v1" || all bytes before)`: notices damage, and is no signature.
fn check(body: &[u8]) -> [u8; CHECK_BYTES] {
    Sha256::new().chain_update(CHECK_LABEL).chain_update(body).finalize().into()
}
