//! The two dialects and the words in which they differ.

use costrel_core::acl::Permission;
use costrel_core::lifecycle::RuleBounds;
use http::HeaderName;

/// The language a request is spoken in, and so its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Tencent Cloud COS, XML API.
    Cos,
    /// AWS S3, REST API.
    S3,
}

impl Dialect {
    pub const ALL: [Dialect; 2] = [Dialect::Cos, Dialect::S3];

    /// The dialect's name in logs, metrics and documents.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Cos => "COS",
            Dialect::S3 => "S3",
        }
    }

    pub fn headers(self) -> &'static Headers {
        match self {
            Dialect::Cos => &COS_HEADERS,
            Dialect::S3 => &S3_HEADERS,
        }
    }

    /// Namespace of the root element of answers. COS clients strip only a few
    /// known namespaces, so COS gets none.
    pub fn xml_namespace(self) -> Option<&'static str> {
        match self {
            Dialect::Cos => None,
            Dialect::S3 => Some("http://s3.amazonaws.com/doc/2006-03-01/"),
        }
    }

    /// The error document's second id, beside `RequestId`. COS repeats the
    /// header [`Headers::second_id`] there.
    pub fn error_second_id_element(self) -> &'static str {
        match self {
            Dialect::Cos => "TraceId",
            Dialect::S3 => "HostId",
        }
    }

    /// Longest object key in bytes of UTF-8.
    pub fn key_bytes_max(self) -> usize {
        match self {
            Dialect::Cos => 850,
            Dialect::S3 => 1024,
        }
    }

    /// Smallest part in bytes, except an upload's last.
    pub fn part_bytes_min(self) -> u64 {
        match self {
            Dialect::Cos => 1 << 20,
            Dialect::S3 => 5 << 20,
        }
    }

    /// What midnight is to the service, in seconds ahead of UTC: lifecycles count
    /// whole days.
    pub fn utc_offset_s(self) -> u32 {
        match self {
            Dialect::Cos => 8 * 3600,
            Dialect::S3 => 0,
        }
    }

    /// What the service allows in a lifecycle's rules.
    pub fn lifecycle_bounds(self) -> RuleBounds {
        match self {
            Dialect::Cos => RuleBounds { days_max: 3650, infrequent_days_min: 0 },
            Dialect::S3 => RuleBounds { days_max: i32::MAX as u32, infrequent_days_min: 30 },
        }
    }

    /// Most bytes of names and values of user metadata together.
    pub fn user_metadata_bytes_max(self) -> usize {
        2 << 10
    }
}

/// A dialect's own header names. All are lower-case, as both services write
/// them.
#[derive(Debug)]
pub struct Headers {
    /// `x-cos-` or `x-amz-`.
    pub prefix: &'static str,
    /// Prefix of user metadata.
    pub meta_prefix: &'static str,
    /// On every answer.
    pub request_id: HeaderName,
    /// The id beside the request id: COS sends it with failures only.
    pub second_id: HeaderName,
    pub bucket_region: HeaderName,

    pub acl: HeaderName,
    /// Those that grant something.
    pub grants: [(HeaderName, Permission); 5],
    pub storage_class: HeaderName,
    pub tagging: HeaderName,
    pub tagging_directive: HeaderName,
    pub tagging_count: HeaderName,
    pub metadata_directive: HeaderName,
    pub website_redirect_location: HeaderName,
    pub object_lock_mode: HeaderName,
    pub object_lock_legal_hold: HeaderName,
    pub object_lock_retain_until_date: HeaderName,

    pub copy_source: HeaderName,
    pub copy_source_range: HeaderName,
    pub copy_source_if_match: HeaderName,
    pub copy_source_if_none_match: HeaderName,
    pub copy_source_if_modified_since: HeaderName,
    pub copy_source_if_unmodified_since: HeaderName,
    pub copy_source_version_id: HeaderName,
    pub copy_source_encryption_prefix: &'static str,

    pub version_id: HeaderName,
    pub delete_marker: HeaderName,
    pub expiration: HeaderName,
    pub restore: HeaderName,
    pub parts_count: HeaderName,

    /// Also the prefix of the other encryption headers.
    pub encryption: HeaderName,
    pub security_token: HeaderName,
    pub date: HeaderName,
}

macro_rules! headers {
    ($prefix:literal, second_id: $second_id:literal) => {
        Headers {
            prefix: $prefix,
            meta_prefix: concat!($prefix, "meta-"),
            request_id: HeaderName::from_static(concat!($prefix, "request-id")),
            second_id: HeaderName::from_static(concat!($prefix, $second_id)),
            bucket_region: HeaderName::from_static(concat!($prefix, "bucket-region")),
            acl: HeaderName::from_static(concat!($prefix, "acl")),
            grants: [
                (HeaderName::from_static(concat!($prefix, "grant-read")), Permission::Read),
                (HeaderName::from_static(concat!($prefix, "grant-write")), Permission::Write),
                (HeaderName::from_static(concat!($prefix, "grant-read-acp")), Permission::ReadAcp),
                (
                    HeaderName::from_static(concat!($prefix, "grant-write-acp")),
                    Permission::WriteAcp,
                ),
                (
                    HeaderName::from_static(concat!($prefix, "grant-full-control")),
                    Permission::FullControl,
                ),
            ],
            storage_class: HeaderName::from_static(concat!($prefix, "storage-class")),
            tagging: HeaderName::from_static(concat!($prefix, "tagging")),
            tagging_directive: HeaderName::from_static(concat!($prefix, "tagging-directive")),
            tagging_count: HeaderName::from_static(concat!($prefix, "tagging-count")),
            metadata_directive: HeaderName::from_static(concat!($prefix, "metadata-directive")),
            website_redirect_location: HeaderName::from_static(concat!(
                $prefix,
                "website-redirect-location"
            )),
            object_lock_mode: HeaderName::from_static(concat!($prefix, "object-lock-mode")),
            object_lock_legal_hold: HeaderName::from_static(concat!(
                $prefix,
                "object-lock-legal-hold"
            )),
            object_lock_retain_until_date: HeaderName::from_static(concat!(
                $prefix,
                "object-lock-retain-until-date"
            )),
            copy_source: HeaderName::from_static(concat!($prefix, "copy-source")),
            copy_source_range: HeaderName::from_static(concat!($prefix, "copy-source-range")),
            copy_source_if_match: HeaderName::from_static(concat!($prefix, "copy-source-if-match")),
            copy_source_if_none_match: HeaderName::from_static(concat!(
                $prefix,
                "copy-source-if-none-match"
            )),
            copy_source_if_modified_since: HeaderName::from_static(concat!(
                $prefix,
                "copy-source-if-modified-since"
            )),
            copy_source_if_unmodified_since: HeaderName::from_static(concat!(
                $prefix,
                "copy-source-if-unmodified-since"
            )),
            copy_source_version_id: HeaderName::from_static(concat!(
                $prefix,
                "copy-source-version-id"
            )),
            copy_source_encryption_prefix: concat!($prefix, "copy-source-server-side-encryption"),
            version_id: HeaderName::from_static(concat!($prefix, "version-id")),
            delete_marker: HeaderName::from_static(concat!($prefix, "delete-marker")),
            expiration: HeaderName::from_static(concat!($prefix, "expiration")),
            restore: HeaderName::from_static(concat!($prefix, "restore")),
            parts_count: HeaderName::from_static(concat!($prefix, "mp-parts-count")),
            encryption: HeaderName::from_static(concat!($prefix, "server-side-encryption")),
            security_token: HeaderName::from_static(concat!($prefix, "security-token")),
            date: HeaderName::from_static(concat!($prefix, "date")),
        }
    };
}

static COS_HEADERS: Headers = headers!("x-cos-", second_id: "trace-id");
static S3_HEADERS: Headers = headers!("x-amz-", second_id: "id-2");

/// Headers that only COS has.
pub mod cos {
    use http::HeaderName;

    /// CRC-64/ECMA of the body in decimal.
    pub const HASH_CRC64ECMA: HeaderName = HeaderName::from_static("x-cos-hash-crc64ecma");
    pub const FORBID_OVERWRITE: HeaderName = HeaderName::from_static("x-cos-forbid-overwrite");
    /// `normal` or `appendable`.
    pub const OBJECT_TYPE: HeaderName = HeaderName::from_static("x-cos-object-type");
    pub const NEXT_APPEND_POSITION: HeaderName =
        HeaderName::from_static("x-cos-next-append-position");
    /// In answers to an append: the hexadecimal MD5 of the appended bytes,
    /// which is what the Go SDK compares it with.
    pub const CONTENT_SHA1: HeaderName = HeaderName::from_static("x-cos-content-sha1");
    /// Of an object that is being restored.
    pub const RESTORE_STATUS: HeaderName = HeaderName::from_static("x-cos-restore-status");
    /// Key of the object that a symlink leads to, URL-encoded.
    pub const SYMLINK_TARGET: HeaderName = HeaderName::from_static("x-cos-symlink-target");
    pub const STORAGE_TIER: HeaderName = HeaderName::from_static("x-cos-storage-tier");
    pub const TRAFFIC_LIMIT: HeaderName = HeaderName::from_static("x-cos-traffic-limit");
}

/// Headers that only S3 has.
pub mod s3 {
    use http::HeaderName;

    pub const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
    pub const DECODED_CONTENT_LENGTH: HeaderName =
        HeaderName::from_static("x-amz-decoded-content-length");
    pub const TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");
    pub const OBJECT_ATTRIBUTES: HeaderName = HeaderName::from_static("x-amz-object-attributes");
    pub const OPTIONAL_OBJECT_ATTRIBUTES: HeaderName =
        HeaderName::from_static("x-amz-optional-object-attributes");
    /// Which archive tier of intelligent tiering an object is in.
    pub const ARCHIVE_STATUS: HeaderName = HeaderName::from_static("x-amz-archive-status");
    pub const MAX_PARTS: HeaderName = HeaderName::from_static("x-amz-max-parts");
    pub const PART_NUMBER_MARKER: HeaderName = HeaderName::from_static("x-amz-part-number-marker");
    pub const EXPECTED_BUCKET_OWNER: HeaderName =
        HeaderName::from_static("x-amz-expected-bucket-owner");
    pub const SOURCE_EXPECTED_BUCKET_OWNER: HeaderName =
        HeaderName::from_static("x-amz-source-expected-bucket-owner");

    pub const CHECKSUM_PREFIX: &str = "x-amz-checksum-";
    pub const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");
    pub const CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("x-amz-checksum-algorithm");
    pub const SDK_CHECKSUM_ALGORITHM: HeaderName =
        HeaderName::from_static("x-amz-sdk-checksum-algorithm");
    pub const CHECKSUM_TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");
    pub const CHECKSUM_CRC32: HeaderName = HeaderName::from_static("x-amz-checksum-crc32");
    pub const CHECKSUM_CRC32C: HeaderName = HeaderName::from_static("x-amz-checksum-crc32c");
    pub const CHECKSUM_CRC64NVME: HeaderName = HeaderName::from_static("x-amz-checksum-crc64nvme");
    pub const CHECKSUM_SHA1: HeaderName = HeaderName::from_static("x-amz-checksum-sha1");
    pub const CHECKSUM_SHA256: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
    /// Size in bytes that a completed upload must have.
    pub const MP_OBJECT_SIZE: HeaderName = HeaderName::from_static("x-amz-mp-object-size");
    /// When and by which rule an upload is aborted if it is not completed.
    pub const ABORT_DATE: HeaderName = HeaderName::from_static("x-amz-abort-date");
    pub const ABORT_RULE_ID: HeaderName = HeaderName::from_static("x-amz-abort-rule-id");
    pub const TRANSITION_MINIMUM_SIZE: HeaderName =
        HeaderName::from_static("x-amz-transition-default-minimum-object-size");
    pub const OBJECT_OWNERSHIP: HeaderName = HeaderName::from_static("x-amz-object-ownership");
    pub const BUCKET_OBJECT_LOCK_ENABLED: HeaderName =
        HeaderName::from_static("x-amz-bucket-object-lock-enabled");
    /// `true`: a retention in governance mode is no obstacle.
    pub const BYPASS_GOVERNANCE: HeaderName =
        HeaderName::from_static("x-amz-bypass-governance-retention");
    pub const IF_MATCH_SIZE: HeaderName = HeaderName::from_static("x-amz-if-match-size");
    pub const IF_MATCH_LAST_MODIFIED_TIME: HeaderName =
        HeaderName::from_static("x-amz-if-match-last-modified-time");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_carry_their_dialect_s_prefix() {
        for dialect in Dialect::ALL {
            let headers = dialect.headers();
            let all = [
                &headers.request_id,
                &headers.second_id,
                &headers.copy_source,
                &headers.copy_source_if_unmodified_since,
                &headers.encryption,
            ];
            for name in all {
                assert!(name.as_str().starts_with(headers.prefix), "{name}");
            }
            assert!(headers.meta_prefix.starts_with(headers.prefix));
        }
        assert_eq!(COS_HEADERS.second_id, "x-cos-trace-id");
        assert_eq!(S3_HEADERS.second_id, "x-amz-id-2");
        assert_eq!(S3_HEADERS.meta_prefix, "x-amz-meta-");
    }
}
