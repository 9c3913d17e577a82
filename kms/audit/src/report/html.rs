//! The report as one page of HTML: no script, nothing fetched, readable on paper.

mod tables;

use keyward_domain::moment::{moment, period};
use keyward_ledger_core::entry::Custody;
use keyward_ledger_core::unlinkable::AddressEpoch;
use keyward_ledger_verify::Anchor;

use super::Report;
use super::words::{self, counted, plain};
use crate::finding::{Completeness, GrantAct, GrantStep, Place, RunFinding, RunSource};

const STYLE: &str = include_str!("page.css");
/// The most rows of one table: whoever wants more reads the CSV.
const ROWS_MAX: usize = 2_000;

impl Report<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let title =
            format!("Audit report: {}", plain(self.found.granted.purpose.lines().next().unwrap_or_default()));
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{}</title>\n<style>{STYLE}</style></head>\n<body>\n",
            escaped(&title)
        );
        self.head(&mut out);
        self.verdict(&mut out);
        self.right(&mut out);
        self.accounts(&mut out);
        self.contradictions(&mut out);
        self.transactions(&mut out);
        self.payments(&mut out);
        self.shows_not(&mut out);
        self.check(&mut out);
        out.push_str("</body></html>\n");
        out
    }

    fn head(&self, out: &mut String) {
        let (granted, grant) = (&self.found.granted, &self.found.granted.grant);
        out.push_str("<header><h1>What an audit grant shows</h1>\n<p class=\"sub\">");
        out.push_str(&format!("Purpose: {}", lines(&granted.purpose)));
        out.push_str("</p>\n<nav><a href=\"#right\">By what right</a><a href=\"#accounts\">Accounts and completeness</a>");
        out.push_str("<a href=\"#transactions\">Transactions</a><a href=\"#payments\">Payments</a>");
        out.push_str("<a href=\"#limits\">What this does not show</a><a href=\"#check\">How to check it</a></nav></header>\n<dl>");
        let whom = if grant.is_whole_tenant() {
            format!("the whole tenant; {} opened", counted(self.numbers.len(), "account", "accounts"))
        } else {
            counted(grant.accounts.len(), "account", "accounts")
        };
        fact(out, "Period", &format!("{} until {}", moment(grant.from_ms), moment(grant.until_ms)));
        fact(out, "Concerns", &whom);
        fact(
            out,
            "Ledger",
            &format!("{}, records up to {}", plain(&granted.ledger), moment(self.history.tip.time_ms)),
        );
        out.push_str("</dl>\n");
    }

    fn verdict(&self, out: &mut String) {
        let found = self.found;
        let what = format!(
            "{} and {} in {}",
            counted(found.transactions.len(), "transaction", "transactions"),
            counted(found.payments.len(), "announced payment", "announced payments"),
            counted(found.epochs.len(), "epoch with activity", "epochs with activity"),
        );
        let is = |wanted: fn(&Completeness) -> bool| {
            found.epochs.iter().filter(|epoch| wanted(&epoch.completeness)).count()
        };
        let open = is(|one| *one == Completeness::NotClosed);
        let unknown =
            is(|one| matches!(one, Completeness::ClosingUnreadable { .. } | Completeness::BeganBefore));
        let differing =
            is(|one| matches!(one, Completeness::CountDiffers { .. } | Completeness::RecordsDiffer));
        let mut points = Vec::new();
        for (count, one, many) in [
            (
                found.lying(),
                "transaction contradicts its record or the account's keys",
                "transactions contradict their records or the account's keys",
            ),
            (
                differing,
                "epoch is incomplete: its closing counts other records",
                "epochs are incomplete: their closings count other records",
            ),
            (unknown, "epoch cannot be judged", "epochs cannot be judged"),
            (open, "epoch is not closed yet", "epochs are not closed yet"),
        ] {
            if count > 0 {
                points.push(counted(count, one, many));
            }
        }
        points.extend(words::not_opened(found));
        let (class, words) = match (found.lying() + differing + unknown, open) {
            _ if found.epochs.is_empty() => ("warn", "Nothing was found with the keys of this grant."),
            (0, 0) if !found.is_whole() => {
                ("warn", "Complete within what was opened, which is not all of the grant's period.")
            }
            (0, 0) => {
                ("good", "Complete: every closing agrees with what was found, and nothing contradicts.")
            }
            (0, _) => ("warn", "Nothing contradicts; not every epoch is closed."),
            (_, _) => ("bad", "Something does not agree."),
        };
        let points: String = points.iter().map(|point| format!("<li>{point}</li>")).collect();
        let list = if points.is_empty() { String::new() } else { format!("<ul>{points}</ul>") };
        out.push_str(&format!(
            "<div class=\"verdict {class}\"><strong>{words}</strong>{what}.{list}</div>\n"
        ));
    }

    fn right(&self, out: &mut String) {
        let (granted, grant) = (&self.found.granted, &self.found.granted.grant);
        out.push_str("<h2 id=\"right\">By what right</h2>\n<dl>");
        fact(out, "Who may look", &words::party(&granted.grantee));
        fact(out, "Grant", &hex::encode(grant.id));
        fact(out, "Tenant", &hex::encode(grant.tenant));
        fact(out, "Opens nothing after", &moment(grant.expires_ms));
        fact(out, "Approval case", &hex::encode(granted.case));
        out.push_str("</dl>\n<table><thead><tr><th>When</th><th>What was done</th><th>By</th><th>Receipt</th></tr></thead><tbody>\n");
        self.found.acts.iter().for_each(|act| self.act(out, act));
        out.push_str("</tbody></table>\n");
        if self.found.acts.is_empty() {
            out.push_str(
                "<p>These records hold nothing about the grant; its receipts are in the grant file.</p>\n",
            );
        }
    }

    fn act(&self, out: &mut String, act: &GrantAct) {
        let of = match &act.what {
            GrantStep::Opened(opened) | GrantStep::Delivered { opened, .. } => {
                format!(" of {}", self.account_name(&opened.account))
            }
            _ => String::new(),
        };
        let author = match &act.author {
            None => format!("submitter <span class=\"hash\">{}</span>", hex::encode(act.submitter)),
            Some(author) if *author == self.found.granted.grantee => "who may look".to_owned(),
            Some(author) => format!("<span class=\"hash\">{}</span>", escaped(&words::party(author))),
        };
        out.push_str(&format!(
            "<tr><td class=\"t\">{}</td><td>{}{}</td><td>{}</td><td>{}</td></tr>\n",
            moment(act.place.time_ms),
            escaped(&words::step(act)),
            escaped(&of),
            author,
            receipt(&act.place)
        ));
    }

    fn accounts(&self, out: &mut String) {
        out.push_str("<h2 id=\"accounts\">Accounts and completeness</h2>\n");
        out.push_str("<p>Time is cut into address epochs. When an epoch with activity has ended, its account closes it: how many records there are, and the root over them. An epoch is <em>complete</em> when exactly these were found.</p>\n");
        for (account, number) in &self.numbers {
            let known = self.found.accounts.iter().find(|known| known.account == *account);
            out.push_str(&format!(
                "<h3>Account {number}</h3>\n<p class=\"hash\">{}</p>\n<p>",
                hex::encode(account)
            ));
            out.push_str(&known.map_or_else(
                || "These records do not show its choice of one-time addresses. ".to_owned(),
                |known| {
                    let root = match known.custody {
                        Custody::Hosted => "with the service",
                        Custody::Own => "on its person's own side",
                    };
                    let closed = known.closed.map(|closed| moment(closed.time_ms));
                    let closed =
                        closed.map(|at| {
                        format!("It was closed at {at}: what somebody signs with its keys afterwards is not looked for. ")
                    });
                    let epochs = period(known.epoch_ms);
                    format!(
                        "Its addresses' root lies {root}; epochs of {epochs}. {}",
                        closed.unwrap_or_default()
                    )
                },
            ));
            let runs = self.found.runs.iter().filter(|run| run.account == *account);
            let runs: Vec<_> = runs.map(|run| self.run(run, known.map(|known| known.epoch_ms))).collect();
            out.push_str(&if runs.is_empty() {
                "None of its epochs was opened.".to_owned()
            } else {
                runs.join(" ")
            });
            out.push_str("</p>\n");
            self.epochs(out, account);
        }
        self.unopened(out);
    }

    fn unopened(&self, out: &mut String) {
        let unopened = &self.found.unopened;
        if unopened.is_empty() {
            return;
        }
        out.push_str("<h3>What of the period was not opened</h3>\n<p>Whole epochs that had elapsed at the last record; what came from dealings that these records do not have counts as not opened.</p>\n<ul>");
        for one in unopened.iter().take(ROWS_MAX) {
            let account = self.numbers.get(&one.account).map_or_else(
                || format!("Account <span class=\"hash\">{}</span>", hex::encode(one.account)),
                |number| format!("Account {number}"),
            );
            out.push_str(&format!("<li>{account}: {}</li>", escaped(&words::unopened(one))));
        }
        out.push_str("</ul>\n");
        more(out, unopened.len(), "accounts", "report.json");
    }

    fn run(&self, run: &RunFinding, epoch_ms: Option<u64>) -> String {
        let span = epoch_ms.map_or_else(String::new, |length| {
            let begins_ms = |number| AddressEpoch::new(length, number).begins_ms();
            let ends_ms = AddressEpoch::new(length, run.last).ends_ms();
            format!(" ({} to {})", moment(begins_ms(run.first)), moment(ends_ms))
        });
        let epochs = format!("Epochs {} to {}{span}", run.first, run.last);
        let by = match run.source {
            RunSource::Hosted => "by the service".to_owned(),
            RunSource::Keepers(at) => format!("by keepers, from the dealing in record {}", at.leaf_index),
            RunSource::KeepersUnrecorded => {
                "by keepers, from a dealing that these records do not have".to_owned()
            }
        };
        let (count, active) = (u64::from(run.last - run.first) + 1, u64::from(run.active));
        format!(
            "{epochs} were opened {by}: {count} in all, {active} with activity, {} without a trace.",
            count - active.min(count)
        )
    }

    fn shows_not(&self, out: &mut String) {
        out.push_str("<h2 id=\"limits\">What this does not show</h2>\n");
        for limit in self.limits() {
            out.push_str(&format!(
                "<div class=\"limit\"><h3>{}</h3><p>{}</p></div>\n",
                escaped(limit.title),
                escaped(&limit.words)
            ));
        }
    }

    fn check(&self, out: &mut String) {
        let history = self.history;
        let anchor = match history.anchor {
            Anchor::Genesis => "the ledger's genesis".to_owned(),
            Anchor::Checkpoint { height } => {
                format!("the block at height {height}, which the trust file pins")
            }
        };
        out.push_str("<h2 id=\"check\">How to check it</h2>\n<p>Each record named here has a receipt beside this page. Whoever has the ledger's trust file checks it without anything else:</p>\n<p><code>keyward verify --trust FILE receipts/NUMBER.receipt</code></p>\n<p>Whoever also has the ledger's export and the grant file makes this report again:</p>\n<p><code>keyward audit report EXPORT --trust FILE --grant FILE --out FOLDER</code></p>\n<dl>");
        fact(out, "Ledger", &plain(&history.name));
        fact(out, "Chain id", &hex::encode(history.chain_id));
        fact(
            out,
            "Records",
            &format!(
                "{} at heights {} to {}, {}",
                history.records,
                history.from,
                history.to,
                words::checked(history.depth)
            ),
        );
        fact(out, "Rests on", &anchor);
        fact(out, "Last block", &hex::encode(history.tip_digest));
        out.push_str("</dl>\n<footer>Made by keyward audit from verified records. Times are those of the ledger's blocks, in UTC.</footer>\n");
    }
}

fn fact(out: &mut String, name: &str, value: &str) {
    out.push_str(&format!("<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value)));
}

fn receipt(place: &Place) -> String {
    format!("<a href=\"{}\">{}</a>", Report::receipt_name(place.leaf_index), place.leaf_index)
}

fn more(out: &mut String, count: usize, what: &str, file: &str) {
    if count > ROWS_MAX {
        out.push_str(&format!("<p>{} more {what} stand in <code>{file}</code>.</p>\n", count - ROWS_MAX));
    }
}

fn lines(text: &str) -> String {
    text.lines().map(|line| escaped(&plain(line))).collect::<Vec<_>>().join("<br>")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
