//! What a module can be asked and what it answers: the same for one in this process and for one in a child.

use std::fmt;

use keyward_domain::scheme::Scheme;
use zeroize::Zeroizing;

use crate::types::{KeyKind, Payload, Pin, TokenInfo, TokenKey, TokenName};

/// One thing asked of a module; printed without what it carries.
pub(crate) enum Request {
    Tokens {},
    Keys {
        token: TokenName,
    },
    FindKey {
        token: TokenName,
        label: String,
        id: Vec<u8>,
    },
    Login {
        token: TokenName,
        pin: Pin,
    },
    Logout {
        token: TokenName,
    },
    /// To log in with when the token is used next; for the child that takes the place of another.
    HoldPin {
        token: TokenName,
        pin: Pin,
    },
    GenerateKey {
        token: TokenName,
        kind: KeyKind,
        label: String,
        id: Vec<u8>,
    },
    RemoveKey {
        token: TokenName,
        id: Vec<u8>,
    },
    GenerateKek {
        token: TokenName,
        label: String,
        id: Vec<u8>,
    },
    FindKek {
        token: TokenName,
        label: String,
    },
    DestroyKek {
        token: TokenName,
        label: String,
    },
    Encrypt {
        token: TokenName,
        kek: String,
        nonce: [u8; 12],
        aad: Vec<u8>,
        plaintext: Zeroizing<Vec<u8>>,
    },
    Decrypt {
        token: TokenName,
        kek: String,
        nonce: [u8; 12],
        aad: Vec<u8>,
        ciphertext: Vec<u8>,
    },
    Sign {
        token: TokenName,
        id: Vec<u8>,
        scheme: Scheme,
        payload: Payload,
    },
    Random {
        token: TokenName,
        len: usize,
    },
    InitToken {
        so_pin: Pin,
        pin: Pin,
        label: String,
    },
}

/// What comes back; printed without what it carries.
pub(crate) enum Answer {
    Done {},
    Found { found: bool },
    Tokens { tokens: Vec<TokenInfo> },
    Token { token: TokenInfo },
    Keys { keys: Vec<TokenKey> },
    Key { key: TokenKey },
    Bytes { bytes: Zeroizing<Vec<u8>> },
}

impl Request {
    /// What is done, for messages: "the module is stuck while it should ...".
    pub(crate) const fn what(&self) -> &'static str {
        match self {
            Self::Tokens {} => "list its tokens",
            Self::Keys { .. } => "list keys",
            Self::FindKey { .. } => "look for a key",
            Self::Login { .. } => "log in",
            Self::Logout { .. } => "log out",
            Self::HoldPin { .. } => "hold a pin",
            Self::GenerateKey { .. } => "make a key",
            Self::RemoveKey { .. } => "remove a half-made key",
            Self::GenerateKek { .. } => "make a key-encryption key",
            Self::FindKek { .. } => "look for a key-encryption key",
            Self::DestroyKek { .. } => "remove a key-encryption key",
            Self::Encrypt { .. } => "seal",
            Self::Decrypt { .. } => "open an envelope",
            Self::Sign { .. } => "sign",
            Self::Random { .. } => "give random bytes",
            Self::InitToken { .. } => "initialise a token",
        }
    }

    /// The token it is about, where it is about one.
    pub(crate) const fn token(&self) -> Option<&TokenName> {
        match self {
            Self::Tokens {} | Self::InitToken { .. } => None,
            Self::Keys { token }
            | Self::FindKey { token, .. }
            | Self::Login { token, .. }
            | Self::Logout { token }
            | Self::HoldPin { token, .. }
            | Self::GenerateKey { token, .. }
            | Self::RemoveKey { token, .. }
            | Self::GenerateKek { token, .. }
            | Self::FindKek { token, .. }
            | Self::DestroyKek { token, .. }
            | Self::Encrypt { token, .. }
            | Self::Decrypt { token, .. }
            | Self::Sign { token, .. }
            | Self::Random { token, .. } => Some(token),
        }
    }

    /// Whether its answer would show a half-made key.
    pub(crate) const fn shows_keys(&self) -> bool {
        matches!(self, Self::Keys { .. } | Self::FindKey { .. } | Self::GenerateKey { .. })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token().map_or("", TokenName::as_str);
        write!(f, "Request({}, `{token}`)", self.what())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done {} => "Done",
            Self::Found { .. } => "Found",
            Self::Tokens { .. } => "Tokens",
            Self::Token { .. } => "Token",
            Self::Keys { .. } => "Keys",
            Self::Key { .. } => "Key",
            Self::Bytes { .. } => "Bytes(redacted)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_print_no_secrets() {
        let (token, secret) = (TokenName::new("t"), || Zeroizing::new(vec![201; 4]));
        let pin = || Pin::new("2468".into()).unwrap();
        let seal = Request::Encrypt {
            token: token.clone(),
            kek: "k".into(),
            nonce: [0; 12],
            aad: Vec::new(),
            plaintext: secret(),
        };
        assert_eq!(format!("{seal:?}"), "Request(seal, `t`)");
        let shown = [
            format!("{seal:#?}"),
            format!("{:?}", Request::Login { token: token.clone(), pin: pin() }),
            format!("{:?}", Request::InitToken { so_pin: pin(), pin: pin(), label: "l".into() }),
            format!(
                "{:?}",
                Request::Sign {
                    token,
                    id: Vec::new(),
                    scheme: Scheme::Ed25519,
                    payload: Payload::Message(vec![201; 4]),
                }
            ),
            format!("{:?}", Answer::Bytes { bytes: secret() }),
        ];
        for text in shown {
            assert!(!text.contains("201") && !text.contains("2468"), "{text}");
        }
    }
}
