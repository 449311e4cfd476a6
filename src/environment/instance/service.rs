//! An instance's engine as one operation after another, for drivers that leave HTTP out.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::engine::data_type::{DataTypeId, Key, KeyPattern};
use crate::engine::invalidation::glob::Glob;
use crate::engine::layer::{Layer, Operation, Origin, Outcome, Remote, Version};
use crate::engine::local::LocalUsage;
use crate::engine::{Engine, EngineError};

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// How it ended.
    pub outcome: Outcome,
    /// The layer that answered.
    pub layer: Layer,
    /// The version read or written.
    pub version: Option<Version>,
    /// How long the answer is on its way from here to who asked; none from a real instance, which has
    /// sent it.
    pub way_back: Duration,
}

/// An answer that is under way.
pub type Serving<'s> = Pin<Box<dyn Future<Output = Result<Served, EngineError>> + Send + 's>>;

/// A restart that is under way.
pub type Restarting<'s> = Pin<Box<dyn Future<Output = ()> + Send + 's>>;

/// Serves operations.
pub trait Service: Send + Sync {
    /// Does `operation` on `key`; `value` is for puts.
    fn serve<'s>(
        &'s self,
        operation: Operation,
        data_type: DataTypeId,
        key: &'s Key,
        value: Bytes,
    ) -> Serving<'s>;

    /// Begins anew as a new process does, and is ready when it has warmed, if it does so at its
    /// start. It goes on to serve meanwhile.
    fn restart(&self) -> Restarting<'_>;

    /// What its local layer holds now; `None` without one.
    fn local_usage(&self) -> Option<LocalUsage> {
        None
    }
}

impl<R: Remote, O: Origin> Service for Engine<R, O> {
    fn serve<'s>(
        &'s self,
        operation: Operation,
        data_type: DataTypeId,
        key: &'s Key,
        value: Bytes,
    ) -> Serving<'s> {
        Box::pin(operate(self, operation, data_type, key, value))
    }

    fn restart(&self) -> Restarting<'_> {
        Box::pin(Self::restart(self))
    }

    fn local_usage(&self) -> Option<LocalUsage> {
        Self::local_usage(self)
    }
}

/// Does `operation` on `key`; `value` is for puts.
pub(super) async fn operate<R: Remote, O: Origin>(
    engine: &Engine<R, O>,
    operation: Operation,
    data_type: DataTypeId,
    key: &Key,
    value: Bytes,
) -> Result<Served, EngineError> {
    let served = |outcome, layer, version| Served {
        outcome,
        layer,
        version,
        way_back: Duration::ZERO,
    };
    Ok(match operation {
        Operation::Get => {
            let answer = engine.get(data_type, key).await?;
            served(answer.outcome, answer.layer, Some(answer.entry.row.version))
        }
        Operation::Put => {
            let written = engine.put(data_type, key, value).await?;
            served(Outcome::Bypass, Layer::Origin, Some(written.version))
        }
        Operation::Invalidate => {
            engine.invalidate(data_type, key).await?;
            served(Outcome::Bypass, Layer::Origin, None)
        }
        Operation::InvalidatePattern => {
            let pattern = siblings(&engine.policies().get(data_type).key, key);
            engine.invalidate_pattern(data_type, pattern).await?;
            served(Outcome::Bypass, Layer::Origin, None)
        }
        Operation::InvalidateAll => {
            engine.invalidate_all(data_type).await?;
            served(Outcome::Bypass, Layer::Origin, None)
        }
        Operation::Admit => match engine.admit(data_type, key).await {
            Ok(admission) if admission.admitted => served(Outcome::Hit, Layer::Remote, None),
            Ok(_) => served(Outcome::Refused, Layer::Remote, None),
            // As over HTTP: what cannot be counted may pass.
            Err(EngineError::Remote(_)) => served(Outcome::Bypass, Layer::Remote, None),
            Err(error) => return Err(error),
        },
    })
}

/// The keys that share all parameters of `key` but the last. One that does not follow `pattern`, or
/// is too long to be a pattern itself, stands for all of them: more goes than was asked, never less.
fn siblings(pattern: &KeyPattern, key: &Key) -> Glob {
    let params = pattern.read(key).unwrap_or_default();
    let shared: Vec<&str> = params.iter().map(|(_, value)| *value).collect();
    let shared = &shared[..shared.len().saturating_sub(1)];
    pattern.glob(shared).parse().unwrap_or_else(|_| Glob::all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{KeyParams, Request};

    /// Drivers with and without HTTP ask for the same.
    #[test]
    fn siblings_are_what_a_request_asks_for() {
        for (pattern, params) in [
            ("inventory:{product_id}:{warehouse_id}", &[17, 3][..]),
            ("customer:360:{id}", &[5]),
            ("prices", &[]),
        ] {
            let pattern: KeyPattern = pattern.parse().expect(pattern);
            let request = Request {
                data_type: DataTypeId(0),
                operation: Operation::InvalidatePattern,
                params: KeyParams::new(params),
            };
            let key = pattern.render(params, None);
            assert_eq!(
                siblings(&pattern, &key).as_str(),
                request.key_glob(&pattern)
            );
        }
    }
}
