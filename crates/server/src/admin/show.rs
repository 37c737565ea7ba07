//! Answers for people: what is listed in lines, what is shown field by field.

use serde_json::Value;

pub fn text(answer: &Value) -> String {
    match answer {
        Value::Null => String::new(),
        Value::Array(entries) => table(entries),
        Value::Object(fields) => {
            let width = fields.keys().map(|name| name.len()).max().unwrap_or_default();
            let mut text = String::new();
            for (name, value) in fields {
                match value {
                    Value::Array(entries) if entries.is_empty() => {}
                    Value::Array(entries) => {
                        text.push_str(&format!("{name}\n"));
                        for line in table(entries).lines() {
                            text.push_str(&format!("  {line}\n"));
                        }
                    }
                    value => text.push_str(&format!("{name:width$}  {}\n", plain(value))),
                }
            }
            text
        }
        value => format!("{}\n", plain(value)),
    }
}

/// Columns by their names, each as wide as it has to be.
fn table(entries: &[Value]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for entry in entries.iter().filter_map(Value::as_object) {
        for name in entry.keys() {
            if !columns.contains(&name.as_str()) {
                columns.push(name);
            }
        }
    }
    if columns.is_empty() {
        return entries.iter().map(|entry| format!("{}\n", plain(entry))).collect();
    }
    let cell = |entry: &Value, name: &str| entry.get(name).map(plain).unwrap_or_default();
    let width = |name: &&str| {
        let longest = entries.iter().map(|entry| cell(entry, name).chars().count()).max();
        longest.unwrap_or_default().max(name.len())
    };
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let line = |cells: Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(columns.iter().map(|name| (*name).to_owned()).collect());
    for entry in entries {
        text.push_str(&line(columns.iter().map(|name| cell(entry, name)).collect()));
    }
    text
}

fn plain(value: &Value) -> String {
    match value {
        // Texts of others must not move the cursor.
        Value::String(text) if text.chars().any(char::is_control) => format!("{text:?}"),
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_columns_and_things_are_fields() {
        let list = json!([{ "A": "longer", "B": "1" }, { "A": "x", "C": "\u{1b}[2J" }]);
        assert_eq!(text(&list), "A       B  C\nlonger  1\nx          \"\\u{1b}[2J\"\n");
        let thing = json!({ "Name": "ann", "Keys": [{ "Id": "1" }], "Groups": [] });
        assert_eq!(text(&thing), "Keys\n  Id\n  1\nName    ann\n");
        assert_eq!(text(&json!(["a", "b"])), "a\nb\n");
        assert_eq!(text(&Value::Null), "");
        assert_eq!(text(&json!([])), "");
    }
}
