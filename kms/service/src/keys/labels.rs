//! Labels: words of its holder on a key, to find it again. They decide nothing.
//!
//! Each change is a note with a commitment to all labels after it. Body of the note:
//! `u8 len || "keyward/labels-note/v1" || verb u8 (1) || nonce[32] || commitment[32]`, with
//! `blinding = SHA-256(u8 len || "keyward/labels-blinding/v1" || account salt[32] || nonce)` and
//! `commitment = SHA-256(u8 len || "keyward/labels-note/v1" || blinding || verb u8 || key id[32] || labels)`, where
//! `labels = u32 count || (u32 len || key || u32 len || value)..`, sorted by key.

use std::sync::Arc;

use keyward_domain::{Code, Labels, label};
use keyward_ledger_core::{
    codec::{DecodeError, Reader, Writer},
    entry::Entry,
};
use keyward_policies::Verb;
use keyward_store::{Act, ActKind, Change, KeyState};

use crate::{
    acts::{Plan, Settled},
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    hex::{hex, unhex},
    keybook::KnownKey,
    note::{committed, labelled},
    once::{Once, request_hash},
};

const NOTE_LABEL: &str = "keyward/labels-note/v1";
const BLINDING_LABEL: &str = "keyward/labels-blinding/v1";
/// The one verb: these are the labels from now on.
const SET: u8 = 1;

impl Custody {
    /// Sets and removes labels; returns the key with the receipt of the change.
    pub(crate) async fn set_labels(
        &self,
        caller: &Caller,
        name: &str,
        set: &Labels,
        remove: &[String],
        mark: &[u8],
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let _permit = self.permit()?;
        let key = self.named_key_now(caller, name).await?;
        self.authorise_key(caller, Verb::KeyLabel, &key)?;
        let labels = label::changed(&key.row.labels, set, remove).map_err(Failure::of)?;
        let id = key.row.key_id;
        let asked = [encode(set), remove.join("\n").into_bytes()];
        let hash = request_hash("key.label", &[&id, &asked[0], &asked[1]]);
        let ticket = match self.once(caller, mark, hash).await? {
            Once::Done(receipt) => return Ok((key, receipt)),
            Once::Fresh(ticket) => ticket,
        };
        let note = async {
            if key.row.state == KeyState::Pending {
                return Err(Failure::new(Code::KeyPending, "the key is not yet recorded on the ledger"));
            }
            self.labels_note(key.row.account, id, &labels).await
        };
        let note = match note.await {
            Ok(note) => note,
            Err(failure) => {
                self.give_back(ticket).await;
                return Err(failure);
            }
        };
        let plan = Plan {
            kind: ActKind::Labels,
            subject: id,
            entries: vec![note],
            before: Vec::new(),
            accepted: vec![Change::SetLabels {
                key_id: id,
                from: key.row.labels.clone(),
                to: labels.clone(),
            }],
            refused: Vec::new(),
            name: ticket,
            app: detail(&key.row.labels, &labels),
        };
        self.perform_on_key(id, plan).await
    }

    /// The note that records a key's labels.
    pub(crate) async fn labels_note(
        &self,
        account: [u8; 32],
        key_id: [u8; 32],
        labels: &Labels,
    ) -> Result<Entry, Failure> {
        let row = self.store.account(account).await?;
        let salt = row.ok_or_else(|| Failure::new(Code::AccountUnknown, "the key's account is gone"))?.salt;
        let nonce: [u8; 32] = random()?;
        let blinding = labelled(BLINDING_LABEL, &[&salt, &nonce]);
        Ok(committed(NOTE_LABEL, SET, &nonce, &blinding, &[&key_id, &encode(labels)]))
    }

    /// Brings an unfinished change to its end; one that another overtook is undone.
    pub(crate) async fn settle_labels(
        &self,
        act: &Act,
        detail: &str,
        entries: &[Entry],
    ) -> Result<Settled, Failure> {
        let (from, to) = parse_detail(detail).map_err(Failure::internal)?;
        match self.store.key(act.subject).await? {
            Some(row) if row.labels == from => {
                for entry in entries {
                    self.ledger.commit(entry.clone()).await?;
                }
                let changes = vec![Change::SetLabels { key_id: act.subject, from, to }];
                Ok(Settled { changes, receipt: self.receipt_of(act, entries.last()).await? })
            }
            _ => Ok(Settled::undone(Vec::new())),
        }
    }
}

fn encode(labels: &Labels) -> Vec<u8> {
    let mut out = Writer::with_capacity(64);
    out.count(labels.len());
    for (key, value) in labels {
        out.bytes(key.as_bytes()).bytes(value.as_bytes());
    }
    out.finish()
}

/// What an act keeps: the labels before and after, in hex.
fn detail(from: &Labels, to: &Labels) -> String {
    let mut out = Writer::with_capacity(128);
    out.bytes(&encode(from)).bytes(&encode(to));
    hex(out.as_slice())
}

fn parse_detail(detail: &str) -> Result<(Labels, Labels), DecodeError> {
    /// All labels at their longest.
    const BYTES_MAX: usize = 64 << 10;
    let bytes = unhex(detail).ok_or(DecodeError::Invalid { what: "labels", why: "are not hex" })?;
    let mut reader = Reader::new(&bytes);
    let from = decode(reader.bytes("labels before", BYTES_MAX)?)?;
    let to = decode(reader.bytes("labels after", BYTES_MAX)?)?;
    reader.finish("labels")?;
    Ok((from, to))
}

fn decode(bytes: &[u8]) -> Result<Labels, DecodeError> {
    let mut reader = Reader::new(bytes);
    let text = |bytes: &[u8]| {
        let invalid = DecodeError::Invalid { what: "label", why: "is not UTF-8" };
        String::from_utf8(bytes.to_vec()).or(Err(invalid))
    };
    let pairs = reader.list("labels", label::LABELS_MAX, |reader| {
        let key = text(reader.bytes("label", label::LABEL_KEY_BYTES_MAX)?)?;
        Ok((key, text(reader.bytes("value", label::LABEL_VALUE_BYTES_MAX)?)?))
    })?;
    reader.finish("labels")?;
    Ok(pairs.into_iter().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn labels_come_back_from_an_acts_detail() {
        let one = Labels::from([("team".into(), "Schätze".into()), ("a/b".into(), String::new())]);
        for (from, to) in [(Labels::new(), one.clone()), (one.clone(), Labels::new()), (one.clone(), one)] {
            assert_eq!(parse_detail(&detail(&from, &to)).unwrap(), (from, to));
        }
        for broken in ["", "zz", "00", "0000000000000000ff"] {
            assert!(parse_detail(broken).is_err(), "{broken}");
        }
    }
}
