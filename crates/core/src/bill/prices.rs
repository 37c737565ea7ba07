//! A price book: what a unit of each item costs, in steps.

use std::collections::BTreeMap;

use super::amount::Amount;
use super::item::Item;

/// Steps of one price, at most.
pub const STEPS_MAX: usize = 20;

/// The price of what goes beyond some usage, up to the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// In the item's unit.
    pub above: Amount,
    /// As the book has it: of a unit, and of 30 days where time counts.
    pub listed: Amount,
    /// Of a unit, and of a day where time counts.
    pub single: Amount,
}

/// What an item costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceFault {
    #[error("has no step")]
    NoStep,
    #[error("has more than {STEPS_MAX} steps")]
    TooMany,
    #[error("its first step is not above 0")]
    First,
    #[error("its step above {0} does not come behind a lower one")]
    Order(Amount),
}

impl Price {
    /// `steps`: above what, and the price, the lowest first.
    pub fn new(item: Item, steps: Vec<(Amount, Amount)>) -> Result<Price, PriceFault> {
        match steps.first() {
            None => return Err(PriceFault::NoStep),
            Some((above, _)) if !above.is_zero() => return Err(PriceFault::First),
            Some(_) if steps.len() > STEPS_MAX => return Err(PriceFault::TooMany),
            Some(_) => {}
        }
        if let Some(pair) = steps.windows(2).find(|pair| pair[1].0 <= pair[0].0) {
            return Err(PriceFault::Order(pair[1].0.clone()));
        }
        let step = |(above, listed): (Amount, Amount)| Step {
            above,
            single: match item.kind.is_by_time() {
                true => listed.of_a_day(),
                false => listed.clone(),
            },
            listed,
        };
        Ok(Price(steps.into_iter().map(step).collect()))
    }

    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Divides what is used, when so much has been used before, among the steps.
    pub(super) fn divide(&self, before: &Amount, used: &Amount) -> Vec<(&Step, Amount)> {
        let end = before.clone() + used;
        let mut shares = Vec::new();
        for (at, step) in self.0.iter().enumerate() {
            let from = before.max(&step.above);
            let to = match self.0.get(at + 1) {
                Some(next) => end.clone().min(next.above.clone()),
                None => end.clone(),
            };
            if to > *from {
                shares.push((step, to - from));
            }
        }
        shares
    }
}

/// Prices of everything that is billed. What has no price is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceBook {
    /// Shown with each bill.
    pub name: String,
    /// Name of the currency: `CNY`.
    pub currency: String,
    pub prices: BTreeMap<Item, Price>,
}

#[cfg(test)]
mod tests {
    use super::super::item::Kind;
    use super::*;

    fn amount(text: &str) -> Amount {
        Amount::parse(text).unwrap()
    }

    fn price(kind: Kind, steps: &[(&str, &str)]) -> Result<Price, PriceFault> {
        let item = Item { kind, class: if kind.has_classes() { "STANDARD" } else { "" } };
        let steps = steps.iter().map(|(above, price)| (amount(above), amount(price)));
        Price::new(item, steps.collect())
    }

    #[test]
    fn steps_begin_at_nothing_and_rise() {
        use PriceFault::*;
        let traffic = |steps: &[_]| price(Kind::InternetDownstream, steps);
        assert!(traffic(&[("0", "0.5"), ("10", "0.5"), ("10.5", "0")]).is_ok());
        assert_eq!(traffic(&[]), Err(NoStep));
        assert_eq!(traffic(&[("1", "0.5")]), Err(First));
        assert_eq!(traffic(&[("0", "0.5"), ("5", "1"), ("5", "2")]), Err(Order(amount("5"))));
        assert_eq!(traffic(&[("0", "0.5"), ("0", "1")]), Err(Order(amount("0"))));
        let many: Vec<String> = (0..=STEPS_MAX).map(|at| at.to_string()).collect();
        let many: Vec<_> = many.iter().map(|above| (above.as_str(), "1")).collect();
        assert_eq!(traffic(&many), Err(TooMany));
        assert!(traffic(&many[..STEPS_MAX]).is_ok());
    }

    #[test]
    fn a_stored_gigabyte_has_a_price_of_a_day() {
        let storage = price(Kind::Storage, &[("0", "0.118")]).unwrap();
        assert_eq!(storage.steps()[0].single, amount("0.00393333"));
        assert_eq!(storage.steps()[0].listed, amount("0.118"));
        let reads = price(Kind::ReadRequests, &[("0", "0.118")]).unwrap();
        assert_eq!(reads.steps()[0].single, amount("0.118"));
    }

    #[test]
    fn usage_is_divided_among_steps() {
        let price =
            price(Kind::InternetDownstream, &[("0", "3"), ("10", "2"), ("50", "1")]).unwrap();
        let divide = |before, used| {
            let shares = price.divide(&amount(before), &amount(used));
            shares
                .into_iter()
                .map(|(step, share)| format!("{share}@{}", step.single))
                .collect::<Vec<_>>()
        };
        assert_eq!(divide("0", "0"), Vec::<String>::new());
        assert_eq!(divide("0", "4"), ["4@3"]);
        assert_eq!(divide("0", "10"), ["10@3"]);
        assert_eq!(divide("9.5", "1"), ["0.5@3", "0.5@2"]);
        assert_eq!(divide("10", "1"), ["1@2"]);
        assert_eq!(divide("0", "60"), ["10@3", "40@2", "10@1"]);
        assert_eq!(divide("50", "0.0000001"), ["0.0000001@1"]);
        assert_eq!(divide("70", "1"), ["1@1"]);
    }
}
