//! `NotificationConfiguration`, read and written.

use bytes::Bytes;
use costrel_core::events::{Rule, Service};

use super::reader::{Source, XmlError};
use super::requests::once;
use super::settings::CONFIGURATION_BYTES_MAX;
use super::writer::XmlWriter;
use crate::dialect::Dialect;
use crate::error::Failure;

/// Elements of a configuration, and of the ARN in it.
fn elements(service: Service) -> (&'static str, &'static str) {
    match service {
        Service::Topic => ("TopicConfiguration", "Topic"),
        Service::Queue => ("QueueConfiguration", "Queue"),
        Service::Function => ("CloudFunctionConfiguration", "CloudFunction"),
    }
}

/// Rules as a document says them. Whether they can be obeyed is not known here.
pub fn parse_notification(body: &[u8]) -> Result<Vec<Rule>, Failure> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "NotificationConfiguration")?;
    let mut rules = Vec::new();
    while let Some(name) = source.child()? {
        let service = Service::ALL.into_iter().find(|it| elements(*it).0 == name);
        match (service, name.as_str()) {
            (Some(service), _) => rules.push(rule(&mut source, service)?),
            (None, "EventBridgeConfiguration") => {
                return Err(Failure::NotImplemented("EventBridgeConfiguration".into()));
            }
            _ => return Err(XmlError::Malformed("not of a NotificationConfiguration").into()),
        }
    }
    source.finish()?;
    Ok(rules)
}

fn rule(source: &mut Source<'_>, service: Service) -> Result<Rule, Failure> {
    let (mut id, mut arn, mut filter) = (None, None, None);
    let mut events = Vec::new();
    let (_, arn_element) = elements(service);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Id" => once(&mut id, source.text()?)?,
            "Event" => events.push(source.text()?.trim().to_owned()),
            "Filter" => once(&mut filter, parse_filter(source)?)?,
            name if name == arn_element => once(&mut arn, source.text()?.trim().to_owned())?,
            _ => return Err(XmlError::Malformed("not of a configuration of events").into()),
        }
    }
    let (prefix, suffix) = filter.unwrap_or_default();
    Ok(Rule {
        id: id.unwrap_or_default(),
        service: service as u32,
        arn: arn.ok_or(XmlError::Malformed("no ARN"))?,
        target: String::new(),
        events,
        prefix,
        suffix,
    })
}

type Filter = (Option<String>, Option<String>);

fn parse_filter(source: &mut Source<'_>) -> Result<Filter, Failure> {
    let mut found = None;
    while let Some(name) = source.child()? {
        match name.as_str() {
            "S3Key" => once(&mut found, key_filter(source)?)?,
            _ => return Err(XmlError::Malformed("not of a Filter").into()),
        }
    }
    Ok(found.unwrap_or_default())
}

fn key_filter(source: &mut Source<'_>) -> Result<Filter, Failure> {
    let (mut prefix, mut suffix) = (None, None);
    while let Some(name) = source.child()? {
        if name != "FilterRule" {
            return Err(XmlError::Malformed("not of an S3Key").into());
        }
        let (mut name, mut value) = (None, None);
        while let Some(element) = source.child()? {
            match element.as_str() {
                "Name" => once(&mut name, source.text()?.trim().to_owned())?,
                "Value" => once(&mut value, source.text()?)?,
                _ => return Err(XmlError::Malformed("not of a FilterRule").into()),
            }
        }
        let name = name.ok_or(XmlError::Malformed("no Name"))?;
        let value = value.ok_or(XmlError::Malformed("no Value"))?;
        let (place, twice) = match name.to_ascii_lowercase().as_str() {
            "prefix" => (&mut prefix, "Cannot specify more than one prefix rule in a filter."),
            "suffix" => (&mut suffix, "Cannot specify more than one suffix rule in a filter."),
            _ => return Err(bad(name, "filter rule name must be either prefix or suffix")),
        };
        if place.replace(value).is_some() {
            return Err(bad(name, twice));
        }
    }
    Ok((prefix, suffix))
}

fn bad(value: String, why: &'static str) -> Failure {
    Failure::InvalidArgument { name: "FilterRule.Name".into(), value, why }
}

pub fn write_notification(rules: &[Rule], dialect: Dialect) -> Bytes {
    let mut xml = XmlWriter::new(256 + rules.len() * 512);
    xml.root("NotificationConfiguration", dialect.xml_namespace(), |xml| {
        for rule in rules {
            let (element, arn) = elements(rule.service());
            xml.element(element, |xml| {
                xml.text("Id", &rule.id);
                xml.text(arn, &rule.arn);
                for event in &rule.events {
                    xml.text("Event", event);
                }
                if rule.prefix.is_some() || rule.suffix.is_some() {
                    xml.element("Filter", |xml| xml.element("S3Key", |xml| filters(xml, rule)));
                }
            });
        }
    });
    xml.finish()
}

fn filters(xml: &mut XmlWriter, rule: &Rule) {
    for (name, value) in [("Prefix", &rule.prefix), ("Suffix", &rule.suffix)] {
        let Some(value) = value else { continue };
        xml.element("FilterRule", |xml| {
            xml.text("Name", name);
            xml.text("Value", value);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(inner: &str) -> Result<Vec<Rule>, Failure> {
        let root = "NotificationConfiguration";
        parse_notification(format!("<{root}>{inner}</{root}>").as_bytes())
    }

    const QUEUE: &str = "<QueueConfiguration><Id>mine</Id><Queue>arn:aws:sqs:r:1:q</Queue>\
                         <Event>s3:ObjectCreated:*</Event><Event>s3:ObjectAcl:Put</Event>\
                         </QueueConfiguration>";

    #[test]
    fn configurations() {
        assert_eq!(parse("").unwrap(), []);
        let filter = |rules: &str| {
            let filter = format!("<Filter><S3Key>{rules}</S3Key></Filter></QueueConfiguration>");
            QUEUE.replace("</QueueConfiguration>", &filter)
        };
        let prefix = "<FilterRule><Name>prefix</Name><Value>a b/</Value></FilterRule>";
        let suffix = "<FilterRule><Name>Suffix</Name><Value></Value></FilterRule>";
        let read = parse(&filter(&[prefix, suffix].concat())).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].prefix.as_deref(), Some("a b/"));
        assert_eq!(read[0].suffix.as_deref(), Some(""));
        assert_eq!(read[0].events, ["s3:ObjectCreated:*", "s3:ObjectAcl:Put"]);
        let other = QUEUE.replace("Queue", "CloudFunction").replace("mine", "yours");
        let third = QUEUE.replace("Queue", "Topic").replace("mine", "theirs");
        let read = parse(&[QUEUE, &other, &third, &filter("")].concat()).unwrap();
        let services: Vec<Service> = read.iter().map(Rule::service).collect();
        let expected = [Service::Queue, Service::Function, Service::Topic, Service::Queue];
        assert_eq!(services, expected);
        for dialect in Dialect::ALL {
            let again = write_notification(&read, dialect);
            assert_eq!(parse_notification(&again).unwrap(), read);
        }
        for bad in [
            "<Other/>".to_owned(),
            "<QueueConfiguration/>".to_owned(),
            QUEUE.replace("</Id>", "</Id><Id>2</Id>"),
            QUEUE.replace("<Queue>", "<Topic>").replace("</Queue>", "</Topic>"),
            QUEUE.replace("</Queue>", "</Queue><Queue>q</Queue>"),
            filter("<Other/>"),
            filter("<FilterRule><Name>prefix</Name></FilterRule>"),
            filter("<FilterRule><Value>x</Value></FilterRule>"),
        ] {
            assert!(matches!(parse(&bad), Err(Failure::Xml(_))), "{bad}");
        }
        for bad in [&[prefix, prefix].concat(), &prefix.replace("prefix", "infix")] {
            assert!(matches!(parse(&filter(bad)), Err(Failure::InvalidArgument { .. })), "{bad}");
        }
        let bridge = parse("<EventBridgeConfiguration/>");
        assert!(matches!(bridge, Err(Failure::NotImplemented(_))));
    }
}
