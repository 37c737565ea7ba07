//! What is known of a request when it is over, for logs and metrics.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use costrel_core::account::AccessKey;
use costrel_core::bucket::Bucket;
use parking_lot::Mutex;

use crate::dialect::Dialect;
use crate::oidc::Bearer;
use crate::permission::{self, Explained};

/// One served request. `bytes_out` counts the body that was handed to the
/// connection, which may be less than was promised if the client went away.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    pub request_id: String,
    pub dialect: Dialect,
    /// The vendor's name of the operation; empty if none was found.
    pub operation: &'static str,
    pub method: String,
    /// The raw path, without the query, which may hold a signature.
    pub path: String,
    pub bucket: Option<String>,
    pub key: Option<String>,
    pub status: u16,
    /// The error code, in the dialect's words.
    pub code: Option<&'static str>,
    /// The error's words, as the client gets them.
    pub message: Option<Cow<'static, str>>,
    /// What an operator should know of the failure, if anything.
    pub failure: Option<String>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// From the request's head to the end of the answer's body.
    pub duration: Duration,
    pub remote: SocketAddr,
    pub user_agent: Option<String>,
    /// As the request names it: it was good only if the request was not refused for it.
    pub access_key_id: Option<String>,
    /// Of requests that were refused or that administer something.
    pub audit: Option<Box<Audit>>,
}

/// What whoever audits a server has to know of a request besides.
#[derive(Clone, Debug)]
pub struct Audit {
    /// `cos`, `s3`, `cam`, `iam`, `sts` or the like, or `console`.
    pub service: &'static str,
    /// Whether it was refused for who asks or what he may do.
    pub refused: bool,
    /// Who asks, as he is told himself; `None` if nobody has signed as he should. Whoever
    /// brings an identity provider's token goes by the provider and what it calls him:
    /// `token.example.com:ann`.
    pub caller: Option<String>,
    /// What whoever has a temporary key calls himself.
    pub session: Option<String>,
    /// The permanent key that a temporary one was asked for with.
    pub issuer: Option<String>,
    /// What decided, if it came to a decision.
    pub explained: Option<Explained>,
    /// Whom or what an action of another service than COS and S3 is about, by its
    /// parameters.
    pub about: Vec<(&'static str, String)>,
    /// What a request for several keys is refused, though it is answered with success.
    pub refused_keys: Option<RefusedKeys>,
    pub secure: bool,
}

/// Keys of a request that is for several of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedKeys {
    pub count: u64,
    /// The first of them, with why.
    pub first: String,
    pub code: &'static str,
    pub why: String,
}

/// What is noted while a request is served, for whoever audits it.
#[derive(Default)]
pub(crate) struct Notes {
    caller: OnceLock<Arc<AccessKey>>,
    bearer: OnceLock<String>,
    judged: Mutex<Option<Explained>>,
    about: OnceLock<Vec<(&'static str, String)>>,
    refused_keys: OnceLock<RefusedKeys>,
    administers: AtomicBool,
    copies: OnceLock<Source>,
    deleted: OnceLock<Vec<Deleted>>,
}

/// An object that a request copies.
pub(crate) struct Source {
    pub bucket: Arc<Bucket>,
    pub key: String,
    pub version: Option<String>,
}

/// What became of one of many keys that a request deletes.
pub(crate) struct Deleted {
    pub key: String,
    pub version: Option<String>,
    pub status: u16,
    pub code: Option<&'static str>,
}

impl Notes {
    /// Whose signature is good.
    pub fn caller(&self, key: &Arc<AccessKey>) {
        // Nobody signs a request twice.
        let _ = self.caller.set(key.clone());
    }

    /// Whose token is good.
    pub fn bearer(&self, bearer: &Bearer) {
        let _ = self.bearer.set(format!("{}:{}", bearer.provider.place(), bearer.subject));
    }

    pub fn about(&self, about: Vec<(&'static str, String)>) {
        let _ = self.about.set(about);
    }

    /// What comes of a need. A request may have several; the first that is denied counts.
    pub fn judged(&self, explained: Explained) {
        let mut judged = self.judged.lock();
        if judged.as_ref().is_none_or(|before| before.allowed) {
            *judged = Some(explained);
        }
    }

    pub fn copies(&self, source: Source) {
        let _ = self.copies.set(source);
    }

    pub fn deleted(&self, deleted: Vec<Deleted>) {
        let _ = self.deleted.set(deleted);
    }

    /// What the request has done besides what it says of itself.
    pub fn take_besides(&mut self) -> (Option<Source>, Vec<Deleted>) {
        (self.copies.take(), self.deleted.take().unwrap_or_default())
    }

    pub fn refused_keys(&self, keys: RefusedKeys) {
        let _ = self.refused_keys.set(keys);
    }

    /// Whether some of it was refused.
    pub fn refused_some(&self) -> bool {
        self.refused_keys.get().is_some()
    }

    /// It says who may use what it makes, whatever its operation is.
    pub fn administer(&self) {
        self.administers.store(true, Relaxed);
    }

    pub fn administers(&self) -> bool {
        self.administers.load(Relaxed)
    }

    pub fn audit(self, service: &'static str, refused: bool, secure: bool) -> Audit {
        let key = self.caller.get();
        let session = key.and_then(|key| key.session.as_ref());
        Audit {
            service,
            refused,
            caller: key.map(|key| permission::caller_arn(key)).or(self.bearer.into_inner()),
            session: session.map(|session| session.name.clone()).filter(|name| !name.is_empty()),
            issuer: session.map(|session| session.issuer.clone()),
            explained: self.judged.into_inner(),
            about: self.about.into_inner().unwrap_or_default(),
            refused_keys: self.refused_keys.into_inner(),
            secure,
        }
    }
}

/// Is told of every request, once, when its answer has been sent or given up.
/// Called on the connection's task: it must be quick and must not block.
pub trait Observer: Send + Sync {
    fn request_begun(&self) {}
    fn request_done(&self, record: &RequestRecord);
}

/// Ignores everything.
pub struct NoObserver;

impl Observer for NoObserver {
    fn request_done(&self, _: &RequestRecord) {}
}

/// What is known of a request to a service beside COS and S3 when it has been answered.
#[derive(Default)]
pub(crate) struct Outcome {
    /// None if it was not found out, or is known from elsewhere.
    pub service: Option<&'static str>,
    pub operation: &'static str,
    pub access_key_id: Option<String>,
    pub code: Option<&'static str>,
    pub failure: Option<String>,
    /// Whether it is for who asks or what he may do.
    pub refused: bool,
}
