//! Files of rows, in each format. What of a file is complete leaves at once; a format
//! that puts rows together holds a bounded group of them.

mod csv;
mod orc;
mod parquet;

use bytes::Bytes;

use self::csv::Csv;
use self::orc::Orc;
use self::parquet::Parquet;
use super::{Form, Format};
use crate::error::{Error, Result};

/// Rows that are in memory until they are written as a group of a Parquet file or a
/// stripe of an ORC file, at most.
const GROUP_ROWS: usize = 10_000;
/// And the memory that they take, but for the last of them.
const GROUP_BYTES: usize = 8 << 20;

/// What a row says in one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Nothing,
    Text(String),
    /// Of an object; escaped where lines are read by people and their tools.
    Key(String),
    Number(u64),
    /// In milliseconds since 1970.
    Moment(u64),
    Flag(bool),
}

impl Value {
    fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Key(text) => Some(text),
            _ => None,
        }
    }

    fn number(&self) -> Option<i64> {
        match self {
            Value::Number(number) | Value::Moment(number) => {
                Some(i64::try_from(*number).unwrap_or(i64::MAX))
            }
            _ => None,
        }
    }

    fn flag(&self) -> Option<bool> {
        match self {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }
}

pub(super) type Row = Vec<Value>;

/// What the values of a column are; each may be nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Never nothing.
    Name,
    Text,
    Number,
    Moment,
    Flag,
}

/// A column's name, as CSV's schema has it, and what is in it.
pub(super) type Heading = (String, Kind);

/// What a manifest says of the columns.
pub(super) fn schema(format: Format, headings: &[Heading]) -> String {
    match format {
        Format::Csv => {
            let names: Vec<&str> = headings.iter().map(|(name, _)| name.as_str()).collect();
            names.join(", ")
        }
        Format::Parquet => parquet::message(headings),
        Format::Orc => orc::structure(headings),
    }
}

/// A file on its way.
pub(super) struct Sheet {
    group: Group,
    writer: Writer,
}

enum Writer {
    Csv(Csv),
    Parquet(Box<Parquet>),
    Orc(Box<Orc>),
}

impl Sheet {
    pub fn new(format: Format, form: Form, headings: &[Heading]) -> Result<Sheet> {
        let writer = match format {
            Format::Csv => Writer::Csv(Csv::new(form)),
            Format::Parquet => Writer::Parquet(Box::new(Parquet::new(headings).map_err(failed)?)),
            Format::Orc => Writer::Orc(Box::new(Orc::new(headings))),
        };
        Ok(Sheet { group: Group::default(), writer })
    }

    /// Adds rows. Answers what of the file is complete by then, behind what was answered
    /// before. Takes milliseconds for a thousand rows.
    pub fn add(&mut self, rows: Vec<Row>) -> Result<Bytes> {
        if let Writer::Csv(csv) = &mut self.writer {
            return csv.add(&rows).map_err(failed);
        }
        for row in rows {
            if self.group.add(row) {
                self.write_group()?;
            }
        }
        Ok(match &mut self.writer {
            Writer::Csv(_) => Bytes::new(),
            Writer::Parquet(parquet) => parquet.take(),
            Writer::Orc(orc) => orc.take(),
        })
    }

    /// The end of the file.
    pub fn finish(mut self) -> Result<Bytes> {
        if !self.group.rows.is_empty() {
            self.write_group()?;
        }
        match self.writer {
            Writer::Csv(csv) => csv.finish().map_err(failed),
            Writer::Parquet(parquet) => parquet.finish().map_err(failed),
            Writer::Orc(orc) => orc.finish().map_err(failed),
        }
    }

    fn write_group(&mut self) -> Result<()> {
        let Group { rows, .. } = std::mem::take(&mut self.group);
        match &mut self.writer {
            Writer::Csv(_) => Ok(()),
            Writer::Parquet(parquet) => parquet.write_group(&rows).map_err(failed),
            Writer::Orc(orc) => orc.write_stripe(&rows).map_err(failed),
        }
    }
}

/// Rows that are written together.
#[derive(Default)]
struct Group {
    rows: Vec<Row>,
    bytes: usize,
}

impl Group {
    /// Whether it is full now.
    fn add(&mut self, row: Row) -> bool {
        let texts: usize = row.iter().filter_map(Value::text).map(str::len).sum();
        self.bytes += texts + row.len() * size_of::<Value>();
        self.rows.push(row);
        self.rows.len() >= GROUP_ROWS || self.bytes >= GROUP_BYTES
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("writing an inventory: {error}"))
}

/// A column's name where names are of small letters.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 8);
    for (at, c) in name.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn headings() -> Vec<Heading> {
        [
            ("Bucket", Kind::Name),
            ("Key", Kind::Name),
            ("Size", Kind::Number),
            ("LastModifiedDate", Kind::Moment),
            ("IsLatest", Kind::Flag),
            ("ETag", Kind::Text),
        ]
        .map(|(name, kind)| (name.to_owned(), kind))
        .into()
    }

    pub(super) fn row(number: u64) -> Row {
        vec![
            Value::Text("bucket".into()),
            Value::Key(format!("a b/{number}")),
            if number.is_multiple_of(2) { Value::Number(number) } else { Value::Nothing },
            Value::Moment(1_700_000_000_000 + number),
            Value::Flag(number.is_multiple_of(3)),
            if number.is_multiple_of(5) { Value::Text("t".into()) } else { Value::Nothing },
        ]
    }

    /// A file of so many rows.
    pub(super) fn file(format: Format, count: u64) -> Vec<u8> {
        let mut sheet = Sheet::new(format, Form::S3, &headings()).unwrap();
        let mut file = Vec::new();
        for page in (0..count).collect::<Vec<_>>().chunks(1000) {
            let rows = page.iter().map(|number| row(*number)).collect();
            file.extend_from_slice(&sheet.add(rows).unwrap());
        }
        file.extend_from_slice(&sheet.finish().unwrap());
        file
    }

    #[test]
    fn groups_are_bounded_by_rows_and_by_memory() {
        let mut group = Group::default();
        for number in 1..GROUP_ROWS {
            assert!(!group.add(row(number as u64)));
        }
        assert!(group.add(row(0)));
        let long = || vec![Value::Key("k".repeat(1 << 20))];
        let mut group = Group::default();
        assert_eq!((1..=9).position(|_| group.add(long())), Some(7));
        // So is what they are written from.
        for format in [Format::Parquet, Format::Orc] {
            let mut sheet =
                Sheet::new(format, Form::S3, &[("Key".to_owned(), Kind::Name)]).unwrap();
            let mut groups = 0;
            for _ in 0..16 {
                groups += usize::from(!sheet.add(vec![long()]).unwrap().is_empty());
                assert!(sheet.group.bytes < GROUP_BYTES);
            }
            assert!(groups >= 2, "{format:?}");
        }
    }

    #[test]
    fn a_schema_names_the_columns() {
        assert_eq!(
            schema(Format::Csv, &headings()),
            "Bucket, Key, Size, LastModifiedDate, IsLatest, ETag"
        );
    }
}
