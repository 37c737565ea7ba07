//! Settings of buckets that were read, each kind in a row of its own, of as many
//! buckets as fit. The bucket's record names the row's write id, so whoever knows
//! the record knows whether what is remembered is still in force.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;

use crate::engine::BucketId;

pub(crate) trait Setting: Message {
    fn write_id(&self) -> &Bytes;
}

pub(crate) struct SettingCache<S>(Mutex<Cached<S>>);

struct Cached<S> {
    settings: HashMap<BucketId, Arc<S>>,
    bytes: usize,
}

/// Stored bytes of one kind that are remembered.
const CACHE_BYTES: usize = 4 << 20;

impl<S> Default for Cached<S> {
    fn default() -> Self {
        Cached { settings: HashMap::new(), bytes: 0 }
    }
}

impl<S> Default for SettingCache<S> {
    fn default() -> Self {
        SettingCache(Mutex::default())
    }
}

impl<S: Setting> SettingCache<S> {
    pub(crate) fn get(&self, bucket: BucketId, id: &Bytes) -> Option<Arc<S>> {
        self.0.lock().settings.get(&bucket).filter(|setting| setting.write_id() == id).cloned()
    }

    pub(crate) fn put(&self, bucket: BucketId, setting: &Arc<S>) {
        let mut cached = self.0.lock();
        let bytes = setting.encoded_len();
        if cached.bytes + bytes > CACHE_BYTES {
            *cached = Cached::default();
        }
        cached.bytes += bytes;
        if let Some(old) = cached.settings.insert(bucket, setting.clone()) {
            cached.bytes -= old.encoded_len();
        }
    }
}
