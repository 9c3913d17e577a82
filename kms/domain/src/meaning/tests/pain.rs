//! pain.001: what is paid to whom, and documents that say something else to somebody else.

use sha2::{Digest as _, Sha256};

use super::super::*;

pub(super) fn pain(head: &str, transfers: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09\"><CstmrCdtTrfInitn>\
         <GrpHdr><MsgId>1</MsgId>{head}</GrpHdr><PmtInf><PmtMtd>TRF</PmtMtd>{transfers}</PmtInf>\
         </CstmrCdtTrfInitn></Document>"
    )
}

pub(super) fn credit(amount: &str, account: &str) -> String {
    format!(
        "<CdtTrfTxInf><Amt><InstdAmt Ccy=\"EUR\">{amount}</InstdAmt></Amt>\
         <CdtrAgt><FinInstnId><BICFI>NBBEBEBB</BICFI></FinInstnId></CdtrAgt>\
         <CdtrAcct><Id>{account}</Id></CdtrAcct></CdtTrfTxInf>"
    )
}

pub(super) const IBAN: &str = "<IBAN>DE89370400440532013000</IBAN>";

#[test]
fn a_credit_transfer_says_which_account_gets_how_much() {
    let both = credit("12.50", IBAN) + &credit("7", "<Othr><Id>4711</Id></Othr>");
    let text = pain("<NbOfTxs>2</NbOfTxs><CtrlSum>19.5</CtrlSum>", &both);
    let meaning = Meaning::read(Form::Pain001, text.as_bytes()).unwrap();
    let [first, second] = &meaning.transfers[..] else { panic!("{meaning:?}") };
    assert_eq!(
        (first.amount.to_string().as_str(), first.to.as_str()),
        ("12.50000 EUR", "iban:DE89370400440532013000")
    );
    assert_eq!((second.amount.value, second.to.as_str()), (700_000, "account:4711@NBBEBEBB"));
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    assert_eq!(meaning.digests, [digest]);
}

#[test]
fn credit_transfers_that_do_not_add_up_or_bring_entities_are_refused() {
    let good = credit("1", IBAN);
    let refused = |text: String| Meaning::read(Form::Pain001, text.as_bytes()).unwrap_err();
    for head in
        ["<NbOfTxs>2</NbOfTxs>", "<CtrlSum>1.01</CtrlSum>", "<NbOfTxs>1</NbOfTxs><NbOfTxs>1</NbOfTxs>"]
    {
        assert!(matches!(refused(pain(head, &good)), MeaningError::Malformed { .. }), "{head}");
    }
    for amount in ["", "-1", "1.", ".5", "1,5", "1e3", "1.000001", "1234567890123456789", "1<b/>"] {
        assert!(
            matches!(refused(pain("", &credit(amount, IBAN))), MeaningError::Malformed { .. }),
            "{amount}"
        );
    }
    let two = credit("1", &format!("{IBAN}<Othr><Id>1</Id></Othr>"));
    assert!(matches!(refused(pain("", &two)), MeaningError::Malformed { .. }));
    assert!(matches!(refused(pain("", "")), MeaningError::Malformed { .. }));
    let long = credit("1", &format!("<Othr><Id>{}</Id></Othr>", "7".repeat(TEXT_LEN_MAX)));
    assert!(matches!(refused(pain("", &long)), MeaningError::Unread { .. }));
    for account in ["DE89 3704", "de89370400440532013000", "\u{202e}DE8937040044", "1"] {
        let text = pain("", &credit("1", &format!("<IBAN>{account}</IBAN>")));
        assert!(matches!(refused(text), MeaningError::Malformed { .. }), "{account}");
    }
    let turned = credit("1", "<Othr><Id>47\u{202e}11</Id></Othr>");
    assert!(matches!(refused(pain("", &turned)), MeaningError::Unread { .. }));
    let nowhere = credit("1", "<Othr><Id>4711</Id></Othr>").replace("BICFI", "Nm");
    assert!(matches!(refused(pain("", &nowhere)), MeaningError::Unread { .. }));
    let commented = credit("1<!-- 0 -->0", IBAN);
    assert!(matches!(refused(pain("", &commented)), MeaningError::Malformed { .. }));
    let debit = pain("", &good).replace("TRF", "CHK");
    assert!(matches!(refused(debit), MeaningError::Unread { .. }));
    let equivalent = pain("", &good.replace("<InstdAmt", "<EqvtAmt/><InstdAmt"));
    assert!(matches!(refused(equivalent), MeaningError::Unread { .. }));
    let later = pain("", &good).replace("001.001.09", "001.001.13");
    assert!(matches!(refused(later), MeaningError::Unread { .. }));
    let entity = pain("", &good).replace("?><", "?><!DOCTYPE d [<!ENTITY e \"9\">]><");
    assert!(matches!(refused(entity), MeaningError::Malformed { .. }));
}

#[test]
fn a_document_in_another_encoding_is_refused_whatever_its_bytes_say_here() {
    let good = pain("", &credit("1", IBAN));
    let with = |declaration: &str| {
        let text = good.replace("<?xml version=\"1.0\"?>", declaration);
        Meaning::read(Form::Pain001, text.as_bytes())
    };
    for known in ["", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<?xml version='1.0' encoding='utf-8'?>"]
    {
        assert!(with(known).is_ok(), "{known}");
    }
    for other in ["UTF-7", "IBM037", "ISO-8859-1", "UTF-16", ""] {
        for bom in ["", "\u{feff}"] {
            let text = format!("{bom}<?xml version=\"1.0\" encoding = \"{other}\"?>");
            assert!(with(&text).is_err(), "{text}");
        }
    }
}

/// Documents on which a parser could be kept busy, each as long as a payload may be.
#[test]
fn deep_wide_and_crowded_documents_are_refused_at_once() {
    let fill = |piece: &dyn Fn(usize) -> String, close: &str| {
        let mut text = String::new();
        for number in 0.. {
            let next = piece(number);
            if text.len() + next.len() + (number + 1) * close.len() > PAYLOAD_LEN_MAX {
                return text + &close.repeat(number);
            }
            text += &next;
        }
        unreachable!("a payload ends")
    };
    let deep = fill(&|_| "<a>".to_owned(), "</a>");
    let spaces = fill(&|number| format!("<a xmlns:n{number}=\"u{number}\">"), "</a>");
    let wide = format!("<a{}/>", &fill(&|number| format!(" a{number}=\"\""), "")[..PAYLOAD_LEN_MAX - 8192]);
    let many = pain("", &fill(&|_| credit("1", IBAN), "")[..PAYLOAD_LEN_MAX / 320 * 300]);
    for text in [deep, spaces, wide, many] {
        assert!(text.len() > PAYLOAD_LEN_MAX / 2 && text.len() <= PAYLOAD_LEN_MAX);
        let refused = Meaning::read(Form::Pain001, text.as_bytes()).unwrap_err();
        assert!(!matches!(refused, MeaningError::TooLong(_)), "{refused:?}");
    }
}
