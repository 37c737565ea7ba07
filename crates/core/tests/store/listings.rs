//! Pages of keys and of uploads against a model that knows no seeking.

use std::collections::{BTreeMap, BTreeSet};

use costrel_core::list::ListObjects;
use costrel_core::names::UploadId;
use costrel_core::upload::ListUploads;

use crate::common::random::{Random, seed};
use crate::common::{World, body};

crate::on_every_engine!(random_pages_equal_the_model, uploads_page, markers, entries_tell_all);

/// One line of a page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Key(String),
    Prefix(String),
}

/// What all pages together show.
fn model(keys: &BTreeSet<String>, prefix: &str, delimiter: &str, after: &str) -> Vec<Line> {
    let common = |key: &str| {
        let rest = key.strip_prefix(prefix)?;
        let at = (!delimiter.is_empty()).then(|| rest.find(delimiter)).flatten()?;
        Some(key[..prefix.len() + at + delimiter.len()].to_owned())
    };
    let mut lines = Vec::new();
    for key in keys.iter().filter(|key| key.starts_with(prefix) && key.as_str() > after) {
        match common(key) {
            // An earlier page ended with this prefix.
            Some(common) if common == after => {}
            Some(common) => {
                let line = Line::Prefix(common);
                if lines.last() != Some(&line) {
                    lines.push(line);
                }
            }
            None => lines.push(Line::Key(key.clone())),
        }
    }
    lines
}

async fn random_pages_equal_the_model(world: &World) {
    let mut random = Random::new(seed("random_pages_equal_the_model"));
    let bucket = world.bucket("listing").await;
    let letters = ["a", "b", "/", "//", "a/", "\0", "中", "\u{10ffff}", "aa", "~"];
    let mut word = |longest: usize| -> String {
        (0..random.below(longest + 1)).map(|_| letters[random.below(letters.len())]).collect()
    };
    let keys: BTreeSet<String> = (0..150).map(|_| word(6)).filter(|key| !key.is_empty()).collect();
    for key in &keys {
        world.put(&bucket, key, body(1, 10)).await.unwrap();
    }
    for _ in 0..400 {
        let (prefix, after) = (word(2), word(4));
        let delimiter = ["", "", "/", "/", "//", "a", "aa", "a/", "中"][word(5).len() % 9];
        let max = 1 + word(4).len() % 7;
        let mut lines = Vec::new();
        let mut from = after.clone();
        loop {
            let request = ListObjects {
                prefix: prefix.clone(),
                delimiter: delimiter.into(),
                after: from.clone(),
                max,
            };
            let page = world.store.list_objects(&bucket, &request).await.unwrap();
            let mut shown: Vec<(String, Line)> = page
                .entries
                .iter()
                .map(|(key, _)| (key.clone(), Line::Key(key.clone())))
                .chain(page.common_prefixes.iter().map(|p| (p.clone(), Line::Prefix(p.clone()))))
                .collect();
            shown.sort();
            assert!(shown.len() <= max && (!page.truncated || shown.len() == max));
            assert_eq!(page.last(), shown.last().map(|(text, _)| text.as_str()));
            lines.extend(shown.into_iter().map(|(_, line)| line));
            if !page.truncated {
                break;
            }
            from = page.last().unwrap().to_owned();
        }
        let want = model(&keys, &prefix, delimiter, &after);
        assert_eq!(lines, want, "prefix {prefix:?} delimiter {delimiter:?} after {after:?} {max}");
    }
}

async fn markers(world: &World) {
    let bucket = world.bucket("markers").await;
    for key in ["a", "a/", "a/b", "a/c/d", "a0", "b/x", "c", "xaaab", "xaab", "yaaab"] {
        world.put(&bucket, key, body(1, 10)).await.unwrap();
    }
    let page = async |prefix: &str, delimiter: &str, after: &str, max: usize| {
        let request = ListObjects {
            prefix: prefix.into(),
            delimiter: delimiter.into(),
            after: after.into(),
            max,
        };
        let page = world.store.list_objects(&bucket, &request).await.unwrap();
        let keys: Vec<String> = page.entries.into_iter().map(|(key, _)| key).collect();
        (keys.join(" "), page.common_prefixes.join(" "), page.truncated)
    };
    let show = |keys: &str, prefixes: &str, more| (keys.to_owned(), prefixes.to_owned(), more);
    assert_eq!(page("", "/", "", 100).await, show("a a0 c xaaab xaab yaaab", "a/ b/", false));
    // A marker that is a common prefix, one inside it, one that only looks so.
    assert_eq!(page("", "/", "a/", 100).await, show("a0 c xaaab xaab yaaab", "b/", false));
    assert_eq!(page("", "/", "a/b", 100).await, show("a0 c xaaab xaab yaaab", "a/ b/", false));
    assert_eq!(page("", "/", "a/c/", 100).await, show("a0 c xaaab xaab yaaab", "a/ b/", false));
    assert_eq!(page("a/", "/", "a/", 100).await, show("a/b", "a/c/", false));
    assert_eq!(page("", "aa", "xaaa", 100).await, show("", "xaa yaa", false));
    assert_eq!(page("", "aa", "xaa", 100).await, show("", "yaa", false));
    assert_eq!(page("y", "aa", "yaaa", 100).await, show("", "yaa", false));
    // Markers before and behind all keys of the prefix.
    assert_eq!(page("b", "", "a", 100).await, show("b/x", "", false));
    assert_eq!(page("b", "", "zzz", 100).await, show("", "", false));
    assert_eq!(page("b", "/", "zzz/", 100).await, show("", "", false));
    let long = format!("a{}", "z".repeat(2000));
    assert_eq!(page(&long, "/", "", 100).await, show("", "", false));
    assert_eq!(page("", "", "", 0).await, show("", "", false));
    assert_eq!(page("", "", "c", 3).await, show("xaaab xaab yaaab", "", false));
    assert_eq!(page("", "/", "", 2).await, show("a", "a/", true));
    assert!(!page("", "", "", usize::MAX).await.2);
}

async fn entries_tell_all(world: &World) {
    let bucket = world.bucket("entries").await;
    let put = world.put(&bucket, "k", body(1, 10)).await.unwrap();
    let request = ListObjects { max: 10, ..Default::default() };
    let page = world.store.list_objects(&bucket, &request).await.unwrap();
    let (key, entry) = &page.entries[0];
    assert_eq!((key.as_str(), entry.size, &entry.etag), ("k", 10, &put.etag));
    assert_eq!(entry.modified_ms, put.modified_ms);
}

async fn uploads_page(world: &World) {
    let bucket = world.bucket("upload-lists").await;
    let mut open: BTreeMap<String, Vec<UploadId>> = BTreeMap::new();
    for key in ["a", "a/b", "a/c", "b", "b", "b", "c/d", "c/d", "z"] {
        let id = world.initiate(&bucket, key).await.unwrap();
        open.entry(key.to_owned()).or_default().push(id);
    }
    let all: Vec<(String, UploadId)> =
        open.iter().flat_map(|(key, ids)| ids.iter().map(|id| (key.clone(), *id))).collect();
    for max in 1..=all.len() + 1 {
        let mut seen = Vec::new();
        let mut request = ListUploads { max, ..Default::default() };
        loop {
            let page = world.store.list_uploads(&bucket, &request).await.unwrap();
            assert!(page.entries.len() <= max);
            seen.extend(page.entries.iter().map(|(key, entry)| (key.clone(), entry.id)));
            if !page.truncated {
                break;
            }
            let (key, last) = page.entries.last().unwrap();
            request.key_marker = key.clone();
            request.upload_marker = Some(last.id);
        }
        // In order of key, then age.
        assert_eq!(seen, all);
    }
    let list = async |request: ListUploads| {
        let page = world.store.list_uploads(&bucket, &request).await.unwrap();
        let keys: Vec<String> = page.entries.into_iter().map(|(key, _)| key).collect();
        (keys.join(" "), page.common_prefixes.join(" "))
    };
    let base = || ListUploads { max: 100, ..Default::default() };
    let show = |keys: &str, prefixes: &str| (keys.to_owned(), prefixes.to_owned());
    let folders = ListUploads { delimiter: "/".into(), ..base() };
    assert_eq!(list(folders).await, show("a b b b z", "a/ c/"));
    let inside = ListUploads { prefix: "a/".into(), ..base() };
    assert_eq!(list(inside).await, show("a/b a/c", ""));
    // Without an upload id, a marker skips all uploads of its key.
    let behind = ListUploads { key_marker: "b".into(), ..base() };
    assert_eq!(list(behind).await, show("c/d c/d z", ""));
    let folder = ListUploads { key_marker: "a/".into(), delimiter: "/".into(), ..base() };
    assert_eq!(list(folder).await, show("b b b z", "c/"));
    for (key, id) in all {
        world.abort(&bucket, &key, id).await.unwrap();
    }
}
