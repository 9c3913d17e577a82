//! The desk's own rules: what is signed without asking, what is asked, what is refused. A TOML file.
//!
//! ```toml
//! otherwise = "ask"             # "ask" (default) or "refuse": what no rule names
//! link = "ask"                  # "ask" (default), "sign" or "refuse": proofs that a key is possessed
//!
//! [[rule]]                      # the first rule that fits decides
//! name = "payroll"
//! do = "sign"                   # "sign", "ask" or "refuse"
//! asker = "app/treasury"        # who asks, as the service says: it is not proven to the desk
//! key = "<64 hex digits>"       # the key id
//! kind = "xml"                  # xml, json, text, bytes, digest; or a word: consent, association, approval
//! prefix = "<?xml"              # the payload's first characters, or `prefix_hex`: its first bytes
//! sha256 = ["<64 hex digits>"]  # exactly these payloads
//! bytes_max = 65536             # longer payloads do not fit
//! limit = { count = 20, bytes = 1000000, window_s = 3600 }   # beyond it the rule does not fit; for `sign` alone
//! ```
//!
//! A digest hides its message, and the service chooses whether a message comes as its digest: a rule that signs fits a
//! digest only if it says `kind = "digest"` or names the hash. So it is with the key's *word*, which the ledger goes by: its consent
//! to an attempt at somebody's vault (`kind = "consent"`), what it says in an association (`"association"`), and what it says
//! in an approval case (`"approval"`): whoever is to compare digits with a person, or to read what is approved, should be asked.
//!
//! Unknown keys are errors, and so is a rule that would sign whatever it is shown, without limit.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::journal::{KEEP_MS, rule_mark};
use super::summary::{Kind, Payload, Summary, Word};

/// Rules of one file at most.
const RULES_MAX: usize = 256;
const SHA256_MAX: usize = 4096;

/// What a rule file decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// Without asking.
    Sign,
    /// A person decides.
    #[default]
    Ask,
    /// Nobody is asked.
    Refuse,
}

/// Why a rule file is refused.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// Not TOML of this form.
    #[error("the rules cannot be read")]
    Form(#[source] toml::de::Error),
    /// A rule that makes no sense.
    #[error("the rule `{name}` {why}")]
    Rule {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Signing whatever no rule names.
    #[error("`otherwise` is `ask` or `refuse`: nothing is signed because no rule names it")]
    Otherwise,
    /// Too many.
    #[error("at most {RULES_MAX} rules")]
    TooMany,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    otherwise: Act,
    #[serde(default)]
    link: Act,
    #[serde(default)]
    rule: Vec<RuleFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    name: String,
    #[serde(rename = "do")]
    act: Act,
    asker: Option<String>,
    key: Option<String>,
    kind: Option<Kind>,
    prefix: Option<String>,
    prefix_hex: Option<String>,
    sha256: Option<Vec<String>>,
    bytes_max: Option<u64>,
    limit: Option<Limit>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    count: Option<u64>,
    bytes: Option<u64>,
    window_s: u64,
}

/// What is asked, as rules see it.
#[derive(Debug)]
pub struct Question<'a> {
    /// `role/name`, as the service says.
    pub asker: &'a str,
    /// The key.
    pub key_id: &'a [u8; 32],
    /// The bytes.
    pub payload: &'a Payload,
    /// What they look like.
    pub summary: &'a Summary,
}

/// A decision and the rule it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub act: Act,
    /// The rule's name; `otherwise` when none fits.
    pub rule: String,
    /// How the journal names it.
    pub mark: [u8; 8],
}

/// The rules in force.
#[derive(Debug)]
pub struct Rules {
    otherwise: Act,
    /// For proofs of possession.
    pub link: Act,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    mark: [u8; 8],
    act: Act,
    asker: Option<String>,
    key: Option<[u8; 32]>,
    kind: Option<Kind>,
    prefix: Vec<u8>,
    sha256: Option<BTreeSet<[u8; 32]>>,
    bytes_max: Option<u64>,
    limit: Option<Limit>,
}

impl Default for Rules {
    /// Without a file every request is asked.
    fn default() -> Self {
        Self { otherwise: Act::Ask, link: Act::Ask, rules: Vec::new() }
    }
}

impl Rules {
    /// Reads a rule file.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let file: File = toml::from_str(text).map_err(RulesError::Form)?;
        if file.otherwise == Act::Sign {
            return Err(RulesError::Otherwise);
        }
        if file.rule.len() > RULES_MAX {
            return Err(RulesError::TooMany);
        }
        let rules = file.rule.into_iter().map(Rule::parse).collect::<Result<Vec<_>, _>>()?;
        let mut names = BTreeSet::new();
        for rule in &rules {
            if !names.insert(rule.name.as_str()) {
                return Err(RulesError::Rule { name: rule.name.clone(), why: "stands twice" });
            }
        }
        Ok(Self { otherwise: file.otherwise, link: file.link, rules })
    }

    /// Decides. `spent` says how many requests, and payload bytes, a rule has let through within a window of
    /// milliseconds.
    pub fn decide(&self, question: &Question<'_>, spent: impl Fn(&[u8; 8], u64) -> (u64, u64)) -> Decision {
        match self.rules.iter().find(|rule| rule.fits(question, &spent)) {
            Some(rule) => Decision { act: rule.act, rule: rule.name.clone(), mark: rule.mark },
            None => {
                Decision { act: self.otherwise, rule: "otherwise".to_owned(), mark: rule_mark("otherwise") }
            }
        }
    }
}

impl Rule {
    fn parse(file: RuleFile) -> Result<Self, RulesError> {
        let RuleFile { name, act, asker, key, kind, prefix, prefix_hex, sha256, bytes_max, limit } = file;
        let wrong = |why| RulesError::Rule { name: name.clone(), why };
        if name.is_empty() || name.len() > 64 || name == "otherwise" {
            return Err(wrong("needs a name of 1 to 64 bytes other than `otherwise`"));
        }
        let prefix = match (prefix, prefix_hex) {
            (Some(_), Some(_)) => return Err(wrong("has both `prefix` and `prefix_hex`")),
            (Some(text), None) => text.into_bytes(),
            (None, Some(digits)) => {
                hex::decode(digits).ok().ok_or_else(|| wrong("has a `prefix_hex` that is not hex"))?
            }
            (None, None) => Vec::new(),
        };
        let key = key
            .map(|key| hash(&key).ok_or_else(|| wrong("has a `key` that is not 64 hex digits")))
            .transpose()?;
        let sha256 = sha256.map(|hashes| {
            if hashes.len() > SHA256_MAX {
                return Err(wrong("names more than 4096 hashes"));
            }
            let parsed = hashes.iter().map(|text| hash(text)).collect::<Option<BTreeSet<_>>>();
            parsed.ok_or_else(|| wrong("has a `sha256` that is not 64 hex digits"))
        });
        let sha256 = sha256.transpose()?;
        match &limit {
            Some(_) if act != Act::Sign => return Err(wrong("has a limit, which is for `sign` alone")),
            Some(Limit { count: None, bytes: None, .. }) => return Err(wrong("has a limit of nothing")),
            Some(limit) if limit.window_s == 0 || limit.window_s > (KEEP_MS / 1000) - 3600 => {
                return Err(wrong("has a window that is not 1 to 86400 seconds"));
            }
            _ => {}
        }
        let open = prefix.is_empty() && sha256.is_none() && limit.is_none();
        if act == Act::Sign && open {
            return Err(wrong("would sign whatever it is shown: give it `prefix`, `sha256` or a `limit`"));
        }
        let mark = rule_mark(&name);
        Ok(Self { name, mark, act, asker, key, kind, prefix, sha256, bytes_max, limit })
    }

    fn fits(&self, question: &Question<'_>, spent: &impl Fn(&[u8; 8], u64) -> (u64, u64)) -> bool {
        let Question { asker, key_id, payload, summary } = question;
        let begins = match payload {
            Payload::Message(message) => message.starts_with(&self.prefix),
            // It gives the key's word away, and is never what a rule for payloads means.
            Payload::Word(Word { message, kind, .. }) => {
                let named = self.kind == Some(*kind) || self.sha256.is_some();
                message.starts_with(&self.prefix) && (self.act != Act::Sign || named)
            }
            // The service chooses whether a message comes as its digest, and a digest shows neither beginning nor
            // length: a rule that signs unasked must name digests, or the hash.
            Payload::Digest(_) => {
                let named = self.kind == Some(Kind::Digest) || self.sha256.is_some();
                self.prefix.is_empty() && (self.act != Act::Sign || named)
            }
        };
        let len = payload.len() as u64;
        begins
            && self.asker.as_deref().is_none_or(|own| own == *asker)
            && self.key.as_ref().is_none_or(|own| own == *key_id)
            && self.kind.is_none_or(|own| own == summary.kind)
            && self.sha256.as_ref().is_none_or(|own| own.contains(&summary.sha256))
            && self.bytes_max.is_none_or(|max| len <= max)
            && self.limit.is_none_or(|limit| limit.allows(spent(&self.mark, limit.window_s * 1000), len))
    }
}

impl Limit {
    fn allows(&self, (count, bytes): (u64, u64), len: u64) -> bool {
        self.count.is_none_or(|max| count < max)
            && self.bytes.is_none_or(|max| bytes.saturating_add(len) <= max)
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const KEY: [u8; 32] = [0xaa; 32];

    fn decide(rules: &Rules, asker: &str, payload: &Payload, spent: (u64, u64)) -> (Act, String) {
        let summary = Summary::of(payload);
        let question = Question { asker, key_id: &KEY, payload, summary: &summary };
        let Decision { act, rule, .. } = rules.decide(&question, |_, _| spent);
        (act, rule)
    }

    fn message(text: &str) -> Payload {
        Payload::Message(text.as_bytes().to_vec())
    }

    #[test]
    fn without_rules_everything_is_asked() {
        for rules in [Rules::default(), Rules::parse("").unwrap()] {
            assert_eq!(decide(&rules, "app/a", &message("x"), (0, 0)).0, Act::Ask);
            assert_eq!(rules.link, Act::Ask);
        }
        let rules = Rules::parse("otherwise = \"refuse\"\nlink = \"sign\"").unwrap();
        assert_eq!(decide(&rules, "app/a", &message("x"), (0, 0)), (Act::Refuse, "otherwise".into()));
        assert_eq!(rules.link, Act::Sign);
    }

    #[test]
    fn every_condition_of_a_rule_must_hold_and_the_first_that_fits_decides() {
        let key = hex::encode(KEY);
        let rules = Rules::parse(&format!(
            "[[rule]]\nname = \"never\"\ndo = \"refuse\"\nprefix = \"steal\"\n\
             [[rule]]\nname = \"pay\"\ndo = \"sign\"\nasker = \"app/a\"\nkey = \"{key}\"\nkind = \"text\"\n\
             prefix = \"pay\"\nbytes_max = 8\n"
        ))
        .unwrap();
        assert_eq!(decide(&rules, "app/a", &message("pay 1"), (0, 0)), (Act::Sign, "pay".into()));
        assert_eq!(decide(&rules, "app/b", &message("pay 1"), (0, 0)).0, Act::Ask);
        assert_eq!(decide(&rules, "app/a", &message("pay 1234567"), (0, 0)).0, Act::Ask);
        assert_eq!(decide(&rules, "app/a", &message("PAY 1"), (0, 0)).0, Act::Ask);
        assert_eq!(decide(&rules, "app/a", &message("steal"), (0, 0)), (Act::Refuse, "never".into()));
        let digest = Payload::Digest(message("pay 1").hash());
        assert_eq!(decide(&rules, "app/a", &digest, (0, 0)).0, Act::Ask, "a digest shows no prefix");
        let other =
            Rules::parse("[[rule]]\nname=\"k\"\ndo=\"sign\"\nprefix=\"p\"\nkey=\"".to_owned().as_str());
        assert!(other.is_err());
        let summary = Summary::of(&message("pay 1"));
        let payload = message("pay 1");
        let question = Question { asker: "app/a", key_id: &[1; 32], payload: &payload, summary: &summary };
        assert_eq!(rules.decide(&question, |_, _| (0, 0)).act, Act::Ask, "another key");
    }

    #[test]
    fn named_hashes_are_signed_as_message_and_as_digest() {
        let hash = hex::encode(message("pay 1").hash());
        let rules = format!("[[rule]]\nname = \"one\"\ndo = \"sign\"\nsha256 = [\"{hash}\"]");
        let rules = Rules::parse(&rules).unwrap();
        assert_eq!(decide(&rules, "x", &message("pay 1"), (0, 0)).0, Act::Sign);
        assert_eq!(decide(&rules, "x", &Payload::Digest(message("pay 1").hash()), (0, 0)).0, Act::Sign);
        assert_eq!(decide(&rules, "x", &message("pay 2"), (0, 0)).0, Act::Ask);
    }

    #[test]
    fn no_rule_signs_a_digest_that_it_does_not_name() {
        let rule = "[[rule]]\nname = \"few\"\ndo = \"sign\"\nlimit = { count = 2, window_s = 60 }\n";
        let digest = Payload::Digest(message("steal").hash());
        let few = Rules::parse(rule).unwrap();
        assert_eq!(decide(&few, "x", &message("steal"), (0, 0)).0, Act::Sign);
        assert_eq!(decide(&few, "x", &digest, (0, 0)).0, Act::Ask);
        let named = Rules::parse(&format!("{rule}kind = \"digest\"\n")).unwrap();
        assert_eq!(decide(&named, "x", &digest, (0, 0)).0, Act::Sign);
    }

    #[test]
    fn no_rule_for_payloads_gives_the_keys_word_away() {
        let rule = "[[rule]]\nname = \"few\"\ndo = \"sign\"\nlimit = { count = 2, window_s = 60 }\n";
        for kind in [Kind::Consent, Kind::Association, Kind::Approval] {
            let word = Payload::Word(Word { message: vec![19, b'k'], kind, lines: Vec::new() });
            let few = Rules::parse(rule).unwrap();
            assert_eq!(decide(&few, "x", &word, (0, 0)).0, Act::Ask);
            let by_prefix = Rules::parse(&format!("{rule}prefix_hex = \"136b\"\n")).unwrap();
            assert_eq!(decide(&by_prefix, "x", &word, (0, 0)).0, Act::Ask);
            let named = Rules::parse(&format!("{rule}kind = \"{}\"\n", kind.name())).unwrap();
            assert_eq!(decide(&named, "x", &word, (0, 0)).0, Act::Sign);
            assert_eq!(decide(&named, "x", &message("pay 1"), (0, 0)).0, Act::Ask, "for words alone");
            let other = if kind == Kind::Approval { Kind::Association } else { Kind::Approval };
            let other = Rules::parse(&format!("{rule}kind = \"{}\"\n", other.name())).unwrap();
            assert_eq!(decide(&other, "x", &word, (0, 0)).0, Act::Ask, "another kind of word");
        }
    }

    #[test]
    fn a_limit_counts_requests_and_bytes_within_its_window() {
        let text =
            "[[rule]]\nname = \"few\"\ndo = \"sign\"\nlimit = { count = 2, bytes = 10, window_s = 60 }";
        let rules = Rules::parse(text).unwrap();
        assert_eq!(decide(&rules, "x", &message("12345"), (1, 5)).0, Act::Sign);
        assert_eq!(decide(&rules, "x", &message("12345"), (2, 5)).0, Act::Ask, "the third");
        assert_eq!(decide(&rules, "x", &message("12345"), (1, 6)).0, Act::Ask, "the eleventh byte");
        let summary = Summary::of(&message("1"));
        let payload = message("1");
        let question = Question { asker: "x", key_id: &KEY, payload: &payload, summary: &summary };
        rules.decide(&question, |mark, window_ms| {
            assert_eq!((*mark, window_ms), (rule_mark("few"), 60_000));
            (0, 0)
        });
    }

    #[test]
    fn rules_that_are_unknown_or_too_generous_are_errors() {
        for bad in [
            "colour = \"red\"",
            "otherwise = \"sign\"",
            "otherwise = \"maybe\"",
            "[[rule]]\ndo = \"sign\"\nprefix = \"x\"",
            "[[rule]]\nname = \"a\"\ndo = \"sign\"",
            "[[rule]]\nname = \"a\"\ndo = \"sign\"\nasker = \"app/a\"",
            "[[rule]]\nname = \"a\"\ndo = \"sign\"\nprefix = \"\"",
            "[[rule]]\nname = \"a\"\ndo = \"sign\"\nprefix = \"x\"\nprefix_hex = \"00\"",
            "[[rule]]\nname = \"a\"\ndo = \"sign\"\nprefix_hex = \"0\"",
            "[[rule]]\nname = \"a\"\ndo = \"sign\"\nsha256 = [\"00\"]",
            "[[rule]]\nname = \"a\"\ndo = \"ask\"\nkind = \"pdf\"",
            "[[rule]]\nname = \"a\"\ndo = \"ask\"\ncolour = 1",
            "[[rule]]\nname = \"a\"\ndo = \"ask\"\nlimit = { count = 1, window_s = 60 }",
            "[[rule]]\nname = \"a\"\ndo = \"sign\"\nlimit = { window_s = 60 }",
            "[[rule]]\nname = \"a\"\ndo = \"sign\"\nlimit = { count = 1, window_s = 0 }",
            "[[rule]]\nname = \"a\"\ndo = \"sign\"\nlimit = { count = 1, window_s = 86401 }",
            "[[rule]]\nname = \"a\"\ndo = \"ask\"\n[[rule]]\nname = \"a\"\ndo = \"ask\"",
            "[[rule]]\nname = \"otherwise\"\ndo = \"ask\"",
        ] {
            assert!(Rules::parse(bad).is_err(), "{bad}");
        }
    }
}
