//! Two vaults of one account: how they are drafted, and what is public of them.

use keyward_crypto::{
    SecretBytes,
    vault::{Vault, VaultDraft, VaultFacts, VaultKeeper, VaultMode, VaultPlan, VaultStretch, VaultedKey},
};
use keyward_domain::scheme::{PublicKey, Scheme};
use keyward_ledger_core::{
    contracts::authored::authored_message,
    ed25519::SigningKey,
    entry::{Act, AttemptsTerms, Author, Authored, Entry, Party, RuleName, VaultAct},
    hash::Hash,
    state::vault::VaultState,
    vault::{Sealing, Shares, Stretching, VaultMode as SealedMode},
};

use super::{
    node::{id, now_ms, sealing, signing},
    town::{SIZE, Town},
};

pub(crate) const ACCOUNT: Hash = [0x41; 32];
/// The first one stays, the second one is destroyed.
pub(crate) const VAULTS: [RuleName; 2] =
    [RuleName { owner: ACCOUNT, name: [0x5a; 32] }, RuleName { owner: ACCOUNT, name: [0x5b; 32] }];
pub(crate) const SECRET: [u8; 32] = [7; 32];
pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const LIMIT: u32 = 3;
pub(crate) const LIFETIME: u32 = 24;
pub(crate) const REFILL_MS: u64 = 4_000;
/// How long sealings and dealings may be recorded.
pub(crate) const LIFE_MS: u64 = 3_600_000;
/// The least that the ledger takes: each guess costs it.
const STRETCH: VaultStretch = VaultStretch { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

/// The account's credential.
pub(crate) fn owner() -> SigningKey {
    SigningKey::from_seed(&[0x41; 32])
}

pub(crate) fn password(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

fn keeper(node: usize) -> VaultKeeper {
    VaultKeeper { id: id(node), sealing_key: sealing(node).public(), signing_key: signing(node).public_key() }
}

/// A draft with its sealing and the share for each machine's keeper.
pub(crate) struct Drafted {
    pub(crate) sealing: Sealing,
    pub(crate) shares: Vec<Vec<u8>>,
}

/// Drafts a vault's next version, with the same password and the same key.
pub(crate) fn draft(town: &Town, vault: RuleName, version: u32) -> Drafted {
    let plan = VaultPlan {
        chain_id: town.chain_id,
        account: vault.owner,
        vault: vault.name,
        version,
        threshold: town.plan.threshold,
        keepers: (0..SIZE).map(keeper).collect(),
        stretch: STRETCH,
    };
    let public = SigningKey::from_seed(&SECRET).public_key();
    let public_key = PublicKey::parse(Scheme::Ed25519, &public).unwrap();
    let key = VaultedKey { id: public_key.id().0, public_key, secret: SecretBytes::new(SECRET.to_vec()) };
    let draft = VaultDraft::new(plan, &password(PASSWORD), &[key], None).unwrap();
    let facts = draft.facts([0; 32]);
    let sealing = Sealing {
        expires_ms: Some(now_ms(&town.runtime, 0) + LIFE_MS),
        vault,
        version,
        mode: SealedMode::Vault,
        shares: Shares {
            keepers: facts.keepers.iter().map(|keeper| keeper.id).collect(),
            evaluation: facts.evaluation,
            mask: facts.mask,
        },
        stretching: Stretching {
            memory_kib: STRETCH.memory_kib,
            passes: STRETCH.passes,
            lanes: STRETCH.lanes,
        },
        terms: AttemptsTerms {
            limit: LIMIT,
            lifetime: LIFETIME,
            cool_down_ms: 0,
            refill_ms: REFILL_MS,
            success_key: facts.proof_key,
            needed: 0,
            askers: Vec::new(),
        },
        ciphertext_hash: facts.ciphertext_hash,
    };
    let shares = draft.shares(sealing.hash()).unwrap();
    Drafted { sealing, shares }
}

/// What is public of the shares that a vault has now, from final records alone.
pub(crate) async fn public(town: &Town, vault: &VaultState) -> Option<Vault> {
    let VaultAct::Seal { sealing, .. } = act(town, vault.sealing_leaf).await? else { return None };
    let shares = match act(town, vault.shares_leaf).await? {
        VaultAct::Refresh { refresh, .. } => refresh.shares.clone(),
        _ => sealing.shares.clone(),
    };
    let node = |id_of_it: &Hash| (0..SIZE).find(|node| id(*node) == *id_of_it);
    let facts = VaultFacts {
        chain_id: town.chain_id,
        account: vault.vault.owner,
        vault: vault.vault.name,
        version: vault.version,
        share_version: vault.share_version,
        mode: VaultMode::Vault,
        threshold: shares.threshold(),
        keepers: shares.keepers.iter().filter_map(node).map(keeper).collect(),
        evaluation: shares.evaluation.clone(),
        mask: shares.mask.clone(),
        proof_key: sealing.terms.success_key,
        stretch: STRETCH,
        ciphertext_hash: sealing.ciphertext_hash,
        shares_hash: vault.shares,
    };
    Some(Vault::check(facts).unwrap())
}

async fn act(town: &Town, leaf: u64) -> Option<VaultAct> {
    let found = town.newest()?.ask(town, move |live| async move { live.answers.record(leaf).await.ok() });
    let leaf = found.await??.record?.leaf;
    act_of(&keyward_ledger_core::record::Record::decode(&leaf).unwrap().entry)
}

/// What is wanted of a vault in an entry, if that is what the entry is about.
pub(crate) fn act_of(entry: &[u8]) -> Option<VaultAct> {
    match Entry::decode(entry).ok()? {
        Entry::Authored(Authored { act: Act::Vault(act), .. }) => Some(act),
        _ => None,
    }
}

/// An act that needs nobody's signature.
pub(crate) fn unsigned(act: VaultAct) -> Entry {
    Entry::Authored(Authored { act: Act::Vault(act), authors: Vec::new() })
}

/// An act with the account's signature.
pub(crate) fn signed(town: &Town, act: VaultAct, nonce: Hash) -> Entry {
    let (act, party) = (Act::Vault(act), Party::Credential(ACCOUNT));
    let not_after = town.height() + 4_000;
    let message = authored_message(&town.chain_id, act.kind(), &act.payload(), party, &nonce, not_after);
    let signature = owner().sign(&message).to_vec();
    let author = Author { party, nonce, not_after, public_key: Vec::new(), signature };
    Entry::Authored(Authored { act, authors: vec![author] })
}
