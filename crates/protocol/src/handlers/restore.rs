//! Restoring archived objects.

use costrel_core::bucket::Bucket;
use costrel_core::object::ObjectInfo;
use costrel_core::record::RestoreRecord;
use costrel_core::restore::{RestoreRequest, RestoreState, Restored, Speed};
use http::StatusCode;

use super::upload;
use crate::attributes::set_version;
use crate::date;
use crate::dialect::{self, Dialect};
use crate::error::Failure;
use crate::gateway::{Gateway, RequestBody};
use crate::reply::{self, Reply, set};
use crate::request::{Outcome, Request, bad_header};
use crate::xml::{CONFIGURATION_BYTES_MAX, XmlWriter, parse_restore};

/// Longest time that COS restores an object for, in days.
const COS_DAYS_MAX: i64 = 365;

pub async fn restore(
    gateway: &Gateway,
    request: &Request<'_>,
    bucket: &Bucket,
    body: &mut RequestBody<'_>,
) -> Outcome<Reply> {
    let document = upload::document(request, body, CONFIGURATION_BYTES_MAX).await?;
    let asked = parse_restore(&document)?;
    if asked.selects {
        return Err(Failure::NotImplemented("SELECT".into()));
    }
    let max = match request.dialect {
        Dialect::Cos => COS_DAYS_MAX,
        Dialect::S3 => i64::from(i32::MAX),
    };
    let within = |asked: i64| match u32::try_from(asked) {
        Ok(days) if (1..=max).contains(&asked) => Ok(days),
        _ => Err(Failure::InvalidArgument {
            name: "Days".into(),
            value: asked.to_string(),
            why: "Days of a restore must be a positive number that the service allows.",
        }),
    };
    let restore = RestoreRequest {
        key: request.key()?,
        version: request.version()?,
        days: asked.days.map(within).transpose()?,
        // Tools of COS say some, whatever they restore.
        allows_idle_days: request.dialect == Dialect::Cos,
        speed: asked.speed.unwrap_or(Speed::Standard),
        utc_offset_s: request.dialect.utc_offset_s(),
    };
    let (restored, version) = gateway.store.restore_object(bucket, &restore).await?;
    let mut reply = reply::empty(match restored {
        Restored::Begun => StatusCode::ACCEPTED,
        Restored::Extended => StatusCode::OK,
    });
    set_version(&mut reply, request.dialect, version);
    Ok(reply)
}

/// Says in an answer about an object what its restore is.
pub fn describe(gateway: &Gateway, reply: &mut Reply, dialect: Dialect, info: &ObjectInfo) {
    if info.record.restore.is_none() {
        return;
    }
    let text = |ms| date::http_date(ms).to_str().unwrap_or_default().to_owned();
    let name = dialect.headers().restore.clone();
    match info.restore(gateway.store.now_ms()) {
        None => {}
        Some(RestoreState::Done { until_ms }) => {
            let until = text(until_ms);
            let value = format!(r#"ongoing-request="false", expiry-date="{until}""#);
            set(reply, name, &value);
        }
        Some(RestoreState::Ongoing { asked_ms, speed }) => {
            set(reply, name, r#"ongoing-request="true""#);
            if dialect == Dialect::Cos {
                let (tier, asked) = (speed.name().to_ascii_lowercase(), text(asked_ms));
                let value = format!(r#"tier="{tier}"; request-date="{asked}""#);
                set(reply, dialect::cos::RESTORE_STATUS, &value);
            }
        }
    }
}

/// Whether the entries of a list are to say what their restores are: COS's always
/// do, S3's if the client asks for it. There is nothing else that it can ask for.
pub fn is_listed(request: &Request<'_>) -> Outcome<bool> {
    if request.dialect == Dialect::Cos {
        return Ok(true);
    }
    let name = dialect::s3::OPTIONAL_OBJECT_ATTRIBUTES;
    let wanted = request.header(&name).unwrap_or_default();
    let wanted = wanted.split(',').map(str::trim).filter(|name| !name.is_empty());
    match wanted.clone().find(|wanted| *wanted != "RestoreStatus") {
        Some(unknown) => Err(bad_header(&name, unknown, "Invalid attribute name specified.")),
        None => Ok(wanted.count() > 0),
    }
}

/// The same in an entry of a list.
pub fn write_status(
    gateway: &Gateway,
    xml: &mut XmlWriter,
    dialect: Dialect,
    record: Option<&RestoreRecord>,
) {
    let state = record.and_then(|record| record.state(gateway.store.now_ms()));
    match (state, dialect) {
        (None, _) => {}
        (Some(RestoreState::Ongoing { .. }), Dialect::Cos) => xml.text("RestoreStatus", "ONGOING"),
        (Some(RestoreState::Done { .. }), Dialect::Cos) => xml.text("RestoreStatus", "DONE"),
        (Some(state), Dialect::S3) => xml.element("RestoreStatus", |xml| {
            xml.boolean("IsRestoreInProgress", matches!(state, RestoreState::Ongoing { .. }));
            if let RestoreState::Done { until_ms } = state {
                xml.time("RestoreExpiryDate", until_ms);
            }
        }),
    }
}
