//! Some seeds and the small worlds, in every run of the tests; `cargo xtask simulate` plays thousands.

use taskferry_simulation::{Coverage, Scene, search, simulate};

/// Enough to meet the likelier bugs, and soon over in a debug build.
const SEEDS: u64 = 40;

#[test]
fn every_promise_holds_in_some_seeds() {
    let mut coverage = Coverage::default();
    for seed in 0..SEEDS {
        let report = simulate(seed, false);
        let broken = report.violation;
        assert!(broken.is_none(), "cargo xtask simulate --seed {seed}: {broken:?}");
        coverage.add(&report.coverage);
    }
    assert!(coverage.gaps().len() < 40, "{coverage}");
}

#[test]
fn a_seed_is_the_same_each_time() {
    for seed in [3, 19, 432] {
        assert_eq!(simulate(seed, true).history, simulate(seed, true).history);
    }
}

#[test]
fn every_order_of_two_events_ends_well() {
    check(Scene::TwoEvents);
    check(Scene::OneEventTwice);
}

#[test]
fn every_order_of_an_end_and_an_event_ends_well() {
    check(Scene::AnEndAndAnEvent);
    check(Scene::AStopAndAnEvent);
}

#[test]
fn every_order_of_sweeps_ends_well() {
    check(Scene::TwoSweeps);
    check(Scene::AnEndAndASweep);
}

#[track_caller]
fn check(scene: Scene) {
    let searched = search(scene, 1);
    if let Some((violation, history)) = searched.violation {
        panic!("{}\n{violation}", history.join("\n"));
    }
    assert!(searched.states > 50, "{scene:?} has {} states only", searched.states);
}
