//! Coming back: a guess is paid for on the ledger, t keepers evaluate it, its proof is recorded, t keepers release.
//!
//! A recovery that breaks off anywhere is begun anew; [`RecoverFailure`] says what the one before has cost.

use std::future::Future;

use keyward_crypto::vault::{
    AttemptRequest, ContentsError, Evaluating, Grant, Proven, Recovery, RecoveryError, VaultMode, VaultedKey,
};
use keyward_domain::VaultName;
use keyward_ledger_core::entry::{VaultAct, VaultAttempt};
use keyward_proto::custody::{
    VaultAttemptRequest, VaultEntryRequest, VaultEvaluateRequest, VaultReleaseRequest,
};

use super::entry::{HandedIn, computing, signed, unsigned};
use super::error::VaultError;
use super::fault::Fault;
use super::gather::{gather, patiently};
use super::proof::View;
use super::recovered::{Granted, RecoverError, RecoverFailure, Recovered, Spent};
use super::status::{Attempts, Holder, VaultStatus, asks_account};
use super::{Progress, VaultStep};
use crate::client::{Client, bytes32};
use crate::error::{ClientError, Refusal};
use crate::password::Password;
use crate::person::Login;

/// How far a recovery has come.
struct Course {
    spent: Spent,
    faults: Vec<Fault>,
    granted: Option<Box<Granted>>,
    /// A height that was seen.
    height: u64,
    /// The guesses of a lifetime that were left before an attempt of which somebody says, without proof, that it was refused.
    said_refused: Option<u32>,
}

/// A granted attempt, and what keepers are to be told.
struct Attempt {
    evaluating: Evaluating,
    request: AttemptRequest,
    fixed: VaultAttempt,
    leaf_index: u64,
    granted: Granted,
}

impl Client {
    /// Opens a vault of the account and gives what lies in it. The client is in the login's session; `code` is the
    /// one-time code where the account has set one up, else empty.
    pub async fn recover_vault(
        &self,
        login: &Login,
        name: &VaultName,
        password: &Password,
        code: &str,
        progress: Progress<'_>,
    ) -> Result<Recovered, RecoverFailure> {
        let mut course = Course {
            spent: Spent::Nothing,
            faults: Vec::new(),
            granted: None,
            height: 0,
            said_refused: None,
        };
        let error = match self.recovering(login, name, (password, code), progress, &mut course).await {
            Ok((keys, granted, opened)) => {
                return Ok(Recovered { keys, granted, opened, faults: course.faults });
            }
            Err(error) => error,
        };
        let attempts = self.attempts_after(name, course.height).await;
        // A service's word that nothing was granted counts once the proven count bears it out.
        if let (Some(before), Some(after)) = (course.said_refused, &attempts)
            && after.lifetime_left >= before
        {
            course.spent = Spent::Nothing;
        }
        Err(RecoverFailure {
            error,
            spent: course.spent,
            attempts,
            faults: course.faults,
            granted: course.granted,
        })
    }

    /// The guesses that are left after a failure, if that can be proven.
    async fn attempts_after(&self, name: &VaultName, height: u64) -> Option<Attempts> {
        let view = self.view().ok()?;
        let status = self.status_since(&view, name, height).await.ok()??;
        Some(status.attempts)
    }

    async fn recovering(
        &self,
        login: &Login,
        name: &VaultName,
        (password, code): (&Password, &str),
        progress: Progress<'_>,
        course: &mut Course,
    ) -> Result<(Vec<VaultedKey>, Granted, Vec<u8>), RecoverError> {
        let view = self.view()?;
        progress(VaultStep::Proving);
        let status = self.status_since(&view, name, 0).await?.ok_or(VaultError::Unknown)?;
        course.height = status.height;
        may_attempt(&view, &status, login)?;
        progress(VaultStep::Stretching);
        let (vault, secret) = (status.vault().clone(), password.shared());
        let (recovery, request) = computing(move || Recovery::begin(vault, &secret)).await??;

        progress(VaultStep::Recording);
        let attempt = self.attempt(&view, &status, (login, code), (recovery, request), course).await?;
        let needed = status.vault().facts().threshold;
        progress(VaultStep::Evaluating);
        let Attempt { mut evaluating, request, fixed, leaf_index, granted } = attempt;
        let order = likely_first(&status);
        let ask = |holder: &Holder| self.clone().evaluate(holder, leaf_index, &request);
        let take = |index, answer: &[u8]| evaluating.answer(index, answer);
        if !gather(&order, needed.into(), ask, take, &mut course.faults).await {
            return Err(RecoverError::TooFewEvaluations { needed });
        }
        let proven = evaluating.derive().map_err(|error| match error {
            RecoveryError::WrongPassword => RecoverError::WrongPassword(error),
            error => RecoverError::Recovery(error),
        })?;

        progress(VaultStep::Recording);
        let (opened, opened_leaf) = self.open(&view, &proven, fixed, course).await?;
        progress(VaultStep::Releasing);
        let keys = self.released(login, &status, proven, [leaf_index, opened_leaf], course).await?;
        Ok((keys, granted, opened))
    }

    /// Pays for the guess.
    async fn attempt(
        &self,
        view: &View,
        status: &VaultStatus,
        (login, code): (&Login, &str),
        (recovery, request): (Recovery, AttemptRequest),
        course: &mut Course,
    ) -> Result<Attempt, RecoverError> {
        let facts = status.vault().facts();
        let fixed = VaultAttempt {
            vault: status.sealing.vault,
            version: facts.version,
            share_version: facts.share_version,
            element: request.element_hash,
            reply_key: request.reply_key,
        };
        let act = VaultAct::Attempt(fixed);
        let entry = if asks_account(&status.sealing) {
            signed(view, act, login, status.height)?
        } else {
            unsigned(act)
        };
        let call = |entry, idempotency_key, left| async move {
            let message = VaultAttemptRequest { entry, idempotency_key, code: code.to_owned() };
            self.answer(self.vaults().attempt(self.request_within(message, left)).await)
        };
        course.spent = Spent::Unknown;
        let HandedIn { receipt, record } = self.hand_in(view, &entry, call).await.map_err(|error| {
            match &error {
                VaultError::LedgerRefused { .. } => course.spent = Spent::Nothing, // its record was verified
                VaultError::Client(ClientError::Refused(refusal)) if is_final(refusal) => {
                    course.said_refused = Some(status.attempts.lifetime_left);
                }
                _ => (),
            }
            by_counter(error)
        })?;
        course.spent = Spent::Attempt;
        course.height = course.height.max(record.height);
        let attempt = bytes32("attempt id", &record.outcome.data).map_err(VaultError::Client)?;
        let (element_hash, reply_key) = (request.element_hash, request.reply_key);
        let grant = Grant { shares: status.vault().shares(), attempt, element_hash, reply_key };
        let granted = Granted { status: status.clone(), grant, receipt };
        course.granted = Some(Box::new(granted.clone()));
        let evaluating = recovery.granted(&granted.grant)?;
        Ok(Attempt { evaluating, request, fixed, leaf_index: record.leaf_index, granted })
    }

    /// Records that the guess was right.
    async fn open(
        &self,
        view: &View,
        proven: &Proven,
        attempt: VaultAttempt,
        course: &mut Course,
    ) -> Result<(Vec<u8>, u64), RecoverError> {
        let entry = unsigned(VaultAct::Open { attempt, signature: proven.proof()? });
        let call = |entry, idempotency_key, left| async move {
            let message = VaultEntryRequest { entry, idempotency_key };
            self.answer(self.vaults().open(self.request_within(message, left)).await)
        };
        let opened = self.hand_in(view, &entry, call).await?;
        course.spent = Spent::Reset;
        course.height = course.height.max(opened.record.height);
        Ok((opened.receipt, opened.record.leaf_index))
    }

    /// Gathers the mask and opens the contents.
    async fn released(
        &self,
        login: &Login,
        status: &VaultStatus,
        mut proven: Proven,
        leaves: [u64; 2],
        course: &mut Course,
    ) -> Result<Vec<VaultedKey>, RecoverError> {
        let facts = status.vault().facts();
        let needed = facts.threshold;
        let ask = |holder: &Holder| self.clone().release(holder, leaves);
        let take = |index, answer: &[u8]| proven.release(index, answer);
        if !gather(&likely_first(status), needed.into(), ask, take, &mut course.faults).await {
            return Err(RecoverError::TooFewReleases { needed });
        }
        let export_key = (facts.mode == VaultMode::Own).then_some(&login.export_key);
        let keys = proven.open(export_key)?;
        for key in &keys {
            // What comes out must agree with itself: the secret of that public key, under that key id. Whose key it is,
            // and whether it is bound, is not asked here.
            let found = key.signing_key().map_err(RecoverError::Contents)?;
            if *found.public_key().id().as_bytes() != key.id {
                return Err(RecoverError::Contents(ContentsError::Key(None)));
            }
        }
        Ok(keys)
    }

    fn evaluate(
        self,
        holder: &Holder,
        leaf_index: u64,
        request: &AttemptRequest,
    ) -> impl Future<Output = Result<Vec<u8>, ClientError>> + Send + use<> {
        let (keeper, element) = (holder.keeper.id.to_vec().into(), request.element.to_vec().into());
        let message = VaultEvaluateRequest { keeper, leaf_index, element };
        async move {
            let (client, message) = (&self, &message);
            patiently(|| async move {
                let request = client.request(message.clone());
                Ok(client.answer(client.vaults().evaluate(request).await)?.answer.to_vec())
            })
            .await
        }
    }

    fn release(
        self,
        holder: &Holder,
        [leaf_index, opened_leaf_index]: [u64; 2],
    ) -> impl Future<Output = Result<Vec<u8>, ClientError>> + Send + use<> {
        let keeper = holder.keeper.id.to_vec().into();
        let message = VaultReleaseRequest { keeper, leaf_index, opened_leaf_index };
        async move {
            let (client, message) = (&self, &message);
            patiently(|| async move {
                let request = client.request(message.clone());
                Ok(client.answer(client.vaults().release(request).await)?.answer.to_vec())
            })
            .await
        }
    }
}

/// Refuses what the ledger would refuse whatever the time, before anything is computed.
fn may_attempt(view: &View, status: &VaultStatus, login: &Login) -> Result<(), RecoverError> {
    if login.session.account != view.account {
        return Err(VaultError::OtherAccount.into());
    }
    if status.destroyed {
        return Err(VaultError::Destroyed.into());
    }
    let own = u8::from(asks_account(&status.sealing));
    if status.sealing.terms.needed > own {
        return Err(RecoverError::FactorsMissing { needed: status.sealing.terms.needed - own });
    }
    if status.attempts.lifetime_left == 0 {
        return Err(RecoverError::Locked);
    }
    if status.attempts.next_ms.is_none() {
        return Err(RecoverError::Exhausted);
    }
    Ok(())
}

/// What the ledger's counting says has a name of its own.
fn by_counter(error: VaultError) -> RecoverError {
    match error.code() {
        Some("ATTEMPTS_LOCKED" | "VAULT_LOCKED") => RecoverError::Locked,
        Some("ATTEMPTS_SPENT") => RecoverError::Exhausted,
        _ => error.into(),
    }
}

/// Whether the attempt is said to be refused; everything else leaves open what became of it.
fn is_final(refusal: &Refusal) -> bool {
    !refusal.retry || refusal.code_name.starts_with("ATTEMPTS_")
}

/// Those who are keepers still and have erased nothing stand first.
fn likely_first(status: &VaultStatus) -> Vec<Holder> {
    let mut holders = status.holders.clone();
    holders.sort_by_key(|holder| !(holder.keeper.present && holder.holds(status.version())));
    holders
}
