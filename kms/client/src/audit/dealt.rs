//! What keepers opened of an account with its own address root: each part is held against the dealing that the account's own word
//! has put on the ledger, and t of them give the viewing cover.

use keyward_crypto::unlinkable::{GrantKey, ViewingCover};
use keyward_crypto::vault::VaultKeeper;
use keyward_crypto::viewing::{Dealing, Gathering, GatheringError, Opening, PartError};
use keyward_ledger_core::entry::{Act, AddressAct, Authored, DealViewing, Entry, OpenGrant};
use keyward_ledger_core::state::keeper::{KeeperState, keeper_key};
use keyward_proto::custody::DealtViewing;

use super::{AuditError, Opened};
use crate::client::Client;
use crate::evidence::EvidenceError;

/// A dealing that was opened.
#[derive(Debug)]
pub struct OpenedDealing {
    /// What is public of it, as the ledger has its hash.
    pub dealing: Vec<u8>,
    /// What opens exactly its epochs.
    pub cover: ViewingCover,
    /// Keepers whose parts do not count, by name.
    pub faults: Vec<PartFault>,
}

/// A keeper's part that does not count.
#[derive(Debug)]
pub struct PartFault {
    /// The keeper's name on the ledger.
    pub keeper: String,
    /// Why. Only a wrong part convicts the keeper; anything else may be the work of whoever carried it.
    pub cause: PartError,
}

/// Keepers of a dealing, with their names.
type Holders = Vec<(String, VaultKeeper)>;

impl Client {
    /// What the keepers' parts of an opening give, by the dealings' first epochs.
    pub fn gathered(&self, key: &GrantKey, opened: &Opened) -> Result<Vec<OpenedDealing>, AuditError> {
        let dealt = opened.dealt.iter().map(|dealt| self.gathered_one(key, opened, dealt));
        let dealt = dealt.collect::<Result<Vec<_>, _>>()?;
        // The ledger takes no dealing that leaves epochs out.
        let follows = |one: &OpenedDealing, next: &OpenedDealing| {
            one.cover.epochs().end().checked_add(1) == Some(*next.cover.epochs().start())
        };
        if !dealt.is_sorted_by(follows) {
            return Err(EvidenceError::Substituted("dealings that do not follow each other").into());
        }
        Ok(dealt)
    }

    fn gathered_one(
        &self,
        key: &GrantKey,
        opened: &Opened,
        dealt: &DealtViewing,
    ) -> Result<OpenedDealing, AuditError> {
        let dealing = self.recorded_dealing(&opened.open, dealt)?;
        let holders = self.holders(&dealing, dealt)?;
        let opening = Opening {
            chain_id: dealing.chain_id,
            grant_id: opened.open.grant,
            leaf_index: opened.opened.leaf_index,
            dealing: dealing.hash(),
            grantee_key: key.public(),
        };
        let keepers = holders.iter().map(|(_, keeper)| keeper.clone()).collect();
        let mut gathering = Gathering::new(dealing, keepers, opening).map_err(AuditError::Parts)?;
        let mut faults = Vec::new();
        // All of them: a keeper that lies is named also where the others are enough.
        for part in &dealt.parts {
            let (name, keeper) = holders
                .iter()
                .find(|(_, keeper)| keeper.id[..] == part.keeper_id[..])
                .ok_or(EvidenceError::Substituted("the part of a keeper that is none of the dealing's"))?;
            if let Err(cause) = gathering.part(key, &keeper.id, &part.part) {
                faults.push(PartFault { keeper: name.clone(), cause });
            }
        }
        match gathering.cover() {
            Ok(cover) => Ok(OpenedDealing { dealing: dealt.dealing.to_vec(), cover, faults }),
            Err(GatheringError::TooFew { needed, found }) => {
                let (first, last) = (dealt.first_epoch, dealt.last_epoch);
                Err(AuditError::TooFewParts { first, last, needed, found, faults })
            }
            Err(error) => Err(AuditError::Parts(error)),
        }
    }

    /// The dealing, which must be the one of a record about exactly these epochs of the account, within what was opened.
    fn recorded_dealing(&self, open: &OpenGrant, dealt: &DealtViewing) -> Result<Dealing, AuditError> {
        let dealing = Dealing::decode(&dealt.dealing).map_err(AuditError::Dealing)?;
        let Dealing { account, first, last, .. } = dealing;
        let told = (dealt.first_epoch, dealt.last_epoch) == (first, last);
        if !told || account != open.account || first < open.first || last > open.last {
            return Err(EvidenceError::Substituted("a dealing of other epochs than were opened").into());
        }
        let hash = dealing.hash();
        let is_recorded = |deal: &DealViewing| {
            (deal.run.account, deal.run.first, deal.run.last) == (account, first, last)
                && deal.run.dealing_hash == hash
                && deal.threshold == dealing.threshold
                && deal.acknowledgements.iter().map(|(keeper, _)| keeper).eq(&dealing.keepers)
        };
        let wanted = |entry: &Entry| match entry {
            Entry::Authored(Authored { act: Act::Addresses(AddressAct::Deal(deal)), .. }) => {
                is_recorded(deal)
            }
            _ => false,
        };
        self.recorded_as(&dealt.recorded, wanted)?;
        Ok(dealing)
    }

    /// The dealing's keepers with the keys that the ledger proves now.
    fn holders(&self, dealing: &Dealing, dealt: &DealtViewing) -> Result<Holders, AuditError> {
        const WHAT: &str = "a keeper's keys";
        if dealing.keepers.len() != dealt.keepers.len() {
            return Err(EvidenceError::Substituted("more or fewer keepers than the dealing names").into());
        }
        let holder = |(id, receipt): (&[u8; 32], &tonic::codegen::Bytes)| {
            let found = self.proven_audit(WHAT, &keeper_key(id), receipt)?.value;
            let found = found.ok_or(EvidenceError::Substituted("a keeper that the ledger does not know"))?;
            let state = KeeperState::decode(&found);
            let keeper = state.map_err(EvidenceError::malformed(WHAT))?.keeper;
            let holder = VaultKeeper { id: *id, sealing_key: keeper.hpke_key, signing_key: keeper.key };
            Ok((keeper.name, holder))
        };
        dealing.keepers.iter().zip(&dealt.keepers).map(holder).collect()
    }
}
