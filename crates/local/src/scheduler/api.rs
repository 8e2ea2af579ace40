//! Scheduler's API (REST and JSON): what clients of Scheduler call.
//!
//! Schedules of the rules file are shown and not changed here. A change is one transaction with its client token, so that a
//! repeated request is answered as the first was.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    http::{Method, Request as HttpRequest, Response, StatusCode},
};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;
use rusqlite::Transaction;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{
    DEFAULT_GROUP, Scheduler,
    context::{arn, group_arn},
    definition::{Definition, Target},
    first,
    request::{Request, client_token, constraint, invalid, name},
    store::{self, Row, Wanted},
};
use crate::{
    protocol::{Answer, BodyError, Exception, json_text, read_body, respond},
    server::HttpService,
};

/// The longest request: an input of 256 KB, escaped.
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// How many a page has at most, and has where a request does not say it.
const PAGE_MAX: usize = 100;

/// How long a client token is remembered.
const TOKEN_AGE: SignedDuration = SignedDuration::from_hours(24);

/// Scheduler, for clients.
#[derive(Clone, Debug)]
pub struct SchedulerApi(Arc<Scheduler>);

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The client is told so.
    Refused(Exception),
    /// The state file failed.
    Sqlite(rusqlite::Error),
}

impl From<Exception> for Fault {
    fn from(exception: Exception) -> Self {
        Self::Refused(exception)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

pub(super) type Outcome = Result<Value, Fault>;

/// The members of a query.
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    fn new(text: &'a str) -> Self {
        let plain = |text: &'a str| -> Cow<'a, str> {
            if !text.contains(['%', '+']) {
                return Cow::Borrowed(text);
            }
            let text = text.replace('+', " ");
            Cow::Owned(percent_decode_str(&text).decode_utf8_lossy().into_owned())
        };
        let members = text.split('&').filter(|member| !member.is_empty());
        Self(
            members
                .map(|member| member.split_once('=').unwrap_or((member, "")))
                .map(|(name, value)| (plain(name), plain(value)))
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| &**value)
    }

    /// How many items a page may have.
    pub(super) fn page(&self) -> Result<usize, Exception> {
        let Some(text) = self.get("MaxResults") else { return Ok(PAGE_MAX) };
        let most = text.parse().ok().filter(|most| (1..=PAGE_MAX).contains(most));
        most.ok_or_else(|| {
            let rule = format!("have value between 1 and {PAGE_MAX}");
            constraint(&format!("'{text}'"), "maxResults", &rule)
        })
    }

    pub(super) fn prefix(&self) -> Result<&str, Exception> {
        self.get("NamePrefix").map_or(Ok(""), |prefix| name(prefix, "namePrefix"))
    }
}

impl HttpService for SchedulerApi {
    fn call(&self, request: HttpRequest<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async move { respond(self.answer(request).await, "application/json") })
    }
}

impl SchedulerApi {
    /// The API in front of the schedules.
    pub fn new(scheduler: Arc<Scheduler>) -> Self {
        Self(scheduler)
    }

    async fn answer(&self, request: HttpRequest<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let body = read_body(body, BYTES_MAX).await.map_err(|error| match error {
            BodyError::TooLong { .. } => Exception {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                ..Exception::client("RequestEntityTooLargeException", error.to_string())
            },
            BodyError::BrokenOff { .. } => {
                Exception::client("SerializationException", error.to_string())
            }
        })?;
        let query = parts.uri.query().unwrap_or_default();
        self.operation(&parts.method, parts.uri.path(), query, &body)
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// Scheduler's exceptions.
    pub(super) fn operation(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Answer {
        let scheduler = &self.0;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        // An ARN in a path may hold its slashes as they are.
        let mut segments = path.trim_start_matches('/').splitn(2, '/');
        let (first, rest) = (segments.next().unwrap_or_default(), segments.next().map(decoded));
        let query = Query::new(query);
        let unknown = || {
            let message = format!("Scheduler on this machine has no operation {method} {path}");
            Err(Fault::from(Exception::client("UnknownOperationException", message)))
        };
        let answer = match (first, method.as_str(), rest.as_deref()) {
            ("schedules", "GET", None | Some("")) => scheduler.list_schedules(&query),
            ("schedules", "POST", Some(name)) => {
                read(body).and_then(|request| scheduler.create_schedule(name, request))
            }
            ("schedules", "PUT", Some(name)) => {
                read(body).and_then(|request| scheduler.update_schedule(name, request))
            }
            ("schedules", "GET", Some(name)) => scheduler.get_schedule(name, &query),
            ("schedules", "DELETE", Some(name)) => scheduler.delete_schedule(name, &query),
            ("schedule-groups", "GET", None | Some("")) => scheduler.list_groups(&query),
            ("schedule-groups", "POST", Some(name)) => {
                read(body).and_then(|request| scheduler.create_group(name, &request))
            }
            ("schedule-groups", "GET", Some(name)) => scheduler.get_group(name),
            ("schedule-groups", "DELETE", Some(name)) => scheduler.delete_group(name, &query),
            ("tags", "GET", Some(arn)) => scheduler.list_tags(arn),
            ("tags", "POST", Some(arn)) => {
                read(body).and_then(|request| scheduler.tag(arn, &request))
            }
            ("tags", "DELETE", Some(arn)) => scheduler.untag(arn, &query),
            _ => unknown(),
        };
        answer.map_err(|fault| match fault {
            Fault::Refused(exception) => exception,
            Fault::Sqlite(error) => {
                tracing::error!(%method, path, %error, "Scheduler failed");
                Exception::server(
                    "InternalServerException",
                    "the schedules cannot be read or written",
                )
            }
        })
    }
}

/// A request's body.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let body = if body.is_empty() { b"{}" } else { body };
    // An object would be read from a list of its members, too.
    if !body.trim_ascii_start().starts_with(b"{") {
        let message = "a request is a JSON object";
        return Err(Exception::client("SerializationException", message).into());
    }
    serde_json::from_slice(body)
        .map_err(|error| Exception::client("SerializationException", error.to_string()).into())
}

pub(super) fn not_found(message: String) -> Exception {
    Exception {
        status: StatusCode::NOT_FOUND,
        ..Exception::client("ResourceNotFoundException", message)
    }
}

pub(super) fn conflict(message: String) -> Exception {
    Exception { status: StatusCode::CONFLICT, ..Exception::client("ConflictException", message) }
}

/// Seconds since the epoch, as answers have times.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of our days are exact in a double")]
pub(super) fn seconds(millis: i64) -> Value {
    json!(millis as f64 / 1000.0)
}

impl Scheduler {
    /// Changes something under a client token: repeated, it is answered as it was the first time.
    pub(super) fn once(
        &self,
        token: Option<&str>,
        request: &str,
        change: impl FnOnce(&Transaction<'_>, Timestamp) -> Outcome,
    ) -> Outcome {
        if let Some(token) = token {
            client_token(token)?;
        }
        let now = self.now();
        let answer = self.db.write(|tx| {
            let Some(token) = token else { return change(tx, now) };
            if let Some((first, answer)) = store::token(tx, token)? {
                if first == request {
                    return Ok(serde_json::from_str(&answer).unwrap_or_default());
                }
                let message = "The client token was used before, with another request.".to_owned();
                return Err(conflict(message).into());
            }
            let answer = change(tx, now)?;
            let old = now.checked_sub(TOKEN_AGE).unwrap_or(Timestamp::UNIX_EPOCH);
            store::add_token(tx, token, request, &json_text(&answer), now, old)?;
            Ok(answer)
        });
        self.changed.notify_one();
        answer
    }

    fn create_schedule(&self, schedule: &str, request: Value) -> Outcome {
        let (request, told) = told("create", schedule, request)?;
        let schedule = name(schedule, "name")?;
        let group = request.group()?.to_owned();
        let token = request.client_token.clone();
        let definition = request.into_definition(self.now())?;
        self.once(token.as_deref(), &told, |tx, now| {
            if store::get_group(tx, &group)?.is_none() {
                return Err(not_found(format!("Schedule group {group} does not exist.")).into());
            }
            if store::get(tx, &group, schedule)?.is_some() {
                return Err(conflict(format!("Schedule {schedule} already exists.")).into());
            }
            put(tx, &group, schedule, definition, [now, now])
        })
    }

    fn update_schedule(&self, schedule: &str, request: Value) -> Outcome {
        let (request, told) = told("update", schedule, request)?;
        let schedule = name(schedule, "name")?;
        let group = request.group()?.to_owned();
        let token = request.client_token.clone();
        let definition = request.into_definition(self.now())?;
        self.once(token.as_deref(), &told, |tx, now| {
            let before = find(tx, &group, schedule)?;
            refuse_managed(&before)?;
            put(tx, &group, schedule, definition, [before.created, now])
        })
    }

    fn get_schedule(&self, schedule: &str, query: &Query<'_>) -> Outcome {
        let schedule = name(schedule, "name")?;
        let group = query.get("groupName").map_or(Ok(DEFAULT_GROUP), |it| name(it, "groupName"))?;
        self.db.read(|connection| Ok(shown(&find(connection, group, schedule)?)))
    }

    fn delete_schedule(&self, schedule: &str, query: &Query<'_>) -> Outcome {
        let schedule = name(schedule, "name")?;
        let group = query.get("groupName").map_or(Ok(DEFAULT_GROUP), |it| name(it, "groupName"))?;
        let told = format!("delete {group}/{schedule}");
        self.once(query.get("clientToken"), &told, |tx, _| {
            let row = find(tx, group, schedule)?;
            refuse_managed(&row)?;
            store::delete(tx, &row.key())?;
            Ok(json!({}))
        })
    }

    fn list_schedules(&self, query: &Query<'_>) -> Outcome {
        let group = query.get("ScheduleGroup").map(|it| name(it, "groupName")).transpose()?;
        let state = query.get("State");
        if let Some(state) = state.filter(|state| !["ENABLED", "DISABLED"].contains(state)) {
            let rule = "satisfy enum value set: [ENABLED, DISABLED]";
            return Err(constraint(&format!("'{state}'"), "state", rule).into());
        }
        let after = query.get("NextToken").unwrap_or("/");
        let after =
            after.split_once('/').ok_or_else(|| invalid("Provided NextToken is not valid."))?;
        let page = query.page()?;
        let wanted = Wanted { group, prefix: query.prefix()?, state, after, count: page + 1 };
        let mut rows = self.db.read(|connection| {
            if let Some(group) = group
                && store::get_group(connection, group)?.is_none()
            {
                let message = format!("Schedule group {group} does not exist.");
                return Err(Fault::from(not_found(message)));
            }
            Ok(store::list(connection, &wanted)?)
        })?;
        let has_more = rows.len() > page;
        rows.truncate(page);
        let next =
            rows.last().filter(|_| has_more).map(|row| format!("{}/{}", row.group, row.name));
        let mut answer = json!({ "Schedules": rows.iter().map(summary).collect::<Vec<_>>() });
        if let Some(next) = next {
            answer["NextToken"] = json!(next);
        }
        Ok(answer)
    }
}

/// The request, and what it says under its token.
fn told(what: &str, schedule: &str, request: Value) -> Result<(Request, String), Fault> {
    // Numbers that were written otherwise are the same request; so is an order of members.
    let mut sorted: BTreeMap<String, Value> = match &request {
        Value::Object(members) => members.clone().into_iter().collect(),
        _ => BTreeMap::new(),
    };
    sorted.remove("ClientToken");
    let told = format!("{what} {schedule} {}", json_text(&sorted));
    let request = serde_json::from_value(request)
        .map_err(|error| Exception::client("SerializationException", error.to_string()))?;
    Ok((request, told))
}

fn find(connection: &rusqlite::Connection, group: &str, schedule: &str) -> Result<Row, Fault> {
    store::get(connection, group, schedule)?
        .ok_or_else(|| not_found(format!("Schedule {schedule} does not exist.")).into())
}

fn refuse_managed(row: &Row) -> Result<(), Fault> {
    if !row.is_managed {
        return Ok(());
    }
    let Row { group, name, .. } = row;
    let message = format!(
        "Schedule {group}/{name} is managed by Taskferry's rules file: change rule {name} there."
    );
    Err(conflict(message).into())
}

fn put(
    tx: &Transaction<'_>,
    group: &str,
    schedule: &str,
    definition: Definition,
    [created, modified]: [Timestamp; 2],
) -> Outcome {
    let times = definition.schedule().map_err(|error| invalid(error.to_string()))?;
    let row = Row {
        group: group.to_owned(),
        name: schedule.to_owned(),
        is_managed: false,
        // A one-time schedule is in time for a minute.
        next: first(&definition, &times, modified).or_else(|| {
            let before = modified.checked_sub(SignedDuration::from_mins(1)).ok()?;
            first(&definition, &times, before).filter(|_| times.is_one_time())
        }),
        definition,
        created,
        modified,
    };
    store::put(tx, &row)?;
    Ok(json!({ "ScheduleArn": arn(group, schedule) }))
}

/// A schedule as `GetSchedule` answers it.
fn shown(row: &Row) -> Value {
    let Row { group, name, definition, created, modified, .. } = row;
    let mut shown = json!({
        "Arn": arn(group, name),
        "GroupName": group,
        "Name": name,
        "ScheduleExpression": definition.schedule_expression,
        "ScheduleExpressionTimezone": definition.schedule_expression_timezone,
        "State": definition.state,
        "FlexibleTimeWindow": definition.flexible_time_window,
        "ActionAfterCompletion": definition.action_after_completion,
        "CreationDate": seconds(created.as_millisecond()),
        "LastModificationDate": seconds(modified.as_millisecond()),
        "Target": target(&definition.target),
    });
    let optional: Map<String, Value> = [
        ("StartDate", definition.start_date.map(seconds)),
        ("EndDate", definition.end_date.map(seconds)),
        ("Description", definition.description.as_ref().map(|it| json!(it))),
        ("KmsKeyArn", definition.kms_key_arn.as_ref().map(|it| json!(it))),
    ]
    .into_iter()
    .filter_map(|(member, value)| Some((member.to_owned(), value?)))
    .collect();
    if let Value::Object(members) = &mut shown {
        members.extend(optional);
    }
    shown
}

/// The target, with the retry policy that holds where none is said.
fn target(target: &Target) -> Value {
    let mut shown = serde_json::to_value(target).unwrap_or_default();
    shown["RetryPolicy"] = json!({
        "MaximumEventAgeInSeconds": target.event_age_seconds_max(),
        "MaximumRetryAttempts": target.retry_attempts_max(),
    });
    shown
}

/// A schedule as a list has it.
fn summary(row: &Row) -> Value {
    json!({
        "Arn": arn(&row.group, &row.name),
        "GroupName": row.group,
        "Name": row.name,
        "State": row.definition.state,
        "CreationDate": seconds(row.created.as_millisecond()),
        "LastModificationDate": seconds(row.modified.as_millisecond()),
        "Target": { "Arn": row.definition.target.arn },
    })
}

/// A group as `GetScheduleGroup` and a list answer it.
pub(super) fn shown_group(group: &store::Group) -> Value {
    json!({
        "Arn": group_arn(&group.name),
        "Name": group.name,
        "State": "ACTIVE",
        "CreationDate": seconds(group.created.as_millisecond()),
        "LastModificationDate": seconds(group.modified.as_millisecond()),
    })
}
