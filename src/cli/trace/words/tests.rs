//! What people read.

use std::io::Cursor;

use super::*;
use crate::environment::redis_monitor::Ended;
use crate::workload::trace::Malformed;

fn trace(text: &str) -> TraceReader {
    let text = Cursor::new(text.to_owned());
    TraceReader::new("day.csv", text, None, Malformed::Skip).expect("a trace")
}

fn told(text: &str) -> String {
    statistics(&TraceStatistics::of(&mut trace(text)).expect("statistics"))
}

#[test]
fn statistics_are_told() {
    let mut text = String::new();
    for second in 0..3_000_u64 {
        let (key, busy) = (second * second % 211, second / 500 % 2);
        for _ in 0..=busy * 3 {
            let _ = writeln!(text, "{second},k{key},4,{},1,get,0", 100 + key * 10);
        }
        if second % 10 == 0 {
            let _ = writeln!(text, "{second},k{key},4,900,1,set,{}", 60 * (1 + key % 3));
        }
    }
    text += "nonsense\n2990,k1,2,100,1,delete,0\n";
    insta::assert_snapshot!(told(&text), @r#"
    day.csv · twitter

    requests        7,801: 96.1% get, 3.8% put, 0.01% invalidate
    time            50 min, told in whole seconds
    rate            2.60 requests/s on average, 5 in the busiest second, after 8 min 20 s
                    ▃▃▃▃▃▃▃▄███████▆▃▃▃▃▃▃▃▆███████▄▃▃▃▃▃▃▃███████▇
    keys            106, of which 0% were asked for once
    popularity      Zipf of skew 0.03, off by 0.7% at most; the most popular key takes 1.0%
    value size      mean 1.1 KiB, p50 1.0 KiB, p90 1.9 KiB, p99 2.1 KiB, max 2.1 KiB (of 7,801)
                    all keys once 132.1 KiB, all requests 8.3 MiB
    TTL             p50 2.0 min, p90 3.0 min, p99 3.0 min, max 3.0 min (of 300)

    How long an LRU cache keeps an entry after it was last asked for, at the trace's pace:
        10% of the keys (10 entries)  9.8 s
        25% of the keys (26 entries)  27.5 s
        50% of the keys (53 entries)  1.0 min
    Below about 20 s a real Redis evicts nearly at random, for its LRU clock ticks once a second:
    replay that slower, or with allkeys-lfu, or simulate it.

    Lines that could not be read, left out: 1; the first: line 7801, line: "nonsense" is not the seven columns timestamp,key,key size,value size,client,operation,TTL

    Times that went backwards, raised to the latest: 1
    "#);
}

#[test]
fn what_is_not_told_is_said() {
    insta::assert_snapshot!(told("key,op,size\na,GET,0\nb,GET,0\n"), @"
    day.csv · cachelib

    requests        2: 100% get, 0% put, 0% invalidate
    time            none is told: only the order of the requests is known
    keys            2, of which 100% were asked for once
    popularity      too few keys for a fit; the most popular key takes 50%
    value size      none is told
    TTL             none is told
    ");
    let monitor = "1.5 [0 a:1] \"get\" \"x\"\n1.6 [0 a:1] \"ping\"\n61.5 [0 a:1] \"get\" \"x\"\n";
    insta::assert_snapshot!(told(monitor), @"
    day.csv · redis-monitor

    requests        2: 100% get, 0% put, 0% invalidate
    time            60 s
    rate            0.03 requests/s on average, 1 in the busiest second, after 0 s
                    █                             █
    keys            1, of which 0% were asked for once
    popularity      too few keys for a fit; the most popular key takes 100%
    value size      none is told
    TTL             none is told

    No requests on a key, left out: PING 1
    ");
}

#[test]
fn losses_of_a_conversion_are_told() {
    let of = Converted {
        read: 12_345,
        written: 1_000,
        not_sampled: 11_000,
        puts_as_gets: 5,
        invalidations_left_out: 345,
        ttls_left_out: 3,
        sizes_made_one: 2,
        objects: 17,
    };
    let mut trace = trace("0,a,1,1,0,get,0\nnonsense\n");
    trace.by_ref().for_each(drop);
    insta::assert_snapshot!(converted(&of, &trace, Path::new("out.bin")), @r#"
    out.bin: 1,000 of 12,345 records of twitter
      11,000 of keys outside the sample
      345 invalidations left out, for which the form has no place
      5 puts became reads
      3 TTLs left out
      2 sizes are not known and became 1, for libCacheSim passes over 0
      Lines that could not be read, left out: 1; the first: line 2, line: "nonsense" is not the seven columns timestamp,key,key size,value size,client,operation,TTL
    "#);
}

#[test]
fn a_capture_is_told() {
    let options = CaptureOptions {
        url: "redis://:hunter2@cache:6379/0".to_owned(),
        duration: Duration::from_secs(30),
        plain_keys: false,
    };
    insta::assert_snapshot!(about_to_capture(&options), @"
    capturing from redis://:***@cache:6379/0 for 30s; keys are hashed with a secret that is not kept
    warning: MONITOR takes throughput from the server while it runs, more than half of it in Redis' own figures (104,275 GETs a second without, 45,331 with)
    ");
    let skipped = ["PING", "EXPIRE", "AUTH", "SCAN", "TTL", "HELLO", "INFO"];
    let count = |(count, name): (u64, &str)| (name.to_owned(), count);
    let of = Captured {
        ended: Ended::ConnectionLost,
        duration: Duration::from_millis(12_300),
        commands: 123_456,
        requests: 100_000,
        lost: 456,
        skipped: (1..).zip(skipped).map(count).collect(),
        unreadable: 1,
    };
    insta::assert_snapshot!(captured(&of, Path::new("c.csv.zst")), @"
    c.csv.zst: 100,000 requests of 123,456 commands in 12 s
      no requests on a key: INFO 7, HELLO 6, TTL 5, SCAN 4, AUTH 3, others 3
      warning: 456 requests came faster than they could be written and were lost: write to a faster disk, or without compression
      warning: 1 lines of MONITOR could not be read and were left out
    ");
    insta::assert_snapshot!(lost_connection(&of), @"the server ended the connection after 12.3 s; what was captured until then is complete. It may have been restarted, or it ends clients that fall behind (client-output-buffer-limit normal)");
    let nothing = Captured {
        commands: 0,
        requests: 0,
        lost: 0,
        skipped: BTreeMap::new(),
        unreadable: 0,
        ..of
    };
    insta::assert_snapshot!(captured(&nothing, Path::new("c.csv")), @"
    c.csv: 0 requests of 0 commands in 12 s
      warning: nothing was captured: is this the server that is used?
    ");
}
