//! Judges checks by evidence. (In work.)
