//! Whole runs that are watched: their alerts, their metrics, what their keys had left to live.

mod alerts;
mod metrics;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use cachestorm::report::model::Report;
use cachestorm::runner::{self, Moment, Progress, RunOptions};
use cachestorm::scenario::{Overrides, parse};
use tokio::sync::watch;

/// How long a test waits for an answer of a server in this process.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Runs `scenario`; `progress` sees it from within.
async fn run(scenario: &str, redis_url: Option<String>, progress: &dyn Progress) -> Report {
    let plan = parse("test.yaml", scenario, &Overrides::default());
    let plan = plan.unwrap_or_else(|errors| panic!("{errors}"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = RunOptions {
        scenario_file: "test.yaml".to_owned(),
        redis_url,
        out: Some(folder.path().join("report")),
        ..RunOptions::default()
    };
    let (_stop, stopped) = watch::channel(false);
    let finished = Box::pin(runner::run(&plan, &options, progress, stopped)).await;
    let finished = finished.expect("the run comes to its end");
    assert_eq!(finished.leftovers, [""; 0]);
    finished.report
}

/// What stands at `url`, and what it says that it is.
fn get(url: &str) -> (String, String) {
    let rest = url.strip_prefix("http://").expect("a URL of ours");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).expect("the instance listens");
    stream
        .set_read_timeout(Some(ANSWER_LIMIT))
        .expect("a time limit");
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    (head.to_lowercase(), body.to_owned())
}

/// Does something once, when a run of users has gone on for `after`.
struct Once<F> {
    after: Duration,
    act: F,
    done: std::sync::atomic::AtomicBool,
}

impl<F: Fn() + Send + Sync> Once<F> {
    fn new(after: Duration, act: F) -> Self {
        Self {
            after,
            act,
            done: std::sync::atomic::AtomicBool::new(false),
        }
    }
}

impl<F: Fn() + Send + Sync> Progress for Once<F> {
    fn step(&self, _: &str) {}
    fn moment(&self, moment: &Moment) {
        use std::sync::atomic::Ordering;
        if moment.elapsed >= self.after && !self.done.swap(true, Ordering::SeqCst) {
            (self.act)();
        }
    }
}
