//! Fields that are written and read back, and those of others.

use super::*;
use proptest::prelude::*;

const CACHES: [Layer; 3] = [Layer::Edge, Layer::Local, Layer::Remote];

/// Every operation with the statuses and the pairs that an instance may answer it with.
fn meaningful() -> Vec<(Operation, u16, Outcome, Layer)> {
    let mut pairs = vec![
        (Operation::Get, 200, Outcome::Miss, Layer::Origin),
        (Operation::Get, 404, Outcome::Miss, Layer::Origin),
        (Operation::Get, 200, Outcome::Bypass, Layer::Origin),
        (Operation::Get, 404, Outcome::Bypass, Layer::Origin),
        (Operation::Get, 200, Outcome::Coalesced, Layer::Origin),
        (Operation::Get, 404, Outcome::Coalesced, Layer::Origin),
        (Operation::Get, 503, Outcome::Error, Layer::Origin),
        (Operation::Put, 204, Outcome::Bypass, Layer::Origin),
        (Operation::Put, 503, Outcome::Error, Layer::Origin),
        (Operation::Invalidate, 204, Outcome::Bypass, Layer::Origin),
        (Operation::Invalidate, 500, Outcome::Error, Layer::Origin),
        (Operation::Admit, 204, Outcome::Bypass, Layer::Origin),
        (Operation::Admit, 204, Outcome::Miss, Layer::Origin),
        (Operation::Admit, 504, Outcome::Error, Layer::Origin),
    ];
    for layer in CACHES {
        pairs.extend([
            (Operation::Get, 200, Outcome::Hit, layer),
            (Operation::Get, 200, Outcome::StaleHit, layer),
            (Operation::Get, 404, Outcome::NegativeHit, layer),
            (Operation::Get, 200, Outcome::Coalesced, layer),
            (Operation::Admit, 204, Outcome::Hit, layer),
            (Operation::Admit, 429, Outcome::Refused, layer),
        ]);
    }
    pairs
}

#[test]
fn what_an_instance_tells_a_driver_reads() {
    for (operation, status, outcome, layer) in meaningful() {
        let field = format(outcome, layer);
        assert_eq!(
            read(operation, status, Some(field)),
            (outcome, layer),
            "{operation:?} {status} {field}"
        );
    }
}

#[test]
fn every_pair_has_a_well_formed_field() {
    for outcome in Outcome::ALL {
        for layer in Layer::ALL {
            let field = format(outcome, layer);
            let members = parse(field).expect(field);
            assert!(
                members.iter().all(|member| member.layer.is_some()),
                "{field}"
            );
        }
    }
}

#[test]
fn foreign_spellings_are_understood() {
    let get = |field| read(Operation::Get, 200, Some(field));
    let remote_hit = (Outcome::Hit, Layer::Remote);
    assert_eq!(get("remote;hit,local;fwd=miss"), remote_hit);
    assert_eq!(get("  remote ;hit"), remote_hit);
    assert_eq!(
        get("remote;   hit=?1 \t,\t local; fwd=uri-miss; stored"),
        remote_hit
    );
    assert_eq!(
        get("\"remote\"; hit; ttl=30.5; key=\"a\\\"b, c\""),
        remote_hit
    );
    assert_eq!(
        get("remote; hit, ExampleCDN; fwd=miss; fwd-status=200"),
        remote_hit
    );
    assert_eq!(
        get("ExampleCDN; hit, remote; fwd=stale"),
        (Outcome::Miss, Layer::Origin)
    );
    assert_eq!(
        get("remote; hit; x=:YWJj:; y=@1659578233; z=*a/b"),
        remote_hit
    );
    // Tokens and keys are case-sensitive: these are another cache and a broken field.
    assert_eq!(get("Remote; hit"), (Outcome::Bypass, Layer::Origin));
    assert_eq!(get("remote; HIT"), (Outcome::Bypass, Layer::Origin));
    assert_eq!(get("remote; hit=?0"), (Outcome::Miss, Layer::Origin));
    assert_eq!(
        get("local; hit; ttl=-12"),
        (Outcome::StaleHit, Layer::Local)
    );
}

#[test]
fn caches_that_are_not_ours_are_one_edge() {
    let stale = Some((Outcome::StaleHit, Layer::Edge));
    let miss = Some((Outcome::Miss, Layer::Origin));
    for (field, read) in [
        ("ExampleCDN; hit", Some((Outcome::Hit, Layer::Edge))),
        ("nginx; hit; ttl=-3", stale),
        ("nginx; fwd=uri-miss; stored", miss),
        ("nginx; fwd=stale; fwd-status=200", miss),
        ("nginx; fwd=stale; fwd-status=304", miss),
        ("nginx; fwd=stale; fwd-status=503", stale),
        (
            "shield; hit, pop; fwd=miss",
            Some((Outcome::Hit, Layer::Edge)),
        ),
        ("shield; fwd=miss, pop; fwd=miss", miss),
        (
            "pop; fwd=miss; collapsed",
            Some((Outcome::Coalesced, Layer::Origin)),
        ),
        ("pop; fwd=bypass", Some((Outcome::Bypass, Layer::Origin))),
        (
            "remote; hit, local; fwd=miss",
            Some((Outcome::Hit, Layer::Remote)),
        ),
        ("pop; detail=warm", None),
        ("", None),
        ("pop; hit,", None),
    ] {
        assert_eq!(read_foreign(field), read, "{field}");
    }
}

#[test]
fn the_hit_closest_to_the_user_answered() {
    let stored_with_the_response = "remote; hit, local; fwd=miss; collapsed, edge; hit";
    assert_eq!(
        read(Operation::Get, 200, Some(stored_with_the_response)),
        (Outcome::Hit, Layer::Edge)
    );
}

#[test]
fn without_the_field_nothing_was_cached() {
    assert_eq!(
        read(Operation::Get, 200, None),
        (Outcome::Bypass, Layer::Origin)
    );
    assert_eq!(
        read(Operation::Get, 404, None),
        (Outcome::Bypass, Layer::Origin)
    );
    assert_eq!(
        read(Operation::Admit, 429, None),
        (Outcome::Refused, Layer::Remote)
    );
    assert_eq!(
        read(Operation::Get, 418, None),
        (Outcome::Error, Layer::Origin)
    );
    assert_eq!(
        read(Operation::Put, 429, None),
        (Outcome::Error, Layer::Origin)
    );
}

#[test]
fn broken_fields_are_ignored_as_a_whole() {
    for broken in [
        "local; hit,",
        ",",
        "local; hit; \"x\"",
        "17; hit",
        "local; hit; a=\"b",
        "é",
    ] {
        assert_eq!(parse(broken), None, "{broken}");
    }
    assert_eq!(parse(""), Some(vec![]));
}

proptest! {
    #[test]
    fn reading_never_panics(status: u16, field in ".{0,60}") {
        for operation in Operation::ALL {
            let _ = read(operation, status, Some(&field));
        }
    }

    #[test]
    fn nearly_good_fields_never_panic(field in "(remote|local|\"|;|,| |hit|fwd=|miss|ttl=|-|1|\\\\|\\?|:|@|%){0,24}") {
        let _ = read(Operation::Get, 200, Some(&field));
    }
}
