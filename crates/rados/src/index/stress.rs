//! Shards that split and merge while clients of several gateways use them, and
//! splitters that die or hang at any step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use costrel_core::engine::{Counter, Expect, Step, Tally, Write};
use costrel_testkit::seed;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::header::{Life, Phase};
use super::tests::{namespace, open_in};
use super::*;
use linear::{Event, Operation, check};

#[path = "../../../core/tests/common/linear.rs"]
mod linear;

const BUCKET: Partition = Partition::Bucket(BucketId(7));
const ROW: Table = Table::Object;

/// Few, so that everything happens often.
const SHARD_ROWS_MAX: u64 = 60;

fn value(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

fn commit(key: &str, expects: Vec<Expect>, write: Write) -> Commit {
    let group = Bytes::copy_from_slice(key.as_bytes());
    Commit::new(BUCKET, group, expects, vec![write])
}

/// Counts one, and its number as bytes.
fn put(key: &str, number: u64) -> Commit {
    let mut commit = commit(key, vec![], Write::Put(RowRef::only(ROW), value(number)));
    commit.tallies = counted(1, number);
    commit
}

fn counted(count: i64, bytes: u64) -> Tallies {
    let mut tallies = Tallies::default();
    tallies.add(Counter(7), Tally { count, bytes: bytes as i64 });
    tallies
}

/// All rows, in the order in which a scan shows them.
async fn list(index: &RadosIndex) -> Vec<(String, u64)> {
    let found: Arc<Mutex<Vec<(String, u64)>>> = Arc::default();
    let visit = {
        let found = found.clone();
        move |group: &[u8], _: &[u8], value: &[u8]| {
            let key = String::from_utf8(group.to_vec()).unwrap();
            found.lock().push((key, u64::from_be_bytes(value.try_into().unwrap())));
            Step::Next
        }
    };
    index.scan(BUCKET, ROW, ScanRange::all(), Box::new(visit)).await.unwrap();
    std::mem::take(&mut *found.lock())
}

/// Polls a future so often; the rest of it if it was still waiting.
async fn stopped<T>(
    future: impl Future<Output = T> + Send + 'static,
    mut polls: u32,
) -> Result<T, Pin<Box<dyn Future<Output = T> + Send>>> {
    let mut future = Box::pin(future);
    let done = poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if polls == 0 => Poll::Ready(None),
        Poll::Pending => {
            polls -= 1;
            Poll::Pending
        }
    });
    match done.await {
        Some(done) => Ok(done),
        None => Err(future),
    }
}

/// Every row lies in the shard of its range and nowhere else, and nothing is left
/// over but what is named.
async fn check_shape(index: &RadosIndex, rows: usize) {
    let context = &index.context;
    let root = root::read(&context.meta, &root_object(BUCKET)).await.unwrap().unwrap();
    assert_eq!(root.state.life, Life::Live);
    assert_eq!(root.changes, []);
    let mut counted = 0;
    for (at, (low, id)) in root.ranges.iter().enumerate() {
        let shard = Shard::new(key::shard_object(BUCKET, *id));
        let header = shard.read_header(context).await.unwrap().unwrap();
        assert_eq!((header.phase, header.token), (Phase::Active, 0), "{}", shard.object);
        let count = shard.count(context, Default::default()).await.unwrap().unwrap();
        counted += count.size.rows;
        if let Some((first, last)) = count.ends {
            assert!(first >= *low, "{first:?} is below {low:?}");
            let next = root.ranges.get(at + 1);
            assert!(next.is_none_or(|(next, _)| last < *next), "{last:?} is not below {next:?}");
        }
    }
    assert_eq!(counted as usize, rows);
    let pool = context.meta.pool().clone();
    let objects = tokio::task::spawn_blocking(move || {
        let mut objects = BTreeSet::new();
        let add = |name: &[u8]| objects.insert(String::from_utf8(name.to_vec()).unwrap());
        let mut add = add;
        pool.list(|name| {
            add(name);
            true
        })
        .unwrap();
        objects
    });
    let prefix = format!("{}.", key::partition_name(BUCKET));
    let there: BTreeSet<_> =
        objects.await.unwrap().into_iter().filter(|name| name.starts_with(&prefix)).collect();
    let mut named: BTreeSet<_> = root.shards().map(|id| key::shard_object(BUCKET, id)).collect();
    named.insert(root_object(BUCKET));
    assert!(there.is_subset(&named), "leaked: {:?}", there.difference(&named));
}

/// Whoever splits, or puts together, dies, or hangs until another has taken over, at
/// each step in turn.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn a_change_of_shape_may_stop_anywhere() {
    let namespace = namespace();
    let mut gateways = Vec::new();
    for _ in 0..3 {
        gateways.push(Arc::new(open_in(&namespace, 100_000).await));
    }
    gateways[0].create_partition(BUCKET).await.unwrap();
    let mut want = BTreeMap::new();
    for number in 0..80 {
        let key = format!("k{number:03}");
        gateways[0].commit(put(&key, number)).await.unwrap();
        want.insert(key, number);
    }
    for shards in [1, 2] {
        let (mut undone, mut taken_over) = (0, 0);
        // How many steps there are depends on how answers of the cluster come together.
        for first in 0.. {
            assert!(first < 9, "{undone} undone, {taken_over} taken over");
            for polls in (first..).step_by(3) {
                match stop_after(polls, shards, &gateways, &mut want).await {
                    Some(true) => taken_over += 1,
                    Some(false) => undone += 1,
                    None => break,
                }
            }
            if undone > 5 && taken_over > 1 {
                break;
            }
        }
    }
}

/// Stops a change of one shard into two, or two into one. Whether somebody else has
/// taken it to its end; `None` when it had come to it.
async fn stop_after(
    polls: u32,
    shards: usize,
    gateways: &[Arc<RadosIndex>],
    want: &mut BTreeMap<String, u64>,
) -> Option<bool> {
    let [one, two, three] = gateways else { unreachable!() };
    let meta = &two.context.meta;
    let shape = async || root::read(meta, &root_object(BUCKET)).await.unwrap().unwrap();
    let reshape = |gateway: &Arc<RadosIndex>, ranges: Vec<(Vec<u8>, u64)>| {
        let gateway = gateway.clone();
        async move {
            let sources: Vec<_> = ranges.iter().map(|(_, id)| *id).collect();
            let cuts = if sources.len() == 1 { vec![b"k040".to_vec()] } else { vec![] };
            gateway.reshape(BUCKET, &sources, &cuts).await.unwrap()
        }
    };
    let mut before = shape().await;
    if before.ranges.len() != shards {
        assert!(reshape(two, before.ranges).await);
        before = shape().await;
    }
    // They know the shards as they are now.
    let rows: Vec<_> = want.clone().into_iter().collect();
    for gateway in gateways {
        assert_eq!(list(gateway).await, rows, "before {polls} steps");
    }
    let all_puts = gateways[0].tallies(BUCKET).await.unwrap();
    assert!(all_puts.get(Counter(7)).count >= want.len() as i64, "{all_puts:?}");
    let rest = match stopped(reshape(one, before.ranges.clone()), polls).await {
        Err(rest) => rest,
        Ok(done) => {
            assert!(done);
            return None;
        }
    };
    // Before anybody takes over, one writes who knows the shards as they have become,
    // and another reads who knows them as they were.
    three.layouts.outdate(BUCKET);
    let mut counters = two.tallies(BUCKET).await.unwrap();
    for (number, key) in [(1, "k010"), (2, "k040"), (3, "k079"), (4, "k0100")] {
        let number = u64::from(polls) * 10 + number;
        three.commit(put(key, number)).await.unwrap();
        want.insert(key.to_owned(), number);
        counters.add_all(&counted(1, number));
        assert_eq!(two.tallies(BUCKET).await.unwrap(), counters, "after {polls} steps");
        let read = two.read(BUCKET, key.as_bytes(), &[RowRef::only(ROW)]).await.unwrap();
        assert_eq!(read, [Some(value(number))], "{key} after {polls} steps");
    }
    two.tend().await.unwrap();
    two.commit(commit("k0100", vec![], Write::Delete(RowRef::only(ROW)))).await.unwrap();
    want.remove("k0100");
    let after = shape().await;
    assert_eq!(after.changes, []);
    // What was stopped goes on: it begins only now, or changes nothing any more.
    if polls.is_multiple_of(2) {
        // A change that others have taken to its end is done.
        let done = rest.await;
        assert!(!done || after.ranges != before.ranges || polls < 8, "done after {polls} steps");
    }
    let rows: Vec<_> = want.clone().into_iter().collect();
    for gateway in gateways {
        assert_eq!(list(gateway).await, rows, "after {polls} steps");
        assert_eq!(gateway.tallies(BUCKET).await.unwrap(), counters, "after {polls} steps");
    }
    check_shape(two, rows.len()).await;
    Some(after.ranges != before.ranges)
}

struct World {
    gateways: Vec<Arc<RadosIndex>>,
    ticks: AtomicU64,
    values: AtomicU64,
    events: Mutex<HashMap<String, Vec<Event<Operation>>>>,
    /// Clients put rather than delete.
    filling: AtomicBool,
    ending: AtomicBool,
}

const CLIENTS: usize = 8;
const KEYS: u32 = 220;

impl World {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn record(&self, key: &str, called: u64, operation: Operation) {
        let event = Event { called, returned: Some(self.tick()), operation };
        self.events.lock().entry(key.to_owned()).or_default().push(event);
    }

    fn goes_on(&self) -> bool {
        !self.ending.load(Ordering::Relaxed)
    }

    async fn client(self: Arc<Self>, number: usize, mut rng: StdRng) {
        let gateway = &self.gateways[number % self.gateways.len()];
        let row = RowRef::only(ROW);
        let mut seen: HashMap<String, u64> = HashMap::new();
        while self.goes_on() {
            let key = format!("k{:03}", rng.random_range(0..KEYS));
            let new = self.values.fetch_add(1, Ordering::SeqCst) + 1;
            let old = seen.get(&key).copied();
            let puts = match self.filling.load(Ordering::Relaxed) {
                true => rng.random_range(0..10) < 8,
                false => rng.random_range(0..10) < 1,
            };
            let called = self.tick();
            let (expects, write, operation): (_, _, fn(u64, u64, bool) -> Operation) =
                match (rng.random_range(0..4), puts, old) {
                    (0, _, _) => {
                        let rows = std::slice::from_ref(&row);
                        let read = gateway.read(BUCKET, key.as_bytes(), rows).await.unwrap();
                        let found = read[0].as_ref();
                        let found = found.map(|v| u64::from_be_bytes(v[..].try_into().unwrap()));
                        found.map(|found| seen.insert(key.clone(), found));
                        self.record(&key, called, Operation::Read(found));
                        continue;
                    }
                    (1, true, _) => (
                        vec![Expect::Absent(row.clone())],
                        Write::Put(row.clone(), value(new)),
                        |_, new, taken| Operation::PutIfAbsent(new, taken),
                    ),
                    (2, true, Some(old)) => (
                        vec![Expect::Equals(row.clone(), value(old))],
                        Write::Put(row.clone(), value(new)),
                        Operation::PutIfMatch,
                    ),
                    (_, true, _) => (vec![], Write::Put(row.clone(), value(new)), |_, new, _| {
                        Operation::Put(new)
                    }),
                    (1 | 2, false, Some(old)) => (
                        vec![Expect::Equals(row.clone(), value(old))],
                        Write::Delete(row.clone()),
                        |old, _, taken| Operation::DeleteIfMatch(old, taken),
                    ),
                    (_, false, _) => {
                        (vec![], Write::Delete(row.clone()), |_, _, _| Operation::Delete)
                    }
                };
            let taken = match gateway.commit(commit(&key, expects, write)).await {
                Ok(()) => true,
                Err(CommitError::Conflict(0)) => false,
                Err(error) => panic!("{error}"),
            };
            self.record(&key, called, operation(old.unwrap_or_default(), new, taken));
        }
    }

    /// A list shows every key as it was at some moment during the list.
    async fn lister(self: Arc<Self>, number: usize) {
        let gateway = &self.gateways[number % self.gateways.len()];
        while self.goes_on() {
            let called = self.tick();
            let rows = list(gateway).await;
            assert!(rows.is_sorted_by(|a, b| a.0 < b.0), "doubled or out of order: {rows:?}");
            let mut rows: HashMap<_, _> = rows.into_iter().collect();
            for key in (0..KEYS).map(|number| format!("k{number:03}")) {
                self.record(&key, called, Operation::Read(rows.remove(&key)));
            }
            assert!(rows.is_empty(), "keys that nobody has put: {rows:?}");
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    /// Holds the claim for a while, dies or hangs, and another has it.
    async fn splitter(self: Arc<Self>, mut rng: StdRng) {
        let mut hanging = Vec::new();
        while self.goes_on() {
            let gateway = self.gateways[rng.random_range(0..self.gateways.len())].clone();
            let polls =
                if rng.random_range(0..3) == 0 { rng.random_range(0..80) } else { u32::MAX };
            let at = rng.random_bool(0.7).then(|| rng.random_range(0..KEYS));
            let merges = rng.random_bool(0.5);
            let work = async move {
                match at {
                    None => gateway.tend().await,
                    Some(at) => disturb(&gateway, &format!("k{at:03}"), merges).await,
                }
            };
            let work = stopped(work, polls);
            match work.await {
                Ok(done) => done.unwrap(),
                Err(rest) if rng.random_bool(0.5) => {
                    let pause = Duration::from_millis(rng.random_range(0..3000));
                    hanging.push(tokio::spawn(async move {
                        tokio::time::sleep(pause).await;
                        rest.await.unwrap();
                    }));
                }
                Err(dead) => drop(dead),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for late in hanging {
            late.await.unwrap();
        }
    }
}

/// Splits the shard of a key there, or puts it together with the next, whatever its
/// size. What hinders that is ended, as by somebody who has just taken over.
async fn disturb(gateway: &RadosIndex, key: &str, merges: bool) -> Result<(), EngineError> {
    let root = root::read(&gateway.context.meta, &root_object(BUCKET)).await?.unwrap();
    for change in &root.changes {
        let name = key::partition_name(BUCKET);
        recover::end_change(&gateway.context, &name, change.token).await?;
    }
    let at = root.ranges.partition_point(|(low, _)| low[..] <= *key.as_bytes()) - 1;
    let ids: Vec<_> = root.ranges[at..].iter().take(2).map(|(_, id)| *id).collect();
    match merges {
        true if ids.len() == 2 => gateway.reshape(BUCKET, &ids, &[]).await?,
        false if root.ranges[at].0 != key.as_bytes() => {
            gateway.reshape(BUCKET, &ids[..1], &[key.as_bytes().to_vec()]).await?
        }
        _ => false,
    };
    Ok(())
}

/// Until so much has happened; `COSTREL_STRESS_SECONDS` makes it longer.
const ENOUGH: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn histories_are_linearizable_while_shards_split_and_merge() {
    let seconds = std::env::var("COSTREL_STRESS_SECONDS").map_or(0, |text| text.parse().unwrap());
    let (namespace, seed) = (namespace(), seed());
    let mut gateways = Vec::new();
    for _ in 0..3 {
        gateways.push(Arc::new(open_in(&namespace, SHARD_ROWS_MAX).await));
    }
    gateways[0].create_partition(BUCKET).await.unwrap();
    let world = Arc::new(World {
        gateways,
        ticks: AtomicU64::new(0),
        values: AtomicU64::new(0),
        events: Mutex::default(),
        filling: AtomicBool::new(true),
        ending: AtomicBool::new(false),
    });
    let mut tasks = Vec::new();
    for number in 0..CLIENTS {
        let rng = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
        tasks.push(tokio::spawn(world.clone().client(number, rng)));
    }
    tasks.extend((0..2).map(|number| tokio::spawn(world.clone().lister(number))));
    let rng = StdRng::seed_from_u64(seed.wrapping_add(99));
    tasks.push(tokio::spawn(world.clone().splitter(rng)));
    let counters = |of: fn(&crate::status::Counters) -> &AtomicU64| {
        let status = world.gateways.iter().map(|gateway| gateway.context.meta.status());
        status.map(|status| of(&status.counters).load(Ordering::Relaxed)).sum::<u64>()
    };
    let happened =
        || (counters(|c| &c.splits), counters(|c| &c.merges), counters(|c| &c.abandoned));
    let begun = Instant::now();
    while !tasks.iter().any(|task| task.is_finished()) {
        let (splits, merges, abandoned) = happened();
        let is_enough = splits.min(merges) >= ENOUGH && abandoned >= ENOUGH / 4;
        if is_enough && begun.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
        let filling = begun.elapsed().as_secs() % 4 < 2;
        world.filling.store(filling, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.ending.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    // What the last one has left is ended by the next.
    world.gateways[1].tend().await.unwrap();
    let (splits, merges, abandoned) = happened();
    let events = std::mem::take(&mut *world.events.lock());
    let count: usize = events.values().map(Vec::len).sum();
    println!("{splits} splits, {merges} merges, {abandoned} abandoned, {count} events");
    for (key, mut history) in events {
        let called = world.tick();
        let row = [RowRef::only(ROW)];
        let last = world.gateways[2].read(BUCKET, key.as_bytes(), &row).await.unwrap().remove(0);
        let last = last.map(|value| u64::from_be_bytes(value[..].try_into().unwrap()));
        let returned = Some(world.tick());
        history.push(Event { called, returned, operation: Operation::Read(last) });
        check(&history).unwrap_or_else(|problem| panic!("key {key:?}: {problem}"));
    }
    let rows = list(&world.gateways[0]).await;
    check_shape(&world.gateways[0], rows.len()).await;
}
