//! Who listens to a modelled deployment, and how notices come to them: late, and now and then not at
//! all.
//!
//! The deployment hands over what its servers told; a subscription waits here for what is on its way.
//! Notices reach one listener in the order in which they were told.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::engine::data_type::Key;
use crate::engine::layer::Notice;
use crate::engine::remote::redis::Keys;
use crate::engine::remote::redis_tracking::WAITING_MAX;
use crate::environment::delay::Delay;
use crate::seed::Stream;
use crate::units::Ratio;

/// How notices travel from a server to a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct PubSubModel {
    /// How long one takes.
    pub delay: Delay,
    /// How many never arrive.
    pub loss: Ratio,
}

/// What is on its way to a listener.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    coming: Mutex<Coming>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct Coming {
    notices: VecDeque<(Timestamp, Notice)>,
    /// The connection is lost, and nothing more will come.
    is_closed: bool,
}

/// What a listener finds in its inbox.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    Notice(Notice),
    /// The next one is due then.
    Due(Timestamp),
    Nothing,
    Lost,
}

impl Inbox {
    /// Takes the next notice that has arrived by `now`.
    pub(super) fn take(&self, now: Timestamp) -> Found {
        let mut coming = self.coming.lock();
        match coming.notices.front() {
            Some((due, _)) if *due > now => Found::Due(*due),
            Some(_) => {
                let taken = coming.notices.pop_front();
                taken.map_or(Found::Nothing, |(_, notice)| Found::Notice(notice))
            }
            None if coming.is_closed => Found::Lost,
            None => Found::Nothing,
        }
    }

    /// Until something has been sent or the connection is lost; also if that was before.
    pub(super) async fn changed(&self) {
        self.woken.notified().await;
    }

    fn send(&self, due: Timestamp, notice: Notice) {
        let mut coming = self.coming.lock();
        if coming.notices.len() >= WAITING_MAX {
            coming.is_closed = true;
        }
        if !coming.is_closed {
            // On one connection nothing overtakes.
            let last = coming.notices.back().map_or(due, |(last, _)| *last);
            coming.notices.push_back((due.max(last), notice));
        }
        drop(coming);
        self.woken.notify_one();
    }

    /// The connection breaks at `now`: what has not arrived will not.
    fn close(&self, now: Timestamp) {
        let mut coming = self.coming.lock();
        coming.notices.retain(|(due, _)| *due <= now);
        coming.is_closed = true;
        drop(coming);
        self.woken.notify_one();
    }
}

/// What a tracking listener wants to know of.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) keys: Keys,
    /// What keys begin with, as they are spelled on the servers.
    pub(super) heads: Vec<String>,
}

#[derive(Debug)]
struct Listener {
    id: u64,
    inbox: Arc<Inbox>,
    /// The shard whose primary tells it what is published; a tracking one is told by all.
    shard: usize,
    tracked: Option<Tracked>,
}

/// Everybody who listens.
#[derive(Debug)]
pub(super) struct Hub {
    model: PubSubModel,
    stream: Stream,
    listeners: Vec<Listener>,
    next_id: u64,
}

impl Hub {
    pub(super) fn new(model: PubSubModel, stream: Stream) -> Self {
        Self {
            model,
            stream,
            listeners: Vec::new(),
            next_id: 0,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.listeners.len()
    }

    /// Whether any of them tracks changes.
    pub(super) fn is_tracking(&self) -> bool {
        self.listeners.iter().any(|one| one.tracked.is_some())
    }

    /// How many have a connection to this shard.
    pub(super) fn connected_to(&self, shard: usize) -> usize {
        let listens = |one: &&Listener| one.tracked.is_some() || one.shard == shard;
        self.listeners.iter().filter(listens).count()
    }

    pub(super) fn join(&mut self, shard: usize, tracked: Option<Tracked>) -> (u64, Arc<Inbox>) {
        let inbox = Arc::new(Inbox::default());
        let id = self.next_id;
        self.next_id += 1;
        self.listeners.push(Listener {
            id,
            inbox: Arc::clone(&inbox),
            shard,
            tracked,
        });
        (id, inbox)
    }

    pub(super) fn leave(&mut self, id: u64) {
        self.listeners.retain(|one| one.id != id);
    }

    /// The primary of `shard` is gone: whoever was connected to it is cut off.
    pub(super) fn cut_off(&mut self, shard: usize, now: Timestamp) {
        self.listeners.retain(|one| {
            let is_cut = one.tracked.is_some() || one.shard == shard;
            if is_cut {
                one.inbox.close(now);
            }
            !is_cut
        });
    }

    /// Tells everybody what was published and what changed, at `at`.
    pub(super) fn tell(
        &mut self,
        published: &mut Vec<Notice>,
        changed: &mut Vec<Key>,
        at: Timestamp,
    ) {
        let Self {
            model,
            stream,
            listeners,
            ..
        } = self;
        let mut send = |listener: &Listener, notice: Notice| {
            if model.loss.0 <= 0.0 || !stream.random_bool(model.loss.0.min(1.0)) {
                listener.inbox.send(at + model.delay.draw(stream), notice);
            }
        };
        for key in changed.drain(..) {
            for listener in listeners.iter() {
                let Some(tracked) = &listener.tracked else {
                    continue;
                };
                let text = key.as_str();
                let is_wanted = tracked.heads.iter().any(|head| text.starts_with(head));
                if let Some(known) = tracked.keys.read(text).filter(|_| is_wanted) {
                    send(listener, Notice::Changed(vec![known.to_owned()]));
                }
            }
        }
        for notice in published.drain(..) {
            for listener in listeners.iter() {
                send(listener, notice.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use std::time::Duration;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_nanos(ms * 1_000_000)
    }

    fn hub(delay_ms: u64) -> Hub {
        let model = PubSubModel {
            delay: Delay::constant(Duration::from_millis(delay_ms)),
            loss: Ratio(0.0),
        };
        Hub::new(model, Seed(1).stream("pubsub"))
    }

    fn filled(key: &str) -> Notice {
        Notice::Filled(key.to_owned())
    }

    #[test]
    fn a_notice_is_found_when_it_is_due_and_none_behind_a_break() {
        let mut hub = hub(5);
        let (_, inbox) = hub.join(0, None);
        let tell = |hub: &mut Hub, key, ms| hub.tell(&mut vec![filled(key)], &mut vec![], at(ms));
        tell(&mut hub, "a", 10);
        tell(&mut hub, "b", 20);
        assert_eq!(inbox.take(at(14)), Found::Due(at(15)));
        assert_eq!(inbox.take(at(15)), Found::Notice(filled("a")));
        hub.cut_off(1, at(16));
        assert_eq!(inbox.take(at(16)), Found::Due(at(25)), "another primary");
        hub.cut_off(0, at(24));
        assert_eq!(inbox.take(at(25)), Found::Lost, "it was on its way");
        assert_eq!(hub.len(), 0);
    }

    #[test]
    fn who_does_not_listen_is_cut_off_before_memory_is_full() {
        let mut hub = hub(0);
        let (_, inbox) = hub.join(0, None);
        for _ in 0..=WAITING_MAX {
            hub.tell(&mut vec![filled("a")], &mut vec![], at(1));
        }
        let mut found = 0;
        while inbox.take(at(1)) != Found::Lost {
            found += 1;
        }
        assert_eq!(found, WAITING_MAX);
    }
}
