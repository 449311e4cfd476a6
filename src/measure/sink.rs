//! Where drivers put what they see: one sample per request, and the ups and downs of two counts.
//!
//! Called by every driver, on the path of its requests; the recorder answers it. An implementation
//! must return at once and never wait.

use super::Sample;

/// Told of every request and of the users that make them, from any thread.
pub trait SampleSink: Send + Sync {
    /// A request ended.
    fn record(&self, sample: Sample);
    /// A user arrived.
    fn user_started(&self);
    /// A user left, or was lost. Comes once for each [`SampleSink::user_started`].
    fn user_ended(&self);
    /// A request was sent.
    fn request_started(&self);
    /// A request ended, or was given up. Comes once for each [`SampleSink::request_started`].
    fn request_ended(&self);
}
