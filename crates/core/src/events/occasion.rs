//! Which request a commit belongs to, for the events that it makes.
//!
//! Whoever serves a request that may make events says so around its work, where there are
//! targets at all; what is done outside of that is the server's own.

use std::sync::Arc;

tokio::task_local! {
    static OCCASION: Option<Arc<Occasion>>;
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occasion {
    /// Who asked for it; empty if nobody signed.
    pub principal: String,
    pub source_ip: String,
    pub request_id: String,
    pub second_id: String,
    /// What is put comes by a form.
    pub is_form: bool,
}

impl Occasion {
    /// Does some work whose commits happen on this occasion.
    pub async fn around<F: Future>(self, work: F) -> F::Output {
        OCCASION.scope(Some(Arc::new(self)), work).await
    }

    pub(super) fn now() -> Option<Arc<Occasion>> {
        OCCASION.try_with(Option::clone).ok().flatten()
    }
}

/// Work of the server's own that a request happens to wait for.
pub(crate) async fn unasked<F: Future>(work: F) -> F::Output {
    OCCASION.scope(None, work).await
}

/// Work that goes on by itself, on the occasion of whoever began it.
pub(crate) fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    OCCASION.scope(Occasion::now(), work)
}
