//! Who may use a bucket besides its owner: its policies, one in each grammar, and
//! what it blocks of public access. (ACLs are in `acl.rs`.)
//!
//! A policy is kept as its author wrote it, in a row in the group of the bucket's
//! name, written by the commit that notes its id in the bucket's record. Whoever
//! knows the record knows by the ids whether the policies that it remembers are
//! still the ones in force. A bucket about which nothing was said costs a request
//! one look at its settings.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use costrel_policy::{Grammar, Policy};
use parking_lot::Mutex;

use crate::bucket::Bucket;
use crate::engine::{BucketId, Partition, RowRef, Table, Write};
use crate::error::{Error, Result};
use crate::record::{AccessRef, BlockRecord, BucketRecord, PolicyRecord, decode, encode};
use crate::store::Store;

/// A policy that was read, with its text.
#[derive(Clone, Debug)]
pub struct BucketPolicy {
    pub policy: Policy,
    document: Bytes,
}

impl BucketPolicy {
    pub fn read(grammar: Grammar, document: Bytes) -> Result<BucketPolicy> {
        let policy = Policy::of_bucket(grammar, &document)?;
        policy.check_sids()?;
        Ok(BucketPolicy { policy, document })
    }
}

/// What of public access a bucket blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublicAccessBlock {
    pub public_acls: bool,
    pub ignore_public_acls: bool,
    pub public_policy: bool,
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    fn from_record(record: &BlockRecord) -> PublicAccessBlock {
        PublicAccessBlock {
            public_acls: record.public_acls,
            ignore_public_acls: record.ignore_public_acls,
            public_policy: record.public_policy,
            restrict_public_buckets: record.restrict_public_buckets,
        }
    }

    fn to_record(self) -> BlockRecord {
        BlockRecord {
            public_acls: self.public_acls,
            ignore_public_acls: self.ignore_public_acls,
            public_policy: self.public_policy,
            restrict_public_buckets: self.restrict_public_buckets,
        }
    }
}

/// The row of a bucket's policy in a grammar, in the group of its name.
pub(crate) fn policy_row(grammar: Grammar) -> RowRef {
    let suffix: &'static [u8] = match grammar {
        Grammar::Cam => b"policy-cam",
        Grammar::Iam => b"policy-iam",
    };
    RowRef { table: Table::Installation, suffix: Bytes::from_static(suffix) }
}

pub(crate) fn policy_rows() -> [RowRef; 2] {
    [policy_row(Grammar::Cam), policy_row(Grammar::Iam)]
}

/// The id of the policy in a grammar, empty if there is none.
fn policy_id(access: &mut AccessRef, grammar: Grammar) -> &mut Bytes {
    match grammar {
        Grammar::Cam => &mut access.cam_policy,
        Grammar::Iam => &mut access.iam_policy,
    }
}

/// Policies that were read, of as many buckets as fit.
#[derive(Default)]
pub(crate) struct PolicyCache(Mutex<Cached>);

#[derive(Default)]
struct Cached {
    buckets: HashMap<BucketId, Known>,
    bytes: usize,
}

struct Known {
    ids: [Bytes; 2],
    policies: Arc<[Arc<Policy>]>,
    bytes: usize,
}

/// Stored bytes of policies that are remembered. Read, a policy takes several times
/// its text.
const CACHE_BYTES: usize = 4 << 20;

impl PolicyCache {
    fn get(&self, bucket: BucketId, access: &AccessRef) -> Option<Arc<[Arc<Policy>]>> {
        let cached = self.0.lock();
        let known = cached.buckets.get(&bucket)?;
        let same = known.ids[0] == access.cam_policy && known.ids[1] == access.iam_policy;
        same.then(|| known.policies.clone())
    }

    fn put(&self, bucket: BucketId, known: Known) {
        let mut cached = self.0.lock();
        if cached.bytes + known.bytes > CACHE_BYTES {
            *cached = Cached::default();
        }
        cached.bytes += known.bytes;
        if let Some(old) = cached.buckets.insert(bucket, known) {
            cached.bytes -= old.bytes;
        }
    }
}

impl Bucket {
    /// What it blocks of public access; `None` if nothing was ever said.
    pub fn public_access_block(&self) -> Option<PublicAccessBlock> {
        let settings = self.settings();
        let block = settings.access.as_ref()?.block.as_ref();
        block.map(PublicAccessBlock::from_record)
    }
}

impl Store {
    /// Puts a policy in force. The one in the other grammar stays.
    pub async fn set_policy(self: &Arc<Self>, bucket: &Bucket, policy: BucketPolicy) -> Result<()> {
        let grammar = policy.policy.grammar;
        let public = policy.policy.is_public();
        let row = PolicyRecord { write_id: self.fresh_id(), document: policy.document };
        self.change_access(bucket, move |access| {
            if public && access.block.as_ref().is_some_and(|block| block.public_policy) {
                return Err(Error::PublicPolicyBlocked);
            }
            *policy_id(access, grammar) = row.write_id.clone();
            Ok(vec![Write::Put(policy_row(grammar), encode(&row))])
        })
        .await
    }

    pub async fn delete_policy(self: &Arc<Self>, bucket: &Bucket, grammar: Grammar) -> Result<()> {
        self.change_access(bucket, move |access| {
            *policy_id(access, grammar) = Bytes::new();
            Ok(vec![Write::Delete(policy_row(grammar))])
        })
        .await
    }

    /// Blocks public access, or takes back whatever was said about it.
    pub async fn set_public_access_block(
        self: &Arc<Self>,
        bucket: &Bucket,
        block: Option<PublicAccessBlock>,
    ) -> Result<()> {
        self.change_access(bucket, move |access| {
            access.block = block.map(PublicAccessBlock::to_record);
            Ok(Vec::new())
        })
        .await
    }

    /// A bucket about which nothing is said any more has no reference either.
    pub(crate) async fn change_access(
        self: &Arc<Self>,
        bucket: &Bucket,
        change: impl Fn(&mut AccessRef) -> Result<Vec<Write>> + Send + 'static,
    ) -> Result<()> {
        self.change_rows(bucket, move |record: &mut BucketRecord| {
            let mut access = record.access.clone().unwrap_or_default();
            let writes = change(&mut access)?;
            record.access = Some(access).filter(|access| *access != AccessRef::default());
            Ok(writes)
        })
        .await
    }

    /// A bucket's policy in a grammar, as its author wrote it.
    pub async fn policy_document(&self, bucket: &Bucket, grammar: Grammar) -> Result<Bytes> {
        let group = bucket.name.as_str().as_bytes();
        let row = self.read_row(Partition::System, group, policy_row(grammar)).await?;
        let record: PolicyRecord = decode(&row.ok_or(Error::NoPolicy)?, "policy")?;
        Ok(record.document)
    }

    /// A bucket's policies in force.
    pub async fn policies(&self, bucket: &Bucket) -> Result<Arc<[Arc<Policy>]>> {
        let settings = bucket.settings();
        let Some(access) = &settings.access else { return Ok(Arc::new([])) };
        if let Some(known) = self.policies.get(bucket.id, access) {
            return Ok(known);
        }
        let group = bucket.name.as_str().as_bytes();
        let rows = self.engine.index().read(Partition::System, group, &policy_rows()).await?;
        let mut known =
            Known { ids: [Bytes::new(), Bytes::new()], policies: Arc::new([]), bytes: 64 };
        let mut policies = Vec::with_capacity(2);
        for (at, (row, grammar)) in rows.into_iter().zip([Grammar::Cam, Grammar::Iam]).enumerate() {
            // Gone, or newer than what is known of the bucket: changed meanwhile.
            let Some(row) = row else { continue };
            let record: PolicyRecord = decode(&row, "policy")?;
            // What cannot be read might forbid anything.
            let policy = Policy::of_bucket(grammar, &record.document)
                .map_err(|fault| Error::Damaged(format!("policy of {}: {fault}", bucket.name)))?;
            known.bytes += row.len();
            known.ids[at] = record.write_id;
            policies.push(Arc::new(policy));
        }
        known.policies = policies.into();
        let policies = known.policies.clone();
        self.policies.put(bucket.id, known);
        Ok(policies)
    }
}
