//! What makes keys unreadable: a hash with a secret of the capture's own, which nobody keeps.
//!
//! `SipHash-2-4` with 128 bits of secret (Aumasson and Bernstein, "A fast short-input PRF",
//! 2012): without the secret nobody can find a key by trying likely ones, and the same key gives the
//! same number throughout the capture, so that its popularity is kept. Two of n keys share a number
//! with odds of about n²/2⁶⁵.

use rand::TryRng as _;
use rand::rngs::{SysError, SysRng};

/// A secret.
pub(super) struct Secret([u64; 2]);

impl Secret {
    /// A new one, of the system's own randomness: a run's seed would be no secret.
    pub(super) fn draw() -> Result<Self, SysError> {
        Ok(Self([SysRng.try_next_u64()?, SysRng.try_next_u64()?]))
    }

    /// The number that stands for `text`.
    pub(super) fn hash(&self, text: &[u8]) -> u64 {
        let [low, high] = self.0;
        let mut state = [
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ];
        let words = text.chunks_exact(8);
        let rest = words.remainder();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The length's last byte ends the last word.
        last[7] = text.len().to_le_bytes()[0];
        for word in words.map(word_of).chain([u64::from_le_bytes(last)]) {
            state[3] ^= word;
            (0..2).for_each(|_| round(&mut state));
            state[0] ^= word;
        }
        state[2] ^= 0xff;
        (0..4).for_each(|_| round(&mut state));
        state.into_iter().fold(0, |hash, part| hash ^ part)
    }
}

/// Never shown.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

fn word_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|at| bytes[at]))
}

fn round(state: &mut [u64; 4]) {
    state[0] = state[0].wrapping_add(state[1]);
    state[1] = state[1].rotate_left(13) ^ state[0];
    state[0] = state[0].rotate_left(32);
    state[2] = state[2].wrapping_add(state[3]);
    state[3] = state[3].rotate_left(16) ^ state[2];
    state[0] = state[0].wrapping_add(state[3]);
    state[3] = state[3].rotate_left(21) ^ state[0];
    state[2] = state[2].wrapping_add(state[1]);
    state[1] = state[1].rotate_left(17) ^ state[2];
    state[2] = state[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the authors: the secret 00 01 … 0f, the texts of the first n of 00 01 02 …
    #[test]
    fn the_hash_is_the_published_one() {
        let secret = Secret([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        let text: Vec<u8> = (0..63).collect();
        for (length, wanted) in [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
            (63, 0x958a_324c_eb06_4572),
        ] {
            assert_eq!(secret.hash(&text[..length]), wanted, "{length}");
        }
    }

    #[test]
    fn two_captures_have_two_secrets() {
        let draw = || Secret::draw().expect("the system has randomness");
        assert_ne!(draw().hash(b"customer:1"), draw().hash(b"customer:1"));
        assert_eq!(format!("{:?}", draw()), "Secret(***)");
    }
}
