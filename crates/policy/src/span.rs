//! Where statements stand in their document, for whoever looks them up there.

/// A place in a text, from 1. A column is a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

/// From its first byte to its last.
pub type Span = (Position, Position);

/// The statements of a document that was read. None are found where the member's name is
/// spelt with escapes.
pub(crate) fn of_statements(document: &[u8]) -> Box<[Span]> {
    let (mut spans, mut here) = (Vec::new(), Position { line: 1, column: 0 });
    let (mut depth, mut in_list, mut begun) = (0_usize, false, None);
    let (mut text, mut last): (Option<usize>, &[u8]) = (None, b"");
    let mut escaped = false;
    for (at, byte) in document.iter().enumerate() {
        here.column += 1;
        if let Some(start) = text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    if depth == 1 {
                        last = &document[start..at];
                    }
                    text = None;
                }
                _ => {}
            }
            continue;
        }
        let of_statements = last.eq_ignore_ascii_case(b"statement");
        match byte {
            b'"' => text = Some(at + 1),
            b'{' => {
                if (depth == 1 && of_statements) || (depth == 2 && in_list) {
                    begun = Some(here);
                }
                depth += 1;
            }
            b'[' => {
                in_list |= depth == 1 && of_statements;
                depth += 1;
            }
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == if in_list { 2 } else { 1 }
                    && let Some(begun) = begun.take()
                {
                    spans.push((begun, here));
                }
            }
            b']' => {
                depth = depth.saturating_sub(1);
                in_list &= depth > 1;
            }
            b'\n' => here = Position { line: here.line + 1, column: 0 },
            _ => {}
        }
    }
    spans.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, expected: &[(u32, u32, u32, u32)]) {
        let found = of_statements(document.as_bytes());
        let found: Vec<_> =
            found.iter().map(|(from, to)| (from.line, from.column, to.line, to.column)).collect();
        assert_eq!(found, expected, "{document}");
    }

    #[test]
    fn statements_are_found() {
        check(r#"{"Statement":{"Effect":{}}}"#, &[(1, 14, 1, 26)]);
        check(
            "{\"statement\": [\n  {\"a\": [{}]},\n  {\"b\": \"}]\\\"\"\n}],\n \"Id\": \"x\"}",
            &[(2, 3, 2, 13), (3, 3, 4, 1)],
        );
        check(r#"{"Version":"1","Statement":[{}]}"#, &[(1, 29, 1, 30)]);
        check("{}", &[]);
        check("}]}{", &[]);
    }
}
