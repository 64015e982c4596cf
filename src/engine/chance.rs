//! Chance as an argument: a keyed stream drawn from the seed that the shell
//! hands in, so that the same seed gives the same run.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 256 random bits from outside, new for every boot.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Seed(pub [u8; 32]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// HMAC-SHA-256 in counter mode (the shape of NIST SP 800-108's KDF).
#[derive(Clone)]
pub(super) struct Chance {
    seed: Seed,
    blocks: u64,
    block: [u8; 32],
    used: usize,
}

impl Chance {
    pub(super) fn new(seed: Seed) -> Self {
        Self { seed, blocks: 0, block: [0; 32], used: 32 }
    }

    /// A new salt; never 0, which means "none heard" in a pendant's echo.
    pub(super) fn salt(&mut self) -> u16 {
        loop {
            let salt = u16::from_le_bytes(self.draw());
            if salt != 0 {
                return salt;
            }
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.draw())
    }

    fn draw<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > self.block.len() {
            let mut mac = Hmac::<Sha256>::new_from_slice(&self.seed.0)
                .expect("HMAC takes a key of any length");
            mac.update(&self.blocks.to_le_bytes());
            self.block = mac.finalize().into_bytes().into();
            self.blocks += 1;
            self.used = 0;
        }
        let drawn = self.block[self.used..self.used + N].try_into().expect("N bytes are left");
        self.used += N;
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the stream is said to be: HMAC-SHA-256 of 0, 1, 2, ... in 64 bits.
    fn block(seed: [u8; 32], number: u64) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&seed).expect("a key of any length");
        mac.update(&number.to_le_bytes());
        mac.finalize().into_bytes().into()
    }

    #[test]
    fn every_byte_of_the_stream_is_drawn_once_and_in_order() {
        let seed = [7; 32];
        let mut chance = Chance::new(Seed(seed));
        let drawn: Vec<u8> = (0..9).flat_map(|_| chance.number().to_le_bytes()).collect();
        let stream = [block(seed, 0), block(seed, 1), block(seed, 2)].concat();
        assert_eq!(drawn, stream[..drawn.len()]);
        // Salts take two bytes each, to the last ones of a block.
        let mut chance = Chance::new(Seed(seed));
        let drawn: Vec<u8> = (0..17).flat_map(|_| chance.salt().to_le_bytes()).collect();
        assert_eq!(drawn, stream[..drawn.len()]);
    }

    #[test]
    fn a_number_for_which_the_block_is_too_short_begins_the_next() {
        let seed = [7; 32];
        let mut chance = Chance::new(Seed(seed));
        for _ in 0..13 {
            chance.salt();
        }
        assert_eq!(chance.number().to_le_bytes(), block(seed, 1)[..8]);
    }
}
