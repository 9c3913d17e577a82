//! The same evidence about every subject; and refusals that this version does not know, in every way to a receipt.
#![allow(clippy::unwrap_used)]

use keyward_domain::scheme::KeyId;
use keyward_ledger_core::entry::Entry;
use tonic::transport::Endpoint;

use super::*;
use crate::approvals::ApprovalError;
use crate::associations::AssociationError;
use crate::audit::AuditError;
use crate::client::Client;
use crate::delegation::DelegationError;
use crate::error::ClientError;
use crate::policies::PoliciesError;
use crate::shared::SharedError;
use crate::toy_ledger::Chain;
use crate::vault::VaultError;

/// A code that no ledger of this version answers.
const NEW: u16 = 4242;

fn all() -> [EvidenceError; 5] {
    let malformed = DecodeError::Invalid { what: "x", why: "y" };
    [
        EvidenceError::proof("the case")(Failure::OtherStateKey),
        EvidenceError::malformed("the case")(malformed),
        EvidenceError::Substituted("another case"),
        EvidenceError::Refused { code: "CASE_USED", meaning: "it is used up" },
        EvidenceError::RefusedUnknown { number: NEW },
    ]
}

#[test]
fn every_subject_says_the_same_under_codes_of_its_own() {
    let words = [
        "the service's proof of the case does not hold",
        "what is proven of the case is malformed",
        "the service shows another case",
        "the ledger refused: it is used up",
        "the ledger refused, with the code 4242 that this version does not know",
    ];
    macro_rules! subject {
        ($error:ty, $name:literal) => {
            let codes = [
                concat!($name, "_UNPROVEN"),
                concat!($name, "_UNPROVEN"),
                concat!($name, "_SUBSTITUTED"),
                "CASE_USED",
                "LEDGER_REFUSED",
            ];
            for ((evidence, words), code) in all().into_iter().zip(words).zip(codes) {
                let (is_refusal, is_new) = (evidence.is_refusal(), code == "LEDGER_REFUSED");
                let error = <$error>::from(evidence);
                assert_eq!(error.code(), Some(code));
                // Whoever is refused by the ledger is not told to distrust the service.
                assert_eq!(error.remedy() == Some(UNBELIEVED), !is_refusal, "{error}");
                assert_eq!(error.remedy() == Some(UPDATE), is_new, "{error}");
                // Evidence about associations may come from files.
                if !error.to_string().starts_with("the proof of") {
                    assert_eq!(error.to_string(), words);
                }
            }
        };
    }
    subject!(ApprovalError, "APPROVAL");
    subject!(AssociationError, "ASSOCIATION");
    subject!(AuditError, "AUDIT");
    subject!(DelegationError, "DELEGATION");
    subject!(PoliciesError, "POLICY");
    subject!(SharedError, "SHARED");
    subject!(VaultError, "VAULT");
}

#[test]
fn the_refusal_that_is_unknown_here_is_unknown_to_this_ledger_too() {
    let outcome = |code| Outcome { code, data: Vec::new() };
    assert!(outcome(NEW).refusal().is_none());
    EvidenceError::accepted(&Outcome::accepted_with(&[1])).unwrap();
    assert!(matches!(
        EvidenceError::accepted(&outcome(222)),
        Err(EvidenceError::Refused { code: "GRANT_SCOPE", .. })
    ));
    assert!(matches!(
        EvidenceError::accepted(&outcome(u16::MAX)),
        Err(EvidenceError::RefusedUnknown { number: u16::MAX })
    ));
}

#[tokio::test]
async fn a_proven_refusal_of_a_newer_ledger_is_told_as_one_whoever_reads_the_receipt() {
    let mut chain = Chain::new(30);
    let entry = Entry::FreezeKey { key_id: KeyId([5; 32]) };
    let leaf_index = chain.record_answered(&entry.encode(), Outcome { code: NEW, data: Vec::new() });
    let receipt = chain.receipt(leaf_index);
    let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let client = Client::over(channel, "http://127.0.0.1:1").with_account([1; 32]);
    let client = client.with_trust(&chain.trust_file()).unwrap();
    let is_it = |found: &Entry| *found == entry;
    let told =
        |error: Option<EvidenceError>| matches!(error, Some(EvidenceError::RefusedUnknown { number: NEW }));

    let trusted = client.trusted.as_ref().unwrap();
    assert!(told(trusted.accepted(&receipt, is_it).err()));
    assert!(told(trusted.accepted_at(leaf_index, &receipt, is_it).err()));
    assert!(told(client.view().unwrap().accepted(&entry, &receipt).err()));
    let address = client.recorded_address(&receipt, "the entry", is_it).unwrap_err();
    assert_eq!((address.code(), address.remedy()), (Some("LEDGER_REFUSED"), Some(UPDATE)), "{address}");
    let called = client.verdict(&receipt, None).unwrap_err();
    assert_eq!((called.code(), called.remedy()), (Some("LEDGER_REFUSED"), Some(UPDATE)), "{called}");
    assert_eq!(address.to_string(), called.to_string());
    assert!(told(match called {
        ClientError::RefusedByLedger(error) => Some(error),
        _ => None,
    }));

    // Another entry's refusal is still a lie, whatever its code.
    let other = Entry::FreezeKey { key_id: KeyId([6; 32]) };
    let lie = trusted.accepted(&receipt, |found| *found == other).err();
    assert!(matches!(lie, Some(EvidenceError::Substituted(_))));
    let lie = client.recorded_address(&receipt, "the entry", |found| *found == other).unwrap_err();
    assert_eq!(lie.code(), Some("ADDRESSES_SUBSTITUTED"));

    // One that is known keeps its name.
    let (leaf_index, outcome) = chain.record(&entry.encode());
    let receipt = chain.receipt(leaf_index);
    assert_eq!(client.verdict(&receipt, None).unwrap_err().code(), Some(outcome.name()));
    let known = client.recorded_address(&receipt, "the entry", is_it).unwrap_err();
    assert_eq!(known.code(), Some(outcome.name()));
    assert!(![Some(UNBELIEVED), Some(UPDATE)].contains(&known.remedy()), "{known}");
}
