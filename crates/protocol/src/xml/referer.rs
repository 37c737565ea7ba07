//! `RefererConfiguration`, read and written.

use bytes::Bytes;
use costrel_core::referer::RefererList;

use super::reader::{Source, XmlError};
use super::requests::once;
use super::settings::{CONFIGURATION_BYTES_MAX, one_of};
use super::writer::XmlWriter;

const TYPES: [&str; 2] = ["White-List", "Black-List"];
const SWITCH: [&str; 2] = ["Disabled", "Enabled"];
const EMPTY: [&str; 2] = ["Deny", "Allow"];

pub fn parse_referer(body: &[u8]) -> Result<RefererList, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "RefererConfiguration")?;
    let (mut enabled, mut is_black, mut domains) = (None, None, None);
    let (mut allows_empty, mut judges_links) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Status" => once(&mut enabled, one_of(&source.text()?, SWITCH)?)?,
            "RefererType" => once(&mut is_black, one_of(&source.text()?, TYPES)?)?,
            "DomainList" => once(&mut domains, domain_list(&mut source)?)?,
            "EmptyReferConfiguration" => {
                once(&mut allows_empty, one_of(&source.text()?, EMPTY)?)?;
            }
            "VerifySignatureURL" => once(&mut judges_links, one_of(&source.text()?, SWITCH)?)?,
            // What is not known may be what the list is about.
            _ => return Err(XmlError::Malformed("not of a RefererConfiguration")),
        }
    }
    source.finish()?;
    Ok(RefererList {
        write_id: Bytes::new(),
        enabled: enabled.ok_or(XmlError::Malformed("no Status"))?,
        is_black: is_black.ok_or(XmlError::Malformed("no RefererType"))?,
        domains: domains.ok_or(XmlError::Malformed("no DomainList"))?,
        allows_empty: allows_empty.unwrap_or_default(),
        judges_links: judges_links.unwrap_or_default(),
    })
}

fn domain_list(source: &mut Source<'_>) -> Result<Vec<String>, XmlError> {
    let mut domains = Vec::new();
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Domain" => domains.push(source.text()?.trim().to_owned()),
            _ => return Err(XmlError::Malformed("not a Domain")),
        }
    }
    match domains.is_empty() || domains.iter().any(String::is_empty) {
        true => Err(XmlError::Malformed("no Domain")),
        false => Ok(domains),
    }
}

/// Without a list, the element is empty.
pub fn write_referer(list: Option<&RefererList>) -> Bytes {
    let Some(list) = list else {
        let mut xml = XmlWriter::new(64);
        xml.empty("RefererConfiguration");
        return xml.finish();
    };
    let mut xml = XmlWriter::new(512 + list.domains.len() * 64);
    let word = |words: [&'static str; 2], second: bool| words[usize::from(second)];
    xml.element("RefererConfiguration", |xml| {
        xml.text("Status", word(SWITCH, list.enabled));
        xml.text("RefererType", word(TYPES, list.is_black));
        xml.element("DomainList", |xml| {
            list.domains.iter().for_each(|domain| xml.text("Domain", domain));
        });
        xml.text("EmptyReferConfiguration", word(EMPTY, list.allows_empty));
        if list.judges_links {
            xml.text("VerifySignatureURL", "Enabled");
        }
    });
    xml.finish()
}
