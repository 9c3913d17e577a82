//! What a node's configuration says, and what it may not say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use super::*;
use crate::config::keeper::KeeperKey;
use crate::failure::Exit;

#[test]
fn files_of_blocks_are_neither_tiny_nor_huge() {
    for good in [1 << 20, segment_bytes_max(), 1 << 30] {
        assert_eq!(segment_bytes(good).unwrap(), good);
    }
    for wrong in [0, (1 << 20) - 1, (1 << 30) + 1, u64::MAX] {
        let failure = segment_bytes(wrong).unwrap_err();
        assert_eq!(
            (failure.exit, failure.next.as_str()),
            (Exit::Usage, "choose 1048576 to 1073741824 bytes")
        );
    }
}

const TEXT: &str = "data_dir = \"data\"\ngenesis = \"genesis\"\noperator_secret = \"secret\"\nvalidator_key = \"validator.key\"\n\
    peer_listen = \"127.0.0.1:1\"\nrpc_listen = \"127.0.0.1:2\"\npeers = []\n\
    [tls]\nca = \"ca.pem\"\ncertificate = \"certificate.pem\"\nkey = \"tls.key\"\n";

fn config(more: &str, flags: &[&str]) -> Result<NodeConfig> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    std::fs::write(&file, format!("{TEXT}{more}")).unwrap();
    let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    NodeConfig::load(&file, &flags)
}

#[test]
fn a_node_has_a_keeper_where_its_configuration_names_one() {
    assert_eq!(config("", &[]).unwrap().keeper, None);
    let short = config("[keeper]\nname = \"bank-a\"\n", &[]).unwrap();
    assert_eq!(short.keeper, Some(KeeperSection::named("bank-a")));
    let file = Path::new("/etc/keyward/node.toml");
    let folder = |config: &NodeConfig| config.keeper_folder(file, config.keeper.as_ref().unwrap());
    assert_eq!(folder(&short), Path::new("/etc/keyward/data/keeper"));
    let path = |config: &NodeConfig| config.key_path(file, KeyFile::Keeper(KeeperKey::Storage));
    assert_eq!(path(&short).unwrap(), Path::new("/etc/keyward/keeper-storage.key"));
    let long = "[keeper]\nname = \"bank-a\"\nfolder = \"/srv/shares\"\nstorage_key = \"keys/storage\"\n";
    let long = config(long, &[]).unwrap();
    assert_eq!(folder(&long), Path::new("/srv/shares"));
    assert_eq!(path(&long).unwrap(), Path::new("/etc/keyward/keys/storage"));
    assert_eq!(config("", &["keeper.name=bank-b"]).unwrap().keeper.unwrap().name, "bank-b");
}

#[test]
fn a_keepers_section_says_all_that_it_must_and_nothing_unknown() {
    for wrong in
        ["[keeper]\n", "[keeper]\nname = \"a\"\ncolour = 1\n", "[keeper]\nname = 1\n", "keeper = 1\n"]
    {
        assert!(config(wrong, &[]).is_err(), "{wrong}");
    }
    for name in ["", "Bank", "a b", &"x".repeat(65)] {
        assert!(KeeperSection::named(name).check().is_err(), "{name}");
    }
    assert!(KeeperSection::named("bank-a").check().is_ok());
}

#[test]
fn shares_are_dealt_anew_every_30_days_or_as_often_as_is_said_and_never_by_accident_all_the_time() {
    let section = |more: &str| {
        let text = format!("[keeper]\nname = \"bank-a\"\n{more}");
        config(&text, &[]).unwrap().keeper.unwrap()
    };
    let days = |days: u64| std::time::Duration::from_secs(days * 24 * 60 * 60);
    assert_eq!(section("").refresh(), days(30));
    assert_eq!(section("refresh_hours = 24\n").refresh(), days(1));
    assert_eq!(section("trial_refresh_s = 5\n").refresh(), std::time::Duration::from_secs(5));
    for right in ["", "refresh_hours = 8760\n", "trial_refresh_s = 3600\n"] {
        section(right).check().unwrap();
    }
    for wrong in [
        "refresh_hours = 0\n",
        "refresh_hours = 23\n",
        "refresh_hours = 8761\n",
        "trial_refresh_s = 0\n",
        "trial_refresh_s = 4\n",
        "trial_refresh_s = 3601\n",
    ] {
        assert!(section(wrong).check().is_err(), "{wrong}");
    }
}
