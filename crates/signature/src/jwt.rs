//! JSON Web Tokens of identity providers: taking one apart, and checking its signature
//! by the provider's published keys (RFC 7515, 7517, 7518 and 7519).
//!
//! An algorithm is one of those below, all of them with public keys, and a key is of one
//! kind, so that neither a token without a signature nor one that is "signed" with a
//! public key as a shared secret is ever taken. What the claims mean is not judged here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde_json::{Map, Value};

/// Most keys of a provider that are looked at.
const KEYS_MAX: usize = 64;

/// Why a token is not taken for its presumed issuer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    #[error("the token is not signed by RS256, RS384, RS512, ES256 or ES384")]
    Algorithm,
    /// None that could have signed it is among the keys.
    #[error("the token is signed with an unknown key")]
    UnknownKey,
    #[error("the token's signature does not match")]
    Mismatch,
}

/// A document that does not hold a set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the document is no JWK set")]
pub struct KeySetError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
}

impl Algorithm {
    fn named(name: &str) -> Option<Algorithm> {
        Some(match name {
            "RS256" => Algorithm::Rs256,
            "RS384" => Algorithm::Rs384,
            "RS512" => Algorithm::Rs512,
            "ES256" => Algorithm::Es256,
            "ES384" => Algorithm::Es384,
            _ => return None,
        })
    }
}

/// A token taken apart, whose signature [`Token::verify`] checks: until then anybody may
/// have written it.
#[derive(Debug)]
pub struct Token<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    claims: Map<String, Value>,
    /// What is signed: header and claims as they came.
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    pub fn parse(text: &'a str) -> Result<Token<'a>, TokenError> {
        let (signed, signature) =
            text.rsplit_once('.').ok_or(TokenError::Malformed("it has not three parts"))?;
        let (header, claims) = signed
            .split_once('.')
            .filter(|(_, claims)| !claims.contains('.'))
            .ok_or(TokenError::Malformed("it has not three parts"))?;
        let header = object(header).ok_or(TokenError::Malformed("its header"))?;
        let claims = object(claims).ok_or(TokenError::Malformed("its claims"))?;
        let signature =
            BASE64.decode(signature).map_err(|_| TokenError::Malformed("its signature"))?;
        // Whoever wrote that wants something understood that is not known here.
        if header.contains_key("crit") {
            return Err(TokenError::Malformed("it has a critical extension"));
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::named);
        let algorithm = algorithm.ok_or(TokenError::Algorithm)?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(TokenError::Malformed("its key id")),
        };
        Ok(Token { algorithm, key_id, claims, signed, signature })
    }

    /// What it says.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Whether one of the keys has signed it: the one that it names, or any that fits.
    pub fn verify(&self, keys: &KeySet) -> Result<(), TokenError> {
        let mut error = TokenError::UnknownKey;
        for key in keys.0.iter().filter(|key| key.may_sign(self)) {
            match key.has_signed(self) {
                true => return Ok(()),
                false => error = TokenError::Mismatch,
            }
        }
        Err(error)
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&BASE64.decode(part).ok()?).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// A provider's public keys.
#[derive(Debug)]
pub struct KeySet(Vec<PublicKey>);

#[derive(Debug)]
struct PublicKey {
    id: Option<String>,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed points.
    P256(Vec<u8>),
    P384(Vec<u8>),
}

impl KeySet {
    /// Reads a JWK set. Keys that are for something else, of another kind, or malformed
    /// are passed over: a provider may publish them beside those that are of use.
    pub fn parse(document: &[u8]) -> Result<KeySet, KeySetError> {
        let document: Value = serde_json::from_slice(document).map_err(|_| KeySetError)?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or(KeySetError)?;
        Ok(KeySet(keys.iter().take(KEYS_MAX).filter_map(PublicKey::read).collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PublicKey {
    fn read(json: &Value) -> Option<PublicKey> {
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let number = |name: &str| BASE64.decode(text(name)?).ok();
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let verifies = |operations: &Value| {
            operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"))
        };
        if !json.get("key_ops").is_none_or(verifies) {
            return None;
        }
        let point = |bytes: usize| {
            let (x, y) = (number("x")?, number("y")?);
            (x.len() == bytes && y.len() == bytes).then(|| [&[4][..], &x, &y].concat())
        };
        let kind = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                Kind::Rsa { n: without_zeros(number("n")?), e: without_zeros(number("e")?) }
            }
            ("EC", Some("P-256")) => Kind::P256(point(32)?),
            ("EC", Some("P-384")) => Kind::P384(point(48)?),
            _ => return None,
        };
        let owned = |name: &str| text(name).map(str::to_owned);
        Some(PublicKey { id: owned("kid"), algorithm: owned("alg"), kind })
    }

    fn may_sign(&self, token: &Token<'_>) -> bool {
        let is_for = |name: &String| Algorithm::named(name) == Some(token.algorithm);
        let of_kind = matches!(
            (&self.kind, token.algorithm),
            (Kind::Rsa { .. }, Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512)
                | (Kind::P256(_), Algorithm::Es256)
                | (Kind::P384(_), Algorithm::Es384)
        );
        of_kind
            && self.algorithm.as_ref().is_none_or(is_for)
            && token.key_id.as_ref().is_none_or(|id| self.id.as_ref() == Some(id))
    }

    fn has_signed(&self, token: &Token<'_>) -> bool {
        let (message, signature) = (token.signed.as_bytes(), &token.signature);
        let verified =
            match &self.kind {
                Kind::Rsa { n, e } => {
                    let how: &RsaParameters = match token.algorithm {
                        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
                        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
                        Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
                        Algorithm::Es256 | Algorithm::Es384 => return false,
                    };
                    RsaPublicKeyComponents { n, e }.verify(how, message, signature)
                }
                Kind::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature),
                Kind::P384(point) => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
                    .verify(message, signature),
            };
        verified.is_ok()
    }
}

/// Numbers begin with what they are worth; some providers pad them.
fn without_zeros(bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes[zeros..].to_vec()
}
