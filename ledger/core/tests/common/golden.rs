//! Golden files: hex by name. A changed format fails; `KEYWARD_VECTORS=write` writes the files anew.

use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Default)]
pub struct Golden(BTreeMap<String, String>);

pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors"))
}

impl Golden {
    pub fn hex(&mut self, name: &str, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.text(name, &hex::encode(bytes))
    }

    pub fn text(&mut self, name: &str, text: &str) -> &mut Self {
        assert!(self.0.insert(name.to_owned(), text.to_owned()).is_none(), "`{name}` stands twice");
        self
    }

    pub fn check(&self, file: &str) {
        let path = folder().join(file);
        if std::env::var("KEYWARD_VECTORS").is_ok_and(|value| value == "write") {
            std::fs::write(&path, serde_json::to_string_pretty(&self.0).unwrap() + "\n").unwrap();
        }
        let golden = load(file);
        for (name, text) in &self.0 {
            assert_eq!(
                golden.get(name),
                Some(text),
                "`{name}` of `{file}` changed: a new format needs a new version"
            );
        }
        assert_eq!(golden.len(), self.0.len(), "`{file}` holds names that are not made any more");
    }
}

pub fn load(file: &str) -> BTreeMap<String, String> {
    serde_json::from_str(&std::fs::read_to_string(folder().join(file)).unwrap()).unwrap()
}
