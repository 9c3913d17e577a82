//! What a command prints: words for people, or JSON for programs, one object per answer.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use zeroize::Zeroizing;

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Words for people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
}

impl Output {
    /// Prints an answer: the words, or the object.
    pub(crate) fn answer(self, human: impl AsRef<str>, json: &Value) {
        match self.format {
            Format::Human => line(human.as_ref()),
            Format::Json => line(&json.to_string()),
        }
    }

    /// Prints a secret: the words and it, or an object of one field. Nothing of it stays here.
    pub(crate) fn secret(self, words: &str, field: &str, secret: &str) {
        // As long as it can become, so that it never moves: in JSON each byte has at most six.
        let most = 64 + words.len() + 6 * (field.len() + secret.len());
        let mut out = Zeroizing::new(Vec::with_capacity(most));
        let written = match self.format {
            Format::Human => write!(out, "{words}{secret}"),
            Format::Json => write_field(&mut out, field, secret).map_err(std::io::Error::from),
        };
        match (written, std::str::from_utf8(&out)) {
            (Ok(()), Ok(text)) => line(text),
            // INVARIANT: text is written to memory.
            _ => aside("keyward: the answer cannot be written"),
        }
    }

    /// Prints words on the side: for people only, on standard error when standard output carries JSON.
    pub(crate) fn note(self, human: impl AsRef<str>) {
        match self.format {
            Format::Human => lost(writeln!(std::io::stdout(), "{}", human.as_ref())),
            Format::Json => aside(human.as_ref()),
        }
    }

    /// Shows how far long work got, from `from` up to `to`: a bar on a terminal, a plain line elsewhere.
    pub(crate) fn progress(self, what: impl Into<String>, from: u64, to: u64) -> Progress {
        let what = what.into();
        if self.format == Format::Json || !std::io::stderr().is_terminal() {
            self.note(format!("  {what} .."));
            return Progress(None);
        }
        let bar = ProgressBar::new(to);
        if let Ok(style) = ProgressStyle::with_template("  {msg} {bar:30} {pos} of {len} ({eta})") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.set_position(from);
        Progress(Some(bar))
    }

    /// Shows that something takes a while: a spinner on a terminal, a plain line elsewhere.
    pub(crate) fn wait_for(self, what: impl Into<String>) -> Waiting {
        let what = what.into();
        if self.format == Format::Json || !std::io::stderr().is_terminal() {
            self.note(format!("  {what} .."));
            return Waiting(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        Waiting(Some(bar))
    }
}

/// Long work whose length is known.
#[must_use]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// How far it got.
    pub(crate) fn reach(&self, position: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(position);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// `{"field":"text"}`, without a copy in between.
fn write_field(out: &mut Vec<u8>, field: &str, text: &str) -> serde_json::Result<()> {
    out.push(b'{');
    serde_json::to_writer(&mut *out, field)?;
    out.push(b':');
    serde_json::to_writer(&mut *out, text)?;
    out.push(b'}');
    Ok(())
}

/// Something under way; the line goes when this is dropped.
#[must_use]
pub(crate) struct Waiting(Option<ProgressBar>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// An answer. A closed pipe ends us quietly: whoever read has read enough. One that cannot be written for another
/// reason, such as a full disk, is no answer.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            aside(&format!("keyward: cannot write the answer: {error}"));
            std::process::exit(1)
        }
        Ok(()) => {}
    }
}

/// Why a command failed, for programs: whether or not anybody takes it, the exit code says so.
pub(crate) fn refusal(text: &str) {
    let mut out = std::io::stdout().lock();
    lost(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// A line on standard error; one that nobody can take is lost, and no reason to end.
pub(crate) fn aside(text: &str) {
    lost(writeln!(std::io::stderr(), "{text}"));
}

/// What is said on the side is lost where it cannot be written: the command goes on, and its end counts.
fn lost(said: std::io::Result<()>) {
    let _lost = said.is_err();
}

/// A table of left-aligned columns; a row may be shorter than its head.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |row: &[String]| row.iter().map(|cell| cell.chars().count()).collect::<Vec<_>>();
    let mut widths: Vec<_> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        let cells = cells(row).into_iter().chain(std::iter::repeat(0));
        widths = widths.iter().zip(cells).map(|(a, b)| (*a).max(b)).collect();
    }
    let render = |row: Vec<&str>| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = render(head.to_vec());
    let rows = rows.iter().map(|row| render(row.iter().map(String::as_str).collect()));
    std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_secret_in_json_is_the_field_and_never_moves() {
        for secret in ["otpauth://totp/Keyward:alice?secret=ABC", "\"\\\n\u{1}\u{1}\u{1}", ""] {
            let mut out = Vec::with_capacity(64 + 6 * ("uri".len() + secret.len()));
            let place = out.as_ptr();
            write_field(&mut out, "uri", secret).unwrap();
            assert_eq!(out.as_ptr(), place);
            let read: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(read, serde_json::json!({ "uri": secret }));
        }
    }

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let rows = vec![vec!["payroll".into(), "active".into()], vec!["x".into(), "y".into()]];
        assert_eq!(table(&["alias", "state"], &rows), "alias    state\npayroll  active\nx        y");
        let rows = vec![vec!["x".into()], vec!["y".into(), "long".into()]];
        assert_eq!(table(&["a", "b"], &rows), "a  b\nx\ny  long");
    }
}
