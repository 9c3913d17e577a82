//! Files that organisations hand each other: a node that wants to join, a key that takes a place. Text, with
//! nothing secret in it; each is signed by the key that joins.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use keyward_ledger_core::change::{Change, Member, rotation_message, submitters_message};
use keyward_ledger_core::ed25519;
use keyward_ledger_core::genesis::{Role, Submitter, is_name};
use keyward_ledger_core::hash::{Hash, ZERO};
use keyward_ledger_core::keeper::Keeper;
use keyward_ledger_core::trust::Trust;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{parse_key, parse_role, validator_key};
use crate::commands::Context;
use crate::config::serve::read_trust;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};

/// A node that wants to join a ledger.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberFile {
    /// `keyward-member-2` for a ledger that is to be founded, `keyward-member-1` for one that is there.
    format: String,
    /// The ledger, 64 hex digits; zeros for one that is still to be founded.
    ledger: String,
    /// The node's key.
    pub(crate) key: String,
    /// The organisation's name on the ledger.
    pub(crate) name: String,
    /// Where the node listens for the others.
    pub(crate) peer: SocketAddr,
    /// Where it answers callers.
    pub(crate) rpc: String,
    /// The key's signature.
    proof: String,
    /// The key's signature over the submitters, for a ledger that is to be founded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    submitters_proof: Option<String>,
    /// Keys that its services submit with, for a ledger that is to be founded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    submitters: Vec<SubmitterLine>,
    /// The keeper beside the node, for a ledger that is to be founded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keeper: Option<KeeperLine>,
}

/// A submitter in a member file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubmitterLine {
    key: String,
    role: String,
}

/// A keeper in a member file. It has the node's name and the node's address for callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeeperLine {
    key: String,
    hpke_key: String,
    /// The keeper's key's signature.
    proof: String,
    /// The node's key's signature over the same: nobody else gives it a keeper.
    node_proof: String,
}

/// What an organisation brings to a ledger that is to be founded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Founder {
    pub(crate) member: Member,
    pub(crate) submitters: Vec<Submitter>,
    pub(crate) keeper: Option<Keeper>,
}

const FORMAT: &str = "keyward-member-1";
/// With submitters, which the key signs too.
const FOUNDING_FORMAT: &str = "keyward-member-2";
/// With a keeper too.
const KEEPER_FORMAT: &str = "keyward-member-3";
const ROTATION_FORMAT: &str = "keyward-rotation-1";

impl MemberFile {
    /// Signs a file for a node that founds a ledger, with the keys of the services that submit for it, and with its
    /// keeper's key and the key that shares are sealed to.
    pub(crate) fn sign_founding(
        key: &ed25519::SigningKey,
        place: (String, SocketAddr, String),
        services: &[[u8; 32]],
        keeper: Option<(&ed25519::SigningKey, [u8; 32])>,
    ) -> Result<Self> {
        let mut submitters: Vec<_> = services.iter().map(|key| Submitter::new(*key, Role::Service)).collect();
        submitters.sort_unstable_by_key(|submitter| submitter.key);
        let proof = key.sign(&submitters_message(&key.public_key(), &submitters));
        let line = |submitter: &Submitter| SubmitterLine {
            key: hex::encode(submitter.key),
            role: submitter.role.name().to_owned(),
        };
        let format = if keeper.is_some() { KEEPER_FORMAT } else { FOUNDING_FORMAT };
        let file = Self {
            format: format.to_owned(),
            submitters_proof: Some(hex::encode(proof)),
            submitters: submitters.iter().map(line).collect(),
            ..Self::sign(&ZERO, key, place)?
        };
        let keeper = keeper.map(|(own, hpke_key)| {
            let message = file.keeper_of(key.public_key(), own.public_key(), hpke_key).message(&ZERO);
            KeeperLine {
                key: hex::encode(own.public_key()),
                hpke_key: hex::encode(hpke_key),
                proof: hex::encode(own.sign(&message)),
                node_proof: hex::encode(key.sign(&message)),
            }
        });
        Ok(Self { keeper, ..file })
    }

    /// The keeper with these keys, beside this node.
    fn keeper_of(&self, node: [u8; 32], key: [u8; 32], hpke_key: [u8; 32]) -> Keeper {
        Keeper { name: self.name.clone(), key, hpke_key, validator: Some(node), rpc: self.rpc.clone() }
    }

    /// Signs a file for a node.
    fn sign(
        ledger: &Hash,
        key: &ed25519::SigningKey,
        (name, peer, rpc): (String, SocketAddr, String),
    ) -> Result<Self> {
        let member = Member { key: key.public_key(), name, peer, rpc };
        let unwritable = peer.port() == 0
            || !is_name(&member.name)
            || member.rpc.is_empty()
            || member.rpc.len() > keyward_ledger_core::change::RPC_ADDRESS_BYTES_MAX
            || !member.rpc.bytes().all(|byte| byte.is_ascii_graphic());
        if unwritable {
            return Err(Failure::usage(
                "the ledger would not take that name or these addresses",
                "a name is 1 to 64 of a-z, 0-9 and -; ports are not 0; the callers' address is visible ASCII",
            ));
        }
        let proof = hex::encode(key.sign(&member.message(ledger)));
        let (format, ledger, key) = (FORMAT.to_owned(), hex::encode(ledger), hex::encode(member.key));
        let (name, rpc) = (member.name, member.rpc);
        Ok(Self {
            format,
            ledger,
            key,
            name,
            peer,
            rpc,
            proof,
            submitters_proof: None,
            submitters: Vec::new(),
            keeper: None,
        })
    }

    pub(crate) fn load(path: &Path) -> Result<Self> {
        let file: Self = read_toml(path)?;
        if ![FOUNDING_FORMAT, KEEPER_FORMAT].contains(&file.format.as_str()) {
            check_format(path, &file.format, FORMAT)?;
        }
        Ok(file)
    }

    /// The node of a ledger that is to be founded, those who submit for it, and its keeper; the node's key signed them all.
    pub(crate) fn founding(&self) -> Result<Founder> {
        let (member, _) = self.member(&ZERO)?;
        let submitters = self.submitters.iter();
        let submitters =
            submitters.map(|line| Ok(Submitter::new(parse_key(&line.key)?, parse_role(&line.role)?)));
        let submitters = submitters.collect::<Result<Vec<_>>>()?;
        let proof = self.submitters_proof.as_deref().filter(|_| self.format != FORMAT);
        let proof = proof.ok_or_else(|| {
            let what = format!("the submitters in the file of `{}` are not signed", self.name);
            Failure::refused(what, "ask its organisation to write it again with `keyward genesis join`")
        })?;
        let message = submitters_message(&member.key, &submitters);
        ed25519::verify(&member.key, &message, &parse_signature(proof)?).map_err(|error| {
            let what = format!("the submitters in the file of `{}` are not signed by its key", self.name);
            Failure::refused(what, "ask its organisation for it again").because(&error)
        })?;
        let keeper = self.keeper.as_ref().map(|line| self.founding_keeper(&member, line)).transpose()?;
        if keeper.is_some() != (self.format == KEEPER_FORMAT) {
            let what = format!("the file of `{}` is not what it says that it is", self.name);
            return Err(Failure::refused(what, "ask its organisation for it again"));
        }
        Ok(Founder { member, submitters, keeper })
    }

    /// The keeper, if its own key and the node's signed it.
    fn founding_keeper(&self, member: &Member, line: &KeeperLine) -> Result<Keeper> {
        let keeper = self.keeper_of(member.key, parse_key(&line.key)?, parse_key(&line.hpke_key)?);
        let message = keeper.message(&ZERO);
        for (key, whose, proof) in
            [(&keeper.key, "its own", &line.proof), (&member.key, "the node's", &line.node_proof)]
        {
            ed25519::verify(key, &message, &parse_signature(proof)?).map_err(|error| {
                let what = format!("the keeper in the file of `{}` is not signed by {whose} key", self.name);
                Failure::refused(what, "ask its organisation for it again").because(&error)
            })?;
        }
        Ok(keeper)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        write_toml(path, self)
    }

    /// The node, if the file is for this ledger and its key signed it.
    pub(crate) fn member(&self, ledger: &Hash) -> Result<(Member, [u8; 64])> {
        if parse_key(&self.ledger)? != *ledger {
            let for_what = if *ledger == ZERO { "a ledger that is to be founded" } else { "this ledger" };
            return Err(Failure::refused(
                format!("the file of `{}` is not for {for_what}", self.name),
                "ask for another one",
            ));
        }
        let member = Member {
            key: parse_key(&self.key)?,
            name: self.name.clone(),
            peer: self.peer,
            rpc: self.rpc.clone(),
        };
        let proof = parse_signature(&self.proof)?;
        ed25519::verify(&member.key, &member.message(ledger), &proof).map_err(|error| {
            let what = format!("the file of `{}` is not signed by its key", self.name);
            Failure::refused(what, "ask its organisation for it again").because(&error)
        })?;
        Ok((member, proof))
    }

    /// The change that takes the node in.
    pub(super) fn admission(&self, ledger: &Hash) -> Result<Change> {
        let (member, proof) = self.member(ledger)?;
        Ok(Change::Admit { member, proof })
    }
}

/// A key that takes the place of a node's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RotationFile {
    format: String,
    old: String,
    new: String,
    proof: String,
}

impl RotationFile {
    pub(super) fn load(path: &Path) -> Result<Self> {
        let file: Self = read_toml(path)?;
        check_format(path, &file.format, ROTATION_FORMAT)?;
        Ok(file)
    }

    pub(super) fn change(&self) -> Result<Change> {
        let (old, new) = (parse_key(&self.old)?, parse_key(&self.new)?);
        Ok(Change::Rotate { old, new, proof: parse_signature(&self.proof)? })
    }
}

/// Whose node asks which ledger, and where that is written.
#[derive(Debug, clap::Args)]
pub(super) struct Asking {
    /// The configuration of our node, whose key signs.
    #[arg(long, value_name = "FILE")]
    pub(super) node: PathBuf,
    /// The ledger's trust file.
    #[arg(long, value_name = "FILE")]
    pub(super) trust: PathBuf,
    /// Where to write.
    #[arg(long, value_name = "FILE")]
    pub(super) out: PathBuf,
}

impl Asking {
    /// The ledger that is asked; three different files are named.
    pub(super) fn ledger(&self) -> Result<Trust> {
        files::distinct([&self.node, &self.trust, &self.out].map(PathBuf::as_path))?;
        read_trust(&self.trust)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Join {
    #[command(flatten)]
    asking: Asking,
    /// Our name on the ledger.
    #[arg(long)]
    name: String,
    /// Where the others reach the node.
    #[arg(long, value_name = "IP:PORT")]
    peer: SocketAddr,
    /// Where the node answers callers.
    #[arg(long, value_name = "URL")]
    rpc: String,
}

impl Join {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let (trust, out) = (self.asking.ledger()?, &self.asking.out);
        let key = validator_key(&self.asking.node)?;
        let file = MemberFile::sign(&trust.chain_id, &key, (self.name, self.peer, self.rpc))?;
        file.write(out)?;
        let words = format!(
            "node {} asks to join `{}`: give `{}` to its members",
            file.key,
            trust.name,
            out.display()
        );
        context.output.answer(words, &json!({ "key": file.key, "file": out }));
        Ok(())
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Rotation {
    // The node has the new key.
    #[command(flatten)]
    asking: Asking,
    /// The key so far.
    #[arg(long, value_name = "KEY")]
    old: String,
}

impl Rotation {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let (trust, out) = (self.asking.ledger()?, &self.asking.out);
        let (key, old) = (validator_key(&self.asking.node)?, parse_key(&self.old)?);
        let new = key.public_key();
        let proof = hex::encode(key.sign(&rotation_message(&trust.chain_id, &old, &new)));
        let file =
            RotationFile { format: ROTATION_FORMAT.into(), old: self.old, new: hex::encode(new), proof };
        write_toml(out, &file)?;
        let words = format!(
            "key {} asks for the place of {}: give `{}` to the members",
            file.new,
            file.old,
            out.display()
        );
        context.output.answer(words, &json!({ "old": file.old, "new": file.new, "file": out }));
        Ok(())
    }
}

pub(super) fn parse_signature(text: &str) -> Result<[u8; 64]> {
    let mut bytes = [0; 64];
    hex::decode_to_slice(text, &mut bytes).map_err(|error| {
        Failure::refused("the proof is not 128 hex digits", "ask for the file again").because(&error)
    })?;
    Ok(bytes)
}

pub(super) fn check_format(path: &Path, found: &str, wanted: &str) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let what = format!("`{}` is a `{found}`, not a `{wanted}`", path.display());
    Err(Failure::refused(what, "give another file"))
}

pub(super) fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    toml::from_str(&files::read_text(path)?).map_err(|error| {
        let what = format!("`{}` is malformed", path.display());
        Failure::refused(what, "ask for the file again").because(&error)
    })
}

pub(super) fn write_toml(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = toml::to_string(value).map_err(|error| {
        Failure::refused(format!("cannot write `{}`", path.display()), "tell us about this").because(&error)
    })?;
    files::write(path, text.as_bytes(), Access::Public)
}
