//! Contact and identity fields, from the person's side to the database.

use std::collections::BTreeMap;

use keyward_domain::Code;
use keyward_store::Store as _;

use super::world::{World, accepted};

fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_kept_read_on_the_record_and_erased() {
    const EMAIL: &str = "quentin.musterfrau@example.org";
    let mut world = World::enter().await;
    let quentin = world.person("profile-quentin").await;
    world.news().await;
    world.refused(Code::ProfileUnknown, quentin.client.show_profile("", "")).await;
    let wanted = fields(&[("name", "Quentin"), ("email", EMAIL)]);
    quentin.client.set_profile(wanted.clone()).await.unwrap();
    assert_eq!(world.news().await, accepted(&["note"]));
    assert_eq!(quentin.client.show_profile("", "").await.unwrap().fields, wanted);
    assert_eq!(world.news().await, accepted(&["note"]));

    for reader in [&world.officer, &world.auditor] {
        world.refused(Code::ProfileInvalid, reader.show_profile("profile-quentin", "")).await;
        let read = reader.show_profile("profile-quentin", "case 4711").await.unwrap();
        assert_eq!((read.fields, read.blinding.len()), (wanted.clone(), 32));
        assert_eq!(world.news().await, accepted(&["note"]));
    }
    for stranger in [&world.app, &world.operator] {
        world.refused(Code::AccountUnknown, stranger.show_profile("profile-quentin", "curious")).await;
        world.refused(Code::AccountUnknown, stranger.erase_profile("profile-quentin")).await;
        world.refused(Code::SessionRequired, stranger.set_profile(wanted.clone())).await;
    }
    for bad in [fields(&[]), fields(&[("Name", "x")]), fields(&[("name", "")]), fields(&[("name", "a\nb")])] {
        world.refused(Code::ProfileInvalid, quentin.client.set_profile(bad)).await;
    }

    // Neither the database nor a log holds what the fields say.
    let row = world.database().await.profile(quentin.account).await.unwrap().unwrap();
    assert!(!row.sealed_key.is_empty() && !row.body.is_empty());
    let folder = world.keyward().dir();
    assert!(!found(&folder, EMAIL.as_bytes()), "an address lies somewhere in plain text");

    quentin.client.erase_profile("").await.unwrap();
    let row = world.database().await.profile(quentin.account).await.unwrap().unwrap();
    assert!(row.sealed_key.is_empty() && row.body.is_empty() && row.erased_ms.is_some());
    world.news().await;
    world.refused(Code::ProfileErased, quentin.client.show_profile("", "")).await;
    world.refused(Code::ProfileErased, world.officer.show_profile("profile-quentin", "case 4711")).await;
    world.refused(Code::ProfileErased, quentin.client.set_profile(wanted)).await;
}

/// Whether bytes stand in any file below a folder.
fn found(folder: &std::path::Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => found(&entry.path(), needle),
        Ok(kind) if kind.is_file() => {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            bytes.windows(needle.len()).any(|window| window == needle)
        }
        _ => false,
    })
}
