//! Handing in what a person signed about a vault: once under each idempotency key, and settled whatever stops between.
//!
//! The service signs nothing here and can change nothing: it decodes the entry to see that it is the call's own and the
//! session's. An attempt that is handed in again is the same attempt to the ledger for a day, so that neither a retry nor
//! settling spends a second guess.

use keyward_domain::{AccountId, Code};
use keyward_ledger_core::{
    entry::{Entry, RuleName, VaultAct},
    state::vault::{VaultState as Stands, vault_key},
    vault::vault_rule,
};
use keyward_policies::Verb;
use keyward_store::{Act as Row, ActKind, Change, IdempotencyKey as Name, VaultState};

use super::{act_of, floods::Flood, malformed};
use crate::{
    acts::{Plan, Settled, heights},
    caller::Caller,
    custody::Custody,
    failure::Failure,
    handed_in,
    once::{Once, request_hash},
    ports::Final,
};

/// Vaults of an account at once.
pub(crate) const VAULTS_MAX: usize = 16;
/// How long what was left is handed in again: half of the time for which the ledger takes an attempt for the same one.
const AGAIN_MS: u64 = 12 * 60 * 60 * 1000;

/// What may be handed in, one call each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Seal,
    Attempt,
    Open,
    Destroy,
}

impl Kind {
    const fn verb(self) -> Verb {
        match self {
            Self::Seal => Verb::VaultSeal,
            Self::Attempt | Self::Open => Verb::VaultRecover,
            Self::Destroy => Verb::VaultDestroy,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Seal => "vault.seal",
            Self::Attempt => "vault.attempt",
            Self::Open => "vault.open",
            Self::Destroy => "vault.destroy",
        }
    }

    /// Keepers hand in what they erased or dealt anew themselves.
    const fn of(act: &VaultAct) -> Option<Self> {
        match act {
            VaultAct::Seal { .. } => Some(Self::Seal),
            VaultAct::Attempt(_) => Some(Self::Attempt),
            VaultAct::Open { .. } => Some(Self::Open),
            VaultAct::Destroy { .. } => Some(Self::Destroy),
            VaultAct::Erase { .. } | VaultAct::Refresh { .. } => None,
        }
    }
}

/// What a person hands in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandIn<'a> {
    pub(crate) kind: Kind,
    pub(crate) entry: &'a [u8],
    pub(crate) mark: &'a [u8],
    /// The one-time code; attempts alone need one.
    pub(crate) code: &'a str,
}

/// An entry that is final and accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandedIn {
    pub(crate) leaf_index: u64,
    pub(crate) receipt: Vec<u8>,
}

/// What is kept of an accepted record: `u64 leaf index || receipt`.
pub(crate) fn kept(record: &dyn Final) -> Vec<u8> {
    [&record.leaf_index().to_be_bytes()[..], &record.receipt(None)].concat()
}

impl HandedIn {
    pub(crate) fn of(record: &dyn Final) -> Self {
        Self { leaf_index: record.leaf_index(), receipt: record.receipt(None) }
    }

    pub(crate) fn of_kept(bytes: &[u8]) -> Result<Self, Failure> {
        let (leaf_index, receipt) =
            bytes.split_first_chunk().ok_or_else(|| Failure::internal("a kept response cannot be read"))?;
        Ok(Self { leaf_index: u64::from_be_bytes(*leaf_index), receipt: receipt.to_vec() })
    }
}

impl Custody {
    /// Hands an entry in and waits until it is final. Once begun it runs to its end: run it in a task of its own.
    pub(crate) async fn hand_in(&self, caller: &Caller, what: HandIn<'_>) -> Result<HandedIn, Failure> {
        let _permit = self.permit()?;
        let account = self.vault_account(caller, what.kind.verb())?;
        let (entry, vault) = own_entry(what.kind, what.entry, account)?;
        // The code is none of the request: a retry shows the next one, and needs none once the first try came through.
        let hash = request_hash(what.kind.name(), &[&account.0, what.entry]);
        let name = match self.once(caller, what.mark, hash).await? {
            Once::Done(bytes) => return HandedIn::of_kept(&bytes),
            Once::Fresh(name) => name,
        };
        if let Err(failure) = self.check_hand_in(account, &vault, &what).await {
            self.give_back(name).await;
            return Err(failure);
        }
        let plan = self.plan_of(what.kind, entry, vault, name);
        HandedIn::of_kept(&self.perform(plan).await?)
    }

    /// What the service asks for before it hands in. The code comes last: one that was right is used up.
    async fn check_hand_in(
        &self,
        account: AccountId,
        vault: &RuleName,
        what: &HandIn<'_>,
    ) -> Result<(), Failure> {
        self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
        match what.kind {
            Kind::Seal => self.check_vaults(account, vault).await,
            Kind::Attempt => self.check_code(account, what.code).await,
            Kind::Open | Kind::Destroy => Ok(()),
        }
    }

    async fn check_vaults(&self, account: AccountId, vault: &RuleName) -> Result<(), Failure> {
        let rows = self.store.vaults(account.0).await?;
        let live = rows.iter().filter(|row| row.state != VaultState::Ended && row.vault != vault.name);
        if live.count() < VAULTS_MAX {
            return Ok(());
        }
        Err(Failure::new(Code::VaultsMax, format!("the account has `{VAULTS_MAX}` vaults")))
    }

    fn plan_of(&self, kind: Kind, entry: Entry, vault: RuleName, name: Option<Name>) -> Plan {
        let RuleName { owner: account, name: vault } = vault;
        let created_ms = self.clock.now_ms();
        let (before, accepted, refused) = match kind {
            // Known before it is sealed: a closing of the account that comes between ends it too.
            Kind::Seal => (
                vec![Change::NeedOpenAccount(account), Change::RememberVault { account, vault, created_ms }],
                vec![Change::SealVault { account, vault, created_ms }],
                vec![Change::ForgetPendingVault { account, vault }],
            ),
            Kind::Destroy => {
                (Vec::new(), vec![Change::EndVault { account, vault, leaf_index: None }], Vec::new())
            }
            Kind::Attempt | Kind::Open => (Vec::new(), Vec::new(), Vec::new()),
        };
        let (subject, entries, app) = (account, vec![entry], String::new());
        Plan { kind: ActKind::Vault, subject, entries, before, accepted, refused, name, app }
    }

    /// Settles an entry that a crash or an outage left: looked for, and handed in again if it is not there. None while it
    /// may still come by itself.
    pub(crate) async fn settle_vault(
        &self,
        act: &Row,
        entries: &[Entry],
    ) -> Result<Option<Settled>, Failure> {
        let act_on = entries.first().and_then(|entry| act_of(entry).map(|act_on| (entry, act_on)));
        let Some((entry, act_on)) = act_on else { return Ok(Some(Settled::undone(Vec::new()))) };
        let mut found = self.ledger.accepted_within(heights(act), entry.clone()).await?;
        // Only the program that began a recovery can use its attempt; handed in later it would be a guess for nobody.
        let again = !matches!(act_on, VaultAct::Attempt(_));
        if found.is_none() && again && self.clock.now_ms() < act.created_ms.saturating_add(AGAIN_MS) {
            found = self.hand_in_again(act, entry).await?;
        } else if found.is_none() && self.ledger.height() <= act.until {
            return Ok(None);
        }
        let changes = self.follow_vault(act_on.vault()).await?;
        Ok(Some(Settled { changes, receipt: found.map(|record| kept(record.as_ref())) }))
    }

    /// Brings a vault's row in step with the ledger.
    async fn follow_vault(&self, vault: &RuleName) -> Result<Vec<Change>, Failure> {
        let stands = self.ledger.state(vault_key(&vault_rule(vault))).await?;
        let stands = stands.map(|value| Stands::decode(&value).map_err(Failure::internal)).transpose()?;
        let RuleName { owner: account, name: vault } = *vault;
        Ok(vec![match stands {
            None => Change::ForgetPendingVault { account, vault },
            Some(stands) if stands.destroyed => Change::EndVault { account, vault, leaf_index: None },
            Some(_) => Change::SealVault { account, vault, created_ms: self.clock.now_ms() },
        }])
    }
}

/// The entry, if it is exactly one of the call's kind, about a vault of the account.
fn own_entry(kind: Kind, bytes: &[u8], account: AccountId) -> Result<(Entry, RuleName), Failure> {
    let entry = handed_in::read(bytes, Code::VaultRequestMalformed)?;
    let act = act_of(&entry).filter(|act| Kind::of(act) == Some(kind));
    let act = act.ok_or_else(|| malformed(format!("the entry is none of `{}`", kind.name())))?;
    let vault = *act.vault();
    if vault.owner != account.0 {
        return Err(Failure::new(Code::NotAllowed, "the vault is not one of the session's account"));
    }
    if let VaultAct::Seal { sealing, .. } = act
        && !sealing.is_sound()
    {
        return Err(Failure::new(Code::VaultInvalid, "a number or list of the sealing is out of its bounds"));
    }
    Ok((entry, vault))
}
