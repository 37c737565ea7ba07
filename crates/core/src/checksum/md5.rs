//! MD5, of one stream or of four at once.
//!
//! Each step of MD5 waits for the one before, so a core that hashes one stream is
//! mostly idle. Four streams side by side, a word of each in one vector register,
//! take little longer than one. The ETag of everything that is stored is an MD5,
//! and nothing else that a PUT does costs as much.

use md5::block_api::compress;

pub(super) const BLOCK_BYTES: usize = 64;

/// Streams that are hashed at once.
pub(super) const LANES: usize = 4;

/// A word of each stream.
type Words = [u32; LANES];

/// The additive constants of RFC 1321, by step.
#[rustfmt::skip]
const ADD: [u32; 64] = [
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
];

/// By how much a step rotates: four per round, over and over.
const ROTATE: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// A stream that is being hashed.
pub(super) struct Md5 {
    state: [u32; 4],
    /// Bytes so far.
    len: u64,
    /// The beginning of a block.
    begun: [u8; BLOCK_BYTES],
}

impl Md5 {
    pub(super) fn new() -> Md5 {
        let state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
        Md5 { state, len: 0, begun: [0; BLOCK_BYTES] }
    }

    pub(super) fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let whole = self.begin_blocks(&mut data);
            let (blocks, rest) = data.split_at(whole * BLOCK_BYTES);
            self.blocks(blocks);
            data = rest;
        }
    }

    /// Takes bytes from the front until a block begins at it, and answers how many
    /// whole blocks follow. Takes all bytes when none does.
    pub(super) fn begin_blocks(&mut self, data: &mut &[u8]) -> usize {
        let filled = (self.len % BLOCK_BYTES as u64) as usize;
        if filled > 0 || data.len() < BLOCK_BYTES {
            let take = data.len().min(BLOCK_BYTES - filled);
            self.begun[filled..filled + take].copy_from_slice(&data[..take]);
            self.len += take as u64;
            *data = &data[take..];
            if filled + take == BLOCK_BYTES {
                compress(&mut self.state, &[self.begun]);
            }
            if data.len() < BLOCK_BYTES && !data.is_empty() {
                return self.begin_blocks(data);
            }
        }
        data.len() / BLOCK_BYTES
    }

    /// Hashes whole blocks that begin where a block begins.
    pub(super) fn blocks(&mut self, data: &[u8]) {
        let (blocks, []) = data.as_chunks() else { unreachable!("only whole blocks") };
        compress(&mut self.state, blocks);
        self.len += data.len() as u64;
    }

    pub(super) fn finish(mut self) -> [u8; 16] {
        let bits = self.len.wrapping_mul(8);
        let mut padding = [0; BLOCK_BYTES];
        padding[0] = 0x80;
        let filled = (self.len % BLOCK_BYTES as u64) as usize;
        // The length takes eight bytes of the last block.
        let zeros_end = if filled < 56 { 56 } else { 56 + BLOCK_BYTES };
        let first = (zeros_end - filled).min(BLOCK_BYTES);
        self.update(&padding[..first]);
        self.update(&[0; BLOCK_BYTES][..zeros_end - filled - first]);
        self.update(&bits.to_le_bytes());
        let mut digest = [0; 16];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        digest
    }
}

/// Hashes as many whole blocks of several streams, at most [`LANES`]. Each stream
/// is where a block begins.
pub(super) fn blocks_of_several(streams: &mut [(&mut Md5, &[u8])]) {
    let Some((_, first)) = streams.first() else { return };
    let len = first.len();
    // Lanes without a stream do some work in vain.
    let mut data = [*first; LANES];
    let mut state = [[0; LANES]; 4];
    for (lane, (stream, blocks)) in streams.iter().enumerate() {
        assert_eq!(blocks.len(), len, "streams go in step");
        data[lane] = blocks;
        for (words, word) in state.iter_mut().zip(stream.state) {
            words[lane] = word;
        }
    }
    let blocks = data.map(|data| data.as_chunks::<BLOCK_BYTES>().0);
    for number in 0..blocks[0].len() {
        compress_lanes(&mut state, blocks.map(|blocks| &blocks[number]));
    }
    for (lane, (stream, _)) in streams.iter_mut().enumerate() {
        stream.state = state.map(|words| words[lane]);
        stream.len += len as u64;
    }
}

/// One block of each stream.
fn compress_lanes(state: &mut [Words; 4], blocks: [&[u8; BLOCK_BYTES]; LANES]) {
    let mut message = [[0; LANES]; 16];
    for (lane, block) in blocks.into_iter().enumerate() {
        let (words, _) = block.as_chunks();
        for (at, word) in words.iter().enumerate() {
            message[at][lane] = u32::from_le_bytes(*word);
        }
    }
    let [mut a, mut b, mut c, mut d] = *state;
    // Written out step by step: in a loop, the compiler neither knows by how much
    // to rotate nor which words to keep in registers.
    macro_rules! step {
        ($round:literal, $mix:expr, $word:expr, $at:expr) => {{
            let mut next = [0; LANES];
            for lane in 0..LANES {
                let mixed = $mix(b[lane], c[lane], d[lane]);
                let sum = a[lane].wrapping_add(mixed).wrapping_add(ADD[16 * $round + $at]);
                let sum = sum.wrapping_add(message[$word($at) % 16][lane]);
                next[lane] = b[lane].wrapping_add(sum.rotate_left(ROTATE[$round][$at % 4]));
            }
            (a, d, c, b) = (d, c, b, next);
        }};
    }
    macro_rules! round {
        ($round:literal, $mix:expr, $word:expr) => {
            step!($round, $mix, $word, 0);
            step!($round, $mix, $word, 1);
            step!($round, $mix, $word, 2);
            step!($round, $mix, $word, 3);
            step!($round, $mix, $word, 4);
            step!($round, $mix, $word, 5);
            step!($round, $mix, $word, 6);
            step!($round, $mix, $word, 7);
            step!($round, $mix, $word, 8);
            step!($round, $mix, $word, 9);
            step!($round, $mix, $word, 10);
            step!($round, $mix, $word, 11);
            step!($round, $mix, $word, 12);
            step!($round, $mix, $word, 13);
            step!($round, $mix, $word, 14);
            step!($round, $mix, $word, 15);
        };
    }
    round!(0, |b: u32, c: u32, d: u32| d ^ (b & (c ^ d)), |at: usize| at);
    round!(1, |b: u32, c: u32, d: u32| c ^ (d & (b ^ c)), |at: usize| 5 * at + 1);
    round!(2, |b: u32, c: u32, d: u32| b ^ c ^ d, |at: usize| 3 * at + 5);
    round!(3, |b: u32, c: u32, d: u32| c ^ (b | !d), |at: usize| 7 * at);
    for (words, more) in state.iter_mut().zip([a, b, c, d]) {
        for (word, more) in words.iter_mut().zip(more) {
            *word = word.wrapping_add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use md5::Digest;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn expected(data: &[u8]) -> [u8; 16] {
        md5::Md5::digest(data).into()
    }

    #[test]
    fn one_stream_in_pieces_of_any_length() {
        let mut rng = StdRng::seed_from_u64(1);
        for len in (0..300).chain([4096, 100_003]) {
            let mut data = vec![0; len];
            rng.fill(&mut data[..]);
            let mut md5 = Md5::new();
            let mut rest = &data[..];
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rng.random_range(1..=rest.len().min(200)));
                md5.update(piece);
                rest = behind;
            }
            assert_eq!(md5.finish(), expected(&data), "{len} bytes");
        }
    }

    #[test]
    fn several_streams_at_once() {
        let mut rng = StdRng::seed_from_u64(2);
        for count in 1..=LANES {
            let mut data = vec![vec![0; 100 * BLOCK_BYTES]; count];
            data.iter_mut().for_each(|data| rng.fill(&mut data[..]));
            let mut streams: Vec<Md5> = (0..count).map(|_| Md5::new()).collect();
            for part in 0..4 {
                let part = part * 25 * BLOCK_BYTES..(part + 1) * 25 * BLOCK_BYTES;
                let parts = data.iter().map(|data| &data[part.clone()]);
                blocks_of_several(&mut streams.iter_mut().zip(parts).collect::<Vec<_>>());
            }
            for (mut stream, mut data) in streams.into_iter().zip(data) {
                stream.update(b"tail");
                data.extend_from_slice(b"tail");
                assert_eq!(stream.finish(), expected(&data));
            }
        }
    }
}
