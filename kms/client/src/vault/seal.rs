//! Sealing: secrets are made here, each keeper acknowledges its share, the account signs, the ledger records.
//!
//! Until the last step nothing has happened: shares of a sealing that is never recorded open nothing, and keepers let
//! go of them.

use keyward_crypto::SecretBytes;
use keyward_crypto::vault::{VaultDraft, VaultFacts, VaultMode, VaultPlan};
use keyward_domain::{VaultName, vault_deposit_message};
use keyward_ledger_core::ed25519;
use keyward_ledger_core::entry::{AttemptsTerms, Party, RuleName, VaultAct};
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::vault::{
    Sealing, Shares, Stretching, VaultMode as SealedMode, acknowledgement_message,
};
use keyward_proto::custody::{VaultDepositRequest, VaultEntryRequest};
use tokio::task::JoinSet;

use super::entry::{HandedIn, computing, random32, signed};
use super::error::VaultError;
use super::factors::can_be_met;
use super::fault::{Fault, FaultCause};
use super::keepers::LedgerKeeper;
use super::order::{KeeperChoice, SealError, SealOrder, Sealed, VaultTerms};
use super::proof::View;
use super::signers::Signer;
use super::{Progress, VaultStep};
use crate::client::Client;
use crate::password::Password;
use crate::person::Login;

/// How long a sealing may be recorded, from the state on that this side knows, in milliseconds of ledger time. Whoever holds
/// it back longer has nothing: keepers wait longer than that.
const SEALED_WITHIN_MS: u64 = 60 * 60 * 1_000;

impl Client {
    /// Seals keys into a vault of the account, or seals it anew. The client is in the login's session.
    pub async fn seal_vault(
        &self,
        login: &Login,
        name: &VaultName,
        password: &Password,
        order: SealOrder,
        progress: Progress<'_>,
    ) -> Result<Sealed, SealError> {
        let view = self.view()?;
        if login.session.account != view.account {
            return Err(VaultError::OtherAccount.into());
        }
        progress(VaultStep::Proving);
        let version = self.next_version(&view, name, order.anew).await?;
        let known = self.keepers_of(&view).await.map_err(SealError::Vault)?;
        let keepers = choose(known.list, &order.keepers, order.threshold)?;
        let factors = self.factors(&view, &order).await?;
        let vault = RuleName { owner: view.account, name: name.id() };

        progress(VaultStep::Stretching);
        let (terms, threshold) = (order.terms.clone(), order.threshold);
        let plan = VaultPlan {
            chain_id: view.chain_id(),
            account: vault.owner,
            vault: vault.name,
            version,
            threshold,
            keepers: keepers.iter().map(LedgerKeeper::of_vault).collect(),
            stretch: order.stretch,
        };
        let draft = self.draft(plan, login, password, order).await?;
        let expires_ms = known.time_ms.saturating_add(SEALED_WITHIN_MS);
        let sealing = sealing(&draft.facts([0; 32]), &terms, factors, expires_ms);
        if !sealing.is_sound() {
            return Err(SealError::Terms);
        }
        let shares = draft.shares(sealing.hash())?;
        drop(draft);

        progress(VaultStep::Depositing);
        let message = vault_deposit_message(&view.chain_id(), &sealing.hash());
        let word = login.credential.sign_message(&message).map_err(VaultError::Sign)?;
        let acknowledgements = self.deposit(&view, &sealing, &keepers, shares, &word).await?;
        progress(VaultStep::Recording);
        let act = VaultAct::Seal { sealing: Box::new(sealing.clone()), acknowledgements };
        let (receipt, leaf_index) = match self.record_seal(&view, act, login, known.height).await {
            Ok(HandedIn { receipt, record }) => (receipt, record.leaf_index),
            // It may have been recorded all the same: then it is what the ledger proves now.
            Err(error) => match self.status_since(&view, name, 0).await {
                Ok(Some(status)) if status.sealing == sealing => (status.receipt, status.leaf_index),
                _ => return Err(error.into()),
            },
        };
        Ok(Sealed { version, sealing, keepers, receipt, leaf_index })
    }

    async fn next_version(&self, view: &View, name: &VaultName, anew: bool) -> Result<u32, SealError> {
        match self.status_since(view, name, 0).await? {
            None => Ok(1),
            Some(before) if before.destroyed => Err(VaultError::Destroyed.into()),
            Some(before) if !anew => Err(SealError::Exists { version: before.version() }),
            Some(before) => Ok(before.version().saturating_add(1)),
        }
    }

    /// How many of whom an attempt needs, as far as they can be met; and no key goes in that is another account's.
    async fn factors(&self, view: &View, order: &SealOrder) -> Result<(u8, Vec<Party>), SealError> {
        let (needed, parties) = order.terms.factors.terms(view.account)?;
        let keys = order.keys.iter().map(|key| Party::Key(KeyId(key.id)));
        let asked: Vec<_> = parties.iter().copied().chain(keys).collect();
        let signers = self.signers(view, &asked).await?.list;
        let (named, bound) = signers.split_at(parties.len().min(signers.len()));
        can_be_met(view.account, needed, &parties, named)?;
        for (key, signer) in order.keys.iter().zip(bound) {
            if matches!(signer, Signer::Key { state, .. } if state.account != view.account) {
                return Err(SealError::KeyForeign { key_id: key.id });
            }
        }
        Ok((needed, parties))
    }

    async fn draft(
        &self,
        plan: VaultPlan,
        login: &Login,
        password: &Password,
        order: SealOrder,
    ) -> Result<VaultDraft, SealError> {
        let (secret, own) = (password.shared(), order.mode == VaultMode::Own);
        let export_key = own.then(|| SecretBytes::new(login.export_key.expose(<[u8]>::to_vec)));
        let drafted =
            computing(move || VaultDraft::new(plan, &secret, &order.keys, export_key.as_ref())).await;
        Ok(drafted.map_err(SealError::Vault)??)
    }

    /// Gives every keeper its share, with the account's word for this sealing; all acknowledge, or it is given up.
    async fn deposit(
        &self,
        view: &View,
        sealing: &Sealing,
        keepers: &[LedgerKeeper],
        shares: Vec<Vec<u8>>,
        word: &[u8],
    ) -> Result<Vec<[u8; 64]>, SealError> {
        let bytes: tonic::codegen::Bytes = sealing.encode().into();
        let mut asked = JoinSet::new();
        for ((index, keeper), share) in (1_u8..).zip(keepers).zip(shares) {
            let message = VaultDepositRequest {
                keeper: keeper.id.to_vec().into(),
                sealing: bytes.clone(),
                share: share.into(),
                signature: word.to_vec().into(),
            };
            let (client, key) = (self.clone(), keeper.key);
            let wanted = acknowledgement_message(&view.chain_id(), &sealing.hash(), index);
            asked.spawn(async move { (index, client.acknowledged(message, &key, &wanted).await) });
        }
        let mut answers: Vec<Option<Result<[u8; 64], FaultCause>>> = keepers.iter().map(|_| None).collect();
        while let Some(joined) = asked.join_next().await {
            let (index, answer) = joined.map_err(VaultError::Thread)?;
            if let Some(place) = answers.get_mut(usize::from(index) - 1) {
                *place = Some(answer);
            }
        }
        let (mut acknowledgements, mut faults, mut willing) = (Vec::new(), Vec::new(), Vec::new());
        for ((index, keeper), answer) in (1..).zip(keepers).zip(answers) {
            match answer.unwrap_or(Err(FaultCause::Silent)) {
                Ok(acknowledgement) => {
                    acknowledgements.push(acknowledgement);
                    willing.push(keeper.name.clone());
                }
                Err(cause) => faults.push(Fault { index, keeper: keeper.name.clone(), cause }),
            }
        }
        if faults.is_empty() {
            return Ok(acknowledgements);
        }
        Err(SealError::NotAcknowledged { faults, willing, threshold: sealing.shares.threshold() })
    }

    async fn acknowledged(
        &self,
        message: VaultDepositRequest,
        key: &[u8; 32],
        wanted: &[u8; 32],
    ) -> Result<[u8; 64], FaultCause> {
        let answer = self.answer(self.vaults().deposit(self.request(message)).await)?;
        let acknowledgement = <[u8; 64]>::try_from(answer.acknowledgement.as_ref());
        let acknowledgement = acknowledgement.ok().ok_or(FaultCause::Acknowledgement)?;
        ed25519::verify(key, wanted, &acknowledgement).ok().ok_or(FaultCause::Acknowledgement)?;
        Ok(acknowledgement)
    }

    async fn record_seal(
        &self,
        view: &View,
        act: VaultAct,
        login: &Login,
        height: u64,
    ) -> Result<HandedIn, VaultError> {
        let entry = signed(view, act, login, height)?;
        let call = |entry, idempotency_key, left| async move {
            let message = VaultEntryRequest { entry, idempotency_key };
            self.answer(self.vaults().seal(self.request_within(message, left)).await)
        };
        self.hand_in(view, &entry, call).await
    }
}

/// The keepers that are to hold shares, each once.
pub(crate) fn choose(
    known: Vec<LedgerKeeper>,
    choice: &KeeperChoice,
    threshold: u8,
) -> Result<Vec<LedgerKeeper>, SealError> {
    let count = known.len();
    let chosen = match choice {
        KeeperChoice::Any(wanted) => shuffled(known)?.into_iter().take(*wanted).collect(),
        KeeperChoice::Named(names) => {
            let find = |name: &String| known.iter().find(|keeper| keeper.name == *name).cloned();
            let unknown = |name: &String| SealError::KeeperUnknown { name: name.clone() };
            names.iter().map(|name| find(name).ok_or_else(|| unknown(name))).collect::<Result<Vec<_>, _>>()?
        }
    };
    let wanted = match choice {
        KeeperChoice::Any(wanted) => *wanted,
        KeeperChoice::Named(names) => names.len(),
    };
    if chosen.len() != wanted || threshold < 2 || usize::from(threshold) > wanted {
        return Err(SealError::Keepers { threshold, keepers: wanted, known: count });
    }
    Ok(chosen)
}

/// In random order: no keeper shall hold more vaults than others because of its name.
fn shuffled(keepers: Vec<LedgerKeeper>) -> Result<Vec<LedgerKeeper>, VaultError> {
    let draw = |keeper| random32().map(|lot| (lot, keeper));
    let mut drawn = keepers.into_iter().map(draw).collect::<Result<Vec<_>, _>>()?;
    drawn.sort_by_key(|(lot, _)| *lot);
    Ok(drawn.into_iter().map(|(_, keeper)| keeper).collect())
}

/// What the account signs and keepers acknowledge.
fn sealing(
    facts: &VaultFacts,
    terms: &VaultTerms,
    (needed, askers): (u8, Vec<Party>),
    expires_ms: u64,
) -> Sealing {
    Sealing {
        expires_ms: Some(expires_ms),
        vault: RuleName { owner: facts.account, name: facts.vault },
        version: facts.version,
        mode: match facts.mode {
            VaultMode::Own => SealedMode::Own,
            VaultMode::Vault => SealedMode::Vault,
        },
        shares: Shares {
            keepers: facts.keepers.iter().map(|keeper| keeper.id).collect(),
            evaluation: facts.evaluation.clone(),
            mask: facts.mask.clone(),
        },
        stretching: Stretching {
            memory_kib: facts.stretch.memory_kib,
            passes: facts.stretch.passes,
            lanes: facts.stretch.lanes,
        },
        terms: AttemptsTerms {
            limit: terms.limit,
            lifetime: terms.lifetime,
            cool_down_ms: terms.cool_down_ms,
            refill_ms: terms.refill_ms,
            success_key: facts.proof_key,
            needed,
            askers,
        },
        ciphertext_hash: facts.ciphertext_hash,
    }
}
