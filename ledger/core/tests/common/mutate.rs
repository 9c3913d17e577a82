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

    /// Another source, whose seed this one draws.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
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

/// One to four changes that know how the formats are made: a flipped bit, a byte, a big-endian length or count
/// off by little or by much, a cut, a part left out, said twice or moved, noise, and a part of another sample.
pub fn mutate(random: &mut Random, original: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = at + random.below((bytes.len() - at + 1).min(200));
        match random.below(10) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            2 => {
                let len = random.below(40);
                let noise = random.bytes(len);
                bytes.splice(at..at, noise);
            }
            3 if at + 4 <= bytes.len() => {
                let number = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
                let choices = [
                    0,
                    1,
                    number.wrapping_add(1),
                    number.wrapping_sub(1),
                    number << 1,
                    0xffff,
                    i32::MAX as u32,
                    u32::MAX,
                ];
                let number = choices[random.below(choices.len())];
                bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
            }
            4 => drop(bytes.drain(at..end)),
            5 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(end..end, part);
            }
            6 => {
                let part: Vec<u8> = bytes.drain(at..end).collect();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, part);
            }
            7 if !other.is_empty() => {
                let from = random.below(other.len());
                let part = &other[from..from + random.below((other.len() - from).min(200))];
                bytes.splice(at..end, part.iter().copied());
            }
            8 if at < bytes.len() => bytes[at] = random.next() as u8,
            _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
    bytes
}

/// Hammers a decoder with changes to valid samples and with noise: it may refuse, it may not panic. A hundred
/// times as long with `KEYWARD_SOAK`. What made it panic is told as hex, for `tests/vectors/crashes.json`.
pub fn hammer(test: &str, samples: &[Vec<u8>], rounds: usize, mut decode: impl FnMut(&[u8])) {
    let mut random = Random::seeded(test);
    let rounds = if std::env::var_os("KEYWARD_SOAK").is_some() { 100 * rounds } else { rounds };
    let (began, mut total) = (std::time::Instant::now(), 0);
    for round in 0..rounds {
        let bytes = if round % 16 == 0 {
            let len = random.below(400);
            random.bytes(len)
        } else {
            let other = random.below(samples.len());
            mutate(&mut random, &samples[round % samples.len()], &samples[other])
        };
        total += bytes.len();
        let decoded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decode(&bytes)));
        if let Err(panic) = decoded {
            println!("{test}: these bytes did it: {}", hex::encode(&bytes));
            std::panic::resume_unwind(panic);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{test}: {rounds} cases, {:.1} MB/s", total as f64 / 1e6 / seconds);
}
