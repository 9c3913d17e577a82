//! What every adapter of [`Store`] must do. An adapter's test file calls [`suite`] with a fresh, empty store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod addresses;
mod approvals;
mod dealings;
mod grants;
mod hot;
mod keys;
mod notices;
mod policies;
mod risk;
mod rows;
mod servers;
mod vaults;

use std::collections::BTreeMap;

use keyward_store::{
    Account, AccountState, Change, Claim, Custody, Id, IdempotencyKey, Key, KeyState, NewIntent, Signed,
    Store,
};

/// Whose intents these are.
pub(crate) const SUBMITTER: Id = [0x5b; 32];

/// The key that [`intent`]s use; needed before the first of them.
pub(crate) async fn signing_key(store: &dyn Store) {
    open_account(store, "signing").await;
    store.apply(vec![Change::InsertKey(key("signing", "key"))]).await.unwrap();
}

/// Every promise, one after the other, on one store: names are apart so that the order does not matter.
pub(crate) async fn suite(store: &dyn Store) {
    signing_key(store).await;
    rows::accounts_are_unique_by_kind_and_name(store).await;
    rows::changes_stand_or_fall_together(store).await;
    rows::keys_are_unique_by_id_and_by_alias(store).await;
    rows::state_changes_need_the_state_they_start_from(store).await;
    rows::tried_logins_are_counted(store).await;
    rows::a_login_counts_under_the_record_that_it_began_with(store).await;
    rows::tries_of_names_that_nobody_has_are_counted_until_they_expire(store).await;
    rows::a_flood_of_names_washes_out_no_name_that_is_held_back(store).await;
    rows::sessions_end_by_time_and_by_command(store).await;
    rows::the_oldest_sessions_and_challenges_go_when_there_are_too_many(store).await;
    rows::single_use_rows_are_taken_once(store).await;
    rows::expired_rows_are_not_live_and_are_used_up(store).await;
    rows::authorisations_pins_secrets_and_acts_come_back(store).await;
    keys::versions_of_an_alias_stand_beside_each_other(store).await;
    keys::every_change_of_a_key_grows_its_revision(store).await;
    keys::keys_are_found_by_what_is_known_of_them(store).await;
    keys::erasing_needs_a_destroyed_key_and_leaves_the_row(store).await;
    keys::what_is_resealed_is_what_was_opened(store).await;
    keys::what_is_public_of_a_shared_key_is_exchanged_for_what_was_read(store).await;
    rows::a_profile_is_erased_for_good(store).await;
    rows::a_job_is_answered_once_and_in_time(store).await;
    vaults::vaults_are_remembered_until_they_have_ended(store).await;
    vaults::a_code_is_charged_once_and_one_secret_counts(store).await;
    approvals::what_a_case_is_about_is_read_by_its_people_until_it_ends(store).await;
    approvals::there_is_room_for_so_many_cases_and_bytes_of_an_account(store).await;
    approvals::a_rule_is_found_by_its_owner_and_its_id(store).await;
    policies::a_text_stays_as_long_as_a_version_names_it(store).await;
    policies::the_newest_requests_are_kept_so_many_and_so_long(store).await;
    grants::a_grant_is_kept_once_and_found_by_who_asked(store).await;
    risk::a_history_follows_the_revision_before_and_ends_with_its_account(store).await;
    risk::a_history_is_kept_with_the_intent_or_neither_is(store).await;
    risk::of_servers_that_follow_one_revision_one_gets_it(store).await;
    risk::rules_have_versions_and_requests_of_their_own(store).await;
    addresses::a_choice_is_made_once_and_the_root_goes_with_the_account(store).await;
    addresses::no_index_is_given_out_twice(store).await;
    addresses::an_address_is_begun_by_one_intent_of_an_open_account(store).await;
    addresses::what_is_kept_of_a_closed_account_signs_nothing_and_goes_in_the_end(store).await;
    addresses::of_an_own_root_nothing_stays_when_its_account_is_closed(store).await;
    addresses::an_epoch_has_one_leaf_and_one_closing(store).await;
    addresses::listed_newest_first_without_gaps_or_repeats(store).await;
    dealings::dealings_are_found_by_their_epochs_and_kept_as_they_were_first(store).await;
    notices::a_notice_is_told_once_and_found_until_it_is_delivered(store).await;
    hot::a_changed_key_makes_an_intent_stale(store).await;
    hot::a_try_that_lost_its_claim_completes_and_forgets_nothing(store).await;
    hot::a_claim_waits_for_its_act(store).await;
    hot::an_intent_goes_its_way_once(store).await;
    hot::a_release_is_held_back_to_its_time_or_to_the_end_of_its_intent(store).await;
    hot::an_idempotency_key_is_honoured_once(store).await;
    hot::a_dead_run_leaves_no_claim_behind(store).await;
    hot::failed_requests_may_be_tried_again(store).await;
    hot::open_intents_are_told(store).await;
    hot::pruning_takes_only_what_is_settled_or_expired(store).await;
}

pub(crate) use servers::suite as servers;

pub(crate) fn id(text: &str) -> Id {
    let mut id = [0; 32];
    for (place, byte) in id.iter_mut().zip(text.bytes()) {
        *place = byte;
    }
    id
}

pub(crate) fn account(name: &str) -> Account {
    Account {
        account: id(name),
        kind: "person".into(),
        name: name.into(),
        salt: [7; 32],
        opaque_record: Some(vec![1, 2, 3]),
        credential: Some([9; 32]),
        state: AccountState::Open,
        login_failures: 0,
        login_last_ms: 0,
        created_ms: 5,
    }
}

pub(crate) fn key(account: &str, alias: &str) -> Key {
    Key {
        key_id: id(&format!("{account}/{alias}")),
        account: id(account),
        alias: alias.into(),
        scheme: 1,
        public_key: vec![2; 33],
        custody: Custody::Hosted { sealed: vec![4; 60], kek: "kek".into() },
        state: KeyState::Pending,
        changed_ms: 6,
        version: 1,
        successor: None,
        labels: BTreeMap::new(),
        revision: 1,
        claims: vec!["CKA_SENSITIVE".into(), "CKA_LOCAL".into()],
        created_ms: 6,
    }
}

pub(crate) fn intent(name: &str) -> NewIntent {
    NewIntent {
        id: id(name),
        key_id: id("signing/key"),
        key_revision: 1,
        submitter: SUBMITTER,
        r: [2; 32],
        payload_hash: [3; 32],
        policy: [4; 32],
        not_after: 100,
        created_ms: 1000,
    }
}

pub(crate) fn name(key: &str) -> IdempotencyKey {
    let mut ticket = [0; 16];
    ticket.iter_mut().zip(key.bytes()).for_each(|(to, from)| *to = from);
    IdempotencyKey { principal: "app/a".into(), key: key.into(), ticket }
}

pub(crate) fn claim(key: &str, request: u8, boot: u8) -> Claim {
    let mut name = name(key);
    // A ticket for each try: the last bytes tell tries of one key apart.
    name.ticket[14..].copy_from_slice(&[request, boot]);
    Claim { name, request_hash: [request; 32], boot: [boot; 16], now_ms: 1000 }
}

pub(crate) fn signed(intent: &str, response: Option<(IdempotencyKey, Vec<u8>)>) -> Signed {
    Signed {
        intent: id(intent),
        leaf_index: 11,
        height: 12,
        signature_hash: [5; 32],
        held_until_ms: 0,
        response,
    }
}

pub(crate) async fn open_account(store: &dyn Store, name: &str) {
    store.apply(vec![Change::InsertAccount(account(name))]).await.unwrap();
}
