//! The blind relay: what is sealed to a keeper is passed on unchanged, and so is its answer.
//!
//! Which keeper and where it answers stands in the proven state; whom the answer is for is checked on the ledger's records.
//! A keeper may lie, stall or send anything: its answer has bounds, and of its refusals only its own codes come through.

use bytes::Bytes;
use keyward_domain::{AccountId, Code};
use keyward_ledger_core::{
    entry::{ENTRY_BYTES_MAX, Entry, VaultAct},
    state::keeper::{KeeperState, keeper_key},
    vault::Sealing,
};
use keyward_policies::Verb;
use keyward_store::Id;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    act_of,
    floods::{Asked, Flood},
    malformed,
};
use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    ports::{KeeperError, LedgerError, ToKeeper},
};

/// A share with the vault's contents, sealed.
pub(crate) const SHARE_BYTES_MAX: usize = 64 << 10;
/// The longest answer: a part of the mask with the vault's contents, sealed.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 10;
/// An acknowledgement: an Ed25519 signature.
const ACKNOWLEDGEMENT_BYTES: usize = 64;
/// How much of what a keeper says is passed on.
const MESSAGE_CHARS_MAX: usize = 200;
/// What a keeper may refuse with; it does not speak for the service.
const KEEPER_CODES: [Code; 13] = [
    Code::VaultRequestMalformed,
    Code::AuthorSignatureExpired,
    Code::VaultVersionStale,
    Code::VaultDestroyed,
    Code::VaultKeeperUnknown,
    Code::VaultShareRefused,
    Code::VaultDepositUnsigned,
    Code::VaultShareMissing,
    Code::VaultNotGranted,
    Code::VaultNotOpened,
    Code::VaultElementOther,
    Code::ServiceBusy,
    Code::LedgerUnavailable,
];

/// A share on its way to its keeper.
#[derive(Clone, Debug)]
pub(crate) struct Deposit {
    pub(crate) keeper: Id,
    pub(crate) sealing: Bytes,
    pub(crate) share: Bytes,
    /// The account's own, which the keeper checks.
    pub(crate) signature: [u8; 64],
}

impl Custody {
    /// Passes a sealed share on; returns the keeper's acknowledgement, which the person's side checks.
    pub(crate) async fn deposit_share(&self, caller: &Caller, deposit: Deposit) -> Result<Bytes, Failure> {
        let Deposit { keeper, sealing, share, signature } = deposit;
        let account = self.vault_account(caller, Verb::VaultSeal)?;
        if share.is_empty() || share.len() > SHARE_BYTES_MAX || sealing.len() > ENTRY_BYTES_MAX {
            return Err(malformed(format!(
                "a share has 1 to `{SHARE_BYTES_MAX}` bytes, and a sealing fits an entry"
            )));
        }
        let known = Sealing::decode(&sealing).map_err(|error| {
            Failure::because(Code::VaultRequestMalformed, "the sealing does not decode", error)
        })?;
        if known.vault.owner != account.0 {
            return Err(not_own());
        }
        if !known.is_sound() {
            let message = "a number or list of the sealing is out of its bounds";
            return Err(Failure::new(Code::VaultInvalid, message));
        }
        if !known.shares.keepers.contains(&keeper) {
            return Err(malformed("the keeper is none of the sealing's"));
        }
        let _place = self.place(account, Flood::Deposit)?;
        let answer = self.ask_keeper(keeper, ToKeeper::Deposit { sealing, share, signature }).await?;
        if answer.len() == ACKNOWLEDGEMENT_BYTES { Ok(answer) } else { Err(no_answer(answer.len())) }
    }

    /// Passes the blinded element of an own attempt on.
    pub(crate) async fn evaluate_share(
        &self,
        caller: &Caller,
        keeper: Id,
        leaf_index: u64,
        element: [u8; 32],
    ) -> Result<Bytes, Failure> {
        let account = self.vault_account(caller, Verb::VaultRecover)?;
        let _place = self.place(account, Flood::Question)?;
        self.need_record(account, leaf_index, Code::VaultNotGranted, |act| {
            matches!(act, VaultAct::Attempt(_))
        })
        .await?;
        self.ask_keeper(keeper, ToKeeper::Evaluate { leaf_index, element }).await
    }

    /// Asks for a keeper's part of the mask, for an own attempt that succeeded.
    pub(crate) async fn release_share(
        &self,
        caller: &Caller,
        keeper: Id,
        leaf_index: u64,
        opened_leaf_index: u64,
    ) -> Result<Bytes, Failure> {
        let account = self.vault_account(caller, Verb::VaultRecover)?;
        let _place = self.place(account, Flood::Question)?;
        self.need_record(account, leaf_index, Code::VaultNotGranted, |act| {
            matches!(act, VaultAct::Attempt(_))
        })
        .await?;
        self.need_record(account, opened_leaf_index, Code::VaultNotOpened, |act| {
            matches!(act, VaultAct::Open { .. })
        })
        .await?;
        self.ask_keeper(keeper, ToKeeper::Release { leaf_index, opened_leaf_index }).await
    }

    /// Has a keeper show that it holds its share of an own vault.
    pub(crate) async fn drill_share(
        &self,
        caller: &Caller,
        keeper: Id,
        vault: Id,
        nonce: [u8; 32],
    ) -> Result<Bytes, Failure> {
        let account = self.vault_account(caller, Verb::VaultDrill)?;
        let _place = self.place(account, Flood::Question)?;
        self.ask_keeper(keeper, ToKeeper::Drill { account: account.0, vault, nonce }).await
    }

    /// Refuses unless an accepted record of the wanted kind, about a vault of the account, stands there.
    async fn need_record(
        &self,
        account: AccountId,
        leaf_index: u64,
        code: Code,
        wanted: fn(&VaultAct) -> bool,
    ) -> Result<(), Failure> {
        let other = || Failure::new(code, format!("record `{leaf_index}` is not what the keeper answers to"));
        let record = match self.ledger.record(leaf_index).await {
            Err(LedgerError::Refused { .. }) => return Err(other()),
            answer => answer?,
        };
        let entry = Entry::decode(record.entry())
            .map_err(|error| Failure::because(code, "no vault's record", error))?;
        let act =
            act_of(&entry).filter(|act| record.outcome().is_accepted() && wanted(act)).ok_or_else(other)?;
        if act.vault().owner == account.0 { Ok(()) } else { Err(not_own()) }
    }

    /// What a question costs its account, before ledger or keeper are asked anything. Its places are given back when this is
    /// dropped.
    fn place(&self, account: AccountId, flood: Flood) -> Result<(OwnedSemaphorePermit, Asked), Failure> {
        let places = (self.permit()?, self.asking.enter(account.0)?);
        self.floods.charge(account.0, flood, self.clock.now_ms())?;
        Ok(places)
    }

    async fn ask_keeper(&self, keeper: Id, what: ToKeeper) -> Result<Bytes, Failure> {
        let known = self.ledger.state(keeper_key(&keeper)).await?;
        let known = known.map(|value| KeeperState::decode(&value).map_err(Failure::internal)).transpose()?;
        // One that has left takes no shares, and may still answer for those that it holds.
        let deposits = matches!(what, ToKeeper::Deposit { .. });
        let known = known
            .filter(|known| known.present || !deposits)
            .ok_or_else(|| Failure::new(Code::VaultKeeperUnknown, "the ledger knows no such keeper"))?;
        let answer = match timeout(self.keeper_wait, self.keepers.ask(known.keeper.rpc, what)).await {
            Ok(answer) => answer.map_err(|error| heard(error, &KEEPER_CODES))?,
            Err(elapsed) => return Err(silent(elapsed)),
        };
        if (1..=ANSWER_BYTES_MAX).contains(&answer.len()) { Ok(answer) } else { Err(no_answer(answer.len())) }
    }
}

fn not_own() -> Failure {
    Failure::new(Code::NotAllowed, "the vault is not one of the session's account")
}

pub(crate) fn no_answer(len: usize) -> Failure {
    Failure::new(Code::KeeperAnswer, format!("the keeper answered with `{len}` bytes"))
}

pub(crate) fn silent(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::because(Code::KeeperUnavailable, "the keeper did not answer in time", cause)
}

/// What a keeper said instead of an answer; it may refuse with these codes.
pub(crate) fn heard(error: KeeperError, codes: &[Code]) -> Failure {
    match error {
        KeeperError::Silent { source } => silent(source),
        KeeperError::Malformed { source } => {
            Failure::because(Code::KeeperAnswer, "the keeper's answer cannot be read", source)
        }
        KeeperError::Refused { ref code, ref message } => match Code::from_name(code) {
            Some(known) if codes.contains(&known) => {
                let message = format!("the keeper refused: {}", plain(message, known));
                Failure::because(known, message, error)
            }
            // Its own trouble, whatever it calls it.
            Some(Code::Internal) => silent(error),
            _ => {
                let why = "the keeper refused with a code that is none of its";
                Failure::because(Code::KeeperAnswer, why, error)
            }
        },
    }
}

/// What a keeper said, without the remedy that callers read anyway, short and in one line.
fn plain(message: &str, code: Code) -> String {
    let said = message.strip_suffix(code.remedy()).map_or(message, |said| said.trim_end_matches([':', ' ']));
    said.chars().filter(|letter| !letter.is_control()).take(MESSAGE_CHARS_MAX).collect()
}
