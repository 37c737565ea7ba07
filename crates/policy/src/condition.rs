//! Conditions: an operator, a key and values.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;

use crate::fault::PolicyFault;
use crate::key::Key;
use crate::pattern::{Pattern, Syntax};
use crate::time;
use crate::value::{Fact, Facts, Value};

/// Whether something holds, if that can be known. Ordered, so that the least of
/// several is their conjunction and the greatest their disjunction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    False,
    Unknown,
    True,
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Truth {
        if truth { Truth::True } else { Truth::False }
    }
}

impl Truth {
    pub(crate) fn not(self) -> Truth {
        match self {
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
            Truth::True => Truth::False,
        }
    }

    /// Whether one of several holds.
    pub(crate) fn any(truths: impl Iterator<Item = Truth>) -> Truth {
        let mut any = Truth::False;
        for truth in truths {
            if truth == Truth::True {
                return truth;
            }
            any = any.max(truth);
        }
        any
    }
}

/// How an operator is named in its grammar, taken apart.
pub(crate) struct Operator {
    pub kind: Kind,
    pub negated: bool,
    pub if_exists: bool,
    pub quantifier: Quantifier,
    /// What it says of a key that is not there, without `IfExists`.
    pub absent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Texts: whether they have wildcards, and whether case counts.
    Text {
        wildcards: bool,
        fold: bool,
    },
    Number(Compare),
    Date(Compare),
    Bool,
    Ip,
    /// Six components, none of whose wildcards reaches into the next.
    Arn,
    /// Base64 text.
    Binary,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Compare {
    Equal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Compare {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Compare::Equal => ordering.is_eq(),
            Compare::Less => ordering.is_lt(),
            Compare::LessEqual => ordering.is_le(),
            Compare::Greater => ordering.is_gt(),
            Compare::GreaterEqual => ordering.is_ge(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quantifier {
    /// The key has one value.
    One,
    AnyValue,
    AllValues,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    pub(crate) key: Key,
    wanted: Wanted,
    negated: bool,
    if_exists: bool,
    quantifier: Quantifier,
    absent: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Text(Vec<Pattern>),
    Number(Compare, Vec<f64>),
    Date(Compare, Vec<i64>),
    Bool(Vec<bool>),
    Ip(Vec<Net>),
    Arn(Vec<[Pattern; 6]>),
    /// Whether the key must be missing.
    Null(Vec<bool>),
}

/// Addresses with a common front.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Net {
    address: u128,
    bits: u32,
    v4: bool,
}

impl Condition {
    pub(crate) fn new(
        key: Key,
        operator: &Operator,
        values: &[String],
        variables: Option<fn(&str) -> Option<Key>>,
    ) -> Result<Condition, PolicyFault> {
        fn all<T>(
            values: &[String],
            read: impl Fn(&str) -> Option<T>,
        ) -> Result<Vec<T>, PolicyFault> {
            let one = |value: &String| {
                read(value).ok_or_else(|| PolicyFault::ConditionValue(value.clone()))
            };
            values.iter().map(one).collect()
        }
        let wanted = match operator.kind {
            Kind::Text { wildcards, fold } => {
                let syntax = Syntax { wildcards, variables, fold };
                let patterns = values.iter().map(|value| Pattern::parse(value, syntax));
                Wanted::Text(patterns.collect::<Result<_, _>>()?)
            }
            Kind::Binary => Wanted::Text(values.iter().map(|v| Pattern::literal(v)).collect()),
            Kind::Number(compare) => Wanted::Number(compare, all(values, number)?),
            Kind::Date(compare) => Wanted::Date(compare, all(values, time::parse)?),
            Kind::Bool => Wanted::Bool(all(values, truth)?),
            Kind::Null => Wanted::Null(all(values, truth)?),
            Kind::Ip => Wanted::Ip(all(values, Net::parse)?),
            Kind::Arn => {
                let patterns = values.iter().map(|value| arn_pattern(value, variables));
                Wanted::Arn(patterns.collect::<Result<_, _>>()?)
            }
        };
        Ok(Condition {
            key,
            wanted,
            negated: operator.negated,
            if_exists: operator.if_exists,
            quantifier: operator.quantifier,
            absent: operator.absent,
        })
    }

    pub(crate) fn holds(&self, facts: &dyn Facts) -> Truth {
        let fact = facts.fact(&self.key);
        if fact == Fact::Unknown {
            return Truth::Unknown;
        }
        if let Wanted::Null(wanted) = &self.wanted {
            let missing = match &fact {
                Fact::Many(values) => values.is_empty(),
                fact => *fact == Fact::Absent,
            };
            return wanted.contains(&missing).into();
        }
        let one = |value: &Value<'_>| {
            let found = self.is_wanted(value, facts);
            if self.negated { found.not() } else { found }
        };
        match fact {
            Fact::Unknown => Truth::Unknown,
            Fact::One(value) => one(&value),
            Fact::Many(values) if !values.is_empty() => {
                let truths = values.into_iter().map(|value| one(&Value::Text(value)));
                match self.quantifier {
                    // A negation holds of several values if it holds of each.
                    Quantifier::One if self.negated => every(truths),
                    Quantifier::One | Quantifier::AnyValue => Truth::any(truths),
                    Quantifier::AllValues => every(truths),
                }
            }
            Fact::Absent | Fact::Many(_) if self.if_exists => Truth::True,
            Fact::Absent | Fact::Many(_) => match self.quantifier {
                Quantifier::One => self.absent.into(),
                Quantifier::AnyValue => Truth::False,
                Quantifier::AllValues => Truth::True,
            },
        }
    }

    /// Whether a value is among those wanted. One that is not of the operator's
    /// kind is not.
    fn is_wanted(&self, value: &Value<'_>, facts: &dyn Facts) -> Truth {
        match &self.wanted {
            Wanted::Text(patterns) => {
                let text = value.text();
                Truth::any(patterns.iter().map(|pattern| pattern.matches(&text, facts)))
            }
            Wanted::Number(compare, wanted) => {
                let value = match value {
                    Value::Number(number) => Some(*number as f64),
                    Value::Time(ms) => Some((*ms / 1000) as f64),
                    value => number(&value.text()),
                };
                let holds = |wanted: &f64| value.and_then(|value| value.partial_cmp(wanted));
                wanted.iter().any(|w| holds(w).is_some_and(|o| compare.holds(o))).into()
            }
            Wanted::Date(compare, wanted) => {
                let value = match value {
                    Value::Time(ms) => Some(*ms),
                    value => time::parse(&value.text()),
                };
                wanted.iter().any(|w| value.is_some_and(|v| compare.holds(v.cmp(w)))).into()
            }
            Wanted::Bool(wanted) => {
                let value = match value {
                    Value::Bool(value) => Some(*value),
                    value => truth(&value.text()),
                };
                value.is_some_and(|value| wanted.contains(&value)).into()
            }
            Wanted::Ip(nets) => {
                let value = match value {
                    Value::Ip(ip) => Some(*ip),
                    value => value.text().parse().ok(),
                };
                value.is_some_and(|ip| nets.iter().any(|net| net.contains(ip))).into()
            }
            Wanted::Arn(patterns) => {
                let text = value.text();
                let Some(parts) = components(&text) else { return Truth::False };
                let one = |pattern: &[Pattern; 6]| {
                    let pairs = pattern.iter().zip(parts);
                    every(pairs.map(|(pattern, part)| pattern.matches(part, facts)))
                };
                Truth::any(patterns.iter().map(one))
            }
            Wanted::Null(_) => Truth::False,
        }
    }

    pub(crate) fn asks(&self, about: &impl Fn(&Key) -> bool) -> bool {
        about(&self.key)
            || match &self.wanted {
                Wanted::Text(patterns) => patterns.iter().any(|pattern| pattern.asks(about)),
                Wanted::Arn(patterns) => patterns.iter().flatten().any(|one| one.asks(about)),
                _ => false,
            }
    }

    /// Whether it lets only known few in, for the question whether a policy is
    /// public: it names values without wildcards, or networks that are not vast.
    pub(crate) fn narrows(&self) -> bool {
        if self.negated || self.if_exists || self.quantifier == Quantifier::AllValues {
            return false;
        }
        match &self.wanted {
            Wanted::Ip(nets) => nets.iter().all(|net| !net.is_vast()),
            Wanted::Text(patterns) => patterns.iter().all(Pattern::is_fixed),
            Wanted::Arn(patterns) => patterns.iter().flatten().all(Pattern::is_fixed),
            _ => false,
        }
    }
}

fn every(truths: impl Iterator<Item = Truth>) -> Truth {
    Truth::any(truths.map(Truth::not)).not()
}

/// A decimal number.
fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (plain && digits.bytes().any(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn truth(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn components(arn: &str) -> Option<[&str; 6]> {
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next();
    Some([next()?, next()?, next()?, next()?, next()?, next()?])
}

fn arn_pattern(
    text: &str,
    variables: Option<fn(&str) -> Option<Key>>,
) -> Result<[Pattern; 6], PolicyFault> {
    let syntax = Syntax { wildcards: true, variables, fold: false };
    let text: Cow<'_, str> = if text == "*" { "*:*:*:*:*:*".into() } else { text.into() };
    let invalid = || PolicyFault::ConditionValue(text.to_string());
    // A variable's name has a colon of its own.
    let parts = split_outside_variables(&text).filter(|parts| parts[0] == "arn" || parts[0] == "*");
    let parts = parts.ok_or_else(invalid)?;
    let mut patterns = Vec::with_capacity(6);
    for part in parts {
        patterns.push(Pattern::parse(part, syntax)?);
    }
    patterns.try_into().map_err(|_| invalid())
}

fn split_outside_variables(text: &str) -> Option<[&str; 6]> {
    let (mut parts, mut from, mut inside) = (Vec::with_capacity(6), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => inside = true,
            b'}' => inside = false,
            b':' if !inside && parts.len() < 5 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts.try_into().ok()
}

impl Net {
    /// `10.0.0.0/8`, `2001:db8::/32`, or one address. IPv4 written as IPv6
    /// (`::ffff:10.0.0.0/104`) is IPv4, as it is in whoever calls.
    pub(crate) fn parse(text: &str) -> Option<Net> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (v4, width) = (address.is_ipv4(), if address.is_ipv4() { 32 } else { 128 });
        let bits: u32 = match bits {
            None => width,
            Some(bits) if bits.len() <= 3 && bits.bytes().all(|b| b.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= width)?
            }
            Some(_) => return None,
        };
        let canonical = address.to_canonical();
        let (address, bits, v4, width) = match bits.checked_sub(96) {
            Some(bits) if !v4 && canonical.is_ipv4() => (canonical, bits, true, 32),
            _ => (address, bits, v4, width),
        };
        Some(Net { address: as_number(address) & mask(bits, width), bits, v4 })
    }

    fn contains(&self, ip: IpAddr) -> bool {
        // An IPv4 client of a listener for both arrives as one of IPv6.
        let ip = ip.to_canonical();
        let width = if self.v4 { 32 } else { 128 };
        ip.is_ipv4() == self.v4 && as_number(ip) & mask(self.bits, width) == self.address
    }

    /// So large that whoever it lets in is anybody.
    fn is_vast(&self) -> bool {
        self.bits < if self.v4 { 8 } else { 32 }
    }
}

fn as_number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// Ones in the first bits of so many.
fn mask(bits: u32, width: u32) -> u128 {
    let all = if width == 128 { u128::MAX } else { (1 << width) - 1 };
    all & !all.checked_shr(bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (net, inside, outside) in [
            ("10.0.0.0/8", &["10.1.2.3", "::ffff:10.1.2.3"][..], &["11.0.0.1", "::a00:1"][..]),
            ("10.1.2.3", &["10.1.2.3"], &["10.1.2.4"]),
            ("0.0.0.0/0", &["10.1.2.3", "::ffff:10.1.2.3"], &["2001:db8::1"]),
            ("2001:db8::/32", &["2001:db8::1"], &["2001:db9::1", "10.1.2.3"]),
            ("::1", &["::1"], &["::2", "0.0.0.1"]),
            ("::/0", &["2001:db8::1", "::1"], &["10.1.2.3"]),
            ("::ffff:10.1.2.3", &["10.1.2.3", "::ffff:10.1.2.3"], &["10.1.2.4", "2001:db8::1"]),
            ("::ffff:10.0.0.0/104", &["10.1.2.3"], &["11.0.0.1"]),
            ("::ffff:0:0/96", &["10.1.2.3"], &["2001:db8::1"]),
            // What is wider than all of IPv4 is IPv6.
            ("::ffff:0:0/95", &["::fffe:1:1"], &["10.1.2.3"]),
        ] {
            let parsed = Net::parse(net).unwrap();
            let contains = |ip: &&&str| parsed.contains(ip.parse().unwrap());
            assert_eq!(inside.iter().find(|ip| !contains(ip)), None, "{net}");
            assert_eq!(outside.iter().find(contains), None, "{net}");
        }
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/+8", "[::1]"] {
            assert_eq!(Net::parse(bad), None, "{bad}");
        }
        assert!(Net::parse("::ffff:0:0/96").unwrap().is_vast(), "it is 0.0.0.0/0");
    }
}
