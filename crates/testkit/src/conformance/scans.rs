//! Ordered scans.

use bytes::Bytes;
use costrel_core::engine::{Partition, RowRef, ScanRange, Step, Table, Write};

use super::commits::odd_names;
use super::{Lab, Visited, bytes, object, put};

pub(super) async fn check(lab: &Lab) {
    nothing_is_visited_where_nothing_is(lab).await;
    rows_come_by_group_then_suffix(lab).await;
    ranges_begin_and_end_where_they_say(lab).await;
    tables_and_partitions_are_scanned_apart(lab).await;
    a_visitor_can_stop_and_seek(lab).await;
    seeking_skips_any_number_of_rows(lab).await;
    scans_see_what_was_acknowledged(lab).await;
}

async fn nothing_is_visited_where_nothing_is(lab: &Lab) {
    assert!(lab.scan(lab.unused(), Table::Object, ScanRange::all()).await.is_empty());
    let p = lab.bucket().await;
    assert!(lab.scan(p, Table::Object, ScanRange::all()).await.is_empty());
}

/// Fills a partition with parts under all odd names; the rows in order.
async fn odd_rows(lab: &Lab, p: Partition) -> Vec<Visited> {
    let names = odd_names();
    let mut rows = Vec::new();
    for group in names.iter().rev() {
        let writes = names.iter().map(|suffix| put(RowRef::new(Table::Part, suffix.clone()), b"v"));
        lab.commit(p, group, vec![], writes.collect()).await.unwrap();
        rows.extend(names.iter().map(|suffix| (group.to_vec(), suffix.to_vec(), b"v".to_vec())));
    }
    rows.sort();
    rows
}

async fn rows_come_by_group_then_suffix(lab: &Lab) {
    let p = lab.bucket().await;
    let rows = odd_rows(lab, p).await;
    assert_eq!(lab.scan(p, Table::Part, ScanRange::all()).await, rows);
}

async fn ranges_begin_and_end_where_they_say(lab: &Lab) {
    let p = lab.bucket().await;
    let rows = odd_rows(lab, p).await;
    let names = odd_names();
    let mut ends: Vec<Option<Bytes>> = names.iter().cloned().map(Some).collect();
    ends.extend([None, Some(bytes(b"a\0a")), Some(bytes(b"zz"))]);
    for start_group in names.iter().chain([&bytes(b"a\0a"), &bytes(b"zz")]) {
        for start_suffix in [&b""[..], b"\0", b"a", b"\xff\xff\xff"] {
            for end_group in &ends {
                let range = ScanRange {
                    start_group: start_group.clone(),
                    start_suffix: bytes(start_suffix),
                    end_group: end_group.clone(),
                    rows_wanted: start_suffix.len(),
                    names_only: false,
                };
                let from = (start_group.to_vec(), start_suffix.to_vec(), Vec::new());
                let inside = |row: &&Visited| {
                    **row >= from && end_group.as_ref().is_none_or(|end| row.0[..] < end[..])
                };
                let want: Vec<_> = rows.iter().filter(inside).cloned().collect();
                let seen = lab.scan(p, Table::Part, range.clone()).await;
                assert!(seen == want, "{range:?}: saw {} of {}", seen.len(), want.len());
                let names = ScanRange { names_only: true, ..range.clone() };
                let named = lab.scan(p, Table::Part, names).await;
                let name = |row: &Visited| (row.0.clone(), row.1.clone());
                assert!(named.iter().map(name).eq(want.iter().map(name)), "names of {range:?}");
            }
        }
    }
    for group in &names {
        let seen = lab.scan(p, Table::Part, ScanRange::group(group.clone())).await;
        assert_eq!(seen.len(), names.len());
        assert!(seen.iter().all(|row| row.0[..] == group[..]));
    }
}

async fn tables_and_partitions_are_scanned_apart(lab: &Lab) {
    let (p, q) = (lab.bucket().await, lab.bucket().await);
    lab.put(p, b"k", object(), b"p").await;
    lab.put(p, b"k", RowRef::only(Table::Body), b"body").await;
    lab.put(q, b"k", object(), b"q").await;
    let row = |value: &[u8]| vec![(b"k".to_vec(), Vec::new(), value.to_vec())];
    assert_eq!(lab.scan(p, Table::Object, ScanRange::all()).await, row(b"p"));
    assert_eq!(lab.scan(q, Table::Object, ScanRange::all()).await, row(b"q"));
    assert_eq!(lab.scan(p, Table::Body, ScanRange::all()).await, row(b"body"));
}

async fn a_visitor_can_stop_and_seek(lab: &Lab) {
    let p = lab.bucket().await;
    for group in ["a/1", "a/2", "a/3", "b", "c/1", "c/2", "d"] {
        let writes = vec![
            put(RowRef::new(Table::Part, "1"), b"v"),
            put(RowRef::new(Table::Part, "2"), b"v"),
        ];
        lab.commit(p, group.as_bytes(), vec![], writes).await.unwrap();
    }
    let visited = async |decide: fn(&str, &str) -> Step, end: Option<&'static str>| {
        let end_group = end.map(|end| bytes(end.as_bytes()));
        let range = ScanRange { end_group, ..ScanRange::all() };
        let rows = lab.scan_with(p, Table::Part, range, move |group, suffix| {
            decide(str::from_utf8(group).unwrap(), str::from_utf8(suffix).unwrap())
        });
        let rows = rows.await.into_iter();
        let names = rows.map(|row| String::from_utf8([&row.0[..], b":", &row.1].concat()).unwrap());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(visited(|_, _| Step::Stop, None).await, "a/1:1");
    let folders: fn(&str, &str) -> Step = |group, _| match group.split_once('/') {
        Some((folder, _)) => Step::SeekGroup(bytes(format!("{folder}0").as_bytes())),
        None => Step::Next,
    };
    assert_eq!(visited(folders, None).await, "a/1:1 b:1 b:2 c/1:1 d:1 d:2");
    assert_eq!(visited(folders, Some("c/2")).await, "a/1:1 b:1 b:2 c/1:1");
    let own: fn(&str, &str) -> Step = |group, _| Step::SeekGroup(bytes(group.as_bytes()));
    assert_eq!(visited(own, Some("b")).await, "a/1:1 a/1:2 a/2:1 a/2:2 a/3:1 a/3:2");
    let back: fn(&str, &str) -> Step = |_, _| Step::SeekGroup(bytes(b""));
    assert_eq!(visited(back, Some("a/3")).await, "a/1:1 a/1:2 a/2:1 a/2:2");
    let exact: fn(&str, &str) -> Step = |group, suffix| match (group, suffix) {
        ("a/1", "1") => Step::SeekGroup(bytes(b"c/2")),
        ("c/2", "2") => Step::SeekGroup(bytes(b"zzz")),
        _ => Step::Next,
    };
    assert_eq!(visited(exact, None).await, "a/1:1 c/2:1 c/2:2");
    let past_end: fn(&str, &str) -> Step = |_, _| Step::SeekGroup(bytes(b"c/1"));
    assert_eq!(visited(past_end, Some("b")).await, "a/1:1");
}

async fn seeking_skips_any_number_of_rows(lab: &Lab) {
    let p = lab.bucket().await;
    for folder in 0..30u32 {
        // Folders of 0 to 435 keys, each a commit of many rows per group.
        for key in 0..folder {
            let group = format!("{folder:02}/{key:02}");
            let writes = (0..folder / 2 + 1)
                .map(|n| put(RowRef::new(Table::Part, n.to_be_bytes().to_vec()), b"v"));
            lab.commit(p, group.as_bytes(), vec![], writes.collect()).await.unwrap();
        }
    }
    let seen = lab.scan_with(p, Table::Part, ScanRange::all(), |group, _| {
        Step::SeekGroup(bytes(&[&group[..2], b"0"].concat()))
    });
    let folders: Vec<_> = seen.await.into_iter().map(|row| row.0).collect();
    let want: Vec<_> = (1..30).map(|folder| format!("{folder:02}/00").into_bytes()).collect();
    assert_eq!(folders, want);
}

async fn scans_see_what_was_acknowledged(lab: &Lab) {
    let p = lab.bucket().await;
    let stable: Vec<_> = (0..200).map(|n| format!("stable-{n:04}").into_bytes()).collect();
    for group in &stable {
        lab.put(p, group, object(), b"v").await;
    }
    let churn = {
        let lab = lab.clone();
        tokio::spawn(async move {
            for round in 0..150u32 {
                let group = format!("stable-{:04}-x", round % 50);
                lab.put(p, group.as_bytes(), object(), b"v").await;
                let delete = vec![Write::Delete(object())];
                lab.commit(p, group.as_bytes(), vec![], delete).await.unwrap();
            }
        })
    };
    while !churn.is_finished() {
        let seen = lab.scan(p, Table::Object, ScanRange::all()).await;
        assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "rows came out of order or twice");
        let kept: Vec<_> = seen.into_iter().map(|r| r.0).filter(|g| !g.ends_with(b"x")).collect();
        assert!(kept == stable, "a scan missed rows that never changed");
        tokio::task::yield_now().await;
    }
    churn.await.unwrap();
    let seen = lab.scan(p, Table::Object, ScanRange::all()).await;
    assert_eq!(seen.len(), stable.len(), "deleted rows are gone");
}
