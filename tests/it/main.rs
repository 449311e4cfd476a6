//! One binary for all integration tests.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod stampede;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod topology;
