//! What a form that was signed says of itself.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use costrel_signature::policy::{Policy, PolicyDialect, Submission};
use costrel_signature::sign::SignedFields;
use costrel_signature::{PostForm, Secret, Verifier, detect_post, encode, parse_post};
use serde_json::Value;

use super::{Key, SignError, Target, push_now, push_verdict, time};

/// The fields of a form, as they are printed, or alone.
pub fn read(file: &Path) -> Result<SignedFields, SignError> {
    let wrong = |why: String| SignError::Form(why);
    let text = match file.as_os_str() == "-" {
        true => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => fs::read_to_string(file),
    };
    let text = text.map_err(|error| wrong(error.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let Value::Object(mut object) = value else { return Err(wrong("it is no object".into())) };
    if let Some(Value::Object(fields)) = object.remove("fields") {
        object = fields;
    }
    let field = |(name, value)| match value {
        Value::String(text) => Ok((name, text)),
        _ => Err(wrong(format!("the field {name} is no text"))),
    };
    object.into_iter().map(field).collect()
}

/// What a form says, and whether it is good, as far as that can be told without its file.
pub fn explained(
    url: &str,
    fields: &SignedFields,
    key: &Key,
    now: i64,
) -> Result<(String, bool), SignError> {
    let target = Target::parse(url)?;
    let path = encode::decode(target.raw_path).unwrap_or_default();
    let first = path.split('/').nth(1).unwrap_or_default();
    let bucket = target.bucket_in_host().unwrap_or_else(|| first.to_owned());
    let presented = parse_post(fields)?.ok_or(SignError::NotSigned)?;
    if presented.access_key_id != key.id {
        let signed = presented.access_key_id.to_owned();
        return Err(SignError::OtherKey { signed, given: key.id.clone() });
    }
    let policy = Policy::parse(&presented.policy_json)?;
    let (family, dialect) = match detect_post(fields) {
        PostForm::Cos => ("COS, of a form", PolicyDialect::Cos),
        PostForm::S3V4 => ("S3 version 4, of a form", PolicyDialect::S3),
        PostForm::S3V2 | PostForm::Anonymous => ("S3 version 2, of a form", PolicyDialect::S3),
    };
    let (from, until) = presented.key_time().unwrap_or((0, policy.expiration));
    let until = until.min(policy.expiration);
    let mut lines = vec![
        format!("signature    {family}"),
        format!("key          {}", presented.access_key_id),
        format!("valid until  {}", time(until)),
    ];
    let in_time = push_now(&mut lines, (from, until), now);
    // A time at which it is valid, so that the signature itself is judged.
    let then = now.min(until).max(from);
    let verdict = Verifier::default().verify_post(&presented, &Secret::new(&key.secret), then);
    let signed = push_verdict(&mut lines, verdict, "policy");
    let name = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("key"));
    let name = name.map_or("", |(_, value)| value.as_str());
    let form = Submission { dialect, bucket: &bucket, key: name, fields };
    let kept = match policy.check(&form, then.min(policy.expiration)) {
        Ok(()) => true,
        Err(error) => {
            lines.push(format!("policy       refused: {error}"));
            false
        }
    };
    lines.push(String::new());
    Ok((lines.join("\n"), signed && kept && in_time))
}

#[cfg(test)]
mod tests {
    use costrel_signature::sign::{OutgoingForm, cos_post, v4_post};

    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn key(secret: &str) -> Key {
        Key { id: "AKID".into(), secret: secret.into(), token: None }
    }

    #[test]
    fn what_is_made_is_explained() {
        let (identity, field) = (key("secret").identity(), ("Content-Type", "image/png"));
        let form = OutgoingForm { bucket: "b", key: "up/", fields: &[field], length_max: Some(10) };
        let url = "http://127.0.0.1:9000/b";
        for fields in [
            cos_post(&identity, &form, (NOW, NOW + 600)),
            v4_post(&identity, &form, "ap-guangzhou", NOW + 600, NOW),
        ] {
            let at = |url: &str, fields: &SignedFields, secret: &str, now| {
                explained(url, fields, &key(secret), now).unwrap()
            };
            let (text, good) = at(url, &fields, "secret", NOW + 600);
            assert!(good && text.contains("the signature is good"), "{text}");
            let (text, good) = at(url, &fields, "secret", NOW + 601);
            assert!(!good && text.contains("expired, by 1 seconds"), "{text}");
            let (text, good) = at(url, &fields, "0ther-secret", NOW);
            assert!(!good && text.contains("does not match"), "{text}");
            assert!(!text.contains("0ther-secret"), "the secret is not shown: {text}");
            let (text, good) = at("http://127.0.0.1/other", &fields, "secret", NOW);
            assert!(!good && text.contains("refused: policy condition failed"), "{text}");
            let mut spoilt = fields.clone();
            spoilt.retain(|(name, _)| name != "Content-Type");
            assert!(!at(url, &spoilt, "secret", NOW).1);
            let other = Key { id: "AKIDother".into(), ..key("secret") };
            let refused = explained(url, &fields, &other, NOW);
            assert!(matches!(refused, Err(SignError::OtherKey { .. })));
        }
        let plain = vec![("key".to_owned(), "k".to_owned())];
        assert!(matches!(explained(url, &plain, &key("s"), NOW), Err(SignError::NotSigned)));
    }
}
