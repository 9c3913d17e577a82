//! A shared key with its holders: made, bound, and used through the service, step by step, so that a test can lie in between.

use bytes::Bytes;
use keyward_crypto::shared::{Nonces, Roster, SharedKey, SharedScheme, Signing, SigningPlan};
use keyward_domain::scheme::{KeyId, Scheme};
use keyward_ledger_core::{
    contracts::authored::authored_message,
    entry::{
        Act, Author, Authored, Entry, Party, RuleName, SharedAct, SharedBinding, SharedIntent, SharedOpening,
        Tweak,
    },
    hash::{Hash, commitment, sha256},
    shared::{Circle, Device, acknowledge},
    state::keeper::{KeeperState, keeper_key},
};
use keyward_proto::custody::Disclosure;

use super::{
    co_signers::{CoSigner, Part, crypto_tweak, generate},
    delegation::Somebody,
    keepers::{keeper, keeper_id},
    world::{CHAIN, SUBMITTER, World},
};
use crate::{
    custody::random,
    failure::Failure,
    guard::{BeginShared, EndShared, FinishShared, GoOnShared, SignedShared, StartShared},
    ports::Ledger as _,
    shared::bind::Bind,
};

pub(super) const KEEPERS: [u8; 3] = [1, 2, 3];
pub(super) const LOCK_MS: u64 = 3_600_000;
/// The digest that BIP340 keys sign here.
pub(super) const DIGEST: Hash = [0x1d; 32];

/// Alice, her device, and three keepers of whom two sign with her.
pub(super) struct Treasury {
    pub(super) world: World,
    pub(super) alice: Somebody,
    pub(super) device: Part,
    pub(super) key: SharedKey,
    pub(super) roster: Roster,
    pub(super) key_id: KeyId,
}

/// A key that was made and is not bound yet.
pub(super) struct Made {
    pub(super) world: World,
    pub(super) alice: Somebody,
    pub(super) device: Part,
    pub(super) key: SharedKey,
    pub(super) roster: Roster,
    pub(super) binding: SharedBinding,
}

/// What the device has of an attempt.
pub(super) struct Attempt {
    pub(super) asked: BeginShared,
    pub(super) intent: SharedIntent,
    signing: Signing,
    nonces: Option<Nonces>,
    /// Everybody's, where the scheme has them.
    pub(super) answers: Vec<Vec<u8>>,
}

pub(super) fn circle() -> Circle {
    Circle { threshold: 2, keepers: KEEPERS.map(keeper_id).to_vec() }
}

/// An entry that somebody's credential signs.
pub(super) fn say(world: &World, who: &Somebody, act: SharedAct) -> Bytes {
    let act = Act::Shared(act);
    let (party, nonce) = (Party::Credential(who.account()), random().unwrap());
    let not_after = world.ledger.height() + 1000;
    let message = authored_message(&CHAIN, act.kind(), &act.payload(), party, &nonce, not_after);
    let signature = who.key.sign_message(&message).unwrap();
    let author = Author { party, nonce, not_after, public_key: Vec::new(), signature };
    Entry::Authored(Authored { act, authors: vec![author] }).encode().into()
}

pub(super) fn unsigned(act: SharedAct) -> Bytes {
    Entry::Authored(Authored { act: Act::Shared(act), authors: Vec::new() }).encode().into()
}

pub(super) fn device_of(part: &Part) -> Device {
    let holder = part.holder([0; 32]);
    Device { signing_key: holder.signing_key, sealing_key: holder.sealing_key }
}

impl Made {
    /// Opened on the ledger through the service, and made by all holders together.
    pub(super) async fn new(scheme: SharedScheme) -> Self {
        Self::on(World::new().await, scheme).await
    }

    pub(super) async fn on(world: World, scheme: SharedScheme) -> Self {
        let world = super::delegation::with_rules(world);
        let alice = Somebody::new(&world, "alice").await;
        let name = RuleName { owner: alice.account(), name: [0x77; 32] };
        let mut device = Part::new([0xde; 32]);
        let mut keepers: Vec<CoSigner> = KEEPERS.map(CoSigner::new).into();
        world.admit_keepers(&KEEPERS);
        for (number, room) in KEEPERS.into_iter().zip(&keepers) {
            let state = KeeperState { present: true, height: 1, keeper: room.registered() };
            world.ledger.set_state(keeper_key(&keeper_id(number)), state.encode());
        }
        let holders =
            KEEPERS.into_iter().zip(&keepers).map(|(number, room)| room.part.holder(keeper_id(number)));
        let roster = Roster::new(device.holder(name.owner), holders.collect(), 2).unwrap();
        let mut parts: Vec<&mut Part> =
            std::iter::once(&mut device).chain(keepers.iter_mut().map(|room| &mut room.part)).collect();
        let (openings, key) = generate(&name, scheme, (&roster, 1), &mut parts);
        for room in &mut keepers {
            room.roster = Some(roster.clone());
        }
        let rooms = KEEPERS.into_iter().zip(keepers).map(|(number, room)| (keeper(number).rpc, room));
        world.keepers.co_signers.lock().unwrap().extend(rooms);
        let opening = SharedOpening {
            name,
            scheme: scheme.scheme(),
            circle: circle(),
            attempt: 1,
            lock_ms: LOCK_MS,
            device: device_of(&device),
            expires_ms: 1_000_000 + 60_000,
            speakers: vec![Party::Credential(alice.account())],
            openings,
        };
        let entry = say(&world, &alice, SharedAct::Open(Box::new(opening)));
        world.custody.open_shared(&alice.caller, &entry, b"open").await.unwrap();
        let mut binding = SharedBinding {
            name,
            attempt: 1,
            scheme: scheme.scheme(),
            public_key: key.public_key(&keyward_crypto::shared::Tweak::None).unwrap().as_bytes().to_vec(),
            key_hash: key.hash(),
            approval_rule: None,
            policy_tenant: None,
            acknowledgements: Vec::new(),
        };
        acknowledged(&mut binding);
        Self { world, alice, device, key, roster, binding }
    }

    pub(super) fn entry(&self) -> Bytes {
        say(&self.world, &self.alice, SharedAct::Bind(Box::new(self.binding.clone())))
    }

    pub(super) async fn bind(self) -> Treasury {
        let (entry, shared_key) = (self.entry(), self.key.encode());
        let bind = Bind { entry: &entry, shared_key: &shared_key, alias: "treasury", mark: b"bind" };
        let (known, receipt) = self.world.custody.bind_shared(&self.alice.caller, bind).await.unwrap();
        assert!(!receipt.is_empty());
        let key_id = known.public_key.id();
        let Self { world, alice, device, key, roster, .. } = self;
        Treasury { world, alice, device, key, roster, key_id }
    }
}

/// Every keeper's word over the record of a binding.
pub(super) fn acknowledged(binding: &mut SharedBinding) {
    let hash = binding.record_hash(&circle());
    let signed = (1..).zip(KEEPERS);
    binding.acknowledgements = signed
        .map(|(place, number)| acknowledge(&super::keepers::keeper_signing_key(number), &CHAIN, &hash, place))
        .collect();
}

impl Treasury {
    pub(super) async fn new(scheme: SharedScheme) -> Self {
        Made::new(scheme).await.bind().await
    }

    /// Sessions end with a run of the service.
    pub(super) async fn restart(self) -> Self {
        let Self { world, device, key, roster, key_id, .. } = self;
        let world = world.restart().await;
        let alice = Somebody::new(&world, "alice").await;
        Self { world, alice, device, key, roster, key_id }
    }

    pub(super) fn intent(&self, message: &[u8], r: &Hash, signers: &[u8]) -> SharedIntent {
        SharedIntent {
            id: random().unwrap(),
            key_id: self.key_id,
            share_version: self.key.share_version(),
            executor: SUBMITTER,
            commitment: commitment(r, &payload_hash(&self.key, message)),
            tweak: Tweak::Plain,
            signers: signers.to_vec(),
            policy: self.world.custody.policies.floor().hash(),
            not_after: self.world.ledger.height() + 100,
            case: None,
        }
    }

    /// The first attempt at a fresh intent, as an honest device makes it.
    pub(super) fn attempt(&self, message: &[u8], signers: &[u8], mark: &[u8]) -> Attempt {
        let r = random().unwrap();
        let intent = self.intent(message, &r, signers);
        self.attempt_at(intent, (message, r), mark)
    }

    pub(super) fn attempt_at(
        &self,
        intent: SharedIntent,
        (message, r): (&[u8], Hash),
        mark: &[u8],
    ) -> Attempt {
        let entry = say(&self.world, &self.alice, SharedAct::Intent(Box::new(intent.clone())));
        let payload = Disclosure {
            payload: message.to_vec().into(),
            format: String::new(),
            opening: r.to_vec().into(),
        };
        let (message, mark) = (message.to_vec().into(), mark.to_vec().into());
        let asked = BeginShared { entry, payload, message, attempt: 1, device: Bytes::new(), mark };
        self.committed(asked, intent, 1)
    }

    /// The next attempt at the same intent.
    pub(super) fn again(&self, before: &Attempt) -> Attempt {
        self.committed(before.asked.clone(), before.intent.clone(), before.asked.attempt + 1)
    }

    fn committed(&self, asked: BeginShared, intent: SharedIntent, attempt: u32) -> Attempt {
        let plan = SigningPlan {
            intent: intent.id,
            attempt,
            keepers: intent.signers.clone(),
            message: asked.message.to_vec(),
            tweak: crypto_tweak(&intent.tweak),
        };
        let signing = Signing::new(self.key.clone(), self.roster.clone(), plan).unwrap();
        let (nonces, device) = self.device.commit(&signing);
        let asked = BeginShared { attempt, device, ..asked };
        Attempt { asked, intent, signing, nonces: Some(nonces), answers: Vec::new() }
    }

    pub(super) async fn begin(&self, attempt: &Attempt) -> Result<StartShared, Failure> {
        self.world.custody.begin_shared(&self.alice.caller, &attempt.asked).await
    }

    /// The device's answer to these commitments of the keepers.
    pub(super) fn answer(&self, attempt: &mut Attempt, commitments: &[Bytes]) -> FinishShared {
        let all: Vec<Vec<u8>> = std::iter::once(&attempt.asked.device)
            .chain(commitments)
            .map(|message| message.to_vec())
            .collect();
        let nonces = attempt.nonces.take().unwrap();
        let (nonces, device) = self.device.answer(&attempt.signing, nonces, &all).unwrap();
        attempt.nonces = Some(nonces);
        FinishShared { intent: attempt.intent.id, attempt: attempt.asked.attempt, device }
    }

    pub(super) async fn go_on(&self, asked: &FinishShared) -> Result<GoOnShared, Failure> {
        self.world.custody.answer_shared(&self.alice.caller, asked).await
    }

    /// The step between the two, where the scheme has it.
    pub(super) async fn answered(&self, attempt: &mut Attempt, commitments: &[Bytes]) -> Result<(), Failure> {
        if self.key.scheme().answers() {
            let own = self.answer(attempt, commitments);
            let GoOnShared::Answered(answers) = self.go_on(&own).await? else { panic!() };
            attempt.answers =
                std::iter::once(own.device).chain(answers).map(|bytes| bytes.to_vec()).collect();
        }
        Ok(())
    }

    /// The device's share, over these commitments of the keepers.
    pub(super) fn share(&self, attempt: &mut Attempt, commitments: &[Bytes]) -> FinishShared {
        let all: Vec<Vec<u8>> = std::iter::once(&attempt.asked.device)
            .chain(commitments)
            .map(|message| message.to_vec())
            .collect();
        let nonces = attempt.nonces.take().unwrap();
        let device = self.device.sign(&attempt.signing, nonces, [&all, &attempt.answers]).unwrap();
        FinishShared { intent: attempt.intent.id, attempt: attempt.asked.attempt, device }
    }

    pub(super) async fn finish(&self, asked: &FinishShared) -> Result<EndShared, Failure> {
        self.world.custody.finish_shared(&self.alice.caller, asked).await
    }

    /// All steps.
    pub(super) async fn sign(&self, mut attempt: Attempt) -> Result<SignedShared, Failure> {
        let commitments = begun(self.begin(&attempt).await?);
        self.answered(&mut attempt, &commitments).await?;
        let share = self.share(&mut attempt, &commitments);
        Ok(signed(self.finish(&share).await?))
    }

    pub(super) fn keeper<R>(&self, number: u8, with: impl FnOnce(&mut CoSigner) -> R) -> R {
        with(self.world.keepers.co_signers.lock().unwrap().get_mut(&keeper(number).rpc).unwrap())
    }

    pub(super) fn intents(&self) -> usize {
        self.world.ledger.count(|entry| entry.name() == "intent-shared")
    }

    pub(super) async fn queued(&self) -> usize {
        self.world.custody.store.queued_releases(SUBMITTER, (0, 0), 10).await.unwrap().len()
    }
}

pub(super) fn payload_hash(key: &SharedKey, message: &[u8]) -> Hash {
    match key.scheme().scheme() {
        Scheme::Ed25519 => sha256(&[message]),
        _ => message.try_into().unwrap(),
    }
}

pub(super) fn begun(start: StartShared) -> Vec<Bytes> {
    match start {
        StartShared::Committed(begun) => {
            assert!(!begun.receipt.is_empty());
            begun.commitments
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn signed(end: EndShared) -> SignedShared {
    match end {
        EndShared::Signed(signed) => signed,
        EndShared::Faults(faults) => panic!("{faults:?}"),
    }
}
