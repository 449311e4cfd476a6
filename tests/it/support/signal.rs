//! Signals to processes of ours, without a program that sends them: not every machine has `kill`.

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// Sends `signal` to the process `pid`, which is there.
pub(crate) fn send(signal: Signal, pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process"), signal).expect("it is ours and there");
}
