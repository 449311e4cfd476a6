//! What tells: one exporter per file, all made from [`model::Report`].

pub mod model;
