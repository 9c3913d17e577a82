//! What is told of requests about addresses to others than who asks: neither an officer nor an auditor nor a log learns whose they are,
//! for the ledger names the address right after.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
};

use keyward_domain::{Code, Principal};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::{
    addresses::{Holder, ask},
    policies::{OPAQUE, limit, payment, put_in_force as put_policies_in_force},
    risk::{NOTHING, put_in_force},
    world::{World, code, unsaid},
};
use crate::{addresses::SignAddress, caller::Caller, custody::Custody, guard::Input};

fn auditor(holder: &Holder) -> Caller {
    let principal = Principal::parse("keyward://auditor/anna").unwrap();
    Caller { principal, ..holder.who.caller.clone() }
}

/// Requests that are tried, and how many are said to change; of policies, and of rules of risk.
async fn told(custody: &Custody, auditor: &Caller) -> [(usize, usize); 2] {
    let tried = custody.try_policy(auditor, OPAQUE).await.unwrap();
    let replay = custody.replay_risk(auditor, NOTHING, 0).await.unwrap().replay;
    let number = |number| usize::try_from(number).unwrap();
    [(tried.requests, tried.changed), (number(replay.requests), number(replay.changes))]
}

#[tokio::test]
async fn no_dry_run_and_no_replay_tells_who_used_an_address_and_when() {
    let holder = Holder::hosted().await;
    let (custody, auditor) = (holder.custody(), auditor(&holder));
    let before = told(custody, &auditor).await;
    holder.sign(None, b"m").await.unwrap();
    // Not even a number: asked each second for one account alone, it would tell the second.
    assert_eq!(told(custody, &auditor).await, before);
    assert!(custody.store.risk_requests(9).await.unwrap().is_empty());
    // Nor do the account's habits.
    let account = holder.who.account();
    assert_eq!(code(custody.risk_of_account(&auditor, account).await), Code::NotAllowed);

    // Of keys it is told as ever.
    let app = holder.world.app().await;
    put_in_force(&holder.world, 1, &NOTHING.replace("enforce", "watch")).await;
    custody.create_key(&app, "rent", "ed25519", &[]).await.unwrap();
    custody.sign(&app, "rent", (&Input::Message(b"m"), unsaid()), &[]).await.unwrap();
    let after = told(custody, &auditor).await;
    assert!(after[0].1 > before[0].1 && after[1].1 > before[1].1, "{before:?} {after:?}");
    assert!(custody.risk_of_account(&auditor, app.account.unwrap().0).await.unwrap().is_some());
}

#[tokio::test]
async fn an_alarm_is_told_for_what_was_refused_never_comes_to_the_ledger() {
    let holder = Holder::hosted().await;
    let (custody, auditor) = (holder.custody(), auditor(&holder));
    let [(requests, _), _] = told(custody, &auditor).await;
    put_in_force(&holder.world, 1, NOTHING).await;
    assert_eq!(code(holder.sign(None, b"m").await), Code::RiskRefused);
    let loose = NOTHING.replace("enforce", "watch");
    let replay = custody.replay_risk(&auditor, &loose, 0).await.unwrap().replay;
    assert_eq!((replay.changes, replay.changed[0].account), (1, holder.account()));
    let [(after, _), _] = told(custody, &auditor).await;
    assert_eq!(after, requests, "policies let it pass");
    put_policies_in_force(&holder.world, 1, OPAQUE).await;
    assert_eq!(code(holder.sign(None, b"m").await), Code::PolicyDenied);
    let [(after, _), _] = told(custody, &auditor).await;
    assert_eq!(after, requests + 1);
    // What waits for the approval of others may be used later.
    put_policies_in_force(&holder.world, 2, &limit(&[7; 32])).await;
    let asked = ask(None, Input::Message(payment(1001)), b"");
    let asked = SignAddress { format: "pain.001".into(), ..asked };
    assert_eq!(code(custody.sign_with_address(&holder.who.caller, asked).await), Code::AddressApproval);
    let [(last, _), _] = told(custody, &auditor).await;
    assert_eq!(last, after);
}

/// What this thread logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("keyward")
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn no_log_names_the_account_or_the_user_of_an_address() {
    let world = World::new().await;
    put_in_force(&world, 1, &NOTHING.replace("enforce", "watch")).await;
    let holder = Holder::of(world, keyward_ledger_core::entry::Custody::Hosted).await;
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    for _ in 0..4 {
        // Whether a place that logs is listened to is settled by whatever thread comes by first, and others listen to nothing: so it is
        // settled anew here. What is watched is told once a minute.
        tracing::callsite::rebuild_interest_cache();
        holder.world.pass_ms(60_000);
        holder.sign(None, b"m").await.unwrap();
    }
    drop(guard);
    let said = log.0.lock().unwrap().clone();
    assert!(said.contains("judged a risk"), "{said}");
    assert!(!said.contains(&holder.account().to_string()) && !said.contains("alice"), "{said}");
}
