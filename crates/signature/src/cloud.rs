//! Signatures of Tencent Cloud API 3.0: TC3-HMAC-SHA256 in the `Authorization`
//! header, and the older version 1 among the parameters.
//!
//! Sources: "Signature v3" and "Signature" in the guides of the API, and the
//! signers of tencentcloud-sdk-python and qcloud-python-sts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

use crate::crypto::{hmac_sha1_key, hmac_sha256, sha256_hex, unhex};
use crate::encode::QueryPair;
use crate::error::Explain;
use crate::request::HeaderSource;
use crate::secret::Secret;
use crate::time::iso_basic;

/// How far a client's clock may be from ours, seconds.
const SKEW_S: i64 = 300;

const TC3: &str = "TC3-HMAC-SHA256";
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// What a signature of this API sees of a request.
pub struct CloudRequest<'a, H: ?Sized> {
    /// Upper-case.
    pub method: &'a str,
    pub raw_path: &'a str,
    /// What follows the `?`, as it was sent: clients sign it unsorted.
    pub raw_query: &'a str,
    pub headers: &'a H,
    pub host: &'a str,
    pub body: &'a [u8],
    /// Decoded parameters of the query, or of a form that is the body. Version 1
    /// signs these and nothing else.
    pub parameters: &'a [QueryPair<'a>],
}

/// A presented signature, taken apart but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudPresented<'a> {
    pub secret_id: &'a str,
    pub token: Option<&'a str>,
    /// Unix seconds.
    pub timestamp: i64,
    /// The service that the credential is scoped to; version 1 has no scope.
    pub service: Option<&'a str>,
    version: Version<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Version<'a> {
    Tc3 { date: &'a str, signed_headers: &'a str, signature: &'a str },
    V1 { hash: V1Hash, signature: &'a str },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum V1Hash {
    Sha1,
    Sha256,
}

/// Why a request is not taken for its presumed sender's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudSignatureError {
    #[error("the request is not signed")]
    Anonymous,
    /// A part of the signature is absent.
    #[error("missing {0}")]
    Missing(&'static str),
    /// A part of the signature cannot be read.
    #[error("malformed {0}")]
    Malformed(&'static str),
    #[error("request time {timestamp} is more than 300 s from {now}")]
    Expired { timestamp: i64, now: i64 },
    #[error("signature does not match")]
    Mismatch(Box<Explain>),
}

use CloudSignatureError::{Anonymous, Malformed, Missing};

impl<'a> CloudPresented<'a> {
    /// Takes the signature apart. A header goes before parameters.
    pub fn parse<H: HeaderSource + ?Sized>(
        request: &CloudRequest<'a, H>,
    ) -> Result<Self, CloudSignatureError> {
        match header(request, "authorization")? {
            Some(text) => Self::from_header(request, text),
            None => Self::from_parameters(request),
        }
    }

    fn from_header<H: HeaderSource + ?Sized>(
        request: &CloudRequest<'a, H>,
        text: &'a str,
    ) -> Result<Self, CloudSignatureError> {
        if text == "SKIP" {
            return Err(Anonymous);
        }
        let items = text.strip_prefix(TC3).ok_or(Malformed("Authorization"))?;
        let mut found = [None; 3];
        for item in items.split(',') {
            let (name, value) = item.trim().split_once('=').ok_or(Malformed("Authorization"))?;
            let names = ["Credential", "SignedHeaders", "Signature"];
            if let Some(at) = names.iter().position(|known| *known == name) {
                found[at] = Some(value.trim());
            }
        }
        let [Some(credential), Some(signed_headers), Some(signature)] = found else {
            return Err(Malformed("Authorization"));
        };
        let mut scope = credential.split('/');
        let (Some(secret_id), Some(date), Some(service), Some("tc3_request"), None) =
            (scope.next(), scope.next(), scope.next(), scope.next(), scope.next())
        else {
            return Err(Malformed("Credential"));
        };
        let timestamp = header(request, "x-tc-timestamp")?.ok_or(Missing("X-TC-Timestamp"))?;
        Ok(CloudPresented {
            secret_id,
            token: header(request, "x-tc-token")?,
            timestamp: timestamp.parse().map_err(|_| Malformed("X-TC-Timestamp"))?,
            service: Some(service),
            version: Version::Tc3 { date, signed_headers, signature },
        })
    }

    fn from_parameters<H: ?Sized>(
        request: &CloudRequest<'a, H>,
    ) -> Result<Self, CloudSignatureError> {
        let parameter = |name: &str| {
            let found = request.parameters.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_ref()).filter(|value| !value.is_empty())
        };
        let required = |name: &'static str| parameter(name).ok_or(Missing(name));
        let Some(signature) = parameter("Signature") else { return Err(Anonymous) };
        let hash = match parameter("SignatureMethod") {
            None | Some("HmacSHA1") => V1Hash::Sha1,
            Some("HmacSHA256") => V1Hash::Sha256,
            Some(_) => return Err(Malformed("SignatureMethod")),
        };
        let timestamp = required("Timestamp")?;
        Ok(CloudPresented {
            secret_id: required("SecretId")?,
            token: parameter("Token"),
            timestamp: timestamp.parse().map_err(|_| Malformed("Timestamp"))?,
            service: None,
            version: Version::V1 { hash, signature },
        })
    }

    /// Judges the signature by the secret of its key id. `now` is Unix seconds. The
    /// time is judged first.
    pub fn verify<H: HeaderSource + ?Sized>(
        &self,
        request: &CloudRequest<'_, H>,
        secret: &Secret,
        now: i64,
    ) -> Result<(), CloudSignatureError> {
        if self.timestamp.abs_diff(now) > SKEW_S.unsigned_abs() {
            return Err(CloudSignatureError::Expired { timestamp: self.timestamp, now });
        }
        match self.version {
            Version::Tc3 { date, signed_headers, signature } => {
                let service = self.service.unwrap_or_default();
                if iso_basic(self.timestamp)[..8] != *date.replace('-', "").as_bytes() {
                    return Err(Malformed("Credential"));
                }
                let signature = unhex::<32>(signature);
                let mut explain = None;
                // Some clients sign what they send in lower case.
                for lower in [false, true] {
                    let canonical = canonical_request(request, signed_headers, lower)?;
                    let to_sign = format!(
                        "{TC3}\n{}\n{date}/{service}/tc3_request\n{}",
                        self.timestamp,
                        String::from_utf8_lossy(&sha256_hex(&canonical)),
                    );
                    let key = tc3_key(secret, date, service);
                    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
                    if signature.is_some_and(|signature| {
                        hmac::verify(&key, to_sign.as_bytes(), &signature).is_ok()
                    }) {
                        return Ok(());
                    }
                    explain.get_or_insert_with(|| Explain::new(&canonical, to_sign.as_bytes()));
                }
                Err(CloudSignatureError::Mismatch(explain.unwrap_or_default()))
            }
            Version::V1 { hash, signature } => {
                let to_sign = v1_string(request);
                let key = match hash {
                    V1Hash::Sha1 => hmac_sha1_key(secret.bytes()),
                    V1Hash::Sha256 => hmac::Key::new(hmac::HMAC_SHA256, secret.bytes()),
                };
                // A plus that was not escaped came in as a space.
                let signature = BASE64.decode(signature.replace(' ', "+"));
                match signature.is_ok_and(|tag| hmac::verify(&key, &to_sign, &tag).is_ok()) {
                    true => Ok(()),
                    false => Err(CloudSignatureError::Mismatch(Explain::new(b"", &to_sign))),
                }
            }
        }
    }
}

/// A header that may be given once, without the space around it.
fn header<'a, H: HeaderSource + ?Sized>(
    request: &CloudRequest<'a, H>,
    name: &'static str,
) -> Result<Option<&'a str>, CloudSignatureError> {
    let headers: &'a H = request.headers;
    let mut values = headers.values(name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Malformed(name));
    }
    let text = std::str::from_utf8(value).map_err(|_| Malformed(name))?.trim();
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn canonical_request<H: HeaderSource + ?Sized>(
    request: &CloudRequest<'_, H>,
    signed_headers: &str,
    lower: bool,
) -> Result<Vec<u8>, CloudSignatureError> {
    let mut out = format!("{}\n/\n{}\n", request.method, request.raw_query).into_bytes();
    let mut host_is_signed = false;
    for name in signed_headers.split(';') {
        let value = match name {
            "host" => {
                host_is_signed = true;
                request.host.as_bytes()
            }
            _ => request.headers.values(name).next().unwrap_or_default(),
        };
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        match lower {
            true => out.extend_from_slice(&value.trim_ascii().to_ascii_lowercase()),
            false => out.extend_from_slice(value.trim_ascii()),
        }
        out.push(b'\n');
    }
    if !host_is_signed {
        return Err(Malformed("SignedHeaders"));
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.as_bytes());
    out.push(b'\n');
    let unsigned = header(request, "x-tc-content-sha256")? == Some(UNSIGNED_PAYLOAD);
    match unsigned {
        true => out.extend_from_slice(&sha256_hex(UNSIGNED_PAYLOAD.as_bytes())),
        false => out.extend_from_slice(&sha256_hex(request.body)),
    }
    Ok(out)
}

fn tc3_key(secret: &Secret, date: &str, service: &str) -> hmac::Tag {
    let mut seed = Vec::with_capacity(3 + secret.bytes().len());
    seed.extend_from_slice(b"TC3");
    seed.extend_from_slice(secret.bytes());
    let mut tag = hmac_sha256(&seed, date.as_bytes());
    seed.fill(0);
    for step in [service, "tc3_request"] {
        tag = hmac_sha256(tag.as_ref(), step.as_bytes());
    }
    tag
}

/// Method, host, path and the sorted parameters, decoded.
fn v1_string<H: ?Sized>(request: &CloudRequest<'_, H>) -> Vec<u8> {
    let mut signed: Vec<(&str, &str)> = request
        .parameters
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_ref()))
        .filter(|(name, _)| *name != "Signature")
        .collect();
    signed.sort_unstable();
    let mut out = [request.method, request.host, request.raw_path, "?"].concat().into_bytes();
    for (at, (name, value)) in signed.into_iter().enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        // The SDKs sign `A_0` as `A.0`.
        out.extend(name.bytes().map(|byte| if byte == b'_' { b'.' } else { byte }));
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
    out
}
