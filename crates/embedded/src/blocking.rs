//! Work that may wait for a device, off the threads that serve connections.

use costrel_core::engine::EngineError;

/// Runs the work on a thread that may block. The work goes on when the future
/// is dropped.
pub(crate) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(EngineError::Unavailable("the process is shutting down".into())),
    }
}
