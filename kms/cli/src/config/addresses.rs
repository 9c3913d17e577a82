//! The part of the service's configuration that is about unlinkable addresses.

use std::time::Duration;

use keyward_ledger_core::unlinkable::{EPOCH_MS_MAX, EPOCH_MS_MIN};
use keyward_service::AddressesConfig;
use serde::{Deserialize, Serialize};

use crate::commands::key::life::parse_wait;
use crate::failure::{Failure, Result};

/// `[addresses]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddressesFile {
    /// The length of an address epoch, for accounts that choose addresses from now on: `1h`, `30m`, `10s`; a second to a day.
    #[serde(default = "epoch")]
    epoch: String,
    /// The id of the rate rule on the ledger that each use of a hosted address counts against, 64 hex digits, as `keyward address limit
    /// define` prints it; it has one window and nobody who charges it. Of a window longer than an epoch, a grant for one epoch shows the
    /// account's acts in all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
}

fn epoch() -> String {
    "1h".to_owned()
}

impl Default for AddressesFile {
    fn default() -> Self {
        Self { epoch: epoch(), limit: None }
    }
}

impl AddressesFile {
    /// What the service is started with.
    pub(crate) fn open(&self) -> Result<AddressesConfig> {
        Ok(AddressesConfig { epoch: self.epoch()?, limit: self.limit()? })
    }

    fn epoch(&self) -> Result<Duration> {
        let epoch_ms = parse_wait(&self.epoch).ok();
        match epoch_ms.filter(|epoch_ms| (EPOCH_MS_MIN..=EPOCH_MS_MAX).contains(epoch_ms)) {
            Some(epoch_ms) => Ok(Duration::from_millis(epoch_ms)),
            None => Err(Failure::usage(
                format!("`epoch` of `[addresses]` is `{}`", self.epoch),
                "choose `1s` to `24h`, as `10s`, `30m` or `1h`",
            )),
        }
    }

    fn limit(&self) -> Result<Option<[u8; 32]>> {
        let Some(limit) = &self.limit else { return Ok(None) };
        let mut rule = [0; 32];
        hex::decode_to_slice(limit, &mut rule).map_err(|error| {
            let what = format!("`limit` of `[addresses]` is `{limit}`");
            Failure::usage(what, "name a rate rule by the 64 hex digits of its id, which `keyward address limit define` prints").because(&error)
        })?;
        Ok(Some(rule))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn read(text: &str) -> Result<AddressesConfig> {
        toml::from_str::<AddressesFile>(text).unwrap().open()
    }

    #[test]
    fn epochs_last_a_second_to_a_day_and_an_hour_where_nothing_is_said() {
        let hour = read("").unwrap();
        assert_eq!((hour.epoch, hour.limit), (Duration::from_secs(3600), None));
        for (text, seconds) in [("1s", 1), ("90s", 90), ("30m", 1800), ("24h", 86_400), ("1d", 86_400)] {
            assert_eq!(read(&format!("epoch = \"{text}\"")).unwrap().epoch, Duration::from_secs(seconds));
        }
        for text in ["0s", "25h", "86401s", "2d", "h", "", "1.5h", "-1h", "99999999999999999999h", "1 h"] {
            assert!(read(&format!("epoch = \"{text}\"")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_limit_is_the_id_of_a_rule() {
        let id = "ab".repeat(32);
        assert_eq!(read(&format!("limit = \"{id}\"")).unwrap().limit, Some([0xab; 32]));
        for text in ["", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
            assert!(read(&format!("limit = \"{text}\"")).is_err(), "{text}");
        }
    }
}
