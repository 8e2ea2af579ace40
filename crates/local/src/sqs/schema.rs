//! The tables of SQS.
//!
//! What a message says never changes once it is sent, so it has a row of its own (`sqs_contents`), and a receive rewrites
//! the short one alone (`sqs_messages`). Every read of the hot paths goes by one index to what it wants: how many messages
//! there are makes no difference.

/// The tables of this service.
///
/// * `sqs_queues.pool`: where a queue's messages are; another after a purge, which so takes no longer for a million of them.
/// * `sqs_drained`: the pools of purged and deleted queues, whose rows are deleted little by little.
/// * `sqs_messages.id` rises with each message of all queues, also past those that were deleted: it is the sequence number.
///   Queues and pools are numbered from the same source, so that no number ever stands for two things.
/// * `sqs_messages.visible_at`: when it can be received; later than now while it is delayed (never received here) or in flight.
/// * `sqs_messages.receives`: in this queue; those in queues that it was moved from are `receives_elsewhere`.
/// * `sqs_messages.fifo_group`: the group, in a FIFO queue alone.
/// * `sqs_messages.in_hand`: whether a mapping's invocation has it ([`IN_HAND_SCHEMA`]).
/// * `sqs_groups.available_at`: when the first message of a group in a FIFO queue can be received.
pub(crate) const SCHEMA: &str = "
CREATE TABLE sqs_queues (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    pool INTEGER NOT NULL,
    settings TEXT NOT NULL,
    tags TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    purged_at INTEGER
);
CREATE TABLE sqs_drained (pool INTEGER PRIMARY KEY);
CREATE TABLE sqs_messages (
    id INTEGER PRIMARY KEY,
    pool INTEGER NOT NULL,
    sent_at INTEGER NOT NULL,
    visible_at INTEGER NOT NULL,
    receives INTEGER NOT NULL DEFAULT 0,
    receives_elsewhere INTEGER NOT NULL DEFAULT 0,
    first_received_at INTEGER,
    received_at INTEGER,
    fifo_group TEXT,
    dead_letter_source TEXT
);
CREATE INDEX sqs_messages_visible ON sqs_messages (pool, visible_at, sent_at, receives);
CREATE INDEX sqs_messages_ordered ON sqs_messages (pool, fifo_group, id) WHERE fifo_group IS NOT NULL;
CREATE INDEX sqs_messages_taken ON sqs_messages (pool, fifo_group, visible_at)
    WHERE fifo_group IS NOT NULL AND receives > 0;
CREATE TABLE sqs_contents (
    id INTEGER PRIMARY KEY,
    message_id BLOB NOT NULL,
    body TEXT NOT NULL,
    body_md5 BLOB NOT NULL,
    attributes TEXT,
    trace_header TEXT,
    group_id TEXT,
    deduplication_id TEXT
);
CREATE TABLE sqs_groups (
    pool INTEGER NOT NULL,
    name TEXT NOT NULL,
    available_at INTEGER NOT NULL,
    head INTEGER NOT NULL,
    PRIMARY KEY (pool, name)
) WITHOUT ROWID;
CREATE INDEX sqs_groups_available ON sqs_groups (pool, available_at, head);
CREATE TABLE sqs_deduplications (
    queue INTEGER NOT NULL,
    scope TEXT NOT NULL,
    deduplication_id TEXT NOT NULL,
    message INTEGER NOT NULL,
    message_id BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (queue, scope, deduplication_id)
) WITHOUT ROWID;
CREATE INDEX sqs_deduplications_expired ON sqs_deduplications (expires_at);
CREATE TABLE sqs_receive_attempts (
    queue INTEGER NOT NULL,
    attempt TEXT NOT NULL,
    messages TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (queue, attempt)
) WITHOUT ROWID;
CREATE INDEX sqs_receive_attempts_expired ON sqs_receive_attempts (expires_at);
CREATE TABLE sqs_move_tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    destination TEXT,
    per_second INTEGER,
    status TEXT NOT NULL,
    last_message INTEGER NOT NULL,
    to_move INTEGER NOT NULL,
    moved INTEGER NOT NULL DEFAULT 0,
    failure TEXT,
    started_at INTEGER NOT NULL
);
CREATE INDEX sqs_move_tasks_of ON sqs_move_tasks (source, id);
";

/// What a mapping has in hand: with the end of the process nobody works on it any more, so the next gives it back.
pub(crate) const IN_HAND_SCHEMA: &str =
    "ALTER TABLE sqs_messages ADD COLUMN in_hand INTEGER NOT NULL DEFAULT 0;";
