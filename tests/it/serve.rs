//! The service alone, as other load tools meet it: by plain TCP, and gone when it is told to go.
#![allow(
    clippy::disallowed_methods,
    reason = "waits for other processes, in real time"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use cachestorm::environment::EvictionPolicy;
use tempfile::TempDir;

use crate::cli::{cachestorm, redis, servers_in, told, wait};
use crate::support::signal::{self, Signal};

const PATIENCE: Duration = Duration::from_secs(20);

/// A service that a test started. Ended when dropped, so that a test that fails leaves nothing.
struct Service {
    child: Child,
    temporary: TempDir,
    /// What it said until it was ready.
    said: Vec<String>,
}

impl Service {
    fn start(more: &[&str]) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let mut child = cachestorm(&["serve", "scenarios/adr-006.yaml", "--quiet"])
            .args(more)
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let lines = lines.map(|line| line.expect("text"));
        let said = lines.take_while(|line| line != "ready").collect();
        Self {
            child,
            temporary,
            said,
        }
    }

    /// What stands after `kind` on its lines.
    fn said(&self, kind: &str) -> Vec<&str> {
        let lines = self.said.iter().filter_map(|line| line.split_once(' '));
        let lines = lines.filter(|(of, _)| *of == kind);
        lines.map(|(_, rest)| rest).collect()
    }

    fn end(&mut self, with: Signal) {
        signal::send(with, self.child.id());
        assert_eq!(wait(&mut self.child, PATIENCE), 0, "after {with:?}");
        self.nothing_is_left();
    }

    fn nothing_is_left(&self) {
        let left: Vec<_> = std::fs::read_dir(self.temporary.path())
            .expect("the temporary folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        assert_eq!(servers_in(self.temporary.path()), 0, "a server is left");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The whole answer to a request that is written by hand.
fn ask(method: &str, url: &str) -> String {
    let rest = url.strip_prefix("http://").expect("a URL");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn live_a_service_answers_strangers_and_goes_when_it_is_told_to() {
    for with in [Signal::INT, Signal::TERM] {
        let mut service = Service::start(&[]);
        assert_eq!(service.said("instance").len(), 3);
        let examples = service.said("example");
        assert_eq!(examples.len(), 7, "one for each data type");
        for example in examples {
            let (method, url) = example.split_once(' ').expect("a method and a URL");
            let answer = ask(method, url);
            // Nobody has logged in.
            let right = if url.contains("/session/") {
                "HTTP/1.1 404"
            } else {
                "HTTP/1.1 20"
            };
            assert!(answer.starts_with(right), "{example}: {answer}");
            assert!(answer.contains("cache-status: "), "{example}: {answer}");
        }
        for url in service.said("metrics") {
            let answer = ask("GET", url);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(answer.contains("cachestorm_"), "{answer}");
        }
        service.end(with);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn live_a_service_on_an_existing_redis_deletes_its_keys() {
    let redis = redis(EvictionPolicy::Noeviction).await;
    let client = redis::Client::open(redis.url()).expect("a URL of ours");
    let connection = client.get_multiplexed_async_connection().await;
    let mut connection = connection.expect("Redis answers");
    let set = redis::cmd("SET")
        .arg(&["theirs", "1"])
        .query_async::<()>(&mut connection)
        .await;
    set.expect("SET");
    let mut keys = async || -> Vec<String> {
        let mut keys = redis::cmd("KEYS");
        let keys = keys.arg("*").query_async(&mut connection).await;
        keys.expect("KEYS")
    };
    let mut service = Service::start(&["--redis", redis.url()]);
    let example = service.said("example")[0];
    let (method, url) = example.split_once(' ').expect("a method and a URL");
    assert!(ask(method, url).starts_with("HTTP/1.1 200"));
    assert!(keys().await.len() > 1, "the answer was cached");
    service.end(Signal::INT);
    assert_eq!(keys().await, ["theirs"]);
}

#[test]
fn live_a_service_listens_where_it_is_told_to_for_as_long_as_it_is_told_to() {
    // Two that follow each other, below those that the system gives to others meanwhile.
    let from = 20_000 + (std::process::id() % 5_000) as u16 * 2;
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let (first, second) = (from..32_000)
        .step_by(2)
        .map(|port| (port, port + 1))
        .find(|(one, next)| is_free(*one) && is_free(*next))
        .expect("two free ports");
    let port = first.to_string();
    let arguments = ["--port", &port, "--duration", "1s", "--set", "instances=2"];
    let mut service = Service::start(&arguments);
    let wanted = [first, second].map(|port| format!("http://127.0.0.1:{port}"));
    assert_eq!(service.said("instance"), wanted);
    assert_eq!(wait(&mut service.child, PATIENCE), 0);
    service.nothing_is_left();
}

#[test]
fn live_a_port_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let mut command = cachestorm(&["serve", "scenarios/adr-006.yaml", "--port", &port]);
    let (code, stdout, stderr) = told(command.output().expect("the command starts"));
    assert_eq!((code, &*stdout), (5, ""), "{stderr}");
    let words = format!("port {port} cannot be had");
    assert!(stderr.contains(&words), "{stderr}");
    assert!(stderr.contains("take another with --port"), "{stderr}");
}
