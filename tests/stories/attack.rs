//! Stolen disks: what fewer keepers than the threshold are worth to somebody who knows every format and has the right
//! password in a list of words, together with the service's complete database and all that is public.

mod formulas;
mod login;
pub mod loot;
pub mod search;
mod vault;

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path, thread};

use curve25519_dalek_4::scalar::Scalar;
use keyward_client::Password;
use keyward_crypto::{Envelope, SecretBytes, service_secret_aad};
use keyward_ledger_core::{
    entry::{Act, Authored, Entry, VaultAct},
    vault::Sealing,
};
use keyward_token::{HostProgram, MODULE_FILE, Module, Pin, TokenName};

use self::{
    formulas::{expand, subsets},
    login::{Device, Service, Taken},
    loot::{Disk, Share, copy, operator_secret},
    search::Needles,
    vault::{Confirmed, Opened, Vault, Word},
};
use crate::support::keyward::{Keyward, binary};

const LOGIN: &str = "correct horse battery";
const VAULT: &str = "what only alice remembers";
/// The attacker's list: both right passwords are in it.
const WORDS: [&str; 6] =
    ["12345678", LOGIN, "Correct horse battery", VAULT, "what only Alice remembers", "letmein letmein"];
const NODES: [&str; 4] = ["node-1", "node-2", "node-3", "node-4"];

/// What only the person has.
struct Known {
    export_key: SecretBytes,
    key: [u8; 32],
}

fn secret(keyward: &Keyward, name: &str, text: &str) -> String {
    let path = keyward.write(name, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A person with a key of mode `self`, a hosted one, and two vaults: `main` of mode `self` that three of four keepers open,
/// and `plain` of mode `vault` that two open. Gives their places in the log.
fn sealed(keyward: &Keyward) -> [u64; 2] {
    let (login, vault) = (secret(keyward, "password", LOGIN), secret(keyward, "vault-password", VAULT));
    let run = |words: &[&str]| {
        keyward.run(&[&["--output", "json"], words, &["--password-file", &login]].concat()).done().json()
    };
    run(&["account", "register", "alice"]);
    run(&["account", "login", "alice"]);
    run(&["key", "create", "--alias", "mine", "--scheme", "ed25519"]);
    run(&["key", "create", "--alias", "theirs", "--scheme", "ed25519", "--mode", "hosted"]);
    let seal = |name: &str, mode: &str, threshold: &str| {
        let words =
            ["vault", "seal", "--vault", name, "--mode", mode, "--threshold", threshold, "--key", "mine"];
        let sealed = run(&[&words[..], &["--vault-password-file", &vault]].concat());
        assert_eq!(sealed["keepers"].as_array().unwrap().len(), NODES.len());
        sealed["leaf_index"].as_u64().unwrap()
    };
    [seal("main", "self", "3"), seal("plain", "vault", "2")]
}

/// What is public of a vault, from the ledger.
async fn published(keyward: &Keyward, leaf: u64) -> Sealing {
    let record = keyward.ledger(&keyward.nodes()).await.record(leaf).await.unwrap();
    match Entry::decode(&record.record().entry).unwrap() {
        Entry::Authored(Authored { act: Act::Vault(VaultAct::Seal { sealing, .. }), .. }) => *sealing,
        entry => panic!("{entry:?}"),
    }
}

/// What the person's own side gives after a login.
async fn known(keyward: &Keyward) -> Known {
    let client = keyward.client("app").await;
    let login = client.login("alice", &Password::new(LOGIN.to_owned()).unwrap()).await.unwrap();
    let client = client.with_session(&login.session.token).unwrap().with_account(login.session.account);
    let device = client.device_keys(&keyward.profile("app").join("keys")).unwrap();
    let key = client.own_key("mine", &device, &login.export_key).await.unwrap();
    Known { export_key: login.export_key, key: key.expose(|secret| *secret) }
}

/// Opens the OPAQUE server's secret with the service's token: not a part of the loot.
async fn opened_by_token(keyward: &Keyward, sealed: &[u8]) -> Vec<u8> {
    let words = ["token", "host", "--module"].map(std::ffi::OsString::from).to_vec();
    let environment = vec![("HSM_SIM_DIR".into(), keyward.dir().join("token").into())];
    let program = HostProgram { environment, ..HostProgram::new(binary(), words) };
    let module = Module::open_in_child(&binary().with_file_name(MODULE_FILE), program).unwrap();
    let token = TokenName::new("keyward-local");
    let file = fs::read_to_string(keyward.dir().join("token.pin")).unwrap();
    let pin = file.lines().find(|line| !line.starts_with('#')).unwrap().trim().to_owned();
    module.login(&token, Pin::new(pin).unwrap()).await.unwrap();
    let Envelope { nonce, ciphertext, .. } = Envelope::decode(sealed).unwrap();
    let aad = service_secret_aad("opaque-setup");
    module.decrypt(&token, "keyward-kek", nonce, &aad, &ciphertext).await.unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn disks_below_the_threshold_and_the_services_database_confirm_no_guess_and_disks_at_it_do() {
    let mut keyward = Keyward::start();
    let leaves = sealed(&keyward);
    let vaults = [published(&keyward, leaves[0]).await, published(&keyward, leaves[1]).await].map(Vault::new);
    let known = known(&keyward).await;
    // The loot: complete disks, the service's folder twice (as it runs, with its write-ahead log, and after its end), all
    // that is public. Not in it: the token, and what people and programs hold.
    let stolen = keyward.work("stolen");
    copy(&keyward.dir().join("service"), &stolen.join("service-as-it-ran"));
    assert!(stolen.join("service-as-it-ran/keyward.sqlite-wal").is_file());
    assert!(keyward.interrupt().success(), "{}", keyward.log());
    for name in
        ["service", "operator.secret", "genesis", "trust", "ca", "submitters", "logs"].iter().chain(&NODES)
    {
        copy(&keyward.dir().join(name), &stolen.join(name));
    }
    let disks = NODES.map(|node| Disk::open(&stolen, node));
    let database = stolen.join("service/keyward.sqlite");
    let service = Service::read(&database, "alice").await;
    let keys = loot::files(&keyward.profile("app").join("keys"));
    let keys = keys.iter().filter(|path| path.extension().is_some_and(|ending| ending == "key"));
    let device = Device(keys.map(|path| fs::read(path).unwrap()).collect());
    let setup = opened_by_token(&keyward, service.sealed_setup()).await;

    let opened = vaults.each_ref().map(|vault| guess_at_the_vault(vault, &disks, &known));
    guess_at_the_login(&stolen, &disks, &service, &device, &setup, &known);
    search_every_byte(&stolen, &vaults, &opened, &known);
}

/// Whether every set of disks confirms as much as it must: below the threshold nothing, at it the right word. Gives what the
/// threshold and the person's login open.
fn guess_at_the_vault(vault: &Vault, disks: &[Disk], known: &Known) -> Opened {
    let id = hex::encode(vault.sealing.vault.name);
    let shares: Vec<&Share> = disks.iter().map(|disk| &disk.shares[&id]).collect();
    assert!(shares.iter().all(|share| vault.is_open(share)), "what was stolen is open");
    let words: Vec<Word<'_>> = together(&WORDS, |word| vault.word(word));
    let right = vec![VAULT.to_owned()];
    let mut below = 0;
    for stolen in subsets(&shares) {
        // More than enough are no other case.
        if stolen.len() > vault.threshold() {
            continue;
        }
        let indices: Vec<u8> = stolen.iter().map(|share| share.index).collect();
        let (confirmed, opened) = vault.guess(&words, &stolen, None);
        if stolen.len() < vault.threshold() {
            below += 1;
            assert!(!vault.is_whole(&stolen));
            assert_eq!(
                confirmed,
                Confirmed::default(),
                "keepers {indices:?}, threshold {}",
                vault.threshold()
            );
            // Nor does the login help, once it is known: keepers and login guard the vault each by itself.
            let with_login = known.export_key.expose(|key| vault.guess(&words, &stolen, Some(key)));
            assert_eq!(with_login.0, Confirmed::default(), "keepers {indices:?} and the login");
            continue;
        }
        // The same attack, with disks enough: this test can fail.
        assert!(vault.is_whole(&stolen));
        assert_eq!(confirmed.by_proof_key, right, "keepers {indices:?}");
        assert_eq!(opened.is_some(), vault.opens_without_login(), "keepers {indices:?}");
    }
    assert_eq!(below, if vault.threshold() == 3 { 1 + 4 + 6 } else { 1 + 4 });
    let enough = &shares[..vault.threshold()];
    let (confirmed, opened) = known.export_key.expose(|key| vault.guess(&words, enough, Some(key)));
    assert_eq!((confirmed.by_contents, confirmed.by_commitment), (right, Vec::new()));
    let opened = opened.unwrap();
    assert!(opened.plain.windows(32).any(|window| window == known.key), "the contents are the key");
    opened
}

/// Whether the database, with every disk there is, confirms a login's password; with the service's token it does.
fn guess_at_the_login(
    stolen: &Path,
    disks: &[Disk],
    service: &Service,
    device: &Device,
    setup: &[u8],
    known: &Known,
) {
    // Everything of 32 bytes that was stolen, and what words themselves may be taken for.
    let operator = operator_secret(stolen);
    let mut keys = vec![operator, expand(&operator, b"keyward/operator-secret/v1")];
    keys.extend(disks.iter().flat_map(|disk| disk.secrets.values().copied()));
    assert_eq!(keys.len(), 2 + NODES.len() * 5, "validator, checkpoints, and the keeper's three");
    let mut taken = vec![Taken::Key(Scalar::ONE), Taken::Seed(padded(&operator))];
    let shares: Vec<&Share> = disks.iter().flat_map(|disk| disk.shares.values()).collect();
    taken.extend(shares.iter().map(|share| Taken::Key(share.key)));
    keys.extend(
        shares.iter().flat_map(|share| [share.key, share.mask, share.blinder].map(|part| part.to_bytes())),
    );
    keys.extend(WORDS.map(|word| expand(word.as_bytes(), b"")));
    assert_eq!(service.opens(&keys), Vec::<String>::new(), "nothing sealed in the database opens");

    let mut guesses: Vec<_> = taken.iter().map(|taken| (LOGIN, taken)).collect();
    guesses.extend(WORDS.map(|word| (word, &taken[0])));
    let confirmed = together(&guesses, |(word, taken)| service.guess(word, taken));
    assert!(confirmed.iter().all(Option::is_none), "a guess at the login is confirmed");
    // A stolen device adds files that open under a login's export key, and so under nothing that is here.
    assert_eq!(device.0.len(), 1);
    for key in &keys {
        assert_eq!(device.opens(&SecretBytes::new(padded(key).to_vec())), Vec::<[u8; 32]>::new());
    }

    // The same attack with what the token seals: this test can fail.
    let seed = Taken::Seed(setup[..64].try_into().unwrap());
    let found: BTreeMap<_, _> =
        WORDS.iter().filter_map(|word| Some((*word, service.guess(word, &seed)?))).collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), [&LOGIN]);
    assert!(known.export_key.expose(|key| found[LOGIN].matches(key)));
    assert_eq!(device.opens(&found[LOGIN]), [known.key]);
}

/// Whether a secret of the person's stands in anything that was stolen, all disks together.
fn search_every_byte(stolen: &Path, vaults: &[Vault; 2], opened: &[Opened; 2], known: &Known) {
    let mut needles = Needles::default();
    needles.add("the login's password", LOGIN.as_bytes());
    needles.add("the vault's password", VAULT.as_bytes());
    needles.add("the private part of the key", &known.key);
    known.export_key.expose(|key| needles.add("the export key", key));
    for opened in opened {
        needles.add("the root", &opened.root);
        needles.add("the proof key's seed", &expand(&opened.root, b"keyward/vault-proof-key/v1"));
        needles.add("the data key", &opened.data_key);
    }
    let (found, looked) = needles.below(stolen);
    assert!(found.is_empty(), "{found:?}");
    assert!(looked > 1 << 20, "{looked} bytes");
    needles.prove(&stolen.join("service/keyward.sqlite"));
    // What is public is found on every disk: what was searched is what was stolen.
    for vault in vaults {
        let mut public = Needles::default();
        public.add("A", &vault.sealing.terms.success_key);
        for node in NODES {
            assert!(!public.below(&stolen.join(node).join("data")).0.is_empty(), "{node}");
        }
    }
}

/// 64 bytes that HMAC takes for the same key.
fn padded(key: &[u8; 32]) -> [u8; 64] {
    let mut padded = [0; 64];
    padded[..32].copy_from_slice(key);
    padded
}

/// Does what takes a processor for a while for each of many, on all processors.
fn together<T: Sync, R: Send>(of: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let work = &work;
    thread::scope(|scope| {
        let parts = of.chunks(of.len().div_ceil(processors));
        let parts: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<_>>())).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}
