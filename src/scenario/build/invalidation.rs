//! How invalidations travel between instances.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::decode::Field;
use super::super::diagnostics::Errors;
use super::super::file::invalidation::InvalidationFile;
use super::{Built, span};
use crate::engine::invalidation::{Broadly, InvalidationConfig, OnLoss, Transport};

/// More often costs more than it tells; more seldom is no liveness.
const HEARTBEAT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);

pub(super) fn build(
    field: &Field<InvalidationFile>,
    errors: &mut Errors,
) -> Built<InvalidationConfig> {
    let default = InvalidationConfig::default();
    let Some(file) = field.value() else {
        return field.is_absent().then_some(default);
    };
    let heartbeat = span(
        "heartbeat",
        &file.heartbeat,
        Some(default.heartbeat),
        HEARTBEAT,
        errors,
    );
    Some(InvalidationConfig {
        transport: file.transport.or(Transport::default())?,
        broadly: file.broadly.or(Broadly::default())?,
        on_loss: file.on_loss.or(OnLoss::default())?,
        heartbeat: heartbeat?,
    })
}
