//! `keyward sign --approval`: the signature that a case is about, once its approvals are there.

use keyward_client::approvals::{ApprovalError, ShownCase, Signing, Voice};
use keyward_client::{Client, Order, Signature};
use keyward_ledger_core::codec::parse_hex32;
use sha2::{Digest as _, Sha256};

use super::{Context, failed, parse_id};
use crate::commands::own::{PasswordFrom, unlock};
use crate::failure::Result;
use crate::profile::Profile;

/// What `keyward sign` was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    /// The key's alias or id.
    pub(crate) key: &'a str,
    /// What the file holds; a digest where `--digest` was said.
    pub(crate) bytes: &'a [u8],
    pub(crate) case: &'a str,
}

/// The case, proven, if it is about what was told: the case's id and opening are those of a signature to come.
pub(crate) async fn case(client: &Client, told: Told<'_>) -> Result<ShownCase> {
    named(client, client, told).await
}

/// The same where somebody else's word says which key an alias means: who calls.
async fn named(client: &Client, caller: &Client, told: Told<'_>) -> Result<ShownCase> {
    let cannot = failed("cannot sign");
    let id = parse_id(told.case, "copy it from `keyward approve list`")?;
    let key = match parse_hex32(told.key) {
        Some(key) => key.to_vec(),
        None => {
            let shown = caller.show_key(told.key).await;
            shown.map_err(|error| cannot(error.into()))?.key_id.to_vec()
        }
    };
    let shown = client.approval_case(&id).await.map_err(&cannot)?;
    shown.check_payable().map_err(&cannot)?;
    let signing = shown.signing().ok_or_else(|| cannot(ApprovalError::Unseen))?;
    let is_it = signing.key_id.0 == key[..] && is_about(signing, told.bytes);
    if is_it { Ok(shown) } else { Err(cannot(ApprovalError::OtherPayload)) }
}

/// A file that holds what is signed, or the digest that is.
fn is_about(signing: &Signing, bytes: &[u8]) -> bool {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    bytes == signing.payload || bytes == signing.payload_hash || digest == signing.payload_hash
}

/// Has a hosted or linked key sign what a case is about, in the name of who opened it: the person who is logged in, or, where
/// nobody is, the linked key itself.
pub(crate) async fn signed(
    context: &Context,
    profile: &Profile,
    (caller, as_certificate): (&Client, bool),
    from: &PasswordFrom,
    told: Told<'_>,
) -> Result<Signature> {
    let cannot = failed("cannot sign");
    if profile.session()?.is_none() {
        let shown = case(caller, told).await?;
        return pay(caller, Voice::Token(told.key), caller, &shown).await.map_err(cannot);
    }
    let own = unlock(context.output, profile, caller, from).await?;
    let caller = if as_certificate { caller } else { &own.client };
    let shown = named(&own.client, caller, told).await?;
    pay(&own.client, Voice::Account(&own.login), caller, &shown).await.map_err(cannot)
}

async fn pay(
    asker: &Client,
    voice: Voice<'_>,
    caller: &Client,
    shown: &ShownCase,
) -> std::result::Result<Signature, ApprovalError> {
    let signing = shown.signing().ok_or(ApprovalError::Unseen)?;
    let use_entry = asker.use_approval(voice, shown).await?;
    Ok(caller.sign_approved(&Order::approved(signing)?, shown, &use_entry).await?.signature)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_domain::scheme::KeyId;

    use super::*;

    #[test]
    fn a_case_is_about_its_own_payload_alone() {
        let (key_id, payload_hash) = (KeyId([1; 32]), Sha256::digest(b"pay").into());
        let (payload, format, opening) = (b"pay".to_vec(), String::new(), [3; 32]);
        let signing = Signing { key_id, payload, format, payload_hash, opening };
        assert!(is_about(&signing, b"pay") && is_about(&signing, &payload_hash));
        assert!(!is_about(&signing, b"pay me") && !is_about(&signing, &[3; 32]));
    }
}
