//! Keeps the roster true: asks who is who, and swaps the connections when that has changed.
//!
//! It looks every second, at once when a command's answer says that the roster is out of date, and
//! at once when a Sentinel says that there is a new primary: the client library knows neither. A
//! node that claims to be the primary is believed only if it says so itself (`survey.rs`). Runs
//! beside the layer, for as long as that lives.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::PubSubStream;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::address::Topology;
use super::connection::Route;
use super::failure;
use super::roster::Roster;
use super::survey::Surveyor;
use crate::engine::layer::LayerError;
use crate::engine::remote::redis_subscription::bounded;

/// How often it looks without being told to.
const TICK: Duration = Duration::from_secs(1);
/// The least time between two looks: a thousand failing commands are one reason, not a thousand.
const GAP: Duration = Duration::from_millis(50);
/// How long subscribing to a Sentinel may take.
const SUBSCRIBE_LIMIT: Duration = Duration::from_millis(500);
/// What Sentinels publish when there is a new primary.
const SWITCHED: &str = "+switch-master";

/// The running follower; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Follower {
    /// Follows what `surveyor` finds, and publishes it to `route`.
    pub(super) fn start(
        surveyor: Surveyor,
        route: Arc<Route>,
        publish: watch::Sender<Arc<Roster>>,
    ) -> Self {
        Self(tokio::spawn(follow(surveyor, route, publish)))
    }
}

async fn follow(mut surveyor: Surveyor, route: Arc<Route>, publish: watch::Sender<Arc<Roster>>) {
    let mut announcements = None;
    loop {
        if announcements.is_none() {
            announcements = listen(&route).await;
        }
        wait(&route, &mut announcements).await;
        // Nobody who knows can be asked: what is known stays, and the next look comes soon.
        if let Ok(view) = surveyor.survey().await
            && view != publish.borrow().view
            && let Ok(roster) = Roster::new(view, &route.pool)
        {
            publish.send_replace(Arc::new(roster));
        }
    }
}

/// Until there is a reason to look, and never longer than a tick.
#[allow(
    clippy::disallowed_methods,
    reason = "paces questions to a real server: real time"
)]
async fn wait(route: &Route, announcements: &mut Option<PubSubStream>) {
    tokio::time::sleep(GAP).await;
    let announced = async {
        match announcements {
            Some(stream) => stream.next().await.is_some(),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = route.outdated.notified() => {}
        alive = announced => if !alive {
            *announcements = None;
        },
        () = tokio::time::sleep(TICK) => {}
    }
}

/// What a Sentinel announces, if there is one that can be listened to.
async fn listen(route: &Route) -> Option<PubSubStream> {
    let nodes = route.pool.nodes();
    if nodes.address().topology() != Topology::Sentinel {
        return None;
    }
    for sentinel in nodes.address().hosts() {
        let subscribing = async {
            let told = |error| failure(&error);
            let client = nodes.sentinel_client(sentinel).map_err(told)?;
            let mut pubsub = client.get_async_pubsub().await.map_err(told)?;
            pubsub.subscribe(SWITCHED).await.map_err(told)?;
            Ok::<_, LayerError>(pubsub.into_on_message())
        };
        if let Ok(stream) = bounded(SUBSCRIBE_LIMIT, subscribing).await {
            return Some(stream);
        }
    }
    None
}
