//! A second Redis beside the remote layer's: what it is, and whose entries stand in it.

use std::sync::Arc;

use super::super::decode::{Entry, Field, Located, Map, Switch};
use super::super::diagnostics::{Diagnostic, Errors, did_you_mean};
use super::super::file::alternatives::StoreFile;
use super::super::file::stores::AsideFile;
use super::super::file::{DataTypeFile, File, RemoteFile};
use super::super::plan::{LayersPlan, StorePlan};
use super::super::yaml::short;
use super::topology::password;
use super::{
    Built, COMMAND_TIMEOUT_DEFAULT, MS, TIMEOUT_MAX, build_maxmemory, check_name, count, span,
};
use crate::engine::data_type::{DataType, DataTypeId, Strategy};
use crate::engine::invalidation::Transport;
use crate::environment::redis_topology::{Persistence, Topology, TopologyConfig};
use crate::environment::{EvictionPolicy, RedisConfig};

/// A data type that names a store.
struct User<'f> {
    id: DataTypeId,
    name: &'f Arc<str>,
    strategy: Option<Strategy>,
    store: &'f Arc<str>,
    given: &'f Located<Switch<Arc<str>>>,
}

/// `layers` with the store aside that the file names. `rows` are `None` if data types are wrong.
pub(super) fn build(
    file: &File,
    rows: Option<&[DataType]>,
    layers: Built<LayersPlan>,
    errors: &mut Errors,
) -> Built<LayersPlan> {
    let remote = match file.layers.value()?.remote.value()? {
        Switch::On(remote) => Some(remote),
        Switch::Off => None,
    };
    let stores = match remote.map(|remote| &remote.stores) {
        None | Some(Field::Absent) => &[],
        Some(Field::Wrong) => return None,
        Some(Field::Given(given)) => match &given.value {
            Switch::Off => &[],
            Switch::On(Map(stores)) => stores.as_slice(),
        },
    };
    let is_redis = remote.is_none_or(|remote| remote.store.value() != Some(&StoreFile::Memcached));
    if !stores.is_empty() && !is_redis {
        // Refused as a whole, where the other words of Redis are.
        return None;
    }
    let users = users(file);
    let known = all_known(&users, stores, errors);
    let Some((store, others)) = stores.split_first() else {
        return layers.filter(|_| known);
    };
    if let Some((second, _)) = others.first() {
        let message = "the remote layer has one store beside its own, and this is a second";
        let advice = "remove it, and let its data types name the first";
        errors.push(Diagnostic::new(&second.place, message).label(advice));
        return None;
    }
    let named = check_store_name(&store.0, errors);
    let together = one_queue(file, &users, errors);
    let heard = remote.is_none_or(|remote| hears_of_changes(remote, errors));
    let apart = rows.is_none_or(|rows| keys_differ(rows, &users, errors));
    let used = is_used(&store.0, &users, known && named, errors);
    let built = store.1.as_ref();
    let plan = built.and_then(|built| build_one(&store.0, &built.value, &users, errors));
    let sound = known && named && together && heard && apart && used;
    let (mut layers, plan) = (layers?, plan.filter(|_| sound)?);
    if let Some(remote) = &mut layers.remote {
        remote.aside = Some(plan);
    }
    Some(layers)
}

/// The data types that name a store.
fn users(file: &File) -> Vec<User<'_>> {
    let data_types = file.data_types.value().map(|map| map.0.as_slice());
    (0..)
        .zip(data_types.unwrap_or_default())
        .filter_map(user)
        .collect()
}

fn user((id, (name, data_type)): (u16, &Entry<DataTypeFile>)) -> Option<User<'_>> {
    let data_type = &data_type.as_ref()?.value;
    let given = data_type.store.given()?;
    let Switch::On(store) = &given.value else {
        return None;
    };
    Some(User {
        id: DataTypeId(id),
        name: &name.value,
        strategy: data_type.strategy.value().copied(),
        store,
        given,
    })
}

/// Whether every store that is named is there.
fn all_known(users: &[User<'_>], stores: &[Entry<AsideFile>], errors: &mut Errors) -> bool {
    let names = || stores.iter().map(|(name, _)| &*name.value);
    let mut all = true;
    for user in users {
        if names().any(|name| name == &**user.store) {
            continue;
        }
        all = false;
        let message = format!("there is no store `{}`", short(user.store));
        let error = Diagnostic::new(&user.given.place, message);
        errors.push(if stores.is_empty() {
            let advice = "add it to the remote layer: `stores: { NAME: { policy: noeviction } }`";
            error.label("remove it, or write `none`").help(advice)
        } else {
            error.label(did_you_mean(user.store, "store", names()))
        });
    }
    all
}

fn check_store_name(name: &Located<Arc<str>>, errors: &mut Errors) -> bool {
    if &*name.value == "none" {
        let message = "no store can be called `none`: it is the word for no store aside";
        errors.push(Diagnostic::new(&name.place, message).label("give it another name"));
        return false;
    }
    check_name(name, "a store's name", errors)
}

/// A misspelled name is told where it stands, and not here again.
fn is_used(name: &Located<Arc<str>>, users: &[User<'_>], known: bool, errors: &mut Errors) -> bool {
    let used = users.iter().any(|user| *user.store == name.value);
    if !used && known {
        let message = format!("no data type stands in the store `{}`", short(&name.value));
        let advice = format!("give one `store: {}`, or remove it", short(&name.value));
        errors.push(Diagnostic::new(&name.place, message).label(advice));
    }
    used
}

/// Write-behind stores an entry and its place in the queue in one step, and there is one queue.
fn one_queue(file: &File, users: &[User<'_>], errors: &mut Errors) -> bool {
    let is_aside = |name: &Arc<str>| users.iter().any(|user| user.name == name);
    let behind = |strategy: Option<Strategy>| strategy == Some(Strategy::WriteBehind);
    let data_types = file.data_types.value().map(|map| map.0.as_slice());
    let elsewhere = data_types.unwrap_or_default().iter().find(|(name, row)| {
        let strategy = row.as_ref().and_then(|row| row.value.strategy.value());
        behind(strategy.copied()) && !is_aside(&name.value)
    });
    let here = users.iter().find(|user| behind(user.strategy));
    let Some((here, (elsewhere, _))) = here.zip(elsewhere) else {
        return true;
    };
    let message = format!(
        "the queue of write-behind stands in one store, and `{}` is in another than `{}`",
        here.name, elsewhere.value
    );
    errors.push(
        Diagnostic::new(&here.given.place, message)
            .label("give all write-behind data types the same store, or none of them one")
            .note("the other stands here", &elsewhere.place),
    );
    false
}

/// With two stores that tell of changes by themselves, one that is away would make instances deaf
/// to the other.
fn hears_of_changes(remote: &RemoteFile, errors: &mut Errors) -> bool {
    let transport = remote.invalidation.value().map(|file| &file.transport);
    let given = transport.and_then(Field::given);
    let Some(given) = given.filter(|given| given.value == Transport::Tracking) else {
        return true;
    };
    let message = "client tracking listens to one store, and there are two";
    let advice = "write `pubsub`, or remove the remote layer's `stores`";
    errors.push(Diagnostic::new(&given.place, message).label(advice));
    false
}

/// Calls go to a store by key, so that none of the main store's may look like one of the other's.
fn keys_differ(rows: &[DataType], users: &[User<'_>], errors: &mut Errors) -> bool {
    let mut all = true;
    for user in users {
        let Some(row) = rows.get(user.id.index()) else {
            continue;
        };
        let taken = |(at, other): &(usize, &DataType)| {
            let aside = users.iter().any(|user| user.id.index() == *at);
            let holes = vec!["x"; other.key.params().count()];
            !aside && row.key.read(&other.key.render(&holes, None)).is_some()
        };
        if let Some((_, other)) = rows.iter().enumerate().find(taken) {
            all = false;
            let message = format!(
                "keys of `{}` would be taken for those of `{}`, which stand in another store",
                other.name, user.name
            );
            let advice = format!("begin {} or {} with another word", row.key, other.key);
            errors.push(Diagnostic::new(&user.given.place, message).label(advice));
        }
    }
    all
}

fn build_one(
    name: &Located<Arc<str>>,
    file: &AsideFile,
    users: &[User<'_>],
    errors: &mut Errors,
) -> Built<StorePlan> {
    let fits = fits(file, errors);
    let maxmemory = build_maxmemory(&file.maxmemory, true, errors);
    let timeout = span(
        "timeout",
        &file.timeout,
        Some(COMMAND_TIMEOUT_DEFAULT),
        MS..=TIMEOUT_MAX,
        errors,
    );
    let connections = count("connections", &file.connections, Some(1), 1..=1_024, errors);
    let password = password(&file.topology, errors);
    let persistence = file.topology.persistence.or(Persistence::default());
    let tls = file.topology.tls.or(false);
    let policy = file.policy.or(EvictionPolicy::Noeviction);
    let data_types = users.iter().map(|user| user.id).collect();
    fits.then_some(())?;
    Some(StorePlan {
        name: name.value.to_string(),
        redis: RedisConfig {
            maxmemory: maxmemory?,
            policy: policy?,
        },
        topology: TopologyConfig {
            persistence: persistence?,
            password: password?,
            tls: tls?,
            ..TopologyConfig::of(Topology::Standalone)
        },
        timeout: timeout?,
        connections: connections? as u16,
        data_types,
    })
}

/// What a store beside another cannot be.
fn fits(file: &AsideFile, errors: &mut Errors) -> bool {
    let mut fits = true;
    let mut refuse = |place, message: String, advice: &str| {
        errors.push(Diagnostic::new(place, message).label(advice));
        fits = false;
    };
    let memcached = file.store.given();
    if let Some(given) = memcached.filter(|given| given.value == StoreFile::Memcached) {
        let message = "memcached gives up what it likes: only Redis can be a store of its own";
        refuse(
            &given.place,
            message.to_owned(),
            "write `redis`, or remove it",
        );
    }
    for (key, place) in file.of_several_servers() {
        let Some(place) = place else { continue };
        let message = format!("`{key}` means nothing here: a store of its own is one server");
        refuse(
            place,
            message,
            "remove it; the remote layer's own servers may be several",
        );
    }
    if let Some(place) = file.invalidation.place() {
        let message = "instances tell each other over the remote layer's own Redis";
        refuse(
            place,
            message.to_owned(),
            "write it there, and remove it here",
        );
    }
    fits
}
