//! Coming back: a guess is paid for on the ledger, t keepers evaluate it, its proof is recorded, t keepers release.
//!
//! A recovery that breaks off anywhere is begun anew; [`RecoverFailure`] says what the one before has cost.

use std::future::Future;

use keyward_crypto::vault::{
    AttemptRequest, ContentsError, Evaluating, Grant, Proven, RecoveryError, VaultMode, VaultedKey,
};
use keyward_domain::VaultName;
use keyward_ledger_core::entry::{Party, VaultAct, VaultAttempt};
use keyward_ledger_core::scheme::KeyId;
use keyward_proto::custody::{
    VaultAttemptRequest, VaultEntryRequest, VaultEvaluateRequest, VaultReleaseRequest,
};

use super::asked::Asked;
use super::entry::{HandedIn, attempting, unsigned};
use super::error::VaultError;
use super::fault::Fault;
use super::gather::{gather, patiently};
use super::proof::View;
use super::recovered::{Granted, RecoverError, RecoverFailure, Recovered, Spent, Standing};
use super::status::{Attempts, Holder, VaultStatus, asks_account};
use super::{Progress, VaultStep};
use crate::client::{Client, bytes32};
use crate::error::{ClientError, Refusal};
use crate::password::Password;
use crate::person::Login;

/// How far a recovery has come.
#[derive(Default)]
pub(super) struct Course {
    spent: Spent,
    faults: Vec<Fault>,
    granted: Option<Box<Granted>>,
    /// A height that was seen.
    pub(super) height: u64,
    /// The guesses of a lifetime that were left before an attempt of which somebody says, without proof, that it was refused.
    said_refused: Option<u32>,
}

/// A granted attempt, and what keepers are to be told.
struct Attempt {
    evaluating: Evaluating,
    request: AttemptRequest,
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
        let mut asked = self.ask_vault(login, name, password, false, progress).await?;
        self.recover_asked(login, &mut asked, code, progress).await
    }

    /// Goes on with a recovery once enough have signed. As long as nothing was granted it can be gone on with again: the
    /// ledger counts the same attempt once.
    pub async fn recover_asked(
        &self,
        login: &Login,
        asked: &mut Asked,
        code: &str,
        progress: Progress<'_>,
    ) -> Result<Recovered, RecoverFailure> {
        let mut course = Course { height: asked.status.height, ..Course::default() };
        match self.recovering(login, asked, code, progress, &mut course).await {
            Ok((keys, granted, opened)) => {
                let standings = self.standings(&keys, login.session.account).await;
                Ok(Recovered { keys, standings, granted, opened, faults: course.faults })
            }
            Err(error) => Err(self.broken_off(&asked.name, error, course).await),
        }
    }

    /// What a recovery has cost that broke off.
    pub(super) async fn broken_off(
        &self,
        name: &VaultName,
        error: RecoverError,
        course: Course,
    ) -> RecoverFailure {
        let Course { mut spent, faults, granted, height, said_refused } = course;
        let attempts = self.attempts_after(name, height).await;
        // A service's word that nothing was granted counts once the proven count bears it out.
        if let (Some(before), Some(after)) = (said_refused, &attempts)
            && after.lifetime_left >= before
        {
            spent = Spent::Nothing;
        }
        RecoverFailure { error, spent, attempts, faults, granted }
    }

    /// The guesses that are left after a failure, if that can be proven.
    async fn attempts_after(&self, name: &VaultName, height: u64) -> Option<Attempts> {
        let view = self.view().ok()?;
        let status = self.status_since(&view, name, height).await.ok()??;
        Some(status.attempts)
    }

    /// How the ledger has the keys. They are back whatever it says: what cannot be proven is said to be so.
    async fn standings(&self, keys: &[VaultedKey], account: [u8; 32]) -> Vec<Standing> {
        let parties: Vec<_> = keys.iter().map(|key| Party::Key(KeyId(key.id))).collect();
        let found = match self.view() {
            Ok(view) => self.signers(&view, &parties).await.map(|signers| signers.list),
            Err(error) => Err(error),
        };
        match found {
            Ok(list) => {
                keys.iter().zip(&list).map(|(key, signer)| Standing::of(key, account, signer)).collect()
            }
            Err(_unproven) => vec![Standing::Unproven; keys.len()],
        }
    }

    async fn recovering(
        &self,
        login: &Login,
        asked: &mut Asked,
        code: &str,
        progress: Progress<'_>,
        course: &mut Course,
    ) -> Result<(Vec<VaultedKey>, Granted, Vec<u8>), RecoverError> {
        let view = self.view()?;
        if login.session.account != view.account {
            return Err(VaultError::OtherAccount.into());
        }
        if asked.missing() > 0 {
            return Err(RecoverError::FactorsMissing { needed: asked.missing() });
        }
        if asked.waited() {
            progress(VaultStep::Proving);
            self.look_again(&view, asked).await?;
        }
        progress(VaultStep::Recording);
        let attempt = self.attempt(&view, login, asked, code, course).await?;
        let (status, fixed) = (&asked.status, asked.fixed);
        let needed = status.vault().facts().threshold;
        progress(VaultStep::Evaluating);
        let Attempt { mut evaluating, request, leaf_index, granted } = attempt;
        let order = likely_first(status);
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
        let keys = self.released(login, status, proven, [leaf_index, opened_leaf], course).await?;
        Ok((keys, granted, opened))
    }

    /// Looks at the vault once more after a wait: what was signed is for its version and shares of before.
    async fn look_again(&self, view: &View, asked: &mut Asked) -> Result<(), RecoverError> {
        let now = self.status_since(view, &asked.name, asked.status.height).await?;
        let now = now.ok_or(VaultError::Unknown)?;
        if now.destroyed {
            return Err(VaultError::Destroyed.into());
        }
        if now.sealing != asked.status.sealing || now.vault().shares() != asked.status.vault().shares() {
            return Err(RecoverError::Stale);
        }
        asked.status = now;
        Ok(())
    }

    /// Pays for the guess.
    async fn attempt(
        &self,
        view: &View,
        login: &Login,
        asked: &mut Asked,
        code: &str,
        course: &mut Course,
    ) -> Result<Attempt, RecoverError> {
        if asked.recovery.is_none() {
            return Err(RecoverError::Used);
        }
        let status = &asked.status;
        let own = asks_account(&status.sealing).then_some(login);
        let entry = attempting(asked.petition(), own, status.height)?;
        let call = |entry, idempotency_key, left| async move {
            let message = VaultAttemptRequest { entry, idempotency_key, code: code.to_owned() };
            self.answer(self.vaults().attempt(self.request_within(message, left)).await)
        };
        course.spent = Spent::Unknown;
        let HandedIn { receipt, record } = self.hand_in(view, &entry, call).await.map_err(|error| {
            match &error {
                // Its record was verified.
                VaultError::Evidence(error) if error.is_refusal() => course.spent = Spent::Nothing,
                VaultError::Client(ClientError::Refused(refusal)) if is_final(refusal) => {
                    course.said_refused = Some(status.attempts.lifetime_left);
                }
                _ => (),
            }
            by_counter(error)
        })?;
        course.spent = Spent::Attempt;
        course.height = course.height.max(record.height);
        let (recovery, request) = asked.recovery.take().ok_or(RecoverError::Used)?;
        let attempt = bytes32("attempt id", &record.outcome.data).map_err(VaultError::Client)?;
        let (element_hash, reply_key) = (request.element_hash, request.reply_key);
        let grant = Grant { shares: status.vault().shares(), attempt, element_hash, reply_key };
        let granted = Granted { status: status.clone(), grant, receipt };
        course.granted = Some(Box::new(granted.clone()));
        let evaluating = recovery.granted(&granted.grant)?;
        Ok(Attempt { evaluating, request, leaf_index: record.leaf_index, granted })
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
        // A share is held against its shared key where it is kept, see `crate::shared`.
        for key in keys.iter().filter(|key| !key.is_share()) {
            // What comes out must agree with itself: the secret of that public key, under that key id.
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
