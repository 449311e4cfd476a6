//! The names of an instance's metrics, and how they are made: one place for every name and its
//! help.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry,
};

use super::{Counts, MetricsError, place_of};
use crate::engine::data_type::PolicyTable;
use crate::engine::layer::Layer;

/// From a local hit to a database at its end, in seconds.
const BUCKETS_S: [f64; 18] = [
    1e-6, 5e-6, 2.5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

/// Lookups of one data type in one layer.
pub(super) struct Lookups {
    hits: IntCounter,
    misses: IntCounter,
    took: Histogram,
}

impl Lookups {
    pub(super) fn count(&self, found: bool, took: Duration) {
        if found { &self.hits } else { &self.misses }.inc();
        self.took.observe(took.as_secs_f64());
    }

    pub(super) fn asked_and_found(&self) -> (u64, u64) {
        let hits = self.hits.get();
        (hits + self.misses.get(), hits)
    }
}

/// Makes metrics and registers them.
pub(super) struct Shape<'r> {
    registry: &'r Registry,
}

impl<'r> Shape<'r> {
    pub(super) fn new(registry: &'r Registry) -> Self {
        Self { registry }
    }

    fn known<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, MetricsError> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
        let opts = Opts::new(name, help).namespace("cachestorm");
        self.known(IntGauge::with_opts(opts)?)
    }

    /// A gauge that is no whole number.
    pub(super) fn fraction(&self, name: &str, help: &str) -> Result<Gauge, MetricsError> {
        let opts = Opts::new(name, help).namespace("cachestorm");
        self.known(Gauge::with_opts(opts)?)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, MetricsError> {
        let opts = Opts::new(name, help).namespace("cachestorm");
        self.known(IntCounter::with_opts(opts)?)
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, MetricsError> {
        let opts = Opts::new(name, help).namespace("cachestorm");
        self.known(IntCounterVec::new(opts, labels)?)
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<HistogramVec, MetricsError> {
        let opts = HistogramOpts::new(name, help)
            .namespace("cachestorm")
            .buckets(BUCKETS_S.into());
        self.known(HistogramVec::new(opts, labels)?)
    }

    /// The series of every data type in every one of `layers`, by [`place_of`].
    pub(super) fn lookups(
        &self,
        policies: &PolicyTable,
        layers: &[Layer],
    ) -> Result<Vec<Option<Lookups>>, MetricsError> {
        let results = self.counters(
            "cache_lookups_total",
            "Lookups of a layer by what they found; a failed one is a miss.",
            &["layer", "data_type", "result"],
        )?;
        let took = self.histograms(
            "cache_lookup_duration_seconds",
            "How long a layer took to answer a lookup.",
            &["layer", "data_type"],
        )?;
        let mut series = Vec::new();
        series.resize_with(policies.len() * Layer::ALL.len(), || None);
        for (id, policy) in policies.iter() {
            for layer in layers {
                let (name, data_type) = (layer.name(), &*policy.name);
                series[place_of(id, *layer)] = Some(Lookups {
                    hits: results.get_metric_with_label_values(&[name, data_type, "hit"])?,
                    misses: results.get_metric_with_label_values(&[name, data_type, "miss"])?,
                    took: took.get_metric_with_label_values(&[name, data_type])?,
                });
            }
        }
        Ok(series)
    }

    /// Failures by layer.
    pub(super) fn failures(&self) -> Result<Vec<IntCounter>, MetricsError> {
        let failures = self.counters(
            "layer_failures_total",
            "Calls of a layer that failed, lookups and all else.",
            &["layer"],
        )?;
        let each = Layer::ALL
            .iter()
            .map(|layer| Ok(failures.get_metric_with_label_values(&[layer.name()])?));
        each.collect()
    }

    #[rustfmt::skip] // one metric, one or two lines
    pub(super) fn counts(&self) -> Result<Counts, MetricsError> {
        let counter = |name, help| self.counter(name, help);
        let gauge = |name, help| self.gauge(name, help);
        Ok(Counts {
            flights: counter("flights_total", "Coalesced loads that ended.")?,
            followers: counter("flight_followers_total", "Requests that waited for another's load.")?,
            fills_refused: counter("fills_refused_total", "Stale fills that a layer refused.")?,
            invalidations_sent: counter("invalidations_sent_total", "Keys whose invalidation was published.")?,
            invalidations_received: counter("invalidations_received_total", "Keys whose invalidation was received.")?,
            outdated: counter("scopes_outdated_total", "Patterns and data types that were invalidated by generation.")?,
            swept_keys: counter("swept_keys_total", "Keys removed by invalidating a pattern or a data type by scan.")?,
            notices_lost: counter("notices_lost_total", "Notices of other instances that never came.")?,
            subscriptions_silent: counter("subscriptions_silent_total", "Times that the subscription stood but was silent.")?,
            local_flushes: counter("local_flushes_total", "Times that the local layer was emptied because notices may have been lost.")?,
            local_revalidations: counter("local_revalidations_total", "Times that the local layer was compared with the remote layer for the same reason.")?,
            refreshes_dropped: counter("refreshes_dropped_total", "Background loads left out because too many were asked for.")?,
            writes_accepted: counter("write_behind_accepted_total", "Writes of write-behind that were accepted.")?,
            writes_committed: counter("write_behind_committed_total", "Writes of write-behind that were committed.")?,
            writes_redelivered: counter("write_behind_redelivered_total", "Writes of write-behind that were delivered again.")?,
            writes_buried: counter("write_behind_buried_total", "Writes of write-behind that went to the dead letters.")?,
            writes_lost: counter("write_behind_lost_total", "Writes of write-behind that vanished from the queue.")?,
            writes_queue_full: counter("write_behind_queue_full_total", "Writes that found the queue of write-behind full.")?,
            queue_length: gauge("write_behind_queue_length", "Writes that waited at the last look at the queue, which all instances share.")?,
            dead_letters: gauge("write_behind_dead_letters", "Writes in the dead letters at the last look at the queue.")?,
            circuit: gauge("breaker_state", "The circuit to the remote layer: 0 closed, 1 half-open, 2 open.")?,
            circuits_opened: counter("breaker_opened_total", "Times that the circuit to the remote layer opened.")?,
            invalidations_replayed: counter("invalidations_replayed_total", "Keys whose missed invalidations were made up for.")?,
            invalidations_forgotten: counter("invalidations_forgotten_total", "Keys whose missed invalidations were too many to remember.")?,
            origin_calls_refused: counter("origin_calls_refused_total", "Calls from which the origin was protected.")?,
            soft_timeouts: counter("soft_timeouts_total", "Readers answered stale because the origin was slow.")?,
        })
    }
}
