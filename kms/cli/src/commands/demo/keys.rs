//! The keys of the story: linked by the operator, made by the person, made for the app.

use std::path::{Path, PathBuf};

use keyward_client::{Link, Password};
use keyward_domain::scheme::Scheme;
use zeroize::Zeroizing;

use super::softhsm;
use super::story::{Actor, Story, Whose};
use crate::commands::verify::{invalid, verify};
use crate::failure::Result;
use crate::files::{self, Access};
use crate::local::cluster::Cluster;
use crate::local::prepare::{TOKEN_LABEL, read_pin};
use crate::profile::{FILE, Profile, SessionFile};
use crate::sealed::{NON_PRODUCTION, random32};
use crate::service::failed;

const USER: &str = "alice";
/// The app's name in its certificate.
const APP: &str = "local-app";
const PERSONS_KEYS: [(&str, Scheme); 4] = [
    ("alice-secp256k1", Scheme::EcdsaSecp256k1),
    ("alice-bip340", Scheme::Bip340),
    ("alice-p256", Scheme::EcdsaP256),
    ("alice-ed25519", Scheme::Ed25519),
];

impl Story<'_> {
    pub(super) async fn link_keys(&mut self, cluster: &Cluster, softhsm_pin: Option<PathBuf>) -> Result<()> {
        self.step(
            "The operator links keys of tokens: each proves itself, its private part stays where it is.",
        );
        let pin = cluster.layout.token_pin();
        self.link(TOKEN_LABEL, "sample-secp256k1", Scheme::EcdsaSecp256k1, "bank-secp256k1", &pin).await?;
        self.link(TOKEN_LABEL, "sample-p256", Scheme::EcdsaP256, "bank-p256", &pin).await?;
        self.link(TOKEN_LABEL, "sample-ed25519", Scheme::Ed25519, "bank-ed25519", &pin).await?;
        self.link(TOKEN_LABEL, "sample-rsa-2048", Scheme::RsaPss, "bank-rsa-pss", &pin).await?;
        self.link(TOKEN_LABEL, "sample-rsa-2048", Scheme::RsaPkcs1, "bank-rsa-pkcs1", &pin).await?;
        match softhsm_pin {
            Some(pin) => {
                self.link(softhsm::LABEL, softhsm::KEY_LABEL, Scheme::EcdsaP256, "softhsm-p256", &pin).await
            }
            None => {
                self.say(
                    "SoftHSM2 is not installed: its part is left out (Debian: apt-get install softhsm2)",
                );
                Ok(())
            }
        }
    }

    pub(super) async fn link(
        &mut self,
        token: &str,
        label: &str,
        scheme: Scheme,
        alias: &'static str,
        pin: &Path,
    ) -> Result<()> {
        let link = Link {
            token: token.to_owned(),
            key_label: label.to_owned(),
            id: Vec::new(),
            scheme,
            alias: alias.to_owned(),
            agent: String::new(),
            pin: Zeroizing::new(read_pin(pin)?.as_bytes().to_vec()),
        };
        let linked = self.operator.link(link).await.map_err(failed("cannot link the token's key"))?;
        verify(&self.trust, &linked.receipt, None).map_err(|error| invalid(&error))?;
        self.operator.authorize(alias, APP).await.map_err(failed("cannot lend the key to the app"))?;
        let id = hex::encode(&linked.key.key_id);
        self.say(format!("{alias:<15} {scheme:<15} of token `{token}`, lent to `{APP}`  {}", short(&id)));
        self.linked.push((alias, scheme, id));
        Ok(())
    }

    pub(super) async fn register(&mut self, cluster: &Cluster) -> Result<()> {
        self.step("A person registers: the password is stretched on this side and never leaves it.");
        let text = Zeroizing::new(hex::encode(*random32()?));
        let path = cluster.layout.root().join("alice.password");
        let labelled = Zeroizing::new(format!("{NON_PRODUCTION}{}\n", *text));
        files::write(&path, labelled.as_bytes(), Access::Secret)?;
        let password = Password::new(text.to_string()).map_err(failed("cannot use the password"))?;
        self.app.register(USER, &password).await.map_err(failed("cannot register"))?;
        let session = self.app.login(USER, &password).await.map_err(failed("cannot log in"))?.session;
        let profile = Profile::read(&cluster.layout.profile("app").join(FILE))?;
        let kept = SessionFile::new(&session.token, &session.account, USER, session.expires_unix_ms);
        profile.keep_session(&kept)?;
        let person = self.app.clone().with_session(&session.token).map_err(failed("cannot log in"))?;
        let person = person.with_account(session.account);
        self.say(format!("`{USER}` is registered and logged in; the ledger knows a salted commitment only"));
        for (alias, scheme) in PERSONS_KEYS {
            person.create_person_key(alias, scheme).await.map_err(failed("cannot make the person's key"))?;
            self.say(format!("{alias:<15} {scheme:<15} made on this side, proven, sealed to the service"));
        }
        self.person = Some(person);
        let made = self.app.create_app_key("app-secp256k1", Scheme::EcdsaSecp256k1).await;
        made.map_err(failed("cannot make the app's key"))?;
        self.say("app-secp256k1   ecdsa-secp256k1 made in the service, for the app");
        Ok(())
    }

    pub(super) fn actors(&self) -> Vec<Actor> {
        let bank = self.linked.iter().map(|(alias, scheme, _)| Actor {
            alias,
            scheme: *scheme,
            holder: if alias.starts_with("softhsm") { "SoftHSM2 token" } else { "bundled token" },
            whose: Whose::Bank,
        });
        let person = PERSONS_KEYS.into_iter().map(|(alias, scheme)| Actor {
            alias,
            scheme,
            holder: "hosted for alice",
            whose: Whose::Person,
        });
        let app = Actor {
            alias: "app-secp256k1",
            scheme: Scheme::EcdsaSecp256k1,
            holder: "hosted for the app",
            whose: Whose::App,
        };
        bank.chain(person).chain([app]).collect()
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
