//! The XML body of a restore, in either dialect's form.

use costrel_core::restore::Speed;

use super::reader::{Source, XmlError};
use super::requests::once;
use super::settings::CONFIGURATION_BYTES_MAX;

/// `RestoreRequest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreOrder {
    pub days: Option<i64>,
    pub speed: Option<Speed>,
    /// It asks for what a query finds in the object.
    pub selects: bool,
}

pub fn parse_restore(body: &[u8]) -> Result<RestoreOrder, XmlError> {
    let mut source = Source::root(body, CONFIGURATION_BYTES_MAX, "RestoreRequest")?;
    let mut order = RestoreOrder::default();
    while let Some(name) = source.child()? {
        match name.as_str() {
            "Days" => {
                let days = source.text()?.trim().parse();
                once(&mut order.days, days.map_err(|_| XmlError::Malformed("not a number"))?)?;
            }
            "GlacierJobParameters" | "CASJobParameters" => {
                while let Some(name) = source.child()? {
                    match name.as_str() {
                        "Tier" => once(&mut order.speed, speed(&source.text()?)?)?,
                        _ => source.skip()?,
                    }
                }
            }
            "Tier" => once(&mut order.speed, speed(&source.text()?)?)?,
            "Type" | "SelectParameters" | "OutputLocation" => {
                order.selects = true;
                source.skip()?;
            }
            _ => source.skip()?,
        }
    }
    source.finish()?;
    Ok(order)
}

fn speed(text: &str) -> Result<Speed, XmlError> {
    Speed::from_name(text.trim()).ok_or(XmlError::Malformed("not a tier of restores"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_both_dialects() {
        let check = |body: &str, want: Option<(Option<i64>, Option<Speed>)>| {
            let body = format!("<RestoreRequest>{body}</RestoreRequest>");
            let read = parse_restore(body.as_bytes()).ok().map(|order| (order.days, order.speed));
            assert_eq!(read, want, "{body}");
        };
        let tier = |of: &str, tier: &str| format!("<Days>3</Days><{of}><Tier>{tier}</Tier></{of}>");
        check("", Some((None, None)));
        check(&tier("CASJobParameters", "Bulk"), Some((Some(3), Some(Speed::Bulk))));
        check(&tier("GlacierJobParameters", "Expedited"), Some((Some(3), Some(Speed::Expedited))));
        check("<Days>1</Days><Tier>Standard</Tier>", Some((Some(1), Some(Speed::Standard))));
        check(&tier("CASJobParameters", "fast"), None);
        check("<Days>soon</Days>", None);
        check("<Days>1</Days><Days>2</Days>", None);
        assert!(
            parse_restore(b"<RestoreRequest><Type>SELECT</Type></RestoreRequest>").unwrap().selects
        );
        assert!(parse_restore(b"<Restore/>").is_err());
        assert!(parse_restore(b"").is_err());
    }
}
