//! What the tests of this crate share.

use std::path::Path;

/// A generated document equals its file, or becomes it when
/// `COSTREL_UPDATE_DOCS` is set.
#[track_caller]
pub fn check_document(path: &Path, generated: &str) {
    if std::env::var_os("COSTREL_UPDATE_DOCS").is_some() {
        std::fs::write(path, generated).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    assert!(
        written == generated,
        "docs/{name} is not in step; run COSTREL_UPDATE_DOCS=1 cargo test -p costrel docs"
    );
}
