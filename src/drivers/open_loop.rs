//! `open`: requests that arrive by a schedule, over HTTP, whoever takes how long to answer.
//!
//! The arrivals are shared out to generator threads one by one. Each thread has a runtime, a line of
//! arrivals and connections of its own, so that no request crosses from one to another. Called by the
//! runner; in virtual time there are no threads, and the engines are asked without HTTP.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::arrivals::Source;
use super::crowd::{Caller, Users, becomes_true};
use super::direct::DirectCaller;
use super::dispatch::{Lane, Shared};
use super::http::face::Face;
use super::http::{HttpCaller, HttpTargets};
use super::line::LaneArrivals;
use super::tally::Tally;
use super::{Driven, DriverError};
use crate::environment::instance::service::Service;
use crate::measure::loop_delay::{LoopDelay, probe};

/// More threads than this only take processors from the system under test.
const THREADS_MAX: usize = 8;

/// Requests that arrive by a schedule.
pub struct OpenLoop {
    /// What visitors do and where samples go. Neither ramp nor rhythm is for them; the count is among
    /// how many users they are drawn.
    pub users: Users,
    /// When they come.
    pub source: Source,
    /// How many requests may be under way at once.
    pub in_flight: u32,
    /// Where the delays of the threads' event loops are counted.
    pub loop_delay: LoopDelay,
}

impl OpenLoop {
    /// Sends them over HTTP to `targets`, base URLs without a slash at the end, until the schedule ends
    /// or `stop` says so.
    ///
    /// # Errors
    /// If there is nobody to ask, or no thread to ask from.
    pub async fn run<F>(
        self,
        face: impl Fn() -> F,
        targets: &[String],
    ) -> Result<Driven, DriverError>
    where
        F: Face,
    {
        if targets.is_empty() {
            return Err(DriverError::NoTargets);
        }
        let (shared, halt, mut stop) = self.shared();
        let threads = self.threads();
        let mut running = Vec::with_capacity(threads);
        for at in 0..threads {
            let arrivals = self.source.lane(at, threads)?;
            let places = share_of(self.in_flight, at, threads);
            let to = HttpTargets {
                urls: targets.to_vec(),
                request_timeout: self.users.request_timeout,
                connections_max: places as usize,
            };
            let (policies, clock) = (Arc::clone(&self.users.policies), self.users.clock.clone());
            let caller = HttpCaller::new(face(), policies, clock, &to)?;
            let (shared, delay) = (Arc::clone(&shared), self.loop_delay.clone());
            let (done, ended) = oneshot::channel();
            let body = move || {
                let result = on_this_thread(shared, caller, places, arrivals, delay);
                // Nobody listens any more if the run is over.
                let _ = done.send(result);
            };
            std::thread::Builder::new()
                .name(format!("generator-{at}"))
                .spawn(body)
                .map_err(DriverError::Thread)?;
            running.push(ended);
        }
        let ended = async {
            let mut result = Ok(());
            for thread in running {
                let lost = || DriverError::Attack("a generator thread was lost".to_owned());
                let of_thread = thread.await.map_err(|_| lost()).flatten();
                result = result.and(of_thread);
            }
            result
        };
        let mut ended = std::pin::pin!(ended);
        let stopped = tokio::select! {
            biased;
            result = &mut ended => {
                result?;
                false
            }
            () = becomes_true(&mut stop) => {
                halt.send_replace(true);
                ended.await?;
                true
            }
        };
        Ok(shared.tally.driven(stopped))
    }

    /// The same without HTTP, on this runtime.
    ///
    /// # Errors
    /// If there is nobody to ask.
    pub async fn run_directly(self, targets: Vec<Arc<dyn Service>>) -> Result<Driven, DriverError> {
        if targets.is_empty() {
            return Err(DriverError::NoTargets);
        }
        let (shared, halt, mut stop) = self.shared();
        let caller = DirectCaller::new(&self.users, targets);
        let arrivals = self.source.lane(0, 1)?;
        let lane = Lane::new(Arc::clone(&shared), caller, self.in_flight, arrivals)
            .map_err(DriverError::Thread)?;
        let mut running = std::pin::pin!(lane.run());
        let stopped = tokio::select! {
            biased;
            () = &mut running => false,
            () = becomes_true(&mut stop) => {
                halt.send_replace(true);
                running.await;
                true
            }
        };
        Ok(shared.tally.driven(stopped))
    }

    fn shared(&self) -> (Arc<Shared>, watch::Sender<bool>, watch::Receiver<bool>) {
        let (halt, halted) = watch::channel(false);
        let users = &self.users;
        let shared = Shared {
            clock: users.clock.clone(),
            schedule: Arc::clone(&users.schedule),
            seed: users.traffic.seed(),
            request_timeout: users.request_timeout,
            halted,
            tally: Tally::new(Arc::clone(&users.sink)),
        };
        (Arc::new(shared), halt, users.stop.clone())
    }

    /// As many as there are processors, but no more than have something to do.
    fn threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let useful = self.source.lanes_max().min(self.in_flight as usize);
        processors.min(THREADS_MAX).min(useful).max(1)
    }
}

/// What of `whole` belongs to the one numbered `at` of so many.
fn share_of(whole: u32, at: usize, of: usize) -> u32 {
    let (at, of) = (at as u32, of.max(1) as u32);
    whole / of + u32::from(at < whole % of)
}

/// Runs one lane on a runtime of its own, on the calling thread.
fn on_this_thread<C: Caller>(
    shared: Arc<Shared>,
    caller: C,
    places: u32,
    arrivals: LaneArrivals,
    delay: LoopDelay,
) -> Result<(), DriverError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DriverError::Thread)?;
    // Ends with the runtime.
    runtime.spawn(probe(shared.clock.clone(), delay));
    let lane = Lane::new(shared, caller, places, arrivals).map_err(DriverError::Thread)?;
    // A task of its own: to wake what a runtime blocks on takes a system call each time.
    let lost = || DriverError::Attack("a generator thread was lost".to_owned());
    let ended = runtime.block_on(runtime.spawn(lane.run()));
    // Requests that were given up must not keep the thread.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended.map_err(|_| lost())
}

#[cfg(test)]
mod tests;
