//! How a benchmark fails before or beside the operations it measures. A failed
//! operation is not an error of the run: it is counted by its code.

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The endpoint is an `https://` URL.
    #[error(
        "{0}: only http:// endpoints can be measured, since encryption would measure the client; put a plain listener beside the TLS one"
    )]
    TlsEndpoint(String),
    /// A setting has a value that cannot be used.
    #[error("{setting}: {problem}")]
    Setting { setting: &'static str, problem: String },
    /// A request that prepares a run was refused.
    #[error("{what}: the server answered {answer}")]
    Refused { what: String, answer: String },
    /// Objects that a run needs could not be written.
    #[error(
        "{failed} of {total} objects could not be written; the most frequent answer was {answer}"
    )]
    Prefill { failed: u64, total: u64, answer: String },
    /// A list has no entries, so that listing would measure nothing.
    #[error("listing {prefix:?} found nothing; write objects first (--object-count)")]
    NothingListed { prefix: String },
    /// CPU time and memory of the server could not be read.
    #[error("cannot meter the server: {0}")]
    Meter(String),
    #[error("{context}")]
    Io {
        context: String,
        #[source]
        source: std::io::Error,
    },
    /// The report could not be written as JSON.
    #[error("cannot write the report")]
    Json(#[from] serde_json::Error),
}

impl BenchError {
    pub(crate) fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        BenchError::Io { context: context.into(), source }
    }

    pub(crate) fn setting(setting: &'static str, problem: impl Into<String>) -> Self {
        BenchError::Setting { setting, problem: problem.into() }
    }
}
