//! Where old blocks go: `[cold]` in the configuration of `keyward node`.

use std::path::{Path, PathBuf};

use keyward_ledger_node::{BucketConfig, BucketKey, ColdConfig, ColdPlace};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::from_folder;
use crate::failure::{Failure, Result};
use crate::files;

const REGION: &str = "us-east-1";
const NEXT: &str = "correct `[cold]`, then see `keyward config check FILE`";
const KEY_NEXT: &str = "name a file with `credentials`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the node's environment";

/// A second location for old blocks: a folder or a bucket.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColdFile {
    /// A folder on another disk or file system, this validator's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) folder: Option<PathBuf>,
    /// A bucket of an S3-compatible store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bucket: Option<String>,
    /// The store's address, `https://host[:port]`; without it Amazon's of the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    /// The store's region, `us-east-1` if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    /// What the names of this validator's objects begin with; its alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    /// A file with the bucket's key, as the tools of Amazon write it; without it the environment's `AWS_*` count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credentials: Option<PathBuf>,
    /// Authorities for the store's certificate beside those of the system, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// Blocks go there once they are this many blocks old.
    pub(crate) after_blocks: u64,
}

impl ColdFile {
    /// Opens what it names; `file` is the configuration's. `variables`: those of the environment.
    pub(crate) fn open(&self, file: &Path, variables: &[(String, String)]) -> Result<ColdConfig> {
        let of_bucket = [
            ("endpoint", self.endpoint.is_some()),
            ("region", self.region.is_some()),
            ("prefix", self.prefix.is_some()),
            ("credentials", self.credentials.is_some()),
            ("ca", self.ca.is_some()),
        ];
        let place = match (&self.folder, &self.bucket) {
            (Some(folder), None) => {
                if let Some((name, _)) = of_bucket.iter().find(|(_, given)| *given) {
                    return Err(Failure::usage(
                        format!("`cold.{name}` belongs to a bucket, not to a folder"),
                        NEXT,
                    ));
                }
                ColdPlace::Folder(from_folder(file, folder))
            }
            (None, Some(bucket)) => ColdPlace::Bucket(self.open_bucket(bucket, file, variables)?),
            _ => return Err(Failure::usage("`[cold]` names either a `folder` or a `bucket`", NEXT)),
        };
        Ok(ColdConfig { place, after_blocks: self.after_blocks })
    }

    fn open_bucket(&self, bucket: &str, file: &Path, variables: &[(String, String)]) -> Result<BucketConfig> {
        let ca_pem = self.ca.as_ref().map(|path| files::read_text(&from_folder(file, path))).transpose()?;
        let config = BucketConfig {
            bucket: bucket.into(),
            region: self.region.clone().unwrap_or_else(|| REGION.into()),
            endpoint: self.endpoint.clone(),
            prefix: self.prefix.clone().unwrap_or_default(),
            key: match &self.credentials {
                Some(path) => key_of_file(&from_folder(file, path))?,
                None => key_of_environment(variables)?,
            },
            ca_pem,
            patience: BucketConfig::PATIENCE,
        };
        config.check().map_err(|error| Failure::usage(error.to_string(), NEXT))?;
        Ok(config)
    }
}

fn key_of_environment(variables: &[(String, String)]) -> Result<BucketKey> {
    let find = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match (find("AWS_ACCESS_KEY_ID"), find("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(secret)) => Ok(BucketKey {
            id,
            secret: Zeroizing::new(secret),
            session_token: find("AWS_SESSION_TOKEN").map(Zeroizing::new),
        }),
        _ => Err(Failure::usage("`[cold]` names a bucket and no key to it", KEY_NEXT)),
    }
}

/// The key of the profile `default`. What the file says is repeated by no error.
fn key_of_file(path: &Path) -> Result<BucketKey> {
    let text = files::read_secret(path)?;
    let wrong = |what: String| {
        let next = "give `[default]` with `aws_access_key_id`, `aws_secret_access_key` and no other profile";
        Failure::refused(format!("`{}` {what}", path.display()), next)
    };
    let (mut id, mut secret, mut session_token) = (None, None, None);
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with(['#', ';']) || line == "[default]" {
            continue;
        }
        let (name, value) = line.split_once('=').unwrap_or_default();
        let value = value.trim();
        let known = match name.trim() {
            "aws_access_key_id" => id.replace(value.to_owned()).is_none(),
            "aws_secret_access_key" => secret.replace(Zeroizing::new(value.to_owned())).is_none(),
            "aws_session_token" => session_token.replace(Zeroizing::new(value.to_owned())).is_none(),
            _ => false,
        };
        if !known {
            return Err(wrong(format!("has a line {number} that is not known or stands twice")));
        }
    }
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(BucketKey { id, secret, session_token }),
        _ => Err(wrong("holds no key to a bucket".into())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::failure::Exit;
    use crate::files::Access;

    fn parse(text: &str) -> ColdFile {
        toml::from_str(&format!("after_blocks = 5\n{text}")).unwrap()
    }

    #[test]
    fn a_bucket_takes_its_key_from_the_file_or_else_from_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let (file, key) = (folder.path().join("node.toml"), folder.path().join("key"));
        let text = "# ours\n[default]\naws_access_key_id = ID\naws_secret_access_key=SE=CRET\n";
        files::write(&key, text.as_bytes(), Access::Secret).unwrap();
        let bucket =
            |cold: &ColdFile, variables: &[(String, String)]| match cold.open(&file, variables)?.place {
                ColdPlace::Bucket(bucket) => Ok::<_, Failure>(bucket),
                ColdPlace::Folder(_) => panic!("a folder"),
            };
        let named = parse("bucket = 'blocks'\nprefix = 'node-1'\ncredentials = 'key'");
        let variables =
            [("AWS_ACCESS_KEY_ID", "X"), ("AWS_SECRET_ACCESS_KEY", "Y"), ("AWS_SESSION_TOKEN", "Z")];
        let variables = variables.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let found = bucket(&named, &variables).unwrap();
        assert_eq!(
            (found.key.id.as_str(), found.key.secret.as_str(), found.region.as_str()),
            ("ID", "SE=CRET", REGION)
        );
        assert_eq!(found.key.session_token, None);
        let from_environment = bucket(&parse("bucket = 'blocks'"), &variables).unwrap();
        assert_eq!(from_environment.key.session_token.unwrap().as_str(), "Z");
        assert_eq!(bucket(&parse("bucket = 'blocks'"), &variables[..1]).unwrap_err().exit, Exit::Usage);

        // What is wrong with the file is said, and nothing of what is in it.
        for wrong in [
            "",
            "[other]\n",
            "aws_access_key_id = ID\n",
            &format!("{text}aws_access_key_id = ID\n"),
            "SE=CRET",
        ] {
            files::write(&key, wrong.as_bytes(), Access::Secret).unwrap();
            let failure = bucket(&named, &variables).unwrap_err();
            assert!(failure.message().contains("key`") && !failure.message().contains("CRET"), "{failure}");
        }
        files::write(&key, text.as_bytes(), Access::Public).unwrap();
        assert!(bucket(&named, &variables).unwrap_err().next.starts_with("chmod 600"));
    }

    #[test]
    fn either_a_folder_or_a_bucket_is_named_with_what_belongs_to_it() {
        let open = |text: &str| {
            let variables =
                ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name.into(), "x".into()));
            parse(text).open(Path::new("/etc/keyward/node.toml"), &variables)
        };
        assert_eq!(open("folder = 'old'").unwrap().place, ColdPlace::Folder("/etc/keyward/old".into()));
        for wrong in [
            "",
            "folder = 'a'\nbucket = 'b'",
            "folder = 'a'\nregion = 'b'",
            "bucket = 'a/b'",
            "bucket = 'b'\nendpoint = 'http://s3.example.com'",
            "bucket = 'b'\nprefix = '../c'",
        ] {
            assert_eq!(open(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
        assert!(toml::from_str::<ColdFile>("after_blocks = 1\nbucket = 'b'\nsecret = 'c'").is_err());
    }
}
