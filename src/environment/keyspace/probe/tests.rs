//! Tests of [`super`]: each way in which a URL can be wrong is told apart.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::environment::managed_redis::ManagedRedis;
use crate::environment::process::free_port;
use crate::environment::{EvictionPolicy, RedisConfig};

async fn redis() -> ManagedRedis {
    let config = RedisConfig {
        maxmemory: None,
        policy: EvictionPolicy::Noeviction,
    };
    let redis = ManagedRedis::start(&config, &Clock::real()).await;
    redis.expect("start")
}

async fn error_of(url: &str) -> EnvironmentError {
    let answer = probe(url, &Clock::real()).await;
    let error = answer.expect_err(url);
    assert!(!error.to_string().contains("secret"), "{error}");
    error
}

#[tokio::test]
async fn live_a_good_url_tells_about_the_server() {
    let redis = redis().await;
    let info = probe(redis.url(), &Clock::real()).await.expect("probe");
    assert_eq!(info.version, redis.version());
}

#[tokio::test]
async fn live_a_missing_and_a_wrong_password_are_told() {
    let redis = redis().await;
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("connect");
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("requirepass").arg("right");
    set.query_async::<()>(&mut connection).await.expect("SET");
    let place = redis.url().strip_prefix("redis://").expect("its form");
    for url in [
        redis.url().to_owned(),
        format!("redis://:secret@{place}"),
        format!("redis://default:secret@{place}"),
        format!("redis://nobody:secret@{place}"),
    ] {
        let error = error_of(&url).await;
        assert!(
            matches!(error, EnvironmentError::WrongPassword { .. }),
            "{error}"
        );
    }
    let right = format!("redis://:right@{place}");
    probe(&right, &Clock::real()).await.expect("the right one");
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_told() {
    let port = free_port().expect("a port");
    let error = error_of(&format!("redis://:secret@127.0.0.1:{port}/0")).await;
    assert!(
        matches!(error, EnvironmentError::ConnectionRefused { .. }),
        "{error}"
    );
    let error = error_of("redis+unix:///nowhere/redis.sock?pass=secret").await;
    assert!(
        matches!(error, EnvironmentError::Unreachable { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_not_redis_is_told() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("listen");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // A peer that has gone is no failure of this server.
                let _ = stream.read(&mut [0; 64]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let error = error_of(&format!("redis://127.0.0.1:{port}")).await;
        assert!(
            matches!(error, EnvironmentError::NotRedis { .. }),
            "{answer:?}: {error}"
        );
        server.abort();
    }
}

#[tokio::test]
async fn bad_urls_are_told() {
    for url in [
        "localhost:6379",
        "redis://:secret@",
        "http://:secret@localhost:6379",
        "redis://:secret@localhost:6379/zero",
        "redis://:secret@one,two",
        "redis+ring://:secret@one,two",
        "redis+cluster://:secret@one,two/1",
        "redis+cluster://:secret@one,,two",
        "redis://:secret@localhost?read_from=replica",
        "redis://:secret@localhost?pass=secret",
        "rediss://:secret@localhost?ca=/nowhere/ca.pem",
        "",
    ] {
        let error = error_of(url).await;
        assert!(matches!(error, EnvironmentError::BadUrl { .. }), "{error}");
    }
    insta::assert_snapshot!(
        error_of("http://:secret@localhost:6379").await,
        @r#""http://:***@localhost:6379" is not a Redis URL (its scheme is not redis, rediss, valkey or valkeys): write redis://HOST:6379/0, or redis://:PASSWORD@HOST:6379/0; redis+sentinel://HOST,HOST/SERVICE and redis+cluster://HOST,HOST for those"#
    );
}

#[test]
fn errors_of_the_network_are_told_apart() {
    let error = |kind: io::ErrorKind| unreachable_error("redis://host", &kind.into());
    assert!(matches!(
        error(io::ErrorKind::ConnectionRefused),
        EnvironmentError::ConnectionRefused { .. }
    ));
    for kind in [io::ErrorKind::TimedOut, io::ErrorKind::HostUnreachable] {
        assert!(matches!(error(kind), EnvironmentError::Unreachable { .. }));
    }
    insta::assert_snapshot!(
        error(io::ErrorKind::TimedOut),
        @"redis://host cannot be reached: no answer within 5 s; check the host name, the network and the firewall"
    );
}

#[test]
fn passwords_are_masked() {
    let masked = [
        "redis://host:6379/0",
        "redis://:secret@host:6379/0",
        "redis://user:secret@host:6379/0",
        "redis://user:se@cr:et@host",
        "redis://:sec/ret@host",
        "redis://secret@host",
        "redis://:secret",
        "user:secret@host:6379",
        "redis+unix:///run/redis.sock?db=1&pass=secret",
        "redis://host?protocol=resp3",
    ]
    .map(mask_url);
    insta::assert_snapshot!(masked.join("\n"), @r"
    redis://host:6379/0
    redis://:***@host:6379/0
    redis://user:***@host:6379/0
    redis://user:***@host
    redis://:***@host
    redis://***@host
    redis://***
    user:***@host:6379
    redis+unix:///run/redis.sock?***
    redis://host?protocol=resp3
    ");
}

proptest! {
    #[test]
    fn no_password_survives(
        user in "[a-z]{0,6}",
        password in "[A-Z@:/?#%]{6,20}",
        host in "[a-z]{1,9}",
    ) {
        let masked = mask_url(&format!("redis://{user}:{password}@{host}:6379/0"));
        prop_assert_eq!(masked, format!("redis://{user}:***@{host}:6379/0"));
    }
}
