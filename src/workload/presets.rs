//! Workloads that others measured and published, by name: the rows of `presets.yaml`.
//!
//! The scenario reads them, for they are written as its data types are. Where each figure comes
//! from, and what was made of it, stands at the head of the file.

/// The rows, as YAML: a mapping of names to what each preset says of a data type.
pub const PRESETS: &str = include_str!("presets.yaml");
