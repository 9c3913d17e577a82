//! Grant files that show something else than the ledger says.

use super::*;

#[test]
fn grant_files_that_show_something_else_are_refused_by_name() {
    let Story { mut town, first } = story();
    let mut file = town.granted(&[0], first, first + 1);
    town.open(&mut file, 0, first, first);
    let other = town.granted(&[1], first, first + 1);
    let bytes = file.encode();
    let code = |change: &dyn Fn(&mut GrantFile)| {
        let mut file = bytes.expose(GrantFile::decode).unwrap();
        change(&mut file);
        // As it would be read from disk.
        let file = file.encode().expose(GrantFile::decode).unwrap();
        file.check(&town.trust()).map(|_| "HOLDS").unwrap_or_else(|error| error.code())
    };
    assert_eq!(code(&|_| {}), "HOLDS");
    assert_eq!(code(&|file| file.chain_id[0] ^= 1), "GRANT_OTHER_LEDGER");
    assert_eq!(code(&|file| file.purpose.push('!')), "GRANT_PURPOSE_OTHER");
    assert_eq!(code(&|file| file.request[40] ^= 1), "GRANT_RECEIPT_INVALID");
    assert_eq!(code(&|file| file.request = file.issue.clone()), "GRANT_RECEIPT_OTHER");
    assert_eq!(code(&|file| file.request = other.request.clone()), "GRANT_RECEIPT_OTHER");
    assert_eq!(code(&|file| file.issue = other.issue.clone()), "GRANT_RECEIPT_OTHER");
    assert_eq!(code(&|file| file.approvals = other.approvals.clone()), "GRANT_RECEIPT_OTHER");
    assert_eq!(code(&|file| file.approvals.clear()), "HOLDS");
    let delivery = |change: &dyn Fn(&mut Vec<u8>)| {
        code(&|file| {
            let Delivery::Hosted { delivered, .. } = &mut file.openings[0].delivery else { unreachable!() };
            change(delivered);
        })
    };
    assert_eq!(delivery(&Vec::clear), "GRANT_NOT_DELIVERED");
    assert_eq!(delivery(&|receipt| receipt[30] ^= 1), "GRANT_RECEIPT_INVALID");
    let opened = file.openings[0].opened.clone();
    assert_eq!(delivery(&|receipt| receipt.clone_from(&opened)), "GRANT_RECEIPT_OTHER");
    // Other epochs, or another account, than those that were opened.
    let widened = |first, last, account| {
        code(&|file: &mut GrantFile| {
            let Opening { opened, delivery, .. } = file.openings.remove(0);
            let Delivery::Hosted { delivered, .. } = delivery else { unreachable!() };
            let cover = ViewingCover::of(&town.owners[0].root, first..=last);
            let delivery = Delivery::Hosted { delivered, cover };
            file.openings.push(Opening { account, first, last, opened, delivery });
        })
    };
    assert_eq!(widened(first, first + 1, town.owners[0].account()), "GRANT_RECEIPT_OTHER");
    assert_eq!(widened(first, first, town.owners[1].account()), "GRANT_RECEIPT_OTHER");
    assert_eq!(file.check(b"not a trust file").unwrap_err().code(), "TRUST_MALFORMED");
}

#[test]
fn a_request_that_the_ledger_refused_is_no_grant() {
    let Story { mut town, first } = story();
    let file = town.granted(&[0], first, first);
    // The same grant once more: refused, and a record with a receipt all the same.
    let record = town.world.records[file.check(&town.trust()).unwrap().requested.leaf_index as usize].clone();
    let entry = Entry::decode(&record.entry).unwrap();
    let Entry::Authored(again) = entry else { unreachable!() };
    assert_eq!(town.world.answer(again.act, &[town::AUDITOR]), "GRANT_EXISTS");
    let at = town.world.records.len() as u64 - 1;
    let refused = GrantFile { request: town.receipt(at), ..file }.check(&town.trust()).unwrap_err();
    assert!(matches!(refused, AuditError::OtherReceipt { what: "request-grant", .. }), "{refused}");
}
