//! A database with two grants' readers and one of the records, and a guard that looks after them.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use std::time::{Duration, SystemTime};

use keyward_projection::{Bounds, Credentials, Guard, Projector, Seen};

use super::{Chain, Postgres, database, server_of};

/// What somebody logs in with.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) role: String,
    pub(crate) password: String,
    pub(crate) port: u16,
    pub(crate) database: String,
}

impl Login {
    pub(crate) fn url(&self) -> String {
        format!("postgresql://{}:{}@127.0.0.1:{}/{}", self.role, self.password, self.port, self.database)
    }

    pub(crate) fn jdbc(&self) -> String {
        format!("jdbc:postgresql://127.0.0.1:{}/{}", self.port, self.database)
    }
}

pub(crate) struct Site {
    pub(crate) server: Postgres,
    pub(crate) url: String,
    pub(crate) one: Login,
    pub(crate) other: Login,
    pub(crate) records: Login,
}

/// A guard at work.
pub(crate) struct Guarded {
    ends: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Guard>,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
}

impl Guarded {
    pub(crate) async fn end(self) -> Guard {
        self.ends.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Short for queries, so that endless ones end soon; long, and much, for what must not end by itself in a test.
pub(crate) fn bounds() -> Bounds {
    let [query, transaction, idle, shown] = [3, 60, 60, 600].map(Duration::from_secs);
    Bounds { query, transaction, idle, shown, statement_bytes: u64::MAX, hour_bytes: u64::MAX }
}

/// The grants' ids.
pub(crate) const GRANTS: [[u8; 32]; 2] = [[0xa1; 32], [0xb2; 32]];

/// What stands in every row of each, and nowhere else.
pub(crate) const MARKS: [&str; 2] = ["rows-of-the-one", "rows-of-the-other"];

impl Site {
    pub(crate) async fn new(server: Postgres) -> Self {
        let url = server.database();
        let mut database = database(&url).await.unwrap();
        database.harden().await.unwrap();
        let (port, name) = (server.port.unwrap(), url.split(['/', '?']).nth(3).unwrap().to_owned());
        let mut logins = Vec::new();
        for grant in [Some(GRANTS[0]), Some(GRANTS[1]), None] {
            let mut kept = None;
            let keep = |credentials: &Credentials| {
                kept = Some((credentials.role.clone(), credentials.password.to_string()));
                Ok::<_, std::convert::Infallible>(())
            };
            let grant = grant.map(|id| (id, now_ms() + 3_600_000));
            database.reader(grant, &bounds(), now_ms(), keep).await.unwrap();
            let (role, password) = kept.unwrap();
            logins.push(Login { role, password, port, database: name.clone() });
        }
        let [one, other, records] = <[Login; 3]>::try_from(logins).unwrap();
        for (login, mark) in [&one, &other].into_iter().zip(MARKS) {
            server.sql(&url, &rows(&login.role, mark));
        }
        let mut projector = Projector::begin(database, Vec::new(), |_| {}).await.unwrap();
        for block in &Chain::new(8).blocks {
            projector.push(block).await.unwrap();
        }
        projector.finish().await.unwrap();
        server.sql(&url, "ANALYZE");
        Self { server, url, one, other, records }
    }

    pub(crate) fn name(&self) -> String {
        self.one.database.clone()
    }

    pub(crate) async fn unguarded(&self) -> Guard {
        let served = [&self.one, &self.other, &self.records].map(|login| login.role.clone());
        Guard::new(&server_of(&self.url), bounds(), served.to_vec()).await.unwrap()
    }

    /// Starts a guard; logging in works when this returns.
    pub(crate) async fn guard(&self) -> Guarded {
        let mut guard = self.unguarded().await;
        let (ends, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        guard.look(now_ms()).await.unwrap();
        let (ending, seeing) = (ends.clone(), seen.clone());
        let task = tokio::spawn(async move {
            while !ending.load(Ordering::Relaxed) {
                let saw = guard.look(now_ms()).await.unwrap();
                seeing.lock().unwrap().extend(saw);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            guard
        });
        Guarded { ends, task, seen }
    }

    /// What nobody may change: rows, roles, rights, definitions.
    pub(crate) fn digest(&self) -> String {
        let tables = [&self.one.role, &self.other.role].map(|role| {
            format!("SELECT md5(string_agg(t::text, '' ORDER BY leaf_index)) FROM {role}.transactions t")
        });
        let catalogs = [
            "SELECT md5(string_agg(r::text, '' ORDER BY leaf_index)) FROM keyward.records r",
            "SELECT md5(string_agg(a::text, '' ORDER BY rolname)) FROM (SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolconnlimit, \
             rolpassword FROM pg_authid) a",
            "SELECT md5(string_agg(s::text, '' ORDER BY s::text)) FROM pg_db_role_setting s",
            "SELECT md5(string_agg(c::text, '' ORDER BY c::text)) FROM (SELECT oid, relname, relacl, relrowsecurity, relforcerowsecurity, \
             reloptions FROM pg_class WHERE relnamespace <> 'pg_toast'::regnamespace) c",
            "SELECT md5(string_agg(p::text, '' ORDER BY p::text)) FROM pg_proc p",
            "SELECT md5(string_agg(p::text, '' ORDER BY p::text)) FROM pg_policy p",
            "SELECT count(*) FROM pg_largeobject_metadata",
            "SELECT md5(string_agg(d::text, '' ORDER BY d::text)) FROM (SELECT datname, datdba, datacl, datconnlimit FROM pg_database) d",
            "SELECT count(*) FROM pg_default_acl",
        ];
        let all = tables.iter().map(String::as_str).chain(catalogs);
        all.map(|question| self.server.sql(&self.url, question) + "\n").collect()
    }
}

/// Three transactions, their records, and what the grant is.
fn rows(schema: &str, mark: &str) -> String {
    format!(
        "INSERT INTO {schema}.about VALUES ('a', 1, 'c', 'story', 't', '{mark}', 0, 1, 2, 3, 4, 5, 1, 0); \
         INSERT INTO {schema}.records SELECT g, sha256(convert_to(g::text, 'UTF8')), g, g, 's', g, 0, 193, 'use-address', convert_to(g::text, 'UTF8'), \
         0, 'ACCEPTED', '' FROM generate_series(10, 30, 10) g; \
         INSERT INTO {schema}.transactions (leaf_index, leaf_hash, height, time_ms, account, epoch, epoch_ms, intent_id, scheme, public_key, \
         address, app, said, lies, lies_in_words) SELECT g, sha256(convert_to(g::text, 'UTF8')), g, 1000 * g, '\\x{0}', 1, 1000, 'i', \
         'bip340', convert_to('{mark}' || g, 'UTF8'), 'derived', '{mark}', 'paid {mark} ' || g, '', '' FROM generate_series(10, 30, 10) g",
        hex::encode(mark)
    )
}
