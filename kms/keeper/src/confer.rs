//! Hearing another keeper of the same vault: dealing, accepting, helping. Nothing is done on the word of one keeper that
//! the ledger does not know, nor before its time.

use keyward_crypto::vault::{Agreed, Dealing, Handout, KeeperShare, Renewal, Repair, Vault};
use keyward_ledger_core::{
    entry::RuleName,
    hash::Hash,
    state::vault::VaultState,
    vault::{Refresh, Shares, acknowledge},
};

use crate::{
    error::KeeperError,
    held::Held,
    keeper::Keeper,
    place::Place,
    word::{Handed, Lost, Said, What, Word},
};

/// How far the clocks of two keepers may be apart, in milliseconds, and how long a word counts.
const WORD_MS: u64 = 60_000;

impl Keeper {
    /// Answers a word of another keeper of the same vault.
    pub async fn confer(&self, said: &Said) -> Result<Vec<u8>, KeeperError> {
        let word = Word::decode(&said.word).map_err(|_error| KeeperError::Malformed { what: "word" })?;
        if self.0.joined.get().is_none() {
            return Err(KeeperError::NotDue);
        }
        if self.0.ledger.now_ms().abs_diff(said.time_ms) > WORD_MS {
            return Err(KeeperError::Stranger);
        }
        let from = self.keeper_of(&said.from).await?.filter(|from| from.present);
        let signed =
            from.is_some_and(|from| said.is_signed(&from.keeper.key, &self.0.ledger.chain_id(), &self.0.id));
        if !signed {
            return Err(KeeperError::Stranger);
        }
        let _turn = self.0.turns.costly()?;
        self.hear(&said.from, word).await
    }

    /// Answers a word of a keeper that is known to have said it.
    pub(crate) async fn hear(&self, from: &Hash, word: Word) -> Result<Vec<u8>, KeeperError> {
        let Word { vault: name, shares, chosen, what } = word;
        let (vault, now_ms) = self.live(&name).await?;
        let vault = vault.ok_or(KeeperError::NoShare)?;
        if ![from, &self.0.id].into_iter().all(|keeper| vault.keepers.contains(keeper)) {
            return Err(KeeperError::Stranger);
        }
        if vault.shares != shares {
            return Err(KeeperError::Stale);
        }
        match what {
            What::Deal => {
                self.is_due(&vault, now_ms).await?;
                let renewal = self.renewal(&vault, chosen).await?;
                Ok(self.dealing(&vault, renewal).await?.encode())
            }
            What::Accept(handed) => {
                self.is_due(&vault, now_ms).await?;
                let renewal = self.renewal(&vault, chosen).await?;
                Ok(self.accept(&name, renewal, handed, now_ms).await?.to_vec())
            }
            What::Split { lost, request } => {
                let asks = usize::from(lost.index).checked_sub(1).and_then(|place| vault.keepers.get(place));
                if asks != Some(from) {
                    return Err(KeeperError::Stranger);
                }
                self.split(&vault, chosen, lost, request).await
            }
            What::Add { lost, handed } => self.add(&vault, chosen, lost, handed).await,
        }
    }

    /// Refuses to deal anew long before it is time: each time voids the attempts that are under way, so a single keeper
    /// must not be able to have it done again and again.
    async fn is_due(&self, vault: &VaultState, now_ms: u64) -> Result<(), KeeperError> {
        let interval_ms = self.0.joined.get().ok_or(KeeperError::NotDue)?.interval_ms;
        let age_ms = now_ms.saturating_sub(self.dealt_ms(vault).await?);
        if age_ms >= interval_ms / 2 { Ok(()) } else { Err(KeeperError::NotDue) }
    }

    /// When a vault's present shares were dealt, in milliseconds of ledger time.
    pub(crate) async fn dealt_ms(&self, vault: &VaultState) -> Result<u64, KeeperError> {
        Ok(self.0.ledger.record(vault.shares_leaf).await?.time_ms)
    }

    /// A renewal among those who hold shares now, all of whom must be keepers still.
    pub(crate) async fn renewal(&self, vault: &VaultState, dealers: Vec<u8>) -> Result<Renewal, KeeperError> {
        let keepers = self.keepers(&vault.keepers, true).await?;
        let checked = self.vault_now(vault).await?;
        Ok(Renewal::new(checked, keepers, dealers)?)
    }

    async fn dealing(&self, vault: &VaultState, renewal: Renewal) -> Result<Dealing, KeeperError> {
        if let Some(dealing) = self.0.dealings.find(renewal.id()) {
            return Ok(dealing);
        }
        let run = *renewal.id();
        let dealing = self.with_share(Place::now(vault), move |held, signing| {
            Ok(renewal.deal(&held.share, |message| signing.sign(message))?)
        });
        let dealing = dealing.await?;
        Ok(self.0.dealings.remember(run, dealing))
    }

    /// Takes a share of a renewal: kept, then acknowledged.
    async fn accept(
        &self,
        name: &RuleName,
        renewal: Renewal,
        handed: Handed,
        now_ms: u64,
    ) -> Result<[u8; 64], KeeperError> {
        let own = self.0.dealings.find(renewal.id());
        let (inner, name) = (self.0.clone(), *name);
        let share = self.work(move || {
            let agreed = renewal.agree(handouts(&handed)?)?;
            let hash = refresh(&name, &agreed).hash();
            let own = own.as_ref().map(|own| &own.handout);
            Ok(agreed.receive(hash, &inner.id, &inner.sealing, own, &handed.pieces)?)
        });
        let share = share.await?;
        let (hash, index) = (share.shares().shares_hash, share.index());
        self.keep(Held { place: Place::of(share.shares()), kept_ms: now_ms, share }).await?;
        Ok(acknowledge(&self.0.signing, &self.0.ledger.chain_id(), &hash, index))
    }

    async fn split(
        &self,
        vault: &VaultState,
        helpers: Vec<u8>,
        lost: Lost,
        request: [u8; 64],
    ) -> Result<Vec<u8>, KeeperError> {
        let repair = Repair::new(self.vault_now(vault).await?, lost.index, helpers, lost.nonce)?;
        let run = *repair.id();
        if let Some(dealing) = self.0.dealings.find(&run) {
            return Ok(dealing.encode());
        }
        let dealing = self.with_share(Place::now(vault), move |held, signing| {
            Ok(repair.split(&held.share, &request, |message| signing.sign(message))?)
        });
        let dealing = dealing.await?;
        Ok(self.0.dealings.remember(run, dealing).encode())
    }

    async fn add(
        &self,
        vault: &VaultState,
        helpers: Vec<u8>,
        lost: Lost,
        handed: Handed,
    ) -> Result<Vec<u8>, KeeperError> {
        let repair = Repair::new(self.vault_now(vault).await?, lost.index, helpers, lost.nonce)?;
        let own = self.0.dealings.find(repair.id()).ok_or(KeeperError::NoShare)?.handout;
        let inner = self.0.clone();
        self.with_share(Place::now(vault), move |held, signing| {
            let (handouts, key) = (handouts(&handed)?, &inner.sealing);
            let sign = |message: &[u8]| signing.sign(message);
            Ok(repair.add(&held.share, key, &own, &handouts, &handed.pieces, sign)?.encode())
        })
        .await
    }

    /// Keeps a share that came back.
    pub(crate) async fn restore(&self, share: KeeperShare, now_ms: u64) -> Result<(), KeeperError> {
        let held = Held { place: Place::of(share.shares()), kept_ms: now_ms, share };
        self.alone(move |inner| {
            inner.shares.keep(&held)?;
            inner.shares.settle(&held.place)
        })
        .await
    }
}

/// What those chosen have handed out.
fn handouts(handed: &Handed) -> Result<Vec<Handout>, KeeperError> {
    let handouts = handed.handouts.iter().map(|handout| Handout::decode(handout));
    handouts.collect::<Option<_>>().ok_or(KeeperError::Malformed { what: "handout" })
}

/// What the ledger is told of a renewal. It does not depend on its own hash.
pub(crate) fn refresh(name: &RuleName, agreed: &Agreed) -> Refresh {
    let facts = agreed.facts([0; 32]);
    Refresh {
        vault: *name,
        version: facts.version,
        share_version: facts.share_version,
        shares: Shares {
            keepers: facts.keepers.iter().map(|keeper| keeper.id).collect(),
            evaluation: facts.evaluation,
            mask: facts.mask,
        },
    }
}

/// The indices of a vault's keepers.
pub(crate) fn indices(vault: &Vault) -> Vec<u8> {
    (1..).zip(&vault.facts().keepers).map(|(index, _)| index).collect()
}
