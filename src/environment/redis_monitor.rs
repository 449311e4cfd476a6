//! What a Redis is asked, captured by its own MONITOR and written as a trace.
//!
//! Called by `cachestorm trace capture`. One connection listens; it is always read on at once, because
//! what is not read piles up in the server's memory. What is taken of a command is put into a buffer of
//! at most 200,000 requests and 64 MiB of key texts, from which another thread writes; what finds no
//! room is lost and counted. Never keeps a value, an argument that is no key, or a login, and keys only
//! if asked to: as a rule a hash with a secret stands for them that nobody keeps.

mod secret;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use redis::Value;
use tokio::sync::{mpsc, watch};

use self::secret::Secret;
use super::error::EnvironmentError;
use super::keyspace::{connect_node, mask_url};
use crate::clock::{Clock, Timestamp};
use crate::engine::remote::redis::Topology;
use crate::workload::trace::convert::{CsvKey, csv_line};
use crate::workload::trace::redis_commands::{Access, accesses};
use crate::workload::trace::redis_monitor::{Command, MonitorParser};
use crate::workload::trace::{NoRequest, TimeResolution, TraceRecord, key_id};

/// The most requests that wait to be written.
const BUFFER_REQUESTS: usize = 200_000;
/// The most bytes of key texts that wait with them.
const BUFFER_BYTES: usize = 64 << 20;
/// How long the server may take to show that it tells its commands.
const START_LIMIT: Duration = Duration::from_secs(5);
/// How many different commands are counted by name.
const NAMES_MAX: usize = 200;

/// What is to be captured.
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// One server.
    pub url: String,
    /// For how long.
    pub duration: Duration,
    /// Whether keys are written as they are.
    pub plain_keys: bool,
}

/// How a capture ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its time was over.
    InTime,
    /// Somebody asked to stop.
    Stopped,
    /// The server closed the connection, or it broke.
    ConnectionLost,
}

/// What was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// How it ended.
    pub ended: Ended,
    /// For how long.
    pub duration: Duration,
    /// Commands that the server told.
    pub commands: u64,
    /// Requests that were written.
    pub requests: u64,
    /// Requests that found no room in the buffer.
    pub lost: u64,
    /// Commands that touch no key's value, by name.
    pub skipped: BTreeMap<String, u64>,
    /// Lines that could not be read.
    pub unreadable: u64,
}

/// Why nothing was captured, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The server could not be asked.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// What was captured could not be written.
    #[error("the capture cannot be written: {0}; is there room for it?")]
    Write(#[from] io::Error),
}

/// One request on its way to be written.
struct Held {
    record: TraceRecord,
    key: Option<Box<str>>,
    key_bytes: u32,
}

/// Captures what a server is asked and writes it to `out` as CSV; gives `out` back, with what was
/// captured, also if the connection broke.
///
/// # Errors
/// If the server cannot be reached or does not tell its commands, or if `out` takes no more.
pub async fn capture<W: Write + Send + 'static>(
    options: &CaptureOptions,
    out: W,
    clock: &Clock,
    stop: watch::Receiver<bool>,
) -> Result<(W, Captured), CaptureError> {
    let told = Box::pin(listen(&options.url, clock)).await?;
    let (sender, receiver) = mpsc::channel(BUFFER_REQUESTS);
    let held_bytes = Arc::new(AtomicUsize::new(0));
    let written = {
        let held_bytes = Arc::clone(&held_bytes);
        tokio::task::spawn_blocking(move || write(receiver, out, &held_bytes))
    };
    let mut taker = Taker {
        secret: (!options.plain_keys).then(draw).transpose()?,
        buffer: Buffer {
            sender,
            held_bytes,
            lost: 0,
        },
        commands: 0,
        skipped: BTreeMap::new(),
        unreadable: 0,
    };
    let begun = clock.now();
    let until = begun + options.duration;
    let ended = taker.take_all(told, (clock, until), stop).await;
    let duration = clock.now().since(begun);
    let Taker {
        buffer,
        commands,
        skipped,
        unreadable,
        ..
    } = taker;
    let lost = buffer.lost;
    // The writer ends when nobody can send any more.
    drop(buffer);
    let (out, requests) = written.await.map_err(io::Error::other)??;
    let captured = Captured {
        ended,
        duration,
        commands,
        requests,
        lost,
        skipped,
        unreadable,
    };
    Ok((out, captured))
}

fn draw() -> Result<Secret, EnvironmentError> {
    Secret::draw().map_err(|error| EnvironmentError::Io {
        doing: "drawing a secret for the keys".to_owned(),
        source: io::Error::other(error),
    })
}

/// The lines that the server tells from now on.
async fn listen(
    url: &str,
    clock: &Clock,
) -> Result<impl Stream<Item = Value> + Unpin + use<>, EnvironmentError> {
    let masked = mask_url(url);
    let (nodes, mut asking) = connect_node(url, clock).await?;
    if nodes.address().topology() != Topology::Standalone {
        return Err(EnvironmentError::OtherTopology {
            url: masked,
            what: "of several servers, and MONITOR tells the commands of one",
            instead: "redis://HOST:PORT of one of them",
        });
    }
    let failed = |error| EnvironmentError::command("MONITOR", &error);
    let client = nodes.client(&nodes.address().hosts()[0]).map_err(failed)?;
    let timed_out = |_| EnvironmentError::TimedOut {
        doing: "MONITOR".to_owned(),
        limit: START_LIMIT,
    };
    let monitor = clock.timeout(START_LIMIT, client.get_async_monitor());
    let mut told = monitor
        .await
        .map_err(timed_out)?
        .map_err(failed)?
        .into_on_message();
    // The client library does not tell a refusal, so the server must show that it tells: nothing is
    // captured before it told this.
    let mark = format!("cachestorm-capture-{:x}", clock.now().as_unix_nanos());
    let shown = async {
        redis::cmd("ECHO")
            .arg(&mark)
            .query_async::<()>(&mut asking)
            .await?;
        while let Some(value) = told.next().await {
            if matches!(&value, Value::SimpleString(line) if line.contains(&mark)) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match clock.timeout(START_LIMIT, shown).await {
        Ok(Ok(true)) => Ok(told),
        Ok(Err(error)) => Err(EnvironmentError::command("ECHO", &error)),
        Ok(Ok(false)) | Err(_) => Err(EnvironmentError::Command {
            doing: "MONITOR".to_owned(),
            reason: format!(
                "{masked} does not tell its commands: the login may lack the right \
                 (ACL SETUSER name +monitor), and hosted services often forbid it"
            ),
        }),
    }
}

/// Takes requests out of lines.
struct Taker {
    secret: Option<Secret>,
    buffer: Buffer,
    commands: u64,
    skipped: BTreeMap<String, u64>,
    unreadable: u64,
}

struct Buffer {
    sender: mpsc::Sender<Held>,
    held_bytes: Arc<AtomicUsize>,
    lost: u64,
}

impl Taker {
    /// Until the time is over, somebody asks to stop, or nothing more comes.
    async fn take_all(
        &mut self,
        mut told: impl Stream<Item = Value> + Unpin,
        (clock, until): (&Clock, Timestamp),
        mut stop: watch::Receiver<bool>,
    ) -> Ended {
        let mut parser = MonitorParser::default();
        let mut over = std::pin::pin!(clock.sleep_until(until));
        loop {
            let value = tokio::select! {
                biased;
                () = &mut over => return Ended::InTime,
                _ = stop.wait_for(|stop| *stop) => return Ended::Stopped,
                // The writer failed; it tells why.
                () = self.buffer.sender.closed() => return Ended::ConnectionLost,
                value = told.next() => value,
            };
            match value {
                None => return Ended::ConnectionLost,
                Some(Value::SimpleString(line)) => self.take(&mut parser, line.as_bytes()),
                Some(_) => self.unreadable += 1,
            }
        }
    }

    fn take(&mut self, parser: &mut MonitorParser, line: &[u8]) {
        self.commands += 1;
        let Ok(command) = parser.command(line) else {
            self.unreadable += 1;
            return;
        };
        let (secret, buffer) = (&self.secret, &mut self.buffer);
        let taken = accesses(&command, &mut |access| {
            buffer.hold(held(secret.as_ref(), &command, &access));
        });
        if let Err(NoRequest::Skipped(name)) = taken {
            let room = self.skipped.len() < NAMES_MAX || self.skipped.contains_key(&name);
            let name = if room { name } else { "others".to_owned() };
            *self.skipped.entry(name).or_default() += 1;
        }
    }
}

impl Buffer {
    fn hold(&mut self, held: Held) {
        let bytes = held.key.as_ref().map_or(0, |key| key.len());
        let before = self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > BUFFER_BYTES || self.sender.try_send(held).is_err() {
            self.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.lost += 1;
        }
    }
}

/// What is kept of a request.
fn held(secret: Option<&Secret>, command: &Command<'_>, access: &Access<'_>) -> Held {
    let key = command.qualified(access.key);
    let record = TraceRecord {
        at: Duration::from_nanos(command.time_ns),
        key: secret.map_or_else(|| key_id(&key), |secret| secret.hash(&key)),
        operation: access.operation,
        value_size: access.value_size,
        ttl: access.ttl,
        client: secret.map_or_else(
            || key_id(command.client),
            |secret| secret.hash(command.client),
        ),
    };
    let text = CsvKey::plain(&key).filter(|_| secret.is_none());
    Held {
        record,
        key: text.map(Box::from),
        key_bytes: u32::try_from(access.key.len()).unwrap_or(u32::MAX),
    }
}

/// Writes what comes, on a thread that may wait; gives `out` back, and how much it was.
fn write<W: Write>(
    mut receiver: mpsc::Receiver<Held>,
    mut out: W,
    held_bytes: &AtomicUsize,
) -> io::Result<(W, u64)> {
    let (mut line, mut requests) = (String::new(), 0);
    while let Some(held) = receiver.blocking_recv() {
        let text = held.key.as_deref();
        held_bytes.fetch_sub(text.map_or(0, str::len), Ordering::Relaxed);
        let key = CsvKey {
            text,
            bytes: held.key_bytes,
        };
        line.clear();
        csv_line(&mut line, &held.record, key, TimeResolution::Finer);
        out.write_all(line.as_bytes())?;
        requests += 1;
    }
    Ok((out, requests))
}

#[cfg(test)]
mod tests;
