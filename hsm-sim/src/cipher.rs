//! AES in its modes (NIST SP 800-38A and 38D), fed piece by piece.

use aes::cipher::array::Array;
use aes::cipher::consts::U16;
use aes::cipher::{
    BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit,
    StreamCipher,
};
use aes::{Aes128, Aes192, Aes256};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::error::Refusal;

/// The block of AES, in bytes.
pub(crate) const BLOCK_BYTES: usize = 16;
/// Tags of AES-GCM that SP 800-38D allows for any use, in bytes; the two short ones are left out.
pub(crate) const TAG_BYTES: std::ops::RangeInclusive<usize> = 12..=16;

type Block = Array<u8, U16>;
/// One block, changed in place.
pub(crate) type BlockStep = Box<dyn FnMut(&mut Block) + Send>;
/// A key stream, added to what it is given.
type Stream = Box<dyn FnMut(&mut [u8]) -> Result<(), Refusal> + Send>;

/// Runs code with the AES of a key's size.
macro_rules! with_aes {
    ($key:expr, $type:ident => $run:expr) => {
        match $key.len() {
            16 => {
                type $type = Aes128;
                $run
            }
            24 => {
                type $type = Aes192;
                $run
            }
            32 => {
                type $type = Aes256;
                $run
            }
            _ => Err(Refusal::KeySize),
        }
    };
}

/// Block by block, without chaining.
pub(crate) fn ecb(key: &[u8], encrypts: bool) -> Result<BlockStep, Refusal> {
    with_aes!(key, Aes => {
        let cipher = Aes::new_from_slice(key).or(Err(Refusal::KeySize))?;
        Ok(match encrypts {
            true => Box::new(move |block: &mut Block| cipher.encrypt_block(block)),
            false => Box::new(move |block: &mut Block| cipher.decrypt_block(block)),
        })
    })
}

/// Cipher block chaining from `iv`.
pub(crate) fn cbc(key: &[u8], iv: &[u8; BLOCK_BYTES], encrypts: bool) -> Result<BlockStep, Refusal> {
    with_aes!(key, Aes => Ok(match encrypts {
        true => {
            let mut mode = cbc::Encryptor::<Aes>::new_from_slices(key, iv).or(Err(Refusal::KeySize))?;
            Box::new(move |block: &mut Block| mode.encrypt_block(block))
        }
        false => {
            let mut mode = cbc::Decryptor::<Aes>::new_from_slices(key, iv).or(Err(Refusal::KeySize))?;
            Box::new(move |block: &mut Block| mode.decrypt_block(block))
        }
    }))
}

/// Whole blocks through a step; `data` is a multiple of the block.
pub(crate) fn run_blocks(step: &mut BlockStep, data: &mut [u8]) {
    for chunk in data.chunks_exact_mut(BLOCK_BYTES) {
        let mut block = Block::default();
        block.copy_from_slice(chunk);
        step(&mut block);
        chunk.copy_from_slice(&block);
        block.zeroize();
    }
}

/// A counter mode whose counter is the lowest bits of the block and never starts over.
pub(crate) struct Counter {
    stream: Stream,
    left: u128,
}

impl Counter {
    /// `bits` is the width of the counter, 1 to 128.
    pub(crate) fn new(key: &[u8], block: [u8; BLOCK_BYTES], bits: u32) -> Result<Self, Refusal> {
        let start = u128::from_be_bytes(block);
        let left = match bits {
            1..=127 => {
                let blocks = (1_u128 << bits) - (start & ((1_u128 << bits) - 1));
                blocks.saturating_mul(BLOCK_BYTES as u128)
            }
            128 => u128::MAX,
            _ => return Err(Refusal::MechanismParameter),
        };
        let stream: Stream = with_aes!(key, Aes => {
            let made = ctr::Ctr128BE::<Aes>::new_from_slices(key, &block).or(Err(Refusal::KeySize))?;
            Ok(stream(made))
        })?;
        Ok(Self { stream, left })
    }

    pub(crate) fn apply(&mut self, data: &mut [u8]) -> Result<(), Refusal> {
        self.left = self.left.checked_sub(data.len() as u128).ok_or(Refusal::DataLength)?;
        (self.stream)(data)
    }
}

fn stream<C: StreamCipher + Send + 'static>(mut cipher: C) -> Stream {
    Box::new(move |data: &mut [u8]| cipher.try_apply_keystream(data).or(Err(Refusal::DataLength)))
}

/// AES-GCM with a nonce of any length (SP 800-38D, section 7), on the crates' AES, counter and GHASH.
pub(crate) struct Gcm {
    stream: Stream,
    hash: GHash,
    mask: Zeroizing<[u8; BLOCK_BYTES]>,
    partial: Zeroizing<Vec<u8>>,
    aad_bytes: u64,
    text_bytes: u64,
}

impl Gcm {
    pub(crate) fn new(key: &[u8], nonce: &[u8], aad: &[u8]) -> Result<Self, Refusal> {
        let mut subkey = Zeroizing::new([0; BLOCK_BYTES]);
        run_blocks(&mut ecb(key, true)?, subkey.as_mut_slice());
        let hash = GHash::new_from_slice(subkey.as_slice()).or(Err(Refusal::KeySize))?;
        let first = first_counter(hash.clone(), nonce);
        let mut stream: Stream = with_aes!(key, Aes => {
            let made = ctr::Ctr32BE::<Aes>::new_from_slices(key, &first).or(Err(Refusal::KeySize))?;
            Ok(stream(made))
        })?;
        // The first block of the key stream hides the tag, the rest the text.
        let mut mask = Zeroizing::new([0; BLOCK_BYTES]);
        stream(mask.as_mut_slice())?;
        let mut hash = hash;
        hash.update_padded(aad);
        Ok(Self {
            stream,
            hash,
            mask,
            partial: Zeroizing::default(),
            aad_bytes: aad.len() as u64,
            text_bytes: 0,
        })
    }

    /// Encrypts in place.
    pub(crate) fn seal(&mut self, data: &mut [u8]) -> Result<(), Refusal> {
        (self.stream)(data)?;
        self.take_up(data);
        Ok(())
    }

    /// Decrypts in place, if the tag is right.
    pub(crate) fn open(mut self, data: &mut [u8], tag: &[u8]) -> Result<(), Refusal> {
        self.take_up(data);
        let mut stream = std::mem::replace(&mut self.stream, Box::new(|_| Ok(())));
        let own = self.tag();
        let same = own.get(..tag.len()).is_some_and(|own| own.ct_eq(tag).into());
        if same { stream(data) } else { Err(Refusal::CiphertextInvalid) }
    }

    /// The whole tag; a shorter one is its beginning.
    pub(crate) fn tag(mut self) -> [u8; BLOCK_BYTES] {
        let rest = std::mem::take(&mut self.partial);
        self.hash.update_padded(&rest);
        let mut lengths = [0; BLOCK_BYTES];
        let (aad, text) = lengths.split_at_mut(8);
        aad.copy_from_slice(&(self.aad_bytes * 8).to_be_bytes());
        text.copy_from_slice(&(self.text_bytes * 8).to_be_bytes());
        self.hash.update_padded(&lengths);
        let mut tag = [0; BLOCK_BYTES];
        tag.copy_from_slice(&self.hash.finalize());
        tag.iter_mut().zip(self.mask.iter()).for_each(|(tag, mask)| *tag ^= mask);
        tag
    }

    fn take_up(&mut self, ciphertext: &[u8]) {
        self.text_bytes += ciphertext.len() as u64;
        self.partial.extend_from_slice(ciphertext);
        let whole = self.partial.len() / BLOCK_BYTES * BLOCK_BYTES;
        let rest = self.partial.split_off(whole);
        self.hash.update_padded(&self.partial);
        self.partial = Zeroizing::new(rest);
    }
}

/// J_0 of SP 800-38D, section 7.1, step 2.
fn first_counter(mut hash: GHash, nonce: &[u8]) -> [u8; BLOCK_BYTES] {
    let mut first = [0; BLOCK_BYTES];
    if nonce.len() == 12 {
        let (head, tail) = first.split_at_mut(12);
        head.copy_from_slice(nonce);
        tail.copy_from_slice(&1_u32.to_be_bytes());
        return first;
    }
    hash.update_padded(nonce);
    let lengths = (nonce.len() as u128 * 8).to_be_bytes();
    hash.update_padded(&lengths);
    first.copy_from_slice(&hash.finalize());
    first
}

/// Adds the padding of PKCS #7 (RFC 5652, section 6.3).
pub(crate) fn pad(data: &mut Vec<u8>) {
    let missing = BLOCK_BYTES - data.len() % BLOCK_BYTES;
    data.extend(std::iter::repeat_n(missing as u8, missing));
}

/// How many bytes remain without the padding; all padding bytes are looked at whatever they hold.
pub(crate) fn unpadded(block: &[u8]) -> Result<usize, Refusal> {
    let missing = usize::from(*block.last().ok_or(Refusal::CiphertextLength)?);
    let mut wrong = u8::from(missing == 0 || missing > BLOCK_BYTES);
    for (place, byte) in block.iter().rev().take(BLOCK_BYTES).enumerate() {
        let is_padding = u8::from(place < missing);
        wrong |= is_padding * u8::from(usize::from(*byte) != missing);
    }
    match wrong {
        0 => block.len().checked_sub(missing).ok_or(Refusal::CiphertextInvalid),
        _ => Err(Refusal::CiphertextInvalid),
    }
}

/// AES key wrap (RFC 3394), or with padding (RFC 5649).
pub(crate) fn wrap(key: &[u8], padded: bool, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let mut wrapped = Zeroizing::new(vec![0; secret.len().next_multiple_of(8) + 8]);
    with_aes!(key, Aes => match padded {
        true => done(aes_kw::AesKwp::<Aes>::new_from_slice(key).or(Err(Refusal::KeySize))?
            .wrap_key(secret, &mut wrapped), Refusal::KeySize),
        false => done(aes_kw::AesKw::<Aes>::new_from_slice(key).or(Err(Refusal::KeySize))?
            .wrap_key(secret, &mut wrapped), Refusal::KeySize),
    })?;
    Ok(wrapped)
}

/// The opposite of [`wrap`].
pub(crate) fn unwrap(key: &[u8], padded: bool, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let mut room = Zeroizing::new(vec![0; wrapped.len()]);
    let bytes = with_aes!(key, Aes => match padded {
        true => done(aes_kw::AesKwp::<Aes>::new_from_slice(key).or(Err(Refusal::KeySize))?
            .unwrap_key(wrapped, &mut room), Refusal::WrappedKeyInvalid),
        false => done(aes_kw::AesKw::<Aes>::new_from_slice(key).or(Err(Refusal::KeySize))?
            .unwrap_key(wrapped, &mut room), Refusal::WrappedKeyInvalid),
    })?;
    room.truncate(bytes);
    Ok(room)
}

fn done(outcome: Result<&[u8], aes_kw::Error>, refusal: Refusal) -> Result<usize, Refusal> {
    outcome.map(<[u8]>::len).or(Err(refusal))
}
