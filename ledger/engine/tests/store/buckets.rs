//! Segments in a bucket of a server that is not ours: the contracts, and all that goes wrong on the way and there.
use super::{
    answered, block, certificate,
    cold::{HEIGHTS, lost, scrub, whole},
    contract, cool_all, fill, holds, open_with,
    s3::{KEY_ID, SECRET, Server, Weather, left_out},
    shelves,
};
use keyward_ledger_engine::{
    Bucket, BucketConfig, BucketError, BucketKey, Cooled, Id, Kind, Segments, Shelf, Step, Store as _,
    StoreError,
};
use std::{
    fs,
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

fn shelf(config: &BucketConfig) -> Arc<Bucket> {
    Arc::new(Bucket::new(config).unwrap())
}

fn open(folder: &Path, config: &BucketConfig) -> Segments {
    open_with(folder, Some(shelf(config)))
}

/// Why it is away.
fn away<T: std::fmt::Debug>(result: Result<T, StoreError>) -> io::Error {
    match result {
        Err(StoreError::Away { source, .. }) => source,
        other => panic!("not away: {other:?}"),
    }
}

/// Looks until it is there: what was asked while it was not may still wait.
fn found_again(store: &Segments) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = store.probe() {
        assert!(Instant::now() < deadline, "not found again: {error:?}");
        std::thread::yield_now();
    }
}

fn filled(folder: &Path, config: &BucketConfig) -> Segments {
    let store = open(folder, config);
    fill(&store, 1..=HEIGHTS);
    store
}

#[test]
fn a_bucket_keeps_the_contract_of_shelves_and_a_store_over_it_that_of_stores() {
    if left_out() {
        return;
    }
    let server = Server::start();
    shelves::contract(&*shelf(&server.config("node-1/shelf")));
    shelves::contract(&*shelf(&server.config("")));
    let (folder, config) = (tempfile::tempdir().unwrap(), server.config("node-1/blocks"));
    let reopen = |store: Segments| {
        drop(store);
        open(folder.path(), &config)
    };
    let moved = |store: &Segments| {
        cool_all(store);
        assert!(store.cold_share().segments > 0);
    };
    contract(open(folder.path(), &config), moved, reopen);
}

#[test]
fn of_two_stores_that_want_one_prefix_one_gets_it_and_the_other_moves_nothing() {
    if left_out() {
        return;
    }
    let server = Server::start();
    for round in 0..8 {
        let config = server.config(&format!("round-{round}"));
        let marks: Vec<_> = std::thread::scope(|scope| {
            let config = &config;
            let take = |mark: u8| scope.spawn(move || shelf(config).set_mark(&[mark; 32]).map(|()| mark));
            let taking: Vec<_> = (1..=4).map(take).collect();
            taking.into_iter().filter_map(|taken| taken.join().unwrap().ok()).collect()
        });
        let [mark] = marks.as_slice() else { panic!("one takes it: {marks:?}") };
        assert_eq!(shelf(&config).mark().unwrap(), Some([*mark; 32]));
    }
    let (one, two, config) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), server.config("node"));
    let store = filled(one.path(), &config);
    cool_all(&store);
    let other = filled(two.path(), &config);
    assert!(away(other.probe()).to_string().contains("another store's"));
    away(other.cool(0, &mut |_| true));
    whole(&other);
    whole(&store);
    // Nor is a prefix taken where blocks lie without a mark.
    fs::remove_file(server.object("node", "keyward-cold")).unwrap();
    assert!(away(other.probe()).to_string().contains("without a mark"));
    whole(&other);
}

#[test]
fn a_server_killed_at_any_step_of_a_move_costs_nothing() {
    if left_out() {
        return;
    }
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let config = server.config("node");
    let store = filled(folder.path(), &config);
    // What was said before, and what is said now.
    type When = fn(Option<&Step>, &Step) -> bool;
    let moments: [When; 6] = [
        |before, _| before.is_none(),
        |_, now| *now == Step::Copied,
        |before, now| before == Some(&Step::Copied) && matches!(now, Step::Read(_)),
        |_, now| *now == Step::Verified,
        |_, now| *now == Step::Noted,
        |_, now| *now == Step::Removed,
    ];
    for is_now in moments {
        let segment = store.finished_below(u64::MAX, &[]).unwrap();
        let (mut before, mut kills) = (None, 0);
        let cooled = store.cool(segment, &mut |step: Step| {
            if is_now(before.as_ref(), &step) {
                server.kill();
                kills += 1;
            }
            before = Some(step);
            true
        });
        assert_eq!(kills, 1, "{before:?}");
        let moved = cooled.is_ok_and(|cooled| cooled == Cooled::Moved);
        assert_eq!(store.finished_below(u64::MAX, &[]) == Some(segment), !moved, "it is in one place");
        holds(&store, HEIGHTS);
        server.run();
        found_again(&store);
        whole(&store);
    }
    cool_all(&store);
    whole(&store);
    assert!(scrub(&store).iter().all(|step| step.damaged.is_empty()));
    drop(store);
    whole(&open(folder.path(), &config));
}

/// A long body that does something half-way.
struct Midway<F: FnMut()>(u64, F);

impl<F: FnMut()> Read for Midway<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let before = self.0;
        self.0 = before.saturating_sub(buffer.len() as u64);
        if before > (10 << 20) && self.0 <= (10 << 20) {
            (self.1)();
        }
        buffer.fill(7);
        Ok(usize::try_from(before).unwrap().min(buffer.len()))
    }
}

#[test]
fn a_long_segment_is_there_whole_or_not_at_all_when_its_server_dies_under_it() {
    if left_out() {
        return;
    }
    let server = Server::start();
    let shelf = shelf(&server.config("node"));
    shelf.put(1, &mut b"before".as_slice()).unwrap();
    for segment in [0, 1] {
        assert!(shelf.put(segment, &mut Midway(20 << 20, || server.kill())).is_err());
        server.run();
    }
    assert_eq!(shelf.length(0).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(shelf.length(1).unwrap(), 6);
    // Killed and back before anybody noticed: what counts is what was named at the end.
    let put = shelf.put(
        2,
        &mut Midway(20 << 20, || {
            server.kill();
            server.run();
        }),
    );
    assert_eq!(put.is_ok(), shelf.length(2).is_ok_and(|length| length == 20 << 20));
    // One that claims to be endless is none that anybody reads to its end.
    let endless =
        fs::OpenOptions::new().write(true).open(server.object("node", "0000000001.segment")).unwrap();
    endless.set_len(1 << 40).unwrap();
    assert_eq!(shelf.length(1).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(shelf.amend(1, &[(0, vec![1])]).is_err());
}

#[test]
fn a_store_that_is_busy_silent_or_cuts_its_answers_off_is_away_and_loses_nothing() {
    if left_out() {
        return;
    }
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let config = server.config("node");
    let store = filled(folder.path(), &config);
    for _ in 0..2 {
        let segment = store.finished_below(u64::MAX, &[]).unwrap();
        assert_eq!(answered(&store, || store.cool(segment, &mut |_| true)), Cooled::Moved);
    }
    // Once is enough: on a busy machine its patience may end first.
    let is_asked_again = (0..8).any(|_| {
        server.weather(Weather::Busy(2));
        store.probe().is_ok()
    });
    assert!(is_asked_again, "a server that is busy twice is asked again");
    holds(&store, 1);
    drop(store);
    // Silence is waited for many times.
    let store = open(folder.path(), &BucketConfig { patience: Duration::from_secs(2), ..config });
    found_again(&store);
    let next = store.finished_below(u64::MAX, &[]).unwrap();
    for weather in
        [Weather::Busy(usize::MAX), Weather::Silent, Weather::Cut(0), Weather::Cut(40), Weather::Cut(600)]
    {
        server.weather(weather);
        let read = store.block(Id::Height(1));
        assert!(
            matches!(&read, Err(StoreError::Away { .. })) || *read.as_ref().unwrap() == Some(block(1).bytes)
        );
        let _away = store.probe();
        let cooled = store.cool(next, &mut |_| true);
        assert!(cooled.is_err() || weather == Weather::Cut(600), "{weather:?}: {cooled:?}");
        let steps = store.scrub(keyward_ledger_engine::Place::default(), 500);
        assert!(steps.map_or(true, |step| step.damaged.is_empty()), "{weather:?}: nothing is taken for lost");
        assert_eq!(store.range_at_or_after(Kind::Block, 0), Some((1, HEIGHTS)), "{weather:?}");
        holds(&store, HEIGHTS);
        server.weather(Weather::Fine);
        found_again(&store);
        whole(&store);
    }
    cool_all(&store);
    whole(&store);
    assert!(scrub(&store).iter().all(|step| step.damaged.is_empty()));
}

#[test]
fn a_wrong_key_or_bucket_moves_nothing_and_no_secret_is_said() {
    if left_out() {
        return;
    }
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let good = server.config("node");
    drop(filled(folder.path(), &good));
    let other = "another-secret-that-nobody-may-read";
    let mut wrong = vec![good.clone(), good.clone(), good.clone()];
    wrong[0].key.secret = other.to_owned().into();
    wrong[1].key.id = "nobody".into();
    wrong[2].bucket = "no-such-bucket".into();
    for config in &wrong {
        let store = open(folder.path(), config);
        let mut said = format!("{config:?} {:?} {store:?}", shelf(config));
        for error in [away(store.probe()), away(store.cool(0, &mut |_| true).map(|_| ()))] {
            said += &format!("{error} {error:?}");
            assert!(error.to_string().len() <= 600 && !error.to_string().contains('\n'), "{error}");
        }
        assert!(!said.contains(other) && !said.contains(SECRET), "{said}");
        whole(&store);
    }
    assert!(!format!("{:?}", good.key).contains(KEY_ID));
    let store = open(folder.path(), &good);
    cool_all(&store);
    whole(&store);
}

/// What the owner of a bucket does with the objects `one` and `two`.
type Deed = fn(object: &Path);

#[test]
fn who_owns_the_bucket_can_withhold_blocks_but_none_of_its_bytes_is_served_for_ours() {
    if left_out() {
        return;
    }
    let server = Server::start();
    let deeds: [(&str, Deed); 5] = [
        ("flips", |one| {
            let mut bytes = fs::read(one).unwrap();
            for at in (0..bytes.len()).step_by(60) {
                bytes[at] ^= 1;
            }
            fs::write(one, bytes).unwrap();
        }),
        ("cuts", |one| fs::write(one, &fs::read(one).unwrap()[..300]).unwrap()),
        ("empties", |one| fs::write(one, b"").unwrap()),
        ("removes", |one| fs::remove_file(one).unwrap()),
        ("grows", |one| fs::write(one, [fs::read(one).unwrap(), vec![0; 5000]].concat()).unwrap()),
    ];
    for (name, deed) in deeds {
        let folder = tempfile::tempdir().unwrap();
        let config = server.config(name);
        let store = filled(folder.path(), &config);
        cool_all(&store);
        let object = |segment: &str| server.object(name, segment);
        deed(&object("0000000001.segment"));
        let mut missing = Vec::new();
        for height in 1..=HEIGHTS {
            let served = answered(&store, || match store.block(Id::Height(height)) {
                Err(StoreError::Damaged { .. }) => Ok(None),
                told => told,
            });
            match served {
                Some(bytes) => assert_eq!(bytes, block(height).bytes, "{name}: what is served is ours"),
                None => missing.push(height),
            }
        }
        assert_eq!(missing.is_empty(), name == "grows", "{name}");
        let found = scrub(&store);
        assert_eq!(lost(&found).is_empty() && missing.is_empty(), name == "grows", "{name}");
        assert!(scrub(&store).iter().all(|step| step.damaged.is_empty()), "{name}: filled");
        // The others have them.
        for height in 1..=HEIGHTS {
            store.put_block(&block(height)).unwrap();
            store.put_certificate(height, &certificate(height)).unwrap();
        }
        store.sync().unwrap();
        whole(&store);
        drop(store);
        let store = open(folder.path(), &config);
        whole(&store);
        assert!(scrub(&store).iter().all(|step| step.damaged.is_empty()), "{name}: for good");
    }
}

#[test]
fn over_tls_a_server_that_nobody_vouches_for_gets_no_request() {
    if left_out() {
        return;
    }
    let server = Server::start_with_tls();
    let folder = tempfile::tempdir().unwrap();
    let known = server.config("node");
    let unknown = BucketConfig { ca_pem: None, ..known.clone() };
    let store = filled(folder.path(), &unknown);
    away(store.probe());
    away(store.cool(0, &mut |_| true).map(|_| ()));
    whole(&store);
    drop(store);
    assert!(!server.object("node", "").exists(), "nothing came");
    let store = open(folder.path(), &known);
    cool_all(&store);
    whole(&store);
}

#[test]
fn settings_that_would_send_blocks_in_the_clear_or_are_none_are_refused() {
    let good = BucketConfig {
        bucket: "blocks".into(),
        region: "eu-central-1".into(),
        endpoint: None,
        prefix: "node-1/old".into(),
        key: BucketKey { id: "id".into(), secret: "secret".to_owned().into(), session_token: None },
        ca_pem: None,
        patience: BucketConfig::PATIENCE,
    };
    good.check().unwrap();
    for endpoint in
        ["https://s3.example.com", "https://s3.example.com:9000", "http://127.0.0.1:9000", "http://[::1]:1"]
    {
        let endpoint = Some(endpoint.to_owned());
        Bucket::new(&BucketConfig { endpoint, ..good.clone() }).unwrap();
    }
    for endpoint in [
        "http://s3.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com",
        "http://[::1]example.com",
        "https://user:password@example.com",
        "https://example.com/path",
        "ftp://127.0.0.1",
        "https://",
        "",
    ] {
        let refused = BucketConfig { endpoint: Some(endpoint.to_owned()), ..good.clone() }.check();
        assert!(matches!(refused, Err(BucketError::Endpoint { .. })), "{endpoint}: {refused:?}");
    }
    for bucket in ["", "a/b", "..", "a b"] {
        let refused = BucketConfig { bucket: bucket.into(), ..good.clone() }.check();
        assert!(matches!(refused, Err(BucketError::Name { .. })), "{bucket}");
    }
    for prefix in ["/", "a/", "/a", "a//b", "../b", "a b"] {
        let refused = BucketConfig { prefix: prefix.into(), ..good.clone() }.check();
        assert!(matches!(refused, Err(BucketError::Prefix { .. })), "{prefix}");
    }
    let mut empty = good.clone();
    empty.key.secret = String::new().into();
    assert!(matches!(empty.check(), Err(BucketError::Letters { what: "secret key" })));
    let refused = BucketConfig { ca_pem: Some("-----BEGIN CERTIFICATE-----\nAAAA\n".into()), ..good };
    assert!(Bucket::new(&refused).is_err());
}
