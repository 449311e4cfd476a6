//! Two stores as one remote layer: some data types stand aside, in a store of their own.
//!
//! A cache's Redis may evict whatever it likes; sessions must not be lost that way. So their keys go
//! to a second one, with `noeviction` and persistence, and everything else stays where it was. Each
//! store keeps its own circuit breaker, so that one that is away does not cut off the other. What
//! instances tell each other, and generations, are in the main store; both are listened to, because
//! a store tells of its own locks and leases.
//!
//! Write-behind stores an entry and its queue in one step, so its data types must all stand in the
//! store that has the queue ([`Split::with_queue_aside`]).

use std::time::Duration;

use crate::engine::data_type::{Key, KeyPattern, Limit};
use crate::engine::invalidation::glob::Glob;
use crate::engine::invalidation::markers::{Marker, Scope};
use crate::engine::layer::{
    Admission, Appended, Entry, Fill, Generation, LayerError, Leased, Notice, QueuedWrite, Remote,
    Subscription, Token, Version,
};

/// Two stores as one.
#[derive(Debug)]
pub struct Split<R> {
    main: R,
    aside: R,
    /// The keys that stand aside.
    patterns: Vec<KeyPattern>,
    queue_aside: bool,
}

impl<R: Remote> Split<R> {
    /// `main`, but keys that follow one of `patterns` stand in `aside`.
    pub fn new(main: R, aside: R, patterns: Vec<KeyPattern>) -> Self {
        Self {
            main,
            aside,
            patterns,
            queue_aside: false,
        }
    }

    /// The same with the queue of write-behind aside, too.
    #[must_use]
    pub fn with_queue_aside(self) -> Self {
        Self {
            queue_aside: true,
            ..self
        }
    }

    fn is_aside(&self, key: &Key) -> bool {
        let mut patterns = self.patterns.iter();
        patterns.any(|pattern| {
            // The beginning first: nearly always it is another.
            key.as_str().starts_with(pattern.head()) && pattern.read(key).is_some()
        })
    }

    fn of(&self, key: &Key) -> &R {
        if self.is_aside(key) {
            &self.aside
        } else {
            &self.main
        }
    }

    fn queued(&self) -> &R {
        if self.queue_aside {
            &self.aside
        } else {
            &self.main
        }
    }
}

/// What both stores tell.
#[derive(Debug)]
pub struct Both<S> {
    main: S,
    /// `None` if it is lost and can be done without: then waiters for its locks look by themselves.
    aside: Option<S>,
    /// It tells of changes, and a loss is one of notices.
    aside_is_needed: bool,
}

impl<S: Subscription> Subscription for Both<S> {
    async fn next(&mut self) -> Option<Notice> {
        while let Some(aside) = &mut self.aside {
            let notice = tokio::select! {
                biased;
                notice = self.main.next() => return notice,
                notice = aside.next() => notice,
            };
            if notice.is_some() || self.aside_is_needed {
                return notice;
            }
            self.aside = None;
        }
        self.main.next().await
    }
}

impl<R: Remote> Remote for Split<R> {
    type Subscription = Both<R::Subscription>;
    type Queue = R::Queue;

    async fn get(&self, key: &Key) -> Result<Option<Entry>, LayerError> {
        self.of(key).get(key).await
    }

    async fn fill(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<Fill, LayerError> {
        self.of(key).fill(key, entry, ttl).await
    }

    async fn get_and_extend(&self, key: &Key, ttl: Duration) -> Result<Option<Entry>, LayerError> {
        self.of(key).get_and_extend(key, ttl).await
    }

    async fn fill_sliding(
        &self,
        key: &Key,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<Fill, LayerError> {
        self.of(key).fill_sliding(key, entry, ttl).await
    }

    async fn overwrite(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<(), LayerError> {
        self.of(key).overwrite(key, entry, ttl).await
    }

    async fn get_or_lease(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> Result<Leased, LayerError> {
        self.of(key).get_or_lease(key, token, ttl).await
    }

    async fn fill_leased(
        &self,
        key: &Key,
        token: Token,
        entry: Option<(&Entry, Duration)>,
    ) -> Result<Fill, LayerError> {
        self.of(key).fill_leased(key, token, entry).await
    }

    async fn lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        self.of(key).lock(key, token, ttl).await
    }

    async fn renew_lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        self.of(key).renew_lock(key, token, ttl).await
    }

    async fn unlock(&self, key: &Key, token: Option<Token>) -> Result<(), LayerError> {
        self.of(key).unlock(key, token).await
    }

    /// Both are told, also if the other fails.
    async fn invalidate(&self, keys: &[Key], version: Version) -> Result<(), LayerError> {
        let (aside, main): (Vec<Key>, Vec<Key>) =
            keys.iter().cloned().partition(|key| self.is_aside(key));
        let told = async |store: &R, keys: Vec<Key>| {
            if keys.is_empty() {
                return Ok(());
            }
            store.invalidate(&keys, version).await
        };
        let (main, aside) = tokio::join!(told(&self.main, main), told(&self.aside, aside));
        main.and(aside)
    }

    async fn raise(&self, scope: &Scope, known: Generation) -> Result<Generation, LayerError> {
        self.main.raise(scope, known).await
    }

    async fn reconcile(&self, known: &[Marker]) -> Result<Vec<Marker>, LayerError> {
        self.main.reconcile(known).await
    }

    async fn sweep(
        &self,
        globs: &[Glob],
        belongs: impl Fn(&Key) -> bool + Send + Sync,
    ) -> Result<u64, LayerError> {
        let (main, aside) = tokio::join!(
            self.main.sweep(globs, &belongs),
            self.aside.sweep(globs, &belongs)
        );
        Ok(main? + aside?)
    }

    async fn held(&self, keys: &[Key]) -> Result<Vec<Option<Version>>, LayerError> {
        let (aside, main): (Vec<Key>, Vec<Key>) =
            keys.iter().cloned().partition(|key| self.is_aside(key));
        let (main, aside) = tokio::try_join!(self.main.held(&main), self.aside.held(&aside))?;
        let (mut main, mut aside) = (main.into_iter(), aside.into_iter());
        let mut next = |key: &Key| {
            let held = if self.is_aside(key) {
                aside.next()
            } else {
                main.next()
            };
            held.flatten()
        };
        Ok(keys.iter().map(&mut next).collect())
    }

    fn announces_changes(&self) -> bool {
        self.main.announces_changes() && self.aside.announces_changes()
    }

    fn begin_anew(&self) {
        self.main.begin_anew();
        self.aside.begin_anew();
    }

    async fn publish(&self, notice: &Notice) -> Result<(), LayerError> {
        self.main.publish(notice).await
    }

    async fn subscribe(&self) -> Result<Self::Subscription, LayerError> {
        let (main, aside) = tokio::join!(self.main.subscribe(), self.aside.subscribe());
        let aside_is_needed = self.aside.announces_changes();
        let aside = match aside {
            Err(error) if aside_is_needed => return Err(error),
            heard => heard.ok(),
        };
        Ok(Both {
            main: main?,
            aside,
            aside_is_needed,
        })
    }

    async fn append(
        &self,
        write: &QueuedWrite,
        entry: &Entry,
        ttl: Duration,
        queue_max: u64,
    ) -> Result<Appended, LayerError> {
        self.queued().append(write, entry, ttl, queue_max).await
    }

    async fn queue(&self, consumer: &str) -> Result<Self::Queue, LayerError> {
        self.queued().queue(consumer).await
    }

    async fn admit(&self, key: &Key, limit: Limit) -> Result<Admission, LayerError> {
        self.of(key).admit(key, limit).await
    }
}
