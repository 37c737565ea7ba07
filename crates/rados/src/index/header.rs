//! The two records that decide who may change what: a shard's header, compared
//! by every commit, and a partition's state, compared by every change of its
//! shape. Both carry an epoch that grows with each change, so that no value ever
//! comes back and an operation that was overtaken can do nothing.

use costrel_core::engine::EngineError;

const VERSION: u8 = 1;
/// Length of a state; a header has the epoch of settings behind that.
const BYTES: usize = 18;
const HEADER_BYTES: usize = BYTES + 8;

/// What a shard takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Everything.
    Active = 1,
    /// Everything, and each change leaves a mark: it is being split.
    Logging = 2,
    /// Reads; commits wait until somebody has decided.
    Frozen = 3,
    /// Nothing: its rows are in other shards.
    Moved = 4,
    /// Nothing yet: rows are being copied to it.
    Prepared = 5,
    /// Reads, deletions and work for the collector: the partition is retired.
    Retired = 6,
}

impl Phase {
    fn from_number(number: u8) -> Option<Phase> {
        let all = [
            Phase::Active,
            Phase::Logging,
            Phase::Frozen,
            Phase::Moved,
            Phase::Prepared,
            Phase::Retired,
        ];
        all.into_iter().find(|phase| *phase as u8 == number)
    }
}

/// The value of a shard's header row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub phase: Phase,
    pub epoch: u64,
    /// Names the change of shape under way; 0 where there is none.
    pub token: u64,
    /// Epoch of the bucket's newest settings that commits here go by.
    pub settings: u64,
}

fn encode(kind: u8, epoch: u64, token: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[0] = VERSION;
    bytes[1] = kind;
    bytes[2..10].copy_from_slice(&epoch.to_be_bytes());
    bytes[10..].copy_from_slice(&token.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<(u8, u64, u64)> {
    let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
    let number = |at: usize| Some(u64::from_be_bytes(bytes[at..at + 8].try_into().ok()?));
    (bytes[0] == VERSION).then_some((bytes[1], number(2)?, number(10)?))
}

impl Header {
    /// The first header of a shard.
    pub(crate) fn new(phase: Phase, token: u64, settings: u64) -> Header {
        Header { phase, epoch: 1, token, settings }
    }

    pub(crate) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..BYTES].copy_from_slice(&encode(self.phase as u8, self.epoch, self.token));
        bytes[BYTES..].copy_from_slice(&self.settings.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, EngineError> {
        let header = || {
            let (start, settings) = bytes.split_at_checked(BYTES)?;
            let (kind, epoch, token) = decode(start)?;
            let settings = u64::from_be_bytes(settings.try_into().ok()?);
            Some(Header { phase: Phase::from_number(kind)?, epoch, token, settings })
        };
        header().ok_or_else(|| EngineError::Corrupt("the header of an index shard".into()))
    }

    /// The same, one change later.
    pub(crate) fn then(self, phase: Phase, token: u64) -> Header {
        Header { phase, epoch: self.epoch + 1, token, ..self }
    }

    /// The same with newer settings in force.
    pub(crate) fn enforcing(self, settings: u64) -> Header {
        Header { epoch: self.epoch + 1, settings, ..self }
    }
}

/// What is true of a partition as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Life {
    /// Its first shard may not be there yet. Whoever meets this makes it.
    Creating = 1,
    Live = 2,
    /// Its shards are being frozen to see whether they are empty.
    Retiring = 3,
    Retired = 4,
}

/// The value of a partition's state row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub life: Life,
    pub epoch: u64,
    /// Names the retirement under way; 0 where there is none.
    pub token: u64,
}

impl State {
    pub(crate) fn encode(self) -> [u8; BYTES] {
        encode(self.life as u8, self.epoch, self.token)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<State, EngineError> {
        let lives = [Life::Creating, Life::Live, Life::Retiring, Life::Retired];
        decode(bytes)
            .and_then(|(kind, epoch, token)| {
                let life = lives.into_iter().find(|life| *life as u8 == kind)?;
                Some(State { life, epoch, token })
            })
            .ok_or_else(|| EngineError::Corrupt("the state of a partition".into()))
    }

    pub(crate) fn then(self, life: Life, token: u64) -> State {
        State { life, epoch: self.epoch + 1, token }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_nothing_else_passes() {
        let header = Header { phase: Phase::Frozen, epoch: 7, token: 9, settings: 3 };
        assert_eq!(Header::decode(&header.encode()).unwrap(), header);
        let state = State { life: Life::Retiring, epoch: 7, token: 9 };
        assert_eq!(State::decode(&state.encode()).unwrap(), state);
        for bytes in [&b""[..], &header.encode()[1..], &[2; HEADER_BYTES], &[2; BYTES]] {
            assert!(Header::decode(bytes).is_err() && State::decode(bytes).is_err(), "{bytes:?}");
        }
        assert!(State::decode(&header.encode()).is_err());
        assert!(Header::decode(&state.encode()).is_err());
        assert!(State::decode(&encode(99, 1, 1)).is_err());
    }

    /// The bytes of docs/formats/rados.md.
    #[test]
    fn the_bytes_are_as_documented() {
        let header = Header { phase: Phase::Retired, epoch: 0x0102, token: 0xFF, settings: 5 };
        let want = [1, 6, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0xFF];
        assert_eq!(header.encode()[..18], want);
        assert_eq!(header.encode()[18..], [0, 0, 0, 0, 0, 0, 0, 5]);
    }
}
