//! Ways to cut a body, as a network does.

use bytes::Bytes;

/// Cuts of a body: in one piece, in bytes, and at places that the body itself
/// decides, so that each input tries others and a finding can be replayed.
pub fn cuts(body: &[u8]) -> [Vec<Bytes>; 3] {
    let body = Bytes::copy_from_slice(body);
    [vec![body.clone()], cut(&body, || 1), scattered(&body)]
}

/// Pieces of up to 31 bytes, some of them empty.
pub fn scattered(body: &Bytes) -> Vec<Bytes> {
    // FNV-1a for the seed, then an xorshift generator.
    let mut state = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    cut(body, || {
        state |= 1;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % 32) as usize
    })
}

fn cut(body: &Bytes, mut length: impl FnMut() -> usize) -> Vec<Bytes> {
    let mut rest = body.clone();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        pieces.push(rest.split_to(length().min(rest.len())));
    }
    pieces
}
