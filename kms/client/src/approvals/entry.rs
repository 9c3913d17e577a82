//! Entries about approvals: signed here, handed in by the service, believed when their receipt verifies.

use std::time::{Duration, Instant};

use keyward_domain::Mode;
use keyward_ledger_core::entry::{Act, ApprovalTerms, Define, Entry, Party, RuleName};
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_verify::Verdict;
use keyward_proto::custody::approvals_client::ApprovalsClient;
use keyward_proto::custody::{
    ApprovalAbout, ApprovalEntryRequest, ApprovalOfAddress, ApprovalOfAuditTerms, ApprovalOfDispute,
    ApprovalOfGrant, ApprovalOfPublication, ApprovalOfSigning, AskApprovalRequest, approval_about,
};
use tonic::codegen::Bytes;
use tonic::transport::Channel;

use super::error::ApprovalError;
use super::show::ShownCase;
use super::{About, Done, Publication, Published, Signing};
use crate::client::{Client, bytes32, idempotency_key};
use crate::error::ClientError;
use crate::evidence::EvidenceError;
use crate::person::Login;
use crate::petition::Petition;
use crate::receipts::Trusted;

/// How many blocks a signature counts: somewhat less than the ledger allows, because the height that this side knows may be
/// some minutes old.
const SIGNED_BLOCKS: u64 = 14_336;
/// How often an entry is handed in where nobody says whether it arrived: its mark sees to it that it is done once.
pub(crate) const HAND_IN_TRIES: u32 = 4;
/// What a case is about may be longer than the library's own bound for answers.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Who speaks in an entry.
#[derive(Clone, Copy)]
pub enum Voice<'a> {
    /// An account, with the credential that its password gives.
    Account(&'a Login),
    /// A linked key of the caller's account, by its alias or id: the service asks the token, attached to it or at a token agent,
    /// which is told what is said and signs by its own rules.
    Token(&'a str),
}

/// Which call hands an entry in.
#[derive(Clone, Copy)]
enum Call<'a> {
    Define,
    Ask(&'a About),
    Give,
    Refuse,
}

/// What a withdrawal came to.
#[derive(Clone, Debug)]
pub enum Withdrawn {
    /// It stands on the ledger.
    Recorded(Done),
    /// Of a case that names nobody, by who asked for it: the service says that it has erased what the case was about, so that nothing can
    /// be signed by it. The ledger has no entry of it, because one would name who asked; there the case stays until its time is over.
    Here,
}

impl Client {
    /// Approvals, for calls made by hand.
    pub fn approvals(&self) -> ApprovalsClient<Channel> {
        ApprovalsClient::new(self.channel()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(crate) fn approval_trust(&self) -> Result<&Trusted, ApprovalError> {
        self.trusted.as_deref().ok_or(ApprovalError::TrustMissing)
    }

    /// Sets a rule of the login's account in its next version. Cases that are open under the one before are worth nothing from
    /// then on.
    pub async fn define_approval_rule(
        &self,
        login: &Login,
        name: &[u8; 32],
        terms: ApprovalTerms,
    ) -> Result<Done, ApprovalError> {
        let rule = RuleName { owner: login.session.account, name: *name };
        let (before, height) = self.approval_rule_at(&rule).await?;
        let version = before.map_or(0, |rule| rule.state.version).saturating_add(1);
        let act = Act::DefineApproval(Define { rule, version, terms });
        let entry = self.signed_approval(Voice::Account(login), act, None, height).await?;
        self.hand_in_rule(&entry).await
    }

    /// Hands in what defines a rule.
    pub(crate) async fn hand_in_rule(&self, entry: &Entry) -> Result<Done, ApprovalError> {
        Ok(self.hand_in_approval(Call::Define, entry).await?.0)
    }

    /// Opens a case, for so many milliseconds. Gives its id.
    pub async fn ask_approval(
        &self,
        voice: Voice<'_>,
        rule: &RuleName,
        about: &About,
        live_ms: u64,
    ) -> Result<(Done, [u8; 32]), ApprovalError> {
        about.meaning().map_err(ApprovalError::Payload)?;
        let (before, height) = self.approval_rule_at(rule).await?;
        before.ok_or(ApprovalError::RuleUnknown)?;
        let act = Act::OpenApproval { rule: *rule, payload: about.payload(), live_ms };
        let entry = self.signed_approval(voice, act, Some(about), height).await?;
        let (done, verdict) = self.hand_in_approval(Call::Ask(about), &entry).await?;
        let case = <[u8; 32]>::try_from(verdict.outcome.data.as_slice());
        Ok((done, case.or(Err(EvidenceError::Substituted("an outcome without a case")))?))
    }

    /// Approves what was shown, for the first group that names the voice, or for that one.
    pub async fn give_approval(
        &self,
        voice: Voice<'_>,
        shown: &ShownCase,
        group: Option<u8>,
    ) -> Result<Done, ApprovalError> {
        shown.check_open()?;
        if shown.about.is_none() {
            return Err(ApprovalError::Unseen);
        }
        let party = self.party_of(voice).await?;
        let group = group.or_else(|| shown.group_of(&party)).ok_or(ApprovalError::NotNamed(party))?;
        if self.account.is_some_and(|own| Some(own) == shown.asker()) {
            return Err(ApprovalError::Initiator);
        }
        self.say(Call::Give, voice, Act::Approve { case: shown.case, group }, shown).await
    }

    /// Refuses what was shown: the case is closed.
    pub async fn refuse_approval(&self, voice: Voice<'_>, shown: &ShownCase) -> Result<Done, ApprovalError> {
        shown.check_open()?;
        self.say(Call::Refuse, voice, Act::RefuseApproval(shown.case), shown).await
    }

    /// Takes an approval back, or the case if the voice has opened it.
    pub async fn withdraw_approval(
        &self,
        voice: Voice<'_>,
        shown: &ShownCase,
    ) -> Result<Withdrawn, ApprovalError> {
        shown.check_open()?;
        let act = Act::WithdrawApproval(shown.case);
        let entry = self.signed_approval(voice, act, shown.about.as_ref(), shown.height).await?;
        let answer = self
            .heard(&entry, |entry, idempotency_key, left| {
                let message = ApprovalEntryRequest { entry, idempotency_key };
                let mut approvals = self.approvals();
                async move { self.answer(approvals.withdraw(self.request_within(message, left)).await) }
            })
            .await?;
        if !answer.here {
            return Ok(Withdrawn::Recorded(self.believed(&entry, &answer.receipt, answer.leaf_index)?.0));
        }
        // What the ledger has it alone can take back.
        let own = self.account_of(voice).await?;
        if shown.is_blind() && shown.approvals.iter().all(|(_, account)| *account != own) {
            return Ok(Withdrawn::Here);
        }
        Err(EvidenceError::Substituted("a withdrawal that the ledger has no entry of").into())
    }

    /// The account that a voice speaks for; of a token's key the service says which.
    async fn account_of(&self, voice: Voice<'_>) -> Result<[u8; 32], ApprovalError> {
        match (voice, self.account) {
            (Voice::Account(login), _) => Ok(login.session.account),
            (Voice::Token(_), Some(own)) => Ok(own),
            (Voice::Token(key), None) => Ok(bytes32("account", &self.show_key(key).await?.account)?),
        }
    }

    async fn say(
        &self,
        call: Call<'_>,
        voice: Voice<'_>,
        act: Act,
        shown: &ShownCase,
    ) -> Result<Done, ApprovalError> {
        let entry = self.signed_approval(voice, act, shown.about.as_ref(), shown.height).await?;
        Ok(self.hand_in_approval(call, &entry).await?.0)
    }

    async fn party_of(&self, voice: Voice<'_>) -> Result<Party, ApprovalError> {
        match voice {
            Voice::Account(login) if self.account.is_some_and(|own| own != login.session.account) => {
                Err(ApprovalError::OtherAccount)
            }
            Voice::Account(login) => Ok(Party::Credential(login.session.account)),
            Voice::Token(key) => {
                let shown = self.show_key(key).await?;
                let party = Party::Key(KeyId(bytes32("key id", &shown.key_id)?));
                if Mode::from_name(&shown.mode) == Some(Mode::Linked) {
                    Ok(party)
                } else {
                    Err(ApprovalError::NotNamed(party))
                }
            }
        }
    }

    /// An act that one author has signed; a token agent is told what it is about.
    pub(crate) async fn signed_approval(
        &self,
        voice: Voice<'_>,
        act: Act,
        about: Option<&About>,
        height: u64,
    ) -> Result<Entry, ApprovalError> {
        let party = self.party_of(voice).await?;
        let not_after = height.saturating_add(SIGNED_BLOCKS);
        let mut petition = Petition::new(self.approval_trust()?.chain_id, act);
        match (voice, party) {
            (Voice::Account(login), _) => {
                petition.sign_as_account(login.session.account, &login.credential, not_after)?;
            }
            (Voice::Token(_), Party::Credential(_)) => return Err(ApprovalError::NotNamed(party)),
            (Voice::Token(_), Party::Key(key_id)) => {
                let blank = petition.blank(party, not_after)?;
                let signed = self.token_word(&key_id, (&petition, &blank), about).await?;
                if signed.public_key.id() != key_id {
                    return Err(EvidenceError::Substituted("a signature of another key").into());
                }
                petition.add(blank.signed(signed.public_key.as_bytes().to_vec(), signed.signature))?;
            }
        }
        Ok(petition.entry())
    }

    /// Hands an entry in until somebody says what became of it, and believes its receipt alone.
    async fn hand_in_approval(
        &self,
        call: Call<'_>,
        entry: &Entry,
    ) -> Result<(Done, Verdict), ApprovalError> {
        self.hand_in_entry(entry, |entry, idempotency_key, left| {
            let message = ApprovalEntryRequest { entry, idempotency_key };
            let mut approvals = self.approvals();
            async move {
                let answer = match call {
                    Call::Ask(about) => {
                        let ApprovalEntryRequest { entry, idempotency_key } = message;
                        let message =
                            AskApprovalRequest { entry, about: Some(to_proto(about)), idempotency_key };
                        let answer = self.answer(approvals.ask(self.request_within(message, left)).await)?;
                        return Ok((answer.receipt, answer.leaf_index));
                    }
                    Call::Define => approvals.define_rule(self.request_within(message, left)).await,
                    Call::Give => approvals.give(self.request_within(message, left)).await,
                    Call::Refuse => approvals.refuse(self.request_within(message, left)).await,
                };
                let answer = self.answer(answer)?;
                Ok((answer.receipt, answer.leaf_index))
            }
        })
        .await
    }

    /// Sends an entry under one mark until somebody says what became of it, and believes its receipt alone.
    pub(crate) async fn hand_in_entry<F, S>(
        &self,
        entry: &Entry,
        send: F,
    ) -> Result<(Done, Verdict), ApprovalError>
    where
        F: Fn(Bytes, Bytes, Duration) -> S,
        S: Future<Output = Result<(Bytes, u64), ClientError>>,
    {
        let (receipt, leaf_index) = self.heard(entry, send).await?;
        self.believed(entry, &receipt, leaf_index)
    }

    async fn heard<F, S, T>(&self, entry: &Entry, send: F) -> Result<T, ApprovalError>
    where
        F: Fn(Bytes, Bytes, Duration) -> S,
        S: Future<Output = Result<T, ClientError>>,
    {
        let (bytes, mark) = (Bytes::from(entry.encode()), idempotency_key()?);
        let patient = self.clone().with_tries(self.tries.max(HAND_IN_TRIES));
        let until = Instant::now() + self.deadline;
        Ok(patient.try_again(until, |left| send(bytes.clone(), mark.clone(), left)).await?)
    }

    fn believed(
        &self,
        entry: &Entry,
        receipt: &[u8],
        leaf_index: u64,
    ) -> Result<(Done, Verdict), ApprovalError> {
        let verdict = self.approval_trust()?.accepted_at(leaf_index, receipt, |found| found == entry)?;
        Ok((Done { receipt: receipt.to_vec(), leaf_index, time_ms: verdict.time_ms }, verdict))
    }
}

pub(crate) fn to_proto(about: &About) -> ApprovalAbout {
    let of = match about {
        About::Signing(Signing { key_id, payload, format, payload_hash, opening }) => {
            approval_about::About::Signing(ApprovalOfSigning {
                key_id: Bytes::copy_from_slice(&key_id.0),
                payload: payload.clone().into(),
                format: format.clone(),
                payload_hash: Bytes::copy_from_slice(payload_hash),
                opening: Bytes::copy_from_slice(opening),
            })
        }
        About::Dispute(case) => approval_about::About::Dispute(ApprovalOfDispute {
            case_id: Bytes::copy_from_slice(&case.id),
            payload: Bytes::copy_from_slice(&case.payload),
        }),
        About::Publication(Publication { of, publish, text }) => {
            let publication = ApprovalOfPublication {
                tenant: Bytes::copy_from_slice(&publish.tenant),
                version: publish.version,
                set: Bytes::copy_from_slice(&publish.set),
                rule: Bytes::copy_from_slice(&publish.rule),
                text: text.clone(),
            };
            match of {
                Published::Policy => approval_about::About::Publication(publication),
                Published::Risk => approval_about::About::Risk(publication),
            }
        }
        About::Grant { grant, purpose } => approval_about::About::Grant(ApprovalOfGrant {
            grant: grant.encode().into(),
            purpose: purpose.clone(),
        }),
        About::AuditTerms(publish) => approval_about::About::Audit(ApprovalOfAuditTerms {
            tenant: Bytes::copy_from_slice(&publish.tenant),
            version: publish.version,
            accounts_max: publish.terms.accounts_max.into(),
            span_ms_max: publish.terms.span_ms_max,
            live_ms_max: publish.terms.live_ms_max,
            kept_ms: publish.terms.kept_ms,
            rule: Bytes::copy_from_slice(&publish.rule),
        }),
        About::Address(asked) => approval_about::About::Address(ApprovalOfAddress {
            account: Bytes::copy_from_slice(&asked.account),
            salt: Bytes::copy_from_slice(&asked.salt),
            scheme: asked.scheme.name().to_owned(),
            payload: Bytes::copy_from_slice(&asked.payload),
            format: asked.format.clone(),
            payload_hash: Bytes::copy_from_slice(&asked.payload_hash),
        }),
    };
    ApprovalAbout { about: Some(of) }
}
