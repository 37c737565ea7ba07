//! Counters that commits move.

use bytes::Bytes;
use costrel_core::engine::{Commit, CommitError, Counter, Expect, Partition, Tallies, Tally};

use super::{Lab, conflict, object, put};

pub(super) async fn check(lab: &Lab) {
    counters_move_with_their_commit(lab).await;
    a_conflict_moves_nothing(lab).await;
    a_commit_may_do_nothing_else(lab).await;
    many_commits_at_once_all_count(lab).await;
    partitions_count_apart(lab).await;
}

const A: Counter = Counter(0x0100);
const B: Counter = Counter(0x0203);

fn by(moves: &[(Counter, i64, i64)]) -> Tallies {
    let mut tallies = Tallies::default();
    for (counter, count, bytes) in moves {
        tallies.add(*counter, Tally { count: *count, bytes: *bytes });
    }
    tallies
}

impl Lab {
    async fn tally(
        &self,
        partition: Partition,
        group: &str,
        expects: Vec<Expect>,
        moves: &[(Counter, i64, i64)],
    ) -> Result<(), CommitError> {
        let group = Bytes::copy_from_slice(group.as_bytes());
        let mut commit = Commit::new(partition, group, expects, vec![put(object(), b"v")]);
        commit.tallies = by(moves);
        self.engine.index().commit(commit).await
    }

    async fn tallies(&self, partition: Partition) -> Tallies {
        self.engine.index().tallies(partition).await.unwrap()
    }
}

async fn counters_move_with_their_commit(lab: &Lab) {
    let p = lab.bucket().await;
    assert_eq!(lab.tallies(p).await, Tallies::default());
    lab.tally(p, "k", vec![], &[(A, 1, 10), (B, 1, 1 << 50)]).await.unwrap();
    assert_eq!(lab.tallies(p).await, by(&[(A, 1, 10), (B, 1, 1 << 50)]));
    lab.tally(p, "l", vec![], &[(A, 2, -3)]).await.unwrap();
    assert_eq!(lab.tallies(p).await, by(&[(A, 3, 7), (B, 1, 1 << 50)]));
    lab.tally(p, "k", vec![], &[(B, -1, -(1 << 50))]).await.unwrap();
    assert_eq!(lab.tallies(p).await, by(&[(A, 3, 7)]), "a counter at zero is none");
    lab.put(p, b"k", object(), b"other").await;
    assert_eq!(lab.tallies(p).await, by(&[(A, 3, 7)]));
}

async fn a_conflict_moves_nothing(lab: &Lab) {
    let p = lab.bucket().await;
    lab.tally(p, "k", vec![Expect::Absent(object())], &[(A, 1, 1)]).await.unwrap();
    let refused = lab.tally(p, "k", vec![Expect::Absent(object())], &[(A, 1, 1)]).await;
    assert_eq!(conflict(refused), Some(0));
    assert_eq!(lab.tallies(p).await, by(&[(A, 1, 1)]));
}

async fn a_commit_may_do_nothing_else(lab: &Lab) {
    let p = lab.bucket().await;
    let mut commit = Commit::new(p, Bytes::new(), vec![], vec![]);
    commit.tallies = by(&[(B, 5, 6)]);
    lab.engine.index().commit(commit).await.unwrap();
    assert_eq!(lab.tallies(p).await, by(&[(B, 5, 6)]));
}

async fn many_commits_at_once_all_count(lab: &Lab) {
    let p = lab.bucket().await;
    let commits = (0..200).map(|number: i64| {
        let lab = lab.clone();
        tokio::spawn(async move {
            // Some of one key, and one in three refused.
            let expects = match number % 3 {
                0 => vec![Expect::Present(object()), Expect::Absent(object())],
                _ => vec![],
            };
            let group = format!("k{}", number % 50);
            (number, lab.tally(p, &group, expects, &[(A, 1, number)]).await)
        })
    });
    let mut want = Tallies::default();
    for commit in commits.collect::<Vec<_>>() {
        let (number, moved) = commit.await.unwrap();
        match number % 3 {
            0 => assert!(conflict(moved).is_some()),
            _ => {
                moved.unwrap();
                want.add_all(&by(&[(A, 1, number)]));
            }
        }
    }
    assert_eq!(lab.tallies(p).await, want);
}

async fn partitions_count_apart(lab: &Lab) {
    let (p, q) = (lab.bucket().await, lab.bucket().await);
    lab.tally(p, "k", vec![], &[(A, 1, 1)]).await.unwrap();
    lab.tally(q, "k", vec![], &[(A, 1, 2)]).await.unwrap();
    assert_eq!(lab.tallies(p).await, by(&[(A, 1, 1)]));
    assert_eq!(lab.tallies(q).await, by(&[(A, 1, 2)]));
    let missing = lab.unused();
    assert_eq!(lab.tallies(missing).await, Tallies::default());
    assert!(matches!(
        lab.tally(missing, "k", vec![], &[(A, 1, 1)]).await,
        Err(CommitError::NoPartition)
    ));
    // One that is retired keeps them until it is gone.
    let index = lab.engine.index();
    index.retire_partition(p, &[]).await.unwrap();
    assert_eq!(lab.tallies(p).await, by(&[(A, 1, 1)]));
    index.remove_partition(p).await.unwrap();
    assert_eq!(lab.tallies(p).await, Tallies::default());
}
