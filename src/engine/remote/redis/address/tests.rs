//! Tests of [`super`].

use super::*;
use proptest::prelude::*;

fn read(url: &str) -> RedisAddress {
    url.parse().expect(url)
}

fn told(address: &RedisAddress) -> String {
    format!("{address:?}, db {}", address.first.redis_settings().db())
}

#[test]
fn every_topology_has_its_url() {
    let urls = [
        "redis://host",
        "valkey://host:7000/2",
        "redis+unix:///run/redis.sock?db=3",
        "redis+replicated://one,two:6380/1",
        "redis+sentinel://one,two:26380/main/4",
        "redis+sentinel://[::1],host",
        "rediss+cluster://one:7000,two:7001/",
        "valkeys+cluster://[fe80::1]:7000",
    ];
    let lines = urls.map(|url| format!("{url} -> {}", told(&read(url))));
    insta::assert_snapshot!(lines.join("\n"), @"
    redis://host -> standalone at host:6379, db 0
    valkey://host:7000/2 -> standalone at host:7000, db 2
    redis+unix:///run/redis.sock?db=3 -> standalone at /run/redis.sock, db 3
    redis+replicated://one,two:6380/1 -> replicated at one:6379,two:6380, db 1
    redis+sentinel://one,two:26380/main/4 -> sentinel at one:26379,two:26380, db 4
    redis+sentinel://[::1],host -> sentinel at ::1:26379,host:26379, db 0
    rediss+cluster://one:7000,two:7001/ -> cluster at one:7000,two:7001, db 0
    valkeys+cluster://[fe80::1]:7000 -> cluster at fe80::1:7000, db 0
    ");
    assert_eq!(read("redis+sentinel://one/main").sentinels.service, "main");
    assert_eq!(read("redis+sentinel://one").sentinels.service, "mymaster");
}

#[test]
fn options_and_logins_are_read() {
    let address = read(
        "rediss+sentinel://user:p%40ss@one/main?read_from=replica&ca=/etc/my%20ca.pem\
         &sentinel_user=guard&sentinel_password=s%26cret&protocol=resp3",
    );
    assert_eq!(address.read_from(), ReadFrom::Replica);
    assert_eq!(address.ca.as_deref(), Some("/etc/my ca.pem".as_ref()));
    let login = address.first.redis_settings();
    assert_eq!(
        (login.username(), login.password()),
        (Some("user"), Some("p@ss"))
    );
    assert_eq!(address.sentinels.user.as_deref(), Some("guard"));
    assert_eq!(address.sentinels.password.as_deref(), Some("s&cret"));
    assert!(!format!("{address:?}").contains("ss@"), "{address:?}");
}

#[test]
fn what_cannot_be_meant_is_told_without_secrets() {
    let urls = [
        "host:6379",
        "http://:secret@host",
        "redis+ring://:secret@host",
        "redis://:secret@one,two",
        "redis+cluster://:secret@one,,two",
        "redis+cluster://:secret@one/3",
        "redis+cluster://:secret@",
        "redis+sentinel://:secret@one/main/zero",
        "redis://:secret@host?read_from=replica",
        "redis+cluster://:secret@one?read_from=nearest",
        "redis://:secret@host?ca=/ca.pem",
        "rediss://:secret@host?ca=/ca.pem#insecure",
        "redis+cluster://:secret@one?timeout=5",
        "redis://:se?cret@host",
    ];
    let lines = urls.map(|url| match url.parse::<RedisAddress>() {
        Ok(address) => panic!("{url} is {address:?}"),
        Err(error) => format!("{url} -> {error}"),
    });
    assert!(lines.iter().all(|line| line.matches("secret").count() <= 1));
    insta::assert_snapshot!(lines.join("\n"), @r#"
    host:6379 -> it has no scheme, such as redis://
    http://:secret@host -> its scheme is not redis, rediss, valkey or valkeys
    redis+ring://:secret@host -> after the + stands replicated, sentinel or cluster
    redis://:secret@one,two -> several hosts need their topology: write redis+replicated, redis+sentinel or redis+cluster
    redis+cluster://:secret@one,,two -> a host is missing
    redis+cluster://:secret@one/3 -> a Cluster has no database but 0
    redis+cluster://:secret@ -> a host is missing
    redis+sentinel://:secret@one/main/zero -> the client library cannot read it
    redis://:secret@host?read_from=replica -> read_from=replica needs replicas: write redis+replicated, redis+sentinel or redis+cluster
    redis+cluster://:secret@one?read_from=nearest -> read_from is primary or replica
    redis://:secret@host?ca=/ca.pem -> ca= is of use only with TLS that checks certificates
    rediss://:secret@host?ca=/ca.pem#insecure -> ca= is of use only with TLS that checks certificates
    redis+cluster://:secret@one?timeout=5 -> after the ? stand read_from, ca, sentinel_user, sentinel_password or protocol
    redis://:se?cret@host -> the client library cannot read it
    "#);
}

#[test]
fn redirections_are_read() {
    let read = NodeAddress::from_redirection;
    assert_eq!(
        read("127.0.0.1:7000"),
        Some(NodeAddress::new("127.0.0.1", 7_000))
    );
    assert_eq!(read("::1:7000"), Some(NodeAddress::new("::1", 7_000)));
    assert_eq!(read(":7000"), None);
    assert_eq!(read("host"), None);
}

#[test]
fn another_node_keeps_login_and_transport() {
    let one = read("rediss://:secret@one:7000/#insecure");
    let two = at(&one.first, &NodeAddress::new("two", 7_001));
    assert_eq!(two.redis_settings().password(), Some("secret"));
    assert!(matches!(
        two.addr(),
        ConnectionAddr::TcpTls { host, port: 7_001, insecure: true, .. } if host == "two"
    ));
}

proptest! {
    #[test]
    fn no_url_is_too_strange(url in "(redis|rediss|valkey)?[+]?(cluster|sentinel)?:?/?/?\\PC{0,40}") {
        let _ = url.parse::<RedisAddress>();
    }
}
