//! `keyward.v1.Risk`.

use bytes::Bytes;
use keyward_domain::{
    publication::Published,
    risk::{Changed, Tally, Verdict},
};
use keyward_policies::tenant_id;
use keyward_proto::custody::{self as proto, risk_server::Risk};
use keyward_store::PolicyVersion;
use tonic::{Request, Response, Status};

use super::{Face, convert::array};
use crate::{policies::AskToPublish, risk::Habits};

/// Changed decisions that are told one by one.
const CHANGES_MAX: usize = 100;

#[tonic::async_trait]
impl Risk for Face {
    async fn show(
        &self,
        request: Request<proto::ShowRiskRequest>,
    ) -> Result<Response<proto::ShowRiskResponse>, Status> {
        self.answer("risk.show", request, |custody, caller, m| async move {
            let shown = custody.show_risk(&caller, m.version).await?;
            Ok(proto::ShowRiskResponse {
                tenant: Bytes::copy_from_slice(&tenant_id(&custody.tenant)),
                version: shown.version,
                hash: shown.hash.into(),
                text: shown.text,
                state: shown.state.into(),
            })
        })
        .await
    }

    async fn publish(
        &self,
        request: Request<proto::PublishRiskRequest>,
    ) -> Result<Response<proto::PublishRiskResponse>, Status> {
        self.answer("risk.publish", request, |custody, caller, m| async move {
            let (of, mark) = (Published::Risk, &m.idempotency_key[..]);
            let ask = AskToPublish { of, text: &m.text, entry: &m.entry, mark };
            let (done, version) = custody.publish(&caller, ask).await?;
            let (receipt, leaf_index) = (done.receipt.into(), done.leaf_index);
            Ok(proto::PublishRiskResponse { receipt, leaf_index, version })
        })
        .await
    }

    async fn list(
        &self,
        request: Request<proto::ListRiskRequest>,
    ) -> Result<Response<proto::ListRiskResponse>, Status> {
        self.answer("risk.list", request, |custody, caller, _| async move {
            let versions = custody.list_risk(&caller).await?;
            let one = |row: PolicyVersion| proto::RiskVersion {
                version: row.version,
                hash: Bytes::copy_from_slice(&row.hash),
                account: row.account.map(|id| Bytes::copy_from_slice(&id)).unwrap_or_default(),
                published_unix_ms: row.kept_ms,
            };
            Ok(proto::ListRiskResponse { versions: versions.into_iter().map(one).collect() })
        })
        .await
    }

    async fn replay(
        &self,
        request: Request<proto::ReplayRiskRequest>,
    ) -> Result<Response<proto::ReplayRiskResponse>, Status> {
        self.answer("risk.replay", request, |custody, caller, m| async move {
            let replayed = custody.replay_risk(&caller, &m.text, m.since_unix_ms).await?;
            let replay = replayed.replay;
            Ok(proto::ReplayRiskResponse {
                requests: count(replay.requests),
                since_unix_ms: replayed.since_ms,
                before: Some(tally(replay.before)),
                after: Some(tally(replay.after)),
                changed: count(replay.changes),
                changes: replay.changed.iter().rev().take(CHANGES_MAX).map(changed).collect(),
            })
        })
        .await
    }

    async fn account(
        &self,
        request: Request<proto::RiskOfAccountRequest>,
    ) -> Result<Response<proto::RiskOfAccountResponse>, Status> {
        self.answer("risk.account", request, |custody, caller, m| async move {
            let habits = custody.risk_of_account(&caller, array("account", &m.account)?).await?;
            Ok(habits.map(known).unwrap_or_default())
        })
        .await
    }
}

fn changed(changed: &Changed) -> proto::ChangedRisk {
    proto::ChangedRisk {
        account: Bytes::copy_from_slice(&changed.account.0),
        asked_unix_ms: changed.time_ms,
        before: Some(verdict(&changed.before)),
        after: Some(verdict(&changed.after)),
    }
}

fn verdict(verdict: &Verdict) -> proto::RiskVerdict {
    let reasons = verdict.reasons.iter().map(|reason| proto::RiskReason {
        signal: reason.signal.name().to_owned(),
        points: reason.points,
        words: reason.detail(),
    });
    let (decision, score) = (verdict.acts.name().to_owned(), verdict.score);
    proto::RiskVerdict { decision, score, reasons: reasons.collect() }
}

fn tally(tally: Tally) -> proto::RiskTally {
    let Tally { allowed, asked, refused } = tally;
    proto::RiskTally { allowed: count(allowed), asked: count(asked), refused: count(refused) }
}

fn known(Habits { summary, limits }: Habits) -> proto::RiskOfAccountResponse {
    let currency = |(currency, median, usual_most, paid_of_day)| proto::RiskCurrency {
        currency,
        median,
        usual_most,
        paid_of_day,
    };
    proto::RiskOfAccountResponse {
        known: true,
        days: summary.days,
        requests_of_day: summary.requests_of_day,
        logins_failed_of_day: summary.logins_failed_of_day,
        counterparties: count(summary.counterparties),
        apps: count(summary.apps),
        origins: count(summary.origins),
        currencies: summary.currencies.into_iter().map(currency).collect(),
        limits: limits
            .into_iter()
            .map(|limit| proto::RiskLimit {
                signal: limit.signal.name().to_owned(),
                of: limit.of,
                limit: limit.limit,
                adapted: limit.adapted,
            })
            .collect(),
    }
}

fn count(number: impl TryInto<u32>) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}
