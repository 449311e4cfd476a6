//! What the instances of a pass warm: the plan's words, and the keys that its users ask for most.

use std::sync::Arc;

use crate::engine::data_type::{DataTypeId, Key};
use crate::engine::warming::Warming;
use crate::environment::instance::InstanceWarming;
use crate::scenario::plan::Plan;
use crate::workload::TRAFFIC_SEED;
use crate::workload::user::Traffic;

/// What each instance of `plan` warms; `None`: nothing.
pub(super) fn of(plan: &Plan) -> Option<InstanceWarming> {
    let warming = plan.warming.as_ref()?;
    Some(InstanceWarming {
        warming: Warming {
            popular: Arc::new(popular(plan, &warming.keys)),
            concurrency: warming.concurrency as usize,
            every: warming.every,
            limit: warming.limit,
        },
        at_start: warming.at_start,
        before_traffic: warming.before_traffic,
    })
}

/// The keys by popularity, the data types taking turns: a round that is cut short has the best of
/// each.
fn popular(plan: &Plan, wanted: &[(DataTypeId, u64)]) -> Vec<(DataTypeId, Key)> {
    let traffic = Traffic::new(&plan.workload, &plan.policies, plan.seed.fork(TRAFFIC_SEED));
    let mut ranked: Vec<(usize, DataTypeId, Key)> = Vec::new();
    for (data_type, count) in wanted {
        let pattern = &plan.policies.get(*data_type).key;
        for (rank, params) in traffic.most_popular(*data_type, *count).iter().enumerate() {
            let key = pattern.render(params.as_slice(), None);
            ranked.push((rank, *data_type, key));
        }
    }
    ranked.sort_by_key(|(rank, data_type, _)| (*rank, *data_type));
    let keys = ranked.into_iter();
    keys.map(|(_, data_type, key)| (data_type, key)).collect()
}
