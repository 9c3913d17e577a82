//! Who can sign: what the ledger proves of accounts and keys, for those who name them and for those who are named.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use keyward_ledger_core::{
    codec::Reader,
    entry::{Mode, Party},
    hash::Hash,
    state::layout::{KeyState, account_key, credential_key, key_key},
};
use keyward_policies::Verb;

use super::{floods::Flood, malformed};
use crate::{caller::Caller, custody::Custody, failure::Failure};

/// Parties of one call: as many as a rule may name, and the keys of a vault.
const PARTIES_MAX: usize = 40;
/// Parties that are looked at at once.
const AT_ONCE: usize = 8;

/// State receipts of one party.
#[derive(Debug, Default)]
pub(crate) struct ShownSigner {
    /// Of the account's credential, or of the key.
    pub(crate) standing: Vec<u8>,
    /// Of the account that it speaks for; empty where the first shows that there is none.
    pub(crate) account: Vec<u8>,
}

impl Custody {
    /// The parties, in their order. A hosted key signs for nobody but its account, and is shown to nobody else.
    pub(crate) async fn show_signers(
        &self,
        caller: &Caller,
        parties: &[&[u8]],
    ) -> Result<Vec<ShownSigner>, Failure> {
        let _permit = self.permit()?;
        let own = caller.own_account()?;
        let verb = if caller.person.is_some() { Verb::VaultShow } else { Verb::KeyList };
        self.authorise_account(caller, verb, own)?;
        caller.in_time(self.clock.now_ms())?;
        if parties.is_empty() || parties.len() > PARTIES_MAX {
            return Err(malformed(format!("1 to `{PARTIES_MAX}` parties can be asked for at once")));
        }
        let parties = parties.iter().map(|bytes| party(bytes)).collect::<Result<Vec<_>, _>>()?;
        self.floods.charge(own.0, Flood::Question, self.clock.now_ms())?;
        let asked: Vec<_> = parties.into_iter().map(|party| self.show_signer(party, own.0)).collect();
        stream::iter(asked).buffered(AT_ONCE).try_collect().await
    }

    async fn show_signer(&self, party: Party, own: Hash) -> Result<ShownSigner, Failure> {
        let key = match party {
            Party::Credential(account) => credential_key(&account),
            Party::Key(key_id) => key_key(&key_id),
        };
        let standing = self.ledger.proven(key).await?;
        let account = match (party, &standing.value) {
            (Party::Credential(account), _) => account,
            (Party::Key(_), None) => {
                return Ok(ShownSigner { standing: standing.receipt, ..ShownSigner::default() });
            }
            (Party::Key(_), Some(value)) => {
                let KeyState { account, mode, .. } = KeyState::decode(value).map_err(Failure::internal)?;
                if matches!(mode, Mode::Hosted | Mode::Shared) && account != own {
                    return Ok(ShownSigner::default());
                }
                account
            }
        };
        let account = self.ledger.proven(account_key(&account)).await?.receipt;
        Ok(ShownSigner { standing: standing.receipt, account })
    }
}

fn party(bytes: &[u8]) -> Result<Party, Failure> {
    let mut reader = Reader::new(bytes);
    let party = Party::read(&mut reader).ok().filter(|_| reader.finish("party").is_ok());
    party.ok_or_else(|| malformed("a party is not the 33 bytes of an account or a key"))
}
