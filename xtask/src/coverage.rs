//! `docs/coverage.md`: the operation tables as a page, kept in step by a check.

use std::process::Command;

use crate::{built, process, root};

const PAGE: &str = "docs/coverage.md";

/// The page as the built server prints it.
fn generated() -> Result<String, String> {
    process::output(Command::new(built("release/costrel")).arg("coverage"))
}

/// Whether the page in the checkout is what the tables say.
pub fn is_current() -> Result<bool, String> {
    Ok(std::fs::read_to_string(root().join(PAGE)).is_ok_and(|page| generated() == Ok(page)))
}

/// Builds the server and writes the page.
pub fn rewrite() -> Result<(), String> {
    process::run(Command::new("cargo").args(["build", "--release"]).current_dir(root()))?;
    std::fs::write(root().join(PAGE), generated()?).map_err(|e| format!("cannot write {PAGE}: {e}"))
}
