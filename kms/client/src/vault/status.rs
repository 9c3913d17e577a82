//! A vault as the ledger has it: its newest sealing, its present shares, who holds them, and the guesses that are left.

use keyward_crypto::vault::{Vault, VaultFacts, VaultMode, VaultStretch};
use keyward_domain::VaultName;
use keyward_ledger_core::contracts::{Context, StateView, Stop, attempts};
use keyward_ledger_core::entry::{Act, Authored, Entry, Party, RuleName, VaultAct};
use keyward_ledger_core::state::layout::{AttemptsState, End, attempts_key};
use keyward_ledger_core::state::vault::{HolderState, VaultState, holder_key, vault_key};
use keyward_ledger_core::vault::{Sealing, Shares, VaultMode as SealedMode, vault_rule};
use keyward_proto::custody::{ShowVaultRequest, ShowVaultResponse};

use super::error::VaultError;
use super::keepers::{LedgerKeeper, these};
use super::proof::View;
use crate::client::Client;
use crate::evidence::EvidenceError;

const VAULT: &str = "the vault";
const SEALING: &str = "the vault's sealing";
const SHARES: &str = "the vault's shares";
const COUNTER: &str = "the vault's counter of attempts";
const HOLDER: &str = "what a keeper holds";

/// A vault, proven.
#[derive(Clone, Debug)]
pub struct VaultStatus {
    /// Whether it has ended.
    pub destroyed: bool,
    /// Who holds shares, in the order of their indices.
    pub holders: Vec<Holder>,
    /// The guesses.
    pub attempts: Attempts,
    /// The newest sealing.
    pub sealing: Sealing,
    /// The receipt of its record.
    pub receipt: Vec<u8>,
    /// Where that record stands in the log.
    pub leaf_index: u64,
    /// The block at which all this was so, or a later one.
    pub height: u64,
    /// That block's time, in milliseconds since 1970.
    pub time_ms: u64,
    vault: Vault,
}

/// A keeper of a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its index, from 1.
    pub index: u8,
    /// Its keys and address now.
    pub keeper: LedgerKeeper,
    /// The newest version of which it has acknowledged a share.
    pub held: u32,
    /// The highest version that it has said to have erased, with all below.
    pub erased: u32,
}

/// A vault's guesses, at the time of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// How many there are when none is spent.
    pub limit: u32,
    /// How many are left.
    pub left: u32,
    /// How many there may be between two right ones, those that came back included.
    pub lifetime: u32,
    /// How many of these are left; at 0 the vault is locked.
    pub lifetime_left: u32,
    /// The least time between two, in milliseconds.
    pub cool_down_ms: u64,
    /// The time in which one comes back, in milliseconds; 0: none does.
    pub refill_ms: u64,
    /// The first block time at which there may be one, in milliseconds since 1970; none if time alone brings none back.
    pub next_ms: Option<u64>,
}

impl VaultStatus {
    /// What is public of it, checked.
    pub const fn vault(&self) -> &Vault {
        &self.vault
    }

    /// How often it was sealed.
    pub const fn version(&self) -> u32 {
        self.vault.facts().version
    }

    /// How many of its keepers have not said that they erased their share of it.
    pub fn holding(&self) -> usize {
        self.holders.iter().filter(|holder| holder.holds(self.version())).count()
    }
}

impl Holder {
    /// Whether it has a share of that version, as far as the ledger knows.
    pub const fn holds(&self, version: u32) -> bool {
        self.held == version && self.erased < version
    }
}

impl Client {
    /// A vault of the account; none if it was never sealed.
    pub async fn vault_status(&self, name: &VaultName) -> Result<Option<VaultStatus>, VaultError> {
        self.status_since(&self.view()?, name, 0).await
    }

    /// The same, not from before a block that was seen already.
    pub(super) async fn status_since(
        &self,
        view: &View,
        name: &VaultName,
        min_height: u64,
    ) -> Result<Option<VaultStatus>, VaultError> {
        let message = ShowVaultRequest { vault: name.id().to_vec().into() };
        let shown = self.answer(self.vaults().show(self.request(message)).await)?;
        read(view, &RuleName { owner: view.account, name: name.id() }, &shown, min_height)
    }
}

fn read(
    view: &View,
    name: &RuleName,
    shown: &ShowVaultResponse,
    min_height: u64,
) -> Result<Option<VaultStatus>, VaultError> {
    let rule = vault_rule(name);
    let found = view.state(VAULT, &vault_key(&rule), &shown.vault, min_height)?;
    let Some(value) = found.value else { return Ok(None) };
    let state = VaultState::decode(&value).map_err(EvidenceError::malformed(VAULT))?;
    let sealing = sealing(view, &state, &shown.sealing)?;
    let shares = shares(view, &state, &sealing, &shown.shares)?;
    let keepers = these(view, &shares.keepers, &shown.keepers, min_height)?;
    if shown.holders.len() != keepers.len() {
        return Err(EvidenceError::Substituted("more or fewer holders than the vault has").into());
    }
    let mut holders = Vec::new();
    for ((index, keeper), receipt) in (1..).zip(&keepers).zip(&shown.holders) {
        let held = view.state(HOLDER, &holder_key(&rule, &keeper.id), receipt, min_height)?.value;
        let held = held.ok_or(EvidenceError::Substituted("a keeper that holds nothing of the vault"))?;
        let HolderState { held, erased } =
            HolderState::decode(&held).map_err(EvidenceError::malformed(HOLDER))?;
        holders.push(Holder { index, keeper: keeper.clone(), held, erased });
    }
    Ok(Some(VaultStatus {
        destroyed: state.destroyed,
        attempts: counter(view, &rule, &shown.counter, min_height)?,
        vault: checked(view, &state, &sealing, &shares, &keepers)?,
        holders,
        sealing,
        receipt: shown.sealing.to_vec(),
        leaf_index: state.sealing_leaf,
        height: found.height,
        time_ms: found.time_ms,
    }))
}

/// The sealing of a receipt: accepted, of this vault, and the one whose hash the vault's state names.
fn sealing(view: &View, state: &VaultState, receipt: &[u8]) -> Result<Sealing, VaultError> {
    let substituted = |what| VaultError::Evidence(EvidenceError::Substituted(what));
    let record = view.record(SEALING, receipt)?;
    let Some(Entry::Authored(Authored { act: Act::Vault(VaultAct::Seal { sealing, .. }), .. })) =
        record.entry
    else {
        return Err(substituted("a record that seals nothing as the sealing"));
    };
    if !record.outcome.is_accepted() {
        return Err(substituted("a sealing that the ledger refused"));
    }
    if sealing.vault != state.vault {
        return Err(substituted("the sealing of another vault"));
    }
    if sealing.hash() != state.sealing {
        return Err(substituted("a sealing that is not the newest"));
    }
    Ok(*sealing)
}

/// The present shares: those of the sealing, or those that were dealt anew last.
fn shares(view: &View, state: &VaultState, sealing: &Sealing, receipt: &[u8]) -> Result<Shares, VaultError> {
    if state.shares == state.sealing {
        return Ok(sealing.shares.clone());
    }
    let substituted = |what| VaultError::Evidence(EvidenceError::Substituted(what));
    let record = view.record(SHARES, receipt)?;
    let Some(Entry::Authored(Authored { act: Act::Vault(VaultAct::Refresh { refresh, .. }), .. })) =
        record.entry
    else {
        return Err(substituted("a record that deals nothing as the dealing of the shares"));
    };
    if !record.outcome.is_accepted() || refresh.hash() != state.shares {
        return Err(substituted("shares that are not the present ones"));
    }
    Ok(refresh.shares)
}

fn checked(
    view: &View,
    state: &VaultState,
    sealing: &Sealing,
    shares: &Shares,
    keepers: &[LedgerKeeper],
) -> Result<Vault, VaultError> {
    Ok(Vault::check(VaultFacts {
        chain_id: view.chain_id(),
        account: sealing.vault.owner,
        vault: sealing.vault.name,
        version: sealing.version,
        share_version: state.share_version,
        mode: match sealing.mode {
            SealedMode::Own => VaultMode::Own,
            SealedMode::Vault => VaultMode::Vault,
        },
        threshold: shares.threshold(),
        keepers: keepers.iter().map(LedgerKeeper::of_vault).collect(),
        evaluation: shares.evaluation.clone(),
        mask: shares.mask.clone(),
        proof_key: sealing.terms.success_key,
        stretch: VaultStretch {
            memory_kib: sealing.stretching.memory_kib,
            passes: sealing.stretching.passes,
            lanes: sealing.stretching.lanes,
        },
        ciphertext_hash: sealing.ciphertext_hash,
        shares_hash: state.shares,
    })?)
}

/// The counter as it stood at the time of its block: the contract's own reckoning.
fn counter(view: &View, rule: &[u8; 32], receipt: &[u8], min_height: u64) -> Result<Attempts, VaultError> {
    let found = view.state(COUNTER, &attempts_key(rule), receipt, min_height)?;
    let (height, time_ms) = (found.height, found.time_ms);
    let chain_id = view.chain_id();
    let context = Context { chain_id: &chain_id, height, time_ms, leaf_index: 0 };
    let counter = match attempts::counter(&One(found.value), &context, rule) {
        Ok(counter) => counter,
        Err(Stop::Broken(source)) => return Err(EvidenceError::malformed(COUNTER)(source).into()),
        Err(Stop::Refused(_)) => {
            return Err(EvidenceError::Substituted("a vault without a counter of attempts").into());
        }
    };
    let AttemptsState { terms, spent, granted, .. } = &counter;
    Ok(Attempts {
        limit: terms.limit,
        left: terms.limit.saturating_sub(*spent).min(terms.lifetime.saturating_sub(*granted)),
        lifetime: terms.lifetime,
        lifetime_left: terms.lifetime.saturating_sub(*granted),
        cool_down_ms: terms.cool_down_ms,
        refill_ms: terms.refill_ms,
        next_ms: attempts::next_ms(&counter),
    })
}

/// One proven value, as the contract reads the state.
struct One(Option<Vec<u8>>);

impl StateView for One {
    fn get(&self, _key: &[u8]) -> Option<&[u8]> {
        self.0.as_deref()
    }
    // Reading a counter writes nothing.
    fn put(&mut self, _key: Vec<u8>, _value: Vec<u8>) {}
    fn put_until(&mut self, _key: Vec<u8>, _value: Vec<u8>, _end: End) {}
}

/// Whether an attempt at this vault takes the account's own word.
pub(super) fn asks_account(sealing: &Sealing) -> bool {
    sealing.terms.askers.contains(&Party::Credential(sealing.vault.owner))
}
