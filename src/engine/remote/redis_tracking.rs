//! Redis tells of changed keys itself: client tracking in broadcast mode, over RESP3.
//!
//! On one connection come the server's `invalidate` messages and the notices of other instances. A
//! message without keys means that all of them are gone (`FLUSHALL`; a tracker that takes it for
//! nothing serves what is not there any more: lettuce PR#3885). Every change is told, whoever made
//! it: also this instance's own fills come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, PushKind, Value};
use tokio::sync::mpsc;

use super::redis::failure;
use super::redis_subscription::SUBSCRIBE_LIMIT;
use crate::engine::layer::{LayerError, Notice};

/// How many messages may wait to be taken in. With more, some would be lost, and that is a lost
/// connection.
const WAITING_MAX: usize = 65_536;

/// A connection on which Redis tells of changes.
pub(super) struct Tracking {
    /// Open as long as this is held.
    _connection: MultiplexedConnection,
    pushes: mpsc::Receiver<PushInfo>,
    overflowed: Arc<AtomicBool>,
    prefix: String,
}

impl Tracking {
    pub(super) async fn open(
        client: &::redis::Client,
        channel: &str,
        prefix: &str,
        tracked: &[String],
    ) -> Result<Self, LayerError> {
        let info = client.get_connection_info().clone();
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let client =
            ::redis::Client::open(info.set_redis_settings(settings)).map_err(|e| failure(&e))?;
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
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|e| failure(&e))?;
        let mut track = ::redis::cmd("CLIENT");
        track.arg(&["TRACKING", "ON", "BCAST"]);
        for head in tracked {
            track.arg("PREFIX").arg([prefix, head].concat());
        }
        track
            .query_async::<()>(&mut connection)
            .await
            .map_err(|e| failure(&e))?;
        connection
            .subscribe(channel)
            .await
            .map_err(|e| failure(&e))?;
        Ok(Self {
            _connection: connection,
            pushes,
            overflowed,
            prefix: prefix.to_owned(),
        })
    }

    /// The next notice; `None` when the connection is lost, or a message was.
    pub(super) async fn next(&mut self) -> Option<Notice> {
        loop {
            if self.overflowed.load(Ordering::Relaxed) {
                return None;
            }
            let push = self.pushes.recv().await?;
            let notice = match push.kind {
                PushKind::Disconnection => return None,
                PushKind::Invalidate => Some(changed(&push.data, &self.prefix)),
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

/// What an `invalidate` message says: its keys without the run's prefix, or that all are gone.
fn changed(data: &[Value], prefix: &str) -> Notice {
    match data {
        [Value::Array(keys)] => {
            let keys = keys.iter().filter_map(|key| {
                let key = text(key)?;
                key.strip_prefix(prefix).map(str::to_owned)
            });
            Notice::Changed(keys.collect())
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

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_message_names_its_keys_without_the_prefix() {
        let keys = Value::Array(vec![bulk("run:customer:1"), bulk("elsewhere:1")]);
        assert_eq!(
            changed(&[keys], "run:"),
            Notice::Changed(vec!["customer:1".to_owned()])
        );
    }

    /// The defect of lettuce PR#3885.
    #[test]
    fn a_message_without_keys_means_all_of_them() {
        assert_eq!(changed(&[Value::Nil], "run:"), Notice::Emptied);
        assert_eq!(changed(&[], "run:"), Notice::Emptied);
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
