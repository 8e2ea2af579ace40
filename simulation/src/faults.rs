//! What can go wrong, where, and how often it did.
//!
//! Each seed has some faults often, some seldom and some never, so that each is met alone and in company. What was met is
//! counted, and a fault that never was is a gap in the proof.

use std::fmt;

use crate::{dice::Dice, promises::Oracle};

/// A call of a port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Call {
    /// `Runs::create`.
    Create,
    /// `Runs::update`.
    Update,
    /// `Runs::get`.
    Get,
    /// `Runs::due`.
    Due,
    /// `Runs::limit`.
    Limit,
    /// `Runs::settle_limit`.
    SettleLimit,
    /// `Runs::take_token`.
    TakeToken,
    /// `Runs::close_window`.
    CloseWindow,
    /// `Tasks::run`.
    RunTask,
    /// `Tasks::describe_task_definition`.
    DescribeTaskDefinition,
    /// `Tasks::describe`.
    DescribeTasks,
    /// `Tasks::list_started_by`.
    ListTasks,
    /// `Tasks::stop`.
    StopTask,
    /// `Events::publish`.
    Publish,
    /// `Payloads::put`.
    PutPayload,
    /// `Payloads::discard`.
    DiscardPayload,
    /// `Queues::extend`.
    ChangeVisibility,
    /// `Queues::delete`.
    DeleteMessage,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Create,
        Self::Update,
        Self::Get,
        Self::Due,
        Self::Limit,
        Self::SettleLimit,
        Self::TakeToken,
        Self::CloseWindow,
        Self::RunTask,
        Self::DescribeTaskDefinition,
        Self::DescribeTasks,
        Self::ListTasks,
        Self::StopTask,
        Self::Publish,
        Self::PutPayload,
        Self::DiscardPayload,
        Self::ChangeVisibility,
        Self::DeleteMessage,
    ];
}

/// What befalls a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mishap {
    /// The request never arrives.
    RequestLost,
    /// It has its effect, and the answer never arrives.
    ResponseLost,
    /// It is refused for now, without effect.
    Throttled,
    /// The process dies before the call has its effect.
    CrashBefore,
    /// The process dies after it, with the answer unread.
    CrashAfter,
    /// The process is frozen for minutes before it reads the answer.
    Frozen,
    /// The process is frozen for minutes before the call has its effect.
    FrozenBefore,
}

impl Mishap {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::RequestLost,
        Self::ResponseLost,
        Self::Throttled,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::Frozen,
        Self::FrozenBefore,
    ];
}

/// What goes wrong elsewhere, or in a way of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Twist {
    /// `due` tells of a record as it was a while ago.
    StaleDue,
    /// `limit` tells of a limit as it was a while ago.
    StaleLimit,
    /// A write met another one.
    Conflict,
    /// A limit that had a slot has none any more.
    Full,
    /// `RunTask` was called more often than ECS allows.
    QuotaExceeded,
    /// 200, `failures[]`, no task.
    FailuresOnly,
    /// 200, `failures[]`, and a task all the same.
    FailuresAndTask,
    /// 200, `failures[]`, no task, and a task turns up later.
    FailuresThenTask,
    /// An exception: no room.
    NoRoom,
    /// An exception: refused.
    Refused,
    /// A repeated request is met by a `ConflictException` with its task.
    TokenConflict,
    /// A Task State Change never comes.
    EventDropped,
    /// It comes more than once.
    EventRepeated,
    /// It comes after later ones.
    EventReordered,
    /// It comes hours later.
    EventLate,
    /// Changes come that nobody subscribed to.
    EventOfAnotherStep,
    /// A new task is not in ECS's lists yet.
    TaskUnseen,
    /// A task that stopped is forgotten.
    TaskForgotten,
    /// A task takes long to start.
    SlowStart,
    /// Spot takes the task back.
    SpotInterruption,
    /// The host is retired.
    TerminationNotice,
    /// The host fails.
    InfrastructureHealth,
    /// Out of memory, and exit code 0.
    OutOfMemoryExit0,
    /// Out of memory, and exit code 137.
    OutOfMemoryExit137,
    /// Stopped without any container.
    NoContainers,
    /// `EssentialContainerExited` without an exit code.
    NoExitCode,
    /// A sidecar exits with something else than 0.
    SidecarFailed,
    /// The application exits with something else than 0.
    ExitCode,
    /// The image cannot be pulled.
    ImagePull,
    /// Secrets, network or logs cannot be set up.
    Initialization,
    /// The agent is gone, and ECS learns so hours later.
    AgentVanished,
    /// The task hangs until it is told to stop.
    Hangs,
    /// `StopTask` comes while the task exits by itself.
    StopRacesExit,
    /// The task definition is gone.
    TaskDefinitionGone,
    /// Rules change while runs are under way.
    RulesChanged,
    /// An event is delivered again, minutes to days later.
    Redelivered,
    /// Some of the lifecycle events are published, and then the call fails.
    PublishedPartly,
    /// A process whose clock is off.
    SkewedClock,
    /// A process dies between two calls.
    Killed,
    /// A person stops a run.
    PersonStops,
    /// Two sweeps at once.
    SweepsOverlap,
    /// A sweep that runs out of time.
    SweepCutShort,
    /// No sweep for hours.
    SweepsStop,
    /// A person has a run done again.
    PersonRedrives,
    /// Of a batch some records fail and others do not.
    BatchPartlyFailed,
    /// A batch comes again whole, though some of its records were taken.
    BatchRepeated,
    /// The function's time is over before each record of its batch had its turn.
    BatchCutShort,
    /// A function goes on with what the quota held up.
    CaughtUp,
    /// It leaves that to another one.
    CaughtUpByAnother,
    /// A function is ended since its time is over.
    DeadlineMet,
    /// A function is ended so in the middle of a batch.
    BatchKilled,
    /// A `RunTask` arrives when its sender has long given it up.
    RequestLate,
    /// A `RunTask` arrives past its signature's time.
    SignatureExpired,
    /// An answer of `RunTask` is read when ECS has forgotten the token.
    FrozenPastToken,
    /// An event is delivered again when ECS has forgotten the token of its run.
    RedeliveredPastToken,
    /// A lifecycle event is told twice, by an outbox that was not cleared.
    ToldAgain,
    /// The bus delivers a lifecycle event more than once.
    ChainRepeated,
    /// The bus delivers a lifecycle event late.
    ChainLate,
    /// A chain of runs is as long as one may be.
    ChainEnded,
    /// The rules of an attempt are not those of the one before it.
    RulesChangedBetweenAttempts,
    /// A function is ended so in the middle of a batch of messages.
    ReceiveKilled,
    /// A standard queue delivers a message twice.
    MessageRepeated,
    /// A FIFO queue takes a message that it has had, and delivers it not.
    MessageDeduplicated,
    /// A queue forgets a message that it has kept for too long.
    MessageExpired,
    /// A message was received too often.
    MessageDead,
    /// A message waits for another of its group that is in flight.
    GroupWaits,
    /// A queue refuses what is said of a delivery that is over.
    DeliveryOver,
    /// A message comes again though a run holds it.
    HoldLapsed,
    /// A message goes since its run takes longer than SQS holds one.
    MessageHandedOver,
    /// Nobody looks into a queue for a while.
    NobodyPolls,
    /// Messages are received, and the answer is lost.
    ReceiveLost,
    /// A batch is taken, and the answer is lost.
    AnswerLost,
    /// A message that was taken is not deleted.
    DeletionLost,
    /// Of a batch of messages the queue is to keep a part.
    BatchPartlyKept,
    /// The function's time is over before each message of its batch was begun.
    MessagesCutShort,
    /// A message has a record that says that it is S3's, and is not.
    RecordRefused,
    /// A message that nobody can read comes in one batch with good ones.
    BadNeighbour,
    /// A process is handed messages of a queue that its rules do not name.
    QueueUnnamed,
}

impl Twist {
    /// All of them.
    pub const ALL: [Self; 78] = [
        Self::StaleDue,
        Self::StaleLimit,
        Self::Conflict,
        Self::Full,
        Self::QuotaExceeded,
        Self::FailuresOnly,
        Self::FailuresAndTask,
        Self::FailuresThenTask,
        Self::NoRoom,
        Self::Refused,
        Self::TokenConflict,
        Self::EventDropped,
        Self::EventRepeated,
        Self::EventReordered,
        Self::EventLate,
        Self::EventOfAnotherStep,
        Self::TaskUnseen,
        Self::TaskForgotten,
        Self::SlowStart,
        Self::SpotInterruption,
        Self::TerminationNotice,
        Self::InfrastructureHealth,
        Self::OutOfMemoryExit0,
        Self::OutOfMemoryExit137,
        Self::NoContainers,
        Self::NoExitCode,
        Self::SidecarFailed,
        Self::ExitCode,
        Self::ImagePull,
        Self::Initialization,
        Self::AgentVanished,
        Self::Hangs,
        Self::StopRacesExit,
        Self::TaskDefinitionGone,
        Self::RulesChanged,
        Self::Redelivered,
        Self::PublishedPartly,
        Self::SkewedClock,
        Self::Killed,
        Self::PersonStops,
        Self::SweepsOverlap,
        Self::SweepCutShort,
        Self::SweepsStop,
        Self::PersonRedrives,
        Self::BatchPartlyFailed,
        Self::BatchRepeated,
        Self::BatchCutShort,
        Self::CaughtUp,
        Self::CaughtUpByAnother,
        Self::DeadlineMet,
        Self::BatchKilled,
        Self::RequestLate,
        Self::SignatureExpired,
        Self::FrozenPastToken,
        Self::RedeliveredPastToken,
        Self::ToldAgain,
        Self::ChainRepeated,
        Self::ChainLate,
        Self::ChainEnded,
        Self::RulesChangedBetweenAttempts,
        Self::ReceiveKilled,
        Self::MessageRepeated,
        Self::MessageDeduplicated,
        Self::MessageExpired,
        Self::MessageDead,
        Self::GroupWaits,
        Self::DeliveryOver,
        Self::HoldLapsed,
        Self::MessageHandedOver,
        Self::NobodyPolls,
        Self::ReceiveLost,
        Self::AnswerLost,
        Self::DeletionLost,
        Self::BatchPartlyKept,
        Self::MessagesCutShort,
        Self::RecordRefused,
        Self::BadNeighbour,
        Self::QueueUnnamed,
    ];
}

/// How often each fault was met, and how often each oracle had something to look at.
#[derive(Clone, Debug)]
pub struct Coverage {
    calls: [[u64; Mishap::ALL.len()]; Call::ALL.len()],
    twists: [u64; Twist::ALL.len()],
    asked: [u64; Oracle::ALL.len()],
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            calls: [[0; Mishap::ALL.len()]; Call::ALL.len()],
            twists: [0; Twist::ALL.len()],
            asked: [0; Oracle::ALL.len()],
        }
    }
}

impl Coverage {
    /// A call was met by a mishap.
    pub fn befell(&mut self, call: Call, mishap: Mishap) {
        self.calls[call as usize][mishap as usize] += 1;
    }

    /// Something else went wrong.
    pub fn met(&mut self, twist: Twist) {
        self.twists[twist as usize] += 1;
    }

    /// An oracle was asked about something that its promise speaks of.
    pub fn asked(&mut self, oracle: Oracle) {
        self.asked[oracle as usize] += 1;
    }

    /// Adds what another simulation met.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.calls.iter_mut().flatten().zip(other.calls.iter().flatten()) {
            *mine += theirs;
        }
        for (mine, theirs) in self.twists.iter_mut().zip(other.twists) {
            *mine += theirs;
        }
        for (mine, theirs) in self.asked.iter_mut().zip(other.asked) {
            *mine += theirs;
        }
    }

    /// The faults that were never met, and the oracles that never had anything to look at.
    pub fn gaps(&self) -> Vec<String> {
        let calls = Call::ALL.iter().flat_map(|call| {
            let never =
                Mishap::ALL.iter().filter(|it| self.calls[*call as usize][**it as usize] == 0);
            never.map(move |mishap| format!("{call:?} {mishap:?}"))
        });
        let twists = Twist::ALL.iter().filter(|twist| self.twists[**twist as usize] == 0);
        let oracles = Oracle::ALL.iter().filter(|oracle| self.asked[**oracle as usize] == 0);
        let twists = twists.map(|twist| format!("{twist:?}"));
        calls.chain(twists).chain(oracles.map(|oracle| format!("{oracle:?}"))).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:24}", "")?;
        for mishap in Mishap::ALL {
            write!(f, "{:>13}", format!("{mishap:?}"))?;
        }
        for call in Call::ALL {
            write!(f, "\n{:24}", format!("{call:?}"))?;
            for mishap in Mishap::ALL {
                write!(f, "{:>13}", self.calls[call as usize][mishap as usize])?;
            }
        }
        for twists in Twist::ALL.chunks(4) {
            writeln!(f)?;
            for twist in twists {
                let count = self.twists[*twist as usize];
                write!(f, "{:28}{count:>9}  ", format!("{twist:?}"))?;
            }
        }
        for oracles in Oracle::ALL.chunks(4) {
            writeln!(f)?;
            for oracle in oracles {
                let count = self.asked[*oracle as usize];
                write!(f, "{:22}{count:>15}  ", format!("{oracle:?}"))?;
            }
        }
        Ok(())
    }
}

/// How often what goes wrong in one seed, in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Knobs {
    /// Calls that fail.
    pub lost: u64,
    /// Calls at which a process dies.
    pub crash: u64,
    /// Calls at which a process freezes.
    pub frozen: u64,
    /// Calls that are throttled.
    pub throttled: u64,
    /// `RunTask` that answers badly.
    pub denied: u64,
    /// Events dropped.
    pub dropped: u64,
    /// Events repeated.
    pub repeated: u64,
    /// Events late.
    pub late: u64,
    /// Reads that are stale, and lists that lag.
    pub stale: u64,
    /// Tasks that end badly by AWS's fault.
    pub hosts: u64,
    /// Tasks that end badly by the application's fault.
    pub application: u64,
    /// Task definitions that go.
    pub gone: u64,
    /// Runs stopped by a person.
    pub person: u64,
    /// Steps at which a process dies for no reason.
    pub killed: u64,
    /// Functions that are ended when their time is over, where others are frozen beyond it.
    pub deadline: u64,
    /// Events that come several in one invocation.
    pub batched: u64,
    /// `RunTask` that arrives when nobody waits for it any more.
    pub in_flight: u64,
    /// The longest usual latency in microseconds.
    pub latency: i64,
    /// How far clocks may be off, in microseconds.
    pub skew: i64,
}

impl Knobs {
    /// The faults of a seed.
    pub fn new(dice: &mut Dice) -> Self {
        let mut rate = |often: u64| match dice.below(6) {
            0..=2 => 0,
            3 => often / 10 + 1,
            4 => often / 3 + 1,
            _ => often,
        };
        let mut knobs = Self {
            lost: rate(200),
            crash: rate(100),
            frozen: rate(40),
            throttled: rate(200),
            denied: rate(500),
            dropped: rate(500),
            repeated: rate(500),
            late: rate(300),
            stale: rate(500),
            hosts: rate(400),
            application: rate(500),
            gone: rate(100),
            person: rate(300),
            killed: rate(5),
            deadline: rate(900),
            batched: rate(900),
            in_flight: rate(200),
            latency: 0,
            skew: 0,
        };
        knobs.latency = dice.pick(&[2_000, 20_000, 200_000, 2_000_000]);
        knobs.skew = dice.pick(&[0, 0, 500_000, 2_000_000]);
        knobs
    }
}
