//! The operations on clusters.
//!
//! There is no cluster until one is created, `default` included, as in a new account.

use rusqlite::{Connection, OptionalExtension};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::protocol::Exception;

use super::{
    Ecs, Fault, arn, exists, invalid, json_column, json_text, object, paging,
    placement::{self, StrategyItem},
    tags::{self, Tag},
};

const DESCRIBED_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateCluster {
    cluster_name: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    settings: Vec<Value>,
    configuration: Option<Value>,
    #[serde(default)]
    capacity_providers: Vec<String>,
    #[serde(default)]
    default_capacity_provider_strategy: Vec<StrategyItem>,
    service_connect_defaults: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DeleteCluster {
    cluster: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct DescribeClusters {
    #[serde(default)]
    clusters: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListClusters {
    next_token: Option<String>,
    max_results: Option<i64>,
}

impl Ecs {
    pub(super) fn create_cluster(&self, request: CreateCluster) -> Result<Value, Fault> {
        let name = request.cluster_name.as_deref().filter(|name| !name.is_empty());
        let name = name.unwrap_or("default");
        if !arn::is_name(name) {
            return Err(invalid("Cluster name must match ^[a-zA-Z0-9_-]{1,255}$.").into());
        }
        tags::check(&request.tags)?;
        if request.capacity_providers.iter().any(|name| !arn::is_name(name)) {
            return Err(invalid("The name of a capacity provider is not valid.").into());
        }
        let strategy = &request.default_capacity_provider_strategy;
        placement::check_strategy(strategy, &request.capacity_providers)?;
        let arn = arn::cluster(name);
        let cluster = object([
            ("clusterArn", Some(json!(arn))),
            ("clusterName", Some(json!(name))),
            ("settings", Some(json!(request.settings))),
            ("configuration", request.configuration),
            ("capacityProviders", Some(json!(request.capacity_providers))),
            ("defaultCapacityProviderStrategy", Some(json!(strategy))),
            ("serviceConnectDefaults", request.service_connect_defaults),
        ]);
        self.db.write(|tx| {
            // Creating what is there answers what is there.
            if !exists(
                tx,
                "SELECT 1 FROM ecs_clusters WHERE name = ?1 AND status = 'ACTIVE'",
                [name],
            )? {
                tx.prepare_cached(
                    "INSERT OR REPLACE INTO ecs_clusters (name, status, cluster)
                     VALUES (?1, 'ACTIVE', ?2)",
                )?
                .execute((name, json_text(&cluster)))?;
                tags::clear(tx, &arn)?;
                tags::put(tx, &arn, &request.tags)?;
            }
            let cluster = describe(tx, name, &["SETTINGS", "CONFIGURATIONS", "TAGS"])?;
            Ok(json!({ "cluster": cluster }))
        })
    }

    pub(super) fn delete_cluster(&self, request: &DeleteCluster) -> Result<Value, Fault> {
        let name = arn::cluster_name(Some(&request.cluster))?;
        self.db.write(|tx| {
            require_active(tx, name)?;
            if exists(
                tx,
                "SELECT 1 FROM ecs_tasks WHERE cluster = ?1 AND last_status <> 'STOPPED'",
                [name],
            )? {
                let message = "The Cluster cannot be deleted while Tasks are active.";
                return Err(Exception::client("ClusterContainsTasksException", message).into());
            }
            tx.prepare_cached("UPDATE ecs_clusters SET status = 'INACTIVE' WHERE name = ?1")?
                .execute([name])?;
            tags::clear(tx, &arn::cluster(name))?;
            Ok(json!({ "cluster": describe(tx, name, &[])? }))
        })
    }

    pub(super) fn describe_clusters(&self, request: &DescribeClusters) -> Result<Value, Fault> {
        if request.clusters.len() > DESCRIBED_MAX {
            return Err(
                invalid(format!("At most {DESCRIBED_MAX} clusters can be described.")).into()
            );
        }
        let include: Vec<_> = request.include.iter().map(String::as_str).collect();
        let default = ["default".to_owned()];
        let references =
            if request.clusters.is_empty() { &default[..] } else { &request.clusters[..] };
        self.db.read(|connection| {
            let (mut clusters, mut failures) = (Vec::new(), Vec::new());
            for reference in references {
                let name = arn::cluster_name(Some(reference))?;
                match describe(connection, name, &include)? {
                    Some(cluster) => clusters.push(cluster),
                    None => {
                        failures.push(json!({ "arn": arn::cluster(name), "reason": "MISSING" }));
                    }
                }
            }
            Ok(json!({ "clusters": clusters, "failures": failures }))
        })
    }

    pub(super) fn list_clusters(&self, request: &ListClusters) -> Result<Value, Fault> {
        let limit = paging::limit(request.max_results)?;
        let after = paging::after(request.next_token.as_deref())?.unwrap_or_default();
        let names: Vec<String> = self.db.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT name FROM ecs_clusters WHERE status = 'ACTIVE' AND name > ?1
                     ORDER BY name LIMIT ?2",
                )?
                .query_map((after, limit + 1), |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()
        })?;
        let (names, next) = paging::page(names, limit, Clone::clone);
        let arns: Vec<_> = names.iter().map(|name| arn::cluster(name)).collect();
        Ok(object([("clusterArns", Some(json!(arns))), ("nextToken", next.map(Value::String))]))
    }
}

/// The cluster as it was created.
pub(super) fn require_active(connection: &Connection, name: &str) -> Result<Value, Fault> {
    let cluster = connection
        .prepare_cached("SELECT cluster FROM ecs_clusters WHERE name = ?1 AND status = 'ACTIVE'")?
        .query_row([name], |row| json_column(row, 0))
        .optional()?;
    cluster
        .ok_or_else(|| Exception::client("ClusterNotFoundException", "Cluster not found.").into())
}

fn describe(
    connection: &Connection,
    name: &str,
    include: &[&str],
) -> rusqlite::Result<Option<Value>> {
    let stored = connection
        .prepare_cached("SELECT status, cluster FROM ecs_clusters WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get::<_, String>(0)?, json_column::<Value>(row, 1)?)))
        .optional()?;
    let Some((status, mut cluster)) = stored else { return Ok(None) };
    let (running, pending): (i64, i64) = connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE last_status = 'RUNNING'),
                    count(*) FILTER (WHERE last_status IN ('PROVISIONING', 'PENDING', 'ACTIVATING'))
             FROM ecs_tasks WHERE cluster = ?1 AND last_status <> 'STOPPED'",
        )?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    cluster["status"] = json!(status);
    cluster["runningTasksCount"] = json!(running);
    cluster["pendingTasksCount"] = json!(pending);
    cluster["activeServicesCount"] = json!(0);
    cluster["registeredContainerInstancesCount"] = json!(0);
    cluster["statistics"] = json!([]);
    let tags = if include.contains(&"TAGS") {
        tags::answer(connection, &arn::cluster(name))?
    } else {
        json!([])
    };
    cluster["tags"] = tags;
    if let Some(members) = cluster.as_object_mut() {
        if !include.contains(&"SETTINGS") {
            members.insert("settings".to_owned(), json!([]));
        }
        if !include.contains(&"CONFIGURATIONS") {
            members.remove("configuration");
        }
    }
    Ok(Some(cluster))
}
