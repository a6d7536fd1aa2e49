// SPDX-License-Identifier: GPL-2.0

//! Which writes to do: where and how long.

use crate::args::Args;
use crate::stamp::SECTOR;

/// A small generator: the same seed gives the same test.
pub struct Random(u64);

impl Random {
    /// A generator that starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// One write: bytes of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// First byte.
    pub offset: u64,
    /// Length in bytes, not 0.
    pub length: u64,
}

impl Piece {
    /// Whether two writes have a byte in common.
    pub fn overlaps(&self, other: &Piece) -> bool {
        self.offset < other.offset + other.length && other.offset < self.offset + self.length
    }
}

/// Options that [`plan`] reads.
pub const OPTIONS: [&str; 9] = [
    "pattern", "start", "length", "sizes", "stride", "within", "shift", "count", "seed",
];

/// The writes that the command line asks for, in order.
pub fn plan(args: &Args, salt: u64) -> Result<Vec<Piece>, String> {
    let start = args.number("start", 0)? + args.number("shift", 0)?;
    let length = args.number("length", 1 << 20)?;
    let sizes = args.numbers("sizes", &[4096])?;
    if sizes.iter().chain([&start]).any(|n| n % SECTOR as u64 != 0) || sizes.contains(&0) {
        return Err(format!(
            "offsets and sizes have to be multiples of {SECTOR}"
        ));
    }
    let stride = args.number("stride", 0)?;
    let within = args.number("within", stride)?;
    let mut random = Random::new(args.number("seed", 1)? + salt);
    let mut pieces = Vec::new();
    let pattern = args.text("pattern").unwrap_or("sequential");
    if pattern == "random" {
        for _ in 0..args.number("count", length / sizes[0])? {
            let size = sizes[random.below(sizes.len() as u64) as usize];
            let room = if stride > 0 { within } else { length };
            if size > room {
                return Err("a size is larger than --length or --within".into());
            }
            let mut offset = start + random.below(room / size) * size;
            if stride > 0 {
                offset += random.below(length / stride) * stride;
            }
            pieces.push(Piece {
                offset,
                length: size,
            });
        }
        return Ok(pieces);
    }
    let mut at = 0;
    while at < length {
        let size = sizes[random.below(sizes.len() as u64) as usize].min(length - at);
        pieces.push(Piece {
            offset: start + at,
            length: size,
        });
        at += if stride > 0 { stride } else { size };
    }
    match pattern {
        "sequential" => {}
        "reverse" => pieces.reverse(),
        "shuffle" => {
            for i in (1..pieces.len()).rev() {
                pieces.swap(i, random.below(i as u64 + 1) as usize);
            }
        }
        _ => {
            return Err(format!(
                "--pattern {pattern}: sequential, reverse, shuffle or random"
            ))
        }
    }
    pieces.truncate(
        args.number("count", u64::MAX)?
            .try_into()
            .unwrap_or(usize::MAX),
    );
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(line: &str) -> Vec<Piece> {
        let args = Args::parse(line.split_whitespace().map(str::to_owned), &OPTIONS, &[]);
        plan(&args.unwrap(), 0).unwrap()
    }

    #[test]
    fn shuffle_covers_each_block_once() {
        let mut offsets: Vec<u64> = planned("--pattern shuffle --length 64k --sizes 1k")
            .iter()
            .map(|piece| piece.offset)
            .collect();
        assert!(!offsets.is_sorted());
        offsets.sort_unstable();
        assert_eq!(offsets, (0..64).map(|n| n * 1024).collect::<Vec<_>>());
    }

    #[test]
    fn sequential_with_sizes_leaves_no_gap() {
        let mut end = 512 * 63;
        for piece in planned("--shift 32256 --length 100k --sizes 512,4096") {
            assert_eq!(piece.offset, end);
            end += piece.length;
        }
        assert_eq!(end, 512 * 63 + 102_400);
    }
}
