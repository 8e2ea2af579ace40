CREATE TABLE ecs_clusters (
    name TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    cluster TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE ecs_task_definitions (
    family TEXT NOT NULL,
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (family, revision)
) WITHOUT ROWID;

CREATE TABLE ecs_tags (
    resource_arn TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT,
    PRIMARY KEY (resource_arn, key)
) WITHOUT ROWID;

-- One row for each RunTask with a clientToken, as long as the token is good. Times are in milliseconds.
CREATE TABLE ecs_launches (
    cluster TEXT NOT NULL,
    client_token TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    request TEXT NOT NULL,
    PRIMARY KEY (cluster, client_token)
) WITHOUT ROWID;

CREATE TABLE ecs_tasks (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    cluster TEXT NOT NULL,
    family TEXT NOT NULL,
    launch_type TEXT NOT NULL,
    started_by TEXT,
    client_token TEXT,
    desired_status TEXT NOT NULL,
    last_status TEXT NOT NULL,
    stopped_at INTEGER,
    task TEXT NOT NULL
);
CREATE INDEX ecs_tasks_by_desired_status ON ecs_tasks (cluster, desired_status);
CREATE INDEX ecs_tasks_by_started_by ON ecs_tasks (cluster, started_by) WHERE started_by IS NOT NULL;
CREATE INDEX ecs_tasks_by_client_token ON ecs_tasks (cluster, client_token) WHERE client_token IS NOT NULL;
CREATE INDEX ecs_tasks_stopped ON ecs_tasks (stopped_at) WHERE stopped_at IS NOT NULL;

-- The process groups that run now, each with what tells its leader from a later process of the same number.
CREATE TABLE ecs_processes (
    pid INTEGER NOT NULL,
    started TEXT NOT NULL,
    task_id TEXT NOT NULL,
    PRIMARY KEY (pid, started)
) WITHOUT ROWID;
