//! `IntelligentTieringConfiguration`, in its three forms: what COS has of the infrequent
//! tier, the same as the configuration of a certain id, and the archivings of both
//! services.

use costrel_core::tiering::{Archiving, DAYS_DEFAULT};

use super::reader::{Source, XmlError};
use super::requests::{number, once};
use super::settings::{CONFIGURATION_BYTES_MAX, one_of, tag};
use super::writer::XmlWriter;

const ROOT: &str = "IntelligentTieringConfiguration";
const INFREQUENT: &str = "INFREQUENT";
const ARCHIVE: &str = "ARCHIVE_ACCESS";
const DEEP_ARCHIVE: &str = "DEEP_ARCHIVE_ACCESS";

const MALFORMED: XmlError = XmlError::Malformed("not of intelligent tiering");

/// After how many days objects go down, if it says so. It cannot be switched off, and
/// one read is what keeps an object where it is.
pub fn parse_tiering(body: &[u8]) -> Result<Option<u32>, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, ROOT)?;
    let (mut enabled, mut transition) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Status" => once(&mut enabled, enabling(&source.text()?)?)?,
            "Transition" => once(&mut transition, parse_step(&mut source)?)?,
            _ => return Err(MALFORMED),
        }
    }
    source.finish()?;
    enabled.ok_or(XmlError::Malformed("no Status"))?;
    match transition {
        Some(Step { tier: Some(_), .. }) => Err(XmlError::Malformed("not of a transition")),
        step => Ok(step.and_then(|step| step.days)),
    }
}

fn enabling(text: &str) -> Result<(), XmlError> {
    match text.trim() {
        "Enabled" => Ok(()),
        _ => Err(XmlError::Malformed("tiering can only be enabled")),
    }
}

/// A configuration that has an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentifiedTiering {
    /// COS's, of the infrequent tier.
    Infrequent {
        id: String,
        days: u32,
    },
    Archiving(Archiving),
}

/// Which it is says the tier that it names.
pub fn parse_identified_tiering(body: &[u8]) -> Result<IdentifiedTiering, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, ROOT)?;
    let (mut id, mut enabled, mut filter) = (None, None, None);
    let mut steps = Vec::new();
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Id" => once(&mut id, source.text()?)?,
            "Status" => once(&mut enabled, one_of(&source.text()?, ["Disabled", "Enabled"])?)?,
            "Filter" => once(&mut filter, parse_filter(&mut source)?)?,
            "Tiering" => steps.push(parse_step(&mut source)?),
            _ => return Err(MALFORMED),
        }
    }
    source.finish()?;
    let id = id.ok_or(XmlError::Malformed("no Id"))?;
    let enabled = enabled.ok_or(XmlError::Malformed("no Status"))?;
    let of_infrequent = |step: &Step| step.tier.as_deref() == Some(INFREQUENT);
    if steps.iter().any(of_infrequent) {
        return match (steps.as_slice(), filter) {
            ([step], None) if enabled => {
                let days = step.days.unwrap_or(DAYS_DEFAULT);
                Ok(IdentifiedTiering::Infrequent { id, days })
            }
            _ => Err(XmlError::Malformed("the infrequent tier is for all, and stays")),
        };
    }
    let mut archiving = Archiving { id, enabled, ..filter.unwrap_or_default() };
    for step in steps {
        let days = match step.tier.as_deref() {
            Some(ARCHIVE) => &mut archiving.archive_days,
            Some(DEEP_ARCHIVE) => &mut archiving.deep_archive_days,
            _ => return Err(XmlError::Malformed("not a tier")),
        };
        once(days, step.days.filter(|_| !step.counts).ok_or(MALFORMED)?)?;
    }
    Ok(IdentifiedTiering::Archiving(archiving))
}

/// Into which tier objects go, and when.
#[derive(Default)]
struct Step {
    tier: Option<String>,
    days: Option<u32>,
    /// It says how many reads there are to be.
    counts: bool,
}

fn parse_step(source: &mut Source<'_>) -> Result<Step, XmlError> {
    let (mut tier, mut days, mut reads) = (None, None, None);
    while let Some(name) = source.child()? {
        let value = match name.as_str() {
            "AccessTier" => {
                once(&mut tier, source.text()?.trim().to_owned())?;
                continue;
            }
            "Days" => &mut days,
            "RequestFrequent" => &mut reads,
            _ => return Err(XmlError::Malformed("not of a transition")),
        };
        let number = u32::try_from(number(&source.text()?)?);
        once(value, number.map_err(|_| XmlError::Malformed("too large a number"))?)?;
    }
    match reads {
        None | Some(1) => Ok(Step { tier, days, counts: reads.is_some() }),
        Some(_) => Err(XmlError::Malformed("RequestFrequent is not 1")),
    }
}

/// One condition, or none, or an `And` of several.
fn parse_filter(source: &mut Source<'_>) -> Result<Archiving, XmlError> {
    let (mut filter, mut joined) = (Archiving::default(), None);
    let mut conditions = 0;
    while let Some(name) = source.child()? {
        if name == "And" {
            let mut and = Archiving { joined: true, ..Archiving::default() };
            while let Some(name) = source.child()? {
                parse_condition(source, &name, &mut and)?;
            }
            once(&mut joined, and)?;
        } else {
            parse_condition(source, &name, &mut filter)?;
            conditions += 1;
        }
    }
    match (joined, conditions) {
        (None, 0 | 1) => Ok(filter),
        (Some(joined), 0) if joined.prefix.is_some() || !joined.tags.is_empty() => Ok(joined),
        _ => Err(XmlError::Malformed("several conditions without And")),
    }
}

fn parse_condition(
    source: &mut Source<'_>,
    name: &str,
    filter: &mut Archiving,
) -> Result<(), XmlError> {
    match name {
        "Prefix" => once(&mut filter.prefix, source.text()?),
        "Tag" => {
            filter.tags.push(tag(source)?);
            Ok(())
        }
        _ => Err(XmlError::Malformed("not of a filter")),
    }
}

/// The content of the configuration of the infrequent tier by its id.
pub fn write_infrequent(xml: &mut XmlWriter, id: &str, days: u32) {
    xml.text("Id", id);
    xml.text("Status", "Enabled");
    xml.element("Tiering", |xml| {
        xml.text("AccessTier", INFREQUENT);
        xml.number("Days", days.into());
        xml.number("RequestFrequent", 1);
    });
}

/// The content of an archiving.
pub fn write_archiving(xml: &mut XmlWriter, archiving: &Archiving) {
    xml.text("Id", &archiving.id);
    let conditions = |xml: &mut XmlWriter| {
        if let Some(prefix) = &archiving.prefix {
            xml.text("Prefix", prefix);
        }
        for tag in &archiving.tags {
            xml.element("Tag", |xml| {
                xml.text("Key", &tag.name);
                xml.text("Value", &tag.value);
            });
        }
    };
    if archiving.joined {
        xml.element("Filter", |xml| xml.element("And", conditions));
    } else if archiving.prefix.is_some() || !archiving.tags.is_empty() {
        xml.element("Filter", conditions);
    }
    xml.text("Status", if archiving.enabled { "Enabled" } else { "Disabled" });
    for (tier, days) in
        [(ARCHIVE, archiving.archive_days), (DEEP_ARCHIVE, archiving.deep_archive_days)]
    {
        if let Some(days) = days {
            xml.element("Tiering", |xml| {
                xml.number("Days", days.into());
                xml.text("AccessTier", tier);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(inner: &str) -> Result<IdentifiedTiering, XmlError> {
        parse_identified_tiering(format!("<{ROOT}>{inner}</{ROOT}>").as_bytes())
    }

    fn step(tier: &str, days: &str) -> String {
        format!("<Tiering><AccessTier>{tier}</AccessTier>{days}</Tiering>")
    }

    #[test]
    fn an_archiving_is_read_as_it_is_written() {
        let tag = |key: &str| format!("<Tag><Key>{key}</Key><Value>v</Value></Tag>");
        let tiers = [("90", ARCHIVE), ("180", DEEP_ARCHIVE)].map(|(days, tier)| {
            format!("<Tiering><Days>{days}</Days><AccessTier>{tier}</AccessTier></Tiering>")
        });
        for filter in [
            String::new(),
            "<Filter><Prefix>a/</Prefix></Filter>".into(),
            format!("<Filter>{}</Filter>", tag("k")),
            format!("<Filter><And><Prefix>a</Prefix>{}{}</And></Filter>", tag("k"), tag("l")),
        ] {
            for status in ["Enabled", "Disabled"] {
                let tiers = tiers.concat();
                let text = format!("<Id>a</Id>{filter}<Status>{status}</Status>{tiers}");
                let Ok(IdentifiedTiering::Archiving(read)) = parse(&text) else { panic!("{text}") };
                let mut xml = XmlWriter::after_declaration(256);
                write_archiving(&mut xml, &read);
                assert_eq!(xml.finish(), text);
            }
        }
    }

    #[test]
    fn the_infrequent_tier_has_a_configuration_of_its_own() {
        let check = |steps: &str, want: Option<u32>| {
            let days = match parse(&format!("<Id>i</Id><Status>Enabled</Status>{steps}")) {
                Ok(IdentifiedTiering::Infrequent { id, days }) if id == "i" => Some(days),
                _ => None,
            };
            assert_eq!(days, want, "{steps}");
        };
        let frequent = |reads| format!("<Days>60</Days><RequestFrequent>{reads}</RequestFrequent>");
        check(&step(INFREQUENT, ""), Some(30));
        check(&step(INFREQUENT, &frequent(1)), Some(60));
        check(&step(INFREQUENT, &frequent(2)), None);
        check(&(step(INFREQUENT, "") + &step(ARCHIVE, "<Days>90</Days>")), None);
        check(&format!("<Filter/>{}", step(INFREQUENT, "")), None);
    }

    #[test]
    fn configurations_that_are_not_of_the_form() {
        let tiers = step(ARCHIVE, "<Days>90</Days>");
        assert!(parse(&format!("<Id>a</Id><Status>Enabled</Status>{tiers}")).is_ok());
        let with = |extra: &str| format!("<Id>a</Id><Status>Enabled</Status>{tiers}{extra}");
        let counted = "<Days>180</Days><RequestFrequent>1</RequestFrequent>";
        for wrong in [
            format!("<Status>Enabled</Status>{tiers}"),
            format!("<Id>a</Id>{tiers}"),
            format!("<Id>a</Id><Status>Suspended</Status>{tiers}"),
            format!("<Id>a</Id><Status>Disabled</Status>{}", step(INFREQUENT, "")),
            with(&tiers),
            with(&step(DEEP_ARCHIVE, "")),
            with(&step(DEEP_ARCHIVE, counted)),
            with(&step("FREQUENT", "<Days>90</Days>")),
            with("<Tiering><Days>90</Days></Tiering>"),
            with("<Transition/>"),
            with("<Filter><Size>1</Size></Filter>"),
            with("<Filter><And/></Filter>"),
            with("<Filter><Prefix>a</Prefix><Prefix>b</Prefix></Filter>"),
            with("<Filter><Prefix>a</Prefix><And><Prefix>b</Prefix></And></Filter>"),
            with("<Filter><Prefix>a</Prefix><Tag><Key>k</Key><Value/></Tag></Filter>"),
            with("<Filter/><Filter/>"),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }
}
