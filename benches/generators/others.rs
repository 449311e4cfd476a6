//! Generators that are not ours.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use goose::GooseAttack;
use goose::config::GooseConfiguration;
use goose::goose::{Scenario, Transaction, TransactionFunction};
use tokio::runtime::Builder;

use super::{Bench, Made, processors};

/// What goose's users did while all of them were there.
#[derive(Default)]
struct Counted {
    here: AtomicU64,
    complete: OnceLock<Instant>,
    in_time: AtomicU64,
}

impl Counted {
    fn arrived(&self, of: u64) {
        if self.here.fetch_add(1, Ordering::Relaxed) + 1 == of {
            self.complete.get_or_init(Instant::now);
        }
    }

    fn answered(&self, span: Duration) {
        if self
            .complete
            .get()
            .is_some_and(|since| since.elapsed() <= span)
        {
            self.in_time.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Bench {
    /// goose as it comes, with its own client and its own records.
    pub(super) fn goose(&self) -> Made {
        static PATH: OnceLock<String> = OnceLock::new();
        let (_, path) = self.path.split_at(self.url.len());
        PATH.get_or_init(|| path.to_owned());
        let mut configuration = GooseConfiguration::default();
        configuration.host = Some(self.url.clone());
        configuration.users = Some(self.connections as usize);
        configuration.increase_rate = Some("1000000".to_owned());
        // It counts from when all users are there.
        configuration.run_time = Some((self.span.as_secs() + 1).to_string());
        configuration.quiet = 3;
        configuration.no_print_metrics = true;
        configuration.no_error_summary = true;
        configuration.no_reset_metrics = true;
        configuration.no_telnet = true;
        configuration.no_websocket = true;
        // It takes its time to begin and to end: what counts is what all its users asked, in time.
        let (users, span) = (u64::from(self.connections), self.span);
        let counted = Arc::new(Counted::default());
        let counting = Arc::clone(&counted);
        let get: TransactionFunction = Arc::new(move |user| {
            let counted = Arc::clone(&counting);
            Box::pin(async move {
                let path = PATH.get().map_or("/", String::as_str);
                let answer = user.get(path).await?.response;
                if let Ok(answer) = answer {
                    let body = answer.bytes().await;
                    assert!(body.is_ok(), "the body was cut off");
                }
                counted.answered(span);
                Ok(())
            })
        });
        let arriving = Arc::clone(&counted);
        let arrive: TransactionFunction = Arc::new(move |_| {
            let counted = Arc::clone(&arriving);
            Box::pin(async move {
                counted.arrived(users);
                Ok(())
            })
        });
        let scenario = Scenario::new("users")
            .register_transaction(Transaction::new(arrive).set_on_start())
            .register_transaction(Transaction::new(get));
        let attack = GooseAttack::initialize_with_config(configuration).expect("a configuration");
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let metrics = runtime.block_on(attack.register_scenario(scenario).execute());
        let metrics = metrics.expect("goose attacks");
        let requests = metrics.requests.values();
        let (mut done, mut failed) = (0, 0);
        for of_path in requests {
            done += of_path.success_count;
            failed += of_path.fail_count;
        }
        Made {
            requests_per_s: counted.in_time.load(Ordering::Relaxed) as f64 / span.as_secs_f64(),
            requests: Some((done + failed) as f64),
            // It counts whole milliseconds.
            p50_us: f64::NAN,
            p99_us: f64::NAN,
            failed: failed as u64,
            cpu_us: (0.0, 0.0),
        }
    }

    pub(super) fn oha(&self) -> Option<Made> {
        let (seconds, connections) = (self.span.as_secs(), self.connections);
        let arguments = format!("-z {seconds}s -c {connections} --no-tui --output-format json");
        let text = self.outside("oha", "OHA", &arguments)?;
        let json: serde_json::Value = serde_json::from_str(&text).expect("oha's JSON");
        let number = |path: &str| json.pointer(path).and_then(serde_json::Value::as_f64);
        let codes = json["statusCodeDistribution"].as_object().expect("codes");
        let other = codes.iter().filter(|(code, _)| *code != "200");
        Some(Made {
            requests_per_s: number("/summary/requestsPerSec").expect("a rate"),
            requests: None,
            p50_us: number("/latencyPercentiles/p50")? * 1e6,
            p99_us: number("/latencyPercentiles/p99")? * 1e6,
            failed: other.filter_map(|(_, count)| count.as_u64()).sum(),
            cpu_us: (0.0, 0.0),
        })
    }

    pub(super) fn wrk(&self) -> Option<Made> {
        let (seconds, connections) = (self.span.as_secs(), self.connections);
        let threads = processors();
        let arguments = format!("-t {threads} -c {connections} -d {seconds}s --latency");
        let text = self.outside("wrk", "WRK", &arguments)?;
        let after = |word: &str| {
            let mut lines = text.lines().map(str::trim);
            let line = lines.find_map(|line| line.strip_prefix(word));
            line.map(|rest| rest.trim().to_owned())
        };
        let time_us = |word: &str| {
            let time = after(word).expect("a time");
            let digits = time.trim_end_matches(char::is_alphabetic);
            let unit = match &time[digits.len()..] {
                "us" => 1.0,
                "ms" => 1e3,
                _ => 1e6,
            };
            digits.parse::<f64>().expect("a number") * unit
        };
        let failed = after("Non-2xx or 3xx responses:");
        Some(Made {
            requests_per_s: after("Requests/sec:")?.parse().expect("a rate"),
            requests: None,
            p50_us: time_us("50%"),
            p99_us: time_us("99%"),
            failed: failed.map_or(0, |count| count.parse().expect("a count")),
            cpu_us: (0.0, 0.0),
        })
    }

    /// What another program prints; `None` if it is not there.
    fn outside(&self, name: &str, variable: &str, arguments: &str) -> Option<String> {
        let program = std::env::var_os(variable).unwrap_or_else(|| name.into());
        let output = Command::new(program)
            .args(arguments.split(' '))
            .arg(&self.path)
            .stderr(Stdio::inherit())
            .output()
            .ok()?;
        assert!(output.status.success(), "{name} failed");
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
