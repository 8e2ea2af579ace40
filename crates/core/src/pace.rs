//! How fast ECS may be called: AWS's token buckets, cut into windows of time.
//!
//! All functions share a quota. They share it through one small counter a window, never through one for all times: windows
//! are short, so no item of a store stays hot, and what a process that died had taken comes back with the next. A window
//! has half of what AWS allows at once and the time in which AWS gives that back, so however calls fall within their
//! windows, AWS's bucket never runs dry.

use std::{borrow::Cow, num::NonZeroU32};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::rules::Quota;

/// Whose windows a call is counted in.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Bucket {
    /// Launches on Fargate, on demand and on Spot: under both the quota of `RunTask` and that of Fargate's launches, of
    /// which each takes one.
    Fargate,
    /// Other calls that change something, launches elsewhere among them: what launches on Fargate leave of that quota, which
    /// they count against too.
    Modify,
    /// Calls that read tasks.
    Read,
    /// No call of ECS: the turn to see to runs that the quota holds up, of one process a second. It is counted the same way,
    /// so that who has it need not be remembered, and is nobody's once a process that had it has died.
    Turn,
}

impl Bucket {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fargate, Self::Modify, Self::Read, Self::Turn];

    /// The word in a store's keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fargate => "fargate",
            Self::Modify => "modify",
            Self::Read => "read",
            Self::Turn => "turn",
        }
    }

    /// Where a launch that says this counts. One that says nothing goes where its cluster has it: that may be Fargate.
    fn of_launch<'a>(
        launch_type: Option<&str>,
        mut providers: impl Iterator<Item = &'a str>,
    ) -> Self {
        let is_fargate = |provider: &str| matches!(provider, "FARGATE" | "FARGATE_SPOT");
        match (launch_type, providers.next()) {
            (Some("EC2" | "EXTERNAL"), _) => Self::Modify,
            (None, Some(first)) if !is_fargate(first) && !providers.any(is_fargate) => Self::Modify,
            _ => Self::Fargate,
        }
    }

    /// Where the launch of this `RunTask` request counts.
    pub fn of_request(request: &str) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Request<'a> {
            #[serde(borrow)]
            launch_type: Option<Cow<'a, str>>,
            #[serde(borrow)]
            capacity_provider_strategy: Vec<Item<'a>>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Item<'a> {
            #[serde(borrow)]
            capacity_provider: Cow<'a, str>,
        }
        let request: Request<'_> = serde_json::from_str(request).unwrap_or_default();
        let providers = request.capacity_provider_strategy.iter();
        Self::of_launch(
            request.launch_type.as_deref(),
            providers.map(|item| item.capacity_provider.as_ref()),
        )
    }

    /// Where launches of a rule's target count; on Fargate where a template decides.
    pub fn of_target(target: &serde_json::Value) -> Self {
        let providers = target["capacityProviderStrategy"].as_array().into_iter().flatten();
        let providers =
            providers.map(|item| item["capacityProvider"].as_str().unwrap_or("FARGATE"));
        Self::of_launch(target["launchType"].as_str(), providers)
    }
}

/// The account's quotas in its Region.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html>,
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Quotas {
    /// Calls of `RunTask` on Fargate.
    pub run_task: Quota,
    /// Tasks launched on Fargate.
    pub fargate: Quota,
    /// Calls that change a cluster's resources: `RunTask`, `StopTask`.
    pub modify: Quota,
    /// Calls that read them: `DescribeTasks`, `ListTasks`.
    pub read: Quota,
}

impl Default for Quotas {
    /// An account whose quotas nobody raised.
    fn default() -> Self {
        Self {
            run_task: quota(20, 20),
            fargate: quota(20, 100),
            modify: quota(40, 100),
            read: quota(20, 100),
        }
    }
}

impl Quotas {
    /// What the calls of a bucket share.
    pub fn of(&self, bucket: Bucket) -> Quota {
        let both =
            |a: Quota, b: Quota| Quota { rate: a.rate.min(b.rate), burst: a.burst.min(b.burst) };
        let fargate = both(both(self.run_task, self.fargate), self.modify);
        match bucket {
            Bucket::Fargate => fargate,
            Bucket::Modify => quota(
                self.modify.rate.get().saturating_sub(fargate.rate.get()),
                self.modify.burst.get().saturating_sub(fargate.burst.get()),
            ),
            Bucket::Read => self.read,
            Bucket::Turn => quota(1, 2),
        }
    }
}

/// One a second and two at once at the least: where launches on Fargate may use up all of it, others go on slowly.
fn quota(rate: u32, burst: u32) -> Quota {
    let at_least = |count: u32, least: NonZeroU32| {
        NonZeroU32::new(count).map_or(least, |count| count.max(least))
    };
    Quota {
        rate: at_least(rate, NonZeroU32::MIN),
        burst: at_least(burst, NonZeroU32::MIN.saturating_add(1)),
    }
}

/// A window of time, and how many calls fit into it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// Whose.
    pub bucket: Bucket,
    /// When it begins.
    pub begin: Timestamp,
    /// When the next one begins.
    pub end: Timestamp,
    /// How many fit in.
    pub tokens: u32,
}

/// The window of a bucket that `now` falls into.
pub fn window(quotas: &Quotas, bucket: Bucket, now: Timestamp) -> Window {
    let quota = quotas.of(bucket);
    let tokens = (quota.burst.get() / 2).max(1);
    let length = i128::from(tokens) * 1_000_000_000 / i128::from(quota.rate.get());
    let begin = now.as_nanosecond().div_euclid(length) * length;
    let at = |nanosecond| Timestamp::from_nanosecond(nanosecond).unwrap_or(Timestamp::MAX);
    Window { bucket, begin: at(begin), end: at(begin + length), tokens }
}

/// How long a process that was told to wait, or that AWS throttled, asks the store before each call.
pub const BUSY: SignedDuration = SignedDuration::from_secs(60);

/// How long after its last call a process makes another without asking, while nobody was told to wait: one now and then is
/// no burst, and asking would cost a write each.
pub const CALM: SignedDuration = SignedDuration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).unwrap()
    }

    #[test]
    fn a_window_has_half_of_the_burst_and_the_time_to_get_it_back() {
        let bucket = Bucket::Fargate;
        let window = window(&Quotas::default(), bucket, at(10_700));
        assert_eq!(window, Window { bucket, begin: at(10_500), end: at(11_000), tokens: 10 });
    }

    #[test]
    fn however_calls_fall_in_their_windows_no_bucket_runs_dry() {
        for bucket in Bucket::ALL {
            // The worst case: all at the end of one window, all at the beginning of the next, and of each one after.
            let Quota { rate, burst } = Quotas::default().of(bucket);
            let first = window(&Quotas::default(), bucket, at(0));
            let mut tokens = f64::from(burst.get()) - f64::from(first.tokens);
            for _ in 0..1000 {
                tokens -= f64::from(first.tokens);
                assert!(tokens >= 0.0, "{bucket:?}");
                let length = first.end.duration_since(first.begin).as_secs_f64();
                tokens = (tokens + length * f64::from(rate.get())).min(f64::from(burst.get()));
            }
        }
    }

    #[test]
    fn launches_on_fargate_and_other_changes_stay_under_the_quota_that_they_share() {
        let quotas = Quotas::default();
        let (fargate, modify) = (quotas.of(Bucket::Fargate), quotas.of(Bucket::Modify));
        assert_eq!(fargate, quota(20, 20));
        assert_eq!(fargate.rate.get() + modify.rate.get(), quotas.modify.rate.get());
        assert_eq!(fargate.burst.get() + modify.burst.get(), quotas.modify.burst.get());
        // Raised for `RunTask` alone, Fargate's own and the shared one still hold.
        let raised = Quotas { run_task: quota(500, 500), ..quotas };
        assert_eq!(raised.of(Bucket::Fargate), quota(20, 100));
        assert_eq!(raised.of(Bucket::Modify), quota(20, 2));
    }

    #[track_caller]
    fn check(target: &str, expected: Bucket) {
        assert_eq!(Bucket::of_request(target), expected, "{target}");
        assert_eq!(Bucket::of_target(&serde_json::from_str(target).unwrap()), expected, "{target}");
    }

    #[test]
    fn a_launch_counts_where_it_goes() {
        check(r#"{"launchType":"FARGATE"}"#, Bucket::Fargate);
        check(r#"{"launchType":"EC2"}"#, Bucket::Modify);
        check(r#"{"launchType":"EXTERNAL"}"#, Bucket::Modify);
        check(r#"{"capacityProviderStrategy":[{"capacityProvider":"mine"}]}"#, Bucket::Modify);
        let both = r#"{"capacityProviderStrategy":[{"capacityProvider":"mine"},{"capacityProvider":"FARGATE_SPOT"}]}"#;
        check(both, Bucket::Fargate);
        check(r#"{"taskDefinition":"unknown"}"#, Bucket::Fargate);
    }
}
