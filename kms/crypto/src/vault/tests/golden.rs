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
    let mut evaluating = recovery.granted(&grant).unwrap();
    for index in [1, 3] {
        let keeper = &world.keepers[usize::from(index) - 1];
        let sign = |message: &[u8]| keeper.sign(message);
        let sealed = keeper.share().evaluate_with(&grant, &request.element, sign, &mut world.random).unwrap();
        out.add("SealedEvaluation", &sealed);
        evaluating.answer(index, &sealed).unwrap();
    }
    let mut proven = evaluating.derive().unwrap();
    let proof = proven.proof().unwrap();
    out.add("Proof", &proof);
    for index in [1, 2] {
        let keeper = &world.keepers[usize::from(index) - 1];
        let sign = |message: &[u8]| keeper.sign(message);
        let sealed = keeper.share().release_with(&grant, &proof, sign, &mut world.random).unwrap();
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
    renewed(&mut world, &mut out);
    repaired(&mut world, &mut out);
    out.0
}

/// Keepers 1 and 3 deal anew among all three.
fn renewed(world: &mut World, out: &mut Line) {
    let hash = [6; 32];
    let renewal = Renewal::new(world.vault.clone(), world.plan.keepers.clone(), vec![1, 3]).unwrap();
    out.add("Renewal", renewal.id());
    let mut dealings = Vec::new();
    for dealer in [1, 3] {
        let keeper = &world.keepers[dealer - 1];
        let sign = |message: &[u8]| keeper.sign(message);
        dealings.push(renewal.deal_with(keeper.share(), sign, &mut world.random).unwrap());
        out.add("Dealing", &dealings.last().unwrap().encode());
    }
    let agreed = renewal.agree(dealings.iter().map(|dealing| dealing.handout.clone()).collect()).unwrap();
    out.add("RenewedEvaluation", &agreed.facts(hash).evaluation.concat());
    out.add("RenewedMask", &agreed.facts(hash).mask.concat());
    let pieces: Vec<_> = dealings.iter().map(|dealing| dealing.pieces[1].clone()).collect();
    let share = agreed.receive(hash, &[2; 32], &world.keeper(2).key, None, &pieces).unwrap();
    out.add("RenewedShare", &share.to_secret().expose(<[u8]>::to_vec));
}

/// Keepers 1 and 3 give keeper 2 its share back.
fn repaired(world: &mut World, out: &mut Line) {
    let repair = Repair::new(world.vault.clone(), 2, vec![1, 3], [9; 32]).unwrap();
    let request = world.keeper(2).sign(&repair.request_message());
    out.add("Repair", repair.id());
    out.add("RepairRequest", &request);
    let mut dealings = Vec::new();
    for helper in [1, 3] {
        let keeper = &world.keepers[helper - 1];
        let sign = |message: &[u8]| keeper.sign(message);
        dealings.push(repair.split_with(keeper.share(), &request, sign, &mut world.random).unwrap());
        out.add("Split", &dealings.last().unwrap().encode());
    }
    let handouts: Vec<_> = dealings.iter().map(|dealing| dealing.handout.clone()).collect();
    let mut sums = Vec::new();
    for (place, helper) in [1, 3].into_iter().enumerate() {
        let keeper = &world.keepers[helper - 1];
        let pieces: Vec<_> = dealings.iter().map(|dealing| dealing.pieces[place].clone()).collect();
        let own = &handouts[place];
        let sign = |message: &[u8]| keeper.sign(message);
        let (share, key, random) = (keeper.share(), &keeper.key, &mut world.random);
        sums.push(repair.add_with(share, key, own, &handouts, &pieces, sign, random).unwrap());
        out.add("RepairSum", &sums.last().unwrap().encode());
    }
    let share = repair.finish(&world.keeper(2).key, &handouts, &sums).unwrap();
    assert!(share.to_secret().expose(|bytes| world.keeper(2).share().to_secret().matches(bytes)));
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
