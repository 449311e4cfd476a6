//! The `cachestorm` command: arguments in, exit code out. See `cli.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cachestorm::cli::main(std::env::args_os())
}
