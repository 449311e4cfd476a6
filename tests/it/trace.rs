//! `cachestorm trace` as its users meet it, and captures of real servers.
#![allow(
    clippy::disallowed_methods,
    reason = "waits for other processes, in real time"
)]

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cachestorm::clock::Clock;
use cachestorm::engine::layer::Operation;
use cachestorm::environment::managed_redis::ManagedRedis;
use cachestorm::environment::redis_monitor::{CaptureOptions, Captured, Ended, capture};
use cachestorm::environment::{EvictionPolicy, RedisConfig};
use cachestorm::workload::trace::{self, Malformed, TraceReader, TraceRecord, key_id};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::support::signal::{self, Signal};

/// Bounds every wait.
const LIMIT: Duration = Duration::from_mins(1);

const SMALL: &str = "0,a,1,7,1,get,0\n0,b,1,0,2,set,60\n3,a,1,7,1,delete,0\n5,b,1,9,1,get,0\n";

fn cachestorm(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cachestorm"));
    command
        .arg("trace")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().unwrap_or(-1);
    (code, text(output.stdout), text(output.stderr))
}

/// A folder with a small trace, `small.csv`.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().expect("a folder"));
        std::fs::write(desk.path().join("small.csv"), SMALL).expect("a file");
        desk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = cachestorm(self.path(), arguments);
        told(command.output().expect("the command starts"))
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).expect("a folder");
        let name = |entry: io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().expect("a plain name"))
            .collect();
        names.sort();
        names
    }
}

#[test]
fn statistics_are_printed_for_people_and_for_programs() {
    let desk = Desk::new();
    let (code, text, warnings) = desk.run(&["stats", "small.csv"]);
    assert_eq!((code, warnings.as_str()), (0, ""));
    assert!(text.starts_with("small.csv · twitter\n"), "{text}");
    assert!(
        text.contains("4: 50% get, 25% put, 25% invalidate"),
        "{text}"
    );
    let (code, json, _) = desk.run(&["stats", "small.csv", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code, json["requests"].as_u64()), (0, Some(4)));
    assert_eq!(json["keys"]["distinct"].as_u64(), Some(2));
}

#[test]
fn what_is_wrong_is_told_with_exit_code_2() {
    let desk = Desk::new();
    std::fs::write(
        desk.path().join("bad.csv"),
        format!("{SMALL}6,c,1,x,1,get,0\n"),
    )
    .expect("a file");
    for (arguments, words) in [
        (&["stats", "absent.csv"][..], "absent.csv cannot be opened"),
        (
            &["stats", "bad.csv"],
            "bad.csv, line 5: field 4 (value size)",
        ),
        (
            &["stats", "small.csv", "--format", "cvs"],
            "there are twitter, cachelib",
        ),
        (
            &["convert", "small.csv", "o", "--to", "access-log"],
            "as twitter (CSV) or oracle-general",
        ),
        (
            &["convert", "small.csv", "-", "--to", "oracle-general"],
            "name a file",
        ),
        (&["convert", "small.csv", "o", "--sample", "200"], "a share"),
        (
            &["capture", "--redis", "redis://x", "--out", "no/o"],
            "cannot be written",
        ),
        (
            &[
                "capture",
                "--redis",
                "redis://x",
                "--out",
                "o",
                "--for",
                "0",
            ],
            "longer than 0",
        ),
    ] {
        let (code, stdout, stderr) = desk.run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
    }
    let (code, text, _) = desk.run(&["stats", "bad.csv", "--skip-malformed"]);
    assert_eq!(code, 0);
    assert!(text.contains("could not be read, left out: 1"), "{text}");
    assert_eq!(
        desk.files(),
        ["bad.csv", "small.csv"],
        "nothing else was left"
    );
}

fn records(path: &Path) -> Vec<TraceRecord> {
    let trace = trace::open(path, None).expect("a trace");
    trace.map(|record| record.expect("a record")).collect()
}

#[test]
fn traces_are_converted_there_and_back() {
    let desk = Desk::new();
    let given = records(&desk.path().join("small.csv"));
    for out in ["a.csv", "a.csv.gz", "a.csv.zst"] {
        let (code, stdout, stderr) = desk.run(&["convert", "small.csv", out]);
        assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
        assert_eq!(stderr, format!("{out}: 4 of 4 records of twitter\n"));
        assert_eq!(records(&desk.path().join(out)), given, "{out}");
    }
    let (code, _, stderr) = desk.run(&["convert", "a.csv.gz", "a.oracleGeneral.zst"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("1 invalidations left out"), "{stderr}");
    assert_eq!(records(&desk.path().join("a.oracleGeneral.zst")).len(), 3);
    let (_, text, _) = desk.run(&["convert", "small.csv", "-", "--limit", "2"]);
    assert_eq!(text.lines().count(), 2);
    // From standard input.
    let mut command = cachestorm(desk.path(), &["stats", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(SMALL.as_bytes()).expect("it reads");
    drop(input);
    let (code, text, _) = told(child.wait_with_output().expect("a child of ours"));
    assert_eq!(code, 0);
    assert!(text.starts_with("standard input · twitter"), "{text}");
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let desk = Desk::new();
    let line = |number: u32| format!("{number},key-{number},1,1,0,get,0\n");
    let text: String = (0..100_000).map(line).collect();
    std::fs::write(desk.path().join("long.csv"), text).expect("a file");
    let mut child = cachestorm(desk.path(), &["convert", "long.csv", "-"])
        .spawn()
        .expect("it starts");
    let mut first = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    output.read_line(&mut first).expect("a line");
    assert!(first.starts_with("0,#"), "{first}");
    drop(output);
    let errors = errors_of(&mut child);
    assert_eq!((wait(&mut child), errors.as_str()), (0, ""));
}

/// What it says on its standard error until it closes it.
fn errors_of(child: &mut Child) -> String {
    let mut errors = String::new();
    let mut pipe = child.stderr.take().expect("a pipe");
    pipe.read_to_string(&mut errors).expect("text");
    errors
}

fn wait(child: &mut Child) -> i32 {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status.code().unwrap_or(-1);
        }
        if Instant::now() > deadline {
            child.kill().expect("a child of ours");
            panic!("still running after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn server() -> (ManagedRedis, MultiplexedConnection) {
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let redis = ManagedRedis::start(&config, &Clock::real()).await;
    let redis = redis.expect("redis-server starts");
    let client = redis::Client::open(redis.url()).expect("a URL of ours");
    let connection = client.get_multiplexed_async_connection().await;
    (redis, connection.expect("Redis answers"))
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let clock = Clock::real();
    let deadline = clock.now() + LIMIT;
    while !holds().await {
        assert!(clock.now() < deadline, "not within {LIMIT:?}: {what}");
        clock.sleep(Duration::from_millis(10)).await;
    }
}

/// Whether somebody listens to what the server is asked.
async fn monitored(connection: &mut MultiplexedConnection) -> bool {
    let list: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query_async(connection)
        .await
        .expect("a list");
    list.contains("cmd=monitor")
}

/// What was written so far, for others to see.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<u8>>>);

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shown {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).expect("text")
    }
}

fn options(url: &str, plain_keys: bool) -> CaptureOptions {
    CaptureOptions {
        url: url.to_owned(),
        duration: LIMIT,
        plain_keys,
    }
}

async fn ask(connection: &mut MultiplexedConnection, arguments: &[&[u8]]) {
    let mut command = redis::Cmd::new();
    for argument in arguments {
        command.arg(*argument);
    }
    let answer = command.query_async::<redis::Value>(connection).await;
    answer.expect("Redis does it");
}

/// Captures while `commands` are run, and until `last` was written.
async fn captured(plain_keys: bool, commands: &[&[&[u8]]]) -> (String, Captured) {
    let (redis, mut connection) = server().await;
    let shown = Shown::default();
    let (stopper, stop) = watch::channel(false);
    let (options, out) = (options(redis.url(), plain_keys), shown.clone());
    let capturing = tokio::spawn(async move { capture(&options, out, &Clock::real(), stop).await });
    until("MONITOR is on", async || monitored(&mut connection).await).await;
    // MONITOR is on before the capture begins; what it does not see any more comes again.
    until("the capture has begun", async || {
        ask(&mut connection, &[b"get", b"begin"]).await;
        shown.text().lines().count() > 0
    })
    .await;
    for command in commands {
        ask(&mut connection, command).await;
    }
    ask(&mut connection, &[b"unlink", b"end"]).await;
    let ended = |line: &str| line.contains(",3,0,") && line.contains(",delete,");
    until("all is written", async || shown.text().lines().any(ended)).await;
    stopper.send(true).expect("it is still capturing");
    let (_, captured) = capturing.await.expect("no panic").expect("a capture");
    assert_eq!(captured.ended, Ended::Stopped);
    (shown.text(), captured)
}

fn read(text: &str) -> Vec<TraceRecord> {
    let input = io::Cursor::new(text.to_owned());
    let trace = TraceReader::new("captured", input, None, Malformed::Refuse).expect("a trace");
    trace.map(|record| record.expect("a record")).collect()
}

const AWKWARD: [&[u8]; 5] = [
    b"with \"quotes\" and \\ and, comma",
    "kunde:münchen".as_bytes(),
    b"\x00\xff\n\r binary",
    b"#0000000000000001",
    b"",
];

#[tokio::test]
async fn live_commands_become_requests_whatever_their_keys() {
    let mut commands: Vec<Vec<&[u8]>> = vec![
        vec![b"set", b"user:1", b"the secret value", b"PX", b"1500"],
        vec![b"mget", b"user:1", b"user:2"],
        vec![b"incr", b"count"],
        vec![b"expire", b"user:1", b"100"],
        vec![
            b"eval",
            b"return redis.call('get', KEYS[1])",
            b"1",
            b"user:3",
        ],
    ];
    commands.extend(AWKWARD.map(|key| vec![&b"setex"[..], key, b"60", b"123"]));
    let commands: Vec<&[&[u8]]> = commands.iter().map(Vec::as_slice).collect();
    let (text, told) = captured(true, &commands).await;
    assert!(!text.contains("secret"), "{text}");
    let found = read(&text);
    let begun = found
        .iter()
        .position(|record| record.operation != Operation::Get);
    let found = &found[begun.expect("a put")..];
    let seconds = Duration::from_secs_f64;
    let mut wanted = vec![
        (key_id(b"user:1"), Operation::Put, 16, Some(seconds(1.5))),
        (key_id(b"user:1"), Operation::Get, 0, None),
        (key_id(b"user:2"), Operation::Get, 0, None),
        (key_id(b"count"), Operation::Put, 0, None),
        (key_id(b"user:3"), Operation::Get, 0, None),
    ];
    wanted.extend(AWKWARD.map(|key| (key_id(key), Operation::Put, 3, Some(seconds(60.0)))));
    wanted.push((key_id(b"end"), Operation::Invalidate, 0, None));
    let found: Vec<_> = found
        .iter()
        .map(|record| (record.key, record.operation, record.value_size, record.ttl))
        .collect();
    assert_eq!(found, wanted);
    assert_eq!((told.lost, told.unreadable), (0, 0));
    assert_eq!(told.requests, text.lines().count() as u64);
    assert_eq!(told.skipped.get("EXPIRE"), Some(&1));
    assert_eq!(told.skipped.get("EVAL"), Some(&1));
    for plain in ["user:1", "kunde:münchen"] {
        assert!(text.contains(&format!(",{plain},")), "{plain}: {text}");
    }
}

#[tokio::test]
async fn live_hashed_keys_keep_their_popularity_and_their_secret() {
    let get = |key: &'static [u8]| vec![&b"get"[..], key];
    let commands = [get(b"customer:1"), get(b"customer:2"), get(b"customer:1")];
    let commands: Vec<&[&[u8]]> = commands.iter().map(Vec::as_slice).collect();
    let (text, _) = captured(false, &commands).await;
    assert!(
        !text.contains("customer") && !text.contains("127.0.0.1"),
        "{text}"
    );
    let found = read(&text);
    let last: Vec<u64> = found
        .iter()
        .rev()
        .skip(1)
        .take(3)
        .map(|record| record.key)
        .collect();
    assert!(last[0] == last[2] && last[0] != last[1], "{last:?}");
    assert!(
        !last.contains(&key_id(b"customer:1")),
        "no hash that others can make"
    );
}

async fn refused(url: &str) -> String {
    let (_stopper, stop) = watch::channel(false);
    let refused = capture(&options(url, true), io::sink(), &Clock::real(), stop).await;
    refused.expect_err("nothing to capture").to_string()
}

#[tokio::test]
async fn live_servers_that_cannot_be_captured_say_why() {
    let (mut redis, mut connection) = server().await;
    ask(
        &mut connection,
        &[
            b"ACL",
            b"SETUSER",
            b"guest",
            b"on",
            b">pass",
            b"~*",
            b"+@all",
            b"-monitor",
        ],
    )
    .await;
    let place = redis.url().trim_start_matches("redis://").to_owned();
    let error = refused(&format!("redis://guest:pass@{place}")).await;
    assert!(
        error.contains("+monitor") && !error.contains(":pass@"),
        "{error}"
    );
    let error = refused(&format!("redis://guest:wrong@{place}")).await;
    assert!(error.contains("refuses the login"), "{error}");
    let error = refused(&format!("redis+cluster://{}", place.trim_end_matches("/0"))).await;
    assert!(
        error.contains("MONITOR tells the commands of one"),
        "{error}"
    );
    redis.crash();
    until("it is gone", async || redis.died().is_some()).await;
    let error = refused(redis.url()).await;
    assert!(error.contains("connection refused"), "{error}");
}

#[tokio::test]
async fn live_what_was_captured_before_the_server_went_is_kept() {
    let (mut redis, mut connection) = server().await;
    let shown = Shown::default();
    let (_stopper, stop) = watch::channel(false);
    let (options, out) = (options(redis.url(), true), shown.clone());
    let capturing = tokio::spawn(async move { capture(&options, out, &Clock::real(), stop).await });
    until("something is captured", async || {
        ask(&mut connection, &[b"get", b"a"]).await;
        !shown.text().is_empty()
    })
    .await;
    redis.crash();
    let (_, captured) = capturing.await.expect("no panic").expect("a capture");
    assert_eq!(captured.ended, Ended::ConnectionLost);
    assert_eq!(captured.requests, read(&shown.text()).len() as u64);
}

#[tokio::test]
async fn live_a_capture_ends_by_itself_and_by_ctrl_c() {
    let (redis, mut connection) = server().await;
    let desk = Desk::new();
    // Nobody asks anything: an end without a trace to speak of.
    let (url, for_a_moment) = (
        redis.url().to_owned(),
        ["--for", "200ms", "--out", "none.csv"],
    );
    let arguments = [&["capture", "--redis", &url][..], &for_a_moment].concat();
    let (code, stdout, stderr) = desk.run(&arguments);
    assert_eq!((code, stdout.as_str()), (4, ""), "{stderr}");
    assert!(
        stderr.contains("more than half of it in Redis' own figures"),
        "{stderr}"
    );
    assert!(stderr.contains("nothing was captured"), "{stderr}");

    let arguments = [
        "capture",
        "--redis",
        &url,
        "--for",
        "60s",
        "--out",
        "some.csv.zst",
    ];
    let mut child = cachestorm(desk.path(), &arguments)
        .spawn()
        .expect("it starts");
    until("MONITOR is on", async || monitored(&mut connection).await).await;
    // For a while, so that it has begun and has read some of it.
    for _ in 0..100 {
        ask(&mut connection, &[b"get", b"customer:1"]).await;
        Clock::real().sleep(Duration::from_millis(10)).await;
    }
    assert!(
        !desk.path().join("some.csv.zst").exists(),
        "it appears when it is complete"
    );
    signal::send(Signal::INT, child.id());
    let code = wait(&mut child);
    let errors = errors_of(&mut child);
    assert_eq!(code, 130, "{errors}");
    let found = records(&desk.path().join("some.csv.zst"));
    assert!(
        !found.is_empty() && errors.contains("requests of"),
        "{errors}"
    );
    assert!(
        found
            .iter()
            .all(|record| record.operation == Operation::Get)
    );
    assert_eq!(desk.files(), ["none.csv", "small.csv", "some.csv.zst"]);
}
