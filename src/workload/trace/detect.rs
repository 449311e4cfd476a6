//! Which format a trace has, by its name and its beginning. Pure.

use super::cachelib::Columns;
use super::{TraceFormat, access_log, oracle_general, redis_monitor, twitter};

/// How many lines are looked at: the first may be cut off or strange.
const LINES_LOOKED_AT: usize = 8;

/// The format of a trace of this name that begins so.
pub(super) fn format(name: &str, beginning: &[u8]) -> Option<TraceFormat> {
    let binary = oracle_general::looks_like(beginning);
    if binary && name.to_ascii_lowercase().contains("oraclegeneral") {
        return Some(TraceFormat::OracleGeneral);
    }
    let first = lines(beginning).next()?;
    if Columns::named_by(first).is_some() {
        return Some(TraceFormat::Cachelib);
    }
    let by_line = lines(beginning)
        .take(LINES_LOOKED_AT)
        .find_map(format_of_line);
    by_line.or(binary.then_some(TraceFormat::OracleGeneral))
}

fn format_of_line(line: &[u8]) -> Option<TraceFormat> {
    if redis_monitor::looks_like(line) {
        Some(TraceFormat::RedisMonitor)
    } else if access_log::looks_like(line) {
        Some(TraceFormat::AccessLog)
    } else if twitter::looks_like(line) {
        Some(TraceFormat::Twitter)
    } else {
        None
    }
}

/// The lines of a beginning that are not empty; the last may be cut off.
pub(super) fn lines(beginning: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = beginning.split(|byte| *byte == b'\n');
    lines
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
}
