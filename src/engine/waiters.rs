//! Those who wait for a load in another instance, woken by its notice.
//!
//! A notice may be lost or come before the waiting begins, so a waiter looks again by itself, too.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::data_type::Key;

/// The waiters of one instance.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    keys: Mutex<FxHashMap<Key, Waited>>,
}

/// What wakes those who wait for a key, and how many they are.
#[derive(Debug, Default)]
struct Waited {
    notify: Arc<Notify>,
    by: usize,
}

impl Waiters {
    /// Begins to wait for `key`; what comes from now on wakes.
    pub(super) fn wait(&self, key: &Key) -> Waiter<'_> {
        let mut keys = self.keys.lock();
        let waited = keys.entry(key.clone()).or_default();
        waited.by += 1;
        let notify = Arc::clone(&waited.notify);
        drop(keys);
        Waiter {
            waiters: self,
            key: key.clone(),
            notify,
        }
    }

    /// How many keys are waited for.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.keys.lock().len()
    }

    /// Wakes who waits for `key`.
    pub(super) fn wake(&self, key: &Key) {
        if let Some(Waited { notify, .. }) = self.keys.lock().get(key) {
            // Each flight has one waiter; a permit is kept for one that looks elsewhere just now.
            notify.notify_one();
        }
    }
}

/// Waits for one key.
#[derive(Debug)]
pub(super) struct Waiter<'w> {
    waiters: &'w Waiters,
    key: Key,
    notify: Arc<Notify>,
}

impl Waiter<'_> {
    /// Ready at the next notice for the key, or if one has come since the last.
    pub(super) async fn notified(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut keys = self.waiters.keys.lock();
        let Some(waited) = keys.get_mut(&self.key) else {
            return;
        };
        waited.by -= 1;
        if waited.by == 0 {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_notice_wakes_its_waiter_also_if_it_comes_first() {
        let waiters = Waiters::default();
        let key = Key::new("k");
        let waiter = waiters.wait(&key);
        waiters.wake(&Key::new("other"));
        waiters.wake(&key);
        waiter.notified().await;
        drop(waiter);
        assert!(waiters.keys.lock().is_empty());
    }

    #[test]
    fn many_who_wait_and_leave_at_once_leave_nothing() {
        let waiters = Waiters::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..2_000 {
                        let _waiter = waiters.wait(&Key::new(format!("k:{}", n / 100)));
                    }
                });
            }
        });
        assert!(waiters.keys.lock().is_empty());
    }
}
