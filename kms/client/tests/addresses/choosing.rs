//! Choosing, and what was chosen.

use keyward_client::addresses::{ChooseTerms, Custody};
use keyward_ledger_core::entry::{Act, AddressAct, Authored, Entry};
use keyward_ledger_core::state::addresses::addresses_key;
use keyward_proto::custody::{
    AddressEpoch, ChooseAddressesResponse, PrepareAddressesResponse, ShowAddressesResponse,
};

use crate::addresses::world::{ANNA, BORIS, HOUR_MS, Lies, World, code, login};
use crate::toy::Chain;

const ANY: ChooseTerms = ChooseTerms { tenant: None, epoch_ms: None };

#[tokio::test]
async fn what_was_chosen_is_proven_and_for_good() {
    let world = World::start().await;
    let anna = world.client(ANNA).await;
    assert_eq!(code(anna.chosen_addresses().await), "ADDRESSES_UNKNOWN");
    let terms = ChooseTerms { tenant: Some(world.tenant()), epoch_ms: Some(HOUR_MS) };
    let (done, chose) = anna.choose_addresses(&login(ANNA), Custody::Own, terms).await.unwrap();
    let chosen = anna.chosen_addresses().await.unwrap();
    assert_eq!(
        (chosen.account, chosen.state.custody, chosen.state.leaf),
        (ANNA, Custody::Own, done.leaf_index)
    );
    assert_eq!((chosen.state.tenant, chosen.state.epoch_ms), (chose.tenant, HOUR_MS));
    assert_eq!(chosen.state.first, world.epoch());
    for custody in [Custody::Own, Custody::Hosted] {
        let again = anna.choose_addresses(&login(ANNA), custody, ANY).await;
        assert_eq!(code(again), "ADDRESSES_CHOSEN");
    }
    // Somebody else's session with this login's word: the ledger would refuse it, this side does not even say it for Boris.
    let boris = world.client(BORIS).await;
    assert_eq!(code(boris.choose_addresses(&login(ANNA), Custody::Own, ANY).await), "ADDRESSES_UNPROVEN");
    assert_eq!(code(world.untrusting(ANNA).await.chosen_addresses().await), "ADDRESSES_TRUST_MISSING");
}

#[tokio::test]
async fn another_tenant_other_epochs_and_another_ledger_are_not_chosen() {
    let world = World::start().await;
    let anna = world.client(ANNA).await;
    let lies: [fn(PrepareAddressesResponse) -> PrepareAddressesResponse; 4] = [
        |said| PrepareAddressesResponse { tenant: vec![7; 32].into(), ..said },
        |said| PrepareAddressesResponse { epoch_ms: 2 * HOUR_MS, ..said },
        |said| PrepareAddressesResponse { epoch_ms: 0, ..said },
        |said| PrepareAddressesResponse { chain_id: vec![7; 32].into(), ..said },
    ];
    let terms = ChooseTerms { tenant: Some(world.tenant()), epoch_ms: None };
    for (at, lie) in lies.into_iter().enumerate() {
        world.lie(Lies { prepare: Some(Box::new(move |_, said| lie(said))), ..Lies::default() });
        let epoch_ms = (at == 1).then_some(HOUR_MS);
        let refused =
            anna.choose_addresses(&login(ANNA), Custody::Own, ChooseTerms { epoch_ms, ..terms }).await;
        let error = refused.unwrap_err();
        assert!(matches!(error.code(), Some("ADDRESSES_SUBSTITUTED") | None), "{at}: {error}");
        assert_eq!(world.called("choose"), 0, "{at}: nothing was signed");
    }
}

#[tokio::test]
async fn forged_and_foreign_receipts_of_the_choice_are_refused() {
    let world = World::start().await;
    let anna = world.client(ANNA).await;
    let boris = world.client(BORIS).await;
    let (foreign, _) = boris.choose_addresses(&login(BORIS), Custody::Own, ANY).await.unwrap();
    let told = foreign.receipt.clone();
    world.lie(Lies {
        choose: Some(Box::new(move |_, _| ChooseAddressesResponse { receipt: told.clone().into() })),
        ..Lies::default()
    });
    let refused = anna.choose_addresses(&login(ANNA), Custody::Hosted, ANY).await;
    assert_eq!(code(refused), "ADDRESSES_SUBSTITUTED");
    // What the service did nevertheless is known from the ledger.
    assert_eq!(anna.chosen_addresses().await.unwrap().state.custody, Custody::Hosted);
    let (world, _) = World::hosted().await;
    let anna = world.client(ANNA).await;
    world.lie(Lies {
        choose: Some(Box::new(|_, said| {
            let mut receipt = said.receipt.to_vec();
            let middle = receipt.len() / 2;
            receipt[middle] ^= 1;
            ChooseAddressesResponse { receipt: receipt.into() }
        })),
        ..Lies::default()
    });
    assert_eq!(code(anna.choose_addresses(&login(ANNA), Custody::Own, ANY).await), "ADDRESSES_UNPROVEN");
}

#[tokio::test]
async fn proofs_of_another_account_ledger_or_time_show_nothing() {
    let (world, boris) = World::hosted().await;
    let before = {
        let mut chain = world.chain.lock().unwrap().clone();
        chain.time_ms -= 3 * HOUR_MS;
        chain.proof(&addresses_key(&BORIS))
    };
    let proofs = [
        Chain::new(9).proof(&addresses_key(&BORIS)),
        world.chain.lock().unwrap().proof(&addresses_key(&ANNA)),
        before,
        Vec::new(),
    ];
    for proof in proofs {
        let chosen: tonic::codegen::Bytes = proof.into();
        world.lie(Lies {
            show: Some(Box::new(move |_, said| ShowAddressesResponse { chosen: chosen.clone(), ..said })),
            ..Lies::default()
        });
        assert_eq!(code(boris.chosen_addresses().await), "ADDRESSES_UNPROVEN");
    }
    let epoch = |epoch| AddressEpoch { epoch, ..AddressEpoch::default() };
    let epochs = vec![epoch(1), epoch(1)];
    world.lie(Lies {
        show: Some(Box::new(move |_, said| ShowAddressesResponse { epochs: epochs.clone(), ..said })),
        ..Lies::default()
    });
    assert_eq!(code(boris.show_addresses().await), "ADDRESSES_SUBSTITUTED");
}

#[tokio::test]
async fn only_the_accounts_own_word_is_said() {
    let world = World::start().await;
    let anna = world.client(ANNA).await;
    let (done, chose) = anna.choose_addresses(&login(ANNA), Custody::Own, ANY).await.unwrap();
    let chain = world.chain.lock().unwrap();
    let (entry, _) = chain.entry(done.leaf_index).unwrap();
    let Ok(Entry::Authored(Authored { act: Act::Addresses(AddressAct::Choose(found)), authors })) =
        Entry::decode(entry)
    else {
        panic!("no choice")
    };
    assert_eq!((found, authors.len()), (chose, 1));
    assert_eq!(authors[0].party, keyward_ledger_core::entry::Party::Credential(ANNA));
}
