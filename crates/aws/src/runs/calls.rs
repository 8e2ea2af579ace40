//! Calls that are made again: what DynamoDB refuses for the moment alone.
//!
//! Asked for each call of the store. The SDK makes calls again that were throttled or had no answer, three times in all;
//! transactions that met another one, and keys that a batch left out, are for the caller to see to. How long to wait is made
//! of the item's name, not diced, and bounded: past it the caller is told that the store is not available.

use std::{collections::HashMap, future::Future, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, CancellationReason, KeysAndAttributes, TransactWriteItem},
};
use taskferry_engine::ports;

use super::{
    items::Item,
    keys::{self, Key, PK, SK},
};
use crate::{Error, classify::Kind};

/// How often a call is made, at most.
const TRIES: u32 = 7;

/// The shortest wait between two; each is twice the one before.
const WAIT: Duration = Duration::from_millis(20);

/// How many keys a batch may have.
///
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
const BATCH: usize = 100;

/// Waits between the tries of a call.
#[derive(Debug)]
pub(super) struct Waits<'a> {
    name: &'a str,
    tries: u32,
}

impl<'a> Waits<'a> {
    /// Waits that differ from those for another name, so that two that met do not meet again.
    pub(super) fn of(name: &'a str) -> Self {
        Self { name, tries: 0 }
    }

    /// Waits for the next try; false if there were enough.
    pub(super) async fn again(&mut self) -> bool {
        self.tries += 1;
        if self.tries >= TRIES {
            return false;
        }
        tokio::time::sleep(self.length()).await;
        true
    }

    fn length(&self) -> Duration {
        let base = WAIT * 2_u32.pow(self.tries - 1);
        let share = keys::number(&format!("{}/{}", self.name, self.tries)) % 256;
        base + base * u32::try_from(share).unwrap_or_default() / 256
    }
}

/// Makes a call, and again while it is throttled or meets a transaction.
pub(super) async fn retried<T, E, F>(
    name: &str,
    call: impl Fn() -> F + Send,
) -> Result<T, SdkError<E>>
where
    F: Future<Output = Result<T, SdkError<E>>> + Send,
    T: Send,
    E: ProvideErrorMetadata + std::error::Error + Send + 'static,
{
    let mut waits = Waits::of(name);
    loop {
        match call().await {
            Err(error) if Error::new(&error).kind() == Kind::Throttled && waits.again().await => {}
            answer => return answer,
        }
    }
}

/// The engine's error for the SDK's.
pub(super) fn failed<E>(what: &'static str) -> impl FnOnce(SdkError<E>) -> ports::Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    move |error| Error::new(&error).of_port(what)
}

/// Writes all of the items or none; the reasons, one for each item, if a condition was not met.
///
/// `token` makes a second try of the same transaction the first one's echo.
pub(super) async fn transact(
    client: &Client,
    what: &'static str,
    token: &str,
    items: Vec<TransactWriteItem>,
) -> Result<Result<(), Vec<CancellationReason>>, ports::Error> {
    let call =
        client.transact_write_items().set_transact_items(Some(items)).client_request_token(token);
    let mut waits = Waits::of(token);
    loop {
        let Err(error) = retried(token, || call.clone().send()).await else {
            return Ok(Ok(()));
        };
        let cancelled = error.as_service_error().and_then(|error| match error {
            TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                Some(cancelled.cancellation_reasons())
            }
            _ => None,
        });
        match cancelled.map(|reasons| (judge(reasons), reasons)) {
            Some((Judgement::ConditionFailed, reasons)) => return Ok(Err(reasons.to_vec())),
            Some((Judgement::Passing, _)) if waits.again().await => {}
            Some((Judgement::Passing, _)) => {
                return Err(ports::Error::Unavailable {
                    what,
                    source: Box::new(Error::new(&error)),
                });
            }
            Some((Judgement::Refused, _)) | None => return Err(failed(what)(error)),
        }
    }
}

/// What a cancelled transaction's reasons come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Judgement {
    ConditionFailed,
    Passing,
    Refused,
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>: each item has a code.
fn judge(reasons: &[CancellationReason]) -> Judgement {
    let codes = || reasons.iter().filter_map(CancellationReason::code);
    if is_condition_failed(reasons) {
        return Judgement::ConditionFailed;
    }
    let passes = |code: &str| {
        ["None", "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"]
            .contains(&code)
    };
    if codes().all(passes) { Judgement::Passing } else { Judgement::Refused }
}

fn is_condition_failed(reasons: &[CancellationReason]) -> bool {
    reasons.iter().any(|reason| reason.code() == Some(CONDITION_FAILED))
}

/// The code of an item whose condition was not met.
pub(super) const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// What the items of these keys have of `attributes`, names for a projection; those that are not there are left out.
pub(super) async fn batch_get(
    client: &Client,
    table: &str,
    what: &'static str,
    keys: &[Key],
    attributes: &[&str],
    consistent: bool,
) -> Result<HashMap<Key, Item>, ports::Error> {
    let names =
        attributes.iter().chain(&[PK, SK]).map(|name| (format!("#{name}"), (*name).to_owned()));
    let names: HashMap<String, String> = names.collect();
    let projection = names.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut found = HashMap::with_capacity(keys.len());
    for keys in keys.chunks(BATCH) {
        let mut open: Vec<HashMap<String, AttributeValue>> = keys.iter().map(Key::item).collect();
        let mut waits = Waits::of(keys.first().map_or("", |key| &key.sk));
        while !open.is_empty() {
            let asked = open.len();
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(open))
                .projection_expression(&projection)
                .set_expression_attribute_names(Some(names.clone()))
                .consistent_read(consistent)
                .build()
                .map_err(|error| ports::Error::Refused { what, source: Box::new(error) })?;
            let call = client.batch_get_item().request_items(table, wanted);
            let mut got = retried(table, || call.clone().send()).await.map_err(failed(what))?;
            let items = got.responses.as_mut().and_then(|tables| tables.remove(table));
            let items = items.unwrap_or_default();
            found.extend(items.into_iter().filter_map(|item| Some((Key::of_item(&item)?, item))));
            let left = got.unprocessed_keys.as_mut().and_then(|tables| tables.remove(table));
            open = left.map(|left| left.keys).unwrap_or_default();
            // An answer has 16 MB at most, and leaves out what is past that; one that got nowhere was throttled.
            if open.len() == asked && !waits.again().await {
                return Err(ports::Error::Unavailable {
                    what,
                    source: format!("{asked} keys of a batch were left out again and again").into(),
                });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(codes: &[&str], expected: Judgement) {
        let reasons: Vec<_> =
            codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect();
        assert_eq!(judge(&reasons), expected);
    }

    #[test]
    fn a_condition_that_failed_counts_before_what_passes() {
        check(
            &["None", "ConditionalCheckFailed", "TransactionConflict"],
            Judgement::ConditionFailed,
        );
    }

    #[test]
    fn conflicts_and_throttles_pass() {
        check(&["None", "TransactionConflict"], Judgement::Passing);
        check(&["ThrottlingError", "ProvisionedThroughputExceeded"], Judgement::Passing);
    }

    #[test]
    fn what_is_too_large_stays_so() {
        check(&["ValidationError", "TransactionConflict"], Judgement::Refused);
    }

    #[test]
    fn waits_are_bounded_and_differ_by_name() {
        let lengths = |name| {
            let all = (1..TRIES).map(|tries| Waits { name, tries }.length());
            all.collect::<Vec<_>>()
        };
        let (one, other) = (lengths("one"), lengths("other"));
        assert_ne!(one, other);
        assert_eq!(one, lengths("one"));
        assert!(one.iter().sum::<Duration>() < Duration::from_millis(20 * 2 * 63));
    }
}
