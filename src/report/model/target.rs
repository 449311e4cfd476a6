//! The target of a run that drove a service which is not ours.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A service that is not ours and that was driven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetResult {
    /// Its base URLs.
    pub urls: Vec<String>,
    /// Where its answers say what its cache did: `auto`, `cache-status`, `x-cache`, `age`, `none`, or
    /// the name of a header field.
    pub outcome: String,
    /// Reads that were answered without saying so; they are in no hit ratio.
    pub reads_unknown: u64,
}
