//! One ledger from genesis through a signature's intent and release.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use keyward_ledger_core::batch::{Batch, SignedBatch};
use keyward_ledger_core::block::{Block, Regime};
use keyward_ledger_core::contracts::registry::possession_challenge;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{BindKey, Entry, Intent, Mode, Release};
use keyward_ledger_core::execute::{BlockLimits, Ledger, LedgerHead};
use keyward_ledger_core::genesis::{Genesis, GenesisDocument, Role, Submitter};
use keyward_ledger_core::hash::{commitment, sha256, signature_hash};
use keyward_ledger_core::scheme::{PublicKey, Scheme};

fn genesis(validator: &SigningKey, submitter: &SigningKey) -> Genesis {
    Genesis::new(GenesisDocument {
        name: "smoke".into(),
        time_ms: 1_000,
        validators: vec![validator.public_key()],
        submitters: vec![Submitter::new(submitter.public_key(), Role::Service)],
        keepers: Vec::new(),
        epoch_length: 256,
        regime: Regime::Strict,
        clock_bound_ms: 5_000,
    })
    .unwrap()
}

#[test]
fn key_is_bound_used_and_released() {
    let (validator, service, user) =
        (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]), SigningKey::from_seed(&[3; 32]));
    let genesis = genesis(&validator, &service);
    let chain_id = *genesis.chain_id();
    assert_eq!(Genesis::decode(&genesis.encode()).unwrap().chain_id(), &chain_id);
    let mut ledger = Ledger::genesis(&genesis);
    let account = [7; 32];
    let public_key = PublicKey::parse(Scheme::Ed25519, &user.public_key()).unwrap();
    let challenge = possession_challenge(&chain_id, &account, Mode::Hosted, &public_key, &[8; 32], 10);
    let bind = BindKey {
        account,
        mode: Mode::Hosted,
        scheme: Scheme::Ed25519,
        public_key: public_key.as_bytes().to_vec(),
        nonce: [8; 32],
        not_after: 10,
        proof: user.sign(&challenge).to_vec(),
    };
    let intent = Intent {
        id: [9; 32],
        key_id: public_key.id(),
        executor: service.public_key(),
        commitment: commitment(&[1; 32], &sha256(&[b"pay"])),
        policy: [0; 32],
        not_after: 20,
    };
    let release = Release { intent_id: [9; 32], signature_hash: signature_hash(&user.sign(b"pay")) };
    let steps = [
        vec![Entry::OpenAccount { account }, Entry::BindKey(bind), Entry::Note(b"hello".to_vec())],
        vec![Entry::Intent(intent)],
        vec![Entry::Release(release)],
    ];
    for (sequence, entries) in (1..).zip(&steps) {
        let batch = sign(&service, chain_id, sequence, entries);
        ledger.check_batch(&batch).unwrap();
        let proposal = ledger
            .propose(2_000 + sequence, std::slice::from_ref(&batch), &BlockLimits::default(), &validator)
            .unwrap();
        let block = Block::decode(&proposal.block.encode()).unwrap();
        assert_eq!(block, proposal.block);
        let batches = block.verify_batches(|_| false).unwrap();
        let executed = ledger.validate(&block, &batches).unwrap();
        assert!(executed.records().all(|record| record.outcome.is_accepted()), "{:?}", executed.batches);
        for (index, record) in (0..).zip(executed.records()) {
            assert_eq!(executed.outcomes().record(&block, index).unwrap(), record);
            assert_eq!(record.id(), executed.leaf_hashes[index as usize]);
        }
        let head =
            LedgerHead { signed_header: block.signed_header.clone(), log: executed.ledger.log().clone() };
        let restored =
            Ledger::restore(&LedgerHead::decode(&head.encode()).unwrap(), executed.ledger.state().iter())
                .unwrap();
        assert_eq!(restored.tip(), executed.ledger.tip());
        ledger = restored;
        assert_eq!(ledger.check_batch(&batch).unwrap_err().code(), "REPLAYED");
    }
    // The claim is pruned once its last height has passed.
    let keys = ledger.state().len();
    while ledger.height() < 21 {
        let proposal = ledger.propose(0, &[], &BlockLimits::default(), &validator).unwrap();
        ledger = ledger.replay(&proposal.block).unwrap().ledger;
    }
    assert_eq!(ledger.state().len(), keys - 1);
}

fn sign(key: &SigningKey, chain_id: [u8; 32], sequence: u64, entries: &[Entry]) -> SignedBatch {
    let entries = entries.iter().map(Entry::encode).collect();
    Batch { chain_id, sequence, not_after: 100, entries }.sign(key).unwrap()
}
