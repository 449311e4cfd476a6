//! The cache service: drives a plan. (In work.)
