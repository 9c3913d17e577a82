//! What keepers of one vault say to each other, and how one knows who said it: `SPEC.md`, "Words".

use keyward_ledger_core::{
    codec::{DecodeError, Reader, Writer},
    ed25519::{self, SigningKey},
    entry::RuleName,
    hash::Hash,
};

const VERSION: u8 = 1;
const LABEL: &[u8] = b"\x16keyward/keeper-word/v1";
const PROMISE_LABEL: &[u8] = b"\x19keyward/keeper-promise/v1";
/// The most keepers of a vault.
const KEEPERS_MAX: usize = 16;
/// The longest refresh: sixteen keepers and twice as many points.
const REFRESH_BYTES_MAX: usize = 2 * 1024;
/// The longest handout, and the longest sealed piece: a ciphertext and some.
const HANDOUT_BYTES_MAX: usize = 4 * 1024;
const PIECE_BYTES_MAX: usize = 20 * 1024;

/// What is asked of a keeper, about the shares that a vault has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) vault: RuleName,
    /// The hash of the sealing or refresh that dealt the present shares.
    pub(crate) shares: Hash,
    /// Who deals, or who helps: indices, ascending.
    pub(crate) chosen: Vec<u8>,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Deal new shares to these keepers.
    Deal { to: Vec<Hash> },
    /// Take a new share, and promise to acknowledge it.
    Take { to: Vec<Hash>, expires_ms: u64, handed: Handed },
    /// Acknowledge the new share: every keeper has promised to.
    Acknowledge { refresh: Vec<u8>, promises: Vec<[u8; 64]> },
    /// Split your share for one that was lost, which its keeper has asked for.
    Split { lost: Lost, request: [u8; 64] },
    /// Add up what the helpers gave you.
    Add { lost: Lost, handed: Handed },
}

/// A lost share, and the name of the run that repairs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) index: u8,
    pub(crate) nonce: [u8; 32],
}

/// What those chosen have handed out, and the pieces of it that are for the one who is asked, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) handouts: Vec<Vec<u8>>,
    pub(crate) pieces: Vec<Vec<u8>>,
}

impl Word {
    /// `1 u8 || account[32] || vault id[32] || shares hash[32] || list(16) of index u8 || kind u8 || ...`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(1024);
        out.u8(VERSION).raw(&self.vault.owner).raw(&self.vault.name).raw(&self.shares);
        out.count(self.chosen.len()).raw(&self.chosen);
        match &self.what {
            What::Deal { to } => write_list(out.u8(1), to),
            What::Take { to, expires_ms, handed } => {
                write_list(out.u8(2), to);
                handed.write(out.u64(*expires_ms));
            }
            What::Acknowledge { refresh, promises } => write_list(out.u8(3).bytes(refresh), promises),
            What::Split { lost, request } => {
                lost.write(out.u8(4)).raw(request);
            }
            What::Add { lost, handed } => handed.write(lost.write(out.u8(5))),
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("word version", VERSION)?;
        let vault = RuleName { owner: reader.array("account")?, name: reader.array("vault id")? };
        let shares = reader.array("shares hash")?;
        let chosen = reader.list("chosen", KEEPERS_MAX, |reader| reader.u8("index"))?;
        let what = match reader.u8("kind")? {
            1 => What::Deal { to: read_list(&mut reader, "keepers")? },
            2 => What::Take {
                to: read_list(&mut reader, "keepers")?,
                expires_ms: reader.u64("end")?,
                handed: Handed::read(&mut reader)?,
            },
            3 => What::Acknowledge {
                refresh: reader.bytes("refresh", REFRESH_BYTES_MAX)?.to_vec(),
                promises: read_list(&mut reader, "promises")?,
            },
            4 => What::Split { lost: Lost::read(&mut reader)?, request: reader.array("request")? },
            5 => What::Add { lost: Lost::read(&mut reader)?, handed: Handed::read(&mut reader)? },
            code => return Err(DecodeError::UnknownCode { what: "kind of word", code: u64::from(code) }),
        };
        reader.finish("word")?;
        Ok(Self { vault, shares, chosen, what })
    }
}

fn write_list<const N: usize>(out: &mut Writer, list: &[[u8; N]]) {
    out.count(list.len());
    for item in list {
        out.raw(item);
    }
}

fn read_list<const N: usize>(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<Vec<[u8; N]>, DecodeError> {
    reader.list(what, KEEPERS_MAX, |reader| reader.array(what))
}

impl Lost {
    fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.u8(self.index).raw(&self.nonce)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { index: reader.u8("lost")?, nonce: reader.array("nonce")? })
    }
}

impl Handed {
    fn write(&self, out: &mut Writer) {
        for list in [&self.handouts, &self.pieces] {
            out.count(list.len());
            for item in list {
                out.bytes(item);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut list =
            |what, max| reader.list(what, KEEPERS_MAX, |reader| reader.bytes(what, max).map(<[u8]>::to_vec));
        Ok(Self { handouts: list("handouts", HANDOUT_BYTES_MAX)?, pieces: list("pieces", PIECE_BYTES_MAX)? })
    }
}

/// A word, and who says it when: its signature is good for one keeper, for a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The id of the keeper that says it.
    pub from: Hash,
    /// Its clock, in milliseconds since 1970.
    pub time_ms: u64,
    /// The word.
    pub word: Vec<u8>,
    /// The keeper's signature.
    pub signature: [u8; 64],
}

impl Said {
    pub(crate) fn new(
        key: &SigningKey,
        chain_id: &Hash,
        [from, to]: [&Hash; 2],
        time_ms: u64,
        word: Vec<u8>,
    ) -> Self {
        let signature = key.sign(&statement(chain_id, [from, to], time_ms, &word));
        Self { from: *from, time_ms, word, signature }
    }

    /// Whether the key of the keeper that it is from has signed it for `to`.
    pub(crate) fn is_signed(&self, key: &[u8; 32], chain_id: &Hash, to: &Hash) -> bool {
        let statement = statement(chain_id, [&self.from, to], self.time_ms, &self.word);
        ed25519::verify(key, &statement, &self.signature).is_ok()
    }
}

/// `u8 22 || "keyward/keeper-word/v1" || chain id[32] || from[32] || to[32] || time u64 || word`.
fn statement(chain_id: &Hash, [from, to]: [&Hash; 2], time_ms: u64, word: &[u8]) -> Vec<u8> {
    [LABEL, chain_id, from, to, &time_ms.to_be_bytes(), word].concat()
}

/// What a keeper signs that has kept a new share and will acknowledge it once every other one has signed the same: `u8 25
/// || "keyward/keeper-promise/v1" || chain id[32] || refresh hash[32] || index u8`.
pub(crate) fn promise_message(chain_id: &Hash, refresh: &Hash, index: u8) -> Vec<u8> {
    [PROMISE_LABEL, chain_id, refresh, &[index]].concat()
}

/// What is answered where the fault may be another keeper's: what was asked for, or who is complained of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `u8 1 || ...`.
    Done(Vec<u8>),
    /// `u8 2 || index u8`: what that keeper dealt or split does not hold.
    Complaint(u8),
}

impl Reply {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Done(what) => [&[1], &what[..]].concat(),
            Self::Complaint(index) => vec![2, *index],
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [1, what @ ..] => Some(Self::Done(what.to_vec())),
            [2, index] => Some(Self::Complaint(*index)),
            _ => None,
        }
    }
}
