//! The service under load, in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// The service, in a process of its own.
pub(super) struct Server {
    pub(super) child: Child,
    pub(super) instance: String,
    pub(super) example: String,
}

impl Server {
    pub(super) fn start(scenario: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cachestorm"))
            .arg("serve")
            .arg(scenario)
            .arg("--quiet")
            .stdout(Stdio::piped())
            .spawn()
            .expect("cachestorm serve starts");
        let (mut instance, mut example) = (String::new(), String::new());
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("text");
            match line.split_once(' ') {
                Some(("instance", url)) => url.clone_into(&mut instance),
                Some(("example", request)) => {
                    let (_, url) = request.split_once(' ').expect("a method and a URL");
                    url.clone_into(&mut example);
                }
                _ => {}
            }
            if line == "ready" {
                break;
            }
        }
        Self {
            child,
            instance,
            example,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It started nothing but itself: the scenario has no store.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
