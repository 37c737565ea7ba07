//! `BucketLoggingStatus`, read and written.

use bytes::Bytes;
use costrel_core::acl::{Grant, Permission};
use costrel_core::logging::{Layout, Logging};

use super::acl::{GranteeName, grant_list, write_grants};
use super::reader::{Source, XmlError};
use super::requests::once;
use super::settings::CONFIGURATION_BYTES_MAX;
use super::writer::XmlWriter;
use crate::dialect::Dialect;

/// A configuration as a document says it. Whom its grants mean is not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggingDocument {
    pub target: String,
    pub prefix: String,
    pub layout: Option<Layout>,
    pub grants: Vec<(GranteeName, Permission)>,
}

/// `None` says that nothing is to be logged.
pub fn parse_logging(body: &[u8], dialect: Dialect) -> Result<Option<LoggingDocument>, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "BucketLoggingStatus")?;
    let mut enabled = None;
    while let Some(name) = source.child()? {
        match name.as_str() {
            "LoggingEnabled" => once(&mut enabled, logging_enabled(&mut source, dialect)?)?,
            _ => return Err(XmlError::Malformed("not of a BucketLoggingStatus")),
        }
    }
    source.finish()?;
    Ok(enabled)
}

fn logging_enabled(source: &mut Source<'_>, dialect: Dialect) -> Result<LoggingDocument, XmlError> {
    let (mut target, mut prefix, mut layout, mut grants) = (None, None, None, None);
    while let Some(name) = source.child()? {
        match (name.as_str(), dialect) {
            ("TargetBucket", _) => once(&mut target, source.text()?.trim().to_owned())?,
            ("TargetPrefix", _) => once(&mut prefix, source.text()?)?,
            ("TargetGrants", Dialect::S3) => once(&mut grants, target_grants(source)?)?,
            ("TargetObjectKeyFormat", Dialect::S3) => once(&mut layout, key_format(source)?)?,
            _ => return Err(XmlError::Malformed("not of a LoggingEnabled")),
        }
    }
    Ok(LoggingDocument {
        target: target.ok_or(XmlError::Malformed("no TargetBucket"))?,
        prefix: match (prefix, dialect) {
            (Some(prefix), _) => prefix,
            (None, Dialect::Cos) => String::new(),
            (None, Dialect::S3) => return Err(XmlError::Malformed("no TargetPrefix")),
        },
        layout,
        grants: grants.unwrap_or_default(),
    })
}

fn target_grants(source: &mut Source<'_>) -> Result<Vec<(GranteeName, Permission)>, XmlError> {
    let grants = grant_list(source)?.into_iter().map(|grant| {
        let permission = match grant.permission.as_str() {
            "FULL_CONTROL" => Permission::FullControl,
            "READ" => Permission::Read,
            "WRITE" => Permission::Write,
            _ => return Err(XmlError::Malformed("no permission of a log object")),
        };
        Ok((grant.grantee, permission))
    });
    grants.collect()
}

fn key_format(source: &mut Source<'_>) -> Result<Layout, XmlError> {
    let mut layout = None;
    while let Some(name) = source.child()? {
        match name.as_str() {
            "SimplePrefix" => {
                source.skip()?;
                once(&mut layout, Layout::Simple)?;
            }
            "PartitionedPrefix" => once(&mut layout, date_source(source)?)?,
            _ => return Err(XmlError::Malformed("not of a TargetObjectKeyFormat")),
        }
    }
    layout.ok_or(XmlError::Malformed("no form of keys"))
}

fn date_source(source: &mut Source<'_>) -> Result<Layout, XmlError> {
    let mut layout = None;
    while let Some(name) = source.child()? {
        let named = match (name.as_str(), source.text()?.trim()) {
            ("PartitionDateSource", "EventTime") => Layout::ByEvent,
            ("PartitionDateSource", "DeliveryTime") => Layout::ByDelivery,
            _ => return Err(XmlError::Malformed("not of a PartitionedPrefix")),
        };
        once(&mut layout, named)?;
    }
    Ok(layout.unwrap_or(Layout::ByDelivery))
}

/// COS has no words for grants and forms of keys.
pub fn write_logging(logging: Option<&Logging>, grants: &[Grant], dialect: Dialect) -> Bytes {
    let mut xml = XmlWriter::new(512 + grants.len() * 320);
    let Some(logging) = logging else {
        xml.root("BucketLoggingStatus", dialect.xml_namespace(), |_| {});
        return xml.finish();
    };
    xml.root("BucketLoggingStatus", dialect.xml_namespace(), |xml| {
        xml.element("LoggingEnabled", |xml| {
            xml.text("TargetBucket", &logging.target);
            xml.text("TargetPrefix", &logging.prefix);
            if dialect == Dialect::Cos {
                return;
            }
            if !grants.is_empty() {
                xml.element("TargetGrants", |xml| write_grants(xml, grants, dialect));
            }
            if let Some(layout) = logging.layout() {
                xml.element("TargetObjectKeyFormat", |xml| write_layout(xml, layout));
            }
        });
    });
    xml.finish()
}

fn write_layout(xml: &mut XmlWriter, layout: Layout) {
    let date_source = match layout {
        Layout::Simple => return xml.empty("SimplePrefix"),
        Layout::ByEvent => "EventTime",
        Layout::ByDelivery => "DeliveryTime",
    };
    xml.element("PartitionedPrefix", |xml| xml.text("PartitionDateSource", date_source));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(inner: &str, dialect: Dialect) -> Result<Option<LoggingDocument>, XmlError> {
        let body = format!("<BucketLoggingStatus>{inner}</BucketLoggingStatus>");
        parse_logging(body.as_bytes(), dialect)
    }

    #[test]
    fn configurations() {
        let plain = "<LoggingEnabled><TargetBucket> logs </TargetBucket>\
                     <TargetPrefix>a/ </TargetPrefix></LoggingEnabled>";
        for dialect in Dialect::ALL {
            assert_eq!(parse("", dialect), Ok(None));
            let read = parse(plain, dialect).unwrap().unwrap();
            assert_eq!((read.target.as_str(), read.prefix.as_str()), ("logs", "a/ "));
            assert_eq!((read.layout, read.grants.len()), (None, 0));
        }
        let inner =
            |rest: &str| plain.replace("</LoggingEnabled>", &format!("{rest}</LoggingEnabled>"));
        let format = |inner_format: &str| {
            inner(&format!("<TargetObjectKeyFormat>{inner_format}</TargetObjectKeyFormat>"))
        };
        let date = |word: &str| {
            format!(
                "<PartitionedPrefix><PartitionDateSource>{word}</PartitionDateSource></PartitionedPrefix>"
            )
        };
        for (said, layout) in [
            ("<SimplePrefix/>".to_owned(), Layout::Simple),
            ("<SimplePrefix></SimplePrefix>".to_owned(), Layout::Simple),
            ("<PartitionedPrefix/>".to_owned(), Layout::ByDelivery),
            (date("EventTime"), Layout::ByEvent),
            (date("DeliveryTime"), Layout::ByDelivery),
        ] {
            let read = parse(&format(&said), Dialect::S3).unwrap().unwrap();
            assert_eq!(read.layout, Some(layout), "{said}");
            let written = Logging {
                target: read.target.clone(),
                prefix: read.prefix.clone(),
                layout: layout as u32,
                ..Logging::default()
            };
            let again = write_logging(Some(&written), &[], Dialect::S3);
            assert_eq!(parse_logging(&again, Dialect::S3), Ok(Some(read)));
            assert!(parse(&format(&said), Dialect::Cos).is_err(), "{said}");
        }
        let grants = "<TargetGrants><Grant><Grantee><ID>1</ID></Grantee>\
                      <Permission>READ</Permission></Grant></TargetGrants>";
        let read = parse(&inner(grants), Dialect::S3).unwrap().unwrap();
        assert_eq!(read.grants, [(GranteeName::Id("1".into()), Permission::Read)]);
        for bad in [
            "<LoggingEnabled/>".to_owned(),
            "<Other/>".to_owned(),
            plain.repeat(2),
            inner("<Unknown/>"),
            inner(&grants.replace("READ", "READ_ACP")),
            format(""),
            format("<SimplePrefix/><PartitionedPrefix/>"),
            format(&date("Never")),
        ] {
            assert!(parse(&bad, Dialect::S3).is_err(), "{bad}");
        }
    }
}
