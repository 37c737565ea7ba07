//! Usage becomes charges.
//!
//! Everything is settled by the day, as COS does it: what a bucket has used of an item
//! on a day, in the item's unit, rounded once, is what is charged for. Steps are those
//! of all buckets together, which stand in the order of their names. Where time counts,
//! each day begins at the lowest step, since a day's usage is an average; elsewhere each
//! month does. So it is certain whose charges are at which step, and what all pay
//! together does not depend on their order.

use std::collections::HashMap;
use std::sync::Arc;

use super::amount::Amount;
use super::item::{Item, Unit};
use super::prices::{PriceBook, Step};
use crate::record::Pair;

/// A bucket as bills name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BilledBucket {
    /// All that had the name.
    pub name: String,
    pub region: String,
    /// Empty for one that is deleted.
    pub tags: Vec<Pair>,
}

impl BilledBucket {
    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.name == key).map(|tag| tag.value.as_str())
    }
}

/// What a bucket has used of an item on a day: units are `count / (unit · per)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    pub item: Item,
    /// Bytes or requests; times `per` where the day's average counts.
    pub count: u128,
    /// Length of the day where time counts, in what `count` has it in; 1 elsewhere.
    pub per: u128,
}

impl Quantity {
    /// In the item's unit.
    pub fn used(&self) -> Amount {
        let Unit { size, .. } = self.item.kind.unit();
        Amount::of_units(self.count, u128::from(size).saturating_mul(self.per))
    }
}

/// One line of a bill: some usage at one price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub item: Item,
    /// Of a unit, and of a day where time counts.
    pub price: Amount,
    /// In the item's unit.
    pub used: Amount,
}

/// How often a price counts: usage is a day's.
pub const TIME_SPAN: &str = "1";

impl Charge {
    /// Price times usage times [`TIME_SPAN`], exactly.
    pub fn cost(&self) -> Amount {
        &self.price * &self.used
    }
}

/// A bucket's charges of a day; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub day: u64,
    pub bucket: Arc<BilledBucket>,
    pub charges: Vec<Charge>,
}

impl Entry {
    pub fn cost(&self) -> Amount {
        self.charges.iter().map(Charge::cost).sum()
    }
}

/// Makes charges of a month's usage, bucket by bucket, in the order of their names.
pub struct Meter<'a> {
    book: &'a PriceBook,
    used: Used,
}

/// What has been used of each item, on a day where time counts.
pub(super) type Used = HashMap<(Item, Option<u64>), Amount>;

impl<'a> Meter<'a> {
    /// For a month.
    pub fn new(book: &'a PriceBook) -> Meter<'a> {
        Meter { book, used: HashMap::new() }
    }

    /// For a month of which so much has been used already.
    pub(super) fn going_on(book: &'a PriceBook, used: Used) -> Meter<'a> {
        Meter { book, used }
    }

    pub(super) fn used(&self) -> &Used {
        &self.used
    }

    /// The charges of the next bucket, of which nothing was charged for yet, for one of
    /// its days: they are to be in order. None if it has used nothing that has a price.
    pub fn day(
        &mut self,
        bucket: &Arc<BilledBucket>,
        day: u64,
        mut quantities: Vec<Quantity>,
    ) -> Option<Entry> {
        quantities.sort_by_key(|quantity| quantity.item);
        let charges: Vec<Charge> =
            quantities.iter().flat_map(|quantity| self.charges(day, quantity)).collect();
        (!charges.is_empty()).then(|| Entry { day, bucket: bucket.clone(), charges })
    }

    fn charges(&mut self, day: u64, quantity: &Quantity) -> Vec<Charge> {
        let item = quantity.item;
        let Some(price) = self.book.prices.get(&item) else { return Vec::new() };
        let used = quantity.used();
        let scale = (item, item.kind.is_by_time().then_some(day));
        let before = self.used.entry(scale).or_default();
        let shares = price.divide(before, &used);
        *before += &used;
        let charge =
            |(step, used): (&Step, Amount)| Charge { item, price: step.single.clone(), used };
        shares.into_iter().map(charge).collect()
    }
}

#[cfg(test)]
#[path = "meter_tests.rs"]
mod tests;
