//! Closed own epochs are dealt: what opens them goes to keepers, and then from this device.
//!
//! INVARIANT: nothing is erased here before the record of its dealing is verified: the ledger takes none past the end that its
//! acknowledgements bind, and keepers hold their shares until then, and afterwards if it has it. What a stop leaves in between is
//! gone on with from a file that holds nothing secret: the same dealing again, or another one in its place.

mod error;
mod pending;
mod run;

use std::ops::RangeInclusive;
use std::time::Instant;

use keyward_crypto::viewing::{Dealing, DealingPlan, deal};
use keyward_domain::{Code, viewing_deposit_message};
use keyward_ledger_core::ed25519;
use keyward_ledger_core::entry::{Act, AddressAct, Custody, DealViewing};
use keyward_ledger_core::unlinkable::DealtRun;
use keyward_proto::custody::viewings_client::ViewingsClient;
use keyward_proto::custody::{AuditEntryRequest, DealViewingRequest, DealtShare};
use tonic::codegen::Bytes;
use tonic::transport::Channel;

pub use error::DealError;
use pending::{Pending, PendingFile};
use run::next_run;
pub use run::undealt_days;

use super::chosen::Chosen;
use super::error::AddressesError;
use super::root::OwnRoot;
use super::scan::LOOKS_MAX;
use crate::client::{Client, idempotency_key};
use crate::delegation::Done;
use crate::error::ClientError;
use crate::person::Login;
use crate::petition::Petition;
use crate::vault::entry::SIGNED_BLOCKS;
use crate::vault::keepers::Keepers;
use crate::vault::seal::choose;
use crate::vault::{KeeperChoice, LedgerKeeper, VaultError};

/// How many keepers there are where nobody says.
const KEEPERS_DEFAULT: usize = 5;
/// For how long a dealing may be recorded, from the state on that this side knows, in milliseconds of ledger time: half of what
/// keepers take.
const RECORDED_WITHIN_MS: u64 = 6 * 60 * 60 * 1_000;

/// How closed epochs are dealt.
#[derive(Clone, Debug, Default)]
pub struct DealOrder {
    /// Up to this epoch; without it, whole days that are over.
    pub through: Option<u32>,
    /// Who keeps shares; without it, all of the ledger's up to five, drawn at random.
    pub keepers: Option<KeeperChoice>,
    /// How many of them open a run; without it, more than half.
    pub threshold: Option<u8>,
    /// Whether payments that are known to be some and were not used are given up: their keys go with the epochs.
    pub abandon: bool,
}

/// A run of epochs that is dealt, and erased here.
#[derive(Clone, Debug)]
pub struct DealtEpochs {
    /// The first epoch.
    pub first: u32,
    /// The last one.
    pub last: u32,
    /// How many keepers open it.
    pub threshold: u8,
    /// The keepers' ids, ascending.
    pub keepers: Vec<[u8; 32]>,
    /// Payments to this account that were announced in these epochs, and of which nobody has said that anything was paid: nobody can
    /// use them any more.
    pub unconfirmed: usize,
    /// The record of it.
    pub done: Done,
}

impl Client {
    /// Dealings, for calls made by hand.
    pub fn viewings(&self) -> ViewingsClient<Channel> {
        ViewingsClient::new(self.channel())
    }

    /// Deals the next run of closed epochs, at most a day of them, and erases on this device what opens them; gone on with where an
    /// earlier call was stopped. Nothing if there is none to deal.
    pub async fn deal_address_epochs(
        &self,
        login: &Login,
        root: &OwnRoot<'_>,
        order: &DealOrder,
    ) -> Result<Option<DealtEpochs>, DealError> {
        let client = self.clone().with_account(login.session.account);
        if root.device().account() != login.session.account {
            return Err(VaultError::OtherAccount.into());
        }
        let file = PendingFile::lock(root.device())?;
        let chosen = client.chosen_addresses().await?;
        chosen.need(Custody::Own)?;
        let known = client.keepers_of(&client.view()?).await?;
        let left = file.read()?;
        if let Some(left) = &left
            && let Some(entry) = &left.entry
        {
            match client.record_dealing(entry).await {
                Ok(done) => return finish(root, &file, left, done).map(Some),
                Err(AddressesError::Client(error)) if is_final(&error) => file.remove()?,
                Err(error) => return Err(error.into()),
            }
        }
        // What the account's own word has dealt is erased on every device.
        if let Some(dealt) = chosen.state.dealt
            && root.read()?.viewing.first() <= dealt
        {
            root.forget_through(dealt)?;
        }
        let Some(run) = next_run(&chosen.state, known.time_ms, order.through)? else { return Ok(None) };
        let same = left.filter(|left| left.entry.is_none() && left.serves(run, order, &known));
        let pending = match same {
            Some(left) => left,
            None => client.draft_dealing(root, (&chosen, &known), run, order).await?,
        };
        file.write(&pending)?;
        let pending = client.signed_dealing(login, pending, &known).await?;
        file.write(&pending)?;
        let entry = pending.entry.as_deref().unwrap_or_default();
        match client.record_dealing(entry).await {
            Ok(done) => finish(root, &file, &pending, done).map(Some),
            Err(error) => {
                // Else somebody may yet have it recorded: it is asked for again.
                if matches!(&error, AddressesError::Client(error) if is_final(error)) {
                    file.remove()?;
                }
                Err(error.into())
            }
        }
    }

    /// Looks through all announcements of some epochs.
    async fn find_all_payments(
        &self,
        root: &OwnRoot<'_>,
        epochs: RangeInclusive<u32>,
    ) -> Result<(), AddressesError> {
        let mut from = 0;
        for _ in 0..LOOKS_MAX {
            let scan = self.scan_own_payments(root, epochs.clone(), from, &[], &[]).await?;
            match scan.next_leaf_index {
                None => return Ok(()),
                Some(next) => from = next,
            }
        }
        Err(AddressesError::Substituted { what: "announcements without end" })
    }

    /// Deals a run anew; nobody has heard of it yet.
    async fn draft_dealing(
        &self,
        root: &OwnRoot<'_>,
        (chosen, known): (&Chosen, &Keepers),
        run: (u32, u32),
        order: &DealOrder,
    ) -> Result<Pending, DealError> {
        let (first, last) = run;
        // What was paid in these epochs is found now, or never; what is given up needs not be looked for.
        if !order.abandon {
            self.find_all_payments(root, first..=last).await?;
        }
        let book = root.read()?;
        let unclosed = book.unclosed_through(last);
        if !unclosed.is_empty() {
            return Err(DealError::Unclosed { epochs: unclosed });
        }
        let unspent = book.unspent_through(last);
        if unspent > 0 && !order.abandon {
            return Err(DealError::Unspent { count: unspent, last });
        }
        let choice = order.keepers.clone();
        let choice = choice.unwrap_or(KeeperChoice::Any(known.list.len().min(KEEPERS_DEFAULT)));
        let threshold = order.threshold.unwrap_or_else(|| majority(&choice));
        let mut keepers = choose(known.list.clone(), &choice, threshold)?;
        keepers.sort_by_key(|keeper| keeper.id);
        let cover = book.viewing.cover(first..=last).ok_or(AddressesError::Erased { epoch: first })?;
        let plan = DealingPlan {
            chain_id: self.view()?.chain_id(),
            account: chosen.account,
            expires_ms: known.time_ms.saturating_add(RECORDED_WITHIN_MS),
            threshold,
            keepers: keepers.iter().map(LedgerKeeper::of_vault).collect(),
        };
        let (dealing, shares) = deal(&plan, &cover)?;
        Ok(Pending { dealing, shares, entry: None })
    }

    /// Has every keeper acknowledge its share, and signs what is to be recorded.
    async fn signed_dealing(
        &self,
        login: &Login,
        pending: Pending,
        known: &Keepers,
    ) -> Result<Pending, DealError> {
        let acknowledgements = self.acknowledged_dealing(login, &pending, known).await?;
        let deal = DealViewing {
            run: run_of(&pending.dealing),
            threshold: pending.dealing.threshold,
            acknowledgements,
        };
        let mut petition = Petition::new(pending.dealing.chain_id, Act::Addresses(AddressAct::Deal(deal)));
        let not_after = known.height.saturating_add(SIGNED_BLOCKS);
        petition.sign(login.party(), &login.credential, not_after).map_err(AddressesError::Word)?;
        Ok(Pending { entry: Some(petition.entry().encode()), ..pending })
    }

    /// Every keeper's acknowledgement, by ascending id; all of them, or none counts.
    async fn acknowledged_dealing(
        &self,
        login: &Login,
        pending: &Pending,
        known: &Keepers,
    ) -> Result<Vec<([u8; 32], [u8; 64])>, DealError> {
        let Pending { dealing, shares, .. } = pending;
        let message = viewing_deposit_message(&dealing.chain_id, &dealing.hash());
        let signature = login.credential.sign_message(&message).map_err(AddressesError::Sign)?;
        let share = |(keeper, share): (&[u8; 32], &Vec<u8>)| DealtShare {
            keeper_id: Bytes::copy_from_slice(keeper),
            share: share.clone().into(),
        };
        let request = DealViewingRequest {
            dealing: dealing.encode().into(),
            shares: dealing.keepers.iter().zip(shares).map(share).collect(),
            signature: signature.into(),
        };
        let answer = self.answer(self.viewings().deal(self.request(request)).await)?.acknowledgements;
        if answer.len() != dealing.keepers.len() {
            return Err(
                AddressesError::Substituted { what: "more or fewer answers than there are keepers" }.into()
            );
        }
        let run = run_of(dealing);
        let (mut given, mut silent, mut willing) = (Vec::new(), Vec::new(), Vec::new());
        for (id, signature) in dealing.keepers.iter().zip(&answer) {
            let keeper = known.list.iter().find(|keeper| keeper.id == *id);
            let name = keeper.map_or_else(|| hex::encode(id), |keeper| keeper.name.clone());
            let signature = <[u8; 64]>::try_from(&signature[..]).ok();
            let signed = signature.filter(|signature| {
                let message = run.acknowledgement_message(&dealing.chain_id, id);
                keeper.is_some_and(|keeper| ed25519::verify(&keeper.key, &message, signature).is_ok())
            });
            match signed {
                Some(signature) => {
                    given.push((*id, signature));
                    willing.push(name);
                }
                None => silent.push(name),
            }
        }
        if silent.is_empty() {
            return Ok(given);
        }
        Err(DealError::NotAcknowledged { silent, willing, threshold: dealing.threshold })
    }

    /// Has the dealing recorded, or finds that it is.
    async fn record_dealing(&self, entry: &[u8]) -> Result<Done, AddressesError> {
        let message = AuditEntryRequest { entry: entry.to_vec().into(), idempotency_key: idempotency_key()? };
        let (patient, message) = (self.patient(), &message);
        let answer = patient.try_again(Instant::now() + self.deadline, |left| async move {
            self.answer(self.viewings().record(self.request_within(message.clone(), left)).await)
        });
        let receipt = answer.await?.receipt;
        let verdict = self.recorded_address(&receipt, "the dealing", |found| found.encode() == entry)?;
        let (leaf_index, time_ms) = (verdict.leaf_index, verdict.time_ms);
        Ok(Done { receipt: receipt.to_vec(), leaf_index, time_ms })
    }
}

/// The dealing is recorded: what it opens is erased here.
fn finish(
    root: &OwnRoot<'_>,
    file: &PendingFile<'_>,
    pending: &Pending,
    done: Done,
) -> Result<DealtEpochs, DealError> {
    let Dealing { first, last, threshold, ref keepers, .. } = pending.dealing;
    let unconfirmed = root.read()?.unconfirmed_through(last);
    root.forget_through(last)?;
    file.remove()?;
    Ok(DealtEpochs { first, last, threshold, keepers: keepers.clone(), unconfirmed, done })
}

fn run_of(dealing: &Dealing) -> DealtRun {
    let Dealing { account, first, last, expires_ms, .. } = *dealing;
    DealtRun { account, first, last, dealing_hash: dealing.hash(), expires_ms }
}

fn majority(choice: &KeeperChoice) -> u8 {
    let count = match choice {
        KeeperChoice::Any(count) => *count,
        KeeperChoice::Named(names) => names.len(),
    };
    u8::try_from(count / 2 + 1).unwrap_or(u8::MAX)
}

/// Whether the service has said for good that the entry is not recorded and will not be.
fn is_final(error: &ClientError) -> bool {
    let ClientError::Refused(refusal) = error else { return false };
    let not_asked = [Code::SessionRequired, Code::SessionExpired, Code::NotAllowed];
    !refusal.retry && refusal.code.is_none_or(|code| !not_asked.contains(&code))
}
