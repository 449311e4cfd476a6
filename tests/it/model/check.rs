//! Judges a story: what every read was allowed to give, and what must be in the database in the end.
//!
//! A read may give a value that was current at some time not longer ago than its bound. The bound is
//! zero on the instance that wrote, from when its write returned; on the others the time of a notice,
//! or `local_ttl` with `invalidation: time`; a few heartbeats where notices were lost; and never more
//! than `ttl` and `serve_stale`, whatever broke. Pure.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use cachestorm::clock::Timestamp;
use cachestorm::engine::data_type::{Consistency, Invalidation, Key, Stampede, Strategy};
use cachestorm::engine::layer::Version;

use super::book::Commit;
use super::script::{Act, INSTANCES};
use super::world::{Did, Fault, How, LOCAL_TTL, Record, SERVE_STALE, Seen, Story, TTL, keys};

/// How long a notice takes, and whatever its hearer asks for first.
const NOTICE: Duration = Duration::from_millis(100);
/// How long it takes until the loss of a notice is made up for: found by a heartbeat, waited for, or
/// until a cut subscription stands again.
pub(super) const MADE_UP: Duration = Duration::from_millis(1_200);
/// How long after an outage a subscription may still be down.
const AFTERMATH: Duration = Duration::from_secs(3);
/// How long a load and its fill may take, beside what an entry's TTLs allow.
pub(super) const MARGIN: Duration = Duration::from_secs(1);

/// Something that must not be.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Violation(pub(super) String);

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a row once was, and from when on.
type Known = (Option<Bytes>, Timestamp);

/// From when on an instance must not give what is older than `version`.
struct Rule {
    version: Version,
    by: usize,
    from: Timestamp,
    why: String,
}

/// Everything that must not be, and is.
pub(super) fn violations(story: &Story) -> Vec<Violation> {
    let mut found = Vec::new();
    // Whoever waits for the ADR's lock, and for a value that is gone again, waits for hours.
    if story.hung > 0 && story.setup.stampede != Stampede::AdrLock {
        found.push(Violation(format!("{} steps never ended", story.hung)));
    }
    for key in keys() {
        let history = history(story, &key);
        let rules = rules(story, &key);
        for (record, seen) in reads(story, &key) {
            found.extend(judge(story, record, seen, (&history, &rules)));
        }
        found.extend(backwards(story, &key));
        found.extend(lost(story, &key));
    }
    found.extend(failures(story));
    found
}

fn reads<'s>(story: &'s Story, key: &'s Key) -> impl Iterator<Item = (&'s Record, &'s Seen)> {
    story
        .records
        .iter()
        .filter_map(move |record| match &record.did {
            Did::Read(of, Ok(seen)) if of == key => Some((record, seen)),
            _ => None,
        })
}

/// Everything that the row ever was, and from when on it could be known.
fn history(story: &Story, key: &Key) -> Vec<Known> {
    let mut history = vec![(None, Timestamp::EPOCH)];
    let commits = story.book.commits().into_iter();
    history.extend(
        commits
            .filter(|commit| commit.key == *key)
            .map(|commit| (Some(commit.value), commit.at)),
    );
    // Write-behind: accepted, and overtaken before it was committed.
    for record in &story.records {
        if let Did::Wrote(of, value, Ok(_)) = &record.did
            && of == key
        {
            history.push((Some(value.clone()), record.from));
        }
    }
    history
}

fn judge(
    story: &Story,
    record: &Record,
    seen: &Seen,
    (history, rules): (&[Known], &[Rule]),
) -> Option<Violation> {
    let told = |what: String| {
        let (from, to) = (at(story, record.from), at(story, record.to));
        let Seen { outcome, layer, .. } = seen;
        let (step, by) = (record.step, record.by);
        Some(Violation(format!(
            "step {step}, a read at instance {by} from {from} to {to}, {outcome:?} of {layer:?}: {what}"
        )))
    };
    let given = text(seen.value.as_ref());
    let was = history
        .iter()
        .any(|(value, from)| *value == seen.value && *from <= record.to);
    // A write whose step was killed is in the history only if it was committed.
    if !was && story.setup.strategy != Strategy::WriteBehind {
        return told(format!("{given}, which never was"));
    }
    let broken = rules.iter().find(|rule| {
        rule.by == record.by && rule.from < record.from && seen.version < rule.version
    })?;
    let since = at(story, broken.from);
    let kind = if seen.value.is_none() {
        "it does not exist"
    } else {
        "an old value"
    };
    told(format!(
        "{kind} ({given}); from {since} on it must not: {}",
        broken.why
    ))
}

/// What the steps promise of `key`.
fn rules(story: &Story, key: &Key) -> Vec<Rule> {
    let commits: Vec<Commit> = story.book.commits();
    let commits: Vec<&Commit> = commits.iter().filter(|commit| commit.key == *key).collect();
    let mut rules = Vec::new();
    for commit in &commits {
        let from = commit.at + TTL + SERVE_STALE + MARGIN;
        let why = || "every TTL has ended since the commit".to_owned();
        rules.extend(everywhere(commit.version, from, why));
    }
    let promised = story.setup.consistency == Consistency::Versioned
        && story.setup.strategy != Strategy::WriteBehind;
    if !promised {
        return rules;
    }
    for record in &story.records {
        match &record.did {
            Did::Wrote(of, _, Ok(version)) if of == key => {
                rules.extend(promise(story, record, *version, Kind::Write));
            }
            Did::Told(of, how, Ok(())) if of.contains(key) => {
                let before = commits.iter().filter(|commit| commit.at < record.from);
                let newest = before.map(|commit| commit.version).max();
                if let Some(version) = newest
                    && (*how == How::Generation || alone(story, record, key))
                {
                    let kind = if of.len() == 1 {
                        Kind::Purge
                    } else {
                        Kind::Broad
                    };
                    rules.extend(promise(story, record, version, kind));
                }
            }
            _ => {}
        }
    }
    rules
}

fn everywhere(
    version: Version,
    from: Timestamp,
    why: impl Fn() -> String,
) -> impl Iterator<Item = Rule> {
    (0..INSTANCES).map(move |by| Rule {
        version,
        by,
        from,
        why: why(),
    })
}

/// Whether nobody loaded or wrote `key` while it was removed, or right before.
fn alone(story: &Story, removal: &Record, key: &Key) -> bool {
    let begin = removal.from - NOTICE;
    let beside = |from: Timestamp, to: Timestamp| from <= removal.to && to >= begin;
    let loaded = story
        .book
        .loads()
        .iter()
        .any(|load| load.key == *key && beside(load.from, load.to));
    let wrote = story.records.iter().any(|record| {
        matches!(&record.did, Did::Wrote(of, ..) if of == key) && beside(record.from, record.to)
    });
    // A step that was killed left no record.
    let killed = faults(story, begin, removal.to + NOTICE, |act| act == Act::Restart);
    !loaded && !wrote && !killed
}

/// How the cache was told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Purge,
    /// A pattern, or all.
    Broad,
}

/// What a step promises that has told the cache of `version`.
fn promise(story: &Story, record: &Record, version: Version, kind: Kind) -> Vec<Rule> {
    let Record {
        from, to, by, step, ..
    } = record;
    let (near, soon) = (*from - AFTERMATH, *to + MADE_UP);
    let outage = away(story, near, soon);
    let forgot = faults(story, near, soon, |act| act == Act::Forget);
    let killed = story.faults.iter().any(|fault| {
        fault.by == *by && fault.act == Act::Restart && fault.at >= *from && fault.at <= soon
    });
    let disturbed = faults(story, near, soon, |act| {
        matches!(act, Act::LoseNotice | Act::Cut | Act::Restart)
    });
    if forgot || (outage && kind != Kind::Write) {
        return Vec::new();
    }
    let what = if kind == Kind::Write {
        "wrote"
    } else {
        "invalidated"
    };
    if let Some(heard) = record.heard {
        let why = || format!("step {step} {what}, and everybody has heard of it");
        return everywhere(version, heard, why).collect();
    }
    // With `invalidation: time` only many keys at once are told to the others.
    let untold = kind != Kind::Broad && story.setup.invalidation == Invalidation::Time;
    let mut rules = Vec::new();
    for other in 0..INSTANCES {
        let (after, why) = if other == *by {
            if outage && restarted_later(story, record) {
                continue;
            }
            (
                Duration::ZERO,
                format!("this instance {what} in step {step}"),
            )
        } else if outage || killed {
            continue;
        } else if untold {
            (
                LOCAL_TTL + NOTICE,
                format!("step {step} {what}, and local_ttl has ended"),
            )
        } else if disturbed {
            (
                MADE_UP,
                format!("step {step} {what}, and what was lost is made up for"),
            )
        } else {
            (NOTICE, format!("step {step} {what} and told it"))
        };
        rules.push(Rule {
            version,
            by: other,
            from: *to + after,
            why,
        });
    }
    rules
}

/// What an instance remembers for the remote layer it forgets when it is killed.
fn restarted_later(story: &Story, record: &Record) -> bool {
    let restarts = story
        .faults
        .iter()
        .filter(|fault| fault.act == Act::Restart);
    restarts
        .into_iter()
        .any(|fault| fault.by == record.by && fault.at >= record.from)
}

fn faults(story: &Story, from: Timestamp, to: Timestamp, is: impl Fn(Act) -> bool) -> bool {
    let within = |fault: &&Fault| fault.at >= from && fault.at <= to;
    story
        .faults
        .iter()
        .filter(within)
        .any(|fault| is(fault.act))
}

/// Whether the remote layer was away at any time from `from` to `to`.
fn away(story: &Story, from: Timestamp, to: Timestamp) -> bool {
    broken(story, from, to, |act| match act {
        Act::Remote(away) => Some(away.is_some()),
        _ => None,
    })
}

/// Whether anything was broken at any time from `from` to `to`; `becomes` says what a step does to it.
fn broken(
    story: &Story,
    from: Timestamp,
    to: Timestamp,
    becomes: impl Fn(Act) -> Option<bool>,
) -> bool {
    let mut now = false;
    for fault in &story.faults {
        if fault.at > to {
            break;
        }
        if fault.at < from {
            now = becomes(fault.act).unwrap_or(now);
        } else if now || becomes(fault.act) == Some(true) {
            return true;
        }
    }
    now
}

/// Where nothing is broken and nothing removed, what an instance reads never gets older.
fn backwards(story: &Story, key: &Key) -> Vec<Violation> {
    let removed = |record: &Record| matches!(&record.did, Did::Told(_, How::Removal, _));
    let breaks = |fault: &Fault| !matches!(fault.act, Act::Remote(None) | Act::OriginFails(_));
    if story.setup.consistency == Consistency::Naive
        || story.setup.strategy == Strategy::WriteBehind
        || story.records.iter().any(removed)
        || story.faults.iter().any(breaks)
    {
        return Vec::new();
    }
    let reads: Vec<_> = reads(story, key).collect();
    let mut found = Vec::new();
    for (later, new) in &reads {
        let before = reads.iter().find(|(earlier, old)| {
            earlier.by == later.by && earlier.to < later.from && old.version > new.version
        });
        if let Some((earlier, old)) = before {
            found.push(Violation(format!(
                "step {} read {} at instance {}, and then step {} {}, which is older",
                earlier.step,
                text(old.value.as_ref()),
                later.by,
                later.step,
                text(new.value.as_ref()),
            )));
        }
    }
    found
}

/// What was acknowledged is in the database, or something later is.
fn lost(story: &Story, key: &Key) -> Vec<Violation> {
    let mut found = Vec::new();
    if !story.drained {
        found.push(Violation("the queue was never empty".to_owned()));
    }
    let newest = story
        .book
        .row(key)
        .map_or(Version(0), |(_, version)| version);
    for record in &story.records {
        if let Did::Wrote(of, value, Ok(version)) = &record.did
            && of == key
            && *version > newest
        {
            let value = text(Some(value));
            found.push(Violation(format!("{value} was acknowledged and is lost")));
        }
    }
    found
}

/// A broken remote layer makes nothing fail that the database can do.
fn failures(story: &Story) -> Vec<Violation> {
    let fails = |record: &Record| {
        let until = record.to;
        broken(story, record.from, until, |act| match act {
            Act::OriginFails(fails) => Some(fails),
            _ => None,
        })
    };
    let mut found = Vec::new();
    for record in &story.records {
        let (Did::Read(_, Err(failure)) | Did::Wrote(_, _, Err(failure))) = &record.did else {
            continue;
        };
        if !fails(record) {
            let step = record.step;
            found.push(Violation(format!(
                "step {step} failed, and the database was well: {failure}"
            )));
        }
    }
    found
}

fn text(value: Option<&Bytes>) -> String {
    value.map_or("nothing".to_owned(), |value| {
        String::from_utf8_lossy(value).into_owned()
    })
}

fn at(story: &Story, moment: Timestamp) -> String {
    format!("{} ms", moment.since(story.begin).as_millis())
}
