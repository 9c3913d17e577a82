//! The service's face: what it answers, after its lies.

use std::sync::Arc;

use keyward_crypto::shared::{Package, Signing, SigningPlan, Tweak};
use keyward_ledger_core::entry::{
    Act, Authored, Entry, RuleName, SharedAct, SharedIntent, Tweak as OnLedger,
};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::receipt::{Receipt, Released};
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::shared::shared_rule;
use keyward_ledger_core::state::keeper::{keeper_key, keepers_key};
use keyward_ledger_core::state::shared::{SharedKeyState, shared_key_key, shared_run_key};
use keyward_proto::custody::ask_co_signer_request::Request as Asked;
use keyward_proto::custody::ask_co_signer_response::Answer;
use keyward_proto::custody::shared_server::{Shared, SharedServer};
use keyward_proto::custody::vaults_server::{Vaults, VaultsServer};
use keyward_proto::custody::*;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status};

use super::keeper::signing;
use super::{SERVICE, World};
use crate::toy::{Answered, refused};

/// An attempt between its two calls.
pub(crate) struct Waiting {
    intent: Box<SharedIntent>,
    leaf_index: u64,
    attempt: u32,
    signing: Signing,
    commitments: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
    disclosure: Disclosure,
    payload_hash: Hash,
}

#[derive(Clone)]
struct Face(Arc<World>);

pub(crate) fn router(world: Arc<World>) -> Router {
    Server::builder()
        .add_service(SharedServer::new(Face(Arc::clone(&world))).max_decoding_message_size(16 << 20))
        .add_service(VaultsServer::new(Face(world)))
}

fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap()
}

fn intent(entry: &[u8]) -> Box<SharedIntent> {
    match Entry::decode(entry).unwrap() {
        Entry::Authored(Authored { act: Act::Shared(SharedAct::Intent(intent)), .. }) => intent,
        other => panic!("{} is no intent", other.name()),
    }
}

const fn tweak(tweak: OnLedger) -> Tweak {
    match tweak {
        OnLedger::Plain => Tweak::None,
        OnLedger::KeyPath => Tweak::KeyPath,
        OnLedger::Root(root) => Tweak::Scripts(root),
    }
}

impl Face {
    fn called(&self, name: &str) {
        self.0.calls.lock().unwrap().push(name.to_owned());
    }

    fn record(&self, entry: &[u8]) -> Result<SharedEntryResponse, Status> {
        if let Some(seen) = &self.0.lies.lock().unwrap().seen {
            seen(&self.0, entry);
        }
        let mut answer = if self.0.lies.lock().unwrap().swallows {
            Err(refused("LEDGER_REFUSED"))
        } else {
            let mut chain = self.0.chain.lock().unwrap();
            let (leaf_index, outcome) = chain.record(entry);
            assert!(!outcome.name().is_empty());
            Ok(SharedEntryResponse { receipt: chain.receipt(leaf_index).into(), leaf_index })
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().recorded {
            answer = lie(&self.0, answer);
        }
        answer
    }

    fn is_away(&self, number: usize) -> bool {
        self.0.lies.lock().unwrap().away.contains(&number)
    }

    fn told(&self, place: u8, number: usize) -> SharedFault {
        SharedFault {
            place: place.into(),
            keeper: self.0.keepers[number].id().to_vec().into(),
            code: "KEEPER_UNAVAILABLE".into(),
            message: "it does not answer".into(),
            evidence: Vec::new(),
        }
    }

    /// Asks each signer; whoever does not answer is told of.
    fn signers(
        &self,
        places: &[u8],
        ask: impl Fn(usize) -> Option<Vec<u8>>,
    ) -> Result<Vec<Vec<u8>>, SharedFaults> {
        let keepers = self.0.state().circle.keepers;
        let (mut messages, mut faults) = (Vec::new(), Vec::new());
        for place in places {
            let number = self.0.by_id(&keepers[usize::from(*place) - 1]);
            match ask(number).filter(|_| !self.is_away(number)) {
                Some(message) => messages.push(message),
                None => faults.push(self.told(*place, number)),
            }
        }
        if faults.is_empty() { Ok(messages) } else { Err(SharedFaults { faults, expires_unix_ms: 0 }) }
    }

    fn begun(&self, request: BeginSharedRequest) -> Result<begin_shared_response::Result, Status> {
        use begin_shared_response::Result as Begun;
        let intent = intent(&request.entry);
        let present = self
            .0
            .begun
            .lock()
            .unwrap()
            .iter()
            .find(|begun| begun.intent == intent)
            .map(|begun| begun.leaf_index);
        let leaf_index = match present {
            Some(leaf_index) => leaf_index,
            None => self.record(&request.entry)?.leaf_index,
        };
        if let Some((_, outcome)) = self.0.chain.lock().unwrap().entry(leaf_index)
            && !outcome.is_accepted()
        {
            return Err(refused(outcome.name()));
        }
        let plan = SigningPlan {
            intent: intent.id,
            attempt: request.attempt,
            keepers: intent.signers.clone(),
            message: request.message.to_vec(),
            tweak: tweak(intent.tweak),
        };
        let signing = signing(&self.0, plan);
        let (id, version) = (intent.key_id.0, intent.share_version);
        let commit = |number: usize| self.0.keepers[number].commit(&id, &signing, version);
        let commitments = match self.signers(&intent.signers, commit) {
            Ok(commitments) => commitments,
            Err(faults) => return Ok(Begun::Faults(faults)),
        };
        let disclosure = request.payload.unwrap();
        let payload_hash = match intent_scheme(&self.0) {
            keyward_domain::scheme::Scheme::Ed25519 => keyward_ledger_core::hash::sha256(&[&request.message]),
            _ => hash(&request.message),
        };
        let receipt = self.0.chain.lock().unwrap().receipt(leaf_index);
        let answer = SharedBegun {
            intent: intent.id.to_vec().into(),
            receipt: receipt.into(),
            leaf_index,
            commitments: commitments.iter().map(|message| message.clone().into()).collect(),
            expires_unix_ms: 0,
        };
        let mut all = commitments;
        all.push(request.device.to_vec());
        let attempt = request.attempt;
        self.0.begun.lock().unwrap().push(Waiting {
            intent,
            leaf_index,
            attempt,
            signing,
            commitments: all,
            answers: Vec::new(),
            disclosure,
            payload_hash,
        });
        Ok(Begun::Begun(answer))
    }

    fn answered(&self, request: AnswerSharedRequest) -> answer_shared_response::Result {
        use answer_shared_response::Result as Answered;
        let mut begun = self.0.begun.lock().unwrap();
        let mut all = begun.iter_mut();
        let waiting =
            all.find(|begun| begun.intent.id == *request.intent && begun.attempt == request.attempt);
        let Waiting { intent, signing, commitments, answers, .. } = waiting.unwrap();
        let (id, version) = (intent.key_id.0, intent.share_version);
        let answer =
            |number: usize| self.0.keepers[number].answer_commitments(&id, signing, version, commitments);
        match self.signers(&intent.signers, answer) {
            Ok(told) => {
                *answers = [&told[..], &[request.device.to_vec()]].concat();
                Answered::Answers(SharedAnswers { answers: told.into_iter().map(Into::into).collect() })
            }
            Err(faults) => Answered::Faults(faults),
        }
    }

    fn finished(&self, request: FinishSharedRequest) -> finish_shared_response::Result {
        use finish_shared_response::Result as Finished;
        let mut begun = self.0.begun.lock().unwrap();
        let at = begun
            .iter()
            .position(|begun| begun.intent.id == *request.intent && begun.attempt == request.attempt)
            .unwrap();
        let waiting = begun.remove(at);
        drop(begun);
        let Waiting { intent, leaf_index, signing, commitments, answers, disclosure, payload_hash, .. } =
            waiting;
        let (id, version) = (intent.key_id.0, intent.share_version);
        let told = [&commitments[..], &answers];
        let sign = |number: usize| self.0.keepers[number].co_sign(&id, &signing, version, told);
        let mut shares = match self.signers(&intent.signers, sign) {
            Ok(shares) => shares,
            Err(faults) => return Finished::Faults(faults),
        };
        shares.push(request.device.to_vec());
        let package: Package = signing.package(&commitments).unwrap();
        let Ok(signature) = package.signature(&shares) else {
            // Of threshold ECDSA nobody can be named.
            return Finished::Faults(SharedFaults::default());
        };
        let key = self.0.key();
        let (bound, output) =
            (key.public_key(&Tweak::None).unwrap(), key.public_key(&tweak(intent.tweak)).unwrap());
        let released = Released {
            public_key: bound.clone(),
            r: hash(&disclosure.opening),
            payload_hash,
            signature: signature.clone(),
        };
        let receipt = Receipt::decode(&self.0.chain.lock().unwrap().receipt(leaf_index)).unwrap();
        Finished::Signed(SignResponse {
            signature: signature.into(),
            scheme: output.scheme().name().into(),
            public_key: output.as_bytes().to_vec().into(),
            key_id: bound.id().0.to_vec().into(),
            receipt: Receipt { released: Some(released), ..receipt }.encode().into(),
            ..Default::default()
        })
    }
}

fn intent_scheme(world: &World) -> keyward_domain::scheme::Scheme {
    world.state().scheme
}

#[tonic::async_trait]
impl Shared for Face {
    async fn ask(&self, request: Request<AskCoSignerRequest>) -> Answered<AskCoSignerResponse> {
        let AskCoSignerRequest { keeper, request } = request.into_inner();
        let (number, asked) = (self.0.by_id(&keeper), request.unwrap());
        let step = match &asked {
            Asked::OpenKey(_) => "open",
            Asked::DealKey(_) => "deal",
            Asked::AgreeKey(_) => "agree",
            Asked::KeepKey(_) => "keep",
            Asked::RedealKey(_) => "redeal",
            Asked::KeepRenewedKey(_) => "keep renewed",
            Asked::AskRepair(_) => "ask repair",
            Asked::SplitShare(_) => "split",
            Asked::SumShare(_) => "sum",
            Asked::KeepRepairedShare(_) => "keep repaired",
            Asked::ShowShare(_) => "show share",
        };
        self.called(step);
        if self.is_away(number) {
            return Err(refused("KEEPER_UNAVAILABLE"));
        }
        let answer = if let Asked::ShowShare(ShowShareRequest { key_id }) = &asked {
            let key = self.0.key();
            let Some((key, _)) = self.0.keepers[number].share(key_id, key.share_version()) else {
                return Err(refused("SHARED_SHARE_MISSING"));
            };
            let (version, hash) = (key.share_version(), key.hash().to_vec().into());
            Answer::Share(ShowShareResponse {
                share_version: version,
                key_hash: hash,
                key: key.encode().into(),
            })
        } else {
            let Some(mut round) = self.0.keepers[number].answer(&self.0, asked) else {
                return Err(refused("SHARED_SHARE_MISSING"));
            };
            if let Some(lie) = &self.0.lies.lock().unwrap().round {
                round = lie(&self.0, number, step, round);
            }
            Answer::Round(round)
        };
        Ok(Response::new(AskCoSignerResponse { answer: Some(answer) }))
    }

    async fn open(&self, request: Request<SharedEntryRequest>) -> Answered<SharedEntryResponse> {
        self.called("open entry");
        self.record(&request.get_ref().entry).map(Response::new)
    }

    async fn bind(&self, request: Request<BindSharedKeyRequest>) -> Answered<KeyWithReceipt> {
        self.called("bind");
        let BindSharedKeyRequest { entry, shared_key, alias, .. } = request.into_inner();
        if std::mem::take(&mut self.0.lies.lock().unwrap().drops_binding) {
            return Err(refused("LEDGER_REFUSED"));
        }
        let key = keyward_crypto::shared::SharedKey::decode(&shared_key).unwrap();
        let public = key.public_key(&Tweak::None).unwrap();
        let again = self.0.keys.lock().unwrap().iter().any(|(id, _, _)| *id == public.id());
        let receipt = if again {
            // Under its mark it was handed in before.
            let chain = self.0.chain.lock().unwrap();
            let leaf = (0..)
                .find(|leaf| chain.entry(*leaf).is_none_or(|(recorded, _)| recorded == &entry[..]))
                .unwrap();
            chain.receipt(leaf)
        } else {
            let answer = self.record(&entry)?;
            let bound = self.0.chain.lock().unwrap().state.get(&shared_key_key(&public.id())).is_some();
            if bound {
                self.0.keys.lock().unwrap().push((public.id(), shared_key.to_vec(), alias.clone()));
            }
            answer.receipt.to_vec()
        };
        if std::mem::take(&mut self.0.lies.lock().unwrap().loses_binding) {
            return Err(refused("LEDGER_REFUSED"));
        }
        let key_id = public.id().0.to_vec().into();
        let key = Key { key_id, alias, mode: "shared".into(), ..Default::default() };
        Ok(Response::new(KeyWithReceipt { key: Some(key), receipt: receipt.into() }))
    }

    async fn change(&self, request: Request<ChangeSharedKeyRequest>) -> Answered<SharedEntryResponse> {
        self.called("change");
        let ChangeSharedKeyRequest { entry, shared_key, .. } = request.into_inner();
        let answer = self.record(&entry)?;
        let dealt_anew = !shared_key.is_empty() && {
            let key = keyward_crypto::shared::SharedKey::decode(&shared_key).unwrap();
            self.0.state().key_hash == key.hash()
        };
        if dealt_anew {
            self.0.keys.lock().unwrap()[0].1 = shared_key.to_vec();
        }
        Ok(Response::new(answer))
    }

    async fn begin(&self, request: Request<BeginSharedRequest>) -> Answered<BeginSharedResponse> {
        self.called("begin");
        let mut answer = BeginSharedResponse { result: Some(self.begun(request.into_inner())?) };
        if let Some(lie) = &self.0.lies.lock().unwrap().begun {
            answer = lie(&self.0, answer);
        }
        Ok(Response::new(answer))
    }

    async fn answer(&self, request: Request<AnswerSharedRequest>) -> Answered<AnswerSharedResponse> {
        self.called("answer");
        let mut answer = AnswerSharedResponse { result: Some(self.answered(request.into_inner())) };
        if let Some(lie) = &self.0.lies.lock().unwrap().answered {
            answer = lie(&self.0, answer);
        }
        Ok(Response::new(answer))
    }

    async fn finish(&self, request: Request<FinishSharedRequest>) -> Answered<FinishSharedResponse> {
        self.called("finish");
        let mut answer = FinishSharedResponse { result: Some(self.finished(request.into_inner())) };
        if let Some(lie) = &self.0.lies.lock().unwrap().finished {
            answer = lie(&self.0, answer);
        }
        Ok(Response::new(answer))
    }

    async fn show(&self, request: Request<ShowSharedKeyRequest>) -> Answered<ShowSharedKeyResponse> {
        self.called("show");
        use show_shared_key_request::Which;
        let asked = match request.into_inner().which {
            Some(Which::Name(name)) => {
                let rule = shared_rule(&RuleName { owner: super::ANNA, name: hash(&name) });
                let run = self.0.chain.lock().unwrap().proof(&shared_run_key(&rule)).into();
                return Ok(Response::new(ShowSharedKeyResponse { run, ..Default::default() }));
            }
            Some(Which::Key(asked)) => asked,
            None => panic!("no key is named"),
        };
        let keys = self.0.keys.lock().unwrap();
        let found = keys.iter().find(|(id, _, alias)| *alias == asked || id.to_string() == asked);
        let Some((id, shared_key, alias)) = found.cloned() else { return Err(refused("KEY_UNKNOWN")) };
        drop(keys);
        let mut answer = shown(&self.0, id, shared_key, alias);
        if let Some(lie) = &self.0.lies.lock().unwrap().show {
            answer = lie(&self.0, answer);
        }
        Ok(Response::new(answer))
    }
}

fn shown(world: &World, id: KeyId, shared_key: Vec<u8>, alias: String) -> ShowSharedKeyResponse {
    let chain = world.chain.lock().unwrap();
    let state = SharedKeyState::decode(chain.state.get(&shared_key_key(&id)).unwrap()).unwrap();
    ShowSharedKeyResponse {
        key: Some(Key { key_id: id.0.to_vec().into(), alias, mode: "shared".into(), ..Default::default() }),
        shared_key: shared_key.into(),
        shared: chain.proof(&shared_key_key(&id)).into(),
        keepers: state.circle.keepers.iter().map(|id| chain.proof(&keeper_key(id)).into()).collect(),
        executor: SERVICE.to_vec().into(),
        policy: vec![7; 32].into(),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl Vaults for Face {
    async fn keepers(&self, _: Request<ListKeepersRequest>) -> Answered<ListKeepersResponse> {
        self.called("keepers");
        let mut response = {
            let chain = self.0.chain.lock().unwrap();
            let list = chain.state.get(&keepers_key()).unwrap();
            let ids = list[4..].chunks(32).map(|id| chain.proof(&keeper_key(&hash(id))).into()).collect();
            ListKeepersResponse { list: chain.proof(&keepers_key()).into(), keepers: ids }
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().keepers {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn show(&self, _: Request<ShowVaultRequest>) -> Answered<ShowVaultResponse> {
        Err(Status::unimplemented("not needed"))
    }
    async fn deposit(&self, _: Request<VaultDepositRequest>) -> Answered<VaultDepositResponse> {
        Err(Status::unimplemented("not needed"))
    }
    async fn seal(&self, _: Request<VaultEntryRequest>) -> Answered<VaultEntryResponse> {
        Err(Status::unimplemented("not needed"))
    }
    async fn attempt(&self, _: Request<VaultAttemptRequest>) -> Answered<VaultEntryResponse> {
        Err(Status::unimplemented("not needed"))
    }
    async fn evaluate(&self, _: Request<VaultEvaluateRequest>) -> Answered<VaultAnswer> {
        Err(Status::unimplemented("not needed"))
    }
    async fn open(&self, _: Request<VaultEntryRequest>) -> Answered<VaultEntryResponse> {
        Err(Status::unimplemented("not needed"))
    }
    async fn release(&self, _: Request<VaultReleaseRequest>) -> Answered<VaultAnswer> {
        Err(Status::unimplemented("not needed"))
    }
    async fn drill(&self, _: Request<VaultDrillRequest>) -> Answered<VaultAnswer> {
        Err(Status::unimplemented("not needed"))
    }
    async fn destroy(&self, _: Request<VaultEntryRequest>) -> Answered<VaultEntryResponse> {
        Err(Status::unimplemented("not needed"))
    }
    async fn signers(&self, _: Request<ListSignersRequest>) -> Answered<ListSignersResponse> {
        Err(Status::unimplemented("not needed"))
    }
    async fn set_up_code(&self, _: Request<SetUpCodeRequest>) -> Answered<SetUpCodeResponse> {
        Err(Status::unimplemented("not needed"))
    }
    async fn confirm_code(&self, _: Request<ConfirmCodeRequest>) -> Answered<ConfirmCodeResponse> {
        Err(Status::unimplemented("not needed"))
    }
    async fn remove_code(&self, _: Request<RemoveCodeRequest>) -> Answered<RemoveCodeResponse> {
        Err(Status::unimplemented("not needed"))
    }
}
