//! What must be there before a run: the bucket, and the objects to work on.

use std::sync::Arc;

use tokio::runtime;

use crate::client::{Call, Client};
use crate::error::BenchError;
use crate::payload::{Body, BodyHashes};
use crate::runner::execute;
use crate::sign::Dialect;
use crate::target::Target;
use crate::workload::{Limit, Plan, Workload};

/// Connections that write the objects; enough for a server to group its syncs.
const FILL_CONCURRENCY: usize = 64;

/// Creates the target's bucket, if that was asked for and it is not there.
pub fn create_bucket(target: &Arc<Target>) -> Result<(), BenchError> {
    if !target.create_bucket {
        return Ok(());
    }
    // S3 outside its oldest region wants to be told which one it is.
    let configuration = match target.dialect {
        Dialect::S3 if target.region != "us-east-1" => format!(
            "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
            target.region
        ),
        _ => String::new(),
    };
    let outcome = with_client(target, async |client| {
        let body = Body::bytes(configuration.as_bytes());
        let hashes = BodyHashes::of(configuration.as_bytes());
        let call = Call { body, hashes, ..Call::bucket("PUT", &[]) };
        client.call(&call).await.map(|_| ())
    })?;
    match outcome {
        Ok(()) => Ok(()),
        Err(answer) if answer.contains("BucketAlready") => Ok(()),
        Err(answer) => Err(BenchError::Refused { what: "creating the bucket".into(), answer }),
    }
}

/// Writes the objects that the plan works on, unless they are there already.
pub fn fill(target: &Arc<Target>, plan: &Plan) -> Result<(), BenchError> {
    if plan.objects == 0 || all_present(target, plan)? {
        return Ok(());
    }
    let plan = Plan {
        workload: Workload::Put,
        limit: Limit::Operations(plan.objects),
        // Large bodies need no more than a few connections.
        concurrency: FILL_CONCURRENCY.min((plan.objects as usize).div_ceil(4)).max(1),
        ..plan.clone()
    };
    let outcome = execute(target, &plan)?;
    match outcome.tally.commonest_error() {
        None => Ok(()),
        Some(answer) => Err(BenchError::Prefill {
            failed: outcome.tally.error_count(),
            total: plan.objects,
            answer: answer.to_owned(),
        }),
    }
}

/// Whether the first and the last object are there with their sizes: filling
/// goes in order, so the others are as well.
fn all_present(target: &Arc<Target>, plan: &Plan) -> Result<bool, BenchError> {
    let mut key = String::new();
    for number in [plan.first, plan.first + plan.objects - 1] {
        plan.keys.write_key(number, &mut key);
        let size = plan.keys.size(number);
        let found = with_client(target, async |client| {
            // A range of one byte tells the presence; the length is checked by
            // asking for the last byte.
            let range = size.checked_sub(1).map(|last| (last, last + 1));
            client.call(&Call { range, ..Call::object("GET", &key) }).await
        })?;
        let Ok(answer) = found else { return Ok(false) };
        if answer.body_len != size.min(1) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses to measure lists that hold nothing, which any server is fast at.
/// Gives the number of entries in a page.
pub fn check_list(target: &Arc<Target>, plan: &Plan) -> Result<u64, BenchError> {
    let page_len = plan.page_len.to_string();
    let mut query = Vec::new();
    if plan.workload == Workload::ListDelimiter {
        query.push(("delimiter", "/"));
    }
    if target.dialect == Dialect::S3 {
        query.push(("list-type", "2"));
    }
    query.push(("max-keys", page_len.as_str()));
    query.push(("prefix", plan.keys.prefix()));
    let found = with_client(target, async |client| {
        client.capture.want_body = true;
        client.call(&Call::bucket("GET", &query)).await.map(|_| {
            let page = String::from_utf8_lossy(&client.capture.body);
            (page.matches("<Key>").count() + page.matches("<CommonPrefixes>").count()) as u64
        })
    })?;
    match found {
        Ok(0) => Err(BenchError::NothingListed { prefix: plan.keys.prefix().to_owned() }),
        Ok(entries) => Ok(entries),
        Err(answer) => Err(BenchError::Refused { what: "listing".into(), answer }),
    }
}

/// Runs a few requests outside of any measurement.
fn with_client<T, F>(target: &Arc<Target>, work: F) -> Result<Result<T, String>, BenchError>
where
    T: Send,
    F: AsyncFnOnce(&mut Client) -> Result<T, String> + Send,
{
    let run = || {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| BenchError::io("start a runtime", e))?;
        Ok(runtime.block_on(async { work(&mut Client::new(target.clone())).await }))
    };
    // On a thread of its own, because the caller's may belong to a runtime.
    std::thread::scope(|scope| scope.spawn(run).join())
        .map_err(|_| BenchError::setting("run", "a thread panicked"))?
}
