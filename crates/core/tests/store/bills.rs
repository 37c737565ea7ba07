//! Months are closed once, whatever fails and whoever closes them at the same time, and
//! stay as they were.

use std::sync::Arc;

use costrel_core::bill::{
    Amount, Bill, BillFilter, BillPage, Entry, Item, Kind, LedgerError, Month, PageOf, Price,
    PriceBook, State,
};
use costrel_core::bucket::Bucket;
use costrel_core::record::Pair;
use costrel_core::tags::Tags;
use costrel_core::usage::{RequestKind, Served, class_number};
use costrel_core::{Store, StoreOptions, fsck};

use crate::common::World;
use crate::common::faulty::{Fault, Faulty, Plan};
use crate::interleaved::stopped;

const DAY_MS: u64 = 86_400_000;
const MB: u64 = 1 << 20;

/// Traffic costs so much for a GB, and half as much above one.
fn options(price: u64) -> StoreOptions {
    let mut options = crate::common::options();
    let item = Item::traffic(Kind::InternetDownstream);
    let steps =
        vec![(Amount::default(), Amount::from(2 * price)), (Amount::from(1), Amount::from(price))];
    let prices = [(item, Price::new(item, steps).unwrap())].into();
    let (name, currency) = (format!("{price}"), "EUR".to_owned());
    options.prices = Arc::new(PriceBook { name, currency, prices });
    options
}

async fn sent(world: &World, bucket: &Bucket, bytes_out: u64) {
    let served = Served {
        class: class_number("STANDARD"),
        kind: RequestKind::Read,
        status: 200,
        is_internal: false,
        bytes_in: 0,
        bytes_out,
        is_retrieval: true,
    };
    world.store.count_request(bucket, &served);
    world.store.keep_counts().await.unwrap();
}

fn this_month(store: &Store) -> Month {
    Month::of_day(store.usage_calendar().day(store.now_ms()))
}

/// To the month behind one, when everything in it has been counted.
fn pass(world: &World, month: Month) {
    let store = &world.store;
    let next = store.usage_calendar().day_begin(month.days().end);
    world.advance(next.saturating_sub(store.now_ms()) + DAY_MS / 2);
}

async fn entries(store: &Store, bill: &Bill) -> Vec<Entry> {
    let mut reader = store.read_bill(bill).await;
    let mut all = Vec::new();
    while let Some(entries) = reader.next().await.unwrap() {
        all.extend(entries);
    }
    all
}

async fn total(store: &Store, month: Month) -> String {
    let bill = store.bill(month).await.unwrap();
    entries(store, &bill).await.iter().map(Entry::cost).sum::<Amount>().to_string()
}

/// A world with a month that is over: 768 MB of one bucket, 512 of another.
async fn month_over(world: &World) -> Month {
    let (a, b) = (world.bucket("a-1").await, world.bucket("b-1").await);
    let tags = vec![Pair { name: "team".into(), value: "blue".into() }];
    world.store.set_bucket_tags(&a, Tags::of_bucket(tags).unwrap()).await.unwrap();
    let month = this_month(&world.store);
    sent(world, &b, 512 * MB).await;
    sent(world, &a, 768 * MB).await;
    pass(world, month);
    sent(world, &a, 7).await;
    month
}

/// 0.75 and 0.25 GB at 8, 0.25 at 4.
const TOTAL: &str = "9";

#[tokio::test]
async fn a_closed_month_stays_as_it_was() {
    let world = World::memory_with(options(4));
    let month = month_over(&world).await;
    let live = world.store.bill(month).await.unwrap();
    assert!(live.state == State::Open && !live.is_final());
    let before = entries(&world.store, &live).await;
    let closed = world.store.close_month(month).await.unwrap();
    assert_eq!((closed.entries, closed.total.to_string().as_str()), (2, TOTAL));
    let again = world.store.close_month(month).await;
    assert!(matches!(again, Err(LedgerError::IsClosed)));

    // Prices change, a bucket loses its tags, another goes away.
    let dear = world.beside_with(world.engine.clone(), options(100));
    let a = dear.store.bucket("a-1").await.unwrap();
    dear.store.set_bucket_tags(&a, Tags::default()).await.unwrap();
    let b = dear.store.bucket("b-1").await.unwrap();
    dear.store.delete_bucket(&b).await.unwrap();
    let bill = dear.store.bill(month).await.unwrap();
    assert_eq!((bill.book.as_str(), bill.currency.as_str()), ("4", "EUR"));
    let after = entries(&dear.store, &bill).await;
    assert_eq!(after, before);
    assert_eq!(after[0].bucket.tags[0].value, "blue");
    assert!(fsck::run(&*dear.engine, |_| {}).await.unwrap().findings.is_empty());

    // What is open goes by the prices of now, whoever was deleted.
    dear.store.reopen_month(month).await.unwrap();
    let bill = dear.store.bill(month).await.unwrap();
    assert!(matches!(bill.state, State::Reopened { .. }));
    assert_eq!(total(&dear.store, month).await, "225");
    assert!(matches!(dear.store.reopen_month(month).await, Err(LedgerError::IsOpen)));
    assert!(fsck::run(&*dear.engine, |_| {}).await.unwrap().findings.is_empty());
    dear.store.close_month(month).await.unwrap();
    assert_eq!(total(&world.store, month).await, "225");
    assert_eq!(entries(&dear.store, &dear.store.bill(month).await.unwrap()).await.len(), 2);
}

#[tokio::test]
async fn a_month_is_over_when_everything_in_it_is_counted() {
    let world = World::memory_with(options(4));
    let bucket = world.bucket("a-1").await;
    let month = this_month(&world.store);
    sent(&world, &bucket, 512 * MB).await;
    assert!(matches!(world.store.close_month(month).await, Err(LedgerError::NotOver)));
    assert!(matches!(world.store.close_month(month.next()).await, Err(LedgerError::NotOver)));
    assert!(matches!(world.store.reopen_month(month).await, Err(LedgerError::IsOpen)));
    let next = world.store.usage_calendar().day_begin(month.days().end);
    world.advance(next - world.store.now_ms());
    assert!(matches!(world.store.close_month(month).await, Err(LedgerError::NotOver)));
    pass(&world, month);
    world.store.close_month(month).await.unwrap();
    assert_eq!(total(&world.store, month).await, "4");
    assert_eq!(total(&world.store, month.next()).await, "0");
}

#[tokio::test]
async fn every_call_of_a_closing_may_fail() {
    for fault in [Fault::Before, Fault::After] {
        for forever in [false, true] {
            for at in 0.. {
                let engine = Faulty::new(World::memory().engine);
                let world = World::memory_with(options(4));
                let world = world.beside_with(engine.clone(), options(4));
                let month = month_over(&world).await;
                engine.plan(Some(Plan { at, fault, forever }));
                let _ = world.store.close_month(month).await;
                let ended = engine.calls() <= at;
                engine.plan(None);
                // Another process, or the next time.
                match world.store.close_month(month).await {
                    Ok(_) | Err(LedgerError::IsClosed) => {}
                    Err(error) => panic!("{error}"),
                }
                assert_eq!(total(&world.store, month).await, TOTAL, "{fault:?} at {at}");
                assert!(fsck::run(&*engine, |_| {}).await.unwrap().findings.is_empty());
                if ended {
                    assert!(at > 5);
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn two_may_close_and_reopen_at_once() {
    for times in 0.. {
        let engine = Faulty::new(World::memory().engine);
        let world = World::memory_with(options(4)).beside_with(engine, options(4));
        let month = month_over(&world).await;
        let other = world.beside_with(world.engine.clone(), options(100));
        let second = async {
            let closed = other.store.close_month(month).await;
            let reopened = other.store.reopen_month(month).await;
            (closed, reopened)
        };
        let (first, second, waited) = stopped(world.store.close_month(month), times, second).await;
        for outcome in [first.map(drop), second.0.map(drop), second.1] {
            let lost = |error: &LedgerError| {
                matches!(error, LedgerError::IsClosed | LedgerError::Overtaken)
            };
            assert!(outcome.as_ref().err().is_none_or(lost), "{outcome:?}");
        }
        let bill = world.store.bill(month).await.unwrap();
        let found = total(&world.store, month).await;
        assert_eq!(found, TOTAL, "by its own prices, closed or not: {bill:?}");
        assert!(fsck::run(&*world.engine, |_| {}).await.unwrap().findings.is_empty());
        if !waited {
            break;
        }
    }
}

#[tokio::test]
async fn a_month_may_be_closed_while_it_is_reopened() {
    for times in 0.. {
        let engine = Faulty::new(World::memory().engine);
        let world = World::memory_with(options(4)).beside_with(engine, options(4));
        let month = month_over(&world).await;
        world.store.close_month(month).await.unwrap();
        let again = async { world.store.close_month(month).await };
        let (reopened, closed, waited) =
            stopped(world.store.reopen_month(month), times, again).await;
        assert!(reopened.is_ok(), "{reopened:?}");
        let is_final = world.store.bill(month).await.unwrap().is_final();
        assert_eq!(is_final, closed.is_ok(), "{closed:?}");
        assert_eq!(total(&world.store, month).await, TOTAL);
        assert!(fsck::run(&*world.engine, |_| {}).await.unwrap().findings.is_empty());
        if !waited {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn months_close_by_themselves_but_what_was_reopened() {
    let world = World::memory_with(options(4));
    let month = month_over(&world).await;
    let job = || tokio::spawn(costrel_core::bill::close_months(world.store.clone()));
    // Time passes for the clock, too.
    let wait = async || {
        for _ in 0..80 {
            world.advance(50_000);
            tokio::time::sleep(std::time::Duration::from_secs(50)).await;
        }
    };
    let running = job();
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    assert!(!world.store.bill(month).await.unwrap().is_final(), "by a clock that nobody knows");
    wait().await;
    let is_final = async |month| world.store.bill(month).await.unwrap().is_final();
    assert!(is_final(month).await && !is_final(month.next()).await);
    // Whatever was before, nothing was used.
    assert!(is_final(month.previous().unwrap()).await);
    world.store.reopen_month(month).await.unwrap();
    wait().await;
    assert!(!is_final(month).await);
    running.abort();
    // Two months without a server.
    pass(&world, month.next());
    pass(&world, month.next().next());
    let running = job();
    wait().await;
    running.abort();
    assert!(!is_final(month).await);
    assert!(is_final(month.next()).await && is_final(month.next().next()).await);
    assert!(!is_final(month.next().next().next()).await);
}

/// All rows of a bill, page by page.
async fn paged<T>(
    limit: u64,
    page: impl AsyncFn(PageOf) -> BillPage<T>,
    total: Option<u64>,
) -> Vec<T> {
    let mut all = Vec::new();
    loop {
        let offset = all.len() as u64;
        let found = page(PageOf { offset, limit, counted: total.is_some() }).await;
        assert_eq!(found.total, total, "at {offset}");
        assert!(found.shown.len() as u64 <= limit);
        if found.shown.is_empty() {
            return all;
        }
        all.extend(found.shown);
    }
}

/// Whatever pages are asked for, together they are the bill, its steps included; and each
/// costs what is on it.
#[tokio::test]
async fn pages_follow_each_other() {
    let engine = Faulty::new(World::memory().engine);
    let world = World::over(engine.clone());
    let world = world.beside_with(engine.clone(), options(4));
    let store = &world.store;
    let month = this_month(store);
    let first_day = store.usage_calendar().day_begin(month.next().days().start);
    world.advance(first_day - store.now_ms() + DAY_MS / 2);
    let month = month.next();
    for number in 0..40 {
        let bucket = world.bucket(&format!("b-{number:02}")).await;
        if number % 4 == 0 {
            let tags = vec![Pair { name: "team".into(), value: "blue".into() }];
            store.set_bucket_tags(&bucket, Tags::of_bucket(tags).unwrap()).await.unwrap();
        }
    }
    for _ in 0..3 {
        for number in 0..40 {
            let bucket = store.bucket(&format!("b-{number:02}")).await.unwrap();
            sent(&world, &bucket, 16 * MB).await;
        }
        world.advance(DAY_MS);
    }
    let blue = BillFilter { tag: Some(("team".into(), "blue".into())), ..BillFilter::default() };
    for is_closed in [false, true] {
        if is_closed {
            pass(&world, month);
            store.close_month(month).await.unwrap();
        }
        let whole = entries(store, &store.bill(month).await.unwrap()).await;
        assert_eq!(whole.len(), 120);
        let prices = whole.iter().flat_map(|entry| &entry.charges).map(|charge| &charge.price);
        assert_eq!(prices.collect::<std::collections::BTreeSet<_>>().len(), 2, "steps");
        let all = BillFilter::default;
        for limit in [1, 7, 30, 119, 120, 300] {
            let by_entry = async |page| store.bill_entries(month, all(), page).await.unwrap();
            assert_eq!(paged(limit, by_entry, None).await, whole, "{limit}");
            assert_eq!(paged(limit, by_entry, Some(120)).await, whole, "{limit}");
            let by_bucket = async |page| store.bill_buckets(month, all(), page).await.unwrap();
            let buckets = paged(limit, by_bucket, Some(40)).await;
            let cost: Amount = buckets.iter().map(|bucket| bucket.cost.clone()).sum();
            assert_eq!(cost, whole.iter().map(Entry::cost).sum(), "{limit}");
            assert!(buckets.is_sorted_by(|a, b| a.first.bucket.name < b.first.bucket.name));
            let of_blue = async |page| store.bill_entries(month, blue.clone(), page).await.unwrap();
            let found = paged(limit, of_blue, Some(30)).await;
            assert!(found.iter().all(|entry| entry.bucket.tag("team") == Some("blue")));
        }
        // Somewhere in the middle, and behind everything.
        let page = |offset, limit| PageOf { offset, limit, counted: true };
        let some = store.bill_entries(month, all(), page(61, 5)).await.unwrap();
        assert_eq!((some.shown.as_slice(), some.total), (&whole[61..66], Some(120)));
        let none = store.bill_entries(month, all(), page(1000, 5)).await.unwrap();
        assert_eq!((none.shown.len(), none.total), (0, Some(120)));
    }
    store.reopen_month(month).await.unwrap();
    let calls = async |page| {
        engine.plan(None);
        store.bill_entries(month, BillFilter::default(), page).await.unwrap();
        engine.calls()
    };
    let counted = true;
    let first = calls(PageOf { offset: 0, limit: 3, counted }).await;
    for page in 1..40 {
        let next = calls(PageOf { offset: 3 * page, limit: 3, counted }).await;
        assert!(next * 10 < first, "page {page}: {next} calls, {first} for the first");
    }
}
