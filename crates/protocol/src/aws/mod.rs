//! The services of AWS beside S3 that its clients call with the same keys and, here, at
//! the same address: an action and its parameters in a form, an answer in XML. Which
//! service is meant, the signature's scope says, or the version in a form that is not
//! signed.
//!
//! Source: "Query API" in the references of AWS STS and IAM, and botocore's models of
//! both.

mod call;
mod failure;
pub(crate) mod iam;
mod sts;
mod tree;

use bytes::Bytes;
use costrel_core::account::{AccessKey, Accounts, SessionTags};
use costrel_policy::Action as PolicyAction;
use costrel_signature::encode::parse_query;
use costrel_signature::{RequestView, V4Presented};
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, Method, header};
use ring::digest::{SHA256, digest};

use crate::auth::Authenticator;
use crate::body::Incoming;
use crate::cloud;
use crate::error::Failure;
use crate::observe::{Notes, Outcome};
use crate::permission;
use crate::reply::{self, Reply};
use crate::request::{ConnectionInfo, text};
use call::Call;
pub(crate) use failure::AwsFailure;
use tree::Fields;

/// Longest body. It has to be read before it is known who sent it.
const BODY_BYTES_MAX: usize = 128 << 10;

/// A service of AWS.
pub(crate) struct Service {
    /// In the scope of signatures.
    pub name: &'static str,
    pub version: &'static str,
    pub namespace: &'static str,
    pub actions: &'static [Action],
}

/// Something that a service does.
pub(crate) struct Action {
    pub name: &'static str,
    /// Elements of its answer: all of it, and what it tells.
    response: &'static str,
    result: &'static str,
    /// What policies call it; absent if whoever has a key may do it, or if the action
    /// asks by itself.
    permission: Option<PolicyAction>,
    /// Names of its parameters, as far as the first dot.
    parameters: &'static [&'static str],
    answer: Answer,
}

/// An action of a service by its name in policies.
pub(crate) fn action_named(name: &str) -> Option<PolicyAction> {
    let permissions = SERVICES.iter().flat_map(|service| service.actions);
    let mut known = permissions.filter_map(|action| action.permission);
    known.find(|known| known.iam.eq_ignore_ascii_case(name) || known.cam == name)
}

impl Action {
    pub fn implemented(&self) -> bool {
        !matches!(self.answer, Answer::NotYet)
    }
}

/// What an action tells; `None` if it only says that it was done.
type Answered = Result<Option<Fields>, AwsFailure>;

/// What answers an action.
enum Answer {
    NotYet,
    /// Somebody's who has signed.
    Signed(for<'a> fn(&'a Asked<'a>) -> BoxFuture<'a, Answered>),
    /// Anybody's, who proves otherwise who he is.
    Anybody(for<'a> fn(&'a Unsigned<'a>) -> BoxFuture<'a, Answered>),
}

/// An action with the names that follow from its own.
macro_rules! action {
    ($name:literal, $permission:expr, $parameters:expr, $answer:expr) => {
        $crate::aws::Action {
            name: $name,
            response: concat!($name, "Response"),
            result: concat!($name, "Result"),
            permission: $permission,
            parameters: $parameters,
            answer: $answer,
        }
    };
}
use action;

/// What an action is asked for with, and by whom.
struct Asked<'a> {
    accounts: &'a Accounts,
    key: &'a AccessKey,
    call: &'a Call<'a>,
    connection: ConnectionInfo,
    /// The server's.
    region: &'a str,
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
pub(crate) const SERVICES: [&Service; 2] = [&sts::SERVICE, &iam::SERVICE];

/// The service that a request is signed for, if it is none of S3's.
pub(crate) fn service_of(parts: &Parts) -> Option<&'static Service> {
    if parts.method != Method::POST || parts.uri.path() != "/" {
        return None;
    }
    let signed = text(&parts.headers, &header::AUTHORIZATION)?.strip_prefix("AWS4-HMAC-SHA256")?;
    let (_, credential) = signed.split_once("Credential=")?;
    let credential = credential.split(',').next()?.trim_end();
    let service = credential.strip_suffix("/aws4_request")?.rsplit('/').next()?;
    SERVICES.into_iter().find(|known| known.name == service)
}

/// The service that a form means which nobody has signed, if it is none of Tencent
/// Cloud's, where such forms are signed among their parameters.
pub(crate) async fn service_of_form(
    parts: &Parts,
    host: Option<&str>,
    incoming: &mut Incoming,
) -> Result<Option<&'static Service>, Failure> {
    let headers = &parts.headers;
    if parts.method != Method::POST
        || parts.uri.path() != "/"
        || headers.contains_key(header::AUTHORIZATION)
        || headers.contains_key(cloud::HEADER_ACTION)
        || !cloud::is_form(headers)
        || cloud::service_in(host).is_some()
    {
        return Ok(None);
    }
    let body = incoming.look(BODY_BYTES_MAX).await.map_err(costrel_core::Error::Body)?;
    let body = body.unwrap_or_default();
    let form = std::str::from_utf8(&body).ok().and_then(|form| parse_query(form).ok());
    let pairs = form.unwrap_or_default();
    let version = Call::new(&pairs).text("Version");
    Ok(SERVICES.into_iter().find(|service| Some(service.version) == version))
}

/// Answers a request. `request_id` goes into the answer.
pub(crate) async fn serve(
    service: &'static Service,
    authenticator: &Authenticator,
    (region, now_ms): (&str, u64),
    (parts, host, connection): (&Parts, Option<&str>, ConnectionInfo),
    incoming: &mut Incoming,
    (request_id, notes): (&str, &Notes),
) -> (Reply, Outcome) {
    let mut outcome = Outcome::default();
    let asked = (parts, host, connection);
    let noted = (&mut outcome, notes);
    let answered = answer(service, authenticator, (region, now_ms), asked, incoming, noted).await;
    let mut reply = match answered {
        Ok((action, fields)) => {
            let document = tree::answer(service.namespace, action, fields.as_deref(), request_id);
            reply::xml(document)
        }
        Err(failure) => {
            let (status, code) = failure.status_and_code();
            outcome.refused = failure.is_refusal();
            outcome.code = Some(code);
            outcome.failure = Some(failure.to_string());
            let document = tree::failure(service.namespace, status, code, &failure, request_id);
            let mut reply = reply::xml(document);
            *reply.status_mut() = status;
            reply
        }
    };
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if !incoming.drain(&parts.headers).await {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    (reply, outcome)
}

async fn answer(
    service: &'static Service,
    authenticator: &Authenticator,
    (region, now_ms): (&str, u64),
    (parts, host, connection): (&Parts, Option<&str>, ConnectionInfo),
    incoming: &mut Incoming,
    (outcome, notes): (&mut Outcome, &Notes),
) -> Result<(&'static Action, Option<Fields>), AwsFailure> {
    let body = read(incoming).await?;
    let query = parse_query(parts.uri.query().unwrap_or_default());
    let query = query.map_err(|_| AwsFailure::NotUtf8)?;
    let form = std::str::from_utf8(&body).map_err(|_| AwsFailure::NotUtf8)?;
    let pairs = parse_query(form).map_err(|_| AwsFailure::NotUtf8)?;
    let call = Call::new(&pairs);
    let named = call.text("Action");
    let known = |name| service.actions.iter().find(|known| known.name == name);
    let action = named.and_then(known);
    let action = action.filter(|_| call.text("Version").is_none_or(|v| v == service.version));
    if let Some(Action { answer: Answer::Anybody(answer), .. }) = action
        && let Some(action) = action
    {
        outcome.operation = action.name;
        notes.about(call.about());
        call.refuse_unknown(action.parameters)?;
        let unsigned = Unsigned { authenticator, call: &call, connection, now_ms, notes };
        return Ok((action, answer(&unsigned).await?));
    }

    let view = RequestView {
        method: parts.method.as_str(),
        raw_path: parts.uri.path(),
        query: &query,
        headers: &parts.headers,
        host: host.unwrap_or_default(),
        bucket_in_host: None,
    };
    // Known whoever asks, and though he be nobody.
    outcome.operation = action.map_or("", |action| action.name);
    let hash = hex::encode(digest(&SHA256, &body));
    let presented = V4Presented::of_service(&view, &hash)?;
    outcome.access_key_id = Some(presented.access_key_id.to_owned());
    let key = authenticator.authenticate_service(service.name, &presented, &view, now_ms).await?;
    notes.caller(&key);
    notes.about(call.about());

    let name = named.ok_or(AwsFailure::MissingAction)?;
    let action = action.ok_or_else(|| AwsFailure::InvalidAction(name.to_owned()))?;
    let Answer::Signed(answer) = action.answer else {
        return Err(AwsFailure::NotImplemented(action.name));
    };
    call.refuse_unknown(action.parameters)?;
    let accounts = authenticator.accounts();
    let resources = match service.name {
        "iam" => iam::resources(&call, accounts, key.user()).await?,
        _ => vec![iam::Resource::default()],
    };
    let said = SessionTags { tags: call.tags()?, ..SessionTags::default() };
    let permitted = |permission, resource: &iam::Resource| {
        let named = permission::Named {
            action: permission,
            resources: &resource.names,
            external_id: None,
            session_name: None,
            said: Some(&said),
            labels: Some(&resource.labels),
        };
        let judged = permission::judge_action(&key, named, connection, now_ms);
        let allowed = judged.allowed;
        notes.judged(judged);
        allowed
    };
    if let Some(permission) = action.permission
        && !resources.iter().all(|resource| permitted(permission, resource))
    {
        return Err(AwsFailure::denied(&key, service.name, action.name));
    }
    let asked = Asked { accounts, key: &key, call: &call, connection, region, now_ms, notes };
    Ok((action, answer(&asked).await?))
}

async fn read(incoming: &mut Incoming) -> Result<Bytes, AwsFailure> {
    incoming.collect(BODY_BYTES_MAX).await.map_err(|failure| match failure {
        Failure::Xml(_) => AwsFailure::TooLarge { max: BODY_BYTES_MAX },
        other => other.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(method: &str, target: &str, authorization: &str) -> Option<&'static str> {
        let request = http::Request::builder().method(method).uri(target);
        let request = request.header("authorization", authorization).body(()).unwrap();
        service_of(&request.into_parts().0).map(|service| service.name)
    }

    #[test]
    fn the_scope_names_a_service() {
        let of = |service: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/{service}/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=00"
            )
        };
        assert_eq!(service("POST", "/", &of("sts")), Some("sts"));
        assert_eq!(service("POST", "/", &of("s3")), None);
        assert_eq!(service("POST", "/sts/aws4_request", &of("s3")), None);
        assert_eq!(service("POST", "/bucket", &of("sts")), None);
        assert_eq!(service("GET", "/", &of("sts")), None);
        for other in ["", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=", "AWS AKID:sts"] {
            assert_eq!(service("POST", "/", other), None, "{other}");
        }
    }

    #[test]
    fn actions_are_known_by_their_names_alone() {
        for service in SERVICES {
            let mut names: Vec<_> = service.actions.iter().map(|action| action.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), service.actions.len(), "{}", service.name);
            for action in service.actions {
                let Some(permission) = action.permission else { continue };
                assert_eq!(permission.iam, format!("{}:{}", service.name, action.name));
                assert!(permission.cam.starts_with("name/"), "{}", permission.cam);
            }
        }
    }
}
