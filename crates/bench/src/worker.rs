//! One connection's loop: take the next operation, do it, count it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Call, Client, element};
use crate::keys::Random;
use crate::payload::{Body, BodyHashes, Payloads};
use crate::sign::Dialect;
use crate::tally::Tally;
use crate::target::Target;
use crate::workload::{Kind, Limit, Plan, Workload};

/// Wait after a failure, so that a server that refuses everything at once is not
/// asked as fast as the client can.
const FAILURE_PAUSE: Duration = Duration::from_millis(20);

/// What the connections of a run have in common.
pub struct Shared {
    pub plan: Plan,
    pub target: Arc<Target>,
    pub payloads: Payloads,
    /// Operations handed out so far.
    pub issued: AtomicU64,
    /// Operations that finish outside are not counted.
    pub count_from: Instant,
    pub count_until: Option<Instant>,
}

pub struct Worker {
    shared: Arc<Shared>,
    client: Client,
    random: Random,
    key: String,
    /// Objects that a mixed run has written and not yet deleted.
    extra: Vec<u64>,
    tally: Tally,
}

impl Worker {
    pub fn new(shared: Arc<Shared>, index: u64) -> Self {
        let seed = shared.plan.seed.wrapping_mul(0x1_0001).wrapping_add(index);
        Worker {
            client: Client::new(shared.target.clone()),
            shared,
            random: Random::new(seed),
            key: String::new(),
            extra: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Works until the run's limit is reached.
    pub async fn run(mut self) -> Tally {
        while let Some(number) = self.next_number() {
            let kind = self.choose_kind();
            let started = Instant::now();
            let outcome = self.operate(kind, number).await;
            let finished = Instant::now();
            let failed = outcome.is_err();
            if self.counted(finished) {
                match outcome {
                    Ok(bytes) => self.tally.success(kind, finished, finished - started, bytes),
                    Err(code) => self.tally.failure(code, finished),
                }
            }
            if failed {
                tokio::time::sleep(FAILURE_PAUSE).await;
            }
        }
        self.tally
    }

    fn next_number(&self) -> Option<u64> {
        let plan = &self.shared.plan;
        if self.shared.count_until.is_some_and(|end| Instant::now() >= end) {
            return None;
        }
        let issued = self.shared.issued.fetch_add(1, Ordering::Relaxed);
        let exhausted = match plan.limit {
            Limit::Operations(limit) => issued >= limit,
            Limit::Time { .. } => false,
        } || (plan.workload == Workload::Delete && issued >= plan.objects);
        (!exhausted).then_some(plan.first + issued)
    }

    fn counted(&self, finished: Instant) -> bool {
        finished >= self.shared.count_from
            && self.shared.count_until.is_none_or(|end| finished <= end)
    }

    fn choose_kind(&mut self) -> Kind {
        match self.shared.plan.workload {
            Workload::Put => Kind::Put,
            Workload::Get => Kind::Get,
            Workload::Head => Kind::Head,
            Workload::Range => Kind::Range,
            Workload::Delete => Kind::Delete,
            Workload::List => Kind::List,
            Workload::ListDelimiter => Kind::ListDelimiter,
            Workload::Multipart => Kind::Multipart,
            Workload::Mixed => {
                let mix = &self.shared.plan.mix;
                match mix.choose(self.random.below(mix.total())) {
                    // Only what this run has written is deleted, so that reads
                    // never miss; without any, one more is written.
                    Kind::Delete if self.extra.is_empty() => Kind::Put,
                    kind => kind,
                }
            }
        }
    }

    /// Does one operation; gives the bytes of bodies moved.
    async fn operate(&mut self, kind: Kind, number: u64) -> Result<u64, String> {
        let mixed = self.shared.plan.workload == Workload::Mixed;
        match kind {
            Kind::Put if mixed => {
                // Beyond the objects that reads choose from.
                let number = self.shared.plan.objects + number;
                self.extra.push(number);
                self.put(number).await
            }
            Kind::Put => self.put(number).await,
            Kind::Delete if mixed => {
                let number = self.extra.pop().unwrap_or(number);
                self.delete(number).await
            }
            Kind::Delete => self.delete(number).await,
            Kind::Get => self.get().await,
            Kind::Head => self.head().await,
            Kind::Range => self.range().await,
            Kind::List => self.list().await,
            Kind::ListDelimiter => self.list_delimiter().await,
            Kind::Multipart | Kind::Initiate | Kind::UploadPart | Kind::Complete => {
                self.multipart(number).await
            }
        }
    }

    async fn put(&mut self, number: u64) -> Result<u64, String> {
        let shared = &self.shared;
        shared.plan.keys.write_key(number, &mut self.key);
        let body = shared.payloads.body(shared.plan.keys.size(number), number);
        let hashes = shared.payloads.hashes(&body);
        let call = Call { body, hashes, ..Call::object("PUT", &self.key) };
        self.client.call(&call).await?;
        Ok(body.len())
    }

    async fn delete(&mut self, number: u64) -> Result<u64, String> {
        self.shared.plan.keys.write_key(number, &mut self.key);
        self.client.call(&Call::object("DELETE", &self.key)).await?;
        Ok(0)
    }

    fn choose_object(&mut self) -> u64 {
        let plan = &self.shared.plan;
        let number = plan.first + self.random.below(plan.objects.max(1));
        plan.keys.write_key(number, &mut self.key);
        number
    }

    async fn get(&mut self) -> Result<u64, String> {
        let number = self.choose_object();
        let answer = self.client.call(&Call::object("GET", &self.key)).await?;
        self.expect_len(answer.body_len, self.shared.plan.keys.size(number))
    }

    async fn head(&mut self) -> Result<u64, String> {
        self.choose_object();
        self.client.call(&Call::object("HEAD", &self.key)).await?;
        Ok(0)
    }

    async fn range(&mut self) -> Result<u64, String> {
        let number = self.choose_object();
        let size = self.shared.plan.keys.size(number);
        let len = self.shared.plan.range_len.clamp(1, size.max(1));
        let first = self.random.below(size.saturating_sub(len) + 1);
        let range = Some((first, first + len - 1));
        let answer = self.client.call(&Call { range, ..Call::object("GET", &self.key) }).await?;
        if answer.status != 206 {
            return Err(format!("{} instead of 206", answer.status));
        }
        self.expect_len(answer.body_len, len)
    }

    fn expect_len(&self, got: u64, want: u64) -> Result<u64, String> {
        if got == want { Ok(got) } else { Err("wrong length".to_owned()) }
    }

    async fn list(&mut self) -> Result<u64, String> {
        let plan = &self.shared.plan;
        // Far enough from the end for a whole page.
        let starts = plan.objects.saturating_sub(u64::from(plan.page_len)).max(1);
        plan.keys.write_key(plan.first + self.random.below(starts), &mut self.key);
        let page_len = plan.page_len.to_string();
        let prefix = plan.keys.prefix();
        let call = match self.shared.target.dialect {
            Dialect::S3 => &[
                ("list-type", "2"),
                ("max-keys", &page_len),
                ("prefix", prefix),
                ("start-after", &self.key),
            ][..],
            Dialect::Cos => {
                &[("marker", self.key.as_str()), ("max-keys", &page_len), ("prefix", prefix)][..]
            }
        };
        Ok(self.client.call(&Call::bucket("GET", call)).await?.body_len)
    }

    async fn list_delimiter(&mut self) -> Result<u64, String> {
        let plan = &self.shared.plan;
        let page_len = plan.page_len.to_string();
        let s3 = self.shared.target.dialect == Dialect::S3;
        let query = [
            ("delimiter", "/"),
            ("list-type", "2"),
            ("max-keys", page_len.as_str()),
            ("prefix", plan.keys.prefix()),
        ];
        let cos_query = [query[0], query[2], query[3]];
        let query = if s3 { &query[..] } else { &cos_query[..] };
        Ok(self.client.call(&Call::bucket("GET", query)).await?.body_len)
    }

    async fn multipart(&mut self, number: u64) -> Result<u64, String> {
        let shared = self.shared.clone();
        shared.plan.keys.write_key(number, &mut self.key);
        let key = std::mem::take(&mut self.key);
        let outcome = self.upload_in_parts(&shared, &key, number).await;
        self.key = key;
        outcome
    }

    async fn upload_in_parts(
        &mut self,
        shared: &Shared,
        key: &str,
        number: u64,
    ) -> Result<u64, String> {
        let size = shared.plan.keys.size(number);
        let started = Instant::now();
        let initiate = Call { query: &[("uploads", "")], ..Call::object("POST", key) };
        let answer = self.call_kept(&initiate).await?;
        let upload_id = element(&answer, "UploadId").ok_or("no UploadId in the answer")?.to_owned();
        self.count_step(Kind::Initiate, started, 0);

        let mut complete = String::from("<CompleteMultipartUpload>");
        let mut offset = 0;
        let mut part = 0_u64;
        while offset < size || part == 0 {
            part += 1;
            let part_text = part.to_string();
            let len = shared.plan.part_size.min(size - offset);
            let body = shared.payloads.body(len, (number << 16) + part);
            let hashes = shared.payloads.hashes(&body);
            let query = [("partNumber", part_text.as_str()), ("uploadId", upload_id.as_str())];
            let started = Instant::now();
            let upload = Call { query: &query, body, hashes, ..Call::object("PUT", key) };
            self.client.call(&upload).await?;
            self.count_step(Kind::UploadPart, started, len);
            let etag = &self.client.capture.etag;
            // Writing to a string succeeds.
            let _ = write!(
                complete,
                "<Part><PartNumber>{part}</PartNumber><ETag>\"{etag}\"</ETag></Part>"
            );
            offset += len;
        }
        complete.push_str("</CompleteMultipartUpload>");

        let started = Instant::now();
        let query = [("uploadId", upload_id.as_str())];
        let body = Body::bytes(complete.as_bytes());
        let hashes = BodyHashes::of(complete.as_bytes());
        let call = Call { query: &query, body, hashes, ..Call::object("POST", key) };
        // A completion that takes long begins with 200 and may still fail.
        let answer = self.call_kept(&call).await?;
        if answer.contains("<Error>") {
            return Err(format!("200 {}", element(&answer, "Code").unwrap_or("with an error")));
        }
        self.count_step(Kind::Complete, started, 0);
        Ok(size)
    }

    /// Does a request and gives the text of its answer.
    async fn call_kept(&mut self, call: &Call<'_>) -> Result<String, String> {
        self.client.capture.want_body = true;
        let outcome = self.client.call(call).await;
        self.client.capture.want_body = false;
        outcome?;
        Ok(String::from_utf8_lossy(&self.client.capture.body).into_owned())
    }

    fn count_step(&mut self, kind: Kind, started: Instant, bytes: u64) {
        let finished = Instant::now();
        if self.counted(finished) {
            self.tally.success(kind, finished, finished - started, bytes);
        }
    }
}
