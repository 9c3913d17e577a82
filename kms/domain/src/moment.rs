//! Times and periods in words: UTC, and as exact as they are.

/// A time in milliseconds since 1970, to the second, as a day and a time of day in UTC.
pub fn moment(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", rest / 3600, rest / 60 % 60, rest % 60)
}

/// A period in milliseconds, in days, hours, minutes, seconds and what is left.
pub fn period(ms: u64) -> String {
    let parts = [
        (ms / 86_400_000, "day", "days"),
        (ms / 3_600_000 % 24, "hour", "hours"),
        (ms / 60_000 % 60, "minute", "minutes"),
        (ms / 1000 % 60, "second", "seconds"),
        (ms % 1000, "ms", "ms"),
    ];
    let words = parts.into_iter().filter(|(count, ..)| *count > 0);
    let words: Vec<_> =
        words.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many })).collect();
    if words.is_empty() { "no time".to_owned() } else { words.join(" ") }
}

/// Year, month and day of a day since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_utc() {
        for (unix_ms, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399_999, "2000-02-28 23:59:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199_000, "2024-02-29 23:59:59 UTC"),
            (4_102_444_800_000, "2100-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(moment(unix_ms), text);
        }
    }

    #[test]
    fn periods_are_told_whole() {
        for (ms, text) in [
            (0, "no time"),
            (1, "1 ms"),
            (3_600_000, "1 hour"),
            (90_061_000, "1 day 1 hour 1 minute 1 second"),
            (366 * 86_400_000 + 7_200_500, "366 days 2 hours 500 ms"),
        ] {
            assert_eq!(period(ms), text);
        }
        assert!(!moment(u64::MAX).is_empty() && !period(u64::MAX).is_empty());
    }
}
