//! What one dishonest leader does to the regime, from its deed to its healing.

use std::time::Duration;

use keyward_ledger_core::{block::Regime, execute::Ledger};

use super::{Cluster, adversary::Character, cluster, history::Broken, member::lock};

const SEED: u64 = 40;
const LIAR: usize = 1;
const SWITCH_MAX: Duration = Duration::from_secs(240);

impl Cluster {
    /// Waits until the ledger of every honest node is so.
    async fn until(&self, holds: impl Fn(&Ledger) -> bool) -> Result<(), Broken> {
        let began = self.world.runtime().now();
        let everywhere = || {
            self.honest()
                .iter()
                .all(|member| member.live().is_some_and(|live| holds(&live.shared.view().ledger)))
        };
        while !everywhere() {
            if self.world.runtime().now() - began > SWITCH_MAX {
                return Err(Broken::NoProgress { height: self.height() });
            }
            self.world.wait(Duration::from_millis(250)).await;
        }
        Ok(())
    }

    fn acknowledged(&self) -> usize {
        lock(&self.record).acknowledged.len()
    }
}

#[test]
fn an_overheard_leader_is_convicted_and_the_regime_is_strict_until_it_was_healed() {
    let run = cluster(SEED, Regime::Fast, async |mut cluster, _| {
        cluster.play(LIAR, Character::OverheardEquivocator, 0);
        cluster.start_all().await;
        cluster.start_clients();
        let liar = cluster.members[LIAR].key();
        cluster.until(|ledger| ledger.parameters().regime == Regime::Strict).await?;
        cluster.until(|ledger| ledger.fault(&liar).unwrap().is_some()).await?;
        let fast = cluster.acknowledged();
        cluster.world.wait(Duration::from_secs(5)).await;
        let strict = cluster.acknowledged() - fast;
        cluster.crash(LIAR).await;
        cluster.play(LIAR, Character::Honest, 0);
        cluster.world.forgive().await;
        cluster.start(LIAR).await;
        cluster.until(|ledger| ledger.parameters().regime == Regime::Fast).await?;
        let before = cluster.acknowledged();
        cluster.world.wait(Duration::from_secs(5)).await;
        let again = cluster.acknowledged() - before;
        let (set, chain_id) = (cluster.set.clone(), cluster.chain_id());
        let outcome = cluster.finish().await?;
        outcome.check(&set, &chain_id)?;
        Ok::<_, Broken>((outcome.seen.accused.into_iter().collect::<Vec<_>>(), liar, [fast, strict, again]))
    });
    let (accused, liar, acknowledged) = run.value.unwrap();
    println!("acknowledged until strict, in the strict regime, fast again: {acknowledged:?}");
    assert_eq!(accused, [liar], "nobody else is accused");
    assert!(acknowledged.iter().all(|count| *count > 5), "the load never stops: {acknowledged:?}");
}
