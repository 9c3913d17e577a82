//! Keepers that hold real shares of a key, a device that holds the user's, and how each of them can be wrong.

use std::collections::HashMap;

use bytes::Bytes;
use keyward_crypto::{
    shared::{
        Boot, Dealt, Generation, Holder, KeyName, Message, Nonces, Roster, SharedKey, SharedScheme, Signing,
        SigningPlan, Step, Tweak,
    },
    vault::BoxKey,
};
use keyward_ledger_core::{
    ed25519::SigningKey,
    entry::{RuleName, Tweak as Wanting},
    hash::Hash,
    keeper::Keeper,
    shared::shared_rule,
};
use keyward_proto::custody::{Round, ShowShareResponse};
use prost::Message as _;

use super::{keepers::keeper, world::CHAIN};
use crate::ports::{CoSigned, KeeperError, ToCoSigner};

/// What a keeper does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Nothing,
    /// Its message says nothing that can be read.
    Junk,
    /// More than a message may be.
    Flood,
    /// A message of another keeper, as that one signed it.
    Others,
    /// Its first message again, in each step.
    Replay,
    /// A share that it has signed, and that is wrong.
    Share,
    /// It signs with a key that it had once.
    OldKey,
    /// It restarted: the nonces are gone.
    Restarted,
    /// An answer to another question.
    OtherAnswer,
}

/// A holder of a share.
pub(super) struct Part {
    seed: [u8; 32],
    pub(super) sealing: BoxKey,
    pub(super) dealt: Option<Dealt>,
    boot: Boot,
}

impl Part {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let (sealing, boot) = (BoxKey::generate().unwrap(), Boot::begin().unwrap());
        Self { seed, sealing, dealt: None, boot }
    }

    pub(super) fn signer(&self) -> SigningKey {
        SigningKey::from_seed(&self.seed)
    }

    pub(super) fn holder(&self, id: Hash) -> Holder {
        Holder { id, signing_key: self.signer().public_key(), sealing_key: self.sealing.public() }
    }

    pub(super) fn commit(&self, signing: &Signing) -> (Nonces, Bytes) {
        let share = self.dealt.as_ref().unwrap().share();
        let (nonces, message) = signing.commit(share, &self.boot, |bytes| self.signer().sign(bytes)).unwrap();
        (nonces, message.encode().into())
    }

    /// Between the rounds, where the scheme has it.
    pub(super) fn answer(
        &self,
        signing: &Signing,
        nonces: Nonces,
        commitments: &[Vec<u8>],
    ) -> Option<(Nonces, Bytes)> {
        let share = self.dealt.as_ref().unwrap().share();
        let package = signing.package(commitments).ok()?;
        let sign = |bytes: &[u8]| self.signer().sign(bytes);
        let (nonces, message) = nonces.answer(share, &self.boot, &package, &self.sealing, sign).ok()?;
        Some((nonces, message.encode().into()))
    }

    pub(super) fn sign(
        &self,
        signing: &Signing,
        nonces: Nonces,
        [commitments, answers]: [&[Vec<u8>]; 2],
    ) -> Option<Bytes> {
        let share = self.dealt.as_ref().unwrap().share();
        let package = signing.package(commitments).ok()?;
        let sign = |bytes: &[u8]| self.signer().sign(bytes);
        let signed = nonces.sign(share, &self.boot, &package, answers, &self.sealing, sign).ok()?;
        Some(signed.encode().into())
    }
}

/// A keeper's room.
pub(super) struct CoSigner {
    number: u8,
    pub(super) part: Part,
    /// The keys that its key's holders have.
    pub(super) roster: Option<Roster>,
    pub(super) wrong: Wrong,
    nonces: HashMap<Hash, Nonces>,
    first: Option<Bytes>,
    /// What the next one sends, where somebody passes it off as its own.
    pub(super) others: Option<Bytes>,
    /// Everything that it was asked.
    pub(super) asked: Vec<ToCoSigner>,
    /// What went either way while it signed, as it went.
    pub(super) seen: Vec<Bytes>,
}

impl CoSigner {
    pub(super) fn new(number: u8) -> Self {
        // The same key as `keeper_signing_key`.
        let part = Part::new([0xa0 + number; 32]);
        let (roster, wrong, first, others) = (None, Wrong::Nothing, None, None);
        Self {
            number,
            part,
            roster,
            wrong,
            nonces: HashMap::new(),
            first,
            others,
            asked: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// As the ledger knows it.
    pub(super) fn registered(&self) -> Keeper {
        Keeper { hpke_key: self.part.sealing.public(), ..keeper(self.number) }
    }

    pub(super) fn answer(&mut self, what: ToCoSigner) -> Result<CoSigned, KeeperError> {
        self.asked.push(what.clone());
        if let ToCoSigner::ShowShare(_) = what {
            let key = self.part.dealt.as_ref().unwrap().key();
            let (share_version, key_hash) = (key.share_version(), key.hash().to_vec().into());
            let key = key.encode().into();
            return Ok(CoSigned::Share(ShowShareResponse { share_version, key_hash, key }));
        }
        let message = match what {
            ToCoSigner::Commit(asked) => {
                self.seen.push(asked.encode_to_vec().into());
                self.commit(&signing(self, &asked.plan.unwrap()))
            }
            ToCoSigner::Answer(asked) => {
                self.seen.push(asked.encode_to_vec().into());
                self.answer_to(&signing(self, &asked.plan.unwrap()), &of_steps(&asked.messages))?
            }
            ToCoSigner::CoSign(asked) => {
                self.seen.push(asked.encode_to_vec().into());
                self.sign(&signing(self, &asked.plan.unwrap()), &of_steps(&asked.messages))?
            }
            _ => Bytes::from_static(b"round"),
        };
        let message = self.spoilt(message);
        self.first.get_or_insert_with(|| message.clone());
        self.seen.push(message.clone());
        Ok(match self.wrong {
            Wrong::OtherAnswer => CoSigned::Share(ShowShareResponse::default()),
            _ => CoSigned::Round(Round { message, acknowledgement: Bytes::new() }),
        })
    }

    fn commit(&mut self, signing: &Signing) -> Bytes {
        let (nonces, message) = self.part.commit(signing);
        self.nonces.insert(*signing.id(), nonces);
        message
    }

    fn answer_to(&mut self, signing: &Signing, messages: &[Vec<Vec<u8>>; 2]) -> Result<Bytes, KeeperError> {
        let nonces = self.taken(signing)?;
        let (nonces, message) = self.part.answer(signing, nonces, &messages[0]).ok_or_else(spent)?;
        self.nonces.insert(*signing.id(), nonces);
        Ok(message)
    }

    fn sign(&mut self, signing: &Signing, messages: &[Vec<Vec<u8>>; 2]) -> Result<Bytes, KeeperError> {
        let nonces = self.taken(signing)?;
        let [commitments, answers] = messages;
        self.part.sign(signing, nonces, [commitments, answers]).ok_or_else(spent)
    }

    fn taken(&mut self, signing: &Signing) -> Result<Nonces, KeeperError> {
        let nonces = self.nonces.remove(signing.id()).filter(|_| self.wrong != Wrong::Restarted);
        nonces.ok_or_else(spent)
    }

    fn spoilt(&self, message: Bytes) -> Bytes {
        match self.wrong {
            Wrong::Nothing | Wrong::Restarted | Wrong::OtherAnswer => message,
            Wrong::Junk => Bytes::from_static(b"junk"),
            Wrong::Flood => vec![7; 3 << 20].into(),
            Wrong::Others => self.others.clone().unwrap(),
            Wrong::Replay => self.first.clone().unwrap_or(message),
            Wrong::Share => resigned(&message, &self.part.signer(), |body| *body.last_mut().unwrap() ^= 1),
            Wrong::OldKey => resigned(&message, &SigningKey::from_seed(&[0x0d; 32]), |_| ()),
        }
    }
}

fn spent() -> KeeperError {
    KeeperError::Refused { code: "SHARED_ATTEMPT_STALE".into(), message: "there are no nonces".into() }
}

/// The commitments and the answers among messages.
fn of_steps(messages: &[Bytes]) -> [Vec<Vec<u8>>; 2] {
    let is_answer = |bytes: &Vec<u8>| Message::decode(bytes).is_ok_and(|found| found.step() == Step::Answer);
    let (answers, commitments) = messages.iter().map(|message| message.to_vec()).partition(is_answer);
    [commitments, answers]
}

/// The same message with another body, signed by somebody.
fn resigned(message: &Bytes, signer: &SigningKey, change: impl FnOnce(&mut [u8])) -> Bytes {
    const SIGNATURE: usize = 64;
    let mut bytes = message.to_vec();
    let end = bytes.len() - SIGNATURE;
    change(&mut bytes[..end]);
    let statement = [&b"\x19keyward/shared-message/v1"[..], &bytes[..end]].concat();
    let signature = signer.sign(&statement);
    bytes[end..].copy_from_slice(&signature);
    bytes.into()
}

fn signing(keeper: &CoSigner, plan: &keyward_proto::custody::SigningPlan) -> Signing {
    let key = keeper.part.dealt.as_ref().unwrap().key().clone();
    let tweak = match plan.tweak.as_ref() {
        [0] => Tweak::None,
        [1] => Tweak::KeyPath,
        [2, root @ ..] => Tweak::Scripts(root.try_into().unwrap()),
        other => panic!("{other:?} is no tweak"),
    };
    let plan = SigningPlan {
        intent: plan.intent.as_ref().try_into().unwrap(),
        attempt: plan.attempt,
        keepers: plan.signers.iter().map(|place| u8::try_from(*place).unwrap()).collect(),
        message: plan.message.to_vec(),
        tweak,
    };
    Signing::new(key, keeper.roster.clone().unwrap(), plan).unwrap()
}

pub(super) fn crypto_tweak(tweak: &Wanting) -> Tweak {
    match tweak {
        Wanting::Plain => Tweak::None,
        Wanting::KeyPath => Tweak::KeyPath,
        Wanting::Root(root) => Tweak::Scripts(*root),
    }
}

/// All holders together make a key; each keeps its share. Gives the hashes of the openings.
pub(super) fn generate(
    name: &RuleName,
    scheme: SharedScheme,
    (roster, attempt): (&Roster, u32),
    parts: &mut [&mut Part],
) -> (Vec<Hash>, SharedKey) {
    let name = KeyName { chain_id: CHAIN, key: shared_rule(name) };
    let generation = Generation::new(name, scheme, roster.clone(), attempt);
    let signed = |part: &Part| {
        let signer = part.signer();
        move |bytes: &[u8]| signer.sign(bytes)
    };
    let mut openers = Vec::new();
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        let (opener, message) = generation.open(u8::try_from(place).unwrap(), signed(part)).unwrap();
        openers.push(opener);
        messages.push(message.encode());
    }
    let openings = generation.openings(&messages).unwrap();
    let hashes = messages.iter().map(|message| Message::decode(message).unwrap().hash()).collect();
    let mut dealers = Vec::new();
    let mut dealings: Vec<Vec<u8>> = Vec::new();
    for (opener, part) in openers.into_iter().zip(parts.iter()) {
        let (dealer, message) = opener.deal(&openings, &part.sealing, signed(part)).unwrap();
        dealers.push(dealer);
        dealings.push(message.encode());
    }
    let mut agreements: Vec<Vec<u8>> = Vec::new();
    for (dealer, part) in dealers.iter_mut().zip(parts.iter()).filter(|_| scheme.answers()) {
        agreements.push(dealer.agree(&openings, &dealings, signed(part)).unwrap().encode());
    }
    for (dealer, part) in dealers.iter_mut().zip(parts.iter_mut()) {
        part.dealt = Some(dealer.finish(&openings, &dealings, &agreements, &part.sealing).unwrap());
    }
    let key = parts[0].dealt.as_ref().unwrap().key().clone();
    (hashes, key)
}
