//! cachestorm: will this caching design keep its promises under our traffic, and what must we buy?
//!
//! The rooms, from the ground up; each tier imports only from those above it in this list. See
//! ARCHITECTURE.md for the way of the data.

// tier 0: the ground
pub mod clock;
pub mod seed;
pub mod units;
// tier 1: what can be used alone
pub mod engine;
pub mod workload;
// tier 2: what surrounds and watches the engine
pub mod environment;
pub mod measure;
// tier 3: what decides and tells
pub mod drivers;
pub mod gates;
pub mod report;
pub mod scenario;
// tier 4
pub mod capacity;
pub mod cli;
pub mod runner;
