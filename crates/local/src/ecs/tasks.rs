//! The operations on tasks that are there: `DescribeTasks`, `ListTasks`, `StopTask`.
//!
//! A stopped task is shown for an hour (`memory`). It is kept as long as the token that launched it can be replayed, and then
//! deleted, by the next `RunTask` that finds time for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use rusqlite::params;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::protocol::Exception;

use super::{
    Ecs, Fault, arn, clusters, invalid, object, paging,
    run_task::{self, TOKEN_MS},
    tags,
    task::{self, Epoch, Status, StopCode, Task},
};

const DESCRIBED_MAX: usize = 100;
const REASON_MAX: usize = 255;
const PURGE_MS: i64 = 60 * 1000;

/// When tasks were last purged, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Purge(AtomicI64);

#[derive(Debug, Deserialize)]
pub(super) struct DescribeTasks {
    cluster: Option<String>,
    tasks: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListTasks {
    cluster: Option<String>,
    container_instance: Option<String>,
    family: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
    started_by: Option<String>,
    service_name: Option<String>,
    desired_status: Option<String>,
    launch_type: Option<String>,
    daemon_name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct StopTask {
    cluster: Option<String>,
    task: String,
    reason: Option<String>,
}

impl Ecs {
    pub(super) fn describe_tasks(&self, request: &DescribeTasks) -> Result<Value, Fault> {
        if request.tasks.is_empty() {
            return Err(invalid("Tasks cannot be empty.").into());
        }
        if request.tasks.len() > DESCRIBED_MAX {
            return Err(invalid(format!("At most {DESCRIBED_MAX} tasks can be described.")).into());
        }
        let cluster = arn::cluster_name(request.cluster.as_deref())?;
        let with_tags = request.include.iter().any(|field| field == "TAGS");
        let forgotten = self.forgotten();
        self.db.read(|connection| {
            clusters::require_active(connection, cluster)?;
            let (mut tasks, mut failures) = (Vec::new(), Vec::new());
            for reference in &request.tasks {
                let id = arn::task_id(cluster, reference)?;
                let task = task::find(connection, id)?;
                let task = task.filter(|task| is_shown(task, cluster, forgotten));
                let Some(task) = task else {
                    let is_arn = reference.starts_with("arn:");
                    let arn = if is_arn { reference.clone() } else { arn::task(cluster, id) };
                    failures.push(json!({ "arn": arn, "reason": "MISSING" }));
                    continue;
                };
                let mut described = serde_json::to_value(&task).expect("a task is JSON");
                described["tags"] =
                    if with_tags { tags::answer(connection, &task.task_arn)? } else { json!([]) };
                tasks.push(described);
            }
            Ok(json!({ "tasks": tasks, "failures": failures }))
        })
    }

    pub(super) fn list_tasks(&self, request: &ListTasks) -> Result<Value, Fault> {
        let limit = paging::limit(request.max_results)?;
        request.check()?;
        let cluster = arn::cluster_name(request.cluster.as_deref())?;
        let after = paging::after(request.next_token.as_deref())?;
        let after: i64 = match after {
            None => 0,
            Some(after) => after.parse().map_err(|_| invalid("Invalid token"))?,
        };
        let desired = request.desired_status.as_deref().unwrap_or("RUNNING");
        let stopped_after = self.forgotten();
        let found: Vec<(i64, String)> = self.db.read(|connection| {
            clusters::require_active(connection, cluster)?;
            if request.service_name.is_some() {
                let message = "Service not found.";
                return Err(Fault::from(Exception::client("ServiceNotFoundException", message)));
            }
            // Nothing here is part of a daemon, and the one container instance is no member of a cluster.
            if request.container_instance.is_some() || request.daemon_name.is_some() {
                return Ok(Vec::new());
            }
            let found = connection
                .prepare_cached(
                    "SELECT number, id FROM ecs_tasks
                     WHERE cluster = ?1 AND desired_status = ?2 AND number > ?3
                       AND (?4 IS NULL OR family = ?4) AND (?5 IS NULL OR started_by = ?5)
                       AND (?6 IS NULL OR launch_type = ?6)
                       AND (stopped_at IS NULL OR stopped_at > ?7)
                     ORDER BY number LIMIT ?8",
                )?
                .query_map(
                    params![
                        cluster,
                        desired,
                        after,
                        request.family,
                        request.started_by,
                        request.launch_type,
                        stopped_after,
                        limit + 1
                    ],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?
                .collect::<rusqlite::Result<_>>()?;
            Ok(found)
        })?;
        let (found, next) = paging::page(found, limit, |(number, _)| number.to_string());
        let arns: Vec<_> = found.iter().map(|(_, id)| arn::task(cluster, id)).collect();
        Ok(object([("taskArns", Some(json!(arns))), ("nextToken", next.map(Value::String))]))
    }

    pub(super) fn stop_task(&self, request: &StopTask) -> Result<Value, Fault> {
        let reason = request.reason.as_deref().unwrap_or("Task stopped by user");
        if reason.chars().count() > REASON_MAX {
            return Err(invalid(format!("reason must be at most {REASON_MAX} characters.")).into());
        }
        let cluster = arn::cluster_name(request.cluster.as_deref())?;
        let id = arn::task_id(cluster, &request.task)?;
        let forgotten = self.forgotten();
        let task = self.db.write(|tx| {
            clusters::require_active(tx, cluster)?;
            let task = task::find(tx, id)?.filter(|task| is_shown(task, cluster, forgotten));
            let task = task.ok_or_else(|| invalid("The referenced task was not found."))?;
            // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
            // "When you call StopTask on a task, ... tags ... are deleted."
            tags::clear(tx, &task.task_arn)?;
            if task.is_stopping() {
                return Ok::<_, Fault>(task);
            }
            Ok(task::change(tx, &self.events, id, |task, now| {
                task.stop(StopCode::UserInitiated, reason, now);
            })?)
        })?;
        self.ask_to_stop(id);
        let mut answer = serde_json::to_value(&task).expect("a task is JSON");
        answer["tags"] = json!([]);
        Ok(json!({ "task": answer }))
    }

    fn ask_to_stop(&self, id: &str) {
        let live = self.live().get(id).map(Arc::clone);
        if let Some(live) = live {
            live.notify_one();
        }
    }

    /// Tasks that stopped by then are not shown any more.
    fn forgotten(&self) -> i64 {
        self.memory.forgets(Instant::now(), Epoch::now())
    }

    /// Deletes what nobody can ask for any more, if it has not been done lately.
    pub(super) fn purge_now_and_then(&self) {
        let now = Epoch::now().0;
        let last = self.purge.0.load(Ordering::Relaxed);
        let claim =
            || self.purge.0.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        if now < last + PURGE_MS || claim().is_err() {
            return;
        }
        let forgotten = self.forgotten();
        let purged = self.db.write(|tx| {
            tx.prepare_cached("DELETE FROM ecs_launches WHERE created_at <= ?1")?
                .execute([now - TOKEN_MS])?;
            let purged: Vec<(String, String)> = tx
                .prepare_cached(
                    "DELETE FROM ecs_tasks WHERE stopped_at <= ?1
                     AND NOT EXISTS (SELECT 1 FROM ecs_launches AS launches
                                     WHERE launches.cluster = ecs_tasks.cluster
                                       AND launches.client_token = ecs_tasks.client_token)
                     RETURNING cluster, id",
                )?
                .query_map([forgotten], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (cluster, id) in purged {
                tags::clear(tx, &arn::task(&cluster, &id))?;
            }
            Ok::<_, rusqlite::Error>(())
        });
        if let Err(error) = purged {
            tracing::warn!(error = &error as &dyn std::error::Error, "old tasks are not deleted");
        }
    }
}

impl ListTasks {
    fn check(&self) -> Result<(), Exception> {
        // "When you specify `startedBy` as the filter, it must be the only filter that you use."
        // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
        // ECS takes a desired status beside it all the same: it chooses between two lists rather than filters one.
        let others = [
            &self.family,
            &self.service_name,
            &self.container_instance,
            &self.launch_type,
            &self.daemon_name,
        ];
        if let Some(started_by) = &self.started_by {
            run_task::check_started_by(started_by)?;
            if others.into_iter().any(Option::is_some) {
                return Err(invalid("cannot specify startedBy with other arguments"));
            }
        }
        if self.family.is_some() && self.service_name.is_some() {
            return Err(invalid("cannot specify serviceName with family"));
        }
        if self.family.as_deref().is_some_and(|family| !arn::is_name(family)) {
            return Err(invalid("family must match ^[a-zA-Z0-9\\-_]+$"));
        }
        Ok(())
    }
}

/// Whether a task is in the cluster, and has not been forgotten: it stopped by `forgotten`.
fn is_shown(task: &Task, cluster: &str, forgotten: i64) -> bool {
    let here = task.cluster_arn == arn::cluster(cluster);
    let is_kept = task.stopped_at.is_none_or(|at| at.0 > forgotten);
    here && (task.last_status != Status::Stopped || is_kept)
}
