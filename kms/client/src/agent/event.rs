//! What the desk tells the clerk: one calm line each.

use super::summary::{Summary, shown};

/// What a person is asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asks, as the service says.
    pub asker: String,
    /// The key's label in its token.
    pub key: String,
    /// What is to be signed; for a proof of possession, what the proof is for.
    pub what: String,
    /// SHA-256 of it.
    pub sha256: [u8; 32],
    /// How long it is.
    pub bytes: usize,
    /// Until when, in Unix milliseconds.
    pub expires_ms: u64,
}

/// A person's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Sign.
    Yes,
    /// Do not.
    No,
    /// There is nobody to ask.
    Nobody,
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The service took us.
    Connected {
        /// Its address.
        service: String,
        /// What it calls us.
        agent: String,
    },
    /// The stream broke.
    Lost {
        /// Why.
        why: String,
        /// When it is tried again, in milliseconds.
        again_ms: u64,
    },
    /// Tokens of this desk can be used.
    Attached {
        /// Label and number of keys of each.
        tokens: Vec<(String, usize)>,
    },
    /// A token of this desk cannot be used.
    Missing {
        /// Its name.
        token: String,
        /// Why.
        why: String,
    },
    /// A person is being asked.
    Asking {
        /// The request.
        job: [u8; 32],
        /// What.
        asked: Asked,
    },
    /// The token signed.
    Signed {
        /// The request.
        job: [u8; 32],
        /// The key's label.
        key: String,
        /// Who asked.
        asker: String,
        /// What.
        summary: Summary,
        /// The rule that allowed it.
        rule: String,
    },
    /// A proof of possession was made.
    Proved {
        /// The request.
        job: [u8; 32],
        /// The key's label.
        key: String,
        /// Who asked.
        asker: String,
    },
    /// A request was refused.
    Refused {
        /// The request.
        job: Vec<u8>,
        /// The stable code.
        code: &'static str,
        /// Why.
        message: String,
    },
    /// The same answer as before was given again.
    Repeated {
        /// The request.
        job: [u8; 32],
    },
    /// The service took a request back.
    Withdrawn {
        /// The request.
        job: [u8; 32],
        /// Why.
        why: String,
    },
}

impl Event {
    /// One word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connected { .. } => "connected",
            Self::Lost { .. } => "lost",
            Self::Attached { .. } => "attached",
            Self::Missing { .. } => "missing",
            Self::Asking { .. } => "asking",
            Self::Signed { .. } => "signed",
            Self::Proved { .. } => "proved",
            Self::Refused { .. } => "refused",
            Self::Repeated { .. } => "repeated",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }

    /// One line for people; nothing in it can move a terminal's cursor.
    pub fn words(&self) -> String {
        match self {
            Self::Connected { service, agent } => {
                format!("connected   to {service} as `{}`", shown(agent, 64))
            }
            Self::Lost { why, again_ms } => {
                format!("lost        {}; trying again in {:.1} s", shown(why, 200), *again_ms as f64 / 1000.0)
            }
            Self::Attached { tokens } if tokens.is_empty() => "tokens      none attached".to_owned(),
            Self::Attached { tokens } => {
                let tokens =
                    tokens.iter().map(|(label, keys)| format!("`{}` with {keys} keys", shown(label, 32)));
                format!("tokens      {}", tokens.collect::<Vec<_>>().join(", "))
            }
            Self::Missing { token, why } => {
                format!("missing     token `{}`: {}", shown(token, 32), shown(why, 200))
            }
            Self::Asking { asked, .. } => {
                format!(
                    "asking      {} for `{}`: {}",
                    shown(&asked.asker, 80),
                    shown(&asked.key, 32),
                    asked.what
                )
            }
            Self::Signed { key, asker, summary, rule, .. } => format!(
                "signed      with `{}` for {} (rule `{}`): {} of {} bytes, sha256 {}",
                shown(key, 32),
                shown(asker, 80),
                shown(rule, 64),
                summary.kind.name(),
                summary.bytes,
                hex::encode(summary.sha256)
            ),
            Self::Proved { key, asker, .. } => {
                format!("proved      possession of `{}` for {}", shown(key, 32), shown(asker, 80))
            }
            Self::Refused { code, message, .. } => format!("refused     {code}: {}", shown(message, 300)),
            Self::Repeated { job } => format!("repeated    the answer to {}", hex::encode(job)),
            Self::Withdrawn { job, why } => format!("withdrawn   {}: {}", hex::encode(job), shown(why, 200)),
        }
    }
}
