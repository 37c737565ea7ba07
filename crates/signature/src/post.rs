//! Signatures of POST object forms: they cover the form's policy and nothing
//! else, so what they allow is decided by the policy's conditions
//! ([`policy`](crate::policy)).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::hmac;

use crate::cos::TimeWindow;
use crate::crypto::{cos_signing_key, sha1_hex, unhex};
use crate::error::{Explain, ParseError, VerifyError};
use crate::present::unspaced;
use crate::secret::Secret;
use crate::time::parse_iso_basic;
use crate::v2;
use crate::v4::{Scope, V4Key, check_algorithm, check_service, parse_credential, required};
use crate::verify::Verifier;

/// Browsers and hand-written forms pad as they please.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Which signature a form carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PostForm {
    Anonymous,
    Cos,
    S3V4,
    S3V2,
}

/// A form's signature, taken apart but not verified.
#[derive(Clone, Debug)]
pub struct PresentedPost<'a> {
    pub access_key_id: &'a str,
    pub security_token: Option<&'a str>,
    /// The decoded policy, for [`Policy::parse`](crate::policy::Policy::parse).
    pub policy_json: Vec<u8>,
    policy_base64: &'a str,
    signature: &'a str,
    family: Family<'a>,
}

impl PresentedPost<'_> {
    /// From when until when the signature itself is accepted, Unix seconds. Those of S3 last
    /// as long as their policy.
    pub fn key_time(&self) -> Option<(i64, i64)> {
        match &self.family {
            Family::Cos { key_time } => Some((key_time.start, key_time.end)),
            Family::V4 { .. } | Family::V2 => None,
        }
    }
}

#[derive(Clone, Debug)]
enum Family<'a> {
    Cos { key_time: TimeWindow<'a> },
    V4 { scope: Scope<'a> },
    V2,
}

/// The first value of a form field; field names have no case.
pub(crate) fn field<'a, N: AsRef<str>, V: AsRef<str>>(
    fields: &'a [(N, V)],
    name: &str,
) -> Option<&'a str> {
    fields.iter().find(|(n, _)| n.as_ref().eq_ignore_ascii_case(name)).map(|(_, v)| v.as_ref())
}

/// Tells the family by the fields that only it has.
pub fn detect_post<N: AsRef<str>, V: AsRef<str>>(fields: &[(N, V)]) -> PostForm {
    let has = |names: &[&str]| names.iter().any(|name| field(fields, name).is_some());
    if has(&["q-sign-algorithm", "q-signature", "q-ak"]) {
        PostForm::Cos
    } else if has(&["x-amz-algorithm", "x-amz-signature", "x-amz-credential"]) {
        PostForm::S3V4
    } else if has(&["AWSAccessKeyId", "signature"]) {
        PostForm::S3V2
    } else {
        PostForm::Anonymous
    }
}

/// Takes a form's signature apart; `None` for an anonymous form.
pub fn parse_post<'a, N: AsRef<str>, V: AsRef<str>>(
    fields: &'a [(N, V)],
) -> Result<Option<PresentedPost<'a>>, ParseError> {
    let item = |name: &'static str| required(name, field(fields, name));
    let token = |name: &str| field(fields, name).filter(|token| !token.is_empty());
    let (access_key_id, security_token, signature, family) = match detect_post(fields) {
        PostForm::Anonymous => return Ok(None),
        PostForm::Cos => {
            let algorithm = item("q-sign-algorithm")?;
            if algorithm != "sha1" {
                return Err(ParseError::UnsupportedAlgorithm(algorithm.to_owned()));
            }
            let key_time = TimeWindow::parse("q-key-time", item("q-key-time")?)?;
            let token = token("x-cos-security-token");
            (item("q-ak")?, token, item("q-signature")?, Family::Cos { key_time })
        }
        PostForm::S3V4 => {
            check_algorithm(item("x-amz-algorithm")?)?;
            let (access_key_id, scope) = parse_credential(item("x-amz-credential")?)?;
            let date = item("x-amz-date")?;
            let time = parse_iso_basic(date).ok_or_else(|| ParseError::BadTime {
                item: "x-amz-date",
                value: date.to_owned(),
            })?;
            crate::v4::check_scope_date(&scope, time)?;
            let token = token("x-amz-security-token");
            (access_key_id, token, item("x-amz-signature")?, Family::V4 { scope })
        }
        PostForm::S3V2 => {
            let token = token("x-amz-security-token");
            (item("AWSAccessKeyId")?, token, item("signature")?, Family::V2)
        }
    };
    let policy_base64 = item("policy")?;
    let policy_json = decode_policy(policy_base64).ok_or(ParseError::Malformed("policy"))?;
    Ok(Some(PresentedPost {
        access_key_id,
        security_token,
        policy_json,
        policy_base64,
        signature,
        family,
    }))
}

/// Line breaks inside the base64 are allowed: encoders wrap.
fn decode_policy(base64: &str) -> Option<Vec<u8>> {
    let packed: Vec<u8> = base64.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(packed).ok()
}

impl Verifier {
    /// Judges a form's signature by the secret of its key id. `now` is Unix
    /// seconds. S3 forms have no time of their own: their policy expires.
    pub fn verify_post(
        &self,
        post: &PresentedPost<'_>,
        secret: &Secret,
        now: i64,
    ) -> Result<(), VerifyError> {
        let signed = post.policy_base64.as_bytes();
        match &post.family {
            Family::Cos { key_time } => {
                key_time.check(now, self.rules().skew_s)?;
                let to_sign = sha1_hex(&post.policy_json);
                let key = cos_signing_key(secret, &key_time.text);
                let good = unhex::<20>(post.signature)
                    .is_some_and(|signature| hmac::verify(&key, &to_sign, &signature).is_ok());
                verdict(good, &to_sign)
            }
            Family::V4 { scope } => {
                check_service(scope, self.rules().service)?;
                let key = V4Key::get(self.keys(), post.access_key_id, secret, scope);
                let good = unhex::<32>(post.signature)
                    .is_some_and(|signature| hmac::verify(&key.key, signed, &signature).is_ok());
                if good {
                    key.remember(self.keys());
                }
                verdict(good, signed)
            }
            Family::V2 => {
                let signature = unspaced(post.signature.trim_ascii());
                verdict(v2::signature_matches(secret, signed, &signature), signed)
            }
        }
    }
}

fn verdict(good: bool, to_sign: &[u8]) -> Result<(), VerifyError> {
    if good { Ok(()) } else { Err(VerifyError::Mismatch(Explain::new(b"", to_sign))) }
}
