//! Keepers that answer as they are told, and remember what they were asked.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use keyward_ledger_core::{
    codec::Writer,
    ed25519::SigningKey,
    hash::Hash,
    keeper::Keeper,
    state::keeper::{KeeperState, keeper_key, keepers_key},
};
use tokio::sync::Notify;

use super::co_signers::CoSigner;
use super::world::World;
use crate::ports::{CoSigned, KeeperError, Keepers, Later, ToCoSigner, ToKeeper};

/// How a keeper behaves.
#[derive(Clone, Debug)]
pub(super) enum Manner {
    /// 64 bytes to a share, else `answer`.
    Honest,
    /// Never answers.
    Silent,
    /// Cannot be reached.
    Away,
    Refuses(&'static str, String),
    Says(Vec<u8>),
    Garbles,
}

#[derive(Default)]
pub(super) struct FakeKeepers {
    manners: Mutex<HashMap<String, Manner>>,
    asked: Mutex<Vec<(String, ToKeeper)>>,
    /// Those that hold shares of keys, by their addresses.
    pub(super) co_signers: Mutex<HashMap<String, CoSigner>>,
    pub(super) waiting: AtomicUsize,
    pub(super) came: Notify,
}

impl FakeKeepers {
    pub(super) fn set(&self, number: u8, manner: Manner) {
        self.manners.lock().unwrap().insert(keeper(number).rpc, manner);
    }

    pub(super) fn asked(&self) -> Vec<(String, ToKeeper)> {
        self.asked.lock().unwrap().clone()
    }
}

impl Keepers for FakeKeepers {
    fn ask(&self, address: String, what: ToKeeper) -> Later<'_, Result<Bytes, KeeperError>> {
        Box::pin(async move {
            let manner = self.manners.lock().unwrap().get(&address).cloned().unwrap_or(Manner::Honest);
            self.asked.lock().unwrap().push((address, what.clone()));
            match manner {
                Manner::Honest
                    if matches!(what, ToKeeper::Deposit { .. } | ToKeeper::DepositViewing { .. }) =>
                {
                    Ok(Bytes::from(vec![7; 64]))
                }
                Manner::Honest => Ok(Bytes::from_static(b"answer")),
                Manner::Silent => {
                    self.waiting.fetch_add(1, Ordering::Relaxed);
                    self.came.notify_one();
                    std::future::pending().await
                }
                Manner::Away => Err(KeeperError::Silent { source: "no route".into() }),
                Manner::Refuses(code, message) => Err(KeeperError::Refused { code: code.into(), message }),
                Manner::Says(bytes) => Ok(bytes.into()),
                Manner::Garbles => Err(KeeperError::Malformed { source: "no protobuf".into() }),
            }
        })
    }

    fn co_sign(&self, address: String, what: ToCoSigner) -> Later<'_, Result<CoSigned, KeeperError>> {
        Box::pin(async move {
            let manner = self.manners.lock().unwrap().get(&address).cloned().unwrap_or(Manner::Honest);
            match manner {
                Manner::Silent => {
                    self.waiting.fetch_add(1, Ordering::Relaxed);
                    self.came.notify_one();
                    std::future::pending().await
                }
                Manner::Away => Err(KeeperError::Silent { source: "no route".into() }),
                Manner::Refuses(code, message) => Err(KeeperError::Refused { code: code.into(), message }),
                Manner::Garbles => Err(KeeperError::Malformed { source: "no protobuf".into() }),
                Manner::Honest | Manner::Says(_) => {
                    let mut all = self.co_signers.lock().unwrap();
                    all.get_mut(&address).expect("a keeper that holds shares").answer(what)
                }
            }
        })
    }
}

pub(super) fn keeper_signing_key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[0xa0 + number; 32])
}

pub(super) fn keeper(number: u8) -> Keeper {
    Keeper {
        name: format!("keeper-{number}"),
        key: keeper_signing_key(number).public_key(),
        hpke_key: [0xb0 + number; 32],
        validator: None,
        rpc: format!("https://keeper-{number}.example:7600"),
    }
}

pub(super) fn keeper_id(number: u8) -> Hash {
    keeper(number).id()
}

impl World {
    /// Makes these numbers keepers, and nobody else.
    pub(super) fn admit_keepers(&self, numbers: &[u8]) {
        let mut ids: Vec<_> = numbers.iter().map(|number| keeper_id(*number)).collect();
        ids.sort_unstable();
        let mut list = Writer::with_capacity(256);
        list.count(ids.len());
        ids.iter().for_each(|id| {
            list.raw(id);
        });
        self.ledger.set_state(keepers_key(), list.finish());
        for number in numbers {
            self.set_keeper(*number, true);
        }
    }

    pub(super) fn set_keeper(&self, number: u8, present: bool) {
        let state = KeeperState { present, height: 1, keeper: keeper(number) };
        self.ledger.set_state(keeper_key(&keeper_id(number)), state.encode());
    }
}
