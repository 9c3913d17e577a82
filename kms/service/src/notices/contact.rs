//! Where an owner's mail goes: the field `email` of the profile, and for a while the address that stood there before.
//!
//! Whoever has somebody's password could else have the mail sent elsewhere first. So a change is told to both addresses, both
//! are told of everything until it holds, it is the only one until then, and there is none while a recovery is open.

use std::collections::BTreeMap;

use keyward_domain::{Code, profile::Fields};
use keyward_store::{Change, Id, NoticeChannel as Channel, NoticeKind};

use super::{address::is_address, look::Waits};
use crate::{
    custody::{Custody, random},
    failure::Failure,
};

/// The field of the address.
const EMAIL: &str = "email";
/// The address before, and until when it is told too, as Unix milliseconds; the service alone writes them.
const BEFORE: &str = "email-before";
const UNTIL: &str = "email-before-until";
/// The shortest time for which the address before is told too, in milliseconds.
const HOLD_MS_MIN: u64 = 3 * 24 * 3_600_000;

/// Where mail goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) now: Option<String>,
    pub(crate) before: Option<String>,
}

impl Contact {
    pub(crate) fn of(fields: &Fields, now_ms: u64) -> Self {
        let now = field(fields, EMAIL).filter(|address| is_address(address)).map(str::to_owned);
        Self { now, before: held(fields, now_ms).map(|(address, _)| address) }
    }

    fn channels(self) -> impl Iterator<Item = (Channel, String)> {
        let now = self.now.map(|address| (Channel::Mail, address));
        now.into_iter().chain(self.before.map(|address| (Channel::MailBefore, address)))
    }
}

fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// The address before, while it is told too, and until when.
fn held(fields: &Fields, now_ms: u64) -> Option<(String, u64)> {
    let until_ms: u64 = field(fields, UNTIL)?.parse().ok()?;
    let address = field(fields, BEFORE)?.to_owned();
    (until_ms > now_ms && is_address(&address)).then_some((address, until_ms))
}

/// The fields that are kept of those wanted, and whether mail goes elsewhere from now on. What stood before is told until
/// `until_ms`.
fn replaced(
    before: Option<&Fields>,
    wanted: &Fields,
    now_ms: u64,
    until_ms: u64,
) -> Result<(Fields, bool), Failure> {
    let stands = |name: &str| before.and_then(|before| field(before, name));
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in wanted.iter() {
        if [BEFORE, UNTIL].contains(&name) {
            // Whoever writes back what was shown changes nothing by it.
            if stands(name) != Some(value) {
                return Err(Failure::new(Code::ProfileInvalid, format!("the service alone writes `{name}`")));
            }
        } else {
            own.insert(name.to_owned(), value.to_owned());
        }
    }
    let (old, new) = (stands(EMAIL), own.get(EMAIL).map(String::as_str));
    if new.is_some_and(|address| !is_address(address)) {
        return Err(Failure::new(Code::ProfileInvalid, format!("`{EMAIL}` is no plain mail address")));
    }
    let held = before.and_then(|before| held(before, now_ms));
    let old_until = || old.map(|old| (old.to_owned(), until_ms));
    let (kept, moved) = match held {
        held if old == new => (held, false),
        Some((address, _)) if new != Some(address.as_str()) => {
            let what = "the mail address was changed lately, and holds until both were told long enough";
            return Err(Failure::new(Code::ContactHeld, what));
        }
        _ => (old_until(), old.is_some()),
    };
    if let Some((address, until_ms)) = kept {
        own.insert(BEFORE.to_owned(), address);
        own.insert(UNTIL.to_owned(), until_ms.to_string());
    }
    Ok((Fields::parse(own).map_err(Failure::of)?, moved))
}

impl Custody {
    /// Whether owners are told by mail: only then there are rules for addresses.
    pub(crate) fn tells_by_mail(&self) -> bool {
        self.notices.as_ref().is_some_and(|notices| notices.mail.is_some())
    }

    /// Refuses while a recovery of the account is open.
    pub(crate) async fn refuse_in_recovery(&self, account: &Id) -> Result<(), Failure> {
        let all = self.delegations(account).await?;
        if self.open_case(&all, self.clock.now_ms()).await?.is_none() {
            return Ok(());
        }
        Err(Failure::new(Code::RecoveryOpen, "addresses stay as they are while a recovery is open"))
    }

    /// The fields as they are to be kept, and what tells the owner if its mail goes elsewhere.
    pub(crate) async fn with_contact(
        &self,
        account: &Id,
        before: Option<&Fields>,
        wanted: &Fields,
    ) -> Result<(Fields, Vec<Change>), Failure> {
        self.refuse_in_recovery(account).await?;
        let now_ms = self.clock.now_ms();
        let until_ms = now_ms.saturating_add(self.longest_delay(account).await?.max(HOLD_MS_MIN));
        let (fields, moved) = replaced(before, wanted, now_ms, until_ms)?;
        let contact = if moved { Contact::of(&fields, now_ms) } else { Contact::default() };
        let told = if moved { self.tell_of_contact(account, contact, until_ms)? } else { Vec::new() };
        Ok((fields, told))
    }

    /// What tells everybody whom an account's mail went or goes to that this is another one.
    pub(crate) fn tell_of_contact(
        &self,
        account: &Id,
        contact: Contact,
        until_ms: u64,
    ) -> Result<Vec<Change>, Failure> {
        let Some(notices) = &self.notices else { return Ok(Vec::new()) };
        let now_ms = self.clock.now_ms();
        let kind = NoticeKind::ContactChanged;
        let waits = Waits { kind, subject: random()?, number: 0, since_ms: now_ms, until_ms };
        let mut told = Vec::new();
        if notices.webhook.is_some() {
            told.push(Change::PutNotice(waits.row(*account, Channel::Webhook, None, now_ms)));
        }
        for (channel, address) in contact.channels() {
            let sealed = waits.seal(notices, account, channel, &address)?;
            told.push(Change::PutNotice(waits.row(*account, channel, Some(sealed), now_ms)));
        }
        Ok(told)
    }

    /// The longest delay of the account's delegations in force.
    async fn longest_delay(&self, account: &Id) -> Result<u64, Failure> {
        let mut longest_ms = 0;
        for rule in self.delegations(account).await?.rules {
            let terms = self.delegation(&rule).await?.and_then(|state| state.terms);
            longest_ms = longest_ms.max(terms.map_or(0, |terms| terms.delay_ms));
        }
        Ok(longest_ms)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields::parse(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap()
    }

    fn contact(now: Option<&str>, before: Option<&str>) -> Contact {
        Contact { now: now.map(str::to_owned), before: before.map(str::to_owned) }
    }

    #[test]
    fn the_address_before_is_told_until_the_change_holds() {
        let first = replaced(None, &fields(&[("email", "a@x")]), 0, 100).unwrap();
        assert_eq!((Contact::of(&first.0, 0), first.1), (contact(Some("a@x"), None), false));
        let (second, moved) = replaced(Some(&first.0), &fields(&[("email", "b@x")]), 0, 100).unwrap();
        assert!(moved);
        assert_eq!(Contact::of(&second, 99), contact(Some("b@x"), Some("a@x")));
        assert_eq!(Contact::of(&second, 100), contact(Some("b@x"), None));
        // Other fields may change, and what was shown may be written back.
        let (same, moved) = replaced(
            Some(&second),
            &fields(&[("email", "b@x"), ("email-before", "a@x"), ("name", "A")]),
            50,
            150,
        )
        .unwrap();
        assert!(!moved);
        assert_eq!(Contact::of(&same, 99), contact(Some("b@x"), Some("a@x")));
        assert_eq!(Contact::of(&same, 100), contact(Some("b@x"), None));
    }

    #[test]
    fn a_second_change_waits_and_only_the_way_back_is_open() {
        let second = fields(&[("email", "b@x"), ("email-before", "a@x"), ("email-before-until", "100")]);
        let code = |wanted: &[(&str, &str)], now_ms| {
            replaced(Some(&second), &fields(wanted), now_ms, 200).map_err(|failure| failure.code)
        };
        assert_eq!(code(&[("email", "c@x")], 99).unwrap_err(), Code::ContactHeld);
        assert_eq!(code(&[("name", "A")], 99).unwrap_err(), Code::ContactHeld, "nor is it taken away");
        let (back, _) = code(&[("email", "a@x")], 99).unwrap();
        assert_eq!(Contact::of(&back, 199), contact(Some("a@x"), Some("b@x")), "both still");
        let (third, _) = code(&[("email", "c@x")], 100).unwrap();
        assert_eq!(Contact::of(&third, 199), contact(Some("c@x"), Some("b@x")));
        let (gone, moved) = code(&[("name", "A")], 100).unwrap();
        assert!(moved);
        assert_eq!(Contact::of(&gone, 199), contact(None, Some("b@x")));
    }

    #[test]
    fn only_addresses_are_taken_and_the_services_own_fields_are_not() {
        for wanted in [("email", "no address"), ("email-before", "m@x"), ("email-before-until", "9")] {
            let refused = replaced(None, &fields(&[wanted]), 0, 100).unwrap_err();
            assert_eq!(refused.code, Code::ProfileInvalid, "{wanted:?}");
        }
    }
}
