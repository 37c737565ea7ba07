//! Entry points for fuzzers: any bytes in, no panic out, and what was read can be
//! written and is read again as the same.

use crate::encode::parse_query;
use crate::policy::{Condition, Policy, PolicyDialect, Submission};
use crate::{
    CloudPresented, CloudRequest, ParseError, Presented, RequestView, Secret, Verifier, detect,
    parse, parse_post, time,
};

/// A request as text: request line, host, then `name: value` lines.
pub fn request(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let (line, host) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let (method, target) = line.split_once(' ').unwrap_or((line, "/"));
    let (raw_path, raw_query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let Ok(query) = parse_query(raw_query) else { return };
    let view = RequestView {
        method,
        raw_path,
        query: &query,
        headers: headers.as_slice(),
        host,
        bucket_in_host: Some("bucket"),
    };
    cloud(&CloudRequest {
        method,
        raw_path,
        raw_query,
        headers: headers.as_slice(),
        host,
        body: data,
        parameters: &query,
    });
    let form = detect(&view);
    match parse(&view) {
        Ok(presented) => {
            assert_eq!(presented.form(), form);
            // Judged at its own time, so that the later steps are reached too.
            let now = match &presented {
                Presented::Anonymous => 0,
                Presented::Cos(cos) => cos.sign_time.start,
                Presented::V4(v4) => v4.time,
                Presented::V2(v2) => v2.time,
            };
            let verified = Verifier::default().verify(&presented, &view, &Secret::new("s"), now);
            assert!(verified.is_err(), "nobody signed with this secret");
        }
        Err(ParseError::UnknownScheme | ParseError::SeveralMechanisms) => {}
        Err(_) => assert!(form.is_cos() || form.is_s3()),
    }
}

fn cloud(request: &CloudRequest<'_, [(&str, &str)]>) {
    if let Ok(presented) = CloudPresented::parse(request) {
        let verified = presented.verify(request, &Secret::new("s"), presented.timestamp);
        assert!(verified.is_err(), "nobody signed with this secret");
    }
}

/// A form as `name=value` lines.
pub fn post(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let fields: Vec<(&str, &str)> = text.lines().filter_map(|l| l.split_once('=')).collect();
    if let Ok(Some(post)) = parse_post(&fields) {
        let _ = Verifier::default().verify_post(&post, &Secret::new("s"), 0);
        policy(&post.policy_json);
    }
}

/// A policy document.
pub fn policy(data: &[u8]) {
    let Ok(policy) = Policy::parse(data) else { return };
    let fields = [("acl", "private"), ("Content-Type", "a,b"), ("q-ak", "x")];
    for dialect in [PolicyDialect::Cos, PolicyDialect::S3] {
        let form = Submission { dialect, bucket: "b", key: "k", fields: &fields };
        let _ = policy.check(&form, policy.expiration);
        let _ = policy.check_length(1);
    }
    let texts: Vec<String> = policy.conditions().iter().map(Condition::text).collect();
    // A message shows names as they are, so that not every one is JSON.
    let odd = |c: char| matches!(c, '"' | '\\') || c.is_control();
    if policy.conditions().iter().any(|c| c.field().is_some_and(|name| name.contains(odd))) {
        return;
    }
    let again =
        format!(r#"{{"expiration":"2030-01-01T00:00:00Z","conditions":[{}]}}"#, texts.join(","));
    let again = Policy::parse(again.as_bytes());
    assert_eq!(again.as_ref().map(Policy::conditions), Ok(policy.conditions()));
}

/// Text in any of the places where a time is read.
pub fn times(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for read in [time::parse_iso_basic, time::parse_http_date, time::parse_iso_extended] {
        let Some(moment) = read(&text) else { continue };
        let written = time::iso_basic(moment);
        let again = time::parse_iso_basic(&String::from_utf8_lossy(&written));
        assert_eq!(again, time::parse_http_date(&time::http_date(moment)));
        // What lies outside the calendar is clamped.
        let again = again.expect("what was written can be read");
        assert!(again == moment || moment < 0 || again == time::MAX);
    }
}
