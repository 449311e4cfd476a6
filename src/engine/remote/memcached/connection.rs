//! One connection to memcached for many callers: commands go out as they come, replies come back
//! in their order.
//!
//! A task of its own owns the socket, so that a caller that gives up leaves no half-read reply
//! behind. When the connection breaks, every command in it fails and is not sent again (the engine
//! has a better answer: the origin); it is made anew after a short wait, and until then commands
//! fail at once. The task ends with its last caller.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::NAME;
use super::protocol::{Command, Reply, take_reply};
use crate::clock::{Clock, Timestamp};
use crate::engine::layer::LayerError;

/// How many commands may wait to be written.
const WAITING_MAX: usize = 4_096;
/// How many may wait for their replies.
const IN_FLIGHT_MAX: usize = 16_384;
/// How many are taken at once.
const BATCH: usize = 256;
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// The first wait before connecting again; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_millis(500);

type Answer = Result<Reply, LayerError>;

/// A command on its way, and who waits for its reply.
struct Asked {
    bytes: Bytes,
    answer: oneshot::Sender<Answer>,
}

/// A connection that repairs itself. Its commands are not bounded in time; its callers are.
#[derive(Debug)]
pub(super) struct Connection {
    asked: mpsc::Sender<Asked>,
}

impl Connection {
    /// A connection to `address`, made by the runtime that this is called on. A server that says
    /// nothing for `patience` while it should is given up.
    pub(super) fn open(address: SocketAddr, patience: Duration, clock: Clock) -> Self {
        let (asked, commands) = mpsc::channel(WAITING_MAX);
        let line = Line {
            address,
            patience,
            clock,
            commands,
        };
        tokio::spawn(line.run());
        Self { asked }
    }

    /// Asks `command` and waits for its reply.
    pub(super) async fn ask(&self, command: &Command<'_>) -> Answer {
        let gone = || LayerError::Unreachable(NAME, "its connection has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        let bytes = command.encode();
        let asked = self.asked.send(Asked { bytes, answer }).await;
        asked.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// The task behind a [`Connection`].
struct Line {
    address: SocketAddr,
    patience: Duration,
    clock: Clock,
    commands: mpsc::Receiver<Asked>,
}

impl Line {
    async fn run(mut self) {
        let mut retry = RETRY_MIN;
        loop {
            let connecting = TcpStream::connect(self.address);
            let lost = match self.clock.timeout(CONNECT_LIMIT, connecting).await {
                Ok(Ok(stream)) => {
                    retry = RETRY_MIN;
                    match self.serve(stream).await {
                        Some(lost) => lost,
                        None => return,
                    }
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no connection within a second".to_owned(),
            };
            if !self.refuse_for(retry, &lost).await {
                return;
            }
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    /// Fails every command for this long. False if nobody is left to ask.
    async fn refuse_for(&mut self, time: Duration, lost: &str) -> bool {
        let until = self.clock.now() + time;
        loop {
            tokio::select! {
                biased;
                () = self.clock.sleep_until(until) => return true,
                asked = self.commands.recv() => match asked {
                    Some(asked) => refuse(asked.answer, lost),
                    None => return false,
                },
            }
        }
    }

    /// Carries commands and replies until the connection is lost, and says why; `None` when nobody
    /// is left to ask.
    async fn serve(&mut self, mut stream: TcpStream) -> Option<String> {
        // Without it small commands would wait for each other.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.split();
        let mut session = Session {
            reader,
            writer,
            incoming: BytesMut::with_capacity(64 << 10),
            outgoing: BytesMut::new(),
            in_flight: VecDeque::new(),
            heard_at: self.clock.now(),
        };
        let mut fresh = Vec::with_capacity(BATCH);
        let lost = loop {
            let room = session.in_flight.len() < IN_FLIGHT_MAX;
            let waiting = !session.in_flight.is_empty();
            let give_up_at = session.heard_at + self.patience;
            tokio::select! {
                biased;
                read = session.reader.read_buf(&mut session.incoming) => {
                    session.heard_at = self.clock.now();
                    if let Err(lost) = session.deliver(read) {
                        break lost;
                    }
                }
                written = session.writer.write_buf(&mut session.outgoing),
                    if session.outgoing.has_remaining() =>
                {
                    if let Err(error) = written {
                        break error.to_string();
                    }
                }
                count = self.commands.recv_many(&mut fresh, BATCH), if room => {
                    if count == 0 {
                        return None;
                    }
                    session.take(fresh.drain(..), self.clock.now());
                }
                () = self.clock.sleep_until(give_up_at), if waiting => {
                    break "it stopped answering".to_owned();
                }
            }
        };
        for answer in session.in_flight {
            refuse(answer, &lost);
        }
        Some(lost)
    }
}

/// A connection while it stands.
struct Session<'s> {
    reader: ReadHalf<'s>,
    writer: WriteHalf<'s>,
    incoming: BytesMut,
    outgoing: BytesMut,
    /// Who waits for a reply, in the order asked.
    in_flight: VecDeque<oneshot::Sender<Answer>>,
    heard_at: Timestamp,
}

impl Session<'_> {
    fn take(&mut self, fresh: impl Iterator<Item = Asked>, now: Timestamp) {
        if self.in_flight.is_empty() {
            self.heard_at = now;
        }
        for Asked { bytes, answer } in fresh {
            self.outgoing.extend_from_slice(&bytes);
            self.in_flight.push_back(answer);
        }
    }

    /// Gives every reply that is complete to who waits for it; or says why the connection is lost.
    fn deliver(&mut self, read: std::io::Result<usize>) -> Result<(), String> {
        match read {
            Ok(0) => return Err("it closed the connection".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
        while let Some(reply) = take_reply(&mut self.incoming).map_err(|e| e.to_string())? {
            let answer = self.in_flight.pop_front();
            let answer = answer.ok_or("it answered without being asked")?;
            let lost = match &reply {
                Reply::Misunderstood(text) => Some(text.clone()),
                _ => None,
            };
            // Who asked may have given up meanwhile.
            let _ = answer.send(Ok(reply));
            if let Some(lost) = lost {
                return Err(lost);
            }
        }
        Ok(())
    }
}

fn refuse(answer: oneshot::Sender<Answer>, lost: &str) {
    // Who asked may have given up meanwhile.
    let _ = answer.send(Err(LayerError::Unreachable(NAME, lost.to_owned())));
}

#[cfg(test)]
mod tests {
    use super::super::protocol::WireKey;
    use super::*;
    use tokio::net::TcpListener;

    const PATIENCE: Duration = Duration::from_secs(5);

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        (listener, address)
    }

    fn key(number: usize) -> WireKey {
        WireKey::new(format!("key:{number}")).expect("a key")
    }

    /// Reads whole lines and answers each by `answer`, as long as it gives something.
    async fn serve(listener: &TcpListener, mut answer: impl FnMut(&str) -> Option<String>) {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut held = Vec::new();
        let mut bytes = [0; 4_096];
        loop {
            let count = stream.read(&mut bytes).await.unwrap_or(0);
            if count == 0 {
                return;
            }
            held.extend_from_slice(&bytes[..count]);
            while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                let Some(text) = answer(String::from_utf8_lossy(&line).trim_end()) else {
                    return;
                };
                stream.write_all(text.as_bytes()).await.expect("a reader");
            }
        }
    }

    #[tokio::test]
    async fn many_callers_each_get_their_own_reply() {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            serve(&listener, |line| {
                let key = line.split(' ').nth(1).unwrap_or_default();
                Some(format!("VA {} c1\r\n{key}\r\n", key.len()))
            })
            .await;
        });
        let connection = Connection::open(address, PATIENCE, Clock::real());
        let keys: Vec<WireKey> = (0..5_000).map(key).collect();
        let asked = keys.iter().map(|key| {
            let connection = &connection;
            async move { connection.ask(&Command::Get(key)).await }
        });
        let answers = futures_util::future::join_all(asked).await;
        for (number, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(Reply::Value { data, .. }) => {
                    assert_eq!(data, format!("key:{number}").as_bytes());
                }
                other => panic!("{other:?}"),
            }
        }
        drop(connection);
        server.await.expect("the server saw the end");
    }

    #[tokio::test]
    async fn a_broken_connection_fails_its_commands_and_is_made_anew() {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            // The first connection is cut in the middle of a command, the second is well.
            serve(&listener, |_| None).await;
            serve(&listener, |_| Some("EN\r\n".to_owned())).await;
        });
        let clock = Clock::real();
        let connection = Connection::open(address, PATIENCE, clock.clone());
        let key = key(1);
        let first = connection.ask(&Command::Get(&key)).await;
        assert!(
            matches!(first, Err(LayerError::Unreachable(..))),
            "{first:?}"
        );
        let deadline = clock.now() + Duration::from_secs(10);
        while connection.ask(&Command::Get(&key)).await != Ok(Reply::Missing) {
            assert!(clock.now() < deadline, "the connection was not made anew");
            clock.sleep(Duration::from_millis(5)).await;
        }
        drop(connection);
        server.await.expect("the server saw the end");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_at_once() {
        let (listener, address) = listener().await;
        drop(listener);
        let connection = Connection::open(address, PATIENCE, Clock::real());
        for _ in 0..3 {
            let answer = connection.ask(&Command::Version).await;
            assert!(
                matches!(answer, Err(LayerError::Unreachable(..))),
                "{answer:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_server_that_falls_silent_is_given_up() {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move { serve(&listener, |_| Some(String::new())).await });
        let patience = Duration::from_millis(50);
        let connection = Connection::open(address, patience, Clock::real());
        let answer = connection.ask(&Command::Version).await;
        insta::assert_snapshot!(answer.expect_err("no answer"), @"memcached cannot be reached: it stopped answering");
        server.await.expect("the server saw the end");
    }

    #[tokio::test]
    async fn what_is_not_memcached_is_told_so() {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            serve(&listener, |_| Some("-ERR unknown command\r\n".to_owned())).await;
        });
        let connection = Connection::open(address, PATIENCE, Clock::real());
        let answer = connection.ask(&Command::Version).await;
        insta::assert_snapshot!(answer.expect_err("no memcached"), @r#"memcached cannot be reached: what answers is not memcached: "-ERR unknown command\r\n""#);
        server.await.expect("the server saw the end");
    }
}
