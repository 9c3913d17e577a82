//! The life of two vaults, step by step.

use std::{sync::Arc, time::Duration};

use keyward_crypto::vault::{AttemptRequest, Grant, Recovery, Vault};
use keyward_domain::Coded as _;
use keyward_ledger_core::{
    entry::{VaultAct, VaultAttempt},
    hash::Hash,
    outcome::Outcome,
    vault::{Refresh, Shares, acknowledge},
};

use super::super::{
    chain::{CHAIN, Sight},
    ring::{Ring, join, ring},
    world::{
        KEEPERS, OTHER_VAULT, SECRET, Sealed, THRESHOLD, VAULT, Wish, World, files, id_of, named, password,
        signing,
    },
};
use super::{
    careless::{Careless, Hand},
    checker::{Answer, Checker},
};
use crate::KeeperError;

/// Those who keep the rules; the others, fewer than are needed, collude.
const HONEST: [u8; 3] = [1, 2, 3];
/// The keeper that breaks a rule in a life that has one.
const SUSPECT: u8 = 3;
const VAULTS: [Hash; 2] = [VAULT, OTHER_VAULT];
/// How often shares are dealt anew.
const INTERVAL: Duration = Duration::from_secs(20 * 60 * 60);
const PASSWORD: &str = "correct horse";

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

struct Guess {
    vault: Vault,
    right: bool,
    request: AttemptRequest,
    recovery: Option<Recovery>,
}

/// An attempt that the ledger was asked for.
struct Asked {
    guess: usize,
    attempt: VaultAttempt,
    leaf: u64,
    outcome: Outcome,
}

pub(super) struct Life {
    world: World,
    random: Random,
    rule: Option<Careless>,
    hand: Hand,
    pub(super) checker: Checker,
    /// What happened, step by step.
    pub(super) story: Vec<String>,
    sealed: Vec<Sealed>,
    guesses: Vec<Guess>,
    asked: Vec<Asked>,
    /// Records of successes.
    opened: Vec<u64>,
    /// Copies of disks, by keeper.
    copies: Vec<(u8, u8)>,
    /// The way between keepers, in lives where shares are dealt anew.
    ring: Option<Arc<Ring>>,
    /// Whether each honest keeper sees the ledger as it is.
    clear: [bool; 3],
}

impl Life {
    pub(super) fn new(seed: u64, rule: Option<Careless>) -> Self {
        let world = World::new();
        let ring = rule.is_none().then(|| ring(&world, INTERVAL));
        Self {
            world,
            ring,
            random: Random(seed),
            rule,
            hand: Hand::default(),
            checker: Checker::default(),
            story: Vec::new(),
            sealed: Vec::new(),
            guesses: Vec::new(),
            asked: Vec::new(),
            opened: Vec::new(),
            copies: Vec::new(),
            clear: [true; 3],
        }
    }

    pub(super) async fn run(&mut self, steps: usize) -> Result<(), String> {
        self.seal().await;
        for _ in 0..steps {
            match self.random.below(100) {
                0..5 => self.seal().await,
                5..13 => self.guess().await?,
                13..22 => self.ask_again()?,
                22..50 => self.evaluate().await?,
                50..57 => self.prove().await?,
                57..65 => self.release().await?,
                65..71 => self.restart(),
                71..76 => self.copy(),
                76..83 => self.look_away(),
                83..90 => self.pass(),
                90..95 => self.round().await,
                95..99 => self.collude()?,
                _ => self.destroy(),
            }
            self.checker.counts(&self.world, &VAULTS)?;
        }
        Ok(())
    }

    /// Everything heals: what has ended is erased everywhere, and what has not opens.
    pub(super) async fn end(&mut self) -> Result<(), String> {
        for number in HONEST {
            self.world.see(number, Sight::Clear);
            // Who lost its disk is told by whoever asks; the round over all accounts comes to ours.
            for vault in VAULTS {
                drop(self.world.keeper(number).drill(&named(vault), &[1; 32]).await);
            }
            for _ in 0..=0xff {
                self.world.keeper(number).round().await.map_err(|error| error.to_string())?;
            }
        }
        for vault in VAULTS {
            let Some(state) = self.world.vault(vault) else { continue };
            for number in HONEST {
                let (folder, holder) = (self.world.folder_of(number), self.world.holder(vault, number));
                let of_it = |file: &std::path::PathBuf| {
                    file.file_name().unwrap().to_str().unwrap().contains(&hex::encode(vault))
                };
                let left = files(&folder).iter().filter(|file| of_it(file)).count();
                if state.destroyed && (left, holder.erased) != (0, holder.held) {
                    return Err(format!(
                        "keeper {number} has {left} files of what was destroyed: {holder:?}"
                    ));
                }
            }
            if !state.destroyed {
                self.opens(vault).await?;
            }
        }
        Ok(())
    }

    /// A vault that is alive opens with its password, if it still may be tried and enough keepers have their disks.
    async fn opens(&mut self, vault: Hash) -> Result<(), String> {
        let mut holding = Vec::new();
        for number in 1..=KEEPERS {
            if self.world.keeper(number).drill(&named(vault), &[1; 32]).await.is_ok() {
                holding.push(number);
            }
        }
        self.world.pass(24 * 60 * 60 * 1_000);
        let present = self.now(vault).await;
        let asked = self.world.attempt(&present, PASSWORD);
        if !asked.outcome.is_accepted() || holding.len() < usize::from(THRESHOLD) {
            return Ok(());
        }
        let secret = super::super::finish(&self.world, asked, &holding).await;
        if secret == SECRET { Ok(()) } else { Err("another secret came back".into()) }
    }

    /// A vault as a client finds it now; a colluder sees the ledger well enough.
    async fn now(&self, vault: Hash) -> Vault {
        let state = self.world.vault(vault).unwrap();
        self.world.keeper(KEEPERS).vault_now(&state).await.unwrap()
    }

    /// Starts a keeper again.
    fn start(&mut self, number: u8) {
        self.world.restart(number);
        if let Some(ring) = &self.ring {
            join(&self.world, ring, number);
        }
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.story.push(what.into());
    }

    fn honest(&mut self) -> u8 {
        self.random.one(&HONEST)
    }

    /// Seals a vault's next version, with as many keepers as answer; now and then nobody hands it in.
    async fn seal(&mut self) {
        let vault = self.random.one(&VAULTS);
        let version = self.world.vault(vault).map_or(1, |state| state.version + 1);
        let wish =
            Wish { vault, version, password: PASSWORD, keepers: &[1, 2, 3, 4, 5], threshold: THRESHOLD };
        let sealed = self.world.draft_as(&wish);
        let (bytes, signed) = (sealed.sealing.encode(), super::super::world::signed_deposit(&sealed.sealing));
        let mut acknowledgements = Vec::new();
        for (number, share) in sealed.keepers.iter().zip(&sealed.shares) {
            match self.world.keeper(*number).deposit(&bytes, share, &signed).await {
                Ok(acknowledgement) => acknowledgements.push(acknowledgement),
                Err(error) => {
                    self.tell(format!("seal: keeper {number} says {}", error.code().name()));
                    return;
                }
            }
        }
        if self.random.below(5) == 0 {
            self.tell("seal: left lying");
            return;
        }
        let outcome = self.world.seal_final(&sealed, acknowledgements);
        self.tell(format!("seal version {version}: {}", outcome.name()));
        if outcome.is_accepted() {
            self.hand.take(SUSPECT, &sealed);
            self.sealed.push(sealed);
        }
    }

    /// Guesses a password of a sealing, new or old.
    async fn guess(&mut self) -> Result<(), String> {
        if self.sealed.is_empty() {
            return Ok(());
        }
        let (right, place) = (self.random.below(3) > 0, self.random.below(self.sealed.len()));
        let old = self.sealed[place].vault();
        let vault = if self.random.below(4) == 0 { old } else { self.now(old.shares().vault).await };
        let text = if right { PASSWORD } else { "wrong horse" };
        let (recovery, request) = Recovery::begin(vault.clone(), &password(text)).unwrap();
        self.guesses.push(Guess { vault, right, request, recovery: Some(recovery) });
        self.ask(self.guesses.len() - 1)
    }

    fn ask_again(&mut self) -> Result<(), String> {
        if self.guesses.is_empty() {
            return Ok(());
        }
        let guess = self.random.below(self.guesses.len());
        self.ask(guess)
    }

    fn ask(&mut self, guess: usize) -> Result<(), String> {
        let Guess { vault, request, .. } = &self.guesses[guess];
        let (attempt, leaf, outcome) = self.world.ask(vault, request);
        self.story.push(format!("ask {guess}: {}", outcome.name()));
        if outcome.is_accepted() {
            let id = outcome.data.as_slice().try_into().unwrap();
            let now_ms = self.world.chain().now_ms;
            self.checker.granted(attempt.vault.name, [id, attempt.element], now_ms)?;
        }
        self.asked.push(Asked { guess, attempt, leaf, outcome });
        Ok(())
    }

    /// Asks a keeper for an evaluation: of what was granted, or of something else.
    async fn evaluate(&mut self) -> Result<(), String> {
        if self.asked.is_empty() {
            return Ok(());
        }
        let (number, place) = (self.honest(), self.random.below(self.asked.len()));
        let other = self.random.below(5) == 0;
        let guess = if other { self.random.below(self.guesses.len()) } else { self.asked[place].guess };
        self.evaluation(number, place, guess).await.map(drop)
    }

    /// One evaluation; `None` is a refusal.
    async fn evaluation(
        &mut self,
        number: u8,
        place: usize,
        guess: usize,
    ) -> Result<Option<Vec<u8>>, String> {
        let (asked, request) = (&self.asked[place], self.guesses[guess].request.clone());
        let given = match self.rule.filter(|_| number == SUSPECT) {
            None => self.world.keeper(number).evaluate(asked.leaf, &request.element).await,
            Some(rule) => {
                let grant = self.grant(place);
                let given = self.hand.evaluate(number, rule, &self.world, (&grant, &asked.outcome), &request);
                if given { Ok(Vec::new()) } else { Err(KeeperError::Stale) }
            }
        };
        let said = given.as_ref().map_or_else(|error| error.code().name(), |_| "evaluated");
        self.story.push(format!("evaluate {guess} for {place} by {number}: {said}"));
        if given.is_ok() && HONEST.contains(&number) {
            let answer = self.answer(number, place);
            self.checker.answered(&self.world, &answer, request.element)?;
        }
        Ok(given.ok())
    }

    fn answer(&self, keeper: u8, place: usize) -> Answer {
        let (attempt, attempted) = (self.grant(place).attempt, &self.asked[place].attempt);
        let sees = (self.rule.is_some() && keeper == SUSPECT) || self.clear[usize::from(keeper) - 1];
        Answer {
            keeper,
            vault: attempted.vault.name,
            version: [attempted.version, attempted.share_version],
            attempt,
            sees,
        }
    }

    fn grant(&self, place: usize) -> Grant {
        let Asked { guess, attempt, outcome, .. } = &self.asked[place];
        Grant {
            shares: self.guesses[*guess].vault.shares(),
            attempt: outcome.data.as_slice().try_into().unwrap_or_default(),
            element_hash: attempt.element,
            reply_key: attempt.reply_key,
        }
    }

    /// Goes the whole way with a granted guess, as far as keepers answer.
    async fn prove(&mut self) -> Result<(), String> {
        let granted = |(place, asked): (usize, &Asked)| {
            let waits = asked.outcome.is_accepted() && self.guesses[asked.guess].recovery.is_some();
            waits.then_some(place)
        };
        let places: Vec<_> = self.asked.iter().enumerate().filter_map(granted).collect();
        if places.is_empty() || self.rule.is_some() {
            return Ok(());
        }
        let place = self.random.one(&places);
        let (guess, grant) = (self.asked[place].guess, self.grant(place));
        let right = self.guesses[guess].right;
        let recovery = self.guesses[guess].recovery.take().unwrap();
        let mut evaluating = recovery.granted(&grant).unwrap();
        for number in 1..=KEEPERS {
            if !evaluating.is_enough()
                && let Some(answer) = self.evaluation(number, place, guess).await?
            {
                evaluating.answer(number, &answer).map_err(|error| error.to_string())?;
            }
        }
        if !evaluating.is_enough() {
            return Ok(());
        }
        let proven = match evaluating.derive() {
            Ok(_) if !right => return Err("a wrong password was right".into()),
            Err(error) if right => return Err(format!("the right password: {error}")),
            Err(_) => return Ok(()),
            Ok(proven) => proven,
        };
        let (attempt, signature) = (self.asked[place].attempt, proven.proof().unwrap());
        let (leaf, outcome) = self.world.record(VaultAct::Open { attempt, signature }, false);
        self.tell(format!("open {guess}: {}", outcome.name()));
        if outcome.is_accepted() {
            self.checker.succeeded(attempt.vault.name, grant.attempt);
            self.opened.push(leaf);
        }
        Ok(())
    }

    /// Asks a keeper for its part, with any success for any attempt.
    async fn release(&mut self) -> Result<(), String> {
        if self.asked.is_empty() || self.opened.is_empty() {
            return Ok(());
        }
        let (number, place) = (self.honest(), self.random.below(self.asked.len()));
        let opened = self.random.below(self.opened.len());
        let given = self.world.keeper(number).release(self.asked[place].leaf, self.opened[opened]).await;
        let said = given.as_ref().map_or_else(|error| error.code().name(), |_| "released");
        self.tell(format!("release {place} with {opened} by {number}: {said}"));
        if given.is_ok() {
            let answer = self.answer(number, place);
            self.checker.released(&self.world, &answer)?;
        }
        Ok(())
    }

    fn restart(&mut self) {
        let number = self.honest();
        self.start(number);
        self.tell(format!("restart {number}"));
    }

    /// Copies a disk, or puts a copy back under a keeper that stopped.
    fn copy(&mut self) {
        let number = self.honest();
        let copies: Vec<_> = self.copies.iter().filter(|(keeper, _)| *keeper == number).copied().collect();
        if copies.is_empty() || self.random.below(2) == 0 {
            let copy = 100 + u8::try_from(self.copies.len() % 100).unwrap();
            self.copies.retain(|(_, name)| *name != copy);
            self.world.copy(&self.world.folder_of(number), &self.world.folder_of(copy));
            self.copies.push((number, copy));
            self.tell(format!("copy the disk of {number}"));
        } else {
            let (_, copy) = self.random.one(&copies);
            self.world.copy(&self.world.folder_of(copy), &self.world.folder_of(number));
            self.start(number);
            self.tell(format!("{number} comes back with an old disk"));
        }
    }

    /// A keeper is cut off, or comes back.
    fn look_away(&mut self) {
        let (number, past) = (self.honest(), self.world.chain().clone());
        let (name, sight) = match self.random.below(5) {
            0 => ("nothing", Sight::Away),
            1 => ("what was", Sight::Past(Box::new(past))),
            2 => ("and says nothing", Sight::Mute),
            _ => ("all", Sight::Clear),
        };
        self.clear[usize::from(number) - 1] = !matches!(sight, Sight::Past(_));
        self.world.see(number, sight);
        self.tell(format!("{number} sees {name}"));
    }

    fn pass(&mut self) {
        let ms = self.random.one(&[1, 10_000, 61_000, 600_000, 25 * 60 * 60 * 1_000]);
        self.world.pass(ms);
        self.tell(format!("{ms} ms pass"));
    }

    async fn round(&mut self) {
        let number = self.honest();
        for vault in VAULTS {
            self.world.keeper(number).0.noticed.insert(&named(vault));
        }
        let done = self.world.keeper(number).round().await;
        let said = done.map_or_else(|error| error.code().name(), |()| "done");
        let dealt = VAULTS.map(|vault| self.world.vault(vault).map_or(0, |state| state.share_version));
        self.tell(format!("{number} looks after its shares: {said}, dealt {dealt:?}"));
    }

    fn destroy(&mut self) {
        let vault = self.random.one(&VAULTS);
        let Some(version) = self.world.vault(vault).map(|state| state.version) else { return };
        let outcome = self.world.destroy(vault, version);
        self.tell(format!("destroy: {}", outcome.name()));
    }

    /// Two keepers try what is not theirs to do: the ledger takes none of it.
    fn collude(&mut self) -> Result<(), String> {
        let vault = self.random.one(&VAULTS);
        let Some(state) = self.world.vault(vault) else { return Ok(()) };
        let act = match self.random.below(4) {
            0 => VaultAct::Erase { vault: named(vault), version: state.version, keeper: id_of(1) },
            1 => VaultAct::Attempt(VaultAttempt {
                vault: named(vault),
                version: state.version,
                share_version: state.share_version,
                element: [1; 32],
                reply_key: [2; 32],
            }),
            2 if !self.asked.is_empty() => {
                let place = self.random.below(self.asked.len());
                VaultAct::Open { attempt: self.asked[place].attempt, signature: [3; 64] }
            }
            _ => {
                let [key, mask] = state.constants;
                let shares = Shares {
                    keepers: [4, 5, 1].map(id_of).to_vec(),
                    evaluation: vec![key; usize::from(THRESHOLD)],
                    mask: vec![mask; usize::from(THRESHOLD)],
                };
                let (version, share_version) = (state.version, state.share_version + 1);
                let refresh = Refresh { vault: named(vault), version, share_version, shares };
                let signed = |number, index| acknowledge(&signing(number), &CHAIN, &refresh.hash(), index);
                let acknowledgements = vec![signed(4, 1), signed(5, 2), signed(5, 3)];
                VaultAct::Refresh { refresh: Box::new(refresh), acknowledgements, consents: Vec::new() }
            }
        };
        let outcome = self.world.record_as_keeper(4, act);
        self.tell(format!("collude: {}", outcome.name()));
        if outcome.is_accepted() { Err("the ledger took what colluders sent".into()) } else { Ok(()) }
    }
}
