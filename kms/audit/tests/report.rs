//! Reports say what was found and what they do not show, and nothing that stands in a payload acts in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::town::Town;
use crate::town::common::mutate::Random;
use keyward_audit::{GrantFile, Relinker, Report};
use keyward_domain::detail::Source;
use keyward_ledger_core::entry::Act;
use keyward_ledger_verify::{Depth, History, HistoryVerdict, records};

const MEAN: &str = "<script>alert(1)</script>\u{202e}\"'&";
const FORMULA: &str = "=HYPERLINK(\"http://evil\")";

/// Three epochs of two accounts: payments, a lie, an epoch that is not closed, words that would do harm.
fn story() -> (Town, GrantFile) {
    let mut town = Town::new(2, Random::seeded("report"));
    town.publish();
    let first = town.epoch() + 1;
    town.go(first, 5_000);
    let (payment, _) = town.pay(0);
    for owner in [0, 1, 0] {
        let (_, intent) = town.use_one(owner);
        town.release(intent);
    }
    let mut draft = town.draft(1);
    draft.detail.said = vec![MEAN.to_owned(), "second line".to_owned()];
    draft.detail.app = FORMULA.to_owned();
    let entry = town.seal(1, draft);
    town.record(vec![(1, entry)]);
    town.go(first + 1, 5_000);
    let mut draft = town.draft(0);
    draft.detail.payload_hash = [9; 32];
    let entry = town.seal(0, draft);
    town.record(vec![(0, entry)]);
    let draft = town.draft_from(0, Source::Payment { epoch: first, payment });
    let entry = town.seal(0, draft);
    town.record(vec![(0, entry)]);
    town.use_one(1);
    town.elapse(first + 2);
    for (owner, epoch) in [(0, first), (1, first), (0, first + 1)] {
        town.close(owner, epoch);
    }
    let mut file = town.granted(&[0, 1], first, first + 2);
    for owner in [0, 1] {
        town.open(&mut file, owner, first, first + 2);
    }
    (town, file)
}

fn history(town: &Town, depth: Depth) -> HistoryVerdict {
    let mut history = History::new(&town.world.trust(), &town.world.genesis, &[], 1, depth).unwrap();
    for block in town.export() {
        history.check(&block).unwrap();
    }
    history.finish().unwrap()
}

#[test]
fn every_format_tells_the_same_and_nothing_in_it_acts() {
    let (town, file) = story();
    // As from an export: records out of blocks that hold.
    let mut relinker = Relinker::new(file, &town.trust()).unwrap();
    for block in town.export() {
        let decoded = keyward_ledger_core::block::Block::decode(&block.block).unwrap();
        for (at, record) in records(&decoded, &block) {
            relinker.feed(at, &record).unwrap();
        }
    }
    let (found, history) = (relinker.relinked(), history(&town, Depth::Execution));
    let report = Report::new(&found, &history);
    let (json, csv, html, text) = (report.json(), report.csv(), report.html(), report.text());
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/audit-report.html"), &html).unwrap();
    assert_eq!((found.transactions.len(), found.lying(), found.payments.len()), (7, 1, 1));
    assert_eq!(json["verdict"]["complete"], false);
    assert_eq!(json["transactions"].as_array().unwrap().len(), 7);
    assert_eq!(json["transactions"][3]["detail"]["said"][0], MEAN);
    assert_eq!(
        (&json["ledger"]["executed"], &json["ledger"]["checked"]),
        (&true.into(), &"execution".into())
    );
    assert!(text.contains("executed again: every outcome is what follows from the entries"));
    assert!(!report.limits().iter().any(|limit| limit.title == "Outcomes and states"));
    assert_eq!(csv.matches("\r\n").count(), 1 + 7 + 1);
    for one in &found.transactions {
        let (place, hash) = (one.place.leaf_index, hex::encode(one.detail.as_ref().unwrap().payload_hash));
        let receipt = Report::receipt_name(place);
        assert!(
            csv.contains(&receipt) && html.contains(&receipt) && csv.contains(&hash) && html.contains(&hash)
        );
    }
    for act in &found.acts {
        assert!(html.contains(&Report::receipt_name(act.place.leaf_index)));
    }
    assert!(csv.contains("DETAIL_OTHER_PAYLOAD") && html.contains("Something does not agree"));
    assert!(text.starts_with("something does not agree: 7 transactions, 1 announced payment in 4 epochs"));
    for text in [&html, &csv, &text] {
        assert!(!text.contains('\u{202e}'), "text turned around");
    }
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;"));
    for fetched in [" src=", "href=\"http", "url(", "@import"] {
        assert!(!html.contains(fetched), "{fetched}");
    }
    assert!(csv.contains(",\"'=HYPERLINK(\"\"http://evil\"\")\","), "{csv}");
}

#[test]
fn questions_in_sql_are_told_with_the_key_of_the_submitter_that_recorded_them() {
    use keyward_ledger_core::entry::{Entry, UseGrant};
    let (mut town, file) = story();
    let grant = town.grant_id(&file);
    let used = Entry::UseGrant(UseGrant { grant, what: [6; 32], count: 2 });
    let leaf = town.record(vec![(0, used)])[0];
    let submitter = hex::encode(town.world.records[leaf as usize].submitter);
    let mut history =
        History::new(&town.world.trust(), &town.world.genesis, &[], 1, Depth::Execution).unwrap();
    for block in town.export() {
        history.check(&block).unwrap();
    }
    let (found, history) = (town.relinked(file), history.finish().unwrap());
    let report = Report::new(&found, &history);
    let html = report.html();
    let row = html.lines().find(|line| line.contains("2 questions were asked in SQL")).unwrap();
    assert!(row.contains(&submitter), "{row}");
    let json = report.json();
    let acts = json["grant"]["acts"].as_array().unwrap();
    let act = acts.iter().find(|act| act["what"] == "used").unwrap();
    assert_eq!((&act["submitter"], &act["author"]), (&submitter.into(), &serde_json::Value::Null));
}

#[test]
fn each_report_says_what_it_does_not_show_with_its_own_numbers() {
    let (town, file) = story();
    let found = town.relinked(file);
    let history = history(&town, Depth::Chain);
    let limits = Report::new(&found, &history).limits();
    let words = |title: &str| {
        let limit = limits.iter().find(|limit| limit.title == title);
        &*limit.unwrap_or_else(|| panic!("nothing about `{title}`")).words
    };
    assert!(words("Epochs without a trace").starts_with("In 2 of 6 opened epochs"));
    assert!(words("Epochs that are not closed").starts_with("1 epoch of an account is not closed"));
    assert!(words("What left the service").contains("4 of 7 transactions are without one"));
    assert!(words("What was not opened").contains("2 runs of epochs of 2 accounts"));
    assert!(words("What was recorded elsewhere").contains("hides an account"));
    assert!(words("Outcomes and states").contains("nothing was executed again here"));
    assert!(!limits.iter().any(|limit| limit.title == "Addresses that could not be checked"));
    let (json, html, text) = {
        let report = Report::new(&found, &history);
        (report.json(), report.html(), report.text())
    };
    assert_eq!((&json["ledger"]["executed"], &json["ledger"]["checked"]), (&false.into(), &"chain".into()));
    assert!(html.contains("not executed again") && text.contains("not executed again"));
    assert!(limits.iter().all(|limit| html.contains(&format!("<h3>{}</h3>", limit.title))));
}

/// Two accounts, an epoch each, of which a grant for both opens some; what each format says of that.
#[test]
fn every_format_says_how_much_was_opened() {
    let mut town = Town::new(2, Random::seeded("whole"));
    town.publish();
    let first = town.epoch() + 1;
    town.go(first, 5_000);
    town.use_one(0);
    town.elapse(first);
    town.close(0, first);
    let said = |town: &Town, file: GrantFile| {
        let (found, history) = (town.relinked(file), history(town, Depth::Chain));
        let report = Report::new(&found, &history);
        (report.json(), report.csv(), report.html(), report.text())
    };
    let unopened = "not opened: none of its 1 whole epochs of the period that had elapsed";
    for (accounts, opened, complete, whole) in [
        (&[0, 1][..], &[0, 1][..], true, true),
        (&[0, 1][..], &[0][..], true, false),
        (&[][..], &[0][..], true, false),
        (&[0, 1][..], &[1][..], false, false),
        (&[0, 1][..], &[][..], false, false),
    ] {
        let mut file = town.granted(accounts, first, first);
        for owner in opened {
            town.open(&mut file, *owner, first, first);
        }
        let (json, csv, html, text) = said(&town, file);
        assert_eq!(
            (&json["verdict"]["complete"], &json["verdict"]["whole"]),
            (&complete.into(), &whole.into())
        );
        let (head, class) = match (complete, whole) {
            (true, true) => ("complete: 1 transaction,", "verdict good"),
            (true, false) => ("complete within what was opened: 1 transaction,", "verdict warn"),
            _ => ("nothing was found", "verdict warn"),
        };
        assert!(text.starts_with(head) && html.contains(class), "{text}");
        assert_eq!(json["not_opened"].as_array().unwrap().len(), 2 - opened.len());
        assert_eq!(csv.matches("not-opened,").count(), 2 - opened.len(), "{csv}");
        assert_eq!(html.matches(unopened).count(), 2 - opened.len());
        assert_eq!(text.matches(unopened).count(), 2 - opened.len(), "{text}");
    }
}

/// The epoch in which it was closed is its last: nothing of a period after it is missing.
#[test]
fn an_account_that_was_closed_in_the_period_is_said_so_and_misses_nothing_after() {
    let mut town = Town::new(1, Random::seeded("closed"));
    town.publish();
    let first = town.epoch() + 2;
    for epoch in first..first + 2 {
        town.go(epoch, 5_000);
        town.use_one(0);
    }
    let (account, person) = (town.owners[0].account(), town.owners[0].person);
    let closed = town.acted(Act::CloseAccount { account }, &[person]);
    let last = first + 1;
    assert_eq!(town.epoch(), last);
    town.go(last + 4, 1_000);
    town.close(0, first);
    town.close(0, last);
    let mut file = town.granted(&[0], first, last + 2);
    town.open(&mut file, 0, first, last);
    let mut relinker = Relinker::new(file, &town.trust()).unwrap();
    (0..).zip(&town.world.records).for_each(|(at, record)| relinker.feed(at, record).unwrap());
    let found = relinker.relinked();
    assert!(found.is_complete() && found.is_whole(), "{:?}", found.unopened);
    assert_eq!(relinker.next_elapses_ms(), None, "nothing elapses after its last");
    let known = found.accounts[0];
    assert_eq!((known.account, known.closed.map(|place| place.leaf_index)), (account, Some(closed)));
    assert!(found.places().contains(&closed));
    let history = history(&town, Depth::Execution);
    let report = Report::new(&found, &history);
    assert_eq!(report.json()["accounts"][0]["closed"]["leaf_index"], closed);
    assert!(report.html().contains("It was closed at "));
    // The epoch that it was closed in is wanted as every other one.
    let mut file = town.granted(&[0], first, last + 2);
    town.open(&mut file, 0, first, first);
    let found = town.relinked(file);
    assert_eq!(found.unopened.iter().map(|one| (one.whole, one.missing)).collect::<Vec<_>>(), [(Some(2), 1)]);
}

/// A use names no account: whoever still has a closed account's root goes on, and the ledger takes it.
#[test]
fn what_is_signed_after_the_closing_is_told_where_it_is_looked_for() {
    let mut town = Town::new(1, Random::seeded("after closing"));
    town.publish();
    let first = town.epoch() + 2;
    town.go(first, 5_000);
    let (account, person) = (town.owners[0].account(), town.owners[0].person);
    town.acted(Act::CloseAccount { account }, &[person]);
    let (under_way, _) = town.use_one(0);
    town.go(first, 30_000);
    let (after, _) = town.use_one(0);
    town.go(first + 1, 20_000);
    town.use_one(0);
    town.elapse(first + 1);
    town.close(0, first);
    let mut file = town.granted(&[0], first, first + 1);
    town.open(&mut file, 0, first, first);
    let found = town.relinked(file);
    let told: Vec<_> = found
        .transactions
        .iter()
        .map(|one| (one.place.leaf_index, one.lies.iter().map(|lie| lie.code()).collect::<Vec<_>>()))
        .collect();
    assert_eq!(told, [(under_way, vec![]), (after, vec!["AFTER_CLOSING"])]);
    assert!(!found.is_complete() && found.is_whole(), "{:?}", found.unopened);
    let history = history(&town, Depth::Execution);
    let report = Report::new(&found, &history);
    let limits = report.limits();
    let limit = limits.iter().find(|limit| limit.title == "Accounts that were closed").unwrap();
    assert!(limit.words.starts_with("1 account was closed") && limit.words.contains("not looked for"));
    assert!(report.html().contains("what somebody signs with its keys afterwards is not looked for"));
    assert!(report.csv().contains("AFTER_CLOSING"));
}
