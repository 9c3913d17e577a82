//! Making a shared key: every holder commits, the ledger records the commitments, all deal (of threshold ECDSA all agree on what
//! they multiply with), all keep their shares and say so, the ledger binds the key.
//!
//! Nothing counts before the last entry, and the share is on the device before that is handed in. A making that was cut off
//! before is begun anew under another name; one that was cut off after it is taken up again.

use keyward_crypto::SharePart;
use keyward_crypto::Waiting;
use keyward_crypto::shared::{
    Dealer, Dealt, Generation, KeyName, KeyShare, Openings, Roster, SharedKey, SharedScheme, Tweak, USER,
};
use keyward_domain::scheme::{KeyId, Scheme};
use keyward_ledger_core::ed25519;
use keyward_ledger_core::entry::{Entry, RuleName, SharedAct, SharedBinding, SharedOpening};
use keyward_ledger_core::shared::{Circle, acknowledgement_message, shared_rule};
use keyward_ledger_core::state::shared::{SharedNameState, shared_run_key};
use keyward_proto::custody::ask_co_signer_request::Request;
use keyward_proto::custody::show_shared_key_request::Which;
use keyward_proto::custody::{
    AgreeKeyRequest, BindSharedKeyRequest, DealKeyRequest, GenerationPlan, KeepKeyRequest, OpenKeyRequest,
    Round, SharedEntryRequest, SharedHolders, ShowSharedKeyRequest,
};
use tonic::codegen::Bytes;

use super::ask::placed;
use super::entry::signed;
use super::error::{SharedError, SharedFault, SharedFaultCause, named};
use super::part::{device_of, keep_only, keep_share, signer};
use super::status::{holder, user};
use super::{SharedProgress, SharedStep};
use crate::client::Client;
use crate::device::{DeviceKeys, KeptPart};
use crate::evidence::EvidenceError;
use crate::keys::KeyWithReceipt;
use crate::person::Login;
use crate::vault::entry::random32;
use crate::vault::keepers::Keepers;
use crate::vault::proof::View;
use crate::vault::{KeeperChoice, LedgerKeeper};

const MAKING: &str = "the making of the key";
/// Every making has a name of its own, and so is the first one under it.
const ATTEMPT: u32 = 1;
/// How long a key may be bound after its opening, in milliseconds of ledger time.
const BOUND_WITHIN_MS: u64 = 60 * 60 * 1_000;

/// What a shared key is to be.
#[derive(Clone, Debug)]
pub struct SharedOrder {
    /// What to call it.
    pub alias: String,
    /// Ed25519, BIP340, or ECDSA on secp256k1.
    pub scheme: Scheme,
    /// That the scheme's protocol may be an experimental one: threshold ECDSA's is. No vault takes such a share and nothing of it
    /// is dealt anew, so the key is lost with the device.
    pub experimental: bool,
    /// How many keepers sign with the person, at least 2.
    pub threshold: u8,
    /// Who holds shares beside the person.
    pub keepers: KeeperChoice,
    /// The approval rule under which alone it signs.
    pub approval_rule: Option<[u8; 32]>,
    /// The tenant whose policies keepers evaluate.
    pub policy_tenant: Option<[u8; 32]>,
    /// How long another device waits before it speaks for the key, in milliseconds; 366 days at most.
    pub lock_ms: u64,
}

/// A making under way.
struct Making<'a> {
    view: &'a View,
    order: &'a SharedOrder,
    login: &'a Login,
    keepers: Vec<LedgerKeeper>,
    name: RuleName,
    circle: Circle,
    part: SharePart,
    roster: Roster,
    height: u64,
    time_ms: u64,
}

/// What has been said in a making so far.
struct Run {
    plan: GenerationPlan,
    openings: Openings,
    messages: Vec<Vec<u8>>,
}

impl Client {
    /// Makes a key that the login's account shares with keepers, and binds it. The client is in the login's session.
    pub async fn create_shared_key(
        &self,
        order: &SharedOrder,
        login: &Login,
        device: &DeviceKeys,
        progress: SharedProgress<'_>,
    ) -> Result<KeyWithReceipt, SharedError> {
        let view = self.view()?;
        if login.session.account != view.account {
            return Err(SharedError::OtherAccount);
        }
        let scheme =
            SharedScheme::of(order.scheme).ok_or(SharedError::Scheme { scheme: order.scheme.name() })?;
        if scheme.is_experimental() && !order.experimental {
            return Err(SharedError::Experimental { scheme: order.scheme.name() });
        }
        progress(SharedStep::Proving);
        if let Some(made) = self.take_up(&view, order, login, device).await? {
            return Ok(made);
        }
        if self.show_key(&order.alias).await.is_ok() {
            return Err(SharedError::AliasTaken { alias: order.alias.clone() });
        }
        let known = self.keepers_of(&view).await?;
        let making = Making::begin(&view, order, login, known)?;
        self.make(making, scheme, device, progress).await
    }

    async fn make(
        &self,
        mut making: Making<'_>,
        scheme: SharedScheme,
        device: &DeviceKeys,
        progress: SharedProgress<'_>,
    ) -> Result<KeyWithReceipt, SharedError> {
        let name = KeyName { chain_id: making.view.chain_id(), key: shared_rule(&making.name) };
        let generation = Generation::new(name, scheme, making.roster.clone(), ATTEMPT);
        let plan = making.plan();
        progress(SharedStep::Opening);
        let (opener, own) = generation.open(USER, signer(&making.part.signing))?;
        let ask = |_| Request::OpenKey(OpenKeyRequest { plan: Some(plan.clone()) });
        let opened = self.ask_all(&placed(&making.keepers), ask).await?;
        let shown = with_own(own.encode(), &opened);
        let openings = generation.openings(&shown).map_err(|error| making.blamed(error))?;
        progress(SharedStep::Recording);
        let expires_ms = self.record_opening(&making, &openings).await?;

        progress(SharedStep::Dealing);
        let (mut dealer, own) = opener.deal(&openings, &making.part.sealing, signer(&making.part.signing))?;
        let deal = DealKeyRequest { plan: Some(plan.clone()), messages: bytes(&shown) };
        let ask = |_| Request::DealKey(deal.clone());
        let dealt = self.ask_all(&placed(&making.keepers), ask).await?;
        let dealings = with_own(own.encode(), &dealt);
        let mut run = Run { plan, openings, messages: [shown, dealings.clone()].concat() };
        let agreements = self.agree(&making, &mut dealer, &run, &dealings, progress).await?;
        let dealt = dealer.finish(&run.openings, &dealings, &agreements, &making.part.sealing);
        let dealt = dealt.map_err(|error| making.blamed(error))?;
        run.messages.extend(agreements);

        progress(SharedStep::Confirming);
        let kept = KeptPart { name: making.name.name, alias: making.order.alias.clone() };
        keep_share(&mut making.part, dealt.share(), expires_ms, None)?;
        // As long as nothing is signed that binds the key, nothing is lost with it.
        making.part.waiting = Some(Waiting { entry: Vec::new(), key: Vec::new(), expires_ms });
        device.put_part(&kept, &making.part, &making.login.export_key)?;
        let (key, acknowledgements) = self.confirm(&making, run, dealt).await?;

        progress(SharedStep::Recording);
        let entry = making.binding(&key, acknowledgements)?;
        making.part.waiting = Some(Waiting { entry: entry.encode(), key: key.encode(), expires_ms });
        device.put_part(&kept, &making.part, &making.login.export_key)?;
        let made = self.bind(making.view, &entry, &key, &kept.alias).await?;
        settle(device, making.login, &kept, making.part, &key)?;
        Ok(made)
    }

    /// Records what everybody opened with; gives until when the key may be bound.
    async fn record_opening(&self, making: &Making<'_>, openings: &Openings) -> Result<u64, SharedError> {
        let expires_ms = making.time_ms.saturating_add(BOUND_WITHIN_MS);
        let opening = SharedOpening {
            name: making.name,
            scheme: making.order.scheme,
            circle: making.circle.clone(),
            attempt: ATTEMPT,
            lock_ms: making.order.lock_ms,
            device: device_of(&making.part),
            expires_ms,
            speakers: vec![making.login.party()],
            openings: openings.hashes().into_values().collect(),
        };
        let act = SharedAct::Open(Box::new(opening));
        let entry = signed(making.view, act, making.login, making.height)?;
        let call = |entry, idempotency_key, left| async move {
            let message = SharedEntryRequest { entry, idempotency_key };
            self.answer(self.shared().open(self.request_within(message, left)).await)
        };
        self.hand_in_shared(making.view, &entry, call, |answer| answer.receipt.to_vec()).await?;
        Ok(expires_ms)
    }

    /// Where the scheme's holders agree on something before they keep their shares: everybody's word on it, the own one first.
    async fn agree(
        &self,
        making: &Making<'_>,
        dealer: &mut Dealer,
        run: &Run,
        dealings: &[Vec<u8>],
        progress: SharedProgress<'_>,
    ) -> Result<Vec<Vec<u8>>, SharedError> {
        if !SharedScheme::of(making.order.scheme).is_some_and(SharedScheme::answers) {
            return Ok(Vec::new());
        }
        progress(SharedStep::Agreeing);
        let own = dealer.agree(&run.openings, dealings, signer(&making.part.signing));
        let own = own.map_err(|error| making.blamed(error))?;
        let agree = AgreeKeyRequest { plan: Some(run.plan.clone()), messages: bytes(&run.messages) };
        let rounds = self.ask_all(&placed(&making.keepers), |_| Request::AgreeKey(agree.clone())).await?;
        Ok(with_own(own.encode(), &rounds))
    }

    /// Every keeper keeps its share; gives the key that all have confirmed, and what they acknowledge it with.
    async fn confirm(
        &self,
        making: &Making<'_>,
        run: Run,
        dealt: Dealt,
    ) -> Result<(SharedKey, Vec<[u8; 64]>), SharedError> {
        let own = dealt.confirmation(signer(&making.part.signing));
        let keep = KeepKeyRequest {
            plan: Some(run.plan),
            messages: bytes(&run.messages),
            approval_rule: optional(making.order.approval_rule.as_ref()),
            policy_tenant: optional(making.order.policy_tenant.as_ref()),
        };
        let ask = |_| Request::KeepKey(keep.clone());
        let rounds = self.ask_all(&placed(&making.keepers), ask).await?;
        let confirmations = with_own(own.encode(), &rounds);
        let (_share, key): (KeyShare, _) =
            dealt.confirmed(&confirmations).map_err(|error| making.blamed(error))?;
        let hash = making.body(&key, Vec::new())?.record_hash(&making.circle);
        let chain_id = making.view.chain_id();
        Ok((key, acknowledgements(&chain_id, &hash, &making.keepers, &rounds)?))
    }

    async fn bind(
        &self,
        view: &View,
        entry: &Entry,
        key: &SharedKey,
        alias: &str,
    ) -> Result<KeyWithReceipt, SharedError> {
        let shared_key = Bytes::from(key.encode());
        let call = |entry, idempotency_key, left| {
            let message = BindSharedKeyRequest {
                entry,
                shared_key: shared_key.clone(),
                alias: alias.to_owned(),
                idempotency_key,
            };
            async move { self.answer(self.shared().bind(self.request_within(message, left)).await) }
        };
        let (_, answer) = self.hand_in_shared(view, entry, call, |answer| answer.receipt.to_vec()).await?;
        let bound = KeyWithReceipt::of(answer)?;
        if bound.key.key_id.as_ref() != key_id(key)?.as_bytes() {
            return Err(EvidenceError::Substituted("another key than the one that was bound").into());
        }
        Ok(bound)
    }

    /// Hands in once more what was under way when a making of this alias was cut off. Of a making that never came so far there
    /// is nothing to keep.
    async fn take_up(
        &self,
        view: &View,
        order: &SharedOrder,
        login: &Login,
        device: &DeviceKeys,
    ) -> Result<Option<KeyWithReceipt>, SharedError> {
        for kept in device.parts()?.into_iter().filter(|kept| kept.alias == order.alias) {
            let (kept, part) = device.load_part(&kept.name, &login.export_key)?;
            let Some(waiting) = part.waiting.clone() else { continue };
            if waiting.entry.is_empty() {
                device.remove_part(&kept.name)?;
                continue;
            }
            let (Ok(entry), Ok(key)) = (Entry::decode(&waiting.entry), SharedKey::decode(&waiting.key))
            else {
                continue;
            };
            match self.bind(view, &entry, &key, &kept.alias).await {
                Ok(made) => {
                    settle(device, login, &kept, part, &key)?;
                    return Ok(Some(made));
                }
                Err(error) => match self.fate(view, &kept.name, &waiting, &key).await? {
                    Fate::Bound => {
                        settle(device, login, &kept, part, &key)?;
                        return Err(error);
                    }
                    Fate::Never => device.remove_part(&kept.name)?,
                    // Somebody may hold the entry back: its share stays.
                    Fate::Open if matches!(&error, SharedError::Evidence(error) if error.is_refusal()) => {}
                    Fate::Open => return Err(error),
                },
            }
        }
        Ok(None)
    }
}

/// What became of a making, as the ledger proves it of its name.
enum Fate {
    /// This key was bound.
    Bound,
    /// It can still be.
    Open,
    /// Its time is over, and nothing was bound.
    Never,
}

impl Client {
    /// Nobody's bare word takes away a share: what became of it is read from the proven state of the key's name.
    async fn fate(
        &self,
        view: &View,
        name: &[u8; 32],
        waiting: &Waiting,
        key: &SharedKey,
    ) -> Result<Fate, SharedError> {
        let which = Some(Which::Name(name.to_vec().into()));
        let shown = self.answer(self.shared().show(self.request(ShowSharedKeyRequest { which })).await)?;
        let rule = shared_rule(&RuleName { owner: view.account, name: *name });
        let proven = view.state(MAKING, &shared_run_key(&rule), &shown.run, 0)?;
        let state = proven.value.map(|value| SharedNameState::decode(&value)).transpose();
        match state.map_err(EvidenceError::malformed(MAKING))? {
            Some(SharedNameState::Bound(bound)) if bound == key_id(key)? => Ok(Fate::Bound),
            Some(SharedNameState::Bound(_)) => {
                Err(EvidenceError::Substituted("another key under the name of this one").into())
            }
            _ if proven.time_ms > waiting.expires_ms => Ok(Fate::Never),
            _ => Ok(Fate::Open),
        }
    }
}

/// The key is bound: nothing waits any more.
fn settle(
    device: &DeviceKeys,
    login: &Login,
    kept: &KeptPart,
    mut part: SharePart,
    key: &SharedKey,
) -> Result<(), SharedError> {
    part.waiting = None;
    keep_only(&mut part, key);
    Ok(device.put_part(kept, &part, &login.export_key)?)
}

impl<'a> Making<'a> {
    fn begin(
        view: &'a View,
        order: &'a SharedOrder,
        login: &'a Login,
        known: Keepers,
    ) -> Result<Self, SharedError> {
        let (height, time_ms) = (known.height, known.time_ms);
        let keepers = choose(known.list, &order.keepers, order.threshold)?;
        let part = SharePart::generate().map_err(crate::device::DeviceError::Seal)?;
        let own = user(view.account, &device_of(&part));
        let roster = Roster::new(own, keepers.iter().map(holder).collect(), order.threshold)?;
        let circle =
            Circle { threshold: order.threshold, keepers: keepers.iter().map(|keeper| keeper.id).collect() };
        let name = RuleName { owner: view.account, name: random32()? };
        Ok(Self { view, order, login, keepers, name, circle, part, roster, height, time_ms })
    }

    fn plan(&self) -> GenerationPlan {
        GenerationPlan {
            account: self.name.owner.to_vec().into(),
            name: self.name.name.to_vec().into(),
            scheme: self.order.scheme.name().to_owned(),
            holders: Some(holders(&self.circle, &self.part)),
            attempt: ATTEMPT,
        }
    }

    fn body(&self, key: &SharedKey, acknowledgements: Vec<[u8; 64]>) -> Result<SharedBinding, SharedError> {
        Ok(SharedBinding {
            name: self.name,
            attempt: ATTEMPT,
            scheme: self.order.scheme,
            public_key: key.public_key(&Tweak::None)?.as_bytes().to_vec(),
            key_hash: key.hash(),
            approval_rule: self.order.approval_rule,
            policy_tenant: self.order.policy_tenant,
            acknowledgements,
        })
    }

    fn binding(&self, key: &SharedKey, acknowledgements: Vec<[u8; 64]>) -> Result<Entry, SharedError> {
        let act = SharedAct::Bind(Box::new(self.body(key, acknowledgements)?));
        signed(self.view, act, self.login, self.height)
    }

    fn blamed(&self, error: keyward_crypto::shared::RunError) -> SharedError {
        blamed(&self.keepers, error)
    }
}

/// Names the keeper whose message does not hold, where somebody is named.
pub(super) fn blamed(keepers: &[LedgerKeeper], error: keyward_crypto::shared::RunError) -> SharedError {
    let place = named(&error).filter(|&place| place != USER);
    let keeper = place.and_then(|place| keepers.get(usize::from(place) - 1));
    match (place, keeper) {
        (Some(place), Some(keeper)) => {
            let (keeper, cause) = (keeper.name.clone(), SharedFaultCause::Run(error));
            SharedError::Faults { faults: vec![SharedFault { place, keeper, cause }] }
        }
        _ => SharedError::Run(error),
    }
}

/// Each keeper's signature over its share of what is recorded, in their order.
pub(super) fn acknowledgements(
    chain_id: &[u8; 32],
    record: &[u8; 32],
    keepers: &[LedgerKeeper],
    rounds: &[Round],
) -> Result<Vec<[u8; 64]>, SharedError> {
    let (mut given, mut faults) = (Vec::new(), Vec::new());
    for ((place, keeper), round) in (1..).zip(keepers).zip(rounds) {
        let message = acknowledgement_message(chain_id, record, place);
        let signature = <[u8; 64]>::try_from(round.acknowledgement.as_ref()).ok();
        match signature.filter(|signature| ed25519::verify(&keeper.key, &message, signature).is_ok()) {
            Some(signature) => given.push(signature),
            None => faults.push(SharedFault {
                place,
                keeper: keeper.name.clone(),
                cause: SharedFaultCause::Acknowledgement,
            }),
        }
    }
    if faults.is_empty() { Ok(given) } else { Err(SharedError::Faults { faults }) }
}

/// The keepers that are to hold shares, each once.
pub(super) fn choose(
    known: Vec<LedgerKeeper>,
    choice: &KeeperChoice,
    threshold: u8,
) -> Result<Vec<LedgerKeeper>, SharedError> {
    let count = known.len();
    let (chosen, wanted): (Vec<LedgerKeeper>, usize) = match choice {
        KeeperChoice::Any(wanted) => {
            let mut drawn = known
                .into_iter()
                .map(|keeper| Ok((random32()?, keeper)))
                .collect::<Result<Vec<_>, SharedError>>()?;
            drawn.sort_by_key(|(lot, _)| *lot);
            (drawn.into_iter().map(|(_, keeper)| keeper).take(*wanted).collect(), *wanted)
        }
        KeeperChoice::Named(names) => {
            let find = |name: &String| known.iter().find(|keeper| keeper.name == *name).cloned();
            let unknown = |name: &String| SharedError::KeeperUnknown { name: name.clone() };
            let found = names.iter().map(|name| find(name).ok_or_else(|| unknown(name)));
            (found.collect::<Result<_, _>>()?, names.len())
        }
    };
    if chosen.len() != wanted || threshold < 2 || usize::from(threshold) > wanted {
        return Err(SharedError::Choice { threshold, keepers: wanted, known: count });
    }
    Ok(chosen)
}

pub(super) fn holders(circle: &Circle, part: &SharePart) -> SharedHolders {
    let device = device_of(part);
    SharedHolders {
        threshold: circle.threshold.into(),
        device_signing_key: device.signing_key.to_vec().into(),
        device_sealing_key: device.sealing_key.to_vec().into(),
        keepers: circle.keepers.iter().map(|keeper| keeper.to_vec().into()).collect(),
    }
}

/// The own message first, then the keepers'.
pub(super) fn with_own(own: Vec<u8>, rounds: &[Round]) -> Vec<Vec<u8>> {
    std::iter::once(own).chain(rounds.iter().map(|round| round.message.to_vec())).collect()
}

fn bytes(messages: &[Vec<u8>]) -> Vec<Bytes> {
    messages.iter().map(|message| Bytes::copy_from_slice(message)).collect()
}

fn optional(value: Option<&[u8; 32]>) -> Bytes {
    value.map(|value| Bytes::copy_from_slice(value)).unwrap_or_default()
}

fn key_id(key: &SharedKey) -> Result<KeyId, SharedError> {
    Ok(key.public_key(&Tweak::None)?.id())
}
