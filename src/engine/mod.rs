//! The cache under test: get, put, invalidate and admit over local, remote and origin.
//!
//! A library of its own: generic over the layer and origin traits, with its clock, randomness and
//! task spawner given from outside. It reads no environment variable, prints nothing, and knows
//! no driver and no histogram: it emits [`event::Event`]s.

pub mod data_type;
pub mod event;
pub mod layer;
