//! Faults on request: what goes wrong of what may go wrong on AWS, so that one can see what becomes of it.
//!
//! [`Faults`] is what was asked for, and decides: a fault and a number drawn by lot in, whether it happens out. `Dice`
//! draws, and tells whoever listens of each fault that was made, so that none is taken for a real one. What a fault is stands
//! where it is made: `run_task`, `lifecycle`, `events`, and `Ecs::answer`. Nothing is drawn for a fault that nobody asked for.

use std::{
    fmt,
    hash::{BuildHasher as _, Hash, RandomState},
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::Value;
use tokio::sync::broadcast;

use crate::protocol::{Answer, Exception};

/// How many faults a listener may lag behind before it only learns their number.
const BEHIND_MAX: usize = 256;

/// Whether calls of an operation are throttled: those by which tasks are launched and followed.
fn is_throttled(operation: &str) -> bool {
    matches!(operation, "RunTask" | "StopTask" | "DescribeTasks" | "ListTasks")
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Fault {
    /// A call is refused for there are too many, and has no effect.
    Throttle,
    /// `RunTask` answers 200 with `failures[]`, and there is no task.
    Failures,
    /// A call has its effect, and its client gets no answer.
    LostResponse,
    /// A Task State Change is delivered twice.
    DuplicateEvent,
    /// A Task State Change arrives after later ones.
    ReorderedEvent,
    /// A task takes its time to start.
    SlowStart,
    /// A task on Fargate Spot is told to stop, as its capacity is wanted elsewhere.
    SpotInterruption,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Throttle,
        Self::Failures,
        Self::LostResponse,
        Self::DuplicateEvent,
        Self::ReorderedEvent,
        Self::SlowStart,
        Self::SpotInterruption,
    ];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Failures => "failures",
            Self::LostResponse => "lost-response",
            Self::DuplicateEvent => "duplicate-event",
            Self::ReorderedEvent => "reordered-event",
            Self::SlowStart => "slow-start",
            Self::SpotInterruption => "spot-interruption",
        }
    }
}

/// How often a fault happens: in millionths of the times that it could.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Share(u32);

impl Share {
    const ALWAYS: u32 = 1_000_000;

    /// A percentage, such as `10%` or `0.5%`.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix('%')?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return None;
        }
        let asked = digits.parse::<f64>().ok()? * f64::from(Self::ALWAYS / 100);
        // However seldom it is asked for, it is asked for.
        let millionths = if asked > 0.0 { asked.round().max(1.0) } else { 0.0 };
        if millionths > f64::from(Self::ALWAYS) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1,000,000"
        )]
        let millionths = millionths as u32;
        Some(Self(millionths))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / f64::from(Self::ALWAYS / 100))
    }
}

/// A part of [`Faults`] as it is written: `throttle=10%`, or `all=5%`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FaultShare {
    /// All of them if `None`.
    fault: Option<Fault>,
    share: Share,
}

/// Why a text asks for no fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// There is no such fault.
    #[error("there is no fault `{name}`; there are {known}", known = Known)]
    Unknown {
        /// What stands there.
        name: String,
    },
    /// It does not say how often.
    #[error("how often is not said: write a percentage from 0% to 100%, as in `{name}=10%`")]
    NoShare {
        /// The fault's name.
        name: String,
    },
    /// What it says of how often is no share.
    #[error("`{share}` is no share: write a percentage from 0% to 100%, as in `{name}=10%`")]
    BadShare {
        /// The fault's name.
        name: String,
        /// What stands there.
        share: String,
    },
}

/// The names, as a sentence has them.
struct Known;

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Fault::ALL.into_iter().try_for_each(|fault| write!(f, "{}, ", fault.name()))?;
        write!(f, "and {ALL} for each of them")
    }
}

/// What stands for every fault.
const ALL: &str = "all";

impl FromStr for FaultShare {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, share) = match text.split_once('=') {
            Some((name, share)) => (name, Some(share)),
            None => (text, None),
        };
        let fault = match Fault::ALL.into_iter().find(|fault| fault.name() == name) {
            None if name != ALL => return Err(Error::Unknown { name: name.to_owned() }),
            fault => fault,
        };
        let name = name.to_owned();
        let Some(text) = share else { return Err(Error::NoShare { name }) };
        match Share::parse(text) {
            Some(share) => Ok(Self { fault, share }),
            None => Err(Error::BadShare { name, share: text.to_owned() }),
        }
    }
}

/// The faults that are asked for, each with how often it happens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    shares: [Share; Fault::ALL.len()],
}

impl Faults {
    /// Whether any happens at all.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this one is asked for.
    pub fn has(&self, fault: Fault) -> bool {
        self.share(fault) != Share::default()
    }

    fn share(&self, fault: Fault) -> Share {
        self.shares[fault as usize]
    }

    /// Whether a fault happens to whom this number was drawn for.
    fn happens(&self, fault: Fault, drawn: u64) -> bool {
        drawn % u64::from(Share::ALWAYS) < u64::from(self.share(fault).0)
    }
}

/// Each says how often one happens; what is said later holds.
impl FromIterator<FaultShare> for Faults {
    fn from_iter<T: IntoIterator<Item = FaultShare>>(said: T) -> Self {
        let mut faults = Self::default();
        for FaultShare { fault, share } in said {
            match fault {
                Some(fault) => faults.shares[fault as usize] = share,
                None => faults.shares = [share; Fault::ALL.len()],
            }
        }
        faults
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = Fault::ALL.into_iter().filter(|fault| self.has(*fault));
        for (index, fault) in asked.enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}={}", fault.name(), self.share(fault))?;
        }
        Ok(())
    }
}

/// A fault that was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Made {
    /// Which.
    pub fault: Fault,
    /// To whom it happened.
    pub what: String,
}

/// A call in words: what was called, and for whom.
pub(super) fn call(operation: &str, started_by: Option<&str>) -> String {
    match started_by {
        Some(started_by) => format!("{operation} for {started_by}"),
        None => operation.to_owned(),
    }
}

/// Draws by lot which of the faults happen.
#[derive(Debug)]
pub(super) struct Dice {
    faults: Faults,
    /// The system's randomness, once for a process.
    seed: RandomState,
    throws: AtomicU64,
    made: broadcast::Sender<Made>,
}

impl Dice {
    pub(super) fn new(faults: Faults) -> Self {
        let (made, _) = broadcast::channel(BEHIND_MAX);
        Self { faults, seed: RandomState::new(), throws: AtomicU64::new(0), made }
    }

    /// Whether a fault happens this time.
    pub(super) fn happens(&self, fault: Fault) -> bool {
        self.faults.has(fault) && self.faults.happens(fault, self.throw())
    }

    /// Whether a fault happens to this one: for as long as this process lives, always the same.
    pub(super) fn happens_to(&self, fault: Fault, key: impl Hash) -> bool {
        self.faults.has(fault) && self.faults.happens(fault, self.seed.hash_one((fault, key)))
    }

    /// Heads or tails.
    pub(super) fn toss(&self) -> bool {
        self.throw().is_multiple_of(2)
    }

    fn throw(&self) -> u64 {
        self.seed.hash_one(self.throws.fetch_add(1, Ordering::Relaxed))
    }

    /// A throttle instead of the answer, if it happens to this call.
    pub(super) fn throttle(&self, operation: &str, request: &Value) -> Result<(), Exception> {
        if !is_throttled(operation) || !self.happens(Fault::Throttle) {
            return Ok(());
        }
        let call = call(operation, request["startedBy"].as_str());
        self.tell(Fault::Throttle, format!("{call} is answered with a ThrottlingException"));
        // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
        Err(Exception::client("ThrottlingException", "Rate exceeded"))
    }

    /// Whether the answer to this call is lost on its way. One that tells of nothing done is not: there would be nothing to it.
    pub(super) fn loses(&self, operation: &str, answer: &Answer) -> bool {
        let Ok(answer) = answer else { return false };
        let task = match operation {
            "RunTask" => &answer["tasks"][0],
            "StopTask" => &answer["task"],
            _ => return false,
        };
        if task.is_null() || !self.happens(Fault::LostResponse) {
            return false;
        }
        let call = call(operation, task["startedBy"].as_str());
        self.tell(
            Fault::LostResponse,
            format!("{call} is done, and its connection closed without an answer"),
        );
        true
    }

    /// Tells of a fault that was made.
    pub(super) fn tell(&self, fault: Fault, what: impl Into<String>) {
        // Nobody need listen.
        let _told = self.made.send(Made { fault, what: what.into() });
    }

    /// What is told from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Made> {
        self.made.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(said: &[&str]) -> Faults {
        said.iter().map(|said| said.parse::<FaultShare>().unwrap()).collect()
    }

    #[track_caller]
    fn check_refused(said: &str, expected: &str) {
        assert_eq!(said.parse::<FaultShare>().unwrap_err().to_string(), expected);
    }

    #[test]
    fn each_fault_is_asked_for_by_its_name() {
        for fault in Fault::ALL {
            let asked = faults(&[&format!("{}=10%", fault.name())]);
            let has: Vec<_> = Fault::ALL.into_iter().filter(|fault| asked.has(*fault)).collect();
            assert_eq!(has, [fault]);
        }
    }

    #[test]
    fn what_is_said_later_holds() {
        let asked = faults(&["throttle=1%", "all=5%", "slow-start=0%", "failures=0.25%"]);
        let expected = "throttle=5%, failures=0.25%, lost-response=5%, duplicate-event=5%, \
                        reordered-event=5%, spot-interruption=5%";
        assert_eq!(asked.to_string(), expected);
        assert!(!asked.is_none());
        assert!(faults(&["all=5%", "all=0%"]).is_none());
        assert!(faults(&[]).is_none());
    }

    #[test]
    fn a_share_is_a_percentage() {
        for (text, millionths) in
            [("0%", 0), ("0.0001%", 1), ("1%", 10_000), ("33.3%", 333_000), ("100%", 1_000_000)]
        {
            assert_eq!(Share::parse(text), Some(Share(millionths)), "{text}");
            assert_eq!(Share(millionths).to_string(), text);
        }
        assert_eq!(Share::parse("0.00000001%"), Some(Share(1)), "seldom is not never");
        for text in ["", "%", "10", "-1%", "+1%", "100.1%", "1e1%", "inf%", "nan%", "1.2.3%", "5 %"]
        {
            assert_eq!(Share::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_asks_for_no_fault_is_refused_with_what_there_is() {
        check_refused(
            "trottle=10%",
            "there is no fault `trottle`; there are throttle, failures, lost-response, duplicate-event, reordered-event, \
             slow-start, spot-interruption, and all for each of them",
        );
        check_refused(
            "throttle",
            "how often is not said: write a percentage from 0% to 100%, as in `throttle=10%`",
        );
        check_refused(
            "all=150%",
            "`150%` is no share: write a percentage from 0% to 100%, as in `all=10%`",
        );
    }

    #[test]
    fn a_fault_happens_to_its_share_of_all_numbers() {
        let asked = faults(&["throttle=10%", "failures=100%"]);
        let happens = |fault| (0..1_000_000).filter(|drawn| asked.happens(fault, *drawn)).count();
        assert_eq!(happens(Fault::Throttle), 100_000);
        assert_eq!(happens(Fault::Failures), 1_000_000);
        assert_eq!(happens(Fault::LostResponse), 0);
    }

    #[test]
    fn dice_fall_as_often_as_they_should_and_the_same_for_the_same() {
        let dice = Dice::new(faults(&["throttle=50%", "failures=50%"]));
        // 4,000 throws: to be off by ten times the deviation is not to be seen in the age of the universe.
        let near_half = |count: usize| (1_600..2_400).contains(&count);
        assert!(near_half((0..4_000).filter(|_| dice.happens(Fault::Throttle)).count()));
        assert!(near_half((0..4_000).filter(|_| dice.toss()).count()));
        let fails = |key: &usize| dice.happens_to(Fault::Failures, key);
        let failed: Vec<_> = (0..4_000).filter(fails).collect();
        assert!(near_half(failed.len()));
        assert_eq!((0..4_000).filter(fails).collect::<Vec<_>>(), failed);
        assert_eq!(dice.throws.load(Ordering::Relaxed), 8_000);
        assert!(!dice.happens(Fault::LostResponse));
        assert_eq!(dice.throws.load(Ordering::Relaxed), 8_000, "nothing is drawn in vain");
    }
}
