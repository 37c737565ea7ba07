//! Forms with a signature, by which browsers upload.

use costrel_core::env::Clock;
use costrel_signature::sign::{OutgoingForm, SignedFields, cos_post, v4_post};
use costrel_signature::{PostForm, detect_post, encode};
use serde_json::{Map, Value, json};

use super::{COS_BEGINS_BEFORE_S, Key, SignError, Target, pairs, region, tell_end};
use crate::cli::FormArgs;
use crate::config::Dialect;
use crate::world::SystemClock;

/// Prints where a form goes and its fields, and on the error stream how long it is valid.
pub fn form(args: &FormArgs) -> Result<(), SignError> {
    let now = (SystemClock.now_ms() / 1000) as i64;
    let key = Key::of(&args.key)?;
    let (signed, expires_at) = SignedForm::of(args, &key, now)?;
    print!("{}", if args.html { signed.page() } else { format!("{:#}\n", signed.document()) });
    tell_end(expires_at, &key);
    Ok(())
}

struct SignedForm {
    /// Of the bucket, where the form is sent.
    action: String,
    fields: SignedFields,
}

impl SignedForm {
    fn of(args: &FormArgs, key: &Key, now: i64) -> Result<(SignedForm, i64), SignError> {
        let target = Target::parse(&args.url)?;
        if !target.query.is_empty() {
            return Err(SignError::FormQuery);
        }
        let expires_s = args.expires.0.as_secs();
        if expires_s == 0 {
            return Err(SignError::Expires);
        }
        let expires_at = now.saturating_add_unsigned(expires_s);
        let path = encode::decode(target.raw_path).unwrap_or_default();
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        let hosted = target.bucket_in_host();
        let named = hosted.or_else(|| args.bucket.clone().filter(|bucket| bucket != first));
        let (bucket, object, place) = match &named {
            Some(bucket) => (&bucket[..], path, String::new()),
            None => (first, rest, encode::path(first)),
        };
        if bucket.is_empty() {
            return Err(SignError::NoBucket(args.url.clone()));
        }
        let fields = pairs(&args.field)?;
        if let Some(name) = taken(&fields) {
            return Err(SignError::Taken(name.into()));
        }
        let asked = OutgoingForm {
            bucket,
            key: object,
            fields: &fields,
            length_max: args.max_size.map(|size| size.0),
        };
        let identity = key.identity();
        let fields = match args.dialect {
            Dialect::Cos => cos_post(&identity, &asked, (now - COS_BEGINS_BEFORE_S, expires_at)),
            Dialect::S3 => v4_post(&identity, &asked, region(&args.region)?, expires_at, now),
        };
        let action = format!("{}://{}/{place}", target.scheme, target.host);
        Ok((SignedForm { action, fields }, expires_at))
    }

    fn document(&self) -> Value {
        let fields = self.fields.iter().map(|(name, value)| (name.clone(), value[..].into()));
        json!({ "url": self.action, "fields": fields.collect::<Map<_, _>>() })
    }

    fn page(&self) -> String {
        let mut page = format!(
            "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<form action=\"{}\" method=\"post\" \
             enctype=\"multipart/form-data\">\n",
            escaped(&self.action)
        );
        for (name, value) in &self.fields {
            let (name, value) = (escaped(name), escaped(value));
            page += &format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">\n");
        }
        // Whatever comes behind the file is not read.
        page += "<input type=\"file\" name=\"file\">\n<button>Upload</button>\n</form>\n";
        page
    }
}

/// A field that is given twice, or that the form has of its own.
fn taken<'a>(fields: &[(&'a str, &'a str)]) -> Option<&'a str> {
    let own = |name: &str| {
        ["", "key", "file", "policy", "bucket"].iter().any(|own| name.eq_ignore_ascii_case(own))
            || detect_post(&[(name, "")]) != PostForm::Anonymous
    };
    let mut names = fields.iter().map(|(name, _)| *name).enumerate();
    let found = names.find(|(at, name)| {
        own(name) || fields[..*at].iter().any(|(before, _)| before.eq_ignore_ascii_case(name))
    });
    found.map(|(_, name)| name)
}

/// For a value of an attribute, in double quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::KeyArgs;
    use crate::config::Span;

    fn made(url: &str, bucket: Option<&str>) -> Result<SignedForm, SignError> {
        let args = FormArgs {
            url: url.into(),
            bucket: bucket.map(str::to_owned),
            expires: Span(Duration::from_secs(60)),
            max_size: None,
            field: vec!["acl=public-read".into()],
            html: false,
            dialect: Dialect::S3,
            region: "ap-guangzhou".into(),
            key: KeyArgs::default(),
        };
        let key = Key { id: "AKID".into(), secret: "secret".into(), token: None };
        SignedForm::of(&args, &key, 1_795_000_000).map(|(form, _)| form)
    }

    #[test]
    fn urls_say_where_forms_go_and_what_they_make() {
        let hosted = "http://b-1250000000.cos.ap-guangzhou.myqcloud.com/";
        for (url, bucket, action, key) in [
            ("http://h:9000/b/a%20b", None, "http://h:9000/b", "a b"),
            ("http://h:9000/b/up/", None, "http://h:9000/b", "up/${filename}"),
            ("http://h:9000/b/", None, "http://h:9000/b", "${filename}"),
            ("http://h:9000/b", None, "http://h:9000/b", "${filename}"),
            ("http://h:9000/b/k", Some("b"), "http://h:9000/b", "k"),
            ("https://b.store.test/up/k", Some("b"), "https://b.store.test/", "up/k"),
            (&format!("{hosted}up/k"), None, hosted, "up/k"),
            (&format!("{hosted}/k"), None, hosted, "/k"),
        ] {
            let form = made(url, bucket).unwrap();
            assert_eq!(form.action, action, "{url}");
            assert_eq!(form.fields[0], ("key".to_owned(), key.to_owned()), "{url}");
        }
        assert!(matches!(made("http://h/", None), Err(SignError::NoBucket(_))));
        assert!(matches!(made("http://h/b/k?acl", None), Err(SignError::FormQuery)));
    }

    #[test]
    fn fields_are_given_once() {
        assert_eq!(taken(&[("acl", "private"), ("Content-Type", "a/b")]), None);
        assert_eq!(taken(&[("acl", "private"), ("ACL", "public-read")]), Some("ACL"));
        for own in ["key", "Policy", "file", "bucket", "X-Amz-Signature", "q-ak", "signature", ""] {
            assert_eq!(taken(&[(own, "x")]), Some(own), "{own}");
        }
    }

    #[test]
    fn a_page_has_the_file_last() {
        let page = made("http://h/b/%22%3C&/", None).unwrap().page();
        assert!(page.contains("name=\"key\" value=\"&quot;&lt;&amp;/${filename}\">"), "{page}");
        assert!(page.find("type=\"file\"") > page.rfind("type=\"hidden\""), "{page}");
    }
}
