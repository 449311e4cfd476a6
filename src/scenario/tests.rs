//! Scenarios from text to plan.
