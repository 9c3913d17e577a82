//! `keyward sign --address`: the one signature of a one-time address.

use keyward_client::Client;
use keyward_client::addresses::{AddressOrder, AddressSignature, Which, undealt_days};
use serde_json::Value;

use super::leave::undealt_words;
use super::{Context, Reached, parse_address, reach_chosen, source_json};
use crate::commands::own::PasswordFrom;
use crate::commands::sign::to_json as signature_json;
use crate::failure::Result;
use crate::output::aside;
use crate::profile::Profile;
use crate::service::failed;

/// `new`, or an address.
pub(crate) fn which(text: &str) -> Result<Which> {
    if text == "new" { Ok(Which::Fresh) } else { parse_address(text).map(Which::Given) }
}

/// A signature, and how many days of an own root wait to be left to keepers; none are of a hosted one.
pub(crate) struct Signed {
    pub(crate) by: AddressSignature,
    undealt_days: u32,
}

/// Signs by the service, or here where the account keeps its own root.
pub(crate) async fn signed(
    context: &Context,
    profile: &Profile,
    client: &Client,
    (which, order, from): (Which, &AddressOrder, &PasswordFrom),
) -> Result<Signed> {
    let chosen = client.chosen_addresses().await.map_err(failed("cannot look at your addresses"))?;
    let signed = match reach_chosen(context, profile, (client, &chosen), from).await? {
        Reached::Hosted(client) => client.sign_address(order, which).await,
        Reached::Own(own) => own.client.sign_own_address(&own.root(), order, which).await,
    };
    let days = undealt_days(&chosen.state, chosen.ledger_ms);
    Ok(Signed { by: signed.map_err(failed("cannot sign"))?, undealt_days: days })
}

impl Signed {
    /// Says beside the answer what its person has to know, or to do.
    pub(crate) fn remind(&self) {
        if !self.by.released {
            aside(
                "keyward: the service waits for this signature no more: its receipt is whole, and its release is not recorded",
            );
        }
        if let Some(words) = undealt_words(self.undealt_days) {
            aside(&format!("keyward: {words}"));
        }
    }
}

/// What `--output json` prints: as of any key, and where the address comes from.
pub(crate) fn to_json(Signed { by: signed, undealt_days }: &Signed) -> Value {
    let mut json = signature_json(&signed.signature);
    if let Value::Object(map) = &mut json {
        map.insert("one_time_address".into(), hex::encode(signed.address).into());
        map.extend(source_json(&signed.source));
        map.insert("leaf_index".into(), signed.leaf_index.into());
        map.insert("released".into(), signed.released.into());
        map.insert("undealt_days".into(), (*undealt_days).into());
    }
    json
}
