//! A remote layer behind a circuit breaker: while the circuit is open, calls fail at once, so that a
//! dead layer costs nothing per request.
//!
//! Every call is bounded, too, also where the client library waits for a reconnection. What the
//! layer could not be told meanwhile ([`Missed`]) it is told before a probe asks it anything, so that
//! a layer that comes back with old entries does not serve them. Subscriptions, queues and sweeps pass
//! unguarded: they are few, have their own bounds and back-off, and nobody waits for them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::circuit_breaker::{Breaker, BreakerConfig, CallOutcome, Circuit, Pass};
use super::missed::Missed;
use crate::clock::Clock;
use crate::engine::data_type::{Key, Limit};
use crate::engine::event::{Event, Observer};
use crate::engine::invalidation::glob::Glob;
use crate::engine::invalidation::markers::{Marker, Scope};
use crate::engine::layer::{
    Admission, Appended, Entry, Fill, Generation, LayerError, Leased, Notice, QueuedWrite, Remote,
    Token, Version,
};

/// What errors call it.
const NAME: &str = "the remote layer";
/// How many missed invalidations are made up for in one call.
const REPLAY_KEYS: usize = 1_000;

/// A remote layer behind a circuit breaker.
#[derive(Debug)]
pub struct Guarded<R> {
    remote: R,
    /// `None`: every call passes.
    breaker: Option<Mutex<Breaker>>,
    call_limit: Duration,
    /// It guards a second store, beside the remote layer's own.
    aside: bool,
    missed: Missed,
    /// Held by whoever makes up for what was missed.
    replaying: tokio::sync::Mutex<()>,
    clock: Clock,
    observer: Watcher,
}

/// The right to make up for what was missed.
type Replaying<'g> = tokio::sync::MutexGuard<'g, ()>;

/// [`Observer`] prints nothing of itself.
struct Watcher(Arc<dyn Observer>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

impl<R: Remote> Guarded<R> {
    /// `remote` behind a circuit breaker (`None`: without one), with `call_limit` for each call.
    pub fn new(
        remote: R,
        breaker: Option<BreakerConfig>,
        call_limit: Duration,
        clock: Clock,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            remote,
            breaker: breaker.map(|config| Mutex::new(Breaker::new(config))),
            call_limit,
            aside: false,
            missed: Missed::default(),
            replaying: tokio::sync::Mutex::default(),
            clock,
            observer: Watcher(observer),
        }
    }

    /// The same for a second store, beside the remote layer's own.
    #[must_use]
    pub fn aside(self) -> Self {
        Self {
            aside: true,
            ..self
        }
    }

    /// The circuit's state; closed without a breaker.
    pub fn circuit(&self) -> Circuit {
        self.breaker
            .as_ref()
            .map_or(Circuit::Closed, |breaker| breaker.lock().circuit())
    }

    /// Makes `call` if the circuit lets it pass.
    fn guard<T>(
        &self,
        call: impl Future<Output = Result<T, LayerError>>,
    ) -> impl Future<Output = Result<T, LayerError>> {
        self.guard_if(false, Box::pin(call))
    }

    /// The same for a `call` that asks for the entry at `key`: not before what was missed of that key is
    /// made up for.
    fn guard_look<T>(
        &self,
        key: &Key,
        call: impl Future<Output = Result<T, LayerError>>,
    ) -> impl Future<Output = Result<T, LayerError>> {
        let concerned = self.missed.any() && self.missed.concerns(key);
        self.guard_if(concerned, Box::pin(call))
    }

    /// The call is boxed: every function that a future is handed on to holds it once more, and moves it.
    async fn guard_if<T>(
        &self,
        concerned: bool,
        call: Pin<Box<impl Future<Output = Result<T, LayerError>>>>,
    ) -> Result<T, LayerError> {
        let turn = self.enter()?;
        if self.missed.any() {
            // Seldom, and large: not in every call's future. Who waits in vain says nothing of the
            // layer: then its turn is abandoned.
            let replaying = self.may_make_up(turn.is_probe() || concerned);
            let replaying = Box::pin(replaying).await?;
            if let Some(replaying) = replaying
                && let Err(error) = Box::pin(self.make_up(replaying)).await
            {
                turn.end(&error);
                return Err(error);
            }
        }
        let answer = self.bounded(call).await;
        match &answer {
            Ok(_) => turn.end_well(),
            Err(error) => turn.end(error),
        }
        answer
    }

    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, LayerError>>,
    ) -> Result<T, LayerError> {
        let answer = self.clock.timeout(self.call_limit, call).await;
        answer.unwrap_or(Err(LayerError::TimedOut(NAME)))
    }

    fn enter(&self) -> Result<Turn<'_, R>, LayerError> {
        let turn = |pass| Turn {
            guarded: self,
            pass,
        };
        if self.breaker.is_none() {
            return Ok(turn(None));
        }
        match self.with_breaker(|breaker| breaker.ask(self.clock.now())) {
            Some(Some(pass)) => Ok(turn(Some(pass))),
            _ => Err(LayerError::Unreachable(
                NAME,
                "the circuit is open".to_owned(),
            )),
        }
    }

    /// Asks or tells the breaker, and tells of a change.
    fn with_breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> Option<T> {
        let mut breaker = self.breaker.as_ref()?.lock();
        let before = breaker.circuit();
        let said = act(&mut breaker);
        let circuit = breaker.circuit();
        drop(breaker);
        if circuit != before {
            let aside = self.aside;
            self.tell(&Event::CircuitChanged { circuit, aside });
        }
        Some(said)
    }

    fn tell(&self, event: &Event<'_>) {
        self.observer.0.observe(event);
    }

    /// Who must wait until what was missed is made up for waits no longer than for a call; others
    /// leave it to whoever is at it already.
    async fn may_make_up(&self, must_wait: bool) -> Result<Option<Replaying<'_>>, LayerError> {
        if !must_wait {
            return Ok(self.replaying.try_lock().ok());
        }
        let waiting = self.replaying.lock();
        let waited = self.clock.timeout(self.call_limit, waiting).await;
        waited.map(Some).map_err(|_| LayerError::TimedOut(NAME))
    }

    /// Makes up for missed invalidations.
    async fn make_up(&self, _replaying: Replaying<'_>) -> Result<(), LayerError> {
        while self.missed.any() {
            let mut made_up_for = 0;
            let mut failure = None;
            for (version, keys) in self.missed.take(REPLAY_KEYS) {
                if failure.is_none() {
                    failure = self
                        .bounded(self.remote.invalidate(&keys, version))
                        .await
                        .err();
                }
                match &failure {
                    None => made_up_for += keys.len(),
                    Some(_) => self.remember(&keys, version),
                }
            }
            self.missed.made_up();
            if made_up_for > 0 {
                let keys = made_up_for;
                self.tell(&Event::InvalidationsReplayed { keys });
            }
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Ok(())
    }

    fn remember(&self, keys: &[Key], version: Version) {
        let forgotten = self.missed.remember(keys, version);
        if forgotten > 0 {
            let keys = forgotten;
            self.tell(&Event::InvalidationsForgotten { keys });
        }
    }
}

/// One call under way. Dropped without an end, it was abandoned.
struct Turn<'g, R: Remote> {
    guarded: &'g Guarded<R>,
    pass: Option<Pass>,
}

impl<R: Remote> Turn<'_, R> {
    fn is_probe(&self) -> bool {
        self.pass.is_some_and(|pass| pass.is_probe)
    }

    fn end_well(mut self) {
        self.tell(CallOutcome::Answered);
    }

    /// An answer that is an error of the layer's own shows that it lives.
    fn end(mut self, error: &LayerError) {
        self.tell(match error {
            LayerError::TimedOut(_) | LayerError::Unreachable(..) => CallOutcome::Failed,
            LayerError::Refused(..) | LayerError::Busy(..) | LayerError::Unsupported(..) => {
                CallOutcome::Answered
            }
        });
    }

    fn tell(&mut self, outcome: CallOutcome) {
        let guarded = self.guarded;
        if let Some(pass) = self.pass.take() {
            guarded.with_breaker(|breaker| breaker.tell(guarded.clock.now(), pass, outcome));
        }
    }
}

impl<R: Remote> Drop for Turn<'_, R> {
    fn drop(&mut self) {
        self.tell(CallOutcome::Abandoned);
    }
}

impl<R: Remote> Remote for Guarded<R> {
    type Subscription = R::Subscription;
    type Queue = R::Queue;

    async fn get(&self, key: &Key) -> Result<Option<Entry>, LayerError> {
        self.guard_look(key, self.remote.get(key)).await
    }

    async fn fill(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<Fill, LayerError> {
        let filled = self.guard(self.remote.fill(key, entry, ttl)).await;
        if filled.is_err() {
            // It may still have the value that this one replaces.
            self.remember(std::slice::from_ref(key), entry.row.as_of);
        }
        filled
    }

    async fn get_and_extend(&self, key: &Key, ttl: Duration) -> Result<Option<Entry>, LayerError> {
        self.guard_look(key, self.remote.get_and_extend(key, ttl))
            .await
    }

    async fn fill_sliding(
        &self,
        key: &Key,
        entry: &Entry,
        ttl: Duration,
    ) -> Result<Fill, LayerError> {
        let filled = self.guard(self.remote.fill_sliding(key, entry, ttl)).await;
        if filled.is_err() {
            self.remember(std::slice::from_ref(key), entry.row.as_of);
        }
        filled
    }

    async fn overwrite(&self, key: &Key, entry: &Entry, ttl: Duration) -> Result<(), LayerError> {
        self.guard(self.remote.overwrite(key, entry, ttl)).await
    }

    async fn get_or_lease(
        &self,
        key: &Key,
        token: Token,
        ttl: Duration,
    ) -> Result<Leased, LayerError> {
        let look = self.remote.get_or_lease(key, token, ttl);
        self.guard_look(key, look).await
    }

    async fn fill_leased(
        &self,
        key: &Key,
        token: Token,
        entry: Option<(&Entry, Duration)>,
    ) -> Result<Fill, LayerError> {
        self.guard(self.remote.fill_leased(key, token, entry)).await
    }

    async fn lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        self.guard(self.remote.lock(key, token, ttl)).await
    }

    async fn renew_lock(&self, key: &Key, token: Token, ttl: Duration) -> Result<bool, LayerError> {
        self.guard(self.remote.renew_lock(key, token, ttl)).await
    }

    async fn unlock(&self, key: &Key, token: Option<Token>) -> Result<(), LayerError> {
        self.guard(self.remote.unlock(key, token)).await
    }

    async fn invalidate(&self, keys: &[Key], version: Version) -> Result<(), LayerError> {
        let told = self.guard(self.remote.invalidate(keys, version)).await;
        if told.is_err() {
            self.remember(keys, version);
        }
        told
    }

    async fn raise(&self, scope: &Scope, known: Generation) -> Result<Generation, LayerError> {
        self.guard(self.remote.raise(scope, known)).await
    }

    async fn reconcile(&self, known: &[Marker]) -> Result<Vec<Marker>, LayerError> {
        self.guard(self.remote.reconcile(known)).await
    }

    async fn sweep(
        &self,
        globs: &[Glob],
        belongs: impl Fn(&Key) -> bool + Send + Sync,
    ) -> Result<u64, LayerError> {
        self.remote.sweep(globs, belongs).await
    }

    async fn held(&self, keys: &[Key]) -> Result<Vec<Option<Version>>, LayerError> {
        self.guard(self.remote.held(keys)).await
    }

    fn announces_changes(&self) -> bool {
        self.remote.announces_changes()
    }

    fn begin_anew(&self) {
        self.with_breaker(Breaker::reset);
        let keys = self.missed.forget();
        if keys > 0 {
            self.tell(&Event::InvalidationsForgotten { keys });
        }
        self.remote.begin_anew();
    }

    async fn publish(&self, notice: &Notice) -> Result<(), LayerError> {
        self.guard(self.remote.publish(notice)).await
    }

    async fn subscribe(&self) -> Result<Self::Subscription, LayerError> {
        self.remote.subscribe().await
    }

    async fn append(
        &self,
        write: &QueuedWrite,
        entry: &Entry,
        ttl: Duration,
        queue_max: u64,
    ) -> Result<Appended, LayerError> {
        self.guard(self.remote.append(write, entry, ttl, queue_max))
            .await
    }

    async fn queue(&self, consumer: &str) -> Result<Self::Queue, LayerError> {
        self.remote.queue(consumer).await
    }

    async fn admit(&self, key: &Key, limit: Limit) -> Result<Admission, LayerError> {
        self.guard(self.remote.admit(key, limit)).await
    }
}

#[cfg(test)]
mod tests;
