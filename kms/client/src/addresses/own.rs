//! Signing with an address of an own root: begun with the service, recorded with the address's own word, signed here.
//!
//! Before anybody hears of it, this side writes down that the address is used and for what. So a command that was killed goes on
//! where it stopped when it is given again, and no address ever signs two payloads.

use std::time::Instant;

use keyward_domain::Code;
use keyward_domain::detail::ApprovedBy;
use keyward_ledger_core::entry::{Custody, Entry, UseAddress};
use keyward_ledger_core::hash::commitment;
use keyward_ledger_core::receipt::{Receipt, Released};
use keyward_ledger_core::unlinkable::use_address_message;
use keyward_proto::custody::{
    BeginAddressRequest, FinishAddressRequest, RecordAddressRequest, SignAddressResponse,
};

use super::book::{AddressSource, Begun, Book};
use super::chosen::Chosen;
use super::entry::source_to_proto;
use super::error::AddressesError;
use super::intent::Asked;
use super::order::AddressOrder;
use super::root::OwnRoot;
use super::sign::{AddressSignature, Which, key_of};
use crate::client::{Client, bytes32};
use crate::error::ClientError;

/// A use that was begun, in an epoch.
pub(super) struct Started {
    pub(super) epoch: u32,
    pub(super) begun: Begun,
}

impl Client {
    /// Signs an order with an own address, and has it recorded as the service's own signatures are. The same payload for the same
    /// address goes on where it stopped.
    pub async fn sign_own_address(
        &self,
        root: &OwnRoot<'_>,
        order: &AddressOrder,
        which: Which,
    ) -> Result<AddressSignature, AddressesError> {
        order.refuse_reserved()?;
        let chosen = self.chosen_addresses().await?;
        chosen.need(Custody::Own)?;
        match self.sign_own_once(root, &chosen, order, which).await {
            // A file that an older copy took the place of gives out what was used: what was seen used is skipped, once.
            Err(AddressesError::Client(ClientError::Refused(refusal)))
                if which == Which::Fresh && refusal.code == Some(Code::AddressUsed) =>
            {
                let epoch = chosen.present()?;
                self.recover_own_addresses(root, epoch..=epoch).await?;
                self.sign_own_once(root, &chosen, order, which).await
            }
            signed => signed,
        }
    }

    async fn sign_own_once(
        &self,
        root: &OwnRoot<'_>,
        chosen: &Chosen,
        order: &AddressOrder,
        which: Which,
    ) -> Result<AddressSignature, AddressesError> {
        let begun = match which {
            Which::Fresh => self.resumed_approved(root, order).await?,
            Which::Given(address) => {
                let book = root.read()?;
                let source = book.source(&address)?;
                let resumed = self.resumed(root, &book, (&source, order)).await?;
                resumed.map(|started| (source, started))
            }
        };
        let (source, started) = match begun {
            Some(begun) => begun,
            None => {
                // Before an address is given out for what nobody approves.
                let approved = self.own_approval(&chosen.account, order).await?;
                let source = source(root, chosen, which)?;
                let asked = (order, approved);
                let recorded = match self.begun_and_recorded(root, chosen, &source, asked).await {
                    Err(error) if error.is_stale() => {
                        self.begun_and_recorded(root, chosen, &source, asked).await?
                    }
                    recorded => recorded?,
                };
                (source, recorded)
            }
        };
        let book = root.read()?;
        let (address, key) = (book.address(&source)?, book.key(&source, order.scheme())?);
        let signature = key.sign_digest(order.payload_hash()).map_err(AddressesError::Sign)?;
        let (answer, released) = self.finish_begun((&source, &started), order, &signature).await?;
        if answer.signature != signature {
            return Err(AddressesError::Substituted { what: "another signature than the one made here" });
        }
        let signed = self.believed_address(order, Which::Given(address), answer)?;
        if signed.source != source {
            return Err(AddressesError::Substituted { what: "another source of the address" });
        }
        let signed = AddressSignature { released, ..signed };
        // Whoever has the signature needs nothing to go on with.
        root.update(|book| {
            if let Some(spent) = book.of_intent(started.epoch, &started.begun.body) {
                spent.begun = None;
            }
            Ok(())
        })?;
        Ok(signed)
    }

    async fn begun_and_recorded(
        &self,
        root: &OwnRoot<'_>,
        chosen: &Chosen,
        source: &AddressSource,
        asked: (&AddressOrder, Option<ApprovedBy>),
    ) -> Result<Started, AddressesError> {
        let begun = self.begun(root, chosen, source, asked).await?;
        self.record_begun(root, begun).await
    }

    /// A use of the address that was begun for this very payload, if the ledger has it.
    pub(super) async fn resumed(
        &self,
        root: &OwnRoot<'_>,
        book: &Book,
        (source, order): (&AddressSource, &AddressOrder),
    ) -> Result<Option<Started>, AddressesError> {
        let Some((epoch, spent)) = book.spent(source) else {
            return if book.is_paid_out(source) { Err(AddressesError::Spent) } else { Ok(None) };
        };
        let Some(begun) = spent.begun.clone() else { return Err(AddressesError::Spent) };
        let used = UseAddress::from_body(&begun.body, begun.proof)?;
        let is_same = used.scheme == order.scheme()
            && used.commitment == commitment(&begun.opening, order.payload_hash());
        let started = Started { epoch, begun };
        let recorded = match spent.leaf {
            Some(_) => Ok(started),
            None => self.record_begun(root, started).await,
        };
        match recorded {
            Ok(started) if is_same => Ok(Some(started)),
            Ok(_) => Err(AddressesError::Spent),
            // Nothing of it stands in the log, and what begins again is of the same payload.
            Err(error) if is_same && error.is_stale() => Ok(None),
            Err(AddressesError::Client(ClientError::Refused(refusal))) if !refusal.retry => match source {
                // A refused intent stands in the log as well: another one of this address would be linked to it.
                AddressSource::Index { .. } => Err(AddressesError::Spent),
                // What was paid has no other address. Should the ledger have the first intent after all, it refuses this one.
                AddressSource::Payment { .. } => Ok(None),
            },
            Err(error) => Err(error),
        }
    }

    /// Has the service make the intent; the address vouches for it if it is the one that was asked for. That is written down
    /// before it leaves.
    async fn begun(
        &self,
        root: &OwnRoot<'_>,
        chosen: &Chosen,
        source: &AddressSource,
        (order, approved): (&AddressOrder, Option<ApprovedBy>),
    ) -> Result<Started, AddressesError> {
        let book = root.read()?;
        let (address, key) = (book.address(source)?, book.key(source, order.scheme())?);
        let epoch = epoch_of_use(chosen, source)?;
        let view = book.view(epoch)?;
        let request = BeginAddressRequest {
            viewing_leaf: view.expose(|leaf| leaf.to_vec()).into(),
            spending_point: book.spending(source.epoch())?.encode()?.into(),
            source: Some(source_to_proto(source)),
            public_key: address.to_vec().into(),
            scheme: order.scheme().name().to_owned(),
            payload: Some(order.to_begin()),
            format: order.format().to_owned(),
            idempotency_key: order.mark(),
            epoch,
            case_id: order.case_id(),
        };
        let (patient, request) = (self.patient(), &request);
        let answer = patient.try_again(Instant::now() + self.deadline, |left| async move {
            self.answer(self.addresses().begin(self.request_within(request.clone(), left)).await)
        });
        let answer = answer.await?;
        let opening = bytes32("opening", &answer.opening)?;
        let asked = Asked {
            account: chosen.account,
            epoch_ms: chosen.state.epoch_ms,
            view: &view,
            source: *source,
            public_key: address,
            order,
            approved,
        };
        asked.check(&answer.intent, &opening)?;
        let message = use_address_message(&self.address_trust()?.chain_id, &answer.intent);
        let proof = key.sign_message(&message).map_err(AddressesError::Sign)?;
        let proof =
            proof[..].try_into().map_err(|_length| AddressesError::Intent { what: "cannot be signed" })?;
        let begun = Begun { body: answer.intent.to_vec(), opening, proof, receipt: Vec::new() };
        root.update(|book| book.begin(epoch, *source, begun.clone()))?;
        Ok(Started { epoch, begun })
    }

    /// Has the intent recorded, or asks again for its receipt: that, and nothing less, lets the address sign.
    pub(super) async fn record_begun(
        &self,
        root: &OwnRoot<'_>,
        started: Started,
    ) -> Result<Started, AddressesError> {
        let Started { epoch, begun } = started;
        let used = UseAddress::from_body(&begun.body, begun.proof)?;
        let request =
            RecordAddressRequest { intent_id: used.id.to_vec().into(), proof: begun.proof.to_vec().into() };
        let (patient, request) = (self.patient(), &request);
        let answer = patient.try_again(Instant::now() + self.deadline, |left| async move {
            self.answer(self.addresses().record(self.request_within(request.clone(), left)).await)
        });
        let receipt = answer.await?.receipt;
        let is_ours = |entry: &Entry| matches!(entry, Entry::UseAddress(found) if *found == used);
        self.recorded_address(&receipt, "the intent", is_ours)?;
        root.update(|book| book.settle((epoch, &used), &receipt))?;
        Ok(Started { epoch, begun: Begun { receipt: receipt.to_vec(), ..begun } })
    }

    /// Hands the signature in, so that its release is recorded too; says whether it was taken. A service that was started again
    /// waits for it no more: then the receipt that was verified here is all that the signature needs.
    async fn finish_begun(
        &self,
        (source, started): (&AddressSource, &Started),
        order: &AddressOrder,
        signature: &[u8],
    ) -> Result<(SignAddressResponse, bool), AddressesError> {
        let used = UseAddress::from_body(&started.begun.body, started.begun.proof)?;
        let request =
            FinishAddressRequest { intent_id: used.id.to_vec().into(), signature: signature.to_vec().into() };
        let (patient, request) = (self.patient(), &request);
        let answer = patient.try_again(Instant::now() + self.deadline, |left| async move {
            self.answer(self.addresses().finish(self.request_within(request.clone(), left)).await)
        });
        match answer.await {
            Ok(answer) => Ok((answer, true)),
            Err(ClientError::Refused(refusal)) if refusal.code == Some(Code::SigningUnknown) => {
                let (r, payload_hash) = (started.begun.opening, *order.payload_hash());
                let released =
                    Released { public_key: key_of(&used)?, r, payload_hash, signature: signature.to_vec() };
                let receipt = Receipt::decode(&started.begun.receipt)?;
                let answer = SignAddressResponse {
                    public_key: used.public_key.to_vec().into(),
                    signature: signature.to_vec().into(),
                    receipt: Receipt { released: Some(released), ..receipt }.encode().into(),
                    source: Some(source_to_proto(source)),
                };
                Ok((answer, false))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The address that is meant: a fresh one is given out here, and to nobody else ever.
fn source(root: &OwnRoot<'_>, chosen: &Chosen, which: Which) -> Result<AddressSource, AddressesError> {
    match which {
        Which::Fresh => {
            let epoch = chosen.epoch()?.number;
            let index = root.update(|book| book.give_out(epoch))?;
            Ok(AddressSource::Index { epoch, index })
        }
        Which::Given(address) => root.read()?.source(&address),
    }
}

/// What was paid is used at any time, an address of an index in its own epoch.
fn epoch_of_use(chosen: &Chosen, source: &AddressSource) -> Result<u32, AddressesError> {
    match source {
        AddressSource::Payment { .. } => Ok(chosen.epoch()?.number),
        AddressSource::Index { epoch, .. } if chosen.is_under_way(*epoch) => Ok(*epoch),
        AddressSource::Index { epoch, .. } => Err(AddressesError::Expired { epoch: *epoch }),
    }
}
