//! Decimal numbers of any length: prices, usage and what follows from both.

use std::fmt;
use std::ops::{Add, AddAssign, Mul, Sub};

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode, Zero};

/// Digits behind the point that usage is rounded to: a byte of a GB is 9 × 10⁻¹⁰.
const USED_DECIMALS: u32 = 10;
/// Of a price, as given and as derived.
const PRICE_DECIMALS: usize = 8;
/// Digits before the point of a price or a step.
const WHOLE_DIGITS: usize = 12;
/// Length of one that was stored: a total of products of the others.
const STORED_LEN_MAX: usize = 80;

/// A number from 0 on. Sums and products are exact; it is written without an exponent
/// and without zeros at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(BigDecimal);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountFault {
    #[error("is no decimal number like 0.118")]
    Form,
    #[error("has more than {WHOLE_DIGITS} digits before the point")]
    TooLarge,
    #[error("has more than {PRICE_DECIMALS} digits behind the point")]
    TooFine,
}

impl Amount {
    /// Of digits, with a point and more digits behind them perhaps.
    pub fn parse(text: &str) -> Result<Amount, AmountFault> {
        let (whole, fraction) = parts(text).ok_or(AmountFault::Form)?;
        if whole.len() > WHOLE_DIGITS {
            return Err(AmountFault::TooLarge);
        }
        if fraction.len() > PRICE_DECIMALS {
            return Err(AmountFault::TooFine);
        }
        text.parse().map(Amount).map_err(|_| AmountFault::Form)
    }

    /// What [`Display`](fmt::Display) has written.
    pub(super) fn stored(text: &str) -> Option<Amount> {
        parts(text).filter(|_| text.len() <= STORED_LEN_MAX)?;
        text.parse().ok().map(Amount)
    }

    /// So many of so large a unit, to ten digits behind the point, half to even.
    pub fn of_units(count: u128, unit: u128) -> Amount {
        let scaled = BigInt::from(count) * BigInt::from(10_u64.pow(USED_DECIMALS));
        let unit = BigInt::from(unit.max(1));
        let (whole, rest) = (&scaled / &unit, &scaled % &unit);
        let up = match (rest * 2_u32).cmp(&unit) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => (&whole % 2_u32) != BigInt::zero(),
            std::cmp::Ordering::Greater => true,
        };
        Amount(BigDecimal::new(whole + u32::from(up), USED_DECIMALS.into()))
    }

    /// The thirtieth part of a price, rounded as prices are, half to even.
    pub(super) fn of_a_day(&self) -> Amount {
        let day = &self.0 / BigDecimal::from(30);
        Amount(day.with_scale_round(PRICE_DECIMALS as i64, RoundingMode::HalfEven))
    }

    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// This of the whole in hundredths, with two digits behind the point.
    pub fn percent_of(&self, whole: &Amount) -> String {
        let percent = match whole.is_zero() {
            true => BigDecimal::zero(),
            false => &self.0 * BigDecimal::from(100) / &whole.0,
        };
        percent.with_scale_round(2, RoundingMode::HalfEven).to_plain_string()
    }
}

/// The digits before the point and those behind it.
fn parts(text: &str) -> Option<(&str, &str)> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    (!whole.is_empty() && digits(whole) && digits(fraction)).then_some((whole, fraction))
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.normalized().to_plain_string())
    }
}

impl From<u64> for Amount {
    fn from(number: u64) -> Amount {
        Amount(number.into())
    }
}

impl Add<&Amount> for Amount {
    type Output = Amount;

    fn add(self, other: &Amount) -> Amount {
        Amount(self.0 + &other.0)
    }
}

impl AddAssign<&Amount> for Amount {
    fn add_assign(&mut self, other: &Amount) {
        self.0 += &other.0;
    }
}

/// Of a smaller one: there is nothing below 0.
impl Sub<&Amount> for Amount {
    type Output = Amount;

    fn sub(self, other: &Amount) -> Amount {
        debug_assert!(self >= *other);
        Amount(self.0 - &other.0)
    }
}

impl Mul for &Amount {
    type Output = Amount;

    fn mul(self, other: &Amount) -> Amount {
        Amount(&self.0 * &other.0)
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Amount>>(amounts: I) -> Amount {
        amounts.fold(Amount::default(), |sum, amount| sum + &amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        Amount::parse(text).unwrap()
    }

    #[test]
    fn what_is_a_price() {
        for (text, written) in [
            ("0", "0"),
            ("0.0", "0"),
            ("0.118", "0.118"),
            ("12.50", "12.5"),
            ("100", "100"),
            ("00.1", "0.1"),
            ("999999999999.99999999", "999999999999.99999999"),
        ] {
            assert_eq!(amount(text).to_string(), written, "{text}");
        }
        use AmountFault::*;
        for (text, fault) in [
            ("", Form),
            (".5", Form),
            ("5.", Form),
            ("1.2.3", Form),
            ("-1", Form),
            ("+1", Form),
            ("1e3", Form),
            ("1,5", Form),
            (" 1", Form),
            ("NaN", Form),
            ("1_000", Form),
            ("٣", Form),
            ("1234567890123", TooLarge),
            ("0.123456789", TooFine),
        ] {
            assert_eq!(Amount::parse(text), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn usage_is_rounded_to_ten_digits() {
        const GB: u128 = 1 << 30;
        for (count, unit, written) in [
            (0, GB, "0"),
            (1, GB, "0.0000000009"), // 9.31 × 10⁻¹⁰
            (2, GB, "0.0000000019"), // 1.86 × 10⁻⁹
            (10 << 20, GB, "0.009765625"),
            (GB, GB, "1"),
            (12_345, 10_000, "1.2345"),
            (1, 3, "0.3333333333"),
            (2, 3, "0.6666666667"),
            // Half to even: 0.00000000005, 0.00000000015.
            (1, 20_000_000_000, "0"),
            (3, 20_000_000_000, "0.0000000002"),
            (u128::from(u64::MAX), 1, "18446744073709551615"),
        ] {
            assert_eq!(Amount::of_units(count, unit).to_string(), written, "{count}/{unit}");
        }
    }

    #[test]
    fn a_byte_is_not_lost_in_gigabytes() {
        for bytes in [1_u64, 2, 1023, 1_048_577, 123_456_789_012, (1 << 50) + 1] {
            let shown = Amount::of_units(bytes.into(), 1 << 30);
            let back = &shown * &Amount::from(1 << 30);
            let rounded = back.0.with_scale_round(0, RoundingMode::HalfEven);
            assert_eq!(rounded, BigDecimal::from(bytes), "{bytes}");
        }
    }

    #[test]
    fn a_day_costs_the_thirtieth_part() {
        assert_eq!(amount("0.12").of_a_day().to_string(), "0.004");
        assert_eq!(amount("0.118").of_a_day().to_string(), "0.00393333");
        assert_eq!(amount("0.08").of_a_day().to_string(), "0.00266667");
        // 0.000000045 is as far from either.
        assert_eq!(amount("0.00000135").of_a_day().to_string(), "0.00000004");
        assert_eq!(amount("0").of_a_day().to_string(), "0");
    }

    #[test]
    fn products_are_exact_however_long() {
        let cost = &amount("999999999999.99999999") * &Amount::of_units(u128::MAX >> 40, 1 << 30);
        let again = Amount::stored(&cost.to_string()).unwrap();
        assert_eq!(cost, again);
        assert_eq!(
            (&amount("0.00000001") * &amount("0.00000003")).to_string(),
            "0.0000000000000003"
        );
        assert_eq!(Amount::stored(&"9".repeat(81)), None);
        assert_eq!(amount("1").percent_of(&amount("3")), "33.33");
        assert_eq!(amount("7").percent_of(&amount("7")), "100.00");
        assert_eq!(amount("1").percent_of(&amount("0")), "0.00");
    }
}
