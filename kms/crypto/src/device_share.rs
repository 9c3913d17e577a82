//! A person's part in a shared key, on their device: the device's own keys and the share, sealed under the export key of a
//! login as keys of mode `self` are.
//!
//! The share may stand there several times: as it is, and as it will be once the ledger has what was dealt anew. Which one
//! counts, the key says that the ledger names. Version 2 of the file is for long shares; what version 1 can say is written as
//! version 1.

use std::fmt;

use keyward_domain::scheme::Scheme;
use zeroize::Zeroizing;

use crate::device::DeviceKeyError;
use crate::device_file::{ALIAS_BYTES_MAX, Sealed, read_alias, read_ids, write_alias};
use crate::envelope::{Envelope, NONCE_BYTES};
use crate::hpke_box::BoxKey;
use crate::labels;
use crate::secret::SecretBytes;
use crate::signing::SigningKey;

const VERSION: u8 = 1;
const VERSION_LONG: u8 = 2;
/// The most shares of one file: the one in force, and those that were dealt since and may come into force.
pub const SHARES_MAX: usize = 8;
/// The longest share of version 1.
const SHARE_BYTES_MAX: usize = 1024;
/// The longest share of version 2.
const LONG_SHARE_BYTES_MAX: usize = crate::shared::SHARE_BYTES_MAX;
/// The longest entry, and the longest key, that waits.
const WAITING_BYTES_MAX: usize = 16 * 1024;
const KEY_BYTES: usize = 32;

/// What was handed in, and of which no answer came yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The ledger's entry.
    pub entry: Vec<u8>,
    /// The shared key that it records, encoded.
    pub key: Vec<u8>,
    /// From when on the ledger takes it no more, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// A share that is in force, or may come into force.
#[derive(Debug)]
pub struct KeptShare {
    /// Its bytes ([`crate::shared::KeyShare::to_secret`]).
    pub bytes: SecretBytes,
    /// From when on it cannot come into force any more, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// What is secret of a person's part in a shared key.
pub struct SharePart {
    /// The device's Ed25519 key: the person's messages are signed with it.
    pub signing: SigningKey,
    /// The device's HPKE key: pieces are sealed to it.
    pub sealing: BoxKey,
    /// The shares, oldest first, at most 8.
    pub shares: Vec<KeptShare>,
    /// What waits for an answer.
    pub waiting: Option<Waiting>,
}

impl SharePart {
    /// Fresh keys of a device, and no share yet.
    pub fn generate() -> Result<Self, DeviceKeyError> {
        let signing = SigningKey::generate(Scheme::Ed25519).map_err(DeviceKeyError::Secret)?;
        let sealing = BoxKey::generate().map_err(|_| DeviceKeyError::Part)?;
        Ok(Self { signing, sealing, shares: Vec::new(), waiting: None })
    }

    /// Version 1 where it can say all.
    fn version(&self) -> u8 {
        let long = self.shares.iter().any(|share| share.bytes.len() > SHARE_BYTES_MAX);
        if long { VERSION_LONG } else { VERSION }
    }

    /// `signing key[32] || sealing key[32] || count u8 || (u64 expires ms || u16 length || share)* || 0 u8, or 1 u8 || u64 expires ms ||
    /// u32 length || entry || u32 length || key`. In version 2 the length of a share is a u32.
    fn encode(&self) -> Result<Zeroizing<Vec<u8>>, DeviceKeyError> {
        let waiting = self.waiting.as_ref();
        let too_long = self.shares.len() > SHARES_MAX
            || self.shares.iter().any(|share| share.bytes.len() > LONG_SHARE_BYTES_MAX)
            || waiting.is_some_and(|waiting| waiting.entry.len().max(waiting.key.len()) > WAITING_BYTES_MAX);
        let count = u8::try_from(self.shares.len()).ok().filter(|_| !too_long);
        let count = count.ok_or(DeviceKeyError::TooLong)?;
        // One allocation: growing would leave copies that nobody wipes.
        let shares = self.shares.iter().map(|share| 8 + 4 + share.bytes.len());
        let room = 2 * KEY_BYTES + 2 + shares.sum::<usize>() + 16 + 2 * WAITING_BYTES_MAX;
        let mut out = Zeroizing::new(Vec::with_capacity(room));
        self.signing.expose(|secret| out.extend_from_slice(secret));
        self.sealing.expose(|secret| out.extend_from_slice(secret));
        out.push(count);
        let long = self.version() == VERSION_LONG;
        for KeptShare { bytes, expires_ms } in &self.shares {
            let length = u32::try_from(bytes.len()).map_err(|_| DeviceKeyError::TooLong)?.to_be_bytes();
            out.extend_from_slice(&expires_ms.to_be_bytes());
            out.extend(length.iter().skip(if long { 0 } else { 2 }));
            bytes.expose(|share| out.extend_from_slice(share));
        }
        let Some(Waiting { entry, key, expires_ms }) = waiting else {
            out.push(0);
            return Ok(out);
        };
        out.push(1);
        out.extend_from_slice(&expires_ms.to_be_bytes());
        for bytes in [entry, key] {
            let length = u32::try_from(bytes.len()).map_err(|_| DeviceKeyError::TooLong)?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(bytes);
        }
        Ok(out)
    }

    fn decode(bytes: &[u8], version: u8) -> Option<Self> {
        let (signing, rest) = bytes.split_first_chunk::<KEY_BYTES>()?;
        let (sealing, rest) = rest.split_first_chunk::<KEY_BYTES>()?;
        let (&count, mut rest) = rest.split_first()?;
        if usize::from(count) > SHARES_MAX {
            return None;
        }
        let mut shares = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let (expires_ms, behind) = rest.split_first_chunk()?;
            let (length, behind) = read_length(behind, version)?;
            let (share, behind) = behind.split_at_checked(length)?;
            let expires_ms = u64::from_be_bytes(*expires_ms);
            shares.push(KeptShare { bytes: SecretBytes::new(share.to_vec()), expires_ms });
            rest = behind;
        }
        let waiting = match rest.split_first()? {
            (0, []) => None,
            (1, rest) => Some(read_waiting(rest)?),
            _ => return None,
        };
        let signing = SigningKey::from_secret(Scheme::Ed25519, signing).ok()?;
        let part = Self { signing, sealing: BoxKey::from_secret(sealing).ok()?, shares, waiting };
        (part.version() == version).then_some(part)
    }
}

impl fmt::Debug for SharePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharePart({} shares, redacted)", self.shares.len())
    }
}

fn read_length(bytes: &[u8], version: u8) -> Option<(usize, &[u8])> {
    if version == VERSION {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        return (length <= SHARE_BYTES_MAX).then_some((length, rest));
    }
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (length <= LONG_SHARE_BYTES_MAX).then_some((length, rest))
}

fn read_waiting(bytes: &[u8]) -> Option<Waiting> {
    let (expires_ms, rest) = bytes.split_first_chunk()?;
    let (entry, rest) = counted(rest)?;
    let (key, rest) = counted(rest)?;
    rest.is_empty().then(|| Waiting { entry, key, expires_ms: u64::from_be_bytes(*expires_ms) })
}

fn counted(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok().filter(|&len| len <= WAITING_BYTES_MAX)?;
    let (bytes, rest) = rest.split_at_checked(length)?;
    Some((bytes.to_vec(), rest))
}

/// A sealed part: whose it is, is readable, what it is, is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceShare {
    /// The ledger.
    pub chain_id: [u8; 32],
    /// The account's name on the ledger.
    pub account: [u8; 32],
    /// The shared key's name, fixed before there is a key.
    pub name: [u8; 32],
    /// The alias under which the person made the key, 1 to 255 bytes.
    pub alias: String,
    version: u8,
    sealed: Sealed,
}

impl DeviceShare {
    /// Seals a part under an export key of 64 bytes, with a fresh nonce. `owner`: the ledger, and the account's name on it.
    pub fn seal(
        export_key: &SecretBytes,
        owner: ([u8; 32], [u8; 32]),
        name: [u8; 32],
        alias: &str,
        part: &SharePart,
    ) -> Result<Self, DeviceKeyError> {
        let nonce = Envelope::fresh_nonce().map_err(DeviceKeyError::Seal)?;
        Self::seal_with(export_key, owner, (name, alias), part, nonce)
    }

    fn seal_with(
        export_key: &SecretBytes,
        (chain_id, account): ([u8; 32], [u8; 32]),
        (name, alias): ([u8; 32], &str),
        part: &SharePart,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Self, DeviceKeyError> {
        if !(1..=ALIAS_BYTES_MAX).contains(&alias.len()) {
            return Err(DeviceKeyError::Alias { len: alias.len() });
        }
        let (alias, version) = (alias.to_owned(), part.version());
        let empty = Self { version, chain_id, account, name, alias, sealed: Sealed::default() };
        let sealed = Sealed::new(export_key, nonce, &empty.associated(), &part.encode()?)?;
        Ok(Self { sealed, ..empty })
    }

    /// Opens it.
    pub fn open(&self, export_key: &SecretBytes) -> Result<SharePart, DeviceKeyError> {
        let opened = self.sealed.open(export_key, &self.associated())?;
        opened.expose(|plain| SharePart::decode(plain, self.version)).ok_or(DeviceKeyError::Part)
    }

    /// The bytes that are kept.
    pub fn encode(&self) -> Vec<u8> {
        self.sealed.behind(&self.head())
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DeviceKeyError> {
        let malformed = || DeviceKeyError::Malformed { len: bytes.len() };
        let (&version, rest) = bytes.split_first().ok_or_else(malformed)?;
        if ![VERSION, VERSION_LONG].contains(&version) {
            return Err(DeviceKeyError::Version { version });
        }
        let ([chain_id, account, name], rest) = read_ids(rest).ok_or_else(malformed)?;
        let (alias, rest) = read_alias(rest).ok_or_else(malformed)?;
        let sealed = Sealed::read(rest, 2 * KEY_BYTES + 2..).ok_or_else(malformed)?;
        Ok(Self { chain_id, account, name, alias, version, sealed })
    }

    /// `version u8 (1 or 2) || chain id[32] || account[32] || name[32] || u8 length || alias`.
    fn head(&self) -> Vec<u8> {
        let mut head = [&[self.version][..], &self.chain_id, &self.account, &self.name].concat();
        write_alias(&mut head, &self.alias);
        head
    }

    fn associated(&self) -> Vec<u8> {
        [labels::tagged(labels::DEVICE_SHARE), self.head()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_file::{assert_opens_unchanged_alone, derived};
    use crate::envelope::KeyEncryptionKey as _;

    const OWNER: ([u8; 32], [u8; 32]) = ([1; 32], [2; 32]);
    const NAME: [u8; 32] = [5; 32];

    fn export_key(byte: u8) -> SecretBytes {
        SecretBytes::new(vec![byte; 64])
    }

    fn kept(len: usize) -> KeptShare {
        KeptShare { bytes: SecretBytes::new(vec![9; len]), expires_ms: 5 }
    }

    fn part(shares: &[usize]) -> SharePart {
        let shares = shares.iter().map(|len| kept(*len)).collect();
        let waiting = Waiting { entry: vec![7; 40], key: vec![8; 50], expires_ms: 99 };
        SharePart { shares, waiting: Some(waiting), ..SharePart::generate().unwrap() }
    }

    fn sealed(part: &SharePart) -> DeviceShare {
        DeviceShare::seal(&export_key(3), OWNER, NAME, "treasury", part).unwrap()
    }

    #[test]
    fn a_part_opens_under_its_export_key_alone_with_all_that_was_kept() {
        for shares in [&[][..], &[99, 515], &[SHARE_BYTES_MAX + 1], &[99, 700_000]] {
            let part = part(shares);
            let kept = DeviceShare::decode(&sealed(&part).encode()).unwrap();
            assert_eq!((kept.name, kept.alias.as_str()), (NAME, "treasury"));
            let opened = kept.open(&export_key(3)).unwrap();
            assert_eq!(opened.signing.public_key(), part.signing.public_key());
            assert_eq!(opened.sealing.public(), part.sealing.public());
            assert_eq!(opened.waiting, part.waiting);
            assert_eq!(opened.shares.iter().map(|share| share.bytes.len()).collect::<Vec<_>>(), shares);
            assert!(opened.shares.iter().all(|share| share.expires_ms == 5));
            assert!(matches!(kept.open(&export_key(4)), Err(DeviceKeyError::Refused(_))));
        }
    }

    #[test]
    fn another_account_ledger_name_or_alias_does_not_open_it() {
        let good = sealed(&part(&[99]));
        let swapped = [
            DeviceShare { chain_id: [9; 32], ..good.clone() },
            DeviceShare { account: [9; 32], ..good.clone() },
            DeviceShare { name: [9; 32], ..good.clone() },
            DeviceShare { alias: "treasurx".to_owned(), ..good },
        ];
        for sealed in swapped {
            assert!(matches!(sealed.open(&export_key(3)), Err(DeviceKeyError::Refused(_))));
        }
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_refused() {
        let sealed = sealed(&SharePart { waiting: None, ..part(&[99]) }).encode();
        let opens =
            |bytes: &[u8]| DeviceShare::decode(bytes).and_then(|kept| kept.open(&export_key(3))).is_ok();
        assert_opens_unchanged_alone(&sealed, opens);
    }

    #[test]
    fn a_key_of_mode_self_does_not_open_as_a_part_nor_the_other_way_round() {
        let key = SigningKey::generate(Scheme::Ed25519).unwrap();
        let file = crate::DeviceKey::seal(&export_key(3), OWNER, &key, Some("treasury")).unwrap();
        let read = DeviceShare::decode(&file.encode()).and_then(|kept| kept.open(&export_key(3)));
        assert!(read.is_err());
        let read = crate::DeviceKey::decode(&sealed(&part(&[99])).encode());
        assert!(read.and_then(|kept| kept.open(&export_key(3))).is_err());
    }

    #[test]
    fn what_does_not_fit_is_not_sealed() {
        for (alias, part) in
            [("", part(&[99])), ("a", part(&[LONG_SHARE_BYTES_MAX + 1])), ("a", part(&[9; SHARES_MAX + 1]))]
        {
            assert!(DeviceShare::seal(&export_key(3), OWNER, NAME, alias, &part).is_err());
        }
    }

    #[test]
    fn the_long_form_has_the_golden_bytes_and_each_part_one_form() {
        const LONG: usize = SHARE_BYTES_MAX + 1;
        let part = SharePart {
            signing: SigningKey::from_secret(Scheme::Ed25519, &[6; 32]).unwrap(),
            sealing: BoxKey::from_secret(&[7; 32]).unwrap(),
            shares: vec![KeptShare { expires_ms: 6, ..kept(LONG) }],
            waiting: None,
        };
        let keys = [&[6; 32][..], &[7; 32], &[1, 0, 0, 0, 0, 0, 0, 0, 6]].concat();
        let plain = [&keys[..], &[0, 0, 4, 1], &[9; LONG], &[0]].concat();
        assert_eq!(part.encode().unwrap().as_slice(), plain);
        let sealed =
            DeviceShare::seal_with(&export_key(3), OWNER, (NAME, "treasury"), &part, [4; 12]).unwrap();
        let head = [&[2][..], &[1; 32], &[2; 32], &[5; 32], &[8], b"treasury"].concat();
        let associated = [b"\x17keyward/device-share/v1", &head[..]].concat();
        let ciphertext = derived(&export_key(3)).unwrap().encrypt(&[4; 12], &associated, &plain).unwrap();
        assert_eq!(sealed.encode(), [&head[..], &[4; 12], &ciphertext].concat());

        let short = [&keys[..], &[0, 99], &[9; 99], &[0]].concat();
        let short_as_long = [&keys[..], &[0, 0, 0, 99], &[9; 99], &[0]].concat();
        let long_as_short = [&keys[..], &[4, 1], &[9; LONG], &[0]].concat();
        let reads = |plain: &[u8], version| SharePart::decode(plain, version).is_some();
        assert!(reads(&plain, VERSION_LONG) && reads(&short, VERSION));
        assert!(!reads(&short_as_long, VERSION_LONG) && !reads(&long_as_short, VERSION));
        assert!(!reads(&plain, VERSION) && !reads(&short, VERSION_LONG));
    }

    #[test]
    fn the_file_has_the_golden_bytes() {
        let part = SharePart {
            signing: SigningKey::from_secret(Scheme::Ed25519, &[6; 32]).unwrap(),
            sealing: BoxKey::from_secret(&[7; 32]).unwrap(),
            shares: vec![KeptShare { expires_ms: 6, ..kept(99) }],
            waiting: Some(Waiting { entry: vec![1, 2], key: vec![3], expires_ms: 4 }),
        };
        let plain = [
            &[6; 32][..],
            &[7; 32],
            &[1, 0, 0, 0, 0, 0, 0, 0, 6, 0, 99],
            &[9; 99],
            &[1, 0, 0, 0, 0, 0, 0, 0, 4],
        ]
        .concat();
        let plain = [&plain[..], &[0, 0, 0, 2, 1, 2, 0, 0, 0, 1, 3]].concat();
        assert_eq!(part.encode().unwrap().as_slice(), plain);
        let head = [&[1][..], &[1; 32], &[2; 32], &[5; 32], &[8], b"treasury"].concat();
        let sealed =
            DeviceShare::seal_with(&export_key(3), OWNER, (NAME, "treasury"), &part, [4; 12]).unwrap();
        let ciphertext = derived(&export_key(3)).unwrap().encrypt(
            &[4; 12],
            &[b"\x17keyward/device-share/v1", &head[..]].concat(),
            &plain,
        );
        assert_eq!(sealed.encode(), [&head[..], &[4; 12], &ciphertext.unwrap()].concat());
    }
}
