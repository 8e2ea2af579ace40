//! The fleet's decisions, without processes, database or clock.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A fleet with one function, `f`, of which at most two processes run.
struct Fixture {
    fleet: Fleet,
    name: Arc<str>,
    now: Instant,
    started: usize,
}

impl Fixture {
    fn new() -> Self {
        let mut config =
            FunctionsConfig::new("127.0.0.1:0".parse().unwrap(), "/".into(), "/".into());
        config.concurrency_limit = 2;
        let mut fixture =
            Self { fleet: Fleet::new(&config), name: "f".into(), now: Instant::now(), started: 0 };
        fixture.deploy();
        fixture
    }

    fn deploy(&mut self) {
        let function = Function {
            command: Vec::new(),
            environment: Vec::new(),
            timeout: SECOND,
            memory_mb: 128,
            passing_errors: Vec::new(),
        };
        self.fleet.deploy(&self.name, Arc::new(function), BTreeSet::new());
    }

    /// Starts what is wanted: processes are numbered from 1.
    fn start(&mut self) -> Vec<Arc<str>> {
        let number = std::cell::Cell::new(self.started);
        let starts = self.fleet.starts(self.now, || {
            number.set(number.get() + 1);
            number.get().to_string().into()
        });
        self.started = number.get();
        starts.into_iter().map(|start| start.id).collect()
    }

    fn next(&mut self, process: &str) -> oneshot::Receiver<Delivery> {
        self.fleet.next(process, self.now).unwrap().1
    }

    /// Loads rows with these ids.
    fn load(&mut self, ids: &[i64]) {
        let queued = ids.iter().map(|&id| Queued {
            id,
            request_id: id.to_string(),
            attempts: 0,
            payload: Bytes::new(),
            since: jiff::Timestamp::UNIX_EPOCH,
        });
        let room = self.fleet.room(self.now).remove(0);
        self.fleet.loaded(&room, Vec::new(), queued.collect());
    }
}

/// The invocation that a process was given.
fn given(next: &mut oneshot::Receiver<Delivery>) -> Option<String> {
    next.try_recv().ok().map(|delivery| delivery.request_id.to_string())
}

#[test]
fn a_deployment_starts_one_process_and_waiting_work_up_to_the_limit() {
    let mut it = Fixture::new();
    assert_eq!(it.start().len(), 1);
    assert_eq!(it.start().len(), 0);
    it.load(&[1, 2, 3, 4]);
    assert_eq!(it.start().len(), 1);
    assert_eq!(it.start().len(), 0);
}

#[test]
fn work_goes_out_in_order_and_comes_back_once() {
    let mut it = Fixture::new();
    it.start();
    it.load(&[1, 2]);
    let mut next = it.next("1");
    assert_eq!(given(&mut next).as_deref(), Some("1"));
    assert!(it.fleet.answered("1", "2").is_none());
    assert!(it.fleet.answered("1", "1").is_some());
    assert!(it.fleet.answered("1", "1").is_none());
    assert_eq!(given(&mut it.next("1")).as_deref(), Some("2"));
    // It asks again without an answer: the same once more.
    assert_eq!(given(&mut it.next("1")).as_deref(), Some("2"));
}

#[test]
fn a_process_that_hung_up_swallows_nothing() {
    let mut it = Fixture::new();
    it.start();
    drop(it.next("1"));
    it.load(&[1]);
    assert_eq!(given(&mut it.next("1")).as_deref(), Some("1"));
}

#[test]
fn a_row_that_falls_due_is_loaded_or_waited_for() {
    let mut it = Fixture::new();
    let now = it.now;
    for at in [now, now + SECOND] {
        it.fleet.try_again("f", 7, at);
        assert_eq!(it.fleet.due(now), Some(at));
        it.now = at;
        let rooms = it.fleet.room(at);
        assert_eq!(rooms[0].due, [7]);
        assert_eq!(it.fleet.due(at), None);
    }
}

#[test]
fn failed_starts_are_spaced_and_fail_what_waits() {
    let mut it = Fixture::new();
    it.start();
    it.load(&[1, 2]);
    it.start();
    for (process, failed, delay) in [("1", 2, 100), ("2", 0, 200)] {
        let Remains::Init { failed: found, .. } = it.fleet.remove(process, it.now) else {
            panic!("it was starting")
        };
        assert_eq!(found.len(), failed);
        it.load(&[3, 4]);
        assert_eq!(it.start().len(), 0);
        assert_eq!(it.fleet.due(it.now), Some(it.now + Duration::from_millis(delay)));
        it.fleet.deployments.get_mut("f").unwrap().ready.clear();
    }
    it.load(&[5, 6, 7]);
    it.now += Duration::from_millis(200);
    assert_eq!(it.start().len(), 1, "one try at a time");
    assert_eq!(it.start().len(), 0);
    // It works: all may start again.
    let _next = it.next("3");
    assert_eq!(it.start().len(), 1);
}

#[test]
fn what_waits_for_a_process_that_the_system_cannot_start_waits_on() {
    let mut it = Fixture::new();
    it.start();
    it.load(&[1, 2]);
    it.start();
    it.fleet.not_started("1", it.now);
    it.fleet.not_started("2", it.now);
    assert_eq!(it.start().len(), 0);
    let later = it.now + Duration::from_millis(200);
    assert_eq!(it.fleet.due(it.now), Some(later));
    it.now = later;
    assert_eq!(it.start().len(), 1, "one try at a time");
    assert_eq!(given(&mut it.next("3")).as_deref(), Some("1"));
    assert_eq!(it.start().len(), 1);
}

#[test]
fn an_old_deployment_finishes_its_work_and_gets_no_more() {
    let mut it = Fixture::new();
    it.start();
    it.load(&[1]);
    let mut next = it.next("1");
    assert!(given(&mut next).is_some());
    it.deploy();
    it.load(&[2]);
    assert_eq!(it.start().len(), 1);
    assert!(it.fleet.answered("1", "1").is_some());
    assert_eq!(given(&mut it.next("1")), None);
    assert!(matches!(it.fleet.supervise("1", it.now), Supervision::Retire));
    assert_eq!(given(&mut it.next("2")).as_deref(), Some("2"));
}

#[test]
fn idle_processes_go_but_the_last() {
    let mut it = Fixture::new();
    it.start();
    it.load(&[1, 2]);
    it.start();
    let _nexts = [it.next("1"), it.next("2")];
    assert!(it.fleet.answered("1", "1").is_some());
    assert!(it.fleet.answered("2", "2").is_some());
    let _nexts = [it.next("1"), it.next("2")];
    it.now += Duration::from_mins(5);
    assert!(matches!(it.fleet.supervise("1", it.now), Supervision::Retire));
    assert!(matches!(it.fleet.supervise("2", it.now), Supervision::Until(_)));
}

#[test]
fn time_that_is_up_is_up() {
    let mut it = Fixture::new();
    it.start();
    it.load(&[1]);
    let _next = it.next("1");
    let later = Instant::now() + SECOND;
    assert!(matches!(it.fleet.supervise("1", later), Supervision::Timeout(_)));
    // An answer that comes now comes too late.
    assert!(it.fleet.answered("1", "1").is_none());
}

#[test]
fn a_row_queued_while_there_is_no_room_is_loaded_once_there_is() {
    let mut it = Fixture::new();
    it.start();
    let ids: Vec<i64> = (1..=40).collect();
    it.load(&ids);
    // The call of whoever queued row 41.
    assert_eq!(it.fleet.room(it.now).len(), 0);
    for id in 1..=10 {
        assert_eq!(given(&mut it.next("1")), Some(id.to_string()));
        assert!(it.fleet.answered("1", &id.to_string()).is_some());
    }
    assert!(it.fleet.needs_dispatcher("f", it.now));
    assert_eq!(it.fleet.room(it.now)[0].cursor, 40);
}

#[test]
fn a_function_that_is_held_begins_nothing_more() {
    let mut it = Fixture::new();
    it.start();
    it.load(&[1, 2]);
    assert_eq!(given(&mut it.next("1")).as_deref(), Some("1"));
    it.fleet.hold(&["f"]);
    assert!(it.fleet.is_active(|name| name == "f"));
    assert!(it.fleet.answered("1", "1").is_some());
    assert_eq!(given(&mut it.next("1")), None);
    assert_eq!(it.start().len(), 0);
    assert!(!it.fleet.is_active(|_| true));
}

/// A runtime takes whatever its `next` is answered for an invocation, and panics over what is none.
#[test]
fn a_process_that_is_stopped_is_not_answered_however_often_it_is_told() {
    let mut it = Fixture::new();
    it.start();
    let mut next = it.next("1");
    it.fleet.close();
    it.fleet.stop_all();
    it.fleet.stop_all();
    assert_eq!(next.try_recv().unwrap_err(), oneshot::error::TryRecvError::Empty);
    assert!(matches!(it.fleet.supervise("1", it.now), Supervision::Retire));
    // One that asks once more while it is being stopped waits as well.
    let mut again = it.next("1");
    it.fleet.stop_all();
    assert_eq!(again.try_recv().unwrap_err(), oneshot::error::TryRecvError::Empty);
}
