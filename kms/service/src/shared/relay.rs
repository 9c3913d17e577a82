//! The blind relay to the keepers of shared keys: what holders sign is passed on unchanged, and so is the answer.
//!
//! Which keeper and where it answers stands in the proven state. A keeper may lie, stall or send anything: its answer has bounds,
//! and of its refusals only its own codes come through. Whoever asked checks what it signed.

use keyward_domain::{AccountId, Code};
use keyward_ledger_core::keeper::Keeper;
use keyward_policies::Verb;
use keyward_proto::custody::{GenerationPlan, RenewalPlan, RepairPlan};
use keyward_store::Id;
use prost::Message as _;
use tokio::time::timeout;

use super::malformed;
use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    ports::{CoSigned, KeeperError, ToCoSigner},
    vaults::{
        floods::Flood,
        relay::{heard, silent},
    },
};

/// The longest answer: what a keeper agrees on with four others and a user. Messages of other steps are far shorter.
pub(crate) const ROUND_BYTES_MAX: usize = 2 << 20;
/// The longest request: the messages of all steps of making such a key, of every holder.
pub(crate) const ASKED_BYTES_MAX: usize = 12 << 20;
/// What a keeper of shared keys may refuse with; it does not speak for the service.
const KEEPER_CODES: [Code; 41] = [
    Code::SharedRequestMalformed,
    Code::SharedKeyOther,
    Code::SharedDeviceRefused,
    Code::SharedAttemptStale,
    Code::SharedPolicyOther,
    Code::SharedInvalid,
    Code::SharedRunUnknown,
    Code::SharedAttempt,
    Code::SharedKeeperUnknown,
    Code::SharedAcknowledgement,
    Code::SharedVersionStale,
    Code::SharedSigners,
    Code::SharedTweak,
    Code::SharedNameBound,
    Code::SharedLimited,
    Code::SharedKeyUnknown,
    Code::SharedShareMissing,
    Code::SharedShareHeld,
    Code::SharedRunOther,
    Code::SharedIntentRefused,
    Code::SharedApprovalMissing,
    Code::SharedMessageRefused,
    Code::SharedHolderLied,
    Code::SharedBanned,
    Code::SharedExperimental,
    Code::PolicyDenied,
    Code::ApprovalRequired,
    Code::KeyNotShared,
    Code::KeyUnknown,
    Code::KeyFrozen,
    Code::KeyScheduled,
    Code::KeyDestroyed,
    Code::KeySuperseded,
    Code::AuthorSignatureExpired,
    Code::AccountClosed,
    Code::IntentExpired,
    Code::PayloadFormatUnknown,
    Code::PayloadUnread,
    Code::PayloadOther,
    Code::ServiceBusy,
    Code::LedgerUnavailable,
];

/// Whose key a request is about.
enum About<'a> {
    /// One that is made: its account.
    Account(&'a [u8]),
    /// One that is there.
    Key(&'a [u8]),
    /// Nothing is said.
    Nothing,
}

impl Custody {
    /// Passes a request on to a keeper, if it is about a key of the caller's own account.
    pub(crate) async fn ask_about_shared(
        &self,
        caller: &Caller,
        keeper: Id,
        what: ToCoSigner,
    ) -> Result<CoSigned, Failure> {
        let _permit = self.permit()?;
        let (about, verb) = about(&what)?;
        let account = self.shared_account(caller, verb)?;
        let _asked = self.asking.enter(account.0)?;
        self.floods.charge(account.0, Flood::SharedQuestion, self.clock.now_ms())?;
        self.check_about(caller, account, about).await?;
        if matches!(what, ToCoSigner::OpenKey(_)) {
            self.floods.charge(account.0, Flood::SharedOpening, self.clock.now_ms())?;
        }
        let keeper = self.keeper_of(&keeper).await?;
        self.ask_co_signer(&keeper, what).await
    }

    async fn check_about(
        &self,
        caller: &Caller,
        account: AccountId,
        about: About<'_>,
    ) -> Result<(), Failure> {
        match about {
            About::Account(of) if of == account.0 => Ok(()),
            About::Account(_) => {
                Err(Failure::new(Code::NotAllowed, "the key is not made for the caller's own account"))
            }
            About::Key(key_id) => {
                let key_id = key_id.try_into().map_err(|_length| malformed("a key id has 32 bytes"))?;
                self.own_shared_key(caller, account, key_id).await.map(drop)
            }
            About::Nothing => Err(malformed("the request has no plan")),
        }
    }

    /// Asks a keeper, for as long as keepers are waited for.
    pub(crate) async fn ask_co_signer(&self, keeper: &Keeper, what: ToCoSigner) -> Result<CoSigned, Failure> {
        let asked = self.keepers.co_sign(keeper.rpc.clone(), what);
        let answer = match timeout(self.keeper_wait, asked).await {
            Ok(answer) => answer.map_err(of_keeper)?,
            Err(elapsed) => return Err(silent(elapsed)),
        };
        let bytes = match &answer {
            CoSigned::Round(round) => round.encoded_len(),
            CoSigned::Share(share) => share.encoded_len(),
        };
        if bytes <= ROUND_BYTES_MAX {
            return Ok(answer);
        }
        Err(Failure::new(Code::KeeperAnswer, format!("the keeper answered with `{bytes}` bytes")))
    }
}

/// Whose key it is about, and as what it is asked for.
fn about(what: &ToCoSigner) -> Result<(About<'_>, Verb), Failure> {
    let (about, bytes) = match what {
        ToCoSigner::OpenKey(asked) => (generation(&asked.plan), asked.encoded_len()),
        ToCoSigner::DealKey(asked) => (generation(&asked.plan), asked.encoded_len()),
        ToCoSigner::AgreeKey(asked) => (generation(&asked.plan), asked.encoded_len()),
        ToCoSigner::KeepKey(asked) => (generation(&asked.plan), asked.encoded_len()),
        ToCoSigner::RedealKey(asked) => (renewal(&asked.plan), asked.encoded_len()),
        ToCoSigner::KeepRenewedKey(asked) => (renewal(&asked.plan), asked.encoded_len()),
        ToCoSigner::AskRepair(asked) => (repair(&asked.plan), asked.encoded_len()),
        ToCoSigner::SplitShare(asked) => (repair(&asked.plan), asked.encoded_len()),
        ToCoSigner::SumShare(asked) => (repair(&asked.plan), asked.encoded_len()),
        ToCoSigner::KeepRepairedShare(asked) => (repair(&asked.plan), asked.encoded_len()),
        ToCoSigner::ShowShare(asked) => (About::Key(&asked.key_id), asked.encoded_len()),
        ToCoSigner::Commit(_) | ToCoSigner::Answer(_) | ToCoSigner::CoSign(_) => {
            return Err(malformed("what is signed goes through `Begin`, `Answer` and `Finish`"));
        }
    };
    if bytes > ASKED_BYTES_MAX {
        return Err(malformed(format!("a request to a keeper has at most `{ASKED_BYTES_MAX}` bytes")));
    }
    let verb = match about {
        About::Account(_) => Verb::SharedCreate,
        About::Key(_) | About::Nothing => Verb::SharedChange,
    };
    Ok((about, verb))
}

fn generation(plan: &Option<GenerationPlan>) -> About<'_> {
    plan.as_ref().map_or(About::Nothing, |plan| About::Account(&plan.account))
}

fn renewal(plan: &Option<RenewalPlan>) -> About<'_> {
    plan.as_ref().map_or(About::Nothing, |plan| About::Key(&plan.key_id))
}

fn repair(plan: &Option<RepairPlan>) -> About<'_> {
    plan.as_ref().map_or(About::Nothing, |plan| About::Key(&plan.key_id))
}

fn of_keeper(error: KeeperError) -> Failure {
    heard(error, &KEEPER_CODES)
}
