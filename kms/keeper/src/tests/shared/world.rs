//! A person with a device and shared keys, and the five keepers.

use std::sync::LazyLock;

use keyward_crypto::{
    shared::{
        Boot, Generation, Holder, KeyName, KeyShare, Nonces, Package, Roster, SharedKey, SharedScheme,
        Signing, SigningPlan as Plan, Tweak, USER,
    },
    vault::BoxKey,
};
use keyward_domain::scheme::KeyId;
use keyward_ledger_core::{
    ed25519::SigningKey,
    entry::{Act, Party, RuleName, SharedAct, SharedBinding, SharedIntent, SharedOpening},
    hash::{Hash, commitment, sha256},
    outcome::Outcome,
    shared::{Circle, Device, shared_rule},
    state::shared::{SharedKeyState, shared_key_key},
};
use keyward_policies::PolicySet;

use super::super::{
    chain::CHAIN,
    world::{ACCOUNT, SERVICE, World, id_of, sealing_key, signing},
};
use crate::{
    Keeper, SharedError,
    callers::Caller,
    shared::{
        permit::Disclosed,
        plan::{GenerationPlan, SigningPlan},
    },
};

pub(super) const MINUTE_MS: u64 = 60_000;
pub(super) const OPENING: Hash = [0x0b; 32];
pub(super) const LOCK_MS: u64 = 60 * MINUTE_MS;

/// The policies of this build.
pub(super) static FLOOR: LazyLock<PolicySet> = LazyLock::new(|| PolicySet::embedded().unwrap());

pub(super) fn caller() -> Caller {
    Caller(b"service".to_vec())
}

/// What speaks for the user.
pub(super) struct Phone {
    pub(super) signing: SigningKey,
    pub(super) sealing: BoxKey,
}

impl Phone {
    pub(super) fn new(seed: u8) -> Self {
        let sealing = BoxKey::from_secret(&[seed + 1; 32]).unwrap();
        Self { signing: SigningKey::from_seed(&[seed; 32]), sealing }
    }

    pub(super) fn device(&self) -> Device {
        Device { signing_key: self.signing.public_key(), sealing_key: self.sealing.public() }
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.signing.sign(bytes)
    }
}

pub(super) fn circle(threshold: u8, numbers: &[u8]) -> Circle {
    Circle { threshold, keepers: numbers.iter().map(|number| id_of(*number)).collect() }
}

/// The holders with the keys that the ledger has.
pub(super) fn roster(phone: &Phone, threshold: u8, numbers: &[u8]) -> Roster {
    let Device { signing_key, sealing_key: sealing } = phone.device();
    let user = Holder { id: ACCOUNT, signing_key, sealing_key: sealing };
    let keeper = |number: &u8| Holder {
        id: id_of(*number),
        signing_key: signing(*number).public_key(),
        sealing_key: sealing_key(*number).public(),
    };
    Roster::new(user, numbers.iter().map(keeper).collect(), threshold).unwrap()
}

/// A key that is to be.
pub(super) struct Wish {
    pub(super) name: Hash,
    pub(super) scheme: SharedScheme,
    pub(super) threshold: u8,
    pub(super) numbers: Vec<u8>,
    pub(super) attempt: u32,
    pub(super) approval_rule: Option<Hash>,
    pub(super) policy_tenant: Option<Hash>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            name: [0x4e; 32],
            scheme: SharedScheme::Ed25519,
            threshold: 2,
            numbers: vec![1, 2, 3],
            attempt: 1,
            approval_rule: None,
            policy_tenant: None,
        }
    }
}

impl Wish {
    pub(super) fn rule_name(&self) -> RuleName {
        RuleName { owner: ACCOUNT, name: self.name }
    }

    pub(super) fn plan(&self, phone: &Phone) -> GenerationPlan {
        GenerationPlan {
            name: self.rule_name(),
            scheme: self.scheme,
            circle: circle(self.threshold, &self.numbers),
            device: phone.device(),
            attempt: self.attempt,
        }
    }

    pub(super) fn generation(&self, phone: &Phone) -> Generation {
        let name = KeyName { chain_id: CHAIN, key: shared_rule(&self.rule_name()) };
        let roster = roster(phone, self.threshold, &self.numbers);
        Generation::new(name, self.scheme, roster, self.attempt)
    }

    /// The entry that fixes these openings.
    pub(super) fn opening(&self, world: &World, phone: &Phone, openings: Vec<Hash>) -> SharedAct {
        SharedAct::Open(Box::new(SharedOpening {
            name: self.rule_name(),
            scheme: self.scheme.scheme(),
            circle: circle(self.threshold, &self.numbers),
            attempt: self.attempt,
            lock_ms: LOCK_MS,
            device: phone.device(),
            expires_ms: world.chain().now_ms + 60 * MINUTE_MS,
            speakers: vec![Party::Credential(ACCOUNT)],
            openings,
        }))
    }

    /// The entry that binds the key.
    pub(super) fn binding(&self, key: &SharedKey, acknowledgements: Vec<[u8; 64]>) -> SharedAct {
        SharedAct::Bind(Box::new(SharedBinding {
            name: self.rule_name(),
            attempt: self.attempt,
            scheme: self.scheme.scheme(),
            public_key: key.public_key(&Tweak::None).unwrap().as_bytes().to_vec(),
            key_hash: key.hash(),
            approval_rule: self.approval_rule,
            policy_tenant: self.policy_tenant,
            acknowledgements,
        }))
    }
}

/// A shared key and the user's share of it.
pub(super) struct Made {
    pub(super) phone: Phone,
    pub(super) numbers: Vec<u8>,
    pub(super) key_id: KeyId,
    pub(super) key: SharedKey,
    pub(super) share: KeyShare,
}

/// How far a generation came, with what everybody sent.
pub(super) struct Dealt {
    pub(super) generation: Generation,
    pub(super) dealer: keyward_crypto::shared::Dealer,
    pub(super) openings: Vec<Vec<u8>>,
    pub(super) dealings: Vec<Vec<u8>>,
    /// Of schemes that have them, once everybody has agreed.
    pub(super) agreements: Vec<Vec<u8>>,
}

impl Dealt {
    pub(super) fn all(&self) -> Vec<Vec<u8>> {
        [&self.openings[..], &self.dealings, &self.agreements].concat()
    }

    /// The user's end of it.
    pub(super) fn finish(&mut self, phone: &Phone) -> keyward_crypto::shared::Dealt {
        let opened = self.generation.openings(&self.openings).unwrap();
        let (dealings, agreements) = (&self.dealings, &self.agreements);
        self.dealer.finish(&opened, dealings, agreements, &phone.sealing).unwrap()
    }
}

impl World {
    pub(super) fn record_shared(&self, act: SharedAct) -> (u64, Outcome) {
        self.record_act(Act::Shared(act), true)
    }

    pub(super) fn keepers_of<'a>(&'a self, numbers: &'a [u8]) -> impl Iterator<Item = &'a Keeper> {
        numbers.iter().map(|number| self.keeper(*number))
    }

    /// Everything of a generation up to the dealings.
    pub(super) async fn deal_key(&self, wish: &Wish, phone: &Phone) -> Dealt {
        let (plan, generation) = (wish.plan(phone), wish.generation(phone));
        let (opener, own) = generation.open(USER, |bytes| phone.sign(bytes)).unwrap();
        let mut openings = vec![own.encode()];
        for keeper in self.keepers_of(&wish.numbers) {
            openings.push(keeper.open_key(&caller(), &plan).await.unwrap().message);
        }
        let opened = generation.openings(&openings).unwrap();
        let hashes = opened.hashes().into_values().collect();
        assert_eq!(self.record_shared(wish.opening(self, phone, hashes)).1.name(), "ACCEPTED");
        let (dealer, own) = opener.deal(&opened, &phone.sealing, |bytes| phone.sign(bytes)).unwrap();
        let mut dealings = vec![own.encode()];
        for keeper in self.keepers_of(&wish.numbers) {
            dealings.push(keeper.deal_key(&plan, openings.clone()).await.unwrap().message);
        }
        Dealt { generation, dealer, openings, dealings, agreements: Vec::new() }
    }

    /// What everybody agrees on besides, where the scheme has it.
    pub(super) async fn agree_key(&self, wish: &Wish, phone: &Phone, run: &mut Dealt) {
        if !wish.scheme.answers() {
            return;
        }
        let (plan, opened) = (wish.plan(phone), run.generation.openings(&run.openings).unwrap());
        let own = run.dealer.agree(&opened, &run.dealings, |bytes| phone.sign(bytes)).unwrap();
        run.agreements.push(own.encode());
        let said = [&run.openings[..], &run.dealings].concat();
        for keeper in self.keepers_of(&wish.numbers) {
            run.agreements.push(keeper.agree_key(&plan, said.clone()).await.unwrap().message);
        }
    }

    /// A whole generation, with the entry that binds the key.
    pub(super) async fn make_key(&self, wish: &Wish) -> Made {
        let phone = Phone::new(0x21);
        let mut run = self.deal_key(wish, &phone).await;
        self.agree_key(wish, &phone, &mut run).await;
        let dealt = run.finish(&phone);
        let mut confirmations = vec![dealt.confirmation(|bytes| phone.sign(bytes)).encode()];
        let (plan, terms) = (wish.plan(&phone), [wish.approval_rule, wish.policy_tenant]);
        let mut acknowledgements = Vec::new();
        for keeper in self.keepers_of(&wish.numbers) {
            let answer = keeper.keep_key(&plan, run.all(), terms).await.unwrap();
            confirmations.push(answer.message);
            acknowledgements.push(answer.acknowledgement.unwrap());
        }
        let (share, key) = dealt.confirmed(&confirmations).unwrap();
        assert_eq!(self.record_shared(wish.binding(&key, acknowledgements)).1.name(), "ACCEPTED");
        let key_id = key.public_key(&Tweak::None).unwrap().id();
        Made { phone, numbers: wish.numbers.clone(), key_id, key, share }
    }

    pub(super) fn shared_state(&self, key_id: &KeyId) -> SharedKeyState {
        SharedKeyState::decode(&self.state(&shared_key_key(key_id)).unwrap()).unwrap()
    }

    /// Claims an intent in the service's batch, signed by the account.
    pub(super) fn claim(&self, intent: &SharedIntent) -> (u64, Outcome) {
        self.record_shared(SharedAct::Intent(Box::new(intent.clone())))
    }
}

/// One attempt at one signature, as far as the user goes.
pub(super) struct Try {
    pub(super) plan: SigningPlan,
    pub(super) signing: Signing,
    pub(super) nonces: Nonces,
    pub(super) boot: Boot,
    /// The device's commitment.
    pub(super) device: Vec<u8>,
}

impl Made {
    /// The plan of an attempt; `signers` are places.
    pub(super) fn plan(&self, intent: Hash, attempt: u32, signers: &[u8], message: &[u8]) -> SigningPlan {
        SigningPlan {
            key_id: self.key_id,
            intent,
            attempt,
            tweak: Tweak::None,
            signers: signers.to_vec(),
            message: message.to_vec(),
        }
    }

    pub(super) fn roster(&self) -> Roster {
        roster(&self.phone, self.key.holders().threshold(), &self.numbers)
    }

    /// Begins an attempt on the device.
    pub(super) fn begin(&self, plan: SigningPlan) -> Try {
        let boot = Boot::begin().unwrap();
        let crypto = Plan {
            intent: plan.intent,
            attempt: plan.attempt,
            keepers: plan.signers.clone(),
            message: plan.message.clone(),
            tweak: plan.tweak,
        };
        let signing = Signing::new(self.key.clone(), self.roster(), crypto).unwrap();
        let (nonces, device) = signing.commit(&self.share, &boot, |bytes| self.phone.sign(bytes)).unwrap();
        Try { plan, signing, nonces, boot, device: device.encode() }
    }

    pub(super) fn try_to(&self, intent: u8, attempt: u32, signers: &[u8], message: &[u8]) -> Try {
        self.begin(self.plan([intent; 32], attempt, signers, message))
    }

    /// The intent of a plan.
    pub(super) fn intent(&self, plan: &SigningPlan) -> SharedIntent {
        SharedIntent {
            id: plan.intent,
            key_id: plan.key_id,
            share_version: self.key.share_version(),
            executor: SERVICE,
            commitment: commitment(&OPENING, &self.payload_hash(&plan.message)),
            tweak: plan.tweak_on_ledger(),
            signers: plan.signers.clone(),
            policy: FLOOR.hash(),
            not_after: 50,
            case: None,
        }
    }

    pub(super) fn payload_hash(&self, message: &[u8]) -> Hash {
        match self.key.scheme() {
            SharedScheme::Ed25519 => sha256(&[message]),
            SharedScheme::Bip340 | SharedScheme::EcdsaSecp256k1 => message.try_into().unwrap(),
        }
    }

    /// What is shown of an opaque payload.
    pub(super) fn shown(&self, plan: &SigningPlan, leaf_index: u64) -> Disclosed {
        let payload = self.payload_hash(&plan.message).to_vec();
        Disclosed { leaf_index, payload, format: String::new(), opening: OPENING, policy: Vec::new() }
    }

    /// The keepers that sign, by their places.
    pub(super) fn signers<'a>(&'a self, world: &'a World, plan: &'a SigningPlan) -> Vec<&'a Keeper> {
        let number = |place: &u8| self.numbers[usize::from(*place) - 1];
        plan.signers.iter().map(|place| world.keeper(number(place))).collect()
    }

    /// First round: all commitments, the device's first.
    pub(super) async fn commitments(&self, world: &World, attempt: &Try) -> Vec<Vec<u8>> {
        let mut messages = vec![attempt.device.clone()];
        for keeper in self.signers(world, &attempt.plan) {
            messages.push(keeper.commit(&caller(), &attempt.plan, &attempt.device).await.unwrap().message);
        }
        messages
    }

    /// Between the rounds, where the scheme has it: all answers to commitments, the device's first.
    pub(super) async fn answers(
        &self,
        world: &World,
        attempt: Try,
        (messages, shown): (&[Vec<u8>], &Disclosed),
    ) -> Result<(Try, Vec<Vec<u8>>), SharedError> {
        let (attempt, own) = self.answer(attempt, messages);
        let mut answers = vec![own];
        for keeper in self.signers(world, &attempt.plan) {
            let answer = keeper.answer_commitments(&attempt.plan, shown, messages.to_vec()).await?;
            answers.push(answer.message);
        }
        Ok((attempt, answers))
    }

    /// The user's answer.
    pub(super) fn answer(&self, attempt: Try, messages: &[Vec<u8>]) -> (Try, Vec<u8>) {
        let package = attempt.signing.package(messages).unwrap();
        let Phone { sealing, .. } = &self.phone;
        let sign = |bytes: &[u8]| self.phone.sign(bytes);
        let answered = attempt.nonces.answer(&self.share, &attempt.boot, &package, sealing, sign);
        let (nonces, own) = answered.unwrap();
        (Try { nonces, ..attempt }, own.encode())
    }

    /// The user's end of it: its share, and the signature from all shares, which verifies.
    pub(super) fn finish(&self, attempt: Try, messages: &[Vec<u8>], shares: Vec<Vec<u8>>) -> Vec<u8> {
        self.finish_answered(attempt, [messages, &[]], shares)
    }

    pub(super) fn finish_answered(
        &self,
        attempt: Try,
        [messages, answers]: [&[Vec<u8>]; 2],
        shares: Vec<Vec<u8>>,
    ) -> Vec<u8> {
        let Try { signing, nonces, boot, .. } = attempt;
        let package: Package = signing.package(messages).unwrap();
        let sign = |bytes: &[u8]| self.phone.sign(bytes);
        let own = nonces.sign(&self.share, &boot, &package, answers, &self.phone.sealing, sign).unwrap();
        package.signature(&[vec![own.encode()], shares].concat()).unwrap()
    }

    /// A whole signature.
    pub(super) async fn sign(&self, world: &World, attempt: Try) -> Result<Vec<u8>, SharedError> {
        let messages = self.commitments(world, &attempt).await;
        let (leaf, outcome) = world.claim(&self.intent(&attempt.plan));
        assert_eq!(outcome.name(), "ACCEPTED");
        let shown = self.shown(&attempt.plan, leaf);
        let (attempt, answers) = match self.key.scheme().answers() {
            true => self.answers(world, attempt, (&messages, &shown)).await?,
            false => (attempt, Vec::new()),
        };
        let (said, mut shares) = ([&messages[..], &answers].concat(), Vec::new());
        for keeper in self.signers(world, &attempt.plan) {
            shares.push(keeper.cosign(&attempt.plan, &shown, said.clone()).await?.message);
        }
        Ok(self.finish_answered(attempt, [&messages, &answers], shares))
    }
}
