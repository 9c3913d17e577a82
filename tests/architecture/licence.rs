//! SPDX licence expressions: may a crate be taken, given the list in `deny.toml`?
use std::collections::BTreeSet;

/// Whether some choice of the expression's ORs lies in `allowed`, whose items are `ID` or `ID WITH EXCEPTION`.
/// The old form `MIT/Apache-2.0` means OR.
pub(crate) fn permits(allowed: &BTreeSet<String>, expression: &str) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut parser = Parser { allowed, tokens: spaced.split_whitespace().peekable() };
    let permitted = parser.either()?;
    match parser.tokens.next() {
        None => Ok(permitted),
        Some(rest) => Err(format!("`{expression}` has `{rest}` where it should end")),
    }
}

struct Parser<'a, I: Iterator<Item = &'a str>> {
    allowed: &'a BTreeSet<String>,
    tokens: std::iter::Peekable<I>,
}

// Both sides are always parsed: an expression that is malformed on the far side is an error, not a pass.
impl<'a, I: Iterator<Item = &'a str>> Parser<'a, I> {
    fn either(&mut self) -> Result<bool, String> {
        let mut permitted = self.both()?;
        while self.tokens.next_if_eq(&"OR").is_some() {
            permitted |= self.both()?;
        }
        Ok(permitted)
    }

    fn both(&mut self) -> Result<bool, String> {
        let mut permitted = self.one()?;
        while self.tokens.next_if_eq(&"AND").is_some() {
            permitted &= self.one()?;
        }
        Ok(permitted)
    }

    fn one(&mut self) -> Result<bool, String> {
        match self.tokens.next() {
            Some("(") => {
                let permitted = self.either()?;
                self.tokens.next_if_eq(&")").ok_or("a parenthesis is not closed")?;
                Ok(permitted)
            }
            None | Some(")" | "OR" | "AND" | "WITH") => Err("a licence is missing".into()),
            Some(licence) => Ok(self.allowed.contains(&self.with_exception(licence)?)),
        }
    }

    fn with_exception(&mut self, licence: &str) -> Result<String, String> {
        if self.tokens.next_if_eq(&"WITH").is_none() {
            return Ok(licence.into());
        }
        match self.tokens.next() {
            None | Some("(" | ")" | "OR" | "AND" | "WITH") => {
                Err("an exception is missing after `WITH`".into())
            }
            Some(exception) => Ok(format!("{licence} WITH {exception}")),
        }
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_says() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(String::from));
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("MIT/GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("MIT AND ISC", true),
        ("Apache-2.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("MIT WITH LLVM-exception", false),
        ("GPL-3.0 AND ISC OR MIT", true),
        ("GPL-3.0 AND (ISC OR MIT)", false),
        ("ISC AND (Apache-2.0 OR ISC)", true),
        ("(MIT OR GPL-3.0) AND (ISC OR GPL-3.0)", true),
    ] {
        assert_eq!(permits(&allowed, expression), Ok(expected), "{expression}");
    }
    for malformed in
        ["", "MIT OR", "AND MIT", "(MIT", "MIT)", "MIT ISC", "MIT WITH", "MIT WITH OR ISC", "MIT OR ()"]
    {
        assert!(permits(&allowed, malformed).is_err(), "{malformed}");
    }
}
