//! What an account with an own root leaves when it is closed: epochs that are over are ended and dealt to keepers, which nobody can
//! do afterwards.

use keyward_client::addresses::{AddressesError, ClosedEpoch, Custody, DealOrder, DealtEpochs};
use serde_json::{Value, json};

use super::{Context, close, deal};
use crate::commands::own::Unlocked;
use crate::failure::{Failure, Result};
use crate::service::failed;

/// What was done.
#[derive(Default)]
pub(crate) struct Left {
    closed: Vec<ClosedEpoch>,
    dealt: Vec<DealtEpochs>,
}

impl Left {
    /// A line each.
    pub(crate) fn words(&self) -> Vec<String> {
        self.closed.iter().map(close::words).chain(self.dealt.iter().map(deal::words)).collect()
    }

    /// For `--output json`.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "closed": self.closed.iter().map(close::to_json).collect::<Vec<_>>(),
            "dealt": self.dealt.iter().map(deal::to_json).collect::<Vec<_>>(),
        })
    }
}

/// What is to be done where days wait to be left to keepers: nothing does it unasked.
pub(crate) fn undealt_words(days: u32) -> Option<String> {
    let days = match days {
        0 => return None,
        1 => "1 whole day is over and not left".to_owned(),
        days => format!("{days} whole days are over and not left"),
    };
    Some(format!(
        "{days} to keepers: until then no grant opens what was done there, and this device still does (`keyward address close`, then `keyward address deal`)"
    ))
}

/// Ends and deals every epoch that is over of an account with an own root; of others there is nothing to do.
pub(crate) async fn leave(context: &Context, own: &Unlocked) -> Result<Left> {
    let stopped = |failure: Failure| {
        let next = format!(
            "{}; then close the account again, or with `--undealt`: then nobody ever opens those epochs",
            failure.next
        );
        Failure { next, ..failure }
    };
    let chosen = match own.client.chosen_addresses().await {
        Ok(chosen) if chosen.state.custody == Custody::Own => chosen,
        Ok(_) | Err(AddressesError::NotChosen) => return Ok(Left::default()),
        // Nobody who chose them here did it without a trust file.
        Err(AddressesError::TrustMissing)
            if matches!(own.root().read(), Err(AddressesError::RootMissing)) =>
        {
            return Ok(Left::default());
        }
        Err(error) => return Err(stopped(failed("cannot look at your addresses")(error))),
    };
    let (first, through) = (chosen.state.next_dealt(), chosen.last_over());
    if first.is_none() || through < first {
        return Ok(Left::default());
    }
    let closed = close::closed(context, own, None).await.map_err(stopped)?;
    let order = DealOrder { through, ..DealOrder::default() };
    let dealt = deal::dealt(context, own, &order).await.map_err(stopped)?;
    Ok(Left { closed, dealt })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn days_that_wait_are_named_with_what_leaves_them() {
        assert_eq!(undealt_words(0), None);
        assert!(undealt_words(1).unwrap().starts_with("1 whole day is over"));
        let words = undealt_words(12).unwrap();
        assert!(
            words.starts_with("12 whole days are over") && words.contains("`keyward address deal`"),
            "{words}"
        );
    }
}
