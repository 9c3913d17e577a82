//! Bitcoin: published digests and a published PSBT with its signature, then what is not read.

use sha2::{Digest as _, Sha256};

use super::super::psbt::digest::Digests;
use super::super::psbt::transaction::{Output, Transaction};
use super::super::*;
use super::{bytes, word};
use crate::scheme::{PublicKey, Scheme, verify_digest};

/// BIP 341, wallet-test-vectors.json, `keyPathSpending`.
const BIP341: &str =
    "02000000097de20cbff686da83a54981d2b9bab3586f4ca7e48f57f5b55963115f3b334e9c010000000000000000
    d7b7cab57b1393ace2d064f4d4a2cb8af6def61273e127517d44759b6dafdd990000000000ffffffff
    f8e1f583384333689228c5d28eac13366be082dc57441760d957275419a418420000000000ffffffff
    f0689180aa63b30cb162a73c6d2a38b7eeda2a83ece74310fda0843ad604853b0100000000feffffff
    aa5202bdf6d8ccd2ee0f0202afbbb7461d9264a25e5bfd3c5a52ee1239e0ba6c0000000000feffffff
    956149bdc66faa968eb2be2d2faa29718acbfe3941215893a2a3446d32acd0500000000000000000
    00e664b9773b88c09c32cb70a2a3e4da0ced63b7ba3b22f848531bbb1d5d5f4c940100000000000000
    00e9aa6b8e6c9de67619e6a3924ae25696bb7b694bb677a632a74ef7eadfd4eabf0000000000ffffffff
    a778eb6a263dc090464cd125c466b5a99667720b1c110468831d058aa1b82af10100000000ffffffff
    0200ca9a3b000000001976a91406afd46bcdfd22ef94ac122aa11f241244a37ecc88ac
    807840cb0000000020ac9a87f5594be208f8532db38cff670c450ed2fea8fcdefcc9a663f78bab962b0065cd1d";
const BIP341_SPENT: [(&str, u64); 9] = [
    ("512053a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343", 420_000_000),
    ("5120147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3", 462_000_000),
    ("76a914751e76e8199196d454941c45d1b3a323f1433bd688ac", 294_000_000),
    ("5120e4d810fd50586274face62b8a807eb9719cef49c04177cc6b76a9a4251d5450e", 504_000_000),
    ("512091b64d5324723a985170e4dc5a0f84c041804f2cd12660fa5dec09fc21783605", 630_000_000),
    ("00147dd65592d0ab2fe0d0257d571abf032cd9db93dc", 378_000_000),
    ("512075169f4001aa68f15bbed28b218df1d0a62cbbcf1188c6665110c293c907b831", 672_000_000),
    ("5120712447206d7a5238acc7ff53fbe94a3b64539ad291c7cdbc490b7577e4b17df5", 546_000_000),
    ("512077e30a5522dd9f894c3f8b8bd4c4b2cf82ca7da8a3ea6a239655c39c050ab220", 588_000_000),
];
/// BIP 143, native P2WPKH: the second input is signed for.
const BIP143: &str =
    "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffff
    ef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff
    02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac
    9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000";

#[test]
fn digests_are_those_of_bip_143_and_bip_341() {
    let raw = bytes(BIP341);
    let transaction = Transaction::read_whole(&raw, false).unwrap();
    let spent: Vec<_> = BIP341_SPENT
        .iter()
        .map(|(script, amount)| Output { amount: *amount, script: bytes(script) })
        .collect();
    let digests = Digests::of(&transaction, &spent);
    for (place, kind, digest) in [
        (3, 1, "bf013ea93474aa67815b1b6cc441d23b64fa310911d991e713cd34c7f5d46669"),
        (4, 0, "4f900a0bae3f1446fd48490c2958b5a023228f01661cda3496a11da502a7f7ef"),
    ] {
        assert_eq!(digests.taproot(place, kind), word(digest), "{place}");
    }
    let raw = bytes(BIP143);
    let transaction = Transaction::read_whole(&raw, false).unwrap();
    let hash = bytes("1d0f172a0ecb48aee1be1f2687d2963ae33f71a1").try_into().unwrap();
    let digest = Digests::of(&transaction, &[]).segwit(&transaction.inputs[1], &hash, 600_000_000);
    assert_eq!(digest, word("c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670"));
}

/// A map of a PSBT.
fn map(entries: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let entry =
        |(key, value): &(u8, Vec<u8>)| [&[1, *key, u8::try_from(value.len()).unwrap()][..], value].concat();
    [entries.iter().flat_map(entry).collect(), vec![0]].concat()
}

/// Pays from one output of `before`, of this script and amount, to a taproot key.
pub(super) fn paying(
    amount: u64,
    script: &str,
    input: impl Fn(&[u8], Vec<u8>) -> Vec<(u8, Vec<u8>)>,
) -> Vec<u8> {
    let script = bytes(script);
    let output = [&amount.to_le_bytes()[..], &[script.len() as u8], &script].concat();
    let before = [&bytes("0200000001")[..], &[7; 36], &[0], &[0xff; 4], &[1], &output, &[0; 4]].concat();
    let id: [u8; 32] = Sha256::digest(Sha256::digest(&before)).into();
    let out = [&900_u64.to_le_bytes()[..], &[34, 0x51, 0x20], &[5; 32]].concat();
    let unsigned = [&bytes("0200000001")[..], &id, &[0; 4], &[0], &[0xff; 4], &[1], &out, &[0; 4]].concat();
    [b"psbt\xff".to_vec(), map(&[(0, unsigned)]), map(&input(&before, output)), map(&[])].concat()
}

const P2WPKH: &str = "00141d0f172a0ecb48aee1be1f2687d2963ae33f71a1";
pub(super) const P2TR: &str = "512053a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343";

#[test]
fn a_psbt_says_which_script_gets_how_much_and_what_it_costs() {
    let shown = paying(1_000, P2TR, |_, output| vec![(1, output)]);
    let meaning = Meaning::read(Form::BitcoinPsbt, &shown).unwrap();
    let [Transfer { amount, to }] = &meaning.transfers[..] else { panic!("{meaning:?}") };
    assert_eq!(amount.to_string(), "900 sat");
    assert_eq!(*to, format!("script:5120{}", "05".repeat(32)));
    assert_eq!((meaning.fee.unwrap().value, meaning.digests.len()), (100, 1));
    let proven = paying(1_000, P2WPKH, |before, output| vec![(0, before.to_vec()), (1, output)]);
    assert_eq!(Meaning::read(Form::BitcoinPsbt, &proven).unwrap().fee.unwrap().value, 100);
}

#[test]
fn psbts_that_hide_an_amount_or_sign_less_than_everything_are_refused() {
    let read = |payload: &[u8]| Meaning::read(Form::BitcoinPsbt, payload).unwrap_err();
    let unproven = paying(1_000, P2WPKH, |_, output| vec![(1, output)]);
    assert!(matches!(read(&unproven), MeaningError::Unread { .. }), "the fee may be a lie");
    let nothing = paying(1_000, P2TR, |_, _| vec![]);
    assert!(matches!(read(&nothing), MeaningError::Unread { .. }));
    let lying = paying(1_000, P2WPKH, |before, mut output| {
        output[0] ^= 1;
        vec![(0, before.to_vec()), (1, output)]
    });
    assert!(matches!(read(&lying), MeaningError::Malformed { .. }));
    let other = paying(1_000, P2WPKH, |before, _| {
        let mut before = before.to_vec();
        before[0] ^= 1;
        vec![(0, before)]
    });
    assert!(matches!(read(&other), MeaningError::Malformed { .. }));
    let too_little = paying(899, P2TR, |_, output| vec![(1, output)]);
    assert!(matches!(read(&too_little), MeaningError::Malformed { .. }));
    for kind in [2, 3, 0x81] {
        let less = paying(1_000, P2TR, |_, output| vec![(1, output), (3, vec![kind, 0, 0, 0])]);
        assert!(matches!(read(&less), MeaningError::Unread { .. }), "{kind}");
    }
    let twice = paying(1_000, P2TR, |_, output| vec![(1, output.clone()), (1, output)]);
    assert!(matches!(read(&twice), MeaningError::Malformed { .. }));
    let good = paying(1_000, P2TR, |_, output| vec![(1, output)]);
    for end in 0..good.len() {
        assert!(matches!(read(&good[..end]), MeaningError::Malformed { .. }), "{end}");
    }
    assert!(matches!(read(&[&good[..], &[0]].concat()), MeaningError::Malformed { .. }));
}

#[test]
fn a_psbt_with_more_inputs_than_are_read_is_refused_before_anything_is_hashed() {
    let input = [&[7; 36][..], &[0], &[0xff; 4]].concat();
    let out = [&1_u64.to_le_bytes()[..], &[34, 0x51, 0x20], &[5; 32]].concat();
    let unsigned = |count: u16| {
        let head = [&[2, 0, 0, 0, 0xfd][..], &count.to_le_bytes()].concat();
        [head, input.repeat(usize::from(count)), vec![1], out.clone(), vec![0; 4]].concat()
    };
    let psbt = |count: u16| {
        let unsigned = unsigned(count);
        let length = [&[0xfd][..], &u16::try_from(unsigned.len()).unwrap().to_le_bytes()].concat();
        let shown = map(&[(1, [&10_u64.to_le_bytes()[..], &[34], &bytes(P2TR)].concat())]);
        let inputs = shown.repeat(usize::from(count));
        [b"psbt\xff".to_vec(), vec![1, 0], length, unsigned, vec![0], inputs, vec![0]].concat()
    };
    let most = Meaning::read(Form::BitcoinPsbt, &psbt(1024)).unwrap();
    assert_eq!((most.digests.len(), most.fee.unwrap().value), (1024, 10_239));
    let refused = Meaning::read(Form::BitcoinPsbt, &psbt(1025)).unwrap_err();
    assert!(matches!(refused, MeaningError::Unread { .. }));
}

/// BIP 371's own PSBT with a signature of the key path; the signature stands in it, and here.
const BIP371: &str =
    "70736274ff010052020000000127744ababf3027fe0d6cf23a96eee2efb188ef52301954585883e69b6624b242000000
     0000ffffffff0148e6052a01000000160014768e1eeb4cf420866033f80aceff0f9720744969000000000001012b00f2
     052a010000002251205a2c2cf5b52cf31f83ad2e8da63ff03183ecd8f609c7510ae8a48e03910a0757011340bb53ec91
     7bad9d906af1ba87181c48b86ace5aae2b53605a725ca74625631476fc6f5baedaf4f2ee0f477f36f58f3970d5b8273b
     7e497b97af2e3f125c97af342116fe349064c98d6e2a853fa3c9b12bd8b304a19c195c60efa7ee2393046d3fa2321900
     772b2da75600008001000080000000800100000000000000011720fe349064c98d6e2a853fa3c9b12bd8b304a19c195c
     60efa7ee2393046d3fa232002202036b772a6db74d8753c98a827958de6c78ab3312109f37d3e0304484242ece73d818
     772b2da7540000800100008000000080000000000000000000";
const BIP371_KEY: &str = "5a2c2cf5b52cf31f83ad2e8da63ff03183ecd8f609c7510ae8a48e03910a0757";
const BIP371_SIGNATURE: &str = "bb53ec917bad9d906af1ba87181c48b86ace5aae2b53605a725ca74625631476
     fc6f5baedaf4f2ee0f477f36f58f3970d5b8273b7e497b97af2e3f125c97af34";

#[test]
fn the_signature_in_a_published_psbt_is_over_the_digest_that_is_read() {
    let meaning = Meaning::read(Form::BitcoinPsbt, &bytes(BIP371)).unwrap();
    let key = PublicKey::parse(Scheme::Bip340, &bytes(BIP371_KEY)).unwrap();
    let [digest] = meaning.digests[..] else { panic!("{meaning:?}") };
    verify_digest(&key, &digest, &bytes(BIP371_SIGNATURE)).unwrap();
    let [Transfer { amount, to }] = &meaning.transfers[..] else { panic!("{meaning:?}") };
    assert_eq!(amount.value, 4_999_997_000);
    assert_eq!(to, "script:0014768e1eeb4cf420866033f80aceff0f9720744969");
    assert_eq!(meaning.fee.unwrap().value, 3_000);
}
