//! The ARNs of this ECS, written in the long format, and the references by which requests name things.
//!
//! Account and Region in a reference are not compared: there is one of each here.

use crate::{
    identity::{ACCOUNT_ID, REGION},
    protocol::Exception,
};

use super::{client, invalid};

/// The characters that names of clusters, families and containers are made of.
pub(super) fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

pub(super) fn cluster(name: &str) -> String {
    write(&format!("cluster/{name}"))
}

pub(super) fn task_definition(family: &str, revision: i64) -> String {
    write(&format!("task-definition/{family}:{revision}"))
}

pub(super) fn task(cluster: &str, id: &str) -> String {
    write(&format!("task/{cluster}/{id}"))
}

pub(super) fn container(cluster: &str, task_id: &str, id: &str) -> String {
    write(&format!("container/{cluster}/{task_id}/{id}"))
}

pub(super) fn container_instance(cluster: &str) -> String {
    write(&format!("container-instance/{cluster}/00000000000000000000000000000001"))
}

fn write(resource: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT_ID}:{resource}")
}

/// The resource part of an ECS ARN, or `None` for what is no ARN.
fn resource(reference: &str) -> Option<Result<&str, Exception>> {
    let parts = reference.strip_prefix("arn:")?;
    let mut parts = parts.splitn(5, ':').skip(1);
    let resource = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("ecs"), Some(_), Some(_), Some(resource)) if !resource.is_empty() => Ok(resource),
        _ => Err(invalid("Invalid arn syntax.")),
    };
    Some(resource)
}

/// The name of the cluster that a request names; `default` if it names none.
pub(super) fn cluster_name(reference: Option<&str>) -> Result<&str, Exception> {
    let reference = reference.filter(|reference| !reference.is_empty()).unwrap_or("default");
    let name = match resource(reference) {
        None => reference,
        Some(resource) => resource?
            .strip_prefix("cluster/")
            .ok_or_else(|| invalid("Unsupported resource type: the ARN is not a cluster's."))?,
    };
    if is_name(name) { Ok(name) } else { Err(invalid(format!("Invalid cluster name: {name}"))) }
}

/// A task definition as requests name it; without a revision it is the latest that is active.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct TaskDefinitionReference<'a> {
    pub family: &'a str,
    pub revision: Option<i64>,
}

impl<'a> TaskDefinitionReference<'a> {
    pub(super) fn parse(reference: &'a str) -> Result<Self, Exception> {
        let name = match resource(reference) {
            None => reference,
            Some(resource) => resource?.strip_prefix("task-definition/").ok_or_else(|| {
                invalid("Invalid arn syntax: the ARN is not a task definition's.")
            })?,
        };
        let (family, revision) = match name.split_once(':') {
            None | Some((_, "*")) => (name.trim_end_matches(":*"), None),
            Some((family, revision)) => {
                let number = revision.parse().ok().filter(|number| *number > 0);
                let number = number.ok_or_else(|| {
                    client(format!("Invalid revision number. Number: {revision}"))
                })?;
                (family, Some(number))
            }
        };
        if is_name(family) {
            Ok(Self { family, revision })
        } else {
            Err(client("Family contains invalid characters."))
        }
    }
}

/// The id of the task that a request names by id or ARN.
///
/// # Errors
///
/// `InvalidParameterException` for an ARN of something else, or of a task in another cluster than `cluster`.
pub(super) fn task_id<'a>(cluster: &str, reference: &'a str) -> Result<&'a str, Exception> {
    let id = match resource(reference) {
        None => reference,
        Some(resource) => {
            let name = resource?
                .strip_prefix("task/")
                .ok_or_else(|| invalid("Invalid identifier: the ARN is not a task's."))?;
            match name.split_once('/') {
                None => name,
                Some((named, id)) if named == cluster => id,
                Some((named, _)) => {
                    return Err(invalid(format!(
                        "Identifier is for cluster {named}. Your cluster is {cluster}"
                    )));
                }
            }
        }
    };
    if is_name(id) { Ok(id) } else { Err(invalid("Task Identifier is invalid")) }
}

/// A thing that carries tags.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Taggable<'a> {
    Cluster(&'a str),
    TaskDefinition(TaskDefinitionReference<'a>),
    Task { cluster: &'a str, id: &'a str },
}

impl<'a> Taggable<'a> {
    pub(super) fn parse(arn: &'a str) -> Result<Self, Exception> {
        let Some(resource) = resource(arn) else {
            return Err(invalid("Invalid resource ARN: it does not start with arn:."));
        };
        match resource?.split_once('/') {
            Some(("cluster", name)) if is_name(name) => Ok(Self::Cluster(name)),
            Some(("task-definition", _)) => {
                let reference = TaskDefinitionReference::parse(arn)?;
                if reference.revision.is_none() {
                    return Err(invalid("The task definition's ARN must have a revision."));
                }
                Ok(Self::TaskDefinition(reference))
            }
            Some(("task", name)) => match name.split_once('/') {
                Some((cluster, id)) if is_name(cluster) && is_name(id) => {
                    Ok(Self::Task { cluster, id })
                }
                _ => Err(invalid("Long arn format must be used for tagging operations")),
            },
            _ => Err(invalid(
                "Unsupported resource type: only clusters, task definitions and \
                              tasks are here.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_named_shortly_or_by_arn() {
        assert_eq!(cluster_name(None).unwrap(), "default");
        assert_eq!(cluster_name(Some("batch")).unwrap(), "batch");
        assert_eq!(cluster_name(Some(&cluster("batch"))).unwrap(), "batch");
        for refused in
            ["a b", "arn:aws:ecs", "arn:aws:ecs:r:1:task/batch", "arn:aws:s3:::cluster/x"]
        {
            assert_eq!(cluster_name(Some(refused)).unwrap_err().name, "InvalidParameterException");
        }
    }

    #[test]
    fn task_definitions_are_named_by_family_revision_or_arn() {
        let parse = |reference: &str| {
            TaskDefinitionReference::parse(reference).map(|r| (r.family.to_owned(), r.revision))
        };
        assert_eq!(parse("a"), Ok(("a".to_owned(), None)));
        assert_eq!(parse("a:2"), Ok(("a".to_owned(), Some(2))));
        let arn = "arn:aws:ecs:r:1:task-definition/a";
        assert_eq!(parse(arn), Ok(("a".to_owned(), None)));
        assert_eq!(parse(&format!("{arn}:*")), Ok(("a".to_owned(), None)));
        assert_eq!(parse(&format!("{arn}:7")), Ok(("a".to_owned(), Some(7))));
        for refused in ["a:b", "a:0", "a:-1", "a:", "a:1:2", "a b", "", "arn:aws:ecs:r:1:task/a"] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn tasks_are_named_by_id_or_by_an_arn_of_their_cluster() {
        assert_eq!(task_id("batch", "0a").unwrap(), "0a");
        assert_eq!(task_id("batch", &task("batch", "0a")).unwrap(), "0a");
        assert_eq!(task_id("batch", "arn:aws:ecs:r:1:task/0a").unwrap(), "0a");
        for refused in [task("other", "0a"), cluster("batch"), "a/b".to_owned(), String::new()] {
            assert!(task_id("batch", &refused).is_err(), "{refused}");
        }
    }
}
