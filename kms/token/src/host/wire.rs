//! The bytes of one frame: fields in order, lengths before them, nothing left over.
//!
//! Numbers are big-endian. Text and bytes: `u32` length, then the bytes. Lists: `u32` count, then the items. Options:
//! one byte, 0 or 1. Enums: one byte, then the fields of that variant. Buffers are made long enough before anything
//! is written, so that growing leaves no copy of a secret behind, and are wiped.

use std::borrow::Cow;
use std::path::PathBuf;

use keyward_domain::scheme::{PublicKey, SM2_ID, Scheme};
use zeroize::Zeroizing;

use crate::error::{DeviceCause, PinTries, Stuck, TokenError};
use crate::request::{Answer, Request};
use crate::types::{Claims, KeyKind, Payload, Pin, Sm2Claims, TokenInfo, TokenKey, TokenName};

/// What every buffer has room for beyond its long fields.
const ROOM_BYTES: usize = 4096;

/// What is written to and read from frames.
pub(super) trait Wire: Sized {
    fn write(&self, to: &mut Vec<u8>);
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

/// The rest of a frame.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = u32::from_be_bytes(self.array()?);
        self.take(usize::try_from(len).ok()?)
    }

    fn text(&mut self) -> Option<String> {
        Some(std::str::from_utf8(self.bytes()?).ok()?.to_owned())
    }
}

/// A whole frame's worth of one value.
pub(super) fn decoded<T: Wire>(bytes: &[u8]) -> Option<T> {
    let mut reader = Reader::new(bytes);
    let value = T::read(&mut reader)?;
    reader.0.is_empty().then_some(value)
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(bytes);
}

/// A buffer for this request.
pub(super) fn buffer_for(request: &Request) -> Zeroizing<Vec<u8>> {
    let long = match request {
        Request::Encrypt { aad, plaintext, .. } => aad.len() + plaintext.len(),
        Request::Decrypt { aad, ciphertext, .. } => aad.len() + ciphertext.len(),
        Request::Sign { payload: Payload::Message(message), .. } => message.len(),
        _ => 0,
    };
    Zeroizing::new(Vec::with_capacity(ROOM_BYTES + long))
}

/// A buffer for this outcome.
pub(super) fn buffer_of(outcome: &Result<Answer, TokenError>) -> Zeroizing<Vec<u8>> {
    let long = match outcome {
        Ok(Answer::Bytes { bytes }) => bytes.len(),
        _ => 0,
    };
    Zeroizing::new(Vec::with_capacity(ROOM_BYTES + long))
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Wire for $number {
            fn write(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_be_bytes());
            }
            fn read(from: &mut Reader<'_>) -> Option<Self> {
                Some(Self::from_be_bytes(from.array()?))
            }
        }
    )*};
}
numbers!(u16, u32, u64);

macro_rules! through {
    ($($kind:ty: $write:expr, $read:expr;)*) => {$(
        impl Wire for $kind {
            fn write(&self, to: &mut Vec<u8>) {
                let write: fn(&Self, &mut Vec<u8>) = $write;
                write(self, to);
            }
            fn read(from: &mut Reader<'_>) -> Option<Self> {
                let read: fn(&mut Reader<'_>) -> Option<Self> = $read;
                read(from)
            }
        }
    )*};
}
through! {
    bool: |it, to| to.push(u8::from(*it)), |from| match from.byte()? { 0 => Some(false), 1 => Some(true), _ => None };
    usize: |it, to| (*it as u64).write(to), |from| Self::try_from(u64::read(from)?).ok();
    String: |it, to| put_bytes(to, it.as_bytes()), |from| from.text();
    Cow<'static, str>: |it, to| put_bytes(to, it.as_bytes()), |from| from.text().map(Cow::Owned);
    Zeroizing<Vec<u8>>: |it, to| put_bytes(to, it), |from| Some(Self::new(from.bytes()?.to_vec()));
    TokenName: |it, to| put_bytes(to, it.as_str().as_bytes()), |from| from.text().map(Self::new);
    PathBuf: |it, to| put_bytes(to, it.to_string_lossy().as_bytes()), |from| from.text().map(Self::from);
    Pin: |it, to| it.expose(|pin| put_bytes(to, pin)), |from| Self::from_bytes(from.bytes()?).ok();
    [u8; 12]: |it, to| to.extend_from_slice(it), |from| from.array();
    [u8; 32]: |it, to| to.extend_from_slice(it), |from| from.array();
    Scheme: |it, to| to.push(it.code()), |from| Self::from_code(from.byte()?);
    DeviceCause: |it, to| it.to_string().write(to), |from| from.text().map(Self::told);
    std::io::Error: |it, to| it.to_string().write(to), |from| from.text().map(Self::other);
    PublicKey: |it, to| { it.scheme().write(to); put_bytes(to, it.as_bytes()); },
        |from| { let scheme = Scheme::read(from)?; Self::parse(scheme, from.bytes()?).ok() };
    // The one id that is known.
    Sm2Claims: |it, to| it.hashes.write(to), |from| Some(Self { id: SM2_ID, hashes: bool::read(from)? });
}

impl Wire for u8 {
    fn write(&self, to: &mut Vec<u8>) {
        to.push(*self);
    }
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.byte()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn write(&self, to: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).write(to);
        self.iter().for_each(|item| item.write(to));
    }
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let len = usize::try_from(u32::read(from)?).ok()?;
        // Every item has at least one byte, so a length that lies ends early.
        if len > from.0.len() { None } else { (0..len).map(|_| T::read(from)).collect() }
    }
}

impl<T: Wire> Wire for Option<T> {
    fn write(&self, to: &mut Vec<u8>) {
        self.is_some().write(to);
        self.iter().for_each(|it| it.write(to));
    }
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        if bool::read(from)? { T::read(from).map(Some) } else { Some(None) }
    }
}

macro_rules! wire_enum {
    ($name:ident { $($tag:literal $variant:ident { $($field:ident),* })* }) => {
        impl Wire for $name {
            fn write(&self, to: &mut Vec<u8>) {
                match self {
                    $(Self::$variant { $($field),* } => {
                        to.push($tag);
                        $($field.write(to);)*
                    })*
                }
            }
            fn read(from: &mut Reader<'_>) -> Option<Self> {
                Some(match from.byte()? {
                    $($tag => Self::$variant { $($field: Wire::read(from)?),* },)*
                    _ => return None,
                })
            }
        }
    };
}

macro_rules! wire_struct {
    ($name:ident { $($field:ident),* }) => {
        impl Wire for $name {
            fn write(&self, to: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.write(to);)*
            }
            fn read(from: &mut Reader<'_>) -> Option<Self> {
                Some(Self { $($field: Wire::read(from)?),* })
            }
        }
    };
}

wire_enum!(KeyKind { 1 Secp256k1 {} 2 P256 {} 3 Ed25519 {} 4 Rsa { bits } 5 Sm2 {} });
wire_enum!(PinTries { 1 Unknown {} 2 Low {} 3 Final {} });
wire_struct!(Stuck { what, ms });
wire_struct!(Claims { sensitive, extractable, local, always_sensitive, never_extractable, sm2 });
wire_struct!(TokenKey { label, id, kind, public_keys, claims });
wire_struct!(TokenInfo {
    label,
    serial,
    manufacturer,
    model,
    initialised,
    pin_set,
    pin_locked,
    pin_final_try,
    pin_count_low,
    logged_in
});
wire_enum!(Request {
    1 Tokens {}
    2 Keys { token }
    3 FindKey { token, label, id }
    4 Login { token, pin }
    5 Logout { token }
    6 GenerateKey { token, kind, label, id }
    7 RemoveKey { token, id }
    8 GenerateKek { token, label, id }
    9 FindKek { token, label }
    10 Encrypt { token, kek, nonce, aad, plaintext }
    11 Decrypt { token, kek, nonce, aad, ciphertext }
    12 Sign { token, id, scheme, payload }
    13 Random { token, len }
    14 InitToken { so_pin, pin, label }
    15 HoldPin { token, pin }
    16 DestroyKek { token, label }
});
wire_enum!(Answer {
    1 Done {}
    2 Found { found }
    3 Tokens { tokens }
    4 Token { token }
    5 Keys { keys }
    6 Key { key }
    7 Bytes { bytes }
});

impl Wire for Payload {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Message(message) => {
                to.push(1);
                put_bytes(to, message);
            }
            Self::Digest(digest) => {
                to.push(2);
                digest.write(to);
            }
        }
    }
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        match from.byte()? {
            1 => Some(Self::Message(from.bytes()?.to_vec())),
            2 => Some(Self::Digest(from.array()?)),
            _ => None,
        }
    }
}

wire_enum!(TokenError {
    1 ModuleMissing { searched }
    2 ModuleUnusable { path, source }
    3 Thread { path, source }
    4 TokenMissing { wanted, present }
    5 TokenAmbiguous { wanted, first, second }
    6 TokenExists { label }
    7 NoFreeSlot {}
    8 LabelMalformed { label }
    9 KeyMissing { token, wanted }
    10 KeyAmbiguous { token, wanted, first, second }
    11 KeyExists { token, label }
    12 KindNotOffered { token, kind, source }
    13 PinMalformed { len }
    14 PinForm { token, source }
    15 PinWrong { token, tries }
    16 PinRefusedBefore { token }
    17 PinLocked { token }
    18 PinNotSet { token }
    19 NotLoggedIn { token }
    20 Timeout { path, deadline_ms, stuck }
    21 Busy { path }
    22 Stopped { path }
    23 SchemeNotOffered { token, scheme }
    24 SchemeNotOfKey { kind, scheme }
    25 DigestNotSigned { token, scheme }
    26 SignatureForm { token, scheme, len }
    27 DecryptRefused { token, source }
    28 Randomness { source }
    29 Device { token, what, source }
    30 HostEnded { path, reason }
    31 PinHeldBack { token }
    32 PinEncoding { source }
    33 PinGuessed { token }
});

impl Wire for std::str::Utf8Error {
    fn write(&self, to: &mut Vec<u8>) {
        self.valid_up_to().write(to);
    }
    /// Never sent: PINs are checked before they travel.
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<T: Wire>(value: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        bytes
    }

    fn requests() -> Vec<Request> {
        let token = TokenName::new("t");
        let pin = || Pin::new("1234".into()).unwrap();
        vec![
            Request::Tokens {},
            Request::Login { token: token.clone(), pin: pin() },
            Request::GenerateKey {
                token: token.clone(),
                kind: KeyKind::Rsa { bits: 2048 },
                label: "l".into(),
                id: vec![1, 2],
            },
            Request::Encrypt {
                token: token.clone(),
                kek: "k".into(),
                nonce: [7; 12],
                aad: vec![1],
                plaintext: Zeroizing::new(vec![9; 64]),
            },
            Request::Sign {
                token: token.clone(),
                id: vec![3],
                scheme: Scheme::Sm2,
                payload: Payload::Digest([4; 32]),
            },
            Request::Sign {
                token,
                id: vec![3],
                scheme: Scheme::Ed25519,
                payload: Payload::Message(vec![5; 100]),
            },
            Request::InitToken { so_pin: pin(), pin: pin(), label: "x".into() },
        ]
    }

    #[test]
    fn what_is_written_reads_back_and_nothing_else_does() {
        for request in requests() {
            let bytes = written(&request);
            let again: Request = decoded(&bytes).unwrap();
            assert_eq!(written(&again), bytes);
            for cut in 0..bytes.len() {
                assert!(decoded::<Request>(&bytes[..cut]).is_none(), "{request:?} cut to {cut}");
            }
            assert!(decoded::<Request>(&[&bytes[..], &[0]].concat()).is_none());
        }
        for bad in [&[0_u8][..], &[17], &[255], &[3, 255, 255, 255, 255]] {
            assert!(decoded::<Request>(bad).is_none());
        }
    }

    #[test]
    fn no_request_outgrows_its_buffer() {
        for request in requests() {
            let mut buffer = buffer_for(&request);
            let before = buffer.capacity();
            request.write(&mut buffer);
            assert_eq!(buffer.capacity(), before, "{request:?} left a copy behind");
        }
    }

    #[test]
    fn errors_keep_their_words_and_codes() {
        let (path, token) = (PathBuf::from("m.so"), TokenName::new("t"));
        let stuck = Some(Stuck { what: "sign".into(), ms: 12_000 });
        let errors = [
            TokenError::Timeout { path: path.clone(), deadline_ms: 10, stuck },
            TokenError::Device { token: "t".into(), what: "sign".into(), source: DeviceCause::told("no") },
            TokenError::KindNotOffered { token: token.clone(), kind: KeyKind::Sm2, source: None },
            TokenError::PinWrong { token, tries: PinTries::Final },
            TokenError::Randomness { source: std::io::Error::other("none") },
            TokenError::NoFreeSlot {},
        ];
        for error in errors {
            let again: TokenError = decoded(&written(&error)).unwrap();
            assert_eq!((again.to_string(), again.code()), (error.to_string(), error.code()));
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let mut lie = vec![5];
        lie.extend_from_slice(&u32::MAX.to_be_bytes());
        assert!(decoded::<Answer>(&lie).is_none());
    }
}
