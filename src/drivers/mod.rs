//! What drives users: one driver per file, named as users write it.
//!
//! Called by the runner. A driver steps the users of `workload/`, sends what they ask, and hands
//! one sample per request to a sink; it judges nothing.
