//! Parquet, its pages compressed with Snappy.

use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use ::parquet::errors::Result;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::parser::parse_message_type;
use bytes::Bytes;

use super::{Heading, Kind, Row, Value, snake_case};

/// The schema in Parquet's own words, as S3 writes them.
pub(super) fn message(headings: &[Heading]) -> String {
    let mut text = String::from("message s3.inventory {");
    for (name, kind) in headings {
        let name = snake_case(name);
        let field = match kind {
            Kind::Name => format!(" required binary {name} (UTF8);"),
            Kind::Text => format!(" optional binary {name} (UTF8);"),
            Kind::Number => format!(" optional int64 {name};"),
            Kind::Moment => format!(" optional int64 {name} (TIMESTAMP_MILLIS);"),
            Kind::Flag => format!(" optional boolean {name};"),
        };
        text.push_str(&field);
    }
    text.push_str(" }");
    text
}

pub(super) struct Parquet {
    kinds: Vec<Kind>,
    writer: SerializedFileWriter<Vec<u8>>,
}

impl Parquet {
    pub fn new(headings: &[Heading]) -> Result<Parquet> {
        let schema = Arc::new(parse_message_type(&message(headings))?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        let properties = Arc::new(properties.build());
        let writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
        Ok(Parquet { kinds: headings.iter().map(|(_, kind)| *kind).collect(), writer })
    }

    /// What was written since the last time.
    pub fn take(&mut self) -> Bytes {
        std::mem::take(self.writer.inner_mut()).into()
    }

    pub fn finish(self) -> Result<Bytes> {
        Ok(self.writer.into_inner()?.into())
    }

    pub fn write_group(&mut self, rows: &[Row]) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for (at, kind) in self.kinds.iter().enumerate() {
            let Some(mut column) = group.next_column()? else { break };
            let values = rows.iter().map(|row| &row[at]);
            match kind {
                Kind::Name => {
                    let names: Vec<ByteArray> =
                        values.map(|value| value.text().unwrap_or_default().into()).collect();
                    column.typed::<ByteArrayType>().write_batch(&names, None, None)?;
                }
                Kind::Text => {
                    let texts = values.map(|value| value.text().map(ByteArray::from));
                    write_optional::<ByteArrayType>(&mut column, texts)?;
                }
                Kind::Number | Kind::Moment => {
                    write_optional::<Int64Type>(&mut column, values.map(Value::number))?;
                }
                Kind::Flag => write_optional::<BoolType>(&mut column, values.map(Value::flag))?,
            }
            column.close()?;
        }
        group.close()?;
        Ok(())
    }
}

fn write_optional<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<()> {
    let values: Vec<Option<T::T>> = values.collect();
    let there: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&values, Some(&there), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    use ::parquet::record::RowAccessor as _;

    use super::super::GROUP_ROWS;
    use super::super::tests::{file, headings};
    use super::*;
    use crate::inventory::Format;

    #[test]
    fn the_schema_is_in_parquets_words() {
        assert_eq!(
            message(&headings()),
            "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); \
             optional int64 size; optional int64 last_modified_date (TIMESTAMP_MILLIS); \
             optional boolean is_latest; optional binary e_tag (UTF8); }"
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, GROUP_ROWS as u64, GROUP_ROWS as u64 + 7] {
            let file = Bytes::from(file(Format::Parquet, count));
            let reader = SerializedFileReader::new(file).unwrap();
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
