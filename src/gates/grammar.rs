//! The grammar of a check: `function(metric){selector=value, …} operator target`.
/// A parsed check. (The room's owner completes this.)
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// As written.
    pub text: String,
}
