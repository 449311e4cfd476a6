//! Writes response times as an HdrHistogram interval log, for the standard tools
//! (`HistogramLogProcessor`, plotters).
//!
//! One interval for each phase: first without a tag, of all requests, then one per data type with
//! the data type as its tag. Values are nanoseconds, the column of maxima is in milliseconds;
//! failed requests are left out. The format is that of the HdrHistogram project, version 1.3 of
//! the log with V2 histograms, deflated and in base64.

use std::io::{self, Write};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriter, IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};

use super::histogram::Histogram;
use super::measurements::Measurements;
use super::query::{Phases, Query};
use super::{PhaseId, Schedule};

/// Writes the response times of `measurements` to `out`.
///
/// # Errors
/// What writing to `out` gives.
pub fn write_response_time_hlog(
    measurements: &Measurements,
    mut out: impl Write,
) -> io::Result<()> {
    let schedule = measurements.schedule();
    let mut serializer = V2DeflateSerializer::new();
    let start = schedule.start().to_system_time();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("Response times in nanoseconds, by phase; tags are data types.")
        .add_comment("Maxima are in milliseconds. Failed requests are left out.")
        .with_base_time(start)
        .with_start_time(start)
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut out, &mut serializer)?;
    log.write_comment(
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"",
    )?;
    for (id, phase) in schedule.iter() {
        log.write_comment(&format!("phase {}", phase.name))?;
        let all = Query {
            phases: Phases::Only(id),
            ..Query::default()
        };
        write_interval(&mut log, measurements, id, &all, None)?;
        for (data_type, policy) in measurements.policies().iter() {
            let query = Query {
                data_type: Some(data_type),
                ..all
            };
            let tag = as_tag(&policy.name);
            write_interval(&mut log, measurements, id, &query, Some(&tag))?;
        }
    }
    out.flush()
}

/// One line of the log; none if nothing was measured.
fn write_interval<W: Write>(
    log: &mut IntervalLogWriter<'_, '_, W, V2DeflateSerializer>,
    measurements: &Measurements,
    phase: PhaseId,
    query: &Query,
    tag: Option<&str>,
) -> io::Result<()> {
    let histogram: Histogram = measurements.response_time(query);
    if histogram.is_empty() {
        return Ok(());
    }
    let schedule: &Schedule = measurements.schedule();
    let begin = schedule.get(phase).start.since(schedule.start());
    let length = measurements.duration(query.phases);
    log.write_histogram(histogram.inner(), begin, length, tag.and_then(Tag::new))
        .map_err(|error| match error {
            IntervalLogWriterError::IoError(error) => error,
            IntervalLogWriterError::SerializeError(error) => io::Error::other(error.to_string()),
        })
}

/// A data type's name as a tag, which may hold neither spaces nor commas.
fn as_tag(name: &str) -> String {
    name.replace([' ', ',', '\r', '\n'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::recorder::tests::{TYPES, measured, sample};
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn the_log_is_read_again_by_the_reader_of_the_format() {
        use base64::Engine as _;
        let measurements = measured((0..300).map(|n| sample(n, (n % 3) as u8)));
        let mut log = Vec::new();
        write_response_time_hlog(&measurements, &mut log).expect("a vector takes everything");

        let mut read = Vec::new();
        for entry in IntervalLogIterator::new(&log) {
            let LogEntry::Interval(interval) = entry.expect("a line of the format") else {
                continue;
            };
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(interval.encoded_histogram())
                .expect("base64");
            let histogram: hdrhistogram::Histogram<u64> = Deserializer::new()
                .deserialize(&mut bytes.as_slice())
                .expect("a histogram");
            let begin = interval.start_timestamp().as_secs();
            let phase = measurements
                .schedule()
                .phase_at(measurements.schedule().start() + interval.start_timestamp())
                .expect("in a phase");
            let tag = interval.tag().map(|tag| tag.as_str().to_owned());
            let query = Query {
                phases: Phases::Only(phase),
                data_type: tag.as_deref().map(|tag| {
                    let id = measurements.policies().id_of(tag);
                    id.expect("the tag is a data type")
                }),
                ..Query::default()
            };
            let wanted = measurements.response_time(&query);
            assert_eq!(histogram.len(), wanted.count(), "{tag:?} at {begin} s");
            for q in [0.0, 0.5, 0.99, 1.0] {
                let nanos = wanted.quantile(q).as_nanos();
                assert_eq!(u128::from(histogram.value_at_quantile(q)), nanos);
            }
            read.push((begin, tag));
        }
        let untagged = read.iter().filter(|(_, tag)| tag.is_none()).count();
        assert_eq!(untagged, measurements.schedule().iter().count());
        assert_eq!(read.len(), untagged * (1 + usize::from(TYPES)));
    }

    #[test]
    fn a_phase_without_requests_has_no_line() {
        let mut log = Vec::new();
        write_response_time_hlog(&measured([]), &mut log).expect("a vector takes everything");
        let intervals = IntervalLogIterator::new(&log)
            .filter(|entry| matches!(entry, Ok(LogEntry::Interval(_))))
            .count();
        assert_eq!(intervals, 0);
    }

    #[test]
    fn a_name_becomes_a_tag() {
        assert_eq!(as_tag("user session, old"), "user_session__old");
    }
}
