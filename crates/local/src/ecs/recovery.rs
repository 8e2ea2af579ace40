//! What opening finds of the process before: its tasks are stopped, and what still runs of them is killed.

use nix::{sys::signal::Signal, unistd::Pid};

use crate::db::Db;

use super::{
    events::Events,
    process,
    task::{self, Status, StopCode},
};

const REASON: &str = "The local ECS stopped while the task ran.";

/// Ends all that a process before this one has left.
pub(super) fn recover(db: &Db, events: &Events) -> rusqlite::Result<()> {
    let (processes, tasks) = db.read(|connection| {
        let processes: Vec<(i32, String)> = connection
            .prepare("SELECT pid, started FROM ecs_processes")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let tasks: Vec<String> = connection
            .prepare("SELECT id FROM ecs_tasks WHERE last_status <> 'STOPPED' ORDER BY number")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        Ok::<_, rusqlite::Error>((processes, tasks))
    })?;
    for (pid, started) in processes {
        kill_left_over(Pid::from_raw(pid), &started);
    }
    db.write(|tx| {
        tx.execute("DELETE FROM ecs_processes", [])?;
        for id in &tasks {
            task::change(tx, events, id, |task, now| {
                task.stop(StopCode::InfrastructureHealth, REASON, now);
                task.last_status = Status::Stopped;
                task.stopped_at = Some(now);
                task.execution_stopped_at.get_or_insert(now);
                task.attachments_become("DELETED");
                for container in &mut task.containers {
                    container.last_status = Status::Stopped;
                    if container.exit_code.is_none() {
                        container.reason.get_or_insert_with(|| REASON.to_owned());
                    }
                }
            })?;
        }
        Ok::<_, rusqlite::Error>(())
    })
}

/// Kills a group that the reaper missed, unless its number belongs to a later process by now.
fn kill_left_over(leader: Pid, started: &str) {
    if leader.as_raw() <= 1 || started.is_empty() {
        return;
    }
    let same = match process::identity(leader) {
        Some(identity) => identity == started,
        // The leader is gone. As long as anything of its group is left, the kernel gives the number to no other, and in
        // another boot nothing is left.
        None => process::boot().is_some_and(|boot| started.starts_with(&boot)),
    };
    if same {
        process::signal(leader, Signal::SIGKILL);
    }
}
