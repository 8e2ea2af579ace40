//! The records in DynamoDB, as two servers have it that are not ours; each lets through what the other catches.
//!
//! `cargo xtask test` starts them and says where they are; without them these tests are left out.

mod meter;
mod units;
mod wiring;

use std::sync::atomic::{AtomicU32, Ordering};

use jiff::SignedDuration;
use taskferry_aws::{Clients, DynamoRuns};

use crate::runs::{Store, contract};

/// A table of its own on the server that the variable names.
async fn open(variable: &str) -> DynamoRuns {
    let endpoint = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} says where"));
    open_at(&endpoint).await
}

async fn open_at(endpoint: &str) -> DynamoRuns {
    let runs = Clients::of_endpoint(endpoint).await.runs(&new_table());
    // The tests' runs ended long ago, and what has expired is deleted at any time.
    let runs = runs.with_retention(SignedDuration::from_hours(100 * 365 * 24));
    runs.create_table().await.unwrap();
    runs
}

/// A name that no other test's table has.
fn new_table() -> String {
    static TABLES: AtomicU32 = AtomicU32::new(0);
    format!("runs-{}-{}", std::process::id(), TABLES.fetch_add(1, Ordering::Relaxed))
}

mod moto {
    use super::*;

    struct Moto(DynamoRuns);

    impl Store for Moto {
        type Runs = DynamoRuns;

        // moto undoes a cancelled transaction by putting back a copy of the whole table, without a lock: what others wrote
        // meanwhile is gone.
        const MAY_RACE: bool = false;
        // moto adds an item's length before an update to that of what is set.
        const COUNTS_SIZES: bool = false;

        fn runs(&self) -> &DynamoRuns {
            &self.0
        }
    }

    async fn open() -> Moto {
        Moto(super::open("TASKFERRY_MOTO").await)
    }

    contract!(open, ignore = "`cargo xtask test` starts moto");
}

mod ministack {
    use super::*;

    struct Ministack(DynamoRuns);

    impl Store for Ministack {
        type Runs = DynamoRuns;

        fn runs(&self) -> &DynamoRuns {
            &self.0
        }
    }

    async fn open() -> Ministack {
        Ministack(super::open("TASKFERRY_MINISTACK").await)
    }

    contract!(open, ignore = "`cargo xtask test` starts ministack");
}
