//! A keeper: the real cryptography, and what it keeps of it.

use std::collections::HashMap;
use std::sync::Mutex;

use keyward_crypto::shared::{
    Boot, Dealer, Generation, Holder, KeyName, KeyShare, Message, Nonces, Opener, Renewal, Repair, SharedKey,
    SharedScheme, Signing, SigningPlan, Tweak,
};
use keyward_crypto::vault::BoxKey;
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{Renewal as Kind, RuleName, SharedBinding, SharedRenewal};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::keeper::{Keeper as OnLedger, keeper_id};
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::shared::{Circle, Device, acknowledge, shared_rule};
use keyward_proto::custody::ask_co_signer_request::Request;
use keyward_proto::custody::*;

use super::World;

pub(crate) struct Keeper {
    pub(crate) name: String,
    pub(crate) signing: SigningKey,
    pub(crate) sealing: BoxKey,
    boot: Boot,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    opened: HashMap<Vec<u8>, (Opener, Message)>,
    dealing: HashMap<Vec<u8>, Dealer>,
    /// By key id; the newest last.
    shares: HashMap<Vec<u8>, Vec<(SharedKey, Vec<u8>)>>,
    nonces: HashMap<Hash, Nonces>,
    dealt: HashMap<u32, Message>,
}

fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap()
}

fn round(message: &Message, acknowledgement: &[u8]) -> Round {
    Round { message: message.encode().into(), acknowledgement: acknowledgement.to_vec().into() }
}

fn bytes(list: &[tonic::codegen::Bytes]) -> Vec<Vec<u8>> {
    list.iter().map(|bytes| bytes.to_vec()).collect()
}

fn device(holders: &SharedHolders) -> Device {
    let (signing_key, sealing_key) = (hash(&holders.device_signing_key), hash(&holders.device_sealing_key));
    Device { signing_key, sealing_key }
}

fn circle(holders: &SharedHolders) -> Circle {
    let keepers = holders.keepers.iter().map(|id| hash(id)).collect();
    Circle { threshold: holders.threshold as u8, keepers }
}

impl Keeper {
    pub(crate) fn new(number: u8) -> Self {
        Self {
            name: format!("keeper-{number}"),
            signing: SigningKey::from_seed(&[0xa0 + number; 32]),
            sealing: BoxKey::from_secret(&[0x10 + number; 32]).unwrap(),
            boot: Boot::begin().unwrap(),
            kept: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> Hash {
        keeper_id(&self.name)
    }

    pub(crate) fn holder(&self) -> Holder {
        Holder { id: self.id(), signing_key: self.signing.public_key(), sealing_key: self.sealing.public() }
    }

    pub(crate) fn on_ledger(&self) -> OnLedger {
        OnLedger {
            name: self.name.clone(),
            key: self.signing.public_key(),
            hpke_key: self.sealing.public(),
            validator: None,
            rpc: "https://keeper.example:7600".into(),
        }
    }

    /// Loses everything, as with a new disk.
    pub(crate) fn forget(&self) {
        *self.kept.lock().unwrap() = Kept::default();
    }

    /// Its oblivious transfers with the user are others than the user's from now on: whoever multiplies with it sees a cheat.
    pub(crate) fn cheats(&self, key_id: &[u8]) {
        let mut kept = self.kept.lock().unwrap();
        let (_, share) = kept.shares.get_mut(key_id).unwrap().last_mut().unwrap();
        // The newest share ends with the seeds that it shares with the user's last party.
        share.iter_mut().rev().step_by(32).take(200).for_each(|byte| *byte ^= 1);
    }

    fn sign(&self) -> impl FnOnce(&[u8]) -> [u8; 64] {
        |message: &[u8]| self.signing.sign(message)
    }

    /// The newest share of a version, with its key: of renewals that came to nothing there may be older ones.
    pub(crate) fn share(&self, key_id: &[u8], version: u32) -> Option<(SharedKey, KeyShare)> {
        let kept = self.kept.lock().unwrap();
        let (key, share) =
            kept.shares.get(key_id)?.iter().rev().find(|(key, _)| key.share_version() == version)?;
        Some((key.clone(), KeyShare::from_secret(share, key).unwrap()))
    }

    fn keep(&self, key: &SharedKey, share: &KeyShare) {
        let id = key.public_key(&Tweak::None).unwrap().id().0.to_vec();
        let share = share.to_secret().expose(<[u8]>::to_vec);
        self.kept.lock().unwrap().shares.entry(id).or_default().push((key.clone(), share));
    }

    fn generation(world: &World, plan: &GenerationPlan) -> Generation {
        let (holders, owner) = (plan.holders.as_ref().unwrap(), hash(&plan.account));
        let circle = circle(holders);
        let roster = world.roster(owner, &device(holders), &circle.keepers, circle.threshold);
        let rule = shared_rule(&RuleName { owner, name: hash(&plan.name) });
        let name = KeyName { chain_id: world.chain.lock().unwrap().chain_id(), key: rule };
        let scheme = SharedScheme::of(Scheme::from_name(&plan.scheme).unwrap()).unwrap();
        Generation::new(name, scheme, roster, plan.attempt)
    }

    fn place(&self, keepers: &[tonic::codegen::Bytes]) -> u8 {
        keepers.iter().position(|id| id.as_ref() == self.id()).unwrap() as u8 + 1
    }

    pub(crate) fn answer(&self, world: &World, request: Request) -> Option<Round> {
        Some(match request {
            Request::OpenKey(OpenKeyRequest { plan }) => {
                let plan = plan.unwrap();
                let place = self.place(&plan.holders.as_ref().unwrap().keepers);
                let (opener, message) = Self::generation(world, &plan).open(place, self.sign()).unwrap();
                let answer = round(&message, &[]);
                self.kept.lock().unwrap().opened.insert(plan.name.to_vec(), (opener, message));
                answer
            }
            Request::DealKey(DealKeyRequest { plan, messages }) => {
                let plan = plan.unwrap();
                let openings = Self::generation(world, &plan).openings(&bytes(&messages)).unwrap();
                let (opener, _) = self.kept.lock().unwrap().opened.remove(plan.name.as_ref())?;
                let (dealer, message) = opener.deal(&openings, &self.sealing, self.sign()).unwrap();
                self.kept.lock().unwrap().dealing.insert(plan.name.to_vec(), dealer);
                round(&message, &[])
            }
            Request::AgreeKey(AgreeKeyRequest { plan, messages }) => {
                let (plan, messages) = (plan.unwrap(), bytes(&messages));
                let (openings, dealings) = messages.split_at(messages.len() / 2);
                let openings = Self::generation(world, &plan).openings(openings).unwrap();
                let mut kept = self.kept.lock().unwrap();
                let dealer = kept.dealing.get_mut(plan.name.as_ref())?;
                round(&dealer.agree(&openings, dealings, self.sign()).unwrap(), &[])
            }
            Request::KeepKey(request) => self.keep_key(world, request)?,
            Request::RedealKey(RedealKeyRequest { plan, .. }) => {
                let plan = plan.unwrap();
                let (renewal, share) = self.renewal(world, &plan, None)?;
                let message = renewal.deal(&share?, self.sign()).unwrap();
                let answer = round(&message, &[]);
                self.kept.lock().unwrap().dealt.insert(plan.attempt, message);
                answer
            }
            Request::KeepRenewedKey(request) => self.keep_renewed(world, request)?,
            Request::AskRepair(AskRepairRequest { plan, .. }) => {
                let (repair, _) = self.repair(world, &plan.unwrap());
                round(&repair.request(self.sign()), &[])
            }
            Request::SplitShare(SplitShareRequest { plan, request, .. }) => {
                let plan = plan.unwrap();
                let (repair, share) = self.repair(world, &plan);
                let message = repair.split(&share?, &request, self.sign()).unwrap();
                let answer = round(&message, &[]);
                self.kept.lock().unwrap().dealt.insert(plan.attempt, message);
                answer
            }
            Request::SumShare(SumShareRequest { plan, messages }) => {
                let plan = plan.unwrap();
                let columns = self.repair(world, &plan).0.columns(&bytes(&messages)).unwrap();
                let own = self.kept.lock().unwrap().dealt.remove(&plan.attempt)?;
                round(&columns.add(&own, &self.sealing, self.sign()).unwrap(), &[])
            }
            Request::KeepRepairedShare(KeepRepairedShareRequest { plan, splits, sums, .. }) => {
                let columns = self.repair(world, &plan.unwrap()).0.columns(&bytes(&splits)).unwrap();
                let share = columns.finish(&bytes(&sums), &self.sealing).unwrap();
                self.keep(&world.key(), &share);
                Round::default()
            }
            Request::ShowShare(_) => return None,
        })
    }

    fn keep_key(&self, world: &World, request: KeepKeyRequest) -> Option<Round> {
        let plan = request.plan.unwrap();
        let holders = plan.holders.as_ref().unwrap();
        let generation = Self::generation(world, &plan);
        let messages = bytes(&request.messages);
        let (openings, rest) = messages.split_at(holders.keepers.len() + 1);
        let (dealings, agreements) = rest.split_at(holders.keepers.len() + 1);
        let openings = generation.openings(openings).unwrap();
        let mut dealer = self.kept.lock().unwrap().dealing.remove(plan.name.as_ref())?;
        let dealt = dealer.finish(&openings, dealings, agreements, &self.sealing).unwrap();
        self.keep(dealt.key(), dealt.share());
        let rule = |bytes: &[u8]| (!bytes.is_empty()).then(|| hash(bytes));
        let binding = SharedBinding {
            name: RuleName { owner: hash(&plan.account), name: hash(&plan.name) },
            attempt: plan.attempt,
            scheme: Scheme::from_name(&plan.scheme).unwrap(),
            public_key: dealt.key().public_key(&Tweak::None).unwrap().as_bytes().to_vec(),
            key_hash: dealt.key().hash(),
            approval_rule: rule(&request.approval_rule),
            policy_tenant: rule(&request.policy_tenant),
            acknowledgements: Vec::new(),
        };
        let chain_id = world.chain.lock().unwrap().chain_id();
        let record = binding.record_hash(&circle(holders));
        let signature = acknowledge(&self.signing, &chain_id, &record, self.place(&holders.keepers));
        Some(round(&dealt.confirmation(self.sign()), &signature))
    }

    fn renewal(
        &self,
        world: &World,
        plan: &RenewalPlan,
        key: Option<&[u8]>,
    ) -> Option<(Renewal, Option<KeyShare>)> {
        let (state, holders) = (world.state(), plan.holders.as_ref().unwrap());
        let key = key.map_or_else(|| world.key(), |key| SharedKey::decode(key).unwrap());
        let circle = circle(holders);
        let to = world.roster(state.name.owner, &device(holders), &circle.keepers, circle.threshold);
        let dealers: Vec<u8> = plan.dealers.iter().map(|place| *place as u8).collect();
        let share = self.share(&plan.key_id, key.share_version()).map(|(_, share)| share);
        let renewal = Renewal::new(key, world.roster_now(&state), to, &dealers, plan.attempt).unwrap();
        Some((renewal, share))
    }

    fn keep_renewed(&self, world: &World, request: KeepRenewedKeyRequest) -> Option<Round> {
        let plan = request.plan.unwrap();
        let holders = plan.holders.as_ref().unwrap();
        let (renewal, _) = self.renewal(world, &plan, Some(&request.key))?;
        let renewed = renewal.agree(&bytes(&request.messages)).unwrap();
        let own = self.kept.lock().unwrap().dealt.get(&plan.attempt).cloned();
        let place = self.place(&holders.keepers);
        let dealt = renewed.receive(place, own.as_ref(), &self.sealing).unwrap();
        self.keep(dealt.key(), dealt.share());
        let record = SharedRenewal {
            key_id: KeyId(hash(&plan.key_id)),
            share_version: dealt.key().share_version(),
            renewal: Kind::Renew,
            circle: circle(holders),
            device: device(holders),
            key_hash: dealt.key().hash(),
            expires_ms: request.expires_ms,
            acknowledgements: Vec::new(),
        };
        let chain_id = world.chain.lock().unwrap().chain_id();
        let signature = acknowledge(&self.signing, &chain_id, &record.record_hash(), place);
        Some(round(&dealt.confirmation(self.sign()), &signature))
    }

    fn repair(&self, world: &World, plan: &RepairPlan) -> (Repair, Option<KeyShare>) {
        let (state, key) = (world.state(), world.key());
        let helpers: Vec<u8> = plan.helpers.iter().map(|place| *place as u8).collect();
        let share = self.share(&plan.key_id, key.share_version()).map(|(_, share)| share);
        let roster = world.roster_now(&state);
        (Repair::new(key, roster, plan.lost as u8, &helpers, plan.attempt).unwrap(), share)
    }

    /// First round of a signature.
    pub(crate) fn commit(&self, key_id: &[u8], signing: &Signing, version: u32) -> Option<Vec<u8>> {
        let (_, share) = self.share(key_id, version)?;
        let (nonces, message) = signing.commit(&share, &self.boot, self.sign()).unwrap();
        self.kept.lock().unwrap().nonces.insert(*signing.id(), nonces);
        Some(message.encode())
    }

    /// The round between, of threshold ECDSA.
    pub(crate) fn answer_commitments(
        &self,
        key_id: &[u8],
        signing: &Signing,
        version: u32,
        commitments: &[Vec<u8>],
    ) -> Option<Vec<u8>> {
        let (_, share) = self.share(key_id, version)?;
        let nonces = self.kept.lock().unwrap().nonces.remove(signing.id())?;
        let package = signing.package(commitments).unwrap();
        let answered = nonces.answer(&share, &self.boot, &package, &self.sealing, self.sign());
        let (nonces, message) = answered.ok()?;
        self.kept.lock().unwrap().nonces.insert(*signing.id(), nonces);
        Some(message.encode())
    }

    /// Last round: once.
    pub(crate) fn co_sign(
        &self,
        key_id: &[u8],
        signing: &Signing,
        version: u32,
        [commitments, answers]: [&[Vec<u8>]; 2],
    ) -> Option<Vec<u8>> {
        let (_, share) = self.share(key_id, version)?;
        let nonces = self.kept.lock().unwrap().nonces.remove(signing.id())?;
        let package = signing.package(commitments).unwrap();
        let signed = nonces.sign(&share, &self.boot, &package, answers, &self.sealing, self.sign());
        Some(signed.ok()?.encode())
    }
}

/// What is signed, as the service and keepers know it.
pub(crate) fn signing(world: &World, plan: SigningPlan) -> Signing {
    Signing::new(world.key(), world.roster_now(&world.state()), plan).unwrap()
}
