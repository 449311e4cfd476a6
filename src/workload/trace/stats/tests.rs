//! What is counted, held against what is known of small traces.

use std::io::Cursor;

use super::super::{Malformed, TraceFormat, TraceReader};
use super::*;
use crate::seed::Seed;
use rand::RngExt as _;

fn reader(text: String) -> TraceReader {
    let format = Some(TraceFormat::Twitter);
    TraceReader::new("test", Cursor::new(text), format, Malformed::Refuse).expect("a trace")
}

fn statistics(text: &str) -> TraceStatistics {
    TraceStatistics::of(&mut reader(text.to_owned())).expect("statistics")
}

fn record(at_s: u64, key: u64) -> TraceRecord {
    TraceRecord {
        at: Duration::from_secs(at_s),
        key,
        operation: Operation::Get,
        value_size: 10,
        ttl: None,
        client: 0,
    }
}

#[test]
fn everything_is_counted() {
    let found = statistics(
        "5,a,1,100,1,get,0\n5,b,1,0,1,set,60\n5,a,1,300,1,get,0\n7,c,1,100,1,delete,0\n\
         7,a,1,100,1,gets,0\n9,d,1,5000,1,set,3600\n",
    );
    let operations = Operations {
        get: 3,
        put: 2,
        invalidate: 1,
    };
    assert_eq!((found.requests, found.operations), (6, operations));
    assert!((found.duration_s - 4.0).abs() < 1e-9);
    let rate = found.rate.expect("rates");
    assert_eq!((rate.peak_second_requests, rate.peak_second_at_s), (3, 0));
    assert_eq!((rate.row_s, rate.requests_by_row), (1, vec![3, 0, 2, 0, 1]));
    assert!((rate.mean_per_s - 1.5).abs() < 1e-9);
    let sizes = found.value_size_bytes.expect("sizes");
    assert_eq!((sizes.count, found.bytes_total), (5, 5_600));
    assert!((sizes.p50 - 100.0).abs() < 0.1 && (sizes.max / 5_000.0 - 1.0).abs() < 0.001);
    let ttls = found.ttl_s.expect("TTLs");
    assert_eq!(ttls.count, 2);
    assert!((ttls.p50 / 60.0 - 1.0).abs() < 0.001, "{ttls:?}");
    let keys = found.keys;
    assert_eq!((keys.distinct, keys.sampled_one_of), (4, 1));
    assert_eq!(keys.bytes_distinct, 300 + 100 + 5_000);
    assert!((keys.one_hit_share - 0.75).abs() < 1e-9);
    assert_eq!(keys.most_popular_share, Some(0.5));
    assert_eq!(keys.zipf, None, "four keys have no tail");
}

#[test]
fn a_trace_without_requests_is_an_error_and_one_without_times_has_no_rates() {
    let error = TraceStatistics::of(&mut reader("\n\n".to_owned())).expect_err("no requests");
    assert!(error.to_string().contains("holds no request"), "{error}");
    let columns = Cursor::new("key,op,size\na,GET,7\nb,GET,7\n");
    let mut reader = TraceReader::new("t", columns, None, Malformed::Refuse).expect("a trace");
    let found = TraceStatistics::of(&mut reader).expect("statistics");
    assert_eq!(found.time_resolution, TimeResolution::Absent);
    assert!(found.rate.is_none() && found.residence.is_empty());
}

#[test]
fn rows_grow_wider_and_keep_their_sum() {
    let mut rows = Rows::default();
    (0..10_000).for_each(|second| rows.add(second));
    let rates = rows.rates(1.0);
    assert!(rates.requests_by_row.len() <= ROWS_MAX);
    assert_eq!(rates.row_s, 64);
    assert_eq!(rates.requests_by_row.iter().sum::<u64>(), 10_000);
    assert!(rates.requests_by_row[..100].iter().all(|row| *row == 64));
}

/// Keys asked for in turn: within n seconds, n keys are asked for.
#[test]
fn residence_is_the_time_in_which_a_cache_fills() {
    let mut collector = Collector::new(KEYS_MAX);
    (0..100_000).for_each(|second| collector.add(&record(second, second % 1_000)));
    let found = collector.finish(&reader(String::new()));
    for entries in [10, 100, 500] {
        let residence = found.residence(entries).expect("it fills").as_secs_f64();
        let wanted = entries as f64;
        assert!(
            (residence / wanted - 1.0).abs() < 0.07,
            "{entries}: {residence}"
        );
    }
    assert_eq!(found.residence(1_001), None);
}

/// A sample of the keys gives what all of them give, nearly.
#[test]
fn beyond_the_limit_keys_are_sampled_by_their_hash() {
    let draw = |keys_max| {
        let mut stream = Seed(3).stream("keys");
        let mut collector = Collector::new(keys_max);
        for at_ms in 0..400_000_u64 {
            // Half of the requests go to a few keys.
            let key: u64 = if stream.random() {
                stream.random_range(0..20_000)
            } else {
                stream.random_range(0..200_000)
            };
            let at = Duration::from_millis(at_ms);
            collector.add(&TraceRecord {
                at,
                ..record(0, mix(key))
            });
        }
        collector.finish(&reader(String::new()))
    };
    let (all, sample) = (draw(KEYS_MAX), draw(5_000));
    assert_eq!(all.keys.sampled_one_of, 1);
    assert_eq!(sample.keys.sampled_one_of, 32);
    assert_eq!(sample.requests, all.requests);
    let near = |found: f64, wanted: f64| (found / wanted - 1.0).abs() < 0.05;
    let (found, wanted) = (&sample.keys, &all.keys);
    assert!(
        near(found.distinct as f64, wanted.distinct as f64),
        "{found:?}"
    );
    assert!(near(found.one_hit_share, wanted.one_hit_share), "{found:?}");
    let residence = |of: &TraceStatistics| of.residence(10_000).expect("it fills").as_secs_f64();
    assert!(
        near(residence(&sample), residence(&all)),
        "{}",
        residence(&sample)
    );
}
