//! `shared` whatever is signed in whatever order: what never happens, told from the accepted entries alone.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;

use crate::common::shared::{LOCK_MS, binding, circle, device, intent, renewal};
use keyward_ledger_core::entry::{Renewal, SharedAct, SharedBinding, SharedIntent, SharedRenewal, kind};
use keyward_ledger_core::shared::{Device, approval_payload};

use super::delegation_properties::Dice;
use super::shared::{claim, kept, open};
use super::*;

const RUNS: u64 = 40;
const BLOCKS: usize = 60;
const PEOPLE: [Person; 4] = [OWNER, ALICE, BOB, CAROL];
const CIRCLES: [&[u8]; 3] = [&[1, 2, 3], &[1, 2, 4], &[5, 4, 3, 1]];

/// A case: what it is about, who asked, and which accounts approve.
struct Asked {
    payload: Hash,
    commitment: Hash,
    by: Person,
    approvals: BTreeSet<Hash>,
}

/// What the accepted entries say, told without the state.
struct Told {
    share_version: u32,
    circle: &'static [u8],
    device: Device,
    /// A device that waits, and from when on it is in force.
    waiting: Option<(Device, u64)>,
    cases: BTreeMap<Hash, Asked>,
    latest: Option<Hash>,
    used: BTreeSet<Hash>,
    intents: BTreeSet<Hash>,
}

struct Play {
    dice: Dice,
    world: World,
    told: Told,
    needs_approval: bool,
    accepted: BTreeMap<u16, usize>,
    refused: BTreeSet<&'static str>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let (mut dice, mut world) = (Dice(seed), kept());
        let terms = approval_terms(&[(2, &PEOPLE)]);
        assert_eq!(world.answer(Act::DefineApproval(define(CAROL, 1, terms)), &[CAROL]), "ACCEPTED");
        let opening = world.open_shared(1, CIRCLES[0]);
        assert_eq!(world.answer(open(opening), &[OWNER]), "ACCEPTED");
        let needs_approval = dice.below(2) == 0;
        let approval_rule = needs_approval.then(|| CAROL.rule().id(kind::DEFINE_APPROVAL));
        let bound = SharedBinding { approval_rule, ..binding(OWNER, 1, &signer::Ed25519) };
        let act = world.bind_shared(bound, CIRCLES[0]);
        assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
        let told = Told {
            share_version: 1,
            circle: CIRCLES[0],
            device: device(1),
            waiting: None,
            cases: BTreeMap::new(),
            latest: None,
            used: BTreeSet::new(),
            intents: BTreeSet::new(),
        };
        Self { dice, world, told, needs_approval, accepted: BTreeMap::new(), refused: BTreeSet::new() }
    }

    fn settle(&mut self) {
        let now = self.world.ledger.time_ms();
        if let Some((other, _)) = self.told.waiting.take_if(|(_, opens_ms)| *opens_ms <= now) {
            self.told.device = other;
        }
    }

    fn case(&mut self) -> Option<Hash> {
        if self.dice.below(4) > 0 {
            return self.told.latest;
        }
        let cases: Vec<_> = self.told.cases.keys().copied().collect();
        (!cases.is_empty()).then(|| self.dice.pick(&cases))
    }

    fn person(&mut self) -> Person {
        // The owner more often than others: what strangers sign is refused.
        if self.dice.below(4) > 0 { OWNER } else { self.dice.pick(&PEOPLE) }
    }

    /// Something that somebody signs, and who.
    fn drafted(&mut self) -> (Act, Vec<Person>) {
        let near = |dice: &mut Dice, version: u32| version + u32::from(dice.below(6) == 0);
        match self.dice.below(16) {
            0 => {
                let payload = approval_payload(&signer::Ed25519.public_key().id(), &self.commitment());
                let ask = Act::OpenApproval { rule: CAROL.rule(), payload, live_ms: 600_000 };
                (ask, vec![self.person()])
            }
            1..=5 => {
                let id = self.case().unwrap_or_default();
                let payload = self.told.cases.get(&id).map(|case| case.payload).unwrap_or_default();
                (Act::Approve { case: Case { id, payload }, group: 0 }, vec![self.dice.pick(&PEOPLE)])
            }
            6..=10 => {
                let executor = self.world.service.public_key();
                let id = u8::try_from(self.dice.below(200)).unwrap();
                let made = intent(id, executor, self.world.ledger.height() + 4_000);
                let case = if self.dice.below(3) > 0 { self.case() } else { None };
                let asked = case.and_then(|id| self.told.cases.get(&id)).map(|asked| asked.commitment);
                let intent = SharedIntent {
                    share_version: near(&mut self.dice, self.told.share_version),
                    commitment: asked.filter(|_| self.dice.below(4) > 0).unwrap_or([1; 32]),
                    signers: self.dice.pick(&[[1, 2], [2, 3], [1, 3], [3, 4]]).to_vec(),
                    case,
                    ..made
                };
                (claim(intent), vec![self.person()])
            }
            11 | 12 => {
                let renews = self.dice.below(2) == 0;
                let keepers = if renews { self.dice.pick(&CIRCLES) } else { self.told.circle };
                let of = if renews { Renewal::Renew } else { Renewal::Refresh };
                let version = near(&mut self.dice, self.told.share_version + 1);
                let made = renewal(version, of, circle(keepers, 2), self.world.soon());
                let made = SharedRenewal { device: device(1 + self.device_number()), ..made };
                let who = if renews { vec![self.person()] } else { Vec::new() };
                (self.world.renew_shared(made, keepers), who)
            }
            13 | 14 => (common::shared::replace(1 + self.device_number()), vec![self.person()]),
            _ => {
                let number = |of: &Device| (1..=3).find(|number| device(*number) == *of);
                let waits = self.told.waiting.as_ref().and_then(|(waiting, _)| number(waiting));
                let by = 1 + self.device_number();
                let waiting = waits.filter(|_| self.dice.below(4) > 0).unwrap_or(1 + self.device_number());
                (self.world.cancel_device(by, waiting), Vec::new())
            }
        }
    }

    fn commitment(&mut self) -> Hash {
        [u8::try_from(self.dice.below(2)).unwrap(); 32]
    }

    fn device_number(&mut self) -> u8 {
        u8::try_from(self.dice.below(3)).unwrap()
    }

    fn block(&mut self) {
        self.world.step_ms = if self.dice.below(20) == 0 { LOCK_MS / 2 } else { 1_000 };
        let (act, people) = self.drafted();
        let outcome = self.world.act(act.clone(), &people);
        self.settle();
        if outcome.is_accepted() {
            *self.accepted.entry(act.kind()).or_default() += 1;
            let made = (!outcome.data.is_empty()).then(|| id_of(&outcome).unwrap());
            self.check(&act, &people, made);
        } else {
            self.refused.insert(outcome.name());
        }
        let shared = self.world.shared_key(&signer::Ed25519.public_key().id()).unwrap();
        assert_eq!(shared.share_version, self.told.share_version);
        assert_eq!(*shared.device_in_force(self.world.ledger.time_ms()), self.told.device);
    }

    /// What holds of everything that was accepted.
    fn check(&mut self, act: &Act, people: &[Person], made: Option<Hash>) {
        let told = &mut self.told;
        match act {
            Act::OpenApproval { payload, .. } => {
                let key_id = signer::Ed25519.public_key().id();
                let about = |commitment: &Hash| approval_payload(&key_id, commitment) == *payload;
                let commitment = [[0; 32], [1; 32]].into_iter().find(about).unwrap();
                let approvals = BTreeSet::new();
                let asked = Asked { payload: *payload, commitment, by: people[0], approvals };
                told.cases.insert(made.unwrap(), asked);
                told.latest = made;
            }
            Act::Approve { case, .. } => {
                let asked = told.cases.get_mut(&case.id).unwrap();
                assert_ne!(asked.by, people[0], "who asks approves nothing");
                assert!(asked.approvals.insert(people[0].account()), "nobody approves twice");
            }
            Act::Shared(SharedAct::Intent(intent)) => {
                assert_eq!(people, [OWNER], "only the speaker claims");
                assert!(told.intents.insert(intent.id), "an intent's id is claimed once");
                assert_eq!(intent.share_version, told.share_version);
                assert!(intent.signers.iter().all(|place| usize::from(*place) <= told.circle.len()));
                assert!(intent.case.is_some() || !self.needs_approval);
                let Some(id) = intent.case else { return };
                assert!(told.used.insert(id), "a case is used exactly once");
                let asked = &told.cases[&id];
                assert_eq!(asked.payload, approval_payload(&intent.key_id, &intent.commitment));
                assert_eq!(asked.by, OWNER);
                assert!(asked.approvals.len() >= 2, "two others have approved");
            }
            Act::Shared(SharedAct::Renew(renewal)) => {
                assert_eq!(renewal.share_version, told.share_version + 1, "versions never go back or skip");
                assert_eq!(renewal.device, told.device);
                told.share_version += 1;
                if renewal.renewal == Renewal::Renew {
                    assert_eq!(people, [OWNER], "only the speaker lets other holders come");
                } else {
                    assert_eq!(renewal.circle, circle(told.circle, 2));
                }
                told.circle =
                    CIRCLES.into_iter().find(|keepers| circle(keepers, 2) == renewal.circle).unwrap();
            }
            Act::Shared(SharedAct::ReplaceDevice { device, .. }) => {
                assert_eq!(people, [OWNER], "only the speaker brings another device");
                assert_eq!(told.waiting, None, "one device waits at a time");
                told.waiting = Some((*device, self.world.ledger.time_ms() + LOCK_MS));
            }
            Act::Shared(SharedAct::CancelDevice { .. }) => {
                assert!(told.waiting.take().is_some(), "what is in force is not taken back");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn versions_never_go_back_cases_are_used_once_and_devices_wait_whatever_is_signed() {
    let seed = std::env::var("KEYWARD_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("KEYWARD_SEED={seed}");
    let (mut accepted, mut refused) = (BTreeMap::<u16, usize>::new(), BTreeSet::new());
    let mut used = 0;
    for run in 0..RUNS {
        let mut play = Play::new(seed.wrapping_add(run));
        (0..BLOCKS).for_each(|_| play.block());
        play.accepted.iter().for_each(|(kind, count)| *accepted.entry(*kind).or_default() += count);
        refused.extend(play.refused);
        used += play.told.used.len();
    }
    println!("accepted of each kind: {accepted:?}; {used} cases used up; refused with {refused:?}");
    // The properties are worth something only if all of it happened.
    assert!((146..=149).all(|kind| accepted.contains_key(&kind)) && used > 0, "{accepted:?}, {used} used");
    let happened =
        ["SHARED_VERSION_STALE", "SHARED_DEVICE_WAITS", "SHARED_VETO_INVALID", "APPROVALS_MISSING"];
    assert!(happened.iter().all(|name| refused.contains(name)), "{refused:?}");
}
