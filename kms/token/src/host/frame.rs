//! Frames on a pipe: a `u32` length in big-endian, then so many bytes; at most 4 MiB.
//!
//! Version 1. The parent begins with a frame of `KWTH`, its version (`u16`) and for how many milliseconds one call
//! may last (`u64`) and how many threads may use the module (`u16`); the child answers with `KWTH` and its own version, then one byte: 1 when the module has started, or 0 and why it has not. After that the parent sends
//! requests (`u64` number, `u64` milliseconds it may take, the request), and the child answers each, in any order
//! (`u64` number, one byte 1 and the answer, or 0 and the error). Number 0: nobody waits for the answer; an error
//! under it is what a child says before it ends by itself.

use std::io::{self, Read, Write};
use std::time::Duration;

use zeroize::Zeroizing;

use super::wire::{Reader, Wire, buffer_for, buffer_of};
use crate::doing::millis;
use crate::error::TokenError;
use crate::queue::Outcome;
use crate::request::{Answer, Request};

/// Longer frames end the connection.
const FRAME_BYTES_MAX: usize = 4 << 20;
/// What both sides speak.
const VERSION: u16 = 1;
const MAGIC: [u8; 4] = *b"KWTH";

/// The bytes of one frame, wiped on drop.
pub(super) type Frame = Zeroizing<Vec<u8>>;

/// Reads a frame; none at the end of the pipe. The reader keeps no buffer: what it holds back would not be wiped.
pub(super) fn read_frame(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut length = [0; 4];
    let got = loop {
        match from.read(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            got => break got?,
        }
    };
    if got == 0 {
        return Ok(None);
    }
    from.read_exact(length.get_mut(got..).unwrap_or_default())?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(malformed("a frame longer than 4 MiB"));
    }
    let mut frame = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut frame)?;
    Ok(Some(frame))
}

/// Writes a frame.
pub(super) fn write_frame(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    if frame.len() > FRAME_BYTES_MAX {
        return Err(malformed("a frame longer than 4 MiB"));
    }
    to.write_all(&u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes())?;
    to.write_all(frame)?;
    to.flush()
}

/// What a side says that breaks the rules.
pub(super) fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The parent's first frame.
pub(super) fn hello(patience: Duration, threads: usize) -> Frame {
    let mut frame = name();
    millis(patience).write(&mut frame);
    u16::try_from(threads).unwrap_or(u16::MAX).write(&mut frame);
    frame
}

fn name() -> Frame {
    let mut frame = Zeroizing::new(MAGIC.to_vec());
    VERSION.write(&mut frame);
    frame
}

/// The patience and the number of threads in the parent's first frame.
pub(super) fn read_hello(frame: &[u8]) -> io::Result<(Duration, usize)> {
    let mut reader = Reader::new(read_name(frame)?);
    match (u64::read(&mut reader), u16::read(&mut reader)) {
        (Some(patience_ms), Some(threads)) => Ok((Duration::from_millis(patience_ms), usize::from(threads))),
        _ => Err(malformed("a greeting that is cut off")),
    }
}

/// The child's answer to it.
pub(super) fn hello_back(started: Result<(), &TokenError>) -> Frame {
    let mut frame = name();
    started.is_ok().write(&mut frame);
    if let Err(error) = started {
        error.write(&mut frame);
    }
    frame
}

/// Whether these are the first bytes of somebody who speaks our version.
fn read_name(frame: &[u8]) -> io::Result<&[u8]> {
    let rest = frame.strip_prefix(&MAGIC).ok_or_else(|| malformed("not a token host"))?;
    match rest.split_first_chunk::<2>() {
        Some((version, rest)) if *version == VERSION.to_be_bytes() => Ok(rest),
        _ => Err(malformed("a token host of another version")),
    }
}

/// The child's answer to the greeting.
pub(super) fn read_hello_back(frame: &[u8]) -> io::Result<Result<(), TokenError>> {
    let rest = read_name(frame)?;
    let mut reader = Reader::new(rest);
    let started = match bool::read(&mut reader) {
        Some(true) => Some(Ok(())),
        Some(false) => TokenError::read(&mut reader).map(Err),
        None => None,
    };
    started.ok_or_else(|| malformed("a greeting that is cut off"))
}

/// A request as it travels.
pub(super) fn ask(number: u64, left_ms: u64, request: &Request) -> Frame {
    let mut frame = buffer_for(request);
    number.write(&mut frame);
    left_ms.write(&mut frame);
    request.write(&mut frame);
    frame
}

/// What [`ask`] wrote.
pub(super) fn asked(frame: &[u8]) -> Option<(u64, u64, Request)> {
    super::wire::decoded::<(u64, u64, Request)>(frame)
}

/// An outcome as it travels.
pub(super) fn tell(number: u64, outcome: &Outcome) -> Frame {
    let mut frame = buffer_of(outcome);
    number.write(&mut frame);
    outcome.is_ok().write(&mut frame);
    match outcome {
        Ok(answer) => answer.write(&mut frame),
        Err(error) => error.write(&mut frame),
    }
    frame
}

/// What [`tell`] wrote.
pub(super) fn told(frame: &[u8]) -> Option<(u64, Outcome)> {
    super::wire::decoded::<(u64, Outcome)>(frame)
}

impl Wire for (u64, u64, Request) {
    fn write(&self, to: &mut Vec<u8>) {
        self.0.write(to);
        self.1.write(to);
        self.2.write(to);
    }
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some((u64::read(from)?, u64::read(from)?, Request::read(from)?))
    }
}

impl Wire for (u64, Outcome) {
    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&tell(self.0, &self.1));
    }
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let number = u64::read(from)?;
        let outcome = if bool::read(from)? { Ok(Answer::read(from)?) } else { Err(TokenError::read(from)?) };
        Some((number, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_bounded_and_whole() {
        let mut pipe = Vec::new();
        write_frame(&mut pipe, b"abc").unwrap();
        assert_eq!(read_frame(&mut &pipe[..]).unwrap().unwrap().as_slice(), b"abc");
        assert!(read_frame(&mut &b""[..]).unwrap().is_none());
        for cut in 1..pipe.len() {
            assert!(read_frame(&mut &pipe[..cut]).is_err(), "cut to {cut}");
        }
        assert!(read_frame(&mut &u32::MAX.to_be_bytes()[..]).is_err());
        assert!(write_frame(&mut Vec::new(), &vec![0; FRAME_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn another_version_is_refused() {
        let patience = Duration::from_secs(3);
        assert_eq!(read_hello(&hello(patience, 8)).unwrap(), (patience, 8));
        for other in [&b""[..], b"KWTH", b"KWTH\0\x02", b"KWTX\0\x01", b"KWTH\0\x01"] {
            assert!(read_hello(other).is_err());
        }
        assert!(matches!(read_hello_back(&hello_back(Ok(()))), Ok(Ok(()))));
        let error = TokenError::NoFreeSlot {};
        assert!(matches!(read_hello_back(&hello_back(Err(&error))), Ok(Err(TokenError::NoFreeSlot {}))));
    }
}
