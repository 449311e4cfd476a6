//! `closed`: users that ask, wait for the answer, think, and ask again, run by goose.
//!
//! goose supplies the users, their ramp and their shutdown. What a user does is ours: its whole
//! life is one transaction that steps a [`User`](crate::workload::user::User), waits by our clock and sends through
//! [`HttpCaller`], so that intended starts, outcomes and layers are exact; goose's own request
//! metrics are switched off.
//!
//! Called by the runner, on the generator's runtime. goose allows one attack at a time in a
//! process and keeps its stop switch in a global; both stay inside this file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use goose::client::GooseClientBuilder;
use goose::config::GooseConfiguration;
use goose::goose::{Scenario, Transaction, TransactionFunction};
use goose::metrics::GooseMetrics;
use goose::{GooseAttack, GooseError};
use tokio::sync::watch;

use super::crowd::{Crowd, STOP_GRACE, Users, becomes_true};
use super::http::face::{Face, InstanceFace};
use super::http::{HttpCaller, HttpTargets};
use super::{Driven, DriverError, interrupt};
use crate::clock::{Clock, Timestamp};

/// How often goose is told to stop until it has; it forgets what it is told while it starts.
const STOP_REPEAT: Duration = Duration::from_millis(50);

/// What goose may take to notice that it should stop, and to gather its users: it looks twice a
/// second.
const GOOSE_SHUTDOWN_MAX: Duration = Duration::from_secs(3);

/// goose launches users by this factor faster than they arrive, and each waits for its own moment:
/// so the ramp is ours, to the millisecond, though goose needs time to get going.
const LAUNCH_AHEAD: f64 = 1.25;

/// The fastest ramp that goose is asked for.
const LAUNCH_RATE_PER_S_MAX: f64 = 1e6;

/// Closed-loop users against service instances.
pub struct ClosedLoop {
    /// The users.
    pub users: Users,
    /// The base URLs of the instances, without a slash at the end. Each request goes to one of
    /// them, as a load balancer would send it.
    pub targets: Vec<String>,
}

impl ClosedLoop {
    /// Drives the users until the schedule ends, or `stop` says so, or Ctrl-C is pressed.
    ///
    /// At the schedule's end users finish the request that they wait for; after a stop they get
    /// 0.3 s for it. In any case this returns a few seconds after the last answer can have come.
    ///
    /// # Errors
    /// If there is nobody to ask, or the load tool refuses.
    pub async fn run(self) -> Result<Driven, DriverError> {
        let face = InstanceFace {
            policies: Arc::clone(&self.users.policies),
            value_sizes: self.users.value_sizes.clone(),
        };
        self.run_as(face).await
    }

    /// The same against a service with another `face`.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_as<F: Face>(self, face: F) -> Result<Driven, DriverError> {
        let Self { users, targets } = self;
        if targets.is_empty() {
            return Err(DriverError::NoTargets);
        }
        if users.count == 0 {
            return Err(DriverError::NoUsers);
        }
        let _turn = Turn::take()?;
        // Both must come before goose.
        let interrupts = interrupt::claim();
        silence_goose();

        let (halt, halted) = watch::channel(false);
        let (host, request_timeout) = (targets.first().cloned(), users.request_timeout);
        let to = HttpTargets {
            urls: targets,
            request_timeout,
            // One for each user: none ever waits for another's.
            connections_max: users.count as usize,
        };
        let caller = HttpCaller::new(face, Arc::clone(&users.policies), users.clock.clone(), &to)?;
        let keeper = Keeper {
            clock: users.clock.clone(),
            end: users.schedule.end(),
            request_timeout,
            halt,
            stop: users.stop.clone(),
            interrupts,
        };
        let crowd = Arc::new(Crowd::new(users, caller, halted)?);
        let attack = prepare(&crowd, host, request_timeout).map_err(|e| refusal(&e))?;
        let stopped = keeper.attend(attack).await?;
        Ok(crowd.tally.driven(stopped))
    }
}

/// The turn to attack: goose's stop switch is global, so two attacks would end each other.
struct Turn;

static TAKEN: AtomicBool = AtomicBool::new(false);

impl Turn {
    fn take() -> Result<Self, DriverError> {
        if TAKEN.swap(true, Ordering::AcqRel) {
            Err(DriverError::Busy)
        } else {
            Ok(Self)
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}

/// goose installs a logger that prints, unless the process has one: so give it one that does not.
/// A logger that the command line installed before stays and keeps what it shows.
fn silence_goose() {
    struct Silent;
    impl log::Log for Silent {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            false
        }
        fn log(&self, _: &log::Record<'_>) {}
        fn flush(&self) {}
    }
    // Fails if there is one, which is as good.
    let _ = log::set_logger(&Silent);
}

fn refusal(error: &GooseError) -> DriverError {
    DriverError::Attack(format!("{error:?}"))
}

/// A goose attack in which each user lives one life of `crowd`.
fn prepare<F: Face>(
    crowd: &Arc<Crowd<HttpCaller<F>>>,
    host: Option<String>,
    request_timeout: Duration,
) -> Result<GooseAttack, GooseError> {
    let rate = f64::from(crowd.users) / crowd.ramp.as_secs_f64() * LAUNCH_AHEAD;
    let rest = crowd.schedule.end().since(crowd.clock.now());
    // The keeper ends the attack; this only bounds it should the keeper be gone.
    let run_time = rest + request_timeout + 2 * GOOSE_SHUTDOWN_MAX;
    let mut configuration = GooseConfiguration::default();
    configuration.host = host;
    configuration.users = usize::try_from(crowd.users).ok();
    // Not `iterations` and not `test_plan`: with either goose prints to standard output.
    configuration.increase_rate = Some(rate.min(LAUNCH_RATE_PER_S_MAX).to_string());
    configuration.run_time = Some((run_time.as_secs() + 1).to_string());
    configuration.quiet = 3;
    configuration.no_print_metrics = true;
    configuration.no_error_summary = true;
    configuration.no_metrics = true;
    configuration.no_telnet = true;
    configuration.no_websocket = true;
    let life: TransactionFunction = {
        let crowd = Arc::clone(crowd);
        let arrived = Arc::new(AtomicU64::new(0));
        Arc::new(move |_| {
            let crowd = Arc::clone(&crowd);
            let index = arrived.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                crowd.live(index).await;
                Ok(())
            })
        })
    };
    // A transaction of the user's start is done once; a user without others then leaves.
    let life = Transaction::new(life).set_on_start();
    GooseAttack::initialize_with_config(configuration)?
        .register_scenario(Scenario::new("users").register_transaction(life))
        // One client for all: goose would make one for each user, and we use none of them.
        .set_client_builder_without_cookies(GooseClientBuilder::new().without_cookies())
}

/// Sees to it that an attack ends.
struct Keeper {
    clock: Clock,
    end: Timestamp,
    request_timeout: Duration,
    halt: watch::Sender<bool>,
    stop: watch::Receiver<bool>,
    interrupts: watch::Receiver<u32>,
}

impl Keeper {
    /// Runs `attack` to its end, and says whether it was stopped before the schedule's.
    async fn attend(mut self, attack: GooseAttack) -> Result<bool, DriverError> {
        let mut attack = Box::pin(attack.execute());
        let (clock, end) = (self.clock.clone(), self.end);
        let stopped = tokio::select! {
            biased;
            // Before its time goose ends only if it could not start.
            result = &mut attack => return ended(result).map(|()| false),
            () = self.told_to_stop() => true,
            () = clock.sleep_until(end) => false,
        };
        if !stopped {
            let deadline = clock.now() + self.request_timeout + GOOSE_SHUTDOWN_MAX;
            tokio::select! {
                biased;
                result = &mut attack => return ended(result).map(|()| false),
                () = self.told_to_stop() => {}
                () = switch_goose_off(&clock, deadline) => {}
            }
        }
        // Users that are still there are told to leave; who does not is reported.
        self.halt.send_replace(true);
        let deadline = clock.now() + STOP_GRACE + GOOSE_SHUTDOWN_MAX;
        tokio::select! {
            biased;
            result = &mut attack => ended(result)?,
            () = switch_goose_off(&clock, deadline) => {}
        }
        Ok(stopped)
    }

    /// Waits for a stop, or for Ctrl-C: taking its place may have silenced another listener.
    async fn told_to_stop(&mut self) {
        tokio::select! {
            biased;
            () = becomes_true(&mut self.stop) => {}
            _ = self.interrupts.changed() => {}
        }
    }
}

/// Tells goose to stop, again and again, until `deadline`.
async fn switch_goose_off(clock: &Clock, deadline: Timestamp) {
    while clock.now() < deadline {
        goose::trigger_killswitch("the schedule ended");
        clock.sleep(STOP_REPEAT).await;
    }
}

fn ended(result: Result<GooseMetrics, GooseError>) -> Result<(), DriverError> {
    result.map(|_| ()).map_err(|error| refusal(&error))
}

#[cfg(test)]
mod tests;
