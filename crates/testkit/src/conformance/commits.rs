//! Reads and conditional, atomic commits.

use bytes::Bytes;
use costrel_core::engine::{CommitError, Expect, Partition, RowRef, Table, Write};

use super::{Lab, bytes, conflict, object, put};

pub(super) async fn check(lab: &Lab) {
    rows_are_read_as_written(lab).await;
    reads_answer_in_the_order_asked(lab).await;
    each_condition_holds_when_it_should(lab).await;
    the_first_condition_that_fails_is_named(lab).await;
    a_conflict_writes_nothing(lab).await;
    conditions_see_the_state_before_the_commit(lab).await;
    the_last_write_of_a_row_counts(lab).await;
    rows_of_a_group_change_together(lab).await;
    any_bytes_name_a_row(lab).await;
    values_of_every_size_are_kept(lab).await;
    a_dropped_commit_harms_nothing(lab).await;
    commits_need_a_partition(lab).await;
}

async fn rows_are_read_as_written(lab: &Lab) {
    let p = lab.bucket().await;
    assert_eq!(lab.get(p, b"k", object()).await, None);
    lab.put(p, b"k", object(), b"one").await;
    assert_eq!(lab.get(p, b"k", object()).await.as_deref(), Some(&b"one"[..]));
    lab.put(p, b"k", object(), b"two").await;
    assert_eq!(lab.get(p, b"k", object()).await.as_deref(), Some(&b"two"[..]));
    lab.commit(p, b"k", vec![], vec![Write::Delete(object())]).await.unwrap();
    assert_eq!(lab.get(p, b"k", object()).await, None);
    lab.commit(p, b"k", vec![], vec![Write::Delete(object())]).await.unwrap();
    lab.put(p, b"k", object(), b"three").await;
    assert_eq!(lab.get(p, b"k", object()).await.as_deref(), Some(&b"three"[..]));
    lab.put(Partition::System, b"k", RowRef::only(Table::Installation), b"system").await;
    let row = RowRef::only(Table::Installation);
    assert_eq!(lab.get(Partition::System, b"k", row.clone()).await, Some(bytes(b"system")));
    assert_eq!(lab.get(p, b"k", row).await, None, "partitions are apart");
}

async fn reads_answer_in_the_order_asked(lab: &Lab) {
    let p = lab.bucket().await;
    lab.put(p, b"k", RowRef::new(Table::Part, "1"), b"p1").await;
    lab.put(p, b"k", RowRef::new(Table::Part, "2"), b"p2").await;
    lab.put(p, b"k", object(), b"o").await;
    let rows = [
        RowRef::new(Table::Part, "2"),
        object(),
        RowRef::new(Table::Part, "3"),
        RowRef::new(Table::Part, "1"),
        object(),
        RowRef::new(Table::Upload, "1"),
    ];
    let values = lab.engine.index().read(p, b"k", &rows).await.unwrap();
    let values: Vec<_> = values.iter().map(|v| v.as_deref()).collect();
    let want: [Option<&[u8]>; 6] = [Some(b"p2"), Some(b"o"), None, Some(b"p1"), Some(b"o"), None];
    assert_eq!(values, want);
    assert!(lab.engine.index().read(p, b"k", &[]).await.unwrap().is_empty());
}

async fn each_condition_holds_when_it_should(lab: &Lab) {
    let p = lab.bucket().await;
    let conditions = || {
        [
            Expect::Absent(object()),
            Expect::Present(object()),
            Expect::Equals(object(), bytes(b"v")),
            Expect::Equals(object(), bytes(b"other")),
        ]
    };
    let holds = async |group: &'static [u8]| {
        let mut holds = Vec::new();
        for condition in conditions() {
            holds.push(lab.commit(p, group, vec![condition], vec![]).await.is_ok());
        }
        holds
    };
    assert_eq!(holds(b"absent").await, [true, false, false, false]);
    lab.put(p, b"present", object(), b"v").await;
    assert_eq!(holds(b"present").await, [false, true, true, false]);
    lab.commit(p, b"present", vec![], vec![Write::Delete(object())]).await.unwrap();
    assert_eq!(holds(b"present").await, [true, false, false, false], "after deletion");
}

async fn the_first_condition_that_fails_is_named(lab: &Lab) {
    let p = lab.bucket().await;
    lab.put(p, b"k", object(), b"v").await;
    let upload = RowRef::new(Table::Upload, "u");
    let expects = vec![
        Expect::Present(object()),
        Expect::Absent(upload.clone()),
        Expect::Equals(object(), bytes(b"w")),
        Expect::Present(upload),
    ];
    assert_eq!(conflict(lab.commit(p, b"k", expects, vec![]).await), Some(2));
}

async fn a_conflict_writes_nothing(lab: &Lab) {
    let p = lab.bucket().await;
    lab.put(p, b"k", object(), b"v").await;
    let expects = vec![Expect::Absent(object())];
    let writes =
        vec![put(object(), b"w"), put(RowRef::only(Table::Body), b"body"), Write::Delete(object())];
    assert_eq!(conflict(lab.commit(p, b"k", expects, writes).await), Some(0));
    assert_eq!(lab.get(p, b"k", object()).await.as_deref(), Some(&b"v"[..]));
    assert_eq!(lab.get(p, b"k", RowRef::only(Table::Body)).await, None);
}

async fn conditions_see_the_state_before_the_commit(lab: &Lab) {
    let p = lab.bucket().await;
    let expects = vec![Expect::Absent(object())];
    lab.commit(p, b"k", expects, vec![put(object(), b"v")]).await.unwrap();
    let expects = vec![Expect::Equals(object(), bytes(b"v"))];
    lab.commit(p, b"k", expects, vec![Write::Delete(object())]).await.unwrap();
}

async fn the_last_write_of_a_row_counts(lab: &Lab) {
    let p = lab.bucket().await;
    let upload = RowRef::new(Table::Upload, "u");
    let writes = vec![
        put(object(), b"first"),
        put(upload.clone(), b"first"),
        Write::Delete(upload.clone()),
        put(object(), b"second"),
    ];
    lab.commit(p, b"k", vec![], writes).await.unwrap();
    assert_eq!(lab.get(p, b"k", object()).await.as_deref(), Some(&b"second"[..]));
    assert_eq!(lab.get(p, b"k", upload).await, None);
}

async fn rows_of_a_group_change_together(lab: &Lab) {
    let p = lab.bucket().await;
    let rows: Vec<_> = [Table::Object, Table::Body, Table::Upload, Table::Part, Table::Garbage]
        .into_iter()
        .map(|table| RowRef::new(table, "s"))
        .collect();
    let writes = rows.iter().map(|row| put(row.clone(), b"v")).collect();
    lab.commit(p, b"k", vec![], writes).await.unwrap();
    let values = lab.engine.index().read(p, b"k", &rows).await.unwrap();
    assert!(values.iter().all(|value| value.as_deref() == Some(b"v")));
    let others = lab.engine.index().read(p, b"l", &rows).await.unwrap();
    assert!(others.iter().all(Option::is_none), "groups are apart");
}

async fn any_bytes_name_a_row(lab: &Lab) {
    let p = lab.bucket().await;
    let names = odd_names();
    for group in &names {
        for suffix in &names {
            let row = RowRef::new(Table::Part, suffix.clone());
            let value = [group, &b"/"[..], suffix, b"."].concat();
            lab.put(p, group, row, &value).await;
        }
    }
    for group in &names {
        for suffix in &names {
            let row = RowRef::new(Table::Part, suffix.clone());
            let want = [group, &b"/"[..], suffix, b"."].concat();
            assert_eq!(lab.get(p, group, row).await, Some(want.into()), "{group:?} {suffix:?}");
        }
    }
}

/// Groups and suffixes that an encoding might confuse, in order.
pub(super) fn odd_names() -> Vec<Bytes> {
    let mut names: Vec<Vec<u8>> = [
        &b""[..],
        b"\0",
        b"\0\0",
        b"\0\x01",
        b"\0\xff",
        b"\x01",
        b"\x01\0",
        b"a",
        b"a\0",
        b"a\0b",
        b"a\0\0",
        b"a\x01",
        b"a/",
        b"aa",
        b"b",
        b"\xfe",
        b"\xff",
        b"\xff\0",
        b"\xff\xff",
    ]
    .map(<[u8]>::to_vec)
    .into();
    names.push("日本語/😀".into());
    names.push(vec![0; 100]);
    names.push(vec![0xFF; 900]);
    names.sort();
    names.into_iter().map(Bytes::from).collect()
}

async fn values_of_every_size_are_kept(lab: &Lab) {
    let p = lab.bucket().await;
    let inline_max = lab.engine.inline_max();
    for len in [1, 255, 4096, 65_535, 65_536, inline_max.max(1)] {
        let value: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
        let group = len.to_string();
        lab.put(p, group.as_bytes(), RowRef::only(Table::Body), &value).await;
        let read = lab.get(p, group.as_bytes(), RowRef::only(Table::Body)).await;
        assert!(read.as_deref() == Some(&value[..]), "a value of {len} bytes changed");
    }
    lab.put(p, &[b'k'; 2000], object(), b"long group").await;
    assert!(lab.get(p, &[b'k'; 2000], object()).await.is_some());
}

async fn a_dropped_commit_harms_nothing(lab: &Lab) {
    let p = lab.bucket().await;
    for round in 0..20u8 {
        let abandoned = lab.commit(p, b"k", vec![], vec![put(object(), &[round + 1])]);
        // Polled once at most, then dropped.
        let _ = tokio::time::timeout(std::time::Duration::ZERO, abandoned).await;
    }
    lab.put(p, b"k", object(), b"last").await;
    assert_eq!(lab.get(p, b"k", object()).await.as_deref(), Some(&b"last"[..]));
}

async fn commits_need_a_partition(lab: &Lab) {
    let p = lab.unused();
    let result = lab.commit(p, b"k", vec![], vec![put(object(), b"v")]).await;
    assert!(matches!(result, Err(CommitError::NoPartition)), "{result:?}");
    // The partition is missing before any condition is judged.
    let result = lab.commit(p, b"k", vec![Expect::Present(object())], vec![]).await;
    assert!(matches!(result, Err(CommitError::NoPartition)), "{result:?}");
    assert_eq!(lab.get(p, b"k", object()).await, None);
}
