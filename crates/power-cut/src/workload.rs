//! What runs while the file operations are recorded: writers that overwrite,
//! append to, delete and assemble objects of all sizes, and buckets that come and
//! go, until journals were rotated and removed and tables were merged.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use costrel_core::Store;
use costrel_core::bucket::Bucket;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::promises::{self, Content, Note, Piece, Promises};
use crate::store::{self, BUCKET, Requests};

const WRITERS: usize = 8;
const KEYS_PER_WRITER: usize = 5;
/// Appended objects begin anew at this length.
const GROWN_MAX: usize = 400_000;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In the midst of it all.
    Killed,
    Closed,
}

/// Writes `bytes` bytes of bodies to the store in `dir`, with a line in `notes`
/// for every promise.
pub async fn run(dir: &Path, notes: &Path, seed: u64, bytes: u64, end: End) -> Result<(), String> {
    let mut promises = Promises::default();
    for line in std::fs::read_to_string(notes).unwrap_or_default().lines() {
        promises.note(line.parse()?);
    }
    let file = OpenOptions::new().append(true).create(true).open(notes);
    let notes = Arc::new(Notes(file.map_err(|e| format!("opening the notes: {e}"))?));
    let (store, collector) = store::open(dir).await?;
    let collecting = tokio::spawn(collector.run());
    let bucket = match store::bucket(&store, BUCKET).await? {
        Some(bucket) => bucket,
        None => notes.bucket(&store, BUCKET).await?,
    };
    notes.settle(&store, &bucket, &mut promises).await?;
    let left = Arc::new(AtomicU64::new(bytes));
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let mut writer = Writer {
            store: store.clone(),
            bucket: bucket.clone(),
            notes: notes.clone(),
            rng: StdRng::seed_from_u64(seed ^ ((number as u64) << 32)),
            left: left.clone(),
            number,
            holds: HashMap::new(),
        };
        for (key, promised) in &promises.keys {
            if let Some(content) = &promised.answered {
                writer.holds.insert(key.clone(), content.clone());
            }
        }
        writers.push(tokio::spawn(async move { writer.run().await }));
    }
    for writer in writers {
        let ended = writer.await.map_err(|e| format!("a writer failed: {e}"))?;
        if end == End::Killed {
            // Whatever the others and the background are doing.
            std::process::exit(i32::from(ended.is_err()));
        }
        ended?;
    }
    collecting.abort();
    store.engine().close().await.map_err(|e| format!("closing: {e}"))
}

struct Notes(File);

impl Notes {
    /// One write, so that the recording has it in one piece.
    fn note(&self, note: Note) -> Result<(), String> {
        (&self.0).write_all(format!("{note}\n").as_bytes()).map_err(|e| format!("noting: {e}"))
    }

    /// Makes a bucket. Its name is promised like a key.
    async fn bucket(&self, store: &Arc<Store>, name: &str) -> Result<Arc<Bucket>, String> {
        self.note(Note::Begun(name.into(), Some(Content(vec![Piece { seed: 0, len: 0 }]))))?;
        let bucket = store::make_bucket(store, name).await?;
        self.note(Note::Answered(name.into()))?;
        Ok(bucket)
    }

    /// Looks what has become of the writes that the process before was killed in, and
    /// promises that: what has been seen once must not change without being written.
    async fn settle(
        &self,
        store: &Arc<Store>,
        bucket: &Arc<Bucket>,
        promises: &mut Promises,
    ) -> Result<(), String> {
        let requests = Requests { store, bucket };
        let under_way = promises.keys.iter().filter(|(_, promised)| promised.begun.is_some());
        let mut settled = Vec::new();
        for (key, promised) in under_way {
            let found = match promises::is_bucket(key) {
                true => promised.found(store::bucket(store, key).await?.is_some()),
                false => promised.holds(requests.get(key).await?.as_ref()),
            };
            let found = found.ok_or_else(|| format!("{key} is not as promised: {promised:?}"))?;
            settled.push(Note::Begun(key.clone(), found.cloned()));
            settled.push(Note::Answered(key.clone()));
        }
        for note in settled {
            self.note(note.clone())?;
            promises.note(note);
        }
        Ok(())
    }
}

struct Writer {
    store: Arc<Store>,
    bucket: Arc<Bucket>,
    notes: Arc<Notes>,
    rng: StdRng,
    left: Arc<AtomicU64>,
    number: usize,
    /// What its keys hold.
    holds: HashMap<String, Content>,
}

impl Writer {
    async fn run(&mut self) -> Result<(), String> {
        loop {
            let written = match self.rng.random_range(0..100) {
                0..70 => self.put().await?,
                70..80 => self.delete().await?,
                80..90 => self.append().await?,
                90..99 => self.multipart().await?,
                _ => self.bucket().await?,
            };
            let order = Ordering::Relaxed;
            let taken = |left: u64| left.checked_sub(written as u64 + 1);
            if self.left.fetch_update(order, order, taken).is_err() {
                return Ok(());
            }
        }
    }

    fn key(&mut self) -> String {
        format!("w{}/{}", self.number, self.rng.random_range(0..KEYS_PER_WRITER))
    }

    fn piece(&mut self) -> Piece {
        let len = match self.rng.random_range(0..20) {
            0 => 0,
            1..6 => self.rng.random_range(1..4000),
            6..18 => self.rng.random_range(4096..65_536),
            _ => self.rng.random_range(65_537..700_000),
        };
        Piece { seed: self.rng.random(), len }
    }

    fn begin(&self, key: &str, content: Option<Content>) -> Result<(), String> {
        self.notes.note(Note::Begun(key.into(), content))
    }

    fn answered(&mut self, key: String, content: Option<Content>) -> Result<(), String> {
        self.notes.note(Note::Answered(key.clone()))?;
        match content {
            Some(content) => self.holds.insert(key, content),
            None => self.holds.remove(&key),
        };
        Ok(())
    }

    async fn put(&mut self) -> Result<usize, String> {
        let (key, content) = (self.key(), Content(vec![self.piece()]));
        let data = content.bytes();
        self.begin(&key, Some(content.clone()))?;
        self.requests().put(&key, data).await?;
        let len = content.len();
        self.answered(key, Some(content))?;
        Ok(len)
    }

    async fn delete(&mut self) -> Result<usize, String> {
        let key = self.key();
        self.begin(&key, None)?;
        self.requests().delete(&key).await?;
        self.answered(key, None)?;
        Ok(0)
    }

    async fn append(&mut self) -> Result<usize, String> {
        let (key, piece) = (format!("w{}/grown", self.number), self.piece());
        let mut content = self.holds.get(&key).cloned().unwrap_or_default();
        if content.len() > GROWN_MAX {
            self.begin(&key, None)?;
            self.requests().delete(&key).await?;
            self.answered(key, None)?;
            return Ok(0);
        }
        let position = content.len() as u64;
        content.0.push(piece);
        self.begin(&key, Some(content.clone()))?;
        self.requests().append(&key, position, piece.bytes().into()).await?;
        self.answered(key, Some(content))?;
        Ok(piece.len)
    }

    async fn multipart(&mut self) -> Result<usize, String> {
        let key = self.key();
        let upload = self.requests().initiate(&key).await?;
        let (mut content, mut parts) = (Content::default(), Vec::new());
        for number in 1..=self.rng.random_range(1..4) {
            let mut piece = self.piece();
            piece.len += 1;
            parts.push(self.requests().part(&key, upload, number, piece.bytes().into()).await?);
            self.notes.note(Note::Part { key: key.clone(), upload, number, piece })?;
            content.0.push(piece);
        }
        let len = content.len();
        match self.rng.random_range(0..10) {
            // Left open.
            0 => {}
            1..3 => {
                self.notes.note(Note::Ending(upload))?;
                self.requests().abort(&key, upload).await?;
                self.notes.note(Note::Ended(upload))?;
            }
            _ => {
                self.notes.note(Note::Ending(upload))?;
                self.begin(&key, Some(content.clone()))?;
                self.requests().complete(&key, upload, parts).await?;
                self.answered(key, Some(content))?;
                self.notes.note(Note::Ended(upload))?;
            }
        }
        Ok(len)
    }

    /// A bucket that lives shortly.
    async fn bucket(&mut self) -> Result<usize, String> {
        let name = format!("short{}-1250000000", self.number);
        if let Some(bucket) = store::bucket(&self.store, &name).await? {
            self.begin(&name, None)?;
            let deleted = self.store.delete_bucket(&bucket).await;
            deleted.map_err(|e| format!("deleting {name}: {e}"))?;
            self.notes.note(Note::Answered(name))?;
        } else {
            self.notes.bucket(&self.store, &name).await?;
        }
        Ok(0)
    }

    fn requests(&self) -> Requests<'_> {
        Requests { store: &self.store, bucket: &self.bucket }
    }
}
