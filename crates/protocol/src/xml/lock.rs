//! The XML bodies of object lock. Elements are optional here where one of the
//! dialects does without them.

use costrel_core::lock::RetentionMode;

use super::reader::{Source, XmlError};
use super::requests::once;
use super::settings::{CONFIGURATION_BYTES_MAX, one_of};
use crate::date;

/// `Rule` of an `ObjectLockConfiguration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockRule {
    pub mode: Option<RetentionMode>,
    pub days: Option<i64>,
    pub years: Option<i64>,
}

/// `ObjectLockConfiguration`, which can only enable: its rule, if it has one.
pub fn parse_lock_configuration(body: &[u8]) -> Result<Option<LockRule>, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "ObjectLockConfiguration")?;
    let (mut enabled, mut rule) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "ObjectLockEnabled" => match source.text()?.trim() {
                "Enabled" => once(&mut enabled, ())?,
                _ => return Err(XmlError::Malformed("object lock cannot be disabled")),
            },
            "Rule" => once(&mut rule, lock_rule(&mut source)?)?,
            _ => source.skip()?,
        }
    }
    source.finish()?;
    enabled.ok_or(XmlError::Malformed("no ObjectLockEnabled"))?;
    Ok(rule)
}

fn lock_rule(source: &mut Source<'_>) -> Result<LockRule, XmlError> {
    let mut default = None;
    while let Some(name) = source.child()? {
        match name.as_str() {
            "DefaultRetention" => once(&mut default, default_retention(source)?)?,
            _ => source.skip()?,
        }
    }
    default.ok_or(XmlError::Malformed("no DefaultRetention"))
}

fn default_retention(source: &mut Source<'_>) -> Result<LockRule, XmlError> {
    let mut rule = LockRule::default();
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Mode" => once(&mut rule.mode, mode(&source.text()?)?)?,
            "Days" => once(&mut rule.days, number(&source.text()?)?)?,
            "Years" => once(&mut rule.years, number(&source.text()?)?)?,
            _ => source.skip()?,
        }
    }
    Ok(rule)
}

/// `Retention`: mode and end, in ms since 1970.
pub fn parse_retention(body: &[u8]) -> Result<(Option<RetentionMode>, Option<u64>), XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "Retention")?;
    let (mut kind, mut until) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Mode" => once(&mut kind, mode(&source.text()?)?)?,
            "RetainUntilDate" => {
                let time = date::parse_iso(source.text()?.trim());
                once(&mut until, time.ok_or(XmlError::Malformed("not a date"))?)?;
            }
            _ => source.skip()?,
        }
    }
    source.finish()?;
    Ok((kind, until))
}

/// `LegalHold`: whether it is on.
pub fn parse_legal_hold(body: &[u8]) -> Result<bool, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "LegalHold")?;
    let mut status = None;
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Status" => once(&mut status, one_of(&source.text()?, ["OFF", "ON"])?)?,
            _ => source.skip()?,
        }
    }
    source.finish()?;
    status.ok_or(XmlError::Malformed("no Status"))
}

fn mode(text: &str) -> Result<RetentionMode, XmlError> {
    RetentionMode::from_name(text.trim()).ok_or(XmlError::Malformed("unknown mode"))
}

fn number(text: &str) -> Result<i64, XmlError> {
    text.trim().parse().map_err(|_| XmlError::Malformed("not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        let parse = |inner: &str| {
            let text = format!("<ObjectLockConfiguration>{inner}</ObjectLockConfiguration>");
            parse_lock_configuration(text.as_bytes())
        };
        let enabled = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>";
        let rule = |inner: &str| {
            format!("{enabled}<Rule><DefaultRetention>{inner}</DefaultRetention></Rule>")
        };
        assert_eq!(parse(enabled), Ok(None));
        let days = LockRule { days: Some(-3), ..LockRule::default() };
        assert_eq!(parse(&rule("<Days>-3</Days>")), Ok(Some(days)));
        let read = parse(&rule("<Mode>GOVERNANCE</Mode><Years>1</Years>")).unwrap().unwrap();
        assert_eq!((read.mode, read.years), (Some(RetentionMode::Governance), Some(1)));
        for bad in [
            "",
            "<ObjectLockEnabled>Disabled</ObjectLockEnabled>",
            &format!("{enabled}{enabled}"),
            &format!("{enabled}<Rule/>"),
            &rule("<Mode>governance</Mode>"),
            &rule("<Days>1.5</Days>"),
            &rule("<Days>1</Days><Days>2</Days>"),
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn retentions_and_holds() {
        let parse =
            |inner: &str| parse_retention(format!("<Retention>{inner}</Retention>").as_bytes());
        assert_eq!(parse(""), Ok((None, None)));
        let whole =
            "<Mode>COMPLIANCE</Mode><RetainUntilDate>1970-01-01T00:00:01Z</RetainUntilDate>";
        assert_eq!(parse(whole), Ok((Some(RetentionMode::Compliance), Some(1000))));
        for bad in ["<Mode>x</Mode>", "<RetainUntilDate>tomorrow</RetainUntilDate>"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let hold = |status: &str| {
            parse_legal_hold(format!("<LegalHold><Status>{status}</Status></LegalHold>").as_bytes())
        };
        assert_eq!((hold("ON"), hold("OFF")), (Ok(true), Ok(false)));
        assert!(hold("on").is_err() && parse_legal_hold(b"<LegalHold/>").is_err());
    }
}
