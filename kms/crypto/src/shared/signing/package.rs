//! The second round seen from outside: shares are judged, and put together to a signature.

use std::collections::BTreeMap;

use keyward_domain::scheme::{Scheme, verify, verify_digest};

use super::{Signing, SigningPlan};
use crate::shared::errors::{Lie, RunError};
use crate::shared::message::{Message, Step, alone, collect};
use crate::shared::suite::signing::{self, Task};
use crate::shared::suite::{Element, each};

/// Everybody's commitments, which are well formed: what the second round stands on.
#[derive(Clone, Debug)]
pub struct Package {
    pub(super) signing: Signing,
    pub(super) messages: BTreeMap<u8, Message>,
    pub(super) commitments: BTreeMap<u16, [Element; 2]>,
    pub(super) hash: [u8; 32],
}

impl Package {
    #[cfg(test)]
    pub(crate) const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    pub(super) fn task(&self) -> Task<'_> {
        let SigningPlan { message, tweak, .. } = &self.signing.plan;
        Task { public: self.signing.key.public(), tweak, message, commitments: &self.commitments }
    }

    /// The signature, 64 bytes, from everybody's shares; whoever gave a wrong one is named. For everybody to check. It has
    /// been verified by the library, and by the rule of the ledger, which is another implementation.
    pub fn signature(&self, messages: &[Vec<u8>]) -> Result<Vec<u8>, RunError> {
        let Signing { key, roster, plan, signers, run } = &self.signing;
        if key.scheme().answers() {
            return self.products_signature(messages);
        }
        let messages = collect(roster, run, Step::Share, signers, messages)?;
        let mut shares = BTreeMap::new();
        for (&place, message) in &messages {
            shares.extend(self.read(place, message)?);
        }
        let signature = each!(key.scheme(), signing::aggregate(self.task(), &shares));
        let signature = signature.map_err(|source| match source.culprit() {
            Some(number) => {
                let place = key.holders().owner(number);
                RunError::caught(place, Lie::SignatureShare, self.evidence(messages.get(&place)), source)
            }
            None => source.into(),
        })?;
        let public = key.public_key(&plan.tweak)?;
        let verified = match public.scheme() {
            Scheme::Ed25519 => verify(&public, &plan.message, &signature),
            _ => match plan.message.as_slice().try_into() {
                Ok(digest) => verify_digest(&public, digest, &signature),
                Err(_) => return Err(RunError::Digest { found: plan.message.len() }),
            },
        };
        verified?;
        Ok(signature)
    }

    /// Judges one signer's message by itself: what a judge does with the evidence of a wrong share, whose last message it
    /// is, after making the package from the others.
    pub fn judge(&self, message: &[u8]) -> Result<(), RunError> {
        let Signing { key, roster, signers, run, .. } = &self.signing;
        let message = alone(roster, run, Step::Share, signers, message)?;
        let place = message.from();
        if key.scheme().answers() {
            return self.read_products(&message).map(drop);
        }
        for (number, share) in self.read(place, &message)? {
            each!(key.scheme(), signing::check_share(self.task(), number, &share)).map_err(|source| {
                RunError::caught(place, Lie::SignatureShare, self.evidence(Some(&message)), source)
            })?;
        }
        Ok(())
    }

    /// Judges one answer by itself, of a scheme that has them: signed by a signer, to these commitments, well formed. What is
    /// sealed in it, its receivers alone can judge.
    pub fn judge_answer(&self, message: &[u8]) -> Result<(), RunError> {
        let Signing { key, roster, signers, run, .. } = &self.signing;
        if !key.scheme().answers() {
            return Err(RunError::NoStep { step: Step::Answer });
        }
        let message = alone(roster, run, Step::Answer, signers, message)?;
        self.read_answer(&message)
    }

    fn read(&self, place: u8, message: &Message) -> Result<BTreeMap<u16, [u8; 32]>, RunError> {
        let malformed = || RunError::lied(place, Lie::Malformed, vec![message.encode()]);
        let (hash, rest) = message.body().split_first_chunk::<32>().ok_or_else(malformed)?;
        let numbers = self.signing.key.holders().identifiers(place);
        let (shares, behind) = rest.as_chunks::<32>();
        if !behind.is_empty() || shares.len() != numbers.len() {
            return Err(malformed());
        }
        if *hash != self.hash {
            return Err(RunError::Diverged { place });
        }
        for share in shares {
            each!(self.signing.key.scheme(), signing::read_share(share)).map_err(|source| {
                RunError::caught(place, Lie::SignatureShare, self.evidence(Some(message)), source)
            })?;
        }
        Ok(numbers.into_iter().zip(shares.iter().copied()).collect())
    }

    /// Everything that a judge needs: all commitments, and the share.
    fn evidence(&self, share: Option<&Message>) -> Vec<Vec<u8>> {
        self.messages.values().chain(share).map(Message::encode).collect()
    }
}
