//! What tells: one exporter per file, all made from [`model::Report`].

#[doc(hidden)]
pub mod fixture;
pub mod html;
pub mod model;
