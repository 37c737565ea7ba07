//! `costrel sign`: makes signed links and forms, and explains those that a server refuses.
//! It needs the key and no server.

mod form;
mod form_explained;

use std::env;
use std::process::ExitCode;

use costrel_core::env::Clock;
use costrel_protocol::address::{self, Domains, Style};
use costrel_protocol::date::iso_seconds;
use costrel_signature::encode::{self, QueryPair};
use costrel_signature::policy::PolicyError;
use costrel_signature::sign::{Identity, Outgoing, cos_presign, v4_presign};
use costrel_signature::{
    Explain, Form, ParseError, Presented, RequestView, Secret, Verifier, VerifyError, detect, parse,
};
use http::{HeaderName, Method};

use crate::cli::{ExplainArgs, KeyArgs, UrlArgs};
use crate::config::Dialect;
use crate::world::SystemClock;

pub use form::form;

/// Longest life of a link of S3, seconds.
const V4_EXPIRES_S_MAX: u64 = 604_800;
/// How long before now a COS link begins to be valid, seconds: clocks differ.
const COS_BEGINS_BEFORE_S: i64 = 60;

#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("'{url}' is no URL to be signed: {problem}")]
    Url { url: String, problem: String },
    #[error("'{0}' is not NAME=VALUE")]
    Header(String),
    #[error("'{0}' is said already, by the URL or by the signature")]
    Taken(String),
    #[error("'{0}' is no method")]
    Method(String),
    #[error("'{0}' is no region")]
    Region(String),
    #[error("the URL is signed already: sign it as it was before")]
    Signed,
    #[error("{what} is not given: use --{flag}, or set {variable}")]
    NoKey { what: &'static str, flag: &'static str, variable: &'static str },
    #[error("a link of S3 may be valid for 1 second to 7 days")]
    S3Expires,
    #[error("a link has to be valid for a second at least")]
    Expires,
    #[error("a form's URL has no query")]
    FormQuery,
    #[error("'{0}' names no bucket: give it by --bucket if it is in the host")]
    NoBucket(String),
    #[error("the form cannot be read: {0}")]
    Form(String),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("nothing in the request is a signature")]
    NotSigned,
    #[error("the signature cannot be read: {0}")]
    Unreadable(#[from] ParseError),
    #[error("it is signed with the key {signed}, not with {given}")]
    OtherKey { signed: String, given: String },
}

/// A URL taken apart: what a client sends when it is given it.
struct Target<'a> {
    scheme: &'a str,
    /// As clients write it in the header.
    host: String,
    raw_path: &'a str,
    query: Vec<QueryPair<'a>>,
}

impl<'a> Target<'a> {
    fn parse(url: &'a str) -> Result<Target<'a>, SignError> {
        let wrong = |problem: &str| SignError::Url { url: url.into(), problem: problem.into() };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        if !matches!(scheme, "http" | "https") {
            return Err(wrong("its scheme is neither http nor https"));
        }
        if rest.contains(|c: char| c == '#' || c.is_whitespace() || c.is_control()) {
            return Err(wrong("a # or a space in it has to be written %23 or %20"));
        }
        let host_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, rest) = rest.split_at(host_end);
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        if host.contains('@') {
            return Err(wrong("there is a user's name before its host"));
        }
        // Clients write a host in small letters, and no port that its scheme has anyhow.
        let usual = if scheme == "http" { ":80" } else { ":443" };
        let host = host.strip_suffix(usual).unwrap_or(host).to_ascii_lowercase();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let query = encode::parse_query(query).map_err(|error| wrong(&error.to_string()))?;
        let raw_path = if path.is_empty() { "/" } else { path };
        encode::decode(raw_path).map_err(|error| wrong(&error.to_string()))?;
        Ok(Target { scheme, host, raw_path, query })
    }

    fn is_signed(&self) -> bool {
        let view = RequestView {
            method: "GET",
            raw_path: self.raw_path,
            query: &self.query,
            headers: [("", ""); 0].as_slice(),
            host: &self.host,
            bucket_in_host: None,
        };
        detect(&view) != Form::Anonymous
    }

    /// The bucket, if the host names it.
    fn bucket_in_host(&self) -> Option<String> {
        let uri = self.raw_path.parse().ok()?;
        let address = address::resolve(&uri, Some(&self.host), &Domains::default()).ok()?;
        (address.style == Style::VirtualHosted).then_some(address.bucket).flatten()
    }
}

/// A key as the command line or the environment gives it.
pub struct Key {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

impl Key {
    pub fn of(args: &KeyArgs) -> Result<Key, SignError> {
        // A variable that is set to nothing is none.
        let given = |given: &Option<String>| given.clone().filter(|text| !text.is_empty());
        let known = |variable| given(&env::var(variable).ok());
        let either = |argument, variable| given(argument).or_else(|| known(variable));
        // The token in the environment belongs to the key there.
        let token = match given(&args.access_key) {
            Some(_) => given(&args.token),
            None => either(&args.token, "AWS_SESSION_TOKEN"),
        };
        Ok(Key {
            id: either(&args.access_key, "AWS_ACCESS_KEY_ID").ok_or(SignError::NoKey {
                what: "the secret id",
                flag: "access-key",
                variable: "COSTREL_ROOT_SECRET_ID",
            })?,
            secret: either(&args.secret_key, "AWS_SECRET_ACCESS_KEY").ok_or(SignError::NoKey {
                what: "the secret key",
                flag: "secret-key",
                variable: "COSTREL_ROOT_SECRET_KEY",
            })?,
            token,
        })
    }

    fn identity(&self) -> Identity {
        let identity = Identity::new(&self.id, &self.secret);
        match &self.token {
            Some(token) => identity.with_token(token),
            None => identity,
        }
    }
}

/// Headers or fields, as `NAME=VALUE`.
fn pairs(given: &[String]) -> Result<Vec<(&str, &str)>, SignError> {
    let split = |text: &'_ String| text.split_once('=').is_none().then(|| text.clone());
    if let Some(wrong) = given.iter().find_map(split) {
        return Err(SignError::Header(wrong));
    }
    Ok(given.iter().filter_map(|text| text.split_once('=')).collect())
}

/// Headers that can be some.
fn headers(given: &[String]) -> Result<Vec<(&str, &str)>, SignError> {
    let pairs = pairs(given)?;
    match pairs.iter().find(|(name, _)| HeaderName::from_bytes(name.as_bytes()).is_err()) {
        Some((name, value)) => Err(SignError::Header(format!("{name}={value}"))),
        None => Ok(pairs),
    }
}

fn method(given: &str) -> Result<String, SignError> {
    let method = given.to_ascii_uppercase();
    match Method::from_bytes(method.as_bytes()) {
        Ok(_) => Ok(method),
        Err(_) => Err(SignError::Method(given.into())),
    }
}

/// A region has a place between slashes in signatures.
fn region(given: &str) -> Result<&str, SignError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match !given.is_empty() && given.bytes().all(plain) {
        true => Ok(given),
        false => Err(SignError::Region(given.into())),
    }
}

/// Prints the URL with a signature, and on the error stream how long it is valid.
pub fn url(args: &UrlArgs) -> Result<(), SignError> {
    let now = (SystemClock.now_ms() / 1000) as i64;
    let key = Key::of(&args.key)?;
    let (url, expires_at) = signed_url(args, &key, now)?;
    println!("{url}");
    tell_end(expires_at, &key);
    Ok(())
}

/// Says on the error stream how long something is valid.
fn tell_end(expires_at: i64, key: &Key) {
    // Only the server can read when a temporary key ends.
    let or = if key.token.is_some() { ", or to the end of its temporary key" } else { "" };
    eprintln!("valid until {}{or}", time(expires_at));
}

fn signed_url(args: &UrlArgs, key: &Key, now: i64) -> Result<(String, i64), SignError> {
    let target = Target::parse(&args.url)?;
    if target.is_signed() {
        return Err(SignError::Signed);
    }
    let identity = key.identity();
    let path = encode::decode(target.raw_path).unwrap_or_default();
    let query: Vec<(&str, &str)> =
        target.query.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    let method = method(&args.method)?;
    let headers = headers(&args.header)?;
    if headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        return Err(SignError::Taken("host".into()));
    }
    let request = Outgoing {
        method: &method,
        host: &target.host,
        bucket_in_host: None,
        path: &path,
        query: &query,
        headers: &headers,
    };
    let expires_s = args.expires.0.as_secs();
    if expires_s == 0 {
        return Err(SignError::Expires);
    }
    let expires_at = now.saturating_add_unsigned(expires_s);
    let signed = match args.dialect {
        Dialect::Cos => {
            cos_presign(&identity, &request, (now - COS_BEGINS_BEFORE_S, expires_at), false)
        }
        Dialect::S3 => {
            let expires = u32::try_from(expires_s).ok();
            let expires = expires.filter(|_| expires_s <= V4_EXPIRES_S_MAX);
            let expires = expires.ok_or(SignError::S3Expires)?;
            v4_presign(&identity, &request, region(&args.region)?, expires, now)
        }
    };
    Ok((format!("{}://{}{signed}", target.scheme, target.host), expires_at))
}

/// Prints what a request's signature says and whether it is good; fails when it is
/// not, or not any more.
pub fn explain(args: &ExplainArgs) -> Result<ExitCode, SignError> {
    let now = (SystemClock.now_ms() / 1000) as i64;
    let key = Key::of(&args.key)?;
    let (text, good) = match &args.form {
        Some(file) => {
            form_explained::explained(&args.url, &form_explained::read(file)?, &key, now)?
        }
        None => explained(args, &key, now)?,
    };
    print!("{text}");
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn explained(args: &ExplainArgs, key: &Key, now: i64) -> Result<(String, bool), SignError> {
    let target = Target::parse(&args.url)?;
    let headers = headers(&args.header)?;
    let method = method(&args.method)?;
    let bucket_in_host = target.bucket_in_host();
    let view = RequestView {
        method: &method,
        raw_path: target.raw_path,
        query: &target.query,
        headers: headers.as_slice(),
        host: &target.host,
        bucket_in_host: bucket_in_host.as_deref(),
    };
    let presented = parse(&view)?;
    let signed = presented.access_key_id().ok_or(SignError::NotSigned)?;
    if signed != key.id {
        return Err(SignError::OtherKey { signed: signed.into(), given: key.id.clone() });
    }
    let (from, until) = validity(&presented);
    // A time at which it is valid, so that the signature itself is judged.
    let then = now.min(until).max(from);
    let verifier = Verifier::default();
    let verified = verifier.verify(&presented, &view, &Secret::new(&key.secret), then);

    let mut lines = vec![
        format!("signature    {}", family(&presented)),
        format!("key          {signed}"),
        format!("valid from   {}", time(from)),
        format!("valid until  {}", time(until)),
    ];
    let in_time = push_now(&mut lines, (from, until), now);
    let good = push_verdict(&mut lines, verified.map(drop), "request");
    lines.push(String::new());
    Ok((lines.join("\n"), good && in_time))
}

/// Says whether a signature of something is good, and what it should be of if it is not.
fn push_verdict(lines: &mut Vec<String>, verified: Result<(), VerifyError>, of: &str) -> bool {
    match verified {
        Ok(()) => lines.push("verdict      the signature is good".into()),
        Err(VerifyError::Mismatch(explain)) => {
            lines.push(format!(
                "verdict      the signature does not match: it was made with another secret \
                 key, or of another {of} than this one"
            ));
            push_explanation(lines, &explain);
            return false;
        }
        Err(other) => {
            lines.push(format!("verdict      refused: {other}"));
            return false;
        }
    }
    true
}

/// Whether it is valid now; says so if it is not.
fn push_now(lines: &mut Vec<String>, (from, until): (i64, i64), now: i64) -> bool {
    let in_time = (from..=until).contains(&now);
    if !in_time {
        let (what, by) =
            if now > until { ("expired", now - until) } else { ("not valid yet", from - now) };
        lines.push(format!("now          {}: {what}, by {by} seconds", time(now)));
    }
    in_time
}

/// What the signature is to be of. Both strings hold nothing but the request.
fn push_explanation(lines: &mut Vec<String>, explain: &Explain) {
    if !explain.missing.is_empty() {
        lines.push(format!("missing      {}", explain.missing.join(", ")));
    }
    for (name, text) in [
        ("canonical request", &explain.canonical_request),
        ("string to sign", &explain.string_to_sign),
    ] {
        if !text.is_empty() {
            lines.push(format!("\nThe {name}, line by line:"));
            lines.extend(text.split('\n').map(|line| format!("  {line:?}")));
        }
    }
}

fn family(presented: &Presented<'_>) -> &'static str {
    match (presented, presented.form().is_query()) {
        (Presented::Anonymous, _) => "none",
        (Presented::Cos(_), true) => "COS, in the URL",
        (Presented::Cos(_), false) => "COS, in a header",
        (Presented::V4(_), true) => "S3 version 4, in the URL",
        (Presented::V4(_), false) => "S3 version 4, in a header",
        (Presented::V2(_), true) => "S3 version 2, in the URL",
        (Presented::V2(_), false) => "S3 version 2, in a header",
    }
}

/// From when until when a signature is accepted, Unix seconds.
fn validity(presented: &Presented<'_>) -> (i64, i64) {
    let skew = Verifier::default().rules().skew_s;
    match presented {
        Presented::Anonymous => (0, 0),
        Presented::Cos(cos) => {
            (cos.sign_time.start.max(cos.key_time.start), cos.sign_time.end.min(cos.key_time.end))
        }
        Presented::V4(v4) => match v4.expires_s {
            Some(expires) => (v4.time, v4.time + i64::from(expires)),
            None => (v4.time - skew, v4.time + skew),
        },
        Presented::V2(v2) if v2.form.is_query() => (0, v2.time),
        Presented::V2(v2) => (v2.time - skew, v2.time + skew),
    }
}

fn time(unix_s: i64) -> String {
    iso_seconds(u64::try_from(unix_s).unwrap_or_default().saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Span;

    const NOW: i64 = 1_795_000_000;

    fn key(secret: &str) -> Key {
        Key { id: "AKID".into(), secret: secret.into(), token: None }
    }

    fn to_sign(url: &str, dialect: Dialect) -> UrlArgs {
        UrlArgs {
            url: url.into(),
            method: "put".into(),
            expires: Span(Duration::from_secs(600)),
            dialect,
            region: "ap-guangzhou".into(),
            header: vec!["content-type=text/plain".into()],
            key: KeyArgs::default(),
        }
    }

    fn to_explain(url: &str, method: &str) -> ExplainArgs {
        ExplainArgs {
            url: url.into(),
            method: method.into(),
            form: None,
            header: vec!["Content-Type=text/plain".into()],
            key: KeyArgs::default(),
        }
    }

    #[test]
    fn what_is_signed_is_explained() {
        let plain = "http://b-1250000000.cos.ap-guangzhou.myqcloud.com/a%20b/%E8%85%BE?versionId=1";
        for dialect in [Dialect::Cos, Dialect::S3] {
            let (url, until) = signed_url(&to_sign(plain, dialect), &key("secret"), NOW).unwrap();
            assert_eq!(until, NOW + 600);
            assert!(url.starts_with(plain), "{url}");
            let at =
                |args: &ExplainArgs, secret: &str, now| explained(args, &key(secret), now).unwrap();
            let put = to_explain(&url, "PUT");
            let (text, good) = at(&put, "secret", NOW + 600);
            assert!(good && text.contains("2026-11-18T"), "{text}");
            let (text, good) = at(&put, "secret", NOW + 610);
            assert!(!good && text.contains("expired, by 10 seconds"), "{text}");
            assert!(text.contains("the signature is good"), "{text}");
            let (text, good) = at(&put, "0ther-secret", NOW);
            assert!(!good && text.contains("does not match"), "{text}");
            assert!(text.contains("\n  \"content-type"), "{text}");
            assert!(!text.contains("0ther-secret"), "the secret is not shown: {text}");
            assert!(!at(&to_explain(&url, "GET"), "secret", NOW).1);
            let another = Key { id: "AKIDother".into(), ..key("secret") };
            let refused = explained(&put, &another, NOW);
            assert!(matches!(refused, Err(SignError::OtherKey { .. })));
        }
    }

    /// A link is good for what clients make of it.
    #[test]
    fn hosts_are_signed_as_clients_write_them() {
        for (given, host) in [
            ("http://H.Example:80/b/k", "http://h.example/b/k?"),
            ("https://h.example:443/b/k", "https://h.example/b/k?"),
            ("http://h.example:443/b/k", "http://h.example:443/b/k?"),
            ("http://[::1]:80/b/k", "http://[::1]/b/k?"),
            ("http://h.example", "http://h.example/?"),
        ] {
            for dialect in [Dialect::Cos, Dialect::S3] {
                let (url, _) = signed_url(&to_sign(given, dialect), &key("s"), NOW).unwrap();
                assert!(url.starts_with(host), "{given}: {url}");
                let (text, good) = explained(&to_explain(&url, "PUT"), &key("s"), NOW).unwrap();
                assert!(good, "{text}");
            }
        }
    }

    #[test]
    fn what_cannot_be_signed_is_refused() {
        let sign = |url: &str| signed_url(&to_sign(url, Dialect::S3), &key("secret"), NOW);
        for url in ["b/k", "ftp://h/k", "http:///k", "http://h/a b", "http://h/a#b", "http://h/%"] {
            assert!(matches!(sign(url), Err(SignError::Url { .. })), "{url}");
        }
        let week = |seconds| UrlArgs {
            expires: Span(Duration::from_secs(seconds)),
            ..to_sign("http://h/b/k", Dialect::S3)
        };
        assert!(signed_url(&week(604_800), &key("secret"), NOW).is_ok());
        let too_long = signed_url(&week(604_801), &key("secret"), NOW);
        assert!(matches!(too_long, Err(SignError::S3Expires)));
        assert!(matches!(signed_url(&week(0), &key("secret"), NOW), Err(SignError::Expires)));
        let years = UrlArgs { dialect: Dialect::Cos, ..week(50 * 365 * 86_400) };
        assert!(signed_url(&years, &key("secret"), NOW).is_ok());
        for header in ["x", "a b=c", "=c"] {
            let bad = UrlArgs { header: vec![header.into()], ..week(1) };
            let refused = signed_url(&bad, &key("s"), NOW);
            assert!(matches!(refused, Err(SignError::Header(_))), "{header}");
        }
        let bad = UrlArgs { header: vec!["Host=h".into()], ..week(1) };
        assert!(matches!(signed_url(&bad, &key("s"), NOW), Err(SignError::Taken(_))));
        let bad = UrlArgs { method: "G T".into(), ..week(1) };
        assert!(matches!(signed_url(&bad, &key("s"), NOW), Err(SignError::Method(_))));
        for region in ["", "a/b", "a b"] {
            let bad = UrlArgs { region: region.into(), ..week(1) };
            assert!(matches!(signed_url(&bad, &key("s"), NOW), Err(SignError::Region(_))));
        }
        assert!(matches!(sign("http://me:pw@h/b/k"), Err(SignError::Url { .. })));
        for dialect in [Dialect::Cos, Dialect::S3] {
            let signed = signed_url(&to_sign("http://h/b/k", dialect), &key("s"), NOW).unwrap().0;
            assert!(matches!(sign(&signed), Err(SignError::Signed)), "{signed}");
        }
        let plain = explained(&to_explain("http://h/b/k", "GET"), &key("secret"), NOW);
        assert!(matches!(plain, Err(SignError::NotSigned)));
    }
}
