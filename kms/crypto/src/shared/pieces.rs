//! Scalars on their way from holder to holder, sealed and bound to their run; and the parts of bodies.

use opaque_ke::rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::errors::RunError;
use super::roster::Roster;
use super::suite::{Element, Secret};
use crate::hpke_box::{self, BoxKey, OVERHEAD_BYTES};
use crate::labels;
use crate::secret::SecretBytes;

const VERSION: u8 = 1;

/// On which way a piece is.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) run: &'a [u8; 32],
    /// What the piece answers; zeros where nothing came before.
    pub(crate) transcript: &'a [u8; 32],
    pub(crate) from: u8,
    pub(crate) to: u8,
}

impl Way<'_> {
    /// HPKE `info`: `label || run[32] || transcript[32] || from u8 || to u8`.
    fn info(&self) -> Vec<u8> {
        [&labels::tagged(labels::SHARED_PIECE)[..], self.run, self.transcript, &[self.from, self.to]].concat()
    }
}

/// Seals `version u8 (1) || scalar[32]*` to a holder.
pub(crate) fn seal<'a>(
    way: Way<'_>,
    roster: &Roster,
    scalars: impl Iterator<Item = &'a Secret>,
    random: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<u8>, RunError> {
    let scalars: Vec<&Secret> = scalars.collect();
    let mut plain = Zeroizing::new(Vec::with_capacity(1 + 32 * scalars.len()));
    plain.push(VERSION);
    scalars.iter().for_each(|scalar| plain.extend_from_slice(scalar.as_slice()));
    seal_bytes(way, roster, &plain, random)
}

/// Seals bytes, which begin with their version, to a holder.
pub(crate) fn seal_bytes(
    way: Way<'_>,
    roster: &Roster,
    plain: &[u8],
    random: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<u8>, RunError> {
    let place = way.to;
    let holder = roster.at(place).ok_or(RunError::NotAHolder { place })?;
    hpke_box::seal(&holder.sealing_key, &way.info(), plain, random)
        .map_err(|source| RunError::Seal { place, source })
}

/// Opens exactly so many scalars.
pub(crate) fn open(way: Way<'_>, key: &BoxKey, sealed: &[u8], count: usize) -> Option<Vec<Secret>> {
    let plain = open_bytes(way, key, sealed, plain_bytes(count))?;
    plain.expose(|plain| {
        let (scalars, behind) = plain.strip_prefix(&[VERSION])?.as_chunks::<32>();
        let fits = behind.is_empty() && scalars.len() == count;
        fits.then(|| scalars.iter().copied().map(Zeroizing::new).collect())
    })
}

/// Opens at most so many bytes.
pub(crate) fn open_bytes(way: Way<'_>, key: &BoxKey, sealed: &[u8], plain_max: usize) -> Option<SecretBytes> {
    key.open(&way.info(), sealed, plain_max).ok()
}

const fn plain_bytes(count: usize) -> usize {
    1 + 32 * count
}

/// How long so many scalars are when they are sealed.
pub(crate) const fn sealed_bytes(count: usize) -> usize {
    plain_bytes(count) + OVERHEAD_BYTES
}

/// Reads so many elements of one length; what stands behind them comes back. The library decodes them later.
pub(crate) fn elements(bytes: &[u8], count: usize, size: usize) -> Option<(Vec<Element>, &[u8])> {
    let (list, rest) = bytes.split_at_checked(count.checked_mul(size)?)?;
    Some((list.chunks_exact(size).map(<[u8]>::to_vec).collect(), rest))
}
