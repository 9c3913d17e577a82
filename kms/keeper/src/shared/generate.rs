//! Making a key: an opening, a dealing once the ledger has fixed all openings, and the share, kept before it is acknowledged.

use std::sync::{Arc, Mutex, PoisonError};

use keyward_crypto::shared::{
    Dealer, Generation, Message, Opener, Openings, SharedKey, SharedScheme, Step, Tweak,
};
use keyward_ledger_core::{
    entry::SharedBinding,
    hash::Hash,
    shared::{acknowledge, shared_rule},
    state::shared::{SharedNameState, SharedRunState},
};

use super::{
    error::SharedError,
    kept::KeptShare,
    lag::soon,
    plan::GenerationPlan,
    roster::place_of,
    store::{Place, keep},
};
use crate::{
    callers::Caller,
    keeper::{Inner, Keeper},
};

/// How long an opening waits for the entry that fixes it, in milliseconds of ledger time.
const OPENING_MS: u64 = 10 * 60 * 1_000;

/// How far a generation is. In memory only: after a stop it is begun again under another attempt.
pub(crate) enum Generating {
    /// The opening was given.
    Opened(Box<Opener>, Message),
    /// The dealing was given.
    Dealt(Arc<Mutex<Dealer>>, Message),
    /// The library refused what was made here.
    Broken,
}

/// What a keeper answers in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) message: Vec<u8>,
    /// The signature over the record, where the step acknowledges one.
    pub(crate) acknowledgement: Option<[u8; 64]>,
}

impl From<Message> for Answer {
    fn from(message: Message) -> Self {
        Self { message: message.encode(), acknowledgement: None }
    }
}

impl Keeper {
    /// First step: our opening of a key that is to be. Asked again for the same plan, it is the same.
    pub(crate) async fn open_key(
        &self,
        caller: &Caller,
        plan: &GenerationPlan,
    ) -> Result<Answer, SharedError> {
        self.require_open(&plan.name.owner).await?;
        let (named, now_ms) = self.shared_name(&shared_rule(&plan.name)).await?;
        match &named {
            Some(SharedNameState::Bound(_)) => {
                return Err(SharedError::OtherRun { why: "a key was bound under this name" });
            }
            // The one that is open may be asked for again; which one comes next the ledger says when it takes it.
            Some(SharedNameState::Run(run)) if plan.attempt < run.attempt => {
                return Err(SharedError::OtherRun { why: "a later attempt is open" });
            }
            _ => {}
        }
        let (generation, place) = self.generation(plan).await?;
        let _turn = self.0.turns.costly()?;
        let (inner, caller, scheme) = (self.0.clone(), caller.clone(), plan.scheme);
        self.work(move || {
            let runs = inner.shared.generations_of(scheme);
            if let Some(opening) = runs.with(generation.id(), |stage| stage.opening()) {
                return opening.map(Answer::from);
            }
            let (opener, message) = generation.open(place, |bytes| inner.signing.sign(bytes))?;
            let stage = Generating::Opened(Box::new(opener), message.clone());
            let times = [now_ms, now_ms.saturating_add(OPENING_MS)];
            if runs.begin(&caller, *generation.id(), stage, times)? {
                return Ok(message.into());
            }
            // Somebody asked at the same time: one polynomial is one opening.
            let opening = runs.with(generation.id(), |stage| stage.opening());
            opening.unwrap_or(Err(SharedError::NoRun)).map(Answer::from)
        })
        .await
    }

    /// Second step: our dealing, once the ledger has the run with exactly these openings.
    pub(crate) async fn deal_key(
        &self,
        plan: &GenerationPlan,
        messages: Vec<Vec<u8>>,
    ) -> Result<Answer, SharedError> {
        let (generation, _) = self.generation(plan).await?;
        let begun = self.0.shared.generations_of(plan.scheme).with(generation.id(), |_| ()).is_some();
        let rule = shared_rule(&plan.name);
        let there = soon(begun, || async {
            Ok::<_, SharedError>(match self.shared_name(&rule).await?.0 {
                Some(SharedNameState::Run(run)) if run.attempt < plan.attempt => None,
                named => named.map(drop),
            })
        });
        there.await?;
        let (run, _) = self.open_run(plan).await?;
        let _turn = self.0.turns.costly()?;
        let (inner, scheme) = (self.0.clone(), plan.scheme);
        self.work(move || {
            let (openings, runs) =
                (opened(&generation, &run, &messages)?, inner.shared.generations_of(scheme));
            let dealt = runs.with(generation.id(), |stage| stage.deal(&openings, &inner));
            dealt.unwrap_or(Err(SharedError::NoRun)).map(Answer::from)
        })
        .await
    }

    /// Between the second and the third step, where the scheme has it: what every other holder multiplies with us by. Asked again
    /// with the same dealings, it is the same.
    pub(crate) async fn agree_key(
        &self,
        plan: &GenerationPlan,
        messages: Vec<Vec<u8>>,
    ) -> Result<Answer, SharedError> {
        if !plan.scheme.answers() {
            return Err(SharedError::Malformed { what: "holders of such a key agree on nothing besides" });
        }
        let (run, _) = self.open_run(plan).await?;
        let (generation, _) = self.generation(plan).await?;
        let _turn = self.0.turns.costly()?;
        let inner = self.0.clone();
        self.work(move || {
            let openings = opened(&generation, &run, &of_step(&messages, Step::Opening))?;
            let dealer = dealer(&inner, &generation, &run)?;
            let mut dealer = dealer.lock().unwrap_or_else(PoisonError::into_inner);
            let dealings = of_step(&messages, Step::Dealing);
            Ok(dealer.agree(&openings, &dealings, |bytes| inner.signing.sign(bytes))?.into())
        })
        .await
    }

    /// Third step: keeps our share, then confirms it and acknowledges the record that binds the key, under these terms: the
    /// approval rule and the policy tenant.
    pub(crate) async fn keep_key(
        &self,
        plan: &GenerationPlan,
        messages: Vec<Vec<u8>>,
        terms: [Option<Hash>; 2],
    ) -> Result<Answer, SharedError> {
        let (run, now_ms) = self.open_run(plan).await?;
        let (generation, place) = self.generation(plan).await?;
        let _turn = self.0.turns.costly()?;
        let alone = self.0.writing.clone().lock_owned().await;
        let (inner, plan) = (self.0.clone(), plan.clone());
        let chain_id = self.0.ledger.chain_id();
        self.work(move || {
            let _alone = alone;
            let kept = match kept_before(&inner, &plan, generation.id(), now_ms)? {
                Some(kept) => kept,
                None => finish(&inner, &generation, &run, &messages)?,
            };
            let record = binding(&plan, &kept.key, terms)?.record_hash(&plan.circle);
            let acknowledgement = Some(acknowledge(&inner.signing, &chain_id, &record, place));
            // What is on disk now answers whoever asks again.
            inner.shared.generations_of(plan.scheme).end(generation.id());
            Ok(Answer { message: kept.confirmation.clone(), acknowledgement })
        })
        .await
    }

    /// A generation among keepers of the ledger, and our place in it.
    async fn generation(&self, plan: &GenerationPlan) -> Result<(Generation, u8), SharedError> {
        let place = place_of(&plan.circle, &self.0.id)?;
        let roster = self.roster(&plan.name.owner, (&plan.circle, &plan.device), true).await?;
        let name = self.key_name(&plan.name);
        Ok((Generation::new(name, plan.scheme, roster, plan.attempt), place))
    }

    /// The run as the ledger has it, if it is open and the plan's.
    async fn open_run(&self, plan: &GenerationPlan) -> Result<(SharedRunState, u64), SharedError> {
        let (named, now_ms) = self.shared_name(&shared_rule(&plan.name)).await?;
        let run = match named {
            Some(SharedNameState::Run(run)) if now_ms <= run.expires_ms => *run,
            Some(SharedNameState::Bound(_)) => {
                return Err(SharedError::OtherRun { why: "a key was bound under this name" });
            }
            _ => return Err(SharedError::OtherRun { why: "none is open under this name" }),
        };
        let same = run.name == plan.name
            && run.scheme == plan.scheme.scheme()
            && run.circle == plan.circle
            && run.device == plan.device
            && run.attempt == plan.attempt;
        if same { Ok((run, now_ms)) } else { Err(SharedError::OtherRun { why: "it has another plan" }) }
    }
}

impl Generating {
    /// The opening that was given.
    fn opening(&self) -> Result<Message, SharedError> {
        match self {
            Self::Opened(_, opening) => Ok(opening.clone()),
            Self::Dealt(..) | Self::Broken => Err(SharedError::Spent),
        }
    }

    /// Deals, once: from one polynomial nothing is dealt for other openings.
    fn deal(&mut self, openings: &Openings, inner: &Inner) -> Result<Message, SharedError> {
        match std::mem::replace(self, Self::Broken) {
            Self::Opened(opener, _) => {
                let sign = |bytes: &[u8]| inner.signing.sign(bytes);
                let (dealer, message) = opener.deal(openings, &inner.sealing, sign)?;
                *self = Self::Dealt(Arc::new(Mutex::new(dealer)), message.clone());
                Ok(message)
            }
            Self::Dealt(dealer, message) => {
                *self = Self::Dealt(dealer, message.clone());
                Ok(message)
            }
            Self::Broken => Err(SharedError::NoRun),
        }
    }

    fn dealer(&self) -> Option<Arc<Mutex<Dealer>>> {
        match self {
            Self::Dealt(dealer, _) => Some(dealer.clone()),
            _ => None,
        }
    }
}

/// Everybody's openings, if they are exactly those that the ledger has.
fn opened(
    generation: &Generation,
    run: &SharedRunState,
    messages: &[Vec<u8>],
) -> Result<Openings, SharedError> {
    let openings = generation.openings(messages)?;
    if openings.hashes().into_values().eq(run.openings.iter().copied()) {
        Ok(openings)
    } else {
        Err(SharedError::OtherRun { why: "it has other openings" })
    }
}

/// Our end of a run, if we have dealt in it.
fn dealer(
    inner: &Inner,
    generation: &Generation,
    run: &SharedRunState,
) -> Result<Arc<Mutex<Dealer>>, SharedError> {
    let scheme = SharedScheme::of(run.scheme).ok_or(SharedError::NoRun)?;
    let dealer = inner.shared.generations_of(scheme).with(generation.id(), |stage| stage.dealer());
    dealer.flatten().ok_or(SharedError::NoRun)
}

/// Our share from everybody's dealings, kept.
fn finish(
    inner: &Inner,
    generation: &Generation,
    run: &SharedRunState,
    messages: &[Vec<u8>],
) -> Result<Arc<KeptShare>, SharedError> {
    let [openings, dealings, agreements] =
        [Step::Opening, Step::Dealing, Step::Agreement].map(|step| of_step(messages, step));
    let openings = opened(generation, run, &openings)?;
    let dealer = dealer(inner, generation, run)?;
    let mut dealer = dealer.lock().unwrap_or_else(PoisonError::into_inner);
    let dealt = dealer.finish(&openings, &dealings, &agreements, &inner.sealing)?;
    let kept = KeptShare::of(&dealt, *generation.id(), run.expires_ms, &inner.signing)?;
    keep(inner, &kept)?;
    Ok(Arc::new(kept))
}

/// The record that binds the key.
fn binding(
    plan: &GenerationPlan,
    key: &SharedKey,
    [approval_rule, policy_tenant]: [Option<Hash>; 2],
) -> Result<SharedBinding, SharedError> {
    Ok(SharedBinding {
        name: plan.name,
        attempt: plan.attempt,
        scheme: plan.scheme.scheme(),
        public_key: key.public_key(&Tweak::None)?.as_bytes().to_vec(),
        key_hash: key.hash(),
        approval_rule,
        policy_tenant,
        acknowledgements: Vec::new(),
    })
}

/// The messages without those of the other steps that are asked for with them; what is none stays, so that it is refused.
pub(crate) fn of_step(messages: &[Vec<u8>], step: Step) -> Vec<Vec<u8>> {
    let together: &[Step] = match step {
        Step::Commitment | Step::Answer => &[Step::Commitment, Step::Answer],
        _ => &[Step::Opening, Step::Dealing, Step::Agreement],
    };
    let other = |bytes: &&Vec<u8>| {
        Message::decode(bytes).is_ok_and(|found| found.step() != step && together.contains(&found.step()))
    };
    messages.iter().filter(|bytes| !other(bytes)).cloned().collect()
}

/// The share of this run, if it was kept before: who asks again after a stop gets the same answer.
fn kept_before(
    inner: &Inner,
    plan: &GenerationPlan,
    run: &Hash,
    now_ms: u64,
) -> Result<Option<Arc<KeptShare>>, SharedError> {
    let (store, rule) = (&inner.shared.store, shared_rule(&plan.name));
    let waiting: Vec<Place> = store.waiting()?.into_iter().filter(|place| place.rule == rule).collect();
    for place in waiting {
        if let Some(kept) = store.load(&place, now_ms)?
            && kept.run == *run
        {
            return Ok(Some(kept));
        }
    }
    Ok(None)
}
