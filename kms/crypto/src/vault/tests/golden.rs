//! Bytes that must not change: a whole sealing and recovery from fixed randomness.

use super::super::*;
use super::Seeded;
use super::world::{World, text};
use crate::secret::SecretBytes;
use crate::vectors::parts;

struct Line(String);

impl Line {
    fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.push_str(&format!("{name} = {}\n", hex::encode(bytes)));
    }
}

fn story(seed: u64, export: Option<&SecretBytes>) -> String {
    let mut world = World::sealed(Seeded::new(seed), 2, 3, export);
    let mut out = Line(format!("[vault]\nSeed = {seed}\n"));
    let facts = world.vault.facts().clone();
    for (name, bytes) in [
        ("ChainId", facts.chain_id),
        ("Account", facts.account),
        ("Vault", facts.vault),
        ("ProofKey", facts.proof_key),
        ("CiphertextHash", facts.ciphertext_hash),
        ("SharesHash", facts.shares_hash),
    ] {
        out.add(name, &bytes);
    }
    out.add("Mode", &[facts.mode as u8]);
    out.add("Evaluation", &facts.evaluation.concat());
    out.add("Mask", &facts.mask.concat());
    for index in 1..=3 {
        out.add("KeeperSecret", &world.keeper(index).key.expose(<[u8]>::to_vec));
        out.add("SealedShare", &world.carried[usize::from(index) - 1]);
        out.add("KeptShare", &world.keeper(index).share().to_secret().expose(<[u8]>::to_vec));
    }
    let (recovery, request) =
        Recovery::begin_with(world.vault.clone(), &text("right"), &mut world.random).unwrap();
    out.add("Element", &request.element);
    out.add("ElementHash", &request.element_hash);
    out.add("ReplyKey", &request.reply_key);
    let grant = world.grant(&request);
    out.add("Attempt", &grant.attempt);
    let mut evaluating = recovery.granted(grant.attempt);
    for index in [1, 3] {
        let keeper = &world.keepers[usize::from(index) - 1];
        let sign = |message: &[u8]| keeper.sign(message);
        let sealed = keeper.share().evaluate_with(&grant, &request.element, sign, &mut world.random).unwrap();
        out.add("SealedEvaluation", &sealed);
        evaluating.answer(index, &sealed).unwrap();
    }
    let mut proven = evaluating.derive().unwrap();
    out.add("Proof", &proven.proof().unwrap());
    for index in [1, 2] {
        let keeper = &world.keepers[usize::from(index) - 1];
        let sealed =
            keeper.share().release_with(&grant, |message| keeper.sign(message), &mut world.random).unwrap();
        out.add("SealedRelease", &sealed);
        proven.release(index, &sealed).unwrap();
    }
    let keys = proven.open(export).unwrap();
    out.add("Contents", &contents::encode(&keys).unwrap());
    let keeper = &world.keepers[1];
    let drill = keeper
        .share()
        .drill_with(&world.vault, &[5; 32], |message| keeper.sign(message), &mut world.random)
        .unwrap();
    out.add("Drill", &drill.encode());
    out.0
}

#[test]
fn vault_has_the_golden_bytes() {
    let export = SecretBytes::new(vec![0x42; 64]);
    let found = format!(
        "# A vault with 2 of 3 keepers, password `right`, Argon2id 64 KiB, 1 pass, 1 lane; the randomness is the\n\
         # tests' generator from the seed. The second has an export key of 64 bytes 0x42.\n{}{}",
        story(1, None),
        story(2, Some(&export))
    );
    assert_eq!(parts(&found).len(), 2);
    // A change of these bytes is a change of format: a new version beside the old one, never in its place.
    if std::env::var_os("KEYWARD_PRINT_GOLDEN").is_some() {
        println!("{found}");
    }
    let golden = std::fs::read_to_string("tests/vectors/vault.txt").unwrap();
    assert!(found == golden, "the vault's bytes changed");
}
