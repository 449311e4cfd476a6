//! What is taken of a command, and what is lost where there is no room; real servers are asked in
//! `tests/it/capture.rs`.

use super::*;
use crate::workload::trace::{Malformed, TraceFormat, TraceReader};

fn taker(plain_keys: bool, room: usize) -> (Taker, mpsc::Receiver<Held>) {
    let (sender, receiver) = mpsc::channel(room);
    let taker = Taker {
        secret: (!plain_keys).then(|| draw().expect("randomness")),
        buffer: Buffer {
            sender,
            held_bytes: Arc::default(),
            lost: 0,
        },
        commands: 0,
        skipped: BTreeMap::new(),
        unreadable: 0,
    };
    (taker, receiver)
}

fn status(line: &str) -> Value {
    Value::SimpleString(line.to_owned())
}

/// What is written of these lines.
async fn written(plain_keys: bool, lines: &[&str]) -> (String, Taker, Ended) {
    let (mut taker, receiver) = taker(plain_keys, 100);
    let told = futures_util::stream::iter(lines.iter().map(|line| status(line)));
    let clock = Clock::real();
    let until = clock.now() + Duration::from_mins(1);
    let (_stopper, stop) = watch::channel(false);
    let ended = taker.take_all(told, (&clock, until), stop).await;
    let held_bytes = Arc::clone(&taker.buffer.held_bytes);
    let (sender, _) = mpsc::channel(1);
    taker.buffer.sender = sender;
    let writing = tokio::task::spawn_blocking(move || {
        let (out, _) = write(receiver, vec![], &held_bytes).expect("memory");
        assert_eq!(held_bytes.load(Ordering::Relaxed), 0);
        out
    });
    let text = String::from_utf8(writing.await.expect("a thread")).expect("text");
    (text, taker, ended)
}

const LINES: [&str; 6] = [
    r#"1339518083.107412 [0 10.0.0.1:60866] "set" "user:7" "the secret value" "EX" "60""#,
    r#"1339518083.207412 [0 10.0.0.1:60866] "AUTH" "(redacted)""#,
    r#"1339518083.307412 [0 10.0.0.1:60866] "hello" "3" "auth" "bob" "hunter2""#,
    r#"1339518084.107412 [0 10.0.0.2:60866] "get" "user:7""#,
    r#"1339518085.107412 [1 10.0.0.2:60866] "del" "\xff\"a\"""#,
    "nonsense",
];

#[tokio::test]
async fn plain_keys_are_written_as_they_are_and_nothing_else_is() {
    let (text, taker, ended) = written(true, &LINES).await;
    insta::assert_snapshot!(text, @"
    1339518083.107412,user:7,6,16,2541274744130454731,set,60
    1339518084.107412,user:7,6,0,12152053049285411204,get,0
    1339518085.107412,#ef06f5247b3137af,4,0,12152053049285411204,delete,0
    ");
    assert_eq!(ended, Ended::ConnectionLost);
    assert_eq!(
        (taker.commands, taker.unreadable, taker.buffer.lost),
        (6, 1, 0)
    );
    let skipped = [("AUTH".to_owned(), 1), ("HELLO".to_owned(), 1)];
    assert_eq!(taker.skipped, skipped.into());
}

#[tokio::test]
async fn hashed_keys_keep_what_belongs_together_and_tell_nothing() {
    let (text, _, _) = written(false, &LINES).await;
    for secret in ["user", "value", "bob", "hunter2", "10.0.0", "a\""] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let keys: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(',').nth(1))
        .collect();
    assert_eq!(keys.len(), 3);
    assert!(keys[0] == keys[1] && keys[1] != keys[2], "{keys:?}");
    // What was written is a trace.
    let input = io::Cursor::new(text);
    let trace = TraceReader::new("captured", input, None, Malformed::Refuse).expect("a trace");
    assert_eq!(trace.format(), TraceFormat::Twitter);
    let times: Vec<u128> = trace.map(|r| r.expect("a record").at.as_millis()).collect();
    assert_eq!(times, [0, 1_000, 2_000]);
}

/// The same numbers whether a trace was captured with plain keys or made of `redis-cli monitor`.
#[tokio::test]
async fn plain_keys_have_the_numbers_of_a_monitor_trace() {
    let (text, _, _) = written(true, &LINES).await;
    let read = |text: String| -> Vec<TraceRecord> {
        let input = io::Cursor::new(text);
        let trace = TraceReader::new("t", input, None, Malformed::Skip).expect("a trace");
        trace.map(|record| record.expect("a record")).collect()
    };
    assert_eq!(read(text), read(LINES.join("\n")));
}

#[tokio::test]
async fn what_finds_no_room_is_counted() {
    let (mut taker, receiver) = taker(true, 3);
    let mut parser = MonitorParser::default();
    for _ in 0..10 {
        taker.take(&mut parser, LINES[3].as_bytes());
    }
    assert_eq!((taker.commands, taker.buffer.lost), (10, 7));
    assert_eq!(
        taker.buffer.held_bytes.load(Ordering::Relaxed),
        3 * "user:7".len()
    );
    drop(taker);
    assert_eq!(receiver.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_capture_ends_in_time_and_when_it_is_asked_to() {
    let clock = Clock::real();
    for (asked, wanted) in [(false, Ended::InTime), (true, Ended::Stopped)] {
        let (mut taker, _receiver) = taker(true, 3);
        let (stopper, stop) = watch::channel(false);
        let until = clock.now() + Duration::from_secs(30);
        stopper.send_replace(asked);
        let silence = futures_util::stream::pending();
        let ended = taker.take_all(silence, (&clock, until), stop).await;
        assert_eq!(ended, wanted);
        assert_eq!(clock.now() >= until, !asked);
    }
}
