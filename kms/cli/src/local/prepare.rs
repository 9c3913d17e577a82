//! Makes what a local Keyward needs, once: authority, keys, genesis, token, profiles.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use keyward_domain::{Principal, Role};
use keyward_ledger_core::block::Regime;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::genesis::{self, EPOCH_LENGTH_DEFAULT, Genesis, GenesisDocument, Submitter};
use keyward_ledger_core::keeper::Keeper;
use keyward_ledger_core::trust::Trust;
use zeroize::Zeroizing;

use super::layout::{Layout, PROFILES};
use crate::authority::{Authority, Issued};
use crate::config::keeper::{self, KeeperKey};
use crate::config::node::{CHECKPOINT_KEY, TLS_KEY, VALIDATOR_KEY};
use crate::config::serve::{SUBMITTER_KEY, TOKEN_PIN};
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::profile;
use crate::sealed::{NON_PRODUCTION, OperatorSecret, random32};

/// The name of a local ledger.
const LEDGER_NAME: &str = "keyward-local";
/// The label of the bundled token.
pub(crate) const TOKEN_LABEL: &str = "keyward-local";
/// How far a proposal's time may lie from a voter's clock.
const CLOCK_BOUND_MS: u64 = 30_000;

/// Makes everything that does not depend on ports. `state` is written last by the caller: a folder without it was
/// never finished. The answer is the validators' public keys, in the order of their folders.
/// A keeper stands beside each validator, and answers where that does: `rpcs` are the addresses, one for each.
pub(crate) fn prepare(layout: &Layout, rpcs: &[String], servers: usize) -> Result<Vec<[u8; 32]>> {
    files::make_folder(layout.root())?;
    files::write(&layout.readme(), README.as_bytes(), Access::Public)?;
    let secret = OperatorSecret::create_for_trial(&layout.operator_secret())?;
    let authority = Authority::create()?;
    files::write(&layout.ca(), authority.certificate_pem.as_bytes(), Access::Public)?;
    let (mut keys, mut keepers) = (Vec::with_capacity(rpcs.len()), Vec::with_capacity(rpcs.len()));
    for (index, rpc) in (1..).zip(rpcs) {
        let (key, keeper) = prepare_node(layout, index, rpc, &secret, &authority)?;
        keys.push(key);
        keepers.push(keeper);
    }
    let submitters = (1..=servers)
        .map(|index| Ok((layout.server_submitter(index), principal(Role::Service, "custody")?)))
        .chain([principal(Role::Operator, "local-operator").map(|owner| (layout.submitter("bench"), owner))])
        .map(|file| {
            let (file, owner) = file?;
            Ok(Submitter::new(make_key(&secret, &file, SUBMITTER_KEY, &owner)?, genesis::Role::Service))
        })
        .collect::<Result<Vec<_>>>()?;
    prepare_genesis(layout, keys.clone(), submitters, keepers)?;
    let custody = principal(Role::Service, "custody")?;
    write_server(&layout.service(), &authority.issue_server(&custody)?, &secret, &custody)?;
    prepare_pin(layout, &secret, &custody)?;
    for role in PROFILES {
        let role = Role::from_name(role).unwrap_or(Role::App);
        let issued = authority.issue_client(&principal(role, &format!("local-{role}"))?)?;
        write_client(&layout.profile(role.name()), &issued)?;
    }
    Ok(keys)
}

fn principal(role: Role, name: &str) -> Result<Principal> {
    Principal::new(role, name).map_err(|error| Failure::of_coded("cannot name a certificate", &error))
}

fn prepare_node(
    layout: &Layout,
    index: usize,
    rpc: &str,
    secret: &OperatorSecret,
    authority: &Authority,
) -> Result<([u8; 32], Keeper)> {
    let folder = layout.node(index);
    let owner = principal(Role::Node, &format!("node-{index}"))?;
    write_server(&folder, &authority.issue_server(&owner)?, secret, &owner)?;
    make_key(secret, &layout.checkpoint_key(index), CHECKPOINT_KEY, &owner)?;
    let key = make_key(secret, &folder.join("validator.key"), VALIDATOR_KEY, &owner)?;
    let made = keeper::make(secret, |key| layout.keeper_key(index, key), &owner, &KeeperKey::ALL)?;
    let keeper = Keeper {
        name: keeper_name(index),
        key: made.signing,
        hpke_key: made.sealing,
        validator: Some(key),
        rpc: rpc.to_owned(),
    };
    Ok((key, keeper))
}

/// The keeper beside node `index`, as the ledger names it.
pub(super) fn keeper_name(index: usize) -> String {
    format!("keeper-{index}")
}

/// A fresh Ed25519 key in a sealed file; the answer is its public key.
fn make_key(secret: &OperatorSecret, path: &Path, purpose: &str, owner: &Principal) -> Result<[u8; 32]> {
    let seed = random32()?;
    secret.seal(path, purpose, owner, seed.as_ref())?;
    Ok(SigningKey::from_seed(&seed).public_key())
}

fn write_server(folder: &Path, issued: &Issued, secret: &OperatorSecret, owner: &Principal) -> Result<()> {
    files::write(&folder.join("certificate.pem"), issued.certificate_pem.as_bytes(), Access::Public)?;
    secret.seal(&folder.join("tls.key"), TLS_KEY, owner, issued.key_pem.as_bytes())
}

/// Callers' keys lie in the open, mode 0600: TLS libraries read them as they are.
fn write_client(folder: &Path, issued: &Issued) -> Result<()> {
    files::write(&folder.join("certificate.pem"), issued.certificate_pem.as_bytes(), Access::Public)?;
    let labelled = Zeroizing::new(format!("{NON_PRODUCTION}{}", *issued.key_pem));
    files::write(&folder.join("key.pem"), labelled.as_bytes(), Access::Secret)
}

fn prepare_genesis(
    layout: &Layout,
    mut validators: Vec<[u8; 32]>,
    mut submitters: Vec<Submitter>,
    mut keepers: Vec<Keeper>,
) -> Result<()> {
    validators.sort_unstable();
    submitters.sort_unstable_by_key(|submitter| submitter.key);
    keepers.sort_by_key(Keeper::id);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let document = GenesisDocument {
        name: LEDGER_NAME.to_owned(),
        time_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        validators,
        submitters,
        keepers,
        epoch_length: EPOCH_LENGTH_DEFAULT,
        regime: Regime::Fast,
        clock_bound_ms: CLOCK_BOUND_MS,
    };
    let genesis = Genesis::new(document).map_err(|error| {
        Failure::refused("cannot make a genesis", "choose 1 to 64 validators").because(&error)
    })?;
    files::write(&layout.genesis(), &genesis.encode(), Access::Public)?;
    let trust = Trust::genesis(genesis.name().to_owned(), *genesis.chain_id());
    files::write(&layout.trust(), trust.encode().as_bytes(), Access::Public)
}

/// The bundled token's PIN: for the service sealed, for people who try the token in a file of mode 0600.
fn prepare_pin(layout: &Layout, secret: &OperatorSecret, owner: &Principal) -> Result<()> {
    let random = random32()?;
    let pin = Zeroizing::new(hex::encode(random.iter().copied().take(8).collect::<Vec<_>>()));
    secret.seal(&layout.service().join("token.pin"), TOKEN_PIN, owner, pin.as_bytes())?;
    let labelled = Zeroizing::new(format!("{NON_PRODUCTION}{}\n", *pin));
    files::write(&layout.token_pin(), labelled.as_bytes(), Access::Secret)
}

/// The PIN in a file: its first line that is no comment.
pub(crate) fn read_pin(path: &Path) -> Result<Zeroizing<String>> {
    let text = files::read_secret(path)?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let line = line.ok_or_else(|| {
        Failure::refused(
            format!("`{}` holds no PIN", path.display()),
            "write the PIN into the file, on one line",
        )
    })?;
    Ok(Zeroizing::new(line.to_owned()))
}

/// Where the profile's own files lie, for `profile.toml`.
pub(crate) fn write_profile(
    layout: &Layout,
    role: &str,
    services: &[String],
    nodes: &[String],
) -> Result<()> {
    let operator = role == "operator";
    let mut services = services.iter().cloned();
    let (service, more_services) = (services.next().unwrap_or_default(), services.collect());
    let file = profile::ProfileFile {
        role: role.to_owned(),
        service,
        more_services,
        nodes: nodes.to_vec(),
        ca: "../../ca/ca.pem".into(),
        certificate: "certificate.pem".into(),
        key: "key.pem".into(),
        trust: "../../trust".into(),
        operator_secret: operator.then(|| "../../operator.secret".into()),
        submitter_key: operator.then(|| "../../submitters/bench.key".into()),
        proxy: None,
    };
    write_toml(&layout.profile(role).join(profile::FILE), &file)
}

/// Writes a file of ours as TOML.
pub(crate) fn write_toml(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = toml::to_string(value).map_err(|error| {
        Failure::refused(format!("cannot write `{}`", path.display()), "tell us about this").because(&error)
    })?;
    files::write(path, format!("{NON_PRODUCTION}{text}").as_bytes(), Access::Public)
}

const README: &str = "\
NON-PRODUCTION: everything in this folder was made by `keyward up` or `keyward demo` for trying things out.

keyward.toml      how many validators, which ports
operator.secret   opens the sealed keys below; whoever has it and the keys has everything
ca/               the certificate authority of this folder; its key was thrown away after use
genesis, trust    the ledger's first document, and the line by which receipts are verified
node-N/           one validator and its keeper each: configuration, sealed keys, data, shares in data/keeper
service/          the custody service: configuration, sealed keys, database
submitters/       keys that may write to the ledger, sealed
token/, token.pin the bundled software token and its PIN
profiles/         one for each role: `export KEYWARD_PROFILE=..`
logs/             what each process said
";
