//! `costrel lifecycle preview`: what a bucket's rules would end now.

use std::fmt::Write;

use costrel_core::lifecycle::{Ending, Preview};

use crate::asking::{self, AskError};
use crate::cli::PreviewArgs;

/// Path of the preview at the console endpoint.
pub const PREVIEW_PATH: &str = "/lifecycle/preview";

/// Examples of each kind that are shown.
pub const EXAMPLES: usize = 5;

pub fn run(args: PreviewArgs) -> Result<(), AskError> {
    print!("{}", asking::ask(args.serve, &asking::about(PREVIEW_PATH, &args.bucket)?)?);
    Ok(())
}

/// A preview as people read it.
pub fn text(preview: &Preview) -> String {
    let mut text = String::new();
    for (ending, told) in Ending::ALL.into_iter().zip(&preview.endings) {
        let what = match ending {
            Ending::Deleted => "objects deleted for good",
            Ending::Marked => "objects under a new delete marker",
            Ending::VersionRemoved => "versions removed for good",
            Ending::MarkerRemoved => "delete markers removed",
            Ending::UploadAborted => "uploads aborted",
            Ending::Moved => "objects and versions moved to another storage class",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:>16} {what}, {} bytes", told.count, told.bytes);
        for example in &told.examples {
            // A key may have any character; escapes keep it on its line.
            let _ = write!(text, "{:>18} {:?}", "", example.key);
            if let Some(version) = example.version {
                let _ = write!(text, " version {version}");
            }
            let _ = writeln!(text, " by rule {:?}", example.rule_id);
        }
    }
    let _ = writeln!(text, "{:>16} rows looked at", preview.rows);
    text
}

#[cfg(test)]
mod tests {
    use costrel_core::lifecycle::Example;

    use super::*;

    #[test]
    fn previews_are_lines() {
        let mut preview = Preview { rows: 7, ..Preview::default() };
        let example = Example { key: "a\nb".into(), version: None, rule_id: "rule \"one\"".into() };
        preview.endings[0].count = 1;
        preview.endings[0].bytes = 42;
        preview.endings[0].examples.push(example);
        let text = text(&preview);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("               1 objects deleted for good, 42 bytes"));
        let shown = "                   \"a\\nb\" by rule \"rule \\\"one\\\"\"";
        assert_eq!(lines.next(), Some(shown));
        assert_eq!(
            lines.next(),
            Some("               0 objects under a new delete marker, 0 bytes")
        );
        assert_eq!(lines.last(), Some("               7 rows looked at"));
    }
}
