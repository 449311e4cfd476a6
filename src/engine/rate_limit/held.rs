//! What a counter keeps between two arrivals, for who models the store that keeps it.
//!
//! As the scripts keep it (`remote/scripts/limit_*.lua`). Pure.

/// What a counter keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// One number: when the next request is due, in microseconds.
    Due(u64),
    /// The window's number and its count.
    Window([u64; 2]),
    /// The window's number, its count and that of the one before.
    Windows([u64; 3]),
    /// A number and a count for each of so many sub-buckets.
    Buckets(usize),
    /// The time of each of so many requests.
    Log(usize),
}
