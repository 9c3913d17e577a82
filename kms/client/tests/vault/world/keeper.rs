//! A keeper: the real cryptography over a chain that it sees.

use keyward_crypto::vault::{Grant, KeeperShare, Vault, VaultFacts, VaultKeeper, VaultMode, VaultStretch};
use keyward_ledger_core::entry::{Act, Authored, Entry, VaultAct, VaultAttempt};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::vault::{Sealing, VaultMode as SealedMode, acknowledge};

use super::Chain;
use crate::toy;

/// By the hash of a sealing: the vault, and the share of it.
pub(crate) type Keeper = toy::keeper::Keeper<(Vault, Vec<u8>)>;

impl Keeper {
    pub(crate) fn of_vault(&self) -> VaultKeeper {
        VaultKeeper {
            id: self.id(),
            sealing_key: self.sealing.public(),
            signing_key: self.signing.public_key(),
        }
    }

    /// Opens, checks and keeps a share; gives the acknowledgement.
    pub(crate) fn deposit(
        &self,
        keepers: &[Self],
        chain_id: &Hash,
        sealing: &Sealing,
        share: &[u8],
    ) -> [u8; 64] {
        let vault = vault_of(keepers, chain_id, sealing);
        let opened = KeeperShare::open(&vault, &self.id(), &self.sealing, share).unwrap();
        let (hash, index) = (sealing.hash(), opened.index());
        let kept = opened.to_secret().expose(<[u8]>::to_vec);
        self.shares.lock().unwrap().insert(hash, (vault, kept));
        acknowledge(&self.signing, chain_id, &hash, index)
    }

    /// Damages what it keeps: it will evaluate with another key, and sign that.
    pub(crate) fn turn_bad(&self) {
        for (_, kept) in self.shares.lock().unwrap().values_mut() {
            // k stands before m, the blinder and the ciphertext; its lowest byte is its first.
            let (vault, len) = (KeeperShare::from_secret(kept).unwrap(), kept.len());
            let key_at = len - vault.ciphertext().len() - 96;
            kept[key_at] ^= 1;
        }
    }

    /// Loses everything, as with a new disk.
    pub(crate) fn forget(&self) {
        self.shares.lock().unwrap().clear();
    }

    /// Puts the shares of one sealing in the place of another one's, as a keeper would that runs on an old disk.
    pub(crate) fn fall_back(&self, to: &Hash) {
        let mut shares = self.shares.lock().unwrap();
        let old = shares[to].clone();
        shares.values_mut().for_each(|share| share.clone_from(&old));
    }

    fn sign(&self) -> impl FnOnce(&[u8]) -> [u8; 64] {
        |message: &[u8]| self.signing.sign(message)
    }

    fn share(&self, hash: &Hash) -> Option<(Vault, KeeperShare)> {
        let shares = self.shares.lock().unwrap();
        let (vault, kept) = shares.get(hash)?;
        Some((vault.clone(), KeeperShare::from_secret(kept).unwrap()))
    }

    pub(crate) fn evaluate(
        &self,
        chain: &Chain,
        leaf_index: u64,
        element: &[u8; 32],
        hash: &Hash,
    ) -> Option<Vec<u8>> {
        let (_, share) = self.share(hash)?;
        let grant = grant(chain, leaf_index, &share)?;
        share.evaluate(&grant, element, self.sign()).ok()
    }

    pub(crate) fn release(&self, chain: &Chain, leaves: [u64; 2], hash: &Hash) -> Option<Vec<u8>> {
        let (_, share) = self.share(hash)?;
        let grant = grant(chain, leaves[0], &share)?;
        let (opened, outcome) = chain.entry(leaves[1])?;
        let Ok(Entry::Authored(Authored { act: Act::Vault(VaultAct::Open { signature, .. }), .. })) =
            Entry::decode(opened)
        else {
            return None;
        };
        assert!(outcome.is_accepted());
        share.release(&grant, &signature, self.sign()).ok()
    }

    pub(crate) fn drill(&self, nonce: &[u8; 32], hash: &Hash) -> Option<Vec<u8>> {
        let (vault, share) = self.share(hash)?;
        share.drill(&vault, nonce, self.sign()).ok().map(|answer| answer.encode())
    }
}

/// What a final, granted attempt fixes.
fn grant(chain: &Chain, leaf_index: u64, share: &KeeperShare) -> Option<Grant> {
    let (entry, outcome) = chain.entry(leaf_index)?;
    let Ok(Entry::Authored(Authored { act: Act::Vault(VaultAct::Attempt(attempt)), .. })) =
        Entry::decode(entry)
    else {
        return None;
    };
    assert!(outcome.is_accepted(), "a keeper is asked for an attempt that was refused");
    let VaultAttempt { element, reply_key, .. } = attempt;
    let attempt = outcome.data.as_slice().try_into().unwrap();
    Some(Grant { shares: *share.shares(), attempt, element_hash: element, reply_key })
}

/// What is public of a sealing, as a keeper checks it.
pub(crate) fn vault_of(keepers: &[Keeper], chain_id: &Hash, sealing: &Sealing) -> Vault {
    let find = |id: &Hash| keepers.iter().find(|keeper| keeper.id() == *id).unwrap().of_vault();
    Vault::check(VaultFacts {
        chain_id: *chain_id,
        account: sealing.vault.owner,
        vault: sealing.vault.name,
        version: sealing.version,
        share_version: 1,
        mode: match sealing.mode {
            SealedMode::Own => VaultMode::Own,
            SealedMode::Vault => VaultMode::Vault,
        },
        threshold: sealing.shares.threshold(),
        keepers: sealing.shares.keepers.iter().map(find).collect(),
        evaluation: sealing.shares.evaluation.clone(),
        mask: sealing.shares.mask.clone(),
        proof_key: sealing.terms.success_key,
        stretch: VaultStretch {
            memory_kib: sealing.stretching.memory_kib,
            passes: sealing.stretching.passes,
            lanes: sealing.stretching.lanes,
        },
        ciphertext_hash: sealing.ciphertext_hash,
        shares_hash: sealing.hash(),
    })
    .unwrap()
}
