//! Standing authorisations: a holder lets a named app sign with a key without a session, until revoked.
//!
//! The ledger has no entry kind for them yet; they are notes. Body of the note:
//! `u8 len || "keyward/authorise-note/v1" || verb u8 (1 authorise, 2 revoke) || nonce[32] || commitment[32]`, with
//! `blinding = SHA-256(u8 len || "keyward/authorise-blinding/v1" || account salt[32] || nonce)` and
//! `commitment = SHA-256(u8 len || "keyward/authorise-note/v1" || blinding || verb u8 || key id[32] || app name)`.
//! Who is shown `blinding` can check one note; nobody else learns key or app from it.

use keyward_domain::{AppName, Code, authorisation};
use keyward_ledger_core::entry::Entry;
use keyward_policies::Verb;
use keyward_store::{ActKind, Change, Custody as Place};

use crate::{
    acts::Plan,
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    guard::shared_alone,
    keybook::KnownKey,
    note::{committed, labelled},
    once::{Once, request_hash},
};

/// The label of the notes and of their commitments.
const NOTE_LABEL: &str = "keyward/authorise-note/v1";
const BLINDING_LABEL: &str = "keyward/authorise-blinding/v1";

impl Custody {
    /// Authorises an app; returns the receipt.
    pub(crate) async fn authorise_app(
        &self,
        caller: &Caller,
        key: &str,
        app: &str,
        mark: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        self.set_authorised(caller, key, app, mark, true).await
    }

    /// Revokes an authorisation; returns the receipt.
    pub(crate) async fn revoke_app(
        &self,
        caller: &Caller,
        key: &str,
        app: &str,
        mark: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        self.set_authorised(caller, key, app, mark, false).await
    }

    async fn set_authorised(
        &self,
        caller: &Caller,
        key: &str,
        app: &str,
        mark: &[u8],
        allow: bool,
    ) -> Result<Vec<u8>, Failure> {
        let _permit = self.permit()?;
        let verb = if allow { Verb::KeyAuthorize } else { Verb::KeyRevoke };
        let key = self.named_key_now(caller, key).await?;
        self.authorise_key(caller, verb, &key)?;
        let app = AppName::parse(app).map_err(Failure::of)?;
        let id = key.row.key_id;
        let hash = request_hash(verb.name(), &[&id, app.as_str().as_bytes()]);
        let name = match self.once(caller, mark, hash).await? {
            Once::Done(receipt) => return Ok(receipt),
            Once::Fresh(name) => name,
        };
        let checked = async {
            check(&key, &app, allow)?;
            self.authorisation_note(key.row.account, id, app.as_str(), allow).await
        };
        let note = match checked.await {
            Ok(note) => note,
            Err(failure) => {
                self.give_back(name).await;
                return Err(failure);
            }
        };
        let app = app.as_str().to_owned();
        let created_ms = self.clock.now_ms();
        let remove = Change::RemoveAuthorisation { key_id: id, app: app.clone() };
        let plan = Plan {
            kind: if allow { ActKind::Authorise } else { ActKind::Revoke },
            subject: id,
            entries: vec![note],
            // A revocation counts from here on, whatever becomes of its record.
            before: if allow { Vec::new() } else { vec![remove] },
            accepted: match allow {
                true => vec![Change::PutAuthorisation { key_id: id, app: app.clone(), created_ms }],
                false => Vec::new(),
            },
            refused: Vec::new(),
            name,
            app,
        };
        let performed = self.perform(plan).await;
        self.keys.forget(&id);
        performed
    }

    /// The note that records an authorisation or its end.
    pub(crate) async fn authorisation_note(
        &self,
        account: [u8; 32],
        key_id: [u8; 32],
        app: &str,
        allow: bool,
    ) -> Result<Entry, Failure> {
        let row = self.store.account(account).await?;
        let salt = row.ok_or_else(|| Failure::new(Code::AccountUnknown, "the key's account is gone"))?.salt;
        let nonce: [u8; 32] = random()?;
        let verb = if allow { 1 } else { 2 };
        let blinding = labelled(BLINDING_LABEL, &[&salt, &nonce]);
        Ok(committed(NOTE_LABEL, verb, &nonce, &blinding, &[&key_id, app.as_bytes()]))
    }
}

fn check(key: &KnownKey, app: &AppName, allow: bool) -> Result<(), Failure> {
    if allow && key.row.custody == Place::Own {
        return Err(Failure::new(
            Code::KeyIsSelf,
            "an app cannot sign with it: it signs on the person's side",
        ));
    }
    if allow && matches!(key.row.custody, Place::Shared { .. }) {
        return Err(shared_alone());
    }
    let stands = key.apps.iter().any(|known| known == app.as_str());
    if !allow && !stands {
        return Err(Failure::new(Code::NotAuthorised, format!("`{app}` is not authorised for this key")));
    }
    if allow && !stands && key.apps.len() >= authorisation::APPS_PER_KEY_MAX {
        return Err(Failure::new(Code::TooMany, "the key has as many authorised apps as it may have"));
    }
    Ok(())
}
