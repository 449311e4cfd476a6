//! Where drivers put what they saw.
//!
//! A driver knows this trait and no recorder, so that it can be tested with a list. Every method
//! is called on the path of a request and must return at once.

use super::{PhaseId, Sample};

/// Takes samples and keeps count of users and requests.
pub trait SampleSink: Send + Sync + 'static {
    /// A request ended; called exactly once for each.
    fn record(&self, sample: Sample);
    /// A request that was due in `phase` will never be sent.
    fn request_dropped(&self, phase: PhaseId);
    /// A user began its work.
    fn user_started(&self);
    /// A user ended its work.
    fn user_ended(&self);
    /// A request was sent.
    fn request_started(&self);
    /// A request was answered or given up.
    fn request_ended(&self);
}
