//! Gzipped comma-separated values.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Row, Value};
use crate::civil::iso_ms;
use crate::inventory::Form;
use crate::percent;

pub(super) struct Csv {
    gzip: GzEncoder<Vec<u8>>,
    form: Form,
}

impl Csv {
    pub fn new(form: Form) -> Csv {
        Csv { gzip: GzEncoder::new(Vec::new(), Compression::default()), form }
    }

    pub fn add(&mut self, rows: &[Row]) -> io::Result<Bytes> {
        let mut text = Vec::with_capacity(rows.len() * 160);
        for row in rows {
            write_line(&mut text, row, self.form);
        }
        self.gzip.write_all(&text)?;
        Ok(std::mem::take(self.gzip.get_mut()).into())
    }

    pub fn finish(self) -> io::Result<Bytes> {
        Ok(self.gzip.finish()?.into())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
