//! Reading segment files back on open: headers alone in full segments, every byte in the last one.
use super::{
    index::{Index, Location},
    record::{HEADER_BYTES, Header, MAGIC, Tag},
};
use std::{fs::File, io, os::unix::fs::FileExt as _};

/// A segment's bytes, wherever they lie.
pub(super) trait ReadAt {
    /// Fills the buffer; [`io::ErrorKind::UnexpectedEof`] if the bytes end before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    fn length(&self) -> io::Result<u64>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// What a segment held.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Where the records end: the place to write on.
    pub(super) end: u64,
    /// Offsets of stretches that do not check, with good records behind them.
    pub(super) damaged: Vec<u64>,
    /// The highest block that a record is about.
    pub(super) newest: Option<u64>,
}

/// Puts a segment's records into the index. `bodies`: check them too.
pub(super) fn scan(file: &dyn ReadAt, segment: u32, bodies: bool, index: &mut Index) -> io::Result<Scanned> {
    records(file, bodies, |offset, header| enter(index, segment, offset, header))
}

/// Hands out a segment's records. `bodies`: check them too.
pub(super) fn records(
    file: &dyn ReadAt,
    bodies: bool,
    mut take: impl FnMut(u64, &Header),
) -> io::Result<Scanned> {
    let length = file.length()?;
    let mut scanned = Scanned::default();
    let mut offset = 0;
    while offset < length {
        let found = match header_at(file, offset, length)? {
            Some(header) if !bodies || body_fits(file, offset, &header)? => Some(header),
            _ => None,
        };
        let Some(header) = found else {
            // Nothing good behind it: a torn tail. Otherwise: damage, skipped.
            let Some(next) = next_good(file, offset + 1, length)? else { break };
            scanned.damaged.push(offset);
            offset = next;
            continue;
        };
        take(offset, &header);
        scanned.newest = scanned.newest.max(header.about());
        offset += header.extent();
        scanned.end = offset;
    }
    Ok(scanned)
}

pub(super) fn enter(index: &mut Index, segment: u32, offset: u64, header: &Header) {
    match header.tag {
        Tag::Holds(kind) => {
            let location = Location { segment, offset, length: header.length };
            index.insert(kind, header.height, header.digest, location);
        }
        Tag::Voids(kind) => index.remove(kind, header.height),
        Tag::Fills => {}
    }
}

/// The bytes of the record at `offset` if all of it checks and ends at `end` or before.
pub(super) fn good_extent(file: &dyn ReadAt, offset: u64, end: u64) -> io::Result<Option<u64>> {
    let found = match header_at(file, offset, end) {
        Ok(Some(header)) if body_fits(file, offset, &header)? => Some(header.extent()),
        Ok(_) => None,
        // Somebody cut the file off.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
        Err(error) => return Err(error),
    };
    Ok(found)
}

/// The header at `offset`, if it checks and its record ends inside the file.
fn header_at(file: &dyn ReadAt, offset: u64, length: u64) -> io::Result<Option<Header>> {
    if length - offset < HEADER_BYTES as u64 {
        return Ok(None);
    }
    let mut bytes = [0; HEADER_BYTES];
    file.read_at(&mut bytes, offset)?;
    Ok(Header::decode(&bytes).filter(|header| header.extent() <= length - offset))
}

fn body_fits(file: &dyn ReadAt, offset: u64, header: &Header) -> io::Result<bool> {
    let mut body = vec![0; header.length as usize];
    match file.read_at(&mut body, offset + HEADER_BYTES as u64) {
        Ok(()) => Ok(header.fits(&body)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The next offset at which a whole good record lies.
pub(super) fn next_good(file: &dyn ReadAt, from: u64, length: u64) -> io::Result<Option<u64>> {
    let length = length.min(file.length()?);
    let mut rest = vec![0; usize::try_from(length.saturating_sub(from)).map_err(io::Error::other)?];
    file.read_at(&mut rest, from)?;
    let starts = rest.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
    for (start, _) in starts {
        let offset = from + start as u64;
        if let Some(header) = header_at(file, offset, length)?
            && body_fits(file, offset, &header)?
        {
            return Ok(Some(offset));
        }
    }
    Ok(None)
}
