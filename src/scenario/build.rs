//! From the file as written to the plan: defaults, limits and every rule that takes two fields.
//!
//! Each part reports all it can see and goes on; a part that is wrong becomes `None`, and the plan
//! exists only if no part is. Called by the scenario's front door.

mod alerts;
mod alternatives;
mod arrivals;
mod data_types;
mod durability;
mod gates;
mod headers;
mod invalidation;
mod jobs;
mod journeys;
mod kinds;
mod limit;
mod operations;
mod popularity;
mod population;
mod protection;
mod rhythm;
mod simulation;
mod sliding;
mod stores;
mod target;
mod topology;
mod trace;
mod traffic;
mod value_size;
mod warming;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::decode::{Field, Located, Switch};
use super::diagnostics::{Diagnostic, Errors};
use super::file::{File, LayersFile, LocalFile, OriginFile, RemoteFile};
use super::plan::{BaselinePlan, LayersPlan, LocalPlan, Plan, RemotePlan};
use super::resolved;
use super::yaml::short;
use crate::engine::data_type::PolicyTable;
use crate::engine::local::LocalPolicy;
use crate::environment::{DatabaseConfig, EvictionPolicy, RedisConfig};
use crate::seed::Seed;
use crate::units::{ByteSize, Span, thousands};

/// The seed of a scenario that names none: a run must be reproducible, so it is not drawn.
const SEED_DEFAULT: Seed = Seed(42);
const ACQUIRE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const COMMAND_TIMEOUT_DEFAULT: Duration = Duration::from_millis(500);

/// More is a mistake in the unit: one year.
const TTL_MAX: Duration = Duration::from_hours(8_766);
const TIMEOUT_MAX: Duration = Duration::from_hours(1);
const PHASE_MAX: Duration = Duration::from_hours(7 * 24);
/// What time is measured in.
const MS: Duration = Duration::from_millis(1);
const INSTANCES_MAX: u64 = 64;
const POOL_MAX: u64 = 100_000;
const NAME_CHARS_MAX: usize = 64;
/// Redis itself takes about 1 MiB.
const MAXMEMORY_MIN: u64 = 2 << 20;

/// What was built; `None` if it was wrong, and then an error has been reported.
type Built<T> = Option<T>;

/// Builds the plan of `file`, whose text is `source`; `duration` is how long to measure in all.
/// `None` if there were errors.
pub(super) fn build(
    file: &File,
    source: &str,
    duration: Option<Duration>,
    errors: &mut Errors,
) -> Built<Plan> {
    let name = file.name.given().and_then(|name| {
        check_name(name, "the scenario's name", errors).then(|| name.value.to_string())
    });
    let description = file.description.or(Arc::default());
    let seed = file.seed.or(SEED_DEFAULT);
    let layers = file
        .layers
        .value()
        .and_then(|layers| build_layers(layers, errors));
    let instances = build_instances(file, errors);
    let origin = file.origin.value();
    let pool = origin.and_then(|origin| build_pool(origin, errors));
    let query_cache =
        origin.and_then(|origin| alternatives::query_cache(&origin.query_cache, errors));
    let baseline = build_baseline(file, errors);
    let simulation = simulation::build(file, errors);

    let users = file.traffic.value();
    let users = users.and_then(|traffic| kinds::users(traffic, errors));
    let data_types = data_types::build(file, users.as_ref().map(|users| users.all), errors);
    let names = data_types::names(file);
    let known = kinds::Known::of(file, &names, data_types.as_ref());
    let traffic = file
        .traffic
        .value()
        .and_then(|traffic| traffic::build(traffic, users.as_ref(), &known, duration, errors));
    let around = jobs::Around::of(&names, data_types.as_ref(), traffic.as_ref(), duration);
    let jobs = jobs::build(file, &around, errors);
    let alerts = alerts::build(&file.alerts, &names, source, errors);
    let gates = gates::build(file, (&names, traffic.as_ref()), source, errors);

    let rows = data_types.as_ref().map(|built| built.policies.as_slice());
    let resilience = durability::build(file, rows, errors);
    sliding::check_layers(file, layers.as_ref(), errors);
    let layers = stores::build(file, rows, layers, errors);
    let warming = warming::build(file, (&names, data_types.as_ref(), layers.as_ref()), errors);

    let target = target::build(file, &names, (rows, traffic.as_ref()), errors);
    let alerts = alerts.filter(|alerts| target::check_alerts(file, alerts, errors));

    let (data_types, traffic) = (data_types?, traffic?);
    let (traffic, workload) = traffic.among(data_types.populations);
    let (connections, acquire_timeout) = pool?;
    let mut plan = Plan {
        name: name?,
        description: description?.to_string(),
        seed: seed?,
        target: target?,
        policies: Arc::new(PolicyTable::new(data_types.policies)),
        layers: layers?,
        instances: instances? as u16,
        resilience: resilience?,
        database: DatabaseConfig {
            connections,
            acquire_timeout,
            query_cache: query_cache?,
            tables: data_types.tables,
        },
        warming: warming?,
        workload,
        traffic,
        jobs: jobs?,
        simulation: simulation?,
        baseline: baseline?,
        alerts: alerts?,
        gates: gates?,
        variants: Vec::new(),
        resolved_yaml: String::new(),
    };
    plan.resolved_yaml = resolved::write(&plan);
    Some(plan)
}

/// None where a target is driven.
fn build_instances(file: &File, errors: &mut Errors) -> Built<u64> {
    if let Some(Switch::On(_)) = file.target.value() {
        return Some(0);
    }
    let limits = 1..=INSTANCES_MAX;
    count("instances", &file.instances, Some(1), limits, errors)
}

fn build_layers(file: &LayersFile, errors: &mut Errors) -> Built<LayersPlan> {
    let local = match file.local.value() {
        None => None,
        Some(Switch::Off) => Some(None),
        Some(Switch::On(local)) => build_local(local, errors).map(Some),
    };
    let remote = match file.remote.value() {
        None => None,
        Some(Switch::Off) => Some(None),
        Some(Switch::On(remote)) => build_remote(remote, errors).map(Some),
    };
    Some(LayersPlan {
        local: local?,
        remote: remote?,
    })
}

fn build_local(file: &LocalFile, errors: &mut Errors) -> Built<LocalPlan> {
    let entries = count("entries", &file.entries, None, 1..=1_000_000_000, errors);
    let bytes = match file.bytes.given() {
        Some(bytes) if bytes.value.0 == 0 => {
            errors.push(
                Diagnostic::new(&bytes.place, "a local layer of 0 bytes holds nothing")
                    .help("write `local: none` to leave the local layer out"),
            );
            None
        }
        Some(bytes) => Some(Some(bytes.value)),
        None => file.bytes.is_absent().then_some(None),
    };
    Some(LocalPlan {
        entries: entries?,
        bytes: bytes?,
        policy: file.policy.or(LocalPolicy::default())?,
    })
}

fn build_remote(file: &RemoteFile, errors: &mut Errors) -> Built<RemotePlan> {
    let memcached = alternatives::memcached(file, errors);
    let is_redis = matches!(memcached, Some(None));
    let maxmemory = build_maxmemory(&file.maxmemory, is_redis, errors);
    let timeout = span(
        "timeout",
        &file.timeout,
        Some(COMMAND_TIMEOUT_DEFAULT),
        MS..=TIMEOUT_MAX,
        errors,
    );
    let connections = count("connections", &file.connections, Some(1), 1..=1_024, errors);
    let topology = topology::build(&file.topology, errors);
    let policy = file.policy.or(EvictionPolicy::default());
    let invalidation = invalidation::build(&file.invalidation, errors);
    let (topology, read_from) = topology?;
    topology::hears_of_changes(file, read_from, errors)?;
    Some(RemotePlan {
        redis: RedisConfig {
            maxmemory: maxmemory?,
            policy: policy?,
        },
        topology,
        read_from,
        memcached: memcached?,
        timeout: timeout?,
        connections: connections? as u16,
        invalidation: invalidation?,
        // Whose it is, data types say.
        aside: None,
    })
}

/// The memory of a server; inside, `None` is no limit.
fn build_maxmemory(
    field: &Field<Switch<ByteSize>>,
    is_redis: bool,
    errors: &mut Errors,
) -> Built<Option<ByteSize>> {
    match field.given() {
        None => field.is_absent().then_some(None),
        Some(Located {
            value: Switch::Off, ..
        }) => Some(None),
        Some(Located {
            value: Switch::On(size),
            place,
        }) => {
            if is_redis && size.0 < MAXMEMORY_MIN {
                let message = "Redis needs more memory than this for itself";
                let advice = format!(
                    "write {} or more, or `none` for no limit",
                    resolved::size(ByteSize(MAXMEMORY_MIN))
                );
                errors.push(Diagnostic::new(place, message).label(advice));
            }
            Some(Some(*size))
        }
    }
}

fn build_pool(file: &OriginFile, errors: &mut Errors) -> Built<(u32, Duration)> {
    let connections = count("connections", &file.connections, None, 1..=POOL_MAX, errors);
    let acquire_timeout = span(
        "acquire_timeout",
        &file.acquire_timeout,
        Some(ACQUIRE_TIMEOUT_DEFAULT),
        MS..=TIMEOUT_MAX,
        errors,
    );
    Some((connections? as u32, acquire_timeout?))
}

fn build_baseline(file: &File, errors: &mut Errors) -> Built<Option<BaselinePlan>> {
    match file.baseline.value() {
        None => file.baseline.is_absent().then_some(None),
        Some(Switch::Off) => Some(None),
        Some(Switch::On(baseline)) => {
            let duration = span("for", &baseline.duration, None, MS..=PHASE_MAX, errors)?;
            Some(Some(BaselinePlan { duration }))
        }
    }
}

/// A number within its limits; `default` if it may be left out.
fn count(
    what: &str,
    field: &Field<u64>,
    default: Option<u64>,
    limits: RangeInclusive<u64>,
    errors: &mut Errors,
) -> Built<u64> {
    let Some(given) = field.given() else {
        return default.filter(|_| field.is_absent());
    };
    if limits.contains(&given.value) {
        return Some(given.value);
    }
    let message = format!("`{what}` cannot be {}", thousands(given.value));
    let (least, most) = (thousands(*limits.start()), thousands(*limits.end()));
    errors.push(Diagnostic::new(&given.place, message).label(format!("from {least} up to {most}")));
    None
}

/// A duration within its limits; `default` if it may be left out.
fn span(
    what: &str,
    field: &Field<Span>,
    default: Option<Duration>,
    limits: RangeInclusive<Duration>,
    errors: &mut Errors,
) -> Built<Duration> {
    match field.given() {
        Some(given) => span_within(what, given, limits, errors),
        None => default.filter(|_| field.is_absent()),
    }
}

fn span_within(
    what: &str,
    given: &Located<Span>,
    limits: RangeInclusive<Duration>,
    errors: &mut Errors,
) -> Built<Duration> {
    if limits.contains(&given.value.0) {
        return Some(given.value.0);
    }
    let message = format!("`{what}` cannot be {}", given.value);
    let (least, most) = (Span(*limits.start()), Span(*limits.end()));
    errors.push(Diagnostic::new(&given.place, message).label(format!("from {least} up to {most}")));
    None
}

/// Whether `name` can be part of a path, a selector and a report.
pub(super) fn check_name(name: &Located<Arc<str>>, what: &str, errors: &mut Errors) -> bool {
    let text = &name.value;
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.len() <= NAME_CHARS_MAX && text.chars().all(good) {
        return true;
    }
    let message = format!("{what} cannot be {:?}", short(text));
    errors.push(Diagnostic::new(&name.place, message).label(format!(
        "1 to {NAME_CHARS_MAX} letters, digits, `-` and `_`"
    )));
    false
}
