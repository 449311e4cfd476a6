//! What one server of a managed Redis is started with: its arguments, and the files that it reads.
//!
//! Everything goes by arguments but what others on the machine must not read there (the password),
//! and what has to be a file (certificates, and the configuration that a Sentinel rewrites). Pure,
//! but for writing those files into the server's own folder.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::tls::Certificate;
use crate::environment::redis_topology::Persistence;
use crate::environment::{EvictionPolicy, RedisConfig};

/// More users than this may connect at once, and none of them is turned away by the backlog.
const TCP_BACKLOG: u32 = 4_096;
/// So many clients each server takes at once.
pub const CLIENTS_MAX: u32 = 10_000;
/// How long a server must be silent until the others act. Short, because a run is; long enough for
/// a machine that is busy.
pub(in crate::environment) const NODE_TIMEOUT_MS: u32 = 2_000;
/// How long a failover may take until Sentinels begin anew.
const FAILOVER_TIMEOUT_MS: u32 = 10_000;
/// What the Sentinels call the primary.
pub(super) const SERVICE: &str = "mymaster";
/// How many Sentinels there are, and how many of them must agree.
pub(super) const SENTINELS: u16 = 3;
const QUORUM: u16 = 2;

const CONFIG_FILE: &str = "server.conf";
pub(super) const CA_FILE: &str = "ca.pem";
const CERTIFICATE_FILE: &str = "server.pem";
const KEY_FILE: &str = "server.key";

/// What a server is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Takes writes, and knows nobody else.
    Primary,
    /// Follows the server on this port.
    ReplicaOf(u16),
    /// A node of a Cluster, which talks to the others on this port.
    ClusterNode { bus: u16 },
    /// Watches the primary on this port.
    Sentinel(u16),
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) config: RedisConfig,
    pub(super) persistence: Persistence,
    pub(super) password: Option<String>,
    pub(super) certificate: Option<Certificate>,
    pub(super) role: Role,
}

impl Settings {
    /// One server that keeps nothing, without login.
    pub(super) fn alone(config: &RedisConfig) -> Self {
        Self {
            config: config.clone(),
            persistence: Persistence::None,
            password: None,
            certificate: None,
            role: Role::Primary,
        }
    }

    fn is_sentinel(&self) -> bool {
        matches!(self.role, Role::Sentinel(_))
    }

    /// Where clients find the server that listens on `port` and works in `folder`.
    pub(super) fn url(&self, port: u16, folder: &Path) -> String {
        // Sentinels have no login: they hold nothing, and only we can reach them.
        let password = self.password.as_ref().filter(|_| !self.is_sentinel());
        let login = password.map_or(String::new(), |password| format!(":{}@", encode(password)));
        if self.certificate.is_none() {
            return format!("redis://{login}127.0.0.1:{port}/0");
        }
        let ca = encode(&folder.join(CA_FILE).to_string_lossy());
        format!("rediss://{login}127.0.0.1:{port}/0?ca={ca}")
    }

    /// Writes the files that the server reads into `folder`.
    pub(super) fn write_files(&self, port: u16, folder: &Path) -> io::Result<()> {
        let config = match self.role {
            Role::Sentinel(primary) => Some(self.sentinel_config(port, primary)),
            _ => self.login_config(),
        };
        if let Some(config) = config {
            write_private(&folder.join(CONFIG_FILE), &config)?;
        }
        if let Some(certificate) = &self.certificate {
            write_private(&folder.join(CA_FILE), &certificate.ca)?;
            write_private(&folder.join(CERTIFICATE_FILE), &certificate.server)?;
            write_private(&folder.join(KEY_FILE), &certificate.key)?;
        }
        Ok(())
    }

    fn login_config(&self) -> Option<String> {
        let password = quote(self.password.as_deref()?);
        Some(format!("requirepass {password}\nmasterauth {password}\n"))
    }

    fn sentinel_config(&self, port: u16, primary: u16) -> String {
        let login = self.password.as_ref().map_or(String::new(), |password| {
            format!("sentinel auth-pass {SERVICE} {}\n", quote(password))
        });
        // Sentinels read the port from here when they rewrite the file.
        let port_word = self.port_word();
        format!(
            "{port_word} {port}\n\
             sentinel monitor {SERVICE} 127.0.0.1 {primary} {QUORUM}\n\
             sentinel down-after-milliseconds {SERVICE} {NODE_TIMEOUT_MS}\n\
             sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT_MS}\n\
             sentinel parallel-syncs {SERVICE} 1\n\
             {login}"
        )
    }

    fn port_word(&self) -> &'static str {
        match self.certificate {
            None => "port",
            Some(_) => "tls-port",
        }
    }

    /// The arguments of the server that listens on `port` and works in `folder`.
    pub(super) fn arguments(&self, port: u16, folder: &Path) -> Vec<OsString> {
        let mut arguments = Vec::<OsString>::new();
        if self.is_sentinel() || self.password.is_some() {
            arguments.push(folder.join(CONFIG_FILE).into());
        }
        let mut give = |name: &str, value: &str| {
            arguments.push(format!("--{name}").into());
            arguments.push(value.into());
        };
        give("bind", "127.0.0.1");
        give("daemonize", "no");
        if self.certificate.is_some() {
            give("port", "0");
        }
        give(self.port_word(), &port.to_string());
        if self.certificate.is_some() {
            give("tls-cert-file", CERTIFICATE_FILE);
            give("tls-key-file", KEY_FILE);
            give("tls-ca-cert-file", CA_FILE);
            give("tls-auth-clients", "no");
            give("tls-replication", "yes");
        }
        if !self.is_sentinel() {
            self.data_arguments(&mut give);
        }
        arguments.extend([OsString::from("--dir"), folder.into()]);
        if self.is_sentinel() {
            arguments.push("--sentinel".into());
        }
        arguments
    }

    /// What Sentinels do not know.
    fn data_arguments(&self, give: &mut impl FnMut(&str, &str)) {
        give("protected-mode", "yes");
        give(
            "maxmemory",
            &self.config.maxmemory.map_or(0, |size| size.0).to_string(),
        );
        give("maxmemory-policy", policy_name(self.config.policy));
        give("tcp-backlog", &TCP_BACKLOG.to_string());
        give("maxclients", &CLIENTS_MAX.to_string());
        let (rdb, aof) = match self.persistence {
            Persistence::None => (false, false),
            Persistence::Rdb => (true, false),
            Persistence::Aof => (false, true),
            Persistence::RdbAndAof => (true, true),
        };
        give("save", if rdb { "3600 1 300 100 60 10000" } else { "" });
        give("appendonly", if aof { "yes" } else { "no" });
        give("appendfsync", "everysec");
        // A replica is there at once, and not after waiting for others to come.
        give("repl-diskless-sync-delay", "0");
        // A Cluster does not show a replica that has not received anything yet, and on an empty
        // primary the first thing to receive is such a ping: 10 s by default.
        give("repl-ping-replica-period", "1");
        match self.role {
            Role::ReplicaOf(primary) => give("replicaof", &format!("127.0.0.1 {primary}")),
            Role::ClusterNode { bus } => {
                give("cluster-enabled", "yes");
                give("cluster-config-file", "nodes.conf");
                give("cluster-port", &bus.to_string());
                give("cluster-node-timeout", &NODE_TIMEOUT_MS.to_string());
                // A cache may well lack some of its keys for a while.
                give("cluster-require-full-coverage", "no");
                if self.certificate.is_some() {
                    give("tls-cluster", "yes");
                }
            }
            Role::Primary | Role::Sentinel(_) => {}
        }
    }
}

/// As Redis spells it in `maxmemory-policy`.
pub(in crate::environment) fn policy_name(policy: EvictionPolicy) -> &'static str {
    match policy {
        EvictionPolicy::Noeviction => "noeviction",
        EvictionPolicy::AllkeysLru => "allkeys-lru",
        EvictionPolicy::AllkeysLfu => "allkeys-lfu",
        EvictionPolicy::AllkeysRandom => "allkeys-random",
        EvictionPolicy::VolatileLru => "volatile-lru",
        EvictionPolicy::VolatileLfu => "volatile-lfu",
        EvictionPolicy::VolatileRandom => "volatile-random",
        EvictionPolicy::VolatileTtl => "volatile-ttl",
    }
}

/// For us alone.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// `text` as a quoted word of Redis' configuration, byte by byte where it is no plain letter.
fn quote(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        other => format!("\\x{other:02x}"),
    });
    format!("\"{}\"", bytes.collect::<String>())
}

/// `text` as part of a URL.
fn encode(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::remote::redis::RedisAddress;
    use crate::units::ByteSize;
    use proptest::prelude::*;

    fn settings(role: Role) -> Settings {
        let config = RedisConfig {
            maxmemory: Some(ByteSize(64 << 20)),
            policy: EvictionPolicy::AllkeysLru,
        };
        Settings {
            role,
            ..Settings::alone(&config)
        }
    }

    fn typed(settings: &Settings) -> String {
        let arguments = settings.arguments(7_000, Path::new("/run/it"));
        let words = arguments.iter().map(|argument| match argument.to_str() {
            Some("") => "''".to_owned(),
            Some(word) => word.to_owned(),
            None => "?".to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_role_has_its_arguments() {
        insta::assert_snapshot!(typed(&settings(Role::Primary)), @"--bind 127.0.0.1 --daemonize no --port 7000 --protected-mode yes --maxmemory 67108864 --maxmemory-policy allkeys-lru --tcp-backlog 4096 --maxclients 10000 --save '' --appendonly no --appendfsync everysec --repl-diskless-sync-delay 0 --repl-ping-replica-period 1 --dir /run/it");
        insta::assert_snapshot!(typed(&settings(Role::ClusterNode { bus: 17_000 })), @"--bind 127.0.0.1 --daemonize no --port 7000 --protected-mode yes --maxmemory 67108864 --maxmemory-policy allkeys-lru --tcp-backlog 4096 --maxclients 10000 --save '' --appendonly no --appendfsync everysec --repl-diskless-sync-delay 0 --repl-ping-replica-period 1 --cluster-enabled yes --cluster-config-file nodes.conf --cluster-port 17000 --cluster-node-timeout 2000 --cluster-require-full-coverage no --dir /run/it");
        insta::assert_snapshot!(typed(&settings(Role::Sentinel(6_379))), @"/run/it/server.conf --bind 127.0.0.1 --daemonize no --port 7000 --dir /run/it --sentinel");
    }

    #[test]
    fn a_password_is_in_no_argument() {
        let mut settings = settings(Role::ReplicaOf(6_379));
        settings.password = Some("very \"secret\"".to_owned());
        assert!(!typed(&settings).contains("secret"), "{}", typed(&settings));
        insta::assert_snapshot!(settings.login_config().expect("a login"), @r#"
        requirepass "very \"secret\""
        masterauth "very \"secret\""
        "#);
        settings.role = Role::Sentinel(6_379);
        assert!(!typed(&settings).contains("secret"), "{}", typed(&settings));
        assert!(settings.sentinel_config(1, 2).contains("auth-pass"));
    }

    proptest! {
        #[test]
        fn any_password_finds_its_way_through_the_url(password in "\\PC{1,20}") {
            let mut settings = settings(Role::Primary);
            settings.password = Some(password.clone());
            let url = settings.url(7_000, Path::new("/run/it"));
            prop_assert!(url.parse::<RedisAddress>().is_ok(), "{}", url);
            let client = redis::Client::open(url).expect("a URL");
            let login = client.get_connection_info().redis_settings();
            prop_assert_eq!(login.password(), Some(password.as_str()));
        }
    }
}
