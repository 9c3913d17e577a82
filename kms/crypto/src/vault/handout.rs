//! What a keeper hands out when shares are dealt anew or repaired: commitments for everybody to see, and a sealed piece
//! for each receiver. Both are signed together, so that whoever carries them can put nothing in their place.

use opaque_ke::rand::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};

use keyward_domain::scheme::{PublicKey, Scheme, verify};

use super::facts::VaultKeeper;
use super::group::ELEMENT_BYTES;
use super::parts::{MESSAGE_BYTES_MAX, Parts};
use super::sharing::KEEPERS_MAX;
use crate::hpke_box::{self, BoxError, BoxKey};
use crate::labels;

const VERSION: u8 = 1;
const SIGNATURE_BYTES: usize = 64;

/// What a keeper hands out in one run and everybody may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handout {
    /// The keeper's index in the vault as it is.
    pub from: u8,
    /// Commitments on G: to the coefficients of a dealer, to the summands of a helper.
    pub evaluation: Vec<[u8; ELEMENT_BYTES]>,
    /// Commitments on G and H, as many.
    pub mask: Vec<[u8; ELEMENT_BYTES]>,
    /// SHA-256 of each sealed piece, in the order of the receivers.
    pub pieces: Vec<[u8; 32]>,
    /// The keeper's signature.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Handout {
    /// `version u8 (1) || from u8 || t u8 || t * evaluation[32] || t * mask[32] || count u8 || count * hash[32] ||
    /// signature[64]`.
    pub fn encode(&self) -> Vec<u8> {
        [&self.body()[..], &self.signature].concat()
    }

    /// Reads exactly one; at most 16 of each.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[from, commitments], rest) = bytes.strip_prefix(&[VERSION])?.split_first_chunk()?;
        let (evaluation, rest) = read(rest, commitments)?;
        let (mask, rest) = read(rest, commitments)?;
        let (&count, rest) = rest.split_first()?;
        let (pieces, rest) = read(rest, count)?;
        Some(Self { from, evaluation, mask, pieces, signature: rest.try_into().ok()? })
    }

    fn body(&self) -> Vec<u8> {
        // INVARIANT: more than KEEPERS_MAX of anything are neither made nor read nor accepted.
        let count = |list: &[[u8; 32]]| u8::try_from(list.len()).unwrap_or(u8::MAX);
        let head = [VERSION, self.from, count(&self.evaluation)];
        let (evaluation, mask) = (self.evaluation.concat(), self.mask.concat());
        [&head[..], &evaluation, &mask, &[count(&self.pieces)], &self.pieces.concat()].concat()
    }

    /// `label || run[32] || body`.
    pub(crate) fn statement(&self, run: &[u8; 32]) -> Vec<u8> {
        [&labels::tagged(labels::VAULT_HANDOUT)[..], run, &self.body()].concat()
    }

    /// Whether this keeper signed it for this run, with exactly so many commitments and pieces.
    pub(crate) fn is_of(
        &self,
        run: &[u8; 32],
        keeper: &VaultKeeper,
        [commitments, pieces]: [usize; 2],
    ) -> bool {
        let fits = self.evaluation.len() == commitments
            && self.mask.len() == commitments
            && self.pieces.len() == pieces;
        fits && signed(keeper, &self.statement(run), &self.signature)
    }
}

/// Reads a list of 32-byte values.
fn read(bytes: &[u8], count: u8) -> Option<(Vec<[u8; 32]>, &[u8])> {
    if count > KEEPERS_MAX {
        return None;
    }
    let (list, rest) = bytes.split_at_checked(32 * usize::from(count))?;
    let (list, _) = list.as_chunks();
    Some((list.to_vec(), rest))
}

/// Whether a keeper has signed something with its Ed25519 key.
pub(crate) fn signed(keeper: &VaultKeeper, statement: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
    PublicKey::parse(Scheme::Ed25519, &keeper.signing_key)
        .is_ok_and(|key| verify(&key, statement, signature).is_ok())
}

/// What a keeper hands out, whole: nothing of it is open, so it may be kept and handed out again as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dealing {
    /// What everybody sees.
    pub handout: Handout,
    /// One sealed piece per receiver, in their order.
    pub pieces: Vec<Vec<u8>>,
}

impl Dealing {
    /// Seals a piece to each receiver and signs the whole.
    pub(crate) fn new<'a>(
        run: &[u8; 32],
        mut handout: Handout,
        pieces: impl Iterator<Item = (u8, &'a VaultKeeper, Parts)>,
        ciphertext: &[u8],
        sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, (u8, BoxError)> {
        let mut sealed = Vec::new();
        for (to, keeper, parts) in pieces {
            let piece =
                seal(run, [handout.from, to], &keeper.sealing_key, &parts.message(ciphertext), random);
            sealed.push(piece.map_err(|source| (to, source))?);
        }
        handout.pieces = sealed.iter().map(|piece| Sha256::digest(piece).into()).collect();
        handout.signature = sign(&handout.statement(run));
        Ok(Self { handout, pieces: sealed })
    }

    /// `u16 length of the handout || handout || (u32 length || piece)*`.
    pub fn encode(&self) -> Vec<u8> {
        let handout = self.handout.encode();
        // INVARIANT: a handout has at most 1,604 bytes, a piece far less than 4 GiB.
        let mut out = u16::try_from(handout.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
        out.extend_from_slice(&handout);
        for piece in &self.pieces {
            out.extend_from_slice(&u32::try_from(piece.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(piece);
        }
        out
    }

    /// Reads exactly one, with as many pieces as its handout names, each of them the named one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (handout, mut rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let handout = Handout::decode(handout)?;
        let mut pieces = Vec::with_capacity(handout.pieces.len());
        for hash in &handout.pieces {
            let (length, after) = rest.split_first_chunk()?;
            let (piece, after) = after.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)?;
            if Sha256::digest(piece)[..] != hash[..] {
                return None;
            }
            pieces.push(piece.to_vec());
            rest = after;
        }
        rest.is_empty().then_some(Self { handout, pieces })
    }
}

/// HPKE `info` of a piece: `label || run[32] || from u8 || to u8`.
fn info(run: &[u8; 32], [from, to]: [u8; 2]) -> Vec<u8> {
    [&labels::tagged(labels::VAULT_PIECE)[..], run, &[from, to]].concat()
}

pub(crate) fn seal(
    run: &[u8; 32],
    way: [u8; 2],
    sealing_key: &[u8; 32],
    message: &[u8],
    random: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<u8>, BoxError> {
    hpke_box::seal(sealing_key, &info(run, way), message, random)
}

/// Why a sealed piece is none. Whoever signed its hash is to blame, unless it was changed on its way.
#[derive(Debug)]
pub(crate) enum PieceError {
    /// Not the bytes that the sender signed: the work of whoever carried it.
    Changed,
    /// The very bytes that the sender signed, and they do not open.
    Unreadable(BoxError),
    /// They open, and are none.
    Malformed,
}

/// Opens the piece whose hash the sender signed.
pub(crate) fn open(
    run: &[u8; 32],
    way: [u8; 2],
    key: &BoxKey,
    hash: &[u8; 32],
    sealed: &[u8],
) -> Result<(Parts, Vec<u8>), PieceError> {
    if Sha256::digest(sealed)[..] != hash[..] {
        return Err(PieceError::Changed);
    }
    let plain = key.open(&info(run, way), sealed, MESSAGE_BYTES_MAX).map_err(PieceError::Unreadable)?;
    plain.expose(Parts::parse).ok_or(PieceError::Malformed)
}
