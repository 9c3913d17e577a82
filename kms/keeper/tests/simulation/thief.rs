//! Who wants the password: a service of its own, keepers that collude, and every trick with attempts that were granted,
//! refused, made for older shares or never made at all.

use std::{collections::BTreeMap, sync::Arc};

use keyward_crypto::vault::{AttemptRequest, Grant, Recovery, Vault};
use keyward_ledger_core::{
    contracts::attempts::GRANT_LIVE_MS,
    entry::{VaultAct, VaultAttempt},
    outcome::Outcome,
    state::vault::VaultState,
    vault::{Refresh, Shares, acknowledge},
};
use keyward_ledger_simulation::Dice;

use super::{
    checker::Combined,
    loot::Loot,
    node::{id, now_ms, signing},
    town::{Asked, SIZE, Town},
    vaults::{LIFE_MS, PASSWORD, VAULTS, act_of, password, public, unsigned},
};

// A run is far shorter than a day, so an attempt that is asked for again is the same one.
const _: () = assert!(GRANT_LIVE_MS > 3_600_000);

/// A guess, whether or not the ledger was asked for an attempt.
struct Guess {
    state: VaultState,
    vault: Vault,
    attempt: VaultAttempt,
    request: AttemptRequest,
    recovery: Option<Recovery>,
    /// Where the ledger recorded it, and what became of it.
    asked: Vec<(u64, Outcome)>,
    /// What keepers that do not collude have answered, by machine.
    answers: BTreeMap<usize, Vec<u8>>,
}

impl Guess {
    /// The record that grants it.
    fn granted(&self) -> Option<&(u64, Outcome)> {
        self.asked.iter().find(|(_, outcome)| outcome.is_accepted())
    }

    /// What was granted, or would be.
    fn grant(&self) -> Grant {
        let attempt = self.granted().map(|(_, outcome)| outcome.data.as_slice().try_into().unwrap());
        Grant {
            shares: self.vault.shares(),
            attempt: attempt.unwrap_or([0x99; 32]),
            element_hash: self.request.element_hash,
            reply_key: self.request.reply_key,
        }
    }
}

pub(crate) struct Thief {
    pub(crate) town: Arc<Town>,
    pub(crate) dice: Dice,
    /// Words that are wrong, before the right one comes.
    pub(crate) wrong: u64,
    loot: Loot,
    guesses: Vec<Guess>,
}

impl Thief {
    pub(crate) fn new(town: Arc<Town>, dice: Dice, wrong: u64) -> Self {
        Self { town, dice, wrong, loot: Loot::default(), guesses: Vec::new() }
    }

    /// Goes on until it is aborted.
    pub(crate) async fn live(mut self) {
        loop {
            let pause = 100 + self.dice.below(500);
            self.town.wait(pause).await;
            for node in &self.town.plan.colluders {
                self.loot.take(&self.town.nodes[*node]);
            }
            match self.dice.below(100) {
                0..16 => drop(self.guess_at_the_ledger().await),
                16..24 => drop(self.race().await),
                24..32 => drop(self.guess_alone().await),
                32..44 => self.replay().await,
                44..64 => self.ask(false).await,
                64..80 => self.ask(true).await,
                80..86 => self.forge().await,
                86..94 => self.want_releases().await,
                _ => drop(self.lie().await),
            }
        }
    }

    fn somebody(&mut self) -> usize {
        self.dice.below(SIZE as u64) as usize
    }

    fn any(&mut self) -> Option<usize> {
        (!self.guesses.is_empty()).then(|| self.dice.below(self.guesses.len() as u64) as usize)
    }

    /// Begins with the next word.
    async fn guess(&mut self) -> Option<usize> {
        let name = if self.dice.once_in(5) { VAULTS[1] } else { VAULTS[0] };
        let state = self.town.vault(&name).await?;
        let vault = public(&self.town, &state).await?;
        let right = self.wrong == 0;
        self.wrong = self.wrong.saturating_sub(1);
        let text = if right { PASSWORD } else { "one of the wrong words" };
        let (recovery, request) = Recovery::begin(vault.clone(), &password(text)).unwrap();
        let attempt = VaultAttempt {
            vault: name,
            version: state.version,
            share_version: state.share_version,
            element: request.element_hash,
            reply_key: request.reply_key,
        };
        let (recovery, answers) = (Some(recovery), BTreeMap::new());
        self.guesses.push(Guess { state, vault, attempt, request, recovery, asked: Vec::new(), answers });
        Some(self.guesses.len() - 1)
    }

    /// Has the ledger asked for an attempt through a machine.
    async fn hand_in(town: &Town, attempt: VaultAttempt, via: usize) -> Option<(u64, Outcome)> {
        let entry = unsigned(VaultAct::Attempt(attempt));
        let (leaf, outcome) = town.record(&town.services[1], &entry, via).await?;
        town.tell(&format!("thief's attempt at {leaf}: {}", outcome.name()));
        Some((leaf, outcome))
    }

    async fn guess_at_the_ledger(&mut self) -> Option<()> {
        let guess = self.guess().await?;
        let via = self.somebody();
        let asked = Self::hand_in(&self.town, self.guesses[guess].attempt, via).await?;
        let granted = asked.1.is_accepted();
        self.town.count(if granted { "thief's attempts" } else { "thief's attempts refused" });
        self.guesses[guess].asked.push(asked);
        self.ask_all(guess, guess).await;
        Some(())
    }

    /// Two guesses at once, each through another validator, and one of them through a third one too.
    async fn race(&mut self) -> Option<()> {
        let (one, two) = (self.guess().await?, self.guess().await?);
        let (via, town) = (self.somebody(), self.town.clone());
        let [first, second] = [one, two].map(|guess| self.guesses[guess].attempt);
        let raced = tokio::join!(
            Self::hand_in(&town, first, via),
            Self::hand_in(&town, second, (via + 1) % SIZE),
            Self::hand_in(&town, first, (via + 2) % SIZE),
        );
        self.guesses[one].asked.extend(raced.0.into_iter().chain(raced.2));
        self.guesses[two].asked.extend(raced.1);
        self.town.count("races");
        for guess in [one, two] {
            self.ask_all(guess, guess).await;
        }
        Some(())
    }

    /// A guess of which the ledger hears nothing: those who collude evaluate it, and nobody else.
    async fn guess_alone(&mut self) -> Option<()> {
        let guess = self.guess().await?;
        self.town.count("guesses without the ledger");
        self.combine(guess);
        Some(())
    }

    /// An attempt of before, handed in again.
    async fn replay(&mut self) {
        let Some(guess) = self.any() else { return };
        let via = self.somebody();
        let asked = Self::hand_in(&self.town, self.guesses[guess].attempt, via).await;
        self.guesses[guess].asked.extend(asked);
        self.town.count("replays");
        self.ask_all(guess, guess).await;
    }

    /// Asks again for what was asked for before, or for the element of one guess with the attempt of another.
    async fn ask(&mut self, mixed: bool) {
        let (Some(guess), Some(other)) = (self.any(), self.any()) else { return };
        self.ask_all(guess, if mixed { other } else { guess }).await;
    }

    /// Asks every keeper that does not collude for the element of a guess, with the records of an attempt.
    async fn ask_all(&mut self, guess: usize, by: usize) {
        let town = self.town.clone();
        let records: Vec<_> = self.guesses[by].asked.iter().rev().take(2).cloned().collect();
        for (leaf, outcome) in records {
            self.count_asking(guess, by, &outcome).await;
            for node in (0..SIZE).filter(|node| town.plan.is_honest(*node)) {
                let Guess { attempt, .. } = self.guesses[by];
                let asked = Asked { attempt, leaf, element: self.guesses[guess].request.element };
                let mut grant = self.guesses[guess].grant();
                if guess != by {
                    grant.attempt = self.guesses[by].grant().attempt;
                }
                let given = town.nodes[node].evaluate(&town, asked, grant).await;
                let said = match &given {
                    None => "silent".to_owned(),
                    Some(Ok(_)) => "evaluated".to_owned(),
                    Some(Err(error)) => error.to_string(),
                };
                town.tell(&format!("thief asks {node} for {guess} by {leaf}: {said}"));
                if let Some(Ok(answer)) = given {
                    self.guesses[guess].answers.insert(node, answer);
                }
            }
        }
        self.combine(guess);
    }

    async fn count_asking(&mut self, guess: usize, by: usize, outcome: &Outcome) {
        let of = &self.guesses[by].attempt;
        let now = self.town.vault(&of.vault).await;
        let is_old =
            now.is_some_and(|now| (now.version, now.share_version) != (of.version, of.share_version));
        self.town.count(match () {
            () if !outcome.is_accepted() => "asked with a refused attempt",
            () if guess != by => "asked for another element",
            () if is_old => "asked with an attempt for old shares",
            () => "asked with a granted attempt",
        });
    }

    /// Puts together what keepers have answered and what those who collude evaluate, if that is enough.
    fn combine(&mut self, guess: usize) {
        let (town, loot) = (self.town.clone(), &self.loot);
        let guess = &mut self.guesses[guess];
        let (grant, element) = (guess.grant(), guess.request.element);
        let mut answers = guess.answers.clone();
        for node in &town.plan.colluders {
            answers.extend(loot.evaluate(*node, &grant, &element).map(|answer| (*node, answer)));
        }
        if answers.len() < usize::from(town.plan.threshold) {
            return;
        }
        let Some(recovery) = guess.recovery.take() else { return };
        let mut evaluating = recovery.granted(&grant).unwrap();
        for (node, answer) in &answers {
            let Some(index) = town.index_of(&guess.state, *node) else { continue };
            let _another_attempts = evaluating.answer(index, answer);
        }
        if !evaluating.is_enough() {
            return;
        }
        let leaf = guess.granted().map(|(leaf, _)| *leaf);
        town.count("thief's guesses that were answered");
        let right = evaluating.derive().is_ok();
        let mut seen = town.seen();
        seen.combined.push(Combined { vault: guess.attempt.vault.name, element, leaf });
        seen.guessed |= right;
    }

    /// A success that nobody proved, and what keepers say to it.
    async fn forge(&mut self) {
        let Some(guess) = self.any() else { return };
        let (town, attempt) = (self.town.clone(), self.guesses[guess].attempt);
        let Some((leaf, _)) = self.guesses[guess].granted().cloned() else { return };
        let (via, open) = (self.somebody(), VaultAct::Open { attempt, signature: [3; 64] });
        let Some((opened, outcome)) = town.record(&town.services[1], &unsigned(open), via).await else {
            return;
        };
        self.took("a success without a proof", &outcome);
        town.count("forged successes");
        self.want(leaf, opened).await;
    }

    /// Asks for releases with somebody else's success.
    async fn want_releases(&mut self) {
        let Some(guess) = self.any() else { return };
        let Some((leaf, _)) = self.guesses[guess].granted().cloned() else { return };
        let is_open = |entry: &[u8]| act_of(entry).is_some_and(|act| matches!(act, VaultAct::Open { .. }));
        let log = self.town.seen().log.clone();
        let opened = (0..).zip(&log).filter(|(_, record)| is_open(&record.entry)).map(|(at, _)| at).last();
        let Some(opened) = opened else { return };
        self.town.count("releases wanted with another's success");
        self.want(leaf, opened).await;
    }

    async fn want(&self, leaf: u64, opened: u64) {
        for node in (0..SIZE).filter(|node| self.town.plan.is_honest(*node)) {
            drop(self.town.nodes[node].release(&self.town, leaf, opened).await);
        }
    }

    /// What keepers that collude tell the ledger although it is not theirs to say.
    async fn lie(&mut self) -> Option<()> {
        let liars: Vec<_> = self.town.plan.colluders.iter().copied().collect();
        let liar = self.dice.one(&liars);
        let state = self.town.vault(&VAULTS[0]).await?;
        let victim = (0..SIZE).find(|node| self.town.plan.is_honest(*node))?;
        let (what, act) = match self.dice.below(3) {
            0 => {
                let (vault, version, keeper) = (state.vault, state.version, id(victim));
                ("another's word that it erased", VaultAct::Erase { vault, version, keeper })
            }
            1 => {
                let guess = self.any()?;
                ("a keeper's own attempt", VaultAct::Attempt(self.guesses[guess].attempt))
            }
            _ => ("shares for colluders alone", self.takeover(&state, &liars)),
        };
        let hand = self.town.nodes[liar].hand().clone();
        let (_, outcome) = self.town.record(&hand, &unsigned(act), liar).await?;
        self.took(what, &outcome);
        self.town.count("lies of colluders");
        Some(())
    }

    fn takeover(&self, state: &VaultState, liars: &[usize]) -> VaultAct {
        let ([key, mask], needed) = (state.constants, usize::from(state.threshold));
        let keepers: Vec<_> = (0..SIZE).map(id).collect();
        let shares = Shares { keepers, evaluation: vec![key; needed], mask: vec![mask; needed] };
        let (vault, version, share_version) = (state.vault, state.version, state.share_version + 1);
        let expires_ms = Some(now_ms(&self.town.runtime, 0) + LIFE_MS);
        let refresh = Refresh { expires_ms, vault, version, share_version, shares };
        let by = |place: usize| if liars.contains(&place) { place } else { liars[0] };
        let acknowledgements = (0..SIZE)
            .map(|node| {
                let index = u8::try_from(node).unwrap() + 1;
                acknowledge(&signing(by(node)), &self.town.chain_id, &refresh.hash(), index)
            })
            .collect();
        VaultAct::Refresh { refresh: Box::new(refresh), acknowledgements, consents: Vec::new() }
    }

    fn took(&self, what: &'static str, outcome: &Outcome) {
        self.town.tell(&format!("{what}: {}", outcome.name()));
        if outcome.is_accepted() {
            self.town.seen().taken = Some(what);
        }
    }
}
