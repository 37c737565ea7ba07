//! `CORSConfiguration`, read and written.

use bytes::Bytes;
use costrel_core::cors::{Cors, CorsRule};

use super::reader::{Source, XmlError};
use super::requests::{boolean, number, once};
use super::settings::CONFIGURATION_BYTES_MAX;
use super::writer::XmlWriter;
use crate::dialect::Dialect;

/// Reads rules. Their form is judged here, their meaning by the core.
pub fn parse_cors(body: &[u8], dialect: Dialect) -> Result<Cors, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "CORSConfiguration")?;
    let (mut rules, mut vary) = (Vec::new(), None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "CORSRule" => rules.push(rule(&mut source)?),
            "ResponseVary" if dialect == Dialect::Cos => {
                once(&mut vary, boolean(&source.text()?)?)?;
            }
            _ => source.skip()?,
        }
    }
    source.finish()?;
    // S3 leaves no choice.
    let vary = dialect == Dialect::S3 || vary.unwrap_or_default();
    Ok(Cors { rules, vary, ..Default::default() })
}

fn rule(source: &mut Source<'_>) -> Result<CorsRule, XmlError> {
    let mut rule = CorsRule::default();
    let (mut id, mut max_age) = (None, None);
    while let Some(name) = source.child()? {
        let list = match name.as_str() {
            "ID" => {
                once(&mut id, source.text()?)?;
                continue;
            }
            "MaxAgeSeconds" => {
                let seconds = u32::try_from(number(&source.text()?)?);
                let seconds = seconds.map_err(|_| XmlError::Malformed("too long an age"))?;
                once(&mut max_age, seconds)?;
                continue;
            }
            "AllowedOrigin" => &mut rule.origins,
            "AllowedMethod" => &mut rule.methods,
            "AllowedHeader" => &mut rule.headers,
            "ExposeHeader" => &mut rule.exposed,
            // What is not known may be what the rule is about.
            _ => return Err(XmlError::Malformed("not a CORS rule")),
        };
        list.push(source.text()?.trim().to_owned());
    }
    rule.id = id.unwrap_or_default();
    rule.max_age_s = max_age;
    Ok(rule)
}

pub fn write_cors(cors: &Cors, dialect: Dialect) -> Bytes {
    let mut xml = XmlWriter::new(256 + cors.rules.len() * 256);
    xml.root("CORSConfiguration", dialect.xml_namespace(), |xml| {
        for rule in &cors.rules {
            xml.element("CORSRule", |xml| {
                if !rule.id.is_empty() {
                    xml.text("ID", &rule.id);
                }
                for (name, values) in [
                    ("AllowedOrigin", &rule.origins),
                    ("AllowedMethod", &rule.methods),
                    ("AllowedHeader", &rule.headers),
                    ("ExposeHeader", &rule.exposed),
                ] {
                    values.iter().for_each(|value| xml.text(name, value));
                }
                if let Some(seconds) = rule.max_age_s {
                    xml.number("MaxAgeSeconds", seconds.into());
                }
            });
        }
        if dialect == Dialect::Cos {
            xml.boolean("ResponseVary", cors.vary);
        }
    });
    xml.finish()
}
