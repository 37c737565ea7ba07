//! Many clients at once.

use bytes::Bytes;
use costrel_core::engine::{Expect, RowRef, Table, Write};

use super::{Lab, conflict, object};

pub(super) async fn check(lab: &Lab) {
    increments_are_not_lost(lab).await;
    one_of_many_creates_wins(lab).await;
    a_commit_is_seen_as_a_whole(lab).await;
    acknowledged_rows_are_seen_by_all(lab).await;
}

fn number(value: Option<Bytes>) -> u64 {
    value.map_or(0, |value| u64::from_be_bytes(value.as_ref().try_into().unwrap()))
}

fn number_write(row: RowRef, number: u64) -> Write {
    Write::Put(row, Bytes::copy_from_slice(&number.to_be_bytes()))
}

async fn increments_are_not_lost(lab: &Lab) {
    const TASKS: u64 = 8;
    const INCREMENTS: u64 = 40;
    let p = lab.bucket().await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let lab = lab.clone();
            tokio::spawn(async move {
                let group = [b'k', (task % 2) as u8];
                for _ in 0..INCREMENTS {
                    loop {
                        let value = lab.get(p, &group, object()).await;
                        let expect = match &value {
                            None => Expect::Absent(object()),
                            Some(value) => Expect::Equals(object(), value.clone()),
                        };
                        let write = number_write(object(), number(value) + 1);
                        let result = lab.commit(p, &group, vec![expect], vec![write]).await;
                        match result {
                            Ok(()) => break,
                            other => assert_eq!(conflict(other), Some(0)),
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for key in 0..2 {
        let total = number(lab.get(p, &[b'k', key], object()).await);
        assert_eq!(total, TASKS / 2 * INCREMENTS, "increments were lost");
    }
}

async fn one_of_many_creates_wins(lab: &Lab) {
    let p = lab.bucket().await;
    for round in 0..20u8 {
        let tasks: Vec<_> = (0..8u64)
            .map(|task| {
                let lab = lab.clone();
                tokio::spawn(async move {
                    let expects = vec![Expect::Absent(object())];
                    let writes = vec![number_write(object(), task)];
                    lab.commit(p, &[round], expects, writes).await
                })
            })
            .collect();
        let mut winners = Vec::new();
        for (task, result) in tasks.into_iter().enumerate() {
            match result.await.unwrap() {
                Ok(()) => winners.push(task as u64),
                other => assert_eq!(conflict(other), Some(0)),
            }
        }
        assert_eq!(winners.len(), 1, "winners {winners:?}");
        assert_eq!(number(lab.get(p, &[round], object()).await), winners[0]);
    }
}

/// A writer raises two rows together; readers that look at one and then at the
/// other never find the second behind the first.
async fn a_commit_is_seen_as_a_whole(lab: &Lab) {
    let p = lab.bucket().await;
    let rows = [object(), RowRef::only(Table::Body), RowRef::new(Table::Part, "p")];
    let writer = {
        let (lab, rows) = (lab.clone(), rows.clone());
        tokio::spawn(async move {
            for n in 1..=300u64 {
                let writes = rows.iter().map(|row| number_write(row.clone(), n)).collect();
                lab.commit(p, b"k", vec![], writes).await.unwrap();
            }
        })
    };
    let readers: Vec<_> = (0..rows.len())
        .map(|first| {
            let (lab, rows) = (lab.clone(), rows.clone());
            tokio::spawn(async move {
                let mut seen = 0;
                while seen < 300 {
                    for step in 0..rows.len() {
                        let row = rows[(first + step) % rows.len()].clone();
                        let now = number(lab.get(p, b"k", row).await);
                        assert!(now >= seen, "{now} after {seen}: half a commit was seen");
                        seen = now;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    writer.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
}

async fn acknowledged_rows_are_seen_by_all(lab: &Lab) {
    let p = lab.bucket().await;
    let tasks: Vec<_> = (0..8u64)
        .map(|task| {
            let lab = lab.clone();
            tokio::spawn(async move {
                for n in 1..=30u64 {
                    let group = [task as u8, n as u8 % 3];
                    // Read before, so that an engine that remembers rows has the
                    // old one at hand.
                    let _ = lab.get(p, &group, object()).await;
                    let write = number_write(object(), n);
                    lab.commit(p, &group, vec![], vec![write]).await.unwrap();
                    let (lab, other) = (lab.clone(), group);
                    let seen = tokio::spawn(async move { lab.get(p, &other, object()).await });
                    assert_eq!(number(seen.await.unwrap()), n);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
