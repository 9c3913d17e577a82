//! A request in JSON, and the question that it stands for.

use keyward_domain::{AccountId, Mode};
use serde::{Deserialize, Serialize};

use crate::{
    facts::Facts,
    request::{Actor, ActorKind, Request, Resource, Verb},
    set::PolicySet,
    signing::{SharedSigning, SigningRequest, hour_and_weekday, time_at},
    verdict::Verdict,
};

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Who asks.
    pub actor: AskedActor,
    /// For what: a verb's name.
    pub verb: String,
    /// On what.
    pub resource: AskedResource,
    /// What a signature adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<AskedSigning>,
}

/// A request that was decided, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// The request.
    pub asked: Asked,
    /// Unix milliseconds.
    pub at_ms: u64,
}

impl Decided {
    /// Several of them, as JSON.
    pub fn encode(all: &[Self]) -> Result<Vec<u8>, CaseError> {
        Ok(serde_json::to_vec(all)?)
    }

    /// What [`Self::encode`] wrote.
    pub fn decode(json: &[u8]) -> Result<Vec<Self>, CaseError> {
        Ok(serde_json::from_slice(json)?)
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedActor {
    /// `app`, `operator`, `officer`, `auditor`, `agent`, `user`, or `holder` of a shared key.
    pub kind: String,
    /// The tenant.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// The certificate's or the user's name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The account, as 64 hex digits, or one letter that stands for some account.
    #[serde(default)]
    pub account: Option<String>,
}

/// On what. Accounts as in [`AskedActor`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
#[allow(missing_docs, reason = "as the fields of `Resource`")]
pub enum AskedResource {
    /// The tenant as such.
    Tenant {
        #[serde(default = "default_tenant")]
        tenant: String,
    },
    /// An account.
    Account {
        #[serde(default = "default_tenant")]
        tenant: String,
        account: String,
    },
    /// A key.
    Key {
        #[serde(default = "default_tenant")]
        tenant: String,
        #[serde(default)]
        id: Option<String>,
        account: String,
        #[serde(default = "hosted")]
        mode: String,
        #[serde(default)]
        person: bool,
        #[serde(default)]
        authorised: bool,
    },
    /// A shared key, signed with by its holder.
    Shared {
        #[serde(default)]
        id: Option<String>,
        account: String,
    },
    /// A token agent's place.
    Desk {
        #[serde(default = "default_tenant")]
        tenant: String,
        agent: String,
        operators: Vec<String>,
    },
    /// A key that a delegate wants to use.
    Delegated {
        #[serde(default = "default_tenant")]
        tenant: String,
        account: String,
        delegates: Vec<String>,
        mode: String,
        person: bool,
    },
}

/// What a signature adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedSigning {
    /// What the payload says.
    #[serde(default = "Facts::opaque")]
    pub payload: Facts,
    /// 0 to 23, UTC.
    #[serde(default = "forenoon")]
    pub hour: u8,
    /// 1 (Monday) to 7, UTC.
    #[serde(default = "monday")]
    pub weekday: u8,
    /// Approval rules under which it is approved, as 64 hex digits.
    #[serde(default)]
    pub approvals: Vec<String>,
    /// Whether the signer is a delegate, whom the floor does not permit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delegate: bool,
}

fn default_tenant() -> String {
    "default".to_owned()
}

fn default_name() -> String {
    "one".to_owned()
}

fn hosted() -> String {
    Mode::Hosted.name().to_owned()
}

const fn forenoon() -> u8 {
    10
}

const fn monday() -> u8 {
    1
}

/// Why a request in JSON is none.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// No list of cases, or no request.
    #[error("it does not read: {0}")]
    Json(#[from] serde_json::Error),
    /// A field is not what it should be.
    #[error("`{value}` is no {what}")]
    Field {
        /// What it should be.
        what: &'static str,
        /// What it is.
        value: String,
    },
    /// It cannot be decided at all.
    #[error("it cannot be decided")]
    Undecided(#[from] crate::error::DecideError),
}

impl Asked {
    /// What stands in a file, or in a message.
    pub fn from_json(text: &str) -> Result<Self, CaseError> {
        Ok(serde_json::from_str(text)?)
    }

    /// In one line.
    pub fn to_json(&self) -> Result<String, CaseError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Decides it under a set.
    pub fn decide(&self, set: &PolicySet) -> Result<Verdict, CaseError> {
        let verb = Verb::from_name(&self.verb).ok_or_else(|| field("verb", &self.verb))?;
        let kind = ActorKind::ALL.into_iter().find(|kind| kind.name() == self.actor.kind);
        let kind = kind.ok_or_else(|| field("kind of actor", &self.actor.kind))?;
        let account = self.actor.account.as_deref().map(account).transpose()?;
        let AskedActor { tenant, name, .. } = &self.actor;
        // As where shared keys are decided about: nobody there knows a tenant's name.
        let tenant = if kind == ActorKind::Holder { "" } else { tenant.as_str() };
        let actor = Actor { tenant, kind, name, account };
        let mut delegates = Vec::new();
        let resource = self.resource.read(&mut delegates)?;
        if verb != Verb::KeySign {
            let decision = set.decide(&Request { actor, verb, resource })?;
            let policies = decision.policies;
            let denied = |reasons| Verdict::Deny { reasons };
            return Ok(if decision.allowed { Verdict::Allow { policies } } else { denied(policies) });
        }
        let bare = AskedSigning {
            payload: Facts::opaque(),
            hour: forenoon(),
            weekday: monday(),
            approvals: Vec::new(),
            delegate: false,
        };
        let AskedSigning { payload: facts, hour, weekday, approvals, delegate } =
            self.signing.as_ref().unwrap_or(&bare);
        if *hour > 23 || !(1..=7).contains(weekday) {
            return Err(field("hour and weekday", &format!("{hour}, {weekday}")));
        }
        let time_ms = time_at(*hour, *weekday);
        let approvals =
            approvals.iter().map(|rule| digits("approval rule", rule)).collect::<Result<Vec<_>, _>>()?;
        let approvals = &approvals;
        let request = SigningRequest { actor, key: resource, facts, time_ms, approvals };
        Ok(if *delegate { set.decide_delegated(&request) } else { set.decide_signing(&request) })
    }

    /// Of a request that is decided now.
    pub fn of_signing(request: &SigningRequest<'_>, delegate: bool) -> Option<Self> {
        let SigningRequest { actor, key, facts, time_ms, approvals } = request;
        let (hour, weekday) = hour_and_weekday(*time_ms);
        Some(Self {
            actor: AskedActor::of(actor),
            verb: Verb::KeySign.name().to_owned(),
            resource: AskedResource::of(key)?,
            signing: Some(AskedSigning {
                payload: (*facts).clone(),
                hour: u8::try_from(hour).unwrap_or(u8::MAX),
                weekday: u8::try_from(weekday).unwrap_or(u8::MAX),
                approvals: approvals.iter().map(hex::encode).collect(),
                delegate,
            }),
        })
    }

    /// Of a signature with a shared key.
    pub fn of_shared(request: &SharedSigning<'_>) -> Option<Self> {
        let SharedSigning { account, key_id, facts, time_ms, approvals } = *request;
        let actor = Actor { tenant: "", kind: ActorKind::Holder, name: "", account: Some(account) };
        let key = Resource::Shared { id: key_id, account };
        Self::of_signing(&SigningRequest { actor, key, facts, time_ms, approvals }, false)
    }

    /// Of a request about something else than a signature, which a tenant's set may narrow.
    pub fn of(request: &Request<'_>) -> Option<Self> {
        let (actor, verb) = (AskedActor::of(&request.actor), request.verb.name().to_owned());
        Some(Self { actor, verb, resource: AskedResource::of(&request.resource)?, signing: None })
    }
}

impl AskedActor {
    fn of(actor: &Actor<'_>) -> Self {
        Self {
            kind: actor.kind.name().to_owned(),
            tenant: actor.tenant.to_owned(),
            name: actor.name.to_owned(),
            account: actor.account.map(|account| account.to_string()),
        }
    }
}

impl AskedResource {
    /// None for what no tenant's set narrows.
    fn of(resource: &Resource<'_>) -> Option<Self> {
        Some(match *resource {
            Resource::Tenant { tenant } => Self::Tenant { tenant: tenant.to_owned() },
            Resource::Account { tenant, id } => {
                Self::Account { tenant: tenant.to_owned(), account: id.to_string() }
            }
            Resource::Key { tenant, id, account, mode, person, authorised } => Self::Key {
                tenant: tenant.to_owned(),
                id: Some(hex::encode(id)),
                account: account.to_string(),
                mode: mode.name().to_owned(),
                person,
                authorised,
            },
            Resource::Shared { id, account } => {
                Self::Shared { id: Some(hex::encode(id)), account: account.to_string() }
            }
            Resource::Desk { tenant, agent, operators } => Self::Desk {
                tenant: tenant.to_owned(),
                agent: agent.to_owned(),
                operators: operators.to_vec(),
            },
            Resource::Delegated { .. } => return None,
        })
    }

    /// `delegates`: room for the accounts that it names.
    fn read<'a>(&'a self, room: &'a mut Vec<AccountId>) -> Result<Resource<'a>, CaseError> {
        let key_id = |id: &Option<String>| id.as_ref().map_or(Ok([9; 32]), |id| digits("key id", id));
        let mode_of = |mode: &str| Mode::from_name(mode).ok_or_else(|| field("mode", mode));
        Ok(match self {
            Self::Tenant { tenant } => Resource::Tenant { tenant },
            Self::Account { tenant, account: id } => Resource::Account { tenant, id: account(id)? },
            Self::Key { tenant, id, account: holder, mode, person, authorised } => Resource::Key {
                tenant,
                id: key_id(id)?,
                account: account(holder)?,
                mode: mode_of(mode)?,
                person: *person,
                authorised: *authorised,
            },
            Self::Shared { id, account: holder } => {
                Resource::Shared { id: key_id(id)?, account: account(holder)? }
            }
            Self::Desk { tenant, agent, operators } => Resource::Desk { tenant, agent, operators },
            Self::Delegated { tenant, account: holder, delegates, mode, person } => {
                for delegate in delegates {
                    room.push(account(delegate)?);
                }
                Resource::Delegated {
                    tenant,
                    id: [9; 32],
                    account: account(holder)?,
                    mode: mode_of(mode)?,
                    person: *person,
                    delegates: room,
                }
            }
        })
    }
}

fn account(text: &str) -> Result<AccountId, CaseError> {
    match text.as_bytes() {
        [letter] => Ok(AccountId([*letter; 32])),
        _ => digits("account", text).map(AccountId),
    }
}

fn digits(what: &'static str, text: &str) -> Result<[u8; 32], CaseError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| field(what, text))?;
    Ok(bytes)
}

fn field(what: &'static str, value: &str) -> CaseError {
    CaseError::Field { what, value: value.chars().take(100).collect() }
}
