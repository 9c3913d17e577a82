//! CPU time: of our own process and threads by their clocks, of others from `/proc`.

use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What a process of Keyward does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Validator,
    Service,
}

/// A process of Keyward on this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    id: u32,
    part: Part,
}

/// CPU time used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) validators: Duration,
    pub(super) service: Duration,
    pub(super) load: Duration,
    /// Of the whole machine, where the system tells.
    pub(super) machine: Duration,
}

impl Usage {
    /// What was used since an earlier look.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            validators: self.validators.saturating_sub(before.validators),
            service: self.service.saturating_sub(before.service),
            load: self.load.saturating_sub(before.load),
            machine: self.machine.saturating_sub(before.machine),
        }
    }

    /// Of everything that is ours.
    pub(super) fn total(&self) -> Duration {
        self.validators + self.service + self.load
    }
}

/// The running children of the supervisor of a folder.
pub(super) fn processes(root: &Path) -> Vec<Process> {
    let (Ok(root), Ok(entries)) = (root.canonicalize(), std::fs::read_dir("/proc")) else {
        return Vec::new();
    };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id| {
        Some(Process { id, part: part(&std::fs::read(format!("/proc/{id}/cmdline")).ok()?, &root)? })
    })
    .collect()
}

/// Whether a command line is `keyward node|serve .. --config FILE`, with a file below the folder.
fn part(command_line: &[u8], root: &Path) -> Option<Part> {
    let arguments: Vec<_> = command_line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let part = match arguments.get(1)?.as_ref() {
        "node" => Part::Validator,
        "serve" => Part::Service,
        _ => return None,
    };
    let config = arguments.iter().skip_while(|argument| *argument != "--config").nth(1)?;
    Path::new(config.as_ref()).canonicalize().ok()?.starts_with(root).then_some(part)
}

/// What everything used so far; processes that have ended count nothing.
pub(super) fn usage(processes: &[Process]) -> Usage {
    let of = |part| processes.iter().filter(|process| process.part == part).map(of_process).sum();
    Usage {
        validators: of(Part::Validator),
        service: of(Part::Service),
        load: clock(ClockId::ProcessCPUTime),
        machine: of_machine(),
    }
}

/// What the calling thread used so far.
pub(super) fn of_thread() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> Duration {
    Duration::try_from(clock_gettime(id)).unwrap_or_default()
}

fn of_process(process: &Process) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id)).unwrap_or_default();
    ticks(stat_ticks(&stat))
}

/// User and system time; the name before them may hold anything but ends with the last `)`.
fn stat_ticks(stat: &str) -> u64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_ascii_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Time in which the machine was neither idle nor waiting for a disk.
fn of_machine() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; what follows stands in `user` already.
    let fields = line.split_ascii_whitespace().skip(1).take(8).enumerate();
    let busy = fields
        .filter(|(place, _)| !matches!(place, 3 | 4))
        .filter_map(|(_, field)| field.parse::<u64>().ok());
    ticks(busy.sum())
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 123 77 0 0 20 0 9 0 11 12";
        assert_eq!(stat_ticks(stat), 200);
        assert_eq!(stat_ticks(""), 0);
    }

    #[test]
    fn a_busy_thread_uses_time() {
        let (before, own) = (of_thread(), usage(&[]));
        let mut sum = 0_u64;
        while of_thread() < before + Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(usage(&[]).since(&own).load >= Duration::from_millis(5));
    }

    #[test]
    fn only_children_of_the_folder_count() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let config = root.join("node.toml");
        std::fs::write(&config, "").unwrap();
        let line = |verb: &str, config: &Path| {
            format!("keyward\0{verb}\0--config\0{}\0", config.display()).into_bytes()
        };
        assert_eq!(part(&line("node", &config), &root), Some(Part::Validator));
        assert_eq!(part(&line("serve", &config), &root), Some(Part::Service));
        assert_eq!(part(&line("up", &config), &root), None);
        assert_eq!(part(&line("node", Path::new("/dev/null")), &root), None);
    }
}
