//! The queue of write-behind: nothing is lost, nothing comes twice but what was not acknowledged.

use std::collections::BTreeSet;
use std::time::Duration;

use cachestorm::clock::Clock;
use cachestorm::engine::data_type::Key;
use cachestorm::engine::layer::{Appended, Delivery, Queue, QueueId, QueuedWrite, Remote, Version};

use super::{LAG, Pair, TTL, append, entry, shows, until, write};

/// Takes `count` writes from the queue, in small batches, and acknowledges them.
pub(crate) async fn take(
    clock: &Clock,
    remote: &impl Remote,
    consumer: &str,
    count: usize,
) -> Vec<QueuedWrite> {
    let mut queue = remote.queue(consumer).await.expect("a queue");
    let mut taken = Vec::new();
    let what = format!("{count} writes in the queue");
    until(clock, &what, LAG, async || {
        let batch = queue.next_batch(7).await.expect("an answer");
        let came = batch.len();
        assert!(came <= 7, "{came} is more than was asked for");
        let ids: Vec<QueueId> = batch.iter().map(|given| given.id.clone()).collect();
        queue.acknowledge(&ids).await.expect("acknowledged");
        let writes = batch.into_iter().map(|given| given.write);
        taken.extend(writes.map(|write| write.expect("readable")));
        (taken.len() >= count).then_some(())
    })
    .await;
    taken
}

/// The next writes, as soon as there are some.
async fn next(clock: &Clock, queue: &mut impl Queue) -> Vec<Delivery> {
    until(clock, "a batch", LAG, async || {
        let batch = queue.next_batch(10).await.expect("an answer");
        (!batch.is_empty()).then_some(batch)
    })
    .await
}

pub(super) async fn gives_each_write_once<R: Remote>(pair: &Pair<R>) {
    let Pair { clock, one, other } = pair;
    // Opened before the writes and after them: both must do.
    drop(one.queue("c1").await.expect("a queue"));
    let mut versions = vec![Version(0)];
    for n in 1..=3 {
        for user in 0..20 {
            let version = append(clock, one, user, n).await.expect("accepted");
            if user == 7 {
                assert!(version > *versions.last().expect("one"), "{version}");
                versions.push(version);
            }
        }
    }
    let newest = versions.last().expect("one");
    let key = Key::new("activity:7:3");
    shows(clock, other, &key, Some(newest.0)).await;
    // A consumer that takes some and dies before it acknowledges gets them again, and others after
    // a while, too.
    let mut dying = one.queue("c1").await.expect("a queue");
    let given = next(clock, &mut dying).await;
    drop(dying);
    let mut reborn = one.queue("c1").await.expect("a queue");
    assert!(!reborn.is_new());
    let again = take_back(&mut reborn, None).await;
    assert_eq!(names(&again), names(&given));
    let buried = &again[0];
    reborn.bury(buried, "a test").await.expect("buried");
    let mut heir = other.queue("c2").await.expect("a queue");
    let inherited = take_back(&mut heir, Some(Duration::ZERO)).await;
    assert_eq!(names(&inherited), names(&again[1..]));
    let ids: Vec<QueueId> = inherited.iter().map(|given| given.id.clone()).collect();
    assert_eq!(heir.keep(&ids).await, Ok(true));
    heir.acknowledge(&ids).await.expect("acknowledged");
    let rest = 60 - given.len();
    let waiting = heir.waiting().await.expect("an answer");
    assert_eq!((waiting.writes, waiting.dead_letters), (rest as u64, 1));
    let taken = take(clock, one, "c1", rest).await;
    assert_eq!(taken.len(), rest);
    let mut all: BTreeSet<&str> = taken.iter().map(|write| write.key.as_str()).collect();
    let given = names(&given);
    all.extend(given.iter().map(String::as_str));
    assert_eq!(all.len(), 60, "none is lost and none comes twice");
    let mut empty = one.queue("c1").await.expect("a queue");
    assert_eq!(empty.next_batch(10).await.expect("an answer"), []);
    assert_eq!(empty.waiting().await.expect("an answer").writes, 0);
}

/// How often, to whom, and when alone.
pub(super) async fn gives_again_what_was_not_acknowledged<R: Remote>(pair: &Pair<R>) {
    let Pair { clock, one, other } = pair;
    // Writes of one key are in one stream, in their order.
    let mut versions = Vec::new();
    for _ in 0..3 {
        versions.push(append(clock, one, 1, 1).await.expect("accepted"));
    }
    let mut queue = one.queue("c1").await.expect("a queue");
    let mut given = Vec::new();
    while given.len() < 3 {
        given.extend(next(clock, &mut queue).await);
    }
    let told = |given: &[Delivery]| -> Vec<(Version, u32)> {
        let write = |one: &Delivery| one.write.clone().expect("readable");
        let tell = |one| (write(one).version, one.deliveries);
        given.iter().map(tell).collect()
    };
    let times = |count| -> Vec<(Version, u32)> { versions.iter().map(|v| (*v, count)).collect() };
    assert_eq!(told(&given), times(1));
    // Somebody else's are left to him as long as he is heard of.
    let mut heir = other.queue("c2").await.expect("a queue");
    assert_eq!(back(&mut heir, None, 2).await, []);
    assert_eq!(back(&mut heir, Some(TTL), 2).await, []);
    let again = back(&mut queue, None, 2).await;
    assert_eq!(told(&again), times(2));
    // From the third time on each comes alone.
    let alone = back(&mut queue, None, 2).await;
    assert_eq!(told(&alone), times(3)[..1]);
    let ids: Vec<QueueId> = alone.iter().map(|given| given.id.clone()).collect();
    queue.acknowledge(&ids).await.expect("acknowledged");
    // To say that one lives is no delivery, and makes them one's own.
    let ids: Vec<QueueId> = again.iter().map(|given| given.id.clone()).collect();
    assert_eq!(heir.keep(&ids).await, Ok(true));
    assert_eq!(back(&mut queue, None, 2).await, []);
    let kept = back(&mut heir, None, u32::MAX).await;
    assert_eq!(told(&kept), times(3)[1..]);
    let buried_before = heir.waiting().await.expect("an answer").dead_letters;
    heir.bury(&kept[0], "a test").await.expect("buried");
    // A burial of what is gone buries nothing.
    heir.bury(&kept[0], "a test").await.expect("an answer");
    let ids: Vec<QueueId> = kept.iter().map(|given| given.id.clone()).collect();
    heir.acknowledge(&ids).await.expect("acknowledged");
    let waiting = heir.waiting().await.expect("an answer");
    assert_eq!(waiting.writes, 0);
    assert_eq!(waiting.dead_letters, buried_before + 1);
}

/// A full queue takes nothing, and says which version the write is all the same.
pub(super) async fn is_full<R: Remote>(pair: &Pair<R>) {
    let Pair { clock, one, .. } = pair;
    let queued = append(clock, one, 3, 1).await.expect("accepted");
    let (key, value) = (Key::new("activity:3:1"), entry(clock, 1, Some("click")));
    let refused = one.append(&write(clock, 3, 1), &value, TTL, 1).await;
    let Ok(Appended::Full(version)) = refused else {
        panic!("{refused:?}");
    };
    assert!(version > queued);
    shows(clock, one, &key, Some(queued.0)).await;
    // A writer that knows of a later version is given one above it.
    let far = QueuedWrite {
        version: Version(version.0 + 100_000_000),
        ..write(clock, 3, 1)
    };
    let Ok(Appended::Queued(above)) = one.append(&far, &value, TTL, 1_000).await else {
        panic!("there is room");
    };
    assert!(above > far.version);
    let next = append(clock, one, 3, 1).await.expect("accepted");
    assert!(next > above, "and so is everybody after it");
    assert_eq!(take(clock, one, "c1", 3).await.len(), 3);
    // Who has given up is not queued.
    let late = QueuedWrite {
        accepted_at: clock.now() - TTL,
        ..write(clock, 3, 1)
    };
    assert!(one.append(&late, &value, TTL, 1_000).await.is_err());
}

/// What is taken back from the stream that has something, if one has.
async fn back(queue: &mut impl Queue, idle: Option<Duration>, alone_from: u32) -> Vec<Delivery> {
    let back = queue.take_back(idle, 10, alone_from).await;
    let back = back.expect("an answer");
    assert_eq!(back.vanished, 0);
    back.deliveries
}

/// All that is delivered again, whichever streams it is in.
async fn take_back(queue: &mut impl Queue, idle: Option<Duration>) -> Vec<Delivery> {
    let mut all: Vec<Delivery> = Vec::new();
    // What is taken back stays with its consumer, so it comes again and again.
    for _ in 0..40 {
        let back = queue.take_back(idle, 10, u32::MAX).await;
        let back = back.expect("an answer");
        assert_eq!(back.vanished, 0);
        for given in back.deliveries {
            if all.iter().all(|known| known.id != given.id) {
                all.push(given);
            }
        }
    }
    all
}

fn names(deliveries: &[Delivery]) -> BTreeSet<String> {
    let writes = deliveries.iter().map(|given| given.write.as_ref());
    let keys = writes.map(|write| write.expect("readable").key.to_string());
    keys.collect()
}
