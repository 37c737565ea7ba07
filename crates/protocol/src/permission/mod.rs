//! The one place that authorizes. A request is judged when its bucket is known and
//! before anything in it is looked up; what names its objects only in its body (a
//! list of keys, a form) is judged object by object, by the handlers that read it.

mod besides;
mod cloud;
mod explained;
mod facts;
mod judging;
mod links;
mod names;
mod supposing;
mod trying;

use std::sync::Arc;

use costrel_core::Error;
use costrel_core::account::{AccessKey, Holder, Session};
use costrel_core::bucket::Bucket;
use costrel_core::object::Seen;
use costrel_core::tags::Tags;
use costrel_policy::{Action, Attempt, Caller, Decision, Grants, Target, Who, decide};

use crate::dialect::Dialect;
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::observe::Notes;
use crate::ops::{self, Granted, OpRow, Operation};
use crate::request::{Outcome, Request};

use besides::Besides;
pub(crate) use cloud::{Named, Shown, judge_action, judge_bearer, judge_role};
use explained::Judges;
pub use explained::{Basis, Explained, PolicyName};
use facts::{Place, RequestFacts};
use links::ROUNDS_MAX;
pub(crate) use links::links_of;
pub(crate) use names::{caller_arn, user_id};
pub use supposing::{Asker, Part, Question, Supposed, SupposedFault};
pub(crate) use trying::{Trial, TrialFault, Tried};

/// Something that must be allowed, of a bucket or an object in it.
#[derive(Clone, Copy)]
pub(crate) struct Need<'a> {
    pub operation: Operation,
    action: Action,
    key: Option<&'a str>,
    version: Option<&'a str>,
    /// Fields of a form, which stand for headers.
    fields: Option<&'a [(String, String)]>,
    /// Tags that the request gives otherwise than in a header.
    tags: Option<&'a Tags>,
    /// The prefix of a list that was not asked for.
    prefix: Option<&'a str>,
    /// What an ACL has to grant for it, if one can.
    granted: Option<Granted>,
}

impl<'a> Need<'a> {
    /// To do an operation to a key, or to the bucket itself.
    pub(crate) fn new(
        operation: Operation,
        key: Option<&'a str>,
        version: Option<&'a str>,
    ) -> Self {
        let version = version.filter(|version| !version.is_empty());
        let action = ops::action(operation, version.is_some());
        let granted = ops::granted(operation, version.is_some());
        Need { operation, action, key, version, fields: None, tags: None, prefix: None, granted }
    }

    /// To do what an operation asks for besides.
    fn besides(self, action: Action) -> Self {
        Need { action, granted: None, ..self }
    }

    /// The same, if that is not the operation itself.
    fn besides_if(self, action: Action) -> Self {
        if action == self.action { self } else { self.besides(action) }
    }

    pub(crate) fn with_fields(self, fields: &'a [(String, String)]) -> Self {
        Need { fields: Some(fields), ..self }
    }

    pub(crate) fn with_tags(self, tags: &'a Tags) -> Self {
        Need { tags: Some(tags), ..self }
    }
}

/// What a request may be done to.
pub(crate) struct Permitted {
    pub bucket: Arc<Bucket>,
    /// The object by which it was judged, if it was by one: its readers are given
    /// this and no other, which may say otherwise.
    pub seen: Option<Arc<Seen>>,
}

/// What comes of a request for something.
enum Answer {
    /// With the object that it was judged by, if it was.
    Allowed(Option<Arc<Seen>>),
    Refused,
}

impl Answer {
    fn is_yes(&self) -> bool {
        matches!(self, Answer::Allowed(_))
    }
}

impl Gateway {
    /// The named bucket, if the caller may do to it what the row says, and the object
    /// that let him.
    pub(crate) async fn permitted_bucket(
        &self,
        request: &Request<'_>,
        row: &OpRow,
        name: &str,
    ) -> Outcome<Permitted> {
        let bucket = self.known_bucket(request, name).await?;
        let (Some(operation), Some(_)) = (row.operation, row.action) else {
            return Err(refusal(request));
        };
        let owner = is_owner(request, &bucket);
        if is_unlimited(request, &bucket) {
            if operation.administers() {
                request.notes.judged(Explained { allowed: true, basis: Basis::Root });
            }
            let need = Need::new(operation, request.address.key.as_deref(), None);
            // What cannot be read is refused by whoever obeys it.
            if let Ok(besides) = Besides::of(request, &bucket, need) {
                besides.note(request, true);
            }
            self.check_referer(request, &bucket, operation).await?;
            return Ok(Permitted { bucket, seen: None });
        }
        let mut seen = None;
        match operation {
            // Judged by what their bodies say. Whom nothing can let in need not
            // send them.
            Operation::DeleteObjects
            | Operation::PostObject
            | Operation::PutObjectTagging
            | Operation::PutBucketTagging => {
                if !owner && bucket.settings().access.is_none() {
                    return Err(refusal(request));
                }
            }
            _ => {
                let key = request.address.key.as_deref();
                let version = request.query.get_any_case("versionId");
                let need = Need::new(operation, key, version);
                seen = self.require_reading(request, &bucket, need).await?;
                self.require_besides(request, &bucket, need).await?;
            }
        }
        self.check_referer(request, &bucket, operation).await?;
        // Policies do not give away themselves. (AWS.)
        if operation.on_policy() && !owner {
            return Err(Failure::ForeignPolicy);
        }
        Ok(Permitted { bucket, seen })
    }

    /// Whether an object may be shown on the page that it is asked for from. Whoever
    /// signs his request himself is no page; a signed link may stand on one.
    async fn check_referer(
        &self,
        request: &Request<'_>,
        bucket: &Bucket,
        operation: Operation,
    ) -> Outcome<()> {
        let is_read = matches!(operation, Operation::GetObject | Operation::HeadObject);
        if !is_read || bucket.settings().referer.is_empty() {
            return Ok(());
        }
        let Some(list) = self.store.referer_list(bucket).await? else { return Ok(()) };
        let is_judged = request.identity.is_none() || (list.judges_links && request.is_link());
        match !is_judged || list.allows(request.header(&http::header::REFERER)) {
            true => Ok(()),
            false => Err(Failure::Referer),
        }
    }

    /// A bucket by its name. Who does not say who he is does not learn whether it is
    /// there.
    pub(crate) async fn known_bucket(
        &self,
        request: &Request<'_>,
        name: &str,
    ) -> Outcome<Arc<Bucket>> {
        let bucket = self.store.bucket(name).await.map_err(|error| match error {
            Error::NoSuchBucket if request.identity.is_none() => Failure::Anonymous,
            error => error.into(),
        })?;
        check_expected_owner(request, bucket.owner_uin)?;
        Ok(bucket)
    }

    pub(crate) async fn require(
        &self,
        request: &Request<'_>,
        bucket: &Bucket,
        need: Need<'_>,
    ) -> Outcome<()> {
        self.require_seeing(request, bucket, need).await?;
        Ok(())
    }

    /// The same, with the object by which it was judged, if it was by one.
    async fn require_seeing(
        &self,
        request: &Request<'_>,
        bucket: &Bucket,
        need: Need<'_>,
    ) -> Outcome<Option<Arc<Seen>>> {
        match self.judge_request(request, bucket, need, Some(request.notes)).await? {
            Answer::Allowed(seen) => Ok(seen),
            Answer::Refused => Err(refusal(request)),
        }
    }

    /// The same. What an object is like is for those to know who may read it, too. (AWS.)
    async fn require_reading(
        &self,
        request: &Request<'_>,
        bucket: &Bucket,
        need: Need<'_>,
    ) -> Outcome<Option<Arc<Seen>>> {
        if need.operation != Operation::GetObjectAttributes {
            return self.require_seeing(request, bucket, need).await;
        }
        let head = Need::new(Operation::HeadObject, need.key, need.version);
        // Either may be by an object; what both are by is what is read.
        for _ in 0..ROUNDS_MAX {
            let first = self.require_seeing(request, bucket, need).await?;
            let second = self.require_seeing(request, bucket, head).await?;
            match (first, second) {
                (Some(first), Some(second)) if !first.is_same(&second) => {}
                (first, second) => return Ok(second.or(first)),
            }
        }
        Err(Error::StorageUnavailable.into())
    }

    /// Whether the caller may set aside what a governance retention keeps. What decides
    /// about the request is something else: there may be no such retention.
    pub(crate) async fn permits_bypass(
        &self,
        request: &Request<'_>,
        bucket: &Bucket,
        key: &str,
        version: Option<&str>,
    ) -> Outcome<bool> {
        let need = Need::new(Operation::DeleteObject, Some(key), version);
        let need = need.besides(ops::BYPASS_GOVERNANCE);
        Ok(self.judge_request(request, bucket, need, None).await?.is_yes())
    }

    /// Whether the caller may learn that there is no such key: by a list of the keys
    /// that begin like it.
    pub(crate) async fn permits_listing(
        &self,
        request: &Request<'_>,
        bucket: &Bucket,
        key: &str,
    ) -> Outcome<bool> {
        let list = Need::new(Operation::ListObjects, None, None);
        self.permits(request, bucket, Need { prefix: Some(key), ..list }).await
    }

    /// Whether everything in force allows something.
    async fn permits(
        &self,
        request: &Request<'_>,
        bucket: &Bucket,
        need: Need<'_>,
    ) -> Outcome<bool> {
        Ok(self.judge_request(request, bucket, need, Some(request.notes)).await?.is_yes())
    }

    async fn judge_request(
        &self,
        request: &Request<'_>,
        bucket: &Bucket,
        need: Need<'_>,
        notes: Option<&Notes>,
    ) -> Outcome<Answer> {
        if is_unlimited(request, bucket) {
            return Ok(Answer::Allowed(None));
        }
        let caller = caller(request);
        let settings = bucket.settings();
        let place = Place {
            region: &bucket.region,
            owner_uin: bucket.owner_uin,
            tags: Some(&settings.tags),
        };
        let now_ms = self.store.now_ms();
        let domains = &self.options.domains;
        let facts =
            |existing_tags| RequestFacts { request, place, need, existing_tags, now_ms, domains };
        let judged = self.judge(bucket, &caller, need, facts).await?;
        let allowed = judged.allowed();
        // Whoever audits the request is told by what; the others need no words.
        let told = |notes: &&Notes| !allowed || need.operation.administers() || notes.administers();
        if let Some(notes) = notes.filter(told) {
            let holder = request.identity.as_ref().map(|key| &key.holder);
            notes.judged(judged.explained(&caller, holder));
        }
        Ok(match allowed {
            true => Answer::Allowed(judged.seen),
            false => Answer::Refused,
        })
    }

    /// What is done in an account and to none of its buckets yet: listing them, and
    /// making one of this name in this region. Only those of the account itself may,
    /// as far as their credentials go.
    pub(crate) fn require_of_account(
        &self,
        request: &Request<'_>,
        operation: Operation,
        bucket: &str,
        region: Option<&str>,
        tags: &Tags,
    ) -> Outcome<()> {
        let key = request.identity.as_ref().ok_or(Failure::Anonymous)?;
        let region = region.unwrap_or(self.store.region());
        // What a new bucket's headers ask for besides is asked of what makes it.
        let need = match operation {
            Operation::ListBuckets => Need::new(operation, None, None),
            _ => Need::new(Operation::CreateBucket, None, None)
                .besides_if(ops::action(operation, false))
                .with_tags(tags),
        };
        let place = Place { region, owner_uin: key.account.uin.get(), tags: None };
        let now_ms = self.store.now_ms();
        let attempt = Attempt {
            caller: &caller(request),
            action: need.action,
            target: Target {
                bucket,
                region,
                owner_uin: place.owner_uin,
                owner_appid: key.account.appid.get(),
                key: None,
            },
            on_policy: false,
            facts: &RequestFacts {
                request,
                place,
                need,
                existing_tags: None,
                now_ms,
                domains: &self.options.domains,
            },
        };
        let verdict = decide(&attempt, Grants::default());
        let allowed = verdict.decision == Decision::Allowed;
        if !allowed || operation.administers() {
            let judges = Judges::of(attempt.caller, Some(&key.holder));
            request.notes.judged(judges.explain(verdict, None));
        }
        match allowed {
            true => Ok(()),
            false => Err(refusal(request)),
        }
    }

    pub(crate) fn target<'a>(&self, bucket: &'a Bucket, key: Option<&'a str>) -> Target<'a> {
        Target {
            bucket: bucket.name.as_str(),
            region: &bucket.region,
            owner_uin: bucket.owner_uin,
            owner_appid: self.appid_of(bucket),
            key,
        }
    }

    /// The APPID of a bucket's owner.
    pub(crate) fn appid_of(&self, bucket: &Bucket) -> u64 {
        let account = self.authenticator.account();
        match account.uin.get() == bucket.owner_uin {
            true => account.appid.get(),
            false => bucket.name.appid().unwrap_or_default(),
        }
    }
}

pub(crate) fn caller(request: &Request<'_>) -> Caller {
    caller_of(request.identity.as_deref())
}

fn caller_of(key: Option<&AccessKey>) -> Caller {
    let Some(key) = key else { return Caller::new(Who::Anonymous) };
    let account = key.account.uin.get();
    let session = key.session.as_deref();
    let (who, name) = match &key.holder {
        Holder::Root => (Who::Root(account), None),
        Holder::User(user) => (Who::User { account, uin: user.uin.get() }, Some(&user.name)),
        Holder::Role(role) => (Who::Role { account, id: role.id }, Some(&role.name)),
    };
    Caller {
        who,
        name: name.map(|name| name.as_str().into()),
        session_name: session.map(|session| session.name.as_str().into()),
        policies: key.policies().to_vec(),
        limits: key.limits().to_vec(),
        session: session.map(|session| session.policies.clone()).unwrap_or_default(),
    }
}

/// What the caller's key is limited to, if it is temporary.
fn session<'a>(request: &'a Request<'_>) -> Option<&'a Session> {
    request.identity.as_ref()?.session.as_deref()
}

/// Whether nothing but its object locks can keep the caller from anything in a
/// bucket: he has its owner's own key, and there is no policy.
pub(crate) fn is_unlimited(request: &Request<'_>, bucket: &Bucket) -> bool {
    is_owner_root(request, bucket)
        && session(request).is_none()
        && bucket.settings().access.as_ref().is_none_or(|access| !access.has_policies())
}

/// Whether the caller is the root of a bucket's owner, perhaps with limits.
fn is_owner_root(request: &Request<'_>, bucket: &Bucket) -> bool {
    is_owner(request, bucket) && request.identity.as_ref().is_some_and(|key| key.is_root())
}

/// Whether the caller belongs to the account of a bucket's owner.
pub(crate) fn is_owner(request: &Request<'_>, bucket: &Bucket) -> bool {
    request.identity.as_ref().is_some_and(|key| key.account.uin.get() == bucket.owner_uin)
}

pub(crate) fn refusal(request: &Request<'_>) -> Failure {
    match request.identity {
        Some(_) => Failure::AccessDenied,
        None => Failure::Anonymous,
    }
}

/// `x-amz-expected-bucket-owner`, and the same of a copy's source.
pub(crate) fn check_expected_owner(request: &Request<'_>, owner_uin: u64) -> Outcome<()> {
    use crate::dialect::s3::{EXPECTED_BUCKET_OWNER, SOURCE_EXPECTED_BUCKET_OWNER};
    if request.dialect != Dialect::S3 {
        return Ok(());
    }
    for name in [EXPECTED_BUCKET_OWNER, SOURCE_EXPECTED_BUCKET_OWNER] {
        if let Some(owner) = request.header(&name)
            && owner.parse() != Ok(owner_uin)
        {
            return Err(Failure::AccessDenied);
        }
    }
    Ok(())
}
