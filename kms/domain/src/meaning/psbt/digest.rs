//! The digests that Bitcoin's signatures are over: BIP 143 for P2WPKH, BIP 341 for the taproot key path.

use sha2::{Digest as _, Sha256};

use super::transaction::{Input, Output, Transaction};

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// What every digest of a transaction is over, hashed once however many inputs there are.
pub(in crate::meaning) struct Digests<'a> {
    transaction: &'a Transaction<'a>,
    outpoints: [u8; 32],
    sequences: [u8; 32],
    outputs: [u8; 32],
    amounts: [u8; 32],
    scripts: [u8; 32],
}

impl<'a> Digests<'a> {
    /// `spent` are the outputs that the inputs spend, in their order.
    pub(in crate::meaning) fn of(transaction: &'a Transaction<'a>, spent: &[Output]) -> Self {
        let inputs = &transaction.inputs;
        let all = |parts: Vec<Vec<u8>>| sha256(&parts.concat());
        Self {
            transaction,
            outpoints: all(inputs.iter().map(Input::outpoint).collect()),
            sequences: all(inputs.iter().map(|input| input.sequence.to_le_bytes().to_vec()).collect()),
            outputs: all(transaction.outputs.iter().map(Output::encode).collect()),
            amounts: all(spent.iter().map(|output| output.amount.to_le_bytes().to_vec()).collect()),
            // an output is `amount u64 || length || script`
            scripts: all(spent.iter().map(|output| output.encode().split_off(8)).collect()),
        }
    }

    /// BIP 143, `SIGHASH_ALL`, for an input that spends to the hash of one key.
    pub(in crate::meaning) fn segwit(&self, input: &Input<'_>, key_hash: &[u8; 20], amount: u64) -> [u8; 32] {
        let script = [&[0x19, 0x76, 0xa9, 0x14][..], key_hash, &[0x88, 0xac]].concat();
        let message = [
            &self.transaction.version[..],
            &sha256(&self.outpoints),
            &sha256(&self.sequences),
            &input.outpoint(),
            &script,
            &amount.to_le_bytes(),
            &input.sequence.to_le_bytes(),
            &sha256(&self.outputs),
            &self.transaction.lock_time,
            &1_u32.to_le_bytes(),
        ];
        sha256(&sha256(&message.concat()))
    }

    /// BIP 341, key path, without annex; `kind` is 0 (`SIGHASH_DEFAULT`) or 1 (`SIGHASH_ALL`).
    pub(in crate::meaning) fn taproot(&self, place: usize, kind: u8) -> [u8; 32] {
        // INVARIANT: a transaction of 1 MiB has fewer than 2^32 inputs.
        let place = u32::try_from(place).unwrap_or(u32::MAX).to_le_bytes();
        let tag = sha256(b"TapSighash");
        let message = [
            &tag[..],
            &tag,
            &[0, kind],
            &self.transaction.version,
            &self.transaction.lock_time,
            &self.outpoints,
            &self.amounts,
            &self.scripts,
            &self.sequences,
            &self.outputs,
            &[0],
            &place,
        ];
        sha256(&message.concat())
    }
}
