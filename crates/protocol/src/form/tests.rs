use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const BOUNDARY: &str = "AaB03x";

/// Everything of a form that parsed: fields, file name, content.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    fields: Vec<(String, String)>,
    file_name: String,
    content: Vec<u8>,
}

fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Parsed, FormError> {
    let mut parser = FormParser::new(BOUNDARY);
    let mut events = Vec::new();
    for piece in pieces {
        parser.feed(Bytes::copy_from_slice(piece), &mut events)?;
    }
    parser.finish()?;
    let mut events = events.into_iter();
    let Some(FormEvent::File(form)) = events.next() else { panic!("the file must come first") };
    assert_eq!(events.next_back(), Some(FormEvent::End));
    let mut content = Vec::new();
    for event in events {
        match event {
            FormEvent::Data(bytes) => content.extend_from_slice(&bytes),
            other => panic!("{other:?} in the middle"),
        }
    }
    let fields = form.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    Ok(Parsed { fields, file_name: form.file_name().to_owned(), content })
}

fn parse_text(text: &str) -> Result<Parsed, FormError> {
    parse([text.as_bytes()])
}

fn field(name: &str, value: &str) -> String {
    format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

fn form(fields: &[(&str, &str)], content: &[u8], tail: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend_from_slice(field(name, value).as_bytes());
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"d/a.txt\"\r\n\
         Content-Type: text/plain\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(content);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}{tail}").as_bytes());
    body
}

#[test]
fn a_form() {
    let fields = [("key", "dir/${filename}"), ("x-cos-meta-A", "你 \r\n x"), ("empty", "")];
    let parsed = parse([form(&fields, b"content", "--\r\n").as_slice()]).unwrap();
    let want: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    assert_eq!(parsed.fields, want);
    assert_eq!(parsed.file_name, "a.txt");
    assert_eq!(parsed.content, b"content");
}

#[test]
fn fields_are_found_without_case_and_names_substituted() {
    let mut events = Vec::new();
    let mut parser = FormParser::new(BOUNDARY);
    let body = form(&[("Key", "u/${filename}-${filename}")], b"", "--");
    parser.feed(body.into(), &mut events).unwrap();
    let FormEvent::File(fields) = &events[0] else { panic!() };
    assert_eq!(fields.get("kEY"), Some("u/${filename}-${filename}"));
    assert_eq!(fields.get("other"), None);
    assert_eq!(fields.substitute_file_name("u/${filename}-${filename}"), "u/a.txt-a.txt");
    assert_eq!(events.len(), 2);
    let windows = "--AaB03x\r\nContent-Disposition: form-data; name=FILE; filename=\"C:\\x\\b.txt\"\
                   \r\n\r\nhi\r\n--AaB03x--";
    assert_eq!(parse_text(windows).unwrap().file_name, "b.txt");
}

#[test]
fn random_splits_change_nothing() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let crumbs = ["\r", "\n", "\r\n", "\r\n-", "\r\n--", "\r\n--A", "\r\n--AaB03", "--AaB03x", "x"];
    for _ in 0..1000 {
        let content: String = (0..rng.random_range(0..12))
            .map(|_| crumbs[rng.random_range(0..crumbs.len())])
            .collect();
        if format!("{content}\r\n").contains("\r\n--AaB03x") {
            continue;
        }
        // The same bytes as a field's value and as the file's content.
        let preamble = ["", "ignored\r\n", "\r\n"][rng.random_range(0..3)];
        let tail =
            ["--", "--\r\n", "--\r\nepilogue", "\r\nContent-", " \t\r\nanything\r\n--AaB03x--"];
        let tail = tail[rng.random_range(0..tail.len())];
        let mut body = preamble.as_bytes().to_vec();
        body.extend(form(&[("key", "k"), ("v", &content)], content.as_bytes(), tail));

        let mut pieces = Vec::new();
        let mut rest = body.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rng.random_range(0..=rest.len().min(9)));
            pieces.push(piece);
            rest = after;
        }
        let parsed = parse(pieces).unwrap();
        assert_eq!(parsed.fields[1].1, content);
        assert_eq!(parsed.content, content.as_bytes());

        // The form is complete once what follows the file's boundary is.
        let needed = body.len() - tail.len() + if tail.starts_with(' ') { 4 } else { 2 };
        let cut = rng.random_range(0..needed);
        assert!(parse([&body[..cut]]).is_err(), "cut at {cut} of {}", body.len());

        let mut damaged = body.clone();
        let at = rng.random_range(0..damaged.len());
        damaged[at] = rng.random();
        let _ = FormParser::new(BOUNDARY).feed(damaged.into(), &mut Vec::new());
    }
}

#[test]
fn content_is_passed_on_and_not_copied() {
    let body = Bytes::from(form(&[("key", "k")], &[7; 100_000], "--"));
    let mut parser = FormParser::new(BOUNDARY);
    let mut events = Vec::new();
    parser.feed(body.clone(), &mut events).unwrap();
    let inside = body.as_ptr() as usize..body.as_ptr() as usize + body.len();
    let mut total = 0;
    for event in &events {
        if let FormEvent::Data(bytes) = event {
            assert!(inside.contains(&(bytes.as_ptr() as usize)));
            total += bytes.len();
        }
    }
    assert_eq!(total, 100_000);
    assert!(parser.is_done());
    // Anything after the file costs and means nothing.
    parser.feed(Bytes::from_static(b"\r\n--AaB03x garbage"), &mut events).unwrap();
    assert_eq!(events.last(), Some(&FormEvent::End));
}

#[test]
fn limits() {
    let large = field("policy", &"x".repeat(FIELDS_BYTES_MAX));
    assert_eq!(parse_text(&large), Err(FormError::FieldsTooLarge));
    let near = field("policy", &"x".repeat(FIELDS_BYTES_MAX - 400));
    assert_eq!(parse_text(&near), Err(FormError::Incomplete));
    let preamble = "x".repeat(FIELDS_BYTES_MAX + 1);
    assert_eq!(parse_text(&preamble), Err(FormError::FieldsTooLarge));
    let headers = format!("--{BOUNDARY}\r\nX: {}\r\n", "x".repeat(PART_HEADERS_BYTES_MAX));
    assert_eq!(parse_text(&headers), Err(FormError::Malformed("a part's headers are too long")));
    let many_headers =
        format!("--{BOUNDARY}\r\n{}", "X: y\r\n".repeat(PART_HEADERS_BYTES_MAX / 6 + 1));
    assert_eq!(
        parse_text(&many_headers),
        Err(FormError::Malformed("a part's headers are too long"))
    );
    let many: String = (0..=FIELDS_MAX).map(|n| field(&n.to_string(), "")).collect();
    let many = many + &field("last", "");
    assert_eq!(parse_text(&many), Err(FormError::TooManyFields));
    let padding = format!("--{BOUNDARY}{}", " ".repeat(PADDING_BYTES_MAX + 1));
    assert_eq!(parse_text(&padding), Err(FormError::Malformed("text after a boundary")));
}

#[test]
fn what_is_wrong_is_named() {
    let part = |headers: &str| format!("--{BOUNDARY}\r\n{headers}\r\n\r\nx\r\n--{BOUNDARY}--");
    let named = "Content-Disposition: form-data; name=\"a\"";
    assert_eq!(parse_text(&part(named)), Err(FormError::NoFile));
    assert_eq!(parse_text(&format!("--{BOUNDARY}--\r\n")), Err(FormError::NoFile));
    for incomplete in ["", "no boundary", "--AaB03x", "--AaB03x\r\n", "--AaB03x\r\nContent-"] {
        assert_eq!(parse_text(incomplete), Err(FormError::Incomplete), "{incomplete}");
    }
    let twice = field("Key", "a") + &field("key", "b") + &field("c", "");
    assert_eq!(parse_text(&twice), Err(FormError::Duplicate("key".into())));
    for bad in [
        part("X-Other: y"),
        part("no colon"),
        part(&format!("{named}\r\n{named}")),
        part("Content-Disposition: attachment; name=\"a\""),
        format!("--{BOUNDARY}z\r\n"),
        format!("--{BOUNDARY}\n"),
        format!("--{BOUNDARY}-\r\n"),
        format!("--{BOUNDARY}\r\n\r\n"),
    ] {
        assert!(matches!(parse_text(&bad), Err(FormError::Malformed(_))), "{bad}");
    }
    let mut not_utf8 = (field("a", "@") + "--AaB03x").into_bytes();
    let at = not_utf8.iter().rposition(|b| *b == b'@').unwrap();
    not_utf8[at] = 0xff;
    assert_eq!(parse([not_utf8.as_slice()]), Err(FormError::Malformed("a field is not UTF-8")));
    let after_file = form(&[], b"x", "y");
    let got = parse([after_file.as_slice()]);
    assert_eq!(got, Err(FormError::Malformed("text after a boundary")));
}

#[test]
fn fields_behind_the_file_mean_nothing_but_a_second_file_is_an_error() {
    let form = |later: &str| {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\ndata\r\n--b\r\n{later}"
        );
        let mut parser = FormParser::new("b");
        let mut events = Vec::new();
        // Byte by byte, so that every state is left and entered again.
        for byte in body.into_bytes() {
            parser.feed(Bytes::from(vec![byte]), &mut events)?;
        }
        parser.finish()
    };
    let part = |name: &str| format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\nx\r\n");
    assert_eq!(form(&format!("{}--b--\r\n", part("other"))), Ok(()));
    assert_eq!(form("no header at all"), Ok(()));
    assert_eq!(form(&format!("{}--b--\r\n", part("file"))), Err(FormError::SecondFile));
    let third = format!("{}--b\r\n{}--b--\r\n", part("other"), part("File"));
    assert_eq!(form(&third), Err(FormError::SecondFile));
}
