//! The `cachestorm` command.

fn main() {}
