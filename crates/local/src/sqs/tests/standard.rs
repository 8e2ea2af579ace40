//! Standard queues: visibility, delay, retention, dead letters, limits, and what a restart leaves.

use super::*;

#[test]
fn a_message_is_invisible_for_its_time_and_no_longer() {
    let world = World::new();
    world.create("q", &[]);
    world.send("q", "a");
    assert_eq!(world.bodies("q", 10), ["a"]);
    world.pass(30 * SECOND - 1);
    assert_eq!(world.bodies("q", 10), [""; 0]);
    assert_eq!(world.counts("q"), [0, 1, 0]);
    world.pass(1);
    assert_eq!(world.counts("q"), [1, 0, 0]);
    let again = world.receive("q", 10);
    assert_eq!((again[0].receives, again[0].first_received_at), (2, NOON));
}

#[test]
fn what_has_waited_longest_comes_first() {
    let world = World::new();
    world.create("q", &[]);
    for body in ["1", "2", "3"] {
        world.send("q", body);
        world.pass(1);
    }
    assert_eq!(world.bodies("q", 2), ["1", "2"]);
    assert_eq!(world.bodies("q", 2), ["3"]);
}

#[test]
fn a_delay_holds_a_message_back() {
    let world = World::new();
    world.create("q", &[("DelaySeconds", "10")]);
    world.send("q", "queue's");
    let none = NewMessage { body: "none", delay_seconds: Some(0), ..NewMessage::default() };
    world.try_send("q", &none).unwrap();
    let own = NewMessage { body: "own", delay_seconds: Some(900), ..NewMessage::default() };
    world.try_send("q", &own).unwrap();
    assert_eq!(world.counts("q"), [1, 0, 2]);
    assert_eq!(world.bodies("q", 10), ["none"]);
    world.pass(10 * SECOND);
    assert_eq!(world.bodies("q", 10), ["queue's"]);
    // The delay of a standard queue is that of messages that come.
    world.set("q", "DelaySeconds", "0");
    assert_eq!(world.bodies("q", 10), [""; 0]);
    world.pass(890 * SECOND);
    assert!(world.bodies("q", 10).contains(&"own".to_owned()));
}

#[test]
fn a_message_is_kept_for_the_retention_and_no_longer() {
    let world = World::new();
    world.create("q", &[("MessageRetentionPeriod", "60")]);
    for body in ["a", "b", "c"] {
        world.send("q", body);
    }
    let [taken] = world.receive("q", 1).try_into().unwrap();
    world.pass(60 * SECOND);
    assert_eq!(world.counts("q"), [3, 0, 0]);
    world.pass(1);
    assert_eq!(world.counts("q"), [0, 0, 0]);
    assert_eq!(world.bodies("q", 10), [""; 0]);
    assert_eq!((world.rows("sqs_messages"), world.rows("sqs_contents")), (0, 0));
    world.delete("q", &taken).unwrap();
}

#[test]
fn what_nobody_receives_is_deleted_by_what_comes() {
    let world = World::new();
    world.create("q", &[("MessageRetentionPeriod", "60")]);
    (0..10).for_each(|number| drop(world.send("q", &number.to_string())));
    world.pass(61 * SECOND);
    (0..10).for_each(|number| drop(world.send("q", &number.to_string())));
    assert_eq!(world.rows("sqs_contents"), 10);
    assert_eq!(world.counts("q"), [10, 0, 0]);
}

#[test]
fn a_dead_letter_keeps_its_age_and_its_count() {
    let world = World::new();
    world.create("dead", &[]);
    world.with_dead_letters("q", "dead", 2, &[]);
    let sent = world.send("q", "poison");
    for _ in 0..2 {
        assert_eq!(world.bodies("q", 10), ["poison"]);
        world.pass(30 * SECOND);
    }
    assert_eq!(world.bodies("q", 10), [""; 0]);
    assert_eq!(world.counts("q"), [0, 0, 0]);
    let [letter] = world.receive("dead", 10).try_into().unwrap();
    assert_eq!(letter.message_id, sent.message_id);
    assert_eq!((letter.sent_at, letter.receives), (NOON, 3));
    assert_eq!(letter.dead_letter_source, Some(crate::sqs::queue_arn("q")));
    // Its retention goes by when it was sent at first.
    world.pass(4 * DAY - 60 * SECOND + 1);
    assert_eq!(world.counts("dead"), [0, 0, 0]);
}

#[test]
fn without_its_queue_for_dead_letters_a_message_stays() {
    let world = World::new();
    world.create("dead", &[]);
    world.with_dead_letters("q", "dead", 1, &[("VisibilityTimeout", "0")]);
    world.send("q", "poison");
    world
        .db
        .write(|tx| {
            let queue = find(tx, "dead")?;
            Ok::<_, Fault>(world.queues.delete_queue(tx, &queue)?)
        })
        .unwrap();
    for _ in 0..3 {
        assert_eq!(world.bodies("q", 1), ["poison"]);
        world.pass(1);
    }
}

#[test]
fn with_no_visibility_timeout_an_answer_has_each_message_once() {
    let world = World::new();
    world.create("q", &[("VisibilityTimeout", "0")]);
    (0..3).for_each(|number| drop(world.send("q", &number.to_string())));
    assert_eq!(world.bodies("q", 10).len(), 3);
    assert_eq!(world.bodies("q", 10).len(), 3);
}

#[test]
fn a_message_is_invisible_for_twelve_hours_at_most() {
    let world = World::new();
    world.create("q", &[]);
    world.send("q", "a");
    let [message] = world.receive("q", 1).try_into().unwrap();
    world.change("q", &message, 43_200).unwrap();
    world.pass(43_190 * SECOND);
    world.change("q", &message, 10).unwrap();
    refused(world.change("q", &message, 11), Code::InvalidParameterValue);
    world.pass(10 * SECOND);
    refused(world.change("q", &message, 0), Code::MessageNotInflight);
    // Another receive, another twelve hours.
    let [message] = world.receive("q", 1).try_into().unwrap();
    world.change("q", &message, 43_200).unwrap();
}

#[test]
fn an_old_receipt_deletes_its_message_all_the_same() {
    let world = World::new();
    world.create("q", &[]);
    world.send("q", "a");
    let [first] = world.receive("q", 1).try_into().unwrap();
    world.pass(30 * SECOND);
    let [second] = world.receive("q", 1).try_into().unwrap();
    assert_ne!(first.receipt_handle, second.receipt_handle);
    world.delete("q", &first).unwrap();
    world.delete("q", &second).unwrap();
    assert_eq!(world.rows("sqs_contents"), 0);
}

#[test]
fn no_more_than_a_hundred_and_twenty_thousand_are_in_flight() {
    let world = World::new();
    world.create("q", &[]);
    // Not one by one, which would take a while.
    world
        .db
        .write(|tx| {
            let queue = find(tx, "q")?;
            tx.execute(
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 119995)
                 INSERT INTO sqs_messages (id, pool, sent_at, visible_at, receives)
                 SELECT n, ?1, ?2, ?2 + 30000, 1 FROM n",
                (queue.pool, NOON),
            )?;
            Ok::<_, Fault>(())
        })
        .unwrap();
    (0..10).for_each(|number| drop(world.send("q", &number.to_string())));
    assert_eq!(world.receive("q", 4).len(), 4);
    assert_eq!(world.receive("q", 10).len(), 1);
    refused(world.try_receive("q", &wanted(1)), Code::OverLimit);
    world.pass(30 * SECOND);
    assert!(world.try_receive("q", &wanted(1)).is_ok());
}

#[test]
fn all_that_was_answered_is_there_after_a_restart() {
    let world = World::new();
    world.create("q", &[("VisibilityTimeout", "60")]);
    world.create("f.fifo", &[]);
    world.send("q", "waits");
    world.pass(1);
    world.send("q", "taken");
    let first = world.send_in("f.fifo", "g", "1");
    let [waits, taken] = world.receive("q", 2).try_into().unwrap();
    world.change("q", &waits, 0).unwrap();
    let world = world.restarted();
    assert_eq!(world.counts("q"), [1, 1, 0]);
    let again = world.receive("q", 10);
    assert_eq!((again[0].body.as_str(), again[0].receives), ("waits", 2));
    world.delete("q", &taken).unwrap();
    assert_eq!(world.counts("q"), [0, 1, 0]);
    // Sent before, also by another process.
    assert_eq!(world.send_in("f.fifo", "g", "1"), first);
    assert!(world.send_in("f.fifo", "g", "2").sequence_number > first.sequence_number);
}

#[test]
fn numbers_rise_though_the_clock_is_set_back_and_all_is_deleted() {
    let world = World::new();
    world.create("f.fifo", &[]);
    let first = world.send_in("f.fifo", "g", "1");
    let [message] = world.receive("f.fifo", 1).try_into().unwrap();
    world.delete("f.fifo", &message).unwrap();
    world.clock.store(NOON - DAY, Ordering::Relaxed);
    let world = world.restarted();
    assert!(world.send_in("f.fifo", "g", "2").sequence_number > first.sequence_number);
}

#[test]
fn a_purged_queue_is_empty_and_works() {
    let world = World::new();
    world.create("q", &[]);
    (0..10).for_each(|number| drop(world.send("q", &number.to_string())));
    let [taken] = world.receive("q", 1).try_into().unwrap();
    let purge = || {
        world.db.write(|tx| {
            let queue = find(tx, "q")?;
            world.queues.purge(tx, &queue)
        })
    };
    purge().unwrap();
    assert_eq!(world.counts("q"), [0, 0, 0]);
    world.delete("q", &taken).unwrap();
    refused(purge().map_err(Refusal::from), Code::PurgeQueueInProgress);
    world.send("q", "after");
    while world.db.write(crate::sqs::drain::step).unwrap() {}
    assert_eq!((world.rows("sqs_messages"), world.rows("sqs_drained")), (1, 0));
    assert_eq!(world.bodies("q", 10), ["after"]);
    world.pass(60 * SECOND);
    purge().unwrap();
}

#[test]
fn what_is_refused_leaves_nothing() {
    let world = World::new();
    world.create("q", &[("MaximumMessageSize", "1024")]);
    let long = "x".repeat(1025);
    refused(
        world.try_send("q", &NewMessage { body: &long, ..NewMessage::default() }),
        Code::InvalidParameterValue,
    );
    refused(
        world.try_send("q", &NewMessage { body: "a\u{b}", ..NewMessage::default() }),
        Code::InvalidMessageContents,
    );
    refused(
        world.try_send("none", &NewMessage { body: "a", ..NewMessage::default() }),
        Code::QueueDoesNotExist,
    );
    assert_eq!((world.rows("sqs_messages"), world.rows("sqs_contents")), (0, 0));
    refused(world.try_create("q", &[("MaximumMessageSize", "1025")]), Code::QueueNameExists);
    world.create("q", &[("MaximumMessageSize", "1024")]);
}

#[test]
fn digests_are_aws_s() {
    // From AWS's own SDKs' tests of the algorithm: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
    let world = World::new();
    world.create("q", &[]);
    let attributes = [(
        "timestamp".to_owned(),
        crate::sqs::AttributeValue {
            data_type: "Number".to_owned(),
            string_value: Some("1493147359900".to_owned()),
            binary_value: None,
        },
    )];
    let message =
        NewMessage { body: "derp", attributes: attributes.into(), ..NewMessage::default() };
    let sent = world.try_send("q", &message).unwrap();
    assert_eq!(sent.body_md5, "58fd9edd83341c29f1aebba81c31e257");
    assert_eq!(sent.attributes_md5.as_deref(), Some("235c5c510d26fb653d073faed50ae77c"));
}
