//! The made-up rows that `keyward bench query` asks over: every question is answered, and nothing stays.

use crate::support::{Postgres, server_of, site::now_ms};
use keyward_projection::{ProjectionError, QUESTIONS, Sample};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_is_answered_under_policies_and_nothing_stays() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let url = server.database();
    let count = |what: &str| server.sql(&url, &format!("SELECT count(*) FROM {what}"));
    for _ in 0..2 {
        let mut sample = Sample::fill(&server_of(&url), 1_000, now_ms()).await.unwrap();
        assert_eq!(count("keyward.records"), "1000");
        let mut rows = Vec::new();
        for question in &QUESTIONS {
            let answered = sample.ask(question).await.unwrap();
            assert!(answered.best <= answered.first, "{}", question.what);
            rows.push(answered.rows);
        }
        // Counts, 40 apps, nothing so late, one payload, 50 accounts, nothing wrong; 1 of 1,000 numbers, 4 submitters.
        assert_eq!(rows, [1, 40, 0, 1, 1, 50, 0, 1, 4]);
        assert_eq!(count("pg_roles WHERE rolname ~ '^[gr]_'"), "2");
        let second = Sample::fill(&server_of(&url), 1, now_ms()).await;
        assert!(matches!(second, Err(ProjectionError::InUse)), "{second:?}");
        sample.remove(now_ms()).await.unwrap();
        assert_eq!(count("pg_roles WHERE rolname ~ '^[gr]_'"), "0");
        assert_eq!(count("pg_namespace WHERE nspname ~ '^(keyward$|g_)'"), "0");
        crate::support::until_free(&server, &url).await;
    }
}
