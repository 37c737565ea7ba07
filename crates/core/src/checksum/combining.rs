//! The CRC of two pieces put together, from the CRCs of each.
//!
//! A reflected CRC is a polynomial over GF(2) modulo the CRC's own, the
//! coefficient of x^0 in the highest bit. Following a piece by `n` bytes
//! multiplies its CRC by x^(8n); the initial value and the final complement of
//! the CRCs used here cancel out. So
//!
//! ```text
//! crc(a ++ b) = crc(a) * x^(8 len(b)) + crc(b)
//! ```
//!
//! The power takes some dozens of multiplications and depends on the length
//! alone, so it is kept for the next piece: completing an upload combines ten
//! thousand parts of mostly one length. `crc-fast` squares a matrix for each bit
//! of the length instead, which is 150 us a part, and seconds for an upload.

use crc_fast::CrcAlgorithm;

/// Combines CRCs of one kind.
pub struct Combiner {
    polynomial: Polynomial,
    /// The last length in bytes and its power of x.
    last: (u64, u64),
}

impl Combiner {
    /// Of the CRCs that objects have; `None` for any other.
    pub(super) fn new(algorithm: CrcAlgorithm) -> Option<Combiner> {
        let (width, reflected) = match algorithm {
            CrcAlgorithm::Crc32IsoHdlc => (32, 0xEDB8_8320),
            CrcAlgorithm::Crc32Iscsi => (32, 0x82F6_3B78),
            CrcAlgorithm::Crc64Xz => (64, 0xC96C_5795_D787_0F42),
            CrcAlgorithm::Crc64Nvme => (64, 0x9A6C_9329_AC4B_C9B5),
            _ => return None,
        };
        let polynomial = Polynomial { reflected, one: 1 << (width - 1) };
        Some(Combiner { polynomial, last: (0, polynomial.one) })
    }

    /// The CRC of a piece followed by another of `second_len` bytes.
    pub fn combine(&mut self, first: u64, second: u64, second_len: u64) -> u64 {
        if self.last.0 != second_len {
            self.last = (second_len, self.polynomial.power_of_bytes(second_len));
        }
        self.polynomial.multiply(self.last.1, first) ^ second
    }
}

#[derive(Clone, Copy)]
struct Polynomial {
    /// Without its highest term.
    reflected: u64,
    /// x^0.
    one: u64,
}

impl Polynomial {
    fn times_x(self, a: u64) -> u64 {
        if a & 1 == 1 { a >> 1 ^ self.reflected } else { a >> 1 }
    }

    fn multiply(self, a: u64, mut b: u64) -> u64 {
        let mut product = 0;
        let mut term = self.one;
        while term != 0 {
            if a & term != 0 {
                product ^= b;
            }
            b = self.times_x(b);
            term >>= 1;
        }
        product
    }

    /// x^(8 len).
    fn power_of_bytes(self, mut len: u64) -> u64 {
        let mut power = self.one;
        // x^8, then its square for each further bit of the length.
        let mut square = (0..8).fold(self.one, |a, _| self.times_x(a));
        while len != 0 {
            if len & 1 == 1 {
                power = self.multiply(square, power);
            }
            square = self.multiply(square, square);
            len >>= 1;
        }
        power
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALGORITHMS: [CrcAlgorithm; 4] = [
        CrcAlgorithm::Crc32IsoHdlc,
        CrcAlgorithm::Crc32Iscsi,
        CrcAlgorithm::Crc64Xz,
        CrcAlgorithm::Crc64Nvme,
    ];

    /// Any values and lengths: what the library's slower way answers.
    #[test]
    fn combines_as_the_library_does() {
        let lengths = [0, 1, 7, 8, 5 << 20, 5 << 20, (5 << 30) + 3, u64::MAX / 8];
        for algorithm in ALGORITHMS {
            let mut combiner = Combiner::new(algorithm).unwrap();
            for (number, len) in lengths.into_iter().enumerate() {
                let mixed = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let width_mask = combiner.polynomial.one | (combiner.polynomial.one - 1);
                let (first, second) = (mixed & width_mask, mixed.rotate_left(31) & width_mask);
                let want = crc_fast::checksum_combine(algorithm, first, second, len);
                assert_eq!(combiner.combine(first, second, len), want, "{algorithm:?}, {len}");
            }
        }
    }

    #[test]
    fn combines_to_what_the_bytes_have() {
        let data: Vec<u8> = (0..100_000u32).map(|i| (i * 7 + i / 251) as u8).collect();
        for algorithm in ALGORITHMS {
            let mut combiner = Combiner::new(algorithm).unwrap();
            let of = |bytes: &[u8]| crc_fast::checksum(algorithm, bytes);
            let mut whole = of(&[]);
            for piece in data.chunks(9_999) {
                whole = combiner.combine(whole, of(piece), piece.len() as u64);
            }
            assert_eq!(whole, of(&data), "{algorithm:?}");
        }
    }
}
