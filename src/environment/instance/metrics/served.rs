//! Operations as an instance served them: how each ended, who answered, how long it took.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::shape::Shape;
use super::{InstanceMetrics, MetricsError};
use crate::clock::Clock;
use crate::engine::EngineError;
use crate::engine::data_type::{DataTypeId, Key, PolicyTable};
use crate::engine::layer::{Layer, Operation, Outcome};
use crate::engine::local::LocalUsage;
use crate::environment::instance::service::{Restarting, Served, Service, Serving};

const PER_TYPE: usize = Operation::ALL.len() * Layer::ALL.len() * Outcome::ALL.len();

/// One kind of answer.
struct Series {
    count: IntCounter,
    took: Histogram,
}

/// All kinds of answers; a series is made when its first answer is given, and found by its place
/// from then on.
pub(super) struct ServedSeries {
    policies: Arc<PolicyTable>,
    counts: IntCounterVec,
    took: HistogramVec,
    places: Box<[OnceLock<Option<Series>>]>,
}

impl ServedSeries {
    pub(super) fn new(shape: &Shape<'_>, policies: Arc<PolicyTable>) -> Result<Self, MetricsError> {
        let counts = shape.counters(
            "requests_total",
            "Operations served, by how they ended and by the layer that answered.",
            &["data_type", "operation", "outcome", "layer"],
        )?;
        let took = shape.histograms(
            "request_duration_seconds",
            "How long the instance took to serve an operation, by the layer that answered.",
            &["data_type", "operation", "layer"],
        )?;
        let mut places = Vec::new();
        places.resize_with(policies.len() * PER_TYPE, OnceLock::new);
        Ok(Self {
            policies,
            counts,
            took,
            places: places.into(),
        })
    }

    fn series(&self, kind: (DataTypeId, Operation), served: Served) -> Option<&Series> {
        let (data_type, operation) = kind;
        let (layer, outcome) = (served.layer, served.outcome);
        let of_type = (operation as usize * Layer::ALL.len() + layer as usize) * Outcome::ALL.len()
            + outcome as usize;
        let place = self.places.get(data_type.index() * PER_TYPE + of_type)?;
        let made = place.get_or_init(|| {
            let (data_type, operation) = (&*self.policies.get(data_type).name, operation.name());
            let (outcome, layer) = (outcome.name(), layer.name());
            let counts = &self.counts;
            let count =
                counts.get_metric_with_label_values(&[data_type, operation, outcome, layer]);
            let took = &self.took;
            let took = took.get_metric_with_label_values(&[data_type, operation, layer]);
            let (count, took) = count.ok().zip(took.ok())?;
            Some(Series { count, took })
        });
        made.as_ref()
    }
}

impl InstanceMetrics {
    /// An operation was served so; errors are counted as answers of the origin.
    pub(in crate::environment::instance) fn served(
        &self,
        kind: (DataTypeId, Operation),
        served: Served,
        took: Duration,
    ) {
        if let Some(series) = self.served.series(kind, served) {
            series.count.inc();
            series.took.observe(took.as_secs_f64());
        }
    }
}

/// What an error counts as.
pub(in crate::environment::instance) const FAILED: Served = Served {
    outcome: Outcome::Error,
    layer: Layer::Origin,
    version: None,
    way_back: Duration::ZERO,
};

/// A service whose answers are counted.
pub(in crate::environment::instance) struct Metered<S> {
    service: Arc<S>,
    metrics: Arc<InstanceMetrics>,
    clock: Clock,
}

impl<S: Service> Metered<S> {
    pub(in crate::environment::instance) fn new(
        service: Arc<S>,
        metrics: &Arc<InstanceMetrics>,
        clock: &Clock,
    ) -> Self {
        Self {
            service,
            metrics: Arc::clone(metrics),
            clock: clock.clone(),
        }
    }
}

impl<S: Service> Service for Metered<S> {
    fn serve<'s>(
        &'s self,
        operation: Operation,
        data_type: DataTypeId,
        key: &'s Key,
        value: Bytes,
    ) -> Serving<'s> {
        Box::pin(async move {
            let began = self.clock.now();
            let answer: Result<Served, EngineError> =
                self.service.serve(operation, data_type, key, value).await;
            let served = answer.as_ref().map_or(FAILED, |served| *served);
            let took = self.clock.now().since(began);
            self.metrics.served((data_type, operation), served, took);
            answer
        })
    }

    fn restart(&self) -> Restarting<'_> {
        self.service.restart()
    }

    fn local_usage(&self) -> Option<LocalUsage> {
        self.service.local_usage()
    }
}
