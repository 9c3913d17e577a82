//! What is said: to programs a small JSON without names, to owners a short mail; neither holds a secret.

use std::time::{Duration, SystemTime};

use keyward_store::{Notice, NoticeKind};

use crate::hex::hex;

/// For the webhook: `{"id", "account", "kind", "subject", "since_unix_ms", "until_unix_ms"}`, in this order.
pub(super) fn json(notice: &Notice) -> String {
    // Hex, numbers and words of our own: nothing needs an escape.
    format!(
        "{{\"id\":\"{}\",\"account\":\"{}\",\"kind\":\"{}\",\"subject\":\"{}\",\"since_unix_ms\":{},\"until_unix_ms\":{}}}",
        hex(&notice.id),
        hex(&notice.account),
        notice.kind.word(),
        hex(&notice.subject),
        notice.since_ms,
        notice.until_ms,
    )
}

/// For the owner: subject and text.
pub(super) fn mail(notice: &Notice, user: &str) -> (&'static str, String) {
    let until = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_millis(notice.until_ms));
    let (subject, what, then) = match notice.kind {
        NoticeKind::RecoveryOpened => (
            "Keyward: a recovery of your account was opened",
            "Delegates of your account ask for another credential and login for it.",
            "If you have lost nothing, stop it before then: log in and call `keyward delegate veto`.",
        ),
        NoticeKind::DelegatesAppointed => (
            "Keyward: delegates of your account were appointed",
            "Somebody with your credential has appointed delegates, or changed what they may do.",
            "If that was not you, your password is known to somebody: change it, and end the appointment before then with \
             `keyward delegate revoke`.",
        ),
        NoticeKind::DelegatesRevoked => (
            "Keyward: delegates of your account were revoked",
            "Somebody with your credential has revoked delegates.",
            "If that was not you, your password is known to somebody: change it, and appoint them anew.",
        ),
        NoticeKind::ContactChanged => (
            "Keyward: your mail address was changed",
            "Mail about your account goes to another address from now on; until then to both.",
            "If that was not you, your password is known to somebody: change it.",
        ),
    };
    let text = format!(
        "Account `{user}`.\n\n{what}\nIt takes effect on {until}.\n{then}\n\nAbout: {}\nNotice: {}\n",
        hex(&notice.subject),
        hex(&notice.id),
    );
    (subject, text)
}
