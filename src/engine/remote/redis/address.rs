//! Where a Redis is: one URL says how it is set up, which hosts to ask, and how to log in.
//!
//! | URL | means |
//! |---|---|
//! | `redis://HOST:6379/0`, `redis+unix:///run/redis.sock` | one server |
//! | `redis+replicated://HOST,HOST,…/0` | a primary and its replicas, in any order |
//! | `redis+sentinel://HOST:26379,HOST,…/SERVICE/0` | whatever these Sentinels call the primary |
//! | `redis+cluster://HOST,HOST,…` | a Cluster; one host is enough to find the others |
//!
//! `rediss` in the place of `redis` asks for TLS, and `valkey` works everywhere like `redis`. The
//! login stands before the hosts, as in `redis+cluster://USER:PASSWORD@HOST,…`; it is the same for
//! all. After a `?`: `read_from=replica`, `ca=FILE` (the certificates to trust instead of the
//! system's), `sentinel_user=…` and `sentinel_password=…` (the Sentinels' own login). `#insecure`
//! in the end trusts any certificate.
//!
//! Pure. Called by whoever opens a connection; a password never leaves it but for a login.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const SENTINEL_PORT_DEFAULT: u16 = 26_379;
/// What Redis' own examples call it.
const SERVICE_DEFAULT: &str = "mymaster";
/// More are a mistake; one is enough to find the others.
const HOSTS_MAX: usize = 256;

/// How a Redis is set up (ADR, "Redis High Availability").
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One server.
    #[default]
    Standalone,
    /// A primary, and replicas that follow it. Nobody takes over when the primary dies.
    Replicated,
    /// The same, and Sentinels that make a replica the primary when it dies.
    Sentinel,
    /// Several primaries, each with its share of the keys, each with its replicas.
    Cluster,
}

impl Topology {
    /// The topology's word in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Replicated => "replicated",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        }
    }

    /// Whether somebody takes over when a primary dies.
    pub fn fails_over(self) -> bool {
        matches!(self, Self::Sentinel | Self::Cluster)
    }
}

/// Who answers lookups. Whatever stands here, everything that writes goes to the primary.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ReadFrom {
    /// The primary.
    #[default]
    Primary,
    /// The replicas in turn, and the primary while there is none. Their answers may be older.
    Replica,
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeAddress {
    /// A name or an IP address; for a Unix socket its path.
    pub host: String,
    /// The port; 0 for a Unix socket.
    pub port: u16,
}

impl NodeAddress {
    /// `port` of `host`.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self { host, port }
    }

    /// Reads `host:port` as Redis writes it in redirections: IPv6 without brackets.
    pub(super) fn from_redirection(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        (!host.is_empty()).then(|| Self::new(host, port))
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            0 => f.write_str(&self.host),
            port => write!(f, "{}:{port}", self.host),
        }
    }
}

/// A URL that cannot be used. Its text never holds a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(pub String);

/// The Sentinels' side of an address.
#[derive(Clone)]
pub(super) struct Sentinels {
    pub(super) service: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// A parsed URL.
#[derive(Clone)]
pub struct RedisAddress {
    pub(super) topology: Topology,
    pub(super) read_from: ReadFrom,
    /// The hosts of the URL, in its order; never empty.
    pub(super) hosts: Vec<NodeAddress>,
    /// Login, database and transport, with the first host.
    pub(super) first: ConnectionInfo,
    pub(super) sentinels: Sentinels,
    pub(super) ca: Option<PathBuf>,
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        write!(f, "{} at {}", self.topology.name(), hosts.join(","))
    }
}

impl RedisAddress {
    /// How the Redis is set up.
    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// Who answers lookups.
    pub fn read_from(&self) -> ReadFrom {
        self.read_from
    }

    /// The hosts of the URL, in its order.
    pub fn hosts(&self) -> &[NodeAddress] {
        &self.hosts
    }
}

/// A URL in its parts, none of them decoded.
struct Parts<'u> {
    scheme: &'u str,
    topology: Topology,
    login: Option<&'u str>,
    hosts: Vec<&'u str>,
    path: &'u str,
    query: Option<&'u str>,
    fragment: Option<&'u str>,
}

fn wrong(reason: impl Into<String>) -> AddressError {
    AddressError(reason.into())
}

impl FromStr for RedisAddress {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let Some(parts) = Parts::of(url)? else {
            return Self::of_socket(url);
        };
        let (service, db) = parts.service_and_db()?;
        let infos = parts
            .hosts
            .iter()
            .map(|host| parts.one_host(host, db))
            .collect::<Result<Vec<_>, _>>()?;
        let hosts = infos.iter().map(node_of).collect();
        let first = infos
            .into_iter()
            .next()
            .ok_or_else(|| wrong("it names no host"))?;
        let (read_from, ca, user, password) = own_options(&parts.one_url("host", ""))?;
        let insecure_tls = |info: &ConnectionInfo| {
            matches!(
                info.addr(),
                ConnectionAddr::TcpTls {
                    insecure: false,
                    ..
                }
            )
        };
        if ca.is_some() && !insecure_tls(&first) {
            return Err(wrong(
                "ca= is of use only with TLS that checks certificates",
            ));
        }
        if read_from == ReadFrom::Replica && parts.topology == Topology::Standalone {
            return Err(wrong(
                "read_from=replica needs replicas: write redis+replicated, redis+sentinel or \
                 redis+cluster",
            ));
        }
        Ok(Self {
            topology: parts.topology,
            read_from,
            hosts,
            first,
            sentinels: Sentinels {
                service,
                user,
                password,
            },
            ca,
        })
    }
}

impl RedisAddress {
    fn of_socket(url: &str) -> Result<Self, AddressError> {
        let first = url
            .into_connection_info()
            .map_err(|_| wrong("the socket's URL cannot be read"))?;
        Ok(Self {
            topology: Topology::Standalone,
            read_from: ReadFrom::Primary,
            hosts: vec![node_of(&first)],
            first,
            sentinels: Sentinels {
                service: String::new(),
                user: None,
                password: None,
            },
            ca: None,
        })
    }
}

impl<'u> Parts<'u> {
    /// `None` for the URL of a Unix socket.
    fn of(url: &'u str) -> Result<Option<Self>, AddressError> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| wrong("it has no scheme, such as redis://"))?;
        let (scheme, setup) = scheme.split_once('+').unwrap_or((scheme, ""));
        let topology = match setup {
            "unix" => return Ok(None),
            "" if scheme == "unix" => return Ok(None),
            "" => Topology::Standalone,
            "replicated" => Topology::Replicated,
            "sentinel" => Topology::Sentinel,
            "cluster" => Topology::Cluster,
            _ => return Err(wrong("after the + stands replicated, sentinel or cluster")),
        };
        let lower = scheme.to_ascii_lowercase();
        if !["redis", "rediss", "valkey", "valkeys"].contains(&lower.as_str()) {
            return Err(wrong("its scheme is not redis, rediss, valkey or valkeys"));
        }
        let (rest, fragment) = cut(rest, '#');
        let (rest, query) = cut(rest, '?');
        let (authority, path) = cut(rest, '/');
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let hosts: Vec<&str> = hosts.split(',').collect();
        if topology == Topology::Standalone && hosts.len() > 1 {
            return Err(wrong(
                "several hosts need their topology: write redis+replicated, redis+sentinel or \
                 redis+cluster",
            ));
        }
        if hosts.len() > HOSTS_MAX {
            return Err(wrong(format!("more than {HOSTS_MAX} hosts")));
        }
        Ok(Some(Self {
            scheme,
            topology,
            login,
            hosts,
            path: path.unwrap_or_default(),
            query,
            fragment,
        }))
    }

    /// Sentinels are asked for a service, whose name stands before the database.
    fn service_and_db(&self) -> Result<(String, &'u str), AddressError> {
        let path = self.path.trim_matches('/');
        let (service, db) = match self.topology {
            Topology::Sentinel => {
                let (service, db) = cut(path, '/');
                (service, db.unwrap_or_default())
            }
            _ => ("", path),
        };
        if self.topology == Topology::Cluster && !["", "0"].contains(&db) {
            return Err(wrong("a Cluster has no database but 0"));
        }
        let service = if service.is_empty() {
            SERVICE_DEFAULT
        } else {
            service
        };
        Ok((service.to_owned(), db))
    }

    /// The URL of one of the hosts, as the client library reads it.
    fn one_url(&self, host: &str, db: &str) -> String {
        let part = |sign: &str, part: Option<&str>| match part {
            Some(part) => format!("{sign}{part}"),
            None => String::new(),
        };
        let login = self
            .login
            .map_or(String::new(), |login| format!("{login}@"));
        let (query, fragment) = (part("?", self.query), part("#", self.fragment));
        format!("{}://{login}{host}/{db}{query}{fragment}", self.scheme)
    }

    fn one_host(&self, host: &str, db: &str) -> Result<ConnectionInfo, AddressError> {
        if host.is_empty() {
            return Err(wrong("a host is missing"));
        }
        let info = self
            .one_url(host, db)
            .into_connection_info()
            // The library's words may hold what stands in the place of a password.
            .map_err(|_| wrong("the client library cannot read it"))?;
        // The library takes a missing port for that of a server.
        let has_port = host
            .rsplit(']')
            .next()
            .is_some_and(|tail| tail.contains(':'));
        if self.topology != Topology::Sentinel || has_port {
            return Ok(info);
        }
        let node = node_of(&info);
        Ok(at(
            &info,
            &NodeAddress::new(node.host, SENTINEL_PORT_DEFAULT),
        ))
    }
}

/// `text` up to the first `sign`, and what follows it.
fn cut(text: &str, sign: char) -> (&str, Option<&str>) {
    match text.split_once(sign) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

type OwnOptions = (ReadFrom, Option<PathBuf>, Option<String>, Option<String>);

/// What stands after the `?` that the client library does not know.
fn own_options(url: &str) -> Result<OwnOptions, AddressError> {
    let mut options = OwnOptions::default();
    let url = ::redis::parse_redis_url(url).ok_or_else(|| wrong("it cannot be read"))?;
    for (name, value) in url.query_pairs() {
        match (&*name, &*value) {
            ("read_from", "primary") => options.0 = ReadFrom::Primary,
            ("read_from", "replica") => options.0 = ReadFrom::Replica,
            ("read_from", _) => return Err(wrong("read_from is primary or replica")),
            ("ca", file) => options.1 = Some(file.into()),
            ("sentinel_user", user) => options.2 = Some(user.to_owned()),
            ("sentinel_password", password) => options.3 = Some(password.to_owned()),
            ("protocol", _) => {}
            // Not told by its name: that may be the end of a password with a bare `?` in it.
            _ => {
                return Err(wrong(
                    "after the ? stand read_from, ca, sentinel_user, sentinel_password or protocol",
                ));
            }
        }
    }
    Ok(options)
}

/// The same login and transport, at another node.
pub(super) fn at(info: &ConnectionInfo, node: &NodeAddress) -> ConnectionInfo {
    let addr = match info.addr().clone() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host: node.host.clone(),
            port: node.port,
            insecure,
            tls_params,
        },
        ConnectionAddr::Tcp(..) => ConnectionAddr::Tcp(node.host.clone(), node.port),
        // A socket has no other nodes.
        same => same,
    };
    info.clone().set_addr(addr)
}

fn node_of(info: &ConnectionInfo) -> NodeAddress {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            NodeAddress::new(host.as_str(), *port)
        }
        other => NodeAddress::new(other.to_string(), 0),
    }
}

#[cfg(test)]
mod tests;
