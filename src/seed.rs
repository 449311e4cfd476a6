//! One seed for a run, and from it as many independent named streams of randomness as wanted.
//!
//! A component asks for its stream by name (`seed.stream("origin/service-time")`), so a new draw
//! in one component changes nothing in another. The generator is pinned (xoshiro256++) and seeded
//! through `SplitMix64` as its authors advise (Blackman and Vigna, "Scrambled linear pseudorandom
//! number generators", 2019); the name is hashed with FNV-1a. None of these may change without a
//! line under Changed in CHANGELOG.md, because recorded seeds would stop reproducing their runs.

use std::fmt;
use std::str::FromStr;

use rand::SeedableRng;
use serde::{Deserialize, Serialize};

/// The generator behind every stream: small (32 bytes), fast and pinned.
pub type Stream = rand_xoshiro::Xoshiro256PlusPlus;

/// The seed of a run or of a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// The independent stream called `name`.
    pub fn stream(self, name: &str) -> Stream {
        Stream::seed_from_u64(self.fork(name).0)
    }

    /// The independent stream of the `index`-th thing called `name`, such as a user.
    pub fn stream_of(self, name: &str, index: u64) -> Stream {
        Stream::seed_from_u64(self.fork(name).fork_index(index).0)
    }

    /// The one stream of this seed, for a part that has no other.
    pub fn into_stream(self) -> Stream {
        Stream::seed_from_u64(self.0)
    }

    /// The seed of the part called `name`, from which that part forks its own.
    #[must_use]
    pub fn fork(self, name: &str) -> Self {
        Self(mix(self.0 ^ fnv1a(name.as_bytes())))
    }

    /// The seed of the `index`-th of many equal parts.
    #[must_use]
    pub fn fork_index(self, index: u64) -> Self {
        Self(mix(self.0.wrapping_add(mix(
            index.wrapping_add(0x9e37_79b9_7f4a_7c15)
        ))))
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Seed {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.replace('_', "").parse().map(Self)
    }
}

/// FNV-1a over bytes, 64 bits.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finalizer of `SplitMix64`: a bijection that spreads every input bit over the output.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn the_same_name_gives_the_same_stream_and_another_name_another() {
        let draw = |name: &str| Seed(42).stream(name).random::<u64>();
        assert_eq!(draw("origin"), draw("origin"));
        assert_ne!(draw("origin"), draw("users"));
        assert_ne!(draw("origin"), Seed(43).stream("origin").random::<u64>());
    }

    #[test]
    fn the_generator_is_pinned() {
        let mut stream = Seed(42).stream("pinned");
        let draws: Vec<u64> = (0..3).map(|_| stream.random()).collect();
        let pinned = [
            10_009_772_147_240_249_851,
            15_147_379_300_280_896_312,
            9_423_876_281_488_424_813,
        ];
        assert_eq!(draws, pinned);
    }

    #[test]
    fn indexed_streams_differ_from_each_other() {
        let firsts: std::collections::HashSet<u64> = (0..10_000)
            .map(|user| Seed(7).stream_of("user", user).random())
            .collect();
        assert_eq!(firsts.len(), 10_000);
    }
}
