//! What approvers read of audits: a grant in full with its purpose, and a tenant's terms for grants.

use keyward_ledger_core::entry::{Grant, PublishAudit};

use crate::approval::{hex, plain};
use crate::moment::{moment, period};

/// The longest purpose of a grant, in bytes.
pub const PURPOSE_LEN_MAX: usize = 4096;

/// Whether this is the purpose that a grant has the hash of.
pub fn is_purpose_of(grant: &Grant, purpose: &str) -> bool {
    purpose.len() <= PURPOSE_LEN_MAX && Grant::purpose_hash_of(purpose) == grant.purpose_hash
}

/// Who may be looked at, when, until when, and why: all of it, one line each.
pub fn grant_words(grant: &Grant, purpose: &str) -> Vec<String> {
    let mut lines = vec![format!("who asks may look under grant {} at", hex(&grant.id))];
    if grant.is_whole_tenant() {
        lines.push(format!("every account of tenant {}, later ones too,", hex(&grant.tenant)));
    } else {
        let count = grant.accounts.len();
        lines.push(format!(
            "{count} account{} of tenant {}:",
            if count == 1 { "" } else { "s" },
            hex(&grant.tenant)
        ));
        lines.extend(grant.accounts.iter().map(|account| format!("  account {}", hex(account))));
    }
    let span = period(grant.until_ms.saturating_sub(grant.from_ms));
    lines.extend([
        "and what they did with addresses that do not point to each other".to_owned(),
        format!("from {} until {} ({span})", moment(grant.from_ms), moment(grant.until_ms)),
        format!("it opens nothing after {}; what it opened stays open", moment(grant.expires_ms)),
        format!("all of it is sealed to the key {}", hex(&grant.grantee_key)),
        "the purpose:".to_owned(),
    ]);
    lines.extend(purpose.lines().map(|line| format!("| {}", plain(line))));
    if purpose.trim().is_empty() {
        lines.push("no purpose is given".to_owned());
    }
    lines
}

/// How far grants may reach, and who approves them.
pub fn terms_words(publish: &PublishAudit) -> Vec<String> {
    let terms = &publish.terms;
    let accounts = match terms.accounts_max {
        u16::MAX => "any number of accounts, also the whole tenant".to_owned(),
        1 => "1 account, never the whole tenant".to_owned(),
        count => format!("at most {count} accounts, never the whole tenant"),
    };
    let kept = match terms.kept_ms {
        0 => "an account that is closed opens nothing any more, whatever it did before".to_owned(),
        ms => format!("what an account did before it was closed can be opened for {} after it", period(ms)),
    };
    vec![
        format!(
            "tenant {} goes by version {} of its terms for audits:",
            hex(&publish.tenant),
            publish.version
        ),
        format!("a grant is for {accounts}"),
        format!("a grant covers at most {}", period(terms.span_ms_max)),
        format!("a grant ends at most {} after it is asked for", period(terms.live_ms_max)),
        kept,
        format!("grants, and the next version, are approved under rule {}", hex(&publish.rule)),
    ]
}
