//! Moments as people write them: a day, a time of day in UTC, or milliseconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::failure::{Failure, Result};

const DAY_MS: u64 = 86_400_000;
/// Of milliseconds since 1970, from September 2001 to November 2286: a shorter or longer number is a year, a day, or seconds.
const MS_DIGITS: usize = 13;

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// What an option says as a time: `2026-01-31`, `2026-01-31T08:30Z`, `2026-01-31T08:30:00Z` or milliseconds since 1970, as milliseconds.
pub(crate) fn parse(option: &str, text: &str) -> Result<u64> {
    parse_ms(text).ok_or_else(|| {
        let why = match !text.is_empty() && is_digits(text) {
            true => format!(": a number alone is milliseconds since 1970, and has {MS_DIGITS} digits"),
            false => String::new(),
        };
        let next =
            "write a day of UTC (`2026-11-01`), a time of it (`2026-11-01T08:00:00Z`), or milliseconds since 1970";
        Failure::usage(format!("`--{option} {text}` is no time{why}"), next)
    })
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_ms(text: &str) -> Option<u64> {
    if is_digits(text) {
        return (text.len() == MS_DIGITS).then(|| text.parse().ok()).flatten();
    }
    let (day, time) = text.split_once('T').map_or((text, None), |(day, time)| (day, Some(time)));
    let part = |text: &str, len: usize| {
        (text.len() == len && is_digits(text)).then(|| text.parse::<u64>().ok()).flatten()
    };
    let (year, rest) = day.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let days = days(part(year, 4)?, part(month, 2)?, part(day, 2)?)?;
    let mut seconds = 0;
    if let Some(time) = time {
        let mut parts = time.strip_suffix('Z')?.split(':');
        let (hour, minute) = (part(parts.next()?, 2)?, part(parts.next()?, 2)?);
        let second = parts.next().map_or(Some(0), |second| part(second, 2))?;
        if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        seconds = (hour * 60 + minute) * 60 + second;
    }
    Some(days * DAY_MS + seconds * 1000)
}

/// Days since 1970-01-01 of a day that exists.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = |month: u64| match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1970 || !(1..=12).contains(&month) || !(1..=length(month)).contains(&day) {
        return None;
    }
    let of_years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let of_months: u64 = (1..month).map(length).sum();
    Some(of_years + of_months + day - 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn moments_are_those_that_date_prints() {
        // `date -u -d TEXT +%s`
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2026-01-31T08:30:00Z", 1_769_848_200),
            ("2026-01-31T08:30Z", 1_769_848_200),
            ("2100-03-01", 4_107_542_400),
            ("2026-12-31T23:59:59Z", 1_798_761_599),
        ] {
            assert_eq!(parse("from", text).unwrap(), seconds * 1000, "{text}");
        }
        assert_eq!(parse("from", "1769848200123").unwrap(), 1_769_848_200_123);
        assert_eq!(parse("from", "1000000000000").unwrap(), 1_000_000_000_000);
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "x",
            "-1",
            "2026-1-31x",
            "2026-02-30",
            "2026-13-01",
            "2026-00-01",
            "1969-12-31",
            "2100-02-29",
            "2026-01-31T08:30:00",
            "2026-01-31T24:00:00Z",
            "2026-01-31T08:60Z",
            "2026-01-31T08:30:00:00Z",
            "2026-01-31T8:30Z",
            "2026-01-31 08:30Z",
            "+026-01-31",
        ] {
            let refused = parse("until", text).unwrap_err();
            assert_eq!(refused.message(), format!("`--until {text}` is no time"));
            assert_eq!(refused.exit, Exit::Usage);
            for form in ["`2026-11-01`", "`2026-11-01T08:00:00Z`", "milliseconds since 1970"] {
                assert!(refused.next.contains(form), "{}", refused.next);
            }
        }
    }

    #[test]
    fn a_number_that_is_a_year_a_day_or_seconds_is_not_taken_for_milliseconds() {
        for text in [
            "0",
            "2026",
            "202611",
            "20261101",
            "1769848200",
            "202611010800",
            "20261101080000",
            "999999999999",
            "18446744073709551615",
            "99999999999999999999",
        ] {
            let refused = parse("expires", text).unwrap_err();
            let said = refused.message();
            assert!(said.starts_with(&format!("`--expires {text}` is no time: a number alone")), "{said}");
            assert!(said.ends_with("13 digits"), "{said}");
        }
    }
}
