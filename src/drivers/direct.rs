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

use super::alarm::Alarm;
use super::crowd::{Call, Caller, Counts, Crowd, STOP_GRACE, becomes_true};
use super::{Driven, DriverError, key_of};
use crate::clock::Clock;
use crate::engine::data_type::PolicyTable;
use crate::engine::layer::{Layer, Operation, Outcome};
use crate::environment::instance::service::{Served, Service};
use crate::measure::sink::SampleSink;
use crate::measure::{Sample, Schedule};
use crate::units::ByteSize;
use crate::workload::user::Traffic;
use crate::workload::value::value;

/// How much longer than the last answer the whole may take.
const MARGIN: Duration = Duration::from_secs(2);

/// Users that ask engines.
pub struct Direct {
    /// What users do.
    pub traffic: Arc<Traffic>,
    /// What they ask for.
    pub policies: Arc<PolicyTable>,
    /// How many users.
    pub users: u32,
    /// In what time they all arrive, evenly, from the schedule's start on.
    pub ramp: Duration,
    /// How long a user waits for an answer before it counts as an error.
    pub request_timeout: Duration,
    /// The size of the values to write, in the order of the policy table.
    pub value_sizes: Vec<ByteSize>,
    /// The engines of the instances. Each request goes to one of them.
    pub targets: Vec<Arc<dyn Service>>,
    /// The clock of the run.
    pub clock: Clock,
    /// When to start and to end.
    pub schedule: Arc<Schedule>,
    /// Where samples go.
    pub sink: Arc<dyn SampleSink>,
    /// Becomes true to end it before the schedule does.
    pub stop: watch::Receiver<bool>,
}

impl Direct {
    /// Drives the users until the schedule ends or `stop` says so.
    ///
    /// # Errors
    /// If there is nobody to ask or to be asked, or if no thread can be had.
    pub async fn run(mut self) -> Result<Driven, DriverError> {
        if self.targets.is_empty() {
            return Err(DriverError::NoTargets);
        }
        if self.users == 0 {
            return Err(DriverError::NoUsers);
        }
        let (halt, halted) = watch::channel(false);
        let crowd = Arc::new(Crowd {
            caller: DirectCaller {
                policies: self.policies,
                value_sizes: self.value_sizes,
                request_timeout: self.request_timeout,
                clock: self.clock.clone(),
                targets: self.targets,
            },
            alarm: Alarm::new(self.clock.clone()).map_err(DriverError::Thread)?,
            traffic: self.traffic,
            users: self.users,
            ramp: self.ramp,
            clock: self.clock.clone(),
            schedule: self.schedule,
            sink: self.sink,
            halted,
            counts: Counts::default(),
        });
        let mut users = JoinSet::new();
        for index in 0..u64::from(self.users) {
            let crowd = Arc::clone(&crowd);
            users.spawn(async move { crowd.live(index).await });
        }
        let end = crowd.schedule.end();
        let mut all_gone = Box::pin(async { while users.join_next().await.is_some() {} });
        let stopped = tokio::select! {
            biased;
            () = &mut all_gone => return Ok(crowd.counts.driven(false)),
            () = becomes_true(&mut self.stop) => true,
            () = self.clock.sleep_until(end + self.request_timeout + MARGIN) => false,
        };
        halt.send_replace(true);
        // Who does not leave now is counted as left; the tasks end with the set.
        let _ = self.clock.timeout(STOP_GRACE + MARGIN, all_gone).await;
        Ok(crowd.counts.driven(stopped))
    }
}

/// Asks engines.
struct DirectCaller {
    policies: Arc<PolicyTable>,
    value_sizes: Vec<ByteSize>,
    request_timeout: Duration,
    clock: Clock,
    targets: Vec<Arc<dyn Service>>,
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
                let size = self
                    .value_sizes
                    .get(data_type.index())
                    .copied()
                    .unwrap_or_default();
                value(size, call.user, call.sequence)
            }
            _ => Bytes::new(),
        };
        let sent = self.clock.now();
        let serving = self.targets[call.instance].serve(operation, data_type, &key, body);
        let served = self.clock.timeout(self.request_timeout, serving).await;
        let finished = self.clock.now();
        let (served, error) = match served {
            Ok(Ok(served)) => (served, None),
            Ok(Err(error)) => (FAILED, Some(error.to_string())),
            Err(_) => (FAILED, Some("timeout".to_owned())),
        };
        Sample {
            phase: call.phase,
            data_type,
            operation,
            outcome: served.outcome,
            layer: served.layer,
            intended_start: call.intended_start,
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
};
