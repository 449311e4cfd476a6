//! Whether a Redis given by URL can be used, and if not, exactly why.
//!
//! Called once, before a run against an external Redis. Never prints a password.

use std::io;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError};
use tokio::net::{TcpStream, UnixStream};

use crate::clock::Clock;
use crate::engine::layer::LayerError;
use crate::engine::remote::redis::{NodeAddress, Nodes, Surveyor, Topology};
use crate::environment::error::EnvironmentError;
use crate::environment::redis_info::RedisInfo;

/// How long each step may take: reaching a host, finding out who is who, logging in and asking.
const STEP_LIMIT: Duration = Duration::from_secs(5);

/// Connects to `url`, logs in, and asks the (first) primary about itself.
pub async fn probe(url: &str, clock: &Clock) -> Result<RedisInfo, EnvironmentError> {
    let masked = mask_url(url);
    let nodes = Nodes::open(url).map_err(|error| EnvironmentError::BadUrl {
        url: masked.clone(),
        reason: error.to_string(),
    })?;
    reach_any(nodes.address().hosts(), &masked, clock).await?;
    let mut surveyor = Surveyor::new(nodes.clone());
    let view = clock
        .timeout(STEP_LIMIT, surveyor.survey())
        .await
        .unwrap_or(Err(LayerError::TimedOut("Redis")))
        .map_err(|error| not_surveyed(&masked, &error))?;
    ask(&nodes, &view.shards[0].primary, &masked, clock).await
}

/// Connects to the first server of `url`, whatever it is a part of, and logs in.
pub(in crate::environment) async fn connect_node(
    url: &str,
    clock: &Clock,
) -> Result<(Nodes, MultiplexedConnection), EnvironmentError> {
    let masked = mask_url(url);
    let nodes = Nodes::open(url).map_err(|error| EnvironmentError::BadUrl {
        url: masked.clone(),
        reason: error.to_string(),
    })?;
    reach_any(nodes.address().hosts(), &masked, clock).await?;
    let connect = async {
        let node = &nodes.address().hosts()[0];
        let mut connection = nodes.connect(node, STEP_LIMIT).await?;
        let pinged = redis::cmd("PING").query_async::<()>(&mut connection).await;
        pinged.map(|()| connection)
    };
    match clock.timeout(STEP_LIMIT, connect).await {
        Ok(Ok(connection)) => Ok((nodes, connection)),
        Ok(Err(error)) => Err(refusal(&masked, "PING", &error)),
        Err(_) => Err(silent(&masked)),
    }
}

/// Whether something listens at one of `hosts` at all; apart from what it then says.
async fn reach_any(
    hosts: &[NodeAddress],
    url: &str,
    clock: &Clock,
) -> Result<(), EnvironmentError> {
    let reaching = hosts.iter().map(|host| Box::pin(reach(host, url, clock)));
    // The first that answers will do; if none does, the last error tells as much as any other.
    let reached = futures_util::future::select_ok(reaching).await;
    reached.map(|_| ())
}

async fn reach(host: &NodeAddress, url: &str, clock: &Clock) -> Result<(), EnvironmentError> {
    let connect = async {
        match host.port {
            0 => UnixStream::connect(&host.host).await.map(drop),
            port => TcpStream::connect((host.host.as_str(), port))
                .await
                .map(drop),
        }
    };
    clock
        .timeout(STEP_LIMIT, connect)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| unreachable_error(url, &error))
}

async fn ask(
    nodes: &Nodes,
    primary: &NodeAddress,
    url: &str,
    clock: &Clock,
) -> Result<RedisInfo, EnvironmentError> {
    let answer = async {
        let mut connection = nodes.connect(primary, STEP_LIMIT).await?;
        redis::cmd("INFO")
            .arg("all")
            .query_async::<String>(&mut connection)
            .await
    };
    match clock.timeout(STEP_LIMIT, answer).await {
        Ok(Ok(text)) => {
            fits(nodes.address().topology(), &text, url)?;
            RedisInfo::parse(&text, clock.now())
        }
        Ok(Err(error)) => Err(refusal(url, "INFO", &error)),
        Err(_) => Err(silent(url)),
    }
}

/// What was reached says nothing.
fn silent(url: &str) -> EnvironmentError {
    EnvironmentError::NotRedis {
        url: url.to_owned(),
        reason: format!(
            "it accepted the connection but gave no answer within {} s",
            STEP_LIMIT.as_secs()
        ),
    }
}

/// Whether the server is what the URL says. A node of a Cluster sends most keys elsewhere, and a
/// Sentinel holds none.
fn fits(topology: Topology, info: &str, url: &str) -> Result<(), EnvironmentError> {
    let mode = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_mode:"));
    let (what, instead) = match (mode.map(str::trim), topology) {
        (Some("cluster"), Topology::Cluster) => return Ok(()),
        (Some("cluster"), _) => ("a node of a Cluster", "redis+cluster://HOST,HOST"),
        (Some("sentinel"), _) => ("a Sentinel", "redis+sentinel://HOST,HOST/SERVICE"),
        _ => return Ok(()),
    };
    Err(EnvironmentError::OtherTopology {
        url: url.to_owned(),
        what,
        instead,
    })
}

/// Why nobody said who is who.
fn not_surveyed(url: &str, error: &LayerError) -> EnvironmentError {
    let (url, reason) = (url.to_owned(), error.to_string());
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&[
        "NOAUTH",
        "WRONGPASS",
        "AuthenticationFailed",
        "authentication failed",
    ]) {
        return EnvironmentError::WrongPassword { url, reason };
    }
    if says(&["cluster support disabled"]) {
        return EnvironmentError::OtherTopology {
            url,
            what: "no Cluster",
            instead: "redis://HOST or redis+replicated://HOST,HOST",
        };
    }
    EnvironmentError::Unreachable { url, reason }
}

/// Why the host could not be reached.
fn unreachable_error(url: &str, error: &io::Error) -> EnvironmentError {
    let url = url.to_owned();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => EnvironmentError::ConnectionRefused { url },
        io::ErrorKind::TimedOut => EnvironmentError::Unreachable {
            url,
            reason: format!("no answer within {} s", STEP_LIMIT.as_secs()),
        },
        _ => EnvironmentError::Unreachable {
            url,
            reason: error.to_string(),
        },
    }
}

/// Why a server that was reached did not answer as asked.
fn refusal(url: &str, doing: &str, error: &RedisError) -> EnvironmentError {
    let url = url.to_owned();
    let wrong_login = error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"));
    if wrong_login {
        return EnvironmentError::WrongPassword {
            url,
            reason: error.to_string(),
        };
    }
    let not_redis = |reason| EnvironmentError::NotRedis { url, reason };
    if error.kind() == ErrorKind::Parse {
        return not_redis(format!("its answer cannot be read ({error})"));
    }
    if error.is_connection_dropped() || error.is_timeout() {
        return not_redis(format!("it did not answer ({error})"));
    }
    EnvironmentError::command(doing, error)
}

/// `url` without its secrets: `redis://:***@host:6379/0`. Works on what is no URL, too, and masks
/// too much rather than too little.
pub fn mask_url(url: &str) -> String {
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at + 3),
        None => ("", url),
    };
    // The last '@': an unescaped one in a password must not show the password's end.
    let (login, place) = match rest.rfind('@') {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    };
    let login = match login.map(|login| login.split_once(':')) {
        Some(Some((user, _))) => format!("{user}:***@"),
        Some(None) => "***@".to_owned(),
        None => String::new(),
    };
    // Without a host, what follows the colon may be a password that lost its '@'.
    let place = if login.is_empty() && place.starts_with(':') {
        "***"
    } else {
        place
    };
    match place.split_once('?') {
        Some((place, query)) if query.to_ascii_lowercase().contains("pass") => {
            format!("{scheme}{login}{place}?***")
        }
        _ => format!("{scheme}{login}{place}"),
    }
}

#[cfg(test)]
mod tests;
