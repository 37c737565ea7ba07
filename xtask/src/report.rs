//! What suites say about themselves, as counts.

use std::ops::AddAssign;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// How a runner writes its counts.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …`, once per binary.
    CargoTest,
    /// `=== 1 failed, 3 passed, 2 skipped, 1 error in 0.1s ===`, or the same
    /// without the rules, as the last line.
    Pytest,
    /// `# pass 3`, `# fail 1`, `# skipped 0`.
    Tap,
    /// `--- PASS: TestName (0.00s)` for each test; indented for its parts.
    GoTest,
}

impl Format {
    /// Counts what a log reports; nothing when the runner broke off before.
    pub fn count(self, log: &str) -> Counts {
        let mut counts = Counts::default();
        match self {
            Format::CargoTest => {
                log.lines().filter(|l| l.starts_with("test result:")).for_each(|line| {
                    counts += words(line, &["passed;"], &["failed;"], &["ignored;"]);
                });
            }
            Format::Pytest => {
                if let Some(line) = log.lines().rev().find(|l| l.contains(" in ")) {
                    counts = words(
                        &line.replace(',', ""),
                        &["passed", "xfailed"],
                        &["failed", "error", "errors", "xpassed"],
                        &["skipped"],
                    );
                }
            }
            Format::Tap => {
                for line in log.lines() {
                    let number = |name: &str| {
                        line.strip_prefix(name).and_then(|n| n.parse().ok()).unwrap_or(0u32)
                    };
                    counts.passed += number("# pass ");
                    counts.failed += number("# fail ") + number("# cancelled ");
                    counts.skipped += number("# skipped ");
                }
            }
            Format::GoTest => {
                for line in log.lines() {
                    let line = line.trim_start();
                    counts.passed += u32::from(line.starts_with("--- PASS:"));
                    counts.failed += u32::from(line.starts_with("--- FAIL:"));
                    counts.skipped += u32::from(line.starts_with("--- SKIP:"));
                }
            }
        }
        counts
    }
}

/// Adds up the numbers that stand before the given words.
fn words(line: &str, passed: &[&str], failed: &[&str], skipped: &[&str]) -> Counts {
    let mut counts = Counts::default();
    let tokens: Vec<&str> = line.split_whitespace().collect();
    for pair in tokens.windows(2) {
        let Ok(number) = pair[0].parse::<u32>() else {
            continue;
        };
        let word = &pair[1];
        counts.passed += if passed.contains(word) { number } else { 0 };
        counts.failed += if failed.contains(word) { number } else { 0 };
        counts.skipped += if skipped.contains(word) { number } else { 0 };
    }
    counts
}

/// The last lines of a log, for the terminal.
pub fn tail(log: &str, lines: usize) -> String {
    let all: Vec<&str> = log.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Format, log: &str, passed: u32, failed: u32, skipped: u32) {
        assert_eq!(format.count(log), Counts { passed, failed, skipped }, "{format:?}: {log}");
    }

    #[test]
    fn counts_what_each_runner_writes() {
        check(
            Format::CargoTest,
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\n\
             test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured",
            5,
            4,
            1,
        );
        check(
            Format::Pytest,
            "..F\n=== 1 failed, 2 passed, 1 skipped, 3 errors in 0.51s ===",
            2,
            4,
            1,
        );
        check(Format::Pytest, "7 passed in 61.20s (0:01:01)\n", 7, 0, 0);
        check(Format::Tap, "# tests 4\n# pass 2\n# fail 1\n# cancelled 1\n# skipped 0", 2, 2, 0);
        check(Format::GoTest, "--- PASS: TestA (0.0s)\n    --- FAIL: TestA/b (0.0s)\nok", 1, 1, 0);
    }

    #[test]
    fn counts_nothing_in_a_log_that_breaks_off() {
        check(Format::Pytest, "collecting ...", 0, 0, 0);
        check(Format::CargoTest, "error: could not compile", 0, 0, 0);
    }
}
