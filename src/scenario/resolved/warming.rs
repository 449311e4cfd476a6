//! What is loaded before users ask, written out again.

use super::{Yaml, map, share};
use crate::scenario::plan::Plan;

pub(super) fn write(plan: &Plan) -> Yaml {
    Yaml::none_or(plan.warming.as_ref(), |warming| {
        let keys = warming.keys.iter().map(|(data_type, count)| {
            let name = plan.policies.get(*data_type).name.to_string();
            (name, Yaml::word(count))
        });
        map([
            ("keys", Yaml::Map(keys.collect())),
            ("at_start", Yaml::word(warming.at_start)),
            ("before_traffic", Yaml::word(warming.before_traffic)),
            ("every", Yaml::none_or(warming.every, Yaml::span)),
            ("concurrency", Yaml::word(warming.concurrency)),
            ("limit", Yaml::span(warming.limit)),
            (
                "target_hit_ratio",
                Yaml::word(share(warming.target_hit_ratio)),
            ),
        ])
    })
}
