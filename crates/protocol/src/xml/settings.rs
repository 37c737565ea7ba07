//! The XML bodies that configure buckets and objects.

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

/// Which of two words it is: whether it is the second.
fn one_of(text: &str, words: [&str; 2]) -> Result<bool, XmlError> {
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
}
