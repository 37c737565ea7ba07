//! The one place that authenticates, before anything is looked up on a request's
//! behalf. Who may do what is the business of [`permission`](crate::permission).

use std::sync::Arc;

use costrel_core::account::{AccessKey, Account, Accounts, KeyError, UsedFor};
use costrel_signature::{CloudPresented, CloudRequest};
use costrel_signature::{Form, HeaderSource, RequestView, Secret, Verified, Verifier, parse};
use costrel_signature::{PostForm, Presented, PresentedPost, V4Presented, detect_post, parse_post};

use crate::aws::AwsFailure;
use crate::cloud::CloudFailure;
use crate::dialect::Dialect;
use crate::error::Failure;
use crate::oidc::{Bearer, BearerError, Documents, Keys};
use crate::ops::OpRow;
use crate::request::Outcome;

/// Knows the keys and judges signatures by them.
pub struct Authenticator {
    accounts: Arc<Accounts>,
    verifier: Verifier,
    provider_keys: Keys,
}

/// A request whose signature is good.
pub struct Authenticated {
    pub key: Arc<AccessKey>,
    pub verified: Verified,
}

impl Authenticator {
    pub fn new(accounts: Arc<Accounts>, documents: Arc<dyn Documents>) -> Authenticator {
        let provider_keys = Keys::new(documents);
        Authenticator { accounts, verifier: Verifier::default(), provider_keys }
    }

    pub(crate) fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// The account of this installation.
    pub fn account(&self) -> &Arc<Account> {
        self.accounts.account()
    }

    /// Who sent a signed request, by its signature. `now_ms` is milliseconds. `row`
    /// is what the request asks for, if anything.
    pub async fn authenticate<H: HeaderSource + Sync>(
        &self,
        request: &RequestView<'_, H>,
        row: Option<&OpRow>,
        now_ms: u64,
    ) -> Outcome<Authenticated> {
        let presented = parse(request)?;
        let Some(id) = presented.access_key_id() else {
            return Err(Failure::Anonymous);
        };
        let key = self.key(id, presented.security_token()).await?;
        let secret = signing_secret(&key);
        let now = (now_ms / 1000) as i64;
        let verified = self.verifier.verify(&presented, request, &secret, now)?;
        if let Some(row) = row.filter(|_| is_presigned_by_list(&presented)) {
            check_covers(&presented, request, row)?;
        }
        let dialect = dialect_of(presented.form()).unwrap_or(Dialect::S3);
        self.accounts.note_use(&key, used_for(dialect));
        Ok(Authenticated { key, verified })
    }

    /// Who sent a form, by the signature among its fields.
    pub async fn authenticate_post<'a, N: AsRef<str> + Sync, V: AsRef<str> + Sync>(
        &self,
        fields: &'a [(N, V)],
        now_ms: u64,
    ) -> Outcome<(Arc<AccessKey>, PresentedPost<'a>)> {
        let presented = parse_post(fields)?.ok_or(Failure::Anonymous)?;
        let key = self.key(presented.access_key_id, presented.security_token).await?;
        let secret = signing_secret(&key);
        self.verifier.verify_post(&presented, &secret, (now_ms / 1000) as i64)?;
        self.accounts.note_use(
            &key,
            match detect_post(fields) {
                PostForm::Cos => UsedFor::Cos,
                PostForm::S3V4 | PostForm::S3V2 | PostForm::Anonymous => UsedFor::S3,
            },
        );
        Ok((key, presented))
    }

    /// Who sent a request to Tencent Cloud API 3.0.
    pub(crate) async fn authenticate_cloud<H: HeaderSource + Sync>(
        &self,
        presented: &CloudPresented<'_>,
        request: &CloudRequest<'_, H>,
        now_ms: u64,
    ) -> Result<Arc<AccessKey>, CloudFailure> {
        let key = self.key(presented.secret_id, presented.token).await?;
        let secret = signing_secret(&key);
        presented.verify(request, &secret, (now_ms / 1000) as i64)?;
        let service = if presented.service == Some("sts") { UsedFor::Sts } else { UsedFor::Cam };
        self.accounts.note_use(&key, service);
        Ok(key)
    }

    /// Who sent a request to another service of AWS than S3.
    pub(crate) async fn authenticate_service<H: HeaderSource + Sync>(
        &self,
        service: &'static str,
        presented: &V4Presented<'_>,
        request: &RequestView<'_, H>,
        now_ms: u64,
    ) -> Result<Arc<AccessKey>, AwsFailure> {
        let key = self.key(presented.access_key_id, presented.security_token.as_deref()).await?;
        let (secret, now) = (signing_secret(&key), (now_ms / 1000) as i64);
        self.verifier.verify_service(service, presented, request, &secret, now)?;
        self.accounts.note_use(&key, if service == "sts" { UsedFor::Sts } else { UsedFor::Iam });
        Ok(key)
    }

    /// Who has brought a token of an identity provider.
    pub(crate) async fn authenticate_bearer(
        &self,
        token: &str,
        now_ms: u64,
    ) -> Result<Bearer, BearerError> {
        Bearer::of(token, &self.accounts, &self.provider_keys, now_ms).await
    }

    async fn key(&self, id: &str, token: Option<&str>) -> Outcome<Arc<AccessKey>> {
        self.accounts.find(id, token).await.map_err(|error| match error {
            KeyError::Unknown => Failure::UnknownKey(id.to_owned()),
            KeyError::UnknownToken => Failure::UnknownToken,
            KeyError::ExpiredToken => Failure::ExpiredToken,
            KeyError::Store(error) => error.into(),
        })
    }
}

/// Whether it is a URL to be passed on whose signature covers only what it lists.
/// S3's cover all that matters, and who sends a signature in a header holds the
/// key himself.
fn is_presigned_by_list(presented: &Presented<'_>) -> bool {
    matches!(presented.form(), Form::CosQuery | Form::CosMerged)
}

/// Headers that say who may use what is made, or keep it from being removed: by ACLs, by
/// tags that policies ask for, and by locks.
const OF_RIGHTS: [&str; 10] = [
    "x-cos-acl",
    "x-cos-grant-read",
    "x-cos-grant-write",
    "x-cos-grant-read-acp",
    "x-cos-grant-write-acp",
    "x-cos-grant-full-control",
    "x-cos-tagging",
    "x-cos-object-lock-mode",
    "x-cos-object-lock-retain-until-date",
    "x-cos-object-lock-legal-hold",
];

/// Whoever was given a URL must not make another request of it by adding what
/// its maker did not sign: a copy of any object in place of an upload, or an object
/// for everybody, or for ever, or the end of a version.
fn check_covers<H: HeaderSource>(
    presented: &Presented<'_>,
    request: &RequestView<'_, H>,
    row: &OpRow,
) -> Outcome<()> {
    const VERSION: &str = "versionid";
    let names_version = request.query.iter().any(|(name, _)| name.eq_ignore_ascii_case(VERSION));
    let version = names_version.then_some(VERSION);
    let parameters = row.query.iter().map(|param| param.name()).chain(version);
    let parameters = parameters.filter(|name| !presented.signs_parameter(name));
    let sent = |name: &&&str| request.headers.values(name).next().is_some();
    let of_rights = OF_RIGHTS.iter().filter(sent);
    let headers = row.headers.iter().chain(of_rights).copied();
    let headers = headers.filter(|name| !presented.signs_header(name));
    match parameters.chain(headers).next() {
        Some(name) => Err(Failure::NotSigned(name)),
        None => Ok(()),
    }
}

/// The key's secret in the form that signatures are made with.
fn signing_secret(key: &AccessKey) -> Secret {
    Secret::new(key.secret.expose())
}

fn used_for(dialect: Dialect) -> UsedFor {
    match dialect {
        Dialect::Cos => UsedFor::Cos,
        Dialect::S3 => UsedFor::S3,
    }
}

/// The dialect that a signature is spoken in.
pub fn dialect_of(form: Form) -> Option<Dialect> {
    match form {
        Form::CosHeader | Form::CosQuery | Form::CosMerged => Some(Dialect::Cos),
        Form::S3V4Header | Form::S3V4Query | Form::S3V2Header | Form::S3V2Query => {
            Some(Dialect::S3)
        }
        Form::Anonymous | Form::Unknown => None,
    }
}
