//! `costrel logs top`: how often each object was requested, by delivered access logs.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use costrel_core::bucket::Bucket;
use costrel_core::list::ListObjects;
use costrel_core::names::ObjectKey;
use costrel_core::object::{GetRequest, Links, Selection};
use costrel_core::precondition::ReadConditions;
use costrel_core::{Error, Store};
use flate2::write::MultiGzDecoder;

use crate::asking::{self, AskError};
use crate::cli::TopArgs;

/// Path of the list at the console endpoint.
pub const PATH: &str = "/logs/top";

/// Objects that are told apart; requests of further ones are counted together.
const OBJECTS_MAX: usize = 200_000;
/// Longest line that is looked at, in bytes.
const LINE_MAX: usize = 1 << 20;
pub const COUNT_MAX: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum TopError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{path}: {source}")]
    Read { path: String, source: io::Error },
}

/// Asks the running server, or reads a folder.
pub fn run(args: TopArgs) -> Result<(), TopError> {
    if let Some(bucket) = &args.bucket {
        let target = asking::about(PATH, bucket)?;
        let count = args.count;
        print!("{}", asking::ask(args.serve, &format!("{target}&count={count}"))?);
        return Ok(());
    }
    let mut tally = Tally::new(None);
    if let Some(folder) = &args.folder {
        read_folder(folder, &mut tally)?;
    }
    print!("{}", tally.text(args.count.min(COUNT_MAX)));
    Ok(())
}

fn read_folder(folder: &Path, tally: &mut Tally) -> Result<(), TopError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| TopError::Read { path, source }
    };
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        // Links are not followed: they may lead back.
        let kind = path.symlink_metadata().map_err(failed(&path))?.file_type();
        if kind.is_dir() {
            read_folder(&path, tally)?;
        } else if kind.is_file() {
            let mut file = std::fs::File::open(&path).map_err(failed(&path))?;
            let mut log = LogFile::default();
            let mut piece = vec![0; 64 << 10];
            loop {
                let read = file.read(&mut piece).map_err(failed(&path))?;
                if read == 0 {
                    break;
                }
                log.read(&piece[..read], tally);
            }
            log.finish(tally);
        }
    }
    Ok(())
}

/// What the server answers: the delivered logs of a bucket, read where they are
/// delivered to now.
pub async fn page(store: &Arc<Store>, name: &str, count: usize) -> costrel_core::Result<String> {
    let bucket = store.bucket(name).await?;
    let Some(logging) = store.logging(&bucket).await? else {
        return Ok(format!("{name}: its requests are not logged\n"));
    };
    let target = store.bucket(&logging.target).await?;
    let mut tally = Tally::new(Some(name.to_owned()));
    let mut request =
        ListObjects { prefix: logging.prefix.clone(), max: 1000, ..ListObjects::default() };
    loop {
        let page = store.list_objects(&target, &request).await?;
        for (key, _) in &page.entries {
            match read_object(store, &target, key, &mut tally).await {
                // Gone meanwhile.
                Ok(()) | Err(Error::NoSuchKey) => {}
                Err(error @ (Error::NoSuchBucket | Error::StorageUnavailable)) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(key, %error, "a delivered log cannot be read");
                    tally.unreadable += 1;
                }
            }
        }
        match page.last() {
            Some(last) if page.truncated => request.after = last.to_owned(),
            _ => break,
        }
    }
    Ok(tally.text(count.min(COUNT_MAX)))
}

async fn read_object(
    store: &Arc<Store>,
    target: &Bucket,
    key: &str,
    tally: &mut Tally,
) -> costrel_core::Result<()> {
    let request = GetRequest {
        key: ObjectKey::new(key)?,
        version: None,
        selection: Selection::Whole,
        conditions: ReadConditions::default(),
        links: Links::Anywhere,
        seen: None,
    };
    let (_, _, mut reader) = store.get_object(target, &request).await?;
    let mut log = LogFile::default();
    while let Some(piece) = reader.next_piece().await? {
        log.read(&piece, tally);
        tokio::task::yield_now().await;
    }
    log.finish(tally);
    Ok(())
}

/// How often each object was asked for.
struct Tally {
    /// `None` for all.
    bucket: Option<String>,
    objects: HashMap<(String, String), Counts>,
    /// Of objects beyond those that are told apart.
    others: Counts,
    /// Requests to buckets themselves.
    on_buckets: u64,
    /// Objects below the prefix that are no logs, or that cannot be read.
    unreadable: u64,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    requests: u64,
    sent: u64,
}

impl Tally {
    fn new(bucket: Option<String>) -> Tally {
        let (objects, others) = Default::default();
        Tally { bucket, objects, others, on_buckets: 0, unreadable: 0 }
    }

    /// False for what is no line of a log.
    fn line(&mut self, line: &str) -> bool {
        let Some(seen) = of_cos(line).or_else(|| of_s3(line)) else { return false };
        if self.bucket.as_ref().is_some_and(|bucket| bucket != seen.bucket) {
            return true;
        }
        let Some(key) = seen.key else {
            self.on_buckets += 1;
            return true;
        };
        let key = costrel_protocol::percent::decode(key).map_or(key.to_owned(), |key| key.into());
        let name = (seen.bucket.to_owned(), key);
        let counts = match self.objects.len() < OBJECTS_MAX || self.objects.contains_key(&name) {
            true => self.objects.entry(name).or_default(),
            false => &mut self.others,
        };
        counts.requests += 1;
        counts.sent += seen.sent;
        true
    }

    fn text(&self, count: usize) -> String {
        let mut objects: Vec<_> = self.objects.iter().collect();
        objects.sort_by_key(|(name, counts)| (Reverse(counts.requests), *name));
        let mut text = format!("{:>12} {:>16} object\n", "requests", "bytes sent");
        let mut line = |counts: Counts, what: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:>12} {:>16} {what}", counts.requests, counts.sent);
        };
        for ((bucket, key), counts) in objects.iter().take(count) {
            // A key may have any character; escapes keep it on its line.
            line(**counts, &format!("{bucket} {key:?}"));
        }
        let mut rest = self.others;
        for (_, counts) in objects.iter().skip(count) {
            rest.requests += counts.requests;
            rest.sent += counts.sent;
        }
        if rest.requests > 0 {
            line(rest, "other objects");
        }
        if self.on_buckets > 0 {
            let _ = writeln!(text, "{:>12} {:>16} requests on buckets", self.on_buckets, "");
        }
        if self.unreadable > 0 {
            let _ = writeln!(text, "{:>12} {:>16} files that are no logs", self.unreadable, "");
        }
        text
    }
}

/// What a line says.
struct Seen<'a> {
    bucket: &'a str,
    /// `None` for the bucket itself.
    key: Option<&'a str>,
    sent: u64,
}

/// The first 29 fields have no spaces.
fn of_cos(line: &str) -> Option<Seen<'_>> {
    let mut fields = line.strip_prefix("1.0 ")?.split(' ');
    let bucket = fields.next()?;
    let path = fields.nth(9)?;
    let sent = fields.nth(5)?.parse().ok()?;
    Some(Seen { bucket, key: path.strip_prefix('/').filter(|key| !key.is_empty()), sent })
}

fn of_s3(line: &str) -> Option<Seen<'_>> {
    let (front, rest) = line.split_once(" \"")?;
    let mut fields = front.split(' ');
    let bucket = fields.nth(1)?;
    fields.next().filter(|time| time.starts_with('['))?;
    let key = fields.nth(5)?;
    let (_, rest) = rest.split_once("\" ")?;
    let sent = match rest.split(' ').nth(2)? {
        "-" => 0,
        sent => sent.parse().ok()?,
    };
    Some(Seen { bucket, key: Some(key).filter(|key| *key != "-"), sent })
}

/// One delivered log, compressed or not, as its bytes come.
#[derive(Default)]
struct LogFile {
    /// The first two bytes tell.
    head: Vec<u8>,
    gzip: Option<MultiGzDecoder<Lines>>,
    plain: Lines,
    damaged: bool,
}

impl LogFile {
    fn read(&mut self, mut bytes: &[u8], tally: &mut Tally) {
        let mut front = Vec::new();
        if self.gzip.is_none() && self.head.len() < 2 {
            self.head.extend_from_slice(bytes);
            if self.head.len() < 2 {
                return;
            }
            if self.head.starts_with(&[0x1F, 0x8B]) {
                self.gzip = Some(MultiGzDecoder::new(Lines::default()));
            }
            front = std::mem::take(&mut self.head);
            self.head = vec![0; 2];
            bytes = &[];
        }
        for part in [&front[..], bytes] {
            let lines = match &mut self.gzip {
                None => {
                    // It takes everything.
                    let _ = self.plain.write_all(part);
                    &mut self.plain
                }
                Some(gzip) => {
                    self.damaged |= gzip.write_all(part).is_err();
                    gzip.get_mut()
                }
            };
            lines.count(tally);
        }
    }

    fn finish(mut self, tally: &mut Tally) {
        if let Some(gzip) = &mut self.gzip {
            self.damaged |= gzip.try_finish().is_err();
            gzip.get_mut().count(tally);
            self.damaged |= gzip.get_mut().foreign;
        }
        if self.damaged || self.plain.foreign {
            tally.unreadable += 1;
        }
    }
}

/// Bytes that are cut into lines.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
    /// Lines of something else have come.
    foreign: bool,
}

impl Lines {
    fn count(&mut self, tally: &mut Tally) {
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            if self.rest.len() > LINE_MAX {
                self.rest.clear();
                self.foreign = true;
            }
            return;
        };
        for line in self.rest[..end].split(|byte| *byte == b'\n') {
            self.foreign |= !std::str::from_utf8(line).is_ok_and(|line| tally.line(line));
        }
        self.rest.drain(..=end);
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const COS: &str = "1.0 b-1 ap-x 2018-12-01T11:02:33Z host GetObject 1.2.3.4 AKID - 0 0 /a%20b \
                       GET ua 200 - - 7 1 USER STANDARD 1 1 1:1 id 7 - - - \"GET /a%20b HTTP/1.1\" \"0\"";
    const S3: &str = "1 b-2 [06/Feb/2019:00:00:38 +0000] 1.2.3.4 - ID REST.GET.OBJECT a%20b \
                      \"GET /a%20b HTTP/1.1\" 200 - 5 5 1 1 \"-\" \"u a\" - host SigV4 - AuthHeader h - - -";

    fn counted(pieces: &[&[u8]]) -> Tally {
        let mut tally = Tally::new(None);
        let mut log = LogFile::default();
        pieces.iter().for_each(|piece| log.read(piece, &mut tally));
        log.finish(&mut tally);
        tally
    }

    #[test]
    fn lines_of_both_forms_are_counted() {
        let text = format!("{COS}\n{S3}\n{S3}\n{}\n", COS.replace(" /a%20b ", " / "));
        let expected = format!(
            "{:>12} {:>16} object\n{:>12} {:>16} b-2 \"a b\"\n{:>12} {:>16} b-1 \"a b\"\n\
             {:>12} {:>16} requests on buckets\n",
            "requests", "bytes sent", 2, 10, 1, 7, 1, ""
        );
        let all = text.as_bytes();
        assert_eq!(counted(&[all]).text(10), expected);
        let bytes: Vec<&[u8]> = all.chunks(1).collect();
        assert_eq!(counted(&bytes).text(10), expected);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(all).unwrap();
        let packed = gzip.finish().unwrap();
        assert_eq!(counted(&[&packed]).text(10), expected);
        let bytes: Vec<&[u8]> = packed.chunks(1).collect();
        assert_eq!(counted(&bytes).text(10), expected);
        let half = counted(&[&packed[..packed.len() / 2]]);
        assert_eq!(half.unreadable, 1);
        let one = counted(&[all]).text(1);
        assert!(one.contains(&format!("{:>12} {:>16} other objects", 1, 7)), "{one}");
    }

    #[test]
    fn other_files_are_told_apart() {
        for text in ["hello\n", "1.0 a\n", "\u{fffd}\u{0}\n", "a \"b\n"] {
            let tally = counted(&[text.as_bytes()]);
            assert_eq!((tally.unreadable, tally.objects.len()), (1, 0), "{text:?}");
        }
        assert_eq!(counted(&[]).unreadable, 0);
    }
}
