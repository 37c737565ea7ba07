//! Tencent Cloud API 3.0: the services beside COS that its users call, by the same
//! keys and at the same address. All requests go to `/`, and an action says what
//! they want; all answers are JSON with status 200, failures too, since the SDKs
//! look no further at any other.
//!
//! Source: the guides of the API ("Calling method", "Return result") and
//! tencentcloud-sdk-python.

mod billing;
mod call;
mod cam;
mod failure;
mod listing;
mod monitor;
mod sts;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use costrel_core::Store;
use costrel_core::account::{AccessKey, Accounts};
use costrel_policy::Action as PolicyAction;
use costrel_signature::encode::parse_query;
use costrel_signature::{CloudPresented, CloudRequest, CloudSignatureError};
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::auth::Authenticator;
use crate::body::{Incoming, ResponseBody};
use crate::error::Failure;
use crate::observe::{Notes, Outcome};
use crate::permission;
use crate::reply::{self, Reply};
use crate::request::{ConnectionInfo, text};
use call::Call;
pub(crate) use failure::CloudFailure;
use listing::Listing;

const DOMAIN: &str = ".tencentcloudapi.com";
pub(crate) const HEADER_ACTION: &str = "x-tc-action";
/// In place of a signature.
const UNSIGNED: &str = "SKIP";
const FORM_TYPE: &str = "application/x-www-form-urlencoded";

/// Longest body. It has to be read before it is known who sent it.
const BODY_BYTES_MAX: usize = 128 << 10;

/// A service of the API.
pub struct Service {
    /// In host names and in the scope of signatures.
    pub name: &'static str,
    pub version: &'static str,
    pub actions: &'static [Action],
}

/// Something that a service does.
pub struct Action {
    pub name: &'static str,
    /// What policies call it; absent if whoever has a key may do it.
    permission: Option<&'static str>,
    /// Names of its parameters.
    parameters: &'static [&'static str],
    answer: Answer,
}

/// Something that is known and not done.
const fn not_yet(name: &'static str) -> Action {
    Action { name, permission: None, parameters: &[], answer: Answer::NotYet }
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An action of a service by its name in policies.
pub(crate) fn action_named(name: &str) -> Option<PolicyAction> {
    let name = name.strip_prefix("name/").unwrap_or(name);
    let permissions = SERVICES.iter().flat_map(|service| service.actions);
    let mut permissions = permissions.filter_map(|action| action.permission);
    let known = permissions.find(|known| known.strip_prefix("name/") == Some(name));
    known.map(|known| permission::Named::of_cam(known).action)
}

impl Action {
    pub fn implemented(&self) -> bool {
        !matches!(self.answer, Answer::NotYet)
    }
}

type Answered = Result<Map<String, Value>, CloudFailure>;
type Listed = for<'a> fn(&'a Asked<'a>) -> BoxFuture<'a, Result<Listing, CloudFailure>>;
type Signed = for<'a> fn(&'a Asked<'a>) -> BoxFuture<'a, Answered>;

/// What answers an action.
enum Answer {
    NotYet,
    /// Somebody's who has signed.
    Signed(Signed),
    /// The same, with a list of any length.
    Listed(Listed),
    /// Anybody's, who proves otherwise who he is.
    Anybody(for<'a> fn(&'a Unsigned<'a>) -> BoxFuture<'a, Answered>),
}

/// What an action is asked for with, and by whom.
struct Asked<'a> {
    store: &'a Store,
    accounts: &'a Arc<Accounts>,
    key: &'a AccessKey,
    call: &'a Call<'a>,
    connection: ConnectionInfo,
    now_ms: u64,
    notes: &'a Notes,
}

/// What an action is asked for with by whoever has no key.
struct Unsigned<'a> {
    authenticator: &'a Authenticator,
    call: &'a Call<'a>,
    connection: ConnectionInfo,
    now_ms: u64,
    notes: &'a Notes,
}

/// All services of which something is known.
pub const SERVICES: [&Service; 4] =
    [&sts::SERVICE, &cam::SERVICE, &monitor::SERVICE, &billing::SERVICE];

/// Whether a request is one to this API, and not to COS or S3: by its host, by its
/// headers, or as a form at the root, where the others have no forms.
pub(crate) fn is_addressed(parts: &Parts, host: Option<&str>) -> bool {
    if service_in(host).is_some() || parts.headers.contains_key(HEADER_ACTION) {
        return true;
    }
    let signed = text(&parts.headers, &header::AUTHORIZATION).filter(|value| !value.is_empty());
    match signed {
        Some(value) => value.starts_with("TC3-"),
        None if parts.uri.path() != "/" => false,
        None if parts.method == Method::POST => is_form(&parts.headers),
        None => {
            let query = parts.uri.query().unwrap_or_default();
            let names = query.split('&').map(|pair| pair.split('=').next());
            names.filter(|name| matches!(name, Some("Action" | "SecretId"))).count() == 2
        }
    }
}

/// The service that a host name of the vendor's stands for:
/// `sts.tencentcloudapi.com`, `sts.ap-beijing.tencentcloudapi.com`.
pub(crate) fn service_in(host: Option<&str>) -> Option<&str> {
    let host = host?.split(':').next()?;
    let front = host.len().checked_sub(DOMAIN.len())?;
    let (labels, domain) = (host.get(..front)?, host.get(front..)?);
    domain.eq_ignore_ascii_case(DOMAIN).then(|| labels.split('.').next()).flatten()
}

pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    text(headers, &header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case(FORM_TYPE)
    })
}

/// Answers a request. `request_id` goes into the answer.
pub(crate) async fn serve(
    authenticator: &Authenticator,
    store: &Store,
    (parts, host, connection): (&Parts, Option<&str>, ConnectionInfo),
    incoming: &mut Incoming,
    request_id: &str,
    notes: &Notes,
) -> (Reply, Outcome) {
    let mut outcome = Outcome::default();
    let asked = (parts, host, connection);
    let noted = (&mut outcome, notes);
    let answered = answer(authenticator, store, asked, incoming, noted).await;
    let told = match answered {
        Ok(Told::Fields(fields)) => Ok(document(fields, request_id)),
        Ok(Told::Listing(listing)) => listing.body(request_id).await.map_err(CloudFailure::from),
        Err(failure) => Err(failure),
    };
    let body = told.unwrap_or_else(|failure| {
        outcome.refused = failure.is_refusal();
        outcome.code = Some(failure.code());
        outcome.failure = Some(failure.to_string());
        let error = json!({ "Code": failure.code(), "Message": failure.message() });
        document(object([("Error", error)]), request_id)
    });
    let mut reply = reply::with_body(StatusCode::OK, body);
    // To the letter: the Python SDK overlooks errors in any other type.
    let kind = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    if !incoming.drain(&parts.headers).await {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    (reply, outcome)
}

/// What is told to whoever asks.
enum Told {
    Fields(Map<String, Value>),
    Listing(Listing),
}

fn document(mut fields: Map<String, Value>, request_id: &str) -> ResponseBody {
    fields.insert("RequestId".to_owned(), request_id.into());
    let document = json!({ "Response": fields }).to_string();
    ResponseBody::memory(Bytes::from(document))
}

async fn answer(
    authenticator: &Authenticator,
    store: &Store,
    (parts, host, connection): (&Parts, Option<&str>, ConnectionInfo),
    incoming: &mut Incoming,
    (outcome, notes): (&mut Outcome, &Notes),
) -> Result<Told, CloudFailure> {
    if parts.uri.path() != "/" {
        return Err(CloudFailure::BadRequest("the path of a request is /"));
    }
    let body = match parts.method {
        Method::POST => read(incoming).await?,
        Method::GET => Bytes::new(),
        _ => return Err(CloudFailure::BadRequest("only GET and POST are supported")),
    };
    let raw_query = parts.uri.query().unwrap_or_default();
    let in_form = parts.method == Method::POST && is_form(&parts.headers);
    let form = match in_form {
        true => std::str::from_utf8(&body).map_err(|_| CloudFailure::NotUtf8)?,
        false => raw_query,
    };
    let parameters = parse_query(form).map_err(|_| CloudFailure::NotUtf8)?;
    let in_json = parts.method == Method::POST && !in_form;
    let call = match in_json {
        true => Call::from_json(&parts.headers, &body),
        false => Ok(Call::from_pairs(&parts.headers, &parameters)),
    };
    let now_ms = store.now_ms();
    if text(&parts.headers, &header::AUTHORIZATION) == Some(UNSIGNED) {
        let call = call?;
        let action = named(None, host, &call, outcome)?;
        let Answer::Anybody(answer) = action.answer else {
            return Err(CloudSignatureError::Anonymous.into());
        };
        notes.about(call.about());
        call.refuse_unknown(action.parameters)?;
        let unsigned = Unsigned { authenticator, call: &call, connection, now_ms, notes };
        return answer(&unsigned).await.map(Told::Fields);
    }
    let request = CloudRequest {
        method: parts.method.as_str(),
        raw_path: parts.uri.path(),
        raw_query,
        headers: &parts.headers,
        host: host.unwrap_or_default(),
        body: &body,
        parameters: &parameters,
    };
    let presented = CloudPresented::parse(&request);
    if let Ok(call) = &call {
        // Noted whoever asks, and though he be nobody.
        let scope = presented.as_ref().ok().and_then(|presented| presented.service);
        named(scope, host, call, outcome).ok();
    }
    let presented = presented?;
    outcome.access_key_id = Some(presented.secret_id.to_owned());
    let key = authenticator.authenticate_cloud(&presented, &request, now_ms).await?;
    notes.caller(&key);

    let call = call?;
    notes.about(call.about());
    let action = named(presented.service, host, &call, outcome)?;
    if matches!(action.answer, Answer::NotYet) {
        return Err(CloudFailure::NotImplemented(action.name));
    }
    call.refuse_unknown(action.parameters)?;
    let permitted = |name| {
        let named = permission::Named::of_cam(name);
        let judged = permission::judge_action(&key, named, connection, now_ms);
        let allowed = judged.allowed;
        notes.judged(judged);
        allowed
    };
    if !action.permission.is_none_or(permitted) {
        return Err(CloudFailure::Denied(action.name));
    }
    let accounts = authenticator.accounts();
    let asked = Asked { store, accounts, key: &key, call: &call, connection, now_ms, notes };
    match action.answer {
        Answer::NotYet => Err(CloudFailure::NotImplemented(action.name)),
        Answer::Signed(answer) => answer(&asked).await.map(Told::Fields),
        Answer::Listed(answer) => answer(&asked).await.map(Told::Listing),
        // Who signs it is nobody's business: what he brings says who asks.
        Answer::Anybody(answer) => {
            let unsigned = Unsigned { authenticator, call: &call, connection, now_ms, notes };
            answer(&unsigned).await.map(Told::Fields)
        }
    }
}

/// The action that is meant, which is noted.
fn named(
    scope: Option<&str>,
    host: Option<&str>,
    call: &Call<'_>,
    outcome: &mut Outcome,
) -> Result<&'static Action, CloudFailure> {
    let service = service_of(scope, host, call)?;
    outcome.service = Some(service.name);
    let action = call.action()?;
    let named = service.actions.iter().find(|known| known.name == action);
    let action = named.ok_or_else(|| CloudFailure::InvalidAction(action.into_owned()))?;
    outcome.operation = action.name;
    Ok(action)
}

/// The service that is meant: what the signature is scoped to, else what the host
/// stands for, else the one that has the version.
fn service_of(
    scope: Option<&str>,
    host: Option<&str>,
    call: &Call<'_>,
) -> Result<&'static Service, CloudFailure> {
    let version = call.version()?;
    let service = match scope.or(service_in(host)) {
        Some(name) => SERVICES
            .into_iter()
            .find(|service| service.name == name)
            .ok_or_else(|| CloudFailure::NoSuchProduct(name.to_owned()))?,
        None => SERVICES
            .into_iter()
            .find(|service| service.version == version)
            .ok_or(CloudFailure::NoSuchVersion)?,
    };
    match service.version == version {
        true => Ok(service),
        false => Err(CloudFailure::NoSuchVersion),
    }
}

async fn read(incoming: &mut Incoming) -> Result<Bytes, CloudFailure> {
    incoming.collect(BODY_BYTES_MAX).await.map_err(|failure| match failure {
        Failure::Xml(_) => CloudFailure::TooLarge { max: BODY_BYTES_MAX },
        other => other.into(),
    })
}

/// The SDKs let actions begin with a capital whatever they are given.
fn capitalized(action: &str) -> Cow<'_, str> {
    match action.chars().next() {
        Some(first) if first.is_ascii_lowercase() => {
            Cow::Owned([&first.to_ascii_uppercase().to_string(), &action[1..]].concat())
        }
        _ => Cow::Borrowed(action),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addressed(method: &str, target: &str, host: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        is_addressed(&request.body(()).unwrap().into_parts().0, Some(host))
    }

    #[test]
    fn the_host_names_a_service() {
        for (host, service) in [
            ("sts.tencentcloudapi.com", Some("sts")),
            ("STS.TencentCloudAPI.com:443", Some("STS")),
            ("monitor.ap-beijing.tencentcloudapi.com", Some("monitor")),
            ("tencentcloudapi.com", None),
            ("example.com", None),
            ("é.tencentcloudapi.com", Some("é")),
        ] {
            assert_eq!(service_in(Some(host)), service, "{host}");
        }
    }

    #[test]
    fn requests_to_the_other_services_are_left_alone() {
        let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let local = "127.0.0.1:9000";
        assert!(addressed("POST", "/", "cam.tencentcloudapi.com", &[]));
        assert!(addressed("POST", "/", local, &[("x-tc-action", "GetCallerIdentity")]));
        assert!(addressed("POST", "/", local, &[("authorization", "TC3-HMAC-SHA256 x")]));
        assert!(addressed("POST", "/", local, &[form]));
        assert!(addressed("GET", "/?Action=A&SecretId=B", local, &[]));
        assert!(!addressed("GET", "/?Action=A", local, &[]));
        assert!(!addressed("GET", "/", local, &[]));
        assert!(!addressed("POST", "/bucket", local, &[form]));
        assert!(!addressed("POST", "/", local, &[form, ("authorization", "AWS4-HMAC-SHA256 x")]));
    }

    #[test]
    fn actions_are_known_by_their_name_alone() {
        for service in SERVICES {
            let mut names: Vec<_> = service.actions.iter().map(|action| action.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), service.actions.len(), "{}", service.name);
            for action in service.actions {
                let Some(permission) = action.permission else { continue };
                // Policies have the billing center under a name of its own.
                let name = if service.name == "billing" { "finance" } else { service.name };
                assert_eq!(permission, format!("name/{name}:{}", action.name));
            }
        }
        assert_eq!(capitalized("getCallerIdentity"), "GetCallerIdentity");
        assert_eq!(capitalized("é"), "é");
    }
}
