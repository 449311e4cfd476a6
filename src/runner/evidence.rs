//! What gates are judged by: every metric of the grammar, looked up in what a run measured.
//!
//! A metric that was not measured has no value, and then its gate has no verdict.

use super::monitor::Observed;
use super::pass::PassResult;
use super::readings::Judged;
use super::scale::Scale;
use crate::clock::Timestamp;
use crate::engine::data_type::DataTypeId;
use crate::environment::database::{DatabaseStats, TableStats};
use crate::gates::alert::{Alert, Watch};
use crate::gates::grammar::Check;
use crate::gates::judge::{EarlyEnd, Evidence, Observation};
use crate::gates::metric::{Distribution, Metric, Scalar, Statistic};
use crate::gates::windowed::Windows;
use crate::measure::engine_observer::EngineMeasurements;
use crate::measure::histogram::Histogram;
use crate::measure::measurements::Measurements;
use crate::measure::oracle::staleness::StalenessOracle;
use crate::measure::query::{Phases, Query};
use crate::measure::{PhaseId, PhaseKind, Schedule, Staleness};
use crate::report::model::Improvement;
use crate::workload::UserKindId;

mod watched;

/// The evidence of a run, or of what there is of it so far.
pub(super) struct RunEvidence<'r> {
    pub(super) measurements: &'r Measurements,
    pub(super) engine: &'r EngineMeasurements,
    pub(super) oracle: &'r StalenessOracle,
    pub(super) observed: &'r Observed,
    pub(super) alerts: &'r [(Alert, Watch)],
    pub(super) improvement: Option<Improvement>,
    /// The kinds of users, and how many there are of each.
    pub(super) user_kinds: &'r [(String, u32)],
    /// Whether there should have been a Redis, or a memcached in its place.
    pub(super) has_store: bool,
    /// Of a sample: how it becomes the whole that is judged.
    pub(super) scale: &'r Scale,
}

impl<'r> RunEvidence<'r> {
    /// That of a pass that has ended.
    pub(super) fn of(after: &'r PassResult, has_store: bool, scale: &'r Scale) -> Self {
        Self {
            measurements: &after.measurements,
            engine: &after.engine,
            oracle: &after.oracle,
            observed: &after.observed,
            alerts: &after.observed.alerts,
            improvement: None,
            user_kinds: &after.user_kinds,
            has_store,
            scale,
        }
    }
}

/// The kind of users called `name`.
fn user_kind(kinds: &[(String, u32)], name: &str) -> Option<UserKindId> {
    let at = kinds.iter().position(|(kind, _)| kind == name)?;
    u8::try_from(at).ok().map(UserKindId)
}

impl Evidence for RunEvidence<'_> {
    fn observe(&self, check: &Check) -> Observation {
        self.scale.to_whole(check.metric, self.measured(check))
    }

    fn windows(&self, place: usize) -> Option<&Windows> {
        self.observed.gates.windows.get(&place)
    }

    fn ended(&self) -> Option<&EarlyEnd> {
        self.observed.gates.ended.as_ref()
    }

    fn is_cut(&self, check: &Check) -> bool {
        let schedule = self.measurements.schedule();
        let (_, end) = time_of(check, schedule).unwrap_or_default();
        let ended = self.ended();
        ended.is_some_and(|ended| schedule.start() + ended.at < end)
    }
}

/// From when to when the phases last that `check` looks at; `None` if there are none.
pub(super) fn time_of(check: &Check, schedule: &Schedule) -> Option<(Timestamp, Timestamp)> {
    let chosen = || {
        let phases = schedule.iter().map(|(_, phase)| phase);
        phases.filter(|phase| match check.phase() {
            Some(name) => phase.name == name,
            None => phase.kind == PhaseKind::Measure,
        })
    };
    let from = chosen().map(|phase| phase.start).min()?;
    let to = chosen().map(|phase| phase.end).max()?;
    Some((from, to))
}

const NOTHING: Observation = Observation {
    value: None,
    samples: 0,
};

impl RunEvidence<'_> {
    fn measured(&self, check: &Check) -> Observation {
        // Names were checked when the plan was made; a name that is unknown all the same has no
        // samples.
        let Some(query) = self.query(check) else {
            return NOTHING;
        };
        match check.metric {
            Metric::Distribution(Distribution::ResponseTime, statistic) => {
                of(&self.measurements.response_time(&query), statistic)
            }
            Metric::Distribution(Distribution::ServiceTime, statistic) => {
                of(&self.measurements.service_time(&query), statistic)
            }
            Metric::Distribution(Distribution::Slip, statistic) => {
                of(&self.measurements.starts_in(query.phases).slip, statistic)
            }
            Metric::Distribution(Distribution::Staleness, statistic) => {
                self.staleness(&query, statistic)
            }
            Metric::Scalar(scalar) => self.scalar(scalar, &query, check),
        }
    }

    fn query(&self, check: &Check) -> Option<Query> {
        let measurements = self.measurements;
        let data_type = match &check.selectors.data_type {
            Some(name) => Some(measurements.policies().id_of(name)?),
            None => None,
        };
        let phases = match &check.selectors.phase {
            Some(name) => {
                let mut phases = measurements.schedule().iter();
                Phases::Only(phases.find(|(_, phase)| phase.name == *name)?.0)
            }
            None => Phases::Measured,
        };
        let user_kind = match check.user_kind() {
            Some(name) => Some(user_kind(self.user_kinds, name)?),
            None => None,
        };
        Some(Query {
            phases,
            user_kind,
            data_type,
            operation: check.selectors.operation,
            outcome: check.selectors.outcome,
            layer: check.selectors.layer,
            hit: None,
        })
    }

    /// Reads that were checked and none of them stale are evidence of no staleness.
    fn staleness(&self, query: &Query, statistic: Statistic) -> Observation {
        let schedule = self.measurements.schedule();
        let stale = self
            .oracle
            .staleness(query.data_type, query.phases, schedule);
        let checked = self.staleness_ms(query).checked;
        match of(&stale, statistic) {
            Observation { value: None, .. } if checked > 0 => Observation {
                value: Some(0.0),
                samples: checked,
            },
            of_stale => of_stale,
        }
    }

    fn staleness_ms(&self, query: &Query) -> Staleness {
        let schedule = self.measurements.schedule();
        self.oracle
            .staleness_ms(query.data_type, query.phases, schedule)
    }

    fn scalar(&self, scalar: Scalar, query: &Query, check: &Check) -> Observation {
        match scalar {
            Scalar::HitRatio
            | Scalar::ErrorRatio
            | Scalar::StaleRatio
            | Scalar::Rate
            | Scalar::Requests
            | Scalar::Errors
            | Scalar::Dropped
            | Scalar::Users => self.of_requests(scalar, query),
            Scalar::ResponseTimeReduction | Scalar::OriginQueryReduction => self.reduction(scalar),
            Scalar::OriginQueries
            | Scalar::OriginQueriesPerS
            | Scalar::OriginPeakConnections
            | Scalar::OriginLoadsPerFlight => self.of_origin(scalar, query),
            Scalar::MemoryUsage
            | Scalar::EvictionsPerS
            | Scalar::RedisKeys
            | Scalar::RedisMemory => self.of_redis(scalar, query),
            Scalar::RedisUp
            | Scalar::BreakersOpen
            | Scalar::WriteBehindWaiting
            | Scalar::AlertsFired => self.of_watch(scalar, (check, query)),
        }
    }

    fn of_requests(&self, scalar: Scalar, query: &Query) -> Observation {
        let measurements = self.measurements;
        let requests = measurements.count(query);
        match scalar {
            Scalar::HitRatio => self.hit_ratio(query),
            Scalar::ErrorRatio => share(self.errors(query), requests),
            Scalar::StaleRatio => {
                let Staleness { checked, stale, .. } = self.staleness_ms(query);
                share(stale, checked)
            }
            Scalar::Rate => {
                let seconds = measurements.duration(query.phases).as_secs_f64();
                let rate = (seconds > 0.0).then(|| requests as f64 / seconds);
                Observation {
                    value: rate,
                    samples: requests,
                }
            }
            Scalar::Requests => counted(requests, requests),
            Scalar::Errors => counted(self.errors(query), requests),
            // Closed-loop users drop nothing: what they do not ask, they do not owe.
            Scalar::Dropped => {
                let starts = measurements.starts_in(query.phases);
                counted(starts.dropped, starts.due())
            }
            _ => counted(measurements.users_live_max(), measurements.users_live_max()),
        }
    }

    /// Of the users' reads, or if a layer is named, of the lookups in that layer.
    fn hit_ratio(&self, query: &Query) -> Observation {
        // Who caused a lookup, a layer does not know.
        if query.layer.is_some() && query.user_kind.is_some() {
            return NOTHING;
        }
        let Some(layer) = query.layer else {
            let found = self.measurements.hit_ratio(query);
            return found.map_or(NOTHING, |(ratio, samples)| Observation {
                value: Some(ratio),
                samples,
            });
        };
        let policies = self.measurements.policies();
        let chosen = policies
            .iter()
            .filter(|(id, _)| query.data_type.is_none_or(|only| only == *id));
        let (asked, found) = chosen
            .map(|(id, _)| self.engine.asked_and_found(id, layer, query.phases))
            .fold((0, 0), |sum, (asked, found)| (sum.0 + asked, sum.1 + found));
        share(found, asked)
    }

    fn errors(&self, query: &Query) -> u64 {
        self.measurements.errors_by_kind(query).values().sum()
    }

    fn reduction(&self, scalar: Scalar) -> Observation {
        let Some(improvement) = self.improvement else {
            return NOTHING;
        };
        let value = match scalar {
            Scalar::ResponseTimeReduction => improvement.response_time_reduction,
            _ => improvement.origin_query_reduction,
        };
        let samples = self.measurements.count(&Query::default());
        Observation {
            value: Some(value),
            samples,
        }
    }

    fn of_origin(&self, scalar: Scalar, query: &Query) -> Observation {
        if let Phases::Only(phase) = query.phases {
            return self.queries_in(phase, scalar, query.data_type);
        }
        let Some((judged, seconds)) = self.observed.origin_judged() else {
            return NOTHING;
        };
        let queries = queries(&judged, query.data_type);
        match scalar {
            Scalar::OriginQueries => counted(queries, 1),
            Scalar::OriginQueriesPerS => per_s(queries, seconds),
            Scalar::OriginPeakConnections => counted(u64::from(judged.peak_connections), 1),
            _ => {
                let flights = judged.flights.flights();
                let most = judged.flights.origin_loads_per_flight_max();
                if flights == 0 {
                    NOTHING
                } else {
                    counted(most, flights)
                }
            }
        }
    }

    /// The database's queries from the first look of a phase to its last.
    fn queries_in(
        &self,
        phase: PhaseId,
        scalar: Scalar,
        data_type: Option<DataTypeId>,
    ) -> Observation {
        let looks = self.observed.looks.of(Some(phase));
        let Some(looks) = looks.and_then(|looks| looks.queries.as_ref()) else {
            return NOTHING;
        };
        let ran = looks.ran(data_type);
        match (scalar, looks.lasted().as_secs_f64()) {
            (_, 0.0) => NOTHING,
            (Scalar::OriginQueriesPerS, seconds) => per_s(ran, seconds),
            _ => counted(ran, 1),
        }
    }

    /// The looks of the time that is asked for; `None` if nobody looked.
    fn looks(&self, query: &Query) -> Option<&Judged> {
        let phase = match query.phases {
            Phases::Only(phase) => Some(phase),
            Phases::Measured | Phases::All => None,
        };
        self.observed.looks.of(phase)
    }

    fn of_redis(&self, scalar: Scalar, query: &Query) -> Observation {
        let Some(looks) = self.looks(query) else {
            return NOTHING;
        };
        if looks.memcached.is_some() {
            return Self::of_memcached(scalar, looks);
        }
        let redis = looks.redis.as_ref();
        let value = match scalar {
            Scalar::MemoryUsage => redis.and_then(|redis| redis.usage_max),
            Scalar::RedisMemory => redis.map(|redis| redis.used_bytes_max as f64),
            Scalar::RedisKeys => self.observed.redis_keys.map(|keys| keys as f64),
            _ => looks.evictions_per_s_max(),
        };
        let samples = redis.map_or(0, |redis| redis.looks);
        Observation { value, samples }
    }

    /// The same figures of memcached, where it stands in Redis' place.
    fn of_memcached(scalar: Scalar, of: &Judged) -> Observation {
        let Some(looks) = &of.memcached else {
            return NOTHING;
        };
        let (most, last) = (looks.used_bytes_max as f64, &looks.last.info);
        let value = match scalar {
            Scalar::MemoryUsage => (last.limit.0 > 0).then(|| most / last.limit.0 as f64),
            Scalar::RedisMemory => Some(most),
            Scalar::RedisKeys => Some(last.items as f64),
            _ => of.evictions_per_s_max(),
        };
        Observation {
            value,
            samples: looks.looks,
        }
    }
}

/// The queries of one table, or of all.
pub(super) fn queries(stats: &DatabaseStats, data_type: Option<DataTypeId>) -> u64 {
    match data_type {
        Some(id) => stats.tables.get(id.index()).map_or(0, TableStats::queries),
        None => stats.queries(),
    }
}

fn per_s(queries: u64, seconds: f64) -> Observation {
    Observation {
        value: Some(queries as f64 / seconds),
        samples: queries.max(1),
    }
}

fn counted(count: u64, samples: u64) -> Observation {
    Observation {
        value: Some(count as f64),
        samples,
    }
}

fn share(part: u64, whole: u64) -> Observation {
    let value = (whole > 0).then(|| part as f64 / whole as f64);
    Observation {
        value,
        samples: whole,
    }
}

fn of(times: &Histogram, statistic: Statistic) -> Observation {
    let value = (!times.is_empty()).then(|| match statistic {
        Statistic::Percentile(percent) => times.quantile_us(percent / 100.0),
        Statistic::Mean => times.mean_us(),
        Statistic::Min => times.quantile_us(0.0),
        Statistic::Max => times.quantile_us(1.0),
    });
    Observation {
        value,
        samples: times.count(),
    }
}

impl Observed {
    /// The database over the judged time as far as it is over, and how long that was.
    pub(super) fn origin_judged(&self) -> Option<(DatabaseStats, f64)> {
        let from = self.judged_from.as_ref()?;
        let to = self.judged_to.as_ref().or(self.looks.recent().last())?;
        let seconds = to.at.since(from.at).as_secs_f64();
        (seconds > 0.0).then(|| (to.database.since(&from.database), seconds))
    }
}

impl PassResult {
    /// The database over the judged time, and how long that was.
    pub(super) fn origin_judged(&self) -> Option<(DatabaseStats, f64)> {
        self.observed.origin_judged()
    }

    pub(super) fn staleness_ms(&self, query: &Query) -> Staleness {
        self.oracle
            .staleness_ms(query.data_type, query.phases, self.measurements.schedule())
    }

    /// The most evictions in one second of the judged time.
    pub(super) fn evictions_per_s_max(&self) -> Option<f64> {
        self.observed.looks.judged.evictions_per_s_max()
    }

    /// The phase called `name`, for tables by phase.
    pub(super) fn phase_query(phase: PhaseId) -> Query {
        Query {
            phases: Phases::Only(phase),
            ..Query::default()
        }
    }
}
