//! POST object forms: fields that let whoever has them upload what their policy says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use serde_json::{Value, json};

use super::{Identity, scope_text, text, v4_key};
use crate::crypto::{cos_signing_key, hex_text, sha1_hex};
use crate::time::{iso_basic, iso_extended};
use crate::v4::{ALGORITHM, Scope};

/// What a browser puts the name of the file in place of.
const FILENAME: &str = "${filename}";

/// A form about to be handed out.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingForm<'a> {
    pub bucket: &'a str,
    /// The object's key. One that is empty or ends with `/` is followed by the name that
    /// the file has where it comes from.
    pub key: &'a str,
    /// Other fields, which have to be sent as given.
    pub fields: &'a [(&'a str, &'a str)],
    /// Size of the file in bytes, at most.
    pub length_max: Option<u64>,
}

/// Fields of a form, in the order in which they may be sent; the file comes behind them.
pub type SignedFields = Vec<(String, String)>;

impl OutgoingForm<'_> {
    fn fields(&self) -> SignedFields {
        let key = match self.is_folder() {
            true => format!("{}{FILENAME}", self.key),
            false => self.key.to_owned(),
        };
        let given = self.fields.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        [("key".to_owned(), key)].into_iter().chain(given).collect()
    }

    fn is_folder(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }

    fn policy(&self, expires_at: i64, signed: &[(&str, String)]) -> String {
        let mut conditions = vec![json!({ "bucket": self.bucket })];
        conditions.push(match self.is_folder() {
            true => json!(["starts-with", "$key", self.key]),
            false => json!({ "key": self.key }),
        });
        conditions.extend(self.length_max.map(|max| json!(["content-length-range", 0, max])));
        let fields = self.fields.iter().map(|(name, value)| equals(name, value));
        conditions.extend(fields.chain(signed.iter().map(|(name, value)| equals(name, value))));
        json!({ "expiration": iso_extended(expires_at), "conditions": conditions }).to_string()
    }
}

fn equals(name: &str, value: &str) -> Value {
    json!({ name: value })
}

/// A form of COS, valid over the window (Unix seconds, both ends inclusive). A security
/// token is added unsigned.
pub fn cos_post(
    identity: &Identity,
    form: &OutgoingForm<'_>,
    (start, end): (i64, i64),
) -> SignedFields {
    let time = format!("{start};{end}");
    let mut signed = vec![
        ("q-sign-algorithm", "sha1".to_owned()),
        ("q-ak", identity.access_key_id.clone()),
        ("q-sign-time", time.clone()),
    ];
    let policy = form.policy(end, &signed);
    // The policy names this field so; the form has another name for it.
    signed[2].0 = "q-key-time";
    let key = cos_signing_key(&identity.secret, &time);
    let signature = hex_text(&hmac::sign(&key, &sha1_hex(policy.as_bytes())));
    let token = identity.security_token.clone().map(|token| ("x-cos-security-token", token));
    let added = [("policy", BASE64.encode(policy)), ("q-signature", signature)];
    finished(form, signed.into_iter().chain(token).chain(added))
}

/// A form of S3, signed by SigV4 and valid until `expires_at` (Unix seconds).
pub fn v4_post(
    identity: &Identity,
    form: &OutgoingForm<'_>,
    region: &str,
    expires_at: i64,
    now: i64,
) -> SignedFields {
    let time = text(&iso_basic(now));
    let scope = Scope { date: &time[..8], region, service: "s3" };
    let mut signed = vec![
        ("x-amz-algorithm", ALGORITHM.to_owned()),
        ("x-amz-credential", format!("{}/{}", identity.access_key_id, scope_text(&scope))),
        ("x-amz-date", time.clone()),
    ];
    let token = identity.security_token.clone();
    signed.extend(token.map(|token| ("x-amz-security-token", token)));
    let policy = BASE64.encode(form.policy(expires_at, &signed));
    let key = v4_key(identity, &scope);
    let signature = hex_text(&hmac::sign(&key.key, policy.as_bytes()));
    let added = [("policy", policy), ("x-amz-signature", signature)];
    finished(form, signed.into_iter().chain(added))
}

fn finished(
    form: &OutgoingForm<'_>,
    added: impl Iterator<Item = (&'static str, String)>,
) -> SignedFields {
    let mut fields = form.fields();
    fields.extend(added.map(|(name, value)| (name.to_owned(), value)));
    fields
}
