//! XML bodies: answers are appended to one buffer, requests are read by a
//! bounded pull parser that knows no DTD.

mod acl;
mod cors;
mod inventory;
mod lifecycle;
mod lock;
mod logging;
mod notification;
mod reader;
mod referer;
mod requests;
mod restore;
mod settings;
mod tiering;
mod website;
mod writer;

pub use acl::{AclDocument, GranteeName, parse_acl, parse_ownership, write_acl};
pub use cors::{parse_cors, write_cors};
pub use inventory::{InventoryDocument, parse_inventory, write_inventory};
pub use lifecycle::{LIFECYCLE_BYTES_MAX, parse_lifecycle, write_lifecycle};
pub use lock::{LockRule, parse_legal_hold, parse_lock_configuration, parse_retention};
pub use logging::{LoggingDocument, parse_logging, write_logging};
pub use notification::{parse_notification, write_notification};
pub use reader::XmlError;
pub use referer::{parse_referer, write_referer};
pub use requests::{
    COMPLETE_UPLOAD_BYTES_MAX, CREATE_BUCKET_BYTES_MAX, CompleteUpload, CompletedPart,
    CreateBucket, DELETE_OBJECTS_BYTES_MAX, DeleteEntry, DeleteObjects, parse_complete_upload,
    parse_create_bucket, parse_delete_objects,
};
pub use restore::parse_restore;
pub use settings::{
    CONFIGURATION_BYTES_MAX, VersioningStatus, parse_public_access_block, parse_tagging,
    parse_versioning,
};
pub use tiering::{
    IdentifiedTiering, parse_identified_tiering, parse_tiering, write_archiving, write_infrequent,
};
pub use website::{parse_website, write_website};
pub use writer::{DECLARATION, XmlWriter};
