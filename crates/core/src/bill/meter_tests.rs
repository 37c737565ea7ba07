//! A month worked out on paper, and what holds of any.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::item::Kind;
use super::super::prices::Price;
use super::*;

const GB: u128 = 1 << 30;
const DAY_MS: u128 = 86_400_000;

fn amount(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

fn book(prices: &[(Item, &[(&str, &str)])]) -> PriceBook {
    let mut book =
        PriceBook { name: "of a test".into(), currency: "CNY".into(), ..PriceBook::default() };
    for (item, steps) in prices {
        let steps = steps.iter().map(|(above, price)| (amount(above), amount(price))).collect();
        book.prices.insert(*item, Price::new(*item, steps).unwrap());
    }
    book
}

fn storage() -> Item {
    Item::of_class(Kind::Storage, "STANDARD")
}

fn reads() -> Item {
    Item::of_class(Kind::ReadRequests, "STANDARD")
}

fn traffic() -> Item {
    Item::traffic(Kind::InternetDownstream)
}

fn bucket(name: &str) -> Arc<BilledBucket> {
    let (region, tags) = ("ap-guangzhou".into(), Vec::new());
    Arc::new(BilledBucket { name: name.into(), region, tags })
}

fn quantity(item: Item, count: u128) -> Quantity {
    match item.kind.is_by_time() {
        true => Quantity { item, count: count * DAY_MS, per: DAY_MS },
        false => Quantity { item, count, per: 1 },
    }
}

fn quantities(used: &[(Item, u128)]) -> Vec<Quantity> {
    used.iter().map(|(item, count)| quantity(*item, *count)).collect()
}

fn lines(entries: &[Entry]) -> Vec<String> {
    let line = |entry: &Entry, charge: &Charge| {
        let (name, code) = (&entry.bucket.name, charge.item.code());
        format!(
            "{} {name} {code} {} x {} = {}",
            entry.day,
            charge.price,
            charge.used,
            charge.cost()
        )
    };
    let of = |entry: &Entry| entry.charges.iter().map(|c| line(entry, c)).collect::<Vec<_>>();
    entries.iter().flat_map(of).collect()
}

/// Two buckets and two days. Storage costs 0.118 for a GB and 30 days, so 0.00393333 for a
/// day, and 0.09, so 0.003, of what is above 10 GB; traffic 0.5, and 0.4 above 2 GB of
/// the month.
#[test]
fn a_month_by_hand() {
    let book = book(&[
        (storage(), &[("0", "0.118"), ("10", "0.09")]),
        (reads(), &[("0", "0.01")]),
        (traffic(), &[("0", "0.5"), ("2", "0.4")]),
    ]);
    let mut meter = Meter::new(&book);
    let mut day = |bucket, day, used: &[_]| meter.day(bucket, day, quantities(used));
    let written = Item::of_class(Kind::WriteRequests, "STANDARD");
    let (a, b) = (bucket("a"), bucket("b"));
    let used = [(traffic(), 3 * GB / 2), (storage(), 12 * GB), (reads(), 15_000), (written, 1)];
    let entries = [
        day(&a, 20_758, &used),
        day(&a, 20_759, &[(storage(), 1), (traffic(), GB)]),
        day(&a, 20_760, &[(written, 9)]),
        // At 12 GB of that day, and at 2.5 GB of the month.
        day(&b, 20_758, &[(storage(), GB), (traffic(), 3 * GB / 4)]),
        // At one byte of that day.
        day(&b, 20_759, &[(storage(), 11 * GB)]),
    ];
    assert_eq!(
        entries.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, true, false, true, true]
    );
    let entries: Vec<Entry> = entries.into_iter().flatten().collect();
    assert_eq!(
        lines(&entries),
        [
            "20758 a storage:STANDARD 0.00393333 x 10 = 0.0393333",
            "20758 a storage:STANDARD 0.003 x 2 = 0.006",
            "20758 a read_requests:STANDARD 0.01 x 1.5 = 0.015",
            "20758 a internet_downstream 0.5 x 1.5 = 0.75",
            "20759 a storage:STANDARD 0.00393333 x 0.0000000009 = 0.000000000003539997",
            "20759 a internet_downstream 0.5 x 0.5 = 0.25",
            "20759 a internet_downstream 0.4 x 0.5 = 0.2",
            "20758 b storage:STANDARD 0.003 x 1 = 0.003",
            "20758 b internet_downstream 0.4 x 0.75 = 0.3",
            "20759 b storage:STANDARD 0.00393333 x 9.9999999991 = 0.039333299996460003",
            "20759 b storage:STANDARD 0.003 x 1.0000000009 = 0.0030000000027",
        ]
    );
    assert_eq!(entries[0].cost(), amount("0.8103333"));
    assert_eq!(entries[2].cost(), amount("0.303"));
    let total: Amount = entries.iter().map(Entry::cost).sum();
    // 0.8103333 + 0.450000000003539997 + 0.303 + 0.042333299999160003
    assert_eq!(total.to_string(), "1.6056666000027");
}

#[test]
fn half_a_day_is_half_the_price() {
    let book = book(&[(storage(), &[("0", "0.12")])]);
    let quantity = Quantity { item: storage(), count: GB * DAY_MS / 2, per: DAY_MS };
    let entry = Meter::new(&book).day(&bucket("a"), 1, vec![quantity]).unwrap();
    assert_eq!(lines(&[entry]), ["1 a storage:STANDARD 0.004 x 0.5 = 0.002"]);
}

#[test]
fn a_price_of_nothing_is_a_line_and_no_price_is_none() {
    let book = book(&[(reads(), &[("0", "0")])]);
    let mut meter = Meter::new(&book);
    let free = quantities(&[(reads(), 5), (traffic(), 5)]);
    let entry = meter.day(&bucket("a"), 1, free).unwrap();
    assert_eq!(lines(&[entry]), ["1 a read_requests:STANDARD 0 x 0.0005 = 0"]);
    assert_eq!(meter.day(&bucket("b"), 1, quantities(&[(reads(), 0)])), None);
}

const DAYS: u64 = 4;

/// What each bucket uses on each day.
type Used = BTreeMap<(&'static str, u64), Vec<Quantity>>;

fn random_usage(rng: &mut StdRng) -> Used {
    let mut used = Used::new();
    for name in ["a", "b", "c"] {
        for day in 0..DAYS {
            let items = [storage(), reads(), traffic()];
            let of_day = items.map(|item| quantity(item, rng.random_range(0..40 * GB)));
            used.insert((name, day), of_day.into());
        }
    }
    used
}

fn random_book(rng: &mut StdRng) -> PriceBook {
    let mut book = PriceBook::default();
    for item in [storage(), reads(), traffic()] {
        let mut above = 0_u64;
        let steps: Vec<_> = (0..rng.random_range(1..5))
            .map(|at| {
                above += if at == 0 { 0 } else { rng.random_range(1..30) };
                (Amount::from(above), Amount::of_units(rng.random_range(0..10_000), 10_000))
            })
            .collect();
        book.prices.insert(item, Price::new(item, steps).unwrap());
    }
    book
}

fn charged(book: &PriceBook, used: &Used) -> Vec<Entry> {
    let mut meter = Meter::new(book);
    let entries = used
        .iter()
        .filter_map(|((name, day), quantities)| meter.day(&bucket(name), *day, quantities.clone()));
    entries.collect()
}

fn total(entries: &[Entry]) -> Amount {
    entries.iter().map(Entry::cost).sum()
}

#[test]
fn whatever_is_used_is_charged_for_and_more_of_it_is_never_cheaper() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..200 {
        let (book, mut used) = (random_book(&mut rng), random_usage(&mut rng));
        let entries = charged(&book, &used);

        // Each bucket pays for just what it has used of each item on each day.
        let mut paid: BTreeMap<(String, u64, Item), Amount> = BTreeMap::new();
        for entry in &entries {
            for charge in &entry.charges {
                let key = (entry.bucket.name.clone(), entry.day, charge.item);
                *paid.entry(key).or_default() += &charge.used;
            }
        }
        let counted = used.iter().flat_map(|((name, day), quantities)| {
            quantities.iter().map(move |q| (((*name).to_owned(), *day, q.item), q.used()))
        });
        assert_eq!(paid, counted.filter(|(_, used)| !used.is_zero()).collect());

        // What all pay together does not depend on whose the usage is.
        let before = total(&entries);
        let mut swapped = used.clone();
        for day in 0..DAYS {
            let first = swapped.insert(("a", day), used[&("c", day)].clone()).unwrap();
            swapped.insert(("c", day), first);
        }
        assert_eq!(total(&charged(&book, &swapped)), before);

        let day = rng.random_range(0..DAYS);
        let more = used.get_mut(&("b", day)).unwrap();
        more[rng.random_range(0..3)].count += rng.random_range(0..GB * DAY_MS);
        assert!(total(&charged(&book, &used)) >= before);
    }
}
