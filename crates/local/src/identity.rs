//! The account and Region that this machine plays.

/// The account number in every ARN; the one that AWS emulators use.
pub const ACCOUNT_ID: &str = "000000000000";

/// The Region in every ARN. Clients may name any other: nothing is looked up by it.
pub const REGION: &str = "us-east-1";
