//! A seeded mutator: small changes to valid bytes, and noise. The seed comes from `KEYWARD_SEED` or is 1.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    /// The seed is printed, so that a failure can be played again.
    pub fn seeded(test: &str) -> Self {
        let seed = std::env::var("KEYWARD_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        println!("{test}: KEYWARD_SEED={seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// One to four changes: a flipped bit, a byte, a length, a cut, a copy, an insertion.
pub fn mutate(random: &mut Random, original: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            2 => {
                let len = random.below(40);
                let noise = random.bytes(len);
                bytes.splice(at..at, noise);
            }
            3 if at + 4 <= bytes.len() => {
                let choices = [0, 1, 0xff, 0xffff, 0x7fff_ffff, u32::MAX];
                let value = choices[random.below(choices.len())];
                bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
            }
            4 if at < bytes.len() => {
                let end = at + random.below(bytes.len() - at);
                bytes.drain(at..end);
            }
            5 if at < bytes.len() => bytes[at] = random.next() as u8,
            _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
    bytes
}

/// Hammers a decoder with changes to valid samples and with noise: it may refuse, it may not panic.
pub fn hammer(test: &str, samples: &[Vec<u8>], rounds: usize, mut decode: impl FnMut(&[u8])) {
    let mut random = Random::seeded(test);
    for round in 0..rounds {
        let bytes = if round % 16 == 0 {
            let len = random.below(400);
            random.bytes(len)
        } else {
            mutate(&mut random, &samples[round % samples.len()])
        };
        decode(&bytes);
    }
}
