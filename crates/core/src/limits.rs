//! Every limit of the store, with its unit and where it comes from.

/// Longest bucket name in bytes, AWS S3. COS stops earlier, which its dialect
/// enforces.
pub const BUCKET_NAME_BYTES_MAX: usize = 63;
/// Longest key in bytes, AWS S3. COS stops at 850, which its dialect enforces.
pub const KEY_BYTES_MAX: usize = 1024;
/// Sum of the names and values of user metadata in bytes; both services.
pub const USER_METADATA_BYTES_MAX: usize = 2048;
/// Largest body of one put, part, copy or append in bytes; both services.
pub const PUT_BYTES_MAX: u64 = 5 << 30;
/// Highest part number; both services.
pub const PART_NUMBER_MAX: u32 = 10_000;
/// Largest object in bytes: as many parts of the largest size as there can be.
pub const OBJECT_BYTES_MAX: u64 = PUT_BYTES_MAX * PART_NUMBER_MAX as u64;
/// Most segments of an appendable object. Small appends share a segment.
pub const APPEND_SEGMENTS_MAX: u32 = 10_000;
/// Most entries of a list page, and most keys of a multi-delete; both services.
pub const PAGE_ENTRIES_MAX: usize = 1000;
/// Most buckets of an account. AWS's present default; COS's is lower.
pub const BUCKETS_MAX: usize = 10_000;
/// Most part runs kept in an object's record; longer layouts get their own row,
/// so that listing rows stay small.
pub const RUNS_IN_RECORD_MAX: usize = 64;
/// Bytes of a body that are hashed and written as one piece of work.
pub const INGEST_CHUNK_BYTES: usize = 512 << 10;
/// Most tags of an object; both services.
pub const OBJECT_TAGS_MAX: usize = 10;
/// Most tags of a bucket; both services.
pub const BUCKET_TAGS_MAX: usize = 50;
/// Longest key and value of a tag in characters; AWS's, and COS's newer ones.
pub const TAG_KEY_CHARS_MAX: usize = 128;
pub const TAG_VALUE_CHARS_MAX: usize = 256;
/// Most lifecycle rules of a bucket; both services.
pub const LIFECYCLE_RULES_MAX: usize = 1000;
/// Longest id of a lifecycle rule in characters; both services.
pub const LIFECYCLE_ID_CHARS_MAX: usize = 255;
/// Most noncurrent versions that a lifecycle rule keeps; AWS S3.
pub const LIFECYCLE_NEWER_MAX: u32 = 100;
/// Most archivings of a bucket's intelligent tiering; both services.
pub const ARCHIVINGS_MAX: usize = 1000;
/// Most inventories of a bucket; both services.
pub const INVENTORIES_MAX: usize = 1000;
/// Largest inventories of a bucket together, as stored: one row that each change writes.
/// Ours; a thousand with all fields of a service and a long prefix fit.
pub const INVENTORIES_BYTES_MAX: usize = 2 << 20;
/// Most fields of an inventory; ours, more than either service names.
pub const INVENTORY_FIELDS_MAX: usize = 64;
/// Longest id of an inventory; AWS.
pub const INVENTORY_ID_CHARS_MAX: usize = 64;
/// Longest id of an archiving in characters; AWS's for its other configurations.
pub const ARCHIVING_ID_CHARS_MAX: usize = 64;
/// Most CORS rules of a bucket; both services.
pub const CORS_RULES_MAX: usize = 100;
/// Longest id of a CORS rule in characters; AWS S3.
pub const CORS_ID_CHARS_MAX: usize = 255;
/// Most grants of an ACL; both services.
pub const ACL_GRANTS_MAX: usize = 100;
/// Most routing rules of a website, COS; AWS stops at 50.
pub const WEBSITE_RULES_MAX: usize = 100;
/// Longest default retention of object lock; both services know the days, S3 the
/// years.
pub const RETENTION_DAYS_MAX: u64 = 36_500;
pub const RETENTION_YEARS_MAX: u64 = 100;
/// Rows the collector changes in one commit; RADOS bounds an operation at about
/// a thousand keys.
pub const COLLECT_ROWS_MAX: usize = 256;

const _: () = assert!(OBJECT_BYTES_MAX <= (1 << 46));
const _: () = assert!(KEY_BYTES_MAX < 2048);
