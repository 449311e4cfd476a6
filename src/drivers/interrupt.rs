//! Ctrl-C, taken before the load tool takes it.
//!
//! goose installs a handler for SIGINT through the `ctrlc` crate, which allows one per process:
//! goose's would replace a handler that tokio installed before, and would end the process with
//! exit code 1 at the second Ctrl-C, with nothing written. Whoever comes first keeps the place,
//! and goose goes on without; so this room comes first.
//!
//! Called by the command line at its start, and by the closed loop in any case. What comes later,
//! such as `tokio::signal`, is called in addition and may be used beside it.

use std::sync::LazyLock;

use tokio::sync::watch;

static INTERRUPTS: LazyLock<watch::Sender<u32>> = LazyLock::new(|| {
    let (count, _) = watch::channel(0);
    let counter = count.clone();
    let installed = ctrlc::set_handler(move || counter.send_modify(|count| *count += 1));
    if let Err(error) = installed {
        tracing::warn!(%error, "Ctrl-C is not ours: a second one may end the process at once");
    }
    count
});

/// Takes Ctrl-C for this process, if that was not done yet. From now on it ends nothing by
/// itself: the receiver counts how often it was pressed, and its holder decides.
pub fn claim() -> watch::Receiver<u32> {
    INTERRUPTS.subscribe()
}
