//! The refusals and the replays of the operations.
