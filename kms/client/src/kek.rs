//! The service's key-encryption keys: for security officers.

use keyward_proto::custody::{
    KekStatusRequest, KekStatusResponse, RemoveKekRequest, RotateKekRequest, RotateKekResponse,
};

use crate::client::{Client, idempotency_key};
use crate::error::ClientError;

impl Client {
    /// Lets a new key-encryption key seal from now on; what is older comes under it in the background.
    pub async fn rotate_kek(&self) -> Result<RotateKekResponse, ClientError> {
        let message = RotateKekRequest { idempotency_key: idempotency_key()? };
        let rotated = self.answer(self.admin().rotate_kek(self.request(message)).await)?;
        self.check_kind(&rotated.receipt, "note")?;
        Ok(rotated)
    }

    /// How that stands.
    pub async fn kek_status(&self) -> Result<KekStatusResponse, ClientError> {
        self.answer(self.admin().kek_status(self.request(KekStatusRequest {})).await)
    }

    /// Removes an old key-encryption key from the token for good; returns the receipt.
    pub async fn remove_kek(&self, number: u32) -> Result<Vec<u8>, ClientError> {
        let message = RemoveKekRequest { number, idempotency_key: idempotency_key()? };
        let removed = self.answer(self.admin().remove_kek(self.request(message)).await)?;
        self.check_kind(&removed.receipt, "note")?;
        Ok(removed.receipt.to_vec())
    }
}
