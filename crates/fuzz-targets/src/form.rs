//! Form uploads.

use bytes::Bytes;
use costrel_protocol::form::{
    FIELDS_BYTES_MAX, FIELDS_MAX, FormError, FormEvent, FormFields, FormParser, boundary,
};

use crate::pieces::cuts;

/// A line with the content type, then a body.
pub fn form(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (line, body) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let Ok(Ok(boundary)) = std::str::from_utf8(line).map(boundary) else { return };
    assert!((1..=70).contains(&boundary.len()) && boundary.is_ascii());

    let [whole, bytes, scattered] = cuts(body).map(|pieces| parse(&boundary, pieces));
    assert_eq!(whole, bytes, "byte by byte");
    assert_eq!(whole, scattered, "in pieces");
    assert!(whole.content.len() <= body.len());
    // A second file is found when the first is complete.
    let wants_end = matches!(whole.result, Ok(()) | Err(FormError::SecondFile));
    assert_eq!(whole.ended, wants_end, "{:?}", whole.result);

    let Some(fields) = &whole.fields else { return };
    check_fields(fields);
    if whole.ended
        && let Some(again) = encode(fields, &whole.content)
    {
        let again = parse(BOUNDARY, vec![again.into()]);
        assert_eq!(again.result, Ok(()));
        assert_eq!(again.content, whole.content);
        let again = again.fields.expect("a form that ended has its fields");
        assert!(again.iter().eq(fields.iter()));
        assert_eq!(again.file_name(), fields.file_name());
    }
}

#[derive(Debug, PartialEq)]
struct Parsed {
    fields: Option<FormFields>,
    content: Vec<u8>,
    ended: bool,
    result: Result<(), FormError>,
}

fn parse(boundary: &str, pieces: Vec<Bytes>) -> Parsed {
    let mut parser = FormParser::new(boundary);
    let mut events = Vec::new();
    let fed = pieces.into_iter().try_for_each(|piece| parser.feed(piece, &mut events));
    let result = fed.and_then(|()| parser.finish());
    let mut parsed = Parsed { fields: None, content: Vec::new(), ended: false, result };
    for event in events {
        assert!(!parsed.ended, "{event:?} after the end");
        match event {
            FormEvent::File(fields) => {
                assert!(parsed.fields.replace(fields).is_none(), "two files");
            }
            FormEvent::Data(data) => {
                assert!(parsed.fields.is_some() && !data.is_empty());
                parsed.content.extend_from_slice(&data);
            }
            FormEvent::End => parsed.ended = true,
        }
    }
    parsed
}

fn check_fields(fields: &FormFields) {
    let all: Vec<(&str, &str)> = fields.iter().collect();
    assert!(all.len() <= FIELDS_MAX);
    assert!(
        all.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= FIELDS_BYTES_MAX
    );
    for (name, value) in &all {
        // Found under its own name, so no other has that.
        let shouted = name.to_ascii_uppercase();
        assert_eq!(fields.get(&shouted), Some(*value), "{name}");
    }
    assert!(!fields.file_name().contains(['/', '\\']));
}

const BOUNDARY: &str = "-again-";

/// The form as a browser would send it; `None` for names that quotation marks
/// cannot hold and for contents with the boundary in them.
fn encode(fields: &FormFields, content: &[u8]) -> Option<Vec<u8>> {
    let quotable = |name: &str| !name.contains(['"', '\\', '\r', '\n']);
    let delimiter = format!("--{BOUNDARY}");
    let mut body = Vec::new();
    for (name, value) in fields.iter() {
        if !quotable(name) || value.contains(&delimiter) {
            return None;
        }
        body.extend_from_slice(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
            .as_bytes(),
        );
    }
    let file_name = fields.file_name();
    let clashes = content.windows(delimiter.len()).any(|part| part == delimiter.as_bytes());
    if !quotable(file_name) || clashes {
        return None;
    }
    body.extend_from_slice(
        format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; \
             filename=\"{file_name}\"\r\n\r\n"
        )
        .as_bytes(),
    );
    body.extend_from_slice(content);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    Some(body)
}
