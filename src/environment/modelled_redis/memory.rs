//! What a key weighs: bytes as the server's allocator counts them (`used_memory`).
//!
//! Called by the keyspace at every write, and by who sizes a server. Pure. `MEMORY USAGE` leaves out
//! the hash tables' share and the entry of the TTL; this does not.
//!
//! The layouts are those of Redis' `dict.c`, `sds.c` and `object.c`; the size classes those of jemalloc
//! (its manual, "Implementation notes"): one per quantum up to 128 bytes, then four per doubling.

/// How a server lays out a string key. One value per family of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLayout {
    /// What an empty server uses, without clients.
    pub base_bytes: u64,
    /// The buffers of a client that was just active; after two idle seconds they shrink.
    pub client_bytes: u64,
    /// The histogram of a kind of command, kept from its first use on (`latency-tracking`).
    pub command_kind_bytes: u64,
    /// The allocator's step between small sizes: 16 in Debian's jemalloc, 8 in upstream's.
    pub quantum_bytes: u64,
    /// An entry of a hash table; the table of keys and the table of TTLs have one each.
    pub entry_bytes: u64,
    /// The head of a value.
    pub object_bytes: u64,
    /// Values up to this length share one block with their head (`embstr`).
    pub embedded_bytes_max: u64,
    /// A bucket of a hash table.
    pub bucket_bytes: u64,
}

impl MemoryLayout {
    /// Redis 7.0, measured on 7.0.15 with Debian's jemalloc.
    pub const REDIS_7_0: Self = Self {
        base_bytes: 876_136,
        client_bytes: 38_000,
        command_kind_bytes: 24_700,
        quantum_bytes: 16,
        entry_bytes: 24,
        object_bytes: 16,
        embedded_bytes_max: 44,
        bucket_bytes: 8,
    };

    /// The layout of a server's `version`, such as `7.0.15`; `None` if it was never measured.
    pub fn of_version(version: &str) -> Option<Self> {
        version.starts_with("7.0.").then_some(Self::REDIS_7_0)
    }

    /// What so many clients and kinds of commands add to an empty server.
    pub fn overhead_bytes(&self, clients: u64, command_kinds: u64) -> u64 {
        clients * self.client_bytes + command_kinds * self.command_kind_bytes
    }

    /// What the allocator gives for a request of so many `bytes`.
    pub fn allocated(&self, bytes: u64) -> u64 {
        const SMALL_MAX: u64 = 128;
        const CLASSES_PER_DOUBLING: u64 = 4;
        match bytes {
            0..=8 => 8,
            9..=SMALL_MAX => bytes.next_multiple_of(self.quantum_bytes),
            _ => {
                let below = bytes.next_power_of_two() / 2;
                bytes.next_multiple_of(below / CLASSES_PER_DOUBLING)
            }
        }
    }

    /// A key's own bytes in the table of keys: its entry and its text.
    pub fn key_bytes(&self, key_len: u64) -> u64 {
        self.allocated(self.entry_bytes) + self.text_bytes(key_len)
    }

    /// A string value. One that is a decimal number takes less, which nobody here stores.
    pub fn value_bytes(&self, value_len: u64) -> u64 {
        if value_len <= self.embedded_bytes_max {
            // Head of the object and of its text (sdshdr8), the text, and the zero at its end.
            return self.allocated(self.object_bytes + 3 + value_len + 1);
        }
        self.allocated(self.object_bytes) + self.text_bytes(value_len)
    }

    /// What a TTL adds to a key, besides its place in the table of TTLs.
    pub fn ttl_bytes(&self) -> u64 {
        self.allocated(self.entry_bytes)
    }

    /// A table of so many `buckets`.
    pub fn buckets_bytes(&self, buckets: u64) -> u64 {
        buckets * self.bucket_bytes
    }

    /// What one of `keys` equal keys weighs, tables included: for sizing.
    pub fn bytes_per_key(&self, keys: u64, key_len: u64, value_len: u64, has_ttl: bool) -> f64 {
        let keys = keys.max(1);
        let table = self.buckets_bytes(super::table::buckets_for(keys)) as f64 / keys as f64;
        let held = (self.key_bytes(key_len) + self.value_bytes(value_len)) as f64 + table;
        let ttl = if has_ttl {
            self.ttl_bytes() as f64 + table
        } else {
            0.0
        };
        held + ttl
    }

    /// A text with its head, which grows with what it must count, and the zero at its end.
    fn text_bytes(&self, len: u64) -> u64 {
        let head = match len {
            // The head of one byte cannot grow, so Redis does not use it for an empty text.
            1..=31 => 1,
            0 | 32..=255 => 3,
            256..=65_535 => 5,
            65_536..=4_294_967_295 => 9,
            _ => 17,
        };
        self.allocated(head + len + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAYOUT: MemoryLayout = MemoryLayout::REDIS_7_0;

    #[test]
    fn size_classes_are_jemallocs() {
        // From the table in jemalloc's manual, for a quantum of 16.
        let classes = [
            8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768,
            896, 1_024, 1_280, 1_536, 1_792, 2_048, 2_560, 3_072, 3_584, 4_096, 5_120,
        ];
        for pair in classes.windows(2) {
            assert_eq!(LAYOUT.allocated(pair[0]), pair[0]);
            assert_eq!(LAYOUT.allocated(pair[0] + 1), pair[1], "above {}", pair[0]);
        }
        assert_eq!(LAYOUT.allocated(1), 8);
        assert_eq!(LAYOUT.allocated(1 << 20), 1 << 20);
        assert_eq!(LAYOUT.allocated((1 << 20) + 1), (1 << 20) + (1 << 18));
    }

    #[test]
    fn heads_change_where_redis_changes_them() {
        // 31 letters and their head of one byte fit into 48 bytes, and 32 with their head of three.
        assert_eq!(LAYOUT.key_bytes(30), 32 + 32);
        assert_eq!(LAYOUT.key_bytes(31), 32 + 48);
        // 44 bytes still share a block with their head of 19 bytes.
        assert_eq!(LAYOUT.value_bytes(44), 64);
        assert_eq!(LAYOUT.value_bytes(45), 16 + 64);
        assert_eq!(LAYOUT.value_bytes(252), 16 + 256);
        assert_eq!(LAYOUT.value_bytes(253), 16 + 320);
        assert_eq!(LAYOUT.value_bytes(256), 16 + 320);
        assert_eq!(LAYOUT.value_bytes(10 << 20), 16 + (12 << 20));
    }

    #[test]
    fn a_measured_cell() {
        // 1,000,000 keys `customer:360:N` of 100 bytes with a TTL used 240,899,672 bytes more than
        // the empty server, with one client and one kind of command.
        let model = LAYOUT.bytes_per_key(1_000_000, 19, 100, true) * 1e6;
        assert!((model / 240_899_672.0 - 1.0).abs() < 0.001, "{model}");
    }

    #[test]
    fn only_what_was_measured_has_a_layout() {
        assert_eq!(MemoryLayout::of_version("7.0.15"), Some(LAYOUT));
        for other in ["7.2.4", "8.0.1", "70.0.1", "", "7.0"] {
            assert_eq!(MemoryLayout::of_version(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn more_never_weighs_less(a in 0u64..200_000, b in 0u64..200_000) {
            let (less, more) = (a.min(b), a.max(b));
            for weigh in [MemoryLayout::allocated, MemoryLayout::key_bytes, MemoryLayout::value_bytes] {
                prop_assert!(weigh(&LAYOUT, less) <= weigh(&LAYOUT, more));
                prop_assert!(weigh(&LAYOUT, more) >= more);
            }
        }

        #[test]
        fn the_allocator_wastes_a_fifth_at_most(bytes in 129u64..u64::from(u32::MAX)) {
            prop_assert!(LAYOUT.allocated(bytes) as f64 <= bytes as f64 * 1.25);
        }
    }
}
