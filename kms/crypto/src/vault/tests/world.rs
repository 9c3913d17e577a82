//! A vault with its keepers, a user and a ledger that grants whatever it is asked: what the tests play with.

use keyward_domain::scheme::{PublicKey, Scheme, verify};
use opaque_ke::rand::RngCore;

use super::super::keys::Root;
use super::super::*;
use super::Seeded;
use crate::secret::SecretBytes;
use crate::signing::SigningKey;

pub(super) const WEAK: VaultStretch = VaultStretch { memory_kib: 64, passes: 1, lanes: 1 };

pub(super) fn text(text: &str) -> SecretBytes {
    SecretBytes::from(text.to_owned())
}

pub(super) fn bytes(random: &mut Seeded) -> [u8; 32] {
    let mut bytes = [0; 32];
    random.fill_bytes(&mut bytes);
    bytes
}

/// A keeper's process: its keys and, after a sealing, its share.
pub(super) struct Keeper {
    pub(super) key: BoxKey,
    signer: SigningKey,
    pub(super) share: Option<KeeperShare>,
}

impl Keeper {
    pub(super) fn new(random: &mut Seeded) -> Self {
        let key = BoxKey::random(random).unwrap();
        let signer = SigningKey::from_secret(Scheme::Ed25519, &bytes(random)).unwrap();
        Self { key, signer, share: None }
    }

    pub(super) fn named(&self, id: [u8; 32]) -> VaultKeeper {
        let signing_key = self.signer.public_key().as_bytes().try_into().unwrap();
        VaultKeeper { id, sealing_key: self.key.public(), signing_key }
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signer.sign_message(message).unwrap().try_into().unwrap()
    }

    pub(super) fn share(&self) -> &KeeperShare {
        self.share.as_ref().unwrap()
    }
}

pub(super) struct World {
    pub(super) random: Seeded,
    pub(super) keepers: Vec<Keeper>,
    pub(super) plan: VaultPlan,
    pub(super) vault: Vault,
    pub(super) signer: SigningKey,
    /// What travelled to the keepers, which the service as a relay has seen.
    pub(super) carried: Vec<Vec<u8>>,
}

pub(super) fn vaulted(secret: [u8; 32]) -> (VaultedKey, SigningKey) {
    let key = SigningKey::from_secret(Scheme::Ed25519, &secret).unwrap();
    let public_key = key.public_key().clone();
    (VaultedKey { id: [7; 32], public_key, secret: SecretBytes::new(secret.to_vec()) }, key)
}

impl World {
    /// A vault of these keepers under the password `right`; each keeper has checked its share.
    pub(super) fn sealed(mut random: Seeded, threshold: u8, count: u8, export: Option<&SecretBytes>) -> Self {
        let keepers: Vec<_> = (0..count).map(|_| Keeper::new(&mut random)).collect();
        let named = (1..).zip(&keepers).map(|(id, keeper)| keeper.named([id; 32])).collect();
        let plan = VaultPlan {
            chain_id: bytes(&mut random),
            account: bytes(&mut random),
            vault: bytes(&mut random),
            version: 1,
            threshold,
            keepers: named,
            stretch: WEAK,
        };
        let (key, signer) = vaulted(bytes(&mut random));
        let draft = VaultDraft::with(plan.clone(), &text("right"), &[key], export, &mut random).unwrap();
        let hash = bytes(&mut random);
        let carried = draft.shares_with(hash, &mut random).unwrap();
        let vault = draft.vault(hash).unwrap();
        let mut world = Self { random, keepers, plan, vault, signer, carried };
        world.hand_out();
        world
    }

    fn hand_out(&mut self) {
        for ((id, keeper), sealed) in (1..).zip(&mut self.keepers).zip(&self.carried) {
            keeper.share = Some(KeeperShare::open(&self.vault, &[id; 32], &keeper.key, sealed).unwrap());
        }
    }

    pub(super) fn keeper(&self, index: u8) -> &Keeper {
        &self.keepers[usize::from(index) - 1]
    }

    pub(super) fn begin(&mut self, password: &str) -> (Recovery, AttemptRequest) {
        Recovery::begin_with(self.vault.clone(), &text(password), &mut self.random).unwrap()
    }

    pub(super) fn grant(&mut self, request: &AttemptRequest) -> Grant {
        let attempt = bytes(&mut self.random);
        let AttemptRequest { element_hash, reply_key, .. } = *request;
        Grant { shares: self.vault.shares(), attempt, element_hash, reply_key }
    }

    pub(super) fn evaluation(&self, index: u8, grant: &Grant, request: &AttemptRequest) -> Vec<u8> {
        let keeper = self.keeper(index);
        keeper.share().evaluate(grant, &request.element, |message| keeper.sign(message)).unwrap()
    }

    pub(super) fn released(&self, index: u8, grant: &Grant, proof: &[u8; 64]) -> Vec<u8> {
        let keeper = self.keeper(index);
        keeper.share().release(grant, proof, |message| keeper.sign(message)).unwrap()
    }

    /// The root that a password gives with all keepers' shares on one table, which nobody ever has.
    pub(super) fn root(&self, password: &str) -> Root {
        let needed = self.plan.threshold;
        let shares: Vec<_> =
            (1..=needed).map(|index| (index, self.keeper(index).share().parts()[0])).collect();
        let key = sharing::combine(&shares, needed).unwrap();
        draft::root(&self.plan, &text(password), &key).unwrap()
    }

    /// The proof of a success that the right password gives.
    pub(super) fn proof(&self, grant: &Grant) -> [u8; 64] {
        let message = keyward_domain::success_message(&self.plan.chain_id, &grant.attempt);
        self.root("right").proof_key().unwrap().sign_message(&message).unwrap().try_into().unwrap()
    }

    /// A recovery up to the proof, with these keepers.
    pub(super) fn guess(&mut self, password: &str, who: &[u8]) -> (Grant, Result<Proven, RecoveryError>) {
        let (recovery, request) = self.begin(password);
        let grant = self.grant(&request);
        let mut evaluating = recovery.granted(&grant).unwrap();
        for &index in who {
            evaluating.answer(index, &self.evaluation(index, &grant, &request)).unwrap();
        }
        (grant, evaluating.derive())
    }

    /// A whole recovery: evaluations of `who`, releases of `then`.
    pub(super) fn recover(
        &mut self,
        password: &str,
        [who, then]: [&[u8]; 2],
        export: Option<&SecretBytes>,
    ) -> Result<Vec<VaultedKey>, RecoveryError> {
        let (grant, proven) = self.guess(password, who);
        let mut proven = proven?;
        let key = PublicKey::parse(Scheme::Ed25519, &self.vault.facts().proof_key).unwrap();
        let message = keyward_domain::success_message(&self.plan.chain_id, &grant.attempt);
        let proof = proven.proof().unwrap();
        verify(&key, &message, &proof).unwrap();
        for &index in then {
            proven.release(index, &self.released(index, &grant, &proof)).unwrap();
        }
        proven.open(export)
    }
}
