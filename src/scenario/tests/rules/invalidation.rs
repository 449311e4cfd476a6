//! How invalidations travel, and what of them a mix may ask for.

use super::super::{changed, plan, set};
use super::{SMALL, rule};
use crate::engine::data_type::DataTypeId;
use crate::engine::invalidation::{Broadly, InvalidationConfig, OnLoss, Transport};
use crate::engine::layer::Operation;
use std::time::Duration;

#[test]
fn the_way_of_invalidations() {
    let given = plan(SMALL).layers.remote.expect("a remote layer");
    assert_eq!(given.invalidation, InvalidationConfig::default());
    let given = changed(&set(&[
        ("layers.remote.invalidation.transport", "tracking"),
        ("layers.remote.invalidation.broadly", "scan"),
        ("layers.remote.invalidation.on_loss", "revalidate"),
        ("layers.remote.invalidation.heartbeat", "500ms"),
    ]));
    let wanted = InvalidationConfig {
        transport: Transport::Tracking,
        broadly: Broadly::Scan,
        on_loss: OnLoss::Revalidate,
        heartbeat: Duration::from_millis(500),
    };
    let again = plan(&given.resolved_yaml);
    for plan in [given, again] {
        let remote = plan.layers.remote.expect("a remote layer");
        assert_eq!(remote.invalidation, wanted);
    }
}

#[test]
fn mistakes_in_it() {
    let with = |line: &str| format!("timeout: 250ms, invalidation: {{ {line} }}");
    let timeout = "timeout: 250ms";
    for (line, message, shown) in [
        ("transport: kafka", "`kafka` is no transport", "kafka"),
        (
            "broadly: keys",
            "`keys` is no way to invalidate many keys",
            "keys",
        ),
        ("on_loss: pray", "`pray` is no answer to a loss", "pray"),
        ("heartbeat: 1ms", "`heartbeat` cannot be 1ms", "1ms"),
        ("hartbeat: 1s", "unknown key `hartbeat`", "hartbeat"),
    ] {
        rule(timeout, &with(line), message, shown);
    }
}

#[test]
fn a_mix_may_invalidate_broadly_what_has_values() {
    let plan = changed(&set(&[
        ("traffic.mix.customer.invalidate_all", "1"),
        ("traffic.mix.stock.invalidate_pattern", "1"),
    ]));
    let asked = |data_type: u16, operation| {
        let mut mix = plan.workload.kinds[0].mix().iter();
        mix.any(|line| line.data_type == DataTypeId(data_type) && line.operation == operation)
    };
    let customer = plan.policies.id_of("customer").expect("a data type").0;
    let stock = plan.policies.id_of("stock").expect("a data type").0;
    assert!(asked(customer, Operation::InvalidateAll));
    assert!(asked(stock, Operation::InvalidatePattern));
    rule(
        "limit.admit:",
        "limit.invalidate_all:",
        "`limit` cannot be asked to invalidate_all",
        "limit.invalidate_all",
    );
}

#[test]
fn client_tracking_goes_with_any_topology_but_not_with_replicas() {
    let with = |topology: &str| {
        format!("timeout: 250ms, {topology}, invalidation: {{ transport: tracking }}")
    };
    for topology in ["topology: cluster", "topology: sentinel"] {
        plan(&SMALL.replace("timeout: 250ms", &with(topology)));
    }
    rule(
        "timeout: 250ms",
        &with("topology: cluster, read_from: replica"),
        "client tracking tells of changes before replicas have them",
        "tracking",
    );
}
