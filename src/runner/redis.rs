//! The Redis of a run: real servers, or in virtual time a model of them.

use super::redis_model::RedisModel;
use super::redis_server::{Identity, RedisReading, RedisServer};
use crate::clock::Clock;
use crate::engine::data_type::PolicyTable;
use crate::environment::keyspace::ttl::TtlSample;

/// The Redis of a run.
pub(super) enum Redis {
    /// Servers.
    Real(Box<RedisServer>),
    /// A model of servers.
    Modelled(Box<RedisModel>),
}

impl Redis {
    pub(super) fn identity(&self) -> Identity {
        match self {
            Self::Real(server) => server.identity(),
            Self::Modelled(model) => model.identity(),
        }
    }

    /// What its servers say of themselves now, added up; `None` if no primary answers.
    pub(super) async fn info(&mut self, clock: &Clock) -> Option<RedisReading> {
        match self {
            Self::Real(server) => server.info(clock).await,
            Self::Modelled(model) => Some(model.info(clock)),
        }
    }

    /// How it died, if it did.
    pub(super) fn died(&mut self) -> Option<String> {
        match self {
            Self::Real(server) => server.died(),
            Self::Modelled(_) => None,
        }
    }

    /// How many keys this run has in it now; it said `last` of itself.
    pub(super) async fn keys(&mut self, last: &RedisReading, clock: &Clock) -> Option<u64> {
        match self {
            Self::Real(server) => server.keys(&last.info, clock).await,
            Self::Modelled(model) => Some(model.keys()),
        }
    }

    /// The TTLs that this run's keys have left, as far as a look at them may take.
    pub(super) async fn ttls(
        &mut self,
        policies: &PolicyTable,
        clock: &Clock,
    ) -> Option<TtlSample> {
        match self {
            Self::Real(server) => server.ttls(policies, clock).await,
            Self::Modelled(model) => Some(model.ttls(policies)),
        }
    }

    /// Ends it, or deletes what the run wrote into it. Gives what could not be cleaned up.
    pub(super) async fn down(self, clock: &Clock) -> Vec<String> {
        match self {
            Self::Real(server) => server.down(clock).await,
            Self::Modelled(_) => Vec::new(),
        }
    }
}
