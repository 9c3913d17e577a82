//! A finalization certificate as our own type, and its fixed encoding for stores.
//!
//! It is proof enough for anybody who knows the chain's namespace and the epoch's validators; verifying
//! it is the business of the verifier, which rebuilds the signed message from these fields.
use thiserror::Error;

/// The greatest number of validators a certificate may name.
pub const SIGNERS_MAX: u32 = 1024;

/// `epoch || view || parent_view || digest || set_size || count`.
const FIXED_BYTES: usize = 8 + 8 + 8 + 32 + 4 + 4;
/// `index || signature`.
const SIGNER_BYTES: usize = 4 + 64;

/// A quorum of signatures over one finalized proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Epoch of the vote.
    pub epoch: u64,
    /// View of the vote, counted from 1 in each epoch.
    pub view: u64,
    /// View whose proposal this one builds on; 0 is the epoch's first block's parent.
    pub parent_view: u64,
    /// Digest of the finalized block.
    pub digest: [u8; 32],
    /// Number of validators in the epoch's set.
    pub set_size: u32,
    /// Index into the sorted validator set and the 64-byte Ed25519 signature, in ascending order.
    pub signers: Vec<(u32, [u8; 64])>,
}

/// Why bytes are not a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The bytes end early or go on too long.
    #[error("certificate has `{found}` bytes, expected `{expected}`")]
    Length {
        /// Bytes the counts call for.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// A count is above its bound.
    #[error("certificate names `{count}` signers of `{set_size}`")]
    Count {
        /// Signers named.
        count: u32,
        /// Size of the set named.
        set_size: u32,
    },
    /// Signers are not strictly ascending inside the set.
    #[error("certificate signers are not in ascending order below `{set_size}`")]
    Order {
        /// Size of the set named.
        set_size: u32,
    },
}

impl Certificate {
    /// The fixed encoding: `epoch u64 || view u64 || parent_view u64 || digest[32] || set_size u32 ||
    /// count u32 || (index u32 || signature[64])...`, integers big-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_BYTES + self.signers.len() * SIGNER_BYTES);
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.view.to_be_bytes());
        out.extend_from_slice(&self.parent_view.to_be_bytes());
        out.extend_from_slice(&self.digest);
        out.extend_from_slice(&self.set_size.to_be_bytes());
        let count = u32::try_from(self.signers.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for (index, signature) in &self.signers {
            out.extend_from_slice(&index.to_be_bytes());
            out.extend_from_slice(signature);
        }
        out
    }

    /// Reads the fixed encoding; refuses trailing bytes, unsorted signers and counts over their bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, CertificateError> {
        let short = CertificateError::Length { expected: FIXED_BYTES, found: bytes.len() };
        let (fixed, rest) = bytes.split_first_chunk::<FIXED_BYTES>().ok_or(short)?;
        let mut fields = Fields(fixed);
        let (epoch, view, parent_view) = (fields.u64(), fields.u64(), fields.u64());
        let digest = fields.take::<32>();
        let (set_size, count) = (fields.u32(), fields.u32());
        if set_size > SIGNERS_MAX || count > set_size {
            return Err(CertificateError::Count { count, set_size });
        }
        let expected = FIXED_BYTES + count as usize * SIGNER_BYTES;
        if bytes.len() != expected {
            return Err(CertificateError::Length { expected, found: bytes.len() });
        }
        let signers = decode_signers(rest, set_size)?;
        Ok(Self { epoch, view, parent_view, digest, set_size, signers })
    }
}

fn decode_signers(bytes: &[u8], set_size: u32) -> Result<Vec<(u32, [u8; 64])>, CertificateError> {
    let mut signers: Vec<(u32, [u8; 64])> = Vec::with_capacity(bytes.len() / SIGNER_BYTES);
    for chunk in bytes.chunks_exact(SIGNER_BYTES) {
        let mut fields = Fields(chunk);
        let (index, signature) = (fields.u32(), fields.take::<64>());
        if index >= set_size || signers.last().is_some_and(|(last, _)| *last >= index) {
            return Err(CertificateError::Order { set_size });
        }
        signers.push((index, signature));
    }
    Ok(signers)
}

/// Takes fixed fields off a slice whose length was checked; past the end it yields zeroes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.0 = rest;
                *head
            }
            None => [0; N],
        }
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Certificate {
        Certificate {
            epoch: 1,
            view: 7,
            parent_view: 6,
            digest: [9; 32],
            set_size: 4,
            signers: vec![(0, [1; 64]), (2, [2; 64]), (3, [3; 64])],
        }
    }

    #[test]
    fn encoding_reads_back() {
        let certificate = sample();
        assert_eq!(Certificate::decode(&certificate.encode()), Ok(certificate));
    }

    #[test]
    fn every_other_length_is_refused() {
        let bytes = sample().encode();
        for cut in 0..bytes.len() {
            assert!(Certificate::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut long = bytes;
        long.push(0);
        assert!(Certificate::decode(&long).is_err());
    }

    #[test]
    fn unsorted_duplicate_and_strange_signers_are_refused() {
        for signers in
            [vec![(2, [1; 64]), (0, [1; 64])], vec![(1, [1; 64]), (1, [1; 64])], vec![(4, [1; 64])]]
        {
            let certificate = Certificate { signers, ..sample() };
            assert_eq!(
                Certificate::decode(&certificate.encode()),
                Err(CertificateError::Order { set_size: 4 })
            );
        }
    }
}
