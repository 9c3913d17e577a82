//! A keeper's way to the ledger: its own validator, on this machine, believed no more than any other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use keyward_ledger_client::{Client, Config, DEADLINE, Dial, Dialled, Identity};
use keyward_ledger_core::genesis::Genesis;
use keyward_ledger_core::trust::Trust;
use tokio::net::TcpStream;

use crate::certificate::host_of;
use crate::commands::ledger::failed;
use crate::config::from_folder;
use crate::config::node::NodeConfig;
use crate::failure::{Failure, Result};
use crate::files;
use crate::sealed::OperatorSecret;

/// Whatever name the validator's certificate has, its port lies here.
#[derive(Clone, Copy, Debug)]
struct Here(SocketAddr);

impl Dial for Here {
    fn dial<'a>(&'a self, _host: &'a str, _port: u16) -> Dialled<'a> {
        Box::pin(async move { Ok(TcpStream::connect(self.0).await?) })
    }
}

/// Who the node is in TLS, where it calls others.
pub(super) fn identity(config: &NodeConfig, file: &Path) -> Result<Identity> {
    let secret = OperatorSecret::load(&from_folder(file, &config.operator_secret))?;
    let (ca_pem, certificate_pem, key_pem) = config.tls.open_parts(file, &secret)?;
    Ok(Identity { ca_pem, certificate_pem, key_pem })
}

/// A client of the validator that listens at an address, with the node's certificate, and with its genesis for trust.
pub(super) async fn client(config: &NodeConfig, file: &Path, address: SocketAddr) -> Result<Client> {
    let at = |path: &Path| from_folder(file, path);
    let identity = identity(config, file)?;
    let genesis = Genesis::decode(&files::read(&at(&config.genesis))?)
        .map_err(|error| Failure::refused("the genesis does not read", "restore the file").because(&error))?;
    let host = host_of(&at(&config.tls.certificate))?;
    let config = Config {
        nodes: vec![format!("https://{host}:{}", address.port())],
        identity,
        trust: Trust::genesis(genesis.name().to_owned(), *genesis.chain_id()),
        deadline: DEADLINE,
        dial: Some(Arc::new(Here(reached(address)))),
    };
    Client::connect(config).await.map_err(|error| failed("cannot reach the validator beside it", &error))
}

/// Where one reaches what listens on every address.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_on_this_machine() {
        for (listens, reaches) in [
            ("0.0.0.0:7000", "127.0.0.1:7000"),
            ("[::]:7000", "[::1]:7000"),
            ("10.1.2.3:7000", "10.1.2.3:7000"),
        ] {
            assert_eq!(reached(listens.parse().unwrap()), reaches.parse().unwrap());
        }
    }
}
