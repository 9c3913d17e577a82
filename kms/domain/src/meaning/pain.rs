//! Credit transfers of ISO 20022: `CstmrCdtTrfInitn` of pain.001.001.03 to .12, what moves money and nothing else of it.
//!
//! The parser takes no document types, so no entities of the sender's making.

use roxmltree::{Document, Node};
use sha2::{Digest as _, Sha256};

use super::{Amount, Form, Meaning, MeaningError, TRANSFERS_MAX, Transfer};

/// Far more than any message has. Both cost the parser the square of their number, or worse.
const ATTRIBUTES_MAX: usize = 4 * TRANSFERS_MAX;
const NAMESPACES_MAX: usize = 16;
const NAMESPACE: &str = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.";
const VERSIONS: std::ops::RangeInclusive<u8> = 3..=12;
/// ISO 20022: 18 digits, 5 of them behind the point.
const DIGITS_MAX: usize = 18;
const DECIMALS: u8 = 5;

const fn malformed(what: &'static str) -> MeaningError {
    MeaningError::Malformed { form: Form::Pain001, what }
}

const fn unread(what: &'static str) -> MeaningError {
    MeaningError::Unread { form: Form::Pain001, what }
}

pub(super) fn read(payload: &[u8]) -> Result<Meaning, MeaningError> {
    let text = std::str::from_utf8(payload).map_err(|_| malformed("not UTF-8"))?;
    check_text(text)?;
    let document = Document::parse(text).map_err(|_| malformed("not XML without document types"))?;
    let root = document.root_element();
    let namespace = root.tag_name().namespace().ok_or(malformed("no namespace"))?;
    let version = namespace.strip_prefix(NAMESPACE).filter(|version| version.len() == 2);
    let version: u8 =
        version.and_then(|version| version.parse().ok()).ok_or(malformed("another namespace"))?;
    if !VERSIONS.contains(&version) || root.tag_name().name() != "Document" {
        return Err(unread("another message or version"));
    }
    let initiation = one(root, "CstmrCdtTrfInitn")?;
    let transfers = transfers(initiation)?;
    check_counts(one(initiation, "GrpHdr")?, &transfers)?;
    let digests = vec![Sha256::digest(payload).into()];
    let (network, calls) = (None, Vec::new());
    Ok(Meaning { form: Form::Pain001, network, transfers, calls, fee: None, digests })
}

/// What is to be known before anything is parsed: nothing that costs too much, and one reading of the bytes for everybody.
fn check_text(text: &str) -> Result<(), MeaningError> {
    if text.matches('=').count() > ATTRIBUTES_MAX || text.matches("xmlns").count() > NAMESPACES_MAX {
        return Err(unread("too many attributes or namespaces"));
    }
    let declaration =
        text.trim_start_matches('\u{feff}').strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    let declaration = declaration.map_or(String::new(), |(inner, _)| inner.to_ascii_lowercase());
    let said = declaration.split_once("encoding").map(|(_, said)| said.trim_start_matches([' ', '\t', '=']));
    if said.is_some_and(|said| !said.starts_with("\"utf-8\"") && !said.starts_with("'utf-8'")) {
        return Err(unread("another encoding than UTF-8"));
    }
    Ok(())
}

fn transfers(initiation: Node<'_, '_>) -> Result<Vec<Transfer>, MeaningError> {
    let mut transfers = Vec::new();
    for payment in all(initiation, "PmtInf") {
        if text(one(payment, "PmtMtd")?)? != "TRF" {
            return Err(unread("a payment that is no transfer"));
        }
        let before = transfers.len();
        for transfer in all(payment, "CdtTrfTxInf") {
            transfers.push(transfer_of(transfer)?);
            if transfers.len() > TRANSFERS_MAX {
                return Err(unread("too many transfers"));
            }
        }
        let own = transfers.get(before..).unwrap_or_default();
        check_counts(payment, own)?;
    }
    if transfers.is_empty() { Err(malformed("no transfers")) } else { Ok(transfers) }
}

fn transfer_of(transfer: Node<'_, '_>) -> Result<Transfer, MeaningError> {
    let amount = one(transfer, "Amt")?;
    if all(amount, "EqvtAmt").next().is_some() {
        return Err(unread("an amount in another currency than it is paid in"));
    }
    let amount = one(amount, "InstdAmt")?;
    let unit = amount
        .attribute("Ccy")
        .filter(|code| code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()));
    let unit = unit.ok_or(malformed("a currency"))?.to_owned();
    let value = decimal(text(amount)?)?;
    let account = one(one(transfer, "CdtrAcct")?, "Id")?;
    let number = maybe_one(account, "IBAN")?;
    let other = maybe_one(account, "Othr")?;
    let to = match (number, other) {
        (Some(number), None) => format!("iban:{}", iban(text(number)?)?),
        (None, Some(other)) => format!("account:{}@{}", plain(text(one(other, "Id")?)?)?, bank(transfer)?),
        _ => return Err(malformed("an account is an IBAN or another number")),
    };
    Ok(Transfer { amount: Amount { value, decimals: DECIMALS, unit }, to })
}

/// Whose account a number is that is no IBAN: the bank's BIC, or its number in a clearing system.
fn bank<'a>(transfer: Node<'a, '_>) -> Result<&'a str, MeaningError> {
    let agent = maybe_one(transfer, "CdtrAgt")?.ok_or(unread("an account number without its bank"))?;
    let institution = one(agent, "FinInstnId")?;
    for name in ["BICFI", "BIC"] {
        if let Some(code) = maybe_one(institution, name)? {
            return plain(text(code)?);
        }
    }
    let member =
        maybe_one(institution, "ClrSysMmbId")?.ok_or(unread("a bank without BIC or clearing number"))?;
    plain(text(one(member, "MmbId")?)?)
}

/// Two letters, two digits, then the account, without spaces.
fn iban(text: &str) -> Result<&str, MeaningError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    match text.as_bytes() {
        [a, b, c, d, _, ..]
            if plain && a.is_ascii_uppercase() && b.is_ascii_uppercase() && text.len() <= 34 =>
        {
            let checked = c.is_ascii_digit() && d.is_ascii_digit();
            if checked { Ok(text) } else { Err(malformed("an IBAN")) }
        }
        _ => Err(malformed("an IBAN")),
    }
}

/// What people read as it is: no marks that turn or hide a part of it.
fn plain(text: &str) -> Result<&str, MeaningError> {
    let plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if plain && (1..=35).contains(&text.len()) {
        Ok(text)
    } else {
        Err(unread("a number that is not plain text"))
    }
}

/// `NbOfTxs` and `CtrlSum`, where they stand, say what there is.
fn check_counts(node: Node<'_, '_>, transfers: &[Transfer]) -> Result<(), MeaningError> {
    if let Some(count) = maybe_one(node, "NbOfTxs")?
        && text(count)?.parse() != Ok(transfers.len())
    {
        return Err(malformed("the number of transfers is another"));
    }
    if let Some(sum) = maybe_one(node, "CtrlSum")? {
        let added = transfers.iter().try_fold(0_u128, |sum, transfer| sum.checked_add(transfer.amount.value));
        if added != Some(decimal(text(sum)?)?) {
            return Err(malformed("the control sum is another"));
        }
    }
    Ok(())
}

/// In parts of 10^-5.
fn decimal(text: &str) -> Result<u128, MeaningError> {
    let wrong = || malformed("an amount");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let decimals = usize::from(DECIMALS);
    let point_without_digits = text.ends_with('.');
    if whole.is_empty() || point_without_digits || !digits(whole) || !digits(part) {
        return Err(wrong());
    }
    if whole.len() + part.len() > DIGITS_MAX || part.len() > decimals {
        return Err(wrong());
    }
    format!("{whole}{part:0<decimals$}").parse().map_err(|_| wrong())
}

/// Children of this name, in the document's namespace.
fn all<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    let namespace = node.tag_name().namespace();
    node.children().filter(move |child| {
        child.is_element() && child.tag_name().name() == name && child.tag_name().namespace() == namespace
    })
}

fn maybe_one<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> Result<Option<Node<'a, 'i>>, MeaningError> {
    let mut found = all(node, name);
    let first = found.next();
    if found.next().is_some() { Err(malformed("an element stands twice")) } else { Ok(first) }
}

fn one<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> Result<Node<'a, 'i>, MeaningError> {
    maybe_one(node, name)?.ok_or(malformed("an element is missing"))
}

/// The text of an element that holds nothing else.
fn text<'a>(node: Node<'a, '_>) -> Result<&'a str, MeaningError> {
    let mut children = node.children();
    match (children.next(), children.next()) {
        (Some(only), None) if only.is_text() => Ok(only.text().unwrap_or_default().trim()),
        _ => Err(malformed("an element without plain text")),
    }
}
