//! Authority from its author: the one place where signatures of acts are checked and remembered.
//!
//! Who transports an act is of no interest here. A signature counts for exactly one act on one ledger, once, and up
//! to a height.

use super::keys::{bound_key, refuse_unless_active};
use super::registry::require_open;
use super::{Call, Context, StateView, Stop, not_expired};
use crate::codec::Writer;
use crate::entry::{Act, Author, Authored, Entry, Mode, Party};
use crate::hash::Hash;
use crate::outcome::Refusal;
use crate::scheme::{self, PublicKey, Scheme};
use crate::state::layout::{CredentialState, End, credential_key, nonce_key};

/// How many blocks ahead the last height of a signature may lie.
pub const AUTHORED_BLOCKS_MAX: u64 = 16_384;

const LABEL: &[u8] = b"keyward/authored/v1";

/// The message that an author signs: `u8 19 || "keyward/authored/v1" || chain id[32] || kind u16 || payload[32] || party ||
/// nonce[32] || not_after u64`.
pub fn authored_message(
    chain_id: &Hash,
    kind: u16,
    payload: &Hash,
    party: Party,
    nonce: &Hash,
    not_after: u64,
) -> Vec<u8> {
    let mut out = Writer::with_capacity(160);
    // INVARIANT: the label is shorter than 256 bytes.
    out.u8(u8::try_from(LABEL.len()).unwrap_or(u8::MAX)).raw(LABEL);
    party.write(out.raw(chain_id).u16(kind).raw(payload));
    out.raw(nonce).u64(not_after);
    out.finish()
}

/// An act and those who signed it.
#[derive(Clone, Copy, Debug)]
pub struct Consent<'a> {
    /// The kind of the entry.
    pub kind: u16,
    /// What the authors signed.
    pub payload: Hash,
    /// Who signed; each party once.
    pub authors: &'a [Author],
}

impl<'a> Consent<'a> {
    /// The consent that an entry carries.
    pub fn of(authored: &'a Authored) -> Self {
        Self { kind: authored.act.kind(), payload: authored.payload(), authors: &authored.authors }
    }

    /// The act that an entry carries, and the consent to it.
    pub(super) fn carried(call: &Call<'a>) -> Result<(&'a Act, Self), Refusal> {
        let Entry::Authored(authored) = call.entry else { return Err(Refusal::EntryKindUnknown) };
        Ok((&authored.act, Self::of(authored)))
    }

    /// Takes the consent of the one author. Gives it and its account.
    pub fn one(self, state: &mut dyn StateView, context: &Context<'_>) -> Result<(Party, Hash), Stop> {
        let [author] = self.authors else { return Err(Refusal::AuthorsMissing.into()) };
        Ok((author.party, self.take(state, context, author)?))
    }

    /// Takes the consent of the one author as its account's own word. Gives the account.
    pub fn own_word(self, state: &mut dyn StateView, context: &Context<'_>) -> Result<Hash, Stop> {
        let (party, account) = self.one(state, context)?;
        if is_own_word(state, &party, &account) { Ok(account) } else { Err(Refusal::AuthorNotNamed.into()) }
    }

    /// Refuses signatures where none has a meaning.
    pub fn nobody(self) -> Result<(), Stop> {
        if self.authors.is_empty() { Ok(()) } else { Err(Refusal::AuthorNotNamed.into()) }
    }

    /// Takes the consent of an account's credential.
    pub fn of_account(
        self,
        state: &mut dyn StateView,
        context: &Context<'_>,
        account: &Hash,
    ) -> Result<(), Stop> {
        self.named(state, context, &[Party::Credential(*account)], 1).map(|_| ())
    }

    /// Takes the consent of at least `needed` of the parties, and of nobody else. Gives their accounts.
    pub fn named(
        self,
        state: &mut dyn StateView,
        context: &Context<'_>,
        parties: &[Party],
        needed: u8,
    ) -> Result<Vec<Hash>, Stop> {
        if self.authors.iter().any(|author| !parties.contains(&author.party)) {
            return Err(Refusal::AuthorNotNamed.into());
        }
        if self.authors.len() < usize::from(needed) {
            return Err(Refusal::AuthorsMissing.into());
        }
        self.authors.iter().map(|author| self.take(state, context, author)).collect()
    }

    /// Takes the consent of everybody who signed. Gives who they are, and their accounts; whether it is enough is the
    /// caller's business.
    pub fn everybody(
        self,
        state: &mut dyn StateView,
        context: &Context<'_>,
    ) -> Result<Vec<(Party, Hash)>, Stop> {
        let speakers = self.authors.iter();
        speakers.map(|author| Ok((author.party, self.take(state, context, author)?))).collect()
    }

    /// Spends the signatures of the parties where none is needed. One that could be shown again later, and cannot be
    /// remembered until then, refuses the act.
    pub fn remember(
        self,
        state: &mut dyn StateView,
        context: &Context<'_>,
        parties: &[Party],
    ) -> Result<(), Stop> {
        for author in self.authors.iter().filter(|author| parties.contains(&author.party)) {
            if !is_over(state, context, author) {
                self.take(state, context, author)?;
            }
        }
        Ok(())
    }

    /// Verifies an author's signature and remembers it as long as it could be shown again. Gives the account.
    fn take(self, state: &mut dyn StateView, context: &Context<'_>, author: &Author) -> Result<Hash, Stop> {
        let Author { party, nonce, not_after, signature, .. } = author;
        not_expired(*not_after, context)?;
        if not_after - context.height > AUTHORED_BLOCKS_MAX {
            return Err(Refusal::ExpiryTooFar.into());
        }
        let (account, key) = speaker(state, author)?;
        require_open(state, &account)?;
        let memory = nonce_key(*party, nonce);
        if state.get(&memory).is_some() {
            return Err(Refusal::AuthorReplayed.into());
        }
        let message = authored_message(context.chain_id, self.kind, &self.payload, *party, nonce, *not_after);
        scheme::verify(&key, &message, signature).or(Err(Refusal::AuthorSignatureInvalid))?;
        state.put_until(memory, not_after.to_be_bytes().to_vec(), End::Height(*not_after));
        Ok(account)
    }
}

/// Whether a signature can never be taken again: its last height has passed, or its nonce is remembered until then.
fn is_over(state: &dyn StateView, context: &Context<'_>, author: &Author) -> bool {
    let spent_until = state.get(&nonce_key(author.party, &author.nonce));
    author.not_after < context.height
        || spent_until.is_some_and(|until| *until >= author.not_after.to_be_bytes()[..])
}

/// The account for which an author speaks, and the key that must have signed.
fn speaker(state: &dyn StateView, author: &Author) -> Result<(Hash, PublicKey), Stop> {
    match author.party {
        Party::Credential(account) => {
            let value = state.get(&credential_key(&account)).ok_or(Refusal::AuthorUnknown)?;
            let CredentialState { public_key, .. } = CredentialState::decode(value)?;
            let key = PublicKey::parse(Scheme::Ed25519, &public_key).or(Err(Refusal::AuthorUnknown))?;
            Ok((account, key))
        }
        Party::Key(key_id) => {
            let bound = bound_key(state, &key_id)?;
            refuse_unless_active(&bound)?;
            let key = PublicKey::parse(bound.scheme, &author.public_key).ok();
            let key = key.filter(|key| key.id() == key_id && speaks(bound.mode));
            Ok((bound.account, key.ok_or(Refusal::AuthorUnknown)?))
        }
    }
}

/// Whether a key of the mode is somebody's word. A hosted key signs what its host wants; what a shared key signs takes an
/// author itself, and keepers.
const fn speaks(mode: Mode) -> bool {
    matches!(mode, Mode::Linked | Mode::Own)
}

/// The account for which a party can speak now.
pub(super) fn account_of(state: &dyn StateView, party: &Party) -> Result<Hash, Stop> {
    let account = match party {
        Party::Credential(account) => {
            state.get(&credential_key(account)).ok_or(Refusal::AuthorUnknown)?;
            *account
        }
        Party::Key(key_id) => {
            let bound = bound_key(state, key_id)?;
            refuse_unless_active(&bound)?;
            if !speaks(bound.mode) {
                return Err(Refusal::AuthorUnknown.into());
            }
            bound.account
        }
    };
    require_open(state, &account)?;
    Ok(account)
}

/// Whether a party's word is its account's own: that of its credential, or of a key while the account has no credential.
/// Beside one, a key is what a service bound, without asking the account.
pub(super) fn is_own_word(state: &dyn StateView, party: &Party, account: &Hash) -> bool {
    match party {
        Party::Credential(_) => true,
        Party::Key(_) => state.get(&credential_key(account)).is_none(),
    }
}

/// Refuses a rule whose version is not the next one.
pub(super) fn next_version(present: Option<u32>, version: u32) -> Result<(), Refusal> {
    if present.unwrap_or(0).checked_add(1) == Some(version) { Ok(()) } else { Err(Refusal::RuleVersion) }
}
