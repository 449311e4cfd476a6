//! A service that no one here wrote: nginx with its cache, driven through the command.
#![allow(
    clippy::disallowed_methods,
    reason = "waits for other processes, in real time"
)]

use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cachestorm::environment::managed_redis::tls::Certificate;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{cachestorm, told, wait};
use crate::support::signal::{self, Signal};

const PATIENCE: Duration = Duration::from_secs(40);
/// One request for each operation of the scenario, before the users come.
const PROBES: usize = 3;

/// Users enough for a moment, and nothing that is not measured.
const BRISK: [&str; 10] = [
    "--set",
    "traffic.ramp=500ms",
    "--set",
    "traffic.think_time=20ms..60ms",
    "--set",
    "traffic.phases=[{ name: steady, for: 3s }]",
    "--set",
    "gates.users do not wait.check=p95(response_time) < 5s",
    "--users",
    "20",
];

/// An nginx with a cache in front of a server that it is itself, over TLS or not. Ended when dropped.
struct Nginx {
    child: Child,
    port: u16,
    folder: TempDir,
    tls: bool,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// What makes nginx speak TLS where it listens, with files that it leaves in `folder`.
fn secured(folder: &Path) -> String {
    let made = Certificate::make().expect("a certificate");
    for (name, text) in [
        ("ca.pem", made.ca),
        ("server.pem", made.server),
        ("key.pem", made.key),
    ] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    let place = folder.display();
    format!("ssl; ssl_certificate {place}/server.pem; ssl_certificate_key {place}/key.pem")
}

/// Debian puts it where only root looks.
fn program() -> &'static str {
    let usual = "/usr/sbin/nginx";
    if Path::new(usual).exists() {
        usual
    } else {
        "nginx"
    }
}

impl Nginx {
    fn start() -> Self {
        Self::with(false)
    }

    /// Its own certificate, and beside it that of the authority that signed it: `ca.pem`.
    fn over_tls() -> Self {
        Self::with(true)
    }

    fn with(tls: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, origin) = (free_port(), free_port());
        let place = folder.path().display();
        let mut temporary = String::new();
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(temporary, "{kind}_temp_path {place}/{kind};").expect("a text");
        }
        let secured = if tls {
            secured(folder.path())
        } else {
            String::new()
        };
        let settings = format!(
            r#"
            daemon off;
            master_process off;
            pid {place}/nginx.pid;
            error_log {place}/error.log;
            events {{ worker_connections 512; }}
            http {{
                {temporary}
                log_format cache '$request_method $status $upstream_cache_status $request_uri $http_authorization:$http_x_api_key';
                access_log {place}/access.log cache;
                proxy_cache_path {place}/cache keys_zone=shop:1m;
                server {{
                    listen 127.0.0.1:{origin};
                    access_log off;
                    location / {{ default_type application/json; return 200 '{{"price":1}}'; }}
                    location /missing {{ return 404; }}
                }}
                server {{
                    listen 127.0.0.1:{port} {secured};
                    location / {{
                        proxy_pass http://127.0.0.1:{origin};
                        proxy_cache shop;
                        proxy_cache_valid 200 1m;
                        add_header X-Cache $upstream_cache_status;
                    }}
                }}
            }}
            "#
        );
        std::fs::write(folder.path().join("nginx.conf"), settings).expect("a file");
        let child = Command::new(program())
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed: scripts/setup.sh does it");
        let nginx = Self {
            child,
            port,
            folder,
            tls,
        };
        until("nginx answers", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        nginx
    }

    fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// What it noted of each request after those that come before the users: method, status, what its
    /// cache did, path.
    fn log(&self) -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(self.folder.path().join("access.log"));
        let text = text.unwrap_or_default();
        let lines = text.lines().skip(PROBES);
        lines
            .map(|line| line.split(' ').map(str::to_owned).collect())
            .collect()
    }

    /// How many of these requests had `word` at `place`.
    fn count(log: &[Vec<String>], place: usize, word: &str) -> u64 {
        log.iter().filter(|line| line[place] == word).count() as u64
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what}: never");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A run of the scenario into a folder of its own.
struct Run {
    folder: TempDir,
}

impl Run {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("report")
    }

    fn command(&self, url: &str, more: &[&str]) -> Command {
        let mut command = cachestorm(&["run", "scenarios/external.yaml", "--target", url]);
        command.args(BRISK).args(more).arg("--out").arg(self.out());
        command
    }

    fn report(&self) -> Value {
        let text = std::fs::read_to_string(self.out().join("report.json")).expect("a report");
        serde_json::from_str(&text).expect("JSON")
    }
}

fn verdict<'r>(report: &'r Value, gate: &str) -> (&'r str, &'r str) {
    let gates = report["gates"].as_array().expect("gates");
    let found = gates.iter().find(|one| one["name"] == gate).expect(gate);
    let text = |key: &str| found[key].as_str().expect("a text");
    (text("verdict"), text("note"))
}

fn counts_what_nginx_counts(nginx: &Nginx, more: &[&str]) {
    let run = Run::new();
    let command = run.command(&nginx.url(), more).output();
    let (code, stdout, stderr) = told(command.expect("the command starts"));
    assert_eq!(code, 0, "{stdout}\n{stderr}");

    let (report, log) = (run.report(), nginx.log());
    let outcomes = &report["requests"]["outcomes"];
    let (hits, misses) = (Nginx::count(&log, 2, "HIT"), Nginx::count(&log, 2, "MISS"));
    assert!(hits > 0 && misses > 0, "{hits} hits, {misses} misses");
    assert_eq!(outcomes["hit"], hits, "hits");
    assert_eq!(outcomes["miss"], misses, "misses");
    assert_eq!(
        outcomes["bypass"].as_u64().unwrap_or(0),
        Nginx::count(&log, 0, "PUT")
    );
    assert_eq!(report["requests"]["total"], log.len() as u64);
    assert_eq!(outcomes.get("unknown"), None);
    assert_eq!(report["oracles"]["outcomes"]["violations"], 0);

    // What nobody can know is not there.
    for unknown in ["origin", "stampede", "redis", "baseline"] {
        assert_eq!(report[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(report["layers"], serde_json::json!({}));
    assert_eq!(report["target"]["urls"][0], nginx.url());
    let html = std::fs::read_to_string(run.out().join("report.html")).expect("a page");
    let html = html.replace("&#x2f;", "/");
    for told in [&stdout, &html] {
        assert!(told.contains(&format!("target {}", nginx.url())), "{told}");
        assert!(
            !told.contains("no Redis") && !told.contains("0 instances"),
            "{told}"
        );
    }
    assert!(!stdout.contains("origin queries"), "{stdout}");
}

#[test]
fn live_closed_loop_users_count_what_nginx_counts() {
    counts_what_nginx_counts(&Nginx::start(), &[]);
}

#[test]
fn live_an_open_loop_counts_what_nginx_counts() {
    let open = ["--driver", "open", "--set", "traffic.arrivals=600/s"];
    counts_what_nginx_counts(&Nginx::start(), &open);
}

#[test]
fn live_a_target_over_tls_is_driven_by_those_who_trust_its_authority() {
    let open = ["--driver", "open", "--set", "traffic.arrivals=300/s"];
    for driver in [&open[..0], &open[..]] {
        let nginx = Nginx::over_tls();
        let ca = nginx.folder.path().join("ca.pem");
        let trust = format!("target.tls.ca={}", ca.display());
        let more: Vec<&str> = driver.iter().copied().chain(["--set", &trust]).collect();
        counts_what_nginx_counts(&nginx, &more);
    }
}

#[test]
fn live_a_target_that_nobody_trusts_is_told_before_the_run() {
    let (nginx, run) = (Nginx::over_tls(), Run::new());
    let other = tempfile::tempdir().expect("a temporary folder");
    let ca = other.path().join("ca.pem");
    std::fs::write(&ca, Certificate::make().expect("a certificate").ca).expect("a file");
    let trust = format!("target.tls.ca={}", ca.display());
    // As the scenario says, and as this machine does.
    let asked = |more: &[&str]| {
        let mut command = run.command(&nginx.url(), more);
        command.env("SSL_CERT_FILE", &ca).env_remove("SSL_CERT_DIR");
        let output = command.output();
        told(output.expect("the command starts"))
    };
    for more in [&["--set", &trust][..], &[]] {
        let (code, stdout, stderr) = asked(more);
        assert_eq!((code, stdout.as_str()), (5, ""), "{stderr}");
        for wanted in [
            "TLS: certificate is not trusted",
            "target.tls: { ca: FILE }",
        ] {
            assert!(stderr.contains(wanted), "{stderr}");
        }
    }
    assert!(!run.out().exists() && nginx.log().is_empty());

    std::fs::write(&ca, "nothing").expect("a file");
    for (more, wanted) in [
        (&["--set", &trust][..], "no certificate is in it"),
        (&[], "this machine trusts no authority"),
    ] {
        let (code, _, stderr) = asked(more);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(wanted), "{stderr}");
    }
}

#[test]
fn live_whoever_verifies_nothing_is_warned_and_no_secret_is_written() {
    let (nginx, run) = (Nginx::over_tls(), Run::new());
    let more = [
        "--set",
        "target.tls.verify=false",
        "--set",
        "target.headers.authorization={ env: SHOP_TOKEN, prefix: 'Bearer ' }",
        "--set",
        "target.headers.x-api-key=hush-literal",
    ];
    let command = run.command(&nginx.url(), &more);
    let missing = { command }.env_remove("SHOP_TOKEN").output();
    let (code, _, stderr) = told(missing.expect("the command starts"));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("no variable `SHOP_TOKEN`"), "{stderr}");

    let command = run.command(&nginx.url(), &more);
    let output = { command }.env("SHOP_TOKEN", "hush-environment").output();
    let (code, stdout, stderr) = told(output.expect("the command starts"));
    assert_eq!(code, 0, "{stdout}\n{stderr}");
    let warnings = run.report()["validity"]["warnings"].to_string();
    assert!(warnings.contains("were not verified"), "{warnings}");
    let sent = nginx.log();
    assert!(!sent.is_empty());
    for line in &sent {
        assert_eq!(
            line.last().map(String::as_str),
            Some("hush-environment:hush-literal")
        );
    }
    for file in std::fs::read_dir(run.out()).expect("a report") {
        let file = file.expect("a file").path();
        let text = String::from_utf8_lossy(&std::fs::read(&file).expect("a file")).into_owned();
        let around = text
            .find("hush-")
            .map(|at| text.get(at.saturating_sub(80)..at + 40));
        assert_eq!(around, None, "{}", file.display());
    }
    let copy = std::fs::read_to_string(run.out().join("scenario.yaml")).expect("a copy");
    assert!(copy.contains("SHOP_TOKEN") && copy.contains('…'), "{copy}");
}

#[test]
fn live_what_is_not_told_is_not_guessed() {
    let nginx = Nginx::start();
    let run = Run::new();
    let silent = [
        "--set",
        "target.outcome=none",
        "--set",
        "target.operations.stock.get.path=/missing/{product_id}",
        "--set",
        "gates=[{ name: hits, check: hit_ratio > 1% }, { name: origin, check: origin_queries < 1 }]",
    ];
    let command = run.command(&nginx.url(), &silent).output();
    let (code, stdout, stderr) = told(command.expect("the command starts"));
    assert_eq!(code, 4, "{stdout}\n{stderr}");
    let report = run.report();
    assert_eq!(verdict(&report, "hits").0, "inconclusive");
    let (origin, note) = verdict(&report, "origin");
    assert_eq!(origin, "inconclusive");
    assert!(note.contains("nobody can know"), "{note}");
    assert_eq!(report["data_types"]["product"]["hit_ratio"], Value::Null);
    assert!(report["requests"]["outcomes"]["unknown"].as_u64() > Some(0));
    let warnings = report["validity"]["warnings"].to_string();
    for wanted in ["answered 404", "stock.get", "did not say whether its cache"] {
        assert!(warnings.contains(wanted), "{wanted}: {warnings}");
    }
    assert!(
        report["requests"]["errors"].as_u64() > Some(0),
        "a 404 is an error"
    );
}

#[test]
fn live_an_interrupted_run_tells_what_it_has() {
    let nginx = Nginx::start();
    let run = Run::new();
    let long = ["--set", "traffic.phases=[{ name: steady, for: 10m }]"];
    let mut child = run
        .command(&nginx.url(), &long)
        .stdout(Stdio::null())
        .spawn()
        .expect("the command starts");
    until("users ask", || nginx.log().len() > 50);
    signal::send(Signal::INT, child.id());
    assert_eq!(wait(&mut child, PATIENCE), 130);
    let report = run.report();
    assert_eq!(report["validity"]["interrupted"], true);
    assert!(report["requests"]["total"].as_u64() > Some(0));
}

#[test]
fn live_a_target_that_dies_is_told_by_errors() {
    let mut nginx = Nginx::start();
    let run = Run::new();
    let mut child = run
        .command(&nginx.url(), &[])
        .stdout(Stdio::null())
        .spawn()
        .expect("the command starts");
    until("users ask", || nginx.log().len() > 50);
    nginx.child.kill().expect("it is ours");
    nginx.child.wait().expect("it ends");
    assert_eq!(wait(&mut child, PATIENCE), 3, "the gate on errors is lost");
    let report = run.report();
    assert_eq!(verdict(&report, "no errors").0, "fail");
    let refused = &report["requests"]["errors_by_kind"]["connection refused"];
    assert!(refused.as_u64() > Some(0), "{}", report["requests"]);
    let outcomes = report["requests"]["outcomes"]
        .as_object()
        .expect("outcomes");
    let sum: u64 = outcomes.values().filter_map(Value::as_u64).sum();
    assert_eq!(report["requests"]["total"], sum, "nothing is lost silently");
}

#[test]
fn a_target_that_is_not_there_is_told_before_the_run() {
    let run = Run::new();
    let url = format!("http://127.0.0.1:{}", free_port());
    let command = run.command(&url, &[]).output();
    let (code, stdout, stderr) = told(command.expect("the command starts"));
    assert_eq!((code, stdout.as_str()), (5, ""), "{stderr}");
    for wanted in [&*url, "connection refused", "--target URL"] {
        assert!(stderr.contains(wanted), "{stderr}");
    }
    assert!(!run.out().exists(), "there is nothing to report");
}

#[test]
fn only_a_run_drives_a_target() {
    for command in ["simulate", "validate", "serve"] {
        let output = cachestorm(&[command, "scenarios/external.yaml"]).output();
        let (code, _, stderr) = told(output.expect("the command starts"));
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("works on the built-in service"), "{stderr}");
    }
    let direct = ["run", "scenarios/external.yaml", "--driver", "direct"];
    let (code, _, stderr) = told(cachestorm(&direct).output().expect("the command starts"));
    assert_eq!(code, 2, "{stderr}");
    let check = ["check", "scenarios/external.yaml"];
    let (code, stdout, _) = told(cachestorm(&check).output().expect("the command starts"));
    assert_eq!(code, 0);
    assert!(stdout.contains("target http://127.0.0.1:8080"), "{stdout}");
}
