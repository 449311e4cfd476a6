//! What was written is read again as it was.

use std::io::Cursor;

use proptest::prelude::*;

use super::super::{Malformed, TraceFormat, open};
use super::*;

fn read(text: Vec<u8>, format: TraceFormat) -> TraceReader {
    let text = Cursor::new(text);
    TraceReader::new("test", text, Some(format), Malformed::Refuse).expect("a trace")
}

fn records(trace: TraceReader) -> Vec<TraceRecord> {
    trace.map(|record| record.expect("a record")).collect()
}

fn csv(trace: &mut TraceReader, selection: &Selection) -> (Vec<u8>, Converted) {
    let mut out = vec![];
    let place: (&Path, &mut dyn Write) = (Path::new("out"), &mut out);
    let converted = to_csv(trace, selection, place, &|| false).expect("memory can be written");
    (out, converted)
}

const SECOND_NS: u64 = 1_000_000_000;

/// Records in the order of their times, the first at zero.
fn any_records() -> impl Strategy<Value = Vec<TraceRecord>> {
    let operation = prop_oneof![
        Just(Operation::Get),
        Just(Operation::Put),
        Just(Operation::Invalidate)
    ];
    let ttl = proptest::option::of((1_u64..1_000_000_000_000_000).prop_map(Duration::from_nanos));
    let key = prop_oneof![any::<u64>(), 0_u64..6];
    let record = (
        0..3 * SECOND_NS,
        key,
        operation,
        any::<u32>(),
        ttl,
        any::<u64>(),
    );
    proptest::collection::vec(record, 1..60).prop_map(|given| {
        let mut at = Duration::ZERO;
        let records = given.into_iter().enumerate();
        let record = |(index, (gap_ns, key, operation, value_size, ttl, client))| {
            if index > 0 {
                at += Duration::from_nanos(gap_ns);
            }
            TraceRecord {
                at,
                key,
                operation,
                value_size,
                ttl,
                client,
            }
        };
        records.map(record).collect()
    })
}

fn lines(records: &[TraceRecord], resolution: TimeResolution) -> Vec<u8> {
    let mut text = String::new();
    for record in records {
        csv_line(&mut text, record, CsvKey::default(), resolution);
    }
    text.into_bytes()
}

proptest! {
    #[test]
    fn csv_with_decimals_keeps_everything(given in any_records()) {
        let text = lines(&given, TimeResolution::Finer);
        let trace = read(text, TraceFormat::Twitter);
        prop_assert_eq!(trace.resolution(), TimeResolution::Finer);
        prop_assert_eq!(records(trace), given);
    }

    #[test]
    fn csv_in_whole_seconds_is_read_again_as_it_was_read(given in any_records()) {
        let mut once = read(lines(&given, TimeResolution::Seconds), TraceFormat::Twitter);
        let (again, told) = csv(&mut once, &Selection::default());
        prop_assert_eq!(told.written, given.len() as u64);
        let once = records(read(lines(&given, TimeResolution::Seconds), TraceFormat::Twitter));
        prop_assert_eq!(records(read(again, TraceFormat::Twitter)), once);
    }

    #[test]
    fn a_sample_takes_all_requests_of_a_key_or_none(given in any_records(), share in 0.0..=1.0) {
        let sample = Some(Ratio(share));
        let selection = Selection { sample, limit: None };
        let mut trace = read(lines(&given, TimeResolution::Finer), TraceFormat::Twitter);
        let (text, told) = csv(&mut trace, &selection);
        let taken = records(read(text, TraceFormat::Twitter));
        prop_assert_eq!(told.written + told.not_sampled, given.len() as u64);
        for record in &given {
            let of = |records: &[TraceRecord]| records.iter().filter(|r| r.key == record.key).count();
            prop_assert!([0, of(&given)].contains(&of(&taken)));
        }
    }

    #[test]
    fn the_next_request_is_the_next_of_the_object(objects in proptest::collection::vec(0_u64..9, 1..200)) {
        let record = |object: &u64| Record { time_s: 0, object: *object, size: 1, next: NEVER_AGAIN };
        let bytes: Vec<u8> = objects.iter().flat_map(|object| record(object).to_bytes()).collect();
        let mut file = Cursor::new(bytes);
        let found = find_next(&mut file, objects.len() as u64, &|| false);
        let distinct = objects.iter().collect::<std::collections::BTreeSet<_>>().len() as u64;
        prop_assert_eq!(found.expect("memory"), Some(distinct));
        for (index, bytes) in file.into_inner().chunks_exact(RECORD_BYTES).enumerate() {
            let later = objects.iter().skip(index + 1).position(|object| *object == objects[index]);
            // Requests are counted from 1, and `later` from the one behind this.
            let wanted = later.map_or(NEVER_AGAIN, |later| (index as u64 + later as u64 + 2).cast_signed());
            prop_assert_eq!(Record::from_bytes(bytes.try_into().expect("24")).next, wanted);
        }
    }
}

#[test]
fn blocks_meet_where_they_should() {
    let count = BLOCK_RECORDS * 2 + 5;
    let record = |number: u64| Record {
        time_s: 0,
        object: number % 3,
        size: 1,
        next: NEVER_AGAIN,
    };
    let bytes: Vec<u8> = (0..count)
        .flat_map(|number| record(number).to_bytes())
        .collect();
    let mut file = Cursor::new(bytes);
    assert_eq!(
        find_next(&mut file, count, &|| false).expect("memory"),
        Some(3)
    );
    for (number, bytes) in (1_i64..).zip(file.get_ref().chunks_exact(RECORD_BYTES)) {
        let next = Record::from_bytes(bytes.try_into().expect("24")).next;
        let last = number + 3 > count.cast_signed();
        assert_eq!(
            next,
            if last { NEVER_AGAIN } else { number + 3 },
            "{number}"
        );
    }
    assert_eq!(find_next(&mut file, count, &|| true).expect("memory"), None);
}

const SMALL: &str = "0,a,1,7,1,get,0\n0,b,1,0,2,set,60\n3,a,1,7,1,delete,0\n5,b,1,9,1,get,0\n";

#[test]
fn oracle_general_says_what_it_has_no_place_for() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["t.oracleGeneral", "t.oracleGeneral.zst", "t.bin.gz"] {
        let path = folder.path().join(name);
        let mut trace = read(SMALL.into(), TraceFormat::Twitter);
        let told = to_oracle_general(&mut trace, &Selection::default(), &path, &|| false);
        let wanted = Converted {
            read: 4,
            written: 3,
            puts_as_gets: 1,
            invalidations_left_out: 1,
            ttls_left_out: 1,
            sizes_made_one: 1,
            objects: 2,
            not_sampled: 0,
        };
        assert_eq!(told.expect("written"), wanted);
        let again = open(&path, None).expect("its format is told by its content");
        assert_eq!(again.format(), TraceFormat::OracleGeneral, "{name}");
        let found: Vec<_> = records(again)
            .iter()
            .map(|record| (record.at.as_secs(), record.key, record.value_size))
            .collect();
        let key = super::super::key_id;
        assert_eq!(
            found,
            [(0, key(b"a"), 7), (0, key(b"b"), 1), (5, key(b"b"), 9)]
        );
    }
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn what_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.oracleGeneral");
    let mut trace = read(SMALL.into(), TraceFormat::Twitter);
    let stopped = to_oracle_general(&mut trace, &Selection::default(), &path, &|| true);
    assert!(
        matches!(stopped, Err(TraceError::Interrupted { .. })),
        "{stopped:?}"
    );
    let mut left = std::fs::read_dir(folder.path()).expect("a folder");
    assert!(left.next().is_none());
}

#[test]
fn a_limit_ends_the_writing() {
    let mut trace = read(SMALL.into(), TraceFormat::Twitter);
    let selection = Selection {
        limit: Some(2),
        sample: None,
    };
    let (text, told) = csv(&mut trace, &selection);
    assert_eq!((told.read, told.written), (2, 2));
    insta::assert_snapshot!(String::from_utf8(text).expect("text"), @"
    0,#02c0bdbf481420f8,0,7,1,get,0
    0,#3e35b21bfb9b6405,0,0,2,set,60
    ");
}

#[test]
fn plain_keys_are_read_again_as_themselves() {
    for key in ["user:7", "a,b", "kunde:münchen", "\"q\""] {
        assert_eq!(CsvKey::plain(key.as_bytes()), Some(key));
        let record = TraceRecord {
            at: Duration::ZERO,
            key: super::super::key_id(key.as_bytes()),
            operation: Operation::Put,
            value_size: 1,
            ttl: None,
            client: 0,
        };
        let (mut line, text) = (String::new(), Some(key));
        csv_line(
            &mut line,
            &record,
            CsvKey { text, bytes: 3 },
            TimeResolution::Seconds,
        );
        assert_eq!(
            records(read(line.into(), TraceFormat::Twitter)),
            [record],
            "{key}"
        );
    }
    for key in [&b""[..], b"#00ff", b"a\nb", b"\xff", b" a", b"a\r"] {
        assert_eq!(CsvKey::plain(key), None, "{key:?}");
    }
}
