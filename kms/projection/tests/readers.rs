//! Readers see their own rows and nothing else, whatever they try: through psql, JDBC and Python, over real connections.
//!
//! The attempts stand in `escapes/attempts.sql`. A missing tool fails its test, unless `tests/run --without NAME` left it out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{
    self, Postgres, left_out,
    site::{Login, MARKS, Site},
};

const ATTEMPTS: &str = include_str!("escapes/attempts.sql");

/// Runs a client over the attempts as one reader, and holds what came of each against what must.
async fn escapes_fail(attempts: &str, client: impl Fn(&Path, &Login) -> Command) {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let before = site.digest();
    let guarded = site.guard().await;
    let [one, two] = MARKS;
    for (own, other, mark, secret) in [(&site.one, &site.other, one, two), (&site.other, &site.one, two, one)]
    {
        let text =
            attempts.replace("OTHER", &other.role).replace("SELF", &own.role).replace('@', &site.name());
        let text = text.replace("=own", &format!("={mark}"));
        // Endless queries end alike, whosever they are.
        let text = match own.role == site.one.role {
            true => text,
            false => text.split("-- # endless").next().unwrap().to_owned(),
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all(text.as_bytes()).unwrap();
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
    let (mut wrong, in_bytes) = (Vec::new(), hex::encode(secret));
    for (index, (wanted, statement)) in wanted.iter().enumerate() {
        let came = came.get(index).copied().unwrap_or("nothing");
        let fits = match wanted.strip_prefix('=') {
            Some(rows) => came.strip_prefix("ok ") == Some(rows),
            None => came.split(' ').next().is_some_and(|came| wanted.split(',').any(|one| one == came)),
        };
        if !fits || came.contains(secret) || came.contains(&in_bytes) {
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

/// The driver, unless its tests are left out.
fn jdbc() -> Option<PathBuf> {
    if left_out("libpostgresql-jdbc-java") || left_out("openjdk-17-jdk-headless") {
        return None;
    }
    let driver =
        ["/usr/share/java/postgresql.jar", "/usr/share/java/postgresql-jdbc4.jar"].map(PathBuf::from);
    Some(driver.into_iter().find(|path| path.exists()).expect(
        "the JDBC driver is not installed: `apt-get install libpostgresql-jdbc-java`, or `tests/run --without libpostgresql-jdbc-java`",
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn escapes_through_jdbc_fail() {
    let Some(driver) = jdbc() else { return };
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

/// The tables of a grant, as tools list them.
const TABLES: [&str; 8] =
    ["about", "accounts", "acts", "epochs", "payments", "records", "runs", "transactions"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql_and_jdbc_show_a_reader_its_own_tables_and_columns() {
    let Some(server) = Postgres::start_for_readers() else { return };
    let site = Site::new(server).await;
    let guarded = site.guard().await;
    let login = site.one.clone();
    let columns = site.server.sql(
        &site.url,
        &format!(
            "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = '{}.transactions'::regclass AND attnum > 0",
            login.role
        ),
    );
    let run = |mut command: Command| {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let [told, why] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.success(), "{command:?}: {told}{why}");
        told
    };
    let asked = |question: &str| {
        let mut command = Command::new(Postgres::psql());
        command.args(["-X", "-At", "-c", question]).arg(login.url());
        run(command)
    };
    let fields = |told: &str, at: usize| -> Vec<String> {
        told.lines().map(|line| line.split('|').nth(at).unwrap_or_default().to_owned()).collect()
    };
    for listing in ["\\d", "\\dt"] {
        let listed = asked(listing);
        assert_eq!(fields(&listed, 1), TABLES, "{listing}");
        assert!(fields(&listed, 0).iter().all(|schema| *schema == login.role), "{listed}");
    }
    // Of one table, instead of `\d NAME`, which asks for policies and roles.
    let described = asked(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'transactions' ORDER BY ordinal_position",
    );
    assert_eq!(fields(&described, 0).join(" "), columns);
    if let Some(driver) = jdbc() {
        let mut command = Command::new("java");
        command.arg("-cp").arg(driver).arg(source("Shown.java"));
        command.args([&*login.jdbc(), &login.role, &login.password, "transactions"]);
        let told = tokio::task::spawn_blocking(move || run(command)).await.unwrap();
        let of = |what: &str| -> Vec<String> {
            told.lines().filter_map(|line| line.strip_prefix(what)).map(str::to_owned).collect()
        };
        assert_eq!(of("table "), TABLES);
        assert_eq!(of("column ").join(" "), columns);
        assert_eq!(of("key "), ["leaf_index"]);
    }
    guarded.end().await;
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escapes").join(name)
}
