//! The scenario file as written, and the plan it becomes.

pub mod plan;
