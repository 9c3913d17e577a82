//! Files of a device: kept, opened, made ready, torn.

use std::os::unix::fs::PermissionsExt as _;

use keyward_domain::scheme::Scheme;

use super::*;

fn export_key(byte: u8) -> SecretBytes {
    SecretBytes::new(vec![byte; 64])
}

fn key() -> (SigningKey, KeyId) {
    let key = SigningKey::generate(Scheme::Ed25519).unwrap();
    let id = key.public_key().id();
    (key, id)
}

/// What a next password's credential may be.
fn credential(byte: u8) -> PublicKey {
    SigningKey::from_secret(Scheme::Ed25519, &[byte; 32]).unwrap().public_key().clone()
}

/// The names of what lies in a folder beside the lock, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name != LOCK);
    names.sort();
    names
}

#[test]
fn a_key_is_kept_for_its_owner_alone_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("a/keys");
    let keys = DeviceKeys::open(&place, [1; 32], [2; 32]).unwrap();
    let (one, id) = key();
    assert!(matches!(keys.load(&id, &export_key(3)), Err(DeviceError::Missing { .. })));
    keys.put(&one, None, &export_key(3)).unwrap();
    let again = DeviceKeys::open(&place, [1; 32], [2; 32]).unwrap();
    assert_eq!(again.list().unwrap(), [one.public_key().clone()]);
    assert_eq!(again.load(&id, &export_key(3)).unwrap().public_key(), one.public_key());
    assert_eq!(names(&place), [format!("{id}.key")], "nothing is left beside it");
    for file in [keys.path(&id), place.join(LOCK)] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
    again.remove(&id).unwrap();
    again.remove(&id).unwrap();
    assert!(again.list().unwrap().is_empty() && !again.holds(&id).unwrap());
}

#[test]
fn another_password_does_not_open_it_and_a_new_one_seals_it_anew() {
    let folder = tempfile::tempdir().unwrap();
    let keys = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
    let (one, id) = key();
    keys.put(&one, None, &export_key(3)).unwrap();
    assert!(matches!(keys.load(&id, &export_key(4)), Err(DeviceError::Closed { .. })));
    keys.put(&one, None, &export_key(4)).unwrap();
    assert!(matches!(keys.load(&id, &export_key(3)), Err(DeviceError::Closed { .. })));
    keys.load(&id, &export_key(4)).unwrap();
}

#[test]
fn keys_of_other_accounts_and_ledgers_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let keys = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
    let (one, id) = key();
    keys.put(&one, None, &export_key(3)).unwrap();
    for (chain_id, account) in [([9; 32], [2; 32]), ([1; 32], [9; 32])] {
        let other = DeviceKeys::open(folder.path(), chain_id, account).unwrap();
        assert!(other.list().unwrap().is_empty() && !other.holds(&id).unwrap());
        assert!(matches!(other.load(&id, &export_key(3)), Err(DeviceError::Other { .. })));
    }
    // A file under another key's name.
    let (_, other) = key();
    fs::copy(keys.path(&id), keys.path(&other)).unwrap();
    assert!(matches!(keys.load(&other, &export_key(3)), Err(DeviceError::Other { .. })));
}

#[test]
fn before_a_change_of_password_a_key_is_made_ready_for_both() {
    let folder = tempfile::tempdir().unwrap();
    let keys = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
    let ids: Vec<_> = (0..3)
        .map(|_| {
            let (one, id) = key();
            keys.put(&one, None, &export_key(3)).unwrap();
            id
        })
        .collect();
    assert!(matches!(
        keys.prepare(&export_key(9), &export_key(4), &credential(4)),
        Err(DeviceError::Closed { .. })
    ));
    assert_eq!(keys.prepare(&export_key(3), &export_key(4), &credential(4)).unwrap().keys, 3);
    // The change may fail, or its answer be lost: either password finds its file.
    keys.load(&ids[0], &export_key(3)).unwrap();
    keys.load(&ids[0], &export_key(4)).unwrap();
    // The one that counted took its place.
    assert!(matches!(keys.load(&ids[0], &export_key(3)), Err(DeviceError::Closed { .. })));
    assert_eq!(keys.list().unwrap().len(), 3);
    // Another change, of keys that nobody has opened since the first one.
    assert_eq!(keys.prepare(&export_key(4), &export_key(5), &credential(5)).unwrap().keys, 3);
    keys.load(&ids[1], &export_key(5)).unwrap();
    keys.remove(&ids[2]).unwrap();
    assert!(matches!(keys.load(&ids[2], &export_key(5)), Err(DeviceError::Missing { .. })));
}

#[test]
fn of_two_changes_that_were_begun_whichever_counts_finds_its_keys() {
    for winner in [4, 5] {
        let folder = tempfile::tempdir().unwrap();
        let keys = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
        let (one, id) = key();
        keys.put(&one, None, &export_key(3)).unwrap();
        for next in [4, 5] {
            drop(keys.prepare(&export_key(3), &export_key(next), &credential(next)).unwrap());
        }
        assert_eq!(names(folder.path()).len(), 3, "one file per change");
        keys.load(&id, &export_key(3)).unwrap();
        assert_eq!(names(folder.path()).len(), 3, "nothing is settled by the present password");
        keys.load(&id, &export_key(winner)).unwrap();
        assert_eq!(names(folder.path()), [format!("{id}.key")], "the others never count");
        for loser in [3, 9 - winner] {
            assert!(matches!(keys.load(&id, &export_key(loser)), Err(DeviceError::Closed { .. })));
        }
        keys.load(&id, &export_key(winner)).unwrap();
    }
}

#[test]
fn what_was_made_ready_is_found_where_the_key_itself_is_gone_or_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let keys = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
    let (one, id) = key();
    for damage in [true, false] {
        keys.put(&one, None, &export_key(3)).unwrap();
        drop(keys.prepare(&export_key(3), &export_key(4), &credential(4)).unwrap());
        if damage {
            fs::write(keys.path(&id), b"damaged").unwrap();
        } else {
            fs::remove_file(keys.path(&id)).unwrap();
        }
        assert!(keys.holds(&id).unwrap());
        assert_eq!(keys.list().unwrap(), [one.public_key().clone()]);
        keys.load(&id, &export_key(9)).unwrap_err();
        keys.load(&id, &export_key(4)).unwrap();
        assert_eq!(names(folder.path()), [format!("{id}.key")]);
    }
    // What versions before this one made ready had no tag.
    keys.put(&one, None, &export_key(4)).unwrap();
    fs::rename(keys.path(&id), keys.path(&id).with_extension(KEYS.next)).unwrap();
    keys.load(&id, &export_key(4)).unwrap();
    drop(keys.prepare(&export_key(4), &export_key(5), &credential(5)).unwrap());
    keys.remove(&id).unwrap();
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_torn_write_leaves_the_file_before() {
    let folder = tempfile::tempdir().unwrap();
    let keys = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
    let (one, id) = key();
    keys.put(&one, None, &export_key(3)).unwrap();
    let beside = keys.path(&id).with_extension("new");
    fs::write(&beside, b"torn").unwrap();
    keys.load(&id, &export_key(3)).unwrap();
    assert_eq!(keys.list().unwrap().len(), 1);
    keys.put(&one, None, &export_key(3)).unwrap();
    assert!(!beside.exists());
    fs::write(keys.path(&id), b"damaged").unwrap();
    assert!(matches!(keys.load(&id, &export_key(3)), Err(DeviceError::Format { .. })));
    assert!(matches!(keys.list(), Err(DeviceError::Format { .. })), "it is told, not passed over");
}

#[test]
fn writers_of_one_key_at_once_leave_a_whole_file_and_none_of_them_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (one, id) = key();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let keys = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
                for _ in 0..16 {
                    keys.put(&one, None, &export_key(3)).unwrap();
                }
            });
        }
    });
    let keys = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
    keys.load(&id, &export_key(3)).unwrap();
    assert_eq!(names(folder.path()).len(), 1, "nothing is left beside it");
}

#[test]
fn while_the_password_is_being_changed_no_key_comes_that_would_be_lost_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let keys = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
    let (one, id) = key();
    // Even where there is no key yet.
    let change = keys.prepare(&export_key(3), &export_key(4), &credential(4)).unwrap();
    assert_eq!(change.keys, 0);
    let elsewhere = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
    assert!(matches!(elsewhere.put(&one, None, &export_key(3)), Err(DeviceError::Busy { .. })));
    let second = elsewhere.prepare(&export_key(3), &export_key(5), &credential(5));
    assert!(matches!(second, Err(DeviceError::Busy { .. })));
    assert!(matches!(keys.load(&id, &export_key(3)), Err(DeviceError::Missing { .. })));
    drop(change);
    elsewhere.put(&one, None, &export_key(3)).unwrap();
    let change = keys.prepare(&export_key(3), &export_key(4), &credential(4)).unwrap();
    assert_eq!(change.keys, 1);
    // What is there can be used meanwhile.
    elsewhere.load(&id, &export_key(3)).unwrap();
    elsewhere.load(&id, &export_key(4)).unwrap();
}

#[test]
fn a_key_answers_to_the_alias_under_which_it_was_made_and_to_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let keys = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
    let (one, id) = key();
    keys.put(&one, Some("savings"), &export_key(3)).unwrap();
    let named = |asked: &str, export_key: &SecretBytes| keys.load_named(&id, asked, export_key);
    let is_other = |asked: &str, byte| matches!(named(asked, &export_key(byte)), Err(DeviceError::Alias { alias, .. }) if alias == "savings");
    for asked in ["savings", "savings@2", &id.to_string()] {
        assert_eq!(named(asked, &export_key(3)).unwrap().1.as_deref(), Some("savings"), "{asked}");
    }
    for asked in ["pay", "pay@2", &key().1.to_string()] {
        assert!(is_other(asked, 3), "{asked}");
    }
    // It goes along with a change of the password, and stays when the key comes back from a vault.
    drop(keys.prepare(&export_key(3), &export_key(4), &credential(4)).unwrap());
    named("savings", &export_key(4)).unwrap();
    keys.put(&one, None, &export_key(4)).unwrap();
    assert!(is_other("pay", 4));
    // Files of before say none.
    let (old, old_id) = key();
    keys.put(&old, None, &export_key(4)).unwrap();
    assert_eq!(keys.load_named(&old_id, "pay", &export_key(4)).unwrap().1, None);
    assert!(keys.load_named(&old_id, &id.to_string(), &export_key(4)).is_err());
}
