//! What is known of a request, as conditions ask for it.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::key::Key;
use crate::time;

/// Answers what conditions ask about a request. Only what policies mention is
/// asked for.
pub trait Facts {
    fn fact(&self, key: &Key) -> Fact<'_>;

    /// The names, in both grammars, of what an action of another service than COS and S3
    /// is about; none if they are not known.
    fn resources(&self) -> &[String] {
        &[]
    }
}

/// What is known about a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact<'a> {
    /// Nobody here can know it. It never speaks for the caller.
    Unknown,
    /// The request has no such thing.
    Absent,
    One(Value<'a>),
    /// A key of several values.
    Many(Vec<Cow<'a, str>>),
}

impl<'a> Fact<'a> {
    pub fn text(text: impl Into<Cow<'a, str>>) -> Fact<'a> {
        Fact::One(Value::Text(text.into()))
    }

    /// A text that may not be there.
    pub fn optional(text: Option<&'a str>) -> Fact<'a> {
        text.map_or(Fact::Absent, Fact::text)
    }
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Text(Cow<'a, str>),
    Ip(IpAddr),
    Bool(bool),
    Number(u64),
    /// Milliseconds since the Unix epoch.
    Time(i64),
}

impl Value<'_> {
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Text(text) => Cow::Borrowed(text),
            Value::Ip(ip) => ip.to_string().into(),
            Value::Bool(truth) => if *truth { "true" } else { "false" }.into(),
            Value::Number(number) => number.to_string().into(),
            Value::Time(ms) => time::format_iso(*ms).into(),
        }
    }
}
