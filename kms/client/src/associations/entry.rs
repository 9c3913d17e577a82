//! Looking at an association, signing what is wanted of it, and handing in what enough have signed.

use std::time::{Duration, Instant};

use keyward_domain::scheme::KeyId;
use keyward_ledger_core::entry::{Act, AssociationAct, Author, Entry, Party};
use keyward_ledger_core::state::association::{AssociationState, association_key};
use keyward_ledger_core::state::layout::{KeyState, key_key};
use keyward_proto::custody::associations_client::AssociationsClient;
use keyward_proto::custody::{AssociationEntryRequest, ShowAssociationRequest, ShowAssociationResponse};
use tonic::codegen::Bytes;
use tonic::transport::Channel;

use super::check::{Checked, Evidence, MemberEvidence, verify};
use super::error::AssociationError;
use crate::client::{Client, bytes32};
use crate::delegation::Done;
use crate::evidence::EvidenceError;
use crate::person::Login;
use crate::petition::Petition;
use crate::receipts::{Trusted, recent};

/// How many blocks a signature counts: somewhat less than the ledger allows, because the height that this side knows may be
/// some minutes old.
const SIGNED_BLOCKS: u64 = 14_336;
/// How often an entry is handed in where nobody says whether it arrived: it is accepted once.
const HAND_IN_TRIES: u32 = 4;
/// How often members are asked for again because the association changed meanwhile.
const TORN_TRIES: u32 = 4;
/// Receipts of 32 members are longer than the library's 4 MiB where a ledger has many validators.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What the ledger has under an association's id.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The association, if there is one.
    pub state: Option<AssociationState>,
    /// A height that the ledger has passed.
    pub height: u64,
    /// The time of that block, in milliseconds since 1970.
    pub time_ms: u64,
}

impl Client {
    /// Associations, for calls made by hand.
    pub fn associations(&self) -> AssociationsClient<Channel> {
        AssociationsClient::new(self.channel()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// What the ledger has under an association's id.
    pub async fn show_association(&self, association: &[u8; 32]) -> Result<Shown, AssociationError> {
        let trusted = self.association_trust()?;
        let answer = self.ask_association(association, false, &[]).await?;
        let what = "the association";
        let found = trusted.proven(what, &association_key(association), &answer.association)?;
        let state = found.value.map(|value| AssociationState::decode(&value)).transpose();
        let state = state.map_err(EvidenceError::malformed(what))?;
        Ok(Shown { state, height: found.height, time_ms: found.time_ms })
    }

    /// An association of which everything is proven to be one version, and the proofs.
    pub async fn check_association(
        &self,
        association: &[u8; 32],
    ) -> Result<(Checked, Evidence), AssociationError> {
        let trusted = self.association_trust()?;
        let mut tried = 1;
        loop {
            let answer = self.ask_association(association, true, &[]).await?;
            let evidence = evidence(answer);
            match verify(&trusted.file, association, &evidence, Some(recent())) {
                Err(AssociationError::Torn) if tried < TORN_TRIES => tried += 1,
                checked => return Ok((checked?, evidence)),
            }
        }
    }

    /// Signs in the name of the login's account, or with an app's own key ([`Login::of_app`]). Whoever signs what somebody else
    /// made has compared its fingerprint before.
    pub async fn sign_association(
        &self,
        login: &Login,
        petition: &mut Petition,
    ) -> Result<(), AssociationError> {
        let account = login.session.account;
        if self.account != Some(account) {
            return Err(AssociationError::OtherAccount);
        }
        let not_after = self.may_sign(petition).await?;
        Ok(petition.sign(login.party(), &login.credential, not_after)?)
    }

    /// Signs with a key in a token, by its alias or id: the service asks the token, attached to it or at a token agent, which is
    /// told what is signed and signs by its own rules.
    pub async fn sign_association_with_token(
        &self,
        key: &str,
        petition: &mut Petition,
    ) -> Result<(), AssociationError> {
        let shown = self.show_key(key).await?;
        let key_id = KeyId(bytes32("key id", &shown.key_id)?);
        let blank = petition.blank(Party::Key(key_id), self.may_sign(petition).await?)?;
        let signed = self.token_word(&key_id, (petition, &blank), None).await?;
        if signed.public_key.id() != key_id {
            return Err(EvidenceError::Substituted("the signature of another key").into());
        }
        Ok(petition.add(blank.signed(signed.public_key.as_bytes().to_vec(), signed.signature))?)
    }

    /// For which accounts keys have signed a petition, as the ledger proves it. Keys that it does not know are left out.
    pub async fn association_speakers(
        &self,
        petition: &Petition,
    ) -> Result<Vec<(Party, [u8; 32])>, AssociationError> {
        let key_of = |author: &Author| match author.party {
            Party::Key(key_id) => Some(key_id),
            Party::Credential(_) => None,
        };
        let keys: Vec<_> = petition.authors().iter().filter_map(key_of).collect();
        let Act::Association(act) = petition.act() else { return Ok(Vec::new()) };
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let trusted = self.association_trust()?;
        let answer = self.ask_association(act.association(), false, &keys).await?;
        if answer.keys.len() != keys.len() {
            return Err(EvidenceError::Substituted("other keys than it was asked for").into());
        }
        let mut speakers = Vec::new();
        for (key_id, receipt) in keys.into_iter().zip(&answer.keys) {
            let what = "a key that has signed";
            let found = trusted.proven(what, &key_key(&key_id), receipt)?;
            let state = found.value.map(|value| KeyState::decode(&value)).transpose();
            let state = state.map_err(EvidenceError::malformed(what))?;
            speakers.extend(state.map(|state| (Party::Key(key_id), state.account)));
        }
        Ok(speakers)
    }

    /// Hands in what enough have signed, and believes its receipt alone.
    pub async fn hand_in_association(&self, petition: &Petition) -> Result<Done, AssociationError> {
        let entry = petition.entry();
        let bytes = Bytes::from(entry.encode());
        let patient = self.clone().with_tries(self.tries.max(HAND_IN_TRIES));
        let until = Instant::now() + self.deadline;
        let call = |left: Duration| {
            let request = self.request_within(AssociationEntryRequest { entry: bytes.clone() }, left);
            async move { self.answer(self.associations().hand_in(request).await) }
        };
        let answer = patient.try_again(until, call).await?;
        self.association_done(&entry, &answer.receipt, answer.leaf_index)
    }

    fn association_done(
        &self,
        entry: &Entry,
        receipt: &[u8],
        leaf_index: u64,
    ) -> Result<Done, AssociationError> {
        let found = self.association_trust()?.accepted_at(leaf_index, receipt, |found| found == entry)?;
        Ok(Done { receipt: receipt.to_vec(), leaf_index, time_ms: found.time_ms })
    }

    async fn ask_association(
        &self,
        association: &[u8; 32],
        members: bool,
        keys: &[KeyId],
    ) -> Result<ShowAssociationResponse, AssociationError> {
        let keys = keys.iter().map(|key| Bytes::copy_from_slice(&key.0)).collect();
        let message = ShowAssociationRequest { association: association.to_vec().into(), members, keys };
        Ok(self.answer(self.associations().show(self.request(message)).await)?)
    }

    /// Refuses what is about no association, or for another ledger. Gives the last height at which a signature counts.
    async fn may_sign(&self, petition: &Petition) -> Result<u64, AssociationError> {
        if *petition.chain_id() != self.association_trust()?.chain_id {
            return Err(AssociationError::Request { why: "it is for another ledger" });
        }
        let Act::Association(act) = petition.act() else {
            return Err(AssociationError::Request { why: "it is about no association" });
        };
        let shown = self.show_association(act.association()).await?;
        Ok(shown.height.saturating_add(SIGNED_BLOCKS))
    }

    pub(super) fn association_trust(&self) -> Result<&Trusted, AssociationError> {
        self.trusted.as_deref().ok_or(AssociationError::TrustMissing)
    }

    /// The ledger for which petitions are made: that of the client's trust file.
    pub fn association_petition(&self, act: AssociationAct) -> Result<Petition, AssociationError> {
        Ok(Petition::new(self.association_trust()?.chain_id, Act::Association(act)))
    }
}

fn evidence(answer: ShowAssociationResponse) -> Evidence {
    let members = answer.members.into_iter().map(|member| MemberEvidence {
        address: member.address.to_vec(),
        account: member.account.to_vec(),
        key: member.key.to_vec(),
    });
    Evidence {
        association: answer.association.to_vec(),
        members: members.collect(),
        again: answer.again.to_vec(),
    }
}
