//! Keys in a token: listing, finding again by `CKA_ID`, making.

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};

use keyward_domain::scheme::{SM2_ID, Scheme};

use crate::attributes::{self, Facts};
use crate::error::{DeviceCause, TokenError};
use crate::offers;
use crate::session::Open;
use crate::types::{Claims, KeyKind, Sm2Claims, TokenKey, TokenName};
use crate::worker::{Fault, Worker, while_doing};

/// Length of the `CKA_ID` of keys made here.
const ID_BYTES: usize = 16;
/// 65537.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];
/// The lengths that are made here.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

/// A private key as a session knows it.
#[derive(Clone, Copy)]
pub(crate) struct PrivateKey {
    pub(crate) handle: ObjectHandle,
    pub(crate) kind: KeyKind,
}

/// What a caller looks for: a label, an id, or both.
struct Wanted<'a> {
    label: &'a str,
    id: &'a [u8],
}

impl Worker<'_> {
    pub(crate) fn keys(&self, token: &TokenName) -> Result<Vec<TokenKey>, TokenError> {
        self.with(token, |open| open.keys(token, &Wanted { label: "", id: &[] }))
    }

    pub(crate) fn find_key(&self, token: &TokenName, label: &str, id: &[u8]) -> Result<TokenKey, TokenError> {
        self.with(token, |open| {
            open.require_login(token)?;
            open.only(token, &Wanted { label, id })
        })
    }

    /// Makes a pair under a fresh id. What an earlier attempt of the same job has left is removed first, and if this
    /// one fails, what it left is removed as far as the token lets us: the caller removes the rest later.
    pub(crate) fn generate_key(
        &self,
        token: &TokenName,
        kind: KeyKind,
        label: &str,
        id: &[u8],
    ) -> Result<TokenKey, TokenError> {
        if label.is_empty() {
            return Err(TokenError::LabelMalformed { label: label.to_owned() });
        }
        self.with(token, |open| {
            open.require_login(token)?;
            open.remove(token, id)?;
            if !open.keys(token, &Wanted { label, id: &[] })?.is_empty() {
                let (token, label) = (token.clone(), label.to_owned());
                return Err(Fault::Final(TokenError::KeyExists { token, label }));
            }
            let made =
                open.generate(token, kind, label, id).and_then(|()| open.only(token, &Wanted { label, id }));
            // Nobody waits any more: nobody learns the id.
            let made = if self.left().is_zero() { Err(Fault::Final(self.late())) } else { made };
            if matches!(made, Err(Fault::Final(_)))
                && let Err(fault) = open.remove(token, id)
            {
                let error = TokenError::from(fault);
                tracing::warn!(%token, label, %error, "a half-made key stays for now");
            }
            made
        })
    }

    /// Removes both halves of the pair of an id, and whatever else carries it.
    pub(crate) fn remove_key(&self, token: &TokenName, id: &[u8]) -> Result<(), TokenError> {
        self.with(token, |open| {
            open.require_login(token)?;
            open.remove(token, id)
        })
    }
}

impl Open {
    /// The private key of a `CKA_ID`, remembered as long as the session lives.
    pub(crate) fn private_key(&mut self, token: &TokenName, id: &[u8]) -> Result<PrivateKey, Fault> {
        if let Some(key) = self.keys.get(id) {
            return Ok(*key);
        }
        self.require_login(token)?;
        let wanted = Wanted { label: "", id };
        let found = self.find(token, &wanted, ObjectClass::PRIVATE_KEY)?;
        let handle = match found.as_slice() {
            [] => return Err(key_missing(token, &wanted)),
            [handle] => *handle,
            [first, second, ..] => return Err(two_found(self, token, wanted.to_string(), *first, *second)),
        };
        let facts = Facts::read(&self.session, token, handle)?;
        let public = self.public_half(token, &facts)?;
        let Some(kind) = facts.kind().or_else(|| public.as_ref().and_then(Facts::kind)) else {
            return Err(key_missing(token, &wanted));
        };
        let key = PrivateKey { handle, kind };
        self.keys.insert(id.to_vec(), key);
        Ok(key)
    }

    /// The one key that is wanted.
    fn only(&mut self, token: &TokenName, wanted: &Wanted<'_>) -> Result<TokenKey, Fault> {
        let mut found = self.keys(token, wanted)?.into_iter();
        match (found.next(), found.next()) {
            (None, _) => Err(key_missing(token, wanted)),
            (Some(key), None) => Ok(key),
            (Some(first), Some(second)) => Err(Fault::Final(TokenError::KeyAmbiguous {
                token: token.clone(),
                wanted: wanted.to_string(),
                first: shown(&first.label, &first.id),
                second: shown(&second.label, &second.id),
            })),
        }
    }

    /// Destroys every object of an id that was drawn here.
    fn remove(&mut self, token: &TokenName, id: &[u8]) -> Result<(), Fault> {
        let wanted = [Attribute::Token(true), Attribute::Id(id.to_vec())];
        let objects = self.session.find_objects(&wanted).map_err(while_doing(token, "look for a key"))?;
        self.keys.remove(id);
        for object in objects {
            tracing::warn!(%token, id = hex::encode(id), "removing a half-made key");
            let destroyed = self.session.destroy_object(object);
            destroyed.map_err(while_doing(token, "remove a half-made key"))?;
        }
        Ok(())
    }

    /// Private keys with their public halves; before a login, public keys alone.
    fn keys(&mut self, token: &TokenName, wanted: &Wanted<'_>) -> Result<Vec<TokenKey>, Fault> {
        let mut keys = Vec::new();
        let mut ids = Vec::new();
        for handle in self.find(token, wanted, ObjectClass::PRIVATE_KEY)? {
            let facts = Facts::read(&self.session, token, handle)?;
            ids.push(facts.id().to_vec());
            let public = self.public_half(token, &facts)?;
            keys.extend(self.describe(&facts, public.as_ref()));
        }
        if !self.logged_in {
            for handle in self.find(token, wanted, ObjectClass::PUBLIC_KEY)? {
                let facts = Facts::read(&self.session, token, handle)?;
                if !ids.iter().any(|id| id == facts.id()) {
                    keys.extend(self.describe(&facts, Some(&facts)));
                }
            }
        }
        keys.sort_by(|one, two| (&one.label, &one.id).cmp(&(&two.label, &two.id)));
        Ok(keys)
    }

    /// None for kinds of key that we have no use for.
    fn describe(&mut self, facts: &Facts, public: Option<&Facts>) -> Option<TokenKey> {
        let kind = facts.kind().or_else(|| public.and_then(Facts::kind))?;
        let sm2 = (kind == KeyKind::Sm2 && self.offers_scheme(Scheme::Sm2))
            .then_some(Sm2Claims { id: SM2_ID, hashes: true });
        let schemes = kind.schemes().iter().copied().filter(|scheme| self.offers_scheme(*scheme));
        let public_keys = schemes
            .filter_map(|scheme| {
                public.and_then(|half| half.public_key(scheme)).or_else(|| facts.public_key(scheme))
            })
            .collect();
        Some(TokenKey {
            label: facts.label(),
            id: facts.id().to_vec(),
            kind,
            public_keys,
            claims: if public.is_some_and(|half| std::ptr::eq(half, facts)) {
                Claims { sm2, ..Claims::default() } // a public key claims nothing of its private half
            } else {
                Claims { sm2, ..facts.claims() }
            },
        })
    }

    fn public_half(&self, token: &TokenName, private: &Facts) -> Result<Option<Facts>, Fault> {
        if private.id().is_empty() {
            return Ok(None);
        }
        let wanted = Wanted { label: "", id: private.id() };
        match self.find(token, &wanted, ObjectClass::PUBLIC_KEY)?.first() {
            None => Ok(None),
            Some(handle) => Ok(Some(Facts::read(&self.session, token, *handle)?)),
        }
    }

    fn find(
        &self,
        token: &TokenName,
        wanted: &Wanted<'_>,
        class: ObjectClass,
    ) -> Result<Vec<ObjectHandle>, Fault> {
        let mut template = vec![Attribute::Class(class)];
        if !wanted.label.is_empty() {
            template.push(Attribute::Label(wanted.label.as_bytes().to_vec()));
        }
        if !wanted.id.is_empty() {
            template.push(Attribute::Id(wanted.id.to_vec()));
        }
        self.session.find_objects(&template).map_err(while_doing(token, "look for a key"))
    }

    fn generate(&mut self, token: &TokenName, kind: KeyKind, label: &str, id: &[u8]) -> Result<(), Fault> {
        let mut last = None;
        for (mechanism, key_type, parameters) in recipes(kind) {
            let public = [
                vec![
                    Attribute::Token(true),
                    Attribute::Private(false),
                    Attribute::Verify(true),
                    Attribute::KeyType(key_type),
                    Attribute::Label(label.as_bytes().to_vec()),
                    Attribute::Id(id.to_vec()),
                ],
                parameters,
            ]
            .concat();
            let private = [
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Sign(true),
                Attribute::KeyType(key_type),
                Attribute::Label(label.as_bytes().to_vec()),
                Attribute::Id(id.to_vec()),
            ];
            match self.session.generate_key_pair(&mechanism, &public, &private) {
                Ok(_) => return Ok(()),
                Err(error) if not_offered(&error) => last = Some(DeviceCause::from(error)),
                Err(error) => return Err(while_doing(token, "make a key")(error)),
            }
        }
        Err(Fault::Final(TokenError::KindNotOffered { token: token.clone(), kind, source: last }))
    }
}

/// How a kind is made, in the spellings that tokens understand.
fn recipes(kind: KeyKind) -> Vec<(Mechanism<'static>, KeyType, Vec<Attribute>)> {
    let curve =
        |mechanism, key_type, name: &[u8]| (mechanism, key_type, vec![Attribute::EcParams(name.to_vec())]);
    match kind {
        KeyKind::Secp256k1 => vec![curve(Mechanism::EccKeyPairGen, KeyType::EC, attributes::SECP256K1)],
        KeyKind::P256 => vec![curve(Mechanism::EccKeyPairGen, KeyType::EC, attributes::P256)],
        KeyKind::Sm2 => {
            offers::sm2_recipes().map(|mechanism| curve(mechanism, KeyType::EC, attributes::SM2)).collect()
        }
        KeyKind::Ed25519 => vec![
            curve(Mechanism::EccEdwardsKeyPairGen, KeyType::EC_EDWARDS, attributes::ED25519),
            curve(Mechanism::EccEdwardsKeyPairGen, KeyType::EC_EDWARDS, attributes::ED25519_NAME),
        ],
        KeyKind::Rsa { bits } if RSA_BITS.contains(&bits) && bits % 8 == 0 => {
            let modulus = Attribute::ModulusBits(u64::from(bits).into());
            let exponent = Attribute::PublicExponent(RSA_EXPONENT.to_vec());
            vec![(Mechanism::RsaPkcsKeyPairGen, KeyType::RSA, vec![modulus, exponent])]
        }
        KeyKind::Rsa { .. } => Vec::new(),
    }
}

fn not_offered(error: &Error) -> bool {
    let Error::Pkcs11(code, _) = error else { return false };
    matches!(
        code,
        RvError::MechanismInvalid
            | RvError::MechanismParamInvalid
            | RvError::CurveNotSupported
            | RvError::DomainParamsInvalid
            | RvError::AttributeValueInvalid
            | RvError::TemplateInconsistent
            | RvError::KeySizeRange
            | RvError::GeneralError
            | RvError::FunctionFailed
            | RvError::FunctionNotSupported
    )
}

/// A fresh random `CKA_ID`.
pub(crate) fn fresh_id() -> Result<Vec<u8>, TokenError> {
    let mut id = vec![0; ID_BYTES];
    getrandom::fill(&mut id)
        .map_err(|error| TokenError::Randomness { source: std::io::Error::other(error.to_string()) })?;
    Ok(id)
}

/// Two objects where one was wanted: the error names both.
pub(crate) fn two_found(
    open: &Open,
    token: &TokenName,
    wanted: String,
    first: ObjectHandle,
    second: ObjectHandle,
) -> Fault {
    let name = |handle| match Facts::read(&open.session, token, handle) {
        Ok(facts) => shown(&facts.label(), facts.id()),
        Err(_) => String::from("one that cannot be read"),
    };
    let (first, second) = (name(first), name(second));
    Fault::Final(TokenError::KeyAmbiguous { token: token.clone(), wanted, first, second })
}

fn shown(label: &str, id: &[u8]) -> String {
    format!("`{label}` (id `{}`)", hex::encode(id))
}

fn key_missing(token: &TokenName, wanted: &Wanted<'_>) -> Fault {
    Fault::Final(TokenError::KeyMissing { token: token.clone(), wanted: wanted.to_string() })
}

impl std::fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.label, self.id) {
            ("", []) => f.write_str("at all"),
            (label, []) => write!(f, "`{label}`"),
            ("", id) => write!(f, "with id `{}`", hex::encode(id)),
            (label, id) => write!(f, "`{label}` with id `{}`", hex::encode(id)),
        }
    }
}
