//! The proof: the real core and the real engine in a world that breaks by the seed.
//!
//! One thread, one seed, simulated time, no sleep. `cargo xtask simulate` plays seeds by the thousand; a seed that finds a
//! promise broken is played again with `--seed`, and tells who did what when. Nothing here is part of what is shipped.

mod calls;
mod delivery;
mod dice;
mod ecs;
mod exhaustive;
mod faults;
mod log;
mod mapping;
mod oracles;
mod ports;
mod promises;
mod queued;
mod scenario;
mod script;
mod seed;
mod simulation;
mod sqs;
mod store;
mod work;
mod world;

pub use self::{
    dice::Dice,
    exhaustive::{Scene, Searched, search},
    faults::{Call, Coverage, Knobs, Mishap, Twist},
    promises::{Oracle, Violation},
    script::{End, Reply, Script},
    simulation::{Report, simulate},
};
