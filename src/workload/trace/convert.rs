//! Writes traces: as CSV in the form of the Twitter traces, which keeps everything a record has, or as
//! libCacheSim's oracleGeneral.
//!
//! CSV is written as it is read. For oracleGeneral each record must name the object's next request, so
//! records are first written to a file beside the result (24 bytes each) and then gone through from the
//! last to the first, with the place of each object's next request in memory: about 40 bytes for each
//! different object, whatever the number of records.
//!
//! Called by `cachestorm trace convert`; the CSV also by the capture.

use std::fmt;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::file::{OutputFile, failed, unnamed};
use super::key::{KeyId, is_plain};
use super::oracle_general::{NEVER_AGAIN, RECORD_BYTES, Record};
use super::{TimeResolution, TraceError, TraceReader, TraceRecord};
use crate::engine::layer::Operation;
use crate::seed::mix;
use crate::units::Ratio;

/// How many records are read between two looks at whether to stop.
const STOP_EVERY: u64 = 4_096;
/// How many records are gone through at once from the end of the file.
const BLOCK_RECORDS: u64 = 65_536;
/// What tells the choice of sampled keys from all other uses of their numbers.
const SAMPLE_SALT: u64 = 0x7261_6365_7361_6d70;

/// What is to be written of a trace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection {
    /// At most so many records.
    pub limit: Option<u64>,
    /// All requests of this share of the keys.
    pub sample: Option<Ratio>,
}

impl Selection {
    fn takes(&self, record: &TraceRecord) -> bool {
        // A share of all numbers: as floating point it is exact enough, and 1 takes all.
        self.sample.is_none_or(|share| {
            (mix(record.key ^ SAMPLE_SALT) as f64) < share.0 * u64::MAX as f64 || share.0 >= 1.0
        })
    }

    fn is_full(&self, written: u64) -> bool {
        self.limit.is_some_and(|limit| written >= limit)
    }
}

/// What was written, and what the new form has no place for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Converted {
    /// Records read.
    pub read: u64,
    /// Records written.
    pub written: u64,
    /// Records of keys that were not sampled.
    pub not_sampled: u64,
    /// Writes that became reads.
    pub puts_as_gets: u64,
    /// Invalidations that were left out.
    pub invalidations_left_out: u64,
    /// TTLs that were left out.
    pub ttls_left_out: u64,
    /// Sizes that were not known and became 1.
    pub sizes_made_one: u64,
    /// Objects of which the next request had to be found.
    pub objects: u64,
}

/// Writes what `selection` takes of `trace` to `out`, as CSV. `stop` is asked now and then.
///
/// # Errors
/// Those of the trace, and [`TraceError::Write`] for `path`.
pub fn to_csv(
    trace: &mut TraceReader,
    selection: &Selection,
    (path, out): (&Path, &mut dyn Write),
    stop: &dyn Fn() -> bool,
) -> Result<Converted, TraceError> {
    let resolution = trace.resolution();
    let mut line = String::new();
    select(trace, selection, (path, stop), &mut |record, _| {
        line.clear();
        csv_line(&mut line, record, CsvKey::default(), resolution);
        out.write_all(line.as_bytes()).map(|()| true)
    })
}

/// Writes what `selection` takes of `trace` to the file `path`, as oracleGeneral.
///
/// # Errors
/// Those of the trace, and [`TraceError::Write`] for `path`.
pub fn to_oracle_general(
    trace: &mut TraceReader,
    selection: &Selection,
    path: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<Converted, TraceError> {
    let failed = |source| failed(path, source);
    let mut out = OutputFile::create(path)?;
    let unfinished = unnamed(path).map_err(failed)?;
    let mut buffer = BufWriter::new(unfinished.as_file());
    let mut converted = select(trace, selection, (path, stop), &mut |record, told| {
        told.ttls_left_out += u64::from(record.ttl.is_some());
        match record.operation {
            Operation::Invalidate => {
                told.invalidations_left_out += 1;
                return Ok(false);
            }
            Operation::Put => told.puts_as_gets += 1,
            _ => {}
        }
        told.sizes_made_one += u64::from(record.value_size == 0);
        let bytes = oracle_record(record).to_bytes();
        buffer.write_all(&bytes).map(|()| true)
    })?;
    buffer.flush().map_err(failed)?;
    drop(buffer);
    let mut file = unfinished.as_file();
    let found = find_next(&mut file, converted.written, stop).map_err(failed)?;
    converted.objects = found.ok_or_else(|| interrupted(path))?;
    file.rewind().map_err(failed)?;
    io::copy(&mut file, &mut out).map_err(failed)?;
    out.finish()?;
    Ok(converted)
}

/// Takes a record, and says whether it was written.
type Sink<'s> = &'s mut dyn FnMut(&TraceRecord, &mut Converted) -> io::Result<bool>;

/// Hands over what `selection` takes.
fn select(
    trace: &mut TraceReader,
    selection: &Selection,
    (path, stop): (&Path, &dyn Fn() -> bool),
    sink: Sink<'_>,
) -> Result<Converted, TraceError> {
    let mut converted = Converted::default();
    while !selection.is_full(converted.written) {
        let Some(record) = trace.next() else { break };
        let record = record?;
        if converted.read.is_multiple_of(STOP_EVERY) && stop() {
            return Err(interrupted(path));
        }
        converted.read += 1;
        if selection.takes(&record) {
            let written = sink(&record, &mut converted);
            let written = written.map_err(|source| failed(path, source))?;
            converted.written += u64::from(written);
        } else {
            converted.not_sampled += 1;
        }
    }
    Ok(converted)
}

fn interrupted(path: &Path) -> TraceError {
    TraceError::Interrupted {
        path: path.display().to_string(),
    }
}

/// A record as oracleGeneral has it. Its own reader passes over records without a size.
fn oracle_record(record: &TraceRecord) -> Record {
    Record {
        time_s: u32::try_from(record.at.as_secs()).unwrap_or(u32::MAX),
        object: record.key,
        size: record.value_size.max(1),
        next: NEVER_AGAIN,
    }
}

/// Fills in the next requests of so many records, from the last to the first, and counts the objects.
/// `None` if it was stopped.
fn find_next(
    file: &mut (impl Read + Write + Seek),
    records: u64,
    stop: &dyn Fn() -> bool,
) -> io::Result<Option<u64>> {
    // Requests are counted from 1.
    let mut next: FxHashMap<u64, i64> = FxHashMap::default();
    let mut block = vec![];
    let mut end = records;
    while end > 0 {
        if stop() {
            return Ok(None);
        }
        let start = end.saturating_sub(BLOCK_RECORDS);
        block.resize((end - start) as usize * RECORD_BYTES, 0);
        file.seek(SeekFrom::Start(start * RECORD_BYTES as u64))?;
        file.read_exact(&mut block)?;
        let numbers = (start.cast_signed() + 1..=end.cast_signed()).rev();
        for (bytes, number) in block.chunks_exact_mut(RECORD_BYTES).rev().zip(numbers) {
            let mut whole = [0; RECORD_BYTES];
            whole.copy_from_slice(bytes);
            let mut record = Record::from_bytes(&whole);
            record.next = next.insert(record.object, number).unwrap_or(NEVER_AGAIN);
            bytes.copy_from_slice(&record.to_bytes());
        }
        file.seek(SeekFrom::Start(start * RECORD_BYTES as u64))?;
        file.write_all(&block)?;
        end = start;
    }
    Ok(Some(next.len() as u64))
}

/// How a key stands in a line.
#[derive(Clone, Copy, Debug, Default)]
pub struct CsvKey<'k> {
    /// Its text, from [`CsvKey::plain`]; without it the key's number is written.
    pub text: Option<&'k str>,
    /// Its size in bytes; 0 if it is not known.
    pub bytes: u32,
}

impl<'k> CsvKey<'k> {
    /// The text of a key that can stand in a line and is read again as the same key.
    pub fn plain(key: &'k [u8]) -> Option<&'k str> {
        std::str::from_utf8(key).ok().filter(|_| is_plain(key))
    }
}

/// Adds one line of CSV, with its end.
pub fn csv_line(
    line: &mut String,
    record: &TraceRecord,
    key: CsvKey<'_>,
    resolution: TimeResolution,
) {
    let at = match resolution {
        TimeResolution::Finer => Decimal(record.at).to_string(),
        TimeResolution::Seconds | TimeResolution::Absent => record.at.as_secs().to_string(),
    };
    let id = KeyId(record.key).to_string();
    let ttl = match record.ttl {
        None => "0".to_owned(),
        Some(ttl) if ttl.subsec_nanos() == 0 => ttl.as_secs().to_string(),
        Some(ttl) => Decimal(ttl).to_string(),
    };
    let (size, client) = (record.value_size.to_string(), record.client.to_string());
    let columns = [
        at.as_str(),
        key.text.unwrap_or(&id),
        &key.bytes.to_string(),
        &size,
        &client,
        word(record.operation),
        &ttl,
    ];
    line.push_str(&columns.join(","));
    line.push('\n');
}

fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::Put => "set",
        Operation::Invalidate => "delete",
        _ => "get",
    }
}

/// A time in seconds with six decimals, or nine if it is finer than that.
struct Decimal(Duration);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        if nanos.is_multiple_of(1_000) {
            write!(f, "{seconds}.{:06}", nanos / 1_000)
        } else {
            write!(f, "{seconds}.{nanos:09}")
        }
    }
}

#[cfg(test)]
mod tests;
