//! Files of rows: gzipped comma-separated values, and Parquet.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::basic::Compression as PageCompression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::{Form, Format};
use crate::civil::iso_ms;
use crate::error::{Error, Result};
use crate::percent;

/// Rows that are in memory until they are written as one group of a Parquet file.
const GROUP_ROWS: usize = 10_000;

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

/// A file on its way.
pub(super) enum Sheet {
    Csv { gzip: GzEncoder<Vec<u8>>, form: Form },
    Parquet(Box<Parquet>),
}

impl Sheet {
    pub fn new(format: Format, form: Form, headings: &[Heading]) -> Result<Sheet> {
        Ok(match format {
            Format::Csv => {
                Sheet::Csv { gzip: GzEncoder::new(Vec::new(), Compression::default()), form }
            }
            Format::Parquet => Sheet::Parquet(Box::new(Parquet::new(headings)?)),
        })
    }

    /// Adds rows. Answers what of the file is complete by then, behind what was answered
    /// before. Takes milliseconds for a thousand rows.
    pub fn add(&mut self, rows: Vec<Vec<Value>>) -> Result<Bytes> {
        match self {
            Sheet::Csv { gzip, form } => {
                let mut text = Vec::with_capacity(rows.len() * 160);
                for row in &rows {
                    write_line(&mut text, row, *form);
                }
                gzip.write_all(&text).map_err(failed)?;
                Ok(std::mem::take(gzip.get_mut()).into())
            }
            Sheet::Parquet(parquet) => parquet.add(rows),
        }
    }

    /// The end of the file.
    pub fn finish(self) -> Result<Bytes> {
        match self {
            Sheet::Csv { gzip, .. } => Ok(gzip.finish().map_err(failed)?.into()),
            Sheet::Parquet(parquet) => parquet.finish(),
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("writing an inventory: {error}"))
}

/// A line of comma-separated values, each in quotes.
fn write_line(text: &mut Vec<u8>, row: &[Value], form: Form) {
    for (at, value) in row.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        text.push(b'"');
        match value {
            Value::Nothing => {}
            Value::Text(value) => {
                for byte in value.bytes() {
                    if byte == b'"' {
                        text.push(b'"');
                    }
                    text.push(byte);
                }
            }
            Value::Key(key) => text.extend_from_slice(percent::encode(key).as_bytes()),
            Value::Number(number) => text.extend_from_slice(number.to_string().as_bytes()),
            Value::Moment(ms) => text.extend_from_slice(iso_ms(*ms).as_bytes()),
            Value::Flag(flag) => text.extend_from_slice(form.boolean(*flag).as_bytes()),
        }
        text.push(b'"');
    }
    text.push(b'\n');
}

/// The schema of a Parquet file, in Parquet's own words.
pub(super) fn message(headings: &[Heading]) -> String {
    let mut text = String::from("message s3.inventory {");
    for (name, kind) in headings {
        let name = snake_case(name);
        let field = match kind {
            Kind::Name => format!(" required binary {name} (STRING);"),
            Kind::Text => format!(" optional binary {name} (STRING);"),
            Kind::Number => format!(" optional int64 {name};"),
            Kind::Moment => format!(" optional int64 {name} (TIMESTAMP(MILLIS,true));"),
            Kind::Flag => format!(" optional boolean {name};"),
        };
        text.push_str(&field);
    }
    text.push_str(" }");
    text
}

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

pub(super) struct Parquet {
    kinds: Vec<Kind>,
    rows: Vec<Vec<Value>>,
    writer: SerializedFileWriter<Vec<u8>>,
}

impl Parquet {
    fn new(headings: &[Heading]) -> Result<Parquet> {
        let schema = Arc::new(parse_message_type(&message(headings)).map_err(failed)?);
        let properties = WriterProperties::builder().set_compression(PageCompression::SNAPPY);
        let properties = Arc::new(properties.build());
        let writer = SerializedFileWriter::new(Vec::new(), schema, properties).map_err(failed)?;
        let kinds = headings.iter().map(|(_, kind)| *kind).collect();
        Ok(Parquet { kinds, rows: Vec::new(), writer })
    }

    fn add(&mut self, rows: Vec<Vec<Value>>) -> Result<Bytes> {
        self.rows.extend(rows);
        if self.rows.len() >= GROUP_ROWS {
            self.write_group().map_err(failed)?;
        }
        Ok(std::mem::take(self.writer.inner_mut()).into())
    }

    fn finish(mut self) -> Result<Bytes> {
        if !self.rows.is_empty() {
            self.write_group().map_err(failed)?;
        }
        // Closes the file; what it gives back is what was written since the last time.
        Ok(self.writer.into_inner().map_err(failed)?.into())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.writer.next_row_group()?;
        for (at, kind) in self.kinds.iter().enumerate() {
            let Some(mut column) = group.next_column()? else { break };
            let values = rows.iter().map(|row| &row[at]);
            match kind {
                Kind::Name => {
                    let names: Vec<ByteArray> =
                        values.map(|value| text(value).unwrap_or_default().into()).collect();
                    column.typed::<ByteArrayType>().write_batch(&names, None, None)?;
                }
                Kind::Text => {
                    let texts = values.map(|value| text(value).map(ByteArray::from));
                    write_optional::<ByteArrayType>(&mut column, texts)?;
                }
                Kind::Number | Kind::Moment => {
                    let numbers = values.map(|value| match value {
                        Value::Number(number) | Value::Moment(number) => {
                            Some(i64::try_from(*number).unwrap_or(i64::MAX))
                        }
                        _ => None,
                    });
                    write_optional::<Int64Type>(&mut column, numbers)?;
                }
                Kind::Flag => {
                    let flags = values.map(|value| match value {
                        Value::Flag(flag) => Some(*flag),
                        _ => None,
                    });
                    write_optional::<BoolType>(&mut column, flags)?;
                }
            }
            column.close()?;
        }
        group.close()?;
        Ok(())
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) | Value::Key(text) => Some(text),
        _ => None,
    }
}

fn write_optional<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let values: Vec<Option<T::T>> = values.collect();
    let there: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&values, Some(&there), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;

    use super::*;

    fn row(number: u64) -> Vec<Value> {
        vec![
            Value::Text("bucket".into()),
            Value::Key(format!("a b/{number}")),
            if number.is_multiple_of(2) { Value::Number(number) } else { Value::Nothing },
            Value::Moment(1_700_000_000_000 + number),
            Value::Flag(number.is_multiple_of(3)),
            if number.is_multiple_of(5) { Value::Text("t".into()) } else { Value::Nothing },
        ]
    }

    fn headings() -> Vec<Heading> {
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

    #[test]
    fn lines_are_quoted() {
        let line = |form| {
            let mut text = Vec::new();
            let quoted = Value::Text("say \"hi\", twice".into());
            let row = [quoted, Value::Nothing, Value::Key("a b\"".into()), Value::Flag(true)];
            write_line(&mut text, &row, form);
            String::from_utf8(text).unwrap()
        };
        let start = "\"say \"\"hi\"\", twice\",\"\",\"a%20b%22\"";
        assert_eq!(line(Form::S3), format!("{start},\"true\"\n"));
        assert_eq!(line(Form::Cos), format!("{start},\"True\"\n"));
    }

    #[test]
    fn the_schema_is_in_parquets_words() {
        assert_eq!(
            message(&headings()),
            "message s3.inventory { required binary bucket (STRING); required binary key (STRING); \
             optional int64 size; optional int64 last_modified_date (TIMESTAMP(MILLIS,true)); \
             optional boolean is_latest; optional binary e_tag (STRING); }"
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, GROUP_ROWS as u64, GROUP_ROWS as u64 + 7] {
            let mut sheet = Sheet::new(Format::Parquet, Form::S3, &headings()).unwrap();
            let mut file = Vec::new();
            for page in (0..count).collect::<Vec<_>>().chunks(1000) {
                let rows = page.iter().map(|number| row(*number)).collect();
                file.extend_from_slice(&sheet.add(rows).unwrap());
            }
            file.extend_from_slice(&sheet.finish().unwrap());
            let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
            let mut read = 0;
            for (number, found) in (0_u64..).zip(reader.get_row_iter(None).unwrap()) {
                let found = found.unwrap();
                assert_eq!(found.get_string(0).unwrap(), "bucket");
                assert_eq!(*found.get_string(1).unwrap(), format!("a b/{number}"));
                assert_eq!(
                    found.get_long(2).ok(),
                    number.is_multiple_of(2).then_some(number as i64)
                );
                let moment = found.get_timestamp_millis(3).unwrap();
                assert_eq!(moment as u64, 1_700_000_000_000 + number);
                assert_eq!(found.get_bool(4).unwrap(), number.is_multiple_of(3));
                assert_eq!(found.get_string(5).is_ok(), number.is_multiple_of(5));
                read += 1;
            }
            assert_eq!(read, count);
        }
    }
}
