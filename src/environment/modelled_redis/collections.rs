//! What hashes, sorted sets and streams weigh, beside their keys: bytes as the server's allocator
//! counts them.
//!
//! Called for the counters, the generations and the queue, which are few beside the entries. Small
//! hashes and sorted sets are one block (a listpack); larger ones are estimated by their parts. After
//! Redis' `listpack.c`, `t_zset.c` and `t_stream.c`; pure.

use super::memory::MemoryLayout;

/// A listpack's head and end.
const LISTPACK_BYTES: u64 = 7;
/// More elements than this, or longer ones, and a hash or a sorted set is no listpack any more.
const LISTPACK_ENTRIES_MAX: usize = 128;
const LISTPACK_TEXT_MAX: usize = 64;
/// The head of a stream with one group.
const STREAM_BYTES: u64 = 368;
/// A stream grows by blocks of this size, and what describes each.
const STREAM_NODE_BYTES: u64 = 4_096;
const STREAM_NODE_HEAD_BYTES: u64 = 40;
/// What a stream's entry weighs beside its texts.
const STREAM_ENTRY_BYTES: u64 = 24;
/// An entry that was delivered and not acknowledged.
const PENDING_BYTES: u64 = 84;

/// An integer in a listpack, with its length at the end.
fn integer(number: u64) -> u64 {
    match number {
        0..=127 => 2,
        128..=4_095 => 3,
        4_096..=32_767 => 4,
        32_768..=8_388_607 => 5,
        8_388_608..=2_147_483_647 => 6,
        _ => 10,
    }
}

/// A text in a listpack.
fn text(len: usize) -> u64 {
    let head = if len < LISTPACK_TEXT_MAX { 1 } else { 2 };
    head + len as u64 + 1
}

impl MemoryLayout {
    /// A string that is a decimal number of up to 64 bits.
    pub(super) fn integer_bytes(&self) -> u64 {
        self.allocated(self.object_bytes)
    }

    fn listpack_bytes(&self, elements: u64) -> u64 {
        self.allocated(self.object_bytes) + self.allocated(LISTPACK_BYTES + elements)
    }

    /// A hash with fields of one letter.
    pub(super) fn numbers_bytes(&self, numbers: &[u64]) -> u64 {
        let elements = numbers.iter().map(|number| text(1) + integer(*number));
        self.listpack_bytes(elements.sum())
    }

    /// A hash of so many numbers of up to 31 bits, with a small count for each.
    pub(super) fn buckets_bytes_of(&self, buckets: usize) -> u64 {
        const BUCKET: u64 = 6 + 2;
        self.listpack_bytes(buckets as u64 * BUCKET)
    }

    /// A sorted set of so many times in microseconds, each with a number behind it as its member.
    pub(super) fn log_bytes(&self, members: usize) -> u64 {
        const MEMBER_LEN: usize = 18;
        const SCORE: u64 = 10;
        // The node in the skip list with its mean height, and its buckets.
        const NODE: u64 = 48 + 16;
        if members <= LISTPACK_ENTRIES_MAX {
            return self.listpack_bytes(members as u64 * (text(MEMBER_LEN) + SCORE));
        }
        let member = self.key_bytes(MEMBER_LEN as u64) + NODE;
        self.allocated(self.object_bytes) + members as u64 * member
    }

    /// A hash of texts of these lengths, each with a time in microseconds.
    pub(super) fn times_bytes(&self, texts: impl Iterator<Item = usize> + Clone) -> u64 {
        const TIME_LEN: u64 = 16;
        let count = texts.clone().count();
        let longest = texts.clone().max().unwrap_or_default();
        if count <= LISTPACK_ENTRIES_MAX && longest <= LISTPACK_TEXT_MAX {
            return self.listpack_bytes(texts.map(|len| text(len) + integer(u64::MAX)).sum());
        }
        let table = self.buckets_bytes(super::table::buckets_for(count as u64));
        let parts = texts.map(|len| self.key_bytes(len as u64) + self.key_bytes(TIME_LEN));
        self.allocated(self.object_bytes) + table + parts.sum::<u64>()
    }
}

/// A stream with so many bytes of entries, and so many of them delivered.
pub(super) fn stream_bytes(entries_bytes: u64, pending: usize) -> u64 {
    let nodes = if entries_bytes == 0 {
        0
    } else {
        entries_bytes / STREAM_NODE_BYTES + 1
    };
    let node = STREAM_NODE_BYTES + STREAM_NODE_HEAD_BYTES;
    STREAM_BYTES + nodes * node + pending as u64 * PENDING_BYTES
}

/// What an entry of a stream takes, whose texts are so long together.
pub(super) fn stream_entry_bytes(texts_len: usize) -> u64 {
    STREAM_ENTRY_BYTES + texts_len as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: MemoryLayout = MemoryLayout::REDIS_7_0;

    /// A queue of writes with a key of 14 letters and a value of 5, measured on Redis 7.0.15.
    #[test]
    fn a_stream_weighs_what_was_measured() {
        let entries = |count: u64| count * stream_entry_bytes(14 + 5);
        assert_eq!(stream_bytes(entries(0), 0), 368);
        assert_eq!(stream_bytes(entries(1), 0), 368 + 4_136);
        let thousand = stream_bytes(entries(1_000), 0) as f64;
        assert!((thousand / 50_100.0 - 1.0).abs() < 0.1, "{thousand}");
        let pending = stream_bytes(entries(1_000), 1_000) as f64;
        assert!((pending / 134_200.0 - 1.0).abs() < 0.1, "{pending}");
    }

    #[test]
    fn small_collections_are_one_block_and_large_ones_many() {
        assert_eq!(LAYOUT.integer_bytes(), 16);
        assert_eq!(LAYOUT.numbers_bytes(&[28_333_333, 5]), 16 + 32);
        assert_eq!(LAYOUT.log_bytes(1), 16 + 48);
        assert!(LAYOUT.log_bytes(129) > 2 * LAYOUT.log_bytes(128));
        let scopes = |count: usize| LAYOUT.times_bytes(std::iter::repeat_n(20, count));
        assert_eq!(scopes(1), 16 + 48);
        assert!(scopes(129) > 2 * scopes(128));
        assert!(LAYOUT.buckets_bytes_of(33) > LAYOUT.buckets_bytes_of(1));
    }
}
