//! Two nodes that differ in an old block: each names the other, the one that is wrong is put right, and both say so.
use super::*;
use keyward_ledger_core::block::{SIGNED_HEADER_BYTES, SignedHeader};

const EXCHANGED: u64 = 7;

/// What a node tells the others of a height: its newest block, and this one.
fn said(node: &Node, height: u64) -> Bytes {
    let held = |height: u64| {
        let block = node.shared.store.block(Id::Height(height)).unwrap().unwrap();
        let header = SignedHeader::decode(&block[..SIGNED_HEADER_BYTES]).unwrap();
        let digest = header.digest();
        [height.to_be_bytes().as_slice(), &digest, &header.header.state_root].concat()
    };
    [vec![0xc1], held(HEIGHT), held(height)].concat().into()
}

fn hears(node: &Node, from: [u8; 32], message: &Bytes) {
    assert!(Peers::default().take(&node.shared, &from, message));
}

fn asked(node: &Node) -> u32 {
    *node.shared.scrub.asked.borrow() as u32
}

/// Block and certificate of a height are others, each with checks that fit.
fn exchange(node: &Node, chain: &Chain) {
    let mut ledger = Ledger::genesis(&chain.genesis);
    for block in chain.blocks.values().take(EXCHANGED as usize - 1) {
        let block = keyward_ledger_core::block::Block::decode(&block.bytes).unwrap();
        ledger = ledger.replay(&block).unwrap().ledger;
    }
    let proposal = ledger.propose(9000, &[], &BlockLimits::default(), &validators()[0]).unwrap();
    let forged = Block::parse(&BlockFormat, Bytes::from(proposal.block.encode())).unwrap();
    let certificate = engine::Certificate { digest: forged.digest, ..chain.certificates[&EXCHANGED].clone() };
    let store = &node.shared.store;
    store.void(Kind::Block, EXCHANGED).unwrap();
    store.void(Kind::Certificate, EXCHANGED).unwrap();
    store.put_block(&forged).unwrap();
    store.put_certificate(EXCHANGED, &certificate).unwrap();
    store.sync().unwrap();
}

#[test]
fn a_node_with_another_old_block_is_named_by_the_others_and_comes_back_to_theirs() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chain = Arc::new(Chain::new());
    let folders = [pristine(&chain, runtime.handle()), tempfile::tempdir().unwrap()];
    copy(folders[0].path(), folders[1].path());
    let [right, wrong] = folders.each_ref().map(|dir| Node::open(dir.path(), &chain, runtime.handle(), true));
    let [by_right, by_wrong] = [[1; 32], [2; 32]];
    exchange(&wrong, &chain);
    let differs = |node: &Node, about: [u8; 32]| {
        let alarms = node.shared.alarms.newest(9);
        let named: Vec<_> = alarms.iter().filter(|alarm| alarm.code == Code::NodeDiffers).collect();
        assert_eq!(named.len(), 1, "{alarms:?}");
        assert_eq!((named[0].node, named[0].height), (Some(about), Some(EXCHANGED)));
        !named[0].repaired
    };
    hears(&right, by_wrong, &said(&wrong, EXCHANGED));
    assert!(differs(&right, by_wrong));
    assert_eq!(asked(&right), 0, "its own certificate says that it is right");
    hears(&wrong, by_right, &said(&right, EXCHANGED));
    assert!(differs(&wrong, by_right));
    assert!(asked(&wrong) > 0, "its own certificate does not hold, so it looks for itself");
    assert_eq!(right.shared.alarms.open_heights(Code::NodeDiffers), [EXCHANGED], "and is told of again");

    let status = wrong.scrub();
    assert!(status.found > 0 && status.unrepaired == 0, "{status:?}");
    holds_everything(&wrong, &chain, "after the scrub");
    // Other heights prove nothing of this one.
    hears(&right, by_wrong, &said(&wrong, EXCHANGED + 1));
    assert!(differs(&right, by_wrong));
    hears(&right, by_right, &said(&wrong, EXCHANGED));
    assert!(differs(&right, by_wrong), "nor what somebody else says");
    hears(&right, by_wrong, &said(&wrong, EXCHANGED));
    hears(&wrong, by_right, &said(&right, EXCHANGED));
    assert!(!differs(&right, by_wrong) && !differs(&wrong, by_right), "put right");
    assert!(right.shared.alarms.open_heights(Code::NodeDiffers).is_empty());
}

#[test]
fn on_one_word_about_another_state_nobody_complains() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chain = Arc::new(Chain::new());
    let folder = pristine(&chain, runtime.handle());
    let node = Node::open(folder.path(), &chain, runtime.handle(), true);
    let (honest, mut peers) = (said(&node, EXCHANGED), Peers::default());
    let mut lie = honest.to_vec();
    *lie.last_mut().unwrap() ^= 1;
    let lie = Bytes::from(lie);
    let complains = || node.shared.reports.complains_of(ComplaintKind::StateRoot);
    let [one, other] = [0, 1].map(|n: usize| validators()[n].public_key());
    // One validator, and however many who are none.
    for from in [[1; 32], [2; 32], [3; 32], one] {
        assert!(peers.take(&node.shared, &from, &lie));
        assert!(!complains());
    }
    assert_eq!(node.shared.alarms.open_heights(Code::NodeDiffers), [EXCHANGED], "but it is alarmed");
    assert!(peers.take(&node.shared, &other, &lie));
    assert!(complains(), "two of four: an honest one is among them");
    assert_eq!(asked(&node), 0, "the certificate here says that this node is right");
}

#[test]
fn a_validator_that_holds_the_same_state_again_is_no_longer_counted_as_another() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chain = Arc::new(Chain::new());
    let folder = pristine(&chain, runtime.handle());
    let node = Node::open(folder.path(), &chain, runtime.handle(), true);
    let honest = said(&node, EXCHANGED);
    let (newest, old) = honest[1..].split_at((honest.len() - 1) / 2);
    let lie = |held: &[u8]| {
        let mut held = held.to_vec();
        *held.last_mut().unwrap() ^= 1;
        held
    };
    let statement = |held: [&[u8]; 2]| Bytes::from([[0xc1_u8].as_slice(), held[0], held[1]].concat());
    let complains = || node.shared.reports.complains_of(ComplaintKind::StateRoot);
    let mut peers = Peers::default();
    let mut says = |n: usize, held: [&[u8]; 2]| {
        assert!(peers.take(&node.shared, &validators()[n].public_key(), &statement(held)));
    };
    says(0, [&lie(old), newest]);
    says(1, [&lie(newest), old]);
    assert!(!complains(), "the first has come back since");
    says(2, [&lie(old), old]);
    assert!(complains(), "the second agreed only on what was before it differed");
}
