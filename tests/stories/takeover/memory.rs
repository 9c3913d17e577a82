//! What stands in the memory of a process that runs, read as a debugger would.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
};

use crate::attack::search::Needles;

const CHUNK_BYTES: usize = 1 << 20;
/// Longer than any needle: what lies across two chunks is found in the second.
const OVERLAP_BYTES: usize = 256;

/// Linux's number of the right to look into other processes.
const CAP_SYS_PTRACE: u32 = 19;

/// Whether the system lets this process look into those with secrets: root in a container often may not.
pub fn may_look() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(rights.trim(), 16).unwrap() & (1 << CAP_SYS_PTRACE) != 0
}

/// Which of the needles stand in the memory of a process that it may write to, and how many bytes were looked at. The system
/// does not let everybody look: processes with secrets forbid it to all but root.
pub fn search(process: u32, needles: &Needles) -> io::Result<(Vec<String>, usize)> {
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let (mut found, mut looked) = (Vec::new(), 0);
    for line in fs::read_to_string(format!("/proc/{process}/maps"))?.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        let Some((start, end)) = range.split_once('-').filter(|_| rights.starts_with("rw")) else { continue };
        let [mut at, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut chunk = vec![0; CHUNK_BYTES];
        while at < end {
            let length = usize::try_from(end - at).unwrap().min(CHUNK_BYTES);
            // A part may go while we look, or be no memory.
            let Ok(read) = memory.read_at(&mut chunk[..length], at) else { break };
            if read == 0 {
                break;
            }
            looked += read;
            found.extend(needles.within(&chunk[..read]).into_iter().map(str::to_owned));
            let step =
                if read > OVERLAP_BYTES && at + (read as u64) < end { read - OVERLAP_BYTES } else { read };
            at += step as u64;
        }
    }
    Ok((found, looked))
}
