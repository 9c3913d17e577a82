//! What every shelf promises.
use keyward_ledger_engine::{Folder, Shelf};
use std::io::{self, Read};

/// A body that ends with an error, as a disk that fails under it.
struct CutOff<'a>(&'a [u8]);

impl Read for CutOff<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("cut off")),
            bytes => Ok(bytes),
        }
    }
}

fn read(shelf: &dyn Shelf, segment: u32, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    shelf.read(segment, offset, &mut bytes).map(|()| bytes)
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

pub(super) fn contract(shelf: &dyn Shelf) {
    assert_eq!(shelf.mark().unwrap(), None);
    shelf.set_mark(&[2; 32]).unwrap();
    assert_eq!(kind(shelf.set_mark(&[1; 32])), io::ErrorKind::AlreadyExists);
    assert_eq!(shelf.mark().unwrap(), Some([2; 32]));

    assert_eq!(kind(read(shelf, 0, 0, 1)), io::ErrorKind::NotFound);
    assert_eq!(kind(shelf.length(0)), io::ErrorKind::NotFound);
    assert_eq!(kind(shelf.amend(0, &[(0, b"x".to_vec())])), io::ErrorKind::NotFound);

    let body: Vec<u8> = (0..20_000_000_u32).map(|n| n as u8).collect();
    assert_eq!(shelf.put(7, &mut body.as_slice()).unwrap(), body.len() as u64);
    assert_eq!(shelf.length(7).unwrap(), body.len() as u64);
    assert!(read(shelf, 7, 0, body.len()).unwrap() == body);
    assert_eq!(read(shelf, 7, 19_999_990, 10).unwrap(), body[19_999_990..]);
    assert_eq!(kind(read(shelf, 7, 19_999_990, 11)), io::ErrorKind::UnexpectedEof);
    assert_eq!(kind(read(shelf, 7, 20_000_001, 1)), io::ErrorKind::UnexpectedEof);

    assert!(read(shelf, 7, 30_000_000, 0).unwrap().is_empty(), "no bytes end nowhere");
    assert_eq!(kind(read(shelf, 9, 0, 0)), io::ErrorKind::NotFound);

    // Longer than goes up at a time, and cut off at the end. Half a segment is none, and takes nobody's place.
    assert!(shelf.put(8, &mut CutOff(&body)).is_err());
    assert_eq!(kind(shelf.length(8)), io::ErrorKind::NotFound);
    assert!(shelf.put(7, &mut CutOff(b"other")).is_err());
    assert!(read(shelf, 7, 0, body.len()).unwrap() == body);

    let mut amended = [body.as_slice(), b"end"].concat();
    amended[5..9].copy_from_slice(b"five");
    amended[12_000_000..12_000_003].copy_from_slice(b"mid");
    let patches = [(5, b"five".to_vec()), (12_000_000, b"mid".to_vec()), (20_000_000, b"end".to_vec())];
    shelf.amend(7, &patches).unwrap();
    assert_eq!(shelf.length(7).unwrap(), 20_000_003);
    assert!(read(shelf, 7, 0, amended.len()).unwrap() == amended);

    shelf.put(7, &mut b"new".as_slice()).unwrap();
    assert_eq!((shelf.length(7).unwrap(), read(shelf, 7, 0, 3).unwrap()), (3, b"new".to_vec()));
    shelf.put(u32::MAX, &mut b"".as_slice()).unwrap();
    assert_eq!(shelf.length(u32::MAX).unwrap(), 0);
    assert_eq!(shelf.mark().unwrap(), Some([2; 32]));
}

#[test]
fn a_folder_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract(&Folder::new(&folder.path().join("shelf")));
}

#[test]
fn a_folder_is_made_only_where_the_one_above_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let unmounted = Folder::new(&folder.path().join("disk/shelf"));
    assert!(unmounted.set_mark(&[1; 32]).is_err());
    assert_eq!(unmounted.mark().unwrap(), None);
    assert!(!folder.path().join("disk").exists());
}
