//! What is approved follows from its parts alone, and is read in full.
#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

fn signing(payload: &[u8], format: &str, payload_hash: [u8; 32]) -> Signing {
    let (key_id, opening) = (KeyId([1; 32]), [3; 32]);
    Signing { key_id, payload: payload.to_vec(), format: format.to_owned(), payload_hash, opening }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[test]
fn every_part_changes_what_is_approved() {
    let pay = signing(b"pay", "", sha256(b"pay"));
    let others = [
        About::Signing(Signing { key_id: KeyId([2; 32]), ..pay.clone() }),
        About::Signing(Signing { opening: [4; 32], ..pay.clone() }),
        About::Signing(signing(b"pay me", "", sha256(b"pay me"))),
        About::Dispute(Case { id: [1; 32], payload: [3; 32] }),
        About::Dispute(Case { id: [3; 32], payload: [1; 32] }),
        published("// a", 1),
        published("// b", 1),
        published("// a", 2),
        granted(grant("why"), "why"),
        granted(Grant { accounts: Vec::new(), ..grant("why") }, "why"),
        granted(Grant { until_ms: 1, ..grant("why") }, "why"),
        granted(grant("why not"), "why not"),
        About::AuditTerms(terms(1)),
        About::AuditTerms(terms(2)),
    ];
    let mut payloads: Vec<_> = others.iter().map(About::payload).collect();
    payloads.push(About::Signing(pay).payload());
    payloads.sort_unstable();
    payloads.dedup();
    assert_eq!(payloads.len(), 15);
}

#[test]
fn it_comes_back_from_its_bytes_and_from_no_others() {
    let signing = About::Signing(signing(b"pay", "ethereum", [9; 32]));
    let dispute = About::Dispute(Case { id: [5; 32], payload: [6; 32] });
    let (grant, terms) =
        (granted(grant("for the examiner"), "for the examiner"), About::AuditTerms(terms(3)));
    let publications = [published("// a", 7), published_of(Published::Risk, "// a", 7)];
    for about in [signing, dispute, grant, terms].into_iter().chain(publications) {
        let bytes = about.encode();
        assert_eq!(About::decode(&bytes).unwrap(), about);
        assert!(About::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(About::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
    assert!(About::decode(&[9]).is_err() && About::decode(&[]).is_err());
}

fn published(text: &str, version: u32) -> About {
    published_of(Published::Policy, text, version)
}

fn published_of(of: Published, text: &str, version: u32) -> About {
    let (tenant, set, rule) = ([1; 32], of.text_hash(text), [2; 32]);
    let publish = PublishPolicy { tenant, version, set, rule, case: None };
    About::Publication(Publication { of, publish, text: text.to_owned() })
}

fn grant(purpose: &str) -> Grant {
    Grant {
        id: [1; 32],
        tenant: [2; 32],
        grantee_key: [3; 32],
        purpose_hash: Grant::purpose_hash_of(purpose),
        from_ms: 1_700_000_000_000,
        until_ms: 1_700_000_000_000 + 36 * 3_600_000,
        expires_ms: 1_800_000_000_000,
        accounts: vec![[4; 32], [5; 32]],
    }
}

fn granted(grant: Grant, purpose: &str) -> About {
    About::Grant { grant, purpose: purpose.to_owned() }
}

fn terms(version: u32) -> PublishAudit {
    let terms = AuditTerms {
        accounts_max: 2,
        span_ms_max: 31 * 86_400_000,
        live_ms_max: 7_200_000,
        kept_ms: 3_653 * 86_400_000,
    };
    PublishAudit { tenant: [1; 32], version, terms, rule: [2; 32], case: None }
}

#[test]
fn grants_and_terms_have_the_golden_bytes() {
    let fixed = |byte: &str| byte.repeat(32);
    let purpose_hash = hex(&Grant::purpose_hash_of("why"));
    // u8 5, the grant's length, id, tenant, key, purpose hash, three times, two accounts; then the purpose.
    let times = ["0000018bcfe56800", "0000018bd79ef200", "000001a3185c5000"].concat();
    let grant_bytes = [
        &fixed("01")[..],
        &fixed("02"),
        &fixed("03"),
        &purpose_hash,
        &times,
        "00000002",
        &fixed("04"),
        &fixed("05"),
    ]
    .concat();
    let golden = ["05", "000000dc", &grant_bytes, "00000003", "776879"].concat();
    assert_eq!(hex(&granted(grant("why"), "why").encode()), golden);
    let times = ["000000009fa52400", "00000000006ddd00", "000000497c5ecc00"].concat();
    let golden = ["06", &fixed("01"), "00000003", "0002", &times, &fixed("02")].concat();
    assert_eq!(hex(&About::AuditTerms(terms(3)).encode()), golden);
}

#[test]
fn a_grant_is_approved_with_everything_that_it_opens_and_why() {
    let purpose = "complaint 17\n\x1b[2Kof 2026-11-20";
    let words = granted(grant(purpose), purpose).words().unwrap();
    let text = words.join("\n");
    for part in [
        &hex(&[1; 32])[..],
        &hex(&[2; 32]),
        &hex(&[3; 32]),
        "2 accounts",
        &format!("account {}", hex(&[4; 32])),
        &format!("account {}", hex(&[5; 32])),
        "from 2023-11-14 22:13:20 UTC until 2023-11-16 10:13:20 UTC (1 day 12 hours)",
        "after 2027-01-15 08:00:00 UTC",
        "| complaint 17",
    ] {
        assert!(text.contains(part), "`{part}` in {text}");
    }
    assert!(words.iter().all(|line| !line.chars().any(char::is_control)), "{words:?}");
    let whole = Grant { accounts: Vec::new(), ..grant("") };
    let words = granted(whole, "").words().unwrap().join("\n");
    assert!(words.contains("every account of tenant") && words.contains("no purpose is given"), "{words}");
    for other in ["complaint 18", ""] {
        assert_eq!(granted(grant(purpose), other).words(), Err(DisclosureError::Other));
    }
    let long = "x".repeat(PURPOSE_LEN_MAX + 1);
    assert!(granted(grant(&long), &long).words().is_err());
    assert!(About::decode(&granted(grant(&long), &long).encode()).is_err());
}

#[test]
fn terms_for_audits_are_approved_in_full() {
    let words = About::AuditTerms(terms(4)).words().unwrap().join("\n");
    for part in [
        "version 4",
        "at most 2 accounts, never the whole",
        "31 days",
        "2 hours",
        "before it was closed can be opened for 3653 days after it",
        &hex(&[2; 32]),
    ] {
        assert!(words.contains(part), "`{part}` in {words}");
    }
    let mut short = terms(1);
    short.terms.kept_ms = 0;
    let words = About::AuditTerms(short).words().unwrap().join("\n");
    assert!(words.contains("closed opens nothing any more"), "{words}");
    let mut wide = terms(1);
    wide.terms.accounts_max = u16::MAX;
    assert!(About::AuditTerms(wide).words().unwrap().join("\n").contains("also the whole tenant"));
    // A case is no part of what is approved.
    let with_case = PublishAudit { case: Some([9; 32]), ..terms(1) };
    assert_eq!(About::AuditTerms(with_case).payload(), About::AuditTerms(terms(1)).payload());
}

#[test]
fn rules_of_risk_are_never_taken_for_policies() {
    let risk = published_of(Published::Risk, "// a", 1);
    let words = risk.words().unwrap();
    assert!(words.iter().any(|line| line.contains("rules of risk")), "{words:?}");
    let About::Publication(one) = risk else { unreachable!() };
    let as_policies = Publication { of: Published::Policy, ..one.clone() };
    assert!(About::Publication(as_policies.clone()).words().is_err(), "its hash is one of rules of risk");
    assert_ne!(
        Published::Policy.payload(&one.publish),
        Published::Risk.payload(&one.publish),
        "approved as one, it is not approved as the other"
    );
    assert_ne!(About::Publication(one).encode(), About::Publication(as_policies).encode());
}

#[test]
fn policies_are_approved_by_their_text_and_no_other() {
    assert_eq!(usize::from(POLICY_TEXT_LABEL[0]), POLICY_TEXT_LABEL.len() - 1);
    let words = published("forbid x;\n\x1b[2Kpermit y;", 3).words().unwrap();
    assert!(words.contains(&"| forbid x;".to_owned()), "{words:?}");
    assert!(words.iter().all(|line| !line.chars().any(char::is_control)), "{words:?}");
    let About::Publication(one) = published("// a", 1) else { unreachable!() };
    let other = Publication { text: "// b".to_owned(), ..one };
    assert!(About::Publication(other).words().is_err(), "the text is not the one of the hash");
    let long = "x".repeat(POLICY_TEXT_LEN_MAX + 1);
    assert!(published(&long, 1).words().is_err());
}

#[test]
fn a_payload_and_a_hash_that_disagree_have_no_words() {
    let hash = sha256(b"pay 1");
    let words = About::Signing(signing(b"pay 1", "", hash)).words().unwrap();
    assert!(words.iter().any(|line| line.contains("\"pay 1\"")), "{words:?}");
    assert!(words.iter().any(|line| line.ends_with(&hex(&hash))), "{words:?}");
    for (payload, format) in [(&b"pay 2"[..], ""), (b"pay 1", "ethereum"), (b"pay 1", "verse")] {
        assert!(About::Signing(signing(payload, format, hash)).words().is_err(), "{format:?}");
    }
    let bare = About::Signing(signing(&hash, "", hash)).words().unwrap();
    assert!(bare.iter().any(|line| line.contains("the digest itself")), "{bare:?}");
    // Text that would write over what is shown is not shown as text.
    let trick = b"pay 1\x1b[2K\rpay 2";
    let words = About::Signing(signing(trick, "", sha256(trick))).words().unwrap();
    assert!(!words.iter().any(|line| line.contains("as text")), "{words:?}");
}

#[test]
fn a_name_makes_one_id_and_strange_names_are_refused() {
    assert_eq!(usize::from(NAME_LABEL[0]), NAME_LABEL.len() - 1);
    let name = ApprovalRuleName::parse("treasury").unwrap();
    assert_ne!(name.id(), ApprovalRuleName::parse("treasury2").unwrap().id());
    for bad in ["", "Main", "a b", &"a".repeat(65), "ä"] {
        assert!(ApprovalRuleName::parse(bad).is_err(), "{bad:?}");
    }
}
