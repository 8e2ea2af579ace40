//! What each container runs: it marks its beginning and its end, and sees by locks whether it may be there at all.
//!
//! The kernel lets go of a lock when the process that holds it dies, however it dies. So a lock that is taken is another
//! live process: of the same run, or more of a limit than it allows.

use std::{
    fs::{File, OpenOptions},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    thread,
    time::Duration,
};

/// The file in which every task marks its beginning and its end.
pub(crate) const MARKS: &str = "marks";

/// The file for what must not be.
pub(crate) const FAULTS: &str = "faults";

/// A failure that may pass, and does at the second attempt.
const TEMPORARY: u8 = 75;

/// Runs one task, `limits` being `NAME:COUNT` each.
pub(crate) fn run(dir: &Path, rule: &str, key: &str, limits: &[&str]) -> ExitCode {
    match task(dir, rule, key, limits) {
        Ok(exit_code) => ExitCode::from(exit_code),
        Err(_) => ExitCode::FAILURE,
    }
}

fn task(dir: &Path, rule: &str, key: &str, limits: &[&str]) -> io::Result<u8> {
    let run = format!("{rule}-{}", key.replace('/', "_"));
    let task = task_id()?;
    mark(dir, MARKS, &format!("begin {rule} {key} {task}"))?;
    let alone = try_lock(&dir.join(format!("run-{run}")))?;
    if alone.is_none() {
        mark(dir, FAULTS, &format!("two live tasks of {rule} {key}"))?;
    }
    let mut slots = Vec::new();
    for limit in limits {
        let (name, count) = limit.split_once(':').unwrap_or((limit, "1"));
        let slot = (0..count.parse::<u32>().unwrap_or(1))
            .find_map(|slot| try_lock(&dir.join(format!("limit-{name}-{slot}"))).transpose());
        match slot.transpose()? {
            Some(slot) => slots.push(slot),
            None => mark(dir, FAULTS, &format!("more than {limit} with {rule} {key}"))?,
        }
    }
    let mut hash = DefaultHasher::new();
    (rule, key).hash(&mut hash);
    thread::sleep(Duration::from_millis(20 + hash.finish() % 400));
    let is_first = || File::create_new(dir.join(format!("tried-{run}"))).is_ok();
    let exit_code = if rule == "flaky" && is_first() { TEMPORARY } else { 0 };
    mark(dir, MARKS, &format!("end {rule} {key} {task}"))?;
    Ok(exit_code)
}

/// The id of the task, which is in the path of its directory.
fn task_id() -> io::Result<String> {
    let dir = std::env::current_dir()?;
    let is_id = |name: &str| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut names = dir.iter().filter_map(|name| name.to_str());
    names.find(|name| is_id(name)).map(str::to_owned).ok_or(io::ErrorKind::NotFound.into())
}

/// The lock, unless another process has it.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    Ok(file.try_lock().is_ok().then_some(file))
}

/// Adds a line, in one write: several tasks write at once, and each may be killed at any moment.
fn mark(dir: &Path, name: &str, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(dir.join(name))?;
    file.write_all(format!("{line}\n").as_bytes())
}
