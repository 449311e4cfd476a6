//! The reader as its callers meet it: spreading, faults, counts, compression, and real traces where they
//! are.

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use super::spread::Spread;
use super::*;

fn reader(text: &str, malformed: Malformed) -> TraceReader {
    let text = Cursor::new(text.to_owned());
    TraceReader::new("test.csv", text, None, malformed).expect("a trace")
}

fn times_ms(reader: TraceReader) -> Vec<u128> {
    let times = reader.map(|record| record.expect("a record").at.as_millis());
    times.collect()
}

#[test]
fn requests_of_one_second_are_spread_over_it() {
    let lines = |seconds: &[u64]| -> String {
        let line = |second: &u64| format!("{second},k,1,1,0,get,0\n");
        seconds.iter().map(line).collect()
    };
    let spread = |seconds: &[u64]| times_ms(reader(&lines(seconds), Malformed::Refuse));
    assert_eq!(
        spread(&[100, 100, 100, 100, 102]),
        [0, 250, 500, 750, 2_000]
    );
    assert_eq!(spread(&[7, 8, 8, 9]), [0, 1_000, 1_500, 2_000]);
    // Times that go backwards are raised to the latest.
    let mut trace = reader(&lines(&[5, 7, 6, 8]), Malformed::Refuse);
    let times: Vec<_> = trace
        .by_ref()
        .map(|r| r.expect("a record").at.as_millis())
        .collect();
    assert_eq!(times, [0, 2_000, 2_500, 3_000]);
    assert_eq!(trace.skipped().times_raised, 1);
    // Even before the first.
    assert_eq!(spread(&[5, 3, 6]), [0, 500, 1_000]);
}

#[test]
fn repeats_are_requests_of_their_own() {
    let text = "op_time,key,op,op_count,size\n10,a,GET,3,5\n10,b,SET,1,5\n11,a,DELETE,1,0\n";
    let found: Vec<_> = reader(text, Malformed::Refuse)
        .map(|record| record.expect("a record"))
        .map(|record| (record.at.as_millis(), record.key, record.operation))
        .collect();
    let (a, b) = (key_id(b"a"), key_id(b"b"));
    let wanted = [
        (0, a, Operation::Get),
        (250, a, Operation::Get),
        (500, a, Operation::Get),
        (750, b, Operation::Put),
        (1_000, a, Operation::Invalidate),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn times_with_decimals_are_taken_as_they_are() {
    let text = "17.250,k,1,1,0,get,0\n17.5,k,1,1,0,get,0\n17.5,k,1,1,0,get,0\n";
    let trace = reader(text, Malformed::Refuse);
    assert_eq!(trace.resolution(), TimeResolution::Finer);
    assert_eq!(times_ms(trace), [0, 250, 250]);
}

/// A second with more requests than are read ahead keeps its order and its end.
#[test]
fn a_second_too_full_is_spread_in_parts() {
    let raw = |second: u64| fields::Raw {
        time_ns: second * 1_000_000_000,
        key: 0,
        operation: Operation::Get,
        value_size: 0,
        ttl: None,
        client: 0,
        times: 1,
    };
    let mut spread = Spread::new(TimeResolution::Seconds).with_lookahead(4);
    let mut times = vec![];
    let lines = std::iter::repeat_n(raw(3), 10).chain([raw(4), raw(4), raw(9)]);
    for line in lines {
        spread.add(line);
        times.extend(std::iter::from_fn(|| spread.give()));
    }
    spread.end();
    times.extend(std::iter::from_fn(|| spread.give()));
    let times: Vec<_> = times.iter().map(|record| record.at.as_micros()).collect();
    let second = [
        3_000_000, 3_125_000, 3_250_000, 3_375_000, // four in the first half
        3_500_000, 3_562_500, 3_625_000, 3_687_500, // four in half of the rest
        3_750_000, 3_875_000, // and the others
    ];
    assert_eq!(times[..10], second);
    assert_eq!(times[10..], [4_000_000, 4_500_000, 9_000_000]);
}

const WITH_FAULT: &str = "0,a,1,1,0,get,0\n0,b,1,1,0,get,0\nnonsense\n1,c,1,1,0,get,0\n";

#[test]
fn the_first_line_that_cannot_be_read_is_an_error_behind_what_was_read() {
    let mut trace = reader(WITH_FAULT, Malformed::Refuse);
    assert!(trace.next().is_some_and(|record| record.is_ok()));
    assert!(trace.next().is_some_and(|record| record.is_ok()));
    let error = trace.next().expect("an error").expect_err("an error");
    insta::assert_snapshot!(error, @r#"test.csv, line 3: line: "nonsense" is not the seven columns timestamp,key,key size,value size,client,operation,TTL; correct it, give the right --format (this is read as twitter), or leave such lines out, counted, with --skip-malformed"#);
    assert!(trace.next().is_none(), "nothing follows an error");
}

#[test]
fn lines_that_cannot_be_read_can_be_counted_instead() {
    let mut trace = reader(WITH_FAULT, Malformed::Skip);
    assert_eq!(trace.by_ref().flatten().count(), 3);
    let skipped = trace.skipped();
    assert_eq!((skipped.malformed, skipped.total()), (1, 1));
    let first = skipped.first_malformed.as_deref().expect("what was wrong");
    assert!(first.starts_with("line 3, "), "{first}");
}

#[test]
fn a_binary_record_that_is_cut_off_is_an_error() {
    let bytes = vec![0xff; 40];
    let format = Some(TraceFormat::OracleGeneral);
    let trace = TraceReader::new("t.bin", Cursor::new(bytes), format, Malformed::Refuse);
    let mut trace = trace.expect("a trace");
    assert!(trace.next().is_some_and(|record| record.is_ok()));
    let error = trace.next().expect("an error").expect_err("an error");
    insta::assert_snapshot!(error, @r#"t.bin, record 2: record: "16 bytes" is not a whole record of 24 bytes; correct it, give the right --format (this is read as oracle-general), or leave such lines out, counted, with --skip-malformed"#);
}

#[test]
fn commands_that_touch_no_key_are_counted_by_name() {
    let text = "OK\n1.5 [0 a:1] \"ping\"\n1.6 [0 a:1] \"mget\" \"x\" \"y\"\n\
                1.7 [0 a:1] \"PING\"\n1.8 [2 a:1] \"get\" \"x\"\n";
    let mut trace = reader(text, Malformed::Refuse);
    assert_eq!(trace.format(), TraceFormat::RedisMonitor);
    let keys: Vec<u64> = trace
        .by_ref()
        .map(|record| record.expect("a record").key)
        .collect();
    assert_eq!(keys, [key_id(b"x"), key_id(b"y"), key_id(b"db2:x")]);
    assert_eq!(trace.skipped().other, [("PING".to_owned(), 2)].into());
    assert_eq!(trace.place(), Place::Line(5));
}

#[test]
fn formats_are_told_by_their_content() {
    let monitor = "1.5 [0 127.0.0.1:6] \"get\" \"x\"\n";
    let log = "- garbage -\nh - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\" 200 1\n";
    for (text, format) in [
        ("0,k,1,1,0,get,0", TraceFormat::Twitter),
        ("key,op,size,op_count\nk,GET,1,1\n", TraceFormat::Cachelib),
        (log, TraceFormat::AccessLog),
        (monitor, TraceFormat::RedisMonitor),
    ] {
        let found = detect::format("trace", text.as_bytes());
        assert_eq!(found, Some(format), "{text}");
        assert_eq!(format.name().parse(), Ok(format));
    }
    assert_eq!(detect::format("trace", b"hello\nworld\n"), None);
    let error = "csv".parse::<TraceFormat>().expect_err("no format");
    insta::assert_snapshot!(error, @r#""csv" is no format of traces; there are twitter, cachelib, oracle-general, access-log, redis-monitor"#);
}

#[test]
fn a_trace_is_decompressed_by_its_content() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["t.csv", "t.csv.gz", "t.csv.zst"] {
        let path = folder.path().join(name);
        let mut file = OutputFile::create(&path).expect("a file");
        file.write_all(b"0,a,1,1,0,get,0\n4,b,1,1,0,get,0\n")
            .expect("room");
        assert!(!path.exists(), "it appears when it is complete");
        file.finish().expect("a file");
        let stored = std::fs::read(&path).expect("a file");
        assert_eq!(stored.starts_with(b"0,a"), name == "t.csv");
        assert_eq!(times_ms(open(&path, None).expect("a trace")), [0, 4_000]);
        // By its content, not by its name.
        let renamed = folder.path().join("renamed");
        std::fs::copy(&path, &renamed).expect("a copy");
        assert_eq!(times_ms(open(&renamed, None).expect("a trace")), [0, 4_000]);
    }
}

#[test]
fn what_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let told = |path: &Path| {
        let error = open(path, None).expect_err("an error").to_string();
        error.replace(&folder.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!(told(&path("absent")), @"the trace DIR/absent cannot be opened: No such file or directory (os error 2); check its path and its permissions");
    std::fs::write(path("empty.csv"), "").expect("a file");
    insta::assert_snapshot!(told(&path("empty.csv")), @"the trace DIR/empty.csv is empty: there is nothing to read");
    std::fs::write(path("plain.gz"), "0,a,1,1,0,get,0\n").expect("a file");
    insta::assert_snapshot!(told(&path("plain.gz")), @"DIR/plain.gz is named .gz, but its content is not compressed so; rename it, or fetch it again");
    std::fs::write(path("prose.txt"), "It was a dark night.\n").expect("a file");
    insta::assert_snapshot!(told(&path("prose.txt")), @"the format of DIR/prose.txt cannot be told from its name or its beginning; give it with --format: twitter, cachelib, oracle-general, access-log, redis-monitor");
    let error = OutputFile::create(&path("no/such/folder")).expect_err("an error");
    assert!(error.to_string().contains("cannot be written"), "{error}");
    let error = OutputFile::create(folder.path()).expect_err("an error");
    assert!(error.to_string().contains("plain file"), "{error}");
}

#[test]
fn a_file_that_breaks_off_is_an_error_that_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = folder.path().join("whole.gz");
    let mut file = OutputFile::create(&whole).expect("a file");
    for line in 0..200_000 {
        writeln!(file, "{line},key-{},1,1,0,get,0", line * 7_919).expect("room");
    }
    file.finish().expect("a file");
    let bytes = std::fs::read(&whole).expect("a file");
    let cut = folder.path().join("cut.gz");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).expect("a file");
    let found: Vec<_> = open(&cut, None).expect("a trace").collect();
    let last = found.last().expect("an error");
    let error = last.as_ref().expect_err("an error").to_string();
    assert!(
        found.len() > 1_000 && error.contains("after line "),
        "{error}"
    );
    assert!(found[..found.len() - 1].iter().all(Result::is_ok));
}

/// Beside the project, or, in a work tree of it, beside the folder of work trees.
fn real_trace(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = root
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("shared/traces").join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: no {name} at ../shared/traces, so it was not read");
    }
    found
}

fn statistics(path: &Path) -> stats::TraceStatistics {
    let mut trace = open(path, None).expect("a trace");
    stats::TraceStatistics::of(&mut trace).expect("statistics")
}

#[test]
fn a_real_trace_in_twitters_form_is_read() {
    let Some(path) = real_trace("cache2k_web12.csv.gz") else {
        return;
    };
    let found = statistics(&path);
    assert_eq!(
        (found.format, found.requests),
        (TraceFormat::Twitter, 95_607)
    );
    assert_eq!((found.keys.distinct, found.skipped.total()), (13_756, 0));
    // A thousand a second.
    let rate = found.rate.expect("rates");
    assert_eq!(rate.peak_second_requests, 1_000);
    assert!(
        (rate.mean_per_s - 1_000.0).abs() < 10.0,
        "{}",
        rate.mean_per_s
    );
    let Some(path) = real_trace("nasa_19950801.csv.gz") else {
        return;
    };
    let found = statistics(&path);
    assert_eq!((found.requests, found.keys.distinct), (30_969, 2_088));
}

#[test]
fn a_real_trace_of_cachelib_is_read() {
    let Some(path) = real_trace("cachelib_kv_traces_1.csv") else {
        return;
    };
    let text = std::fs::read_to_string(&path).expect("text");
    let counts = text.lines().skip(1).map(|line| {
        let count = line.split(',').nth(4).expect("op_count");
        count.parse::<u64>().expect("a number")
    });
    let found = statistics(&path);
    assert_eq!(found.format, TraceFormat::Cachelib);
    assert_eq!(found.requests, counts.sum::<u64>());
    let keys: std::collections::BTreeSet<_> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(1))
        .collect();
    assert_eq!(found.keys.distinct, keys.len() as u64);
    assert!(found.ttl_s.is_some_and(|ttl| ttl.count >= 9));
}
