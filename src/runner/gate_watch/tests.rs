//! Which windows are looked at, and which gate ends a run.
