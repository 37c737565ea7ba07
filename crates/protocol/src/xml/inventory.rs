//! `InventoryConfiguration`, read and written.

use costrel_core::inventory::{Filter, Form, Format, Frequency, Inventory};

use super::reader::{Source, XmlError};
use super::requests::{number, once};
use super::settings::{CONFIGURATION_BYTES_MAX, one_of, tag};
use super::writer::XmlWriter;
use crate::dialect::Dialect;

const ROOT: &str = "InventoryConfiguration";

/// A configuration as a document says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryDocument {
    /// Its target is the name of a bucket.
    pub inventory: Inventory,
    /// Where the document says that the target is; empty if it does not.
    pub region: String,
    /// What it wants of reports that is not there: encryption.
    pub lacking: Option<&'static str>,
}

/// One that is to be made `once` says neither whether it is in force nor how often.
pub fn parse_inventory(
    body: &[u8],
    dialect: Dialect,
    once_only: bool,
) -> Result<InventoryDocument, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, ROOT)?;
    let (mut id, mut enabled, mut versions) = (None, None, None);
    let (mut filter, mut fields, mut schedule, mut target) = (None, None, None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Id" => once(&mut id, source.text()?)?,
            "IsEnabled" if !once_only => {
                let text = source.text()?.trim().to_ascii_lowercase();
                once(&mut enabled, one_of(&text, ["false", "true"])?)?;
            }
            "IncludedObjectVersions" => {
                once(&mut versions, one_of(&source.text()?, ["Current", "All"])?)?;
            }
            "Filter" => once(&mut filter, parse_filter(&mut source, dialect)?)?,
            "OptionalFields" => once(&mut fields, parse_fields(&mut source)?)?,
            "Schedule" if !once_only => {
                once(&mut schedule, parse_schedule(&mut source, dialect)?)?;
            }
            "Destination" => once(&mut target, parse_destination(&mut source, dialect)?)?,
            _ => return Err(XmlError::Malformed("not of an InventoryConfiguration")),
        }
    }
    source.finish()?;
    let schedule = if once_only { Some((Frequency::Once, 0)) } else { schedule };
    let (frequency, month_day) = schedule.ok_or(XmlError::Malformed("no Schedule"))?;
    let enabled = if once_only { Some(true) } else { enabled };
    let target = target.ok_or(XmlError::Malformed("no Destination"))?;
    let form = match dialect {
        Dialect::Cos => Form::Cos,
        Dialect::S3 => Form::S3,
    };
    let inventory = Inventory {
        id: id.ok_or(XmlError::Malformed("no Id"))?,
        enabled: enabled.ok_or(XmlError::Malformed("no IsEnabled"))?,
        form: form as u32,
        target: target.bucket,
        account: target.account,
        prefix: target.prefix,
        format: target.format as u32,
        all_versions: versions.ok_or(XmlError::Malformed("no IncludedObjectVersions"))?,
        frequency: frequency as u32,
        month_day,
        fields: fields.unwrap_or_default(),
        filter: filter.filter(|filter| *filter != Filter::default()),
        ..Inventory::default()
    };
    Ok(InventoryDocument { inventory, region: target.region, lacking: target.lacking })
}

struct Destination {
    region: String,
    bucket: String,
    account: Option<String>,
    prefix: Option<String>,
    format: Format,
    lacking: Option<&'static str>,
}

fn element(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Cos => "COSBucketDestination",
        Dialect::S3 => "S3BucketDestination",
    }
}

fn parse_destination(source: &mut Source<'_>, dialect: Dialect) -> Result<Destination, XmlError> {
    let mut target = None;
    while let Some(name) = source.child()? {
        if name != element(dialect) {
            return Err(XmlError::Malformed("not of a Destination"));
        }
        once(&mut target, parse_bucket(source, dialect)?)?;
    }
    target.ok_or(XmlError::Malformed("no destination"))
}

fn parse_bucket(source: &mut Source<'_>, dialect: Dialect) -> Result<Destination, XmlError> {
    let (mut bucket, mut account, mut prefix) = (None, None, None);
    let (mut format, mut lacking) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Bucket" => once(&mut bucket, source.text()?.trim().to_owned())?,
            "AccountId" => once(&mut account, source.text()?.trim().to_owned())?,
            "Prefix" => once(&mut prefix, source.text()?)?,
            "Format" => once(&mut format, source.text()?.trim().to_owned())?,
            "Encryption" => {
                if source.child()?.is_some() {
                    lacking = Some("Encryption of inventories");
                    source.skip()?;
                    while source.child()?.is_some() {
                        source.skip()?;
                    }
                }
            }
            _ => return Err(XmlError::Malformed("not of a destination")),
        }
    }
    let format = match (format.as_deref(), dialect) {
        (Some("CSV"), _) => Format::Csv,
        (Some("Parquet"), Dialect::S3) => Format::Parquet,
        (Some("ORC"), _) => Format::Orc,
        _ => return Err(XmlError::Malformed("no Format")),
    };
    let bucket = bucket.ok_or(XmlError::Malformed("no Bucket"))?;
    let (region, bucket) = parse_name(&bucket, dialect)?;
    Ok(Destination {
        region: region.to_owned(),
        bucket: bucket.to_owned(),
        account: account.filter(|account| !account.is_empty()),
        prefix,
        format,
        lacking,
    })
}

/// The region and the bucket of a resource's name.
fn parse_name(name: &str, dialect: Dialect) -> Result<(&str, &str), XmlError> {
    let parts: Vec<&str> = name.split(':').collect();
    match (parts.as_slice(), dialect) {
        (["qcs", "", "cos", region, _, bucket], Dialect::Cos) => Ok((region, bucket)),
        (["arn", partition, "s3", "", "", bucket], Dialect::S3)
            if partition.split('-').next() == Some("aws") =>
        {
            Ok(("", bucket))
        }
        _ => Err(XmlError::Malformed("Bucket is no resource's name")),
    }
}

fn parse_schedule(source: &mut Source<'_>, dialect: Dialect) -> Result<(Frequency, u32), XmlError> {
    let (mut frequency, mut day) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Frequency" => {
                let text = source.text()?;
                let named = |one: &Frequency| one.name().is_some_and(|name| name == text.trim());
                let found = Frequency::ALL.into_iter().find(named);
                once(&mut frequency, found.ok_or(XmlError::Malformed("no such Frequency"))?)?;
            }
            "MonthlyDate" if dialect == Dialect::Cos => once(&mut day, source.text()?)?,
            _ => return Err(XmlError::Malformed("not of a Schedule")),
        }
    }
    let day = day.filter(|day| !day.trim().is_empty()).map(|day| number(&day)).transpose()?;
    let day = day.map(u32::try_from).transpose();
    let day = day.map_err(|_| XmlError::Malformed("no day of a month"))?;
    match (frequency.ok_or(XmlError::Malformed("no Frequency"))?, day) {
        (Frequency::Monthly, _) if dialect == Dialect::S3 => {
            Err(XmlError::Malformed("no such Frequency"))
        }
        (Frequency::Monthly, day) => Ok((Frequency::Monthly, day.unwrap_or(1))),
        (frequency, None) => Ok((frequency, 0)),
        (_, Some(_)) => Err(XmlError::Malformed("a day of a month, and no month")),
    }
}

fn parse_fields(source: &mut Source<'_>) -> Result<Vec<String>, XmlError> {
    let mut fields = Vec::new();
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Field" => fields.push(source.text()?.trim().to_owned()),
            _ => return Err(XmlError::Malformed("not of OptionalFields")),
        }
    }
    Ok(fields)
}

fn parse_filter(source: &mut Source<'_>, dialect: Dialect) -> Result<Filter, XmlError> {
    let (mut filter, mut joined, mut conditions) = (Filter::default(), None, 0);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "And" if dialect == Dialect::Cos => {
                let mut and = Filter { joined: true, ..Filter::default() };
                while let Some(name) = source.child()? {
                    parse_condition(source, &name, dialect, &mut and)?;
                }
                once(&mut joined, and)?;
            }
            // Beside the conjunction, too.
            "Period" if dialect == Dialect::Cos => parse_period(source, &mut filter)?,
            name => {
                parse_condition(source, name, dialect, &mut filter)?;
                conditions += 1;
            }
        }
    }
    match joined {
        None => Ok(filter),
        Some(and) if conditions == 0 => {
            let Filter { from_s, to_s, .. } = filter;
            Ok(Filter { from_s: from_s.or(and.from_s), to_s: to_s.or(and.to_s), ..and })
        }
        Some(_) => Err(XmlError::Malformed("conditions beside And")),
    }
}

fn parse_condition(
    source: &mut Source<'_>,
    name: &str,
    dialect: Dialect,
    filter: &mut Filter,
) -> Result<(), XmlError> {
    match (name, dialect) {
        ("Prefix", _) => once(&mut filter.prefix, source.text()?),
        ("Tag", Dialect::Cos) => {
            filter.tags.push(tag(source)?);
            Ok(())
        }
        ("StorageClass", Dialect::Cos) => {
            filter.class = source.text()?.trim().to_owned();
            Ok(())
        }
        ("Period", Dialect::Cos) => parse_period(source, filter),
        _ => Err(XmlError::Malformed("not of a Filter")),
    }
}

fn parse_period(source: &mut Source<'_>, filter: &mut Filter) -> Result<(), XmlError> {
    while let Some(name) = source.child()? {
        let end = match name.as_str() {
            "StartTime" => &mut filter.from_s,
            "EndTime" => &mut filter.to_s,
            _ => return Err(XmlError::Malformed("not of a Period")),
        };
        let text = source.text()?;
        if !text.trim().is_empty() {
            once(end, number(&text)?)?;
        }
    }
    Ok(())
}

/// The content of a configuration, in the words of the dialect as far as it has any.
pub fn write_inventory(xml: &mut XmlWriter, inventory: &Inventory, region: &str, dialect: Dialect) {
    xml.text("Id", &inventory.id);
    xml.boolean("IsEnabled", inventory.enabled);
    xml.element("Destination", |xml| {
        xml.element(element(dialect), |xml| {
            xml.text("Format", inventory.format().name());
            if let Some(account) = &inventory.account {
                xml.text("AccountId", account);
            }
            let target = &inventory.target;
            let bucket = match dialect {
                Dialect::Cos => format!("qcs::cos:{region}::{target}"),
                Dialect::S3 => format!("arn:aws:s3:::{target}"),
            };
            xml.text("Bucket", &bucket);
            if let Some(prefix) = &inventory.prefix {
                xml.text("Prefix", prefix);
            }
        });
    });
    if let Some(frequency) = inventory.frequency().name() {
        xml.element("Schedule", |xml| {
            xml.text("Frequency", frequency);
            if inventory.frequency() == Frequency::Monthly {
                xml.number("MonthlyDate", inventory.month_day.into());
            }
        });
    }
    if let Some(filter) = &inventory.filter {
        xml.element("Filter", |xml| write_filter(xml, filter));
    }
    let versions = if inventory.all_versions { "All" } else { "Current" };
    xml.text("IncludedObjectVersions", versions);
    if !inventory.fields.is_empty() {
        xml.element("OptionalFields", |xml| {
            for field in &inventory.fields {
                xml.text("Field", field);
            }
        });
    }
}

fn write_filter(xml: &mut XmlWriter, filter: &Filter) {
    let conditions = |xml: &mut XmlWriter| {
        if let Some(prefix) = &filter.prefix {
            xml.text("Prefix", prefix);
        }
        for tag in &filter.tags {
            xml.element("Tag", |xml| {
                xml.text("Key", &tag.name);
                xml.text("Value", &tag.value);
            });
        }
        if !filter.class.is_empty() {
            xml.text("StorageClass", &filter.class);
        }
    };
    match filter.joined {
        true => xml.element("And", conditions),
        false => conditions(xml),
    }
    if filter.from_s.is_some() || filter.to_s.is_some() {
        xml.element("Period", |xml| {
            for (name, at) in [("StartTime", filter.from_s), ("EndTime", filter.to_s)] {
                if let Some(at) = at {
                    xml.number(name, at);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(inner: &str, dialect: Dialect) -> Result<InventoryDocument, XmlError> {
        parse_inventory(format!("<{ROOT}>{inner}</{ROOT}>").as_bytes(), dialect, false)
    }

    fn destination(dialect: Dialect, inner: &str) -> String {
        let name = element(dialect);
        format!("<Destination><{name}>{inner}</{name}></Destination>")
    }

    fn whole(dialect: Dialect, filter: &str, frequency: &str, fields: &str) -> String {
        let (bucket, account) = match dialect {
            Dialect::Cos => ("qcs::cos:ap-guangzhou::target-1250000000", "100000000001"),
            Dialect::S3 => ("arn:aws:s3:::target-1250000000", "100000000001"),
        };
        let destination = destination(
            dialect,
            &format!(
                "<Format>CSV</Format><AccountId>{account}</AccountId><Bucket>{bucket}</Bucket>\
                 <Prefix>lists</Prefix>"
            ),
        );
        format!(
            "<Id>daily</Id><IsEnabled>true</IsEnabled>{destination}\
             <Schedule>{frequency}</Schedule>{filter}\
             <IncludedObjectVersions>All</IncludedObjectVersions>{fields}"
        )
    }

    const DAILY: &str = "<Frequency>Daily</Frequency>";
    const FIELDS: &str = "<OptionalFields><Field>Size</Field><Field>ETag</Field></OptionalFields>";

    #[test]
    fn an_inventory_is_read_as_it_is_written() {
        let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
        let and = format!("<And><Prefix>a</Prefix>{tag}<StorageClass>ARCHIVE</StorageClass></And>");
        let period = "<Period><StartTime>1</StartTime><EndTime>2</EndTime></Period>";
        let monthly = "<Frequency>Monthly</Frequency><MonthlyDate>7</MonthlyDate>";
        for (dialect, filter, frequency, fields) in [
            (Dialect::S3, String::new(), DAILY, FIELDS),
            (Dialect::S3, "<Filter><Prefix>a/</Prefix></Filter>".into(), DAILY, ""),
            (Dialect::Cos, String::new(), monthly, ""),
            (Dialect::Cos, format!("<Filter>{tag}{period}</Filter>"), DAILY, FIELDS),
            (Dialect::Cos, format!("<Filter>{and}{period}</Filter>"), DAILY, FIELDS),
        ] {
            let text = whole(dialect, &filter, frequency, fields);
            let document = parse(&text, dialect).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(document.lacking, None);
            assert_eq!(document.region, if dialect == Dialect::Cos { "ap-guangzhou" } else { "" });
            let mut xml = XmlWriter::after_declaration(512);
            write_inventory(&mut xml, &document.inventory, "ap-guangzhou", dialect);
            assert_eq!(xml.finish(), text);
        }
    }

    #[test]
    fn each_service_has_its_formats() {
        for (dialect, name, format) in [
            (Dialect::Cos, "CSV", Some(Format::Csv)),
            (Dialect::Cos, "ORC", Some(Format::Orc)),
            (Dialect::Cos, "Parquet", None),
            (Dialect::S3, "CSV", Some(Format::Csv)),
            (Dialect::S3, "ORC", Some(Format::Orc)),
            (Dialect::S3, "Parquet", Some(Format::Parquet)),
        ] {
            let text = whole(dialect, "", DAILY, "").replace("CSV", name);
            let found = parse(&text, dialect).ok().map(|document| document.inventory.format());
            assert_eq!(found, format, "{name}");
        }
    }

    #[test]
    fn what_is_not_there_is_told() {
        let encrypted = "<Encryption><SSE-COS></SSE-COS></Encryption><Prefix>";
        let text = whole(Dialect::Cos, "", DAILY, "").replace("<Prefix>", encrypted);
        assert_eq!(parse(&text, Dialect::Cos).unwrap().lacking, Some("Encryption of inventories"));
    }

    #[test]
    fn one_to_be_made_once_has_no_schedule() {
        let text = whole(Dialect::Cos, "", DAILY, FIELDS);
        let read = |text: &str| {
            parse_inventory(format!("<{ROOT}>{text}</{ROOT}>").as_bytes(), Dialect::Cos, true)
        };
        assert!(read(&text).is_err());
        let text = text.replace("<IsEnabled>true</IsEnabled>", "");
        assert!(read(&text).is_err());
        let text = text.replace(&format!("<Schedule>{DAILY}</Schedule>"), "");
        let once = read(&text).unwrap().inventory;
        assert!(once.is_once() && once.enabled);
    }

    #[test]
    fn configurations_that_are_not_of_the_form() {
        for dialect in [Dialect::Cos, Dialect::S3] {
            let good = whole(dialect, "", DAILY, FIELDS);
            assert!(parse(&good, dialect).is_ok());
            let other = match dialect {
                Dialect::Cos => Dialect::S3,
                Dialect::S3 => Dialect::Cos,
            };
            assert!(parse(&good, other).is_err(), "{good}");
            for (from, to) in [
                ("<Id>daily</Id>", ""),
                ("<Id>daily</Id>", "<Id>a</Id><Id>b</Id>"),
                ("<IsEnabled>true</IsEnabled>", ""),
                ("<IsEnabled>true</IsEnabled>", "<IsEnabled>yes</IsEnabled>"),
                ("<Format>CSV</Format>", "<Format>XLS</Format>"),
                ("<Format>CSV</Format>", ""),
                ("Daily", "Hourly"),
                (DAILY, ""),
                ("<IncludedObjectVersions>All", "<IncludedObjectVersions>Some"),
                (FIELDS, "<OptionalFields><Size/></OptionalFields>"),
                ("::target-1250000000", "target-1250000000"),
                ("<Prefix>lists</Prefix>", "<Prefixes/>"),
            ] {
                let wrong = good.replacen(from, to, 1);
                assert_ne!(wrong, good);
                assert!(parse(&wrong, dialect).is_err(), "{wrong}");
            }
        }
        let monthly = "<Frequency>Monthly</Frequency>";
        assert!(parse(&whole(Dialect::S3, "", monthly, ""), Dialect::S3).is_err());
        assert!(parse(&whole(Dialect::Cos, "", monthly, ""), Dialect::Cos).is_ok());
        let dated = format!("{DAILY}<MonthlyDate>3</MonthlyDate>");
        assert!(parse(&whole(Dialect::Cos, "", &dated, ""), Dialect::Cos).is_err());
        let filter = "<Filter><Prefix>a</Prefix><And><Prefix>b</Prefix></And></Filter>";
        assert!(parse(&whole(Dialect::Cos, filter, DAILY, ""), Dialect::Cos).is_err());
    }
}
