//! Tokens of identity providers by OpenID Connect: whoever brings one is who its issuer
//! says, as far as the account knows the issuer.
//!
//! Source: OpenID Connect Core, section 3.1.3.7, and OpenID Connect Discovery.

mod keys;

use costrel_core::Error;
use costrel_core::account::{Accounts, IdentityError, Provider, SessionTags};
use costrel_policy::{Claim, Fact};
use costrel_signature::{Token, TokenError};
use serde_json::{Map, Value};

use keys::KeyError;
pub(crate) use keys::Keys;
pub use keys::{Documents, FetchError};

/// Longest token in bytes. (AWS.)
pub(crate) const TOKEN_BYTES_MAX: usize = 20_000;

/// How far an issuer's clock may be ahead of ours, in seconds. A token that has expired
/// has expired.
const SKEW_S: u64 = 60;

/// Claims of what is to be said of whoever has the key that the token is worth. (AWS.)
const TAGS: &str = "https://aws.amazon.com/tags";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/source_identity";

/// Why a token is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BearerError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the token has {TOKEN_BYTES_MAX} bytes at most")]
    TooLong,
    #[error("the token's {0} is missing or malformed")]
    Claim(&'static str),
    #[error("no OpenID Connect provider is known for {0}")]
    UnknownIssuer(String),
    #[error("the token is for somebody else")]
    Audience,
    #[error("the token expired at {0}")]
    Expired(u64),
    #[error("the token is not good yet")]
    NotYet,
    /// What went wrong is for the log alone: it tells of what is behind a URL.
    #[error("the keys of the identity provider cannot be fetched: {0}")]
    Unreachable(FetchError),
    #[error(transparent)]
    Store(#[from] Error),
}

/// Whoever has brought a token that is good.
#[derive(Debug)]
pub(crate) struct Bearer {
    pub provider: Provider,
    claims: Map<String, Value>,
    audiences: Vec<String>,
    party: Option<String>,
    pub subject: String,
}

impl Bearer {
    /// Judges a token. What it says of its issuer only chooses whose keys it must be
    /// signed with.
    pub async fn of(
        token: &str,
        accounts: &Accounts,
        keys: &Keys,
        now_ms: u64,
    ) -> Result<Bearer, BearerError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(BearerError::TooLong);
        }
        let token = Token::parse(token)?;
        let issuer = text(token.claims(), "iss")?.ok_or(BearerError::Claim("iss"))?;
        let provider = match accounts.provider_of_issuer(issuer).await {
            Ok(provider) => provider,
            Err(IdentityError::Store(error)) => return Err(error.into()),
            Err(other) => return Err(Error::Internal(other.to_string()).into()),
        };
        let provider = provider.ok_or_else(|| BearerError::UnknownIssuer(issuer.to_owned()))?;
        // Before anything is fetched for it.
        let bearer = Bearer::read(token.claims().clone(), provider, now_ms / 1000)?;
        keys.verify(&token, &bearer.provider, now_ms).await.map_err(|error| match error {
            KeyError::Token(error) => BearerError::Token(error),
            KeyError::Fetch(error) => BearerError::Unreachable(error),
        })?;
        Ok(bearer)
    }

    /// Judges what a token says.
    fn read(
        claims: Map<String, Value>,
        provider: Provider,
        now_s: u64,
    ) -> Result<Bearer, BearerError> {
        let expires_s = time(&claims, "exp")?.ok_or(BearerError::Claim("exp"))?;
        if expires_s <= now_s {
            return Err(BearerError::Expired(expires_s));
        }
        let issued_s = time(&claims, "iat")?.ok_or(BearerError::Claim("iat"))?;
        let begins_s = time(&claims, "nbf")?.unwrap_or(issued_s);
        if issued_s.max(begins_s) > now_s + SKEW_S {
            return Err(BearerError::NotYet);
        }
        let subject = text(&claims, "sub")?.filter(|subject| !subject.is_empty());
        let subject = subject.ok_or(BearerError::Claim("sub"))?.to_owned();
        let party = text(&claims, "azp")?.map(str::to_owned);
        let audiences = texts(&claims, "aud")?.ok_or(BearerError::Claim("aud"))?;
        // Who asked for the token is whom it is for, if it says who that is. (AWS.)
        let is_known = |id: &String| provider.clients.contains(id);
        let known = match &party {
            Some(party) => is_known(party),
            None => audiences.iter().any(is_known),
        };
        match known {
            true => Ok(Bearer { provider, claims, audiences, party, subject }),
            false => Err(BearerError::Audience),
        }
    }

    /// Whom the token is for.
    pub fn audience(&self) -> &str {
        let first = self.audiences.iter().find(|id| self.provider.clients.contains(id));
        self.party.as_ref().or(first).map_or("", String::as_str)
    }

    /// What is to be said of whoever has the key that the token is worth. A tag has one
    /// value, in a list.
    pub fn said(&self) -> Result<SessionTags, BearerError> {
        let mut said = SessionTags {
            source_identity: text(&self.claims, SOURCE_IDENTITY)?.unwrap_or_default().to_owned(),
            ..SessionTags::default()
        };
        let wrong = || BearerError::Claim(TAGS);
        let Some(tags) = self.claims.get(TAGS) else { return Ok(said) };
        let tags = tags.as_object().ok_or_else(wrong)?;
        if let Some(given) = tags.get("principal_tags") {
            for (name, values) in given.as_object().ok_or_else(wrong)? {
                let values = values.as_array().map(Vec::as_slice);
                let Some([Value::String(value)]) = values else { return Err(wrong()) };
                said.tags.insert(name.clone(), value.clone());
            }
        }
        if let Some(names) = tags.get("transitive_tag_keys") {
            let names = names.as_array().ok_or_else(wrong)?.iter();
            let names = names.map(|name| name.as_str().map(str::to_owned));
            said.transitive = names.collect::<Option<_>>().ok_or_else(wrong)?;
        }
        Ok(said)
    }

    /// What a trust policy is told. A condition on another issuer's tokens is about
    /// nothing that is there.
    pub fn fact(&self, issuer: Option<&str>, claim: Claim) -> Fact<'_> {
        if issuer.is_some_and(|issuer| issuer != self.provider.place()) {
            return Fact::Absent;
        }
        let several = |texts: &[String]| match texts {
            [one] => Fact::text(one.clone()),
            texts => Fact::Many(texts.iter().map(|text| text.clone().into()).collect()),
        };
        match (claim, &self.party) {
            (Claim::Issuer, _) => Fact::text(self.provider.url.as_str()),
            (Claim::Subject, _) => Fact::text(self.subject.as_str()),
            (Claim::Audience | Claim::AuthorizedParty, Some(party)) => Fact::text(party.as_str()),
            (Claim::OriginalAudience, Some(_)) | (Claim::Audience, None) => {
                several(&self.audiences)
            }
            (Claim::OriginalAudience | Claim::AuthorizedParty, None) => Fact::Absent,
            (Claim::Methods, _) => match texts(&self.claims, "amr") {
                Ok(Some(methods)) => Fact::Many(methods.into_iter().map(Into::into).collect()),
                Ok(None) => Fact::Absent,
                Err(_) => Fact::Unknown,
            },
        }
    }
}

fn text<'a>(
    claims: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, BearerError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(BearerError::Claim(name)),
    }
}

/// One text or several, but not none.
fn texts(
    claims: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<Vec<String>>, BearerError> {
    let one = |value: &Value| value.as_str().map(str::to_owned);
    let read = match claims.get(name) {
        None => return Ok(None),
        Some(Value::Array(list)) if !list.is_empty() => list.iter().map(one).collect(),
        Some(value) => one(value).map(|text| vec![text]),
    };
    read.map(Some).ok_or(BearerError::Claim(name))
}

/// Seconds since the Unix epoch, perhaps with a fraction.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, BearerError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..1e15).contains(seconds));
    seconds.map(|seconds| Some(seconds as u64)).ok_or(BearerError::Claim(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW_S: u64 = 1_767_323_045;

    fn provider() -> Provider {
        Provider {
            url: "https://token.example.com/a".into(),
            name: String::new(),
            description: String::new(),
            clients: vec!["us".into(), "us too".into()],
            thumbprints: Vec::new(),
            created_ms: 0,
            labels: Default::default(),
            keys: Default::default(),
        }
    }

    fn claims() -> Value {
        json!({"iss": "https://token.example.com/a", "sub": "s", "aud": "us",
               "iat": NOW_S, "exp": NOW_S + 1})
    }

    fn read(claims: &Value) -> Result<Bearer, BearerError> {
        Bearer::read(claims.as_object().unwrap().clone(), provider(), NOW_S)
    }

    fn with(name: &str, value: Value) -> Result<Bearer, BearerError> {
        let mut claims = claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        read(&claims)
    }

    #[test]
    fn what_must_be_in_a_token() {
        assert!(read(&claims()).is_ok());
        let wrong = [
            (
                "exp",
                vec![json!(null), json!("9999999999"), json!(-1), json!([NOW_S + 1]), json!(1e300)],
            ),
            ("iat", vec![json!(null), json!("1"), json!({})]),
            ("nbf", vec![json!("1"), json!(true)]),
            ("sub", vec![json!(null), json!(""), json!(1), json!(["s"])]),
            ("aud", vec![json!(null), json!([]), json!(1), json!(["us", 1])]),
            ("azp", vec![json!(1), json!(["us"])]),
        ];
        for (name, values) in wrong {
            for value in values {
                let read = with(name, value.clone());
                assert!(
                    matches!(read, Err(BearerError::Claim(of)) if of == name),
                    "{name} {value}"
                );
            }
        }
    }

    #[test]
    fn times_are_ours() {
        assert!(matches!(with("exp", json!(NOW_S)), Err(BearerError::Expired(_))));
        assert!(with("exp", json!(NOW_S as f64 + 1.5)).is_ok());
        for name in ["iat", "nbf"] {
            assert!(with(name, json!(NOW_S + SKEW_S)).is_ok(), "{name}");
            let early = with(name, json!(NOW_S + SKEW_S + 1));
            assert!(matches!(early, Err(BearerError::NotYet)), "{name}");
        }
    }

    #[test]
    fn a_token_is_for_us_or_for_nobody_here() {
        for (aud, azp, yes) in [
            (json!("us"), json!(null), true),
            (json!(["them", "us"]), json!(null), true),
            (json!("them"), json!(null), false),
            (json!("u"), json!(null), false),
            (json!("them"), json!("us"), true),
            (json!("us"), json!("them"), false),
        ] {
            let mut claims = claims();
            claims["aud"] = aud.clone();
            if !azp.is_null() {
                claims["azp"] = azp.clone();
            }
            match read(&claims) {
                Ok(_) => assert!(yes, "{aud} {azp}"),
                Err(error) => assert!(!yes && matches!(error, BearerError::Audience), "{error}"),
            }
        }
    }

    #[test]
    fn what_trust_policies_are_told() {
        let mut said = claims();
        said["aud"] = json!(["them", "us"]);
        said["amr"] = json!(["pwd", "mfa"]);
        let bearer = read(&said).unwrap();
        let place = Some("token.example.com/a");
        let many =
            |texts: &[&'static str]| Fact::Many(texts.iter().map(|text| (*text).into()).collect());
        assert_eq!(bearer.fact(place, Claim::Audience), many(&["them", "us"]));
        assert_eq!(bearer.fact(place, Claim::OriginalAudience), Fact::Absent);
        assert_eq!(bearer.fact(place, Claim::Methods), many(&["pwd", "mfa"]));
        assert_eq!(bearer.fact(place, Claim::Subject), Fact::text("s"));
        assert_eq!(bearer.fact(None, Claim::Issuer), Fact::text("https://token.example.com/a"));
        assert_eq!(bearer.fact(Some("token.example.com"), Claim::Subject), Fact::Absent);
        assert_eq!(bearer.audience(), "us");
        said["azp"] = json!("us too");
        let bearer = read(&said).unwrap();
        assert_eq!(bearer.fact(place, Claim::Audience), Fact::text("us too"));
        assert_eq!(bearer.fact(place, Claim::OriginalAudience), many(&["them", "us"]));
        assert_eq!(bearer.audience(), "us too");
    }
}
