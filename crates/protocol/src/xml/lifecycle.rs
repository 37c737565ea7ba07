//! `LifecycleConfiguration`, read and written.

use costrel_core::lifecycle::{
    Expiration, FilterForm, Lifecycle, LifecycleFault, NoncurrentExpiration, NoncurrentTransition,
    Rule, Transition, TransitionTime,
};

use super::reader::{Source, XmlError};
use super::requests::{boolean, number, once};
use super::settings::tag;
use super::writer::XmlWriter;
use crate::date;
use crate::dialect::Dialect;
use crate::error::Failure;

/// Most bytes of a lifecycle: 1000 rules with room for a long prefix and some tags
/// in each.
pub const LIFECYCLE_BYTES_MAX: usize = 2 << 20;

/// Rules beyond the limit that are still read, to say that there are too many.
const RULES_READ_MAX: usize = 100_000;

const MALFORMED: XmlError = XmlError::Malformed("not a lifecycle rule");

/// What is said in a request but cannot be done.
#[derive(Debug, Default)]
struct Unsupported(Option<&'static str>);

/// Reads rules. Their form is judged here, their meaning by the core. A rule that
/// asks for something that is not there yet is refused after all that is malformed.
pub fn parse_lifecycle(body: &[u8], dialect: Dialect) -> Result<Lifecycle, Failure> {
    let mut unsupported = Unsupported::default();
    let mut source = Source::root(body, LIFECYCLE_BYTES_MAX, "LifecycleConfiguration")?;
    let mut rules = Vec::new();
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Rule" if rules.len() == RULES_READ_MAX => {
                return Err(XmlError::TooMany { max: RULES_READ_MAX }.into());
            }
            "Rule" => rules.push(rule(&mut source, dialect, &mut unsupported)?),
            _ => source.skip()?,
        }
    }
    source.finish()?;
    match unsupported.0 {
        Some(what) => Err(Failure::NotImplemented(what.into())),
        None => Ok(Lifecycle { utc_offset_s: dialect.utc_offset_s(), rules, ..Default::default() }),
    }
}

fn rule(
    source: &mut Source<'_>,
    dialect: Dialect,
    unsupported: &mut Unsupported,
) -> Result<Rule, Failure> {
    let (mut id, mut enabled, mut prefix, mut filter) = (None, None, None, None);
    let (mut expiration, mut noncurrent, mut abort_days) = (None, None, None);
    let (mut transitions, mut noncurrent_transitions) = (Vec::new(), Vec::new());
    while let Some(name) = source.child()? {
        match name.as_str() {
            "ID" => once(&mut id, source.text()?)?,
            "Status" => once(&mut enabled, status(&source.text()?)?)?,
            "Prefix" => once(&mut prefix, source.text()?)?,
            "Filter" => once(&mut filter, parse_filter(source, dialect, unsupported)?)?,
            "Expiration" => once(&mut expiration, parse_expiration(source, dialect)?)?,
            "NoncurrentVersionExpiration" => once(&mut noncurrent, parse_noncurrent(source)?)?,
            "AbortIncompleteMultipartUpload" => once(&mut abort_days, parse_abort(source)?)?,
            "Transition" => transitions.push(parse_transition(source, dialect, unsupported)?),
            "NoncurrentVersionTransition" => {
                noncurrent_transitions.push(parse_noncurrent_transition(source, unsupported)?);
            }
            // What is not known may be what the rule is about.
            _ => return Err(MALFORMED.into()),
        }
    }
    let mut rule = match (prefix, filter) {
        (Some(prefix), None) => Rule { prefix: Some(prefix), ..Default::default() },
        (None, Some(filter)) => filter,
        _ => return Err(MALFORMED.into()),
    };
    rule.id = id.unwrap_or_default();
    rule.enabled = enabled.ok_or(MALFORMED)?;
    (rule.expiration, rule.noncurrent, rule.abort_days) = (expiration, noncurrent, abort_days);
    (rule.transitions, rule.noncurrent_transitions) = (transitions, noncurrent_transitions);
    Ok(rule)
}

fn status(text: &str) -> Result<bool, XmlError> {
    match text.trim() {
        "Enabled" => Ok(true),
        "Disabled" => Ok(false),
        _ => Err(MALFORMED),
    }
}

/// One condition, or none, or an `And` of several.
fn parse_filter(
    source: &mut Source<'_>,
    dialect: Dialect,
    unsupported: &mut Unsupported,
) -> Result<Rule, Failure> {
    let mut rule = Rule { form: FilterForm::One.into(), ..Default::default() };
    let (mut and, mut conditions) = (None, 0);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "And" => once(&mut and, parse_and(source, dialect, unsupported)?)?,
            name => {
                condition(source, name, &mut rule, unsupported)?;
                conditions += 1;
            }
        }
    }
    match (and, conditions) {
        (None, 0 | 1) => Ok(rule),
        (Some(and), 0) => Ok(and),
        _ => Err(MALFORMED.into()),
    }
}

fn parse_and(
    source: &mut Source<'_>,
    dialect: Dialect,
    unsupported: &mut Unsupported,
) -> Result<Rule, Failure> {
    let mut rule = Rule { form: FilterForm::And.into(), ..Default::default() };
    let mut conditions = 0;
    while let Some(name) = source.child()? {
        condition(source, &name, &mut rule, unsupported)?;
        conditions += 1;
    }
    // S3 wants something to join.
    let least = if dialect == Dialect::S3 { 2 } else { 1 };
    if conditions < least {
        return Err(MALFORMED.into());
    }
    Ok(rule)
}

fn condition(
    source: &mut Source<'_>,
    name: &str,
    rule: &mut Rule,
    unsupported: &mut Unsupported,
) -> Result<(), Failure> {
    match name {
        "Prefix" => once(&mut rule.prefix, source.text()?)?,
        "Tag" => rule.tags.push(tag(source)?),
        "ObjectSizeGreaterThan" => once(&mut rule.size_greater, number(&source.text()?)?)?,
        "ObjectSizeLessThan" => once(&mut rule.size_less, number(&source.text()?)?)?,
        "PrefixNotEquals" => {
            source.text()?;
            unsupported.0.get_or_insert("PrefixNotEquals");
        }
        _ => return Err(MALFORMED.into()),
    }
    Ok(())
}

fn parse_expiration(source: &mut Source<'_>, dialect: Dialect) -> Result<Expiration, XmlError> {
    let mut expiration = None;
    while let Some(name) = source.child()? {
        let found = match name.as_str() {
            "Days" => Expiration::Days(days(&source.text()?)?),
            "Date" => Expiration::Date(date_ms(&source.text()?, dialect)?),
            "ExpiredObjectDeleteMarker" => Expiration::LoneMarker(boolean(&source.text()?)?),
            _ => return Err(MALFORMED),
        };
        // Exactly one of them.
        once(&mut expiration, found)?;
    }
    expiration.ok_or(MALFORMED)
}

fn parse_noncurrent(source: &mut Source<'_>) -> Result<NoncurrentExpiration, Failure> {
    let (mut since, mut newer) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "NoncurrentDays" => once(&mut since, days(&source.text()?)?)?,
            "NewerNoncurrentVersions" => once(&mut newer, days(&source.text()?)?)?,
            _ => return Err(MALFORMED.into()),
        }
    }
    if newer == Some(0) {
        let (action, field) = ("NoncurrentVersionExpiration", "NewerNoncurrentVersions");
        return Err(costrel_core::Error::from(LifecycleFault::NotPositive { action, field }).into());
    }
    Ok(NoncurrentExpiration { days: since.ok_or(MALFORMED)?, newer: newer.unwrap_or(0) })
}

fn parse_abort(source: &mut Source<'_>) -> Result<u32, XmlError> {
    let mut after = None;
    while let Some(name) = source.child()? {
        match name.as_str() {
            "DaysAfterInitiation" => once(&mut after, days(&source.text()?)?)?,
            _ => return Err(MALFORMED),
        }
    }
    after.ok_or(MALFORMED)
}

fn parse_transition(
    source: &mut Source<'_>,
    dialect: Dialect,
    unsupported: &mut Unsupported,
) -> Result<Transition, Failure> {
    let (mut time, mut class) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Days" => once(&mut time, TransitionTime::Days(days(&source.text()?)?))?,
            "Date" => once(&mut time, TransitionTime::Date(date_ms(&source.text()?, dialect)?))?,
            "StorageClass" => once(&mut class, source.text()?)?,
            name => skip_condition(source, name, unsupported)?,
        }
    }
    Ok(Transition { time: Some(time.ok_or(MALFORMED)?), class: class.ok_or(MALFORMED)? })
}

fn parse_noncurrent_transition(
    source: &mut Source<'_>,
    unsupported: &mut Unsupported,
) -> Result<NoncurrentTransition, Failure> {
    let (mut since, mut newer, mut class) = (None, None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "NoncurrentDays" => once(&mut since, days(&source.text()?)?)?,
            "NewerNoncurrentVersions" => once(&mut newer, days(&source.text()?)?)?,
            "StorageClass" => once(&mut class, source.text()?)?,
            name => skip_condition(source, name, unsupported)?,
        }
    }
    if newer == Some(0) {
        let (action, field) = ("NoncurrentVersionTransition", "NewerNoncurrentVersions");
        return Err(costrel_core::Error::from(LifecycleFault::NotPositive { action, field }).into());
    }
    let (days, class) = (since.ok_or(MALFORMED)?, class.ok_or(MALFORMED)?);
    Ok(NoncurrentTransition { days, newer: newer.unwrap_or(0), class })
}

/// COS moves by how often an object is read as well.
fn skip_condition(
    source: &mut Source<'_>,
    name: &str,
    unsupported: &mut Unsupported,
) -> Result<(), Failure> {
    if name != "AccessFrequency" {
        return Err(MALFORMED.into());
    }
    source.skip()?;
    unsupported.0.get_or_insert("AccessFrequency");
    Ok(())
}

fn days(text: &str) -> Result<u32, XmlError> {
    let days = number(text)?;
    u32::try_from(days).ok().filter(|days| *days <= i32::MAX as u32).ok_or(MALFORMED)
}

/// A date with a time, or one whose midnight is the service's.
fn date_ms(text: &str, dialect: Dialect) -> Result<u64, XmlError> {
    let text = text.trim();
    let midnight = || {
        let utc = date::parse_iso(&format!("{text}T00:00:00Z"))?;
        utc.checked_sub(u64::from(dialect.utc_offset_s()) * 1000)
    };
    date::parse_iso(text).or_else(midnight).ok_or(MALFORMED)
}

/// The rules in the words of the dialect.
pub fn write_lifecycle(lifecycle: &Lifecycle, dialect: Dialect) -> bytes::Bytes {
    let mut xml = XmlWriter::new(256 + lifecycle.rules.len() * 256);
    xml.root("LifecycleConfiguration", dialect.xml_namespace(), |xml| {
        for rule in &lifecycle.rules {
            xml.element("Rule", |xml| write_rule(xml, rule, dialect));
        }
    });
    xml.finish()
}

fn write_rule(xml: &mut XmlWriter, rule: &Rule, dialect: Dialect) {
    xml.text("ID", &rule.id);
    match rule.form() {
        FilterForm::Prefix => xml.text("Prefix", rule.prefix()),
        FilterForm::One => xml.element("Filter", |xml| write_conditions(xml, rule)),
        FilterForm::And => {
            xml.element("Filter", |xml| xml.element("And", |xml| write_conditions(xml, rule)));
        }
    }
    xml.text("Status", if rule.enabled { "Enabled" } else { "Disabled" });
    if let Some(expiration) = &rule.expiration {
        xml.element("Expiration", |xml| match expiration {
            Expiration::Days(days) => xml.number("Days", u64::from(*days)),
            Expiration::Date(ms) => xml.text("Date", &shown_date(*ms, dialect)),
            Expiration::LoneMarker(remove) => xml.boolean("ExpiredObjectDeleteMarker", *remove),
        });
    }
    for transition in &rule.transitions {
        xml.element("Transition", |xml| {
            match transition.time {
                Some(TransitionTime::Days(days)) => xml.number("Days", u64::from(days)),
                Some(TransitionTime::Date(ms)) => xml.text("Date", &shown_date(ms, dialect)),
                None => {}
            }
            xml.text("StorageClass", &transition.class);
        });
    }
    for transition in &rule.noncurrent_transitions {
        xml.element("NoncurrentVersionTransition", |xml| {
            xml.number("NoncurrentDays", u64::from(transition.days));
            if transition.newer > 0 {
                xml.number("NewerNoncurrentVersions", u64::from(transition.newer));
            }
            xml.text("StorageClass", &transition.class);
        });
    }
    if let Some(noncurrent) = &rule.noncurrent {
        xml.element("NoncurrentVersionExpiration", |xml| {
            xml.number("NoncurrentDays", u64::from(noncurrent.days));
            if noncurrent.newer > 0 {
                xml.number("NewerNoncurrentVersions", u64::from(noncurrent.newer));
            }
        });
    }
    if let Some(days) = rule.abort_days {
        xml.element("AbortIncompleteMultipartUpload", |xml| {
            xml.number("DaysAfterInitiation", u64::from(days));
        });
    }
}

fn write_conditions(xml: &mut XmlWriter, rule: &Rule) {
    if let Some(prefix) = &rule.prefix {
        xml.text("Prefix", prefix);
    }
    for tag in &rule.tags {
        xml.element("Tag", |xml| {
            xml.text("Key", &tag.name);
            xml.text("Value", &tag.value);
        });
    }
    if let Some(bound) = rule.size_greater {
        xml.number("ObjectSizeGreaterThan", bound);
    }
    if let Some(bound) = rule.size_less {
        xml.number("ObjectSizeLessThan", bound);
    }
}

/// `2018-01-01T00:00:00.000Z`, and in COS the same moment as its clocks show it.
fn shown_date(ms: u64, dialect: Dialect) -> String {
    match dialect.utc_offset_s() {
        0 => date::iso_ms(ms),
        ahead => {
            let mut text = date::iso_seconds(ms + u64::from(ahead) * 1000);
            text.pop();
            format!("{text}+{:02}:{:02}", ahead / 3600, ahead / 60 % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(dialect: Dialect, rule: &str) -> Result<Lifecycle, Failure> {
        let text = format!("<LifecycleConfiguration>{rule}</LifecycleConfiguration>");
        parse_lifecycle(text.as_bytes(), dialect)
    }

    fn in_rule(inner: &str) -> String {
        format!("<Rule><ID>r</ID><Filter/><Status>Enabled</Status>{inner}</Rule>")
    }

    #[test]
    fn what_is_read_is_written_the_same() {
        let day = "<Expiration><Days>1</Days></Expiration>";
        let filters = [
            "<Prefix>a&amp;b/</Prefix>",
            "<Prefix/>",
            "<Filter></Filter>",
            "<Filter><Prefix/></Filter>",
            "<Filter><Prefix>logs/</Prefix></Filter>",
            "<Filter><ObjectSizeLessThan>10</ObjectSizeLessThan></Filter>",
            "<Filter><Tag><Key>k</Key><Value/></Tag></Filter>",
            "<Filter><And><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key>\
             <Value>w</Value></Tag></And></Filter>",
            "<Filter><And><Prefix>x</Prefix><ObjectSizeGreaterThan>1</ObjectSizeGreaterThan>\
             <ObjectSizeLessThan>9</ObjectSizeLessThan></And></Filter>",
        ];
        let actions = [
            day,
            "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>",
            "<Expiration><Date>2018-01-01T00:00:00.000Z</Date></Expiration>",
            "<Transition><Days>0</Days><StorageClass>GLACIER</StorageClass></Transition>\
             <Transition><Days>9</Days><StorageClass>DEEP_ARCHIVE</StorageClass></Transition>\
             <NoncurrentVersionTransition><NoncurrentDays>2</NoncurrentDays>\
             <NewerNoncurrentVersions>1</NewerNoncurrentVersions>\
             <StorageClass>GLACIER</StorageClass></NoncurrentVersionTransition>",
            "<NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays>\
             <NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration>\
             <AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation>\
             </AbortIncompleteMultipartUpload>",
        ];
        let pairs = filters.iter().map(|filter| (*filter, day));
        for (filter, action) in pairs.chain(actions.iter().map(|action| (filters[1], *action))) {
            let rule = format!("<Rule><ID>r</ID>{filter}<Status>Disabled</Status>{action}</Rule>");
            let parsed = parse(Dialect::S3, &rule).unwrap();
            let written = write_lifecycle(&parsed, Dialect::S3);
            let written = std::str::from_utf8(&written).unwrap();
            assert!(written.contains(&rule), "{written}\n{rule}");
        }
    }

    #[test]
    fn dates_are_shown_as_the_dialect_s_clocks_show_them() {
        let china = "<Expiration><Date>2018-01-01T00:00:00+08:00</Date></Expiration>";
        let parsed = parse(Dialect::Cos, &in_rule(china)).unwrap();
        assert_eq!(parsed.utc_offset_s, 28_800);
        let text = |dialect| String::from_utf8(write_lifecycle(&parsed, dialect).to_vec()).unwrap();
        assert!(text(Dialect::Cos).contains("<Date>2018-01-01T00:00:00+08:00</Date>"));
        assert!(text(Dialect::S3).contains("<Date>2017-12-31T16:00:00.000Z</Date>"));
    }

    #[test]
    fn malformed_rules() {
        let day = "<Expiration><Days>1</Days></Expiration>";
        for rule in [
            "<Rule><Filter/><Expiration><Days>1</Days></Expiration></Rule>".to_owned(),
            "<Rule><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>".into(),
            format!("<Rule><Filter/><Prefix/><Status>Enabled</Status>{day}</Rule>"),
            format!("<Rule><Filter/><Status>enabled</Status>{day}</Rule>"),
            format!("<Rule><Filter/><Status>Enabled</Status>{day}{day}</Rule>"),
            format!(
                "<Rule><Filter><Prefix>a</Prefix><ObjectSizeLessThan>9</ObjectSizeLessThan>\
                 </Filter><Status>Enabled</Status>{day}</Rule>"
            ),
            format!(
                "<Rule><Filter><And><Prefix>a</Prefix></And></Filter><Status>Enabled</Status>\
                 {day}</Rule>"
            ),
            in_rule("<Expiration/>"),
            in_rule("<Expiration><Days>-1</Days></Expiration>"),
            in_rule("<Expiration><Days>x</Days></Expiration>"),
            in_rule("<Expiration><Days>4294967297</Days></Expiration>"),
            in_rule("<Expiration><Days>1</Days><Date>2018-01-01T00:00:00Z</Date></Expiration>"),
            in_rule("<Expiration><Date>20180101</Date></Expiration>"),
            in_rule("<NoncurrentVersionExpiration/>"),
            in_rule("<AbortIncompleteMultipartUpload/>"),
            in_rule("<Transition><Days>1</Days></Transition>"),
            in_rule("<Expire><Days>1</Days></Expire>"),
        ] {
            let refused = parse(Dialect::S3, &rule);
            assert!(matches!(refused, Err(Failure::Xml(XmlError::Malformed(_)))), "{rule}");
        }
    }
}
