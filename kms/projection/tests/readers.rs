//! Readers see their own rows and nothing else, whatever they try: through psql, JDBC and Python, over real connections.
//!
//! The attempts stand in `escapes/attempts.sql`. A missing tool fails its test, unless `tests/run --without NAME` left it out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use support::{
    Postgres, left_out,
    site::{Login, Site},
};

const ATTEMPTS: &str = include_str!("escapes/attempts.sql");
/// Stands in every row of the other grant, and in what the ledger holds.
const SECRET: &str = "secret-of-the-other";

/// Runs a client over the attempts as one reader, and holds what came of each against what must.
async fn escapes_fail(attempts: &str, client: impl Fn(&Path, &Login) -> Command) {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let before = site.digest();
    let guarded = site.guard().await;
    for (own, other) in [(&site.one, &site.other), (&site.other, &site.one)] {
        let text =
            attempts.replace("OTHER", &other.role).replace("SELF", &own.role).replace('@', &site.name());
        // To the other its own rows are no secret; and endless queries end alike, whosever they are.
        let text = match own.role == site.one.role {
            true => text,
            false => text.split("-- # endless").next().unwrap().replace("=own", &format!("={SECRET}")),
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all(text.as_bytes()).unwrap();
        let secret = if own.role == site.one.role { SECRET } else { "\u{0}" };
        let mut command = client(file.path(), own);
        let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap());
        let output = output.await.unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let why = String::from_utf8_lossy(&output.stderr);
        judge(&text, &told, &why, secret);
    }
    guarded.end().await;
    assert_eq!(site.digest(), before, "an attempt changed something");
    assert!(!Path::new("/tmp/keyward-escape").exists());
}

fn judge(attempts: &str, told: &str, why: &str, secret: &str) {
    let wanted: Vec<_> = attempts.lines().filter_map(|line| line.split_once('\t')).collect();
    let came: Vec<_> = told.lines().collect();
    let mut wrong = Vec::new();
    for (index, (wanted, statement)) in wanted.iter().enumerate() {
        let came = came.get(index).copied().unwrap_or("nothing");
        let fits = match wanted.strip_prefix('=') {
            Some(rows) => came.strip_prefix("ok ") == Some(rows),
            None => came.split(' ').next().is_some_and(|came| wanted.split(',').any(|one| one == came)),
        };
        if !fits || came.contains(secret) {
            wrong.push(format!(
                "{wanted}: {statement}\n    came: {}",
                came.chars().take(300).collect::<String>()
            ));
        }
    }
    assert!(wrong.is_empty() && came.len() == wanted.len(), "{}\n{why}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn escapes_through_psql_fail() {
    // psql itself waits for the end of what is not terminated.
    let terminated = |line: &&str| line.matches('\'').count().is_multiple_of(2);
    let attempts: String = ATTEMPTS.lines().filter(terminated).map(|line| format!("{line}\n")).collect();
    escapes_fail(&attempts, |file, login| {
        let script = psql_script(&std::fs::read_to_string(file).unwrap(), login);
        let path = file.with_extension("psql");
        std::fs::write(&path, script).unwrap();
        let mut command = Command::new("sh");
        // Each statement's rows in one line, behind what came of it.
        let fold = "awk '/^@@ 00000/ { print \"ok \" rows; rows = \"\"; n = 0; next } /^@@ / { print $2; rows = \"\"; n = 0; next } \
                    { rows = rows (n++ ? \";\" : \"\") $0 }'";
        command.arg("-c").arg(format!("\"$@\" -X -q -At -f {} | {fold}", path.display())).arg("sh");
        command.arg(Postgres::psql()).arg(login.url());
        command
    })
    .await;
}

fn psql_script(attempts: &str, login: &Login) -> String {
    let mut script = "\\set VERBOSITY sqlstate\n".to_owned();
    for line in attempts.lines() {
        if line.starts_with("-- # ") {
            script += &format!("\\connect {}\n", login.url());
        } else if let Some((_, statement)) = line.split_once('\t') {
            script += &format!("{statement}\n;\n\\echo @@ :SQLSTATE\n");
        }
    }
    script
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn escapes_through_jdbc_fail() {
    if left_out("libpostgresql-jdbc-java") || left_out("openjdk-17-jdk-headless") {
        return;
    }
    let driver =
        ["/usr/share/java/postgresql.jar", "/usr/share/java/postgresql-jdbc4.jar"].map(PathBuf::from);
    let driver = driver.into_iter().find(|path| path.exists()).expect(
        "the JDBC driver is not installed: `apt-get install libpostgresql-jdbc-java`, or `tests/run --without libpostgresql-jdbc-java`",
    );
    escapes_fail(ATTEMPTS, |file, login| {
        let mut command = Command::new("java");
        command.arg("-cp").arg(&driver).arg(source("Escapes.java")).arg(file);
        command.arg(login.jdbc()).arg(&login.role).arg(&login.password);
        command
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn escapes_through_python_fail() {
    if left_out("python3") || left_out("python3-venv") {
        return;
    }
    let python = support::psycopg();
    escapes_fail(ATTEMPTS, |file, login| {
        let mut command = Command::new(&python);
        command.arg(source("escapes.py")).arg(file).arg(login.url());
        command
    })
    .await;
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escapes").join(name)
}
