//! Factors: who has to sign an attempt, what of it is believed, and that nobody spends a guess without them.

use keyward_client::vault::{
    Asked, ConsentError, Factors, FactorsError, Party, RecoverError, SealError, SealOrder, Signer, Spent,
    Standing, Unable, VaultError, VaultTerms,
};
use keyward_client::{Client, EvidenceError, Petition};
use keyward_crypto::SigningKey;
use keyward_domain::scheme::{KeyId, Scheme};
use keyward_ledger_core::entry::{Act, Entry, Mode, VaultAct, VaultAttempt};
use keyward_ledger_core::genesis::Role;
use keyward_ledger_core::state::layout::{KeyState, KeyStatus, key_key};
use keyward_proto::custody::ListSignersResponse;

use super::reading::refresh;
use super::world::{ANNA, BORIS, CLARA, Lies, TERMS, World, key, login, main_vault, order, password};

/// A token's key, with a scheme of its own.
fn token() -> SigningKey {
    SigningKey::from_secret(Scheme::EcdsaP256, &[0x33; 32]).unwrap()
}

fn token_party() -> Party {
    Party::Key(token().public_key().id())
}

fn bind(world: &World, key_id: KeyId, scheme: Scheme, account: [u8; 32], mode: Mode, status: KeyStatus) {
    let state = KeyState { account, mode, scheme, status, height: 1, version: 1 };
    world.chain.lock().unwrap().state.insert(&key_key(&key_id), &state.encode());
}

fn bind_token(world: &World, status: KeyStatus) {
    bind(world, token().public_key().id(), Scheme::EcdsaP256, CLARA, Mode::Linked, status);
}

fn asking(factors: Factors) -> SealOrder {
    SealOrder { terms: VaultTerms { factors, ..TERMS }, ..order() }
}

/// Anna herself, Boris, and Clara's token: all of them.
fn all_three() -> SealOrder {
    let parties = vec![Party::Credential(ANNA), Party::Credential(BORIS), token_party()];
    asking(Factors::Of { needed: 3, parties })
}

async fn sealed() -> (std::sync::Arc<World>, Client) {
    let world = World::start().await;
    bind_token(&world, KeyStatus::Active);
    world.seal(ANNA, all_three()).await;
    let client = world.client(ANNA).await;
    (world, client)
}

async fn ask(client: &Client) -> Asked {
    client.ask_vault(&login(ANNA), &main_vault(), &password("right"), true, &|_| ()).await.unwrap()
}

/// The words of Boris and of the token, each from its own copy of the petition.
async fn consents(world: &World, petition: &Petition) -> [Petition; 2] {
    let (mut of_boris, mut of_token) = (petition.clone(), petition.clone());
    world.client(BORIS).await.consent(&login(BORIS), &mut of_boris).await.unwrap();
    world.client(CLARA).await.consent_with_own_key(&token(), &mut of_token).await.unwrap();
    [of_boris, of_token].map(|petition| Petition::parse(&petition.to_text()).unwrap())
}

async fn left(client: &Client) -> (u32, u32) {
    let attempts = client.vault_status(&main_vault()).await.unwrap().unwrap().attempts;
    (attempts.left, attempts.lifetime_left)
}

fn attempts(world: &World) -> usize {
    let is_attempt = |bytes: &&Vec<u8>| {
        matches!(Entry::decode(bytes), Ok(Entry::Authored(authored))
            if matches!(authored.act, Act::Vault(VaultAct::Attempt(_))))
    };
    world.handed_in.lock().unwrap().iter().filter(is_attempt).count()
}

#[tokio::test]
async fn with_all_who_have_to_sign_the_keys_come_back_and_without_them_nothing_is_handed_in() {
    let (world, client) = sealed().await;
    // As one who asks nobody.
    let failure =
        client.recover_vault(&login(ANNA), &main_vault(), &password("right"), "", &|_| ()).await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::FactorsMissing { needed: 2 }), "{failure}");
    assert_eq!((failure.spent, failure.error.code()), (Spent::Nothing, Some("AUTHORS_MISSING")));

    let mut asked = ask(&client).await;
    assert_eq!(asked.missing(), 2);
    let [of_boris, of_token] = consents(&world, asked.petition()).await;
    assert_eq!(client.take_consent(&mut asked, &of_boris).await.unwrap(), [Party::Credential(BORIS)]);
    let failure = client.recover_asked(&login(ANNA), &mut asked, "", &|_| ()).await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::FactorsMissing { needed: 1 }), "{failure}");
    assert_eq!((attempts(&world), left(&client).await), (0, (3, 4)));

    assert_eq!(client.take_consent(&mut asked, &of_token).await.unwrap(), [token_party()]);
    let recovered = client.recover_asked(&login(ANNA), &mut asked, "", &|_| ()).await.unwrap();
    assert_eq!(recovered.keys[0].public_key, key(7).public_key);
    assert_eq!((attempts(&world), left(&client).await), (1, (3, 4)));
    // What was granted is used up, here and on the ledger.
    let failure = client.recover_asked(&login(ANNA), &mut asked, "", &|_| ()).await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::Used), "{failure}");
}

#[tokio::test]
async fn one_petition_that_goes_from_hand_to_hand_is_as_good() {
    let (world, client) = sealed().await;
    let mut asked = ask(&client).await;
    let mut round = asked.petition().clone();
    world.client(BORIS).await.consent(&login(BORIS), &mut round).await.unwrap();
    world.client(CLARA).await.consent_with_own_key(&token(), &mut round).await.unwrap();
    let again = world.client(BORIS).await.consent(&login(BORIS), &mut round).await.unwrap_err();
    assert_eq!(again.code(), Some("CONSENT_GIVEN"));
    assert_eq!(client.take_consent(&mut asked, &round).await.unwrap().len(), 2);
    client.recover_asked(&login(ANNA), &mut asked, "", &|_| ()).await.unwrap();
}

#[tokio::test]
async fn a_consent_that_is_replayed_altered_foreign_surplus_or_expired_is_refused_by_name_and_costs_nothing()
{
    let (world, client) = sealed().await;
    let mut before = ask(&client).await;
    let [old, _] = consents(&world, before.petition()).await;
    let mut asked = ask(&client).await;
    let [of_boris, of_token] = consents(&world, asked.petition()).await;
    let code = async |asked: &mut Asked, petition: &Petition| {
        let error = client.take_consent(asked, petition).await.unwrap_err();
        error.code().unwrap().to_owned()
    };
    assert_eq!(code(&mut asked, &old).await, "CONSENT_OTHER_ATTEMPT", "of another request");
    assert_eq!(code(&mut asked, &before.petition().clone()).await, "CONSENT_OTHER_ATTEMPT");
    let unsigned = asked_text(asked.petition());
    assert_eq!(code(&mut asked, &unsigned).await, "CONSENT_UNSIGNED");
    // Boris's word for another attempt under this one.
    let mut swapped = asked.petition().clone();
    swapped.add(old.authors()[0].clone()).unwrap();
    assert_eq!(code(&mut asked, &swapped).await, "AUTHOR_SIGNATURE_INVALID");
    // Signed by one key in the name of another, and in the name of a person.
    let mut forged = of_token.authors()[0].clone();
    forged.public_key = key(9).public_key.as_bytes().to_vec();
    let mut under = asked.petition().clone();
    under.add(forged).unwrap();
    assert_eq!(code(&mut asked, &under).await, "AUTHOR_SIGNATURE_INVALID");
    let mut as_boris = asked.petition().clone();
    as_boris.sign_as_account(BORIS, &login(CLARA).credential, world.snapshot().height + 100).unwrap();
    assert_eq!(code(&mut asked, &as_boris).await, "AUTHOR_SIGNATURE_INVALID");
    // Clara is not named, only her token is.
    let mut of_clara = asked.petition().clone();
    world.client(CLARA).await.consent(&login(CLARA), &mut of_clara).await.unwrap();
    assert_eq!(code(&mut asked, &of_clara).await, "AUTHOR_NOT_NAMED");
    // Over, and for longer than the ledger takes.
    for not_after in [world.snapshot().height, world.snapshot().height + 20_000] {
        let mut expired = asked.petition().clone();
        expired.sign_as_account(BORIS, &login(BORIS).credential, not_after).unwrap();
        assert_eq!(code(&mut asked, &expired).await, "AUTHOR_SIGNATURE_EXPIRED");
    }
    // Another ledger's.
    let mut words: Vec<_> = of_boris.to_text().split(' ').map(str::to_owned).collect();
    words[1] = "00".repeat(32);
    assert_eq!(code(&mut asked, &Petition::parse(&words.join(" ")).unwrap()).await, "CONSENT_OTHER_LEDGER");
    assert_eq!(asked.missing(), 2, "none of it was taken");

    client.take_consent(&mut asked, &of_boris).await.unwrap();
    assert_eq!(code(&mut asked, &of_boris).await, "CONSENT_GIVEN");
    client.take_consent(&mut asked, &of_token).await.unwrap();
    assert_eq!(code(&mut asked, &of_token).await, "CONSENT_GIVEN");
    assert_eq!((attempts(&world), left(&client).await), (0, (3, 4)));
    client.recover_asked(&login(ANNA), &mut asked, "", &|_| ()).await.unwrap();
    // The words for the first request are still good for that one alone.
    assert_eq!(client.take_consent(&mut before, &old).await.unwrap(), [Party::Credential(BORIS)]);
}

#[tokio::test]
async fn a_consent_that_ran_out_is_given_and_taken_anew() {
    let (world, client) = sealed().await;
    let mut asked = ask(&client).await;
    let mut of_boris = asked.petition().clone();
    of_boris.sign_as_account(BORIS, &login(BORIS).credential, world.snapshot().height + 2).unwrap();
    client.take_consent(&mut asked, &of_boris).await.unwrap();
    for _ in 0..3 {
        world.chain.lock().unwrap().record(&Entry::Note(vec![1]).encode());
    }
    let old = of_boris.clone();
    world.client(BORIS).await.consent(&login(BORIS), &mut of_boris).await.unwrap();
    assert_eq!(client.take_consent(&mut asked, &of_boris).await.unwrap(), [Party::Credential(BORIS)]);
    assert_eq!(asked.missing(), 1, "it is one person's word all the same");
    let older = client.take_consent(&mut asked, &old).await.unwrap_err();
    assert_eq!(older.code(), Some("CONSENT_GIVEN"));
    let mut of_token = asked.petition().clone();
    world.client(CLARA).await.consent_with_own_key(&token(), &mut of_token).await.unwrap();
    client.take_consent(&mut asked, &of_token).await.unwrap();
    client.recover_asked(&login(ANNA), &mut asked, "", &|_| ()).await.unwrap();
}

fn asked_text(petition: &Petition) -> Petition {
    Petition::parse(&petition.to_text()).unwrap()
}

#[tokio::test]
async fn more_words_than_are_needed_are_surplus() {
    let world = World::start().await;
    bind_token(&world, KeyStatus::Active);
    let parties = vec![Party::Credential(BORIS), token_party()];
    world.seal(ANNA, asking(Factors::Of { needed: 1, parties })).await;
    let client = world.client(ANNA).await;
    let mut asked = ask(&client).await;
    assert_eq!(asked.missing(), 1);
    let [of_boris, of_token] = consents(&world, asked.petition()).await;
    client.take_consent(&mut asked, &of_token).await.unwrap();
    let error = client.take_consent(&mut asked, &of_boris).await.unwrap_err();
    assert!(matches!(error, ConsentError::Surplus(Party::Credential(BORIS))), "{error}");
    // Anna's own word is not asked for, and not given.
    client.recover_asked(&login(ANNA), &mut asked, "", &|_| ()).await.unwrap();
    assert_eq!(left(&client).await, (3, 4));
}

#[tokio::test]
async fn a_stranger_who_knows_the_name_burns_no_guess_and_neither_does_the_service() {
    let (world, client) = sealed().await;
    let chain_id = world.snapshot().chain_id();
    let status = client.vault_status(&main_vault()).await.unwrap().unwrap();
    let mut petition = Petition::new(
        chain_id,
        Act::Vault(VaultAct::Attempt(VaultAttempt {
            vault: status.sealing.vault,
            version: 1,
            share_version: 1,
            element: [1; 32],
            reply_key: [2; 32],
        })),
    );
    let refused = |petition: &Petition| {
        let mut chain = world.snapshot();
        chain.record_as(&[0x55; 32], Role::Service, &petition.entry().encode()).1.name()
    };
    assert_eq!(refused(&petition), "AUTHORS_MISSING");
    let until = world.snapshot().height + 100;
    // All that a thief of Anna's password can add is Anna's own word.
    petition.sign_as_account(ANNA, &login(ANNA).credential, until).unwrap();
    assert_eq!(refused(&petition), "AUTHORS_MISSING");
    let mut stranger = petition.clone();
    stranger.sign_as_account(CLARA, &login(CLARA).credential, until).unwrap();
    assert_eq!(refused(&stranger), "AUTHOR_NOT_NAMED");
    petition.sign_as_account(BORIS, &login(CLARA).credential, until).unwrap();
    petition.sign_as_key(&token(), until).unwrap();
    assert_eq!(refused(&petition), "AUTHOR_SIGNATURE_INVALID");
    assert_eq!(left(&client).await, (3, 4));
}

#[tokio::test]
async fn who_cannot_sign_any_more_is_told_so_before_a_guess_is_spent() {
    let (world, client) = sealed().await;
    let mut asked = ask(&client).await;
    let [_, of_token] = consents(&world, asked.petition()).await;
    bind_token(&world, KeyStatus::Frozen);
    let error = client.take_consent(&mut asked, &of_token).await.unwrap_err();
    assert!(matches!(error, ConsentError::Unable { unable: Unable::Frozen, .. }), "{error}");
    let mut petition = asked.petition().clone();
    let error = world.client(CLARA).await.consent_with_own_key(&token(), &mut petition).await.unwrap_err();
    assert!(matches!(error, ConsentError::Unable { unable: Unable::Frozen, .. }), "{error}");
    let status = client.vault_status(&main_vault()).await.unwrap().unwrap();
    let factors = client.vault_factors(&status).await.unwrap();
    let unable: Vec<_> = factors.iter().map(|factor| factor.signer.unable()).collect();
    assert_eq!(unable, [None, None, Some(Unable::Frozen)]);
    assert_eq!(left(&client).await, (3, 4));
}

#[tokio::test]
async fn words_for_shares_that_were_dealt_anew_meanwhile_are_stale_and_cost_nothing() {
    let (world, client) = sealed().await;
    let mut asked = ask(&client).await;
    for consent in consents(&world, asked.petition()).await {
        client.take_consent(&mut asked, &consent).await.unwrap();
    }
    refresh(&world, ANNA, &asked.status().sealing.clone());
    let failure = client.recover_asked(&login(ANNA), &mut asked, "", &|_| ()).await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::Stale), "{failure}");
    assert_eq!((failure.spent, failure.attempts.unwrap().left), (Spent::Nothing, 3));
    assert_eq!(attempts(&world), 0);
}

#[tokio::test]
async fn a_service_that_refuses_at_first_can_be_asked_again_with_the_same_words() {
    let (world, client) = sealed().await;
    let mut asked = ask(&client).await;
    for consent in consents(&world, asked.petition()).await {
        client.take_consent(&mut asked, &consent).await.unwrap();
    }
    world.lie(Lies { swallows: true, ..Lies::default() });
    let failure = client.recover_asked(&login(ANNA), &mut asked, "", &|_| ()).await.unwrap_err();
    assert_eq!((failure.spent, failure.attempts.unwrap().left), (Spent::Nothing, 3));
    world.lie(Lies::default());
    client.recover_asked(&login(ANNA), &mut asked, "", &|_| ()).await.unwrap();
}

#[tokio::test]
async fn a_service_that_shows_others_signers_than_asked_for_is_not_believed() {
    let (world, client) = sealed().await;
    let mut asked = ask(&client).await;
    let [of_boris, _] = consents(&world, asked.petition()).await;
    // Clara's credential as that of Boris, under its genuine proof.
    let of_clara = super::world::signer(&world.snapshot(), &[&[1][..], &CLARA].concat());
    let swapped = of_clara.clone();
    world.lie(signers(move |_| vec![swapped.clone()]));
    let error = client.take_consent(&mut asked, &of_boris).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConsentError::Vault(VaultError::Evidence(EvidenceError::Proof {
                what: "an account's credential",
                ..
            }))
        ),
        "{error}"
    );
    world.lie(signers(|_| Vec::new()));
    let error = client.take_consent(&mut asked, &of_boris).await.unwrap_err();
    assert_eq!(error.code(), Some("VAULT_SUBSTITUTED"));
    world.lie(signers(|_| vec![Default::default()]));
    let error = client.take_consent(&mut asked, &of_boris).await.unwrap_err();
    assert!(matches!(error, ConsentError::Unable { unable: Unable::Hidden, .. }), "{error}");
    assert_eq!(asked.missing(), 2);
}

fn signers(lie: impl Fn(&World) -> Vec<keyward_proto::custody::ShownSigner> + Send + 'static) -> Lies {
    let lie = move |world: &World, _| ListSignersResponse { signers: lie(world) };
    Lies { signers: Some(Box::new(lie)), ..Lies::default() }
}

#[tokio::test]
async fn nothing_is_sealed_under_factors_that_could_not_be_met() {
    let world = World::start().await;
    let client = world.client(ANNA).await;
    let seal = async |order: SealOrder| {
        client.seal_vault(&login(ANNA), &main_vault(), &password("right"), order, &|_| ()).await.unwrap_err()
    };
    let of = |needed, parties: &[Party]| asking(Factors::Of { needed, parties: parties.to_vec() });
    let nobody = Party::Credential([9; 32]);
    let error = seal(of(1, &[nobody])).await;
    assert!(
        matches!(error, SealError::Factors(FactorsError::Unable { unable: Unable::Unknown, .. })),
        "{error}"
    );
    let error = seal(of(1, &[token_party()])).await;
    assert!(
        matches!(error, SealError::Factors(FactorsError::Unable { unable: Unable::Unbound, .. })),
        "{error}"
    );
    bind(&world, token().public_key().id(), Scheme::EcdsaP256, ANNA, Mode::Own, KeyStatus::Active);
    let error = seal(of(2, &[Party::Credential(ANNA), token_party()])).await;
    let lost = FactorsError::LostWithDevice { needed: 2, left: 1 };
    assert!(matches!(&error, SealError::Factors(found) if *found == lost), "{error}");
    assert!(client.vault_status(&main_vault()).await.unwrap().is_none(), "nothing is sealed");
}

#[tokio::test]
async fn recovered_keys_are_held_against_the_ledger() {
    let world = World::start().await;
    let bound = |number, account, status| {
        bind(&world, key(number).public_key.id(), Scheme::Ed25519, account, Mode::Own, status);
    };
    bound(7, ANNA, KeyStatus::Active);
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    let recover = async || {
        let (login, vault, right) = (login(ANNA), main_vault(), password("right"));
        client.recover_vault(&login, &vault, &right, "", &|_| ()).await.unwrap().standings
    };
    assert_eq!(recover().await, [Standing::Bound(KeyStatus::Active), Standing::Unbound]);
    bound(7, ANNA, KeyStatus::Frozen);
    bound(8, BORIS, KeyStatus::Active);
    assert_eq!(recover().await, [Standing::Bound(KeyStatus::Frozen), Standing::Foreign]);
    // The keys come back whatever the service says of them; what it does not prove is not believed.
    world.lie(signers(|_| vec![Default::default(), Default::default()]));
    assert_eq!(recover().await, [Standing::Unproven; 2]);
    let mine =
        super::world::signer(&world.snapshot(), &[&[2][..], key(7).public_key.id().as_bytes()].concat());
    world.lie(signers(move |_| vec![mine.clone(), mine.clone()]));
    assert_eq!(recover().await, [Standing::Unproven; 2], "one key's proof for both");
    // And nobody seals a key that is another's.
    world.lie(Lies::default());
    let anew = SealOrder { anew: true, ..order() };
    let error =
        client.seal_vault(&login(ANNA), &main_vault(), &password("right"), anew, &|_| ()).await.unwrap_err();
    assert!(matches!(error, SealError::KeyForeign { .. }), "{error}");
}

#[test]
fn a_signer_that_is_not_shown_can_do_nothing() {
    assert_eq!(Signer::Hidden.unable(), Some(Unable::Hidden));
    assert_eq!(Signer::Unknown.unable(), Some(Unable::Unbound));
}
