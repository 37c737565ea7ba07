//! Answers of IAM as trees: elements by their names, lists of `member`s, texts.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// Deeper than any answer.
const DEPTH_MAX: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    #[error("it is no XML: {0}")]
    Malformed(#[from] quick_xml::Error),
    #[error("it ends too early, or is nested too deeply")]
    Shape,
}

/// What the root element holds.
pub fn read(text: &str) -> Result<Value, XmlError> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    loop {
        match reader.read_event()? {
            Event::Start(_) => return content(&mut reader, 0),
            Event::Eof => return Err(XmlError::Shape),
            _ => {}
        }
    }
}

/// What the present element holds, up to its end.
fn content(reader: &mut Reader<&[u8]>, depth: usize) -> Result<Value, XmlError> {
    if depth > DEPTH_MAX {
        return Err(XmlError::Shape);
    }
    let (mut fields, mut members, mut text) = (Map::new(), Vec::new(), String::new());
    loop {
        match reader.read_event()? {
            Event::Start(start) => {
                let name = start.local_name().into_inner().to_owned();
                let value = content(reader, depth + 1)?;
                match name == "member" {
                    true => members.push(value),
                    false => _ = fields.insert(name, value),
                }
            }
            Event::Text(piece) => text.push_str(&piece.xml10_content()),
            Event::GeneralRef(reference) => {
                let character = match &*reference {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => reference.resolve_char_ref()?,
                };
                text.extend(character);
            }
            Event::End(_) => break,
            Event::Eof => return Err(XmlError::Shape),
            _ => {}
        }
    }
    Ok(match (members.is_empty(), fields.is_empty()) {
        (false, _) => Value::Array(members),
        (true, false) => Value::Object(fields),
        (true, true) => Value::String(text.trim().to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_trees() {
        let text = "<?xml version='1.0'?><A xmlns='x'>\n<R><L><member><N>a&amp;b&#x41;</N></member>\
                    <member><N>c</N></member></L><E/></R></A>";
        let expected = json!({ "R": { "L": [{ "N": "a&bA" }, { "N": "c" }], "E": "" } });
        assert_eq!(read(text).unwrap(), expected);
        for bad in ["", "text", "<A><B></A>", "<A>"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
