//! Redis tells of changed keys itself: client tracking in broadcast mode, over RESP3.
//!
//! On one connection come the server's `invalidate` messages and the notices of other instances. A
//! message without keys means that all of them are gone (`FLUSHALL`; a tracker that takes it for
//! nothing serves what is not there any more: lettuce PR#3885). Every change is told, whoever made
//! it: also this instance's own fills come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind, Value};
use futures_util::future::try_join_all;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::redis::{Keys, Link, NAME, NodeAddress, failure};
use super::redis_subscription::SUBSCRIBE_LIMIT;
use crate::engine::layer::{LayerError, Notice};

/// How many messages may wait to be taken in. With more, some would be lost, and that is a lost
/// connection.
pub(crate) const WAITING_MAX: usize = 65_536;
/// How often each of several nodes is asked whether it is there.
const PULSE: Duration = Duration::from_secs(1);

/// The connections on which Redis tells of changes: to every primary, because each tells of its own
/// keys alone. Notices come from the first; what one node of a Cluster is told, all tell.
pub(super) struct Tracking {
    nodes: Vec<NodeAddress>,
    /// Open as long as these are held.
    _connections: Vec<MultiplexedConnection>,
    pushes: mpsc::Receiver<PushInfo>,
    overflowed: Arc<AtomicBool>,
    pulse: Option<Pulse>,
    keys: Keys,
}

impl Tracking {
    pub(super) async fn open(
        link: &Link,
        keys: &Keys,
        tracked: &[String],
    ) -> Result<Self, LayerError> {
        let (to, pushes) = mpsc::channel(WAITING_MAX);
        let overflowed = Arc::new(AtomicBool::new(false));
        let overflow = Arc::clone(&overflowed);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(SUBSCRIBE_LIMIT))
            .set_response_timeout(Some(SUBSCRIBE_LIMIT))
            .set_push_sender(move |push| {
                to.try_send(push)
                    .inspect_err(|_| overflow.store(true, Ordering::Relaxed))
            });
        let mut track = ::redis::cmd("CLIENT");
        track.arg(&["TRACKING", "ON", "BCAST"]);
        for head in tracked.iter().flat_map(|head| keys.heads(head)) {
            track.arg("PREFIX").arg(head);
        }
        let (nodes, clients): (Vec<_>, Vec<_>) = link.primary_clients()?.into_iter().unzip();
        let opening = clients.into_iter().map(|client| connect(client, &config));
        let mut connections = try_join_all(opening).await?;
        for connection in &mut connections {
            let tracking = track.query_async::<()>(connection).await;
            tracking.map_err(|e| failure(&e))?;
        }
        let nobody = || LayerError::Unreachable(NAME, "there is no primary".to_owned());
        let first = connections.first_mut().ok_or_else(nobody)?;
        let subscribed = first.subscribe(keys.channel()).await;
        subscribed.map_err(|e| failure(&e))?;
        Ok(Self {
            nodes,
            // One that is alone is known to live by this instance's own word, which comes from it.
            pulse: (connections.len() > 1).then(|| Pulse::start(connections.clone())),
            _connections: connections,
            pushes,
            overflowed,
            keys: keys.clone(),
        })
    }

    /// Whose changes are told.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodeAddress> {
        self.nodes.iter()
    }

    /// The next notice; `None` when a connection is lost, or a message was.
    pub(super) async fn next(&mut self) -> Option<Notice> {
        loop {
            if self.overflowed.load(Ordering::Relaxed) {
                return None;
            }
            let push = tokio::select! {
                biased;
                push = self.pushes.recv() => push?,
                () = Pulse::stopped(self.pulse.as_mut()) => return None,
            };
            let notice = match push.kind {
                PushKind::Disconnection => return None,
                PushKind::Invalidate => Some(changed(&push.data, &self.keys)),
                PushKind::Message => read_message(&push.data),
                _ => None,
            };
            // Something else on our channel is no notice of ours.
            if notice.is_some() {
                return notice;
            }
        }
    }
}

async fn connect(
    client: Client,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, LayerError> {
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone();
    let settings = settings.set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.set_redis_settings(settings)).map_err(|e| failure(&e))?;
    let connecting = client.get_multiplexed_async_connection_with_config(config);
    connecting.await.map_err(|e| failure(&e))
}

/// Asks each of several connections now and then whether its node is there: one that a network
/// swallows says nothing, not even that it is gone. Ends when one does not answer, or with this.
struct Pulse(JoinHandle<()>);

impl Drop for Pulse {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Pulse {
    fn start(connections: Vec<MultiplexedConnection>) -> Self {
        Self(tokio::spawn(feel(connections)))
    }

    /// Until one did not answer; for ever where none is asked.
    async fn stopped(pulse: Option<&mut Self>) {
        match pulse {
            // Either way nobody asks any more.
            Some(pulse) => drop((&mut pulse.0).await),
            None => std::future::pending().await,
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "paces questions to real servers: real time"
)]
async fn feel(connections: Vec<MultiplexedConnection>) {
    loop {
        tokio::time::sleep(PULSE).await;
        let asking = connections.iter().map(|connection| {
            let mut connection = connection.clone();
            async move {
                ::redis::cmd("PING")
                    .query_async::<()>(&mut connection)
                    .await
            }
        });
        // Each has the connection's own time limit.
        if try_join_all(asking).await.is_err() {
            return;
        }
    }
}

/// What an `invalidate` message says: its keys as the engine calls them, or that all are gone.
fn changed(data: &[Value], keys: &Keys) -> Notice {
    match data {
        [Value::Array(told)] => {
            let told = told
                .iter()
                .filter_map(|key| keys.read(text(key)?).map(str::to_owned));
            Notice::Changed(told.collect())
        }
        // Null, or something that this version does not know: too much is dropped, never too little.
        _ => Notice::Emptied,
    }
}

fn read_message(data: &[Value]) -> Option<Notice> {
    let [_, payload] = data else { return None };
    serde_json::from_str(text(payload)?).ok()
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Keys {
        Keys::new("run:".to_owned(), false)
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_message_names_its_keys_without_the_prefix() {
        let keys = Value::Array(vec![bulk("run:customer:1"), bulk("elsewhere:1")]);
        assert_eq!(
            changed(&[keys], &run()),
            Notice::Changed(vec!["customer:1".to_owned()])
        );
    }

    /// The defect of lettuce PR#3885.
    #[test]
    fn a_message_without_keys_means_all_of_them() {
        assert_eq!(changed(&[Value::Nil], &run()), Notice::Emptied);
        assert_eq!(changed(&[], &run()), Notice::Emptied);
    }

    #[test]
    fn notices_come_on_the_same_connection() {
        let filled = bulk(r#"{"filled":"customer:1"}"#);
        let expected = Notice::Filled("customer:1".to_owned());
        assert_eq!(
            read_message(&[bulk("run:invalidations"), filled]),
            Some(expected)
        );
        assert_eq!(read_message(&[bulk("run:invalidations"), bulk("?")]), None);
    }
}
