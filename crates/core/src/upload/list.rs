use crate::bucket::Bucket;
use crate::engine::Table;
use crate::error::Result;
use crate::list::{KeyPage, KeyQuery};
use crate::names::UploadId;
use crate::record::{UploadRecord, decode_listed};
use crate::store::Store;

#[derive(Clone, Debug, Default)]
pub struct ListUploads {
    pub prefix: String,
    pub delimiter: String,
    /// Uploads of later keys; of this very key only those after `upload_marker`.
    pub key_marker: String,
    pub upload_marker: Option<UploadId>,
    pub max: usize,
}

#[derive(Clone, Debug)]
pub struct UploadEntry {
    pub id: UploadId,
    pub initiated_ms: u64,
    pub storage_class: String,
    pub checksum: Option<super::UploadChecksum>,
}

pub type UploadPage = KeyPage<UploadEntry>;

impl Store {
    /// Open uploads in order of key, then age.
    pub async fn list_uploads(&self, bucket: &Bucket, request: &ListUploads) -> Result<UploadPage> {
        let query = KeyQuery {
            prefix: request.prefix.clone(),
            delimiter: request.delimiter.clone(),
            after_group: request.key_marker.clone(),
            after_suffix: request.upload_marker.map(|id| id.suffix()),
            max: request.max,
        };
        self.list_rows(bucket.partition(), Table::Upload, query, |key, suffix, value| {
            let Ok(id) = suffix.try_into() else {
                tracing::error!(?key, ?suffix, "a list leaves out an upload with a wrong name");
                return None;
            };
            let record: UploadRecord = decode_listed(key, value, "upload record");
            let upload = super::OpenUpload { row: Default::default(), record };
            Some(UploadEntry {
                id: UploadId(id),
                initiated_ms: upload.record.initiated_ms,
                checksum: upload.checksum(),
                storage_class: upload.record.storage_class,
            })
        })
        .await
    }
}
