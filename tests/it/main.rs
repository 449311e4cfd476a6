//! One binary for all integration tests.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod external;
#[cfg(test)]
mod gates;
#[cfg(test)]
mod generator;
#[cfg(test)]
mod invalidation;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod knee;
#[cfg(test)]
mod model;
#[cfg(test)]
mod modelled_redis;
#[cfg(test)]
mod modelled_remote;
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod open_loop;
#[cfg(test)]
mod presets;
#[cfg(test)]
mod races;
#[cfg(test)]
mod rate_limit;
#[cfg(test)]
mod remote;
#[cfg(test)]
mod resilience;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod session_store;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod stampede;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod topology;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod trace_sizes;
#[cfg(test)]
mod variants;
#[cfg(test)]
mod warming;
#[cfg(test)]
mod write_behind;
#[cfg(test)]
mod write_behind_crash;
