//! The one table of exit codes; docs/ci.md repeats it for people.

use std::process::ExitCode;

use crate::gates::Verdict;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Every gate passed.
    Success = 0,
    /// Something unexpected: a defect of ours, or a disk that is full.
    Unexpected = 1,
    /// The scenario or the arguments are wrong; nothing was started.
    WrongInput = 2,
    /// A gate failed.
    GateFailed = 3,
    /// No verdict: a gate had no samples, or the run is invalid.
    Inconclusive = 4,
    /// The environment could not be brought up.
    Environment = 5,
    /// Interrupted; what was measured is written.
    Interrupted = 130,
}

impl Exit {
    /// What a finished run means for the caller.
    pub(super) fn of(verdict: Verdict, interrupted: bool) -> Self {
        match verdict {
            _ if interrupted => Self::Interrupted,
            Verdict::Pass => Self::Success,
            Verdict::Fail => Self::GateFailed,
            Verdict::Inconclusive => Self::Inconclusive,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
