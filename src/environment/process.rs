//! One server process that never outlives us: its folder, its log, and its watchdog.
//!
//! Used by what manages servers (Redis now; Sentinel, Cluster and memcached the same way). The
//! process runs in a group of its own, so that a Ctrl-C in the terminal reaches us first. It is
//! ended on every exit path: in order by [`ManagedProcess::stop`], by `Drop` on an early return or
//! a panic, and by the watchdog when we are killed or abort. The watchdog is a shell that reads a
//! pipe which only we hold: when the pipe ends without us having ended the watchdog before, it
//! kills the process and removes the folder. Knows nothing of what the process serves.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::error::EnvironmentError;
use crate::clock::Clock;

/// How long a killed process may take to be gone; freeing gigabytes takes a moment.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const STOP_POLL: Duration = Duration::from_millis(2);
const LOG_FILE: &str = "server.log";
const LOG_TAIL_BYTES_MAX: u64 = 4_096;
const LOG_TAIL_LINES_MAX: usize = 12;

/// Reads words from us until the pipe ends, then cleans up after us. Signals of the terminal are
/// ignored: only the pipe decides.
const WATCHDOG_SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
pid=
while read -r word value; do
  case $word in
    watch) pid=$value ;;
    forget) pid= ;;
  esac
done
if [ -n "$pid" ]; then kill -9 "$pid"; fi
rm -rf -- "$1"
"#;

/// A running server process with a temporary folder of its own.
#[derive(Debug)]
pub struct ManagedProcess {
    program: PathBuf,
    child: Child,
    watchdog: Watchdog,
    /// `None` only while it is being removed.
    folder: Option<TempDir>,
}

impl ManagedProcess {
    /// Starts `program` in a new folder, with the arguments that `arguments` makes for that
    /// folder. What it prints goes into a log there.
    pub fn spawn(
        program: &Path,
        arguments: impl FnOnce(&Path) -> Vec<OsString>,
    ) -> Result<Self, EnvironmentError> {
        let folder = tempfile::Builder::new()
            .prefix("cachestorm-")
            .tempdir()
            .map_err(EnvironmentError::io("making a temporary folder"))?;
        let log = File::create(folder.path().join(LOG_FILE))
            .and_then(|log| Ok((log.try_clone()?, log)))
            .map_err(EnvironmentError::io("making the server's log file"))?;
        // The watchdog first: from the process' first moment on, there is one.
        let mut watchdog = Watchdog::spawn(folder.path())
            .map_err(EnvironmentError::io("starting the watchdog (sh)"))?;
        let child = Command::new(program)
            .args(arguments(folder.path()))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.0)
            .stderr(log.1)
            .process_group(0)
            .spawn()
            .map_err(EnvironmentError::io(format!(
                "starting {}",
                program.display()
            )))?;
        let told = watchdog.tell(&format!("watch {}", child.id()));
        let process = Self {
            program: program.to_owned(),
            child,
            watchdog,
            folder: Some(folder),
        };
        told.map_err(EnvironmentError::io("telling the watchdog (sh)"))?;
        Ok(process)
    }

    /// The process' number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process' own folder, removed when it ends.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// The end of what the process printed: a few lines, empty if it printed nothing.
    pub fn log_tail(&self) -> String {
        log_tail(&self.folder().join(LOG_FILE))
            .unwrap_or_else(|error| format!("(its log cannot be read: {error})"))
    }

    /// How the process ended, with the end of its log; `None` while it runs. Never waits.
    pub fn died(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        self.watchdog.forget();
        Some(format!("{}\n{}", ended(status), self.log_tail()))
    }

    /// Kills the process, as a crash would. Its folder stays until this value goes.
    pub fn crash(&mut self) {
        // An error means that it is gone already.
        let _ = self.child.kill();
    }

    /// Ends the process, waits until it is gone and removes its folder.
    pub async fn stop(mut self, clock: &Clock) -> Result<(), EnvironmentError> {
        self.kill();
        let deadline = clock.now() + STOP_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if clock.now() >= deadline {
                return Err(EnvironmentError::NotStopped {
                    program: self.program.display().to_string(),
                    pid: self.pid(),
                    limit: STOP_LIMIT,
                });
            }
            clock.sleep(STOP_POLL).await;
        }
        let removing = format!("removing {}", self.folder().display());
        self.folder
            .take()
            .map_or(Ok(()), TempDir::close)
            .map_err(EnvironmentError::io(removing))
    }

    /// Kills the process, then the watchdog. The order matters: until the process is waited for,
    /// its number cannot be given to another one, which the watchdog could then kill.
    fn kill(&mut self) {
        // Both errors mean that it is gone already.
        let _ = self.child.kill();
        self.watchdog.end();
    }
}

impl Drop for ManagedProcess {
    fn drop(&mut self) {
        self.kill();
        // Nothing is left to be done about an error here. The wait is short: a killed process
        // only gives its memory back.
        let _ = self.child.wait();
    }
}

/// The shell that cleans up when we cannot.
#[derive(Debug)]
struct Watchdog {
    shell: Child,
}

impl Watchdog {
    fn spawn(folder: &Path) -> io::Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", WATCHDOG_SCRIPT, "cachestorm-watchdog"])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { shell })
    }

    fn tell(&mut self, line: &str) -> io::Result<()> {
        match &mut self.shell.stdin {
            Some(pipe) => writeln!(pipe, "{line}"),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The process has ended and was waited for: its number may soon be another's.
    fn forget(&mut self) {
        if self.tell("forget").is_err() {
            self.end();
        }
    }

    /// Ends the watchdog before it sees the end of its pipe, so that it touches nothing.
    fn end(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.end();
    }
}

/// The first of `names` that is an executable file on PATH, asked for in this order.
pub fn find_program(names: &[&str]) -> Option<PathBuf> {
    find_program_on(&std::env::var_os("PATH")?, names)
}

fn find_program_on(path: &OsStr, names: &[&str]) -> Option<PathBuf> {
    let on_path = |name: &&str| {
        std::env::split_paths(path)
            .map(|folder| folder.join(name))
            .find(|candidate| is_executable(candidate))
    };
    names.iter().find_map(on_path)
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// A TCP port of the loopback interface that was free a moment ago. Another process may take it
/// before it is used, so its user must be ready to ask for another.
pub fn free_port() -> Result<u16, EnvironmentError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(EnvironmentError::io("looking for a free loopback port"))
}

fn log_tail(path: &Path) -> io::Result<String> {
    let mut log = File::open(path)?;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    log.take(LOG_TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(LOG_TAIL_LINES_MAX)..].join("\n"))
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => format!("it ended: {status}"),
    }
}

#[cfg(test)]
mod tests;
