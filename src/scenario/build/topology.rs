//! How the servers of Redis stand together: how many there are, and which of them answers lookups.

use super::super::decode::{Field, Switch};
use super::super::diagnostics::{Diagnostic, Errors, Place};
use super::super::file::RemoteFile;
use super::super::file::topology::TopologyFile;
use super::{Built, count};
use crate::engine::invalidation::Transport;
use crate::environment::redis_topology::{Persistence, ReadFrom, Topology, TopologyConfig};

/// Fewer primaries cannot agree that one of them is dead.
const PRIMARIES_MIN: u64 = 3;
const PRIMARIES_MAX: u64 = 16;
const REPLICAS_MAX: u64 = 5;
const PASSWORD_BYTES_MAX: usize = 128;

/// The topology, and who answers lookups.
pub(super) fn build(file: &TopologyFile, errors: &mut Errors) -> Built<(TopologyConfig, ReadFrom)> {
    let topology = file.topology.or(Topology::default());
    let sizes = topology.map(|topology| sizes(file, topology, errors));
    let password = password(file, errors);
    let tls = file.tls.or(false);
    let persistence = file.persistence.or(Persistence::default());
    let read_from = file.read_from.or(ReadFrom::default());
    let (primaries, replicas) = sizes?;
    let (primaries, replicas) = (primaries?, replicas?);
    if let (ReadFrom::Replica, 0, Some(place)) = (read_from?, replicas, file.read_from.place()) {
        let message = "there is no replica to read from";
        let advice = "add `replicas: 1` and a topology that has them, or read from the `primary`";
        errors.push(Diagnostic::new(place, message).label(advice));
        return None;
    }
    let config = TopologyConfig {
        topology: topology?,
        primaries,
        replicas,
        persistence: persistence?,
        password: password?,
        tls: tls?,
    };
    Some((config, read_from?))
}

/// Redis tells of a change when its primary has made it. Who then reads from a replica that has not
/// heard of it yet takes the old value for the new one, and nobody tells again.
pub(super) fn hears_of_changes(
    file: &RemoteFile,
    read_from: ReadFrom,
    errors: &mut Errors,
) -> Built<()> {
    let transport = file.invalidation.value().map(|file| &file.transport);
    let Some(given) = transport.and_then(Field::given) else {
        return Some(());
    };
    if (given.value, read_from) != (Transport::Tracking, ReadFrom::Replica) {
        return Some(());
    }
    let message = "client tracking tells of changes before replicas have them";
    let advice = "write `pubsub`, or read from the `primary`";
    errors.push(Diagnostic::new(&given.place, message).label(advice));
    None
}

/// Primaries and replicas of each.
fn sizes(file: &TopologyFile, topology: Topology, errors: &mut Errors) -> (Built<u16>, Built<u16>) {
    let smallest = TopologyConfig::of(topology);
    let primaries = match (topology, file.primaries.place()) {
        (Topology::Cluster, _) => {
            let limits = PRIMARIES_MIN..=PRIMARIES_MAX;
            let default = Some(smallest.primaries.into());
            count("primaries", &file.primaries, default, limits, errors)
        }
        (_, Some(place)) => refuse(place, topology, "primaries", "cluster", errors),
        (_, None) => file.primaries.is_absent().then_some(1),
    };
    let replicas = match (topology, file.replicas.place()) {
        (Topology::Standalone, Some(place)) => {
            refuse(place, topology, "replicas", "replicated", errors)
        }
        (Topology::Standalone, None) => file.replicas.is_absent().then_some(0),
        _ => {
            let least = u64::from(topology != Topology::Cluster);
            let default = Some(smallest.replicas.into());
            count(
                "replicas",
                &file.replicas,
                default,
                least..=REPLICAS_MAX,
                errors,
            )
        }
    };
    (
        primaries.map(|primaries| primaries as u16),
        replicas.map(|replicas| replicas as u16),
    )
}

fn refuse(
    place: &Place,
    topology: Topology,
    what: &str,
    instead: &str,
    errors: &mut Errors,
) -> Built<u64> {
    let message = format!("`{what}` has no meaning for a {} Redis", topology.name());
    let advice = format!("leave it out, or write `topology: {instead}`");
    errors.push(Diagnostic::new(place, message).label(advice));
    None
}

pub(super) fn password(file: &TopologyFile, errors: &mut Errors) -> Built<Option<String>> {
    let Some(given) = file.password.given() else {
        return file.password.is_absent().then_some(None);
    };
    let Switch::On(password) = &given.value else {
        return Some(None);
    };
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        let message = format!("a password has from 1 to {PASSWORD_BYTES_MAX} bytes");
        errors.push(Diagnostic::new(&given.place, message).label("or write `none` for no login"));
        return None;
    }
    Some(Some(password.to_string()))
}
