//! Tests of [`super`]: with `sh` and `sleep` in the place of a server.

use super::*;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn sh(script: &str) -> ManagedProcess {
    let script = script.to_owned();
    let sh = find_program(&["sh"]).expect("sh");
    ManagedProcess::spawn(&sh, |_| vec!["-c".into(), script.into()]).expect("spawn")
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let clock = Clock::real();
    let deadline = clock.now() + PATIENCE;
    while !done() {
        assert!(clock.now() < deadline, "waited in vain for: {what}");
        clock.sleep(Duration::from_millis(5)).await;
    }
}

/// Whether there is no process `pid`, not even one that was not waited for.
fn is_gone(pid: u32) -> bool {
    !Command::new("sh")
        .args(["-c", "kill -0 \"$1\"", "sh", &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .expect("sh")
        .success()
}

#[tokio::test]
async fn live_stop_leaves_no_process_no_watchdog_and_no_folder() {
    let process = sh("exec sleep 1000");
    let (pid, watchdog) = (process.pid(), process.watchdog.shell.id());
    let folder = process.folder().to_owned();
    assert!(folder.is_dir() && !is_gone(pid) && !is_gone(watchdog));
    process.stop(&Clock::real()).await.expect("stop");
    assert!(is_gone(pid) && is_gone(watchdog) && !folder.exists());
}

#[tokio::test]
async fn live_drop_leaves_no_process_no_watchdog_and_no_folder() {
    let process = sh("exec sleep 1000");
    let (pid, watchdog) = (process.pid(), process.watchdog.shell.id());
    let folder = process.folder().to_owned();
    drop(process);
    assert!(is_gone(pid) && is_gone(watchdog) && !folder.exists());
}

#[tokio::test]
async fn live_the_watchdog_cleans_up_when_its_pipe_ends() {
    let mut process = sh("exec sleep 1000");
    let folder = process.folder().to_owned();
    // As when we are killed: the pipe ends and nobody ends the watchdog.
    drop(process.watchdog.shell.stdin.take());
    let child = &mut process.child;
    until("the process to be killed", || {
        child.try_wait().expect("wait").is_some()
    })
    .await;
    until("the folder to be removed", || !folder.exists()).await;
    assert!(process.died().expect("dead").contains("signal 9"));
}

#[tokio::test]
async fn live_the_watchdog_touches_no_process_that_it_was_told_to_forget() {
    let mut process = sh("exec sleep 1000");
    let folder = process.folder().to_owned();
    process.watchdog.forget();
    drop(process.watchdog.shell.stdin.take());
    until("the folder to be removed", || !folder.exists()).await;
    let watchdog = &mut process.watchdog.shell;
    until("the watchdog to end", || {
        watchdog.try_wait().expect("wait").is_some()
    })
    .await;
    assert_eq!(process.died(), None);
}

#[tokio::test]
async fn live_a_process_that_dies_says_how_with_the_end_of_its_log() {
    let mut process =
        sh("for line in $(seq 1 5000); do echo line $line; done; echo failed >&2; exit 7");
    let mut death = None;
    until("the process to end", || {
        death = process.died();
        death.is_some()
    })
    .await;
    let death = death.expect("dead");
    assert!(death.starts_with("it ended with exit code 7\n"), "{death}");
    assert!(death.ends_with("line 5000\nfailed"), "{death}");
    assert_eq!(death.lines().count(), 1 + LOG_TAIL_LINES_MAX);
    assert_eq!(process.died(), Some(death), "it can be asked again");
    process.stop(&Clock::real()).await.expect("stop");
}

#[test]
fn a_program_that_cannot_be_started_leaves_nothing() {
    let mut folder = PathBuf::new();
    let error = ManagedProcess::spawn(Path::new("/nowhere/server"), |its| {
        folder = its.to_owned();
        vec![]
    })
    .expect_err("there is no such program")
    .to_string();
    assert!(
        error.starts_with("starting /nowhere/server failed"),
        "{error}"
    );
    assert!(folder.is_absolute() && !folder.exists());
}

#[test]
fn programs_are_found_on_path_in_the_order_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, "").expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
        path
    };
    let valkey = file("valkey-server", 0o755);
    let redis = file("redis-server", 0o644);
    let find = || {
        let path = std::env::join_paths([Path::new("/nowhere"), folder.path()]).expect("PATH");
        find_program_on(&path, &["redis-server", "valkey-server"])
    };
    assert_eq!(find(), Some(valkey), "redis-server is not executable");
    file("redis-server", 0o755);
    assert_eq!(find(), Some(redis));
    assert_eq!(
        find_program_on(OsStr::new("/nowhere"), &["redis-server"]),
        None
    );
}

#[test]
fn a_free_port_can_be_listened_on() {
    let port = free_port().expect("a port");
    assert!(port > 0);
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("free");
}
