//! The policy of a POST object form: what its signer allows.
//!
//! Sources: COS "POST Object" (436/14690) and "POST Object common exceptions";
//! AWS "Creating a POST policy" (Amazon S3 API reference).
//!
//! The dialects differ in what has to be covered. In S3 every field of the form
//! must be named by a condition, with few exceptions. In COS three conditions
//! are mandatory, fields may go unnamed, and some fields allow no prefix.

use serde_json::Value;
use thiserror::Error;

use crate::post::field;
use crate::time::parse_iso_extended;

/// Which dialect's rules a form is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyDialect {
    Cos,
    S3,
}

/// A parsed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Unix seconds.
    pub expiration: i64,
    conditions: Vec<Condition>,
}

/// One condition. Field names are lower-case, without `$`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Equals {
        field: String,
        value: String,
    },
    StartsWith {
        field: String,
        prefix: String,
    },
    /// Size of the file in bytes, both ends inclusive.
    LengthRange {
        min: u64,
        max: u64,
    },
}

/// A form as submitted, without the file.
pub struct Submission<'a, N, V> {
    pub dialect: PolicyDialect,
    /// The bucket the form was sent to.
    pub bucket: &'a str,
    /// The key after `${filename}` was replaced.
    pub key: &'a str,
    /// All fields but the file, in order.
    pub fields: &'a [(N, V)],
}

/// Why a form is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// The document is not a policy.
    #[error("invalid policy document: {0}")]
    Malformed(String),
    /// COS: a mandatory condition is missing.
    #[error("policy lacks a condition for {0}")]
    MissingCondition(&'static str),
    /// COS: a prefix condition on a field that must be given exactly.
    #[error("{0} allows only exact conditions")]
    PrefixNotAllowed(String),
    /// Times are Unix seconds.
    #[error("policy expired at {expiration}, now {now}")]
    Expired { expiration: i64, now: i64 },
    /// `actual` is the form's value, if the field is there at all.
    #[error("policy condition failed: {}", .condition.text())]
    ConditionFailed { condition: Condition, actual: Option<String> },
    /// S3: fields that no condition names.
    #[error("extra input fields: {}", .0.join(", "))]
    FieldsNotCovered(Vec<String>),
    #[error("file of {size} bytes is smaller than {min}")]
    TooSmall { size: u64, min: u64 },
    #[error("file of {size} bytes is larger than {max}")]
    TooLarge { size: u64, max: u64 },
}

impl Condition {
    /// The condition in its array form, as vendors print it in messages.
    pub fn text(&self) -> String {
        match self {
            Condition::Equals { field, value } => {
                format!("[\"eq\", \"${field}\", {}]", Value::from(value.as_str()))
            }
            Condition::StartsWith { field, prefix } => {
                format!("[\"starts-with\", \"${field}\", {}]", Value::from(prefix.as_str()))
            }
            Condition::LengthRange { min, max } => {
                format!("[\"content-length-range\", {min}, {max}]")
            }
        }
    }

    /// The field a condition is about.
    pub fn field(&self) -> Option<&str> {
        match self {
            Condition::Equals { field, .. } | Condition::StartsWith { field, .. } => Some(field),
            Condition::LengthRange { .. } => None,
        }
    }
}

/// COS: conditions that must be there, exactly, and the form field each is
/// compared with. The policy says `q-sign-time` where the form says
/// `q-key-time`.
const COS_MANDATORY: [(&str, &str); 3] =
    [("q-sign-algorithm", "q-sign-algorithm"), ("q-ak", "q-ak"), ("q-sign-time", "q-key-time")];

impl Policy {
    /// Reads the decoded policy document.
    pub fn parse(json: &[u8]) -> Result<Self, PolicyError> {
        let malformed = |why: &str| PolicyError::Malformed(why.to_owned());
        let document: Value = serde_json::from_slice(&plain_json(json))
            .map_err(|_| malformed("the policy is not valid JSON"))?;
        let Value::Object(document) = document else {
            return Err(malformed("the policy is not an object"));
        };
        let expiration = document
            .get("expiration")
            .ok_or_else(|| malformed("the policy is missing: expiration"))?
            .as_str()
            .and_then(parse_iso_extended)
            .ok_or_else(|| malformed("invalid 'expiration' value"))?;
        let conditions = document
            .get("conditions")
            .ok_or_else(|| malformed("the policy is missing: conditions"))?
            .as_array()
            .ok_or_else(|| malformed("conditions must be a list"))?;
        let conditions = conditions.iter().map(parse_condition).collect::<Result<_, _>>()?;
        Ok(Policy { expiration, conditions })
    }

    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// The sizes all `content-length-range` conditions allow together.
    pub fn length_range(&self) -> (u64, u64) {
        self.conditions.iter().fold((0, u64::MAX), |(low, high), condition| match condition {
            Condition::LengthRange { min, max } => (low.max(*min), high.min(*max)),
            _ => (low, high),
        })
    }

    /// Judges the size of the file, which is known only when it has arrived;
    /// [`length_range`](Self::length_range) lets a caller stop earlier.
    pub fn check_length(&self, size: u64) -> Result<(), PolicyError> {
        let (min, max) = self.length_range();
        if size > max {
            return Err(PolicyError::TooLarge { size, max });
        }
        if size < min {
            return Err(PolicyError::TooSmall { size, min });
        }
        Ok(())
    }

    /// Judges everything but the size of the file. `now` is Unix seconds.
    pub fn check<N: AsRef<str>, V: AsRef<str>>(
        &self,
        form: &Submission<'_, N, V>,
        now: i64,
    ) -> Result<(), PolicyError> {
        if now > self.expiration {
            return Err(PolicyError::Expired { expiration: self.expiration, now });
        }
        if form.dialect == PolicyDialect::Cos {
            self.check_cos_conditions()?;
        }
        for condition in &self.conditions {
            check_condition(condition, form)?;
        }
        match form.dialect {
            PolicyDialect::S3 => self.check_coverage(form.fields),
            PolicyDialect::Cos => Ok(()),
        }
    }

    fn check_cos_conditions(&self) -> Result<(), PolicyError> {
        for (name, _) in COS_MANDATORY {
            if !self.conditions.iter().any(|condition| condition.field() == Some(name)) {
                return Err(PolicyError::MissingCondition(name));
            }
        }
        for condition in &self.conditions {
            if let Condition::StartsWith { field, .. } = condition
                && is_exact_in_cos(field)
            {
                return Err(PolicyError::PrefixNotAllowed(field.clone()));
            }
        }
        Ok(())
    }

    fn check_coverage<N: AsRef<str>, V: AsRef<str>>(
        &self,
        fields: &[(N, V)],
    ) -> Result<(), PolicyError> {
        // The bucket is no field of most forms, but must be named all the same:
        // a signature is for one bucket.
        let uncovered: Vec<String> = fields
            .iter()
            .map(|(name, _)| name.as_ref().to_ascii_lowercase())
            .filter(|name| !is_exempt_in_s3(name))
            .chain(["bucket".to_owned()])
            .filter(|name| !self.conditions.iter().any(|c| c.field() == Some(name)))
            .collect();
        if uncovered.is_empty() { Ok(()) } else { Err(PolicyError::FieldsNotCovered(uncovered)) }
    }
}

fn is_exempt_in_s3(name: &str) -> bool {
    let signature = ["x-amz-signature", "signature", "awsaccesskeyid", "policy", "file"];
    signature.contains(&name) || name.starts_with("x-ignore-")
}

/// The table of document 436/14690: these fields know no prefix.
fn is_exact_in_cos(field: &str) -> bool {
    let exact = ["bucket", "success_action_status", "q-sign-algorithm", "q-ak", "q-sign-time"];
    exact.contains(&field) || (field.starts_with("x-cos-") && !field.starts_with("x-cos-meta-"))
}

fn check_condition<N: AsRef<str>, V: AsRef<str>>(
    condition: &Condition,
    form: &Submission<'_, N, V>,
) -> Result<(), PolicyError> {
    let Some(name) = condition.field() else { return Ok(()) };
    let actual = match name {
        "bucket" => Some(form.bucket),
        "key" => Some(form.key),
        name => {
            let mapped = COS_MANDATORY
                .iter()
                .find(|(condition, _)| form.dialect == PolicyDialect::Cos && *condition == name);
            field(form.fields, mapped.map_or(name, |(_, field)| field))
        }
    };
    let holds = match (condition, actual) {
        (_, None) => false,
        (Condition::Equals { value, .. }, Some(actual)) => value == actual,
        (Condition::StartsWith { prefix, .. }, Some(actual)) => {
            // S3 reads a Content-Type with commas as a list of types.
            if form.dialect == PolicyDialect::S3 && name == "content-type" {
                actual.split(',').all(|one| one.trim_start().starts_with(prefix.as_str()))
            } else {
                actual.starts_with(prefix.as_str())
            }
        }
        (Condition::LengthRange { .. }, _) => true,
    };
    if holds {
        return Ok(());
    }
    Err(PolicyError::ConditionFailed {
        condition: condition.clone(),
        actual: actual.map(str::to_owned),
    })
}

fn parse_condition(value: &Value) -> Result<Condition, PolicyError> {
    let malformed = |why: &str| PolicyError::Malformed(format!("{why}: {value}"));
    match value {
        Value::Object(pairs) => {
            let mut pairs = pairs.iter();
            let (Some((name, value)), None) = (pairs.next(), pairs.next()) else {
                return Err(malformed("a simple condition must have exactly one property"));
            };
            let value = value
                .as_str()
                .ok_or_else(|| malformed("the value of a simple condition must be a string"))?;
            Ok(Condition::Equals { field: name.to_ascii_lowercase(), value: value.to_owned() })
        }
        Value::Array(items) => {
            let [operator, first, second] = items.as_slice() else {
                return Err(malformed("a condition must have three elements"));
            };
            let operator =
                operator.as_str().ok_or_else(|| malformed("operator must be a string"))?;
            if operator.eq_ignore_ascii_case("content-length-range") {
                let bytes = |value: &Value| {
                    value
                        .as_u64()
                        .or_else(|| value.as_str()?.parse().ok())
                        .ok_or_else(|| malformed("content-length-range needs two sizes"))
                };
                return Ok(Condition::LengthRange { min: bytes(first)?, max: bytes(second)? });
            }
            let field = first
                .as_str()
                .and_then(|name| name.strip_prefix('$'))
                .ok_or_else(|| malformed("the field of a condition must begin with $"))?
                .to_ascii_lowercase();
            let value = second
                .as_str()
                .ok_or_else(|| malformed("the value of a condition must be a string"))?
                .to_owned();
            if operator.eq_ignore_ascii_case("eq") {
                Ok(Condition::Equals { field, value })
            } else if operator.eq_ignore_ascii_case("starts-with") {
                Ok(Condition::StartsWith { field, prefix: value })
            } else {
                Err(malformed("unknown operator"))
            }
        }
        _ => Err(malformed("a condition must be an object or a list")),
    }
}

/// AWS defines two escapes that JSON does not have: `\$` and `\v`.
fn plain_json(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut bytes = json.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'$') => out.push(b'$'),
            Some(b'v') => out.extend_from_slice(b"\\u000b"),
            Some(escaped) => out.extend_from_slice(&[b'\\', escaped]),
            None => out.push(b'\\'),
        }
    }
    out
}
