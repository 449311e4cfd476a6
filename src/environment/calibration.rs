//! How long the parts of a real run take that a simulation does not carry out: the network, HTTP, an
//! instance's processor, a Redis server's thread.
//!
//! [`Calibration::default`] was measured on one machine and is right for nobody else's; `validate`
//! measures another. The scenario's own times (query times, think times) are no part of it.

use std::time::Duration;

use super::delay::Delay;
use super::modelled_redis::thread::CommandCosts;

/// What a simulation takes from real runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Between a user and an instance over HTTP, there and back, with all that a request takes at both
    /// ends beside the engine; the response time of a local hit.
    pub http: Delay,
    /// Processor time of an instance for each request.
    pub processor_time: Duration,
    /// Between an instance and Redis, there and back, without the time of Redis' own thread.
    pub redis: Delay,
    /// How long Redis' thread takes for each command.
    pub costs: CommandCosts,
    /// From the publisher of a notice to an instance.
    pub pubsub: Delay,
    /// How much longer the database takes than the scenario says: the way to it, and timers that go by
    /// the millisecond.
    pub database: Delay,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            http: Delay::constant(Duration::from_micros(250)),
            processor_time: Duration::from_micros(50),
            redis: Delay::constant(Duration::from_micros(100)),
            costs: CommandCosts::MEASURED,
            pubsub: Delay::constant(Duration::from_micros(100)),
            database: Delay::constant(Duration::from_millis(1)),
        }
    }
}
