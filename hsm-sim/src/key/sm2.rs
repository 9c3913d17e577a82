//! What SM2 hashes before a message: the signer's identifier, the curve and the public key (GM/T 0003.2, section
//! 5.5; draft-shen-sm2-ecdsa-02, section 5.1.4.4).

use crate::error::Refusal;
use crate::hash::{Hash, Hashed};

/// The identifier when the mechanism has no parameter (GM/T 0009, section 10).
pub(crate) const DEFAULT_ID: &[u8] = b"1234567812345678";
/// The longest identifier, in bytes: its length in bits is written in two bytes.
pub(crate) const ID_BYTES_MAX: usize = 8191;

/// a, b, x and y of the generator, each of 32 bytes (GM/T 0003.5), in halves.
const CURVE: [u128; 8] = [
    0xffff_fffe_ffff_ffff_ffff_ffff_ffff_ffff,
    0xffff_ffff_0000_0000_ffff_ffff_ffff_fffc,
    0x28e9_fa9e_9d9f_5e34_4d5a_9e4b_cf65_09a7,
    0xf397_89f5_15ab_8f92_ddbc_bd41_4d94_0e93,
    0x32c4_ae2c_1f19_8119_5f99_0446_6a39_c994,
    0x8fe3_0bbf_f266_0be1_715a_4589_334c_74c7,
    0xbc37_36a2_f4f6_779c_59bd_cee3_6b69_2153,
    0xd0a9_877c_c62a_4740_02df_32e5_2139_f0a0,
];

/// SM3 under way with `Z` taken up: what comes next is the message. `point` is the uncompressed public key.
pub(crate) fn begin(id: &[u8], point: &[u8]) -> Result<Hashed, Refusal> {
    let bits = u16::try_from(id.len() * 8).or(Err(Refusal::MechanismParameter))?;
    let coordinates = point.get(1..).ok_or(Refusal::KeyType)?;
    let curve: Vec<u8> = CURVE.iter().flat_map(|half| half.to_be_bytes()).collect();
    let z = Hash::Sm3.digest(&[&bits.to_be_bytes(), id, &curve, coordinates]);
    let mut hash = Hash::Sm3.start();
    hash.update(&z);
    Ok(hash)
}
