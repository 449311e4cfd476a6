//! A trace, record by record: reads lines or binary records, keeps count of what gave no request, makes
//! times relative and hands them to be spread.
//!
//! Keeps one line, and what `spread.rs` reads ahead. Pure over what it reads from.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, BufRead, Cursor, Read};

use super::cachelib::Columns;
use super::error::{Fault, Place, TraceError};
use super::fields::{NoRequest, Raw};
use super::lines::{Line, Lines};
use super::oracle_general::{self, RECORD_BYTES, Record};
use super::redis_monitor::MonitorParser;
use super::spread::Spread;
use super::{Malformed, TimeResolution, TraceFormat, TraceRecord};
use super::{access_log, detect, redis_monitor, twitter};

/// How much of its beginning is looked at to tell a trace's format.
const BEGINNING_BYTES: u64 = 64 << 10;
/// How many different reasons are counted by name.
const REASONS_MAX: usize = 200;

type Input = Box<dyn BufRead + Send>;

/// The records of a trace, in their order. Ends after its first error.
pub struct TraceReader {
    name: String,
    format: TraceFormat,
    malformed: Malformed,
    source: Source,
    /// Requests of the last line that are still to be spread.
    raws: VecDeque<Raw>,
    spread: Spread,
    zero_ns: Option<u64>,
    latest_ns: u64,
    skipped: Skipped,
    ended: bool,
    failed: Option<TraceError>,
}

/// What of a trace gave no request, or was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Skipped {
    /// Lines that could not be read and were left out.
    pub malformed: u64,
    /// What was wrong with the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_malformed: Option<String>,
    /// What could be read and is no request on a key, by reason: commands and methods.
    pub other: BTreeMap<String, u64>,
    /// Records whose time lay before that of the record ahead of them; they took its time.
    pub times_raised: u64,
}

impl Skipped {
    /// How many lines gave no request.
    pub fn total(&self) -> u64 {
        self.malformed + self.other.values().sum::<u64>()
    }

    fn count(&mut self, reason: String) {
        let room = self.other.len() < REASONS_MAX || self.other.contains_key(&reason);
        let reason = if room { reason } else { "others".to_owned() };
        *self.other.entry(reason).or_default() += 1;
    }
}

enum Source {
    Lines(Lines<Input>, Parser),
    Records { input: Input, number: u64 },
}

enum Parser {
    Twitter,
    Cachelib(Columns),
    AccessLog,
    RedisMonitor(MonitorParser),
}

impl fmt::Debug for TraceReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceReader")
            .field("name", &self.name)
            .field("format", &self.format)
            .field("skipped", &self.skipped)
            .finish_non_exhaustive()
    }
}

impl TraceReader {
    /// Reads what `input` gives, uncompressed; `name` is for messages and for telling the format.
    ///
    /// # Errors
    /// If nothing can be read, or if the format is neither given nor to be told.
    pub fn new(
        name: &str,
        mut input: impl BufRead + Send + 'static,
        format: Option<TraceFormat>,
        malformed: Malformed,
    ) -> Result<Self, TraceError> {
        let mut beginning = Vec::new();
        let looked = (&mut input)
            .take(BEGINNING_BYTES)
            .read_to_end(&mut beginning);
        looked.map_err(|source| TraceError::Read {
            trace: name.to_owned(),
            place: Place::Line(0),
            source,
        })?;
        let trace = || name.to_owned();
        let format = match format {
            Some(format) => format,
            None if beginning.is_empty() => return Err(TraceError::Empty { trace: trace() }),
            None => detect::format(name, &beginning)
                .ok_or_else(|| TraceError::UnknownFormat { trace: trace() })?,
        };
        let (parser, resolution) = parser_of(format, &beginning);
        let input: Input = Box::new(Cursor::new(beginning).chain(input));
        Ok(Self {
            name: trace(),
            format,
            malformed,
            source: match parser {
                Some(parser) => Source::Lines(Lines::new(input), parser),
                None => Source::Records { input, number: 0 },
            },
            raws: VecDeque::new(),
            spread: Spread::new(resolution),
            zero_ns: None,
            latest_ns: 0,
            skipped: Skipped::default(),
            ended: false,
            failed: None,
        })
    }

    /// The trace's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As what it is read.
    pub fn format(&self) -> TraceFormat {
        self.format
    }

    /// How exact its times are.
    pub fn resolution(&self) -> TimeResolution {
        self.spread.resolution()
    }

    /// What gave no request so far. Ahead of the records, which are read ahead.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// How far it was read.
    pub fn place(&self) -> Place {
        match &self.source {
            Source::Lines(lines, _) => Place::Line(lines.number()),
            Source::Records { number, .. } => Place::Record(*number),
        }
    }

    /// Reads one line or record.
    fn read_on(&mut self) {
        let before = self.raws.len();
        let found = match &mut self.source {
            Source::Lines(lines, parser) => read_line(lines, parser, &mut self.raws),
            Source::Records { input, number } => read_record(input, number, &mut self.raws),
        };
        match found {
            Ok(More::Yes | More::Without(NoRequest::Silent)) => {}
            Ok(More::No) => self.ended = true,
            Ok(More::Without(NoRequest::Skipped(reason))) => self.skipped.count(reason),
            Ok(More::Without(NoRequest::Malformed(fault))) => self.meet(&fault),
            Err(source) => self.fail(TraceError::Read {
                trace: self.name.clone(),
                place: self.place(),
                source,
            }),
        }
        for raw in self.raws.iter_mut().skip(before) {
            let zero_ns = *self.zero_ns.get_or_insert(raw.time_ns);
            let since_ns = raw.time_ns.saturating_sub(zero_ns);
            if raw.time_ns < zero_ns || since_ns < self.latest_ns {
                self.skipped.times_raised += u64::from(raw.times);
            }
            self.latest_ns = self.latest_ns.max(since_ns);
            raw.time_ns = self.latest_ns;
        }
    }

    fn meet(&mut self, fault: &Fault) {
        let error = TraceError::Malformed {
            trace: self.name.clone(),
            place: self.place(),
            fault: fault.to_string(),
            format: self.format,
        };
        match self.malformed {
            Malformed::Refuse => self.fail(error),
            Malformed::Skip => {
                self.skipped.malformed += 1;
                let told = || format!("{}, {fault}", self.place());
                if self.skipped.first_malformed.is_none() {
                    self.skipped.first_malformed = Some(told());
                }
            }
        }
    }

    fn fail(&mut self, error: TraceError) {
        self.failed = Some(error);
        self.ended = true;
    }
}

impl Iterator for TraceReader {
    type Item = Result<TraceRecord, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.spread.give() {
                return Some(Ok(record));
            }
            if let Some(raw) = self.raws.pop_front() {
                self.spread.add(raw);
            } else if !self.ended {
                self.read_on();
            } else if !self.spread.end() {
                return self.failed.take().map(Err);
            }
        }
    }
}

/// What reading on came to.
enum More {
    /// A line, with requests.
    Yes,
    /// A line, without.
    Without(NoRequest),
    /// The end.
    No,
}

/// Reads the format's lines; `None` for binary records.
fn parser_of(format: TraceFormat, beginning: &[u8]) -> (Option<Parser>, TimeResolution) {
    let mut lines = detect::lines(beginning);
    match format {
        TraceFormat::Twitter => {
            let first = lines.find(|line| twitter::looks_like(line));
            let resolution = twitter::resolution(first.unwrap_or_default());
            (Some(Parser::Twitter), resolution)
        }
        TraceFormat::Cachelib => {
            let columns = Columns::of(lines.next().unwrap_or_default());
            (Some(Parser::Cachelib(columns)), columns.resolution())
        }
        TraceFormat::AccessLog => (Some(Parser::AccessLog), TimeResolution::Seconds),
        TraceFormat::RedisMonitor => {
            let parser = Parser::RedisMonitor(MonitorParser::default());
            (Some(parser), TimeResolution::Finer)
        }
        TraceFormat::OracleGeneral => (None, TimeResolution::Seconds),
    }
}

fn read_line(
    lines: &mut Lines<Input>,
    parser: &mut Parser,
    raws: &mut VecDeque<Raw>,
) -> io::Result<More> {
    let number = lines.number() + 1;
    let line = match lines.next()? {
        None => return Ok(More::No),
        Some(Line::Whole(line)) => line,
        Some(Line::TooLong) => {
            let fault = Fault::new("line", b"longer", "a line of at most 64 MiB");
            return Ok(More::Without(fault.into()));
        }
    };
    let found = match parser {
        Parser::Twitter => twitter::parse(line).map(|raw| raws.push_back(raw)),
        Parser::Cachelib(columns) => columns.parse(line, number).map(|raw| raws.push_back(raw)),
        Parser::AccessLog => access_log::parse(line).map(|raw| raws.push_back(raw)),
        Parser::RedisMonitor(parser) => redis_monitor::parse(parser, line, raws),
    };
    Ok(found.map_or_else(More::Without, |()| More::Yes))
}

fn read_record(input: &mut Input, number: &mut u64, raws: &mut VecDeque<Raw>) -> io::Result<More> {
    let mut bytes = [0; RECORD_BYTES];
    let mut filled = 0;
    while filled < RECORD_BYTES {
        match input.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if filled == 0 {
        return Ok(More::No);
    }
    *number += 1;
    if filled < RECORD_BYTES {
        let fault = oracle_general::cut_off(&bytes[..filled]);
        return Ok(More::Without(fault.into()));
    }
    raws.push_back(Record::from_bytes(&bytes).to_raw());
    Ok(More::Yes)
}
