//! How long what comes from outside may be in a run's record, so that every store can keep it, whatever an event holds.
//!
//! A store refuses a record past its own bounds for good: DynamoDB an item of more than 400 KB, and a partition key of more
//! than 2,048 bytes. Asked by `plan` for keys, by `run` for what is kept of an event, and by `lifecycle` for each record that
//! is to be written. What is cut here is shown to people; nothing is decided by it.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>

use crate::{
    digest,
    run::{Attempt, Run},
};

/// The longest key in bytes. With the name of its limit it makes a partition key; S3's longest object key is 1,024.
pub const KEY_BYTES_MAX: usize = 1536;

/// How much of a longer key is kept for people.
const KEY_BEGINNING_BYTES: usize = 256;

/// The longest `RunTask` request in bytes, but for what an attempt adds. A record has two, the first and the last.
pub const REQUEST_BYTES_MAX: usize = 32 * 1024;

/// The most attempts of a run, whatever its rule's budgets come to together.
pub const ATTEMPTS_MAX: usize = 300;

/// The longest record in bytes of JSON: an item's 400 KB without what stands beside the record.
pub const RECORD_BYTES_MAX: usize = 380_000;

/// About how long an attempt is whose texts are empty.
const ATTEMPT_BYTES: usize = 256;
/// Attempts of which less is told than this make no record that is too long: JSON has six bytes for one at most.
const TOLD_BYTES_MIN: usize = 48 * 1024;

/// The longest of what is a name.
const NAME_BYTES_MAX: usize = 256;
/// The longest of what ECS or a person says.
const TEXT_BYTES_MAX: usize = 1024;
/// The longest reason of a run: it may quote several of those.
const REASON_BYTES_MAX: usize = 2048;
/// How many containers of a task are told; a task definition has ten.
const CONTAINERS_MAX: usize = 20;

/// The key itself, or, of one that is too long, its beginning and a digest of the whole: different keys stay different, so
/// that limits hold and repeated events are known.
pub fn key(key: String) -> String {
    if key.len() <= KEY_BYTES_MAX {
        return key;
    }
    let digest = digest::hex(&["key", &key]);
    format!("{}…{digest}", &key[..key.floor_char_boundary(KEY_BEGINNING_BYTES)])
}

/// The text, cut where it is longer than a name.
pub(crate) fn name(text: &str) -> String {
    let mut text = text.to_owned();
    cut(&mut text, NAME_BYTES_MAX);
    text
}

/// Cuts the text, visibly, where it is longer than so many bytes; a second cut changes nothing.
fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max - '…'.len_utf8()));
        text.push('…');
    }
}

/// Brings what was said about the run to a length that a store takes.
pub(crate) fn fit(run: &mut Run) {
    if let Some(reason) = &mut run.reason {
        cut(reason, REASON_BYTES_MAX);
    }
    if let Some(stop) = &mut run.stop {
        cut(&mut stop.reason, TEXT_BYTES_MAX);
    }
    if let Some(attempt) = run.attempts.last_mut() {
        fit_attempt(attempt);
    }
    // The last attempt alone is never too long, and mostly all of them together are far from it.
    let told: usize = run.attempts.iter().map(told_bytes).sum();
    if run.attempts.len() > 1 && told > TOLD_BYTES_MIN {
        forget_oldest(run);
    }
}

/// About how much stands in the record of the attempt.
fn told_bytes(attempt: &Attempt) -> usize {
    let texts = [&attempt.request, &attempt.stopped_reason, &attempt.cluster, &attempt.task_arn];
    let texts = texts.into_iter().flatten().map(String::len);
    let containers = attempt
        .containers
        .iter()
        .map(|container| container.name.len() + container.reason.as_ref().map_or(0, String::len));
    ATTEMPT_BYTES + texts.chain(containers).sum::<usize>()
}

fn fit_attempt(attempt: &mut Attempt) {
    for text in [&mut attempt.stop_code, &mut attempt.stopped_reason].into_iter().flatten() {
        cut(text, TEXT_BYTES_MAX);
    }
    attempt.containers.truncate(CONTAINERS_MAX);
    for container in &mut attempt.containers {
        cut(&mut container.name, NAME_BYTES_MAX);
        if let Some(reason) = &mut container.reason {
            cut(reason, TEXT_BYTES_MAX);
        }
    }
}

/// Leaves out what ECS said of the oldest attempts, as long as the record is too long: their numbers, tasks, times and classes
/// stay.
fn forget_oldest(run: &mut Run) {
    let mut size_bytes = size_bytes(run);
    for attempt in &mut run.attempts {
        if size_bytes <= RECORD_BYTES_MAX {
            return;
        }
        let before = self::size_bytes(attempt);
        attempt.containers.clear();
        attempt.stopped_reason = None;
        size_bytes -= before - self::size_bytes(attempt);
    }
}

fn size_bytes(record: &impl serde::Serialize) -> usize {
    serde_json::to_string(record).map_or(0, |text| text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        failure::FailureClass,
        lifecycle::tests,
        run::{ContainerExit, Status},
    };

    #[test]
    fn a_key_that_fits_is_the_key() {
        for text in [String::new(), "k".repeat(KEY_BYTES_MAX)] {
            assert_eq!(key(text.clone()), text);
        }
    }

    #[test]
    fn long_keys_are_short_and_stay_different() {
        let long = |end: &str| key(format!("{}{end}", "€".repeat(KEY_BYTES_MAX)));
        let (one, other) = (long("1"), long("2"));
        assert_ne!(one, other);
        assert_eq!(one, long("1"));
        assert!(one.starts_with('€') && one.len() <= KEY_BEGINNING_BYTES + 3 + 32, "{one}");
        // A key made of a key is its own.
        assert_eq!(key(one.clone()), one);
    }

    #[test]
    fn what_was_cut_once_is_not_cut_again() {
        let mut text = "é".repeat(100);
        cut(&mut text, 10);
        assert_eq!(text, "ééé…");
        let was = text.clone();
        cut(&mut text, 10);
        assert_eq!(text, was);
    }

    /// Whatever is said of the attempts, in the characters that JSON makes longest.
    #[test]
    fn the_longest_life_of_a_run_fits_a_store() {
        let mut run = tests::run(Status::Running);
        run.reason = Some("\u{1}".repeat(9_000));
        let mut attempt = run.attempts.remove(0);
        attempt.task_arn = Some(format!("arn:aws:ecs:{}", "x".repeat(200)));
        attempt.cluster = Some("c".repeat(255));
        attempt.stop_code = Some("EssentialContainerExited".to_owned());
        attempt.stopped_reason = Some("\u{1}".repeat(3_000));
        attempt.failure_class = Some(FailureClass::ExitCode);
        let exit = |_| ContainerExit {
            name: "\u{1}".repeat(1_000),
            exit_code: Some(1),
            reason: Some("\u{1}".repeat(3_000)),
        };
        attempt.containers = (0..25).map(exit).collect();
        fit_attempt(&mut attempt);
        for attempts in [1, 2, 3, ATTEMPTS_MAX] {
            // So many are long enough with few containers.
            attempt.containers.truncate(if attempts > 3 { 2 } else { CONTAINERS_MAX });
            run.attempts = vec![attempt.clone(); attempts];
            for index in [0, attempts - 1] {
                run.attempts[index].request = Some("\"".repeat(REQUEST_BYTES_MAX));
            }
            fit(&mut run);
            let size_bytes = size_bytes(&run);
            assert!(size_bytes <= RECORD_BYTES_MAX, "{attempts} attempts: {size_bytes} bytes");
            let fitted = run.clone();
            fit(&mut run);
            assert!(run == fitted, "{attempts} attempts: fitted twice");
            // What is recent is told as long as there is room.
            assert!(attempts > 3 || !run.attempts[attempts - 1].containers.is_empty());
        }
    }
}
