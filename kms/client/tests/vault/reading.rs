//! What a service shows of keepers and vaults is believed only as far as it is proven, fresh, and what was asked for.

use keyward_client::EvidenceError;
use keyward_client::vault::{SealError, SealOrder, VaultError};
use keyward_ledger_core::entry::{Act, Authored, Entry, RuleName, VaultAct};
use keyward_ledger_core::genesis::Role;
use keyward_ledger_core::state::keeper::{KeeperState, keeper_key, keepers_key};
use keyward_ledger_core::state::vault::vault_key;
use keyward_ledger_core::vault::{Refresh, acknowledge, vault_rule};
use keyward_ledger_verify::Failure;
use keyward_proto::custody::{ListKeepersResponse, ShowVaultResponse};

use super::world::{ANNA, BORIS, Chain, Lies, World, login, main_vault, order, password};

fn name_of(account: [u8; 32]) -> RuleName {
    RuleName { owner: account, name: main_vault().id() }
}

/// A service that shows this, and nothing else.
fn showing(shown: ShowVaultResponse) -> Lies {
    Lies { show: Some(Box::new(move |_, _| shown.clone())), ..Lies::default() }
}

fn listing(lie: impl Fn(&World, ListKeepersResponse) -> ListKeepersResponse + Send + 'static) -> Lies {
    Lies { keepers: Some(Box::new(lie)), ..Lies::default() }
}

/// Deals an account's shares anew, as keepers do: the same secrets in the next share version.
pub(super) fn refresh(world: &World, account: [u8; 32], sealing: &keyward_ledger_core::vault::Sealing) {
    let refresh = Refresh {
        expires_ms: None,
        vault: name_of(account),
        version: sealing.version,
        share_version: 2,
        shares: sealing.shares.clone(),
    };
    let (hash, chain_id) = (refresh.hash(), world.snapshot().chain_id());
    let sign = |(index, id): (u8, &[u8; 32])| {
        let keeper = world.keepers.iter().find(|keeper| keeper.id() == *id).unwrap();
        acknowledge(&keeper.signing, &chain_id, &hash, index)
    };
    let acknowledgements = (1..).zip(&sealing.shares.keepers).map(sign).collect();
    let act = VaultAct::Refresh { refresh: Box::new(refresh), acknowledgements, consents: Vec::new() };
    let entry = Entry::Authored(Authored { act: Act::Vault(act), authors: Vec::new() });
    let by = world.keepers[0].signing.public_key();
    let (_, outcome) = world.chain.lock().unwrap().record_as(&by, Role::Keeper, &entry.encode());
    assert_eq!(outcome.name(), "ACCEPTED");
}

#[tokio::test]
async fn without_a_trust_file_or_a_session_nobody_is_even_asked() {
    let world = World::start().await;
    let blind = world.untrusting(ANNA).await;
    let trust = world.snapshot().trust_file();
    let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let nobody = keyward_client::Client::over(channel, "nobody").with_trust(&trust).unwrap();
    let (vault, pass) = (main_vault(), password("right"));
    assert!(matches!(blind.keepers().await, Err(VaultError::TrustMissing)));
    assert!(matches!(blind.vault_status(&vault).await, Err(VaultError::TrustMissing)));
    assert!(matches!(blind.check_vault(&vault, &|_| ()).await, Err(VaultError::TrustMissing)));
    assert!(matches!(
        blind.destroy_vault(&login(ANNA), &vault, &|_| ()).await,
        Err(VaultError::TrustMissing)
    ));
    let sealed = blind.seal_vault(&login(ANNA), &vault, &pass, order(), &|_| ()).await;
    assert!(matches!(sealed, Err(SealError::Vault(VaultError::TrustMissing))));
    let recovered = blind.recover_vault(&login(ANNA), &vault, &pass, "", &|_| ()).await.unwrap_err();
    assert_eq!(recovered.error.code(), Some("VAULT_TRUST_MISSING"));
    assert!(matches!(nobody.vault_status(&vault).await, Err(VaultError::AccountMissing)));
    assert_eq!(*world.calls.lock().unwrap(), 0);
}

#[tokio::test]
async fn keepers_come_from_fresh_proofs_of_this_ledger_and_of_each_keeper_itself() {
    let world = World::start().await;
    let client = world.client(ANNA).await;
    assert_eq!(client.keepers().await.unwrap().len(), 5);
    let swapped = |_: &World, mut shown: ListKeepersResponse| {
        shown.keepers.swap(0, 1);
        shown
    };
    world.lie(listing(swapped));
    let error = client.keepers().await.unwrap_err();
    assert!(
        matches!(
            error,
            VaultError::Evidence(EvidenceError::Proof {
                what: "a keeper's keys",
                source: Failure::OtherStateKey
            })
        ),
        "{error}"
    );
    let fewer = |_: &World, mut shown: ListKeepersResponse| {
        shown.keepers.pop();
        shown
    };
    world.lie(listing(fewer));
    assert!(matches!(client.keepers().await, Err(VaultError::Evidence(EvidenceError::Substituted(_)))));
    // A ledger of the service's own, with its own keepers on it.
    world.lie(listing(|world, _| {
        let mut own = Chain::new(100);
        own.state = world.snapshot().state;
        let ids: Vec<_> = world.keepers.iter().map(|keeper| keeper.id()).collect();
        let keepers = ids.iter().map(|id| own.proof(&keeper_key(id)).into()).collect();
        ListKeepersResponse { list: own.proof(&keepers_key()).into(), keepers }
    }));
    let error = client.keepers().await.unwrap_err();
    assert!(
        matches!(
            error,
            VaultError::Evidence(EvidenceError::Proof {
                what: "the list of keepers",
                source: Failure::OtherGenesis
            })
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_keepers_substituted_key_breaks_the_proof() {
    let world = World::start().await;
    let client = world.client(ANNA).await;
    world.lie(listing(|world, mut shown| {
        let keeper = &world.keepers[0];
        let mut forged = keeper.state();
        let mut own = world.snapshot();
        let genuine = own.proof(&keeper_key(&keeper.id()));
        forged.keeper.hpke_key = [9; 32];
        own.state.insert(&keeper_key(&keeper.id()), &forged.encode());
        // The forged value under the genuine certificate.
        let mut receipt = keyward_ledger_core::receipt::StateReceipt::decode(&genuine).unwrap();
        receipt.proof = own.state.prove(&keeper_key(&keeper.id()));
        let list = own.state.get(&keepers_key()).unwrap()[4..].to_vec();
        let place = list.chunks(32).position(|id| id == keeper.id()).unwrap();
        shown.keepers[place] = receipt.encode().into();
        shown
    }));
    let error = client.keepers().await.unwrap_err();
    assert!(
        matches!(error, VaultError::Evidence(EvidenceError::Proof { what: "a keeper's keys", .. })),
        "{error}"
    );
}

#[tokio::test]
async fn a_keeper_that_left_is_sealed_to_no_more() {
    let world = World::start().await;
    {
        let mut chain = world.chain.lock().unwrap();
        let keeper = &world.keepers[0];
        let gone = KeeperState { present: false, height: 2, ..keeper.state() };
        chain.state.insert(&keeper_key(&keeper.id()), &gone.encode());
    }
    let client = world.client(ANNA).await;
    assert_eq!(client.keepers().await.unwrap().len(), 4);
    let error = client.seal_vault(&login(ANNA), &main_vault(), &password("right"), order(), &|_| ()).await;
    assert!(matches!(error.unwrap_err(), SealError::KeeperUnknown { .. }));
}

#[tokio::test]
async fn old_state_is_refused_however_well_it_is_proven() {
    let world = World::start().await;
    let mut old = world.snapshot();
    old.time_ms -= 11 * 60 * 1000;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    let absent = ShowVaultResponse {
        vault: old.proof(&vault_key(&vault_rule(&name_of(ANNA)))).into(),
        ..ShowVaultResponse::default()
    };
    world.lie(showing(absent));
    let error = client.vault_status(&main_vault()).await.unwrap_err();
    assert!(matches!(error, VaultError::Stale { source: Failure::TooOld { .. }, .. }), "{error}");
    assert_eq!(error.code(), Some("VAULT_STATE_STALE"));
    world.lie(listing(move |world, shown| {
        let mut old = world.snapshot();
        old.time_ms -= 11 * 60 * 1000;
        ListKeepersResponse { list: old.proof(&keepers_key()).into(), ..shown }
    }));
    assert!(matches!(client.keepers().await, Err(VaultError::Stale { .. })));
}

#[tokio::test]
async fn an_older_sealing_is_refused_beside_the_newest_state() {
    let world = World::start().await;
    let first = world.seal(ANNA, order()).await;
    world.seal(ANNA, SealOrder { anew: true, ..order() }).await;
    let client = world.client(ANNA).await;
    world.lie(Lies {
        show: Some(Box::new(move |world, shown| ShowVaultResponse {
            sealing: world.snapshot().receipt(first.leaf_index).into(),
            ..shown
        })),
        ..Lies::default()
    });
    let error = client.vault_status(&main_vault()).await.unwrap_err();
    assert!(
        matches!(error, VaultError::Evidence(EvidenceError::Substituted("a sealing that is not the newest"))),
        "{error}"
    );
}

#[tokio::test]
async fn receipts_of_another_account_or_vault_are_refused() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let boris = world.seal(BORIS, order()).await;
    let client = world.client(ANNA).await;
    let his = super::world::shown(&world.snapshot(), &name_of(BORIS));
    world.lie(showing(his.clone()));
    let error = client.vault_status(&main_vault()).await.unwrap_err();
    assert!(
        matches!(
            error,
            VaultError::Evidence(EvidenceError::Proof { what: "the vault", source: Failure::OtherStateKey })
        ),
        "{error}"
    );
    let own = super::world::shown(&world.snapshot(), &name_of(ANNA));
    let sealing = world.snapshot().receipt(boris.leaf_index).into();
    world.lie(showing(ShowVaultResponse { sealing, ..own.clone() }));
    let error = client.vault_status(&main_vault()).await.unwrap_err();
    assert!(
        matches!(error, VaultError::Evidence(EvidenceError::Substituted("the sealing of another vault"))),
        "{error}"
    );
    for swapped in [
        ShowVaultResponse { counter: his.counter.clone(), ..own.clone() },
        ShowVaultResponse { holders: his.holders.clone(), ..own.clone() },
    ] {
        world.lie(showing(swapped));
        let error = client.vault_status(&main_vault()).await.unwrap_err();
        assert!(
            matches!(
                error,
                VaultError::Evidence(EvidenceError::Proof { source: Failure::OtherStateKey, .. })
            ),
            "{error}"
        );
    }
    for shorter in [
        ShowVaultResponse { keepers: own.keepers[1..].to_vec(), ..own.clone() },
        ShowVaultResponse { holders: own.holders[1..].to_vec(), ..own.clone() },
    ] {
        world.lie(showing(shorter));
        assert!(matches!(
            client.vault_status(&main_vault()).await,
            Err(VaultError::Evidence(EvidenceError::Substituted(_)))
        ));
    }
}

#[tokio::test]
async fn shares_that_were_dealt_anew_are_not_hidden() {
    let world = World::start().await;
    let sealed = world.seal(ANNA, order()).await;
    let before = world.snapshot();
    refresh(&world, ANNA, &sealed.sealing);
    let client = world.client(ANNA).await;
    let status = client.vault_status(&main_vault()).await.unwrap().unwrap();
    assert_eq!(status.vault().shares().share_version, 2);
    // The receipt of the sealing, or none, in the place of the refresh.
    let own = super::world::shown(&world.snapshot(), &name_of(ANNA));
    world.lie(showing(ShowVaultResponse { shares: own.sealing.clone(), ..own.clone() }));
    let error = client.vault_status(&main_vault()).await.unwrap_err();
    let VaultError::Evidence(EvidenceError::Substituted(what)) = error else { panic!("{error}") };
    assert_eq!(what, "a record that deals nothing as the dealing of the shares");
    world.lie(showing(ShowVaultResponse { shares: Default::default(), ..own }));
    assert!(matches!(
        client.vault_status(&main_vault()).await,
        Err(VaultError::Evidence(EvidenceError::Proof { what: "the vault's shares", .. }))
    ));
    // State from just before is fresh enough to be shown; the ledger then refuses the attempt, and nothing is spent.
    world.lie(showing(super::world::shown(&before, &name_of(ANNA))));
    let failure =
        client.recover_vault(&login(ANNA), &main_vault(), &password("right"), "", &|_| ()).await.unwrap_err();
    assert_eq!(failure.error.code(), Some("VAULT_VERSION_STALE"));
    assert_eq!(failure.spent, keyward_client::vault::Spent::Nothing);
}
