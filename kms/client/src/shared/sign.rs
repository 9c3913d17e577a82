//! Signing: this side and t keepers together, in two calls; of threshold ECDSA in three.
//!
//! The nonces of an attempt are made for exactly one message, tweak, set of signers and intent, stand in this process's memory
//! and are used up by the share that they make. A keeper that is silent or wrong is left out of the next attempt, as long as
//! enough others are there; an intent that has used up an approval keeps its signers, and is tried again with them.
//! A service that says that somebody failed although nobody did gets more than one signature of the same message, and none of
//! another.
//!
//! Who spoils what is multiplied with in threshold ECDSA may learn of the share from how this side goes on. So it is noted on the
//! device before anything else is said or done, and the share is never used with that holder again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyward_crypto::shared::{
    Boot, Judged, KeyShare, Nonces, Package, Roster, RunError, Signing, SigningPlan, Tweak,
};
use keyward_crypto::vault::BoxKey;
use keyward_crypto::{SigningKey, signature_der};
use keyward_domain::scheme::{PublicKey, Scheme, verify, verify_digest};
use keyward_ledger_core::entry::{Entry, SharedAct, SharedIntent, Tweak as OnLedger};
use keyward_ledger_core::hash::commitment;
use keyward_proto::custody::answer_shared_response::Result as Answered;
use keyward_proto::custody::begin_shared_response::Result as Begun;
use keyward_proto::custody::finish_shared_response::Result as Finished;
use keyward_proto::custody::{
    AnswerSharedRequest, BeginSharedRequest, FinishSharedRequest, SharedBegun, SignResponse,
};
use tonic::codegen::Bytes;

use super::ask::placed;
use super::entry::signed;
use super::error::{SharedError, SharedFault};
use super::faults::Halt;
use super::order::SharedSignOrder;
use super::part::{open, signer};
use super::status::SharedStatus;
use crate::client::{Client, bytes32};
use crate::device::DeviceKeys;
use crate::error::ClientError;
use crate::evidence::EvidenceError;
use crate::person::Login;
use crate::sign::Signature;
use crate::vault::entry::random32;
use crate::vault::proof::View;

/// How many blocks an intent lives: what the ledger allows, less what the height that this side knows may be old.
const INTENT_BLOCKS: u64 = 2_048;
/// How long a height is good for: far less than an intent lives.
const HEIGHT_AGE_MAX: Duration = Duration::from_secs(60);
/// How often one order is attempted.
const ATTEMPTS_MAX: u32 = 6;

/// A person's part in a shared key, opened for signing. Its nonces live and end with it.
pub struct SharedSigner {
    client: Client,
    login: Login,
    view: View,
    pub(super) status: SharedStatus,
    roster: Roster,
    signing: SigningKey,
    sealing: BoxKey,
    share: KeyShare,
    boot: Boot,
    pub(super) device: DeviceKeys,
    /// Whom this signer has had to ban, noted on the device or not.
    pub(super) banned: Mutex<BTreeSet<u8>>,
    /// Held where the share is multiplied with: whoever lies there is banned before it is used again.
    multiplying: Mutex<()>,
    /// A height that the ledger has passed, and when that was proven.
    height: Mutex<(u64, Instant)>,
    /// Whose turn it is: keepers take turns.
    turn: AtomicUsize,
}

/// One attempt, before its shares.
pub(super) struct Attempt {
    signing: Signing,
    entry: Entry,
    intent: [u8; 32],
    number: u32,
    opening: [u8; 32],
    pub(super) signers: Vec<u8>,
}

impl Client {
    /// Opens this device's part in a shared key, by alias or key id. Refuses unless this device speaks for the key now and its
    /// share is the one in force.
    pub async fn shared_signer(
        &self,
        key: &str,
        login: Login,
        device: &DeviceKeys,
    ) -> Result<SharedSigner, SharedError> {
        let view = self.view()?;
        if login.session.account != view.account {
            return Err(SharedError::OtherAccount);
        }
        let status = self.shared_status(key).await?;
        let opened = open(&status, key, device, &login.export_key)?;
        opened.must_speak(&status)?;
        let (share, roster) = (opened.share(&status.key)?, status.roster()?);
        let (height, turn) = (Mutex::new((status.height, Instant::now())), AtomicUsize::new(0));
        let (client, boot, device) = (self.clone(), Boot::begin()?, device.clone());
        let (signing, sealing, banned) = (opened.part.signing, opened.part.sealing, Mutex::default());
        Ok(SharedSigner {
            client,
            login,
            view,
            status,
            roster,
            signing,
            sealing,
            share,
            boot,
            device,
            banned,
            multiplying: Mutex::default(),
            height,
            turn,
        })
    }
}

impl SharedSigner {
    /// The key, as it was when the part was opened.
    pub const fn status(&self) -> &SharedStatus {
        &self.status
    }

    /// Signs with as many keepers as it takes. Under the order's mark it is done once.
    pub async fn sign(&self, order: &SharedSignOrder) -> Result<Signature, SharedError> {
        if let (Some(rule), None) = (self.status.state.approval_rule, order.case()) {
            return Err(SharedError::ApprovalNeeded { rule });
        }
        let mut left_out: Vec<SharedFault> = Vec::new();
        let mut attempt = self.first(order).await?;
        for tried in 1.. {
            match self.attempt(order, &attempt).await {
                Ok(signature) => return Ok(signature),
                Err(Halt::Done(signature)) => return Ok(*signature),
                Err(Halt::Refused(error)) => return Err(*error),
                Err(Halt::Faults(faults)) => left_out.extend(faults),
            }
            if tried >= ATTEMPTS_MAX {
                break;
            }
            match self.next(order, &attempt, &left_out)? {
                Some(next) => attempt = next,
                None => break,
            }
        }
        Err(if left_out.is_empty() {
            RunError::Spoilt.into()
        } else {
            SharedError::Faults { faults: left_out }
        })
    }

    /// The first attempt. An approval is used up by its intent, so those who sign under it are asked first whether they are
    /// there.
    async fn first(&self, order: &SharedSignOrder) -> Result<Attempt, SharedError> {
        let mut out: Vec<u8> = Vec::new();
        if order.case().is_some() {
            let keepers = placed(&self.status.keepers);
            let there =
                self.client.holding(&keepers, &self.status.key_id.0, self.status.state.share_version).await;
            if there.len() >= usize::from(self.status.threshold()) {
                out =
                    keepers.iter().map(|(place, _)| *place).filter(|place| !there.contains(place)).collect();
            }
        }
        let signers = self.signers(&out)?.ok_or(SharedError::Faults { faults: Vec::new() })?;
        self.look_again().await?;
        self.fresh(order, signers)
    }

    /// Learns how high the ledger is by now, where that was proven too long ago for an intent to live.
    async fn look_again(&self) -> Result<(), SharedError> {
        if self.height().1.elapsed() > HEIGHT_AGE_MAX {
            let status = self.client.shared_status(&self.status.key_id.to_string()).await?;
            self.has_passed(status.height);
        }
        Ok(())
    }

    fn height(&self) -> (u64, Instant) {
        *self.height.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_passed(&self, height: u64) {
        let mut known = self.height.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (known.0.max(height), Instant::now());
    }

    /// The next attempt, with others where they are enough and the approval allows it.
    fn next(
        &self,
        order: &SharedSignOrder,
        last: &Attempt,
        left_out: &[SharedFault],
    ) -> Result<Option<Attempt>, SharedError> {
        let out: Vec<u8> = left_out.iter().map(|fault| fault.place).collect();
        if order.case().is_some() {
            let number = last.number.saturating_add(1);
            let (entry, signers) = (last.entry.clone(), last.signers.clone());
            let signing = self.signing_of(order, last.intent, number, &signers)?;
            return Ok(Some(Attempt { signing, entry, number, signers, ..*last }));
        }
        self.signers(&out)?.map(|signers| self.fresh(order, signers)).transpose()
    }

    /// As many keepers as it takes, each in its turn, without those that failed. Refuses where bans alone leave too few.
    fn signers(&self, out: &[u8]) -> Result<Option<Vec<u8>>, SharedError> {
        let (needed, banned) = (usize::from(self.status.threshold()), self.banned()?);
        let mut there: Vec<u8> = placed(&self.status.keepers)
            .iter()
            .map(|(place, _)| *place)
            .filter(|place| !banned.contains(place))
            .collect();
        if there.len() < needed {
            let keepers = banned.iter().map(|place| self.status.keeper_name(*place)).collect();
            return Err(SharedError::Banned { keepers });
        }
        there.retain(|place| !out.contains(place));
        if there.len() < needed {
            return Ok(None);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % there.len();
        there.rotate_left(turn);
        there.truncate(needed);
        there.sort_unstable();
        Ok(Some(there))
    }

    fn signing_of(
        &self,
        order: &SharedSignOrder,
        intent: [u8; 32],
        attempt: u32,
        keepers: &[u8],
    ) -> Result<Signing, SharedError> {
        let (message, tweak) = (order.message.clone(), order.tweak);
        let plan = SigningPlan { intent, attempt, keepers: keepers.to_vec(), message, tweak };
        Ok(Signing::new(self.status.key.clone(), self.roster.clone(), plan)?)
    }

    fn fresh(&self, order: &SharedSignOrder, signers: Vec<u8>) -> Result<Attempt, SharedError> {
        let (intent, opening, number) = (random32()?, order.opening()?, 1);
        let signing = self.signing_of(order, intent, number, &signers)?;
        let (height, _) = self.height();
        let act = SharedIntent {
            id: intent,
            key_id: self.status.key_id,
            share_version: self.status.state.share_version,
            executor: self.status.executor,
            commitment: commitment(&opening, &order.payload_hash),
            tweak: on_ledger(&order.tweak),
            signers: signers.clone(),
            policy: self.status.policy,
            not_after: height.saturating_add(INTENT_BLOCKS),
            case: order.case(),
        };
        let entry = signed(&self.view, SharedAct::Intent(Box::new(act)), &self.login, height)?;
        Ok(Attempt { signing, entry, intent, number, opening, signers })
    }

    async fn attempt(&self, order: &SharedSignOrder, attempt: &Attempt) -> Result<Signature, Halt> {
        self.must_not_be_banned(attempt)?;
        let (nonces, own) = attempt.signing.commit(&self.share, &self.boot, signer(&self.signing))?;
        let begun = match self.begin(order, attempt, own.encode()).await? {
            Begun::Begun(begun) => begun,
            Begun::Signed(answer) => return Ok(self.taken(order, answer)?),
            Begun::Faults(faults) => return Err(self.told(attempt, faults)),
        };
        self.check_begun(attempt, &begun)?;
        let package =
            attempt.signing.package_with(&[&Judged::own(&nonces)], &with(own.encode(), &begun.commitments));
        let package = package.map_err(|error| self.blamed(attempt, error))?;
        let (nonces, answers) = match self.status.key.scheme().answers() {
            false => (nonces, Vec::new()),
            true => self.answer(order, attempt, nonces, &package).await?,
        };
        let share = self.multiply(attempt, || {
            nonces.sign(&self.share, &self.boot, &package, &answers, &self.sealing, signer(&self.signing))
        })?;
        match self.finish(attempt, share.encode()).await? {
            Finished::Signed(answer) => Ok(self.taken(order, answer)?),
            Finished::Faults(faults) => Err(self.told(attempt, faults)),
        }
    }

    /// The step between: this side's answer to the commitments, then everybody's, the own one first.
    async fn answer(
        &self,
        order: &SharedSignOrder,
        attempt: &Attempt,
        nonces: Nonces,
        package: &Package,
    ) -> Result<(Nonces, Vec<Vec<u8>>), Halt> {
        let (nonces, own) = self.multiply(attempt, || {
            nonces.answer(&self.share, &self.boot, package, &self.sealing, signer(&self.signing))
        })?;
        let message = &AnswerSharedRequest {
            intent: attempt.intent.to_vec().into(),
            attempt: attempt.number,
            device: own.encode().into(),
        };
        let client = &self.client;
        let answer = client.try_again(Instant::now() + client.deadline, |left| async move {
            client.answer(client.shared().answer(client.request_within(message.clone(), left)).await)
        });
        match answer.await?.result.ok_or(ClientError::Answer { what: "it is empty" })? {
            Answered::Answers(told) => Ok((nonces, with(own.encode(), &told.answers))),
            Answered::Signed(answer) => Err(Halt::Done(Box::new(self.taken(order, answer)?))),
            Answered::Faults(faults) => Err(self.told(attempt, faults)),
        }
    }

    /// A step with the share; where it multiplies, one at a time with the note of a ban. What it brings goes nowhere when
    /// somebody was banned meanwhile.
    fn multiply<T>(&self, attempt: &Attempt, step: impl FnOnce() -> Result<T, RunError>) -> Result<T, Halt> {
        let lock = || self.multiplying.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = self.status.key.scheme().answers().then(lock);
        self.must_not_be_banned(attempt)?;
        let done = step().map_err(|error| self.blamed(attempt, error))?;
        drop(alone);
        self.must_not_be_banned(attempt)?;
        Ok(done)
    }

    async fn begin(
        &self,
        order: &SharedSignOrder,
        attempt: &Attempt,
        device: Vec<u8>,
    ) -> Result<Begun, SharedError> {
        let message = &BeginSharedRequest {
            entry: attempt.entry.encode().into(),
            payload: Some(order.disclosure(&attempt.opening)),
            message: order.message.clone().into(),
            attempt: attempt.number,
            device: device.into(),
            idempotency_key: order.mark.clone(),
        };
        let client = &self.client;
        let answer = client.try_again(Instant::now() + client.deadline, |left| async move {
            client.answer(client.shared().begin(client.request_within(message.clone(), left)).await)
        });
        answer.await?.result.ok_or(ClientError::Answer { what: "it is empty" }.into())
    }

    async fn finish(&self, attempt: &Attempt, device: Vec<u8>) -> Result<Finished, SharedError> {
        let message = &FinishSharedRequest {
            intent: attempt.intent.to_vec().into(),
            attempt: attempt.number,
            device: device.into(),
        };
        let client = &self.client;
        let answer = client.try_again(Instant::now() + client.deadline, |left| async move {
            client.answer(client.shared().finish(client.request_within(message.clone(), left)).await)
        });
        answer.await?.result.ok_or(ClientError::Answer { what: "it is empty" }.into())
    }

    /// What was begun is this intent, and the ledger has it as it was signed here.
    fn check_begun(&self, attempt: &Attempt, begun: &SharedBegun) -> Result<(), SharedError> {
        if bytes32("intent", &begun.intent)? != attempt.intent {
            return Err(SharedError::BegunBefore);
        }
        let record = self.view.accepted(&attempt.entry, &begun.receipt)?;
        if record.leaf_index != begun.leaf_index {
            return Err(EvidenceError::Substituted("the intent's record where it does not stand").into());
        }
        self.has_passed(record.height);
        Ok(())
    }

    /// A signature counts when it verifies under the key that the ledger has, and its receipt is of this very signature.
    fn taken(&self, order: &SharedSignOrder, answer: SignResponse) -> Result<Signature, SharedError> {
        let public_key = self.status.key.public_key(&order.tweak)?;
        let signature = Signature {
            signature_der: signature_der(public_key.scheme(), &answer.signature),
            signature: answer.signature.to_vec(),
            public_key,
            address: Some(answer.address).filter(|address| !address.is_empty()),
            receipt: answer.receipt.to_vec(),
            experimental: self.status.key.scheme().is_experimental(),
        };
        check_signature(&signature.public_key, &order.message, &signature.signature)?;
        let message = (signature.public_key.scheme() == Scheme::Ed25519).then_some(order.message.as_slice());
        let verdict = self.client.verdict(&signature.receipt, message)?;
        let verdict = verdict.ok_or(SharedError::TrustMissing)?;
        let same = verdict.key_id() == Some(self.status.key_id)
            && verdict.signature.as_ref() == Some(&signature.signature)
            && verdict.payload_hash == Some(order.payload_hash);
        if !same {
            return Err(ClientError::ReceiptMismatch { what: "it releases another signature" }.into());
        }
        self.has_passed(verdict.height);
        Ok(signature)
    }
}

impl std::fmt::Debug for SharedSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedSigner({}, redacted)", self.status.key_id)
    }
}

/// The own message first, then the keepers'.
fn with(own: Vec<u8>, told: &[Bytes]) -> Vec<Vec<u8>> {
    std::iter::once(own).chain(told.iter().map(|bytes| bytes.to_vec())).collect()
}

fn check_signature(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), SharedError> {
    let checked = match (key.scheme(), <&[u8; 32]>::try_from(message)) {
        (Scheme::Bip340 | Scheme::EcdsaSecp256k1, Ok(digest)) => verify_digest(key, digest, signature),
        _ => verify(key, message, signature),
    };
    Ok(checked.map_err(ClientError::Signature)?)
}

const fn on_ledger(tweak: &Tweak) -> OnLedger {
    match tweak {
        Tweak::None => OnLedger::Plain,
        Tweak::KeyPath => OnLedger::KeyPath,
        Tweak::Scripts(root) => OnLedger::Root(*root),
    }
}
