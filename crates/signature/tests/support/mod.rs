//! Requests written as text, and their verification.
#![allow(dead_code)]

use costrel_signature::encode::parse_query;
use costrel_signature::{
    Form, ParseError, Payload, Presented, RequestView, Secret, Verified, Verifier, VerifyError,
    detect, parse,
};

/// A request as it comes over the wire.
#[derive(Clone, Debug)]
pub struct Wire {
    pub method: String,
    pub target: String,
    pub host: String,
    pub bucket: Option<String>,
    pub headers: Vec<(String, String)>,
}

/// Either failure of the two stages.
#[derive(Debug, PartialEq)]
pub enum Refused {
    Parse(ParseError),
    Verify(VerifyError),
}

impl Refused {
    pub fn is_mismatch(&self) -> bool {
        matches!(self, Refused::Verify(VerifyError::Mismatch(_)))
    }
}

impl Wire {
    pub fn new(method: &str, host: &str, target: &str) -> Self {
        Wire {
            method: method.into(),
            target: target.into(),
            host: host.into(),
            bucket: None,
            headers: Vec::new(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn bucket(mut self, bucket: &str) -> Self {
        self.bucket = Some(bucket.into());
        self
    }

    /// Calls with the view of this request.
    pub fn view<R>(&self, call: impl FnOnce(&RequestView<'_, [(&str, &str)]>) -> R) -> R {
        let (raw_path, raw_query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let query = parse_query(raw_query).expect("a query that can be decoded");
        call(&RequestView {
            method: &self.method,
            raw_path,
            query: &query,
            headers: headers.as_slice(),
            host: &self.host,
            bucket_in_host: self.bucket.as_deref(),
        })
    }

    // `detect` itself is not general enough over the lifetimes of the headers.
    #[allow(clippy::redundant_closure)]
    pub fn form(&self) -> Form {
        self.view(|view| detect(view))
    }

    pub fn parsed<R>(&self, look: impl FnOnce(&Presented<'_>) -> R) -> Result<R, ParseError> {
        self.view(|view| parse(view).map(|presented| look(&presented)))
    }

    pub fn full(&self, secret: &str, now: i64) -> Result<Verified, Refused> {
        self.view(|view| {
            let presented = parse(view).map_err(Refused::Parse)?;
            assert_eq!(presented.form(), detect(view));
            Verifier::default()
                .verify(&presented, view, &Secret::new(secret), now)
                .map_err(Refused::Verify)
        })
    }

    pub fn verify(&self, secret: &str, now: i64) -> Result<Payload, Refused> {
        self.full(secret, now).map(|verified| verified.payload)
    }

    pub fn assert_mismatch(&self, secret: &str, now: i64) {
        let refused = self.verify(secret, now).expect_err("must not verify");
        assert!(refused.is_mismatch(), "{refused:?}");
    }
}
