//! The operating system's randomness, in the shape that the libraries of both families ask for.

use std::convert::Infallible;

use opaque_ke::rand::{CryptoRng, Error, RngCore};

/// Lends the system's randomness; whatever was made while it failed is thrown away.
pub(crate) fn with_randomness<R, E: From<getrandom::Error>>(
    work: impl FnOnce(&mut SystemRandom) -> Result<R, E>,
) -> Result<R, E> {
    let mut random = SystemRandom { failure: None };
    let result = work(&mut random);
    match random.failure {
        None => result,
        Some(failure) => Err(failure.into()),
    }
}

/// The libraries' generators cannot fail, the system's can: a failure is remembered, see [`with_randomness`].
pub(crate) struct SystemRandom {
    failure: Option<getrandom::Error>,
}

impl RngCore for SystemRandom {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        if let Err(failure) = getrandom::fill(bytes) {
            self.failure = Some(failure);
            bytes.fill(1); // not zero, so that no rejection loop runs for ever
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for SystemRandom {}

/// The same generator for libraries of the newer family.
pub(crate) struct Newer<'a, R>(pub(crate) &'a mut R);

impl<R: RngCore> rand_core::TryRng for Newer<'_, R> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl<R: RngCore + CryptoRng> rand_core::TryCryptoRng for Newer<'_, R> {}
