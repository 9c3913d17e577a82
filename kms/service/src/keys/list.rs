//! Finding, listing and showing keys.

use std::sync::Arc;

use keyward_domain::{AccountId, Alias, Code, label, scheme::Scheme};
use keyward_policies::Verb;
use keyward_store::{Key, KeyFilter, KeyState};

use super::scheme_named;
use crate::{caller::Caller, custody::Custody, failure::Failure, keybook::KnownKey};

/// Keys of one page, unless fewer or more are asked for.
const PAGE: u32 = 100;
/// Keys of one page at most.
const PAGE_MAX: u32 = 500;

/// What is looked for; every part that is given must hold.
#[derive(Debug, Default)]
pub(crate) struct Search<'a> {
    pub(crate) account: Option<AccountId>,
    pub(crate) state: &'a str,
    pub(crate) label: Option<(&'a str, &'a str)>,
    pub(crate) alias_prefix: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) all_versions: bool,
    pub(crate) page_size: u32,
    /// The last key of the page before.
    pub(crate) after: Option<[u8; 32]>,
}

/// A page of keys, and where the next one begins.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) keys: Vec<KnownKey>,
    pub(crate) next: Option<[u8; 32]>,
}

impl Custody {
    /// The keys of the caller's own account, or of every account for those who may see them.
    pub(crate) async fn list_keys(&self, caller: &Caller, search: &Search<'_>) -> Result<Page, Failure> {
        let wanted = Wanted::of(search)?;
        let Some(account) = self.searched(caller, search.account)? else { return Ok(Page::default()) };
        let limit = if search.page_size == 0 { PAGE } else { search.page_size.min(PAGE_MAX) };
        let filter = KeyFilter {
            account: account.map(|account| account.0),
            state: wanted.state,
            label: search.label.map(|(key, value)| (key.to_owned(), value.to_owned())),
            alias_prefix: Some(search.alias_prefix.to_owned()).filter(|prefix| !prefix.is_empty()),
            after: search.after,
            limit,
        };
        let rows = self.store.search_keys(filter).await?;
        let more = u32::try_from(rows.len()).is_ok_and(|count| count >= limit);
        let next = if more { rows.last().map(|row| row.key_id) } else { None };
        let mut keys = Vec::new();
        for row in rows.into_iter().filter(|row| wanted.fits(row)) {
            keys.push(self.known(row).await?);
        }
        Ok(Page { keys, next })
    }

    /// Whose keys: all accounts' (`Some(None)`), one account's, or nobody's, for an app without an account.
    #[expect(clippy::option_option, reason = "three cases, told apart on the spot")]
    fn searched(
        &self,
        caller: &Caller,
        asked: Option<AccountId>,
    ) -> Result<Option<Option<AccountId>>, Failure> {
        if self.authorise_tenant(caller, Verb::KeySearch).is_ok() {
            return Ok(Some(asked));
        }
        match asked.or(caller.account) {
            Some(account) => {
                self.authorise_account(caller, Verb::KeyList, account)?;
                Ok(Some(Some(account)))
            }
            // An app that has not made a key has no account yet.
            None if keyward_domain::AccountName::of_principal(&caller.principal).is_some() => Ok(None),
            None => self.authorise_tenant(caller, Verb::KeySearch).map(|()| None),
        }
    }

    /// One key.
    pub(crate) async fn show_key(&self, caller: &Caller, name: &str) -> Result<Arc<KnownKey>, Failure> {
        let key = self.named_key_now(caller, name).await?;
        self.authorise_key(caller, Verb::KeyShow, &key)?;
        Ok(key)
    }

    /// Every version of a key's alias, oldest first, as far as the caller may see them.
    pub(crate) async fn versions(&self, caller: &Caller, key: &KnownKey) -> Result<Vec<Key>, Failure> {
        let mut versions = Vec::new();
        for row in self.store.keys(key.row.account).await? {
            if row.alias == key.row.alias
                && let Some(known) = self.key_by_id(row.key_id).await?
                && self.authorise_key(caller, Verb::KeyShow, &known).is_ok()
            {
                versions.push(row);
            }
        }
        Ok(versions)
    }
}

/// A search whose words were understood.
struct Wanted {
    state: Option<KeyState>,
    scheme: Option<Scheme>,
    all_versions: bool,
}

impl Wanted {
    fn of(search: &Search<'_>) -> Result<Self, Failure> {
        let state = match search.state {
            "" => None,
            word => Some(KeyState::from_word(word).ok_or_else(|| {
                Failure::new(Code::InvalidArgument, format!("`{word}` is no state of a key"))
            })?),
        };
        let scheme = if search.scheme.is_empty() { None } else { Some(scheme_named(search.scheme)?) };
        if let Some((key, value)) = search.label {
            label::check_label(key, value).map_err(Failure::of)?;
        }
        if !search.alias_prefix.is_empty() {
            Alias::parse(search.alias_prefix).map_err(Failure::of)?;
        }
        Ok(Self { state, scheme, all_versions: search.all_versions })
    }

    fn fits(&self, row: &Key) -> bool {
        let current = row.successor.is_none() && row.state != KeyState::Destroyed;
        let shown = self.all_versions || self.state.is_some() || current;
        shown && self.scheme.is_none_or(|scheme| scheme.code() == row.scheme)
    }
}
