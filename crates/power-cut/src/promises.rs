//! What a client of the store was told, as a text that the workload writes beside
//! the data directory and the check reads: the recording shows where in the order
//! of all file operations each line stands.
//!
//! Every key has one writer, which waits for each answer. So after a cut a key
//! shows what its last answered write made, or what the one under way makes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use costrel_core::names::UploadId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A piece of a body, made from a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub seed: u64,
    pub len: usize,
}

impl Piece {
    /// Letters: a recording shows them as they are, other bytes with escapes.
    pub fn bytes(self) -> Vec<u8> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        (0..self.len).map(|_| rng.random_range(b'a'..=b'z')).collect()
    }
}

/// What a key holds: pieces one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content(pub Vec<Piece>);

impl Content {
    pub fn bytes(&self) -> Bytes {
        self.0.iter().flat_map(|piece| piece.bytes()).collect()
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|piece| piece.len).sum()
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pieces = self.0.iter().map(|piece| format!("{}:{}", piece.seed, piece.len));
        f.write_str(&pieces.collect::<Vec<_>>().join("+"))
    }
}

impl FromStr for Content {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let piece = |text: &str| {
            let (seed, len) = text.split_once(':').ok_or("a piece without a length")?;
            let number = |e: std::num::ParseIntError| format!("{text}: {e}");
            Ok(Piece { seed: seed.parse().map_err(number)?, len: len.parse().map_err(number)? })
        };
        text.split('+').map(piece).collect::<Result<_, String>>().map(Content)
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A write of a key, or of a bucket's name, begins; `None` deletes.
    Begun(String, Option<Content>),
    /// It was answered with success.
    Answered(String),
    /// A part of an upload of a key was answered.
    Part { key: String, upload: UploadId, number: u32, piece: Piece },
    /// The upload is about to be completed or aborted.
    Ending(UploadId),
    /// It was completed or aborted.
    Ended(UploadId),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Begun(key, Some(content)) => write!(f, "begun {key} {content}"),
            Note::Begun(key, None) => write!(f, "begun {key} -"),
            Note::Answered(key) => write!(f, "answered {key}"),
            Note::Part { key, upload, number, piece } => {
                let upload = hex::encode(upload.0);
                write!(f, "part {key} {upload} {number} {}", Content(vec![*piece]))
            }
            Note::Ending(upload) => write!(f, "ending {}", hex::encode(upload.0)),
            Note::Ended(upload) => write!(f, "ended {}", hex::encode(upload.0)),
        }
    }
}

impl FromStr for Note {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["begun", key, "-"] => Ok(Note::Begun(key.into(), None)),
            ["begun", key, content] => Ok(Note::Begun(key.into(), Some(content.parse()?))),
            ["answered", key] => Ok(Note::Answered(key.into())),
            ["part", key, id, number, piece] => {
                let pieces = piece.parse::<Content>()?.0;
                let number = number.parse().map_err(|e| format!("{line}: {e}"))?;
                let piece = *pieces.first().ok_or("a part without a piece")?;
                Ok(Note::Part { key: key.into(), upload: upload(id)?, number, piece })
            }
            ["ending", id] => Ok(Note::Ending(upload(id)?)),
            ["ended", id] => Ok(Note::Ended(upload(id)?)),
            _ => Err(format!("no such note: {line}")),
        }
    }
}

fn upload(text: &str) -> Result<UploadId, String> {
    let bytes = hex::decode(text).map_err(|e| format!("{text}: {e}"))?;
    bytes.try_into().map(UploadId).map_err(|_| format!("{text} is no upload id"))
}

/// What a key may show.
#[derive(Clone, Debug, Default)]
pub struct Key {
    /// After the last answered write.
    pub answered: Option<Content>,
    /// After the one under way.
    pub begun: Option<Option<Content>>,
}

impl Key {
    pub fn possible(&self) -> impl Iterator<Item = Option<&Content>> {
        std::iter::once(self.answered.as_ref()).chain(self.begun.iter().map(Option::as_ref))
    }

    /// Which of what it may show is this; `None` for none of it.
    pub fn holds(&self, data: Option<&Bytes>) -> Option<Option<&Content>> {
        self.possible().find(|content| match (content, data) {
            (Some(content), Some(data)) => content.len() == data.len() && content.bytes() == *data,
            (None, None) => true,
            _ => false,
        })
    }

    /// The same of a bucket, which is there or not.
    pub fn found(&self, there: bool) -> Option<Option<&Content>> {
        self.possible().find(|content| content.is_some() == there)
    }
}

/// Whether a promise is one about a bucket's name.
pub fn is_bucket(key: &str) -> bool {
    !key.contains('/')
}

/// Everything promised so far.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    pub keys: BTreeMap<String, Key>,
    /// Parts of uploads that nobody has begun to end.
    pub parts: BTreeMap<(String, UploadId), BTreeMap<u32, Piece>>,
    /// Uploads that are gone.
    pub ended: BTreeSet<(String, UploadId)>,
    ending: BTreeMap<UploadId, String>,
    pub answers: usize,
}

impl Promises {
    pub fn note(&mut self, note: Note) {
        match note {
            Note::Begun(key, content) => {
                self.keys.entry(key).or_default().begun = Some(content);
            }
            Note::Answered(key) => {
                let key = self.keys.entry(key).or_default();
                if let Some(begun) = key.begun.take() {
                    key.answered = begun;
                }
                self.answers += 1;
            }
            Note::Part { key, upload, number, piece } => {
                self.parts.entry((key, upload)).or_default().insert(number, piece);
                self.answers += 1;
            }
            Note::Ending(upload) => {
                let named = self.parts.keys().find(|(_, id)| *id == upload).cloned();
                if let Some(named) = named {
                    self.parts.remove(&named);
                    self.ending.insert(upload, named.0);
                }
            }
            Note::Ended(upload) => {
                if let Some(key) = self.ending.remove(&upload) {
                    self.ended.insert((key, upload));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_written() {
        let piece = Piece { seed: 7, len: 100 };
        let upload = UploadId([9; 16]);
        let notes = [
            Note::Begun("k".into(), Some(Content(vec![piece, Piece { seed: 8, len: 0 }]))),
            Note::Begun("k".into(), None),
            Note::Answered("k".into()),
            Note::Part { key: "k".into(), upload, number: 3, piece },
            Note::Ending(upload),
            Note::Ended(upload),
        ];
        for note in notes {
            assert_eq!(note.to_string().parse(), Ok(note));
        }
    }

    #[test]
    fn a_key_shows_the_last_answer_or_what_is_under_way() {
        let mut promises = Promises::default();
        let content = |seed| Content(vec![Piece { seed, len: 1 }]);
        let possible = |promises: &Promises| {
            let key = promises.keys.get("k").cloned().unwrap_or_default();
            key.possible().map(|content| content.cloned()).collect::<Vec<_>>()
        };
        promises.note(Note::Begun("k".into(), Some(content(1))));
        assert_eq!(possible(&promises), [None, Some(content(1))]);
        promises.note(Note::Answered("k".into()));
        assert_eq!(possible(&promises), [Some(content(1))]);
        promises.note(Note::Begun("k".into(), None));
        assert_eq!(possible(&promises), [Some(content(1)), None]);
        promises.note(Note::Answered("k".into()));
        assert_eq!(possible(&promises), [None]);
    }
}
