//! Counters that commits move along with their rows.

use super::EngineError;

/// Number of a counter of a partition. What it counts, engines do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counter(pub u16);

/// A number of things and their bytes, or by how much both change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub count: i64,
    pub bytes: i64,
}

impl Tally {
    fn plus(self, other: Tally) -> Tally {
        // Sums of what is stored stay far from the ends; a damaged one must not end
        // the process.
        Tally {
            count: self.count.wrapping_add(other.count),
            bytes: self.bytes.wrapping_add(other.bytes),
        }
    }

    pub fn negated(self) -> Tally {
        Tally { count: self.count.wrapping_neg(), bytes: self.bytes.wrapping_neg() }
    }
}

/// What counters are at, or by how much they change. A counter that is not there is
/// at zero; two that say the same are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallies(Vec<(Counter, Tally)>);

/// Length of one counter in the encoding.
const BYTES: usize = 18;

impl Tallies {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, counter: Counter) -> Tally {
        let found = self.0.binary_search_by_key(&counter, |(counter, _)| *counter);
        found.map(|at| self.0[at].1).unwrap_or_default()
    }

    pub fn add(&mut self, counter: Counter, by: Tally) {
        match self.0.binary_search_by_key(&counter, |(counter, _)| *counter) {
            Ok(at) => {
                self.0[at].1 = self.0[at].1.plus(by);
                if self.0[at].1 == Tally::default() {
                    self.0.remove(at);
                }
            }
            Err(_) if by == Tally::default() => {}
            Err(at) => self.0.insert(at, (counter, by)),
        }
    }

    pub fn add_all(&mut self, other: &Tallies) {
        other.iter().for_each(|(counter, by)| self.add(counter, by));
    }

    /// How far it is from `other` to this.
    pub fn minus(&self, other: &Tallies) -> Tallies {
        let mut difference = self.clone();
        other.iter().for_each(|(counter, by)| difference.add(counter, by.negated()));
        difference
    }

    /// In the order of the counters.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, Tally)> + '_ {
        self.0.iter().copied()
    }

    /// Each counter's number, count and bytes, big-endian, in the order of the numbers.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * BYTES);
        for (counter, tally) in self.iter() {
            bytes.extend_from_slice(&counter.0.to_be_bytes());
            bytes.extend_from_slice(&tally.count.to_be_bytes());
            bytes.extend_from_slice(&tally.bytes.to_be_bytes());
        }
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Tallies, EngineError> {
        let (entries, rest) = bytes.as_chunks::<BYTES>();
        let mut tallies = Tallies::default();
        for [c0, c1, entry @ ..] in entries {
            let number = |at: usize| {
                let bytes: [u8; 8] = entry[at..at + 8].try_into().unwrap_or_default();
                i64::from_be_bytes(bytes)
            };
            let counter = Counter(u16::from_be_bytes([*c0, *c1]));
            tallies.add(counter, Tally { count: number(0), bytes: number(8) });
        }
        match rest.is_empty() {
            true => Ok(tallies),
            false => Err(EngineError::Corrupt(format!("counters of {} bytes", bytes.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(count: i64, bytes: i64) -> Tally {
        Tally { count, bytes }
    }

    #[test]
    fn counters_add_up_and_vanish_at_zero() {
        let mut tallies = Tallies::default();
        tallies.add(Counter(2), tally(1, 10));
        tallies.add(Counter(1), tally(1, -5));
        tallies.add(Counter(3), tally(0, 0));
        let before = tallies.clone();
        tallies.add(Counter(2), tally(-1, -10));
        assert_eq!(tallies.iter().collect::<Vec<_>>(), [(Counter(1), tally(1, -5))]);
        assert_eq!(before.minus(&tallies).get(Counter(2)), tally(1, 10));
        assert_eq!(before.minus(&before), Tallies::default());
        tallies.add_all(&before);
        assert_eq!(tallies.get(Counter(1)), tally(2, -10));
    }

    /// The bytes of docs/formats.
    #[test]
    fn counters_come_back() {
        let mut tallies = Tallies::default();
        tallies.add(Counter(0x0102), tally(3, 256));
        tallies.add(Counter(1), tally(-1, 0));
        let bytes = tallies.encode();
        let want = "0001ffffffffffffffff000000000000000001020000000000000003000000000000\
                    0100";
        assert_eq!(hex::encode(&bytes), want);
        assert_eq!(Tallies::decode(&bytes).unwrap(), tallies);
        assert!(Tallies::decode(&bytes[1..]).is_err());
        assert!(Tallies::decode(&[]).unwrap().is_empty());
    }
}
