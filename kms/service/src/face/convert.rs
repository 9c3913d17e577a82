//! Our values as messages, and messages' bytes as fixed arrays.

use bytes::Bytes;
use keyward_crypto::shared::SharedScheme;
use keyward_domain::Code;
use keyward_proto::custody as proto;
use keyward_store::{Custody as Place, IntentState, Key, KeyState, NewIntent, Notice};

use crate::{
    failure::Failure,
    guard::{Shown, Signed, Start},
    keybook::KnownKey,
    tokens::list::Listed,
};

/// What is shown of a payload.
pub(super) fn shown(shown: proto::Shown) -> Shown<Bytes> {
    Shown { format: shown.format, payload: shown.payload }
}

/// A field of exactly `N` bytes.
pub(super) fn array<const N: usize>(what: &str, bytes: &Bytes) -> Result<[u8; N], Failure> {
    bytes.as_ref().try_into().map_err(|error: std::array::TryFromSliceError| {
        let message = format!("`{what}` has `{}` bytes, not `{N}`", bytes.len());
        Failure::because(Code::InvalidArgument, message, error)
    })
}

pub(super) fn key(key: &KnownKey) -> proto::Key {
    let row = &key.row;
    proto::Key {
        key_id: Bytes::copy_from_slice(&row.key_id),
        alias: row.alias.clone(),
        scheme: key.public_key.scheme().name().to_owned(),
        public_key: Bytes::copy_from_slice(key.public_key.as_bytes()),
        mode: key.mode().name().to_owned(),
        state: row.state.word().to_owned(),
        version: row.version,
        created_unix_ms: row.created_ms,
        token: match &row.custody {
            Place::Linked { label, .. } => label.clone(),
            Place::Hosted { .. } | Place::Erased | Place::Own | Place::Shared { .. } => String::new(),
        },
        account: Bytes::copy_from_slice(&row.account),
        address: key.address.clone().unwrap_or_default(),
        claims: row.claims.clone(),
        labels: row.labels.clone().into_iter().collect(),
        changed_unix_ms: if row.state == KeyState::Scheduled { 0 } else { row.changed_ms },
        destroy_after_unix_ms: if row.state == KeyState::Scheduled { row.changed_ms } else { 0 },
        successor: row.successor.map(|id| Bytes::copy_from_slice(&id)).unwrap_or_default(),
        versions: Vec::new(),
        agent: key.agent().unwrap_or_default().to_owned(),
        experimental: is_experimental(key),
    }
}

/// Whether it signs by a protocol that nobody outside has reviewed.
fn is_experimental(key: &KnownKey) -> bool {
    let shared = matches!(key.row.custody, Place::Shared { .. });
    shared && SharedScheme::of(key.public_key.scheme()).is_some_and(SharedScheme::is_experimental)
}

pub(super) fn key_version(row: &Key) -> proto::KeyVersion {
    proto::KeyVersion {
        version: row.version,
        key_id: Bytes::copy_from_slice(&row.key_id),
        state: row.state.word().to_owned(),
        created_unix_ms: row.created_ms,
    }
}

pub(super) fn key_with_receipt((known, receipt): (impl AsRef<KnownKey>, Vec<u8>)) -> proto::KeyWithReceipt {
    proto::KeyWithReceipt { key: Some(key(known.as_ref())), receipt: receipt.into() }
}

pub(super) fn signed(signed: Signed) -> proto::SignResponse {
    let scheme = signed.key.public_key.scheme();
    let der = keyward_crypto::signature_der(scheme, &signed.signature);
    proto::SignResponse {
        signature_der: der.unwrap_or_default().into(),
        signature: signed.signature.into(),
        public_key: Bytes::copy_from_slice(signed.key.public_key.as_bytes()),
        scheme: scheme.name().to_owned(),
        address: signed.key.address.clone().unwrap_or_default(),
        receipt: signed.receipt.into(),
        key_id: Bytes::copy_from_slice(&signed.key.row.key_id),
        approval_receipt: Bytes::new(),
        approval_leaf_index: 0,
        experimental: is_experimental(&signed.key),
    }
}

pub(super) fn start(start: Start) -> proto::BeginResponse {
    use proto::begin_response::Result as Answer;
    let result = match start {
        Start::Signed(done) => Answer::Signed(signed(done)),
        Start::ToSign(begun) => Answer::ToSign(proto::ToSign {
            intent: Bytes::copy_from_slice(&begun.intent),
            r: Bytes::copy_from_slice(&begun.r),
            receipt: begun.receipt.into(),
            key_id: Bytes::copy_from_slice(&begun.key.row.key_id),
            public_key: Bytes::copy_from_slice(begun.key.public_key.as_bytes()),
            scheme: begun.key.public_key.scheme().name().to_owned(),
            expires_unix_ms: begun.expires_ms,
        }),
    };
    proto::BeginResponse { result: Some(result) }
}

pub(super) fn token(Listed { agent, token, names }: Listed) -> proto::Token {
    let keys = token.keys.into_iter().zip(names).map(|(key, name)| proto::TokenKey {
        label: key.label,
        id: key.id.into(),
        kind: key.kind,
        key_id: name.map(|id| Bytes::copy_from_slice(&id)).unwrap_or_default(),
    });
    proto::Token {
        keys: keys.collect(),
        label: token.label,
        serial: token.serial,
        manufacturer: token.manufacturer,
        model: token.model,
        module: token.module,
        logged_in: token.logged_in,
        agent: agent.unwrap_or_default(),
    }
}

pub(super) fn unreleased((intent, state): (NewIntent, IntentState)) -> proto::UnreleasedIntent {
    proto::UnreleasedIntent {
        intent_id: Bytes::copy_from_slice(&intent.id),
        key_id: Bytes::copy_from_slice(&intent.key_id),
        created_unix_ms: intent.created_ms,
        state: state.word().to_owned(),
    }
}

pub(super) fn notice(notice: Notice) -> proto::Notice {
    proto::Notice {
        id: Bytes::copy_from_slice(&notice.id),
        account: Bytes::copy_from_slice(&notice.account),
        kind: notice.kind.word().to_owned(),
        channel: notice.channel.word().to_owned(),
        state: notice.state.word().to_owned(),
        tries: notice.tries,
        created_unix_ms: notice.created_ms,
        next_unix_ms: notice.next_ms,
    }
}
