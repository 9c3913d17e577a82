//! Hosted roots: sealed under a data key of their account, opened for a moment. What closes an epoch: sealed under a key of the
//! service, so that it outlives the root.

use std::sync::Arc;

use keyward_crypto::{
    MemoryKek, SecretBytes, open, seal,
    unlinkable::{AddressRoot, SpendingPoint, ViewingLeaf},
};
use keyward_domain::{AccountId, Code};
use keyward_store::{AddressAccount, AddressCustody, AddressState, Id};
use zeroize::Zeroizing;

use crate::{custody::Custody, failure::Failure};

const KEY_LABEL: &[u8] = b"\x16keyward/address-key/v1";
const ROOT_LABEL: &[u8] = b"\x17keyward/address-root/v1";
const EPOCH_LABEL: &[u8] = b"\x18keyward/address-epoch/v1";

/// What the data key of an account's root, or of what is kept of it, is sealed with.
pub(crate) fn data_key_aad(account: &Id) -> Vec<u8> {
    [KEY_LABEL, account].concat()
}

fn root_aad(account: &Id) -> Vec<u8> {
    [ROOT_LABEL, account].concat()
}

fn epoch_aad(account: &Id, epoch: u32) -> Vec<u8> {
    [EPOCH_LABEL, account, &epoch.to_be_bytes()].concat()
}

impl Custody {
    /// The row of an account that is about to choose: with a fresh root where it is to be hosted.
    pub(super) async fn new_address_account(
        &self,
        account: AccountId,
        custody: AddressCustody,
        epoch_ms: u64,
    ) -> Result<AddressAccount, Failure> {
        let mut row = AddressAccount {
            account: account.0,
            custody,
            state: AddressState::Pending,
            epoch_ms,
            sealed_key: Vec::new(),
            kek: String::new(),
            sealed_root: Vec::new(),
            created_ms: self.clock.now_ms(),
        };
        if custody == AddressCustody::Hosted {
            let root = AddressRoot::generate().map_err(Failure::internal)?;
            let (key, sealed_key, kek) = self.fresh_data_key(&account.0).await?;
            let sealed = root.expose(|bytes| seal(&key, &root_aad(&account.0), bytes));
            row.sealed_root = sealed.map_err(Failure::internal)?;
            (row.sealed_key, row.kek) = (sealed_key, kek);
        }
        Ok(row)
    }

    /// A fresh data key of an account; the same sealed, and the key-encryption key.
    pub(super) async fn fresh_data_key(&self, account: &Id) -> Result<(MemoryKek, Vec<u8>, String), Failure> {
        let key = MemoryKek::generate().map_err(Failure::internal)?;
        let secret = key.expose(|bytes| Zeroizing::new(bytes.to_vec()));
        let sealed = self.kek.seal(data_key_aad(account), secret).await?;
        let kek = self.kek_of(&sealed)?;
        Ok((key, sealed, kek))
    }

    pub(super) async fn data_key(&self, account: &Id, sealed: &[u8]) -> Result<MemoryKek, Failure> {
        let secret = self.kek.open(data_key_aad(account), sealed.to_vec()).await?;
        let key = secret.expose(|bytes| <&[u8; 32]>::try_from(bytes).map(MemoryKek::new));
        key.map_err(Failure::internal)?.map_err(Failure::internal)
    }

    /// The root of a row that was read just now: from the cache, or opened.
    pub(super) async fn address_root(&self, row: &AddressAccount) -> Result<Arc<AddressRoot>, Failure> {
        if row.custody != AddressCustody::Hosted {
            return Err(Failure::new(Code::AddressesOwn, "the account's root is its person's own"));
        }
        let now_ms = self.clock.now_ms();
        if let Some(root) = self.roots.find(&row.account, now_ms) {
            return Ok(root);
        }
        let key = self.data_key(&row.account, &row.sealed_key).await?;
        let plain = open(&key, &root_aad(&row.account), &row.sealed_root).map_err(Failure::internal)?;
        let root = Arc::new(AddressRoot::from_bytes(bytes_of(&plain)?));
        self.roots.keep(row.account, root.clone(), now_ms);
        Ok(root)
    }

    /// What closes an epoch of a hosted root, sealed: `viewing leaf[32] || spending point[38]`.
    pub(super) fn seal_epoch(
        &self,
        account: AccountId,
        root: &AddressRoot,
        epoch: u32,
    ) -> Result<Vec<u8>, Failure> {
        let spending = root.spending_leaf(epoch).map_err(Failure::internal)?.point();
        let spending = spending.encode().map_err(Failure::internal)?;
        let mut plain = Zeroizing::new(Vec::with_capacity(32 + spending.len()));
        root.viewing_leaf(epoch).expose(|leaf| plain.extend_from_slice(leaf));
        plain.extend_from_slice(&spending);
        seal(&self.epoch_key, &epoch_aad(&account.0, epoch), &plain).map_err(Failure::internal)
    }

    /// Opens what [`Self::seal_epoch`] sealed.
    pub(super) fn open_epoch(
        &self,
        account: &Id,
        epoch: u32,
        sealed: &[u8],
    ) -> Result<(ViewingLeaf, SpendingPoint), Failure> {
        let plain = open(&self.epoch_key, &epoch_aad(account, epoch), sealed).map_err(Failure::internal)?;
        plain.expose(|bytes| {
            let (leaf, spending) = bytes
                .split_first_chunk::<32>()
                .ok_or_else(|| Failure::internal("a leaf that is too short"))?;
            let leaf = ViewingLeaf::from_bytes(epoch, Zeroizing::new(*leaf));
            Ok((leaf, SpendingPoint::decode(spending).map_err(Failure::internal)?))
        })
    }
}

fn bytes_of(plain: &SecretBytes) -> Result<Zeroizing<[u8; 32]>, Failure> {
    plain.expose(|bytes| {
        let mut root = Zeroizing::new([0; 32]);
        if bytes.len() != root.len() {
            return Err(Failure::internal("a root of another length"));
        }
        root.copy_from_slice(bytes);
        Ok(root)
    })
}
