//! Why a command did not do its work: the causes, what to do next, and the exit code.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use keyward_domain::code::{Code, Coded};
use serde_json::{Value, json};

/// How a command ends when it does not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Refused or failed.
    Refused = 1,
    /// Called wrongly.
    Usage = 2,
    /// Nobody answered.
    Unreachable = 3,
    /// A validator's disk is full, read-only or broken.
    Disk = 73,
}

/// A command's end without success.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// A stable code, where there is one.
    pub(crate) code: Option<String>,
    /// What happened, then why, outermost first.
    pub(crate) causes: Vec<String>,
    /// One line: what to do next.
    pub(crate) next: String,
    /// The service's name for the request, where there is one.
    pub(crate) request: Option<String>,
    /// Whether this is a verdict: `{"valid":false,..}`.
    pub(crate) verdict: bool,
    /// What the command has to say all the same: in JSON, beside the error.
    pub(crate) answer: Option<Box<Value>>,
}

/// What commands answer.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// Refused or failed, for a reason of our own.
    pub(crate) fn refused(what: impl Into<String>, next: impl Into<String>) -> Self {
        let (causes, next) = (vec![what.into()], next.into());
        Self { exit: Exit::Refused, code: None, causes, next, request: None, verdict: false, answer: None }
    }

    /// Called wrongly.
    pub(crate) fn usage(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::refused(what, next) }
    }

    /// Nobody answered.
    pub(crate) fn unreachable(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit: Exit::Unreachable, ..Self::refused(what, next) }
    }

    /// Adds an error and its sources behind what is said already.
    pub(crate) fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            self.push(error.to_string());
            cause = error.source();
        }
        self
    }

    /// Adds a code, and its remedy as what to do next.
    pub(crate) fn coded(mut self, code: Code) -> Self {
        self.code = Some(code.name().to_owned());
        code.remedy().clone_into(&mut self.next);
        self
    }

    /// An error of the domain.
    pub(crate) fn of_coded(what: impl Into<String>, error: &(impl Coded + Error + 'static)) -> Self {
        let failure = Self::refused(what, "").because(error).coded(error.code());
        if error.code().canonical() == keyward_domain::Canonical::InvalidArgument {
            return Self { exit: Exit::Usage, ..failure };
        }
        failure
    }

    /// Errors often repeat their source in their own words: what is said is not said again.
    fn push(&mut self, cause: String) {
        let cause = cause.trim().to_owned();
        if !self.causes.iter().any(|said| said.contains(&cause)) {
            self.causes.push(cause);
        }
    }

    /// The causes in one line.
    pub(crate) fn message(&self) -> String {
        self.causes.join(": ")
    }

    /// What `--output json` prints.
    pub(crate) fn json(&self) -> Value {
        let error = json!({
            "code": self.code, "message": self.message(), "next": self.next, "request_id": self.request,
            "exit": self.exit as u8,
        });
        let mut json = self.answer.as_deref().cloned().unwrap_or_else(|| json!({}));
        if let Some(fields) = json.as_object_mut() {
            if self.verdict {
                fields.insert("valid".to_owned(), Value::Bool(false));
            }
            fields.insert("error".to_owned(), error);
        }
        json
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        if let Some(code) = &self.code {
            write!(f, " [{code}]")?;
        }
        if let Some(request) = &self.request {
            write!(f, " (request {request})")?;
        }
        write!(f, "\n  next: {}", self.next)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the middle")]
    struct Middle(#[source] std::io::Error);

    #[test]
    fn causes_stand_in_one_line_and_the_remedy_in_the_next() {
        let error = Middle(std::io::Error::other("the bottom"));
        let failure = Failure::refused("the top", "look").because(&error);
        assert_eq!(failure.to_string(), "the top: the middle: the bottom\n  next: look");
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = std::io::Error::other("no such `x`");
        let failure = Failure::refused("reading failed: no such `x`", "look").because(&error);
        assert_eq!(failure.message(), "reading failed: no such `x`");
    }

    #[test]
    fn a_code_brings_its_remedy() {
        let failure = Failure::refused("no", "").coded(Code::KeyFrozen);
        assert!(failure.to_string().contains("[KEY_FROZEN]"));
        assert_eq!(failure.next, Code::KeyFrozen.remedy());
        assert_eq!(failure.json()["error"]["code"], "KEY_FROZEN");
    }
}
