//! How keys of the engine are spelled in Redis: the run's prefix, and in a Cluster a hash tag where
//! keys must lie together.
//!
//! Write-behind stores an entry and appends to a stream, both or neither, so both must lie in one
//! slot. Streams cannot be as many as slots, for each has to be read. So in a Cluster the queue is
//! cut into [`PARTITIONS`] streams, and a key that write-behind writes gets the hash tag of its
//! partition: `run:{7}:activity:4711:3` lies beside the stream `run:write-behind:{7}`. The tags are
//! chosen so that the partitions lie evenly over the slots, and so over the primaries. Every other
//! key is left as it is, and spreads over all slots. Pure.

use super::NAME;
use super::slots::{SLOTS, slot_of};
use crate::engine::data_type::{Key, PolicyTable, Strategy};
use crate::engine::invalidation::glob::{Glob, escape};
use crate::engine::layer::LayerError;

/// The streams of a Cluster's queue: enough to keep every primary busy, few enough to read each of
/// them several times a second.
pub(super) const PARTITIONS: u16 = 16;

/// The spelling of one run's keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
    cluster: bool,
    /// Keys that begin so may be written behind.
    queued: Vec<String>,
    /// The hash tag of each partition; empty outside of a Cluster.
    tags: Vec<u32>,
}

/// For each partition the first number whose slot lies in its share of them.
fn tags() -> Vec<u32> {
    let share = SLOTS / PARTITIONS;
    let lies_in =
        |partition: u16, tag: &u32| slot_of(tag.to_string().as_bytes()) / share == partition;
    (0..PARTITIONS)
        .filter_map(|partition| (0..u32::from(SLOTS)).find(|tag| lies_in(partition, tag)))
        .collect()
}

impl Keys {
    pub(crate) fn new(prefix: String, cluster: bool) -> Self {
        Self {
            prefix,
            cluster,
            queued: Vec::new(),
            tags: if cluster { tags() } else { Vec::new() },
        }
    }

    /// Keys of these policies are to be spelled. A key that only looks as if it were written behind
    /// gets a tag too; that costs nothing but its share of the slots.
    pub(crate) fn serve(&mut self, policies: &PolicyTable) {
        let behind = policies
            .iter()
            .filter(|(_, policy)| policy.strategy == Strategy::WriteBehind);
        let fixed = behind.map(|(_, policy)| {
            let pattern = policy.key.to_string();
            pattern.split('{').next().unwrap_or_default().to_owned()
        });
        self.queued = fixed.collect();
    }

    /// What every key begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How `key` is spelled in Redis.
    pub(crate) fn spell(&self, key: &Key) -> String {
        match self.tag_of(key) {
            Some(tag) => format!("{}{{{tag}}}:{}", self.prefix, key.as_str()),
            None => [&self.prefix, key.as_str()].concat(),
        }
    }

    /// Whether its spelling has a hash tag.
    pub(crate) fn is_tagged(&self, key: &Key) -> bool {
        self.tag_of(key).is_some()
    }

    /// What `spelled` is a spelling of; `None` for what is no key of the engine.
    pub(crate) fn read<'s>(&self, spelled: &'s str) -> Option<&'s str> {
        let text = spelled.strip_prefix(&self.prefix)?;
        let tagged = text.split_once("}:").map(|(_, text)| text);
        tagged
            .filter(|text| self.spell(&Key::new(*text)) == spelled)
            .or(Some(text))
    }

    /// What the spellings of keys begin with that begin with `head`. None is the beginning of
    /// another.
    pub(crate) fn heads(&self, head: &str) -> Vec<String> {
        let mut heads = vec![[&self.prefix, head].concat()];
        let queued = |start: &String| start.starts_with(head) || head.starts_with(&**start);
        // An empty one is the beginning of all the others.
        if !head.is_empty() && self.queued.iter().any(queued) {
            let tagged = |tag: &u32| format!("{}{{{tag}}}:{head}", self.prefix);
            heads.extend(self.tags.iter().map(tagged));
        }
        heads
    }

    /// The patterns of the spellings of keys that match `glob`, and of some others, too.
    pub(crate) fn globs(&self, glob: &Glob) -> Vec<String> {
        let prefix = escape(&self.prefix);
        let mut globs = vec![format!("{prefix}{glob}")];
        if !self.tags.is_empty() && !self.queued.is_empty() {
            globs.push(format!("{prefix}{{*}}:{glob}"));
        }
        globs
    }

    /// How many writes may wait in one stream if `queue_max` may wait in all of them.
    pub(crate) fn share_of(&self, queue_max: u64) -> u64 {
        let streams = self.tags.len().max(1) as u64;
        queue_max.div_ceil(streams)
    }

    /// The stream that a write of `key` is appended to; `None` if there is none in its slot.
    pub(crate) fn stream_of(&self, key: &Key) -> Option<String> {
        match (self.cluster, self.tag_of(key)) {
            (false, _) => Some(self.stream()),
            (true, tag) => tag.map(|tag| self.tagged_stream(tag)),
        }
    }

    /// The same for who must append.
    pub(crate) fn stream_for(&self, key: &Key) -> Result<String, LayerError> {
        self.stream_of(key).ok_or_else(|| {
            let why = format!("{key} is of no data type that is written behind");
            LayerError::Refused(NAME, why)
        })
    }

    /// All streams of the queue.
    pub(crate) fn streams(&self) -> Vec<String> {
        match &*self.tags {
            [] => vec![self.stream()],
            tags => tags.iter().map(|tag| self.tagged_stream(*tag)).collect(),
        }
    }

    /// The lock of whoever loads `key`. No script takes both, so it may lie in another slot.
    pub(crate) fn lock_of(&self, key: &Key) -> String {
        format!("{}lock:{key}", self.prefix)
    }

    /// The channel on which instances tell each other.
    pub(crate) fn channel(&self) -> String {
        format!("{}invalidations", self.prefix)
    }

    fn stream(&self) -> String {
        format!("{}write-behind", self.prefix)
    }

    fn tagged_stream(&self, tag: u32) -> String {
        format!("{}write-behind:{{{tag}}}", self.prefix)
    }

    /// In a Cluster, the hash tag of a key that may be written behind.
    fn tag_of(&self, key: &Key) -> Option<u32> {
        let text = key.as_str();
        let queued = self.cluster && self.queued.iter().any(|start| text.starts_with(start));
        if !queued {
            return None;
        }
        let partition = usize::from(slot_of(text.as_bytes()) % PARTITIONS);
        self.tags.get(partition).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::data_type::DataType;
    use proptest::{prop_assert, prop_assert_eq, proptest};
    use std::collections::BTreeSet;
    use std::time::Duration;

    fn keys(cluster: bool) -> Keys {
        let row = |name: &str, key: &str, strategy| {
            let key = key.parse().expect("a pattern");
            DataType::new(name, key, strategy, Duration::from_mins(1))
        };
        let policies = PolicyTable::new(vec![
            row("customer", "customer:{id}", Strategy::CacheAside),
            row("activity", "activity:{user}:{n}", Strategy::WriteBehind),
        ]);
        let mut keys = Keys::new("run:".to_owned(), cluster);
        keys.serve(&policies);
        keys
    }

    #[test]
    fn outside_of_a_cluster_keys_are_plain() {
        let keys = keys(false);
        assert_eq!(keys.spell(&Key::new("activity:1:2")), "run:activity:1:2");
        assert_eq!(keys.streams(), ["run:write-behind"]);
        assert_eq!(
            keys.stream_of(&Key::new("x")).as_deref(),
            Some("run:write-behind")
        );
        assert_eq!(keys.channel(), "run:invalidations");
        assert_eq!(keys.lock_of(&Key::new("x")), "run:lock:x");
    }

    #[test]
    fn the_streams_of_a_cluster_keep_every_primary_busy() {
        let streams = keys(true).streams();
        assert_eq!(streams.len(), usize::from(PARTITIONS));
        for primaries in 3..=8_u32 {
            let owner =
                |stream: &String| u32::from(slot_of(stream.as_bytes())) * primaries / 16_384;
            let owners: BTreeSet<u32> = streams.iter().map(owner).collect();
            assert_eq!(owners.len(), primaries as usize, "of {primaries} primaries");
        }
    }

    #[test]
    fn who_looks_for_keys_finds_those_with_a_tag_too() {
        let (plain, tagged) = (keys(false), keys(true));
        let glob: Glob = "act*".parse().expect("a pattern");
        assert_eq!(plain.globs(&glob), ["run:act*"]);
        assert_eq!(tagged.globs(&glob), ["run:act*", "run:{*}:act*"]);
        assert_eq!(plain.heads("activity:"), ["run:activity:"]);
        assert_eq!(tagged.heads("customer:"), ["run:customer:"]);
        assert_eq!(tagged.heads(""), ["run:"]);
        for head in ["act", "activity:", "activity:7:"] {
            assert_eq!(tagged.heads(head).len(), 1 + usize::from(PARTITIONS));
        }
        assert_eq!((plain.share_of(100), tagged.share_of(100)), (100, 7));
    }

    proptest! {
        #[test]
        fn what_is_spelled_can_be_read(user: u32, cluster: bool, start in "[a-z{}:]{0,12}") {
            let keys = keys(cluster);
            let activity = format!("activity:{user}:1");
            for text in [&activity, &format!("customer:{user}"), &start] {
                let spelled = keys.spell(&Key::new(text.as_str()));
                prop_assert_eq!(keys.read(&spelled), Some(&**text));
                let found = keys.heads("activity:").iter().any(|head| spelled.starts_with(head));
                prop_assert_eq!(found, text.starts_with("activity:"));
            }
            let foreign = format!("other:{start}");
            prop_assert_eq!(keys.read(&foreign), None);
        }

        #[test]
        fn in_a_cluster_what_is_written_behind_lies_beside_its_stream(user: u32, n: u32) {
            let keys = keys(true);
            let key = Key::new(format!("activity:{user}:{n}"));
            let stream = keys.stream_of(&key).expect("a stream");
            prop_assert!(keys.streams().contains(&stream));
            prop_assert_eq!(slot_of(keys.spell(&key).as_bytes()), slot_of(stream.as_bytes()));
            let other = Key::new(format!("customer:{user}"));
            prop_assert_eq!(keys.spell(&other), format!("run:customer:{user}"));
            prop_assert_eq!(keys.stream_of(&other), None);
        }
    }
}
