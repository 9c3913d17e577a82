//! What readers say, in sessions of psql.

use std::{
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use super::Postgres;
use super::site::{Login, Site};

/// A reader's statements in one session of psql, each a transaction of its own.
pub(crate) async fn asks(login: &Login, statements: &str) -> Output {
    let mut command = Command::new(Postgres::psql());
    command.args(["-X", "-q", "-At", "-v", "VERBOSITY=sqlstate"]).arg(login.url());
    for statement in statements.split(';') {
        command.args(["-c", statement]);
    }
    tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap()).await.unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned()).join("")
}

pub(crate) async fn counts(login: &Login) -> String {
    said(&asks(login, "SELECT count(*) FROM transactions").await)
}

/// A session of psql that says this and stays.
pub(crate) fn stays(login: &Login, statements: &str) -> std::process::Child {
    let mut session = Command::new(Postgres::psql());
    session.args(["-X", "-q"]).arg(login.url()).stdin(Stdio::piped());
    let mut session = session.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(session.stdin.as_mut().unwrap(), format!("{statements}\n").as_bytes()).unwrap();
    session
}

/// Waits until so many sessions of readers are as this says.
pub(crate) async fn sessions(site: &Site, which: &str, count: &str) {
    let question = format!("SELECT count(*) FROM pg_stat_activity WHERE usename ~ '^[gr]_' AND {which}");
    let until = Instant::now() + Duration::from_secs(60);
    while site.server.sql(&site.url, &question) != count {
        assert!(Instant::now() < until, "{which}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
