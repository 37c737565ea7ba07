//! `WebsiteConfiguration`, read and written.

use bytes::Bytes;
use costrel_core::website::{RedirectAll, RoutingRule, Website};

use super::reader::{Source, XmlError};
use super::requests::once;
use super::settings::{CONFIGURATION_BYTES_MAX, one_of};
use super::writer::XmlWriter;
use crate::dialect::Dialect;

const SWITCH: [&str; 2] = ["Disabled", "Enabled"];
const NOT_OF_IT: XmlError = XmlError::Malformed("not of a WebsiteConfiguration");

/// Reads a website. Its form is judged here, its meaning by the core.
pub fn parse_website(body: &[u8], dialect: Dialect) -> Result<Website, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "WebsiteConfiguration")?;
    let (mut index, mut all, mut error, mut rules) = (None, None, None, None);
    let mut adds_extension = None;
    while let Some(name) = source.child()? {
        match name.as_str() {
            "IndexDocument" => once(&mut index, one_child(&mut source, "Suffix")?)?,
            "RedirectAllRequestsTo" => once(&mut all, redirect_all(&mut source)?)?,
            "ErrorDocument" => once(&mut error, error_document(&mut source, dialect)?)?,
            "RoutingRules" => once(&mut rules, routing_rules(&mut source)?)?,
            "AutoAddressing" if dialect == Dialect::Cos => {
                let status = one_child(&mut source, "Status")?;
                once(&mut adds_extension, one_of(&status, SWITCH)?)?;
            }
            // What is not known may be what the website is about.
            _ => return Err(NOT_OF_IT),
        }
    }
    source.finish()?;
    let (error_key, hides_errors) = error.unwrap_or_default();
    Ok(Website {
        write_id: Bytes::new(),
        index_suffix: index.unwrap_or_default(),
        redirect_all: all,
        adds_extension: adds_extension.unwrap_or_default(),
        error_key,
        hides_errors,
        rules: rules.unwrap_or_default(),
    })
}

/// The text of an element's only child.
fn one_child(source: &mut Source<'_>, wanted: &str) -> Result<String, XmlError> {
    let mut found = None;
    while let Some(name) = source.child()? {
        match name == wanted {
            true => once(&mut found, source.text()?.trim().to_owned())?,
            false => return Err(NOT_OF_IT),
        }
    }
    found.filter(|text| !text.is_empty()).ok_or(XmlError::Malformed("an element is missing"))
}

fn redirect_all(source: &mut Source<'_>) -> Result<RedirectAll, XmlError> {
    let (mut host, mut protocol) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "HostName" => once(&mut host, source.text()?.trim().to_owned())?,
            "Protocol" => once(&mut protocol, source.text()?.trim().to_ascii_lowercase())?,
            _ => return Err(NOT_OF_IT),
        }
    }
    let (host, protocol) = (host.unwrap_or_default(), protocol.unwrap_or_default());
    Ok(RedirectAll { host, protocol })
}

/// The key, and whether errors are shown as successes.
fn error_document(source: &mut Source<'_>, dialect: Dialect) -> Result<(String, bool), XmlError> {
    let (mut key, mut keeps_status) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Key" => once(&mut key, source.text()?)?,
            "OriginalHttpStatus" if dialect == Dialect::Cos => {
                once(&mut keeps_status, one_of(&source.text()?, SWITCH)?)?;
            }
            _ => return Err(NOT_OF_IT),
        }
    }
    let key = key.filter(|key| !key.is_empty()).ok_or(XmlError::Malformed("no Key"))?;
    Ok((key, keeps_status == Some(false)))
}

fn routing_rules(source: &mut Source<'_>) -> Result<Vec<RoutingRule>, XmlError> {
    let mut rules = Vec::new();
    while let Some(name) = source.child()? {
        match name.as_str() {
            "RoutingRule" => rules.push(routing_rule(source)?),
            _ => return Err(NOT_OF_IT),
        }
    }
    Ok(rules)
}

fn routing_rule(source: &mut Source<'_>) -> Result<RoutingRule, XmlError> {
    let (mut condition, mut redirect) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Condition" => once(&mut condition, read_condition(source)?)?,
            "Redirect" => once(&mut redirect, read_redirect(source)?)?,
            _ => return Err(NOT_OF_IT),
        }
    }
    let redirect = redirect.ok_or(XmlError::Malformed("no Redirect"))?;
    let (prefix, error) = condition.unwrap_or_default();
    Ok(RoutingRule { prefix, error, ..redirect })
}

/// The prefix and the error, at least one of them.
fn read_condition(source: &mut Source<'_>) -> Result<(Option<String>, u32), XmlError> {
    let (mut prefix, mut error) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "KeyPrefixEquals" => once(&mut prefix, source.text()?)?,
            "HttpErrorCodeReturnedEquals" => once(&mut error, status(&source.text()?)?)?,
            _ => return Err(NOT_OF_IT),
        }
    }
    match prefix.is_none() && error.is_none() {
        true => Err(XmlError::Malformed("an empty Condition")),
        false => Ok((prefix, error.unwrap_or_default())),
    }
}

fn read_redirect(source: &mut Source<'_>) -> Result<RoutingRule, XmlError> {
    let (mut host, mut protocol, mut code) = (None, None, None);
    let (mut key, mut key_prefix) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "HostName" => once(&mut host, source.text()?.trim().to_owned())?,
            "Protocol" => once(&mut protocol, source.text()?.trim().to_ascii_lowercase())?,
            "HttpRedirectCode" => once(&mut code, status(&source.text()?)?)?,
            "ReplaceKeyWith" => once(&mut key, source.text()?)?,
            "ReplaceKeyPrefixWith" => once(&mut key_prefix, source.text()?)?,
            _ => return Err(NOT_OF_IT),
        }
    }
    Ok(RoutingRule {
        host: host.unwrap_or_default(),
        protocol: protocol.unwrap_or_default(),
        status: code.unwrap_or_default(),
        key,
        key_prefix,
        ..RoutingRule::default()
    })
}

fn status(text: &str) -> Result<u32, XmlError> {
    let number = text.trim().parse().ok().filter(|number| (100..1000).contains(number));
    number.ok_or(XmlError::Malformed("not a status"))
}

pub fn write_website(site: &Website, dialect: Dialect) -> Bytes {
    let mut xml = XmlWriter::new(512 + site.rules.len() * 256);
    let text = |xml: &mut XmlWriter, name: &'static str, value: &str| {
        if !value.is_empty() {
            xml.text(name, value);
        }
    };
    let word = |second: bool| SWITCH[usize::from(second)];
    xml.root("WebsiteConfiguration", dialect.xml_namespace(), |xml| {
        if let Some(all) = &site.redirect_all {
            xml.element("RedirectAllRequestsTo", |xml| {
                text(xml, "HostName", &all.host);
                text(xml, "Protocol", &all.protocol);
            });
        }
        if !site.index_suffix.is_empty() {
            xml.element("IndexDocument", |xml| xml.text("Suffix", &site.index_suffix));
        }
        if dialect == Dialect::Cos {
            xml.element("AutoAddressing", |xml| xml.text("Status", word(site.adds_extension)));
        }
        if !site.error_key.is_empty() {
            xml.element("ErrorDocument", |xml| {
                xml.text("Key", &site.error_key);
                if dialect == Dialect::Cos {
                    xml.text("OriginalHttpStatus", word(!site.hides_errors));
                }
            });
        }
        if !site.rules.is_empty() {
            xml.element("RoutingRules", |xml| {
                site.rules.iter().for_each(|rule| write_rule(xml, rule));
            });
        }
    });
    xml.finish()
}

fn write_rule(xml: &mut XmlWriter, rule: &RoutingRule) {
    let text = |xml: &mut XmlWriter, name: &'static str, value: Option<&str>| {
        if let Some(value) = value {
            xml.text(name, value);
        }
    };
    xml.element("RoutingRule", |xml| {
        if rule.prefix.is_some() || rule.error != 0 {
            xml.element("Condition", |xml| {
                if rule.error != 0 {
                    xml.number("HttpErrorCodeReturnedEquals", rule.error.into());
                }
                text(xml, "KeyPrefixEquals", rule.prefix.as_deref());
            });
        }
        xml.element("Redirect", |xml| {
            text(xml, "Protocol", Some(rule.protocol.as_str()).filter(|text| !text.is_empty()));
            text(xml, "HostName", Some(rule.host.as_str()).filter(|text| !text.is_empty()));
            if rule.status != 0 {
                xml.number("HttpRedirectCode", rule.status.into());
            }
            text(xml, "ReplaceKeyWith", rule.key.as_deref());
            text(xml, "ReplaceKeyPrefixWith", rule.key_prefix.as_deref());
        });
    });
}
