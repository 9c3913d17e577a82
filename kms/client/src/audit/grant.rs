//! Grants: asked for with a key of their own, issued once others have approved, revoked.

use std::fmt;

use keyward_crypto::unlinkable::GrantKey;
use keyward_crypto::{SecretBytes, SecretKind};
use keyward_ledger_core::entry::{AuditAct, Grant, RevokeGrant};
use keyward_ledger_core::state::audit::{AuditGrantState, AuditGrantStatus, audit_grant_key};
use keyward_proto::custody::{
    AuditEntryRequest, GrantAccountsRequest, ListGrantsRequest, RequestGrantRequest, ShowGrantRequest,
};
use tonic::codegen::Bytes;

use super::{AuditError, Done, ShownTerms};
use crate::approvals::Voice;
use crate::client::{Client, bytes32};
use crate::device::DeviceKeys;
use crate::error::ClientError;
use crate::evidence::EvidenceError;
use crate::person::Login;

/// Grants of one page of the service's, and pages that are looked at.
const PAGE_GRANTS: usize = 256;
const PAGES_MAX: usize = 64;

/// What somebody asks to see. Prints without its purpose and the accounts.
#[derive(Clone, PartialEq, Eq)]
pub struct AskedGrant {
    /// The accounts; none for the whole tenant.
    pub accounts: Vec<[u8; 32]>,
    /// Where the period begins, in milliseconds since 1970.
    pub from_ms: u64,
    /// Where it ends; not part of it.
    pub until_ms: u64,
    /// When the grant ends.
    pub expires_ms: u64,
    /// What it is for, at most 4,096 bytes; approvers read it, the ledger has its hash.
    pub purpose: String,
}

/// A grant that the service keeps; its own word, but for the purpose. Prints without that.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedGrant {
    /// Its id.
    pub id: [u8; 32],
    /// What it is said to be for.
    pub purpose: String,
    /// Who asked.
    pub grantee: [u8; 32],
    /// When, in milliseconds since 1970.
    pub requested_ms: u64,
}

/// A grant as the ledger proves it. Prints without its purpose.
#[derive(Clone)]
pub struct ShownGrant {
    /// The grant and where it stands.
    pub state: AuditGrantState,
    /// What it is for: the text that the grant has the hash of. None where it is not kept here.
    pub purpose: Option<String>,
    /// The height that this holds for.
    pub height: u64,
    /// The ledger's time at that height, in milliseconds since 1970.
    pub read_ms: u64,
}

impl fmt::Debug for AskedGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AskedGrant(redacted, {} accounts)", self.accounts.len())
    }
}

impl fmt::Debug for ListedGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListedGrant(redacted, {})", hex::encode(self.id))
    }
}

impl fmt::Debug for ShownGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShownGrant(redacted, {})", hex::encode(self.state.grant.id))
    }
}

impl ShownGrant {
    /// Whether it opened anything at the height that it was proven at.
    pub fn is_in_force(&self) -> bool {
        self.state.status == AuditGrantStatus::Issued && self.read_ms < self.state.grant.expires_ms
    }
}

impl Client {
    /// Asks for a grant. Its key is on this device before anybody hears of it.
    pub async fn request_grant(
        &self,
        login: &Login,
        device: &DeviceKeys,
        (terms, asked): (&ShownTerms, AskedGrant),
    ) -> Result<(Done, Grant), AuditError> {
        terms.state.ok_or(AuditError::Unpublished)?;
        let AskedGrant { mut accounts, from_ms, until_ms, expires_ms, purpose } = asked;
        accounts.sort_unstable();
        accounts.dedup();
        let mut id = [0; 32];
        getrandom::fill(&mut id).map_err(AuditError::Randomness)?;
        let key = GrantKey::generate().map_err(AuditError::Key)?;
        let secret = key.expose(|bytes| SecretBytes::new(bytes.to_vec()));
        device.put_secret((SecretKind::GrantKey, id), &secret, &login.export_key)?;
        let grant = Grant {
            id,
            tenant: terms.tenant,
            grantee_key: key.public(),
            purpose_hash: Grant::purpose_hash_of(&purpose),
            from_ms,
            until_ms,
            expires_ms,
            accounts,
        };
        let act = AuditAct::Request(grant.clone());
        let done = self
            .hand_in_audit(Voice::Account(login), (act, terms.height), |entry, idempotency_key, left| {
                let message = RequestGrantRequest { entry, purpose: purpose.clone(), idempotency_key };
                let mut audits = self.audits();
                async move {
                    let answer = self.answer(audits.request(self.request_within(message, left)).await)?;
                    Ok((answer.receipt, answer.leaf_index))
                }
            })
            .await?;
        Ok((done, grant))
    }

    /// The key of a grant, from this device; it must be the one that the grant names.
    pub fn grant_key(
        &self,
        login: &Login,
        device: &DeviceKeys,
        grant: &Grant,
    ) -> Result<GrantKey, AuditError> {
        let secret = device.load_secret((SecretKind::GrantKey, grant.id), &login.export_key)?;
        let key = secret.expose(GrantKey::from_bytes).map_err(AuditError::Key)?;
        if key.public() == grant.grantee_key { Ok(key) } else { Err(AuditError::KeyOther) }
    }

    /// Has a grant issued by the case in which others have approved it.
    pub async fn issue_grant(
        &self,
        login: &Login,
        shown: &ShownGrant,
        case: [u8; 32],
    ) -> Result<Done, AuditError> {
        let act = AuditAct::Issue { grant: shown.state.grant.id, case };
        self.hand_in_audit(Voice::Account(login), (act, shown.height), |entry, idempotency_key, left| {
            let message = AuditEntryRequest { entry, idempotency_key };
            let mut audits = self.audits();
            async move {
                let answer = self.answer(audits.issue(self.request_within(message, left)).await)?;
                Ok((answer.receipt, answer.leaf_index))
            }
        })
        .await
    }

    /// Ends a grant for good; as the grantee, or as one who may approve grants.
    pub async fn revoke_grant(
        &self,
        voice: Voice<'_>,
        shown: &ShownGrant,
        reason: [u8; 32],
    ) -> Result<Done, AuditError> {
        let act = AuditAct::Revoke(RevokeGrant { grant: shown.state.grant.id, reason });
        self.hand_in_audit(voice, (act, shown.height), |entry, idempotency_key, left| {
            let message = AuditEntryRequest { entry, idempotency_key };
            let mut audits = self.audits();
            async move {
                let answer = self.answer(audits.revoke(self.request_within(message, left)).await)?;
                Ok((answer.receipt, answer.leaf_index))
            }
        })
        .await
    }

    /// The grants that the service keeps for the session's account: those that it asked for, or may revoke; newest first.
    pub async fn list_grants(&self) -> Result<Vec<ListedGrant>, AuditError> {
        let (mut listed, mut after_grant_id) = (Vec::new(), Bytes::new());
        for _page in 0..PAGES_MAX {
            let message = ListGrantsRequest { after_grant_id };
            let page = self.answer(self.audits().list(self.request(message)).await)?.grants;
            after_grant_id = page.last().map(|last| last.grant_id.clone()).unwrap_or_default();
            let more = page.len() == PAGE_GRANTS;
            listed.extend(page);
            if !more {
                break;
            }
        }
        let one = |one: keyward_proto::custody::ListedGrant| -> Result<ListedGrant, ClientError> {
            Ok(ListedGrant {
                id: bytes32("grant", &one.grant_id)?,
                purpose: one.purpose,
                grantee: bytes32("grantee", &one.grantee)?,
                requested_ms: one.requested_unix_ms,
            })
        };
        Ok(listed.into_iter().map(one).collect::<Result<_, _>>()?)
    }

    /// A grant, proven; a purpose that it has not the hash of is refused.
    pub async fn show_grant(&self, id: &[u8; 32]) -> Result<ShownGrant, AuditError> {
        self.approval_trust()?;
        let message = ShowGrantRequest { grant_id: id.to_vec().into() };
        let shown = self.answer(self.audits().show(self.request(message)).await)?;
        let what = "the grant";
        let proven = self.proven_audit(what, &audit_grant_key(id), &shown.grant)?;
        let value = proven.value.ok_or(AuditError::GrantUnknown)?;
        let state = AuditGrantState::decode(&value).map_err(EvidenceError::malformed(what))?;
        let purpose = Some(shown.purpose).filter(|purpose| !purpose.is_empty());
        if purpose.as_deref().is_some_and(|text| Grant::purpose_hash_of(text) != state.grant.purpose_hash) {
            return Err(EvidenceError::Substituted("another purpose than the one of the grant").into());
        }
        Ok(ShownGrant { state, purpose, height: proven.height, read_ms: proven.time_ms })
    }

    /// The accounts that a grant in force may open, ascending. Of a grant for the whole tenant that is the service's word: one that
    /// it leaves out is one that nobody opens.
    pub async fn grant_accounts(&self, grant: &Grant) -> Result<Vec<[u8; 32]>, AuditError> {
        if !grant.is_whole_tenant() {
            return Ok(grant.accounts.clone());
        }
        let message = GrantAccountsRequest { grant_id: grant.id.to_vec().into() };
        let answer = self.answer(self.audits().accounts(self.request(message)).await)?;
        let accounts = answer.accounts.iter().map(|account| bytes32("account", account));
        let accounts = accounts.collect::<Result<Vec<_>, _>>()?;
        if !accounts.is_sorted_by(|before, next| before < next) {
            return Err(EvidenceError::Substituted("accounts in no order, or one of them twice").into());
        }
        Ok(accounts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_is_suspected_of_is_not_printed() {
        let purpose = "anna launders".to_owned();
        let asked = AskedGrant {
            accounts: vec![[7; 32]],
            from_ms: 1,
            until_ms: 2,
            expires_ms: 3,
            purpose: purpose.clone(),
        };
        let listed = ListedGrant { id: [8; 32], purpose, grantee: [9; 32], requested_ms: 1 };
        let printed = format!("{asked:?} {listed:?}");
        let id = "08".repeat(32);
        assert_eq!(printed, format!("AskedGrant(redacted, 1 accounts) ListedGrant(redacted, {id})"));
    }
}
