//! The XML bodies that configure buckets and objects.

use costrel_core::access::PublicAccessBlock;
use costrel_core::record::Pair;

use super::reader::{Source, XmlError};
use super::requests::once;

/// Most bytes of a configuration; COS's limit for the largest of them.
pub const CONFIGURATION_BYTES_MAX: usize = 64 << 10;

/// `VersioningConfiguration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersioningStatus {
    pub enabled: Option<bool>,
    /// S3: deleting versions asks for a second factor.
    pub mfa_delete: bool,
}

pub fn parse_versioning(body: &[u8]) -> Result<VersioningStatus, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "VersioningConfiguration")?;
    let (mut enabled, mut mfa_delete) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Status" => once(&mut enabled, one_of(&source.text()?, ["Suspended", "Enabled"])?)?,
            "MfaDelete" => {
                once(&mut mfa_delete, one_of(&source.text()?, ["Disabled", "Enabled"])?)?
            }
            _ => source.skip()?,
        }
    }
    source.finish()?;
    Ok(VersioningStatus { enabled, mfa_delete: mfa_delete == Some(true) })
}

/// More tags than anything may have; how many there may be is the core's to say.
const TAGS_MAX: usize = 1000;

/// `Tagging`: the tags of an object or a bucket, in their order.
pub fn parse_tagging(body: &[u8]) -> Result<Vec<Pair>, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "Tagging")?;
    let mut set = None;
    while let Some(name) = source.child()? {
        match name.as_str() {
            "TagSet" => once(&mut set, tag_set(&mut source)?)?,
            _ => source.skip()?,
        }
    }
    source.finish()?;
    set.ok_or(XmlError::Malformed("no TagSet"))
}

fn tag_set(source: &mut Source<'_>) -> Result<Vec<Pair>, XmlError> {
    let mut tags = Vec::new();
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Tag" if tags.len() == TAGS_MAX => return Err(XmlError::TooMany { max: TAGS_MAX }),
            "Tag" => tags.push(tag(source)?),
            _ => source.skip()?,
        }
    }
    Ok(tags)
}

pub(super) fn tag(source: &mut Source<'_>) -> Result<Pair, XmlError> {
    let (mut key, mut value) = (None, None);
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Key" => once(&mut key, source.text()?)?,
            "Value" => once(&mut value, source.text()?)?,
            _ => source.skip()?,
        }
    }
    let name = key.ok_or(XmlError::Malformed("no Key"))?;
    Ok(Pair { name, value: value.ok_or(XmlError::Malformed("no Value"))? })
}

/// `PublicAccessBlockConfiguration`: what is not named is not blocked.
pub fn parse_public_access_block(body: &[u8]) -> Result<PublicAccessBlock, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "PublicAccessBlockConfiguration")?;
    let (mut acls, mut ignored, mut policy, mut restricted) = (None, None, None, None);
    while let Some(name) = source.child()? {
        let setting = match name.as_str() {
            "BlockPublicAcls" => &mut acls,
            "IgnorePublicAcls" => &mut ignored,
            "BlockPublicPolicy" => &mut policy,
            "RestrictPublicBuckets" => &mut restricted,
            _ => {
                source.skip()?;
                continue;
            }
        };
        once(setting, one_of(&source.text()?.to_ascii_lowercase(), ["false", "true"])?)?;
    }
    source.finish()?;
    Ok(PublicAccessBlock {
        public_acls: acls.unwrap_or_default(),
        ignore_public_acls: ignored.unwrap_or_default(),
        public_policy: policy.unwrap_or_default(),
        restrict_public_buckets: restricted.unwrap_or_default(),
    })
}

/// Which of two words it is: whether it is the second.
pub(super) fn one_of(text: &str, words: [&str; 2]) -> Result<bool, XmlError> {
    match words.iter().position(|word| *word == text.trim()) {
        Some(position) => Ok(position == 1),
        None => Err(XmlError::Malformed("an unknown word")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versioning() {
        let parse = |inner: &str| {
            let text = format!("<VersioningConfiguration>{inner}</VersioningConfiguration>");
            parse_versioning(text.as_bytes())
        };
        let enabled = VersioningStatus { enabled: Some(true), mfa_delete: false };
        assert_eq!(parse("<Status>Enabled</Status>"), Ok(enabled));
        assert_eq!(parse("<Status>Suspended</Status>").unwrap().enabled, Some(false));
        assert_eq!(parse("").unwrap().enabled, None);
        assert!(parse("<MfaDelete>Enabled</MfaDelete>").unwrap().mfa_delete);
        for bad in [
            "<Status>enabled</Status>",
            "<Status/>",
            "<Status>Enabled</Status><Status>Enabled</Status>",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_versioning(b""), Err(XmlError::Empty));
    }

    #[test]
    fn public_access_block() {
        let parse = |inner: &str| {
            let root = "PublicAccessBlockConfiguration";
            parse_public_access_block(format!("<{root}>{inner}</{root}>").as_bytes())
        };
        let read = parse(
            "<BlockPublicPolicy>TRUE</BlockPublicPolicy><IgnorePublicAcls>false</IgnorePublicAcls>",
        );
        let want = PublicAccessBlock { public_policy: true, ..PublicAccessBlock::default() };
        assert_eq!(read, Ok(want));
        assert!(parse("<BlockPublicAcls>yes</BlockPublicAcls>").is_err());
        let twice = "<BlockPublicAcls>true</BlockPublicAcls>".repeat(2);
        assert!(parse(&twice).is_err());
    }

    #[test]
    fn tagging() {
        let parse = |inner: &str| parse_tagging(format!("<Tagging>{inner}</Tagging>").as_bytes());
        let read = parse("<TagSet><Tag><Value/><Key> a&amp;</Key></Tag></TagSet>").unwrap();
        assert_eq!(read, [Pair { name: " a&".into(), value: String::new() }]);
        assert_eq!(parse("<TagSet/>"), Ok(Vec::new()));
        let many = "<Tag><Key>k</Key><Value>v</Value></Tag>".repeat(TAGS_MAX + 1);
        for bad in [
            "",
            "<TagSet/><TagSet/>",
            "<TagSet><Tag><Key>k</Key></Tag></TagSet>",
            "<TagSet><Tag><Value>v</Value></Tag></TagSet>",
            "<TagSet><Tag><Key>k</Key><Key>k</Key><Value>v</Value></Tag></TagSet>",
            &format!("<TagSet>{many}</TagSet>"),
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
