//! How much a design carries, and what it takes: searches over runs, as pure decisions.
//!
//! [`knee`] says at which rate to look next, [`probe`] what a look is. Called by the runner, which looks;
//! nothing in here runs anything, reads a clock or writes a file.

pub mod knee;
pub mod probe;
