//! The record of a change of shape: rows of neighbouring shards move to new
//! shards, which take their place in the root at once.

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// Rows are being copied. It may still be abandoned by anybody.
    Begun = 1,
    /// The root names the new shards. What is left is to let them know.
    Committed = 2,
    /// It will never be committed. What is left is to give the old shards back to
    /// their writers.
    Abandoned = 3,
}

const VERSION: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Names the change, in its shards' headers too.
    pub token: u64,
    pub stage: Stage,
    /// The shards that give their rows away, in the order of their ranges.
    pub sources: Vec<u64>,
    /// Low bounds and numbers of those that take them, in order.
    pub targets: Vec<(Vec<u8>, u64)>,
}

impl Change {
    pub(super) fn at(&self, stage: Stage) -> Change {
        Change { stage, ..self.clone() }
    }

    /// The value of the change's row; the token is in its key.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, self.stage as u8];
        bytes.extend_from_slice(&(self.sources.len() as u32).to_be_bytes());
        for source in &self.sources {
            bytes.extend_from_slice(&source.to_be_bytes());
        }
        for (low, target) in &self.targets {
            bytes.extend_from_slice(&target.to_be_bytes());
            bytes.extend_from_slice(&(low.len() as u32).to_be_bytes());
            bytes.extend_from_slice(low);
        }
        bytes
    }

    pub(super) fn decode(token: u64, bytes: &[u8]) -> Option<Change> {
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        let stages = [Stage::Begun, Stage::Committed, Stage::Abandoned];
        let stage = stages.into_iter().find(|stage| *stage as u8 == head[1])?;
        let (count, mut rest) = take_u32(rest).filter(|_| head[0] == VERSION)?;
        let (mut sources, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (source, behind) = take_u64(rest)?;
            sources.push(source);
            rest = behind;
        }
        while !rest.is_empty() {
            let (target, behind) = take_u64(rest)?;
            let (len, behind) = take_u32(behind)?;
            let (low, behind) = behind.split_at_checked(len as usize)?;
            targets.push((low.to_vec(), target));
            rest = behind;
        }
        Some(Change { token, stage, sources, targets })
    }
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of docs/formats/rados.md.
    #[test]
    fn a_change_comes_back_and_nothing_cut_short_passes() {
        let change = Change {
            token: 7,
            stage: Stage::Committed,
            sources: vec![1, 2],
            targets: vec![(b"".to_vec(), 3), (b"m".to_vec(), 4)],
        };
        let bytes = change.encode();
        let want = "01020000000200000000000000010000000000000002000000000000000300000000\
                    0000000000000004000000016d";
        assert_eq!(hex::encode(&bytes), want);
        assert_eq!(Change::decode(7, &bytes), Some(change));
        let ends = [22, 34];
        for len in (0..bytes.len()).filter(|len| !ends.contains(len)) {
            assert_eq!(Change::decode(7, &bytes[..len]), None, "{len}");
        }
        assert_eq!(Change::decode(7, &[2, 1, 0, 0, 0, 0]), None);
        assert_eq!(Change::decode(7, &[1, 9, 0, 0, 0, 0]), None);
        assert_eq!(Change::decode(7, &[1, 1, 0xFF, 0xFF, 0xFF, 0xFF]), None);
    }
}
