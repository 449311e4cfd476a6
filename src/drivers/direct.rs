//! `direct`: the same users in this process, asking the engines without HTTP, for what HTTP would
//! hide and for more users than there are sockets.
//!
//! Each user is a task on the generator's runtime; the engines' connections stay on their
//! instances' runtimes. Called by the runner.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::crowd::{Call, Caller, Crowd, STOP_GRACE, Users, becomes_true};
use super::{Driven, DriverError, TIMED_OUT, key_of};
use crate::clock::Clock;
use crate::engine::data_type::PolicyTable;
use crate::engine::layer::{Layer, Operation, Outcome};
use crate::environment::instance::service::{Served, Service};
use crate::measure::Sample;
use crate::workload::size::ValueSizes;
use crate::workload::value::value;

/// How much longer than the last answer the whole may take.
const MARGIN: Duration = Duration::from_secs(2);

/// Users that ask engines.
pub struct Direct {
    /// The users.
    pub users: Users,
    /// The engines of the instances. Each request goes to one of them.
    pub targets: Vec<Arc<dyn Service>>,
}

impl Direct {
    /// Drives the users until the schedule ends or `stop` says so.
    ///
    /// # Errors
    /// If there is nobody to ask or to be asked, or if no thread can be had.
    pub async fn run(self) -> Result<Driven, DriverError> {
        let Self { users, targets } = self;
        if targets.is_empty() {
            return Err(DriverError::NoTargets);
        }
        if users.count == 0 {
            return Err(DriverError::NoUsers);
        }
        let (halt, halted) = watch::channel(false);
        let caller = DirectCaller::new(&users, targets);
        let (clock, mut stop) = (users.clock.clone(), users.stop.clone());
        let (count, request_timeout) = (u64::from(users.count), users.request_timeout);
        let crowd = Arc::new(Crowd::new(users, caller, halted)?);
        let mut tasks = JoinSet::new();
        for index in 0..count {
            let crowd = Arc::clone(&crowd);
            tasks.spawn(async move { crowd.live(index).await });
        }
        let end = crowd.schedule.end();
        let mut all_gone = Box::pin(async { while tasks.join_next().await.is_some() {} });
        let stopped = tokio::select! {
            biased;
            () = &mut all_gone => return Ok(crowd.tally.driven(false)),
            () = becomes_true(&mut stop) => true,
            () = clock.sleep_until(end + request_timeout + MARGIN) => false,
        };
        halt.send_replace(true);
        // Who does not leave now is counted as left; the tasks end with the set.
        let _ = clock.timeout(STOP_GRACE + MARGIN, all_gone).await;
        Ok(crowd.tally.driven(stopped))
    }
}

/// Asks engines.
pub(super) struct DirectCaller {
    policies: Arc<PolicyTable>,
    value_sizes: ValueSizes,
    request_timeout: Duration,
    clock: Clock,
    targets: Vec<Arc<dyn Service>>,
}

impl DirectCaller {
    /// Asks `targets` what `users` ask for.
    pub(super) fn new(users: &Users, targets: Vec<Arc<dyn Service>>) -> Self {
        Self {
            policies: Arc::clone(&users.policies),
            value_sizes: users.value_sizes.clone(),
            request_timeout: users.request_timeout,
            clock: users.clock.clone(),
            targets,
        }
    }
}

impl Caller for DirectCaller {
    fn instances(&self) -> usize {
        self.targets.len()
    }

    async fn call(&self, call: Call<'_>) -> Sample {
        let (operation, data_type) = (call.request.operation, call.request.data_type);
        let key = key_of(&self.policies, call.request);
        let body = match operation {
            Operation::Put => {
                let size = self.value_sizes.of(data_type, &key);
                value(size, call.user, call.sequence)
            }
            _ => Bytes::new(),
        };
        let sent = self.clock.now();
        let serving = self.targets[call.instance].serve(operation, data_type, &key, body);
        let served = self.clock.timeout(self.request_timeout, serving).await;
        let answered = self.clock.now();
        let (served, error) = match served {
            Ok(Ok(served)) => (served, None),
            Ok(Err(error)) => (FAILED, Some(error.to_string())),
            Err(_) => (FAILED, Some(TIMED_OUT.to_owned())),
        };
        let finished = answered + served.way_back;
        Sample {
            phase: call.phase,
            user_kind: call.user_kind,
            data_type,
            operation,
            outcome: served.outcome,
            layer: served.layer,
            intended_start: call.intended_start,
            waited: call.waited,
            sent,
            finished,
            read: served
                .version
                .filter(|_| operation == Operation::Get)
                .map(|version| (key, version)),
            error,
        }
    }
}

const FAILED: Served = Served {
    outcome: Outcome::Error,
    layer: Layer::Origin,
    version: None,
    way_back: Duration::ZERO,
};
