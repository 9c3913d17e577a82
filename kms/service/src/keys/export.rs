//! A key's public part in the forms that other programs read.

use std::sync::Arc;

use keyward_crypto::{ExportFormat, Network, export};
use keyward_domain::Code;

use crate::{caller::Caller, custody::Custody, failure::Failure, keybook::KnownKey};

impl Custody {
    /// The public key in a form; who may see the key may have it. An empty network is the main one.
    pub(crate) async fn export_key(
        &self,
        caller: &Caller,
        key: &str,
        format: &str,
        network: &str,
    ) -> Result<(Arc<KnownKey>, Vec<u8>), Failure> {
        let key = self.show_key(caller, key).await?;
        let format = ExportFormat::from_name(format)
            .ok_or_else(|| Failure::new(Code::FormatUnknown, format!("`{format}` is no form of a key")))?;
        let network = match network {
            "" => Network::Mainnet,
            name => Network::from_name(name)
                .ok_or_else(|| Failure::new(Code::NetworkUnknown, format!("`{name}` is no network")))?,
        };
        let exported = export(&key.public_key, format, network)
            .map_err(|error| Failure::because(Code::FormatNotOfScheme, error.to_string(), error))?;
        Ok((key, exported))
    }
}
