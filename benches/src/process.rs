//! What the system says of processes: time on processors, memory.

use std::fs;

use anyhow::Context as _;

/// The unit of times in `/proc`: the kernel's `USER_HZ` is 100 on every architecture that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds on processors of a process itself, all its threads.
pub(crate) fn processor_seconds(pid: u32) -> anyhow::Result<f64> {
    ticks(&format!("/proc/{pid}/stat"), [14, 15])
}

/// Seconds on processors of all processes that this one started, once they have ended and were waited for, with theirs.
pub(crate) fn processor_seconds_of_ended_children() -> anyhow::Result<f64> {
    ticks("/proc/self/stat", [16, 17])
}

/// The sum of two fields of a `stat` file, counted from 1 as `proc_pid_stat(5)` does.
fn ticks(path: &str, fields: [usize; 2]) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    // The second field is the program's name in brackets, and may hold blanks.
    let (_, behind_name) = stat.rsplit_once(") ").context("a stat file without a name")?;
    let behind_name: Vec<&str> = behind_name.split(' ').collect();
    let mut ticks = 0.0;
    for field in fields {
        let text = behind_name.get(field - 3).context("a stat file without times")?;
        ticks += text.parse::<f64>()?;
    }
    Ok(ticks / TICKS_PER_SECOND)
}

/// The most memory that a process had at once, in MB of 2^20 bytes (`VmHWM`).
pub(crate) fn peak_memory_mb(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.context("no VmHWM")?.trim().trim_end_matches(" kB").parse::<f64>()?;
    Ok(kilobytes / 1024.0)
}
