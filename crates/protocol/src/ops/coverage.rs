//! `docs/coverage.md`, made from the tables.

use std::fmt::Write;

use crate::aws;
use crate::cloud::SERVICES;
use crate::dialect::Dialect;

use super::{OpRow, Param, rows};

/// The coverage page: every operation of both services, implemented or not.
pub fn coverage_markdown() -> String {
    let mut page = String::from(
        "# Coverage\n\n\
         Every operation of COS and S3, from the tables that route requests \
         (`crates/protocol/src/ops`), and the services of Tencent Cloud API 3.0 and of AWS that \
         answer at the same address (`crates/protocol/src/cloud`, `crates/protocol/src/aws`). What is not \
         implemented answers `NotImplemented`, in API 3.0 `UnsupportedOperation`. This page is generated; CI compares it with the tables.\n\n\
         | Service | Operations | Implemented |\n\
         |---|---:|---:|\n",
    );
    for dialect in Dialect::ALL {
        let rows = rows(dialect);
        let implemented = rows.iter().filter(|row| row.implemented()).count();
        push(&mut page, format_args!("| {} | {} | {implemented} |\n", dialect.name(), rows.len()));
    }
    for service in SERVICES {
        let implemented = service.actions.iter().filter(|action| action.implemented()).count();
        let (name, all) = (service.name, service.actions.len());
        push(&mut page, format_args!("| API 3.0 `{name}` | {all} | {implemented} |\n"));
    }
    for service in aws::SERVICES {
        let implemented = service.actions.iter().filter(|action| action.implemented()).count();
        let (name, all) = (service.name, service.actions.len());
        push(&mut page, format_args!("| AWS `{name}` | {all} | {implemented} |\n"));
    }
    for dialect in Dialect::ALL {
        push(
            &mut page,
            format_args!(
                "\n## {}\n\n| Operation | Request | Policy action | Implemented |\n|---|---|---|---|\n",
                dialect.name()
            ),
        );
        for row in rows(dialect) {
            push_row(&mut page, row);
        }
    }
    for service in SERVICES {
        push(
            &mut page,
            format_args!(
                "\n## API 3.0 `{}`, version {}\n\n| Action | Implemented |\n|---|---|\n",
                service.name, service.version
            ),
        );
        for action in service.actions {
            let implemented = if action.implemented() { "yes" } else { "no" };
            push(&mut page, format_args!("| {} | {implemented} |\n", action.name));
        }
    }
    for service in aws::SERVICES {
        push(
            &mut page,
            format_args!(
                "\n## AWS `{}`, version {}\n\n| Action | Implemented |\n|---|---|\n",
                service.name, service.version
            ),
        );
        for action in service.actions {
            let implemented = if action.implemented() { "yes" } else { "no" };
            push(&mut page, format_args!("| {} | {implemented} |\n", action.name));
        }
    }
    page
}

fn push_row(page: &mut String, row: &OpRow) {
    let mut request = format!("{} {}", row.verb.as_str(), row.shape.pattern());
    for (at, param) in row.query.iter().enumerate() {
        request.push(if at == 0 { '?' } else { '&' });
        match param {
            Param::Sub(name @ ("partNumber" | "uploadId")) | Param::Key(name) => {
                push(&mut request, format_args!("{name}={{…}}"));
            }
            Param::Sub(name) => request.push_str(name),
            Param::Is(name, value) => push(&mut request, format_args!("{name}={value}")),
        }
    }
    for name in row.headers {
        push(&mut request, format_args!(" with {name}"));
    }
    let mut name = row.name.to_owned();
    for older in row.also {
        push(&mut name, format_args!(", {older}"));
    }
    let action = row.action.map_or_else(|| "–".to_owned(), |action| format!("`{action}`"));
    let implemented = if row.implemented() { "yes" } else { "no" };
    push(page, format_args!("| {name} | `{request}` | {action} | {implemented} |\n"));
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece).expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_line_for_every_row() {
        let page = coverage_markdown();
        for dialect in Dialect::ALL {
            for row in rows(dialect) {
                assert!(page.contains(&format!("| {}", row.name)), "{}", row.name);
            }
        }
        let lines = page.lines().filter(|line| line.ends_with(" yes |") || line.ends_with(" no |"));
        let operations: usize = Dialect::ALL.into_iter().map(|d| rows(d).len()).sum();
        let actions: usize = SERVICES.iter().map(|service| service.actions.len()).sum();
        let of_aws: usize = aws::SERVICES.iter().map(|service| service.actions.len()).sum();
        assert_eq!(lines.count(), operations + actions + of_aws);
        assert!(page.contains(
            "| UploadPartCopy | `PUT /{bucket}/{key}?partNumber={…}&uploadId={…} with x-amz-copy-source` | `s3:PutObject` | yes |"
        ));
    }
}
