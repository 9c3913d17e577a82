//! `keyward sign --address`: the one signature of a one-time address.

use keyward_client::Client;
use keyward_client::addresses::{AddressOrder, AddressSignature, Which};
use serde_json::Value;

use super::{Context, Reached, parse_address, reach, source_json};
use crate::commands::own::PasswordFrom;
use crate::commands::sign::to_json as signature_json;
use crate::failure::Result;
use crate::profile::Profile;
use crate::service::failed;

/// `new`, or an address.
pub(crate) fn which(text: &str) -> Result<Which> {
    if text == "new" { Ok(Which::Fresh) } else { parse_address(text).map(Which::Given) }
}

/// Signs by the service, or here where the account keeps its own root.
pub(crate) async fn signed(
    context: &Context,
    profile: &Profile,
    client: &Client,
    (which, order, from): (Which, &AddressOrder, &PasswordFrom),
) -> Result<AddressSignature> {
    let signed = match reach(context, profile, client, from).await? {
        Reached::Hosted(client) => client.sign_address(order, which).await,
        Reached::Own(own) => own.client.sign_own_address(&own.root(), order, which).await,
    };
    signed.map_err(failed("cannot sign"))
}

/// What `--output json` prints: as of any key, and where the address comes from.
pub(crate) fn to_json(signed: &AddressSignature) -> Value {
    let mut json = signature_json(&signed.signature);
    if let Value::Object(map) = &mut json {
        map.insert("one_time_address".into(), hex::encode(signed.address).into());
        map.extend(source_json(&signed.source));
        map.insert("leaf_index".into(), signed.leaf_index.into());
        map.insert("released".into(), signed.released.into());
    }
    json
}
