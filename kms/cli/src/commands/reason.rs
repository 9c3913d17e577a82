//! Words about people: said on the command line, or in a file, which keeps them out of the list of processes.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::files;

/// Why: the one or the other.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(super) struct Reason {
    /// Why. The ledger has a hash of these words alone: keep them, or give them to whom they concern. While this runs, they stand in the
    /// list of processes, for everybody on this machine: give them in a file where they are about people.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// A file with these words, or `-` for standard input. Others on this machine see none of it if only you may read the file.
    #[arg(long, value_name = "FILE")]
    reason_file: Option<PathBuf>,
}

impl Reason {
    /// The file that is read, if one is.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        self.reason_file.as_ref().filter(|file| is_file(file))
    }

    /// The words; nothing where none were asked for.
    pub(super) fn said(&self) -> Result<Option<String>> {
        said(self.reason.as_deref(), self.reason_file.as_deref())
    }

    /// The words, without which nothing is done.
    pub(super) fn text(&self) -> Result<String> {
        let none = || Failure::usage("no reason is given", "say why (`--reason`, or `--reason-file`)");
        self.said()?.ok_or_else(none)
    }
}

/// What an option says in words, or the file that goes with it, without the line's end that editors put behind it; some of it must be seen.
pub(super) fn said(text: Option<&str>, file: Option<&Path>) -> Result<Option<String>> {
    let text = match (text, file) {
        (_, Some(file)) => files::read_text_or_input(file)?,
        (Some(text), None) => text.to_owned(),
        (None, None) => return Ok(None),
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        return Err(Failure::usage("nothing is said", "say it in words"));
    }
    Ok(Some(text.to_owned()))
}

/// Whether a name is that of a file, not of standard input.
pub(super) fn is_file(name: &Path) -> bool {
    name != Path::new("-")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn words_of_a_file_are_those_of_the_command_line_without_the_lines_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("why");
        std::fs::write(&file, "two lines,\nthe second ends here\r\n").unwrap();
        let by_file = said(None, Some(&file)).unwrap();
        assert_eq!(by_file, said(Some("two lines,\nthe second ends here"), None).unwrap());
        assert_eq!(said(None, None).unwrap(), None);
        std::fs::write(&file, " \n").unwrap();
        for nothing in [said(None, Some(&file)), said(Some(""), None)] {
            assert_eq!(nothing.unwrap_err().exit, Exit::Usage);
        }
    }
}
