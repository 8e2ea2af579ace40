//! FIFO queues: order, groups, deduplication.

use super::*;

const Q: &str = "q.fifo";

fn world() -> World {
    let world = World::new();
    world.create(Q, &[]);
    world
}

#[test]
fn a_group_is_received_in_order_and_by_one_at_a_time() {
    let world = world();
    for (group, body) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a3")] {
        world.send_in(Q, group, body);
        world.pass(1);
    }
    let [a1] = world.receive(Q, 1).try_into().unwrap();
    assert_eq!(a1.body, "a1");
    assert_eq!(world.bodies(Q, 10), ["b1"]);
    assert_eq!(world.bodies(Q, 10), [""; 0]);
    world.delete(Q, &a1).unwrap();
    assert_eq!(world.bodies(Q, 10), ["a2", "a3"]);
}

#[test]
fn an_answer_has_as_much_of_a_group_as_there_is() {
    let world = world();
    for body in ["a1", "b1", "a2"] {
        world.send_in(Q, &body[..1], body);
        world.pass(1);
    }
    let [a1, a2] = world.receive(Q, 2).try_into().unwrap();
    assert_eq!([a1.body.as_str(), a2.body.as_str()], ["a1", "a2"]);
}

#[test]
fn a_group_waits_until_none_of_it_is_in_flight() {
    let world = world();
    for body in ["1", "2", "3"] {
        world.send_in(Q, "g", body);
    }
    let [one, two] = world.receive(Q, 2).try_into().unwrap();
    // The first is given up, the second is still worked on: the first must not come before that ends.
    world.change(Q, &one, 0).unwrap();
    assert_eq!(world.bodies(Q, 10), [""; 0]);
    world.delete(Q, &two).unwrap();
    assert_eq!(world.bodies(Q, 10), ["1", "3"]);
}

#[test]
fn what_failed_comes_again_before_what_follows() {
    let world = world();
    for body in ["1", "2", "3"] {
        world.send_in(Q, "g", body);
    }
    let [one, _two, three] = world.receive(Q, 10).try_into().unwrap();
    world.delete(Q, &one).unwrap();
    world.delete(Q, &three).unwrap();
    world.send_in(Q, "g", "4");
    assert_eq!(world.bodies(Q, 10), [""; 0]);
    world.pass(30 * SECOND);
    assert_eq!(world.bodies(Q, 10), ["2", "4"]);
}

#[test]
fn a_message_is_known_for_five_minutes() {
    let world = world();
    let first = world.send_in(Q, "g", "1");
    world.pass(5 * 60 * SECOND - 1);
    assert_eq!(world.send_in(Q, "h", "1"), first);
    world.pass(1);
    assert_ne!(world.send_in(Q, "g", "1").message_id, first.message_id);
    assert_eq!(world.counts(Q), [2, 0, 0]);
    // What is over is forgotten by and by.
    world.pass(5 * 60 * SECOND);
    world.send_in(Q, "g", "2");
    assert_eq!(world.rows("sqs_deduplications"), 1);
}

#[test]
fn a_message_of_another_group_may_be_another() {
    let world = World::new();
    world.create(Q, &[("DeduplicationScope", "messageGroup")]);
    let first = world.send_in(Q, "g", "1");
    assert_ne!(world.send_in(Q, "h", "1").message_id, first.message_id);
    assert_eq!(world.send_in(Q, "g", "1"), first);
}

#[test]
fn a_receipt_of_before_is_no_good() {
    let world = world();
    world.send_in(Q, "g", "1");
    let [first] = world.receive(Q, 1).try_into().unwrap();
    world.pass(30 * SECOND);
    refused(world.delete(Q, &first), Code::InvalidParameterValue);
    let [second] = world.receive(Q, 1).try_into().unwrap();
    refused(world.delete(Q, &first), Code::InvalidParameterValue);
    refused(world.change(Q, &first, 5), Code::InvalidParameterValue);
    world.delete(Q, &second).unwrap();
    world.delete(Q, &second).unwrap();
}

#[test]
fn a_receive_that_was_lost_can_be_asked_for_again() {
    let world = world();
    for body in ["1", "2"] {
        world.send_in(Q, "g", body);
    }
    let attempt = Wanted { attempt: Some("lost"), ..wanted(10) };
    let handles = |messages: Vec<Received>| {
        messages.into_iter().map(|it| it.receipt_handle).collect::<Vec<_>>()
    };
    let first = world.try_receive(Q, &attempt).unwrap();
    world.pass(20 * SECOND);
    let again = world.try_receive(Q, &attempt).unwrap();
    assert_eq!(handles(again), handles(first.clone()));
    // Its visibility began anew.
    world.pass(20 * SECOND);
    assert_eq!(world.counts(Q), [0, 2, 0]);
    // One of them was changed: it is no longer the same.
    world.delete(Q, &first[0]).unwrap();
    assert_eq!(world.try_receive(Q, &attempt).unwrap().len(), 0);
}

#[test]
fn the_queue_s_delay_is_retroactive() {
    let world = World::new();
    world.create(Q, &[("DelaySeconds", "60")]);
    world.send_in(Q, "g", "1");
    assert_eq!(world.counts(Q), [0, 0, 1]);
    world.set(Q, "DelaySeconds", "10");
    world.pass(10 * SECOND);
    assert_eq!(world.bodies(Q, 1), ["1"]);
}

#[test]
fn a_dead_letter_frees_its_group_and_is_young_again() {
    let world = World::new();
    world.create("dead.fifo", &[]);
    world.with_dead_letters(Q, "dead.fifo", 1, &[]);
    for body in ["1", "2"] {
        world.send_in(Q, "g", body);
    }
    assert_eq!(world.bodies(Q, 1), ["1"]);
    world.pass(30 * SECOND);
    assert_eq!(world.bodies(Q, 1), ["2"]);
    let [letter] = world.receive("dead.fifo", 10).try_into().unwrap();
    assert_eq!((letter.body.as_str(), letter.sent_at), ("1", NOON + 30 * SECOND));
    assert_eq!(letter.group_id.as_deref(), Some("g"));
}

#[test]
fn no_order_of_receives_breaks_a_group() {
    // Each group's messages are deleted in the order that they were sent in, whatever fails in between.
    let world = world();
    let mut next = 7_u64;
    let mut dice = |sides: u64| {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (next >> 33) % sides
    };
    let groups = ["a", "b", "c"];
    let mut sent = [0; 3];
    let mut done = [0; 3];
    for _ in 0..2000 {
        match dice(4) {
            0 => {
                let at = usize::try_from(dice(3)).unwrap();
                sent[at] += 1;
                world.send_in(Q, groups[at], &format!("{}-{}", groups[at], sent[at]));
            }
            1 => world.pass(i64::try_from(dice(40)).unwrap() * SECOND),
            _ => {
                let messages = world.receive(Q, usize::try_from(dice(5)).unwrap() + 1);
                let mut failed: Vec<String> = Vec::new();
                for message in messages {
                    let (group, number) = message.body.split_once('-').unwrap();
                    let at = groups.iter().position(|it| *it == group).unwrap();
                    if dice(3) == 0 || failed.iter().any(|it| it == group) {
                        failed.push(group.to_owned());
                        continue;
                    }
                    assert_eq!(number.parse::<i32>().unwrap(), done[at] + 1, "in group {group}");
                    done[at] += 1;
                    world.delete(Q, &message).unwrap();
                }
            }
        }
    }
    assert!(done.iter().all(|count| *count > 50), "{done:?}");
    let left: i64 = sent.iter().zip(done).map(|(sent, done)| i64::from(sent - done)).sum();
    assert_eq!(world.counts(Q).iter().sum::<i64>(), left);
}

/// A mapping's invocation ends with the process; a client's work need not.
#[test]
fn what_a_mapping_had_in_hand_is_given_back_by_the_next_process_and_a_clients_is_not() {
    let world = world();
    let long = [("VisibilityTimeout", "3600")];
    world.create("q", &long);
    world.set(Q, "VisibilityTimeout", "3600");
    let in_hand = Wanted { in_hand: true, ..wanted(1) };
    for name in ["q", Q] {
        for body in ["1", "2", "3"] {
            match name {
                Q => world.send_in(Q, body, body),
                _ => world.send("q", body),
            };
            world.pass(1);
        }
        assert_eq!(world.receive(name, 1).len(), 1, "a client has the first");
        let held = world.try_receive(name, &in_hand).unwrap();
        assert_eq!(held[0].body, "2");
        let answered = world.try_receive(name, &in_hand).unwrap();
        world.db.write(|tx| Queues::let_go(tx, &answered)).unwrap();
    }
    let world = world.restarted();
    for name in ["q", Q] {
        world.db.write(|tx| world.queues.give_back(tx, name)).unwrap();
        let again = world.receive(name, 10);
        assert_eq!(again.iter().map(|it| &*it.body).collect::<Vec<_>>(), ["2"], "{name}");
        assert_eq!(again[0].receives, 2, "somebody may have worked on it");
        world.db.write(|tx| world.queues.give_back(tx, name)).unwrap();
        assert_eq!(world.counts(name), [0, 3, 0], "it is a client's now");
    }
}
