//! Whether a Redis given by URL can be used, and if not, exactly why.
//!
//! Called once, before a run against an external Redis. Never prints a password.

use std::io;
use std::time::Duration;

use redis::{ConnectionAddr, ErrorKind, RedisError};
use tokio::net::{TcpStream, UnixStream};

use crate::clock::Clock;
use crate::environment::error::EnvironmentError;
use crate::environment::redis_info::RedisInfo;

/// How long each step may take: reaching the host, then logging in and asking.
const STEP_LIMIT: Duration = Duration::from_secs(5);

/// Connects to `url`, logs in, and asks the server about itself.
pub async fn probe(url: &str, clock: &Clock) -> Result<RedisInfo, EnvironmentError> {
    let masked = mask_url(url);
    let scheme = url.split(':').next().unwrap_or_default();
    if ["rediss", "valkeys"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(EnvironmentError::TlsNotBuiltIn { url: masked });
    }
    // The client's own words say nothing more than that.
    let client = redis::Client::open(url).map_err(|_| EnvironmentError::BadUrl {
        url: masked.clone(),
    })?;
    reach(client.get_connection_info().addr(), &masked, clock).await?;
    ask(&client, &masked, clock).await
}

/// Whether something listens there at all; apart from what it then says.
async fn reach(addr: &ConnectionAddr, url: &str, clock: &Clock) -> Result<(), EnvironmentError> {
    let connect = async {
        match addr {
            ConnectionAddr::Unix(path) => UnixStream::connect(path).await.map(drop),
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                TcpStream::connect((host.as_str(), *port)).await.map(drop)
            }
            _ => Ok(()),
        }
    };
    clock
        .timeout(STEP_LIMIT, connect)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| unreachable_error(url, &error))
}

async fn ask(
    client: &redis::Client,
    url: &str,
    clock: &Clock,
) -> Result<RedisInfo, EnvironmentError> {
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(STEP_LIMIT))
        .set_response_timeout(Some(STEP_LIMIT));
    let answer = async {
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        redis::cmd("INFO")
            .arg("all")
            .query_async::<String>(&mut connection)
            .await
    };
    match clock.timeout(STEP_LIMIT, answer).await {
        Ok(Ok(text)) => RedisInfo::parse(&text, clock.now()),
        Ok(Err(error)) => Err(refusal(url, &error)),
        Err(_) => Err(EnvironmentError::NotRedis {
            url: url.to_owned(),
            reason: format!(
                "it accepted the connection but gave no answer within {} s",
                STEP_LIMIT.as_secs()
            ),
        }),
    }
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
fn refusal(url: &str, error: &RedisError) -> EnvironmentError {
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
    EnvironmentError::command("INFO", error)
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
