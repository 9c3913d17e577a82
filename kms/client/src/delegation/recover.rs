//! Recoveries: who has lost everything makes a new login and a request that the delegates sign; it is opened, stopped, done.

use keyward_crypto::{ClientRegistration, SigningKey, account_credential};
use keyward_domain::recovery_login;
use keyward_ledger_core::entry::{Act, Authored, Case, DelegationAct, Entry, Recovery, RuleName};
use keyward_proto::custody::BeginRecoveryRequest;

use super::Done;
use super::entry::{Call, Speaker};
use super::error::DelegationError;
use super::request::{NewLogin, Request, With};
use crate::client::{Client, bytes32};
use crate::evidence::EvidenceError;
use crate::password::Password;
use crate::person::{Login, stretching};

impl Client {
    /// A request for the delegates of an account whose holder can log in no more: with `password` the holder does again, once
    /// the recovery is executed. Nothing is changed before, and nothing has to be kept here.
    ///
    /// Which account has the user name is the service's word. `account` refuses another one; without it, the delegates see
    /// it: they sign for none but the account that named them.
    pub async fn begin_recovery(
        &self,
        user_name: &str,
        password: &Password,
        name: &[u8; 32],
        account: Option<[u8; 32]>,
    ) -> Result<Request, DelegationError> {
        let trusted_chain = self.trust()?.chain_id;
        let secret = password.shared();
        let (registration, request) = ClientRegistration::start(&secret).map_err(DelegationError::Login)?;
        let begin =
            BeginRecoveryRequest { user_name: user_name.to_owned(), registration_request: request.into() };
        let begun = self.answer(self.recovery().begin(self.request(begin)).await)?;
        let chain_id = bytes32("chain id", &begun.chain_id)?;
        if chain_id != trusted_chain {
            return Err(EvidenceError::Substituted("another ledger").into());
        }
        let found = bytes32("account", &begun.account)?;
        if account.is_some_and(|account| account != found) {
            return Err(EvidenceError::Substituted("another account under this user name").into());
        }
        let (response, stretch) = (begun.registration_response, self.stretch);
        let made = stretching(move || registration.finish(&secret, &response, stretch)).await?;
        let key = account_credential(&made.export_key).map_err(DelegationError::Login)?;
        let public_key = bytes32("credential", key.public_key().as_bytes())?;
        let name_of_login = bytes32("registration name", &begun.registration_name)?;
        let login = recovery_login(&name_of_login, &made.upload);
        let recovery = Recovery { rule: RuleName { owner: found, name: *name }, public_key, login };
        let proof = key.sign_message(&recovery.payload(&chain_id)).map_err(DelegationError::Sign)?;
        let proof = proof
            .try_into()
            .map_err(|_length| DelegationError::Request { why: "its proof is no Ed25519 signature" })?;
        let act = Act::Delegation(DelegationAct::OpenRecovery { recovery, proof });
        let authored = Authored { act, authors: Vec::new() };
        Ok(Request {
            chain_id,
            with: With::Login(NewLogin { name: name_of_login, upload: made.upload }),
            authored,
        })
    }

    /// Stops the recovery of the login's account that is open under a delegation.
    pub async fn veto_recovery(&self, login: &Login, name: &[u8; 32]) -> Result<Done, DelegationError> {
        let rule = RuleName { owner: login.session.account, name: *name };
        self.veto(Speaker::Account(login), &rule).await
    }

    /// The same with a key that the account named to veto, in the session of whoever is shown the delegation: the account
    /// itself or a delegate.
    pub async fn veto_recovery_with(
        &self,
        key: &SigningKey,
        rule: &RuleName,
    ) -> Result<Done, DelegationError> {
        self.veto(Speaker::Key(key), rule).await
    }

    async fn veto(&self, speaker: Speaker<'_>, rule: &RuleName) -> Result<Done, DelegationError> {
        let (trust, found) = self.delegation_of(rule).await?;
        let case = found.recovery.ok_or(DelegationError::NoRecovery)?.case;
        self.hand_in_alone(Call::Veto, speaker, DelegationAct::VetoRecovery(case), trust.height).await
    }

    /// Hands in a request that opens a recovery or takes one back, once enough delegates have signed it; the session is one
    /// of theirs.
    pub async fn send_request(&self, request: &Request) -> Result<Done, DelegationError> {
        let call = match (&request.authored.act, &request.with) {
            (Act::Delegation(DelegationAct::OpenRecovery { .. }), With::Login(login)) => Call::Open(login),
            (Act::Delegation(DelegationAct::CancelRecovery(_)), _) => Call::Cancel,
            _ => return Err(DelegationError::Request { why: "it is about no recovery" }),
        };
        self.hand_in_delegation(call, &Entry::Authored(request.authored.clone())).await
    }

    /// Has an opened recovery done, in the name of one delegate; `judged` is the approval case that decided a disputed one.
    pub async fn execute_recovery(
        &self,
        login: &Login,
        request: &Request,
        judged: Option<[u8; 32]>,
    ) -> Result<Done, DelegationError> {
        let (recovery, case, height) = self.opened(request).await?;
        let act = DelegationAct::ExecuteRecovery { recovery, case: case.id, judged };
        self.hand_in_alone(Call::Execute, Speaker::Account(login), act, height).await
    }

    /// A request to take back the recovery that a request has opened; nobody has signed it yet.
    pub async fn request_cancel(&self, opened: &Request) -> Result<Request, DelegationError> {
        let (_, case, _) = self.opened(opened).await?;
        let act = Act::Delegation(DelegationAct::CancelRecovery(case));
        let authored = Authored { act, authors: Vec::new() };
        Ok(Request { chain_id: opened.chain_id, with: With::Nothing, authored })
    }

    /// The recovery that a request has opened and that still lives, with a height that the ledger has passed.
    async fn opened(&self, request: &Request) -> Result<(Recovery, Case, u64), DelegationError> {
        let recovery = *request.recovery().ok_or(DelegationError::Request { why: "it opens no recovery" })?;
        let (trust, found) = self.delegation_of(&recovery.rule).await?;
        let case = found.recovery.ok_or(DelegationError::NoRecovery)?.case;
        if case.payload != recovery.payload(&self.trust()?.chain_id) {
            return Err(DelegationError::OtherRecovery);
        }
        Ok((recovery, case, trust.height))
    }
}
