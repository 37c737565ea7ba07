//! Price books: TOML files that say what a unit of everything costs. An item of a book
//! is a key of its kind's table, `storage.STANDARD`; there are no other keys.

use std::path::{Path, PathBuf};

use costrel_core::bill::{Amount, AmountFault, Item, Kind, Price, PriceBook, PriceFault};
use costrel_core::tier::StorageClass;
use toml::{Table, Value};

/// The book that is used if none is given.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Table of the kinds of usage that have no storage classes.
const TRAFFIC: &str = "traffic";
const NAME_LEN_MAX: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum PriceBookError {
    #[error("price book {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("price book {path}: {fault}")]
    Book { path: PathBuf, fault: BookFault },
}

#[derive(Debug, thiserror::Error)]
pub enum BookFault {
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    #[error("{0}: there is no such key")]
    UnknownKey(String),
    #[error("{0}: is missing")]
    Missing(&'static str),
    #[error("{0}: is no text of 1 to {NAME_LEN_MAX} characters without control characters")]
    Name(&'static str),
    #[error("{0}: is no table")]
    NoTable(String),
    #[error(
        "{0}: is no price: one is a decimal number in quotes, like \"0.118\", or a list of steps, {{ above = \"0\", price = \"0.118\" }}"
    )]
    NoPrice(String),
    #[error("{0}: has to be in quotes, to be exactly what is written")]
    Inexact(String),
    #[error("{0}: {1}")]
    Amount(String, AmountFault),
    #[error("{0}: {1}")]
    Steps(String, PriceFault),
}

/// The book of a file, or the example.
pub fn load(path: Option<&Path>) -> Result<PriceBook, PriceBookError> {
    let example = || PathBuf::from("(example)");
    let (text, path) = match path {
        None => (EXAMPLE.to_owned(), example()),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| PriceBookError::Read { path: path.to_owned(), source })?;
            (text, path.to_owned())
        }
    };
    parse(&text).map_err(|fault| PriceBookError::Book { path, fault })
}

fn parse(text: &str) -> Result<PriceBook, BookFault> {
    let table: Table = text.parse()?;
    let mut book = PriceBook {
        name: named(&table, "name")?,
        currency: named(&table, "currency")?,
        ..PriceBook::default()
    };
    for (key, value) in table.iter().filter(|(key, _)| !matches!(key.as_str(), "name" | "currency"))
    {
        let kind = Kind::ALL.into_iter().find(|kind| kind.has_classes() && kind.code() == key);
        if kind.is_none() && key != TRAFFIC {
            return Err(BookFault::UnknownKey(key.clone()));
        }
        let items = value.as_table().ok_or_else(|| BookFault::NoTable(key.clone()))?;
        for (name, value) in items {
            let place = format!("{key}.{name}");
            let item = item(kind, name).ok_or_else(|| BookFault::UnknownKey(place.clone()))?;
            let price = Price::new(item, steps(&place, value)?);
            book.prices.insert(item, price.map_err(|fault| BookFault::Steps(place, fault))?);
        }
    }
    Ok(book)
}

fn named(table: &Table, key: &'static str) -> Result<String, BookFault> {
    let text = table.get(key).ok_or(BookFault::Missing(key))?.as_str();
    let is_name = |text: &&str| {
        (1..=NAME_LEN_MAX).contains(&text.chars().count()) && !text.contains(char::is_control)
    };
    text.filter(is_name).map(str::to_owned).ok_or(BookFault::Name(key))
}

fn item(kind: Option<Kind>, name: &str) -> Option<Item> {
    match kind {
        Some(kind) => {
            let class = StorageClass::names().find(|class| *class == name)?;
            Some(Item::of_class(kind, class))
        }
        None => {
            let kind = Kind::ALL.into_iter().find(|kind| kind.code() == name)?;
            (!kind.has_classes()).then_some(Item::traffic(kind))
        }
    }
}

fn steps(place: &str, value: &Value) -> Result<Vec<(Amount, Amount)>, BookFault> {
    let Value::Array(steps) = value else {
        return Ok(vec![(Amount::default(), amount(place, value)?)]);
    };
    let step = |(at, step): (usize, &Value)| {
        let place = format!("{place}[{at}]");
        let step = step.as_table().ok_or_else(|| BookFault::NoPrice(place.clone()))?;
        if let Some(other) = step.keys().find(|key| !matches!(key.as_str(), "above" | "price")) {
            return Err(BookFault::UnknownKey(format!("{place}.{other}")));
        }
        let of = |key: &str| {
            let place = format!("{place}.{key}");
            match step.get(key) {
                Some(value) => amount(&place, value),
                None => Err(BookFault::NoPrice(place)),
            }
        };
        Ok((of("above")?, of("price")?))
    };
    steps.iter().enumerate().map(step).collect()
}

fn amount(place: &str, value: &Value) -> Result<Amount, BookFault> {
    match value {
        Value::String(text) => {
            Amount::parse(text).map_err(|fault| BookFault::Amount(place.to_owned(), fault))
        }
        Value::Integer(_) | Value::Float(_) => Err(BookFault::Inexact(place.to_owned())),
        _ => Err(BookFault::NoPrice(place.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name = 'of a test'\ncurrency = 'EUR'\n";

    #[test]
    fn the_example_says_that_it_is_one() {
        let book = load(None).unwrap();
        assert_eq!((book.name.as_str(), book.currency.as_str()), ("example prices", "CNY"));
        for class in StorageClass::names() {
            for kind in [Kind::Storage, Kind::ReadRequests, Kind::WriteRequests] {
                assert!(book.prices.contains_key(&Item::of_class(kind, class)), "{class}");
            }
        }
        let traffic = &book.prices[&Item::traffic(Kind::InternetDownstream)];
        assert_eq!(traffic.steps().len(), 3);
        assert_eq!(traffic.steps()[1].above, Amount::from(10_240));
    }

    #[test]
    fn prices_of_a_book() {
        let text = format!("{HEAD}[storage]\nARCHIVE = '0.03'\n[traffic]\ninternal_upstream = '1'");
        let book = parse(&text).unwrap();
        assert_eq!(book.prices.len(), 2);
        let price = &book.prices[&Item::of_class(Kind::Storage, "ARCHIVE")];
        assert_eq!(price.steps()[0].single, Amount::parse("0.001").unwrap());
        assert!(parse(HEAD).unwrap().prices.is_empty());
    }

    #[test]
    fn what_is_no_book() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let message = parse(&format!("{HEAD}{text}")).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        check("[storge]\nSTANDARD = '1'", "storge: there is no such key");
        check("[storage]\nCOLD = '1'", "storage.COLD: there is no such key");
        check("[storage]\ninternet_upstream = '1'", "storage.internet_upstream: there is no such");
        check("[traffic]\nSTANDARD = '1'", "traffic.STANDARD: there is no such key");
        check("[internet_upstream]\nx = '1'", "internet_upstream: there is no such key");
        check("discount = '1'", "discount: there is no such key");
        check("storage = '1'", "storage: is no table");
        check("[storage]\nSTANDARD = 0.118", "storage.STANDARD: has to be in quotes");
        check("[storage]\nSTANDARD = 1", "has to be in quotes");
        check("[storage]\nSTANDARD = '-1'", "storage.STANDARD: is no decimal number");
        check("[storage]\nSTANDARD = '1e3'", "is no decimal number");
        check("[storage]\nSTANDARD = '0.123456789'", "more than 8 digits behind");
        check("[storage]\nSTANDARD = true", "is no price");
        check("[storage]\nSTANDARD = []", "has no step");
        check("[storage]\nSTANDARD = [{ above = '0' }]", "STANDARD[0].price: is no price");
        check("[storage]\nSTANDARD = [{ above = '1', price = '1' }]", "first step is not above 0");
        check("[storage]\nSTANDARD = ['1']", "STANDARD[0]: is no price");
        let steps = "{ above = '0', price = '1' }, { above = '0', price = '1' }";
        check(&format!("[storage]\nSTANDARD = [{steps}]"), "above 0 does not come behind");
        check("[storage]\nSTANDARD = [{ above = '0', price = '1', x = 1 }]", "[0].x: there is no");
        check("[storage]\nSTANDARD = '1'\nSTANDARD = '2'", "duplicate key");
        let refusal = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(refusal("name = 'a'"), "currency: is missing");
        assert!(refusal("name = ''\ncurrency = 'CNY'").starts_with("name: is no text"));
        assert!(refusal("name = \"a\\nb\"\ncurrency = 'CNY'").starts_with("name: is no text"));
        assert!(refusal("name = 1\ncurrency = 'CNY'").starts_with("name: is no text"));
        let missing = load(Some(Path::new("/no/such/book"))).unwrap_err().to_string();
        assert!(missing.starts_with("price book /no/such/book: "), "{missing}");
    }
}
