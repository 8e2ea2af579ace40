//! One suite for each port, whatever implements it: what the engine may rely on.
//!
//! `runs` is the suite for records, limits and quotas; it is run on SQLite, and on DynamoDB as two servers have it that are
//! not ours: `cargo xtask test` starts those.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, and says where")]

mod dynamodb;
mod runs;
mod sqlite;
