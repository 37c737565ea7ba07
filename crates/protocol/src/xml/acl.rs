//! `AccessControlPolicy`, read and written, and `OwnershipControls`.

use bytes::Bytes;
use costrel_core::acl::{Acl, Grant, Grantee, Ownership};

use super::reader::{Source, XmlError};
use super::requests::once;
use super::settings::CONFIGURATION_BYTES_MAX;
use super::writer::XmlWriter;
use crate::acl;
use crate::dialect::Dialect;

/// A list as a document says it. Whom its words mean is not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclDocument {
    pub owner: Option<String>,
    pub grants: Vec<GrantDocument>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantDocument {
    pub grantee: GranteeName,
    pub permission: String,
}

/// Whom a grant is for, in a document or a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GranteeName {
    Id(String),
    Group(String),
    Email(String),
}

/// More grants than any list may have; how many it may is the core's to say.
const GRANTS_MAX: usize = 1000;

pub fn parse_acl(body: &[u8]) -> Result<AclDocument, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "AccessControlPolicy")?;
    let (mut owner, mut grants) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Owner" => once(&mut owner, id_within(&mut source)?)?,
            "AccessControlList" => once(&mut grants, grant_list(&mut source)?)?,
            _ => source.skip()?,
        }
    }
    source.finish()?;
    let grants = grants.ok_or(XmlError::Malformed("no AccessControlList"))?;
    Ok(AclDocument { owner: owner.flatten(), grants })
}

fn id_within(source: &mut Source<'_>) -> Result<Option<String>, XmlError> {
    let mut id = None;
    while let Some(name) = source.child()? {
        match name.as_str() {
            "ID" => once(&mut id, source.text()?)?,
            _ => source.skip()?,
        }
    }
    Ok(id)
}

pub(super) fn grant_list(source: &mut Source<'_>) -> Result<Vec<GrantDocument>, XmlError> {
    let mut grants = Vec::new();
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Grant" if grants.len() == GRANTS_MAX => {
                return Err(XmlError::TooMany { max: GRANTS_MAX });
            }
            "Grant" => grants.push(grant(source)?),
            _ => return Err(XmlError::Malformed("not a Grant")),
        }
    }
    Ok(grants)
}

fn grant(source: &mut Source<'_>) -> Result<GrantDocument, XmlError> {
    let (mut found, mut permission) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Grantee" => once(&mut found, grantee(source)?)?,
            "Permission" => once(&mut permission, source.text()?.trim().to_owned())?,
            _ => return Err(XmlError::Malformed("not of a Grant")),
        }
    }
    Ok(GrantDocument {
        grantee: found.ok_or(XmlError::Malformed("no Grantee"))?,
        permission: permission.ok_or(XmlError::Malformed("no Permission"))?,
    })
}

/// The kind is told by what names the grantee, not by `xsi:type`.
fn grantee(source: &mut Source<'_>) -> Result<GranteeName, XmlError> {
    let mut found = None;
    while let Some(name) = source.child()? {
        let kind = match name.as_str() {
            "ID" => GranteeName::Id,
            "URI" => GranteeName::Group,
            "EmailAddress" => GranteeName::Email,
            _ => {
                source.skip()?;
                continue;
            }
        };
        once(&mut found, kind(source.text()?.trim().to_owned()))?;
    }
    found.ok_or(XmlError::Malformed("nobody is named"))
}

/// `OwnershipControls`: one rule, as S3 takes it.
pub fn parse_ownership(body: &[u8]) -> Result<Ownership, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "OwnershipControls")?;
    let mut ownership = None;
    while let Some(name) = source.child()? {
        if name != "Rule" {
            return Err(XmlError::Malformed("not a Rule"));
        }
        while let Some(name) = source.child()? {
            if name != "ObjectOwnership" {
                return Err(XmlError::Malformed("not an ObjectOwnership"));
            }
            let named = Ownership::from_name(source.text()?.trim());
            once(&mut ownership, named.ok_or(XmlError::Malformed("an unknown word"))?)?;
        }
    }
    source.finish()?;
    ownership.ok_or(XmlError::Malformed("no rule"))
}

pub fn write_acl(acl: &Acl, owner: (u64, u64), dialect: Dialect) -> Bytes {
    let mut xml = XmlWriter::new(512 + acl.grants.len() * 320);
    xml.root("AccessControlPolicy", dialect.xml_namespace(), |xml| {
        xml.element("Owner", |xml| write_id(xml, owner, dialect));
        if acl.grants.is_empty() {
            return xml.empty("AccessControlList");
        }
        xml.element("AccessControlList", |xml| write_grants(xml, &acl.grants, dialect));
    });
    xml.finish()
}

pub(super) fn write_grants(xml: &mut XmlWriter, grants: &[Grant], dialect: Dialect) {
    for grant in grants {
        xml.element("Grant", |xml| {
            write_grantee(xml, grant.grantee, dialect);
            xml.text("Permission", grant.permission.name());
        });
    }
}

fn write_grantee(xml: &mut XmlWriter, grantee: Grantee, dialect: Dialect) {
    let kind = match grantee {
        Grantee::User { .. } => "CanonicalUser",
        Grantee::AllUsers | Grantee::AuthenticatedUsers => "Group",
    };
    let instance = "http://www.w3.org/2001/XMLSchema-instance";
    let attributes = [("xmlns:xsi", instance), ("xsi:type", kind)];
    xml.element_with("Grantee", &attributes, |xml| match grantee {
        Grantee::User { account, uin } => write_id(xml, (account, uin), dialect),
        Grantee::AllUsers => xml.text("URI", &acl::group_uri("AllUsers", dialect)),
        Grantee::AuthenticatedUsers => {
            xml.text("URI", &acl::group_uri("AuthenticatedUsers", dialect));
        }
    });
}

fn write_id(xml: &mut XmlWriter, (account, uin): (u64, u64), dialect: Dialect) {
    let id = acl::shown_id(account, uin, dialect);
    xml.text("ID", &id);
    xml.text("DisplayName", &id);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(inner: &str) -> Result<AclDocument, XmlError> {
        parse_acl(format!("<AccessControlPolicy>{inner}</AccessControlPolicy>").as_bytes())
    }

    fn list(grants: &str) -> Result<AclDocument, XmlError> {
        parse(&format!("<AccessControlList>{grants}</AccessControlList>"))
    }

    #[test]
    fn lists() {
        let read = parse(
            "<Owner><ID>1</ID><DisplayName>me</DisplayName></Owner><AccessControlList><Grant>\
             <Grantee xmlns:xsi=\"i\" xsi:type=\"Group\"><URI> http://x/AllUsers </URI></Grantee>\
             <Permission>READ</Permission></Grant></AccessControlList>",
        );
        let grantee = GranteeName::Group("http://x/AllUsers".into());
        let grants = vec![GrantDocument { grantee, permission: "READ".into() }];
        assert_eq!(read, Ok(AclDocument { owner: Some("1".into()), grants }));
        assert_eq!(parse("<AccessControlList/>").unwrap().grants, []);
    }

    #[test]
    fn what_is_no_list() {
        let someone = "<Grantee><ID>1</ID></Grantee>";
        let grant = format!("<Grant>{someone}<Permission>READ</Permission></Grant>");
        for bad in [
            "<Permission>READ</Permission>".to_owned(),
            "<Grant/>".to_owned(),
            format!("<Grant>{someone}</Grant>"),
            "<Grant><Permission>READ</Permission></Grant>".to_owned(),
            "<Grant><Grantee/><Permission>READ</Permission></Grant>".to_owned(),
            format!("<Grant>{someone}{someone}<Permission>READ</Permission></Grant>"),
            grant.replace("</ID>", "</ID><URI>u</URI>"),
            grant.repeat(GRANTS_MAX + 1),
        ] {
            assert!(list(&bad).is_err(), "{bad}");
        }
        assert!(list(&grant).is_ok());
        assert!(parse("").is_err());
        assert_eq!(parse_acl(b""), Err(XmlError::Empty));
    }
}
