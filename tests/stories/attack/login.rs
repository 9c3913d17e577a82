//! Guessing at the password of a login, with the service's complete database.

use curve25519_dalek_4::scalar::Scalar;
use keyward_crypto::{
    DeviceKey, MemoryKek, SecretBytes, account_credential, hosted_key_aad, open, service_secret_aad,
};
use keyward_domain::scheme::KeyId;
use keyward_store::{Account, Custody, Database, Key, Store as _};

use super::formulas::{Mode, Stretch, expand_long, finalize, hash_to_group, login_key};

/// As every login is stretched.
const STRETCH: Stretch = Stretch { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

/// What the database holds of a person, and of the service's own secrets.
pub struct Service {
    account: Account,
    keys: Vec<Key>,
    secrets: Vec<(&'static str, Vec<u8>)>,
}

/// What an attacker takes for the key of the service's oblivious function.
pub enum Taken {
    /// The seed that keys are derived from.
    Seed([u8; 64]),
    /// A key itself.
    Key(Scalar),
}

impl Service {
    /// Reads a copy of the database.
    pub async fn read(file: &std::path::Path, user: &str) -> Self {
        let database = Database::sqlite(file).await.unwrap();
        let account = database.account_by_name("user", user).await.unwrap().unwrap();
        let keys = database.keys(account.account).await.unwrap();
        let mut secrets = Vec::new();
        for name in ["opaque-setup", "import-sealing-key", "note-blinding"] {
            let sealed = database.secret(name).await.unwrap();
            secrets.extend(sealed.map(|sealed| (name, sealed)));
        }
        database.close().await.unwrap();
        Self { account, keys, secrets }
    }

    /// The OPAQUE server's secret as it lies there.
    pub fn sealed_setup(&self) -> &[u8] {
        &self.secrets[0].1
    }

    /// Everything that lies sealed in the database, with what its seal is bound to.
    fn sealed(&self) -> Vec<(String, Vec<u8>, &[u8])> {
        let own = self
            .secrets
            .iter()
            .map(|(name, sealed)| ((*name).to_owned(), service_secret_aad(name), sealed.as_slice()));
        let hosted = self.keys.iter().filter_map(|key| match &key.custody {
            Custody::Hosted { sealed, .. } => {
                let aad = hosted_key_aad(&KeyId(key.key_id), &key.account, key.version);
                Some((format!("the key {}", key.alias), aad, sealed.as_slice()))
            }
            _ => None,
        });
        let sealed: Vec<_> = own.chain(hosted).collect();
        assert!(sealed.len() >= 3, "the service's own secrets and a hosted key");
        sealed
    }

    /// What of it opens under keys that were stolen or made of words.
    pub fn opens(&self, keys: &[[u8; 32]]) -> Vec<String> {
        let sealed = self.sealed();
        let opened = keys.iter().flat_map(|key| {
            let kek = MemoryKek::new(key).unwrap();
            let opened = sealed.iter().filter(move |(_, aad, sealed)| open(&kek, aad, sealed).is_ok());
            opened.map(|(what, ..)| what.clone())
        });
        opened.collect()
    }

    /// The export key that a word gives under a taken key, if the record confirms it: by the masking key or by the
    /// account's credential, which also stands on the ledger.
    pub fn guess(&self, word: &str, taken: &Taken) -> Option<SecretBytes> {
        // `version u8 (2) || name[32] || public key[32] || masking key[64] || nonce[32] || tag[64]`
        let kept = self.account.opaque_record.as_deref().unwrap();
        assert_eq!((kept.len(), kept[0]), (1 + 32 + 192, 2), "the record lies in the open");
        let (name, masking_key, nonce) = (&kept[1..33], &kept[65..129], &kept[129..161]);
        let key = match taken {
            Taken::Seed(seed) => login_key(seed, name),
            Taken::Key(key) => *key,
        };
        let output = finalize(word.as_bytes(), &(key * hash_to_group(word.as_bytes(), Mode::Login)));
        let hard: [u8; 64] = STRETCH.apply(&output, &[0; 16]);
        let password = [output, hard].concat();
        let export_key = SecretBytes::new(expand_long(&password, &[nonce, b"ExportKey"].concat()).to_vec());
        let credential = account_credential(&export_key).unwrap();
        let by_record = expand_long(&password, b"MaskingKey") == masking_key;
        let by_credential = self.account.credential.unwrap() == credential.public_key().as_bytes();
        (by_record || by_credential).then_some(export_key)
    }
}

/// A person's device: the files of its keys.
pub struct Device(pub Vec<Vec<u8>>);

impl Device {
    /// The private parts that an export key opens.
    pub fn opens(&self, export_key: &SecretBytes) -> Vec<[u8; 32]> {
        let files = self.0.iter().map(|bytes| DeviceKey::decode(bytes).unwrap());
        files.filter_map(|file| Some(file.open(export_key).ok()?.expose(|secret| *secret))).collect()
    }
}
