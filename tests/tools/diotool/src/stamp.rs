// SPDX-License-Identifier: GPL-2.0

//! Data that tells where it belongs: every 512 bytes name the file, the offset
//! and the write (its generation) that they came from, and the rest of them
//! follows from these. So a reader can tell stale, misplaced and torn data.

/// The unit of stamping in bytes; the smallest direct write there is.
pub const SECTOR: usize = 512;

/// What the tests fill a device with, so that stale blocks are recognised.
pub const POISON: u8 = 0xa5;

const MAGIC: [u8; 8] = *b"rext4dio";
const HEADER: usize = 24;

/// What 512 bytes turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Zeros: a hole, or unwritten.
    Zeros,
    /// The data of write `generation` to this file at this offset.
    Data(u32),
    /// What was on the device before: never to be seen.
    Poison,
    /// A good stamp of another place: (file id, offset in bytes, generation).
    Misplaced(u32, u64, u32),
    /// Anything else.
    Garbage,
}

/// The random-looking rest of a sector.
struct Stream(u64);

impl Stream {
    fn new(id: u32, generation: u32, offset: u64) -> Self {
        let seed = ((u64::from(id) << 32) | u64::from(generation)) ^ offset.rotate_left(23);
        Stream(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One step of Marsaglia's xorshift.
    fn next(&mut self) -> [u8; 8] {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()
    }
}

/// Fills `buffer`, which starts at byte `offset` of the file, with stamps.
pub fn fill(buffer: &mut [u8], id: u32, generation: u32, offset: u64) {
    for (sector, at) in buffer
        .chunks_exact_mut(SECTOR)
        .zip((offset..).step_by(SECTOR))
    {
        sector[..8].copy_from_slice(&MAGIC);
        sector[8..12].copy_from_slice(&id.to_le_bytes());
        sector[12..16].copy_from_slice(&generation.to_le_bytes());
        sector[16..24].copy_from_slice(&at.to_le_bytes());
        let mut stream = Stream::new(id, generation, at);
        for word in sector[HEADER..].chunks_exact_mut(8) {
            word.copy_from_slice(&stream.next());
        }
    }
}

/// What a sector is that is neither zeros nor whole: with a run of poison in it
/// it is poison, so that a sector torn between old and new does not hide it.
fn spoilt(sector: &[u8]) -> State {
    let poisoned = sector
        .chunks_exact(32)
        .any(|part| part.iter().all(|&byte| byte == POISON));
    if poisoned {
        State::Poison
    } else {
        State::Garbage
    }
}

/// Says what one sector, read from byte `offset` of file `id`, is.
pub fn classify(sector: &[u8], id: u32, offset: u64) -> State {
    if sector.len() < SECTOR {
        // The end of a file whose size is no multiple of a sector.
        return if sector.iter().all(|&byte| byte == 0) {
            State::Zeros
        } else {
            State::Garbage
        };
    }
    if sector[..8] != MAGIC {
        return if sector.iter().all(|&byte| byte == 0) {
            State::Zeros
        } else {
            spoilt(sector)
        };
    }
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| sector[at + i]));
    let (found_id, generation) = (word(8), word(12));
    let found_offset = u64::from(word(16)) | (u64::from(word(20)) << 32);
    let mut stream = Stream::new(found_id, generation, found_offset);
    if sector[HEADER..]
        .chunks_exact(8)
        .any(|bytes| bytes != stream.next())
    {
        spoilt(sector)
    } else if found_id == id && found_offset == offset {
        State::Data(generation)
    } else {
        State::Misplaced(found_id, found_offset, generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_all_states_apart() {
        let mut sector = [0; SECTOR];
        assert_eq!(classify(&sector, 1, 0), State::Zeros);
        sector.fill(POISON);
        assert_eq!(classify(&sector, 1, 0), State::Poison);
        sector[511] = 0;
        assert_eq!(classify(&sector, 1, 0), State::Poison);
        sector.iter_mut().step_by(31).for_each(|byte| *byte = 0);
        assert_eq!(classify(&sector, 1, 0), State::Garbage);
        fill(&mut sector, 1, 7, 1024);
        assert_eq!(classify(&sector, 1, 1024), State::Data(7));
        assert_eq!(classify(&sector, 1, 0), State::Misplaced(1, 1024, 7));
        assert_eq!(classify(&sector, 2, 1024), State::Misplaced(1, 1024, 7));
        for byte in 0..SECTOR {
            let mut torn = sector;
            torn[byte] ^= 1;
            assert_ne!(classify(&torn, 1, 1024), State::Data(7), "byte {byte}");
        }
    }
}
